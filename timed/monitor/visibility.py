"""Who sees names, addresses and log lines: whoever sits at the node's own machine.

The address alone is not enough: a page from elsewhere may have a name that leads to
127.0.0.1, and a proxy on this machine speaks for others.
"""

from __future__ import annotations

from timed.peer.location import is_loopback
from timed.rpc.site import BoundedRequest

PROXY_HEADERS = ("forwarded", "x-forwarded-for", "x-real-ip", "via")


def is_private(request: BoundedRequest) -> bool:
    """True when the connection is from loopback, asks for a loopback name, and no proxy says it came by."""
    address = request.getClientAddress()
    if not is_loopback(str(getattr(address, "host", ""))):
        return False
    if any(request.requestHeaders.hasHeader(name) for name in PROXY_HEADERS):
        return False
    return is_loopback(host_named(request.getHeader(b"host")))


def is_foreign(request: BoundedRequest) -> bool:
    """True when a browser says that a page of another site asks.

    `Sec-Fetch-Site` comes with every request of a browser and cannot be set by a page;
    older ones send `Origin` at least where a page would read the answer.
    """
    site = request.getHeader(b"sec-fetch-site")
    if site is not None:
        return site not in (b"same-origin", b"none")
    origin = request.getHeader(b"origin")
    return origin is not None and origin.partition(b"://")[2] != request.getHeader(b"host")


def host_named(header: bytes | None) -> str:
    """The host of a Host header, without port and brackets; empty without any."""
    text = (header or b"").decode("latin-1").strip()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0]
