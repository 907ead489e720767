"""Generated from timed.wallet.layouts by `python -m timed.codec`; not to be edited."""

from __future__ import annotations

import struct

from timed.codec.runtime import (
    count_out_of_bounds,
    ends_elsewhere,
    from_text,
    length_out_of_bounds,
    not_a_choice,
    to_text,
    truncated,
    unfit,
)
from timed.codec.value import (
    bind,
)
from timed.primitives.transaction import (
    Lock,
    Output,
)
from timed.wallet.records import (
    HistoryEntry,
    KeptOutput,
    Owners,
    Receipt,
    RescanMark,
)

_unpack_0 = struct.Struct("<HQBH20s").unpack
_unpack_from_1 = struct.Struct("<HQBH").unpack_from
_pack_0 = struct.Struct("<HQBH20s").pack
_pack_1 = struct.Struct("<HQBH").pack
_unpack_from_2 = struct.Struct("<32sBQLQQH").unpack_from
_unpack_from_3 = struct.Struct("<H").unpack_from
_unpack_from_4 = struct.Struct("<B").unpack_from
_unpack_from_5 = struct.Struct("<BHH").unpack_from
_unpack_from_6 = struct.Struct("<QBH").unpack_from
_pack_7 = struct.Struct("<32s?QLQQH").pack
_pack_3 = struct.Struct("<H").pack
_pack_4 = struct.Struct("<B").pack
_pack_8 = struct.Struct("<?HH").pack
_pack_6 = struct.Struct("<QBH").pack
_unpack_9 = struct.Struct("<QB").unpack
_pack_10 = struct.Struct("<Q?").pack
_unpack_11 = struct.Struct("<QQQ").unpack
_pack_11 = struct.Struct("<QQQ").pack


def decode_kept_output(data: bytes) -> KeptOutput:
    """Decode all of `data`."""
    size = len(data)
    if size == 33:
        index, output_value, output_lock_kind, output_lock_data_length, output_lock_data = _unpack_0(data)
        if output_lock_data_length == 20:
            return KeptOutput(index, Output(output_value, Lock(output_lock_kind, output_lock_data)))
    try:
        index, output_value, output_lock_kind, output_lock_data_length = _unpack_from_1(data, 0)
        if output_lock_data_length > 322:
            raise length_out_of_bounds("KeptOutput.output.lock.data", output_lock_data_length)
        at = 13 + output_lock_data_length
        output_lock_data = data[13:at]
    except struct.error:
        raise truncated("KeptOutput") from None
    if at != size:
        raise ends_elsewhere("KeptOutput", at, size)
    return KeptOutput(index, Output(output_value, Lock(output_lock_kind, output_lock_data)))


def pack_kept_output(value: KeptOutput) -> bytes:
    """The encoding of the fields."""
    try:
        output = value.output
        output_lock = output.lock
        output_lock_data = output_lock.data
        if len(output_lock_data) == 20:
            return _pack_0(value.index, output.value, output_lock.kind, 20, output_lock_data)
        else:
            output = value.output
            output_lock = output.lock
            output_lock_data = output_lock.data
            if len(output_lock_data) > 322:
                raise unfit("KeptOutput.output.lock.data", output_lock_data)
            return b"".join(
                (
                    _pack_1(value.index, output.value, output_lock.kind, len(output_lock_data)),
                    output_lock_data,
                )
            )
    except struct.error as error:
        raise unfit("KeptOutput", str(error)) from None


