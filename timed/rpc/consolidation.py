"""One coin out of many small ones: on request, and by itself after a block.

A merge is a payment of the wallet to itself. By itself it happens once a block at the
most, with a bounded number of coins, and never while a payment of the wallet is not final yet.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from timed.errors import LocalError
from timed.events import BlockCertified
from timed.interfaces import IEventSink
from timed.params import UNITS_PER_TIME
from timed.primitives.amounts import format_amount
from timed.primitives.transaction import Lock
from timed.rpc.environment import Environment
from timed.rpc.errors import INVALID_PARAMETER, RpcError
from timed.rpc.paying import pay, wallet_errors
from timed.wallet.coins import OwnCoin
from timed.wallet.keystore import CHANGE
from timed.wallet.planning import Payee, Wish
from timed.wallet.valueorder import Order
from timed.wallet.wallet import Payment

if TYPE_CHECKING:
    from timed.app.config import Config

KEYS = ("wallet.consolidate_above", "wallet.consolidate_below")
"""What `Consolidation.follow` follows."""
STEP = 1_000
"""Coins looked at between two turns of the reactor."""
MERGED_AT_ONCE = 100
"""Coins of one automatic merge."""
FEWEST = 2
COMMENT = "automatic consolidation"


@attrs.frozen
class Merged:
    """What a merge did, or would do; units. `txid` is None for a rehearsal."""

    txid: bytes | None
    count: int
    total: int
    fee: int

    @property
    def value(self) -> int:
        """Units of the one coin that is left."""
        return self.total - self.fee


async def merge_coins(
    env: Environment,
    fewest: int,
    most: int,
    lock: Lock | None = None,
    below: int | None = None,
    comment: str = "",
    *,
    rehearse: bool = False,
) -> Merged:
    """Make one coin of the smallest free ones in blocks, at most `most`; with `lock` of its coins, for itself.

    RpcError -8 "coins-few" when there are fewer than `fewest`; what `timed.rpc.paying.pay`
    raises otherwise.
    """
    found = await _smallest(env, most, lock, below)
    wallet = env.wallet
    # Turns have passed: what was taken meanwhile is left out.
    coins = tuple(each for each in found if wallet.coins.get(each.outpoint) == each and _is_free(env, each))
    if len(coins) < fewest:
        raise RpcError(
            INVALID_PARAMETER,
            f"{len(coins)} coins can be merged, and min_count asks for {fewest}",
            rule="coins-few",
            hint="listunspent shows the coins that are in blocks and spendable; lower min_count or raise below.",
            count=len(coins),
        )
    wish = Wish((Payee(coins[0].output.lock, None),), inputs=coins)
    with wallet_errors():
        plan = wallet.plan(wish)
    total = sum(coin.value for coin in coins)
    if rehearse:
        return Merged(None, len(coins), total, plan.fee)
    wallet.keys.check_open()
    payee = Payee(lock if lock is not None else wallet.keys.take(CHANGE).lock, None)
    prepared = await pay(env, attrs.evolve(wish, payees=(payee,)), comment)
    return Merged(prepared.payment.txid, len(coins), total, prepared.fee)


async def _smallest(env: Environment, most: int, lock: Lock | None, below: int | None) -> list[OwnCoin]:
    order = env.wallet.coins.own.confirmed
    found: list[OwnCoin] = []
    place: Order | None = None
    while step := list(islice(order.ascending(above=place), STEP)):
        for coin in step:
            if len(found) == most or (below is not None and coin.value >= below):
                return found
            if (lock is None or coin.output.lock == lock) and _is_free(env, coin):
                found.append(coin)
        place = step[-1].order
        await env.pause()
    return found


def _is_free(env: Environment, coin: OwnCoin) -> bool:
    return env.wallet.available.is_free(coin)


@implementer(IEventSink)
class Consolidation:
    """Merges by itself while the wallet has more than `above` coins of less than `below` units; 0 is never.

    `counters` say how often it did, with how many coins and for which fee, and how often
    it left it: because a payment was not final yet, the wallet was locked, or it failed.
    """

    name = "wallet-consolidation"
    hears = frozenset({BlockCertified})
    _log = Logger()

    def __init__(self, env: Environment, reactor: Any, above: int, below: int) -> None:
        self._env = env
        self._reactor = reactor
        self.above = above
        self.below = below
        self.counters = {"merges": 0, "coins": 0, "fees": 0, "busy": 0, "locked": 0, "failed": 0}
        self._next: IDelayedCall | None = None
        self._running: Deferred[None] | None = None
        self._stopped = False

    @classmethod
    def of(cls, env: Environment, reactor: Any, config: Config) -> Consolidation:
        """As the configuration has it."""
        made = cls(env, reactor, 0, 0)
        made.follow(config)
        return made

    def follow(self, config: Config) -> None:
        """Take over what `setconfig` has changed."""
        settings = config.settings.wallet
        self.above = settings.consolidate_above
        self.below = settings.consolidate_below * UNITS_PER_TIME

    @property
    def small(self) -> int:
        """Coins in blocks that are below the bound."""
        wallet = self._env.own_wallet
        return 0 if wallet is None else wallet.coins.own.confirmed.count_below(self.below)

    def published(self, event: object, now_us: int) -> None:
        """`IEventSink.published`: a live block gives the wallet its turn first, then this one."""
        wanted = self.above and not self._stopped and self._next is None
        if wanted and isinstance(event, BlockCertified) and event.live:
            self._next = self._reactor.callLater(0, self._begin)

    def stop(self) -> None:
        """Nothing new begins; a payment that has begun goes its way."""
        self._stopped = True
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _begin(self) -> None:
        self._next = None
        wallet = self._env.own_wallet
        if wallet is None or not wallet.ready or self.small <= self.above:
            return
        if (
            self._running is not None
            or len(wallet.reservations)
            or not all(map(self._is_final, wallet.payments))
        ):
            self.counters["busy"] += 1
        elif wallet.keys.locked:
            self.counters["locked"] += 1
        else:
            self._running = Deferred.fromCoroutine(self._merge())
            self._running.addErrback(self._broken).addBoth(self._done)

    def _is_final(self, payment: Payment) -> bool:
        status = self._env.chain.status(payment.txid)
        return status is not None and status.final

    async def _merge(self) -> None:
        try:
            merged = await merge_coins(self._env, FEWEST, MERGED_AT_ONCE, below=self.below, comment=COMMENT)
        except (RpcError, LocalError) as error:
            self.counters["failed"] += 1
            self._log.warn("small coins were not merged: {reason}", reason=str(error))
            return
        self.counters["merges"] += 1
        self.counters["coins"] += merged.count
        self.counters["fees"] += merged.fee
        self._log.info(
            "{count} small coins became one of {value} TIME, for a fee of {fee} TIME",
            count=merged.count,
            value=format_amount(merged.value),
            fee=format_amount(merged.fee),
        )

    def _broken(self, failure: Failure) -> None:
        self.counters["failed"] += 1
        self._log.failure("small coins were not merged", failure)

    def _done(self, result: None) -> None:
        self._running = None
