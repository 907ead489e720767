"""Generated from timed.wire.layouts by `python -m timed.codec`; not to be edited."""

from __future__ import annotations

import struct

from timed.codec.runtime import (
    count_out_of_bounds,
    length_out_of_bounds,
    not_a_choice,
    trailing,
    truncated,
    unfit,
)
from timed.codec.value import (
    bind,
)
from timed.primitives._block_codec import (
    read_block,
    read_block_header,
)
from timed.primitives._certificate_codec import (
    read_block_certificate,
)
from timed.primitives._roster_codec import (
    read_roster,
)
from timed.primitives.block import (
    Evidence,
)
from timed.primitives.certificate import (
    BlockCertificate,
)
from timed.wire._transaction_codec import (
    read_epoch_report,
)
from timed.wire.block_messages import (
    BlockAnnouncement,
    BlockCommit,
    BlockProposal,
    BlockRequest,
    BlockResponse,
    BlocksResponse,
    BlockVote,
    CertifiedBlock,
    GetBlocks,
    GetHeaders,
    GetMasternodes,
    GetProposal,
    HeadersResponse,
    MasternodesResponse,
    ProposalStatement,
    RoundState,
    SignedHeader,
)

_unpack_from_0 = struct.Struct("<LLL").unpack_from
_unpack_from_1 = struct.Struct("<H").unpack_from
_unpack_from_2 = struct.Struct("<L").unpack_from
_unpack_from_3 = struct.Struct("<B").unpack_from
_unpack_from_4 = struct.Struct("<64s").unpack_from
_pack_0 = struct.Struct("<LLL").pack
_pack_1 = struct.Struct("<H").pack
_pack_2 = struct.Struct("<L").pack
_pack_4 = struct.Struct("<64s").pack
_unpack_from_5 = struct.Struct("<LQLL32s").unpack_from
_pack_5 = struct.Struct("<LQLL32s").pack
_unpack_from_6 = struct.Struct("<LQLB32s32sH64s").unpack_from
_pack_6 = struct.Struct("<LQLB32s32sH64s").pack
_unpack_from_7 = struct.Struct("<Q32s").unpack_from
_pack_7 = struct.Struct("<Q32s").pack
_unpack_from_8 = struct.Struct("<QH").unpack_from
_pack_8 = struct.Struct("<QH").pack
_unpack_from_9 = struct.Struct("<32s").unpack_from
_pack_9 = struct.Struct("<32s").pack
_pack_3 = struct.Struct("<B").pack
_unpack_from_10 = struct.Struct("<Q").unpack_from
_pack_10 = struct.Struct("<Q").pack
_unpack_from_11 = struct.Struct("<QLBB").unpack_from
_pack_12 = struct.Struct("<QLB?").pack
_unpack_from_13 = struct.Struct("<QL").unpack_from
_pack_13 = struct.Struct("<QL").pack


def decode_block_proposal(data: bytes) -> BlockProposal:  # noqa: C901
    """Decode all of `data`."""
    size = len(data)
    try:
        chain_id, round_, valid_round = _unpack_from_0(data, 0)
        at = 12
        header, at = read_block_header(data, at, size)
        (attendance_length,) = _unpack_from_1(data, at)
        at += 2
        if attendance_length > 8192:
            raise length_out_of_bounds("BlockProposal.attendance", attendance_length)
        end = at + attendance_length
        if end > size:
            raise truncated("BlockProposal.attendance")
        attendance = data[at:end]
        at = end
        (evidence_count,) = _unpack_from_1(data, at)
        at += 2
        if evidence_count > 1024:
            raise count_out_of_bounds("BlockProposal.evidence", evidence_count)
        if 8 * evidence_count > size - at:
            raise truncated("BlockProposal.evidence")
        evidence_items = []
        for _ in range(evidence_count):
            (evidence_item_first_length,) = _unpack_from_2(data, at)
            at += 4
            if evidence_item_first_length > 65536:
                raise length_out_of_bounds("BlockProposal.evidence.first", evidence_item_first_length)
            end = at + evidence_item_first_length
            if end > size:
                raise truncated("BlockProposal.evidence.first")
            evidence_item_first = data[at:end]
            at = end
            (evidence_item_second_length,) = _unpack_from_2(data, at)
            at += 4
            if evidence_item_second_length > 65536:
                raise length_out_of_bounds("BlockProposal.evidence.second", evidence_item_second_length)
            end = at + evidence_item_second_length
            if end > size:
                raise truncated("BlockProposal.evidence.second")
            evidence_item_second = data[at:end]
            at = end
            evidence_items.append(Evidence(evidence_item_first, evidence_item_second))
        evidence = tuple(evidence_items)
        (parent_certificate_present,) = _unpack_from_3(data, at)
        at += 1
        if parent_certificate_present > 1:
            raise not_a_choice("BlockProposal.parent_certificate", parent_certificate_present)
        parent_certificate: BlockCertificate | None = None
        if parent_certificate_present:
            parent_certificate_item, at = read_block_certificate(data, at, size)
            parent_certificate = parent_certificate_item
        (reports_count,) = _unpack_from_1(data, at)
        at += 2
        if 114 * reports_count > size - at:
            raise truncated("BlockProposal.reports")
        reports_items = []
        for _ in range(reports_count):
            reports_item, at = read_epoch_report(data, at, size)
            reports_items.append(reports_item)
        reports = tuple(reports_items)
        (signature,) = _unpack_from_4(data, at)
        at += 64
    except struct.error:
        raise truncated("BlockProposal") from None
    if at != size:
        raise trailing("BlockProposal", size - at)
    return BlockProposal(
        chain_id, round_, valid_round, header, attendance, evidence, parent_certificate, reports, signature
    )


