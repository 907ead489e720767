"""One table decides what is done about a peer, and honest nodes never meet it ([21])."""

from __future__ import annotations

from itertools import product
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.peer_harness import START, Wire, identity, key
from tests.test_peer_sessions import NEWS, open_stranger
from timed.bench.samples import Samples
from timed.errors import LocalError
from timed.params import SECOND
from timed.peer import limits
from timed.peer.conduct import CEILING, POLICY, Conduct, PeerClass, Verdict
from timed.peer.location import is_loopback
from timed.peer.rates import RATES, Allowance, Rate, Rates, Stock, least
from timed.peer.settings import PeerSettings
from timed.wire.catalogue import MESSAGES
from timed.wire.messages import Ack, BlockCommit, GetPeers, PeersResponse, Pong

PEER = bytes(32)
PEER_OF_STRANGER = key(66).public
SCORED = [event for event, rule in POLICY.items() if rule.points]
UNSCORED = [event for event, rule in POLICY.items() if not rule.points]


class PolicyTests(SynchronousTestCase):
    def test_every_event_crossed_with_every_class_stays_below_its_ceiling(self) -> None:
        """F14"""
        for event, kind in product(POLICY, PeerClass):
            conduct = Conduct()
            verdicts = [conduct.report(PEER, kind, event, START) for _ in range(200)]
            self.assertLessEqual(max(verdicts), CEILING[kind], (event, kind))

    def test_other_settings_count_from_now_on_and_scores_stay(self) -> None:
        conduct = Conduct(PeerSettings(dry_run=True))
        for _ in range(4 + 3):
            conduct.report(PEER, PeerClass.ANONYMOUS, "invalid-signature", START)
        self.assertEqual(conduct.bans(START), ())
        conduct.regulate(PeerSettings(trust_loopback=False))
        conduct.report(PEER, PeerClass.ANONYMOUS, "invalid-signature", START)
        self.assertEqual(len(conduct.bans(START)), 1)
        self.assertIs(conduct.class_of(PEER, "127.0.0.1", member=False), PeerClass.ANONYMOUS)
        conduct.regulate(PeerSettings(trusted=[PEER], trust_loopback=False))
        self.assertIs(conduct.class_of(PEER, "192.0.2.1", member=False), PeerClass.TRUSTED)
        conduct.report(key(5).public, PeerClass.ANONYMOUS, "malformed", START)
        self.assertEqual(len(conduct.clear_bans()), 1)
        self.assertEqual(conduct.score(key(5).public, START), 0)

    def test_what_honest_nodes_do_to_each_other_costs_nothing(self) -> None:
        """F22, F23, F28, F30: disagreement, haste and lag are counted and never scored."""
        for event in (
            "diverged",
            "invalid-block",
            "late-reply",
            "request-timeout",
            "over-rate-control",
            "unknown-type",
        ):
            self.assertIn(event, UNSCORED)
        for event, kind in product(UNSCORED, PeerClass):
            conduct = Conduct()
            for _ in range(1_000):
                self.assertIs(conduct.report(PEER, kind, event, START), Verdict.COUNT)
            self.assertEqual(conduct.score(PEER, START), 0)
            self.assertEqual(conduct.counts[event], 1_000)

    def test_repeated_offences_of_a_stranger_lead_to_a_timed_ban(self) -> None:
        for event in SCORED:
            conduct = Conduct()
            verdict = Verdict.COUNT
            for _ in range(limits.BAN_SCORE):
                verdict = conduct.report(PEER, PeerClass.ANONYMOUS, event, START)
                if verdict is Verdict.BAN:
                    break
            self.assertIs(verdict, Verdict.BAN, event)
            self.assertIsNotNone(conduct.banned(PEER, PeerClass.ANONYMOUS, START))
            self.assertIsNone(conduct.banned(PEER, PeerClass.ANONYMOUS, START + limits.BAN_TIME))

    def test_member_is_closed_and_never_banned_automatically(self) -> None:
        conduct = Conduct()
        for _ in range(50):
            self.assertLessEqual(conduct.report(PEER, PeerClass.MEMBER, "malformed", START), Verdict.CLOSE)
        self.assertEqual(conduct.bans(START), ())

    def test_trusted_peer_is_only_counted(self) -> None:
        conduct = Conduct()
        for event in POLICY:
            for _ in range(50):
                self.assertIs(conduct.report(PEER, PeerClass.TRUSTED, event, START), Verdict.COUNT)

    def test_score_halves_in_a_minute(self) -> None:
        conduct = Conduct()
        conduct.report(PEER, PeerClass.ANONYMOUS, "malformed", START)
        before = conduct.score(PEER, START)
        self.assertAlmostEqual(conduct.score(PEER, START + limits.SCORE_HALF_LIFE), before / 2)
        self.assertAlmostEqual(conduct.score(PEER, START + 3 * limits.SCORE_HALF_LIFE), before / 8)
        self.assertEqual(conduct.score(PEER, START - 3600 * SECOND), before, "a clock set back adds nothing")

    @given(st.lists(st.integers(0, 300), max_size=40))
    @settings(deadline=None, max_examples=50)
    def test_score_is_never_negative_and_only_reports_raise_it(self, pauses: list[int]) -> None:
        conduct = Conduct()
        now, last = START, 0.0
        for pause in pauses:
            now += pause * SECOND
            self.assertLessEqual(conduct.score(PEER, now), last + 1e-9)
            conduct.report(PEER, PeerClass.MEMBER, "over-rate", now)
            last = conduct.score(PEER, now)
            self.assertGreaterEqual(last, 0)

    def test_one_offence_every_few_minutes_never_adds_up(self) -> None:
        conduct = Conduct()
        for minute in range(0, 600, 3):
            verdict = conduct.report(PEER, PeerClass.ANONYMOUS, "malformed", START + minute * 60 * SECOND)
            self.assertIs(verdict, Verdict.CLOSE)

    def test_every_change_keeps_its_reason(self) -> None:
        conduct = Conduct()
        conduct.report(PEER, PeerClass.ANONYMOUS, "malformed", START, "decode-truncated")
        (entry,) = conduct.ledger
        self.assertEqual(
            (entry.event, entry.detail, entry.points, entry.done), ("malformed", "decode-truncated", 25, True)
        )
        for _ in range(2 * limits.CONDUCT_LEDGER):
            conduct.report(PEER, PeerClass.MEMBER, "malformed", START)
        self.assertEqual(len(conduct.ledger), limits.CONDUCT_LEDGER)

    def test_dry_run_says_what_would_have_been_done_and_does_nothing(self) -> None:
        conduct, told = Conduct(PeerSettings(dry_run=True)), []
        conduct.tell = told.append
        for _ in range(8):
            self.assertIs(conduct.report(PEER, PeerClass.ANONYMOUS, "malformed", START), Verdict.COUNT)
        self.assertEqual(conduct.bans(START), ())
        self.assertEqual(told, [entry for entry in conduct.ledger if entry.verdict is Verdict.BAN])
        self.assertEqual([entry.done for entry in conduct.ledger], [False] * 8)

    def test_dry_run_comes_to_the_verdicts_of_a_real_one(self) -> None:
        """A ban ends the score in both; what follows is judged alike, or the dry run would say too much."""
        real, dry = Conduct(), Conduct(PeerSettings(dry_run=True))
        for conduct in (real, dry):
            for number in range(50):
                conduct.report(
                    PEER, PeerClass.ANONYMOUS, SCORED[number % len(SCORED)], START + number * SECOND
                )
        self.assertEqual([e.verdict for e in real.ledger], [e.verdict for e in dry.ledger])
        beyond = [e.verdict.name.lower() for e in real.ledger if e.verdict is not Verdict.COUNT]
        self.assertEqual(sum(real.verdicts.values()), len(beyond))
        self.assertEqual(real.verdicts["ban", True], beyond.count("ban"))
        self.assertGreater(beyond.count("ban"), 0)
        self.assertEqual(
            {verdict: count for (verdict, done), count in real.verdicts.items() if done},
            {verdict: count for (verdict, done), count in dry.verdicts.items() if not done},
        )

    def test_unknown_event_is_a_bug_of_ours(self) -> None:
        with self.assertRaises(LocalError):
            Conduct().report(PEER, PeerClass.ANONYMOUS, "no-such-event", START)

    def test_scores_are_bounded(self) -> None:
        conduct = Conduct()
        for number in range(limits.CONDUCT_PEERS + 100):
            conduct.report(number.to_bytes(32, "big"), PeerClass.ANONYMOUS, "over-rate", START + number)
        kept = sum(conduct.score(n.to_bytes(32, "big"), START) > 0 for n in range(limits.CONDUCT_PEERS + 100))
        self.assertEqual(kept, limits.CONDUCT_PEERS)

    def test_without_room_the_lowest_score_is_forgotten(self) -> None:
        """Attack: fresh keys without number, so that an offender begins anew."""
        conduct = Conduct()
        conduct.report(PEER, PeerClass.ANONYMOUS, "malformed", START)
        others = [number.to_bytes(32, "little") for number in range(1, limits.CONDUCT_PEERS)]
        for other in others:
            conduct.report(other, PeerClass.ANONYMOUS, "over-rate", START)
        conduct.report(PEER, PeerClass.ANONYMOUS, "malformed", START)
        self.assertEqual(
            sum(conduct.score(other, START) for other in others), 2 * len(others), "no room is needed"
        )
        for number in range(1, 5):
            conduct.report(b"new" + bytes((number,)) * 29, PeerClass.ANONYMOUS, "malformed", START)
        self.assertEqual(conduct.score(PEER, START), 50)
        self.assertEqual(sum(conduct.score(other, START) for other in others), 2 * (len(others) - 4))


