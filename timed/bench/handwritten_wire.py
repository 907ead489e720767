"""The messages by hand: one reader and one packer a type, in `READ` and `PACK`."""

from __future__ import annotations

import struct
from collections.abc import Callable
from struct import Struct
from typing import Any

from timed.bench.handwritten import (
    U8,
    U16,
    U32,
    U64,
    at_most,
    bounded,
    chosen,
    exact,
    hashes,
    ordered,
    pack_block,
    pack_block_certificate,
    pack_bundle_certificate,
    pack_compact_block,
    pack_evidence,
    pack_header,
    pack_maybe_certificate,
    pack_outpoint,
    pack_roster,
    pack_transaction,
    read_block,
    read_block_certificate,
    read_bundle_certificate,
    read_bytes,
    read_compact_block,
    read_evidence,
    read_hashes,
    read_header,
    read_many,
    read_maybe_certificate,
    read_outpoint,
    read_roster,
    read_transaction,
    rising,
)
from timed.codec.value import EncodeError, retain
from timed.errors import DecodeError
from timed.primitives.transaction import OutPoint
from timed.wire import messages as wire
from timed.wire.message import Message

_HANDSHAKE = Struct("<HHQ")
_IDENTITY = Struct("<32s32sQQ")
_CHAIN = Struct("<HQ32sQHB")
_PROOF = Struct("<32s64s")
_NUMBER_HASH = Struct("<H32s")
_PING = Struct("<QQ")
_PEER = Struct("<HQ")
_BUNDLE = Struct("<BLQ32sQHH")
_REPORT = Struct("<LQ32sHL")
_STATE = Struct("<32sHB32s")
_SHARE = Struct("<HH")
_PROPOSAL = Struct("<LLL")
_VOTE = Struct("<LQLB32s32sH64s")
_ANNOUNCEMENT = Struct("<Q32s")
_RANGE = Struct("<QH")
_ROUND_STATE = Struct("<QLBB")
_PLACE = Struct("<QL")

Reader = Callable[[bytes, int], tuple[Any, int]]


def read_text(data: bytes, at: int, length: int) -> tuple[str, int]:
    """Strict UTF-8."""
    raw, at = read_bytes(data, at, length)
    try:
        return str(raw, "utf-8"), at
    except UnicodeDecodeError:
        raise DecodeError("decode-text", "") from None


def pack_text(text: str, maximum: int) -> bytes:
    """Strict UTF-8; EncodeError for lone surrogates or too many bytes."""
    try:
        return at_most(text.encode("utf-8"), maximum)
    except UnicodeEncodeError:
        raise EncodeError("text") from None


def _read_handshake(data: bytes, at: int) -> tuple[Any, int]:
    version, least, features = _HANDSHAKE.unpack_from(data, at)
    network, at = read_text(data, at + 13, bounded(data[at + 12], 16))
    genesis, node_id, boot, dial = _IDENTITY.unpack_from(data, at)
    software, at = read_text(data, at + 81, bounded(data[at + 80], 64))
    port, height, tip, time, window, count = _CHAIN.unpack_from(data, at)
    proofs, at = read_many(data, at + 53, bounded(count, 1), _read_proof)
    message = wire.Handshake(
        version, least, features, network, genesis, node_id, boot, dial, software, port, height, tip, time,
        window, proofs,
    )  # fmt: skip
    return message, at


def _pack_handshake(value: wire.Handshake) -> bytes:
    network, software = pack_text(value.network, 16), pack_text(value.software, 64)
    parts = [
        _HANDSHAKE.pack(value.wire_version, value.min_wire_version, value.features),
        U8.pack(len(network)),
        network,
        _IDENTITY.pack(exact(value.genesis, 32), exact(value.node_id, 32), value.boot, value.dial),
        U8.pack(len(software)),
        software,
        _CHAIN.pack(
            value.listen_port,
            value.height,
            exact(value.tip, 32),
            value.time,
            value.window,
            len(value.operator),
        ),
    ]
    for proof in at_most(value.operator, 1):
        parts.append(_PROOF.pack(exact(proof.key, 32), exact(proof.signature, 64)))
    return b"".join(parts)


def _read_proof(data: bytes, at: int) -> tuple[wire.OperatorProof, int]:
    return wire.OperatorProof(*_PROOF.unpack_from(data, at)), at + 96


def _read_goodbye(data: bytes, at: int) -> tuple[Any, int]:
    (length,) = U8.unpack_from(data, at)
    reason, at = read_text(data, at + 1, bounded(length, 32))
    (length,) = U16.unpack_from(data, at)
    detail, at = read_text(data, at + 2, bounded(length, 256))
    return wire.Goodbye(reason, detail), at


