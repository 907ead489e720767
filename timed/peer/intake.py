"""What was received and is not decoded yet: one lane a class and session, worked off in turns (protocol §5).

Control and consensus never wait here. Of the other classes a turn decodes as much as
its budget allows; between classes the one that has had least for its share goes next,
within a class one session after the other. A lane keeps the order of arrival.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING

import attrs

from timed.codec.runtime import STRIDE
from timed.peer import limits
from timed.peer.costs import Costs
from timed.peer.outbox import SHARES
from timed.wire import catalogue
from timed.wire.message import Message, MessageType, Priority

if TYPE_CHECKING:
    from timed.peer.session import Session
    from timed.peer.session_events import SessionEvent

_PRIORITIES = tuple(Priority)


@attrs.define(eq=False)
class Arrival:
    """A message whose bytes are there."""

    kind: MessageType
    payload: bytes
    request_id: int
    """Of a request that wants an answer or of an answer that was asked for; else 0."""
    is_reply: bool
    expanded: int = 0
    """Bytes of a payload that is compressed still; it is expanded when its turn has come."""
    decoded: int = 0
    """Bytes of the payload that are decoded."""
    _steps: Generator[int, None, Message] | None = None

    @property
    def size(self) -> int:
        """Bytes of the payload, expanded."""
        return self.expanded or len(self.payload)

    def decode(self) -> Message:
        """The message; DecodeError as `catalogue.decode_message` raises it."""
        return catalogue.decode_message(self.kind.number, self.payload)

    def step(self) -> Message | None:
        """Decode some more of a long message: the message when that was all, and `decode`'s errors."""
        if self._steps is None:
            if len(self.payload) <= STRIDE:
                self.decoded = len(self.payload)
                return self.decode()
            self._steps = catalogue.decode_in_steps(self.kind.number, self.payload)
        try:
            self.decoded = next(self._steps)
        except StopIteration as done:
            self.decoded = len(self.payload)
            message: Message = done.value
            return message
        return None


class Intake:
    """The lanes of all sessions, and who is next."""

    def __init__(self, budget: int = limits.TURN_COST, limit: int = limits.TOTAL_INTAKE_BYTES) -> None:
        self.bytes = 0
        """Payloads that wait, of all sessions."""
        self.costs = Costs()
        """What the messages of all sessions cost."""
        self.incomplete = 0
        """Bytes kept of messages that are not complete, of all sessions."""
        self.relieved = 0
        """Sessions that ended because this was too much."""
        self.turns = 0
        """Turns that left work to the next one."""
        self._budget = budget
        self._limit = limit
        self._left = self._bulk_left = budget
        self._rings: tuple[deque[Lanes], ...] = tuple(deque() for _ in _PRIORITIES)
        """Per class the sessions in whose lane something waits; the first is next."""
        self._had = [0] * len(_PRIORITIES)
        """Per class what it has had, divided by its share; only differences mean something."""

    @property
    def waiting(self) -> bool:
        """True while a lane is not empty."""
        return any(self._rings)

    @property
    def exceeded(self) -> bool:
        """True when all sessions together hold more than they should."""
        return self.bytes > self._limit

    def begin_turn(self) -> None:
        """The host has looked after its sockets: there is a budget again."""
        self.turns += self._left <= 0 and self.waiting
        self._left = self._bulk_left = self._budget

    def reading(self) -> None:
        """Bytes arrived in this turn: what is read comes before what is long."""
        self._bulk_left = min(self._bulk_left, limits.READING_BULK_COST)

    def enter(self, lanes: Lanes, priority: Priority) -> None:
        """A lane of a session is not empty any more."""
        ring = self._rings[priority]
        if not ring:
            floor = min((had for had, ring in zip(self._had, self._rings, strict=True) if ring), default=0)
            self._had[priority] = max(self._had[priority], floor)
        ring.append(lanes)

    def stay(self, lanes: Lanes, priority: Priority) -> None:
        """The lane that was next is not empty yet: it is the last now."""
        self._rings[priority].append(lanes)

    def next(self) -> tuple[Lanes, Priority] | None:
        """Whose first message is decoded next; None when nothing waits or the turn has done enough.

        It leaves its place; `Lanes.step` puts it back at the end when more waits there.
        """
        if self._left <= 0:
            return None
        waiting = [priority for priority in _PRIORITIES if self._rings[priority]]
        if self._bulk_left <= 0 and waiting and waiting[-1] is Priority.BULK:
            del waiting[-1]
        if not waiting:
            return None
        priority = min(waiting, key=self._had.__getitem__)
        return self._rings[priority].popleft(), priority

    def work(self, act: Callable[[Session, Iterator[SessionEvent]], None]) -> None:
        """Let `act` execute what the messages are that this turn decodes."""
        while (due := self.next()) is not None:
            lanes, priority = due
            act(lanes.session, lanes.session.work(priority))

    def spend(self, priority: Priority, cost: int) -> None:
        """Charge work to the turn and to a class."""
        self._left -= cost
        if priority is Priority.BULK:
            self._bulk_left -= cost
        self._had[priority] += 100 * cost // SHARES[priority]


