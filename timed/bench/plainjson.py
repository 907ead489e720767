"""JSON lines as the original node wrote and read them: the baseline.

Byte strings are arrays of integers, written as `timed.wire.jsonlines` writes them.
Reading checks what serde checked there: types, ranges, lengths, missing keys. The
reader of sessions is stricter (nothing twice, canonical payloads), which makes it
slower than JSON has to be; measuring against it alone would lean our way.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import construct as cs

from timed.codec.declare import Array, Choice, Flag, Maybe, PrefixedBytes, Record, Text
from timed.codec.interpret import class_of
from timed.errors import DecodeError, LocalError
from timed.wire.catalogue import BY_NAME
from timed.wire.jsonlines import writer_of
from timed.wire.message import Message

Converter = Callable[[Any], Any]

_dumps = json.JSONEncoder(separators=(",", ":")).encode
_loads = json.JSONDecoder().decode


def reader(layout: Any) -> Converter:
    """From what `json` read to a value; ValueError, TypeError or KeyError when it does not fit."""
    if isinstance(layout, Record):
        cls = class_of(layout)
        fields = [(key, reader(sub)) for key, sub in layout.fields]
        return lambda value: cls(**{key: convert(value[key]) for key, convert in fields})
    if isinstance(layout, Array):
        item = reader(layout.item)
        return lambda value: tuple([item(each) for each in value])
    if isinstance(layout, Maybe):
        some = reader(layout.item)
        return lambda value: None if value is None else some(value)
    return _scalar(layout)


def _scalar(layout: Any) -> Converter:
    if isinstance(layout, cs.Bytes):
        return _sized(layout.length, layout.length)
    if isinstance(layout, Text):
        return _of_type(str)
    if isinstance(layout, PrefixedBytes):
        return _sized(layout.minimum, layout.maximum)
    if isinstance(layout, Flag):
        return _of_type(bool)
    if isinstance(layout, Choice):
        return _one_of(layout.allowed)
    if isinstance(layout, cs.FormatField):
        return _integer((1 << (8 * layout.length)) - 1)
    raise LocalError(f"{layout!r} is not a layout of this project.")


def _sized(minimum: int, maximum: int) -> Converter:
    def convert(value: Any) -> bytes:
        data = bytes(value)
        if not minimum <= len(data) <= maximum or type(value) is not list:
            raise ValueError("length")
        return data

    return convert


def _of_type(wanted: type) -> Converter:
    def convert(value: Any) -> Any:
        if type(value) is not wanted:
            raise TypeError("type")
        return value

    return convert


def _one_of(allowed: tuple[int, ...]) -> Converter:
    def convert(value: Any) -> Any:
        if value not in allowed:
            raise ValueError("choice")
        return value

    return convert


def _integer(maximum: int) -> Converter:
    def convert(value: Any) -> Any:
        if type(value) is not int or not 0 <= value <= maximum:
            raise ValueError("range")
        return value

    return convert


_WRITERS = {name: writer_of(entry.layout) for name, entry in BY_NAME.items()}
_READERS = {name: reader(entry.layout) for name, entry in BY_NAME.items()}


def encode_line(message: Message) -> bytes:
    """One line without the line feed."""
    name = type(message).__name__
    return _dumps({name: _WRITERS[name](message)}).encode("ascii")


def decode_line(line: bytes) -> Message:
    """The message of a line; DecodeError when it is none."""
    try:
        ((name, fields),) = _loads(line.decode("utf-8")).items()
        message: Message = _READERS[name](fields)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DecodeError("json-message", str(error)) from None
    return message
