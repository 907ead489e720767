"""A store in memory: for the simulator, for tests and for nodes that keep nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext

from zope.interface import implementer

from timed.errors import StoreError
from timed.interfaces import BlockCommit, Coin, IReads, IStore, IStoreBackend, StoredTip, StoreUsage
from timed.ledger.content import HEADER_SIZE
from timed.primitives.transaction import OutPoint
from timed.store.accounting import next_tip


@implementer(IStore)
class MemoryStore:
    """IStore whose content lives as long as the object."""

    doubtful = False
    notes: tuple[str, ...] = ()

    def __init__(self) -> None:
        self._tip: StoredTip | None = None
        self._blocks: list[bytes] = []
        self._certificates: list[bytes] = []
        self._heights: dict[bytes, int] = {}
        self._locations: dict[bytes, tuple[int, int]] = {}
        self._coins: dict[OutPoint, Coin] = {}
        self._log: list[bytes] = []

    def tip(self) -> StoredTip | None:
        return self._tip

    def block(self, height: int) -> bytes | None:
        return self._blocks[height] if 0 <= height < len(self._blocks) else None

    def header(self, height: int) -> bytes | None:
        block = self.block(height)
        return None if block is None else block[:HEADER_SIZE]

    def certificate(self, height: int) -> bytes | None:
        return self._certificates[height] if 0 <= height < len(self._certificates) else None

    def height_of(self, block_hash: bytes) -> int | None:
        return self._heights.get(block_hash)

    def locate(self, txid: bytes) -> tuple[int, int] | None:
        return self._locations.get(txid)

    def coin(self, outpoint: OutPoint) -> Coin | None:
        return self._coins.get(outpoint)

    def coins(self) -> Iterator[tuple[OutPoint, Coin]]:
        return iter(sorted(self._coins.items(), key=_by_key))

    def usage(self) -> StoreUsage | None:
        return None

    def snapshot(self) -> AbstractContextManager[IReads]:
        """A copy: what is done to the store afterwards does not show in it."""
        copied = MemoryStore()
        copied._tip, copied._blocks, copied._certificates = self._tip, [*self._blocks], [*self._certificates]
        copied._heights, copied._locations = dict(self._heights), dict(self._locations)
        copied._coins = dict(self._coins)
        return nullcontext(copied)

    def append(self, records: Sequence[bytes]) -> None:
        self._log.extend(records)

    def commit(self, commit: BlockCommit) -> None:
        tip = next_tip(self._tip, commit)
        coins = self._coins_after(commit)
        self._blocks.append(commit.block)
        self._certificates.append(commit.certificate)
        self._heights[commit.block_hash] = commit.height
        for position, txid in enumerate(commit.txids):
            self._locations[txid] = (commit.height, position)
        for outpoint, coin in coins.items():
            if coin is None:
                self._coins.pop(outpoint, None)
            else:
                self._coins[outpoint] = coin
        self._log = list(commit.carried)
        self._tip = tip

    def commit_many(self, commits: Sequence[BlockCommit]) -> None:
        """Apply consecutive blocks."""
        for commit in commits:
            self.commit(commit)

    def replay(self) -> tuple[bytes, ...]:
        return tuple(self._log)

    def close(self) -> None:
        """Nothing is held."""

    def _coins_after(self, commit: BlockCommit) -> dict[OutPoint, Coin | None]:
        """What the commit leaves of every coin it touches, None for a spent one; StoreError if impossible."""
        coins: dict[OutPoint, Coin | None] = {}
        for outpoint, coin in commit.created:
            if outpoint in self._coins or outpoint in coins:
                raise StoreError(f"block {commit.height} makes a coin that exists: {outpoint!r}.")
            coins[outpoint] = coin
        for outpoint, _ in commit.spent:
            if coins.get(outpoint, self._coins.get(outpoint)) is None:
                raise StoreError(f"block {commit.height} spends a coin that does not exist: {outpoint!r}.")
            coins[outpoint] = None
        return coins


def _by_key(item: tuple[OutPoint, Coin]) -> bytes:
    return item[0].key


@implementer(IStoreBackend)
class MemoryBackend:
    """Opens a new, empty store whatever the directory."""

    name = "memory"

    def open(self, directory: str, network: str, genesis_hash: bytes) -> MemoryStore:
        return MemoryStore()
