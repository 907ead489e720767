"""Sinks: at least once, in order, never ahead of what is durable, and nothing lost in silence."""

from __future__ import annotations

from typing import Any
from unittest import mock

from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from tests.feed_world import FeedWorld, draft
from timed.errors import StoreError
from timed.feed import delivery as delivering
from timed.feed.delivery import (
    DISK_S,
    FIRST_S,
    INTERNAL,
    MOST_S,
    REFUSED_FIRST_S,
    REFUSED_MOST_S,
    SAVE_S,
    Batch,
    Delivery,
    NotTaken,
    State,
)
from timed.feed.event import Filter
from timed.feed.log import Bounds
from timed.feed.records import Position
from timed.interfaces import ISink


@implementer(ISink)
class Receiver:
    """A sink that keeps what it takes; `answers` are what it says first, then it takes everything."""

    kind = "test"
    title = "receiver"

    def __init__(self, wanted: Filter | None = None, batch_events: int = 10) -> None:
        self.name = "receiver"
        self.wanted = wanted or Filter()
        self.batch_events = batch_events
        self.offered: list[Batch] = []
        self.taken: list[int] = []
        self.answers: list[Any] = []
        self.closed = self.reloaded = 0

    def close(self) -> Deferred[None]:
        self.closed += 1
        return succeed(None)

    def reload(self) -> None:
        self.reloaded += 1

    def deliver(self, batch: object) -> Deferred[None]:
        assert isinstance(batch, Batch)
        self.offered.append(batch)
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, Exception):
            return fail(answer)
        self.taken += [event.sequence for event in batch.events]
        return succeed(None) if answer is None else answer


class DeliveryCase(SynchronousTestCase):
    bounds = Bounds(1_000_000, 1 << 30, 0)

    def setUp(self) -> None:
        self.world = FeedWorld(self.mktemp(), bounds=self.bounds)
        self.addCleanup(self.world.close)
        self.receiver = Receiver()
        self.chance = 0.0
        self.begin()

    def begin(self) -> None:
        """A process with this sink."""
        world = self.world

        def known(sink: str) -> Position | None:
            assert world.writer.log is not None
            return world.writer.log.position(sink)

        self.delivery = Delivery(
            self.receiver, world.window, known, world.scribe.save, world.clock.callLater,
            world.clock.seconds, lambda: self.chance,
        )  # fmt: skip
        world.hub.listeners.append(self.delivery.woken)
        self.delivery.start()
        world.settle()

    def end(self) -> None:
        self.successResultOf(self.delivery.stop())

    def restart(self) -> None:
        """As after kill -9: only what is durable is known."""
        self.end()
        self.world.close()
        self.world.begin()
        self.begin()

    def tell(self, count: int = 1, kind: str = "peer.connected") -> None:
        self.world.tell(*(draft(kind, number) for number in range(count)))
        self.world.settle()

    def durable(self) -> int:
        assert self.world.writer.log is not None
        found = self.world.writer.log.position("receiver")
        assert found is not None
        return found.sequence


