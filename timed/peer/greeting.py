"""The handshake: what it says, when it is refused, and which of two sessions lives.

A refusal is a `Refused` error whose rule is the reason of the Goodbye. The
functions are pure; who is connected already is the table's knowledge.
"""

from __future__ import annotations

import attrs

from timed.crypto.rule import verify
from timed.errors import Refused
from timed.params import NULL_HASH, WIRE_VERSION_MIN
from timed.peer import limits
from timed.peer.dialect import features_of
from timed.peer.values import Identity
from timed.primitives.hashing import tagged_hash
from timed.wire.messages import Handshake, OperatorProof


def proof_message(dialer: bytes, listener: bytes, genesis: bytes) -> bytes:
    """What a member signs with its operator key to show that it holds it.

    On a plain link nobody is authenticated before the handshake, and the other
    side's place holds the null id.
    """
    return tagged_hash("operator-proof", dialer, listener, genesis)


def compose(
    identity: Identity,
    peer_id: bytes | None,
    outbound: bool,
    number: int,
    status: tuple[int, bytes],
    now: int,
) -> Handshake:
    """This node's handshake. `number` grows with every handshake the process composes."""
    operator: tuple[OperatorProof, ...] = ()
    key = identity.operator_key
    if key is not None:
        pair = (identity.node_id, peer_id or NULL_HASH)
        dialer, listener = pair if outbound else pair[::-1]
        signature = key.sign(proof_message(dialer, listener, identity.genesis_hash))
        operator = (OperatorProof(key.public, signature),)
    height, tip = status
    return Handshake(
        wire_version=identity.dialect.wire_version,
        min_wire_version=WIRE_VERSION_MIN,
        features=features_of(identity.dialect, identity.params),
        network=identity.params.name,
        genesis=identity.genesis_hash,
        node_id=identity.node_id,
        boot=identity.boot,
        dial=number,
        software=identity.software,
        listen_port=identity.listen_port,
        height=height,
        tip=tip,
        time=now,
        window=limits.REQUEST_WINDOW,
        operator=operator,
    )


def check(
    identity: Identity, theirs: Handshake, *, peer_id: bytes | None, expected: bytes | None, outbound: bool
) -> bytes | None:
    """The operator key that the peer proved, or None; Refused when the two cannot talk.

    `peer_id` is whom the transport authenticated, `expected` whom the dial was for.
    """
    if theirs.network != identity.params.name:
        raise Refused("wrong-network", theirs.network)
    if theirs.genesis != identity.genesis_hash:
        raise Refused("wrong-genesis", f"theirs {theirs.genesis.hex()}, ours {identity.genesis_hash.hex()}")
    newest = identity.dialect.wire_version
    if theirs.min_wire_version > newest or theirs.wire_version < WIRE_VERSION_MIN:
        versions = f"theirs {theirs.min_wire_version}-{theirs.wire_version}"
        raise Refused("wire-version", f"{versions}, ours {WIRE_VERSION_MIN}-{newest}")
    if theirs.node_id == identity.node_id:
        raise Refused("self")
    for known in (peer_id, expected):
        if known is not None and theirs.node_id != known:
            raise Refused("node-id-mismatch", f"this is {theirs.node_id.hex()}, not {known.hex()}")
    return _proved(identity, theirs, peer_id, outbound)


def _proved(identity: Identity, theirs: Handshake, peer_id: bytes | None, outbound: bool) -> bytes | None:
    for proof in theirs.operator:
        own = NULL_HASH if peer_id is None else identity.node_id
        dialer, listener = (own, theirs.node_id) if outbound else (theirs.node_id, own)
        if not verify(proof.key, proof_message(dialer, listener, identity.genesis_hash), proof.signature):
            raise Refused("operator-proof")
        return proof.key
    return None


@attrs.frozen
class Claim:
    """What both ends know of a link once its two handshakes have crossed."""

    dialer: bytes
    """The node id of the side that dialled."""
    numbers: dict[bytes, int]
    """By node id: the `dial` of the handshake that this side sent here."""
    boot: int
    """The peer's `boot` here."""


def supersedes(newer: Claim, older: Claim) -> bool:
    """True when, of two links between one pair of nodes, `newer` is the one to keep.

    Both ends compute the same answer, whatever arrives first: a node greets on a
    link that it dialled only while it has no open session with that peer. So a
    dialler's later greeting says that the other link is over for it, or was
    never open. When neither or both ends say so, the dials have crossed, and the
    link that the greater node id dialled stays. Another `boot` means the peer
    has restarted: the later process counts.
    """
    if newer.boot != older.boot:
        return newer.boot > older.boot
    fresh = _greeted_later(newer, older)
    if fresh != _greeted_later(older, newer):
        return fresh
    return newer.dialer > older.dialer


def _greeted_later(link: Claim, other: Claim) -> bool:
    return link.numbers[link.dialer] > other.numbers[link.dialer]
