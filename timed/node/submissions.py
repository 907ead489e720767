"""What this node's users handed in: in the log until a block holds it, or until they were told that it is dropped.

A record `TransactionRejected` ends what the record `TransactionBroadcast` of the same
payment began. It is durable before anybody hears of it: a sender who was told that a
payment is dropped may pay again, and no crash may bring back the first one.
"""

from __future__ import annotations

from collections.abc import Callable

from timed.consensus.fastpath import FastPath
from timed.events import NodeEvent, TransactionDropped
from timed.ledger.mempool import Mempool
from timed.node.gate import Gate, Then
from timed.primitives.transaction import Transaction
from timed.wire.message import Message
from timed.wire.messages import TransactionBroadcast, TransactionRejected


class Submissions:
    """The pending transactions that the log holds for users, with the pending ones they spend."""

    def __init__(
        self, mempool: Mempool, fastpath: FastPath, gate: Gate, publish: Callable[[NodeEvent], None]
    ) -> None:
        self._mempool = mempool
        self._fastpath = fastpath
        self._gate = gate
        self._publish = publish
        self._txids: dict[bytes, None] = {}

    def restored(self, txid: bytes) -> None:
        """The log holds it, and it is pending again."""
        self._txids[txid] = None

    def ended(self, txid: bytes) -> None:
        """The log says that its sender was told of its end: whatever the log holds of it counts no more."""
        self._mempool.remove(txid)
        self._fastpath.forget(txid)
        self._txids.pop(txid, None)

    def keep(self, transaction: Transaction, then: Then) -> None:
        """Log it, behind what it descends from, unless that was asked for before; `then` is called when it is durable."""
        lineage = [] if transaction.txid in self._txids else self._mempool.lineage(transaction, self._txids)
        self._txids.update(dict.fromkeys(one.txid for one in lineage))
        self._gate.persist([TransactionBroadcast(transaction=one) for one in lineage], then)

    def dropped(self, txid: bytes, rule: str) -> None:
        """It is in the mempool no more: tell it, once the log agrees.

        What somebody has voted for goes its way all the same, so the log keeps it.
        """
        event = TransactionDropped(txid, rule)
        if txid in self._txids and txid not in self._fastpath.tallies:
            record = TransactionRejected(txid=txid, rule=rule, detail="")
            self._gate.persist((record,), lambda now: self._publish(event))
        else:
            self._publish(event)
        self._txids.pop(txid, None)

    def outliving(self, confirmed: tuple[bytes, ...]) -> list[Message]:
        """What the log must go on holding when a block of these transactions ends it."""
        ended = frozenset(confirmed)
        return [
            TransactionBroadcast(transaction=transaction)
            for txid in self._txids
            if txid not in ended and (transaction := self._mempool.get(txid)) is not None
        ]

    def confirmed(self, txids: tuple[bytes, ...]) -> None:
        """A block holds them."""
        for txid in txids:
            self._txids.pop(txid, None)
