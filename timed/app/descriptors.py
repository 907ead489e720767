"""File descriptors: as many as the configured connections may take, where the system allows it.

Many systems start a process with a soft limit of 1,024 and a hard one far above.
"""

from __future__ import annotations

import resource
from collections.abc import Callable

import attrs
from twisted.application.service import Service
from twisted.logger import Logger

from timed.app.config import Config
from timed.app.live import LiveConfig
from timed.app.p2p import limits_of
from timed.monitor.service import MAX_CONNECTIONS as MONITOR_CONNECTIONS

FOR_ITSELF = 256
"""Store, indexes, log, wallet and threads, RPC processes on this machine, and what is accepted to be refused."""
KEYS = ("p2p.max_inbound", "rpc.max_connections")
REMEDY = "Raise the hard limit: LimitNOFILE= in the unit, or ulimit -Hn, then restart; or lower the bounds."


@attrs.frozen
class Limit:
    """What the process may have open now, and what its configuration may take."""

    now: int
    wanted: int

    @property
    def suffices(self) -> bool:
        return self.now >= self.wanted


def wanted(config: Config) -> int:
    """Descriptors that are open when every bound of the enabled services is reached."""
    settings = config.settings
    links = limits_of(settings.p2p)
    bounds = {
        "p2p": links.max_inbound + links.max_outbound + links.max_half_open,
        "rpc": settings.rpc.max_connections,
        "monitor": MONITOR_CONNECTIONS,
    }
    return FOR_ITSELF + sum(most for name, most in bounds.items() if name in settings.services.enabled)


def raise_limit(needed: int) -> Limit:
    """Lift the soft limit to `needed`, or to the hard one below that; it is never lowered."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return Limit(needed if soft == resource.RLIM_INFINITY else soft, needed)
    lifted = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if lifted > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (lifted, hard))
    return Limit(max(soft, lifted), needed)


class DescriptorsService(Service):
    """Lifts the limit before the first port is opened, and again when a bound is changed."""

    _log = Logger()

    def __init__(self, live: LiveConfig) -> None:
        self.setName("descriptors")
        self._live = live
        self._unsubscribe: Callable[[], None] | None = None

    def startService(self) -> None:
        super().startService()
        self._follow(self._live.config)
        self._unsubscribe = self._live.subscribe(KEYS, self._follow)

    def stopService(self) -> None:
        super().stopService()
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None

    def _follow(self, config: Config) -> None:
        limit = raise_limit(wanted(config))
        if not limit.suffices:
            self._log.warn(
                "{now} file descriptors are fewer than the {wanted} that p2p.max_inbound, rpc.max_connections "
                "and the node itself may take: connections will be refused below the bounds. {remedy}",
                now=limit.now,
                wanted=limit.wanted,
                remedy=REMEDY,
            )
