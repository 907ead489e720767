"""The grid of block times."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from timed.ledger import slots
from timed.params import SECOND

GENESIS = 1_700_000_000

instants = st.integers(0, 10**10)
intervals = st.sampled_from([1, 5, 7, 60, 600])


class GridTests(SynchronousTestCase):
    def test_genesis_and_whole_intervals_are_grid_points(self) -> None:
        """[6] time is a grid point, genesis time plus a multiple of the interval."""
        self.assertTrue(slots.is_grid_point(GENESIS, 600, GENESIS))
        self.assertTrue(slots.is_grid_point(GENESIS, 600, GENESIS + 1200))
        self.assertFalse(slots.is_grid_point(GENESIS, 600, GENESIS + 1))
        self.assertFalse(slots.is_grid_point(GENESIS, 600, GENESIS - 600))

    def test_newest_slot_changes_exactly_at_the_point(self) -> None:
        point_us = (GENESIS + 600) * SECOND
        self.assertEqual(slots.newest_slot(GENESIS, 600, point_us - 1), GENESIS)
        self.assertEqual(slots.newest_slot(GENESIS, 600, point_us), GENESIS + 600)

    def test_before_genesis_the_newest_slot_is_genesis(self) -> None:
        self.assertEqual(slots.newest_slot(GENESIS, 600, 0), GENESIS)
        self.assertEqual(slots.slot_after(GENESIS, 600, 0), GENESIS)

    @settings(deadline=None, max_examples=50)
    @given(offset_us=instants, interval=intervals)
    def test_slot_after_is_the_next_of_the_newest(self, offset_us: int, interval: int) -> None:
        now_us = GENESIS * SECOND + offset_us
        newest = slots.newest_slot(GENESIS, interval, now_us)
        self.assertEqual(slots.slot_after(GENESIS, interval, now_us), newest + interval)
        self.assertTrue(newest * SECOND <= now_us < (newest + interval) * SECOND)


class FirstSlotTests(SynchronousTestCase):
    def test_a_block_certified_at_its_own_time_is_followed_by_the_next_point(self) -> None:
        first = slots.first_slot_for(GENESIS, 600, GENESIS + 600, (GENESIS + 601) * SECOND)
        self.assertEqual(first, GENESIS + 1200)

    def test_a_tenth_of_the_interval_must_remain(self) -> None:
        """[6] No epoch is shorter than a tenth of the interval."""
        parent = GENESIS + 600
        exactly = (GENESIS + 1200 - 60) * SECOND
        self.assertEqual(slots.first_slot_for(GENESIS, 600, parent, exactly), GENESIS + 1200)
        self.assertEqual(slots.first_slot_for(GENESIS, 600, parent, exactly + 1), GENESIS + 1800)

    def test_empty_slots_are_passed_over_after_a_pause(self) -> None:
        """[6] A network may resume long after its genesis; empty slots stay empty."""
        resumed = (GENESIS + 10**7) * SECOND
        first = slots.first_slot_for(GENESIS, 600, GENESIS, resumed)
        self.assertEqual(first, slots.slot_after(GENESIS, 600, resumed + 60 * SECOND - 1))

    @settings(deadline=None, max_examples=50)
    @given(offset_us=instants, interval=intervals, parent=st.integers(0, 10_000))
    def test_it_is_always_a_later_grid_point(self, offset_us: int, interval: int, parent: int) -> None:
        """[6] Later than the parent's, even when our clock is behind."""
        parent_time = GENESIS + parent * interval
        first = slots.first_slot_for(GENESIS, interval, parent_time, GENESIS * SECOND + offset_us)
        self.assertTrue(slots.is_grid_point(GENESIS, interval, first))
        self.assertGreater(first, parent_time)
        self.assertGreaterEqual(first * SECOND, GENESIS * SECOND + offset_us + interval * SECOND // 10)


class FreshnessTests(SynchronousTestCase):
    def test_tolerance_is_five_seconds_or_a_quarter_interval(self) -> None:
        self.assertEqual(slots.tolerance_us(600), 5 * SECOND)
        self.assertEqual(slots.tolerance_us(5), 1_250_000)

    def test_only_the_newest_point_is_fresh(self) -> None:
        """[6] A member prevotes a fresh proposal only for the newest point on its clock."""
        now_us = (GENESIS + 650) * SECOND
        fresh = [k for k in range(-1, 4) if slots.acceptable_fresh(GENESIS, 600, GENESIS + 600 * k, now_us)]
        self.assertEqual(fresh, [1])
        self.assertFalse(slots.acceptable_fresh(GENESIS, 600, GENESIS + 601, now_us))

    def test_near_a_point_both_neighbours_are_fresh(self) -> None:
        """[6] Clocks up to 5 s apart accept each other's proposals."""
        edge_us = (GENESIS + 600) * SECOND
        for now_us in (edge_us - 5 * SECOND, edge_us + 5 * SECOND - 1):
            self.assertTrue(slots.acceptable_fresh(GENESIS, 600, GENESIS, now_us))
            self.assertTrue(slots.acceptable_fresh(GENESIS, 600, GENESIS + 600, now_us))
        self.assertFalse(slots.acceptable_fresh(GENESIS, 600, GENESIS + 600, edge_us - 5 * SECOND - 1))
        self.assertFalse(slots.acceptable_fresh(GENESIS, 600, GENESIS, edge_us + 5 * SECOND))
