"""The declared encoding of every message.

These are the only definitions; `timed.wire._*_codec` is generated from them by
`python -m timed.codec`. Numbers, classes of priority and bounds are in the catalogue.
"""

from __future__ import annotations

from typing import Any

from timed.codec.declare import (
    Record,
    array,
    bytes_prefixed,
    enum,
    flag,
    hash32,
    key32,
    optional,
    signature64,
    text,
    u8,
    u16,
    u32,
    u64,
)
from timed.primitives.layouts import (
    BLOCK,
    BLOCK_CERTIFICATE,
    BLOCK_HEADER,
    BUNDLE_CERTIFICATE,
    EVIDENCE,
    MAX_BITMAP,
    MAX_BLOCK_TRANSACTIONS,
    MAX_EVIDENCE,
    MAX_MEMBERS,
    OUTPOINT,
    REPORT_REFERENCE,
    ROSTER,
    TRANSACTION,
)

MAX_BUNDLE_ENTRIES = 1_024
MAX_REPORT_TXIDS = 16_000
"""Transactions of one epoch: twice what a member votes for (`NetworkParams.epoch_transactions`)."""
MAX_NAMED = (MAX_REPORT_TXIDS + 7) // 8
MAX_PENDING = 65_535
MAX_TRANSACTIONS_ASKED = 256
MAX_CERTIFICATES_ASKED = 64
MAX_OUTPOINTS_ASKED = 256
MAX_HEADERS = 512
MAX_BLOCKS = 512
MAX_PEERS = 1_000
MAX_HOST = 255
MAX_RULE = 64
MAX_DETAIL = 256


def _session(title: str, *fields: Any) -> Record:
    return Record(title, "timed.wire.session_messages", False, fields)


def _transactions(title: str, *fields: Any, retained: bool = False) -> Record:
    return Record(title, "timed.wire.transaction_messages", retained, fields)


def _blocks(title: str, *fields: Any, retained: bool = False) -> Record:
    return Record(title, "timed.wire.block_messages", retained, fields)


OPERATOR_PROOF = _session("OperatorProof", "key" / key32, "signature" / signature64)
HANDSHAKE = _session(
    "Handshake",
    "wire_version" / u16,
    "min_wire_version" / u16,
    "features" / u64,
    "network" / text(u8, 16),
    "genesis" / hash32,
    "node_id" / key32,
    "boot" / u64,
    "dial" / u64,
    "software" / text(u8, 64),
    "listen_port" / u16,
    "height" / u64,
    "tip" / hash32,
    "time" / u64,
    "window" / u16,
    "operator" / array(u8, OPERATOR_PROOF, 1),
)
ACK = _session("Ack", "number" / u16, "reference" / hash32)
GOODBYE = _session("Goodbye", "reason" / text(u8, 32), "detail" / text(u16, MAX_DETAIL))
PING = _session("Ping", "nonce" / u64, "time" / u64)
PONG = _session("Pong", "nonce" / u64, "time" / u64)
GET_PEERS = _session("GetPeers")
PEER_ADDRESS = _session(
    "PeerAddress", "node_id" / key32, "host" / text(u8, MAX_HOST), "port" / u16, "last_seen" / u64
)
PEERS_RESPONSE = _session("PeersResponse", "peers" / array(u16, PEER_ADDRESS, MAX_PEERS))

