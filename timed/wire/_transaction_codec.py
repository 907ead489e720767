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
    from_text,
    is_ascending,
    length_out_of_bounds,
    many,
    not_a_choice,
    not_ascending,
    to_text,
    trailing,
    truncated,
    unfit,
)
from timed.codec.value import (
    bind,
    retain,
)
from timed.primitives._certificate_codec import (
    read_bundle_certificate,
)
from timed.primitives._transaction_codec import (
    read_transaction,
)
from timed.primitives.transaction import (
    OutPoint,
)
from timed.wire.transaction_messages import (
    CertificatesResponse,
    CertifiedTransaction,
    EpochReport,
    GetCertificates,
    GetPendingTransactions,
    GetTransactions,
    PendingTransactionsResponse,
    TransactionAnnouncement,
    TransactionBroadcast,
    TransactionCertified,
    TransactionFinalized,
    TransactionRejected,
    TransactionsResponse,
    TransactionVote,
    UTXOState,
    UTXOStateQuery,
    UTXOStateResponse,
)

_unpack_from_0 = struct.Struct("<BLQ32sQHH").unpack_from
_unpack_from_1 = struct.Struct("<64s").unpack_from
_pack_0 = struct.Struct("<BLQ32sQHH").pack
_pack_1 = struct.Struct("<64s").pack
_unpack_from_2 = struct.Struct("<32sB").unpack_from
_unpack_from_3 = struct.Struct("<H").unpack_from
_pack_2 = struct.Struct("<32sB").pack
_pack_3 = struct.Struct("<H").pack
_unpack_from_4 = struct.Struct("<QL").unpack_from
_pack_4 = struct.Struct("<QL").pack
_unpack_from_5 = struct.Struct("<QH").unpack_from
_pack_5 = struct.Struct("<QH").pack
_unpack_from_6 = struct.Struct("<LQ32sHL").unpack_from
_pack_6 = struct.Struct("<LQ32sHL").pack
_iter_unpack_7 = struct.Struct("<32sH").iter_unpack
_pack_7 = struct.Struct("<32sH").pack
_unpack_8 = struct.Struct("<32sHB32s").unpack
_pack_8 = struct.Struct("<32sHB32s").pack
_iter_unpack_8 = struct.Struct("<32sHB32s").iter_unpack
_few_32 = few(32)
_many_32 = many(32)
_WIDTH_32 = frozenset((32,))


def decode_transaction_broadcast(data: bytes) -> TransactionBroadcast:
    """Decode all of `data`."""
    size = len(data)
    try:
        at = 0
        transaction, at = read_transaction(data, at, size)
    except struct.error:
        raise truncated("TransactionBroadcast") from None
    if at != size:
        raise ends_elsewhere("TransactionBroadcast", at, size)
    return TransactionBroadcast(transaction)


def pack_transaction_broadcast(value: TransactionBroadcast) -> bytes:
    """The encoding of the fields."""
    try:
        return value.transaction.encode()
    except struct.error as error:
        raise unfit("TransactionBroadcast", str(error)) from None


def decode_transaction_vote(data: bytes) -> TransactionVote:
    """Decode all of `data`."""
    size = len(data)
    try:
        kind, chain_id, epoch, roster, tick, member, entries_count = _unpack_from_0(data, 0)
        if not 2 <= kind <= 3:
            raise not_a_choice("TransactionVote.kind", kind)
        if not 1 <= entries_count <= 1024:
            raise count_out_of_bounds("TransactionVote.entries", entries_count)
        if entries_count <= 32:
            entries = _few_32[entries_count](data, 57)
        else:
            entries = _many_32(data, 57, entries_count)
        at = 57 + 32 * entries_count
        (signature,) = _unpack_from_1(data, at)
    except struct.error:
        raise truncated("TransactionVote") from None
    if at + 64 != size:
        raise ends_elsewhere("TransactionVote", at + 64, size)
    return TransactionVote(kind, chain_id, epoch, roster, tick, member, entries, signature)


def pack_transaction_vote(value: TransactionVote) -> bytes:
    """The encoding of the fields."""
    try:
        kind = value.kind
        if kind not in (2, 3):
            raise unfit("TransactionVote.kind", kind)
        roster = value.roster
        if len(roster) != 32:
            raise unfit("TransactionVote.roster", roster)
        entries = value.entries
        if not 1 <= len(entries) <= 1024:
            raise unfit("TransactionVote.entries", len(entries))
        if not _WIDTH_32.issuperset(map(len, entries)):
            raise unfit("TransactionVote.entries", entries)
        signature = value.signature
        if len(signature) != 64:
            raise unfit("TransactionVote.signature", signature)
        return b"".join(
            (
                _pack_0(kind, value.chain_id, value.epoch, roster, value.tick, value.member, len(entries)),
                *entries,
                _pack_1(signature),
            )
        )
    except struct.error as error:
        raise unfit("TransactionVote", str(error)) from None


