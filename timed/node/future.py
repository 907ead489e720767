"""Messages of the next epoch, kept until this node is there (protocol §5)."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from timed.peer.values import Incoming

if TYPE_CHECKING:
    from timed.wire.message import Message

MAX_MESSAGES = 8_192
MAX_BYTES = 16 * 1024 * 1024
"""Kept in all; beyond either bound the peer that fills most of it loses its oldest message."""


class Future:
    """One queue a peer, so that a flood displaces nothing but itself."""

    def __init__(self) -> None:
        self.bytes = 0
        self._count = 0
        self._arrivals = 0
        self._queues: dict[bytes, deque[tuple[int, int, Incoming]]] = {}
        self._bytes_of: dict[bytes, int] = {}

    def __len__(self) -> int:
        return self._count

    def keep(self, incoming: Incoming, message: Message) -> int:
        """Keep `incoming`, which brought `message`; how many had to give way."""
        node_id, size = incoming.peer.node_id, len(message.encode())
        self._arrivals += 1
        self._queues.setdefault(node_id, deque()).append((self._arrivals, size, incoming))
        self._account(node_id, 1, size)
        dropped = 0
        while self._count > MAX_MESSAGES or self.bytes > MAX_BYTES:
            self._drop_one()
            dropped += 1
        return dropped

    def take(self) -> list[Incoming]:
        """Everything in the order of arrival; nothing is kept any more."""
        kept = sorted((one for queue in self._queues.values() for one in queue), key=lambda one: one[0])
        self._queues.clear()
        self._bytes_of.clear()
        self.bytes = self._count = 0
        return [incoming for _, _, incoming in kept]

    def _drop_one(self) -> None:
        if self._count > MAX_MESSAGES:
            fullest = max(self._queues, key=lambda node_id: len(self._queues[node_id]))
        else:
            fullest = max(self._queues, key=lambda node_id: self._bytes_of[node_id])
        _, size, _ = self._queues[fullest].popleft()
        self._account(fullest, -1, -size)

    def _account(self, node_id: bytes, count: int, size: int) -> None:
        self._count += count
        self.bytes += size
        self._bytes_of[node_id] = self._bytes_of.get(node_id, 0) + size
