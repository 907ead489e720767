"""A network owns what it opens: after stop nothing of it is left."""

from __future__ import annotations

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from tests.net_world import HOST, NetTestCase, a_turn, key, node_context, turns
from tests.test_net_bounds import MemoryNetTestCase
from timed.errors import LocalError


def open_things():
    """Every socket and every call that the reactor watches."""
    return {*reactor.getReaders(), *reactor.getWriters(), *reactor.getDelayedCalls()}


class StopTests(NetTestCase):
    async def test_nothing_is_left_and_nobody_is_called(self):
        """No port, connection, call or dial; trial would find them, and so does this test."""
        await a_turn()
        before = open_things()
        (client, here, _), (server, there, _) = await self.linked()
        port = server._ports[0].getHost().port
        stalled = await self.raw(port)
        await turns(lambda: server.counters.accepted == 2)
        client.dial(HOST, port, key(2).public)
        client.dial(HOST, 1, None)
        await client.stop()
        await server.stop()
        await stalled.lost
        self.assertEqual(open_things() - before, set())
        heard = list(here.events), list(there.events)
        for _ in range(5):
            await a_turn()
        self.assertEqual((here.events, there.events), heard)
        self.assertEqual(len(here.of("disconnected")), len(here.of("connected")))
        self.assertEqual(here.of("dial_failed"), [])
        gone, host = self.network(3)
        gone.dial(HOST, port, None)
        self.assertEqual((await host.first("dial_failed"))[2], "connection-refused")

    async def test_what_was_written_leaves_first(self):
        for plain in (False, True):
            (client, here, near), (_, there, far) = await self.linked(plain=plain)
            client.write(near, bytes(300_000) + b"goodbye")
            client.close(near, "said goodbye")
            await client.stop()
            await there.first("disconnected")
            self.assertTrue(there.data[far].endswith(b"goodbye"))
            self.assertEqual(here.of("disconnected"), [(near, "said goodbye")])

    async def test_links_end_with_the_reason_stopping(self):
        (client, here, near), _ = await self.linked()
        await client.stop()
        self.assertEqual(here.of("disconnected"), [(near, "stopping")])

    async def test_peers_that_do_not_follow_are_waited_for_only_so_long(self):
        clock = Clock()
        network, host, port = await self.listening(clock=clock)
        for count in (1, 2):
            client = await self.raw(port, node_context(count))
            await host.until(lambda count=count: len(host.links) == count)
            client.transport.transport.pauseProducing()
        network.close(host.links[0], "was closing already")
        stopped = network.stop()
        await a_turn()
        self.assertNoResult(stopped)
        clock.advance(2.1)
        await stopped
        self.assertEqual(
            sorted(reason for _, reason in host.of("disconnected")), ["stopping", "was closing already"]
        )
        self.assertEqual(clock.getDelayedCalls(), [])

    async def test_a_network_that_did_nothing_stops_at_once(self):
        network, _ = self.network()
        self.successResultOf(network.stop())
        self.successResultOf(network.stop())

    async def test_stopping_twice_waits_for_the_same_end(self):
        (client, here, _), _ = await self.linked()
        first, second = client.stop(), client.stop()
        await second
        self.successResultOf(first)
        self.assertEqual(len(here.of("disconnected")), 1)

    async def test_a_stopped_network_listens_and_dials_no_more(self):
        network, host = self.network()
        await network.stop()
        self.failureResultOf(network.listen(0, HOST), LocalError)
        network.dial(HOST, 1, None)
        network.write(1, b"x")
        network.close(1, "x")
        await a_turn()
        self.assertEqual(host.events, [])


class WaitingTests(MemoryNetTestCase):
    def test_who_is_not_yet_a_link_is_dropped_at_once_and_waited_for(self):
        network = self.network()
        door = self.arrive(network, "203.0.113.1")
        stopped = network.stop()
        self.assertTrue(door.transport.aborted)
        self.assertNoResult(stopped)
        door.connectionLost(Failure(ConnectionAborted()))
        self.successResultOf(stopped)
        self.assertEqual([reason for _, reason in self.host.of("disconnected")], ["stopping"])
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_ports_are_waited_for(self):
        network = self.network()
        port = self.successResultOf(network.listen(7000))
        closed = Deferred()
        self.patch(port, "stopListening", lambda: closed)
        stopped = network.stop()
        self.assertNoResult(stopped)
        closed.callback(None)
        self.successResultOf(stopped)


class ListenTests(NetTestCase):
    async def test_a_busy_port_is_our_mistake_and_says_so_at_once(self):
        """Never a daemon that listens on nothing."""
        _, _, port = await self.listening(2)
        network, _ = self.network(1)
        error = self.failureResultOf(network.listen(port, HOST), LocalError).value
        self.assertIn(f"{HOST} port {port}", error.message)
        self.assertIn("in use", error.message)
        self.assertIn("another port", error.hint)

    async def test_an_address_that_is_not_ours(self):
        network, _ = self.network()
        error = self.failureResultOf(network.listen(0, "192.0.2.1"), LocalError).value
        self.assertIn("192.0.2.1", error.message)

    async def test_several_ports(self):
        network, host = self.network(2)
        ports = [(await network.listen(0, HOST)).getHost().port for _ in range(2)]
        for port in ports:
            await self.raw(port, node_context(9))
        await host.until(lambda: len(host.links) == 2)
        self.assertEqual(len(set(ports)), 2)
