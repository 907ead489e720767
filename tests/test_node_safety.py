"""Where a node falls silent, who may speak, and what wakes it (protocol §2, §3, §4)."""

from __future__ import annotations

import attrs
import msgspec
from twisted.trial.unittest import SynchronousTestCase

from tests import builders
from tests.node_world import TICK, NodeWorld
from timed.events import (
    BlockCertified,
    CommitBlock,
    SafetyFailure,
)
from timed.ledger import ledger
from timed.ledger.regtest import well_known_key
from timed.params import NULL_HASH, SECOND
from timed.primitives.certificate import PRECOMMIT, PREVOTE, CertificateKind
from timed.wire.messages import (
    BlockCommit,
    BlockProposal,
    BlockVote,
    EpochReport,
    TransactionBroadcast,
    TransactionFinalized,
    TransactionVote,
)

ACKNOWLEDGEMENT = CertificateKind.ACKNOWLEDGEMENT


class FailureTests(SynchronousTestCase):
    """Where a promise cannot be kept, nothing is signed."""

    def test_a_write_that_fails_lets_nothing_out(self) -> None:
        """[13]"""
        world = NodeWorld(manual=True)
        peer = world.member(1)
        world.node.submit(world.payment().raw, world.now)
        world.pump()
        world.pass_time(TICK)
        world.fail_write()
        world.pass_time(60 * SECOND)
        world.durable()
        for kind in (TransactionVote, EpochReport, BlockVote, BlockProposal, TransactionBroadcast):
            self.assertEqual(peer.heard(kind), [])
        state = world.node.consensus_state()
        self.assertFalse(state.signing)

    def test_a_conflicting_block_certificate_freezes_voting_for_good(self) -> None:
        """§4: no rollback below a certified block; a second one is an alarm."""
        world = NodeWorld()
        peers = world.others()
        world.certify(peers[0])
        other = builders.block_certificate(world.genesis.members, 1, b"\1" * 32)
        peers[0].say(BlockCommit(certificate=other))
        (failure,) = world.told(SafetyFailure)
        self.assertIn("two certified blocks at height 1", failure.what)
        signed = len(peers[1].heard(TransactionVote)) + len(peers[1].heard(BlockVote))
        world.submit(world.payment())
        world.certify(peers[0])
        world.submit(world.payment(1))
        self.assertEqual(len(peers[1].heard(TransactionVote)) + len(peers[1].heard(BlockVote)), signed)
        self.assertIsNotNone(world.node.consensus_state().frozen)
        self.assertEqual(len(world.told(SafetyFailure)), 1)
        self.assertEqual(world.node.chain.fastpath.own_bundles, [], "nothing is even signed")

    def test_it_freezes_whichever_of_the_two_certificates_comes_first(self) -> None:
        """The rival's certificate is proven before this node has certified or written its own block."""
        for rival_first in (True, False):
            world = NodeWorld(manual=True)
            peers = world.others()
            other = BlockCommit(certificate=builders.block_certificate(world.genesis.members, 1, b"\1" * 32))
            world.pass_slot()
            if rival_first:
                peers[0].say(other)
            world.certify(peers[0])
            self.assertTrue(world.node.chain.committing)
            if not rival_first:
                peers[0].say(other)
            self.assertEqual(len(world.told(SafetyFailure)), 1, f"rival first: {rival_first}")
            world.durable()
            self.assertIsNotNone(world.node.consensus_state().frozen)

    def test_a_round_that_begins_while_a_block_is_written_freezes_nobody(self) -> None:
        """The store has the block already and the ledger has not: what the payments spend is gone, as if stolen."""
        self.patch(ledger, "MAX_CACHED_COINS", 1)
        world = NodeWorld(manual=True)
        peers = world.others()
        payments = [world.payment(number) for number in range(2)]
        txids = tuple(sorted(payment.txid for payment in payments))
        peers[0].say(*(TransactionBroadcast(transaction=payment) for payment in payments))
        peers[0].say(*(world.bundle(member, *txids) for member in (1, 2, 3)))
        world.durable()
        world.pass_slot()
        proposer = world.node.chain.rounds.proposer
        mine = next(number for number in range(1, 9) if proposer(number) == 0)
        proposal = world.proposal(*txids, round_=next(number for number in range(9) if proposer(number)))
        peers[0].say(*(world.report(member, *txids) for member in (1, 2, 3)), proposal)
        world.durable()
        certificate = builders.block_certificate(world.genesis.members, 1, proposal.header.hash)
        peers[0].say(BlockCommit(certificate=certificate))
        self.assertTrue(world.node.chain.committing)
        (write,) = [write for write in world.writes if isinstance(write, CommitBlock)]
        world.store.commit(write.commit)
        peers[0].say(*(world.vote(member, PREVOTE, NULL_HASH, mine) for member in (1, 2, 3)))
        self.assertEqual(world.node.chain.rounds.round, mine)
        self.assertEqual(world.told(SafetyFailure), [])

    def test_what_froze_it_once_keeps_it_from_voting_at_every_later_start(self) -> None:
        world = NodeWorld(frozen="two certified blocks at height 7")
        peers = world.others()
        for number in range(2):
            world.submit(world.payment(number))
            world.certify(peers[0])
        self.assertEqual(world.node.ledger.tip.height, 2, "it follows the chain")
        for kind in (TransactionVote, EpochReport, BlockVote, BlockProposal):
            self.assertEqual(peers[1].heard(kind), [])
        state = world.node.consensus_state()
        self.assertEqual((state.frozen, state.signing), ("two certified blocks at height 7", False))

    def test_a_forged_conflicting_certificate_freezes_nobody(self) -> None:
        """Attack: anybody could silence a member with a certificate nobody signed."""
        world = NodeWorld()
        peers = world.others()
        world.certify(peers[0])
        real = builders.block_certificate(world.genesis.members, 1, b"\1" * 32)
        thin = builders.block_certificate(world.genesis.members, 1, b"\1" * 32, signers=(0, 1))
        forged = msgspec.structs.replace(real, target=b"\2" * 32)
        for certificate in (thin, forged):
            peers[0].say(BlockCommit(certificate=certificate))
        self.assertEqual(world.told(SafetyFailure), [])
        self.assertIsNone(world.node.consensus_state().frozen)

    def test_a_node_that_stops_says_goodbye_and_signs_nothing_more(self) -> None:
        world = NodeWorld()
        peer = world.member(1)
        world.node.submit(world.payment().raw, world.now)
        world.node.stop(world.now)
        world.pump()
        world.pass_time(60 * SECOND)
        self.assertEqual([closed.reason for closed in peer.closed], ["stopping"])
        self.assertEqual(peer.heard(TransactionVote), [])


