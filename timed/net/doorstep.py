"""Who connects and says nothing costs a few hundred bytes, not a TLS connection."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from timed.net.lobby import Lobby
from timed.net.protocol import PeerProtocol
from timed.net.tls import PeerTls, PeerTlsFactory


class Doorstep(Protocol):
    """Stands where TLS will stand, until the first byte has come."""

    transport: Any

    def __init__(self, tls: PeerTls, peer: PeerProtocol, lobby: Lobby) -> None:
        self._tls = tls
        self._peer = peer
        self._lobby = lobby

    def connectionMade(self) -> None:
        self._peer.transport = self.transport  # what a refusal aborts

    def dataReceived(self, data: bytes) -> None:
        """Give way to TLS for good."""
        self._lobby.spoke(self._peer)
        self.transport.protocol = self._tls
        self._tls.makeConnection(self.transport)
        self._tls.dataReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._peer.connectionLost(reason)


class DoorFactory(Factory):
    """Puts a doorstep before what a TLS factory builds."""

    noisy = False

    def __init__(self, inside: PeerTlsFactory, lobby: Lobby) -> None:
        self._inside = inside
        self._lobby = lobby

    def buildProtocol(self, addr: IAddress | None) -> Doorstep | None:
        tls = self._inside.buildProtocol(addr)
        if tls is None:
            return None
        peer: Any = tls.wrappedProtocol
        return Doorstep(tls, peer, self._lobby)
