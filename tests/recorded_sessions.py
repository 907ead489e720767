"""Whole sessions of nodes that speak wire version 1, kept as bytes, and peers that say them again.

`tests/vectors/wire1_sessions.json.xz` was written by ``python -m tests.recorded_sessions FILE``
when wire version 1 was the newest: four members and one follower on plain links in the
simulator, every draw seeded. The members connect, make three payments final and two
blocks; then the follower dials all of them and catches up. The file holds the genesis,
the keys, what wallets submitted, who dialled whom, and every write with its time.

A recording puts today's node in the place of one of the five. The others say what they
said then, byte for byte, at the time they said it, but for what names the node's own
bytes: the Ack of its Handshake, the nonce of a Pong, the id of the request that a reply
answers. A request gets the reply that was recorded for it, on whichever link.
"""

from __future__ import annotations

import base64
import json
import lzma
import random
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from timed.app.genesis_file import genesis_fields, genesis_from
from timed.crypto.batch import verify_batch
from timed.crypto.keys import SigningKey
from timed.events import Close, CommitBlock, Dial, NodeEvent, Persist, Publish, Verify, Write
from timed.ledger.genesis import Genesis
from timed.node.config import NodeConfig
from timed.node.node import Node
from timed.params import SECOND
from timed.peer.retention import reference
from timed.sim.cast import PORT, derived_seed
from timed.sim.world import Scenario, World
from timed.store.memory import MemoryStore
from timed.wire.catalogue import BY_NUMBER, MESSAGES, decode_message, encode_message, limit_for
from timed.wire.framing import Frame, FrameReader, frames_of
from timed.wire.message import Direction, Message
from timed.wire.messages import Ack, Handshake, Ping, Pong

if TYPE_CHECKING:
    from timed.sim.host import Process

FILE = Path(__file__).parent / "vectors" / "wire1_sessions.json.xz"
SEED = 1
MEMBERS = 4
FOLLOWER = MEMBERS
DELAY = SECOND // 1000
"""What replayed bytes are under way, in microseconds."""


@attrs.frozen
class Link:
    """One recorded connection. A machine's writes on it are known by its `side`: 0 dialled, 1 listened."""

    dialler: int
    listener: int
    opened: int

    def side(self, machine: int) -> int:
        return 0 if machine == self.dialler else 1

    def other(self, machine: int) -> int:
        return self.listener if machine == self.dialler else self.dialler


@attrs.frozen
class Recording:
    """What the file holds; times are microseconds of unix time."""

    genesis: Genesis
    start: int
    end: int
    node_keys: tuple[SigningKey, ...]
    operator_keys: tuple[SigningKey, ...]
    hosts: tuple[str, ...]
    types: dict[int, str]
    """Number and name of every message that wire version 1 has."""
    submitted: tuple[tuple[int, int, bytes], ...]
    """Time, machine and bytes of each payment."""
    links: tuple[Link, ...]
    written: tuple[tuple[int, int, int, bytes], ...]
    """Time, link, side and bytes of each write, in order."""
    final: tuple[bytes, ...]
    blocks: tuple[bytes, ...]
    """Block hashes from height 1 on."""

    def links_of(self, machine: int) -> list[int]:
        return [n for n, link in enumerate(self.links) if machine in (link.dialler, link.listener)]

    def frames(self, link: int, side: int) -> list[tuple[int, Frame]]:
        """What one side said on a link, with the times at which it was complete."""
        reader = FrameReader(self.genesis.params.magic, limit_for=limit_for, checksum=True)
        return [
            (when, frame)
            for when, number, writer, data in self.written
            if (number, writer) == (link, side)
            for frame in reader.feed(data)
        ]


# Recording.


