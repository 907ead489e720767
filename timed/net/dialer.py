"""Dials: from an address to a link, under one deadline for name, TCP and TLS."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.interfaces import IDelayedCall, IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from timed.net import reasons
from timed.net.protocol import PeerProtocol

_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})*\.?", re.IGNORECASE | re.ASCII)
_HOST_NAME_MAX = 253

Build = Callable[["Dial"], PeerProtocol]
Wrap = Callable[[Factory], IProtocolFactory]
Report = Callable[["Dial", str], None]


def endpoint_for(reactor: Any, host: str, port: int, timeout_s: float) -> IStreamClientEndpoint | None:
    """How to reach an address; None for what is neither an IP address nor a host name.

    Addresses come from peers: what a resolver would choke on must not reach it.
    """
    if not 0 < port < 65536:
        return None
    if isIPAddress(host):
        return TCP4ClientEndpoint(reactor, host, port, timeout_s)
    if isIPv6Address(host):
        return TCP6ClientEndpoint(reactor, host, port, timeout_s)
    if len(host) <= _HOST_NAME_MAX and _HOST_NAME.fullmatch(host):
        return HostnameEndpoint(reactor, host, port, timeout_s)
    return None


class Dial:
    """One attempt. It ends in a link or in exactly one report of why not."""

    def __init__(self, host: str, port: int, expected: bytes | None) -> None:
        self.host = host
        self.port = port
        self.expected = expected
        self.protocol: PeerProtocol | None = None
        """The transport, once TCP is up."""
        self._call: IDelayedCall | None = None
        self._connecting: Deferred[IProtocol] | None = None
        self._over = False
        self._report: Report | None = None

    def begin(self, reactor: Any, timeout_s: float, build: Build, wrap: Wrap, report: Report) -> None:
        """Start in the next reactor turn, so that no outcome is ever reported from inside here."""
        self._report = report
        self._call = reactor.callLater(0, self._connect, reactor, timeout_s, build, wrap)

    def refuse_later(self, reactor: Any, reason: str, report: Report) -> None:
        """Fail in the next reactor turn, for `reason`."""
        self._report = report
        self._call = reactor.callLater(0, self.fail, reason)

    def succeeded(self) -> None:
        """The link is up; what happens to it is no longer this dial's business."""
        self._over = True
        self._cancel_call()

    def fail(self, reason: str) -> None:
        """End the attempt, whatever it waits for, and report it."""
        if self._over or self._report is None:
            return
        self._over = True
        self._cancel_call()
        if self.protocol is not None:
            self.protocol.refuse(reason)
        elif self._connecting is not None:
            self._connecting.cancel()
        self._report(self, reason)

    def _connect(self, reactor: Any, timeout_s: float, build: Build, wrap: Wrap) -> None:
        endpoint = endpoint_for(reactor, self.host, self.port, timeout_s)
        if endpoint is None:
            self.fail(reasons.BAD_ADDRESS)
            return
        self._call = reactor.callLater(timeout_s, self.fail, reasons.TIMEOUT)
        self._connecting = endpoint.connect(wrap(_DialFactory(self, build)))
        self._connecting.addCallbacks(self._connected, self._failed)

    def _connected(self, protocol: IProtocol) -> None:
        """TCP is up; TLS or the deadline decide."""
        self._connecting = None

    def _failed(self, failure: Failure) -> None:
        self._connecting = None
        self.fail(reasons.reason_of(failure))

    def _cancel_call(self) -> None:
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = None


class _DialFactory(Factory):
    """Builds the one transport of a dial; a second address that answers gets none."""

    noisy = False

    def __init__(self, dial: Dial, build: Build) -> None:
        self._dial = dial
        self._build = build

    def buildProtocol(self, addr: object) -> PeerProtocol | None:
        if self._dial.protocol is not None:
            return None
        self._dial.protocol = self._build(self._dial)
        return self._dial.protocol