def decode_history_entry(data: bytes) -> HistoryEntry:  # noqa: C901
    """Decode all of `data`."""
    size = len(data)
    try:
        txid, released, height, position, time, created, comment_length = _unpack_from_2(data, 0)
        if released > 1:
            raise not_a_choice("HistoryEntry.released", released)
        if comment_length > 4096:
            raise length_out_of_bounds("HistoryEntry.comment", comment_length)
        end = 63 + comment_length
        if end > size:
            raise truncated("HistoryEntry.comment")
        comment = to_text(data[63:end], "HistoryEntry.comment")
        at = end
        (comment_to_length,) = _unpack_from_3(data, at)
        if comment_to_length > 4096:
            raise length_out_of_bounds("HistoryEntry.comment_to", comment_to_length)
        end = at + 2 + comment_to_length
        if end > size:
            raise truncated("HistoryEntry.comment_to")
        comment_to = to_text(data[at + 2 : end], "HistoryEntry.comment_to")
        at = end
        (reason_length,) = _unpack_from_4(data, at)
        end = at + 1 + reason_length
        if end > size:
            raise truncated("HistoryEntry.reason")
        reason = to_text(data[at + 1 : end], "HistoryEntry.reason")
        at = end
        coinbase, foreign, inputs_count = _unpack_from_5(data, at)
        if coinbase > 1:
            raise not_a_choice("HistoryEntry.coinbase", coinbase)
        at += 5
        if 11 * inputs_count > size - at:
            raise truncated("HistoryEntry.inputs")
        inputs_items = []
        for _ in range(inputs_count):
            inputs_items_item_value, inputs_items_item_lock_kind, inputs_items_item_lock_data_length = (
                _unpack_from_6(data, at)
            )
            if inputs_items_item_lock_data_length > 322:
                raise length_out_of_bounds(
                    "HistoryEntry.inputs.lock.data", inputs_items_item_lock_data_length
                )
            begin = at + 11
            at = begin + inputs_items_item_lock_data_length
            inputs_items_item_lock_data = data[begin:at]
            inputs_items.append(
                Output(
                    inputs_items_item_value, Lock(inputs_items_item_lock_kind, inputs_items_item_lock_data)
                ),
            )
        inputs = tuple(inputs_items)
        (outputs_count,) = _unpack_from_3(data, at)
        at += 2
        if 13 * outputs_count > size - at:
            raise truncated("HistoryEntry.outputs")
        outputs_items = []
        for _ in range(outputs_count):
            (
                outputs_items_item_index,
                outputs_items_item_output_value,
                outputs_items_item_output_lock_kind,
                outputs_items_item_output_lock_data_length,
            ) = _unpack_from_1(data, at)
            if outputs_items_item_output_lock_data_length > 322:
                raise length_out_of_bounds(
                    "HistoryEntry.outputs.output.lock.data", outputs_items_item_output_lock_data_length
                )
            begin = at + 13
            at = begin + outputs_items_item_output_lock_data_length
            outputs_items_item_output_lock_data = data[begin:at]
            outputs_items.append(
                KeptOutput(
                    outputs_items_item_index,
                    Output(
                        outputs_items_item_output_value,
                        Lock(outputs_items_item_output_lock_kind, outputs_items_item_output_lock_data),
                    ),
                ),
            )
        outputs = tuple(outputs_items)
    except struct.error:
        raise truncated("HistoryEntry") from None
    if at != size:
        raise ends_elsewhere("HistoryEntry", at, size)
    return HistoryEntry(
        txid,
        released == 1,
        height,
        position,
        time,
        created,
        comment,
        comment_to,
        reason,
        coinbase == 1,
        foreign,
        inputs,
        outputs,
    )


def pack_history_entry(value: HistoryEntry) -> bytes:
    """The encoding of the fields."""
    try:
        txid = value.txid
        if len(txid) != 32:
            raise unfit("HistoryEntry.txid", txid)
        comment = from_text(value.comment, "HistoryEntry.comment")
        if len(comment) > 4096:
            raise unfit("HistoryEntry.comment", comment)
        comment_to = from_text(value.comment_to, "HistoryEntry.comment_to")
        if len(comment_to) > 4096:
            raise unfit("HistoryEntry.comment_to", comment_to)
        reason = from_text(value.reason, "HistoryEntry.reason")
        inputs = value.inputs
        inputs_pieces: list[bytes] = []
        for inputs_item in inputs:
            inputs_item_lock = inputs_item.lock
            inputs_item_lock_data = inputs_item_lock.data
            if len(inputs_item_lock_data) > 322:
                raise unfit("HistoryEntry.inputs.lock.data", inputs_item_lock_data)
            inputs_pieces += (
                _pack_6(inputs_item.value, inputs_item_lock.kind, len(inputs_item_lock_data)),
                inputs_item_lock_data,
            )
        outputs = value.outputs
        outputs_pieces: list[bytes] = []
        for outputs_item in outputs:
            outputs_item_output = outputs_item.output
            outputs_item_output_lock = outputs_item_output.lock
            outputs_item_output_lock_data = outputs_item_output_lock.data
            if len(outputs_item_output_lock_data) > 322:
                raise unfit("HistoryEntry.outputs.output.lock.data", outputs_item_output_lock_data)
            outputs_pieces += (
                _pack_1(
                    outputs_item.index,
                    outputs_item_output.value,
                    outputs_item_output_lock.kind,
                    len(outputs_item_output_lock_data),
                ),
                outputs_item_output_lock_data,
            )
        return b"".join(
            (
                _pack_7(
                    txid,
                    value.released,
                    value.height,
                    value.position,
                    value.time,
                    value.created,
                    len(comment),
                ),
                comment,
                _pack_3(len(comment_to)),
                comment_to,
                _pack_4(len(reason)),
                reason,
                _pack_8(value.coinbase, value.foreign, len(inputs)),
                *inputs_pieces,
                _pack_3(len(outputs)),
                *outputs_pieces,
            )
        )
    except struct.error as error:
        raise unfit("HistoryEntry", str(error)) from None


