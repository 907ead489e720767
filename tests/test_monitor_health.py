"""Health, readiness and metrics of a node, one table each."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import attrs
from prometheus_client.parser import text_string_to_metric_families
from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.rpc_service import ServiceTestCase, fetch, make_context
from timed import events
from timed.app.config import override
from timed.consensus.roundstate import RoundCounters
from timed.consensus.tally import FastPathCounters
from timed.errors import StoreError
from timed.feed.attendance import MISSED_IN_A_ROW
from timed.monitor import metrics, observer
from timed.monitor.exposition import Exposition
from timed.monitor.health import BEHIND, CHECKS, DEGRADED, FAILED, LATE_INTERVALS, LATE_SINK_S, OK, Board
from timed.monitor.metrics import METRICS, ROWS
from timed.monitor.observer import OTHER
from timed.monitor.pulse import feel
from timed.monitor.readings import read
from timed.monitor.row import Row
from timed.monitor.rules import REMEDIES
from timed.monitor.view import View
from timed.monitor.watch import Watch
from timed.params import SECOND
from timed.rpc import probe
from timed.rpc.errors import Busy, RpcError
from timed.rpc.probe import SnapshotProbe


class Checks(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = self.mktemp()
        self.context = make_context(self.directory)
        self.time = self.context.started_at
        self.context.clock = lambda: self.time
        self.steady_s = 100.0
        self.context.monotonic = lambda: self.steady_s
        self.context.running.node.start(self.time)
        self.watch = Watch(Clock(), lambda: 0.0)
        self.counts = self.watch.counts
        self.board = Board(View(self.context, self.watch, lambda name: None))

    def states(self) -> dict[str, str]:
        return {name: check["state"] for name, check in self.board.look().items()}

    def pass_time(self, seconds: int) -> None:
        self.time += seconds * SECOND
        self.steady_s += seconds

    def test_a_few_blocks_are_on_their_way_and_more_are_catching_up(self) -> None:
        node = self.context.running.node
        found = []
        for behind in (BEHIND, BEHIND + 1):
            self.patch(node, "sync_state", lambda behind=behind: SimpleNamespace(behind=behind))
            found.append(self.states()["sync"])
        self.assertEqual(found, [OK, DEGRADED])

    def alone(self) -> str:
        """What the check says of a member that is no quorum by itself, and has no session."""
        node = self.context.running.node
        state = attrs.evolve(node.consensus_state(), member=None)
        self.patch(node, "consensus_state", lambda: state)
        return str(self.board.look()["peers"]["reason"])

    def test_without_a_session_it_says_whether_there_is_anybody_to_dial(self) -> None:
        peers = self.context.running.node.peers
        nobody = "no session with any peer, and nobody to dial"
        self.assertEqual(self.alone(), nobody)
        self.context.seeds = SimpleNamespace()
        self.assertEqual(self.alone(), "no session with any peer")
        self.context.seeds = None
        book, peers.discovery.book = peers.discovery.book, [object()]
        self.assertEqual(self.alone(), "no session with any peer", "an address that was heard of")
        peers.discovery.book = book
        self.assertEqual(self.alone(), nobody)
        peers.want("192.0.2.9", 7000, None)
        self.assertEqual(self.alone(), "no session with any peer", "an address of addnode")

    def test_a_watchdog_that_does_not_look_is_told(self) -> None:
        self.patch(self.context.loops, "late_s", lambda: 21.4)
        check = self.board.look()["loops"]
        self.assertEqual(
            (check["state"], check["reason"]), (DEGRADED, "the watchdog has not looked at the loops for 21 s")
        )

    def test_of_several_loops_the_first_is_told_and_how_many_more(self) -> None:
        troubles = [SimpleNamespace(reason=f"loop {number}", remedy="wait") for number in range(3)]
        self.patch(self.context.loops, "troubles", lambda: troubles)
        self.assertEqual(self.board.look()["loops"]["reason"], "loop 0 (and 2 more)")
        self.patch(self.context.loops, "troubles", lambda: troubles[:1])
        self.assertEqual(self.board.look()["loops"]["reason"], "loop 0")

    def test_an_index_that_is_off_may_be_broken(self) -> None:
        statuses = [SimpleNamespace(name="a", enabled=False, error="EIO", height=1)]
        self.context.indexes = SimpleNamespace(statuses=lambda: statuses)
        self.assertEqual(self.states()["indexes"], OK)
        statuses.append(SimpleNamespace(name="b", enabled=True, error="EIO", height=1))
        self.assertIn("index b", self.board.look()["indexes"]["reason"])

    def sink(self, late_s: int, failure: str | None, oldest_us: int | None) -> str:
        sink = SimpleNamespace(
            late_us=lambda now: late_s * SECOND, failure=failure, oldest_us=oldest_us, behind=3,
            sink=SimpleNamespace(title="the receiver"), state=SimpleNamespace(value="waiting"),
        )  # fmt: skip
        self.context.feed = SimpleNamespace(failure=lambda: None, sinks=[sink])
        return str(self.board.look()["sinks"]["state"])

    def test_a_receiver_of_events_may_be_late_for_a_minute(self) -> None:
        self.assertEqual(self.sink(LATE_SINK_S, "refused", 5), OK)
        self.assertEqual(self.sink(LATE_SINK_S + 1, None, 5), DEGRADED)
        self.assertEqual(self.sink(0, "its place is unknown", None), DEGRADED)

    def test_a_network_is_late_after_ten_intervals_without_a_block(self) -> None:
        """Of the time that the process has run: before it began somebody else may have seen blocks."""
        self.time = max(self.time, self.context.running.node.ledger.tip.header.time * SECOND) + 10**6 * SECOND
        self.assertEqual(self.states()["blocks"], OK)
        self.pass_time(LATE_INTERVALS * 600)
        self.assertEqual(self.states()["blocks"], OK)
        self.pass_time(1)
        self.assertEqual(self.board.look()["blocks"]["reason"], "no block for 6001 s")

    def test_a_clock_that_was_set_after_the_start_neither_hides_a_late_block_nor_makes_one(self) -> None:
        """A machine without a battery for its clock begins in another year; a step back is no new start."""
        begun = self.time
        self.time += 86_400 * SECOND
        self.assertEqual(self.states()["blocks"], OK)
        self.context.started_at = begun + 10 * 86_400 * SECOND
        self.pass_time(LATE_INTERVALS * 600 + 1)
        self.assertEqual(self.states()["blocks"], DEGRADED)

    def test_a_good_node_is_ok_and_ready(self) -> None:
        self.assertEqual(self.states(), dict.fromkeys([check.name for check in CHECKS], OK))
        self.assertEqual(self.board.health()[0], 200)
        self.assertEqual(self.board.ready(), (200, {"ready": True, "waiting_for": {}}))

    def test_every_finding_that_is_not_ok_has_a_reason_and_a_remedy(self) -> None:
        node = self.context.running.node
        node.gate.failure = "EIO"
        node.chain.fail_safely("two certified blocks at height 3")
        self.context.running.driver.counters.faults = 2
        self.pass_time(11 * 600)
        found = self.board.look()
        self.assertEqual({name for name, check in found.items() if check["state"] != OK},
                         {"disk", "safety", "blocks", "bugs"})  # fmt: skip
        for check in found.values():
            if check["state"] != OK:
                self.assertTrue(check["reason"])
                self.assertTrue(check["remedy"])
        self.assertEqual(found["disk"]["state"], FAILED)
        self.assertEqual(found["bugs"]["state"], DEGRADED)
        self.assertEqual(self.board.health()[0], 503)
        self.assertEqual(set(self.board.ready()[1]["waiting_for"]), {"disk", "safety"})

    def test_a_member_that_does_not_vote_says_why(self) -> None:
        node = self.context.running.node
        silent = attrs.evolve(node.consensus_state(), member=0, signing=False)
        self.patch(node, "consensus_state", lambda: silent)
        reasons = [self.board.look()["voting"]["reason"]]
        node.chain.paused = True
        reasons.append(self.board.look()["voting"]["reason"])
        node.gate.failure = "EIO"
        reasons.append(self.board.look()["voting"]["reason"])
        for reason, why in zip(reasons, ("its log", "its clock", "its store"), strict=True):
            self.assertIn(why, reason)

    def test_a_check_that_raises_says_so_and_hides_no_other(self) -> None:
        """What breaks a check at night, such as a disk that cannot be read, must not silence the rest."""
        node = self.context.running.node
        node.gate.failure = "EIO"

        def broken() -> None:
            raise ZeroDivisionError

        self.patch(node, "sync_state", broken)
        found = self.board.look()
        self.assertEqual((found["sync"]["state"], found["disk"]["state"]), (DEGRADED, FAILED))
        self.assertIn("ZeroDivisionError", found["sync"]["reason"])
        self.assertIn("log", found["sync"]["remedy"])
        self.assertEqual(self.board.ready()[0], 503)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)

    def test_since_is_the_time_of_the_last_change(self) -> None:
        begun = self.time // SECOND
        self.board.look()
        self.time += 5 * SECOND
        self.assertEqual(self.board.look()["disk"]["since"], begun)
        self.context.running.node.gate.failure = "EIO"
        self.assertEqual(self.board.look()["disk"]["since"], begun + 5)
        self.time += 5 * SECOND
        self.assertEqual(self.board.look()["disk"]["since"], begun + 5)

    def test_without_a_chain_it_is_neither_well_nor_ready(self) -> None:
        self.context.running = None
        self.assertEqual(self.states()["chain"], FAILED)
        self.context.chosen_genesis = None
        check = self.board.look()["chain"]
        self.assertIn("genesis", check["reason"])
        self.assertEqual(self.board.ready()[0], 503)

    def test_a_degraded_node_is_still_well(self) -> None:
        self.context.running.driver.counters.faults = 1
        status, body = self.board.health()
        self.assertEqual((status, body["state"]), (200, DEGRADED))


class Apart(SynchronousTestCase):
    """An RPC process: no node, a way to one, and its files."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.context = make_context(self.mktemp(), chain=False)
        layers = attrs.evolve(
            self.context.config.layers, changed=(override("services.enabled", "rpc", "--set"),)
        )
        self.context.live.config = self.context.config.with_layers(layers)
        self.link, self.height = SimpleNamespace(up=True), 7
        self.error: Exception | None = None
        self.asked: list[Deferred[int]] = []
        self.probe = SnapshotProbe(self, self.clock, self.clock.seconds)  # type: ignore[arg-type]
        rpc = SimpleNamespace(parts=SimpleNamespace(link=self.link, probe=self.probe))
        self.board = Board(View(self.context, Watch(self.clock, self.clock.seconds), lambda name: rpc))  # type: ignore[arg-type]

    def read(self, read: Any) -> Deferred[int]:
        """The reader's side of the probe."""
        if self.error is not None:
            return fail(self.error)
        self.asked.append(Deferred(lambda done: done.errback(RpcError(-1, "x", rule="cancelled"))))
        return self.asked[-1]

    def answer(self) -> None:
        self.asked.pop(0).callback(self.height)

    def waiting(self) -> set[str]:
        return set(self.board.ready()[1]["waiting_for"])

    def test_it_is_ready_once_a_block_was_read_and_the_node_is_there(self) -> None:
        self.probe.start()
        self.assertEqual((self.waiting(), self.board.health()[0]), ({"snapshot"}, 200))
        self.answer()
        self.assertEqual((self.board.ready()[0], self.probe.height), (200, 7))
        self.link.up = False
        self.assertEqual((self.waiting(), self.board.health()[0]), ({"link"}, 200))

    def test_files_that_cannot_be_read_are_named(self) -> None:
        self.error = StoreError("x holds no store of timed.", "Start the node.")
        self.probe.start()
        check = self.board.look()["snapshot"]
        self.assertEqual((check["state"], check["remedy"]), (FAILED, "Start the node."))
        self.error = None
        self.clock.advance(probe.EVERY_S)
        self.answer()
        self.assertEqual((self.board.ready()[0], self.probe.failures), (200, 1))

    def test_a_reader_that_does_not_answer_is_noticed_and_asked_once(self) -> None:
        self.probe.start()
        self.answer()
        for _ in range(20):
            self.clock.advance(probe.EVERY_S)
        self.assertEqual((len(self.asked), self.waiting()), (1, {"snapshot"}))
        self.assertIn("100 s", self.board.look()["snapshot"]["reason"])

    def test_no_room_at_the_reader_is_no_fault_of_the_files(self) -> None:
        self.error = Busy(503, 1, "full", rule="reader-full", hint="wait")
        self.probe.start()
        self.assertEqual(self.board.look()["snapshot"]["state"], DEGRADED)
        self.assertEqual(self.probe.failures, 1)

    def test_it_leaves_nothing_behind(self) -> None:
        self.probe.start()
        self.probe.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class Table(SynchronousTestCase):
    def setUp(self) -> None:
        self.context = make_context(self.mktemp())
        self.context.running.node.start(self.context.started_at)
        self.watch = Watch(Clock(), lambda: 0.0)
        self.counts = self.watch.counts
        self.view = View(self.context, self.watch, lambda name: None)

    def samples(self) -> dict[str, list[tuple[dict[str, str], float]]]:
        found: dict[str, list[tuple[dict[str, str], float]]] = {}
        for family in text_string_to_metric_families(Exposition().text(self.view).decode()):
            for sample in family.samples:
                found.setdefault(sample.name, []).append((sample.labels, sample.value))
        return found

    def test_names_are_unique_and_in_prometheus_manner(self) -> None:
        names = [row.name for row in METRICS]
        self.assertEqual(len(names), len(set(names)))
        for row in METRICS:
            self.assertRegex(row.name, r"^timed_[a-z][a-z_]*$")
            self.assertNotIn("_total", row.name)
            self.assertTrue(row.help.endswith("."))

    def test_every_row_is_in_the_exposition(self) -> None:
        families = {
            family.name: family
            for family in text_string_to_metric_families(Exposition().text(self.view).decode())
        }
        for row in METRICS:
            self.assertEqual(families[row.name].documentation, row.help)
            self.assertEqual(families[row.name].type, row.type)

    def test_a_row_that_cannot_be_read_hides_no_other(self) -> None:
        def broken() -> None:
            raise ZeroDivisionError

        self.patch(self.context.running.node, "sync_state", broken)
        found = self.samples()
        self.assertNotIn("timed_blocks_behind", found)
        self.assertEqual(found["timed_height"], [({}, 0.0)])
        self.assertIn(({"check": "sync"}, 1.0), found["timed_check_state"])
        self.assertTrue(self.flushLoggedErrors(ZeroDivisionError))
        reading = read(METRICS, self.view)
        self.assertIsNone(reading.total("timed_blocks_behind", ()))
        self.assertEqual(reading.total("timed_check_state", (("check", "sync"),)), 1.0)
        self.assertTrue(self.flushLoggedErrors(ZeroDivisionError))
        moment = feel(METRICS, self.view, 0.0)
        self.assertEqual((moment.total("timed_blocks_behind"), moment.total("timed_height")), (None, 0.0))
        self.assertTrue(self.flushLoggedErrors(ZeroDivisionError))

    def test_a_distribution_that_cannot_be_read_hides_no_other(self) -> None:
        del self.watch.stages.since_accepted
        self.assertNotIn("timed_finality_seconds_count", self.samples())
        self.assertNotIn("timed_finality_seconds", read(METRICS, self.view).spreads)
        self.assertEqual(feel(METRICS, self.view, 0.0).spreads["timed_finality_seconds"], {})
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 3)

    def test_values_are_the_node_s(self) -> None:
        found = self.samples()
        self.assertEqual(found["timed_height"], [({}, 0.0)])
        self.assertEqual(found["timed_coins"], [({}, 100.0)])
        self.assertEqual(found["timed_supply_time"], [({}, 1_000_000.0)])
        self.assertEqual(found["timed_info"][0][0]["network"], "regtest")

    def test_a_clock_that_is_set_does_not_change_for_how_long_it_runs(self) -> None:
        steady = [50.0]
        self.context.monotonic = lambda: steady[0]
        self.view = View(self.context, self.watch, lambda name: None)
        steady[0] = 57.0
        self.context.clock = lambda: self.context.started_at - 86_400 * SECOND
        self.assertEqual(self.samples()["timed_uptime_seconds"], [({}, 7.0)])

    def test_dialling_shows_its_progress(self) -> None:
        """F12: the counter grows as long as somebody who is wanted is missing."""
        peers = self.context.running.node.peers
        peers.want("192.0.2.9", 7000, bytes(32))
        seen, now = [], self.context.started_at
        for _ in range(4):
            end = now + 120_000_000
            while (due := peers.next_deadline()) is not None and due < end:
                now = max(due, now + 1)
                peers.tick(now)
            seen.append(self.samples()["timed_dials_total"][0][1])
        self.assertEqual(sorted(set(seen)), seen)

    def test_events_are_counted(self) -> None:
        txid, node_id = bytes(32), bytes(32)
        for event in (
            events.PeerOpened(node_id, "a", True), events.PeerClosed(node_id, "a", "goodbye", False, True),
            events.PeerOpened(node_id, "a", True), events.PeerClosed(node_id, "a", "lost", True, False),
            events.PeerRefused("a", "wrong-genesis", "", True), events.TransactionAccepted(txid),
            events.TransactionLocked(txid, 1), events.TransactionCertified(txid, 1), events.TransactionFinal(txid, 1),
            events.TransactionReleased(txid, 1), events.TransactionDropped(txid, "signature"),
            events.BlockCertified(1, bytes(32), 5, (txid, txid, txid), True),
            events.BlockCertified(2, bytes(32), 5, (txid,), False), events.DoubleSpend((txid, 0), txid, txid, 1),
            events.Equivocation(node_id, 1, "vote"), events.SafetyFailure("x"), events.EpochReported(1, 2),
        ):  # fmt: skip
            self.counts.published(event, 5)
        found = self.samples()
        self.assertEqual(found["timed_sessions_opened_total"], [({}, 2.0)])
        self.assertEqual(found["timed_sessions_closed_total"], [({}, 2.0)])
        self.assertEqual(found["timed_reconnects_total"], [({}, 1.0)])
        steps = {labels["step"]: value for labels, value in found["timed_transactions_total"]}
        self.assertEqual(
            steps,
            {
                "accepted": 1,
                "locked": 1,
                "certified": 1,
                "final": 1,
                "released": 1,
                "dropped": 1,
                "confirmed": 2,
            },
        )
        self.assertEqual(
            {labels["how"]: value for labels, value in found["timed_blocks_total"]}, {"live": 1, "fetched": 1}
        )
        rules = {(labels["what"], labels["rule"]): value for labels, value in found["timed_refused_total"]}
        self.assertEqual(rules, {("session", "wrong-genesis"): 1, ("transaction", "signature"): 1})
        self.context.running.node.chain.judging.refused["proposal-contents"] = 2
        rules = {(one["what"], one["rule"]): value for one, value in self.samples()["timed_refused_total"]}
        self.assertEqual(rules[("proposal", "proposal-contents")], 2)
        self.assertEqual(found["timed_double_spends_total"], [({}, 1.0)])
        self.assertEqual(found["timed_equivocations_total"], [({}, 1.0)])

    def test_what_consensus_counts_is_shown(self) -> None:
        """A counter that no metric shows is one that nobody misses when it stands still."""
        chain = self.context.running.node.chain
        chain.rounds.counters.proposals_forgotten = 3
        chain.fastpath.counters.votes_over_budget = 4
        found = self.samples()
        rounds = {labels["event"]: value for labels, value in found["timed_rounds_total"]}
        votes = {labels["event"]: value for labels, value in found["timed_payment_votes_total"]}
        self.assertEqual((rounds["proposals-forgotten"], votes["votes-over-budget"]), (3.0, 4.0))
        self.assertEqual(len(rounds), len(attrs.fields(RoundCounters)))
        self.assertEqual(len(votes), len(attrs.fields(FastPathCounters)))

    def test_rules_are_bounded(self) -> None:
        self.patch(observer, "MAX_RULES", 3)
        for number in range(10):
            self.counts.published(events.PeerRefused("a", f"rule-{number}", "", False), 0)
        self.assertEqual(len(self.counts.refused), 4)
        self.assertEqual(self.counts.refused[("session", observer.OTHER)], 7)

    def test_without_a_chain_its_metrics_are_absent(self) -> None:
        self.context.running = None
        found = self.samples()
        self.assertNotIn("timed_height", found)
        self.assertIn("timed_log_lines_total", found)


