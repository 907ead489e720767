"""How much the kernel buffers of one link.

What the kernels hold is beyond the reach of the outbox: a vote waits behind all of it.
Left alone they grow the receiver's buffer to megabytes as soon as a block arrives faster
than it is decoded. So both are bounded, by what a link needs to be used: a window of
`RATE` times the round trip, which TCP has measured when the connection is up.
"""

from __future__ import annotations

import socket
from struct import Struct

UNSENT_IN_KERNEL = 32 * 1024
"""Bytes not yet on the wire that the kernel takes of one link (TCP_NOTSENT_LOWAT)."""

RECEIVE_LEAST = 128 * 1024
RECEIVE_MOST = 4 * 1024 * 1024
"""Bytes of the receive buffer (SO_RCVBUF): what a link is given at least, and at most."""
RATE = 16
"""Bytes per microsecond that a window must allow on a link of any length, up to `RECEIVE_MOST`."""

_ROUND_TRIP = Struct("=68xI")
"""`tcpi_rtt` of Linux's `struct tcp_info`, in microseconds."""


def receive_buffer(round_trip: int) -> int:
    """Bytes of the receive buffer for a round trip in microseconds."""
    return min(max(RECEIVE_LEAST, RATE * round_trip), RECEIVE_MOST)


def fit(handle: socket.socket) -> None:
    """Bound the buffers of a connection that is up, as far as the system knows how to."""
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):
        handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_IN_KERNEL)
    if hasattr(socket, "TCP_INFO"):
        info = handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _ROUND_TRIP.size)
        if len(info) == _ROUND_TRIP.size:
            (round_trip,) = _ROUND_TRIP.unpack(info)
            handle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer(round_trip))
