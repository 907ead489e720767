"""Pings of one session that wait for their pong, and what a pong tells: round trip and clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from timed.peer import limits
from timed.peer.clock import SteadyClock
from timed.peer.traffic import Traffic
from timed.wire.messages import Ping, Pong

if TYPE_CHECKING:
    import random

_UNANSWERED = 8
"""Pings that may wait; until one is answered there is no further one, so that none is forgotten."""


class Pings:
    """What was measured goes into `traffic`. Times are steady microseconds."""

    def __init__(self, entropy: random.Random, clock: SteadyClock, traffic: Traffic) -> None:
        self._entropy = entropy
        self._clock = clock
        self._traffic = traffic
        self._sent: dict[int, tuple[int, int]] = {}
        """By nonce: steady and unix time."""

    @property
    def waiting(self) -> int:
        """Pings that wait for their pong."""
        return len(self._sent)

    def ping(self, now: int) -> Ping | None:
        """A ping with a nonce that only its pong can carry; None when as many wait as may."""
        if len(self._sent) >= _UNANSWERED:
            return None
        nonce = self._entropy.getrandbits(64)
        self._sent[nonce] = (now, self._clock.wall)
        return Ping(nonce, self._clock.wall)

    def pong(self, pong: Pong, now: int) -> bool:
        """Take the answer to a ping; False when there was none."""
        sent = self._sent.pop(pong.nonce, None)
        if sent is None:
            return False
        traffic = self._traffic
        steady, wall = sent
        traffic.round_trip = now - steady
        least = traffic.round_trip_least
        traffic.round_trip_least = traffic.round_trip if least is None else min(least, traffic.round_trip)
        if 0 <= self._clock.wall - wall <= limits.CLOCK_SAMPLE_TRIP:
            traffic.clock_offset = pong.time - (wall + self._clock.wall) // 2
            self._clock.compared += 1
        return True

    def pause(self) -> int:
        """How long to wait before the next ping."""
        spread = limits.PING_INTERVAL * limits.PING_JITTER_PERCENT // 100
        return limits.PING_INTERVAL - spread + self._entropy.randrange(2 * spread + 1)
