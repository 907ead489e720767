"""The message catalogue: one row per message, and everything is read from it (protocol §5).

Encoders and decoders, bounds, priorities, rate buckets, acknowledgements, metrics
labels, documentation and the fuzz tests take what they need from `MESSAGES`.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from timed.codec.declare import maximum_size
from timed.errors import DecodeError, LocalError
from timed.wire import block_messages as blocks
from timed.wire import layouts
from timed.wire import session_messages as session
from timed.wire import transaction_messages as transactions
from timed.wire.message import Direction, Message, MessageType, Priority, Relay, Verbatim, enter

MAX_BLOCK_BYTES = 4 * 1024 * 1024
MAX_MESSAGE_BYTES = MAX_BLOCK_BYTES + 1024 * 1024
"""No message is longer: a full block and its certificate."""
MAX_CERTIFICATE_BYTES = 1024 * 1024
MAX_TRANSACTION_BYTES = 100_000
"""The networks' own limits are not above this."""
MAX_HANDSHAKE_BYTES = 4 * 1024
"""Until the handshake is done, no message of any type may be longer."""
MAX_UNKNOWN_BYTES = 64 * 1024
"""A message of an unknown type up to this length is skipped."""

_NUMBER_SIZE = 2


def _row(
    number: int,
    cls: type[Message],
    layout: Any,
    direction: Direction,
    priority: Priority,
    bucket: str,
    *,
    max_size: int | None = None,
    reply: str | None = None,
    requires_ack: bool = False,
    is_response: bool = False,
    relay: Relay = Relay.NEVER,
    since: int = 1,
    compress: bool = False,
) -> MessageType:
    """A row; without `max_size` the layout's own bound holds."""
    return MessageType(
        number=number,
        name=cls.__name__,
        cls=cls,
        layout=layout,
        direction=direction,
        priority=priority,
        max_size=maximum_size(layout) if max_size is None else max_size,
        bucket=bucket,
        reply=reply,
        requires_ack=requires_ack,
        is_response=is_response or direction is Direction.REPLY,
        relay=relay,
        since=since,
        compress=compress,
    )


_NOTICE, _REQUEST, _REPLY = Direction.NOTICE, Direction.REQUEST, Direction.REPLY
_CONTROL, _CONSENSUS, _QUERIES, _BULK = (
    Priority.CONTROL, Priority.CONSENSUS, Priority.QUERIES, Priority.BULK,
)  # fmt: skip

