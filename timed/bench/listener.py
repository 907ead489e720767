"""The receiving node of the priority benchmark, in a process of its own.

Started with one JSON object: {"port", "plain", "decode", "in_flight"}. It keeps
`in_flight` requests for a block open and notes when each vote is there. Answers "ready"
once it is connected, and each order:

    {"blocks": true | false}    "ok"; whether it asks for blocks from now on
    {"votes": n}                [[height, monotonic ns], ...] once n votes are there

With `decode` off, frames are followed and sorted by class but not decoded: what the
link alone does. It then asks again when the last frame of a block has come.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from timed.bench.host import HOST, TableHost, make_table, node_key, now_us
from timed.bench.loop import Orders, reactor
from timed.bench.measure import settle_collector
from timed.peer.values import Delivery, Incoming, Opened, PeerAddress
from timed.primitives.hashing import tagged_hash
from timed.wire.catalogue import limit_for
from timed.wire.framing import FrameReader
from timed.wire.messages import BlockRequest, BlockResponse, BlockVote

BLOCK = tagged_hash("bench-block")
VOTE_NUMBER = BlockVote.entry().number
BLOCK_NUMBER = BlockResponse.entry().number


class FrameHost(TableHost):
    """A session that reads frames itself once it is open."""

    reader: FrameReader | None = None
    listener: Listener

    def received(self, link: int, data: bytes) -> None:
        if self.reader is None:
            super().received(link, data)
            return
        for frame in self.reader.feed(data):
            if frame.number == VOTE_NUMBER:
                self.listener.vote(BlockVote.decode(frame.payload).height)
            elif frame.number == BLOCK_NUMBER:
                self.table._links[link].requests.match(frame.request_id, "BlockResponse", now_us())
                self.listener.block()


class Listener:
    """Asks for blocks, counts votes."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = settings
        self._orders = Orders(self._order)
        self._asking = False
        self._open = 0
        self._sender = node_key(0).public
        self._votes: list[tuple[int, int]] = []
        self._wanted = 0
        address = PeerAddress(HOST, int(settings["port"]), self._sender)
        self._host = FrameHost(make_table(1, (address,)), bool(settings["plain"]), self._delivered)
        self._host.listener = self
        self._host.wake()

    def vote(self, height: int) -> None:
        self._votes.append((height, time.monotonic_ns()))
        self._answer()

    def block(self) -> None:
        self._open -= 1
        self._ask()

    def _ask(self) -> None:
        while self._asking and self._open < int(self._settings["in_flight"]):
            self._open += 1
            self._host.table.request(self._sender, BlockRequest(BLOCK), now_us())
            self._host.turn()

    def _delivered(self, delivery: Delivery) -> None:
        if isinstance(delivery, Opened):
            if not self._settings["decode"]:
                magic = self._host.table.identity.params.magic
                self._host.reader = FrameReader(
                    magic, limit_for=limit_for, checksum=bool(self._settings["plain"])
                )
            settle_collector()
            self._orders.say("ready")
        elif isinstance(delivery, Incoming) and isinstance(delivery.message, BlockVote):
            self.vote(delivery.message.height)
        elif isinstance(delivery, Incoming):
            self.block()

    def _order(self, order: dict[str, Any]) -> None:
        if "blocks" in order:
            self._asking = bool(order["blocks"])
            self._ask()
            self._orders.say("ok")
        else:
            self._wanted = int(order["votes"])
            self._answer()

    def _answer(self) -> None:
        if self._wanted and len(self._votes) >= self._wanted:
            self._orders.say(self._votes)
            self._votes, self._wanted = [], 0


def main() -> None:
    listener = Listener(json.loads(sys.argv[1]))
    reactor.run()
    del listener


if __name__ == "__main__":
    main()
