"""How far each index is, for people and for whoever asks it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Protocol

import attrs

from timed.errors import StoreError
from timed.index.reader import IndexReader
from timed.index.tables import INDEXES
from timed.interfaces import StoredTip
from timed.store.environment import DATA_FILE

MAX_LAG = 2
"""Blocks an index may be behind the chain and still answer: it follows a moment after each block."""


@attrs.frozen
class IndexStatus:
    """One index. Heights are -1 before the first block."""

    name: str
    gives: str
    enabled: bool
    height: int
    target: int
    bytes: int
    """Of its file, which stays when the index is switched off."""
    blocks_per_second: int | None = None
    """While it is being built; None where that is not known."""
    error: str | None = None
    """Why it does not go on, one sentence."""

    @property
    def synced(self) -> bool:
        """True when it may be asked."""
        return self.enabled and self.error is None and self.height >= max(0, self.target - MAX_LAG)


class Indexes(Protocol):
    """The indexes of one node, as RPC sees them."""

    @property
    def reader(self) -> IndexReader: ...

    def statuses(self) -> list[IndexStatus]:
        """One for each index there is, also for those that are switched off."""
        ...


Sharpen = Callable[[IndexStatus], IndexStatus]


class HasTip(Protocol):
    """A store, of this process or another one."""

    def tip(self) -> StoredTip | None: ...


class ReadIndexes:
    """`Indexes` from the files alone: `sharpen` adds what only the process that builds knows."""

    def __init__(
        self, directory: str, store: HasTip, reader: IndexReader, sharpen: Sharpen = lambda status: status
    ) -> None:
        self.reader = reader
        self._directory = directory
        self._store = store
        self._sharpen = sharpen

    def statuses(self) -> list[IndexStatus]:
        tip = self._store.tip()
        target = -1 if tip is None else tip.height
        return [self._sharpen(self._status(name, target)) for name in INDEXES]

    def _status(self, name: str, target: int) -> IndexStatus:
        enabled, error, height = name in self.reader.enabled, None, -1
        try:
            database = self.reader.database(name)
            progress = None if database is None else database.progress()
            height = -1 if progress is None else progress.height
        except StoreError as failure:
            error = str(failure)
        return IndexStatus(
            name=name,
            gives=INDEXES[name].gives,
            enabled=enabled,
            height=height,
            target=target,
            bytes=file_size(self._directory, name),
            error=error,
        )


def file_size(directory: str, name: str) -> int:
    """Bytes of an index's file; 0 when there is none."""
    try:
        return os.stat(os.path.join(directory, name, DATA_FILE)).st_size
    except OSError:
        return 0
