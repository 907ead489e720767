"""What the network tells its host: the driver of a node, or a test."""

# zope interfaces declare methods without `self`; mypy-zope understands them.
# ruff: noqa: N805

from __future__ import annotations

from zope.interface import Interface


class INetworkHost(Interface):
    """Called on the reactor thread, never from inside a method of `Network`.

    A link is a number that is used once in the life of a `Network`. Hosts, peer
    ids and reasons are plain values; `timed.net.reasons` lists the reasons.
    """

    def connected(link: int, outbound: bool, peer_id: bytes | None, host: str, port: int) -> None:
        """A transport is up in both directions, and what it has proved of itself.

        `peer_id` is the public key the peer proved to hold, None on a plain link.
        An outbound link may still end at once: the other side judges our
        certificate only after our half of the TLS handshake is over.
        """

    def received(link: int, data: bytes) -> None:
        """Bytes in order, at least one."""

    def disconnected(link: int, reason: str) -> None:
        """The end of a link, exactly once, also of one that the host closed itself.

        An inbound transport that was refused before it was a link is told here,
        too: `connected` was never called for such a link.
        """

    def dial_failed(host: str, port: int, reason: str) -> None:
        """The outcome of a dial that led to no link; the arguments are those of the dial."""

    def drained(link: int) -> None:
        """Everything written to the link so far is with the kernel.

        Comes after every write, once for several that left together.
        """
