"""Frames: bounds before bytes, fragments among other frames, work linear in the input."""

from __future__ import annotations

import random
import struct
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from timed.errors import LocalError, RemoteError
from timed.primitives.hashing import crc32c
from timed.wire.catalogue import (
    BY_NUMBER,
    MAX_HANDSHAKE_BYTES,
    MAX_UNKNOWN_BYTES,
    handshake_limit_for,
    limit_for,
)
from timed.wire.framing import (
    HEADER_SIZE,
    MAX_FRAME,
    MAX_UNKNOWN_ASSEMBLIES,
    Flags,
    Frame,
    FrameReader,
    Pieces,
    frames_of,
    payload_room,
)

MAGIC = b"\x52\x1d\x7e\x4d"
PING, VOTE, BLOCKS, TRANSACTIONS, UNKNOWN = 4, 17, 39, 22, 999

quick = settings(deadline=None, max_examples=60)


def reader(checksum: bool = False, **changes: Any) -> FrameReader:
    """A reader as on an open session."""
    return FrameReader(MAGIC, **{"limit_for": limit_for, "checksum": checksum, **changes})


def header(
    number: int = PING, *, magic: bytes = MAGIC, flags: int = 0, length: int = 0, request: int = 0
) -> bytes:
    """Sixteen bytes, written out independently of the code under test."""
    return magic + struct.pack("<HHLL", number, flags, length, request)


