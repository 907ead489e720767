"""Sessions in lines of JSON, and links without batching or priorities: how it once was, for measuring."""

from __future__ import annotations

import attrs
import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.peer_harness import START, Host, Stranger, Wire, identity, link_state
from tests.test_peer_sessions import handshake_of
from tests.test_peer_table import commit, long_reply
from timed.errors import DecodeError, RemoteError
from timed.events import PeerMessage
from timed.node.serving import room_of
from timed.params import MAINNET, REGTEST, SECOND, NetworkParams
from timed.peer import limits
from timed.peer.dialect import Dialect, Feature, features_of
from timed.peer.encoder import Encoder, Form
from timed.peer.outbox import Budget, Outbox
from timed.peer.retention import reference
from timed.peer.session import State
from timed.peer.traffic import Flush, Traffic
from timed.sim.run import Run
from timed.sim.world import Scenario
from timed.wire.catalogue import BY_NAME, limit_for
from timed.wire.framing import Flags, Frame, FrameError
from timed.wire.jsonlines import EXPANSION, MAX_OVERHEAD, LineReader, decode_line, encode_line
from timed.wire.message import Message, Priority
from timed.wire.messages import (
    Ack,
    BlockAnnouncement,
    BlockCommit,
    BlocksResponse,
    GetBlocks,
    GetPeers,
    GetPendingTransactions,
    Goodbye,
    PeersResponse,
    PendingTransactionsResponse,
    Ping,
    Pong,
)

JSON = Dialect(json=True)
OLD_WAY = Dialect(json=True, batching=False, priorities=False)
NEWS = BlockAnnouncement(height=1, hash=bytes(32))


def dense(txids: int) -> PendingTransactionsResponse:
    """Whose line is as long as it gets: every byte has three digits."""
    return PendingTransactionsResponse(epoch=1, txids=(b"\xff" * 32,) * txids)