def decode_transaction_certified(data: bytes) -> TransactionCertified:
    """Decode all of `data`."""
    size = len(data)
    try:
        at = 0
        certificate, at = read_bundle_certificate(data, at, size)
    except struct.error:
        raise truncated("TransactionCertified") from None
    if at != size:
        raise ends_elsewhere("TransactionCertified", at, size)
    return TransactionCertified(certificate)


def pack_transaction_certified(value: TransactionCertified) -> bytes:
    """The encoding of the fields."""
    try:
        return value.certificate.encode()
    except struct.error as error:
        raise unfit("TransactionCertified", str(error)) from None


def decode_transaction_finalized(data: bytes) -> TransactionFinalized:
    """Decode all of `data`."""
    size = len(data)
    try:
        at = 0
        certificate, at = read_bundle_certificate(data, at, size)
    except struct.error:
        raise truncated("TransactionFinalized") from None
    if at != size:
        raise ends_elsewhere("TransactionFinalized", at, size)
    return TransactionFinalized(certificate)


def pack_transaction_finalized(value: TransactionFinalized) -> bytes:
    """The encoding of the fields."""
    try:
        return value.certificate.encode()
    except struct.error as error:
        raise unfit("TransactionFinalized", str(error)) from None


def decode_transaction_rejected(data: bytes) -> TransactionRejected:
    """Decode all of `data`."""
    size = len(data)
    try:
        txid, rule_length = _unpack_from_2(data, 0)
        if rule_length > 64:
            raise length_out_of_bounds("TransactionRejected.rule", rule_length)
        end = 33 + rule_length
        if end > size:
            raise truncated("TransactionRejected.rule")
        rule = to_text(data[33:end], "TransactionRejected.rule")
        at = end
        (detail_length,) = _unpack_from_3(data, at)
        if detail_length > 256:
            raise length_out_of_bounds("TransactionRejected.detail", detail_length)
        end = at + 2 + detail_length
        if end > size:
            raise truncated("TransactionRejected.detail")
        detail = to_text(data[at + 2 : end], "TransactionRejected.detail")
        at = end
    except struct.error:
        raise truncated("TransactionRejected") from None
    if at != size:
        raise ends_elsewhere("TransactionRejected", at, size)
    return TransactionRejected(txid, rule, detail)


def pack_transaction_rejected(value: TransactionRejected) -> bytes:
    """The encoding of the fields."""
    try:
        txid = value.txid
        if len(txid) != 32:
            raise unfit("TransactionRejected.txid", txid)
        rule = from_text(value.rule, "TransactionRejected.rule")
        if len(rule) > 64:
            raise unfit("TransactionRejected.rule", rule)
        detail = from_text(value.detail, "TransactionRejected.detail")
        if len(detail) > 256:
            raise unfit("TransactionRejected.detail", detail)
        return b"".join((_pack_2(txid, len(rule)), rule, _pack_3(len(detail)), detail))
    except struct.error as error:
        raise unfit("TransactionRejected", str(error)) from None


def decode_transaction_announcement(data: bytes) -> TransactionAnnouncement:
    """Decode all of `data`."""
    size = len(data)
    try:
        (txids_count,) = _unpack_from_3(data, 0)
        if txids_count > 256:
            raise count_out_of_bounds("TransactionAnnouncement.txids", txids_count)
        if txids_count <= 32:
            txids = _few_32[txids_count](data, 2)
        else:
            txids = _many_32(data, 2, txids_count)
        at = 2 + 32 * txids_count
    except struct.error:
        raise truncated("TransactionAnnouncement") from None
    if at != size:
        raise ends_elsewhere("TransactionAnnouncement", at, size)
    return TransactionAnnouncement(txids)


def pack_transaction_announcement(value: TransactionAnnouncement) -> bytes:
    """The encoding of the fields."""
    try:
        txids = value.txids
        if len(txids) > 256:
            raise unfit("TransactionAnnouncement.txids", len(txids))
        if not _WIDTH_32.issuperset(map(len, txids)):
            raise unfit("TransactionAnnouncement.txids", txids)
        return b"".join((_pack_3(len(txids)), *txids))
    except struct.error as error:
        raise unfit("TransactionAnnouncement", str(error)) from None


