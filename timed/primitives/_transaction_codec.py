"""Generated from timed.primitives.layouts by `python -m timed.codec`; not to be edited."""

from __future__ import annotations

import struct
from itertools import starmap

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
    retain,
)
from timed.primitives.transaction import (
    CoinEntry,
    Lock,
    OutPoint,
    Output,
    SpendStatement,
    Transaction,
    Witness,
)

_unpack_from_0 = struct.Struct("<32sH").unpack_from
_pack_0 = struct.Struct("<32sH").pack
_unpack_from_1 = struct.Struct("<BH").unpack_from
_pack_1 = struct.Struct("<BH").pack
_unpack_from_2 = struct.Struct("<QBH").unpack_from
_pack_2 = struct.Struct("<QBH").pack
_unpack_from_3 = struct.Struct("<32s64s").unpack_from
_pack_3 = struct.Struct("<32s64s").pack
_unpack_from_4 = struct.Struct("<HBH").unpack_from
_iter_unpack_0 = struct.Struct("<32sH").iter_unpack
_unpack_from_5 = struct.Struct("<H").unpack_from
_unpack_from_6 = struct.Struct("<QH").unpack_from
_iter_unpack_3 = struct.Struct("<32s64s").iter_unpack
_pack_4 = struct.Struct("<HBH").pack
_pack_5 = struct.Struct("<H").pack
_pack_6 = struct.Struct("<QH").pack
_unpack_from_7 = struct.Struct("<L32sH").unpack_from
_pack_7 = struct.Struct("<L32sH").pack
_unpack_from_8 = struct.Struct("<32sHQBH").unpack_from
_unpack_from_9 = struct.Struct("<QB").unpack_from
_pack_8 = struct.Struct("<32sHQBH").pack
_pack_10 = struct.Struct("<Q?").pack


def decode_out_point(data: bytes) -> OutPoint:
    """Decode all of `data`."""
    size = len(data)
    if size < 34:
        raise truncated("OutPoint")
    if size > 34:
        raise trailing("OutPoint", size - 34)
    txid, index = _unpack_from_0(data, 0)
    return OutPoint(txid, index)


def pack_out_point(value: OutPoint) -> bytes:
    """The encoding of the fields."""
    try:
        txid = value.txid
        if len(txid) != 32:
            raise unfit("OutPoint.txid", txid)
        return _pack_0(txid, value.index)
    except struct.error as error:
        raise unfit("OutPoint", str(error)) from None


def decode_lock(data: bytes) -> Lock:
    """Decode all of `data`."""
    size = len(data)
    try:
        kind, data_length = _unpack_from_1(data, 0)
        if data_length > 322:
            raise length_out_of_bounds("Lock.data", data_length)
        end = 3 + data_length
        if end > size:
            raise truncated("Lock.data")
        data_2 = data[3:end]
        at = end
    except struct.error:
        raise truncated("Lock") from None
    if at != size:
        raise trailing("Lock", size - at)
    return Lock(kind, data_2)


def pack_lock(value: Lock) -> bytes:
    """The encoding of the fields."""
    try:
        data_2 = value.data
        if len(data_2) > 322:
            raise unfit("Lock.data", data_2)
        return b"".join((_pack_1(value.kind, len(data_2)), data_2))
    except struct.error as error:
        raise unfit("Lock", str(error)) from None


def decode_output(data: bytes) -> Output:
    """Decode all of `data`."""
    size = len(data)
    try:
        value_2, lock_kind, lock_data_length = _unpack_from_2(data, 0)
        if lock_data_length > 322:
            raise length_out_of_bounds("Output.lock.data", lock_data_length)
        end = 11 + lock_data_length
        if end > size:
            raise truncated("Output.lock.data")
        lock_data = data[11:end]
        at = end
    except struct.error:
        raise truncated("Output") from None
    if at != size:
        raise trailing("Output", size - at)
    return Output(value_2, Lock(lock_kind, lock_data))


