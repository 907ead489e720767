"""What went through sessions, in numbers: bytes and messages by type, and the writes they left in."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import attrs

UNKNOWN = "unknown"
"""Where the bytes of types are counted that this version does not know."""


class Flush(StrEnum):
    """Why a write left."""

    IDLE = "idle"
    """Nothing was under way: what is queued leaves at once."""
    CONTROL = "control"
    """Something of the control class waited, which never does for long."""
    FULL = "full"
    """A whole batch had gathered."""
    SINGLE = "single"
    """Batching is off: every message is a write of its own."""
    DEADLINE = "deadline"
    """What had gathered waited long enough."""


@attrs.define
class Traffic:
    """What went through a session, or through several. Sizes are bytes of frames, headers included."""

    bytes_received: int = 0
    bytes_sent: int = 0
    received: dict[str, int] = attrs.Factory(dict)
    """Messages per type."""
    sent: dict[str, int] = attrs.Factory(dict)
    received_bytes: dict[str, int] = attrs.Factory(dict)
    """Bytes per type, of whole messages: `bytes_received` also holds what was not complete."""
    sent_bytes: dict[str, int] = attrs.Factory(dict)
    """Bytes per type handed to the transport; their sum is `bytes_sent`."""
    unknown: int = 0
    over_rate: int = 0
    dropped: int = 0
    """Messages of gossip that found no room."""
    withheld: int = 0
    """Messages that were not sent because the session's wire version does not have them."""
    pauses: int = 0
    """Times that its link was not read for a while, because what it had brought was not worked off."""
    sent_plain: int = 0
    """Bytes of payloads that were sent compressed, before and after."""
    sent_packed: int = 0
    received_plain: int = 0
    received_packed: int = 0
    writes: dict[str, int] = attrs.Factory(dict)
    """Writes by the rule that let them go (`Flush`)."""
    frames: int = 0
    """Frames in these writes."""
    largest_write: int = 0
    last_transaction: int = 0
    """When the peer delivered a transaction that was news and is valid, in the host's time; 0 for never."""
    last_block: int = 0
    """The same of a block."""
    round_trip: int | None = None
    round_trip_least: int | None = None
    clock_offset: int | None = None
    """How far the peer's clock is ahead of ours, by its last pong."""

    def count_received(self, name: str, size: int) -> None:
        """A whole message has arrived; its link has counted the bytes already."""
        self.received_bytes[name] = self.received_bytes.get(name, 0) + size

    def count_accepted(self, name: str) -> None:
        """A message is neither unknown nor too many."""
        self.received[name] = self.received.get(name, 0) + 1

    def count_sent(self, name: str, size: int, frames: int = 1) -> None:
        """Frames of a message are with the transport."""
        self.sent_bytes[name] = self.sent_bytes.get(name, 0) + size
        self.bytes_sent += size
        self.frames += frames

    def count_packed(self, plain: int, packed: int) -> None:
        """A message leaves whose payload was compressed."""
        self.sent_plain += plain
        self.sent_packed += packed

    def count_unpacked(self, plain: int, packed: int) -> None:
        """A compressed payload was expanded."""
        self.received_plain += plain
        self.received_packed += packed

    def count_write(self, rule: Flush, size: int) -> None:
        """Frames have left in one write."""
        self.writes[rule] = self.writes.get(rule, 0) + 1
        self.largest_write = max(self.largest_write, size)

    def add(self, other: Traffic) -> None:
        """Sum what can be summed."""
        self.bytes_received += other.bytes_received
        self.bytes_sent += other.bytes_sent
        self.unknown += other.unknown
        self.over_rate += other.over_rate
        self.dropped += other.dropped
        self.withheld += other.withheld
        self.pauses += other.pauses
        self.sent_plain += other.sent_plain
        self.sent_packed += other.sent_packed
        self.received_plain += other.received_plain
        self.received_packed += other.received_packed
        self.frames += other.frames
        self.largest_write = max(self.largest_write, other.largest_write)
        _sum(self.received, other.received)
        _sum(self.sent, other.sent)
        _sum(self.received_bytes, other.received_bytes)
        _sum(self.sent_bytes, other.sent_bytes)
        _sum(self.writes, other.writes)

    @property
    def incomplete(self) -> int:
        """Bytes received of messages that are under way, or never came to their end."""
        return self.bytes_received - sum(self.received_bytes.values())


def _sum(mine: dict[str, int], theirs: Mapping[str, int]) -> None:
    for name, count in theirs.items():
        mine[name] = mine.get(name, 0) + count
