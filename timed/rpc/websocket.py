"""Events over WebSocket, on the port of the RPC: JSON messages both ways, one subscription a socket.

The client sends objects with `op`: subscribe, unsubscribe, ack, cursor. Each is answered by
one with the same `op`, or by one with `op` error; everything without `op` is an event.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

import attrs
from autobahn.twisted.resource import WebSocketResource
from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred, succeed
from twisted.internet.interfaces import IDelayedCall, IPushProducer
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from timed.errors import LocalError
from timed.feed.cursor import NEWEST
from timed.feed.feed import Feed
from timed.feed.hub import (
    DISMISSED,
    FAILED,
    LOST,
    REFUSED,
    SLOW,
    STALLED,
    STOPPED,
    SubscribersFull,
    Subscription,
)
from timed.feed.window import Page
from timed.rpc import jsontext
from timed.rpc.caller import Caller, Client
from timed.rpc.errors import INVALID_PARAMETER, INVALID_REQUEST, RpcError
from timed.rpc.eventing import explained, filter_of
from timed.rpc.origin import Origin
from timed.rpc.schema import Integer, ParamType
from timed.rpc.site import BoundedRequest
from timed.rpc.table import METHODS
from timed.rpc.tables.events import ADDRESSES, AFTER, TYPES

if TYPE_CHECKING:
    from timed.rpc.streams import Streams

MAX_MESSAGE_BYTES = 128 * 1024
"""Of the client's; a thousand addresses are less than half of it."""
PING_S = 20.0
"""Between pings; one that is not answered when the next is due ends the connection."""
CLOSE_S = 5.0
"""A close that the client does not answer ends the connection after this."""
MAX_WINDOW = 100_000
MAX_REASON = 123
"""Bytes of a close frame's reason (RFC 6455 §5.5.1)."""
TRIFLE = METHODS["geteventcursor"]
"""What an operation other than subscribe costs."""
CODES = {
    SLOW: 4001,
    STALLED: 4002,
    LOST: 4003,
    FAILED: 4004,
    STOPPED: 4005,
    DISMISSED: 4006,
    REFUSED: 4007,
}
"""Codes of close frames, by the reason for which this side ended a subscription (RFC 6455 §7.4.2)."""

_SUBSCRIBE: dict[str, ParamType] = {
    "types": TYPES.type,
    "addresses": ADDRESSES.type,
    "after": AFTER,
    "window": Integer(0, MAX_WINDOW),
}
_MEMBERS: dict[str, dict[str, ParamType]] = {
    "subscribe": _SUBSCRIBE,
    "unsubscribe": {},
    "ack": {"cursor": AFTER},
    "cursor": {},
}
"""By operation: what may stand in a message beside `op`."""


