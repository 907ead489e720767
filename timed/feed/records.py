"""The values the event log writes."""

from __future__ import annotations

from timed.codec.value import Value
from timed.primitives.transaction import Lock


class LockTouch(Value, frozen=True, gc=False):
    """What one transaction gives to and takes from one lock, in units."""

    lock: Lock
    received: int
    spent: int


class StoredEvent(Value, frozen=True, gc=False):
    """One event; its key is its sequence number. `time_us` is unix time in microseconds.

    `subject` is the transaction, block, node or member it is about, `data` a JSON object.
    """

    type: str
    time_us: int
    subject: bytes
    data: bytes
    touches: tuple[LockTouch, ...]


class LogState(Value, frozen=True, gc=False):
    """The log as a whole: events `first` to `next` - 1 are in it, `size` bytes of records.

    `log_id` tells one log from another that began anew; `dropped` counts what made room.
    """

    log_id: bytes
    first: int
    next: int
    size: int
    dropped: int

    @property
    def newest(self) -> int:
        """The sequence number of the newest event ever written; 0 before the first."""
        return self.next - 1

    @property
    def count(self) -> int:
        """Events that are kept."""
        return self.next - self.first


class Mark(Value, frozen=True, gc=False):
    """Which events of a transaction that is in no block are in the log: sequence numbers, 0 for none."""

    accepted: int
    final: int


class Position(Value, frozen=True, gc=False):
    """The last event that a sink has taken, and of which log."""

    log_id: bytes
    sequence: int


from timed.feed import _records_codec as _records_codec  # noqa: E402 (binds the codec)