def _pack_goodbye(value: wire.Goodbye) -> bytes:
    reason, detail = pack_text(value.reason, 32), pack_text(value.detail, 256)
    return b"".join((U8.pack(len(reason)), reason, U16.pack(len(detail)), detail))


def _read_peer(data: bytes, at: int) -> tuple[wire.PeerAddress, int]:
    node_id, at = read_bytes(data, at, 32)
    (length,) = U8.unpack_from(data, at)
    host, at = read_text(data, at + 1, length)
    port, last_seen = _PEER.unpack_from(data, at)
    return wire.PeerAddress(node_id, host, port, last_seen), at + 10


def _pack_peers(value: wire.PeersResponse) -> bytes:
    parts = [U16.pack(len(value.peers))]
    for peer in at_most(value.peers, 1_000):
        host = pack_text(peer.host, 255)
        parts += [exact(peer.node_id, 32), U8.pack(len(host)), host, _PEER.pack(peer.port, peer.last_seen)]
    return b"".join(parts)


def _read_bundle(data: bytes, at: int) -> tuple[Any, int]:
    kind, chain_id, epoch, roster, tick, member, count = _BUNDLE.unpack_from(data, at)
    if kind not in (2, 3) or not count:
        raise DecodeError("decode-choice", str(kind))
    entries, at = read_hashes(data, at + 57, bounded(count, 1_024))
    signature, at = read_bytes(data, at, 64)
    return wire.TransactionVote(kind, chain_id, epoch, roster, tick, member, entries, signature), at


def _pack_bundle(value: wire.TransactionVote) -> bytes:
    entries = hashes(value.entries, 1_024)
    if not entries:
        raise EncodeError("an empty bundle")
    head = _BUNDLE.pack(
        chosen(value.kind, (2, 3)), value.chain_id, value.epoch, exact(value.roster, 32), value.tick,
        value.member, len(entries),
    )  # fmt: skip
    return b"".join((head, *entries, exact(value.signature, 64)))


def _read_rejected(data: bytes, at: int) -> tuple[Any, int]:
    txid, at = read_bytes(data, at, 32)
    (length,) = U8.unpack_from(data, at)
    rule, at = read_text(data, at + 1, bounded(length, 64))
    (length,) = U16.unpack_from(data, at)
    detail, at = read_text(data, at + 2, bounded(length, 256))
    return wire.TransactionRejected(txid, rule, detail), at


def _pack_rejected(value: wire.TransactionRejected) -> bytes:
    rule, detail = pack_text(value.rule, 64), pack_text(value.detail, 256)
    return b"".join((exact(value.txid, 32), U8.pack(len(rule)), rule, U16.pack(len(detail)), detail))


def _read_pending(data: bytes, at: int) -> tuple[Any, int]:
    epoch, count = _PLACE.unpack_from(data, at)
    txids, at = read_hashes(data, at + 12, bounded(count, 65_535))
    return wire.PendingTransactionsResponse(epoch, txids), at


def _read_get_certificates(data: bytes, at: int) -> tuple[Any, int]:
    epoch, count = _RANGE.unpack_from(data, at)
    txids, at = read_hashes(data, at + 10, bounded(count, 64))
    return wire.GetCertificates(epoch, txids), at


def _read_certified(data: bytes, at: int) -> tuple[wire.CertifiedTransaction, int]:
    transaction, at = read_transaction(data, at)
    certificate, at = read_bundle_certificate(data, at)
    return wire.CertifiedTransaction(transaction, certificate), at


def _pack_certificates(value: wire.CertificatesResponse) -> bytes:
    parts = [U16.pack(len(value.entries))]
    for entry in at_most(value.entries, 64):
        parts += [pack_transaction(entry.transaction), pack_bundle_certificate(entry.certificate)]
    return b"".join(parts)


def _read_report(data: bytes, at: int) -> tuple[Any, int]:
    start = at
    chain_id, epoch, roster, member, count = _REPORT.unpack_from(data, at)
    txids, at = read_hashes(data, at + 50, bounded(count, 16_000))
    signature, at = read_bytes(data, at, 64)
    report = wire.EpochReport(chain_id, epoch, roster, member, rising(txids), signature)
    retain(report, data[start:at])
    return report, at


def _pack_report(value: wire.EpochReport) -> bytes:
    txids = ordered(hashes(value.txids, 16_000))
    head = _REPORT.pack(value.chain_id, value.epoch, exact(value.roster, 32), value.member, len(txids))
    return b"".join((head, *txids, exact(value.signature, 64)))


