"""What lies between the machines gets bad and good again: each mishap lasts as long as it was meant to, and no longer."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from timed.params import SECOND
from timed.sim.links import Path
from timed.sim.world import Scenario, World

HERE, THERE = (0, 1), (1, 0)


class CutTests(SynchronousTestCase):
    """Directions that carry nothing."""

    def setUp(self) -> None:
        self.world = World(Scenario(1, faults=("partition",)))
        self.cuts = self.world.nemesis._cuts

    def blocked(self, after_s: int) -> list[tuple[int, int]]:
        """The directions that carry nothing so many seconds later."""
        clock = self.world.clock
        clock.run_until(clock.now + after_s * SECOND)
        return [pair for pair, path in self.world.network.paths.items() if path.blocked]

    def test_what_two_mishaps_cut_carries_again_when_the_later_one_is_over(self) -> None:
        for first, second in ((10, 20), (20, 10), (20, 20)):
            self.cuts.cut([HERE, THERE], first * SECOND)
            self.cuts.cut([HERE], second * SECOND)
            self.assertEqual(self.blocked(0), [HERE, THERE])
            self.assertEqual(self.blocked(11), [HERE, THERE] if first == 20 else [HERE])
            self.assertEqual(self.blocked(10), [])

    def test_what_is_cut_for_good_is_so_until_all_is_healed(self) -> None:
        self.cuts.cut([HERE], 10 * SECOND)
        self.cuts.cut([HERE], None)
        self.cuts.cut([HERE, THERE], 20 * SECOND)
        self.assertEqual(self.blocked(100), [HERE])
        self.cuts.heal()
        self.assertEqual(self.blocked(0), [])

    def test_a_cut_after_healing_does_not_end_with_one_from_before(self) -> None:
        self.cuts.cut([HERE], 10 * SECOND)
        self.cuts.heal()
        self.cuts.cut([HERE], 20 * SECOND)
        self.assertEqual(self.blocked(11), [HERE])
        self.assertEqual(self.blocked(10), [])


class WeatherTests(SynchronousTestCase):
    """Lag, loss and the like."""

    def setUp(self) -> None:
        self.world = World(Scenario(3, faults=("weather",)))
        self.nemesis, self.clock = self.world.nemesis, self.world.clock
        self.nemesis.plan(self.clock.now, self.clock.now)

    def paths(self) -> list[Path]:
        return list(self.world.network.paths.values())

    def conditions(self) -> list[tuple[float, ...]]:
        """Of every path: latency, jitter, and the chances of something bad."""
        return [
            (path.latency, path.jitter, path.tail, path.loss, path.duplicate, path.split)
            for path in self.paths()
        ]

    def test_after_two_at_once_it_is_as_it_was_before(self) -> None:
        before = self.conditions()
        self.nemesis.weather()
        self.assertNotEqual(self.conditions(), before)
        self.clock.run_until(self.clock.now + 3 * SECOND)
        self.nemesis.weather()
        self.clock.run_until(self.clock.now + 26 * SECOND)
        self.assertEqual(self.conditions(), before)

    def test_healing_ends_it_and_nothing_of_it_comes_back(self) -> None:
        latencies = [path.latency for path in self.paths()]
        self.nemesis.weather()
        self.nemesis.heal()
        for seconds in (0, 26):
            self.clock.run_until(self.clock.now + seconds * SECOND)
            self.assertEqual([path.latency for path in self.paths()], latencies)
            self.assertEqual({sum(conditions[2:]) for conditions in self.conditions()}, {0})
