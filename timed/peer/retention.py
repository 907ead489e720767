"""Messages that are kept until a peer acknowledges them (`requires_ack`).

What was not acknowledged is sent again on the next session with the same peer.
Everything is bounded: a new session exchanges the state of the epoch anyway, so
forgetting costs a round trip, never safety.
"""

from __future__ import annotations

from collections import OrderedDict

import attrs

from timed.peer import limits
from timed.primitives.hashing import tagged_hash


def reference(payload: bytes) -> bytes:
    """What an Ack names its message by, beside the number of the type."""
    return tagged_hash("ack", payload)


@attrs.frozen
class Kept:
    """One message that waits for its acknowledgement."""

    number: int
    payload: bytes
    kept_at: int


class Retention:
    """What each peer has not acknowledged, oldest first."""

    def __init__(self) -> None:
        self._kept: dict[bytes, OrderedDict[tuple[int, bytes], Kept]] = {}
        self._sizes: dict[bytes, int] = {}
        self.total = 0
        self.forgotten = 0
        """Messages that were dropped for age or for a bound."""

    def __len__(self) -> int:
        return sum(map(len, self._kept.values()))

    def keep(self, node_id: bytes, number: int, payload: bytes, name: bytes, now: int) -> None:
        """Keep a message for a peer; `name` is its reference."""
        self._remove(node_id, (number, name))
        kept = self._kept.setdefault(node_id, OrderedDict())
        kept[(number, name)] = Kept(number, payload, now)
        self._add(node_id, len(payload))
        while len(kept) > limits.RETAINED_MESSAGES or self._sizes[node_id] > limits.RETAINED_BYTES:
            self._forget_oldest(node_id)
        while self.total > limits.RETAINED_TOTAL_BYTES:
            self._forget_oldest(next(iter(self._kept)))

    def acknowledged(self, node_id: bytes, number: int, name: bytes) -> bool:
        """Drop a message; False when it is not kept."""
        return self._remove(node_id, (number, name))

    def pending(self, node_id: bytes, now: int) -> list[Kept]:
        """What a new session with this peer sends again, oldest first."""
        kept = self._kept.get(node_id)
        while kept and now - next(iter(kept.values())).kept_at >= limits.RETAINED_AGE:
            self._forget_oldest(node_id)
        return list(kept.values()) if kept else []

    def expire(self, now: int) -> int | None:
        """Forget what is too old, for every peer; when to look again."""
        oldest = [kept[0].kept_at for node_id in list(self._kept) if (kept := self.pending(node_id, now))]
        return min(oldest) + limits.RETAINED_AGE if oldest else None

    def _forget_oldest(self, node_id: bytes) -> None:
        self.forgotten += 1
        self._remove(node_id, next(iter(self._kept[node_id])))

    def _add(self, node_id: bytes, size: int) -> None:
        self._sizes[node_id] = self._sizes.get(node_id, 0) + size
        self.total += size

    def _remove(self, node_id: bytes, key: tuple[int, bytes]) -> bool:
        kept = self._kept.get(node_id)
        message = kept.pop(key, None) if kept is not None else None
        if kept is None or message is None:
            return False
        self._add(node_id, -len(message.payload))
        if not kept:
            del self._kept[node_id]
            del self._sizes[node_id]
        return True