class _RecordedWorld(World):
    """Machines dial those before them, so that no two dials cross; what they write is kept."""

    def __init__(self) -> None:
        super().__init__(Scenario(SEED, nodes=MEMBERS, followers=1, plain=True))
        self.links: dict[int, tuple[int, int]] = {}
        """By link number of the simulated network: link and side of the recording."""
        self.opened_at: list[tuple[int, int, int]] = []
        self.writes: list[tuple[int, int, int, bytes]] = []

    def config(self, index: int) -> NodeConfig:
        config = super().config(index)
        return attrs.evolve(config, wanted=config.wanted[:index])

    def opened(self, process: Process, link: int) -> None:
        super().opened(process, link)
        if link not in self.links:
            connection = next(c for c in self.network.connections if link in [s.link for s in c.sides])
            dialler, listener = connection.sides
            self.links |= {dialler.link: (len(self.opened_at), 0), listener.link: (len(self.opened_at), 1)}
            self.opened_at.append((dialler.machine.index, listener.machine.index, self.clock.now))

    def writing(self, process: Process, link: int, data: bytes) -> bool:
        self.writes.append((self.clock.now, *self.links[link], data))
        return super().writing(process, link, data)


def record() -> dict[str, Any]:
    """Run the simulation that the module's docstring describes; the file's content."""
    world = _RecordedWorld()
    clock, cast = world.clock, world.cast
    submitted: list[list[Any]] = []

    def pay(machine: int) -> None:
        process = world.hosts[machine].process
        transaction = world.workload.spend([world.workload._coin()])
        submitted.append([clock.now, machine, transaction.raw.hex()])
        world.workload.submit(transaction, process)

    for machine in range(MEMBERS):
        clock.at(clock.start + 1 + machine * 1_000, "boot", lambda machine=machine: world.boot(machine))  # type: ignore[misc]
    for seconds, machine in ((3, 0), (4, 1), (11, 2)):
        clock.at(clock.start + seconds * SECOND, "pay", lambda machine=machine: pay(machine))  # type: ignore[misc]
    clock.at(clock.start + 24 * SECOND, "boot", lambda: world.boot(FOLLOWER))
    clock.run_until(clock.start + 27 * SECOND)
    heights, final = world.heights(), world.invariants.chain.final
    if min(heights) != max(heights) or max(heights) != 2 or len(final) != len(submitted):
        raise AssertionError(f"heights {heights}, {len(final)} payments final: this is not worth keeping")
    pairs = {frozenset(link[:2]) for link in world.opened_at}
    if len(pairs) != len(world.opened_at):
        raise AssertionError("two machines had two links")
    machines = [
        {
            "host": world.network.machines[machine].host,
            "node_key": derived_seed(SEED, "node", machine).hex(),
            "operator_key": derived_seed(SEED, "operator", machine).hex() if machine < MEMBERS else None,
        }
        for machine in range(MEMBERS + 1)
    ]
    return {
        "genesis": genesis_fields(cast.genesis),
        "start": clock.start,
        "end": clock.now,
        "machines": machines,
        "types": [[entry.number, entry.name] for entry in MESSAGES],
        "submitted": submitted,
        "links": world.opened_at,
        "written": [[when, link, side, _text(data)] for when, link, side, data in world.writes],
        "final": sorted(txid.hex() for txid in final),
        "blocks": [world.invariants.chain.blocks[height].block_hash.hex() for height in range(1, 3)],
    }


def read(path: Path = FILE) -> Recording:
    """The recording in a file."""
    found = json.loads(lzma.decompress(path.read_bytes()))
    machines = found["machines"]
    return Recording(
        genesis=genesis_from(found["genesis"]),
        start=found["start"],
        end=found["end"],
        node_keys=tuple(_key(machine["node_key"]) for machine in machines),
        operator_keys=tuple(_key(machine["operator_key"]) for machine in machines if machine["operator_key"]),
        hosts=tuple(machine["host"] for machine in machines),
        types=dict(found["types"]),
        submitted=tuple((when, machine, bytes.fromhex(raw)) for when, machine, raw in found["submitted"]),
        links=tuple(Link(*link) for link in found["links"]),
        written=tuple((*place, base64.b64decode(data)) for *place, data in found["written"]),
        final=tuple(bytes.fromhex(txid) for txid in found["final"]),
        blocks=tuple(bytes.fromhex(block) for block in found["blocks"]),
    )


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _key(seed: str) -> SigningKey:
    return SigningKey.from_seed(bytes.fromhex(seed))


# Saying it again.


