"""The service manager's notifications, spoken by hand over its datagram socket (sd_notify(3))."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping

from twisted.application.service import Service
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from timed.app.watchdog import Watchdog
from timed.loops import Ticker

WATCHDOG_SHARE = 3
"""Notify this many times within the watchdog's interval."""
STATUS_S = 10.0
"""Between two looks at what STATUS says; it is told when it has changed."""
MAX_STATUS = 400
"""Characters of a STATUS."""


class SystemdService(Service):
    """Says READY, STATUS, WATCHDOG and STOPPING when `NOTIFY_SOCKET` is set; nothing otherwise.

    `status` gives one line about the node. WATCHDOG depends on the reactor alone: one that
    hangs is silent, and no loop of the node that is stuck is a reason to end the node.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        environ: Mapping[str, str] = os.environ,
        status: Callable[[], str] = lambda: "",
        loops: Watchdog | None = None,
    ) -> None:
        self.setName("systemd")
        self._address = environ.get("NOTIFY_SOCKET", "")
        self._interval_us = _watchdog_interval(environ)
        self._status = status
        self._ready = False
        """It has taken that the node is ready."""
        self._told = ""
        """The STATUS that it has taken."""
        self._refusing = False
        """It did not take the last state: one line for the first of several."""
        self._loops = loops
        self._beat = Ticker(reactor, self._interval_us / WATCHDOG_SHARE / 1_000_000, self._alive)
        self._tell = Ticker(reactor, STATUS_S, self._say)
        self._unwatch: list[Callable[[], None]] = []
        self.failures = 0

    def startService(self) -> None:
        super().startService()
        if self._address:
            self._begin("manager-status", self._tell)
        if self._address and self._interval_us:
            self._begin("manager-watchdog", self._beat)

    def _begin(self, name: str, ticker: Ticker) -> None:
        ticker.start()
        if self._loops is not None:
            self._unwatch.append(self._loops.add_ticker(name, ticker, "The manager may restart the node."))

    def stopService(self) -> None:
        unwatch, self._unwatch = self._unwatch, []
        for end in unwatch:
            end()
        self._beat.stop()
        self._tell.stop()
        self.notify("STOPPING=1")
        super().stopService()

    def notify(self, state: str) -> bool:
        """Send one state; False for a manager that does not take it, which is counted, never fatal."""
        if not self._address:
            return True
        # A leading @ stands for the abstract namespace.
        address = f"\0{self._address[1:]}" if self._address[0] == "@" else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                # A manager that does not read must not hold up the reactor.
                sender.setblocking(False)
                sender.sendto(state.encode("utf-8"), address)
        except OSError as error:
            self.failures += 1
            if not self._refusing:
                self._log.warn("the service manager was not told {state}: {error}", state=state, error=error)
            self._refusing = True
            return False
        self._refusing = False
        return True

    def _alive(self) -> None:
        self.notify("WATCHDOG=1")

    def _say(self) -> None:
        """What the manager has not taken yet: at first, that the node is ready."""
        if not self._ready:
            self._ready = self.notify("READY=1")
        status = " ".join(self._status().split())[:MAX_STATUS]
        if status != self._told and self.notify(f"STATUS={status}"):
            self._told = status


def _watchdog_interval(environ: Mapping[str, str]) -> int:
    """Microseconds; 0 when the manager watches nobody or somebody else."""
    pid = environ.get("WATCHDOG_PID", "")
    text = environ.get("WATCHDOG_USEC", "")
    if not text.isdigit() or (pid and pid != str(os.getpid())):
        return 0
    return int(text)
