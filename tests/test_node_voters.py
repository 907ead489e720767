"""Whom a node asks for what it lacks: everybody gets a turn (protocol §3, step 4)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.node_world import NodeWorld, Puppet


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
