"""The calls of one process: which are under way, from whom, since when, how many there were, what they cost."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator
from typing import Any, TypeVar

import attrs

from timed.monitor.histogram import Histogram
from timed.params import SECOND
from timed.rpc.caller import Caller

ADMINISTRATOR, ORDINARY = "administrator", "ordinary"
"""The lanes: an administrator's call is computed at once, the others wait their turn."""
SAMPLE = 7
"""One call of so many of a light method is measured and stands for all: the thread's clock takes microseconds."""
HEAVY = 10
"""From this price on each call of a method is measured."""
WAITING, RUNNING, FORWARDED = "waiting", "running", "forwarded"
"""Where a call stands: not let in yet, computed here, or asked of the chain process."""


T = TypeVar("T")


def _now_us() -> int:
    return time.time_ns() // 1000


@attrs.define(eq=False)
class Call:
    """One call under way; `begun` is seconds of the monotonic clock."""

    method: str
    caller: Caller
    begun: float
    number: int = 0
    """Of the calls of this process; a log line that belongs to one names it."""
    weight: int = 0
    """How many calls the measured time of this one stands for; 0 when it is not measured."""
    state: str = WAITING

    @property
    def lane(self) -> str:
        return ADMINISTRATOR if self.caller.passes else ORDINARY


class Activity:
    """Kept by the dispatcher. The calls under way are bounded by the connections: each brings one at a time."""

    def __init__(
        self,
        monotonic: Callable[[], float] = time.monotonic,
        clock: Callable[[], int] = _now_us,
        cpu: Callable[[], int] = time.thread_time_ns,
        ended: Callable[[Call, float], object] = lambda call, seconds: None,
    ) -> None:
        """`cpu` is the CPU time of the thread that asks, in nanoseconds; `ended` hears of each call, and its seconds."""
        self._ended = ended
        self._monotonic = monotonic
        self._clock = clock
        self._cpu = cpu
        self._at = 0
        self._number = 0
        self._unmeasured: Counter[str] = Counter()
        self.running: Call | None = None
        """The call that the reactor's thread is working on now."""
        self.cpu: Counter[str] = Counter()
        """Nanoseconds of CPU time by method, on the reactor's thread and the reader's; it never goes back."""
        self._active: dict[Call, None] = {}
        self.durations: dict[str, Histogram] = {}
        """Seconds from a call's beginning to its end, waiting included, by method."""
        self.calls: Counter[str] = Counter()
        """Calls by method."""
        self.refused: Counter[str] = Counter()
        """Errors by rule."""

    def __len__(self) -> int:
        return len(self._active)

    def __iter__(self) -> Iterator[Call]:
        """The calls under way, oldest first."""
        return iter(list(self._active))

    def begin(self, method: str, caller: Caller, cost: int = HEAVY) -> Call:
        """A call of this price has come."""
        number = self._number = self._number + 1
        self.calls[method] += 1
        call = Call(method, caller, self._monotonic(), number, self._weight(method, cost))
        self._active[call] = None
        return call

    def _weight(self, method: str, cost: int) -> int:
        """Of a light method the first call, then one in `SAMPLE` for itself and those before it."""
        if cost >= HEAVY:
            return 1
        waiting = self._unmeasured[method] + 1
        if waiting < SAMPLE and self.calls[method] > 1:
            self._unmeasured[method] = waiting
            return 0
        self._unmeasured[method] = 0
        return waiting

    def measured(self, call: Call, work: Coroutine[Any, Any, T]) -> Measured[T]:
        """`work` for `call`, each of its steps at the call's expense."""
        return Measured(self, call, work)

    def switch(self, call: Call | None) -> Call | None:
        """What the thread does from now on is for `call`; whom it worked for before."""
        before = self.running
        if (before is not None and before.weight) or (call is not None and call.weight):
            now = self._cpu()
            if before is not None and before.weight:
                self.charge(before, now - self._at)
            self._at = now
        self.running = call
        return before

    def charge(self, call: Call, nanoseconds: int) -> None:
        """So much was computed for a call, here or on another thread."""
        if call.weight:
            self.cpu[call.method] += nanoseconds * call.weight

    def end(self, call: Call) -> None:
        del self._active[call]
        spent = self.durations.get(call.method)
        if spent is None:
            spent = self.durations[call.method] = Histogram()
        seconds = self._monotonic() - call.begun
        spent.observe(seconds)
        self._ended(call, seconds)

    def age_us(self, call: Call) -> int:
        """Microseconds since a call came."""
        return round((self._monotonic() - call.begun) * SECOND)

    def since(self, call: Call) -> int:
        """When it came, in unix seconds of the clock as it is now."""
        return (self._clock() - self.age_us(call)) // SECOND


class Measured(Awaitable[T]):
    """A coroutine whose steps are counted, whoever drives it; what it awaits meanwhile is not."""

    __slots__ = ("_activity", "_call", "_work")

    def __init__(self, activity: Activity, call: Call, work: Coroutine[Any, Any, T]) -> None:
        self._activity = activity
        self._call = call
        self._work = work

    def __await__(self) -> Generator[Any, Any, T]:
        work, switch = self._work, self._activity.switch
        step: Callable[[Any], Any] = work.send
        value: Any = None
        while True:
            before = switch(self._call)
            try:
                awaited = step(value)
            except StopIteration as ended:
                result: T = ended.value
                return result
            finally:
                switch(before)
            try:
                value, step = (yield awaited), work.send
            except GeneratorExit:
                work.close()
                raise
            except BaseException as error:  # noqa: BLE001 - it belongs to whoever awaits
                value, step = error, work.throw