def pack_block_proposal(value: BlockProposal) -> bytes:
    """The encoding of the fields."""
    try:
        attendance = value.attendance
        if len(attendance) > 8192:
            raise unfit("BlockProposal.attendance", attendance)
        evidence = value.evidence
        if len(evidence) > 1024:
            raise unfit("BlockProposal.evidence", len(evidence))
        evidence_pieces: list[bytes] = []
        for evidence_item in evidence:
            evidence_item_first = evidence_item.first
            if len(evidence_item_first) > 65536:
                raise unfit("BlockProposal.evidence.first", evidence_item_first)
            evidence_item_second = evidence_item.second
            if len(evidence_item_second) > 65536:
                raise unfit("BlockProposal.evidence.second", evidence_item_second)
            evidence_pieces += (
                _pack_2(len(evidence_item_first)),
                evidence_item_first,
                _pack_2(len(evidence_item_second)),
                evidence_item_second,
            )
        parent_certificate = value.parent_certificate
        parent_certificate_pieces: tuple[bytes, ...] = (b"\x00",)
        if parent_certificate is not None:
            parent_certificate_pieces = (b"\x01", parent_certificate.encode())
        reports = value.reports
        signature = value.signature
        if len(signature) != 64:
            raise unfit("BlockProposal.signature", signature)
        return b"".join(
            (
                _pack_0(value.chain_id, value.round, value.valid_round),
                value.header.encode(),
                _pack_1(len(attendance)),
                attendance,
                _pack_1(len(evidence)),
                *evidence_pieces,
                *parent_certificate_pieces,
                _pack_1(len(reports)),
                *[item.encode() for item in reports],
                _pack_4(signature),
            )
        )
    except struct.error as error:
        raise unfit("BlockProposal", str(error)) from None


def decode_proposal_statement(data: bytes) -> ProposalStatement:
    """Decode all of `data`."""
    size = len(data)
    if size < 52:
        raise truncated("ProposalStatement")
    if size > 52:
        raise trailing("ProposalStatement", size - 52)
    chain_id, height, round_, valid_round, block = _unpack_from_5(data, 0)
    return ProposalStatement(chain_id, height, round_, valid_round, block)


def pack_proposal_statement(value: ProposalStatement) -> bytes:
    """The encoding of the fields."""
    try:
        block = value.block
        if len(block) != 32:
            raise unfit("ProposalStatement.block", block)
        return _pack_5(value.chain_id, value.height, value.round, value.valid_round, block)
    except struct.error as error:
        raise unfit("ProposalStatement", str(error)) from None


def decode_block_vote(data: bytes) -> BlockVote:
    """Decode all of `data`."""
    size = len(data)
    if size < 147:
        raise truncated("BlockVote")
    if size > 147:
        raise trailing("BlockVote", size - 147)
    chain_id, height, round_, step, block, roster, member, signature = _unpack_from_6(data, 0)
    if not 1 <= step <= 2:
        raise not_a_choice("BlockVote.step", step)
    return BlockVote(chain_id, height, round_, step, block, roster, member, signature)


