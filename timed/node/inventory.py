"""Which peer is known to have what, so that nothing is sent twice or back.

One table for all sessions: an id and a bit for each session that has it. A peer
costs a bit of an id, not a table of its own. What is in a block is told to nobody any
more, so ids are let go with the blocks, a generation at a time.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from heapq import heappop, heappush

from timed.params import SECOND

KNOWN_IDS = 32_768
"""Ids of one kind in one generation; two generations are remembered. What is forgotten is at worst
sent once more."""
GENERATION_US = 60 * SECOND
"""A generation that is so old ends with the next block, full or not."""
MAX_RETIRED = 256
"""Closed sessions whose bits may still be set; beyond it they are cleared away, in one pass over all ids."""


class Kind(IntEnum):
    """What a peer may have of one transaction."""

    BODY = 0
    CERTIFIED = 1
    FINAL = 2


class Inventory:
    """The sessions by bit, and for each kind the ids with the bits of those that have them."""

    def __init__(self, known_ids: int = KNOWN_IDS) -> None:
        self._known_ids = known_ids
        self._bits: dict[bytes, int] = {}
        self._open = 0
        """The bits of all sessions."""
        self._free: list[int] = []
        """A heap: the lower the bits, the smaller the numbers of all ids."""
        self._retired: list[int] = []
        """Of sessions closed in the newer generation, and, next, in the older one."""
        self._retired_before: list[int] = []
        self.width = 0
        """Bits in use: of the sessions, of closed ones, and those that are free again."""
        self._since = 0
        """When the newer generation began."""
        self._new: list[dict[bytes, int]] = [{} for _ in Kind]
        self._old: list[dict[bytes, int]] = [{} for _ in Kind]

    def __len__(self) -> int:
        """Ids remembered, of all kinds and both generations."""
        return sum(map(len, self._new)) + sum(map(len, self._old))

    def opened(self, node_id: bytes) -> None:
        """A new session: nothing is known of it."""
        self.closed(node_id)
        if not self._free:
            self._free.append(self.width)
            self.width += 1
        bit = self._bits[node_id] = 1 << heappop(self._free)
        self._open |= bit

    def closed(self, node_id: bytes) -> None:
        bit = self._bits.pop(node_id, None)
        if bit is None:
            return
        self._open &= ~bit
        self._retired.append(bit.bit_length() - 1)
        if len(self._retired) + len(self._retired_before) > MAX_RETIRED:
            self._clear_retired()

    def mark(self, node_id: bytes, ids: Iterable[bytes], kind: Kind = Kind.BODY) -> None:
        """The peer has these, because it sent them, signed for them, or was sent them."""
        bit = self._bits.get(node_id)
        if bit is None:
            return
        new, old = self._new[kind], self._old[kind]
        for one in ids:
            known = new.get(one)
            # Bits of closed sessions do not come into the newer generation, so that they end with the older one.
            new[one] = (old.get(one, 0) & self._open if known is None else known) | bit
            if len(new) >= self._known_ids:
                self._old[kind] = old = new
                self._new[kind] = new = {}

    def block(self, now: int) -> None:
        """There is a new block: what was known before the last generation was is not needed any more."""
        if 0 <= now - self._since < GENERATION_US:
            return
        self._since = now
        self._old = self._new
        self._new = [{} for _ in Kind]
        # No id has their bits any more: what had them is gone.
        self._release(self._retired_before)
        self._retired_before, self._retired = self._retired, []

    def forget(self, one: bytes, kind: Kind = Kind.BODY) -> bool:
        """Who has it may not have it any more; False when nobody was known to."""
        known = self._new[kind].pop(one, 0) | self._old[kind].pop(one, 0)
        return known != 0

    def lacking(self, one: bytes, among: Iterable[bytes], kind: Kind = Kind.BODY) -> list[bytes]:
        """Those of the node ids with a session that are not known to have `one`, ordered."""
        known = self._new[kind].get(one) or self._old[kind].get(one, 0)
        return sorted(node_id for node_id in among if (bit := self._bits.get(node_id)) and not known & bit)

    def _clear_retired(self) -> None:
        """Take the bits of closed sessions out of every id, so that others may have them."""
        for table in (*self._new, *self._old):
            for one, known in table.items():
                table[one] = known & self._open
        self._release(self._retired + self._retired_before)
        self._retired, self._retired_before = [], []

    def _release(self, places: Iterable[int]) -> None:
        for place in places:
            heappush(self._free, place)
