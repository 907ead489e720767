"""Whether a proposal says what the epoch reports say, and nothing else (protocol §3.4, §4)."""

from __future__ import annotations

from typing import Any

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from tests import builders
from tests.judging_world import JudgingDesk
from timed.consensus import judging as module
from timed.consensus.effects import AskCertificates
from timed.consensus.proposer import proposer
from timed.primitives.block import Evidence
from timed.primitives.certificate import indices_of
from timed.wire.messages import BlockProposal, ProposalBody


class GoodTests(SynchronousTestCase):
    """The block follows from the reports: proposer and validator compute the same one."""

    def test_the_block_that_the_reports_make_is_valid(self) -> None:
        desk = JudgingDesk()
        payments = desk.certified(1, 2, 3)
        proposal = desk.propose(payments, desk.reports_of(payments))
        self.assertEqual(desk.judge(proposal), [True])
        block, effects = desk.judging.blocks[proposal.header.hash]
        self.assertEqual(block.hash, proposal.header.hash)
        self.assertEqual(sorted(effects.txids[1:]), sorted(one.txid for one in payments))

    def test_an_epoch_without_payments_makes_a_block_too(self) -> None:
        desk = JudgingDesk()
        self.assertEqual(desk.judge(desk.propose((), desk.reports_of(()))), [True])

    def test_the_first_block_has_no_parent_certificate(self) -> None:
        desk = JudgingDesk(height=0)
        proposal = desk.propose((), desk.reports_of(()))
        self.assertIsNone(proposal.body.parent_certificate)
        self.assertEqual(desk.judge(proposal), [True])

    def test_proposer_and_validator_build_the_same_block(self) -> None:
        """§3.4: parents first, then by txid, from reports in any order of arrival."""
        mine, theirs = JudgingDesk(me=0), JudgingDesk(me=1)
        parent = mine.pay(1, [10**9, 10**9])
        child = builders.transfer([builders.outputs_of(parent)[0]])
        others = [mine.pay(number) for number in (4, 3, 2)]
        mine.certify_all([parent, child, *others])
        theirs.certify_all([*others[::-1], parent, child])
        reports = [
            mine.report(0, parent.txid, child.txid), mine.report(1, *(one.txid for one in others)),
            mine.report(2, parent.txid),
        ]  # fmt: skip
        time = mine.ledger.tip.header.time + mine.chain.genesis.interval
        certificate = mine.ledger.tip.certificate
        blocks = [desk.judging.build(time, 0, 2, reports, certificate) for desk in (mine, theirs)]
        self.assertEqual(blocks[0].encode(), blocks[1].encode())
        order = [one.txid for one in blocks[0].transactions[1:]]
        self.assertEqual(set(order), {parent.txid, child.txid, *(one.txid for one in others)})
        self.assertLess(order.index(parent.txid), order.index(child.txid))

    def test_attendance_is_the_signers_of_the_parents_certificate(self) -> None:
        """[11]: a fuller certificate than the stored one is taken, and its signers are paid."""
        for signers in ((0, 1, 2), (1, 2, 3), (0, 1, 2, 3)):
            desk = JudgingDesk()
            tip = desk.ledger.tip
            parent = builders.block_certificate(desk.roster, tip.height, tip.hash, signers=signers)
            proposal = desk.propose((), desk.reports_of(()), parent=parent)
            self.assertEqual(desk.judge(proposal), [True])
            block, _ = desk.judging.blocks[proposal.header.hash]
            self.assertEqual(indices_of(block.attendance, 4), signers)
            self.assertEqual(len(block.transactions[0].outputs), len(signers))

    def test_a_re_proposal_keeps_the_header_of_its_first_round(self) -> None:
        desk = JudgingDesk()
        first = desk.propose((), desk.reports_of(()))
        again = msgspec.structs.replace(first, round=3, valid_round=1)
        self.assertEqual(desk.judge(again), [True])

    def test_signatures_that_were_checked_before_are_not_checked_again(self) -> None:
        desk = JudgingDesk()
        reports = desk.reports_of(())
        for report in reports:
            desk.hear_report(report)
        desk.judge(desk.propose((), reports))
        self.assertEqual(desk.checked, 0)

    def test_a_block_found_valid_is_not_judged_twice(self) -> None:
        desk = JudgingDesk()
        proposal = desk.propose((), desk.reports_of(()))
        desk.judge(proposal)
        checked = desk.checked
        self.assertEqual(desk.judge(proposal), [True, True])
        self.assertEqual(desk.checked, checked)


