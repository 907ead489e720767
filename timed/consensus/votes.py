"""The votes of a height: by round and step, who is where, and the certificate they make."""

from __future__ import annotations

from collections.abc import Collection

from timed.params import NULL_HASH
from timed.primitives.certificate import PRECOMMIT, PREVOTE, BlockCertificate, bitmap_of
from timed.primitives.roster import Roster, is_quorum
from timed.wire.messages import BlockVote

NIL = NULL_HASH

MAX_ROUNDS_AHEAD = 64
"""Votes for rounds beyond this distance only say where their signer is; a member that gets there is told
them again. Whoever signs for rounds to come fills no more than this, and no longer answer to `RoundState`."""
MAX_ROUNDS_BEHIND = 64
"""Votes and proposals of earlier rounds than this are forgotten, unless a lock, a certificate or the proof of a
proposal is of their round.

Nothing else asks for them: a quorum of precommits that nobody has whole is locked on its block, and takes it
through a later round.
"""


def is_near(number: int, round_: int, ahead: int) -> bool:
    """Whether round `number` is one that a member in `round_` keeps something of, whatever it is."""
    return round_ - MAX_ROUNDS_BEHIND <= number <= round_ + ahead


class VoteSet:
    """The votes of one round and step, a member's first one and what else must count.

    A second, different vote proves its signer a liar. It counts for its block all the
    same once others with a third of the weight stand behind that block: a liar that
    votes one way here and another way there could else hide from some of us a quorum
    that the rest has seen, and that they are locked on. A third contains an honest
    member, so no more than three blocks get that far.
    """

    __slots__ = ("_roster", "_signers", "_weight_of", "by_member", "weight")

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self._signers: dict[bytes, dict[int, BlockVote]] = {}
        self._weight_of: dict[bytes, int] = {}
        self.by_member: dict[int, BlockVote] = {}
        """The first vote of each."""
        self.weight = 0

    def add(self, vote: BlockVote) -> BlockVote | None:
        """Count `vote`; the member's first vote if that was for something else."""
        first = self.by_member.setdefault(vote.member, vote)
        weight = self._roster.members[vote.member].weight
        if first is vote:
            self.weight += weight
        elif 3 * self._weight_of.get(vote.block, 0) < self._roster.total_weight:
            return first if first.block != vote.block else None
        signers = self._signers.setdefault(vote.block, {})
        if vote.member not in signers:
            signers[vote.member] = vote
            self._weight_of[vote.block] = self._weight_of.get(vote.block, 0) + weight
        return first if first.block != vote.block else None

    def knows(self, vote: BlockVote) -> bool:
        """This very vote has been counted."""
        return self._signers.get(vote.block, {}).get(vote.member) == vote

    def signers(self, block: bytes) -> tuple[int, ...]:
        """The members whose vote counts for `block`, in roster order."""
        return tuple(sorted(self._signers.get(block, ())))

    def all(self) -> list[BlockVote]:
        """Every vote that counts, by member."""
        votes = [vote for signers in self._signers.values() for vote in signers.values()]
        return sorted(votes, key=lambda vote: vote.member)

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
        signers = self.signers(block)
        votes = self._signers[block]
        first = votes[signers[0]]
        return BlockCertificate(
            chain_id=first.chain_id,
            height=first.height,
            round=first.round,
            target=block,
            roster=self._roster.hash,
            bitmap=bitmap_of(signers, len(self._roster.members)),
            signatures=tuple(votes[member].signature for member in signers),
        )


