"""getprofile and getreactorinfo, and what calls of the RPC cost."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import Logger, LogPublisher, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from tests.node_world import NodeWorld
from tests.peer_harness import Wire
from tests.rpc_world import RpcTestCase, World, parsed
from timed.app.composition import on_whose_account
from timed.app.logging import Account, LogLevels
from timed.app.meter import Meter
from timed.monitor.metrics import ROWS
from timed.monitor.watch import Watch
from timed.params import SECOND
from timed.rpc.activity import HEAVY, SAMPLE, Activity, Call
from timed.rpc.caller import Caller
from timed.rpc.calllog import NAMESPACE, call_log
from timed.rpc.reader import Reader
from timed.wire.messages import GetHeaders

CALLER = Caller("test")


def ticking(step: int = 10) -> Callable[[], int]:
    """A clock that shows `step` more at every look."""
    times = iter(range(0, 10**9, step))
    return lambda: next(times)


class Costs(SynchronousTestCase):
    def setUp(self) -> None:
        self.activity = Activity(lambda: 0.0, lambda: 0, ticking())

    def begin(self, method: str = "getblock", cost: int = HEAVY) -> Call:
        return self.activity.begin(method, CALLER, cost)

    def run_call(self, cost: int) -> None:
        call = self.begin(cost=cost)
        self.activity.switch(self.activity.switch(call))
        self.activity.end(call)

    def test_each_step_of_a_call_is_its_own_and_what_it_waits_for_is_not(self) -> None:
        call = self.begin()
        waited: Deferred[str] = Deferred()

        async def work() -> str:
            return await waited

        async def whole() -> str:
            return await self.activity.measured(call, work())

        heard: list[str] = []
        Deferred.fromCoroutine(whole()).addCallback(heard.append)
        self.assertEqual((self.activity.cpu, self.activity.running), ({"getblock": 10}, None))
        waited.callback("done")
        self.assertEqual((self.activity.cpu, heard), ({"getblock": 20}, ["done"]))

    def test_a_call_that_wakes_another_does_not_pay_for_it(self) -> None:
        first, second = self.begin("stop"), self.begin("getblock")
        before = self.activity.switch(first)
        inner = self.activity.switch(second)
        self.activity.switch(inner)
        self.activity.switch(before)
        self.assertEqual(self.activity.cpu, {"stop": 20, "getblock": 10})

    def test_what_the_awaited_raises_reaches_the_work_and_what_that_raises_the_caller(self) -> None:
        call, waited = self.begin(), Deferred[None]()

        async def work() -> None:
            try:
                await waited
            except ValueError as error:
                raise KeyError("seen") from error

        done = Deferred.fromCoroutine(self.activity.measured(call, work()).__await__())  # type: ignore[arg-type]
        waited.errback(ValueError("none"))
        self.failureResultOf(done, KeyError)
        self.assertIsNone(self.activity.running)

    def test_of_a_light_method_one_call_in_several_stands_for_all(self) -> None:
        grown = []
        for _ in range(2 * SAMPLE + 1):
            self.run_call(cost=1)
            grown.append(self.activity.cpu["getblock"])
        self.assertEqual(grown[0], 10)
        self.assertEqual(sorted(set(grown)), [10, 10 + 10 * SAMPLE, 10 + 20 * SAMPLE])

    def test_of_a_heavy_one_each_is_measured(self) -> None:
        for _ in range(5):
            self.run_call(cost=HEAVY)
        self.assertEqual(self.activity.cpu["getblock"], 50)

    def test_calls_are_numbered(self) -> None:
        self.assertEqual([self.begin().number for _ in range(3)], [1, 2, 3])


class Reading(SynchronousTestCase):
    """What the reader's thread computes is the call's that asked."""

    def test_every_slice_is_paid_by_the_call_once_the_reading_is_over(self) -> None:
        activity = Activity(lambda: 0.0, lambda: 0, lambda: 0)
        jobs: list[Callable[[], object]] = []

        class Threads:
            def callInThread(self, func: Callable[..., object], *args: object) -> None:
                jobs.append(lambda: func(*args))

        class Source:
            def __enter__(self) -> None:
                return None

            def __exit__(self, *error: object) -> None:
                return None

        reader = Reader(
            Source, Threads(), lambda func, *args: func(*args), lambda: 0.0,  # type: ignore[arg-type]
            rest=lambda seconds: None, activity=activity, cpu=ticking(),
        )  # fmt: skip

        def long(snapshot: object) -> Iterator[None]:
            for _ in range(200):
                yield

        before = activity.switch(activity.begin("gettxoutsetinfo", CALLER))
        reader.read(long)
        activity.switch(before)
        reader.read(long)
        for job in jobs:
            job()
        slices = reader.counters.slices
        self.assertEqual(activity.cpu, {"gettxoutsetinfo": 10 * slices // 2})
        self.assertGreater(slices, 4)


class Profiles(RpcTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.watch = Watch(self.world.clock, self.world.clock.seconds, self.world.now)
        self.world.environment.watch = lambda: self.watch

    def test_it_tells_what_grew_meanwhile(self) -> None:
        self.world.driver.meter = Meter(self.world.node.peers.costs, lambda: 0)
        costs, calls = self.world.node.peers.costs, self.world.parts.activity
        costs.spent.update({"Ping": 5, "Pong": 7})
        calls.cpu.update(getblock=9)
        waiting = self.world.begin("getprofile", [2, 50])
        self.world.advance(1)
        costs.spent["Ping"] += 10**9
        self.world.driver.meter.spent["received"] = 3 * 10**9
        calls.cpu["getblock"] += 2 * 10**9
        calls.calls["getblock"] += 4
        found = parsed(self.world.finish(waiting))["result"]
        self.assertEqual(found["messages"], [{"type": "Ping", "cpu": 1, "count": 0}])
        self.assertEqual(found["calls"], [{"call": "received", "cpu": 3}])
        self.assertIn({"method": "getblock", "cpu": 2, "count": 4}, found["methods"])
        self.assertEqual((found["process"], found["hz"], found["slow"]), ("node", 50, []))
        self.assertEqual([each["generation"] for each in found["pauses"]], [0, 1, 2])

    def test_a_stack_is_numbers_of_functions(self) -> None:
        sampled = threading.Event()
        profiler = self.world.profiler

        class Sampler(profiler._sampler):  # type: ignore[name-defined, misc]
            def look(self) -> None:
                super().look()
                sampled.set()

        self.patch(profiler, "_sampler", Sampler)
        waiting = self.world.begin("getprofile", [1, 250])
        self.assertTrue(sampled.wait(60))
        found = parsed(self.world.finish(waiting))["result"]
        [reactor] = [each for each in found["threads"] if each["name"] == "reactor"]
        self.assertGreater(reactor["samples"], 0)
        used = {number for each in found["stacks"] for number in each["frames"]}
        self.assertEqual(used, set(range(len(found["frames"]))))
        self.assertGreater(found["looks"], 0)

    def test_a_second_one_is_refused(self) -> None:
        waiting = self.world.begin("getprofile", [5])
        error = self.world.error("getprofile", 1)
        self.assertEqual(error["data"]["rule"], "profile-running")
        self.world.finish(waiting)
        self.assertEqual(self.world.profiler.counters["refused"], 1)

    def test_bounds_are_of_the_table(self) -> None:
        for params in ([0], [61], [1, 0], [1, 251]):
            self.assertEqual(self.world.error("getprofile", *params)["data"]["rule"], "param-value")

    def test_a_node_that_stops_answers_at_once(self) -> None:
        waiting = self.world.begin("getprofile", [60])
        self.world.profiler.close()
        error = parsed(self.successResultOf(waiting))["error"]
        self.assertEqual(error["data"]["rule"], "stopping")

    def test_a_client_that_goes_away_ends_it(self) -> None:
        waiting = self.world.begin("getprofile", [60])
        heard: list[Any] = []
        waiting.addBoth(heard.append)
        waiting.cancel()
        self.assertEqual((len(heard), len(self.world.parts.activity)), (1, 0))
        self.assertEqual(self.world.parts.activity.refused, {"cancelled": 1})
        self.world.finish(self.world.begin("getprofile", [1]))

    def test_slow_turns_of_before_are_not_of_the_profile(self) -> None:
        self.watch.turns.came(0.5)
        waiting = self.world.begin("getprofile", [1])
        self.world.advance(0.5)
        self.watch.turns.came(0.25)
        found = parsed(self.world.finish(waiting))["result"]
        self.assertEqual([float(turn["seconds"]) for turn in found["slow"]], [0.25])

    def test_the_reactor_s_own_story(self) -> None:
        self.watch.lateness.late.observe(0.003)
        self.watch.pauses.by_generation[2].observe(0.2)
        self.watch.turns.came(0.5)
        found = self.world.result("getreactorinfo")
        self.assertEqual(found["late"], {"count": 1, "seconds": parsed_number("0.003"), "p50": parsed_number("0.005"),
                                         "p99": parsed_number("0.005")})  # fmt: skip
        self.assertEqual(found["pauses"][2]["count"], 1)
        self.assertEqual(
            ([turn["doing"] for turn in found["slow"]], found["slow_counts"]), (["unseen"], {"unseen": 1})
        )

    def test_without_a_monitor_nothing_is_watched(self) -> None:
        self.world.environment.watch = lambda: None
        self.assertEqual(self.world.error("getreactorinfo")["data"]["rule"], "no-monitor")
        self.assertIsNone(self.world.result("getprofile", 1)["slow"])


def parsed_number(text: str) -> Any:
    """As the world reads numbers."""
    from decimal import Decimal

    return Decimal(text)


class Doing(SynchronousTestCase):
    """What a meter says the node does, for a slow turn's name."""

    def test_a_call_with_its_message_between_its_begin_and_its_end(self) -> None:
        from timed.peer.costs import Costs

        costs = Costs()
        meter = Meter(costs, Clock().seconds)  # type: ignore[arg-type]
        self.assertEqual(meter.doing, "")
        meter.begin("received")
        self.assertEqual(meter.doing, "received")
        costs.on("BlockVote")
        self.assertEqual(meter.doing, "received, BlockVote")
        meter.end()
        self.assertEqual(meter.doing, "")
        meter.begin("act")
        self.assertEqual(meter.doing, "act")


