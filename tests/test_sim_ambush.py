"""A fault that waits for a frame strikes when so many links have this very frame."""

from __future__ import annotations

from types import SimpleNamespace

from twisted.trial.unittest import SynchronousTestCase

from timed.sim.ambush import Ambush, Blow

FIRST, SECOND = (SimpleNamespace(signature=bytes([number]) * 64) for number in (1, 2))


class FrameTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.ambush = Ambush(
            "ambush-send", "vote", None, Blow(power=True, lose_all=True, pause_us=1), links=2
        )

    def test_waits_for_the_moment_and_the_victim(self) -> None:
        self.assertTrue(self.ambush.meets(3, "vote"))
        self.assertFalse(self.ambush.meets(3, "report"))
        self.ambush.victim = 1
        self.assertFalse(self.ambush.meets(3, "vote"))

    def test_frames_of_others_and_other_frames_are_counted_apart(self) -> None:
        reached = [self.ambush.reached(frame) for frame in (FIRST, SECOND, FIRST, FIRST)]
        self.assertEqual(reached, [False, False, True, False])
