"""The event log on disk: numbers that never come twice, bounds that hold, and cursors that say what they lost."""

from __future__ import annotations

import os
import shutil

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.feed_world import ROOMY, draft
from tests.index_world import GENESIS
from timed.errors import StoreError
from timed.feed.cursor import BadCursor, Ends
from timed.feed.event import ACCEPTED, FINAL
from timed.feed.log import MAX_POSITIONS, Bounds, CursorLost, FeedLog
from timed.feed.records import Mark, Position
from timed.params import SECOND


class LogCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = self.new_path()
        self.made = 0

    def new_path(self) -> str:
        """Of a log to be, in a data directory of its own."""
        directory = os.path.abspath(self.mktemp())
        os.mkdir(directory)
        return os.path.join(directory, "events")

    def entropy(self, size: int) -> bytes:
        self.made += 1
        return self.made.to_bytes(size, "big")

    def open(self, bounds: Bounds = ROOMY, genesis: bytes = GENESIS.hash, readonly: bool = False) -> FeedLog:
        entropy = None if readonly else self.entropy
        log = FeedLog(self.path, genesis, bounds, entropy, map_size=1 << 32)
        self.addCleanup(log.close)
        return log

    def add(self, log: FeedLog, count: int, **fields: int) -> None:
        with log.changing() as change:
            for _ in range(count):
                change.add(draft(**fields))  # type: ignore[arg-type]


class Numbers(LogCase):
    def test_numbers_go_on_after_a_restart_and_after_everything_old_was_dropped(self) -> None:
        few = Bounds(2, 1 << 30, 0)
        log = self.open(few)
        self.add(log, 5)
        self.assertEqual([number for number, _ in log.after(3, 10, 1 << 20)], [4, 5])
        log.close()
        log = self.open(few)
        self.add(log, 1)
        self.assertEqual((log.state().first, log.state().newest, log.state().dropped), (5, 6, 4))

    def test_a_data_directory_that_was_removed_is_not_made_again(self) -> None:
        self.open().close()
        shutil.rmtree(os.path.dirname(self.path))
        error = self.assertRaises(StoreError, self.open)
        self.assertIn("it is gone", error.message)
        self.assertFalse(os.path.exists(os.path.dirname(self.path)))

    def test_a_step_that_raises_adds_nothing(self) -> None:
        log = self.open()
        self.add(log, 1)
        with self.assertRaises(ZeroDivisionError), log.changing() as change:
            change.add(draft())
            raise ZeroDivisionError
        self.assertEqual((log.state().newest, len(log.after(0, 10, 1 << 20))), (1, 1))

    def test_whoever_only_reads_finds_all_of_it_and_cannot_write(self) -> None:
        log = self.open()
        self.add(log, 3)
        state, found = log.state(), log.after(1, 10, 1 << 20)
        log.close()
        other = self.open(readonly=True)
        self.assertEqual((other.state(), other.after(1, 10, 1 << 20)), (state, found))
        self.assertRaises(StoreError, self.add, other, 1)

    def test_pages_are_bounded_by_number_and_by_bytes(self) -> None:
        log = self.open()
        self.add(log, 10, size=1_000)
        self.assertEqual(len(log.after(0, 4, 1 << 20)), 4)
        self.assertEqual(len(log.after(0, 100, 2_500)), 3)
        self.assertEqual(len(log.after(0, 100, 1)), 1)


