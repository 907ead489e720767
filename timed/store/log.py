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

import attrs

from timed.errors import StoreError
from timed.store.files import Files, disk_error, require_space
from timed.store.records import SegmentHeader
from timed.store.segment import (
    MAGIC,
    MARKER_SIZE,
    SEGMENT_HEADER_SIZE,
    VERSION,
    Scan,
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


class Log:
    """The records of the current epoch in `directory`. Not safe for several threads.

    After an error of `append` the log is as it was before, or, when even that could
    not be brought about, it refuses everything until it is opened again.
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
            try:
                data = self._files.read(path)[:end]
            except OSError as error:
                raise disk_error("read", path, error) from error
            for batch in scan(data, read_segment_header(path, data)).batches:
                yield from batch.records

    def append(self, records: Sequence[bytes]) -> None:
        """Make the records durable together, with one sync; StoreError when that failed."""
        if not records:
            return
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
        names = [name for name in self._files.names(self._directory) if _NAME.match(name)]
        for number, name in enumerate(names):
            path = os.path.join(self._directory, name)
            epoch, sequence = (int(part) for part in name[:-4].split("-"))
            if epoch != self._epoch:
                raise StoreError(
                    f"the log file {path} belongs to block {epoch}, but block {self._epoch} is due.",
                    "The chain database is older than its log: put the right one back.",
                )
            if sequence != number:
                raise StoreError(f"a log file before {path} is missing.", "Put it back.")
        self._adopt([os.path.join(self._directory, name) for name in names])

    def _adopt(self, paths: Sequence[str]) -> None:
        """Check all files of the epoch and go on writing behind the last one."""
        contents = [self._files.read(path) for path in paths]
        headers = [
            self._checked_header(*item) for item in zip(range(len(paths)), paths, contents, strict=True)
        ]
        batch = 0
        for number, (path, data, header) in enumerate(zip(paths, contents, headers, strict=True)):
            if header.first_batch != batch:
                raise damaged(path, 0, f"it begins with batch {header.first_batch} where {batch} is due")
            self.doubtful = self.doubtful or header.doubtful
            last = number + 1 == len(paths)
            end = len(data) if last else headers[number + 1].previous_end
            found = scan(data[:end], header)
            batch += len(found.batches)
            if last:
                self._resume(path, header, found, batch, len(data))
            elif found.tail is not Tail.CLEAN or found.end != end:
                raise damaged(path, found.end, "frames that were durable are missing")
            else:
                self._closed.append((path, end))

    def _checked_header(self, number: int, path: str, data: bytes) -> SegmentHeader:
        header = read_segment_header(path, data)
        if header.genesis != self._genesis:
            raise StoreError(
                f"the log file {path} belongs to another network.", "Use another data directory."
            )
        if (header.epoch, header.sequence) != (self._epoch, number):
            raise damaged(path, 0, "its header names another place")
        return header

    def _resume(self, path: str, header: SegmentHeader, found: Scan, batch: int, size: int) -> None:
        """Continue behind the last file, or in a new one when its end is not clean."""
        if found.tail is Tail.BROKEN:
            raise damaged(path, found.end, Tail.BROKEN.value)
        descriptor = self._files.open(path)
        segment = _Segment(path, descriptor, header, found.end, batch)
        self._current = segment
        self._files.sync(descriptor)
        if found.tail is not Tail.CLEAN:
            self.doubtful = self.doubtful or found.tail is Tail.DOUBTFUL
            self.notes.append(
                f"log file {path}: {size - found.end} bytes from byte {found.end} on were left out:"
                f" {found.tail.value}"
            )
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
        self._files.close(segment.descriptor)
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
            self._files.close(descriptor)
            raise
        try:
            self._files.sync_directory(self._directory)
        except OSError as error:
            self._failed = f"{path} may be missing after a crash ({error.strerror})"
            self._files.close(descriptor)
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
            self._files.close(segment.descriptor)

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
