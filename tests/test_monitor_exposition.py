"""The text of /metrics: the same as prometheus_client writes it, and what does not change is written once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.utils import floatToGoString
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.peer_harness import Wire
from tests.rpc_service import make_context
from timed.monitor import exposition
from timed.monitor.exposition import FAMILIES, Exposition
from timed.monitor.histogram import Histogram
from timed.monitor.metrics import METRICS
from timed.monitor.pulse import feel
from timed.monitor.readings import read
from timed.monitor.row import COUNTER, GAUGE, Durations, Row
from timed.monitor.view import View
from timed.monitor.watch import Watch
from timed.params import SECOND
from timed.peer.outbox import Outbox
from timed.peer.traffic import Traffic

PEERS = 20
MOVING = ("timed_uptime_seconds", "timed_cpu_seconds", "timed_memory_bytes", "timed_python_blocks")
"""What is another value whenever it is read."""


class Naive:
    """Every family anew, through prometheus_client alone."""

    def __init__(self, rows: Sequence[Row | Durations], view: View) -> None:
        self._rows = rows
        self._view = view

    def collect(self) -> Iterator[Metric]:
        for row in self._rows:
            family = FAMILIES[row.type](row.name, row.help, labels=row.labels)
            for labels, value in row.source(self._view):
                if isinstance(value, Histogram):
                    bounds = [floatToGoString(bound) for bound in (*value.bounds, float("inf"))]
                    sums = map(float, accumulate(value.counts))
                    family.add_metric(labels, list(zip(bounds, sums, strict=True)), value.sum)  # type: ignore[call-arg]
                else:
                    family.add_metric(labels, value)  # type: ignore[arg-type]
            yield family


def naive(rows: Sequence[Row | Durations], view: View) -> bytes:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Naive(rows, view))
    return generate_latest(registry)


def nasty() -> list[Row | Durations]:
    """Labels and values of every kind."""
    slow = Histogram((0.5, 10_000_000.0))
    slow.observe(0.1)
    slow.observe(1e9)
    texts = ("", "plain", 'a "quoted" one', "back\\slash", "two\nlines", "ünïcödé")
    values = (0.0, -1.5, 1e21, 1_234_567_890.0, float("inf"), float("nan"))
    return [
        Row("n_one", GAUGE, (), 'Help with \\ and "quotes".', lambda view: [((), 3.0)]),
        Row("n_many", COUNTER, ("z", "a"), "Two labels.", lambda view: [
            ((text, "x"), value) for text, value in zip(texts, values, strict=True)]),
        Row("n_none", COUNTER, ("z",), "No series.", lambda view: []),
        Durations("n_seconds", ("who",), "A spread.", lambda view: [((text,), slow) for text in texts]),
        Durations("n_bare_seconds", (), "Without labels.", lambda view: [((), slow)]),
    ]  # fmt: skip


class Text(SynchronousTestCase):
    def view(self) -> View:
        context = make_context(self.mktemp())
        return View(context, Watch(Clock(), lambda: 0.0), lambda name: None)  # type: ignore[arg-type]

    def test_it_is_what_prometheus_client_writes(self) -> None:
        view, rows = self.view(), nasty()
        written = Exposition(rows)
        for _ in range(2):
            self.assertEqual(written.text(view).decode(), naive(rows, view).decode())

    def test_so_it_is_of_the_whole_table(self) -> None:
        view = self.view()
        steady = [row for row in METRICS if row.name not in MOVING]
        view.watch.lateness.late.observe(0.02)
        view.watch.pauses.by_generation[1].observe(0.02)
        self.assertEqual(lines(Exposition(steady).text(view)), lines(naive(steady, view)))

    def test_a_name_is_made_once(self) -> None:
        made = []
        label = exposition.label

        def counted(name: str, value: str) -> str:
            made.append(name)
            return label(name, value)

        self.patch(exposition, "label", counted)
        view, rows = self.view(), nasty()
        written = Exposition(rows)
        first = written.text(view)
        self.assertGreater(len(made), 20)
        made.clear()
        self.assertEqual((written.text(view), made), (first, []))

    def test_names_have_a_bound(self) -> None:
        self.patch(exposition, "MAX_SERIES", 5)
        names = [f"series {number}" for number in range(20)]
        rows = [Row("n_x", GAUGE, ("a",), "Many.", lambda view: [((name,), 1.0) for name in names])]
        view, written = self.view(), Exposition(rows)
        self.assertEqual(written.text(view), naive(rows, view))
        self.assertEqual((len(written), written.renewed), (5, 3))


def lines(text: bytes) -> list[str]:
    """Without what differs from one moment to the next."""
    moving = ("timed_memory_bytes", "timed_disk_free", "timed_descriptors ", "timed_threads")
    return [line for line in text.decode().split("\n") if not line.startswith(moving)]


class Sums(SynchronousTestCase):
    """What is a sum over all sessions is made once a scrape, however many rows show a part of it."""

    def setUp(self) -> None:
        wire = Wire()
        self.host = wire.host(1, max_inbound=PEERS)
        for number in range(2, 2 + PEERS):
            wire.host(number, wanted=[1])
        wire.run(5 * SECOND)
        self.assertEqual(len(self.host.table.peers()), PEERS)
        context = make_context(self.mktemp())
        assert context.running is not None
        context.running.node.peers = self.host.table
        self.view = View(context, Watch(Clock(), lambda: 0.0), lambda name: None)  # type: ignore[arg-type]
        self.calls: list[str] = []
        self.count(Traffic, "add")
        self.count(Outbox, "queues")
        self.count(type(context.running.node), "consensus_state")

    def count(self, owner: Any, name: str) -> None:
        original = getattr(owner, name)

        def counted(*arguments: Any) -> Any:
            self.calls.append(name)
            return original(*arguments)

        self.patch(owner, name, counted)

    def test_each_session_is_looked_at_once(self) -> None:
        for look in (
            lambda: Exposition().text(self.view),
            lambda: feel(METRICS, self.view, 0.0),
            lambda: read(METRICS, self.view),
        ):
            self.calls.clear()
            look()
            self.assertEqual(self.calls.count("add"), PEERS + 1)
            self.assertEqual(self.calls.count("queues"), PEERS)
            self.assertEqual(self.calls.count("consensus_state"), 1)

    def test_the_next_moment_is_another_one(self) -> None:
        with self.view.moment():
            first = self.view.traffic
            self.assertIs(self.view.traffic, first)
            with self.view.moment():
                self.assertIs(self.view.traffic, first)
            self.assertIs(self.view.traffic, first)
        self.assertIsNot(self.view.traffic, first)
