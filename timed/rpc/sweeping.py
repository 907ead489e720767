"""Everything the wallet has, in as many payments as that takes.

One transaction spends `max_inputs` coins. A wallet of more sends several, each on its own:
what was sent before one of them fails stays sent, and the answer says what is left.
"""

from __future__ import annotations

from itertools import islice

import attrs

from timed.rpc.environment import Environment
from timed.rpc.errors import MISC, RpcError
from timed.rpc.paying import pay, wallet_errors
from timed.wallet.coins import OwnCoin
from timed.wallet.planning import InsufficientFunds, Payee, Wish
from timed.wallet.wallet import Prepared

MOST_PAYMENTS = 16
"""Payments of one call; what more coins there are is left for the next one."""


@attrs.frozen
class Swept:
    """`left` are the free coins that are not spent, `trouble` why it ended early, None when it did not.

    `kept` is the payment that was not decided then, in hex: it goes its way, and its coins are not left.
    """

    payments: tuple[Prepared, ...]
    left: int
    trouble: RpcError | None
    kept: str | None = None


async def sweep(
    env: Environment, payees: tuple[Payee, ...], inputs: tuple[OwnCoin, ...], comment: str, *, in_blocks: bool
) -> Swept:
    """Pay `payees`, of whom some take all that is left, with `inputs` or with every free coin.

    Those with an amount are paid by the first payment. RpcError when that one fails.
    """
    most = env.params.max_inputs
    supply = env.wallet.available.supplies(in_blocks=in_blocks)[-1]
    coins = tuple(islice(supply.descending(), MOST_PAYMENTS * most + 1))
    if inputs or len(coins) <= most:
        prepared = await pay(env, Wish(payees, inputs=inputs), comment, in_blocks=in_blocks)
        return Swept((prepared,), 0, None)
    coins = coins[: MOST_PAYMENTS * most]
    beyond = env.wallet.available.funds(in_blocks=in_blocks).coins - len(coins)
    takers = tuple(payee for payee in payees if payee.amount is None)
    sent: list[Prepared] = []
    trouble: RpcError | None = None
    kept: str | None = None
    for share in _shares(coins, most, named=len(takers) < len(payees)):
        inputs = _still_free(env, share)
        if not inputs:
            continue
        wish = Wish(takers if sent else payees, inputs=inputs)
        try:
            _check(env, wish, in_blocks=in_blocks)
            sent.append(await pay(env, wish, comment, in_blocks=in_blocks))
        except RpcError as error:
            if not sent:
                raise
            trouble = error
            kept = error.data.get("txid")
            break
    if not sent:
        raise RpcError(
            MISC,
            "Other payments have taken every coin meanwhile",
            rule="coins-taken",
            hint="listunspent shows what is left; try again.",
        )
    return Swept(tuple(sent), beyond + len(_still_free(env, coins)), trouble, kept)


def _shares(coins: tuple[OwnCoin, ...], most: int, *, named: bool) -> list[tuple[OwnCoin, ...]]:
    """The coins, largest first, for as few payments as can be: the largest in the first one if it has amounts to
    pay, the others in like parts, so that no part holds nothing but dust."""
    first = coins[:most] if named else ()
    rest = coins[len(first) :]
    parts = -(-len(rest) // most)
    return [each for each in (first, *(rest[number::parts] for number in range(parts))) if each]


def _still_free(env: Environment, coins: tuple[OwnCoin, ...]) -> tuple[OwnCoin, ...]:
    """Turns have passed: what was taken meanwhile is left out."""
    wallet = env.wallet
    return tuple(
        each for each in coins if wallet.coins.get(each.outpoint) == each and wallet.available.is_free(each)
    )


def _check(env: Environment, wish: Wish, *, in_blocks: bool) -> None:
    """Raise what stands in the way of one payment of several, with what the whole wallet has."""
    with wallet_errors():
        try:
            env.wallet.plan(wish, in_blocks=in_blocks)
        except InsufficientFunds as error:
            raise InsufficientFunds(error.needed, env.wallet.available.funds(in_blocks=in_blocks)) from error
