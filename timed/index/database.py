"""The LMDB environment of one index.

What a batch of blocks adds and how far the index is then become durable in one
transaction. Reading may be done from any thread and from other processes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from timed.index.records import IndexIdentity, Progress
from timed.store.environment import (
    DATA_FILE,
    MAP_SIZE,
    changing,
    explained,
    open_tables,
    sealed,
    unsealed,
)

INDEX_SCHEMA = 1
META = "meta"
_IDENTITY = b"identity"
_PROGRESS = b"progress"

T = TypeVar("T")


class Records:
    """The tables in one transaction: a snapshot, or a change that is under way."""

    def __init__(self, transaction: Any, tables: dict[str, Any], path: str) -> None:
        self._transaction = transaction
        self._tables = tables
        self._path = path

    def get(self, table: str, key: bytes, decode: Callable[[bytes], T]) -> T | None:
        """The record under `key`; StoreError when it is damaged."""
        value = self._transaction.get(key, db=self._tables[table])
        return None if value is None else unsealed(value, decode, key, table, self._path)

    def put(self, table: str, key: bytes, data: bytes) -> None:
        self._transaction.put(key, sealed(data), db=self._tables[table])

    def delete(self, table: str, key: bytes) -> bool:
        """False when there was nothing under `key`."""
        return bool(self._transaction.delete(key, db=self._tables[table]))

    def pop(self, table: str, key: bytes, decode: Callable[[bytes], T]) -> T | None:
        """Take the record under `key` out."""
        value = self._transaction.pop(key, db=self._tables[table])
        return None if value is None else unsealed(value, decode, key, table, self._path)

    def under(
        self,
        table: str,
        prefix: bytes,
        decode: Callable[[bytes], T],
        *,
        after: bytes | None = None,
        backwards: bool = False,
    ) -> Iterator[tuple[bytes, T]]:
        """(rest of the key, record) of every key that begins with `prefix`, in order or against it.

        `after` is the rest of a key: only what stands beyond it comes.
        """
        cursor = self._transaction.cursor(db=self._tables[table])
        place = cursor.iterprev if backwards else cursor.iternext
        if not self._seek(cursor, prefix, after, backwards):
            return
        for key, value in place():
            if not key.startswith(prefix):
                return
            yield key[len(prefix) :], unsealed(value, decode, key, table, self._path)

    @staticmethod
    def _seek(cursor: Any, prefix: bytes, after: bytes | None, backwards: bool) -> bool:
        """Stand on the first entry that is wanted; False when there is none."""
        if not backwards:
            key = prefix if after is None else prefix + after
            found = bool(cursor.set_range(key))
            return found and (after is None or cursor.key() != key or bool(cursor.next()))
        bound = _successor(prefix) if after is None else prefix + after
        return bool(cursor.prev()) if cursor.set_range(bound) else bool(cursor.last())

    def identity(self) -> IndexIdentity | None:
        return self.get(META, _IDENTITY, IndexIdentity.decode)

    def progress(self) -> Progress | None:
        """The newest block that is indexed; None before the first."""
        return self.get(META, _PROGRESS, Progress.decode)

    def set_progress(self, progress: Progress) -> None:
        self.put(META, _PROGRESS, progress.encode())

    def begin_anew(self, identity: IndexIdentity, spared: str | None = None) -> None:
        """Empty every table but `spared`; nothing is indexed any more."""
        for name, table in self._tables.items():
            if name != spared:
                self._transaction.drop(table, delete=False)
        self.put(META, _IDENTITY, identity.encode())


def _successor(prefix: bytes) -> bytes:
    """The first key after all that begin with `prefix`, which has a byte below 255."""
    whole = prefix.rstrip(b"\xff")
    return whole[:-1] + bytes((whole[-1] + 1,))


class IndexDatabase:
    """The environment in the directory `path`, which holds `tables`; StoreError when it cannot be used."""

    def __init__(
        self, path: str, tables: tuple[str, ...], *, readonly: bool = False, map_size: int = MAP_SIZE
    ) -> None:
        self.path = path
        self._environment, self._tables = open_tables(
            path, (META, *tables), readonly=readonly, map_size=map_size
        )

    def close(self) -> None:
        """Nothing may be read or written any more; a second time does nothing."""
        self._environment.close()

    @contextmanager
    def reading(self) -> Iterator[Records]:
        """One consistent snapshot."""
        with explained(self.path, "read"), self._environment.begin() as transaction:
            yield Records(transaction, self._tables, self.path)

    @contextmanager
    def writing(self) -> Iterator[Records]:
        """One change, durable when the block ends and void when it raises."""
        with explained(self.path, "write"), changing(self._environment) as transaction:
            yield Records(transaction, self._tables, self.path)

    def progress(self) -> Progress | None:
        with self.reading() as records:
            return records.progress()

    def size(self) -> int:
        """Bytes of the file."""
        return os.stat(os.path.join(self.path, DATA_FILE)).st_size
