"""One application out of a configuration: the only place that knows all its parts."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, TextIO, cast

from twisted.application.service import IService, MultiService, Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.threads import deferToThreadPool
from twisted.logger import ILogObserver, Logger
from twisted.python.components import Componentized

from timed import __version__
from timed.allocator import settle_allocator, trim_heap
from timed.app.collector import Sweep, settle_collector
from timed.app.config import Config
from timed.app.context import Context
from timed.app.datadir import attach, prepare
from timed.app.descriptors import DescriptorsService
from timed.app.follow import OverridesFollower
from timed.app.genesis_file import choose_genesis
from timed.app.live import LiveConfig
from timed.app.logging import Account, LineObserver
from timed.app.ports import Sockets, check_given, check_port
from timed.app.registry import choose, find
from timed.app.reload import HangupService
from timed.app.systemd import SystemdService
from timed.app.watchdog import Watchdog
from timed.crypto.rule import use_backend
from timed.errors import ConfigError, LocalError
from timed.interfaces import IServiceMaker, ISignatureBackend, names
from timed.ledger.regtest import well_known_seed
from timed.loops import Ticker

NEED_GENESIS = frozenset({"chain", "p2p"})
"""Services that have nothing to do on a network without a genesis."""
COMES_WITH = {"chain": ("desk", "feed")}
"""What runs beside a service without being named in services.enabled."""

TIDY_S = 15.0
"""Between two times that memory nobody uses is given back; what comes together meanwhile is room the process keeps."""

LOG_KEYS = ("log.level", "log.levels", "log.format", "log.burst", "log.window")

log = Logger()


def now_us() -> int:
    """The wall clock, in whole microseconds of unix time."""
    return time.time_ns() // 1000


class Application(MultiService):
    """The services of one node: started in order, stopped one after the other in reverse.

    A LocalError at the start is one sentence on standard error and exit status 1. A daemon has no standard error any
    more: its log has the sentence, and the error goes on to twistd, which tells the process that waits for the start.
    """

    def __init__(self, observer: LineObserver, err: TextIO, *, daemon: bool = False) -> None:
        super().__init__()
        self.observer = observer
        self.orderly = True
        """No service has failed to start or to stop."""
        self._err = err
        self._daemon = daemon

    def setServiceParent(self, parent: Any) -> None:
        """twistd asks the application for its log observer before it starts anything."""
        if isinstance(parent, Componentized):
            parent.setComponent(ILogObserver, self.observer)
        super().setServiceParent(parent)

    def startService(self) -> None:
        settle_allocator()
        settle_collector()
        Service.startService(self)
        started: list[IService] = []
        for service in self:
            try:
                service.startService()
            except LocalError as error:
                self.orderly = False
                if self._daemon:
                    log.critical("the node cannot start: {error}", error=error)
                else:
                    print_error(self._err, error)
                for other in reversed(started):
                    other.stopService()
                if self._daemon:
                    raise
                raise SystemExit(1) from None
            started.append(service)
        settle_collector()

    def stopService(self) -> Deferred[None]:
        Service.stopService(self)
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        for service in reversed(list(self)):
            try:
                await maybeDeferred(service.stopService)
            except Exception:  # noqa: BLE001 - the others must be stopped, too
                self.orderly = False
                log.failure("the service {name} did not stop cleanly", name=service.name)


def tidy_memory(sweep: Sweep) -> None:
    """What is in cycles first: it leaves holes."""
    sweep.collect()
    trim_heap()


class Housekeeping(Service):
    """Something small that is done every so many seconds, watched as a loop of that name."""

    def __init__(
        self,
        name: str,
        reactor: Any,
        every_s: float | Callable[[], float],
        work: Callable[[], object],
        loops: Watchdog,
    ) -> None:
        self.setName(name)
        self._loop = name
        self._loops = loops
        self._ticker = Ticker(reactor, every_s, work)
        self._unwatch: Callable[[], None] | None = None

    def startService(self) -> None:
        super().startService()
        self._ticker.start()
        self._unwatch = self._loops.add_ticker(self._loop, self._ticker, "Restart in a quiet hour.")

    def stopService(self) -> None:
        super().stopService()
        self._ticker.stop()
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None


class ConfigService(Service):
    """Lets the log follow the configuration; at the end, no change waits any more."""

    def __init__(self, live: LiveConfig, observer: LineObserver) -> None:
        self._live = live
        self._observer = observer
        self._unsubscribe: Callable[[], None] | None = None

    def startService(self) -> None:
        super().startService()
        self._unsubscribe = self._live.subscribe(
            LOG_KEYS, lambda config: self._observer.tune(config.settings.log)
        )

    def stopService(self) -> None:
        super().stopService()
        self._live.stop()
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None


def print_error(err: TextIO, error: LocalError) -> None:
    """The one sentence an operator reads when the start failed."""
    err.write(f"timed: {error}\n")
    err.flush()


def service_makers(enabled: Sequence[str]) -> list[IServiceMaker]:
    """The makers of the enabled services and of what comes with them, in their order."""
    makers = find(IServiceMaker)
    unnamed = {other for others in COMES_WITH.values() for other in others}
    for name in enabled:
        if name not in makers or name in unnamed:
            raise ConfigError(
                f"services.enabled: there is no service called {name!r}.",
                f"There are: {', '.join(known for known in names(makers.values()) if known not in unnamed)}.",
            )
    wanted = {*enabled, *(other for name in enabled for other in COMES_WITH.get(name, ()))}
    return sorted((makers[name] for name in wanted), key=lambda maker: (maker.order, maker.name))


def check_ports(config: Config, sockets: Sockets) -> None:
    """ConfigError for a port that somebody else has, and for a socket of the service manager nobody takes."""
    settings = config.settings
    wanted = {
        "p2p": (settings.p2p.host, config.p2p_port),
        "rpc": (settings.rpc.host, config.rpc_port),
        "monitor": (settings.monitor.host, config.monitor_port),
    }
    for name, (host, port) in wanted.items():
        if name not in settings.services.enabled:
            if name in sockets:
                raise ConfigError(
                    f"the service manager listens for {name}, which does not run here.",
                    "Put it into services.enabled, or disable the socket unit.",
                )
        elif name in sockets:
            check_given(sockets[name], host, port, f"{name}.port")
        else:
            check_port(host, port, f"{name}.port")


def make_context(live: LiveConfig, reactor: Any, observer: LineObserver, sockets: Sockets) -> Context:
    """Everything that can fail before a service starts fails here, with a LocalError."""
    config = live.config
    backend = choose(ISignatureBackend, config.settings.crypto.backend, "crypto.backend")
    use_backend(backend.with_test_keys() if config.params.plain_allowed else backend)
    genesis = choose_genesis(config)
    check_ports(config, sockets)
    if config.apart and genesis is None:
        raise ConfigError(
            f"{config.params.name} has no genesis of its own yet, so there is no chain to answer from.",
            "Set node.genesis, or put chain into services.enabled.",
        )
    datadir = attach(config.datadir) if config.apart else prepare(config.datadir)
    return Context(
        live=live,
        chosen_genesis=genesis,
        datadir=datadir,
        own_node_key=None if config.apart else datadir.node_key(os.urandom),
        operator_key=None
        if config.apart or not config.settings.node.member
        else datadir.operator_key(operator_entropy(config)),
        reactor=reactor,
        clock=now_us,
        monotonic=time.monotonic,
        log_counters=observer.counters,
        log_levels=observer.levels,
        log_tail=observer.tail,
        started_at=now_us(),
        loops=Watchdog(reactor, time.monotonic),
        shut_down=lambda: reactor.callLater(0, reactor.stop),
        sockets=sockets,
    )


def operator_entropy(config: Config) -> Callable[[int], bytes]:
    """Where a new operator key comes from: a built-in regtest member's is well known."""
    number = config.builtin_member
    if number is None:
        return os.urandom
    return lambda size: well_known_seed("operator", number)[:size]


