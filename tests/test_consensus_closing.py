"""Closing an epoch: who reports what, which reports count, and what the block then holds (protocol §3.4)."""

from __future__ import annotations

from collections.abc import Sequence
from unittest import mock

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.consensus_world import EPOCH, EpochDesk
from timed.consensus.closing import Closing
from timed.consensus.effects import AskCertificates
from timed.consensus.missing import ASK_AGAIN_US, MAX_ASK
from timed.crypto.rule import check
from timed.errors import InvalidBlock
from timed.events import EpochReported, Equivocation
from timed.params import REGTEST, SECOND
from timed.primitives.transaction import OutPoint, Transaction
from timed.wire.messages import EpochReport


def certified(desk: EpochDesk, count: int, start: int = 0) -> list[Transaction]:
    """So many certified payments."""
    payments = [desk.payment(number) for number in range(start, start + count)]
    desk.know(*payments)
    for payment in payments:
        desk.votes(payment.txid, 1, 2, 3)
    return payments


def ids(payments: list[Transaction]) -> list[bytes]:
    return [payment.txid for payment in payments]


class OwnReportTests(SynchronousTestCase):
    """The ids of all certificates this member holds together with their transactions."""

    def test_lists_every_certificate_held_and_nothing_else_sorted(self) -> None:
        desk = EpochDesk()
        payments = certified(desk, 6)
        desk.know(desk.payment(20))
        without_body = desk.payment(30)
        desk.certify(desk.certificate_of(without_body.txid, 1, 2, 3))
        desk.close()
        report = desk.sent[-1]
        assert isinstance(report, EpochReport)
        self.assertEqual(report.txids, tuple(sorted(ids(payments))))

    def test_is_signed_and_bound_to_chain_epoch_roster_and_member(self) -> None:
        desk = EpochDesk(me=2)
        desk.close()
        (report,) = desk.sent
        assert isinstance(report, EpochReport)
        self.assertEqual(
            (report.chain_id, report.epoch, report.roster, report.member),
            (REGTEST.chain_id, EPOCH, desk.roster.hash, 2),
        )
        check(desk.roster.members[2].operator_key, report.signed_message(), report.signature)

    def test_leaves_and_counts_only_when_durable(self) -> None:
        """[13], [16]: written and signed, then sent."""
        desk = EpochDesk(manual=True)
        desk.close()
        self.assertEqual((desk.sent, desk.told, desk.closing.reports), ([], [], {}))
        desk.durable()
        self.assertEqual(desk.heard(EpochReported), [EpochReported(EPOCH, 0)])
        self.assertEqual(list(desk.closing.reports), [0])

    def test_one_report_an_epoch(self) -> None:
        desk = EpochDesk()
        desk.closing.report_held()
        desk.settle()
        self.assertEqual(desk.signatures, [], "not while it votes")
        desk.close()
        certified(desk, 1)
        desk.close()
        desk.closing.report_held()
        desk.settle()
        self.assertEqual(len(desk.signatures), 1)
        again = desk.restarted()
        again.closing.report_held()
        again.settle()
        self.assertEqual(again.signatures, [])

    def test_who_does_not_sign_closes_without_a_report(self) -> None:
        for desk in (EpochDesk(me=None), EpochDesk(signing=False), EpochDesk(weights=(0, 1, 1, 1))):
            desk.close()
            self.assertEqual((desk.path.closed, desk.signatures), (True, []))

    def test_a_member_that_stopped_signing_sends_no_report(self) -> None:
        """[13]: nor does it sign what has gathered by then, whoever asks for it afterwards."""
        desk = EpochDesk()
        desk.know(desk.payment())
        desk.path.stop_signing()
        desk.wait()
        desk.close()
        desk.closing.report_held()
        desk.settle()
        self.assertEqual(desk.signatures, [])

    def test_a_report_that_becomes_durable_after_its_epoch_counts_nowhere(self) -> None:
        desk = EpochDesk(manual=True)
        desk.close()
        desk.begin(EPOCH + 1)
        desk.durable()
        self.assertEqual((desk.closing.reports, desk.heard(EpochReported)), ({}, []))


