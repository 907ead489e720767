"""Generated from timed.feed.layouts by `python -m timed.codec`; not to be edited."""

from __future__ import annotations

import struct

from timed.codec.runtime import (
    count_out_of_bounds,
    ends_elsewhere,
    from_text,
    length_out_of_bounds,
    to_text,
    truncated,
    unfit,
)
from timed.codec.value import (
    bind,
)
from timed.feed.records import (
    LockTouch,
    LogState,
    Mark,
    Position,
    StoredEvent,
)
from timed.primitives.transaction import (
    Lock,
)

_unpack_0 = struct.Struct("<BH20sQQ").unpack
_unpack_from_1 = struct.Struct("<BH").unpack_from
_unpack_from_2 = struct.Struct("<QQ").unpack_from
_pack_0 = struct.Struct("<BH20sQQ").pack
_pack_1 = struct.Struct("<BH").pack
_pack_2 = struct.Struct("<QQ").pack
_unpack_from_3 = struct.Struct("<B").unpack_from
_unpack_from_4 = struct.Struct("<QB").unpack_from
_unpack_from_5 = struct.Struct("<H").unpack_from
_unpack_from_6 = struct.Struct("<L").unpack_from
_pack_3 = struct.Struct("<B").pack
_pack_4 = struct.Struct("<QB").pack
_pack_5 = struct.Struct("<H").pack
_pack_6 = struct.Struct("<L").pack
_unpack_7 = struct.Struct("<4sQQQQ").unpack
_pack_7 = struct.Struct("<4sQQQQ").pack
_unpack_2 = struct.Struct("<QQ").unpack
_unpack_8 = struct.Struct("<4sQ").unpack
_pack_8 = struct.Struct("<4sQ").pack


def decode_lock_touch(data: bytes) -> LockTouch:
    """Decode all of `data`."""
    size = len(data)
    if size == 39:
        lock_kind, lock_data_length, lock_data, received, spent = _unpack_0(data)
        if lock_data_length == 20:
            return LockTouch(Lock(lock_kind, lock_data), received, spent)
    try:
        lock_kind, lock_data_length = _unpack_from_1(data, 0)
        if lock_data_length > 322:
            raise length_out_of_bounds("LockTouch.lock.data", lock_data_length)
        at = 3 + lock_data_length
        lock_data = data[3:at]
        received, spent = _unpack_from_2(data, at)
    except struct.error:
        raise truncated("LockTouch") from None
    if at + 16 != size:
        raise ends_elsewhere("LockTouch", at + 16, size)
    return LockTouch(Lock(lock_kind, lock_data), received, spent)


def pack_lock_touch(value: LockTouch) -> bytes:
    """The encoding of the fields."""
    try:
        lock = value.lock
        lock_data = lock.data
        if len(lock_data) == 20:
            return _pack_0(lock.kind, 20, lock_data, value.received, value.spent)
        else:
            lock = value.lock
            lock_data = lock.data
            if len(lock_data) > 322:
                raise unfit("LockTouch.lock.data", lock_data)
            return b"".join(
                (_pack_1(lock.kind, len(lock_data)), lock_data, _pack_2(value.received, value.spent))
            )
    except struct.error as error:
        raise unfit("LockTouch", str(error)) from None


def decode_stored_event(data: bytes) -> StoredEvent:
    """Decode all of `data`."""
    size = len(data)
    try:
        (type_length,) = _unpack_from_3(data, 0)
        if type_length > 32:
            raise length_out_of_bounds("StoredEvent.type", type_length)
        end = 1 + type_length
        if end > size:
            raise truncated("StoredEvent.type")
        type_ = to_text(data[1:end], "StoredEvent.type")
        at = end
        time_us, subject_length = _unpack_from_4(data, at)
        if subject_length > 64:
            raise length_out_of_bounds("StoredEvent.subject", subject_length)
        begin = at + 9
        at = begin + subject_length
        subject = data[begin:at]
        (data_length,) = _unpack_from_5(data, at)
        if data_length > 16384:
            raise length_out_of_bounds("StoredEvent.data", data_length)
        begin = at + 2
        at = begin + data_length
        data_2 = data[begin:at]
        (touches_count,) = _unpack_from_6(data, at)
        if touches_count > 69631:
            raise count_out_of_bounds("StoredEvent.touches", touches_count)
        at += 4
        if 19 * touches_count > size - at:
            raise truncated("StoredEvent.touches")
        touches_items = []
        for _ in range(touches_count):
            touches_items_item_lock_kind, touches_items_item_lock_data_length = _unpack_from_1(data, at)
            if touches_items_item_lock_data_length > 322:
                raise length_out_of_bounds(
                    "StoredEvent.touches.lock.data", touches_items_item_lock_data_length
                )
            begin = at + 3
            at = begin + touches_items_item_lock_data_length
            touches_items_item_lock_data = data[begin:at]
            touches_items_item_received, touches_items_item_spent = _unpack_from_2(data, at)
            touches_items.append(
                LockTouch(
                    Lock(touches_items_item_lock_kind, touches_items_item_lock_data),
                    touches_items_item_received,
                    touches_items_item_spent,
                ),
            )
            at += 16
        touches = tuple(touches_items)
    except struct.error:
        raise truncated("StoredEvent") from None
    if at != size:
        raise ends_elsewhere("StoredEvent", at, size)
    return StoredEvent(type_, time_us, subject, data_2, touches)


