"""What goes into a `Node` and what comes out of it.

The host (Twisted in `timed.app`, virtual time in `timed.sim`) turns the world
into calls of `Node` and executes the actions it returns, in their order. An
action never has a result; what the world answers comes back as a later call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Union

import attrs

if TYPE_CHECKING:
    from timed.interfaces import BlockCommit

Link = int
"""One transport connection; never used twice in the life of a process."""

UNKNOWN, WAITING, PENDING = "unknown", "waiting", "pending"
LOCKED, CERTIFIED, FINAL, CONFIRMED = "locked", "certified", "final", "confirmed"
"""The states of a transaction, in the words that every part of the node uses for them."""


@attrs.frozen
class Write:
    """Hand `data` to the transport of `link`."""

    link: Link
    data: bytes


@attrs.frozen
class Close:
    """End the transport of `link`; `abort` drops what is not yet written."""

    link: Link
    reason: str
    abort: bool = False


@attrs.frozen
class Pause:
    """Read nothing more from `link` until `Resume`; what has been read is still reported."""

    link: Link


@attrs.frozen
class Resume:
    """Read from `link` again."""

    link: Link


@attrs.frozen
class Dial:
    """Open a transport to (host, port). `expected` is the node id there, if known."""

    host: str
    port: int
    expected: bytes | None


@attrs.frozen
class Persist:
    """Append `records` to the log and make them durable, then `Node.persisted(token)`.

    Persist actions and block commits are executed first in, first out: when a
    token comes back, everything handed over before it is durable, too.
    """

    token: int
    records: tuple[bytes, ...]


@attrs.frozen
class CommitBlock:
    """Write a certified block with its effects, then `Node.persisted(token)`.

    The store forgets the log of the epoch that this block closes, in the same
    durable step or later, never earlier.
    """

    token: int
    commit: BlockCommit


@attrs.frozen
class Verify:
    """Check `items` = (public key, message, signature), then `Node.verified(token, verdicts)`."""

    token: int
    items: tuple[tuple[bytes, bytes, bytes], ...]


@attrs.frozen
class Publish:
    """Tell the world's observers (RPC, wallet, metrics, log) about `event`."""

    event: NodeEvent


Action = Union[Write, Close, Pause, Resume, Dial, Persist, CommitBlock, Verify, Publish]


# What a node tells its observers. Everything an event speaks of is durable.


@attrs.frozen
class PeerOpened:
    node_id: bytes
    address: str
    outbound: bool


@attrs.frozen
class PeerClosed:
    """A session ended. `unwanted` is true when it was alive and both ends wanted it, `ours` says who ended it."""

    node_id: bytes
    address: str
    reason: str
    unwanted: bool
    ours: bool


@attrs.frozen
class PeerRefused:
    """A session that never opened; `rule` names why, `ours` says who refused."""

    address: str
    rule: str
    detail: str
    ours: bool


@attrs.frozen
class PeerUnreachable:
    """A configured address has not answered several times in a row, for this reason; it is dialled on."""

    address: str
    reason: str


@attrs.frozen
class PeerBanned:
    """This node judged that a peer is to be kept out; `done` is false in a dry run."""

    node_id: bytes
    address: str
    reason: str
    seconds: int
    done: bool


@attrs.frozen
class PeerMessage:
    """A message came whole, or is queued to leave; `size` is in bytes of its link.

    Published where `timed.peer.dialect.Dialect.tell_messages` asks for it.
    """

    node_id: bytes
    address: str
    name: str
    size: int
    sent: bool


@attrs.frozen
class TransactionAccepted:
    txid: bytes


@attrs.frozen
class TransactionKept:
    """A user handed in what was pending already: this node's log holds it now."""

    txid: bytes


@attrs.frozen
class TransactionLocked:
    """This node's vote for the transaction is durable."""

    txid: bytes
    epoch: int


@attrs.frozen
class TransactionCertified:
    txid: bytes
    epoch: int


@attrs.frozen
class TransactionFinal:
    txid: bytes
    epoch: int


@attrs.frozen
class TransactionReleased:
    """An epoch closed without it: its inputs are free for a new vote."""

    txid: bytes
    epoch: int


@attrs.frozen
class TransactionDropped:
    """It left the mempool without a block; `rule` says why."""

    txid: bytes
    rule: str


@attrs.frozen
class PaymentReleased:
    """A payment of this node's wallet will never be final; its coins are free again. `rule` says why.

    The wallet tells this, not the node; the record of it is durable.
    """

    txid: bytes
    rule: str


@attrs.frozen
class DoubleSpend:
    """Two transactions spend `outpoint`; `first` holds this node's lock."""

    outpoint: tuple[bytes, int]
    first: bytes
    second: bytes
    epoch: int


@attrs.frozen
class EpochReported:
    epoch: int
    transactions: int


@attrs.frozen
class BlockCertified:
    """A block is certified, applied and durable; it is the new tip."""

    height: int
    block_hash: bytes
    time: int
    txids: tuple[bytes, ...]
    live: bool
    """False while catching up."""


@attrs.frozen
class Equivocation:
    """A member signed two conflicting things; `what` names the kind."""

    member: bytes
    height: int
    what: str


@attrs.frozen
class ClockOff:
    """The members' clocks say that ours is off by more than 5 s: nothing is signed until it is right."""

    offset_us: int


@attrs.frozen
class ClockRight:
    """Our clock agrees with the members' again: this node signs."""

    offset_us: int


@attrs.frozen
class SafetyFailure:
    """The protocol's promise is broken; this node has stopped voting."""

    what: str


NodeEvent = Union[
    PeerOpened,
    PeerClosed,
    PeerRefused,
    PeerUnreachable,
    PeerBanned,
    PeerMessage,
    TransactionAccepted,
    TransactionKept,
    TransactionLocked,
    TransactionCertified,
    TransactionFinal,
    TransactionReleased,
    TransactionDropped,
    PaymentReleased,
    DoubleSpend,
    EpochReported,
    BlockCertified,
    Equivocation,
    ClockOff,
    ClockRight,
    SafetyFailure,
]