class CountingTests(SynchronousTestCase):
    """A report counts once certificate and body of every id in it are at hand."""

    def test_an_empty_report_counts_at_once(self) -> None:
        desk = EpochDesk()
        report = desk.report(1)
        desk.hear_report(report)
        self.assertEqual(desk.closing.counted(), (report,))

    def test_does_not_count_until_every_certificate_is_here(self) -> None:
        desk = EpochDesk()
        held, lacking = certified(desk, 1)[0], desk.payment(9)
        desk.know(lacking)
        report = desk.report(1, held.txid, lacking.txid)
        desk.hear_report(report)
        self.assertEqual(desk.closing.counted(), ())
        desk.certify(desk.certificate_of(lacking.txid, 1, 2, 3))
        self.assertEqual(desk.closing.counted(), (report,))

    def test_does_not_count_until_every_body_is_here(self) -> None:
        desk = EpochDesk()
        payment = desk.payment()
        report = desk.report(1, payment.txid)
        desk.certify(desk.certificate_of(payment.txid, 1, 2, 3))
        desk.hear_report(report)
        self.assertEqual(desk.closing.counted(), ())
        desk.know(payment)
        self.assertEqual(desk.closing.counted(), (report,))

    def test_votes_without_a_quorum_do_not_back_a_report(self) -> None:
        desk = EpochDesk()
        payment = desk.payment()
        desk.know(payment)
        desk.votes(payment.txid, 1, 2)
        desk.hear_report(desk.report(1, payment.txid))
        self.assertEqual(desk.closing.counted(), ())

    def test_a_report_that_leaves_out_the_parent_never_counts(self) -> None:
        """An honest member holds the parent's certificate whenever it holds the child's [13]."""
        desk = EpochDesk()
        (parent,) = certified(desk, 1)
        child = desk.child_of(parent)
        desk.know(child)
        desk.votes(child.txid, 1, 2, 3)
        orphan, whole = desk.report(1, child.txid), desk.report(2, child.txid, parent.txid)
        desk.hear_report(orphan)
        desk.hear_report(whole)
        self.assertEqual(desk.closing.counted(), (whole,))
        desk.wait(10 * SECOND)
        self.assertEqual(desk.closing.counted(), (whole,))

    def test_nor_does_it_though_another_report_with_the_child_counts(self) -> None:
        """One of its inputs is unspent in the last block, and other ids stand where the parent's would."""
        desk = EpochDesk()
        parent, *others = certified(desk, 8)
        child = desk.spend(desk.coin(20), OutPoint(parent.txid, 0))
        desk.know(child)
        desk.votes(child.txid, 1, 2, 3)
        whole = desk.report(2, *ids(others), child.txid, parent.txid)
        desk.hear_report(whole)
        self.assertEqual(desk.closing.counted(), (whole,))
        desk.hear_report(desk.report(1, *ids(others), child.txid))
        desk.hear_report(desk.report(3, child.txid))
        self.assertEqual(desk.closing.counted(), (whole,))

    def test_a_payment_without_parents_in_the_epoch_is_looked_up_once_for_all_reports(self) -> None:
        """A full block's reports arrive within milliseconds; each lookup more would be felt."""
        desk = EpochDesk()
        payments = certified(desk, 40)
        child = desk.child_of(payments[0])
        desk.know(child)
        desk.votes(child.txid, 1, 2, 3)
        looked: list[bytes] = []
        backed = Closing._is_backed

        def counted(closing: Closing, txid: bytes, named: Sequence[bytes]) -> bool:
            looked.append(txid)
            return backed(closing, txid, named)

        self.patch(Closing, "_is_backed", counted)
        for member in (1, 2, 3):
            desk.hear_report(desk.report(member, *ids([*payments, child])))
        self.assertEqual(len(desk.closing.counted()), 3)
        self.assertEqual(sorted(looked), sorted([*ids(payments), *[child.txid] * 3]))

    def test_counted_reports_stand_in_roster_order(self) -> None:
        desk = EpochDesk(me=2)
        for member in (3, 0, 1):
            desk.hear_report(desk.report(member))
        desk.close()
        self.assertEqual([report.member for report in desk.closing.counted()], [0, 1, 2, 3])

    def test_a_report_nobody_can_back_is_left_out_and_stops_nobody(self) -> None:
        """Attack: a liar names a transaction that was never certified."""
        desk = EpochDesk()
        desk.close()
        desk.hear_report(desk.report(3, bytes(32)))
        for member in (1, 2):
            desk.hear_report(desk.report(member))
        counted = desk.closing.counted()
        self.assertEqual([report.member for report in counted], [0, 1, 2])
        self.assertTrue(desk.closing.is_quorum_of(counted))


