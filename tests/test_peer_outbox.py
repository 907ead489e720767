"""What waits to be written: order, shares and bounds ([18], [19])."""

from __future__ import annotations

from collections import Counter
from itertools import groupby
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from timed.params import SECOND
from timed.peer import limits
from timed.peer.outbox import Admission, Budget, Outbox, Parcel
from timed.peer.traffic import Flush, Traffic
from timed.wire import framing
from timed.wire.message import Priority

KIB = 1024
FRAME = limits.LARGEST_FRAME


def parcel(priority: Priority, *sizes: int, gossip: bool = False, mark: bytes = b"x") -> Parcel:
    return Parcel(priority.name, priority, [mark * size for size in sizes], gossip)


def large(priority: Priority, size: int = 4 * limits.MIB, mark: bytes = b"x") -> Parcel:
    return parcel(priority, *[FRAME] * (size // FRAME), mark=mark)


def written(outbox: Outbox, now: int = 0) -> bytes:
    """The next write to a transport that drains at once."""
    data = outbox.take(now)
    outbox.drained(now)
    return data


class OrderTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.outbox = Outbox(Budget())

    def test_one_class_is_first_in_first_out(self) -> None:
        for number in range(50):
            self.outbox.push(parcel(Priority.CONSENSUS, 3, mark=bytes([number])), 0)
        self.assertEqual(written(self.outbox), b"".join(bytes([number]) * 3 for number in range(50)))

    def test_nothing_overtakes_the_handshake(self) -> None:
        """Control goes first, and control is first in, first out."""
        self.outbox.push(parcel(Priority.CONTROL, 300, mark=b"h"), 0)
        for priority in Priority:
            self.outbox.push(parcel(priority, 100), 0)
        self.assertTrue(written(self.outbox).startswith(b"h" * 300))

    def test_everything_queued_leaves_in_one_write(self) -> None:
        for priority in Priority:
            self.outbox.push(parcel(priority, 10), 0)
        self.assertEqual(len(written(self.outbox)), 50)
        self.assertEqual(self.outbox.queued, 0)

    def test_vote_stands_within_32_kib_of_a_block_under_way(self) -> None:
        self.outbox.push(large(Priority.BULK), 0)
        written(self.outbox)
        self.outbox.push(parcel(Priority.CONSENSUS, 200, mark=b"v"), 0)
        self.assertIn(b"v" * 200, written(self.outbox)[: 32 * KIB])

    @given(st.integers(0, 40), st.lists(st.sampled_from(list(Priority)[2:]), min_size=1, max_size=3))
    @settings(deadline=None, max_examples=50)
    def test_vote_stands_within_32_kib_whatever_else_waits(
        self, frames: int, classes: list[Priority]
    ) -> None:
        outbox = Outbox(Budget())
        for priority in classes:
            outbox.push(large(priority, limits.MIB), 0)
        for _ in range(frames):
            outbox.take(0, FRAME + limits.CONTROL_AHEAD_BYTES)
            outbox.drained(0)
        outbox.push(parcel(Priority.CONSENSUS, 200, mark=b"v"), 0)
        after = b"".join(written(outbox) for _ in range(2))
        self.assertIn(b"v" * 200, after[: 32 * KIB])

    @given(st.lists(st.integers(500, FRAME), min_size=4, max_size=4))
    @settings(deadline=None, max_examples=50)
    def test_every_class_keeps_a_tenth_of_the_link(self, sizes: list[int]) -> None:
        """Consensus and the three below it are never empty; control sends what it really sends."""
        outbox = Outbox(Budget(2**40), limit=2**40)
        total: Counter[Priority] = Counter()
        classes = list(Priority)[1:]
        for priority, size in zip(classes, sizes, strict=True):
            for _ in range(limits.MIB // size):
                outbox.push(parcel(priority, size, mark=bytes([priority])), 0)
        while min(outbox.depth(priority) for priority in classes) > 8:
            for value, count in Counter(written(outbox)).items():
                total[Priority(value)] += count
        everything = sum(total.values())
        if everything > 64 * FRAME:
            for priority in classes:
                self.assertGreaterEqual(total[priority] * 10, everything - 10 * 4 * FRAME, (priority, total))

    def test_a_lone_class_has_the_whole_link(self) -> None:
        self.outbox.push(large(Priority.BULK), 0)
        for _ in range(10):
            self.assertGreater(
                len(written(self.outbox)), limits.AHEAD_BYTES - limits.CONTROL_AHEAD_BYTES - FRAME
            )

    def test_fragments_of_one_class_stay_together(self) -> None:
        """A second long message of a class begins after the last piece of the first."""
        self.outbox.push(parcel(Priority.BULK, *[FRAME] * 3, mark=b"1"), 0)
        self.outbox.push(parcel(Priority.BULK, *[FRAME] * 3, mark=b"2"), 0)
        data = b"".join(written(self.outbox) for _ in range(3))
        self.assertEqual(data, b"1" * 3 * FRAME + b"2" * 3 * FRAME)

    def test_without_priorities_all_leave_as_they_came(self) -> None:
        outbox = Outbox(Budget(), priorities=False)
        order = [Priority.BULK, Priority.CONTROL, Priority.TRANSACTIONS, Priority.CONSENSUS]
        for priority in order:
            outbox.push(parcel(priority, 10, mark=bytes([priority])), 0)
        self.assertEqual(outbox.depth(Priority.BULK), len(order))
        self.assertEqual(written(outbox), b"".join(bytes([priority]) * 10 for priority in order))


class TurnTests(SynchronousTestCase):
    """The turns of classes that all have more than enough, in KiB: what is owed is paid between two of the first."""

    def setUp(self) -> None:
        self.outbox = Outbox(Budget(2**40), 2**40, urgent_limit=2**40)

    def fill(self, size: int = limits.MIB, **sizes: int) -> None:
        for name, piece in sizes.items():
            for _ in range(size // piece):
                self.outbox.push(parcel(Priority[name], piece, mark=bytes([Priority[name]])), 0)

    def next(self, count: int, room: int = FRAME + limits.CONTROL_AHEAD_BYTES) -> list[tuple[str, float]]:
        data = b""
        while len(runs := [(mark, len(list(run))) for mark, run in groupby(data)]) <= count:
            data += self.outbox.take(0, room)
            self.outbox.drained(0)
        return [(Priority(mark).name[0] if mark else "!", size / KIB) for mark, size in runs[:count]]

    def turns(self, count: int, **sizes: int) -> list[tuple[str, float]]:
        self.outbox = Outbox(Budget(2**40), 2**40, urgent_limit=2**40)
        self.fill(**sizes)
        return self.next(count)

    def test_small_debts_are_paid_after_each_turn_of_the_most_urgent(self) -> None:
        """12 % of 16 KiB are not quite two, and seven times that thirteen."""
        for size in (KIB, FRAME):
            turns = self.turns(14, CONSENSUS=size, BULK=KIB)
            self.assertEqual(turns, [("C", 16), ("B", 2)] * 6 + [("C", 16), ("B", 3)])

    def test_debts_are_paid_when_they_are_worth_a_frame(self) -> None:
        turns = self.turns(4, CONSENSUS=KIB, BULK=FRAME)
        self.assertEqual(turns, [("C", 144), ("B", 16), ("C", 112), ("B", 16)])

    def test_whoever_is_owed_most_is_paid_first(self) -> None:
        turns = self.turns(8, TRANSACTIONS=KIB, QUERIES=KIB, BULK=KIB)
        paid = [("Q", 2), ("B", 4), ("Q", 4), ("B", 5)]
        self.assertEqual(turns, [turn for each in paid for turn in (("T", 16), each)])

    def test_between_two_turns_that_pay_the_most_urgent_has_one(self) -> None:
        turns = self.turns(24, CONSENSUS=KIB, TRANSACTIONS=FRAME, QUERIES=FRAME, BULK=KIB // 2)
        self.assertEqual(turns[::2], [("C", 16)] * 12)
        paid = [
            ("B", 2), ("B", 2), ("B", 2), ("B", 2.5), ("B", 2), ("B", 2.5),
            ("T", 16), ("Q", 16), ("B", 10.5), ("T", 16), ("B", 6.5), ("Q", 16),
        ]  # fmt: skip
        self.assertEqual(turns[1::2], paid)

    def test_who_is_owed_more_than_can_be_paid_has_turns_of_16_kib_and_no_longer_ones(self) -> None:
        """Were control never empty, the others would be owed more than every other turn."""
        self.fill(**{priority.name: KIB for priority in Priority})
        turns = self.next(50, limits.MIB)
        self.assertEqual(turns[::2], [("!", 16)] * 25)
        self.assertEqual({size for _, size in turns[21::2]}, {16})
        owed = [lane.debt for lane in self.outbox._lanes]
        self.assertLessEqual(max(owed), 100 * 2 * FRAME)

    def test_class_that_had_nothing_more_is_owed_nothing(self) -> None:
        self.fill(CONSENSUS=KIB)
        for _ in range(2):
            self.fill(FRAME, BULK=FRAME)
            self.assertEqual(self.next(2), [("C", 144), ("B", 16)])

    def test_who_was_the_most_urgent_owes_nothing_for_it(self) -> None:
        self.fill(QUERIES=KIB, BULK=KIB)
        self.next(20)
        self.fill(TRANSACTIONS=KIB)
        self.assertIn(("Q", 5), self.next(6))


class TimeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.outbox = Outbox(Budget())

    def busy(self, drained_after: int = 40_000) -> None:
        """A link whose transport takes a while, with bytes ahead of the network."""
        for at in range(0, 10 * drained_after, drained_after):
            self.outbox.push(parcel(Priority.BULK, 100), at)
            self.outbox.take(at)
            self.outbox.drained(at + drained_after)
        self.outbox.push(parcel(Priority.BULK, 100), 0)
        self.outbox.take(0)

    def test_idle_link_writes_at_once(self) -> None:
        self.outbox.push(parcel(Priority.BULK, 1), 7)
        self.assertEqual(self.outbox.ready_at(7), 7)

    def test_empty_outbox_has_nothing_to_wait_for(self) -> None:
        self.assertIsNone(self.outbox.ready_at(7))

    def test_busy_link_gathers_for_20_ms_at_most(self) -> None:
        self.busy()
        self.outbox.push(parcel(Priority.TRANSACTIONS, 10), 1_000)
        due = self.outbox.ready_at(1_000)
        self.assertIsNotNone(due)
        self.assertGreater(due or 0, 1_000)
        self.assertLessEqual(due or 0, 1_000 + limits.HOLD_MAX)

    def test_votes_wait_5_ms_at_most(self) -> None:
        self.busy()
        self.outbox.push(parcel(Priority.TRANSACTIONS, 10), 1_000)
        self.assertGreater(self.outbox.ready_at(1_000) or 0, 1_000 + limits.HOLD_MAX_URGENT)
        self.outbox.push(parcel(Priority.CONSENSUS, 10), 1_000)
        self.assertEqual(self.outbox.ready_at(1_000), 1_000 + limits.HOLD_MAX_URGENT)

    def test_what_comes_later_makes_nothing_wait_longer(self) -> None:
        for priority in (Priority.TRANSACTIONS, Priority.CONSENSUS):
            self.outbox = Outbox(Budget())
            self.busy()
            self.outbox.push(parcel(priority, 10), 1_000)
            due = self.outbox.ready_at(1_000)
            for now in (2_000, 3_000):
                self.outbox.push(parcel(priority, 10), now)
                self.assertEqual(self.outbox.ready_at(now), due)

    def test_idle_link_writes_at_once_though_it_was_slow(self) -> None:
        self.busy()
        self.outbox.drained(1_000)
        self.outbox.push(parcel(Priority.BULK, 10), 2_000)
        self.assertEqual(self.outbox.ready_at(2_000), 2_000)

    def test_vote_does_not_make_the_batch_wait_in_which_it_leaves(self) -> None:
        self.busy()
        self.outbox.push(parcel(Priority.TRANSACTIONS, 10), 0)
        due = self.outbox.ready_at(0) or 0
        self.outbox.push(parcel(Priority.CONSENSUS, 10), due - 10)
        self.assertEqual(self.outbox.ready_at(due - 10), due)
        self.assertEqual(self.outbox.ready_at(due + 10), due + 10)

    def test_each_write_begins_another_batch(self) -> None:
        for priority in (Priority.TRANSACTIONS, Priority.CONSENSUS):
            self.outbox = Outbox(Budget())
            self.busy()
            for size in (10, 1_000):
                self.outbox.push(parcel(priority, size), 1_000)
            hold = (self.outbox.ready_at(1_000) or 0) - 1_000
            self.assertEqual(len(self.outbox.take(3_000, limits.CONTROL_AHEAD_BYTES + 500)), 10)
            self.assertEqual(self.outbox.ready_at(3_000), 3_000 + hold)
            self.outbox.take(4_000)
            self.outbox.push(parcel(priority, 10), 50_000)
            self.assertEqual(self.outbox.ready_at(50_000), 50_000 + hold)

    def test_without_batching_each_message_is_a_write_of_its_own(self) -> None:
        traffic = Traffic()
        self.outbox = Outbox(Budget(), traffic=traffic, batching=False)
        self.outbox.push(parcel(Priority.BULK, 100), 0)
        self.outbox.take(0)
        self.outbox.drained(40_000)
        for _ in range(3):
            self.outbox.push(parcel(Priority.BULK, 100, 100), 50_000)
        for _ in range(3):
            self.assertEqual(self.outbox.ready_at(50_000), 50_000)
            self.assertEqual(len(self.outbox.take(50_000)), 200)
        self.assertEqual(traffic.writes, {Flush.SINGLE: 4})

    def test_transport_that_has_not_drained_yet_makes_nothing_wait(self) -> None:
        for now in (6, 7):
            self.outbox.push(parcel(Priority.BULK, 10), now)
            self.assertEqual(self.outbox.ready_at(now), now)
            self.outbox.take(now)

    def test_pong_leaves_at_once(self) -> None:
        """[20]"""
        self.busy()
        self.outbox.push(parcel(Priority.CONTROL, 10), 1_000)
        self.assertEqual(self.outbox.ready_at(1_000), 1_000)

    def test_full_batch_leaves_at_once(self) -> None:
        self.busy()
        self.outbox.push(parcel(Priority.TRANSACTIONS, limits.BATCH_BYTES), 1_000)
        self.assertEqual(self.outbox.ready_at(1_000), 1_000)

    def test_quick_transport_makes_the_wait_vanish(self) -> None:
        self.busy(drained_after=10)
        self.outbox.push(parcel(Priority.TRANSACTIONS, 10), 1_000)
        self.assertLessEqual(self.outbox.ready_at(1_000) or 0, 1_010)

    def test_link_gathers_for_half_of_what_its_transport_takes_on_the_average(self) -> None:
        for took, hold in (
            (10_000, 2_500),
            (10_000, 3_750),
            (SECOND, limits.HOLD_MAX),
            (0, limits.HOLD_MAX // 2),
        ):
            self.outbox.push(parcel(Priority.BULK, 10), 5)
            self.outbox.take(5)
            self.outbox.drained(5 + took)
            self.outbox.push(parcel(Priority.BULK, 10), 7)
            self.outbox.take(7)
            self.outbox.push(parcel(Priority.BULK, 10), 9)
            self.assertEqual(self.outbox.ready_at(9), 9 + hold)
            self.outbox.take(9)
            self.outbox.drained(7 + 2 * hold)

    def test_stalled_transport_is_seen(self) -> None:
        self.outbox.push(parcel(Priority.BULK, 1), 5)
        self.outbox.take(6)
        self.outbox.push(parcel(Priority.BULK, 1), 7)
        self.outbox.take(8)
        self.assertEqual(self.outbox.stalled_since(), 6)
        self.outbox.drained(9)
        self.assertIsNone(self.outbox.stalled_since())


class CutTests(SynchronousTestCase):
    """A long message is cut into frames as they leave; for several peers it is cut once."""

    def setUp(self) -> None:
        self.cut: list[int] = []

        def counted(*arguments: Any) -> bytes:
            self.cut.append(len(arguments[4]))
            return frame(*arguments)

        frame = framing._frame
        self.patch(framing, "_frame", counted)
        self.payload = bytes(range(256)) * (4 * KIB)
        frames = framing.frames_of(b"TIME", 1, self.payload, checksum=True)
        self.whole = b"".join(frames)
        self.cut.clear()
        self.message = Parcel("BlockResponse", Priority.BULK, frames, False)

    def drain(self, *boxes: Outbox) -> list[bytes]:
        found = [b""] * len(boxes)
        while any(box.queued for box in boxes):
            for index, box in enumerate(boxes):
                found[index] += written(box)
        return found

    def test_no_turn_cuts_more_than_it_writes(self) -> None:
        outbox = Outbox(Budget())
        outbox.push(self.message, 0)
        self.assertEqual((self.cut, outbox.queued), ([], len(self.whole)))
        first = written(outbox)
        self.assertEqual(len(self.cut), len(first) // FRAME)
        self.assertLessEqual(sum(self.cut), limits.AHEAD_BYTES)
        self.assertEqual([first + rest for rest in self.drain(outbox)], [self.whole])
        self.assertEqual(sum(self.cut), len(self.payload))

    def test_for_several_peers_each_frame_is_cut_once(self) -> None:
        """[18]: whether they keep step or not."""
        budget = Budget()
        boxes = [Outbox(budget) for _ in range(2)]
        for box in boxes:
            box.push(self.message, 0)
        self.assertEqual([self.drain(box) for box in boxes], [[self.whole]] * 2)
        self.assertEqual(sum(self.cut), len(self.payload))
        self.assertEqual(budget.held, 0)


class BoundTests(SynchronousTestCase):
    """[19]"""

    def setUp(self) -> None:
        self.budget = Budget()
        self.outbox = Outbox(self.budget)

    def fill(self, priority: Priority = Priority.TRANSACTIONS, gossip: bool = False) -> None:
        while self.outbox.room() >= FRAME:
            self.assertIs(self.outbox.push(parcel(priority, FRAME, gossip=gossip), 0), Admission.QUEUED)

    def test_64_kib_at_most_are_ahead_of_the_network(self) -> None:
        self.outbox.push(large(Priority.BULK), 0)
        first = self.outbox.take(0)
        self.assertLessEqual(len(first), limits.AHEAD_BYTES)
        self.assertEqual(self.outbox.take(0), b"")
        self.outbox.drained(0)
        self.assertEqual(len(self.outbox.take(0)), len(first))

    def test_pong_leaves_although_the_transport_is_full_of_a_block(self) -> None:
        """[20]"""
        self.outbox.push(large(Priority.BULK), 0)
        self.outbox.take(0)
        self.assertEqual(self.outbox.take(0), b"")
        self.outbox.push(parcel(Priority.CONTROL, 32, mark=b"p"), 0)
        self.assertEqual(self.outbox.ready_at(0), 0)
        self.assertEqual(self.outbox.take(0), b"p" * 32)

    def test_the_last_4_kib_ahead_of_the_network_are_controls(self) -> None:
        self.outbox.push(parcel(Priority.BULK, 60 * KIB), 0)
        self.assertEqual(len(self.outbox.take(0)), 60 * KIB)
        for priority in (Priority.BULK, Priority.QUERIES):
            self.outbox.push(parcel(priority, 1), 0)
            self.assertIsNone(self.outbox.ready_at(0))
            self.assertEqual(self.outbox.take(0), b"")
        for size in (4 * KIB - 1, 1):
            self.outbox.push(parcel(Priority.CONTROL, size), 0)
            self.assertEqual(self.outbox.ready_at(0), 0)
            self.assertEqual(len(self.outbox.take(0)), size)
        self.outbox.push(parcel(Priority.CONTROL, 1), 0)
        self.assertIsNone(self.outbox.ready_at(0))
        self.assertEqual(self.outbox.take(0), b"")

    def test_several_classes_leave_control_its_room_too(self) -> None:
        for priority in (Priority.BULK, Priority.QUERIES):
            self.outbox.push(large(priority, limits.MIB), 0)
        self.assertEqual(len(self.outbox.take(0)), 3 * FRAME)
        for _ in range(16):
            self.outbox.push(parcel(Priority.CONTROL, KIB, mark=b"p"), 0)
        self.assertEqual(self.outbox.take(0), b"p" * 16 * KIB)

    def test_control_alone_has_all_the_room(self) -> None:
        self.outbox.push(parcel(Priority.CONTROL, *[KIB] * 65), 0)
        self.assertEqual(len(self.outbox.take(0)), limits.AHEAD_BYTES)

    def test_gossip_without_room_is_dropped_and_counted(self) -> None:
        self.fill()
        self.assertIs(
            self.outbox.push(parcel(Priority.TRANSACTIONS, FRAME, gossip=True), 0), Admission.DROPPED
        )
        self.assertEqual(self.outbox.dropped, 1)
        self.assertLessEqual(self.outbox.waiting, limits.PEER_QUEUE_BYTES)

    def test_reply_pushes_waiting_gossip_out(self) -> None:
        self.fill(gossip=True)
        self.assertIs(self.outbox.push(parcel(Priority.QUERIES, 200), 0), Admission.QUEUED)
        self.assertEqual(self.outbox.dropped, 1)
        self.assertEqual(self.budget.held, self.outbox.waiting)

    def test_no_more_gossip_is_pushed_out_than_what_comes_needs(self) -> None:
        for _ in range(3):
            self.outbox.push(parcel(Priority.TRANSACTIONS, 10, gossip=True), 0)
        self.assertEqual(self.outbox.shed_gossip(10), 10)
        self.outbox.push(parcel(Priority.BULK, limits.PEER_QUEUE_BYTES - 20), 0)
        self.assertIs(self.outbox.push(parcel(Priority.QUERIES, 10), 0), Admission.QUEUED)
        self.assertEqual((self.outbox.dropped, self.outbox.room()), (2, 0))

    def test_longest_message_pushes_all_gossip_out(self) -> None:
        self.fill(gossip=True)
        self.assertIs(self.outbox.push(large(Priority.BULK, 5 * limits.MIB), 0), Admission.QUEUED)
        self.assertEqual(self.outbox.depth(Priority.TRANSACTIONS), 0)
        self.assertEqual(self.outbox.room(), 0)

    def test_gossip_longer_than_the_bound_fits_an_empty_queue(self) -> None:
        longest = parcel(Priority.TRANSACTIONS, limits.PEER_QUEUE_BYTES + 1, gossip=True)
        self.assertIs(self.outbox.push(longest, 0), Admission.QUEUED)

    def test_vote_has_room_beside_a_block_that_fills_the_bound(self) -> None:
        self.outbox.push(large(Priority.BULK), 0)
        self.assertEqual(self.outbox.room(), 0)
        for priority in (Priority.CONTROL, Priority.CONSENSUS):
            self.assertIs(self.outbox.push(parcel(priority, 200), 0), Admission.QUEUED)

    def test_votes_take_no_room_from_bulk_and_push_no_gossip_out(self) -> None:
        self.fill(gossip=True)
        room = self.outbox.room()
        self.assertIs(self.outbox.push(large(Priority.CONSENSUS), 0), Admission.QUEUED)
        self.assertEqual((self.outbox.room(), self.outbox.dropped), (room, 0))

    def test_a_queue_full_of_what_must_arrive_overflows(self) -> None:
        self.fill()
        for priority in (Priority.QUERIES, Priority.BULK):
            self.assertIs(self.outbox.push(parcel(priority, FRAME), 0), Admission.OVERFLOW)
        self.assertEqual(self.outbox.dropped, 0)

    def test_urgent_queue_is_bounded_too(self) -> None:
        self.outbox.push(large(Priority.CONSENSUS, limits.URGENT_QUEUE_BYTES), 0)
        for priority in (Priority.CONTROL, Priority.CONSENSUS):
            self.assertIs(self.outbox.push(parcel(priority, 200), 0), Admission.OVERFLOW)
        self.assertLessEqual(self.outbox.waiting_urgent, limits.URGENT_QUEUE_BYTES)
        self.assertIs(self.outbox.push(parcel(Priority.BULK, 200), 0), Admission.QUEUED)

    def test_longest_message_fits_an_empty_queue_and_leaves_room_once_under_way(self) -> None:
        longest = large(Priority.BULK, 5 * limits.MIB)
        self.assertIs(self.outbox.push(longest, 0), Admission.QUEUED)
        self.outbox.take(0)
        self.assertEqual(self.outbox.room(), limits.PEER_QUEUE_BYTES)
        self.assertIs(self.outbox.push(parcel(Priority.CONSENSUS, 200), 0), Admission.QUEUED)

    def test_message_under_way_is_not_torn(self) -> None:
        self.outbox.push(parcel(Priority.TRANSACTIONS, FRAME, FRAME, gossip=True, mark=b"a"), 0)
        self.outbox.take(0, FRAME + limits.CONTROL_AHEAD_BYTES)
        self.outbox.push(parcel(Priority.TRANSACTIONS, FRAME, gossip=True, mark=b"b"), 0)
        self.assertEqual(self.outbox.shed_gossip(limits.MIB), FRAME)
        self.assertEqual(self.outbox.take(0), b"a" * FRAME)

    def test_outboxes_that_keep_step_write_the_same_bytes_without_a_copy(self) -> None:
        """[18]"""
        for number in (2, 10):
            shared = large(Priority.CONSENSUS, 9 * FRAME)
            boxes = [Outbox(self.budget) for _ in range(number)]
            for box in boxes:
                box.push(shared, 0)
            while boxes[0].queued:
                writes = [written(box) for box in boxes]
                self.assertTrue(all(one is writes[0] for one in writes))
            self.assertEqual(self.budget.held, 0)

    def test_message_for_one_peer_is_not_held_twice(self) -> None:
        alone = large(Priority.CONSENSUS, 9 * FRAME)
        self.outbox.push(alone, 0)
        written(self.outbox)
        self.assertEqual(alone._joined[2], b"")

    def test_urgent_message_longer_than_the_bound_fits_an_empty_queue(self) -> None:
        longest = parcel(Priority.CONSENSUS, limits.URGENT_QUEUE_BYTES + 1)
        self.assertIs(self.outbox.push(longest, 0), Admission.QUEUED)
        self.assertEqual(self.outbox.room(urgent=True), 0)
        self.assertIs(self.outbox.push(parcel(Priority.CONSENSUS, 1), 0), Admission.OVERFLOW)

    def test_what_fills_a_bound_to_the_byte_is_within_it(self) -> None:
        budget = Budget(limits.PEER_QUEUE_BYTES + limits.URGENT_QUEUE_BYTES)
        outbox = Outbox(budget)
        for priority, bound in (
            (Priority.BULK, limits.PEER_QUEUE_BYTES),
            (Priority.CONSENSUS, limits.URGENT_QUEUE_BYTES),
        ):
            for size in (1, bound - 1):
                self.assertIs(outbox.push(parcel(priority, size), 0), Admission.QUEUED)
                room = outbox.room(urgent=priority is Priority.CONSENSUS)
                self.assertEqual(room, bound - 1 if size == 1 else 0)
            self.assertIs(outbox.push(parcel(priority, 1), 0), Admission.OVERFLOW)
        self.assertFalse(budget.exceeded)
        Outbox(budget).push(parcel(Priority.CONTROL, 1), 0)
        self.assertTrue(budget.exceeded)

    def test_outbox_that_was_cleared_is_as_new(self) -> None:
        cut = Parcel("BlockResponse", Priority.BULK, [b"a" * FRAME] * 9, False, whole=True)
        self.outbox.push(cut, 0)
        self.outbox.push(parcel(Priority.QUERIES, FRAME), 0)
        self.outbox.push(parcel(Priority.CONSENSUS, 1), 0)
        self.outbox.take(0)
        self.outbox.take(0, 2 * FRAME)
        self.assertTrue(self.outbox.broken)
        self.outbox.clear()
        self.outbox.drained(0)
        self.assertEqual(self.budget.held, 0)
        self.assertEqual(self.outbox.queues(9), Outbox(self.budget).queues(9))
        self.assertFalse(self.outbox.broken)
        self.assertIsNone(self.outbox.ready_at(9))
        for queue in (self.outbox.queued, self.outbox.waiting, self.outbox.waiting_urgent, self.outbox._busy):
            self.assertEqual(queue, 0)
        self.assertEqual([lane.debt for lane in self.outbox._lanes], [0] * len(Priority))
        self.outbox.push(parcel(Priority.BULK, 1, 2), 9)
        self.assertEqual(self.outbox.queues(9)[Priority.BULK].age, 0)
        self.assertEqual(self.outbox.take(9), b"xxx")

    def test_gossip_among_urgent_messages_is_not_shed(self) -> None:
        self.outbox.push(parcel(Priority.CONSENSUS, FRAME, gossip=True), 0)
        self.assertEqual(self.outbox.shed_gossip(FRAME), 0)
        self.assertEqual(self.outbox.waiting_urgent, FRAME)

    def test_shared_message_counts_once_for_all_peers(self) -> None:
        shared = large(Priority.CONSENSUS, limits.MIB)
        boxes = [Outbox(self.budget) for _ in range(100)]
        for box in boxes:
            box.push(shared, 0)
        self.assertEqual(self.budget.held, limits.MIB)
        for box in boxes[1:]:
            box.clear()
        self.assertEqual(self.budget.held, limits.MIB)
        while boxes[0].queued:
            written(boxes[0])
        self.assertEqual(self.budget.held, 0)

    @given(
        st.lists(
            st.tuples(st.sampled_from(list(Priority)), st.integers(1, 3 * limits.MIB), st.booleans()),
            max_size=30,
        )
    )
    @settings(deadline=None, max_examples=50)
    def test_counts_are_exact_whatever_happens(self, steps: list[tuple[Priority, int, bool]]) -> None:
        budget = Budget()
        outbox = Outbox(budget)
        for priority, size, gossip in steps:
            pieces = [FRAME] * (size // FRAME) + [size % FRAME or 1]
            before = (outbox.waiting, outbox.waiting_urgent)
            admission = outbox.push(parcel(priority, *pieces, gossip=gossip), 0)
            if admission is Admission.QUEUED:
                for waiting in (outbox.waiting, outbox.waiting_urgent):
                    self.assertTrue(waiting <= limits.PEER_QUEUE_BYTES or waiting == sum(pieces))
            elif admission is Admission.DROPPED:
                self.assertEqual((outbox.waiting, outbox.waiting_urgent), before)
                self.assertTrue(gossip)
            if size % 3 == 0:
                written(outbox)
            self.assertGreaterEqual(outbox.queued, outbox.waiting + outbox.waiting_urgent)
            self.assertEqual(outbox._busy, sum(outbox.depth(priority) > 0 for priority in Priority))
        while outbox.queued:
            self.assertTrue(written(outbox))
        self.assertEqual((outbox.queued, outbox.waiting, outbox.waiting_urgent, budget.held), (0, 0, 0, 0))