class MembershipTests(SynchronousTestCase):
    """[7]: who votes follows from the chain alone, two blocks after the change."""

    def _world(self) -> NodeWorld:
        """Members 1 to 4; block 1 carries the change to members 1 and 5 to 10."""
        start = builders.genesis(4)
        later = builders.genesis((1, 5, 6, 7, 8, 9, 10)).members
        changed = attrs.evolve(start, roster_changes=((1, later),))
        return NodeWorld(genesis=changed, me=0)

    def test_the_quorum_follows_two_blocks_after_the_change(self) -> None:
        """[7], [9]"""
        world = self._world()
        peer = world.others()[0]
        quorums = []
        for _ in range(2):
            state = world.node.consensus_state()
            quorums.append((state.epoch, state.members, state.quorum_weight))
            world.certify(peer)
        state = world.node.consensus_state()
        quorums.append((state.epoch, state.members, state.quorum_weight))
        self.assertEqual(quorums, [(1, 4, 3), (2, 4, 3), (3, 7, 5)])

    def test_a_member_that_left_the_roster_signs_nothing_more(self) -> None:
        world = self._world()
        key = world.keys[0]
        peer = world.others()[0]
        stays = world.genesis.roster_at(3).index_of(key.public) is not None
        world.certify(peer)
        world.certify(peer)
        world.submit(world.payment())
        votes = [vote for vote in peer.heard(TransactionVote) if vote.epoch == 3]
        self.assertEqual(bool(votes), stays)
        self.assertEqual(world.node.consensus_state().member is not None, stays)

    def test_what_peers_say_of_themselves_changes_no_quorum(self) -> None:
        """[7]: an operator key off the roster is proven in the handshake, and means nothing."""
        world = NodeWorld()
        before = world.node.consensus_state()
        for number in range(20, 26):
            world.stranger(operator=well_known_key("operator", number))
        after = world.node.consensus_state()
        self.assertEqual((before.members, before.quorum_weight), (after.members, after.quorum_weight))

    def test_the_roster_decides_who_is_treated_as_a_member(self) -> None:
        """[21]: a member is never banned by itself; the peer room is told who is one."""
        world = self._world()
        self.assertEqual(
            world.node.peers.members, {member.operator_key for member in world.genesis.members.members}
        )
        peer = world.others()[0]
        world.certify(peer)
        world.certify(peer)
        self.assertEqual(
            world.node.peers.members, {member.operator_key for member in world.genesis.roster_at(3).members}
        )


