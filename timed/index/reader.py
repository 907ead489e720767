"""What the indexes answer: each call is one snapshot of one index.

A reader shares the environments of the process that builds (`sharing`), or opens
them itself in another process (`IndexReader`). Errors are StoreError.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence

import attrs

from timed.errors import StoreError
from timed.index.database import INDEX_SCHEMA, IndexDatabase
from timed.index.records import Account, Holding, IndexIdentity, Progress, Spend, SpentOutputs, Totals, Touch
from timed.index.tables import ADDRESSES, INDEXES, SPENT, TRANSACTIONS, owner_key, place_key, place_of
from timed.primitives.transaction import Lock, OutPoint, Output
from timed.store.environment import height_key

MAX_PAGE = 1_000
"""Entries of one page of a history or of coins."""

Place = tuple[int, int]
"""(height, position) of a transaction."""


@attrs.frozen
class HistoryEntry:
    """One transaction of an owner; amounts in units."""

    txid: bytes
    height: int
    position: int
    received: int
    spent: int


@attrs.frozen
class HeldCoin:
    """An unspent output of an owner."""

    outpoint: OutPoint
    value: int
    height: int
    coinbase: bool


@attrs.frozen
class AccountPage:
    """An owner as of block `height`; `account` is None for one that no block knows."""

    height: int
    account: Account | None


@attrs.frozen
class HistoryPage:
    """A page of a history; `following` begins the next one, None at the end."""

    height: int
    entries: tuple[HistoryEntry, ...]
    following: Place | None


@attrs.frozen
class CoinPage:
    """A page of unspent outputs in the order of their outpoints."""

    height: int
    coins: tuple[HeldCoin, ...]
    following: OutPoint | None


@attrs.frozen
class SpendPage:
    """Who spent an outpoint; None when nobody has up to block `height`."""

    height: int
    spend: Spend | None


@attrs.frozen
class AddressReader:
    """The index by address."""

    _database: IndexDatabase

    def account(self, lock: Lock) -> AccountPage:
        with self._database.reading() as records:
            found = records.get("accounts", owner_key(lock), Account.decode)
            return AccountPage(_height(records.progress()), found)

    def history(
        self, lock: Lock, count: int, after: Place | None = None, *, newest_first: bool = False
    ) -> HistoryPage:
        """At most `count` (1 to MAX_PAGE) transactions beyond `after`."""
        count = min(count, MAX_PAGE)
        entries: list[HistoryEntry] = []
        with self._database.reading() as records:
            touches = records.under(
                "history",
                owner_key(lock),
                Touch.decode,
                after=None if after is None else place_key(*after),
                backwards=newest_first,
            )
            following = None
            for key, touch in touches:
                if len(entries) == count:
                    following = (entries[-1].height, entries[-1].position)
                    break
                height, position = place_of(key)
                entries.append(HistoryEntry(touch.txid, height, position, touch.received, touch.spent))
            return HistoryPage(_height(records.progress()), tuple(entries), following)

    def coins(self, lock: Lock, count: int, after: OutPoint | None = None) -> CoinPage:
        """At most `count` (1 to MAX_PAGE) unspent outputs beyond `after`."""
        count = min(count, MAX_PAGE)
        coins: list[HeldCoin] = []
        with self._database.reading() as records:
            holdings = records.under(
                "holdings", owner_key(lock), Holding.decode, after=None if after is None else after.key
            )
            following = None
            for key, held in holdings:
                if len(coins) == count:
                    following = coins[-1].outpoint
                    break
                coins.append(HeldCoin(OutPoint.from_key(key), held.value, held.height, held.coinbase))
            return CoinPage(_height(records.progress()), tuple(coins), following)


@attrs.frozen
class SpentReader:
    """The index by spent outpoint."""

    _database: IndexDatabase

    def spender(self, outpoint: OutPoint) -> SpendPage:
        with self._database.reading() as records:
            found = records.get("spends", outpoint.key, Spend.decode)
            return SpendPage(_height(records.progress()), found)


@attrs.frozen
class TransactionReader:
    """The index of what transactions spent."""

    _database: IndexDatabase

    def spent_outputs(self, height: int) -> tuple[Output, ...] | None:
        """What the inputs of the block at `height` spent, in the block's order; None when not indexed yet."""
        with self._database.reading() as records:
            if records.get("totals", height_key(height), Totals.decode) is None:
                return None
            found = records.get("outputs", height_key(height), SpentOutputs.decode)
            return () if found is None else found.outputs

    def totals(self, height: int) -> Totals | None:
        """The sums up to the block at `height`; None when not indexed yet."""
        with self._database.reading() as records:
            return records.get("totals", height_key(height), Totals.decode)


def _height(progress: Progress | None) -> int:
    return -1 if progress is None else progress.height


class IndexReader:
    """The indexes of one data directory that are switched on; one that is not there yet is None.

    `shared` holds what this process has open for building; the rest is opened
    read-only when it is asked for.
    """

    def __init__(
        self,
        directory: str,
        genesis_hash: bytes,
        enabled: Sequence[str],
        shared: Mapping[str, Callable[[], IndexDatabase | None]] | None = None,
    ) -> None:
        self.enabled = frozenset(enabled)
        self._directory = directory
        self._genesis_hash = genesis_hash
        self._shared = shared
        self._own: dict[str, IndexDatabase] = {}

    @property
    def transactions(self) -> TransactionReader | None:
        database = self.database(TRANSACTIONS)
        return None if database is None else TransactionReader(database)

    @property
    def addresses(self) -> AddressReader | None:
        database = self.database(ADDRESSES)
        return None if database is None else AddressReader(database)

    @property
    def spent(self) -> SpentReader | None:
        database = self.database(SPENT)
        return None if database is None else SpentReader(database)

    def database(self, name: str) -> IndexDatabase | None:
        """The environment of an index; None when it is off or nothing is built yet."""
        if name not in self.enabled:
            return None
        if self._shared is not None:
            return self._shared[name]()
        if name not in self._own:
            opened = self._open(name)
            if opened is None:
                return None
            self._own[name] = opened
        return self._own[name]

    def close(self) -> None:
        """Release what this reader has opened itself."""
        while self._own:
            self._own.popitem()[1].close()

    def _open(self, name: str) -> IndexDatabase | None:
        path = os.path.join(self._directory, name)
        if not os.path.isdir(path):
            return None
        database = IndexDatabase(path, INDEXES[name].tables, readonly=True)
        wanted = IndexIdentity(INDEX_SCHEMA, name, self._genesis_hash)
        try:
            with database.reading() as records:
                found = records.identity()
            if found is None:
                database.close()
                return None
            if found != wanted:
                raise StoreError(
                    f"{path} holds another index.", "The process that makes the blocks builds it again."
                )
        except BaseException:
            database.close()
            raise
        return database
