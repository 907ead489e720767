"""Transactions that spend outputs nobody here knows yet.

They are kept until the transaction that makes those outputs arrives. The pool is
bounded by count and bytes; the oldest gives way and is counted.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from timed.primitives.transaction import Transaction

MAX_WAITING = 1_000
MAX_WAITING_BYTES = 2 * 1024 * 1024


class Waiting:
    """Unplaced transactions, found by the txids they wait for."""

    def __init__(self, max_count: int = MAX_WAITING, max_bytes: int = MAX_WAITING_BYTES) -> None:
        self.evicted = 0
        self.bytes = 0
        self.max_count = max_count
        self.max_bytes = max_bytes
        self._transactions: dict[bytes, Transaction] = {}
        self._missing: dict[bytes, tuple[bytes, ...]] = {}
        self._by_parent: dict[bytes, dict[bytes, None]] = {}

    def __len__(self) -> int:
        return len(self._transactions)

    def __contains__(self, txid: object) -> bool:
        return txid in self._transactions

    def get(self, txid: bytes) -> Transaction | None:
        return self._transactions.get(txid)

    def add(self, transaction: Transaction, missing: Iterable[bytes]) -> None:
        """Keep `transaction` until one of the `missing` txids is known; a second time does nothing."""
        if transaction.txid in self._transactions or transaction.size > self.max_bytes:
            return
        txid = transaction.txid
        self._transactions[txid] = transaction
        self._missing[txid] = tuple(dict.fromkeys(missing))
        self.bytes += transaction.size
        for parent in self._missing[txid]:
            self._by_parent.setdefault(parent, {})[txid] = None
        while len(self._transactions) > self.max_count or self.bytes > self.max_bytes:
            self.remove(next(iter(self._transactions)))
            self.evicted += 1

    def wanted(self) -> tuple[bytes, ...]:
        """The unknown txids that somebody waits for, oldest first."""
        return tuple(self._by_parent)

    def take(self, parent: bytes) -> tuple[Transaction, ...]:
        """Remove and return, oldest first, what waited for `parent`; it may be missing others still."""
        txids = tuple(self._by_parent.get(parent, ()))
        return tuple(found for txid in txids if (found := self.remove(txid)) is not None)

    def remove(self, txid: bytes) -> Transaction | None:
        """Forget one transaction; None when it is not here."""
        transaction = self._transactions.pop(txid, None)
        if transaction is None:
            return None
        self.bytes -= transaction.size
        for parent in self._missing.pop(txid):
            children = self._by_parent[parent]
            del children[txid]
            if not children:
                del self._by_parent[parent]
        return transaction
