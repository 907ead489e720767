"""Waiting for something, visibly, and never for ever."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import TextIO, TypeVar

from timed.errors import TimedError
from timed.testnet.process import NodeProcess

T = TypeVar("T")

POLL_S = 0.1


class WaitFailed(TimedError):
    """A deadline passed or a node ended; the text names the wait and shows the log."""


class Reporter:
    """Progress for a person: one line per step, rewritten in place on a terminal."""

    def __init__(self, out: TextIO = sys.stdout) -> None:
        self._out = out
        self._live = out.isatty()
        self._started = time.monotonic()
        self._open = False
        self._last = ""

    def say(self, text: str) -> None:
        """A finished line."""
        self._close()
        self._out.write(f"[{time.monotonic() - self._started:6.1f} s] {text}\n")
        self._out.flush()

    def plain(self, text: str) -> None:
        """A line without the time, such as a table's."""
        self._close()
        self._out.write(f"{text}\n")
        self._out.flush()

    def progress(self, text: str) -> None:
        """Where a wait stands; written when it changes."""
        if text == self._last:
            return
        if self._live:
            self._out.write(f"\r\x1b[K[{time.monotonic() - self._started:6.1f} s] {text}")
            self._open = True
            self._out.flush()
        else:
            self.say(text)
        self._last = text

    def _close(self) -> None:
        if self._open:
            self._out.write("\n")
            self._open = False
        self._last = ""


def wait_for(
    what: str,
    probe: Callable[[], tuple[bool, str]],
    seconds: float,
    reporter: Reporter,
    processes: Sequence[NodeProcess],
    poll: float = POLL_S,
) -> float:
    """Call `probe` until its first value is true; its second says how far things are.

    The answer is the seconds it took. WaitFailed when they run out, or at once
    when one of `processes`, which all must live, has ended.
    """
    started = time.monotonic()
    while True:
        done, text = probe()
        elapsed = time.monotonic() - started
        reporter.progress(f"{what}: {text}")
        if done:
            return elapsed
        for process in processes:
            if not process.alive:
                raise WaitFailed(
                    f"{process.plan.name} ended with status {process.exit_status} during the wait for "
                    f"'{what}'. {process.end_of_log()}"
                )
        if elapsed > seconds:
            raise WaitFailed(
                f"'{what}' did not happen within {seconds:.0f} s ({text}).\n"
                + "\n".join(f"  {process.end_of_log()}" for process in processes)
            )
        time.sleep(poll)
