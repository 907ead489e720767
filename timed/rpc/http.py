"""JSON-RPC over HTTP POST: method, path, credentials, then the dispatcher."""

from __future__ import annotations

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
        body = request.content.getvalue()
        done: Deferred[Reply] = ensureDeferred(self._dispatcher.answer(body, permissions))
        # Nobody waits for the answer of a call whose client has gone, and nothing is computed for it.
        request.notifyFinish().addErrback(lambda failure: done.cancel())
        done.addCallback(self._reply, request)
        done.addErrback(self._failed, request)

    def _reply(self, reply: Reply, request: BoundedRequest) -> None:
        request.respond(reply.status, JSON, reply.body)

    def _failed(self, failure: Failure, request: BoundedRequest) -> Any:
        if failure.check(CancelledError):
            return
        self._log.failure("an RPC request could not be answered", failure=failure)
        request.respond(500, TEXT, b"Internal error\n")
