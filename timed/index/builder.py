"""Building one index from the blocks of the store, batch by batch.

`step` does one batch and may be called from any one thread. It ends at the store's
newest block; a process that is killed inside it begins that batch again.
"""

from __future__ import annotations

import os

import attrs

from timed.index.database import INDEX_SCHEMA, IndexDatabase
from timed.index.records import IndexIdentity, Progress
from timed.index.tables import Index
from timed.interfaces import IStore
from timed.primitives.block import Block
from timed.store.blocks import block_at
from timed.store.files import Files, disk_error, require_space

MAX_BATCH_BLOCKS = 256
MAX_BATCH_BYTES = 1024 * 1024
"""A batch ends with the block that fills it, so that it keeps its thread for a fraction of a second."""
SPARE_SPACE = 256 * 1024 * 1024
"""Free bytes below which no index grows: what is left is for the chain."""


@attrs.frozen
class Step:
    """What one batch did."""

    height: int
    """The newest block that is indexed; -1 when there is none."""
    target: int
    """The store's newest block; -1 when there is none."""
    blocks: int = 0
    rebuilt: str | None = None
    """Why what was there had to be thrown away, one sentence for the operator."""

    @property
    def done(self) -> bool:
        return self.height >= self.target


class IndexBuilder:
    """One index in the directory `path`, which it owns. Errors of the disk and damage are StoreError."""

    def __init__(
        self, index: Index, store: IStore, path: str, genesis_hash: bytes, files: Files | None = None
    ) -> None:
        self.index = index
        self.path = path
        self.database: IndexDatabase | None = None
        """None before the first step and after `close`."""
        self._store = store
        self._identity = IndexIdentity(INDEX_SCHEMA, index.name, genesis_hash)
        self._files = Files() if files is None else files

    def step(self) -> Step:
        """Index the next few blocks, durably."""
        database = self._opened()
        rebuilt = self._begin_anew(database)
        progress, tip = database.progress(), self._store.tip()
        height = -1 if progress is None else progress.height
        target = -1 if tip is None else tip.height
        if height >= target:
            return Step(height, target, rebuilt=rebuilt)
        blocks = self._blocks(progress, target)
        require_space(self._files, self.path, SPARE_SPACE)
        with database.writing() as records:
            for block in blocks:
                self.index.apply(records, block)
            records.set_progress(Progress(blocks[-1].header.height, blocks[-1].hash))
        return Step(blocks[-1].header.height, target, len(blocks), rebuilt)

    def close(self) -> None:
        """Release the file; the next step opens it again."""
        database, self.database = self.database, None
        if database is not None:
            database.close()

    def _opened(self) -> IndexDatabase:
        if self.database is None:
            try:
                self._files.make_directory(self.path)
                self.database = IndexDatabase(self.path, self.index.tables)
                self._files.sync_directory(self.path)
                self._files.sync_directory(os.path.dirname(self.path))
            except OSError as error:
                raise disk_error("use", self.path, error) from error
        return self.database

    def _begin_anew(self, database: IndexDatabase) -> str | None:
        """Throw away what is not of this chain; why, or None when nothing was there or all of it is."""
        with database.reading() as records:
            identity, progress = records.identity(), records.progress()
        if identity is None:
            reason = None
        elif identity.schema != self._identity.schema:
            reason = (
                f"it was written by another timed (schema {identity.schema}, this one has {INDEX_SCHEMA})"
            )
        elif identity != self._identity:
            reason = f"it belongs to the chain with genesis {identity.genesis.hex()}"
        else:
            reason = self._foreign(progress)
            if reason is None:
                return None
        with database.writing() as records:
            records.begin_anew(self._identity)
        return reason

    def _foreign(self, progress: Progress | None) -> str | None:
        """Why the store cannot be the one the index was built from; blocks are final, so none may change."""
        if progress is None:
            return None
        tip = self._store.tip()
        if tip is None or tip.height < progress.height:
            height = -1 if tip is None else tip.height
            return f"it is at block {progress.height} and the chain at {height}, perhaps from an older copy"
        if self._store.height_of(progress.block_hash) != progress.height:
            return f"its block {progress.height} ({progress.block_hash.hex()}) is not of this chain"
        return None

    def _blocks(self, progress: Progress | None, target: int) -> list[Block]:
        """The next blocks of the store, at least one, decoded."""
        previous = None if progress is None else progress.block_hash
        height = 0 if progress is None else progress.height + 1
        blocks: list[Block] = []
        size = 0
        while height <= target and len(blocks) < MAX_BATCH_BLOCKS and size < MAX_BATCH_BYTES:
            block, length = block_at(self._store, height, previous)
            blocks.append(block)
            size += length
            previous, height = block.hash, height + 1
        return blocks
