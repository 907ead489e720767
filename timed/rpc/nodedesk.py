"""The desk of the process that runs the node, with its wallet, and the service that keeps it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import attrs
from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail
from twisted.logger import Logger

from timed.errors import ConfigError, LocalError
from timed.rpc import consolidation, toll
from timed.rpc.backend import ChainBackend
from timed.rpc.coinset import CoinScan
from timed.rpc.consolidation import Consolidation
from timed.rpc.desk import Desk
from timed.rpc.environment import Environment, Identity, Recorded, no_recording
from timed.rpc.linkwire import Hello
from timed.rpc.localfront import LocalFront, check_path
from timed.rpc.peering import Peering, SocketCounters
from timed.rpc.snapshot import SnapshotSource
from timed.rpc.wallethost import WalletHost

if TYPE_CHECKING:
    from timed.app.config import Config
    from timed.app.context import Context
    from timed.peer.seeding import Seeding


class NodeDesk(Desk):
    """Answers every call where there is a chain; without one those that need none."""

    _keys = (*toll.KEYS, *consolidation.KEYS)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._wallet: WalletHost | None = None
        self._backend = None if context.running is None else ChainBackend(context.driver, context.store)
        self._scan = CoinScan()
        if self._backend is not None:
            source = SnapshotSource(context.store, context.genesis, lambda: context.indexes, self._scan)
            self._make_reader(source)
            if context.config.settings.wallet.enabled:
                path = str(context.config.wallet_file)
                self._wallet = host = WalletHost(path, self._backend, context.reactor, os.urandom)
                self.parts.wallet = host.wallet
                self.parts.chronicle, self.parts.pursuit = host.chronicle, host.pursuit
        environment = self._make_environment()
        self.dispatcher = self._make_dispatcher(environment)
        self._consolidation = Consolidation.of(environment, context.reactor, context.config)
        self.parts.consolidation = environment.consolidation = self._consolidation
        self.parts.patience = environment.patience

    def start(self) -> None:
        """LocalError when the wallet cannot be had."""
        super().start()
        context, backend, wallet = self._context, self._backend, self._wallet
        if backend is not None:
            backend.subscribe(self.waiters)
        if context.feed is not None:
            context.feed.hub.listeners.append(self._new_event)
        if wallet is not None:
            wallet.start(context.wallet_seed)
            self._ends += wallet.watch(context.loops)
        if backend is not None and wallet is not None:
            backend.subscribe(self._consolidation)

    async def end_calls(self) -> None:
        self._consolidation.stop()
        await super().end_calls()

    async def stop(self) -> None:
        await super().stop()
        wallet, self._wallet = self._wallet, None
        if wallet is not None:
            await wallet.stop()

    def _identity(self) -> Identity:
        operator = self._context.operator_key
        return attrs.evolve(
            super()._identity(),
            node_id=self._context.node_key.public,
            operator=None if operator is None else operator.public,
        )

    def _make_environment(self) -> Environment:
        context, backend, wallet = self._context, self._backend, self._wallet
        return attrs.evolve(
            super()._make_environment(),
            write_wallet=self._write_wallet,
            remember=self._remember,
            record=self._record,
            backend=backend,
            peering=None if backend is None else Peering(context.driver, self._sockets, self._seeding),
            own_wallet=None if wallet is None else wallet.wallet,
            own_custody=None if wallet is None else wallet.custody,
            own_chronicle=None if wallet is None else wallet.chronicle,
            own_pursuit=None if wallet is None else wallet.pursuit,
            indexes=lambda: context.indexes,
            scan=self._scan,
            alarms=lambda: context.alarms,
        )

    def _seeding(self) -> Seeding | None:
        seeds = self._context.seeds
        return None if seeds is None else seeds.seeding

    def _sockets(self) -> SocketCounters | None:
        """The counters of the p2p service's transports, while it runs."""
        network = self._context.network
        return None if network is None else network.counters

    def _regulate(self, config: Config) -> None:
        super()._regulate(config)
        self._consolidation.follow(config)

    def _write_wallet(self) -> Deferred[None]:
        if self._wallet is None:
            return fail(LocalError("the wallet is closed."))
        return self._wallet.write()

    def _remember(self) -> Deferred[None]:
        running = self._context.running
        return fail(LocalError("the node stops.")) if running is None else running.remember()

    async def _record(self, why: str) -> Recorded:
        running = self._context.running
        if running is None or running.recordings is None:
            return await no_recording(why)
        return await running.recordings.save(why)


class DeskService(Service):
    """Keeps the desk of a node for the fronts that start after it; comes with the chain service."""

    _log = Logger()

    def __init__(self, context: Context) -> None:
        self.setName("desk")
        self._context = context
        self.front: LocalFront | None = None
        """Where RPC processes connect, while there is a node."""

    def startService(self) -> None:
        """LocalError when the wallet or the local socket cannot be had."""
        super().startService()
        context = self._context
        desk = NodeDesk(context)
        desk.start()
        context.desk = desk
        if context.running is not None:
            self._open_front(desk)

    def stopService(self) -> Deferred[None]:
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        desk, self._context.desk = self._context.desk, None
        if desk is None:
            return
        await desk.end_calls()
        front, self.front = self.front, None
        desk.parts.local = None
        if front is not None:
            await front.stop()
        await desk.stop()

    def _open_front(self, desk: NodeDesk) -> None:
        """A path that is too long is no reason not to run: most nodes have no process apart."""
        context = self._context
        path = str(context.config.socket_file)
        try:
            check_path(path)
        except ConfigError as error:
            self._log.warn("no RPC process can connect: {reason}", reason=str(error))
            return
        front = LocalFront(desk.dispatcher, Hello.of(context.genesis), context.reactor, path)
        front.start()
        self.front = desk.parts.local = front


def make_service(context: Context) -> DeskService:
    """`IServiceMaker.make` of the desk service."""
    return DeskService(context)
