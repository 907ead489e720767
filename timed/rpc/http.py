"""JSON-RPC over HTTP POST: method, path, credentials, then the dispatcher."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from timed.rpc.auth import Authenticator
from timed.rpc.dispatch import Dispatcher, Reply
from timed.rpc.jsontext import MAX_BODY_BYTES
from timed.rpc.origin import Origin, Subnet, origin_of
from timed.rpc.site import BoundedRequest
from timed.rpc.streams import EVENTS_PATH, Streams

JSON = b"application/json"
TEXT = b"text/plain; charset=utf-8"
PATHS = (b"/", b"")
READY_PATH = b"/ready"
"""For a load balancer: says without credentials whether calls are answered here, 200 or 503."""
STRANGER_BYTES = 64 * 1024
"""Of a request that will be answered with 401."""
GZIP = b"gzip"
PACK_FROM, PACK_UP_TO = 1024, 1024 * 1024
"""Bytes of an answer that is compressed for who takes it: smaller gains nothing, larger stops the reactor."""


class Unpacked(Exception):
    """A request's body cannot be had: the status and sentence to answer."""

    def __init__(self, status: int, text: bytes) -> None:
        super().__init__(status, text)
        self.status = status
        self.text = text


class RpcEndpoint:
    """Answers every request of the RPC's port."""

    _log = Logger()

    def __init__(
        self,
        dispatcher: Dispatcher,
        authenticator: Authenticator,
        reactor: Any,
        allow: Sequence[Subnet] = (),
        unready: Callable[[], str | None] = lambda: None,
        proxies: Sequence[Subnet] = (),
        streams: Streams | None = None,
    ) -> None:
        """`unready` says why no calls are answered, None while they are; `streams` answers `/events`."""
        self._streams = streams
        self._unready = unready
        self._dispatcher = dispatcher
        self._authenticator = authenticator
        self._reactor = reactor
        self.allow = tuple(allow)
        """Who may connect besides this machine; empty for everybody."""
        self.proxies = tuple(proxies)
        """Whose word on where a request comes from is taken."""
        self._held: dict[Deferred[None], None] = {}

    def restrict(self, allow: Sequence[Subnet], proxies: Sequence[Subnet]) -> None:
        """Others may connect from now on: events that somebody else follows end."""
        self.allow, self.proxies = tuple(allow), tuple(proxies)
        if self._streams is not None:
            self._streams.refuse(self.admits)

    def admits(self, origin: Origin) -> bool:
        """Who comes from there may connect."""
        address = origin.address
        return (
            not self.allow
            or origin.own
            or (address is not None and any(address in subnet for subnet in self.allow))
        )

    def limit(self, request: BoundedRequest) -> int:
        """Bytes of body a request may have: little, unless its credentials are good."""
        request.origin = origin = origin_of(request, self.proxies)
        request.caller = self._authenticator.caller(request.getHeader(b"authorization"), origin.place)
        return STRANGER_BYTES if request.caller is None else MAX_BODY_BYTES

    def __call__(self, request: BoundedRequest) -> None:
        if not self._is_allowed(request):
            request.respond(403, TEXT, b"This address is not in rpc.allow.\n")
        elif request.path == READY_PATH and request.method in (b"GET", b"HEAD"):
            reason = self._unready()
            request.respond(200 if reason is None else 503, TEXT, (reason or "ready").encode() + b"\n")
        elif request.path not in PATHS and (request.path != EVENTS_PATH or self._streams is None):
            request.respond(404, TEXT, b"The RPC answers at /.\n")
        elif request.path == EVENTS_PATH:
            self._follow(request)
        elif request.method != b"POST":
            request.respond(405, TEXT, b"Send a JSON-RPC request with POST.\n", Allow="POST")
        elif request.getHeader(b"origin") is not None:
            request.respond(403, TEXT, b"Web pages may not call a node.\n")
        else:
            self._authenticated(request)

    def _follow(self, request: BoundedRequest) -> None:
        """Events: the same credentials, and no web pages either."""
        if request.getHeader(b"origin") is not None:
            request.respond(403, TEXT, b"Web pages may not follow a node.\n")
        elif request.caller is None:
            self._turn_away(request)
        elif self._streams is not None:
            self._streams(request, request.caller)

    def close(self) -> None:
        """Answer what is held back."""
        for held in list(self._held):
            held.cancel()

    def _is_allowed(self, request: BoundedRequest) -> bool:
        return self.admits(request.origin) or (request.origin.proxy and request.path == READY_PATH)

    def _authenticated(self, request: BoundedRequest) -> None:
        caller = request.caller
        if caller is None:
            self._turn_away(request)
            return
        try:
            body = unpacked(request.content.getvalue(), request.getHeader(b"content-encoding"))
        except Unpacked as refusal:
            request.respond(refusal.status, TEXT, refusal.text)
            return
        done: Deferred[Reply] = ensureDeferred(
            self._dispatcher.answer(body, caller, lambda: not request.gone)
        )
        if not done.called:
            # Nobody waits for the answer of a call whose client has gone, and nothing is computed for it.
            request.notifyFinish().addErrback(lambda failure: done.cancel())
        done.addCallback(self._reply, request)
        done.addErrback(self._failed, request)

    def _turn_away(self, request: BoundedRequest) -> None:
        """401, the later the more often it happens; its connection makes room for others meanwhile."""
        self._authenticator.refused += 1
        failures = self._authenticator.failures
        if request.getHeader(b"authorization") is None:
            _unauthorized(request)
            return
        delay = failures.delay(request.origin.place, self._reactor.seconds())
        if delay is None:
            request.respond(429, TEXT, b"Too many wrong passwords.\n", Retry_After="10")
            return
        request.channel.busy = False
        failures.held += 1
        held: Deferred[None] = deferLater(self._reactor, delay)
        self._held[held] = None
        held.addErrback(lambda failure: failure.trap(CancelledError))
        held.addCallback(lambda _: self._let_go(held, request))

    def _let_go(self, held: Deferred[None], request: BoundedRequest) -> None:
        self._authenticator.failures.held -= 1
        del self._held[held]
        _unauthorized(request)

    def _reply(self, reply: Reply, request: BoundedRequest) -> None:
        body, headers = reply.body, {}
        if reply.retry_after_s:
            headers["Retry_After"] = str(reply.retry_after_s)
        if PACK_FROM <= len(body) <= PACK_UP_TO:
            headers["Vary"] = "Accept-Encoding"
            if takes_gzip(request.getHeader(b"accept-encoding")):
                body, headers["Content_Encoding"] = gzip.compress(body, compresslevel=1, mtime=0), "gzip"
        request.respond(reply.status, JSON, body, **headers)

    def _failed(self, failure: Failure, request: BoundedRequest) -> Any:
        if failure.check(CancelledError):
            return
        self._log.failure("an RPC request could not be answered", failure=failure)
        request.respond(500, TEXT, b"Internal error\n")


