"""Pings from both ends, silence, pauses and clocks that step ([20])."""

from __future__ import annotations

from itertools import pairwise
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from tests.peer_harness import DELAY, START, Host, Wire, identity, key
from tests.test_peer_sessions import NEWS, open_stranger
from timed.params import SECOND
from timed.peer import limits
from timed.peer.clock import LATENESS_TOLERATED, SteadyClock
from timed.peer.intake import Lanes
from timed.peer.rates import RATES
from timed.wire.catalogue import encode_message
from timed.wire.framing import frames_of
from timed.wire.messages import Ping, Pong


class PingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.wire = Wire()

    def pair(self) -> tuple[Host, Host]:
        a, b = self.wire.host(1, wanted=[2]), self.wire.host(2)
        self.wire.run(SECOND)
        return a, b

    def test_healthy_session_is_never_cycled(self) -> None:
        """Six hours of silence but for pings: nobody is closed, nothing is dialled, nobody is scored."""
        a, b = self.pair()
        self.wire.run(6 * 3_600 * SECOND)
        for host in (a, b):
            self.assertEqual(host.closed(), [])
            self.assertEqual(len(host.opened()), 1)
            self.assertEqual(sum(host.table.conduct.counts.values()), 0)
        self.assertEqual(len(a.dials), 1)

    def test_both_ends_ping_every_30_seconds_give_or_take_a_fifth(self) -> None:
        a, b = self.pair()
        self.wire.run(3_600 * SECOND)
        for one, other in ((a, b), (b, a)):
            pings = one.table.statistics(other.node_id).sent["Ping"]  # type: ignore[union-attr]
            self.assertTrue(100 <= pings <= 150, pings)
        stranger = open_stranger(self.wire.host(3))
        times = []
        for _ in range(1_200):
            self.wire.run(SECOND // 10)
            for message in stranger.heard():
                if isinstance(message, Ping):
                    times.append(self.wire.now)
                    stranger.send(Pong(nonce=message.nonce, time=0))
        pauses = [later - earlier for earlier, later in pairwise(times)]
        self.assertTrue(pauses)
        self.assertTrue(all(24 * SECOND <= pause <= 37 * SECOND for pause in pauses), pauses)

    def test_round_trip_is_recorded(self) -> None:
        a, b = self.pair()
        self.wire.run(60 * SECOND)
        self.assertEqual(a.table.statistics(b.node_id).round_trip, 2 * DELAY)  # type: ignore[union-attr]

    def test_pong_leaves_in_the_same_turn_though_a_block_is_queued(self) -> None:
        host = self.wire.host(3)
        stranger = open_stranger(host)
        stranger.send(Ping(nonce=9, time=0))
        self.assertEqual([m.nonce for m in stranger.heard() if isinstance(m, Pong)], [9])

    def test_first_ping_leaves_at_once_and_tells_the_clocks_apart(self) -> None:
        a, b = self.pair()
        self.assertEqual(a.table.statistics(b.node_id).clock_offset, 0)  # type: ignore[union-attr]
        self.assertEqual(a.table.clock_offset(), 0)
        host = self.wire.host(3)
        stranger = open_stranger(host)
        self.wire.run(SECOND)
        (ping,) = [message for message in stranger.heard() if isinstance(message, Ping)]
        stranger.send(Pong(nonce=ping.nonce, time=self.wire.now + 7 * SECOND))
        self.assertEqual((host.table.clock_offset() or 0) // SECOND, 7)

    def test_clocks_of_members_count_more_than_those_of_strangers(self) -> None:
        wire = Wire()
        a = wire.host(1, wanted=[2])
        wire.host(2, identity=identity(2, operator=True))
        a.table.members = frozenset([key(102).public])
        wire.run(SECOND)
        for number in range(5):
            liar = open_stranger(a, 30 + number, 300 + number)
            wire.run(SECOND)
            for message in liar.heard():
                if isinstance(message, Ping):
                    liar.send(Pong(nonce=message.nonce, time=wire.now + 3_600 * SECOND))
        self.assertEqual(a.table.clock_offset(), 0)

    def test_clocks_are_looked_through_once_for_each_pong_session_and_roster(self) -> None:
        """The node asks at every wake, a thousand times between two pongs."""
        host = self.wire.host(3)
        table = host.table
        with mock.patch.object(table, "_median_offset", wraps=table._median_offset) as looked:

            def looks() -> int:
                before = looked.call_count
                for _ in range(1_000):
                    table.clock_offset()
                return looked.call_count - before

            strangers = [open_stranger(host, 30 + number, 300 + number) for number in range(3)]
            self.assertEqual(looks(), 1)
            self.wire.run(SECOND)
            for ahead, stranger in enumerate(strangers):
                (ping,) = [message for message in stranger.heard() if isinstance(message, Ping)]
                stranger.send(Pong(nonce=ping.nonce, time=self.wire.now + (ahead + 7) * SECOND))
                self.assertEqual(looks(), 1)
            self.assertEqual((table.clock_offset() or 0) // SECOND, 8)
            strangers[0].send(NEWS)
            self.assertEqual(looks(), 0)
            table.disconnect(strangers[0].key.public, "operator", self.wire.now)
            self.assertEqual(looks(), 1)
            self.assertEqual((table.clock_offset() or 0) // SECOND, 9)
            table.members = frozenset([key(200).public])
            self.assertEqual(looks(), 1)

    def test_nonce_must_match(self) -> None:
        host = self.wire.host(3)
        stranger = open_stranger(host)
        self.wire.run(40 * SECOND)
        ping = next(m for m in stranger.heard() if isinstance(m, Ping))
        stranger.send(Pong(nonce=ping.nonce ^ 1, time=0))
        self.assertIsNone(host.table.statistics(key(66).public).round_trip)  # type: ignore[union-attr]
        stranger.send(Pong(nonce=ping.nonce, time=0))
        self.assertIsNotNone(host.table.statistics(key(66).public).round_trip)  # type: ignore[union-attr]

    def test_silent_peer_is_closed_after_90_seconds(self) -> None:
        host = self.wire.host(3)
        open_stranger(host)
        self.wire.run(limits.SILENCE_LIMIT - 1)
        self.assertEqual(host.closed(), [])
        self.wire.run(1)
        self.assertEqual([(closed.reason, closed.unwanted) for closed in host.closed()], [("silent", True)])
        self.assertTrue(host.closes[-1].abort)
        self.assertEqual(host.table.reconnects, 1)

    def test_half_open_connection_is_gone_after_90_seconds_and_heals(self) -> None:
        a, b = self.pair()
        for end in self.wire.links_between(a, b):
            end.deaf = end.peer.deaf = True  # type: ignore[union-attr]
        self.wire.run(limits.SILENCE_LIMIT + 5 * SECOND)
        self.assertEqual([closed.reason for closed in a.closed()], ["silent"])
        self.assertEqual(len(a.table.peers()), 1)
        self.assertEqual(len(b.table.peers()), 1)

    def test_transport_that_takes_nothing_is_closed(self) -> None:
        host = self.wire.host(3)
        stranger = open_stranger(host)
        host.table.send_to_peer(key(66).public, NEWS)
        host.call(None)
        for _ in range(100):
            self.wire.run(SECOND)
            if host.table.peers():
                stranger.send(Ping(nonce=1, time=0))
        self.assertEqual([closed.reason for closed in host.closed()], ["stalled"])


class AnswerTests(SynchronousTestCase):
    """A peer that is heard without end must still answer a ping within 90 s ([20])."""

    def setUp(self) -> None:
        self.host = Wire().host(3)
        self.wire = self.host.wire
        self.stranger = open_stranger(self.host)
        self.rest = b""

    def drip(self) -> None:
        """One byte of a message that takes half an hour."""
        if not self.rest:
            self.rest = b"".join(frames_of(self.stranger.magic, 250, bytes(1_800), checksum=False))
        self.stranger.send_bytes(self.rest[:1])
        self.rest = self.rest[1:]

    def reads(self) -> list[Ping]:
        """Take what the host wrote; the pings in it."""
        return [message for message in self.stranger.heard() if isinstance(message, Ping)]

    def reasons(self) -> list[tuple[str, bool]]:
        return [(closed.reason, closed.unwanted) for closed in self.host.closed()]

    def test_a_byte_a_second_is_no_sign_of_life(self) -> None:
        for _ in range(limits.ANSWER_LIMIT // SECOND - 1):
            self.wire.run(SECOND)
            self.drip()
            self.reads()
        self.assertEqual(self.reasons(), [])
        self.wire.run(2 * SECOND)
        self.assertEqual(self.reasons(), [("no-pong", True)])
        self.assertTrue(self.host.closes[-1].abort)

    def test_a_peer_that_pings_and_never_answers_is_closed(self) -> None:
        for second in range(2 * limits.ANSWER_LIMIT // SECOND):
            if self.host.table.peers():
                self.stranger.send(Ping(nonce=second, time=0))
            self.reads()
            self.wire.run(SECOND)
        self.assertEqual(self.reasons(), [("no-pong", True)])

    def test_a_peer_that_answers_may_take_an_hour_for_a_message(self) -> None:
        for _ in range(3_600):
            self.wire.run(SECOND)
            self.drip()
            for ping in self.reads():
                self.stranger.send_bytes(self.rest)
                self.rest = b""
                self.stranger.send(Pong(nonce=ping.nonce, time=0))
        self.assertEqual(self.reasons(), [])

    def test_a_pong_has_90_seconds_behind_what_is_under_way(self) -> None:
        """Each ping is answered as late as it may be, for an hour; nobody is told off for it."""
        owed: list[tuple[int, Ping]] = []
        for _ in range(3_600):
            owed += [(self.wire.now + 88 * SECOND, ping) for ping in self.reads()]
            while owed and owed[0][0] <= self.wire.now:
                self.stranger.send(Pong(nonce=owed.pop(0)[1].nonce, time=0))
            self.stranger.send(NEWS)
            self.wire.run(SECOND)
        self.assertEqual(self.reasons(), [])
        self.assertEqual(self.host.table.conduct.counts["unknown-pong"], 0)

    def test_pings_out_of_turn_never_push_out_one_that_waits(self) -> None:
        """A thousand are asked for while the first are under way: what is sent is answered, and known."""
        node_id = self.stranger.key.public
        self.reads()
        asked = [self.host.table.ping(node_id, self.wire.now) for _ in range(1_000)]
        self.host.call(None)
        pings = self.reads()
        self.assertEqual(len(pings), sum(asked))
        self.assertTrue(pings)
        for ping in pings:
            self.stranger.send(Pong(nonce=ping.nonce, time=0))
        self.assertEqual(self.host.table.conduct.counts["unknown-pong"], 0)
        self.assertTrue(self.host.table.ping(node_id, self.wire.now))

    def talks(self, seconds: int) -> list[Ping]:
        """It says something each second and reads; the pings it owes an answer for."""
        owed = []
        for _ in range(seconds):
            self.stranger.send(NEWS)
            owed += self.reads()
            self.wire.run(SECOND)
        return owed

    def unread(self, seconds: int) -> list[Ping]:
        """The same while this node has no room for what comes: only the peer reads."""
        owed = []
        with mock.patch.object(Lanes, "full", True):
            self.stranger.send(NEWS)
            for _ in range(seconds):
                owed += self.reads()
                self.wire.run(SECOND)
        return owed

    def test_of_pings_beyond_the_rate_one_a_second_is_answered(self) -> None:
        """A flood does not take from its sender the pong that its own session lives by."""
        burst = RATES["control"].burst
        number, payload = encode_message(Ping(nonce=7, time=0))
        frame = b"".join(frames_of(self.stranger.magic, number, payload, checksum=False))
        pongs = []
        for count in (burst + 100, 2 * RATES["control"].per_second):
            self.stranger.send_bytes(frame * count)
            self.wire.run(SECOND)
            self.stranger.heard()
            pongs.append(self.host.table.statistics(self.stranger.key.public).sent["Pong"])  # type: ignore[union-attr]
        self.assertEqual(pongs, [burst + 1, burst + 1 + RATES["control"].per_second + 1])
        self.assertEqual(self.host.table.conduct.score(self.stranger.key.public, self.wire.now), 0)

    def test_time_in_which_the_link_is_not_read_does_not_count(self) -> None:
        """40 s, five minutes in which this node has no room, 45 s more: nobody is closed, no pong is unknown."""
        owed = self.talks(40) + self.unread(300)
        self.assertEqual(self.reasons(), [])
        owed += self.talks(45)
        self.assertEqual(self.reasons(), [])
        for ping in owed:
            self.stranger.send(Pong(nonce=ping.nonce, time=0))
        self.talks(80)
        self.assertEqual(self.reasons(), [])
        self.assertEqual(self.host.table.conduct.counts["unknown-pong"], 0)
        statistics = self.host.table.statistics(self.stranger.key.public)
        self.assertEqual(statistics.pauses, 1)  # type: ignore[union-attr]

    def test_a_pause_of_the_reading_only_postpones_the_end(self) -> None:
        self.talks(40)
        self.unread(300)
        self.talks(45)
        self.assertEqual(self.reasons(), [])
        self.talks(4)
        self.wire.run(2 * limits.PING_INTERVAL)
        self.assertEqual(self.reasons(), [("no-pong", True)])


class PauseTests(SynchronousTestCase):
    """F22: the process was stopped, or the clock was set. Neither is the peer's doing."""

    def setUp(self) -> None:
        self.wire = Wire()
        self.host = self.wire.host(1)
        self.stranger = open_stranger(self.host)

    def wake_after(self, pause: int) -> None:
        self.wire.now += pause
        self.host.call(self.host.table.tick(self.wire.now))

    def test_two_minutes_of_pause_close_nobody(self) -> None:
        self.wake_after(120 * SECOND)
        self.assertEqual(self.host.closed(), [])

    def test_pause_gives_no_burst_of_pings(self) -> None:
        self.wake_after(600 * SECOND)
        pings = [message for message in self.stranger.heard() if isinstance(message, Ping)]
        self.assertLessEqual(len(pings), 1)

    def test_clock_an_hour_ahead_closes_nobody(self) -> None:
        self.wake_after(3_600 * SECOND)
        self.wake_after(SECOND)
        self.assertEqual(self.host.closed(), [])

    def test_clock_an_hour_back_neither_closes_nor_delays_the_next_ping(self) -> None:
        self.wake_after(-3_600 * SECOND)
        self.assertEqual(self.host.closed(), [])
        self.stranger.heard()
        self.wire.run(40 * SECOND)
        self.assertEqual(len([m for m in self.stranger.heard() if isinstance(m, Ping)]), 1)

    def test_silence_still_counts_after_a_pause(self) -> None:
        self.wake_after(600 * SECOND)
        self.wire.run(limits.SILENCE_LIMIT)
        self.assertEqual([closed.reason for closed in self.host.closed()], ["silent"])


class SteadyClockTests(SynchronousTestCase):
    def test_runs_with_the_host(self) -> None:
        clock = SteadyClock()
        self.assertEqual(clock.read(START, None), START)
        self.assertEqual(clock.read(START + 5, None), START + 5)
        self.assertEqual(clock.host_time(START + 7), START + 7)

    def test_surplus_beyond_a_deadline_is_cut(self) -> None:
        clock = SteadyClock()
        clock.read(START, None)
        self.assertEqual(
            clock.read(START + 100 * SECOND, START + SECOND), START + SECOND + LATENESS_TOLERATED
        )
        self.assertEqual(clock.pauses, 1)

    def test_never_goes_back(self) -> None:
        clock = SteadyClock()
        clock.read(START, None)
        self.assertEqual(clock.read(START - SECOND, None), START)
        self.assertEqual(clock.host_time(START + 3), START - SECOND + 3)
