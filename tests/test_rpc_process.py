"""What a process says of the calls it answers and the memory it holds."""

from __future__ import annotations

import gc
import os
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.builders import genesis
from tests.rpc_world import RpcTestCase, World
from timed.rpc.activity import ADMINISTRATOR, FORWARDED, ORDINARY, Activity
from timed.rpc.caller import Caller
from timed.rpc.chainlink import ChainLink
from timed.rpc.linkwire import Hello
from timed.rpc.methods.process import MAX_SHOWN
from timed.store.lmdb import LmdbStore


class CallsUnderWay(RpcTestCase):
    def shown(self) -> dict[str, Any]:
        found: dict[str, Any] = self.world.result("getrpcinfo")
        return found

    def test_it_shows_itself_and_nothing_else_when_nothing_else_is_asked(self) -> None:
        found = self.shown()
        [own] = found["active_commands"]
        self.assertEqual((own["method"], own["state"], own["lane"]), ("getrpcinfo", "running", ADMINISTRATOR))
        self.assertEqual((own["user"], own["duration"]), ("test", 0))
        self.assertEqual((found["active"], found["calls"]), (1, 1))

    def test_a_call_that_waits_is_shown_with_its_age_until_it_is_answered(self) -> None:
        began = self.world.now() // 1_000_000
        waiting = self.world.begin("waittransactionfinality", ["ab" * 32, 30])
        self.world.advance(5)
        found = self.shown()
        oldest = found["active_commands"][0]
        self.assertEqual((oldest["method"], oldest["since"]), ("waittransactionfinality", began))
        self.assertEqual(oldest["duration"], 5_000_000)
        self.assertEqual((found["active"], found["waiters"]["waiting"]), (2, 1))
        self.world.finish(waiting)
        self.assertEqual(self.shown()["active"], 1)

    def test_a_call_that_fails_or_is_refused_leaves_nothing_behind(self) -> None:
        self.world.error("getblock", "ab" * 32)
        self.world.error("nosuch")
        self.world.error("getblock")
        found = self.shown()
        self.assertEqual(found["active"], 1)
        self.assertEqual(found["errors"]["method-unknown"], 1)

    def test_what_is_cancelled_leaves_nothing_behind(self) -> None:
        waiting = self.world.begin("waittransactionfinality", ["ab" * 32, 30])
        waiting.addErrback(lambda failure: None)
        waiting.cancel()
        self.assertEqual(self.shown()["active"], 1)

    def test_of_many_calls_the_oldest_are_shown_and_all_are_counted(self) -> None:
        activity = self.world.parts.activity
        for _ in range(MAX_SHOWN + 3):
            activity.begin("uptime", Caller("alice", "192.0.2.1", frozenset({"read"})))
        found = self.shown()
        self.assertEqual((len(found["active_commands"]), found["active"]), (MAX_SHOWN, MAX_SHOWN + 4))
        self.assertEqual(found["active_commands"][0]["lane"], ORDINARY)
        self.assertEqual(found["active_commands"][0]["address"], "192.0.2.1")

    def test_every_bound_stands_beside_its_count(self) -> None:
        found = self.shown()
        for part in ("turns", "budgets", "waiters", "reader"):
            self.assertGreater(found[part]["most"], 0, part)
        self.assertEqual((found["link"], found["http"], found["authentication"]), (None, None, None))

    def test_a_process_apart_says_whether_its_chain_process_is_there(self) -> None:
        self.world.parts.link = ChainLink("/nowhere", Hello.of(genesis(1)), Clock())
        self.assertEqual(self.shown()["link"], {"up": False, "under_way": 0, "most": 1_000, "counters": {}})

    def test_who_may_only_read_may_not_see_others(self) -> None:
        for method in ("getrpcinfo", "getmemoryinfo"):
            body = f'{{"jsonrpc": "2.0", "id": 1, "method": "{method}"}}'
            self.assertEqual(self.world.finish(self.world.answer(body, ("read", "wallet"))).status, 403)


