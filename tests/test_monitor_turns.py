"""Slow turns of the reactor: how long they were, and where they were seen."""

from __future__ import annotations

import threading

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.test_monitor_profiler import code, frame
from timed.monitor.lateness import TICK_S, Lateness
from timed.monitor.turns import LOOK_S, MAX_KINDS, MAX_LOOKS, MAX_TURNS, OTHER, SLOW_S, UNSEEN, SlowTurns

SITE = "/x/site-packages/twisted/internet/base.py"


class Turns(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.doing = "received, BlockVote"
        self.frame = frame(code("mainLoop", SITE), code("Node.received", line=5), code("send", SITE, 7))
        self.turns = SlowTurns(
            self.clock.seconds,
            lambda: round(self.clock.seconds() * 1_000_000),
            lambda: self.doing,
            frames=lambda: {threading.get_ident(): self.frame},
        )
        self.turns._reactor_thread = threading.get_ident()
        self.lateness = Lateness(self.clock, self.clock.seconds, self.turns)
        self.lateness.start()

    def turn(self, seconds: float, looks: int = 1) -> None:
        """A turn that takes so long after the call was due; it is looked at `looks` times at its end."""
        self.clock.rightNow += TICK_S + seconds
        for _ in range(looks):
            self.turns.look()
        self.clock.advance(0)

    def test_a_short_turn_is_none(self) -> None:
        self.turn(SLOW_S / 2)
        self.assertEqual((list(self.turns.kept), self.turns.counts), ([], {}))

    def test_a_slow_turn_is_kept_with_what_it_did_and_where(self) -> None:
        self.turn(0.3)
        [turn] = self.turns.kept
        self.assertAlmostEqual(turn.seconds, 0.3)
        self.assertEqual((turn.doing, turn.ended_us), ("received, BlockVote", 350_000))
        self.assertEqual(turn.functions, ("Node.received (timed/node/node.py:5)",))
        self.assertEqual(turn.stack[-1], "send (twisted/internet/base.py:7)")
        self.assertEqual(self.turns.counts, {"received, BlockVote": 1})

    def test_the_names_of_a_function_are_one_text(self) -> None:
        self.turn(0.3)
        self.turn(0.3)
        first, second = self.turns.kept
        self.assertTrue(all(one is other for one, other in zip(first.stack, second.stack, strict=True)))

    def test_one_that_nobody_looked_at_is_told_all_the_same(self) -> None:
        self.turn(0.3, looks=0)
        self.assertEqual([(turn.doing, turn.functions) for turn in self.turns.kept], [(UNSEEN, ())])

    def test_what_is_not_known_is_other(self) -> None:
        self.doing = ""
        self.turn(0.3)
        self.assertEqual(self.turns.kept[0].doing, OTHER)

    def test_a_look_before_the_time_sees_nothing(self) -> None:
        self.clock.rightNow += TICK_S + SLOW_S / 2
        self.turns.look()
        self.turn(0.3, looks=0)
        self.assertEqual(self.turns.kept[0].doing, UNSEEN)

    def test_what_it_did_most_of_the_time_names_it(self) -> None:
        self.clock.rightNow += TICK_S + 0.3
        for self.doing in ("act", "rpc getblock", "rpc getblock"):
            self.turns.look()
        self.clock.advance(0)
        self.assertEqual((self.turns.kept[0].doing, len(self.turns.kept[0].functions)), ("rpc getblock", 3))

    def test_everything_has_its_bound(self) -> None:
        for number in range(MAX_KINDS + 5):
            self.doing = f"kind {number}"
            self.turn(0.3, looks=MAX_LOOKS + 3)
        self.assertEqual(len(self.turns.kept), MAX_TURNS)
        self.assertEqual(len(self.turns.kept[-1].functions), MAX_LOOKS)
        self.assertEqual((len(self.turns.counts), self.turns.counts[OTHER]), (MAX_KINDS + 1, 5))

    def test_a_look_that_the_turn_has_outrun_is_not_of_the_next_one(self) -> None:
        self.turns._doing = lambda: (self.clock.advance(0), "gone")[1]
        self.clock.rightNow += TICK_S + 0.3
        self.turns.look()
        self.turns._doing = lambda: "next"
        self.turn(0.3)
        self.assertEqual([turn.doing for turn in self.turns.kept], [UNSEEN, "next"])
        self.assertEqual([len(turn.functions) for turn in self.turns.kept], [0, 1])

    def test_the_newest_are_told_first(self) -> None:
        for self.doing in ("first", "second", "third"):
            self.turn(0.3)
        newest = self.turns.newest(2)
        self.assertEqual([turn.doing for turn in newest], ["third", "second"])
        told = newest[0].as_object()
        self.assertAlmostEqual(told["time"], 3 * (0.3 + TICK_S))
        self.assertEqual((told["seconds"], len(told["functions"])), (0.3, 1))  # type: ignore[arg-type]

    def test_the_thread_ends_with_it(self) -> None:
        self.turns.start()
        self.assertIn("timed-turns", [each.name for each in threading.enumerate()])
        self.turns.stop()
        self.assertNotIn("timed-turns", [each.name for each in threading.enumerate()])
        self.assertLess(LOOK_S, SLOW_S)