MESSAGES: tuple[MessageType, ...] = (
    _row(1, session.Handshake, layouts.HANDSHAKE, _NOTICE, _CONTROL, "control", requires_ack=True),
    _row(2, session.Ack, layouts.ACK, _NOTICE, _CONTROL, "control", is_response=True),
    _row(3, session.Goodbye, layouts.GOODBYE, _NOTICE, _CONTROL, "control"),
    _row(4, session.Ping, layouts.PING, _NOTICE, _CONTROL, "control"),
    _row(5, session.Pong, layouts.PONG, _NOTICE, _CONTROL, "control", is_response=True),
    _row(6, session.GetPeers, layouts.GET_PEERS, _REQUEST, _QUERIES, "peers", reply="PeersResponse"),
    _row(7, session.PeersResponse, layouts.PEERS_RESPONSE, _REPLY, _QUERIES, "peers", compress=True),
    _row(
        16, transactions.TransactionBroadcast, layouts.TRANSACTION_BROADCAST,
        _NOTICE, Priority.TRANSACTIONS, "transactions",
        max_size=MAX_TRANSACTION_BYTES, relay=Relay.NEW,
    ),
    _row(
        17, transactions.TransactionVote, layouts.TRANSACTION_VOTE, _NOTICE, _CONSENSUS, "votes",
        relay=Relay.NEW,
    ),
    _row(
        18, transactions.TransactionCertified, layouts.TRANSACTION_CERTIFIED,
        _NOTICE, _CONSENSUS, "certificates", max_size=MAX_CERTIFICATE_BYTES, relay=Relay.NEW,
    ),
    _row(
        19, transactions.TransactionFinalized, layouts.TRANSACTION_FINALIZED,
        _NOTICE, _CONSENSUS, "certificates",
        max_size=MAX_CERTIFICATE_BYTES, requires_ack=True, relay=Relay.NEW,
    ),
    _row(
        20, transactions.TransactionRejected, layouts.TRANSACTION_REJECTED,
        _NOTICE, Priority.TRANSACTIONS, "transactions",
    ),
    _row(
        21, transactions.GetTransactions, layouts.GET_TRANSACTIONS, _REQUEST, _QUERIES, "queries",
        reply="TransactionsResponse",
    ),
    _row(
        22, transactions.TransactionsResponse, layouts.TRANSACTIONS_RESPONSE, _REPLY, _QUERIES, "queries",
        max_size=MAX_BLOCK_BYTES, compress=True,
    ),
    _row(
        23, transactions.GetPendingTransactions, layouts.GET_PENDING_TRANSACTIONS,
        _REQUEST, _QUERIES, "queries", reply="PendingTransactionsResponse",
    ),
    _row(
        24, transactions.PendingTransactionsResponse, layouts.PENDING_TRANSACTIONS_RESPONSE,
        _REPLY, _QUERIES, "queries",
    ),
    _row(
        25, transactions.GetCertificates, layouts.GET_CERTIFICATES, _REQUEST, _QUERIES, "queries",
        reply="CertificatesResponse",
    ),
    _row(
        26, transactions.CertificatesResponse, layouts.CERTIFICATES_RESPONSE, _REPLY, _QUERIES, "queries",
        max_size=MAX_BLOCK_BYTES, compress=True,
    ),
    _row(
        27, transactions.EpochReport, layouts.EPOCH_REPORT, _NOTICE, _CONSENSUS, "reports",
        relay=Relay.NEW,
    ),
    _row(
        28, transactions.UTXOStateQuery, layouts.UTXO_STATE_QUERY, _REQUEST, _QUERIES, "queries",
        reply="UTXOStateResponse",
    ),
    _row(
        29, transactions.UTXOStateResponse, layouts.UTXO_STATE_RESPONSE, _REPLY, _QUERIES, "queries",
    ),
    _row(
        30, transactions.TransactionAnnouncement, layouts.TRANSACTION_ANNOUNCEMENT,
        _NOTICE, Priority.TRANSACTIONS, "transactions", since=2,
    ),
    _row(
        32, blocks.BlockProposal, layouts.BLOCK_PROPOSAL,
        Direction.NOTICE_OR_REPLY, _CONSENSUS, "proposals",
        max_size=MAX_BLOCK_BYTES, requires_ack=True, relay=Relay.NEW,
    ),
    _row(33, blocks.BlockVote, layouts.BLOCK_VOTE, _NOTICE, _CONSENSUS, "votes", relay=Relay.NEW),
    _row(
        34, blocks.BlockCommit, layouts.BLOCK_COMMIT, _NOTICE, _CONSENSUS, "certificates",
        max_size=MAX_CERTIFICATE_BYTES, requires_ack=True, relay=Relay.NEW,
    ),
    _row(35, blocks.BlockAnnouncement, layouts.BLOCK_ANNOUNCEMENT, _NOTICE, _CONSENSUS, "blocks"),
    _row(
        36, blocks.GetHeaders, layouts.GET_HEADERS, _REQUEST, _QUERIES, "blocks",
        reply="HeadersResponse",
    ),
    _row(
        37, blocks.HeadersResponse, layouts.HEADERS_RESPONSE, _REPLY, _BULK, "blocks",
        max_size=MAX_BLOCK_BYTES, compress=True,
    ),
    _row(38, blocks.GetBlocks, layouts.GET_BLOCKS, _REQUEST, _QUERIES, "blocks", reply="BlocksResponse"),
    _row(
        39, blocks.BlocksResponse, layouts.BLOCKS_RESPONSE, _REPLY, _BULK, "blocks",
        max_size=MAX_MESSAGE_BYTES, compress=True,
    ),
    _row(
        40, blocks.BlockRequest, layouts.BLOCK_REQUEST, _REQUEST, _QUERIES, "blocks",
        reply="BlockResponse",
    ),
    _row(
        41, blocks.BlockResponse, layouts.BLOCK_RESPONSE, _REPLY, _BULK, "blocks",
        max_size=MAX_MESSAGE_BYTES, compress=True,
    ),
    _row(
        42, blocks.GetMasternodes, layouts.GET_MASTERNODES, _REQUEST, _QUERIES, "queries",
        reply="MasternodesResponse",
    ),
    _row(
        43, blocks.MasternodesResponse, layouts.MASTERNODES_RESPONSE, _REPLY, _QUERIES, "queries",
        max_size=MAX_BLOCK_BYTES, compress=True,
    ),
    _row(44, blocks.RoundState, layouts.ROUND_STATE, _NOTICE, _CONSENSUS, "proposals"),
    _row(
        45, blocks.GetProposal, layouts.GET_PROPOSAL, _REQUEST, _CONSENSUS, "proposals",
        reply="BlockProposal",
    ),
    _row(
        46, blocks.GetCompactBlock, layouts.GET_COMPACT_BLOCK, _REQUEST, _QUERIES, "blocks",
        reply="CompactBlockResponse", since=2,
    ),
    _row(
        47, blocks.CompactBlockResponse, layouts.COMPACT_BLOCK_RESPONSE, _REPLY, _BULK, "blocks",
        max_size=MAX_BLOCK_BYTES, since=2, compress=True,
    ),
)  # fmt: skip

