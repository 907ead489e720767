"""Which coins pay for an amount.

The fee follows the sum of all outputs, change included, so the choice keeps the
sum of the inputs small: the smallest single coin that is enough, otherwise the
largest ones, the last of them as small as will do. Equal wallets choose equally.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from heapq import merge
from operator import attrgetter

import attrs

from timed.primitives.transaction import OutPoint
from timed.wallet.coins import OwnCoin
from timed.wallet.valueorder import ValueOrder

_ORDER = attrgetter("order")


@attrs.frozen
class Supply:
    """Coins to choose from: the ones in `orders` for which `is_free` holds.

    Both ways through them are lazy, and what is not free is passed over: its number is
    bounded by the payments that are under way and the coins that are set aside.
    """

    orders: tuple[ValueOrder, ...]
    is_free: Callable[[OwnCoin], bool]

    def ascending(self, least: int = 0) -> Iterator[OwnCoin]:
        """The free coins of `least` units or more, the smallest first."""
        return filter(self.is_free, merge(*(order.ascending(least) for order in self.orders), key=_ORDER))

    def descending(self) -> Iterator[OwnCoin]:
        """The free coins, the largest first."""
        ways = (order.descending() for order in self.orders)
        return filter(self.is_free, merge(*ways, key=_ORDER, reverse=True))


def select(supplies: Sequence[Supply], needed: int, most: int) -> tuple[OwnCoin, ...]:
    """At most `most` coins that sum to `needed` units or more; () when there are none.

    They come from the first supply that can give them.
    """
    for supply in supplies:
        chosen = _cover(supply, needed, most)
        if chosen:
            return chosen
    return ()


def _cover(supply: Supply, needed: int, most: int) -> tuple[OwnCoin, ...]:
    if most < 1:
        return ()
    single = next(supply.ascending(needed), None)
    if single is not None:
        return (single,)
    chosen: dict[OutPoint, OwnCoin] = {}
    total = 0
    for coin in supply.descending():
        if total + coin.value >= needed:
            # The last one as small as will do; `coin` itself is always among these.
            enough = supply.ascending(needed - total)
            last = next(other for other in enough if other.outpoint not in chosen)
            return (*chosen.values(), last)
        chosen[coin.outpoint] = coin
        total += coin.value
        if len(chosen) == most:
            break
    return ()
