"""One session with one peer, for both directions: bytes in, events out; parcels in, bytes out.

    GREETING ──their handshake accepted──► ACCEPTED ──their Ack──► OPEN
        └────────────────────┴──────── Goodbye, error, silence ──────┴──► CLOSED

A session sends its Handshake before anything else. Both sides acknowledge the
other's or say Goodbye with a reason. It is open for a side that has accepted
and was accepted; so whatever arrives after the Ack belongs to an open session.
Times are steady microseconds (`timed.peer.clock`).
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from timed.errors import LocalError, RemoteError
from timed.events import Pause, PeerMessage, Resume
from timed.params import WIRE_VERSION_MIN
from timed.peer import limits
from timed.peer.clock import SteadyClock
from timed.peer.dialect import Dialect
from timed.peer.encoder import Encoded, Encoder, Form, form_of
from timed.peer.greeting import Claim
from timed.peer.intake import Arrival, Intake, Lanes
from timed.peer.liveness import Liveness
from timed.peer.outbox import Admission, Budget, Outbox
from timed.peer.pings import Pings
from timed.peer.rates import Allowance, Rates
from timed.peer.requests import Match, Requests, Served
from timed.peer.retention import reference
from timed.peer.session_events import Accepted, Acknowledged, Conducted, Farewell, Greeted, SessionEvent
from timed.peer.traffic import UNKNOWN, Traffic
from timed.peer.values import Incoming, PeerHandle, host_port
from timed.wire import catalogue
from timed.wire.compression import declared_size
from timed.wire.framing import Frame, FrameReader
from timed.wire.jsonlines import LineReader
from timed.wire.message import Direction, Message, MessageType, Priority
from timed.wire.messages import Ack, Goodbye, Handshake, Ping, Pong

if TYPE_CHECKING:
    import random

    from timed.peer.dialing import Target

_REASON_MAX = 32
_DETAIL_MAX = 256


class State(enum.Enum):
    """Where a session stands."""

    GREETING = "greeting"
    ACCEPTED = "accepted"
    OPEN = "open"
    CLOSED = "closed"


class Session:
    """The protocol of one link. The table decides who is accepted and who stays."""

    version = WIRE_VERSION_MIN
    """The wire version of the session, once both sides have greeted."""
    features = 0
    """What both sides can do."""

    def __init__(
        self,
        link: int,
        *,
        outbound: bool,
        peer_id: bytes | None,
        host: str,
        port: int,
        magic: bytes,
        checksum: bool,
        encoder: Encoder,
        budget: Budget,
        rates: Rates,
        intake: Intake,
        entropy: random.Random,
        clock: SteadyClock,
        dialect: Dialect,
        tell: Callable[[PeerMessage], None],
    ) -> None:
        """`tell` hears of each message, if `dialect` says so."""
        self.link = link
        self.outbound = outbound
        self.peer_id = peer_id
        """Whom the transport authenticated; None on a plain link."""
        self.host = host
        self.port = port
        self.state = State.GREETING
        self.traffic = Traffic()
        self.outbox = Outbox(
            budget, traffic=self.traffic, batching=dialect.batching, priorities=dialect.priorities
        )
        self.lanes = Lanes(intake, self)
        self.paused = False
        """The link is not read at the moment."""
        self.requests = Requests(1)
        self.served = Served()
        self.ours: Handshake | None = None
        self.theirs: Handshake | None = None
        self.handle: PeerHandle | None = None
        self.target: Target | None = None
        self.overflowed = False
        """Something that must not be lost found no room: the table closes the session."""
        self.opened_at = 0
        self.opened_host_time = 0
        self.sent_at = now = clock.time
        self.operator: bytes | None = None
        """The operator key the peer proved to hold."""
        self.reason = ""
        """Why it was closed."""
        self.detail = ""
        self._form = Form(checksum)
        self._tell = tell if dialect.tell_messages else None
        self._encoder = encoder
        self._clock = clock
        self._costs = intake.costs
        self.life = Liveness(Pings(entropy, clock, self.traffic), now)
        self._frames = FrameReader(magic, limit_for=self._limit_for, checksum=checksum)
        self._reader: FrameReader | LineReader = self._frames
        self.allowance = Allowance(rates)
        self._our_reference = self._their_reference = b""
        self._greet_by = now + limits.HANDSHAKE_DEADLINE
        self._unread: list[int] = []

    @property
    def node_id(self) -> bytes:
        """Who the peer is, or claims to be; empty while nobody knows."""
        if self.peer_id is not None:
            return self.peer_id
        return b"" if self.theirs is None else self.theirs.node_id

    @property
    def address(self) -> str:
        return host_port(self.host, self.port)

    def claim(self, own: bytes) -> Claim:
        """What the survivor rule needs; both handshakes must have crossed."""
        if self.ours is None or self.theirs is None:
            raise LocalError("a session has no claim before both sides have greeted.")
        dialer = own if self.outbound else self.theirs.node_id
        return Claim(dialer, {own: self.ours.dial, self.theirs.node_id: self.theirs.dial}, self.theirs.boot)

    # Sending.

    def greet(self, handshake: Handshake, now: int) -> None:
        """Send this node's handshake; the first thing on the link."""
        self.ours = handshake
        encoded = self._encoder.encode(handshake)
        self._our_reference = reference(encoded.payload)
        self.send(encoded, now)

    def accept(self, now: int) -> None:
        """Acknowledge the peer's handshake."""
        theirs = self.theirs
        if theirs is None or self.ours is None or self.state is not State.GREETING:
            return
        self.version = min(self.ours.wire_version, theirs.wire_version)
        self.features = self.ours.features & theirs.features
        self.state = State.ACCEPTED
        self.requests = Requests(max(1, min(theirs.window, limits.REQUEST_WINDOW)))
        self.send_message(Ack(Handshake.entry().number, self._their_reference), now)
        self._form = form_of(self._form.checksum, self.features)
        self.lanes.unpack = self._encoder.unpacker(self.features, self.traffic)
        self._frames.judge = None if self.lanes.unpack is None else declared_size

    def knows(self, kind: MessageType) -> bool:
        """True when the session's wire version has messages of this type."""
        return kind.since <= self.version

    def send(self, encoded: Encoded, now: int) -> Admission:
        """Queue an encoded message. OVERFLOW means that the session cannot go on.

        What the session's wire version does not have is withheld, and counted.
        """
        if self.state is State.CLOSED:
            return Admission.DROPPED
        if not self.knows(encoded.kind):
            self.traffic.withheld += 1
            return Admission.DROPPED
        parcel = self._encoder.parcel(encoded, self._form)
        admission = self.outbox.push(parcel, now)
        self.overflowed = self.overflowed or admission is Admission.OVERFLOW
        if admission is Admission.QUEUED:
            sent = self.traffic.sent
            name = encoded.kind.name
            sent[name] = sent.get(name, 0) + 1
            if self._tell is not None:
                self._tell(PeerMessage(self.node_id, self.address, name, parcel.size, True))
            self.allowance.owed += encoded.kind.requires_ack
            if encoded.reply:
                self.served.answered(encoded.request_id)
        return admission

    def send_message(self, message: Message, now: int) -> Admission:
        return self.send(self._encoder.encode(message), now)

    def ask(self, request_id: int, encoded: Encoded, now: int) -> bool:
        """Queue a request, to leave when the peer's window allows.

        False when too many wait, or when the session's wire version does not have it.
        """
        if not self.knows(encoded.kind):
            self.traffic.withheld += 1
            return False
        reply = catalogue.BY_NAME[encoded.kind.reply or ""]
        asked = self.requests.ask(request_id, reply.name, reply.priority, encoded)
        self.send_requests(now)
        return asked

    def send_requests(self, now: int) -> None:
        """Send the requests that the window allows."""
        for encoded in self.requests.send(now, self.traffic.bytes_received):
            self.send(encoded, now)

    def room(self, *, urgent: bool = False) -> int:
        """Bytes of payload that may be queued before the bound (`Outbox.room`); as lines they are more."""
        free = self.outbox.room(urgent=urgent)
        if not self._form.lines or not limits.SPARE_QUEUE_BYTES < free < limits.PEER_QUEUE_BYTES:
            return free
        return limits.SPARE_QUEUE_BYTES + (free - limits.SPARE_QUEUE_BYTES) // limits.LINE_SHARE

    def writes(self, now: int) -> Iterator[bytes]:
        """What is due to be written: at most one write, unless batching is off."""
        while True:
            ready = self.outbox.ready_at(now)
            data = self.outbox.take(now) if ready is not None and ready <= now else b""
            if data:
                self.sent_at = now
                yield data
            if self.outbox.batching or not data:
                return

    def farewell(self, reason: str, detail: str, now: int) -> bytes:
        """The last write: what still fits ahead of the network, then Goodbye.

        Unless that ends in the middle of a line, which nothing can be told behind.
        """
        cut = detail.encode("utf-8")[:_DETAIL_MAX].decode("utf-8", "ignore")
        encoded = self._encoder.encode(Goodbye(reason[:_REASON_MAX], cut))
        parcel = self._encoder.parcel(encoded, self._form)
        data = b"".join(iter(lambda: self.outbox.take(now), b""))
        if self.outbox.broken:
            return data
        self.traffic.count_sent(parcel.name, parcel.size)
        return data + b"".join(parcel.frames)

    def close(self, reason: str, detail: str = "") -> None:
        """Nothing is sent or processed any more."""
        self.state = State.CLOSED
        self.reason = reason
        self.detail = detail
        self.outbox.clear()
        self._unread += self.lanes.clear()

    def abandon(self) -> list[int]:
        """The requests whose answers will not be delivered, after `close`."""
        unread, self._unread = self._unread, []
        return [*unread, *self.requests.abandon()]

    # Receiving.

    def receive(self, data: bytes, now: int) -> Iterator[SessionEvent]:
        """Process what the link delivered; RemoteError when the peer broke the protocol.

        Control and consensus become events at once, the rest waits in `lanes` (`work`).
        The caller acts on each event before it asks for the next one.
        """
        self.life.heard(now)
        self.traffic.bytes_received += len(data)
        while data:
            for frame in self._reader.frames(data):
                if self.state is State.CLOSED:
                    return
                event = self._frame(frame, now)
                if event is not None:
                    yield event
            data, self._frames.rest = self._frames.rest, b""
        self.lanes.keep(self._reader.buffered)

    def _limit_for(self, number: int) -> int:
        if self.state is State.GREETING:
            return catalogue.handshake_limit_for(number)
        kind = self._kind_of(number)
        if kind is None:
            return limits.UNKNOWN_TYPE_BYTES
        limit = kind.max_size
        if kind.direction is Direction.REPLY and not self.requests.awaits(kind.name):
            return min(limit, limits.UNKNOWN_TYPE_BYTES)
        return limit

    def _kind_of(self, number: int) -> MessageType | None:
        """The type, unless it is unknown to the session's wire version."""
        kind = catalogue.BY_NUMBER.get(number)
        return kind if kind is not None and self.knows(kind) else None

    def _frame(self, frame: Frame, now: int) -> SessionEvent | None:
        kind = self._kind_of(frame.number)
        name = UNKNOWN if kind is None else kind.name
        self._costs.on(name, self.lanes)
        self.traffic.count_received(name, self._reader.size)
        if self._tell is not None:
            self._tell(PeerMessage(self.node_id, self.address, name, self._reader.size, False))
        if kind is None:
            self.traffic.unknown += 1
            if not self.allowance.take("control", now):
                return self._over_rate("over-rate-control", name, now)
            return Conducted("unknown-type", str(frame.number))
        if self.state is not State.OPEN:
            return self._early(kind, frame, now)
        is_ack, asked = kind.cls is Ack, frame.is_reply and self.requests.expects(frame.request_id)
        solicited = self.allowance.settled() if is_ack else asked
        if not solicited and not self.allowance.take(kind.bucket, now):
            self._sign_of_life(kind, frame, now)
            is_control = kind.priority is Priority.CONTROL
            return self._over_rate("over-rate-control" if is_control else "over-rate", name, now)
        self.traffic.count_accepted(name)
        if frame.is_reply:
            return self._reply(kind, frame, now)
        if (control := _CONTROL.get(kind.cls)) is not None:
            return control(self, catalogue.decode_message(frame.number, frame.payload), now)
        return self._notice(kind, frame, now)

    def work(self, priority: Priority) -> Iterator[SessionEvent]:
        """Go on with the first message that waits in a lane; RemoteError when it is none."""
        done = self.lanes.step(priority)
        if done is not None and self.handle is not None:
            yield self._incoming(self.handle, *done)

    def _early(self, kind: MessageType, frame: Frame, now: int) -> SessionEvent:
        """A frame before the session is open: Handshake, then Ack, or Goodbye at any time."""
        message = None if frame.expanded else catalogue.decode_message(frame.number, frame.payload)
        self.traffic.count_accepted(kind.name)
        if isinstance(message, Goodbye):
            return Farewell(message.reason, message.detail)
        if isinstance(message, Handshake) and self.theirs is None:
            self.theirs = message
            self._their_reference = reference(frame.payload)
            return Greeted(message)
        if isinstance(message, Ack) and self.state is State.ACCEPTED:
            if message.reference != self._our_reference:
                raise RemoteError("handshake-order", "an Ack for something else")
            self.state = State.OPEN
            self.allowance.settled()
            self.opened_at = now
            self.life.opened(now)
            if self._form.lines:
                self._frames.leave()
                self._reader = LineReader(self._limit_for)
            return Accepted()
        raise RemoteError("handshake-order", f"{kind.name} while {self.state.value}")

    def _reply(self, kind: MessageType, frame: Frame, now: int) -> SessionEvent | None:
        match = self.requests.match(frame.request_id, kind.name, now)
        if match is Match.WRONG:
            raise RemoteError("wrong-reply", kind.name)
        if kind.requires_ack:
            self.send_message(Ack(kind.number, reference(frame.payload)), now)
        if match is not Match.ASKED and kind.direction is Direction.NOTICE_OR_REPLY:
            return self._arrived(Arrival(kind, frame.payload, 0, False))
        if match is not Match.ASKED:
            return Conducted("late-reply" if match is Match.LATE else "unsolicited-reply", kind.name)
        self.send_requests(now)
        return self._arrived(Arrival(kind, frame.payload, frame.request_id, True, frame.expanded))

    def _notice(self, kind: MessageType, frame: Frame, now: int) -> SessionEvent | None:
        if kind.direction is Direction.REPLY:
            return Conducted("unsolicited-reply", kind.name)
        if now < self.allowance.throttled_until and kind.priority > Priority.CONSENSUS:
            self.traffic.over_rate += 1
            return None
        request_id = frame.request_id if kind.direction is Direction.REQUEST else 0
        if request_id and not self.served.accept(request_id, now):
            return Conducted("request-window", kind.name)
        if kind.requires_ack:
            self.send_message(Ack(kind.number, reference(frame.payload)), now)
        return self._arrived(Arrival(kind, frame.payload, request_id, False))

    def _arrived(self, arrival: Arrival) -> SessionEvent | None:
        """Decode what is urgent; let the rest wait for its turn."""
        if arrival.kind.is_high_priority:
            message = arrival.decode()
            return None if self.handle is None else self._incoming(self.handle, arrival, message)
        self.lanes.put(arrival)
        return None

    @staticmethod
    def _incoming(handle: PeerHandle, arrival: Arrival, message: Message) -> Incoming:
        return Incoming(handle, message, arrival.request_id, arrival.is_reply)

    def _sign_of_life(self, kind: MessageType, frame: Frame, now: int) -> None:
        """Too many or not: a pong that is awaited counts, and a ping a second is answered."""
        awaited = kind.cls is Pong and self.life.awaits_pong
        if awaited or (kind.cls is Ping and self.allowance.spares_ping(now)):
            _CONTROL[kind.cls](self, catalogue.decode_message(frame.number, frame.payload), now)

    def _over_rate(self, event: str, name: str, now: int) -> SessionEvent | None:
        """One report a second: a flood is one offence, not a thousand."""
        self.traffic.over_rate += 1
        return Conducted(event, name) if self.allowance.exceeded(event, now) else None

    def _on_handshake(self, message: Message, now: int) -> SessionEvent | None:
        raise RemoteError("handshake-order", "a second Handshake")

    def _on_goodbye(self, message: Message, now: int) -> SessionEvent | None:
        return Farewell(message.reason, message.detail) if isinstance(message, Goodbye) else None

    def _on_ack(self, message: Message, now: int) -> SessionEvent | None:
        return Acknowledged(message.number, message.reference) if isinstance(message, Ack) else None

    def _on_ping(self, message: Message, now: int) -> SessionEvent | None:
        if isinstance(message, Ping):
            self.send_message(Pong(message.nonce, self._clock.wall), now)
        return None

    def _on_pong(self, message: Message, now: int) -> SessionEvent | None:
        known = isinstance(message, Pong) and self.life.pong(message, now)
        return None if known else Conducted("unknown-pong", "")

    def regulate(self, now: int) -> tuple[Pause | Resume, ...]:
        """Stop the reading of a link whose messages are not worked off, or thrown away for being too many."""
        excess = self.allowance.holds_back(now)
        if self.paused and self.lanes.has_room and not excess:
            self.paused = False
            self.life.read_again(now)
            return (Resume(self.link),)
        if not self.paused and (self.lanes.full or excess) and self.state is not State.CLOSED:
            self.paused = True
            self.life.not_read(now)
            self.traffic.pauses += 1
            return (Pause(self.link),)
        return ()

    # Time.

    def throttle(self, now: int) -> None:
        """Leave its requests and its gossip unread for a while."""
        self.allowance.throttled_until = now + limits.THROTTLE_TIME

    def ping(self, now: int) -> bool:
        """Ask for a pong; False when as many are awaited as may be."""
        ping = self.life.ping(now)
        if ping is not None:
            self.send_message(ping, now)
        return ping is not None

    def probe(self, now: int) -> None:
        """Ask for a sign of life, and close soon when there is none."""
        if self.state is State.OPEN and self.life.probed(now):
            self.ping(now)

    def deadline(self) -> int | None:
        """When `tick` is to be called next; None for a closed session."""
        if self.state is State.CLOSED:
            return None
        if self.state is not State.OPEN:
            return self._greet_by
        stalled = self.outbox.stalled_since()
        times = (
            self.life.deadline(),
            None if stalled is None else stalled + limits.STALL_LIMIT,
            self.requests.next_deadline(),
            self.allowance.excess_until,
        )
        return min(time for time in times if time is not None)

    def tick(self, now: int) -> str | None:
        """Ping when it is time; the reason to close the session, if there is one."""
        if self.state is State.CLOSED:
            return None
        if self.state is not State.OPEN:
            return "handshake-timeout" if now >= self._greet_by else None
        lost = self.life.lost(now)
        if lost is not None:
            return lost
        stalled = self.outbox.stalled_since()
        if stalled is not None and now - stalled >= limits.STALL_LIMIT:
            return "stalled"
        if self.life.unanswered(now):
            return "no-pong"
        if self.life.pings_now(now):
            self.ping(now)
        return None


_CONTROL: dict[type[Message], Callable[[Session, Message, int], SessionEvent | None]] = {
    Handshake: Session._on_handshake,
    Ack: Session._on_ack,
    Goodbye: Session._on_goodbye,
    Ping: Session._on_ping,
    Pong: Session._on_pong,
}
