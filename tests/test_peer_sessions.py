"""Who is connected: the handshake, its refusals, and one session per pair of nodes ([22])."""

from __future__ import annotations

import random
from itertools import pairwise

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.peer_harness import START, Host, Stranger, Wire, identity, key, link_state
from timed.events import PeerClosed, PeerOpened, PeerRefused
from timed.params import SECOND, TESTNET
from timed.peer import greeting, limits
from timed.peer.retention import reference
from timed.peer.session import State
from timed.peer.settings import PeerSettings
from timed.wire.messages import Ack, BlockAnnouncement, Goodbye, Handshake, Ping, Pong

NEWS = BlockAnnouncement(height=1, hash=bytes(32))


def handshake_of(
    host: Host, number: int = 66, *, outbound: bool = True, dial: int = 1, boot: int = 1
) -> Handshake:
    """What an honest node with this number would say to `host`; `outbound` as it sees the link."""
    return greeting.compose(identity(number, boot=boot), host.node_id, outbound, dial, (0, bytes(32)), START)


def accept(stranger: Stranger, theirs: Handshake) -> None:
    stranger.send(Ack(number=1, reference=reference(theirs.encode())))


def open_stranger(host: Host, number: int = 66, link: int = 9_000, **claims: int) -> Stranger:
    stranger = Stranger(host, number=number, link=link)
    (theirs,) = stranger.heard()
    stranger.send(handshake_of(host, number, **claims))
    accept(stranger, theirs)  # type: ignore[arg-type]
    stranger.heard()
    return stranger


class HandshakeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.wire = Wire()

    def test_a_dial_becomes_one_session_that_both_ends_know(self) -> None:
        a, b = self.wire.host(1, wanted=[2]), self.wire.host(2)
        self.wire.run(SECOND)
        self.assertEqual([peer.node_id for peer in a.table.peers()], [b.node_id])
        self.assertEqual([peer.node_id for peer in b.table.peers()], [a.node_id])
        self.assertTrue(a.table.peers()[0].outbound)
        self.assertFalse(b.table.peers()[0].outbound)
        self.assertEqual([type(event) for event in a.events], [PeerOpened])

    def test_messages_travel_both_ways_whoever_dialled(self) -> None:
        a, b = self.wire.host(1, wanted=[2]), self.wire.host(2)
        self.wire.run(SECOND)
        for one, other in ((a, b), (b, a)):
            self.assertTrue(one.table.send_to_peer(other.node_id, NEWS))
            one.call(None)
            self.wire.run(SECOND)
            self.assertEqual(other.incoming(), [NEWS])

    def test_nothing_is_sent_to_a_peer_that_is_not_open(self) -> None:
        a = self.wire.host(1)
        stranger = Stranger(a)
        stranger.send(handshake_of(a))
        self.assertEqual(a.table.peers(), ())
        self.assertFalse(a.table.send_to_peer(key(66).public, NEWS))
        self.assertEqual([type(message) for message in stranger.heard()], [Handshake, Ack])

    def test_handshake_is_the_first_message_and_its_ack_the_second(self) -> None:
        a, b = self.wire.host(1, wanted=[2]), self.wire.host(2)
        self.wire.run(SECOND)
        self.assertEqual([type(event) for event in b.events], [PeerOpened])
        sent = list(a.table.statistics(b.node_id).sent)  # type: ignore[union-attr]
        self.assertEqual(sent[:2], ["Handshake", "Ack"])

    def test_operator_proof_names_the_member(self) -> None:
        a = self.wire.host(1, wanted=[2], identity=identity(1, operator=True))
        b = self.wire.host(2)
        self.wire.run(SECOND)
        self.assertEqual(b.table.peers()[0].operator, key(101).public)
        self.assertIsNone(a.table.peers()[0].operator)

    def test_operator_proof_works_on_plain_links(self) -> None:
        wire = Wire(tls=False)
        wire.host(1, wanted=[2], identity=identity(1, operator=True))
        b = wire.host(2, identity=identity(2, operator=True))
        wire.run(SECOND)
        self.assertEqual(b.table.peers()[0].operator, key(101).public)

    def test_plain_link_takes_the_node_id_from_the_handshake(self) -> None:
        wire = Wire(tls=False)
        a, b = wire.host(1, wanted=[2], named=False), wire.host(2)
        wire.run(SECOND)
        self.assertEqual(a.table.peers()[0].node_id, b.node_id)


