"""The wallet's own outputs, kept up to date by what the node publishes.

An output counts once its transaction is final or in a block. Whether a coin is
free at this moment is not stored here: the mempool and the lock table know.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import attrs

from timed.interfaces import Coin
from timed.primitives.transaction import COINBASE, Lock, OutPoint, Output, Transaction


@attrs.frozen
class OwnCoin:
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


class CoinIndex:
    """Own unspent outputs by outpoint.

    Applying a block twice, or a block whose coins a scan has already seen, changes
    nothing as long as every later block follows. `saw` is told the lock of every
    coin that is taken in.
    """

    def __init__(
        self, owns: Callable[[Lock], bool], saw: Callable[[Lock], object] = lambda lock: None
    ) -> None:
        self._owns = owns
        self._saw = saw
        self._coins: dict[OutPoint, OwnCoin] = {}

    def __len__(self) -> int:
        return len(self._coins)

    def __iter__(self) -> Iterator[OwnCoin]:
        return iter(self._coins.values())

    def get(self, outpoint: OutPoint) -> OwnCoin | None:
        return self._coins.get(outpoint)

    def scan(self, entries: Iterable[tuple[OutPoint, Coin]]) -> None:
        """Take in unspent outputs of the store."""
        for outpoint, coin in entries:
            if self._owns(coin.output.lock):
                self._take(OwnCoin(outpoint, coin.output, coin.height, coin.coinbase))

    def block(self, height: int, transactions: Iterable[Transaction]) -> None:
        """A certified block: what it made counts with its height, what it spent is gone."""
        for transaction in transactions:
            self._apply(transaction, height)

    def final(self, transaction: Transaction) -> None:
        """A final transaction: its outputs may be spent; its inputs are gone for good."""
        self._apply(transaction, None)

    def _apply(self, transaction: Transaction, height: int | None) -> None:
        for outpoint in transaction.inputs:
            self._coins.pop(outpoint, None)
        coinbase = transaction.kind == COINBASE
        for index, output in enumerate(transaction.outputs):
            if self._owns(output.lock):
                outpoint = OutPoint(transaction.txid, index)
                self._take(OwnCoin(outpoint, output, height, coinbase))

    def _take(self, coin: OwnCoin) -> None:
        self._coins[coin.outpoint] = coin
        self._saw(coin.output.lock)
