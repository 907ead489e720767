"""Light clients that follow a node, all in one process: real sessions of peers that have no chain.

Started with one JSON object: {"port", "node_id", "genesis"}, and if wanted {"plain",
"first", "own_addresses"}: whether links are plain TCP, the number of the first client,
and whether each dials from a loopback address of its own. Orders, each with one answer:

{"peers": n}        the number of open sessions, once there are n of them
{"closed": true}    the number of sessions that have ended so far
{"ping": s}         true; from now on each client pings every s seconds, or (0) never
{"figures": true}   what they saw since the last such question (`Seen`)
{"seen": true}      the same, and the count goes on
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from typing import Any

import attrs
from twisted.internet.interfaces import IDelayedCall

from timed.bench.host import HOST, TableHost, make_table, now_us, reactor_at
from timed.bench.loop import Orders, reactor
from timed.peer.values import Closed, Delivery, Incoming, Opened, PeerAddress
from timed.wire.messages import (
    BlockAnnouncement,
    GetHeaders,
    GetPendingTransactions,
    HeadersResponse,
    PendingTransactionsResponse,
    Pong,
    TransactionFinalized,
)

DIALS_AT_ONCE = 8
PONG = Pong.entry().name
_ADDRESSES = 250
"""Clients to a group of addresses in which each has a /24 of its own."""


def address_of(number: int) -> str:
    """The loopback address of a client; no two are in one /24."""
    return f"127.{1 + number // _ADDRESSES}.{1 + number % _ADDRESSES}.1"


@attrs.define
class Seen:
    """What the clients of one process saw in a while."""

    pings: int = 0
    """Those that each client was told to send, not the session's own."""
    unanswered: int = 0
    """Pings that had no pong when the next was due."""
    round_trips_us: list[int] = attrs.Factory(list)
    final: Counter[str] = attrs.Factory(Counter)
    """Transaction id to the number of clients that were told that it is final."""
    blocks: Counter[int] = attrs.Factory(Counter)
    """The same of block heights."""
    repeated: int = 0
    """Certificates that a client had been given before."""
    closed: Counter[str] = attrs.Factory(Counter)


class Follower(TableHost):
    """One client. It asks nothing, and answers like somebody who has nothing."""

    def __init__(self, number: int, settings: dict[str, Any], crowd: Followers) -> None:
        self.number = number
        self.node_id = bytes.fromhex(settings["node_id"])
        address = PeerAddress(HOST, int(settings["port"]), self.node_id)
        genesis = bytes.fromhex(settings["genesis"])
        own = address_of(number) if settings.get("own_addresses") else None
        super().__init__(
            make_table(number + 1, (address,), genesis),
            bool(settings.get("plain")),
            self._arrived,
            reactor if own is None else reactor_at(own),
        )
        self._crowd = crowd
        self._final: set[bytes] = set()
        self._pongs = 0
        self._asked: int | None = None
        """Pongs that had come when it pinged last."""

    def received(self, link: int, data: bytes) -> None:
        super().received(link, data)
        session = self.table.session_with(self.node_id)
        pongs = 0 if session is None else session.traffic.received.get(PONG, 0)
        if session is not None and pongs > self._pongs and session.traffic.round_trip is not None:
            self._crowd.seen.round_trips_us.append(session.traffic.round_trip)
        self._pongs = pongs

    def ping(self) -> None:
        """Send a ping now, if the session is open."""
        self._crowd.seen.unanswered += self._asked == self._pongs
        self._asked = None
        if self.table.ping(self.node_id, now_us()):
            self._crowd.seen.pings += 1
            self._asked = self._pongs
            self.turn()

    def _arrived(self, delivery: Delivery) -> None:
        if isinstance(delivery, Opened):
            self._crowd.opened(self)
        elif isinstance(delivery, Closed):
            self._crowd.closed(self, delivery.reason)
        elif isinstance(delivery, Incoming):
            if delivery.request_id and not delivery.is_reply:
                self._answer(delivery)
            else:
                self._note(delivery.message)

    def _note(self, message: object) -> None:
        seen = self._crowd.seen
        if isinstance(message, BlockAnnouncement):
            seen.blocks[message.height] += 1
        elif isinstance(message, TransactionFinalized):
            txid = message.certificate.target
            seen.repeated += txid in self._final
            self._final.add(txid)
            seen.final[txid.hex()] += 1

    def _answer(self, asked: Incoming) -> None:
        reply: Any = None
        if isinstance(asked.message, GetPendingTransactions):
            reply = PendingTransactionsResponse(epoch=1, txids=())
        elif isinstance(asked.message, GetHeaders):
            reply = HeadersResponse(headers=())
        if reply is not None:
            self.table.send_to_peer(self.node_id, reply, reply_to=asked.request_id)


class Followers:
    """Opens sessions a few at a time, and keeps the count of what their clients see."""

    follower: type[Follower] = Follower

    def __init__(self, settings: dict[str, Any]) -> None:
        self.seen = Seen()
        self.hosts: list[Follower] = []
        self._settings = settings
        self._orders = Orders(self._order)
        self._wanted = 0
        self._open: dict[int, None] = {}
        self._closed = 0
        self._waiting = False
        self._every_s = 0.0
        self._calls: dict[int, IDelayedCall] = {}

    def _order(self, order: dict[str, Any]) -> None:
        if "closed" in order:
            self._orders.say(self._closed)
        elif "peers" in order:
            self._wanted, self._waiting = int(order["peers"]), True
            self._dial(DIALS_AT_ONCE)
            self._say_if_open()
        elif "ping" in order:
            self._ping_every(float(order["ping"]))
            self._orders.say(True)
        elif "seen" in order:
            self._orders.say(attrs.asdict(self.seen))
        elif "figures" in order:
            seen, self.seen = self.seen, Seen()
            self._orders.say(attrs.asdict(seen))

    def _dial(self, more: int) -> None:
        for _ in range(min(more, self._wanted - len(self.hosts))):
            number = int(self._settings.get("first", 0)) + len(self.hosts)
            host = self.follower(number, self._settings, self)
            self.hosts.append(host)
            host.wake()

    def opened(self, host: Follower) -> None:
        """A client has a session."""
        self._open[host.number] = None
        self._dial(1)
        self._say_if_open()

    def _say_if_open(self) -> None:
        if self._waiting and len(self._open) == self._wanted:
            self._waiting = False
            self._orders.say(len(self._open))

    def closed(self, host: Follower, reason: str) -> None:
        """A client has lost its session."""
        self._open.pop(host.number, None)
        self._closed += 1
        self.seen.closed[reason] += 1

    def _ping_every(self, seconds: float) -> None:
        """Evenly spread: the clients of a crowd do not all speak at once."""
        for call in self._calls.values():
            call.cancel()
        self._calls.clear()
        self._every_s = seconds
        if not seconds:
            return
        for index, host in enumerate(self.hosts):
            self._ping_later(host, seconds * (index + 1) / len(self.hosts))

    def _ping_later(self, host: Follower, seconds: float) -> None:
        self._calls[host.number] = reactor.callLater(seconds, self._ping, host)

    def _ping(self, host: Follower) -> None:
        host.ping()
        self._ping_later(host, self._every_s)


def main() -> None:
    followers = Followers(json.loads(sys.argv[1]))
    reactor.run()
    del followers


if __name__ == "__main__":
    main()
