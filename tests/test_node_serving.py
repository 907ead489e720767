"""What a node answers, and what two members tell each other on a new session (protocol §5, §6)."""

from __future__ import annotations

from typing import Any

from twisted.python.monkey import MonkeyPatcher
from twisted.trial.unittest import SynchronousTestCase

from tests import builders
from tests.consensus_world import are_good
from tests.node_world import TICK, NodeWorld, Puppet
from timed.node import serving
from timed.node.exchange import ANSWER_EVERY_US
from timed.params import NULL_HASH, REGTEST, SECOND
from timed.primitives.block import Block, BlockHeader
from timed.primitives.certificate import PREVOTE, BlockCertificate, CertificateKind
from timed.primitives.transaction import OutPoint, Transaction
from timed.wire.messages import (
    BlockAnnouncement,
    BlockProposal,
    BlockRequest,
    BlockResponse,
    BlocksResponse,
    BlockVote,
    CertificatesResponse,
    CertifiedBlock,
    EpochReport,
    GetBlocks,
    GetCertificates,
    GetHeaders,
    GetMasternodes,
    GetPendingTransactions,
    GetProposal,
    GetTransactions,
    HeadersResponse,
    MasternodesResponse,
    PendingTransactionsResponse,
    RoundState,
    TransactionBroadcast,
    TransactionCertified,
    TransactionFinalized,
    TransactionRejected,
    TransactionsResponse,
    TransactionVote,
    UTXOStateKind,
    UTXOStateQuery,
    UTXOStateResponse,
)

HUGE = 2**64 - 1
ACKNOWLEDGEMENT = CertificateKind.ACKNOWLEDGEMENT


def with_blocks(count: int = 3) -> tuple[NodeWorld, Puppet]:
    """A member whose chain has so many blocks, each with a payment."""
    world = NodeWorld()
    peer = world.others()[0]
    for number in range(count):
        paid = world.payment(number)
        world.submit(paid)
        peer.say(*(world.bundle(member, paid.txid) for member in (1, 2)))
        world.certify(peer, paid.txid)
    return world, peer


class ChainTests(SynchronousTestCase):
    """Headers, blocks and rosters, whatever the numbers in the question."""

    def test_headers_come_with_certificates_that_prove_them(self) -> None:
        world, peer = with_blocks()
        reply = peer.ask(GetHeaders(start=1, count=10))
        assert isinstance(reply, HeadersResponse)
        self.assertEqual([one.header.height for one in reply.headers], [1, 2, 3])
        for one in reply.headers:
            self.assertEqual(one.certificate.target, one.header.hash)
            self.assertTrue(are_good(one.certificate.signature_items(world.genesis.members)))

    def test_blocks_come_whole(self) -> None:
        world, peer = with_blocks()
        reply = peer.ask(GetBlocks(start=2, count=1))
        assert isinstance(reply, BlocksResponse)
        ((block, certificate),) = [(one.block, one.certificate) for one in reply.blocks]
        self.assertEqual((block, certificate), (world.node.ledger.block(2), world.node.ledger.certificate(2)))
        again = peer.ask(BlockRequest(hash=block.hash))
        assert isinstance(again, BlockResponse)
        self.assertEqual([one.block for one in again.blocks], [block])

    def test_a_block_is_handed_over_as_it_is_stored(self) -> None:
        """Nobody reads it on its way: its bytes are those that a decoded block would be encoded into."""
        world, peer = with_blocks(3)
        served, ledger = world.node.serving, world.node.ledger
        pairs = [(ledger.block(height), ledger.certificate(height)) for height in (1, 2, 3)]
        whole = tuple([CertifiedBlock(block, proof) for block, proof in pairs if block and proof])
        one = BlockResponse(blocks=whole[1:2])
        expected = [BlocksResponse(blocks=whole).encode(), one.encode()]
        read: list[type] = []

        def counted(value: Any) -> Any:
            read.append(type(value))
            raise AssertionError(f"{type(value).__name__}: a stored block is read or written anew")

        patches = [(Block, "encode"), (Transaction, "encode"), (BlockCertificate, "encode")]
        patches += [(kind, "decode") for kind in (Block, BlockHeader, BlockCertificate)]
        patcher = MonkeyPatcher(*[(kind, name, counted) for kind, name in patches])
        found = patcher.runWithPatches(
            lambda: [served.blocks(1, 3).encode(), served.block(one.blocks[0].block.hash).encode()]
        )
        self.assertEqual((found, read), (expected, []))
        self.assertEqual(peer.ask(BlockRequest(hash=one.blocks[0].block.hash)), one)

    def test_a_reply_ends_with_the_item_that_passes_its_bound(self) -> None:
        """Whoever wants more asks again; no question makes a node build an endless answer."""
        self.patch(serving, "MAX_REPLY_BYTES", 1_500)
        _, peer = with_blocks(4)
        blocks, headers = peer.ask(GetBlocks(start=1, count=64)), peer.ask(GetHeaders(start=1, count=256))
        assert isinstance(blocks, BlocksResponse) and isinstance(headers, HeadersResponse)
        self.assertIn(len(blocks.blocks), (1, 2))
        self.assertIn(len(headers.headers), (2, 3))

    def test_questions_beyond_the_chain_are_answered_with_nothing(self) -> None:
        _, peer = with_blocks()
        for start, count in ((4, 10), (HUGE, 65_535), (1, 0)):
            self.assertEqual(peer.ask(GetHeaders(start=start, count=count)), HeadersResponse(headers=()))
            self.assertEqual(peer.ask(GetBlocks(start=start, count=count)), BlocksResponse(blocks=()))
        self.assertEqual(peer.ask(BlockRequest(hash=b"\1" * 32)), BlockResponse(blocks=()))

    def test_genesis_is_not_served(self) -> None:
        """Everybody has it; it has no certificate."""
        world, peer = with_blocks(1)
        reply = peer.ask(GetHeaders(start=0, count=1))
        assert isinstance(reply, HeadersResponse)
        self.assertNotIn(0, [one.header.height for one in reply.headers])
        self.assertEqual(peer.ask(BlockRequest(hash=world.genesis.hash)), BlockResponse(blocks=()))

    def test_rosters_are_told_as_far_as_they_are_known(self) -> None:
        """[7]"""
        world, peer = with_blocks(1)
        for asked, known in ((0, 0), (3, 3), (HUGE, 3)):
            self.assertEqual(
                peer.ask(GetMasternodes(height=asked)),
                MasternodesResponse(height=known, roster=world.genesis.roster_at(known)),
            )


