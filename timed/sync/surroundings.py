"""What the planner of catching up needs of its node."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from timed.primitives.transaction import Transaction
from timed.wire.message import Message
from timed.wire.messages import CertifiedBlock

Items = Sequence[tuple[bytes, bytes, bytes]]


class Surroundings(Protocol):
    """Requests, checks and the way to commit a block."""

    def request(self, node_id: bytes, message: Message, now: int) -> int | None:
        """Send a request; its id, or None when the peer's window is full or it is gone."""

    def check(self, items: Items, then: Callable[[bool, int], None]) -> None:
        """Check all signatures off the reactor, then call back."""

    def apply(self, block: CertifiedBlock, source: bytes, now: int) -> None:
        """Evaluate and commit; `CatchUp.advanced` or `CatchUp.refused` follows."""

    def misbehaved(self, node_id: bytes, event: str, now: int) -> None:
        """A peer sent what no honest node sends."""

    def votes(self) -> bool:
        """True when this node decides the next block itself."""

    def compacts(self, node_id: bytes) -> bool:
        """Whether this peer hands out blocks that name their transactions."""

    def body(self, txid: bytes) -> Transaction | None:
        """A pending transaction whose signatures were checked."""