class RefusedTests(SynchronousTestCase):
    """Each lie is refused under the name of its rule, and only once everything needed is here."""

    def _refused(self, desk: JudgingDesk, proposal: BlockProposal, rule: str) -> None:
        self.assertEqual(desk.judge(proposal), [False])
        self.assertEqual(desk.judging.refused, {rule: 1})
        self.assertNotIn(proposal.header.hash, desk.judging.blocks)

    def test_wrong_roots_and_wrong_contents(self) -> None:
        fields = (
            "tx_root",
            "utxo_root",
            "filter_root",
            "roster",
            "next_roster",
            "attendance_root",
            "evidence_root",
        )
        for field in (*fields, "previous"):
            desk = JudgingDesk()
            proposal = desk.propose((), desk.reports_of(()), header={field: bytes(32)})
            rule = "report-roster" if field == "roster" else "proposal-contents"
            self._refused(desk, proposal, rule)
        desk = JudgingDesk()
        reward = desk.propose((), desk.reports_of(())).header.reward
        self._refused(
            desk, desk.propose((), desk.reports_of(()), header={"reward": reward + 1}), "proposal-contents"
        )

    def test_a_transaction_left_out(self) -> None:
        """§3.4: every transaction named: nothing final can be censored by a proposer."""
        desk = JudgingDesk()
        payments = desk.certified(1, 2)
        self._refused(desk, desk.propose(payments[:1], desk.reports_of(payments)), "proposal-contents")

    def test_a_transaction_that_no_report_names(self) -> None:
        """§3.4: and no other, even one that is certified."""
        desk = JudgingDesk()
        payments = desk.certified(1, 2)
        self._refused(desk, desk.propose(payments, desk.reports_of(payments[:1])), "proposal-contents")

    def test_reports_below_a_quorum(self) -> None:
        """[9]"""
        desk = JudgingDesk()
        whole = desk.propose((), desk.reports_of(()))
        few = msgspec.structs.replace(whole, body=self._body(whole, reports=whole.body.reports[:2]))
        self._refused(desk, few, "proposal-reports")

    def test_a_members_report_twice(self) -> None:
        desk = JudgingDesk()
        whole = desk.propose((), desk.reports_of(()))
        first, second, _ = whole.body.reports
        twice = msgspec.structs.replace(whole, body=self._body(whole, reports=(first, second, second)))
        self._refused(desk, twice, "proposal-reports")

    def test_reports_out_of_roster_order(self) -> None:
        desk = JudgingDesk()
        whole = desk.propose((), desk.reports_of(()))
        bent = msgspec.structs.replace(whole, body=self._body(whole, reports=whole.body.reports[::-1]))
        self._refused(desk, bent, "proposal-reports")

    def test_a_report_with_a_forged_signature(self) -> None:
        """Attack: the proposer writes the reports of others itself."""
        desk = JudgingDesk()
        payments = desk.certified(1)
        honest = desk.report(2)
        forged = msgspec.structs.replace(desk.report(2, payments[0].txid), signature=honest.signature)
        reports = [*desk.reports_of(payments, 0, 1), forged]
        self._refused(desk, desk.propose(payments, reports), "proposal-signature")
        self.assertNotIn(2, desk.closing.reports)

    def test_a_forged_report_of_a_member_whose_report_is_known(self) -> None:
        """Attack: another report in the name of a member; that its own was checked says nothing of this one."""
        desk = JudgingDesk()
        payments = desk.certified(1)
        honest = desk.report(2)
        desk.hear_report(honest)
        forged = msgspec.structs.replace(desk.report(2, payments[0].txid), signature=honest.signature)
        reports = [*desk.reports_of(payments, 0, 1), forged]
        self._refused(desk, desk.propose(payments, reports), "proposal-signature")
        self.assertEqual(desk.closing.reports[2], honest)

    def test_a_report_of_another_epoch(self) -> None:
        """Attack: last epoch's reports; the epoch is the header's, so the signature does not fit."""
        desk = JudgingDesk()
        reports = [desk.report(member, epoch=desk.path.epoch - 1) for member in range(3)]
        self._refused(desk, desk.propose((), reports), "proposal-signature")

    def test_a_header_for_another_height_or_chain(self) -> None:
        for header, fields in (({"height": 9}, {}), ({}, {"chain_id": 9})):
            desk = JudgingDesk()
            proposal = desk.propose((), desk.reports_of(()), header=header, **fields)
            self._refused(desk, proposal, "proposal-height")

    def test_a_proposer_whose_round_it_is_not(self) -> None:
        desk = JudgingDesk()
        wrong = (proposer(desk.roster, desk.path.epoch, 0) + 1) % 4
        self._refused(desk, desk.propose((), desk.reports_of(()), author=wrong), "proposal-proposer")

    def test_a_round_that_does_not_fit_the_header(self) -> None:
        changes: tuple[dict[str, Any], ...] = (
            {"round": 1}, {"round": 1, "valid_round": 2}, {"valid_round": 1},
        )  # fmt: skip
        for fields in changes:
            desk = JudgingDesk()
            honest = desk.propose((), desk.reports_of(()))
            self._refused(desk, msgspec.structs.replace(honest, **fields), "proposal-round")
        desk = JudgingDesk()
        early = msgspec.structs.replace(
            desk.propose((), desk.reports_of(()), round_=2), round=1, valid_round=1
        )
        self._refused(desk, early, "proposal-round")

    def test_a_time_off_the_grid_or_not_after_the_parent(self) -> None:
        """[6]"""
        for seconds, rule in ((1, "time-grid"), (0, "time-parent"), (-5, "time-parent")):
            desk = JudgingDesk()
            time = desk.ledger.tip.header.time + seconds
            proposal = desk.propose((), desk.reports_of(()), header={"time": time})
            self._refused(desk, proposal, rule)

    def test_no_parent_certificate_or_one_for_another_block(self) -> None:
        desk = JudgingDesk()
        tip = desk.ledger.tip
        honest = desk.propose((), desk.reports_of(()))
        old = desk.ledger.certificate(tip.height - 1)
        for certificate, rule in ((None, "parent-certificate-missing"), (old, "parent-certificate-target")):
            bent = msgspec.structs.replace(honest, body=self._body(honest, parent_certificate=certificate))
            self._refused(desk, bent, rule)
            desk.judging.refused.clear()
            desk.verdicts.clear()

    def test_a_parent_certificate_below_a_quorum(self) -> None:
        """[9]"""
        desk = JudgingDesk()
        tip = desk.ledger.tip
        thin = builders.block_certificate(desk.roster, tip.height, tip.hash, signers=(0, 1))
        honest = desk.propose((), desk.reports_of(()))
        bent = msgspec.structs.replace(honest, body=self._body(honest, parent_certificate=thin))
        self._refused(desk, bent, "parent-certificate")

    def test_a_parent_certificate_with_a_forged_signature(self) -> None:
        """Attack: the proposer adds friends to the attendance, to have them paid [11]."""
        desk = JudgingDesk()
        tip = desk.ledger.tip
        real = builders.block_certificate(desk.roster, tip.height, tip.hash, signers=(0, 1, 2, 3))
        forged = msgspec.structs.replace(real, signatures=(*real.signatures[:3], real.signatures[0]))
        self._refused(desk, desk.propose((), desk.reports_of(()), parent=forged), "proposal-signature")

    def test_a_parent_certificate_over_genesis(self) -> None:
        desk = JudgingDesk(height=0)
        honest = desk.propose((), desk.reports_of(()))
        tip = desk.ledger.tip
        bogus = builders.block_certificate(desk.roster, 0, tip.hash)
        bent = msgspec.structs.replace(honest, body=self._body(honest, parent_certificate=bogus))
        self._refused(desk, bent, "parent-certificate-unexpected")

    def test_evidence_as_long_as_blocks_carry_none(self) -> None:
        desk = JudgingDesk()
        honest = desk.propose((), desk.reports_of(()))
        bent = msgspec.structs.replace(honest, body=self._body(honest, evidence=(Evidence(b"1", b"2"),)))
        self._refused(desk, bent, "evidence-not-active")

    def _body(self, proposal: BlockProposal, **changes: Any) -> ProposalBody:
        return msgspec.structs.replace(proposal.body, **changes)


