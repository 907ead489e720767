"""Events over HTTP: `GET /events` as server-sent events, or as a WebSocket where the client asks for one.

Whoever may call `getevents` may follow; the subscription is charged as such a call.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Collection
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from timed.errors import LocalError
from timed.feed.cursor import NEWEST
from timed.feed.feed import Feed
from timed.feed.hub import DISMISSED, REFUSED, STOPPED, SubscribersFull, Subscription
from timed.feed.window import Page
from timed.params import NetworkParams
from timed.rpc import jsontext
from timed.rpc.caller import Caller
from timed.rpc.dispatch import Admit, Forbidden
from timed.rpc.errors import INVALID_PARAMS, Busy, RpcError
from timed.rpc.eventing import explained, filter_of, no_feed
from timed.rpc.origin import Origin
from timed.rpc.site import BoundedRequest, begin_events
from timed.rpc.table import METHODS

if TYPE_CHECKING:
    from timed.rpc.websocket import Sockets

EVENTS_PATH = b"/events"
FOLLOW = METHODS["getevents"]
"""Who may call this may follow, and pays as much to begin."""
JSON = b"application/json"
RETRY_MS = 2_000
"""When a client that lost its connection comes again."""
END_S = 5.0
"""What is left to write of an ended stream gets this long."""
SHARE = 0.75
"""Of the site's connections that streams may hold: the rest is for calls."""
GONE = 410
STATUSES = {
    "cursor-lost": GONE,
    "cursor-foreign": GONE,
    "cursor-ahead": GONE,
    "forbidden": 403,
    "no-feed": 404,
}
"""By rule; what is not here is 400."""
PARAMETERS = ("types", "addresses", "cursor")
MAX_WORDS = 1_000


@implementer(IPushProducer)
class Stream:
    """One response of server-sent events that does not end."""

    kind = "sse"

    def __init__(self, request: BoundedRequest, caller: Caller, streams: Streams) -> None:
        self.origin = request.origin
        self.client = caller.client
        self._request = request
        self._streams = streams
        self._subscription: Subscription | None = None

    def begin(self, subscription: Subscription) -> None:
        """Answer; events follow as they come."""
        self._subscription = subscription
        request = self._request
        request.setHeader(b"Connection", b"close")
        request.notifyFinish().addBoth(self._gone)
        begin_events(request, self)
        request.write(b"retry: %d\nid: %s\n\n" % (RETRY_MS, subscription.cursor.encode("ascii")))

    def shut(self, reason: str, detail: str) -> None:
        """End it from this side."""
        if self._subscription is not None:
            self._subscription.hub.end(self._subscription, reason, detail)

    # `timed.feed.hub.Reader`

    def send(self, page: Page) -> None:
        self._request.write(page.stream)

    def beat(self, cursor: str) -> None:
        """Without data it is no event, and yet the client keeps the cursor."""
        self._request.write(b": alive\nid: %s\n\n" % cursor.encode("ascii"))

    def end(self, reason: str, cursor: str, detail: str) -> None:
        request = self._request
        told = jsontext.encode({"reason": reason, "cursor": cursor, "detail": detail})
        request.write(b"id: %s\nevent: end\ndata: %s\n\n" % (cursor.encode("ascii"), told))
        channel = request.channel
        request.unregisterProducer()
        request.finish()
        channel.hang_up(END_S)

    # As the producer of what the connection writes

    def pauseProducing(self) -> None:
        if self._subscription is not None:
            self._subscription.pause()

    def resumeProducing(self) -> None:
        if self._subscription is not None:
            self._subscription.resume()

    def stopProducing(self) -> None:
        """`_gone` follows."""

    def _gone(self, result: Any) -> None:
        """By whoever ended it; a lost connection is nothing to report."""
        self._streams.counters["lost" if isinstance(result, Failure) else "closed"] += 1
        self._streams.closed(self)
        if self._subscription is not None:
            self._subscription.leave()


