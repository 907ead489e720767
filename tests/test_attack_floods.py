"""Attacks by a member: what it signs is good, but there is too much of it."""

from __future__ import annotations

from collections.abc import Iterator
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from tests.consensus_world import ACKNOWLEDGEMENT, EPOCH, EpochDesk
from timed.consensus.effects import AskCertificates, AskTransactions
from timed.consensus.missing import ASK_AGAIN_US, MAX_ASK, MISSING_AFTER_US
from timed.events import Equivocation
from timed.primitives.hashing import tagged_hash


def unknown(number: int) -> bytes:
    return tagged_hash("test-unknown", number.to_bytes(4, "little"))


class Counting(dict[bytes, object]):
    """A table that counts how often it is looked into."""

    looks = 0

    def get(self, key: bytes, default: object = None) -> object:  # type: ignore[override]
        self.looks += 1
        return super().get(key, default)


class InventedTransactionTests(SynchronousTestCase):
    """A member votes for ids that stand for nothing."""

    def test_their_bodies_are_asked_for_in_few_questions(self) -> None:
        desk = EpochDesk()
        invented = [unknown(number) for number in range(8 * MAX_ASK)]
        desk.hear(desk.bundle(1, *invented))
        desk.wait(MISSING_AFTER_US)
        asked = desk.wanted(AskTransactions)
        self.assertEqual(len(asked), 8)
        self.assertEqual(sorted(txid for one in asked for txid in one.txids), sorted(invented))
        self.assertTrue(all(len(one.txids) <= MAX_ASK for one in asked))

    def test_each_question_goes_to_those_who_signed_for_everything_in_it(self) -> None:
        desk = EpochDesk()
        desk.hear(desk.bundle(1, unknown(1), unknown(2)))
        desk.hear(desk.bundle(3, unknown(2), unknown(3)))
        desk.hear(desk.bundle(2, unknown(4), kind=ACKNOWLEDGEMENT))
        desk.wait(MISSING_AFTER_US)
        asked = {one.members: one.txids for one in desk.wanted(AskTransactions)}
        self.assertEqual(
            asked, {(1,): (unknown(1),), (1, 3): (unknown(2),), (3,): (unknown(3),), (2,): (unknown(4),)}
        )


class RivalTests(SynchronousTestCase):
    """A member votes for thousands of transactions that spend one output."""

    def test_who_is_proven_to_lie_costs_no_more_looks_at_what_it_votes_for(self) -> None:
        desk = EpochDesk()
        rivals = [desk.payment(note=b"%d" % number) for number in range(100)]
        desk.know(*rivals)
        table = Counting(desk.path.tallies)
        desk.path.rivals._tallies = table
        for one in rivals:
            desk.votes(one.txid, 1)
        self.assertEqual(len(desk.heard(Equivocation)), 1)
        self.assertLess(table.looks, 3 * len(rivals))


class InventedReportTests(SynchronousTestCase):
    """A member's report names ids that stand for nothing, or it signs one report after the other."""

    def test_only_the_first_report_of_a_member_is_asked_about(self) -> None:
        """And the member is named once."""
        desk = EpochDesk()
        for number in range(20):
            desk.hear_report(desk.report(1, unknown(number)))
        asked = [txid for one in desk.wanted(AskCertificates) for txid in one.txids]
        self.assertEqual(asked, [unknown(0)])
        self.assertEqual(len(desk.heard(Equivocation)), 1)

    def test_a_report_that_a_proposal_rests_on_is_asked_about_all_the_same(self) -> None:
        desk = EpochDesk()
        desk.hear_report(desk.report(1, unknown(0)))
        other = desk.report(1, unknown(1))
        desk.closing.expect(other)
        desk.hear_report(other)
        asked = [txid for one in desk.wanted(AskCertificates) for txid in one.txids]
        self.assertEqual(asked, [unknown(0), unknown(1)])

    def test_looking_again_at_a_report_without_backing_costs_nothing(self) -> None:
        """Each turn asks for the next deadline, and an id that never comes may stand last in a long list."""
        desk = EpochDesk()
        payments = [desk.payment(number) for number in range(200)]
        desk.know(*payments)
        txids = [one.txid for one in payments]
        for member in (1, 2, 3):
            desk.hear(desk.bundle(member, *txids))
        desk.close()
        self.assertEqual(len(desk.path.held()), len(txids))
        table = Counting(desk.path.tallies)
        with mock.patch.object(desk.path, "tallies", table):
            desk.hear_report(desk.report(1, *txids, b"\xff" * 32))
            first, table.looks = table.looks, 0
            for _ in range(10):
                self.assertIsNotNone(desk.closing.next_deadline())
        self.assertGreaterEqual(first, len(txids))
        self.assertLess(table.looks, 50)

    def test_the_look_goes_on_where_it_stopped(self) -> None:
        desk = EpochDesk()
        payments = sorted((desk.payment(number) for number in range(9)), key=lambda one: one.txid)
        report = desk.report(1, *(one.txid for one in payments))
        desk.hear_report(report)
        for payment in self._middle_out(payments):
            self.assertFalse(desk.closing.backed(report))
            desk.know(payment)
            desk.votes(payment.txid, 1, 2, 3)
        self.assertTrue(desk.closing.backed(report))

    def test_a_child_named_without_its_parent_is_never_backed(self) -> None:
        desk = EpochDesk()
        parent = desk.payment()
        child = desk.child_of(parent)
        desk.know(parent, child)
        for one in (parent, child):
            desk.votes(one.txid, 1, 2, 3)
        orphaned = desk.report(1, child.txid)
        for _ in range(2):
            self.assertFalse(desk.closing.backed(orphaned))
        self.assertTrue(desk.closing.backed(desk.report(2, child.txid, parent.txid)))
        self.assertEqual(desk.path.epoch, EPOCH)

    @staticmethod
    def _middle_out(items: list[object]) -> Iterator[object]:
        middle = len(items) // 2
        yield from items[middle:]
        yield from items[:middle]

    def test_what_backs_a_report_is_asked_for_once_a_second(self) -> None:
        desk = EpochDesk()
        desk.hear_report(desk.report(1, *(unknown(number) for number in range(2 * MAX_ASK))))
        self.assertEqual(len(desk.wanted(AskCertificates)), 2)
        desk.wait(ASK_AGAIN_US - 1)
        self.assertEqual(len(desk.wanted(AskCertificates)), 2)
        desk.wait(1)
        self.assertEqual(len(desk.wanted(AskCertificates)), 4)