class Delivering(DeliveryCase):
    def test_a_new_sink_begins_with_what_comes_next(self) -> None:
        self.end()
        self.tell(5)
        self.receiver.name = "another"
        self.begin()
        self.tell(2)
        self.assertEqual(self.receiver.taken, [6, 7])

    def test_events_come_in_order_and_in_batches(self) -> None:
        self.tell(25)
        self.world.settle(1)
        self.assertEqual([len(batch.events) for batch in self.receiver.offered], [10, 10, 5])
        self.assertEqual(self.receiver.taken, list(range(1, 26)))
        self.assertEqual(self.delivery.state, State.CURRENT)
        self.assertEqual((self.delivery.counters.events, self.delivery.counters.batches), (25, 3))

    def test_the_place_is_durable_only_after_the_batch_was_taken(self) -> None:
        answer: Deferred[None] = Deferred()
        self.receiver.answers = [answer]
        self.tell(3)
        self.assertEqual((len(self.receiver.offered), self.durable()), (1, 0))
        answer.callback(None)
        self.assertEqual((self.delivery.state, self.durable()), (State.SAVING, 0))
        self.world.settle()
        self.assertEqual((self.delivery.state, self.durable()), (State.CURRENT, 3))

    def test_what_a_killed_process_had_sent_comes_again_with_the_same_ids(self) -> None:
        self.receiver.answers = [Deferred()]
        self.tell(3)
        self.restart()
        first, second = self.receiver.offered
        self.assertEqual(
            [event.shown.cursor for event in first.events], [event.shown.cursor for event in second.events]
        )
        self.assertEqual(self.receiver.taken, [1, 2, 3, 1, 2, 3])
        self.restart()
        self.assertEqual(len(self.receiver.offered), 2)

    def test_one_batch_is_under_way_whatever_is_told_meanwhile(self) -> None:
        answer: Deferred[None] = Deferred()
        self.receiver.answers = [answer]
        for _ in range(50):
            self.tell(10)
        self.assertEqual((len(self.receiver.offered), self.delivery.behind), (1, 500))
        answer.callback(None)
        self.world.settle(5)
        self.assertEqual(self.receiver.taken, list(range(1, 501)))

    def test_a_sink_is_no_subscription_and_saving_wakes_nobody(self) -> None:
        with mock.patch.object(self.world.hub, "woken", wraps=self.world.hub.woken) as woken:
            self.tell(1)
            self.world.settle(1)
        self.assertEqual((woken.call_count, self.durable()), (1, 1))

    def test_only_what_is_wanted_comes(self) -> None:
        self.end()
        self.receiver.wanted = Filter.of(["alert"])
        self.begin()
        self.tell(300)
        self.tell(1, "alert.raised")
        self.world.settle(1)
        self.assertEqual(self.receiver.taken, [301])

    def test_what_is_not_wanted_moves_the_durable_place_seldom(self) -> None:
        self.end()
        self.receiver.wanted = Filter.of(["alert"])
        self.begin()
        self.world.clock.advance(SAVE_S)
        self.tell(100)
        self.assertEqual(self.durable(), 100)
        self.tell(300)
        self.assertEqual(self.durable(), 100)
        self.world.clock.advance(SAVE_S)
        self.tell(1)
        self.assertEqual((self.durable(), self.delivery.behind), (401, 0))
        self.assertEqual(self.receiver.offered, [])

    def test_a_batch_has_a_bound_in_bytes_and_a_long_event_goes_alone(self) -> None:
        with mock.patch.object(delivering, "BATCH_BYTES", 1_000):
            self.world.tell(draft(size=400), draft(size=400), draft(size=5_000), draft(size=400))
            self.world.settle(1)
        self.assertEqual([len(batch.events) for batch in self.receiver.offered], [1, 1, 1, 1])
        self.assertEqual(self.receiver.taken, [1, 2, 3, 4])

    def test_nothing_is_left_after_the_end(self) -> None:
        for answers in ([], [Deferred()], [NotTaken("http-status", "500")]):
            self.receiver.answers = list(answers)
            self.tell(1)
            self.end()
            self.assertEqual(self.delivery.state, State.STOPPED)
            self.assertEqual(self.world.clock.getDelayedCalls(), [])
            self.assertEqual(self.flushLoggedErrors(), [])
            self.begin()
        self.assertEqual(self.receiver.closed, 3)

    def test_the_interface_is_kept(self) -> None:
        self.assertTrue(verifyObject(ISink, self.receiver))


