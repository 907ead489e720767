"""A clock that a pause or a step of the host's clock does not turn into a timeout.

`now` is unix time as the host reads it. It may step, and the process may be
stopped for minutes while its peers' bytes wait in the kernel. Timers of sessions
therefore run on steady time: it advances with `now`, never backwards, and never
far beyond the next deadline, because the host wakes the node at that deadline
whenever it can.
"""

from __future__ import annotations

from timed.params import SECOND

LATENESS_TOLERATED = SECOND
"""How late a wake may be before the surplus counts as a pause."""


class SteadyClock:
    """Turns the host's `now` into steady microseconds, and deadlines back."""

    __slots__ = ("_seen", "compared", "pauses", "time")

    def __init__(self) -> None:
        self.time = 0
        """Steady time; it begins at the first `now` that was read."""
        self._seen: int | None = None
        self.compared = 0
        """How often the host's clock was compared with a peer's."""
        self.pauses = 0
        """How often surplus time was cut, or the host's clock stepped back."""

    @property
    def wall(self) -> int:
        """The host's unix time when it was last read."""
        return self._seen or 0

    def read(self, now: int, due: int | None) -> int:
        """The steady time of `now`; `due` is the next deadline that was asked for."""
        if self._seen is None:
            self.time = self._seen = now
            return now
        step = now - self._seen
        self._seen = now
        if step < 0:
            self.pauses += 1
            return self.time
        if due is not None:
            most = max(0, due - self.time) + LATENESS_TOLERATED
            if step > most:
                self.pauses += 1
                step = most
        self.time += step
        return self.time

    def host_time(self, due: int) -> int:
        """The host's time at which the steady clock will show `due`."""
        return self.wall + due - self.time
