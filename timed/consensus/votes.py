"""The votes of one (round, step), and the certificate they make."""

from __future__ import annotations

from timed.params import NULL_HASH
from timed.primitives.certificate import BlockCertificate, bitmap_of
from timed.primitives.roster import Roster, is_quorum
from timed.wire.messages import BlockVote

NIL = NULL_HASH


class VoteSet:
    """One vote a member; a second, different one is returned as proof of equivocation."""

    __slots__ = ("_roster", "_weight_of", "by_member", "weight")

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self._weight_of: dict[bytes, int] = {}
        self.by_member: dict[int, BlockVote] = {}
        self.weight = 0

    def add(self, vote: BlockVote) -> BlockVote | None:
        """Count `vote`; the member's earlier vote if that was for something else."""
        known = self.by_member.get(vote.member)
        if known is not None:
            return known if known.block != vote.block else None
        weight = self._roster.members[vote.member].weight
        self.by_member[vote.member] = vote
        self.weight += weight
        self._weight_of[vote.block] = self._weight_of.get(vote.block, 0) + weight
        return None

    def has_quorum(self, block: bytes) -> bool:
        return is_quorum(self._weight_of.get(block, 0), self._roster.total_weight)

    def any_quorum(self) -> bool:
        """A quorum has voted, for whatever."""
        return is_quorum(self.weight, self._roster.total_weight)

    def winner(self) -> bytes | None:
        """The block (not nil) that a quorum voted for."""
        for block in self._weight_of:
            if block != NIL and self.has_quorum(block):
                return block
        return None

    def certificate(self, block: bytes) -> BlockCertificate:
        """Everybody's signature for `block`, in roster order; the weight is a quorum."""
        signers = sorted(member for member, vote in self.by_member.items() if vote.block == block)
        first = self.by_member[signers[0]]
        return BlockCertificate(
            chain_id=first.chain_id,
            height=first.height,
            round=first.round,
            target=block,
            roster=self._roster.hash,
            bitmap=bitmap_of(signers, len(self._roster.members)),
            signatures=tuple(self.by_member[member].signature for member in signers),
        )
