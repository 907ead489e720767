"""A real node of a one-member network, and the RPC on top of it, on virtual time.

Writes and signature checks run inline; nothing listens unless a test says so.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from decimal import Decimal
from typing import Any

import attrs
from twisted.internet.defer import Deferred, ensureDeferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.builders import genesis, wallet_key
from timed.app.driver import Hands, NodeDriver
from timed.app.logging import LogLevels
from timed.crypto.batch import verify_batch
from timed.index.status import Indexes
from timed.interfaces import IStore
from timed.ledger.genesis import Genesis
from timed.ledger.regtest import well_known_key, well_known_seed
from timed.monitor.profiler import Profiler
from timed.node.config import NodeConfig
from timed.node.node import Node
from timed.params import SECOND
from timed.primitives.address import encode_address
from timed.primitives.transaction import Lock
from timed.rpc.activity import Activity
from timed.rpc.backend import ChainBackend
from timed.rpc.caller import Caller
from timed.rpc.coinset import CoinScan
from timed.rpc.dispatch import Dispatcher, Reply
from timed.rpc.environment import Environment, Identity
from timed.rpc.handlers import HANDLERS
from timed.rpc.method import PERMISSIONS
from timed.rpc.parts import Parts
from timed.rpc.peering import Peering
from timed.rpc.reader import Reader
from timed.rpc.snapshot import Snapshot, SnapshotSource
from timed.rpc.toll import Toll
from timed.rpc.waiting import Waiters
from timed.store.memory import MemoryStore
from timed.wallet.wallet import Wallet

FRIEND = wallet_key(9)
"""Somebody whose coins this node's wallet does not have."""


class InlineThreads:
    """Threads that are done before they are asked."""

    def callInThread(self, func: Callable[..., object], *args: object) -> None:
        func(*args)


