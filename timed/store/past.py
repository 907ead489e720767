"""The chain of a store executed once more, from genesis on, with what the store itself holds.

A coin that a block spends is looked up where it was made, in an earlier block; so
nothing grows with the number of coins. That a coin is spent in two blocks is not
noticed here: then the set of coins at the end is another than the headers say.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from zope.interface import implementer

from timed.errors import InvalidBlock, StoreError
from timed.interfaces import BlockCommit, Coin, IReads, IStore, StoredTip, StoreUsage
from timed.ledger.genesis import Genesis
from timed.ledger.ledger import Ledger
from timed.primitives.block import Block
from timed.primitives.certificate import BlockCertificate, SignatureItem
from timed.primitives.transaction import OutPoint, Transaction, TransactionKind
from timed.store.blocks import block_at
from timed.store.recent import RecentBlocks


@implementer(IStore)
class PastStore:
    """A store as it was after an earlier block; it takes new blocks without keeping them."""

    doubtful = False
    notes = ()

    def __init__(self, reads: Any, genesis: Genesis) -> None:
        self._reads = reads
        commit = genesis.commit()
        supply = sum(coin.output.value for _, coin in commit.created)
        self._tip = StoredTip(0, commit.block_hash, commit.digests, len(commit.created), supply)
        self._recent: RecentBlocks[tuple[Transaction, ...]] = RecentBlocks()

    def tip(self) -> StoredTip | None:
        return self._tip

    def block(self, height: int) -> bytes | None:
        return self._reads.block(height) if height <= self._tip.height else None

    def header(self, height: int) -> bytes | None:
        return self._reads.header(height) if height <= self._tip.height else None

    def certificate(self, height: int) -> bytes | None:
        return self._reads.certificate(height) if height <= self._tip.height else None

    def height_of(self, block_hash: bytes) -> int | None:
        height = self._reads.height_of(block_hash)
        return height if height is not None and height <= self._tip.height else None

    def locate(self, txid: bytes) -> tuple[int, int] | None:
        place = self._reads.locate(txid)
        return place if place is not None and place[0] <= self._tip.height else None

    def coin(self, outpoint: OutPoint) -> Coin | None:
        """The coin as it was made, also when it was spent since."""
        place = self.locate(outpoint.txid)
        if place is None:
            return None
        height, position = place
        transactions = self._transactions(height)
        if position >= len(transactions) or transactions[position].txid != outpoint.txid:
            raise StoreError(
                f"the table of locations says that {outpoint.txid.hex()} stands in block {height}, which it does not."
            )
        made = transactions[position]
        if outpoint.index >= len(made.outputs):
            return None
        return Coin(made.outputs[outpoint.index], height, made.kind == TransactionKind.COINBASE)

    def coins(self) -> Iterator[tuple[OutPoint, Coin]]:
        raise StoreError("nobody knows the coins of the past.")

    def usage(self) -> StoreUsage | None:
        return None

    @contextmanager
    def snapshot(self) -> Iterator[IReads]:
        yield self

    def append(self, records: Sequence[bytes]) -> None:
        raise StoreError("the past has no log.")

    def commit(self, commit: BlockCommit) -> None:
        """Go one block on. Number and value of the coins stay those of genesis: nobody asks for them here."""
        self._tip = StoredTip(
            commit.height, commit.block_hash, commit.digests, self._tip.coins, self._tip.supply
        )

    def replay(self) -> Iterator[bytes]:
        return iter(())

    def close(self) -> None:
        """There is nothing of its own to release."""

    def _transactions(self, height: int) -> tuple[Transaction, ...]:
        found = self._recent.get(height)
        if found is not None:
            return found
        block, _ = block_at(self._reads, height)
        return self._recent.put(height, block.transactions)


class Execution:
    """Every rule of a block, its signatures listed; one block after the other."""

    def __init__(self, reads: Any, genesis: Genesis) -> None:
        """StoreError when the store holds another genesis."""
        self._reads = reads
        self._store = PastStore(reads, genesis)
        self._ledger = Ledger(self._store, genesis)

    @property
    def digests(self) -> tuple[bytes, ...]:
        """The state of the set digest after the newest executed block."""
        return self._ledger.tip.digests

    def execute(self, height: int) -> tuple[SignatureItem, ...]:
        """What is left to verify of the payments in the next block; InvalidBlock, StoreError or DecodeError."""
        data, proof = self._reads.block(height), self._reads.certificate(height)
        if data is None or not proof:
            raise StoreError(f"block {height} or its certificate is missing.")
        certificate = BlockCertificate.decode(proof)
        effects = self._ledger.evaluate(Block.decode(data))
        if effects.block.hash != certificate.target:
            raise InvalidBlock("certificate-target", effects.block.hash.hex())
        commit = effects.commit(certificate)
        self._ledger.advance(commit)
        self._store.commit(commit)
        return (*effects.signature_items(), *effects.certificate_items)
