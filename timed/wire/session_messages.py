"""Messages about the session itself and about other peers."""

from __future__ import annotations

from timed.codec.value import Value
from timed.wire.message import Message


class OperatorProof(Value, frozen=True, gc=False):
    """A member's operator key and its signature over both node ids and the genesis hash."""

    key: bytes
    signature: bytes


class Handshake(Message, frozen=True, gc=False):
    """The first message of both sides. `time` is in microseconds of unix time.

    `boot` grows with every start of the node and `dial` with every dial it makes:
    together they tell a stale session from a crossing one. `window` is the number of
    requests the sender accepts in flight.
    """

    wire_version: int
    min_wire_version: int
    features: int
    network: str
    genesis: bytes
    node_id: bytes
    boot: int
    dial: int
    software: str
    listen_port: int
    height: int
    tip: bytes
    time: int
    window: int
    operator: tuple[OperatorProof, ...] = ()


class Ack(Message, frozen=True, gc=False):
    """The message with this catalogue number and this reference has arrived."""

    number: int
    reference: bytes


class Goodbye(Message, frozen=True, gc=False):
    """The last message: `reason` is a stable name, `detail` is for people."""

    reason: str
    detail: str = ""


class Ping(Message, frozen=True, gc=False):
    """Asks for a Pong with the same nonce; `time` is the sender's, in microseconds."""

    nonce: int
    time: int


class Pong(Message, frozen=True, gc=False):
    """Answers the Ping with this nonce; `time` is the answering node's."""

    nonce: int
    time: int


class GetPeers(Message, frozen=True, gc=False):
    """Asks for addresses of nodes."""


class PeerAddress(Value, frozen=True, gc=False):
    """Where a node was last seen; `last_seen` is in microseconds of unix time."""

    node_id: bytes
    host: str
    port: int
    last_seen: int


class PeersResponse(Message, frozen=True, gc=False):
    """Addresses of nodes."""

    peers: tuple[PeerAddress, ...]


from timed.wire import _session_codec as _session_codec  # noqa: E402 (binds the codec)
