"""`timed-testnet verify`: what it says of two ways of carrying the same messages."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import attrs
from twisted.trial.unittest import SynchronousTestCase

from timed.app.config import load
from timed.bench.cluster import configure
from timed.testnet.comparison import ROWS, Comparison, Way, ratio
from timed.testnet.layout import make_network
from timed.testnet.main import main
from timed.testnet.page import page
from timed.testnet.verify import NEW_WAY, OLD_WAY

BEFORE = Way(
    log_lines=20_000, cpu=30.0, bytes=12_000_000, broadcast_p50_ms=600.0, reconnects=0,
    sync_blocks_per_s=40.0, seconds=60.0, hot_bytes={"TransactionVote": 600, "BlockVote": 580},
)  # fmt: skip
AFTER = Way(
    log_lines=40, cpu=15.0, bytes=4_000_000, broadcast_p50_ms=6.0, reconnects=0,
    sync_blocks_per_s=80.0, seconds=60.0, hot_bytes={"TransactionVote": 180, "BlockVote": 163},
)  # fmt: skip
MACHINE: dict[str, object] = {
    "cpu": "a <processor>",
    "system": "Linux",
    "python": "CPython",
    "date": "2026-01-01",
}


class Ratios(SynchronousTestCase):
    def test_are_after_divided_by_before(self) -> None:
        self.assertEqual(ratio(20.0, 5.0), 0.25)

    def test_nothing_that_stays_nothing_is_unchanged(self) -> None:
        self.assertEqual(ratio(0, 0), 1.0)

    def test_something_out_of_nothing_has_no_ratio(self) -> None:
        self.assertIsNone(ratio(0, 3))


class Verdict(SynchronousTestCase):
    def missed(self, before: Way = BEFORE, after: Way = AFTER) -> list[str]:
        return [goal.what for goal in Comparison(1000, before, after).goals() if not goal.reached]

    def test_everything_reached_holds(self) -> None:
        self.assertEqual(self.missed(), [])
        self.assertTrue(Comparison(1000, BEFORE, AFTER).held)

    def test_each_goal_can_be_missed_alone(self) -> None:
        worse = {
            "log lines after / before": {"log_lines": 2_001},
            "CPU after / before": {"cpu": 24.1},
            "broadcast, times faster": {"broadcast_p50_ms": 12.1},
            "bytes of a hot message after / before, worst": {
                "hot_bytes": {"TransactionVote": 180, "BlockVote": 291}
            },
            "reconnects": {"reconnects": 1},
            "payments lost": {"missing": 1},
        }
        for goal, change in worse.items():
            self.assertEqual(self.missed(after=attrs.evolve(AFTER, **change)), [goal])
        self.assertEqual(
            {goal.what for goal in Comparison(1000, BEFORE, AFTER).goals()},
            set(worse),
            "a goal without a test",
        )

    def test_what_came_out_of_nothing_is_missed(self) -> None:
        before = attrs.evolve(BEFORE, log_lines=0, cpu=0.0)
        self.assertEqual(self.missed(before), ["log lines after / before", "CPU after / before"])
        self.assertIn("inf", "\n".join(Comparison(1000, before, AFTER).lines()))

    def test_the_last_line_holds_both_ways_and_their_ratios(self) -> None:
        keys = {"log_lines", "cpu", "bytes", "broadcast_p50_ms", "reconnects", "sync_blocks_per_s"}
        line = json.loads(Comparison(1000, BEFORE, AFTER).last_line())
        self.assertLessEqual(keys, line["before"].keys() & line["after"].keys())
        self.assertEqual(line["ratios"].keys(), keys)
        self.assertEqual(line["ratios"]["sync_blocks_per_s"], 2.0)
        self.assertEqual(line["ratios"]["log_lines"], 0.002)

    def test_the_table_shows_every_figure(self) -> None:
        text = "\n".join(Comparison(1000, BEFORE, AFTER).lines())
        for row in ROWS:
            self.assertIn(row.title, text)
        self.assertIn("bytes of a BlockVote", text)


class Outline(HTMLParser):
    """Counts what is open, and collects what loads from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.foreign: list[str] = []
        self.bars: list[int] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag not in ("meta", "rect"):
            self.open.append(tag)
        if tag == "rect":
            self.bars.append(int(found["width"] or 0))
        self.foreign += [value for name, value in attrs if name in ("src", "href") and value]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if self.open.pop() != tag:
            raise AssertionError(f"</{tag}> closes something else")


class Page(SynchronousTestCase):
    def test_is_whole_and_loads_nothing_from_elsewhere(self) -> None:
        outline = Outline()
        outline.feed(page(Comparison(1000, BEFORE, AFTER), MACHINE))
        self.assertEqual((outline.open, outline.foreign), ([], []))

    def test_bars_are_as_long_as_their_figures(self) -> None:
        outline = Outline()
        outline.feed(page(Comparison(1000, BEFORE, AFTER), MACHINE))
        self.assertEqual(len(outline.bars), 2 * len(ROWS))
        cpu = 2 * [row.key for row in ROWS].index("cpu")
        self.assertEqual(outline.bars[cpu], 2 * outline.bars[cpu + 1])

    def test_says_what_was_missed_and_escapes_what_is_not_ours(self) -> None:
        text = page(Comparison(1000, BEFORE, attrs.evolve(AFTER, cpu=29.0)), MACHINE)
        self.assertEqual(len(re.findall('class="missed"', text)), 1)
        self.assertIn("a &lt;processor&gt;", text)


class Command(SynchronousTestCase):
    def test_refuses_a_report_where_no_directory_is_before_it_measures(self) -> None:
        with self.assertRaises(SystemExit) as stopped:
            main(["verify", "--report", str(Path(self.mktemp()) / "none" / "page.html")])
        self.assertEqual(stopped.exception.code, 1)

    def test_refuses_an_absurd_number_of_messages(self) -> None:
        for count in ("0", "-5", "1000001"):
            with self.assertRaises(SystemExit) as stopped:
                main(["verify", "--messages", count])
            self.assertEqual(stopped.exception.code, 2)

    def test_the_ways_differ_by_configuration_that_every_node_accepts(self) -> None:
        for settings, chosen in (
            (OLD_WAY, ("json", False, False, True)),
            (NEW_WAY, ("binary", True, True, False)),
        ):
            plan = make_network(Path(self.mktemp()).absolute(), 3, 3, 1)
            configure(plan, settings)
            for node in (*plan.nodes, plan.late):
                found = load(str(node.ini)).settings
                p2p = found.p2p
                self.assertEqual((p2p.encoding, p2p.batching, p2p.priorities, found.log.messages), chosen)