TRANSACTION_BROADCAST = _transactions("TransactionBroadcast", "transaction" / TRANSACTION)
TRANSACTION_VOTE = _transactions(
    "TransactionVote",
    "kind" / enum(u8, (2, 3)),
    "chain_id" / u32,
    "epoch" / u64,
    "roster" / hash32,
    "tick" / u64,
    "member" / u16,
    "entries" / array(u16, hash32, MAX_BUNDLE_ENTRIES, minimum=1),
    "signature" / signature64,
)
TRANSACTION_CERTIFIED = _transactions("TransactionCertified", "certificate" / BUNDLE_CERTIFICATE)
TRANSACTION_FINALIZED = _transactions("TransactionFinalized", "certificate" / BUNDLE_CERTIFICATE)
TRANSACTION_REJECTED = _transactions(
    "TransactionRejected", "txid" / hash32, "rule" / text(u8, MAX_RULE), "detail" / text(u16, MAX_DETAIL)
)
TRANSACTION_ANNOUNCEMENT = _transactions(
    "TransactionAnnouncement", "txids" / array(u16, hash32, MAX_TRANSACTIONS_ASKED)
)
GET_TRANSACTIONS = _transactions("GetTransactions", "txids" / array(u16, hash32, MAX_TRANSACTIONS_ASKED))
TRANSACTIONS_RESPONSE = _transactions(
    "TransactionsResponse", "transactions" / array(u16, TRANSACTION, MAX_TRANSACTIONS_ASKED)
)
GET_PENDING_TRANSACTIONS = _transactions("GetPendingTransactions")
PENDING_TRANSACTIONS_RESPONSE = _transactions(
    "PendingTransactionsResponse", "epoch" / u64, "txids" / array(u32, hash32, MAX_PENDING)
)
GET_CERTIFICATES = _transactions(
    "GetCertificates", "epoch" / u64, "txids" / array(u16, hash32, MAX_CERTIFICATES_ASKED)
)
CERTIFIED_TRANSACTION = _transactions(
    "CertifiedTransaction", "transaction" / TRANSACTION, "certificate" / BUNDLE_CERTIFICATE
)
CERTIFICATES_RESPONSE = _transactions(
    "CertificatesResponse", "entries" / array(u16, CERTIFIED_TRANSACTION, MAX_CERTIFICATES_ASKED)
)
EPOCH_REPORT = _transactions(
    "EpochReport",
    "chain_id" / u32,
    "epoch" / u64,
    "roster" / hash32,
    "member" / u16,
    "txids" / array(u32, hash32, MAX_REPORT_TXIDS, ascending=""),
    "signature" / signature64,
    retained=True,
)
UTXO_STATE_QUERY = _transactions("UTXOStateQuery", "outpoints" / array(u16, OUTPOINT, MAX_OUTPOINTS_ASKED))
UTXO_STATE = _transactions("UTXOState", "outpoint" / OUTPOINT, "state" / enum(u8, range(6)), "txid" / hash32)
UTXO_STATE_RESPONSE = _transactions(
    "UTXOStateResponse", "states" / array(u16, UTXO_STATE, MAX_OUTPOINTS_ASKED)
)

