"""Bans by node id, address and subnet: who is kept out, for how long, and how they come back."""

from __future__ import annotations

from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.peer_harness import START, Host, Wire, identity, key
from tests.test_peer_sessions import open_stranger
from timed.errors import LocalError
from timed.params import SECOND
from timed.peer import limits
from timed.peer.bans import Ban, Bans, is_in, parse_subject, subject_text
from timed.peer.conduct import Conduct, PeerClass, Verdict
from timed.peer.dialing import Origin
from timed.peer.memory import Memory
from timed.peer.settings import PeerSettings

PEER = bytes(range(32))
HOST = "10.1.2.3"
DAY = 86_400


class SubjectTests(SynchronousTestCase):
    def test_a_node_id_an_address_and_a_subnet_are_subjects(self) -> None:
        for text, shown in (
            (PEER.hex(), PEER.hex()),
            (PEER.hex().upper(), PEER.hex()),
            ("10.1.2.3", "10.1.2.3/32"),
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("10.1.2.3/255.255.0.0", "10.1.0.0/16"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("2001:db8::1", "2001:db8::1/128"),
            ("2001:db8::1/32", "2001:db8::/32"),
            ("::ffff:10.1.2.3", "10.1.2.3/32"),
            ("::ffff:10.1.0.0/112", "10.1.0.0/16"),
        ):
            subject = parse_subject(text)
            self.assertEqual(subject_text(subject), shown, text)
            self.assertEqual(parse_subject(shown), subject)

    def test_anything_else_is_refused(self) -> None:
        for text in (
            "", "host.example", "10.1.2", "10.1.2.3/33", "10.1.2.3:7000", "1", "0x0a000001", "10.1.2.3/-1",
            "2001:db8::/129", "fe80::1%eth0/64", "a" * 63, "g" * 64, "ab " * 21 + "a", " " * 64, "١٠.1.2.3", "\ud800",
        ):  # fmt: skip
            with self.assertRaises(ValueError, msg=text):
                parse_subject(text)

    @given(
        st.text(max_size=80) | st.ip_addresses().map(str) | st.binary(min_size=32, max_size=32).map(bytes.hex)
    )
    @settings(deadline=None, max_examples=200)
    def test_no_text_does_anything_else(self, text: str) -> None:
        try:
            subject = parse_subject(text)
        except ValueError:
            return
        self.assertEqual(parse_subject(subject_text(subject)), subject)

    def test_an_address_counts_as_what_it_is_and_a_name_as_none(self) -> None:
        place = parse_subject("10.1.0.0/16")
        assert not isinstance(place, bytes)
        self.assertTrue(is_in("10.1.255.255", place))
        self.assertTrue(is_in("::ffff:10.1.2.3", place))
        for host in ("10.2.0.0", "2001:db8::1", "host.example", "", "10.1.2"):
            self.assertFalse(is_in(host, place), host)


class StoreTests(SynchronousTestCase):
    @given(
        st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 32)), max_size=20),
        st.integers(0, 2**32 - 1),
    )
    @settings(deadline=None, max_examples=100)
    def test_looking_up_finds_what_going_through_all_finds(
        self, places: list[tuple[int, int]], number: int
    ) -> None:
        from ipaddress import IPv4Address, IPv4Network

        bans = Bans()
        host = str(IPv4Address(number))
        for address, prefix in places:
            bans.put(Ban(IPv4Network((address, prefix), strict=False), 0, "test", True))
        naive = {
            ban.subject for ban in bans if not isinstance(ban.subject, bytes) and is_in(host, ban.subject)
        }
        self.assertEqual({ban.subject for ban in bans.covering(host, START)}, naive)

    def test_only_the_operator_bans_subnets(self) -> None:
        with self.assertRaises(LocalError):
            Ban(parse_subject("10.0.0.0/31"), 0, "test", by_operator=False)
        self.assertTrue(Ban(parse_subject("10.0.0.0/32"), 1, "test", by_operator=False).until)

    def test_without_room_the_automatic_ones_give_way_first(self) -> None:
        bans = Bans()
        for number in range(limits.BANS):
            bans.put(Ban(number.to_bytes(32, "big"), START + number, "operator", by_operator=True))
        bans.put(Ban(PEER, START + 10**9, "malformed", by_operator=False))
        self.assertIsNone(bans.get(PEER))
        bans.put(Ban(parse_subject("10.0.0.0/8"), 0, "operator", by_operator=True))
        self.assertEqual((len(bans), bans.overflows), (limits.BANS, 2))
        self.assertIsNone(bans.get(bytes(32)))
        self.assertEqual(len(list(bans.covering(HOST, START))), 1)

    def test_a_full_table_takes_another_term_for_somebody_who_is_in_it(self) -> None:
        bans = Bans()
        for number in range(limits.BANS):
            bans.put(Ban(number.to_bytes(32, "big"), START + number, "malformed", by_operator=False))
        again = Ban(bytes(32), START + 10**9, "operator", by_operator=True)
        bans.put(again)
        self.assertEqual((len(bans), bans.overflows, bans.get(bytes(32))), (limits.BANS, 0, again))

    def test_without_room_a_ban_without_an_end_goes_last(self) -> None:
        bans = Bans()
        bans.put(Ban(PEER, 0, "operator", by_operator=True))
        for number in range(1, limits.BANS + 1):
            bans.put(Ban(number.to_bytes(32, "big"), START + number, "operator", by_operator=True))
        self.assertIsNotNone(bans.get(PEER))
        self.assertIsNone(bans.get((1).to_bytes(32, "big")))

    def test_places_of_both_kinds_of_addresses_stand_side_by_side(self) -> None:
        bans = Bans()
        for text in ("2001:db8::/64", "10.1.0.0/16"):
            bans.put(Ban(parse_subject(text), 0, "test", True))
        for host, text in ((HOST, "10.1.0.0/16"), ("2001:db8::1", "2001:db8::/64")):
            self.assertEqual([ban.subject for ban in bans.covering(host, START)], [parse_subject(text)])
        self.assertEqual(list(bans.covering("node.example", START)), [])

    def test_what_was_removed_leaves_nothing_behind(self) -> None:
        bans = Bans()
        place = parse_subject("10.0.0.0/8")
        bans.put(Ban(place, 0, "test", True))
        self.assertIsNotNone(bans.remove(place))
        self.assertIsNone(bans.remove(place))
        self.assertEqual((len(bans), bans._places), (0, {}))