def pack_block_vote(value: BlockVote) -> bytes:
    """The encoding of the fields."""
    try:
        step = value.step
        if step not in (1, 2):
            raise unfit("BlockVote.step", step)
        block = value.block
        if len(block) != 32:
            raise unfit("BlockVote.block", block)
        roster = value.roster
        if len(roster) != 32:
            raise unfit("BlockVote.roster", roster)
        signature = value.signature
        if len(signature) != 64:
            raise unfit("BlockVote.signature", signature)
        return _pack_6(
            value.chain_id, value.height, value.round, step, block, roster, value.member, signature
        )
    except struct.error as error:
        raise unfit("BlockVote", str(error)) from None


def decode_block_commit(data: bytes) -> BlockCommit:
    """Decode all of `data`."""
    size = len(data)
    try:
        at = 0
        certificate, at = read_block_certificate(data, at, size)
    except struct.error:
        raise truncated("BlockCommit") from None
    if at != size:
        raise trailing("BlockCommit", size - at)
    return BlockCommit(certificate)


def pack_block_commit(value: BlockCommit) -> bytes:
    """The encoding of the fields."""
    try:
        return value.certificate.encode()
    except struct.error as error:
        raise unfit("BlockCommit", str(error)) from None


def decode_block_announcement(data: bytes) -> BlockAnnouncement:
    """Decode all of `data`."""
    size = len(data)
    if size < 40:
        raise truncated("BlockAnnouncement")
    if size > 40:
        raise trailing("BlockAnnouncement", size - 40)
    height, hash_ = _unpack_from_7(data, 0)
    return BlockAnnouncement(height, hash_)


def pack_block_announcement(value: BlockAnnouncement) -> bytes:
    """The encoding of the fields."""
    try:
        hash_ = value.hash
        if len(hash_) != 32:
            raise unfit("BlockAnnouncement.hash", hash_)
        return _pack_7(value.height, hash_)
    except struct.error as error:
        raise unfit("BlockAnnouncement", str(error)) from None


def decode_get_headers(data: bytes) -> GetHeaders:
    """Decode all of `data`."""
    size = len(data)
    if size < 10:
        raise truncated("GetHeaders")
    if size > 10:
        raise trailing("GetHeaders", size - 10)
    start_2, count = _unpack_from_8(data, 0)
    return GetHeaders(start_2, count)


def pack_get_headers(value: GetHeaders) -> bytes:
    """The encoding of the fields."""
    try:
        return _pack_8(value.start, value.count)
    except struct.error as error:
        raise unfit("GetHeaders", str(error)) from None


def read_signed_header(data: bytes, at: int, size: int) -> tuple[SignedHeader, int]:
    """Decode at `at`: the value and the offset after it."""
    header, at = read_block_header(data, at, size)
    certificate, at = read_block_certificate(data, at, size)
    value = SignedHeader(header, certificate)
    return value, at


def decode_signed_header(data: bytes) -> SignedHeader:
    """Decode all of `data`."""
    size = len(data)
    try:
        at = 0
        header, at = read_block_header(data, at, size)
        certificate, at = read_block_certificate(data, at, size)
    except struct.error:
        raise truncated("SignedHeader") from None
    if at != size:
        raise trailing("SignedHeader", size - at)
    return SignedHeader(header, certificate)


def pack_signed_header(value: SignedHeader) -> bytes:
    """The encoding of the fields."""
    try:
        return b"".join((value.header.encode(), value.certificate.encode()))
    except struct.error as error:
        raise unfit("SignedHeader", str(error)) from None


def decode_headers_response(data: bytes) -> HeadersResponse:
    """Decode all of `data`."""
    size = len(data)
    try:
        (headers_count,) = _unpack_from_1(data, 0)
        if headers_count > 512:
            raise count_out_of_bounds("HeadersResponse.headers", headers_count)
        at = 2
        if 407 * headers_count > size - at:
            raise truncated("HeadersResponse.headers")
        headers_items = []
        for _ in range(headers_count):
            headers_item, at = read_signed_header(data, at, size)
            headers_items.append(headers_item)
        headers = tuple(headers_items)
    except struct.error:
        raise truncated("HeadersResponse") from None
    if at != size:
        raise trailing("HeadersResponse", size - at)
    return HeadersResponse(headers)


