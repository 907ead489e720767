"""What twisted.web can do: its own Site with one resource that answers a constant.

A process of its own, started with the number of bytes to answer; says its port on standard output.
"""

from __future__ import annotations

import sys
from typing import Any

from twisted.internet.interfaces import IListeningPort
from twisted.web.resource import Resource
from twisted.web.server import Site

from timed.bench.loop import Orders, reactor

HOST = "127.0.0.1"
BACKLOG = 1_024
FRAME = b'{"jsonrpc":"2.0","result":"%s","id":1}'


class Constant(Resource):
    """Answers every POST with the same bytes."""

    isLeaf = True

    def __init__(self, body: bytes) -> None:
        super().__init__()
        self._body = body

    def render_POST(self, request: Any) -> bytes:
        request.setHeader(b"Content-Type", b"application/json")
        return self._body


def body_of(size: int) -> bytes:
    """An answer of this many bytes, or of as many as an empty result takes."""
    return FRAME % (b"0" * max(0, size - len(FRAME % b"")))


def main() -> None:
    site = Site(Constant(body_of(int(sys.argv[1]))))
    port: IListeningPort = reactor.listenTCP(0, site, backlog=BACKLOG, interface=HOST)
    address: Any = port.getHost()
    orders = Orders(lambda order: None)
    orders.say(address.port)
    reactor.run()


if __name__ == "__main__":
    main()
