"""What generated codecs call: readers of many byte strings, and the errors when something does not fit."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from functools import cache
from operator import attrgetter, ge
from typing import Any

from timed.codec.value import EncodeError
from timed.errors import DecodeError

STRIDE = 16 * 1024
"""Bytes that a decoder which pauses reads in one step, and the rest of the item it is in."""

AT_ONCE = 32
"""Byte strings that one struct call reads; for every count up to this there is a struct."""


@cache
def few(width: int) -> tuple[Callable[[bytes, int], tuple[bytes, ...]], ...]:
    """By count, up to AT_ONCE: what reads so many strings of `width` bytes at an offset."""
    return tuple([struct.Struct("<" + f"{width}s" * count).unpack_from for count in range(AT_ONCE + 1)])


@cache
def many(width: int) -> Callable[[bytes, int, int], tuple[bytes, ...]]:
    """What reads any number of strings of `width` bytes; struct.error when the data is too short."""
    rows = struct.Struct("<" + f"{width}s" * AT_ONCE).iter_unpack
    rest = few(width)

    def read(data: bytes, at: int, count: int) -> tuple[bytes, ...]:
        over = count % AT_ONCE
        middle = at + width * (count - over)
        if middle + width * over > len(data):
            raise struct.error("fewer bytes than items")
        items: list[bytes] = []
        for row in rows(data[at:middle]):
            items += row
        items += rest[over](data, middle)
        return tuple(items)

    return read


def ends_elsewhere(where: str, end: int, size: int) -> DecodeError:
    """The value ends at `end`, the data at `size`."""
    return truncated(where) if end > size else trailing(where, size - end)


def truncated(where: str) -> DecodeError:
    """The value needs more bytes than there are."""
    return DecodeError("decode-truncated", where)


def trailing(where: str, extra: int) -> DecodeError:
    """Bytes follow the end of the value."""
    return DecodeError("decode-trailing", f"{where}: {extra} bytes")


def length_out_of_bounds(where: str, length: int) -> DecodeError:
    """A length prefix is outside its bounds."""
    return DecodeError("decode-length", f"{where}: {length}")


def count_out_of_bounds(where: str, count: int) -> DecodeError:
    """A count is outside its bounds."""
    return DecodeError("decode-count", f"{where}: {count}")


def not_a_choice(where: str, number: int) -> DecodeError:
    """An enumeration, a constant or a flag has a value it cannot have."""
    return DecodeError("decode-choice", f"{where}: {number}")


def not_ascending(where: str) -> DecodeError:
    """Items that must rise strictly do not."""
    return DecodeError("decode-order", where)


def to_text(data: bytes, where: str) -> str:
    """Strict UTF-8."""
    try:
        return str(data, "utf-8")
    except UnicodeDecodeError:
        raise DecodeError("decode-text", where) from None


def from_text(text: str, where: str) -> bytes:
    """UTF-8; EncodeError for lone surrogates."""
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise EncodeError(f"{where} is not text.") from None


def unfit(where: str, what: object) -> EncodeError:
    """A field of one of our own values does not fit its declaration."""
    return EncodeError(f"{where} does not fit its declaration: {what!r:.80}.")


def is_ascending(items: Sequence[Any]) -> bool:
    """True when every item is greater than the one before."""
    return not any(map(ge, items, items[1:]))


def is_ascending_by(name: str, items: Sequence[Any]) -> bool:
    """True when the field `name` rises strictly over `items`."""
    return is_ascending(list(map(attrgetter(name), items)))
