"""Generated from timed.index.layouts by `python -m timed.codec`; not to be edited."""

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
from timed.index.records import (
    Account,
    Holding,
    IndexIdentity,
    Progress,
    Spend,
    SpentOutputs,
    Totals,
    Touch,
)
from timed.primitives.transaction import (
    Lock,
    Output,
)

_unpack_from_0 = struct.Struct("<HB").unpack_from
_unpack_from_1 = struct.Struct("<32s").unpack_from
_pack_0 = struct.Struct("<HB").pack
_pack_1 = struct.Struct("<32s").pack
_unpack_2 = struct.Struct("<Q32s").unpack
_pack_2 = struct.Struct("<Q32s").pack
_unpack_3 = struct.Struct("<QQQQQQQ").unpack
_pack_3 = struct.Struct("<QQQQQQQ").pack
_unpack_4 = struct.Struct("<32sQQ").unpack
_pack_4 = struct.Struct("<32sQQ").pack
_unpack_5 = struct.Struct("<QQB").unpack
_pack_6 = struct.Struct("<QQ?").pack
_unpack_7 = struct.Struct("<32sQLH").unpack
_pack_7 = struct.Struct("<32sQLH").pack
_unpack_from_8 = struct.Struct("<L").unpack_from
_unpack_from_9 = struct.Struct("<QBH").unpack_from
_pack_8 = struct.Struct("<L").pack
_pack_9 = struct.Struct("<QBH").pack
_unpack_10 = struct.Struct("<QQQ").unpack
_pack_10 = struct.Struct("<QQQ").pack


def decode_index_identity(data: bytes) -> IndexIdentity:
    """Decode all of `data`."""
    size = len(data)
    try:
        schema, name_length = _unpack_from_0(data, 0)
        if name_length > 32:
            raise length_out_of_bounds("IndexIdentity.name", name_length)
        end = 3 + name_length
        if end > size:
            raise truncated("IndexIdentity.name")
        name = to_text(data[3:end], "IndexIdentity.name")
        at = end
        (genesis,) = _unpack_from_1(data, at)
    except struct.error:
        raise truncated("IndexIdentity") from None
    if at + 32 != size:
        raise ends_elsewhere("IndexIdentity", at + 32, size)
    return IndexIdentity(schema, name, genesis)


def pack_index_identity(value: IndexIdentity) -> bytes:
    """The encoding of the fields."""
    try:
        name = from_text(value.name, "IndexIdentity.name")
        if len(name) > 32:
            raise unfit("IndexIdentity.name", name)
        genesis = value.genesis
        if len(genesis) != 32:
            raise unfit("IndexIdentity.genesis", genesis)
        return b"".join((_pack_0(value.schema, len(name)), name, _pack_1(genesis)))
    except struct.error as error:
        raise unfit("IndexIdentity", str(error)) from None


def decode_progress(data: bytes) -> Progress:
    """Decode all of `data`."""
    try:
        fields = _unpack_2(data)
    except struct.error:
        raise ends_elsewhere("Progress", 40, len(data)) from None
    return Progress(*fields)


def pack_progress(value: Progress) -> bytes:
    """The encoding of the fields."""
    try:
        block_hash = value.block_hash
        if len(block_hash) != 32:
            raise unfit("Progress.block_hash", block_hash)
        return _pack_2(value.height, block_hash)
    except struct.error as error:
        raise unfit("Progress", str(error)) from None


def decode_account(data: bytes) -> Account:
    """Decode all of `data`."""
    try:
        fields = _unpack_3(data)
    except struct.error:
        raise ends_elsewhere("Account", 56, len(data)) from None
    return Account(*fields)


def pack_account(value: Account) -> bytes:
    """The encoding of the fields."""
    try:
        return _pack_3(
            value.balance,
            value.received,
            value.spent,
            value.transactions,
            value.coins,
            value.first,
            value.last,
        )
    except struct.error as error:
        raise unfit("Account", str(error)) from None


def decode_touch(data: bytes) -> Touch:
    """Decode all of `data`."""
    try:
        fields = _unpack_4(data)
    except struct.error:
        raise ends_elsewhere("Touch", 48, len(data)) from None
    return Touch(*fields)


