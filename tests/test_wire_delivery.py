"""Frames arrive as they were sent, however the bytes are cut and whatever is written meanwhile.

In numbers: 100,000 messages through one reader byte by byte; 12,000 messages each way
over plain loopback TCP and 2,000 each way over TLS, both sides writing all the time,
read in pieces of one byte and more.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.peer_harness import Stranger, Wire, key
from tests.test_peer_sessions import open_stranger
from timed.bench.host import HOST, TableHost, make_table, node_key
from timed.params import REGTEST
from timed.peer.outbox import Budget, Outbox, Parcel
from timed.peer.values import Delivery, Incoming, Opened, PeerAddress
from timed.wire.catalogue import BY_NAME, BY_NUMBER, limit_for
from timed.wire.framing import HEADER_SIZE, MAX_FRAME, Frame, FrameReader, frames_of
from timed.wire.message import Message, Priority
from timed.wire.messages import BlockVote, EpochReport, Ping, TransactionRejected

CLASSES = {
    Priority.CONTROL: "Ping",
    Priority.CONSENSUS: "TransactionVote",
    Priority.TRANSACTIONS: "TransactionBroadcast",
    Priority.QUERIES: "TransactionsResponse",
    Priority.BULK: "BlocksResponse",
}
MESSAGES = 100_000


class ByteByByteTests(SynchronousTestCase):
    """F16: a reader that loses a byte reads payload as a length."""

    def writes(self, rng: random.Random, sent: dict[Priority, list[bytes]]) -> Iterator[bytes]:
        """What an outbox hands to its transport: messages of all classes, pieces of long ones between them."""
        outbox, count, turn = Outbox(Budget()), 0, 0
        while count < MESSAGES or outbox.queued:
            turn += 1
            for _ in range(40 if count < MESSAGES else 0):
                priority = rng.choice(tuple(Priority))
                long = count % 4_000 == 0 and priority > Priority.CONTROL
                length = rng.choice((20_000, 32_000)) if long else 16 * (priority > 0) * rng.randrange(2)
                payload = count.to_bytes(4, "little") * ((16 if priority == 0 else length) // 4)
                name = CLASSES[priority]
                frames = frames_of(REGTEST.magic, BY_NAME[name].number, payload, request_id=count % 2**32)
                outbox.push(Parcel(name, priority, frames, gossip=False), turn)
                sent[priority].append(payload)
                count += 1
            outbox.drained(turn)
            yield outbox.take(turn)

    def test_100_000_messages_of_all_classes_byte_by_byte(self) -> None:
        """Every payload, in the order of its class, with nothing left over and no byte moved too often."""
        reader = FrameReader(REGTEST.magic, limit_for=limit_for)
        sent: dict[Priority, list[bytes]] = defaultdict(list)
        got: dict[Priority, list[bytes]] = defaultdict(list)
        size = 0
        for write in self.writes(random.Random(16), sent):
            size += len(write)
            for at in range(len(write)):
                for frame in reader.feed(write[at : at + 1]):
                    got[BY_NUMBER[frame.number].priority].append(frame.payload)
        self.assertEqual(sum(map(len, got.values())), MESSAGES)
        self.assertEqual(got, sent)
        self.assertEqual(reader.buffered, 0)
        self.assertLessEqual(reader.copied, 5 * size)


class CutTests(SynchronousTestCase):
    """A connection that breaks in the middle of a frame ends the session, and nobody is to blame."""

    def test_at_every_byte_of_a_message(self) -> None:
        whole = b"".join(frames_of(REGTEST.magic, BY_NAME["Ping"].number, Ping(nonce=1, time=2).encode()))
        long = frames_of(REGTEST.magic, BY_NAME["TransactionVote"].number, bytes(20_000))
        places = [whole[:at] for at in range(len(whole))]
        places += [b"".join(long)[:at] for at in (MAX_FRAME - 1, MAX_FRAME, MAX_FRAME + HEADER_SIZE, 20_000)]
        for number, cut in enumerate(places):
            host = Wire().host(1)
            stranger = open_stranger(host, link=number)
            stranger.send_bytes(cut)
            host.call(host.table.disconnected(stranger.link, "connection-lost", host.wire.now))
            self.assertEqual([closed.reason for closed in host.closed()], ["connection-lost"])
            self.assertEqual((dict(host.table.violations), host.table.peers()), ({}, ()))
            self.assertEqual(host.table.conduct.score(key(66).public, host.wire.now), 0)

    def test_the_next_session_begins_afresh(self) -> None:
        """Half a frame of the old link is not the beginning of anything on the new one."""
        host = Wire().host(1)
        first = open_stranger(host, link=1)
        first.send_bytes(frames_of(REGTEST.magic, 4, Ping(nonce=1, time=2).encode())[0][:20])
        host.call(host.table.disconnected(1, "connection-lost", host.wire.now))
        second: Stranger = open_stranger(host, link=2, dial=2)
        second.send(Ping(nonce=7, time=0))
        self.assertEqual([message.nonce for message in second.heard() if hasattr(message, "nonce")], [7])


SIZES = (1, 1, 1, 2, 3, 15, 16, 17, 100, 100, 400)
"""Bytes of one read: about 60 in the mean, so that hardly a frame comes whole."""


class Torn(TableHost):
    """A host whose transports are read in pieces of a size that changes with every read."""

    def __init__(self, number: int, plain: bool, wanted: list[PeerAddress]) -> None:
        self.got: dict[str, list[Message]] = defaultdict(list)
        self.peer: Deferred[bytes] = Deferred()
        self.reads = 0
        self.all_there: Deferred[None] = Deferred()
        self.wanted = 0
        self._rng = random.Random(number)
        super().__init__(make_table(number, wanted), plain, self._heard)

    def _heard(self, delivery: Delivery) -> None:
        if isinstance(delivery, Opened):
            self.peer.callback(delivery.peer.node_id)
        elif isinstance(delivery, Incoming):
            self.got[type(delivery.message).__name__].append(delivery.message)  # type: ignore[arg-type]
            if sum(map(len, self.got.values())) == self.wanted and not self.all_there.called:
                self.all_there.callback(None)

    def connected(self, link: int, outbound: bool, peer_id: bytes | None, host: str, port: int) -> None:
        tcp = self.network._links[link]._tcp()
        read = tcp.doRead

        def torn() -> object:
            self.reads += 1
            tcp.bufferSize = self._rng.choice(SIZES)
            return read()

        tcp.doRead = torn
        super().connected(link, outbound, peer_id, host, port)


def numbered(count: int, rng: random.Random) -> list[Message]:
    """Messages of two classes, some longer than a frame, each with its number in it."""
    made: list[Message] = []
    for number in range(count):
        if number % 3:
            made.append(
                BlockVote(
                    chain_id=3,
                    height=number,
                    round=0,
                    step=1,
                    block=bytes(32),
                    roster=bytes(32),
                    member=0,
                    signature=rng.randbytes(64),
                )
            )
        elif number % 600:
            made.append(TransactionRejected(number.to_bytes(32, "big"), "rule", "x" * rng.randrange(200)))
        else:
            ids = sorted(rng.randbytes(32) for _ in range(1_500))
            made.append(EpochReport(3, number, bytes(32), 0, tuple(ids), bytes(64)))
    return made


class SocketTests(TestCase):
    """F16: both sides write at the same time, and are read in pieces down to one byte."""

    timeout = 60

    async def exchanged(self, plain: bool, count: int) -> None:
        listener = Torn(1, plain, [])
        port = listener.listen()
        dialler = Torn(2, plain, [PeerAddress(HOST, port, node_key(1).public)])
        sides: list[Any] = [listener, dialler]
        for side in sides:
            self.addCleanup(side.stop)
        dialler.wake()
        for side in sides:
            side.node = await side.peer
            side.out = numbered(count, random.Random(side.table.identity.listen_port))
            side.wanted = count
            side.drained_hook = lambda side=side: self.go_on(side)
        for side in sides:
            self.go_on(side)
            side.turn()
        for side in sides:
            await side.all_there
        for side in sides:
            expected: dict[str, list[Message]] = defaultdict(list)
            for message in numbered(count, random.Random(0)):
                expected[type(message).__name__].append(message)
            self.assertEqual(dict(side.got), dict(expected))
            self.assertEqual(dict(side.table.violations), {})
            self.assertEqual(side.table.reconnects, 0)
            self.assertGreater(side.reads, count)

    @staticmethod
    def go_on(side: Any) -> None:
        """Queue some more whenever the transport has taken what was there."""
        for message in side.out[:50]:
            side.table.send_to_peer(side.node, message)
        del side.out[:50]

    async def test_plain(self) -> None:
        await self.exchanged(True, 12_000)

    async def test_tls(self) -> None:
        await self.exchanged(False, 2_000)


class ReaderValueTests(SynchronousTestCase):
    def test_a_frame_says_what_it_was(self) -> None:
        """Type, reply and id come out as they went in, for every type of the catalogue."""
        for entry in BY_NUMBER.values():
            for reply in (False, True):
                data = b"".join(
                    frames_of(REGTEST.magic, entry.number, b"x", request_id=2**32 - 1, reply=reply)
                )
                (frame,) = FrameReader(REGTEST.magic, limit_for=lambda number: 1).feed(data)
                self.assertEqual(frame, Frame(entry.number, 4 if reply else 0, 2**32 - 1, b"x"))
                self.assertEqual(frame.is_reply, reply)
