"""Ports that somebody else opened for this process."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.interfaces import IListeningPort, IProtocolFactory


def adopt(reactor: Any, given: socket.socket, factory: IProtocolFactory) -> IListeningPort:
    """Accept connections from `given`, which listens already; it is closed here and stays open where it came from."""
    # The reactor accepts until nothing is left, and would wait for more on a socket that blocks.
    given.setblocking(False)
    listening: IListeningPort = reactor.adoptStreamPort(given.fileno(), given.family, factory)
    given.close()
    return listening
