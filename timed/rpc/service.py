"""The rpc service: JSON-RPC over HTTP on a TCP port, with the cookie that lets callers in."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger

from timed.errors import LocalError
from timed.rpc.access import ServerTls, accounts, check_exposure, listen, secrets_of, tls
from timed.rpc.apart import ApartDesk
from timed.rpc.auth import Account, Authenticator, remove_cookie, write_cookie
from timed.rpc.credentials import Secret
from timed.rpc.desk import Desk
from timed.rpc.followed import CookieFollower
from timed.rpc.http import RpcEndpoint
from timed.rpc.nodedesk import NodeDesk
from timed.rpc.site import BoundedSite
from timed.rpc.streams import Streams

if TYPE_CHECKING:
    from timed.app.config import Config
    from timed.app.context import Context
    from timed.rpc.dispatch import Dispatcher
    from timed.rpc.parts import Parts
    from timed.rpc.waiting import Waiters

KEYS = ("rpc.allow", "rpc.max_connections", "rpc.proxies", "rpc.roles", "rpc.whitelist")
"""What the service follows while it runs."""


class RpcService(Service):
    """Hands calls over TCP to the process's desk until it is stopped.

    After `stopService` has fired, no port, connection, waiting call or cookie is left.
    """

    _log = Logger()

    def __init__(self, context: Context) -> None:
        self.setName("rpc")
        self._context = context
        self._cookie: Account | None = None
        self._desk: Desk | None = None
        self._owns_desk = False
        self._endpoint: RpcEndpoint | None = None
        self._streams: Streams | None = None
        self._secrets: tuple[Secret, ...] = ()
        self._tls: ServerTls | None = None
        self._ends: list[Callable[[], None]] = []
        """End what follows the configuration and the operator's reloads."""
        self.site: BoundedSite | None = None
        """The HTTP side, with its counters."""
        self.port: IListeningPort | None = None

    @property
    def dispatcher(self) -> Dispatcher | None:
        return None if self._desk is None else self._desk.dispatcher

    @property
    def parts(self) -> Parts | None:
        """What answers calls in this process."""
        return None if self._desk is None else self._desk.parts

    @property
    def waiters(self) -> Waiters | None:
        return None if self._desk is None else self._desk.waiters

    def startService(self) -> None:
        """LocalError when the port, the cookie or the wallet cannot be had."""
        super().startService()
        context = self._context
        config, settings = context.config, context.config.settings.rpc
        self._secrets = secrets_of(config)
        known = accounts(settings, self._secrets)
        check_exposure(settings, self._secrets)
        self._tls = tls(config)
        self._owns_desk = context.desk is None
        self._desk = desk = make_desk(context)
        if self._owns_desk:
            desk.start()
        authenticator = self._authenticator(known)
        self._streams = streams = Streams(
            lambda: context.feed, context.params, desk.toll.admit, context.reactor
        )
        self._endpoint = endpoint = RpcEndpoint(
            desk.dispatcher,
            authenticator,
            context.reactor,
            settings.allow,
            self._unready,
            settings.proxies,
            streams,
        )
        self.site = BoundedSite(
            endpoint, context.reactor, limit=endpoint.limit, max_connections=settings.max_connections
        )
        desk.parts.site, desk.parts.authenticator = self.site, authenticator
        self.port = listen(
            context.reactor, self.site, settings.host, context.config.rpc_port, "rpc.port", self._tls,
            context.sockets.get("rpc"),
        )  # fmt: skip
        self._ends = [
            context.live.subscribe(KEYS, partial(self._regulate, endpoint, self.site, authenticator)),
            context.reloads.add("accounts", partial(self._reload_accounts, authenticator)),
        ]
        if self._tls is not None:
            self._ends.append(context.reloads.add("certificate", self._tls.reload))

    def _authenticator(self, known: list[Account]) -> Authenticator:
        """The chain process makes the cookie of a data directory; the others take it."""
        path = str(self._context.config.cookie_file)
        if self._context.config.apart:
            return CookieFollower(path, known)
        self._cookie = write_cookie(path)
        return Authenticator(known, self._cookie)

    def _regulate(
        self, endpoint: RpcEndpoint, site: BoundedSite, authenticator: Authenticator, config: Config
    ) -> None:
        """Follow the keys that may change; ConfigError, and nothing has changed."""
        settings = config.settings.rpc
        self._adopt(authenticator, accounts(settings, self._secrets))
        endpoint.restrict(settings.allow, settings.proxies)
        site.regulate(settings.max_connections)

    def _reload_accounts(self, authenticator: Authenticator) -> str:
        config = self._context.config
        secrets = secrets_of(config)
        known = accounts(config.settings.rpc, secrets)
        check_exposure(config.settings.rpc, secrets)
        self._secrets = secrets
        self._adopt(authenticator, known)
        return f"{len(known)} beside the cookie"

    def _adopt(self, authenticator: Authenticator, known: list[Account]) -> None:
        """A subscription lasts for days: it ends with the account that it was begun with."""
        changed = authenticator.configure(known)
        if changed and self._streams is not None:
            self._streams.dismiss(changed)

    def _unready(self) -> str | None:
        """The chain process may be away: then snapshots are answered, and nobody else could do more."""
        return None if self.port is not None else "stopping"

    def stopService(self) -> Deferred[None]:
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        ends, self._ends = self._ends, []
        for end in ends:
            end()
        port, self.port = self.port, None
        if port is not None:
            await maybeDeferred(port.stopListening)
        if self._desk is not None:
            await self._desk.end_calls()
        if self._endpoint is not None:
            self._endpoint.close()
        if self._streams is not None:
            await self._streams.stop()
        if self.site is not None:
            await self.site.close()
        if self._desk is not None:
            self._desk.parts.site = self._desk.parts.authenticator = None
        if self._desk is not None and self._owns_desk:
            await self._desk.stop()
        cookie, self._cookie = self._cookie, None
        if cookie is not None:
            try:
                remove_cookie(str(self._context.config.cookie_file), cookie)
            except LocalError as error:
                self._log.warn("{reason}", reason=str(error))


def make_desk(context: Context) -> Desk:
    """The process's desk; a new one for a process whose rpc service runs alone."""
    if context.desk is not None:
        return context.desk
    return ApartDesk(context) if context.config.apart else NodeDesk(context)


def make_service(context: Context) -> RpcService:
    """`IServiceMaker.make` of the rpc service."""
    return RpcService(context)
