"""What a recording holds, and its file.

A file is `MAGIC`, then zstd over msgpack: a `Tape`. Its entries are arrays whose
first element says what they are; times are microseconds of unix time.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from typing import Any, Union

import attrs
import msgspec
import zstandard

from timed.errors import LocalError
from timed.interfaces import Coin, StoredTip
from timed.primitives.transaction import OutPoint

MAGIC = b"TIMED-FLIGHT\n"
VERSION = 1
MAX_EXPANDED = 1 << 30
"""Bytes of a recording that `load` is ready to hold."""
LEVEL = 3


class Entry(enum.IntEnum):
    """The kinds of entries, and what follows them in the array."""

    CALL = 0
    """The number of a method in `CALLS`, then its arguments; the last is the time."""
    OPERATION = 1
    """The name of an operation in `OPERATIONS`, then its arguments, frozen: a list and those by name."""
    READ = 2
    """The number of a method in `READS`, then the encoded arguments and the encoded result."""
    SIGNATURE = 3
    """The name of the key, the checksum of what was signed, the signature."""
    TURN = 4
    """The time of a flush, then the checksum of the actions that came out."""
    RAISED = 5
    """The name of the exception that the call before raised."""


CALLS = (
    "connected", "received", "disconnected", "dial_failed", "drained", "verified", "persisted", "store_failed",
    "wake", "stop",
)  # fmt: skip
"""Methods of `Node` that a host calls, in the order of their numbers."""
OPERATIONS = (
    "submit", "examine", "peers.disconnect", "peers.ban", "peers.unban", "peers.clear_bans", "peers.want",
    "peers.forget", "peers.try_once", "peers.seeded", "peers.try_seed", "peers.regulate",
)  # fmt: skip
"""What users and operators do to a node."""
READS: Mapping[str, tuple[Any, Any]] = {
    "tip": (tuple[()], Union[StoredTip, None]),
    "block": (tuple[int], Union[bytes, None]),
    "header": (tuple[int], Union[bytes, None]),
    "certificate": (tuple[int], Union[bytes, None]),
    "height_of": (tuple[bytes], Union[int, None]),
    "locate": (tuple[bytes], Union[tuple[int, int], None]),
    "coin": (tuple[OutPoint], Union[Coin, None]),
}
"""What a node asks its store: the types of arguments and result."""


@attrs.frozen
class Tape:
    """One recording of one node."""

    version: int
    software: str
    network: str
    genesis: bytes
    node_id: bytes
    why: str
    began: int
    """When the state was copied."""
    ended: int
    digest: bytes
    """Of the state after the last entry."""
    keys: Mapping[str, bytes]
    """Public keys of the node, by their name in the state."""
    state: bytes
    """The frozen node."""
    entries: bytes
    """One msgpack array after the other."""

    def dump(self) -> bytes:
        """The bytes of its file."""
        return MAGIC + zstandard.ZstdCompressor(level=LEVEL).compress(msgspec.msgpack.encode(self))

    def __iter__(self) -> Iterator[list[Any]]:
        """The entries, decoded one by one; LocalError for what is none."""
        unpacker = _Unpacker(self.entries)
        yield from unpacker


def load(data: bytes) -> Tape:
    """The recording in a file; LocalError when it is none, or of another version."""
    if not data.startswith(MAGIC):
        raise LocalError(
            "this is no recording of timed.", "A recording is written by `timed-cli dumprecording`."
        )
    try:
        tape = msgspec.msgpack.decode(_expanded(data[len(MAGIC) :]), type=Tape)
    except (zstandard.ZstdError, msgspec.MsgspecError, MemoryError) as error:
        raise LocalError(f"the recording is damaged: {error}.") from error
    if tape.version != VERSION:
        raise LocalError(f"the recording is of version {tape.version}, this program reads {VERSION}.")
    return tape


def _expanded(packed: bytes) -> bytes:
    """LocalError for more than `MAX_EXPANDED`; ZstdError."""
    # The size that a frame announces is taken at its word by the library, whatever `max_output_size` says.
    size = zstandard.frame_content_size(packed)
    if size > MAX_EXPANDED:
        raise LocalError(f"the recording says that it holds {size} bytes, more than {MAX_EXPANDED}.")
    return zstandard.ZstdDecompressor().decompress(packed, max_output_size=MAX_EXPANDED)


class _Unpacker:
    """Arrays of msgpack that follow each other: msgspec decodes one, so each has its length before it."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)

    def __iter__(self) -> Iterator[list[Any]]:
        place, data = 0, self._data
        decode = msgspec.msgpack.Decoder(list[Any]).decode
        while place < len(data):
            size = int.from_bytes(data[place : place + 4], "little")
            place += 4
            try:
                entry = decode(data[place : place + size])
            except (msgspec.MsgspecError, RecursionError) as error:
                raise LocalError(f"the recording is damaged at byte {place}: {error}.") from error
            if not entry or place + size > len(data):
                raise LocalError(f"the recording is damaged at byte {place}.")
            place += size
            yield entry


_encode = msgspec.msgpack.Encoder().encode


def packed(entry: list[Any]) -> bytes:
    """One entry as it stands on the tape."""
    data = _encode(entry)
    return len(data).to_bytes(4, "little") + data
