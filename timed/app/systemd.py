"""The service manager's notifications, spoken by hand over its datagram socket (sd_notify(3))."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

from twisted.application.service import Service
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

WATCHDOG_SHARE = 3
"""Notify this many times within the watchdog's interval."""


class SystemdService(Service):
    """Says READY, WATCHDOG and STOPPING when `NOTIFY_SOCKET` is set; nothing otherwise."""

    _log = Logger()

    def __init__(self, reactor: IReactorTime, environ: Mapping[str, str] = os.environ) -> None:
        self._reactor = reactor
        self._address = environ.get("NOTIFY_SOCKET", "")
        self._interval_us = _watchdog_interval(environ)
        self._call: IDelayedCall | None = None
        self.failures = 0

    def startService(self) -> None:
        super().startService()
        self.notify("READY=1")
        if self._address and self._interval_us:
            self._beat()

    def stopService(self) -> None:
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = None
        self.notify("STOPPING=1")
        super().stopService()

    def notify(self, state: str) -> None:
        """Send one state; a manager that does not listen is counted, never fatal."""
        if not self._address:
            return
        # A leading @ stands for the abstract namespace.
        address = f"\0{self._address[1:]}" if self._address[0] == "@" else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.sendto(state.encode("ascii"), address)
        except OSError as error:
            self.failures += 1
            self._log.warn("the service manager was not told {state}: {error}", state=state, error=error)

    def _beat(self) -> None:
        self.notify("WATCHDOG=1")
        self._call = self._reactor.callLater(self._interval_us / WATCHDOG_SHARE / 1_000_000, self._beat)


def _watchdog_interval(environ: Mapping[str, str]) -> int:
    """Microseconds; 0 when the manager watches nobody or somebody else."""
    pid = environ.get("WATCHDOG_PID", "")
    text = environ.get("WATCHDOG_USEC", "")
    if not text.isdigit() or (pid and pid != str(os.getpid())):
        return 0
    return int(text)
