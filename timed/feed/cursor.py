"""Cursors as readers keep them: the name of a log and the sequence number of the last event they have."""

from __future__ import annotations

import re

import attrs

from timed.errors import LocalError
from timed.feed.records import LogState

OLDEST, NEWEST = "oldest", "newest"
"""Words for the two ends of the log."""
_CURSOR = re.compile(r"([0-9a-f]{8})-(0|[1-9][0-9]{0,18})")


class BadCursor(LocalError):
    """No cursor of this log; `rule` is `cursor-form`, `cursor-foreign` or `cursor-ahead`."""

    def __init__(self, rule: str, message: str, hint: str) -> None:
        super().__init__(message, hint)
        self.rule = rule


def cursor_text(log_id: str, sequence: int) -> str:
    """The cursor of whoever has everything up to `sequence`."""
    return f"{log_id}-{sequence}"


@attrs.frozen
class Ends:
    """Where a log begins and ends."""

    log_id: str
    first: int
    newest: int
    """Equal to `first` - 1 when the log is empty."""

    @classmethod
    def of(cls, state: LogState) -> Ends:
        return cls(state.log_id.hex(), state.first, state.newest)

    def cursor(self, sequence: int) -> str:
        return cursor_text(self.log_id, sequence)

    def sequence_of(self, text: str) -> int:
        """The last event a reader with this cursor has; BadCursor when it cannot be one of this log."""
        if text == NEWEST:
            return self.newest
        if text == OLDEST:
            return self.first - 1
        found = _CURSOR.fullmatch(text)
        if found is None:
            raise BadCursor(
                "cursor-form",
                f"{text[:40]!r} is no cursor.",
                f"Give one that an event or geteventcursor named, or {OLDEST} or {NEWEST}.",
            )
        if found[1] != self.log_id:
            raise BadCursor(
                "cursor-foreign",
                f"{text!r} belongs to another event log; this one is {self.log_id}.",
                "This node began a new log: read what you need of the blocks, then go on from the oldest event.",
            )
        sequence = int(found[2])
        if sequence > self.newest:
            raise BadCursor(
                "cursor-ahead",
                f"{text!r} is ahead of the newest event, {self.cursor(self.newest)}.",
                "The data directory may be an older copy: go on from the oldest event.",
            )
        return sequence
