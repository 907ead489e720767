"""Who connects and says nothing, or what is not TLS, costs a few hundred bytes, not a TLS connection."""

from __future__ import annotations

from struct import Struct
from typing import Any

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from timed.net import reasons
from timed.net.lobby import Lobby
from timed.net.protocol import PeerProtocol
from timed.net.tls import PeerTls, PeerTlsFactory

# How a TLS client begins: the header of a record, and the type of the handshake message in it (RFC 8446, 4 and 5.1).
_BEGINNING = Struct(">BBxHB")
_HANDSHAKE, _MAJOR_VERSION, _CLIENT_HELLO = 22, 3, 1
_RECORD_BYTES = 1 << 14
"""What a record may hold."""


def is_hello(data: bytes) -> bool | None:
    """Whether bytes begin a ClientHello; None while they are too few to tell."""
    if len(data) < _BEGINNING.size:
        return None
    kind, version, length, message = _BEGINNING.unpack_from(data)
    return (kind, version, message) == (
        _HANDSHAKE,
        _MAJOR_VERSION,
        _CLIENT_HELLO,
    ) and 0 < length <= _RECORD_BYTES


class Doorstep(Protocol):
    """Stands where TLS will stand, until a ClientHello has begun."""

    transport: Any

    def __init__(self, tls: PeerTls, peer: PeerProtocol, lobby: Lobby) -> None:
        self._tls = tls
        self._peer = peer
        self._lobby = lobby
        self._heard = b""

    def connectionMade(self) -> None:
        self._peer.transport = self.transport  # what a refusal aborts

    def dataReceived(self, data: bytes) -> None:
        """Give way to TLS for good, or refuse what is none."""
        self._heard += data
        hello = is_hello(self._heard)
        if hello is None:
            return
        if not hello:
            self._peer.refuse(reasons.TLS_FAILED)
            return
        self._lobby.spoke(self._peer)
        self.transport.protocol = self._tls
        self._tls.makeConnection(self.transport)
        self._tls.dataReceived(self._heard)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._peer.counters.bytes_received += len(self._heard)
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
