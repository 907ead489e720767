"""What a transaction means to the wallet: the values of its history, and how they are shown.

Whether an address is its own is asked when an entry is shown, so that a name given
or a key imported later counts for what is in the history already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from enum import Enum

import attrs

from timed.primitives.transaction import COINBASE, Lock, Output, Transaction
from timed.wallet.keystore import CHANGE, Keystore
from timed.wallet.records import HistoryEntry, KeptOutput


class Category(Enum):
    """What happened at one address."""

    SEND = "send"
    RECEIVE = "receive"
    GENERATE = "generate"
    SELF = "self"
    """From the wallet to one of its own addresses that is no change; all that was lost is the fee."""


@attrs.frozen
class Row:
    """One line of a listing. `amount` in units, negative for what was sent; `output` is None when
    everything came back as change."""

    entry: HistoryEntry
    category: Category
    amount: int
    output: KeptOutput | None
    fee: int | None
    """Units; None when the wallet does not know all that was spent, or has not paid it."""


@attrs.frozen
class Made:
    """What only the wallet that made a payment knows; `created` in microseconds."""

    comment: str
    comment_to: str
    created: int


def judge(
    transaction: Transaction,
    spent: Sequence[Output | None],
    watches: Callable[[Lock], bool],
    *,
    height: int,
    position: int,
    time: int,
    made: Made | None = None,
) -> HistoryEntry | None:
    """The entry of a transaction, None when it is none of the wallet's.

    `spent` has the output of each input where the wallet looks after it, else None.
    """
    inputs = tuple(output for output in spent if output is not None)
    outputs = tuple(
        KeptOutput(index, output)
        for index, output in enumerate(transaction.outputs)
        if inputs or watches(output.lock)
    )
    if not inputs and not outputs:
        return None
    return HistoryEntry(
        txid=transaction.txid,
        released=False,
        height=height,
        position=position,
        time=time,
        created=made.created if made is not None else 0,
        comment=made.comment if made is not None else "",
        comment_to=made.comment_to if made is not None else "",
        reason="",
        coinbase=transaction.kind == COINBASE,
        foreign=len(spent) - len(inputs),
        inputs=inputs,
        outputs=outputs,
    )


@attrs.frozen
class Eye:
    """Whose addresses count in a listing: the wallet's own, with `watched` also those it looks after."""

    keys: Keystore
    watched: bool = False

    def sees(self, lock: Lock) -> bool:
        return self.keys.owns(lock) or (self.watched and lock in self.keys.watched)

    def is_change(self, lock: Lock) -> bool:
        key = self.keys.key_of(lock)
        return key is not None and key.role == CHANGE

    def debit(self, entry: HistoryEntry) -> int:
        """Units that the transaction took."""
        return sum(output.value for output in entry.inputs if self.sees(output.lock))

    def credit(self, entry: HistoryEntry) -> int:
        """Units that it gave, change among them."""
        return sum(kept.output.value for kept in entry.outputs if self.sees(kept.output.lock))

    def fee(self, entry: HistoryEntry) -> int | None:
        """Units, when everything that was spent belonged to whom is looked at."""
        if entry.foreign or not entry.inputs or not all(self.sees(output.lock) for output in entry.inputs):
            return None
        return sum(output.value for output in entry.inputs) - sum(kept.output.value for kept in entry.outputs)

    def rows(self, entry: HistoryEntry) -> tuple[Row, ...]:
        """The lines of an entry, none when nobody who is looked at took part."""
        return tuple(self._sent(entry) if self.debit(entry) else self._received(entry))

    def _received(self, entry: HistoryEntry) -> Iterator[Row]:
        category = Category.GENERATE if entry.coinbase else Category.RECEIVE
        for kept in entry.outputs:
            if self.sees(kept.output.lock):
                yield Row(entry, category, kept.output.value, kept, None)

    def _sent(self, entry: HistoryEntry) -> Iterator[Row]:
        fee, silent = self.fee(entry), True
        for kept in entry.outputs:
            lock, value = kept.output.lock, kept.output.value
            if not self.sees(lock):
                silent = False
                yield Row(entry, Category.SEND, -value, kept, fee)
            elif not self.is_change(lock):
                silent = False
                yield Row(entry, Category.SELF, value, kept, fee)
        if silent:
            yield Row(entry, Category.SELF, 0, None, fee)
