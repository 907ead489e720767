"""The bounds of the transports, and the counters of what met them."""

from __future__ import annotations

from collections import Counter
from ipaddress import IPv6Address, ip_address

import attrs

TLS_HANDSHAKE_BYTES = 32 * 1024
"""Received before TLS is up. A peer that needs more is refused (`tls-too-long`)."""

TLS_UNASKED_BYTES = 32 * 1024
"""What TLS has said by itself since it is up: tickets, and an answer to each change of the peer's keys. Whoever
makes it say more is refused (`tls-too-long`): nobody need read it, and it would wait here."""

BACKLOG = 1024
"""Connections that wait in the kernel to be accepted."""


@attrs.frozen
class NetworkLimits:
    """How many of what one `Network` carries; each bound says what happens beyond it."""

    max_inbound: int = 256
    """Inbound links. The oldest that closes makes room, else a newcomer is closed unheard (`full`). It lies above the
    number of sessions that the node wants, so that a session too many is told so instead of being cut."""
    max_outbound: int = 256
    """Dials and outbound links together. A dial more fails (`dial-limit`)."""
    max_half_open: int = 256
    """Inbound connections before TLS is up. The oldest that has said nothing is closed, else the
    oldest (`crowded-out`): an honest peer speaks at once and is through in a few round trips."""
    max_half_open_per_group: int = 32
    """The same, of one group of addresses. A newcomer is closed (`group-full`)."""
    loopback_is_a_group: bool = False
    """Whether this also holds for the addresses of this machine."""
    deadline_s: float = 10.0
    """Name, TCP and TLS together; then `timeout`."""
    closing_s: float = 5.0
    """What a peer has for its half of the TLS shutdown. Then the link is aborted."""
    stopping_s: float = 2.0
    """The same while the network stops."""
    max_unsent: int = 1024 * 1024
    """Written to a link and not drained. The link is aborted (`write-overflow`): the outbox should
    have waited for `drained`."""


@attrs.define
class NetworkCounters:
    """What the transports have seen since the start."""

    accepted: int = 0
    dialled: int = 0
    refused: Counter[str] = attrs.field(factory=Counter)
    """Inbound transports that never became a link, by reason."""
    dials_failed: Counter[str] = attrs.field(factory=Counter)
    write_overflows: int = 0
    bytes_received: int = 0
    """Read from sockets: TLS and what became of no link included."""
    bytes_sent: int = 0
    """Handed to sockets."""


def address_group(host: str, *, loopback: bool = False) -> str | None:
    """The group an address counts for: its /24, or /48 in IPv6; None for loopback, unless that is wanted.

    Whoever holds one address of a group usually holds the others, too.
    """
    address = ip_address(host.partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if address.is_loopback and not loopback:
        return None
    return address.packed[: 6 if address.version == 6 else 3].hex()
