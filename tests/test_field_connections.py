"""Failures of the field about connections, each provoked once more (F02 to F15)."""

from __future__ import annotations

import random
from collections.abc import Callable
from ipaddress import ip_network
from itertools import permutations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.net_world import HOST, NetTestCase
from tests.net_world import key as net_key
from tests.peer_harness import START, Host, Stranger, Wire, identity, key, link_state
from tests.test_peer_sessions import NEWS, accept, handshake_of, open_stranger
from timed.params import MAINNET, SECOND
from timed.peer import greeting, limits
from timed.peer.conduct import PeerClass
from timed.peer.dialing import Dialing, Phase, backoff_cap
from timed.peer.retention import reference
from timed.peer.session import State
from timed.wire.catalogue import encode_message
from timed.wire.framing import frames_of
from timed.wire.messages import Ack, Goodbye, Handshake, PeersResponse, Ping

HOUR = 3_600 * SECOND
MINUTE = 60 * SECOND
PLACE = "192.0.2.1"
"""Where the strangers of the harness are."""


class TableTests(SynchronousTestCase):
    def test_what_is_said_of_peers_equals_the_live_sessions_after_every_event(self) -> None:
        """F02: 30,000 events of dials, cuts that one or both learn of, restarts and time."""
        wire = Wire(manual=True)
        entropy = random.Random(2)
        numbers = range(1, 5)
        boots = dict.fromkeys(numbers, 1)
        for number in numbers:
            wire.host(number, wanted=[n for n in numbers if n != number])
        opened = 0
        for _ in range(30_000):
            choices = wire.choices()
            draw = entropy.random()
            if draw < 0.01:
                live = [end for end in wire.ends.values() if not end.gone]
                if live:
                    wire.cut(entropy.choice(live))
            elif draw < 0.012:
                number = entropy.choice(list(numbers))
                boots[number] += 1
                next(host for host in wire.hosts if host.name.endswith(f".{number}")).alive = False
                reborn = identity(number, boot=boots[number])
                wire.host(number, wanted=[n for n in numbers if n != number], identity=reborn)
            elif choices and draw < 0.85:
                entropy.choice(choices)()
            else:
                wire.now += entropy.randrange(SECOND // 2)
                host = entropy.choice(wire.hosts)
                host.call(host.table.tick(wire.now))
            opened = max(opened, sum(self.agrees(wire, host) for host in wire.hosts))
        self.assertEqual(opened, len(numbers) * (len(numbers) - 1))

    def agrees(self, wire: Wire, host: Host) -> int:
        """The open sessions of a host, which are all the peers it speaks of, on links that it has."""
        sessions = {s.node_id: s for s in host.table._links.values() if s.state is State.OPEN}
        self.assertEqual([peer.node_id for peer in host.table.peers()], sorted(sessions))
        for node_id, session in sessions.items():
            self.assertIs(host.table.session_with(node_id), session)
            self.assertIs(host.table.get(node_id), session.handle)
            self.assertFalse(wire.ends[session.link].gone)
        live = {s.link for s in host.table._links.values() if s.state in (State.ACCEPTED, State.OPEN)}
        self.assertEqual({session.link for session in host.table._by_node.values()}, live)
        return len(sessions)

    def test_two_nodes_at_one_address_are_two_peers(self) -> None:
        """F07: a peer is its key; what is said, counted or closed by key concerns one of them."""
        host = Wire().host(1)
        one, two = open_stranger(host, 66, 1), open_stranger(host, 67, 2)
        self.assertEqual(len(host.table.peers()), 2)
        host.table.send_to_peer(key(66).public, NEWS)
        host.call(None)
        self.assertEqual((one.heard(), two.heard()), ([NEWS], []))
        host.table.disconnect(key(66).public, "operator", START)
        host.call(None)
        self.assertEqual([peer.node_id for peer in host.table.peers()], [key(67).public])
        host.table.send_to_peer(key(67).public, NEWS)
        host.call(None)
        self.assertEqual(two.heard(), [NEWS])


class WeekTests(SynchronousTestCase):
    """F08, on mainnet's backoff."""

    def test_seven_days_of_a_flapping_peer(self) -> None:
        """Up for a while, down for a while, or listening and ending every session at once."""
        cap = backoff_cap(MAINNET)
        entropy = random.Random(8)
        wire = Wire()
        host = wire.host(1, wanted=[2], identity=identity(1, params=MAINNET))
        end, boot, healed = START + 7 * 24 * HOUR, 1, 0
        while wire.now < end:
            boot += 1
            rude = entropy.random() < 0.3
            options = {"max_inbound": -limits.RESERVED_INBOUND} if rude else {}
            peer = wire.host(2, identity=identity(2, params=MAINNET, boot=boot), **options)
            if not rude:
                wire.run(cap + SECOND)
                self.assertEqual(len(host.table.peers()), 1)
                healed += 1
            wire.run(entropy.randrange(SECOND, 2 * HOUR))
            peer.alive = False
            for link in wire.links_between(host, peer):
                wire.cut(link)
            wire.run(entropy.randrange(SECOND, 6 * HOUR))
        self.assertGreater(healed, 15)
        times = [when for when, _ in host.dials]
        hours = [sum(at <= when < at + HOUR for when in times) for at in range(START, end, HOUR)]
        quick = 9
        self.assertLessEqual(max(hours), HOUR // (cap * 2 // 3) + 4 * quick)
        self.assertEqual(sum(host.table.conduct.counts.values()), 0)


class ProgressTests(SynchronousTestCase):
    """F12: as long as somebody is missing, dialling goes on, whatever the host does with the dials."""

    @given(st.randoms(use_true_random=False), st.integers(1, 40))
    @settings(deadline=None, max_examples=40)
    def test_attempts_advance_within_the_longest_pause(self, entropy: random.Random, wanted: int) -> None:
        """Dials may be answered late, twice, for somebody else or never; sessions end for any reason."""
        cap = 3 * SECOND
        dialing = Dialing(cap, random.Random(1))
        for number in range(wanted):
            dialing.want("10.0.0.1", 1 + number)
        now, last, seen = 0, 0, 0
        longest = limits.DIAL_DEADLINE + limits.PROBE_LIMIT * 3 // 2 + cap
        for _ in range(400):
            chosen, again = dialing.due(now, (), lambda node_id, host: False)
            if dialing.attempts > seen:
                seen, last = dialing.attempts, now
            linked = [target for target in dialing if target.phase is Phase.LINKED]
            if len(linked) == wanted:
                last = now
            else:
                self.assertIsNotNone(again)
            self.assertLessEqual(now - last, longest)
            for target in chosen:
                if entropy.random() < 0.3:
                    dialing.linked(target.host, target.port, None)
                elif entropy.random() < 0.5:
                    dialing.unreachable(target.host, target.port, now, "timeout")
                    dialing.unreachable(target.host, target.port, now, "timeout")
            for target in linked:
                if entropy.random() < 0.4:
                    reason = entropy.choice(("duplicate", "connection-lost", "silent", "full"))
                    dialing.over(target, reason, now, well=entropy.random() < 0.5)
            now = max(now + 1, min(again or now + SECOND, now + entropy.randrange(1, 2 * SECOND)))

    def test_a_table_that_misses_somebody_always_asks_to_be_woken(self) -> None:
        """The host's timer is all it needs: with it alone, dials that are never answered go on for hours."""
        wire = Wire()
        host = wire.host(1, wanted=range(2, 50))
        self.patch(wire, "dial", lambda source, dial: None)
        last = host.table.dialing.attempts
        for _ in range(6 * 60):
            wire.run(MINUTE)
            self.assertIsNotNone(host.table.next_deadline())
            self.assertGreater(host.table.dialing.attempts, last)
            last = host.table.dialing.attempts
        reached = {dial.host for _, dial in host.dials}
        self.assertEqual(len(reached), 48)


class RoomTests(SynchronousTestCase):
    def test_member_that_comes_to_a_full_house_stays_and_a_stranger_leaves(self) -> None:
        """F10: members are known by their proof, not by a list, and every one of them finds a place."""
        wire = Wire()
        host = wire.host(1, max_inbound=4)
        host.table.members = frozenset(key(100 + number).public for number in range(20, 26))
        for number in range(4):
            open_stranger(host, 10 + number, 100 + number)
        for number in range(20, 26):
            open_member(host, number, 200 + number)
            self.assertIsNotNone(host.table.get(key(number).public), number)
        peers = {peer.node_id for peer in host.table.peers()}
        self.assertEqual(peers, {key(number).public for number in range(20, 26)})
        self.assertEqual([closed.reason for closed in host.closed()], ["full"] * 4)
        wire.run(HOUR // 60)
        self.assertEqual(len(host.closed()), 4)


def open_member(host: Host, number: int, link: int) -> Stranger:
    """A session with a peer that proves to hold the operator key of this number."""
    stranger = Stranger(host, number=number, link=link)
    (theirs,) = stranger.heard()
    who = identity(number, operator=True)
    stranger.send(greeting.compose(who, host.node_id, True, 1, (0, bytes(32)), START))
    accept(stranger, theirs)  # type: ignore[arg-type]
    stranger.heard()
    return stranger


class DoorTests(SynchronousTestCase):
    """F14: every way in which a session can end, crossed with who the peer is."""

    def outcome(self, cause: Callable[[Host, Stranger], None], kind: PeerClass) -> str:
        """`open`, or the reason the session was closed for, with `, banned` where the peer is kept out."""
        wire = Wire()
        trusted = [key(50).public] if kind is PeerClass.TRUSTED else []
        host = wire.host(1, max_inbound=1, trusted=trusted)
        host.table.members = frozenset([key(150).public])
        opener = open_member if kind is PeerClass.MEMBER else open_stranger
        stranger = opener(host, 50, 7)
        self.assertEqual([kind], [host.table._class_of(s) for s in host.table._by_node.values()])
        cause(host, stranger)
        host.call(host.table.take())
        closed = host.closed()
        banned = host.table.conduct.banned(key(50).public, kind, wire.now, PLACE) is not None
        reason = closed[0].reason if closed else "open"
        return reason + (", banned" if banned else "")

    def test_every_end_crossed_with_every_class(self) -> None:
        for cause, expected in DOORS:
            outcomes = tuple(self.outcome(cause, kind) for kind in PeerClass)
            self.assertEqual(outcomes, expected, cause.__name__)

    def test_one_offence_bans_nobody(self) -> None:
        for cause in (garbage, second_handshake, unasked_for):
            for kind in PeerClass:
                self.assertNotIn("banned", self.outcome(cause, kind))


def garbage(host: Host, stranger: Stranger) -> None:
    stranger.send_bytes(b"\xff" * 64)


def second_handshake(host: Host, stranger: Stranger) -> None:
    stranger.send(handshake_of(host, 50))


def unasked_for(host: Host, stranger: Stranger) -> None:
    """Replies that nobody asked for, pongs and acknowledgements of nothing, types nobody knows."""
    for _ in range(100):
        stranger.send(PeersResponse(peers=()), request_id=9, reply=True)
        stranger.send(Ack(number=1, reference=bytes(32)))
        stranger.send_bytes(b"".join(frames_of(stranger.magic, 250, b"?", checksum=False)))


def disagrees(host: Host, stranger: Stranger) -> None:
    """A hundred verdicts that depend on where the two nodes stand."""
    for event in ("invalid-transaction", "invalid-block", "invalid-certificate", "diverged", "late-reply"):
        for _ in range(100):
            host.table.report(key(50).public, event, START)


def forges(host: Host, stranger: Stranger) -> None:
    """Four signatures that are wrong in themselves."""
    for _ in range(4):
        host.table.report(key(50).public, "invalid-signature", START)


def falls_silent(host: Host, stranger: Stranger) -> None:
    host.wire.run(limits.SILENCE_LIMIT + SECOND)


def takes_nothing(host: Host, stranger: Stranger) -> None:
    """It says enough, and reads not one byte."""
    for _ in range(3_000):
        host.table.send_to_peer(key(50).public, NEWS)
    for _ in range(limits.STALL_LIMIT // SECOND + 10):
        stranger.send(Ping(nonce=1, time=host.wire.now))
        host.wire.run(SECOND)


def drips(host: Host, stranger: Stranger) -> None:
    """It says something each second, reads everything and answers nothing."""
    for second in range(limits.ANSWER_LIMIT // SECOND + 1):
        stranger.send(Ping(nonce=second, time=host.wire.now))
        stranger.heard()
        host.wire.run(SECOND)


def makes_room(host: Host, stranger: Stranger) -> None:
    """The house is full when somebody comes whom this node wants."""
    host.table.want("198.51.100.7", 7000, key(77).public)
    open_stranger(host, 77, 900)


def operator_ends_it(host: Host, stranger: Stranger) -> None:
    host.table.disconnect(key(50).public, "operator", START)


def operator_bans_node(host: Host, stranger: Stranger) -> None:
    host.table.ban(key(50).public, 0, "operator", START)


def operator_bans_place(host: Host, stranger: Stranger) -> None:
    host.table.ban(ip_network(f"{PLACE}/32"), 0, "operator", START)


def stops(host: Host, stranger: Stranger) -> None:
    host.call(host.table.stop(host.wire.now))


DOORS: tuple[tuple[Callable[[Host, Stranger], None], tuple[str, str, str]], ...] = (
    # cause                (anonymous, member, trusted)
    (garbage, ("frame-magic", "frame-magic", "frame-magic")),
    (second_handshake, ("handshake-order", "handshake-order", "handshake-order")),
    (unasked_for, ("open", "open", "open")),
    (disagrees, ("open", "open", "open")),
    (forges, ("banned, banned", "invalid-signature", "open")),
    (falls_silent, ("silent", "silent", "silent")),
    (takes_nothing, ("stalled", "stalled", "stalled")),
    (drips, ("no-pong", "no-pong", "no-pong")),
    (makes_room, ("full", "open", "open")),
    (operator_ends_it, ("operator", "operator", "operator")),
    (operator_bans_node, ("banned, banned", "banned, banned", "banned, banned")),
    (operator_bans_place, ("banned, banned", "banned, banned", "open")),
    (stops, ("stopping", "stopping", "stopping")),
)
"""Bytes that are no messages, a peer that is not there, the operator and the own end spare nobody; nothing
else ends the session of a peer that the operator trusts."""


class KickTests(NetTestCase):
    """F11, on sockets."""

    async def test_a_peer_that_is_told_to_go_is_gone_and_the_others_lose_nothing(self):
        """It sends without end and hangs up on nobody; two others have megabytes under way."""
        server, there, port = await self.listening(2)
        others = [self.network(number) for number in (3, 4)]
        unruly, host = self.network(5)
        for network, _ in (*others, (unruly, host)):
            network.dial(HOST, port, net_key(2).public)
        far = {}
        for number, (_, each) in zip((3, 4, 5), (*others, (unruly, host)), strict=True):
            await each.first("connected")
            sees = net_key(number).public
            up = await there.until(
                lambda sees=sees: [call for call in there.of("connected") if call[2] == sees]
            )
            far[number] = up[0][0]
        host.on_drained = lambda link: unruly.write(link, bytes(10_000))
        pieces = {}
        for network, each in others:
            pieces[network] = 64

            def more(link, network=network):
                if pieces[network]:
                    pieces[network] -= 1
                    network.write(link, bytes(65_000))

            each.on_drained = more
            more(each.links[0])
        unruly.write(host.links[0], bytes(10_000))
        await there.until(lambda: len(there.data[far[5]]) > 20_000)
        server.close(far[5], "operator")
        heard = len(there.data[far[5]])
        await host.first("disconnected")
        await there.until(lambda: (far[5], "operator") in there.of("disconnected"))
        self.assertEqual(len(there.data[far[5]]), heard)
        for number in (3, 4):
            await there.until(lambda number=number: len(there.data[far[number]]) == 64 * 65_000)
        self.assertEqual(len(there.of("disconnected")), 1)


class FirstBytesTests(SynchronousTestCase):
    """F15: whatever comes first, and however it comes, has one outcome; nobody is kept out for it."""

    def setUp(self) -> None:
        self.wire = Wire()
        self.host = self.wire.host(1)
        self.links = iter(range(100, 100_000))

    def arrive(self, **options: bool) -> tuple[Stranger, Handshake]:
        stranger = Stranger(self.host, number=50, link=next(self.links), **options)
        (theirs,) = stranger.heard()
        assert isinstance(theirs, Handshake)
        return stranger, theirs

    def bytes_of(self, theirs: Handshake, boot: int) -> dict[str, bytes]:
        messages = {
            "handshake": handshake_of(self.host, 50, boot=boot),
            "ack": Ack(number=1, reference=reference(theirs.encode())),
            "ping": Ping(nonce=7, time=START),
            "notice": NEWS,
        }
        magic = self.host.table.identity.params.magic
        encoded = {name: encode_message(message) for name, message in messages.items()}
        return {
            name: b"".join(frames_of(magic, number, payload)) for name, (number, payload) in encoded.items()
        }

    def outcome(self, stranger: Stranger) -> str:
        goodbyes = [message.reason for message in stranger.heard() if isinstance(message, Goodbye)]
        state = link_state(self.host.table, stranger.link)
        return "open" if state is State.OPEN else goodbyes[-1] if goodbyes else "waiting"

    def test_every_order_of_the_first_messages(self) -> None:
        """Open exactly when the Handshake comes first and its Ack next; everything else has one name."""
        for boot, order in enumerate(permutations(("handshake", "ack", "ping", "notice")), 1):
            self.setUp()
            stranger, theirs = self.arrive()
            sent = self.bytes_of(theirs, boot)
            for name in order:
                stranger.send_bytes(sent[name])
            expected = "open" if order[:2] == ("handshake", "ack") else "handshake-order"
            self.assertEqual(self.outcome(stranger), expected, order)
            self.assertEqual(self.host.table.conduct.bans(self.wire.now), ())
            self.assertComesBack(boot + 1)

    def assertComesBack(self, boot: int) -> None:
        """The same peer, from the same place, is let in at once when it does as it should."""
        stranger, theirs = self.arrive()
        sent = self.bytes_of(theirs, boot)
        stranger.send_bytes(sent["handshake"] + sent["ack"])
        self.assertEqual(self.outcome(stranger), "open")

    def test_every_cut_of_the_first_bytes_is_as_good_as_none(self) -> None:
        """The whole greeting in one piece, in two at every place, and with a long pause between them."""
        _, theirs = self.arrive()
        length = len(b"".join(self.bytes_of(theirs, 1)[name] for name in ("handshake", "ack", "ping")))
        for boot, at in enumerate(range(0, length + 1, 3), 2):
            stranger, theirs = self.arrive()
            sent = self.bytes_of(theirs, boot)
            data = sent["handshake"] + sent["ack"] + sent["ping"]
            stranger.send_bytes(data[:at])
            if at % 2:
                self.wire.run(limits.HANDSHAKE_DEADLINE - SECOND)
            stranger.send_bytes(data[at:])
            self.assertEqual(self.outcome(stranger), "open", at)
        self.assertEqual(self.host.table.violations, {})

    def test_who_is_too_slow_is_let_in_at_the_next_attempt(self) -> None:
        """However often: a late greeting costs the link and nothing else."""
        for boot in range(1, 30):
            stranger, theirs = self.arrive()
            sent = self.bytes_of(theirs, boot)
            stranger.send_bytes(sent["handshake"])
            self.wire.run(limits.HANDSHAKE_DEADLINE + SECOND)
            self.assertEqual(self.outcome(stranger), "handshake-timeout")
            stranger.send_bytes(sent["ack"])
        self.assertEqual(sum(self.host.table.conduct.counts.values()), 0)
        self.assertComesBack(100)

    def test_greeting_of_another_network_costs_the_link_and_nothing_else(self) -> None:
        """By its magic, by its name, by its genesis: refused a hundred times, never banned."""
        for changes, reason in (
            ({"network": "testnet"}, "wrong-network"),
            ({"genesis": bytes(32)}, "wrong-genesis"),
            ({"wire_version": 99, "min_wire_version": 98}, "wire-version"),
        ):
            for boot in range(1, 100):
                stranger, _ = self.arrive()
                shake = handshake_of(self.host, 50, boot=boot)
                values = {name: getattr(shake, name) for name in shake.__struct_fields__} | changes
                stranger.send(Handshake(**values))
                self.assertEqual(self.outcome(stranger), reason)
        for _ in range(100):
            stranger, _ = self.arrive()
            stranger.send_bytes(b"TMDX" + bytes(60))
            self.assertEqual(self.outcome(stranger), "wrong-network")
        self.assertEqual(sum(self.host.table.conduct.counts.values()), 0)
        self.assertComesBack(1_000)

    def test_nothing_is_written_before_the_own_handshake_and_nothing_but_an_ack_before_the_session_is_open(
        self,
    ) -> None:
        stranger, theirs = self.arrive()
        for _ in range(3):
            self.host.table.broadcast(NEWS)
            self.host.table.send_to_peer(key(50).public, NEWS)
            self.host.call(None)
            self.wire.run(SECOND)
        self.assertEqual(stranger.heard(), [])
        stranger.send(handshake_of(self.host, 50))
        self.host.table.broadcast(NEWS)
        self.host.call(None)
        self.assertEqual([type(message) for message in stranger.heard()], [Ack])
        accept(stranger, theirs)
        self.host.table.broadcast(NEWS)
        self.host.call(None)
        self.assertIn(NEWS, stranger.heard())
