"""HTTP with bounds: body size, number of connections, time, and no log line per request.

When all places are taken, one that is idle makes room, so that somebody who opens
thousands does not keep others out; see `places` for which.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from io import BytesIO
from typing import TYPE_CHECKING, Any, cast

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress, IDelayedCall, IPushProducer
from twisted.internet.protocol import connectionDone
from twisted.internet.tcp import Connection
from twisted.python.failure import Failure
from twisted.web.http import NO_CONTENT, RESPONSES, HTTPChannel, HTTPFactory, Request
from twisted.web.http_headers import Headers

from timed.rpc.places import Places
from timed.sending import send_now

if TYPE_CHECKING:
    from timed.rpc.caller import Caller
    from timed.rpc.origin import Origin

IDLE_S = 60
"""A connection that sends nothing for this long is closed."""
DRAIN_S = 2
"""How long an oversized body is read and dropped, so that its sender sees the answer."""
MAX_LENGTH_DIGITS = 12
EVENT_STREAM = b"text/event-stream; charset=utf-8"
CLOSE_S = 1
"""What is left to write when the service stops gets this long."""


class BoundedRequest(Request):
    """One request, whose body is held in memory up to the site's limit for its sender."""

    channel: BoundedChannel
    content: BytesIO
    limit = 0
    origin: Origin
    caller: Caller | None = None
    """Where it comes from and whose credentials it has: the site's `limit` finds out, once."""

    def __init__(self, channel: BoundedChannel, queued: object = None) -> None:
        super().__init__(channel, parsePOSTFormSubmission=False)

    def gotLength(self, length: int | None) -> None:  # noqa: N802 - Twisted's name
        """All headers are here: the first moment at which a body can be refused."""
        self.content = BytesIO()
        self.limit = self.channel.site.limit(self)
        if length is not None and length > self.limit:
            self._refuse()

    def handleContentChunk(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        if self.content.tell() + len(data) > self.limit:
            self._refuse()
            return
        self.content.write(data)

    def process(self) -> None:
        if self.channel.draining:
            return
        self.channel.busy = True
        self.channel.site.handle(self)

    @property
    def gone(self) -> bool:
        """The client has left: no answer would reach it."""
        return bool(self._disconnected)

    def respond(self, status: int, content_type: bytes, body: bytes, **headers: str) -> None:
        """The whole answer; nothing happens when the client has gone."""
        if self.gone or self.finished:
            return
        self.setResponseCode(status)
        for name, value in headers.items():
            self.setHeader(name.replace("_", "-").encode(), value.encode())
        if body:
            self.setHeader(b"Content-Type", content_type)
        if status != NO_CONTENT:
            self.setHeader(b"Content-Length", b"%d" % len(body))
        channel = self.channel
        gathered: list[bytes] = []
        channel.gathered = gathered
        try:
            self.write(body)
        finally:
            channel.gathered = None
        channel.write(b"".join(gathered))
        self.finish()

    def _refuse(self) -> None:
        self.content = BytesIO()
        self.requestHeaders.removeHeader(b"Expect")
        self.channel.answer_and_drain(413)


def begin_events(request: BoundedRequest, producer: IPushProducer) -> None:
    """The head of an answer that is a stream of server-sent events, which `producer` writes from now on."""
    request.setHeader(b"Content-Type", EVENT_STREAM)
    request.setHeader(b"Cache-Control", b"no-store")
    request.setHeader(b"X-Accel-Buffering", b"no")
    request.registerProducer(producer, True)


class BoundedChannel(HTTPChannel):
    """One connection, known to its site."""

    site: BoundedSite
    transport: Any
    origin: Origin | None = None
    """Kept by `origin_of` where it is the same for every request."""
    gathered: list[bytes] | None = None
    """What is written, while an answer is put together that leaves in one piece."""
    busy = False
    """A complete request is being answered; such a connection never makes room for another."""
    _drain_call: IDelayedCall | None = None
    _is_tcp = False

    @property
    def draining(self) -> bool:
        """The request was refused; whatever else comes is dropped."""
        return self._drain_call is not None

    def connectionMade(self) -> None:
        super().connectionMade()
        self._is_tcp = isinstance(self.transport, Connection)
        if self.site.opened(self) and self._is_tcp:
            # A client speaks first, and what it says is mostly here: newcomers that come with it must not
            # have sent it away before it is read. What this says of the connection is said again.
            self.transport.doRead()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._drain_call is not None and self._drain_call.active():
            self._drain_call.cancel()
        self.site.closed(self)
        super().connectionLost(reason)

    def dataReceived(self, data: bytes) -> None:
        if not self.draining:
            super().dataReceived(data)

    def lineReceived(self, line: bytes) -> None:  # noqa: N802 - Twisted's name
        if not self.draining:
            super().lineReceived(line)

    def rawDataReceived(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        if not self.draining:
            super().rawDataReceived(data)

    def headerReceived(self, line: bytes) -> bool:  # noqa: N802 - Twisted's name
        """A length of thousands of digits is a body too long, not a ValueError."""
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length" and len(value.strip()) > MAX_LENGTH_DIGITS:
            self.answer_and_drain(413)
            return False
        return bool(super().headerReceived(line))

    def timeoutConnection(self) -> None:  # noqa: N802 - Twisted's name
        self.site.counters["idle"] += 1
        self.transport.abortConnection()

    def requestDone(self, request: Any) -> None:  # noqa: N802 - Twisted's name
        self.busy = False
        self.site.used(self, request.caller is not None)
        super().requestDone(request)

    def writeHeaders(self, version: bytes, code: bytes, reason: bytes, headers: Headers) -> None:  # noqa: N802
        lines = [b"%s %s %s\r\n" % (version, code, reason)]
        lines += [
            b"%s: %s\r\n" % (name, value) for name, values in headers.getAllRawHeaders() for value in values
        ]
        self.write(b"".join((*lines, b"\r\n")))

    def writeSequence(self, iovec: Iterable[bytes]) -> None:  # noqa: N802 - Twisted's name
        self.write(b"".join(iovec))

    def write(self, data: bytes) -> None:
        """Twisted's own waits for the reactor's next turn and for a look at the socket, for each answer."""
        if self.gathered is not None:
            self.gathered.append(data)
            return
        rest = send_now(self.transport, data) if self._is_tcp else data
        if rest:
            self.transport.write(rest)

    def pauseProducing(self) -> None:
        """Whoever does not read is not read from, and nothing is begun of what it sent ahead.

        Twisted's own reads on while a request is answered, and begins the next one in any case.
        """
        super().pauseProducing()
        self.paused = True
        self._networkProducer.pauseProducing()

    def resumeProducing(self) -> None:
        """It has taken what there was. While an answer goes on, no more is read than the small buffer takes."""
        super().resumeProducing()
        self.paused = False
        if self._handlingRequest and sum(map(len, self._dataBuffer)) <= self._optimisticEagerReadSize:
            self._networkProducer.resumeProducing()
        self.dataReceived(b"")

    def hang_up(self, within_s: float) -> None:
        """Close once what is written has been taken, at the latest after `within_s`; read nothing more."""
        if not self.draining:
            self._drain_call = self.callLater(within_s, self.transport.abortConnection)
        self.transport.loseConnection()

    def answer_and_drain(self, status: int) -> None:
        """Answer now, read on for a while and drop it: a reset would swallow the answer."""
        if self.draining:
            return
        self.site.counters[f"http-{status}"] += 1
        head = b"HTTP/1.1 %d %s\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        self.transport.write(head % (status, RESPONSES[status]))
        self._drain_call = self.callLater(DRAIN_S, self.transport.abortConnection)


class BoundedSite(HTTPFactory):
    """Hands complete requests to `handle`; owns every connection it accepted.

    `limit` is asked once a request's headers are there: how many bytes of body it may have.
    """

    protocol = BoundedChannel  # type: ignore[assignment]
    noisy = False

    def __init__(
        self,
        handle: Callable[[BoundedRequest], None],
        reactor: Any,
        *,
        limit: Callable[[BoundedRequest], int],
        max_connections: int,
    ) -> None:
        super().__init__(timeout=IDLE_S, reactor=reactor)
        self.handle = handle
        self.limit = limit
        self.max_connections = max_connections
        self.counters: Counter[str] = Counter()
        """Connections and requests refused or cut, by reason."""
        self._channels: Places[BoundedChannel] = Places()
        self._empty: list[Deferred[None]] = []

    def buildProtocol(self, addr: IAddress | None) -> BoundedChannel:  # type: ignore[override]
        channel: Any = super().buildProtocol(addr)
        channel.requestFactory = BoundedRequest
        channel.site = self
        return cast(BoundedChannel, channel)

    def startFactory(self) -> None:
        """No access log, hence no clock for it."""

    def stopFactory(self) -> None:
        """Nothing was started."""

    def log(self, request: Any) -> None:
        """Requests are counted, not logged."""

    @property
    def connections(self) -> int:
        return len(self._channels)

    def regulate(self, max_connections: int) -> None:
        """Another bound from now on: beyond it those that were idle for longest are ended, busy ones later."""
        self.max_connections = max_connections
        while len(self._channels) > max_connections:
            channel = self._channels.first_to_go(max_connections)
            if channel is None:
                break
            self._send_away(channel)

    def opened(self, channel: BoundedChannel) -> bool:
        """False for one that finds everybody busy and is ended at once."""
        if len(self._channels) >= self.max_connections:
            victim = self._channels.first_to_go(self.max_connections) or channel
            self._send_away(victim)
            if victim is channel:
                return False
        self._channels.take(channel)
        return True

    def _send_away(self, channel: BoundedChannel) -> None:
        self.counters["full"] += 1
        # It is told of its end later; many may come before that, and each needs a place of its own.
        self._channels.leave(channel)
        channel.transport.abortConnection()

    def used(self, channel: BoundedChannel, known: bool) -> None:
        """A request was answered; `known` when it had good credentials."""
        self._channels.used(channel, known)

    def closed(self, channel: BoundedChannel) -> None:
        self._channels.leave(channel)
        if not self._channels:
            waiting, self._empty = self._empty, []
            for done in waiting:
                done.callback(None)

    def close(self) -> Deferred[None]:
        """End every connection; fires when none is left."""
        if not self._channels:
            return succeed(None)
        done: Deferred[None] = Deferred()
        self._empty.append(done)
        for channel in self._channels:
            channel.loseConnection()
        late = self.reactor.callLater(CLOSE_S, self._abort)
        done.addBoth(self._stop_timer, late)
        return done

    def _abort(self) -> None:
        for channel in self._channels:
            channel.transport.abortConnection()

    def _stop_timer(self, result: None, late: IDelayedCall) -> None:
        if late.active():
            late.cancel()
