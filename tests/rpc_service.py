"""The rpc and monitor services on loopback, around a real node that finalises alone."""

from __future__ import annotations

import http.client
import os
import random
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import attrs
from twisted.application.service import MultiService
from twisted.internet import reactor
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.builders import genesis
from tests.rpc_world import InlineThreads
from timed.app.config import Config, Layers, override
from timed.app.context import Running
from timed.app.datadir import DataDirectory
from timed.app.driver import Hands, NodeDriver
from timed.app.live import LiveConfig
from timed.app.logging import LogCounters, LogLevels, LogTail
from timed.app.reload import Reloads
from timed.app.schema import Settings, keys
from timed.app.watchdog import Watchdog
from timed.client.location import Location
from timed.crypto.batch import verify_batch
from timed.ledger.regtest import well_known_key, well_known_seed
from timed.monitor.service import MonitorService
from timed.node.config import NodeConfig
from timed.node.node import Node
from timed.rpc.service import RpcService
from timed.store.memory import MemoryStore

DEADLINE_S = 60
"""No test on loopback waits longer."""


def now_us() -> int:
    return time.time_ns() // 1000


@attrs.define
class FakeContext:
    """The parts of `timed.app.context.Context` that the two services read."""

    live: LiveConfig
    running: Running | None
    node_key: Any
    operator_key: Any
    chosen_genesis: Any
    reactor: Any = reactor
    clock: Callable[[], int] = now_us
    monotonic: Callable[[], float] = time.monotonic
    seeds: Any = None
    log_counters: LogCounters = attrs.Factory(LogCounters)
    log_levels: LogLevels = attrs.Factory(lambda: LogLevels("info"))
    log_tail: LogTail = attrs.Factory(LogTail)
    started_at: int = attrs.Factory(now_us)
    sockets: dict[str, socket.socket] = attrs.Factory(dict)
    network: Any = None
    alarms: Any = None
    watch: Any = None
    calls: Any = None
    reloads: Reloads = attrs.Factory(Reloads)
    indexes: Any = None
    feed: Any = None
    desk: Any = None
    stops: int = 0
    wallet_seed: bytes | None = None
    loops: Watchdog = attrs.field()

    @loops.default
    def _loops(self) -> Watchdog:
        return Watchdog(self.reactor, self.monotonic)

    @property
    def own_node_key(self) -> Any:
        return self.node_key

    @property
    def config(self) -> Any:
        return self.live.config

    @property
    def params(self) -> Any:
        return self.config.params

    @property
    def genesis(self) -> Any:
        return self.chosen_genesis

    @property
    def datadir(self) -> DataDirectory:
        return DataDirectory(self.config.datadir)

    @property
    def driver(self) -> NodeDriver:
        assert self.running is not None
        return self.running.driver

    @property
    def store(self) -> Any:
        assert self.running is not None
        return self.running.store

    def shut_down(self) -> None:
        self.stops += 1


@attrs.frozen
class LoopbackConfig(Config):
    """A configuration whose services listen on one port each; 0 for free ones."""

    port: int = 0

    @property
    def rpc_port(self) -> int:
        return self.port

    @property
    def monitor_port(self) -> int:
        return self.port


def shown(section: str, name: str, value: Any) -> str:
    """A value as a file has it."""
    [kind] = [row.kind for row in keys() if row.full_name == f"{section}.{name}"]
    return kind.show(value)


