"""Ports of the loopback address that nobody uses, and that no two processes are given.

Between the moment a port is found free and the moment a node listens there, or while a node is
killed and started again, somebody else who looks for free ports would find it free as well. So a
process leases whole stretches of ports: it holds the first port of a stretch as long as it lives, and
hands out the others, each once.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from timed.errors import LocalError

HOST = "127.0.0.1"
FIRST_PORT = 10_000
"""Lower ones are often a service's."""
STRETCH = 100
"""Ports of one lease: enough for a network of 33 nodes with three ports each."""
LINUX_EPHEMERAL = 32_768
"""The first port of outgoing connections where the system does not tell, and by its own default."""
EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
"""Says from which port to which the system gives them."""


class FreePorts:
    """The ports that one process hands out.

    None of them is one that the system gives to outgoing connections: between now and
    a node's start one of those would be somebody's.
    """

    def __init__(self, stretches: Sequence[int], shuffle: Callable[[list[int]], None]) -> None:
        """`stretches` are their first ports; `shuffle` keeps processes that begin together apart."""
        self._stretches = list(stretches)
        shuffle(self._stretches)
        self._leases: list[socket.socket] = []
        """The first port of each stretch, bound."""
        self._next: Iterator[int] = iter(())

    def take(self, count: int) -> list[int]:
        """So many ports; LocalError when there are no more."""
        found: list[int] = []
        while len(found) < count:
            port = next(self._next, None)
            if port is None:
                self._lease(count)
            elif (held := _bound(port)) is not None:
                held.close()
                found.append(port)
        return found

    def close(self) -> None:
        """Give the stretches back."""
        for lease in self._leases:
            lease.close()
        self._leases.clear()
        self._next = iter(())

    def _lease(self, count: int) -> None:
        """Begin a stretch that no other process has."""
        while self._stretches:
            first = self._stretches.pop()
            lease = _bound(first)
            if lease is not None:
                self._leases.append(lease)
                self._next = iter(range(first + 1, first + STRETCH))
                return
        raise LocalError(f"there are no {count} free ports from {FIRST_PORT} on.")


def _bound(port: int) -> socket.socket | None:
    """A socket that has this port; None when somebody else has it."""
    held = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        held.bind((HOST, port))
    except OSError:
        held.close()
        return None
    return held


def stretches() -> range:
    """The first ports of the whole stretches below those that outgoing connections are given."""
    try:
        end = int(EPHEMERAL.read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        end = LINUX_EPHEMERAL
    if end < FIRST_PORT + 10 * STRETCH:
        end = LINUX_EPHEMERAL
    return range(FIRST_PORT, end - STRETCH + 1, STRETCH)


_OWN = FreePorts(stretches(), random.SystemRandom().shuffle)
"""This process's: a lease ends with it."""
free_ports = _OWN.take
