"""One real `twistd timed` process: started in its own group, never left behind, not even by a parent that is killed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from timed.bench.processes import anonymous_mb
from timed.errors import LocalError
from timed.testnet.layout import NodePlan

_TIE = """\
import ctypes, os, signal, sys
parent, *command = sys.argv[1:]
prctl = getattr(ctypes.CDLL(None), "prctl", None)
if prctl is not None:
    prctl(1, signal.SIGKILL)
    if os.getppid() != int(parent):
        sys.exit(1)
os.execv(command[0], command)
"""
"""Becomes the command, with PR_SET_PDEATHSIG of Linux; a parent that has ended before that is noticed."""
STOP_S = 15
"""An orderly stop gets this long before SIGKILL."""
TAIL_LINES = 15


def twistd() -> str:
    """The `twistd` of the environment this program runs in."""
    beside = Path(sys.executable).with_name("twistd")
    found = str(beside) if beside.exists() else shutil.which("twistd")
    if found is None:
        raise LocalError("there is no twistd beside this Python.", "Install timed into this environment.")
    return found


def tied(command: Sequence[str]) -> list[str]:
    """The command (its program as a path), killed by the system when whoever starts it ends in whatever way.

    That is the thread that starts it: it must live as long as the process does. Elsewhere than on Linux
    nothing is tied.
    """
    return [sys.executable, "-I", "-S", "-c", _TIE, str(os.getpid()), *command]


class NodeProcess:
    """Starts, signals and reaps the process of one node; its output goes to the node's log file."""

    def __init__(self, plan: NodePlan, settings: Sequence[str] = ()) -> None:
        """`settings` are of the form section.key=value and win over the node's file."""
        self.plan = plan
        self._settings = tuple(settings)
        self.started_at = 0.0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def exit_status(self) -> int | None:
        """None while it runs or before it was started; negative for a signal."""
        return None if self._process is None else self._process.poll()

    def start(self) -> None:
        """Start the process; its log is appended to. Not on a thread that ends before it."""
        command = [twistd(), "--nodaemon", "--pidfile=", "timed", "--config", str(self.plan.ini)]
        command += [f"--set={setting}" for setting in self._settings]
        self.started_at = time.monotonic()
        with open(self.plan.log, "ab") as log:
            self._process = subprocess.Popen(
                tied(command),
                cwd=self.plan.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def signal(self, number: int) -> None:
        """Send a signal to the whole group; nothing happens when it is gone."""
        if self._process is None or self._process.poll() is not None:
            return
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            self._process.poll()

    def kill(self) -> None:
        """SIGKILL, and wait until the process is gone."""
        self.signal(signal.SIGKILL)
        self.wait(STOP_S)

    def wait(self, seconds: float) -> bool:
        """True once the process has ended."""
        if self._process is None:
            return True
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def memory_mb(self) -> float:
        """Anonymous memory of the living process in MB, 0 when it cannot be read."""
        return anonymous_mb(self.pid or 0)

    def log_text(self) -> str:
        try:
            return self.plan.log.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ""

    def tail(self) -> str:
        """The last lines of the log, for a message about what went wrong."""
        lines = self.log_text().splitlines()[-TAIL_LINES:]
        return "\n".join(f"    {line}" for line in lines) or "    (the log is empty)"

    def end_of_log(self) -> str:
        """`tail`, with the name of the log before it."""
        return f"The end of {self.plan.log}:\n{self.tail()}"


def stop_all(processes: list[NodeProcess], seconds: float = STOP_S) -> list[NodeProcess]:
    """SIGTERM to all, then SIGKILL to those that are left; the ones that had to be killed."""
    for process in processes:
        process.signal(signal.SIGTERM)
    deadline = time.monotonic() + seconds
    stubborn = [process for process in processes if not process.wait(max(0.0, deadline - time.monotonic()))]
    for process in stubborn:
        process.kill()
    return stubborn
