"""The events in an RPC process: read from the log on disk, woken over the link by the process that writes it."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.task import deferLater
from twisted.logger import Logger

from timed.errors import StoreError
from timed.feed.cursor import OLDEST
from timed.feed.feed import KEYS, Feed, bounds_of, make_feed, regulate
from timed.feed.log import FeedLog
from timed.rpc.caller import Caller
from timed.rpc.chainlink import ChainLink
from timed.rpc.errors import RpcError
from timed.rpc.method import READ
from timed.store.environment import DATA_FILE

if TYPE_CHECKING:
    from timed.app.context import Context
    from timed.app.watchdog import Watchdog

WAIT_S = 60
"""One question for something newer."""
LOOK_S = WAIT_S + 60.0
"""A look and the question after it that take longer are stuck."""
AWAY_S = 1.0
"""Between two looks at the log while the chain process cannot be asked."""
ASKS = Caller("feed", permissions=frozenset({READ}))

FileId = tuple[int, int]


class FeedFollower:
    """Keeps a `Feed` up to the log that another process writes. After `stop` no file or call is left."""

    _log_of_events = Logger()

    def __init__(self, context: Context, link: ChainLink) -> None:
        self._path = str(context.datadir.events)
        self._genesis_hash = context.genesis.hash
        settings = context.config.settings.feed
        self._bounds = bounds_of(settings)
        self._link = link
        self._live = context.live
        self._unsubscribe: Callable[[], None] | None = None
        self._reactor: Any = context.reactor
        self._log: FeedLog | None = None
        self._file: FileId | None = None
        self._failed: str | None = None
        self._loop: Deferred[None] | None = None
        self._number = 0
        """Of the loop that runs; one of another number ends where it is."""
        self.looks = 0
        self.feed: Feed = make_feed(
            settings, context.params, lambda: self._log, context.reactor, context.monotonic
        )
        self.feed.failure = lambda: self._failed

    def start(self) -> None:
        self._unsubscribe = self._live.subscribe(KEYS, partial(regulate, self.feed.hub))
        self._begin()

    def watch(self, loops: Watchdog) -> Callable[[], None]:
        """Enter its loop; what is returned ends that."""
        return loops.add(
            "events-followed", lambda: self.looks, LOOK_S, "Restart this process; it holds nothing.",
            restart=self.restart,
        )  # fmt: skip

    def restart(self) -> None:
        """Give up the question that is not answered, and begin with a look at the disk."""
        loop, self._loop = self._loop, None
        self._number += 1
        if loop is not None:
            loop.cancel()
        self._begin()

    def _begin(self) -> None:
        self._loop = ensureDeferred(self._follow(self._number))
        self._loop.addErrback(lambda failure: failure.trap(CancelledError))

    async def stop(self) -> None:
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        self.feed.hub.stop()
        loop, self._loop = self._loop, None
        self._number += 1
        if loop is not None:
            loop.cancel()
            await loop
        self._close()

    def refresh(self) -> None:
        """Show what has become durable; what is wrong with the log is kept as its failure."""
        try:
            self._open()
            self.feed.refresh()
        except StoreError as error:
            if str(error) != self._failed:
                self._log_of_events.warn("the event log is not read: {reason}", reason=str(error))
            self._failed = str(error)
        else:
            self._failed = None

    async def _follow(self, number: int) -> None:
        while number == self._number:
            try:
                await self._look(number)
            except CancelledError:
                raise
            except Exception as error:  # noqa: BLE001 - a bug of ours must not end it for good
                self._failed = f"internal error ({error})."
                self._log_of_events.failure("following the event log raised")
                await deferLater(self._reactor, AWAY_S)

    async def _look(self, number: int) -> None:
        """Show what is new, then wait for more."""
        self.looks += 1
        self.refresh()
        state = self.feed.window.state
        after = OLDEST if state is None else self.feed.window.ends.cursor(state.newest)
        try:
            await self._link.call("geteventcursor", {"after": after, "wait_s": WAIT_S}, ASKS)
        except RpcError:
            # Away, or another log than ours: the disk knows. A question that is given up ends so, too.
            if number == self._number:
                await deferLater(self._reactor, AWAY_S)

    def _open(self) -> None:
        """Open the log, and again when others stand in its place."""
        try:
            found = os.stat(os.path.join(self._path, DATA_FILE))
        except OSError as error:
            raise StoreError(
                f"{self._path} holds no event log.",
                "Set feed.enabled = yes for the chain process of this data directory.",
            ) from error
        file = (found.st_dev, found.st_ino)
        if self._log is None or file != self._file:
            self._close()
            self._log = FeedLog(self._path, self._genesis_hash, self._bounds)
            self._file = file

    def _close(self) -> None:
        log, self._log = self._log, None
        if log is not None:
            log.close()


def follow(context: Context, link: ChainLink, listener: Callable[[int], None]) -> FeedFollower | None:
    """None where the events are switched off."""
    if not context.config.settings.feed.enabled:
        return None
    follower = FeedFollower(context, link)
    follower.feed.hub.listeners.append(listener)
    return follower
