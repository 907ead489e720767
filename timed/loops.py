"""What every loop of the process shares: being called every so many seconds, and why one gets nowhere."""

from __future__ import annotations

import enum
from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime


class Cause(enum.Enum):
    """Why a loop shows no progress; the values are shown."""

    DIED = "its timer is gone, an exception ended it: the log has the traceback"
    FAILS = "it raises in every turn: the log has the traceback"
    WAITS = "what it waits for does not answer"
    THREAD = "its thread does not come back"


class Ticker:
    """Calls `work` every `every_s()` seconds from `start` to `stop`.

    The next call is asked for before this one is made, so that an exception, which the
    reactor logs, costs one turn. `turns` counts those that came back: it is what a
    watchdog looks at.
    """

    def __init__(
        self, reactor: IReactorTime, every_s: float | Callable[[], float], work: Callable[[], object]
    ) -> None:
        self._reactor = reactor
        self.every_s = every_s if callable(every_s) else lambda: every_s
        """Seconds between two turns, now."""
        self._work = work
        self._call: IDelayedCall | None = None
        self.turns = 0

    @property
    def alive(self) -> bool:
        """The next turn is asked for."""
        return self._call is not None and self._call.active()

    def start(self, *, at_once: bool = True) -> None:
        """Make the first call now, or after one interval; a second start begins the interval anew."""
        self.stop()
        if at_once:
            self._turn()
        else:
            self._call = self._reactor.callLater(self.every_s(), self._turn)

    def stop(self) -> None:
        """No call is left. One that is under way ends."""
        call, self._call = self._call, None
        if call is not None and call.active():
            call.cancel()

    def restart(self) -> None:
        """What a watchdog does: the next turn comes at once, in a turn of the reactor of its own."""
        self.stop()
        self._call = self._reactor.callLater(0, self._turn)

    def _turn(self) -> None:
        self._call = self._reactor.callLater(self.every_s(), self._turn)
        self._work()
        self.turns += 1
