"""The dashboard's side of the server: pictures, streams, who sees what, and the page's own promises."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock, deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.rpc_service import ServiceTestCase, exchange_raw, fetch, make_context
from timed import events
from timed.app.logging import MAX_LINE, MAX_TAIL, LogTail
from timed.monitor import viewers
from timed.monitor.alerts import Alarms
from timed.monitor.assets import HEADERS, assets
from timed.monitor.blocks import SHOWN, RecentBlocks
from timed.monitor.details import votes_missing
from timed.monitor.health import Board
from timed.monitor.histogram import Histogram
from timed.monitor.metrics import METRICS, ROWS
from timed.monitor.pulse import MAX_PULSES, WINDOW_S, Pulse, Pulses, Spread, percentile, series, spreads
from timed.monitor.row import COUNTER, GAUGE, Durations, Row
from timed.monitor.service import FOREIGN
from timed.monitor.snapshot import FRESH_S, Snapshots
from timed.monitor.view import View
from timed.monitor.viewers import EVERY_S, KEPT, MAX_VIEWERS, PATIENCE_S, Viewers
from timed.monitor.visibility import host_named
from timed.monitor.watch import Watch
from timed.params import SECOND
from timed.peer.location import is_loopback

PAGE = Path(__file__).parent.parent / "timed/monitor/page"


def pulse(at_s: float, value: float, *counts: int) -> Pulse:
    return Pulse(at_s, {"c": {("x",): value}}, {"d": {(): Spread((0.1, 1.0), counts or (0, 0, 0), 0.0)}})


class Rates(SynchronousTestCase):
    counter = Row("c", COUNTER, ("l",), "Help.", lambda view: [])
    spread = Durations("d", (), "Help.", lambda view: [])

    def rate(self, now: Pulse, before: Pulse | None) -> object:
        return series([self.counter], now, before)["c"][0].get("rate")

    def test_a_counter_has_the_rate_since_the_moment_before(self) -> None:
        self.assertEqual(self.rate(pulse(12.0, 30), pulse(10.0, 20)), 5.0)

    def test_without_a_moment_before_there_is_no_rate(self) -> None:
        self.assertIsNone(self.rate(pulse(12.0, 30), None))

    def test_a_counter_that_begins_anew_is_no_negative_rate(self) -> None:
        self.assertEqual(self.rate(pulse(12.0, 1), pulse(10.0, 20)), 0.0)

    def test_a_gauge_has_no_rate(self) -> None:
        gauge = Row("c", GAUGE, ("l",), "Help.", lambda view: [])
        self.assertEqual(
            series([gauge], pulse(1.0, 5), pulse(0.0, 3))["c"], [{"labels": {"l": "x"}, "value": 5}]
        )

    def test_a_distribution_shows_what_was_added(self) -> None:
        shown = spreads([self.spread], pulse(9.0, 0, 5, 7, 1), pulse(0.0, 0, 5, 3, 1))["d"][0]
        self.assertEqual((shown["counts"], shown["total"]), ((0, 4, 0), 13))
        self.assertEqual((shown["p50"], shown["p99"]), (1.0, 1.0))

    def test_what_lies_above_every_bound_is_no_number(self) -> None:
        self.assertIsNone(percentile(Spread((0.1, 1.0), (0, 0, 4), 9.0), 0.5))
        self.assertIsNone(percentile(Spread((0.1, 1.0), (0, 0, 0), 0.0), 0.5))

    def test_moments_are_bounded_and_the_window_begins_with_the_oldest_in_it(self) -> None:
        kept = Pulses()
        for number in range(MAX_PULSES + 20):
            kept.add(pulse(10.0 * number, 0))
        last = 10.0 * (MAX_PULSES + 19)
        begin = kept.begin(last)
        assert begin is not None
        self.assertEqual(begin.at_s, last - WINDOW_S)
        self.assertEqual((begin.values, begin.spreads), ({}, pulse(begin.at_s, 0).spreads))
        self.assertEqual(kept.before(last + 1.0), pulse(last, 0))
        self.assertEqual(kept.before(last + 0.1), pulse(last - 10.0, 0))
        self.assertIsNone(kept.before(last - 10.0 + 0.1))


class PictureCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.context = make_context(self.mktemp())
        self.context.monotonic = self.clock.seconds
        self.context.running.node.start(self.context.started_at)
        self.watch = Watch(self.clock, self.clock.seconds)
        self.view = View(self.context, self.watch, lambda name: None)  # type: ignore[arg-type]
        self.board = Board(self.view)
        self.alarms = Alarms(lambda alert: None)
        self.snapshots = Snapshots(self.view, self.board, self.alarms)

    def picture(self, *, private: bool = True) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.snapshots.newest().picture(private=private))
        return found


class Pictures(PictureCase):
    def test_one_picture_is_shared_until_it_is_not_fresh_any_more(self) -> None:
        first = self.snapshots.newest()
        self.clock.advance(FRESH_S / 2)
        self.assertIs(self.snapshots.newest(), first)
        self.clock.advance(FRESH_S)
        self.assertIsNot(self.snapshots.newest(), first)
        self.assertEqual(self.snapshots.taken, 2)

    def test_it_holds_every_metric_of_the_table_and_nothing_else(self) -> None:
        picture = self.picture()
        self.assertEqual(set(picture["metrics"]) | set(picture["spreads"]), set(ROWS))
        self.assertEqual(picture["slow"], [])
        self.assertEqual(picture["metrics"]["timed_height"], [{"labels": {}, "value": 0.0}])

    def test_a_counter_s_rate_is_over_the_second_between_two_pictures(self) -> None:
        self.picture()
        self.watch.counts.sessions["opened"] += 6
        self.clock.advance(2.0)
        self.assertEqual(self.picture()["metrics"]["timed_sessions_opened"][0]["rate"], 3.0)

    def test_after_a_pause_the_rate_is_over_the_last_kept_moment(self) -> None:
        """Nobody looked for an hour: the first figure is not the mean of that hour."""
        self.picture()
        self.clock.advance(3600)
        self.watch.counts.sessions["opened"] += 500
        self.snapshots.keep()
        self.clock.advance(5)
        self.watch.counts.sessions["opened"] += 10
        self.assertEqual(self.picture()["metrics"]["timed_sessions_opened"][0]["rate"], 2.0)

    def test_strangers_see_what_metrics_health_and_alerts_say(self) -> None:
        """Nobody learns from the dashboard what /metrics would not have told."""
        picture = self.picture(private=False)
        self.assertIsNone(picture["details"])
        self.assertIn("own machine", picture["withheld"])
        self.assertNotIn("links", picture["nodes"][0]["summary"])
        text = self.snapshots.newest().picture(private=False).decode()
        for member in self.context.running.node.chain.fastpath.roster.members:
            self.assertNotIn(member.operator_key.hex(), text)

    def test_members_are_shown_with_their_names_and_who_is_there(self) -> None:
        details = self.picture()["details"]
        (row,) = details["members"]["rows"]
        self.assertEqual((row["index"], row["self"], row["connected"], row["weight"]), (0, True, True, 1))
        self.assertEqual(details["epoch"]["member"], 0)
        self.assertEqual(details["peers"], {"count": 0, "rows": []})

    def test_without_a_chain_there_are_no_details_and_the_rest_stays(self) -> None:
        self.context.running = None
        picture = self.picture()
        self.assertIsNone(picture["details"])
        self.assertEqual(picture["health"]["state"], "failed")

    def test_details_that_cannot_be_read_hide_nothing_else(self) -> None:
        """A disk that cannot be read at night is what the page is opened for."""
        node = self.context.running.node
        node.gate.failure = "EIO"

        def broken() -> None:
            raise ZeroDivisionError

        self.patch(node.peers, "peers", broken)
        picture = self.picture()
        self.assertIsNone(picture["details"])
        self.assertEqual(picture["health"]["checks"]["disk"]["state"], "failed")
        self.assertEqual(picture["metrics"]["timed_height"][0]["value"], 0.0)
        self.assertTrue(self.flushLoggedErrors(ZeroDivisionError))
        self.clock.advance(1.0)
        self.assertEqual(self.picture()["number"], 2)
        self.assertTrue(self.flushLoggedErrors(ZeroDivisionError))

    def test_the_summary_is_the_node_in_one_line(self) -> None:
        for value in (0.02, 0.02, 0.3):
            self.watch.stages.since_accepted["final"].observe(value)
        summary = json.loads(self.snapshots.newest().summary(private=True))
        self.assertEqual(summary["node"], self.context.node_key.public.hex())
        self.assertEqual((summary["final_p50"], summary["final_p99"]), (0.025, 0.5))
        self.assertEqual((summary["height"], summary["sessions"], summary["links"]), (0.0, 0.0, []))

    def test_a_failing_check_is_named_in_the_summary(self) -> None:
        self.context.running.node.gate.failure = "EIO"
        summary = json.loads(self.snapshots.newest().summary(private=False))
        self.assertEqual((summary["state"], summary["failing"]), ("failed", ["disk", "voting"]))


class Voters(SynchronousTestCase):
    def test_whose_votes_are_missing_is_told_by_place_of_those_with_weight(self) -> None:
        tallies = {
            number: SimpleNamespace(
                certified=number != 3, votes=SimpleNamespace(signers=dict.fromkeys(signers))
            )
            for number, signers in enumerate([(0, 1, 2), (0, 1), (1,), ()])
        }
        members = [SimpleNamespace(weight=weight) for weight in (1, 1, 1, 0)]
        path = SimpleNamespace(tallies=tallies, roster=SimpleNamespace(members=members))
        node: Any = SimpleNamespace(chain=SimpleNamespace(fastpath=path))
        self.assertEqual(votes_missing(node), {0: 1, 2: 2})


class Blocks(SynchronousTestCase):
    def setUp(self) -> None:
        self.bitmaps: dict[int, bytes] = {}

    def node(self, tip: int) -> tuple[Any, list[int]]:
        read: list[int] = []

        def certificate(height: int) -> Any:
            read.append(height)
            return SimpleNamespace(round=0, bitmap=self.bitmaps.get(height, b"\x05"))

        header = SimpleNamespace(hash=b"\x01", time=100, proposer=b"\x02")
        members = [SimpleNamespace(operator_key=bytes([number]), weight=1) for number in range(3)]
        ledger = SimpleNamespace(
            tip=SimpleNamespace(height=tip), header=lambda height: header, certificate=certificate,
            roster=lambda height: SimpleNamespace(members=members),
        )  # fmt: skip
        return SimpleNamespace(ledger=ledger), read

    def test_the_newest_are_shown_with_their_delay_and_signers(self) -> None:
        blocks = RecentBlocks()
        node, read = self.node(SHOWN + 5)
        blocks.published(events.BlockCertified(SHOWN + 5, b"", 100, (b"", b"", b""), True), 100_250_000)
        rows = blocks.rows(node)
        self.assertEqual([row["height"] for row in rows], list(range(6, SHOWN + 6)))
        self.assertEqual((rows[-1]["delay"], rows[-1]["payments"], rows[-1]["signers"]), (0.25, 2, [0, 2]))
        self.assertEqual((rows[0]["delay"], rows[0]["payments"]), (None, None))
        blocks.rows(node)
        self.assertEqual(len(read), SHOWN)

    def test_a_block_that_was_fetched_has_no_delay(self) -> None:
        blocks = RecentBlocks()
        node, _ = self.node(1)
        blocks.published(events.BlockCertified(1, b"", 100, (b"",), False), 9_000_000_000)
        self.assertEqual((blocks.rows(node)[0]["delay"], blocks.rows(node)[0]["payments"]), (None, 0))

    def test_certificates_without_a_signature_are_counted_up_to_the_first_that_has_it(self) -> None:
        blocks = RecentBlocks()
        self.bitmaps = {7: b"\x07", 10: b"\x03"}
        self.assertEqual(blocks.absent_in_a_row(self.node(9)[0]), {b"\x01": 2})
        self.assertEqual(blocks.absent_in_a_row(self.node(10)[0]), {b"\x02": 1})
        self.assertEqual(blocks.absent_in_a_row(self.node(11)[0]), {b"\x01": 1})

    def test_what_is_remembered_is_bounded(self) -> None:
        blocks = RecentBlocks()
        for height in range(1, 200):
            blocks.published(events.BlockCertified(height, b"", 100, (b"",), True), 100 * SECOND)
            blocks.rows(self.node(height)[0])
        self.assertEqual(
            (len(blocks._arrivals), len(blocks._rows), len(blocks._absent)), (SHOWN, SHOWN, SHOWN)
        )


class FakeRequest:
    """What a stream needs of a request."""

    def __init__(self) -> None:
        self.written = b""
        self.headers: dict[bytes, bytes] = {}
        self.producer: Any = None
        self.ended: Deferred[None] = Deferred()
        self.aborted = 0
        self.finished = 0
        self.channel = SimpleNamespace(transport=SimpleNamespace(abortConnection=self._abort))

    def _abort(self) -> None:
        self.aborted += 1
        self.ended.errback(Failure(ConnectionDone()))

    def setHeader(self, name: bytes, value: bytes) -> None:
        self.headers[name] = value

    def notifyFinish(self) -> Deferred[None]:
        return self.ended

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def write(self, data: bytes) -> None:
        self.written += data

    def finish(self) -> None:
        self.finished += 1
        self.ended.callback(None)

    def events(self, name: str) -> list[Any]:
        found = re.findall(rb"event: (\w+)\ndata: (.*)\n\n", self.written)
        return [json.loads(data) for kind, data in found if kind == name.encode()]


class Streams(PictureCase):
    def setUp(self) -> None:
        super().setUp()
        self.tail = LogTail()
        self.viewers = Viewers(self.clock, self.snapshots, self.tail)

    def open(self, *, private: bool = True) -> FakeRequest:
        request = FakeRequest()
        self.assertTrue(self.viewers.add(request, private=private))  # type: ignore[arg-type]
        return request

    def pass_seconds(self, count: int) -> None:
        self.clock.pump([EVERY_S] * count)

    def test_each_viewer_gets_a_picture_at_once_and_one_a_second(self) -> None:
        request = self.open()
        self.assertEqual(request.headers[b"Content-Type"], b"text/event-stream; charset=utf-8")
        self.pass_seconds(5)
        self.assertEqual([each["number"] for each in request.events("picture")], [1, 2, 3, 4, 5, 6])

    def test_pictures_are_taken_once_for_all_viewers(self) -> None:
        requests = [self.open() for _ in range(MAX_VIEWERS)]
        self.pass_seconds(3)
        self.assertEqual(self.snapshots.taken, 4)
        self.assertEqual({len(each.events("picture")) for each in requests}, {4})

    def test_one_more_than_there_are_places_is_refused(self) -> None:
        for _ in range(MAX_VIEWERS):
            self.open()
        self.assertFalse(self.viewers.add(FakeRequest(), private=True))  # type: ignore[arg-type]
        self.assertEqual(self.viewers.counters["refused"], 1)

    def test_strangers_leave_places_for_the_node_s_own_machine(self) -> None:
        """A page whose name was made to lead to 127.0.0.1 is no stranger to the network, and one here."""
        for _ in range(MAX_VIEWERS - KEPT):
            self.open(private=False)
        self.assertFalse(self.viewers.add(FakeRequest(), private=False))  # type: ignore[arg-type]
        for _ in range(KEPT):
            self.open(private=True)
        self.assertFalse(self.viewers.add(FakeRequest(), private=True))  # type: ignore[arg-type]

    def test_nobody_looking_means_that_nothing_runs(self) -> None:
        request = self.open()
        request.ended.errback(Failure(ConnectionDone()))
        self.pass_seconds(1)
        self.assertEqual((len(self.viewers), self.clock.getDelayedCalls()), (0, []))
        self.assertEqual(self.viewers.counters["lost"], 1)

    def test_a_slow_viewer_misses_pictures_and_gets_the_newest_later(self) -> None:
        request = self.open()
        request.producer.pauseProducing()
        self.pass_seconds(5)
        self.assertEqual(len(request.events("picture")), 1)
        self.assertEqual(self.viewers.counters["skipped"], 5)
        request.producer.resumeProducing()
        self.pass_seconds(1)
        self.assertEqual(len(request.events("picture")), 2)

    def test_a_viewer_that_does_not_read_is_cut_and_counted(self) -> None:
        request, other = self.open(), self.open()
        request.producer.pauseProducing()
        self.pass_seconds(int(PATIENCE_S) + 1)
        self.assertEqual((request.aborted, self.viewers.counters["cut"], len(self.viewers)), (1, 1, 1))
        self.assertEqual(other.aborted, 0)

    def test_log_lines_follow_once_each(self) -> None:
        self.tail.add(1.0, "info", "node", "before")
        request = self.open()
        self.tail.add(2.0, "warn", "peer", "after")
        self.pass_seconds(2)
        lines = [line["text"] for batch in request.events("log") for line in batch]
        self.assertEqual(lines, ["before", "after"])

    def test_strangers_get_no_log_line(self) -> None:
        self.tail.add(1.0, "info", "node", "connected with 10.1.2.3")
        request = self.open(private=False)
        self.pass_seconds(2)
        self.assertEqual(request.events("log"), [])
        self.assertNotIn(b"10.1.2.3", request.written)

    def test_stopping_ends_every_stream_and_the_timer(self) -> None:
        requests = [self.open(), self.open()]
        self.viewers.stop()
        self.assertEqual([each.finished for each in requests], [1, 1])
        self.assertEqual((len(self.viewers), self.clock.getDelayedCalls()), (0, []))


class Tail(SynchronousTestCase):
    def test_it_keeps_the_newest_lines_within_bounds(self) -> None:
        tail = LogTail()
        for number in range(MAX_TAIL + 7):
            tail.add(float(number), "info", "node", "x" * (MAX_LINE + 50))
        lines = tail.since(0)
        self.assertEqual((len(lines), lines[0].number), (MAX_TAIL, 7))
        self.assertEqual(len(lines[0].text), MAX_LINE + 1)
        self.assertEqual([line.number for line in tail.since(MAX_TAIL + 5)], [MAX_TAIL + 5, MAX_TAIL + 6])
        self.assertEqual(tail.since(MAX_TAIL + 7), [])


class Visibility(SynchronousTestCase):
    def test_names_of_the_loopback(self) -> None:
        for host in (b"127.0.0.1:9000", b"localhost", b"LOCALHOST:80", b"[::1]:9000", b"127.9.9.9"):
            self.assertTrue(is_loopback(host_named(host)), host)
        for host in (None, b"", b"node.example:9000", b"127.0.0.1.example", b"10.0.0.1", b"[2001:db8::1]:80"):
            self.assertFalse(is_loopback(host_named(host)), host)


class Page(SynchronousTestCase):
    def text(self) -> str:
        return "".join(path.read_text(encoding="utf-8") for path in sorted(PAGE.iterdir()))

    def test_every_metric_that_the_page_names_is_in_the_table(self) -> None:
        named = set(re.findall(r"\btimed_[a-z_]+\b", self.text()))
        self.assertTrue(named)
        self.assertEqual(named - {row.name for row in METRICS}, set())

    def test_labels_that_the_page_asks_for_are_those_of_the_metric(self) -> None:
        asked = re.findall(r'"(timed_[a-z_]+)", \{ (\w+):', self.text())
        self.assertTrue(asked)
        for metric, label in asked:
            self.assertIn(label, ROWS[metric].labels, metric)

    def test_nothing_is_fetched_from_elsewhere_and_nothing_runs_inline(self) -> None:
        html = (PAGE / "index.html").read_text(encoding="utf-8")
        self.assertEqual(re.findall(r'(?:src|href)="(?!/page/|#)[^"]*"', html), [])
        self.assertEqual(re.findall(r"<style|\sstyle=|\son\w+=|<script(?![^>]*src=)", html), [])
        self.assertEqual(re.findall(r"innerHTML|insertAdjacentHTML|eval\(|document\.write", self.text()), [])

    def test_every_module_that_is_imported_is_there(self) -> None:
        files = {path.name for path in PAGE.iterdir()}
        imported = set(re.findall(r'from "\./([\w.]+)"', self.text()))
        self.assertEqual(imported - files, set())

    def test_every_element_that_a_script_looks_up_is_in_the_page(self) -> None:
        html = (PAGE / "index.html").read_text(encoding="utf-8")
        ids = set(re.findall(r'\sid="([\w-]+)"', html))
        asked = set(re.findall(r'byId\("([\w-]+)"\)', self.text()))
        self.assertTrue(asked)
        self.assertEqual(asked - ids, set())

    def test_every_file_is_served(self) -> None:
        served = {path.decode() for path in assets()}
        self.assertEqual(
            served, {"/" if path.name == "index.html" else f"/page/{path.name}" for path in PAGE.iterdir()}
        )


class Http(ServiceTestCase):
    async def get(self, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
        answer: tuple[int, dict[str, str], bytes] = await self.in_thread(
            fetch, self.monitor_port, "GET", path, b"", headers
        )
        return answer

    async def test_the_page_comes_with_a_strict_policy(self) -> None:
        status, headers, body = await self.get("/")
        self.assertEqual((status, headers["content-type"]), (200, "text/html; charset=utf-8"))
        self.assertIn(b"<title>timed</title>", body)
        self.assertEqual(headers["content-security-policy"], HEADERS["Content_Security_Policy"])
        self.assertNotIn("unsafe", headers["content-security-policy"])
        self.assertEqual(
            (await self.get("/page/app.js"))[1]["content-type"], "text/javascript; charset=utf-8"
        )
        self.assertEqual((await self.get("/page/..%2fservice.py"))[0], 404)

    async def test_a_browser_here_sees_everything_and_a_name_from_elsewhere_does_not(self) -> None:
        """A page of another site, whose name leads to 127.0.0.1, must not read names and addresses."""
        local = json.loads((await self.get("/snapshot"))[2])
        self.assertIsNone(local["withheld"])
        for headers in (
            {"Host": "evil.example"},
            {"X-Forwarded-For": "192.0.2.1"},
            {"Forwarded": "for=192.0.2.1"},
        ):
            seen = json.loads((await self.get("/snapshot", **headers))[2])
            self.assertIsNone(seen["details"], headers)
            self.assertNotIn("links", json.loads((await self.get("/summary", **headers))[2]), headers)
            self.assertEqual((await self.get("/explain?peer=x", **headers))[0], 403)
            self.assertEqual((await self.get("/log", **headers))[0], 403)

    async def test_log_lines_are_told_from_a_number_on(self) -> None:
        for number in range(3):
            self.context.log_tail.add(float(number), "info", "node", f"line {number}")
        _, _, body = await self.get("/log?since=1")
        self.assertEqual([line["text"] for line in json.loads(body)["lines"]], ["line 1", "line 2"])
        self.assertEqual(len(json.loads((await self.get("/log"))[2])["lines"]), 3)
        for since in ("-1", "x", "1" * 16, ""):
            self.assertEqual((await self.get(f"/log?since={since}"))[0], 400, since)

    async def test_the_stream_begins_at_once_and_ends_with_the_service(self) -> None:
        request = b"GET /live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        stream = self.in_thread(exchange_raw, self.monitor_port, request)
        await self.opened(lambda: len(self.monitor.viewers) == 1)
        await self.monitor.disownServiceParent()
        received = await stream
        self.assertIn(b"event: picture\ndata: {", received)
        self.assertEqual((len(self.monitor.viewers), self.monitor.viewers.counters["closed"]), (0, 1))

    async def test_who_asks_while_it_stops_begins_no_stream(self) -> None:
        held: Deferred[None] = Deferred()
        self.patch(self.monitor.command, "stop", lambda: held)
        late = socket.create_connection(("127.0.0.1", self.monitor_port))
        self.addCleanup(late.close)
        site = self.monitor._site
        await self.opened(lambda: site is not None and site.connections == 1)
        stopping = self.monitor.disownServiceParent()
        await deferLater(reactor, 0.1)  # type: ignore[arg-type]
        late.sendall(b"GET /live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        await deferLater(reactor, 0.1)  # type: ignore[arg-type]
        self.assertEqual((len(self.monitor.viewers), self.monitor.viewers.ticker.alive), (0, False))
        held.callback(None)
        await stopping

    async def test_a_browser_that_reads_nothing_is_cut_however_much_the_system_buffers(self) -> None:
        self.patch(viewers, "EVERY_S", 0.005)
        self.patch(viewers, "PATIENCE_S", 0.1)
        deaf = socket.socket()
        self.addCleanup(deaf.close)
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(("127.0.0.1", self.monitor_port))
        deaf.sendall(b"GET /live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        counters = self.monitor.viewers.counters
        await self.opened(lambda: counters["cut"] == 1)
        await self.opened(lambda: len(self.monitor.viewers) == 0)
        self.assertEqual((counters["opened"], counters["lost"]), (1, 1))
        self.assertGreater(counters["skipped"], 0)

    async def test_a_page_of_another_site_gets_nothing_but_the_page_itself(self) -> None:
        """Every path that there is, with every sign of a foreign page: none tells it anything, none is forgotten."""
        local = {"Host": f"127.0.0.1:{self.monitor_port}"}
        foreign = (
            {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "https://evil.example"},
            {"Origin": "null"}, {"Origin": f"http://127.0.0.1:{self.monitor_port}", "Sec-Fetch-Site": "cross-site"},
        )  # fmt: skip
        answers, files = set(self.monitor._answers), set(self.monitor._assets)
        self.assertGreaterEqual(
            answers, {b"/live", b"/snapshot", b"/summary", b"/explain", b"/log", b"/health"}
        )
        for headers in foreign:
            for path in sorted(answers | {b"/nothing"}):
                answer = await self.in_thread(
                    fetch, self.monitor_port, "GET", path.decode(), b"", {**local, **headers}
                )
                self.assertEqual((answer[0], answer[2]), (403, FOREIGN), (path, headers))
            for path in sorted(files):
                answer = await self.in_thread(
                    fetch, self.monitor_port, "GET", path.decode(), b"", {**local, **headers}
                )
                self.assertEqual((answer[0], answer[2]), (200, self.monitor._assets[path].body), path)
        counters = self.monitor.viewers.counters
        self.assertEqual(counters["foreign"], len(foreign) * (len(answers) + 1))
        self.assertEqual(len(self.monitor.viewers), 0)

    async def test_its_own_page_and_a_tool_get_what_they_ask_for(self) -> None:
        local = {"Host": f"127.0.0.1:{self.monitor_port}"}
        own = (
            {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"},
            {"Origin": f"http://127.0.0.1:{self.monitor_port}"}, {},
        )  # fmt: skip
        for number, headers in enumerate(own, 1):
            await self.in_thread(self.look, {**local, **headers})
            self.assertEqual(self.monitor.viewers.counters["opened"], number)
            answer = await self.in_thread(fetch, self.monitor_port, "GET", "/log", b"", {**local, **headers})
            self.assertEqual(answer[0], 200, headers)

    def look(self, headers: dict[str, str]) -> None:
        """Open the stream, read its first bytes and leave."""
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        with socket.create_connection(("127.0.0.1", self.monitor_port), timeout=60) as raw:
            raw.sendall(f"GET /live HTTP/1.1\r\n{lines}\r\n".encode())
            self.assertIn(b" 200 ", raw.recv(100))

    async def test_explain_is_the_rpc_s_answer(self) -> None:
        desk = SimpleNamespace(dispatcher=self.rpc.dispatcher)
        self.context.desk = desk
        own = self.context.node_key.public.hex()
        status, _, body = await self.get(f"/explain?peer={own}")
        self.assertEqual((status, json.loads(body)["result"]["summary"]), (200, "this is this node itself"))
        error = json.loads((await self.get("/explain?peer=nobody"))[2])["error"]
        self.assertEqual(error["data"]["rule"], "peer-unknown")
        self.context.desk = None
        self.assertEqual((await self.get("/explain?peer=x"))[0], 503)

    async def test_a_bug_in_explain_is_answered_and_logged(self) -> None:
        async def answer(body: bytes, caller: object) -> None:
            raise ZeroDivisionError

        self.context.desk = SimpleNamespace(dispatcher=SimpleNamespace(answer=answer))
        asked: Any = self.in_thread(fetch, self.monitor_port, "GET", "/explain?peer=x")
        self.assertEqual((await asked.addTimeout(10, self.context.reactor))[0], 500)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    async def test_a_monitor_that_stands_still_is_said_to_raise_no_alert(self) -> None:
        remedies = {standing.loop.name: standing.loop.remedy for standing, _ in self.context.loops}
        self.assertIn("no alert is raised", remedies["monitor"])
        self.assertNotIn("alert", remedies["lateness"] + remedies["dashboard"])

    async def test_the_time_of_each_method_is_a_distribution(self) -> None:
        body = b'{"id": 1, "method": "getblockcount"}'
        await self.in_thread(fetch, self.rpc_port, "POST", "/", body, self.authorization())
        picture = json.loads((await self.get("/snapshot"))[2])
        (spread,) = picture["spreads"]["timed_rpc_seconds"]
        self.assertEqual((spread["labels"], sum(spread["counts"])), ({"method": "getblockcount"}, 1))

    async def opened(self, probe: Callable[[], bool]) -> None:
        from twisted.internet import reactor, task

        while not probe():
            await task.deferLater(reactor, 0.01)


class Histograms(SynchronousTestCase):
    def test_a_spread_of_a_histogram_that_grew_holds_the_difference(self) -> None:
        histogram = Histogram((0.1, 1.0))
        histogram.observe(0.05)
        before = Spread(histogram.bounds, tuple(histogram.counts), histogram.sum)
        histogram.observe(0.5)
        after = Spread(histogram.bounds, tuple(histogram.counts), histogram.sum)
        self.assertEqual(after.since(before), Spread((0.1, 1.0), (0, 1, 0), 0.5))