class ClockTests(SynchronousTestCase):
    """A host that wakes the node at `next_wake` never spins."""

    def test_no_deadline_stays_in_the_past_whatever_is_missing(self) -> None:
        """`pass_time` fails when a deadline does not go away."""
        for me in (0, None):
            world = NodeWorld(me=me)
            peer = world.member(1)
            peer.say(world.bundle(1, b"\7" * 32), world.bundle(2, b"\7" * 32))
            peer.say(world.report(1, b"\7" * 32, b"\x08" * 32))
            world.pass_time(30 * SECOND)
            wake = world.node.next_wake()
            assert wake is not None
            self.assertGreater(wake, world.now)

    def test_no_deadline_stays_in_the_past_while_a_block_is_being_written(self) -> None:
        world = NodeWorld()
        peers = world.others()
        peers[0].say(world.bundle(1, b"\7" * 32))
        world.manual = True
        world.pass_slot()
        world.durable()
        proposal = world.proposal(round_=next(n for n in range(4) if world.node.chain.rounds.proposer(n)))
        peers[0].say(proposal)
        for step in (PREVOTE, PRECOMMIT):
            peers[0].say(*(world.vote(one, step, proposal.header.hash, proposal.round) for one in (1, 2, 3)))
        self.assertTrue(world.node.chain.committing)
        world.pass_time(20 * SECOND)
        world.durable()
        self.assertEqual(world.node.ledger.tip.height, 1)

    def test_a_node_started_long_after_genesis_goes_on_at_the_next_slot(self) -> None:
        """[6]: slots nobody filled stay empty; a network may start long after its genesis."""
        world = NodeWorld(members=1, late=1_000)
        world.pass_time(6 * SECOND)
        blocks = world.told(BlockCertified)
        self.assertEqual(blocks[0].height, 1)
        self.assertGreaterEqual(blocks[0].time, world.genesis.time + 1_000 * world.genesis.interval)

    def test_nil_hash_is_no_block(self) -> None:
        """A quorum that precommits nil decides nothing."""
        world = NodeWorld()
        peer = world.member(1)
        world.pass_slot()
        peer.say(*(world.vote(member, PRECOMMIT, NULL_HASH) for member in (1, 2, 3)))
        world.pass_time(SECOND)
        self.assertEqual((world.node.ledger.tip.height, world.told(BlockCertified)), (0, []))
        self.assertEqual(peer.heard(TransactionFinalized), [])
