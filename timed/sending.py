"""Bytes to the kernel at once, through Twisted's TCP transports."""

from __future__ import annotations

from typing import Any


def is_idle(tcp: Any) -> bool:
    """True when everything that was written to a Twisted TCP transport is with the kernel."""
    return not tcp._tempDataBuffer and len(tcp.dataBuffer) <= tcp.offset


def send_now(tcp: Any, data: bytes) -> bytes:
    """Hand `data` to the kernel; what it does not take is returned, all of it when older bytes wait.

    Twisted's own `write` waits for the reactor's next turn and for a look at the socket.
    """
    if not tcp.connected or tcp.disconnecting or not is_idle(tcp):
        return data
    sent = tcp.writeSomeData(data)
    return data[sent:] if isinstance(sent, int) and sent > 0 else data
