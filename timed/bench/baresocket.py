"""What autobahn and Twisted can do: one text to everybody who has connected, framed once, in one turn.

A process of its own; says its port on standard output, then how many it sent each text to.
"""

from __future__ import annotations

import re
import time
from typing import Any

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from twisted.internet.interfaces import IListeningPort

from timed.bench.loop import Orders, reactor

HOST = "127.0.0.1"
BACKLOG = 1_024
_TIME = re.compile(rb'(?<="time_ms":)[0-9]+')


class Everybody(WebSocketServerFactory):
    """All clients."""

    def __init__(self) -> None:
        super().__init__()
        self.clients: dict[Client, None] = {}
        self.protocol = Client

    def send(self, text: bytes) -> int:
        """With the time at which it is sent in it."""
        payload = _TIME.sub(b"%d" % (time.time_ns() // 1_000_000), text)
        message = self.prepareMessage(payload)
        for client in self.clients:
            client.sendPreparedMessage(message)
        return len(self.clients)


class Client(WebSocketServerProtocol):
    """One of them."""

    factory: Everybody

    def onOpen(self) -> None:  # noqa: N802 - autobahn's name
        self.factory.clients[self] = None

    def onClose(self, was_clean: bool, code: int, reason: str) -> None:  # noqa: N802 - autobahn's name
        self.factory.clients.pop(self, None)


def main() -> None:
    everybody = Everybody()
    port: IListeningPort = reactor.listenTCP(0, everybody, backlog=BACKLOG, interface=HOST)
    address: Any = port.getHost()

    def handle(order: dict[str, Any]) -> None:
        orders.say(everybody.send(order["send"].encode("utf-8")))

    orders = Orders(handle)
    orders.say(address.port)
    reactor.run()


if __name__ == "__main__":
    main()
