"""Which calls of the node are measured, and on which clock."""

from __future__ import annotations

from collections.abc import Callable

from timed.peer.costs import Costs

SAMPLE = 7
"""One call of so many is measured. A prime: no rhythm of calls keeps one kind of them out."""


class Meter:
    """Lends the node a clock of this thread's CPU time, one call in `SAMPLE`."""

    def __init__(self, costs: Costs, clock: Callable[[], int]) -> None:
        self._costs = costs
        self._clock = clock
        self._calls = 0

    def begin(self) -> None:
        """The node is about to be called."""
        self._calls += 1
        if not self._calls % SAMPLE:
            self._costs.lend(self._clock, SAMPLE)

    def end(self) -> None:
        """The call has returned, or raised."""
        if self._costs.clock is not None:
            self._costs.take_back()
