"""Generated from timed.store.layouts by `python -m timed.codec`; not to be edited."""

from __future__ import annotations

import struct
from itertools import chain

from timed.codec.runtime import (
    count_out_of_bounds,
    from_text,
    length_out_of_bounds,
    not_a_choice,
    to_text,
    trailing,
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

_unpack_from_0 = struct.Struct("<8sH32sQLQQB8s").unpack_from
_pack_1 = struct.Struct("<8sH32sQLQQ?8s").pack
_unpack_from_2 = struct.Struct("<8sQLL").unpack_from
_pack_2 = struct.Struct("<8sQLL").pack
_unpack_from_3 = struct.Struct("<L").unpack_from
_pack_3 = struct.Struct("<L").pack
_unpack_from_4 = struct.Struct("<HB").unpack_from
_unpack_from_5 = struct.Struct("<32s").unpack_from
_pack_4 = struct.Struct("<HB").pack
_pack_5 = struct.Struct("<32s").pack
_unpack_from_6 = struct.Struct("<Q32sQQH").unpack_from
_iter_unpack_7 = struct.Struct("<2048s").iter_unpack
_pack_6 = struct.Struct("<Q32sQQH").pack
_unpack_from_8 = struct.Struct("<QBH").unpack_from
_unpack_from_9 = struct.Struct("<QB").unpack_from
_pack_8 = struct.Struct("<QBH").pack
_pack_10 = struct.Struct("<Q?").pack
_unpack_from_11 = struct.Struct("<QL").unpack_from
_pack_11 = struct.Struct("<QL").pack
_unpack_from_12 = struct.Struct("<Q").unpack_from
_pack_12 = struct.Struct("<Q").pack
_WIDTH_2048 = frozenset((2048,))


def decode_segment_header(data: bytes) -> SegmentHeader:
    """Decode all of `data`."""
    size = len(data)
    if size < 79:
        raise truncated("SegmentHeader")
    if size > 79:
        raise trailing("SegmentHeader", size - 79)
    magic, version, genesis, epoch, sequence, first_batch, previous_end, doubtful, marker = _unpack_from_0(
        data, 0
    )
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
    size = len(data)
    if size < 24:
        raise truncated("FrameHeader")
    if size > 24:
        raise trailing("FrameHeader", size - 24)
    marker, batch, length, checksum = _unpack_from_2(data, 0)
    return FrameHeader(marker, batch, length, checksum)


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
    size = len(data)
    if size < 4:
        raise truncated("Seal")
    if size > 4:
        raise trailing("Seal", size - 4)
    (checksum,) = _unpack_from_3(data, 0)
    return Seal(checksum)


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
            (records_item_length,) = _unpack_from_3(data, at)
            at += 4
            if records_item_length > 8388608:
                raise length_out_of_bounds("Batch.records", records_item_length)
            end = at + records_item_length
            if end > size:
                raise truncated("Batch.records")
            records_item = data[at:end]
            at = end
            records_items.append(records_item)
        records = tuple(records_items)
    except struct.error:
        raise truncated("Batch") from None
    if at != size:
        raise trailing("Batch", size - at)
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
        at += 32
    except struct.error:
        raise truncated("Identity") from None
    if at != size:
        raise trailing("Identity", size - at)
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
        end = 58 + 2048 * digests_count
        if end > size:
            raise truncated("TipRecord.digests")
        digests = tuple(chain.from_iterable(_iter_unpack_7(data[58:end])))
        at = end
    except struct.error:
        raise truncated("TipRecord") from None
    if at != size:
        raise trailing("TipRecord", size - at)
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
    try:
        output_value, output_lock_kind, output_lock_data_length = _unpack_from_8(data, 0)
        if output_lock_data_length > 322:
            raise length_out_of_bounds("CoinRecord.output.lock.data", output_lock_data_length)
        end = 11 + output_lock_data_length
        if end > size:
            raise truncated("CoinRecord.output.lock.data")
        output_lock_data = data[11:end]
        at = end
        height, coinbase = _unpack_from_9(data, at)
        at += 9
        if coinbase > 1:
            raise not_a_choice("CoinRecord.coinbase", coinbase)
    except struct.error:
        raise truncated("CoinRecord") from None
    if at != size:
        raise trailing("CoinRecord", size - at)
    return CoinRecord(Output(output_value, Lock(output_lock_kind, output_lock_data)), height, coinbase == 1)


def pack_coin_record(value: CoinRecord) -> bytes:
    """The encoding of the fields."""
    try:
        output = value.output
        output_lock = output.lock
        output_lock_data = output_lock.data
        if len(output_lock_data) > 322:
            raise unfit("CoinRecord.output.lock.data", output_lock_data)
        return b"".join(
            (
                _pack_8(output.value, output_lock.kind, len(output_lock_data)),
                output_lock_data,
                _pack_10(value.height, value.coinbase),
            )
        )
    except struct.error as error:
        raise unfit("CoinRecord", str(error)) from None


def decode_location(data: bytes) -> Location:
    """Decode all of `data`."""
    size = len(data)
    if size < 12:
        raise truncated("Location")
    if size > 12:
        raise trailing("Location", size - 12)
    height, position = _unpack_from_11(data, 0)
    return Location(height, position)


def pack_location(value: Location) -> bytes:
    """The encoding of the fields."""
    try:
        return _pack_11(value.height, value.position)
    except struct.error as error:
        raise unfit("Location", str(error)) from None


def decode_height_record(data: bytes) -> HeightRecord:
    """Decode all of `data`."""
    size = len(data)
    if size < 8:
        raise truncated("HeightRecord")
    if size > 8:
        raise trailing("HeightRecord", size - 8)
    (height,) = _unpack_from_12(data, 0)
    return HeightRecord(height)


def pack_height_record(value: HeightRecord) -> bytes:
    """The encoding of the fields."""
    try:
        return _pack_12(value.height)
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
