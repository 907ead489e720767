"""Coins that a payment in the making has chosen, until the wallet's file holds the payment.

Whoever reserves also ends it: with `release` once the stored payment holds the coins, or
when it could not be stored. No time ends a reservation. While the disk takes long, the
payment may already be on it, and its coins chosen again would be a double spend.
"""

from __future__ import annotations

from collections.abc import Iterable, KeysView

from timed.errors import WalletFull
from timed.primitives.transaction import OutPoint

MAX_RESERVED = 16_384
"""Coins reserved at one time; a payment beyond it is refused."""


class Reservations:
    """The outpoints that payments in the making spend; `refused` counts those there was no room for."""

    def __init__(self) -> None:
        self._held: dict[OutPoint, None] = {}
        self.refused = 0

    def __len__(self) -> int:
        return len(self._held)

    def __contains__(self, outpoint: object) -> bool:
        return outpoint in self._held

    @property
    def outpoints(self) -> KeysView[OutPoint]:
        return self._held.keys()

    def reserve(self, outpoints: Iterable[OutPoint]) -> None:
        """Hold all of them; WalletFull when too many are held already."""
        wanted = list(outpoints)
        if len(self._held) + len(wanted) > MAX_RESERVED:
            self.refused += 1
            raise WalletFull("too many payments are being made at once.", "Try again in a minute.")
        self._held.update(dict.fromkeys(wanted))

    def release(self, outpoints: Iterable[OutPoint]) -> None:
        for outpoint in outpoints:
            self._held.pop(outpoint, None)
