"""The rpc service: port, cookie, wallet, and the way from a request to its handler."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from timed import __version__
from timed.errors import ConfigError, LocalError
from timed.rpc.auth import Account, Authenticator, remove_cookie, write_cookie
from timed.rpc.backend import ChainBackend
from timed.rpc.dispatch import Dispatcher
from timed.rpc.environment import Environment, Identity
from timed.rpc.handlers import HANDLERS
from timed.rpc.http import RpcEndpoint
from timed.rpc.peering import Peering, SocketCounters
from timed.rpc.site import BoundedSite
from timed.rpc.slices import Slicer
from timed.rpc.waiting import Waiters
from timed.rpc.wallethost import WalletHost

if TYPE_CHECKING:
    from timed.app.context import Context
    from timed.peer.seeding import Seeding

SOFTWARE = f"timed/{__version__}"


class RpcService(Service):
    """Answers JSON-RPC until it is stopped.

    After `stopService` has fired, no port, connection, waiting call, thread or
    cookie is left.
    """

    _log = Logger()

    def __init__(self, context: Context) -> None:
        self.setName("rpc")
        self._context = context
        self._waiters = Waiters(context.reactor)
        self._wallet: WalletHost | None = None
        self._cookie: Account | None = None
        self._slicer = Slicer()
        self._site: BoundedSite | None = None
        self.dispatcher: Dispatcher | None = None
        self.port: IListeningPort | None = None

    @property
    def site(self) -> BoundedSite | None:
        """The HTTP side, with its counters."""
        return self._site

    @property
    def waiters(self) -> Waiters:
        return self._waiters

    def startService(self) -> None:
        """LocalError when the port, the cookie or the wallet cannot be had."""
        super().startService()
        context = self._context
        backend = None
        if context.running is not None:
            backend = ChainBackend(context.driver, context.store)
            backend.subscribe(self._waiters)
            if context.config.settings.wallet.enabled:
                self._wallet = WalletHost(
                    str(context.config.wallet_file), backend, context.reactor, os.urandom
                )
                self._wallet.start(context.wallet_seed)
        environment = self._environment(backend)
        self._slicer = environment.slicer
        self.dispatcher = Dispatcher(HANDLERS, environment, pause=self._pause, failed=self._failed)
        path = str(context.config.cookie_file)
        self._cookie = write_cookie(path)
        endpoint = RpcEndpoint(self.dispatcher, Authenticator([self._cookie]))
        self._site = BoundedSite(endpoint, context.reactor, limit=endpoint.limit)
        self.port = listen(
            context.reactor, self._site, context.config.settings.rpc.host, context.config.rpc_port, "rpc.port"
        )

    def stopService(self) -> Deferred[None]:
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        port, self.port = self.port, None
        if port is not None:
            await maybeDeferred(port.stopListening)
        self._waiters.close()
        await self._slicer.stop(self._pause)
        if self._site is not None:
            await self._site.close()
        wallet, self._wallet = self._wallet, None
        if wallet is not None:
            await wallet.stop()
        cookie, self._cookie = self._cookie, None
        if cookie is not None:
            try:
                remove_cookie(str(self._context.config.cookie_file), cookie)
            except LocalError as error:
                self._log.warn("{reason}", reason=str(error))

    def _environment(self, backend: ChainBackend | None) -> Environment:
        context = self._context
        operator = context.operator_key
        identity = Identity(
            node_id=context.node_key.public,
            operator=operator.public if operator is not None else None,
            software=SOFTWARE,
            p2p_port=context.config.p2p_port,
        )
        return Environment(
            params=context.params,
            identity=identity,
            monotonic=context.monotonic,
            started=context.monotonic(),
            shut_down=context.shut_down,
            waiters=self._waiters,
            write_wallet=self._write_wallet,
            remember=self._remember,
            backend=backend,
            peering=Peering(context.driver, self._sockets, self._seeding) if backend is not None else None,
            log_levels=context.log_levels,
            own_wallet=self._wallet.wallet if self._wallet is not None else None,
            own_custody=self._wallet.custody if self._wallet is not None else None,
            indexes=lambda: context.indexes,
            pause=self._pause,
        )

    def _seeding(self) -> Seeding | None:
        seeds = self._context.seeds
        return None if seeds is None else seeds.seeding

    def _sockets(self) -> SocketCounters | None:
        """The counters of the p2p service's transports, while it runs."""
        network = self._context.network
        return None if network is None else network.counters

    def _pause(self) -> Deferred[None]:
        return deferLater(self._context.reactor, 0)

    def _write_wallet(self) -> Deferred[None]:
        if self._wallet is None:
            return fail(LocalError("the wallet is closed."))
        return self._wallet.write()

    def _remember(self) -> Deferred[None]:
        running = self._context.running
        return fail(LocalError("the node stops.")) if running is None else running.remember()

    def _failed(self, method: str, error: Exception) -> None:
        self._log.failure("the RPC method {method} raised", Failure(error), method=method)


def listen(reactor: Any, site: BoundedSite, host: str, port: int, key: str) -> IListeningPort:
    """A listening port; ConfigError, naming the configuration's `key`, when it cannot be had."""
    try:
        listening: IListeningPort = reactor.listenTCP(port, site, backlog=128, interface=host)
    except CannotListenError as error:
        raise ConfigError(
            f"cannot listen on {host} port {port}: {error.socketError}.", f"Choose another with {key}."
        ) from error
    return listening


def make_service(context: Context) -> RpcService:
    """`IServiceMaker.make` of the rpc service."""
    return RpcService(context)
