"""What every loop of the process shares: how it is called again, and why one gets nowhere."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from timed.errors import StoreError

T = TypeVar("T")


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


class Steps:
    """Steps that a thread does one after the other: at most one is asked for, and at most one under way.

    `begin` hands a step to `run`, or finds that nothing is to be done. `answered` counts the
    steps that came to an end, good or bad: it is what a watchdog looks at.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        in_thread: Callable[[Callable[[], Any]], Deferred[Any]],
        begin: Callable[[], object],
    ) -> None:
        """`in_thread` calls a function on the one thread that does the steps."""
        self._reactor = reactor
        self._in_thread = in_thread
        self._begin = begin
        self._call: IDelayedCall | None = None
        self._under_way: Deferred[Any] | None = None
        self._stopped = False
        self.answered = 0

    @property
    def busy(self) -> bool:
        """A step is under way."""
        return self._under_way is not None

    @property
    def timer_set(self) -> bool:
        """The next step is asked for."""
        return self._call is not None and self._call.active()

    @property
    def cause(self) -> Cause:
        """Why there is no progress, while the thread is not inside a step."""
        return Cause.WAITS if self.busy or self.timer_set else Cause.DIED

    def now(self) -> None:
        """Begin a step, unless one is under way or asked for, or no more are wanted."""
        if not (self.busy or self.timer_set or self._stopped):
            self._begin()

    def after(self, seconds: float) -> None:
        """The same, later."""
        if not (self.busy or self.timer_set or self._stopped):
            self._call = self._reactor.callLater(seconds, self._begin)

    def run(self, step: Callable[[], T]) -> Deferred[T]:
        """Do a step on the thread; fires with what it came to, or with StoreError once it is given up."""
        answer: Deferred[T] = Deferred()
        self._under_way = answer
        maybeDeferred(self._in_thread, step).addBoth(self._answered, answer)
        return answer

    def restart(self) -> None:
        """Give up what is under way. Only while the thread is not inside a step: its answer is lost.

        Should it come after all, it is passed over.
        """
        self._cancel()
        lost, self._under_way = self._under_way, None
        if lost is not None:
            lost.errback(StoreError("its thread has not answered."))
        else:
            self.after(0)

    def stop(self) -> None:
        """No step begins any more, and no call is left. One that is under way ends."""
        self._stopped = True
        self._cancel()

    def _cancel(self) -> None:
        call, self._call = self._call, None
        if call is not None and call.active():
            call.cancel()

    def _answered(self, result: Any, answer: Deferred[Any]) -> None:
        if self._under_way is answer:
            self._under_way = None
            self.answered += 1
            answer.callback(result)
