"""Which coins pay for an amount, and how much of them comes back.

The fee follows the sum of all outputs, change included, so the choice keeps the
sum of the inputs small: the smallest single coin that is enough, otherwise the
largest ones, the last of them as small as will do. Equal wallets choose equally.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import attrs

from timed.errors import TimedError
from timed.ledger.rules import fee_for, largest_total
from timed.params import NetworkParams
from timed.primitives.amounts import format_amount
from timed.wallet.coins import OwnCoin


class InsufficientFunds(TimedError):
    """The coins that may be spent now do not cover an amount and its fee (units)."""

    def __init__(self, needed: int, available: int, coins: int) -> None:
        super().__init__(needed, available)
        self.needed = needed
        self.available = available
        self.coins = coins

    def __str__(self) -> str:
        return (
            f"{format_amount(self.needed)} TIME needed with the fee, "
            f"{format_amount(self.available)} TIME in {self.coins} coins can be spent now"
        )


@attrs.frozen
class Selection:
    """Inputs and what becomes of them; `change` is 0 when it would be dust. All in units."""

    coins: tuple[OwnCoin, ...]
    amount: int
    change: int
    fee: int


def select(coins: Iterable[OwnCoin], amount: int, params: NetworkParams) -> Selection:
    """Coins for `amount` units; InsufficientFunds when `coins` do not reach.

    Coins in blocks are tried first: a payment on top of one that only is final
    has to wait at every node until that one's certificate has arrived there.
    """
    everything = sorted(coins, key=lambda coin: coin.order)
    needed = amount + fee_for(amount, params)
    chosen = _cover([coin for coin in everything if coin.height is not None], needed, params.max_inputs)
    if not chosen:
        chosen = _cover(everything, needed, params.max_inputs)
    if not chosen:
        raise InsufficientFunds(needed, sum(coin.value for coin in everything), len(everything))
    total = sum(coin.value for coin in chosen)
    change = largest_total(total, params) - amount
    if change < params.dust:
        change = 0
    return Selection(tuple(chosen), amount, change, total - amount - change)


def _cover(ascending: Sequence[OwnCoin], needed: int, most: int) -> list[OwnCoin]:
    """Coins that sum to `needed` at least, empty when `most` of them cannot."""
    single = _smallest(ascending, needed)
    if single is not None:
        return [single]
    chosen: list[OwnCoin] = []
    total = 0
    for coin in ascending[: -most - 1 : -1]:
        chosen.append(coin)
        total += coin.value
        if total >= needed:
            rest = needed - (total - coin.value)
            others = ascending[: len(ascending) - len(chosen)]
            chosen[-1] = _smallest(others, rest) or coin
            return chosen
    return []


def _smallest(ascending: Sequence[OwnCoin], needed: int) -> OwnCoin | None:
    return next((coin for coin in ascending if coin.value >= needed), None)