def decode_get_transactions(data: bytes) -> GetTransactions:
    """Decode all of `data`."""
    size = len(data)
    try:
        (txids_count,) = _unpack_from_3(data, 0)
        if txids_count > 256:
            raise count_out_of_bounds("GetTransactions.txids", txids_count)
        if txids_count <= 32:
            txids = _few_32[txids_count](data, 2)
        else:
            txids = _many_32(data, 2, txids_count)
        at = 2 + 32 * txids_count
    except struct.error:
        raise truncated("GetTransactions") from None
    if at != size:
        raise ends_elsewhere("GetTransactions", at, size)
    return GetTransactions(txids)


def pack_get_transactions(value: GetTransactions) -> bytes:
    """The encoding of the fields."""
    try:
        txids = value.txids
        if len(txids) > 256:
            raise unfit("GetTransactions.txids", len(txids))
        if not _WIDTH_32.issuperset(map(len, txids)):
            raise unfit("GetTransactions.txids", txids)
        return b"".join((_pack_3(len(txids)), *txids))
    except struct.error as error:
        raise unfit("GetTransactions", str(error)) from None


def decode_transactions_response(data: bytes) -> TransactionsResponse:
    """Decode all of `data`."""
    size = len(data)
    try:
        (transactions_count,) = _unpack_from_3(data, 0)
        if transactions_count > 256:
            raise count_out_of_bounds("TransactionsResponse.transactions", transactions_count)
        at = 2
        if 19 * transactions_count > size - at:
            raise truncated("TransactionsResponse.transactions")
        transactions_items = []
        for _ in range(transactions_count):
            transactions_items_item, at = read_transaction(data, at, size)
            transactions_items.append(transactions_items_item)
        transactions = tuple(transactions_items)
    except struct.error:
        raise truncated("TransactionsResponse") from None
    if at != size:
        raise ends_elsewhere("TransactionsResponse", at, size)
    return TransactionsResponse(transactions)


def decode_transactions_response_in_steps(data: bytes) -> Generator[int, None, TransactionsResponse]:
    """Decode all of `data`, with pauses."""
    pause = STRIDE
    size = len(data)
    try:
        (transactions_count,) = _unpack_from_3(data, 0)
        if transactions_count > 256:
            raise count_out_of_bounds("TransactionsResponse.transactions", transactions_count)
        at = 2
        if 19 * transactions_count > size - at:
            raise truncated("TransactionsResponse.transactions")
        transactions_items = []
        for _ in range(transactions_count):
            transactions_items_item, at = read_transaction(data, at, size)
            transactions_items.append(transactions_items_item)
            if at >= pause:
                yield at
                pause = at + STRIDE
        transactions = tuple(transactions_items)
    except struct.error:
        raise truncated("TransactionsResponse") from None
    if at != size:
        raise ends_elsewhere("TransactionsResponse", at, size)
    return TransactionsResponse(transactions)


def pack_transactions_response(value: TransactionsResponse) -> bytes:
    """The encoding of the fields."""
    try:
        transactions = value.transactions
        if len(transactions) > 256:
            raise unfit("TransactionsResponse.transactions", len(transactions))
        return b"".join((_pack_3(len(transactions)), *[item.encode() for item in transactions]))
    except struct.error as error:
        raise unfit("TransactionsResponse", str(error)) from None


def decode_get_pending_transactions(data: bytes) -> GetPendingTransactions:
    """Decode all of `data`."""
    if data:
        raise trailing("GetPendingTransactions", len(data))
    return GetPendingTransactions()


def pack_get_pending_transactions(value: GetPendingTransactions) -> bytes:
    """The encoding of the fields."""
    return b""


def decode_pending_transactions_response(data: bytes) -> PendingTransactionsResponse:
    """Decode all of `data`."""
    size = len(data)
    try:
        epoch, txids_count = _unpack_from_4(data, 0)
        if txids_count > 65535:
            raise count_out_of_bounds("PendingTransactionsResponse.txids", txids_count)
        if txids_count <= 32:
            txids = _few_32[txids_count](data, 12)
        else:
            txids = _many_32(data, 12, txids_count)
        at = 12 + 32 * txids_count
    except struct.error:
        raise truncated("PendingTransactionsResponse") from None
    if at != size:
        raise ends_elsewhere("PendingTransactionsResponse", at, size)
    return PendingTransactionsResponse(epoch, txids)


