"""How fast a peer may send, per rate bucket of the catalogue.

Each limit is at least ten times what an unmodified node sends at its peak, a
replay of the whole mempool after a reconnect included. What exceeds it is left
unread. Answers that were asked for are charged to whoever asked, never here.
"""

from __future__ import annotations

import attrs

from timed.errors import LocalError
from timed.params import SECOND
from timed.wire.catalogue import MESSAGES


@attrs.frozen
class Rate:
    """Messages per second, and how many may come at once."""

    per_second: int
    burst: int


RATES: dict[str, Rate] = {
    "control": Rate(500, 5_000),
    "peers": Rate(1, 20),
    "transactions": Rate(10_000, 100_000),
    "votes": Rate(10_000, 50_000),
    "certificates": Rate(10_000, 100_000),
    "reports": Rate(200, 2_000),
    "proposals": Rate(200, 2_000),
    "queries": Rate(1_000, 5_000),
    "blocks": Rate(1_000, 5_000),
}

_unknown = sorted({kind.bucket for kind in MESSAGES} - RATES.keys())
if _unknown:
    raise LocalError(f"the catalogue names rate buckets without a rate: {', '.join(_unknown)}.")


class Allowance:
    """The token buckets of one session. Tokens are counted in millionths."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left: dict[str, tuple[int, int]] = {}

    def take(self, bucket: str, now: int) -> bool:
        """Spend one message of `bucket`; False when there is none left."""
        rate = RATES[bucket]
        full = rate.burst * SECOND
        left, at = self._left.get(bucket, (full, now))
        left = min(full, left + (now - at) * rate.per_second)
        allowed = left >= SECOND
        self._left[bucket] = (left - SECOND if allowed else left, now)
        return allowed

    def left(self, now: int) -> dict[str, int]:
        """Whole messages that each bucket which was drawn on would let through now."""
        found = {}
        for bucket, (left, at) in self._left.items():
            rate = RATES[bucket]
            found[bucket] = min(rate.burst * SECOND, left + (now - at) * rate.per_second) // SECOND
        return found
