"""Transactions that spend outputs nobody here knows yet.

They are kept until the transaction that makes those outputs arrives. Their
signatures cannot be checked before, so nothing of this is handed on, bodies of
one id that differ in their witnesses wait side by side, and each remembers who
sent it. The pool is bounded by count and bytes; whoever fills most of it loses its
oldest, which is counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeVar

import attrs

if TYPE_CHECKING:
    from timed.primitives.transaction import Transaction

K = TypeVar("K")

MAX_WAITING = 1_000
MAX_WAITING_BYTES = 2 * 1024 * 1024


@attrs.frozen
class Waiter:
    """One body, who sent it (None: a user of this node), and whether it came with a certificate."""

    transaction: Transaction
    missing: tuple[bytes, ...]
    origin: bytes | None = None
    certified: bool = False


class Waiting:
    """Unplaced transactions, found by the txids they wait for."""

    def __init__(self, max_count: int = MAX_WAITING, max_bytes: int = MAX_WAITING_BYTES) -> None:
        self.evicted = 0
        self.bytes = 0
        self.max_count = max_count
        self.max_bytes = max_bytes
        self._waiters: dict[bytes, Waiter] = {}
        """By encoding, oldest first."""
        self._bodies: dict[bytes, dict[bytes, None]] = {}
        self._by_parent: dict[bytes, dict[bytes, None]] = {}
        self._by_origin: dict[bytes | None, dict[bytes, None]] = {}
        self._bytes_of: Counter[bytes | None] = Counter()

    def __len__(self) -> int:
        return len(self._waiters)

    def __contains__(self, txid: object) -> bool:
        return txid in self._bodies

    def get(self, txid: bytes) -> Transaction | None:
        """A body of this id; nobody knows whether its signatures are right."""
        return next((self._waiters[raw].transaction for raw in self._bodies.get(txid, ())), None)

    def add(
        self,
        transaction: Transaction,
        missing: Iterable[bytes],
        origin: bytes | None = None,
        *,
        certified: bool = False,
    ) -> None:
        """Keep `transaction` until one of the `missing` txids is known; a second time at most a certificate counts."""
        raw = transaction.raw
        known = self._waiters.get(raw)
        if known is not None:
            self._waiters[raw] = attrs.evolve(known, certified=known.certified or certified)
            return
        if transaction.size > self.max_bytes:
            return
        waiter = Waiter(transaction, tuple(dict.fromkeys(missing)), origin, certified)
        self._waiters[raw] = waiter
        self._bodies.setdefault(transaction.txid, {})[raw] = None
        self._by_origin.setdefault(origin, {})[raw] = None
        for parent in waiter.missing:
            self._by_parent.setdefault(parent, {})[raw] = None
        self.bytes += transaction.size
        self._bytes_of[origin] += transaction.size
        while len(self._waiters) > self.max_count or self.bytes > self.max_bytes:
            self._evict()

    def wanted(self) -> tuple[bytes, ...]:
        """The unknown txids that somebody waits for, oldest first."""
        return tuple(self._by_parent)

    def take(self, parent: bytes) -> tuple[Waiter, ...]:
        """Remove and return, oldest first, what waited for `parent`; it may be missing others still."""
        return tuple([self._remove(raw) for raw in tuple(self._by_parent.get(parent, ()))])

    def _evict(self) -> None:
        if len(self._waiters) > self.max_count:
            fullest = max(self._by_origin, key=lambda origin: len(self._by_origin[origin]))
        else:
            fullest = max(self._by_origin, key=lambda origin: self._bytes_of[origin])
        self._remove(next(iter(self._by_origin[fullest])))
        self.evicted += 1

    def _remove(self, raw: bytes) -> Waiter:
        waiter = self._waiters.pop(raw)
        size = waiter.transaction.size
        self.bytes -= size
        self._bytes_of[waiter.origin] -= size
        _discard(self._bodies, waiter.transaction.txid, raw)
        for parent in waiter.missing:
            _discard(self._by_parent, parent, raw)
        if _discard(self._by_origin, waiter.origin, raw):
            del self._bytes_of[waiter.origin]
        return waiter


def _discard(table: dict[K, dict[bytes, None]], key: K, raw: bytes) -> bool:
    """Take `raw` out of a table of sets; True when that was the last one under `key`."""
    entries = table[key]
    del entries[raw]
    if entries:
        return False
    del table[key]
    return True