class BanTests(SynchronousTestCase):
    def test_precedence_is_operator_then_trust_then_automatic(self) -> None:
        """F26"""
        for by_operator, kind, kept_out in (
            (True, PeerClass.TRUSTED, True),
            (True, PeerClass.MEMBER, True),
            (True, PeerClass.ANONYMOUS, True),
            (False, PeerClass.TRUSTED, False),
            (False, PeerClass.MEMBER, True),
            (False, PeerClass.ANONYMOUS, True),
        ):
            conduct = Conduct()
            conduct.ban(PEER, START + SECOND, "test", by_operator=by_operator)
            self.assertEqual(conduct.banned(PEER, kind, START) is not None, kept_out)

    def test_automatic_ban_does_not_shorten_the_operators(self) -> None:
        conduct = Conduct()
        conduct.ban(PEER, 0, "operator", by_operator=True)
        conduct.ban(PEER, START + SECOND, "malformed", by_operator=False)
        self.assertIsNotNone(conduct.banned(PEER, PeerClass.TRUSTED, START + limits.BAN_TIME))

    def test_unban_deletes_ban_and_score(self) -> None:
        """F27"""
        conduct = Conduct()
        for _ in range(3):
            conduct.report(PEER, PeerClass.ANONYMOUS, "malformed", START)
        conduct.ban(PEER, 0, "operator", by_operator=True)
        self.assertTrue(conduct.unban(PEER))
        self.assertFalse(conduct.unban(PEER))
        self.assertEqual(conduct.score(PEER, START), 0)
        self.assertIsNone(conduct.banned(PEER, PeerClass.ANONYMOUS, START))

    def test_bans_are_bounded_and_the_operators_stay(self) -> None:
        conduct = Conduct()
        conduct.ban(PEER, START + 1, "operator", by_operator=True)
        for number in range(1, limits.BANS + 50):
            conduct.ban(number.to_bytes(32, "big"), START + SECOND + number, "test", by_operator=False)
        self.assertEqual(len(conduct.bans(START)), limits.BANS)
        self.assertIsNotNone(conduct.banned(PEER, PeerClass.ANONYMOUS, START))

    def test_banned_peer_comes_back_within_5_seconds_of_its_unban(self) -> None:
        """F27, also across a restart."""
        wire = Wire()
        a, b = wire.host(1, wanted=[2]), wire.host(2, wanted=[1])
        wire.run(SECOND)
        a.table.ban(b.node_id, 0, "test", wire.now)
        a.call(None)
        wire.run(600 * SECOND)
        self.assertEqual(a.table.peers(), ())
        self.assertLess(len(a.dials), 20)
        memory = a.table.remembered()
        a.call(a.table.stop(wire.now))
        reborn = wire.host(1, wanted=[2], identity=identity(1, boot=2))
        reborn.table.remember(memory)
        wire.run(60 * SECOND)
        self.assertEqual(reborn.table.peers(), ())
        self.assertTrue(reborn.table.unban(b.node_id, wire.now))
        wire.run(5 * SECOND)
        self.assertEqual(len(reborn.table.peers()), 1)

    def test_loopback_is_exempt(self) -> None:
        for host, expected in (("127.0.0.1", True), ("127.1.2.3", True), ("::1", True), ("10.0.0.1", False)):
            self.assertEqual(is_loopback(host), expected)
            kind = Conduct().class_of(key(66).public, host, member=False)
            self.assertEqual(kind is PeerClass.TRUSTED, expected)

    def test_loopback_is_as_anybody_where_it_is_not_trusted(self) -> None:
        """A proxy on this machine makes everybody come from here."""
        conduct = Conduct(PeerSettings(trust_loopback=False, trusted=[key(65).public]))
        peer, host = key(66).public, "127.1.2.3"
        self.assertEqual(conduct.class_of(peer, host, member=False), PeerClass.ANONYMOUS)
        self.assertEqual(conduct.class_of(peer, host, member=True), PeerClass.MEMBER)
        self.assertEqual(conduct.class_of(key(65).public, host, member=False), PeerClass.TRUSTED)
        for _ in range(4):
            conduct.report(peer, PeerClass.ANONYMOUS, "invalid-signature", 1, host=host)
        self.assertIsNotNone(conduct.banned(peer, PeerClass.ANONYMOUS, 1, host))