class Streams:
    """Answers `/events`. After `stop` no stream, socket or call is left."""

    _log = Logger()

    def __init__(
        self, feed: Callable[[], Feed | None], params: NetworkParams, admit: Admit, reactor: Any
    ) -> None:
        """`admit` charges a subscription as it charges a call."""
        self.feed = feed
        self.params = params
        self.admit = admit
        self.reactor = reactor
        self.counters: Counter[str] = Counter()
        """Streams and sockets opened, closed, lost and refused."""
        self._streams: dict[Stream, None] = {}
        self._calls: dict[Deferred[None], BoundedRequest] = {}
        """Subscriptions that wait for their turn."""
        self._sockets: Sockets | None = None

    def __call__(self, request: BoundedRequest, caller: Caller) -> None:
        """A request whose sender is known and allowed to connect."""
        if request.method != b"GET":
            request.respond(405, b"text/plain", b"Follow events with GET.\n", Allow="GET")
            return
        done = ensureDeferred(self._begin(request, caller))
        if not done.called:
            self._calls[done] = request
            request.notifyFinish().addErrback(lambda failure: done.cancel())
        done.addErrback(self._failed, request)
        done.addBoth(lambda _: self._calls.pop(done, None))

    def open_feed(self) -> Feed:
        """RpcError where no events are kept."""
        feed = self.feed()
        if feed is None:
            raise no_feed()
        return feed

    async def check(self, caller: Caller) -> None:
        """Forbidden, Busy, or in its turn."""
        if not caller.may_call(FOLLOW):
            raise Forbidden(FOLLOW, caller)
        admitted: Awaitable[None] | None = self.admit(caller, FOLLOW)
        if admitted is not None:
            await admitted

    def closed(self, stream: Stream) -> None:
        self._streams.pop(stream, None)

    def dismiss(self, users: Collection[str]) -> None:
        """End what these accounts have open: each may come back with its cursor and good credentials."""
        detail = "the account was changed"
        for stream in tuple(self._streams):
            if stream.client[0] in users:
                stream.shut(DISMISSED, detail)
        if self._sockets is not None:
            self._sockets.dismiss(users, detail)

    def refuse(self, admits: Callable[[Origin], bool]) -> None:
        """End what those have open whose address may not connect any more."""
        detail = "its address is not in rpc.allow any more"
        for call, request in tuple(self._calls.items()):
            if not admits(request.origin):
                request.respond(403, b"text/plain", b"This address is not in rpc.allow.\n")
                call.cancel()
        for stream in tuple(self._streams):
            if not admits(stream.origin):
                stream.shut(REFUSED, detail)
        if self._sockets is not None:
            self._sockets.refuse(admits, detail)

    async def stop(self) -> None:
        """Tell everybody their cursors; fires when the sockets are gone, the streams end with the site."""
        for call in tuple(self._calls):
            call.cancel()
        for stream in tuple(self._streams):
            stream.shut(STOPPED, "the node stops")
        if self._sockets is not None:
            await self._sockets.stop()

    async def _begin(self, request: BoundedRequest, caller: Caller) -> None:
        try:
            await self.check(caller)
            feed = self.open_feed()
            if (request.getHeader(b"upgrade") or b"").lower() == b"websocket":
                self._make_sockets().take(request, caller, feed)
            else:
                self._stream(request, caller, feed)
        except RpcError as error:
            self.counters["refused"] += 1
            _refuse(request, error)

    def _stream(self, request: BoundedRequest, caller: Caller, feed: Feed) -> None:
        asked = _parameters(request)
        wanted = filter_of(self.params, asked["types"], asked["addresses"], caller)
        cursor = (request.getHeader(b"last-event-id") or b"").decode("ascii", "replace")
        if not cursor:
            cursor = asked["cursor"][-1] if asked["cursor"] else NEWEST
        stream = Stream(request, caller, self)
        try:
            most = int(request.channel.site.max_connections * SHARE)
            if len(self._streams) >= most:
                raise SubscribersFull("subscribers-full", most, "This port has")
            subscription = feed.hub.subscribe(stream, stream.client, wanted, cursor)
        except LocalError as error:
            raise explained(error, feed) from error
        self._streams[stream] = None
        self.counters["opened"] += 1
        stream.begin(subscription)

    def _make_sockets(self) -> Sockets:
        """WebSockets are imported by whoever needs one."""
        if self._sockets is None:
            from timed.rpc.websocket import Sockets

            self._sockets = Sockets(self)
        return self._sockets

    def _failed(self, failure: Failure, request: BoundedRequest) -> None:
        if isinstance(failure.value, CancelledError):
            return
        self._log.failure("a subscription could not be begun", failure=failure)
        request.respond(500, b"text/plain", b"Internal error\n")


def _parameters(request: BoundedRequest) -> dict[str, list[str]]:
    """Words by parameter, separated by commas or given several times; RpcError for one that is unknown."""
    found: dict[str, list[str]] = {name: [] for name in PARAMETERS}
    for key, values in (request.args or {}).items():
        name = key.decode("utf-8", "replace")
        if name not in found:
            raise _bad(f"there is no parameter {name[:64]!r}", name)
        for value in values:
            found[name] += [word for word in value.decode("utf-8", "replace").split(",") if word]
        if len(found[name]) > MAX_WORDS:
            raise _bad(f"{name} has more than {MAX_WORDS} items", name)
    return found


def _bad(problem: str, name: str) -> RpcError:
    hint = f"There are: {', '.join(PARAMETERS)}."
    return RpcError(
        INVALID_PARAMS, f"Invalid params: {problem}", rule="param-arity", hint=hint, param=name[:64]
    )


def _refuse(request: BoundedRequest, error: RpcError) -> None:
    """As an answer of HTTP, its body the same error object that a call would get."""
    headers = {"Cache_Control": "no-store"}
    status = STATUSES.get(str(error.data["rule"]), 400)
    if isinstance(error, Busy):
        status = error.status
        headers["Retry_After"] = str(error.retry_after_s)
    request.respond(status, JSON, jsontext.encode({"error": error.as_object()}), **headers)
