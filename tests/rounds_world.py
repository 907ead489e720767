"""The rounds of one height on a desk of `tests.consensus_world`: what a block is worth is up to the test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from tests.consensus_world import EPOCH, START, Desk, weighted_roster
from timed.consensus import effects as fx
from timed.consensus.proposer import proposer
from timed.consensus.rounds import Rounds
from timed.consensus.signing import signed
from timed.params import NULL_HASH, REGTEST, SECOND
from timed.primitives.block import BlockHeader
from timed.primitives.certificate import PRECOMMIT, PREVOTE
from timed.primitives.hashing import tagged_hash
from timed.wire.messages import BlockProposal, BlockVote, ProposalBody

NIL = NULL_HASH
EMPTY = ProposalBody.of((), attendance=b"", evidence=(), parent_certificate=None)


class RoundsDesk(Desk):
    """The rounds of one height; what a proposal is worth is what the test says."""

    def __init__(
        self,
        weights: Sequence[int] = (1, 1, 1, 1),
        me: int | None = 0,
        *,
        manual: bool = False,
        height: int = EPOCH,
        timeout: int = SECOND,
        signing: bool = True,
    ) -> None:
        super().__init__(weights, me, manual)
        self.fresh = self.ripe = self.can_propose = True
        self.judge_at_once = True
        self.invalid: dict[bytes, None] = {}
        self.under_judgement: list[BlockProposal] = []
        self.decisions: list[fx.Decide] = []
        self.forgotten: list[bytes] = []
        self.proposed = 0
        self.rounds = Rounds(
            REGTEST,
            self.key,
            timeout,
            lambda time, now: self.fresh,
            lambda now: self.ripe,
            self._propose,
            self.effects,
        )
        self.signing = signing
        self.begin(height)

    def begin(self, height: int) -> None:
        self.rounds.begin(height, self.roster, self.me, signing=self.signing, start_at=self.now + SECOND)

    def start(self) -> None:
        """The slot has come."""
        self.wait(SECOND)

    def own(self, message: Any) -> None:
        self.rounds.own(message, self.now)

    def execute(self, effect: fx.Effect) -> None:
        if isinstance(effect, fx.Judge):
            self.under_judgement.append(effect.proposal)
            if self.judge_at_once:
                self.judge()
        elif isinstance(effect, fx.Decide):
            self.decisions.append(effect)
        elif isinstance(effect, fx.Forget):
            self.forgotten.append(effect.block_hash)
        else:
            super().execute(effect)

    def judge(self) -> None:
        """Give the verdicts that are waited for."""
        while self.under_judgement:
            proposal = self.under_judgement.pop(0)
            self.rounds.judged(proposal, proposal.header.hash not in self.invalid, self.now)
        self.settle()

    def restarted(self, **options: Any) -> RoundsDesk:
        """The machine of a process that finds this log."""
        weights = [member.weight for member in self.roster.members]
        desk = RoundsDesk(weights, self.me, height=self.rounds.height, **options)
        desk.now = self.now + SECOND
        for record in self.records():
            desk.rounds.restore(record)  # type: ignore[arg-type]
        desk.log = list(self.log)
        desk.signatures = list(self.signatures)
        desk.rounds.resume(desk.now)
        desk.settle()
        return desk

    # Messages

    def proposer(self, round_: int) -> int:
        return proposer(self.roster, self.rounds.height, round_)

    def round_of(self, member: int, *, after: int = -1) -> int:
        """The first round beyond `after` in which `member` proposes."""
        return next(one for one in range(after + 1, after + 200) if self.proposer(one) == member)

    def block(self, name: str = "block", round_: int = 0) -> BlockHeader:
        """A header that is like no other."""
        mark = tagged_hash("test-block", name.encode())
        return BlockHeader(
            version=1, chain_id=REGTEST.chain_id, height=self.rounds.height, time=START // SECOND,
            previous=mark, tx_root=mark, utxo_root=mark, filter_root=mark, roster=self.roster.hash,
            next_roster=self.roster.hash, attendance_root=mark, evidence_root=mark, reward=0,
            proposer=self.roster.members[self.proposer(round_)].operator_key, round=round_,
        )  # fmt: skip

    def proposal(self, header: BlockHeader, round_: int = 0, *, valid: int | None = None) -> BlockProposal:
        """The proposer of `round_` proposes `header`, valid since round `valid` if that is given."""
        return signed(self._unsigned(header, round_, valid), self.keys[self.proposer(round_)])

    def hear(self, proposal: BlockProposal) -> None:
        self.rounds.proposal(proposal, self.now)
        self.settle()

    def vote(self, signer: int, step: int, block: bytes, round_: int = 0, **changes: Any) -> BlockVote:
        unsigned = BlockVote(
            chain_id=REGTEST.chain_id, height=self.rounds.height, round=round_, step=step, block=block,
            roster=self.roster.hash, member=signer, signature=bytes(64),
        )  # fmt: skip
        return signed(msgspec.structs.replace(unsigned, **changes), self.keys[signer])

    def hear_vote(self, vote: BlockVote) -> None:
        self.rounds.vote(vote, self.now)
        self.settle()

    def prevotes(self, block: bytes, *members: int, round_: int = 0) -> None:
        for member in members:
            self.hear_vote(self.vote(member, PREVOTE, block, round_))

    def precommits(self, block: bytes, *members: int, round_: int = 0) -> None:
        for member in members:
            self.hear_vote(self.vote(member, PRECOMMIT, block, round_))

    def wait(self, microseconds: int) -> None:
        self.pass_time(microseconds, self.rounds)

    def own_votes(self, step: int | None = None) -> list[tuple[int, int, bytes]]:
        """(round, step, block) of the votes that left."""
        return [
            (message.round, message.step, message.block)
            for message in self.sent
            if isinstance(message, BlockVote) and message.member == self.me and step in (None, message.step)
        ]

    def own_proposals(self) -> list[BlockProposal]:
        return [message for message in self.sent if isinstance(message, BlockProposal)]

    def _propose(self, round_: int, now: int) -> BlockProposal | None:
        if not self.can_propose:
            return None
        self.proposed += 1
        return self._unsigned(self.block(f"own {self.proposed}", round_), round_, None)

    def _unsigned(self, header: BlockHeader, round_: int, valid: int | None) -> BlockProposal:
        return BlockProposal(
            chain_id=REGTEST.chain_id, round=round_, valid_round=0 if valid is None else valid + 1,
            header=header, body=EMPTY, signature=bytes(64),
        )  # fmt: skip


def speakers(weights: Sequence[int] = (1, 1, 1, 1), height: int = EPOCH) -> list[int]:
    """The members that propose in rounds 0, 1, 2, ... of a height, as often as there are members."""
    return [proposer(weighted_roster(weights), height, round_) for round_ in range(len(weights))]


def locked_in_round_0(**options: Any) -> tuple[RoundsDesk, BlockHeader]:
    """The last of four speakers, which has precommitted a block in round 0 and is in round 1 now."""
    first, second, _, last = speakers()
    desk = RoundsDesk(me=last, **options)
    block = desk.block("locked")
    desk.start()
    desk.hear(desk.proposal(block))
    desk.prevotes(block.hash, first, second)
    desk.precommits(NIL, first, second)
    desk.wait(SECOND)
    return desk, block


def advance(desk: RoundsDesk, round_: int) -> None:
    """The others have gone on to `round_`."""
    first, second, third, _ = speakers()
    for member in (first, second):
        desk.rounds.votes.heard(member, round_)
    desk.hear_vote(desk.vote(third, PREVOTE, NIL, round_))