def pack_pending_transactions_response(value: PendingTransactionsResponse) -> bytes:
    """The encoding of the fields."""
    try:
        txids = value.txids
        if len(txids) > 65535:
            raise unfit("PendingTransactionsResponse.txids", len(txids))
        if not _WIDTH_32.issuperset(map(len, txids)):
            raise unfit("PendingTransactionsResponse.txids", txids)
        return b"".join((_pack_4(value.epoch, len(txids)), *txids))
    except struct.error as error:
        raise unfit("PendingTransactionsResponse", str(error)) from None


def decode_get_certificates(data: bytes) -> GetCertificates:
    """Decode all of `data`."""
    size = len(data)
    try:
        epoch, txids_count = _unpack_from_5(data, 0)
        if txids_count > 64:
            raise count_out_of_bounds("GetCertificates.txids", txids_count)
        if txids_count <= 32:
            txids = _few_32[txids_count](data, 10)
        else:
            txids = _many_32(data, 10, txids_count)
        at = 10 + 32 * txids_count
    except struct.error:
        raise truncated("GetCertificates") from None
    if at != size:
        raise ends_elsewhere("GetCertificates", at, size)
    return GetCertificates(epoch, txids)


def pack_get_certificates(value: GetCertificates) -> bytes:
    """The encoding of the fields."""
    try:
        txids = value.txids
        if len(txids) > 64:
            raise unfit("GetCertificates.txids", len(txids))
        if not _WIDTH_32.issuperset(map(len, txids)):
            raise unfit("GetCertificates.txids", txids)
        return b"".join((_pack_5(value.epoch, len(txids)), *txids))
    except struct.error as error:
        raise unfit("GetCertificates", str(error)) from None


def decode_certified_transaction(data: bytes) -> CertifiedTransaction:
    """Decode all of `data`."""
    size = len(data)
    try:
        at = 0
        transaction, at = read_transaction(data, at, size)
        certificate, at = read_bundle_certificate(data, at, size)
    except struct.error:
        raise truncated("CertifiedTransaction") from None
    if at != size:
        raise ends_elsewhere("CertifiedTransaction", at, size)
    return CertifiedTransaction(transaction, certificate)


def pack_certified_transaction(value: CertifiedTransaction) -> bytes:
    """The encoding of the fields."""
    try:
        return b"".join((value.transaction.encode(), value.certificate.encode()))
    except struct.error as error:
        raise unfit("CertifiedTransaction", str(error)) from None


def decode_certificates_response(data: bytes) -> CertificatesResponse:
    """Decode all of `data`."""
    size = len(data)
    try:
        (entries_count,) = _unpack_from_3(data, 0)
        if entries_count > 64:
            raise count_out_of_bounds("CertificatesResponse.entries", entries_count)
        at = 2
        if 104 * entries_count > size - at:
            raise truncated("CertificatesResponse.entries")
        entries_items = []
        for _ in range(entries_count):
            entries_items_item_transaction, at = read_transaction(data, at, size)
            entries_items_item_certificate, at = read_bundle_certificate(data, at, size)
            entries_items.append(
                CertifiedTransaction(entries_items_item_transaction, entries_items_item_certificate)
            )
        entries = tuple(entries_items)
    except struct.error:
        raise truncated("CertificatesResponse") from None
    if at != size:
        raise ends_elsewhere("CertificatesResponse", at, size)
    return CertificatesResponse(entries)


def decode_certificates_response_in_steps(data: bytes) -> Generator[int, None, CertificatesResponse]:
    """Decode all of `data`, with pauses."""
    pause = STRIDE
    size = len(data)
    try:
        (entries_count,) = _unpack_from_3(data, 0)
        if entries_count > 64:
            raise count_out_of_bounds("CertificatesResponse.entries", entries_count)
        at = 2
        if 104 * entries_count > size - at:
            raise truncated("CertificatesResponse.entries")
        entries_items = []
        for _ in range(entries_count):
            entries_items_item_transaction, at = read_transaction(data, at, size)
            entries_items_item_certificate, at = read_bundle_certificate(data, at, size)
            entries_items.append(
                CertifiedTransaction(entries_items_item_transaction, entries_items_item_certificate)
            )
            if at >= pause:
                yield at
                pause = at + STRIDE
        entries = tuple(entries_items)
    except struct.error:
        raise truncated("CertificatesResponse") from None
    if at != size:
        raise ends_elsewhere("CertificatesResponse", at, size)
    return CertificatesResponse(entries)