class Retrying(DeliveryCase):
    def waits(self, attempts: int) -> list[float]:
        """Seconds between the next attempts, as the sink is asked again and again."""
        found = []
        for _ in range(attempts):
            assert self.delivery.next_try is not None
            wait = self.delivery.next_try - self.world.clock.seconds()
            before = len(self.receiver.offered)
            self.world.clock.advance(wait)
            self.assertEqual(len(self.receiver.offered), before + 1)
            found.append(round(wait, 3))
        return found

    def refuse(self, *answers: Exception) -> None:
        self.receiver.answers = list(answers)
        self.world.tell(draft())
        self.world.clock.advance(0.02)

    def test_pauses_double_up_to_a_bound(self) -> None:
        self.refuse(*[NotTaken("timeout")] * 12)
        waits = self.waits(11)
        self.assertEqual(waits[:5], [FIRST_S, 2.0, 4.0, 8.0, 16.0])
        self.assertEqual(waits[-2:], [MOST_S, MOST_S])
        self.assertEqual(self.delivery.state, State.RETRYING)
        self.assertEqual([batch.attempt for batch in self.receiver.offered], list(range(1, 13)))
        self.assertEqual(self.delivery.counters.failures, {"timeout": 12})
        self.waits(1)
        self.world.settle()
        self.assertEqual((self.receiver.taken, self.delivery.failure), ([1], None))

    def test_chance_cuts_a_pause_by_up_to_half(self) -> None:
        self.chance = 0.999
        self.refuse(*[NotTaken("timeout")] * 3)
        self.assertEqual(self.waits(2), [0.5, 1.001])

    def test_a_receiver_that_names_a_time_is_not_asked_before_and_not_forgotten(self) -> None:
        self.chance = 0.999
        self.refuse(
            NotTaken("http-status", retry_after_s=30),
            NotTaken("http-status", retry_after_s=0.1),
            NotTaken("http-status", retry_after_s=1e9),
        )
        self.assertEqual(self.waits(3), [30.0, 1.001, delivering.MOST_ASKED_S])

    def test_a_refusal_is_tried_again_slowly_and_never_dropped(self) -> None:
        self.refuse(*[NotTaken("http-status", "401", refused=True)] * 9)
        waits = self.waits(9)
        self.assertEqual((waits[0], waits[-1]), (REFUSED_FIRST_S, REFUSED_MOST_S))
        self.world.settle()
        self.assertEqual(self.receiver.taken, [1])

    def test_an_operator_who_has_mended_the_receiver_need_not_wait(self) -> None:
        self.refuse(NotTaken("http-status", "401", refused=True))
        self.delivery.hurry()
        self.world.settle()
        self.assertEqual((self.receiver.taken, self.durable()), ([1], 1))
        self.delivery.hurry()
        self.assertEqual(self.world.clock.getDelayedCalls(), [])

    def test_how_late_it_is_counts_until_its_place_is_durable(self) -> None:
        self.refuse(NotTaken("timeout"))
        self.assertEqual(self.delivery.late_us(5_000_001), 5_000_000)
        self.waits(1)
        self.assertEqual((self.delivery.state, self.delivery.late_us(6_000_001)), (State.SAVING, 6_000_000))
        self.world.settle()
        self.assertEqual(self.delivery.late_us(7_000_001), 0)

    def test_too_much_at_once_is_halved_down_to_one_event_and_grows_again(self) -> None:
        self.receiver.answers = [NotTaken("http-status", "413", refused=True, too_large=True)] * 3
        self.tell(20)
        for _ in range(10):
            self.world.clock.advance(1)
            self.world.settle()
        self.assertEqual([len(batch.events) for batch in self.receiver.offered[:6]], [10, 5, 2, 1, 2, 4])
        self.assertEqual(self.receiver.taken, list(range(1, 21)))

    def test_a_bug_of_a_sink_is_logged_and_it_is_asked_again(self) -> None:
        self.refuse(ZeroDivisionError("oops"))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.delivery.counters.failures, {INTERNAL: 1})
        self.waits(1)
        self.assertEqual(self.receiver.taken, [1])

    def test_a_disk_that_fails_repeats_the_place_and_not_the_batch(self) -> None:
        answer: Deferred[None] = Deferred()
        self.receiver.answers = [answer]
        self.tell(1)
        self.world.failing = StoreError("the disk is full.")
        answer.callback(None)
        self.world.settle(1)
        self.assertEqual((self.delivery.state, len(self.receiver.offered)), (State.SAVING, 1))
        self.world.failing = None
        self.world.clock.advance(DISK_S)
        self.world.settle()
        self.assertEqual((self.durable(), len(self.receiver.offered)), (1, 1))

    def test_a_log_that_cannot_be_read_is_tried_again(self) -> None:
        damage = StoreError("the event log is damaged.")
        with mock.patch.object(self.world.window, "after", side_effect=damage):
            self.tell(1)
            self.assertEqual((self.delivery.failure, self.receiver.offered), (str(damage), []))
        self.world.clock.advance(DISK_S)
        self.world.settle()
        self.assertEqual((self.receiver.taken, self.delivery.failure), ([1], None))


class Gaps(DeliveryCase):
    bounds = Bounds(20, 1 << 30, 0)

    def test_events_that_left_the_log_are_counted_and_told(self) -> None:
        self.receiver.answers = [NotTaken("timeout")] * 3
        self.tell(1)
        for _ in range(10):
            self.tell(10)
        self.world.clock.advance(1)
        self.world.clock.advance(2)
        self.world.clock.advance(4)
        self.world.settle(1)
        batch = self.receiver.offered[4]
        assert batch.gap is not None
        self.assertEqual((batch.gap.reason, batch.gap.first, batch.gap.last), ("log-bounds", 2, 81))
        self.assertEqual(self.delivery.counters.lost, 80)
        self.assertEqual(self.receiver.taken[-21:], [1, *range(82, 102)])
        self.assertIsNone(self.receiver.offered[-1].gap)

    def test_a_gap_that_was_not_taken_is_told_again_after_a_kill(self) -> None:
        self.end()
        self.tell(50)
        self.receiver.answers = [NotTaken("timeout")]
        self.begin()
        self.restart()
        told = [batch.gap.last for batch in self.receiver.offered[:2] if batch.gap is not None]
        self.assertEqual(told, [30, 30])
        self.world.settle(1)
        self.assertEqual(self.receiver.taken, list(range(31, 51)))

    def test_a_gap_is_told_also_when_nothing_else_is_wanted(self) -> None:
        self.end()
        self.receiver.wanted = Filter.of(["alert"])
        self.tell(50)
        self.begin()
        (batch,) = self.receiver.offered
        assert batch.gap is not None
        self.assertEqual((batch.events, batch.gap.first, batch.gap.last), ((), 1, 30))

    def test_a_log_that_began_anew_is_told_from_its_beginning(self) -> None:
        self.tell(3)
        old = self.delivery.cursor
        self.end()
        assert self.world.writer.log is not None
        self.world.writer.log.begin_anew(None)
        self.world.close()
        self.world.begin()
        self.tell(2)
        self.begin()
        batch = self.receiver.offered[-1]
        assert batch.gap is not None
        self.assertEqual((batch.gap.reason, batch.gap.cursor), ("new-log", old))
        self.assertEqual([event.sequence for event in batch.events], [1, 2])
        self.assertEqual(self.durable(), 2)