def on_whose_account(context: Context) -> Account | None:
    """The call or the peer that the reactor's thread works for now; None on every other thread."""
    if threading.current_thread() is not threading.main_thread():
        return None
    calls, running = context.calls, context.running
    call = None if calls is None else calls.running
    if call is not None:
        return Account(call=call.number, method=call.method, user=call.caller.user)
    meter = None if running is None else running.driver.meter
    node_id = None if meter is None else meter.whose
    return None if node_id is None else Account(peer=node_id.hex())


def announce(context: Context) -> None:
    """The effective configuration in one line."""
    config = context.config
    log.info(
        "timed {version} on {network}: node {node_id}, data in {datadir}, "
        "p2p {p2p}, rpc {rpc}, monitor {monitor}, services {services}",
        version=__version__,
        network=config.params.name,
        node_id="apart" if context.own_node_key is None else context.node_key.public.hex(),
        datadir=str(config.datadir),
        p2p=config.p2p_port,
        rpc=config.rpc_port,
        monitor=config.monitor_port,
        services=", ".join(config.settings.services.enabled),
    )
    if context.chosen_genesis is None:
        log.warn(
            "{network} has no genesis of its own yet: this node follows no chain and makes no blocks; "
            "set node.genesis to a genesis file to follow one",
            network=config.params.name,
        )
        return
    operator = context.operator_key
    if operator is not None and context.genesis.roster_at(1).index_of(operator.public) is None:
        log.warn("the operator key {key} is not on the first roster", key=operator.public.hex())


