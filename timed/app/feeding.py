"""The feed service: writes the events of a node on a thread of its own, beside the chain."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial

from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.threadpool import ThreadPool

from timed.app.config import Config
from timed.app.context import Context
from timed.app.schema import FeedSection
from timed.errors import LocalError, StoreError
from timed.feed.event import Presenter
from timed.feed.feed import Feed
from timed.feed.hub import Hub, Limits
from timed.feed.log import Bounds, FeedLog
from timed.feed.scribe import Scribe
from timed.feed.telling import Teller
from timed.feed.window import Window
from timed.feed.writer import FeedWriter, UpTo, Written
from timed.rpc.backend import ChainBackend

KEYS = ("feed.max_subscribers", "feed.max_per_client", "feed.waiting_bytes")
"""What the hub follows while it runs."""


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
        self._pool: ThreadPool | None = None

    def startService(self) -> None:
        super().startService()
        context, settings = self._context, self._context.config.settings.feed
        if context.running is None or not settings.enabled:
            return
        writer = FeedWriter(lambda: open_log(context), context.store, context.genesis)
        feed = make_feed(context, lambda: writer.log)
        backend = ChainBackend(context.driver, context.store)
        teller = Teller(backend)
        scribe = Scribe(writer, feed, teller, context.reactor, context.monotonic, self._in_thread)
        self._pool = ThreadPool(minthreads=0, maxthreads=1, name="timed-feed")
        self._pool.start()
        feed.tell, feed.scribe = scribe.put, scribe
        feed.failure = lambda: scribe.failed
        self._scribe, context.feed = scribe, feed
        self._unsubscribe = context.live.subscribe(KEYS, partial(_regulate, feed.hub))
        self._open(writer, feed)
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
        feed.hub.stop()
        return scribe.stop().addCallback(self._end_thread)

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

    def _end_thread(self, result: None) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.stop()

    def _in_thread(self, step: Callable[[], Written]) -> Deferred[Written]:
        if self._pool is None:
            return fail(LocalError("the feed service does not run."))
        return deferToThreadPool(self._context.reactor, self._pool, step)


def open_log(context: Context, *, readonly: bool = False) -> FeedLog:
    """The event log of the data directory."""
    entropy = None if readonly else os.urandom
    bounds = bounds_of(context.config.settings.feed)
    return FeedLog(str(context.datadir.events), context.genesis.hash, bounds, entropy)


def bounds_of(settings: FeedSection) -> Bounds:
    return Bounds(settings.max_events, settings.max_bytes, settings.max_age_s)


def limits_of(settings: FeedSection) -> Limits:
    return Limits(settings.max_subscribers, settings.max_per_client, settings.waiting_bytes)


def _regulate(hub: Hub, config: Config) -> None:
    """For who subscribes from now on, and for what waits from now on; who has subscribed stays."""
    hub.limits = limits_of(config.settings.feed)


def make_feed(context: Context, log: Callable[[], FeedLog | None]) -> Feed:
    """What reads `log` in this process."""
    settings = context.config.settings.feed
    window = Window(Presenter(context.params), log)
    return Feed(window, Hub(window, limits_of(settings), context.reactor.callLater, context.monotonic))


def make_service(context: Context) -> FeedService:
    """`IServiceMaker.make` of the feed service."""
    return FeedService(context)