class EpochQuestionTests(SynchronousTestCase):
    """Payments, certificates and output states of the epoch under way."""

    def test_pending_payments_are_listed_and_handed_out(self) -> None:
        world, peer = with_blocks(1)
        paid = world.payment(7)
        world.submit(paid)
        self.assertEqual(
            peer.ask(GetPendingTransactions()), PendingTransactionsResponse(epoch=2, txids=(paid.txid,))
        )
        reply = peer.ask(GetTransactions(txids=(b"\1" * 32, paid.txid)))
        self.assertEqual(reply, TransactionsResponse(transactions=(paid,)))

    def test_certificates_are_handed_out_with_their_transactions(self) -> None:
        world, peer = with_blocks(1)
        paid, other = world.payment(7), world.payment(8)
        for one in (paid, other):
            world.submit(one)
        peer.say(*(world.bundle(member, paid.txid) for member in (1, 2)))
        reply = peer.ask(GetCertificates(epoch=2, txids=(other.txid, paid.txid)))
        assert isinstance(reply, CertificatesResponse)
        ((transaction, certificate),) = [(one.transaction, one.certificate) for one in reply.entries]
        self.assertEqual((transaction, certificate.target), (paid, paid.txid))
        self.assertTrue(are_good(certificate.signature_items(world.genesis.members)))
        self.assertEqual(
            peer.ask(GetCertificates(epoch=1, txids=(paid.txid,))), CertificatesResponse(entries=())
        )

    def test_finality_comes_along_with_the_certificate(self) -> None:
        world, peer = with_blocks(1)
        paid = world.payment(7)
        world.submit(paid)
        for kind in (CertificateKind.VOTE, ACKNOWLEDGEMENT):
            peer.say(*(world.bundle(member, paid.txid, kind=kind) for member in (1, 2, 3)))
        peer.ask(GetCertificates(epoch=2, txids=(paid.txid,)))
        self.assertEqual([one.certificate.target for one in peer.heard(TransactionFinalized)], [paid.txid])

    def test_states_of_outputs(self) -> None:
        """§3, in the original's words."""
        world, peer = with_blocks(1)
        paid = world.payment(7)
        world.submit(paid)
        spent, unspent = world.payment(0).inputs[0], world.payment(8).inputs[0]
        nowhere = OutPoint(b"\1" * 32, 0)
        reply = peer.ask(UTXOStateQuery(outpoints=(spent, unspent, paid.inputs[0], nowhere)))
        assert isinstance(reply, UTXOStateResponse)
        self.assertEqual(
            [(one.state, one.txid) for one in reply.states],
            [
                (UTXOStateKind.CONFIRMED, NULL_HASH), (UTXOStateKind.UNSPENT, NULL_HASH),
                (UTXOStateKind.LOCKED, paid.txid), (UTXOStateKind.UNKNOWN, NULL_HASH),
            ],
        )  # fmt: skip

    def test_a_payment_goes_to_whoever_lacks_it_and_never_back(self) -> None:
        world = NodeWorld()
        first, second = world.stranger(), world.member(1)
        paid = world.payment()
        first.say(TransactionBroadcast(transaction=paid))
        self.assertEqual(first.heard(TransactionBroadcast), [])
        self.assertEqual(second.heard(TransactionBroadcast), [TransactionBroadcast(transaction=paid)])
        second.say(TransactionBroadcast(transaction=paid))
        self.assertEqual(len(second.heard(TransactionBroadcast)), 1)

    def test_a_payment_that_is_refused_is_answered_with_the_rule(self) -> None:
        world = NodeWorld()
        peer = world.others()[0]
        cheap = builders.transfer([world.genesis.created()[0]], fee=1)
        peer.say(TransactionBroadcast(transaction=cheap))
        (rejected,) = peer.heard(TransactionRejected)
        self.assertEqual((rejected.txid, rejected.rule), (cheap.txid, "fee-low"))
        self.assertNotIn(cheap.txid, world.node.mempool)

    def test_a_child_waits_for_its_parent_which_is_asked_for(self) -> None:
        world = NodeWorld()
        peer = world.others()[0]
        parent = world.payment()
        child = builders.transfer([builders.outputs_of(parent)[0]])
        peer.say(TransactionBroadcast(transaction=child))
        self.assertEqual(world.node.transaction_state(child.txid).state, "waiting")
        ((number, ask),) = peer.questions(GetTransactions)
        self.assertEqual(ask.txids, (parent.txid,))
        peer.say(TransactionsResponse(transactions=(parent,)), reply_to=number)
        self.assertEqual(sorted(world.node.mempool.txids()), sorted((parent.txid, child.txid)))

    def test_a_child_whose_parent_comes_in_a_block_waits_no_more(self) -> None:
        """It would else wait for ever: nobody sends again what this node is known to have."""
        ahead, _ = with_blocks(3)
        parent = ahead.payment()
        world = NodeWorld(me=None, genesis=ahead.genesis, now=ahead.now + SECOND)
        peer = world.stranger(height=3)
        child = builders.transfer(builders.outputs_of(parent)[:1])
        peer.say(TransactionBroadcast(transaction=child))
        self.assertEqual(world.node.transaction_state(child.txid).state, "waiting")
        ((number, ask),) = peer.questions(GetHeaders)
        peer.say(ahead.node.serving.headers(ask), reply_to=number)
        ((number, blocks),) = peer.questions(GetBlocks)
        peer.say(ahead.node.serving.blocks(blocks.start, blocks.count), reply_to=number)
        self.assertEqual(world.node.transaction_state(parent.txid).state, "confirmed")
        self.assertEqual(world.node.transaction_state(child.txid).state, "pending")
        self.assertEqual(len(world.node.mempool.waiting), 0)

    def test_a_proposal_can_be_asked_for(self) -> None:
        world = NodeWorld()
        peers = world.others()
        world.pass_slot()
        round_ = world._round_of_others()
        proposal = world.proposal(round_=round_)
        peers[0].say(proposal)
        self.assertEqual(peers[1].ask(GetProposal(height=1, round=round_)), proposal)
        self.assertIsNone(peers[1].ask(GetProposal(height=1, round=round_ + 40)))