def pack_headers_response(value: HeadersResponse) -> bytes:
    """The encoding of the fields."""
    try:
        headers = value.headers
        if len(headers) > 512:
            raise unfit("HeadersResponse.headers", len(headers))
        return b"".join((_pack_1(len(headers)), *[item.encode() for item in headers]))
    except struct.error as error:
        raise unfit("HeadersResponse", str(error)) from None


def decode_get_blocks(data: bytes) -> GetBlocks:
    """Decode all of `data`."""
    size = len(data)
    if size < 10:
        raise truncated("GetBlocks")
    if size > 10:
        raise trailing("GetBlocks", size - 10)
    start_2, count = _unpack_from_8(data, 0)
    return GetBlocks(start_2, count)


def pack_get_blocks(value: GetBlocks) -> bytes:
    """The encoding of the fields."""
    try:
        return _pack_8(value.start, value.count)
    except struct.error as error:
        raise unfit("GetBlocks", str(error)) from None


def read_certified_block(data: bytes, at: int, size: int) -> tuple[CertifiedBlock, int]:
    """Decode at `at`: the value and the offset after it."""
    block, at = read_block(data, at, size)
    certificate, at = read_block_certificate(data, at, size)
    value = CertifiedBlock(block, certificate)
    return value, at


def decode_certified_block(data: bytes) -> CertifiedBlock:
    """Decode all of `data`."""
    size = len(data)
    try:
        at = 0
        block, at = read_block(data, at, size)
        certificate, at = read_block_certificate(data, at, size)
    except struct.error:
        raise truncated("CertifiedBlock") from None
    if at != size:
        raise trailing("CertifiedBlock", size - at)
    return CertifiedBlock(block, certificate)


def pack_certified_block(value: CertifiedBlock) -> bytes:
    """The encoding of the fields."""
    try:
        return b"".join((value.block.encode(), value.certificate.encode()))
    except struct.error as error:
        raise unfit("CertifiedBlock", str(error)) from None


def decode_blocks_response(data: bytes) -> BlocksResponse:
    """Decode all of `data`."""
    size = len(data)
    try:
        (blocks_count,) = _unpack_from_1(data, 0)
        if blocks_count > 512:
            raise count_out_of_bounds("BlocksResponse.blocks", blocks_count)
        at = 2
        if 418 * blocks_count > size - at:
            raise truncated("BlocksResponse.blocks")
        blocks_items = []
        for _ in range(blocks_count):
            blocks_item, at = read_certified_block(data, at, size)
            blocks_items.append(blocks_item)
        blocks = tuple(blocks_items)
    except struct.error:
        raise truncated("BlocksResponse") from None
    if at != size:
        raise trailing("BlocksResponse", size - at)
    return BlocksResponse(blocks)


def pack_blocks_response(value: BlocksResponse) -> bytes:
    """The encoding of the fields."""
    try:
        blocks = value.blocks
        if len(blocks) > 512:
            raise unfit("BlocksResponse.blocks", len(blocks))
        return b"".join((_pack_1(len(blocks)), *[item.encode() for item in blocks]))
    except struct.error as error:
        raise unfit("BlocksResponse", str(error)) from None


def decode_block_request(data: bytes) -> BlockRequest:
    """Decode all of `data`."""
    size = len(data)
    if size < 32:
        raise truncated("BlockRequest")
    if size > 32:
        raise trailing("BlockRequest", size - 32)
    (hash_,) = _unpack_from_9(data, 0)
    return BlockRequest(hash_)


def pack_block_request(value: BlockRequest) -> bytes:
    """The encoding of the fields."""
    try:
        hash_ = value.hash
        if len(hash_) != 32:
            raise unfit("BlockRequest.hash", hash_)
        return _pack_9(hash_)
    except struct.error as error:
        raise unfit("BlockRequest", str(error)) from None


def decode_block_response(data: bytes) -> BlockResponse:
    """Decode all of `data`."""
    size = len(data)
    try:
        (blocks_count,) = _unpack_from_3(data, 0)
        if blocks_count > 1:
            raise count_out_of_bounds("BlockResponse.blocks", blocks_count)
        at = 1
        if 418 * blocks_count > size - at:
            raise truncated("BlockResponse.blocks")
        blocks_items = []
        for _ in range(blocks_count):
            blocks_item, at = read_certified_block(data, at, size)
            blocks_items.append(blocks_item)
        blocks = tuple(blocks_items)
    except struct.error:
        raise truncated("BlockResponse") from None
    if at != size:
        raise trailing("BlockResponse", size - at)
    return BlockResponse(blocks)


