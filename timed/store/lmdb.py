"""The default store: LMDB for the chain, an append-only log for the current epoch.

::

    lock    held by the process that writes
    db/     blocks, coins and indexes; written once per block
    log/    what must be durable within the epoch; one sync per append
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager

from zope.interface import implementer

from timed.errors import StoreError
from timed.interfaces import BlockCommit, Coin, IReads, IStore, IStoreBackend, StoredTip, StoreUsage
from timed.primitives.transaction import OutPoint
from timed.store.database import Database
from timed.store.files import Files, disk_error, require_space
from timed.store.log import Log

LOCK = "lock"
DATABASE = "db"
LOG = "log"
OURS = frozenset({LOCK, DATABASE, LOG})


@implementer(IStore)
class LmdbStore:
    """IStore in a directory of its own, for one process.

    Raises StoreError when the directory is somebody else's, in use, unwritable, or
    holds another network, genesis or schema.
    """

    def __init__(self, directory: str, network: str, genesis_hash: bytes, files: Files | None = None) -> None:
        self._directory = directory
        self._files = files = Files() if files is None else files
        self._closed = False
        self._lock = _claim(directory, files)
        try:
            self._database = Database(os.path.join(directory, DATABASE))
            try:
                self._database.make_identity(network, genesis_hash)
                self._database.check_identity(network, genesis_hash)
                files.sync_directory(self._database.path)
                self._log = Log(os.path.join(directory, LOG), genesis_hash, self._epoch(), files)
            except BaseException:
                self._database.close()
                raise
        except BaseException as error:
            files.close(self._lock)
            if isinstance(error, OSError):
                raise disk_error("open", directory, error) from error
            raise

    @property
    def doubtful(self) -> bool:
        """True when the log lost a record that may have been acknowledged: do not sign this epoch."""
        return self._log.doubtful

    @property
    def notes(self) -> tuple[str, ...]:
        """What was found and left out when opening, one sentence each."""
        return tuple(self._log.notes)

    def tip(self) -> StoredTip | None:
        return self._database.tip()

    def block(self, height: int) -> bytes | None:
        return self._database.block(height)

    def header(self, height: int) -> bytes | None:
        return self._database.header(height)

    def certificate(self, height: int) -> bytes | None:
        return self._database.certificate(height)

    def height_of(self, block_hash: bytes) -> int | None:
        return self._database.height_of(block_hash)

    def locate(self, txid: bytes) -> tuple[int, int] | None:
        return self._database.locate(txid)

    def coin(self, outpoint: OutPoint) -> Coin | None:
        return self._database.coin(outpoint)

    def coins(self) -> Iterator[tuple[OutPoint, Coin]]:
        return self._database.coins()

    def usage(self) -> StoreUsage | None:
        return self._database.usage()

    def snapshot(self) -> AbstractContextManager[IReads]:
        return self._database.snapshot()

    def append(self, records: Sequence[bytes]) -> None:
        self._log.append(records)

    def commit(self, commit: BlockCommit) -> None:
        self.commit_many((commit,))

    def commit_many(self, commits: Sequence[BlockCommit]) -> None:
        """Apply consecutive blocks in one transaction, then start a new log with what the last one carried.

        A crash between the two leaves a log of a closed epoch, which opening removes.
        """
        if not commits:
            return
        self._log.require_usable()
        require_space(self._files, self._directory)
        self._database.write(commits)
        self._log.roll(commits[-1].height + 1)

    def replay(self) -> Iterator[bytes]:
        yield from self._database.carried()
        yield from self._log.replay()

    def close(self) -> None:
        """Release the lock, the environment and the log; a second time does nothing."""
        if self._closed:
            return
        self._closed = True
        self._log.close()
        self._database.close()
        self._files.close(self._lock)

    def _epoch(self) -> int:
        tip = self._database.tip()
        return 0 if tip is None else tip.height + 1


def _claim(directory: str, files: Files) -> int:
    """Make the directory and take its lock; StoreError when it is not ours to use."""
    try:
        files.make_directory(directory)
        foreign = [name for name in files.names(directory) if name not in OURS]
        if foreign:
            raise StoreError(
                f"{directory} holds files that are not timed's, such as {foreign[0]}.",
                "Use an empty or a new directory.",
            )
        for name in (DATABASE, LOG):
            files.make_directory(os.path.join(directory, name))
        files.sync_directory(directory)
        # Its own name, too: without it a power cut takes along what this node has signed, but not the key.
        files.sync_directory(os.path.dirname(os.path.abspath(directory)))
        lock = files.lock(os.path.join(directory, LOCK))
    except OSError as error:
        raise disk_error("use", directory, error) from error
    if lock is None:
        raise StoreError(
            f"another process uses {directory}.", "Stop it first, or use another data directory."
        )
    return lock


@implementer(IStoreBackend)
class LmdbBackend:
    """Opens the default store."""

    name = "lmdb"

    def open(self, directory: str, network: str, genesis_hash: bytes) -> LmdbStore:
        return LmdbStore(directory, network, genesis_hash)
