"""RPC in processes of its own: behind a real HAProxy, with every process killed in its turn."""

from __future__ import annotations

import http.client
import json
import os
import random
import sys
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.apart_world import CHAIN, HAPROXY, ApartWorld, Load
from tests.process_world import CALL_S, HOST, until
from timed.client.errors import ClientError
from timed.client.message import authorization

try:
    from bitcoinrpc.authproxy import AuthServiceProxy
except ImportError:
    AuthServiceProxy = None

FIRST, SECOND = 11, 12
SNAPSHOT = (("getblockcount", []), ("getblockhash", [0]), ("getblock", [0, 2]), ("gettxoutsetinfo", []))
MEMORY = (("getmempoolinfo", []), ("getbalance", []), ("getconsensusinfo", []), ("listunspent", []))
CALLERS = 4
SEEDS = 3
AWAY = frozenset({"chain-away", "chain-lost"})


def post(world: ApartWorld, port: int, method: str, params: Any) -> str:
    """What one call on a connection of its own gave: "ok", the rule of its error, or why there is no answer."""
    try:
        user, _, password = world.node(CHAIN).cookie.read_text(encoding="ascii").partition(":")
        line = http.client.HTTPConnection(HOST, port, timeout=CALL_S)
        try:
            body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
            line.request("POST", "/", body, {"Authorization": authorization(user, password)})
            answer = line.getresponse()
            text = answer.read()
        finally:
            line.close()
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__
    if not text.startswith(b"{"):
        return f"http-{answer.status}"
    error = json.loads(text).get("error")
    return "ok" if error is None else str(error["data"]["rule"])


class ApartCase(SynchronousTestCase):
    def make_world(self, apart: int, *settings: str) -> ApartWorld:
        world = ApartWorld(Path(self.mktemp()), apart, settings)
        self.addCleanup(world.stop)
        world.restart(CHAIN)
        world.start_apart()
        return world

    def check_whole(self, world: ApartWorld, *numbers: int) -> None:
        """Nothing is wrong: both ways give one answer, the set of coins is right, nothing raised."""
        for number in (CHAIN, *numbers):
            counted = world.ask(number, "gettxoutsetinfo", "recount")
            self.assertEqual((counted["matches"], counted["differences"]), (True, []), number)
        height = world.ask(CHAIN, "getblockcount")
        for number in numbers:
            until("it has the block", lambda n=number: world.ask(n, "getblockcount") >= height)  # type: ignore[misc]
        shown = {json.dumps(world.ask(n, "getblock", height, 1)["tx"]) for n in (CHAIN, *numbers)}
        self.assertEqual(len(shown), 1)
        for number in (CHAIN, *numbers):
            self.assertNotIn("Traceback", world.log(number), number)


