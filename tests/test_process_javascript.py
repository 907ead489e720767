"""Clients from npm, pinned in tests/clients, drive a real node: jayson calls, ws follows the events."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.process_world import ROOT, ProcessWorld, until
from timed.rpc.errors import METHOD_NOT_FOUND, TYPE_ERROR

CLIENTS = ROOT / "tests" / "clients"
INSTALL_S, RUN_S = 120.0, 120.0
AWAY = (
    "ENOTFOUND",
    "EAI_AGAIN",
    "ECONNREFUSED",
    "ECONNRESET",
    "ETIMEDOUT",
    "ENETUNREACH",
    "ERR_SOCKET_TIMEOUT",
)
"""What npm says of a registry that cannot be reached."""


def installed(directory: Path) -> Path:
    """The clients with what they need, as the lock names it; SkipTest where that cannot be had."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        raise SkipTest("node or npm is not installed (apt-get install npm)")
    place = directory / "clients"
    shutil.copytree(CLIENTS, place)
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1"]
    environment = {
        **os.environ,
        "npm_config_cache": str(directory / "cache"),
        "npm_config_update_notifier": "false",
    }
    try:
        done = subprocess.run(
            command, cwd=place, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=INSTALL_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise SkipTest(f"the npm registry gave nothing within {INSTALL_S:g} s") from None
    if done.returncode and any(word in done.stderr for word in AWAY):
        raise SkipTest(f"the npm registry cannot be reached: {done.stderr.strip().splitlines()[0][:120]}")
    if done.returncode:
        raise AssertionError(done.stderr)
    return place


class JavaScript(SynchronousTestCase):
    def setUp(self) -> None:
        directory = Path(self.mktemp()).absolute()
        directory.mkdir()
        self.clients = installed(directory)
        self.world = ProcessWorld(directory / "network", 1)
        self.addCleanup(self.world.stop)
        self.world.restart(1)
        until("coins can be spent", lambda: self.world.call(1, "getbalance") > 2)

    def answers(self) -> Any:
        node = self.world.node(1)
        user, _, password = (Path(node.datadir) / ".cookie").read_text().partition(":")
        done = subprocess.run(
            ["node", "client.js", str(node.rpc_port), user, password], cwd=self.clients,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=RUN_S, check=False,
        )  # fmt: skip
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return json.loads(done.stdout)

    def test_calls_and_events(self) -> None:
        found = self.answers()
        called, followed = found["called"], found["followed"]
        self.assertEqual(called["hash"], self.world.call(1, "getblockhash", 0))
        self.assertEqual(called["byName"], called["hash"])
        self.assertEqual(called["batch"], [["id", "jsonrpc", "result"], ["error", "id", "jsonrpc"]])
        self.assertEqual(called["unknown"]["code"], METHOD_NOT_FOUND)
        self.assertEqual(called["badArgument"]["code"], TYPE_ERROR)
        self.assertEqual(called["badArgument"]["data"]["param"], "height")
        self.assertEqual(called["stranger"], 401)
        self.assertGreaterEqual(self.world.call(1, "getblockcount"), called["height"])
        self.assertEqual(followed["states"][:2], ["transaction.accepted", "transaction.final"])
        self.assertEqual(followed["states"][2:], ["transaction.confirmed"])
        self.assertEqual((followed["received"], followed["again"]), ([1.25], 0))
        self.assertLessEqual(followed["height"], self.world.call(1, "getblockcount"))
        self.assertEqual(
            (followed["subscribed"], followed["acknowledged"], followed["nonsense"]),
            ("subscribe", "ack", "error"),
        )
        self.assertEqual((followed["answered"], followed["closed"]["code"]), ("here", 1000))
        self.assertEqual((followed["withoutLogin"], followed["fromPage"]), (401, 403))
