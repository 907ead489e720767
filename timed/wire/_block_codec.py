"""Generated from timed.wire.layouts by `python -m timed.codec`; not to be edited."""

from __future__ import annotations

import struct
from collections.abc import Generator
from itertools import starmap

from timed.codec.runtime import (
    STRIDE,
    count_out_of_bounds,
    ends_elsewhere,
    few,
    is_ascending,
    length_out_of_bounds,
    many,
    not_a_choice,
    not_ascending,
    truncated,
    unfit,
)
from timed.codec.value import (
    bind,
    retain,
)
from timed.primitives._block_codec import (
    read_block,
    read_block_header,
    step_block,
)
from timed.primitives._certificate_codec import (
    read_block_certificate,
)
from timed.primitives._roster_codec import (
    read_roster,
)
from timed.primitives._transaction_codec import (
    read_transaction,
)
from timed.primitives.block import (
    Evidence,
    ReportReference,
)
from timed.primitives.certificate import (
    BlockCertificate,
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
    CompactBlock,
    CompactBlockResponse,
    GetBlocks,
    GetCompactBlock,
    GetHeaders,
    GetMasternodes,
    GetProposal,
    HeadersResponse,
    MasternodesResponse,
    ProposalBody,
    ProposalStatement,
    ReportShare,
    RoundState,
    SignedHeader,
)

_unpack_from_0 = struct.Struct("<HH").unpack_from
_unpack_from_1 = struct.Struct("<64s").unpack_from
_pack_0 = struct.Struct("<HH").pack
_pack_1 = struct.Struct("<64s").pack
_unpack_from_2 = struct.Struct("<H").unpack_from
_unpack_from_3 = struct.Struct("<L").unpack_from
_unpack_from_4 = struct.Struct("<B").unpack_from
_pack_2 = struct.Struct("<H").pack
_pack_3 = struct.Struct("<L").pack
_unpack_from_5 = struct.Struct("<LLL").unpack_from
_pack_5 = struct.Struct("<LLL").pack
_unpack_6 = struct.Struct("<LQLL32s32s").unpack
_pack_6 = struct.Struct("<LQLL32s32s").pack
_unpack_7 = struct.Struct("<LQLB32s32sH64s").unpack
_pack_7 = struct.Struct("<LQLB32s32sH64s").pack
_unpack_8 = struct.Struct("<Q32s").unpack
_pack_8 = struct.Struct("<Q32s").pack
_unpack_9 = struct.Struct("<QH").unpack
_pack_9 = struct.Struct("<QH").pack
_unpack_10 = struct.Struct("<32s").unpack
_pack_10 = struct.Struct("<32s").pack
_pack_4 = struct.Struct("<B").pack
_iter_unpack_11 = struct.Struct("<H32s").iter_unpack
_pack_11 = struct.Struct("<H32s").pack
_unpack_12 = struct.Struct("<Q").unpack
_pack_12 = struct.Struct("<Q").pack
_unpack_from_12 = struct.Struct("<Q").unpack_from
_unpack_13 = struct.Struct("<QLBB").unpack
_pack_14 = struct.Struct("<QLB?").pack
_unpack_15 = struct.Struct("<QL").unpack
_pack_15 = struct.Struct("<QL").pack
_few_32 = few(32)
_many_32 = many(32)
_WIDTH_32 = frozenset((32,))


def decode_report_share(data: bytes) -> ReportShare:
    """Decode all of `data`."""
    size = len(data)
    try:
        member, named_length = _unpack_from_0(data, 0)
        if named_length > 2000:
            raise length_out_of_bounds("ReportShare.named", named_length)
        at = 4 + named_length
        named = data[4:at]
        (signature,) = _unpack_from_1(data, at)
    except struct.error:
        raise truncated("ReportShare") from None
    if at + 64 != size:
        raise ends_elsewhere("ReportShare", at + 64, size)
    return ReportShare(member, named, signature)


def pack_report_share(value: ReportShare) -> bytes:
    """The encoding of the fields."""
    try:
        named = value.named
        if len(named) > 2000:
            raise unfit("ReportShare.named", named)
        signature = value.signature
        if len(signature) != 64:
            raise unfit("ReportShare.signature", signature)
        return b"".join((_pack_0(value.member, len(named)), named, _pack_1(signature)))
    except struct.error as error:
        raise unfit("ReportShare", str(error)) from None


