"""Sinks: who is handed the events batch by batch, from a place in the log that outlives the process."""

from __future__ import annotations

from typing import Any

import attrs
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from timed.errors import StoreError
from timed.feed.feed import Feed
from timed.feed.log import CursorLost, FeedLog
from timed.feed.window import Page
from timed.feed.writer import Kept

FIRST_RETRY_S, LAST_RETRY_S = 1.0, 300.0
"""After a failure, doubling."""


@attrs.define
class SinkCounters:
    """Since the start of the process."""

    delivered: int = 0
    failures: int = 0
    lost: int = 0
    """Events that made room before they were taken."""


class SinkRunner:
    """Hands one sink its batches. After `stop` no call is left."""

    _log = Logger()

    def __init__(self, sink: Any, feed: Feed, reactor: IReactorTime) -> None:
        """`sink` provides `timed.interfaces.IFeedSink`."""
        self.sink = sink
        self.counters = SinkCounters()
        self.failed: str | None = None
        """Why the last batch did not arrive; None when it did."""
        self.sequence = 0
        """The last event that it has taken."""
        self._feed = feed
        self._reactor = reactor
        self._retry_s = FIRST_RETRY_S
        self._call: IDelayedCall | None = None
        self._under_way: Deferred[Any] | None = None
        self._stopped = False

    def start(self, log: FeedLog) -> None:
        """Go on where the sink was; a new one begins at the newest event."""
        position = log.position(self.sink.name)
        newest = log.state().newest
        if position is None or position > newest:
            self._keep(newest)
        else:
            self.sequence = position
        self._feed.hub.listeners.append(self._woken)
        self._go_on_after(0)

    async def stop(self) -> None:
        """What is under way is given up, and comes again at the next start."""
        self._stopped = True
        if self._call is not None and self._call.active():
            self._call.cancel()
        if self._under_way is not None:
            self._under_way.cancel()
        await maybeDeferred(self.sink.close)

    def _woken(self, newest: int) -> None:
        if self.failed is None:
            self._go_on_after(0)

    def _go_on_after(self, seconds: float) -> None:
        if self._call is None and self._under_way is None and not self._stopped:
            self._call = self._reactor.callLater(seconds, self._go_on)

    def _go_on(self) -> None:
        self._call = None
        try:
            page = self._feed.window.page(self.sequence, self.sink.wanted)
        except CursorLost as error:
            self.counters.lost += error.last - error.first + 1
            self._log.warn(
                "the sink {name} has lost the events {first} to {last}",
                name=self.sink.name, first=error.first, last=error.last,
            )  # fmt: skip
            self.sink.lost(error.first, error.last)
            self._keep(error.last)
            self._go_on_after(0)
            return
        except StoreError as error:
            self._retry(str(error))
            return
        if page.end == self.sequence:
            return
        if not page.events:
            self._keep(page.end)
            self._go_on_after(0)
            return
        self._under_way = done = maybeDeferred(self.sink.deliver, page.events)
        done.addCallbacks(self._delivered, self._not_delivered, callbackArgs=(page,))

    def _delivered(self, result: object, page: Page) -> None:
        self._under_way = None
        self.counters.delivered += len(page.events)
        if self.failed is not None:
            self._log.info("the sink {name} goes on", name=self.sink.name)
        self.failed, self._retry_s = None, FIRST_RETRY_S
        self._keep(page.end)
        self._go_on_after(0)

    def _not_delivered(self, failure: Failure) -> None:
        self._under_way = None
        if self._stopped and isinstance(failure.value, CancelledError):
            return
        self.counters.failures += 1
        self._retry(failure.getErrorMessage())

    def _retry(self, reason: str) -> None:
        if self.failed is None:
            self._log.warn(
                "the sink {name} does not take events: {reason}; they are kept for it",
                name=self.sink.name, reason=reason,
            )  # fmt: skip
        self.failed = reason
        self._go_on_after(self._retry_s)
        self._retry_s = min(2 * self._retry_s, LAST_RETRY_S)

    def _keep(self, sequence: int) -> None:
        """Its place becomes durable with the next step of the log."""
        self.sequence = sequence
        self._feed.keep(Kept(self.sink.name, sequence))
