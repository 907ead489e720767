"""The log of one epoch: appended to, synced once per batch, forgotten with its block.

Files are named by epoch (the height of the block being prepared) and a running
number. A file appears under its name only with a durable header; a file after
which something was cut off is never written to again: the next one says where
its predecessor's valid part ended. So nothing is erased before its epoch closes,
and a doubt that arose once stays known however often the node restarts.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress

import attrs

from timed.errors import StoreError
from timed.store.files import Files, disk_error, require_space
from timed.store.layouts import MAX_BATCH_RECORDS
from timed.store.records import SegmentHeader
from timed.store.segment import (
    MAGIC,
    MARKER_SIZE,
    SEGMENT_HEADER_SIZE,
    VERSION,
    Tail,
    damaged,
    frame,
    read_segment_header,
    scan,
    sealed,
)

SEGMENT_SIZE = 64 * 1024 * 1024
"""A file that has grown beyond this is followed by another."""
UNFINISHED = ".new"
_NAME = re.compile(r"(\d{20})-(\d{6})\.log\Z")


@attrs.define
class _Segment:
    """The file that is being written."""

    path: str
    descriptor: int
    header: SegmentHeader
    size: int
    next_batch: int


@attrs.frozen
class Surveyed:
    """One file of an epoch as it was found; what is in it is read by `records_of`."""

    path: str
    header: SegmentHeader
    next_batch: int
    end: int
    """Of its valid part."""
    tail: Tail
    size: int

    @property
    def note(self) -> str:
        """What stands behind its valid part, in one sentence; empty for nothing."""
        if self.tail is Tail.CLEAN:
            return ""
        return (
            f"log file {self.path}: {self.size - self.end} bytes from byte {self.end} on were left out:"
            f" {self.tail.value}"
        )


def survey(directory: str, genesis: bytes, epoch: int, files: Files) -> list[Surveyed]:
    """The files of `epoch` in their order, read one at a time; StoreError for damage that cannot be left out.

    Those of closed epochs are nobody's any more; an opening removes them.
    """
    paths: list[str] = []
    for name in files.names(directory):
        match = _NAME.match(name)
        if match is None or int(match[1]) < epoch:
            continue
        path = os.path.join(directory, name)
        found, sequence = int(match[1]), int(match[2])
        if found != epoch:
            raise StoreError(
                f"the log file {path} belongs to block {found}, but block {epoch} is due.",
                "The chain database is older than its log: put the right one back.",
            )
        if sequence != len(paths):
            raise StoreError(f"a log file before {path} is missing.", "Put it back.")
        paths.append(path)
    headers = [
        _checked_header(number, path, files.read(path, SEGMENT_HEADER_SIZE), genesis, epoch)
        for number, path in enumerate(paths)
    ]
    ends = [header.previous_end for header in headers[1:]]
    surveyed: list[Surveyed] = []
    for path, header, end in zip(paths, headers, [*ends, None], strict=False):
        due = surveyed[-1].next_batch if surveyed else 0
        if header.first_batch != due:
            raise damaged(path, 0, f"it begins with batch {header.first_batch} where {due} is due")
        surveyed.append(_surveyed(path, header, end, files))
    return surveyed


def _surveyed(path: str, header: SegmentHeader, end: int | None, files: Files) -> Surveyed:
    """One file; `end` is where its valid part ends by what the next one says."""
    data = files.read(path)
    found = scan(data if end is None else data[:end], header)
    if found.tail is Tail.BROKEN:
        raise damaged(path, found.end, Tail.BROKEN.value)
    if end is not None and (found.tail is not Tail.CLEAN or found.end != end):
        raise damaged(path, found.end, "frames that were durable are missing")
    return Surveyed(path, header, header.first_batch + len(found.batches), found.end, found.tail, len(data))


def records_of(path: str, end: int, files: Files) -> Iterator[bytes]:
    """The records in the valid part of a log file, oldest first."""
    try:
        data = files.read(path)[:end]
    except OSError as error:
        raise disk_error("read", path, error) from error
    for batch in scan(data, read_segment_header(path, data)).batches:
        yield from batch.records


def _checked_header(number: int, path: str, data: bytes, genesis: bytes, epoch: int) -> SegmentHeader:
    header = read_segment_header(path, data)
    if header.genesis != genesis:
        raise StoreError(f"the log file {path} belongs to another network.", "Use another data directory.")
    if (header.epoch, header.sequence) != (epoch, number):
        raise damaged(path, 0, "its header names another place")
    return header


class Log:
    """The records of the current epoch in `directory`. Not safe for several threads.

    After an error of `append` the batch that failed is not in the log, or, when even that
    could not be brought about, the log refuses everything until it is opened again.
    """

    def __init__(
        self, directory: str, genesis: bytes, epoch: int, files: Files, segment_size: int = SEGMENT_SIZE
    ) -> None:
        self.doubtful = False
        self.notes: list[str] = []
        """What was found and cut off when opening, one sentence each."""
        self.leftovers = 0
        """Files of closed epochs that could not be removed; the next opening tries again."""
        self._directory = directory
        self._genesis = genesis
        self._epoch = epoch
        self._files = files
        self._segment_size = segment_size
        self._failed = ""
        self._current: _Segment | None = None
        self._closed: list[tuple[str, int]] = []
        try:
            self._open()
        except OSError as error:
            self._close_current()
            raise disk_error("open the log in", directory, error) from error

    def replay(self) -> Iterator[bytes]:
        """Every durable record of this epoch, oldest first."""
        places = list(self._closed)
        if self._current is not None:
            places.append((self._current.path, self._current.size))
        for path, end in places:
            yield from records_of(path, end, self._files)

    def append(self, records: Sequence[bytes]) -> None:
        """Make the records durable, with one sync for each MAX_BATCH_RECORDS; StoreError when that failed."""
        for first in range(0, len(records), MAX_BATCH_RECORDS):
            self._append(records[first : first + MAX_BATCH_RECORDS])

    def _append(self, records: Sequence[bytes]) -> None:
        self.require_usable()
        require_space(self._files, self._directory)
        segment = self._writable()
        data = frame(segment.header.marker, segment.next_batch, records)
        try:
            self._write_all(segment.descriptor, data)
        except OSError as error:
            self._take_back(segment)
            raise disk_error("write to", segment.path, error) from error
        self._sync(segment)
        segment.size += len(data)
        segment.next_batch += 1

    def roll(self, epoch: int) -> None:
        """Forget everything: the block of the current epoch is durable. Never fails."""
        self._close_current()
        self._closed.clear()
        self._epoch = epoch
        self.doubtful = False
        self._remove_before(epoch)

    def require_usable(self) -> None:
        """StoreError after a failure that only a restart can mend."""
        if self._failed:
            raise StoreError(
                f"the log in {self._directory} cannot be used: {self._failed}.", "Restart the node."
            )

    def close(self) -> None:
        """Release the file; nothing unsynced exists."""
        self._close_current()
        self._failed = self._failed or "it is closed"

    # Opening

    def _open(self) -> None:
        self._remove_before(self._epoch)
        found = survey(self._directory, self._genesis, self._epoch, self._files)
        self.doubtful = any(each.header.doubtful for each in found)
        self._closed = [(each.path, each.end) for each in found[:-1]]
        if found:
            self._resume(found[-1])

    def _resume(self, last: Surveyed) -> None:
        """Continue behind the last file, or in a new one when its end is not clean."""
        descriptor = self._files.open(last.path)
        segment = _Segment(last.path, descriptor, last.header, last.end, last.next_batch)
        self._current = segment
        self._files.sync(descriptor)
        if last.tail is not Tail.CLEAN:
            self.doubtful = self.doubtful or last.tail is Tail.DOUBTFUL
            self.notes.append(last.note)
            self._follow(segment)
        self._files.sync_directory(self._directory)

    # Writing

    def _writable(self) -> _Segment:
        """The file to append to, made or followed by another as needed."""
        try:
            if self._current is None:
                self._current = self._create(sequence=0, first_batch=0, previous_end=0)
            elif self._current.size >= self._segment_size:
                self._follow(self._current)
        except OSError as error:
            raise disk_error("begin a log file in", self._directory, error) from error
        return self._current

    def _follow(self, segment: _Segment) -> None:
        successor = self._create(
            sequence=segment.header.sequence + 1, first_batch=segment.next_batch, previous_end=segment.size
        )
        self._release(segment.descriptor)
        self._closed.append((segment.path, segment.size))
        self._current = successor

    def _create(self, *, sequence: int, first_batch: int, previous_end: int) -> _Segment:
        header = SegmentHeader(
            magic=MAGIC,
            version=VERSION,
            genesis=self._genesis,
            epoch=self._epoch,
            sequence=sequence,
            first_batch=first_batch,
            previous_end=previous_end,
            doubtful=self.doubtful,
            marker=self._files.random(MARKER_SIZE),
        )
        path = os.path.join(self._directory, f"{self._epoch:020d}-{sequence:06d}.log")
        unfinished = path + UNFINISHED
        self._remove_if_there(unfinished)
        descriptor = self._files.create(unfinished)
        try:
            self._write_all(descriptor, sealed(header))
            self._files.sync(descriptor)
            self._files.rename(unfinished, path)
        except OSError:
            self._release(descriptor)
            raise
        try:
            self._files.sync_directory(self._directory)
        except OSError as error:
            self._failed = f"{path} may be missing after a crash ({error.strerror})"
            self._release(descriptor)
            raise
        return _Segment(path, descriptor, header, SEGMENT_HEADER_SIZE, first_batch)

    def _write_all(self, descriptor: int, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[self._files.write(descriptor, rest) :]

    def _sync(self, segment: _Segment) -> None:
        """After a failed sync nobody knows what the disk holds, so the file is given up."""
        try:
            self._files.sync(segment.descriptor)
        except OSError as error:
            self._failed = f"{segment.path} could not be synced ({error.strerror})"
            raise disk_error("sync", segment.path, error) from error

    def _take_back(self, segment: _Segment) -> None:
        """Cut off what a failed write left behind."""
        try:
            self._files.truncate(segment.descriptor, segment.size)
            self._files.sync(segment.descriptor)
        except OSError as error:
            self._failed = f"a failed write to {segment.path} could not be taken back ({error.strerror})"

    # Forgetting

    def _close_current(self) -> None:
        segment, self._current = self._current, None
        if segment is not None:
            self._release(segment.descriptor)

    def _release(self, descriptor: int) -> None:
        """Whatever closing may complain of, what counts was synced before; the descriptor is gone all the same."""
        with suppress(OSError):
            self._files.close(descriptor)

    def _remove_before(self, epoch: int) -> None:
        """Remove the files of closed epochs, and what never became a file of any."""
        try:
            for name in self._files.names(self._directory):
                match = _NAME.match(name)
                if name.endswith(UNFINISHED) or (match and int(match[1]) < epoch):
                    self._files.remove(os.path.join(self._directory, name))
        except OSError:
            self.leftovers += 1

    def _remove_if_there(self, path: str) -> None:
        if os.path.basename(path) in self._files.names(self._directory):
            self._files.remove(path)
