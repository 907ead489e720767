"""What users hand in outlives a crash, until a block holds it or its sender was told that it is dropped."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests import builders
from tests.node_world import TICK, NodeWorld
from timed.consensus.missing import MISSING_AFTER_US
from timed.events import TransactionAccepted, TransactionDropped, TransactionKept
from timed.ledger import mempool
from timed.node.admission import Offer
from timed.primitives.certificate import BundleCertificate, BundleSigner, CertificateKind, bitmap_of
from timed.primitives.transaction import Transaction
from timed.wire.messages import (
    CertificatesResponse,
    CertifiedTransaction,
    GetCertificates,
    GetPendingTransactions,
    GetTransactions,
    PendingTransactionsResponse,
    TransactionBroadcast,
    TransactionCertified,
    TransactionFinalized,
    TransactionsResponse,
    UTXOStateKind,
)

FEE = 10**8


def paying(world: NodeWorld, number: int) -> Transaction:
    """Each pays more than the one before it."""
    return builders.transfer([world.genesis.created()[number]], fee=FEE + 1_000_000 * number)


class DisplacedTests(SynchronousTestCase):
    """The sender hears that a payment is dropped: no restart may bring it back."""

    def setUp(self) -> None:
        self.world = NodeWorld(me=None)
        self.world.node.mempool.max_count = 1
        self.cheap, self.dear = paying(self.world, 1), paying(self.world, 2)

    def state(self, world: NodeWorld, payment: Transaction) -> str:
        return world.node.transaction_state(payment.txid).state

    def submit(self, *payments: Transaction) -> None:
        for payment in payments:
            self.world.node.submit(payment.raw, self.world.now)
            self.world.pump()

    def told(self) -> list[bytes]:
        return [event.txid for event in self.world.told(TransactionDropped)]

    def test_it_does_not_come_back_after_a_crash(self) -> None:
        self.world.submit(self.cheap)
        self.world.submit(self.dear)
        self.assertEqual(self.told(), [self.cheap.txid])
        again = self.world.restarted()
        self.assertEqual(self.state(again, self.cheap), "unknown")
        self.assertEqual(self.state(again, self.dear), "pending")
        self.assertNotIn(self.cheap.txid, again.node.chain.fastpath.tallies)

    def test_its_sender_hears_of_it_when_that_is_durable(self) -> None:
        self.world.manual = True
        self.submit(self.cheap)
        self.world.durable()
        self.submit(self.dear)
        self.assertEqual(self.told(), [])
        self.assertEqual(self.state(self.world.restarted(), self.cheap), "pending", "nobody heard otherwise")
        self.world.durable()
        self.assertEqual(self.told(), [self.cheap.txid])

    def test_it_may_lose_its_place_before_it_is_durable(self) -> None:
        self.world.manual = True
        self.submit(self.cheap, self.dear)
        self.world.durable()
        self.assertEqual(self.told(), [self.cheap.txid])
        self.assertEqual(self.state(self.world.restarted(), self.cheap), "unknown")

    def test_handed_in_again_it_is_durable_again(self) -> None:
        self.world.submit(self.cheap)
        self.world.submit(self.dear)
        self.world.node.mempool.max_count = 2
        self.world.submit(self.cheap)
        again = self.world.restarted()
        self.assertEqual(self.state(again, self.cheap), "pending")
        self.assertEqual(self.state(again, self.dear), "pending")

    def test_what_nobody_here_handed_in_needs_no_write(self) -> None:
        stranger = self.world.stranger()
        stranger.say(TransactionBroadcast(transaction=self.cheap))
        stranger.say(TransactionBroadcast(transaction=self.dear))
        self.assertEqual(self.told(), [self.cheap.txid])
        self.assertEqual(self.world.node.gate.writes, 0)

    def test_its_children_do_not_come_back_either(self) -> None:
        self.world.node.mempool.max_count = 2
        child = builders.transfer(builders.outputs_of(self.cheap)[:1], fee=5 * FEE)
        self.world.submit(self.cheap)
        self.world.submit(child)
        self.world.submit(self.dear)
        self.assertEqual(sorted(self.told()), sorted([self.cheap.txid, child.txid]))
        again = self.world.restarted()
        self.assertEqual([self.state(again, one) for one in (self.cheap, child)], ["unknown", "unknown"])

    def test_a_vote_for_it_in_the_log_has_its_body_in_front(self) -> None:
        """It was displaced after a restart, and a peer brought it again: the member votes, and starts again."""
        world = NodeWorld(vote=False)
        world.submit(self.cheap)
        world = world.restarted(vote=False)
        world.node.mempool.max_count = 1
        world.submit(self.dear)
        self.assertNotIn(self.cheap.txid, world.node.mempool)
        world = world.restarted()
        self.assertEqual(self.state(world, self.cheap), "unknown")
        world.stranger().say(TransactionBroadcast(transaction=self.cheap))
        world.pass_time(TICK)
        self.assertEqual(self.state(world, self.cheap), "locked")
        self.assertEqual(self.state(world.restarted(), self.cheap), "locked")


class RepeatedTests(SynchronousTestCase):
    """A payment that is here already is taken from its user when it is durable, as any other is."""

    def setUp(self) -> None:
        self.world = NodeWorld(me=None)
        self.payment = paying(self.world, 1)

    def hand_in(self) -> None:
        self.world.node.submit(self.payment.raw, self.world.now)

    def told(self) -> tuple[int, int]:
        """How often it was said to be accepted, and kept."""
        return len(self.world.told(TransactionAccepted)), len(self.world.told(TransactionKept))

    def hand_in_and_wait(self, before: tuple[int, int], durable: tuple[int, int]) -> None:
        """What has been told until it is durable, and then, when a crash may come."""
        self.world.manual = True
        self.hand_in()
        self.world.pump()
        self.assertEqual(self.told(), before)
        self.world.durable()
        self.assertEqual(self.told(), durable)
        self.assertEqual(self.world.restarted().node.transaction_state(self.payment.txid).state, "pending")

    def test_what_a_peer_has_brought(self) -> None:
        self.world.stranger().say(TransactionBroadcast(transaction=self.payment))
        self.hand_in_and_wait((1, 0), (1, 1))

    def test_what_is_being_checked_for_a_peer(self) -> None:
        self.world.node.admission.offer(Offer(self.payment, b"p" * 32), self.world.now)
        self.hand_in_and_wait((0, 0), (1, 0))

    def test_what_another_caller_has_handed_in_a_moment_ago(self) -> None:
        self.world.manual = True
        self.hand_in()
        self.world.pump()
        self.hand_in_and_wait((0, 0), (1, 1))

    def test_it_is_written_once(self) -> None:
        for _ in range(3):
            self.hand_in()
            self.world.pump()
        self.assertEqual(len(list(self.world.store.replay())), 1)


class KeptTests(SynchronousTestCase):
    """What was shown as locked, certified or final keeps its place: nobody is told that it is dropped."""

    def displaced_by_a_dearer_one(self, world: NodeWorld, payment: Transaction) -> list[bytes]:
        """Whom a newcomer takes the place of, where there is place for nothing more."""
        world.node.mempool.max_count = len(world.node.mempool)
        world.stranger().say(TransactionBroadcast(transaction=paying(world, 3)))
        self.assertIn(payment.txid, world.node.mempool)
        return [event.txid for event in world.told(TransactionDropped)]

    def test_after_a_restart_as_before(self) -> None:
        world = NodeWorld()
        payment = paying(world, 1)
        peer = world.member(1)
        world.submit(payment)
        self.assertEqual(self.displaced_by_a_dearer_one(world, payment), [])
        for kind in (CertificateKind.VOTE, CertificateKind.ACKNOWLEDGEMENT):
            world = world.restarted()
            self.assertEqual(self.displaced_by_a_dearer_one(world, payment), [])
            world.member(1).say(*(world.bundle(member, payment.txid, kind=kind) for member in (1, 2)))
            world.pass_time(TICK)
        self.assertEqual(world.node.transaction_state(payment.txid).state, "final")
        self.assertEqual(peer.closed, [])

    def proof(self, world: NodeWorld, payment: Transaction, kind: CertificateKind) -> BundleCertificate:
        """That three of four members have signed."""
        bundles = [world.bundle(member, payment.txid, kind=kind) for member in range(3)]
        return BundleCertificate(
            kind=int(kind), chain_id=bundles[0].chain_id, epoch=1, target=payment.txid,
            roster=bundles[0].roster, bitmap=bitmap_of(range(3), 4),
            signers=tuple(BundleSigner(one.signature, one.tick, 0, ()) for one in bundles),
        )  # fmt: skip

    def test_what_is_certified_spends_its_coins_with_or_without_a_place_in_the_mempool(self) -> None:
        world = NodeWorld(me=None)
        world.node.mempool.max_count = 1
        payment = paying(world, 1)
        world.submit(paying(world, 2))
        peer = world.stranger()
        ((number, _),) = peer.questions(GetPendingTransactions)
        peer.say(PendingTransactionsResponse(epoch=1, txids=(payment.txid,)), reply_to=number)
        ((number, _),) = peer.questions(GetCertificates)
        certified = CertifiedTransaction(payment, self.proof(world, payment, CertificateKind.VOTE))
        peer.say(CertificatesResponse(entries=(certified,)), reply_to=number)
        self.assertNotIn(payment.txid, world.node.mempool)
        self.assertEqual(world.node.transaction_state(payment.txid).state, "certified")
        found = world.node.outpoint_state(payment.inputs[0])
        self.assertEqual((found.state, found.txid), (UTXOStateKind.SPENT_PENDING, payment.txid))

    def test_the_body_of_what_is_certified_is_taken_when_it_comes_after_the_certificate(self) -> None:
        """A mempool that is full of what pays more must not hide from a follower that its payment is certified."""
        world = NodeWorld(me=None)
        world.node.mempool.max_count = 1
        world.submit(paying(world, 2))
        for number, asked in ((1, True), (0, False)):
            payment, peer = paying(world, number), world.stranger()
            peer.say(TransactionCertified(certificate=self.proof(world, payment, CertificateKind.VOTE)))
            if asked:
                world.pass_time(MISSING_AFTER_US)
                ((request, _),) = peer.questions(GetTransactions)
                peer.say(TransactionsResponse(transactions=(payment,)), reply_to=request)
            else:
                peer.say(TransactionBroadcast(transaction=payment))
            self.assertEqual(world.node.transaction_state(payment.txid).state, "certified")
            self.assertNotIn(payment.txid, world.node.mempool)

    def test_what_was_final_before_its_body_came(self) -> None:
        world = NodeWorld(me=None)
        payment, peer = paying(world, 1), world.stranger()
        proof = self.proof(world, payment, CertificateKind.ACKNOWLEDGEMENT)
        for message in (TransactionFinalized(certificate=proof), TransactionBroadcast(transaction=payment)):
            peer.say(message)
        self.assertEqual(world.node.transaction_state(payment.txid).state, "final")
        self.assertEqual(self.displaced_by_a_dearer_one(world, payment), [])


class ExpiredTests(SynchronousTestCase):
    def test_what_has_expired_does_not_come_back_after_a_crash(self) -> None:
        self.patch(mempool, "MAX_AGE", 2)
        world = NodeWorld()
        peer = world.others()[0]
        payment = world.payment()
        world.submit(payment)
        for _ in range(2):
            world.certify(peer)
        self.assertEqual([each.rule for each in world.told(TransactionDropped)], ["mempool-expired"])
        again = world.restarted()
        self.assertNotIn(payment.txid, again.node.mempool)
        self.assertNotIn(payment.txid, again.node.chain.fastpath.tallies)
