"""TLS 1.3 with mutual authentication by node keys (protocol §5).

OpenSSL asks for a certificate and proves that the peer holds its key. It judges
nothing else: `proved_key` does, once the handshake is over, in one place and the
same way on both sides.

Every handshake is a full one: there are no stateless tickets and no session cache.
OpenSSL still sends two ticket messages that name no session (pyOpenSSL cannot turn
them off); who offers one back gets a full handshake. Should a session ever be
resumed all the same, no certificate is shown in that handshake, and it is refused.
"""

from __future__ import annotations

from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.x509 import InvalidVersion
from OpenSSL import SSL
from OpenSSL.crypto import X509, PKey
from twisted.internet.interfaces import (
    IAddress,
    IOpenSSLClientConnectionCreator,
    IOpenSSLServerConnectionCreator,
)
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from zope.interface import implementer

from timed import sending
from timed.errors import Refused
from timed.net import reasons
from timed.net.identity import TlsIdentity
from timed.net.limits import TLS_HANDSHAKE_BYTES, TLS_UNASKED_BYTES, NetworkCounters

_SLICE = 4 * 1024
"""OpenSSL's memory buffers keep the size of the largest piece they were ever fed."""
_READ = 32 * 1024
"""Taken from OpenSSL for one write to the socket."""


class PeerTls(TLSMemoryBIOProtocol):
    """Twisted's TLS without its write aggregation (the outbox batches), and bounded."""

    transport: Any

    shown: X509 | None = None
    """The certificate that the peer showed in this handshake."""
    _gathered: list[bytes] | None = None
    """What a write under way has become so far."""
    early = 0
    """Bytes received before the handshake was over."""
    unasked = 0
    """Bytes sent since, of which nobody here wrote the cause."""

    def dataReceived(self, data: bytes) -> None:
        """As Twisted's, in slices; what they hold is delivered in one piece.

        A record may carry a single byte, and whoever is given one pays for a call.
        """
        self._counters().bytes_received += len(data)
        self._take(data)
        peer: Any = self.wrappedProtocol
        peer.deliver()

    def _take(self, data: bytes) -> None:
        for start in range(0, len(data), _SLICE):
            if self._aborted or self._lostTLSConnection:
                return
            piece = data[start : start + _SLICE]
            if not self._handshakeDone:
                self.early += len(piece)
                if self.early > TLS_HANDSHAKE_BYTES:
                    peer: Any = self.wrappedProtocol
                    peer.refuse(reasons.TLS_TOO_LONG)
                    return
            super().dataReceived(piece)

    def _flushSendBIO(self) -> None:  # noqa: N802 - Twisted's name
        """As Twisted's, and counted: nothing else writes to the socket."""
        try:
            data = self._tlsConnection.bio_read(_READ)
        except SSL.WantReadError:
            return
        self._counters().bytes_sent += len(data)
        if self._gathered is not None:
            self._gathered.append(data)
            return
        self.transport.write(data)
        if self._handshakeDone and not self._aborted:
            self.unasked += len(data)
            if self.unasked > TLS_UNASKED_BYTES:
                peer: Any = self.wrappedProtocol
                peer.refuse(reasons.TLS_TOO_LONG)

    def write(self, data: bytes) -> None:
        """As Twisted's, but what becomes of it is handed to the kernel at once, in one piece."""
        gathered: list[bytes] = []
        self._gathered = gathered
        try:
            super().write(data)
        finally:
            self._gathered = None
            rest = sending.send_now(self.transport, b"".join(gathered))
            if rest:
                self.transport.write(rest)

    def is_idle(self) -> bool:
        """True when everything that was written is with the kernel."""
        return not self._appSendBuffer and sending.is_idle(self.transport)

    def _counters(self) -> NetworkCounters:
        peer: Any = self.wrappedProtocol
        counters: NetworkCounters = peer.counters
        return counters

    def abortConnection(self) -> None:  # noqa: N802 - ITCPTransport's name
        """Drop the connection; harmless at any time (Twisted's raises once TLS is gone)."""
        if not self._lostTLSConnection:
            super().abortConnection()
            return
        self._aborted = True
        self.disconnecting = True
        self.transport.abortConnection()


def make_context(identity: TlsIdentity) -> SSL.Context:
    """The OpenSSL context that all connections of a node share, inbound and outbound."""
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(SSL.TLS1_3_VERSION)
    context.set_options(SSL.OP_NO_TICKET | SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    context.set_verify(SSL.VERIFY_PEER, note_certificate)
    context.use_certificate(identity.certificate)
    context.use_privatekey(PKey.from_cryptography_key(identity.private_key))
    return context


def note_certificate(connection: SSL.Connection, certificate: X509, error: int, depth: int, ok: int) -> bool:
    """OpenSSL's verify callback: its verdict on names, dates and issuers is of no interest."""
    if depth == 0:
        connection.get_app_data().shown = certificate
    return True


def proved_key(tls: PeerTls, expected: bytes | None) -> bytes:
    """The Ed25519 key that the other side holds; Refused names what is wrong with it.

    `expected` is the node id that was dialled, if one was. Call it once, when the
    handshake is over.
    """
    certificate, tls.shown = tls.shown, None
    if certificate is None:
        resumed = tls.getPeerCertificate() is not None
        raise Refused(reasons.SESSION_RESUMED if resumed else reasons.NO_CERTIFICATE)
    try:
        key = certificate.to_cryptography().public_key()
    except (ValueError, UnsupportedAlgorithm, InvalidVersion) as error:
        raise Refused(reasons.NOT_ED25519, type(error).__name__) from error
    if not isinstance(key, Ed25519PublicKey):
        raise Refused(reasons.NOT_ED25519, type(key).__name__)
    node_id = key.public_bytes_raw()
    if expected is not None and node_id != expected:
        raise Refused(reasons.WRONG_KEY, node_id.hex())
    return node_id


@implementer(IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator)
class ConnectionCreator:
    """Makes the TLS connections of one context."""

    def __init__(self, context: SSL.Context) -> None:
        self._context = context

    def clientConnectionForTLS(self, tls: TLSMemoryBIOProtocol) -> SSL.Connection:
        """No SNI: there is no name to ask for."""
        return self._connection(tls)

    def serverConnectionForTLS(self, tls: TLSMemoryBIOProtocol) -> SSL.Connection:
        return self._connection(tls)

    def _connection(self, tls: TLSMemoryBIOProtocol) -> SSL.Connection:
        connection = SSL.Connection(self._context, None)
        connection.set_app_data(tls)
        return connection


class PeerTlsFactory(TLSMemoryBIOFactory):
    """Wraps what a factory builds in TLS, unless it declines to build."""

    protocol: type[PeerTls] = PeerTls

    def buildProtocol(self, addr: IAddress | None) -> PeerTls | None:  # type: ignore[override]
        inner = self.wrappedFactory.buildProtocol(addr)
        return None if inner is None else self.protocol(self, inner)
