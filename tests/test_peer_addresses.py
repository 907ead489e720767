"""Addresses: what is stored, what gives way, whom a node finds by itself."""

from __future__ import annotations

import random

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.peer_harness import START, Stranger, Wire, identity, key
from tests.test_peer_sessions import accept, handshake_of, open_stranger
from timed.errors import LocalError
from timed.params import SECOND
from timed.peer import addressbook, limits
from timed.peer.addressbook import AddressBook, Record, group_of, is_routable, spelled
from timed.peer.dialing import Dialing, Origin
from timed.peer.discovery import TOLD_FOR, Discovery
from timed.peer.memory import Memory
from timed.wire.messages import GetPeers, PeerAddress, PeersResponse


def book(*, public: bool = True, seed: int = 1) -> AddressBook:
    return AddressBook(bytes([seed]) * 32, random.Random(seed), public=public)


def nothing(record: object) -> bool:
    return False


class StoringTests(SynchronousTestCase):
    def test_unroutable_addresses_are_never_stored(self) -> None:
        """F06"""
        known = book()
        for host in (
            "0.0.0.0", "::", "127.0.0.1", "::1", "10.1.2.3", "192.168.0.1", "169.254.1.1", "224.0.0.1",
            "fe80::1", "localhost", "example.org", "", "1.2.3", "8.8.8.8 ", "８.8.8.8",
        ):  # fmt: skip
            self.assertIsNone(known.add(host, 24_000, None, START, "8.8.8.8", START), host)
        self.assertEqual(known.rejected, 15)
        for port in (0, -1, 65_536):
            self.assertIsNone(known.add("8.8.8.8", port, None, START, "8.8.8.8", START))
        self.assertEqual((len(known), known.rejected, known.changes), (0, 18, 0))
        for port in (1, 65_535):
            self.assertIsNotNone(known.add("8.8.8.8", port, None, START, "8.8.8.8", START))
        self.assertEqual((len(known), known.rejected, known.changes), (2, 18, 2))

    def test_laboratories_may_use_private_addresses(self) -> None:
        self.assertTrue(is_routable("127.0.0.1", public=False))
        self.assertTrue(is_routable("10.1.2.3", public=False))
        for host in ("0.0.0.0", "169.254.1.1", "fe80::1", "224.0.0.1", "localhost"):
            self.assertFalse(is_routable(host, public=False), host)

    def test_groups(self) -> None:
        self.assertEqual(group_of("8.8.4.4"), group_of("8.8.200.1"))
        self.assertNotEqual(group_of("8.8.4.4"), group_of("8.9.4.4"))
        self.assertEqual(group_of("2001:db8:1::1"), group_of("2001:db8:2::1"))
        for host, group in (
            ("8.9.4.4", "8.9.0.0/16"), ("2001:db8:1::1", "2001:db8::/32"), ("example.org", "example.org"),
        ):  # fmt: skip
            self.assertEqual(group_of(host), group)
        self.assertEqual(spelled("example.org"), "example.org")

    def test_one_address_is_one_record_however_it_is_written(self) -> None:
        known = book()
        for host in ("8.8.4.4", "::ffff:8.8.4.4", "::FFFF:0808:0404", "0:0:0:0:0:ffff:8.8.4.4"):
            self.assertEqual(known.add(host, 24_000, None, START, "9.9.9.9", START).host, "8.8.4.4")  # type: ignore[union-attr]
            self.assertEqual(group_of(host), group_of("8.8.200.1"))
        for host in ("2a00:1450::8", "2A00:1450:0::8", "2a00:1450:0:0:0:0:0:8"):
            known.succeeded(host, 24_000, bytes(32), START)
        self.assertEqual(sorted(record.host for record in known), ["2a00:1450::8", "8.8.4.4"])
        for host in ("::ffff:10.1.2.3", "2a00:1450::8%1", "::ffff:127.0.0.1"):
            self.assertIsNone(known.add(host, 24_000, None, START, "9.9.9.9", START), host)

    def test_one_source_fills_a_few_buckets_and_no_more(self) -> None:
        known = book()
        for number in range(20_000):
            host = f"{20 + number % 100}.{number % 251}.{number // 251 % 251}.7"
            known.add(host, 24_000, None, START, "8.8.8.8", START)
        self.assertLessEqual(len(known), addressbook.NEW_BUCKETS_PER_SOURCE * addressbook.BUCKET_SIZE)
        self.assertGreater(known.rejected, 10_000)

    def test_the_book_is_bounded_whoever_tells(self) -> None:
        known = book()
        entropy = random.Random(3)
        for number in range(30_000):
            host = f"{entropy.randrange(11, 100)}.{number % 250}.{entropy.randrange(250)}.9"
            source = f"{entropy.randrange(11, 100)}.{entropy.randrange(250)}.1.1"
            known.add(host, 24_000, None, START, source, START)
        self.assertLessEqual(len(known), addressbook.NEW_BUCKETS * addressbook.BUCKET_SIZE)

    def test_address_that_answered_is_tried_and_stays(self) -> None:
        known = book()
        known.add("8.8.8.8", 24_000, None, START, "9.9.9.9", START)
        record = known.at("8.8.8.8", 24_000)
        assert record is not None
        for attempts in (1, 2):
            known.attempted("8.8.8.8", 24_000, START + attempts)
            self.assertEqual((record.attempts, record.last_try), (attempts, START + attempts))
        changes = known.changes
        known.succeeded("8.8.8.8", 24_000, bytes(32), START + 5)
        self.assertEqual((record.tried, record.attempts, record.node_id), (True, 0, bytes(32)))
        self.assertEqual({record.last_seen, record.last_try, record.last_success}, {START + 5})
        self.assertEqual(known.changes, changes + 1)
        known.add("8.8.8.8", 24_000, b"\x01" * 32, START, "9.9.9.9", START)
        self.assertEqual(record.node_id, bytes(32))
        known.succeeded("8.8.8.8", 24_000, b"\x02" * 32, START + 6)
        self.assertEqual(record.node_id, b"\x02" * 32)

    def test_tried_address_gives_way_only_after_it_failed_a_test(self) -> None:
        known = book()
        first, second = self.collide(known)
        self.assertTrue(known.at(*first).tried)  # type: ignore[union-attr]
        self.assertFalse(known.at(*second).tried)  # type: ignore[union-attr]
        self.assertEqual(known.to_test().address, first)  # type: ignore[union-attr]
        known.failed_test(*first)
        self.assertFalse(known.at(*first).tried)  # type: ignore[union-attr]
        self.assertTrue(known.at(*second).tried)  # type: ignore[union-attr]
        self.assertIsNone(known.to_test())

    def test_tried_address_that_answers_its_test_keeps_its_place(self) -> None:
        known = book()
        first, second = self.collide(known)
        known.succeeded(*first, bytes(32), START + SECOND)
        self.assertIsNone(known.to_test())
        self.assertTrue(known.at(*first).tried)  # type: ignore[union-attr]
        self.assertFalse(known.at(*second).tried)  # type: ignore[union-attr]

    def test_session_at_an_address_that_is_not_kept_changes_nothing(self) -> None:
        known = book()
        known.is_own("8.8.8.8", 24_000)
        for host in ("10.1.2.3", "8.8.8.8"):
            known.attempted(host, 24_000, START)
            known.succeeded(host, 24_000, bytes(32), START)
            known.met(host, 24_000, bytes(32))
            known.failed_test(host, 24_000)
        self.assertEqual((len(known), known.changes, known._proved), (0, 0, {}))

    def test_tests_that_wait_are_bounded_and_each_is_about_its_own_address(self) -> None:
        known = book()
        for number in range(5_000):
            known.succeeded(f"8.8.{number // 250}.{number % 250}", 24_000, bytes(32), START)
        tests = dict(known._tests)
        self.assertEqual(len(tests), addressbook.TESTS_PENDING)
        (first, *_, last) = ((wants, held) for wants, held in tests.items())
        known.failed_test(*last[1].address)
        self.assertEqual((known.at(*last[0]).tried, last[1].tried), (True, False))  # type: ignore[union-attr]
        self.assertEqual((known.at(*first[0]).tried, first[1].tried), (False, True))  # type: ignore[union-attr]
        known.failed_test(*last[0])
        self.assertTrue(known.at(*last[0]).tried)  # type: ignore[union-attr]
        known.is_own(*first[0])
        self.assertNotIn(first[0], known._tests)

    def test_address_gives_way_to_one_that_stands_where_it_will_be_heard_of(self) -> None:
        known = book()
        places: dict[object, Record] = {}
        for number in range(2_000):
            second = Record(f"8.8.{number // 250}.{number % 250}", 24_000, None, "8.8.0.0/16", START)
            first = places.setdefault((known._tried_place(second), known._new_place(second)), second)
            if first is not second:
                break
        for record in (first, second):
            known.succeeded(*record.address, bytes(32), START)
        known.failed_test(*first.address)
        tried = {record.address: record.tried for record in known}
        self.assertEqual(tried, {first.address: False, second.address: True})
        self.assertEqual({r.address for r in (*known._new.values(), *known._tried.values())}, set(tried))

    def collide(self, known: AddressBook) -> tuple[tuple[str, int], tuple[str, int]]:
        """Fill the tried table until two addresses want one place; who has it, and who wants it."""
        for number in range(5_000):
            host = f"8.8.{number // 250}.{number % 250}"
            known.succeeded(host, 24_000, bytes(32), START)
            if (held := known.to_test()) is not None:
                return held.address, (host, 24_000)
        raise AssertionError("no two addresses wanted one place")

    def test_own_address_is_forgotten_for_good(self) -> None:
        known = book()
        known.add("8.8.8.8", 24_000, None, START, "9.9.9.9", START)
        known.met("8.8.8.8", 24_000, bytes(32))
        changes = known.changes
        known.is_own("::ffff:8.8.8.8", 24_000)
        self.assertEqual((known.changes, known._proved), (changes + 1, {}))
        self.assertIsNone(known.add("8.8.8.8", 24_000, None, START, "9.9.9.9", START))
        self.assertEqual(len(known), 0)

    def test_choice_leaves_out_what_is_excluded_and_what_failed_just_now(self) -> None:
        known = book()
        self.assertIsNone(known.choose(START, nothing))
        known.add("8.8.8.8", 24_000, None, START, "9.9.9.9", START)
        self.assertIsNone(known.choose(START, lambda record: True))
        self.assertIsNotNone(known.choose(START, nothing))
        known.attempted("8.8.8.8", 24_000, START)
        self.assertIsNone(known.choose(START + SECOND, nothing))
        self.assertIsNotNone(known.choose(START + addressbook.RETRY_PAUSE, nothing))

    def test_tried_and_heard_of_have_equal_chances(self) -> None:
        known = book()
        known.succeeded("8.8.8.8", 24_000, bytes(32), START)
        for number in range(20):
            known.add(f"8.{number}.8.9", 24_000, None, START, f"9.{number}.9.9", START)
        chosen = [known.choose(START, nothing) for _ in range(1_000)]
        self.assertLess(abs(sum(record.tried for record in chosen if record) - 500), 50)
        self.assertEqual(len({record.address for record in chosen if record}), len(known))
        self.assertFalse(any(known.choose(START, nothing, untried=True).tried for _ in range(50)))  # type: ignore[union-attr]

    def test_often_failed_addresses_are_chosen_rarely_unless_there_is_nothing_else(self) -> None:
        for attempts, expected in ((0, 500), (1, 330), (4, 95), (8, 18), (16, 18)):
            known = book()
            bad = known.add("8.8.8.8", 24_000, None, START, "9.9.9.9", START)
            assert bad is not None
            bad.attempts = attempts
            self.assertIs(known.choose(START, nothing), bad)
            known.add("8.9.8.8", 24_000, None, START, "9.9.9.9", START)
            chosen = sum(known.choose(START, nothing) is bad for _ in range(1_000))
            self.assertLess(abs(chosen - expected), 10 + expected // 10, attempts)

    def test_address_that_nobody_dialled_is_chosen_whatever_its_times_say(self) -> None:
        known = book()
        known.restore(Record("8.8.8.8", 24_000, None, "9.9.0.0/16", START, last_try=START))
        self.assertIsNotNone(known.choose(START, nothing))

    def test_no_more_are_told_than_asked_for(self) -> None:
        known = book()
        for number in range(3):
            known.add(f"8.{number}.8.8", 24_000, None, START, f"9.{number}.9.9", START)
        self.assertEqual([len(known.sample(limit, START)) for limit in (0, 2, 9)], [0, 2, 3])

    def test_records_of_an_earlier_process_stand_where_they_stood(self) -> None:
        known = book()
        for number in range(40):
            known.add(f"8.{number}.8.8", 24_000, None, START, f"9.{number}.9.9", START)
            known.succeeded(f"7.{number}.8.8", 24_000, bytes(32), START)
        again = book()
        for record in (*known.snapshot(), *known.snapshot(), Record("10.1.2.3", 24_000, None, "", START)):
            again.restore(record)
        self.assertEqual(again.snapshot(), known.snapshot())
        for mine, theirs in ((again._new, known._new), (again._tried, known._tried)):
            self.assertEqual(mine, theirs)

    def test_record_of_an_earlier_process_takes_no_place_that_is_taken(self) -> None:
        known, count = book(), 2_000
        for number in range(count):
            known.restore(Record(f"8.8.{number // 250}.{number % 250}", 24_000, None, "8.8.0.0/16", START))
        self.assertEqual(len(known), addressbook.BUCKET_SIZE)
        self.assertEqual(sorted(r.address for r in known), sorted(r.address for r in known._new.values()))

    def test_hopeless_addresses_are_not_told(self) -> None:
        known = book()
        known.add("8.8.8.8", 24_000, None, START - 31 * addressbook.DAY, "9.9.9.9", START)
        known.add("8.9.8.8", 24_000, None, START, "9.9.9.9", START)
        self.assertEqual([record.host for record in known.sample(10, START)], ["8.9.8.8"])

    def test_hopeless_is_what_is_stale_or_ahead_of_time_or_failed_three_times_and_a_week_ago(self) -> None:
        stale, week = addressbook.STALE_AGE, addressbook.STALE_AGE // 4
        for seen, success, attempts, hopeless in (
            (-stale, 0, 0, False), (-stale - 1, 0, 0, True),
            (addressbook.FUTURE_TOLERATED, 0, 0, False), (addressbook.FUTURE_TOLERATED + 1, 0, 0, True),
            (0, -week - 1, 2, False), (0, -week - 1, 3, True), (0, -week, 3, False),
        ):  # fmt: skip
            record = Record(
                "8.8.8.8", 24_000, None, "", START + seen, last_success=START + success, attempts=attempts
            )
            self.assertIs(record.hopeless(START), hopeless, (seen, success, attempts))

    def test_hopeless_address_gives_way_to_who_wants_its_place(self) -> None:
        known = book()
        first = known.add("8.8.0.0", 24_000, None, START, "9.9.9.9", START)
        later = START + addressbook.STALE_AGE
        for now in (later, later + 1):
            for number in range(1, 20_000):
                if known.at("8.8.0.0", 24_000) is not first:
                    break
                known.add(f"8.8.{number // 250}.{number % 250}", 24_000, None, now, "9.9.9.9", now)
            self.assertIs(known.at("8.8.0.0", 24_000), first if now == later else None)
        self.assertEqual(len(known), len(known._new))

    def test_what_is_told_of_an_address_again_makes_it_younger_and_never_older(self) -> None:
        known = book()
        record = known.add("8.8.8.8", 24_000, None, START - 5, "9.9.9.9", START)
        for told, seen in ((START - 7, START - 5), (START - 3, START - 3)):
            known.add("8.8.8.8", 24_000, None, told, "9.9.9.9", START)
            self.assertEqual(record.last_seen, seen)  # type: ignore[union-attr]

    def test_hearsay_about_who_is_there_holds_until_the_node_is_met(self) -> None:
        known = book()
        record = known.add("8.8.8.8", 24_000, None, START, "9.9.9.9", START)
        assert record is not None
        one, other = b"\x01" * 32, b"\x02" * 32
        for told, held in ((one, one), (None, one), (other, other)):
            known.add("8.8.8.8", 24_000, told, START, "9.9.9.9", START)
            self.assertEqual((record.node_id, known.proved(record)), (held, False))
        known.met("8.8.8.8", 24_000, one)
        known.add("8.8.8.8", 24_000, other, START, "9.9.9.9", START)
        self.assertEqual((record.node_id, known.proved(record)), (one, True))

    def test_claimed_times_in_the_future_count_as_now(self) -> None:
        record = book().add("8.8.8.8", 24_000, None, START * 2, "9.9.9.9", START)
        self.assertEqual(record.last_seen, START)  # type: ignore[union-attr]

    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["add", "try", "good", "test", "own"]), st.integers(0, 400), st.integers(0, 3)
            ),
            max_size=400,
        )
    )
    @settings(deadline=None, max_examples=50)
    def test_tables_and_records_agree_whatever_happens(self, steps: list[tuple[str, int, int]]) -> None:
        known = AddressBook(bytes(32), random.Random(1), public=True)
        for what, number, source in steps:
            host = f"8.8.{number // 20}.{number % 20}"
            if what == "add":
                known.add(host, 24_000, None, START, f"9.{source}.1.1", START)
            elif what == "try":
                known.attempted(host, 24_000, START)
            elif what == "good":
                known.succeeded(host, 24_000, bytes(32), START)
            elif what == "test":
                known.failed_test(host, 24_000)
            else:
                known.is_own(host, 24_000)
        self.assertEqual(
            sorted(r.address for r in known),
            sorted(r.address for r in (*known._new.values(), *known._tried.values())),
        )