def pack_stored_event(value: StoredEvent) -> bytes:
    """The encoding of the fields."""
    try:
        type_ = from_text(value.type, "StoredEvent.type")
        if len(type_) > 32:
            raise unfit("StoredEvent.type", type_)
        subject = value.subject
        if len(subject) > 64:
            raise unfit("StoredEvent.subject", subject)
        data_2 = value.data
        if len(data_2) > 16384:
            raise unfit("StoredEvent.data", data_2)
        touches = value.touches
        if len(touches) > 69631:
            raise unfit("StoredEvent.touches", len(touches))
        touches_pieces: list[bytes] = []
        for touches_item in touches:
            touches_item_lock = touches_item.lock
            touches_item_lock_data = touches_item_lock.data
            if len(touches_item_lock_data) > 322:
                raise unfit("StoredEvent.touches.lock.data", touches_item_lock_data)
            touches_pieces += (
                _pack_1(touches_item_lock.kind, len(touches_item_lock_data)),
                touches_item_lock_data,
                _pack_2(touches_item.received, touches_item.spent),
            )
        return b"".join(
            (
                _pack_3(len(type_)),
                type_,
                _pack_4(value.time_us, len(subject)),
                subject,
                _pack_5(len(data_2)),
                data_2,
                _pack_6(len(touches)),
                *touches_pieces,
            )
        )
    except struct.error as error:
        raise unfit("StoredEvent", str(error)) from None


def decode_log_state(data: bytes) -> LogState:
    """Decode all of `data`."""
    try:
        fields = _unpack_7(data)
    except struct.error:
        raise ends_elsewhere("LogState", 36, len(data)) from None
    return LogState(*fields)


def pack_log_state(value: LogState) -> bytes:
    """The encoding of the fields."""
    try:
        log_id = value.log_id
        if len(log_id) != 4:
            raise unfit("LogState.log_id", log_id)
        return _pack_7(log_id, value.first, value.next, value.size, value.dropped)
    except struct.error as error:
        raise unfit("LogState", str(error)) from None


def decode_mark(data: bytes) -> Mark:
    """Decode all of `data`."""
    try:
        fields = _unpack_2(data)
    except struct.error:
        raise ends_elsewhere("Mark", 16, len(data)) from None
    return Mark(*fields)


def pack_mark(value: Mark) -> bytes:
    """The encoding of the fields."""
    try:
        return _pack_2(value.accepted, value.final)
    except struct.error as error:
        raise unfit("Mark", str(error)) from None


def decode_position(data: bytes) -> Position:
    """Decode all of `data`."""
    try:
        fields = _unpack_8(data)
    except struct.error:
        raise ends_elsewhere("Position", 12, len(data)) from None
    return Position(*fields)


def pack_position(value: Position) -> bytes:
    """The encoding of the fields."""
    try:
        log_id = value.log_id
        if len(log_id) != 4:
            raise unfit("Position.log_id", log_id)
        return _pack_8(log_id, value.sequence)
    except struct.error as error:
        raise unfit("Position", str(error)) from None


bind(LockTouch, decode_lock_touch, pack_lock_touch)
bind(StoredEvent, decode_stored_event, pack_stored_event)
bind(LogState, decode_log_state, pack_log_state)
bind(Mark, decode_mark, pack_mark)
bind(Position, decode_position, pack_position)