class Lines(SynchronousTestCase):
    """What the log says of calls."""

    def test_a_call_has_a_line_for_whoever_asked_and_no_argument_in_it(self) -> None:
        levels, heard = LogLevels("info"), []
        log = Logger(
            namespace=NAMESPACE, observer=LogPublisher(lambda event: heard.append(formatEvent(event)))
        )
        activity = Activity(lambda: 0.0, lambda: 0, lambda: 0, call_log(levels, log))
        activity.end(activity.begin("getblock", CALLER))
        self.assertEqual(heard, [])
        levels.set("rpc.calls", "debug")
        activity.end(activity.begin("getblock", Caller("alice", "192.0.2.1")))
        self.assertEqual(heard, ["call 2 getblock of alice at 192.0.2.1 took 0.0 ms"])

    def test_a_bug_names_the_call_in_the_log(self) -> None:
        world = World()
        self.patch(world.dispatcher, "_handlers", {"getblockcount": lambda env: 1 / 0})
        error = world.error("getblockcount")
        self.assertEqual(error["data"]["hint"], "The node's log holds the details: look for call 1.")

    def test_what_happens_during_a_call_is_on_its_account(self) -> None:
        world, seen = World(), []
        context = SimpleNamespace(calls=world.parts.activity, running=None)

        def look(env: object) -> int:
            seen.append(on_whose_account(context))  # type: ignore[arg-type]
            other = threading.Thread(target=lambda: seen.append(on_whose_account(context)))  # type: ignore[arg-type]
            other.start()
            other.join()
            return 1

        self.patch(world.dispatcher, "_handlers", {"getblockcount": look})
        world.result("getblockcount")
        call = Account(call=1, method="getblockcount", user="test")
        self.assertEqual(seen, [call, None], "what another thread says meanwhile is on nobody's")
        self.assertIsNone(on_whose_account(context))  # type: ignore[arg-type]

    def test_what_a_message_causes_is_on_its_peer_s_account(self) -> None:
        world = NodeWorld()
        peer = world.stranger()
        meter = Meter(world.node.peers.costs, lambda: 0)
        context = SimpleNamespace(calls=None, running=SimpleNamespace(driver=SimpleNamespace(meter=meter)))
        seen = []
        refuse = world.node.inbox.deliver

        def deliver(incoming: Any, now: int) -> None:
            refuse(incoming, now)
            seen.append(on_whose_account(context))  # type: ignore[arg-type]

        self.patch(world.node.inbox, "deliver", deliver)
        meter.begin("received")
        peer.ask(GetHeaders(start=1, count=1))
        meter.end()
        self.assertEqual(seen, [Account(peer=peer.node_id.hex())])
        self.assertIsNone(on_whose_account(context))  # type: ignore[arg-type]