class Kept(LogCase):
    def test_what_is_dropped_is_named_to_whoever_comes_for_it(self) -> None:
        log = self.open(Bounds(3, 1 << 30, 0))
        self.add(log, 10)
        self.assertEqual(len(log.after(7, 10, 1 << 20)), 3)
        for cursor, lost in ((0, (1, 7)), (6, (7, 7))):
            with self.assertRaises(CursorLost) as caught:
                log.after(cursor, 10, 1 << 20)
            self.assertEqual((caught.exception.first, caught.exception.last), lost)

    def test_bytes_are_bounded(self) -> None:
        log = self.open(Bounds(1_000, 5_000, 0))
        self.add(log, 30, size=1_000)
        state = log.state()
        self.assertLessEqual(state.size, 5_000)
        self.assertEqual((state.count, state.dropped), (4, 26))
        self.assertEqual(state.size, sum(len(r.encode()) for _, r in log.after(26, 100, 1 << 20)))

    def test_age_is_bounded(self) -> None:
        log = self.open(Bounds(1_000, 1 << 30, 60))
        for seconds in (0, 30, 59, 61, 95):
            self.add(log, 1, time_us=seconds * SECOND)
        times = [record.time_us // SECOND for _, record in log.after(2, 10, 1 << 20)]
        self.assertEqual((log.state().first, times), (3, [59, 61, 95]))

    def test_a_lowered_bound_is_reached_in_steps(self) -> None:
        log = self.open()
        self.add(log, 40)
        log.close()
        log = self.open(Bounds(10, 1 << 30, 0))
        self.add(log, 1)
        self.assertEqual(log.state().count, 37)
        self.add(log, 10)
        self.assertEqual(log.state().count, 10)

    @given(st.lists(st.integers(1, 6), max_size=8), st.integers(1, 9))
    @settings(max_examples=15, deadline=None)
    def test_first_and_next_are_what_is_there(self, steps: list[int], most: int) -> None:
        self.path = self.new_path()
        log = FeedLog(self.path, GENESIS.hash, Bounds(most, 1 << 30, 0), self.entropy, map_size=1 << 32)
        try:
            for count in steps:
                self.add(log, count)
            state = log.state()
            found = [number for number, _ in log.after(state.first - 1, 100, 1 << 20)]
            self.assertEqual(found, list(range(state.first, state.next)))
            self.assertEqual(state.newest, sum(steps))
            self.assertLessEqual(state.count, most)
        finally:
            log.close()

    def test_that_a_payment_is_final_stays_known_and_that_it_was_accepted_goes_with_its_event(self) -> None:
        log = self.open(Bounds(3, 1 << 30, 0))
        settled, open_ = draft(number=7).subject, draft(number=8).subject
        with log.changing() as change:
            for number in (7, 8):
                subject = draft(number=number).subject
                change.set_mark(subject, Mark(change.add(draft(ACCEPTED, number)), 0))
            change.set_mark(settled, Mark(1, change.add(draft(FINAL, 7))))
            self.assertEqual(change.mark(open_), Mark(2, 0))
        self.add(log, 4)
        with log.changing() as change:
            self.assertEqual((change.mark(settled), change.mark(open_)), (Mark(1, 3), Mark(0, 0)))
            change.forget(settled)
            self.assertEqual(change.mark(settled), Mark(0, 0))

    def test_that_it_was_accepted_once_more_does_not_go_with_the_event_of_the_first_time(self) -> None:
        log = self.open(Bounds(2, 1 << 30, 0))
        subject = draft(number=7).subject
        with log.changing() as change:
            for _ in range(2):
                change.set_mark(subject, Mark(change.add(draft(ACCEPTED, 7)), 0))
            change.add(draft())
            self.assertEqual((change.state.first, change.mark(subject)), (2, Mark(2, 0)))
            change.add(draft())
            self.assertEqual((change.state.first, change.mark(subject)), (3, Mark(0, 0)))


class Another(LogCase):
    def test_a_log_of_another_chain_is_begun_anew_under_another_name(self) -> None:
        log = self.open()
        self.add(log, 2)
        before = log.state()
        log.close()
        log = self.open(genesis=bytes(32))
        assert log.begun_anew is not None
        self.assertIn(GENESIS.hash.hex(), log.begun_anew)
        self.assertNotEqual(log.state().log_id, before.log_id)
        self.assertEqual(log.state().newest, 0)
        log.close()
        self.assertIsNone(self.open(genesis=bytes(32)).begun_anew)
        self.assertRaises(StoreError, self.open, readonly=True)

    def test_sinks_keep_their_places(self) -> None:
        log = self.open()
        self.assertIsNone(log.position("hook"))
        place = Position(log.state().log_id, 5)
        with log.changing() as change:
            change.set_position("hook", place)
            change.set_position("other", Position(place.log_id, 2))
        log.close()
        log = self.open()
        self.assertEqual(log.position("hook"), place)
        log.begin_anew(None)
        self.assertEqual(log.position("hook"), place)

    def test_places_of_sinks_that_are_not_configured_any_more_are_bounded(self) -> None:
        log = self.open()
        with log.changing() as change:
            for number in range(MAX_POSITIONS + 10):
                change.set_position(f"hook-{number:03}", Position(bytes(4), number))
        self.assertEqual(log.forget_positions(["hook-000", "hook-new"]), 10)
        known = [number for number in range(MAX_POSITIONS + 10) if log.position(f"hook-{number:03}")]
        self.assertEqual(known, [0, *range(11, MAX_POSITIONS + 10)])
        self.assertEqual(log.forget_positions([]), 0)


class Cursors(SynchronousTestCase):
    ends = Ends("0a0b0c0d", 11, 20)

    def test_every_place_in_the_log_has_a_cursor(self) -> None:
        for sequence in (0, 10, 15, 20):
            self.assertEqual(self.ends.sequence_of(self.ends.cursor(sequence)), sequence)
        self.assertEqual((self.ends.sequence_of("oldest"), self.ends.sequence_of("newest")), (10, 20))

    def test_what_is_no_cursor_of_this_log_is_refused_by_name(self) -> None:
        wrong = {
            "cursor-form": ("", "12", "0a0b0c0d", "0a0b0c0d-", "0a0b0c0d-01", "0A0B0C0D-1", "0a0b0c0d--1", "latest"),
            "cursor-foreign": ("ffffffff-12",),
            "cursor-ahead": ("0a0b0c0d-21", "0a0b0c0d-999999999"),
        }  # fmt: skip
        for rule, texts in wrong.items():
            for text in texts:
                with self.assertRaises(BadCursor) as caught:
                    self.ends.sequence_of(text)
                self.assertEqual((text, caught.exception.rule), (text, rule))
