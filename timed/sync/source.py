"""One peer as a source of the chain: what it has, what it was asked for, and when it may be asked again."""

from __future__ import annotations

import attrs

from timed.params import SECOND

PATIENCE_US = 8 * SECOND
"""What a peer has for headers, and for the body on top of the tip, before another one is asked as well:
one that dawdles must not hold everything up."""
REQUESTS_PER_PEER = 2
"""Questions for bodies under way at one peer."""
RETRY_US = 500_000
"""After a peer had nothing for us it is left alone this long."""
MAX_DOUBLINGS = 6
"""Each deadline that a peer lets pass doubles its rest, to half a minute: a mute one costs little."""


@attrs.define
class Source:
    """What is remembered of a peer while its session lasts."""

    claimed: int
    since: int
    resting_until: int = 0
    unanswered: int = 0
    """Deadlines that it let pass since its last answer."""
    slow: int = 0
    """Questions for headers in a row whose answer did not come within `PATIENCE_US`."""
    under_way: int = 0
    bodies: int = 0
    headers: int = 0

    def takes(self, height: int, now: int) -> bool:
        """It says that it has the block at `height`, and may be asked for one body more."""
        return self.claimed >= height and self.under_way < REQUESTS_PER_PEER and self.resting_until <= now

    def rest(self, now: int) -> None:
        """It had nothing for us."""
        self.resting_until = now + (RETRY_US << self.unanswered)

    def let_pass(self, now: int) -> None:
        """It let a deadline pass."""
        self.rest(now)
        self.unanswered = min(self.unanswered + 1, MAX_DOUBLINGS)

    def clock_set_back(self, now: int) -> None:
        """It rests no longer for a clock that was ahead."""
        self.since = min(self.since, now)
        self.resting_until = min(self.resting_until, now + RETRY_US)
