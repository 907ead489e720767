"""Several peer tables in one process: virtual time, pipes with delay, every order of events.

A pipe is what a host makes of TCP: bytes in order, an end that both sides learn
of in their turn. `Wire` keeps what is under way in one queue per direction, so a
test may also deliver step by step in an order of its own (`manual`).
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence

import attrs

from timed.crypto.keys import SigningKey
from timed.events import Action, Close, Dial, Publish, Write
from timed.params import REGTEST, SECOND, NetworkParams
from timed.peer.session import State
from timed.peer.settings import PeerSettings
from timed.peer.table import PeerTable
from timed.peer.values import Closed, Delivery, Identity, Incoming, Opened, PeerAddress, RequestFailed
from timed.wire.catalogue import decode_message, encode_message, limit_for
from timed.wire.compression import Packing
from timed.wire.framing import FrameReader, frames_of
from timed.wire.message import Message

START = 1_700_000_000 * SECOND
GENESIS = bytes(range(32))
DELAY = SECOND // 1000


def key(number: int) -> SigningKey:
    return SigningKey.from_seed(bytes([number]) * 32)


def identity(
    number: int,
    *,
    genesis: bytes = GENESIS,
    params: NetworkParams = REGTEST,
    operator: bool = False,
    boot: int = 1,
) -> Identity:
    return Identity(
        params=params, genesis_hash=genesis, node_key=key(number),
        operator_key=key(100 + number) if operator else None,
        software="test", listen_port=7000, boot=boot,
    )  # fmt: skip


class Host:
    """One node's peer table, and what its host would do with it."""

    def __init__(self, wire: Wire, name: str, table: PeerTable) -> None:
        self.wire = wire
        self.name = name
        self.table = table
        self.deliveries: list[Delivery] = []
        self.events: list[object] = []
        self.closes: list[Close] = []
        self.dials: list[tuple[int, Dial]] = []
        self.writes: list[Write] = []
        self.others: list[Action] = []
        """Pause and Resume."""
        self.reachable = True
        self.alive = True

    @property
    def node_id(self) -> bytes:
        return self.table.identity.node_id

    def incoming(self) -> list[Message]:
        return [delivery.message for delivery in self.deliveries if isinstance(delivery, Incoming)]

    def opened(self) -> list[Opened]:
        return [delivery for delivery in self.deliveries if isinstance(delivery, Opened)]

    def closed(self) -> list[Closed]:
        return [delivery for delivery in self.deliveries if isinstance(delivery, Closed)]

    def failed(self) -> list[RequestFailed]:
        return [delivery for delivery in self.deliveries if isinstance(delivery, RequestFailed)]

    def call(self, deliveries: list[Delivery] | None) -> None:
        """The end of a turn: keep the deliveries, execute the actions."""
        self.deliveries += deliveries or []
        actions = self.table.drain(self.wire.now)
        self.deliveries += self.table.take()
        self.execute(actions)

    def execute(self, actions: Sequence[Action]) -> None:
        written = [action.link for action in actions if isinstance(action, Write)]
        if len(written) != len(set(written)):
            raise AssertionError("two writes for one link in one turn")
        for action in actions:
            if isinstance(action, Write):
                self.writes.append(action)
                self.wire.write(action.link, action.data)
            elif isinstance(action, Close):
                self.closes.append(action)
                self.wire.close(action.link, action.reason, action.abort)
            elif isinstance(action, Dial):
                self.dials.append((self.wire.now, action))
                self.wire.dial(self, action)
            elif isinstance(action, Publish):
                self.events.append(action.event)
            else:
                self.others.append(action)


class End:
    """One side of a pipe."""

    def __init__(self, host: Host, link: int) -> None:
        self.host = host
        self.link = link
        self.peer: End | None = None
        self.inbox: deque[Callable[[], None]] = deque()
        """What this side has not learnt yet, in order."""
        self.gone = False
        self.deaf = False
        """Bytes neither arrive nor leave; nobody is told."""
        self.stuck = False
        """The network takes nothing: `drained` is not reported."""


