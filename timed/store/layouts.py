"""The declared encoding of everything the store writes that is not a block.

The generated module is `timed.store._records_codec`, made by `python -m timed.codec`.
"""

from __future__ import annotations

from typing import Any

from timed.codec.declare import (
    Record,
    array,
    bytes_fixed,
    bytes_prefixed,
    flag,
    hash32,
    text,
    u8,
    u16,
    u32,
    u64,
)
from timed.ledger.digest import MAX_SHARD_BITS
from timed.primitives.layouts import OUTPUT
from timed.primitives.lthash import STATE_SIZE

MAX_RECORD = 8 * 1024 * 1024
"""Bytes of one log record; the longest is a proposal of four MiB."""
MAX_BATCH_RECORDS = 65_535
DIGEST_SIZE = STATE_SIZE
MAX_SHARDS = 1 << MAX_SHARD_BITS


def _record(title: str, *fields: Any) -> Record:
    return Record(title, "timed.store.records", False, fields)


SEGMENT_HEADER = _record(
    "SegmentHeader",
    "magic" / bytes_fixed(8),
    "version" / u16,
    "genesis" / hash32,
    "epoch" / u64,
    "sequence" / u32,
    "first_batch" / u64,
    "previous_end" / u64,
    "doubtful" / flag,
    "marker" / bytes_fixed(8),
)
FRAME_HEADER = _record(
    "FrameHeader",
    "marker" / bytes_fixed(8),
    "batch" / u64,
    "length" / u32,
    "checksum" / u32,
)
SEAL = _record("Seal", "checksum" / u32)
BATCH = _record(
    "Batch",
    "records" / array(u32, bytes_prefixed(u32, MAX_RECORD), MAX_BATCH_RECORDS),
)

IDENTITY = _record("Identity", "schema" / u16, "network" / text(u8, 32), "genesis" / hash32)
TIP = _record(
    "TipRecord",
    "height" / u64,
    "block_hash" / hash32,
    "coins" / u64,
    "supply" / u64,
    "digests" / array(u16, bytes_fixed(DIGEST_SIZE), MAX_SHARDS),
)
COIN = _record("CoinRecord", "output" / OUTPUT, "height" / u64, "coinbase" / flag)
LOCATION = _record("Location", "height" / u64, "position" / u32)
HEIGHT = _record("HeightRecord", "height" / u64)

RECORDS = (
    SEGMENT_HEADER, FRAME_HEADER, SEAL, BATCH, IDENTITY, TIP, COIN, LOCATION, HEIGHT,
)  # fmt: skip
