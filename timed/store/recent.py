"""What was made of the blocks that were used last, so that a block is not read for each of its coins."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sized
from typing import Generic, TypeVar

T = TypeVar("T", bound=Sized)

MAX_KEPT = 4_096
"""Transactions of all blocks together, about two megabytes; not of the newest `LEAST_BLOCKS`."""
LEAST_BLOCKS = 8
"""Kept however large they are: a block that spends the coins of several full ones would read each again and again."""


class RecentBlocks(Generic[T]):
    """By height; the length of what is kept of a block is the number of its transactions.

    At the bound the blocks that were not used for longest go.
    """

    def __init__(self, most: int = MAX_KEPT, least_blocks: int = LEAST_BLOCKS) -> None:
        self._most = most
        self._least_blocks = least_blocks
        self._kept: OrderedDict[int, T] = OrderedDict()
        self._size = 0

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, height: int) -> T | None:
        found = self._kept.get(height)
        if found is not None:
            self._kept.move_to_end(height)
        return found

    def put(self, height: int, found: T) -> T:
        """Keep it instead of what was kept of that block; returned as it is."""
        before = self._kept.pop(height, None)
        self._size += len(found) - (0 if before is None else len(before))
        self._kept[height] = found
        while self._size > self._most and len(self._kept) > self._least_blocks:
            _, gone = self._kept.popitem(last=False)
            self._size -= len(gone)
        return found
