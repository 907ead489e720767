"""A real Prometheus that scrapes a small network of real nodes, with the files of `etc`."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest

from tests.process_world import CALL_S, HOST, ROOT, WAIT_S, ProcessCase, until
from timed.monitor.grafana import queries
from timed.monitor.metrics import METRICS
from timed.monitor.prometheus import by_instance
from timed.monitor.row import COUNTER, HISTOGRAM
from timed.monitor.rules import RULES
from timed.testnet.freeports import free_ports
from timed.testnet.process import tied

QUIET = {
    "Members away": "every member is connected",
    "Members missed": "every member signs",
    "Refused, by rule": "a node is refused a session only where both ends dialled at once",
    "Dials that failed": "a dial fails only where the other node was not up yet",
    "Verdicts of conduct": "nobody misbehaves",
    "Errors": "no call is answered with an error",
}
"""Panels that rightly show nothing, or not of every node, on a network that is well."""


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise SkipTest(f"{name} is not installed (apt-get install prometheus)")
    return found


class Prometheus:
    """One process on loopback with its data in a directory; asked over HTTP."""

    def __init__(self, directory: Path, targets: list[str]) -> None:
        directory.mkdir(parents=True)
        [self.port] = free_ports(1)
        text = (
            (ROOT / "etc" / "prometheus.yml")
            .read_text()
            .replace('"127.0.0.1:26100"', json.dumps(targets)[1:-1])
        )
        text = re.sub(r"(scrape|evaluation)_interval: 10s", r"\1_interval: 1s", text).replace(
            "timeout: 5s", "timeout: 1s"
        )
        (directory / "prometheus.yml").write_text(text)
        # What fires after a minute otherwise fires at once here.
        rules = (ROOT / "etc" / "alerts.yml").read_text()
        (directory / "alerts.yml").write_text(rules.replace("for: 1m", "for: 0s"))
        self.log = directory / "prometheus.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                tied([
                    tool("prometheus"), f"--config.file={directory / 'prometheus.yml'}",
                    f"--storage.tsdb.path={directory / 'data'}", f"--web.listen-address={HOST}:{self.port}",
                ]),
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, "GOMAXPROCS": "1"},
            )  # fmt: skip

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()

    def ask(self, path: str, **query: str) -> Any:
        """The `data` of an answer; OSError while it does not answer."""
        url = f"http://{HOST}:{self.port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=CALL_S) as answer:
            found = json.load(answer)
        if found["status"] != "success":
            raise AssertionError(f"{path} {query}: {found}")
        return found["data"]


class Scraped(ProcessCase):
    network = "prometheus"
    nodes = 4

    def test_prometheus_reads_every_metric_and_judges_every_rule(self) -> None:
        """Four nodes and one that is not there: series of the whole table, panels, rules, and the one alert."""
        tool("prometheus")
        [nobody] = free_ports(1)
        targets = [f"{HOST}:{self.world.node(number).monitor_port}" for number in self.world.numbers]
        prometheus = Prometheus(Path(self.mktemp()).absolute(), [*targets, f"{HOST}:{nobody}"])
        self.addCleanup(prometheus.stop)
        self.world.wait_final(self.world.pay())

        def states() -> dict[str, tuple[str, str]]:
            found = prometheus.ask("targets")["activeTargets"]
            return {each["labels"]["instance"]: (each["health"], each["lastError"]) for each in found}

        until(
            "every node was scraped",
            lambda: all(states().get(each) == ("up", "") for each in targets),
            WAIT_S,
        )
        until(
            "the other one is down", lambda: states().get(f"{HOST}:{nobody}", ("", ""))[0] == "down", WAIT_S
        )

        # A metric without any sample yet shows none there either; one that has just got its first comes with the next scrape.
        shown = {name for name, _, _ in self.world.samples(1)}
        wanted = {
            row.name + {COUNTER: "_total", HISTOGRAM: "_count"}.get(row.type, "")
            for row in METRICS
            if row.name in shown or f"{row.name}_count" in shown
        }
        self.assertGreater(len(wanted), len(METRICS) // 2)
        until(
            "every metric was scraped", lambda: wanted <= set(prometheus.ask("label/__name__/values")), WAIT_S
        )
        heights = prometheus.ask("query", query="timed_height")["result"]
        self.assertEqual({each["metric"]["instance"] for each in heights}, set(targets))

        def growing() -> int:
            # A rate needs two scrapes.
            return len(prometheus.ask("query", query="rate(timed_turns_total[5m])")["result"])

        until("every node was scraped twice", lambda: growing() == len(targets), WAIT_S)
        self.check_panels(prometheus, len(targets))

        def rules() -> dict[str, Any]:
            return {
                each["name"]: each for group in prometheus.ask("rules")["groups"] for each in group["rules"]
            }

        until(
            "every rule was judged", lambda: {each["health"] for each in rules().values()} == {"ok"}, WAIT_S
        )
        self.assertEqual(len(rules()), len(RULES) + 1)

        def firing() -> set[tuple[str, str]]:
            found = prometheus.ask("alerts")["alerts"]
            return {
                (each["labels"]["alertname"], each["labels"]["instance"])
                for each in found
                if each["state"] == "firing"
            }

        until("the missing node is told", lambda: ("NodeDown", f"{HOST}:{nobody}") in firing(), WAIT_S)
        # On a machine that stood still for seconds no block came, and that is told as well until one does.
        until("nothing else is", lambda: {name for name, _ in firing()} == {"NodeDown"}, WAIT_S)

    def check_panels(self, prometheus: Prometheus, nodes: int) -> None:
        """Every query of etc/grafana/timed.json and the figure of every rule is understood, and each panel shows every node."""
        page = json.loads((ROOT / "etc" / "grafana" / "timed.json").read_text())
        panels = {panel["title"]: panel["targets"] for panel in page["panels"] if panel["type"] != "row"}
        self.assertEqual(sum(map(len, panels.values())), len(queries()))
        self.assertLessEqual(set(QUIET), set(panels))
        for title, shown in panels.items():
            for target in shown:
                query = target["expr"].replace("$instance", ".*").replace("$__rate_interval", "5m")
                self.check_query(prometheus, query, f"{title}: {query}", 0 if title in QUIET else nodes)
        for rule in RULES:
            prometheus.ask("query", query=by_instance(rule))

    def check_query(self, prometheus: Prometheus, query: str, what: str, nodes: int) -> None:
        """A rate of what began a moment ago needs another scrape."""

        def told() -> bool:
            found = prometheus.ask("query", query=query)["result"]
            return not nodes or len({each["metric"].get("instance") for each in found}) == nodes

        until(what, told, WAIT_S)

    def test_promtool_accepts_configuration_and_exposition(self) -> None:
        promtool = tool("promtool")
        done = subprocess.run(
            [promtool, "check", "config", str(ROOT / "etc" / "prometheus.yml")],
            capture_output=True, text=True, timeout=WAIT_S, check=False,
        )  # fmt: skip
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        url = f"{self.world.node(1).monitor_url}/metrics"
        with urllib.request.urlopen(url, timeout=CALL_S) as answer:
            text = answer.read()
        done = subprocess.run(
            [promtool, "check", "metrics"],
            input=text.decode(),
            capture_output=True,
            text=True,
            timeout=WAIT_S,
            check=False,
        )
        self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""))
