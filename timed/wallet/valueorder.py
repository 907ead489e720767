"""Coins in the order of their values, whatever their number.

A payment looks at the few coins at one end, or next to one value; nothing is sorted
or copied for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from sortedcontainers import SortedList

if TYPE_CHECKING:
    from timed.wallet.coins import OwnCoin

Order = tuple[int, bytes, int]
"""`OwnCoin.order`: units, txid, index."""


class ValueOrder:
    """Coins by `OwnCoin.order`; adding and taking away cost the logarithm of their number.

    `total` is the sum of their values, in units. Nothing may be changed while one of
    its iterators is in use.
    """

    def __init__(self) -> None:
        self._rows: SortedList = SortedList()
        self.total = 0

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, coin: OwnCoin) -> None:
        self._rows.add((*coin.order, coin))
        self.total += coin.value

    def remove(self, coin: OwnCoin) -> None:
        """Take away a coin that is in here."""
        self._rows.remove((*coin.order, coin))
        self.total -= coin.value

    def ascending(self, least: int = 0, above: Order | None = None) -> Iterator[OwnCoin]:
        """The coins of `least` units or more, the smallest first; with `above` those after that place."""
        # A row is longer than its order and so stands behind it: the next number begins after it.
        start = (least,) if above is None else (*above[:2], above[2] + 1)
        for row in self._rows.irange(minimum=start):
            yield row[3]

    def descending(self, below: Order | None = None) -> Iterator[OwnCoin]:
        """The coins, the largest first; with `below` those before that place."""
        for row in self._rows.irange(maximum=below, inclusive=(True, False), reverse=True):
            yield row[3]

    def count_below(self, value: int) -> int:
        """How many coins are worth less than `value` units."""
        count: int = self._rows.bisect_left((value,))
        return count