def _read_state(data: bytes, at: int) -> tuple[wire.UTXOState, int]:
    txid, index, state, spender = _STATE.unpack_from(data, at)
    if state > 5:
        raise DecodeError("decode-choice", str(state))
    return wire.UTXOState(OutPoint(txid, index), state, spender), at + 67


def _pack_states(value: wire.UTXOStateResponse) -> bytes:
    parts = [U16.pack(len(value.states))]
    for each in at_most(value.states, 256):
        outpoint, state = each.outpoint, chosen(each.state, (0, 1, 2, 3, 4, 5))
        parts.append(_STATE.pack(exact(outpoint.txid, 32), outpoint.index, state, exact(each.txid, 32)))
    return b"".join(parts)


def _read_share(data: bytes, at: int) -> tuple[wire.ReportShare, int]:
    member, length = _SHARE.unpack_from(data, at)
    named, at = read_bytes(data, at + 4, bounded(length, 2_000))
    signature, at = read_bytes(data, at, 64)
    return wire.ReportShare(member, named, signature), at


def _read_proposal(data: bytes, at: int) -> tuple[Any, int]:
    chain_id, round_, valid_round = _PROPOSAL.unpack_from(data, at)
    header, at = read_header(data, at + 12)
    start = at
    (length,) = U16.unpack_from(data, at)
    attendance, at = read_bytes(data, at + 2, bounded(length, 8_192))
    (count,) = U16.unpack_from(data, at)
    evidence, at = read_many(data, at + 2, bounded(count, 1_024), read_evidence)
    certificate, at = read_maybe_certificate(data, at)
    (count,) = U32.unpack_from(data, at)
    txids, at = read_hashes(data, at + 4, bounded(count, 16_000))
    (count,) = U16.unpack_from(data, at)
    shares, at = read_many(data, at + 2, count, _read_share)
    body = wire.ProposalBody(attendance, evidence, certificate, rising(txids), shares)
    retain(body, data[start:at])
    signature, at = read_bytes(data, at, 64)
    return wire.BlockProposal(chain_id, round_, valid_round, header, body, signature), at


def _pack_proposal(value: wire.BlockProposal) -> bytes:
    body = value.body
    txids = ordered(hashes(body.txids, 16_000))
    parts = [
        _PROPOSAL.pack(value.chain_id, value.round, value.valid_round),
        pack_header(value.header),
        U16.pack(len(body.attendance)),
        at_most(body.attendance, 8_192),
        U16.pack(len(body.evidence)),
        *[pack_evidence(each) for each in at_most(body.evidence, 1_024)],
        pack_maybe_certificate(body.parent_certificate),
        U32.pack(len(txids)),
        *txids,
        U16.pack(len(body.reports)),
    ]
    for share in body.reports:
        named = at_most(share.named, 2_000)
        parts += [_SHARE.pack(share.member, len(named)), named, exact(share.signature, 64)]
    return b"".join([*parts, exact(value.signature, 64)])


def _read_block_vote(data: bytes, at: int) -> tuple[Any, int]:
    fields = _VOTE.unpack_from(data, at)
    if fields[3] not in (1, 2):
        raise DecodeError("decode-choice", str(fields[3]))
    return wire.BlockVote(*fields), at + _VOTE.size


def _pack_block_vote(value: wire.BlockVote) -> bytes:
    return _VOTE.pack(
        value.chain_id, value.height, value.round, chosen(value.step, (1, 2)), exact(value.block, 32),
        exact(value.roster, 32), value.member, exact(value.signature, 64),
    )  # fmt: skip


def _read_signed_header(data: bytes, at: int) -> tuple[wire.SignedHeader, int]:
    header, at = read_header(data, at)
    certificate, at = read_block_certificate(data, at)
    return wire.SignedHeader(header, certificate), at


def _pack_headers(value: wire.HeadersResponse) -> bytes:
    parts = [U16.pack(len(value.headers))]
    for each in at_most(value.headers, 512):
        parts += [pack_header(each.header), pack_block_certificate(each.certificate)]
    return b"".join(parts)


def _read_certified_block(data: bytes, at: int) -> tuple[wire.CertifiedBlock, int]:
    block, at = read_block(data, at)
    certificate, at = read_block_certificate(data, at)
    return wire.CertifiedBlock(block, certificate), at


def _pack_blocks(count: Struct, maximum: int, blocks: tuple[wire.CertifiedBlock, ...]) -> bytes:
    parts = [count.pack(len(blocks))]
    for each in at_most(blocks, maximum):
        parts += [pack_block(each.block), pack_block_certificate(each.certificate)]
    return b"".join(parts)