REPORT_SHARE = _blocks(
    "ReportShare",
    "member" / u16,
    "named" / bytes_prefixed(u16, MAX_NAMED),
    "signature" / signature64,
)
PROPOSAL_BODY = _blocks(
    "ProposalBody",
    "attendance" / bytes_prefixed(u16, MAX_BITMAP),
    "evidence" / array(u16, EVIDENCE, MAX_EVIDENCE),
    "parent_certificate" / optional(BLOCK_CERTIFICATE),
    "txids" / array(u32, hash32, MAX_REPORT_TXIDS, ascending=""),
    "reports" / array(u16, REPORT_SHARE, MAX_MEMBERS),
    retained=True,
)
BLOCK_PROPOSAL = _blocks(
    "BlockProposal",
    "chain_id" / u32,
    "round" / u32,
    "valid_round" / u32,
    "header" / BLOCK_HEADER,
    "body" / PROPOSAL_BODY,
    "signature" / signature64,
)
PROPOSAL_STATEMENT = _blocks(
    "ProposalStatement",
    "chain_id" / u32,
    "height" / u64,
    "round" / u32,
    "valid_round" / u32,
    "block" / hash32,
    "body" / hash32,
)
BLOCK_VOTE = _blocks(
    "BlockVote",
    "chain_id" / u32,
    "height" / u64,
    "round" / u32,
    "step" / enum(u8, (1, 2)),
    "block" / hash32,
    "roster" / hash32,
    "member" / u16,
    "signature" / signature64,
)
BLOCK_COMMIT = _blocks("BlockCommit", "certificate" / BLOCK_CERTIFICATE)
BLOCK_ANNOUNCEMENT = _blocks("BlockAnnouncement", "height" / u64, "hash" / hash32)
GET_HEADERS = _blocks("GetHeaders", "start" / u64, "count" / u16)
SIGNED_HEADER = _blocks("SignedHeader", "header" / BLOCK_HEADER, "certificate" / BLOCK_CERTIFICATE)
HEADERS_RESPONSE = _blocks("HeadersResponse", "headers" / array(u16, SIGNED_HEADER, MAX_HEADERS))
GET_BLOCKS = _blocks("GetBlocks", "start" / u64, "count" / u16)
CERTIFIED_BLOCK = _blocks("CertifiedBlock", "block" / BLOCK, "certificate" / BLOCK_CERTIFICATE)
BLOCKS_RESPONSE = _blocks("BlocksResponse", "blocks" / array(u16, CERTIFIED_BLOCK, MAX_BLOCKS))
BLOCK_REQUEST = _blocks("BlockRequest", "hash" / hash32)
BLOCK_RESPONSE = _blocks("BlockResponse", "blocks" / array(u8, CERTIFIED_BLOCK, 1))
GET_COMPACT_BLOCK = _blocks("GetCompactBlock", "hash" / hash32)
COMPACT_BLOCK = _blocks(
    "CompactBlock",
    "header" / BLOCK_HEADER,
    "coinbase" / TRANSACTION,
    "txids" / array(u32, hash32, MAX_BLOCK_TRANSACTIONS),
    "attendance" / bytes_prefixed(u16, MAX_BITMAP),
    "evidence" / array(u16, EVIDENCE, MAX_EVIDENCE),
    "parent_certificate" / optional(BLOCK_CERTIFICATE),
    "reports" / array(u16, REPORT_REFERENCE, MAX_MEMBERS),
)
COMPACT_BLOCK_RESPONSE = _blocks("CompactBlockResponse", "blocks" / array(u8, COMPACT_BLOCK, 1))
GET_MASTERNODES = _blocks("GetMasternodes", "height" / u64)
MASTERNODES_RESPONSE = _blocks("MasternodesResponse", "height" / u64, "roster" / ROSTER)
ROUND_STATE = _blocks("RoundState", "height" / u64, "round" / u32, "step" / u8, "reported" / flag)
GET_PROPOSAL = _blocks("GetProposal", "height" / u64, "round" / u32)

RECORDS = (
    OPERATOR_PROOF, HANDSHAKE, ACK, GOODBYE, PING, PONG, GET_PEERS, PEER_ADDRESS, PEERS_RESPONSE,
    TRANSACTION_BROADCAST, TRANSACTION_VOTE, TRANSACTION_CERTIFIED, TRANSACTION_FINALIZED,
    TRANSACTION_REJECTED, TRANSACTION_ANNOUNCEMENT, GET_TRANSACTIONS, TRANSACTIONS_RESPONSE, GET_PENDING_TRANSACTIONS,
    PENDING_TRANSACTIONS_RESPONSE, GET_CERTIFICATES, CERTIFIED_TRANSACTION, CERTIFICATES_RESPONSE,
    EPOCH_REPORT, UTXO_STATE_QUERY, UTXO_STATE, UTXO_STATE_RESPONSE,
    REPORT_SHARE, PROPOSAL_BODY, BLOCK_PROPOSAL, PROPOSAL_STATEMENT, BLOCK_VOTE, BLOCK_COMMIT, BLOCK_ANNOUNCEMENT, GET_HEADERS,
    SIGNED_HEADER, HEADERS_RESPONSE, GET_BLOCKS, CERTIFIED_BLOCK, BLOCKS_RESPONSE, BLOCK_REQUEST,
    BLOCK_RESPONSE, GET_COMPACT_BLOCK, COMPACT_BLOCK, COMPACT_BLOCK_RESPONSE, GET_MASTERNODES, MASTERNODES_RESPONSE, ROUND_STATE, GET_PROPOSAL,
)  # fmt: skip
"""Every value of the wire, in the order of their modules."""