class RecordedPeer:
    """The other side of one link of the machine that a replay takes the place of."""

    def __init__(self, recording: Recording, link: int, subject: int) -> None:
        place = recording.links[link]
        self.link = link + 1
        self.outbound = place.dialler == subject
        self.machine = place.other(subject)
        self.opened = place.opened
        self.host = recording.hosts[self.machine]
        self.heard: list[Frame] = []
        """What the node said."""
        self.unanswered: Counter[str] = Counter()
        """Requests of the node that nobody had asked when this was recorded, by type."""
        self.goodbye = False
        self._magic = recording.genesis.params.magic
        self._reader = FrameReader(self._magic, limit_for=limit_for, checksum=True)
        self._greeted: bytes | None = None
        """The reference of the node's handshake."""
        self._asked: set[int] = set()
        self._early: list[tuple[int, Frame]] = []
        theirs = recording.frames(link, place.side(subject))
        asked = {f.request_id: (f.number, f.payload) for _, f in theirs if f.request_id and not f.is_reply}
        self.script: list[tuple[int, Frame]] = []
        self.replies: defaultdict[tuple[int, bytes], list[Frame]] = defaultdict(list)
        self.others: list[RecordedPeer] = []
        for when, frame in recording.frames(link, place.side(self.machine)):
            if frame.is_reply and frame.request_id in asked:
                self.replies[asked[frame.request_id]].append(frame)
            elif BY_NUMBER[frame.number].cls is not Pong:
                self.script.append((when + DELAY, frame))

    def due(self, now: int) -> bytes:
        """What the peer says by itself up to now; nothing but its Handshake before it has been greeted."""
        said = b""
        while self.script and self.script[0][0] <= now:
            frame = self.script[0][1]
            message = decode_message(frame.number, frame.payload)
            if not isinstance(message, Handshake) and self._greeted is None:
                break
            del self.script[0]
            if isinstance(message, Ack) and message.number == Handshake.entry().number:
                said += self._say(Ack(message.number, self._greeted or b""))
            else:
                said += self._frames(frame, frame.request_id)
        return said

    def next_time(self) -> int | None:
        """When the peer says something next by itself."""
        if not self.script:
            return None
        waits = self._greeted is None and BY_NUMBER[self.script[0][1].number].cls is not Handshake
        return None if waits else self.script[0][0]

    def hear(self, data: bytes) -> bytes:
        """Take what the node wrote; what a live peer answers at once."""
        said = b""
        for frame in self._reader.feed(data):
            self.heard.append(frame)
            kind = BY_NUMBER[frame.number]
            if kind.cls is Handshake:
                self._greeted = reference(frame.payload)
            elif kind.cls is Ping:
                ping = Ping.decode(frame.payload)
                said += self._say(Pong(ping.nonce, ping.time))
            elif frame.request_id and not frame.is_reply:
                said += self._answer(frame, kind.name)
        return said

    def messages(self, kind: type[Message]) -> list[Frame]:
        """What the node said of one type."""
        return [frame for frame in self.heard if frame.number == kind.entry().number]

    def _answer(self, frame: Frame, name: str) -> bytes:
        for peer in (self, *self.others):
            replies = peer.replies.get((frame.number, frame.payload))
            if replies:
                return self._frames(replies.pop(0) if len(replies) > 1 else replies[0], frame.request_id)
        self.unanswered[name] += 1
        return b""

    def _say(self, message: Message) -> bytes:
        return b"".join(frames_of(self._magic, *encode_message(message), checksum=True))

    def _frames(self, frame: Frame, request_id: int) -> bytes:
        return b"".join(
            frames_of(
                self._magic, frame.number, frame.payload,
                request_id=request_id, reply=frame.is_reply, checksum=True,
            )
        )  # fmt: skip


