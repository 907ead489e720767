"""Chains with many owners, and what every index must say of them, worked out naively."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

from tests.builders import WALLET, ChainBuilder, genesis, signed, wallet_key
from timed.index.builder import IndexBuilder
from timed.index.reader import IndexReader
from timed.index.tables import INDEXES, NAMES
from timed.interfaces import Coin
from timed.ledger.rules import largest_total
from timed.params import REGTEST
from timed.primitives.block import Block
from timed.primitives.transaction import Lock, OutPoint, Output, Transaction

GENESIS = genesis()
OWNERS = tuple(wallet_key(number) for number in range(1, 6))
MULTISIG = Lock.multisig(1, [Lock.key_hash(owner.public).data for owner in OWNERS[:2]])
LOCKS = (*(Lock.key_hash(owner.public) for owner in OWNERS), MULTISIG)
_KEYS = dict(zip(LOCKS, (*OWNERS, WALLET), strict=True))


class RandomChain(ChainBuilder):
    """A chain whose payments follow from small numbers: which coin is spent, and to whom."""

    def __init__(self, store: Any = None) -> None:
        super().__init__(GENESIS, store)
        self.coins: list[tuple[OutPoint, Coin]] = [*GENESIS.created()]

    def grow(self, payments: Sequence[tuple[int, int]]) -> None:
        """One block with a payment for each (coin, owner); a coin made in this block may be spent in it."""
        transactions = []
        for which, whom in payments:
            spent = self.coins.pop(which % len(self.coins))
            made = self._pay([spent], LOCKS[whom % len(LOCKS)], (whom // len(LOCKS)) % 3 + 1)
            if made is None:
                self.coins.append(spent)
                continue
            transactions.append(made)
            self.coins += [
                (OutPoint(made.txid, index), Coin(output, self.height + 1, False))
                for index, output in enumerate(made.outputs)
            ]
        self.extend(transactions)

    def _pay(self, spent: Sequence[tuple[OutPoint, Coin]], to: Lock, pieces: int) -> Transaction | None:
        coins = [coin for _, coin in spent]
        total = largest_total(sum(coin.output.value for coin in coins), REGTEST)
        if total < pieces * REGTEST.dust:
            return None
        values = [total // pieces] * pieces
        values[0] += total - sum(values)
        transaction = Transaction.make(
            inputs=[outpoint for outpoint, _ in spent], outputs=[Output(value, to) for value in values]
        )
        signers = {_KEYS[coin.output.lock].public: _KEYS[coin.output.lock] for coin in coins}
        return signed(transaction, coins, signers.values())


class Naive:
    """Every question answered by walking over all blocks."""

    def __init__(self, blocks: Sequence[Block]) -> None:
        self.blocks = blocks
        self.outputs = {
            OutPoint(transaction.txid, index): output
            for block in blocks
            for transaction in block.transactions
            for index, output in enumerate(transaction.outputs)
        }

    def places(self) -> Iterator[tuple[int, int, Transaction]]:
        for block in self.blocks:
            for position, transaction in enumerate(block.transactions):
                yield block.header.height, position, transaction

    def history(self, lock: Lock) -> list[tuple[bytes, int, int, int, int]]:
        found = []
        for height, position, transaction in self.places():
            received = sum(each.value for each in transaction.outputs if each.lock == lock)
            taken = [self.outputs[each] for each in transaction.inputs]
            spent = sum(each.value for each in taken if each.lock == lock)
            if any(each.lock == lock for each in (*transaction.outputs, *taken)):
                found.append((transaction.txid, height, position, received, spent))
        return found

    def coins(self, lock: Lock) -> dict[OutPoint, int]:
        gone = {outpoint for _, _, transaction in self.places() for outpoint in transaction.inputs}
        return {
            outpoint: output.value
            for outpoint, output in self.outputs.items()
            if output.lock == lock and outpoint not in gone
        }

    def spends(self) -> dict[OutPoint, tuple[bytes, int, int, int]]:
        return {
            outpoint: (transaction.txid, height, position, number)
            for height, position, transaction in self.places()
            for number, outpoint in enumerate(transaction.inputs)
        }

    def spent_outputs(self, height: int) -> tuple[Output, ...]:
        return tuple(
            self.outputs[outpoint]
            for transaction in self.blocks[height].transactions
            for outpoint in transaction.inputs
        )

    def totals(self, height: int) -> tuple[int, int, int]:
        """(transactions, fees, supply): the supply is what is unspent."""
        part = Naive(self.blocks[: height + 1])
        count = sum(len(block.transactions) for block in part.blocks)
        fees = sum(
            sum(part.outputs[each].value for each in transaction.inputs)
            - sum(each.value for each in transaction.outputs)
            for _, _, transaction in part.places()
            if transaction.inputs
        )
        gone = {outpoint for _, _, transaction in part.places() for outpoint in transaction.inputs}
        supply = sum(output.value for outpoint, output in part.outputs.items() if outpoint not in gone)
        return count, fees, supply


def blocks_of(store: Any) -> list[Block]:
    return [Block.decode(store.block(height)) for height in range(store.tip().height + 1)]


def builders_of(directory: str, store: Any, names: Sequence[str] = NAMES) -> dict[str, IndexBuilder]:
    return {
        name: IndexBuilder(INDEXES[name], store, os.path.join(directory, name), GENESIS.hash)
        for name in names
    }


def finish(builder: IndexBuilder) -> None:
    while not builder.step().done:
        continue


def reader_of(builders: dict[str, IndexBuilder]) -> IndexReader:
    shared = {name: (lambda builder=builder: builder.database) for name, builder in builders.items()}
    return IndexReader("", GENESIS.hash, tuple(builders), shared)


def differences(reader: IndexReader, naive: Naive) -> list[str]:
    """What the indexes say otherwise than the naive walk; empty when all is well."""
    found: list[str] = []
    found += _wrong_addresses(reader, naive)
    found += _wrong_spends(reader, naive)
    for height in range(len(naive.blocks)):
        assert reader.transactions is not None
        totals = reader.transactions.totals(height)
        shown = None if totals is None else (totals.transactions, totals.fees, totals.supply)
        if shown != naive.totals(height):
            found.append(f"totals at {height}: {shown}")
        if reader.transactions.spent_outputs(height) != naive.spent_outputs(height):
            found.append(f"outputs at {height}")
    return found


def _wrong_addresses(reader: IndexReader, naive: Naive) -> list[str]:
    found = []
    assert reader.addresses is not None
    for number, lock in enumerate(LOCKS):
        history = naive.history(lock)
        pages, after = [], None
        while True:
            page = reader.addresses.history(lock, 3, after)
            pages += page.entries
            if page.following is None:
                break
            after = page.following
        if [(e.txid, e.height, e.position, e.received, e.spent) for e in pages] != history:
            found.append(f"history of {number}")
        newest = reader.addresses.history(lock, 1_000, newest_first=True).entries
        if list(newest) != pages[::-1]:
            found.append(f"history of {number} backwards")
        coins, wanted = reader.addresses.coins(lock, 1_000).coins, naive.coins(lock)
        if {coin.outpoint: coin.value for coin in coins} != wanted:
            found.append(f"coins of {number}")
        account = reader.addresses.account(lock).account
        shown = None if account is None else (
            account.balance, account.received, account.spent, account.transactions, account.coins,
            account.first, account.last,
        )  # fmt: skip
        received, spent = sum(each[3] for each in history), sum(each[4] for each in history)
        expected = (
            received - spent, received, spent, len(history), len(wanted), history[0][1], history[-1][1],
        ) if history else None  # fmt: skip
        if shown != expected:
            found.append(f"account of {number}: {shown}, not {expected}")
    return found


def _wrong_spends(reader: IndexReader, naive: Naive) -> list[str]:
    found = []
    spends = naive.spends()
    assert reader.spent is not None
    for outpoint in naive.outputs:
        spend = reader.spent.spender(outpoint).spend
        shown = None if spend is None else (spend.txid, spend.height, spend.position, spend.input)
        if shown != spends.get(outpoint):
            found.append(f"spender of {outpoint!r}: {shown}")
    return found