@implementer(IPushProducer)
class EventSocket(WebSocketServerProtocol):
    """One client."""

    kind = "websocket"
    factory: SocketFactory
    transport: Any

    def __init__(self, sockets: Sockets, caller: Caller, origin: Origin, feed: Feed) -> None:
        super().__init__()
        self.origin = origin
        self._sockets = sockets
        self._caller = caller
        self._feed = feed
        self._subscription: Subscription | None = None
        self._waiting: deque[bytes] = deque()
        self._work: Deferred[None] | None = None
        self._closed = False
        self.leaving = False
        """This side has closed it; the other one may not have answered."""
        self._full = False
        """The transport holds as much as it should."""
        self._timer: IDelayedCall | None = None
        """The next ping, or the end of a close that is not answered."""
        self._ponged = True

    # From autobahn

    def onOpen(self) -> None:  # noqa: N802 - autobahn's name
        """The connection's producer was the HTTP side of the port; from now on it is this."""
        self.transport.unregisterProducer()
        self.transport.registerProducer(self, True)
        self._timer = self._sockets.streams.reactor.callLater(PING_S, self._ping)

    def onPong(self, payload: bytes) -> None:  # noqa: N802 - autobahn's name
        self._ponged = True

    def onMessage(self, payload: bytes, is_binary: bool) -> None:  # noqa: N802 - autobahn's name
        """Operations are carried out one after the other; what waits for its turn is not read on."""
        self._waiting.append(b"" if is_binary else payload)
        if self._work is None:
            self._work = ensureDeferred(self._carry_out())
            if not self._work.called:
                self.transport.pauseProducing()
            self._work.addErrback(self._broken)
            self._work.addBoth(self._rested)

    def onClose(self, was_clean: bool, code: int, reason: str) -> None:  # noqa: N802 - autobahn's name
        self._closed = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._leave()
        if self._work is not None:
            self._waiting.clear()
            self._work.cancel()
        self._sockets.gone(self)

    # `timed.feed.hub.Reader`

    def send(self, page: Page) -> None:
        if page.frames is None:
            page.frames = b"".join([self._frame(event.shown.text) for event in page.events])
        self._put(page.frames)

    def beat(self, cursor: str) -> None:
        self._tell(op="alive", cursor=cursor)

    def end(self, reason: str, cursor: str, detail: str) -> None:
        self._subscription = None
        self._tell(op="end", reason=reason, cursor=cursor, detail=detail)
        self.hang_up(CODES[reason], f"{reason} {cursor}")

    @property
    def client(self) -> Client:
        return self._caller.client

    def shut(self, reason: str, detail: str) -> None:
        """End it from this side, with what it follows; one that ends already goes on with that."""
        if self.leaving:
            return
        if self._subscription is not None:
            self._feed.hub.end(self._subscription, reason, detail)
        else:
            self.hang_up(CODES[reason], reason)

    def hang_up(self, code: int, reason: str) -> None:
        """Close, also when nobody reads any more."""
        self.leaving = True
        self.transport.unregisterProducer()
        self.sendClose(code, reason[:MAX_REASON])
        self.end_soon()

    def end_soon(self) -> None:
        """The end has been told; whoever does not answer that is cut off."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = self._sockets.streams.reactor.callLater(CLOSE_S, self.transport.abortConnection)

    # As the producer of what the connection writes

    def pauseProducing(self) -> None:
        """Whoever does not read is not read either: each ping and each operation would make an answer wait."""
        self._full = True
        self.transport.pauseProducing()
        if self._subscription is not None:
            self._subscription.pause()

    def resumeProducing(self) -> None:
        self._full = False
        if self._work is None:
            self.transport.resumeProducing()
        if self._subscription is not None:
            self._subscription.resume()

    def stopProducing(self) -> None:
        """`onClose` follows."""

    def _ping(self) -> None:
        if not self._ponged:
            self._sockets.streams.counters["silent"] += 1
            if self._subscription is not None:
                self._feed.hub.end(self._subscription, STALLED, f"no ping was answered within {PING_S:g} s")
            self.transport.abortConnection()
            return
        self._ponged = False
        self.sendPing()
        self._timer = self._sockets.streams.reactor.callLater(PING_S, self._ping)

    # Operations

    async def _carry_out(self) -> None:
        while self._waiting:
            payload = self._waiting.popleft()
            op = ""
            own: dict[str, Any] = {}
            try:
                message = _message(payload)
                own = _id_of(message)
                op = _operation(message)
                arguments = _arguments(op, message)
                if op == "subscribe":
                    await self._sockets.streams.check(self._caller)
                else:
                    admitted = self._sockets.streams.admit(self._caller, TRIFLE)
                    if admitted is not None:
                        await admitted
                self._tell(op=op, **own, **self._do(op, arguments))
            except RpcError as error:
                self._tell(op="error", **own, of=op, error=error.as_object())

    def _do(self, op: str, arguments: dict[str, Any]) -> dict[str, Any]:
        try:
            if op == "subscribe":
                return self._subscribe(arguments)
            if op == "ack":
                return self._acknowledge(arguments.get("cursor", ""))
            if op == "unsubscribe":
                cursor = None if self._subscription is None else self._subscription.cursor
                self._leave()
                return {"cursor": cursor}
            return self._places()
        except LocalError as error:
            raise explained(error, self._feed) from error

    def _subscribe(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Another filter goes on from where the one before was, unless a cursor is given."""
        wanted = filter_of(
            self._sockets.streams.params,
            arguments.get("types", ()),
            arguments.get("addresses", ()),
            self._caller,
        )
        before = self._subscription
        after = arguments.get("after") or (before.cursor if before is not None else NEWEST)
        window = arguments.get("window", 0)
        hub = self._feed.hub
        hub.check_cursor(after)
        self._leave()
        self._subscription = hub.subscribe(self, self._caller.client, wanted, after, window)
        if self._full:
            self._subscription.pause()
        return {"cursor": self._subscription.cursor}

    def _acknowledge(self, cursor: str) -> dict[str, Any]:
        subscription = self._subscription
        if subscription is None:
            raise RpcError(
                INVALID_PARAMETER, "There is nothing to acknowledge", rule="not-subscribed",
                hint="Subscribe first.",
            )  # fmt: skip
        subscription.acknowledge(self._feed.window.sequence_of(cursor))
        return {"cursor": cursor}

    def _places(self) -> dict[str, Any]:
        ends, subscription = self._feed.window.ends, self._subscription
        acknowledged = None if subscription is None else subscription.acknowledged
        return {
            "cursor": ends.cursor(ends.newest),
            "oldest": ends.cursor(ends.first - 1),
            "sent": None if subscription is None else subscription.cursor,
            "acknowledged": None if acknowledged is None else ends.cursor(acknowledged),
        }

    def _leave(self) -> None:
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            subscription.leave()

    def _tell(self, **members: Any) -> None:
        self._put(self._frame(jsontext.encode(members)))

    def _put(self, frames: bytes) -> None:
        """Nothing follows a close frame (RFC 6455 §5.5.1); whoever closes keeps the cursor that it has."""
        if self.state == self.STATE_OPEN:
            self.sendData(frames)

    def _frame(self, text: bytes) -> bytes:
        frame: bytes = self.factory.prepareMessage(text).payloadHybi
        return frame

    def _broken(self, failure: Failure) -> None:
        if not isinstance(failure.value, CancelledError):
            self._sockets.broken(failure)

    def _rested(self, result: object) -> None:
        self._work = None
        if not self._closed and not self._full:
            self.transport.resumeProducing()


