"""Quiet light protocol clients, all in one process: real sessions that say no more than they must.

Started with one JSON object: {"port", "node_id", "genesis"}. The order {"peers": n} is
answered with the number of open sessions once there are n of them; {"closed": true}
with the number of sessions that have ended so far.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from timed.bench.host import HOST, TableHost, make_table
from timed.bench.loop import Orders, reactor
from timed.peer.values import Closed, Delivery, Incoming, Opened, PeerAddress
from timed.wire.messages import (
    GetHeaders,
    GetPendingTransactions,
    HeadersResponse,
    PendingTransactionsResponse,
)

DIALS_AT_ONCE = 8


class Quiet:
    """Opens sessions, answers what a node asks of somebody who has nothing."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._genesis = bytes.fromhex(settings["genesis"])
        self._node = bytes.fromhex(settings["node_id"])
        self._address = PeerAddress(HOST, int(settings["port"]), self._node)
        self._orders = Orders(self._order)
        self._hosts: list[TableHost] = []
        self._wanted = 0
        self._opened = 0
        self._closed = 0

    def _order(self, order: dict[str, Any]) -> None:
        if "closed" in order:
            self._orders.say(self._closed)
            return
        self._wanted = int(order["peers"])
        self._open(DIALS_AT_ONCE)

    def _open(self, more: int) -> None:
        for _ in range(min(more, self._wanted - len(self._hosts))):
            index = len(self._hosts)
            host = TableHost(
                make_table(index + 1, (self._address,), self._genesis),
                False,
                lambda delivery, index=index: self._delivered(index, delivery),  # type: ignore[misc]
            )
            self._hosts.append(host)
            host.wake()

    def _delivered(self, index: int, delivery: Delivery) -> None:
        if isinstance(delivery, Opened):
            self._opened += 1
            self._open(1)
            if self._opened == self._wanted:
                self._orders.say(self._opened)
        elif isinstance(delivery, Closed):
            self._closed += 1
        elif isinstance(delivery, Incoming) and delivery.request_id and not delivery.is_reply:
            self._answer(index, delivery)

    def _answer(self, index: int, asked: Incoming) -> None:
        table = self._hosts[index].table
        if isinstance(asked.message, GetPendingTransactions):
            table.send_to_peer(
                self._node, PendingTransactionsResponse(epoch=1, txids=()), reply_to=asked.request_id
            )
        elif isinstance(asked.message, GetHeaders):
            table.send_to_peer(self._node, HeadersResponse(headers=()), reply_to=asked.request_id)


def main() -> None:
    quiet = Quiet(json.loads(sys.argv[1]))
    reactor.run()
    del quiet


if __name__ == "__main__":
    main()