class AudienceTests(SynchronousTestCase):
    """Votes go to voters, proofs to everybody else."""

    def test_followers_hear_certificates_instead_of_votes(self) -> None:
        world = NodeWorld()
        voter, follower = world.others()[0], world.stranger()
        paid = world.payment()
        world.submit(paid)
        for kind in (CertificateKind.VOTE, ACKNOWLEDGEMENT):
            voter.say(*(world.bundle(member, paid.txid, kind=kind) for member in (1, 2, 3)))
            world.pass_time(TICK)
        self.assertEqual(len(voter.heard(TransactionVote)), 2)
        self.assertEqual(follower.heard(TransactionVote), [])
        self.assertEqual(len(follower.heard(TransactionCertified)), 1)
        self.assertEqual(len(follower.heard(TransactionFinalized)), 1)
        world.certify(voter, paid.txid)
        self.assertEqual([one.height for one in follower.heard(BlockAnnouncement)], [1])
        for kind in (EpochReport, BlockVote, BlockProposal):
            self.assertEqual(follower.heard(kind), [])
            if kind is not BlockProposal:
                self.assertTrue(voter.heard(kind))


class ExchangeTests(SynchronousTestCase):
    """On a new session both sides hand over what the other lacks: a reconnect loses nothing."""

    def _busy(self) -> tuple[NodeWorld, Puppet]:
        world = NodeWorld()
        peer = world.member(1)
        world.submit(world.payment())
        world.pass_slot()
        world.pass_time(TICK)
        peer.say(world.report(1))
        peer.say(world.vote(1, PREVOTE))
        return world, peer

    def test_a_member_says_where_it_is_and_asks_what_is_pending(self) -> None:
        world = NodeWorld()
        peer = world.member(1)
        self.assertEqual(peer.heard(RoundState), [RoundState(height=1, round=0, step=0, reported=False)])
        self.assertEqual(len(peer.questions(GetPendingTransactions)), 1)
        follower = world.stranger()
        self.assertEqual(follower.heard(RoundState), [])
        self.assertEqual(len(follower.questions(GetPendingTransactions)), 1)

    def test_a_member_that_says_where_it_is_gets_bundles_reports_and_votes(self) -> None:
        world, _ = self._busy()
        late = world.member(2)
        late.say(RoundState(height=1, round=0, step=0, reported=False))
        self.assertEqual([bundle.member for bundle in late.heard(TransactionVote)], [0])
        self.assertEqual([report.member for report in late.heard(EpochReport)], [0, 1])
        self.assertEqual([vote.member for vote in late.heard(BlockVote)], [1])

    def test_bundles_and_reports_are_handed_over_once_a_session(self) -> None:
        world, _ = self._busy()
        late = world.member(2)
        for _ in range(3):
            late.say(RoundState(height=1, round=0, step=0, reported=False))
            world.pass_time(ANSWER_EVERY_US)
        self.assertEqual(len(late.heard(TransactionVote)), 1)
        self.assertEqual([report.member for report in late.heard(EpochReport)], [0, 1])

    def test_a_peer_that_keeps_asking_is_not_answered_each_time(self) -> None:
        """Attack: a small message that makes a node send a large one."""
        world, _ = self._busy()
        late = world.member(2)
        for _ in range(50):
            late.say(RoundState(height=1, round=0, step=0, reported=False))
        self.assertEqual(len(late.heard(EpochReport)), 2)

    def test_a_stranger_gets_no_such_answer(self) -> None:
        world, _ = self._busy()
        stranger = world.stranger()
        stranger.say(RoundState(height=1, round=0, step=0, reported=False))
        self.assertEqual(stranger.heard(EpochReport), [])

    def test_a_peer_that_is_behind_is_told_the_tip(self) -> None:
        world, peer = with_blocks(2)
        peer.incoming.clear()
        peer.say(RoundState(height=1, round=0, step=0, reported=False))
        tip = world.node.ledger.tip
        self.assertEqual(peer.heard(BlockAnnouncement), [BlockAnnouncement(height=2, hash=tip.hash)])

    def test_a_node_catches_up_from_a_peer_that_is_ahead(self) -> None:
        """§6, through a whole node: headers, then bodies, then the epoch's pending payments."""
        ahead, _ = with_blocks(3)
        world = NodeWorld(me=None, genesis=ahead.genesis, now=ahead.now + SECOND)
        peer = world.stranger(height=3)
        ((number, ask),) = peer.questions(GetHeaders)
        self.assertEqual(ask.start, 1)
        peer.say(ahead.node.serving.headers(ask), reply_to=number)
        ((number, blocks),) = peer.questions(GetBlocks)
        peer.say(ahead.node.serving.blocks(blocks.start, blocks.count), reply_to=number)
        self.assertEqual(world.node.ledger.tip.hash, ahead.node.ledger.tip.hash)
        self.assertEqual(world.node.sync_state().behind, 0)
        self.assertEqual(world.node.params, REGTEST)
