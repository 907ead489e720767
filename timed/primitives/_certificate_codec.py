"""Generated from timed.primitives.layouts by `python -m timed.codec`; not to be edited."""

from __future__ import annotations

import struct

from timed.codec.runtime import (
    count_out_of_bounds,
    ends_elsewhere,
    few,
    length_out_of_bounds,
    many,
    not_a_choice,
    truncated,
    unfit,
)
from timed.codec.value import (
    bind,
    retain,
)
from timed.primitives.certificate import (
    BlockCertificate,
    BlockVoteStatement,
    BundleCertificate,
    BundleSigner,
    BundleStatement,
)

_unpack_from_0 = struct.Struct("<BLQL32s32sH").unpack_from
_unpack_from_1 = struct.Struct("<H").unpack_from
_pack_0 = struct.Struct("<BLQL32s32sH").pack
_pack_1 = struct.Struct("<H").pack
_unpack_from_2 = struct.Struct("<64sQHB").unpack_from
_pack_2 = struct.Struct("<64sQHB").pack
_unpack_3 = struct.Struct("<LQLB32s32s").unpack
_pack_3 = struct.Struct("<LQLB32s32s").pack
_unpack_4 = struct.Struct("<BLQ32sQ32s").unpack
_pack_4 = struct.Struct("<BLQ32sQ32s").pack
_few_32 = few(32)
_few_64 = few(64)
_many_64 = many(64)
_WIDTH_32 = frozenset((32,))
_WIDTH_64 = frozenset((64,))


def read_block_certificate(data: bytes, at: int, size: int) -> tuple[BlockCertificate, int]:
    """Decode at `at`: the value and the offset after it."""
    start = at
    kind, chain_id, height, round_, target, roster, bitmap_length = _unpack_from_0(data, at)
    if kind != 1:
        raise not_a_choice("BlockCertificate.kind", kind)
    if bitmap_length > 8192:
        raise length_out_of_bounds("BlockCertificate.bitmap", bitmap_length)
    begin = at + 83
    at = begin + bitmap_length
    bitmap = data[begin:at]
    (signatures_count,) = _unpack_from_1(data, at)
    if signatures_count <= 32:
        signatures = _few_64[signatures_count](data, at + 2)
    else:
        signatures = _many_64(data, at + 2, signatures_count)
    at = at + 2 + 64 * signatures_count
    value = BlockCertificate(
        kind=kind,
        chain_id=chain_id,
        height=height,
        round=round_,
        target=target,
        roster=roster,
        bitmap=bitmap,
        signatures=signatures,
    )
    retain(value, data[start:at])
    return value, at


def decode_block_certificate(data: bytes) -> BlockCertificate:
    """Decode all of `data`."""
    size = len(data)
    try:
        kind, chain_id, height, round_, target, roster, bitmap_length = _unpack_from_0(data, 0)
        if kind != 1:
            raise not_a_choice("BlockCertificate.kind", kind)
        if bitmap_length > 8192:
            raise length_out_of_bounds("BlockCertificate.bitmap", bitmap_length)
        at = 83 + bitmap_length
        bitmap = data[83:at]
        (signatures_count,) = _unpack_from_1(data, at)
        if signatures_count <= 32:
            signatures = _few_64[signatures_count](data, at + 2)
        else:
            signatures = _many_64(data, at + 2, signatures_count)
        at = at + 2 + 64 * signatures_count
    except struct.error:
        raise truncated("BlockCertificate") from None
    if at != size:
        raise ends_elsewhere("BlockCertificate", at, size)
    value = BlockCertificate(
        kind=kind,
        chain_id=chain_id,
        height=height,
        round=round_,
        target=target,
        roster=roster,
        bitmap=bitmap,
        signatures=signatures,
    )
    retain(value, data)
    return value


def pack_block_certificate(value: BlockCertificate) -> bytes:
    """The encoding of the fields."""
    try:
        kind = value.kind
        if kind not in (1,):
            raise unfit("BlockCertificate.kind", kind)
        target = value.target
        if len(target) != 32:
            raise unfit("BlockCertificate.target", target)
        roster = value.roster
        if len(roster) != 32:
            raise unfit("BlockCertificate.roster", roster)
        bitmap = value.bitmap
        if len(bitmap) > 8192:
            raise unfit("BlockCertificate.bitmap", bitmap)
        signatures = value.signatures
        if not _WIDTH_64.issuperset(map(len, signatures)):
            raise unfit("BlockCertificate.signatures", signatures)
        return b"".join(
            (
                _pack_0(kind, value.chain_id, value.height, value.round, target, roster, len(bitmap)),
                bitmap,
                _pack_1(len(signatures)),
                *signatures,
            )
        )
    except struct.error as error:
        raise unfit("BlockCertificate", str(error)) from None