class Weights(SynchronousTestCase):
    """What the rows say of members: five of them, the last without weight, seen by the second."""

    def setUp(self) -> None:
        weights = (5, 4, 3, 2, 0)
        members = tuple(
            SimpleNamespace(weight=weight, operator_key=bytes([number]), network_address=b"m%d" % number)
            for number, weight in enumerate(weights)
        )
        self.heights: list[int] = []
        self.there = {0}
        self.member: int | None = 1
        self.in_a_row: dict[bytes, int] = {}
        self.liars: set[bytes] = set()
        self.roster = SimpleNamespace(members=members)
        self.voters = SimpleNamespace(
            weight=lambda roster, own: sum(weights[each] for each in {own, *self.there}),
            is_connected=lambda index: index in self.there,
        )

    def values(self, name: str) -> list[tuple[tuple[str, ...], float]]:
        def roster(height: int) -> Any:
            self.heights.append(height)
            return self.roster

        view: Any = SimpleNamespace(
            node=SimpleNamespace(
                ledger=SimpleNamespace(roster=roster, tip=SimpleNamespace(height=7)), voters=self.voters
            ),
            consensus=SimpleNamespace(member=self.member, height=8, quorum_weight=10, total_weight=14),
            counts=SimpleNamespace(equivocators=self.liars),
            watch=SimpleNamespace(blocks=SimpleNamespace(absent_in_a_row=lambda node: self.in_a_row)),
        )
        row = ROWS[name]
        assert isinstance(row, Row)
        return list(row.source(view))

    def test_the_margin_is_what_a_member_and_those_it_sees_have_above_a_quorum(self) -> None:
        self.assertEqual(self.values("timed_quorum_margin"), [((), -1.0)])
        self.there = {0, 2, 3}
        self.assertEqual(self.values("timed_quorum_margin"), [((), 4.0)])
        self.member = None
        self.assertEqual(self.values("timed_quorum_margin"), [])
        self.assertEqual(set(self.heights), {8})

    def test_less_than_twice_a_quorum_minus_everything_may_lie(self) -> None:
        """Two quorums of 10 in 14 share 6: with 5 that lie one of them is honest, and known liars are taken off."""
        self.assertEqual(self.values("timed_safety_margin"), [((), 5.0)])
        self.liars = {b"\2", b"\x09"}
        self.assertEqual(self.values("timed_safety_margin"), [((), 2.0)])

    def test_missing_is_who_has_weight_and_no_session_and_is_not_this_node(self) -> None:
        self.assertEqual(self.values("timed_members_missing"), [(("2 m2",), 3.0), (("3 m3",), 2.0)])
        self.member = None
        self.assertEqual(self.values("timed_members_missing"), [])

    def test_missed_is_who_lacks_in_six_certificates_of_the_next_roster(self) -> None:
        self.in_a_row = {b"\1": MISSED_IN_A_ROW - 1, b"\2": MISSED_IN_A_ROW, b"\x09": 30}
        self.assertEqual(self.values("timed_members_missed"), [(("2 m2",), float(MISSED_IN_A_ROW))])
        self.assertEqual(self.heights, [8])

    def test_members_beyond_the_bound_are_one_sum(self) -> None:
        self.patch(metrics, "MAX_MISSING", 1)
        self.there = set()
        self.assertEqual(self.values("timed_members_missing"), [(("0 m0",), 5.0), ((OTHER,), 5.0)])

    def test_sessions_are_told_by_who_began_them(self) -> None:
        peers = [SimpleNamespace(outbound=outbound) for outbound in (True, False, False)]
        view: Any = SimpleNamespace(node=SimpleNamespace(peers=SimpleNamespace(peers=lambda: peers)))
        row = ROWS["timed_sessions"]
        assert isinstance(row, Row)
        self.assertEqual(dict(row.source(view)), {("inbound",): 2.0, ("outbound",): 1.0})


