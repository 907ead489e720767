"""What members that lie, and messages that do not belong here, can do to the fast path: nothing much."""

from __future__ import annotations

from typing import Any

import attrs
from twisted.trial.unittest import SynchronousTestCase

from tests.consensus_world import ACKNOWLEDGEMENT, EPOCH, VOTE, EpochDesk, are_good
from timed.consensus.effects import AskCertificates, AskTransactions
from timed.consensus.missing import ASK_AGAIN_US, MAX_ASK, MISSING_AFTER_US
from timed.events import Equivocation, TransactionCertified
from timed.params import REGTEST, SECOND
from timed.primitives.hashing import tagged_hash
from timed.primitives.transaction import OutPoint


def unknown(number: int) -> bytes:
    return tagged_hash("test-unknown", number.to_bytes(4, "little"))


class ForeignBundleTests(SynchronousTestCase):
    """A vote is for one chain, one epoch and one roster."""

    def test_ignores_bundles_for_another_epoch_roster_chain_or_member(self) -> None:
        desk = EpochDesk()
        payment = desk.payment()
        desk.know(payment)
        foreign: tuple[dict[str, Any], ...] = (
            {"epoch": EPOCH - 1},
            {"epoch": EPOCH + 1},
            {"roster": bytes(32)},
            {"chain_id": REGTEST.chain_id + 1},
            {"member": 4},
            {"member": 65_535},
        )
        for changes in foreign:
            for member in (1, 2, 3):
                desk.hear(desk.bundle(member, payment.txid, **changes))
        self.assertEqual(desk.path.tallies[payment.txid].votes.weight, 0)
        self.assertEqual(desk.path.counters.votes_ignored, 3 * len(foreign))

    def test_votes_replayed_from_the_epoch_before_count_nothing(self) -> None:
        desk = EpochDesk()
        payment = desk.payment()
        desk.know(payment)
        old = [desk.bundle(member, payment.txid) for member in (1, 2, 3)]
        desk.begin(EPOCH + 1)
        desk.know(payment)
        for bundle in old:
            desk.hear(bundle)
        self.assertEqual(desk.path.held(), ())


