"""The wallet on disk: a snapshot that is replaced whole, and a journal that grows.

`wallet.json` holds the records up to the last start, or to when the journal had grown;
`wallet.json.journal` those since, one JSON object a line, each durable before anybody sees its effect. Both
are 0600. A journal belongs to the snapshot of the same generation; an older one
is already in the snapshot. An unfinished last line was never acknowledged.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Sequence
from typing import Any, BinaryIO

from timed.crypto.keys import check_private
from timed.errors import LocalError, WalletFull
from timed.fsync import sync_name

FORMAT = "timed-wallet"
VERSION = 2
READABLE = (1, 2)
"""Versions that are read; the next start writes `VERSION`. Version 1 knew neither seeds nor sealed keys."""
MODE = 0o600
MAX_FILE_BYTES = 256 * 1024 * 1024
"""Of the snapshot, and of the journal: what is longer is neither written nor read."""
GROWN_BYTES = 16 * 1024 * 1024
"""A journal is grown when it is longer than this and than a quarter of the snapshot."""

Record = dict[str, Any]


class WalletFile:
    """One wallet's files; used by one process at a time.

    `load` first, then `append`. Both block; `append` returns when durable and
    after a failure refuses everything, because what reached the disk is unknown. A
    journal that has `grown` wants `compact`: one that is full takes nothing more.
    """

    def __init__(self, path: str, network: str) -> None:
        self.path = path
        self._journal_path = f"{path}.journal"
        self._network = network
        self._generation = 0
        self._version = VERSION
        self._journal: int | None = None
        self._journal_bytes = 0
        self._grown_bytes = GROWN_BYTES
        self._failed = ""

    def load(self) -> list[Record]:
        """All records; the journal is folded into a new snapshot. LocalError when unusable."""
        try:
            self._journal = os.open(self._journal_path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, MODE)
            self._take_lock(self._journal)
            os.fchmod(self._journal, MODE)
            _remove(f"{self.path}.new")
            snapshot = self._read_snapshot()
            journal = self._read_journal(self._journal)
            records = snapshot + journal
            if journal or not snapshot or self._version != VERSION:
                self._fold(records, bool(journal))
            else:
                self._restart_journal()
        except OSError as error:
            raise self._trouble("used", error) from error
        return records

    def append(self, records: Sequence[Record]) -> None:
        """Make `records` durable, in their order; WalletFull when the journal has no room for them."""
        journal = self._usable()
        before, data = self._journal_bytes, b"".join(map(_line, records))
        if before + len(data) > MAX_FILE_BYTES:
            raise _full(self._journal_path)
        try:
            write_all(journal, data)
            os.fsync(journal)
            self._journal_bytes += len(data)
        except OSError as error:
            trouble = self._trouble("written", error)
            self._failed = trouble.message
            self._cut(journal, before)
            raise trouble from error

    def compact(self, records: Sequence[Record], *, wipe: bool = False) -> None:
        """Replace the snapshot by one of `records` and start an empty journal.

        With `wipe` the bytes of before are overwritten as well as the file system
        allows: they hold plain secrets. After a failure the file is as before or as
        wanted, and nothing more is written. WalletFull changes nothing.
        """
        journal = self._usable()
        try:
            old = os.open(self.path, os.O_WRONLY | os.O_NOFOLLOW) if wipe else None
            try:
                self._replace(records, wipe=journal if wipe else None)
                if old is not None:
                    _blank(old, 0)
            finally:
                if old is not None:
                    os.close(old)
        except WalletFull:
            # Not again for every write: `append` says when the journal is full, too.
            self._grown_bytes = MAX_FILE_BYTES
            raise
        except OSError as error:
            trouble = self._trouble("written", error)
            self._failed = trouble.message
            raise trouble from error

    @property
    def grown(self) -> bool:
        """True when the journal is long for the snapshot it belongs to."""
        return self._journal_bytes > self._grown_bytes

    def _fold(self, records: Sequence[Record], journalled: bool) -> None:
        """Make one snapshot of snapshot and journal; where it would be too long, the journal stays in use."""
        try:
            self._replace(records)
        except WalletFull:
            if not journalled or self._journal is None:
                raise
            os.ftruncate(self._journal, self._journal_bytes)
            os.lseek(self._journal, self._journal_bytes, os.SEEK_SET)

    def _replace(self, records: Sequence[Record], wipe: int | None = None) -> None:
        text = snapshot_text(self._network, self._generation + 1, records)
        if len(text) > MAX_FILE_BYTES:
            raise _full(self.path)
        self._generation += 1
        replace_file(self.path, text)
        self._snapshot_is(len(text))
        if wipe is not None:
            # The first line stays: it says that the rest is in the snapshot already.
            _blank(wipe, os.pread(wipe, 64, 0).find(b"\n") + 1)
        self._restart_journal()
        self._version = VERSION

    def _snapshot_is(self, size: int) -> None:
        self._grown_bytes = max(GROWN_BYTES, size // 4)

    def _usable(self) -> int:
        if self._failed:
            raise LocalError(self._failed, "Mend the disk and start the node again.")
        if self._journal is None:
            raise LocalError(f"the wallet {self.path} is closed.")
        return self._journal

    def read_back(self) -> list[Record]:
        """What snapshot and journal hold on the disk now."""
        self._usable()
        with open(self.path, "rb") as file:
            generation, _, records = parse_snapshot(self.path, read_whole(self.path, file), self._network)
        with open(self._journal_path, "rb") as file:
            data = read_whole(self._journal_path, file)
        return records + parse_journal(self._journal_path, data, generation)

    def close(self) -> None:
        """Release the files; safe to call twice."""
        if self._journal is not None:
            os.close(self._journal)
            self._journal = None

    def _take_lock(self, descriptor: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LocalError(
                f"the wallet {self.path} is in use by another process.", "Stop that process first."
            ) from None

    def _read_snapshot(self) -> list[Record]:
        try:
            with open(self.path, "rb") as file:
                check_private(self.path, os.fstat(file.fileno()), "wallet")
                data = read_whole(self.path, file)
        except FileNotFoundError:
            return []
        self._generation, self._version, records = parse_snapshot(self.path, data, self._network)
        self._snapshot_is(len(data))
        return records

    def _read_journal(self, descriptor: int) -> list[Record]:
        os.lseek(descriptor, 0, os.SEEK_SET)
        with os.fdopen(os.dup(descriptor), "rb") as file:
            data = read_whole(self._journal_path, file)
        self._journal_bytes = data.rfind(b"\n") + 1
        return parse_journal(self._journal_path, data, self._generation)

    def _restart_journal(self) -> None:
        if self._journal is None:
            raise LocalError(f"the wallet {self.path} is closed.")
        os.ftruncate(self._journal, 0)
        os.lseek(self._journal, 0, os.SEEK_SET)
        first = _line({"generation": self._generation})
        write_all(self._journal, first)
        os.fsync(self._journal)
        self._journal_bytes = len(first)

    def _cut(self, journal: int, size: int) -> None:
        """Take back what was refused, so that a payment never goes out after an error said it did not."""
        try:
            os.ftruncate(journal, size)
            os.fsync(journal)
        except OSError as error:
            self._failed = f"{self._failed} Its end may hold what was refused ({error.strerror})."

    def _trouble(self, verb: str, error: OSError) -> LocalError:
        return LocalError(
            f"the wallet {self.path} cannot be {verb}: {error.strerror}.",
            "Make room, or make the data directory writable for the user of the node.",
        )


def _full(path: str) -> WalletFull:
    return WalletFull(
        f"{path} would be longer than {MAX_FILE_BYTES} bytes, and could not be read again.",
        "Send the coins to a new wallet: this one has too many keys.",
    )


def snapshot_text(network: str, generation: int, records: Sequence[Record]) -> bytes:
    """The bytes of a snapshot."""
    content = {
        "format": FORMAT,
        "version": VERSION,
        "network": network,
        "generation": generation,
        "records": list(records),
    }
    return json.dumps(content, indent=1).encode("ascii")


def parse_snapshot(path: str, data: bytes, network: str) -> tuple[int, int, list[Record]]:
    """Generation, version and records; LocalError when they are no wallet of `network`."""
    try:
        content = json.loads(data)
        kind, version, owner = content["format"], content["version"], content["network"]
        generation, records = int(content["generation"]), list(content["records"])
    except (ValueError, KeyError, TypeError):
        raise LocalError(
            f"the wallet {path} is damaged.", "Restore it from a backup; never edit it."
        ) from None
    if kind != FORMAT or version not in READABLE or owner != network:
        raise LocalError(
            f"the wallet {path} is for {owner}, format {kind} {version}.",
            f"This node needs one for {network}, format {FORMAT} {VERSION}.",
        )
    return generation, version, records


def parse_journal(path: str, data: bytes, generation: int) -> list[Record]:
    """The records of a journal that belongs to a snapshot of this generation, none of another's."""
    records: list[Record] = []
    for number, line in enumerate(data.split(b"\n")[:-1], 1):
        record = _parsed(line)
        if record is None:
            raise LocalError(
                f"the wallet's journal {path} is damaged in line {number}.",
                "Keep a copy of it and restore the wallet from a backup.",
            )
        if number == 1 and record.get("generation") != generation:
            return []
        records.append(record)
    return records[1:]