class MissingCertificateTests(SynchronousTestCase):
    """What a report names and this node lacks is fetched."""

    def test_the_reporter_is_asked_for_what_is_missing_and_only_that(self) -> None:
        desk = EpochDesk()
        held, lacking, known = certified(desk, 1)[0], desk.payment(9), desk.payment(10)
        desk.know(known)
        desk.hear_report(desk.report(2, held.txid, lacking.txid, known.txid))
        missing = tuple(sorted((lacking.txid, known.txid)))
        self.assertEqual(desk.wanted(AskCertificates), [AskCertificates(missing, (2,))])

    def test_asks_again_each_second_until_it_is_backed(self) -> None:
        desk = EpochDesk(me=None)
        lacking = desk.payment(9)
        desk.hear_report(desk.report(2, lacking.txid))
        desk.pass_time(3 * ASK_AGAIN_US, desk.closing)
        self.assertEqual(len(desk.wanted(AskCertificates)), 4)
        desk.know(lacking)
        desk.certify(desk.certificate_of(lacking.txid, 1, 2, 3))
        desk.pass_time(3 * ASK_AGAIN_US, desk.closing)
        self.assertEqual(len(desk.wanted(AskCertificates)), 4)
        self.assertIsNone(desk.closing.next_deadline())

    def test_a_clock_set_back_delays_no_question(self) -> None:
        desk = EpochDesk(me=None)
        desk.hear_report(desk.report(2, desk.payment(9).txid))
        desk.now -= 3600 * SECOND
        desk.closing.clock_set_back()
        desk.pass_time(ASK_AGAIN_US, desk.closing)
        self.assertEqual(len(desk.wanted(AskCertificates)), 3)

    def test_what_is_backed_is_not_looked_at_again(self) -> None:
        """The deadline is asked for at every turn: only a report that wants something costs a look."""
        desk = EpochDesk(me=None)
        held, lacking = certified(desk, 1)[0], desk.payment(9)
        for member in (1, 2):
            desk.hear_report(desk.report(member, held.txid))
        desk.closing.expect(desk.report(3, held.txid))
        desk.hear_report(desk.report(0, held.txid, lacking.txid))
        desk.closing.next_deadline()
        with mock.patch.object(desk.closing, "backed", wraps=desk.closing.backed) as looked:
            for _ in range(100):
                self.assertIsNotNone(desk.closing.next_deadline())
            self.assertEqual([call.args[0].member for call in looked.call_args_list], [0] * 100)
            desk.know(lacking)
            desk.certify(desk.certificate_of(lacking.txid, 1, 2, 3))
            self.assertIsNone(desk.closing.next_deadline())
            looked.reset_mock()
            self.assertIsNone(desk.closing.next_deadline())
            self.assertEqual(looked.call_count, 0)
        self.assertEqual([report.member for report in desk.closing.counted()], [0, 1, 2])

    def test_a_long_list_is_asked_for_in_parts(self) -> None:
        desk = EpochDesk()
        txids = [desk.payment(number).txid for number in range(2 * MAX_ASK + 1)]
        desk.hear_report(desk.report(1, *txids))
        asked = desk.wanted(AskCertificates)
        self.assertEqual([len(one.txids) for one in asked], [MAX_ASK, MAX_ASK, 1])
        self.assertEqual(sorted(txid for one in asked for txid in one.txids), sorted(txids))


