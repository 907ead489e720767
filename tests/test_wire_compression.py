"""Compressed payloads: what is worth it, what is refused before it is expanded, and what a session does."""

from __future__ import annotations

import random
import struct

import attrs
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.peer_harness import Host, Stranger, Wire, identity
from tests.test_peer_sessions import open_stranger
from tests.test_peer_table import commit
from timed.bench.samples import all_messages
from timed.errors import RemoteError
from timed.params import REGTEST, SECOND
from timed.peer import limits
from timed.peer.dialect import Dialect, Feature, features_of
from timed.peer.encoder import Encoder, Form
from timed.sim.run import Run
from timed.sim.world import Scenario
from timed.wire.catalogue import BY_NAME, MESSAGES, limit_for
from timed.wire.compression import (
    LEAST_GAIN_PERCENT,
    MAX_BYTES,
    MAX_WINDOW_BYTES,
    MIN_BYTES,
    SAMPLE_BYTES,
    CompressionError,
    Packing,
)
from timed.wire.framing import Flags, FrameError, FrameReader, frames_of
from timed.wire.message import Direction, Priority
from timed.wire.messages import (
    GetPeers,
    GetPendingTransactions,
    PeerAddress,
    PeersResponse,
    PendingTransactionsResponse,
)

PEERS = BY_NAME["PeersResponse"].number
COMPRESSED_FORM = Form(checksum=False, compressed=True)


def peers(count: int, seed: int = 1) -> PeersResponse:
    """Half noise, half the same again and again, as addresses are."""
    noise = random.Random(seed)
    return PeersResponse(
        tuple(
            PeerAddress(noise.randbytes(32), "192.0.2.17", 24_000, 1_766_000_000_123_456)
            for _ in range(count)
        )
    )


class PackingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.packing = Packing()

    def test_what_was_packed_comes_back(self) -> None:
        payload = peers(200).encode()
        packed = self.packing.pack(payload) or b""
        self.assertLess(len(packed), len(payload) * 7 // 10)
        self.assertEqual(self.packing.unpack(packed, len(payload)), payload)

    def test_the_same_payload_gives_the_same_bytes(self) -> None:
        """Determinism: whatever was packed before, and by whom."""
        payload = peers(200).encode()
        first = self.packing.pack(payload)
        self.packing.pack(peers(300, seed=2).encode())
        self.assertEqual((self.packing.pack(payload), Packing().pack(payload)), (first, first))

    def test_short_and_very_long_payloads_stay_as_they_are(self) -> None:
        for size, worth in (
            (MIN_BYTES, False),
            (MIN_BYTES + 1, True),
            (MAX_BYTES, True),
            (MAX_BYTES + 1, False),
        ):
            noise = random.Random(size).randbytes(size // 2)
            payload = noise[:400] + bytes(32) * (size // 64) + noise
            payload = payload[:size].ljust(size, b"\1")
            self.assertEqual(self.packing.pack(payload) is not None, worth, size)

    def test_noise_stays_as_it_is(self) -> None:
        """A form that is not shorter by a tenth is never sent: hashes and signatures do not compress."""
        for size in (2_000, 100_000, 1_000_000):
            self.assertIsNone(self.packing.pack(random.Random(1).randbytes(size)))

    def test_what_is_packed_is_shorter_by_the_least_gain(self) -> None:
        noise = random.Random(3)
        for share in range(0, 100, 3):
            payload = noise.randbytes(4_000 * (100 - share) // 100) + bytes(4_000 * share // 100)
            packed = self.packing.pack(payload)
            if packed is not None:
                self.assertLessEqual(100 * len(packed), (100 - LEAST_GAIN_PERCENT) * len(payload))
                self.assertEqual(self.packing.unpack(packed, 4_000), payload)

    def test_the_beginning_of_a_long_payload_decides_whether_the_rest_is_tried(self) -> None:
        noise = random.Random(4).randbytes(SAMPLE_BYTES)
        self.assertIsNone(self.packing.pack(noise + bytes(SAMPLE_BYTES)))
        self.assertIsNotNone(self.packing.pack((noise + bytes(SAMPLE_BYTES))[:-1]))

    def test_no_node_sends_what_another_would_take_for_a_bomb(self) -> None:
        """Beyond the ratio a payload is sent as it is, so traffic of an unmodified node is never refused."""
        for size in (2_000, 10_000, MAX_BYTES):
            self.assertIsNone(self.packing.pack(bytes(size)))
        payload = random.Random(5).randbytes(1_000) + bytes(1_000)
        packed = self.packing.pack(payload)
        self.assertIsNotNone(packed)
        self.assertEqual(self.packing.unpack(packed or b"", len(payload)), payload)

    @settings(deadline=None, max_examples=60)
    @given(st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=12), st.integers(1, 400))
    def test_whatever_is_packed_is_accepted_and_equal(self, parts: list[bytes], times: int) -> None:
        payload = (b"".join(parts) * times)[:MAX_BYTES]
        packed = self.packing.pack(payload)
        if packed is not None:
            self.assertEqual(self.packing.unpack(packed, len(payload)), payload)


class BombTests(SynchronousTestCase):
    """[17] What an enemy packs: judged by its header, refused by name, never expanded."""

    def refused(self, rule: str, packed: bytes, limit: int = 100_000) -> None:
        with self.assertRaises(CompressionError) as caught:
            Packing().unpack(packed, limit)
        self.assertEqual(caught.exception.rule, rule)

    def frame(self, payload: bytes, **options: bool) -> bytes:
        return zstandard.ZstdCompressor(level=19, **options).compress(payload)  # type: ignore[arg-type]

    def test_a_size_beyond_the_type_s_bound(self) -> None:
        noise = random.Random(1).randbytes(1_000)
        self.refused("compressed-size", self.frame(noise * 100), limit=99_999)
        self.assertEqual(Packing().unpack(self.frame(noise + bytes(9_000)), 10_000), noise + bytes(9_000))

    def test_a_ratio_beyond_any_message(self) -> None:
        """A gigabyte of zeros in 33 kB, and a megabyte in fifty bytes."""
        self.refused("compressed-ratio", self.frame(bytes(1_000_000)), limit=5_000_000)
        huge = zstandard.ZstdCompressor().compressobj(size=2**30)
        bomb = b"".join(huge.compress(bytes(2**20)) for _ in range(2**10)) + huge.flush()
        self.assertLess(len(bomb), 150_000)
        self.refused("compressed-size", bomb, limit=5_000_000)
        self.refused("compressed-ratio", bomb, limit=2**31)

    def test_a_form_that_is_no_shorter(self) -> None:
        self.refused("compressed-ratio", self.frame(random.Random(1).randbytes(2_000)))
        self.refused("compressed-ratio", self.frame(b""))

    def test_a_frame_that_does_not_tell_its_size(self) -> None:
        stream = zstandard.ZstdCompressor().compressobj()
        self.refused("compressed-size", stream.compress(bytes(5_000)) + stream.flush())

    def test_a_frame_that_says_less_or_more_than_it_holds(self) -> None:
        honest = self.frame(random.Random(1).randbytes(1_000) + bytes(3_000))
        descriptor = honest[4]
        self.assertEqual(
            (descriptor >> 6, descriptor >> 5 & 1), (1, 1), "two bytes of size behind one of flags"
        )
        for said in (3_999, 4_001, 1_500):
            lying = honest[:5] + struct.pack("<H", said - 256) + honest[7:]
            self.refused("compressed-damaged", lying)

    def test_a_window_beyond_what_decoders_bear(self) -> None:
        """Two gigabytes of window for a payload of two kilobytes."""
        header = b"\x28\xb5\x2f\xfd" + bytes([0b0100_0000, (31 - 10) << 3]) + struct.pack("<H", 2_000 - 256)
        self.refused("compressed-size", header + bytes(200))
        fits = b"\x28\xb5\x2f\xfd" + bytes([0b0100_0000, (23 - 10) << 3]) + struct.pack("<H", 2_000 - 256)
        self.assertEqual(zstandard.get_frame_parameters(fits).window_size, MAX_WINDOW_BYTES)

    def test_a_dictionary(self) -> None:
        header = b"\x28\xb5\x2f\xfd" + bytes([0b0110_0001, 7]) + struct.pack("<H", 2_000 - 256)
        self.refused("compressed-damaged", header + bytes(200))

    def test_more_than_one_frame(self) -> None:
        one = self.frame(random.Random(1).randbytes(1_000) + bytes(3_000))
        for more in (one, b"\0", b"\x50\x2a\x4d\x18\x04\0\0\0abcd"):
            self.refused("compressed-damaged", one + more)

    def test_a_skippable_frame(self) -> None:
        self.refused("compressed-damaged", b"\x50\x2a\x4d\x18" + struct.pack("<L", 100) + bytes(100))

    def test_every_cut(self) -> None:
        whole = self.frame(random.Random(1).randbytes(300) + bytes(3_000))
        for cut in range(len(whole)):
            with self.assertRaises(CompressionError):
                Packing().unpack(whole[:cut], 100_000)

    @settings(deadline=None, max_examples=300)
    @given(
        st.integers(0, 2**32),
        st.lists(st.tuples(st.integers(0, 2_000), st.integers(0, 255)), max_size=8),
        st.binary(max_size=40),
    )
    def test_any_bytes_are_a_bounded_payload_or_an_error(
        self, seed: int, changes: list[tuple[int, int]], tail: bytes
    ) -> None:
        """A value within the limit, or a RemoteError; after either the next one is read as ever."""
        packing = Packing()
        data = bytearray(self.frame(random.Random(seed).randbytes(500) + bytes(2_000)))
        for at, value in changes:
            data[at % len(data)] = value
        try:
            self.assertLessEqual(len(packing.unpack(bytes(data) + tail, 5_000)), 5_000)
        except RemoteError as error:
            self.assertTrue(error.rule.startswith("compressed-"))
        payload = peers(100).encode()
        self.assertEqual(packing.unpack(packing.pack(payload) or b"", len(payload)), payload)


class FrameTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.packing = Packing()
        self.payload = peers(1_000).encode()
        self.packed = self.packing.pack(self.payload) or b""

    def reader(self, limit: int = 100_000) -> FrameReader:
        return FrameReader(REGTEST.magic, limit_for=lambda number: limit, unpack=self.packing.unpack)

    def frames(self, number: int = PEERS) -> bytes:
        return b"".join(
            frames_of(REGTEST.magic, number, self.packed, request_id=5, reply=True, compressed=True)
        )

    def test_fragments_of_a_compressed_payload_are_joined_and_expanded(self) -> None:
        data = self.frames()
        self.assertGreater(len(data), 16_384)
        for step in (1, 7, 16_384, len(data)):
            reader = self.reader()
            found = [frame for at in range(0, len(data), step) for frame in reader.feed(data[at : at + step])]
            self.assertEqual([(frame.payload, frame.request_id, frame.is_reply) for frame in found],
                             [(self.payload, 5, True)])  # fmt: skip
            self.assertEqual((reader.size, reader.buffered), (len(data), 0), "the bytes of the link")

    def test_the_bound_of_the_type_holds_before_and_after(self) -> None:
        with self.assertRaises(FrameError) as caught:
            self.reader(len(self.packed) - 1).feed(self.frames())
        self.assertEqual(caught.exception.rule, "frame-too-long")
        with self.assertRaises(CompressionError) as refused:
            self.reader(len(self.payload) - 1).feed(self.frames())
        self.assertEqual(refused.exception.rule, "compressed-size")

    def test_pieces_of_one_message_agree_on_the_flag(self) -> None:
        first, second, *_ = frames_of(REGTEST.magic, PEERS, self.packed, compressed=True)
        plain = (
            second[:6]
            + struct.pack("<H", struct.unpack_from("<H", second, 6)[0] & ~Flags.COMPRESSED)
            + second[8:]
        )
        with self.assertRaises(FrameError) as caught:
            self.reader().feed(first + plain)
        self.assertEqual(caught.exception.rule, "frame-fragment")

    def test_types_that_are_not_compressed_are_refused_on_the_header(self) -> None:
        """No CPU of an expansion is ever spent on the way of a vote."""
        for entry in MESSAGES:
            header = frames_of(REGTEST.magic, entry.number, b"x" * 20, compressed=True)[0][:16]
            if entry.compress:
                self.reader().feed(header)
            else:
                with self.assertRaises(FrameError) as caught:
                    self.reader().feed(header)
                self.assertEqual(caught.exception.rule, "compression-not-negotiated")

    def test_a_compressed_message_of_an_unknown_type_is_passed_on_unread(self) -> None:
        (frame,) = self.reader().feed(self.frames(number=999))
        self.assertEqual((frame.number, frame.payload), (999, self.packed))


class CatalogueTests(SynchronousTestCase):
    def test_consensus_control_and_transactions_are_never_compressed(self) -> None:
        for entry in MESSAGES:
            if entry.compress:
                self.assertGreaterEqual(entry.priority, Priority.QUERIES, entry.name)
                self.assertIs(entry.direction, Direction.REPLY, entry.name)

    def test_a_compressed_type_may_be_longer_than_what_is_compressed_at_all(self) -> None:
        for entry in MESSAGES:
            if entry.compress:
                self.assertGreater(entry.max_size, MIN_BYTES, entry.name)

    def test_types_that_are_noise_are_not_tried(self) -> None:
        """Of those left out that can be long, none gains anything."""
        packing = Packing()
        for message in all_messages():
            if not message.entry().compress:
                self.assertIsNone(packing.pack(message.encode()), message.message_type())


class EncoderTests(SynchronousTestCase):
    def test_a_broadcast_is_compressed_once_for_all_peers(self) -> None:
        encoder = Encoder(REGTEST.magic)
        encoded = encoder.encode(peers(100))
        parcel = encoder.parcel(encoded, COMPRESSED_FORM)
        self.assertIs(encoder.parcel(encoded, COMPRESSED_FORM), parcel)
        trailed = encoder.parcel(encoded, Form(checksum=True, compressed=True))
        self.assertEqual(trailed.packed, parcel.packed)
        self.assertLess(parcel.size, encoder.parcel(encoded, Form(checksum=False)).size)

    def test_peers_without_compression_share_what_is_not_compressed(self) -> None:
        """A vote, and a reply that does not gain, are one parcel for both."""
        encoder = Encoder(REGTEST.magic)
        for message in (commit(), GetPeers(), peers(3), PendingTransactionsResponse(epoch=1, txids=())):
            encoded = encoder.encode(message)
            self.assertIs(
                encoder.parcel(encoded, COMPRESSED_FORM), encoder.parcel(encoded, Form(checksum=False))
            )


class SessionTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.wire = Wire()

    def pair(self, mine: Dialect = Dialect(), theirs: Dialect = Dialect()) -> tuple[Host, Host]:  # noqa: B008
        a, b = (
            self.wire.host(number, wanted=wanted, identity=attrs.evolve(identity(number), dialect=dialect))
            for number, wanted, dialect in ((1, [2], mine), (2, [], theirs))
        )
        self.wire.run(SECOND)
        return a, b

    def answer(self, a: Host, b: Host, size: int = 500) -> tuple[int, int, int]:
        """b answers a question of a: the bytes of the reply on the link, b's counters of compression."""
        asked = a.table.request(b.node_id, GetPeers(), self.wire.now)
        a.table.drain(self.wire.now)  # nor does b hear it: it would answer by itself
        (session,) = b.table._links.values()
        session.served.accept(asked or 0, self.wire.now)
        b.table._send(session, b.table.encoder.encode(peers(size), request_id=asked or 0, reply=True))
        b.call(None)
        self.wire.run(SECOND)
        traffic = b.table.traffic()
        return traffic.sent_bytes["PeersResponse"], traffic.sent_plain, traffic.sent_packed

    def test_both_sides_compress_by_default_and_count_what_it_saves(self) -> None:
        a, b = self.pair()
        self.assertEqual(features_of(Dialect(), REGTEST), Feature.ZSTD)
        on_link, plain, packed = self.answer(a, b)
        self.assertEqual(plain, len(peers(500).encode()))
        self.assertLess(on_link, plain * 7 // 10)
        received = a.table.traffic()
        self.assertEqual((received.received_plain, received.received_packed), (plain, packed))
        self.assertEqual(received.received_bytes["PeersResponse"], on_link, "bytes are those of the link")
        self.assertEqual(a.table.violations, {})
        statistics = b.table.statistics(a.node_id)
        self.assertEqual((statistics.sent_plain, statistics.sent_packed), (plain, packed))  # type: ignore[union-attr]

    def test_one_side_without_it_gets_everything_as_it_is(self) -> None:
        for theirs in (Dialect(compression=False), Dialect(wire_version=1)):
            for mine, other in ((Dialect(), theirs), (theirs, Dialect())):
                a, b = self.pair(mine, other)
                on_link, plain, packed = self.answer(a, b)
                self.assertEqual((plain, packed), (0, 0))
                self.assertGreater(on_link, len(peers(500).encode()))
                self.assertEqual(a.table.violations, {})

    def test_lines_are_never_compressed(self) -> None:
        a, b = self.pair(Dialect(json=True), Dialect(json=True))
        _, plain, packed = self.answer(a, b)
        self.assertEqual((plain, packed, a.table.violations), (0, 0, {}))

    def stranger(self) -> Stranger:
        stranger = open_stranger(self.wire.host(1))
        self.assertEqual(stranger.host.table.peers()[0].features, Feature.ZSTD)
        return stranger

    def test_a_bomb_ends_the_session_by_name_and_counts_against_the_peer(self) -> None:
        zeros = zstandard.ZstdCompressor().compress(bytes(60_000))
        longest = limit_for(PEERS)
        for rule, packed in (
            ("compressed-ratio", zeros),
            (
                "compressed-size",
                zstandard.ZstdCompressor().compress(
                    random.Random(1).randbytes(longest // 40) + bytes(longest)
                ),
            ),
            (
                "compressed-damaged",
                zstandard.ZstdCompressor().compress(random.Random(1).randbytes(999) + bytes(9_000))[:-3],
            ),
            ("compressed-damaged", bytes(50)),
        ):
            stranger = self.stranger()
            table, now = stranger.host.table, self.wire.now
            asked = table.request(table.peers()[0].node_id, GetPeers(), now) or 0
            frames = frames_of(REGTEST.magic, PEERS, packed, reply=True, request_id=asked, compressed=True)
            stranger.send_bytes(b"".join(frames))
            self.assertEqual((dict(table.violations), table.peers()), ({rule: 1}, ()))
            self.assertEqual([entry.event for entry in table.conduct.ledger], ["malformed"])
            self.assertEqual(table.traffic().received_plain, 0)

    def test_an_answer_that_nobody_asked_for_expands_no_further_than_an_unknown_message(self) -> None:
        payload = (random.Random(1).randbytes(1_000) + bytes(1_500)) * 30
        self.assertGreater(len(payload), limits.UNKNOWN_TYPE_BYTES)
        self.assertLess(len(payload), limit_for(BY_NAME["BlocksResponse"].number))
        packed = zstandard.ZstdCompressor().compress(payload)
        stranger = self.stranger()
        number = BY_NAME["BlocksResponse"].number
        stranger.send_bytes(b"".join(frames_of(REGTEST.magic, number, packed, reply=True, compressed=True)))
        self.assertEqual(dict(stranger.host.table.violations), {"compressed-size": 1})

    def test_an_answer_that_nobody_asked_for_is_not_expanded(self) -> None:
        """Its beginning is looked at; the rest costs no more than it weighs."""
        payload = peers(300).encode()
        packed = Packing().pack(payload) or b""
        stranger = self.stranger()
        table = stranger.host.table
        frames = frames_of(REGTEST.magic, PEERS, packed, reply=True, request_id=9, compressed=True)
        stranger.send_bytes(b"".join(frames))
        self.assertEqual(table.conduct.counts["unsolicited-reply"], 1)
        self.assertEqual((dict(table.violations), table.traffic().received_plain), ({}, 0))
        asked = table.request(table.peers()[0].node_id, GetPeers(), self.wire.now) or 0
        frames = frames_of(REGTEST.magic, PEERS, packed, reply=True, request_id=asked, compressed=True)
        stranger.send_bytes(b"".join(frames))
        self.assertEqual(table.traffic().received_plain, len(payload))

    def test_nothing_compressed_comes_before_the_session_agreed_on_it(self) -> None:
        host = self.wire.host(1)
        stranger = Stranger(host)
        stranger.send_bytes(frames_of(REGTEST.magic, PEERS, b"x" * 50, compressed=True)[0])
        self.assertEqual(dict(host.table.violations), {"compression-not-negotiated": 1})

    def test_a_compressed_request_or_vote_is_refused(self) -> None:
        for message in (GetPendingTransactions(), commit()):
            stranger = self.stranger()
            frame = frames_of(REGTEST.magic, message.entry().number, b"x" * 50, compressed=True)[0]
            stranger.send_bytes(frame)
            self.assertEqual(dict(stranger.host.table.violations), {"compression-not-negotiated": 1})


class NetworkTests(SynchronousTestCase):
    def test_a_network_compresses_what_a_late_node_fetches_and_no_vote(self) -> None:
        run = Run(Scenario(9, followers=1, minutes=1))
        run.play()
        late = run.world.hosts[-1].process
        self.assertIsNotNone(late)
        traffic = late.node.peers.traffic()  # type: ignore[union-attr]
        self.assertGreater(traffic.received_plain, traffic.received_packed)
        self.assertGreater(traffic.received_packed, 0)

    def test_half_of_a_network_without_it_works_with_the_other_half(self) -> None:
        """Every invariant holds; all are at one height in the end."""
        run = Run(Scenario(9, followers=1, minutes=1, dialects=(Dialect(compression=False),) * 2))
        run.play()
        self.assertEqual(len(set(run.world.heights())), 1)
        for process in run.world.running()[:2]:
            traffic = process.node.peers.traffic()
            self.assertEqual((traffic.sent_packed, traffic.received_packed), (0, 0))