def replace_file(path: str, data: bytes) -> None:
    """Put `data` at `path` in one step, durable on return, mode 0600."""
    temporary = f"{path}.new"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, MODE)
    try:
        os.fchmod(descriptor, MODE)
        write_all(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.replace(temporary, path)
    sync_name(path)


def _blank(descriptor: int, start: int) -> None:
    """Overwrite the bytes of a file from `start` on, durably."""
    os.lseek(descriptor, start, os.SEEK_SET)
    write_all(descriptor, bytes(os.fstat(descriptor).st_size - start))
    os.fsync(descriptor)


def _remove(path: str) -> None:
    """Take away what a crash has left; it may hold secrets."""
    if os.path.lexists(path):
        os.unlink(path)


def _line(record: Record) -> bytes:
    return json.dumps(record, separators=(",", ":")).encode("ascii") + b"\n"


def read_whole(path: str, file: BinaryIO) -> bytes:
    """All of a file; LocalError for one that is too long, never a part of it."""
    data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise LocalError(
            f"{path} is longer than {MAX_FILE_BYTES} bytes; that is no file of a wallet.",
            "Keep a copy of it and restore the wallet from a backup.",
        )
    return data


def _parsed(line: bytes) -> Record | None:
    """The record of a line, None when it holds none."""
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


def write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
