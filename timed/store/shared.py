"""The store of a directory that another process writes: only read, and opened anew when it was replaced."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from timed.errors import StoreUnmade
from timed.interfaces import IReads, StoredTip
from timed.store.database import Database
from timed.store.environment import DATA_FILE
from timed.store.files import disk_error
from timed.store.lmdb import DATABASE

FileId = tuple[int, int]


class SharedStore:
    """Snapshots of a store that this process does not own: it takes no lock and writes nothing.

    The files are opened at the first snapshot, and again when others stand in their
    place, after a restored copy for instance. For one thread.
    """

    def __init__(self, directory: str, network: str, genesis_hash: bytes) -> None:
        self._path = os.path.join(directory, DATABASE)
        self._network = network
        self._genesis_hash = genesis_hash
        self._database: Database | None = None
        self._file: FileId | None = None
        self.openings = 0
        """How often the files were opened."""

    @contextmanager
    def snapshot(self) -> Iterator[IReads]:
        """StoreUnmade while there is none, StoreError when it is another network's, genesis's or schema's."""
        with self._opened().snapshot() as reads:
            yield reads

    def tip(self) -> StoredTip | None:
        return self._opened().tip()

    def close(self) -> None:
        """Nothing stays open; a later snapshot opens the files again."""
        database, self._database, self._file = self._database, None, None
        if database is not None:
            database.close()

    def _opened(self) -> Database:
        file = self._file_now()
        if self._database is not None and file == self._file:
            return self._database
        self.close()
        database = Database(self._path, readonly=True)
        try:
            database.check_identity(self._network, self._genesis_hash)
        except BaseException:
            database.close()
            raise
        self._database, self._file = database, file
        self.openings += 1
        return database

    def _file_now(self) -> FileId:
        try:
            found = os.stat(os.path.join(self._path, DATA_FILE))
        except FileNotFoundError as error:
            raise self._unmade() from error
        except OSError as error:
            raise disk_error("read", self._path, error) from error
        if not found.st_size:
            raise self._unmade()
        return found.st_dev, found.st_ino

    def _unmade(self) -> StoreUnmade:
        return StoreUnmade(
            f"{self._path} holds no store of timed.",
            "Start the chain process, one with services.enabled = chain, for this data directory.",
        )