def read_proposal_body(data: bytes, at: int, size: int) -> tuple[ProposalBody, int]:  # noqa: C901
    """Decode at `at`: the value and the offset after it."""
    start = at
    (attendance_length,) = _unpack_from_2(data, at)
    if attendance_length > 8192:
        raise length_out_of_bounds("ProposalBody.attendance", attendance_length)
    begin = at + 2
    at = begin + attendance_length
    attendance = data[begin:at]
    (evidence_count,) = _unpack_from_2(data, at)
    if evidence_count > 1024:
        raise count_out_of_bounds("ProposalBody.evidence", evidence_count)
    at += 2
    if 8 * evidence_count > size - at:
        raise truncated("ProposalBody.evidence")
    evidence_items = []
    for _ in range(evidence_count):
        (evidence_items_item_first_length,) = _unpack_from_3(data, at)
        if evidence_items_item_first_length > 65536:
            raise length_out_of_bounds("ProposalBody.evidence.first", evidence_items_item_first_length)
        begin = at + 4
        at = begin + evidence_items_item_first_length
        evidence_items_item_first = data[begin:at]
        (evidence_items_item_second_length,) = _unpack_from_3(data, at)
        if evidence_items_item_second_length > 65536:
            raise length_out_of_bounds("ProposalBody.evidence.second", evidence_items_item_second_length)
        begin = at + 4
        at = begin + evidence_items_item_second_length
        evidence_items_item_second = data[begin:at]
        evidence_items.append(Evidence(evidence_items_item_first, evidence_items_item_second))
    evidence = tuple(evidence_items)
    (parent_certificate_present,) = _unpack_from_4(data, at)
    if parent_certificate_present > 1:
        raise not_a_choice("ProposalBody.parent_certificate", parent_certificate_present)
    at += 1
    parent_certificate: BlockCertificate | None = None
    if parent_certificate_present:
        parent_certificate_item, at = read_block_certificate(data, at, size)
        parent_certificate = parent_certificate_item
    (txids_count,) = _unpack_from_3(data, at)
    if txids_count > 16000:
        raise count_out_of_bounds("ProposalBody.txids", txids_count)
    if txids_count <= 32:
        txids = _few_32[txids_count](data, at + 4)
    else:
        txids = _many_32(data, at + 4, txids_count)
    at = at + 4 + 32 * txids_count
    if not is_ascending(txids):
        raise not_ascending("ProposalBody.txids")
    (reports_count,) = _unpack_from_2(data, at)
    at += 2
    if 68 * reports_count > size - at:
        raise truncated("ProposalBody.reports")
    reports_items = []
    for _ in range(reports_count):
        reports_items_item_member, reports_items_item_named_length = _unpack_from_0(data, at)
        if reports_items_item_named_length > 2000:
            raise length_out_of_bounds("ProposalBody.reports.named", reports_items_item_named_length)
        begin = at + 4
        at = begin + reports_items_item_named_length
        reports_items_item_named = data[begin:at]
        (reports_items_item_signature,) = _unpack_from_1(data, at)
        reports_items.append(
            ReportShare(reports_items_item_member, reports_items_item_named, reports_items_item_signature)
        )
        at += 64
    reports = tuple(reports_items)
    value = ProposalBody(attendance, evidence, parent_certificate, txids, reports)
    retain(value, data[start:at])
    return value, at


def decode_proposal_body(data: bytes) -> ProposalBody:  # noqa: C901
    """Decode all of `data`."""
    size = len(data)
    try:
        (attendance_length,) = _unpack_from_2(data, 0)
        if attendance_length > 8192:
            raise length_out_of_bounds("ProposalBody.attendance", attendance_length)
        at = 2 + attendance_length
        attendance = data[2:at]
        (evidence_count,) = _unpack_from_2(data, at)
        if evidence_count > 1024:
            raise count_out_of_bounds("ProposalBody.evidence", evidence_count)
        at += 2
        if 8 * evidence_count > size - at:
            raise truncated("ProposalBody.evidence")
        evidence_items = []
        for _ in range(evidence_count):
            (evidence_items_item_first_length,) = _unpack_from_3(data, at)
            if evidence_items_item_first_length > 65536:
                raise length_out_of_bounds("ProposalBody.evidence.first", evidence_items_item_first_length)
            begin = at + 4
            at = begin + evidence_items_item_first_length
            evidence_items_item_first = data[begin:at]
            (evidence_items_item_second_length,) = _unpack_from_3(data, at)
            if evidence_items_item_second_length > 65536:
                raise length_out_of_bounds("ProposalBody.evidence.second", evidence_items_item_second_length)
            begin = at + 4
            at = begin + evidence_items_item_second_length
            evidence_items_item_second = data[begin:at]
            evidence_items.append(Evidence(evidence_items_item_first, evidence_items_item_second))
        evidence = tuple(evidence_items)
        (parent_certificate_present,) = _unpack_from_4(data, at)
        if parent_certificate_present > 1:
            raise not_a_choice("ProposalBody.parent_certificate", parent_certificate_present)
        at += 1
        parent_certificate: BlockCertificate | None = None
        if parent_certificate_present:
            parent_certificate_item, at = read_block_certificate(data, at, size)
            parent_certificate = parent_certificate_item
        (txids_count,) = _unpack_from_3(data, at)
        if txids_count > 16000:
            raise count_out_of_bounds("ProposalBody.txids", txids_count)
        if txids_count <= 32:
            txids = _few_32[txids_count](data, at + 4)
        else:
            txids = _many_32(data, at + 4, txids_count)
        at = at + 4 + 32 * txids_count
        if not is_ascending(txids):
            raise not_ascending("ProposalBody.txids")
        (reports_count,) = _unpack_from_2(data, at)
        at += 2
        if 68 * reports_count > size - at:
            raise truncated("ProposalBody.reports")
        reports_items = []
        for _ in range(reports_count):
            reports_items_item_member, reports_items_item_named_length = _unpack_from_0(data, at)
            if reports_items_item_named_length > 2000:
                raise length_out_of_bounds("ProposalBody.reports.named", reports_items_item_named_length)
            begin = at + 4
            at = begin + reports_items_item_named_length
            reports_items_item_named = data[begin:at]
            (reports_items_item_signature,) = _unpack_from_1(data, at)
            reports_items.append(
                ReportShare(reports_items_item_member, reports_items_item_named, reports_items_item_signature)
            )
            at += 64
        reports = tuple(reports_items)
    except struct.error:
        raise truncated("ProposalBody") from None
    if at != size:
        raise ends_elsewhere("ProposalBody", at, size)
    value = ProposalBody(attendance, evidence, parent_certificate, txids, reports)
    retain(value, data)
    return value


