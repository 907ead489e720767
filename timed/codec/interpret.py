"""The slow way: values through construct's interpreter, straight from the declarations.

Tests hold the generated code to it and the benchmark runs beside it. Plain values are
dictionaries by field name, lists, integers, bytes, text, booleans and None.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, cast

import construct as cs

from timed.codec.declare import Array, LayoutError, Maybe, Record
from timed.codec.value import Value


def class_of(record: Record) -> type[Value]:
    """The value class a declaration describes."""
    return cast(type[Value], getattr(import_module(record.home), record.title))


def to_plain(layout: Any, value: Any) -> Any:
    """The plain form of a value, or of what the interpreter parsed."""
    if isinstance(layout, Record):
        read = value.__getitem__ if isinstance(value, dict) else lambda key: getattr(value, key)
        return {key: to_plain(sub, read(key)) for key, sub in layout.fields}
    if isinstance(layout, Array):
        return [to_plain(layout.item, item) for item in value]
    if isinstance(layout, Maybe):
        return None if value is None else to_plain(layout.item, value)
    return value


def from_plain(layout: Any, plain: Any) -> Any:
    """The value of a plain form."""
    if isinstance(layout, Record):
        fields = {key: from_plain(sub, plain[key]) for key, sub in layout.fields}
        return class_of(layout)(**fields)
    if isinstance(layout, Array):
        return tuple([from_plain(layout.item, item) for item in plain])
    if isinstance(layout, Maybe):
        return None if plain is None else from_plain(layout.item, plain)
    return plain


def decode(record: Record, data: bytes) -> Value:
    """The value `data` encodes, by interpretation; LayoutError for anything else."""
    return cast(Value, from_plain(record, parse(record, data)))


def parse(record: Record, data: bytes) -> Any:
    """The plain form of what `data` encodes; LayoutError for anything else."""
    try:
        return to_plain(record, record.parse_exact(data))
    except cs.ConstructError as error:
        raise LayoutError(str(error)) from None


def encode(record: Record, value: Value) -> bytes:
    """The encoding of a value, by interpretation."""
    return build(record, to_plain(record, value))


def build(record: Record, plain: Any) -> bytes:
    """The encoding of a plain form; LayoutError when it does not fit."""
    try:
        return cast(bytes, record.build(plain))
    except cs.ConstructError as error:
        raise LayoutError(str(error)) from None
