"""Which peer is known to have which transaction, so that nothing is sent twice or back."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

KNOWN_PER_PEER = 20_000
"""Ids remembered for one peer; the oldest is forgotten, at worst it is sent once more."""


class Inventory:
    """Bounded sets of ids, one for each session."""

    def __init__(self) -> None:
        self._known: dict[bytes, OrderedDict[bytes, None]] = {}

    def opened(self, node_id: bytes) -> None:
        self._known[node_id] = OrderedDict()

    def closed(self, node_id: bytes) -> None:
        self._known.pop(node_id, None)

    def mark(self, node_id: bytes, ids: Iterable[bytes]) -> None:
        """The peer has these, because it sent them or they were sent to it."""
        known = self._known.get(node_id)
        if known is None:
            return
        for one in ids:
            known[one] = None
            if len(known) > KNOWN_PER_PEER:
                known.popitem(last=False)

    def lacking(self, one: bytes) -> list[bytes]:
        """The node ids of the sessions that are not known to have `one`, ordered."""
        return sorted(node_id for node_id, known in self._known.items() if one not in known)