def pack_output(value: Output) -> bytes:
    """The encoding of the fields."""
    try:
        lock = value.lock
        lock_data = lock.data
        if len(lock_data) > 322:
            raise unfit("Output.lock.data", lock_data)
        return b"".join((_pack_2(value.value, lock.kind, len(lock_data)), lock_data))
    except struct.error as error:
        raise unfit("Output", str(error)) from None


def decode_witness(data: bytes) -> Witness:
    """Decode all of `data`."""
    size = len(data)
    if size < 96:
        raise truncated("Witness")
    if size > 96:
        raise trailing("Witness", size - 96)
    public_key, signature = _unpack_from_3(data, 0)
    return Witness(public_key, signature)


def pack_witness(value: Witness) -> bytes:
    """The encoding of the fields."""
    try:
        public_key = value.public_key
        if len(public_key) != 32:
            raise unfit("Witness.public_key", public_key)
        signature = value.signature
        if len(signature) != 64:
            raise unfit("Witness.signature", signature)
        return _pack_3(public_key, signature)
    except struct.error as error:
        raise unfit("Witness", str(error)) from None


def read_transaction(data: bytes, at: int, size: int) -> tuple[Transaction, int]:
    """Decode at `at`: the value and the offset after it."""
    start = at
    version, kind, inputs_count = _unpack_from_4(data, at)
    at += 5
    if inputs_count > 4096:
        raise count_out_of_bounds("Transaction.inputs", inputs_count)
    end = at + 34 * inputs_count
    if end > size:
        raise truncated("Transaction.inputs")
    inputs = tuple(starmap(OutPoint, _iter_unpack_0(data[at:end])))
    at = end
    (outputs_count,) = _unpack_from_5(data, at)
    at += 2
    if 11 * outputs_count > size - at:
        raise truncated("Transaction.outputs")
    outputs_items = []
    for _ in range(outputs_count):
        outputs_item_value, outputs_item_lock_kind, outputs_item_lock_data_length = _unpack_from_2(data, at)
        at += 11
        if outputs_item_lock_data_length > 322:
            raise length_out_of_bounds("Transaction.outputs.lock.data", outputs_item_lock_data_length)
        end = at + outputs_item_lock_data_length
        if end > size:
            raise truncated("Transaction.outputs.lock.data")
        outputs_item_lock_data = data[at:end]
        at = end
        outputs_items.append(Output(outputs_item_value, Lock(outputs_item_lock_kind, outputs_item_lock_data)))
    outputs = tuple(outputs_items)
    lock_height, payload_length = _unpack_from_6(data, at)
    at += 10
    if payload_length > 1024:
        raise length_out_of_bounds("Transaction.payload", payload_length)
    end = at + payload_length
    if end > size:
        raise truncated("Transaction.payload")
    payload = data[at:end]
    at = end
    (witnesses_count,) = _unpack_from_5(data, at)
    at += 2
    if witnesses_count > 4096:
        raise count_out_of_bounds("Transaction.witnesses", witnesses_count)
    end = at + 96 * witnesses_count
    if end > size:
        raise truncated("Transaction.witnesses")
    witnesses = tuple(starmap(Witness, _iter_unpack_3(data[at:end])))
    at = end
    value = Transaction(version, kind, inputs, outputs, lock_height, payload, witnesses)
    retain(value, data[start:at])
    return value, at