def pack_proposal_body(value: ProposalBody) -> bytes:
    """The encoding of the fields."""
    try:
        attendance = value.attendance
        if len(attendance) > 8192:
            raise unfit("ProposalBody.attendance", attendance)
        evidence = value.evidence
        if len(evidence) > 1024:
            raise unfit("ProposalBody.evidence", len(evidence))
        evidence_pieces: list[bytes] = []
        for evidence_item in evidence:
            evidence_item_first = evidence_item.first
            if len(evidence_item_first) > 65536:
                raise unfit("ProposalBody.evidence.first", evidence_item_first)
            evidence_item_second = evidence_item.second
            if len(evidence_item_second) > 65536:
                raise unfit("ProposalBody.evidence.second", evidence_item_second)
            evidence_pieces += (
                _pack_3(len(evidence_item_first)),
                evidence_item_first,
                _pack_3(len(evidence_item_second)),
                evidence_item_second,
            )
        parent_certificate = value.parent_certificate
        parent_certificate_pieces: tuple[bytes, ...] = (b"\x00",)
        if parent_certificate is not None:
            parent_certificate_pieces = (b"\x01", parent_certificate.encode())
        txids = value.txids
        if len(txids) > 16000:
            raise unfit("ProposalBody.txids", len(txids))
        if not is_ascending(txids):
            raise unfit("ProposalBody.txids", "order")
        if not _WIDTH_32.issuperset(map(len, txids)):
            raise unfit("ProposalBody.txids", txids)
        reports = value.reports
        reports_pieces: list[bytes] = []
        for reports_item in reports:
            reports_item_named = reports_item.named
            if len(reports_item_named) > 2000:
                raise unfit("ProposalBody.reports.named", reports_item_named)
            reports_item_signature = reports_item.signature
            if len(reports_item_signature) != 64:
                raise unfit("ProposalBody.reports.signature", reports_item_signature)
            reports_pieces += (
                _pack_0(reports_item.member, len(reports_item_named)),
                reports_item_named,
                _pack_1(reports_item_signature),
            )
        return b"".join(
            (
                _pack_2(len(attendance)),
                attendance,
                _pack_2(len(evidence)),
                *evidence_pieces,
                *parent_certificate_pieces,
                _pack_3(len(txids)),
                *txids,
                _pack_2(len(reports)),
                *reports_pieces,
            )
        )
    except struct.error as error:
        raise unfit("ProposalBody", str(error)) from None


def decode_block_proposal(data: bytes) -> BlockProposal:
    """Decode all of `data`."""
    size = len(data)
    try:
        chain_id, round_, valid_round = _unpack_from_5(data, 0)
        at = 12
        header, at = read_block_header(data, at, size)
        body, at = read_proposal_body(data, at, size)
        (signature,) = _unpack_from_1(data, at)
    except struct.error:
        raise truncated("BlockProposal") from None
    if at + 64 != size:
        raise ends_elsewhere("BlockProposal", at + 64, size)
    return BlockProposal(chain_id, round_, valid_round, header, body, signature)


def pack_block_proposal(value: BlockProposal) -> bytes:
    """The encoding of the fields."""
    try:
        signature = value.signature
        if len(signature) != 64:
            raise unfit("BlockProposal.signature", signature)
        return b"".join(
            (
                _pack_5(value.chain_id, value.round, value.valid_round),
                value.header.encode(),
                value.body.encode(),
                _pack_1(signature),
            )
        )
    except struct.error as error:
        raise unfit("BlockProposal", str(error)) from None


def decode_proposal_statement(data: bytes) -> ProposalStatement:
    """Decode all of `data`."""
    try:
        fields = _unpack_6(data)
    except struct.error:
        raise ends_elsewhere("ProposalStatement", 84, len(data)) from None
    return ProposalStatement(*fields)


def pack_proposal_statement(value: ProposalStatement) -> bytes:
    """The encoding of the fields."""
    try:
        block = value.block
        if len(block) != 32:
            raise unfit("ProposalStatement.block", block)
        body = value.body
        if len(body) != 32:
            raise unfit("ProposalStatement.body", body)
        return _pack_6(value.chain_id, value.height, value.round, value.valid_round, block, body)
    except struct.error as error:
        raise unfit("ProposalStatement", str(error)) from None


