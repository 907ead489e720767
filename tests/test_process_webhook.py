"""The receiver of docs/events.rst beside a real node that is killed: nothing is missing, and what comes again is known."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.process_world import ROOT, ProcessWorld, until

SECRET = "a secret of the process test"
ESTABLISHED = "01"
PATIENCE_S = 60.0


def receiver_of(page: str) -> str:
    """The Python of the section Webhooks."""
    code = page.partition("\nWho sent it\n")[2].partition(".. code-block:: python\n")[2]
    lines = code.partition("\n.. ")[0].splitlines()
    return textwrap.dedent("\n".join(lines))


def waiting_bytes(port: int) -> int:
    """What was sent to a local port and not read there."""
    found = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, _, state, queues, *_ = line.split()
        if local.endswith(f":{port:04X}") and state == ESTABLISHED:
            found += int(queues.partition(":")[2], 16)
    return found


class Webhook(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir()
        (self.directory / "webhook.secret").write_text(f"{SECRET}\n")
        os.chmod(self.directory / "webhook.secret", 0o600)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.printed = self.directory / "printed"
        self.begin_receiver()
        settings = (
            f"webhook.urls=http://127.0.0.1:{self.port}/timed",
            f"webhook.secret_file={self.directory / 'webhook.secret'}",
            "webhook.timeout_s=60",
        )
        self.world = ProcessWorld(self.directory / "network", 1, settings={1: settings})
        self.addCleanup(self.world.stop)
        self.world.restart(1)

    def begin_receiver(self) -> None:
        script = self.directory / "receiver.py"
        script.write_text(receiver_of((ROOT / "docs" / "events.rst").read_text("utf-8")))
        with self.printed.open("w") as out, (self.directory / "errors").open("w") as errors:
            self.receiver = subprocess.Popen(
                [sys.executable, str(script), str(self.port)], cwd=self.directory, stdout=out, stderr=errors
            )
        self.addCleanup(self.receiver.wait)
        self.addCleanup(self.receiver.kill)

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
        self.receiver.send_signal(signal.SIGSTOP)
        until("a batch lies at the receiver", lambda: waiting_bytes(self.port), PATIENCE_S)
        self.assertEqual((self.sink()["state"], self.sink()["attempt"]), ("sends", 1))
        self.world.kill(1)
        self.world.restart(1)
        self.receiver.send_signal(signal.SIGCONT)
        until("what came again is known", lambda: self.lines("again"), PATIENCE_S)
        before = self.blocks()
        until("three more blocks are told", lambda: self.blocks() >= before + 3, PATIENCE_S)
        newest = self.lines("new")[-1][0]
        shown = self.world.call(1, "getevents", "oldest", [], [], 1_000)["events"]
        first = self.lines("new")[0][0]
        expected = [(each["sequence"], each["type"]) for each in shown if first <= each["sequence"] <= newest]
        self.assertEqual([each for each in self.lines("new") if each[0] <= newest], expected)
        until("the node knows it, too", lambda: self.sink()["sent"] >= 3 and not self.sink()["failure"])