class Fed(SynchronousTestCase):
    """Each metric of what takes time grows by what it counts, in a node with a wallet that pays and makes a block."""

    def setUp(self) -> None:
        self.world = World()
        self.world.driver.meter = Meter(self.world.node.peers.costs, ticking())
        self.world.parts.activity._cpu = ticking()
        self.watch = Watch(self.world.clock, self.world.clock.seconds, self.world.now)
        self.view = SimpleNamespace(
            parts=self.world.parts,
            rpc=SimpleNamespace(parts=self.world.parts),
            driver=self.world.driver,
            node=self.world.node,
            watch=self.watch,
        )

    def values(self, name: str) -> dict[tuple[str, ...], Any]:
        return dict(ROWS[name].source(self.view))  # type: ignore[arg-type]

    def test_calls_of_the_rpc_and_of_the_node(self) -> None:
        self.assertEqual(
            (self.values("timed_rpc_cpu_seconds"), self.values("timed_call_cpu_seconds")), ({}, {})
        )
        self.world.result("getblockcount")
        self.world.block()
        self.assertEqual(self.values("timed_rpc_cpu_seconds").keys(), {("getblockcount",)})
        calls = self.values("timed_call_cpu_seconds")
        self.assertLessEqual({("act",), ("persisted",)}, calls.keys())
        self.assertTrue(all(spent > 0 for spent in calls.values()))
        spent = self.values("timed_message_cpu_seconds")
        self.assertAlmostEqual(sum(spent.values()), sum(calls.values()), places=12)

    def test_durable_steps_and_pauses_of_the_collector(self) -> None:
        self.world.block()
        steps = self.values("timed_store_seconds")
        self.assertTrue(all(steps[(kind,)].count > 0 for kind in ("log", "commit")))
        self.watch.pauses.start()
        try:
            gc.collect()
        finally:
            self.watch.pauses.stop()
        self.assertGreaterEqual(self.values("timed_gc_pause_seconds")[("2",)].count, 1)

    def test_profiles_and_slow_turns(self) -> None:
        self.world.result("getprofile", 1)
        self.assertEqual(self.values("timed_profiles")[("taken",)], 1)
        self.watch.turns.came(0.5)
        self.assertEqual(self.values("timed_slow_turns"), {("unseen",): 1})

    def test_the_busiest_peers_by_name_and_the_others_as_one(self) -> None:
        wire = Wire()
        host = wire.host(1)
        for number in range(2, 10):
            wire.host(number, wanted=[1])
        host.table.costs.lend(ticking(1_000), 1)
        wire.run(5 * SECOND)
        host.table.costs.take_back()
        self.view.node = SimpleNamespace(peers=host.table)
        found = self.values("timed_busiest_peers_seconds")
        spent = {
            peer.node_id.hex()[:16]: host.table.session_with(peer.node_id).lanes.spent_ns / 10**9  # type: ignore[union-attr]
            for peer in host.table.peers()
        }
        self.assertEqual((len(spent), len(found)), (8, 6))
        self.assertAlmostEqual(sum(found.values()), sum(spent.values()), places=12)
        self.assertGreater(sum(spent.values()), 0)
        least = min(value for (name,), value in found.items() if name != "other")
        self.assertTrue(all(value <= least for name, value in spent.items() if (name,) not in found))