def sentence(application: Application) -> str:
    """What the service manager is told about the node: the monitor's word, if there is one."""
    monitor = application.namedServices.get("monitor")
    return monitor.sentence() if monitor is not None else "running without a monitor"


class Announcement(Service):
    """Says what was started once the log is open, and when all of it has stopped."""

    def __init__(self, context: Context, orderly: Callable[[], bool]) -> None:
        """`orderly` is false once a service has failed to start or to stop."""
        self._context = context
        self._orderly = orderly

    def startService(self) -> None:
        super().startService()
        announce(self._context)

    def stopService(self) -> None:
        super().stopService()
        if self._orderly():
            log.info("stopped in good order")
        else:
            log.error("stopped, and not in good order: what stands above says why")


def compose(
    config: Config,
    reactor: Any,
    out: TextIO,
    *,
    journal: bool = False,
    err: TextIO | None = None,
    sockets: Sockets = MappingProxyType({}),
    daemon: bool = False,
) -> Application:
    """The application of one node; LocalError when it cannot be."""
    settings = config.settings
    observer = LineObserver(
        out,
        time.time,
        level=settings.log.level,
        burst=settings.log.burst,
        window=settings.log.window,
        journal=journal,
    )
    observer.tune(settings.log)
    makers = service_makers(settings.services.enabled)
    live = LiveConfig(config, reactor, partial(deferToThreadPool, reactor, reactor.getThreadPool()))
    context = make_context(live, reactor, observer, sockets)
    observer.about = partial(on_whose_account, context)
    application = Application(
        observer, err if err is not None else (sys.__stderr__ or sys.stderr), daemon=daemon
    )
    application.addService(context.loops)
    # The rate limiter's summaries are written also when nothing else is logged.
    application.addService(
        Housekeeping("log-summaries", reactor, lambda: observer.window, observer.sweep, context.loops)
    )
    tidy = partial(tidy_memory, Sweep(context.monotonic))
    application.addService(Housekeeping("heap", reactor, TIDY_S, tidy, context.loops))
    application.addService(ConfigService(live, observer))
    application.addService(DescriptorsService(live))
    application.addService(HangupService(context.reloads, reactor))
    if config.apart:
        application.addService(OverridesFollower(live, context.reloads, reactor, context.loops))
    application.addService(Announcement(context, lambda: application.orderly))
    for maker in makers:
        if context.chosen_genesis is not None or maker.name not in NEED_GENESIS:
            # The parent is known to its children: that is how they find each other.
            cast(Service, maker.make(context)).setServiceParent(application)
    application.addService(SystemdService(reactor, status=lambda: sentence(application), loops=context.loops))
    return application
