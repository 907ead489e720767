"""Directions between machines that carry nothing, and until when."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from timed.sim.mesh_rules import Pair
    from timed.sim.network import Network


class Cuts:
    """What several mishaps cut carries again when the last of them is over.

    `mending` is told which directions are about to carry again.
    """

    def __init__(
        self, network: Network, mending: Callable[[list[Pair]], object] = lambda pairs: None
    ) -> None:
        self._network = network
        self._mending = mending
        self._until: dict[Pair, int | None] = {}

    def cut(self, pairs: Sequence[Pair], duration: int | None) -> None:
        """Nothing arrives on these directions for so many microseconds, or (None) until `heal`."""
        clock = self._network.clock
        for pair in pairs:
            until = self._until.get(pair, 0)
            keeps = until is None or duration is None
            self._until[pair] = None if keeps else max(until or 0, clock.now + (duration or 0))
        self._network.block(pairs)
        if duration is not None:
            clock.after(duration, f"paths {len(pairs)} carry again", lambda: self._over(pairs))

    def heal(self) -> None:
        """Every direction carries."""
        self._until.clear()
        self._mend(list(self._network.paths))

    def _over(self, pairs: Sequence[Pair]) -> None:
        now = self._network.clock.now
        over = [pair for pair in pairs if (until := self._until.get(pair)) is not None and until <= now]
        for pair in over:
            del self._until[pair]
        self._mend(over)

    def _mend(self, pairs: list[Pair]) -> None:
        self._mending(pairs)
        self._network.unblock(pairs)