class Wire:
    """The network between hosts. With `manual` nothing arrives until `step` is called."""

    def __init__(self, *, tls: bool = True, manual: bool = False, seed: int = 1) -> None:
        self.now = START
        self.tls = tls
        self.manual = manual
        self.entropy = random.Random(seed)
        self.hosts: list[Host] = []
        self.ends: dict[int, End] = {}
        self.pending: list[tuple[int, int, Callable[[], None]]] = []
        self.dialling: list[Callable[[], None]] = []
        self._links = 0
        self._order = 0

    def host(
        self,
        number: int,
        *,
        wanted: Sequence[int] = (),
        named: bool = True,
        seed: int | None = None,
        **options: object,
    ) -> Host:
        """A node at 10.0.0.<number>:7000 that wants sessions with the numbers `wanted`."""
        who = options.pop("identity", None) or identity(number)
        addresses = [
            PeerAddress(f"10.0.0.{other}", 7000, key(other).public if named else None) for other in wanted
        ]
        options.setdefault("discover", False)
        given = {
            field.name: options.pop(field.name)
            for field in attrs.fields(PeerSettings)
            if field.name in options
        }
        table = PeerTable(
            who, random.Random(number if seed is None else seed), lambda: (0, bytes(32)),
            wanted=addresses, settings=PeerSettings(**given), **options,  # type: ignore[arg-type]
        )  # fmt: skip
        host = Host(self, f"10.0.0.{number}", table)
        self.hosts = [other for other in self.hosts if other.name != host.name]
        self.hosts.append(host)
        return host

    # Time.

    def at(self, when: int, what: Callable[[], None]) -> None:
        self._order += 1
        self.pending.append((when, self._order, what))

    def run(self, duration: int) -> None:
        """Let everything happen in the order of time."""
        end = self.now + duration
        while True:
            due = [(when, order, None, what) for when, order, what in self.pending]
            for host in self.hosts:
                deadline = host.table.next_deadline() if host.alive else None
                if deadline is not None:
                    due.append((max(deadline, self.now), -1, host, None))
            if not due:
                break
            when, order, host, what = min(due, key=lambda item: (item[0], item[1]))
            if when > end:
                break
            self.now = max(self.now, when)
            if host is not None:
                host.call(host.table.tick(self.now))
            elif what is not None:
                self.pending = [item for item in self.pending if item[1] != order]
                what()
        self.now = end

    # What hosts do.

    def dial(self, source: Host, dial: Dial) -> None:
        def attempt() -> None:
            target = next((h for h in self.hosts if h.name == dial.host and h.reachable and h.alive), None)
            if not source.alive:
                return
            if target is None:
                source.call(source.table.dial_failed(dial.host, dial.port, "connection-refused", self.now))
            elif self.tls and dial.expected is not None and dial.expected != target.node_id:
                source.call(source.table.dial_failed(dial.host, dial.port, "wrong-key", self.now))
            else:
                self.join(source, target, dial.port)

        if self.manual:
            self.dialling.append(attempt)
        else:
            self.at(self.now + DELAY, attempt)

    def join(self, source: Host, target: Host, port: int = 7000) -> tuple[End, End]:
        """A connection; both sides learn of it in their turn."""
        self._links += 2
        near, far = End(source, self._links - 1), End(target, self._links)
        near.peer, far.peer = far, near
        self.ends[near.link], self.ends[far.link] = near, far
        source_id = source.node_id if self.tls else None
        target_id = target.node_id if self.tls else None
        table = source.table
        self._tell(near, lambda: table.connected(near.link, True, target_id, target.name, port, self.now))
        other = target.table
        self._tell(
            far, lambda: other.connected(far.link, False, source_id, source.name, 40_000 + far.link, self.now)
        )
        return near, far

    def write(self, link: int, data: bytes) -> None:
        end = self.ends.get(link)
        if end is None or end.gone or end.peer is None:
            return
        peer = end.peer
        if not end.deaf:
            table = peer.host.table
            self._tell(peer, lambda: table.received(peer.link, data, self.now))
        if not end.stuck:
            self._tell(end, lambda: end.host.table.drained(end.link, self.now))

    def close(self, link: int, reason: str, abort: bool) -> None:
        end = self.ends.get(link)
        if end is not None and not end.gone:
            self._end(end, reason)
            if end.peer is not None and not end.deaf:
                self._end(end.peer, "connection-reset" if abort else "connection-done")

    def cut(self, end: End, reason: str = "connection-lost") -> None:
        """This side learns that the connection is gone; the other one does not."""
        end.deaf = True
        self._end(end, reason)

    def links_between(self, a: Host, b: Host) -> list[End]:
        return [
            end for end in self.ends.values()
            if end.host is a and end.peer is not None and end.peer.host is b and not end.gone
        ]  # fmt: skip

    def _end(self, end: End, reason: str) -> None:
        def tell() -> list[Delivery]:
            if end.gone:
                return []
            end.gone = True
            return end.host.table.disconnected(end.link, reason, self.now)

        self._tell(end, tell)

    def _tell(self, end: End, what: Callable[[], list[Delivery] | None]) -> None:
        def deliver() -> None:
            if end.host.alive and not end.gone:
                end.host.call(what())

        end.inbox.append(deliver)
        if not self.manual:
            self.at(self.now + DELAY, lambda: end.inbox.popleft()())  # noqa: PLW0108 (popped when it is due)

    # Manual delivery.

    def settle(self) -> None:
        """From now on time delivers: what was held back comes first."""
        while choices := self.choices():
            choices[0]()
        self.manual = False

    def choices(self) -> list[Callable[[], None]]:
        """Everything that could happen next: one entry per dial and per side with news."""
        found: list[Callable[[], None]] = []
        for dial in list(self.dialling):
            found.append(lambda dial=dial: (self.dialling.remove(dial), dial()))  # type: ignore[misc]
        for end in self.ends.values():
            if end.inbox:
                found.append(lambda end=end: end.inbox.popleft()())  # type: ignore[misc]
        return found


