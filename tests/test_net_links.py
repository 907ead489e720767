"""Links carry bytes in order, say when they have drained, and end exactly once."""

from __future__ import annotations

from tests.net_world import HOST, NetTestCase, a_turn, key, turns
from timed import sending
from timed.net import reasons
from timed.net.limits import NetworkLimits

MIB = 1024 * 1024


class LinkTests(NetTestCase):
    """The same for TLS and for plain links."""

    plain = False

    async def pair(self, **options):
        return await self.linked(plain=self.plain, **options)

    async def test_both_sides_are_told_who_is_there(self):
        (_, here, link), (_, there, _) = await self.pair()
        ((near, outbound, near_id, near_host, _),) = here.of("connected")
        ((_, inbound, far_id, far_host, _),) = there.of("connected")
        self.assertEqual((near, outbound, not inbound), (link, True, True))
        self.assertEqual((near_host, far_host), (HOST, HOST))
        expected = (None, None) if self.plain else (key(2).public, key(1).public)
        self.assertEqual((near_id, far_id), expected)

    async def test_bytes_arrive_in_order_in_both_directions(self):
        (client, here, near), (server, there, far) = await self.pair()
        sent = b"".join(number.to_bytes(4, "big") for number in range(20_000))
        for start in range(0, len(sent), 777):
            client.write(near, sent[start : start + 777])
        server.write(far, b"answer")
        await there.until(lambda: len(there.data[far]) == len(sent))
        await here.until(lambda: here.data[near] == b"answer")
        self.assertEqual(there.data[far], sent)

    async def test_every_write_is_followed_by_drained(self):
        (client, here, link), _ = await self.pair()
        for count, size in enumerate((1, 100, 64 * 1024, 1), start=1):
            self.assertEqual(len(here.of("drained")), count - 1)
            client.write(link, bytes(size))
            await here.until(lambda count=count: len(here.of("drained")) == count)

    async def test_several_writes_of_one_turn_drain_once(self):
        (client, here, link), (_, there, far) = await self.pair()
        for _ in range(5):
            client.write(link, b"12345678")
        await there.until(lambda: len(there.data[far]) == 40)
        self.assertEqual(len(here.of("drained")), 1)

    async def test_what_the_kernel_takes_at_once_needs_no_look_at_the_socket(self):
        """A write on an idle link has left when the call returns; `drained` is told once, later."""
        (client, here, near), (_, there, far) = await self.pair()
        client.write(near, b"vote")
        tcp = client._links[near]._tcp()
        self.assertTrue(sending.is_idle(tcp))
        self.assertIsNone(tcp.producer)
        client.write(near, b"another")
        self.assertEqual(here.of("drained"), [])
        await there.until(lambda: there.data[far] == b"voteanother")
        await here.first("drained")
        self.assertEqual(len(here.of("drained")), 1)

    async def test_what_the_kernel_does_not_take_follows_in_order(self):
        (client, here, near), (server, there, far) = await self.pair()
        server.pause(far)
        sent = b""
        while sending.is_idle(client._links[near]._tcp()):
            piece = len(sent).to_bytes(4, "big") * 10_000
            client.write(near, piece)
            sent += piece
        behind = bytes(900_000)
        client.write(near, behind)
        for _ in range(3):
            await a_turn()
            self.assertEqual(here.of("drained"), [], "what left at once before it has not left for all")
        server.resume(far)
        await there.until(lambda: len(there.data[far]) == len(sent) + len(behind))
        self.assertEqual(there.data[far], sent + behind)
        await here.first("drained")

    async def test_a_host_that_waits_for_drained_moves_megabytes(self):
        (client, here, link), (_, there, far) = await self.pair()
        pieces = [bytes([number]) * 65_000 for number in range(64)]

        def more(link):
            if pieces:
                client.write(link, pieces.pop(0))

        here.on_drained = more
        more(link)
        await there.until(lambda: len(there.data[far]) == 64 * 65_000)
        self.assertEqual(there.data[far][-1], 63)

    async def test_link_that_is_not_read_holds_its_writer_up_and_loses_nothing(self):
        (client, here, near), (server, there, far) = await self.pair()
        server.pause(far)
        pieces = [bytes([number]) * 65_000 for number in range(200)]

        def more(link):
            if pieces:
                client.write(link, pieces.pop(0))

        here.on_drained = more
        more(near)
        heard, quiet = -1, 0
        while quiet < 5:
            before, heard = heard, len(there.data[far]) + len(here.of("drained"))
            quiet = quiet + 1 if heard == before else 0
            server.write(far, b"x")
            expected = len(here.data[near]) + 1
            await here.until(lambda expected=expected: len(here.data[near]) >= expected)
        self.assertTrue(pieces)
        self.assertLess(len(there.data[far]), 1_000_000)
        server.resume(far)
        await there.until(lambda: len(there.data[far]) == 200 * 65_000)
        self.assertEqual(there.data[far], b"".join(bytes([number]) * 65_000 for number in range(200)))

    async def test_link_that_is_not_read_closes_in_order(self):
        """It is read again for that: nobody waits until the patience is at its end."""
        (client, here, near), (server, there, far) = await self.pair(limits=NetworkLimits(closing_s=3600))
        server.pause(far)
        client.write(near, b"x" * 100)
        server.close(far, "stopping")
        await there.first("disconnected")
        await here.first("disconnected")
        self.assertEqual(there.of("disconnected"), [(far, "stopping")])

    async def test_nothing_is_delivered_after_close_but_its_end(self):
        (client, here, near), (server, there, far) = await self.pair()
        server.write(far, b"late")
        client.close(near, "duplicate")
        client.write(near, b"not sent")
        self.assertEqual(here.of("disconnected"), [])
        await here.first("disconnected")
        self.assertEqual(here.of("disconnected"), [(near, "duplicate")])
        self.assertEqual(here.data[near], b"")
        await there.first("disconnected")
        self.assertEqual(there.data[far], b"")

    async def test_what_was_written_before_close_arrives(self):
        (client, here, near), (_, there, far) = await self.pair()
        client.write(near, bytes(900_000) + b"goodbye")
        client.close(near, "done")
        await there.first("disconnected")
        await here.first("disconnected")
        self.assertTrue(there.data[far].endswith(b"goodbye"))
        self.assertEqual(len(there.data[far]), 900_007)
        self.assertEqual(there.of("disconnected"), [(far, reasons.CLOSED)])

    async def test_abort_drops_what_is_not_yet_sent(self):
        (client, here, near), (_, there, far) = await self.pair()
        client.write(near, bytes(900_000))
        client.close(near, "banned", abort=True)
        await there.first("disconnected")
        await here.first("disconnected")
        self.assertEqual(here.of("disconnected"), [(near, "banned")])
        self.assertLess(len(there.data[far]), 900_000)
        self.assertEqual(there.of("disconnected"), [(far, reasons.LOST)])

    async def test_an_abort_after_a_close_ends_it_under_the_first_reason(self):
        (client, here, near), _ = await self.pair()
        client.close(near, "first")
        client.close(near, "second", abort=True)
        await here.first("disconnected")
        self.assertEqual(here.of("disconnected"), [(near, "first")])

    async def test_both_sides_may_close_at_once(self):
        (client, here, near), (server, there, far) = await self.pair()
        client.close(near, "mine")
        server.close(far, "yours")
        await here.first("disconnected")
        await there.first("disconnected")
        self.assertEqual(here.of("disconnected"), [(near, "mine")])
        self.assertEqual(there.of("disconnected"), [(far, "yours")])

    async def test_a_link_that_is_gone_swallows_everything(self):
        (client, here, near), _ = await self.pair()
        client.close(near, "x", abort=True)
        await here.first("disconnected")
        before = list(here.events)
        client.write(near, b"data")
        client.close(near, "again")
        client.close(near, "again", abort=True)
        client.write(near + 1000, b"data")
        client.close(near + 1000, "unknown")
        await a_turn()
        self.assertEqual(here.events, before)

    async def test_an_empty_write_is_nothing(self):
        (client, here, near), _ = await self.pair()
        client.write(near, b"")
        client.write(near, b"x")
        await here.first("drained")
        self.assertEqual(len(here.of("drained")), 1)

    async def test_a_host_that_does_not_wait_for_drained_loses_the_link(self):
        """[19] Nothing is buffered without a bound, whoever forgot to look."""
        (client, here, near), _ = await self.pair(limits=NetworkLimits(max_unsent=100_000))
        written = 0
        while not client.counters.write_overflows:
            client.write(near, bytes(50_000))
            written += 50_000
            self.assertLess(written, 64 * MIB)
        self.assertGreater(written, 100_000)
        await here.first("disconnected")
        self.assertEqual(here.of("disconnected"), [(near, reasons.WRITE_OVERFLOW)])
        self.assertEqual(client.counters.write_overflows, 1)

    async def test_a_host_may_close_from_inside_a_callback(self):
        (client, here, near), (server, there, far) = await self.pair()
        received = there.received

        def hostile(link, data):
            received(link, data)
            server.close(link, "rude", abort=True)

        there.received = hostile
        client.write(near, bytes(200_000))
        await there.first("disconnected")
        await here.first("disconnected")
        self.assertEqual(len(there.of("received")), 1)
        self.assertEqual(there.of("disconnected"), [(far, "rude")])

    async def test_links_are_numbered_once(self):
        (client, here, _), (server, there, _) = await self.pair()
        for count in (2, 3):
            client.close(here.links[-1], "again", abort=True)
            await here.until(lambda count=count: len(here.of("disconnected")) == count - 1)
            port = server._ports[0].getHost().port
            client.dial(HOST, port)
            await here.until(lambda count=count: len(here.links) == count)
            await there.until(lambda count=count: len(there.links) == count)
        self.assertEqual(len(set(here.links)), 3)
        self.assertEqual(len(set(there.links)), 3)


class PlainLinkTests(LinkTests):
    plain = True

    async def test_drained_waits_for_a_peer_that_does_not_read(self):
        """[19]"""
        network, host, port = await self.listening(plain=True, limits=NetworkLimits(max_unsent=64 * MIB))
        slow = await self.raw(port)
        slow.transport.pauseProducing()
        await host.first("connected")
        network.write(host.links[0], bytes(16 * MIB))
        fast = await self.raw(port)
        await host.until(lambda: len(host.links) == 2)
        network.write(host.links[1], b"for the other")
        await host.until(lambda: host.of("drained"))
        self.assertEqual(host.of("drained"), [(host.links[1],)])
        await turns(lambda: fast.data == b"for the other")
        slow.transport.resumeProducing()
        await host.until(lambda: (host.links[0],) in host.of("drained"))
