"""The declared encoding of what the event log writes.

The generated module is `timed.feed._records_codec`, made by `python -m timed.codec`.
"""

from __future__ import annotations

from typing import Any

from timed.codec.declare import Record, array, bytes_fixed, bytes_prefixed, text, u8, u16, u32, u64
from timed.primitives.layouts import LOCK, MAX_INPUTS, MAX_OUTPUTS

MAX_TYPE = 32
MAX_SUBJECT = 64
MAX_DATA = 16 * 1024
"""Bytes of an event's own members as JSON; addresses stand beside them."""
MAX_TOUCHES = MAX_INPUTS + MAX_OUTPUTS
LOG_ID_SIZE = 4


def _record(title: str, *fields: Any) -> Record:
    return Record(title, "timed.feed.records", False, fields)


LOCK_TOUCH = _record("LockTouch", "lock" / LOCK, "received" / u64, "spent" / u64)
STORED_EVENT = _record(
    "StoredEvent",
    "type" / text(u8, MAX_TYPE),
    "time_us" / u64,
    "subject" / bytes_prefixed(u8, MAX_SUBJECT),
    "data" / bytes_prefixed(u16, MAX_DATA),
    "touches" / array(u32, LOCK_TOUCH, MAX_TOUCHES),
)
LOG_STATE = _record(
    "LogState",
    "log_id" / bytes_fixed(LOG_ID_SIZE),
    "first" / u64,
    "next" / u64,
    "size" / u64,
    "dropped" / u64,
)
MARK = _record("Mark", "accepted" / u64, "final" / u64)
POSITION = _record("Position", "log_id" / bytes_fixed(LOG_ID_SIZE), "sequence" / u64)

RECORDS = (LOCK_TOUCH, STORED_EVENT, LOG_STATE, MARK, POSITION)
