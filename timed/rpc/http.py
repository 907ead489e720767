"""JSON-RPC over HTTP POST: method, path, credentials, then the dispatcher."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from timed.rpc.auth import Authenticator
from timed.rpc.dispatch import Dispatcher, Reply
from timed.rpc.jsontext import MAX_BODY_BYTES
from timed.rpc.site import BoundedRequest

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
        unready: Callable[[], str | None] = lambda: None,
    ) -> None:
        """`unready` says why no calls are answered, None while they are."""
        self._unready = unready
        self._dispatcher = dispatcher
        self._authenticator = authenticator

    def limit(self, request: BoundedRequest) -> int:
        """Bytes of body a request may have: little, unless its credentials are good."""
        known = self._authenticator.permissions(request.getHeader(b"authorization"))
        return MAX_BODY_BYTES if known is not None else STRANGER_BYTES

    def __call__(self, request: BoundedRequest) -> None:
        if request.path == READY_PATH and request.method in (b"GET", b"HEAD"):
            reason = self._unready()
            request.respond(200 if reason is None else 503, TEXT, (reason or "ready").encode() + b"\n")
        elif request.path not in PATHS:
            request.respond(404, TEXT, b"The RPC answers at /.\n")
        elif request.method != b"POST":
            request.respond(405, TEXT, b"Send a JSON-RPC request with POST.\n", Allow="POST")
        elif request.getHeader(b"origin") is not None:
            request.respond(403, TEXT, b"Web pages may not call a node.\n")
        else:
            self._authenticated(request)

    def _authenticated(self, request: BoundedRequest) -> None:
        permissions = self._authenticator.permissions(request.getHeader(b"authorization"))
        if permissions is None:
            hint = b"Give the user and password from the node's .cookie file.\n"
            request.respond(401, TEXT, hint, WWW_Authenticate='Basic realm="timed"')
            self._authenticator.refused += 1
            return
        try:
            body = unpacked(request.content.getvalue(), request.getHeader(b"content-encoding"))
        except Unpacked as refusal:
            request.respond(refusal.status, TEXT, refusal.text)
            return
        done: Deferred[Reply] = ensureDeferred(self._dispatcher.answer(body, permissions))
        # Nobody waits for the answer of a call whose client has gone, and nothing is computed for it.
        request.notifyFinish().addErrback(lambda failure: done.cancel())
        done.addCallback(self._reply, request)
        done.addErrback(self._failed, request)

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
