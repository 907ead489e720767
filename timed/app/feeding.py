"""The feed service: writes the events of a node on a thread of its own, beside the chain."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from random import SystemRandom

from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger

from timed.app.context import Context
from timed.app.registry import choose
from timed.app.watchdog import Watchdog
from timed.errors import ConfigError, LocalError, StoreError
from timed.feed.delivery import Delivery
from timed.feed.feed import KEYS, Feed, bounds_of, make_feed, regulate
from timed.feed.hub import LOOK_S
from timed.feed.log import MAX_POSITIONS, FeedLog
from timed.feed.records import Position
from timed.feed.scribe import Scribe
from timed.feed.telling import Teller
from timed.feed.writer import FeedWriter, UpTo, Written
from timed.interfaces import ISink, ISinkMaker
from timed.loops import Cause
from timed.rpc.backend import ChainBackend
from timed.rpc.worker import ThreadWorker, Worker

STEP_S = 60.0
"""A step that writes events and takes longer is stuck."""
SINK_S = 180.0
"""The same of one request of a sink, which has a deadline of its own."""


class FeedService(Service):
    """Keeps the event log while the chain service runs.

    After `stopService` has fired, every event that was told is durable, unless the
    disk failed, and no file, call, subscription or thread is left.
    """

    _log = Logger()

    def __init__(self, context: Context) -> None:
        self.setName("feed")
        self._context = context
        self._scribe: Scribe | None = None
        self._unsubscribe: Callable[[], None] | None = None
        self._worker: ThreadWorker | None = None
        self._unwatch: list[Callable[[], None]] = []
        self._end_reload: Callable[[], None] = nothing

    def startService(self) -> None:
        super().startService()
        context, settings = self._context, self._context.config.settings.feed
        if context.running is None or not settings.enabled:
            return
        sinks = make_sinks(context)
        writer = FeedWriter(lambda: open_log(context), context.store, context.genesis)
        feed = make_feed(settings, context.params, lambda: writer.log, context.reactor, context.monotonic)
        backend = ChainBackend(context.driver, context.store)
        teller = Teller(backend)
        scribe = Scribe(writer, feed, teller, context.reactor, context.monotonic, self._in_thread)
        self._worker = worker = ThreadWorker(context.reactor, "timed-feed")
        feed.tell, feed.scribe = scribe.put, scribe
        feed.failure = lambda: scribe.failed
        self._scribe, context.feed = scribe, feed
        self._unsubscribe = context.live.subscribe(KEYS, partial(regulate, feed.hub))
        self._open(writer, feed)
        self._start_sinks(sinks, writer, feed, scribe)
        self._watch(feed, scribe, worker)
        context.driver.add_sink(scribe)
        scribe.put(UpTo(backend.tip().height, context.clock()))
        for transaction in backend.mempool:
            status = backend.status(transaction.txid)
            final = status is not None and status.final
            for draft in teller.standing(transaction, final, backend.next_height(), context.clock()):
                scribe.put(draft)

    def stopService(self) -> Deferred[None]:
        super().stopService()
        feed, self._context.feed = self._context.feed, None
        scribe, self._scribe = self._scribe, None
        if feed is None or scribe is None:
            return succeed(None)
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        return Deferred.fromCoroutine(self._stop(feed, scribe))

    def _watch(self, feed: Feed, scribe: Scribe, worker: ThreadWorker) -> None:
        """Enter the loops of this service."""
        loops = self._context.loops
        self._unwatch.append(watch_scribe(loops, scribe, worker))
        self._unwatch.append(
            loops.add(
                "subscriptions", lambda: feed.hub.looks, 30 * LOOK_S,
                "Restart the rpc service's process; nobody loses an event.",
                restart=feed.hub.restart, owes=lambda: len(feed.hub) > 0, cause=lambda: Cause.DIED,
            )
        )  # fmt: skip
        for delivery in feed.sinks:
            self._unwatch.append(
                loops.add(
                    f"sink {delivery.sink.name}", partial(_turns, delivery), SINK_S,
                    "getsubscriptions shows it; mend its receiver, then timed-cli reload.",
                    restart=delivery.restart, owes=partial(_owes, delivery),
                )
            )  # fmt: skip

    async def _stop(self, feed: Feed, scribe: Scribe) -> None:
        unwatch, self._unwatch = self._unwatch, []
        for end in unwatch:
            end()
        feed.hub.stop()
        self._end_reload()
        self._end_reload = nothing
        for delivery in feed.sinks:
            await delivery.stop()
        await scribe.stop()
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.stop()

    def _start_sinks(self, sinks: Sequence[ISink], writer: FeedWriter, feed: Feed, scribe: Scribe) -> None:
        """Each goes on where it was; sinks wait while the log does not open."""

        def known(sink: str) -> Position | None:
            if writer.log is None:
                raise StoreError("the event log is not open.", "Ask again in a moment.")
            return writer.log.position(sink)

        if sinks and writer.log is not None:
            forgotten = writer.log.forget_positions([sink.name for sink in sinks])
            if forgotten:
                self._log.info("the places of {count} sinks of earlier days are forgotten", count=forgotten)
        context = self._context
        feed.sinks = [
            Delivery(
                sink, feed.window, known, scribe.save, context.reactor.callLater, context.monotonic,
                SystemRandom().random,
            )
            for sink in sinks
        ]  # fmt: skip
        if sinks:
            self._end_reload = context.reloads.add("sinks", partial(_reload, feed.sinks))
        for delivery in feed.sinks:
            feed.hub.listeners.append(delivery.woken)
            delivery.start()

    def _open(self, writer: FeedWriter, feed: Feed) -> None:
        """A log that cannot be opened is no reason not to run: it is tried again with the first event."""
        try:
            replaced = writer.open()
        except StoreError as error:
            self._log.error("the event log does not open: {reason}", reason=str(error))
            return
        if replaced is not None:
            self._log.warn("a new event log begins: {reason}", reason=replaced)
        if writer.log is not None:
            feed.added((), writer.log.state())

    def _in_thread(self, step: Callable[[], Written]) -> Deferred[Written]:
        if self._worker is None:
            return fail(LocalError("the feed service does not run."))
        return self._worker.run(step)


def watch_scribe(loops: Watchdog, scribe: Scribe, worker: Worker) -> Callable[[], None]:
    """Enter the loop that writes events; what is returned ends that."""
    return loops.add(
        "events", lambda: scribe.steps.answered, STEP_S,
        "Look at the disk (dmesg, iostat -x 1), then restart the node: blocks and final payments are told again.",
        restart=scribe.steps.restart, owes=lambda: scribe.owes,
        cause=lambda: Cause.THREAD if worker.inside else scribe.steps.cause,
    )  # fmt: skip


def _turns(delivery: Delivery) -> int:
    return delivery.turns


def _owes(delivery: Delivery) -> bool:
    return delivery.owes


def nothing() -> None:
    """Where no sink can be reloaded."""


def _reload(sinks: Sequence[Delivery]) -> str:
    """Read what they need again, and have each try at once."""
    for delivery in sinks:
        delivery.sink.reload()
    for delivery in sinks:
        delivery.hurry()
    return f"{len(sinks)} sinks, asked again now"


def make_sinks(context: Context) -> list[ISink]:
    """The sinks of the kinds in feed.sinks; ConfigError, also when there are too many or two of one name."""
    sinks: list[ISink] = []
    for kind in context.config.settings.feed.sinks:
        sinks.extend(choose(ISinkMaker, kind, "feed.sinks").make(context))
    known = {sink.name for sink in sinks}
    if len(known) < len(sinks):
        raise ConfigError("two event sinks have one name.", "Remove the one that is there twice.")
    if len(known) > MAX_POSITIONS:
        raise ConfigError(f"there are {len(known)} event sinks, more than {MAX_POSITIONS}.")
    return sinks


def open_log(context: Context) -> FeedLog:
    """The event log of the data directory, to be written."""
    bounds = bounds_of(context.config.settings.feed)
    return FeedLog(str(context.datadir.events), context.genesis.hash, bounds, os.urandom)


def make_service(context: Context) -> FeedService:
    """`IServiceMaker.make` of the feed service."""
    return FeedService(context)
