"""What answers calls, however they arrive: dispatcher, environment, waiting calls, and the wallet.

A front (`timed.rpc.service` for TCP) hands requests to `dispatcher` and the replies
back. One desk serves all fronts of a process.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from timed import __version__
from timed.errors import ConfigError, LocalError
from timed.monitor.profiler import Profiler
from timed.rpc import consolidation
from timed.rpc.activity import Activity
from timed.rpc.backend import ChainBackend
from timed.rpc.calllog import call_log
from timed.rpc.coinset import CoinScan
from timed.rpc.consolidation import Consolidation
from timed.rpc.dispatch import Dispatcher
from timed.rpc.environment import Environment, Identity, Recorded, no_recording
from timed.rpc.eventing import NEW_EVENT
from timed.rpc.handlers import HANDLERS
from timed.rpc.linkwire import Hello
from timed.rpc.localfront import LocalFront, check_path
from timed.rpc.parts import Parts
from timed.rpc.peering import Peering, SocketCounters
from timed.rpc.reader import Reader, watch_reader
from timed.rpc.snapshot import SnapshotSource
from timed.rpc.toll import KEYS, Toll, watch_lanes
from timed.rpc.waiting import Waiters
from timed.rpc.wallethost import WalletHost

if TYPE_CHECKING:
    from timed.app.config import Config
    from timed.app.context import Context
    from timed.peer.seeding import Seeding

SOFTWARE = f"timed/{__version__}"


class Desk:
    """The desk of the process that runs the node.

    After `stop` no waiting call, thread or file is left.
    """

    _log = Logger()

    def __init__(self, context: Context) -> None:
        self._context = context
        self._wallet: WalletHost | None = None
        self.waiters = Waiters(context.reactor)
        self._unsubscribe: Callable[[], None] | None = None
        self._unwatch: list[Callable[[], None]] = []
        backend = None if context.running is None else ChainBackend(context.driver, context.store)
        if backend is not None and context.config.settings.wallet.enabled:
            self._wallet = WalletHost(str(context.config.wallet_file), backend, context.reactor, os.urandom)
        self._backend = backend
        self._scan = CoinScan()
        self._pool: ThreadPool | None = None
        activity = Activity(context.monotonic, context.clock, ended=call_log(context.log_levels))
        self._reader = None if backend is None else self._make_reader(activity)
        settings = context.config.settings.rpc
        self.toll = Toll(context.reactor, settings.budget_per_s, settings.deadline_s)
        self._profiler = Profiler(context.reactor, context.monotonic)
        self.parts = Parts(activity, self.toll, self.waiters, self._profiler, reader=self._reader)
        if self._wallet is not None:
            self.parts.wallet = self._wallet.wallet
            self.parts.chronicle, self.parts.pursuit = self._wallet.chronicle, self._wallet.pursuit
        environment = self._make_environment()
        self.dispatcher = Dispatcher(
            HANDLERS,
            environment,
            pause=self._pause,
            failed=self._failed,
            admit=self.toll.admit,
            within=self.toll.within,
            activity=self.parts.activity,
        )
        self._consolidation = Consolidation.of(environment, context.reactor, context.config)
        self.parts.consolidation = environment.consolidation = self._consolidation
        self.parts.patience = environment.patience

    def start(self) -> None:
        """LocalError when the wallet cannot be had."""
        self._context.calls = self.parts.activity
        self._unsubscribe = self._context.live.subscribe((*KEYS, *consolidation.KEYS), self._regulate)
        self._pool = ThreadPool(minthreads=0, maxthreads=1, name="timed-reader")
        self._pool.start()
        if self._backend is not None:
            self._backend.subscribe(self.waiters)
        if self._context.feed is not None:
            self._context.feed.hub.listeners.append(self._new_event)
        self._unwatch = [watch_lanes(self._context.loops, self.toll.lanes)]
        if self._reader is not None:
            self._unwatch.append(watch_reader(self._context.loops, self._reader))
        if self._wallet is not None:
            self._wallet.start(self._context.wallet_seed)
            self._unwatch += self._wallet.watch(self._context.loops)
        if self._backend is not None and self._wallet is not None:
            self._backend.subscribe(self._consolidation)

    def callInThread(self, func: Callable[..., object], *args: object) -> None:  # noqa: N802 - as a ThreadPool's
        """`timed.rpc.reader.Threads`."""
        if self._pool is None:
            raise LocalError("the desk is closed.")
        self._pool.callInThread(func, *args)

    async def end_calls(self) -> None:
        """Every call under way is answered soon; a second time does nothing more."""
        self._consolidation.stop()
        self._context.calls = None
        self.waiters.close()
        self.toll.close()
        self._profiler.close()
        if self._reader is not None:
            await self._reader.stop()

    async def stop(self) -> None:
        """Once no front hands in calls any more."""
        await self.end_calls()
        unwatch, self._unwatch = self._unwatch, []
        for end in unwatch:
            end()
        unsubscribe, self._unsubscribe = self._unsubscribe, None
        if unsubscribe is not None:
            unsubscribe()
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.stop()
        wallet, self._wallet = self._wallet, None
        if wallet is not None:
            await wallet.stop()

    def _make_reader(self, activity: Activity) -> Reader:
        context = self._context
        source = SnapshotSource(context.store, context.genesis, lambda: context.indexes, self._scan)
        return Reader(source, self, context.reactor.callFromThread, context.monotonic, activity=activity)

    def _make_environment(self) -> Environment:
        context, wallet = self._context, self._wallet
        operator = context.operator_key
        identity = Identity(
            node_id=context.node_key.public,
            operator=operator.public if operator is not None else None,
            software=SOFTWARE,
            p2p_port=context.config.p2p_port,
        )
        backend = self._backend
        return Environment(
            params=context.params,
            identity=identity,
            monotonic=context.monotonic,
            pause=self._pause,
            started=context.monotonic(),
            shut_down=context.shut_down,
            waiters=self.waiters,
            write_wallet=self._write_wallet,
            remember=self._remember,
            record=self._record,
            backend=backend,
            peering=Peering(context.driver, self._sockets, self._seeding) if backend is not None else None,
            log_levels=context.log_levels,
            own_wallet=wallet.wallet if wallet is not None else None,
            own_custody=wallet.custody if wallet is not None else None,
            own_chronicle=wallet.chronicle if wallet is not None else None,
            own_pursuit=wallet.pursuit if wallet is not None else None,
            indexes=lambda: context.indexes,
            feed=lambda: context.feed,
            scan=self._scan,
            reader=self._reader,
            configuration=context.live,
            reloads=context.reloads,
            alarms=lambda: context.alarms,
            watch=lambda: context.watch,
            parts=lambda: self.parts,
        )

    def _new_event(self, newest: int) -> None:
        self.waiters.tell(NEW_EVENT, newest)

    def _seeding(self) -> Seeding | None:
        seeds = self._context.seeds
        return None if seeds is None else seeds.seeding

    def _sockets(self) -> SocketCounters | None:
        """The counters of the p2p service's transports, while it runs."""
        network = self._context.network
        return None if network is None else network.counters

    def _regulate(self, config: Config) -> None:
        self.toll.regulate(config.settings.rpc)
        self._consolidation.follow(config)

    def _pause(self) -> Deferred[None]:
        return deferLater(self._context.reactor, 0)

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

    def _failed(self, method: str, error: Exception) -> None:
        self._log.failure("the RPC method {method} raised", Failure(error), method=method)


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
        desk = Desk(context)
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

    def _open_front(self, desk: Desk) -> None:
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
