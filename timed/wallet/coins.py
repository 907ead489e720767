"""The wallet's own outputs, kept up to date by what the node publishes.

An output counts once its transaction is final or in a block. Whether a coin is
free at this moment is not stored here: the mempool and the lock table know.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, KeysView

import attrs
import msgspec

from timed.interfaces import Coin
from timed.ledger.rules import is_mature
from timed.primitives.transaction import COINBASE, Lock, OutPoint, Output, Transaction
from timed.wallet.valueorder import ValueOrder


class OwnCoin(msgspec.Struct, frozen=True, gc=False):
    """An output of this wallet; `height` is None while it is final without a block."""

    outpoint: OutPoint
    output: Output
    height: int | None
    coinbase: bool

    @property
    def value(self) -> int:
        return self.output.value

    @property
    def order(self) -> tuple[int, bytes, int]:
        """Sorts by value, then by outpoint: whatever is built on it is repeatable."""
        return (self.value, self.outpoint.txid, self.outpoint.index)

    def as_coin(self, next_height: int) -> Coin:
        """As the ledger's rules want it; a final one will stand in the next block."""
        return Coin(self.output, next_height if self.height is None else self.height, self.coinbase)


@attrs.frozen
class Shelf:
    """Coins that are the wallet's own, or only watched: those in blocks, and those that only are final."""

    confirmed: ValueOrder = attrs.field(factory=ValueOrder)
    final: ValueOrder = attrs.field(factory=ValueOrder)

    def __len__(self) -> int:
        return len(self.confirmed) + len(self.final)

    @property
    def total(self) -> int:
        """Units."""
        return self.confirmed.total + self.final.total

    @property
    def orders(self) -> tuple[ValueOrder, ValueOrder]:
        return (self.confirmed, self.final)

    def order_of(self, coin: OwnCoin) -> ValueOrder:
        return self.final if coin.height is None else self.confirmed


class CoinIndex:
    """Unspent outputs under the wallet's locks, by outpoint and by value.

    Applying a block twice, or a block whose coins a scan has already seen, changes
    nothing as long as every later block follows. `watches` says which locks the wallet
    looks after, `owns` which of them it has the key of; `saw` is told the lock of every
    coin that is taken in, `spent` every own outpoint that is gone.
    """

    def __init__(
        self,
        watches: Callable[[Lock], bool],
        owns: Callable[[Lock], bool],
        saw: Callable[[Lock], object] = lambda lock: None,
        spent: Callable[[OutPoint], object] = lambda outpoint: None,
    ) -> None:
        self._watches = watches
        self._owns = owns
        self._saw = saw
        self._spent = spent
        self._coins: dict[OutPoint, OwnCoin] = {}
        self._by_lock: dict[Lock, tuple[Output, int]] = {}
        """The newest output of the lock, and units. Its coins share the lock, those like the newest all of it: a member's
        rewards are alike."""
        self._young: dict[OutPoint, OwnCoin] = {}
        """Rewards that may be too young to spend; looked through when somebody asks."""
        self._foreign: set[OutPoint] = set()
        """Those that are only watched."""
        self.own = Shelf()
        self.watched = Shelf()

    def __len__(self) -> int:
        return len(self._coins)

    def __iter__(self) -> Iterator[OwnCoin]:
        return iter(self._coins.values())

    def __contains__(self, outpoint: object) -> bool:
        return outpoint in self._coins

    def get(self, outpoint: OutPoint) -> OwnCoin | None:
        return self._coins.get(outpoint)

    @property
    def outpoints(self) -> KeysView[OutPoint]:
        return self._coins.keys()

    def total_of(self, lock: Lock) -> int:
        """Units under one lock."""
        return self._by_lock[lock][1] if lock in self._by_lock else 0

    def shelf_of(self, coin: OwnCoin) -> Shelf:
        """Where a coin in here stands."""
        return self.watched if coin.outpoint in self._foreign else self.own

    def immature(self, next_height: int) -> tuple[OwnCoin, ...]:
        """Rewards that the block at `next_height` comes too early to spend; it never asks for a lower one."""
        for outpoint, coin in list(self._young.items()):
            if is_mature(coin.as_coin(next_height), next_height):
                del self._young[outpoint]
        return tuple(self._young.values())

    def scan(self, entries: Iterable[tuple[OutPoint, Coin]]) -> None:
        """Take in unspent outputs of the store."""
        for outpoint, coin in entries:
            if self._watches(coin.output.lock):
                self._take(OwnCoin(outpoint, coin.output, coin.height, coin.coinbase))

    def clear(self) -> None:
        """Forget every coin."""
        for outpoint in list(self._coins):
            self._drop(outpoint)

    def block(self, height: int, transactions: Iterable[Transaction]) -> None:
        """A certified block: what it made counts with its height, what it spent is gone."""
        for transaction in transactions:
            self._apply(transaction, height)

    def final(self, transaction: Transaction) -> None:
        """A final transaction: its outputs may be spent; its inputs are gone for good."""
        self._apply(transaction, None)

    def claim(self, lock: Lock) -> None:
        """The wallet has got the key of a lock that it only watched."""
        if lock not in self._by_lock:
            return
        for order, mine in zip(self.watched.orders, self.own.orders, strict=True):
            for coin in [coin for coin in order.ascending() if coin.output.lock == lock]:
                order.remove(coin)
                self._foreign.discard(coin.outpoint)
                mine.add(coin)

    def _apply(self, transaction: Transaction, height: int | None) -> None:
        for outpoint in transaction.inputs:
            if outpoint in self._coins:
                self._drop(outpoint)
                self._spent(outpoint)
        coinbase = transaction.kind == COINBASE
        for index, output in enumerate(transaction.outputs):
            if self._watches(output.lock):
                outpoint = OutPoint(transaction.txid, index)
                self._take(OwnCoin(outpoint, output, height, coinbase))

    def _take(self, coin: OwnCoin) -> None:
        outpoint = coin.outpoint
        if outpoint in self._coins:
            self._drop(outpoint)
        newest, total = self._by_lock.get(coin.output.lock, (coin.output, 0))
        lock = newest.lock
        output = newest if coin.output == newest else Output(coin.value, lock)
        coin = msgspec.structs.replace(coin, output=output)
        self._coins[outpoint] = coin
        self._by_lock[lock] = (output, total + coin.value)
        if coin.coinbase:
            self._young[outpoint] = coin
        if not self._owns(lock):
            self._foreign.add(outpoint)
        self.shelf_of(coin).order_of(coin).add(coin)
        self._saw(lock)

    def _drop(self, outpoint: OutPoint) -> None:
        coin = self._coins.pop(outpoint)
        self._young.pop(outpoint, None)
        newest, total = self._by_lock.pop(coin.output.lock)
        if total > coin.value:
            self._by_lock[newest.lock] = (newest, total - coin.value)
        self.shelf_of(coin).order_of(coin).remove(coin)
        self._foreign.discard(outpoint)
