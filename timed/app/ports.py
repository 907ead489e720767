"""Whether a port can be had, found out before anything is started."""

from __future__ import annotations

import errno
import socket

from timed.errors import ConfigError


def check_port(host: str, port: int, key: str) -> None:
    """ConfigError, naming `key`, when nobody can listen on (host, port) now."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise ConfigError(f"the host {host} of {key} is not known: {error.strerror}.") from error
    family, kind, protocol, _, address = found[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
            probe.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                message = f"port {port} on {host} is in use by another program."
            else:
                message = f"cannot listen on {host} port {port}: {error.strerror}."
            raise ConfigError(message, f"Choose another with {key}.") from error
