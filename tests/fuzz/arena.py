"""One peer table among strangers who do anything, and what must hold whatever they do.

Every method is one step: a call of the table as a host makes it. After each step
`check` looks at the table and at everything it said and did. The steps are driven by
hypothesis (`tests.test_fuzz_session`) or by the bytes of a fuzz target.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Iterator
from typing import Any

import attrs
import zstandard

from tests.fuzz.damage import scribbled
from tests.layout_strategies import sample
from tests.peer_harness import Host, Wire, identity, key, link_state
from timed.codec import interpret
from timed.crypto.keys import SigningKey
from timed.errors import DecodeError
from timed.events import Close, Dial, Pause, Resume
from timed.params import REGTEST, SECOND, NetworkParams
from timed.peer import greeting, limits
from timed.peer.dialect import Dialect, Feature
from timed.peer.rates import Stock
from timed.peer.retention import reference
from timed.peer.session import State
from timed.peer.values import Closed, Incoming, Opened, RequestFailed
from timed.primitives.transaction import OutPoint
from timed.wire.catalogue import BY_NAME, BY_NUMBER, MAX_MESSAGE_BYTES, MESSAGES, decode_message, limit_for
from timed.wire.compression import Packing
from timed.wire.framing import Frame, FrameReader, frames_of
from timed.wire.jsonlines import LineReader, encode_line
from timed.wire.message import Message, MessageType
from timed.wire.messages import (
    Ack,
    Goodbye,
    Handshake,
    PeerAddress,
    PeersResponse,
    UTXOState,
    UTXOStateResponse,
)

NODES = 5
"""How many strangers there are, by key."""
LINES = 10
"""Links at one time. The table is told of no more."""
TICKS = 400
"""Wakes in one pause. More of them would be a node that wakes itself for nothing."""
PACKING = Packing()
REQUESTS = tuple(entry for entry in MESSAGES if entry.reply is not None and entry.name != "GetPeers")
"""What the node asks; addresses are asked for, and taken, by the table itself."""


@functools.cache
def stranger_key(number: int) -> SigningKey:
    return key(60 + number % NODES)


@functools.cache
def example(number: int, seed: int = 0) -> Message:
    """A message of this type, always the same for the same seed."""
    entry = BY_NUMBER[number]
    made: Message = interpret.from_plain(entry.layout, sample(entry.layout, f"{entry.name}{seed}"))
    return made


@functools.cache
def long_reply(name: str) -> bytes:
    """The encoding of a reply that compression makes shorter, where the type has one."""
    if name == "PeersResponse":
        peers = (
            PeerAddress(node_id=bytes(32), host=f"10.0.0.{n % 250}", port=7, last_seen=n) for n in range(400)
        )
        return PeersResponse(peers=tuple(peers)).encode()
    if name == "UTXOStateResponse":
        coins = (OutPoint(txid=bytes(32), index=index) for index in range(256))
        return UTXOStateResponse(states=tuple(UTXOState(coin, 0, bytes(32)) for coin in coins)).encode()
    return example(BY_NAME[name].number).encode()


class Recorded(Wire):
    """A network that does nothing by itself: dials wait, writes and closes are kept."""

    def __init__(self) -> None:
        super().__init__()
        self.dialled: list[Dial] = []
        self.written: list[tuple[int, bytes]] = []
        self.closed: list[tuple[int, bool]] = []

    def dial(self, source: Host, dial: Dial) -> None:
        self.dialled.append(dial)

    def write(self, link: int, data: bytes) -> None:
        if any(number == link for number, _ in self.closed):
            raise AssertionError(f"link {link} is written after it was closed")
        self.written.append((link, data))

    def close(self, link: int, reason: str, abort: bool) -> None:
        if not reason:
            raise AssertionError("a link is closed without a reason")
        self.closed.append((link, abort))


@attrs.define(eq=False)
class Line:
    """A link as the stranger at its other end sees it."""

    link: int
    number: int
    tls: bool
    outbound: bool
    reader: FrameReader
    greeting: bytes | None = None
    """The payload of the node's handshake."""
    asked: list[tuple[int, MessageType]] = attrs.Factory(list)
    """Requests of the node that wait for an answer."""
    lines: LineReader | None = None
    """Reads what the node writes, once that is lines of JSON."""
    speaks_lines: bool = False
    """The stranger has said its Ack, behind which it writes lines."""
    written: int = 0
    sent: int = 0


