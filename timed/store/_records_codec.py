"""Generated from timed.store.layouts by `python -m timed.codec`; not to be edited."""

from __future__ import annotations

import struct

from timed.codec.runtime import (
    count_out_of_bounds,
    ends_elsewhere,
    few,
    from_text,
    length_out_of_bounds,
    many,
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
from timed.store.records import (
    Batch,
    CoinRecord,
    FrameHeader,
    HeightRecord,
    Identity,
    Location,
    Seal,
    SegmentHeader,
    TipRecord,
)

_unpack_0 = struct.Struct("<8sH32sQLQQB8s").unpack
_pack_1 = struct.Struct("<8sH32sQLQQ?8s").pack
_unpack_2 = struct.Struct("<8sQLL").unpack
_pack_2 = struct.Struct("<8sQLL").pack
_unpack_3 = struct.Struct("<L").unpack
_pack_3 = struct.Struct("<L").pack
_unpack_from_3 = struct.Struct("<L").unpack_from
_unpack_from_4 = struct.Struct("<HB").unpack_from
_unpack_from_5 = struct.Struct("<32s").unpack_from
_pack_4 = struct.Struct("<HB").pack
_pack_5 = struct.Struct("<32s").pack
_unpack_from_6 = struct.Struct("<Q32sQQH").unpack_from
_pack_6 = struct.Struct("<Q32sQQH").pack
_unpack_7 = struct.Struct("<QBH20sQB").unpack
_unpack_from_8 = struct.Struct("<QBH").unpack_from
_unpack_from_9 = struct.Struct("<QB").unpack_from
_pack_10 = struct.Struct("<QBH20sQ?").pack
_pack_8 = struct.Struct("<QBH").pack
_pack_11 = struct.Struct("<Q?").pack
_unpack_12 = struct.Struct("<QL").unpack
_pack_12 = struct.Struct("<QL").pack
_unpack_13 = struct.Struct("<Q").unpack
_pack_13 = struct.Struct("<Q").pack
_few_2048 = few(2048)
_many_2048 = many(2048)
_WIDTH_2048 = frozenset((2048,))


def decode_segment_header(data: bytes) -> SegmentHeader:
    """Decode all of `data`."""
    try:
        magic, version, genesis, epoch, sequence, first_batch, previous_end, doubtful, marker = _unpack_0(
            data
        )
    except struct.error:
        raise ends_elsewhere("SegmentHeader", 79, len(data)) from None
    if doubtful > 1:
        raise not_a_choice("SegmentHeader.doubtful", doubtful)
    return SegmentHeader(
        magic, version, genesis, epoch, sequence, first_batch, previous_end, doubtful == 1, marker
    )


def pack_segment_header(value: SegmentHeader) -> bytes:
    """The encoding of the fields."""
    try:
        magic = value.magic
        if len(magic) != 8:
            raise unfit("SegmentHeader.magic", magic)
        genesis = value.genesis
        if len(genesis) != 32:
            raise unfit("SegmentHeader.genesis", genesis)
        marker = value.marker
        if len(marker) != 8:
            raise unfit("SegmentHeader.marker", marker)
        return _pack_1(
            magic,
            value.version,
            genesis,
            value.epoch,
            value.sequence,
            value.first_batch,
            value.previous_end,
            value.doubtful,
            marker,
        )
    except struct.error as error:
        raise unfit("SegmentHeader", str(error)) from None


def decode_frame_header(data: bytes) -> FrameHeader:
    """Decode all of `data`."""
    try:
        fields = _unpack_2(data)
    except struct.error:
        raise ends_elsewhere("FrameHeader", 24, len(data)) from None
    return FrameHeader(*fields)


def pack_frame_header(value: FrameHeader) -> bytes:
    """The encoding of the fields."""
    try:
        marker = value.marker
        if len(marker) != 8:
            raise unfit("FrameHeader.marker", marker)
        return _pack_2(marker, value.batch, value.length, value.checksum)
    except struct.error as error:
        raise unfit("FrameHeader", str(error)) from None


def decode_seal(data: bytes) -> Seal:
    """Decode all of `data`."""
    try:
        fields = _unpack_3(data)
    except struct.error:
        raise ends_elsewhere("Seal", 4, len(data)) from None
    return Seal(*fields)


def pack_seal(value: Seal) -> bytes:
    """The encoding of the fields."""
    try:
        return _pack_3(value.checksum)
    except struct.error as error:
        raise unfit("Seal", str(error)) from None


def decode_batch(data: bytes) -> Batch:
    """Decode all of `data`."""
    size = len(data)
    try:
        (records_count,) = _unpack_from_3(data, 0)
        if records_count > 65535:
            raise count_out_of_bounds("Batch.records", records_count)
        at = 4
        if 4 * records_count > size - at:
            raise truncated("Batch.records")
        records_items = []
        for _ in range(records_count):
            (records_items_item_length,) = _unpack_from_3(data, at)
            if records_items_item_length > 8388608:
                raise length_out_of_bounds("Batch.records", records_items_item_length)
            begin = at + 4
            at = begin + records_items_item_length
            records_items_item = data[begin:at]
            records_items.append(records_items_item)
        records = tuple(records_items)
    except struct.error:
        raise truncated("Batch") from None
    if at != size:
        raise ends_elsewhere("Batch", at, size)
    return Batch(records)


def pack_batch(value: Batch) -> bytes:
    """The encoding of the fields."""
    try:
        records = value.records
        if len(records) > 65535:
            raise unfit("Batch.records", len(records))
        records_pieces: list[bytes] = []
        for records_item in records:
            records_item_2 = records_item
            if len(records_item_2) > 8388608:
                raise unfit("Batch.records", records_item_2)
            records_pieces += (_pack_3(len(records_item_2)), records_item_2)
        return b"".join((_pack_3(len(records)), *records_pieces))
    except struct.error as error:
        raise unfit("Batch", str(error)) from None


def decode_identity(data: bytes) -> Identity:
    """Decode all of `data`."""
    size = len(data)
    try:
        schema, network_length = _unpack_from_4(data, 0)
        if network_length > 32:
            raise length_out_of_bounds("Identity.network", network_length)
        end = 3 + network_length
        if end > size:
            raise truncated("Identity.network")
        network = to_text(data[3:end], "Identity.network")
        at = end
        (genesis,) = _unpack_from_5(data, at)
    except struct.error:
        raise truncated("Identity") from None
    if at + 32 != size:
        raise ends_elsewhere("Identity", at + 32, size)
    return Identity(schema, network, genesis)


def pack_identity(value: Identity) -> bytes:
    """The encoding of the fields."""
    try:
        network = from_text(value.network, "Identity.network")
        if len(network) > 32:
            raise unfit("Identity.network", network)
        genesis = value.genesis
        if len(genesis) != 32:
            raise unfit("Identity.genesis", genesis)
        return b"".join((_pack_4(value.schema, len(network)), network, _pack_5(genesis)))
    except struct.error as error:
        raise unfit("Identity", str(error)) from None


def decode_tip_record(data: bytes) -> TipRecord:
    """Decode all of `data`."""
    size = len(data)
    try:
        height, block_hash, coins, supply, digests_count = _unpack_from_6(data, 0)
        if digests_count > 256:
            raise count_out_of_bounds("TipRecord.digests", digests_count)
        if digests_count <= 32:
            digests = _few_2048[digests_count](data, 58)
        else:
            digests = _many_2048(data, 58, digests_count)
        at = 58 + 2048 * digests_count
    except struct.error:
        raise truncated("TipRecord") from None
    if at != size:
        raise ends_elsewhere("TipRecord", at, size)
    return TipRecord(height, block_hash, coins, supply, digests)


def pack_tip_record(value: TipRecord) -> bytes:
    """The encoding of the fields."""
    try:
        block_hash = value.block_hash
        if len(block_hash) != 32:
            raise unfit("TipRecord.block_hash", block_hash)
        digests = value.digests
        if len(digests) > 256:
            raise unfit("TipRecord.digests", len(digests))
        if not _WIDTH_2048.issuperset(map(len, digests)):
            raise unfit("TipRecord.digests", digests)
        return b"".join(
            (_pack_6(value.height, block_hash, value.coins, value.supply, len(digests)), *digests)
        )
    except struct.error as error:
        raise unfit("TipRecord", str(error)) from None


def decode_coin_record(data: bytes) -> CoinRecord:
    """Decode all of `data`."""
    size = len(data)
    if size == 40:
        output_value, output_lock_kind, output_lock_data_length, output_lock_data, height, coinbase = (
            _unpack_7(data)
        )
        if output_lock_data_length == 20:
            if coinbase > 1:
                raise not_a_choice("CoinRecord.coinbase", coinbase)
            return CoinRecord(
                Output(output_value, Lock(output_lock_kind, output_lock_data)), height, coinbase == 1
            )
    try:
        output_value, output_lock_kind, output_lock_data_length = _unpack_from_8(data, 0)
        if output_lock_data_length > 322:
            raise length_out_of_bounds("CoinRecord.output.lock.data", output_lock_data_length)
        at = 11 + output_lock_data_length
        output_lock_data = data[11:at]
        height, coinbase = _unpack_from_9(data, at)
        if coinbase > 1:
            raise not_a_choice("CoinRecord.coinbase", coinbase)
    except struct.error:
        raise truncated("CoinRecord") from None
    if at + 9 != size:
        raise ends_elsewhere("CoinRecord", at + 9, size)
    return CoinRecord(Output(output_value, Lock(output_lock_kind, output_lock_data)), height, coinbase == 1)


def pack_coin_record(value: CoinRecord) -> bytes:
    """The encoding of the fields."""
    try:
        output = value.output
        output_lock = output.lock
        output_lock_data = output_lock.data
        if len(output_lock_data) == 20:
            return _pack_10(
                output.value, output_lock.kind, 20, output_lock_data, value.height, value.coinbase
            )
        else:
            output = value.output
            output_lock = output.lock
            output_lock_data = output_lock.data
            if len(output_lock_data) > 322:
                raise unfit("CoinRecord.output.lock.data", output_lock_data)
            return b"".join(
                (
                    _pack_8(output.value, output_lock.kind, len(output_lock_data)),
                    output_lock_data,
                    _pack_11(value.height, value.coinbase),
                )
            )
    except struct.error as error:
        raise unfit("CoinRecord", str(error)) from None


def decode_location(data: bytes) -> Location:
    """Decode all of `data`."""
    try:
        fields = _unpack_12(data)
    except struct.error:
        raise ends_elsewhere("Location", 12, len(data)) from None
    return Location(*fields)


def pack_location(value: Location) -> bytes:
    """The encoding of the fields."""
    try:
        return _pack_12(value.height, value.position)
    except struct.error as error:
        raise unfit("Location", str(error)) from None


def decode_height_record(data: bytes) -> HeightRecord:
    """Decode all of `data`."""
    try:
        fields = _unpack_13(data)
    except struct.error:
        raise ends_elsewhere("HeightRecord", 8, len(data)) from None
    return HeightRecord(*fields)


def pack_height_record(value: HeightRecord) -> bytes:
    """The encoding of the fields."""
    try:
        return _pack_13(value.height)
    except struct.error as error:
        raise unfit("HeightRecord", str(error)) from None


bind(SegmentHeader, decode_segment_header, pack_segment_header)
bind(FrameHeader, decode_frame_header, pack_frame_header)
bind(Seal, decode_seal, pack_seal)
bind(Batch, decode_batch, pack_batch)
bind(Identity, decode_identity, pack_identity)
bind(TipRecord, decode_tip_record, pack_tip_record)
bind(CoinRecord, decode_coin_record, pack_coin_record)
bind(Location, decode_location, pack_location)
bind(HeightRecord, decode_height_record, pack_height_record)
