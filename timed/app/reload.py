"""What is read again when the operator says so, with SIGHUP or the method `reload`."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable
from types import FrameType
from typing import Any

import attrs
from twisted.application.service import Service
from twisted.logger import Logger

from timed.errors import LocalError

MAX_ENTRIES = 16
"""What is read again, in one process: a bug beyond it."""


@attrs.frozen
class Outcome:
    """What became of one thing: what is in force now, or why that is what it was before."""

    what: str
    now: str = ""
    error: LocalError | None = None


class Reloads:
    """Owners enter what they read; each keeps what it has when the new one cannot be used."""

    _log = Logger()

    def __init__(self) -> None:
        self.counters: Counter[tuple[str, str]] = Counter()
        """By what was read, and `done` or `failed`."""
        self._acts: dict[str, Callable[[], str]] = {}

    def add(self, what: str, act: Callable[[], str]) -> Callable[[], None]:
        """`act` reads anew and says what is in force then, or raises LocalError and has changed nothing.

        Ends when what is returned is called.
        """
        if what in self._acts or len(self._acts) >= MAX_ENTRIES:
            raise LocalError(f"cannot reload {what}, too.")
        self._acts[what] = act

        def end() -> None:
            del self._acts[what]

        return end

    def run(self) -> list[Outcome]:
        """Read everything again, one independent of the other."""
        return [self._one(what, act) for what, act in list(self._acts.items())]

    def _one(self, what: str, act: Callable[[], str]) -> Outcome:
        try:
            now = act()
        except LocalError as error:
            return self._failed(what, error)
        except Exception:  # noqa: BLE001 - a bug in one must not keep the others from being read
            self._log.failure("reading {what} again raised", what=what)
            return self._failed(
                what, LocalError("it cannot be read for a bug.", "Report the traceback in the log.")
            )
        self.counters[what, "done"] += 1
        self._log.info("read again: {what}, now {now}", what=what, now=now)
        return Outcome(what, now)

    def _failed(self, what: str, error: LocalError) -> Outcome:
        self.counters[what, "failed"] += 1
        self._log.error("kept as before: {what}: {reason}", what=what, reason=str(error))
        return Outcome(what, error=error)


class HangupService(Service):
    """Reloads with SIGHUP while it runs; the handler that was there before comes back at the end."""

    def __init__(self, reloads: Reloads, reactor: Any) -> None:
        self._reloads = reloads
        self._reactor = reactor
        self._before: Any = None

    def startService(self) -> None:
        super().startService()
        self._before = signal.signal(signal.SIGHUP, self._hung_up)

    def stopService(self) -> None:
        super().stopService()
        signal.signal(signal.SIGHUP, self._before)

    def _hung_up(self, number: int, frame: FrameType | None) -> None:
        """Between two instructions of whatever runs: not here, in a turn of the reactor."""
        self._reactor.callFromThread(self._reloads.run)