class Replay:
    """Today's node as one of the recorded machines. Its disk is never behind."""

    def __init__(self, recording: Recording, subject: int, **options: Any) -> None:
        """`options` are `NodeConfig`'s."""
        self.recording = recording
        self.now = recording.start
        self.peers = [RecordedPeer(recording, link, subject) for link in recording.links_of(subject)]
        for peer in self.peers:
            peer.others = [other for other in self.peers if other is not peer]
        self.events: list[NodeEvent] = []
        self.closed: list[Close] = []
        member = subject < len(recording.operator_keys)
        dialled = [peer for peer in self.peers if peer.outbound]
        config = NodeConfig(
            genesis=recording.genesis,
            node_key=recording.node_keys[subject],
            operator_key=recording.operator_keys[subject] if member else None,
            wanted=tuple((peer.host, PORT, recording.node_keys[peer.machine].public) for peer in dialled),
            software="timed-sim",
            listen_port=PORT,
            boot=1,
            **options,
        )
        self.node = Node(config, MemoryStore(), random.Random(1))
        self._open: set[int] = set()
        self._payments = [(when, raw) for when, machine, raw in recording.submitted if machine == subject]

    def run(self) -> None:
        """Let the recorded time pass."""
        if not all(peer.outbound for peer in self.peers):
            self.node.start(self.now)
        else:
            self.now = min(peer.opened for peer in self.peers) - DELAY
            self.node.start(self.now)
        while True:
            self._turn()
            when = min(self._times())
            if when > self.recording.end:
                return
            self.now = max(self.now, when)
            wake = self.node.next_wake()
            if wake is not None and wake <= self.now:
                self.node.wake(self.now)

    def _times(self) -> list[int]:
        times = [self.node.next_wake(), self._payments[0][0] if self._payments else None]
        for peer in self.peers:
            if peer.link in self._open:
                times.append(peer.next_time())
            elif not peer.outbound:
                times.append(peer.opened)
        return [self.recording.end + 1, *(time for time in times if time is not None)]

    def _turn(self) -> None:
        """What is due now, and everything that follows at once."""
        while self._payments and self._payments[0][0] <= self.now:
            self.node.submit(self._payments.pop(0)[1], self.now)
        for peer in self.peers:
            if not peer.outbound and peer.link not in self._open and peer.opened <= self.now:
                self._connect(peer)
        moved = True
        while moved:
            moved = False
            for action in self.node.flush(self.now):
                self._execute(action)
                moved = True
            for peer in self.peers:
                said = peer.due(self.now) if peer.link in self._open and not peer.goodbye else b""
                if said:
                    self.node.received(peer.link, said, self.now)
                    moved = True

    def _connect(self, peer: RecordedPeer) -> None:
        self._open.add(peer.link)
        self.node.connected(peer.link, peer.outbound, None, peer.host, PORT, self.now)

    def _execute(self, action: object) -> None:
        node, now = self.node, self.now
        if isinstance(action, Write):
            peer = next(peer for peer in self.peers if peer.link == action.link)
            said = peer.hear(action.data)
            node.drained(action.link, now)
            if said:
                node.received(action.link, said, now)
        elif isinstance(action, Dial):
            peer = next(peer for peer in self.peers if peer.host == action.host)
            if peer.outbound and peer.link not in self._open:
                self._connect(peer)
            else:
                node.dial_failed(action.host, action.port, "connection-refused", now)
        elif isinstance(action, Close):
            self.closed.append(action)
            next(peer for peer in self.peers if peer.link == action.link).goodbye = True
            node.disconnected(action.link, action.reason, now)
        elif isinstance(action, Verify):
            node.verified(action.token, verify_batch(action.items), now)
        elif isinstance(action, Publish):
            self.events.append(action.event)
        elif isinstance(action, Persist):
            node._store.append(action.records)
            node.persisted(action.token, now)
        elif isinstance(action, CommitBlock):
            node._store.commit(action.commit)
            node.persisted(action.token, now)

    def peer(self, machine: int) -> RecordedPeer:
        return next(peer for peer in self.peers if peer.machine == machine)

    def told(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


def requests_of(recording: Recording, link: int, machine: int) -> dict[tuple[int, bytes], list[bytes]]:
    """What a machine asked on a link, and the payloads of the answers it got."""
    place = recording.links[link]
    asked = {
        frame.request_id: (frame.number, frame.payload)
        for _, frame in recording.frames(link, place.side(machine))
        if frame.request_id and not frame.is_reply and BY_NUMBER[frame.number].direction is Direction.REQUEST
    }
    answers: dict[tuple[int, bytes], list[bytes]] = {request: [] for request in asked.values()}
    for _, frame in recording.frames(link, 1 - place.side(machine)):
        if frame.is_reply and frame.request_id in asked:
            answers[asked[frame.request_id]].append(frame.payload)
    return answers


if __name__ == "__main__":
    content = json.dumps(record(), separators=(",", ":")).encode("ascii")
    Path(sys.argv[1]).write_bytes(lzma.compress(content, preset=9 | lzma.PRESET_EXTREME))