class FloodTests(SynchronousTestCase):
    """10,000 forged addresses from two /16s."""

    HONEST = 300
    FORGED = 10_000

    def flooded(self, sources: int) -> AddressBook:
        """Honest addresses of many groups, told of by many; then the flood, from so many liars."""
        known = book()
        for n in range(self.HONEST):
            known.add(f"{20 + n % 100}.{n // 100}.7.7", 24_000, None, START, f"9.{n % 50}.1.1", START)
        self.honest = {record.address for record in known}
        for n in range(self.FORGED):
            host = f"66.{n % 2}.{n // 2 % 250}.{n // 500}"
            known.add(host, 24_000, bytes(32), START, f"66.{n % 2}.0.{n % sources}", START)
        return known

    def test_two_groups_take_a_few_buckets_and_nobodys_place(self) -> None:
        for sources in (1, 2, 200):
            known = self.flooded(sources)
            forged = len(known) - len(self.honest)
            self.assertGreater(len(self.honest), self.HONEST * 9 // 10)
            self.assertEqual(len({record.address for record in known} & self.honest), len(self.honest))
            # Two groups that tell of two groups: four buckets.
            self.assertLessEqual(forged, 4 * addressbook.BUCKET_SIZE)
            self.assertGreaterEqual(known.rejected, self.FORGED - 4 * addressbook.BUCKET_SIZE)

    def test_honest_addresses_are_still_chosen(self) -> None:
        known = self.flooded(200)
        chosen = [known.choose(START, nothing) for _ in range(1000)]
        honest = sum(record is not None and record.address in self.honest for record in chosen)
        self.assertGreater(honest, 600)

    def test_outbound_sessions_go_to_eight_groups_whatever_the_book_holds(self) -> None:
        dialing = Dialing(SECOND, random.Random(1))
        discovery = Discovery(dialing, random.Random(1), public=True)
        discovery.book = self.flooded(200)
        for step in range(100):
            discovery.look(START, step, (), {})
        groups = [group_of(target.host) for target in dialing if target.origin is Origin.BOOK]
        self.assertEqual((len(groups), len(set(groups))), (limits.OUTBOUND_TARGET, limits.OUTBOUND_TARGET))
        self.assertLessEqual(sum(group.startswith("66.") for group in groups), 2)

    def test_liars_that_answer_take_no_more_than_their_share_of_the_tried(self) -> None:
        known = self.flooded(200)
        for address in sorted(self.honest):
            known.succeeded(*address, bytes(32), START)
        tried = {record.address for record in known if record.tried}
        for n in range(self.FORGED):
            known.succeeded(f"66.{n % 2}.{n // 2 % 250}.{n // 500}", 24_000, bytes(32), START)
        forged = [record for record in known if record.tried and record.host.startswith("66.")]
        self.assertLessEqual(len(forged), 2 * addressbook.TRIED_BUCKETS_PER_GROUP * addressbook.BUCKET_SIZE)
        self.assertLessEqual(tried, {record.address for record in known if record.tried})

    def test_choice_from_a_full_book_looks_at_a_few_addresses(self) -> None:
        known = book()
        for n in range(60_000):
            known.add(
                f"{11 + n % 80}.{n % 250}.{n // 250}.9", 24_000, None, START, f"{n % 70}.{n % 240}.1.1", START
            )
        self.assertGreater(len(known), 7_000)
        looks: list[object] = []
        for _ in range(100):
            known.choose(START, lambda record: bool(looks.append(record)))  # type: ignore[func-returns-value]
        self.assertEqual(len(looks), 100)


class MemoryTests(SynchronousTestCase):
    def test_what_is_remembered_comes_back_equal(self) -> None:
        wire = Wire()
        hosts = [wire.host(n, wanted=[1], discover=True) for n in range(1, 6)]
        wire.run(60 * SECOND)
        hosts[1].table.ban(key(77).public, 60, "test", wire.now)
        memory = hosts[1].table.remembered()
        self.assertEqual(Memory.from_json(memory.to_json()), memory)
        self.assertTrue(memory.anchors)
        reborn = Wire().host(2, discover=True)
        reborn.table.remember(memory)
        again = reborn.table.remembered()
        self.assertEqual(again.secret, memory.secret)
        self.assertEqual(sorted(r.address for r in again.records), sorted(r.address for r in memory.records))
        self.assertEqual(again.bans, memory.bans)

    def test_text_that_is_no_memory_is_refused_with_a_hint(self) -> None:
        good = Memory(bytes(32)).to_json()
        for text in ("", "[]", "{}", "null", "7", good[:-5], good.replace("1", "2", 1), "[" * 100_000):
            with self.assertRaises(LocalError) as caught:
                Memory.from_json(text)
            self.assertIn("Remove the file", caught.exception.hint)

    def test_fields_of_another_type_are_refused(self) -> None:
        wire = Wire()
        hosts = [wire.host(n, wanted=[1], discover=True) for n in (1, 2)]
        wire.run(SECOND)
        text = hosts[1].table.remembered().to_json()
        self.assertIn('"port": 7000', text)
        for wrong in ('"port": "7000"', '"port": 7000.0', '"port": true', '"port": null'):
            with self.assertRaises(LocalError):
                Memory.from_json(text.replace('"port": 7000', wrong))


class DiscoveryTests(SynchronousTestCase):
    def test_nodes_find_each_other_through_one(self) -> None:
        wire = Wire()
        hosts = [wire.host(n, wanted=[1], discover=True) for n in range(1, 8)]
        wire.run(60 * SECOND)
        for host in hosts:
            self.assertEqual(len(host.table.peers()), 6)

    def test_cold_start_with_a_full_book_of_strangers_reaches_its_target(self) -> None:
        """F09: 250 stored addresses of which nobody knows who is there; 8 sessions within 30 s."""
        wire = Wire()
        for number in range(2, 60):
            wire.host(number)
        host = wire.host(1, discover=True)
        for number in range(2, 252):
            host.table.discovery.book.add(f"10.0.0.{number}", 7000, None, START, "10.0.0.9", START)
        wire.run(30 * SECOND)
        self.assertGreaterEqual(len(host.table.peers()), limits.OUTBOUND_TARGET)
        wire.run(600 * SECOND)
        self.assertLessEqual(len(host.table.peers()), limits.OUTBOUND_TARGET + 1)

    def test_peer_that_came_by_itself_is_known_where_it_listens_and_not_whence_it_came(self) -> None:
        host = Wire().host(1, discover=True)
        known = host.table.discovery.book
        open_stranger(host, 10, 100)
        self.assertEqual([(r.address, r.tried) for r in known], [(("192.0.2.1", 7000), False)])
        for number, boot in ((10, 2), (11, 1)):
            open_stranger(host, number, 200 + number, boot=boot)
            host.table.disconnect(key(number).public, "operator", host.wire.now)
        self.assertEqual([record.address for record in known], [("192.0.2.1", 7000)])

    def test_peer_that_does_not_listen_is_not_known(self) -> None:
        host = Wire().host(1, discover=True)
        stranger = Stranger(host)
        (theirs,) = stranger.heard()
        stranger.send(msgspec.structs.replace(handshake_of(host), listen_port=0))
        accept(stranger, theirs)  # type: ignore[arg-type]
        self.assertEqual(len(host.table.peers()), 1)
        self.assertEqual((len(host.table.discovery.book), host.table.discovery.book.rejected), (0, 0))

    def test_node_hears_nothing_of_the_questions_for_addresses(self) -> None:
        wire = Wire()
        host = wire.host(1, discover=True)
        stranger = open_stranger(host)
        wire.run(limits.REQUEST_DEADLINE_FIRST)
        self.assertEqual(host.table.conduct.counts["request-timeout"], 1)
        stranger.send(PeersResponse(peers=()), request_id=1, reply=True)
        open_stranger(host, 67, 9_001).send(PeersResponse(peers=()), request_id=2, reply=True)
        self.assertEqual((host.failed(), host.incoming()), ([], []))
        self.assertEqual(host.table._asked_peers, set())

    def test_node_that_does_not_discover_asks_for_no_addresses(self) -> None:
        for discover in (False, True):
            host = Wire().host(1, discover=discover)
            stranger = Stranger(host)
            (theirs,) = stranger.heard()
            stranger.send(handshake_of(host))
            accept(stranger, theirs)  # type: ignore[arg-type]
            asked = [message for message in stranger.heard() if isinstance(message, GetPeers)]
            self.assertEqual(len(asked), discover)

    def test_dial_that_met_somebody_proves_who_is_there_though_no_session_opened(self) -> None:
        wire = Wire(tls=False)
        wire.host(2, max_inbound=0)
        host = wire.host(1, discover=True)
        known = host.table.discovery.book
        for number in (1, 2):
            known.add(f"10.0.0.{number}", 7000, None, START, "10.0.0.9", START)
        wire.run(SECOND)
        (record,) = known
        self.assertEqual((record.address, record.node_id), (("10.0.0.2", 7000), key(2).public))
        self.assertEqual((record.tried, known.proved(record)), (False, True))
        self.assertIsNone(known.add("10.0.0.1", 7000, None, START, "10.0.0.9", START))

    def test_address_that_does_not_answer_its_test_gives_way(self) -> None:
        wire = Wire()
        host = wire.host(1, discover=True)
        held, wants = StoringTests().collide(host.table.discovery.book)
        host.table.dialing.try_once(*held, None, Origin.FEELER)
        wire.run(SECOND)
        self.assertFalse(host.table.discovery.book.at(*held).tried)  # type: ignore[union-attr]
        self.assertTrue(host.table.discovery.book.at(*wants).tried)  # type: ignore[union-attr]

    def test_node_that_stops_looks_for_nobody(self) -> None:
        wire = Wire()
        host = wire.host(1, discover=True)
        host.table.discovery.book.add("10.0.0.2", 7000, None, START, "10.0.0.9", START)
        host.call(host.table.stop(wire.now))
        wire.run(60 * SECOND)
        self.assertEqual((host.dials, host.table.next_deadline()), ([], None))

    def test_thousand_questions_are_one_choice_while_the_book_stays_as_it_is(self) -> None:
        discovery = Discovery(Dialing(SECOND, random.Random(1)), random.Random(1), public=True)
        for number in range(3_000):
            discovery.book.add(
                f"{11 + number % 80}.{number % 250}.1.9",
                24_000,
                bytes(32),
                START,
                f"9.{number % 99}.1.1",
                START,
            )
        drawn: list[int] = []
        sample = discovery.book.sample

        def counting(limit: int, now: int) -> list[Record]:
            drawn.append(limit)
            return sample(limit, now)

        self.patch(discovery.book, "sample", counting)
        answers = {id(discovery.answer(START + number)) for number in range(1_000)}
        self.assertEqual((len(answers), len(drawn)), (1, 1))
        discovery.book.add("8.8.8.8", 24_000, bytes(32), START, "9.9.9.9", START)
        discovery.answer(START)
        discovery.answer(START + TOLD_FOR)
        self.assertEqual(len(drawn), 3)

    def test_configured_peers_do_not_depend_on_discovery(self) -> None:
        """F13"""
        wire = Wire()
        wire.host(2)
        host = wire.host(1, wanted=[2], discover=True)
        host.table.discovery.book.add("10.0.0.77", 7000, None, START, "10.0.0.9", START)
        wire.run(SECOND)
        self.assertEqual(len(host.table.peers()), 1)

    def test_without_discovery_nobody_else_is_dialled(self) -> None:
        wire = Wire()
        hosts = [wire.host(n, wanted=[1]) for n in range(1, 6)]
        wire.run(600 * SECOND)
        self.assertEqual([len(host.table.peers()) for host in hosts], [4, 1, 1, 1, 1])

    def test_own_address_in_every_source_makes_no_session(self) -> None:
        """F06"""
        wire = Wire()
        host = wire.host(1, wanted=[1], named=False, discover=True)
        stranger = open_stranger(host)
        own = PeerAddress(node_id=host.node_id, host="10.0.0.1", port=7000, last_seen=START)
        request = next(m for m in (1, 2, 3))
        stranger.send(PeersResponse(peers=(own,)), request_id=request, reply=True)
        wire.run(60 * SECOND)
        self.assertLessEqual(len(host.dials), 1)
        self.assertEqual([peer.node_id for peer in host.table.peers()], [key(66).public])
        self.assertEqual(sum(host.table.conduct.counts.values()), 0)

    def test_one_outbound_session_per_group_on_public_networks(self) -> None:
        dialing = Dialing(SECOND, random.Random(1))
        discovery = Discovery(dialing, random.Random(1), public=True)
        for number in range(1, 30):
            discovery.book.add(f"8.8.{number}.1", 24_000, None, START, f"9.{number}.1.1", START)
            discovery.book.add(f"11.{number}.1.1", 24_000, None, START, f"9.{number}.1.1", START)
        for step in range(100):
            discovery.look(START, step, (), {})
        hosts = [target.host for target in dialing if target.origin is Origin.BOOK]
        self.assertEqual(len(hosts), limits.OUTBOUND_TARGET)
        self.assertEqual(len({group_of(host) for host in hosts}), len(hosts))

    def test_feeler_looks_and_leaves(self) -> None:
        wire = Wire()
        host = wire.host(1, discover=True)
        target = wire.host(2)
        record = host.table.discovery.book.add("10.0.0.2", 7000, None, START, "10.0.0.9", START)
        host.table.dialing.try_once("10.0.0.2", 7000, None, Origin.FEELER)
        host.call(host.table.tick(wire.now))
        wire.run(SECOND // 2)
        self.assertTrue(record.tried)  # type: ignore[union-attr]
        self.assertEqual((host.opened(), target.opened()), ([], []))
        self.assertEqual(target.table.refusals, {"feeler": 1})

    def test_address_to_be_tested_whose_node_is_linked_has_passed(self) -> None:
        """Nobody dials a node that is there: without this its test would keep all others waiting."""
        discovery = Discovery(Dialing(SECOND, random.Random(1)), random.Random(1), public=True)
        collide = StoringTests().collide
        held, wants = collide(discovery.book)
        self.assertIsNotNone(discovery.book.to_test())
        for step in range(0, 600, 10):
            discovery.look(START + step * SECOND, step * SECOND, (), {bytes(32): "192.0.2.1"})
        self.assertIsNone(discovery.book.to_test())
        self.assertTrue(discovery.book.at(*held).tried)  # type: ignore[union-attr]
        self.assertFalse(discovery.book.at(*wants).tried)  # type: ignore[union-attr]

    def test_address_whose_node_came_by_itself_is_no_outbound_session_to_be(self) -> None:
        dialing = Dialing(SECOND, random.Random(1))
        for number in range(limits.OUTBOUND_TARGET):
            dialing.try_once(f"10.0.1.{number}", 7000, key(2).public, Origin.BOOK)
        dialing.due(0, {key(2).public}, lambda node_id, host: False)
        self.assertEqual(list(dialing), [])

    def test_liars_about_who_is_where_are_found_out(self) -> None:
        """An address with somebody else's node id is dialled, and taken for what it is."""
        wire = Wire()
        wire.host(2)
        host = wire.host(1, discover=True)
        host.table.discovery.book.add("10.0.0.2", 7000, key(55).public, START, "10.0.0.9", START)
        wire.run(30 * SECOND)
        self.assertEqual([peer.node_id for peer in host.table.peers()], [key(2).public])
        self.assertEqual(host.table.discovery.book.at("10.0.0.2", 7000).node_id, key(2).public)  # type: ignore[union-attr]

    def test_liar_does_not_hide_others_behind_the_id_of_a_node_that_is_linked(self) -> None:
        """Every address is said to be the liar's own, who is linked already, or a banned node's, or ours."""
        wire = Wire()
        numbers = range(2, 2 + limits.OUTBOUND_TARGET)
        for number in numbers:
            wire.host(number)
        host = wire.host(1, discover=True)
        liar = open_stranger(host)
        host.table.ban(key(99).public, 0, "", wire.now)
        ids = [key(66).public, key(99).public, host.node_id]
        told = [
            PeerAddress(node_id=ids[number % 3], host=f"10.0.0.{number}", port=7000, last_seen=START)
            for number in numbers
        ]
        for number in numbers:
            host.table.discovery.book.add(f"10.0.0.{number}", 7000, None, START, "10.0.0.9", START)
        liar.send(PeersResponse(peers=tuple(told)), request_id=1, reply=True)
        wire.run(60 * SECOND)
        self.assertEqual(len(host.table.peers()), 1 + limits.OUTBOUND_TARGET)

    def test_address_of_a_node_that_is_linked_is_found_out_with_one_dial(self) -> None:
        """It came by itself from another address than others tell of."""
        wire = Wire()
        other = wire.host(2, wanted=[1])
        host = wire.host(1, discover=True)
        wire.run(SECOND)
        wire.hosts[0].name = "10.0.0.22"
        record = host.table.discovery.book.add("10.0.0.22", 7000, other.node_id, START, "10.0.0.9", START)
        wire.run(3600 * SECOND)
        self.assertEqual(len([dial for _, dial in host.dials if dial.host == "10.0.0.22"]), 1)
        self.assertTrue(record.tried)  # type: ignore[union-attr]
        self.assertEqual(len(host.table.peers()), 1)

    def test_own_addresses_are_remembered_up_to_a_bound(self) -> None:
        known = book()
        for number in range(addressbook.OWN_ADDRESSES + 10):
            known.is_own(f"8.8.{number // 250}.{number % 250}", 24_000)
        self.assertIsNotNone(known.add("8.8.0.9", 24_000, None, START, "9.9.9.9", START))
        for host in ("8.8.0.10", "8.8.1.15"):
            self.assertIsNone(known.add(host, 24_000, None, START, "9.9.9.9", START))

    def test_restarted_node_dials_its_anchors_first(self) -> None:
        wire = Wire()
        wire.host(2)
        host = wire.host(1, discover=True)
        host.table.discovery.book.add("10.0.0.2", 7000, None, START, "10.0.0.9", START)
        wire.run(30 * SECOND)
        memory = host.table.remembered()
        host.call(host.table.stop(wire.now))
        reborn = wire.host(1, discover=True, identity=identity(1, boot=2))
        reborn.table.remember(memory)
        wire.run(SECOND // 10)
        self.assertEqual(reborn.dials[0][1].host, "10.0.0.2")