def decode_bundle_signer(data: bytes) -> BundleSigner:
    """Decode all of `data`."""
    size = len(data)
    try:
        signature, tick, leaf, branch_count = _unpack_from_2(data, 0)
        if branch_count > 16:
            raise count_out_of_bounds("BundleSigner.branch", branch_count)
        branch = _few_32[branch_count](data, 75)
        at = 75 + 32 * branch_count
    except struct.error:
        raise truncated("BundleSigner") from None
    if at != size:
        raise ends_elsewhere("BundleSigner", at, size)
    return BundleSigner(signature, tick, leaf, branch)


def pack_bundle_signer(value: BundleSigner) -> bytes:
    """The encoding of the fields."""
    try:
        signature = value.signature
        if len(signature) != 64:
            raise unfit("BundleSigner.signature", signature)
        branch = value.branch
        if len(branch) > 16:
            raise unfit("BundleSigner.branch", len(branch))
        if not _WIDTH_32.issuperset(map(len, branch)):
            raise unfit("BundleSigner.branch", branch)
        return b"".join((_pack_2(signature, value.tick, value.leaf, len(branch)), *branch))
    except struct.error as error:
        raise unfit("BundleSigner", str(error)) from None


def read_bundle_certificate(data: bytes, at: int, size: int) -> tuple[BundleCertificate, int]:
    """Decode at `at`: the value and the offset after it."""
    start = at
    kind, chain_id, epoch, round_, target, roster, bitmap_length = _unpack_from_0(data, at)
    if not 2 <= kind <= 3:
        raise not_a_choice("BundleCertificate.kind", kind)
    if round_ != 0:
        raise not_a_choice("BundleCertificate.round", round_)
    if bitmap_length > 8192:
        raise length_out_of_bounds("BundleCertificate.bitmap", bitmap_length)
    begin = at + 83
    at = begin + bitmap_length
    bitmap = data[begin:at]
    (signers_count,) = _unpack_from_1(data, at)
    at += 2
    if 75 * signers_count > size - at:
        raise truncated("BundleCertificate.signers")
    signers_items = []
    for _ in range(signers_count):
        (
            signers_items_item_signature,
            signers_items_item_tick,
            signers_items_item_leaf,
            signers_items_item_branch_count,
        ) = _unpack_from_2(data, at)
        if signers_items_item_branch_count > 16:
            raise count_out_of_bounds("BundleCertificate.signers.branch", signers_items_item_branch_count)
        signers_items_item_branch = _few_32[signers_items_item_branch_count](data, at + 75)
        at = at + 75 + 32 * signers_items_item_branch_count
        signers_items.append(
            BundleSigner(
                signers_items_item_signature,
                signers_items_item_tick,
                signers_items_item_leaf,
                signers_items_item_branch,
            ),
        )
    signers = tuple(signers_items)
    value = BundleCertificate(
        kind=kind,
        chain_id=chain_id,
        epoch=epoch,
        round=round_,
        target=target,
        roster=roster,
        bitmap=bitmap,
        signers=signers,
    )
    retain(value, data[start:at])
    return value, at


def decode_bundle_certificate(data: bytes) -> BundleCertificate:
    """Decode all of `data`."""
    size = len(data)
    try:
        kind, chain_id, epoch, round_, target, roster, bitmap_length = _unpack_from_0(data, 0)
        if not 2 <= kind <= 3:
            raise not_a_choice("BundleCertificate.kind", kind)
        if round_ != 0:
            raise not_a_choice("BundleCertificate.round", round_)
        if bitmap_length > 8192:
            raise length_out_of_bounds("BundleCertificate.bitmap", bitmap_length)
        at = 83 + bitmap_length
        bitmap = data[83:at]
        (signers_count,) = _unpack_from_1(data, at)
        at += 2
        if 75 * signers_count > size - at:
            raise truncated("BundleCertificate.signers")
        signers_items = []
        for _ in range(signers_count):
            (
                signers_items_item_signature,
                signers_items_item_tick,
                signers_items_item_leaf,
                signers_items_item_branch_count,
            ) = _unpack_from_2(data, at)
            if signers_items_item_branch_count > 16:
                raise count_out_of_bounds("BundleCertificate.signers.branch", signers_items_item_branch_count)
            signers_items_item_branch = _few_32[signers_items_item_branch_count](data, at + 75)
            at = at + 75 + 32 * signers_items_item_branch_count
            signers_items.append(
                BundleSigner(
                    signers_items_item_signature,
                    signers_items_item_tick,
                    signers_items_item_leaf,
                    signers_items_item_branch,
                ),
            )
        signers = tuple(signers_items)
    except struct.error:
        raise truncated("BundleCertificate") from None
    if at != size:
        raise ends_elsewhere("BundleCertificate", at, size)
    value = BundleCertificate(
        kind=kind,
        chain_id=chain_id,
        epoch=epoch,
        round=round_,
        target=target,
        roster=roster,
        bitmap=bitmap,
        signers=signers,
    )
    retain(value, data)
    return value


