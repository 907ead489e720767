"""Methods about the coins of the wallet: what there is, which are free, which are set aside."""

from __future__ import annotations

from heapq import merge
from itertools import islice
from operator import attrgetter
from typing import Any

import attrs

from timed.primitives.transaction import Lock, OutPoint, Output
from timed.rpc.environment import Environment
from timed.rpc.errors import INVALID_PARAMETER, RpcError
from timed.rpc.jsontext import amount
from timed.rpc.ownership import own_lock
from timed.rpc.paying import bad_coin, own_coin, write
from timed.rpc.present import Object, lock_text
from timed.rpc.schema import bad_value
from timed.rpc.tables.balances import ANY, MAX_LISTED
from timed.wallet.coins import OwnCoin
from timed.wallet.valueorder import ValueOrder

STEP = 200
"""Coins looked at between two turns of the reactor."""


def getbalance(env: Environment, address: str | None, minconf: int, include_watched: bool) -> Any:
    available, in_blocks = env.wallet.available, minconf > 0
    if address is not None and address != ANY:
        lock = own_lock(env, address, watched=include_watched)
        return amount(available.balance(lock, in_blocks=in_blocks, watched=not env.wallet.keys.owns(lock)))
    units = available.balance(in_blocks=in_blocks)
    if include_watched:
        units += available.balance(in_blocks=in_blocks, watched=True)
    return amount(units)


def getbalances(env: Environment) -> Object:
    wallet, tip = env.wallet, env.chain.tip()
    available = wallet.available
    funds = available.funds()
    pending = dict.fromkeys((True, False), 0)
    for output in _pending(env):
        pending[wallet.keys.owns(output.lock)] += output.value
    trusted = available.balance()
    return {
        "mine": {
            "trusted": amount(trusted),
            "untrusted_pending": amount(pending[True]),
            "immature": amount(available.immature()),
            "spendable": amount(funds.free),
            "set_aside": amount(funds.set_aside),
            "reserved": amount(trusted - funds.free - funds.set_aside - funds.locked),
            "locked": amount(funds.locked),
        },
        "watchonly": {
            "trusted": amount(available.balance(watched=True)),
            "untrusted_pending": amount(pending[False]),
            "immature": amount(available.immature(watched=True)),
        },
        "lastprocessedblock": {"hash": tip.hash.hex(), "height": tip.height},
    }


async def listunspent(
    env: Environment,
    minconf: int,
    maxconf: int,
    addresses: tuple[str, ...],
    include_unsafe: bool,
    query_options: dict[str, Any],
) -> list[Object]:
    watched = query_options.get("include_watched", False)
    greatest = query_options.get("maximumAmount")
    listing = _Listing(
        env,
        confirmations=range(minconf, maxconf + 1),
        locks=frozenset(own_lock(env, address, watched=watched) for address in addresses),
        least=query_options.get("minimumAmount", 0),
        most=query_options.get("maximumCount", MAX_LISTED),
        wanted=query_options.get("minimumSumAmount"),
        skip=query_options.get("skip", 0),
    )
    coins = env.wallet.coins
    shelves = (coins.own, coins.watched) if watched else (coins.own,)
    orders = [order for shelf in shelves for order in shelf.orders]
    below = None if greatest is None else (greatest + 1, b"", 0)
    while step := _next(orders, below):
        if listing.take(step):
            break
        below = step[-1].order
        # What changes meanwhile is seen where the listing has not been yet.
        await env.pause()
    return listing.shown


@attrs.define
class _Listing:
    """What listunspent shows: of the coins that are taken in, the largest first, those that fit."""

    env: Environment
    confirmations: range
    locks: frozenset[Lock]
    """Empty when any will do."""
    least: int
    most: int
    wanted: int | None
    """Units after which it is enough."""
    skip: int
    total: int = 0
    shown: list[Object] = attrs.field(factory=list)

    def take(self, coins: list[OwnCoin]) -> bool:
        """Look at more coins; True when nothing that follows is wanted."""
        available, newest = self.env.wallet.available, self.env.chain.tip().height
        for coin in coins:
            if coin.value < self.least:
                return True
            confirmations = 0 if coin.height is None else newest - coin.height + 1
            fits = confirmations in self.confirmations and (not self.locks or coin.output.lock in self.locks)
            if not fits or available.is_spent(coin):
                continue
            if self.skip:
                self.skip -= 1
                continue
            self.shown.append(_coin_object(self.env, coin, confirmations))
            self.total += coin.value
            if len(self.shown) == self.most or (self.wanted is not None and self.total >= self.wanted):
                return True
        return False


