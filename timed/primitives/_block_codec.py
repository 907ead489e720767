"""Generated from timed.primitives.layouts by `python -m timed.codec`; not to be edited."""

from __future__ import annotations

import struct
from collections.abc import Generator
from itertools import starmap

from timed.codec.runtime import (
    STRIDE,
    count_out_of_bounds,
    ends_elsewhere,
    length_out_of_bounds,
    not_a_choice,
    truncated,
    unfit,
)
from timed.codec.value import (
    bind,
    retain,
)
from timed.primitives._certificate_codec import (
    read_block_certificate,
)
from timed.primitives._transaction_codec import (
    read_transaction,
)
from timed.primitives.block import (
    Block,
    BlockHeader,
    Evidence,
    ReportReference,
)
from timed.primitives.certificate import (
    BlockCertificate,
)

_unpack_from_0 = struct.Struct("<HLQQ32s32s32s32s32s32s32s32sQ32sL").unpack_from
_unpack_0 = struct.Struct("<HLQQ32s32s32s32s32s32s32s32sQ32sL").unpack
_pack_0 = struct.Struct("<HLQQ32s32s32s32s32s32s32s32sQ32sL").pack
_unpack_1 = struct.Struct("<H32s").unpack
_pack_1 = struct.Struct("<H32s").pack
_unpack_from_2 = struct.Struct("<L").unpack_from
_pack_2 = struct.Struct("<L").pack
_unpack_from_3 = struct.Struct("<H").unpack_from
_unpack_from_4 = struct.Struct("<B").unpack_from
_iter_unpack_1 = struct.Struct("<H32s").iter_unpack
_pack_3 = struct.Struct("<H").pack


def read_block_header(data: bytes, at: int, size: int) -> tuple[BlockHeader, int]:
    """Decode at `at`: the value and the offset after it."""
    value = BlockHeader(*_unpack_from_0(data, at))
    end = at + 322
    retain(value, data[at:end])
    return value, end


def decode_block_header(data: bytes) -> BlockHeader:
    """Decode all of `data`."""
    try:
        fields = _unpack_0(data)
    except struct.error:
        raise ends_elsewhere("BlockHeader", 322, len(data)) from None
    value = BlockHeader(*fields)
    retain(value, data)
    return value


def pack_block_header(value: BlockHeader) -> bytes:
    """The encoding of the fields."""
    try:
        previous = value.previous
        if len(previous) != 32:
            raise unfit("BlockHeader.previous", previous)
        tx_root = value.tx_root
        if len(tx_root) != 32:
            raise unfit("BlockHeader.tx_root", tx_root)
        utxo_root = value.utxo_root
        if len(utxo_root) != 32:
            raise unfit("BlockHeader.utxo_root", utxo_root)
        filter_root = value.filter_root
        if len(filter_root) != 32:
            raise unfit("BlockHeader.filter_root", filter_root)
        roster = value.roster
        if len(roster) != 32:
            raise unfit("BlockHeader.roster", roster)
        next_roster = value.next_roster
        if len(next_roster) != 32:
            raise unfit("BlockHeader.next_roster", next_roster)
        attendance_root = value.attendance_root
        if len(attendance_root) != 32:
            raise unfit("BlockHeader.attendance_root", attendance_root)
        evidence_root = value.evidence_root
        if len(evidence_root) != 32:
            raise unfit("BlockHeader.evidence_root", evidence_root)
        proposer = value.proposer
        if len(proposer) != 32:
            raise unfit("BlockHeader.proposer", proposer)
        return _pack_0(
            value.version,
            value.chain_id,
            value.height,
            value.time,
            previous,
            tx_root,
            utxo_root,
            filter_root,
            roster,
            next_roster,
            attendance_root,
            evidence_root,
            value.reward,
            proposer,
            value.round,
        )
    except struct.error as error:
        raise unfit("BlockHeader", str(error)) from None


def decode_report_reference(data: bytes) -> ReportReference:
    """Decode all of `data`."""
    try:
        fields = _unpack_1(data)
    except struct.error:
        raise ends_elsewhere("ReportReference", 34, len(data)) from None
    return ReportReference(*fields)


def pack_report_reference(value: ReportReference) -> bytes:
    """The encoding of the fields."""
    try:
        report = value.report
        if len(report) != 32:
            raise unfit("ReportReference.report", report)
        return _pack_1(value.member, report)
    except struct.error as error:
        raise unfit("ReportReference", str(error)) from None


