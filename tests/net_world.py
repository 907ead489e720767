"""Networks on loopback for tests: recording hosts, raw TLS clients, a clock to turn."""

from __future__ import annotations

from OpenSSL import SSL
from OpenSSL.crypto import PKey
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import TestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from timed.crypto.keys import SigningKey
from timed.net.identity import TlsIdentity
from timed.net.interfaces import INetworkHost
from timed.net.network import Network
from timed.net.tls import ConnectionCreator

HOST = "127.0.0.1"

HELLO_BEGINS = b"\x16\x03\x01\x02\x00\x01"
"""The first bytes of a TLS client: a record of 512 bytes, and in it a ClientHello."""


def key(number: int) -> SigningKey:
    return SigningKey.from_seed(bytes([number]) * 32)


@implementer(INetworkHost)
class RecordingHost:
    """Keeps every call, and fires Deferreds when a condition comes true."""

    def __init__(self):
        self.events = []
        self.links = []
        self.data = {}
        self.on_drained = lambda link: None
        self._waiting = []

    def connected(self, link, outbound, peer_id, host, port):
        self.links.append(link)
        self.data[link] = b""
        self._event("connected", link, outbound, peer_id, host, port)

    def received(self, link, data):
        self.data[link] += data
        self._event("received", link)

    def disconnected(self, link, reason):
        self._event("disconnected", link, reason)

    def dial_failed(self, host, port, reason):
        self._event("dial_failed", host, port, reason)

    def drained(self, link):
        self._event("drained", link)
        self.on_drained(link)

    def of(self, kind):
        """The arguments of every call of this kind."""
        return [event[1:] for event in self.events if event[0] == kind]

    def until(self, condition):
        """A Deferred that fires with condition() as soon as it is true."""
        done = Deferred()
        self._waiting.append((condition, done))
        self._check()
        return done

    def first(self, kind):
        """The arguments of the first call of this kind, as soon as there is one."""
        return self.until(lambda: self.of(kind)).addCallback(lambda calls: calls[0])

    def _event(self, *event):
        self.events.append(event)
        self._check()

    def _check(self):
        for waiting in list(self._waiting):
            condition, done = waiting
            result = condition()
            if result:
                self._waiting.remove(waiting)
                done.callback(result)


class TurnedReactor:
    """The real reactor's sockets with a clock that the test turns."""

    def __init__(self, clock, resolver=None):
        self.clock = clock
        self.callLater = clock.callLater
        self.seconds = clock.seconds
        if resolver is not None:
            self.nameResolver = resolver

    def __getattr__(self, name):
        return getattr(reactor, name)


def turns(condition):
    """Fires when `condition()` is true, looked at once per reactor turn."""
    done = Deferred()

    def look():
        if condition():
            done.callback(None)
        else:
            reactor.callLater(0, look)

    look()
    return done


def a_turn():
    """Fires in the next reactor turn."""
    return deferLater(reactor, 0)


@implementer(IHandshakeListener)
class RawProtocol(Protocol):
    """A plain or TLS end that only records."""

    def __init__(self):
        self.data = b""
        self.up = Deferred()
        self.shaken = Deferred()
        self.lost = Deferred()

    def connectionMade(self):
        self.up.callback(self)

    def handshakeCompleted(self):
        self.shaken.callback(self)

    def dataReceived(self, data):
        self.data += data

    def connectionLost(self, reason):
        self.lost.callback(reason.value)


class RawFactory(Factory):
    noisy = False

    def __init__(self):
        self.built = []

    def buildProtocol(self, addr):
        protocol = RawProtocol()
        self.built.append(protocol)
        return protocol


def context(certificate=None, private_key=None, *, maximum=None, tickets=False, accept=True):
    """An OpenSSL context of somebody who is not a well-behaved node."""
    made = SSL.Context(SSL.TLS_METHOD)
    if maximum is not None:
        made.set_max_proto_version(maximum)
    made.set_session_id(b"test")
    if not tickets:
        made.set_options(SSL.OP_NO_TICKET)
    made.set_verify(SSL.VERIFY_PEER, lambda *_: accept)
    if certificate is not None:
        made.use_certificate(certificate)
        made.use_privatekey(PKey.from_cryptography_key(private_key))
    return made


def node_context(number, **options):
    identity = TlsIdentity.from_key(key(number))
    return context(identity.certificate, identity.private_key, **options)


class NetTestCase(TestCase):
    """Stops every network and closes every raw end; trial then looks for what is left."""

    timeout = 60

    def network(
        self, number=1, *, plain=False, limits=None, clock=None, resolver=None, shut_out=lambda host: False
    ):
        """(network, its host)"""
        host = RecordingHost()
        verifyObject(INetworkHost, host)
        base = reactor if clock is None else TurnedReactor(clock, resolver)
        network = Network(base, key(number), plain, host, limits, shut_out)

        def stop():
            done = network.stop()
            if clock is not None:
                clock.advance(60)
            return done

        self.addCleanup(stop)
        return network, host

    async def listening(self, number=1, **options):
        """(network, host, port number) of one that listens on loopback."""
        network, host = self.network(number, **options)
        port = await network.listen(0, HOST)
        return network, host, port.getHost().port

    async def linked(self, **options):
        """Two networks with one link: (dialler, its host, its link), (listener, its host, its link)."""
        server, there, port = await self.listening(2, **options)
        client, here = self.network(1, **options)
        client.dial(HOST, port, None if options.get("plain") else key(2).public)
        await here.first("connected")
        await there.first("connected")
        return (client, here, here.links[0]), (server, there, there.links[0])

    async def raw(self, port, tls=None, session=None):
        """A raw client, TCP up; TLS with the context `tls`."""
        factory = RawFactory()
        wrapped = factory
        if tls is not None:
            wrapped = TLSMemoryBIOFactory(_Resuming(tls, session), True, factory)
        await TCP4ClientEndpoint(reactor, HOST, port).connect(wrapped)
        protocol = factory.built[0]
        self.addCleanup(self.drop, protocol)
        return protocol

    async def raw_listening(self, tls=None):
        """(factory of raw servers, port number)"""
        factory = RawFactory()
        wrapped = factory if tls is None else TLSMemoryBIOFactory(ConnectionCreator(tls), False, factory)
        port = await TCP4ServerEndpoint(reactor, 0, interface=HOST).listen(wrapped)

        async def close():
            await port.stopListening()
            for protocol in factory.built:
                await self.drop(protocol)

        self.addCleanup(lambda: Deferred.fromCoroutine(close()))
        return factory, port.getHost().port

    async def drop(self, protocol):
        if not protocol.lost.called:
            transport = protocol.transport
            getattr(transport, "transport", transport).abortConnection()
            await protocol.lost


class _Resuming(ConnectionCreator):
    """Offers a session that was kept from an earlier connection."""

    def __init__(self, tls, session):
        super().__init__(tls)
        self._session = session

    def clientConnectionForTLS(self, tls):
        connection = super().clientConnectionForTLS(tls)
        if self._session is not None:
            connection.set_session(self._session)
        return connection
