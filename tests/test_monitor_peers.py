"""The metrics about peers are the peer room's own numbers."""

from __future__ import annotations

import random
from types import SimpleNamespace

from prometheus_client.parser import text_string_to_metric_families
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.peer_harness import Wire, key
from tests.rpc_service import make_context
from tests.test_peer_outbox import parcel
from timed.monitor.exposition import Exposition
from timed.monitor.metrics import METRICS
from timed.monitor.peers import PEER_METRICS
from timed.monitor.view import View
from timed.monitor.watch import Watch
from timed.net.limits import NetworkCounters
from timed.params import SECOND
from timed.peer.bans import parse_subject
from timed.peer.conduct import PeerClass
from timed.peer.seeding import Seed, Seeding, SeedKind
from timed.peer.traffic import Flush
from timed.wire.message import Priority


class PeerMetrics(SynchronousTestCase):
    def setUp(self) -> None:
        self.wire = Wire()
        self.host = self.wire.host(1, wanted=[2, 9], discover=True)
        self.wire.host(2)
        self.wire.run(40 * SECOND)
        self.context = make_context(self.mktemp())
        assert self.context.running is not None
        self.context.running.node.peers = self.host.table
        self.view = View(self.context, Watch(Clock(), lambda: 0.0), lambda name: None)  # type: ignore[arg-type]

    def values(self, name: str) -> dict[tuple[str, ...], float]:
        """Value by labels of one metric."""
        (labels,) = [row.labels for row in METRICS if row.name == name]
        found = {}
        for family in text_string_to_metric_families(Exposition().text(self.view).decode()):
            for sample in family.samples:
                if sample.name.removesuffix("_total") == name:
                    found[tuple(sample.labels[label] for label in labels)] = sample.value
        return found

    def test_messages_and_bytes_are_the_totals_by_type_and_direction(self) -> None:
        traffic = self.host.table.traffic()
        for name, received, sent in (
            ("timed_messages", traffic.received, traffic.sent),
            ("timed_message_bytes", traffic.received_bytes, traffic.sent_bytes),
        ):
            expected = {(kind, "received"): float(count) for kind, count in received.items()}
            expected |= {(kind, "sent"): float(count) for kind, count in sent.items()}
            self.assertEqual(self.values(name), expected)
        self.assertEqual(sum(self.values("timed_writes").values()), sum(traffic.writes.values()))
        self.assertIn((Flush.IDLE.value,), self.values("timed_writes"))
        self.assertEqual(self.values("timed_written_frames"), {(): traffic.frames})
        self.assertEqual(self.values("timed_dropped_messages"), {(): 0})
        self.assertEqual(self.values("timed_unread_messages"), {(): 0})

    def test_what_is_incomplete_is_told(self) -> None:
        session = self.host.table.session_with(key(2).public)
        assert session is not None
        session.lanes.keep(1_234)
        self.host.table.intake.relieved = 2
        self.assertEqual(self.values("timed_incomplete_bytes"), {(): 1_234})
        self.assertEqual(self.values("timed_relieved_sessions"), {(): 2})

    def test_cpu_time_is_told_by_type_of_message(self) -> None:
        self.assertEqual(self.values("timed_message_cpu_seconds"), {})
        self.host.table.costs.spent.update({"Ping": 5 * 10**8, "other": 10**9})
        self.assertEqual(self.values("timed_message_cpu_seconds"), {("Ping",): 0.5, ("other",): 1})

    def test_what_waits_is_told_by_class(self) -> None:
        session = self.host.table.session_with(key(2).public)
        assert session is not None
        now = self.host.table.clock.time
        session.outbox.push(parcel(Priority.BULK, 100), now - 3 * SECOND)
        session.outbox.push(parcel(Priority.BULK, 50), now)
        self.assertEqual(self.values("timed_queue_messages")[("bulk",)], 2)
        self.assertEqual(self.values("timed_queue_bytes")[("bulk",)], 150)
        self.assertEqual(self.values("timed_queue_oldest_seconds")[("bulk",)], 3)
        self.assertEqual(self.values("timed_queue_oldest_seconds")[("control",)], 0)
        self.assertEqual(len(self.values("timed_queue_messages")), len(Priority))

    def test_bans_addresses_and_wanted_nodes(self) -> None:
        table = self.host.table
        table.ban(parse_subject("192.0.2.0/24"), 60, "test", self.wire.now)
        table.conduct.ban(key(7).public, self.wire.now + SECOND, "malformed", by_operator=False)
        self.assertEqual(self.values("timed_bans"), {("operator",): 1, ("node",): 1})
        self.assertEqual(self.values("timed_wanted_nodes"), {("connected",): 1, ("missing",): 1})
        self.assertEqual(self.values("timed_addresses"), {("new",): 0, ("tried",): 1})
        self.assertEqual(self.values("timed_clock_offset_seconds"), {(): 0})

    def test_what_met_a_full_place_is_counted_by_place(self) -> None:
        assert self.context.running is not None
        node, table = self.context.running.node, self.host.table
        node.admission.counters.overflow, node.relay.fetching.overflow, node.relay.overflow = 1, 2, 3
        table.overflows, table.conduct._bans.overflows = 4, 5
        node.inbox.counters.overload, node.inbox.counters.future_dropped = 6, 7
        node.chain.judging.overflow = 8
        self.assertEqual(
            self.values("timed_overflows"),
            {
                ("checking",): 1,
                ("fetching",): 2,
                ("held",): 3,
                ("unchecked",): 6,
                ("future",): 7,
                ("judged",): 8,
                ("outbox",): 4,
                ("transport",): 0,
                ("bans",): 5,
            },
        )

    def test_verdicts_tell_whether_they_were_carried_out(self) -> None:
        conduct = self.host.table.conduct
        for conduct.dry_run in (False, True):
            conduct.report(key(7).public, PeerClass.ANONYMOUS, "over-rate", self.wire.now)
        self.assertEqual(
            self.values("timed_conduct_verdicts"), {("throttle", "yes"): 1, ("throttle", "no"): 1}
        )

    def test_sources_of_addresses_are_counted_by_kind_and_outcome(self) -> None:
        self.assertEqual(self.values("timed_seed_answers"), {})
        seed = Seed(SeedKind.DNS, "seed.example.org")
        seeding = Seeding([seed], random.Random(1))
        for _ in range(2):
            seeding.failed(seed, "timeout", 0)
        self.context.seeds = SimpleNamespace(seeding=seeding)
        self.assertEqual(self.values("timed_seed_answers"), {("dns", "timeout"): 2})

    def test_sockets_are_counted_while_there_are_any(self) -> None:
        self.assertEqual(self.values("timed_socket_bytes"), {})
        counters = NetworkCounters(bytes_received=7, bytes_sent=9)
        self.context.network = SimpleNamespace(counters=counters)
        self.assertEqual(self.values("timed_socket_bytes"), {("received",): 7, ("sent",): 9})

    def test_writes_of_the_memory_are_counted(self) -> None:
        assert self.context.running is not None
        self.context.running.memory.writes = 3
        self.assertEqual(self.values("timed_peer_memory"), {("written",): 3, ("failed",): 0})

    def test_without_a_node_there_are_none(self) -> None:
        self.context.running = None
        for row in PEER_METRICS:
            self.assertEqual(self.values(row.name), {}, row.name)
