"""The bytes of the sockets are counted, TLS included, as somebody in between counts them."""

from __future__ import annotations

from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.protocol import Factory, Protocol

from tests.net_world import HOST, NetTestCase, key, node_context, turns


class Side(Protocol):
    """One side of a relay: counts what comes and passes it on."""

    def __init__(self, relay, towards):
        self.relay, self.towards = relay, towards
        self.other = None
        self.early = b""

    def dataReceived(self, data):
        self.relay.counts[self.towards] += len(data)
        if self.other is None:
            self.early += data
        else:
            self.other.transport.write(data)

    def connectionLost(self, reason):
        self.relay.sides.discard(self)
        if self.other is not None and self.other.transport is not None:
            self.other.transport.loseConnection()


class Relay(Factory):
    """A TCP relay to `port`; `counts` holds the bytes to the server and to the client."""

    noisy = False

    def __init__(self, port):
        self.port = port
        self.counts = {"server": 0, "client": 0}
        self.sides = set()

    def buildProtocol(self, addr):
        near = Side(self, "server")
        far = Side(self, "client")
        self.sides.update((near, far))
        made = Factory.forProtocol(lambda: far)
        made.noisy = False

        def join(_):
            near.other, far.other = far, near
            far.transport.write(near.early)

        TCP4ClientEndpoint(reactor, HOST, self.port).connect(made).addCallback(join)
        return near


class CountTests(NetTestCase):
    plain = False

    async def relay(self, port):
        relay = Relay(port)
        listening = await TCP4ServerEndpoint(reactor, 0, interface=HOST).listen(relay)

        async def close():
            await listening.stopListening()
            for side in list(relay.sides):
                side.transport.abortConnection()
            await turns(lambda: not relay.sides)

        self.addCleanup(close)
        return relay, listening.getHost().port

    async def test_socket_bytes_are_what_a_relay_sees(self):
        server, there, port = await self.listening(2, plain=self.plain)
        relay, door = await self.relay(port)
        client, here = self.network(1, plain=self.plain)
        client.dial(HOST, door, None if self.plain else key(2).public)
        (near, *_), (far, *_) = await here.first("connected"), await there.first("connected")
        for _ in range(50):
            client.write(near, bytes(4_000))
            await here.until(lambda: len(here.of("drained")))
            here.events.clear()
        server.write(far, bytes(70_000))
        await there.until(lambda: len(there.data[far]) == 200_000)
        await here.until(lambda: len(here.data[near]) == 70_000)
        self.assertEqual(client.counters.bytes_sent, relay.counts["server"])
        self.assertEqual(client.counters.bytes_received, relay.counts["client"])
        self.assertEqual(server.counters.bytes_received, relay.counts["server"])
        self.assertEqual(server.counters.bytes_sent, relay.counts["client"])
        if self.plain:
            self.assertEqual(relay.counts, {"server": 200_000, "client": 70_000})

    async def test_who_is_shut_out_is_closed_unheard_and_costs_no_tls(self):
        shut = [HOST]
        server, there, port = await self.listening(2, plain=self.plain, shut_out=lambda host: host in shut)
        client, _ = self.network(1, plain=self.plain)
        client.dial(HOST, port)
        await turns(lambda: server.counters.refused["banned"])
        self.assertEqual((server.counters.accepted, server.counters.bytes_sent, there.events), (0, 0, []))
        shut.clear()
        client.dial(HOST, port)
        await there.first("connected")
        self.assertEqual(server.counters.accepted, 1)

    async def test_who_never_becomes_a_link_is_counted_too(self):
        server, _, port = await self.listening(2, plain=self.plain)
        stranger = await self.raw(port, None if self.plain else node_context(3))
        if self.plain:
            stranger.transport.write(bytes(100))
        await turns(lambda: server.counters.bytes_received >= 100)
        self.assertGreaterEqual(server.counters.bytes_received, 100)
        self.assertEqual(server.counters.bytes_sent > 0, not self.plain)


class PlainCountTests(CountTests):
    plain = True
