"""Garbage in cycles is looked for by the clock, old or young, and not oftener than it is cheap."""

from __future__ import annotations

import gc
from typing import Any
from weakref import ref

from twisted.trial.unittest import SynchronousTestCase

from timed.app.collector import PACE, RECENT, Sweep


class Circle:
    def __init__(self) -> None:
        self.itself = self


class Sweeps(SynchronousTestCase):
    def setUp(self) -> None:
        self.now = 0.0
        self.took = 0.0
        self.looks: list[tuple[Any, ...]] = []

    def patch_collector(self) -> None:
        def collect(*generation: int) -> int:
            self.looks.append(generation)
            self.now += self.took
            return 0

        self.patch(gc, "collect", collect)

    def test_what_has_lived_through_looks_goes_with_the_next_one_after_its_end(self) -> None:
        """So does a session, which is a circle and lives for days."""
        sweep = Sweep(lambda: self.now)
        one = Circle()
        for _ in range(4):
            sweep.collect()
        self.assertTrue(any(each is one for each in gc.get_objects(generation=2)))
        gone = ref(one)
        del one
        self.assertIsNotNone(gone())
        sweep.collect()
        self.assertIsNone(gone())

    def test_a_look_at_everything_that_takes_long_is_followed_by_looks_at_the_young(self) -> None:
        self.patch_collector()
        sweep = Sweep(lambda: self.now)
        self.took = 0.05
        sweep.collect()
        self.took = 0.0
        for minute in range(1, 6):
            self.now = 60.0 * minute
            sweep.collect()
        self.assertEqual(PACE * 0.05, 250.0)
        self.assertEqual(self.looks, [(), (RECENT,), (RECENT,), (RECENT,), (RECENT,), ()])

    def test_one_that_is_quick_is_done_each_time(self) -> None:
        self.patch_collector()
        sweep = Sweep(lambda: self.now)
        self.took = 0.01
        for minute in range(3):
            self.now = 60.0 * minute
            sweep.collect()
        self.assertEqual(self.looks, [(), (), ()])
