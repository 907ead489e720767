"""The one thread that writes: first in, first out, with group commit.

What waits while one write is under way becomes the next group: consecutive
`Persist` actions are one append, which takes one fsync for tens of thousands of records.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from threading import Lock
from typing import Protocol, Union

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from timed.errors import StoreError
from timed.events import CommitBlock, Persist
from timed.interfaces import IStore
from timed.monitor.histogram import Histogram

Job = Union[Persist, CommitBlock]

QUEUE_FULL = "store-queue-full"
LOG, COMMIT = "log", "commit"


class Threads(Protocol):
    """What the queue needs of a `timed.crew.Crew`."""

    def callInThread(self, func: Callable[..., object], *args: object) -> None:  # noqa: N802
        """Run `func` on one of the threads."""


@attrs.define
class StoreCounters:
    """Counted on the reactor thread; `waiting_bytes` is a gauge."""

    records: int = 0
    groups: int = 0
    commits: int = 0
    failures: int = 0
    refused: int = 0
    waiting_bytes: int = 0
    waiting_jobs: int = 0
    durations: dict[str, Histogram] = attrs.field(factory=lambda: {LOG: Histogram(), COMMIT: Histogram()})
    """Seconds of each durable step, by kind, its fsync included."""


def size_of(job: Job) -> int:
    """Bytes a job holds in memory while it waits."""
    if isinstance(job, Persist):
        return sum(len(record) for record in job.records)
    return len(job.commit.block) + len(job.commit.certificate)


def groups(jobs: Sequence[Job]) -> Iterator[tuple[Job, ...]]:
    """Split into what is one durable step each: runs of Persist, single commits."""
    run: list[Job] = []
    for job in jobs:
        if isinstance(job, Persist):
            run.append(job)
            continue
        if run:
            yield tuple(run)
            run = []
        yield (job,)
    if run:
        yield tuple(run)


class StoreQueue:
    """Hands jobs to the store thread and their outcomes back to the reactor.

    `done(token)` and `failed(token, reason)` are called on the reactor thread, in
    the order of the jobs. After one failure nothing more is written: a later
    record must never be durable when an earlier one is not, so every later job
    fails, too, until the process starts again on a working disk.
    """

    _log = Logger()

    def __init__(
        self,
        store: IStore,
        threads: Threads,
        from_thread: Callable[..., object],
        done: Callable[[int], None],
        failed: Callable[[int, str], None],
        max_bytes: int,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._monotonic = monotonic
        self.counters = StoreCounters()
        self.max_bytes = max_bytes
        self.broken = ""
        self._store = store
        self._threads = threads
        self._from_thread = from_thread
        self._done = done
        self._failed = failed
        self._jobs: deque[Job] = deque()
        self._lock = Lock()
        self._working = False
        self._idle: list[Deferred[None]] = []

    def put(self, job: Job) -> None:
        """Queue one job. A full queue counts as a failing disk."""
        size = size_of(job)
        if not self.broken and self.counters.waiting_bytes + size > self.max_bytes:
            self.counters.refused += 1
            self.broken = QUEUE_FULL
        self.counters.waiting_bytes += size
        self.counters.waiting_jobs += 1
        with self._lock:
            self._jobs.append(job)
            start = not self._working
            self._working = True
        if start:
            self._begin()

    def _begin(self) -> None:
        try:
            self._threads.callInThread(self._work)
        except RuntimeError as error:
            self.broken = self.broken or f"no thread to write on: {error}"
            self._work()

    def drained(self) -> Deferred[None]:
        """Fires once every job handed over so far has its outcome."""
        if self.counters.waiting_jobs == 0:
            return succeed(None)
        waiting: Deferred[None] = Deferred()
        self._idle.append(waiting)
        return waiting

    def _work(self) -> None:
        """On the store thread, or where there is none, with nothing written: until the queue is empty."""
        while True:
            with self._lock:
                jobs = tuple(self._jobs)
                self._jobs.clear()
                if not jobs:
                    self._working = False
                    return
            for group in groups(jobs):
                begun = self._monotonic()
                reason = self.broken or self._write(group)
                self._from_thread(self._finished, group, reason, self._monotonic() - begun)

    def _write(self, group: tuple[Job, ...]) -> str:
        """On the store thread: one durable step; the reason when it failed."""
        try:
            first = group[0]
            if isinstance(first, CommitBlock):
                self._store.commit(first.commit)
            else:
                self._store.append(
                    [record for job in group if isinstance(job, Persist) for record in job.records]
                )
        except StoreError as error:
            self.broken = str(error) or type(error).__name__
        except BaseException as error:  # noqa: BLE001 - whatever it was, it is not durable
            self._log.failure("the store raised what it should not")
            self.broken = f"{type(error).__name__}: {error}"
        return self.broken

    def _finished(self, group: tuple[Job, ...], reason: str, elapsed_s: float) -> None:
        counters = self.counters
        for job in group:
            counters.waiting_jobs -= 1
            counters.waiting_bytes -= size_of(job)
        if reason:
            if not counters.failures:
                self._log.critical("the store failed, nothing is written any more: {reason}", reason=reason)
            for job in group:
                counters.failures += 1
                self._failed(job.token, reason)
        else:
            self._count(group, elapsed_s)
            for job in group:
                self._done(job.token)
        if counters.waiting_jobs == 0:
            idle, self._idle = self._idle, []
            for waiting in idle:
                waiting.callback(None)

    def _count(self, group: tuple[Job, ...], elapsed_s: float) -> None:
        self.counters.groups += 1
        self.counters.durations[COMMIT if isinstance(group[0], CommitBlock) else LOG].observe(elapsed_s)
        for job in group:
            if isinstance(job, Persist):
                self.counters.records += len(job.records)
            else:
                self.counters.commits += 1