class SocketFactory(WebSocketServerFactory):
    """Makes the protocol of the request that is being taken over.

    The timers are the protocol's own: those of the library are batched and outlive their connection.
    """

    noisy = False

    def __init__(self, reactor: Any) -> None:
        super().__init__(reactor=reactor)
        self.arriving: Callable[[], EventSocket] | None = None
        self.setProtocolOptions(
            versions=[13],  # RFC 6455; drafts before it call Origin otherwise, and nobody looks at that
            webStatus=False,
            maxFramePayloadSize=MAX_MESSAGE_BYTES,
            maxMessagePayloadSize=MAX_MESSAGE_BYTES,
            openHandshakeTimeout=0,
            closeHandshakeTimeout=0,
            failByDrop=False,
        )

    def buildProtocol(self, addr: object) -> Any:
        if self.arriving is None:
            return None
        protocol = self.arriving()
        protocol.factory = self
        return protocol


@attrs.define(eq=False)
class Sockets:
    """All WebSockets of a port. After `stop` none is left."""

    streams: Streams
    _factory: SocketFactory = attrs.field(init=False)
    _open: dict[EventSocket, None] = attrs.field(factory=dict)
    _by_client: Counter[Client] = attrs.field(factory=Counter)
    _empty: Deferred[None] | None = None
    _log = Logger()

    def __attrs_post_init__(self) -> None:
        self._factory = SocketFactory(self.streams.reactor)

    def __len__(self) -> int:
        return len(self._open)

    def take(self, request: BoundedRequest, caller: Caller, feed: Feed) -> None:
        """Make the request's connection a WebSocket; RpcError when there is no room."""
        client = caller.client
        try:
            feed.hub.limits.check(client, len(self._open), self._by_client[client])
        except SubscribersFull as error:
            raise explained(error, feed) from error
        socket = EventSocket(self, caller, request.origin, feed)
        self._open[socket] = None
        self._by_client[client] += 1
        self.streams.counters["opened"] += 1
        # The site has nothing more to do with the connection.
        request.channel.setTimeout(None)
        request.channel.site.closed(request.channel)
        self._factory.arriving = lambda: socket
        try:
            WebSocketResource(self._factory).render(request)
        finally:
            self._factory.arriving = None
        if socket.state != socket.STATE_OPEN:
            # What asked was no handshake, and is answered: a close over TLS waits for the client's.
            socket.end_soon()

    def gone(self, socket: EventSocket) -> None:
        if socket not in self._open:
            return
        del self._open[socket]
        client = socket.client
        self._by_client[client] -= 1
        if not self._by_client[client]:
            del self._by_client[client]
        self.streams.counters["closed"] += 1
        if not self._open and self._empty is not None:
            empty, self._empty = self._empty, None
            empty.callback(None)

    def dismiss(self, users: Collection[str], detail: str) -> None:
        """End the sockets of these accounts, also those that follow nothing."""
        for socket in tuple(self._open):
            if socket.client[0] in users:
                socket.shut(DISMISSED, detail)

    def refuse(self, admits: Callable[[Origin], bool], detail: str) -> None:
        """End the sockets of those who may not connect any more."""
        for socket in tuple(self._open):
            if not admits(socket.origin):
                socket.shut(REFUSED, detail)

    def broken(self, failure: Failure) -> None:
        self._log.failure("an operation over a WebSocket raised", failure=failure)

    def stop(self) -> Deferred[None]:
        """Tell everybody their cursors, then close; fires when all are gone."""
        if not self._open:
            return succeed(None)
        empty: Deferred[None] = Deferred()
        self._empty = empty
        for socket in tuple(self._open):
            socket.shut(STOPPED, "the node stops")
        return empty