def pack_touch(value: Touch) -> bytes:
    """The encoding of the fields."""
    try:
        txid = value.txid
        if len(txid) != 32:
            raise unfit("Touch.txid", txid)
        return _pack_4(txid, value.received, value.spent)
    except struct.error as error:
        raise unfit("Touch", str(error)) from None


def decode_holding(data: bytes) -> Holding:
    """Decode all of `data`."""
    try:
        value_2, height, coinbase = _unpack_5(data)
    except struct.error:
        raise ends_elsewhere("Holding", 17, len(data)) from None
    if coinbase > 1:
        raise not_a_choice("Holding.coinbase", coinbase)
    return Holding(value_2, height, coinbase == 1)


def pack_holding(value: Holding) -> bytes:
    """The encoding of the fields."""
    try:
        return _pack_6(value.value, value.height, value.coinbase)
    except struct.error as error:
        raise unfit("Holding", str(error)) from None


def decode_spend(data: bytes) -> Spend:
    """Decode all of `data`."""
    try:
        fields = _unpack_7(data)
    except struct.error:
        raise ends_elsewhere("Spend", 46, len(data)) from None
    return Spend(*fields)


def pack_spend(value: Spend) -> bytes:
    """The encoding of the fields."""
    try:
        txid = value.txid
        if len(txid) != 32:
            raise unfit("Spend.txid", txid)
        return _pack_7(txid, value.height, value.position, value.input)
    except struct.error as error:
        raise unfit("Spend", str(error)) from None


def decode_spent_outputs(data: bytes) -> SpentOutputs:
    """Decode all of `data`."""
    size = len(data)
    try:
        (outputs_count,) = _unpack_from_8(data, 0)
        if outputs_count > 131072:
            raise count_out_of_bounds("SpentOutputs.outputs", outputs_count)
        at = 4
        if 11 * outputs_count > size - at:
            raise truncated("SpentOutputs.outputs")
        outputs_items = []
        for _ in range(outputs_count):
            outputs_items_item_value, outputs_items_item_lock_kind, outputs_items_item_lock_data_length = (
                _unpack_from_9(data, at)
            )
            if outputs_items_item_lock_data_length > 322:
                raise length_out_of_bounds(
                    "SpentOutputs.outputs.lock.data", outputs_items_item_lock_data_length
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
    except struct.error:
        raise truncated("SpentOutputs") from None
    if at != size:
        raise ends_elsewhere("SpentOutputs", at, size)
    return SpentOutputs(outputs)


def pack_spent_outputs(value: SpentOutputs) -> bytes:
    """The encoding of the fields."""
    try:
        outputs = value.outputs
        if len(outputs) > 131072:
            raise unfit("SpentOutputs.outputs", len(outputs))
        outputs_pieces: list[bytes] = []
        for outputs_item in outputs:
            outputs_item_lock = outputs_item.lock
            outputs_item_lock_data = outputs_item_lock.data
            if len(outputs_item_lock_data) > 322:
                raise unfit("SpentOutputs.outputs.lock.data", outputs_item_lock_data)
            outputs_pieces += (
                _pack_9(outputs_item.value, outputs_item_lock.kind, len(outputs_item_lock_data)),
                outputs_item_lock_data,
            )
        return b"".join((_pack_8(len(outputs)), *outputs_pieces))
    except struct.error as error:
        raise unfit("SpentOutputs", str(error)) from None


def decode_totals(data: bytes) -> Totals:
    """Decode all of `data`."""
    try:
        fields = _unpack_10(data)
    except struct.error:
        raise ends_elsewhere("Totals", 24, len(data)) from None
    return Totals(*fields)


def pack_totals(value: Totals) -> bytes:
    """The encoding of the fields."""
    try:
        return _pack_10(value.transactions, value.fees, value.supply)
    except struct.error as error:
        raise unfit("Totals", str(error)) from None


bind(IndexIdentity, decode_index_identity, pack_index_identity)
bind(Progress, decode_progress, pack_progress)
bind(Account, decode_account, pack_account)
bind(Touch, decode_touch, pack_touch)
bind(Holding, decode_holding, pack_holding)
bind(Spend, decode_spend, pack_spend)
bind(SpentOutputs, decode_spent_outputs, pack_spent_outputs)
bind(Totals, decode_totals, pack_totals)
