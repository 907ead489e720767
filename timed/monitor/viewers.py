"""Who looks at the dashboard: server-sent events, one picture a second for all of them.

A viewer that is slow misses pictures, never gets them late; one that does not read
for `PATIENCE_S` is cut. Nobody looking means that nothing runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import msgspec
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from timed.loops import Ticker
from timed.monitor.snapshot import Snapshots
from timed.rpc.site import BoundedRequest, begin_events

if TYPE_CHECKING:
    from timed.app.logging import LogLine, LogTail

EVERY_S = 1.0
MAX_VIEWERS = 16
"""Who comes when all places are taken is told to come again."""
KEPT = 4
"""Places that strangers do not get: for viewers on the node's own machine."""
PATIENCE_S = 15.0
"""A viewer whose connection takes nothing for so long is cut."""
RETRY_MS = 2_000
"""When a browser that lost its connection comes again."""


@implementer(IPushProducer)
class Viewer:
    """One open stream."""

    def __init__(self, request: BoundedRequest, *, private: bool, seconds: Callable[[], float]) -> None:
        self.request = request
        self.private = private
        self.next_line = 0
        """The log line that it has not been sent yet."""
        self._seconds = seconds
        self._full_since: float | None = None

    def full_for(self) -> float | None:
        """Seconds for which the connection has taken nothing; None while it takes."""
        return None if self._full_since is None else self._seconds() - self._full_since

    def pauseProducing(self) -> None:
        if self._full_since is None:
            self._full_since = self._seconds()

    def resumeProducing(self) -> None:
        self._full_since = None

    def stopProducing(self) -> None:
        self._full_since = None

    def cut(self) -> None:
        """End the connection, whatever is still to be written."""
        self.request.channel.transport.abortConnection()


class Viewers:
    """The open streams. After `stop` none is left, and no timer."""

    def __init__(self, reactor: IReactorTime, snapshots: Snapshots, tail: LogTail) -> None:
        self._reactor = reactor
        self._snapshots = snapshots
        self._tail = tail
        self._viewers: dict[Viewer, None] = {}
        self.ticker = Ticker(reactor, lambda: EVERY_S, self._tick)
        """Turns while somebody looks."""
        self.counters: Counter[str] = Counter()
        """Streams opened, closed, lost, refused (no place) and cut (not read), pictures skipped, and requests of
        foreign pages."""

    def __len__(self) -> int:
        return len(self._viewers)

    def add(self, request: BoundedRequest, *, private: bool) -> bool:
        """Begin a stream; False when all places that this viewer may have are taken."""
        if len(self._viewers) >= (MAX_VIEWERS if private else MAX_VIEWERS - KEPT):
            self.counters["refused"] += 1
            return False
        self.counters["opened"] += 1
        viewer = Viewer(request, private=private, seconds=self._reactor.seconds)
        self._viewers[viewer] = None
        request.notifyFinish().addBoth(self._gone, viewer)
        begin_events(request, viewer)
        request.write(b"retry: %d\n\n" % RETRY_MS)
        self._send(viewer)
        if not self.ticker.alive:
            self.ticker.start(at_once=False)
        return True

    def stop(self) -> None:
        """End every stream."""
        self.ticker.stop()
        for viewer in list(self._viewers):
            self._viewers.pop(viewer, None)
            viewer.request.unregisterProducer()
            viewer.request.finish()

    def _tick(self) -> None:
        if not self._viewers:
            self.ticker.stop()
        for viewer in list(self._viewers):
            self._serve(viewer)

    def _serve(self, viewer: Viewer) -> None:
        full_for = viewer.full_for()
        if full_for is None:
            self._send(viewer)
        elif full_for < PATIENCE_S:
            self.counters["skipped"] += 1
        else:
            self.counters["cut"] += 1
            viewer.cut()

    def _send(self, viewer: Viewer) -> None:
        picture = self._snapshots.newest().picture(private=viewer.private)
        viewer.request.write(b"event: picture\ndata: " + picture + b"\n\n")
        if viewer.private:
            lines = self._tail.since(viewer.next_line)
            if lines:
                viewer.request.write(b"event: log\ndata: " + encoded(lines) + b"\n\n")
                viewer.next_line = lines[-1].number + 1

    def _gone(self, result: Any, viewer: Viewer) -> None:
        """The stream is over, by whoever ended it; a lost connection is nothing to report."""
        self.counters["lost" if isinstance(result, Failure) else "closed"] += 1
        self._viewers.pop(viewer, None)


def encoded(lines: Iterable[LogLine]) -> bytes:
    """Log lines as JSON."""
    return msgspec.json.encode([line.as_object() for line in lines])
