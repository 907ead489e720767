"""What the kernels hold of a link is bounded, and enough for links of any length."""

from __future__ import annotations

import socket

from twisted.trial.unittest import SynchronousTestCase

from tests.net_world import NetTestCase
from timed.net import buffers


class SizeTests(SynchronousTestCase):
    def test_short_links_have_the_least(self) -> None:
        for round_trip in (0, 20, 1_000, buffers.RECEIVE_LEAST // buffers.RATE):
            self.assertEqual(buffers.receive_buffer(round_trip), buffers.RECEIVE_LEAST)

    def test_long_links_have_a_window_that_fills_them(self) -> None:
        """16 MB a second, at a tenth of a second there and back."""
        self.assertEqual(buffers.receive_buffer(100_000), 1_600_000)

    def test_no_link_has_more_than_the_most(self) -> None:
        self.assertEqual(buffers.receive_buffer(60_000_000), buffers.RECEIVE_MOST)


class LinkTests(NetTestCase):
    plain = False

    async def test_both_ends_of_a_link_are_bounded(self):
        (client, _, near), (server, _, far) = await self.linked(plain=self.plain)
        for network, link in ((client, near), (server, far)):
            handle = network._links[link]._tcp().getHandle()
            size = handle.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
            self.assertLessEqual(size, 2 * buffers.RECEIVE_MOST)
            unsent = handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT)
            self.assertEqual(unsent, buffers.UNSENT_IN_KERNEL)

    async def test_small_messages_leave_at_once(self):
        """Nagle's algorithm would hold a vote back until what was sent before is acknowledged."""
        (client, _, near), (server, _, far) = await self.linked(plain=self.plain)
        for network, link in ((client, near), (server, far)):
            self.assertTrue(network._links[link]._tcp().getTcpNoDelay())

    if not hasattr(socket, "TCP_NOTSENT_LOWAT"):
        skip = "this system has no such option"


class PlainLinkTests(LinkTests):
    plain = True