class RefusalTests(SynchronousTestCase):
    """Every refusal has a name, said to the peer and to the observers."""

    def setUp(self) -> None:
        self.wire = Wire()
        self.host = self.wire.host(1)

    def assertRefused(self, stranger: Stranger, rule: str) -> None:
        said = [message for message in stranger.heard() if isinstance(message, Goodbye)]
        self.assertEqual([message.reason for message in said], [rule])
        self.assertEqual(self.host.closes[-1].link, stranger.link)
        refused = [event for event in self.host.events if isinstance(event, PeerRefused)]
        self.assertEqual([(event.rule, event.ours) for event in refused], [(rule, True)])
        self.assertEqual(self.host.table.refusals[rule], 1)
        self.assertEqual(self.host.table.peers(), ())
        self.assertEqual(self.host.deliveries, [])

    def refused_handshake(self, rule: str, **changes: object) -> None:
        stranger = Stranger(self.host)
        stranger.send(msgspec.structs.replace(handshake_of(self.host), **changes))
        self.assertRefused(stranger, rule)

    def test_wrong_network(self) -> None:
        self.refused_handshake("wrong-network", network="testnet")

    def test_wrong_genesis(self) -> None:
        self.refused_handshake("wrong-genesis", genesis=bytes(32))

    def test_newer_wire_version_that_dropped_ours(self) -> None:
        self.refused_handshake("wire-version", wire_version=9, min_wire_version=8)

    def test_node_id_that_tls_did_not_prove(self) -> None:
        self.refused_handshake("node-id-mismatch", node_id=key(67).public)

    def test_own_node_id(self) -> None:
        stranger = Stranger(self.host, number=1)
        self.assertRefused(stranger, "self")

    def test_forged_operator_proof(self) -> None:
        theirs = greeting.compose(
            identity(66, operator=True), self.host.node_id, False, 1, (0, bytes(32)), START
        )
        stranger = Stranger(self.host)
        stranger.send(theirs)
        self.assertRefused(stranger, "operator-proof")

    def test_banned_peer(self) -> None:
        self.host.table.ban(key(66).public, 60, "because", self.wire.now)
        self.assertRefused(Stranger(self.host), "banned")

    def test_while_stopping(self) -> None:
        self.host.call(self.host.table.stop(self.wire.now))
        self.assertRefused(Stranger(self.host), "stopping")

    def test_handshake_timeout(self) -> None:
        stranger = Stranger(self.host)
        self.wire.run(limits.HANDSHAKE_DEADLINE)
        self.assertRefused(stranger, "handshake-timeout")

    def test_peer_that_never_acknowledges(self) -> None:
        stranger = Stranger(self.host)
        stranger.send(handshake_of(self.host))
        self.wire.run(limits.HANDSHAKE_DEADLINE)
        self.assertRefused(stranger, "handshake-timeout")

    def test_message_before_the_handshake(self) -> None:
        stranger = Stranger(self.host)
        stranger.send(Ping(nonce=1, time=1))
        self.assertRefused(stranger, "handshake-order")

    def test_ack_for_something_else(self) -> None:
        stranger = Stranger(self.host)
        stranger.send(handshake_of(self.host))
        stranger.send(Ack(number=1, reference=bytes(32)))
        self.assertRefused(stranger, "handshake-order")

    def test_refusal_of_the_other_side_is_told_as_theirs(self) -> None:
        stranger = Stranger(self.host)
        stranger.send(Goodbye(reason="full"))
        refused = [event for event in self.host.events if isinstance(event, PeerRefused)]
        self.assertEqual([(event.rule, event.ours) for event in refused], [("full", False)])

    def test_other_network_by_magic(self) -> None:
        foreign = self.wire.host(2, wanted=[1], identity=identity(2, params=TESTNET))
        self.wire.run(SECOND // 10)
        self.assertEqual(self.host.table.refusals["wrong-network"], 1)
        self.assertEqual(foreign.table.peers(), ())


class RoomTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.wire = Wire()
        self.host = self.wire.host(1, max_inbound=3, trusted=[key(90).public])
        self.strangers = [open_stranger(self.host, 10 + n, 100 + n) for n in range(3)]

    def test_full_house_refuses_strangers(self) -> None:
        late = Stranger(self.host, number=60)
        late.send(handshake_of(self.host, 60))
        self.assertEqual([m.reason for m in late.heard() if isinstance(m, Goodbye)], ["full"])
        self.assertEqual(len(self.host.table.peers()), 3)

    def test_trusted_peer_takes_the_youngest_strangers_place(self) -> None:
        open_stranger(self.host, 90)
        self.assertIn(key(90).public, [peer.node_id for peer in self.host.table.peers()])
        self.assertEqual(self.host.closed()[0].peer.node_id, key(12).public)
        self.assertEqual(len(self.host.table.peers()), 3)

    def test_fewer_places_close_the_youngest_strangers_and_more_let_others_in(self) -> None:
        def regulate(max_inbound: int, *trusted: bytes) -> None:
            settings = PeerSettings(trusted=trusted, max_inbound=max_inbound)
            self.host.table.regulate(settings, self.wire.now)
            self.host.call([])

        regulate(1, key(10).public, key(11).public)
        self.assertEqual([closed.peer.node_id for closed in self.host.closed()], [key(12).public])
        self.assertEqual(len(self.host.table.peers()), 2)
        regulate(4)
        for number in (61, 62):
            open_stranger(self.host, number, 300 + number)
        self.assertEqual(len(self.host.table.peers()), 4)
        self.wire.host(2)
        self.host.table.want("10.0.0.2", 7000)
        self.host.call([])
        self.wire.run(SECOND)
        regulate(0)
        self.assertEqual([peer.node_id for peer in self.host.table.peers()], [key(2).public])

    def test_sessions_that_this_node_dialled_take_no_place(self) -> None:
        host = self.wire.host(1, wanted=[2], max_inbound=1)
        self.wire.host(2)
        self.wire.run(SECOND)
        open_stranger(host, 10, 100)
        self.assertEqual({peer.node_id for peer in host.table.peers()}, {key(2).public, key(10).public})
        full = self.wire.host(3, max_inbound=0)
        stranger = Stranger(full, outbound=True)
        (theirs,) = stranger.heard()
        stranger.send(handshake_of(full, outbound=False))
        accept(stranger, theirs)  # type: ignore[arg-type]
        self.assertEqual(len(full.table.peers()), 1)

    def test_node_that_this_one_wants_takes_a_strangers_place(self) -> None:
        self.host.table.want("10.0.0.60", 7000, key(60).public)
        open_stranger(self.host, 60)
        self.assertIsNotNone(self.host.table.get(key(60).public))
        self.assertEqual(self.host.closed()[0].peer.node_id, key(12).public)

    def test_where_nobody_who_greets_is_a_stranger_the_oldest_link_goes(self) -> None:
        Stranger(self.host, number=61, link=9_999, outbound=True)
        for number in range(limits.GREETING_LINKS + 1):
            Stranger(self.host, number=90, link=10_000 + number)
        self.assertEqual([(close.link, close.abort) for close in self.host.closes], [(10_000, True)])

    def test_links_that_never_greet_do_not_pile_up(self) -> None:
        for number in range(limits.GREETING_LINKS + 10):
            Stranger(self.host, number=60, link=10_000 + number)
        self.assertEqual(len(self.host.closes), 10)
        self.assertEqual(self.host.closes[0].link, 10_000)

    def test_flood_of_links_does_not_push_out_whom_this_node_knows(self) -> None:
        known = Stranger(self.host, number=90, link=5_000)
        for number in range(3 * limits.GREETING_LINKS):
            Stranger(self.host, number=60, link=10_000 + number)
        (theirs,) = known.heard()
        known.send(handshake_of(self.host, 90))
        accept(known, theirs)  # type: ignore[arg-type]
        self.assertIsNotNone(self.host.table.get(key(90).public))


class OnePerPairTests(SynchronousTestCase):
    """[22]"""

    def assertOneSession(self, a: Host, b: Host) -> None:
        """Exactly one session, and both ends name the same link."""
        ends = a.wire.links_between(a, b)
        self.assertEqual(len(ends), 1)
        (end,) = ends
        self.assertEqual([peer.node_id for peer in a.table.peers()], [b.node_id])
        self.assertEqual([peer.node_id for peer in b.table.peers()], [a.node_id])
        mine, theirs = a.table.session_with(b.node_id), b.table.session_with(a.node_id)
        self.assertEqual(mine.link, end.link)  # type: ignore[union-attr]
        self.assertEqual(theirs.link, end.peer.link)  # type: ignore[union-attr]

    @given(st.randoms(use_true_random=False), st.booleans(), st.booleans())
    @settings(deadline=None, max_examples=150)
    def test_crossing_dials_leave_one_session_in_every_order(
        self, entropy: random.Random, tls: bool, named: bool
    ) -> None:
        wire = Wire(tls=tls, manual=True)
        a, b = wire.host(1, wanted=[2], named=named), wire.host(2, wanted=[1], named=named)
        for host in (a, b):
            host.call(host.table.tick(wire.now))
        while choices := wire.choices():
            entropy.choice(choices)()
            wire.now += entropy.randrange(1_000)
        self.assertOneSession(a, b)
        for host in (a, b):
            self.assertEqual(host.table.reconnects, 0)
            self.assertTrue(all(not closed.unwanted for closed in host.closed()))

    @given(st.randoms(use_true_random=False), st.booleans())
    @settings(deadline=None, max_examples=60)
    def test_any_mischief_of_the_network_ends_in_one_session(self, entropy: random.Random, tls: bool) -> None:
        """Cuts that one side or both learn of, in the midst of dials and redials."""
        wire = Wire(tls=tls, manual=True)
        a, b = wire.host(1, wanted=[2]), wire.host(2, wanted=[1])
        for _ in range(300):
            choices = wire.choices()
            ends = [end for end in wire.ends.values() if not end.gone and not end.inbox]
            if ends and entropy.random() < 0.05:
                wire.cut(entropy.choice(ends))
            elif choices and entropy.random() < 0.9:
                entropy.choice(choices)()
            else:
                wire.now += entropy.randrange(SECOND // 2)
                host = entropy.choice((a, b))
                host.call(host.table.tick(wire.now))
        for end in wire.ends.values():
            if end.deaf and not end.gone:
                wire.cut(end)
        wire.settle()
        wire.run(limits.SILENCE_LIMIT + 20 * SECOND)
        self.assertOneSession(a, b)

    def test_restarted_peer_replaces_its_dead_session(self) -> None:
        """The old process vanished without a word."""
        wire = Wire()
        a, b = wire.host(1), wire.host(2, wanted=[1])
        wire.run(SECOND)
        b.alive = False
        reborn = wire.host(2, wanted=[1], identity=identity(2, boot=2))
        wire.run(SECOND)
        self.assertEqual([peer.node_id for peer in reborn.table.peers()], [a.node_id])
        self.assertEqual([peer.handshake.boot for peer in a.table.peers()], [2])

    def test_restarted_peer_with_a_clock_set_back_waits_for_the_probe(self) -> None:
        """The older `boot` is refused; the dead session is probed and closed, and the next dial opens."""
        wire = Wire()
        a, b = wire.host(1), wire.host(2, wanted=[1], identity=identity(2, boot=5))
        wire.run(SECOND)
        b.alive = False
        reborn = wire.host(2, wanted=[1], identity=identity(2, boot=4))
        wire.run(SECOND)
        self.assertEqual(reborn.table.peers(), ())
        wire.run(limits.PROBE_LIMIT + 5 * SECOND)
        self.assertEqual([peer.handshake.boot for peer in a.table.peers()], [4])
        self.assertEqual([closed.reason for closed in a.closed()], ["stale"])

    def test_peer_that_lost_the_link_alone_gets_in_at_once(self) -> None:
        wire = Wire()
        a, b = wire.host(1), wire.host(2, wanted=[1])
        wire.run(SECOND)
        (end,) = wire.links_between(b, a)
        wire.cut(end)
        wire.run(SECOND)
        self.assertOneSession(a, b)
        self.assertEqual(b.table.reconnects, 1)

    def test_late_end_of_an_old_link_does_not_touch_the_new_session(self) -> None:
        """F03: teardown is by session, not by address."""
        host = Wire().host(1)
        open_stranger(host, link=1, boot=1)
        open_stranger(host, link=2, boot=2)
        self.assertEqual([closed.reason for closed in host.closed()], ["duplicate"])
        host.call(host.table.disconnected(1, "connection-done", START))
        self.assertEqual(len(host.table.peers()), 1)
        self.assertTrue(host.table.send_to_peer(key(66).public, NEWS))
        self.assertEqual(len(host.closed()), 1)

    def test_duplicate_neither_counts_as_reconnect_nor_touches_the_backoff(self) -> None:
        wire = Wire(tls=False)
        hosts = [wire.host(number, wanted=[1, 2, 3], named=False) for number in (1, 2, 3)]
        wire.run(600 * SECOND)
        for host in hosts:
            self.assertEqual(len(host.table.peers()), 2)
            self.assertEqual((host.table.reconnects, host.table.dialing.failed), (0, 0))
            self.assertEqual(sum(host.table.conduct.counts.values()), 0)
            self.assertLessEqual(len(host.dials), 3)

    def test_own_address_is_dialled_once(self) -> None:
        """F06"""
        wire = Wire()
        host = wire.host(1, wanted=[1], named=False)
        wire.run(3_600 * SECOND)
        self.assertEqual(len(host.dials), 1)
        self.assertEqual(host.table.peers(), ())

    def test_all_pairs_dialling_at_once_make_a_full_mesh(self) -> None:
        for tls in (True, False):
            wire = Wire(tls=tls)
            numbers = range(1, 9)
            hosts = [wire.host(n, wanted=[m for m in numbers if m != n], named=tls) for n in numbers]
            wire.run(15 * SECOND)
            for host in hosts:
                self.assertEqual(len(host.table.peers()), 7)
                self.assertEqual(host.table.reconnects, 0)
            live = sum(len(wire.links_between(a, b)) for a in hosts for b in hosts if a is not b)
            self.assertEqual(live, 8 * 7)

    def test_state_is_computed_from_live_sessions(self) -> None:
        """F02: what is said of peers equals the sessions there are."""
        wire = Wire()
        a = wire.host(1, wanted=[2, 3])
        wire.host(2)
        wire.run(SECOND)
        self.assertEqual(len(a.table.peers()), 1)
        self.assertIs(a.table.get(key(2).public), a.table.peers()[0])
        self.assertIsNone(a.table.get(key(3).public))
        (end,) = wire.links_between(a, wire.hosts[1])
        a.call(a.table.disconnected(end.link, "connection-lost", wire.now))
        self.assertEqual(a.table.peers(), ())
        self.assertIsNone(a.table.session_with(key(2).public))


class LinkTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.wire = Wire()
        self.host = self.wire.host(1)

    def test_dialler_greets_at_once_where_the_transport_names_the_peer_and_else_in_its_turn(self) -> None:
        for tls in (True, False):
            host = self.wire.host(1)
            stranger = Stranger(host, tls=tls, outbound=True)
            self.assertEqual(len(stranger.heard()), tls)
            stranger.send(handshake_of(host, outbound=False))
            said = [type(message) for message in stranger.heard()]
            self.assertEqual(said, [Ack] if tls else [Handshake, Ack])

    def test_what_arrives_for_a_link_that_is_gone_or_was_never_there_is_nothing(self) -> None:
        table, now = self.host.table, self.wire.now
        stranger = open_stranger(self.host)
        table.disconnect(key(66).public, "operator", now)
        self.host.call(None)
        count = len(self.host.deliveries)
        stranger.send(NEWS)
        for _ in range(2):
            table.drained(stranger.link, now)
            self.host.call(table.disconnected(stranger.link, "connection-done", now))
            stranger.send(NEWS)
        self.host.call(table.dial_failed("10.0.0.9", 7000, "timeout", now))
        self.assertEqual((len(self.host.deliveries), table.violations), (count, {}))
        self.host.call(table.tick(now))
        self.assertIsNone(table.next_deadline())

    def test_events_say_who_ended_a_session(self) -> None:
        for ours in (False, True):
            stranger = open_stranger(self.host)
            if ours:
                self.host.table.disconnect(key(66).public, "operator", self.wire.now)
            self.host.call(self.host.table.disconnected(stranger.link, "connection-lost", self.wire.now))
            ended = [event for event in self.host.events if isinstance(event, PeerClosed)][-1]
            self.assertEqual((ended.reason, ended.ours), ("operator" if ours else "connection-lost", ours))

    def test_what_a_busy_link_gathers_leaves_in_time(self) -> None:
        stranger = open_stranger(self.host)
        self.host.call(self.host.table.tick(self.wire.now))
        for _ in range(5):
            self.host.table.broadcast(NEWS)
            self.host.call(None)
            self.wire.now += 40_000
            stranger.heard()
        for _ in range(2):
            self.host.table.broadcast(NEWS)
            self.host.call(None)
        self.assertEqual(len(self.host.writes), 1)
        due = self.wire.now + limits.HOLD_MAX_URGENT
        self.assertEqual(self.host.table.next_deadline(), due)
        self.wire.now = due
        self.host.call(self.host.table.tick(due))
        self.assertEqual(stranger.heard(), [NEWS, NEWS])

    def test_older_session_is_asked_for_a_sign_of_life_at_once_and_lives(self) -> None:
        first = open_stranger(self.host, link=1, boot=2)
        Stranger(self.host, link=2).send(handshake_of(self.host, boot=1))
        (ping,) = (message for message in first.heard() if isinstance(message, Ping))
        self.wire.now += SECOND
        first.send(Pong(nonce=ping.nonce, time=self.wire.now))
        self.wire.run(2 * limits.PROBE_LIMIT)
        self.assertEqual(len(self.host.table.peers()), 1)

    def test_another_node_at_a_wanted_address_is_refused(self) -> None:
        wire = Wire(tls=False)
        host = wire.host(1, wanted=[2])
        wire.host(2, identity=identity(3))
        wire.run(SECOND)
        self.assertEqual(set(host.table.refusals), {"node-id-mismatch"})

    def test_ack_of_what_was_never_sent_is_counted(self) -> None:
        stranger = open_stranger(self.host)
        stranger.send(Ack(number=34, reference=bytes(32)))
        self.assertEqual(self.host.table.conduct.counts["unknown-ack"], 1)

    def test_goodbye_is_answered_with_a_close_and_with_another_when_no_end_is_reported(self) -> None:
        open_stranger(self.host).send(Goodbye(reason="stopping"))
        self.wire.run(limits.CLOSING_DEADLINE)
        closes = [(close.reason, close.abort) for close in self.host.closes]
        self.assertEqual(closes, [("stopping", False), ("stopping", True)])
        self.assertIsNone(link_state(self.host.table, 9_000))

    def test_reasons_of_others_that_this_node_does_not_know_are_kept_as_detail(self) -> None:
        for link, (reason, rule, detail) in enumerate(
            (("full", "full", "a"), ("tired", "other", "tired: a"))
        ):
            Stranger(self.host, link=link).send(Goodbye(reason=reason, detail="a"))
            refused = [event for event in self.host.events if isinstance(event, PeerRefused)][-1]
            self.assertEqual((refused.rule, refused.detail), (rule, detail))

    def test_each_session_has_a_number_that_never_comes_twice(self) -> None:
        for link in (1, 2, 3):
            self.wire.now += SECOND
            open_stranger(self.host, link=link, boot=link)
            (peer,) = self.host.table.peers()
            known = self.host.table.session_with(peer.node_id)
            self.assertEqual((peer.generation, known and known.opened_host_time), (link, self.wire.now))

    def test_what_comes_before_the_greeting_is_nobodys_misconduct(self) -> None:
        Stranger(self.host).send_bytes(b"\xff" * 16)
        self.assertEqual(sum(self.host.table.violations.values()), 1)
        self.assertEqual(sum(self.host.table.conduct.counts.values()), 0)

    def test_session_is_closed_once(self) -> None:
        open_stranger(self.host)
        self.host.table.disconnect(key(66).public, "operator", self.wire.now)
        self.host.call(self.host.table.stop(self.wire.now))
        self.assertEqual([close.reason for close in self.host.closes], ["operator"])
        self.assertEqual([closed.reason for closed in self.host.closed()], ["operator"])

    def test_who_is_silent_is_told_nothing_any_more(self) -> None:
        stranger = open_stranger(self.host)
        self.wire.run(limits.SILENCE_LIMIT + SECOND)
        self.assertEqual([(close.reason, close.abort) for close in self.host.closes], [("silent", True)])
        self.assertNotIn(Goodbye, [type(message) for message in stranger.heard()])

    def test_end_of_a_session_is_a_failure_unless_it_lived_or_the_peer_left_in_order(self) -> None:
        for opens, lived, how, failures in (
            (True, 0, "cut", 1), (True, limits.LIVED - 1, "cut", 1), (True, limits.LIVED, "cut", 0),
            (True, 0, "goodbye", 0), (False, 0, "goodbye", 1), (True, 0, "operator", 1),
        ):  # fmt: skip
            wire = Wire(manual=True)
            wire.now += 100 * SECOND
            host = wire.host(1)
            host.table.want("192.0.2.1", 5000, key(66).public)
            host.call(host.table.tick(wire.now))
            stranger = Stranger(host, outbound=True)
            if opens:
                (theirs,) = stranger.heard()
                stranger.send(handshake_of(host, outbound=False))
                accept(stranger, theirs)  # type: ignore[arg-type]
                self.assertEqual(len(host.table.peers()), 1)
            wire.run(lived)
            if how == "cut":
                host.call(host.table.disconnected(stranger.link, "lost", wire.now))
            elif how == "goodbye":
                stranger.send(Goodbye(reason="stopping"))
            else:
                host.table.disconnect(key(66).public, how, wire.now)
            target = host.table.dialing.at("192.0.2.1", 5000)
            self.assertEqual(target and target.failures, failures, (opens, lived, how))

    def test_a_link_makes_room_for_the_next_dial(self) -> None:
        wire = Wire(manual=True)
        host = wire.host(1, wanted=range(2, 4 + limits.DIALS_AT_ONCE))
        wire.host(2)
        host.call(host.table.tick(wire.now))
        self.assertEqual(len(host.dials), limits.DIALS_AT_ONCE)
        dialled = host.dials[0][1]
        host.call(host.table.connected(5, True, dialled.expected, dialled.host, dialled.port, wire.now))
        host.call(host.table.tick(wire.now))
        self.assertEqual(len(host.dials), limits.DIALS_AT_ONCE + 1)


class SurvivorRuleTests(SynchronousTestCase):
    """The rule by itself: both ends see the same two claims."""

    @given(st.booleans(), st.booleans(), *[st.integers(0, 5)] * 4)
    @settings(deadline=None, max_examples=200)
    def test_both_ends_and_both_orders_agree(
        self, first_by_a: bool, second_by_a: bool, a1: int, a2: int, b1: int, b2: int
    ) -> None:
        a, b = b"\x01" * 32, b"\x02" * 32
        if (a1, b1) == (a2, b2) or (first_by_a == second_by_a and (a1 == a2 or b1 == b2)):
            return
        one = greeting.Claim(a if first_by_a else b, {a: a1, b: b1}, 1)
        two = greeting.Claim(a if second_by_a else b, {a: a2, b: b2}, 1)
        self.assertNotEqual(greeting.supersedes(one, two), greeting.supersedes(two, one))

    def test_later_process_wins(self) -> None:
        a, b = b"\x01" * 32, b"\x02" * 32
        old, new = greeting.Claim(a, {a: 9, b: 9}, 1), greeting.Claim(b, {a: 1, b: 1}, 2)
        self.assertTrue(greeting.supersedes(new, old))
        self.assertFalse(greeting.supersedes(old, new))


class StopTests(SynchronousTestCase):
    def test_stopping_says_goodbye_and_is_no_reconnect(self) -> None:
        wire = Wire()
        a, b = wire.host(1, wanted=[2]), wire.host(2, wanted=[1])
        wire.run(SECOND)
        a.table.send_to_peer(b.node_id, NEWS)
        a.call(a.table.stop(wire.now))
        wire.run(SECOND)
        self.assertEqual([(c.reason, c.unwanted) for c in b.closed()], [("stopping", False)])
        self.assertEqual([(c.reason, c.unwanted) for c in a.closed()], [("stopping", False)])
        self.assertIn(NEWS, b.incoming())
        self.assertEqual(b.table.reconnects, 0)

    def test_peer_that_left_in_order_is_redialled_soon(self) -> None:
        wire = Wire()
        a, b = wire.host(1, wanted=[2]), wire.host(2)
        wire.run(SECOND)
        b.call(b.table.stop(wire.now))
        wire.run(SECOND)
        wire.host(2, identity=identity(2, boot=2))
        wire.run(5 * SECOND)
        self.assertEqual(len(a.table.peers()), 1)

    def test_no_dial_after_stop(self) -> None:
        wire = Wire()
        a = wire.host(1, wanted=[2])
        wire.run(SECOND)
        a.call(a.table.stop(wire.now))
        count = len(a.dials)
        wire.run(600 * SECOND)
        self.assertEqual(len(a.dials), count)

    def test_link_whose_end_nobody_reports_is_closed_again_without_grace(self) -> None:
        wire = Wire()
        host = wire.host(1)
        open_stranger(host)
        host.table.disconnect(key(66).public, "test", wire.now)
        host.call(None)
        wire.run(limits.CLOSING_DEADLINE)
        self.assertEqual(
            [(close.reason, close.abort) for close in host.closes], [("test", False), ("test", True)]
        )
        self.assertIsNone(host.table.next_deadline())


class StateTests(SynchronousTestCase):
    def test_states_of_a_session_only_go_forward(self) -> None:
        host = Wire().host(1)
        seen = []
        stranger = Stranger(host)
        seen.append(link_state(host.table, stranger.link))
        (theirs,) = stranger.heard()
        stranger.send(handshake_of(host))
        seen.append(link_state(host.table, stranger.link))
        accept(stranger, theirs)  # type: ignore[arg-type]
        seen.append(link_state(host.table, stranger.link))
        stranger.send(Goodbye(reason="stopping"))
        seen.append(link_state(host.table, stranger.link))
        self.assertEqual(seen, [State.GREETING, State.ACCEPTED, State.OPEN, State.CLOSED])
        self.assertTrue(all(one is not other for one, other in pairwise(seen)))
