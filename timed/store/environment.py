"""One LMDB environment of this project: how it opens, what its errors say, how records are sealed.

Every value carries a CRC-32C, so that a damaged record is named and never used.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import lmdb

from timed.errors import DecodeError, StoreError, StoreUnmade
from timed.interfaces import StoreUsage
from timed.primitives.hashing import crc32c
from timed.store.records import Seal

MAP_SIZE = 1 << 40
"""Address space asked for, in bytes. The file grows with what is in it, not with this."""
MIN_MAP_SIZE = 1 << 30
"""Where even this much address space is refused, the store does not open."""
MAX_READERS = 254
SPARE_TRANSACTIONS = 8
FILE_MODE = 0o600
SEAL_SIZE = 4
KEY_SIZE = 8
"""Bytes of a height that is a key, or begins one."""
DATA_FILE = "data.mdb"
KEPT_PAGES = 256
"""Of 4 kB: what a commit of some hundred records changes in tables that are large."""

T = TypeVar("T")


def height_key(height: int) -> bytes:
    """Big endian, so that keys are in the order of heights."""
    return height.to_bytes(KEY_SIZE, "big")


def sealed(data: bytes) -> bytes:
    """The bytes of a record as they are stored."""
    return data + Seal(crc32c(data)).encode()


def unsealed(value: bytes, decode: Callable[[bytes], T], key: bytes, table: str, path: str) -> T:
    """The record in stored bytes; StoreError, which says where it stands, when they are damaged."""
    data, seal = value[:-SEAL_SIZE], value[-SEAL_SIZE:]
    try:
        if Seal(crc32c(data)).encode() != seal:
            raise DecodeError("store-seal")
        return decode(data)
    except DecodeError as error:
        raise StoreError(
            f"the record {key.hex()} of table {table} in {path} is damaged ({error}).",
            "Check the disk; then move the directory away and start again, or restore a copy.",
        ) from None


def open_tables(
    path: str, names: Sequence[str], *, readonly: bool = False, map_size: int = MAP_SIZE
) -> tuple[Any, dict[str, Any]]:
    """The environment in the directory `path` and its tables by name; made if need be, unless `readonly`.

    StoreError when it cannot be used; then nothing of it stays open.
    """
    environment = _open_environment(path, len(names), readonly, map_size)
    try:
        with explained(path, "read"):
            _check_length(environment, path)
            tables = {name: environment.open_db(name.encode(), create=not readonly) for name in names}
            if not readonly:
                _take_pages(environment, tables[names[0]])
            return environment, tables
    except BaseException:
        environment.close()
        raise


def _open_environment(path: str, tables: int, readonly: bool, map_size: int) -> Any:
    """With as much address space as there is, down to MIN_MAP_SIZE; `tables` is how many it may hold."""
    while True:
        try:
            return lmdb.open(
                path,
                map_size=map_size,
                readonly=readonly,
                create=not readonly,
                mode=FILE_MODE,
                max_dbs=tables,
                max_readers=MAX_READERS,
                max_spare_txns=SPARE_TRANSACTIONS,
                readahead=False,
            )
        except lmdb.MemoryError as error:
            if map_size // 2 < MIN_MAP_SIZE:
                raise StoreError(
                    f"there is not enough address space for {path}.", "Raise the limit (`ulimit -v`)."
                ) from error
            map_size //= 2
        except lmdb.Error as error:
            raise _explanation(path, "open", error) from error


def _check_length(environment: Any, path: str) -> None:
    """StoreError when the file was cut short: reading what is missing would end the process with a signal."""
    needed = usage_of(environment).used_bytes
    found = os.stat(os.path.join(path, DATA_FILE)).st_size
    if found < needed:
        raise StoreError(
            f"{path} was cut short: {found} bytes where {needed} are needed.",
            "Move it away and start again, or restore a copy.",
        )


def _take_pages(environment: Any, table: Any) -> None:
    """Change that many pages and let the change go.

    LMDB keeps the memory of the pages that a commit changes for the next one. While tables grow, the keys of a
    commit come to lie each in a page of its own, and some commits are larger than all before: the memory would be
    taken a page at a time, among what the process needs for a moment. Taken at once it lies together.
    """
    page, usage = environment.stat()["psize"], usage_of(environment)
    if usage.map_bytes - usage.used_bytes < 2 * KEPT_PAGES * page:
        return
    transaction = environment.begin(write=True)
    try:
        for number in range(KEPT_PAGES):
            transaction.put(b"%d" % number, bytes(page * 3 // 4), db=table)
    finally:
        transaction.abort()


def usage_of(environment: Any) -> StoreUsage:
    """How far the pages of an environment reach, and how far they may."""
    found = environment.info()
    return StoreUsage((found["last_pgno"] + 1) * environment.stat()["psize"], found["map_size"])


@contextmanager
def changing(environment: Any) -> Iterator[Any]:
    """A transaction that writes. Readers of other processes that were killed are let go first: each would
    keep the pages of its snapshot from being used again."""
    environment.reader_check()
    with environment.begin(write=True) as transaction:
        yield transaction


@contextmanager
def explained(path: str, action: str) -> Iterator[None]:
    """Turn what LMDB raises into one sentence."""
    try:
        yield
    except lmdb.Error as error:
        raise _explanation(path, action, error) from error


def _explanation(path: str, action: str, error: lmdb.Error) -> StoreError:
    text = str(error).rstrip(".")
    if isinstance(error, lmdb.MapFullError):
        return StoreError(
            f"the address space of {path} is used up.", "Raise the limit (`ulimit -v`), then restart."
        )
    if isinstance(
        error, (lmdb.InvalidError, lmdb.CorruptedError, lmdb.PageNotFoundError, lmdb.VersionMismatchError)
    ):
        return StoreError(
            f"{path} is damaged or not a chain database of timed ({text}).",
            "Move it away and start again, or restore a copy.",
        )
    if isinstance(error, lmdb.NotFoundError):
        return StoreUnmade(
            f"{path} lacks tables: nobody has finished making it.",
            "Start the chain process, which writes it.",
        )
    if "No space left" in text or "quota" in text:
        return StoreError(f"cannot {action} {path}: the disk is full.", "Free some space; nothing is lost.")
    if "Permission denied" in text or "Read-only" in text:
        return StoreError(
            f"cannot {action} {path}: {text}.", "Give the node's user the right to write there."
        )
    return StoreError(f"cannot {action} {path}: {text}.", "Check the disk, then restart.")
