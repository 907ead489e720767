"""The declared encoding of the wallet's history.

The generated module is `timed.wallet._records_codec`, made by `python -m timed.codec`.
"""

from __future__ import annotations

from typing import Any

from timed.codec.declare import Record, array, flag, hash32, text, u8, u16, u32, u64
from timed.primitives.layouts import OUTPUT

MAX_PIECES = 65_535
"""Inputs, and outputs, of one transaction."""
MAX_COMMENT_BYTES = 4_096
MAX_REASON_BYTES = 255
MAX_OWNER_BYTES = 80
MAX_OWNERS = 10_000


def _record(title: str, *fields: Any) -> Record:
    return Record(title, "timed.wallet.records", False, fields)


KEPT_OUTPUT = _record("KeptOutput", "index" / u16, "output" / OUTPUT)
ENTRY = _record(
    "HistoryEntry",
    "txid" / hash32,
    "released" / flag,
    "height" / u64,
    "position" / u32,
    "time" / u64,
    "created" / u64,
    "comment" / text(u16, MAX_COMMENT_BYTES),
    "comment_to" / text(u16, MAX_COMMENT_BYTES),
    "reason" / text(u8, MAX_REASON_BYTES),
    "coinbase" / flag,
    "foreign" / u16,
    "inputs" / array(u16, OUTPUT, MAX_PIECES),
    "outputs" / array(u16, KEPT_OUTPUT, MAX_PIECES),
)
RECEIPT = _record("Receipt", "value" / u64, "coinbase" / flag)
OWNERS = _record("Owners", "names" / array(u16, text(u8, MAX_OWNER_BYTES), MAX_OWNERS))
RESCAN = _record("RescanMark", "first" / u64, "following" / u64, "last" / u64)

RECORDS = (KEPT_OUTPUT, ENTRY, RECEIPT, OWNERS, RESCAN)
