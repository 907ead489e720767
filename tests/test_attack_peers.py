"""Attacks by a peer that speaks the protocol: replays, poisoned bodies, questions with long answers."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests import builders
from tests.node_world import TICK, NodeWorld
from timed.consensus.votes import MAX_ROUNDS_AHEAD
from timed.events import TransactionAccepted
from timed.node.serving import MAX_REPLY_BYTES, Serving
from timed.params import REGTEST
from timed.peer import limits
from timed.primitives.block import Block, Evidence
from timed.primitives.certificate import PRECOMMIT, PREVOTE, BlockCertificate, CertificateKind
from timed.primitives.transaction import Transaction
from timed.wire.catalogue import encode_message
from timed.wire.messages import (
    BlocksResponse,
    EpochReport,
    GetBlocks,
    GetCertificates,
    GetTransactions,
    RoundState,
    TransactionBroadcast,
    TransactionFinalized,
    TransactionsResponse,
)

ACKNOWLEDGEMENT = CertificateKind.ACKNOWLEDGEMENT


class ReplayTests(SynchronousTestCase):
    """Good signatures that were seen before, or that can change nothing: nobody checks them again."""

    def setUp(self) -> None:
        self.world = NodeWorld()
        self.peer, *_ = self.world.others()

    def checked(self, *messages: Any) -> int:
        """Signatures that were checked because a stranger said this."""
        stranger = self.world.stranger()
        before = self.world.node.checks.signatures
        stranger.say(*messages)
        return self.world.node.checks.signatures - before

    def test_votes_for_the_block_before(self) -> None:
        """A late precommit for the decided block is attendance; nothing else of that height matters."""
        prevote = self.world.vote(3, PREVOTE, bytes(31) + b"\1")
        other = self.world.vote(3, PRECOMMIT, bytes(31) + b"\1")
        block = self.world.certify(self.peer)
        late = [
            self.world.vote(3, step, block, round_, height=1, roster=self.world.genesis.members.hash)
            for step in (PREVOTE, PRECOMMIT)
            for round_ in (90, 91)
        ]
        self.assertEqual(self.world.node.ledger.tip.height, 1)
        self.assertEqual(self.checked(*(100 * [prevote, other, *late])), 0)

    def test_a_late_precommit_of_who_has_not_signed_yet(self) -> None:
        block = self.world.certify(self.peer)
        decided = self.world.node.ledger.tip.certificate
        assert decided is not None
        roster = self.world.genesis.members.hash
        missing = self.world.vote(3, PRECOMMIT, block, decided.round, height=1, roster=roster)
        self.assertEqual(len(decided.signatures), 3)
        self.assertEqual(self.checked(missing), 0 if decided.bitmap == b"\x0e" else 1)
        self.assertEqual(self.checked(*(50 * [missing])), 0)

    def test_one_bundle_many_times_before_the_first_is_checked(self) -> None:
        paid = self.world.payment()
        self.world.submit(paid)
        self.assertEqual(self.checked(*(200 * [self.world.bundle(1, paid.txid)])), 1)
        self.assertIn(1, self.world.node.chain.fastpath.tallies[paid.txid].votes.signers)

    def test_a_forged_bundle_does_not_keep_the_good_one_out(self) -> None:
        """Both are under way at once, alike but for the signature."""
        paid = self.world.payment()
        self.world.submit(paid)
        good = self.world.bundle(1, paid.txid)
        forged = type(good)(*(getattr(good, name) for name in good.__struct_fields__[:-1]), bytes(64))
        self.assertEqual(self.checked(forged, good, forged), 2)
        self.assertIn(1, self.world.node.chain.fastpath.tallies[paid.txid].votes.signers)

    def test_what_its_member_has_said_already_under_a_new_tick(self) -> None:
        """[9] in spirit: it could be signed without end, and adds nothing."""
        paid = self.world.payment()
        self.world.submit(paid)
        self.assertEqual(self.checked(self.world.bundle(1, paid.txid)), 1)
        again = [self.world.bundle(1, paid.txid) for _ in range(100)]
        self.assertEqual(self.checked(*again), 0)

    def test_a_member_that_has_spent_its_budget(self) -> None:
        path = self.world.node.chain.fastpath
        path._entries_of[1, 2] = REGTEST.epoch_transactions
        self.assertEqual(self.checked(*(self.world.bundle(1, bytes([n]) * 32) for n in range(50))), 0)
        self.assertEqual(path.counters.votes_over_budget, 50)


class PoisonTests(SynchronousTestCase):
    """A body of the right id with wrong signatures."""

    def setUp(self) -> None:
        self.world = NodeWorld()
        self.parent = self.world.payment()
        self.child = builders.transfer(builders.outputs_of(self.parent)[:1])
        coins = [coin for _, coin in builders.outputs_of(self.parent)[:1]]
        self.poisoned = builders.signed(self.child, coins, [builders.WALLET], chain_id=1)
        self.assertEqual(self.poisoned.txid, self.child.txid)

    def test_does_not_keep_the_good_body_from_waiting_for_its_parent(self) -> None:
        liar, honest = self.world.stranger(), self.world.stranger()
        liar.say(TransactionBroadcast(self.poisoned))
        honest.say(TransactionBroadcast(self.child))
        honest.say(TransactionBroadcast(self.parent))
        self.assertEqual(self.world.node.mempool.get(self.child.txid), self.child)
        self.assertIn(TransactionAccepted(self.child.txid), self.world.events)

    def test_who_sends_the_parent_is_not_to_blame(self) -> None:
        """[21] The liar is, once its body can be checked."""
        liar, honest = self.world.stranger(), self.world.stranger()
        coins = [coin for _, coin in builders.outputs_of(self.parent)[:1]]
        for chain_id in range(10, 16):
            liar.say(TransactionBroadcast(builders.signed(self.child, coins, [builders.WALLET], chain_id)))
        honest.say(TransactionBroadcast(self.parent))
        self.assertIsNotNone(self.world.node.peers.get(honest.node_id))
        self.assertEqual(self.world.node.peers.conduct.score(honest.node_id, self.world.now), 0)
        self.assertIsNone(self.world.node.peers.get(liar.node_id))

    def test_is_not_handed_on(self) -> None:
        """[21] Nobody has checked it; whoever got it would blame this node."""
        self.world.stranger().say(TransactionBroadcast(self.poisoned))
        reply = self.world.stranger().ask(GetTransactions(txids=(self.child.txid,)))
        self.assertEqual(reply, TransactionsResponse(transactions=()))


class FakeLedger:
    """A chain of blocks of these sizes, about."""

    def __init__(self, world: NodeWorld, *sizes: int) -> None:
        tip = world.node.ledger.tip
        self.blocks = [Block(tip.header, (), b"", self._filling(size), None, ()) for size in sizes]
        self.proof = BlockCertificate(
            chain_id=3, height=1, round=0, target=tip.hash, roster=bytes(32), bitmap=bytes(13),
            signatures=100 * (bytes(64),),
        )  # fmt: skip

    @staticmethod
    def _filling(size: int) -> tuple[Evidence, ...]:
        piece = 32 * 1024
        whole, rest = divmod(size, piece)
        return (*(Evidence(bytes(piece - 8), b"") for _ in range(whole)), Evidence(bytes(rest), b""))

    def block(self, height: int) -> Block | None:
        return self.blocks[height - 1] if 0 < height <= len(self.blocks) else None

    def certificate(self, height: int) -> BlockCertificate | None:
        return self.proof

    def encoded(self, height: int) -> tuple[bytes, bytes] | None:
        block = self.block(height)
        return None if block is None else (block.encode(), self.proof.encode())


MIB = 1024 * 1024


class ReplyTests(SynchronousTestCase):
    """No question makes a reply that cannot be sent, or that costs the session."""

    def setUp(self) -> None:
        self.world = NodeWorld()

    def serving(self, *sizes: int) -> Serving:
        ledger: Any = FakeLedger(self.world, *sizes)
        return Serving(ledger, self.world.node.mempool, self.world.node.chain.fastpath)

    def test_blocks_of_any_size_fit_into_one_message(self) -> None:
        for sizes in (
            (MAX_REPLY_BYTES - 1_000, 4 * MIB - 1_000),
            (*(15 * [65_000]), 4 * MIB - 1_000),
            (4 * MIB - 1_000, 4 * MIB - 1_000),
            (*(63 * [16_000]), 4 * MIB - 1_000),
        ):
            reply = self.serving(*sizes).blocks(1, 64)
            self.assertGreaterEqual(len(reply.read().blocks), 1)
            encode_message(reply)

    def test_a_block_that_does_not_fit_behind_others_comes_first_next_time(self) -> None:
        serving = self.serving(600_000, 600_000, 4 * MIB - 1_000)
        self.assertEqual([len(serving.blocks(start, 16).read().blocks) for start in (1, 2, 3)], [1, 1, 1])

    def test_a_peer_that_asks_for_more_than_its_queue_holds_keeps_its_session(self) -> None:
        """Replies are made while there is room; what is not answered now is asked again."""
        world = self.world
        peer = world.stranger()
        ledger: Any = FakeLedger(world, *(8 * [3 * MIB]))
        world.node.serving._ledger = ledger
        numbers = [
            peer.table.request(world.node_id, GetBlocks(start=1 + n, count=1), world.now) for n in range(8)
        ]
        world.pump()
        self.assertIsNotNone(world.node.peers.get(peer.node_id))
        replies = {
            one.request_id: one.message for one in peer.incoming if isinstance(one.message, BlocksResponse)
        }
        self.assertEqual(sorted(replies), sorted(number for number in numbers if number))
        self.assertGreaterEqual(sum(len(reply.blocks) for reply in replies.values()), 1)

    def test_one_id_named_many_times_is_answered_once(self) -> None:
        world = self.world
        first, *_ = world.others()
        paid = world.payment()
        world.submit(paid)
        first.say(*(world.bundle(member, paid.txid) for member in (1, 2, 3)))
        first.say(*(world.bundle(member, paid.txid, kind=ACKNOWLEDGEMENT) for member in (1, 2, 3)))
        stranger = world.stranger()
        bodies = stranger.ask(GetTransactions(txids=256 * (paid.txid,)))
        self.assertEqual(bodies, TransactionsResponse(transactions=(paid,)))
        reply: Any = stranger.ask(GetCertificates(epoch=1, txids=64 * (paid.txid,)))
        self.assertEqual(len(reply.entries), 1)
        self.assertEqual(len(stranger.heard(TransactionFinalized)), 1)


class RoundStateTests(SynchronousTestCase):
    """27 bytes that are answered with everything an epoch holds."""

    def test_votes_of_a_liar_for_rounds_to_come_are_few(self) -> None:
        world = NodeWorld()
        liar, asks, _ = world.others()
        world.pass_slot()
        for number in range(1, 1_000):
            liar.say(world.vote(1, PREVOTE, round_=number))
        before = world.node.peers.statistics(asks.node_id)
        asks.say(RoundState(height=1, round=0, step=1, reported=True))
        after = world.node.peers.statistics(asks.node_id)
        assert before is not None and after is not None
        self.assertLess(after.bytes_sent - before.bytes_sent, 40_000)
        self.assertLessEqual(MAX_ROUNDS_AHEAD, 100)

    def test_reports_beyond_the_queue_do_not_cost_the_session(self) -> None:
        """Four members with full reports are nothing; a hundred are more than a queue holds."""
        world = NodeWorld(members=20)
        peers = world.others()
        txids = tuple(sorted(bytes([n % 256, n // 256]) * 16 for n in range(16_000)))
        for number, peer in enumerate(peers, 1):
            peer.say(world.report(number, *txids))
        self.assertGreater(
            sum(len(one.encode()) for one in world.node.chain.closing.reports.values()),
            limits.PEER_QUEUE_BYTES,
        )
        asks = peers[0]
        heard: dict[int, None] = {}
        for _ in range(12):
            asks.say(RoundState(height=1, round=0, step=1, reported=True))
            world.pass_time(1_000_000)
            heard.update(dict.fromkeys(report.member for report in asks.heard(EpochReport)))
        self.assertIsNotNone(world.node.peers.get(asks.node_id))
        self.assertEqual(sorted(set(heard) | {0}), list(range(20)))


class RelayTests(SynchronousTestCase):
    """What a node passes on."""

    def test_a_payment_passes_only_once_whatever_its_witnesses(self) -> None:
        world = NodeWorld()
        first, second = world.stranger(), world.stranger()
        paid: Transaction = world.payment()
        first.say(TransactionBroadcast(paid))
        for _ in range(20):
            first.say(TransactionBroadcast(paid))
        world.pass_time(TICK)
        self.assertEqual(len(second.heard(TransactionBroadcast)), 1)