def pack_bundle_certificate(value: BundleCertificate) -> bytes:
    """The encoding of the fields."""
    try:
        kind = value.kind
        if kind not in (2, 3):
            raise unfit("BundleCertificate.kind", kind)
        round_ = value.round
        if round_ not in (0,):
            raise unfit("BundleCertificate.round", round_)
        target = value.target
        if len(target) != 32:
            raise unfit("BundleCertificate.target", target)
        roster = value.roster
        if len(roster) != 32:
            raise unfit("BundleCertificate.roster", roster)
        bitmap = value.bitmap
        if len(bitmap) > 8192:
            raise unfit("BundleCertificate.bitmap", bitmap)
        signers = value.signers
        signers_pieces: list[bytes] = []
        for signers_item in signers:
            signers_item_signature = signers_item.signature
            if len(signers_item_signature) != 64:
                raise unfit("BundleCertificate.signers.signature", signers_item_signature)
            signers_item_branch = signers_item.branch
            if len(signers_item_branch) > 16:
                raise unfit("BundleCertificate.signers.branch", len(signers_item_branch))
            if not _WIDTH_32.issuperset(map(len, signers_item_branch)):
                raise unfit("BundleCertificate.signers.branch", signers_item_branch)
            signers_pieces += (
                _pack_2(
                    signers_item_signature, signers_item.tick, signers_item.leaf, len(signers_item_branch)
                ),
                *signers_item_branch,
            )
        return b"".join(
            (
                _pack_0(kind, value.chain_id, value.epoch, round_, target, roster, len(bitmap)),
                bitmap,
                _pack_1(len(signers)),
                *signers_pieces,
            )
        )
    except struct.error as error:
        raise unfit("BundleCertificate", str(error)) from None


def decode_block_vote_statement(data: bytes) -> BlockVoteStatement:
    """Decode all of `data`."""
    try:
        fields = _unpack_3(data)
    except struct.error:
        raise ends_elsewhere("BlockVoteStatement", 81, len(data)) from None
    return BlockVoteStatement(*fields)


def pack_block_vote_statement(value: BlockVoteStatement) -> bytes:
    """The encoding of the fields."""
    try:
        roster = value.roster
        if len(roster) != 32:
            raise unfit("BlockVoteStatement.roster", roster)
        block = value.block
        if len(block) != 32:
            raise unfit("BlockVoteStatement.block", block)
        return _pack_3(value.chain_id, value.height, value.round, value.step, roster, block)
    except struct.error as error:
        raise unfit("BlockVoteStatement", str(error)) from None


def decode_bundle_statement(data: bytes) -> BundleStatement:
    """Decode all of `data`."""
    try:
        fields = _unpack_4(data)
    except struct.error:
        raise ends_elsewhere("BundleStatement", 85, len(data)) from None
    return BundleStatement(*fields)


def pack_bundle_statement(value: BundleStatement) -> bytes:
    """The encoding of the fields."""
    try:
        roster = value.roster
        if len(roster) != 32:
            raise unfit("BundleStatement.roster", roster)
        root = value.root
        if len(root) != 32:
            raise unfit("BundleStatement.root", root)
        return _pack_4(value.kind, value.chain_id, value.epoch, roster, value.tick, root)
    except struct.error as error:
        raise unfit("BundleStatement", str(error)) from None


bind(BlockCertificate, decode_block_certificate, pack_block_certificate)
bind(BundleSigner, decode_bundle_signer, pack_bundle_signer)
bind(BundleCertificate, decode_bundle_certificate, pack_bundle_certificate)
bind(BlockVoteStatement, decode_block_vote_statement, pack_block_vote_statement)
bind(BundleStatement, decode_bundle_statement, pack_bundle_statement)