class ReportFormTests(SynchronousTestCase):
    """What is refused before a signature is checked, each under its rule."""

    def _rule(self, report: EpochReport, desk: EpochDesk) -> str:
        return self.assertRaises(InvalidBlock, desk.closing.check_form, report).rule

    def test_of_another_epoch_or_chain(self) -> None:
        desk = EpochDesk()
        for changes in ({"epoch": EPOCH - 1}, {"epoch": EPOCH + 1}, {"chain_id": 9}):
            self.assertEqual(self._rule(desk.report(1, **changes), desk), "report-epoch")  # type: ignore[arg-type]

    def test_of_another_roster(self) -> None:
        desk = EpochDesk()
        self.assertEqual(self._rule(desk.report(1, roster=bytes(32)), desk), "report-roster")

    def test_of_nobody_and_of_a_member_without_weight(self) -> None:
        desk = EpochDesk(weights=(1, 1, 1, 0))
        for member in (3, 4, 65_535):
            self.assertEqual(self._rule(desk.report(0, member=member), desk), "report-member")

    def test_not_in_ascending_order(self) -> None:
        desk = EpochDesk()
        low, high = bytes(32), bytes([1] * 32)
        for txids in ((high, low), (low, low)):
            report = msgspec.structs.replace(desk.report(1), txids=txids)
            self.assertEqual(self._rule(report, desk), "report-order")

    def test_a_good_one_passes(self) -> None:
        desk = EpochDesk()
        self.assertIsNone(desk.closing.check_form(desk.report(1, bytes(32), bytes([1] * 32))))


class EquivocatingReporterTests(SynchronousTestCase):
    """[12] for reports."""

    def test_two_reports_of_one_member_are_noticed_and_the_first_one_stays(self) -> None:
        desk = EpochDesk()
        (payment,) = certified(desk, 1)
        first, second = desk.report(1), desk.report(1, payment.txid)
        desk.hear_report(first)
        desk.hear_report(second)
        key = desk.roster.members[1].operator_key
        self.assertEqual(desk.heard(Equivocation), [Equivocation(key, EPOCH, "epoch-report")])
        self.assertEqual(desk.closing.reports[1], first)

    def test_what_only_the_second_names_is_asked_for_when_a_proposal_rests_on_it(self) -> None:
        """Attack: ever new reports, so that everybody asks for what is not there."""
        desk = EpochDesk()
        lacking = desk.payment(9)
        second = desk.report(1, lacking.txid)
        desk.hear_report(desk.report(1))
        desk.hear_report(second)
        self.assertEqual(desk.wanted(AskCertificates), [])
        desk.closing.expect(second)
        desk.hear_report(second)
        self.assertEqual(desk.wanted(AskCertificates), [AskCertificates((lacking.txid,), (1,))])

    def test_a_liar_is_named_once_an_epoch(self) -> None:
        """Its reports come back with every answer to `RoundState`, and with every proposal."""
        desk = EpochDesk()
        payments = certified(desk, 3)
        for one in payments:
            for _ in range(5):
                desk.hear_report(desk.report(1, one.txid))
        self.assertEqual(len(desk.heard(Equivocation)), 1)
        desk.begin(EPOCH + 1)
        desk.hear_report(desk.report(1))
        desk.hear_report(desk.report(1, payments[0].txid))
        self.assertEqual(len(desk.heard(Equivocation)), 2)

    def test_the_same_report_twice_is_none(self) -> None:
        desk = EpochDesk()
        desk.hear_report(desk.report(1))
        desk.hear_report(desk.report(1))
        self.assertEqual(desk.heard(Equivocation), [])


