"""A member whose clock is off signs nothing, says so, and goes on alone when it is right."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.node_world import NodeWorld
from timed.events import BlockCertified, ClockOff, ClockRight, TransactionLocked
from timed.node.chain import MAX_CLOCK_OFFSET_US
from timed.node.exchange import REPEAT_US
from timed.params import SECOND
from timed.primitives.certificate import PRECOMMIT, PREVOTE
from timed.wire.messages import (
    BlockAnnouncement,
    BlockCommit,
    BlockProposal,
    BlockVote,
    EpochReport,
    RoundState,
    TransactionVote,
)


class Clock(SynchronousTestCase):
    """The members' median decides; a stranger's clock costs nothing to claim (peer room)."""

    def setUp(self) -> None:
        self.world = NodeWorld()
        self.peer = self.world.member(1)
        self.world.pass_slot()
        self.world.pass_time(SECOND // 10)

    def step_clock(self, offset: int) -> None:
        """What the peers' pongs say of our clock from now on."""
        self.world.node.peers.clock_offset = lambda: offset  # type: ignore[method-assign]
        self.world.node.wake(self.world.now)
        self.world.pump()

    def test_signs_nothing_beyond_five_seconds(self) -> None:
        self.step_clock(-MAX_CLOCK_OFFSET_US - 1)
        before = [one.message for one in self.peer.incoming]
        self.world.submit(self.world.payment())
        self.world.pass_slot()
        self.world.pass_time(3 * SECOND)
        said = [one.message for one in self.peer.incoming][len(before) :]
        signed = [one for one in said if isinstance(one, (TransactionVote, EpochReport, BlockVote))]
        self.assertEqual(signed, [])
        self.assertEqual([event.offset_us for event in self.world.told(ClockOff)], [-MAX_CLOCK_OFFSET_US - 1])
        self.assertFalse(self.world.node.consensus_state().signing)

    def test_five_seconds_are_borne(self) -> None:
        self.step_clock(MAX_CLOCK_OFFSET_US)
        self.assertEqual(self.world.told(ClockOff), [])
        self.assertTrue(self.world.node.consensus_state().signing)