class PrecedenceTests(SynchronousTestCase):
    def test_every_kind_of_ban_crossed_with_every_class(self) -> None:
        """F26: the operator's ban of a node, trust, the operator's ban of a place, an automatic ban."""
        kept_out = {
            ("node", True): {PeerClass.ANONYMOUS, PeerClass.MEMBER, PeerClass.TRUSTED},
            ("place", True): {PeerClass.ANONYMOUS, PeerClass.MEMBER},
            ("node", False): {PeerClass.ANONYMOUS, PeerClass.MEMBER},
            ("place", False): {PeerClass.ANONYMOUS},
        }
        for what, by_operator, kind in product(("node", "place"), (True, False), PeerClass):
            conduct = Conduct()
            subject = PEER if what == "node" else parse_subject(HOST)
            conduct.ban(subject, START + SECOND, "test", by_operator=by_operator)
            expected = kind in kept_out[what, by_operator]
            self.assertEqual(conduct.banned(PEER, kind, START, HOST) is not None, expected, (what, kind))
            reborn = Conduct()
            for ban in conduct.bans(START):
                reborn.keep(ban)
            self.assertEqual(reborn.banned(PEER, kind, START, HOST) is not None, expected)
            self.assertIsNone(reborn.banned(PEER, kind, START + SECOND, HOST))
            self.assertTrue(conduct.unban(subject))
            self.assertIsNone(conduct.banned(PEER, kind, START, HOST))

    def test_trusted_are_the_configured_ones_and_this_machine(self) -> None:
        conduct = Conduct(PeerSettings(trusted=[PEER]))
        for node_id, host, expected in (
            (PEER, HOST, PeerClass.TRUSTED),
            (None, "127.0.0.1", PeerClass.TRUSTED),
            (key(5).public, "::ffff:127.0.0.1", PeerClass.TRUSTED),
            (key(5).public, "127.example.com", PeerClass.MEMBER),
            (key(5).public, HOST, PeerClass.MEMBER),
        ):
            self.assertIs(conduct.class_of(node_id, host, member=True), expected, host)

    def test_who_can_be_turned_away_before_saying_who_it_is(self) -> None:
        """Only for the operator's places, and only while nobody is trusted wherever it is."""
        for trusted, by_operator, expected in (([], True, True), ([PEER], True, False), ([], False, False)):
            conduct = Conduct(PeerSettings(trusted=trusted))
            conduct.ban(parse_subject(HOST), START + SECOND, "test", by_operator=by_operator)
            self.assertEqual(conduct.shut_out(HOST, START), expected)
            self.assertFalse(conduct.shut_out("10.1.2.4", START))
            self.assertFalse(conduct.shut_out(HOST, START + SECOND))
        conduct = Conduct()
        conduct.ban(parse_subject("127.0.0.0/8"), 0, "test", by_operator=True)
        self.assertFalse(conduct.shut_out("127.0.0.1", START))

    def test_fresh_keys_at_one_address_are_of_no_use(self) -> None:
        """The third node banned there takes the address along; members and other addresses stay."""
        conduct = Conduct()
        for number in range(1, limits.ADDRESS_BAN_NODES + 1):
            self.assertIsNone(conduct.banned(PEER, PeerClass.ANONYMOUS, START, HOST))
            verdict = Verdict.COUNT
            while verdict is not Verdict.BAN:
                verdict = conduct.report(
                    key(number).public, PeerClass.ANONYMOUS, "malformed", START, host=HOST
                )
        self.assertIsNotNone(conduct.banned(PEER, PeerClass.ANONYMOUS, START, HOST))
        self.assertIsNone(conduct.banned(PEER, PeerClass.MEMBER, START, HOST))
        self.assertIsNone(conduct.banned(PEER, PeerClass.ANONYMOUS, START, "10.1.2.4"))
        self.assertIsNone(conduct.banned(PEER, PeerClass.ANONYMOUS, START + limits.BAN_TIME, HOST))

    def test_an_address_pays_only_for_nodes_that_are_banned_there_now(self) -> None:
        """[21]: neither elsewhere, nor by the operator, nor long ago; a host name is no address."""
        others = [number.to_bytes(32, "big") for number in range(1, limits.ADDRESS_BAN_NODES)]
        for ban, host in (
            ({"until": 0, "by_operator": False, "host": "10.9.9.9"}, HOST),
            ({"until": 0, "by_operator": True, "host": HOST}, HOST),
            ({"until": START, "by_operator": False, "host": HOST}, HOST),
            ({"until": 0, "by_operator": False, "host": "node.example"}, "node.example"),
        ):
            conduct = Conduct()
            for other in others:
                conduct.ban(other, reason="test", **ban)  # type: ignore[arg-type]
            while conduct.ban_of(PEER, START) is None:
                conduct.report(PEER, PeerClass.ANONYMOUS, "malformed", START, host=host)
            places = [one for one in conduct.bans(START) if not isinstance(one.subject, bytes)]
            self.assertEqual(places, [], str(ban))

    def test_unbanning_a_place_lifts_what_was_banned_automatically_in_it(self) -> None:
        """F27: nothing keeps a peer out behind the operator's back."""
        conduct = Conduct()
        conduct.ban(PEER, START + SECOND, "malformed", by_operator=False, host=HOST)
        conduct.ban(parse_subject(HOST), START + SECOND, "malformed", by_operator=False)
        conduct.ban(key(5).public, 0, "meant", by_operator=True, host=HOST)
        conduct.ban(key(6).public, START + SECOND, "malformed", by_operator=False, host="10.9.9.9")
        self.assertEqual(len(conduct.unban(parse_subject("10.1.0.0/16"))), 2)
        self.assertIsNone(conduct.banned(PEER, PeerClass.ANONYMOUS, START, HOST))
        self.assertEqual({ban.subject for ban in conduct.bans(START)}, {key(5).public, key(6).public})


