"""Servers on loopback for what asks others over HTTP."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.server import Site


class ServerCase(TestCase):
    """`ended` has an item for each connection, which fires at its end: none may be left when a test ends."""

    timeout = 60

    def listen(self, root: Resource, context: Any = None) -> int:
        """Serve until the test is over, with TLS if there is a `context`; the port."""
        self.ended: list[Deferred[None]] = []
        site = Site(root)
        build = site.buildProtocol

        def noted(address: Any) -> Any:
            channel = build(address)
            gone: Deferred[None] = Deferred()
            lost = channel.connectionLost
            channel.connectionLost = lambda reason: (lost(reason), gone.callback(None))
            self.ended.append(gone)
            return channel

        site.buildProtocol = noted  # type: ignore[method-assign]
        real: Any = reactor
        port = (
            real.listenTCP(0, site, interface="127.0.0.1")
            if context is None
            else real.listenSSL(0, site, context, interface="127.0.0.1")
        )
        self.addCleanup(port.stopListening)
        return int(port.getHost().port)