def _read_roster_of(data: bytes, at: int) -> tuple[Any, int]:
    (height,) = U64.unpack_from(data, at)
    roster, at = read_roster(data, at + 8)
    return wire.MasternodesResponse(height, roster), at


def _read_round_state(data: bytes, at: int) -> tuple[Any, int]:
    height, round_, step, reported = _ROUND_STATE.unpack_from(data, at)
    if reported > 1:
        raise DecodeError("decode-choice", str(reported))
    return wire.RoundState(height, round_, step, reported == 1), at + 14


def _plain(cls: Any, layout: Struct) -> Reader:
    """A reader of fields of fixed width."""
    return lambda data, at: (cls(*layout.unpack_from(data, at)), at + layout.size)


def _holds(cls: Any, read: Reader) -> Reader:
    """A reader of a message that is one value."""

    def reader(data: bytes, at: int) -> tuple[Any, int]:
        value, at = read(data, at)
        return cls(value), at

    return reader


def _lists(cls: Any, prefix: Struct, maximum: int, read: Reader) -> Reader:
    """A reader of a message that is one list."""

    def reader(data: bytes, at: int) -> tuple[Any, int]:
        (count,) = prefix.unpack_from(data, at)
        items, at = read_many(data, at + prefix.size, bounded(count, maximum), read)
        return cls(items), at

    return reader


def _list_hashes(cls: Any, maximum: int) -> Reader:
    def reader(data: bytes, at: int) -> tuple[Any, int]:
        (count,) = U16.unpack_from(data, at)
        hashes, at = read_hashes(data, at + 2, bounded(count, maximum))
        return cls(hashes), at

    return reader


_NOTHING = Struct("<")
_HASH = Struct("<32s")

READ: dict[type[Message], Reader] = {
    wire.Handshake: _read_handshake,
    wire.Ack: _plain(wire.Ack, _NUMBER_HASH),
    wire.Goodbye: _read_goodbye,
    wire.Ping: _plain(wire.Ping, _PING),
    wire.Pong: _plain(wire.Pong, _PING),
    wire.GetPeers: _plain(wire.GetPeers, _NOTHING),
    wire.PeersResponse: _lists(wire.PeersResponse, U16, 1_000, _read_peer),
    wire.TransactionBroadcast: _holds(wire.TransactionBroadcast, read_transaction),
    wire.TransactionVote: _read_bundle,
    wire.TransactionCertified: _holds(wire.TransactionCertified, read_bundle_certificate),
    wire.TransactionFinalized: _holds(wire.TransactionFinalized, read_bundle_certificate),
    wire.TransactionRejected: _read_rejected,
    wire.TransactionAnnouncement: _list_hashes(wire.TransactionAnnouncement, 256),
    wire.GetTransactions: _list_hashes(wire.GetTransactions, 256),
    wire.TransactionsResponse: _lists(wire.TransactionsResponse, U16, 256, read_transaction),
    wire.GetPendingTransactions: _plain(wire.GetPendingTransactions, _NOTHING),
    wire.PendingTransactionsResponse: _read_pending,
    wire.GetCertificates: _read_get_certificates,
    wire.CertificatesResponse: _lists(wire.CertificatesResponse, U16, 64, _read_certified),
    wire.EpochReport: _read_report,
    wire.UTXOStateQuery: _lists(wire.UTXOStateQuery, U16, 256, read_outpoint),
    wire.UTXOStateResponse: _lists(wire.UTXOStateResponse, U16, 256, _read_state),
    wire.BlockProposal: _read_proposal,
    wire.BlockVote: _read_block_vote,
    wire.BlockCommit: _holds(wire.BlockCommit, read_block_certificate),
    wire.BlockAnnouncement: _plain(wire.BlockAnnouncement, _ANNOUNCEMENT),
    wire.GetHeaders: _plain(wire.GetHeaders, _RANGE),
    wire.HeadersResponse: _lists(wire.HeadersResponse, U16, 512, _read_signed_header),
    wire.GetBlocks: _plain(wire.GetBlocks, _RANGE),
    wire.BlocksResponse: _lists(wire.BlocksResponse, U16, 512, _read_certified_block),
    wire.BlockRequest: _plain(wire.BlockRequest, _HASH),
    wire.BlockResponse: _lists(wire.BlockResponse, U8, 1, _read_certified_block),
    wire.GetCompactBlock: _plain(wire.GetCompactBlock, _HASH),
    wire.CompactBlockResponse: _lists(wire.CompactBlockResponse, U8, 1, read_compact_block),
    wire.GetMasternodes: _plain(wire.GetMasternodes, U64),
    wire.MasternodesResponse: _read_roster_of,
    wire.RoundState: _read_round_state,
    wire.GetProposal: _plain(wire.GetProposal, _PLACE),
}