class Lanes:
    """What waits of one session."""

    __slots__ = ("_intake", "_queues", "bytes", "incomplete", "messages", "session", "spent_ns", "unpack")

    def __init__(self, intake: Intake, session: Session) -> None:
        self._intake = intake
        self._queues: tuple[deque[Arrival], ...] = tuple(deque() for _ in _PRIORITIES)
        self.session = session
        self.bytes = 0
        self.messages = 0
        self.incomplete = 0
        """Bytes kept of messages that are not complete."""
        self.spent_ns = 0
        """CPU time on the messages of this session, while somebody lends a clock (`timed.peer.costs`)."""
        self.unpack: Callable[[bytes, int], bytes] | None = None
        """Expands a compressed payload to at most so many bytes; None while none may come."""

    @property
    def owner(self) -> bytes | None:
        """Whose node id the transport or the greeting has told."""
        session = self.session
        return session.peer_id if session.handle is None else session.handle.node_id

    def keep(self, size: int) -> None:
        """So much of incomplete messages is kept now."""
        self._intake.incomplete += size - self.incomplete
        self.incomplete = size

    @property
    def full(self) -> bool:
        """True when its link should not be read until some of this is worked off."""
        if self.bytes > limits.INTAKE_BYTES or self.messages > limits.INTAKE_MESSAGES:
            return True
        return self._intake.exceeded and self.bytes > limits.INTAKE_LEAST_BYTES

    @property
    def has_room(self) -> bool:
        """True when a link that was not read may be read again; later than `full` ends."""
        return (
            2 * self.bytes <= limits.INTAKE_BYTES
            and 2 * self.messages <= limits.INTAKE_MESSAGES
            and not self.full
        )

    def put(self, arrival: Arrival) -> None:
        """To the end of its class. Nothing that has arrived is refused: `full` stops the reading."""
        priority = arrival.kind.priority
        queue = self._queues[priority]
        if not queue:
            self._intake.enter(self, priority)
        queue.append(arrival)
        self.messages += 1
        self.bytes += arrival.size
        self._intake.bytes += arrival.size

    def step(self, priority: Priority) -> tuple[Arrival, Message] | None:
        """Go on with the first message of a class; None when it is not wholly decoded.

        Nothing is there when the lanes were cleared meanwhile.
        """
        queue = self._queues[priority]
        if not queue:
            return None
        arrival = queue[0]
        self._intake.costs.on(arrival.kind.name, self)
        if arrival.expanded and self.unpack is not None:
            self._expand(arrival, self.unpack)
        before = arrival.decoded
        try:
            message = arrival.step()
        finally:
            self._intake.spend(priority, max(0, arrival.decoded - before))
        if message is not None:
            self._intake.spend(priority, limits.MESSAGE_COST[priority])
            queue.popleft()
            self.messages -= 1
            self.bytes -= arrival.size
            self._intake.bytes -= arrival.size
        if queue:
            self._intake.stay(self, priority)
        return None if message is None else (arrival, message)

    def _expand(self, arrival: Arrival, unpack: Callable[[bytes, int], bytes]) -> None:
        """Expand the payload that is decoded next, at its class's expense; no other of the lane is."""
        self._intake.spend(arrival.kind.priority, arrival.expanded // limits.EXPANDED_PER_COST)
        arrival.payload, arrival.expanded = unpack(arrival.payload, arrival.expanded), 0

    def clear(self) -> list[int]:
        """Forget everything; the requests whose answers were among it."""
        unread = [arrival.request_id for queue in self._queues for arrival in queue if arrival.is_reply]
        for queue in self._queues:
            queue.clear()
        self._intake.bytes -= self.bytes
        self.bytes = self.messages = 0
        self.keep(0)
        return unread
