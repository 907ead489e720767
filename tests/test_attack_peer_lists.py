"""Lists of addresses without end, from peers that repeat them and of nodes that are dead (F36)."""

from __future__ import annotations

import struct
from collections import Counter

from twisted.trial.unittest import SynchronousTestCase

from tests.fuzz.arena import Arena
from timed.params import SECOND, TESTNET
from timed.peer import limits
from timed.peer.addressbook import BUCKET_SIZE, NEW_BUCKETS_PER_SOURCE, RETRY_PAUSE
from timed.wire.catalogue import BY_NAME
from timed.wire.messages import PeerAddress, PeersResponse

RESPONSE = BY_NAME["PeersResponse"].number
LONGEST = 1_000


def listed(count: int, first: int = 0, *, seen: int = 2**62) -> list[PeerAddress]:
    """Addresses in many groups, each of a node of its own."""
    return [
        PeerAddress(
            node_id=number.to_bytes(32, "big"),
            host=f"{11 + number % 80}.{number // 80 % 250}.7.{number // 20_000 + 1}",
            port=24_000,
            last_seen=seen,
        )
        for number in range(first + 1, first + 1 + count)
    ]


class ListTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.arena = Arena(discover=True, params=TESTNET)
        self.meet(0)

    def meet(self, number: int) -> None:
        """A stranger comes and opens a session; what it was asked before does not count."""
        self.arena.connect(number)
        at = len(self.arena.lines) - 1
        self.arena.greet(at)
        self.arena.acknowledge(at)

    def tell(self, addresses: list[PeerAddress], at: int = 0, *, asked: bool) -> None:
        line = self.arena.lines[at]
        request = line.asked.pop(0)[0] if asked else 0
        payload = PeersResponse(peers=tuple(addresses)).encode()
        self.arena.say(at, RESPONSE, payload, request, reply=asked)

    @property
    def known(self) -> int:
        return len(list(self.arena.table.discovery.book))

    def test_ten_thousand_entries_are_refused_at_their_count(self) -> None:
        """[17] Whoever was asked breaks a rule; who was not is not even read. Nothing of it is kept."""
        for count in (LONGEST + 1, 10_000, 65_535):
            for asked in (False, True):
                arena = self.arena = Arena(discover=True, params=TESTNET)
                self.meet(0)
                request = arena.lines[0].asked.pop(0)[0] if asked else 0
                body = b"".join(entry.encode() for entry in listed(900))
                before = self.known
                arena.say(0, RESPONSE, struct.pack("<H", count) + body, request, reply=asked)
                self.assertEqual(dict(arena.table.violations), {"decode-count": 1} if asked else {})
                self.assertEqual(self.known, before)

    def test_only_what_was_asked_for_is_read_and_it_is_asked_once(self) -> None:
        self.assertEqual([entry.name for _, entry in self.arena.lines[0].asked], ["GetPeers"])
        self.tell(listed(LONGEST), asked=True)
        known = self.known
        self.assertGreater(known, 0)
        for turn in range(1, 30):
            self.tell(listed(LONGEST, turn * LONGEST), asked=False)
            self.arena.wait(SECOND)
        self.assertEqual(self.known, known)
        self.assertEqual(self.arena.lines[0].asked, [])
        counts = self.arena.table.conduct.counts
        self.assertGreater(counts["unsolicited-reply"], 0)

    def test_one_source_fills_its_buckets_and_no_more(self) -> None:
        """Whoever comes back and is asked again replaces what it said before."""
        for turn in range(12):
            self.tell(listed(LONGEST, turn * LONGEST), asked=True)
            self.arena.disconnect(0)
            self.arena.wait(SECOND)
            self.meet(0)
        self.assertLessEqual(self.known, NEW_BUCKETS_PER_SOURCE * BUCKET_SIZE + 10)

    def test_the_dead_are_not_dialled_again_because_somebody_lists_them_again(self) -> None:
        """An address that failed rests, however often and however freshly it is said to be alive."""
        dead, dials = listed(3), Counter[str]()
        self.arena.wire.dialled.clear()
        for _ in range(60):
            self.tell(dead, asked=True)
            for _ in range(60):
                self.arena.wait(SECOND)
                while self.arena.wire.dialled:
                    dials[self.arena.wire.dialled[0].host] += 1
                    self.arena.fail_dial()
            self.arena.disconnect(0)
            self.meet(0)
        hour = 3_600 * SECOND
        for address in dead:
            self.assertGreaterEqual(dials[address.host], 1)
            self.assertLessEqual(dials[address.host], hour // RETRY_PAUSE + 2)

    def test_a_full_book_of_strangers_does_not_make_the_dialler_hurry(self) -> None:
        self.tell(listed(LONGEST), asked=True)
        self.arena.wire.dialled.clear()
        wanted = {"10.0.0.60", "10.0.0.61"}
        for _ in range(10):
            self.arena.wait(SECOND)
            strangers = [dial for dial in self.arena.wire.dialled if dial.host not in wanted]
            self.assertLessEqual(len(strangers), limits.DIALS_AT_ONCE)
        self.assertGreater(len(strangers), 0)
