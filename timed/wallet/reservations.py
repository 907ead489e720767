"""Coins that a send in progress has chosen, until the mempool knows the payment.

A reservation ends with `release`, when the mempool takes over, or by itself:
nothing a failed send leaves behind keeps a coin for longer than `HOLD_US`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from timed.errors import LocalError
from timed.params import SECOND
from timed.primitives.transaction import OutPoint

HOLD_US = 60 * SECOND
MAX_RESERVED = 4_096
"""Coins reserved at one time; a send beyond it is refused."""


class Reservations:
    """Outpoints with the time (microseconds) their reservation ends."""

    def __init__(self) -> None:
        self._until: OrderedDict[OutPoint, int] = OrderedDict()
        self.refused = 0

    def __len__(self) -> int:
        return len(self._until)

    def holds(self, outpoint: OutPoint, now: int) -> bool:
        self._expire(now)
        return outpoint in self._until

    def reserve(self, outpoints: Iterable[OutPoint], now: int) -> None:
        """Hold all of them; LocalError when too many are held already."""
        wanted = list(outpoints)
        self._expire(now)
        if len(self._until) + len(wanted) > MAX_RESERVED:
            self.refused += 1
            raise LocalError("too many payments are being made at once.", "Try again in a minute.")
        for outpoint in wanted:
            self._until[outpoint] = now + HOLD_US

    def release(self, outpoints: Iterable[OutPoint]) -> None:
        for outpoint in outpoints:
            self._until.pop(outpoint, None)

    def _expire(self, now: int) -> None:
        while self._until:
            outpoint, until = next(iter(self._until.items()))
            if until > now:
                return
            del self._until[outpoint]