class PlaceTests(SynchronousTestCase):
    """Dialler and inbound both obey."""

    def setUp(self) -> None:
        self.wire = Wire()

    def test_who_is_there_is_closed_and_kept_out_as_caller_and_as_called(self) -> None:
        a, b, c = self.wire.host(1, wanted=[2]), self.wire.host(2), self.wire.host(3, wanted=[1])
        self.wire.run(SECOND)
        self.assertEqual(len(a.table.peers()), 2)
        a.table.ban(parse_subject("10.0.0.2/31"), DAY, "test", self.wire.now)
        a.call(None)
        self.assertEqual([closed.reason for closed in a.closed()], ["banned"] * 2)
        dials = len(a.dials)
        self.wire.run(600 * SECOND)
        self.assertEqual(a.table.peers(), ())
        self.assertEqual(len(a.dials), dials)
        self.assertGreater(a.table.refusals["banned"], 0)
        self.assertEqual([closed.reason for closed in c.closed()], ["banned"])
        self.assertEqual(len(b.closed()), 1)

    def test_a_half_open_link_from_there_is_closed_as_well(self) -> None:
        host = self.wire.host(1)
        open_stranger(host)
        host.table.connected(77, False, key(67).public, "192.0.2.1", 5001, self.wire.now)
        host.table.ban(parse_subject("192.0.2.0/24"), DAY, "test", self.wire.now)
        host.call(None)
        self.assertEqual({close.link for close in host.closes}, {9_000, 77})

    def test_addresses_of_the_book_inside_it_are_not_dialled(self) -> None:
        """F31"""
        self.wire.host(2)
        self.wire.host(3)
        host = self.wire.host(1, discover=True)
        book = host.table.discovery.book
        book.add("10.0.0.2", 7000, None, START, "10.0.0.9", START)
        book.add("10.0.0.3", 7000, None, START, "10.0.0.9", START)
        host.table.ban(parse_subject("10.0.0.2"), 0, "test", self.wire.now)
        self.wire.run(600 * SECOND)
        self.assertEqual({dial.host for _, dial in host.dials}, {"10.0.0.3"})
        self.assertEqual(len(host.table.peers()), 1)

    def test_a_single_attempt_there_is_dropped_and_not_kept_for_ever(self) -> None:
        host = self.wire.host(1)
        host.table.ban(parse_subject("10.0.0.0/24"), 0, "test", self.wire.now)
        host.table.dialing.try_once("10.0.0.2", 7000, None, Origin.BOOK)
        host.table.want("10.0.0.3", 7000)
        self.wire.run(60 * SECOND)
        self.assertEqual(host.dials, [])
        self.assertEqual([target.host for target in host.table.dialing], ["10.0.0.3"])

    def test_trusted_nodes_and_this_machine_stay(self) -> None:
        a = self.wire.host(1, wanted=[2, 3], trusted=[key(2).public])
        self.wire.host(2)
        self.wire.host(3)
        self.wire.run(SECOND)
        a.table.ban(parse_subject("0.0.0.0/0"), DAY, "test", self.wire.now)
        a.call(None)
        self.wire.run(10 * SECOND)
        self.assertEqual([peer.node_id for peer in a.table.peers()], [key(2).public])
        a.call(a.table.connected(88, False, key(9).public, "127.0.0.1", 5001, self.wire.now))
        self.assertNotIn(88, {close.link for close in a.closes})

    def test_the_operators_ban_of_a_node_is_meant_even_if_it_is_trusted(self) -> None:
        a = self.wire.host(1, wanted=[2], trusted=[key(2).public])
        self.wire.host(2)
        self.wire.run(SECOND)
        a.table.ban(key(2).public, DAY, "test", self.wire.now)
        a.call(None)
        self.wire.run(10 * SECOND)
        self.assertEqual(a.table.peers(), ())

    def test_a_member_at_an_address_of_banned_strangers_is_let_in(self) -> None:
        """[21] Its quorum is needed, and who shares its address is no fault of its."""
        a = self.wire.host(1)
        b = self.wire.host(2, wanted=[1], identity=identity(2, operator=True))
        a.table.members = frozenset([key(102).public])
        a.table.conduct.ban(parse_subject("10.0.0.2"), START + 60 * SECOND, "malformed", by_operator=False)
        self.wire.run(SECOND)
        self.assertEqual([peer.node_id for peer in a.table.peers()], [b.node_id])
        a.table.members = frozenset()
        self.wire.host(3, wanted=[1])
        a.table.conduct.ban(parse_subject("10.0.0.3"), START + 60 * SECOND, "malformed", by_operator=False)
        self.wire.run(30 * SECOND)
        self.assertEqual(len(a.table.peers()), 1)
        self.wire.run(60 * SECOND)
        self.assertEqual(len(a.table.peers()), 2)

    def test_a_plain_link_from_there_is_refused_by_its_greeting(self) -> None:
        wire = Wire(tls=False)
        a, b = wire.host(1), wire.host(2, wanted=[1])
        a.table.ban(parse_subject("10.0.0.2"), 0, "test", wire.now)
        wire.run(SECOND)
        self.assertEqual((a.table.peers(), b.table.peers()), ((), ()))
        self.assertEqual(set(a.table.refusals), {"banned"})


