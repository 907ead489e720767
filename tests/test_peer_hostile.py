"""Bytes of an enemy: a value or a counted error, and a session that ends with a name ([17], [21])."""

from __future__ import annotations

import struct
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.fuzz.arena import example
from tests.peer_harness import Host, Stranger, Wire, key
from tests.test_peer_sessions import handshake_of, open_stranger
from timed.events import Pause, PeerClosed, PeerOpened, PeerRefused, Resume
from timed.params import REGTEST, SECOND
from timed.peer import limits, rates
from timed.peer.settings import PeerSettings
from timed.wire import catalogue
from timed.wire.catalogue import MESSAGES
from timed.wire.framing import frames_of
from timed.wire.message import Direction, Message
from timed.wire.messages import BlocksResponse, Goodbye, PeersResponse, Ping, Pong

HEADER = struct.Struct("<4sHHLL")


def header(number: int, length: int, flags: int = 0) -> bytes:
    return HEADER.pack(REGTEST.magic, number, flags, length, 0)


class GarbageTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.wire = Wire()
        self.host = self.wire.host(1)

    def assertEnded(self, host: Host, rule: str) -> None:
        self.assertEqual(host.table.violations[rule], 1)
        self.assertEqual(host.closes[-1].reason, rule)
        self.assertEqual(host.table.peers(), ())

    def test_garbage_before_the_handshake(self) -> None:
        stranger = Stranger(self.host)
        stranger.send_bytes(b"GET / HTTP/1.1\r\nHost: example\r\n\r\n")
        self.assertEnded(self.host, "wrong-network")
        self.assertEqual(
            [event.rule for event in self.host.events if isinstance(event, PeerRefused)], ["wrong-network"]
        )

    def test_garbage_on_an_open_session(self) -> None:
        stranger = open_stranger(self.host)
        stranger.send_bytes(b"\xff" * 100)
        self.assertEnded(self.host, "frame-magic")
        self.assertEqual(
            [event.reason for event in self.host.events if isinstance(event, PeerClosed)], ["frame-magic"]
        )
        self.assertEqual([m.reason for m in stranger.heard() if isinstance(m, Goodbye)], ["frame-magic"])

    def test_length_of_4_gib_is_refused_on_its_header(self) -> None:
        """[17]"""
        for opened in (False, True):
            host = self.wire.host(1)
            stranger = open_stranger(host) if opened else Stranger(host)
            stranger.send_bytes(header(39, 2**32 - 1))
            self.assertEnded(host, "frame-too-long")

    def test_before_the_handshake_4_kib_is_the_most(self) -> None:
        """[17]"""
        Stranger(self.host).send_bytes(header(32, limits.PRE_HANDSHAKE_BYTES + 1))
        self.assertEnded(self.host, "frame-too-long")

    def test_unknown_type_is_counted_and_skipped(self) -> None:
        stranger = open_stranger(self.host)
        stranger.send_bytes(header(999, 10) + bytes(10))
        stranger.send(Ping(nonce=5, time=0))
        self.assertIn(5, [message.nonce for message in stranger.heard() if isinstance(message, Pong)])
        statistics = self.host.table.statistics(key(66).public)
        self.assertEqual(statistics.unknown, 1)  # type: ignore[union-attr]
        self.assertEqual(statistics.score, 0)  # type: ignore[union-attr]

    def test_unknown_type_above_64_kib_ends_the_session(self) -> None:
        """[17]"""
        open_stranger(self.host).send_bytes(header(999, limits.UNKNOWN_TYPE_BYTES + 1))
        self.assertEnded(self.host, "frame-too-long")

    def test_half_a_frame_is_waited_for_and_then_times_out(self) -> None:
        stranger = Stranger(self.host)
        stranger.send_bytes(header(1, 200) + bytes(50))
        self.assertEqual(self.host.closes, [])
        self.wire.run(limits.HANDSHAKE_DEADLINE)
        self.assertEqual(self.host.closes[-1].reason, "handshake-timeout")

    def test_byte_by_byte_is_as_good_as_any_other_way(self) -> None:
        stranger = open_stranger(self.host)
        frame = frames_of(REGTEST.magic, 4, Ping(nonce=7, time=0).encode())[0]
        for at in range(len(frame)):
            stranger.send_bytes(frame[at : at + 1])
        self.assertEqual([m.nonce for m in stranger.heard() if isinstance(m, Pong)], [7])

    def test_payload_that_does_not_decode_ends_the_session(self) -> None:
        for kind in MESSAGES:
            if kind.name in ("GetPeers", "GetPendingTransactions"):
                continue
            host = self.wire.host(1)
            stranger = open_stranger(host)
            stranger.send_bytes(frames_of(REGTEST.magic, kind.number, b"\x01\x02\x03")[0])
            unread = kind.direction is Direction.REPLY  # nobody asked for it
            self.assertEqual(len(host.closed()), not unread, kind.name)
            self.assertEqual(sum(host.table.violations.values()), not unread, kind.name)
            self.assertEqual(host.table.conduct.counts["unsolicited-reply"], unread, kind.name)

    def test_trailing_bytes_end_the_session(self) -> None:
        stranger = open_stranger(self.host)
        stranger.send_bytes(frames_of(REGTEST.magic, 4, Ping(nonce=7, time=0).encode() + b"\0")[0])
        self.assertEqual(len(self.host.closed()), 1)

    def test_nothing_after_an_error_is_read(self) -> None:
        stranger = open_stranger(self.host)
        ping = frames_of(REGTEST.magic, 4, Ping(nonce=7, time=0).encode())[0]
        stranger.send_bytes(b"\xff" * 16 + ping)
        stranger.send_bytes(ping)
        self.assertEqual([m for m in stranger.heard() if isinstance(m, Pong)], [])

    @given(st.binary(max_size=400), st.integers(0, 3))
    @settings(deadline=None, max_examples=200)
    def test_any_bytes_give_an_error_with_a_name_or_nothing(self, data: bytes, stage: int) -> None:
        host = Wire().host(1)
        if stage == 0:
            stranger = Stranger(host)
        elif stage == 1:
            stranger = Stranger(host)
            stranger.send(handshake_of(host))
        else:
            stranger = open_stranger(host)
        stranger.send_bytes(data if stage < 3 else header(data[0] % 50 if data else 0, len(data)) + data)
        if host.closes:
            self.assertTrue(host.closes[-1].reason)
            self.assertEqual(host.table.peers(), ())
        stranger.send_bytes(data)

    @given(st.integers(0, 300), st.integers(0, 255))
    @settings(deadline=None, max_examples=200)
    def test_one_wrong_byte_in_a_handshake_never_raises(self, at: int, value: int) -> None:
        host = Wire().host(1)
        stranger = Stranger(host)
        frame = bytearray(frames_of(REGTEST.magic, 1, handshake_of(host).encode())[0])
        frame[at % len(frame)] = value
        stranger.send_bytes(bytes(frame))
        self.assertEqual(host.table.peers(), ())
        self.assertEqual(host.deliveries, [])

    def test_plain_link_checks_the_checksum(self) -> None:
        stranger = Stranger(self.host, tls=False)
        stranger.heard()
        frame = bytearray(frames_of(REGTEST.magic, 1, handshake_of(self.host).encode(), checksum=True)[0])
        frame[-1] ^= 1
        stranger.send_bytes(bytes(frame))
        self.assertEnded(self.host, "frame-checksum")


