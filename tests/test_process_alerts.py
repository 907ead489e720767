"""Real nodes: peers that are killed, a disk that takes nothing more; what the operator is told, and that it passes."""

from __future__ import annotations

import json
import resource
import urllib.error
import urllib.request
from typing import Any

from tests.process_world import ProcessCase, until
from timed.monitor.rules import RULES

REMEDIES = {rule.name: rule.remedy for rule in RULES}


class Told(ProcessCase):
    """Nodes are killed here, so the network is nobody else's."""

    network = "alerts"

    def read(self, path: str) -> Any:
        """What the first node's monitor answers, whatever its status."""
        try:
            with urllib.request.urlopen(f"{self.world.node(1).monitor_url}{path}", timeout=10) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            return json.load(error)

    def check(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.read("/health")["checks"][name]
        return found

    def assert_told(self, name: str) -> None:
        """In /alerts, /health, the dashboard's picture, the RPC and the log, each with the remedy."""
        until(f"{name} is raised", lambda: name in {each["name"] for each in self.read("/alerts")["active"]})
        shown = (
            self.read("/alerts")["active"], self.read("/health")["alerts"],
            self.read("/snapshot")["alerts"]["active"], self.world.call(1, "getalerts")["active"],
        )  # fmt: skip
        for alerts in shown:
            self.assertEqual([each["remedy"] for each in alerts if each["name"] == name], [REMEDIES[name]])
        # As the dashboard shows it: a disk that is full takes no line of a log file either.
        lines = [each["text"] for each in self.read("/log")["lines"] if f"alert {name}: " in each["text"]]
        self.assertIn(REMEDIES[name], lines[-1])

    def test_peers_that_are_killed_and_a_disk_that_takes_nothing_more(self) -> None:
        self.world.wait_final(self.world.pay())
        self.world.kill(2, 3)
        self.assert_told("check-blocks")
        self.assertNotEqual(self.check("peers")["state"], "ok")
        self.world.restart(2, 3)
        until("the network goes on", lambda: self.check("blocks")["state"] == "ok")
        self.world.wait_connected()
        self.world.wait_final(self.world.pay())

        # The system refuses to make any file longer, as on a full disk: EFBIG, not a signal, in a Python process.
        process = self.world.processes[1].pid
        resource.prlimit(process, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
        self.assert_told("check-disk")
        self.assertEqual(self.check("disk")["state"], "failed")
        self.assertGreaterEqual(self.world.call(1, "getblockcount"), 1)
        self.world.kill(1)
        self.world.restart(1)
        self.world.wait_connected()
        self.world.wait_final(self.world.pay())
        self.assertEqual((self.check("disk")["state"], self.check("blocks")["state"]), ("ok", "ok"))
