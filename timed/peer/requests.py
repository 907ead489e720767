"""Requests to one peer: ids, the window it announced, and deadlines that adapt.

A deadline follows the answers that came so far, per class of answer, as TCP
follows round trips; one that passes doubles the next. A late answer still
teaches, and is never a violation.
"""

from __future__ import annotations

import enum
from collections import OrderedDict, deque

import attrs

from timed.peer import limits
from timed.peer.encoder import Encoded
from timed.wire.message import Priority

_PROGRESS_BYTES = 32 * 1024
"""This much in one extension is a long answer arriving, not the usual chatter."""


class Patience:
    """How long an answer of one class may take."""

    __slots__ = ("_deviation", "_mean", "_timeouts")

    def __init__(self) -> None:
        self._mean: int | None = None
        self._deviation = 0
        self._timeouts = 0

    def deadline(self) -> int:
        """Microseconds that the next request is given."""
        if self._mean is None:
            base = limits.REQUEST_DEADLINE_FIRST
        else:
            base = 2 * self._mean + 4 * self._deviation
        base = max(limits.REQUEST_DEADLINE_MIN, base) << self._timeouts
        return min(limits.REQUEST_DEADLINE_MAX, base)

    def answered(self, elapsed: int) -> None:
        self._timeouts = 0
        if self._mean is None:
            self._mean, self._deviation = elapsed, elapsed // 2
            return
        self._deviation += (abs(elapsed - self._mean) - self._deviation) // 4
        self._mean += (elapsed - self._mean) // 8

    def expired(self) -> None:
        self._timeouts = min(self._timeouts + 1, 5)


@attrs.define
class _Pending:
    """A request in flight."""

    reply: str
    patience: Patience
    sent_at: int
    deadline: int
    received: int
    """Bytes the session had received when the deadline was set."""


class Match(enum.Enum):
    """What a reply is to the requests of this session."""

    ASKED = "asked"
    LATE = "late"
    """Its request has expired: whoever asked has been told so."""
    UNASKED = "unasked"
    WRONG = "wrong"
    """An answer of another type than the request allows."""


class Requests:
    """The requests of one session."""

    def __init__(self, window: int) -> None:
        self._window = window
        self._flying: dict[int, _Pending] = {}
        self._backlog: deque[tuple[int, str, Priority, Encoded]] = deque()
        self._late: OrderedDict[int, tuple[Patience, int]] = OrderedDict()
        self._patience: dict[Priority, Patience] = {}

    def __len__(self) -> int:
        return len(self._flying) + len(self._backlog)

    def ask(self, request_id: int, reply: str, priority: Priority, encoded: Encoded) -> bool:
        """Take a request to be sent when the window allows; False when too many wait."""
        if len(self._backlog) >= limits.REQUEST_BACKLOG:
            return False
        self._backlog.append((request_id, reply, priority, encoded))
        return True

    def send(self, now: int, received: int) -> list[Encoded]:
        """The requests that leave now; their deadlines begin."""
        leaving = []
        while self._backlog and len(self._flying) < self._window:
            request_id, reply, priority, encoded = self._backlog.popleft()
            patience = self._patience.setdefault(priority, Patience())
            deadline = now + patience.deadline()
            self._flying[request_id] = _Pending(reply, patience, now, deadline, received)
            leaving.append(encoded)
        return leaving

    def expects(self, request_id: int) -> bool:
        """True while an answer to this request is waited for."""
        return request_id in self._flying

    def awaits(self, name: str) -> bool:
        """True while an answer of this type may come, be it late."""
        return bool(self._late) or any(pending.reply == name for pending in self._flying.values())

    def match(self, request_id: int, name: str, now: int) -> Match:
        """Account for a reply."""
        pending = self._flying.get(request_id)
        if pending is None:
            late = self._late.pop(request_id, None)
            if late is None:
                return Match.UNASKED
            patience, sent_at = late
            patience.answered(now - sent_at)
            return Match.LATE
        if pending.reply != name:
            return Match.WRONG
        del self._flying[request_id]
        pending.patience.answered(now - pending.sent_at)
        return Match.ASKED

    def next_deadline(self) -> int | None:
        return min((pending.deadline for pending in self._flying.values()), default=None)

    def expire(self, now: int, received: int) -> list[int]:
        """The requests whose deadline has passed; `received` is the session's count of bytes."""
        expired = []
        for request_id, pending in list(self._flying.items()):
            if now < pending.deadline:
                continue
            last = pending.sent_at + limits.REQUEST_DEADLINE_MAX
            if received - pending.received >= _PROGRESS_BYTES and now < last:
                pending.deadline = min(last, now + limits.PROGRESS_EXTENSION)
                pending.received = received
                continue
            del self._flying[request_id]
            pending.patience.expired()
            self._late[request_id] = (pending.patience, pending.sent_at)
            if len(self._late) > limits.LATE_REPLIES:
                self._late.popitem(last=False)
            expired.append(request_id)
        return expired

    def abandon(self) -> list[int]:
        """Every request that was not answered, oldest first; the session is over."""
        ids = [*self._flying, *(request_id for request_id, *_ in self._backlog)]
        self._flying.clear()
        self._backlog.clear()
        return ids


class Served:
    """Requests of the peer that this node has not answered yet."""

    def __init__(self, bound: int = limits.SERVED_REQUESTS) -> None:
        self._bound = bound
        self._open: dict[int, int] = {}
        """When each was accepted, oldest first."""

    def __len__(self) -> int:
        return len(self._open)

    def accept(self, request_id: int, now: int) -> bool:
        """False when too many are open; those that whoever asked has given up do not count."""
        while len(self._open) >= self._bound:
            old, at = next(iter(self._open.items()))
            if now - at < limits.REQUEST_DEADLINE_FIRST:
                return False
            del self._open[old]
        self._open.pop(request_id, None)
        self._open[request_id] = now
        return True

    def answered(self, request_id: int) -> None:
        self._open.pop(request_id, None)