def decode_evidence(data: bytes) -> Evidence:
    """Decode all of `data`."""
    size = len(data)
    try:
        (first_length,) = _unpack_from_2(data, 0)
        if first_length > 65536:
            raise length_out_of_bounds("Evidence.first", first_length)
        at = 4 + first_length
        first = data[4:at]
        (second_length,) = _unpack_from_2(data, at)
        if second_length > 65536:
            raise length_out_of_bounds("Evidence.second", second_length)
        begin = at + 4
        at = begin + second_length
        second = data[begin:at]
    except struct.error:
        raise truncated("Evidence") from None
    if at != size:
        raise ends_elsewhere("Evidence", at, size)
    return Evidence(first, second)


def pack_evidence(value: Evidence) -> bytes:
    """The encoding of the fields."""
    try:
        first = value.first
        if len(first) > 65536:
            raise unfit("Evidence.first", first)
        second = value.second
        if len(second) > 65536:
            raise unfit("Evidence.second", second)
        return b"".join((_pack_2(len(first)), first, _pack_2(len(second)), second))
    except struct.error as error:
        raise unfit("Evidence", str(error)) from None


def read_block(data: bytes, at: int, size: int) -> tuple[Block, int]:
    """Decode at `at`: the value and the offset after it."""
    header, at = read_block_header(data, at, size)
    (transactions_count,) = _unpack_from_2(data, at)
    if transactions_count > 65535:
        raise count_out_of_bounds("Block.transactions", transactions_count)
    at += 4
    if 19 * transactions_count > size - at:
        raise truncated("Block.transactions")
    transactions_items = []
    for _ in range(transactions_count):
        transactions_items_item, at = read_transaction(data, at, size)
        transactions_items.append(transactions_items_item)
    transactions = tuple(transactions_items)
    (attendance_length,) = _unpack_from_3(data, at)
    if attendance_length > 8192:
        raise length_out_of_bounds("Block.attendance", attendance_length)
    begin = at + 2
    at = begin + attendance_length
    attendance = data[begin:at]
    (evidence_count,) = _unpack_from_3(data, at)
    if evidence_count > 1024:
        raise count_out_of_bounds("Block.evidence", evidence_count)
    at += 2
    if 8 * evidence_count > size - at:
        raise truncated("Block.evidence")
    evidence_items = []
    for _ in range(evidence_count):
        (evidence_items_item_first_length,) = _unpack_from_2(data, at)
        if evidence_items_item_first_length > 65536:
            raise length_out_of_bounds("Block.evidence.first", evidence_items_item_first_length)
        begin = at + 4
        at = begin + evidence_items_item_first_length
        evidence_items_item_first = data[begin:at]
        (evidence_items_item_second_length,) = _unpack_from_2(data, at)
        if evidence_items_item_second_length > 65536:
            raise length_out_of_bounds("Block.evidence.second", evidence_items_item_second_length)
        begin = at + 4
        at = begin + evidence_items_item_second_length
        evidence_items_item_second = data[begin:at]
        evidence_items.append(Evidence(evidence_items_item_first, evidence_items_item_second))
    evidence = tuple(evidence_items)
    (parent_certificate_present,) = _unpack_from_4(data, at)
    if parent_certificate_present > 1:
        raise not_a_choice("Block.parent_certificate", parent_certificate_present)
    at += 1
    parent_certificate: BlockCertificate | None = None
    if parent_certificate_present:
        parent_certificate_item, at = read_block_certificate(data, at, size)
        parent_certificate = parent_certificate_item
    (reports_count,) = _unpack_from_3(data, at)
    end = at + 2 + 34 * reports_count
    if end > size:
        raise truncated("Block.reports")
    reports = tuple(starmap(ReportReference, _iter_unpack_1(data[at + 2 : end])))
    at = end
    value = Block(header, transactions, attendance, evidence, parent_certificate, reports)
    return value, at