class ReasonTests(SynchronousTestCase):
    def test_reasons_of_a_goodbye_do_not_grow_our_counters(self) -> None:
        host = Wire().host(1)
        for number in range(50):
            Stranger(host, link=number).send(Goodbye(reason=f"reason \n {number}", detail="x"))
        self.assertEqual(dict(host.table.refusals), {"other": 50})

    def test_late_report_of_a_drained_transport_finds_nothing(self) -> None:
        host = Wire().host(1)
        stranger = open_stranger(host)
        stranger.send(Goodbye(reason="stopping"))
        host.call(host.table.drained(stranger.link, host.wire.now))
        host.call(host.table.disconnected(stranger.link, "connection-done", host.wire.now))
        host.call(host.table.drained(stranger.link, host.wire.now))
        host.call(host.table.received(stranger.link, b"x", host.wire.now))
        self.assertEqual(len(host.closed()), 1)


class UnaskedTests(SynchronousTestCase):
    """A reply that was asked for is never a violation, and one that was not costs nothing."""

    def setUp(self) -> None:
        self.wire = Wire()
        self.host = self.wire.host(1)
        self.stranger = open_stranger(self.host)

    def test_unasked_reply_is_counted_and_not_delivered(self) -> None:
        before = len(self.host.incoming())
        self.stranger.send(BlocksResponse(blocks=()), request_id=77, reply=True)
        self.stranger.send(BlocksResponse(blocks=()))
        self.assertEqual(len(self.host.incoming()), before)
        self.assertEqual(self.host.table.conduct.counts["unsolicited-reply"], 2)
        self.assertEqual(len(self.host.table.peers()), 1)

    def test_second_handshake_ends_the_session(self) -> None:
        self.stranger.send(handshake_of(self.host))
        self.assertEqual([closed.reason for closed in self.host.closed()], ["handshake-order"])

    def test_pong_that_nobody_asked_for_is_counted(self) -> None:
        self.stranger.send(Pong(nonce=1, time=1))
        self.assertEqual(self.host.table.conduct.counts["unknown-pong"], 1)
        self.assertEqual(len(self.host.table.peers()), 1)

    def test_repeated_malformed_sessions_lead_to_a_ban_that_ends(self) -> None:
        for number in range(4):
            stranger = open_stranger(self.host, number=70, link=100 + number)
            stranger.send_bytes(b"\xff" * 16)
        stranger = Stranger(self.host, number=70, link=200)
        self.assertEqual([m.reason for m in stranger.heard() if isinstance(m, Goodbye)], ["banned"])
        self.wire.run(limits.BAN_TIME + SECOND)
        open_stranger(self.host, number=70, link=201)
        self.assertIsNotNone(self.host.table.get(key(70).public))

    def test_trusted_peer_is_never_banned(self) -> None:
        host = self.wire.host(1, trusted=[key(70).public])
        for number in range(20):
            open_stranger(host, number=70, link=100 + number).send_bytes(b"\xff" * 16)
        open_stranger(host, number=70, link=200)
        self.assertIsNotNone(host.table.get(key(70).public))