class EquivocatingVoterTests(SynchronousTestCase):
    """[12]: two votes on one outpoint in one epoch are proof."""

    def setUp(self) -> None:
        self.desk = EpochDesk()
        self.first = self.desk.payment(note=b"1")
        self.second = self.desk.payment(note=b"2")

    def _liars(self) -> list[bytes]:
        return [event.member for event in self.desk.heard(Equivocation)]

    def test_equivocating_voter_is_noticed(self) -> None:
        self.desk.know(self.first, self.second)
        self.desk.votes(self.first.txid, 1, 2)
        self.desk.votes(self.second.txid, 2)
        key = self.desk.roster.members[2].operator_key
        self.assertEqual(self.desk.heard(Equivocation), [Equivocation(key, EPOCH, "transaction-vote")])

    def test_equivocating_voter_is_noticed_when_the_bodies_come_after_the_votes(self) -> None:
        self.desk.votes(self.first.txid, 1, 3)
        self.desk.votes(self.second.txid, 3)
        self.assertEqual(self._liars(), [])
        self.desk.know(self.first, self.second)
        self.assertEqual(self._liars(), [self.desk.roster.members[3].operator_key])

    def test_a_liar_is_named_once_an_epoch(self) -> None:
        """Attack: many pairs, each over many coins, so that everybody who watches is flooded."""
        for number in range(1, 20):
            coins = [self.desk.coin(20 * number + place) for place in range(20)]
            pair = self.desk.spend(*coins, note=b"1"), self.desk.spend(*coins, note=b"2")
            self.desk.know(*pair)
            for one in pair:
                self.desk.votes(one.txid, 2)
        self.assertEqual(self._liars(), [self.desk.roster.members[2].operator_key])

    def test_a_liar_among_three_rivals_is_noticed_though_one_of_them_is_forgotten(self) -> None:
        """[12]: two of the three are enough."""
        third = self.desk.payment(note=b"3")
        self.desk.know(self.first, self.second, third)
        self.desk.votes(self.first.txid, 1, 2)
        self.desk.votes(self.second.txid, 1)
        self.assertEqual(self._liars(), [self.desk.roster.members[1].operator_key])
        self.desk.path.forget(third.txid)
        self.desk.votes(self.second.txid, 2)
        self.assertEqual(self._liars()[1:], [self.desk.roster.members[2].operator_key])

    def test_voters_for_different_sides_of_a_double_spend_are_no_liars(self) -> None:
        """[21] in spirit: honest members see the two transactions in different orders."""
        self.desk.know(self.first, self.second)
        self.desk.votes(self.first.txid, 1)
        self.desk.votes(self.second.txid, 2, 3)
        self.assertEqual(self._liars(), [])

    def test_an_acknowledgement_for_the_rival_is_no_lie(self) -> None:
        """Whoever voted for the loser acknowledges the winner."""
        self.desk.know(self.first, self.second)
        self.desk.votes(self.first.txid, 1)
        self.desk.votes(self.second.txid, 0, 2, 3)
        self.desk.acknowledgements(self.second.txid, 1)
        self.assertEqual(self._liars(), [])

    def test_a_third_of_liars_cannot_certify_both_sides(self) -> None:
        """[15]: no two certificates for conflicting spends, with as many liars as the table allows."""
        for members, liars in ((4, 1), (7, 2), (10, 3)):
            desk = EpochDesk(weights=(1,) * members, me=None)
            first, second = desk.payment(note=b"1"), desk.payment(note=b"2")
            desk.know(first, second)
            honest = members - liars
            desk.votes(first.txid, *range(honest - honest // 2), *range(honest, members))
            desk.votes(second.txid, *range(honest - honest // 2, members))
            self.assertLess(len(desk.heard(TransactionCertified)), 2)

    def test_split_vote_certifies_neither_and_both_lapse(self) -> None:
        self.desk.know(self.first, self.second)
        self.desk.wait()
        self.desk.votes(self.first.txid, 1)
        self.desk.votes(self.second.txid, 2, 3)
        self.desk.wait(60 * SECOND)
        self.assertEqual(self.desk.path.held(), ())
        self.desk.begin(EPOCH + 1)
        self.desk.know(self.second)
        self.desk.wait()
        self.assertEqual(self.desk.voted_for(), [self.first.txid, self.second.txid])


class FloodTests(SynchronousTestCase):
    """Every member's share of the tally is bounded."""

    def setUp(self) -> None:
        self.budget = 5
        self.desk = EpochDesk(params=attrs.evolve(REGTEST, epoch_transactions=self.budget))

    def test_votes_of_a_liar_beyond_its_budget_are_dropped_and_counted(self) -> None:
        for start in range(0, 1_000, 50):
            self.desk.hear(self.desk.bundle(3, *(unknown(number) for number in range(start, start + 50))))
        self.assertEqual(len(self.desk.path.tallies), self.budget)
        self.assertEqual(self.desk.path.counters.votes_over_budget, 1_000 - self.budget)
        self.assertEqual(self.desk.path.counters.votes_counted, self.budget)

    def test_what_can_add_nothing_is_not_worth_a_check(self) -> None:
        """§3.2: verification stops at quorum, and at the budget."""
        payments = [self.desk.payment(number) for number in range(3)]
        first, second, third = (one.txid for one in payments)
        self.desk.know(*payments)
        self.desk.votes(first, 0, 1, 2)
        self.desk.votes(second, 1)
        for kind, member, txids, wanted in (
            (VOTE, 3, (first,), False), (VOTE, 1, (first, second), False), (VOTE, 3, (second,), True),
            (VOTE, 3, (first, second), True), (VOTE, 1, (third,), True), (VOTE, 1, (unknown(1),), True),
            (ACKNOWLEDGEMENT, 3, (first,), True),
        ):  # fmt: skip
            bundle = self.desk.bundle(member, *txids, kind=kind)
            self.assertEqual(self.desk.path.wants(bundle), wanted, str((kind, member, len(txids))))
        self.assertEqual(self.desk.path.counters.votes_over_budget, 0)

    def test_who_has_spent_its_budget_is_not_worth_a_check(self) -> None:
        for kind, budget in ((VOTE, self.budget), (ACKNOWLEDGEMENT, 2 * self.budget)):
            desk = EpochDesk(params=self.desk.params)
            ids = [unknown(number) for number in range(budget + 3)]
            desk.hear(desk.bundle(3, *ids[: budget - 1], kind=kind))
            self.assertTrue(desk.path.wants(desk.bundle(3, ids[budget], kind=kind)))
            desk.hear(desk.bundle(3, ids[budget], kind=kind))
            self.assertFalse(desk.path.wants(desk.bundle(3, *ids[budget + 1 :], kind=kind)))
            self.assertEqual(desk.path.counters.votes_over_budget, 2)
            self.assertTrue(desk.path.wants(desk.bundle(2, ids[-1], kind=kind)), "it is each member's own")

    def test_acknowledgements_of_a_liar_are_bounded_as_well(self) -> None:
        txids = [unknown(number) for number in range(1_000)]
        self.desk.hear(self.desk.bundle(3, *txids, kind=ACKNOWLEDGEMENT))
        self.assertEqual(len(self.desk.path.tallies), 2 * self.budget)

    def test_a_liar_spends_its_own_budget_only(self) -> None:
        payment = self.desk.payment()
        self.desk.know(payment)
        self.desk.hear(self.desk.bundle(3, *(unknown(number) for number in range(100))))
        self.desk.votes(payment.txid, 0, 1, 2)
        self.assertEqual(self.desk.path.held(), (payment.txid,))

    def test_nothing_is_left_of_transactions_that_lost_their_place(self) -> None:
        """An epoch may last: whoever keeps a mempool changing fills no memory behind it."""
        desk = EpochDesk(me=None)
        for number in range(100):
            parent = desk.spend(OutPoint(unknown(number), 0), note=b"%d" % number)
            desk.know(desk.payment(note=b"%d" % number), parent)
            for txid in tuple(desk.path.tallies):
                desk.path.forget(txid)
        self.assertEqual((len(desk.path.rivals), len(desk.path._children)), (0, 0))

    def test_repeating_a_vote_costs_no_budget(self) -> None:
        payment = self.desk.payment()
        self.desk.know(payment)
        for _ in range(10 * self.budget):
            self.desk.votes(payment.txid, 1)
        last = self.desk.payment(1)
        self.desk.votes(last.txid, 1)
        self.assertEqual(self.desk.path.tallies[last.txid].votes.weight, 1)

    def test_old_entries_beside_a_new_one_cost_budget(self) -> None:
        """Attack: 1,023 old entries and a new one, again and again; each bundle is kept whole for the new one."""
        old = [unknown(number) for number in range(3)]
        for kind, budget in ((VOTE, self.budget), (ACKNOWLEDGEMENT, 2 * self.budget)):
            desk = EpochDesk(params=self.desk.params)
            for number in range(3, 100):
                desk.hear(desk.bundle(3, *old, unknown(number), kind=kind))
            kept = {
                ballot.bundle.tick: ballot.bundle
                for tally in desk.path.tallies.values()
                for ballot in tally.count(kind).signers.values()
            }
            self.assertLess(sum(len(bundle.entries) for bundle in kept.values()), budget + 4)
            self.assertFalse(desk.path.wants(desk.bundle(3, *old, unknown(100), kind=kind)))

    def test_everything_an_honest_member_may_sign_in_one_epoch_is_counted(self) -> None:
        """It votes for one budget of transactions, and acknowledges whatever is certified: up to two."""
        payments = [self.desk.payment(number) for number in range(2 * self.budget)]
        self.desk.know(*payments)
        self.desk.hear(self.desk.bundle(1, *(one.txid for one in payments[: self.budget])))
        self.desk.hear(self.desk.bundle(1, *(one.txid for one in payments), kind=ACKNOWLEDGEMENT))
        tallies = [self.desk.path.tallies[one.txid] for one in payments]
        self.assertEqual([tally.votes.weight for tally in tallies], [1] * self.budget + [0] * self.budget)
        self.assertEqual([tally.acknowledgements.weight for tally in tallies], [1] * 2 * self.budget)

    def test_the_budget_is_an_epochs(self) -> None:
        self.desk.hear(self.desk.bundle(3, *(unknown(number) for number in range(100))))
        self.desk.begin(EPOCH + 1)
        payment = self.desk.payment()
        self.desk.votes(payment.txid, 3)
        self.assertEqual(self.desk.path.tallies[payment.txid].votes.weight, 1)


class UnknownTransactionTests(SynchronousTestCase):
    """Votes for a body that has not come yet."""

    def test_votes_that_come_before_the_body_count_when_it_is_there(self) -> None:
        desk = EpochDesk()
        payment = desk.payment()
        desk.votes(payment.txid, 1, 2, 3)
        self.assertEqual(desk.path.held(), (), "a certificate needs the inputs, and so the body")
        desk.know(payment)
        certificate = desk.path.tallies[payment.txid].certificate(VOTE)
        assert certificate is not None
        self.assertTrue(are_good(certificate.signature_items(desk.roster)))

    def test_the_body_is_asked_for_after_150_ms(self) -> None:
        """Usually it is on its way; those who voted for it have it."""
        desk = EpochDesk()
        desk.votes(unknown(1), 1, 3)
        desk.wait(MISSING_AFTER_US - 1)
        desk.path.wake(desk.now)
        desk.settle()
        self.assertEqual(desk.asked, [])
        desk.wait(1)
        self.assertEqual(desk.asked, [AskTransactions((unknown(1),), (1, 3))])
        self.assertEqual(MISSING_AFTER_US, 150_000)

    def test_it_is_asked_for_again_each_second(self) -> None:
        desk = EpochDesk()
        desk.votes(unknown(1), 1)
        desk.wait(MISSING_AFTER_US + 3 * ASK_AGAIN_US)
        self.assertEqual(len(desk.asked), 4)
        self.assertEqual(ASK_AGAIN_US, SECOND)

    def test_nobody_is_asked_for_a_body_that_came(self) -> None:
        desk = EpochDesk()
        early, late = desk.payment(1), desk.payment(2)
        desk.votes(early.txid, 1)
        desk.votes(late.txid, 1)
        desk.know(early)
        desk.wait(MISSING_AFTER_US)
        desk.know(late)
        desk.wait(10 * SECOND)
        self.assertEqual(desk.asked, [AskTransactions((late.txid,), (1,))])

    def test_those_who_only_acknowledged_are_asked_when_nobody_voted_here(self) -> None:
        desk = EpochDesk()
        desk.acknowledgements(unknown(1), 2)
        desk.wait(MISSING_AFTER_US)
        self.assertEqual(desk.asked, [AskTransactions((unknown(1),), (2,))])

    def test_no_more_than_a_few_are_asked_for_at_a_time_and_all_in_the_end(self) -> None:
        desk = EpochDesk()
        desk.hear(desk.bundle(1, *(unknown(number) for number in range(3 * MAX_ASK))))
        desk.now += MISSING_AFTER_US
        desk.path.wake(desk.now)
        desk.settle()
        self.assertEqual([len(effect.txids) for effect in desk.wanted(AskTransactions)], [MAX_ASK])
        desk.wait(0)
        asked = [txid for effect in desk.wanted(AskTransactions) for txid in effect.txids]
        self.assertEqual(sorted(asked), sorted(unknown(number) for number in range(3 * MAX_ASK)))

    def test_what_waits_is_due_as_soon_when_the_clock_is_set_back(self) -> None:
        """The body of a vote, the certificate of a parent, and a bundle that gathers."""
        desk = EpochDesk()
        child = desk.child_of(desk.payment(5))
        desk.know(child)
        desk.votes(child.txid, 1, 2, 3)
        desk.votes(unknown(1), 1)
        desk.wait(MISSING_AFTER_US)
        desk.votes(unknown(2), 1)
        desk.know(desk.payment(1))
        asked = len(desk.asked)
        desk.now -= 3600 * SECOND
        desk.path.clock_set_back(desk.now)
        desk.wait(ASK_AGAIN_US)
        self.assertEqual(len(desk.sent), 1)
        later = desk.asked[asked:]
        self.assertEqual([type(one) for one in later], [AskTransactions, AskTransactions, AskCertificates])

    def test_nothing_of_the_old_epoch_is_asked_for_in_the_new_one(self) -> None:
        desk = EpochDesk()
        desk.votes(unknown(1), 1)
        desk.begin(EPOCH + 1)
        desk.wait(10 * SECOND)
        self.assertEqual(desk.asked, [])
        self.assertIsNone(desk.path.next_deadline())
