"""Messages as JSON, one object per line, from the same declarations.

For debugging, and as the measured "before": `{"Ping":{"nonce":1,"time":2}}`, bytes as
arrays of integers, which is how the original node wrote them. Reading is as strict as
the binary codec: exactly the declared fields, integers in range, nothing twice. No
session negotiates it.
"""

from __future__ import annotations

import json
from typing import Any

import construct as cs

from timed.codec.declare import Array, Choice, Flag, LayoutError, Maybe, PrefixedBytes, Record, Text
from timed.codec.interpret import build, to_plain
from timed.errors import DecodeError
from timed.wire.catalogue import BY_NAME, MAX_MESSAGE_BYTES
from timed.wire.message import Message

EXPANSION = 16
"""A line has at most so many characters for each byte of the longest payload of its type."""
MAX_OVERHEAD = 4 * 1024
"""Names and punctuation of a message without content, beyond that."""


def encode_line(message: Message) -> bytes:
    """One line without the line feed."""
    entry = message.entry()
    fields = _to_json(entry.layout, to_plain(entry.layout, message))
    return json.dumps({entry.name: fields}, separators=(",", ":")).encode("ascii")


def decode_line(line: bytes) -> Message:
    """The message of one line; DecodeError for anything that no `encode_line` writes but spacing."""
    _check_length(line, MAX_MESSAGE_BYTES, "line")
    try:
        parsed = json.loads(
            str(line, "utf-8"),
            object_pairs_hook=_object,
            parse_float=_no_number,
            parse_constant=_no_number,
            parse_int=_integer,
        )
    except (ValueError, RecursionError):
        raise DecodeError("json-syntax", f"{len(line)} bytes") from None
    if not isinstance(parsed, dict) or len(parsed) != 1:
        raise DecodeError("json-message", "not an object of one message")
    ((name, fields),) = parsed.items()
    entry = BY_NAME.get(name)
    if entry is None:
        raise DecodeError("message-unknown", f"{name:.40}")
    _check_length(line, entry.max_size, name)
    plain = _from_json(entry.layout, fields, name)
    try:
        encoded = build(entry.layout, plain)
    except LayoutError as error:
        raise DecodeError("json-field", str(error)) from None
    if len(encoded) > entry.max_size:
        raise DecodeError("message-too-long", f"{name}: {len(encoded)} bytes")
    return entry.cls.decode(encoded)


def _check_length(line: bytes, max_size: int, name: str) -> None:
    """DecodeError("message-too-long") for a line that no message of `max_size` bytes takes."""
    if len(line) > EXPANSION * max_size + MAX_OVERHEAD:
        raise DecodeError("message-too-long", f"{name}: {len(line)} bytes")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key twice")
    return found


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no integer")


def _integer(text: str) -> int:
    if len(text) > 20 or text.startswith("-"):
        raise ValueError("an integer out of range")
    return int(text)


def _to_json(layout: Any, plain: Any) -> Any:
    if isinstance(layout, Record):
        return {key: _to_json(sub, plain[key]) for key, sub in layout.fields}
    if isinstance(layout, Array):
        return [_to_json(layout.item, item) for item in plain]
    if isinstance(layout, Maybe):
        return None if plain is None else _to_json(layout.item, plain)
    return list(plain) if isinstance(plain, bytes) else plain


def _from_json(layout: Any, value: Any, path: str) -> Any:
    """The plain value; DecodeError("json-field") for another type or other keys than declared."""
    if isinstance(layout, Record):
        keys = [key for key, _ in layout.fields]
        if not isinstance(value, dict) or sorted(value) != sorted(keys):
            raise DecodeError("json-field", path)
        return {key: _from_json(sub, value[key], f"{path}.{key}") for key, sub in layout.fields}
    if isinstance(layout, Maybe):
        return None if value is None else _from_json(layout.item, value, path)
    if isinstance(layout, Array):
        if not isinstance(value, list):
            raise DecodeError("json-field", path)
        return [_from_json(layout.item, item, path) for item in value]
    return _scalar(layout, value, path)


def _scalar(layout: Any, value: Any, path: str) -> Any:
    """A text, some bytes, a flag or an integer; ranges are left to the declaration."""
    if isinstance(layout, Text):
        fits = isinstance(value, str)
    elif isinstance(layout, (PrefixedBytes, cs.Bytes)):
        fits = isinstance(value, list) and all(type(byte) is int and byte < 256 for byte in value)
        value = bytes(value) if fits else value
    elif isinstance(layout, Flag):
        fits = isinstance(value, bool)
    else:
        fits = isinstance(layout, (cs.FormatField, Choice)) and type(value) is int
    if not fits:
        raise DecodeError("json-field", path)
    return value