def decode_receipt(data: bytes) -> Receipt:
    """Decode all of `data`."""
    try:
        value_2, coinbase = _unpack_9(data)
    except struct.error:
        raise ends_elsewhere("Receipt", 9, len(data)) from None
    if coinbase > 1:
        raise not_a_choice("Receipt.coinbase", coinbase)
    return Receipt(value_2, coinbase == 1)


def pack_receipt(value: Receipt) -> bytes:
    """The encoding of the fields."""
    try:
        return _pack_10(value.value, value.coinbase)
    except struct.error as error:
        raise unfit("Receipt", str(error)) from None


def decode_owners(data: bytes) -> Owners:
    """Decode all of `data`."""
    size = len(data)
    try:
        (names_count,) = _unpack_from_3(data, 0)
        if names_count > 10000:
            raise count_out_of_bounds("Owners.names", names_count)
        at = 2
        if 1 * names_count > size - at:
            raise truncated("Owners.names")
        names_items = []
        for _ in range(names_count):
            (names_items_item_length,) = _unpack_from_4(data, at)
            if names_items_item_length > 80:
                raise length_out_of_bounds("Owners.names", names_items_item_length)
            end = at + 1 + names_items_item_length
            if end > size:
                raise truncated("Owners.names")
            names_items_item = to_text(data[at + 1 : end], "Owners.names")
            at = end
            names_items.append(names_items_item)
        names = tuple(names_items)
    except struct.error:
        raise truncated("Owners") from None
    if at != size:
        raise ends_elsewhere("Owners", at, size)
    return Owners(names)


def pack_owners(value: Owners) -> bytes:
    """The encoding of the fields."""
    try:
        names = value.names
        if len(names) > 10000:
            raise unfit("Owners.names", len(names))
        names_pieces: list[bytes] = []
        for names_item in names:
            names_item_2 = from_text(names_item, "Owners.names")
            if len(names_item_2) > 80:
                raise unfit("Owners.names", names_item_2)
            names_pieces += (_pack_4(len(names_item_2)), names_item_2)
        return b"".join((_pack_3(len(names)), *names_pieces))
    except struct.error as error:
        raise unfit("Owners", str(error)) from None


def decode_rescan_mark(data: bytes) -> RescanMark:
    """Decode all of `data`."""
    try:
        fields = _unpack_11(data)
    except struct.error:
        raise ends_elsewhere("RescanMark", 24, len(data)) from None
    return RescanMark(*fields)


def pack_rescan_mark(value: RescanMark) -> bytes:
    """The encoding of the fields."""
    try:
        return _pack_11(value.first, value.following, value.last)
    except struct.error as error:
        raise unfit("RescanMark", str(error)) from None


bind(KeptOutput, decode_kept_output, pack_kept_output)
bind(HistoryEntry, decode_history_entry, pack_history_entry)
bind(Receipt, decode_receipt, pack_receipt)
bind(Owners, decode_owners, pack_owners)
bind(RescanMark, decode_rescan_mark, pack_rescan_mark)
