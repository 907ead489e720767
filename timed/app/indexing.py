"""The index service: builds the indexes on a thread of its own, beside the chain.

A block that is certified wakes it; what it indexes comes from the store. A failure
of one index is logged, shown by `getindexinfo` and tried again; neither the others
nor the node stop for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from timed.app.context import Context
from timed.app.watchdog import Watchdog
from timed.errors import LocalError, StoreError
from timed.events import BlockCertified
from timed.index.builder import IndexBuilder, Step
from timed.index.reader import IndexReader
from timed.index.status import IndexStatus, ReadIndexes, file_size
from timed.index.tables import INDEXES
from timed.interfaces import IEventSink
from timed.loops import Cause, Steps
from timed.rpc.worker import ThreadWorker, Worker

REST_SHARE = 1.0
"""Seconds of rest for each second of building: the interpreter is shared with the node."""
RETRY_S = 60.0
"""After a failure; a disk may have room again."""
STEP_S = 300.0
"""A step, its rest included, that takes longer is stuck."""
SAY_EVERY_S = 60.0
"""Between two lines of progress of one index."""


@attrs.define
class Work:
    """One index that is being built, on the reactor's side."""

    builder: IndexBuilder
    wanted: bool = True
    """There may be blocks that it has not seen."""
    woken: bool = False
    """A block came while its step was under way, which may have begun too early to see it."""
    height: int = -1
    target: int = -1
    failed: str | None = None
    begun: float = 0.0
    blocks: int = 0
    """Indexed since `begun`."""
    said: float = 0.0
    catching_up: bool = False


@implementer(IEventSink)
class Indexer:
    """Gives each builder its turn on the thread; the one that is behind most goes first."""

    name = "index"
    hears = frozenset({BlockCertified})
    _log = Logger()

    def __init__(
        self,
        builders: Sequence[IndexBuilder],
        reactor: Any,
        monotonic: Callable[[], float],
        in_thread: Callable[[Callable[[], Step]], Deferred[Step]],
    ) -> None:
        """`in_thread` calls a function on the one thread that builds."""
        self._works = {builder.index.name: Work(builder) for builder in builders}
        self._reactor = reactor
        self._monotonic = monotonic
        self.steps = Steps(reactor, in_thread, self._begin)
        self._retry_call: IDelayedCall | None = None
        self._stopped: Deferred[None] | None = None

    def start(self) -> None:
        self.steps.after(0)

    def stop(self) -> Deferred[None]:
        """Fires when the batch under way is durable and every file is closed."""
        stopped: Deferred[None] = Deferred()
        self._stopped = stopped
        stopped.addCallback(self._release)
        self.steps.stop()
        if self._retry_call is not None and self._retry_call.active():
            self._retry_call.cancel()
        if not self.steps.busy:
            stopped.callback(None)
        return stopped

    @property
    def owes(self) -> bool:
        """A step is under way or wanted; an index that waits to be tried again owes nothing."""
        return self.steps.busy or any(
            work.wanted or (work.failed is not None and not self._retry_set) for work in self._works.values()
        )

    @property
    def _retry_set(self) -> bool:
        return self._retry_call is not None and self._retry_call.active()

    def restart(self) -> None:
        """Give up what is under way, and try all of them."""
        for work in self._works.values():
            work.wanted = True
        self.steps.restart()

    def published(self, event: object, now_us: int) -> None:
        """`IEventSink.published`: a wake, nothing more."""
        if isinstance(event, BlockCertified):
            for work in self._works.values():
                if work.failed is None:
                    work.wanted = work.woken = True
            self.steps.after(0)

    def sharpen(self, status: IndexStatus) -> IndexStatus:
        """The status with what only this side knows."""
        work = self._works.get(status.name)
        if work is None:
            return status
        spent = self._monotonic() - work.begun
        rate = int(work.blocks / spent) if work.catching_up and spent > 0 else None
        return attrs.evolve(status, blocks_per_second=rate, error=work.failed or status.error)

    def _release(self, result: None) -> None:
        for work in self._works.values():
            work.builder.close()

    def _begin(self) -> None:
        """One step, of the index that is behind most."""
        works = [work for work in self._works.values() if work.wanted]
        if not works:
            return
        work = min(works, key=lambda work: work.height)
        work.woken = False
        started = self._monotonic()
        if not work.catching_up:
            work.begun, work.blocks = started, 0
        step = self.steps.run(work.builder.step)
        step.addCallbacks(self._stepped, self._failed, (work, started), errbackArgs=(work,))

    def _stepped(self, step: Step, work: Work, started: float) -> None:
        now = self._monotonic()
        name = work.builder.index.name
        if step.rebuilt is not None:
            self._log.warn("the index {name} is built again: {reason}", name=name, reason=step.rebuilt)
        if work.failed is not None:
            self._log.info("the index {name} goes on", name=name)
        work.failed, work.height, work.target = None, step.height, step.target
        work.blocks += step.blocks
        work.wanted = work.woken or not step.done
        if step.done:
            if work.catching_up:
                self._log.info(
                    "the index {name} is complete at block {height}", name=name, height=step.height
                )
            work.catching_up = False
        else:
            self._say(work, step, now)
            work.catching_up = True
        self._next((now - started) * REST_SHARE if not step.done else 0.0)

    def _say(self, work: Work, step: Step, now: float) -> None:
        if work.catching_up and now - work.said < SAY_EVERY_S:
            return
        work.said = now
        self._log.info(
            "the index {name} is at block {height} of {target}",
            name=work.builder.index.name,
            height=step.height,
            target=step.target,
        )

    def _failed(self, failure: Failure, work: Work) -> None:
        """The disk, damage, or a bug of ours; the file is opened anew for the next try."""
        known = failure.check(StoreError) is not None
        reason = str(failure.value) if known else f"internal error ({failure.getErrorMessage()})."
        name = work.builder.index.name
        if not known:
            self._log.failure("building the index {name} raised", failure, name=name)
        elif reason != work.failed:
            self._log.error("the index {name} does not go on: {reason}", name=name, reason=reason)
        work.failed, work.wanted, work.catching_up = reason, False, False
        work.builder.close()
        self._next(0.0)

    def _next(self, rest: float) -> None:
        if self._stopped is not None:
            self._stopped.callback(None)
            return
        if any(work.wanted for work in self._works.values()):
            self.steps.after(rest)
        failed = any(work.failed is not None and not work.wanted for work in self._works.values())
        if failed and not self._retry_set:
            self._retry_call = self._reactor.callLater(RETRY_S, self._retry)

    def _retry(self) -> None:
        self._retry_call = None
        for work in self._works.values():
            work.wanted = True
        self.steps.after(0)