class IncompleteTests(SynchronousTestCase):
    """Messages of which the last piece never comes, with pings in between so that nobody is silent."""

    def setUp(self) -> None:
        self.patch(limits, "INCOMPLETE_BYTES", 256 * 1024)
        self.wire = Wire()
        self.host = self.wire.host(1)

    def pieces(self, size: int) -> bytes:
        """All pieces but the last of the longest notice there is."""
        return b"".join(frames_of(REGTEST.magic, 32, bytes(size))[:-1])

    def test_what_is_kept_of_them_is_bounded_over_all_peers(self) -> None:
        before = self.host.table.intake.incomplete
        strangers = [open_stranger(self.host, 60 + number, 9_000 + number) for number in range(20)]
        for stranger in strangers:
            stranger.send_bytes(self.pieces(40_000))
            self.assertLessEqual(self.host.table.intake.incomplete, limits.INCOMPLETE_BYTES)
        self.assertGreater(self.host.table.intake.relieved, 5)
        self.assertEqual({closed.reason for closed in self.host.closed()}, {"incomplete"})
        self.assertEqual(len(self.host.closed()), self.host.table.intake.relieved)
        for stranger in strangers:
            self.host.call(self.host.table.disconnected(stranger.link, "lost", self.wire.now))
        self.assertEqual(self.host.table.intake.incomplete, before)

    def test_who_holds_most_goes_and_a_member_stays(self) -> None:
        member = open_stranger(self.host, 60, 9_000)
        modest = open_stranger(self.host, 61, 9_001)
        greedy = open_stranger(self.host, 62, 9_002)
        operator = key(160).public
        self.host.table.session_with(key(60).public).operator = operator  # type: ignore[union-attr]
        self.host.table.members = frozenset({operator})
        member.send_bytes(self.pieces(150_000))
        modest.send_bytes(self.pieces(40_000))
        self.assertEqual(self.host.closed(), [])
        greedy.send_bytes(self.pieces(110_000))
        self.assertEqual([closed.peer.node_id for closed in self.host.closed()], [key(62).public])
        modest.send(Ping(nonce=5, time=0))
        self.assertIn(5, [message.nonce for message in modest.heard() if isinstance(message, Pong)])

    def test_stranger_who_keeps_nothing_waiting_does_not_pay_for_members(self) -> None:
        members = [open_stranger(self.host, 60 + n, 9_000 + n) for n in range(2)]
        self.host.table.regulate(PeerSettings(trusted=[key(60).public, key(61).public]), self.wire.now)
        open_stranger(self.host, 70, 9_100)
        for member, size in zip(members, (170_000, 130_000), strict=True):
            member.send_bytes(self.pieces(size))
        self.assertEqual([closed.peer.node_id for closed in self.host.closed()], [key(60).public])

    def test_a_message_that_is_complete_counts_no_more(self) -> None:
        stranger = open_stranger(self.host)
        for _ in range(20):
            stranger.send_bytes(b"".join(frames_of(REGTEST.magic, 999, bytes(60_000))))
        self.assertEqual(self.host.table.intake.incomplete, 0)
        self.assertEqual(self.host.closed(), [])


