"""The reader: long computations on a thread of their own, each over one snapshot, none before its turn."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.rpc_service import ServiceTestCase, fetch
from tests.rpc_world import RpcTestCase
from timed.interfaces import IReads
from timed.primitives.block import Block
from timed.rpc import reader as module
from timed.rpc.errors import NOT_FOUND
from timed.rpc.handlers import HANDLERS
from timed.rpc.placing import Place, place_of
from timed.rpc.reader import MAX_AT_ONCE, MAX_WAITING, Reader

REACTOR = threading.main_thread().name


class LaterThreads:
    """A thread that runs when the test says so."""

    def __init__(self) -> None:
        self.begun: list[Callable[[], object]] = []

    def callInThread(self, func: Callable[..., object], *args: object) -> None:
        self.begun.append(lambda: func(*args))

    def run(self) -> None:
        while self.begun:
            self.begun.pop(0)()


class ReaderTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.patch(module, "STEPS_PER_SLICE", 1)
        self.now = 0.0
        self.open = 0
        self.rests: list[float] = []
        self.threads = LaterThreads()
        self.reader = Reader(
            self.source,
            self.threads,
            lambda func, *args: func(*args),
            lambda: self.now,
            rest=self.rests.append,
        )
        self.order: list[str] = []

    @contextmanager
    def source(self) -> Iterator[Any]:
        self.open += 1
        try:
            yield None
        finally:
            self.open -= 1

    def work(self, name: str, steps: int) -> Callable[[Any], Any]:
        def walk() -> Any:
            for _ in range(steps):
                self.order.append(name)
                yield
            return name

        return lambda snapshot: walk()

    def rule(self, done: Deferred[Any]) -> str:
        return str(self.failureResultOf(done, module.RpcError).value.data["rule"])

    def test_nothing_is_read_by_whoever_asks(self) -> None:
        done = self.reader.read(lambda snapshot: "answer")
        self.assertNoResult(done)
        self.assertEqual((self.open, self.reader.waiting), (0, 1))
        self.threads.run()
        self.assertEqual((self.successResultOf(done), self.open), ("answer", 0))

    def test_long_ones_take_turns_and_a_short_one_does_not_wait_for_their_end(self) -> None:
        first, second = self.reader.read(self.work("a", 3)), self.reader.read(self.work("b", 3))
        short = []

        def late(snapshot: Any) -> Any:
            yield
            short.append(self.reader.read(lambda snapshot: self.order.append("short")))
            yield

        third = self.reader.read(late)
        self.threads.run()
        self.assertEqual(self.successResultOf(first), "a")
        self.assertEqual(self.successResultOf(second), "b")
        self.successResultOf(third)
        self.successResultOf(short[0])
        self.assertLess(self.order.index("short"), len(self.order) - 2)
        self.assertEqual(sorted("".join(self.order[:2])), ["a", "b"])

    def test_it_begins_no_more_than_some(self) -> None:
        waiting = [self.reader.read(self.work("x", 2)) for _ in range(MAX_AT_ONCE + 1)]
        most = []
        self.reader.read(self.work("y", 1))
        original = self.source

        @contextmanager
        def counting() -> Iterator[Any]:
            with original() as snapshot:
                most.append(self.open)
                yield snapshot

        self.reader._source = counting
        self.threads.run()
        self.assertEqual(max(most), MAX_AT_ONCE)
        for each in waiting:
            self.assertEqual(self.successResultOf(each), "x")

    def test_one_too_many_is_refused_and_counted(self) -> None:
        waiting = [self.reader.read(self.work("x", 1)) for _ in range(MAX_WAITING)]
        error = self.assertRaises(module.RpcError, self.reader.read, self.work("y", 1))
        self.assertEqual(
            (error.code, error.data["rule"], self.reader.counters.refused), (-9, "reader-full", 1)
        )
        self.threads.run()
        for each in waiting:
            self.successResultOf(each)

    def test_without_a_thread_it_refuses_and_the_next_one_is_read(self) -> None:
        """The system may refuse one, and give one later."""

        def refuse(func: Callable[..., object], *args: object) -> None:
            raise RuntimeError("can't start new thread")

        refusing = self.patch(self.threads, "callInThread", refuse)
        error = self.assertRaises(module.RpcError, self.reader.read, self.work("x", 1))
        self.assertEqual(
            (error.code, error.data["rule"], self.reader.counters.refused), (-9, "reader-full", 1)
        )
        self.assertEqual((self.reader.waiting, self.reader.busy), (0, False))
        refusing.restore()
        done = self.reader.read(self.work("y", 1))
        self.threads.run()
        self.assertEqual((self.successResultOf(done), self.order), ("y", ["y"]))
        self.successResultOf(self.reader.stop())

    def test_what_nobody_waits_for_ends_at_its_next_slice(self) -> None:
        asked: list[Deferred[Any]] = []
        done = self.reader.read(self.ended_by(lambda: [each.cancel() for each in asked]))
        asked.append(done)
        self.threads.run()
        self.assertEqual(self.rule(done), "cancelled")
        self.assertEqual((self.order, self.open, self.reader.counters.dropped), (["step", "closed"], 0, 1))

    def test_what_is_too_old_ends_at_its_next_slice(self) -> None:
        def grow_old() -> None:
            self.now += module.DEADLINE_S

        done = self.reader.read(self.ended_by(grow_old))
        self.threads.run()
        self.assertEqual(self.rule(done), "deadline")
        self.assertEqual((self.order, self.open, self.reader.counters.late), (["step", "closed"], 0, 1))

    def test_stopping_ends_everything_and_waits_for_it(self) -> None:
        stopped: list[Deferred[None]] = []
        done = self.reader.read(self.ended_by(lambda: stopped.append(self.reader.stop())))
        other = self.reader.read(self.work("never", 1))
        self.threads.run()
        self.successResultOf(stopped[0])
        self.assertEqual((self.rule(done), self.rule(other)), ("stopping", "stopping"))
        self.assertNotIn("never", self.order)
        self.assertRaises(module.RpcError, self.reader.read, self.work("x", 1))
        self.successResultOf(self.reader.stop())

    def ended_by(self, act: Callable[[], object]) -> Callable[[Any], Any]:
        def walk() -> Any:
            try:
                self.order.append("step")
                act()
                yield
                self.order.append("one too many")
                yield
            finally:
                self.order.append("closed")

        return lambda snapshot: walk()

    def test_what_it_raises_reaches_the_caller_and_nothing_stays_open(self) -> None:
        def fail(snapshot: Any) -> Any:
            raise KeyError("x")

        done = self.reader.read(fail)
        self.threads.run()
        self.failureResultOf(done, KeyError)
        self.assertEqual(self.open, 0)
        again = self.reader.read(lambda snapshot: 1)
        self.threads.run()
        self.assertEqual(self.successResultOf(again), 1)

    def test_it_rests_as_long_as_it_worked(self) -> None:
        def walk(snapshot: Any) -> Any:
            for _ in range(3):
                self.now += 2 * module.SLICE_S
                yield

        self.reader.read(walk)
        self.threads.run()
        self.assertEqual(len(self.rests), 3)
        self.assertAlmostEqual(sum(self.rests), 6 * module.SLICE_S)


class Places(RpcTestCase):
    def test_what_a_snapshot_method_receives_knows_no_node(self) -> None:
        with self.world.snapshot() as snapshot:
            known = {name for name in dir(snapshot) if not name.startswith("_")}
        self.assertEqual(
            known & {"backend", "driver", "node", "mempool", "peers", "wallet", "submit", "append", "commit"},
            set(),
        )

    def test_what_is_about_old_blocks_is_computed_from_the_snapshot(self) -> None:
        placed = {name for name, handler in HANDLERS.items() if place_of(handler) is Place.SNAPSHOT}
        self.assertLessEqual(
            {
                "getblock", "getblockheaders", "getblockstats", "getblockfilter", "getblockcertificate",
                "gettxoutsetinfo", "getsupply", "getrewardreport", "getaddressbalance", "getaddresshistory",
                "getaddressutxos", "getspendingtransaction", "getindexinfo", "findblockbydate", "getchaintxstats",
                "gettxoutproof", "verifytxoutproof",
            },
            placed,
        )  # fmt: skip

    def test_the_node_s_memory_answers_where_there_is_a_node(self) -> None:
        before = self.world.reader.counters.begun
        self.assertEqual(self.world.result("getblockcount"), 0)
        self.assertEqual(self.world.reader.counters.begun, before)
        genesis = self.world.result("getblockhash", 0)
        shown = {}
        for backend in (self.world.backend, None):
            self.world.environment.backend = backend
            shown[backend is None] = [
                self.world.result("getblockcount"), self.world.result("getbestblockhash"),
                self.world.result("getblockhash", 0), self.world.result("getchaintips"),
                *(self.world.result("getblockheader", block) for block in (0, genesis, "2100-01-01")),
            ]  # fmt: skip
            for block in (1, "00" * 32, "@0"):
                self.assertEqual(self.world.error("getblockheader", block)["code"], NOT_FOUND, block)
        self.assertEqual(shown[True], shown[False])
        self.assertEqual(self.world.reader.counters.begun, before + 10)


class WatchedStore:
    """A store that knows on which thread it was read."""

    READS = frozenset(IReads.names())

    def __init__(self, store: Any, seen: list[tuple[str, str]]) -> None:
        self._store = store
        self._seen = seen

    def __getattr__(self, name: str) -> Any:
        if name in self.READS:
            self._seen.append((name, threading.current_thread().name))
        return getattr(self._store, name)

    @contextmanager
    def snapshot(self) -> Iterator[Any]:
        self._seen.append(("snapshot", threading.current_thread().name))
        with self._store.snapshot() as reads:
            yield WatchedStore(reads, self._seen)


class ReactorThread(ServiceTestCase):
    """A counting fake instead of the store of a running service."""

    def prepare(self) -> None:
        assert self.context.running is not None
        self.seen: list[tuple[str, str]] = []
        watched: Any = WatchedStore(self.context.store, self.seen)
        self.context.running = attrs.evolve(self.context.running, store=watched)

    async def test_no_method_of_the_snapshot_reads_the_store_on_the_reactor_s_thread(self) -> None:
        raw = self.context.store.block(0)
        old = Block.decode(raw).transactions[0].txid.hex()
        for method, params in (
            ("getblock", [0, 2]), ("getblockheaders", [0]), ("getblockfilter", [0]),
            ("getblockstats", [0]), ("findblockbydate", ["2100-01-01"]), ("getchaintxstats", []), ("getblockcertificate", [0]),
            ("gettxoutsetinfo", ["recount"]), ("getsupply", []), ("getindexinfo", []), ("getaddressbalance", ["x"]),
            ("gettransaction", [old]), ("getrawtransaction", [old, 2]),
        ):  # fmt: skip
            self.seen.clear()
            body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
            status, _, answer = await self.in_thread(
                fetch, self.rpc_port, "POST", "/", body, self.authorization()
            )
            self.assertEqual(status, 200, answer)
            self.assertTrue(self.seen, method)
            self.assertNotIn(REACTOR, {name for _, name in self.seen}, method)