class Ages(SynchronousTestCase):
    def test_since_follows_the_clock_of_the_wall_and_the_age_does_not(self) -> None:
        clock, wall = Clock(), [1_000_000_000]
        activity = Activity(clock.seconds, lambda: wall[0])
        call = activity.begin("uptime", Caller("alice"))
        call.state = FORWARDED
        clock.advance(3)
        wall[0] += 3_000_000
        self.assertEqual((activity.age_us(call), activity.since(call)), (3_000_000, 1_000))
        wall[0] += 50_000_000
        self.assertEqual((activity.age_us(call), activity.since(call)), (3_000_000, 1_050))
        activity.end(call)
        self.assertEqual((len(activity), activity.calls["uptime"]), (0, 1))


class Memory(RpcTestCase):
    def owners(self) -> dict[str, dict[str, Any]]:
        return {owner["name"]: owner for owner in self.world.result("getmemoryinfo")["owners"]}

    def test_the_mempool_s_bytes_are_the_mempool_s(self) -> None:
        self.assertEqual(self.owners()["mempool"]["items"], 0)
        txid = self.world.result("sendtoaddress", self.world.result("getnewaddress"), "1")
        shown = self.owners()["mempool"]
        entry = self.world.node.mempool.get(bytes.fromhex(txid))
        self.assertEqual((shown["items"], shown["bytes"]), (1, entry.size))
        self.assertEqual(shown["most_bytes"], self.world.node.mempool.max_bytes)

    def test_nobody_holds_more_than_its_bound(self) -> None:
        for owner in self.owners().values():
            for count, most in (("items", "most_items"), ("bytes", "most_bytes")):
                if owner[count] is not None and owner[most] is not None:
                    self.assertLessEqual(owner[count], owner[most], owner["name"])
            self.assertNotEqual((owner["most_items"], owner["most_bytes"]), (None, None), owner["name"])

    def test_a_call_that_waits_is_seen_at_its_owner(self) -> None:
        waiting = self.world.begin("waittransactionfinality", ["ab" * 32, 1])
        self.assertEqual(self.owners()["rpc-waiters"]["items"], 1)
        self.world.finish(waiting)
        self.assertEqual(self.owners()["rpc-waiters"]["items"], 0)

    def test_the_process_and_its_collector_are_the_system_s(self) -> None:
        found = self.world.result("getmemoryinfo")
        self.assertGreater(found["process"]["resident"], found["process"]["anonymous"])
        self.assertGreater(found["process"]["anonymous"], 1 << 20)
        self.assertEqual(found["gc"]["threshold"], list(gc.get_threshold()))
        self.assertEqual(len(found["gc"]["generations"]), 3)
        self.assertIsNone(found["store"])

    def test_an_rpc_process_without_a_store_says_so_and_has_no_owners_of_a_node(self) -> None:
        self.world.environment.backend = None
        self.world.environment.reader = None
        found = self.world.result("getmemoryinfo")
        self.assertIsNone(found["store"])
        names = {owner["name"] for owner in found["owners"]}
        self.assertTrue(names)
        self.assertEqual({name.partition("-")[0] for name in names}, {"rpc"})


class Map(SynchronousTestCase):
    def test_a_database_says_how_far_it_reaches(self) -> None:
        directory = self.mktemp()
        store = LmdbStore(directory, "regtest", genesis(1).hash)
        self.addCleanup(store.close)
        world = World(store)
        before = world.result("getmemoryinfo")["store"]
        for _ in range(3):
            world.block()
        after = world.result("getmemoryinfo")["store"]
        self.assertGreater(after["used_bytes"], 4096)
        self.assertGreaterEqual(after["used_bytes"], before["used_bytes"])
        self.assertLessEqual(after["used_bytes"], os.stat(os.path.join(directory, "db", "data.mdb")).st_size)
        self.assertGreater(after["map_bytes"], after["used_bytes"])
