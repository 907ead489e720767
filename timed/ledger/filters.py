"""What a block's compact filter is built from, so that wallets find their transactions (protocol §1)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from timed.primitives.filters import build, filter_key

if TYPE_CHECKING:
    from timed.interfaces import Coin
    from timed.primitives.transaction import Lock, OutPoint, Output, Transaction


def filter_item(lock: Lock) -> bytes:
    """What a wallet looks for: the lock's kind, then its data."""
    return bytes((lock.kind,)) + lock.data


def block_filter(
    tx_root: bytes, transactions: Sequence[Transaction], spent: Iterable[tuple[OutPoint, Coin]]
) -> bytes:
    """The filter over the locks of all outputs made and all outputs spent."""
    return output_filter(tx_root, transactions, (coin.output for _, coin in spent))


def output_filter(tx_root: bytes, transactions: Sequence[Transaction], spent: Iterable[Output]) -> bytes:
    """The same, where of what was spent only the outputs are known."""
    locks = [output.lock for transaction in transactions for output in transaction.outputs]
    locks += [output.lock for output in spent]
    return build([filter_item(lock) for lock in dict.fromkeys(locks)], filter_key(tx_root))