def decode_transaction(data: bytes) -> Transaction:
    """Decode all of `data`."""
    size = len(data)
    try:
        version, kind, inputs_count = _unpack_from_4(data, 0)
        if inputs_count > 4096:
            raise count_out_of_bounds("Transaction.inputs", inputs_count)
        end = 5 + 34 * inputs_count
        if end > size:
            raise truncated("Transaction.inputs")
        inputs = tuple(starmap(OutPoint, _iter_unpack_0(data[5:end])))
        at = end
        (outputs_count,) = _unpack_from_5(data, at)
        at += 2
        if 11 * outputs_count > size - at:
            raise truncated("Transaction.outputs")
        outputs_items = []
        for _ in range(outputs_count):
            outputs_item_value, outputs_item_lock_kind, outputs_item_lock_data_length = _unpack_from_2(
                data, at
            )
            at += 11
            if outputs_item_lock_data_length > 322:
                raise length_out_of_bounds("Transaction.outputs.lock.data", outputs_item_lock_data_length)
            end = at + outputs_item_lock_data_length
            if end > size:
                raise truncated("Transaction.outputs.lock.data")
            outputs_item_lock_data = data[at:end]
            at = end
            outputs_items.append(
                Output(outputs_item_value, Lock(outputs_item_lock_kind, outputs_item_lock_data))
            )
        outputs = tuple(outputs_items)
        lock_height, payload_length = _unpack_from_6(data, at)
        at += 10
        if payload_length > 1024:
            raise length_out_of_bounds("Transaction.payload", payload_length)
        end = at + payload_length
        if end > size:
            raise truncated("Transaction.payload")
        payload = data[at:end]
        at = end
        (witnesses_count,) = _unpack_from_5(data, at)
        at += 2
        if witnesses_count > 4096:
            raise count_out_of_bounds("Transaction.witnesses", witnesses_count)
        end = at + 96 * witnesses_count
        if end > size:
            raise truncated("Transaction.witnesses")
        witnesses = tuple(starmap(Witness, _iter_unpack_3(data[at:end])))
        at = end
    except struct.error:
        raise truncated("Transaction") from None
    if at != size:
        raise trailing("Transaction", size - at)
    value = Transaction(version, kind, inputs, outputs, lock_height, payload, witnesses)
    retain(value, data)
    return value


def pack_transaction(value: Transaction) -> bytes:
    """The encoding of the fields."""
    try:
        inputs = value.inputs
        if len(inputs) > 4096:
            raise unfit("Transaction.inputs", len(inputs))
        inputs_pieces: list[bytes] = []
        for inputs_item in inputs:
            inputs_item_txid = inputs_item.txid
            if len(inputs_item_txid) != 32:
                raise unfit("Transaction.inputs.txid", inputs_item_txid)
            inputs_pieces.append(_pack_0(inputs_item_txid, inputs_item.index))
        outputs = value.outputs
        outputs_pieces: list[bytes] = []
        for outputs_item in outputs:
            outputs_item_lock = outputs_item.lock
            outputs_item_lock_data = outputs_item_lock.data
            if len(outputs_item_lock_data) > 322:
                raise unfit("Transaction.outputs.lock.data", outputs_item_lock_data)
            outputs_pieces += (
                _pack_2(outputs_item.value, outputs_item_lock.kind, len(outputs_item_lock_data)),
                outputs_item_lock_data,
            )
        payload = value.payload
        if len(payload) > 1024:
            raise unfit("Transaction.payload", payload)
        witnesses = value.witnesses
        if len(witnesses) > 4096:
            raise unfit("Transaction.witnesses", len(witnesses))
        witnesses_pieces: list[bytes] = []
        for witnesses_item in witnesses:
            witnesses_item_public_key = witnesses_item.public_key
            if len(witnesses_item_public_key) != 32:
                raise unfit("Transaction.witnesses.public_key", witnesses_item_public_key)
            witnesses_item_signature = witnesses_item.signature
            if len(witnesses_item_signature) != 64:
                raise unfit("Transaction.witnesses.signature", witnesses_item_signature)
            witnesses_pieces.append(_pack_3(witnesses_item_public_key, witnesses_item_signature))
        return b"".join(
            (
                _pack_4(value.version, value.kind, len(inputs)),
                *inputs_pieces,
                _pack_5(len(outputs)),
                *outputs_pieces,
                _pack_6(value.lock_height, len(payload)),
                payload,
                _pack_5(len(witnesses)),
                *witnesses_pieces,
            )
        )
    except struct.error as error:
        raise unfit("Transaction", str(error)) from None


