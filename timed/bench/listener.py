"""The receiving node of the priority benchmark, in a process of its own.

Started with one JSON object: {"port", "plain", "way", "in_flight"}. It keeps `in_flight`
requests for a block open and notes when each vote is there. Answers "ready" once it is
connected, and each order:

    {"blocks": true | false}    "ok"; whether it asks for blocks from now on
    {"votes": n}                [[height, monotonic ns], ...] once n votes are there

The ways: "classes" is the session as it is, which decodes votes at once and blocks in
turns; "arrival" decodes everything whole in the order in which it came; "frames" follows
frames and decodes votes alone, which shows what the link alone does. Then it asks again
when the last frame of a block has come.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from timed.app.collector import settle_collector
from timed.bench.host import HOST, TableHost, make_table, node_key, now_us
from timed.bench.loop import Orders, reactor
from timed.peer.values import Delivery, Incoming, Opened, PeerAddress
from timed.primitives.hashing import tagged_hash
from timed.wire.catalogue import limit_for
from timed.wire.framing import FrameReader
from timed.wire.messages import BlockRequest, BlockResponse, BlockVote

BLOCK = tagged_hash("bench-block")
LET_GO = 128
"""Transactions of a block that was handled, freed in one turn."""
VOTE_NUMBER = BlockVote.entry().number
BLOCK_NUMBER = BlockResponse.entry().number


class FrameHost(TableHost):
    """A session that reads frames itself once it is open."""

    reader: FrameReader | None = None
    listener: Listener

    def received(self, link: int, data: bytes) -> None:
        if self.reader is None:
            super().received(link, data)
            if self.listener.way == "arrival":
                self._work_off()
            return
        for frame in self.reader.feed(data):
            if frame.number == VOTE_NUMBER:
                self.listener.vote(BlockVote.decode(frame.payload).height)
            elif frame.number == BLOCK_NUMBER:
                self.table._links[link].requests.match(frame.request_id, "BlockResponse", now_us())
                self.listener.block()

    def _work_off(self) -> None:
        """Let nothing wait for another turn."""
        while self.table.intake.waiting:
            self.table.intake.begin_turn()
            self._tell(self.table.tick(now_us()))


class Listener:
    """Asks for blocks, counts votes."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = settings
        self.way = str(settings["way"])
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
            if self.way == "frames":
                magic = self._host.table.identity.params.magic
                self._host.reader = FrameReader(
                    magic, limit_for=limit_for, checksum=bool(self._settings["plain"])
                )
            settle_collector()
            self._orders.say("ready")
        elif isinstance(delivery, Incoming) and isinstance(delivery.message, BlockVote):
            self.vote(delivery.message.height)
        elif isinstance(delivery, Incoming):
            if isinstance(delivery.message, BlockResponse):
                self._let_go(list(delivery.message.blocks[0].block.transactions))
            self.block()

    def _let_go(self, transactions: list[object]) -> None:
        """In parts: to free ten thousand transactions at once takes milliseconds that no session needs."""
        del transactions[-LET_GO:]
        if transactions:
            reactor.callLater(0, self._let_go, transactions)

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
