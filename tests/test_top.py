"""`timed-top`: frames of any width out of the dashboard's pictures, one frame and out, and a node that goes away."""

from __future__ import annotations

import http.server
import io
import json
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from rich.console import Console
from twisted.trial.unittest import SynchronousTestCase

from tests.rpc_service import ServiceTestCase
from tests.test_monitor_dashboard import PictureCase
from timed.errors import LocalError
from timed.testnet.layout import State as Network
from timed.top import main as program
from timed.top import reading, source
from timed.top.frame import MAX_LINES, SORTS, State, frame
from timed.top.loop import once, watch
from timed.top.source import Place, Source, Unreachable, place_of

EVIL = "\x1b]0;owned\x07\x1b[31mred"


def drawn(state: State, now: float = 0.0, *, width: int = 120, height: int | None = None) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, highlight=False, emoji=False, markup=False)
    console.print(frame(state, now, width=width, height=height))
    return out.getvalue()


def peer(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "id": number, "node": f"{number:064x}", "address": f"10.0.0.{number}:7000", "outbound": False,
        "software": "timed/1", "ping": number / 1000, "in_rate": 10.0 * number, "out_rate": None,
        "queued": 0, "clock": None, "score": 0.0, "age": 60.0, **fields,
    }  # fmt: skip


def line(number: int, text: str = "block", level: str = "info") -> dict[str, Any]:
    return {"number": number, "time": 1.0, "level": level, "namespace": "node", "text": text}


class Frames(PictureCase):
    def setUp(self) -> None:
        super().setUp()
        self.state = State()
        self.shown = self.picture()
        self.clock.advance(2)
        self.state.heard(self.picture(), [line(0)], 0.0)
        assert self.state.picture is not None
        self.shown = self.state.picture

    def put_peers(self, *rows: dict[str, Any]) -> None:
        self.shown["details"]["peers"] = {"count": len(rows), "rows": list(rows)}

    def test_it_shows_the_node_its_work_and_its_log(self) -> None:
        text = drawn(self.state)
        for word in ("regtest", "height 0", "next block", "may lie 0", "memory", "RPC method", "node: block"):
            self.assertIn(word, text)
        self.assertIn(" ok ", text.splitlines()[0])

    def test_weight_that_lacks_for_a_quorum_is_said_to_lack(self) -> None:
        for margin, words in ((2, "may go 2"), (0, "may go 0"), (-1, "lacking 1")):
            self.shown["metrics"]["timed_quorum_margin"] = [{"labels": {}, "value": margin}]
            self.assertIn(words, drawn(self.state))

    def test_no_line_is_wider_than_the_terminal(self) -> None:
        self.put_peers(*(peer(number) for number in range(1, 30)))
        self.state.lines.append(line(1, "x" * 500))
        for width in (40, 60, 80, 100, 200):
            longest = max(len(each) for each in drawn(self.state, width=width).splitlines())
            self.assertLessEqual(longest, width)

    def test_a_low_terminal_shows_fewer_peers_and_says_how_many_more(self) -> None:
        self.put_peers(*(peer(number) for number in range(1, 201)))
        text = drawn(self.state, width=120, height=40)
        self.assertLessEqual(len(text.splitlines()), 40)
        self.assertRegex(text, r"and 1\d\d more")

    def test_peers_are_sorted_by_each_column_in_turn_and_what_is_not_known_stands_last(self) -> None:
        self.put_peers(peer(2), peer(1), peer(3, ping=None))
        orders = {}
        for number, (name, _) in enumerate(SORTS):
            self.state.sort = number
            orders[name] = [word for word in drawn(self.state).split() if word.startswith("10.0.0.")]
        self.assertEqual(orders["address"], [f"10.0.0.{number}:7000" for number in (1, 2, 3)])
        self.assertEqual(orders["ping"], [f"10.0.0.{number}:7000" for number in (2, 1, 3)])
        self.assertEqual(orders["in"], [f"10.0.0.{number}:7000" for number in (3, 2, 1)])

    def test_nothing_that_a_terminal_obeys_comes_from_peers_nodes_or_lines(self) -> None:
        self.put_peers(peer(1, software=EVIL, address=EVIL))
        self.shown["nodes"][0]["summary"]["name"] = EVIL
        self.shown["nodes"].append(
            {"own": False, "address": EVIL, "age": 0.0, "error": EVIL, "summary": None}
        )
        self.shown["details"]["members"]["rows"][0].update(name=EVIL, connected=False)
        self.state.lines.append(line(1, EVIL))
        text = drawn(self.state)
        self.assertNotIn("\x1b", text)
        self.assertNotIn("\x07", text)
        self.assertIn("owned", text)
        self.assertIn("1 member is not connected: ", text)

    def test_old_data_is_said_to_be_old_with_the_reason(self) -> None:
        self.state.error = "connection refused"
        first = drawn(self.state, now=12.0).splitlines()[0]
        self.assertIn("no data for 12 s  connection refused", first)
        self.assertNotIn(" ok ", first)

    def test_alerts_stand_on_top_with_their_remedy(self) -> None:
        alert = {
            "name": "disk-space",
            "severity": "critical",
            "summary": "only 5 bytes are free",
            "remedy": "Free space.",
        }
        self.shown["alerts"]["active"] = [alert]
        self.assertEqual(drawn(self.state).splitlines()[1], "disk-space: only 5 bytes are free. Free space.")

    def test_nodes_stand_side_by_side_and_a_dead_one_says_since_when(self) -> None:
        summary = {
            **self.shown["nodes"][0]["summary"],
            "name": "node-2",
            "height": 7.0,
            "failing": ["peers"],
            "state": "degraded",
        }
        self.shown["nodes"].append(
            {"own": False, "address": "h:1", "age": 1.0, "error": None, "summary": summary}
        )
        self.shown["nodes"].append(
            {"own": False, "address": "h:2", "age": 9.0, "error": "connection refused", "summary": None}
        )
        text = drawn(self.state)
        self.assertRegex(text, r"node-2 +degraded: peers +7")
        self.assertRegex(text, r"h:2 +connection refused, for 9s")

    def test_what_is_withheld_is_said(self) -> None:
        self.state.heard(self.picture(private=False), [], 0.0)
        self.assertIn("on the node's own machine only", drawn(self.state))

    def test_lines_are_bounded(self) -> None:
        for number in range(MAX_LINES + 50):
            self.state.heard(self.shown, [line(number)], 0.0)
        self.assertEqual(len(self.state.lines), MAX_LINES)

    def test_lines_that_are_told_again_after_a_pause_stand_there_once(self) -> None:
        for told in ([line(1)], [], [line(0), line(1), line(2)]):
            self.state.heard(self.shown, told, 0.0)
        self.assertEqual([each["number"] for each in self.state.lines], [0, 1, 2])

    def test_without_a_chain_there_is_a_frame(self) -> None:
        self.context.running = None
        self.clock.advance(2)
        self.state.heard(self.picture(), [], 0.0)
        self.assertIn("failed", drawn(self.state))


