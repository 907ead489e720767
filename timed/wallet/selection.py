"""Which coins pay for an amount.

The fee follows the sum of all outputs, change included, so the choice keeps the
sum of the inputs small. It is the smallest single coin that is enough, unless
several smaller ones, the largest of them and a last one as small as will do, cost
less. Equal wallets choose equally.
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

    def descending(self, below: int | None = None) -> Iterator[OwnCoin]:
        """The free coins, the largest first; with `below` those of less than so many units."""
        place = None if below is None else (below, b"", 0)
        ways = (order.descending(place) for order in self.orders)
        return filter(self.is_free, merge(*ways, key=_ORDER, reverse=True))


def select(
    supplies: Sequence[Supply], needed: int, most: int, fee_of: Callable[[int], int]
) -> tuple[OwnCoin, ...]:
    """At most `most` coins that sum to `needed` units or more; () when there are none.

    They come from the first supply that can give them. `fee_of` is the fee, in units, of a
    payment that spends coins of so many units in all; it never falls as they grow.
    """
    for supply in supplies:
        chosen = _cover(supply, needed, most, fee_of)
        if chosen:
            return chosen
    return ()


def _cover(supply: Supply, needed: int, most: int, fee_of: Callable[[int], int]) -> tuple[OwnCoin, ...]:
    if most < 1:
        return ()
    single = next(supply.ascending(needed), None)
    if single is None:
        return _several(supply, needed, most)
    if fee_of(single.value) == fee_of(needed):
        return (single,)
    several = _several(supply, needed, most)
    dearer = not several or fee_of(sum(coin.value for coin in several)) >= fee_of(single.value)
    return (single,) if dearer else several


def _several(supply: Supply, needed: int, most: int) -> tuple[OwnCoin, ...]:
    """Coins of less than `needed` that are enough together."""
    chosen: dict[OutPoint, OwnCoin] = {}
    total = 0
    for coin in supply.descending(needed):
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
