"""A node for tests of programs that use the client: it answers what it was told to.

::

    with FakeNode({"getblockcount": 7}) as node, Client(node.location) as client:
        assert client.getblockcount() == 7
        assert node.calls == [("getblockcount", [])]
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import attrs

from timed.client import message
from timed.client.errors import RpcFailure
from timed.client.location import Location

USER, PASSWORD = "test", "secret"
HOST = "127.0.0.1"


@attrs.frozen
class Refusal:
    """An HTTP answer of its own, its body of the type `kind`; a status of 0 closes the connection without one."""

    status: int
    retry_after: str = ""
    body: str = "refused"
    kind: str = "text/plain"


class FakeNode:
    """Listens on a free port of this machine while it is used as a context.

    `answers` maps a method to its result, to an RpcFailure, or to a function of the
    parameters that returns or raises these; a method that is missing is unknown. Each of
    `refusals` is spent on one request, before any answer. `calls` holds what was asked.
    With `certificate` (a PEM file of chain and key) it speaks TLS.
    """

    def __init__(
        self, answers: Mapping[str, Any], refusals: list[Refusal] | None = None, certificate: str = ""
    ) -> None:
        self.answers = dict(answers)
        self.refusals = list(refusals or ())
        self.calls: list[tuple[str, Any]] = []
        self._server = ThreadingHTTPServer((HOST, 0), _handler(self), bind_and_activate=True)
        self._server.daemon_threads = True
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._tls = bool(certificate)
        self._thread = Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def location(self) -> Location:
        """How to reach it, with the right credentials."""
        return Location(HOST, self._server.server_address[1], USER, PASSWORD, tls=self._tls)

    @property
    def url(self) -> str:
        """The same as one text, for `timed-cli --rpc-url`."""
        scheme = "https" if self._tls else "http"
        return f"{scheme}://{USER}:{PASSWORD}@{HOST}:{self._server.server_address[1]}"

    def __enter__(self) -> FakeNode:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, body: bytes) -> bytes:
        """The answer to one JSON-RPC body."""
        requests = message.load(body)
        if isinstance(requests, list):
            return message.exact([self._one(each) for each in requests], None).encode()
        return message.exact(self._one(requests), None).encode()

    def _one(self, request: Mapping[str, Any]) -> dict[str, Any]:
        method, params = request["method"], request.get("params", [])
        self.calls.append((method, params))
        try:
            result = self.answers[method] if method in self.answers else _unknown(method)
            if callable(result):
                result = result(**params) if isinstance(params, dict) else result(*params)
            if isinstance(result, RpcFailure):
                raise result
        except RpcFailure as error:
            described = {"code": error.code, "message": error.message, "data": error.data}
            return {"jsonrpc": "2.0", "id": request["id"], "error": described}
        return {"jsonrpc": "2.0", "id": request["id"], "result": result}


def _unknown(method: str) -> RpcFailure:
    return RpcFailure(-32601, f"Method not found: {method}", {"rule": "method-unknown", "hint": "Ask help."})


def _handler(node: FakeNode) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if node.refusals:
                self._refuse(node.refusals.pop(0))
            elif self.headers.get("Authorization") != message.authorization(USER, PASSWORD):
                self._refuse(Refusal(401))
            else:
                self._send(200, "application/json", node.answer(body))

        def _refuse(self, refusal: Refusal) -> None:
            if refusal.status == 0:
                self.close_connection = True
                return
            self._send(refusal.status, refusal.kind, refusal.body.encode(), refusal.retry_after)

        def _send(self, status: int, kind: str, body: bytes, retry_after: str = "") -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            if retry_after:
                self.send_header("Retry-After", retry_after)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
            """Requests are kept in `calls`, not written to standard error."""

    return Handler
