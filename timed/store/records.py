"""The values the store writes beside blocks and certificates."""

from __future__ import annotations

from timed.codec.value import Value
from timed.primitives.transaction import Output


class SegmentHeader(Value, frozen=True, gc=False):
    """The first bytes of a log file.

    `previous_end` is where the valid part of the file before it ended; `doubtful`
    says that what was cut off there, or earlier, may have been acknowledged.
    `marker` is random and stands before every frame of this file, so that no record
    a peer sent can pass for a frame.
    """

    magic: bytes
    version: int
    genesis: bytes
    epoch: int
    sequence: int
    first_batch: int
    previous_end: int
    doubtful: bool
    marker: bytes


class FrameHeader(Value, frozen=True, gc=False):
    """What stands before one batch: its number, its length and the CRC-32C of its bytes."""

    marker: bytes
    batch: int
    length: int
    checksum: int


class Seal(Value, frozen=True, gc=False):
    """The CRC-32C behind a header."""

    checksum: int


class Batch(Value, frozen=True, gc=False):
    """The records of one `append`: all of them are there, or none."""

    records: tuple[bytes, ...]


class Identity(Value, frozen=True, gc=False):
    """Whose store this is."""

    schema: int
    network: str
    genesis: bytes


class TipRecord(Value, frozen=True, gc=False):
    """`timed.interfaces.StoredTip` on disk."""

    height: int
    block_hash: bytes
    coins: int
    supply: int
    digests: tuple[bytes, ...]


class CoinRecord(Value, frozen=True, gc=False):
    """`timed.interfaces.Coin` on disk; its key is the outpoint's."""

    output: Output
    height: int
    coinbase: bool


class Location(Value, frozen=True, gc=False):
    """Where a confirmed transaction stands."""

    height: int
    position: int


class HeightRecord(Value, frozen=True, gc=False):
    """The height of a block, found by its hash."""

    height: int


from timed.store import _records_codec as _records_codec  # noqa: E402 (binds the codec)