class Rejections(SynchronousTestCase):
    """Rule [17]: what is refused is refused on its header."""

    def assert_refused(self, rule: str, data: bytes, **changes: Any) -> None:
        """`data` ends the link with `rule`, and for good."""
        frames = reader(**changes)
        for _ in range(2):
            with self.assertRaises(RemoteError) as caught:
                frames.feed(data)
            self.assertEqual(caught.exception.rule, rule)
        self.assertEqual(frames.buffered, 0)

    def test_foreign_magic(self) -> None:
        """Another network, or another protocol altogether."""
        self.assert_refused("frame-magic", header(magic=b"TIME"))
        self.assert_refused("frame-magic", b"GET / HTTP/1.1\r\n\r\n")

    def test_too_long_for_its_type(self) -> None:
        """[17] The type's bound is checked before one byte of the payload has come."""
        for number in (PING, VOTE, 33):
            bound = min(limit_for(number), payload_room(False))
            self.assertEqual(reader().feed(header(number, length=bound)), [])
            self.assert_refused("frame-too-long", header(number, length=bound + 1))

    def test_four_gigabytes(self) -> None:
        """[17] A length of 4 GiB is refused although the type's messages may be fragmented."""
        self.assert_refused("frame-too-long", header(BLOCKS, length=2**32 - 1))
        self.assert_refused("frame-too-long", header(BLOCKS, length=payload_room(False) + 1))

    def test_fragments_beyond_the_bound_of_the_type(self) -> None:
        """[17] The sum of the pieces is checked on every header."""
        limit, room = limit_for(VOTE), payload_room(False)
        more = Flags.FRAGMENT | Flags.MORE
        first = header(VOTE, flags=more, length=room) + bytes(room)
        second = header(VOTE, flags=more, length=room) + bytes(room)
        frames = reader()
        self.assertEqual(frames.feed(first + second), [])
        with self.assertRaises(RemoteError) as caught:
            frames.feed(header(VOTE, flags=Flags.FRAGMENT, length=limit - 2 * room + 1))
        self.assertEqual(caught.exception.rule, "frame-too-long")

    def test_before_the_handshake(self) -> None:
        """[17] 4 KiB, whatever the type."""
        for number in (1, BLOCKS, UNKNOWN):
            self.assert_refused(
                "frame-too-long",
                header(number, length=MAX_HANDSHAKE_BYTES + 1),
                limit_for=handshake_limit_for,
            )

    def test_unknown_type_has_a_bound(self) -> None:
        """[17] An unknown type is passed on to be counted and skipped, up to 64 KiB."""
        whole = b"".join(frames_of(MAGIC, UNKNOWN, bytes(MAX_UNKNOWN_BYTES)))
        self.assertEqual([frame.number for frame in reader().feed(whole)], [UNKNOWN])
        self.assert_refused(
            "frame-too-long", b"".join(frames_of(MAGIC, UNKNOWN, bytes(MAX_UNKNOWN_BYTES + 1)))
        )

    def test_unknown_flags(self) -> None:
        """A bit nobody defined, and `more` without `fragment`."""
        self.assert_refused("frame-flags", header(flags=0x10))
        self.assert_refused("frame-flags", header(flags=0x8000))
        self.assert_refused("frame-flags", header(flags=Flags.MORE))

    def test_compression_that_nobody_negotiated(self) -> None:
        """A compressed frame is refused before it is expanded."""
        self.assert_refused("compression-not-negotiated", header(flags=Flags.COMPRESSED, length=16))

    def test_empty_fragments(self) -> None:
        """Pieces without bytes would make a message without end."""
        self.assert_refused("frame-fragment", header(BLOCKS, flags=Flags.FRAGMENT | Flags.MORE, length=0))

    def test_two_fragmented_messages_of_one_class(self) -> None:
        """Within a class a message ends before the next begins: memory is bounded by the classes."""
        more = Flags.FRAGMENT | Flags.MORE
        start = header(BLOCKS, flags=more, length=1, request=1) + b"x"
        for other in (
            header(BLOCKS, flags=more, length=1, request=2) + b"x",
            header(41, flags=more, length=1, request=1) + b"x",
            header(BLOCKS, flags=more | Flags.REPLY, length=1, request=1) + b"x",
        ):
            self.assert_refused("frame-fragment", start + other)

    def test_unknown_types_at_once(self) -> None:
        """[17] A newer peer may interleave types we do not know, but not without bound."""
        more = Flags.FRAGMENT | Flags.MORE
        starts = [
            header(900 + each, flags=more, length=1) + b"x" for each in range(MAX_UNKNOWN_ASSEMBLIES + 1)
        ]
        ends = [header(900 + each, flags=Flags.FRAGMENT, length=1) + b"y" for each in range(2)]
        frames = reader()
        self.assertEqual(frames.feed(b"".join(starts[:2])), [])
        self.assertEqual([each.payload for each in frames.feed(b"".join(ends))], [b"xy", b"xy"])
        self.assert_refused("frame-fragment", b"".join(starts))

    def test_damaged_bytes_on_plain_links(self) -> None:
        """The trailer covers header and payload: any flipped bit is found, nothing is delivered."""
        frame = frames_of(MAGIC, PING, bytes(16), request_id=5, checksum=True)[0]
        for place in range(4, len(frame)):
            damaged = bytearray(frame)
            damaged[place] ^= 0x04
            delivered = []
            with self.assertRaises(RemoteError, msg=str(place)) as caught:
                delivered = reader(True).feed(bytes(damaged) + bytes(MAX_FRAME))
            self.assertEqual(delivered, [])
            self.assertIn(caught.exception.rule, ("frame-checksum", "frame-flags", "frame-too-long",
                                                  "compression-not-negotiated"))  # fmt: skip

    def test_fields_out_of_range_are_our_own_mistake(self) -> None:
        """What cannot be written into a header is a LocalError."""
        self.assertRaises(LocalError, frames_of, b"abc", PING, b"")
        self.assertRaises(LocalError, frames_of, MAGIC, 1 << 16, b"")
        self.assertRaises(LocalError, frames_of, MAGIC, PING, b"", request_id=1 << 32)


