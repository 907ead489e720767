"""What one would write by hand with `struct` for values and certificates: the measure of the generator.

Straightforward and correct, as strict as the generated code about ends, lengths and
choices, without its tricks. Only the benchmark uses it; a test holds it to the same
bytes. Readers take (data, offset) and give (value, offset after it).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from struct import Struct
from typing import Any

from timed.codec.value import retain
from timed.errors import DecodeError
from timed.primitives.block import Block, BlockHeader, Evidence, ReportReference
from timed.primitives.certificate import BlockCertificate, BundleCertificate, BundleSigner
from timed.primitives.roster import Member, Roster
from timed.primitives.transaction import Lock, OutPoint, Output, Transaction, Witness

U8, U16, U32, U64 = Struct("<B"), Struct("<H"), Struct("<L"), Struct("<Q")

_OUTPOINT = Struct("<32sH")
_OUTPUT = Struct("<QBH")
_WITNESS = Struct("<32s64s")
_TRANSACTION = Struct("<HBH")
_LOCK_HEIGHT = Struct("<QH")
_CERTIFICATE = Struct("<BLQL32s32sH")
_SIGNER = Struct("<64sQHB")
_HEADER = Struct("<HLQQ32s32s32s32s32s32s32s32sQ32sL")
_REPORT = Struct("<H32s")
_MEMBER = Struct("<32s32sBH")
_TIER = Struct("<BQB")

MAX_LOCK, MAX_PAYLOAD, MAX_STATEMENT, MAX_BITMAP = 322, 1_024, 65_536, 8_192
MAX_INPUTS, MAX_EVIDENCE, MAX_BRANCH = 4_096, 1_024, 16


def bounded(number: int, maximum: int) -> int:
    """A count or length that is not above its bound; DecodeError otherwise."""
    if number > maximum:
        raise DecodeError("decode-length", str(number))
    return number


def read_bytes(data: bytes, at: int, length: int) -> tuple[bytes, int]:
    """`length` bytes; DecodeError when there are fewer."""
    end = at + length
    if end > len(data):
        raise DecodeError("decode-truncated", str(at))
    return data[at:end], end


def read_hashes(data: bytes, at: int, count: int) -> tuple[tuple[bytes, ...], int]:
    """`count` times 32 bytes."""
    block, end = read_bytes(data, at, 32 * count)
    return tuple([block[start : start + 32] for start in range(0, 32 * count, 32)]), end


def read_many(
    data: bytes, at: int, count: int, read: Callable[[bytes, int], tuple[Any, int]]
) -> tuple[tuple[Any, ...], int]:
    """`count` values, one after the other."""
    items = []
    for _ in range(count):
        item, at = read(data, at)
        items.append(item)
    return tuple(items), at


def rising(items: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """The items; DecodeError when they do not rise strictly."""
    for one, other in pairwise(items):
        if one >= other:
            raise DecodeError("decode-order", "")
    return items


def read_outpoint(data: bytes, at: int) -> tuple[OutPoint, int]:
    txid, index = _OUTPOINT.unpack_from(data, at)
    return OutPoint(txid, index), at + 34


def pack_outpoint(value: OutPoint) -> bytes:
    return _OUTPOINT.pack(value.txid, value.index)


def read_transaction(data: bytes, at: int) -> tuple[Transaction, int]:
    start = at
    version, kind, count = _TRANSACTION.unpack_from(data, at)
    at += 5
    inputs = []
    for _ in range(bounded(count, MAX_INPUTS)):
        txid, index = _OUTPOINT.unpack_from(data, at)
        inputs.append(OutPoint(txid, index))
        at += 34
    (count,) = U16.unpack_from(data, at)
    at += 2
    outputs = []
    for _ in range(count):
        amount, lock_kind, length = _OUTPUT.unpack_from(data, at)
        lock, at = read_bytes(data, at + 11, bounded(length, MAX_LOCK))
        outputs.append(Output(amount, Lock(lock_kind, lock)))
    lock_height, length = _LOCK_HEIGHT.unpack_from(data, at)
    payload, at = read_bytes(data, at + 10, bounded(length, MAX_PAYLOAD))
    (count,) = U16.unpack_from(data, at)
    at += 2
    witnesses = []
    for _ in range(bounded(count, MAX_INPUTS)):
        public_key, signature = _WITNESS.unpack_from(data, at)
        witnesses.append(Witness(public_key, signature))
        at += 96
    value = Transaction(version, kind, tuple(inputs), tuple(outputs), lock_height, payload, tuple(witnesses))
    retain(value, data[start:at])
    return value, at


def pack_transaction(value: Transaction) -> bytes:
    parts = [_TRANSACTION.pack(value.version, value.kind, len(value.inputs))]
    for outpoint in value.inputs:
        parts.append(_OUTPOINT.pack(outpoint.txid, outpoint.index))
    parts.append(U16.pack(len(value.outputs)))
    for output in value.outputs:
        lock = output.lock
        parts.append(_OUTPUT.pack(output.value, lock.kind, len(lock.data)))
        parts.append(lock.data)
    parts.append(_LOCK_HEIGHT.pack(value.lock_height, len(value.payload)))
    parts.append(value.payload)
    parts.append(U16.pack(len(value.witnesses)))
    for witness in value.witnesses:
        parts.append(_WITNESS.pack(witness.public_key, witness.signature))
    return b"".join(parts)


def read_block_certificate(data: bytes, at: int) -> tuple[BlockCertificate, int]:
    start = at
    kind, chain_id, height, round_, target, roster, length = _CERTIFICATE.unpack_from(data, at)
    if kind != 1:
        raise DecodeError("decode-choice", str(kind))
    bitmap, at = read_bytes(data, at + 83, bounded(length, MAX_BITMAP))
    (count,) = U16.unpack_from(data, at)
    block, at = read_bytes(data, at + 2, 64 * count)
    signatures = tuple([block[place : place + 64] for place in range(0, 64 * count, 64)])
    value = BlockCertificate(
        kind=kind, chain_id=chain_id, height=height, round=round_,
        target=target, roster=roster, bitmap=bitmap, signatures=signatures,
    )  # fmt: skip
    retain(value, data[start:at])
    return value, at


def pack_block_certificate(value: BlockCertificate) -> bytes:
    head = _CERTIFICATE.pack(
        value.kind, value.chain_id, value.height, value.round, value.target, value.roster, len(value.bitmap)
    )
    return b"".join((head, value.bitmap, U16.pack(len(value.signatures)), *value.signatures))


def read_signer(data: bytes, at: int) -> tuple[BundleSigner, int]:
    signature, tick, leaf, count = _SIGNER.unpack_from(data, at)
    branch, at = read_hashes(data, at + 75, bounded(count, MAX_BRANCH))
    return BundleSigner(signature, tick, leaf, branch), at


def read_bundle_certificate(data: bytes, at: int) -> tuple[BundleCertificate, int]:
    start = at
    kind, chain_id, epoch, round_, target, roster, length = _CERTIFICATE.unpack_from(data, at)
    if kind not in (2, 3) or round_:
        raise DecodeError("decode-choice", str(kind))
    bitmap, at = read_bytes(data, at + 83, bounded(length, MAX_BITMAP))
    (count,) = U16.unpack_from(data, at)
    signers, at = read_many(data, at + 2, count, read_signer)
    value = BundleCertificate(
        kind=kind, chain_id=chain_id, epoch=epoch, round=round_,
        target=target, roster=roster, bitmap=bitmap, signers=signers,
    )  # fmt: skip
    retain(value, data[start:at])
    return value, at


def pack_bundle_certificate(value: BundleCertificate) -> bytes:
    parts = [
        _CERTIFICATE.pack(
            value.kind,
            value.chain_id,
            value.epoch,
            value.round,
            value.target,
            value.roster,
            len(value.bitmap),
        ),
        value.bitmap,
        U16.pack(len(value.signers)),
    ]
    for signer in value.signers:
        parts.append(_SIGNER.pack(signer.signature, signer.tick, signer.leaf, len(signer.branch)))
        parts.extend(signer.branch)
    return b"".join(parts)


def read_header(data: bytes, at: int) -> tuple[BlockHeader, int]:
    value = BlockHeader(*_HEADER.unpack_from(data, at))
    end = at + _HEADER.size
    retain(value, data[at:end])
    return value, end


def pack_header(value: BlockHeader) -> bytes:
    return _HEADER.pack(
        value.version, value.chain_id, value.height, value.time, value.previous, value.tx_root,
        value.utxo_root, value.filter_root, value.roster, value.next_roster, value.attendance_root,
        value.evidence_root, value.reward, value.proposer, value.round,
    )  # fmt: skip


def read_evidence(data: bytes, at: int) -> tuple[Evidence, int]:
    (length,) = U32.unpack_from(data, at)
    first, at = read_bytes(data, at + 4, bounded(length, MAX_STATEMENT))
    (length,) = U32.unpack_from(data, at)
    second, at = read_bytes(data, at + 4, bounded(length, MAX_STATEMENT))
    return Evidence(first, second), at


def pack_evidence(value: Evidence) -> bytes:
    return b"".join((U32.pack(len(value.first)), value.first, U32.pack(len(value.second)), value.second))


def read_maybe_certificate(data: bytes, at: int) -> tuple[BlockCertificate | None, int]:
    (present,) = U8.unpack_from(data, at)
    if present > 1:
        raise DecodeError("decode-choice", str(present))
    return read_block_certificate(data, at + 1) if present else (None, at + 1)


def pack_maybe_certificate(value: BlockCertificate | None) -> bytes:
    return b"\0" if value is None else b"\1" + pack_block_certificate(value)


def read_reference(data: bytes, at: int) -> tuple[ReportReference, int]:
    member, report = _REPORT.unpack_from(data, at)
    return ReportReference(member, report), at + 34


def read_block(data: bytes, at: int) -> tuple[Block, int]:
    header, at = read_header(data, at)
    (count,) = U32.unpack_from(data, at)
    transactions, at = read_many(data, at + 4, bounded(count, 65_535), read_transaction)
    (length,) = U16.unpack_from(data, at)
    attendance, at = read_bytes(data, at + 2, bounded(length, MAX_BITMAP))
    (count,) = U16.unpack_from(data, at)
    evidence, at = read_many(data, at + 2, bounded(count, MAX_EVIDENCE), read_evidence)
    certificate, at = read_maybe_certificate(data, at)
    (count,) = U16.unpack_from(data, at)
    reports, at = read_many(data, at + 2, count, read_reference)
    return Block(header, transactions, attendance, evidence, certificate, reports), at


def pack_block(value: Block) -> bytes:
    parts = [pack_header(value.header), U32.pack(len(value.transactions))]
    for transaction in value.transactions:
        parts.append(pack_transaction(transaction))
    parts += [U16.pack(len(value.attendance)), value.attendance, U16.pack(len(value.evidence))]
    parts += [pack_evidence(each) for each in value.evidence]
    parts += [pack_maybe_certificate(value.parent_certificate), U16.pack(len(value.reports))]
    parts += [_REPORT.pack(each.member, each.report) for each in value.reports]
    return b"".join(parts)


def read_member(data: bytes, at: int) -> tuple[Member, int]:
    operator, owner, kind, length = _MEMBER.unpack_from(data, at)
    reward, at = read_bytes(data, at + 67, bounded(length, MAX_LOCK))
    tier, weight, length = _TIER.unpack_from(data, at)
    if tier > 3:
        raise DecodeError("decode-choice", str(tier))
    address, at = read_bytes(data, at + 10, length)
    return Member(operator, owner, Lock(kind, reward), tier, weight, address), at


def read_roster(data: bytes, at: int) -> tuple[Roster, int]:
    start = at
    (count,) = U16.unpack_from(data, at)
    members, at = read_many(data, at + 2, count, read_member)
    rising(tuple([member.operator_key for member in members]))
    value = Roster(members)
    retain(value, data[start:at])
    return value, at


def pack_roster(value: Roster) -> bytes:
    parts = [U16.pack(len(value.members))]
    for member in value.members:
        lock = member.reward
        parts.append(_MEMBER.pack(member.operator_key, member.owner_key, lock.kind, len(lock.data)))
        parts.append(lock.data)
        parts.append(_TIER.pack(member.tier, member.weight, len(member.network_address)))
        parts.append(member.network_address)
    return b"".join(parts)
