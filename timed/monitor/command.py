"""The operator's own program, run for each alert that is raised or over: one at a time, and never for long.

It gets the alert as JSON on its standard input and the environment of the node, and is
the leader of a session of its own, so that whatever it has started ends with it when it is killed.
What it writes goes into the log only when it fails. Alerts beyond `MAX_WAITING`
are dropped, the newest first, and counted.
"""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

TIMEOUT_S = 30.0
"""A program that has not ended by then is killed."""
MAX_WAITING = 32
MAX_WORDS = 500
"""Bytes of what a program wrote that are kept for the log."""
DONE, FAILED, LATE, DROPPED, STOPPED = "done", "failed", "late", "dropped", "stopped"


_BECOME = """\
import os, sys
os.setsid()
try:
    os.execv(sys.argv[1], sys.argv[1:])
except OSError as error:
    sys.exit(f"{sys.argv[1]}: {error.strerror}")
"""
LEADER = (sys.executable, "-I", "-S", "-c", _BECOME)
"""Begins a session and becomes the program: Twisted starts children in the node's own group."""
KillGroup = Callable[[int, int], object]


class _Run(ProcessProtocol):
    """One run; `ended` fires with its exit status, None when a signal ended it."""

    def __init__(self, body: bytes) -> None:
        self.ended: Deferred[int | None] = Deferred()
        self.words = b""
        self._body = body

    def connectionMade(self) -> None:
        transport: Any = self.transport
        transport.write(self._body)
        transport.closeStdin()

    def childDataReceived(self, childFD: int, data: bytes) -> None:  # noqa: N802, N803 - Twisted's name
        self.words = (self.words + data)[-MAX_WORDS:]

    def processExited(self, reason: Failure) -> None:  # noqa: N802 - Twisted's name
        """A child of the program may hold its pipes open for long: that is not waited for."""
        transport: Any = self.transport
        transport.loseConnection()
        self.ended.callback(getattr(reason.value, "exitCode", None))

    def kill(self, kill_group: KillGroup) -> bool:
        """With everything it has started that is still in its group; False when it became another user, as with sudo."""
        transport: Any = self.transport
        try:
            kill_group(transport.pid, signal.SIGKILL)
        except ProcessLookupError:
            # It has not begun its session yet, so that it has started nothing either.
            transport.signalProcess("KILL")
        except PermissionError:
            return False
        return True


class AlertCommand:
    """Runs `command` (a program and its arguments); with an empty one nothing happens. After `stop` nothing runs."""

    _log = Logger()

    def __init__(self, reactor: Any, command: Sequence[str], kill_group: KillGroup = os.killpg) -> None:
        self._reactor = reactor
        self._command = tuple(command)
        self._kill_group = kill_group
        self._waiting: deque[dict[str, Any]] = deque()
        self._run: _Run | None = None
        self._late: IDelayedCall | None = None
        self._stopped: Deferred[None] | None = None
        self.outcomes: Counter[str] = Counter()
        """Runs by how they ended, and alerts that were dropped."""

    def __len__(self) -> int:
        """Alerts that wait."""
        return len(self._waiting)

    def tell(self, alert: dict[str, Any]) -> None:
        """Run the command for this alert, after those that wait."""
        if not self._command or self._stopped is not None:
            return
        if len(self._waiting) >= MAX_WAITING:
            self.outcomes[DROPPED] += 1
            return
        self._waiting.append(alert)
        self._next()

    def stop(self) -> Deferred[None]:
        """Drop what waits and kill what runs; fires when it has ended, and at once for what cannot be killed."""
        self._waiting.clear()
        self._stopped = Deferred()
        if self._late is not None:
            self._late.cancel()
            self._late = None
        if self._run is None or not self._run.kill(self._kill_group):
            return succeed(None)
        return self._stopped

    def _next(self) -> None:
        if self._run is not None or not self._waiting:
            return
        alert = self._waiting.popleft()
        self._run = run = _Run(msgspec.json.encode(alert) + b"\n")
        self._late = self._reactor.callLater(TIMEOUT_S, self._too_late)
        run.ended.addCallback(self._ended, run, str(alert["name"]))
        try:
            self._reactor.spawnProcess(run, LEADER[0], (*LEADER, *self._command), env=None)
        except OSError as error:
            run.words = str(error).encode()
            run.ended.callback(None)

    def _too_late(self) -> None:
        self._late = None
        if self._run is not None and not self._run.kill(self._kill_group):
            end = f"runs for more than {TIMEOUT_S:.0f} s and cannot be killed: it is another user's"
            self._log.warn("monitor.alert_command {end}", end=end)

    def _ended(self, status: int | None, run: _Run, name: str) -> None:
        late, self._late, self._run = self._late, None, None
        if late is not None:
            late.cancel()
        if self._stopped is not None:
            self.outcomes[STOPPED] += 1
            self._stopped.callback(None)
            return
        outcome = LATE if late is None else DONE if status == 0 else FAILED
        self.outcomes[outcome] += 1
        if outcome != DONE:
            self._log.warn(
                "monitor.alert_command for {name} {end}: {words}",
                name=name,
                end=f"did not end within {TIMEOUT_S:.0f} s{' and was killed' if status is None else ''}"
                if late is None
                else _end_of(status),
                words=run.words.decode("utf-8", "replace").strip() or "it wrote nothing",
            )
        self._next()


def _end_of(status: int | None) -> str:
    return "could not be run, or was ended by a signal" if status is None else f"ended with status {status}"
