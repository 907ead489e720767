"""What each index keeps of a block.

An index is a list of tables and a function that applies one block to them; blocks
come in the order of their heights, genesis first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from hashlib import sha256

import attrs

from timed.errors import StoreError
from timed.index.database import Records
from timed.index.records import Account, Holding, Spend, SpentOutputs, Totals, Touch
from timed.interfaces import Coin
from timed.ledger.content import coins_of
from timed.primitives.block import Block
from timed.primitives.transaction import LOCK_KEY_HASH, Lock, OutPoint, Output
from timed.store.environment import KEY_SIZE, height_key
from timed.store.records import CoinRecord

TRANSACTIONS, ADDRESSES, SPENT = "transactions", "addresses", "spent"
NAMES = (TRANSACTIONS, ADDRESSES, SPENT)
"""As the keys of the section `[index]`."""

COINS = "coins"
POSITION_SIZE = 4


@attrs.frozen
class Index:
    """One index: its name, its tables, and what a block adds to them."""

    name: str
    gives: str
    """For people."""
    tables: tuple[str, ...]
    apply: Callable[[Records, Block], None]


def owner_key(lock: Lock) -> bytes:
    """What an owner goes by: no key begins with another, and none is longer than 33 bytes."""
    if lock.kind == LOCK_KEY_HASH:
        return bytes((lock.kind,)) + lock.data
    return bytes((lock.kind,)) + sha256(lock.data).digest()


def place_key(height: int, position: int) -> bytes:
    """Where a transaction stands, in the chain's order."""
    return height_key(height) + position.to_bytes(POSITION_SIZE, "big")


def place_of(key: bytes) -> tuple[int, int]:
    """(height, position)"""
    return int.from_bytes(key[:KEY_SIZE], "big"), int.from_bytes(key[KEY_SIZE:], "big")


def _make(records: Records, outpoint: OutPoint, coin: Coin) -> None:
    records.put(COINS, outpoint.key, CoinRecord(coin.output, coin.height, coin.coinbase).encode())


def _take(records: Records, outpoint: OutPoint, height: int) -> Output:
    """The output that an input of the block at `height` spends, which then is none any more."""
    found = records.pop(COINS, outpoint.key, CoinRecord.decode)
    if found is None:
        raise StoreError(
            f"block {height} spends {outpoint.txid.hex()}:{outpoint.index}, which the index does not hold.",
            "Remove the directory of the index and restart: it is built again.",
        )
    return found.output


# What every transaction spent


def apply_transactions(records: Records, block: Block) -> None:
    """The outputs that the block's inputs spent, and the sums up to it.

    Where a transaction stands is in the store itself; this is what the store lets go.
    """
    height = block.header.height
    spent: list[Output] = []
    fees = 0
    for transaction in block.transactions:
        outputs = [_take(records, outpoint, height) for outpoint in transaction.inputs]
        if outputs:
            fees += sum(output.value for output in outputs)
            fees -= sum(output.value for output in transaction.outputs)
            spent += outputs
        for outpoint, coin in coins_of(transaction, height):
            _make(records, outpoint, coin)
    before = records.get("totals", height_key(height - 1), Totals.decode) if height else Totals(0, 0, 0)
    if before is None:
        raise StoreError(f"the index lacks the sums up to block {height - 1}.")
    totals = Totals(
        transactions=before.transactions + len(block.transactions),
        fees=before.fees + fees,
        supply=before.supply + block.header.reward - fees,
    )
    records.put("totals", height_key(height), totals.encode())
    if spent:
        records.put("outputs", height_key(height), SpentOutputs(tuple(spent)).encode())


# Who owned what


def apply_addresses(records: Records, block: Block) -> None:
    """What each transaction gave to and took from each owner."""
    height = block.header.height
    for position, transaction in enumerate(block.transactions):
        received: Counter[bytes] = Counter()
        spent: Counter[bytes] = Counter()
        coins: Counter[bytes] = Counter()
        for outpoint in transaction.inputs:
            output = _take(records, outpoint, height)
            owner = owner_key(output.lock)
            records.delete("holdings", owner + outpoint.key)
            spent[owner] += output.value
            coins[owner] -= 1
        for outpoint, coin in coins_of(transaction, height):
            owner = owner_key(coin.output.lock)
            _make(records, outpoint, coin)
            holding = Holding(coin.output.value, height, coin.coinbase)
            records.put("holdings", owner + outpoint.key, holding.encode())
            received[owner] += coin.output.value
            coins[owner] += 1
        for owner in coins:
            touch = Touch(transaction.txid, received[owner], spent[owner])
            records.put("history", owner + place_key(height, position), touch.encode())
            _count(records, owner, touch, coins[owner], height)


def _count(records: Records, owner: bytes, touch: Touch, coins: int, height: int) -> None:
    before = records.get("accounts", owner, Account.decode) or Account(0, 0, 0, 0, 0, height, height)
    account = Account(
        balance=before.balance + touch.received - touch.spent,
        received=before.received + touch.received,
        spent=before.spent + touch.spent,
        transactions=before.transactions + 1,
        coins=before.coins + coins,
        first=before.first,
        last=height,
    )
    records.put("accounts", owner, account.encode())


# Who spent what


def apply_spent(records: Records, block: Block) -> None:
    """The spender of every outpoint that the block spends."""
    height = block.header.height
    for position, transaction in enumerate(block.transactions):
        for number, outpoint in enumerate(transaction.inputs):
            spend = Spend(transaction.txid, height, position, number)
            records.put("spends", outpoint.key, spend.encode())


INDEXES = {
    index.name: index
    for index in (
        Index(
            TRANSACTIONS,
            "what every transaction spent: fees, block filters, sums over the chain",
            (COINS, "outputs", "totals"),
            apply_transactions,
        ),
        Index(
            ADDRESSES,
            "balance, history and coins of every address",
            (COINS, "holdings", "history", "accounts"),
            apply_addresses,
        ),
        Index(SPENT, "which transaction spent an output", ("spends",), apply_spent),
    )
}
