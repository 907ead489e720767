"""Which calls of the node are measured, and on which clock."""

from __future__ import annotations

from collections.abc import Callable

from timed.peer.costs import OTHER, Costs

SAMPLE = 7
"""One call of so many is measured. A prime: no rhythm of calls keeps one kind of them out."""


class Meter:
    """Lends the node a clock of this thread's CPU time, one call in `SAMPLE`."""

    def __init__(self, costs: Costs, clock: Callable[[], int]) -> None:
        self._costs = costs
        self._clock = clock
        self._calls = 0
        self._began = 0
        self.calling = ""
        """The call that the node is in now; empty between two."""
        self.spent: dict[str, int] = {}
        """Nanoseconds by call, out of the sample; it never goes back."""

    @property
    def doing(self) -> str:
        """What the node does now, in words: its call, and the message that was taken up last; empty between two."""
        calling, named = self.calling, self._costs.named
        return calling if not calling or named == OTHER else f"{calling}, {named}"

    @property
    def whose(self) -> bytes | None:
        """The node id of the peer whose message is being handled; None between two messages."""
        lanes = self._costs.whose
        return None if not self.calling or lanes is None else lanes.owner

    def begin(self, call: str) -> None:
        """The node is about to be called."""
        self.calling = call
        self._costs.idle()
        self._calls += 1
        if not self._calls % SAMPLE:
            self._began = self._costs.lend(self._clock, SAMPLE)

    def end(self) -> None:
        """The call has returned, or raised."""
        call, self.calling = self.calling, ""
        if self._costs.clock is not None:
            spent = self._costs.take_back() - self._began
            self.spent[call] = self.spent.get(call, 0) + spent * SAMPLE
        self._costs.idle()