def pack_certificates_response(value: CertificatesResponse) -> bytes:
    """The encoding of the fields."""
    try:
        entries = value.entries
        if len(entries) > 64:
            raise unfit("CertificatesResponse.entries", len(entries))
        entries_pieces: list[bytes] = []
        for entries_item in entries:
            entries_pieces += (entries_item.transaction.encode(), entries_item.certificate.encode())
        return b"".join((_pack_3(len(entries)), *entries_pieces))
    except struct.error as error:
        raise unfit("CertificatesResponse", str(error)) from None


def decode_epoch_report(data: bytes) -> EpochReport:
    """Decode all of `data`."""
    size = len(data)
    try:
        chain_id, epoch, roster, member, txids_count = _unpack_from_6(data, 0)
        if txids_count > 16000:
            raise count_out_of_bounds("EpochReport.txids", txids_count)
        if txids_count <= 32:
            txids = _few_32[txids_count](data, 50)
        else:
            txids = _many_32(data, 50, txids_count)
        at = 50 + 32 * txids_count
        if not is_ascending(txids):
            raise not_ascending("EpochReport.txids")
        (signature,) = _unpack_from_1(data, at)
    except struct.error:
        raise truncated("EpochReport") from None
    if at + 64 != size:
        raise ends_elsewhere("EpochReport", at + 64, size)
    value = EpochReport(chain_id, epoch, roster, member, txids, signature)
    retain(value, data)
    return value


def pack_epoch_report(value: EpochReport) -> bytes:
    """The encoding of the fields."""
    try:
        roster = value.roster
        if len(roster) != 32:
            raise unfit("EpochReport.roster", roster)
        txids = value.txids
        if len(txids) > 16000:
            raise unfit("EpochReport.txids", len(txids))
        if not is_ascending(txids):
            raise unfit("EpochReport.txids", "order")
        if not _WIDTH_32.issuperset(map(len, txids)):
            raise unfit("EpochReport.txids", txids)
        signature = value.signature
        if len(signature) != 64:
            raise unfit("EpochReport.signature", signature)
        return b"".join(
            (
                _pack_6(value.chain_id, value.epoch, roster, value.member, len(txids)),
                *txids,
                _pack_1(signature),
            )
        )
    except struct.error as error:
        raise unfit("EpochReport", str(error)) from None


def decode_utxo_state_query(data: bytes) -> UTXOStateQuery:
    """Decode all of `data`."""
    size = len(data)
    try:
        (outpoints_count,) = _unpack_from_3(data, 0)
        if outpoints_count > 256:
            raise count_out_of_bounds("UTXOStateQuery.outpoints", outpoints_count)
        end = 2 + 34 * outpoints_count
        if end > size:
            raise truncated("UTXOStateQuery.outpoints")
        outpoints = tuple(starmap(OutPoint, _iter_unpack_7(data[2:end])))
        at = end
    except struct.error:
        raise truncated("UTXOStateQuery") from None
    if at != size:
        raise ends_elsewhere("UTXOStateQuery", at, size)
    return UTXOStateQuery(outpoints)


def pack_utxo_state_query(value: UTXOStateQuery) -> bytes:
    """The encoding of the fields."""
    try:
        outpoints = value.outpoints
        if len(outpoints) > 256:
            raise unfit("UTXOStateQuery.outpoints", len(outpoints))
        outpoints_pieces: list[bytes] = []
        for outpoints_item in outpoints:
            outpoints_item_txid = outpoints_item.txid
            if len(outpoints_item_txid) != 32:
                raise unfit("UTXOStateQuery.outpoints.txid", outpoints_item_txid)
            outpoints_pieces.append(_pack_7(outpoints_item_txid, outpoints_item.index))
        return b"".join((_pack_3(len(outpoints)), *outpoints_pieces))
    except struct.error as error:
        raise unfit("UTXOStateQuery", str(error)) from None


def decode_utxo_state(data: bytes) -> UTXOState:
    """Decode all of `data`."""
    try:
        outpoint_txid, outpoint_index, state, txid = _unpack_8(data)
    except struct.error:
        raise ends_elsewhere("UTXOState", 67, len(data)) from None
    if state > 5:
        raise not_a_choice("UTXOState.state", state)
    return UTXOState(OutPoint(outpoint_txid, outpoint_index), state, txid)


