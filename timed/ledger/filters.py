"""The compact filter of a block, by which wallets find their transactions (protocol §1)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from timed.primitives import filters
from timed.primitives.hashing import tagged_hash

if TYPE_CHECKING:
    from timed.interfaces import Coin
    from timed.primitives.transaction import Lock, OutPoint, Transaction

FILTER_KEY_SIZE = 16


def filter_item(lock: Lock) -> bytes:
    """What a wallet looks for: the lock's kind, then its data."""
    return bytes((lock.kind,)) + lock.data


def filter_key(tx_root: bytes) -> bytes:
    """The key of the block's filter, taken from what its header commits to."""
    return tx_root[:FILTER_KEY_SIZE]


def block_filter(
    tx_root: bytes, transactions: Sequence[Transaction], spent: Iterable[tuple[OutPoint, Coin]]
) -> bytes:
    """The filter over the locks of all outputs made and all outputs spent."""
    locks = [output.lock for transaction in transactions for output in transaction.outputs]
    locks += [coin.output.lock for _, coin in spent]
    items = dict.fromkeys(map(filter_item, locks))
    return filters.build(list(items), filter_key(tx_root))


def filter_root(encoded: bytes) -> bytes:
    """What a header commits to."""
    return tagged_hash("filter", encoded)
