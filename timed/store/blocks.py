"""Blocks out of a store: StoreError for one that it lacks, that is damaged or that is out of its place."""

from __future__ import annotations

from timed.errors import DecodeError, StoreError
from timed.interfaces import IReads
from timed.primitives.block import Block


def block_at(reads: IReads, height: int, previous: bytes | None = None) -> tuple[Block, int]:
    """The block at a height and its size in bytes; `previous` is the hash of the block before it, if that is known."""
    data = reads.block(height)
    if data is None:
        raise StoreError(f"the store lacks block {height}.", "Check the disk, then restart.")
    try:
        block = Block.decode(data)
    except DecodeError as error:
        raise StoreError(
            f"block {height} of the store is damaged ({error}).", "Restore the data directory, or sync anew."
        ) from None
    if previous is not None and block.header.previous != previous:
        raise StoreError(f"block {height} of the store does not follow the one before it.")
    return block, len(data)
