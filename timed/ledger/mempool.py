"""Transactions that wait for a block.

The caller admits a transaction after its rules and signatures were checked. What
is here is remembered in the order it came; nothing is decided by a clock. Every
bound has a policy and a counter:

- full: the cheapest newcomers per byte give way, with what spends their outputs;
  a newcomer that pays no more than they do is refused instead;
- a third transaction that spends one outpoint is refused: two are proof enough;
- a transaction that no epoch certified within MAX_AGE blocks is dropped;
- transactions with unknown inputs wait apart (`Mempool.waiting`).
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, KeysView, Set
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

import attrs
import msgspec

from timed.errors import InvalidTransaction
from timed.ledger.waiting import Waiting

if TYPE_CHECKING:
    from timed.primitives.transaction import OutPoint, Output, Transaction

MAX_COUNT = 50_000
MAX_BYTES = 32 * 1024 * 1024
MAX_CONFLICTS = 2
"""Transactions kept that spend the same outpoint."""
MAX_AGE = 144
"""Blocks after which an uncertified transaction is dropped."""
MAX_GROUP = 100
"""Transactions that give way together; what has more descendants stays."""
MAX_TRIES = 64
"""Candidates looked at to make room for one newcomer."""
RATE_SCALE = 1_000
"""Fees are compared in units per this many bytes."""


@attrs.define
class MempoolCounters:
    """What happened since the start of the process."""

    admitted: int = 0
    refused_full: int = 0
    refused_conflict: int = 0
    evicted: int = 0
    expired: int = 0
    conflicted: int = 0


class Entry(msgspec.Struct, gc=False):
    """One admitted transaction; `height` is the tip's when it came, `rate` the fee per 1,000 bytes."""

    transaction: Transaction
    fee: int
    height: int
    sequence: int
    pinned: bool = False

    @property
    def rate(self) -> int:
        return self.fee * RATE_SCALE // self.transaction.size


