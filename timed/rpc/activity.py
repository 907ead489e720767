"""The calls of one process: which are under way, from whom, since when, and how many there were."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator

import attrs

from timed.monitor.histogram import Histogram
from timed.params import SECOND
from timed.rpc.caller import Caller

ADMINISTRATOR, ORDINARY = "administrator", "ordinary"
"""The lanes: an administrator's call is computed at once, the others wait their turn."""
WAITING, RUNNING, FORWARDED = "waiting", "running", "forwarded"
"""Where a call stands: not let in yet, computed here, or asked of the chain process."""


def _now_us() -> int:
    return time.time_ns() // 1000


@attrs.define(eq=False)
class Call:
    """One call under way; `begun` is seconds of the monotonic clock."""

    method: str
    caller: Caller
    begun: float
    state: str = WAITING

    @property
    def lane(self) -> str:
        return ADMINISTRATOR if self.caller.passes else ORDINARY


class Activity:
    """Kept by the dispatcher. The calls under way are bounded by the connections: each brings one at a time."""

    def __init__(
        self, monotonic: Callable[[], float] = time.monotonic, clock: Callable[[], int] = _now_us
    ) -> None:
        self._monotonic = monotonic
        self._clock = clock
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

    def begin(self, method: str, caller: Caller) -> Call:
        self.calls[method] += 1
        call = Call(method, caller, self._monotonic())
        self._active[call] = None
        return call

    def end(self, call: Call) -> None:
        del self._active[call]
        spent = self.durations.get(call.method)
        if spent is None:
            spent = self.durations[call.method] = Histogram()
        spent.observe(self._monotonic() - call.begun)

    def age_us(self, call: Call) -> int:
        """Microseconds since a call came."""
        return round((self._monotonic() - call.begun) * SECOND)

    def since(self, call: Call) -> int:
        """When it came, in unix seconds of the clock as it is now."""
        return (self._clock() - self.age_us(call)) // SECOND
