"""Reads of the durable chain for calls about the past: store, genesis and indexes, and nothing of the node.

So they run as well in a thread, or in a process that has only the data directory.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

import attrs

from timed.errors import DecodeError, StoreError
from timed.index.reader import IndexReader, TransactionReader
from timed.index.records import Totals
from timed.interfaces import IReads, StoredTip
from timed.ledger.genesis import Genesis
from timed.primitives.block import Block, BlockHeader
from timed.primitives.certificate import BlockCertificate
from timed.primitives.transaction import OutPoint, Output
from timed.rpc.errors import INVALID_PARAMETER, MISC, WARMING_UP, RpcError, not_found
from timed.rpc.moment import Moment
from timed.rpc.slices import Work

T = TypeVar("T")

MAX_LOOKUPS = 512
"""Old blocks that one call opens for want of an index."""
KEPT_BLOCKS = 16
"""Of those the ones kept at hand during the call."""


@attrs.frozen
class ChainView:
    """What a call about the past reads from."""

    store: IReads
    genesis: Genesis
    indexes: IndexReader | None = None

    def tip(self) -> StoredTip:
        tip = self.store.tip()
        if tip is None:
            raise RpcError(WARMING_UP, "There is no block yet", rule="no-chain", hint="Try again soon.")
        return tip

    def header(self, height: int) -> BlockHeader:
        """RpcError -5 when there is no such block."""
        data = self.store.header(height)
        if data is None:
            raise no_block(height)
        return _decoded(BlockHeader.decode, data, f"header {height}")

    def block(self, height: int) -> Block:
        """RpcError -5 when there is no such block."""
        data = self.store.block(height)
        if data is None:
            raise no_block(height)
        return _decoded(Block.decode, data, f"block {height}")

    def opened(self, height: int) -> Work[Block]:
        """`block`, decoded in steps: a full one takes a few hundredths of a second."""
        data = self.store.block(height)
        if data is None:
            raise no_block(height)
        steps = Block.decode_in_steps(data)
        while True:
            try:
                next(steps)
            except StopIteration as finished:
                block: Block = finished.value
                return block
            except DecodeError as error:
                raise _damaged(f"block {height}", error) from None
            yield

    def certificate(self, height: int) -> BlockCertificate | None:
        """None for genesis."""
        data = self.store.certificate(height)
        return _decoded(BlockCertificate.decode, data, f"certificate {height}") if data else None

    def height_of(self, block: int | bytes | Moment, *, after: bool = False) -> int:
        """The height a caller means; a time is its last block or, with `after`, the first from then on."""
        if isinstance(block, Moment):
            found = self.height_at(block.time, after=after)
            if found is None:
                raise not_found("Block", f"at time {block.time}", "No block is that old, or that new.")
            return found
        height = self.store.height_of(block) if isinstance(block, bytes) else block
        if height is None or height > self.tip().height:
            raise no_block(block)
        return height

    def height_at(self, time: int, *, after: bool = False) -> int | None:
        """The last block that is not later than `time`, or the first that is not earlier; None without one.

        Times rise from block to block, so halving the range finds it.
        """
        tip = self.tip().height
        low, high = 0, tip + 1
        while low < high:
            middle = (low + high) // 2
            if self.header(middle).time < time + (0 if after else 1):
                low = middle + 1
            else:
                high = middle
        if after:
            return low if low <= tip else None
        return low - 1 if low else None

    @property
    def transactions(self) -> TransactionReader | None:
        return None if self.indexes is None else self.indexes.transactions

    def totals(self, height: int) -> Totals | None:
        """The sums up to a block; None without the index, or where it has not come to yet."""
        transactions = self.transactions
        return None if transactions is None else transactions.totals(height)

    def prevouts(self, block: Block, position: int) -> tuple[Output, ...] | None:
        """What a transaction of a block spent, in the order of its inputs; None without the index.

        A damaged index counts as none: it must not take away what is known without it.
        """
        try:
            transactions = self.transactions
            spent = None if transactions is None else transactions.spent_outputs(block.header.height)
        except StoreError:
            spent = None
        if spent is None:
            return None
        of_block = block.transactions
        begin = sum(len(one.inputs) for one in of_block[:position])
        return spent[begin : begin + len(of_block[position].inputs)]

    def spent_outputs(self, block: Block) -> Work[tuple[Output, ...]]:
        """What the inputs of a block spent, in its order: from the index, else from the blocks that made it.

        RpcError when that takes more than MAX_LOOKUPS old blocks.
        """
        transactions = self.transactions
        found = None if transactions is None else transactions.spent_outputs(block.header.height)
        if found is not None:
            return found
        yield
        made = {transaction.txid: transaction for transaction in block.transactions}
        opened = OpenedBlocks(self)
        outputs = []
        for transaction in block.transactions:
            for outpoint in transaction.inputs:
                parent = made.get(outpoint.txid)
                if parent is not None:
                    outputs.append(parent.outputs[outpoint.index])
                    continue
                outputs.append((yield from opened.output(outpoint)))
        return tuple(outputs)


class OpenedBlocks:
    """Outputs out of old blocks, of which the last few stay decoded."""

    def __init__(self, view: ChainView) -> None:
        self._view = view
        self._blocks: OrderedDict[int, Block] = OrderedDict()
        self._opened = 0

    def output(self, outpoint: OutPoint) -> Work[Output]:
        """StoreError when the store lacks it, RpcError when it would be one block too many."""
        place = self._view.store.locate(outpoint.txid)
        if place is None:
            raise StoreError(f"the store lacks the transaction {outpoint.txid.hex()}.")
        height, position = place
        block = self._blocks.get(height)
        if block is None:
            if self._opened >= MAX_LOOKUPS:
                raise index_needed(f"This takes more than {MAX_LOOKUPS} old blocks", "transactions")
            self._opened += 1
            block = self._blocks[height] = yield from self._view.opened(height)
            if len(self._blocks) > KEPT_BLOCKS:
                self._blocks.popitem(last=False)
        yield
        return block.transactions[position].outputs[outpoint.index]


def index_needed(what: str, name: str) -> RpcError:
    """A call that only an index can answer, which is off or not there yet."""
    return RpcError(
        MISC,
        f"{what}: it needs the index {name}",
        rule="index-needed",
        hint=f"Set index.{name} = yes and restart; getindexinfo says how far it is.",
    )


def no_block(block: int | bytes) -> RpcError:
    text = str(block) if isinstance(block, int) else block.hex()
    return not_found("Block", text, "Ask getblockcount for the newest height.")


def check_range(first: int, last: int, most: int) -> None:
    """RpcError -8 unless `last` is not before `first` and the range holds at most `most` blocks."""
    if last < first:
        raise RpcError(
            INVALID_PARAMETER,
            f"The range ends at block {last}, before its begin at {first}",
            rule="param-value",
            hint="Exchange begin and end.",
            param="end",
        )
    if last - first >= most:
        raise RpcError(
            INVALID_PARAMETER,
            f"The range holds {last - first + 1} blocks, more than {most}",
            rule="param-value",
            hint="Ask for it in several parts.",
            param="end",
        )


def _decoded(decode: Callable[[bytes], T], data: bytes, what: str) -> T:
    try:
        return decode(data)
    except DecodeError as error:
        raise _damaged(what, error) from None


def _damaged(what: str, error: DecodeError) -> StoreError:
    return StoreError(f"the {what} of the store is damaged ({error}).", "Restore a copy.")
