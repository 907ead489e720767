"""Attacks with payments that pay a little more than the ones before: what gives way leaves nothing behind."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests import builders
from tests.node_world import TICK, NodeWorld
from timed.events import TransactionAccepted, TransactionDropped
from timed.primitives.transaction import Transaction
from timed.wire.messages import GetTransactions, TransactionBroadcast, TransactionsResponse

PLACES = 5
FEE = 10**8


class DisplacedTests(SynchronousTestCase):
    """The mempool's bound is the bound of all that a node keeps of payments nobody voted for."""

    def setUp(self) -> None:
        self.world = NodeWorld(me=None)
        self.member = self.world.member(1)
        self.world.node.mempool.max_count = PLACES
        self.stranger = self.world.stranger()

    def payments(self, count: int) -> list[Transaction]:
        """Each pays more than the one before it."""
        coins = self.world.genesis.created()
        return [builders.transfer([coins[number]], fee=FEE + 1_000_000 * number) for number in range(count)]

    def say(self, *payments: Transaction) -> None:
        self.stranger.say(*(TransactionBroadcast(payment) for payment in payments))
        self.world.pass_time(TICK)

    def known(self) -> list[bytes]:
        return list(self.world.node.chain.fastpath.tallies)

    def test_what_gave_way_is_forgotten_and_told(self) -> None:
        payments = self.payments(8 * PLACES)
        self.say(*payments)
        kept = [payment.txid for payment in payments[-PLACES:]]
        self.assertEqual(sorted(self.world.node.mempool.txids()), sorted(kept))
        self.assertEqual(sorted(self.known()), sorted(kept))
        told = [event.txid for event in self.world.told(TransactionDropped)]
        self.assertEqual(sorted(told), sorted(payment.txid for payment in payments[:-PLACES]))
        self.assertEqual({event.rule for event in self.world.told(TransactionDropped)}, {"mempool-full"})
        gone = self.stranger.ask(GetTransactions(txids=(payments[0].txid,)))
        self.assertEqual(gone, TransactionsResponse(transactions=()))

    def test_what_a_member_voted_for_is_kept(self) -> None:
        """Its certificate may be a vote away, and the body must be there then."""
        first, *others = self.payments(3 * PLACES)
        self.say(first)
        self.member.say(self.world.bundle(1, first.txid))
        self.say(*others)
        self.assertNotIn(first.txid, self.world.node.mempool)
        self.member.say(*(self.world.bundle(member, first.txid) for member in (0, 2)))
        tally = self.world.node.chain.fastpath.tallies[first.txid]
        self.assertTrue(tally.certified)

    def test_it_may_come_again_when_there_is_room(self) -> None:
        first, *others = self.payments(2 * PLACES)
        self.say(first, *others)
        self.assertNotIn(first.txid, self.known())
        self.world.node.mempool.max_count = 4 * PLACES
        self.say(first)
        self.assertIn(first.txid, self.known())
        self.assertEqual(self.world.events.count(TransactionAccepted(first.txid)), 2)

    def test_a_child_that_goes_with_its_parent_is_no_surprise_later(self) -> None:
        """The parent's certificate comes when nobody here remembers the child."""
        parent, *others = self.payments(3 * PLACES)
        child = builders.transfer(builders.outputs_of(parent)[:1], fee=FEE)
        self.say(parent, child)
        self.say(*others)
        self.assertNotIn(child.txid, self.known())
        self.world.node.mempool.max_count = 4 * PLACES
        self.say(parent)
        self.member.say(*(self.world.bundle(member, parent.txid) for member in (0, 1, 2)))
        self.assertTrue(self.world.node.chain.fastpath.tallies[parent.txid].certified)
        self.say(child)
        self.member.say(*(self.world.bundle(member, child.txid) for member in (0, 1, 2)))
        self.assertTrue(self.world.node.chain.fastpath.tallies[child.txid].certified)

    def test_a_voters_own_payments_stay_though_they_are_not_written_yet(self) -> None:
        """Between the lock and its write nothing pins the payment but the vote itself."""
        world = NodeWorld(manual=True)
        world.node.mempool.max_count = PLACES
        stranger = world.stranger()
        coins = world.genesis.created()
        payments = [builders.transfer([coins[n]], fee=FEE + 1_000_000 * n) for n in range(3 * PLACES)]
        stranger.say(*(TransactionBroadcast(payment) for payment in payments))
        tallies = world.node.chain.fastpath.tallies
        self.assertTrue(all(tallies[payment.txid].voted for payment in payments))
        world.pass_time(TICK)
        world.durable()
        self.assertTrue(all(tallies[payment.txid].transaction for payment in payments))
