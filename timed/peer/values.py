"""What the peer room is told about this node, and what it tells the node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Union

import attrs

from timed.params import NetworkParams
from timed.peer.dialect import ORDINARY, Dialect

if TYPE_CHECKING:
    from timed.crypto.keys import SigningKey
    from timed.wire.message import Message
    from timed.wire.messages import Handshake


REASONS = frozenset(
    {
        "banned", "compressed-damaged", "compressed-ratio", "compressed-size", "compression-not-negotiated",
        "duplicate", "feeler", "frame-checksum", "frame-flags", "frame-fragment", "frame-magic",
        "frame-too-long", "full", "handshake-order", "incomplete", "malformed", "node-id-mismatch",
        "operator", "operator-proof", "self", "stopping", "wire-version", "wrong-genesis", "wrong-network",
        "wrong-reply",
    }
)  # fmt: skip
"""Reasons that a peer's Goodbye may give; another one is counted as "other"."""


@attrs.frozen
class Identity:
    """Who this node is. One per process."""

    params: NetworkParams
    genesis_hash: bytes
    node_key: SigningKey
    operator_key: SigningKey | None
    """Proved to every peer; None for a node that is no member."""
    software: str
    listen_port: int
    """Where others reach this node; 0 when they do not."""
    boot: int
    """Greater in every later process with the same node key; unix time will do."""
    dialect: Dialect = ORDINARY
    """How it speaks."""

    @property
    def node_id(self) -> bytes:
        return self.node_key.public


def host_port(host: str, port: int) -> str:
    """`host:port`, an IPv6 address in brackets: as `timed.peer.location.parse_peer` reads it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@attrs.frozen
class PeerAddress:
    """Where a peer listens, and who it is when that is known."""

    host: str
    port: int
    node_id: bytes | None = None

    def __str__(self) -> str:
        """As `timed.peer.location.parse_peer` reads it."""
        prefix = f"{self.node_id.hex()}@" if self.node_id is not None else ""
        return prefix + host_port(self.host, self.port)


@attrs.frozen(eq=False)
class PeerHandle:
    """One open session. It stays the same object until the session is closed."""

    node_id: bytes
    generation: int
    """Greater in every later session of this process."""
    operator: bytes | None
    """The operator key the peer proved to hold."""
    address: str
    outbound: bool
    handshake: Handshake
    version: int
    """The wire version of the session: no message that came later may be sent."""
    features: int
    """What both sides set of `timed.peer.dialect.Feature`."""


@attrs.frozen
class Opened:
    """A session may be used from now on."""

    peer: PeerHandle


@attrs.frozen
class Closed:
    """A session that was open is gone. `unwanted`: neither side said so."""

    peer: PeerHandle
    reason: str
    unwanted: bool


@attrs.frozen
class Incoming:
    """A message. `request_id` is not 0 when it is an answer, or wants one."""

    peer: PeerHandle
    message: Message
    request_id: int
    is_reply: bool


@attrs.frozen
class RequestFailed:
    """No answer will be delivered for this request."""

    peer: PeerHandle
    request_id: int
    reason: str


Delivery = Union[Opened, Closed, Incoming, RequestFailed]