class Figures(SynchronousTestCase):
    def test_bars_reach_from_nothing_to_the_highest(self) -> None:
        self.assertEqual(reading.bars([0, 0.001, 4, 8, None]), " ▁▄█ ")
        self.assertEqual(reading.bars([1], top=8), "▁")
        self.assertEqual(reading.bars([None, 0]), "  ")

    def test_bounds_are_written_exactly(self) -> None:
        spread = {"bounds": [0.0025, 30.0], "counts": [1, 0, 0], "p50": 0.0025, "p99": None}
        self.assertEqual(
            (reading.percentile(spread, "p50"), reading.percentile(spread, "p99")), ("≤2.5ms", ">30s")
        )
        self.assertEqual(reading.percentile({**spread, "counts": [0, 0, 0]}, "p50"), "-")

    def test_metrics_that_the_frame_names_are_in_the_table(self) -> None:
        import re

        from timed.monitor.metrics import ROWS

        text = Path(program.__file__).with_name("frame.py").read_text(encoding="utf-8")
        named = set(re.findall(r'"(timed_[a-z_0-9]+)"', text))
        self.assertTrue(named)
        self.assertEqual(named - set(ROWS), set())


class Sources(SynchronousTestCase):
    def serve(self, status: int, body: bytes) -> Place:
        """A server that answers everything so."""

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: Any) -> None:
                """Silent."""

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return Place("127.0.0.1", server.server_address[1])

    def test_whatever_is_no_monitor_is_named_and_never_a_traceback(self) -> None:
        for status, body in ((200, b"<html>"), (200, b"[]"), (200, b"{}"), (200, b"[" * 100_000), (404, b"")):
            self.assertRaises(Unreachable, Source([self.serve(status, body)]).picture)

    def test_an_answer_that_is_too_long_is_called_that(self) -> None:
        self.patch(source, "MAX_BYTES", 2**20)
        error = self.assertRaises(Unreachable, Source([self.serve(200, b" " * (2**20 + 1))]).picture)
        self.assertIn("its answer is longer than 1 MiB", str(error))

    def test_the_next_node_is_asked_when_one_does_not_answer(self) -> None:
        good = self.serve(200, json.dumps({"nodes": [], "metrics": {}}).encode())
        dead = Place("127.0.0.1", 1)
        source = Source([dead, good])
        self.assertEqual(source.picture()["nodes"], [])
        self.assertEqual(source.place, good)

    def test_nobody_answering_is_the_reason_of_the_first(self) -> None:
        error = self.assertRaises(Unreachable, Source([Place("127.0.0.1", 1), Place("127.0.0.1", 2)]).picture)
        self.assertEqual(str(error), "127.0.0.1:1: connection refused")

    def test_places_are_written_as_one_types_them(self) -> None:
        self.assertEqual(place_of("http://127.0.0.1:9000/"), Place("127.0.0.1", 9000))
        self.assertEqual(str(place_of("[::1]:9000")), "[::1]:9000")
        self.assertRaises(LocalError, place_of, "nowhere")


