"""Whether a proposal says what the epoch reports say, and nothing else (protocol §3.4, §4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs

from timed.consensus.closing import Closing
from timed.consensus.proposer import proposer
from timed.errors import InvalidBlock, InvalidTransaction
from timed.ledger.content import BlockEffects
from timed.ledger.ledger import Ledger
from timed.params import NetworkParams
from timed.primitives.block import Block, ReportReference
from timed.primitives.certificate import BlockCertificate
from timed.primitives.roster import Roster
from timed.wire.messages import BlockProposal, EpochReport

Items = Sequence[tuple[bytes, bytes, bytes]]
Check = Callable[[Items, Callable[[bool, int], None]], None]
"""Check all signatures, then call back with "all are good" and the time."""
Verdict = Callable[[BlockProposal, bool, int], None]

MAX_JUDGED = 64
"""Proposals under judgement at one height; `Rounds` keeps no more values than this."""


@attrs.frozen
class Judged:
    """A proposal under judgement, and who wants to know."""

    proposal: BlockProposal
    reports: tuple[EpochReport, ...]
    verdict: Verdict


class Judging:
    """Proposals under judgement and the blocks of those found valid."""

    def __init__(self, params: NetworkParams, ledger: Ledger, closing: Closing, check: Check) -> None:
        self._params = params
        self._ledger = ledger
        self._closing = closing
        self._check = check
        self.refused: dict[str, int] = {}
        """Proposals found invalid, by rule."""
        self.overflow = 0
        """Those that could not be judged at once, and found no place to wait."""
        self.begin(Roster(members=()))

    def begin(self, roster: Roster) -> None:
        self._roster = roster
        self._waiting: dict[tuple[bytes, bytes], Judged] = {}
        self.blocks: dict[bytes, tuple[Block, BlockEffects]] = {}

    def judge(self, proposal: BlockProposal, verdict: Verdict, now: int) -> None:
        """Call `verdict(proposal, valid, now)` once everything the proposal rests on is here."""
        if proposal.header.hash in self.blocks:
            verdict(proposal, True, now)
            return
        try:
            reports = self._check_form(proposal)
            items = self._signatures(proposal, reports)
        except InvalidBlock as error:
            self._refuse(Judged(proposal, (), verdict), error.rule, now)
            return
        judged = Judged(proposal, reports, verdict)
        self._check(items, lambda good, later: self._checked(judged, good, later))

    def retry(self, now: int) -> None:
        """More certificates are held: judge what waited for them."""
        for judged in list(self._waiting.values()):
            self._finish(judged, now)

    def forget(self, block_hash: bytes) -> None:
        self.blocks.pop(block_hash, None)
        dropped = [self._waiting.pop(key) for key in tuple(self._waiting) if key[0] == block_hash]
        expected = {report.hash for judged in self._waiting.values() for report in judged.reports}
        for report in (report for judged in dropped for report in judged.reports):
            if report.hash not in expected:
                self._closing.expect_no_more(report)

    def build(
        self,
        time: int,
        round_: int,
        member: int,
        reports: Sequence[EpochReport],
        parent: BlockCertificate | None,
    ) -> Block:
        """The block that `reports` make; for the proposer and for every validator."""
        block, effects = self._ledger.make_block(
            time=time,
            round=round_,
            proposer=self._roster.members[member].operator_key,
            transactions=self._closing.contents(reports),
            reports=tuple(ReportReference(member=one.member, report=one.hash) for one in reports),
            parent_certificate=parent,
        )
        self.blocks[block.hash] = (block, effects)
        return block

    def _check_form(self, proposal: BlockProposal) -> tuple[EpochReport, ...]:
        """The proposal's reports, when all that can be said without signatures is right."""
        header = proposal.header
        if proposal.chain_id != self._params.chain_id or header.height != self._ledger.tip.height + 1:
            raise InvalidBlock("proposal-height")
        if proposal.valid_round == 0 and header.round != proposal.round:
            raise InvalidBlock("proposal-round")
        if proposal.valid_round > proposal.round or header.round > proposal.round:
            raise InvalidBlock("proposal-round")
        author = proposer(self._roster, header.height, header.round)
        if header.proposer != self._roster.members[author].operator_key:
            raise InvalidBlock("proposal-proposer")
        reports = proposal.reports()
        members = [report.member for report in reports]
        if members != sorted(members):
            raise InvalidBlock("proposal-reports", "not in roster order")
        for report in reports:
            self._closing.check_form(report)
        if not self._closing.is_quorum_of(reports):
            raise InvalidBlock("proposal-reports", "the reports are not those of a quorum")
        if proposal.body.evidence:
            raise InvalidBlock("evidence-not-active")
        return reports

    def _signatures(
        self, proposal: BlockProposal, reports: Sequence[EpochReport]
    ) -> list[tuple[bytes, bytes, bytes]]:
        """Of the reports not checked before, and of the parent's certificate."""
        items = []
        for report in reports:
            known = self._closing.reports.get(report.member)
            if known is None or known != report:
                key = self._roster.members[report.member].operator_key
                items.append((key, report.signed_message(), report.signature))
        items.extend(self._ledger.parent_certificate_items(proposal.body.parent_certificate))
        return items

    def _checked(self, judged: Judged, good: bool, now: int) -> None:
        header = judged.proposal.header
        if header.height != self._ledger.tip.height + 1:
            return
        if not good:
            self._refuse(judged, "proposal-signature", now)
            return
        for report in judged.reports:
            self._closing.report(report, now)
        key = _key(judged.proposal)
        if key in self._waiting or len(self._waiting) < MAX_JUDGED:
            self._waiting[key] = judged
            for report in judged.reports:
                self._closing.expect(report)
        elif not self._backed(judged):
            self.overflow += 1
        self._finish(judged, now)

    def _finish(self, judged: Judged, now: int) -> None:
        """With every report backed, the block is computed and compared."""
        if not self._backed(judged):
            return
        header = judged.proposal.header
        self._waiting.pop(_key(judged.proposal), None)
        try:
            block = self.build(
                header.time,
                header.round,
                proposer(self._roster, header.height, header.round),
                judged.reports,
                judged.proposal.body.parent_certificate,
            )
        except (InvalidBlock, InvalidTransaction) as error:
            self._refuse(judged, error.rule, now)
            return
        if block.hash == header.hash:
            judged.verdict(judged.proposal, True, now)
        else:
            self._refuse(judged, "proposal-contents", now)

    def _backed(self, judged: Judged) -> bool:
        return all(self._closing.backed(report) for report in judged.reports)

    def _refuse(self, judged: Judged, rule: str, now: int) -> None:
        self.refused[rule] = self.refused.get(rule, 0) + 1
        judged.verdict(judged.proposal, False, now)


def _key(proposal: BlockProposal) -> tuple[bytes, bytes]:
    """Block and body: a liar may put another body under a header that is not its own."""
    return proposal.header.hash, proposal.body.hash