class CountTests(SynchronousTestCase):
    def test_what_costs_nothing_is_counted_without_a_look_at_its_author(self) -> None:
        conduct = Conduct()
        for event, rule in POLICY.items():
            free = not rule.points and rule.verdict is Verdict.COUNT
            self.assertEqual(conduct.only_counted(event), free, event)
            self.assertEqual(conduct.counts[event], int(free), event)
        self.assertFalse(conduct.only_counted("no such event"))

    def test_a_flood_of_such_events_never_asks_for_the_peers_class(self) -> None:
        wire = Wire()
        host = wire.host(1)
        stranger = open_stranger(host)
        asked = mock.Mock(side_effect=host.table.conduct.class_of)
        with mock.patch.object(host.table.conduct, "class_of", asked):
            for _ in range(50):
                stranger.send(Pong(nonce=1, time=1))
        self.assertEqual(host.table.conduct.counts["unknown-pong"], 50)
        self.assertEqual(asked.call_count, 0)


class ReportTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.wire = Wire()
        self.host = self.wire.host(1)
        open_stranger(self.host)
        self.peer = key(66).public

    def test_reported_events_reach_the_session(self) -> None:
        for _ in range(4):
            self.host.table.report(self.peer, "invalid-signature", self.wire.now, "vote")
        self.host.call(None)
        self.assertEqual([closed.reason for closed in self.host.closed()], ["banned"])

    def test_member_that_offends_is_closed_and_may_return(self) -> None:
        """Its quorum is needed: closed it is at once, banned never."""
        a = self.wire.host(3, wanted=[4])
        b = self.wire.host(4, identity=identity(4, operator=True))
        a.table.members = frozenset([key(104).public])
        for _ in range(10):
            self.wire.run(5 * SECOND)
            for _ in range(8):
                a.table.report(b.node_id, "invalid-signature", self.wire.now)
            a.call(None)
        self.wire.run(5 * SECOND)
        self.assertGreater(len(a.closed()), 0)
        self.assertEqual(a.table.conduct.bans(self.wire.now), ())
        self.assertEqual([peer.node_id for peer in a.table.peers()], [b.node_id])

    def test_unknown_peer_is_nobodys_business(self) -> None:
        self.host.table.report(key(99).public, "malformed", self.wire.now)
        self.assertEqual(self.host.table.conduct.counts["malformed"], 0)


