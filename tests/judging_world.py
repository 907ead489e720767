"""A validator's desk on a real chain: certified payments, epoch reports and the proposals they make."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from tests import builders
from tests.consensus_world import EpochDesk, keys_of
from timed.consensus.judging import Judging
from timed.consensus.proposer import proposer
from timed.consensus.signing import signed
from timed.crypto.batch import verify_batch
from timed.params import REGTEST
from timed.primitives.block import ReportReference
from timed.primitives.certificate import BlockCertificate
from timed.primitives.transaction import Transaction
from timed.wire.messages import BlockProposal, EpochReport, ProposalBody


class JudgingDesk(EpochDesk):
    """A member of four (or `members`) that judges what the others propose for the block after `height`."""

    def __init__(
        self, height: int = 2, *, members: int = 4, me: int | None = 0, slow_checks: bool = False
    ) -> None:
        self.chain = builders.ChainBuilder(builders.genesis(members))
        for number in range(height):
            self.chain.extend((builders.transfer([self.chain.allocation(50 + number)]),))
        super().__init__((1,) * members, me, epoch=height + 1)
        self.ledger = self.chain.ledger
        self.roster = self.ledger.roster(height + 1)
        self.keys = keys_of(self.roster)
        self.coins.update((outpoint, None) for outpoint, _ in self.chain.store.coins())
        self.begin(height + 1)
        self.slow_checks = slow_checks
        self.checks: list[Callable[[], None]] = []
        self.checked = 0
        self.verdicts: list[tuple[bytes, bool]] = []
        self.judging = Judging(REGTEST, self.ledger, self.closing, self._check)
        self.judging.begin(self.roster)

    def _check(self, items: Sequence[tuple[bytes, bytes, bytes]], then: Callable[[bool, int], None]) -> None:
        def verdict() -> None:
            self.checked += len(items)
            then(all(verify_batch(items)), self.now)

        if self.slow_checks:
            self.checks.append(verdict)
        else:
            verdict()

    def pay(self, number: int, amounts: Sequence[int] = (), **fields: Any) -> Transaction:
        """A signed payment from coin `number` of the allocation."""
        return builders.transfer([self.chain.allocation(number)], amounts, **fields)

    def certified(self, *numbers: int) -> list[Transaction]:
        """Payments from these coins, certified here."""
        payments = [self.pay(number) for number in numbers]
        self.certify_all(payments)
        return payments

    def certify_all(self, payments: Sequence[Transaction]) -> None:
        for payment in payments:
            self.know(payment)
            self.votes(payment.txid, *range(1, len(self.roster.members)))

    def reports_of(self, transactions: Sequence[Transaction], *members: int) -> list[EpochReport]:
        """Reports of these members (the first quorum by default) that name the transactions."""
        count = len(self.roster.members)
        return [
            self.report(member, *(one.txid for one in transactions))
            for member in members or range((2 * count + 2) // 3)
        ]

    def propose(
        self,
        transactions: Sequence[Transaction],
        reports: Sequence[EpochReport],
        *,
        round_: int = 0,
        author: int | None = None,
        parent: BlockCertificate | None = None,
        time: int | None = None,
        header: dict[str, Any] | None = None,
        **fields: Any,
    ) -> BlockProposal:
        """The proposal of a block with these contents; `header` and `fields` bend it afterwards."""
        tip = self.ledger.tip
        if author is None:
            author = proposer(self.roster, tip.height + 1, round_)
        certificate = parent or tip.certificate
        block, _ = self.ledger.make_block(
            time=tip.header.time + self.chain.genesis.interval if time is None else time,
            round=round_,
            proposer=self.roster.members[author].operator_key,
            transactions=transactions,
            reports=tuple(ReportReference(one.member, one.hash) for one in reports),
            parent_certificate=certificate,
        )
        body = ProposalBody.of(
            reports, attendance=block.attendance, evidence=(), parent_certificate=certificate
        )
        unsigned = BlockProposal(
            chain_id=REGTEST.chain_id,
            round=round_,
            valid_round=0,
            header=msgspec.structs.replace(block.header, **(header or {})),
            body=body,
            signature=bytes(64),
        )
        return signed(msgspec.structs.replace(unsigned, **fields), self.keys[author])

    def judge(self, proposal: BlockProposal) -> list[bool]:
        """Hand it in; the verdicts on it so far."""
        self.judging.judge(proposal, self._verdict, self.now)
        self.settle()
        return self.verdict_on(proposal)

    def verdict_on(self, proposal: BlockProposal) -> list[bool]:
        return [valid for block, valid in self.verdicts if block == proposal.body.hash]

    def retry(self) -> None:
        self.judging.retry(self.now)
        self.settle()

    def _verdict(self, proposal: BlockProposal, valid: bool, now: int) -> None:
        self.verdicts.append((proposal.body.hash, valid))
