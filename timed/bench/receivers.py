"""The other end of a broadcast, in a process of its own: many receivers that say when the last has it.

Started with one JSON object: {"port", "count", "plain", "kind": "sessions" | "bytes"}.
Answers "ready" when all are connected. Each order {"expect": n} (whole messages on a
session, bytes on a bare link) is answered with "ok", then with the monotonic time in
nanoseconds at which the last receiver had them.

A session is made by a real `PeerTable`. Once it is open, frames are followed by their
headers alone: fifty receivers that decode in one process would measure this process.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from struct import Struct
from typing import Any

from timed.app.collector import settle_collector
from timed.bench.host import HOST, BareLinks, TableHost, make_table, node_key
from timed.bench.loop import Orders, reactor
from timed.peer.values import Delivery, Opened, PeerAddress
from timed.wire.framing import HEADER_SIZE, TRAILER_SIZE, Flags

DIALS_AT_ONCE = 16
_HEADER = Struct("<4sHHLL")
_CONTROL = 6
"""Messages below this number are about the session."""


class FrameCounter:
    """Counts whole messages in a stream of frames without keeping their bytes."""

    def __init__(self, trailer: int) -> None:
        self._trailer = trailer
        self._head = b""
        self._skip = 0
        self._ends = False

    def feed(self, data: bytes) -> int:
        """Messages that `data` completes, those about the session left out."""
        at, size, messages = 0, len(data), 0
        while at < size:
            if self._skip:
                step = min(self._skip, size - at)
                self._skip -= step
                at += step
            else:
                step = HEADER_SIZE - len(self._head)
                self._head += data[at : at + step]
                at += step
                if len(self._head) < HEADER_SIZE:
                    break
                _, number, flags, length, _ = _HEADER.unpack(self._head)
                self._head = b""
                self._skip = length + self._trailer
                self._ends = not flags & Flags.MORE and number >= _CONTROL
            if not self._skip and self._ends:
                self._ends = False
                messages += 1
        return messages


class CountingHost(TableHost):
    """A session that hands everything after its opening to a counter."""

    counter: FrameCounter | None = None
    counted: Callable[[int], None]

    def received(self, link: int, data: bytes) -> None:
        if self.counter is None:
            super().received(link, data)
        else:
            messages = self.counter.feed(data)
            if messages:
                self.counted(messages)


class Receivers:
    """Counts what arrives at each receiver."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.count = int(settings["count"])
        self.port = int(settings["port"])
        self.plain = bool(settings["plain"])
        self.orders = Orders(self._order)
        self._missing: dict[int, int] = {}
        self._late = 0
        self._opened = 0
        self._hosts: list[CountingHost] = []
        self._links: BareLinks | None = None
        if settings["kind"] == "sessions":
            self._open_sessions(DIALS_AT_ONCE)
        else:
            self._open_links()

    def _open_sessions(self, more: int) -> None:
        """A few at a time: the other side is one process, too."""
        address = PeerAddress(HOST, self.port, node_key(0).public)
        for _ in range(min(more, self.count - len(self._hosts))):
            index = len(self._hosts)
            host = CountingHost(
                make_table(index + 1, (address,)),
                self.plain,
                lambda delivery, index=index: self._delivered(index, delivery),  # type: ignore[misc]
            )
            host.counted = lambda messages, index=index: self._arrived(index, messages)  # type: ignore[misc]
            self._hosts.append(host)
            host.turn()
            host.wake()

    def _open_links(self) -> None:
        links = self._links = BareLinks(1, self.plain, lambda link, data: self._arrived(link, len(data)))
        for _ in range(self.count):
            links.network.dial(HOST, self.port, node_key(0).public)
        links.until(self.count).addCallback(lambda _: self._ready())

    def _ready(self) -> None:
        settle_collector()
        self.orders.say("ready")

    def _order(self, order: dict[str, Any]) -> None:
        keys = range(self.count) if self._links is None else self._links.links
        self._missing = dict.fromkeys(keys, int(order["expect"]))
        self._late = self.count
        self.orders.say("ok")

    def _delivered(self, index: int, delivery: Delivery) -> None:
        if isinstance(delivery, Opened):
            self._hosts[index].counter = FrameCounter(TRAILER_SIZE if self.plain else 0)
            self._opened += 1
            self._open_sessions(1)
            if self._opened == self.count:
                self._ready()

    def _arrived(self, key: int, amount: int) -> None:
        missing = self._missing[key] - amount
        self._missing[key] = missing
        if not missing:
            self._late -= 1
            if not self._late:
                self.orders.say(time.monotonic_ns())


def main() -> None:
    receivers = Receivers(json.loads(sys.argv[1]))
    reactor.run()
    del receivers


if __name__ == "__main__":
    main()