class WaitingTests(SynchronousTestCase):
    """A proposal is judged once everything it rests on is here."""

    def test_reports_that_are_not_backed_are_waited_for_and_then_judged(self) -> None:
        desk = JudgingDesk()
        payment = desk.pay(1)
        proposal = desk.propose([payment], desk.reports_of([payment]))
        self.assertEqual(desk.judge(proposal), [])
        self.assertEqual([ask.txids for ask in desk.wanted(AskCertificates)], [(payment.txid,)] * 3)
        desk.retry()
        self.assertEqual(desk.verdict_on(proposal), [])
        desk.know(payment)
        desk.certify(desk.certificate_of(payment.txid, 1, 2, 3))
        desk.retry()
        self.assertEqual(desk.verdict_on(proposal), [True])
        desk.retry()
        self.assertEqual(desk.verdict_on(proposal), [True], "one verdict")

    def test_a_proposal_with_a_transaction_nobody_can_back_is_never_valid(self) -> None:
        """Attack: the proposer and a friend name a transaction that was never certified."""
        desk = JudgingDesk()
        payment = desk.pay(1)
        desk.know(payment)
        proposal = desk.propose([payment], desk.reports_of([payment]))
        desk.judge(proposal)
        desk.wait(60_000_000)
        desk.retry()
        self.assertEqual(desk.verdict_on(proposal), [])

    def test_the_reports_of_a_proposal_are_taken_over(self) -> None:
        """Whoever missed a report learns it from the proposal, and may build on it itself."""
        desk = JudgingDesk()
        desk.judge(desk.propose((), desk.reports_of((), 1, 2, 3)))
        self.assertEqual(sorted(desk.closing.reports), [1, 2, 3])

    def test_the_other_report_of_an_equivocator_is_backed_in_the_end(self) -> None:
        """Attack: one report for the proposer and another for everybody else."""
        desk = JudgingDesk()
        payment = desk.pay(1)
        desk.hear_report(desk.report(3))
        reports = [desk.report(1), desk.report(2), desk.report(3, payment.txid)]
        proposal = desk.propose([payment], reports)
        self.assertEqual(desk.judge(proposal), [])
        desk.wait(3_500_000)
        self.assertEqual(len(desk.wanted(AskCertificates)), 4, "it is asked for until it is here")
        desk.know(payment)
        desk.certify(desk.certificate_of(payment.txid, 1, 2, 3))
        desk.retry()
        self.assertEqual(desk.verdict_on(proposal), [True])

    def test_a_body_that_cannot_be_backed_does_not_displace_one_that_can(self) -> None:
        """Attack: the header everybody waits for, with a report of the liar's own that nobody can back."""
        for liar_first in (True, False):
            desk = JudgingDesk()
            payment = desk.pay(1)
            honest = desk.propose([payment], desk.reports_of([payment], 0, 1, 2))
            reports = [*desk.reports_of([payment], 0, 1), desk.report(3, payment.txid, bytes(32))]
            body = ProposalBody.of(
                reports,
                attendance=honest.body.attendance,
                evidence=(),
                parent_certificate=honest.body.parent_certificate,
            )
            poison = msgspec.structs.replace(honest, body=body)
            for proposal in (poison, honest) if liar_first else (honest, poison):
                self.assertEqual(desk.judge(proposal), [])
            desk.know(payment)
            desk.certify(desk.certificate_of(payment.txid, 1, 2, 3))
            desk.retry()
            self.assertEqual(desk.verdict_on(honest), [True], f"liar first: {liar_first}")

    def test_a_verdict_that_comes_after_the_height_has_ended_is_not_given(self) -> None:
        desk = JudgingDesk(slow_checks=True)
        proposal = desk.propose((), desk.reports_of(()))
        desk.judge(proposal)
        desk.chain.extend()
        for check in desk.checks:
            check()
        self.assertEqual(desk.verdict_on(proposal), [])

    def test_what_is_forgotten_is_not_judged_any_more(self) -> None:
        desk = JudgingDesk()
        payment = desk.pay(1)
        proposal = desk.propose([payment], desk.reports_of([payment]))
        desk.judge(proposal)
        another = desk.pay(2)
        other = desk.propose([another], desk.reports_of([another]))
        desk.judge(other)
        desk.judging.forget(proposal.header.hash)
        desk.certify_all([payment, another])
        desk.retry()
        self.assertEqual((desk.verdict_on(proposal), desk.verdict_on(other)), ([], [True]))
        self.assertEqual(list(desk.judging.blocks), [other.header.hash])
        desk.judging.forget(other.header.hash)
        self.assertEqual(desk.judging.blocks, {})

    def test_no_more_than_so_many_wait(self) -> None:
        """Attack: body after body under one header, each with reports that nobody can back."""
        self.patch(module, "MAX_JUDGED", 2)
        desk = JudgingDesk()
        payments = [desk.pay(number) for number in (1, 2, 3)]
        proposals = [
            desk.propose([one], desk.reports_of([one], *members))
            for one, members in zip(payments, ((0, 1, 2), (0, 1, 3), (0, 2, 3)), strict=True)
        ]
        for proposal in (*proposals, proposals[0]):
            desk.judge(proposal)
        desk.certify_all(payments)
        desk.retry()
        self.assertEqual([desk.verdict_on(one) for one in proposals], [[True], [True], []])
        self.assertEqual((desk.judging.overflow, desk.judging.refused), (1, {}))

    def test_reports_are_asked_about_no_longer_than_a_proposal_with_them_is_judged(self) -> None:
        """Attack: in each of its rounds another report of its own, with transactions that nobody has."""
        desk = JudgingDesk()
        kept = desk.report(3, bytes(32))
        proposals = [
            desk.propose([], [desk.report(1), desk.report(2), desk.report(3, bytes([number]) * 32)])
            for number in range(40)
        ]
        for proposal in proposals:
            self.assertEqual(desk.judge(proposal), [])
        self.assertEqual(len(desk.closing.unbacked()), 40)
        for proposal in proposals:
            desk.judging.forget(proposal.header.hash)
        self.assertEqual(desk.closing.unbacked(), [kept], "that of the member itself is the first one")
        self.assertLess(len(desk.closing._asked_at) + len(desk.closing._backed), 8)

    def test_what_another_proposal_rests_on_is_still_asked_about(self) -> None:
        desk = JudgingDesk()
        payment = desk.pay(1)
        reports = [desk.report(1), desk.report(2), desk.report(3, payment.txid)]
        desk.hear_report(desk.report(3))
        forgotten = desk.propose([payment], [*reports[:2], desk.report(3, bytes(32), payment.txid)])
        kept = desk.propose([payment, desk.pay(2)], reports)
        for proposal in (forgotten, desk.propose([payment], reports), kept):
            desk.judge(proposal)
        self.assertEqual(len(desk.closing.unbacked()), 2)
        desk.judging.forget(forgotten.header.hash)
        self.assertEqual(desk.closing.unbacked(), [reports[2]])

    def test_nothing_is_asked_about_for_a_proposal_that_finds_no_place(self) -> None:
        self.patch(module, "MAX_JUDGED", 1)
        desk = JudgingDesk()
        for number in range(3):
            desk.hear_report(desk.report(number))
        for number in range(3):
            desk.judge(
                desk.propose([], [desk.report(0), desk.report(1), desk.report(3, bytes([number]) * 32)])
            )
        self.assertEqual(len(desk.closing.unbacked()), 1)