class VoteBook:
    """All votes of one height, who is in which round, and late precommits for the height before."""

    def __init__(self) -> None:
        self._previous: tuple[int, int, bytes, VoteSet] | None = None
        self.height = 0
        self.begin(0, Roster(members=()), None)

    def begin(self, height: int, roster: Roster, decided: tuple[int, bytes] | None) -> None:
        """A new height; `decided` is (round, block) if the rounds of the one before decided it."""
        if decided is not None:
            round_, block = decided
            self._previous = (self.height, round_, block, self.at(round_, PRECOMMIT))
        self.height = height
        self._roster = roster
        self._sets: dict[tuple[int, int], VoteSet] = {}
        self._highest: dict[int, int] = {}

    def at(self, round_: int, step: int) -> VoteSet:
        votes = self._sets.get((round_, step))
        if votes is None:
            votes = self._sets[round_, step] = VoteSet(self._roster)
        return votes

    def knows(self, vote: BlockVote) -> bool:
        """This very vote has been counted."""
        votes = self._sets.get((vote.round, vote.step)) if vote.height == self.height else None
        if votes is None and self._previous is not None and vote.height == self._previous[0]:
            votes = self._previous[3]
        return votes is not None and votes.knows(vote)

    def forget_past(self, round_: int, needed: Collection[int]) -> int:
        """Forget the votes of rounds that are long past for a member in `round_`, but those `needed`; how many."""
        past = [key for key in self._sets if key[0] < round_ - MAX_ROUNDS_BEHIND and key[0] not in needed]
        return sum(len(self._sets.pop(key).all()) for key in past)

    def heard(self, member: int, round_: int) -> None:
        """A member has signed something in `round_`."""
        self._highest[member] = max(round_, self._highest.get(member, 0))

    def round_of_a_third(self, beyond: int, me: int | None) -> int | None:
        """The highest round from `beyond` on that others with a third of the weight have reached."""
        ahead = [
            (round_, self._roster.members[member].weight)
            for member, round_ in self._highest.items()
            if member != me and round_ >= beyond
        ]
        weight = 0
        for round_, one in sorted(ahead, reverse=True):
            weight += one
            if 3 * weight >= self._roster.total_weight:
                return round_
        return None

    def precommitted(self) -> list[tuple[int, bytes]]:
        """(round, block) of every block that a quorum has precommitted."""
        return [
            (round_, block)
            for (round_, step), votes in self._sets.items()
            if step == PRECOMMIT and (block := votes.winner()) is not None
        ]

    def is_wanted(self, round_: int, block: bytes) -> bool:
        """A quorum of `round_` has prevoted or precommitted `block`."""
        return any(
            (votes := self._sets.get((round_, step))) is not None and votes.has_quorum(block)
            for step in (PREVOTE, PRECOMMIT)
        )

    def prevotes(self, round_: int) -> list[BlockVote]:
        """The prevotes of one round, by member."""
        votes = self._sets.get((round_, PREVOTE))
        return votes.all() if votes is not None else []

    def since(self, round_: int) -> list[BlockVote]:
        """Every vote from `round_` on, by round, step and member."""
        return [vote for key in sorted(self._sets) if key[0] >= round_ for vote in self._sets[key].all()]

    def wants_late(self, vote: BlockVote) -> bool:
        """A precommit that adds a signer to the certificate of the height before."""
        if self._previous is None:
            return False
        height, round_, block, votes = self._previous
        place = (vote.height, vote.round, vote.step, vote.block)
        return place == (height, round_, PRECOMMIT, block) and vote.member not in votes.signers(block)

    def take_late(self, vote: BlockVote) -> bool:
        """True when `vote` is for the height before; a precommit for its block is counted."""
        if self._previous is None or vote.height != self._previous[0]:
            return False
        _, round_, block, votes = self._previous
        if (vote.round, vote.step, vote.block) == (round_, PRECOMMIT, block):
            votes.add(vote)
        return True

    def fullest(self, height: int, stored: BlockCertificate) -> BlockCertificate:
        """The certificate of the tip with the most signers: late precommits are attendance, too."""
        if self._previous is not None and self._previous[0] == height:
            _, _, block, votes = self._previous
            if block == stored.target and len(votes.signers(block)) > len(stored.signatures):
                return votes.certificate(block)
        return stored
