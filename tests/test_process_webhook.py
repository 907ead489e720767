"""The receiver of docs/events.rst beside a real node that is killed: nothing is missing, and what comes again is known."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.process_world import ROOT, WAIT_S, ProcessWorld, until
from timed.testnet.freeports import free_ports
from timed.testnet.process import tied

SECRET = "a secret of the process test"
PATIENCE_S = WAIT_S
PAGE = 1_000


def receiver_of(page: str) -> str:
    """The Python of the section Webhooks."""
    code = page.partition("\nWho sent it\n")[2].partition(".. code-block:: python\n")[2]
    lines = code.partition("\n.. ")[0].splitlines()
    return textwrap.dedent("\n".join(lines))


class Webhook(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir()
        (self.directory / "webhook.secret").write_text(f"{SECRET}\n")
        os.chmod(self.directory / "webhook.secret", 0o600)
        [self.port] = free_ports(1)
        self.printed = self.directory / "printed"
        self.begin_receiver()
        settings = (
            f"webhook.urls=http://127.0.0.1:{self.port}/timed",
            f"webhook.secret_file={self.directory / 'webhook.secret'}",
            "webhook.timeout_s=300",
        )
        self.world = ProcessWorld(self.directory / "network", 1, settings={1: settings})
        self.addCleanup(self.world.stop)
        self.world.restart(1)

    def begin_receiver(self) -> None:
        script = self.directory / "receiver.py"
        script.write_text(receiver_of((ROOT / "docs" / "events.rst").read_text("utf-8")))
        with self.printed.open("w") as out, (self.directory / "errors").open("w") as errors:
            self.receiver = subprocess.Popen(
                tied([sys.executable, str(script), str(self.port)]),
                cwd=self.directory,
                stdout=out,
                stderr=errors,
            )
        self.addCleanup(self.receiver.wait)
        self.addCleanup(self.receiver.kill)

    def stop_receiver(self) -> None:
        """It stands still when this returns, wherever it was."""
        self.receiver.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.receiver.pid, os.WSTOPPED)

    def told(self) -> list[dict[str, Any]]:
        """Every event of the log, in its order."""
        found: list[dict[str, Any]] = []
        cursor = "oldest"
        while True:
            page = self.world.call(1, "getevents", cursor, [], [], PAGE)
            found += page["events"]
            if not page["more"]:
                return found
            cursor = page["cursor"]

    def sink(self) -> Any:
        (shown,) = self.world.call(1, "getsubscriptions")["sinks"]
        return shown

    def lines(self, word: str) -> list[tuple[int, str]]:
        """(sequence number, type) of what the receiver has printed after this word."""
        found = []
        for line in self.printed.read_text().splitlines():
            first, cursor, kind = line.split()
            if first == word:
                found.append((int(cursor.partition("-")[2]), kind))
        return found

    def blocks(self) -> int:
        return [kind for _, kind in self.lines("new")].count("block")

    def test_a_node_killed_while_it_sends_tells_everything_and_repeats_are_known_by_id(self) -> None:
        until("three blocks are told", lambda: self.blocks() >= 3, PATIENCE_S)
        self.stop_receiver()
        # Nobody answers now: what was sent stays on its way, and the events of later blocks wait behind it.
        height = self.world.call(1, "getblockcount")
        until("two blocks come", lambda: self.world.call(1, "getblockcount") >= height + 2, PATIENCE_S)
        until("a batch is on its way", lambda: self.sink()["state"] == "sends", PATIENCE_S)
        self.assertEqual(self.sink()["attempt"], 1)
        self.world.kill(1)
        self.world.restart(1)
        self.receiver.send_signal(signal.SIGCONT)
        until("what came again is known", lambda: self.lines("again"), PATIENCE_S)
        before = self.blocks()
        until("three more blocks are told", lambda: self.blocks() >= before + 3, PATIENCE_S)
        newest = self.lines("new")[-1][0]
        first = self.lines("new")[0][0]
        expected = [
            (each["sequence"], each["type"]) for each in self.told() if first <= each["sequence"] <= newest
        ]
        self.assertEqual([each for each in self.lines("new") if each[0] <= newest], expected)
        until("the node knows it, too", lambda: self.sink()["sent"] >= 3 and not self.sink()["failure"])