def pack_block_response(value: BlockResponse) -> bytes:
    """The encoding of the fields."""
    try:
        blocks = value.blocks
        if len(blocks) > 1:
            raise unfit("BlockResponse.blocks", len(blocks))
        return b"".join((_pack_3(len(blocks)), *[item.encode() for item in blocks]))
    except struct.error as error:
        raise unfit("BlockResponse", str(error)) from None


def decode_get_masternodes(data: bytes) -> GetMasternodes:
    """Decode all of `data`."""
    size = len(data)
    if size < 8:
        raise truncated("GetMasternodes")
    if size > 8:
        raise trailing("GetMasternodes", size - 8)
    (height,) = _unpack_from_10(data, 0)
    return GetMasternodes(height)


def pack_get_masternodes(value: GetMasternodes) -> bytes:
    """The encoding of the fields."""
    try:
        return _pack_10(value.height)
    except struct.error as error:
        raise unfit("GetMasternodes", str(error)) from None


def decode_masternodes_response(data: bytes) -> MasternodesResponse:
    """Decode all of `data`."""
    size = len(data)
    try:
        (height,) = _unpack_from_10(data, 0)
        at = 8
        roster, at = read_roster(data, at, size)
    except struct.error:
        raise truncated("MasternodesResponse") from None
    if at != size:
        raise trailing("MasternodesResponse", size - at)
    return MasternodesResponse(height, roster)


def pack_masternodes_response(value: MasternodesResponse) -> bytes:
    """The encoding of the fields."""
    try:
        return b"".join((_pack_10(value.height), value.roster.encode()))
    except struct.error as error:
        raise unfit("MasternodesResponse", str(error)) from None


def decode_round_state(data: bytes) -> RoundState:
    """Decode all of `data`."""
    size = len(data)
    if size < 14:
        raise truncated("RoundState")
    if size > 14:
        raise trailing("RoundState", size - 14)
    height, round_, step, reported = _unpack_from_11(data, 0)
    if reported > 1:
        raise not_a_choice("RoundState.reported", reported)
    return RoundState(height, round_, step, reported == 1)


def pack_round_state(value: RoundState) -> bytes:
    """The encoding of the fields."""
    try:
        return _pack_12(value.height, value.round, value.step, value.reported)
    except struct.error as error:
        raise unfit("RoundState", str(error)) from None


def decode_get_proposal(data: bytes) -> GetProposal:
    """Decode all of `data`."""
    size = len(data)
    if size < 12:
        raise truncated("GetProposal")
    if size > 12:
        raise trailing("GetProposal", size - 12)
    height, round_ = _unpack_from_13(data, 0)
    return GetProposal(height, round_)


def pack_get_proposal(value: GetProposal) -> bytes:
    """The encoding of the fields."""
    try:
        return _pack_13(value.height, value.round)
    except struct.error as error:
        raise unfit("GetProposal", str(error)) from None


bind(BlockProposal, decode_block_proposal, pack_block_proposal)
bind(ProposalStatement, decode_proposal_statement, pack_proposal_statement)
bind(BlockVote, decode_block_vote, pack_block_vote)
bind(BlockCommit, decode_block_commit, pack_block_commit)
bind(BlockAnnouncement, decode_block_announcement, pack_block_announcement)
bind(GetHeaders, decode_get_headers, pack_get_headers)
bind(SignedHeader, decode_signed_header, pack_signed_header)
bind(HeadersResponse, decode_headers_response, pack_headers_response)
bind(GetBlocks, decode_get_blocks, pack_get_blocks)
bind(CertifiedBlock, decode_certified_block, pack_certified_block)
bind(BlocksResponse, decode_blocks_response, pack_blocks_response)
bind(BlockRequest, decode_block_request, pack_block_request)
bind(BlockResponse, decode_block_response, pack_block_response)
bind(GetMasternodes, decode_get_masternodes, pack_get_masternodes)
bind(MasternodesResponse, decode_masternodes_response, pack_masternodes_response)
bind(RoundState, decode_round_state, pack_round_state)
bind(GetProposal, decode_get_proposal, pack_get_proposal)
