"""The proposals of one height, one for each round; of rounds long past only those that may matter still."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from timed.consensus.votes import is_near
from timed.wire.messages import BlockProposal

MAX_PROPOSALS_AHEAD = 8
"""A proposal for a later round than this is asked for again when its round is there."""


def may_matter(number: int, round_: int, bound: Sequence[tuple[int, bytes]]) -> bool:
    """Whether a member in `round_` keeps the proposal of round `number`; `bound` are (round, block) it rests on."""
    return is_near(number, round_, MAX_PROPOSALS_AHEAD) or any(number == at for at, _ in bound)


class Proposals(Mapping[int, BlockProposal]):
    """By round; the first that came counts."""

    def __init__(self) -> None:
        self._by_round: dict[int, BlockProposal] = {}

    def __getitem__(self, round_: int) -> BlockProposal:
        return self._by_round[round_]

    def __iter__(self) -> Iterator[int]:
        return iter(self._by_round)

    def __len__(self) -> int:
        return len(self._by_round)

    def add(self, proposal: BlockProposal) -> None:
        self._by_round.setdefault(proposal.round, proposal)

    def take(self, proposal: BlockProposal, round_: int, bound: Sequence[tuple[int, bytes]]) -> bool:
        """Keep one that may matter in `round_`; False when it does not, and its block is not one of `bound` either."""
        if may_matter(proposal.round, round_, bound):
            self.add(proposal)
            return True
        return any(proposal.header.hash == block for _, block in bound)

    def since(self, round_: int, earlier: Collection[int] = ()) -> list[BlockProposal]:
        """Those from `round_` on and of the rounds `earlier`, by round."""
        return [one for at, one in sorted(self._by_round.items()) if at >= round_ or at in earlier]

    def blocks_since(self, round_: int) -> set[bytes]:
        """The blocks proposed from `round_` on."""
        return {one.header.hash for one in self.since(round_)}

    def valid_rounds(self, round_: int = 0) -> set[int]:
        """The rounds whose prevotes prove a proposal of `round_` or a later one."""
        return {
            one.valid_round - 1
            for at, one in self._by_round.items()
            if at >= round_ and 0 < one.valid_round <= at
        }

    def forget_block(self, block: bytes) -> None:
        self._by_round = {at: one for at, one in self._by_round.items() if one.header.hash != block}

    def forget_past(self, round_: int, bound: Sequence[tuple[int, bytes]]) -> int:
        """Forget those that no longer matter in `round_`; how many."""
        kept = {at: one for at, one in self._by_round.items() if may_matter(at, round_, bound)}
        forgotten = len(self._by_round) - len(kept)
        self._by_round = kept
        return forgotten
