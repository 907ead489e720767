"""How long a wrong password waits for its answer: longer each time, by address.

Good credentials are never held up, not even those that come from an address that
guesses. What is held up at one time is bounded; beyond that the answer is 429.
"""

from __future__ import annotations

from collections import OrderedDict

MAX_ADDRESSES = 1_024
FIRST_DELAY_S = 0.25
MAX_DELAY_S = 8.0
FORGET_S = 600
"""After this long without another failure an address begins anew."""
MAX_HELD = 64
"""Answers held back at one time; their connections are the first to make room for others."""


class Failures:
    """Failed attempts by address; time is seconds of a monotonic clock."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self.held = 0
        self.turned_away = 0

    def __len__(self) -> int:
        return len(self._seen)

    def delay(self, address: str, now: float) -> float | None:
        """Seconds to hold the answer of one more failure back; None when too many are held already."""
        count, at = self._seen.pop(address, (0, now))
        count = 0 if now - at > FORGET_S else count
        self._seen[address] = (count + 1, now)
        if len(self._seen) > MAX_ADDRESSES:
            self._seen.popitem(last=False)
        if self.held >= MAX_HELD:
            self.turned_away += 1
            return None
        return min(MAX_DELAY_S, FIRST_DELAY_S * 2.0 ** min(count, 16))
