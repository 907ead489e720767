"""The format of one log file, and what its damage means.

A file is a sealed header and then frames. A frame is a sealed frame header and
one batch: everything a single `append` made durable. Frames are numbered through
the epoch, so a batch that follows another proves that the other was acknowledged.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import attrs

from timed.errors import DecodeError, StoreError
from timed.primitives.hashing import crc32c
from timed.store.records import Batch, FrameHeader, Seal, SegmentHeader

MAGIC = b"timedlog"
VERSION = 1
MARKER_SIZE = 8
SEAL_SIZE = 4
FRAME_HEADER_SIZE = 24 + SEAL_SIZE
SEGMENT_HEADER_SIZE = 79 + SEAL_SIZE


class Tail(Enum):
    """What stands behind the last valid frame."""

    CLEAN = "nothing"
    TORN = "a write that never ended"
    """Its length was never durable, so nobody was told that it is."""
    DOUBTFUL = "a write of full length whose bytes are wrong"
    """Never finished or damaged later: that cannot be told apart."""
    BROKEN = "damage in front of valid frames"
    """Those frames prove that the damaged bytes were durable once."""


@attrs.frozen
class Scan:
    """The valid frames of a file."""

    batches: tuple[Batch, ...]
    end: int
    """Where the last valid frame ends."""
    tail: Tail


def sealed(header: SegmentHeader | FrameHeader) -> bytes:
    """The header with its checksum behind it."""
    data = header.encode()
    return data + Seal(crc32c(data)).encode()


def frame(marker: bytes, batch: int, records: Sequence[bytes]) -> bytes:
    """One batch as it is written."""
    payload = Batch(tuple(records)).encode()
    return sealed(FrameHeader(marker, batch, len(payload), crc32c(payload))) + payload


def read_segment_header(path: str, data: bytes) -> SegmentHeader:
    """The header of a log file; StoreError when it is damaged or of another version."""
    header = data[: SEGMENT_HEADER_SIZE - SEAL_SIZE]
    try:
        found = SegmentHeader.decode(header)
        if data[len(header) : SEGMENT_HEADER_SIZE] != Seal(crc32c(header)).encode():
            raise DecodeError("log-seal")
    except DecodeError as error:
        raise damaged(path, 0, str(error)) from None
    if found.magic != MAGIC or found.version != VERSION:
        raise StoreError(
            f"the log file {path} was written by another version of timed.", "Start that version again."
        )
    return found


def damaged(path: str, offset: int, what: str) -> StoreError:
    """The log cannot be trusted: name the place."""
    return StoreError(
        f"the log file {path} is damaged at byte {offset}: {what}.",
        "It holds what this node has signed. Check the disk; to go on without it, keep the node from"
        " voting in this epoch by removing the file only after the next block is certified elsewhere.",
    )


def scan(data: bytes, header: SegmentHeader) -> Scan:
    """Read all frames up to the end of `data` or the first one that is not valid."""
    position, number = SEGMENT_HEADER_SIZE, header.first_batch
    batches = []
    tail = Tail.CLEAN
    while position < len(data):
        head = _frame_header(data, position, header.marker)
        start = position + FRAME_HEADER_SIZE
        if head is None or head.batch != number:
            short = len(data) < start
            tail = _judge(data, position + 1, header.marker, number, Tail.TORN if short else Tail.DOUBTFUL)
            break
        payload = data[start : start + head.length]
        batch = _batch(payload, head)
        if batch is None:
            short = len(payload) < head.length
            tail = _judge(
                data, start + head.length, header.marker, number, Tail.TORN if short else Tail.DOUBTFUL
            )
            break
        batches.append(batch)
        position, number = start + head.length, number + 1
    return Scan(tuple(batches), position, tail)


def _frame_header(data: bytes, position: int, marker: bytes) -> FrameHeader | None:
    raw = data[position : position + FRAME_HEADER_SIZE - SEAL_SIZE]
    seal = data[position + len(raw) : position + FRAME_HEADER_SIZE]
    if not raw.startswith(marker) or seal != Seal(crc32c(raw)).encode():
        return None
    return FrameHeader.decode(raw)


def _batch(payload: bytes, head: FrameHeader) -> Batch | None:
    if len(payload) != head.length or crc32c(payload) != head.checksum:
        return None
    try:
        return Batch.decode(payload)
    except DecodeError:
        return None


def _judge(data: bytes, start: int, marker: bytes, number: int, otherwise: Tail) -> Tail:
    """BROKEN when a frame of a later batch stands at or behind `start`."""
    position = data.find(marker, start)
    while position >= 0:
        head = _frame_header(data, position, marker)
        if head is not None and head.batch > number:
            return Tail.BROKEN
        position = data.find(marker, position + 1)
    return otherwise
