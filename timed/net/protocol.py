"""One transport, from its first byte to its end; the same class in both directions."""

from __future__ import annotations

import enum
from typing import Any
from typing import Protocol as Typed

from twisted.internet.interfaces import (
    IDelayedCall,
    IHandshakeListener,
    IPullProducer,
    IReactorTime,
    ITCPTransport,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from timed import sending
from timed.errors import Refused
from timed.net import buffers, reasons
from timed.net.interfaces import INetworkHost
from timed.net.limits import NetworkCounters, NetworkLimits
from timed.net.tls import proved_key


class Phase(enum.Enum):
    """A transport goes down this list and never up; it may skip phases."""

    HALF_OPEN = "half-open"
    """TCP may be up; TLS is not, or not yet judged."""
    UP = "up"
    """The host knows the link."""
    CLOSING = "closing"
    """Nothing is delivered or written any more; the other side may still say its part."""
    ENDED = "ended"


class Owner(Typed):
    """What a transport needs of the `Network` it belongs to."""

    host: INetworkHost
    limits: NetworkLimits
    clock: IReactorTime
    counters: NetworkCounters

    def opened(self, protocol: PeerProtocol, peer_id: bytes | None) -> str | None:
        """TLS has proved the peer (or the link is plain). A reason refuses it."""

    def ended(self, protocol: PeerProtocol, reason: str) -> None:
        """The connection is gone; called once for every transport that was."""

    def drained_soon(self, protocol: PeerProtocol) -> None:
        """Call `tell_drained` in the next turn of the reactor."""

    def overflowed(self) -> None:
        """A host wrote more than a link may hold."""


@implementer(IHandshakeListener, IPullProducer)
class PeerProtocol(Protocol):
    """Carries bytes between a transport and the host.

    It is its TCP transport's producer while something is unsent: being asked for
    more means that everything is with the kernel.
    """

    transport: Any
    """`PeerTls`, or TCP on a plain link; None before there is one."""

    def __init__(self, owner: Owner, link: int, *, outbound: bool, tls: bool, expected: bytes | None) -> None:
        self.link = link
        self.outbound = outbound
        self.phase = Phase.HALF_OPEN
        self.dialled: tuple[str, int] | None = None
        """What the host asked for, in its own words; a name stays a name."""
        self._owner = owner
        self._tls = tls
        self._expected = expected
        self._reason: str | None = None
        self._heard: list[bytes] = []
        """What TLS has opened of the bytes that were read last."""
        self._unsent = 0
        self._paused = False
        self._closing: IDelayedCall | None = None

    # The transport's side.

    def connectionMade(self) -> None:
        if self.phase is not Phase.HALF_OPEN:
            self.transport.abortConnection()  # refused between its building and now
            return
        tcp = self._tcp()
        if ITCPTransport.providedBy(tcp):
            tcp.setTcpNoDelay(True)
            buffers.fit(self._tcp().getHandle())
        if not self._tls:
            self._open(None)

    def handshakeCompleted(self) -> None:
        """Our half of the TLS handshake is over: judge what the peer has shown."""
        if self.phase is not Phase.HALF_OPEN:
            return
        try:
            peer_id = proved_key(self.transport, self._expected)
        except Refused as refusal:
            self.refuse(refusal.rule)
        else:
            self._open(peer_id)

    def _open(self, peer_id: bytes | None) -> None:
        if self.phase is not Phase.HALF_OPEN:
            return
        refusal = self._owner.opened(self, peer_id)
        if refusal is not None:
            self.refuse(refusal)
            return
        self.phase = Phase.UP
        peer = self._tcp().getPeer()
        host, port = self.dialled or (peer.host, peer.port)
        self._owner.host.connected(self.link, self.outbound, peer_id, host, port)

    @property
    def counters(self) -> NetworkCounters:
        """Those of the network it belongs to."""
        return self._owner.counters

    def dataReceived(self, data: bytes) -> None:
        if self._tls:
            self._heard.append(data)
            return
        self.counters.bytes_received += len(data)
        self._received(data)

    def deliver(self) -> None:
        """TLS has opened all that was read from the socket."""
        heard, self._heard = self._heard, []
        if heard:
            self._received(b"".join(heard))

    def _received(self, data: bytes) -> None:
        if self.phase is Phase.UP:
            self._owner.host.received(self.link, data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.phase = Phase.ENDED
        if self._closing is not None and self._closing.active():
            self._closing.cancel()
        self._closing = None
        self._owner.ended(self, self._reason or reasons.reason_of(reason))

    # The network's side.

    def write(self, data: bytes) -> None:
        """Send `data`, unless the link is closing."""
        if self.phase is not Phase.UP or not data or self.transport is None:
            return
        if self._unsent + len(data) > self._owner.limits.max_unsent:
            self._owner.overflowed()
            self.refuse(reasons.WRITE_OVERFLOW)
            return
        if self._tls:
            self.transport.write(data)
        else:
            self.counters.bytes_sent += len(data)
            rest = sending.send_now(self.transport, data)
            if rest:
                self.transport.write(rest)
        if self._unsent:
            self._unsent += len(data)
        elif self.transport.is_idle() if self._tls else not rest:
            self._owner.drained_soon(self)
        else:
            self._tcp().registerProducer(self, False)
            self._unsent = len(data)

    def tell_drained(self) -> None:
        """Everything written so far is with the kernel."""
        # The other side may have ended TLS: with a producer that always has more, the end would never come.
        if self.phase is Phase.UP and not self._unsent and not getattr(self._tcp(), "disconnecting", False):
            self._owner.host.drained(self.link)

    def pause(self) -> None:
        """Read nothing until `resume`; the other side's kernel, then its outbox fills."""
        if self.phase is Phase.UP and not self._paused:
            self._paused = True
            self._tcp().pauseProducing()

    def resume(self) -> None:
        """Read again."""
        if self._paused:
            self._paused = False
            self._tcp().resumeProducing()

    def close(self, reason: str, patience_s: float) -> None:
        """Send what is written, then end; abort when the peer does not follow in `patience_s`."""
        if self.phase is Phase.HALF_OPEN or self.transport is None:
            self.refuse(reason)
        elif self.phase is Phase.UP:
            self.phase = Phase.CLOSING
            self._reason = reason
            self.resume()  # the other side's part of the ending has to be read
            self._closing = self._owner.clock.callLater(patience_s, self.refuse, reason)
            self.transport.loseConnection()
        elif self._closing is not None and self._closing.active():
            self._closing.reset(patience_s)

    def refuse(self, reason: str) -> None:
        """End at once; what is not yet sent is dropped. The first reason given stays."""
        if self.phase is Phase.ENDED:
            return
        self.phase = Phase.CLOSING
        self._reason = self._reason or reason
        if self.transport is not None:
            self.transport.abortConnection()

    # The producer's side.

    def resumeProducing(self) -> None:
        if not self._unsent:
            return  # registering asks, too
        self._unsent = 0
        self._tcp().unregisterProducer()
        self.tell_drained()

    def stopProducing(self) -> None:
        """The connection is lost; `connectionLost` follows."""

    def _tcp(self) -> Any:
        """The TCP transport at the bottom."""
        return self.transport.transport if self._tls else self.transport