def _message(payload: bytes) -> dict[str, Any]:
    """RpcError for anything but a JSON object whose `id`, if there is one, is a string or a number."""
    message = jsontext.decode(payload)
    if not isinstance(message, dict):
        raise _no_operation()
    if not jsontext.is_id(message.get("id")):
        raise RpcError(
            INVALID_REQUEST, "Invalid Request: an id is a string or a number", rule="request-form",
            hint='Send {"op": "cursor", "id": 1}.',
        )  # fmt: skip
    return message


def _id_of(message: dict[str, Any]) -> dict[str, Any]:
    """The `id` as the answer carries it; nothing where there is none."""
    number = message.get("id")
    return {} if number is None else {"id": jsontext.echo(number)}


def _operation(message: dict[str, Any]) -> str:
    """The `op` of a message; RpcError for one that is not known."""
    op = message.get("op")
    if not isinstance(op, str) or op not in _MEMBERS:
        raise _no_operation()
    return op


def _no_operation() -> RpcError:
    return RpcError(
        INVALID_REQUEST,
        "Invalid Request: a message is an object with a known op",
        rule="request-form",
        hint=f"There are: {', '.join(_MEMBERS)}.",
    )


def _arguments(op: str, message: dict[str, Any]) -> dict[str, Any]:
    members = _MEMBERS[op]
    for name in message:
        if name not in ("op", "id") and name not in members:
            raise RpcError(
                INVALID_PARAMETER, f"{op} has no member {name[:64]!r}", rule="param-arity",
                hint=f"There are: {', '.join(members) or 'none'}.", param=name[:64],
            )  # fmt: skip
    return {name: kind.convert(name, message[name]) for name, kind in members.items() if name in message}
