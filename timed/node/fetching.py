"""Announced bodies on their way: each is fetched once, from the next peer that has it when one fails or dawdles."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import attrs

from timed.params import SECOND
from timed.peer.table import PeerTable
from timed.wire.layouts import MAX_TRANSACTIONS_ASKED
from timed.wire.messages import GetTransactions

MAX_FETCHING = 256
"""Announced bodies that one peer was asked for; beyond it its announcements are let pass and counted.
Whoever votes for such a body is asked for it. A bound of all peers together would let one of them keep
out what the others announce."""
MAX_SOURCES = 8
"""Peers remembered for one body."""
PATIENCE_US = 2 * SECOND
"""What a peer has for a body, before another one that has it is asked as well."""


@attrs.define
class _Wanted:
    """A body that somebody was asked for."""

    asked_at: int
    others: list[bytes] = attrs.Factory(list)
    """The peers that have it and were not asked yet."""


class Fetching:
    """What was announced, who has it, and what was asked of whom.

    `lacks` says whether a body is still wanted.
    """

    def __init__(self, peers: PeerTable, lacks: Callable[[bytes], bool]) -> None:
        self._peers = peers
        self._lacks = lacks
        self._wanted: dict[bytes, _Wanted] = {}
        self._waiting: dict[bytes, int] = {}
        """Since when there is another peer to ask for it, oldest first."""
        self._asked: dict[tuple[bytes, int], tuple[bytes, ...]] = {}
        self._under_way: Counter[bytes] = Counter()
        """By peer, how many bodies it was asked for."""
        self.overflow = 0

    def __len__(self) -> int:
        return len(self._wanted)

    def is_coming(self, txid: bytes, now: int) -> bool:
        """Somebody was asked for it a moment ago."""
        wanted = self._wanted.get(txid)
        return wanted is not None and now < wanted.asked_at + PATIENCE_US

    def announced(self, node_id: bytes, txids: Sequence[bytes], now: int) -> None:
        """A peer has these bodies: ask it for those that nobody was asked for yet."""
        new: list[bytes] = []
        for txid in dict.fromkeys(txids):
            wanted = self._wanted.get(txid)
            if wanted is not None:
                if len(wanted.others) < MAX_SOURCES and node_id not in wanted.others:
                    wanted.others.append(node_id)
                    self._waiting.setdefault(txid, now)
            elif self._under_way[node_id] + len(new) >= MAX_FETCHING:
                self.overflow += 1
            elif self._lacks(txid):
                self._wanted[txid] = _Wanted(now)
                new.append(txid)
        self._ask(node_id, new, now)

    def answered(self, node_id: bytes, request: int, brought: Sequence[bytes], now: int) -> None:
        """An answer: what it did not bring is asked of somebody else."""
        asked = self._ended(node_id, request)
        for txid in brought:
            self._forget(txid)
        self._ask_others(asked, now)

    def failed(self, node_id: bytes, request: int, now: int) -> None:
        """No answer will come, for its deadline or the session's end."""
        self._ask_others(self._ended(node_id, request), now)

    # Time

    def next_deadline(self) -> int | None:
        return next((since + PATIENCE_US for since in self._waiting.values()), None)

    def wake(self, now: int) -> None:
        """Ask somebody else, too, for what has not come."""
        late = []
        for txid, since in self._waiting.items():
            if now < since + PATIENCE_US:
                break
            late.append(txid)
        self._ask_others(late, now)

    def clock_set_back(self, now: int) -> None:
        """What was asked for when the clock was ahead was asked for now."""
        self._waiting = dict.fromkeys(self._waiting, now)
        for wanted in self._wanted.values():
            wanted.asked_at = min(wanted.asked_at, now)

    # Inside

    def _ended(self, node_id: bytes, request: int) -> tuple[bytes, ...]:
        """What was asked for with this request."""
        asked = self._asked.pop((node_id, request), ())
        self._under_way[node_id] -= len(asked)
        if not self._under_way[node_id]:
            del self._under_way[node_id]
        return asked

    def _forget(self, txid: bytes) -> None:
        self._wanted.pop(txid, None)
        self._waiting.pop(txid, None)

    def _ask_others(self, txids: Sequence[bytes], now: int) -> None:
        again: dict[bytes, list[bytes]] = {}
        for txid in txids:
            wanted = self._wanted.get(txid)
            if wanted is None:
                continue
            if not wanted.others or not self._lacks(txid):
                self._forget(txid)
                continue
            again.setdefault(wanted.others.pop(0), []).append(txid)
            wanted.asked_at = now
            self._waiting.pop(txid, None)
            if wanted.others:
                self._waiting[txid] = now
        for node_id, due in again.items():
            self._ask(node_id, due, now)

    def _ask(self, node_id: bytes, txids: Sequence[bytes], now: int) -> None:
        for start in range(0, len(txids), MAX_TRANSACTIONS_ASKED):
            part = tuple(txids[start : start + MAX_TRANSACTIONS_ASKED])
            request = self._peers.request(node_id, GetTransactions(txids=part), now)
            if request is None:
                self._ask_others(part, now)
            else:
                self._asked[node_id, request] = part
                self._under_way[node_id] += len(part)
