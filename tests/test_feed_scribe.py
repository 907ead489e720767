"""Durable before visible: what waits, what is shown, what is lost, and what happens when the disk fails."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.feed_world import FeedWorld, Listener, draft
from tests.index_world import LOCKS
from timed.errors import StoreError
from timed.feed import scribe as scribing
from timed.feed.event import CONFIRMED, GAP, Filter
from timed.feed.records import LockTouch
from timed.feed.scribe import RETRY_S
from timed.feed.writer import UpTo

DISK = StoreError("the disk is full.", "Free some space.")


class ScribeCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = FeedWorld(self.mktemp())
        self.addCleanup(self.world.close)
        self.listener = Listener()
        self.world.hub.subscribe(self.listener, ("test", ""), Filter(), "newest")

    def release(self) -> None:
        """The thread has done what it was given."""
        assert self.world.held is not None
        held, self.world.held = self.world.held, None
        for waiting, step in held:
            waiting.callback(step())


class Steps(ScribeCase):
    def test_nothing_is_shown_before_it_is_durable(self) -> None:
        self.world.held = []
        self.world.tell(draft())
        self.world.settle(1)
        self.assertEqual((self.listener.sequences, self.world.window.newest), ([], 0))
        self.release()
        self.world.settle()
        self.assertEqual(self.listener.sequences, [1])

    def test_what_comes_during_a_step_is_one_step_afterwards(self) -> None:
        self.world.held = []
        self.world.tell(draft())
        self.world.settle()
        for _ in range(50):
            self.world.tell(draft())
        self.release()
        self.world.settle()
        self.assertEqual(self.world.scribe.counters.steps, 2)
        self.assertEqual(self.listener.sequences, list(range(1, 52)))

    def test_events_of_one_moment_share_an_fsync(self) -> None:
        for _ in range(300):
            self.world.tell(draft())
        self.world.settle()
        self.assertEqual((self.world.scribe.counters.steps, self.world.scribe.counters.written), (1, 300))

    def test_stopping_writes_what_waits(self) -> None:
        self.world.tell(draft(), draft())
        done: list[Any] = []
        self.world.scribe.stop().addCallback(done.append)
        self.assertEqual(done, [None])
        self.world.tell(draft())
        self.world.begin()
        self.assertEqual(len(self.world.stored()), 2)


class Failures(ScribeCase):
    def test_a_full_queue_loses_the_newest_and_a_gap_counts_them(self) -> None:
        self.patch(scribing, "MAX_WAITING", 3)
        self.world.tell(*[draft() for _ in range(8)])
        self.world.settle()
        self.world.tell(draft())
        self.world.settle()
        self.assertEqual(self.world.kinds(), [*["peer.connected"] * 3, GAP, "peer.connected"])
        self.assertEqual(self.world.data()[3], {"reason": "queue-full", "events": 5})
        self.assertEqual(self.world.scribe.counters.lost, 5)

    def test_blocks_are_never_lost_for_want_of_room(self) -> None:
        self.patch(scribing, "MAX_WAITING", 1)
        self.world.tell(draft())
        for _ in range(5):
            self.world.chain.grow([(0, 1)])
            self.world.scribe.put(UpTo(self.world.chain.height, 1))
        self.assertEqual(self.world.scribe.waiting, 2)
        self.world.settle()
        self.assertEqual(self.world.kinds().count("block"), 5)

    def test_what_is_known_of_their_payments_is_kept_within_a_bound(self) -> None:
        """A log that cannot be written for days costs no memory; the store has what is not kept."""
        self.patch(scribing, "MAX_KNOWN", 3)
        self.world.failing = DISK
        for number in range(5):
            commit = self.world.chain.extend()
            touches = {txid: (LockTouch(LOCKS[0], number, 0),) for txid in commit.txids}
            self.world.scribe.put(UpTo(commit.height, 1, touches))
            self.world.settle()
        (waiting,) = self.world.scribe._waiting
        assert isinstance(waiting, UpTo)
        self.assertEqual(len(waiting.touches), 3)
        self.world.failing = None
        self.world.settle(RETRY_S)
        told = [record.touches for _, record in self.world.stored() if record.type == CONFIRMED]
        self.assertEqual((len(told), all(told)), (5, True))

    def test_after_a_failure_all_of_it_is_tried_again_and_nothing_is_shown_meanwhile(self) -> None:
        self.world.failing = DISK
        self.world.tell(draft(), draft())
        self.world.settle()
        self.assertEqual(self.world.scribe.failed, "the disk is full. Free some space.")
        self.world.tell(draft())
        self.world.settle(RETRY_S / 2)
        self.assertEqual((self.world.scribe.counters.failures, self.listener.sequences), (1, []))
        self.world.failing = None
        self.world.settle(RETRY_S)
        self.assertEqual((self.world.scribe.failed, self.listener.sequences), (None, [1, 2, 3]))

    def test_a_node_stops_also_when_its_disk_fails(self) -> None:
        self.world.failing = DISK
        self.world.tell(draft())
        self.world.settle()
        done: list[Any] = []
        self.world.scribe.stop().addCallback(done.append)
        self.assertEqual(done, [None])

    def test_a_bug_is_logged_and_tried_again(self) -> None:
        self.world.failing = ZeroDivisionError("a bug")
        self.world.tell(draft())
        self.world.settle()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.world.failing = None
        self.world.settle(RETRY_S + 1)
        self.assertEqual(self.listener.sequences, [1])
