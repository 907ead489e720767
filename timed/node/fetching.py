"""Announced bodies on their way: each is fetched once, from the next peer that has it when one fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from timed.peer.table import PeerTable
from timed.wire.layouts import MAX_TRANSACTIONS_ASKED
from timed.wire.messages import GetTransactions

MAX_FETCHING = 1_024
"""Announced bodies under way or waiting for it; beyond it announcements are let pass and counted. Whoever
votes for such a body is asked for it."""
MAX_SOURCES = 8
"""Peers remembered for one body."""


class Fetching:
    """What was announced, who has it, and what was asked of whom.

    `lacks` says whether a body is still wanted.
    """

    def __init__(self, peers: PeerTable, lacks: Callable[[bytes], bool]) -> None:
        self._peers = peers
        self._lacks = lacks
        self._sources: dict[bytes, list[bytes]] = {}
        """By txid, the peers that have it and were not asked yet."""
        self._asked: dict[tuple[bytes, int], tuple[bytes, ...]] = {}
        self.overflow = 0

    def __contains__(self, txid: object) -> bool:
        return txid in self._sources

    def __len__(self) -> int:
        return len(self._sources)

    def announced(self, node_id: bytes, txids: Sequence[bytes], now: int) -> None:
        """A peer has these bodies: ask it for those that nobody was asked for yet."""
        wanted = []
        for txid in dict.fromkeys(txids):
            sources = self._sources.get(txid)
            if sources is not None:
                if len(sources) < MAX_SOURCES and node_id not in sources:
                    sources.append(node_id)
            elif not self._lacks(txid):
                continue
            elif len(self._sources) >= MAX_FETCHING:
                self.overflow += 1
            else:
                self._sources[txid] = []
                wanted.append(txid)
        self._ask(node_id, wanted, now)

    def answered(self, node_id: bytes, request: int, brought: Sequence[bytes], now: int) -> None:
        """An answer: what it did not bring is asked of somebody else."""
        asked = self._asked.pop((node_id, request), ())
        for txid in brought:
            self._sources.pop(txid, None)
        self._ask_others(asked, now)

    def failed(self, node_id: bytes, request: int, now: int) -> None:
        """No answer will come, for its deadline or the session's end."""
        self._ask_others(self._asked.pop((node_id, request), ()), now)

    def _ask_others(self, txids: Sequence[bytes], now: int) -> None:
        again: dict[bytes, list[bytes]] = {}
        for txid in txids:
            sources = self._sources.get(txid)
            if sources is None:
                continue
            if sources and self._lacks(txid):
                again.setdefault(sources.pop(0), []).append(txid)
            else:
                del self._sources[txid]
        for node_id, wanted in again.items():
            self._ask(node_id, wanted, now)

    def _ask(self, node_id: bytes, txids: Sequence[bytes], now: int) -> None:
        for start in range(0, len(txids), MAX_TRANSACTIONS_ASKED):
            part = tuple(txids[start : start + MAX_TRANSACTIONS_ASKED])
            request = self._peers.request(node_id, GetTransactions(txids=part), now)
            if request is None:
                self._ask_others(part, now)
            else:
                self._asked[node_id, request] = part
