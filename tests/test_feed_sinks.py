"""Sinks: every event once in its order, a place that outlives the process, and patience with what fails."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from tests.feed_world import FeedWorld, draft
from timed.feed.event import Filter
from timed.feed.log import Bounds
from timed.feed.sinks import FIRST_RETRY_S, LAST_RETRY_S, SinkRunner
from timed.interfaces import IFeedSink


@implementer(IFeedSink)
class Box:
    """Keeps what it is given; fails or waits when a test says so."""

    name = "box"
    wanted = Filter()

    def __init__(self) -> None:
        self.taken: list[int] = []
        self.asked = 0
        self.failing = False
        self.held: list[tuple[Deferred[None], list[int]]] | None = None
        self.missed: list[tuple[int, int]] = []
        self.closed = False

    def open(self, context: object) -> None:
        self.closed = False

    def deliver(self, events: Sequence[Any]) -> Deferred[None]:
        self.asked += 1
        sequences = [event.sequence for event in events]
        if self.held is not None:
            waiting: Deferred[None] = Deferred()
            self.held.append((waiting, sequences))
            return waiting
        if self.failing:
            return fail(ConnectionError("nobody is there"))
        self.taken += sequences
        return succeed(None)

    def lost(self, first: int, last: int) -> None:
        self.missed.append((first, last))

    def close(self) -> Deferred[None]:
        self.closed = True
        return succeed(None)


class SinkCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = FeedWorld(self.mktemp())
        self.addCleanup(self.world.close)
        self.box = Box()
        self.begin()

    def begin(self) -> None:
        self.runner = SinkRunner(self.box, self.world.feed, self.world.clock)
        assert self.world.writer.log is not None
        self.runner.start(self.world.writer.log)
        self.world.settle()

    def write(self, count: int) -> None:
        self.world.tell(*[draft() for _ in range(count)])
        self.world.settle()

    def crash(self) -> None:
        """Another process, the sink's other end as it was."""
        self.world.crash()
        self.begin()


class Sinks(SinkCase):
    def test_the_interface_is_kept(self) -> None:
        self.assertTrue(verifyObject(IFeedSink, self.box))

    def test_a_new_sink_begins_at_the_newest_event_and_then_misses_none(self) -> None:
        self.write(3)
        self.box = Box()
        self.box.name = "another"
        self.begin()
        self.write(600)
        self.assertEqual(self.box.taken, list(range(4, 604)))

    def test_its_place_outlives_the_process(self) -> None:
        self.write(5)
        self.crash()
        self.write(5)
        self.assertEqual(self.box.taken, list(range(1, 11)))

    def test_what_was_under_way_when_it_was_killed_comes_again(self) -> None:
        self.box.held = []
        self.write(3)
        self.box.held = None
        self.crash()
        self.write(1)
        self.assertEqual(self.box.taken, [1, 2, 3, 4])

    def test_one_batch_at_a_time(self) -> None:
        self.box.held = held = []
        self.write(2)
        self.write(2)
        self.assertEqual(len(held), 1)
        self.box.held = None
        held[0][0].callback(None)
        self.world.settle()
        self.assertEqual((held[0][1], self.box.taken), ([1, 2], [3, 4]))

    def test_what_fails_is_tried_again_later_each_time_and_nothing_overtakes_it(self) -> None:
        self.box.failing = True
        self.write(2)
        self.write(2)
        self.assertEqual((self.box.asked, self.runner.failed), (1, "nobody is there"))
        self.world.settle(FIRST_RETRY_S * 3 + 0.5)
        self.assertEqual((self.box.asked, self.runner.counters.failures), (3, 3))
        self.box.failing = False
        self.world.clock.pump([LAST_RETRY_S])
        self.world.settle()
        self.assertEqual((self.box.taken, self.runner.failed), ([1, 2, 3, 4], None))
        self.assertEqual(self.runner.counters.delivered, 4)

    def test_the_place_moves_on_past_what_is_not_wanted(self) -> None:
        self.box.wanted = Filter.of(["block"])
        self.write(700)
        self.assertEqual((self.box.asked, self.runner.sequence), (0, 700))
        self.crash()
        self.assertEqual(self.runner.sequence, 700)

    def test_a_stop_leaves_no_call_and_closes_the_sink(self) -> None:
        self.box.held = []
        self.write(1)
        done: list[Any] = []
        Deferred.fromCoroutine(self.runner.stop()).addCallback(done.append)
        self.assertEqual((done, self.box.closed), ([None], True))
        self.write(1)
        self.assertEqual(self.box.asked, 1)


class Overtaken(SinkCase):
    def test_a_sink_whom_the_log_has_overtaken_is_told_what_it_lost(self) -> None:
        self.box.failing = True
        self.write(2)
        self.world.bounds = Bounds(5, 1 << 30, 0)
        self.crash()
        self.write(20)
        self.box.failing = False
        self.world.settle(10)
        self.assertEqual(self.box.missed, [(1, 17)])
        self.assertEqual((self.box.taken, self.runner.counters.lost), ([18, 19, 20, 21, 22], 17))