class Arena:
    """A table, its strangers, and the account of what they did to each other."""

    def __init__(
        self,
        *,
        discover: bool = False,
        small: bool = False,
        dry_run: bool = False,
        json: bool = False,
        params: NetworkParams = REGTEST,
    ) -> None:
        self.wire = Recorded()
        self.params = params
        self.dialect = Dialect(json=json)
        options: dict[str, Any] = {"discover": discover, "dry_run": dry_run}
        options["identity"] = attrs.evolve(identity(1, params=params), dialect=self.dialect)
        if small:
            options["max_inbound"] = 2
        self.host: Host = self.wire.host(1, wanted=[60, 61], named=False, **options)
        self.table = self.host.table
        self.lines: list[Line] = []
        self.open: dict[int, Opened] = {}
        """By generation."""
        self.requests: set[int] = set()
        """What the node has asked and has no outcome of."""
        self.questions: list[Incoming] = []
        """What peers have asked."""
        self.paused: set[int] = set()
        self._links = 0
        self._dials = 0
        self._ids: set[int] = set()
        self._seen = 0

    # Links.

    def connect(self, number: int, *, tls: bool = True, dialled: bool = False) -> None:
        """A stranger is linked: it has come, or one of the node's dials has reached it."""
        if len(self.lines) >= LINES or (dialled and not self.wire.dialled):
            return
        self._links += 1
        identifier = stranger_key(number).public
        host, port = f"10.0.{number % NODES}.9", 40_000 + self._links
        if dialled:
            dial = self.wire.dialled.pop(0)
            host, port = dial.host, dial.port
            if tls and dial.expected not in (None, identifier):
                self._call(self.table.dial_failed(host, port, "wrong-key", self.wire.now))
                return
        reader = FrameReader(
            self.table.identity.params.magic, limit_for=limit_for, checksum=not tls, unpack=Packing().unpack
        )
        self.lines.append(Line(self._links, number, tls, dialled, reader))
        known = identifier if tls else None
        self._call(self.table.connected(self._links, dialled, known, host, port, self.wire.now))

    def fail_dial(self) -> None:
        """A dial of the node comes to nothing."""
        if self.wire.dialled:
            dial = self.wire.dialled.pop(0)
            self._call(self.table.dial_failed(dial.host, dial.port, "connection-refused", self.wire.now))

    def disconnect(self, at: int) -> None:
        """A link is gone."""
        line = self._line(at)
        if line is not None:
            self.lines.remove(line)
            self._call(self.table.disconnected(line.link, "connection-lost", self.wire.now))

    def drained(self, at: int) -> None:
        """A transport has taken what was written."""
        line = self._line(at)
        if line is not None:
            self.table.drained(line.link, self.wire.now)
            self._call(None)

    # What strangers say.

    def deliver(self, at: int, data: bytes, step: int = 0) -> None:
        """Bytes on a link, whole or in pieces of `step`."""
        line = self._line(at)
        if line is None:
            return
        step = step or max(1, len(data))
        for start in range(0, len(data), step):
            line.sent += len(data[start : start + step])
            self._call(self.table.received(line.link, data[start : start + step], self.wire.now))

    def say(
        self, at: int, number: int, payload: bytes, request: int = 0, *, reply: bool = False, step: int = 0
    ) -> None:
        """A message with any type and payload, in right frames."""
        line = self._line(at)
        if line is not None:
            self.deliver(at, self.frames(line, number, payload, request, reply=reply), step)

    def frames(
        self, line: Line, number: int, payload: bytes, request: int = 0, *, reply: bool = False
    ) -> bytes:
        """The bytes of one message for a link."""
        if line.speaks_lines:
            return self._text(number, payload, request, reply=reply) + b"\n"
        magic = self.table.identity.params.magic
        return b"".join(
            frames_of(magic, number, payload, request_id=request, reply=reply, checksum=not line.tls)
        )

    @staticmethod
    def _text(number: int, payload: bytes, request: int, *, reply: bool) -> bytes:
        """A line for the message; what does not decode is a line as it is."""
        try:
            message = decode_message(number, payload)
        except DecodeError:
            return payload
        return encode_line(message, request_id=request, reply=reply)

    def tell(self, at: int, kind: int, seed: int = 0, request: int = 0, *, reply: bool = False) -> None:
        """A message that decodes."""
        entry = MESSAGES[kind % len(MESSAGES)]
        self.say(at, entry.number, example(entry.number, seed).encode(), request, reply=reply)

    def flood(self, at: int, kind: int, count: int) -> None:
        """The same message many times in one piece, more than a turn works off."""
        line = self._line(at)
        if line is not None:
            entry = MESSAGES[kind % len(MESSAGES)]
            once = self.frames(line, entry.number, example(entry.number).encode(), kind)
            self.deliver(at, once * (1 + count))

    def greet(self, at: int, change: int = 0) -> None:
        """A handshake: an honest one, or one with a field that cannot be accepted, or hardly."""
        line = self._line(at)
        if line is None:
            return
        self._dials += 1
        who = identity(
            60 + line.number % NODES, params=self.params, operator=change == 1, boot=1 + (change == 2)
        )
        theirs = greeting.compose(
            attrs.evolve(who, dialect=self.dialect), self.host.node_id if line.tls else None, not line.outbound, self._dials,
            (change, bytes(32)), self.wire.now,
        )  # fmt: skip
        fields: dict[str, Any] = {
            3: {"window": 0}, 4: {"genesis": bytes(32)}, 5: {"wire_version": 0}, 6: {"listen_port": 0},
            7: {"node_id": self.host.node_id}, 8: {"dial": 0}, 9: {"window": 65_535},
            10: {"features": 2**64 - 1}, 11: {"time": 2**64 - 1}, 12: {"min_wire_version": 9},
            13: {"wire_version": 65_535},
        }.get(change, {})  # fmt: skip
        values = {name: getattr(theirs, name) for name in type(theirs).__struct_fields__} | fields
        self.say(at, BY_NAME["Handshake"].number, Handshake(**values).encode())

    def acknowledge(self, at: int) -> None:
        """The Ack that opens a session, when the node has greeted."""
        line = self._line(at)
        if line is not None and line.greeting is not None:
            number = BY_NAME["Handshake"].number
            self.say(at, BY_NAME["Ack"].number, Ack(number, reference(line.greeting)).encode())
            line.speaks_lines = self._in_lines(line)

    def answer(self, at: int, seed: int = 0) -> None:
        """Answer the oldest request of the node on a link."""
        line = self._line(at)
        if line is not None and line.asked:
            request, entry = line.asked.pop(0)
            reply = BY_NAME[entry.reply or ""]
            self.say(at, reply.number, example(reply.number, seed).encode(), request, reply=True)

    def answer_packed(self, at: int, seed: int) -> None:
        """Answer the oldest request on a link compressed: honestly, or as no node would."""
        line = self._line(at)
        if line is None or not line.asked or line.speaks_lines:
            return
        request, entry = line.asked.pop(0)
        reply = BY_NAME[entry.reply or ""]
        payload = long_reply(reply.name)
        rng = random.Random(seed)
        if seed % 4 == 1:
            payload += bytes(rng.choice((1_000, 100_000, 5_000_000)))
        packed = zstandard.ZstdCompressor(1 + seed % 19, write_content_size=seed % 5 != 2).compress(payload)
        if seed % 4 > 1:
            packed = scribbled(packed, rng)
        number = reply.number if seed % 7 else MESSAGES[seed % len(MESSAGES)].number
        frames = frames_of(
            self.params.magic, number, packed,
            request_id=request, reply=True, checksum=not line.tls, compressed=True,
        )  # fmt: skip
        self.deliver(at, b"".join(frames))

    def leave(self, at: int, reason: str = "stopping") -> None:
        """Goodbye."""
        self.say(at, BY_NAME["Goodbye"].number, Goodbye(reason, "").encode())

    # What the node does.

    def ask(self, at: int, kind: int) -> None:
        """The node asks one of its peers."""
        peers = self.table.peers()
        if peers:
            entry = REQUESTS[kind % len(REQUESTS)]
            asked = self.table.request(peers[at % len(peers)].node_id, example(entry.number), self.wire.now)
            if asked is not None:
                self.requests.add(asked)
                self._ids.add(asked)
            self._call(None)

    def reply(self, kind: int) -> None:
        """The node answers the oldest question of a peer, or sends what nobody asked for."""
        if self.questions:
            question = self.questions.pop(0)
            reply = BY_NAME[type(question.message).entry().reply or ""]  # type: ignore[attr-defined]
            message = example(reply.number, kind % 3)
            self.table.send_to_peer(question.peer.node_id, message, reply_to=question.request_id)
            self._call(None)

    def broadcast(self, kind: int) -> None:
        """The node tells everybody."""
        entry = MESSAGES[kind % len(MESSAGES)]
        if entry.name not in ("Handshake", "Ack", "Goodbye", "Ping", "Pong"):
            self.table.broadcast(example(entry.number))
            self._call(None)

    def judge(self, at: int, kind: int) -> None:
        """The operator or the node's own rules turn against a peer, or forgive."""
        node_id = stranger_key(at).public
        now = self.wire.now
        if kind % 5 == 0:
            self.table.ban(node_id, 60, "test", now)
        elif kind % 5 == 1:
            self.table.unban(node_id, now)
        elif kind % 5 == 2:
            self.table.disconnect(node_id, "disconnected", now)
        elif kind % 5 == 3:
            self.table.report(node_id, "invalid-signature", now)
        else:
            self.table.clear_bans(now)
        self._call(None)

    def stop(self) -> None:
        self._call(self.table.stop(self.wire.now))

    def wait(self, duration: int) -> None:
        """Time passes, and the host wakes the table whenever it wants to be woken."""
        end = self.wire.now + duration
        for _ in range(TICKS):
            due = self.table.next_deadline()
            if due is None or due > end:
                self.wire.now = end
                return
            self.wire.now = max(self.wire.now, due)
            self._call(self.table.tick(self.wire.now))
        if duration <= limits.SILENCE_LIMIT:
            raise AssertionError(f"{TICKS} wakes in {duration / SECOND} s")

    def step_clock(self, seconds: int) -> None:
        """The host's clock is set, or the process was stopped."""
        self.wire.now = max(SECOND, self.wire.now + seconds * SECOND)
        self._call(self.table.tick(self.wire.now))

    def finish(self) -> None:
        """Everybody leaves: nothing is left over."""
        while self.lines:
            self.disconnect(0)
        self._call(self.table.tick(self.wire.now))
        held = self.table.budget.held + self.table.intake.bytes
        if held or self.table.intake.waiting or self.table.peers() or self.open or self.requests:
            raise AssertionError(
                f"left over: {held} bytes, {len(self.table.peers())} peers, "
                f"{len(self.open)} sessions, requests {sorted(self.requests)}"
            )

    # The account.

    def _line(self, at: int) -> Line | None:
        return self.lines[at % len(self.lines)] if self.lines else None

    def _call(self, deliveries: Any) -> None:
        self.host.call(deliveries)
        self.check()

    def check(self) -> None:
        """What holds after every step."""
        self._read_writes()
        self._read_deliveries()
        table = self.table
        handles = {peer.generation: peer for peer in table.peers()}
        require(handles == {at: opened.peer for at, opened in self.open.items()}, "sessions told and there")
        nodes = [peer.node_id for peer in table.peers()]
        require(nodes == sorted(set(nodes)), "one session for each node")
        shut = {link for link, _ in self.wire.closed}
        for line in self.lines:
            state = link_state(table, line.link)
            require(state is not State.OPEN or line.link not in shut, "closed is closed for good")
        self._read_pauses()
        self._check_numbers()

    def _check_numbers(self) -> None:
        table = self.table
        budget = table.budget
        require(0 <= budget.held <= budget.limit + MAX_MESSAGE_BYTES, f"{budget.held} bytes held")
        for peer in table.peers():
            numbers = table.statistics(peer.node_id)
            require(numbers is not None, "an open session has numbers")
            fields = attrs.asdict(numbers, recurse=False)
            for name, value in fields.items():
                if isinstance(value, int) and name != "clock_offset":
                    require(value >= 0, f"{name} is {value}")
                if isinstance(value, dict):
                    counts = (each.left if isinstance(each, Stock) else each for each in value.values())
                    require(all(count >= 0 for count in counts), f"{name}: {value}")
            require(numbers.ahead <= limits.AHEAD_BYTES, f"{numbers.ahead} bytes ahead")
            queued = sum(queue.bytes for queue in numbers.queues)
            require(queued == numbers.queued, f"{queued} bytes in the classes, {numbers.queued} in all")
            require(numbers.served <= limits.SERVED_REQUESTS, "requests served")
            require(numbers.bytes_sent == sum(numbers.sent_bytes.values()), "bytes by type and in all")
            require(numbers.unread_bytes <= limits.INTAKE_BYTES + MAX_MESSAGE_BYTES, "what waits to be read")
        unread = sum(session.lanes.bytes for session in table._links.values())
        require(table.intake.bytes == unread, f"{unread} bytes in the lanes, {table.intake.bytes} in all")
        require(min(table.violations.values(), default=0) >= 0, "violations")
        require(len(table.conduct.ledger) <= limits.CONDUCT_LEDGER, "the ledger of conduct")
        require(0 <= table.retention.total <= limits.RETAINED_TOTAL_BYTES, "what is retained")

    def _read_pauses(self) -> None:
        """A link is told to rest, then to go on, and never twice the same."""
        told, self.host.others = self.host.others, []
        for action in told:
            require(isinstance(action, Pause | Resume), f"{action} is nothing a table asks for")
            resting = action.link in self.paused  # type: ignore[union-attr]
            require(resting is isinstance(action, Resume), "Pause and Resume by turns")
            self.paused ^= {action.link}  # type: ignore[union-attr]

    def _read_writes(self) -> None:
        """What the node writes can be read by anybody, and is counted to the byte."""
        written, self.wire.written = self.wire.written, []
        lines = {line.link: line for line in self.lines}
        for link, data in written:
            line = lines.get(link)
            require(line is not None, "only links that are there are written to")
            line.written += len(data)
            for frame in self._frames(line, data):
                message = decode_message(frame.number, frame.payload)
                if isinstance(message, Handshake):
                    require(line.greeting is None, "one handshake for a link")
                    line.greeting = frame.payload
                elif message.entry().reply is not None:
                    line.asked.append((frame.request_id, message.entry()))

    def _frames(self, line: Line, data: bytes) -> Iterator[Frame]:
        """What the node wrote; behind its Ack of a handshake it may be lines."""
        if line.lines is None:
            for frame in line.reader.frames(data):
                yield frame
                if BY_NUMBER[frame.number].name == "Ack" and self._in_lines(line):
                    line.lines = LineReader(limit_for)
                    line.reader.leave()
            data = line.reader.rest
        if line.lines is not None:
            yield from line.lines.frames(data)

    def _in_lines(self, line: Line) -> bool:
        session = self.table._links.get(line.link)
        return session is not None and bool(session.features & Feature.JSON)

    def _read_deliveries(self) -> None:
        told, self._seen = self.host.deliveries[self._seen :], len(self.host.deliveries)
        for delivery in told:
            generation = getattr(delivery, "peer", None) and delivery.peer.generation  # type: ignore[union-attr]
            if isinstance(delivery, Opened):
                require(generation not in self.open, "a session opens once")
                self.open[generation] = delivery
            elif isinstance(delivery, Closed):
                require(self.open.pop(generation, None) is not None, "a session that was open closes, once")
            elif isinstance(delivery, Incoming):
                self._heard(delivery, generation)
            elif isinstance(delivery, RequestFailed):
                self._settled(delivery.request_id)

    def _heard(self, delivery: Incoming, generation: int) -> None:
        require(generation in self.open, "nothing is delivered of a session that is not open")
        if delivery.is_reply:
            self._settled(delivery.request_id)
        elif delivery.request_id:
            self.questions.append(delivery)
            del self.questions[:-50]

    def _settled(self, request: int) -> None:
        require(request in self._ids, "an outcome belongs to a request of the node")
        require(request in self.requests, "a request has one outcome")
        self.requests.discard(request)

    def closes(self) -> list[Close]:
        return self.host.closes


