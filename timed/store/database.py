"""The tables of the chain in one LMDB environment.

Every value carries a CRC-32C, so that a damaged record is named and never used.
Blocks, coins, indexes and the tip change in one transaction (`write`), which is
durable when it returns. Reading opens a transaction of its own and may be done
from any thread, and from other processes, while one process writes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from zope.interface import implementer

from timed.errors import StoreError, StoreUnmade
from timed.interfaces import BlockCommit, Coin, IReads, StoredTip, StoreUsage
from timed.ledger.content import HEADER_SIZE
from timed.params import STORE_SCHEMA
from timed.primitives.transaction import OutPoint
from timed.store.accounting import next_tip
from timed.store.environment import (
    changing,
    explained,
    height_key,
    open_tables,
    sealed,
    unsealed,
    usage_of,
)
from timed.store.records import Batch, CoinRecord, HeightRecord, Identity, Location, TipRecord

TABLES = ("meta", "headers", "blocks", "certificates", "heights", "locations", "coins")
_IDENTITY = b"identity"
_TIP = b"tip"
_CARRIED = b"carried"

T = TypeVar("T")


@implementer(IReads)
class Reads:
    """The questions that the tables answer; a subclass says in which transaction."""

    def tip(self) -> StoredTip | None:
        return self._read("meta", _TIP, _stored_tip)

    def block(self, height: int) -> bytes | None:
        return self._at("blocks", height)

    def header(self, height: int) -> bytes | None:
        return self._at("headers", height)

    def certificate(self, height: int) -> bytes | None:
        return self._at("certificates", height)

    def height_of(self, block_hash: bytes) -> int | None:
        found = self._read("heights", block_hash, HeightRecord.decode)
        return None if found is None else found.height

    def locate(self, txid: bytes) -> tuple[int, int] | None:
        found = self._read("locations", txid, Location.decode)
        return None if found is None else (found.height, found.position)

    def coin(self, outpoint: OutPoint) -> Coin | None:
        return self._read("coins", outpoint.key, _coin)

    def coins(self) -> Iterator[tuple[OutPoint, Coin]]:
        """Every coin of one snapshot, in key order."""
        raise NotImplementedError

    def usage(self) -> StoreUsage | None:
        """Of the file as it is now, also in a snapshot."""
        raise NotImplementedError

    def _at(self, table: str, height: int) -> bytes | None:
        return self._read(table, height_key(height), bytes) if height >= 0 else None

    def _read(self, table: str, key: bytes, decode: Callable[[bytes], T]) -> T | None:
        raise NotImplementedError


class Database(Reads):
    """The environment in `path`; `readonly` for a process that does not own the store."""

    def __init__(self, path: str, *, readonly: bool = False) -> None:
        self.path = path
        self._environment, self._tables = open_tables(path, TABLES, readonly=readonly)

    def close(self) -> None:
        self._environment.close()

    # Whose store it is

    def check_identity(self, network: str, genesis: bytes) -> None:
        """StoreError when the store belongs to another network, genesis or schema."""
        with explained(self.path, "read"), self._environment.begin() as transaction:
            found = self.get(transaction, "meta", _IDENTITY, Identity.decode)
        if found is None:
            raise StoreUnmade(
                f"{self.path} holds no store of timed.",
                "Start the node, which is the chain process, once to make one.",
            )
        if found.schema > STORE_SCHEMA:
            raise StoreError(
                f"{self.path} was written by a newer timed (schema {found.schema}, this one knows {STORE_SCHEMA}).",
                "Upgrade timed, or use another directory.",
            )
        if found.schema < STORE_SCHEMA:
            raise StoreError(
                f"{self.path} was written by an older timed (schema {found.schema}, this one needs {STORE_SCHEMA}).",
                "Move the directory away and start again; the node fetches the chain from its peers.",
            )
        if found.network != network:
            raise StoreError(
                f"{self.path} belongs to {found.network}, not to {network}.", "Use another data directory."
            )
        if found.genesis != genesis:
            raise StoreError(
                f"{self.path} belongs to a chain with genesis {found.genesis.hex()}, not {genesis.hex()}.",
                "Use another data directory, or the genesis file it was made with.",
            )

    def make_identity(self, network: str, genesis: bytes) -> None:
        """Mark a new store; one that is marked already is left alone."""
        with explained(self.path, "write"), changing(self._environment) as transaction:
            if self.get(transaction, "meta", _IDENTITY, Identity.decode) is None:
                self._put(transaction, "meta", _IDENTITY, Identity(STORE_SCHEMA, network, genesis).encode())

    # Reading

    @contextmanager
    def snapshot(self) -> Iterator[IReads]:
        """What is durable at this moment, for as long as the block lasts."""
        with explained(self.path, "read"), self._environment.begin() as transaction:
            yield _Snapshot(self, transaction)

    def carried(self) -> tuple[bytes, ...]:
        """The records that went over to the current epoch with the newest block."""
        found = self._read("meta", _CARRIED, Batch.decode)
        return () if found is None else found.records

    def coins(self) -> Iterator[tuple[OutPoint, Coin]]:
        """Every coin of one snapshot, in key order; the snapshot lasts as long as the iterator."""
        with self.snapshot() as reads:
            yield from reads.coins()

    def count(self, table: str) -> int:
        """How many records a table has."""
        with explained(self.path, "read"), self._environment.begin() as transaction:
            return int(transaction.stat(self._tables[table])["entries"])

    def usage(self) -> StoreUsage:
        with explained(self.path, "read"):
            return usage_of(self._environment)

    # Writing

    def write(self, commits: Sequence[BlockCommit]) -> None:
        """Apply consecutive blocks in one durable transaction: all of them, or none."""
        with explained(self.path, "write"), changing(self._environment) as transaction:
            tip = self.get(transaction, "meta", _TIP, _stored_tip)
            for commit in commits:
                tip = next_tip(tip, commit)
                self._write_block(transaction, commit)
                self._write_coins(transaction, commit)
            if tip is not None:
                record = TipRecord(tip.height, tip.block_hash, tip.coins, tip.supply, tip.digests)
                self._put(transaction, "meta", _TIP, record.encode())
            if commits:
                self._put(transaction, "meta", _CARRIED, Batch(commits[-1].carried).encode())

    def _write_block(self, transaction: Any, commit: BlockCommit) -> None:
        key = height_key(commit.height)
        self._put(transaction, "headers", key, commit.block[:HEADER_SIZE])
        self._put(transaction, "blocks", key, commit.block)
        self._put(transaction, "certificates", key, commit.certificate)
        self._put(transaction, "heights", commit.block_hash, HeightRecord(commit.height).encode())
        for position, txid in enumerate(commit.txids):
            self._put(transaction, "locations", txid, Location(commit.height, position).encode())

    def _write_coins(self, transaction: Any, commit: BlockCommit) -> None:
        """StoreError when a coin is made twice or one is spent that does not exist."""
        table = self._tables["coins"]
        for outpoint, coin in commit.created:
            record = CoinRecord(coin.output, coin.height, coin.coinbase).encode()
            if not transaction.put(outpoint.key, sealed(record), overwrite=False, db=table):
                raise StoreError(f"block {commit.height} makes a coin that exists: {outpoint!r}.")
        for outpoint, _ in commit.spent:
            if not transaction.delete(outpoint.key, db=table):
                raise StoreError(f"block {commit.height} spends a coin that does not exist: {outpoint!r}.")

    # Records

    def _read(self, table: str, key: bytes, decode: Callable[[bytes], T]) -> T | None:
        with explained(self.path, "read"), self._environment.begin() as transaction:
            return self.get(transaction, table, key, decode)

    def get(self, transaction: Any, table: str, key: bytes, decode: Callable[[bytes], T]) -> T | None:
        """The record under `key` in a transaction of this environment; StoreError when it is damaged."""
        value = transaction.get(key, db=self._tables[table])
        return None if value is None else self._unsealed(table, key, value, decode)

    def coins_in(self, transaction: Any) -> Iterator[tuple[OutPoint, Coin]]:
        """Every coin that a transaction sees, in key order."""
        with explained(self.path, "read"):
            for key, value in transaction.cursor(db=self._tables["coins"]):
                yield OutPoint.from_key(key), self._unsealed("coins", key, value, _coin)

    def _unsealed(self, table: str, key: bytes, value: bytes, decode: Callable[[bytes], T]) -> T:
        return unsealed(value, decode, key, table, self.path)

    def _put(self, transaction: Any, table: str, key: bytes, data: bytes) -> None:
        transaction.put(key, sealed(data), db=self._tables[table])


class _Snapshot(Reads):
    """Every read in one transaction of a database."""

    def __init__(self, database: Database, transaction: Any) -> None:
        self._database = database
        self._transaction = transaction

    def coins(self) -> Iterator[tuple[OutPoint, Coin]]:
        return self._database.coins_in(self._transaction)

    def usage(self) -> StoreUsage:
        return self._database.usage()

    def _read(self, table: str, key: bytes, decode: Callable[[bytes], T]) -> T | None:
        return self._database.get(self._transaction, table, key, decode)


def _coin(data: bytes) -> Coin:
    record = CoinRecord.decode(data)
    return Coin(record.output, record.height, record.coinbase)


def _stored_tip(data: bytes) -> StoredTip:
    record = TipRecord.decode(data)
    return StoredTip(record.height, record.block_hash, record.digests, record.coins, record.supply)
