"""Generated from timed.light.layouts by `python -m timed.codec`; not to be edited."""

from __future__ import annotations

import struct

from timed.codec.runtime import (
    count_out_of_bounds,
    ends_elsewhere,
    few,
    not_a_choice,
    truncated,
    unfit,
)
from timed.codec.value import (
    bind,
)
from timed.light.proof import (
    ProvenTransaction,
    TransactionProof,
)
from timed.primitives._block_codec import (
    read_block_header,
)
from timed.primitives._certificate_codec import (
    read_block_certificate,
)
from timed.primitives.certificate import (
    BlockCertificate,
)

_unpack_from_0 = struct.Struct("<L32sB").unpack_from
_pack_0 = struct.Struct("<L32sB").pack
_unpack_from_1 = struct.Struct("<B").unpack_from
_unpack_from_2 = struct.Struct("<LL").unpack_from
_pack_2 = struct.Struct("<LL").pack
_few_32 = few(32)
_WIDTH_32 = frozenset((32,))


def decode_proven_transaction(data: bytes) -> ProvenTransaction:
    """Decode all of `data`."""
    size = len(data)
    try:
        index, txid, branch_count = _unpack_from_0(data, 0)
        if branch_count > 17:
            raise count_out_of_bounds("ProvenTransaction.branch", branch_count)
        branch = _few_32[branch_count](data, 37)
        at = 37 + 32 * branch_count
    except struct.error:
        raise truncated("ProvenTransaction") from None
    if at != size:
        raise ends_elsewhere("ProvenTransaction", at, size)
    return ProvenTransaction(index, txid, branch)


def pack_proven_transaction(value: ProvenTransaction) -> bytes:
    """The encoding of the fields."""
    try:
        txid = value.txid
        if len(txid) != 32:
            raise unfit("ProvenTransaction.txid", txid)
        branch = value.branch
        if len(branch) > 17:
            raise unfit("ProvenTransaction.branch", len(branch))
        if not _WIDTH_32.issuperset(map(len, branch)):
            raise unfit("ProvenTransaction.branch", branch)
        return b"".join((_pack_0(value.index, txid, len(branch)), *branch))
    except struct.error as error:
        raise unfit("ProvenTransaction", str(error)) from None


def decode_transaction_proof(data: bytes) -> TransactionProof:
    """Decode all of `data`."""
    size = len(data)
    try:
        at = 0
        header, at = read_block_header(data, at, size)
        (certificate_present,) = _unpack_from_1(data, at)
        if certificate_present > 1:
            raise not_a_choice("TransactionProof.certificate", certificate_present)
        at += 1
        certificate: BlockCertificate | None = None
        if certificate_present:
            certificate_item, at = read_block_certificate(data, at, size)
            certificate = certificate_item
        count, transactions_count = _unpack_from_2(data, at)
        if not 1 <= transactions_count <= 1000:
            raise count_out_of_bounds("TransactionProof.transactions", transactions_count)
        at += 8
        if 37 * transactions_count > size - at:
            raise truncated("TransactionProof.transactions")
        transactions_items = []
        for _ in range(transactions_count):
            (
                transactions_items_item_index,
                transactions_items_item_txid,
                transactions_items_item_branch_count,
            ) = _unpack_from_0(data, at)
            if transactions_items_item_branch_count > 17:
                raise count_out_of_bounds(
                    "TransactionProof.transactions.branch", transactions_items_item_branch_count
                )
            transactions_items_item_branch = _few_32[transactions_items_item_branch_count](data, at + 37)
            at = at + 37 + 32 * transactions_items_item_branch_count
            transactions_items.append(
                ProvenTransaction(
                    transactions_items_item_index,
                    transactions_items_item_txid,
                    transactions_items_item_branch,
                ),
            )
        transactions = tuple(transactions_items)
    except struct.error:
        raise truncated("TransactionProof") from None
    if at != size:
        raise ends_elsewhere("TransactionProof", at, size)
    return TransactionProof(header, certificate, count, transactions)


def pack_transaction_proof(value: TransactionProof) -> bytes:
    """The encoding of the fields."""
    try:
        certificate = value.certificate
        certificate_pieces: tuple[bytes, ...] = (b"\x00",)
        if certificate is not None:
            certificate_pieces = (b"\x01", certificate.encode())
        transactions = value.transactions
        if not 1 <= len(transactions) <= 1000:
            raise unfit("TransactionProof.transactions", len(transactions))
        transactions_pieces: list[bytes] = []
        for transactions_item in transactions:
            transactions_item_txid = transactions_item.txid
            if len(transactions_item_txid) != 32:
                raise unfit("TransactionProof.transactions.txid", transactions_item_txid)
            transactions_item_branch = transactions_item.branch
            if len(transactions_item_branch) > 17:
                raise unfit("TransactionProof.transactions.branch", len(transactions_item_branch))
            if not _WIDTH_32.issuperset(map(len, transactions_item_branch)):
                raise unfit("TransactionProof.transactions.branch", transactions_item_branch)
            transactions_pieces += (
                _pack_0(transactions_item.index, transactions_item_txid, len(transactions_item_branch)),
                *transactions_item_branch,
            )
        return b"".join(
            (
                value.header.encode(),
                *certificate_pieces,
                _pack_2(value.count, len(transactions)),
                *transactions_pieces,
            )
        )
    except struct.error as error:
        raise unfit("TransactionProof", str(error)) from None


bind(ProvenTransaction, decode_proven_transaction, pack_proven_transaction)
bind(TransactionProof, decode_transaction_proof, pack_transaction_proof)