class BehindHaproxy(ApartCase):
    def test_two_processes_one_of_which_dies_then_the_node(self) -> None:
        if not os.path.exists(HAPROXY):
            raise SkipTest("haproxy is not installed (apt-get install haproxy)")
        world = self.make_world(2, f"rpc.proxies={HOST}")
        world.start_front()
        self.see_who_stands_behind_it(world)
        self.change_for_all(world)
        self.drive_by_a_foreign_client(world)
        self.kill_one_under_load(world)
        self.kill_the_chain(world)
        self.check_whole(world, FIRST, SECOND)

    def see_who_stands_behind_it(self, world: ApartWorld) -> None:
        """What a client invents is not believed; what HAProxy says of it is."""
        cookie = world.node(CHAIN).cookie.read_text(encoding="ascii")
        connection = http.client.HTTPConnection(
            HOST, world.front_port, timeout=CALL_S, source_address=("127.0.0.2", 0)
        )
        connection.request(
            "POST", "/", '{"jsonrpc": "2.0", "id": 1, "method": "getrpcinfo"}',
            {"Authorization": authorization(*cookie.split(":")), "X-Forwarded-For": "192.0.2.7"},
        )  # fmt: skip
        shown = json.loads(connection.getresponse().read())["result"]
        connection.close()
        self.assertEqual([each["address"] for each in shown["active_commands"]], ["127.0.0.2"])

    def change_for_all(self, world: ApartWorld) -> None:
        """What is kept is in force in every process and after a kill; what is not confirmed is neither."""
        world.ask(CHAIN, "setconfig", "rpc.deadline_s", "20", 600)
        world.ask(CHAIN, "setconfig", "rpc.budget_per_s", "0", 0)
        for number in (FIRST, SECOND):
            until(
                "it has taken the change over",
                lambda n=number: world.ask(n, "getrpcinfo")["budgets"]["per_second"] == 0,  # type: ignore[misc]
            )
            self.assertEqual(world.ask(number, "getrpcinfo")["deadline"]["seconds"], 30)

    def drive_by_a_foreign_client(self, world: ApartWorld) -> None:
        if AuthServiceProxy is None:
            raise SkipTest("python-bitcoinrpc is not installed (it belongs to the test extras)")
        cookie = world.node(CHAIN).cookie.read_text(encoding="ascii")
        proxy = AuthServiceProxy(f"http://{cookie}@{HOST}:{world.front_port}", timeout=CALL_S)
        for number in range(100):
            for method, params in (SNAPSHOT[number % len(SNAPSHOT)], MEMORY[number % len(MEMORY)]):
                self.assertIsNotNone(getattr(proxy, method)(*params), method)
        address = proxy.getnewaddress()
        txid = proxy.sendtoaddress(address, Decimal("0.10000001"))
        until("it is final", lambda: proxy.waittransactionfinality(txid, 20)["final"])
        shown = proxy.getwallettransaction(txid)
        self.assertLess(shown["fee"], 0)
        self.assertIn(shown["state"], ("final", "confirmed"))

    def kill_one_under_load(self, world: ApartWorld) -> None:
        both = SNAPSHOT + MEMORY
        ask = lambda number: post(world, world.front_port, *both[number % len(both)])  # noqa: E731
        with Load(CALLERS, ask) as load:
            load.pass_by(40)
            world.kill(FIRST)
            load.pass_by(40)
            lost = load.counted() - Counter(ok=sys.maxsize)
            self.assertEqual(set(lost) - {"http-502", "http-503"}, set())
            self.assertLessEqual(lost.total(), CALLERS)
            load.pass_by(100)
            later = load.counted() - Counter(ok=sys.maxsize)
            self.assertEqual(later, lost, "after the one that died is known to be dead")
        world.start_apart(FIRST)

    def kill_the_chain(self, world: ApartWorld) -> None:
        world.kill(CHAIN)
        until("the chain is known to be away", lambda: self.rules(world, MEMORY) <= AWAY)
        until("the process says so", lambda: self.waits_for(world, FIRST) == (503, {"link"}))
        self.assertEqual(world.watched(FIRST, "/health")[0], 200)
        for _ in range(10):
            self.assertEqual(self.rules(world, SNAPSHOT), {"ok"})
            self.assertEqual(self.rules(world, MEMORY), {"chain-away"})
        world.restart(CHAIN)
        self.assertEqual(world.ask(CHAIN, "getconfig", "rpc.budget_per_s")[0]["value"], "0")
        self.assertEqual(world.ask(CHAIN, "getconfig", "rpc.deadline_s")[0]["value"], "30")
        until("everything answers again", lambda: self.rules(world, MEMORY + SNAPSHOT) == {"ok"})
        for number in (FIRST, SECOND):
            until("each has found the chain", lambda n=number: world.ask(n, "getbalance") > 0)  # type: ignore[misc]
            until("each is ready", lambda n=number: world.watched(n, "/ready")[0] == 200)  # type: ignore[misc]
            metrics = world.watched(number, "/metrics")[1]
            self.assertIn("timed_rpc_link_up 1.0", metrics)
            self.assertRegex(metrics, r'timed_rpc_readings_total\{step="begun"\} [1-9]')
        txid = world.through("sendtoaddress", world.through("getnewaddress"), "1.25")
        until("it is final", lambda: world.through("waittransactionfinality", txid, 20)["final"])
        world.wait_confirmed(txid, CHAIN)

    def waits_for(self, world: ApartWorld, number: int) -> tuple[int, set[str]]:
        status, text = world.watched(number, "/ready")
        return status, set(json.loads(text)["waiting_for"])

    def rules(self, world: ApartWorld, calls: Any) -> set[str]:
        return {post(world, world.front_port, method, params) for method, params in calls}


class Apart(ApartCase):
    def test_it_leaves_the_data_directory_as_it_is(self) -> None:
        world = ApartWorld(Path(self.mktemp()), 1)
        self.addCleanup(world.stop)
        plan = world.node(CHAIN)
        world.restart(CHAIN)
        cookie = plan.cookie.read_bytes()
        (plan.datadir / "operator.key").rename(plan.datadir / "elsewhere")
        until("the node has made its files", lambda: not world.ask(CHAIN, "getwalletinfo")["scanning"])
        before = set(os.listdir(plan.datadir))
        world.start_apart()
        world.ask(FIRST, "getblock", 0, 2)
        self.assertEqual(plan.cookie.read_bytes(), cookie)
        self.assertEqual(set(os.listdir(plan.datadir)), before)
        world.kill(FIRST)
        self.assertEqual(plan.cookie.read_bytes(), cookie)


class Killed(ApartCase):
    """Node and RPC processes are killed at random while payments are made."""

    def test_whatever_is_killed_nothing_is_wrong_afterwards(self) -> None:
        world = self.make_world(2)
        paid: list[str] = []
        payee = str(world.ask(CHAIN, "getnewaddress"))

        def ask(number: int) -> str:
            which = (FIRST, SECOND)[number % 2]
            try:
                if number % 3:
                    world.ask(which, "getblock", world.ask(which, "getblockcount"), 2)
                else:
                    paid.append(str(world.ask(which, "sendtoaddress", payee, "0.5")))
            except (ClientError, OSError, http.client.HTTPException) as error:
                return type(error).__name__
            return "ok"

        for seed in range(SEEDS):
            chance = random.Random(seed)
            with Load(2, ask) as load:
                load.pass_by(chance.randrange(5, 30))
                victims = chance.sample((CHAIN, FIRST, SECOND), chance.randrange(1, 4))
                world.kill(*victims)
                load.pass_by(chance.randrange(5, 30))
            if CHAIN in victims:
                world.restart(CHAIN)
            apart = [number for number in victims if number != CHAIN]
            if apart:
                world.start_apart(*apart)
        self.assertTrue(paid)
        for txid in paid:
            world.wait_confirmed(txid, CHAIN)
        for number in (FIRST, SECOND):
            until("each has found the chain", lambda n=number: world.ask(n, "getbalance") > 0)  # type: ignore[misc]
        self.check_whole(world, FIRST, SECOND)
