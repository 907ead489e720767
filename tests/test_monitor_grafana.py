"""The dashboard for Grafana, Prometheus's configuration and the container: they name what there is."""

from __future__ import annotations

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from timed.app.config import load
from timed.app.tap import Options
from timed.cli.commands import COMMANDS
from timed.cli.options import split
from timed.monitor.grafana import SECTIONS, dashboard, gauge, quantile, queries, rate
from timed.monitor.metrics import METRICS, ROWS
from timed.monitor.row import COUNTER, HISTOGRAM
from timed.rpc.table import METHODS

ROOT = Path(__file__).resolve().parent.parent
DOCKER = ROOT / "etc" / "docker"


def exposed() -> set[str]:
    """Every name that a scrape may bring."""
    found = set()
    for row in METRICS:
        suffixes = {COUNTER: ("_total",), HISTOGRAM: ("_bucket", "_sum", "_count")}.get(row.type, ("",))
        found |= {f"{row.name}{suffix}" for suffix in suffixes}
    return found


class Dashboard(SynchronousTestCase):
    def panels(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(dashboard())["panels"]
        return found

    def test_every_name_is_in_the_table(self) -> None:
        used = set(re.findall(r"timed_\w+", "\n".join(queries())))
        self.assertGreater(len(used), 40)
        self.assertEqual(used - exposed(), set())

    def test_a_metric_that_is_not_there_stops_it(self) -> None:
        self.assertRaises(KeyError, gauge, "timed_heigth")
        self.assertRaises(KeyError, rate, "timed_height")
        self.assertRaises(KeyError, gauge, "timed_transactions", "step")
        self.assertRaises(KeyError, rate, "timed_transactions", "stage")
        self.assertRaises(KeyError, quantile, "timed_transactions", 0.5)

    def test_panels_lie_beside_each_other(self) -> None:
        panels = self.panels()
        self.assertEqual(len({panel["id"] for panel in panels}), len(panels))
        for panel in panels:
            self.assertLessEqual(panel["gridPos"]["x"] + panel["gridPos"]["w"], 24)
        for one, two in combinations((panel["gridPos"] for panel in panels), 2):
            apart = (
                one["x"] + one["w"] <= two["x"] or two["x"] + two["w"] <= one["x"]
                or one["y"] + one["h"] <= two["y"] or two["y"] + two["h"] <= one["y"]
            )  # fmt: skip
            self.assertTrue(apart, f"{one} {two}")

    def test_every_panel_is_there_with_its_unit_and_titles_are_unique(self) -> None:
        wanted = [panel.title for _, panels in SECTIONS for panel in panels]
        found = [panel["title"] for panel in self.panels() if panel["type"] != "row"]
        self.assertEqual(found, wanted)
        self.assertEqual(len(set(found)), len(found))

    def test_seconds_and_bytes_are_shown_as_such(self) -> None:
        for _, panels in SECTIONS:
            for panel in panels:
                [unit] = {
                    (
                        "s"
                        if row.unit == "seconds" and row.type != COUNTER
                        else "bytes"
                        if row.unit == "bytes"
                        else ""
                    )
                    for query in panel.queries
                    for row in [ROWS[re.sub("_(total|bucket)$", "", re.findall(r"timed_\w+", query.expr)[0])]]
                }
                if unit == "s":
                    self.assertEqual(panel.unit, "s", panel.title)
                elif unit == "bytes":
                    self.assertIn(panel.unit, ("bytes", "Bps"), panel.title)


class Container(SynchronousTestCase):
    """Nothing here builds it: what it names is there, and what it runs can be understood."""

    def words(self, instruction: str) -> list[str]:
        [line] = re.findall(
            rf"^.*\b{instruction} (\[.*\])$", (DOCKER / "Dockerfile").read_text(), re.MULTILINE
        )
        found: list[str] = json.loads(line)
        return found

    def test_the_node_is_started_with_options_that_there_are(self) -> None:
        [command] = re.findall(r"command: (\[.*monitor.host.*\])", (DOCKER / "compose.yaml").read_text())
        program, *words = self.words("ENTRYPOINT")
        self.assertEqual(program, "timed")
        self.assertEqual(words[-2], "--config")
        words = [str(ROOT / "etc/node.ini") if word == "/etc/timed/node.ini" else word for word in words]
        options = Options()
        options.parseOptions([*words, *json.loads(command)])
        config = load(options["config"], options.entries())
        self.assertEqual((str(config.datadir), config.settings.monitor.host), ("/var/lib/timed", "0.0.0.0"))
        ports = re.findall(r"^EXPOSE (.*)$", (DOCKER / "Dockerfile").read_text(), re.MULTILINE)[0].split()
        self.assertEqual(
            [int(port) for port in ports], [config.p2p_port, config.rpc_port, config.monitor_port]
        )

    def test_its_health_is_asked_with_a_call_that_there_is(self) -> None:
        program, *words = self.words("HEALTHCHECK.*CMD")
        self.assertEqual(program, "timed-cli")
        _, rest = split(words)
        self.assertIn(rest[0], {*METHODS, *COMMANDS})

    def test_every_file_that_compose_mounts_is_there(self) -> None:
        text = (DOCKER / "compose.yaml").read_text()
        mounts = re.findall(r"^ +- (\.\.?/\S+?):", text, re.MULTILINE)
        self.assertEqual(len(mounts), 6)
        for name in (*mounts, "../.."):
            self.assertTrue((DOCKER / name).exists(), name)
        self.assertTrue((ROOT / "etc/docker/Dockerfile").exists())
        for image in re.findall(r"image: (\S+)", text):
            self.assertRegex(image, r":v?\d+\.\d+\.\d+$")

    def test_prometheus_scrapes_alike_with_and_without_it(self) -> None:
        def scrape(path: Path) -> str:
            return re.sub(r"^ *#.*\n", "", path.read_text().partition("\nglobal:")[2], flags=re.MULTILINE)

        plain = scrape(ROOT / "etc" / "prometheus.yml")
        self.assertIn('"127.0.0.1:26100"', plain)
        self.assertEqual(plain.replace("127.0.0.1", "node"), scrape(DOCKER / "prometheus.yml"))
