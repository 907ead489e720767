"""What a client may cost: a budget that fills with time, and what happens once it is spent.

A call beyond the budget waits until its price has come in; a client that would wait
for longer than `MAX_WAIT_S` is told to come back. Administrators are not charged.
"""

from __future__ import annotations

from collections import OrderedDict
from math import ceil

MAX_WAIT_S = 5
MAX_CLIENTS = 4_096
"""Budgets that are kept; of more, the one used least recently is forgotten."""
BURST_S = 2
"""An idle client's budget holds what comes in within this time."""


class Budgets:
    """Price units left of each client, in millionths; negative while calls wait. Time is microseconds."""

    def __init__(self, per_second: int) -> None:
        self.per_second = per_second
        """Units that come in each second; 0 for no limit. May be changed at any time."""
        self._left: OrderedDict[tuple[str, str], tuple[int, int]] = OrderedDict()
        self.slowed = 0
        self.refused = 0

    def __len__(self) -> int:
        return len(self._left)

    def charge(self, client: tuple[str, str], cost: int, now: int) -> int:
        """Microseconds the call has to wait, 0 for none; -n when it is refused and worth trying in n seconds."""
        if not self.per_second:
            return 0
        left = self.left(client, now) - cost * 1_000_000
        wait = 0 if left >= 0 else -left // self.per_second
        if wait > MAX_WAIT_S * 1_000_000:
            self.refused += 1
            return -max(1, ceil(wait / 1_000_000) - MAX_WAIT_S)
        self._left[client] = (left, now)
        self._left.move_to_end(client)
        if len(self._left) > MAX_CLIENTS:
            self._left.popitem(last=False)
        self.slowed += wait > 0
        return wait

    def left(self, client: tuple[str, str], now: int) -> int:
        """Millionths of a unit this client could spend now."""
        full = self.per_second * BURST_S * 1_000_000
        left, at = self._left.get(client, (full, now))
        return min(full, left + max(0, now - at) * self.per_second)

    def shown(self, now: int) -> list[tuple[tuple[str, str], int]]:
        """(client, whole units left) of those used last, newest first."""
        return [(client, self.left(client, now) // 1_000_000) for client in reversed(self._left)]