async def lockunspent(
    env: Environment, unlock: bool, transactions: tuple[dict[str, Any], ...], persistent: bool
) -> bool:
    wallet = env.wallet
    outpoints = [OutPoint(each["txid"], each["vout"]) for each in transactions]
    if unlock:
        for outpoint in outpoints:
            if outpoint not in wallet.set_aside:
                raise RpcError(
                    INVALID_PARAMETER,
                    f"The coin {outpoint.txid.hex()}:{outpoint.index} is not set aside",
                    rule="coin-not-set-aside",
                    hint="listlockunspent shows those that are.",
                    param="transactions",
                )
        wallet.set_aside.free(outpoints or list(wallet.set_aside))
    else:
        if not outpoints:
            raise bad_value("transactions", "names no coin", 'Give [{"txid": hex, "vout": n}, ...].')
        for outpoint in outpoints:
            coin = own_coin(env, outpoint, "transactions", watched=True)
            if wallet.available.is_spent(coin):
                raise bad_coin(outpoint, "transactions", "input-held")
        wallet.set_aside.add(outpoints, keep=persistent)
    await write(env)
    return True


def listlockunspent(env: Environment) -> list[Object]:
    wallet = env.wallet
    shown = []
    for outpoint in wallet.set_aside:
        coin = wallet.coins.get(outpoint)
        if coin is not None:
            shown.append(
                {
                    "txid": outpoint.txid.hex(),
                    "vout": outpoint.index,
                    "persistent": wallet.set_aside.is_kept(outpoint),
                    "address": lock_text(coin.output.lock, env.params),
                    "amount": amount(coin.value),
                }
            )
    return shown


def _next(orders: list[ValueOrder], below: tuple[int, bytes, int] | None) -> list[OwnCoin]:
    """Coins below an order, the largest first."""
    ways = (order.descending(below) for order in orders)
    return list(islice(merge(*ways, key=attrgetter("order"), reverse=True), STEP))


def _pending(env: Environment) -> list[Output]:
    """Outputs to the wallet that are not final yet and that nobody spends."""
    coins, chain = env.wallet.coins, env.chain
    found = []
    for entry in env.chronicle.underway.entries():
        for kept in entry.outputs:
            outpoint = OutPoint(entry.txid, kept.index)
            known = outpoint in coins or chain.spenders(outpoint)
            if not known and env.wallet.keys.watches(kept.output.lock):
                found.append(kept.output)
    return found


def _coin_object(env: Environment, coin: OwnCoin, confirmations: int) -> Object:
    wallet, lock = env.wallet, coin.output.lock
    mine = wallet.coins.shelf_of(coin) is wallet.coins.own
    watched = None if mine else wallet.keys.watched.get(lock)
    return {
        "txid": coin.outpoint.txid.hex(),
        "vout": coin.outpoint.index,
        "address": lock_text(lock, env.params),
        "label": wallet.keys.label_of(lock.data) if watched is None else watched.label,
        "amount": amount(coin.value),
        "confirmations": confirmations,
        "state": "Confirmed" if coin.height is not None else "SpentFinalized",
        "coinbase": coin.coinbase,
        "spendable": mine and wallet.available.is_free(coin),
        "set_aside": coin.outpoint in wallet.set_aside,
        "solvable": mine or (watched is not None and watched.public is not None),
        "safe": True,
        "ismine": mine,
    }


HANDLERS = {
    handler.__name__: handler
    for handler in (getbalance, getbalances, listunspent, lockunspent, listlockunspent)
}
