"""Lengths that nobody could mean, before and after the handshake, from either side of a dial ([17], F18)."""

from __future__ import annotations

import itertools
import struct
import tracemalloc
from collections import Counter

from twisted.trial.unittest import SynchronousTestCase

from tests.fuzz.arena import Arena
from timed.events import PeerClosed, PeerRefused
from timed.params import REGTEST, SECOND, TESTNET, NetworkParams
from timed.peer import limits
from timed.peer.dialing import backoff_cap
from timed.wire.catalogue import BY_NAME, MESSAGES, handshake_limit_for, limit_for
from timed.wire.framing import FrameError, FrameReader, payload_room
from timed.wire.message import Direction

GIB = 1024**3
HOSTILE = (2 * GIB, 4 * GIB - 1)
STAGES = ("greeting", "accepted", "open")


def header(number: int, length: int, flags: int = 0, magic: bytes = REGTEST.magic) -> bytes:
    """Sixteen bytes, written out independently of the code under test."""
    return struct.pack("<4sHHLL", magic, number, flags, length, 0)


def bound(number: int, stage: str, *, tls: bool) -> int:
    """The longest payload of one frame of this type, unasked."""
    limit = handshake_limit_for(number) if stage == "greeting" else limit_for(number)
    entry = next(entry for entry in MESSAGES if entry.number == number)
    if stage != "greeting" and entry.direction is Direction.REPLY:
        limit = min(limit, limits.UNKNOWN_TYPE_BYTES)
    return min(limit, payload_room(not tls))


class AllocationTests(SynchronousTestCase):
    def refused(self, data: bytes) -> int:
        """Bytes of memory that the reader took at its peak to refuse this header."""
        reader = FrameReader(REGTEST.magic, limit_for=limit_for)
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        try:
            reader.feed(data)
        except FrameError:
            peak = tracemalloc.get_traced_memory()[1] - before
        tracemalloc.stop()
        self.assertEqual(reader.buffered, 0)
        return peak

    def test_nothing_is_made_for_what_a_header_announces(self) -> None:
        """4 GiB cost what any refusal costs: the error with its traceback, and not 64 bytes more."""
        foreign = b"TIME" + header(4, 16)[4:]
        self.refused(foreign)
        usual = self.refused(foreign)
        self.assertLess(usual, 2_048)
        for entry, length in itertools.product(MESSAGES, HOSTILE):
            self.refused(header(entry.number, length))
            self.assertLess(self.refused(header(entry.number, length)) - usual, 1_024, entry.name)
        sizes = [self.refused(header(39, length)) for length in (payload_room(False) + 1, *HOSTILE) * 2]
        self.assertLess(max(sizes[3:]) - min(sizes[3:]), 64)


