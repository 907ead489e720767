"""From what is wanted to what is signed: coins, shares of the fee, change. The one place for it.

The least fee follows the sum of the outputs (`timed.ledger.rules.fee_for`), and every
plan pays it exactly, except that change which would be dust goes to the fee.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs

from timed.errors import InvalidTransaction, TimedError
from timed.ledger.rules import fee_for, largest_total
from timed.params import NetworkParams
from timed.primitives.amounts import checked_sum, format_amount
from timed.primitives.transaction import Lock
from timed.wallet.coins import OwnCoin
from timed.wallet.funds import Funds
from timed.wallet.selection import Supply, select


class InsufficientFunds(TimedError):
    """The coins that may be taken do not cover `needed` units, the fee among them."""

    def __init__(self, needed: int, funds: Funds) -> None:
        super().__init__(needed, funds)
        self.needed = needed
        self.funds = funds

    @property
    def missing(self) -> int:
        """Units; 0 when there is enough, in more coins than one transaction may spend."""
        return max(0, self.needed - self.funds.free)

    def __str__(self) -> str:
        funds = self.funds
        text = (
            f"{format_amount(self.needed)} TIME needed with the fee, "
            f"{format_amount(funds.free)} TIME in {funds.coins} coins can be spent now"
        )
        if self.missing:
            return f"{text}, {format_amount(self.missing)} TIME is missing"
        return f"{text}, but only {format_amount(funds.reach)} TIME in one payment"


class FeeAboveAmount(TimedError):
    """The fee is to come out of an amount that it would leave less than dust of. All in units."""

    def __init__(self, amount: int, share: int, dust: int) -> None:
        super().__init__(amount, share, dust)
        self.amount = amount
        self.share = share
        self.dust = dust

    def __str__(self) -> str:
        return (
            f"{format_amount(self.amount)} TIME less {format_amount(self.share)} TIME of the fee "
            f"is below the least output of {format_amount(self.dust)} TIME"
        )


@attrs.frozen
class Payee:
    """Who gets how many units; None is an equal share of all that is left."""

    lock: Lock
    amount: int | None


@attrs.frozen
class Wish:
    """A payment as it is asked for.

    `bearers` are the numbers of the payees whose amounts the fee is taken from, in equal
    parts; without them it comes on top. `inputs` are taken in any case, and further coins
    only with `more`. A payee without an amount takes everything: `inputs`, or every free
    coin when there are none.
    """

    payees: tuple[Payee, ...]
    bearers: tuple[int, ...] = ()
    inputs: tuple[OwnCoin, ...] = ()
    more: bool = True
    change: Lock | None = None
    """Where change goes; None is a fresh key of the wallet."""

    @classmethod
    def to(cls, lock: Lock, amount: int) -> Wish:
        """The plain case."""
        return cls((Payee(lock, amount),))

    @property
    def sweeps(self) -> bool:
        return any(payee.amount is None for payee in self.payees)

    @property
    def named(self) -> int:
        """Units of the payees that have an amount; InvalidTransaction("amount-range") beyond all money."""
        return checked_sum(payee.amount for payee in self.payees if payee.amount is not None)


@attrs.frozen
class Plan:
    """What the transaction will hold: `paid` is what each payee gets. All in units.

    `change` is 0 when there is none.
    """

    coins: tuple[OwnCoin, ...]
    paid: tuple[int, ...]
    change: int
    fee: int


def plan(wish: Wish, supplies: Sequence[Supply], params: NetworkParams, funds: Callable[[], Funds]) -> Plan:
    """How to fulfil `wish` with coins of `supplies`.

    InsufficientFunds, with what `funds` says then; FeeAboveAmount; InvalidTransaction
    ("output-dust", "inputs-count", "amount-range").
    """
    for payee in wish.payees:
        if payee.amount is not None and payee.amount < params.dust:
            raise InvalidTransaction(
                "output-dust",
                f"{format_amount(payee.amount)} TIME, at least {format_amount(params.dust)}",
            )
    return _sweep(wish, supplies, params, funds) if wish.sweeps else _pay(wish, supplies, params, funds)


def _pay(wish: Wish, supplies: Sequence[Supply], params: NetworkParams, funds: Callable[[], Funds]) -> Plan:
    amount = wish.named
    needed = amount if wish.bearers else amount + fee_for(amount, params)
    coins = wish.inputs
    given = sum(coin.value for coin in coins)
    if given < needed and wish.more:
        coins += select(
            supplies,
            needed - given,
            params.max_inputs - len(coins),
            lambda units: given + units - largest_total(given + units, params),
        )
    total = sum(coin.value for coin in coins)
    if total < needed:
        raise InsufficientFunds(needed, _within(wish, funds))
    out = largest_total(total, params)
    change = total - amount if wish.bearers else out - amount
    if change < params.dust:
        change = 0
    borne = amount - min(amount, out - change) if wish.bearers else 0
    paid = _less([payee.amount or 0 for payee in wish.payees], wish.bearers, borne, params)
    return Plan(coins, paid, change, total - sum(paid) - change)


def _less(amounts: list[int], bearers: tuple[int, ...], borne: int, params: NetworkParams) -> tuple[int, ...]:
    """The amounts without what their receivers bear of the fee; the first one bears what does not divide."""
    for number, bearer in enumerate(bearers):
        share = borne // len(bearers) + (borne % len(bearers) if number == 0 else 0)
        if amounts[bearer] - share < params.dust:
            raise FeeAboveAmount(amounts[bearer], share, params.dust)
        amounts[bearer] -= share
    return tuple(amounts)


def _sweep(wish: Wish, supplies: Sequence[Supply], params: NetworkParams, funds: Callable[[], Funds]) -> Plan:
    coins = wish.inputs
    if not coins:
        coins = tuple(_all(supplies, params))
    total = sum(coin.value for coin in coins)
    shares = [payee.amount for payee in wish.payees].count(None)
    named = wish.named
    left = largest_total(total, params) - named
    if left < shares * params.dust:
        least = named + shares * params.dust
        raise InsufficientFunds(least + fee_for(least, params), _within(wish, funds))
    each, over = divmod(left, shares)
    paid = []
    for payee in wish.payees:
        if payee.amount is None:
            paid.append(each + over)
            over = 0
        else:
            paid.append(payee.amount)
    return Plan(coins, tuple(paid), 0, total - sum(paid))


def _within(wish: Wish, funds: Callable[[], Funds]) -> Funds:
    """What the wish may take: the wallet's funds, or the inputs it is limited to."""
    if not wish.inputs or (wish.more and not wish.sweeps):
        return funds()
    given = sum(coin.value for coin in wish.inputs)
    return Funds(free=given, coins=len(wish.inputs), reach=given)


def _all(supplies: Sequence[Supply], params: NetworkParams) -> list[OwnCoin]:
    """Every free coin of the last supply, which is the widest."""
    coins: list[OwnCoin] = []
    for coin in supplies[-1].descending():
        coins.append(coin)
        if len(coins) > params.max_inputs:
            raise InvalidTransaction("inputs-count", f"more than {params.max_inputs} coins")
    return coins
