"""Whom the node dials, and when: one backoff, no hammering, quick healing."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.peer_harness import Host, Stranger, Wire, identity, key
from tests.test_peer_sessions import handshake_of, open_stranger
from timed.events import PeerUnreachable
from timed.params import MAINNET, REGTEST, SECOND
from timed.peer import limits
from timed.peer.dialing import Dialing, Phase, backoff_cap
from timed.wire.messages import Goodbye

HOUR = 3_600 * SECOND


def nobody(node_id: bytes | None, host: str) -> bool:
    return False


class BackoffTests(SynchronousTestCase):
    def pauses(self, cap: int, failures: int) -> list[int]:
        dialing = Dialing(cap, random.Random(5))
        dialing.want("10.0.0.9", 7000, bytes(32))
        now, pauses = 0, []
        for _ in range(failures):
            chosen, _ = dialing.due(now, (), nobody)
            self.assertEqual(len(chosen), 1)
            dialing.unreachable("10.0.0.9", 7000, now, "connection-refused")
            pauses.append(chosen[0].not_before - now)
            now = chosen[0].not_before
        return pauses

    def test_first_retry_comes_in_half_a_second_and_later_ones_reach_the_cap(self) -> None:
        pauses = self.pauses(backoff_cap(REGTEST), 20)
        self.assertTrue(SECOND // 5 <= pauses[0] <= SECOND // 2)
        self.assertTrue(all(pause <= 3 * SECOND for pause in pauses))
        self.assertTrue(all(pause >= 2 * SECOND for pause in pauses[8:]))

    def test_caps_follow_the_network(self) -> None:
        self.assertEqual(backoff_cap(REGTEST), 3 * SECOND)
        self.assertEqual(backoff_cap(MAINNET), 60 * SECOND)
        self.assertGreaterEqual(min(self.pauses(60 * SECOND, 30)[12:]), 40 * SECOND)

    def test_jitter_keeps_nodes_apart(self) -> None:
        self.assertGreater(len(set(self.pauses(60 * SECOND, 30)[12:])), 10)

    def test_dial_that_the_host_never_answers_is_no_zombie(self) -> None:
        """F04"""
        dialing = Dialing(3 * SECOND, random.Random(5))
        dialing.want("10.0.0.9", 7000)
        dialing.due(0, (), nobody)
        chosen, again = dialing.due(SECOND, (), nobody)
        self.assertEqual((chosen, again), ([], limits.DIAL_DEADLINE))
        dialing.due(limits.DIAL_DEADLINE, (), nobody)
        (target,) = dialing
        self.assertEqual((target.phase, target.failures), (Phase.IDLE, 1))

    def test_dials_at_once_are_bounded(self) -> None:
        dialing = Dialing(3 * SECOND, random.Random(5))
        for number in range(100):
            dialing.want(f"10.0.1.{number}", 7000)
        chosen, _ = dialing.due(0, (), nobody)
        self.assertEqual(len(chosen), limits.DIALS_AT_ONCE)
        self.assertEqual(dialing.due(0, (), nobody)[0], [])

    def test_addresses_that_swallow_dials_leave_every_other_one_its_turn(self) -> None:
        """F04, F12: who waits longest is dialled first, whatever stands before it in the configuration."""
        dialing = Dialing(3 * SECOND, random.Random(5))
        hosts = [f"10.0.1.{number}" for number in range(4 * limits.DIALS_AT_ONCE)]
        for host in hosts:
            dialing.want(host, 7000)
        tried: dict[str, int] = dict.fromkeys(hosts, 0)
        for now in range(0, 300 * SECOND, SECOND // 2):
            for target in [target for target in dialing if target.phase is Phase.DIALLING]:
                if now >= target.deadline - limits.DIAL_DEADLINE + 10 * SECOND:
                    dialing.unreachable(target.host, target.port, now, "timeout")
            chosen, _ = dialing.due(now, (), nobody)
            for target in chosen:
                tried[target.host] += 1
        self.assertGreaterEqual(min(tried.values()), max(tried.values()) - 1)
        self.assertGreaterEqual(min(tried.values()), 5)

    def test_wanted_addresses_are_bounded(self) -> None:
        dialing = Dialing(3 * SECOND, random.Random(5))
        wanted = [dialing.want("10.0.0.1", port) for port in range(1, limits.WANTED_ADDRESSES + 10)]
        self.assertEqual(wanted.count(None), 9)

    def test_whom_we_would_refuse_is_not_dialled(self) -> None:
        """F31"""
        dialing = Dialing(3 * SECOND, random.Random(5))
        dialing.want("10.0.0.9", 7000, bytes(32))
        chosen, again = dialing.due(0, (), lambda node_id, host: True)
        self.assertEqual((chosen, again), ([], limits.BACKOFF_CAP_MAX))


class HealingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.wire = Wire()

    def pair(self) -> tuple[Host, Host]:
        a, b = self.wire.host(1, wanted=[2]), self.wire.host(2)
        self.wire.run(SECOND)
        self.assertEqual(len(a.table.peers()), 1)
        return a, b

    def outage(self, a: Host, b: Host, duration: int) -> None:
        b.reachable = False
        for end in self.wire.links_between(a, b):
            self.wire.cut(end.peer)  # type: ignore[arg-type]
            self.wire.cut(end)
        self.wire.run(duration)
        self.assertEqual(a.table.peers(), ())
        b.reachable = True

    @given(st.integers(1, 600), st.integers(0, 1_000))
    @settings(deadline=None, max_examples=30)
    def test_after_an_outage_of_any_length_peers_meet_within_5_seconds(self, seconds: int, seed: int) -> None:
        self.wire = Wire(seed=seed)
        a, b = self.pair()
        self.outage(a, b, seconds * SECOND)
        self.wire.run(5 * SECOND)
        self.assertEqual(len(a.table.peers()), 1)
        self.assertEqual(len(b.table.peers()), 1)

    def test_contact_from_the_peer_resets_the_backoff(self) -> None:
        host = self.wire.host(1, wanted=[6])
        self.wire.run(300 * SECOND)
        (target,) = host.table.dialing
        self.assertGreater(target.failures, 10)
        self.wire.host(6, wanted=[1])
        self.wire.run(SECOND)
        self.assertEqual(len(host.table.peers()), 1)
        self.assertEqual(target.failures, 0)

    def test_peer_that_is_down_is_dialled_at_a_bounded_rate(self) -> None:
        host = self.wire.host(1, wanted=[6])
        self.wire.run(HOUR)
        self.assertTrue(1_100 <= len(host.dials) <= 1_900, len(host.dials))

    def test_flapping_peer_is_dialled_at_a_bounded_rate_and_met_once_it_heals(self) -> None:
        """F08: it accepts every connection and drops it, for hours; then it behaves."""
        host = self.wire.host(1, wanted=[6])
        flapper = self.wire.host(6, max_inbound=-limits.RESERVED_INBOUND)
        self.wire.run(2 * HOUR)
        self.assertLess(len(host.dials), 2 * 1_900)
        self.assertEqual(flapper.table.peers(), ())
        self.wire.host(6, identity=identity(6, boot=2))
        self.wire.run(5 * SECOND)
        self.assertEqual(len(host.table.peers()), 1)
        self.assertEqual(host.table.conduct.counts["malformed"], 0)

    def test_session_that_lived_ends_the_episode(self) -> None:
        a, b = self.pair()
        self.outage(a, b, 60 * SECOND)
        self.wire.run(5 * SECOND + limits.LIVED)
        self.outage(a, b, SECOND // 4)
        (target,) = a.table.dialing
        self.assertLessEqual(target.failures, 1)

    def test_black_holed_dial_blocks_nothing_else(self) -> None:
        host = self.wire.host(1, wanted=[6, 7])
        self.wire.host(7)
        original = self.wire.dial
        self.patch(self.wire, "dial", lambda source, dial: dial.host.endswith(".6") or original(source, dial))
        self.wire.run(SECOND)
        self.assertEqual([peer.node_id for peer in host.table.peers()], [key(7).public])

    def test_peer_id_is_learnt_where_it_was_not_configured(self) -> None:
        a = self.wire.host(1, wanted=[2], named=False)
        self.wire.host(2)
        self.wire.run(SECOND)
        (target,) = a.table.dialing
        self.assertEqual(target.met, key(2).public)
        self.assertIsNone(target.node_id)

    def test_peer_may_come_back_with_another_key_where_none_was_configured(self) -> None:
        a = self.wire.host(1, wanted=[2], named=False)
        b = self.wire.host(2)
        self.wire.run(SECOND)
        b.call(b.table.stop(self.wire.now))
        self.wire.host(2, identity=identity(12))
        self.wire.run(5 * SECOND)
        self.assertEqual([peer.node_id for peer in a.table.peers()], [key(12).public])

    def test_forgotten_address_is_not_dialled_again(self) -> None:
        a, b = self.pair()
        a.table.forget(b.name, 7000)
        b.call(b.table.stop(self.wire.now))
        dials = len(a.dials)
        self.wire.run(60 * SECOND)
        self.assertEqual(len(a.dials), dials)

    def test_address_may_be_wanted_later(self) -> None:
        a, b = self.wire.host(1), self.wire.host(2)
        self.wire.run(SECOND)
        a.table.want(b.name, 7000, b.node_id)
        self.wire.run(SECOND)
        self.assertEqual(len(a.table.peers()), 1)

    def test_operators_disconnect_leaves_the_backoff_alone(self) -> None:
        a, b = self.pair()
        self.assertTrue(a.table.disconnect(b.node_id, "operator", self.wire.now))
        a.call(None)
        self.assertFalse(a.table.disconnect(b.node_id, "operator", self.wire.now))
        self.wire.run(5 * SECOND)
        self.assertEqual(len(a.table.peers()), 1)


class OrderTests(SynchronousTestCase):
    def test_plain_dialler_waits_for_the_listener_to_greet(self) -> None:
        """It would not know otherwise whether it has a session with that peer already."""
        wire = Wire(tls=False)
        host = wire.host(1, wanted=[6], named=False)
        host.call(host.table.tick(wire.now))
        stranger = Stranger(host, tls=False, outbound=True)
        self.assertEqual(stranger.heard(), [])
        stranger.send(handshake_of(host, outbound=False))
        kinds = [message.message_type() for message in stranger.heard()]
        self.assertEqual(kinds, ["Handshake", "Ack"])

    def test_dialler_that_has_a_session_by_now_says_so_and_nothing_else(self) -> None:
        wire = Wire()
        host = wire.host(1)
        open_stranger(host, link=1)
        late = Stranger(host, link=2, outbound=True)
        self.assertEqual(late.heard(), [Goodbye(reason="duplicate")])
        self.assertEqual(len(host.table.peers()), 1)


class UnreachableTests(SynchronousTestCase):
    """What an operator hears of a configured address that never answers."""

    def told(self, host: Host) -> list[PeerUnreachable]:
        return [event for event in host.events if isinstance(event, PeerUnreachable)]

    def test_is_told_once_for_each_reason_however_long_it_lasts(self) -> None:
        wire = Wire()
        host = wire.host(1, wanted=[2])
        wire.run(3600 * SECOND)
        self.assertEqual(self.told(host), [PeerUnreachable("10.0.0.2:7000", "connection-refused")])
        self.assertGreater(host.table.dialing.attempts, 60)

    def test_a_peer_that_starts_a_moment_later_is_no_news(self) -> None:
        wire = Wire()
        host = wire.host(1, wanted=[2])
        wire.run(SECOND // 4)
        wire.host(2, wanted=[1])
        wire.run(30 * SECOND)
        self.assertEqual((len(host.table.peers()), self.told(host)), (1, []))

    def test_is_told_again_after_it_has_answered(self) -> None:
        wire = Wire()
        host = wire.host(1, wanted=[2])
        wire.run(30 * SECOND)
        other = wire.host(2, wanted=[1])
        wire.run(60 * SECOND)
        self.assertEqual(len(host.table.peers()), 1)
        other.alive = False
        for end in list(wire.ends.values()):
            wire.cut(end)
        wire.run(60 * SECOND)
        self.assertEqual(len(self.told(host)), 2)
