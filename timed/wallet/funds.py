"""Which coins a payment may take at this moment, and how much stands in the way of the rest.

Nobody walks through all coins for it: the sums are kept, and what is not free is
counted from its own side.
"""

from __future__ import annotations

from collections.abc import Iterator, KeysView, Mapping, Set
from itertools import islice
from typing import Protocol

import attrs

from timed.ledger.rules import is_mature
from timed.params import NetworkParams
from timed.primitives.transaction import Lock, OutPoint
from timed.wallet.coins import CoinIndex, OwnCoin, Shelf
from timed.wallet.reservations import Reservations
from timed.wallet.selection import Supply
from timed.wallet.setaside import SetAside


class Spending(Protocol):
    """What is asked of the node; every answer is of this moment."""

    @property
    def params(self) -> NetworkParams: ...
    def next_height(self) -> int:
        """Height of the block that is being prepared."""

    def spenders(self, outpoint: OutPoint) -> tuple[bytes, ...]:
        """The transactions of the mempool that spend `outpoint`."""

    def is_locked(self, outpoint: OutPoint) -> bool:
        """True when the node has voted for a spender, known or not."""

    def spent_among(self, outpoints: KeysView[OutPoint]) -> Set[OutPoint]:
        """Those that a transaction of the mempool spends."""

    def locked_among(self, outpoints: KeysView[OutPoint]) -> Set[OutPoint]:
        """Those for whose spender the node has voted, known or not."""


@attrs.frozen
class Funds:
    """Units of the wallet's coins by what may be done with them now; each coin counts once.

    `reach` is the most that one payment can gather, `free` all that payments may take,
    in `coins` coins. `in_payments` is tied up by payments that are under way, `locked` by
    the node's votes for a spender it may not know, `set_aside` by the user, `immature` are
    young rewards, `unconfirmed` stands in no block where one was asked for. `watched` is
    not the wallet's own.
    """

    free: int = 0
    coins: int = 0
    reach: int = 0
    in_payments: int = 0
    locked: int = 0
    set_aside: int = 0
    immature: int = 0
    unconfirmed: int = 0
    watched: int = 0


class Availability:
    """Says which coins are free. `spent` are the outpoints of stored payments."""

    def __init__(
        self,
        chain: Spending,
        coins: CoinIndex,
        spent: Mapping[OutPoint, bytes],
        reservations: Reservations,
        set_aside: SetAside,
    ) -> None:
        self._chain = chain
        self._coins = coins
        self._spent = spent
        self._reservations = reservations
        self._set_aside = set_aside

    def is_spent(self, coin: OwnCoin) -> bool:
        """True when a stored payment or the mempool spends it."""
        return coin.outpoint in self._spent or bool(self._chain.spenders(coin.outpoint))

    def hindrance(self, coin: OwnCoin) -> str:
        """Why no payment may take the coin, even if it is named; "" when one may."""
        outpoint = coin.outpoint
        if self.is_spent(coin) or outpoint in self._reservations:
            return "input-held"
        if self._chain.is_locked(outpoint):
            return "input-locked"
        height = self._chain.next_height()
        return "" if is_mature(coin.as_coin(height), height) else "coinbase-immature"

    def is_free(self, coin: OwnCoin) -> bool:
        """True when a payment may choose the coin by itself."""
        return coin.outpoint not in self._set_aside and not self.hindrance(coin)

    def supplies(self, *, in_blocks: bool = False, watched: bool = False) -> tuple[Supply, ...]:
        """The coins to choose from, the better ones first, the widest choice last.

        Coins in blocks come before those that only are final: a payment on top of one of
        these has to wait at every node until that one's certificate has arrived there. With
        `in_blocks` none of these is taken; with `watched` coins of others are.
        """
        shelves = (self._coins.own, self._coins.watched) if watched else (self._coins.own,)
        ways = [tuple(shelf.confirmed for shelf in shelves)]
        if not in_blocks:
            ways.append(tuple(order for shelf in shelves for order in shelf.orders))
        return tuple(Supply(way, self.is_free) for way in ways)

    def spent_outpoints(self) -> set[OutPoint]:
        """The wallet's coins that a stored payment or the mempool spends."""
        mine = self._coins.outpoints
        return {*self._chain.spent_among(mine), *(self._spent.keys() & mine)}

    def balance(self, lock: Lock | None = None, *, in_blocks: bool = False, watched: bool = False) -> int:
        """Units of own coins that nobody spends and that are old enough, all or those of one lock.

        With `in_blocks` without those that only are final; with `watched` of the coins that
        are only looked after instead.
        """
        shelf = self._coins.watched if watched else self._coins.own
        gone = self.spent_outpoints()
        gone.update(coin.outpoint for coin in self._coins.immature(self._chain.next_height()))
        total = shelf.total if lock is None else self._coins.total_of(lock)
        left_out = list(self._mine(shelf, gone))
        if in_blocks:
            left_out += [coin for coin in shelf.final.ascending() if coin.outpoint not in gone]
        return total - sum(coin.value for coin in left_out if lock is None or coin.output.lock == lock)

    def immature(self, *, watched: bool = False) -> int:
        """Units of rewards that are too young to spend."""
        shelf = self._coins.watched if watched else self._coins.own
        young = {coin.outpoint for coin in self._coins.immature(self._chain.next_height())}
        return sum(coin.value for coin in self._mine(shelf, young))

    def funds(self, *, in_blocks: bool = False) -> Funds:
        """How the wallet's own money stands, for a payment that may want coins in blocks only."""
        coins, own = self._coins, self._coins.own
        mine = coins.outpoints
        seen: set[OutPoint] = set()
        parts: list[int] = []
        for outpoints in (
            self.spent_outpoints() | (self._reservations.outpoints & mine),
            {coin.outpoint for coin in coins.immature(self._chain.next_height())},
            self._chain.locked_among(mine),
            self._set_aside.outpoints & mine,
        ):
            parts.append(sum(coin.value for coin in self._mine(own, outpoints - seen)))
            seen |= outpoints
        held = list(self._mine(own, seen))
        free, count, unconfirmed = own.total - sum(parts), len(own) - len(held), 0
        if in_blocks:
            waiting = [coin.value for coin in held if coin.height is None]
            unconfirmed = own.final.total - sum(waiting)
            free, count = free - unconfirmed, count - len(own.final) + len(waiting)
        most = self._chain.params.max_inputs
        supply = self.supplies(in_blocks=in_blocks)[-1]
        spent, immature, locked, aside = parts
        return Funds(
            free=free,
            coins=count,
            reach=sum(coin.value for coin in islice(supply.descending(), most)),
            in_payments=spent,
            locked=locked,
            set_aside=aside,
            immature=immature,
            unconfirmed=unconfirmed,
            watched=coins.watched.total,
        )

    def _mine(self, shelf: Shelf, outpoints: Set[OutPoint]) -> Iterator[OwnCoin]:
        for outpoint in outpoints:
            coin = self._coins.get(outpoint)
            if coin is not None and self._coins.shelf_of(coin) is shelf:
                yield coin
