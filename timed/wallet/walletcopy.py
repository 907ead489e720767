"""Copies of a wallet: one whole file, made while the wallet is in use, read back before it counts."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Sequence

from timed.errors import LocalError
from timed.fsync import sync_name
from timed.wallet.walletfile import (
    MODE,
    Record,
    parse_journal,
    parse_snapshot,
    read_whole,
    snapshot_text,
    write_all,
)


def check_path(path: str) -> None:
    """LocalError unless the path that a caller gave means the same to the node."""
    if not os.path.isabs(path):
        raise LocalError("the path of a backup must be absolute.", "The node may run in another directory.")
    if "\0" in path:
        raise LocalError("the path of a backup holds a NUL, which no file's name does.", "Leave it out.")


def write_copy(path: str, network: str, records: Sequence[Record]) -> int:
    """Write `records` to a new file at `path`, durable and read back; its size in bytes.

    An existing file is never touched; LocalError, and no half file, when it fails.
    """
    data = snapshot_text(network, 1, records)
    check_path(path)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, MODE)
    except FileExistsError:
        raise LocalError(
            f"{path} exists already.", "Choose another name: a backup overwrites nothing."
        ) from None
    except OSError as error:
        raise _trouble(path, error) from error
    try:
        try:
            write_all(descriptor, data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        sync_name(path)
        with open(path, "rb") as file:
            same = read_whole(path, file) == data
        if not same:
            raise LocalError(
                f"the backup {path} reads differently from what was written.", "Use another disk."
            )
    except (OSError, LocalError) as error:
        os.unlink(path)
        if isinstance(error, OSError):
            raise _trouble(path, error) from error
        raise
    return len(data)


def read_wallet(path: str, network: str) -> list[Record]:
    """The records of a wallet file and of the journal beside it; both are only read.

    LocalError when they are damaged, of another network, or in use by a node.
    """
    journal_path = f"{path}.journal"
    try:
        journal = (
            os.open(journal_path, os.O_RDONLY | os.O_NOFOLLOW) if os.path.lexists(journal_path) else None
        )
        try:
            if journal is not None:
                _check_unused(path, journal)
            with os.fdopen(_open_regular(path), "rb") as file:
                generation, _, records = parse_snapshot(path, read_whole(path, file), network)
            if journal is not None:
                with os.fdopen(os.dup(journal), "rb") as file:
                    records += parse_journal(journal_path, read_whole(journal_path, file), generation)
        finally:
            if journal is not None:
                os.close(journal)
    except OSError as error:
        raise LocalError(
            f"cannot read the wallet {path}: {error.strerror}.", "Name a wallet file."
        ) from error
    return records


def _open_regular(path: str) -> int:
    """A descriptor; LocalError for what is no plain file: a pipe would be waited for without end."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise LocalError(f"{path} is not a file.", "Name a wallet file.")
    return descriptor


def _check_unused(path: str, descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        raise LocalError(
            f"the wallet {path} is in use by a node.",
            "Stop the node, or use a backup made with backupwallet.",
        ) from None


def _trouble(path: str, error: OSError) -> LocalError:
    return LocalError(
        f"cannot write the backup {path}: {error.strerror}.",
        "The node writes it: name a place where it may write, under its systemd unit one in its data directory.",
    )
