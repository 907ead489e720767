"""Times as callers write them: unix seconds, or a date of ISO 8601."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

MAX_TIME = 2**40
"""Unix seconds; the bound of a genesis time, far beyond any date."""
MAX_TEXT = 40
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)


class Moment(NamedTuple):
    """Unix seconds that a caller gave in place of a block."""

    time: int


def parse_moment(text: str) -> int:
    """Unix seconds of a date such as 2026-11-26, 2026-11-26T08:00:00Z or @1790000000; ValueError otherwise.

    Without an offset a date is UTC; fractions of a second are cut.
    """
    if len(text) > MAX_TEXT or not text.isascii():
        raise ValueError("too long")
    if text.startswith("@"):
        digits = text[1:]
        if not digits.isdecimal():
            raise ValueError("no number")
        return _checked(int(digits))
    date = datetime.fromisoformat(text)
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return _checked((date - _EPOCH) // _SECOND)


def _checked(seconds: int) -> int:
    if not 0 <= seconds < MAX_TIME:
        raise ValueError("out of range")
    return seconds
