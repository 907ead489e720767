"""Whether the environments beside the chain can be read: every record of every table has its seal.

What an index says is not compared with the blocks: it follows from them and can be
built again. Nothing is changed, and one record at a time is in memory.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from timed.errors import StoreError
from timed.index.database import META, IndexDatabase, Records
from timed.store.checking import Flaw, Found, Progress
from timed.store.environment import DATA_FILE

STEP = 10_000
"""Records between two reports of progress."""


class BesideCheck:
    """One check of the environment in `path`; `run` once.

    `tip` is the height of the chain, None when nobody knows it. `remedy` says how it
    is made again.
    """

    def __init__(
        self, path: str, tables: tuple[str, ...], genesis_hash: bytes, tip: int | None, remedy: str
    ) -> None:
        self._path = path
        self._tables = tables
        self._genesis_hash = genesis_hash
        self._tip = tip
        self._remedy = remedy
        self.records = 0
        """What was looked at."""

    @property
    def exists(self) -> bool:
        return os.path.exists(os.path.join(self._path, DATA_FILE))

    def run(self) -> Iterator[Found]:
        """Findings and progress as they come; the first damaged record ends its table."""
        try:
            database = IndexDatabase(self._path, self._tables, readonly=True)
        except StoreError as error:
            yield self._flaw(error)
            return
        try:
            with database.reading() as records:
                identity, progress = records.identity(), records.progress()
                if identity is not None and identity.genesis != self._genesis_hash:
                    yield Flaw(
                        self._path,
                        f"it belongs to a chain with genesis {identity.genesis.hex()}",
                        self._remedy,
                    )
                if progress is not None and self._tip is not None and progress.height > self._tip:
                    yield Flaw(
                        self._path, f"it is at block {progress.height}, the chain only at {self._tip}",
                        "The next start builds it again by itself.", serious=False,
                    )  # fmt: skip
                for table in (META, *self._tables):
                    yield from self._table(records, table)
        except StoreError as error:
            yield self._flaw(error)
        finally:
            database.close()

    def _table(self, records: Records, table: str) -> Iterator[Found]:
        try:
            for _ in records.under(table, b"", bytes):
                self.records += 1
                if self.records % STEP == 0:
                    yield Progress(os.path.basename(self._path), self.records, self.records)
        except StoreError as error:
            yield self._flaw(error)

    def _flaw(self, error: StoreError) -> Flaw:
        return Flaw(self._path, error.message.removesuffix("."), self._remedy)
