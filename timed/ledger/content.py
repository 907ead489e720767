"""What a block does to the set of coins."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
import msgspec

from timed.errors import InvalidBlock, InvalidTransaction
from timed.interfaces import BlockCommit, Coin
from timed.ledger.rules import check_form, check_spend, signature_items
from timed.params import NetworkParams
from timed.primitives.block import Block
from timed.primitives.certificate import BlockCertificate, SignatureItem
from timed.primitives.transaction import OutPoint, Output, Transaction, TransactionKind

HEADER_SIZE = 322
"""Bytes of every encoded header; an encoded block begins with its header."""
HEIGHT_BYTES = 8

Entry = tuple[OutPoint, Coin]
CoinSource = Callable[[OutPoint], "Coin | None"]


def coins_of(transaction: Transaction, height: int) -> tuple[Entry, ...]:
    """The coins that `transaction` makes in the block at `height`."""
    coinbase = transaction.kind == TransactionKind.COINBASE
    return tuple(
        (OutPoint(transaction.txid, index), Coin(output, height, coinbase))
        for index, output in enumerate(transaction.outputs)
    )


def coinbase_transaction(height: int, outputs: Sequence[Output]) -> Transaction:
    """The coinbase of the block at `height`; the height makes its txid unique."""
    return Transaction.make(
        kind=TransactionKind.COINBASE,
        inputs=(),
        outputs=tuple(outputs),
        payload=height.to_bytes(HEIGHT_BYTES, "little"),
    )


class Transfer(msgspec.Struct, frozen=True, gc=False):
    """One transaction that keeps every rule but those on signatures, and what it does."""

    transaction: Transaction
    coins: tuple[Coin, ...]
    """Those of its inputs."""
    fee: int
    created: tuple[Entry, ...]

    @property
    def spent(self) -> tuple[Entry, ...]:
        return tuple(zip(self.transaction.inputs, self.coins, strict=True))


def transfer(
    transaction: Transaction, coins: tuple[Coin, ...], height: int, params: NetworkParams
) -> Transfer:
    """Check a transaction against the coins of its inputs; InvalidTransaction(rule)."""
    check_form(transaction, params)
    fee = check_spend(transaction, coins, height, params)
    return Transfer(transaction, coins, fee, coins_of(transaction, height))


Transferred = Callable[[Transaction, "tuple[Coin, ...]"], Transfer]
"""`transfer` at one height, or what it has found before."""


@attrs.frozen
class Transfers:
    """What the transactions after the coinbase do, in block order."""

    fees: int
    created: tuple[Entry, ...]
    spent: tuple[Entry, ...]
    each: tuple[Transfer, ...]


def apply_transfers(
    transactions: Sequence[Transaction], transferred: Transferred, coin: CoinSource
) -> Transfers:
    """Check and apply ordered transactions to the coins of the parent's state.

    Raises InvalidBlock with the rule of the first transaction that breaks one.
    """
    fees = 0
    made: dict[OutPoint, Coin] = {}
    gone: dict[OutPoint, Coin] = {}
    each = []
    for transaction in transactions:
        try:
            found = transferred(transaction, _spend(transaction, made, gone, coin))
        except InvalidTransaction as error:
            raise InvalidBlock(error.rule, f"{transaction.txid.hex()} {error.detail}".rstrip()) from None
        fees += found.fee
        made.update(found.created)
        each.append(found)
    return Transfers(fees, tuple(made.items()), tuple(gone.items()), tuple(each))


def _spend(
    transaction: Transaction, made: dict[OutPoint, Coin], gone: dict[OutPoint, Coin], coin: CoinSource
) -> tuple[Coin, ...]:
    """Move the coins of the transaction's inputs to `gone` and return them."""
    coins = []
    for outpoint in transaction.inputs:
        if outpoint in gone:
            raise InvalidTransaction("double-spend", f"{outpoint.txid.hex()}:{outpoint.index}")
        found = made.get(outpoint) or coin(outpoint)
        if found is None:
            raise InvalidTransaction("input-missing", f"{outpoint.txid.hex()}:{outpoint.index}")
        gone[outpoint] = found
        coins.append(found)
    return tuple(coins)


@attrs.frozen
class BlockEffects:
    """A block that keeps every rule, and all that follows from it.

    Whether its signatures are right is not decided yet: they are listed by
    `signature_items` (of its transactions) and `certificate_items` (of its
    parent certificate, empty when that is the one the ledger already holds).
    """

    block: Block
    fees: int
    created: tuple[Entry, ...]
    """Every output made, the coinbase's first; some may be spent in the same block."""
    spent: tuple[Entry, ...]
    digests: tuple[bytes, ...]
    coins: tuple[tuple[Coin, ...], ...]
    """For each transaction after the coinbase the coins of its inputs."""
    certificate_items: tuple[SignatureItem, ...]

    @property
    def height(self) -> int:
        return self.block.header.height

    @property
    def txids(self) -> tuple[bytes, ...]:
        return tuple(transaction.txid for transaction in self.block.transactions)

    def signature_items(
        self, checked: Callable[[bytes], Transaction | None] = lambda txid: None
    ) -> tuple[SignatureItem, ...]:
        """One item per witness of the block, in block order; none for bodies that `checked` knows.

        `checked` gives a body whose signatures were found right. The coins that a
        signature binds follow from the txids of the inputs: they are the same here.
        """
        chain_id = self.block.header.chain_id
        items: list[SignatureItem] = []
        for transaction, coins in zip(self.block.transactions[1:], self.coins, strict=True):
            known = checked(transaction.txid)
            if known is None or known.raw != transaction.raw:
                items.extend(signature_items(transaction, coins, chain_id))
        return tuple(items)

    def commit(self, certificate: BlockCertificate, carried: tuple[bytes, ...] = ()) -> BlockCommit:
        """What the store has to make durable once the block is certified, and the records of the log that
        the block must not end."""
        return BlockCommit(
            height=self.height,
            block_hash=self.block.hash,
            block=self.block.encode(),
            certificate=certificate.encode(),
            txids=self.txids,
            created=self.created,
            spent=self.spent,
            digests=self.digests,
            carried=carried,
        )