def pack_utxo_state(value: UTXOState) -> bytes:
    """The encoding of the fields."""
    try:
        outpoint = value.outpoint
        outpoint_txid = outpoint.txid
        if len(outpoint_txid) != 32:
            raise unfit("UTXOState.outpoint.txid", outpoint_txid)
        state = value.state
        if state not in (0, 1, 2, 3, 4, 5):
            raise unfit("UTXOState.state", state)
        txid = value.txid
        if len(txid) != 32:
            raise unfit("UTXOState.txid", txid)
        return _pack_8(outpoint_txid, outpoint.index, state, txid)
    except struct.error as error:
        raise unfit("UTXOState", str(error)) from None


def decode_utxo_state_response(data: bytes) -> UTXOStateResponse:
    """Decode all of `data`."""
    size = len(data)
    try:
        (states_count,) = _unpack_from_3(data, 0)
        if states_count > 256:
            raise count_out_of_bounds("UTXOStateResponse.states", states_count)
        end = 2 + 67 * states_count
        if end > size:
            raise truncated("UTXOStateResponse.states")
        states_items = []
        for (
            states_items_item_outpoint_txid,
            states_items_item_outpoint_index,
            states_items_item_state,
            states_items_item_txid,
        ) in _iter_unpack_8(data[2:end]):
            if states_items_item_state > 5:
                raise not_a_choice("UTXOStateResponse.states.state", states_items_item_state)
            states_items.append(
                UTXOState(
                    OutPoint(states_items_item_outpoint_txid, states_items_item_outpoint_index),
                    states_items_item_state,
                    states_items_item_txid,
                ),
            )
        at = end
        states = tuple(states_items)
    except struct.error:
        raise truncated("UTXOStateResponse") from None
    if at != size:
        raise ends_elsewhere("UTXOStateResponse", at, size)
    return UTXOStateResponse(states)


def pack_utxo_state_response(value: UTXOStateResponse) -> bytes:
    """The encoding of the fields."""
    try:
        states = value.states
        if len(states) > 256:
            raise unfit("UTXOStateResponse.states", len(states))
        states_pieces: list[bytes] = []
        for states_item in states:
            states_item_outpoint = states_item.outpoint
            states_item_outpoint_txid = states_item_outpoint.txid
            if len(states_item_outpoint_txid) != 32:
                raise unfit("UTXOStateResponse.states.outpoint.txid", states_item_outpoint_txid)
            states_item_state = states_item.state
            if states_item_state not in (0, 1, 2, 3, 4, 5):
                raise unfit("UTXOStateResponse.states.state", states_item_state)
            states_item_txid = states_item.txid
            if len(states_item_txid) != 32:
                raise unfit("UTXOStateResponse.states.txid", states_item_txid)
            states_pieces.append(
                _pack_8(
                    states_item_outpoint_txid, states_item_outpoint.index, states_item_state, states_item_txid
                ),
            )
        return b"".join((_pack_3(len(states)), *states_pieces))
    except struct.error as error:
        raise unfit("UTXOStateResponse", str(error)) from None


bind(TransactionBroadcast, decode_transaction_broadcast, pack_transaction_broadcast)
bind(TransactionVote, decode_transaction_vote, pack_transaction_vote)
bind(TransactionCertified, decode_transaction_certified, pack_transaction_certified)
bind(TransactionFinalized, decode_transaction_finalized, pack_transaction_finalized)
bind(TransactionRejected, decode_transaction_rejected, pack_transaction_rejected)
bind(TransactionAnnouncement, decode_transaction_announcement, pack_transaction_announcement)
bind(GetTransactions, decode_get_transactions, pack_get_transactions)
bind(
    TransactionsResponse,
    decode_transactions_response,
    pack_transactions_response,
    decode_transactions_response_in_steps,
)
bind(GetPendingTransactions, decode_get_pending_transactions, pack_get_pending_transactions)
bind(PendingTransactionsResponse, decode_pending_transactions_response, pack_pending_transactions_response)
bind(GetCertificates, decode_get_certificates, pack_get_certificates)
bind(CertifiedTransaction, decode_certified_transaction, pack_certified_transaction)
bind(
    CertificatesResponse,
    decode_certificates_response,
    pack_certificates_response,
    decode_certificates_response_in_steps,
)
bind(EpochReport, decode_epoch_report, pack_epoch_report)
bind(UTXOStateQuery, decode_utxo_state_query, pack_utxo_state_query)
bind(UTXOState, decode_utxo_state, pack_utxo_state)
bind(UTXOStateResponse, decode_utxo_state_response, pack_utxo_state_response)