class World:
    """One member that finalises alone, its wallet, and a dispatcher; `advance` moves time."""

    def __init__(
        self,
        store: IStore | None = None,
        *,
        member: bool = True,
        with_wallet: bool = True,
        members: int = 1,
        number: int = 1,
        clock: Clock | None = None,
        late: int = 0,
    ) -> None:
        """With more `members` than one nothing is certified: the others are not there.

        It begins `late` slots after genesis; several worlds on one `clock` have different numbers.
        """
        self.clock = Clock() if clock is None else clock
        self.genesis: Genesis = genesis(members)
        self.start_us = (self.genesis.time + 1 + late * self.genesis.interval) * SECOND
        self.store = store if store is not None else MemoryStore()
        operator = well_known_key("operator", 1)
        config = NodeConfig(self.genesis, well_known_key("node", number), operator, vote=member)
        self.node = Node(config, self.store, random.Random(1))
        hands = Hands(
            store=InlineThreads(),
            verifier=InlineThreads(),
            verifier_workers=1,
            from_thread=lambda func, *args: self.clock.callLater(0, func, *args),
            verify_batch=verify_batch,
        )
        self.driver = NodeDriver(
            self.node,
            self.store,
            self.clock,
            self.now,
            hands,
            max_store_bytes=1 << 24,
            max_verify_items=1 << 16,
        )
        self.backend = ChainBackend(self.driver, self.store)
        self.waiters = Waiters(self.clock)
        self.backend.subscribe(self.waiters)
        self.wallet = Wallet(self.backend, random.Random(2).randbytes)
        self.wallet.keys.adopt(well_known_seed("wallet", 1), "regtest")
        self.written: list[list[dict[str, Any]]] = []
        self.remembered: list[int] = []
        """Bans there were, each time they were to be made durable."""
        self.stopped = 0
        self.scan = CoinScan()
        self.threads: Any = InlineThreads()
        activity = Activity(self.clock.seconds, self.now)
        self.reader = Reader(
            SnapshotSource(self.store, self.genesis, self.indexes, self.scan),
            self,
            lambda func, *args: func(*args),
            self.clock.seconds,
            rest=lambda seconds: None,
            activity=activity,
        )
        self.profiler = Profiler(self.clock, time.monotonic)
        self.parts = Parts(activity, Toll(self.clock, 3_000, 30), self.waiters, self.profiler, self.reader)
        self.failures: list[tuple[str, Exception]] = []
        self.environment = Environment(
            params=self.genesis.params,
            identity=Identity(config.node_key.public, operator.public, "timed/test", 7000),
            monotonic=self.clock.seconds,
            started=self.clock.seconds(),
            shut_down=self._shut_down,
            waiters=self.waiters,
            write_wallet=self.write_wallet,
            remember=self.remember,
            backend=self.backend,
            peering=Peering(self.driver, lambda: None),
            log_levels=LogLevels("info"),
            own_wallet=self.wallet if with_wallet else None,
            scan=self.scan,
            reader=self.reader,
            parts=self.parts,
        )
        self.dispatcher = Dispatcher(
            HANDLERS,
            self.environment,
            pause=lambda: succeed(None),
            failed=lambda *what: self.failures.append(what),
            activity=self.parts.activity,
        )
        self.driver.start()
        self.driver.add_sink(Sink(self.wallet.published))
        self.wallet.scan(self.backend.coins())
        self.wallet.scanned()

    def callInThread(self, func: Callable[..., object], *args: object) -> None:
        """The reader's thread: at once, unless a test has put another one in `threads`."""
        self.threads.callInThread(func, *args)

    def indexes(self) -> Indexes | None:
        return self.environment.indexes()

    def snapshot(self) -> AbstractContextManager[Snapshot]:
        """What a method computed from the snapshot receives."""
        return SnapshotSource(self.store, self.genesis, self.indexes, self.scan)()

    def now(self) -> int:
        return self.start_us + round(self.clock.seconds() * SECOND)

    def advance(self, seconds: float) -> None:
        """Let time pass in small steps, so that every timer and turn has its place."""
        for _ in range(int(seconds * 20)):
            self.clock.advance(0.05)

    def block(self) -> None:
        """Pass until the next block is there."""
        height = self.backend.tip().height
        for _ in range(400):
            if self.backend.tip().height > height:
                return
            self.clock.advance(0.05)
        raise AssertionError("no block was made")

    def write_wallet(self) -> Deferred[None]:
        self.written.append(self.wallet.take_outbox())
        return succeed(None)

    def remember(self) -> Deferred[None]:
        self.remembered.append(len(self.node.peers.conduct.bans(self.now())))
        return succeed(None)

    def _shut_down(self) -> None:
        self.stopped += 1

    # Calls

    def answer(self, body: bytes | str, permissions: tuple[str, ...] = PERMISSIONS) -> Deferred[Reply]:
        data = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else body
        return ensureDeferred(
            self.dispatcher.answer(data, Caller("test", permissions=frozenset(permissions)))
        )

    def begin(self, method: str, params: Any = None) -> Deferred[Reply]:
        request = {
            "jsonrpc": "2.0",
            "id": 7,
            "method": method,
            "params": params if params is not None else [],
        }
        return self.answer(json.dumps(request, default=str))

    def exchange(self, method: str, params: Any = None) -> dict[str, Any]:
        """One call's response, time passing until it is there."""
        return parsed(self.finish(self.begin(method, params)))

    def finish(self, waiting: Deferred[Reply], seconds: float = 700) -> Reply:
        replies: list[Any] = []
        waiting.addBoth(replies.append)
        for _ in range(int(seconds * 20)):
            if replies:
                break
            self.clock.advance(0.05)
        [reply] = replies
        if not isinstance(reply, Reply):
            reply.raiseException()
        return reply

    def result(self, method: str, *params: Any) -> Any:
        response = self.exchange(method, list(params))
        if "error" in response:
            raise AssertionError(response["error"])
        return response["result"]

    def error(self, method: str, *params: Any) -> dict[str, Any]:
        error: dict[str, Any] = self.exchange(method, list(params))["error"]
        return error


@attrs.frozen
class Sink:
    call: Callable[[object], None]
    name: str = "test"

    def published(self, event: object, now_us: int) -> None:
        self.call(event)


def parsed(reply: Reply) -> Any:
    return json.loads(reply.body, parse_float=Decimal)


def address_of(key: Any, world: World) -> str:
    return encode_address(world.genesis.params, Lock.key_hash(key.public))


class RpcTestCase(SynchronousTestCase):
    """A test with a world; no handler may have let an exception through."""

    def setUp(self) -> None:
        self.world = World()

    def tearDown(self) -> None:
        self.assertEqual(self.world.failures, [])