class Delivery(SynchronousTestCase):
    """What goes in comes out, however it is cut."""

    @quick
    @given(
        st.lists(
            st.tuples(
                st.sampled_from((PING, VOTE, TRANSACTIONS, BLOCKS, UNKNOWN)),
                st.integers(0, 40_000),
                st.integers(0, 2**32 - 1),
                st.booleans(),
            ),
            max_size=4,
        ),
        st.booleans(),
        st.randoms(use_true_random=False),
    )
    def test_any_split_gives_the_same_messages(
        self, messages: list[tuple[int, int, int, bool]], checksum: bool, rng: random.Random
    ) -> None:
        """Whole, halved or byte by byte: the same messages in the same order, nothing left over."""
        sent, stream = [], b""
        for number, length, request_id, reply in messages:
            payload = rng.randbytes(min(length, limit_for(number)))
            stream += b"".join(
                frames_of(MAGIC, number, payload, request_id=request_id, reply=reply, checksum=checksum)
            )
            sent.append(Frame(number, int(Flags.REPLY) if reply else 0, request_id, payload))
        frames, got, at = reader(checksum), [], 0
        while at < len(stream):
            step = rng.choice((1, 3, 15, 16, 17, 1_000, 16_384, 70_000))
            got += frames.feed(stream[at : at + step])
            at += step
        self.assertEqual(got, sent)
        self.assertEqual(frames.buffered, 0)

    def test_byte_by_byte(self) -> None:
        """One byte a call, fragments and trailer included."""
        payload = bytes(range(256)) * 200
        frames, got = reader(True), []
        for frame in frames_of(MAGIC, BLOCKS, payload, request_id=9, reply=True, checksum=True):
            for byte in frame:
                got += frames.feed(bytes((byte,)))
        self.assertEqual(
            [(each.payload, each.request_id, each.is_reply) for each in got], [(payload, 9, True)]
        )

    def test_no_frame_is_longer_than_16_kib(self) -> None:
        """[17] Whatever the message, each write unit is at most 16 KiB, trailer included."""
        for checksum in (False, True):
            for length in (0, 1, payload_room(checksum), payload_room(checksum) + 1, 100_000):
                frames = frames_of(MAGIC, BLOCKS, bytes(length), checksum=checksum)
                self.assertLessEqual(max(map(len, frames)), MAX_FRAME)
                overhead = sum(map(len, frames)) - length
                self.assertEqual(overhead, len(frames) * (HEADER_SIZE + (4 if checksum else 0)))
        self.assertEqual(len(frames_of(MAGIC, BLOCKS, bytes(payload_room(False)))), 1)

    def test_vote_passes_between_the_fragments_of_a_block(self) -> None:
        """A vote that stands between two pieces is delivered before the block is whole."""
        pieces = frames_of(MAGIC, BLOCKS, bytes(100_000), request_id=3, reply=True)
        vote = frames_of(MAGIC, VOTE, b"v" * 200)[0]
        frames = reader()
        self.assertEqual([each.number for each in frames.feed(pieces[0] + vote)], [VOTE])
        self.assertEqual([each.number for each in frames.feed(b"".join(pieces[1:]))], [BLOCKS])

    def test_every_class_may_have_one_message_under_way(self) -> None:
        """Fragments of different classes interleave freely."""
        numbers = [18, 16, TRANSACTIONS, BLOCKS, UNKNOWN]
        queues = [frames_of(MAGIC, number, bytes([number % 256]) * 33_000) for number in numbers]
        frames, got = reader(), []
        for turn in range(max(map(len, queues))):
            got += frames.feed(b"".join(queue[turn] for queue in queues if turn < len(queue)))
        self.assertEqual(sorted(each.number for each in got), sorted(numbers))
        self.assertTrue(all(each.payload == bytes([each.number % 256]) * 33_000 for each in got))

    def test_bounds_follow_what_the_caller_does_between_frames(self) -> None:
        """The handshake may be followed at once by something longer: frames come one by one."""
        opened = []

        def limit(number: int) -> int:
            return limit_for(number) if opened else handshake_limit_for(number)

        stream = frames_of(MAGIC, 1, bytes(200))[0] + frames_of(MAGIC, TRANSACTIONS, bytes(9_000))[0]
        got = []
        for frame in FrameReader(MAGIC, limit_for=limit).frames(stream):
            opened.append(True)
            got.append(frame.number)
        self.assertEqual(got, [1, TRANSACTIONS])

    def test_layout(self) -> None:
        """Magic, type, flags, length, request id, payload, and the trailer of plain links."""
        plain = header(VOTE, flags=Flags.REPLY, length=3, request=0x01020304) + b"abc"
        self.assertEqual(frames_of(MAGIC, VOTE, b"abc", request_id=0x01020304, reply=True), [plain])
        self.assertEqual(plain.hex(), "521d7e4d110004000300000004030201616263")
        trailer = crc32c(plain).to_bytes(4, "little")
        checked = frames_of(MAGIC, VOTE, b"abc", request_id=0x01020304, reply=True, checksum=True)
        self.assertEqual(checked, [plain + trailer])

    def test_checksum_is_crc32c(self) -> None:
        """The check value of the Castagnoli polynomial."""
        self.assertEqual(crc32c(b"123456789"), 0xE3069283)
        self.assertEqual(crc32c(b"6789", crc32c(b"12345")), 0xE3069283)

    @quick
    @given(st.integers(1, 5), st.sampled_from((-1, 0, 1)), st.booleans())
    def test_frames_of_a_long_message_are_known_before_they_are_cut(
        self, count: int, more: int, checksum: bool
    ) -> None:
        """Around multiples of what a frame takes: how many there are, how long each is, and any of them alone."""
        room = payload_room(checksum)
        payload = random.Random(count).randbytes(room * count + more)
        frames = frames_of(MAGIC, BLOCKS, payload, request_id=9, checksum=checksum)
        whole = list(frames)
        if isinstance(frames, Pieces):
            self.assertEqual(frames.lengths, tuple(map(len, whole)))
        self.assertEqual(len(whole), -(-len(payload) // room))
        self.assertEqual((frames[-1], list(frames[1:3])), (whole[-1], whole[1:3]))
        self.assertRaises(IndexError, lambda: frames[len(whole)])
        (message,) = reader(checksum).feed(b"".join(whole))
        self.assertEqual(message.payload, payload)


class Cost(SynchronousTestCase):
    """Linear work, bounded memory: by counts, never by times."""

    def test_bytes_are_moved_a_constant_number_of_times(self) -> None:
        """However a 1 MiB message is split, each byte is moved at most five times."""
        stream = b"".join(frames_of(MAGIC, BLOCKS, bytes(1 << 20), checksum=True))
        for step in (1, 7, 1_000, 16_384, 1 << 20):
            frames = reader(True)
            for at in range(0, len(stream), step):
                frames.feed(stream[at : at + step])
            self.assertLessEqual(frames.copied, 5 * len(stream), step)

    def test_headers_are_judged_once(self) -> None:
        """The bound of a type is asked once per frame, not once per byte."""
        asked: list[int] = []

        def limit(number: int) -> int:
            asked.append(number)
            return limit_for(number)

        frames = FrameReader(MAGIC, limit_for=limit)
        sent = frames_of(MAGIC, BLOCKS, bytes(50_000))
        for byte in b"".join(sent):
            frames.feed(bytes((byte,)))
        self.assertEqual(len(asked), len(sent))

    def test_one_byte_fragments_take_no_more_than_their_bytes(self) -> None:
        """Tiny pieces are joined as they come: what is kept is the sum of the payloads."""
        frames = reader()
        piece = header(BLOCKS, flags=Flags.FRAGMENT | Flags.MORE, length=1) + b"x"
        for _ in range(500):
            frames.feed(piece)
        self.assertEqual(frames.buffered, 500)

    def test_every_known_type_has_a_bound_on_one_connection(self) -> None:
        """[17] The most one peer can make a reader keep is one message per class and a frame."""
        classes = {entry.priority for entry in BY_NUMBER.values()}
        most = sum(max(e.max_size for e in BY_NUMBER.values() if e.priority is each) for each in classes)
        self.assertLess(most + MAX_UNKNOWN_BYTES + MAX_FRAME, 20 * 1024 * 1024)
