"""Compressed payloads on a session: unnegotiated, bombs, lies about their size (protocol §5.2).

What `Packing` refuses stands in `tests.test_wire_compression`; here it is what a peer
can do with it, in every stage, in both directions, asked or not.
"""

from __future__ import annotations

import itertools
import random
import tracemalloc

import zstandard
from twisted.trial.unittest import SynchronousTestCase

from tests import test_attack_lengths as lengths
from tests.fuzz.arena import Arena
from timed.params import REGTEST, SECOND
from timed.peer import limits
from timed.wire.catalogue import BY_NAME, MESSAGES, limit_for
from timed.wire.compression import CompressionError, declared_size
from timed.wire.framing import FrameError, FrameReader, frames_of

COMPRESSED, FRAGMENT, REPLY, MORE = 1, 2, 4, 8


class UnnegotiatedTests(SynchronousTestCase):
    """[17] The flag alone ends the session; nothing is kept and nothing is expanded."""

    arena = lengths.SessionTests.arena
    check_ended = lengths.SessionTests.check_ended

    def test_every_type_and_every_flag_beside_it(self) -> None:
        for entry, more in itertools.product(MESSAGES, (0, REPLY, FRAGMENT, FRAGMENT | MORE | REPLY)):
            reader = FrameReader(REGTEST.magic, limit_for=limit_for)
            with self.assertRaises(FrameError) as caught:
                reader.feed(lengths.header(entry.number, 16, COMPRESSED | more) + bytes(16))
            self.assertEqual(caught.exception.rule, "compression-not-negotiated", entry.name)
            self.assertEqual(reader.buffered, 0)

    def test_every_stage_and_direction(self) -> None:
        for stage, outbound, tls in itertools.product(lengths.STAGES, (False, True), (False, True)):
            arena = self.arena(stage, outbound=outbound, tls=tls)
            arena.deliver(0, lengths.header(16, 1_000, COMPRESSED))
            self.check_ended(arena, "compression-not-negotiated", (stage, outbound, tls))


def zeros(size: int, *, told: bool = True) -> bytes:
    """So many zero bytes in very few."""
    return zstandard.ZstdCompressor(19, write_content_size=told).compress(bytes(size))


def lying(size: int) -> bytes:
    """A frame that says it holds `size` bytes, of 64 bits, and holds a few."""
    return b"\x28\xb5\x2f\xfd" + bytes((0b1110_0000,)) + size.to_bytes(8, "little") + bytes(100)


NOISE = random.Random(1).randbytes(2_000)
BOMBS = {
    "compressed-ratio": (zeros(60_000), zeros(64 * 1024 - 1)),
    "compressed-size": (
        zeros(5 * 2**20 + 1),
        zeros(50_000, told=False),
        lying(2**32),
        lying(2**63),
        lying(2**64 - 2),
    ),
    "compressed-damaged": (
        zstandard.compress(NOISE + bytes(9_000)) * 2,
        zstandard.compress(NOISE + bytes(9_000))[:-1],
        NOISE,
        b"\x50\x2a\x4d\x18" + (2_000).to_bytes(4, "little") + NOISE,
        zstandard.compress(NOISE + bytes(9_000)) + b"\x50\x2a\x4d\x18\4\0\0\0abcd",
    ),
}


def looks_harmless(bomb: bytes) -> bool:
    """True when only who expands it finds out; nobody does with an answer that was not asked for."""
    try:
        return declared_size(bomb, limits.UNKNOWN_TYPE_BYTES) > 0
    except CompressionError:
        return False


class BombTests(SynchronousTestCase):
    """[17] Nothing is made of a bomb but its name."""

    def arena(self, *, outbound: bool, tls: bool) -> Arena:
        """An open session whose peer was asked for addresses, and another one beside it."""
        arena = Arena(discover=True)
        arena.wait(SECOND)
        arena.connect(0, tls=tls, dialled=outbound)
        arena.connect(1)
        for at in range(2):
            arena.greet(at)
            arena.acknowledge(at)
        self.assertEqual(len(arena.table.peers()), 2)
        return arena

    def thrown(self, arena: Arena, bomb: bytes, *, asked: bool) -> int:
        """Bytes of memory at the peak while the node reads it."""
        line = arena.lines[0]
        request = line.asked.pop(0)[0] if asked else 77
        frames = frames_of(
            REGTEST.magic, BY_NAME["PeersResponse"].number, bomb,
            request_id=request, reply=True, checksum=not line.tls, compressed=True,
        )  # fmt: skip
        tracemalloc.start()
        arena.deliver(0, b"".join(frames))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    def test_every_bomb_in_every_place(self) -> None:
        for rule, bombs in BOMBS.items():
            for bomb, outbound, tls, asked in itertools.product(bombs, *[(False, True)] * 3):
                arena = self.arena(outbound=outbound, tls=tls)
                self.assertLess(self.thrown(arena, bomb, asked=asked), 100_000 + 3 * len(bomb))
                case = (rule, bomb[:20], outbound, tls, asked)
                if asked or not looks_harmless(bomb):
                    self.assertEqual(dict(arena.table.violations), {rule: 1}, case)
                    self.assertEqual(len(arena.table.peers()), 1, case)
                    self.assertEqual(arena.table.conduct.counts["malformed"], 1, case)
                else:
                    self.assertEqual((dict(arena.table.violations), len(arena.table.peers())), ({}, 2), case)
                    self.assertEqual(arena.table.conduct.counts["unsolicited-reply"], 1, case)
                self.assertEqual(arena.table.traffic().received_packed, 0, case)
                arena.finish()

    def test_what_gains_by_it_is_read(self) -> None:
        """An honest answer that came to a fraction of its length."""
        arena = self.arena(outbound=False, tls=True)
        arena.answer_packed(0, 4)
        self.assertEqual(dict(arena.table.violations), {})
        self.assertEqual(len(arena.table.peers()), 2)
        traffic = arena.table.traffic()
        self.assertGreater(traffic.received_plain, 4 * traffic.received_packed)
        self.assertGreater(len(list(arena.table.discovery.book)), 0)

    def test_one_who_throws_bombs_is_banned_like_anybody_who_sends_what_no_node_does(self) -> None:
        arena = self.arena(outbound=False, tls=True)
        for _ in range(4):
            self.thrown(arena, zeros(300_000), asked=False)
            arena.disconnect(0)
            arena.connect(0)
            at = len(arena.lines) - 1
            arena.greet(at)
            arena.acknowledge(at)
            arena.lines.insert(0, arena.lines.pop())
        self.assertEqual(len(arena.table.peers()), 1)
        self.assertEqual(arena.table.refusals["banned"], 1)
