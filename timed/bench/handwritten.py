"""What one would write by hand with `struct` for values and certificates: the measure of the generator.

Straightforward and correct, as strict as the generated code about ends, lengths and
choices in both directions, without its tricks. Only the benchmark uses it; tests hold it
to the same bytes and the same refusals. Readers take (data, offset) and give (value,
offset after it).
"""

from __future__ import annotations

from collections.abc import Callable, Sized
from itertools import pairwise
from struct import Struct
from typing import Any, TypeVar

from timed.codec.value import EncodeError, retain
from timed.errors import DecodeError
from timed.primitives.block import Block, BlockHeader, Evidence, ReportReference
from timed.primitives.certificate import BlockCertificate, BundleCertificate, BundleSigner
from timed.primitives.roster import Member, Roster
from timed.primitives.transaction import Lock, OutPoint, Output, Transaction, Witness
from timed.wire.block_messages import CompactBlock

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

Whole = TypeVar("Whole", bound=Sized)

MAX_LOCK, MAX_PAYLOAD, MAX_STATEMENT, MAX_BITMAP = 322, 1_024, 65_536, 8_192
MAX_INPUTS, MAX_EVIDENCE, MAX_BRANCH, MAX_BLOCK = 4_096, 1_024, 16, 65_535


def bounded(number: int, maximum: int) -> int:
    """A count or length that is not above its bound; DecodeError otherwise."""
    if number > maximum:
        raise DecodeError("decode-length", str(number))
    return number


def exact(data: bytes, length: int) -> bytes:
    """The data, when it has this length; EncodeError otherwise, for struct would cut or pad it."""
    if len(data) != length:
        raise EncodeError(f"{len(data)} bytes instead of {length}")
    return data


def at_most(value: Whole, maximum: int) -> Whole:
    """The bytes or the items, when there are not more than that; EncodeError otherwise."""
    if len(value) > maximum:
        raise EncodeError(f"{len(value)} above {maximum}")
    return value


def chosen(number: int, allowed: tuple[int, ...]) -> int:
    """The number, when it is one of these; EncodeError otherwise."""
    if number not in allowed:
        raise EncodeError(f"{number} is not one of {allowed}")
    return number


def hashes(items: tuple[bytes, ...], maximum: int) -> tuple[bytes, ...]:
    """The items, when they are 32 bytes each and not more than that; EncodeError otherwise."""
    for item in at_most(items, maximum):
        exact(item, 32)
    return items


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


