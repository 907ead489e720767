"""A store whose disk forgets what was not synced.

`LossyStore` provides IStore for one process. Writes are staged in order and
become part of the disk only when `sync` returns; a crash keeps a prefix of what
was staged, possibly empty, with the last batch of records torn anywhere. What
survives is opened again by a new `LossyStore` over the same disk.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Union

from zope.interface import implementer

from timed.errors import StoreError
from timed.interfaces import BlockCommit, IReads, IStore, StoreUsage
from timed.store.memory import MemoryStore

if TYPE_CHECKING:
    import random

    from timed.interfaces import Coin, StoredTip
    from timed.primitives.transaction import OutPoint


DOUBT = 0.1
"""Chance that a torn tail leaves the store in doubt about what it had acknowledged."""

Write = Union[tuple[bytes, ...], BlockCommit]
"""Records for the log, or a block."""


@implementer(IStore)
class LossyStore:
    """IStore with a volatile part. Reading sees what is on the disk, as MVCC readers do."""

    notes: tuple[str, ...] = ()

    def __init__(self, disk: MemoryStore | None = None, *, doubtful: bool = False) -> None:
        self.disk = MemoryStore() if disk is None else disk
        self.doubtful = doubtful
        self.failing = ""
        """When set, every write raises StoreError with this text (EIO, disk full)."""
        self.kept: tuple[Write, ...] = ()
        """What the crash before this store's life left on the disk without anybody knowing."""
        self._staged: list[Write] = []

    @property
    def unsynced(self) -> int:
        """Writes that a crash at this moment may lose."""
        return len(self._staged)

    def stage(self, write: Sequence[bytes] | BlockCommit) -> None:
        """Hand one write to the operating system: visible to nobody, durable never by itself."""
        if self.failing:
            raise StoreError(self.failing)
        self._staged.append(write if isinstance(write, BlockCommit) else tuple(write))

    def sync(self) -> None:
        """Everything staged becomes durable and visible, in order."""
        if self.failing:
            raise StoreError(self.failing)
        staged, self._staged = self._staged, []
        for write in staged:
            self._apply(write)

    def crash(self, entropy: random.Random, *, lose_all: bool, may_doubt: bool = True) -> LossyStore:
        """The store a new process finds; this one must not be used any more.

        `lose_all` keeps nothing of what was not synced. Otherwise the disk got a
        random prefix of it, cut at any record; where `may_doubt`, a torn tail can
        leave the store unsure of what it had acknowledged.
        """
        staged, self._staged = self._staged, []
        kept: list[Write] = []
        torn = False
        if staged and not lose_all:
            for write in staged[: entropy.randrange(len(staged) + 1)]:
                if isinstance(write, tuple) and entropy.random() < 0.5:
                    kept.append(write[: entropy.randrange(len(write) + 1)])
                    torn = True
                    break
                kept.append(write)
        for write in kept:
            self._apply(write)
        after = LossyStore(
            self.disk, doubtful=self.doubtful or (torn and may_doubt and entropy.random() < DOUBT)
        )
        after.kept = tuple(kept)
        return after

    def _apply(self, write: Write) -> None:
        if isinstance(write, tuple):
            self.disk.append(write)
        else:
            self.disk.commit(write)
            self.doubtful = False

    def snapshot(self) -> AbstractContextManager[IReads]:
        return self.disk.snapshot()

    def tip(self) -> StoredTip | None:
        return self.disk.tip()

    def block(self, height: int) -> bytes | None:
        return self.disk.block(height)

    def header(self, height: int) -> bytes | None:
        return self.disk.header(height)

    def certificate(self, height: int) -> bytes | None:
        return self.disk.certificate(height)

    def height_of(self, block_hash: bytes) -> int | None:
        return self.disk.height_of(block_hash)

    def locate(self, txid: bytes) -> tuple[int, int] | None:
        return self.disk.locate(txid)

    def coin(self, outpoint: OutPoint) -> Coin | None:
        return self.disk.coin(outpoint)

    def usage(self) -> StoreUsage | None:
        return None

    def coins(self) -> Iterator[tuple[OutPoint, Coin]]:
        return self.disk.coins()

    def append(self, records: Sequence[bytes]) -> None:
        self.stage(records)
        self.sync()

    def commit(self, commit: BlockCommit) -> None:
        self.stage(commit)
        self.sync()

    def replay(self) -> Iterable[bytes]:
        return self.disk.replay()

    def close(self) -> None:
        """Nothing to release: the disk stays for the next process."""
