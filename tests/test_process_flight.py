"""The flight recorder of a real node, and the command that executes what it wrote."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.process_world import ROOT, WAIT_S, ProcessCase
from timed.testnet.rpc import ClientError

RECORDED, BARE = 1, 2


class FlightTests(ProcessCase):
    network = "flight"
    settings = {BARE: ("node.recorder_bytes=0",)}

    def test_a_recording_of_payments_is_executed_again(self) -> None:
        txids = [self.world.pay_acknowledged(RECORDED) for _ in range(5)]
        self.world.call(RECORDED, "setban", "10.1.2.3", "add", 60)
        for txid in txids:
            self.world.call(RECORDED, "testmempoolaccept", [self.world.call(1, "getrawtransaction", txid)])
        told = self.world.call(RECORDED, "dumprecording", "a test")
        path = Path(told["path"])
        self.assertEqual(path.stat().st_size, told["bytes"])
        done = subprocess.run(
            [sys.executable, "-m", "timed.cli.replay", str(path), "--json"],
            cwd=ROOT, capture_output=True, text=True, timeout=2 * WAIT_S, check=False,
        )  # fmt: skip
        self.assertEqual(done.returncode, 0, done.stderr)
        figures = json.loads(done.stdout)
        self.assertEqual((figures["whole"], figures["why"]), (True, "a test"))
        self.assertGreater(figures["signatures"], 5)
        shown = subprocess.run(
            [sys.executable, "-m", "timed.cli.replay", str(path), "--events"],
            cwd=ROOT, capture_output=True, text=True, timeout=2 * WAIT_S, check=False,
        ).stdout  # fmt: skip
        for txid in txids:
            self.assertRegex(shown, rf"TransactionFinal {txid[:24]}")

    def test_a_node_without_a_recorder_says_so(self) -> None:
        error = self.assertRaises(ClientError, self.world.call, BARE, "dumprecording")
        self.assertIn("nothing is recorded here", str(error))