def make_context(
    directory: str,
    *,
    chain: bool = True,
    wallet: bool = True,
    port: int = 0,
    interval: int = 600,
    rpc: dict[str, Any] | None = None,
    others: Mapping[str, str] = MappingProxyType({}),
) -> FakeContext:
    """A context whose services listen on free ports of the loopback address."""
    start = genesis(1, time=now_us() // 1_000_000 - 1, interval=interval)
    given = {
        "node.network": start.params.name,
        "node.datadir": os.path.abspath(directory),
        "services.enabled": "chain, rpc",
        "wallet.enabled": "yes" if wallet else "no",
        **{f"rpc.{name}": shown("rpc", name, value) for name, value in (rpc or {}).items()},
        **others,
    }
    config = LoopbackConfig(Settings(), Path(directory).absolute(), port=port).with_layers(
        Layers(file=tuple(override(name, text, "node.ini:1") for name, text in given.items()))
    )
    live = LiveConfig(config, reactor, maybeDeferred)
    operator = well_known_key("operator", 1)
    node_key = well_known_key("node", 1)
    running = None
    if chain:
        store = MemoryStore()
        node = Node(NodeConfig(start, node_key, operator), store, random.Random(1))
        driver = NodeDriver(
            node,
            store,
            reactor,
            now_us,
            Hands(InlineThreads(), InlineThreads(), 1, reactor.callFromThread, verify_batch),
            max_store_bytes=1 << 24,
            max_verify_items=1 << 16,
        )
        running = Running(node, driver, store)
    return FakeContext(live, running, node_key, operator, start, wallet_seed=well_known_seed("wallet", 1))


class ServiceTestCase(TestCase):
    """Starts both services; every call to them is made from a thread, with a deadline."""

    timeout = 3 * DEADLINE_S
    chain = True
    interval = 600
    """Seconds; no block is made during an ordinary test."""

    def setUp(self) -> None:
        self.directory = self.mktemp()
        os.mkdir(self.directory)
        self.context = make_context(
            self.directory, chain=self.chain, interval=self.interval, rpc=self.rpc_settings()
        )
        self.prepare()
        if self.context.running is not None:
            self.context.driver.start()
        self.services = MultiService()
        self.rpc = RpcService(self.context)  # type: ignore[arg-type]
        self.monitor = MonitorService(self.context)  # type: ignore[arg-type]
        self.rpc.setServiceParent(self.services)
        self.monitor.setServiceParent(self.services)
        self.services.startService()

    def rpc_settings(self) -> dict[str, Any]:
        """Keys of the section [rpc] that are not the default's."""
        return {}

    def prepare(self) -> None:
        """What a test wants to change before anything starts."""

    async def tearDown(self) -> None:
        await self.services.stopService()
        self.context.live.stop()
        if self.context.running is not None:
            await self.context.driver.stop()

    @property
    def rpc_port(self) -> int:
        assert self.rpc.port is not None
        return int(self.rpc.port.getHost().port)

    @property
    def monitor_port(self) -> int:
        assert self.monitor.port is not None
        return int(self.monitor.port.getHost().port)

    @property
    def location(self) -> Location:
        return Location("127.0.0.1", self.rpc_port, cookie_file=os.path.join(self.directory, ".cookie"))

    def cookie(self) -> str:
        return Path(self.directory, ".cookie").read_text(encoding="ascii")

    def in_thread(self, func: Callable[..., Any], *args: Any, **named: Any) -> Deferred[Any]:
        return deferToThread(func, *args, **named)

    def authorization(self) -> dict[str, str]:
        from timed.client.message import authorization

        user, _, password = self.cookie().partition(":")
        return {"Authorization": authorization(user, password)}


def fetch(
    port: int, method: str, path: str = "/", body: bytes = b"", headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], bytes]:
    """One HTTP exchange on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return (
            response.status,
            {name.lower(): value for name, value in response.getheaders()},
            response.read(),
        )
    finally:
        connection.close()


def head_of(port: int, *parts: bytes) -> bytes:
    """Send bytes and return what comes back up to the end of the headers; then hang up."""
    with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S) as raw:
        for part in parts:
            raw.sendall(part)
        received = b""
        while b"\r\n\r\n" not in received and (data := raw.recv(65_536)):
            received += data
        return received


def exchange_raw(port: int, *parts: bytes, close: bool = False) -> bytes:
    """Send bytes and return all that comes back until the other side closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S) as raw:
        for part in parts:
            raw.sendall(part)
        if close:
            raw.shutdown(socket.SHUT_WR)
        received = b""
        while True:
            try:
                data = raw.recv(65_536)
            except ConnectionResetError:
                return received
            if not data:
                return received
            received += data