class QuorumOfReportsTests(SynchronousTestCase):
    """[9] for reports: distinct members, weight of the whole roster."""

    def test_needs_two_thirds_of_the_weight(self) -> None:
        for members, quorum in ((1, 1), (3, 2), (4, 3), (7, 5), (10, 7)):
            desk = EpochDesk(weights=(1,) * members)
            reports = [desk.report(member) for member in range(members)]
            self.assertFalse(desk.closing.is_quorum_of(reports[: quorum - 1]), f"{quorum - 1} of {members}")
            self.assertTrue(desk.closing.is_quorum_of(reports[:quorum]), f"{quorum} of {members}")

    def test_one_member_counts_once(self) -> None:
        """Attack: a proposer repeats the reports it has to look like a quorum."""
        desk = EpochDesk()
        repeated = [desk.report(1), desk.report(2), desk.report(2), desk.report(1)]
        self.assertFalse(desk.closing.is_quorum_of(repeated))
        whole = [desk.report(member) for member in (0, 1, 2)]
        self.assertFalse(desk.closing.is_quorum_of([*whole, whole[0]]), "not even on top of a quorum")


class ContentsTests(SynchronousTestCase):
    """Every transaction named in the reports, and no other."""

    def test_is_the_union_of_the_reports(self) -> None:
        desk = EpochDesk()
        payments = certified(desk, 4)
        first, second, third, unnamed = ids(payments)
        reports = [desk.report(0, first), desk.report(1, first, second), desk.report(2, third)]
        named = [transaction.txid for transaction in desk.closing.contents(reports)]
        self.assertEqual(named, sorted((first, second, third)))
        self.assertNotIn(unnamed, named)

    def test_what_is_not_backed_makes_none(self) -> None:
        desk = EpochDesk()
        lacking = desk.payment(9)
        desk.certify(desk.certificate_of(lacking.txid, 1, 2, 3))
        error = self.assertRaises(InvalidBlock, desk.closing.contents, [desk.report(1, lacking.txid)])
        self.assertEqual(error.rule, "report-unbacked")

    def test_does_not_depend_on_the_order_of_the_reports(self) -> None:
        desk = EpochDesk()
        first, second = ids(certified(desk, 2))
        reports = [desk.report(0, second), desk.report(1, first)]
        self.assertEqual(desk.closing.contents(reports), desk.closing.contents(reports[::-1]))

    @settings(deadline=None, max_examples=25)
    @given(st.data())
    def test_a_final_transaction_is_in_every_block_that_a_quorum_of_reports_can_make(self, data) -> None:
        """[15], §3.3: acknowledgers and reporters are both quorums, so they share honest weight.

        Seven members, two of them lie: they acknowledge everything and report nothing.
        Whoever of the honest ones acknowledged reports it.
        """
        members, liars = 7, (5, 6)
        desk = EpochDesk(weights=(1,) * members, me=None)
        payment = desk.payment()
        desk.know(payment)
        desk.votes(payment.txid, *range(members))
        honest = data.draw(st.sets(st.integers(0, 4), min_size=3))
        desk.acknowledgements(payment.txid, *honest, *liars)
        final = desk.path.tallies[payment.txid].final
        self.assertTrue(final)
        reporters = data.draw(st.sets(st.integers(0, 6), min_size=5))
        reports = [
            desk.report(member, *([payment.txid] if member in honest else [])) for member in sorted(reporters)
        ]
        self.assertTrue(desk.closing.is_quorum_of(reports))
        self.assertEqual([one.txid for one in desk.closing.contents(reports)], [payment.txid])
