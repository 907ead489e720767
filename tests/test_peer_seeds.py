"""Sources of addresses: signed lists, and when which source is asked (protocol §5.8)."""

from __future__ import annotations

import json
import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.peer_harness import START, Wire, key
from timed.errors import LocalError, RemoteError
from timed.params import SECOND
from timed.peer import limits, seedlist
from timed.peer.dialing import Origin
from timed.peer.seeding import Seed, Seeding, SeedKind
from timed.peer.seedlist import SeedList
from timed.peer.values import PeerAddress

SIGNER = key(50)
GENESIS = bytes(range(32))
ISSUED = START // SECOND
EXPIRES = ISSUED + 1000
NODES = (PeerAddress("192.0.2.7", 24_100, key(1).public), PeerAddress("2001:db8::7", 24_100, key(2).public))


def signed(**changes: Any) -> bytes:
    values: dict[str, Any] = {
        "network": "testnet", "genesis": GENESIS, "issued": ISSUED, "expires": EXPIRES,
        "addresses": NODES, "key": SIGNER, **changes,
    }  # fmt: skip
    return seedlist.sign(**values).encode("ascii")


def altered(**changes: Any) -> bytes:
    """A list whose fields were changed after it was signed."""
    return json.dumps({**json.loads(signed()), **changes}).encode()


def read(data: bytes, now: int = START) -> SeedList:
    return seedlist.read(data, "testnet", GENESIS, [SIGNER.public], now)


class ListTests(SynchronousTestCase):
    def refused(self, data: bytes, now: int = START) -> str:
        return self.assertRaises(RemoteError, read, data, now).rule

    def test_signed_list_is_read(self) -> None:
        listed = read(signed())
        self.assertEqual((listed.addresses, listed.expires), (NODES, EXPIRES))

    def test_layout_of_the_file_does_not_matter(self) -> None:
        fields = json.loads(signed())
        backwards = json.dumps(dict(reversed(fields.items())), indent=7).encode()
        self.assertEqual(read(backwards), read(signed()))

    def test_list_for_another_network_is_refused(self) -> None:
        self.assertEqual(self.refused(signed(network="mainnet")), "seed-list-network")

    def test_list_for_another_genesis_is_refused(self) -> None:
        self.assertEqual(self.refused(signed(genesis=bytes(32))), "seed-list-genesis")

    def test_list_of_a_key_that_may_not_sign_is_refused(self) -> None:
        self.assertEqual(self.refused(signed(key=key(51))), "seed-list-key")

    def test_expired_list_is_refused_from_its_last_second_on(self) -> None:
        read(signed(), EXPIRES * SECOND - 1)
        self.assertEqual(self.refused(signed(), EXPIRES * SECOND), "seed-list-expired")

    def test_list_of_the_future_is_refused(self) -> None:
        self.assertEqual(self.refused(signed(issued=ISSUED + 700, expires=EXPIRES)), "seed-list-early")

    def test_every_altered_field_breaks_the_signature(self) -> None:
        for changes in (
            {"issued": ISSUED - 1}, {"expires": EXPIRES + 1}, {"addresses": [str(NODES[1]), str(NODES[0])]},
            {"addresses": [str(NODES[0])]}, {"signature": "00" * 64},
        ):  # fmt: skip
            self.assertEqual(self.refused(altered(**changes)), "seed-list-signature", changes)

    def test_garbage_has_a_name(self) -> None:
        for data in (
            b"", b"null", b"[]", b"{}", b"<html>not here</html>", b"\xff\xfe", b"[" * 100_000, signed()[:-9],
            altered(format=2), altered(format=True), altered(issued="1"), altered(issued=1.5), altered(issued=-1),
            altered(addresses=[]), altered(addresses="x"), altered(addresses=[7]), altered(addresses=["x:1"]),
            altered(addresses=[f"{'ab' * 32}@example.org:24100"]), altered(addresses=["192.0.2.7:24100"]),
            altered(addresses=[str(NODES[0])] * 1001), altered(signature="zz"), altered(key="AB" * 32),
            altered(more=1), altered(network=None), b"9" * 10_000,
        ):  # fmt: skip
            self.assertEqual(self.refused(data), "seed-list-malformed", data[:60])

    def test_longer_list_than_the_bound_is_not_even_parsed(self) -> None:
        self.assertEqual(self.refused(b" " * (seedlist.MAX_LIST_BYTES + 1)), "seed-list-too-long")

    def test_longest_list_fits(self) -> None:
        longest = [
            PeerAddress("2fff:" + "ffff:" * 6 + "ffff", 65_535, key(1).public)
        ] * seedlist.MAX_LIST_ADDRESSES
        self.assertEqual(len(read(signed(addresses=longest)).addresses), seedlist.MAX_LIST_ADDRESSES)

    @given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
    def test_any_bytes_give_a_list_or_a_remote_error(self, data: bytes) -> None:
        self.assertRaises(RemoteError, read, data)

    @given(st.data())
    @settings(deadline=None)
    def test_any_changed_byte_is_refused_or_changes_nothing(self, data: st.DataObject) -> None:
        good = signed()
        at = data.draw(st.integers(0, len(good) - 1))
        bad = good[:at] + data.draw(st.binary(min_size=1, max_size=1)) + good[at + 1 :]
        try:
            self.assertEqual(read(bad), read(good))
        except RemoteError as error:
            self.assertTrue(error.rule.startswith("seed-list-"))

    def test_nobody_signs_what_nobody_would_read(self) -> None:
        for changes in (
            {"addresses": ()}, {"addresses": [PeerAddress("192.0.2.7", 1, None)]}, {"expires": ISSUED},
            {"addresses": [PeerAddress("example.org", 1, bytes(32))]}, {"addresses": NODES * 501},
        ):  # fmt: skip
            self.assertRaises(LocalError, signed, **changes)


class SeedingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.fixed = Seed(SeedKind.FIXED, "fixed")
        self.names = [Seed(SeedKind.DNS, "one"), Seed(SeedKind.DNS, "two")]
        self.list = Seed(SeedKind.LIST, "list")
        self.seeding = Seeding([self.list, *self.names, self.fixed], random.Random(1))

    def due(self, now: int) -> list[str]:
        return [seed.name for seed in self.seeding.due(now)]

    def test_kinds_are_asked_in_their_order(self) -> None:
        self.assertEqual(self.due(0), ["fixed"])
        self.seeding.answered(self.fixed, 1, 0)
        self.assertEqual(self.due(limits.SEED_TURN - 1), [])
        self.assertEqual(self.due(limits.SEED_TURN), ["one", "two"])
        self.assertEqual(self.due(2 * limits.SEED_TURN), ["list"])

    def test_failed_source_holds_nobody_up(self) -> None:
        """F13"""
        self.due(0)
        self.seeding.failed(self.fixed, "gone", 1)
        self.assertEqual(self.due(1), ["one", "two"])
        for seed in self.names:
            self.seeding.failed(seed, "unknown-host", 2)
        self.assertEqual(self.due(2), ["list"])

    def test_source_that_does_not_answer_holds_others_up_for_one_turn_only(self) -> None:
        """F13"""
        self.assertEqual(self.due(0), ["fixed"])
        self.assertEqual(self.due(limits.SEED_TURN), ["one", "two"])
        self.assertEqual(self.due(2 * limits.SEED_TURN), ["list"])
        self.assertEqual(self.due(10**12), [])

    def test_pauses_grow_to_a_bound_and_begin_anew_in_another_episode(self) -> None:
        seeding = Seeding([self.list], random.Random(1))
        now, pauses = 0, []
        for _ in range(20):
            self.assertEqual(seeding.due(now), [self.list])
            seeding.failed(self.list, "timeout", now)
            self.assertEqual(seeding.due(self.list.not_before - 1), [])
            pauses.append(self.list.not_before - now)
            now = self.list.not_before
        first, most = limits.SEED_PAUSE_FAILED, limits.SEED_PAUSE_MAX
        for number, pause in enumerate(pauses):
            least = min(first << number, most)
            self.assertTrue(least <= pause <= least * 3 // 2, (number, pause))
        self.assertEqual(seeding.outcomes, {("list", "timeout"): 20})
        seeding.content()
        seeding.due(now)
        seeding.failed(self.list, "timeout", now)
        self.assertLess(self.list.not_before - now, 2 * first)

    def test_only_a_new_outcome_is_news(self) -> None:
        self.assertTrue(self.seeding.failed(self.list, "timeout", 0))
        self.assertFalse(self.seeding.failed(self.list, "timeout", 0))
        self.assertTrue(self.seeding.failed(self.list, "certificate", 0))


class SeekingTests(SynchronousTestCase):
    def test_node_with_an_empty_book_seeks_at_once(self) -> None:
        wire = Wire()
        host = wire.host(1, discover=True)
        wire.run(SECOND)
        self.assertTrue(host.table.seeking(wire.now))

    def test_node_that_does_not_discover_never_seeks(self) -> None:
        wire = Wire()
        host = wire.host(1)
        wire.run(60 * SECOND)
        self.assertFalse(host.table.seeking(wire.now))

    def test_node_with_enough_sessions_does_not_seek(self) -> None:
        wire = Wire()
        numbers = range(2, 2 + limits.OUTBOUND_TARGET)
        for number in numbers:
            wire.host(number)
        host = wire.host(1, wanted=numbers, discover=True)
        wire.run(10 * SECOND)
        self.assertFalse(host.table.seeking(wire.now))

    def test_book_comes_first_and_a_useless_one_does_not_hold_up_for_long(self) -> None:
        wire = Wire()
        host = wire.host(1, discover=True)
        for number in range(250):
            host.table.discovery.book.add(f"10.9.0.{number}", 7000, None, START, "10.0.0.9", START)
        wire.run(SECOND)
        self.assertFalse(host.table.seeking(wire.now))
        wire.run(limits.SEED_PATIENCE)
        self.assertTrue(host.table.seeking(wire.now))

    def test_fixed_seed_brings_a_node_into_the_network(self) -> None:
        wire = Wire()
        for number in range(2, 8):
            wire.host(number, wanted=[2], discover=True)
        host = wire.host(1, discover=True)
        wire.run(SECOND)
        host.table.try_seed(PeerAddress("10.0.0.2", 7000, key(2).public), wire.now)
        host.call([])
        wire.run(30 * SECOND)
        self.assertEqual(len(host.table.peers()), 6)

    def test_fixed_seed_with_another_key_is_refused(self) -> None:
        wire = Wire()
        wire.host(2)
        host = wire.host(1, discover=True)
        host.table.try_seed(PeerAddress("10.0.0.2", 7000, key(3).public), wire.now)
        host.call([])
        wire.run(30 * SECOND)
        self.assertEqual(host.table.peers(), ())

    def test_fixed_seed_that_is_linked_already_is_left_alone(self) -> None:
        wire = Wire()
        wire.host(2)
        host = wire.host(1, wanted=[2], discover=True)
        wire.run(SECOND)
        for place in (PeerAddress("10.0.0.2", 7000), PeerAddress("10.0.0.77", 7000, key(2).public)):
            host.table.try_seed(place, wire.now)
        self.assertEqual([target.origin for target in host.table.dialing], [Origin.CONFIGURED])

    def test_seeded_addresses_are_dialled_and_own_ones_are_no_news(self) -> None:
        wire = Wire()
        wire.host(2)
        host = wire.host(1, discover=True)
        wire.run(SECOND)
        places = [PeerAddress("10.0.0.2", 7000, key(2).public), PeerAddress("10.0.0.1", 7000, host.node_id)]
        self.assertEqual(host.table.seeded(places, "seed.example.org", wire.now), 1)
        host.call([])
        wire.run(2 * SECOND)
        self.assertEqual([peer.node_id for peer in host.table.peers()], [key(2).public])
        self.assertEqual(len(host.dials), 1)

    def test_one_source_outside_the_network_fills_a_few_buckets_and_no_more(self) -> None:
        table = Wire().host(1, discover=True).table
        table.discovery.book.public = True
        places = [PeerAddress(f"{20 + n % 100}.{n // 100}.7.7", 24_000, None) for n in range(5000)]
        known = table.seeded(places, "seed.example.org", START)
        self.assertLess(known, 513)