class SessionTests(SynchronousTestCase):
    """Every stage of a session, in both directions, under TLS and plain."""

    def arena(self, stage: str, *, outbound: bool, tls: bool) -> Arena:
        """A table with one link, of a stranger that came or was dialled, in this stage."""
        arena = Arena()
        arena.wait(SECOND)
        arena.connect(0, tls=tls, dialled=outbound)
        if stage != "greeting":
            arena.greet(0)
        if stage == "open":
            arena.acknowledge(0)
        self.assertEqual(len(arena.table.peers()), stage == "open")
        return arena

    def test_every_one_of_them_is_refused_by_name(self) -> None:
        for stage, outbound, tls in itertools.product(STAGES, (False, True), (False, True)):
            for entry in (BY_NAME["Ping"], BY_NAME["BlockProposal"], BY_NAME["BlocksResponse"]):
                limit = bound(entry.number, stage, tls=tls)
                for length in (limit + 1, *HOSTILE):
                    arena = self.arena(stage, outbound=outbound, tls=tls)
                    arena.deliver(0, header(entry.number, length))
                    self.check_ended(arena, "frame-too-long", (stage, outbound, tls, entry.name, length))

    def check_ended(self, arena: Arena, rule: str, case: object) -> None:
        self.assertEqual(dict(arena.table.violations), {rule: 1}, case)
        self.assertEqual([close.reason for close in arena.host.closes], [rule], case)
        self.assertEqual(arena.table.peers(), (), case)
        ends = [event for event in arena.host.events if isinstance(event, PeerClosed | PeerRefused)]
        self.assertEqual(len(ends), 1, case)

    def test_the_longest_that_may_be_is_waited_for(self) -> None:
        """The same header with one byte less is no offence, and holds nothing yet."""
        for stage, outbound, tls in itertools.product(STAGES, (False, True), (False, True)):
            arena = self.arena(stage, outbound=outbound, tls=tls)
            number = BY_NAME["BlockProposal"].number
            arena.deliver(0, header(number, bound(number, stage, tls=tls)))
            self.assertEqual(dict(arena.table.violations), {})

    def test_a_length_of_nothing_is_an_encoding_or_none(self) -> None:
        """Zero is a length like any other: what has no fields is taken, the rest does not decode.

        An answer that nobody asked for is not even read.
        """
        for entry in MESSAGES:
            arena = self.arena("open", outbound=False, tls=True)
            arena.deliver(0, header(entry.number, 0))
            rules = list(arena.table.violations)
            taken = entry.name in ("GetPeers", "GetPendingTransactions")
            unread = entry.direction is Direction.REPLY
            self.assertEqual(rules, [] if taken or unread else ["decode-truncated"], entry.name)

    def test_the_sums_of_fragments_have_the_same_bound(self) -> None:
        arena = self.arena("open", outbound=False, tls=True)
        number, room = BY_NAME["TransactionVote"].number, payload_room(False)
        for _ in range(limit_for(number) // room):
            arena.deliver(0, header(number, room, 10) + bytes(room))
        self.assertEqual(dict(arena.table.violations), {})
        arena.deliver(0, header(number, room, 10))
        self.check_ended(arena, "frame-too-long", "fragments")


class RedialTests(SynchronousTestCase):
    """Whom we dial and who answers with such a length is dialled at the rate of a peer that is down."""

    def an_hour(self, stage: str, params: NetworkParams) -> tuple[Arena, Counter[str]]:
        """(table, dials by address) where every dial reaches a liar."""
        arena, dials = Arena(params=params), Counter[str]()
        for _ in range(3_600):
            arena.wait(SECOND)
            while arena.wire.dialled:
                dials[arena.wire.dialled[0].host] += 1
                arena.connect(0, dialled=True)
                if stage == "open":
                    arena.greet(0)
                    arena.acknowledge(0)
                arena.deliver(0, header(BY_NAME["BlocksResponse"].number, HOSTILE[1], 0, params.magic))
                arena.disconnect(0)
        return arena, dials

    def test_before_the_handshake_the_backoff_bounds_it(self) -> None:
        """It says nothing of itself yet, so it is not banned: on a public network once a minute."""
        for params in (REGTEST, TESTNET):
            arena, dials = self.an_hour("greeting", params)
            cap = backoff_cap(params) // SECOND
            self.assertEqual(len(dials), 2)
            self.assertLessEqual(max(dials.values()), 3_600 // cap * 3 // 2 + 10)
            self.assertEqual(dict(arena.table.violations), {"frame-too-long": dials.total()})
            self.assertEqual(len(arena.host.events), dials.total())

    def test_on_an_open_session_it_is_banned(self) -> None:
        """Four of them in a minute, then ten minutes of rest."""
        arena, dials = self.an_hour("open", TESTNET)
        self.assertLessEqual(dials.total(), 40)
        self.assertGreaterEqual(arena.table.conduct.counts["malformed"], 4)
        self.assertEqual(arena.table.violations["frame-too-long"], arena.table.conduct.counts["malformed"])
