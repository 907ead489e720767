"""What waits to be written to one peer: five classes, one link, bounded (protocol §5).

Within a class messages leave in the order they came. Between classes the more
urgent goes first, except that a class that waits is owed its share of every
byte written. A debt worth a frame is paid in a turn of 16 KiB at most, and
between two such turns the most urgent has one. So a vote waits for one turn at
most, and no class gets less than its share.

A message is encoded and cut into frames once, whatever the number of peers
(`Parcel`), and counted once against the bound for all peers (`Budget`). A long one
for one peer is cut as its frames leave, so that no turn cuts four MiB.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice

import attrs

from timed.peer import limits
from timed.peer.traffic import Flush, Traffic
from timed.wire.framing import Pieces
from timed.wire.message import Priority

SHARES = {
    Priority.CONTROL: 10,
    Priority.CONSENSUS: 30,
    Priority.TRANSACTIONS: 15,
    Priority.QUERIES: 12,
    Priority.BULK: 12,
}
"""Percent of the bytes written that a class is owed while it waits; at least a tenth each."""

_PRIORITIES = tuple(Priority)
_DEBT_MAX = 2 * limits.LARGEST_FRAME * 100


class Admission(enum.Enum):
    """What became of a message that was handed to an outbox."""

    QUEUED = "queued"
    DROPPED = "dropped"
    """Unsolicited gossip without room: it is gone, and counted."""
    OVERFLOW = "overflow"
    """There is no room for something that must not be lost: the session has to end."""


class Parcel:
    """One message as frames, shared by every outbox that sends it."""

    __slots__ = (
        "_joined", "frames", "gossip", "holders", "lengths", "name", "packed", "priority", "size", "whole",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        priority: Priority,
        frames: Sequence[bytes],
        gossip: bool,
        *,
        whole: bool = False,
        packed: tuple[int, int] = (0, 0),
    ) -> None:
        self.name = name
        self.priority = priority
        self.frames = frames
        self.lengths = frames.lengths if isinstance(frames, Pieces) else tuple(map(len, frames))
        """Of the frames, which may be cut when they leave."""
        self.size = sum(self.lengths)
        self.gossip = gossip
        """True for what a peer can do without: unsolicited and relayed by others, too."""
        self.whole = whole
        """True for pieces between which nothing else may stand."""
        self.packed = packed
        """Bytes of a compressed payload, before and after."""
        self.holders = 0
        self._joined: tuple[int, int, bytes] = (0, 0, b"")

    def cut(self) -> None:
        """Cut all frames now: several outboxes will take them."""
        self.frames = tuple(self.frames)

    def piece(self, start: int, count: int) -> bytes:
        """So many frames in one piece; outboxes that keep step share it."""
        if count == 1:
            return self.frames[start]
        begun, frames, data = self._joined
        if (begun, frames) != (start, count):
            data = b"".join(self.frames[start : start + count])
            if self.holders > 1:
                self._joined = (start, count, data)
        return data


class Budget:
    """The bytes that all outboxes of a process hold."""

    __slots__ = ("held", "limit")

    def __init__(self, limit: int = limits.TOTAL_QUEUE_BYTES) -> None:
        self.limit = limit
        self.held = 0

    @property
    def exceeded(self) -> bool:
        return self.held > self.limit

    def hold(self, parcel: Parcel) -> None:
        if not parcel.holders:
            self.held += parcel.size
        parcel.holders += 1
        if parcel.holders == 2:
            parcel.cut()

    def release(self, parcel: Parcel) -> None:
        parcel.holders -= 1
        if not parcel.holders:
            self.held -= parcel.size


class _Lane:
    """One class: the messages that wait, and how far the first is written."""

    __slots__ = ("debt", "frame", "parcels", "share", "since")

    def __init__(self, share: int) -> None:
        self.share = share
        self.parcels: deque[Parcel] = deque()
        self.since: deque[int] = deque()
        """When each of them was queued."""
        self.frame = 0
        """Frames of the first parcel that were written."""
        self.debt = 0
        """Hundredths of a byte that the class is owed."""

    def first(self) -> int:
        """The size of the frame that leaves next; the lane must not be empty."""
        return self.parcels[0].lengths[self.frame]

    def run(self, room: int) -> tuple[int, int]:
        """How many frames of the first message fit into `room` bytes, and their size."""
        count = size = 0
        for length in islice(self.parcels[0].lengths, self.frame, None):
            if size + length > room:
                break
            size += length
            count += 1
        return count, size


@attrs.frozen
class Queue:
    """What waits in one class."""

    priority: Priority
    messages: int
    bytes: int
    """Not written yet."""
    age: int
    """Microseconds since the oldest was queued; 0 when nothing waits."""


def merged(queues: Iterable[Queue]) -> list[Queue]:
    """The queues of several peers as one of each class."""
    found = []
    waiting = list(queues)
    for priority in _PRIORITIES:
        mine = [queue for queue in waiting if queue.priority is priority]
        found.append(
            Queue(
                priority,
                sum(queue.messages for queue in mine),
                sum(queue.bytes for queue in mine),
                max((queue.age for queue in mine), default=0),
            )
        )
    return found


class Outbox:
    """The queue of one session. Every method is constant in time but for what it moves."""

    def __init__(
        self,
        budget: Budget,
        limit: int = limits.PEER_QUEUE_BYTES,
        *,
        urgent_limit: int = limits.URGENT_QUEUE_BYTES,
        traffic: Traffic | None = None,
        batching: bool = True,
        priorities: bool = True,
    ) -> None:
        """What leaves and what is dropped is counted in `traffic`.

        Without `batching` a write has one message at the most; without `priorities`
        all stand in the last lane.
        """
        self.batching = batching
        self._priorities = priorities
        self._budget = budget
        self.limit = limit
        """Bytes of transactions, queries and bulk that may wait."""
        self._urgent_limit = urgent_limit
        self._traffic = Traffic() if traffic is None else traffic
        self._lanes = tuple(_Lane(SHARES[priority]) for priority in _PRIORITIES)
        self._control = self._lanes[Priority.CONTROL]
        self._busy = 0
        """Lanes that are not empty."""
        self._paying: _Lane | None = None
        """The lane whose debt is being paid, None while the most urgent has its turn."""
        self._turn = limits.LARGEST_FRAME
        """Bytes left of the turn."""
        self._broken: _Lane | None = None
        """The lane whose first message must go on before anything else."""
        self._since: int | None = None
        self._since_urgent: int | None = None
        self._hold = 0
        """How long a busy link gathers, from the time its transport takes to drain."""
        self._written_at: int | None = None
        self.waiting = 0
        """Bytes of messages of which nothing was written yet, control and consensus left out: what
        the bound is about."""
        self.waiting_urgent = 0
        """The same of control and consensus, which have a bound of their own."""
        self.queued = 0
        """Bytes that are not written yet, the rest of messages under way included."""
        self.ahead = 0
        """Bytes handed to the transport since it last drained."""

    @property
    def dropped(self) -> int:
        """Messages of gossip that found no room."""
        return self._traffic.dropped

    def push(self, parcel: Parcel, now: int) -> Admission:
        """Queue a message at the end of its class."""
        urgent = parcel.priority <= Priority.CONSENSUS
        if urgent:
            if self.waiting_urgent and self.waiting_urgent + parcel.size > self._urgent_limit:
                return Admission.OVERFLOW
            self.waiting_urgent += parcel.size
        else:
            refused = self._make_room(parcel)
            if refused is not None:
                return refused
            self.waiting += parcel.size
        lane = self._lanes[parcel.priority if self._priorities else -1]
        self._busy += not lane.parcels
        lane.parcels.append(parcel)
        lane.since.append(now)
        self._budget.hold(parcel)
        self.queued += parcel.size
        if self._since is None:
            self._since = now
        if parcel.priority is Priority.CONSENSUS and self._since_urgent is None:
            self._since_urgent = now
        return Admission.QUEUED

    def _make_room(self, parcel: Parcel) -> Admission | None:
        """See to it that the bound holds with `parcel`, or say what becomes of it instead."""
        if not self.waiting or self.waiting + parcel.size <= self.limit:
            return None
        if parcel.gossip:
            self._traffic.dropped += 1
            return Admission.DROPPED
        self.shed_gossip(self.waiting + parcel.size - self.limit)
        return Admission.OVERFLOW if self.waiting and self.waiting + parcel.size > self.limit else None

    def shed_gossip(self, size: int) -> int:
        """Drop the oldest waiting gossip until `size` bytes are free; the bytes dropped."""
        freed = 0
        for lane in self._lanes[Priority.TRANSACTIONS :]:
            if freed >= size:
                break
            if not any(parcel.gossip for parcel in lane.parcels):
                continue
            kept: deque[Parcel] = deque()
            since: deque[int] = deque()
            for position, (parcel, at) in enumerate(zip(lane.parcels, lane.since, strict=True)):
                under_way = position == 0 and lane.frame > 0
                if parcel.gossip and not under_way and freed < size:
                    freed += parcel.size
                    self._traffic.dropped += 1
                    self._budget.release(parcel)
                else:
                    kept.append(parcel)
                    since.append(at)
            lane.parcels, lane.since = kept, since
        self._busy = sum(bool(lane.parcels) for lane in self._lanes)
        self.waiting -= freed
        self.queued -= freed
        return freed

    def room(self, *, urgent: bool = False) -> int:
        """Bytes that may be queued before the bound (of control and consensus with `urgent`).

        Bulk replies are made only when there is some.
        """
        if urgent:
            return max(0, self._urgent_limit - self.waiting_urgent)
        return max(0, self.limit - self.waiting)

    def depth(self, priority: Priority) -> int:
        """Messages of a class that are not wholly written."""
        return len(self._lanes[priority].parcels)

    def queues(self, now: int) -> tuple[Queue, ...]:
        """What waits in each class; linear in what waits."""
        found = []
        for priority, lane in zip(_PRIORITIES, self._lanes, strict=True):
            parcels = lane.parcels
            size = sum(parcel.size for parcel in parcels)
            size -= sum(parcels[0].lengths[: lane.frame]) if parcels else 0
            found.append(Queue(priority, len(parcels), size, now - lane.since[0] if parcels else 0))
        return tuple(found)

    def ready_at(self, now: int) -> int | None:
        """When the next write is due: `now`, later, or None (nothing to write, or no room ahead).

        An idle link writes at once. A busy one gathers a batch, for a time that
        follows how long the transport takes to drain; control never waits.
        """
        control = bool(self._control.parcels)
        room = limits.AHEAD_BYTES - (0 if control else limits.CONTROL_AHEAD_BYTES)
        if not self.queued or self.ahead >= room:
            return None
        if not self.ahead or self.queued >= limits.BATCH_BYTES or control or not self.batching:
            return now
        due = now if self._since is None else self._since + self._hold
        if self._since_urgent is not None:
            due = min(due, self._since_urgent + min(self._hold, limits.HOLD_MAX_URGENT))
        return max(now, due)

    def take(self, now: int, room: int | None = None) -> bytes:
        """The next write: whole frames, as many as fit ahead of the network (or into `room` bytes)."""
        room = limits.AHEAD_BYTES - self.ahead if room is None else room
        rule = self._rule()
        frames: list[bytes] = []
        total = 0
        while self.queued:
            lane = self._broken or self._next_lane()
            if self._busy == 1 and self.batching and not lane.parcels[0].whole:
                kept = 0 if lane is self._control else limits.CONTROL_AHEAD_BYTES
                count, size = lane.run(room - kept - total)
                if not count:
                    break
                frames.append(lane.parcels[0].piece(lane.frame, count))
                total += size
                self._written(lane, size, count)
                continue
            size = lane.first()
            if self._broken is None and room - total - size < limits.CONTROL_AHEAD_BYTES:
                lane = self._control
                if not lane.parcels:
                    break
                size = lane.first()
            if total + size > room:
                break
            frames.append(lane.parcels[0].piece(lane.frame, 1))
            total += size
            self._written(lane, size)
            if not self.batching and not lane.frame:
                break
        if not total:
            return b""
        self._traffic.count_write(rule, total)
        self.ahead += total
        if self._written_at is None:
            self._written_at = now
        self._since = now if self.queued else None
        self._since_urgent = now if self._lanes[Priority.CONSENSUS].parcels else None
        return frames[0] if len(frames) == 1 else b"".join(frames)

    def _rule(self) -> Flush:
        """Why a write leaves now."""
        if not self.batching:
            return Flush.SINGLE
        if not self.ahead:
            return Flush.IDLE
        if self._control.parcels:
            return Flush.CONTROL
        return Flush.FULL if self.queued >= limits.BATCH_BYTES else Flush.DEADLINE

    def drained(self, now: int) -> None:
        """The transport has room again for everything that may be ahead of the network."""
        self.ahead = 0
        if self._written_at is not None:
            half = (now - self._written_at) // 2
            self._hold = min(limits.HOLD_MAX, (self._hold + half) // 2)
            self._written_at = None

    def stalled_since(self) -> int | None:
        """When the oldest write was handed over that the transport has not drained, or None."""
        return self._written_at

    def clear(self) -> None:
        """Forget everything that waits; the session ends."""
        for lane in self._lanes:
            for parcel in lane.parcels:
                self._budget.release(parcel)
            lane.parcels.clear()
            lane.since.clear()
            lane.frame = 0
            lane.debt = 0
        self.waiting = self.waiting_urgent = self.queued = self._busy = 0
        self._since = self._since_urgent = self._broken = None

    @property
    def broken(self) -> bool:
        """True while something is written of a message that nothing may stand in the middle of."""
        return self._broken is not None

    def _next_lane(self) -> _Lane:
        """The lane whose first frame leaves next; call it only while something is queued."""
        urgent = next(lane for lane in self._lanes if lane.parcels)
        if self._busy == 1:
            return urgent
        paying = self._paying
        if paying is not None and paying.parcels:
            size = paying.first()
            if size <= self._turn and paying.debt >= 100 * size:
                return paying
        if paying is not None or urgent.first() <= self._turn:
            return urgent
        owed, most = urgent, 0
        for lane in self._lanes:
            if lane.debt > most and lane.parcels and lane.debt >= 100 * lane.first():
                owed, most = lane, lane.debt
        return owed

    def _written(self, lane: _Lane, size: int, count: int = 1) -> None:
        """Account for the first frames of `lane` having left; more than one only while it is alone."""
        if self._busy == 1:
            lane.debt = 0
            self._paying = None
            self._turn = limits.LARGEST_FRAME
        else:
            self._share(lane, size)
        parcel = lane.parcels[0]
        if not lane.frame:
            self._traffic.count_packed(*parcel.packed)
            if parcel.priority <= Priority.CONSENSUS:
                self.waiting_urgent -= parcel.size
            else:
                self.waiting -= parcel.size
        lane.frame += count
        self._broken = lane if parcel.whole and lane.frame < len(parcel.lengths) else None
        self.queued -= size
        self._traffic.count_sent(parcel.name, size, count)
        if lane.frame == len(parcel.lengths):
            lane.parcels.popleft()
            lane.since.popleft()
            lane.frame = 0
            self._budget.release(parcel)
            if not lane.parcels:
                lane.debt = 0
                self._busy -= 1

    def _share(self, lane: _Lane, size: int) -> None:
        """A frame of `lane` left while others wait: what is owed to whom, and whose turn it is."""
        waiting = [other for other in self._lanes if other.parcels]
        for other in waiting:
            other.debt = min(_DEBT_MAX, other.debt + other.share * size)
        lane.debt = max(0, lane.debt - 100 * size)
        paying = None if lane is waiting[0] else lane
        if paying is not self._paying or size > self._turn:
            self._paying = paying
            self._turn = limits.LARGEST_FRAME
        self._turn -= size