class LineReaderTests(SynchronousTestCase):
    def reader(self) -> LineReader:
        return LineReader(limit_for)

    def lines(self) -> tuple[bytes, list[Frame]]:
        sent: list[tuple[Message, int, bool]] = [
            (Ping(1, 2), 0, False), (GetPeers(), 7, False), (PeersResponse(peers=()), 7, True),
            (commit(), 0, False), (GetBlocks(start=1, count=2), 2**32 - 1, False), (long_reply(200), 9, True),
        ]  # fmt: skip
        data = b"".join(encode_line(message, request_id=n, reply=reply) + b"\n" for message, n, reply in sent)
        return data, [
            Frame(message.entry().number, int(Flags.REPLY) if reply else 0, n, message.encode())
            for message, n, reply in sent
        ]

    def test_a_line_is_read_into_the_frame_that_it_stands_for(self) -> None:
        data, frames = self.lines()
        self.assertEqual(self.reader().feed(data), frames)

    @settings(deadline=None, max_examples=40)
    @given(st.lists(st.integers(1, 400), max_size=60))
    def test_cuts_make_no_difference(self, cuts: list[int]) -> None:
        data, frames = self.lines()
        reader, found, at = self.reader(), [], 0
        for cut in [*cuts, len(data)]:
            found += reader.feed(data[at : at + cut])
            at += cut
        self.assertEqual((found, reader.buffered), (frames, 0))

    def test_the_size_of_a_message_is_that_of_its_line(self) -> None:
        data, _ = self.lines()
        reader = self.reader()
        sizes = [reader.size for _ in reader.frames(data)]
        self.assertEqual(sizes, [len(line) for line in data.splitlines(keepends=True)])

    def assert_ends(self, rule: str, *pieces: bytes) -> LineReader:
        """The last of the pieces breaks the rule; nothing is read behind it."""
        reader = self.reader()
        for piece in pieces[:-1]:
            self.assertEqual(reader.feed(piece), [])
        with self.assertRaises(RemoteError) as caught:
            reader.feed(pieces[-1])
        self.assertEqual(caught.exception.rule, rule)
        self.assertEqual(reader.feed(self.lines()[0]), [])
        return reader

    def test_a_line_is_bounded_before_it_is_kept(self) -> None:
        """[17] By the type it names, whose bound is asked for before more of it is buffered."""
        bound = EXPANSION * BY_NAME["Ping"].max_size + MAX_OVERHEAD
        head = b'{"Ping":{"nonce":1,"time":2,"x":"'
        for piece in (b"x" * bound, b"x" * 100_000_000):
            reader = self.assert_ends("line-too-long", head.ljust(100, b"x"), piece)
            self.assertLessEqual(reader.buffered, 100)
        self.assert_ends("line-too-long", head + b"x" * bound + b'"}}\n')
        asked: list[int] = []
        careful = LineReader(lambda number: asked.append(number) or 10)  # type: ignore[func-returns-value]
        careful.feed(b'{"BlocksResponse":')
        self.assertEqual(asked, [], "nothing is decided before the line has said what it is")
        with self.assertRaises(FrameError):
            careful.feed(b"[" * 10_000)
        self.assertEqual(asked, [BY_NAME["BlocksResponse"].number])

    def test_what_does_not_begin_as_a_message_ends_at_once(self) -> None:
        """Within the first bytes, long before a line feed."""
        for start in (b"GET / HTTP/1.1", b'{ "Ping":', b"{}", b"\xff", b'{"' + b"a" * 49 + b'":', b" "):
            self.assert_ends("line-start", start.ljust(64, b"{"))
        self.assert_ends("line-start", b"\n")
        self.assert_ends("line-start", REGTEST.magic.ljust(64, b"\0"))

    def test_what_stands_in_a_line_is_decoded_strictly(self) -> None:
        for rule, line in (
            ("json-syntax", b'{"Ping":{"nonce":1,"time":2}'),
            ("json-syntax", b'{"Ping":{"nonce":1,"time":2}} 1'),
            ("json-message", b'{"Ping":{"nonce":1,"time":2},"Pong":1}'),
            ("json-message", b'{"GetPeers":{},"id":0}'),
            ("json-message", b'{"GetPeers":{},"id":4294967296}'),
            ("json-message", b'{"GetPeers":{},"id":true}'),
            ("json-message", b'{"GetPeers":{},"reply":true}'),
            ("json-message", b'{"PeersResponse":{"peers":[]},"reply":true,"id":1}'),
            ("json-message", b'{"PeersResponse":{"peers":[]},"id":1,"reply":false}'),
            ("json-syntax", b'{"Ping":{"nonce":-1,"time":2}}'),
            ("json-field", b'{"Ping":{"nonce":18446744073709551616,"time":2}}'),
        ):
            self.assert_ends(rule, line + b"\n")
            with self.assertRaises(DecodeError) as caught:
                decode_line(line)
            self.assertEqual(caught.exception.rule, rule)

    def test_a_message_that_nobody_knows_is_passed_on_as_such(self) -> None:
        (frame, known) = self.reader().feed(b'{"Snapshot":{"of":[1,2]},"id":3}\n{"GetPeers":{}}\n')
        self.assertEqual((frame.number, frame.request_id, frame.payload), (0, 3, b""))
        self.assertEqual(known.number, BY_NAME["GetPeers"].number)

    @settings(deadline=None, max_examples=300)
    @given(
        st.lists(
            st.binary(max_size=80)
            | st.sampled_from(
                [
                    b'{"Ping":{"nonce":1,"time":2},"id":7}\n',
                    b"\n",
                    b'{"Ping":',
                    b'{"nonce":1,"time":2}',
                    b"}",
                    b',"id":',
                    b"7",
                    b"[" * 5_000,
                ]
            ),
            max_size=12,
        )
    )
    def test_any_bytes_are_frames_or_an_error_of_the_peer(self, pieces: list[bytes]) -> None:
        """Whatever comes: values or a RemoteError, and a bounded buffer."""
        reader = self.reader()
        for piece in pieces:
            try:
                for frame in reader.frames(piece):
                    self.assertIsInstance(frame, Frame)
            except RemoteError as error:
                self.assertTrue(error.rule)
                return
            self.assertLessEqual(reader.buffered, EXPANSION * limit_for(0) + MAX_OVERHEAD)


class LineSessionTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.wire = Wire()

    def pair(
        self, mine: Dialect = JSON, theirs: Dialect = JSON, params: NetworkParams = REGTEST
    ) -> tuple[Host, Host]:
        a, b = (
            self.wire.host(number, wanted=wanted, identity=attrs.evolve(identity(number, params=params), dialect=dialect))
            for number, wanted, dialect in ((1, [2], mine), (2, [], theirs))
        )  # fmt: skip
        self.wire.run(SECOND)
        self.assertEqual([len(host.table.peers()) for host in (a, b)], [1, 1])
        return a, b

    def said(self, host: Host) -> list[bytes]:
        """The lines that a host wrote behind its Ack; AssertionError when they are none."""
        written = b"".join(write.data for write in host.writes)
        _, ack, rest = written.partition(Ack.entry().number.to_bytes(2, "little") + bytes(2) + b"\x22\0\0\0")
        self.assertTrue(ack, "there is an Ack")
        lines = rest[4 + 0x22 + (0 if self.wire.tls else 4) :]
        self.assertTrue(lines.endswith(b"\n"))
        for line in lines.splitlines():
            decode_line(line)
        return lines.splitlines()

    def test_both_want_it_on_regtest(self) -> None:
        for tls in (True, False):
            self.wire = Wire(tls=tls)
            a, b = self.pair()
            for host in (a, b):
                self.assertTrue(host.table.peers()[0].features & Feature.JSON)
            self.assertEqual([type(decode_line(line)) for line in self.said(a)], [Ping, Pong])

    def test_one_alone_does_not_get_it(self) -> None:
        for mine, theirs in (
            (JSON, Dialect()),
            (Dialect(), JSON),
            (JSON, Dialect(wire_version=1, json=True)),
        ):
            a, b = self.pair(mine, theirs)
            self.assertEqual([host.table.peers()[0].features & Feature.JSON for host in (a, b)], [0, 0])
            a.table.send_to_peer(b.node_id, NEWS)
            a.call(None)
            self.wire.run(SECOND)
            self.assertEqual(b.incoming(), [NEWS])
            self.assertNotIn(b'{"', b"".join(write.data for write in a.writes))

    def test_no_other_network_has_it(self) -> None:
        self.assertFalse(features_of(JSON, MAINNET) & Feature.JSON)
        a, b = self.pair(params=MAINNET)
        self.assertEqual([host.table.peers()[0].features & Feature.JSON for host in (a, b)], [0, 0])

    def test_requests_replies_and_acknowledgements_travel_likewise(self) -> None:
        a, b = self.pair()
        asked = a.table.request(b.node_id, GetBlocks(start=1, count=1), self.wire.now)
        a.table.send_to_peer(b.node_id, commit())
        a.call(None)
        self.wire.run(SECOND)
        self.assertEqual(b.incoming(), [commit(), GetBlocks(start=1, count=1)])
        self.assertEqual(len(a.table.retention), 0, "acknowledged")
        b.table.send_to_peer(a.node_id, BlocksResponse(blocks=()), reply_to=asked or 0)
        b.call(None)
        self.wire.run(SECOND)
        (reply,) = [delivery for delivery in a.deliveries if getattr(delivery, "is_reply", False)]
        self.assertEqual((reply.request_id, reply.message), (asked, BlocksResponse(blocks=())))  # type: ignore[union-attr]
        self.assertIn(f'{{"GetBlocks":{{"start":1,"count":1}},"id":{asked}}}'.encode(), self.said(a))
        self.assertIn(
            f'{{"BlocksResponse":{{"blocks":[]}},"id":{asked},"reply":true}}'.encode(), self.said(b)
        )

    def test_a_long_line_stays_whole_while_others_wait(self) -> None:
        """Classes take turns between lines only; what is more urgent leaves behind the line under way."""
        a, b = self.pair()
        asked = a.table.request(b.node_id, GetPendingTransactions(), self.wire.now)
        b.table.send_to_peer(a.node_id, long_reply(), reply_to=asked or 0)
        b.call(None)
        for height in range(100):
            b.table.send_to_peer(a.node_id, commit(height))
        b.call(None)
        self.wire.run(5 * SECOND)
        self.assertEqual(a.table.violations, {})
        names = [type(decode_line(line)) for line in self.said(b)]
        self.assertLess(names.index(PendingTransactionsResponse), names.index(BlockCommit))
        self.assertEqual(a.incoming(), [*map(commit, range(100)), long_reply()])

    def test_the_room_for_payloads_is_that_of_their_lines(self) -> None:
        """Whoever fills the room that is told does not overflow the queue of a session in lines."""
        a, b = self.pair()
        (end,) = self.wire.links_between(b, a)
        end.stuck = True
        sent = 0
        for _ in range(2):
            b.table.send_to_peer(a.node_id, dense(2_000))
            b.call(None)
        while (room := room_of(b.table.room(a.node_id))) > 10_000:
            self.assertTrue(b.table.send_to_peer(a.node_id, dense(min(60_000, (room - 40) // 32))), room)
            sent += 1
        self.assertGreater(sent, 1)
        self.assertEqual((b.table.overflows, len(b.table.peers())), (0, 1))

    def test_bytes_are_counted_as_they_are_on_the_link(self) -> None:
        a, b = self.pair()
        for number in range(30):
            a.table.send_to_peer(b.node_id, commit(number))
        a.call(None)
        self.wire.run(SECOND)
        ours, theirs = a.table.traffic(), b.table.traffic()
        written = sum(len(write.data) for write in a.writes)
        self.assertEqual((ours.bytes_sent, sum(ours.sent_bytes.values())), (written, written))
        self.assertEqual((theirs.bytes_received, theirs.incomplete), (written, 0))
        self.assertEqual(theirs.received_bytes, ours.sent_bytes)
        lines = [line for line in self.said(a) if b"BlockCommit" in line]
        self.assertEqual(ours.sent_bytes["BlockCommit"], sum(len(line) + 1 for line in lines))

    def test_a_broadcast_is_one_line_for_all_that_read_lines(self) -> None:
        encoder = Encoder(REGTEST.magic)
        encoded = encoder.encode(NEWS)
        line = encoder.parcel(encoded, Form(checksum=False, lines=True))
        self.assertIs(encoder.parcel(encoded, Form(checksum=False, lines=True)), line)
        self.assertEqual((b"".join(line.frames), encoder.encodes), (encode_line(NEWS) + b"\n", 1))
        kept = encoder.again(NEWS.entry().number, NEWS.encode())
        self.assertEqual(encoder.parcel(kept, Form(checksum=False, lines=True)).frames, line.frames)

    def test_a_goodbye_is_a_line_too(self) -> None:
        a, b = self.pair()
        a.call(a.table.stop(self.wire.now))
        self.wire.run(SECOND)
        self.assertEqual(b.closed()[0].reason, "stopping")
        self.assertEqual(decode_line(self.said(a)[-1]), Goodbye("stopping", ""))

    def test_nothing_is_said_in_the_middle_of_a_line(self) -> None:
        """Whoever is cut off there gets no Goodbye that it could not read."""
        a, b = self.pair()
        (end,) = self.wire.links_between(b, a)
        end.stuck = True
        b.table.send_to_peer(a.node_id, long_reply())
        b.call(None)
        b.call(b.table.stop(self.wire.now))
        self.wire.run(SECOND)
        self.assertEqual(a.table.violations, {})
        self.assertEqual([closed.reason for closed in a.closed()], ["connection-done"])

    def line_stranger(self) -> Stranger:
        """A peer that speaks lines by hand, on an open session."""
        host = self.wire.host(1, identity=attrs.evolve(identity(1), dialect=JSON))
        stranger = Stranger(host)
        (theirs,) = stranger.heard()
        mine = handshake_of(host)
        stranger.send(msgspec.structs.replace(mine, features=int(Feature.JSON)))
        stranger.reader.leave()
        stranger.send(Ack(number=1, reference=reference(theirs.encode())))
        host.writes.clear()
        return stranger

    def test_garbage_in_lines_ends_the_session_by_name(self) -> None:
        for rule, data in (
            ("line-start", b"hello\n"),
            ("line-too-long", b'{"Ping":' + b"1" * 10_000),
            ("json-syntax", b'{"Ping":\n'),
            ("json-field", b'{"Ping":{}}\n'),
        ):
            stranger = self.line_stranger()
            stranger.send_bytes(data)
            table = stranger.host.table
            self.assertEqual((table.violations[rule], table.peers()), (1, ()))
            self.assertEqual([entry.event for entry in table.conduct.ledger], ["malformed"])

    def test_an_unknown_message_in_a_line_is_counted_and_skipped(self) -> None:
        stranger = self.line_stranger()
        stranger.send_bytes(b'{"Snapshot":{}}\n' + encode_line(NEWS) + b"\n")
        self.assertEqual(stranger.host.table.traffic().unknown, 1)
        self.assertEqual(stranger.host.incoming(), [NEWS])

    def test_an_answer_that_nobody_asked_for_is_kept_no_longer_than_an_unknown_message(self) -> None:
        stranger = self.line_stranger()
        allowed = EXPANSION * limits.UNKNOWN_TYPE_BYTES + MAX_OVERHEAD
        stranger.send_bytes(b'{"BlocksResponse":' + b" " * (allowed + 1))
        self.assertEqual(stranger.host.table.violations["line-too-long"], 1)

    @settings(deadline=None, max_examples=80)
    @given(
        st.lists(
            st.binary(max_size=60) | st.sampled_from([b"\n", b'{"Ping":{"nonce":1,"time":2}}\n']), max_size=8
        )
    )
    def test_any_bytes_leave_the_table_in_order(self, pieces: list[bytes]) -> None:
        stranger = self.line_stranger()
        for piece in pieces:
            if link_state(stranger.host.table, stranger.link) is not State.OPEN:
                break
            stranger.send_bytes(piece)
        table = stranger.host.table
        self.assertEqual(len(table.peers()), 0 if table.violations else 1)


class OneWriteEachTests(SynchronousTestCase):
    def outbox(self, **options: bool) -> tuple[Outbox, Traffic]:
        traffic = Traffic()
        return Outbox(Budget(), traffic=traffic, **options), traffic

    def fill(self, outbox: Outbox) -> list[bytes]:
        """A message of each class, the least urgent first, as frames."""
        encoder, frames = Encoder(REGTEST.magic), []
        for message in (PendingTransactionsResponse(epoch=1, txids=()), GetPeers(), NEWS, Ping(1, 2)):
            parcel = encoder.parcel(encoder.encode(message), Form(checksum=True))
            outbox.push(parcel, START)
            frames.append(b"".join(parcel.frames))
        return frames

    def test_without_batching_every_message_is_a_write(self) -> None:
        outbox, traffic = self.outbox(batching=False)
        frames = self.fill(outbox)
        written = []
        while outbox.ready_at(START) == START and (data := outbox.take(START)):
            written.append(data)
        self.assertEqual(written, [frames[3], frames[2], frames[0], frames[1]])
        self.assertEqual(traffic.writes, {Flush.SINGLE: 4})

    def test_a_long_message_is_one_write_as_far_as_there_is_room(self) -> None:
        outbox, _ = self.outbox(batching=False)
        encoder = Encoder(REGTEST.magic)
        parcel = encoder.parcel(encoder.encode(long_reply(1_500)), Form(checksum=False))
        self.assertEqual(len(parcel.frames), 3)
        outbox.push(parcel, START)
        self.assertEqual(outbox.take(START), b"".join(parcel.frames))

    def test_without_priorities_the_first_leaves_first(self) -> None:
        outbox, traffic = self.outbox(priorities=False)
        frames = self.fill(outbox)
        self.assertEqual(outbox.take(START), b"".join(frames))
        self.assertEqual(sum(traffic.writes.values()), 1)

    def test_without_priorities_a_vote_waits_for_the_block_before_it(self) -> None:
        outbox, _ = self.outbox(priorities=False)
        encoder = Encoder(REGTEST.magic)
        block = encoder.parcel(encoder.encode(long_reply(20_000)), Form(checksum=False))
        vote = encoder.parcel(encoder.encode(NEWS), Form(checksum=False))
        outbox.push(block, START)
        outbox.push(vote, START)
        written = b""
        while outbox.queued:
            written += outbox.take(START)
            outbox.drained(START)
        self.assertEqual(written, b"".join((*block.frames, *vote.frames)))
        self.assertEqual((outbox.waiting, outbox.waiting_urgent), (0, 0))
        self.assertEqual([queue.messages for queue in outbox.queues(START)], [0] * len(Priority))

    def test_a_table_without_batching_writes_each_message_in_its_turn(self) -> None:
        wire = Wire()
        a = wire.host(1, wanted=[2], identity=attrs.evolve(identity(1), dialect=Dialect(batching=False)))
        b = wire.host(2)
        wire.run(SECOND)
        for _ in range(5):
            a.table.send_to_peer(b.node_id, NEWS)
        writes = [action for action in a.table.drain(wire.now) if hasattr(action, "data")]
        self.assertEqual(len(writes), 5)


class ToldMessagesTests(SynchronousTestCase):
    def test_each_message_is_an_event_with_its_bytes(self) -> None:
        """What is told is what is counted."""
        wire = Wire()
        a = wire.host(1, wanted=[2], identity=attrs.evolve(identity(1), dialect=Dialect(tell_messages=True)))
        b = wire.host(2)
        wire.run(SECOND)
        a.table.send_to_peer(b.node_id, NEWS)
        a.call(None)
        wire.run(SECOND)
        told = [event for event in a.events if isinstance(event, PeerMessage)]
        traffic = a.table.traffic()
        for sent, counted in ((True, traffic.sent_bytes), (False, traffic.received_bytes)):
            sums: dict[str, int] = {}
            for event in told:
                if event.sent is sent:
                    sums[event.name] = sums.get(event.name, 0) + event.size
            self.assertEqual(sums, counted)
        self.assertEqual([event for event in b.events if isinstance(event, PeerMessage)], [])


class LineNetworkTests(SynchronousTestCase):
    """Whole simulated networks: payments become final, blocks are made, a late node catches up."""

    def play(self, *dialects: Dialect, plain: bool = False) -> Run:
        run = Run(Scenario(7, followers=1, minutes=1, dialects=dialects, plain=plain))
        run.play()
        self.assertEqual(len(set(run.world.heights())), 1)
        self.assertGreater(len(run.world.invariants.chain.final), 50)
        return run

    def features(self, run: Run) -> list[list[int]]:
        return [
            [peer.features & Feature.JSON for peer in process.node.peers.peers()]
            for process in run.world.running()
        ]

    def test_a_network_of_lines(self) -> None:
        self.assertEqual(self.features(self.play(*[JSON] * 5)), [[1] * 4] * 5)

    def test_a_network_as_it_once_was_on_plain_links(self) -> None:
        """No batching, no priorities, no TLS."""
        run = self.play(*[OLD_WAY] * 5, plain=True)
        self.assertEqual(self.features(run), [[1] * 4] * 5)
        for process in run.world.running():
            self.assertEqual(list(process.node.peers.traffic().writes), [Flush.SINGLE])

    def test_a_network_of_both(self) -> None:
        """Two that want lines have them between them, and frames with the others."""
        self.assertEqual(
            sorted(map(sorted, self.features(self.play(JSON, JSON)))), [[0] * 4] * 3 + [[0, 0, 0, 1]] * 2
        )