PACK: dict[type[Message], Callable[[Any], bytes]] = {
    wire.Handshake: _pack_handshake,
    wire.Ack: lambda value: _NUMBER_HASH.pack(value.number, exact(value.reference, 32)),
    wire.Goodbye: _pack_goodbye,
    wire.Ping: lambda value: _PING.pack(value.nonce, value.time),
    wire.Pong: lambda value: _PING.pack(value.nonce, value.time),
    wire.GetPeers: lambda value: b"",
    wire.PeersResponse: _pack_peers,
    wire.TransactionBroadcast: lambda value: pack_transaction(value.transaction),
    wire.TransactionVote: _pack_bundle,
    wire.TransactionCertified: lambda value: pack_bundle_certificate(value.certificate),
    wire.TransactionFinalized: lambda value: pack_bundle_certificate(value.certificate),
    wire.TransactionRejected: _pack_rejected,
    wire.TransactionAnnouncement: lambda value: b"".join(
        (U16.pack(len(value.txids)), *hashes(value.txids, 256))
    ),
    wire.GetTransactions: lambda value: b"".join((U16.pack(len(value.txids)), *hashes(value.txids, 256))),
    wire.TransactionsResponse: lambda value: b"".join(
        (U16.pack(len(value.transactions)), *map(pack_transaction, at_most(value.transactions, 256)))
    ),
    wire.GetPendingTransactions: lambda value: b"",
    wire.PendingTransactionsResponse: lambda value: b"".join(
        (_PLACE.pack(value.epoch, len(value.txids)), *hashes(value.txids, 65_535))
    ),
    wire.GetCertificates: lambda value: b"".join(
        (_RANGE.pack(value.epoch, len(value.txids)), *hashes(value.txids, 64))
    ),
    wire.CertificatesResponse: _pack_certificates,
    wire.EpochReport: _pack_report,
    wire.UTXOStateQuery: lambda value: b"".join(
        (U16.pack(len(value.outpoints)), *map(pack_outpoint, at_most(value.outpoints, 256)))
    ),
    wire.UTXOStateResponse: _pack_states,
    wire.BlockProposal: _pack_proposal,
    wire.BlockVote: _pack_block_vote,
    wire.BlockCommit: lambda value: pack_block_certificate(value.certificate),
    wire.BlockAnnouncement: lambda value: _ANNOUNCEMENT.pack(value.height, exact(value.hash, 32)),
    wire.GetHeaders: lambda value: _RANGE.pack(value.start, value.count),
    wire.HeadersResponse: _pack_headers,
    wire.GetBlocks: lambda value: _RANGE.pack(value.start, value.count),
    wire.BlocksResponse: lambda value: _pack_blocks(U16, 512, value.blocks),
    wire.BlockRequest: lambda value: _HASH.pack(exact(value.hash, 32)),
    wire.BlockResponse: lambda value: _pack_blocks(U8, 1, value.blocks),
    wire.GetCompactBlock: lambda value: _HASH.pack(exact(value.hash, 32)),
    wire.CompactBlockResponse: lambda value: b"".join(
        (U8.pack(len(value.blocks)), *map(pack_compact_block, at_most(value.blocks, 1)))
    ),
    wire.GetMasternodes: lambda value: U64.pack(value.height),
    wire.MasternodesResponse: lambda value: U64.pack(value.height) + pack_roster(value.roster),
    wire.RoundState: lambda value: _ROUND_STATE.pack(value.height, value.round, value.step, value.reported),
    wire.GetProposal: lambda value: _PLACE.pack(value.height, value.round),
}


def decode(cls: type[Message], data: bytes) -> Message:
    """The message `data` encodes; DecodeError for anything else."""
    try:
        message, end = READ[cls](data, 0)
    except (struct.error, IndexError):
        raise DecodeError("decode-truncated", cls.__name__) from None
    if end != len(data):
        raise DecodeError("decode-trailing", cls.__name__)
    return message  # type: ignore[no-any-return]


def encode(message: Message) -> bytes:
    """The encoding of a message's fields; EncodeError when one does not fit."""
    try:
        return PACK[type(message)](message)
    except struct.error as error:
        raise EncodeError(str(error)) from None
