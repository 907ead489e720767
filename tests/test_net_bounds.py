"""Every bound of the transports has a name, a policy and a counter."""

from __future__ import annotations

import _ssl
import ctypes
import socket

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from twisted.internet import error
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IHostnameResolver
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tests.net_world import HELLO_BEGINS, HOST, NetTestCase, RecordingHost, a_turn, key, node_context, turns
from timed.net import reasons
from timed.net.identity import TlsIdentity
from timed.net.limits import TLS_UNASKED_BYTES, NetworkLimits, address_group
from timed.net.network import Network
from timed.net.tls import ConnectionCreator


class DeadlineTests(NetTestCase):
    """[19] One deadline for everything before a link is up."""

    async def test_a_client_that_says_nothing_is_closed_at_the_deadline(self):
        clock = Clock()
        network, host, port = await self.listening(clock=clock)
        client = await self.raw(port)
        await turns(lambda: network.counters.accepted == 1)
        clock.advance(9.9)
        self.assertEqual(host.events, [])
        clock.advance(0.2)
        await client.lost
        await host.first("disconnected")
        self.assertEqual([reason for _, reason in host.of("disconnected")], ["timeout"])
        self.assertEqual(network.counters.refused, {"timeout": 1})

    async def test_dripping_bytes_do_not_extend_the_deadline(self):
        clock = Clock()
        network, host, port = await self.listening(clock=clock)
        client = await self.raw(port)
        await turns(lambda: network.counters.accepted == 1)
        for byte in b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03":
            client.transport.write(bytes([byte]))
            await a_turn()
            clock.advance(1.01)
        await client.lost
        self.assertEqual((await host.first("disconnected"))[1], "timeout")

    async def test_a_link_that_is_up_has_no_deadline(self):
        clock = Clock()
        _, host, port = await self.listening(clock=clock)
        client = await self.raw(port, node_context(9))
        (link, *_) = await host.first("connected")
        clock.advance(3600)
        client.transport.write(b"still here")
        await host.until(lambda: host.data[link] == b"still here")
        self.assertEqual(clock.getDelayedCalls(), [])

    async def test_a_server_that_says_nothing_fails_the_dial_at_the_deadline(self):
        clock = Clock()
        server, port = await self.raw_listening()
        network, host = self.network(clock=clock)
        network.dial(HOST, port, key(2).public)
        clock.advance(0)
        await turns(lambda: server.built and server.built[0].data)
        clock.advance(9.9)
        self.assertEqual(host.events, [])
        clock.advance(0.2)
        self.assertEqual(host.events, [("dial_failed", HOST, port, "timeout")])
        await server.built[0].lost
        self.assertEqual(len(host.events), 1)

    async def test_a_peer_that_does_not_answer_the_tls_shutdown_is_aborted(self):
        clock = Clock()
        network, host, port = await self.listening(clock=clock)
        client = await self.raw(port, node_context(9))
        (link, *_) = await host.first("connected")
        client.transport.transport.pauseProducing()
        network.close(link, "done")
        await a_turn()
        self.assertEqual(host.of("disconnected"), [])
        clock.advance(5.1)
        await host.first("disconnected")
        self.assertEqual(host.of("disconnected"), [(link, "done")])


