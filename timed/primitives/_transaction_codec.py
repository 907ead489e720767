"""Generated from timed.primitives.layouts by `python -m timed.codec`; not to be edited."""

from __future__ import annotations

import struct
from itertools import starmap

from timed.codec.runtime import (
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
from timed.primitives.transaction import (
    CoinEntry,
    Lock,
    OutPoint,
    Output,
    SpendStatement,
    Transaction,
    Witness,
)

_unpack_0 = struct.Struct("<32sH").unpack
_pack_0 = struct.Struct("<32sH").pack
_unpack_1 = struct.Struct("<BH20s").unpack
_unpack_from_2 = struct.Struct("<BH").unpack_from
_pack_1 = struct.Struct("<BH20s").pack
_pack_2 = struct.Struct("<BH").pack
_unpack_3 = struct.Struct("<QBH20s").unpack
_unpack_from_4 = struct.Struct("<QBH").unpack_from
_pack_3 = struct.Struct("<QBH20s").pack
_pack_4 = struct.Struct("<QBH").pack
_unpack_5 = struct.Struct("<32s64s").unpack
_pack_5 = struct.Struct("<32s64s").pack
_unpack_from_6 = struct.Struct("<HBH").unpack_from
_unpack_from_7 = struct.Struct("<32sHH").unpack_from
_unpack_from_8 = struct.Struct("<32sH32sHH").unpack_from
_iter_unpack_0 = struct.Struct("<32sH").iter_unpack
_unpack_from_9 = struct.Struct("<H").unpack_from
_unpack_from_10 = struct.Struct("<QBH20sQH0sH").unpack_from
_unpack_from_11 = struct.Struct("<QBH20sQBH20sQH0sH").unpack_from
_unpack_from_12 = struct.Struct("<QH").unpack_from
_unpack_from_5 = struct.Struct("<32s64s").unpack_from
_unpack_from_13 = struct.Struct("<32s64s32s64s").unpack_from
_iter_unpack_5 = struct.Struct("<32s64s").iter_unpack
_pack_14 = struct.Struct("<HBH32sH").pack
_pack_15 = struct.Struct("<HBH32sH32sH").pack
_pack_6 = struct.Struct("<HBH").pack
_pack_16 = struct.Struct("<HQBH20s").pack
_pack_17 = struct.Struct("<HQBH").pack
_pack_18 = struct.Struct("<HQBH20sQBH20s").pack
_pack_9 = struct.Struct("<H").pack
_pack_12 = struct.Struct("<QH").pack
_pack_19 = struct.Struct("<H32s64s").pack
_pack_20 = struct.Struct("<H32s64s32s64s").pack
_unpack_from_21 = struct.Struct("<L32sH").unpack_from
_unpack_from_3 = struct.Struct("<QBH20s").unpack_from
_unpack_from_22 = struct.Struct("<QBH20sQBH20s").unpack_from
_pack_23 = struct.Struct("<L32sHQBH20s").pack
_pack_24 = struct.Struct("<L32sHQBH").pack
_pack_25 = struct.Struct("<L32sHQBH20sQBH20s").pack
_pack_21 = struct.Struct("<L32sH").pack
_unpack_26 = struct.Struct("<32sHQBH20sQB").unpack
_unpack_from_27 = struct.Struct("<32sHQBH").unpack_from
_unpack_from_28 = struct.Struct("<QB").unpack_from
_pack_29 = struct.Struct("<32sHQBH20sQ?").pack
_pack_27 = struct.Struct("<32sHQBH").pack
_pack_30 = struct.Struct("<Q?").pack


def decode_out_point(data: bytes) -> OutPoint:
    """Decode all of `data`."""
    try:
        fields = _unpack_0(data)
    except struct.error:
        raise ends_elsewhere("OutPoint", 34, len(data)) from None
    return OutPoint(*fields)


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
    if size == 23:
        kind, data_length, data_2 = _unpack_1(data)
        if data_length == 20:
            return Lock(kind, data_2)
    try:
        kind, data_length = _unpack_from_2(data, 0)
        if data_length > 322:
            raise length_out_of_bounds("Lock.data", data_length)
        at = 3 + data_length
        data_2 = data[3:at]
    except struct.error:
        raise truncated("Lock") from None
    if at != size:
        raise ends_elsewhere("Lock", at, size)
    return Lock(kind, data_2)


def pack_lock(value: Lock) -> bytes:
    """The encoding of the fields."""
    try:
        data_2 = value.data
        if len(data_2) == 20:
            return _pack_1(value.kind, 20, data_2)
        else:
            data_2 = value.data
            if len(data_2) > 322:
                raise unfit("Lock.data", data_2)
            return b"".join((_pack_2(value.kind, len(data_2)), data_2))
    except struct.error as error:
        raise unfit("Lock", str(error)) from None


def decode_output(data: bytes) -> Output:
    """Decode all of `data`."""
    size = len(data)
    if size == 31:
        value_2, lock_kind, lock_data_length, lock_data = _unpack_3(data)
        if lock_data_length == 20:
            return Output(value_2, Lock(lock_kind, lock_data))
    try:
        value_2, lock_kind, lock_data_length = _unpack_from_4(data, 0)
        if lock_data_length > 322:
            raise length_out_of_bounds("Output.lock.data", lock_data_length)
        at = 11 + lock_data_length
        lock_data = data[11:at]
    except struct.error:
        raise truncated("Output") from None
    if at != size:
        raise ends_elsewhere("Output", at, size)
    return Output(value_2, Lock(lock_kind, lock_data))


def pack_output(value: Output) -> bytes:
    """The encoding of the fields."""
    try:
        lock = value.lock
        lock_data = lock.data
        if len(lock_data) == 20:
            return _pack_3(value.value, lock.kind, 20, lock_data)
        else:
            lock = value.lock
            lock_data = lock.data
            if len(lock_data) > 322:
                raise unfit("Output.lock.data", lock_data)
            return b"".join((_pack_4(value.value, lock.kind, len(lock_data)), lock_data))
    except struct.error as error:
        raise unfit("Output", str(error)) from None


def decode_witness(data: bytes) -> Witness:
    """Decode all of `data`."""
    try:
        fields = _unpack_5(data)
    except struct.error:
        raise ends_elsewhere("Witness", 96, len(data)) from None
    return Witness(*fields)


def pack_witness(value: Witness) -> bytes:
    """The encoding of the fields."""
    try:
        public_key = value.public_key
        if len(public_key) != 32:
            raise unfit("Witness.public_key", public_key)
        signature = value.signature
        if len(signature) != 64:
            raise unfit("Witness.signature", signature)
        return _pack_5(public_key, signature)
    except struct.error as error:
        raise unfit("Witness", str(error)) from None


def read_transaction(data: bytes, at: int, size: int) -> tuple[Transaction, int]:  # noqa: C901
    """Decode at `at`: the value and the offset after it."""
    start = at
    version, kind, inputs_count = _unpack_from_6(data, at)
    if inputs_count > 4096:
        raise count_out_of_bounds("Transaction.inputs", inputs_count)
    if inputs_count == 1:
        inputs_0_txid, inputs_0_index, outputs_count = _unpack_from_7(data, at + 5)
        inputs: tuple[OutPoint, ...] = (OutPoint(inputs_0_txid, inputs_0_index),)
        at += 41
    elif inputs_count == 2:
        inputs_0_txid, inputs_0_index, inputs_1_txid, inputs_1_index, outputs_count = _unpack_from_8(
            data, at + 5
        )
        inputs = (OutPoint(inputs_0_txid, inputs_0_index), OutPoint(inputs_1_txid, inputs_1_index))
        at += 75
    else:
        end = at + 5 + 34 * inputs_count
        if end > size:
            raise truncated("Transaction.inputs")
        inputs = tuple(starmap(OutPoint, _iter_unpack_0(data[at + 5 : end])))
        at = end
        (outputs_count,) = _unpack_from_9(data, at)
        at += 2
    outputs_fit = False
    if outputs_count == 1 and size >= at + 43:
        (
            outputs_0_value,
            outputs_0_lock_kind,
            outputs_0_lock_data_length,
            outputs_0_lock_data,
            lock_height,
            payload_length,
            payload,
            witnesses_count,
        ) = _unpack_from_10(data, at)
        outputs_fit = outputs_0_lock_data_length == 20 and payload_length == 0
        if outputs_fit:
            outputs: tuple[Output, ...] = (
                Output(outputs_0_value, Lock(outputs_0_lock_kind, outputs_0_lock_data)),
            )
            at += 43
    elif outputs_count == 2 and size >= at + 74:
        (
            outputs_0_value,
            outputs_0_lock_kind,
            outputs_0_lock_data_length,
            outputs_0_lock_data,
            outputs_1_value,
            outputs_1_lock_kind,
            outputs_1_lock_data_length,
            outputs_1_lock_data,
            lock_height,
            payload_length,
            payload,
            witnesses_count,
        ) = _unpack_from_11(data, at)
        outputs_fit = (
            outputs_0_lock_data_length == 20 and outputs_1_lock_data_length == 20 and payload_length == 0
        )
        if outputs_fit:
            outputs = (
                Output(outputs_0_value, Lock(outputs_0_lock_kind, outputs_0_lock_data)),
                Output(outputs_1_value, Lock(outputs_1_lock_kind, outputs_1_lock_data)),
            )
            at += 74
    if not outputs_fit:
        if 11 * outputs_count > size - at:
            raise truncated("Transaction.outputs")
        outputs_items = []
        for _ in range(outputs_count):
            outputs_items_item_value, outputs_items_item_lock_kind, outputs_items_item_lock_data_length = (
                _unpack_from_4(data, at)
            )
            if outputs_items_item_lock_data_length > 322:
                raise length_out_of_bounds(
                    "Transaction.outputs.lock.data", outputs_items_item_lock_data_length
                )
            begin = at + 11
            at = begin + outputs_items_item_lock_data_length
            outputs_items_item_lock_data = data[begin:at]
            outputs_items.append(
                Output(
                    outputs_items_item_value, Lock(outputs_items_item_lock_kind, outputs_items_item_lock_data)
                ),
            )
        outputs = tuple(outputs_items)
        lock_height, payload_length = _unpack_from_12(data, at)
        if payload_length > 1024:
            raise length_out_of_bounds("Transaction.payload", payload_length)
        begin = at + 10
        at = begin + payload_length
        payload = data[begin:at]
        (witnesses_count,) = _unpack_from_9(data, at)
        at += 2
    if witnesses_count > 4096:
        raise count_out_of_bounds("Transaction.witnesses", witnesses_count)
    if witnesses_count == 1:
        witnesses_0_public_key, witnesses_0_signature = _unpack_from_5(data, at)
        witnesses: tuple[Witness, ...] = (Witness(witnesses_0_public_key, witnesses_0_signature),)
        at += 96
    elif witnesses_count == 2:
        witnesses_0_public_key, witnesses_0_signature, witnesses_1_public_key, witnesses_1_signature = (
            _unpack_from_13(data, at)
        )
        witnesses = (
            Witness(witnesses_0_public_key, witnesses_0_signature),
            Witness(witnesses_1_public_key, witnesses_1_signature),
        )
        at += 192
    else:
        end = at + 96 * witnesses_count
        if end > size:
            raise truncated("Transaction.witnesses")
        witnesses = tuple(starmap(Witness, _iter_unpack_5(data[at:end])))
        at = end
    value = Transaction(version, kind, inputs, outputs, lock_height, payload, witnesses)
    retain(value, data[start:at])
    return value, at


def decode_transaction(data: bytes) -> Transaction:  # noqa: C901
    """Decode all of `data`."""
    size = len(data)
    try:
        version, kind, inputs_count = _unpack_from_6(data, 0)
        if inputs_count > 4096:
            raise count_out_of_bounds("Transaction.inputs", inputs_count)
        if inputs_count == 1:
            inputs_0_txid, inputs_0_index, outputs_count = _unpack_from_7(data, 5)
            inputs: tuple[OutPoint, ...] = (OutPoint(inputs_0_txid, inputs_0_index),)
            at = 41
        elif inputs_count == 2:
            inputs_0_txid, inputs_0_index, inputs_1_txid, inputs_1_index, outputs_count = _unpack_from_8(
                data, 5
            )
            inputs = (OutPoint(inputs_0_txid, inputs_0_index), OutPoint(inputs_1_txid, inputs_1_index))
            at = 75
        else:
            end = 5 + 34 * inputs_count
            if end > size:
                raise truncated("Transaction.inputs")
            inputs = tuple(starmap(OutPoint, _iter_unpack_0(data[5:end])))
            at = end
            (outputs_count,) = _unpack_from_9(data, at)
            at += 2
        outputs_fit = False
        if outputs_count == 1 and size >= at + 43:
            (
                outputs_0_value,
                outputs_0_lock_kind,
                outputs_0_lock_data_length,
                outputs_0_lock_data,
                lock_height,
                payload_length,
                payload,
                witnesses_count,
            ) = _unpack_from_10(data, at)
            outputs_fit = outputs_0_lock_data_length == 20 and payload_length == 0
            if outputs_fit:
                outputs: tuple[Output, ...] = (
                    Output(outputs_0_value, Lock(outputs_0_lock_kind, outputs_0_lock_data)),
                )
                at += 43
        elif outputs_count == 2 and size >= at + 74:
            (
                outputs_0_value,
                outputs_0_lock_kind,
                outputs_0_lock_data_length,
                outputs_0_lock_data,
                outputs_1_value,
                outputs_1_lock_kind,
                outputs_1_lock_data_length,
                outputs_1_lock_data,
                lock_height,
                payload_length,
                payload,
                witnesses_count,
            ) = _unpack_from_11(data, at)
            outputs_fit = (
                outputs_0_lock_data_length == 20 and outputs_1_lock_data_length == 20 and payload_length == 0
            )
            if outputs_fit:
                outputs = (
                    Output(outputs_0_value, Lock(outputs_0_lock_kind, outputs_0_lock_data)),
                    Output(outputs_1_value, Lock(outputs_1_lock_kind, outputs_1_lock_data)),
                )
                at += 74
        if not outputs_fit:
            if 11 * outputs_count > size - at:
                raise truncated("Transaction.outputs")
            outputs_items = []
            for _ in range(outputs_count):
                (
                    outputs_items_item_value,
                    outputs_items_item_lock_kind,
                    outputs_items_item_lock_data_length,
                ) = _unpack_from_4(data, at)
                if outputs_items_item_lock_data_length > 322:
                    raise length_out_of_bounds(
                        "Transaction.outputs.lock.data", outputs_items_item_lock_data_length
                    )
                begin = at + 11
                at = begin + outputs_items_item_lock_data_length
                outputs_items_item_lock_data = data[begin:at]
                outputs_items.append(
                    Output(
                        outputs_items_item_value,
                        Lock(outputs_items_item_lock_kind, outputs_items_item_lock_data),
                    ),
                )
            outputs = tuple(outputs_items)
            lock_height, payload_length = _unpack_from_12(data, at)
            if payload_length > 1024:
                raise length_out_of_bounds("Transaction.payload", payload_length)
            begin = at + 10
            at = begin + payload_length
            payload = data[begin:at]
            (witnesses_count,) = _unpack_from_9(data, at)
            at += 2
        if witnesses_count > 4096:
            raise count_out_of_bounds("Transaction.witnesses", witnesses_count)
        if witnesses_count == 1:
            witnesses_0_public_key, witnesses_0_signature = _unpack_from_5(data, at)
            witnesses: tuple[Witness, ...] = (Witness(witnesses_0_public_key, witnesses_0_signature),)
            at += 96
        elif witnesses_count == 2:
            witnesses_0_public_key, witnesses_0_signature, witnesses_1_public_key, witnesses_1_signature = (
                _unpack_from_13(data, at)
            )
            witnesses = (
                Witness(witnesses_0_public_key, witnesses_0_signature),
                Witness(witnesses_1_public_key, witnesses_1_signature),
            )
            at += 192
        else:
            end = at + 96 * witnesses_count
            if end > size:
                raise truncated("Transaction.witnesses")
            witnesses = tuple(starmap(Witness, _iter_unpack_5(data[at:end])))
            at = end
    except struct.error:
        raise truncated("Transaction") from None
    if at != size:
        raise ends_elsewhere("Transaction", at, size)
    value = Transaction(version, kind, inputs, outputs, lock_height, payload, witnesses)
    retain(value, data)
    return value


def pack_transaction(value: Transaction) -> bytes:  # noqa: C901
    """The encoding of the fields."""
    try:
        inputs = value.inputs
        if len(inputs) > 4096:
            raise unfit("Transaction.inputs", len(inputs))
        inputs_count = len(inputs)
        if inputs_count == 1:
            (inputs_0,) = inputs
            inputs_0_txid = inputs_0.txid
            if len(inputs_0_txid) != 32:
                raise unfit("Transaction.inputs.txid", inputs_0_txid)
            inputs_piece = _pack_14(value.version, value.kind, 1, inputs_0_txid, inputs_0.index)
        elif inputs_count == 2:
            inputs_0, inputs_1 = inputs
            inputs_0_txid = inputs_0.txid
            if len(inputs_0_txid) != 32:
                raise unfit("Transaction.inputs.txid", inputs_0_txid)
            inputs_1_txid = inputs_1.txid
            if len(inputs_1_txid) != 32:
                raise unfit("Transaction.inputs.txid", inputs_1_txid)
            inputs_piece = _pack_15(
                value.version, value.kind, 2, inputs_0_txid, inputs_0.index, inputs_1_txid, inputs_1.index
            )
        else:
            inputs_pieces = [_pack_6(value.version, value.kind, inputs_count)]
            for inputs_item in inputs:
                inputs_item_txid = inputs_item.txid
                if len(inputs_item_txid) != 32:
                    raise unfit("Transaction.inputs.txid", inputs_item_txid)
                inputs_pieces.append(_pack_0(inputs_item_txid, inputs_item.index))
            inputs_piece = b"".join(inputs_pieces)
        outputs = value.outputs
        outputs_count = len(outputs)
        if outputs_count == 1:
            (outputs_0,) = outputs
            outputs_0_lock = outputs_0.lock
            outputs_0_lock_data = outputs_0_lock.data
            if len(outputs_0_lock_data) == 20:
                outputs_piece = _pack_16(1, outputs_0.value, outputs_0_lock.kind, 20, outputs_0_lock_data)
            else:
                outputs_0_lock = outputs_0.lock
                outputs_0_lock_data = outputs_0_lock.data
                if len(outputs_0_lock_data) > 322:
                    raise unfit("Transaction.outputs.lock.data", outputs_0_lock_data)
                outputs_piece = b"".join(
                    (
                        _pack_17(1, outputs_0.value, outputs_0_lock.kind, len(outputs_0_lock_data)),
                        outputs_0_lock_data,
                    )
                )
        elif outputs_count == 2:
            outputs_0, outputs_1 = outputs
            outputs_0_lock = outputs_0.lock
            outputs_0_lock_data = outputs_0_lock.data
            outputs_1_lock = outputs_1.lock
            outputs_1_lock_data = outputs_1_lock.data
            if len(outputs_0_lock_data) == 20 and len(outputs_1_lock_data) == 20:
                outputs_piece = _pack_18(
                    2,
                    outputs_0.value,
                    outputs_0_lock.kind,
                    20,
                    outputs_0_lock_data,
                    outputs_1.value,
                    outputs_1_lock.kind,
                    20,
                    outputs_1_lock_data,
                )
            else:
                outputs_0_lock = outputs_0.lock
                outputs_0_lock_data = outputs_0_lock.data
                if len(outputs_0_lock_data) > 322:
                    raise unfit("Transaction.outputs.lock.data", outputs_0_lock_data)
                outputs_1_lock = outputs_1.lock
                outputs_1_lock_data = outputs_1_lock.data
                if len(outputs_1_lock_data) > 322:
                    raise unfit("Transaction.outputs.lock.data", outputs_1_lock_data)
                outputs_piece = b"".join(
                    (
                        _pack_17(2, outputs_0.value, outputs_0_lock.kind, len(outputs_0_lock_data)),
                        outputs_0_lock_data,
                        _pack_4(outputs_1.value, outputs_1_lock.kind, len(outputs_1_lock_data)),
                        outputs_1_lock_data,
                    )
                )
        else:
            outputs_pieces = [_pack_9(outputs_count)]
            for outputs_item in outputs:
                outputs_item_lock = outputs_item.lock
                outputs_item_lock_data = outputs_item_lock.data
                if len(outputs_item_lock_data) > 322:
                    raise unfit("Transaction.outputs.lock.data", outputs_item_lock_data)
                outputs_pieces += (
                    _pack_4(outputs_item.value, outputs_item_lock.kind, len(outputs_item_lock_data)),
                    outputs_item_lock_data,
                )
            outputs_piece = b"".join(outputs_pieces)
        payload = value.payload
        if len(payload) > 1024:
            raise unfit("Transaction.payload", payload)
        witnesses = value.witnesses
        if len(witnesses) > 4096:
            raise unfit("Transaction.witnesses", len(witnesses))
        witnesses_count = len(witnesses)
        if witnesses_count == 1:
            (witnesses_0,) = witnesses
            witnesses_0_public_key = witnesses_0.public_key
            if len(witnesses_0_public_key) != 32:
                raise unfit("Transaction.witnesses.public_key", witnesses_0_public_key)
            witnesses_0_signature = witnesses_0.signature
            if len(witnesses_0_signature) != 64:
                raise unfit("Transaction.witnesses.signature", witnesses_0_signature)
            witnesses_piece = _pack_19(1, witnesses_0_public_key, witnesses_0_signature)
        elif witnesses_count == 2:
            witnesses_0, witnesses_1 = witnesses
            witnesses_0_public_key = witnesses_0.public_key
            if len(witnesses_0_public_key) != 32:
                raise unfit("Transaction.witnesses.public_key", witnesses_0_public_key)
            witnesses_0_signature = witnesses_0.signature
            if len(witnesses_0_signature) != 64:
                raise unfit("Transaction.witnesses.signature", witnesses_0_signature)
            witnesses_1_public_key = witnesses_1.public_key
            if len(witnesses_1_public_key) != 32:
                raise unfit("Transaction.witnesses.public_key", witnesses_1_public_key)
            witnesses_1_signature = witnesses_1.signature
            if len(witnesses_1_signature) != 64:
                raise unfit("Transaction.witnesses.signature", witnesses_1_signature)
            witnesses_piece = _pack_20(
                2,
                witnesses_0_public_key,
                witnesses_0_signature,
                witnesses_1_public_key,
                witnesses_1_signature,
            )
        else:
            witnesses_pieces = [_pack_9(witnesses_count)]
            for witnesses_item in witnesses:
                witnesses_item_public_key = witnesses_item.public_key
                if len(witnesses_item_public_key) != 32:
                    raise unfit("Transaction.witnesses.public_key", witnesses_item_public_key)
                witnesses_item_signature = witnesses_item.signature
                if len(witnesses_item_signature) != 64:
                    raise unfit("Transaction.witnesses.signature", witnesses_item_signature)
                witnesses_pieces.append(_pack_5(witnesses_item_public_key, witnesses_item_signature))
            witnesses_piece = b"".join(witnesses_pieces)
        return b"".join(
            (inputs_piece, outputs_piece, _pack_12(value.lock_height, len(payload)), payload, witnesses_piece)
        )
    except struct.error as error:
        raise unfit("Transaction", str(error)) from None


def decode_spend_statement(data: bytes) -> SpendStatement:
    """Decode all of `data`."""
    size = len(data)
    try:
        chain_id, txid, spent_count = _unpack_from_21(data, 0)
        if spent_count > 4096:
            raise count_out_of_bounds("SpendStatement.spent", spent_count)
        spent_fit = False
        if spent_count == 1 and size >= 69:
            spent_0_value, spent_0_lock_kind, spent_0_lock_data_length, spent_0_lock_data = _unpack_from_3(
                data, 38
            )
            spent_fit = spent_0_lock_data_length == 20
            if spent_fit:
                spent: tuple[Output, ...] = (
                    Output(spent_0_value, Lock(spent_0_lock_kind, spent_0_lock_data)),
                )
                at = 69
        elif spent_count == 2 and size >= 100:
            (
                spent_0_value,
                spent_0_lock_kind,
                spent_0_lock_data_length,
                spent_0_lock_data,
                spent_1_value,
                spent_1_lock_kind,
                spent_1_lock_data_length,
                spent_1_lock_data,
            ) = _unpack_from_22(data, 38)
            spent_fit = spent_0_lock_data_length == 20 and spent_1_lock_data_length == 20
            if spent_fit:
                spent = (
                    Output(spent_0_value, Lock(spent_0_lock_kind, spent_0_lock_data)),
                    Output(spent_1_value, Lock(spent_1_lock_kind, spent_1_lock_data)),
                )
                at = 100
        if not spent_fit:
            at = 38
            if 11 * spent_count > size - at:
                raise truncated("SpendStatement.spent")
            spent_items = []
            for _ in range(spent_count):
                spent_items_item_value, spent_items_item_lock_kind, spent_items_item_lock_data_length = (
                    _unpack_from_4(data, at)
                )
                if spent_items_item_lock_data_length > 322:
                    raise length_out_of_bounds(
                        "SpendStatement.spent.lock.data", spent_items_item_lock_data_length
                    )
                begin = at + 11
                at = begin + spent_items_item_lock_data_length
                spent_items_item_lock_data = data[begin:at]
                spent_items.append(
                    Output(
                        spent_items_item_value, Lock(spent_items_item_lock_kind, spent_items_item_lock_data)
                    ),
                )
            spent = tuple(spent_items)
    except struct.error:
        raise truncated("SpendStatement") from None
    if at != size:
        raise ends_elsewhere("SpendStatement", at, size)
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
        spent_count = len(spent)
        if spent_count == 1:
            (spent_0,) = spent
            spent_0_lock = spent_0.lock
            spent_0_lock_data = spent_0_lock.data
            if len(spent_0_lock_data) == 20:
                spent_piece = _pack_23(
                    value.chain_id, txid, 1, spent_0.value, spent_0_lock.kind, 20, spent_0_lock_data
                )
            else:
                spent_0_lock = spent_0.lock
                spent_0_lock_data = spent_0_lock.data
                if len(spent_0_lock_data) > 322:
                    raise unfit("SpendStatement.spent.lock.data", spent_0_lock_data)
                spent_piece = b"".join(
                    (
                        _pack_24(
                            value.chain_id, txid, 1, spent_0.value, spent_0_lock.kind, len(spent_0_lock_data)
                        ),
                        spent_0_lock_data,
                    )
                )
        elif spent_count == 2:
            spent_0, spent_1 = spent
            spent_0_lock = spent_0.lock
            spent_0_lock_data = spent_0_lock.data
            spent_1_lock = spent_1.lock
            spent_1_lock_data = spent_1_lock.data
            if len(spent_0_lock_data) == 20 and len(spent_1_lock_data) == 20:
                spent_piece = _pack_25(
                    value.chain_id,
                    txid,
                    2,
                    spent_0.value,
                    spent_0_lock.kind,
                    20,
                    spent_0_lock_data,
                    spent_1.value,
                    spent_1_lock.kind,
                    20,
                    spent_1_lock_data,
                )
            else:
                spent_0_lock = spent_0.lock
                spent_0_lock_data = spent_0_lock.data
                if len(spent_0_lock_data) > 322:
                    raise unfit("SpendStatement.spent.lock.data", spent_0_lock_data)
                spent_1_lock = spent_1.lock
                spent_1_lock_data = spent_1_lock.data
                if len(spent_1_lock_data) > 322:
                    raise unfit("SpendStatement.spent.lock.data", spent_1_lock_data)
                spent_piece = b"".join(
                    (
                        _pack_24(
                            value.chain_id, txid, 2, spent_0.value, spent_0_lock.kind, len(spent_0_lock_data)
                        ),
                        spent_0_lock_data,
                        _pack_4(spent_1.value, spent_1_lock.kind, len(spent_1_lock_data)),
                        spent_1_lock_data,
                    )
                )
        else:
            spent_pieces = [_pack_21(value.chain_id, txid, spent_count)]
            for spent_item in spent:
                spent_item_lock = spent_item.lock
                spent_item_lock_data = spent_item_lock.data
                if len(spent_item_lock_data) > 322:
                    raise unfit("SpendStatement.spent.lock.data", spent_item_lock_data)
                spent_pieces += (
                    _pack_4(spent_item.value, spent_item_lock.kind, len(spent_item_lock_data)),
                    spent_item_lock_data,
                )
            spent_piece = b"".join(spent_pieces)
        return spent_piece
    except struct.error as error:
        raise unfit("SpendStatement", str(error)) from None


def decode_coin_entry(data: bytes) -> CoinEntry:
    """Decode all of `data`."""
    size = len(data)
    if size == 74:
        (
            outpoint_txid,
            outpoint_index,
            output_value,
            output_lock_kind,
            output_lock_data_length,
            output_lock_data,
            height,
            coinbase,
        ) = _unpack_26(data)
        if output_lock_data_length == 20:
            if coinbase > 1:
                raise not_a_choice("CoinEntry.coinbase", coinbase)
            return CoinEntry(
                OutPoint(outpoint_txid, outpoint_index),
                Output(output_value, Lock(output_lock_kind, output_lock_data)),
                height,
                coinbase == 1,
            )
    try:
        outpoint_txid, outpoint_index, output_value, output_lock_kind, output_lock_data_length = (
            _unpack_from_27(data, 0)
        )
        if output_lock_data_length > 322:
            raise length_out_of_bounds("CoinEntry.output.lock.data", output_lock_data_length)
        at = 45 + output_lock_data_length
        output_lock_data = data[45:at]
        height, coinbase = _unpack_from_28(data, at)
        if coinbase > 1:
            raise not_a_choice("CoinEntry.coinbase", coinbase)
    except struct.error:
        raise truncated("CoinEntry") from None
    if at + 9 != size:
        raise ends_elsewhere("CoinEntry", at + 9, size)
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
        if len(output_lock_data) == 20:
            return _pack_29(
                outpoint_txid,
                outpoint.index,
                output.value,
                output_lock.kind,
                20,
                output_lock_data,
                value.height,
                value.coinbase,
            )
        else:
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
                    _pack_27(
                        outpoint_txid, outpoint.index, output.value, output_lock.kind, len(output_lock_data)
                    ),
                    output_lock_data,
                    _pack_30(value.height, value.coinbase),
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
