"""How fast a peer may send, per rate bucket of the catalogue.

Each limit is at least ten times what an unmodified node sends at its peak, a
replay of the whole mempool after a reconnect included. What exceeds it is left
unread. Answers that were asked for are charged to whoever asked, never here.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from timed.errors import LocalError
from timed.params import SECOND
from timed.peer import limits
from timed.wire.catalogue import MESSAGES


@attrs.frozen
class Rate:
    """Messages per second, and how many may come at once."""

    per_second: int
    burst: int

    def scaled(self, per_second: int) -> Rate:
        """Another rate with a burst of as many seconds."""
        return Rate(per_second, self.burst * per_second // self.per_second)


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

SPARE = 10
"""An operator may lower a rate by this factor: what an unmodified node sends must get through."""
HIGHEST = 1_000_000
"""Messages per second that an operator may allow."""


def least(bucket: str) -> int:
    """Messages per second that an operator must allow."""
    return max(1, RATES[bucket].per_second // SPARE)


_unknown = sorted({kind.bucket for kind in MESSAGES} - RATES.keys())
if _unknown:
    raise LocalError(f"the catalogue names rate buckets without a rate: {', '.join(_unknown)}.")


@attrs.frozen
class Stock:
    """A bucket of one session: its rate, and the whole messages it would let through now."""

    rate: Rate
    left: int


class Rates:
    """The rates in force, the same for every session of a node, also for those that are open."""

    def __init__(self) -> None:
        self._rates = RATES

    def __getitem__(self, bucket: str) -> Rate:
        return self._rates[bucket]

    def regulate(self, changed: Mapping[str, int]) -> None:
        """`RATES`, but for these buckets so many messages a second."""
        self._rates = RATES | {bucket: RATES[bucket].scaled(rate) for bucket, rate in changed.items()}


class Allowance:
    """The token buckets of one session, and what exceeding them leads to. Tokens are counted in millionths."""

    __slots__ = ("_left", "_rates", "_spared_at", "_told", "excess_until", "owed", "throttled_until")

    def __init__(self, rates: Rates) -> None:
        self._rates = rates
        self._left: dict[str, tuple[int, int]] = {}
        self._told: dict[str, int] = {}
        self._spared_at: int | None = None
        self.owed = 0
        """Acks that what was sent to the peer calls for: they are charged to nobody."""
        self.excess_until: int | None = None
        """Until then the link is not read, because what came was more than the rates allow."""
        self.throttled_until = 0
        """Requests and gossip are left unread as long."""

    def take(self, bucket: str, now: int) -> bool:
        """Spend one message of `bucket`; False when there is none left."""
        left = self._tokens(bucket, now)
        allowed = left >= SECOND
        self._left[bucket] = (left - SECOND if allowed else left, now)
        return allowed

    def settled(self) -> bool:
        """An Ack has come; False when none was called for."""
        if not self.owed:
            return False
        self.owed -= 1
        return True

    def spares_ping(self, now: int) -> bool:
        """True once a second, for a ping beyond the rate: its sender waits for the pong."""
        if self._spared_at is not None and now - self._spared_at < limits.RATE_REPORT_PAUSE:
            return False
        self._spared_at = now
        return True

    def exceeded(self, event: str, now: int) -> bool:
        """A message was left unread. True when that is to be reported: a flood is one offence a second.

        Each event has a report of its own; what is only counted must not hide what is scored.
        """
        self.excess_until = now + limits.EXCESS_PAUSE
        told = self._told.get(event)
        if told is not None and now - told < limits.RATE_REPORT_PAUSE:
            return False
        self._told[event] = now
        return True

    def holds_back(self, now: int) -> bool:
        """True while the link is not to be read."""
        if self.excess_until is not None and now >= self.excess_until:
            self.excess_until = None
        return self.excess_until is not None

    def stocks(self, now: int) -> dict[str, Stock]:
        """Every bucket; one that was never drawn on is full."""
        return {bucket: Stock(self._rates[bucket], self._tokens(bucket, now) // SECOND) for bucket in RATES}

    def _tokens(self, bucket: str, now: int) -> int:
        """What a bucket holds, with what has flown in since it was drawn on."""
        rate = self._rates[bucket]
        full = rate.burst * SECOND
        left, at = self._left.get(bucket, (full, now))
        return min(full, left + (now - at) * rate.per_second)