class RateTests(SynchronousTestCase):
    def test_every_bucket_of_the_catalogue_has_a_rate(self) -> None:
        self.assertEqual({kind.bucket for kind in MESSAGES}, set(RATES))

    def test_rates_are_ten_times_what_the_protocol_itself_sends(self) -> None:
        """F22: a ping and a pong each half minute, a vote each few milliseconds, addresses once a session."""
        self.assertGreaterEqual(RATES["control"].per_second, 10 * 4)
        self.assertGreaterEqual(RATES["votes"].per_second, 10 * 200)
        self.assertGreaterEqual(RATES["transactions"].per_second, 10 * 500)
        self.assertGreaterEqual(RATES["transactions"].burst, 16_000)
        self.assertGreaterEqual(RATES["certificates"].burst, 2 * 16_000)

    def test_bucket_refills_with_time(self) -> None:
        allowance = Allowance(Rates())
        burst = RATES["peers"].burst
        self.assertEqual([allowance.take("peers", 0) for _ in range(burst + 2)], [True] * burst + [False] * 2)
        self.assertTrue(allowance.take("peers", SECOND))
        self.assertFalse(allowance.take("peers", SECOND))

    def test_a_rate_changes_for_sessions_that_are_open(self) -> None:
        rates = Rates()
        allowance = Allowance(rates)
        while allowance.take("votes", 0):
            continue
        rates.regulate({"votes": 2_000, "queries": 4_000})
        passed = [allowance.take("votes", SECOND) for _ in range(2_001)]
        self.assertEqual(passed, [True] * 2_000 + [False])
        stocks = allowance.stocks(60 * SECOND)
        self.assertEqual(stocks["votes"], Stock(Rate(2_000, 10_000), 10_000))
        self.assertEqual(stocks["queries"], Stock(Rate(4_000, 20_000), 20_000))
        self.assertEqual(stocks["blocks"].rate, RATES["blocks"])
        rates.regulate({})
        self.assertEqual(allowance.stocks(60 * SECOND)["votes"].rate, RATES["votes"])

    def test_what_a_node_sends_must_be_allowed(self) -> None:
        for bucket, rate in RATES.items():
            self.assertLessEqual(10 * (least(bucket) - 1), rate.per_second)
            self.assertGreaterEqual(10 * least(bucket), rate.per_second)
            self.assertGreaterEqual(rate.burst, rate.per_second)

    def test_link_is_not_read_for_a_second_after_an_excess(self) -> None:
        allowance = Allowance(Rates())
        self.assertFalse(allowance.holds_back(5))
        self.assertTrue(allowance.exceeded("flood", 5))
        self.assertEqual(allowance.excess_until, 5 + SECOND)
        self.assertEqual([allowance.holds_back(now) for now in (4 + SECOND, 5 + SECOND)], [True, False])
        self.assertIsNone(allowance.excess_until)

    def test_an_ack_that_nothing_called_for_is_charged(self) -> None:
        allowance = Allowance(Rates())
        allowance.owed = 1
        self.assertEqual([allowance.settled() for _ in range(2)], [True, False])
        self.assertEqual(allowance.owed, 0)

    def test_buckets_are_separate(self) -> None:
        allowance = Allowance(Rates())
        while allowance.take("peers", 0):
            continue
        self.assertTrue(allowance.take("votes", 0))


