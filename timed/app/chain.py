"""The chain service: the store, the node, and the driver that runs it."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Sequence
from functools import partial

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from timed import __version__
from timed.app.config import Config
from timed.app.context import Context, Running
from timed.app.driver import Hands, NodeDriver
from timed.app.frozen import Freezing, why_frozen
from timed.app.memory import PeerMemory
from timed.app.meter import Meter
from timed.app.nodeloops import watch_driver, watch_memory
from timed.app.recordings import Recordings
from timed.app.registry import choose
from timed.app.schema import P2PSection
from timed.crew import Crew
from timed.crypto.batch import verify_batch
from timed.flight.recorder import Recorder
from timed.interfaces import IEventSink, IStore, IStoreBackend
from timed.node.config import NodeConfig
from timed.node.node import Node
from timed.peer.dialect import Dialect
from timed.peer.settings import PeerSettings
from timed.peer.values import PeerAddress

SOFTWARE = f"timed/{__version__}"
DRY_RUN = "dry-run"
P2P_KEYS = (
    "p2p.max_inbound",
    "p2p.trusted",
    "p2p.trust_loopback",
    "p2p.conduct",
    "p2p.rates",
    "p2p.peers",
)
"""What the node follows while it runs."""


class ChainService(Service):
    """Opens the store, replays it into a node, and runs the node until it is stopped.

    After `stopService` has fired, everything handed to the store is durable, what
    is remembered of peers is written, the store is closed and no thread is left.
    """

    _log = Logger()

    def __init__(self, context: Context) -> None:
        self.setName("chain")
        self._context = context
        self._crews: list[Crew] = []
        self._memory: PeerMemory | None = None
        self._unsubscribe: Callable[[], None] | None = None
        self._unwatch: list[Callable[[], None]] = []
        self._wanted: frozenset[PeerAddress] = frozenset()
        """Whom the configuration names."""

    def startService(self) -> None:
        """LocalError when the store cannot be used."""
        super().startService()
        context = self._context
        store = open_store(context)
        for note in store.notes:
            self._log.warn("{note}", note=note)
        if store.doubtful:
            self._log.error("the log may lack what this node signed: it signs nothing until the next block")
        note = context.datadir.safety_failure
        try:
            frozen = why_frozen(note)
            if frozen is not None:
                self._log.critical(
                    "this node votes no more: {what}. {note} says so", what=frozen, note=str(note)
                )
            node, recorder = self._make_node(store, frozen)
            driver = self._driver(node, store, recorder)
        except BaseException:
            store.close()
            raise
        memory = PeerMemory(context.datadir.peers, node.peers, context.reactor, self._crew("memory", 1))
        memory.load()
        driver.add_sink(Freezing(note))
        context.running = Running(node, driver, store, memory.counters, memory.save, self._recordings(driver))
        driver.start()
        memory.start()
        self._memory = memory
        self._unwatch = [
            *watch_driver(context.loops, driver, context.clock),
            watch_memory(context.loops, memory),
        ]
        self._wanted = frozenset(context.config.settings.p2p.peers)
        self._unsubscribe = context.live.subscribe(P2P_KEYS, self._regulate)

    def stopService(self) -> Deferred[None]:
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        running = self._context.running
        if running is None:
            return
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        unwatch, self._unwatch = self._unwatch, []
        for end in unwatch:
            end()
        await running.driver.stop()
        if self._memory is not None:
            await self._memory.stop()
        self._context.running = None
        for crew in self._crews:
            crew.stop()
        self._crews.clear()
        running.store.close()

    def _make_node(self, store: IStore, frozen: str | None) -> tuple[Node, Recorder | None]:
        context = self._context
        config, entropy = node_config(context, frozen), random.Random(os.urandom(32))
        limit = context.config.settings.node.recorder_bytes
        if not limit:
            return Node(config, store, entropy), None
        recorder = Recorder(config, store, entropy, limit, SOFTWARE, stopwatch=_stopwatch)
        return recorder.node, recorder

    def _recordings(self, driver: NodeDriver) -> Recordings | None:
        """What writes recordings, when the node is recorded."""
        if driver.recorder is None:
            return None
        context, crew = self._context, self._crew("recordings", 1)
        recordings = Recordings(
            driver.recorder,
            context.datadir.recordings,
            partial(crew.defer_to_thread, context.reactor),
            context.clock,
        )
        driver.faulted = recordings.faulted
        driver.add_sink(recordings)
        return recordings

    def _driver(self, node: Node, store: IStore, recorder: Recorder | None) -> NodeDriver:
        context = self._context
        crypto = context.config.settings.crypto
        hands = Hands(
            store=self._crew("store", 1),
            verifier=self._crew("verifier", crypto.threads),
            verifier_workers=crypto.threads,
            from_thread=context.reactor.callFromThread,
            verify_batch=verify_batch,
        )
        return NodeDriver(
            node,
            store,
            context.reactor,
            context.clock,
            hands,
            sinks=event_sinks(context.config.settings.services.sinks),
            max_store_bytes=context.config.settings.store.queue_bytes,
            max_verify_items=crypto.queue_items,
            meter=Meter(node.peers.costs, time.thread_time_ns),
            recorder=recorder,
        )

    def _regulate(self, config: Config) -> None:
        p2p, peers = config.settings.p2p, self._context.node.peers
        self._context.driver.operate(peers.regulate, peer_settings(p2p), self._context.clock())
        self._keep_connected(p2p.peers)

    def _keep_connected(self, wanted: Sequence[PeerAddress]) -> None:
        """Dial whom the configuration names now, and no longer whom it does not; sessions stay."""
        driver, peers = self._context.driver, self._context.node.peers
        before, self._wanted = self._wanted, frozenset(wanted)
        for address in before - self._wanted:
            driver.operate(peers.forget, address.host, address.port)
        for address in wanted:
            if address not in before and not driver.operate(
                peers.want, address.host, address.port, address.node_id
            ):
                self._log.warn("{address} is not dialled: too many are already", address=str(address))

    def _crew(self, name: str, threads: int) -> Crew:
        crew = Crew(f"timed-{name}", threads)
        self._crews.append(crew)
        return crew


def _stopwatch() -> int:
    """Microseconds of a clock that only goes forward."""
    return time.monotonic_ns() // 1_000


def open_store(context: Context) -> IStore:
    """The store of the configured backend; LocalError when it refuses the directory."""
    backend: IStoreBackend = choose(IStoreBackend, context.config.settings.store.backend, "store.backend")
    store: IStore = backend.open(str(context.datadir.chain), context.params.name, context.genesis.hash)
    return store


def peer_settings(p2p: P2PSection) -> PeerSettings:
    """What the configuration says of peers and may change while the node runs."""
    return PeerSettings(
        trusted=p2p.trusted,
        trust_loopback=p2p.trust_loopback,
        dry_run=p2p.conduct == DRY_RUN,
        max_inbound=p2p.max_inbound,
        rates=dict(p2p.rates),
    )


def node_config(context: Context, frozen: str | None = None) -> NodeConfig:
    """What the node is told of the configuration, and why it must not vote, if so."""
    p2p = context.config.settings.p2p
    return NodeConfig(
        genesis=context.genesis,
        node_key=context.node_key,
        operator_key=context.operator_key,
        wanted=tuple((peer.host, peer.port, peer.node_id) for peer in p2p.peers),
        software=SOFTWARE,
        listen_port=context.config.p2p_port,
        peer_settings=peer_settings(p2p),
        boot=context.started_at,
        frozen=frozen,
        dialect=Dialect(
            wire_version=p2p.wire_version,
            json=p2p.encoding == "json",
            compression=p2p.compression,
            batching=p2p.batching,
            priorities=p2p.priorities,
            tell_messages=context.config.settings.log.messages,
        ),
    )


def event_sinks(names: Sequence[str]) -> list[IEventSink]:
    """The configured sinks; ConfigError for one that is not there."""
    return [choose(IEventSink, name, "services.sinks") for name in names]


def make_service(context: Context) -> ChainService:
    """`IServiceMaker.make` of the chain service."""
    return ChainService(context)
