"""All transports of a node: it listens, dials, writes and closes, and owns what it opened."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IDelayedCall, IListeningPort, IProtocolFactory
from twisted.internet.protocol import Factory

from timed.crypto.keys import SigningKey
from timed.errors import LocalError
from timed.net import reasons
from timed.net.adopted import adopt
from timed.net.dialer import Dial
from timed.net.doorstep import DoorFactory
from timed.net.identity import TlsIdentity
from timed.net.interfaces import INetworkHost
from timed.net.limits import BACKLOG, NetworkCounters, NetworkLimits
from timed.net.lobby import Lobby
from timed.net.protocol import PeerProtocol
from timed.net.tls import ConnectionCreator, PeerTlsFactory, make_context


class Network:
    """Executes a node's Write, Close and Dial, and tells the host what comes back.

    Links are TLS 1.3 under the node's key, or plain TCP where `plain` is set
    (regtest). After `stop` has fired, no port, connection or call is left. Who
    comes from an address that `shut_out` names is closed unheard, before TLS.
    """

    def __init__(
        self,
        reactor: Any,
        node_key: SigningKey,
        plain: bool,
        host: INetworkHost,
        limits: NetworkLimits | None = None,
        shut_out: Callable[[str], bool] = lambda host: False,
    ) -> None:
        self.host = host
        self.limits = limits or NetworkLimits()
        self.clock = reactor
        self.counters = NetworkCounters()
        self._reactor = reactor
        self._shut_out = shut_out
        self._tls = None if plain else ConnectionCreator(make_context(TlsIdentity.from_key(node_key)))
        self._numbers = itertools.count(1)
        self._links: dict[int, PeerProtocol] = {}
        self._inbound: set[PeerProtocol] = set()
        self._closing: dict[PeerProtocol, None] = {}
        """Those of them that the host has closed and that have not ended, oldest first."""
        self._lobby = Lobby(reactor, self.limits)
        self._dials: dict[Dial, None] = {}
        self._dial_of: dict[PeerProtocol, Dial] = {}
        self._alive: set[PeerProtocol] = set()
        """Every transport that was built and whose end was not seen yet."""
        self._ports: list[IListeningPort] = []
        self._drained: dict[PeerProtocol, None] = {}
        self._drained_call: IDelayedCall | None = None
        self._stopping: list[Deferred[None]] | None = None
        """Who waits for the end, None while nobody has asked for it."""

    # The host's side.

    def listen(
        self, port: int, interface: str = "", given: socket.socket | None = None
    ) -> Deferred[IListeningPort]:
        """Accept connections. Fired or failed already on return; LocalError when the port is taken.

        `given` listens there already; it is closed, and its port is kept in use.
        """
        if self._stopping is not None:
            return fail(LocalError("the network has stopped."))
        factory: Factory = _InboundFactory(self)
        if self._tls is not None:
            factory = DoorFactory(PeerTlsFactory(self._tls, False, factory, self.clock), self._lobby)
        try:
            if given is not None:
                listening = adopt(self._reactor, given, factory)
            else:
                listening = self._reactor.listenTCP(port, factory, BACKLOG, interface)
        except CannotListenError as error:
            cause = getattr(error.socketError, "strerror", None) or str(error.socketError)
            return fail(
                LocalError(
                    f"cannot listen on {interface or 'every address'} port {port}: {cause}.",
                    "Stop the program that uses it, or choose another port.",
                )
            )
        self._ports.append(listening)
        return succeed(listening)

    def dial(self, host: str, port: int, expected_id: bytes | None = None) -> None:
        """Open a link to an IP address or host name; the outcome is `connected` or `dial_failed`.

        A peer that proves another key than `expected_id` is refused (wrong-key).
        A plain link proves nothing: there the node's handshake decides.
        """
        if self._stopping is not None:
            return
        dial = Dial(host, port, expected_id)
        over = len(self._dials) + self._outbound() >= self.limits.max_outbound
        self._dials[dial] = None
        if over:
            dial.refuse_later(self._reactor, reasons.DIAL_LIMIT, self._dial_over)
            return
        self.counters.dialled += 1
        dial.begin(
            self._reactor,
            self.limits.deadline_s,
            self._build_outbound,
            self._wrap,
            self._dial_over,
        )

    def write(self, link: int, data: bytes) -> None:
        """Hand `data` to a link; one that is gone or closing swallows it. `drained` follows."""
        protocol = self._links.get(link)
        if protocol is not None:
            protocol.write(data)

    def close(self, link: int, reason: str, abort: bool = False) -> None:
        """End a link, with `abort` at once, else once everything written has left.

        Nothing more is delivered but `disconnected(link, reason)`.
        """
        protocol = self._links.get(link)
        if protocol is None:
            return
        if abort:
            protocol.refuse(reason)
            return
        protocol.close(reason, self.limits.closing_s)
        if protocol in self._inbound:
            self._closing[protocol] = None

    def pause(self, link: int) -> None:
        """Read nothing more from a link; what is under way to its reader may still be delivered."""
        protocol = self._links.get(link)
        if protocol is not None:
            protocol.pause()

    def resume(self, link: int) -> None:
        """Read from a link again."""
        protocol = self._links.get(link)
        if protocol is not None:
            protocol.resume()

    def regulate(self, limits: NetworkLimits) -> None:
        """Other bounds from now on, for whoever comes; what is there stays."""
        self.limits = limits
        self._lobby.limits = limits

    def stop(self) -> Deferred[None]:
        """Close everything, what is written first. Fires when nothing is left.

        The host still hears the end of every link; dials end unreported.
        """
        done: Deferred[None] = Deferred()
        if self._stopping is not None:
            self._stopping.append(done)
            self._check_stopped()
            return done
        self._stopping = [done]
        for port in list(self._ports):
            stopped: Any = port.stopListening()
            if isinstance(stopped, Deferred):
                stopped.addBoth(self._port_stopped, port)
            else:
                self._port_stopped(None, port)
        for dial in list(self._dials):
            dial.fail(reasons.STOPPING)
        self._lobby.clear(reasons.STOPPING)
        for protocol in list(self._links.values()):
            protocol.close(reasons.STOPPING, self.limits.stopping_s)
        self._check_stopped()
        return done

    # The transports' side.

    def opened(self, protocol: PeerProtocol, peer_id: bytes | None) -> str | None:
        """Take a transport in as a link; the answer is why not, or None."""
        if protocol.outbound:
            dial = self._dial_of.pop(protocol)
            del self._dials[dial]
            dial.succeeded()
        else:
            self._lobby.leave(protocol)
            if self._full:
                return reasons.FULL
            self._make_place()
            self._inbound.add(protocol)
        self._links[protocol.link] = protocol
        return None

    def ended(self, protocol: PeerProtocol, reason: str) -> None:
        """A transport is gone: tell the host what became of its link or dial."""
        self._alive.discard(protocol)
        if self._links.pop(protocol.link, None) is not None:
            self._leave_place(protocol)
            self.host.disconnected(protocol.link, reason)
        elif protocol.outbound:
            dial = self._dial_of.pop(protocol, None)
            if dial is not None:
                dial.fail(reason)
        else:
            self._lobby.leave(protocol)
            self.counters.refused[reason] += 1
            self.host.disconnected(protocol.link, reason)
        self._check_stopped()

    def drained_soon(self, protocol: PeerProtocol) -> None:
        """The kernel took all of a write at once; the host is told when it has ended its turn."""
        if self._drained_call is None:
            self._drained_call = self._reactor.callLater(0, self._tell_drained)
        self._drained[protocol] = None

    def _tell_drained(self) -> None:
        self._drained_call = None
        drained, self._drained = self._drained, {}
        for protocol in drained:
            protocol.tell_drained()

    def overflowed(self) -> None:
        self.counters.write_overflows += 1

    # Inside.

    def _outbound(self) -> int:
        return sum(protocol.outbound for protocol in self._links.values())

    @property
    def _full(self) -> bool:
        """Whether nobody more may be an inbound link: who closes gives way."""
        return len(self._inbound) - len(self._closing) >= self.limits.max_inbound

    def _make_place(self) -> None:
        """Drop the oldest that closes, when all places are taken."""
        if self._closing and len(self._inbound) >= self.limits.max_inbound:
            oldest = next(iter(self._closing))
            self._leave_place(oldest)
            oldest.refuse(reasons.CROWDED_OUT)

    def _leave_place(self, protocol: PeerProtocol) -> None:
        self._inbound.discard(protocol)
        self._closing.pop(protocol, None)

    def _wrap(self, factory: Factory) -> IProtocolFactory:
        """The factory of a dial's transport, under TLS unless the network is plain."""
        return factory if self._tls is None else PeerTlsFactory(self._tls, True, factory, self.clock)

    def _build(self, *, outbound: bool, expected: bytes | None = None) -> PeerProtocol:
        protocol = PeerProtocol(
            self, next(self._numbers), outbound=outbound, tls=self._tls is not None, expected=expected
        )
        self._alive.add(protocol)
        return protocol

    def _build_outbound(self, dial: Dial) -> PeerProtocol:
        protocol = self._build(outbound=True, expected=dial.expected)
        protocol.dialled = (dial.host, dial.port)
        self._dial_of[protocol] = dial
        return protocol

    def build_inbound(self, host: str) -> PeerProtocol | None:
        """A transport for a connection from `host`, None when there is no place for it."""
        if self._stopping is not None:
            refusal: str | None = reasons.STOPPING
        elif self._shut_out(host):
            refusal = reasons.BANNED
        elif self._full:
            refusal = reasons.FULL
        else:
            refusal = self._lobby.refusal(host)
        if refusal is not None:
            self.counters.refused[refusal] += 1
            return None
        self.counters.accepted += 1
        protocol = self._build(outbound=False)
        if self._tls is not None:
            self._lobby.enter(protocol, host)
        return protocol

    def _dial_over(self, dial: Dial, reason: str) -> None:
        del self._dials[dial]
        if dial.protocol is not None:
            self._dial_of.pop(dial.protocol, None)
        self.counters.dials_failed[reason] += 1
        if self._stopping is None:
            self.host.dial_failed(dial.host, dial.port, reason)

    def _port_stopped(self, result: object, port: IListeningPort) -> None:
        self._ports.remove(port)
        self._check_stopped()

    def _check_stopped(self) -> None:
        if self._stopping and not (self._ports or self._alive or self._dials):
            if self._drained_call is not None:
                self._drained_call.cancel()
                self._drained_call = None
            waiting, self._stopping = self._stopping, []
            for done in waiting:
                done.callback(None)


class _InboundFactory(Factory):
    """Builds a transport for every connection there is a place for."""

    noisy = False

    def __init__(self, network: Network) -> None:
        self._network = network

    def buildProtocol(self, addr: Any) -> PeerProtocol | None:
        return self._network.build_inbound(addr.host)
