"""Whether a port can be had, found out before anything is started; ports that the service manager opened."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Mapping, MutableMapping
from typing import Any

from twisted.python.systemd import ListenFDs

from timed.errors import ConfigError

NAMES = ("p2p", "rpc", "monitor")
"""What a socket of the service manager may be called: the service that takes it."""

Sockets = Mapping[str, socket.socket]


def inherited(environ: MutableMapping[str, str]) -> Sockets:
    """The listening sockets that the service manager handed over, by service (sd_listen_fds(3)).

    None without `LISTEN_FDS`, or when it speaks to another process. ConfigError for
    one whose name is no service's or is there twice, and for one that does not listen on TCP.
    """
    wanted = environ.get("LISTEN_FDS") if environ.get("LISTEN_PID") == str(os.getpid()) else None
    if wanted is None:
        return {}
    names = environ.get("LISTEN_FDNAMES", "").split(":")
    given = ListenFDs.fromEnvironment(environ)
    named = given.inheritedNamedDescriptors()
    if not named or len(named) != len(given.inheritedDescriptors()) or not set(named) <= set(NAMES):
        raise ConfigError(
            f"the service manager handed over {wanted} sockets, called {', '.join(names)}.",
            f"Give each socket unit one ListenStream= and a FileDescriptorName= out of {', '.join(NAMES)}.",
        )
    return {name: _listening(name, descriptor) for name, descriptor in named.items()}


def _listening(name: str, descriptor: int) -> socket.socket:
    found = None
    try:
        found = socket.socket(fileno=descriptor)
        tcp = found.family in (socket.AF_INET, socket.AF_INET6) and found.type == socket.SOCK_STREAM
        if tcp and found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            # What this process starts must not keep the port.
            found.set_inheritable(False)
            return found
    except OSError as error:
        raise ConfigError(f"the socket {name} of the service manager is none: {error.strerror}.") from error
    found.close()
    raise ConfigError(
        f"the socket {name} of the service manager does not listen on TCP.",
        "Use ListenStream= with address and port, and Accept=no.",
    )


def check_port(host: str, port: int, key: str) -> None:
    """ConfigError, naming `key`, when nobody can listen on (host, port) now."""
    family, address = _resolved(host, port, key)
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
            probe.listen(1)
        except OSError as error:
            hint = f"Choose another with {key}."
            if error.errno == errno.EADDRINUSE:
                message = f"port {port} on {host} is in use by another program."
                hint = f"This node may run already; else choose another with {key}."
            else:
                message = f"cannot listen on {host} port {port}: {error.strerror}."
                if error.errno == errno.EADDRNOTAVAIL:
                    hint = f"Set {key.removesuffix('port')}host to an address of this machine."
            raise ConfigError(message, hint) from error


def check_given(given: socket.socket, host: str, port: int, key: str) -> None:
    """ConfigError unless a socket of the service manager is where the configuration says.

    Who may reach the RPC, and what peers are told, is judged by the configuration.
    """
    family, address = _resolved(host, port, key)
    found = given.getsockname()
    if (given.family, found[:2]) != (family, address[:2]):
        raise ConfigError(
            f"the service manager listens on {found[0]} port {found[1]}, and {key} with its host "
            f"says {address[0]} port {address[1]}.",
            "Make ListenStream= of the socket unit say the same.",
        )


def _resolved(host: str, port: int, key: str) -> tuple[int, Any]:
    """(family, address) to listen on; ConfigError, naming `key`, for a host nobody knows."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        # Of a name that cannot be one in the DNS, Python says so before it asks.
        reason = getattr(error, "strerror", None) or "it is no name"
        raise ConfigError(f"the host {host} of {key} is not known: {reason}.") from error
    family, _, _, _, address = found[0]
    return family, address
