"""The one order of transactions in a block: parents first, then by txid (protocol §3)."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

from timed.errors import InvalidBlock

if TYPE_CHECKING:
    from timed.primitives.transaction import Transaction


def order_transactions(transactions: Sequence[Transaction]) -> tuple[Transaction, ...]:
    """The transactions in block order, whatever order they come in.

    At every place stands the smallest txid among those whose parents, as far as
    they are in the set, stand before it. Raises InvalidBlock for a repeated txid.
    """
    by_txid = {transaction.txid: transaction for transaction in transactions}
    if len(by_txid) != len(transactions):
        raise InvalidBlock("transaction-duplicate")
    children: dict[bytes, list[bytes]] = {}
    waits_for: dict[bytes, int] = {}
    for txid, transaction in by_txid.items():
        parents = [outpoint.txid for outpoint in transaction.inputs if outpoint.txid in by_txid]
        if parents:
            waits_for[txid] = len(set(parents))
            for parent in dict.fromkeys(parents):
                children.setdefault(parent, []).append(txid)
    if not waits_for:
        return tuple([by_txid[txid] for txid in sorted(by_txid)])
    ready = [txid for txid in by_txid if txid not in waits_for]
    heapify(ready)
    ordered = []
    while ready:
        txid = heappop(ready)
        ordered.append(by_txid[txid])
        for child in children.get(txid, ()):
            waits_for[child] -= 1
            if waits_for[child] == 0:
                heappush(ready, child)
    if len(ordered) != len(by_txid):
        raise InvalidBlock("transaction-order", "transactions spend one another in a circle")
    return tuple(ordered)
