"""Whom a node asks for what it lacks: everybody gets a turn (protocol §3, step 4)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.node_world import NodeWorld, Puppet
from timed.consensus.rounds import STATUS_EVERY_US
from timed.primitives.certificate import PRECOMMIT
from timed.wire.messages import BlockProposal, GetProposal


class ChoiceTests(SynchronousTestCase):
    """One peer that cannot or will not answer must not stand in the way of the others."""

    def chosen(self, world: NodeWorld, members: tuple[int, ...], peers: list[Puppet]) -> list[int]:
        """How often each of `peers` was chosen, out of sixty times."""
        chosen = [world.node.voters.choose(members) for _ in range(60)]
        return [chosen.count(peer.node_id) for peer in peers]

    def test_all_who_have_it_are_asked_by_turns(self) -> None:
        for count in (1, 2, 3):
            world = NodeWorld()
            members = world.others()[:count]
            world.stranger()
            asked = self.chosen(world, tuple(range(1, count + 1)), members)
            self.assertEqual((sum(asked), max(asked) - min(asked) <= 2), (40, True), asked)

    def test_every_third_question_goes_to_somebody_else_and_to_each_by_turns(self) -> None:
        for count in (1, 2, 3, 6):
            world = NodeWorld()
            world.member(1)
            others = [world.stranger() for _ in range(count)]
            asked = self.chosen(world, (1,), others)
            self.assertEqual((sum(asked), max(asked) - min(asked) <= 2), (20, True), asked)

    def test_who_has_it_is_asked_however_many_questions_are_repeated_together(self) -> None:
        """What is missing is asked for once a second in the same order: a round of questions is no round of turns."""
        for together in range(1, 13):
            for strangers in (0, 1):
                world = NodeWorld()
                members = {peer.node_id for peer in world.others()[:2]}
                for _ in range(strangers):
                    world.stranger()
                rounds = [[world.node.voters.choose((1, 2)) for _ in range(together)] for _ in range(20)]
                for asked in zip(*rounds, strict=True):
                    self.assertLessEqual(members, set(asked), (together, strangers))

    def test_where_nobody_of_them_is_connected_anybody_is_asked(self) -> None:
        world = NodeWorld()
        others = [world.stranger() for _ in range(3)]
        asked = self.chosen(world, (1, 2), others)
        self.assertEqual((sum(asked), max(asked) - min(asked) <= 2), (60, True), asked)

    def test_alone_there_is_nobody_to_ask(self) -> None:
        self.assertIsNone(NodeWorld().node.voters.choose((1, 2)))


class ProposalTests(SynchronousTestCase):
    """There is no message for "I have none": who lacks a proposal says nothing, and others are asked (protocol §4)."""

    def lacking(self) -> tuple[NodeWorld, list[Puppet], BlockProposal]:
        """A member that has everybody's precommits for a block, but not its proposal."""
        world = NodeWorld()
        peers = world.others()
        world.pass_slot()
        proposal = world.proposal(round_=world._round_of_others())
        for member, peer in enumerate(peers, 1):
            peer.say(world.vote(member, PRECOMMIT, proposal.header.hash, proposal.round))
        return world, peers, proposal

    def test_who_does_not_answer_is_not_waited_for(self) -> None:
        world, peers, _ = self.lacking()
        self.assertEqual(sum(len(peer.questions(GetProposal)) for peer in peers), 1)
        world.pass_time(5 * STATUS_EVERY_US)
        asked = [len(peer.questions(GetProposal)) for peer in peers]
        self.assertEqual((sum(asked), 0 in asked), (6, False))
        self.assertEqual(
            [peer.closed for peer in peers], [[], [], []], "and nobody is blamed for having none"
        )

    def test_the_one_that_has_it_brings_the_decision(self) -> None:
        world, peers, proposal = self.lacking()
        last = next(peer for peer in peers if not peer.questions(GetProposal))
        for _ in range(5):
            if not last.questions(GetProposal):
                world.pass_time(STATUS_EVERY_US)
        self.assertEqual(world.node.ledger.tip.height, 0)
        ((number, ask),) = last.questions(GetProposal)
        self.assertEqual(ask, GetProposal(height=1, round=proposal.round))
        last.say(proposal, reply_to=number)
        self.assertEqual(world.node.ledger.tip.hash, proposal.header.hash)