def decode_block(data: bytes) -> Block:  # noqa: C901
    """Decode all of `data`."""
    size = len(data)
    try:
        at = 0
        header, at = read_block_header(data, at, size)
        (transactions_count,) = _unpack_from_2(data, at)
        if transactions_count > 65535:
            raise count_out_of_bounds("Block.transactions", transactions_count)
        at += 4
        if 19 * transactions_count > size - at:
            raise truncated("Block.transactions")
        transactions_items = []
        for _ in range(transactions_count):
            transactions_items_item, at = read_transaction(data, at, size)
            transactions_items.append(transactions_items_item)
        transactions = tuple(transactions_items)
        (attendance_length,) = _unpack_from_3(data, at)
        if attendance_length > 8192:
            raise length_out_of_bounds("Block.attendance", attendance_length)
        begin = at + 2
        at = begin + attendance_length
        attendance = data[begin:at]
        (evidence_count,) = _unpack_from_3(data, at)
        if evidence_count > 1024:
            raise count_out_of_bounds("Block.evidence", evidence_count)
        at += 2
        if 8 * evidence_count > size - at:
            raise truncated("Block.evidence")
        evidence_items = []
        for _ in range(evidence_count):
            (evidence_items_item_first_length,) = _unpack_from_2(data, at)
            if evidence_items_item_first_length > 65536:
                raise length_out_of_bounds("Block.evidence.first", evidence_items_item_first_length)
            begin = at + 4
            at = begin + evidence_items_item_first_length
            evidence_items_item_first = data[begin:at]
            (evidence_items_item_second_length,) = _unpack_from_2(data, at)
            if evidence_items_item_second_length > 65536:
                raise length_out_of_bounds("Block.evidence.second", evidence_items_item_second_length)
            begin = at + 4
            at = begin + evidence_items_item_second_length
            evidence_items_item_second = data[begin:at]
            evidence_items.append(Evidence(evidence_items_item_first, evidence_items_item_second))
        evidence = tuple(evidence_items)
        (parent_certificate_present,) = _unpack_from_4(data, at)
        if parent_certificate_present > 1:
            raise not_a_choice("Block.parent_certificate", parent_certificate_present)
        at += 1
        parent_certificate: BlockCertificate | None = None
        if parent_certificate_present:
            parent_certificate_item, at = read_block_certificate(data, at, size)
            parent_certificate = parent_certificate_item
        (reports_count,) = _unpack_from_3(data, at)
        end = at + 2 + 34 * reports_count
        if end > size:
            raise truncated("Block.reports")
        reports = tuple(starmap(ReportReference, _iter_unpack_1(data[at + 2 : end])))
        at = end
    except struct.error:
        raise truncated("Block") from None
    if at != size:
        raise ends_elsewhere("Block", at, size)
    return Block(header, transactions, attendance, evidence, parent_certificate, reports)


def step_block(data: bytes, at: int, size: int) -> Generator[int, None, tuple[Block, int]]:  # noqa: C901
    """Decode at `at`, with pauses: the value and the offset after it."""
    pause = at + STRIDE
    header, at = read_block_header(data, at, size)
    (transactions_count,) = _unpack_from_2(data, at)
    if transactions_count > 65535:
        raise count_out_of_bounds("Block.transactions", transactions_count)
    at += 4
    if 19 * transactions_count > size - at:
        raise truncated("Block.transactions")
    transactions_items = []
    for _ in range(transactions_count):
        transactions_items_item, at = read_transaction(data, at, size)
        transactions_items.append(transactions_items_item)
        if at >= pause:
            yield at
            pause = at + STRIDE
    transactions = tuple(transactions_items)
    (attendance_length,) = _unpack_from_3(data, at)
    if attendance_length > 8192:
        raise length_out_of_bounds("Block.attendance", attendance_length)
    begin = at + 2
    at = begin + attendance_length
    attendance = data[begin:at]
    (evidence_count,) = _unpack_from_3(data, at)
    if evidence_count > 1024:
        raise count_out_of_bounds("Block.evidence", evidence_count)
    at += 2
    if 8 * evidence_count > size - at:
        raise truncated("Block.evidence")
    evidence_items = []
    for _ in range(evidence_count):
        (evidence_items_item_first_length,) = _unpack_from_2(data, at)
        if evidence_items_item_first_length > 65536:
            raise length_out_of_bounds("Block.evidence.first", evidence_items_item_first_length)
        begin = at + 4
        at = begin + evidence_items_item_first_length
        evidence_items_item_first = data[begin:at]
        (evidence_items_item_second_length,) = _unpack_from_2(data, at)
        if evidence_items_item_second_length > 65536:
            raise length_out_of_bounds("Block.evidence.second", evidence_items_item_second_length)
        begin = at + 4
        at = begin + evidence_items_item_second_length
        evidence_items_item_second = data[begin:at]
        evidence_items.append(Evidence(evidence_items_item_first, evidence_items_item_second))
        if at >= pause:
            yield at
            pause = at + STRIDE
    evidence = tuple(evidence_items)
    (parent_certificate_present,) = _unpack_from_4(data, at)
    if parent_certificate_present > 1:
        raise not_a_choice("Block.parent_certificate", parent_certificate_present)
    at += 1
    parent_certificate: BlockCertificate | None = None
    if parent_certificate_present:
        parent_certificate_item, at = read_block_certificate(data, at, size)
        parent_certificate = parent_certificate_item
    (reports_count,) = _unpack_from_3(data, at)
    end = at + 2 + 34 * reports_count
    if end > size:
        raise truncated("Block.reports")
    reports = tuple(starmap(ReportReference, _iter_unpack_1(data[at + 2 : end])))
    at = end
    value = Block(header, transactions, attendance, evidence, parent_certificate, reports)
    return value, at