class Program(SynchronousTestCase):
    def run_main(self, *words: str) -> tuple[int, str]:
        err = io.StringIO()
        with mock.patch.object(sys, "stderr", err), mock.patch.object(sys, "stdout", io.StringIO()):
            error = self.assertRaises(SystemExit, program.main, words)
        return int(error.code or 0), err.getvalue()

    def test_a_node_that_is_not_there_is_one_sentence(self) -> None:
        self.assertEqual(
            self.run_main("127.0.0.1:1", "--once"), (1, "timed-top: 127.0.0.1:1: connection refused\n")
        )

    def test_no_terminal_is_told_of_once(self) -> None:
        self.assertEqual(self.run_main("127.0.0.1:1"), (1, "timed-top: this is no terminal. Use --once.\n"))

    def test_without_rich_it_says_how_to_get_it(self) -> None:
        with mock.patch.dict(sys.modules, {"rich": None, "rich.console": None}):
            del sys.modules["timed.top.loop"]
            status, text = self.run_main("--once")
        self.assertEqual((status, "pip install" in text), (1, True))

    def test_the_port_is_the_configuration_s(self) -> None:
        options = program.arguments().parse_args(["--node-id", "2"])
        self.assertEqual(program.places(options), [Place("127.0.0.1", 9001)])

    def test_the_nodes_of_a_test_network_are_asked_in_their_order(self) -> None:
        state = Network(1, "/net", {"node-1": 5, "node-2": 6}, {"node-1": ["r", "http://127.0.0.1:1"], "node-2": ["r", "http://127.0.0.1:2"]})  # fmt: skip
        self.patch(program, "networks", lambda: iter([(Path("x"), state)]))
        self.patch(program, "living_nodes", lambda state: {"node-2": 6})
        options = program.arguments().parse_args(["--testnet"])
        self.assertEqual(program.places(options), [Place("127.0.0.1", 2)])
        self.patch(program, "living_nodes", lambda state: {})
        self.assertRaises(LocalError, program.places, options)


class Loop(PictureCase):
    """The terminal's loop, with keys and pictures of the test."""

    def run_loop(self, keys: list[str], pictures: list[Any]) -> list[str]:
        out = io.StringIO()
        console = Console(file=out, width=100, height=30, force_terminal=True, highlight=False, markup=False)
        test = self

        class Stub:
            def picture(self) -> Any:
                found = pictures.pop(0) if pictures else Unreachable("gone")
                if isinstance(found, Exception):
                    raise found
                return found

            def lines(self) -> list[Any]:
                return [line(0)]

        def key(seconds: float) -> str:
            test.assertLessEqual(seconds, 1.0)
            return keys.pop(0)

        watch(Stub(), key, 1.0, console)  # type: ignore[arg-type]
        self.assertEqual(keys, [])
        return out.getvalue().split("\x1b[H")

    def test_q_ends_it_and_s_sorts(self) -> None:
        frames = self.run_loop(["", "s", "q"], [self.picture(), self.picture()])
        self.assertIn("peer*", frames[-2])
        self.assertIn("ping*", frames[-1])

    def test_a_node_that_goes_away_is_waited_for(self) -> None:
        frames = self.run_loop(["", "", "q"], [self.picture(), Unreachable("gone"), self.picture()])
        self.assertTrue(any("no data for" in each and "gone" in each for each in frames))
        self.assertNotIn("no data for", frames[-1])


class Real(ServiceTestCase):
    async def in_loop(self, func: Callable[..., Any], *args: Any) -> Any:
        return await self.in_thread(func, *args)

    async def test_one_frame_of_a_real_monitor(self) -> None:
        self.context.log_tail.add(1.0, "warn", "peer", "something to see")
        source, out, slept = Source([Place("127.0.0.1", self.monitor_port)]), io.StringIO(), []
        await self.in_loop(once, source, out, 1.0, slept.append)
        text = out.getvalue()
        self.assertIn("regtest", text)
        self.assertEqual(text.count("something to see"), 1)
        self.assertEqual((slept, "\x1b" in text), ([1.0], False))

    async def test_lines_are_asked_from_the_last_one_on(self) -> None:
        source = Source([Place("127.0.0.1", self.monitor_port)])
        tail = self.context.log_tail
        tail.add(1.0, "info", "a", "one")
        first = await self.in_loop(source.lines)
        tail.add(1.0, "info", "a", "two")
        second = await self.in_loop(source.lines)
        self.assertEqual([[each["text"] for each in lines] for lines in (first, second)], [["one"], ["two"]])
        self.assertEqual(await self.in_loop(source.lines), [])