class Http(ServiceTestCase):
    async def get(self, path: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
        answer: tuple[int, dict[str, str], bytes] = await self.in_thread(
            fetch, self.monitor_port, method, path
        )
        return answer

    async def test_the_three_pages(self) -> None:
        status, _, body = await self.get("/health")
        self.assertEqual((status, json.loads(body)["state"]), (200, "ok"))
        status, _, body = await self.get("/ready")
        self.assertEqual((status, json.loads(body)["ready"]), (200, True))
        status, headers, body = await self.get("/metrics")
        self.assertEqual(status, 200)
        self.assertTrue(headers["content-type"].startswith("text/plain"))
        self.assertIn(b"timed_height 0.0", body)

    async def test_calls_of_the_rpc_are_seen(self) -> None:
        """The services are siblings; the monitor finds the rpc through their parent."""
        body = b'{"id": 1, "method": "getblockcount"}'
        await self.in_thread(fetch, self.rpc_port, "POST", "/", body, self.authorization())
        _, _, metrics = await self.get("/metrics")
        self.assertIn(b'timed_rpc_calls_total{method="getblockcount"} 1.0', metrics)

    async def test_other_paths_and_methods(self) -> None:
        self.assertEqual((await self.get("/nothing"))[0], 404)
        self.assertEqual((await self.get("/health", "POST"))[0], 405)
        self.assertEqual((await self.get("/health", "HEAD"))[0], 200)

    async def test_a_failed_disk_is_503_and_the_page_stays(self) -> None:
        node: Any = self.context.running.node
        node.gate.failure = "EIO"
        for path in ("/health", "/ready"):
            status, _, body = await self.get(path)
            self.assertEqual(status, 503)
            self.assertIn(b"EIO", body)
        node.gate.failure = None

    async def test_a_store_that_cannot_be_read_has_a_remedy_whatever_it_says(self) -> None:
        driver: Any = self.context.running.driver
        for error, remedy in (
            (StoreError("it is damaged.", "Mend it."), "Mend it."),
            (StoreError("it is damaged."), ""),
        ):
            driver.first_unread = error
            status, _, body = await self.get("/health")
            check = json.loads(body)["checks"]["disk"]
            self.assertEqual((status, check["reason"]), (503, "the store cannot be read: it is damaged."))
            self.assertEqual(check["remedy"], remedy or REMEDIES["check-disk"])
        driver.first_unread = None
