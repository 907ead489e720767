"""The store thread's queue: order, group commit, failure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from timed.app.storequeue import COMMIT, LOG, QUEUE_FULL, StoreQueue
from timed.errors import StoreError
from timed.events import CommitBlock, Persist
from timed.interfaces import BlockCommit


class HeldThreads:
    """A pool whose thread runs when the test says so."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], object]] = []

    def callInThread(self, func: Callable[..., object], *args: object) -> None:
        self.calls.append(lambda: func(*args))

    def run(self) -> None:
        calls, self.calls = self.calls, []
        for call in calls:
            call()


class RecordingStore:
    """Remembers what became durable; fails when told to."""

    def __init__(self) -> None:
        self.durable: list[object] = []
        self.fail: BaseException | None = None

    def append(self, records: Sequence[bytes]) -> None:
        if self.fail is not None:
            raise self.fail
        self.durable.append(list(records))

    def commit(self, commit: BlockCommit) -> None:
        if self.fail is not None:
            raise self.fail
        self.durable.append(commit.height)


def block(height: int) -> BlockCommit:
    return BlockCommit(
        height=height, block_hash=b"h" * 32, block=b"b" * 100, certificate=b"c",
        txids=(), created=(), spent=(), digests=(),
    )  # fmt: skip


class Queueing(SynchronousTestCase):
    def setUp(self) -> None:
        self.threads = HeldThreads()
        self.store = RecordingStore()
        self.outcomes: list[tuple[int, str]] = []
        self.queue = StoreQueue(
            self.store,
            self.threads,
            lambda function, *args: function(*args),
            lambda token: self.outcomes.append((token, "")),
            lambda token, reason: self.outcomes.append((token, reason)),
            max_bytes=1000,
        )

    def test_what_waits_together_is_one_append(self) -> None:
        for token in range(3):
            self.queue.put(Persist(token, (b"r%d" % token,)))
        self.assertEqual(len(self.threads.calls), 1, "one thread at a time is at work")
        self.threads.run()
        self.assertEqual(self.store.durable, [[b"r0", b"r1", b"r2"]])
        self.assertEqual(self.outcomes, [(0, ""), (1, ""), (2, "")])
        self.assertEqual((self.queue.counters.groups, self.queue.counters.records), (1, 3))

    def test_a_commit_stands_between_the_appends_before_and_after_it(self) -> None:
        self.queue.put(Persist(1, (b"a",)))
        self.queue.put(CommitBlock(2, block(7)))
        self.queue.put(Persist(3, (b"b",)))
        self.threads.run()
        self.assertEqual(self.store.durable, [[b"a"], 7, [b"b"]])
        self.assertEqual([token for token, _ in self.outcomes], [1, 2, 3])

    def test_steps_are_counted_and_timed_by_kind(self) -> None:
        clock = Clock()
        self.queue._monotonic = clock.seconds
        for name, seconds in (("append", 0.25), ("commit", 2.0)):
            write = getattr(self.store, name)
            self.patch(self.store, name, lambda job, write=write, s=seconds: (clock.advance(s), write(job)))
        self.queue.put(Persist(1, (b"a", b"b")))
        self.queue.put(CommitBlock(2, block(7)))
        self.queue.put(Persist(3, (b"c",)))
        self.assertEqual(self.queue.counters.waiting_bytes, 2 + 101 + 1)
        self.threads.run()
        counters = self.queue.counters
        self.assertEqual((counters.records, counters.commits, counters.groups), (3, 1, 3))
        self.assertEqual(
            {kind: (spent.count, spent.sum) for kind, spent in counters.durations.items()},
            {LOG: (2, 0.5), COMMIT: (1, 2.0)},
        )

    def test_nothing_is_reported_before_it_is_durable(self) -> None:
        self.queue.put(Persist(1, (b"a",)))
        self.assertEqual(self.outcomes, [])
        self.assertEqual(self.queue.counters.waiting_jobs, 1)

    def test_without_a_thread_to_write_on_it_fails_as_with_a_broken_disk(self) -> None:
        """The system may refuse one; whoever waits is told, and nothing waits for ever."""
        self.patch(self.threads, "callInThread", self.refuse)
        self.queue.put(Persist(1, (b"a",)))
        self.queue.put(Persist(2, (b"b",)))
        self.assertEqual(
            self.outcomes, [(token, "no thread to write on: can't start new thread") for token in (1, 2)]
        )
        self.assertEqual((self.store.durable, self.queue.counters.waiting_jobs), ([], 0))
        self.successResultOf(self.queue.drained())

    def test_after_a_failure_nothing_is_written_any_more(self) -> None:
        """A later record must not be durable when an earlier one is not `[13]` `[16]`."""
        self.store.fail = StoreError("the disk is full")
        self.queue.put(Persist(1, (b"a",)))
        self.threads.run()
        self.store.fail = None
        self.queue.put(Persist(2, (b"b",)))
        self.threads.run()
        self.assertEqual(self.store.durable, [])
        self.assertEqual(self.outcomes, [(1, "the disk is full"), (2, "the disk is full")])

    def test_the_first_failure_is_the_one_that_is_named_and_logged_once(self) -> None:
        self.store.fail = StoreError("the disk is full")
        self.queue.put(Persist(1, (b"a",)))
        with capturedLogs() as logged:
            self.threads.run()
            self.queue.put(Persist(2, (bytes(2_000),)))
            self.threads.run()
            self.patch(self.threads, "callInThread", self.refuse)
            self.queue.put(Persist(3, (b"b",)))
        self.assertEqual(self.outcomes, [(token, "the disk is full") for token in (1, 2, 3)])
        self.assertEqual([event["reason"] for event in logged], ["the disk is full"])
        self.assertEqual((self.queue.counters.failures, self.queue.counters.refused), (3, 0))

    def refuse(self, func: Callable[..., object], *args: object) -> None:
        raise RuntimeError("can't start new thread")

    def test_a_failure_without_a_word_is_one(self) -> None:
        self.store.fail = StoreError("")
        self.queue.put(Persist(1, (b"a",)))
        self.threads.run()
        self.store.fail = None
        self.queue.put(Persist(2, (b"b",)))
        self.threads.run()
        self.assertEqual(self.store.durable, [])
        self.assertEqual(self.outcomes, [(1, "StoreError"), (2, "StoreError")])

    def test_a_bug_in_the_store_is_a_failure_and_not_a_dead_thread(self) -> None:
        """Also one that is no Exception: a thread that ended so would leave all later ones waiting."""
        for bug in (RuntimeError("bug"), SystemExit("bug")):
            self.setUp()
            self.store.fail = bug
            self.queue.put(Persist(1, (b"a",)))
            self.threads.run()
            self.assertEqual(self.outcomes, [(1, f"{type(bug).__name__}: bug")])
            self.assertEqual(len(self.flushLoggedErrors(type(bug))), 1)

    def test_more_than_the_bound_counts_as_a_failing_disk(self) -> None:
        self.queue.put(Persist(1, (bytes(999),)))
        self.queue.put(Persist(2, (bytes(2),)))
        self.threads.run()
        self.assertEqual(self.queue.counters.refused, 1)
        self.assertEqual(self.outcomes, [(1, QUEUE_FULL), (2, QUEUE_FULL)])
        self.assertEqual(self.queue.counters.waiting_bytes, 0)

    def test_drained_fires_after_the_last_outcome(self) -> None:
        self.successResultOf(self.queue.drained())
        self.queue.put(Persist(1, (b"a",)))
        waiting = self.queue.drained()
        self.assertNoResult(waiting)
        self.threads.run()
        self.successResultOf(waiting)
        self.assertEqual(self.outcomes, [(1, "")])
