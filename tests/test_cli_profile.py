"""`timed-cli profile`: tables, a flame graph, and nothing of a name that a browser would take for markup."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from twisted.trial.unittest import SynchronousTestCase

from timed.cli import flame, flamepage, profile
from timed.cli.options import Options
from timed.client.blocking import Client
from timed.errors import LocalError

SVG = "{http://www.w3.org/2000/svg}"
EVIL = '<script>alert("&1")</script>\x1b[31m (timed/x.py:1)'


def answer(**other: Any) -> dict[str, Any]:
    """What a node might say."""
    frames = ["main (twisted/a.py:1)", "loop (twisted/a.py:2)", "work (timed/n.py:3)", EVIL]
    return {
        "process": "node", "seconds": 10.0, "hz": 100, "looks": 990, "missed": 2, "cost": 0.05, "cpu": 5.0,
        "threads": [
            {"name": "reactor", "samples": 990, "waiting": 890, "cpu": 4.0},
            {"name": "timed-store-0", "samples": 990, "waiting": 990, "cpu": None},
        ],
        "frames": frames,
        "stacks": [
            {"thread": "reactor", "frames": [0, 1, 2], "samples": 60},
            {"thread": "reactor", "frames": [0, 1, 2, 3], "samples": 30},
            {"thread": "reactor", "frames": [0, 1], "samples": 10},
        ],
        "beyond": 3,
        "messages": [{"type": "BlockVote", "cpu": 1.5, "count": 300}, {"type": "Ack", "cpu": 0.0, "count": 0}],
        "calls": [{"call": "received", "cpu": 1.2}],
        "methods": [{"method": "getblock", "cpu": 0.5, "count": 7}],
        "pauses": [{"generation": 0, "count": 2, "seconds": 0.01}],
        "slow": [{"time": 1.0, "seconds": 0.2, "doing": "act", "functions": ["f", "f", "g"], "stack": []}],
        **other,
    }  # fmt: skip


class Drawing(SynchronousTestCase):
    def bars(self, found: dict[str, Any]) -> dict[str, Any]:
        text = profile.document(found, ".svg", "today")
        root = ElementTree.fromstring(text)
        return {bar.get("data-name"): bar for bar in root.iter(f"{SVG}g")}

    def test_a_bar_is_as_wide_as_its_share_and_lies_below_its_caller(self) -> None:
        bars = self.bars(answer())
        shares = {name: (float(bar.get("data-w")), float(bar.get("data-l"))) for name, bar in bars.items()}
        self.assertEqual(shares["reactor"], (1.0, 0.0))
        self.assertEqual(shares["work (timed/n.py:3)"], (0.9, 0.0))
        self.assertEqual(shares[EVIL.replace("\x1b", "\\x1b")], (0.3, 0.0))
        self.assertEqual(bars["work (timed/n.py:3)"].get("data-d"), "3")

    def test_the_way_that_all_stacks_of_a_thread_share_is_left_out_but_for_its_end(self) -> None:
        self.assertNotIn("main (twisted/a.py:1)", self.bars(answer()))
        self.assertIn("loop (twisted/a.py:2)", self.bars(answer()))

    def test_names_are_text_whatever_is_in_them(self) -> None:
        for suffix in (".svg", ".html"):
            text = profile.document(answer(process="<b>"), suffix, "today")
            self.assertNotIn("<script>alert", text)
            self.assertIn("&lt;script&gt;alert(&quot;&amp;1&quot;)", text)
            self.assertNotIn("\x1b", text)

    def test_nothing_comes_from_another_host(self) -> None:
        text = profile.document(answer(), ".html", "today")
        self.assertEqual(
            text.count("http"), text.count("http://www.w3.org/2000/svg") + text.count("http-equiv")
        )
        self.assertIn("default-src 'none'", text)

    def test_what_is_too_narrow_is_counted_and_not_drawn(self) -> None:
        root = flame.tree([("reactor", ["a (timed/a.py:1)"], 100_000), ("reactor", ["b (timed/a.py:2)"], 1)])
        placed, narrow = flame.place(root)
        self.assertEqual(([each.bar.name[0] for each in placed], narrow), (["a", "r", "a"], 1))
        self.assertIn("1 bars are too narrow", flame.svg(root, "x"))

    def test_an_idle_node_has_a_graph_without_bars(self) -> None:
        root = ElementTree.fromstring(profile.document(answer(stacks=[], frames=[]), ".svg", "today"))
        self.assertEqual(list(root.iter(f"{SVG}g")), [])

    def test_a_name_is_cut_to_its_room(self) -> None:
        self.assertEqual(flame.fitting("work (timed/n.py:3)", 500), "work (timed/n.py:3)")
        self.assertEqual(flame.fitting("work (timed/n.py:3)", 40), "work")
        self.assertEqual(flame.fitting("workers", 40), "work…")
        self.assertEqual(flame.fitting("workers", 10), "")

    def test_functions_have_their_owner(self) -> None:
        names = ("f (timed/a.py:1)", "f (twisted/a.py:1)", "f (python3.11/a.py:1)", "reactor")
        self.assertEqual([flame.kind_of(name) for name in names], ["ours", "library", "python", "thread"])

    def test_folded_stacks_are_for_other_tools(self) -> None:
        text = profile.document(answer(), ".txt", "today")
        self.assertIn("reactor;main (twisted/a.py:1);loop (twisted/a.py:2) 10\n", text)

    def test_no_name_of_a_thread_is_obeyed_by_a_terminal(self) -> None:
        evil = {"thread": "a\x1b[2J\nb", "frames": [0], "samples": 1}
        text = profile.document({**answer(), "stacks": [evil]}, ".txt", "today")
        self.assertEqual((text.count("\n"), "\x1b" in text), (1, False))


class Words(SynchronousTestCase):
    def test_the_terminal_shows_what_took_the_time(self) -> None:
        lines = profile.text(answer()).split("\n")
        self.assertEqual(lines[0], "node: 10.0 s, 0.50 cores busy, looked 990 times")
        self.assertIn("  60.0 %      90.0 %  work (timed/n.py:3)", lines)
        self.assertIn("  BlockVote     15.0 %       300", lines)
        self.assertIn("  getblock      5.0 %      7", lines)
        self.assertIn("           200  act    f, g", lines)
        self.assertTrue(any(line.startswith("3 samples were in more") for line in lines))
        self.assertFalse(any("Ack" in line for line in lines))
        self.assertNotIn("\x1b", "\n".join(lines))

    def test_without_a_monitor_there_is_no_table_of_slow_turns(self) -> None:
        titles = [section.title for section in profile.sections(answer(slow=None))]
        self.assertNotIn("Slow turns of the reactor", titles)

    def test_numbers_stand_to_the_right(self) -> None:
        for cell, expected in (
            ("1,234", True),
            ("5.0 %", True),
            ("?", True),
            ("act", False),
            ("1.2.x", False),
        ):
            self.assertEqual(flamepage.is_number(cell), expected, cell)


class Command(SynchronousTestCase):
    def run_profile(self, *words: str, found: dict[str, Any] | None = None) -> tuple[str, list[Any]]:
        """Standard output and what was asked with which patience."""
        asked: list[Any] = []

        def call(client: Client, method: str, *params: object) -> dict[str, Any]:
            asked.append((method, params, client._timeout_s))
            return found or answer()

        self.patch(Client, "call", call)
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            profile.main([*words, "--datadir", self.mktemp()], Options())
        return out.getvalue(), asked

    def test_the_answer_is_waited_for_longer_than_the_profile_takes(self) -> None:
        _, [(method, params, patience)] = self.run_profile("--seconds", "30", "--hz", "50")
        self.assertEqual((method, params, patience), ("getprofile", (30, 50), 30 + profile.PATIENCE_S))

    def test_it_writes_the_kind_of_file_that_the_name_says_and_none_twice(self) -> None:
        for suffix, begin in ((".html", "<!doctype html>"), (".svg", "<svg"), (".txt", "reactor;")):
            target = Path(self.mktemp() + suffix).absolute()
            out, _ = self.run_profile("--output", str(target))
            self.assertTrue(target.read_text(encoding="utf-8").startswith(begin))
            self.assertIn(str(target), out)
            self.assertRaises(LocalError, self.run_profile, "--output", str(target))

    def test_what_is_out_of_bounds_is_said_before_anything_is_asked(self) -> None:
        for words in (("--seconds", "61"), ("--seconds", "0"), ("--hz", "1000"), ("--output", "graph.png")):
            err = io.StringIO()
            with contextlib.redirect_stderr(err):
                self.assertEqual(self.assertRaises(SystemExit, self.run_profile, *words).code, 2)
            self.assertIn(words[0], err.getvalue())