def require(holds: bool, what: str) -> None:
    """AssertionError("not so: …") when a thing that must hold does not."""
    if not holds:
        raise AssertionError(f"not so: {what}")


# Steps as bytes: what a fuzzer writes.


class Script:
    """Arguments out of bytes; behind their end everything is 0."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def ended(self) -> bool:
        return self._at >= len(self._data)

    def byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1] if self._at <= len(self._data) else 0

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")

    def take(self, size: int) -> bytes:
        self._at += size
        return self._data[self._at - size : self._at]


STEPS: tuple[Any, ...] = (
    lambda a, s: a.connect(s.byte(), tls=s.byte() % 4 != 0),
    lambda a, s: a.connect(s.byte(), tls=s.byte() % 4 != 0, dialled=True),
    lambda a, s: (a.greet(at := s.byte(), s.byte() % 14), a.acknowledge(at)),
    lambda a, s: a.greet(s.byte(), s.byte() % 14),
    lambda a, s: a.acknowledge(s.byte()),
    lambda a, s: a.deliver(s.byte(), s.take(s.byte()), s.byte() % 40),
    lambda a, s: a.say(
        s.byte(), s.byte(), s.take(s.byte()), s.byte(), reply=s.byte() % 2 == 1, step=s.byte()
    ),
    lambda a, s: a.tell(s.byte(), s.byte(), s.byte() % 3, s.byte(), reply=s.byte() % 2 == 1),
    lambda a, s: a.answer(s.byte(), s.byte() % 3),
    lambda a, s: a.ask(s.byte(), s.byte()),
    lambda a, s: a.reply(s.byte()),
    lambda a, s: a.broadcast(s.byte()),
    lambda a, s: a.drained(s.byte()),
    lambda a, s: a.wait(s.byte() * SECOND // 2),
    lambda a, s: a.disconnect(s.byte()),
    lambda a, s: a.leave(s.byte(), ("stopping", "duplicate", "\n", "full")[s.byte() % 4]),
    lambda a, s: a.judge(s.byte(), s.byte()),
    lambda a, s: a.fail_dial(),
    lambda a, s: a.step_clock(s.number(2) - 2**15),
    lambda a, s: a.stop() if s.byte() == 255 else None,
    lambda a, s: a.flood(s.byte(), s.byte(), s.byte()),
    lambda a, s: a.answer_packed(s.byte(), s.byte()),
)
"""By the byte that calls them; new ones go to the end, so that the kept corpus keeps its meaning."""


STEP_NUMBERS = 32
"""How many numbers of steps there are; those without a step do nothing."""


def play(script: bytes) -> Arena:
    """Run the steps that the bytes spell, then let everybody leave."""
    steps = Script(script)
    options = steps.byte()
    arena = Arena(
        discover=bool(options & 1), small=bool(options & 2), dry_run=bool(options & 4), json=bool(options & 8)
    )
    while not steps.ended:
        step = steps.byte() % STEP_NUMBERS
        if step < len(STEPS):
            STEPS[step](arena, steps)
    arena.finish()
    return arena