BY_NUMBER: dict[int, MessageType] = {entry.number: entry for entry in MESSAGES}
BY_NAME: dict[str, MessageType] = {entry.name: entry for entry in MESSAGES}

enter(MESSAGES)


def of(message: Message) -> MessageType:
    """The row of this message's class; LocalError when it has none."""
    return message.entry()


def limit_for(number: int) -> int:
    """The longest payload of this type on an open session, in bytes."""
    entry = BY_NUMBER.get(number)
    return MAX_UNKNOWN_BYTES if entry is None else entry.max_size


def handshake_limit_for(number: int) -> int:
    """The longest payload of this type before the handshake is done, in bytes."""
    return min(limit_for(number), MAX_HANDSHAKE_BYTES)


def encode_message(message: Message | Verbatim[Any]) -> tuple[int, bytes]:
    """(number, payload). LocalError when the payload exceeds its type's bound."""
    entry = message.entry()
    payload = message.encode()
    if len(payload) > entry.max_size:
        raise LocalError(f"a {entry.name} of {len(payload)} bytes exceeds {entry.max_size}.")
    return entry.number, payload


def decode_message(number: int, payload: bytes) -> Message:
    """The message; DecodeError for an unknown number ("message-unknown"), a payload over
    its type's bound ("message-too-long"), or anything but a canonical encoding."""
    entry = BY_NUMBER.get(number)
    if entry is None:
        raise DecodeError("message-unknown", str(number))
    if len(payload) > entry.max_size:
        raise DecodeError("message-too-long", f"{entry.name}: {len(payload)} bytes")
    return entry.cls.decode(payload)


def decode_in_steps(number: int, payload: bytes) -> Generator[int, None, Message]:
    """`decode_message` over several turns: yields how far it is, every 16 KiB or so of a long message."""
    entry = BY_NUMBER.get(number)
    if entry is None or len(payload) > entry.max_size:
        return decode_message(number, payload)
    return (yield from entry.cls.decode_in_steps(payload))


def encode_record(message: Message) -> bytes:
    """Number and payload in one piece, for the log."""
    number, payload = encode_message(message)
    return number.to_bytes(_NUMBER_SIZE, "little") + payload


def decode_record(data: bytes) -> Message:
    """The message of a log record; DecodeError for anything else."""
    if len(data) < _NUMBER_SIZE:
        raise DecodeError("decode-truncated", "record")
    return decode_message(int.from_bytes(data[:_NUMBER_SIZE], "little"), data[_NUMBER_SIZE:])