class FloodTests(SynchronousTestCase):
    def test_flood_is_left_unread_and_reported_once_a_second(self) -> None:
        wire = Wire()
        host = wire.host(1)
        stranger = open_stranger(host)
        burst = b"".join(frames_of(REGTEST.magic, 4, Ping(nonce=n, time=0).encode())[0] for n in range(6_000))
        stranger.send_bytes(burst)
        statistics = host.table.statistics(key(66).public)
        self.assertEqual(statistics.over_rate, 1_000)  # type: ignore[union-attr]
        self.assertEqual(host.table.conduct.counts["over-rate-control"], 1)
        self.assertEqual(len(host.table.peers()), 1)

    def test_beyond_its_rate_no_type_is_decoded_whoever_sends_it(self) -> None:
        """Many peers at many times the limit: the cheapest check comes first, and one line a second is kept.

        Of its pings one a second is answered all the same: whoever waits for the pong lives by it.
        """
        decoded: Counter[str] = Counter()
        honest = catalogue.decode_message

        def counting(number: int, payload: bytes) -> Message:
            decoded[catalogue.BY_NUMBER[number].name] += 1
            return honest(number, payload)

        self.patch(rates, "RATES", dict.fromkeys(rates.RATES, rates.Rate(10, 50)))
        for kind in MESSAGES:
            if kind.name in ("Handshake", "Goodbye") or kind.direction is Direction.REPLY:
                continue
            wire = Wire()
            host = wire.host(1)
            strangers = [open_stranger(host, 60 + number, 9_000 + number) for number in range(10)]
            self.patch(catalogue, "decode_message", counting)
            decoded.clear()
            payload = example(kind.number).encode()
            frame = b"".join(frames_of(REGTEST.magic, kind.number, payload))
            for stranger in strangers:
                stranger.send_bytes(frame * 500)
            wire.run(1)
            self.patch(catalogue, "decode_message", honest)
            self.assertLessEqual(decoded[kind.name], 10 * (50 + (kind.cls is Ping)), kind.name)
            excess = sum(host.table.conduct.counts[event] for event in ("over-rate", "over-rate-control"))
            self.assertEqual(excess, 10, kind.name)
            self.assertLessEqual(len(host.table.conduct.ledger), 10, kind.name)
            self.assertEqual(
                [event for event in host.events if not isinstance(event, PeerOpened)], [], kind.name
            )

    def test_link_of_a_flood_is_not_read_for_a_while_whatever_it_brings(self) -> None:
        """Throwing away costs, too; a paused link costs nothing."""
        for number, payload in ((4, Ping(nonce=1, time=0).encode()), (6, b""), (999, b"")):
            wire = Wire()
            host = wire.host(1)
            stranger = open_stranger(host)
            frame = frames_of(REGTEST.magic, number, payload, request_id=number == 6)[0]
            for _ in range(3):
                host.others.clear()
                stranger.send_bytes(6_000 * frame)
                self.assertEqual(host.others, [Pause(stranger.link)])
                wire.run(limits.EXCESS_PAUSE - SECOND // 100)
                self.assertEqual(host.others, [Pause(stranger.link)])
                wire.run(SECOND // 50)
                self.assertEqual(host.others, [Pause(stranger.link), Resume(stranger.link)])
            known = host.table.statistics(key(66).public)
            self.assertEqual((known.pauses, known.paused), (3, False))  # type: ignore[union-attr]

    def test_sustained_flood_of_gossip_is_banned_but_not_its_first_second(self) -> None:
        wire = Wire()
        host = wire.host(1)
        stranger = open_stranger(host)
        flood = b"".join(frames_of(REGTEST.magic, 6, b"", request_id=n + 1)[0] for n in range(100))
        stranger.send_bytes(flood)
        self.assertEqual(len(host.table.peers()), 1)
        seconds = 0
        while host.table.peers() and seconds < 300:
            wire.run(SECOND)
            stranger.send_bytes(flood)
            stranger.heard()
            seconds += 1
        self.assertGreater(seconds, 20)
        self.assertEqual(host.closes[-1].reason, "banned")

    def test_peers_response_of_any_size_is_bounded_by_its_layout(self) -> None:
        wire = Wire()
        host = wire.host(1)
        stranger = open_stranger(host)
        stranger.send(PeersResponse(peers=()))
        self.assertEqual(len(host.table.peers()), 1)
