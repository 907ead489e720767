"""Where a request comes from: the client's address, also through proxies that the operator trusts."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import attrs
from twisted.web.http import Request

from timed.rpc.site import BoundedRequest

Address = IPv4Address | IPv6Address
Subnet = IPv4Network | IPv6Network

FORWARDED = b"x-forwarded-for"
MAX_HOPS = 16
"""Addresses of one request that are looked at, from the last proxy on; whoever comes from farther is nobody."""


@attrs.frozen
class Origin:
    """`address` is the client's, None when it cannot be told; `own` is true for this machine's."""

    address: Address | None
    own: bool
    proxy: bool = False
    """A trusted proxy asks in its own name: nobody stands behind it."""
    direct: Sequence[Subnet] | None = None
    """Whoever is at the other end of the connection, for as long as these are the proxies."""
    place: str = attrs.field(init=False)
    """What budgets and delays are kept for."""

    @place.default
    def _place(self) -> str:
        return place_of(self.address)


def origin_of(request: BoundedRequest, proxies: Sequence[Subnet]) -> Origin:
    """As `read_origin`, worked out once for a connection that no proxy holds."""
    channel = request.channel
    origin = channel.origin
    if origin is None or origin.direct is not proxies:
        origin = read_origin(request, proxies)
        channel.origin = origin if origin.direct is not None else None
    return origin


def read_origin(request: Request, proxies: Sequence[Subnet]) -> Origin:
    """The client behind a request; `X-Forwarded-For` counts from an address in `proxies` alone.

    The header is read from its end, where the last proxy has written, up to the first
    address that is no proxy: what stands before that one may be anybody's invention.
    """
    peer = _peer(request)
    if peer is None or not _is_in(peer, proxies):
        return Origin(peer, peer is not None and peer.is_loopback, direct=proxies)
    hops = [hop for line in request.requestHeaders.getRawHeaders(FORWARDED, ()) for hop in line.split(b",")]
    if not hops:
        return Origin(peer, peer.is_loopback, proxy=True)
    address: Address | None = None
    for hop in reversed(hops[-MAX_HOPS:]):
        address = _parsed(hop)
        if address is None or not _is_in(address, proxies):
            break
    else:
        if len(hops) > MAX_HOPS:
            address = None
    # Another machine's proxy has a loopback of its own, which is not this one's.
    return Origin(address, address is not None and address.is_loopback and peer.is_loopback)


def place_of(address: Address | None) -> str:
    """What budgets and delays are kept for: an IPv4 address, or the /64 in which one host may choose freely."""
    if address is None:
        return ""
    return str(ip_network((address, 64), strict=False)) if address.version == 6 else str(address)


def _peer(request: Request) -> Address | None:
    return _plain(str(getattr(request.getClientAddress(), "host", "")))


def _parsed(hop: bytes) -> Address | None:
    """An address as proxies write it: alone, or with a port, an IPv6 one in brackets then."""
    text = hop.strip().decode("latin-1")
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    return _plain(text)


def _plain(text: str) -> Address | None:
    """One that came over IPv6 with an IPv4 address has that."""
    try:
        found = ip_address(text)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def _is_in(address: Address, subnets: Sequence[Subnet]) -> bool:
    return any(address in subnet for subnet in subnets)
