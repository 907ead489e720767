"""Which locks a transaction gives to and takes from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from timed.errors import StoreError
from timed.feed.records import LockTouch
from timed.interfaces import IReads
from timed.primitives.block import Block
from timed.primitives.transaction import Lock, OutPoint, Output, Transaction
from timed.store.recent import RecentBlocks


def touches_of(transaction: Transaction, spent: Iterable[Output]) -> tuple[LockTouch, ...]:
    """One for each lock, in the order of first appearance; `spent` are the outputs of the inputs."""
    sums: dict[Lock, list[int]] = {}
    for output in spent:
        sums.setdefault(output.lock, [0, 0])[1] += output.value
    for output in transaction.outputs:
        sums.setdefault(output.lock, [0, 0])[0] += output.value
    return tuple([LockTouch(lock, received, taken) for lock, (received, taken) in sums.items()])


class SpentOutputs:
    """The outputs that transactions of blocks spent, found by where they were made.

    Reading a block is dear, so that of the blocks used last all outputs are kept; for one thread.
    """

    def __init__(self, store: IReads, opened: Callable[[int], Block]) -> None:
        self._store = store
        self._opened = opened
        self._recent: RecentBlocks[dict[bytes, tuple[Output, ...]]] = RecentBlocks()

    def add(self, block: Block) -> dict[bytes, tuple[Output, ...]]:
        """The outputs, by txid, of a block that was read anyway."""
        return self._recent.put(block.header.height, {each.txid: each.outputs for each in block.transactions})

    def of(self, inputs: Sequence[OutPoint]) -> list[Output]:
        """StoreError when the store lacks what a block of it has spent."""
        return [self._output(outpoint) for outpoint in inputs]

    def _output(self, outpoint: OutPoint) -> Output:
        place = self._store.locate(outpoint.txid)
        if place is None:
            raise StoreError(f"the store lacks the transaction {outpoint.txid.hex()}, which a block spends.")
        height = place[0]
        outputs = self._recent.get(height)
        if outputs is None:
            outputs = self.add(self._opened(height))
        return outputs[outpoint.txid][outpoint.index]
