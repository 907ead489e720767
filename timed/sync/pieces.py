"""A block that names its transactions, and the bodies found for it so far."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from timed.primitives.block import Block
from timed.primitives.transaction import Transaction
from timed.wire.messages import CompactBlock


class Pieces:
    """Bodies are taken by txid alone: whether their witnesses are right is for the block's checks to say."""

    def __init__(self, compact: CompactBlock) -> None:
        self._compact = compact
        self._bodies: dict[bytes, Transaction] = {}

    @classmethod
    def of(cls, compact: CompactBlock, body: Callable[[bytes], Transaction | None]) -> Pieces:
        """With the bodies that are here."""
        pieces = cls(compact)
        pieces.add(found for txid in compact.txids if (found := body(txid)) is not None)
        return pieces

    def add(self, bodies: Iterable[Transaction]) -> None:
        for transaction in bodies:
            self._bodies.setdefault(transaction.txid, transaction)

    @property
    def lacking(self) -> tuple[bytes, ...]:
        """The txids without a body, in the block's order."""
        return tuple([txid for txid in self._compact.txids if txid not in self._bodies])

    def block(self) -> Block:
        """The block; KeyError while something is lacking."""
        return self._compact.block(self._bodies)
