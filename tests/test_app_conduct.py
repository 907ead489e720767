"""A peer that offends, on two composed nodes over TLS: with the policy in force, and in a dry run."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from tests.test_app_services import ServicesCase
from timed.app.composition import Application
from timed.client.blocking import Client
from timed.client.location import Location
from timed.peer import limits
from timed.testnet.freeports import free_ports

LOGS = 2
"""Both applications of this process write every line."""
OFFENCE = "invalid-signature"
OFFENCES = 5
"""At 25 points each, which fade from the first moment on, just enough for a ban."""


class ConductCase(ServicesCase):
    async def judged(self, *assignments: str) -> dict[str, Any]:
        """Two nodes meet, one reports five offences of the other; what its operator then sees."""
        judge = self.compose(
            "p2p.peers=", "p2p.trust_loopback=no", "node.recorder_bytes=0", *assignments, node_id=5
        )
        judge.startService()
        mine = (self.directory, self.rpc, self.monitor)
        address = f"127.0.0.1:{self.p2p}"
        self.directory = Path(self.mktemp()).absolute()
        self.p2p, self.rpc, self.monitor = free_ports(3)
        offender = self.compose(f"p2p.peers={address}", node_id=6)
        offender.startService()
        self.directory, self.rpc, self.monitor = mine
        try:
            while not await self.ask("getconnectioncount"):
                await self.turn()
            (peer,) = await self.call("getpeerinfo")
            self.offend(judge, bytes.fromhex(peer["nodeid"]))
            await self.turn()
            return {
                "explained": await self.call("explainpeer", peer["nodeid"]),
                "banned": await self.call("listbanned"),
                "connections": await self.call("getconnectioncount"),
                "metrics": await self.metrics(),
                "log": self.out.getvalue(),
            }
        finally:
            await offender.stopService()
            await judge.stopService()

    def offend(self, judge: Application, node_id: bytes) -> None:
        context = judge.getServiceNamed("chain")._context
        for _ in range(OFFENCES):
            context.driver.operate(context.node.peers.report, node_id, OFFENCE, context.clock(), "vote")

    def turn(self) -> Deferred[None]:
        done: Deferred[None] = Deferred()
        run: Any = reactor
        run.callLater(0.05, done.callback, None)
        return done

    def call(self, method: str, *params: object) -> Deferred[Any]:
        location = Location("127.0.0.1", self.rpc, cookie_file=str(self.directory / ".cookie"))
        return deferToThread(
            lambda: json.loads(json.dumps(Client(location, 60).call(method, *params), default=str))
        )

    async def metrics(self) -> list[str]:
        def read() -> str:
            with urllib.request.urlopen(f"http://127.0.0.1:{monitor}/metrics", timeout=60) as answer:
                return str(answer.read().decode())

        monitor = self.monitor
        text = await deferToThread(read)
        return [line for line in text.splitlines() if line.startswith("timed_conduct_verdicts_total")]


class ConductTests(ConductCase):
    async def test_policy_in_force_bans_and_says_so(self) -> None:
        seen = await self.judged()
        self.assertEqual((seen["explained"]["state"], seen["explained"]["conduct"]), ("banned", "enforce"))
        last = seen["explained"]["reasons"][-1]
        self.assertEqual((last["verdict"], last["done"]), ("ban", True))
        self.assertEqual([ban["by"] for ban in seen["banned"]], ["node"])
        self.assertEqual(seen["connections"], 0)
        self.assertEqual(seen["metrics"], ['timed_conduct_verdicts_total{done="yes",verdict="ban"} 1.0'])
        self.assertEqual(seen["log"].count(f"banned {seen['explained']['nodeid']}"), LOGS)

    async def test_dry_run_shows_what_would_have_been_done_and_does_nothing(self) -> None:
        seen = await self.judged("p2p.conduct=dry-run")
        self.assertEqual((seen["explained"]["state"], seen["explained"]["conduct"]), ("connected", "dry-run"))
        last = seen["explained"]["reasons"][-1]
        self.assertEqual((last["verdict"], last["done"]), ("ban", False))
        self.assertEqual((seen["banned"], seen["connections"]), ([], 1))
        self.assertEqual(seen["metrics"], ['timed_conduct_verdicts_total{done="no",verdict="ban"} 1.0'])
        text = f"dry run: would have banned {seen['explained']['nodeid']} at 127.0.0.1 for"
        self.assertEqual(seen["log"].count(text), LOGS)
        self.assertIn(f"{limits.BAN_TIME // 1_000_000} s: {OFFENCE}", seen["log"])