def decode_block_vote(data: bytes) -> BlockVote:
    """Decode all of `data`."""
    try:
        fields = _unpack_7(data)
    except struct.error:
        raise ends_elsewhere("BlockVote", 147, len(data)) from None
    if not 1 <= fields[3] <= 2:
        raise not_a_choice("BlockVote.step", fields[3])
    return BlockVote(*fields)


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
        return _pack_7(
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
        raise ends_elsewhere("BlockCommit", at, size)
    return BlockCommit(certificate)


def pack_block_commit(value: BlockCommit) -> bytes:
    """The encoding of the fields."""
    try:
        return value.certificate.encode()
    except struct.error as error:
        raise unfit("BlockCommit", str(error)) from None


def decode_block_announcement(data: bytes) -> BlockAnnouncement:
    """Decode all of `data`."""
    try:
        fields = _unpack_8(data)
    except struct.error:
        raise ends_elsewhere("BlockAnnouncement", 40, len(data)) from None
    return BlockAnnouncement(*fields)


def pack_block_announcement(value: BlockAnnouncement) -> bytes:
    """The encoding of the fields."""
    try:
        hash_ = value.hash
        if len(hash_) != 32:
            raise unfit("BlockAnnouncement.hash", hash_)
        return _pack_8(value.height, hash_)
    except struct.error as error:
        raise unfit("BlockAnnouncement", str(error)) from None


def decode_get_headers(data: bytes) -> GetHeaders:
    """Decode all of `data`."""
    try:
        fields = _unpack_9(data)
    except struct.error:
        raise ends_elsewhere("GetHeaders", 10, len(data)) from None
    return GetHeaders(*fields)


def pack_get_headers(value: GetHeaders) -> bytes:
    """The encoding of the fields."""
    try:
        return _pack_9(value.start, value.count)
    except struct.error as error:
        raise unfit("GetHeaders", str(error)) from None


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
        raise ends_elsewhere("SignedHeader", at, size)
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
        (headers_count,) = _unpack_from_2(data, 0)
        if headers_count > 512:
            raise count_out_of_bounds("HeadersResponse.headers", headers_count)
        at = 2
        if 407 * headers_count > size - at:
            raise truncated("HeadersResponse.headers")
        headers_items = []
        for _ in range(headers_count):
            headers_items_item_header, at = read_block_header(data, at, size)
            headers_items_item_certificate, at = read_block_certificate(data, at, size)
            headers_items.append(SignedHeader(headers_items_item_header, headers_items_item_certificate))
        headers = tuple(headers_items)
    except struct.error:
        raise truncated("HeadersResponse") from None
    if at != size:
        raise ends_elsewhere("HeadersResponse", at, size)
    return HeadersResponse(headers)


def decode_headers_response_in_steps(data: bytes) -> Generator[int, None, HeadersResponse]:
    """Decode all of `data`, with pauses."""
    pause = STRIDE
    size = len(data)
    try:
        (headers_count,) = _unpack_from_2(data, 0)
        if headers_count > 512:
            raise count_out_of_bounds("HeadersResponse.headers", headers_count)
        at = 2
        if 407 * headers_count > size - at:
            raise truncated("HeadersResponse.headers")
        headers_items = []
        for _ in range(headers_count):
            headers_items_item_header, at = read_block_header(data, at, size)
            headers_items_item_certificate, at = read_block_certificate(data, at, size)
            headers_items.append(SignedHeader(headers_items_item_header, headers_items_item_certificate))
            if at >= pause:
                yield at
                pause = at + STRIDE
        headers = tuple(headers_items)
    except struct.error:
        raise truncated("HeadersResponse") from None
    if at != size:
        raise ends_elsewhere("HeadersResponse", at, size)
    return HeadersResponse(headers)


def pack_headers_response(value: HeadersResponse) -> bytes:
    """The encoding of the fields."""
    try:
        headers = value.headers
        if len(headers) > 512:
            raise unfit("HeadersResponse.headers", len(headers))
        headers_pieces: list[bytes] = []
        for headers_item in headers:
            headers_pieces += (headers_item.header.encode(), headers_item.certificate.encode())
        return b"".join((_pack_2(len(headers)), *headers_pieces))
    except struct.error as error:
        raise unfit("HeadersResponse", str(error)) from None


def decode_get_blocks(data: bytes) -> GetBlocks:
    """Decode all of `data`."""
    try:
        fields = _unpack_9(data)
    except struct.error:
        raise ends_elsewhere("GetBlocks", 10, len(data)) from None
    return GetBlocks(*fields)


def pack_get_blocks(value: GetBlocks) -> bytes:
    """The encoding of the fields."""
    try:
        return _pack_9(value.start, value.count)
    except struct.error as error:
        raise unfit("GetBlocks", str(error)) from None


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
        raise ends_elsewhere("CertifiedBlock", at, size)
    return CertifiedBlock(block, certificate)


def decode_certified_block_in_steps(data: bytes) -> Generator[int, None, CertifiedBlock]:
    """Decode all of `data`, with pauses."""
    size = len(data)
    try:
        at = 0
        block, at = yield from step_block(data, at, size)
        certificate, at = read_block_certificate(data, at, size)
    except struct.error:
        raise truncated("CertifiedBlock") from None
    if at != size:
        raise ends_elsewhere("CertifiedBlock", at, size)
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
        (blocks_count,) = _unpack_from_2(data, 0)
        if blocks_count > 512:
            raise count_out_of_bounds("BlocksResponse.blocks", blocks_count)
        at = 2
        if 418 * blocks_count > size - at:
            raise truncated("BlocksResponse.blocks")
        blocks_items = []
        for _ in range(blocks_count):
            blocks_items_item_block, at = read_block(data, at, size)
            blocks_items_item_certificate, at = read_block_certificate(data, at, size)
            blocks_items.append(CertifiedBlock(blocks_items_item_block, blocks_items_item_certificate))
        blocks = tuple(blocks_items)
    except struct.error:
        raise truncated("BlocksResponse") from None
    if at != size:
        raise ends_elsewhere("BlocksResponse", at, size)
    return BlocksResponse(blocks)


def decode_blocks_response_in_steps(data: bytes) -> Generator[int, None, BlocksResponse]:
    """Decode all of `data`, with pauses."""
    pause = STRIDE
    size = len(data)
    try:
        (blocks_count,) = _unpack_from_2(data, 0)
        if blocks_count > 512:
            raise count_out_of_bounds("BlocksResponse.blocks", blocks_count)
        at = 2
        if 418 * blocks_count > size - at:
            raise truncated("BlocksResponse.blocks")
        blocks_items = []
        for _ in range(blocks_count):
            blocks_items_item_block, at = yield from step_block(data, at, size)
            blocks_items_item_certificate, at = read_block_certificate(data, at, size)
            blocks_items.append(CertifiedBlock(blocks_items_item_block, blocks_items_item_certificate))
            if at >= pause:
                yield at
                pause = at + STRIDE
        blocks = tuple(blocks_items)
    except struct.error:
        raise truncated("BlocksResponse") from None
    if at != size:
        raise ends_elsewhere("BlocksResponse", at, size)
    return BlocksResponse(blocks)


def pack_blocks_response(value: BlocksResponse) -> bytes:
    """The encoding of the fields."""
    try:
        blocks = value.blocks
        if len(blocks) > 512:
            raise unfit("BlocksResponse.blocks", len(blocks))
        blocks_pieces: list[bytes] = []
        for blocks_item in blocks:
            blocks_pieces += (blocks_item.block.encode(), blocks_item.certificate.encode())
        return b"".join((_pack_2(len(blocks)), *blocks_pieces))
    except struct.error as error:
        raise unfit("BlocksResponse", str(error)) from None


def decode_block_request(data: bytes) -> BlockRequest:
    """Decode all of `data`."""
    try:
        fields = _unpack_10(data)
    except struct.error:
        raise ends_elsewhere("BlockRequest", 32, len(data)) from None
    return BlockRequest(*fields)


def pack_block_request(value: BlockRequest) -> bytes:
    """The encoding of the fields."""
    try:
        hash_ = value.hash
        if len(hash_) != 32:
            raise unfit("BlockRequest.hash", hash_)
        return _pack_10(hash_)
    except struct.error as error:
        raise unfit("BlockRequest", str(error)) from None


def decode_block_response(data: bytes) -> BlockResponse:
    """Decode all of `data`."""
    size = len(data)
    try:
        (blocks_count,) = _unpack_from_4(data, 0)
        if blocks_count > 1:
            raise count_out_of_bounds("BlockResponse.blocks", blocks_count)
        at = 1
        if 418 * blocks_count > size - at:
            raise truncated("BlockResponse.blocks")
        blocks_items = []
        for _ in range(blocks_count):
            blocks_items_item_block, at = read_block(data, at, size)
            blocks_items_item_certificate, at = read_block_certificate(data, at, size)
            blocks_items.append(CertifiedBlock(blocks_items_item_block, blocks_items_item_certificate))
        blocks = tuple(blocks_items)
    except struct.error:
        raise truncated("BlockResponse") from None
    if at != size:
        raise ends_elsewhere("BlockResponse", at, size)
    return BlockResponse(blocks)


def decode_block_response_in_steps(data: bytes) -> Generator[int, None, BlockResponse]:
    """Decode all of `data`, with pauses."""
    pause = STRIDE
    size = len(data)
    try:
        (blocks_count,) = _unpack_from_4(data, 0)
        if blocks_count > 1:
            raise count_out_of_bounds("BlockResponse.blocks", blocks_count)
        at = 1
        if 418 * blocks_count > size - at:
            raise truncated("BlockResponse.blocks")
        blocks_items = []
        for _ in range(blocks_count):
            blocks_items_item_block, at = yield from step_block(data, at, size)
            blocks_items_item_certificate, at = read_block_certificate(data, at, size)
            blocks_items.append(CertifiedBlock(blocks_items_item_block, blocks_items_item_certificate))
            if at >= pause:
                yield at
                pause = at + STRIDE
        blocks = tuple(blocks_items)
    except struct.error:
        raise truncated("BlockResponse") from None
    if at != size:
        raise ends_elsewhere("BlockResponse", at, size)
    return BlockResponse(blocks)


def pack_block_response(value: BlockResponse) -> bytes:
    """The encoding of the fields."""
    try:
        blocks = value.blocks
        if len(blocks) > 1:
            raise unfit("BlockResponse.blocks", len(blocks))
        blocks_pieces: list[bytes] = []
        for blocks_item in blocks:
            blocks_pieces += (blocks_item.block.encode(), blocks_item.certificate.encode())
        return b"".join((_pack_4(len(blocks)), *blocks_pieces))
    except struct.error as error:
        raise unfit("BlockResponse", str(error)) from None


def decode_get_compact_block(data: bytes) -> GetCompactBlock:
    """Decode all of `data`."""
    try:
        fields = _unpack_10(data)
    except struct.error:
        raise ends_elsewhere("GetCompactBlock", 32, len(data)) from None
    return GetCompactBlock(*fields)


def pack_get_compact_block(value: GetCompactBlock) -> bytes:
    """The encoding of the fields."""
    try:
        hash_ = value.hash
        if len(hash_) != 32:
            raise unfit("GetCompactBlock.hash", hash_)
        return _pack_10(hash_)
    except struct.error as error:
        raise unfit("GetCompactBlock", str(error)) from None


def read_compact_block(data: bytes, at: int, size: int) -> tuple[CompactBlock, int]:
    """Decode at `at`: the value and the offset after it."""
    header, at = read_block_header(data, at, size)
    coinbase, at = read_transaction(data, at, size)
    (txids_count,) = _unpack_from_3(data, at)
    if txids_count > 65535:
        raise count_out_of_bounds("CompactBlock.txids", txids_count)
    if txids_count <= 32:
        txids = _few_32[txids_count](data, at + 4)
    else:
        txids = _many_32(data, at + 4, txids_count)
    at = at + 4 + 32 * txids_count
    (attendance_length,) = _unpack_from_2(data, at)
    if attendance_length > 8192:
        raise length_out_of_bounds("CompactBlock.attendance", attendance_length)
    begin = at + 2
    at = begin + attendance_length
    attendance = data[begin:at]
    (evidence_count,) = _unpack_from_2(data, at)
    if evidence_count > 1024:
        raise count_out_of_bounds("CompactBlock.evidence", evidence_count)
    at += 2
    if 8 * evidence_count > size - at:
        raise truncated("CompactBlock.evidence")
    evidence_items = []
    for _ in range(evidence_count):
        (evidence_items_item_first_length,) = _unpack_from_3(data, at)
        if evidence_items_item_first_length > 65536:
            raise length_out_of_bounds("CompactBlock.evidence.first", evidence_items_item_first_length)
        begin = at + 4
        at = begin + evidence_items_item_first_length
        evidence_items_item_first = data[begin:at]
        (evidence_items_item_second_length,) = _unpack_from_3(data, at)
        if evidence_items_item_second_length > 65536:
            raise length_out_of_bounds("CompactBlock.evidence.second", evidence_items_item_second_length)
        begin = at + 4
        at = begin + evidence_items_item_second_length
        evidence_items_item_second = data[begin:at]
        evidence_items.append(Evidence(evidence_items_item_first, evidence_items_item_second))
    evidence = tuple(evidence_items)
    (parent_certificate_present,) = _unpack_from_4(data, at)
    if parent_certificate_present > 1:
        raise not_a_choice("CompactBlock.parent_certificate", parent_certificate_present)
    at += 1
    parent_certificate: BlockCertificate | None = None
    if parent_certificate_present:
        parent_certificate_item, at = read_block_certificate(data, at, size)
        parent_certificate = parent_certificate_item
    (reports_count,) = _unpack_from_2(data, at)
    end = at + 2 + 34 * reports_count
    if end > size:
        raise truncated("CompactBlock.reports")
    reports = tuple(starmap(ReportReference, _iter_unpack_11(data[at + 2 : end])))
    at = end
    value = CompactBlock(header, coinbase, txids, attendance, evidence, parent_certificate, reports)
    return value, at


def decode_compact_block(data: bytes) -> CompactBlock:
    """Decode all of `data`."""
    size = len(data)
    try:
        at = 0
        header, at = read_block_header(data, at, size)
        coinbase, at = read_transaction(data, at, size)
        (txids_count,) = _unpack_from_3(data, at)
        if txids_count > 65535:
            raise count_out_of_bounds("CompactBlock.txids", txids_count)
        if txids_count <= 32:
            txids = _few_32[txids_count](data, at + 4)
        else:
            txids = _many_32(data, at + 4, txids_count)
        at = at + 4 + 32 * txids_count
        (attendance_length,) = _unpack_from_2(data, at)
        if attendance_length > 8192:
            raise length_out_of_bounds("CompactBlock.attendance", attendance_length)
        begin = at + 2
        at = begin + attendance_length
        attendance = data[begin:at]
        (evidence_count,) = _unpack_from_2(data, at)
        if evidence_count > 1024:
            raise count_out_of_bounds("CompactBlock.evidence", evidence_count)
        at += 2
        if 8 * evidence_count > size - at:
            raise truncated("CompactBlock.evidence")
        evidence_items = []
        for _ in range(evidence_count):
            (evidence_items_item_first_length,) = _unpack_from_3(data, at)
            if evidence_items_item_first_length > 65536:
                raise length_out_of_bounds("CompactBlock.evidence.first", evidence_items_item_first_length)
            begin = at + 4
            at = begin + evidence_items_item_first_length
            evidence_items_item_first = data[begin:at]
            (evidence_items_item_second_length,) = _unpack_from_3(data, at)
            if evidence_items_item_second_length > 65536:
                raise length_out_of_bounds("CompactBlock.evidence.second", evidence_items_item_second_length)
            begin = at + 4
            at = begin + evidence_items_item_second_length
            evidence_items_item_second = data[begin:at]
            evidence_items.append(Evidence(evidence_items_item_first, evidence_items_item_second))
        evidence = tuple(evidence_items)
        (parent_certificate_present,) = _unpack_from_4(data, at)
        if parent_certificate_present > 1:
            raise not_a_choice("CompactBlock.parent_certificate", parent_certificate_present)
        at += 1
        parent_certificate: BlockCertificate | None = None
        if parent_certificate_present:
            parent_certificate_item, at = read_block_certificate(data, at, size)
            parent_certificate = parent_certificate_item
        (reports_count,) = _unpack_from_2(data, at)
        end = at + 2 + 34 * reports_count
        if end > size:
            raise truncated("CompactBlock.reports")
        reports = tuple(starmap(ReportReference, _iter_unpack_11(data[at + 2 : end])))
        at = end
    except struct.error:
        raise truncated("CompactBlock") from None
    if at != size:
        raise ends_elsewhere("CompactBlock", at, size)
    return CompactBlock(header, coinbase, txids, attendance, evidence, parent_certificate, reports)


def pack_compact_block(value: CompactBlock) -> bytes:
    """The encoding of the fields."""
    try:
        txids = value.txids
        if len(txids) > 65535:
            raise unfit("CompactBlock.txids", len(txids))
        if not _WIDTH_32.issuperset(map(len, txids)):
            raise unfit("CompactBlock.txids", txids)
        attendance = value.attendance
        if len(attendance) > 8192:
            raise unfit("CompactBlock.attendance", attendance)
        evidence = value.evidence
        if len(evidence) > 1024:
            raise unfit("CompactBlock.evidence", len(evidence))
        evidence_pieces: list[bytes] = []
        for evidence_item in evidence:
            evidence_item_first = evidence_item.first
            if len(evidence_item_first) > 65536:
                raise unfit("CompactBlock.evidence.first", evidence_item_first)
            evidence_item_second = evidence_item.second
            if len(evidence_item_second) > 65536:
                raise unfit("CompactBlock.evidence.second", evidence_item_second)
            evidence_pieces += (
                _pack_3(len(evidence_item_first)),
                evidence_item_first,
                _pack_3(len(evidence_item_second)),
                evidence_item_second,
            )
        parent_certificate = value.parent_certificate
        parent_certificate_pieces: tuple[bytes, ...] = (b"\x00",)
        if parent_certificate is not None:
            parent_certificate_pieces = (b"\x01", parent_certificate.encode())
        reports = value.reports
        reports_pieces: list[bytes] = []
        for reports_item in reports:
            reports_item_report = reports_item.report
            if len(reports_item_report) != 32:
                raise unfit("CompactBlock.reports.report", reports_item_report)
            reports_pieces.append(_pack_11(reports_item.member, reports_item_report))
        return b"".join(
            (
                value.header.encode(),
                value.coinbase.encode(),
                _pack_3(len(txids)),
                *txids,
                _pack_2(len(attendance)),
                attendance,
                _pack_2(len(evidence)),
                *evidence_pieces,
                *parent_certificate_pieces,
                _pack_2(len(reports)),
                *reports_pieces,
            )
        )
    except struct.error as error:
        raise unfit("CompactBlock", str(error)) from None


def decode_compact_block_response(data: bytes) -> CompactBlockResponse:
    """Decode all of `data`."""
    size = len(data)
    try:
        (blocks_count,) = _unpack_from_4(data, 0)
        if blocks_count > 1:
            raise count_out_of_bounds("CompactBlockResponse.blocks", blocks_count)
        at = 1
        if 352 * blocks_count > size - at:
            raise truncated("CompactBlockResponse.blocks")
        blocks_items = []
        for _ in range(blocks_count):
            blocks_items_item, at = read_compact_block(data, at, size)
            blocks_items.append(blocks_items_item)
        blocks = tuple(blocks_items)
    except struct.error:
        raise truncated("CompactBlockResponse") from None
    if at != size:
        raise ends_elsewhere("CompactBlockResponse", at, size)
    return CompactBlockResponse(blocks)


def decode_compact_block_response_in_steps(data: bytes) -> Generator[int, None, CompactBlockResponse]:
    """Decode all of `data`, with pauses."""
    pause = STRIDE
    size = len(data)
    try:
        (blocks_count,) = _unpack_from_4(data, 0)
        if blocks_count > 1:
            raise count_out_of_bounds("CompactBlockResponse.blocks", blocks_count)
        at = 1
        if 352 * blocks_count > size - at:
            raise truncated("CompactBlockResponse.blocks")
        blocks_items = []
        for _ in range(blocks_count):
            blocks_items_item, at = read_compact_block(data, at, size)
            blocks_items.append(blocks_items_item)
            if at >= pause:
                yield at
                pause = at + STRIDE
        blocks = tuple(blocks_items)
    except struct.error:
        raise truncated("CompactBlockResponse") from None
    if at != size:
        raise ends_elsewhere("CompactBlockResponse", at, size)
    return CompactBlockResponse(blocks)


def pack_compact_block_response(value: CompactBlockResponse) -> bytes:
    """The encoding of the fields."""
    try:
        blocks = value.blocks
        if len(blocks) > 1:
            raise unfit("CompactBlockResponse.blocks", len(blocks))
        return b"".join((_pack_4(len(blocks)), *[item.encode() for item in blocks]))
    except struct.error as error:
        raise unfit("CompactBlockResponse", str(error)) from None


def decode_get_masternodes(data: bytes) -> GetMasternodes:
    """Decode all of `data`."""
    try:
        fields = _unpack_12(data)
    except struct.error:
        raise ends_elsewhere("GetMasternodes", 8, len(data)) from None
    return GetMasternodes(*fields)


def pack_get_masternodes(value: GetMasternodes) -> bytes:
    """The encoding of the fields."""
    try:
        return _pack_12(value.height)
    except struct.error as error:
        raise unfit("GetMasternodes", str(error)) from None


def decode_masternodes_response(data: bytes) -> MasternodesResponse:
    """Decode all of `data`."""
    size = len(data)
    try:
        (height,) = _unpack_from_12(data, 0)
        at = 8
        roster, at = read_roster(data, at, size)
    except struct.error:
        raise truncated("MasternodesResponse") from None
    if at != size:
        raise ends_elsewhere("MasternodesResponse", at, size)
    return MasternodesResponse(height, roster)


def pack_masternodes_response(value: MasternodesResponse) -> bytes:
    """The encoding of the fields."""
    try:
        return b"".join((_pack_12(value.height), value.roster.encode()))
    except struct.error as error:
        raise unfit("MasternodesResponse", str(error)) from None


def decode_round_state(data: bytes) -> RoundState:
    """Decode all of `data`."""
    try:
        height, round_, step, reported = _unpack_13(data)
    except struct.error:
        raise ends_elsewhere("RoundState", 14, len(data)) from None
    if reported > 1:
        raise not_a_choice("RoundState.reported", reported)
    return RoundState(height, round_, step, reported == 1)


def pack_round_state(value: RoundState) -> bytes:
    """The encoding of the fields."""
    try:
        return _pack_14(value.height, value.round, value.step, value.reported)
    except struct.error as error:
        raise unfit("RoundState", str(error)) from None


def decode_get_proposal(data: bytes) -> GetProposal:
    """Decode all of `data`."""
    try:
        fields = _unpack_15(data)
    except struct.error:
        raise ends_elsewhere("GetProposal", 12, len(data)) from None
    return GetProposal(*fields)


def pack_get_proposal(value: GetProposal) -> bytes:
    """The encoding of the fields."""
    try:
        return _pack_15(value.height, value.round)
    except struct.error as error:
        raise unfit("GetProposal", str(error)) from None


bind(ReportShare, decode_report_share, pack_report_share)
bind(ProposalBody, decode_proposal_body, pack_proposal_body)
bind(BlockProposal, decode_block_proposal, pack_block_proposal)
bind(ProposalStatement, decode_proposal_statement, pack_proposal_statement)
bind(BlockVote, decode_block_vote, pack_block_vote)
bind(BlockCommit, decode_block_commit, pack_block_commit)
bind(BlockAnnouncement, decode_block_announcement, pack_block_announcement)
bind(GetHeaders, decode_get_headers, pack_get_headers)
bind(SignedHeader, decode_signed_header, pack_signed_header)
bind(HeadersResponse, decode_headers_response, pack_headers_response, decode_headers_response_in_steps)
bind(GetBlocks, decode_get_blocks, pack_get_blocks)
bind(CertifiedBlock, decode_certified_block, pack_certified_block, decode_certified_block_in_steps)
bind(BlocksResponse, decode_blocks_response, pack_blocks_response, decode_blocks_response_in_steps)
bind(BlockRequest, decode_block_request, pack_block_request)
bind(BlockResponse, decode_block_response, pack_block_response, decode_block_response_in_steps)
bind(GetCompactBlock, decode_get_compact_block, pack_get_compact_block)
bind(CompactBlock, decode_compact_block, pack_compact_block)
bind(
    CompactBlockResponse,
    decode_compact_block_response,
    pack_compact_block_response,
    decode_compact_block_response_in_steps,
)
bind(GetMasternodes, decode_get_masternodes, pack_get_masternodes)
bind(MasternodesResponse, decode_masternodes_response, pack_masternodes_response)
bind(RoundState, decode_round_state, pack_round_state)
bind(GetProposal, decode_get_proposal, pack_get_proposal)
