"""The newest blocks on their grid: when each was due, how long it took, who signed it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import attrs
from zope.interface import implementer

from timed import events
from timed.feed.attendance import absent_from
from timed.interfaces import IEventSink
from timed.params import SECOND
from timed.primitives.certificate import indices_of

if TYPE_CHECKING:
    from timed.node.node import Node

SHOWN = 30
"""Blocks that are shown."""


@attrs.frozen
class Arrival:
    """What this node saw of a block when it was certified; `delay_us` counts from its grid time."""

    delay_us: int
    payments: int
    live: bool


@implementer(IEventSink)
class RecentBlocks:
    """Remembers the last `SHOWN` arrivals, and which members signed, read from the chain once for each."""

    name = "recent-blocks"
    hears = frozenset({events.BlockCertified})

    def __init__(self) -> None:
        self._arrivals: OrderedDict[int, Arrival] = OrderedDict()
        self._rows: OrderedDict[int, dict[str, Any]] = OrderedDict()
        self._absent: dict[int, frozenset[bytes]] = {}
        """Operator keys of those who did not sign, by height, for as long as the rows."""

    def published(self, event: object, now_us: int) -> None:
        """`IEventSink.published`."""
        if not isinstance(event, events.BlockCertified):
            return
        self._arrivals[event.height] = Arrival(
            now_us - event.time * SECOND, max(0, len(event.txids) - 1), event.live
        )
        while len(self._arrivals) > SHOWN:
            self._arrivals.popitem(last=False)

    def rows(self, node: Node) -> list[dict[str, Any]]:
        """The newest blocks, oldest first; what is only known of blocks that came while it ran is None."""
        return list(self._read(node))

    def absent_in_a_row(self, node: Node) -> dict[bytes, int]:
        """By operator key: how many of the newest certificates lack its signature, up to the first that has it."""
        heights = [row["height"] for row in self._read(node)]
        found: dict[bytes, int] = {}
        left: frozenset[bytes] | None = None
        for height in reversed(heights):
            absent = self._absent.get(height, frozenset())
            left = absent if left is None else left & absent
            for key in left:
                found[key] = found.get(key, 0) + 1
            if not left:
                break
        return found

    def _read(self, node: Node) -> Iterator[dict[str, Any]]:
        tip = node.ledger.tip.height
        for height in range(max(1, tip - SHOWN + 1), tip + 1):
            row = self._rows.get(height)
            if row is None:
                row = self._row(node, height)
                if row is None:
                    continue
                self._rows[height] = row
                while len(self._rows) > SHOWN:
                    gone, _ = self._rows.popitem(last=False)
                    self._absent.pop(gone, None)
            yield {**row, **self._seen(height)}

    def _row(self, node: Node, height: int) -> dict[str, Any] | None:
        header, certificate = node.ledger.header(height), node.ledger.certificate(height)
        if header is None or certificate is None:
            return None
        roster = node.ledger.roster(height)
        members = len(roster.members)
        self._absent[height] = absent_from(certificate.bitmap, roster)
        return {
            "height": height,
            "hash": header.hash.hex(),
            "time": header.time,
            "round": certificate.round,
            "proposer": header.proposer.hex(),
            "signers": list(indices_of(certificate.bitmap, members)),
            "members": members,
        }

    def _seen(self, height: int) -> dict[str, Any]:
        """Seconds from the grid time of a block that came when it was made, and its payments."""
        arrival = self._arrivals.get(height)
        live = arrival is not None and arrival.live
        return {
            "delay": arrival.delay_us / SECOND if arrival is not None and live else None,
            "payments": None if arrival is None else arrival.payments,
        }