def ordered(items: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """The items of one of our own values; EncodeError when they do not rise strictly."""
    for one, other in pairwise(items):
        if one >= other:
            raise EncodeError("order")
    return items


def read_outpoint(data: bytes, at: int) -> tuple[OutPoint, int]:
    txid, index = _OUTPOINT.unpack_from(data, at)
    return OutPoint(txid, index), at + 34


def pack_outpoint(value: OutPoint) -> bytes:
    return _OUTPOINT.pack(exact(value.txid, 32), value.index)


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
    for outpoint in at_most(value.inputs, MAX_INPUTS):
        parts.append(_OUTPOINT.pack(exact(outpoint.txid, 32), outpoint.index))
    parts.append(U16.pack(len(value.outputs)))
    for output in value.outputs:
        lock = output.lock
        parts.append(_OUTPUT.pack(output.value, lock.kind, len(lock.data)))
        parts.append(at_most(lock.data, MAX_LOCK))
    parts.append(_LOCK_HEIGHT.pack(value.lock_height, len(value.payload)))
    parts.append(at_most(value.payload, MAX_PAYLOAD))
    parts.append(U16.pack(len(value.witnesses)))
    for witness in at_most(value.witnesses, MAX_INPUTS):
        parts.append(_WITNESS.pack(exact(witness.public_key, 32), exact(witness.signature, 64)))
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
    bitmap = at_most(value.bitmap, MAX_BITMAP)
    head = _CERTIFICATE.pack(
        chosen(value.kind, (1,)), value.chain_id, value.height, value.round,
        exact(value.target, 32), exact(value.roster, 32), len(bitmap),
    )  # fmt: skip
    for signature in value.signatures:
        exact(signature, 64)
    return b"".join((head, bitmap, U16.pack(len(value.signatures)), *value.signatures))


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
    bitmap = at_most(value.bitmap, MAX_BITMAP)
    head = _CERTIFICATE.pack(
        chosen(value.kind, (2, 3)), value.chain_id, value.epoch, chosen(value.round, (0,)),
        exact(value.target, 32), exact(value.roster, 32), len(bitmap),
    )  # fmt: skip
    parts = [head, bitmap, U16.pack(len(value.signers))]
    for signer in value.signers:
        branch = hashes(signer.branch, MAX_BRANCH)
        parts.append(_SIGNER.pack(exact(signer.signature, 64), signer.tick, signer.leaf, len(branch)))
        parts.extend(branch)
    return b"".join(parts)


def read_header(data: bytes, at: int) -> tuple[BlockHeader, int]:
    value = BlockHeader(*_HEADER.unpack_from(data, at))
    end = at + _HEADER.size
    retain(value, data[at:end])
    return value, end


def pack_header(value: BlockHeader) -> bytes:
    return _HEADER.pack(
        value.version, value.chain_id, value.height, value.time,
        exact(value.previous, 32), exact(value.tx_root, 32), exact(value.utxo_root, 32),
        exact(value.filter_root, 32), exact(value.roster, 32), exact(value.next_roster, 32),
        exact(value.attendance_root, 32), exact(value.evidence_root, 32),
        value.reward, exact(value.proposer, 32), value.round,
    )  # fmt: skip


def read_evidence(data: bytes, at: int) -> tuple[Evidence, int]:
    (length,) = U32.unpack_from(data, at)
    first, at = read_bytes(data, at + 4, bounded(length, MAX_STATEMENT))
    (length,) = U32.unpack_from(data, at)
    second, at = read_bytes(data, at + 4, bounded(length, MAX_STATEMENT))
    return Evidence(first, second), at


def pack_evidence(value: Evidence) -> bytes:
    first, second = at_most(value.first, MAX_STATEMENT), at_most(value.second, MAX_STATEMENT)
    return b"".join((U32.pack(len(first)), first, U32.pack(len(second)), second))


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
    transactions, at = read_many(data, at + 4, bounded(count, MAX_BLOCK), read_transaction)
    rest, at = _read_rest(data, at)
    return Block(header, transactions, *rest), at


def _read_rest(data: bytes, at: int) -> tuple[tuple[Any, ...], int]:
    """What a block holds beside its header and transactions."""
    (length,) = U16.unpack_from(data, at)
    attendance, at = read_bytes(data, at + 2, bounded(length, MAX_BITMAP))
    (count,) = U16.unpack_from(data, at)
    evidence, at = read_many(data, at + 2, bounded(count, MAX_EVIDENCE), read_evidence)
    certificate, at = read_maybe_certificate(data, at)
    (count,) = U16.unpack_from(data, at)
    reports, at = read_many(data, at + 2, count, read_reference)
    return (attendance, evidence, certificate, reports), at


def read_compact_block(data: bytes, at: int) -> tuple[CompactBlock, int]:
    header, at = read_header(data, at)
    coinbase, at = read_transaction(data, at)
    (count,) = U32.unpack_from(data, at)
    txids, at = read_hashes(data, at + 4, bounded(count, MAX_BLOCK))
    rest, at = _read_rest(data, at)
    return CompactBlock(header, coinbase, txids, *rest), at


def pack_block(value: Block) -> bytes:
    parts = [pack_header(value.header), U32.pack(len(value.transactions))]
    for transaction in at_most(value.transactions, MAX_BLOCK):
        parts.append(pack_transaction(transaction))
    return b"".join(parts + _pack_rest(value))


def pack_compact_block(value: CompactBlock) -> bytes:
    parts = [pack_header(value.header), pack_transaction(value.coinbase), U32.pack(len(value.txids))]
    return b"".join([*parts, *hashes(value.txids, MAX_BLOCK), *_pack_rest(value)])


def _pack_rest(value: Block | CompactBlock) -> list[bytes]:
    attendance, evidence = at_most(value.attendance, MAX_BITMAP), at_most(value.evidence, MAX_EVIDENCE)
    parts = [U16.pack(len(attendance)), attendance, U16.pack(len(evidence))]
    parts += [pack_evidence(each) for each in evidence]
    parts += [pack_maybe_certificate(value.parent_certificate), U16.pack(len(value.reports))]
    parts += [_REPORT.pack(each.member, exact(each.report, 32)) for each in value.reports]
    return parts


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
    ordered(tuple([member.operator_key for member in value.members]))
    for member in value.members:
        lock = member.reward
        operator, owner = exact(member.operator_key, 32), exact(member.owner_key, 32)
        parts.append(_MEMBER.pack(operator, owner, lock.kind, len(lock.data)))
        parts.append(at_most(lock.data, MAX_LOCK))
        tier = chosen(member.tier, (0, 1, 2, 3))
        parts.append(_TIER.pack(tier, member.weight, len(member.network_address)))
        parts.append(member.network_address)
    return b"".join(parts)