def watch_indexes(loops: Watchdog, indexer: Indexer, worker: Worker) -> Callable[[], None]:
    """Enter the loop that builds the indexes; what is returned ends that."""
    return loops.add(
        "indexes", lambda: indexer.steps.answered, STEP_S,
        "Look at the disk (dmesg, iostat -x 1), then restart the node: an index goes on where it was.",
        restart=indexer.restart, owes=lambda: indexer.owes,
        cause=lambda: Cause.THREAD if worker.inside else indexer.steps.cause,
    )  # fmt: skip


class IndexService(Service):
    """Builds what the configuration asks for, while the chain service runs.

    After `stopService` has fired, every batch that was begun is durable and no
    file, call or thread is left.
    """

    _log = Logger()

    def __init__(self, context: Context) -> None:
        self.setName("index")
        self._context = context
        self._indexer: Indexer | None = None
        self._worker: ThreadWorker | None = None
        self._unwatch: Callable[[], None] | None = None

    def startService(self) -> None:
        super().startService()
        context = self._context
        if context.running is None:
            return
        enabled = context.config.settings.index.names
        directory = str(context.datadir.index)
        self._say_what_stays(directory, enabled)
        store = context.store
        builders = {
            name: IndexBuilder(INDEXES[name], store, f"{directory}/{name}", context.genesis.hash)
            for name in enabled
        }
        shared = {name: _opened(builder) for name, builder in builders.items()}
        self._indexer = indexer = Indexer(
            tuple(builders.values()), context.reactor, context.monotonic, self._in_thread
        )
        reader = IndexReader(directory, context.genesis.hash, enabled, shared)
        context.indexes = ReadIndexes(directory, store, reader, indexer.sharpen)
        if builders:
            self._worker = worker = ThreadWorker(context.reactor, "timed-index")
            self._unwatch = watch_indexes(context.loops, indexer, worker)
            context.driver.add_sink(indexer)
            indexer.start()

    def stopService(self) -> Deferred[None]:
        super().stopService()
        self._context.indexes = None
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None
        indexer, self._indexer = self._indexer, None
        if indexer is None:
            return succeed(None)
        return indexer.stop().addCallback(self._end_thread)

    def _end_thread(self, result: None) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.stop()

    def _in_thread(self, step: Callable[[], Step]) -> Deferred[Step]:
        if self._worker is None:
            return fail(LocalError("the index service does not run."))
        return self._worker.run(step)

    def _say_what_stays(self, directory: str, enabled: tuple[str, ...]) -> None:
        for name in INDEXES:
            size = file_size(directory, name)
            if name not in enabled and size:
                self._log.info(
                    "the index {name} is off; its {size} bytes stay in {path}: switch it on and it goes on, "
                    "or remove the directory",
                    name=name,
                    size=size,
                    path=f"{directory}/{name}",
                )


def _opened(builder: IndexBuilder) -> Callable[[], Any]:
    return lambda: builder.database


def make_service(context: Context) -> IndexService:
    """`IServiceMaker.make` of the index service."""
    return IndexService(context)
