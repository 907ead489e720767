"""Whether the peer of one session is there: what it was heard to say, and the pings it answers (protocol §5.6).

Bytes alone prove little: a peer that drips one a second, or that talks and never
reads, is no use to anybody. The answer to a ping proves that it reads, works off
what it reads, and writes. While this node does not read the link nothing can be
heard, so that time does not count.
"""

from __future__ import annotations

from timed.peer import limits
from timed.peer.pings import Pings
from timed.wire.messages import Ping, Pong


class Liveness:
    """When to ping, and when to give up. Times are steady microseconds."""

    __slots__ = ("_asked_at", "_ping_at", "_pings", "_probed_at", "_unread_since", "heard_at")

    def __init__(self, pings: Pings, now: int) -> None:
        self.heard_at = now
        """When bytes arrived last."""
        self._pings = pings
        self._ping_at: int | None = None
        self._asked_at: int | None = None
        """Since when pings wait and none has been answered."""
        self._probed_at: int | None = None
        self._unread_since: int | None = None

    def opened(self, now: int) -> None:
        """The session is open: from now on there are pings, the first one at once."""
        self._ping_at = now

    def heard(self, now: int) -> None:
        """Bytes have arrived."""
        self.heard_at = now
        self._probed_at = None

    def probed(self, now: int) -> bool:
        """A sign of life is expected soon; False when one was already."""
        if self._probed_at is not None:
            return False
        self._probed_at = now
        return True

    def ping(self, now: int) -> Ping | None:
        """The ping to send; None when as many wait as may."""
        ping = self._pings.ping(now)
        if ping is not None and self._asked_at is None:
            self._asked_at = now
        return ping

    @property
    def awaits_pong(self) -> bool:
        return self._asked_at is not None

    def pong(self, pong: Pong, now: int) -> bool:
        """Take the answer to a ping; False when there was none."""
        if not self._pings.pong(pong, now):
            return False
        self._asked_at = now if self._pings.waiting else None
        return True

    def not_read(self, now: int) -> None:
        """From now on this node leaves the link unread."""
        self._unread_since = now

    def read_again(self, now: int) -> None:
        """The link is read again: what was expected may come as much later."""
        if self._unread_since is None:
            return
        gap = now - self._unread_since
        self._unread_since = None
        self.heard_at = min(now, self.heard_at + gap)
        if self._asked_at is not None:
            self._asked_at = min(now, self._asked_at + gap)
        if self._probed_at is not None:
            self._probed_at = min(now, self._probed_at + gap)

    def deadline(self) -> int | None:
        """When `pings_now`, `lost` or `unanswered` has something to say; None before the session is open."""
        if self._ping_at is None or self._unread_since is not None:
            return self._ping_at
        due = min(self._ping_at, self.heard_at + limits.SILENCE_LIMIT)
        if self._asked_at is not None:
            due = min(due, self._asked_at + limits.ANSWER_LIMIT)
        return due if self._probed_at is None else min(due, self._probed_at + limits.PROBE_LIMIT)

    def lost(self, now: int) -> str | None:
        """Why the peer is not there, if it is not."""
        if self._unread_since is not None:
            return None
        if now - self.heard_at >= limits.SILENCE_LIMIT:
            return "silent"
        if self._probed_at is not None and now - self._probed_at >= limits.PROBE_LIMIT:
            return "stale"
        return None

    def unanswered(self, now: int) -> bool:
        """True when the peer is heard, but has answered no ping for too long."""
        if self._unread_since is not None or self._asked_at is None:
            return False
        return now - self._asked_at >= limits.ANSWER_LIMIT

    def pings_now(self, now: int) -> bool:
        """True when the regular ping is due; the next one is then due in its turn."""
        if self._ping_at is None or now < self._ping_at:
            return False
        self._ping_at = now + self._pings.pause()
        return True