def decode_spend_statement(data: bytes) -> SpendStatement:
    """Decode all of `data`."""
    size = len(data)
    try:
        chain_id, txid, spent_count = _unpack_from_7(data, 0)
        if spent_count > 4096:
            raise count_out_of_bounds("SpendStatement.spent", spent_count)
        at = 38
        if 11 * spent_count > size - at:
            raise truncated("SpendStatement.spent")
        spent_items = []
        for _ in range(spent_count):
            spent_item_value, spent_item_lock_kind, spent_item_lock_data_length = _unpack_from_2(data, at)
            at += 11
            if spent_item_lock_data_length > 322:
                raise length_out_of_bounds("SpendStatement.spent.lock.data", spent_item_lock_data_length)
            end = at + spent_item_lock_data_length
            if end > size:
                raise truncated("SpendStatement.spent.lock.data")
            spent_item_lock_data = data[at:end]
            at = end
            spent_items.append(Output(spent_item_value, Lock(spent_item_lock_kind, spent_item_lock_data)))
        spent = tuple(spent_items)
    except struct.error:
        raise truncated("SpendStatement") from None
    if at != size:
        raise trailing("SpendStatement", size - at)
    return SpendStatement(chain_id, txid, spent)


def pack_spend_statement(value: SpendStatement) -> bytes:
    """The encoding of the fields."""
    try:
        txid = value.txid
        if len(txid) != 32:
            raise unfit("SpendStatement.txid", txid)
        spent = value.spent
        if len(spent) > 4096:
            raise unfit("SpendStatement.spent", len(spent))
        spent_pieces: list[bytes] = []
        for spent_item in spent:
            spent_item_lock = spent_item.lock
            spent_item_lock_data = spent_item_lock.data
            if len(spent_item_lock_data) > 322:
                raise unfit("SpendStatement.spent.lock.data", spent_item_lock_data)
            spent_pieces += (
                _pack_2(spent_item.value, spent_item_lock.kind, len(spent_item_lock_data)),
                spent_item_lock_data,
            )
        return b"".join((_pack_7(value.chain_id, txid, len(spent)), *spent_pieces))
    except struct.error as error:
        raise unfit("SpendStatement", str(error)) from None


def decode_coin_entry(data: bytes) -> CoinEntry:
    """Decode all of `data`."""
    size = len(data)
    try:
        outpoint_txid, outpoint_index, output_value, output_lock_kind, output_lock_data_length = (
            _unpack_from_8(data, 0)
        )
        if output_lock_data_length > 322:
            raise length_out_of_bounds("CoinEntry.output.lock.data", output_lock_data_length)
        end = 45 + output_lock_data_length
        if end > size:
            raise truncated("CoinEntry.output.lock.data")
        output_lock_data = data[45:end]
        at = end
        height, coinbase = _unpack_from_9(data, at)
        at += 9
        if coinbase > 1:
            raise not_a_choice("CoinEntry.coinbase", coinbase)
    except struct.error:
        raise truncated("CoinEntry") from None
    if at != size:
        raise trailing("CoinEntry", size - at)
    return CoinEntry(
        OutPoint(outpoint_txid, outpoint_index),
        Output(output_value, Lock(output_lock_kind, output_lock_data)),
        height,
        coinbase == 1,
    )


def pack_coin_entry(value: CoinEntry) -> bytes:
    """The encoding of the fields."""
    try:
        outpoint = value.outpoint
        outpoint_txid = outpoint.txid
        if len(outpoint_txid) != 32:
            raise unfit("CoinEntry.outpoint.txid", outpoint_txid)
        output = value.output
        output_lock = output.lock
        output_lock_data = output_lock.data
        if len(output_lock_data) > 322:
            raise unfit("CoinEntry.output.lock.data", output_lock_data)
        return b"".join(
            (
                _pack_8(outpoint_txid, outpoint.index, output.value, output_lock.kind, len(output_lock_data)),
                output_lock_data,
                _pack_10(value.height, value.coinbase),
            )
        )
    except struct.error as error:
        raise unfit("CoinEntry", str(error)) from None


bind(OutPoint, decode_out_point, pack_out_point)
bind(Lock, decode_lock, pack_lock)
bind(Output, decode_output, pack_output)
bind(Witness, decode_witness, pack_witness)
bind(Transaction, decode_transaction, pack_transaction)
bind(SpendStatement, decode_spend_statement, pack_spend_statement)
bind(CoinEntry, decode_coin_entry, pack_coin_entry)