class ReturnTests(SynchronousTestCase):
    """F27, R21: whatever kept a peer out, lifting it restores service within 5 s, also after a restart."""

    def lift_and_wait(self, wire: Wire, host: Host, lifted: bool) -> None:
        self.assertTrue(lifted)
        host.call(None)
        wire.run(5 * SECOND)
        self.assertEqual(len(host.table.peers()), 1)

    def test_each_kind_of_ban_with_each_direction_of_the_dial(self) -> None:
        for text, dialler in product((key(2).public.hex(), "10.0.0.2", "10.0.0.0/24"), (1, 2)):
            for restart in (False, True):
                wire = Wire()
                a = wire.host(1, wanted=[2] if dialler == 1 else [], discover=True)
                wire.host(2, wanted=[1] if dialler == 2 else [])
                wire.run(SECOND)
                a.table.ban(parse_subject(text), 0, "test", wire.now)
                a.call(None)
                wire.run(1_200 * SECOND)
                self.assertEqual(a.table.peers(), ())
                if restart:
                    memory = Memory.from_json(a.table.remembered().to_json())
                    a.call(a.table.stop(wire.now))
                    a = wire.host(
                        1, wanted=[2] if dialler == 1 else [], discover=True, identity=identity(1, boot=2)
                    )
                    a.table.remember(memory)
                    wire.run(100 * SECOND)
                    self.assertEqual(a.table.peers(), ())
                self.lift_and_wait(wire, a, a.table.unban(parse_subject(text), wire.now))

    def test_clearing_lifts_all_of_them(self) -> None:
        wire = Wire()
        a = wire.host(1, discover=True)
        wire.host(2, wanted=[1])
        wire.run(SECOND)
        for text in (key(2).public.hex(), "10.0.0.2", "10.0.0.0/8"):
            a.table.ban(parse_subject(text), DAY, "test", wire.now)
        a.call(None)
        wire.run(600 * SECOND)
        self.lift_and_wait(wire, a, a.table.clear_bans(wire.now))
        self.assertEqual(a.table.conduct.bans(wire.now), ())
        self.assertFalse(a.table.clear_bans(wire.now))

    def test_a_timed_ban_ends_by_itself(self) -> None:
        wire = Wire()
        a = wire.host(1, wanted=[2])
        wire.host(2)
        wire.run(SECOND)
        a.table.ban(parse_subject("10.0.0.2"), 100, "test", wire.now)
        a.call(None)
        wire.run(99 * SECOND)
        self.assertEqual(a.table.peers(), ())
        wire.run(limits.BACKOFF_CAP_MAX)
        self.assertEqual(len(a.table.peers()), 1)

    def test_an_unban_of_nobody_says_so(self) -> None:
        host = Wire().host(1)
        for text in (PEER.hex(), "10.0.0.2", "10.0.0.0/8"):
            self.assertFalse(host.table.unban(parse_subject(text), START))
        host.table.ban(parse_subject("10.0.0.2"), 1, "test", START)
        self.assertFalse(host.table.unban(parse_subject("10.0.0.2"), START + SECOND))
        host.table.ban(parse_subject("10.0.0.2"), 1, "test", START + SECOND)
        self.assertFalse(host.table.clear_bans(START + 2 * SECOND))

    def test_operators_ban_says_since_when_and_where_the_node_was(self) -> None:
        wire = Wire()
        host = wire.host(1)
        open_stranger(host)
        for subject, seconds, until, where in (
            (key(66).public, 5, START + 7 + 5 * SECOND, "192.0.2.1"),
            (key(67).public, 0, 0, ""),
            (parse_subject("10.0.0.0/8"), 0, 0, ""),
        ):
            host.table.ban(subject, seconds, "test", START + 7)
            self.assertIn(
                Ban(subject, until, "test", True, START + 7, where), host.table.conduct.bans(START + 7)
            )

    def test_some_known_nodes_that_the_ban_kept_out_are_dialled_and_nobody_else(self) -> None:
        for text in ("10.9.0.0/16", None):
            host = Wire().host(1, discover=True)
            known = host.table.discovery.book
            for number in range(1, 20):
                known.add(f"10.9.0.{number}", 7000, bytes([number]) * 32, START, f"10.9.1.{number}", START)
                known.add(f"10.9.2.{number}", 7000, None, START, f"10.9.3.{number}", START)
                known.add(
                    f"10.8.0.{number}", 7000, bytes([99, number] * 16), START, f"10.8.1.{number}", START
                )
            self.assertGreater(len(known), 50)
            subject = bytes([5]) * 32 if text is None else parse_subject(text)
            host.table.ban(subject, 0, "test", START)
            self.assertTrue(host.table.unban(subject, START))
            dialled = {target.host for target in host.table.dialing}
            self.assertEqual(len(dialled), 1 if text is None else limits.DIAL_BACKS)
            self.assertTrue(
                dialled <= {f"10.9.0.{number}" for number in ([5] if text is None else range(1, 20))}
            )

    def test_without_discovery_only_wanted_addresses_are_dialled_back(self) -> None:
        wire = Wire()
        a = wire.host(1)
        wire.host(2, wanted=[1])
        wire.run(SECOND)
        a.table.ban(key(2).public, 0, "test", wire.now)
        a.call(None)
        wire.run(10 * SECOND)
        self.assertTrue(a.table.unban(key(2).public, wire.now))
        wire.run(60 * SECOND)
        self.assertEqual(a.dials, [])
        self.assertEqual(len(a.table.peers()), 1)