class RecordTests(NetTestCase):
    async def test_records_of_a_byte_each_are_delivered_together(self):
        """[21] Whoever cuts a message into records pays for them; the node does not call its machines for each."""
        _, host, port = await self.listening()
        client = await self.raw(port, node_context(9))
        link, *_ = await host.first("connected")
        sent, records = bytes(range(256)) * 8, []
        session = client.transport.getHandle()
        for place in range(len(sent)):
            session.send(sent[place : place + 1])
            records.append(session.bio_read(1024))
        client.transport.transport.write(b"".join(records))
        await host.until(lambda: host.data[link] == sent)
        self.assertLess(len(host.of("received")), 32)

    async def test_changes_of_keys_are_answered_within_a_bound(self):
        """[19] Each calls for an answer, which a peer need not read."""
        network, host, port = await self.listening()
        await deferToThread(self.change_keys, port, 100)
        _, reason = await host.first("disconnected")
        self.assertIn(reason, ("closed", "lost"))
        await deferToThread(self.change_keys, port, 1_000_000)
        await host.until(lambda: len(host.of("disconnected")) == 2)
        self.assertEqual(host.of("disconnected")[1][1], "tls-too-long")
        self.assertLess(network.counters.bytes_sent, 3 * TLS_UNASKED_BYTES)

    def change_keys(self, port, times):
        """Connect and change the keys so often, or until it is refused. Reads nothing; pyOpenSSL cannot do it."""
        library = ctypes.CDLL(_ssl.__file__)
        for name in ("TLS_client_method", "SSL_CTX_new", "SSL_new"):
            getattr(library, name).restype = ctypes.c_void_p
        pointer, identity, path = ctypes.c_void_p, TlsIdentity.from_key(key(9)), self.mktemp()
        with open(path, "wb") as file:
            file.write(identity.certificate.public_bytes(Encoding.PEM))
            file.write(identity.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        made = pointer(library.SSL_CTX_new(pointer(library.TLS_client_method())))
        library.SSL_CTX_use_certificate_file(made, path.encode(), 1)
        library.SSL_CTX_use_PrivateKey_file(made, path.encode(), 1)
        session = pointer(library.SSL_new(made))
        with socket.create_connection((HOST, port), 30) as client:
            client.settimeout(None)
            library.SSL_set_fd(session, client.fileno())
            self.assertEqual(library.SSL_connect(session), 1)
            for _ in range(times):
                library.SSL_key_update(session, 1)
                if library.SSL_do_handshake(session) != 1:
                    break
        library.SSL_free(session)
        library.SSL_CTX_free(made)


class InboundBoundTests(NetTestCase):
    async def test_beyond_max_inbound_a_newcomer_is_closed_unheard(self):
        network, host, port = await self.listening(limits=NetworkLimits(max_inbound=2))
        for number in (8, 9):
            await self.raw(port, node_context(number))
        await host.until(lambda: len(host.links) == 2)
        third = await self.raw(port, node_context(10))
        await third.lost
        self.assertEqual(network.counters.refused, {"full": 1})
        self.assertEqual(len(host.events), 2)

    async def test_other_bounds_count_for_whoever_comes(self):
        network, host, port = await self.listening(limits=NetworkLimits(max_inbound=1))
        await self.raw(port, node_context(8))
        await host.until(lambda: len(host.links) == 1)
        network.regulate(NetworkLimits(max_inbound=2))
        await self.raw(port, node_context(9))
        await host.until(lambda: len(host.links) == 2)
        network.regulate(NetworkLimits(max_inbound=1))
        third = await self.raw(port, node_context(10))
        await third.lost
        self.assertEqual((network.counters.refused, len(host.links)), ({"full": 1}, 2))

    async def test_who_does_not_follow_when_it_is_closed_keeps_no_place(self):
        """[19] Whoever is sent away and stays as long as it may keeps nobody out."""
        network, host, port = await self.listening(limits=NetworkLimits(max_inbound=2))
        for number in (8, 9):
            client = await self.raw(port, node_context(number))
            await host.until(lambda number=number: len(host.links) == number - 7)
            client.transport.transport.pauseProducing()
            network.close(host.links[-1], "refused")
        await self.raw(port, node_context(10))
        await host.until(lambda: len(host.links) == 3)
        await host.first("disconnected")
        self.assertEqual(host.of("disconnected"), [(host.links[0], "refused")])
        await self.raw(port, node_context(11))
        await host.until(lambda: len(host.links) == 4)
        third = await self.raw(port, node_context(12))
        await third.lost
        self.assertEqual(network.counters.refused, {"full": 1})

    async def test_a_slot_is_free_again_when_its_link_has_ended(self):
        network, host, port = await self.listening(limits=NetworkLimits(max_inbound=1))
        for number in (8, 9, 10):
            client = await self.raw(port, node_context(number))
            await host.until(lambda: len(host.links) == len(host.of("disconnected")) + 1)
            await self.drop(client)
            await host.until(lambda: len(host.links) == len(host.of("disconnected")))
        self.assertEqual(len(host.links), 3)
        self.assertEqual(network.counters.refused, {})

    async def test_stalling_clients_make_room_for_the_newest(self):
        """[19] An honest peer gets through a lobby full of slow ones."""
        network, host, port = await self.listening(limits=NetworkLimits(max_half_open=3))
        slow = []
        for count in range(1, 4):
            slow.append(await self.raw(port))
            await turns(lambda count=count: network.counters.accepted == count)
        honest = await self.raw(port, node_context(9))
        (_, _, peer_id, _, _) = await host.first("connected")
        self.assertEqual(peer_id, key(9).public)
        await slow[0].lost
        self.assertEqual(network.counters.refused, {"crowded-out": 1})
        self.assertFalse(slow[1].lost.called or slow[2].lost.called or honest.lost.called)

    async def test_who_has_spoken_stays_before_who_has_not(self):
        """[19] A flood of silent connections does not crowd out a slow handshake."""
        network, _, port = await self.listening(limits=NetworkLimits(max_half_open=3))
        speaking = await self.raw(port)
        speaking.transport.write(HELLO_BEGINS)
        for count in range(2, 12):
            await self.raw(port)
            await turns(lambda count=count: network.counters.accepted == count)
        await turns(lambda: network.counters.refused["crowded-out"] == 8)
        self.assertFalse(speaking.lost.called)


class MemoryNetTestCase(SynchronousTestCase):
    """No sockets: connections are made up."""

    def network(self, limits=None, plain=False):
        self.reactor = MemoryReactorClock()
        self.host = RecordingHost()
        return Network(self.reactor, key(1), plain, self.host, limits)

    def arrive(self, network, host):
        """A connection from `host`; None when it was closed at the door."""
        if not self.reactor.tcpServers:
            self.successResultOf(network.listen(7000))
        factory = self.reactor.tcpServers[0][1]
        address = (IPv6Address if ":" in host else IPv4Address)("TCP", host, 5555)
        protocol = factory.buildProtocol(address)
        if protocol is not None:
            protocol.makeConnection(Aborting(peerAddress=address))
        return protocol


class Aborting(StringTransport):
    aborted = False

    def abortConnection(self):
        self.aborted = True


class GroupTests(MemoryNetTestCase):
    def test_one_group_of_addresses_has_few_half_open_connections(self):
        """[19] The rest of the world gets in; so does the group when one has left."""
        network = self.network(NetworkLimits(max_half_open_per_group=2))
        inside = [self.arrive(network, f"203.0.113.{n}") for n in (1, 2)]
        self.assertIsNone(self.arrive(network, "203.0.113.3"))
        self.assertIsNotNone(self.arrive(network, "203.0.114.3"))
        self.assertEqual(network.counters.refused, {"group-full": 1})
        inside[0].connectionLost(Failure(error.ConnectionLost()))
        self.assertIsNotNone(self.arrive(network, "203.0.113.3"))

    def test_other_bounds_count_for_whoever_comes(self):
        network = self.network(NetworkLimits(max_half_open_per_group=1))
        self.arrive(network, "203.0.113.1")
        network.regulate(NetworkLimits(max_half_open_per_group=2))
        found = [self.arrive(network, f"203.0.113.{n}") for n in (2, 3)]
        self.assertEqual([one is not None for one in found], [True, False])

    def test_loopback_is_no_group(self):
        network = self.network(NetworkLimits(max_half_open_per_group=1))
        self.assertTrue(all(self.arrive(network, "127.0.0.1") for _ in range(5)))

    def test_loopback_is_a_group_where_it_is_not_trusted(self):
        network = self.network(NetworkLimits(max_half_open_per_group=1, loopback_is_a_group=True))
        found = [self.arrive(network, host) for host in ("127.0.0.1", "127.0.0.2", "127.0.1.1")]
        self.assertEqual([one is not None for one in found], [True, False, True])

    def test_groups(self):
        self.assertEqual(address_group("198.51.100.7"), address_group("198.51.100.250"))
        self.assertNotEqual(address_group("198.51.100.7"), address_group("198.51.101.7"))
        self.assertEqual(address_group("198.51.100.7"), address_group("::ffff:198.51.100.9"))
        self.assertEqual(address_group("2001:db8:1:2::3"), address_group("2001:db8:1:ffff::9"))
        self.assertNotEqual(address_group("2001:db8:1::3"), address_group("2001:db8:2::3"))
        self.assertEqual(address_group("fe80::1%eth0"), address_group("fe80::2"))
        for loopback in ("127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"):
            self.assertIsNone(address_group(loopback))

    def test_nothing_is_kept_of_those_who_have_left(self):
        network = self.network(NetworkLimits(max_half_open=4))
        for n in range(50):
            self.arrive(network, f"203.0.{n}.1")
        self.assertEqual((len(network._lobby), len(network._lobby._groups)), (4, 4))
        self.assertEqual(network.counters.refused, {})
        self.assertEqual(len(self.reactor.getDelayedCalls()), 4)


class DoorstepTests(MemoryNetTestCase):
    def setUp(self):
        self.made = []
        original = ConnectionCreator.serverConnectionForTLS

        def make(creator, tls):
            self.made.append(tls)
            return original(creator, tls)

        self.patch(ConnectionCreator, "serverConnectionForTLS", make)

    def say(self, door, data):
        """Byte by byte, while the door is who is spoken to."""
        for byte in data:
            self.assertEqual(self.made, [])
            door.dataReceived(bytes([byte]))

    def test_a_hello_may_come_byte_by_byte(self):
        network = self.network()
        door = self.arrive(network, "203.0.113.1")
        self.say(door, HELLO_BEGINS)
        self.assertEqual([door.transport.protocol], self.made)
        self.assertEqual(network.counters.bytes_received, len(HELLO_BEGINS))

    def test_where_all_have_spoken_the_oldest_makes_room(self):
        network = self.network(NetworkLimits(max_half_open=1))
        speaking = self.arrive(network, "203.0.113.1")
        self.say(speaking, HELLO_BEGINS)
        self.assertIsNotNone(self.arrive(network, "203.0.114.1"))
        self.assertTrue(speaking.transport.aborted)

    def test_who_has_not_begun_a_hello_makes_room_like_one_that_is_silent(self):
        network = self.network(NetworkLimits(max_half_open=2))
        murmuring = self.arrive(network, "203.0.113.1")
        self.say(murmuring, HELLO_BEGINS[:-1])
        speaking = self.arrive(network, "203.0.114.1")
        self.say(speaking, HELLO_BEGINS)
        self.arrive(network, "203.0.115.1")
        self.assertEqual((murmuring.transport.aborted, speaking.transport.aborted), (True, False))
        murmuring.connectionLost(Failure(error.ConnectionAborted()))
        self.assertEqual(network.counters.refused, {"crowded-out": 1})
        self.assertEqual(network.counters.bytes_received, 2 * len(HELLO_BEGINS) - 1)


class RaceTests(MemoryNetTestCase):
    def test_two_that_race_for_the_last_slot(self):
        """Both were let in at the door; the one that is up last is refused."""
        network = self.network(NetworkLimits(max_inbound=1), plain=True)
        self.successResultOf(network.listen(7000))
        factory = self.reactor.tcpServers[0][1]
        address = IPv4Address("TCP", "203.0.113.1", 5555)
        first, second = factory.buildProtocol(address), factory.buildProtocol(address)
        for protocol in (second, first):
            protocol.makeConnection(Aborting(peerAddress=address))
        self.assertEqual((second.transport.aborted, first.transport.aborted), (False, True))
        first.connectionLost(Failure(error.ConnectionAborted()))
        self.assertEqual(network.counters.refused, {"full": 1})
        self.assertEqual(self.host.of("disconnected"), [(first.link, "full")])
        self.assertEqual(len(self.host.links), 1)


class DialBoundTests(MemoryNetTestCase):
    def test_an_address_that_never_answers_fails_at_the_deadline(self):
        network = self.network()
        network.dial("192.0.2.1", 24000, None)
        self.reactor.advance(0)
        self.assertEqual(self.reactor.tcpClients[0][:2], ("192.0.2.1", 24000))
        self.reactor.advance(9.9)
        self.assertEqual(self.host.events, [])
        self.reactor.advance(0.2)
        self.assertEqual(self.host.events, [("dial_failed", "192.0.2.1", 24000, "timeout")])
        self.assertTrue(self.reactor.connectors[0].stoppedConnecting)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_a_deadline_between_tcp_and_its_first_byte(self):
        for plain in (False, True):
            network = self.network(plain=plain)
            network.dial("192.0.2.1", 24000, None)
            self.reactor.advance(0)
            address = IPv4Address("TCP", "192.0.2.1", 24000)
            protocol = self.reactor.tcpClients[0][2].buildProtocol(address)
            self.reactor.advance(10.1)
            transport = Aborting(peerAddress=address)
            protocol.makeConnection(transport)
            self.assertTrue(transport.aborted)
            protocol.connectionLost(Failure(error.ConnectionAborted()))
            self.assertEqual(self.host.events, [("dial_failed", "192.0.2.1", 24000, "timeout")])
            self.successResultOf(network.stop())

    def test_a_second_address_that_answers_is_closed(self):
        """A name may have several; the first to answer is the link."""
        network = self.network(plain=True)
        network.dial("192.0.2.1", 24000, None)
        self.reactor.advance(0)
        connecting = self.reactor.tcpClients[0][2]
        address = IPv4Address("TCP", "192.0.2.1", 24000)
        self.assertIsNotNone(connecting.buildProtocol(address))
        self.assertIsNone(connecting.buildProtocol(address))

    def test_no_outcome_is_reported_from_inside_dial(self):
        network = self.network(NetworkLimits(max_outbound=1))
        for host in ("192.0.2.1", "192.0.2.2", "-bad-"):
            network.dial(host, 1, None)
        self.assertEqual(self.host.events, [])

    def test_beyond_max_outbound_a_dial_fails(self):
        network = self.network(NetworkLimits(max_outbound=2))
        for n in range(1, 5):
            network.dial(f"192.0.2.{n}", 24000, None)
        self.reactor.advance(0)
        self.assertEqual(len(self.reactor.tcpClients), 2)
        self.assertEqual(
            self.host.events, [("dial_failed", f"192.0.2.{n}", 24000, "dial-limit") for n in (3, 4)]
        )
        self.assertEqual(network.counters.dials_failed, {"dial-limit": 2})

    def test_links_that_were_dialled_count_until_they_end(self):
        network = self.network(NetworkLimits(max_outbound=1), plain=True)
        network.dial("192.0.2.1", 24000, None)
        self.reactor.advance(0)
        address = IPv4Address("TCP", "192.0.2.1", 24000)
        first = self.reactor.tcpClients[0][2].buildProtocol(address)
        first.makeConnection(Aborting(peerAddress=address))
        self.assertEqual(len(self.host.of("connected")), 1)
        self.assertEqual(self.reactor.getDelayedCalls(), [], "its deadline has gone")
        network.dial("192.0.2.2", 24000, None)
        self.reactor.advance(0)
        self.assertEqual(self.host.of("dial_failed"), [("192.0.2.2", 24000, "dial-limit")])
        first.connectionLost(Failure(error.ConnectionLost()))
        network.dial("192.0.2.3", 24000, None)
        self.reactor.advance(0)
        self.assertEqual([client[0] for client in self.reactor.tcpClients], ["192.0.2.1", "192.0.2.3"])
        self.assertEqual(network.counters.dialled, 2)

    def test_what_no_resolver_should_see_is_a_bad_address(self):
        """[21] Addresses come from peers: none of them is a traceback."""
        network = self.network()
        bad = ["", ".", "a..b", "-a", "a b", "x" * 64, "a." * 200, "münchen.example", "a/b", "[::1]", "1.2.3.4:5",
               "\x00", "a\n", "::g", "%", "user@host", "-"]  # fmt: skip
        for host in bad:
            network.dial(host, 24000, None)
        for port in (0, -1, 65536):
            network.dial("192.0.2.1", port, None)
        self.reactor.advance(0)
        self.assertEqual([reason for *_, reason in self.host.events], ["bad-address"] * (len(bad) + 3))
        self.assertEqual(self.reactor.tcpClients, [])

    def test_reasons_of_the_operating_system_have_names(self):
        named = {
            error.ConnectionRefusedError: "connection-refused",
            error.NoRouteError: "unreachable",
            error.TCPTimedOutError: "timeout",
            error.ConnectError: "connect-failed",
        }
        for kind, name in named.items():
            self.assertEqual(reasons.reason_of(Failure(kind())), name)
        self.assertEqual(reasons.reason_of(Failure(ZeroDivisionError())), "connect-failed")


@implementer(IHostnameResolver)
class TableResolver:
    """Knows the names it was given."""

    def __init__(self, **names):
        self.names = names

    def resolveHostName(self, receiver, name, portNumber=0, *_):  # noqa: N803 - IHostnameResolver's name
        receiver.resolutionBegan(None)
        for address in self.names.get(name, ()):
            receiver.addressResolved(IPv4Address("TCP", address, portNumber))
        receiver.resolutionComplete()


class NameTests(NetTestCase):
    async def test_a_host_name_is_resolved(self):
        clock = Clock()
        _, _, port = await self.listening(2)
        network, host = self.network(clock=clock, resolver=TableResolver(peer=[HOST]))
        network.dial("peer", port, key(2).public)
        clock.advance(0)
        await host.first("connected")
        self.assertEqual(host.of("connected")[0][3], "peer")

    async def test_a_name_nobody_knows(self):
        clock = Clock()
        network, host = self.network(clock=clock, resolver=TableResolver())
        network.dial("nobody.example", 24000, None)
        clock.advance(0)
        self.assertEqual(host.events, [("dial_failed", "nobody.example", 24000, "unknown-host")])