def decode_block_in_steps(data: bytes) -> Generator[int, None, Block]:  # noqa: C901
    """Decode all of `data`, with pauses."""
    pause = STRIDE
    size = len(data)
    try:
        at = 0
        header, at = read_block_header(data, at, size)
        (transactions_count,) = _unpack_from_2(data, at)
        if transactions_count > 65535:
            raise count_out_of_bounds("Block.transactions", transactions_count)
        at += 4
        if 19 * transactions_count > size - at:
            raise truncated("Block.transactions")
        transactions_items = []
        for _ in range(transactions_count):
            transactions_items_item, at = read_transaction(data, at, size)
            transactions_items.append(transactions_items_item)
            if at >= pause:
                yield at
                pause = at + STRIDE
        transactions = tuple(transactions_items)
        (attendance_length,) = _unpack_from_3(data, at)
        if attendance_length > 8192:
            raise length_out_of_bounds("Block.attendance", attendance_length)
        begin = at + 2
        at = begin + attendance_length
        attendance = data[begin:at]
        (evidence_count,) = _unpack_from_3(data, at)
        if evidence_count > 1024:
            raise count_out_of_bounds("Block.evidence", evidence_count)
        at += 2
        if 8 * evidence_count > size - at:
            raise truncated("Block.evidence")
        evidence_items = []
        for _ in range(evidence_count):
            (evidence_items_item_first_length,) = _unpack_from_2(data, at)
            if evidence_items_item_first_length > 65536:
                raise length_out_of_bounds("Block.evidence.first", evidence_items_item_first_length)
            begin = at + 4
            at = begin + evidence_items_item_first_length
            evidence_items_item_first = data[begin:at]
            (evidence_items_item_second_length,) = _unpack_from_2(data, at)
            if evidence_items_item_second_length > 65536:
                raise length_out_of_bounds("Block.evidence.second", evidence_items_item_second_length)
            begin = at + 4
            at = begin + evidence_items_item_second_length
            evidence_items_item_second = data[begin:at]
            evidence_items.append(Evidence(evidence_items_item_first, evidence_items_item_second))
            if at >= pause:
                yield at
                pause = at + STRIDE
        evidence = tuple(evidence_items)
        (parent_certificate_present,) = _unpack_from_4(data, at)
        if parent_certificate_present > 1:
            raise not_a_choice("Block.parent_certificate", parent_certificate_present)
        at += 1
        parent_certificate: BlockCertificate | None = None
        if parent_certificate_present:
            parent_certificate_item, at = read_block_certificate(data, at, size)
            parent_certificate = parent_certificate_item
        (reports_count,) = _unpack_from_3(data, at)
        end = at + 2 + 34 * reports_count
        if end > size:
            raise truncated("Block.reports")
        reports = tuple(starmap(ReportReference, _iter_unpack_1(data[at + 2 : end])))
        at = end
    except struct.error:
        raise truncated("Block") from None
    if at != size:
        raise ends_elsewhere("Block", at, size)
    return Block(header, transactions, attendance, evidence, parent_certificate, reports)


def pack_block(value: Block) -> bytes:
    """The encoding of the fields."""
    try:
        transactions = value.transactions
        if len(transactions) > 65535:
            raise unfit("Block.transactions", len(transactions))
        attendance = value.attendance
        if len(attendance) > 8192:
            raise unfit("Block.attendance", attendance)
        evidence = value.evidence
        if len(evidence) > 1024:
            raise unfit("Block.evidence", len(evidence))
        evidence_pieces: list[bytes] = []
        for evidence_item in evidence:
            evidence_item_first = evidence_item.first
            if len(evidence_item_first) > 65536:
                raise unfit("Block.evidence.first", evidence_item_first)
            evidence_item_second = evidence_item.second
            if len(evidence_item_second) > 65536:
                raise unfit("Block.evidence.second", evidence_item_second)
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
        reports_pieces: list[bytes] = []
        for reports_item in reports:
            reports_item_report = reports_item.report
            if len(reports_item_report) != 32:
                raise unfit("Block.reports.report", reports_item_report)
            reports_pieces.append(_pack_1(reports_item.member, reports_item_report))
        return b"".join(
            (
                value.header.encode(),
                _pack_2(len(transactions)),
                *[item.encode() for item in transactions],
                _pack_3(len(attendance)),
                attendance,
                _pack_3(len(evidence)),
                *evidence_pieces,
                *parent_certificate_pieces,
                _pack_3(len(reports)),
                *reports_pieces,
            )
        )
    except struct.error as error:
        raise unfit("Block", str(error)) from None


bind(BlockHeader, decode_block_header, pack_block_header)
bind(ReportReference, decode_report_reference, pack_report_reference)
bind(Evidence, decode_evidence, pack_evidence)
bind(Block, decode_block, pack_block, decode_block_in_steps)