class RememberedTests(SynchronousTestCase):
    def test_bans_come_back_equal(self) -> None:
        host = Wire().host(1)
        for text, seconds in ((PEER.hex(), 0), ("10.0.0.0/8", DAY), ("2001:db8::1", DAY)):
            host.table.ban(parse_subject(text), seconds, "ünusual", START)
        memory = host.table.remembered()
        self.assertEqual(Memory.from_json(memory.to_json()).bans, memory.bans)
        self.assertEqual(len(memory.bans), 3)

    def test_bans_that_cannot_be_are_refused(self) -> None:
        host = Wire().host(1)
        host.table.ban(parse_subject("10.0.0.0/8"), DAY, "test", START)
        text = host.table.remembered().to_json()
        for old, new in (
            ("10.0.0.0/8", "nonsense"),
            ('"by_operator": true', '"by_operator": false'),
            ('"by_operator": true', '"by_operator": 1'),
            ('"reason": "test"', '"reason": "\\ud800"'),
            ('"reason": "test"', f'"reason": "{"x" * 300}"'),
            ('"10.0.0.0/8"', "7"),
            ('"secret": "', '"secret": "00'),
        ):
            self.assertIn(old, text)
            with self.assertRaises(LocalError, msg=new):
                Memory.from_json(text.replace(old, new))