class Mempool:
    """Admitted transactions by txid, with who spends what."""

    def __init__(self, max_count: int = MAX_COUNT, max_bytes: int = MAX_BYTES) -> None:
        self.counters = MempoolCounters()
        self.bytes = 0
        self.max_count = max_count
        self.max_bytes = max_bytes
        self._entries: dict[bytes, Entry] = {}
        self._spenders: dict[OutPoint, tuple[bytes, ...]] = {}
        self._children: dict[bytes, dict[bytes, None]] = {}
        self._cheapest: list[tuple[int, int, bytes]] = []
        self._sequence = 0
        self.waiting = Waiting()

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, txid: object) -> bool:
        return txid in self._entries

    def __iter__(self) -> Iterator[Transaction]:
        """All transactions, oldest first; safe against changes while iterating."""
        return iter([entry.transaction for entry in self._entries.values()])

    def get(self, txid: bytes) -> Transaction | None:
        entry = self._entries.get(txid)
        return None if entry is None else entry.transaction

    def entry(self, txid: bytes) -> Entry | None:
        return self._entries.get(txid)

    def txids(self) -> tuple[bytes, ...]:
        """Oldest first."""
        return tuple(self._entries)

    def output(self, outpoint: OutPoint) -> Output | None:
        """An output of a transaction in here, whoever spends it."""
        entry = self._entries.get(outpoint.txid)
        if entry is None or outpoint.index >= len(entry.transaction.outputs):
            return None
        return entry.transaction.outputs[outpoint.index]

    def spenders(self, outpoint: OutPoint) -> tuple[bytes, ...]:
        """The txids in here that spend `outpoint`, first come first; more than one is a conflict."""
        return self._spenders.get(outpoint, ())

    def spent_among(self, outpoints: KeysView[OutPoint]) -> Set[OutPoint]:
        """Those that a transaction in here spends; walks through the smaller of the two sets."""
        return self._spenders.keys() & outpoints

    def conflicts(self, transaction: Transaction) -> tuple[bytes, ...]:
        """The other txids in here that spend an outpoint of `transaction`."""
        found: dict[bytes, None] = {}
        for outpoint in transaction.inputs:
            found.update(dict.fromkeys(self._spenders.get(outpoint, ())))
        found.pop(transaction.txid, None)
        return tuple(found)

    def children(self, txid: bytes) -> tuple[bytes, ...]:
        """The txids in here that spend an output of `txid`."""
        return tuple(self._children.get(txid, ()))

    def lineage(self, transaction: Transaction, known: Container[bytes]) -> list[Transaction]:
        """It and the transactions in here that it descends from, parents first; what is `known`, and what only
        that descends from, is left out."""
        found: dict[bytes, Transaction] = {}
        path = [transaction]
        while path:
            unknown = (
                entry.transaction
                for outpoint in path[-1].inputs
                if outpoint.txid not in found and outpoint.txid not in known
                if (entry := self._entries.get(outpoint.txid)) is not None
            )
            parent = next(unknown, None)
            if parent is not None:
                path.append(parent)
            else:
                one = path.pop()
                found[one.txid] = one
        return list(found.values())

    def descendants(self, txid: bytes, limit: int = MAX_COUNT) -> tuple[bytes, ...]:
        """Everything in here that could not stand without `txid`, nearest first.

        The search ends when more than `limit` are found.
        """
        return tuple(self._below((txid,), limit))

    def judge(self, transaction: Transaction, fee: int) -> tuple[bytes, ...]:
        """The txids that would have to give way to a checked transaction; nothing changes.

        Raises InvalidTransaction: `mempool-duplicate`, `mempool-conflict` or `mempool-full`.
        """
        if transaction.txid in self._entries:
            raise InvalidTransaction("mempool-duplicate")
        if any(len(self._spenders.get(outpoint, ())) >= MAX_CONFLICTS for outpoint in transaction.inputs):
            raise InvalidTransaction("mempool-conflict", "two others spend the same output")
        return self._room_for(Entry(transaction, fee, 0, self._sequence))

    def add(self, transaction: Transaction, fee: int, height: int) -> tuple[bytes, ...]:
        """Admit a checked transaction; return the txids that had to give way.

        `height` is the tip's. Raises InvalidTransaction as `judge` does; then nothing has changed.
        """
        try:
            victims = self.judge(transaction, fee)
        except InvalidTransaction as refusal:
            self.counters.refused_conflict += refusal.rule == "mempool-conflict"
            self.counters.refused_full += refusal.rule == "mempool-full"
            raise
        for victim in victims:
            self._remove(victim)
        self.counters.evicted += len(victims)
        self._insert(Entry(transaction, fee, height, self._sequence))
        self.counters.admitted += 1
        return victims

    def pin(self, txid: bytes) -> None:
        """Keep the transaction and what it spends from in here until a block or `unpin`."""
        pending = [txid]
        while pending:
            entry = self._entries.get(pending.pop())
            if entry is not None and not entry.pinned:
                entry.pinned = True
                pending.extend(outpoint.txid for outpoint in entry.transaction.inputs)

    def unpin_all(self) -> None:
        """An epoch has closed: what is left may give way again."""
        for entry in self._entries.values():
            entry.pinned = False
        self._rebuild()

    def remove(self, txid: bytes) -> tuple[bytes, ...]:
        """Take one transaction and its descendants out; return what went."""
        if txid not in self._entries:
            return ()
        return self._drop((txid,))

    def remove_confirmed(self, txids: Iterable[bytes], spent: Iterable[OutPoint]) -> tuple[bytes, ...]:
        """Take out what a block confirmed, and drop what it made impossible.

        `spent` are all outpoints the block spends. Returns the dropped txids:
        other spenders of those outpoints, and their descendants.
        """
        for txid in txids:
            if txid in self._entries:
                self._remove(txid)
        losers: dict[bytes, None] = {}
        for outpoint in spent:
            others = self._spenders.get(outpoint)
            if others:
                losers.update(dict.fromkeys(others))
        dropped = self._drop(losers)
        self.counters.conflicted += len(dropped)
        return dropped

    def expire(self, height: int) -> tuple[bytes, ...]:
        """Drop what came MAX_AGE blocks before `height` or earlier, with descendants."""
        stale = []
        for txid, entry in self._entries.items():
            if entry.height + MAX_AGE > height:
                break
            stale.append(txid)
        dropped = self._drop(stale)
        self.counters.expired += len(dropped)
        return dropped

    def _room_for(self, newcomer: Entry) -> tuple[bytes, ...]:
        """The txids to evict, cheapest first; `mempool-full` when that would not be fair or enough."""
        victims: dict[bytes, None] = {}
        count, size = len(self._entries) + 1, self.bytes + newcomer.transaction.size
        tried: list[tuple[int, int, bytes]] = []
        while count > self.max_count or size > self.max_bytes:
            candidate = self._next_cheapest(newcomer, tried)
            if candidate is None:
                break
            for txid in self._group(newcomer, candidate):
                if txid not in victims:
                    victims[txid] = None
                    count -= 1
                    size -= self._entries[txid].transaction.size
        for item in tried:
            heappush(self._cheapest, item)
        if count > self.max_count or size > self.max_bytes:
            raise InvalidTransaction("mempool-full", "it pays no more than what is here")
        return tuple(victims)

    def _next_cheapest(self, newcomer: Entry, tried: list[tuple[int, int, bytes]]) -> bytes | None:
        """The cheapest txid not tried yet, while it pays less than the newcomer."""
        while self._cheapest and len(tried) < MAX_TRIES:
            item = heappop(self._cheapest)
            if self._is_current(item):
                tried.append(item)
                return item[2] if item[0] < newcomer.rate else None
        return None

    def _group(self, newcomer: Entry, txid: bytes) -> tuple[bytes, ...]:
        """`txid` and what falls with it; empty when that is too much or feeds the newcomer."""
        group = (txid, *self.descendants(txid, MAX_GROUP))
        parents = {outpoint.txid for outpoint in newcomer.transaction.inputs}
        if len(group) > MAX_GROUP or any(each in parents for each in group):
            return ()
        return group

    def _is_current(self, candidate: tuple[int, int, bytes]) -> bool:
        entry = self._entries.get(candidate[2])
        return entry is not None and entry.sequence == -candidate[1] and not entry.pinned

    def _insert(self, entry: Entry) -> None:
        txid = entry.transaction.txid
        self._entries[txid] = entry
        self._sequence += 1
        self.bytes += entry.transaction.size
        for outpoint in entry.transaction.inputs:
            self._spenders[outpoint] = (*self._spenders.get(outpoint, ()), txid)
            self._children.setdefault(outpoint.txid, {})[txid] = None
        heappush(self._cheapest, (entry.rate, -entry.sequence, txid))

    def _below(self, txids: Iterable[bytes], limit: int = MAX_COUNT) -> dict[bytes, None]:
        """What descends from any of these and is none of them, nearest first; more than `limit` end the search."""
        frontier = list(txids)
        known = set(frontier)
        found: dict[bytes, None] = {}
        while frontier and len(found) <= limit:
            children = (child for parent in frontier for child in self._children.get(parent, ()))
            frontier = [child for child in dict.fromkeys(children) if child not in known]
            known.update(frontier)
            found.update(dict.fromkeys(frontier))
        return found

    def _drop(self, txids: Iterable[bytes]) -> tuple[bytes, ...]:
        doomed = dict.fromkeys(txids)
        doomed |= self._below(doomed)
        for txid in doomed:
            self._remove(txid)
        return tuple(doomed)

    def _remove(self, txid: bytes) -> None:
        entry = self._entries.pop(txid)
        self.bytes -= entry.transaction.size
        for outpoint in entry.transaction.inputs:
            spenders = self._spenders.pop(outpoint)
            if len(spenders) > 1:
                self._spenders[outpoint] = tuple([other for other in spenders if other != txid])
            siblings = self._children.get(outpoint.txid)
            if siblings is not None:
                siblings.pop(txid, None)
                if not siblings:
                    del self._children[outpoint.txid]
        if len(self._cheapest) > 2 * len(self._entries) + 64:
            self._rebuild()

    def _rebuild(self) -> None:
        self._cheapest = [
            (entry.rate, -entry.sequence, txid) for txid, entry in self._entries.items() if not entry.pinned
        ]
        heapify(self._cheapest)