class HonestTests(SynchronousTestCase):
    """Traffic that an unmodified node can produce never leads to a penalty ([21])."""

    def test_acknowledgements_of_what_was_sent_are_never_too_many(self) -> None:
        """F23: a follower of a network at a thousand payments a second acknowledges as many certificates."""
        wire = Wire()
        a = wire.host(1)
        b = wire.host(2, wanted=[1])
        wire.run(SECOND)
        commit = Samples().block_certificate()
        sent = 0
        for _ in range(30):
            for _ in range(500):
                sent += a.table.send_to_peer(b.node_id, BlockCommit(commit))
                if not sent % 50:
                    a.call(None)
            wire.run(SECOND // 2)
        known = a.table.statistics(b.node_id)
        assert known is not None
        self.assertEqual(sent, 15_000)
        self.assertGreaterEqual(known.received["Ack"], sent)
        self.assertEqual((known.over_rate, known.pauses), (0, 0))
        self.assertNothingScored(a, b)

    def test_acknowledgements_of_nothing_are_charged(self) -> None:
        wire = Wire()
        host = wire.host(1)
        stranger = open_stranger(host)
        for _ in range(RATES["control"].burst + 5):
            stranger.send(Ack(34, bytes(32)))
        self.assertGreaterEqual(host.table.statistics(PEER_OF_STRANGER).over_rate, 5)  # type: ignore[union-attr]

    def assertNothingScored(self, *hosts: object) -> None:
        for host in hosts:
            conduct = host.table.conduct  # type: ignore[attr-defined]
            self.assertEqual([entry for entry in conduct.ledger if entry.points], [])
            self.assertEqual(conduct.bans(0), ())

    def test_hours_of_idling_and_discovering(self) -> None:
        wire = Wire()
        hosts = [wire.host(n, wanted=[1], discover=True) for n in range(1, 6)]
        wire.run(6 * 3_600 * SECOND)
        self.assertNothingScored(*hosts)
        for host in hosts:
            self.assertEqual(host.closed(), [])
            self.assertEqual(len(host.table.peers()), 4)

    def test_reconnects_by_the_hundred(self) -> None:
        wire = Wire()
        a, b = wire.host(1, wanted=[2]), wire.host(2, wanted=[1])
        for _ in range(200):
            wire.run(5 * SECOND)
            for end in wire.links_between(a, b):
                wire.cut(end.peer)  # type: ignore[arg-type]
                wire.cut(end)
        wire.run(5 * SECOND)
        self.assertNothingScored(a, b)
        self.assertEqual(len(a.table.peers()), 1)

    def test_burst_after_a_reconnect(self) -> None:
        wire = Wire()
        a, b = wire.host(1, wanted=[2]), wire.host(2)
        wire.run(SECOND)
        for _ in range(40):
            for _ in range(500):
                a.table.broadcast(NEWS)
            a.call(None)
            wire.run(SECOND)
        self.assertNothingScored(a, b)
        self.assertEqual(len(b.incoming()), 20_000)

    def test_every_new_session_asks_for_addresses_and_is_answered(self) -> None:
        wire = Wire()
        a, b = wire.host(1, wanted=[2], discover=True), wire.host(2, discover=True)
        wire.run(SECOND)
        for one, other in ((a, b), (b, a)):
            statistics = one.table.statistics(other.node_id)
            self.assertEqual(statistics.sent[GetPeers.__name__], 1)  # type: ignore[union-attr]
            self.assertEqual(statistics.received[PeersResponse.__name__], 1)  # type: ignore[union-attr]
            self.assertEqual(one.incoming(), [])
        self.assertNothingScored(a, b)