def link_state(table: PeerTable, link: int) -> State | None:
    """Where the session on a link stands; None when the link is gone."""
    session = table._links.get(link)
    return None if session is None else session.state


class Stranger:
    """A fake peer on one link of a host, which speaks frames by hand."""

    def __init__(
        self, host: Host, *, number: int = 66, link: int = 9_000, tls: bool = True, outbound: bool = False
    ) -> None:
        self.host = host
        self.link = link
        self.key = key(number)
        self.checksum = not tls
        self.magic = host.table.identity.params.magic
        self.reader = FrameReader(
            self.magic, limit_for=limit_for, checksum=self.checksum, unpack=Packing().unpack
        )
        host.call(
            host.table.connected(
                link, outbound, self.key.public if tls else None, "192.0.2.1", 5000, host.wire.now
            )
        )

    def send(self, message: Message, *, request_id: int = 0, reply: bool = False) -> None:
        number, payload = encode_message(message)
        frames = frames_of(
            self.magic, number, payload, request_id=request_id, reply=reply, checksum=self.checksum
        )
        self.send_bytes(b"".join(frames))

    def send_bytes(self, data: bytes) -> None:
        self.host.call(self.host.table.received(self.link, data, self.host.wire.now))

    def heard(self) -> list[Message]:
        """What the host has written since the last call."""
        written = [write for write in self.host.writes if write.link == self.link]
        self.host.writes = [write for write in self.host.writes if write.link != self.link]
        data = b"".join(write.data for write in written)
        self.host.table.drained(self.link, self.host.wire.now)
        return [decode_message(frame.number, frame.payload) for frame in self.reader.feed(data)]