class Recovery(SynchronousTestCase):
    """Nobody has to restart anything."""

    def test_goes_on_alone_when_the_clock_is_right_again(self) -> None:
        world = NodeWorld()
        world.member(1)
        world.node.peers.clock_offset = lambda: 3600 * SECOND  # type: ignore[method-assign]
        world.node.wake(world.now)
        payment = world.payment()
        world.submit(payment)
        self.assertEqual(world.told(TransactionLocked), [])
        world.node.peers.clock_offset = lambda: 0  # type: ignore[method-assign]
        world.node.wake(world.now)
        world.pump()
        world.pass_time(SECOND // 10)
        self.assertEqual([event.txid for event in world.told(TransactionLocked)], [payment.txid])
        self.assertEqual(len(world.told(ClockRight)), 1)

    def test_catches_up_on_the_report_and_the_vote_it_owes_when_the_slot_passed_meanwhile(self) -> None:
        """Without them two such members would keep the height from ever ending: nil binds nobody."""
        world = NodeWorld()
        peer = world.member(1)
        world.node.peers.clock_offset = lambda: 3600 * SECOND  # type: ignore[method-assign]
        world.node.wake(world.now)
        world.pass_slot()
        world.pass_time(3 * SECOND)
        self.assertEqual((peer.heard(EpochReport), peer.heard(BlockVote)), ([], []))
        self.assertTrue(world.node.chain.fastpath.closed)
        world.node.peers.clock_offset = lambda: 0  # type: ignore[method-assign]
        world.node.wake(world.now)
        world.pump()
        world.pass_time(SECOND // 10)
        self.assertEqual(len(peer.heard(EpochReport)), 1)
        steps = [vote.step for vote in peer.heard(BlockVote)]
        self.assertIn(1, steps)
        self.assertEqual(len(steps), len(set(steps)))

    def test_deadlines_of_a_clock_that_was_an_hour_ahead_are_not_waited_for(self) -> None:
        """Votes that gathered by it would otherwise be signed in an hour."""
        world = NodeWorld()
        world.member(1)
        payment = world.payment()
        world.now += 3600 * SECOND
        world.node.submit(payment.raw, world.now)
        world.pump()
        world.now -= 3600 * SECOND
        world.pump()
        world.pass_time(SECOND)
        self.assertEqual([event.txid for event in world.told(TransactionLocked)], [payment.txid])

    def test_who_was_answered_by_a_clock_that_was_an_hour_ahead_is_answered_again_at_once(self) -> None:
        world = NodeWorld()
        peers = world.others()
        world.pass_slot()
        world.pass_time(SECOND // 10)
        world.now += 3600 * SECOND
        peers[0].say(RoundState(1, 0, 1, False))
        world.now -= 3600 * SECOND
        world.pump()
        world.pass_time(SECOND)
        peers[1].say(world.report(2))
        peers[0].incoming.clear()
        peers[0].say(RoundState(1, 0, 1, False))
        self.assertEqual([one.member for one in peers[0].heard(EpochReport)], [2])
        world.pass_time(REPEAT_US)
        peers[0].incoming.clear()
        peers[0].say(RoundState(1, 0, 1, False))
        self.assertEqual([one.member for one in peers[0].heard(EpochReport)], [0, 2])

    def test_a_round_under_way_is_not_held_up_by_a_clock_that_was_an_hour_ahead(self) -> None:
        world = NodeWorld()
        world.member(1)
        world.now += 3600 * SECOND
        world.node.wake(world.now)
        world.pump()
        world.now -= 3600 * SECOND
        world.pump()
        deadline = world.node.chain.rounds.next_deadline()
        self.assertLess(deadline or 0, world.now + 60 * SECOND)


class Behind(SynchronousTestCase):
    """A clock within the tolerance that shows less than the others'."""

    def test_a_proposer_whose_slot_has_not_come_by_its_own_clock_proposes_when_it_comes(self) -> None:
        """The others are in its round already; the round would else be lost."""
        world = NodeWorld()
        peers = world.others()
        rounds = world.node.chain.rounds
        turn = next(number for number in range(1, 100) if rounds.proposer(number) == world.me)
        world.pass_time(world.node.chain.slot_us - SECOND // 4 - world.now)
        for member, peer in ((1, peers[0]), (2, peers[1])):
            peer.say(world.report(member), world.vote(member, PREVOTE, round_=turn))
        world.pass_time(SECOND // 8)
        self.assertEqual((rounds.round, peers[0].heard(BlockProposal)), (turn, []))
        world.pass_slot()
        world.pass_time(SECOND // 100)
        self.assertEqual([one.round for one in peers[0].heard(BlockProposal)], [turn])


class Late(SynchronousTestCase):
    """[6]: a block that is decided here later than its slot is as new as any."""

    def setUp(self) -> None:
        self.world = NodeWorld()
        self.peers, self.follower = self.world.others(), self.world.stranger()
        self.interval = self.world.genesis.interval * SECOND

    def decide(self) -> None:
        """The others' votes come when the next slot has passed."""
        world = self.world
        world.pass_slot()
        proposal = world.proposal(round_=world._round_of_others())
        self.peers[0].say(proposal)
        world.pass_time(self.interval + SECOND)
        for step in (PREVOTE, PRECOMMIT):
            for member in world.quorum():
                self.peers[0].say(world.vote(member, step, proposal.header.hash, proposal.round))
        self.assertEqual(world.node.ledger.tip.hash, proposal.header.hash)

    def test_the_epoch_behind_it_is_not_over_when_it_begins(self) -> None:
        self.decide()
        self.assertGreaterEqual(self.world.node.chain.slot_us, self.world.now + self.interval // 10)
        payment = self.world.payment()
        self.world.submit(payment)
        self.assertEqual([event.txid for event in self.world.told(TransactionLocked)], [payment.txid])

    def test_everybody_is_told_of_it(self) -> None:
        self.decide()
        self.assertEqual([event.live for event in self.world.told(BlockCertified)], [True])
        self.assertEqual([one.height for one in self.follower.heard(BlockAnnouncement)], [1])
        self.assertEqual(len(self.peers[1].heard(BlockCommit)), 1)

    def test_a_clock_that_was_an_hour_ahead_then_leaves_no_slot_in_an_hour(self) -> None:
        self.world.pass_time(SECOND)
        self.world.now += 3600 * SECOND
        self.decide()
        self.world.now -= 3600 * SECOND
        self.world.pump()
        tip = self.world.node.ledger.tip.header.time * SECOND
        chain = self.world.node.chain
        self.assertEqual(chain.slot_us, tip + self.interval)
        self.assertEqual(chain.rounds.next_deadline(), chain.slot_us)
