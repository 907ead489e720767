"""The dashboard's page without a browser: what it shows of pictures that a node has taken; skipped without Node.js."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any
from unittest import SkipTest

from tests.test_monitor_dashboard import PAGE, PictureCase

DOM = Path(__file__).parent / "fake_dom.mjs"
BEGIN = """
import { byId, cells, pass, tell, world } from "./fake_dom.mjs";
import { readFileSync } from "node:fs";
await import("./app.js");
const pictures = JSON.parse(readFileSync("pictures.json", "utf-8"));
const show = (value) => console.log(JSON.stringify(value));
"""


def peer(number: int, address: str) -> dict[str, Any]:
    """A row of an open session."""
    return {
        "id": number, "node": address.encode().hex(), "address": address, "outbound": True, "software": "timed",
        "version": 1, "member": None, "age": 5.0, "ping": 0.01, "ping_least": 0.01, "clock": 0.0, "received": 1,
        "sent": 1, "in_rate": 1.0, "out_rate": 1.0, "queued": 0, "dropped": 0, "paused": False, "score": 0.0,
    }  # fmt: skip


class PageCase(PictureCase):
    def run_page(self, script: str, *pictures: dict[str, Any]) -> list[Any]:
        """What `script` shows, line by line, on the page that was opened and has `pictures` at hand."""
        node = shutil.which("node")
        if node is None:
            raise SkipTest("Node.js is not installed")
        directory = Path(self.mktemp()).absolute()
        shutil.copytree(PAGE, directory)
        shutil.copy(DOM, directory)
        (directory / "package.json").write_text('{"type": "module"}')
        (directory / "pictures.json").write_text(json.dumps(pictures))
        (directory / "run.js").write_text(BEGIN + script)
        done = subprocess.run(
            [node, "run.js"], cwd=directory, capture_output=True, text=True, timeout=60, check=False
        )
        self.assertEqual((done.stderr, done.returncode), ("", 0))
        return [json.loads(line) for line in done.stdout.splitlines()]

    def with_peers(self, *rows: dict[str, Any]) -> dict[str, Any]:
        picture = copy.deepcopy(self.picture())
        picture["details"]["peers"] = {"count": len(rows), "rows": list(rows)}
        return picture


class Tables(PageCase):
    def test_a_picture_of_a_node_is_shown(self) -> None:
        [checks, height] = self.run_page(
            'tell("picture", pictures[0]); show(cells("checks").map((row) => row[1])); show(document.title);',
            self.picture(),
        )
        self.assertEqual(set(checks), {"ok"})
        self.assertIn(" · 0 · ", height)

    def test_a_node_that_was_started_again_numbers_its_sessions_anew(self) -> None:
        """The second picture comes from another process: its first session is with somebody else."""
        [first, second, title] = self.run_page(
            """
            for (const each of pictures) { tell("picture", each); show(cells("peers").map((row) => row[0])); }
            const row = byId("peers").children.find((each) => each.tag === "tbody").children[0];
            world.answer = { ok: true, json: async () => ({ result: { summary: "it is slow" } }) };
            await row.children[0].firstChild.click();
            await null;
            show([byId("explain-title").textContent]);
            """,
            self.with_peers(peer(1, "192.0.2.1:7000")),
            self.with_peers(peer(1, "192.0.2.2:7000")),
        )
        self.assertEqual((first, second, title), (["192.0.2.1:7000"], ["192.0.2.2:7000"], ["192.0.2.2:7000"]))

    def test_a_node_that_gets_another_name_is_shown_with_it(self) -> None:
        pictures = [copy.deepcopy(self.picture()) for _ in range(2)]
        for picture, name in zip(pictures, ("north", "south"), strict=True):
            picture["nodes"][0]["summary"]["name"] = name
        found = self.run_page(
            'for (const each of pictures) { tell("picture", each); show(cells("nodes")[0][0]); }', *pictures
        )
        self.assertEqual(found, ["north", "south"])

    def test_the_row_that_has_the_keyboard_keeps_it_when_rows_change_places(self) -> None:
        near, far = peer(1, "192.0.2.1:7000"), peer(2, "192.0.2.2:7000")
        found = self.run_page(
            """
            const rows = () => byId("peers").children.find((each) => each.tag === "tbody").children;
            tell("picture", pictures[0]);
            byId("peers").children[0].children[0].children.find((head) => /ping/.test(head.textContent)).children[0].click();
            const kept = rows().map((row) => row.children[0].firstChild);
            for (const button of kept) {
              button.focus();
              for (const each of pictures) { tell("picture", each); show(document.activeElement.textContent); }
            }
            """,
            self.with_peers({**near, "ping": 0.01}, {**far, "ping": 0.02}),
            self.with_peers({**near, "ping": 0.03}, {**far, "ping": 0.02}),
        )
        self.assertEqual(sorted(found), ["192.0.2.1:7000"] * 2 + ["192.0.2.2:7000"] * 2)

    def test_a_bar_counts_what_lies_between_two_bounds_and_says_so(self) -> None:
        [titles] = self.run_page(
            """
            tell("picture", pictures[0]);
            const texts = (node) => node.tag === "title" ? [node.textContent] : (node.children ?? []).flatMap(texts);
            show(texts(byId("finality")).filter((text) => / final /.test(text)));
            """,
            self.picture(),
        )
        self.assertEqual((titles[0], titles[-1]), ("0 final within 1 ms", "0 final above 30 s"))
        self.assertIn("0 final above 10 ms, within 25 ms", titles)

    def test_text_of_peers_is_text(self) -> None:
        strange = {**peer(1, "192.0.2.1:7000"), "software": "<img src=x onerror=alert(1)>"}
        [row] = self.run_page(
            'tell("picture", pictures[0]); show(cells("peers")[0]);', self.with_peers(strange)
        )
        self.assertEqual(row[-1], strange["software"])

    def test_an_answer_that_is_no_json_is_shown_as_it_is(self) -> None:
        [summary] = self.run_page(
            """
            tell("picture", pictures[0]);
            const row = byId("peers").children.find((each) => each.tag === "tbody").children[0];
            world.answer = { ok: false, status: 503, text: async () => "This node answers no calls.",
              json: async () => JSON.parse("This") };
            row.children[0].firstChild.click();
            await new Promise((done) => setTimeout(done, 10));
            show(byId("explain-summary").textContent);
            """,
            self.with_peers(peer(1, "192.0.2.1:7000")),
        )
        self.assertEqual(summary, "The node does not answer: This node answers no calls.")


class LogLines(PageCase):
    def lines(self, *batches: list[tuple[int, float]]) -> list[str]:
        data = [
            [
                {"number": number, "time": time, "level": "info", "namespace": "node", "text": f"{time:.0f}"}
                for number, time in batch
            ]
            for batch in batches
        ]
        script = """
            for (const batch of pictures) tell("log", batch);
            show(byId("logs").children.map((line) => line.textContent.split(": ").at(-1)));
        """
        [found] = self.run_page(script, *data)  # type: ignore[arg-type]
        return list(found)

    def test_lines_that_come_again_after_a_lost_connection_stand_once(self) -> None:
        self.assertEqual(
            self.lines([(0, 10.0), (1, 11.0)], [(0, 10.0), (1, 11.0), (2, 12.0)]), ["10", "11", "12"]
        )

    def test_a_node_that_was_started_again_counts_anew(self) -> None:
        self.assertEqual(self.lines([(0, 10.0), (1, 11.0)], [(0, 20.0), (1, 21.0)]), ["10", "11", "20", "21"])

    def test_the_lines_of_a_new_process_that_has_written_many_are_all_new(self) -> None:
        """Its first ones are not kept any more, so that it begins with a number that the page has seen."""
        self.assertEqual(
            self.lines([(0, 10.0), (5, 11.0)], [(3, 20.0), (4, 21.0), (5, 22.0)]),
            ["10", "11", "20", "21", "22"],
        )

    def test_a_clock_that_was_set_back_meanwhile_hides_no_line(self) -> None:
        self.assertEqual(self.lines([(0, 50.0), (1, 51.0)], [(0, 20.0), (1, 21.0)]), ["50", "51", "20", "21"])


class Lines(PageCase):
    def mempool(self, *figures: tuple[float, float | None]) -> str:
        """The path that is drawn for figures of the mempool at these seconds."""
        pictures = []
        for time, value in figures:
            picture = copy.deepcopy(self.picture())
            picture["time"] = time
            found = [] if value is None else [{"labels": {}, "value": value}]
            picture["metrics"]["timed_mempool_transactions"] = found
            pictures.append(picture)
        [path] = self.run_page(
            'for (const each of pictures) tell("picture", each);'
            'show(byId("mempool-line").children[1].getAttribute("d"));',
            *pictures,
        )
        return str(path)

    def test_seconds_follow_each_other(self) -> None:
        path = self.mempool((1.0, 10.0), (2.0, 10.0))
        self.assertEqual(path, "M297.5,2.0L300.0,2.0")

    def test_what_was_not_seen_is_a_gap_as_long_as_it_was(self) -> None:
        """A page that was hidden, or a node that was away: the figures are of the last two minutes all the same."""
        path = self.mempool((1.0, 10.0), (2.0, 10.0), (62.0, 10.0), (63.0, 10.0))
        self.assertEqual(path, "M143.7,2.0L146.2,2.0M297.5,2.0L300.0,2.0")
        self.assertEqual(self.mempool((1.0, 10.0), (3600.0, 10.0), (3601.0, 10.0)), "M297.5,2.0L300.0,2.0")

    def test_pictures_that_come_now_and_then_are_one_line(self) -> None:
        self.assertEqual(
            self.mempool((1.0, 10.0), (6.0, 10.0), (7.6, 5.0)), "M282.4,2.0L295.0,2.0L300.0,31.0"
        )

    def test_what_is_known_no_more_leaves_the_drawing(self) -> None:
        path = self.mempool((1.0, 10.0), (2.0, 10.0), (500.0, None))
        self.assertEqual(path, "")


class Honesty(PageCase):
    def test_a_page_without_pictures_says_so_and_begins_another_stream(self) -> None:
        """A connection that died without a word, as after a night's sleep of the machine, tells the page nothing."""
        seen = self.run_page(
            """
            tell("picture", pictures[0]);
            const state = () => show([byId("fresh").textContent, byId("state").textContent, world.sources.length]);
            pass(2); state();
            pass(3); state();
            pass(26); state();
            show(world.sources[0].readyState);
            tell("picture", pictures[0]); pass(1); state();
            """,
            self.picture(),
        )
        self.assertEqual(seen[0], ["live", "ok", 1])
        self.assertEqual(seen[1], ["no data for 5 s", "unknown", 1])
        self.assertEqual(seen[2], ["no data for 31 s", "unknown", 2])
        self.assertEqual(seen[3:], [2, ["live", "ok", 2]])