def _unauthorized(request: BoundedRequest) -> None:
    hint = b"Give the user and password from the node's .cookie file, or of an account in rpc.auth.\n"
    request.respond(401, TEXT, hint, WWW_Authenticate='Basic realm="timed"')


def unpacked(body: bytes, encoding: bytes | None) -> bytes:
    """The body as it was before its Content-Encoding; Unpacked with 413, 415 or 400 when it cannot be."""
    encoding = (encoding or b"").strip().lower()
    if encoding in (b"", b"identity"):
        return body
    if encoding != GZIP:
        raise Unpacked(415, b"Send the body plain or with Content-Encoding: gzip.\n")
    try:
        inflater = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        plain = inflater.decompress(body, MAX_BODY_BYTES + 1)
    except zlib.error:
        raise Unpacked(400, b"The body is not gzip.\n") from None
    if len(plain) > MAX_BODY_BYTES:
        raise Unpacked(413, b"The body is too long once it is unpacked.\n")
    if not inflater.eof or inflater.unused_data:
        raise Unpacked(400, b"The body is not one whole gzip stream.\n")
    return plain


def takes_gzip(accepted: bytes | None) -> bool:
    """True when an Accept-Encoding header names gzip with a weight above 0."""
    for part in (accepted or b"").lower().split(b","):
        name, _, weight = part.partition(b";")
        if name.strip() in (GZIP, b"*"):
            digits = weight.strip().removeprefix(b"q=")
            return bool(digits.strip(b"0.")) or not weight
    return False
