"""Messages as JSON, one object per line, from the same declarations.

For debugging, and as the measured "before": `{"Ping":{"nonce":1,"time":2}}`, bytes as
arrays of integers, which is how the original node wrote them. A request has its id
behind the message, `{"GetPeers":{},"id":7}`, and so has the reply,
`{"PeersResponse":{"peers":[]},"id":7,"reply":true}`. Reading is as strict as the binary
codec: exactly the declared fields, integers in range, nothing twice.

A line stands for a frame: it is read into one, with the binary encoding as its payload,
so that everything behind the reader is the same for both.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import construct as cs

from timed.codec.declare import Array, Choice, Flag, Maybe, PrefixedBytes, Record, Text
from timed.codec.interpret import class_of
from timed.codec.value import EncodeError
from timed.errors import DecodeError, LocalError
from timed.wire.catalogue import BY_NAME, MAX_MESSAGE_BYTES
from timed.wire.framing import MAX_U32, Flags, Frame, FrameError
from timed.wire.message import Message, MessageType

EXPANSION = 16
"""A line has at most so many characters for each byte of the longest payload of its type."""
MAX_OVERHEAD = 4 * 1024
"""Names and punctuation of a message without content, beyond that."""
UNKNOWN_NUMBER = 0
"""The type number of a line whose message nobody here knows; no message has it."""

Converter = Callable[[Any], Any]

_HEAD = re.compile(rb'\{"([A-Za-z0-9]{1,48})":')
_HEAD_SIZE = 64
"""No line needs more to say what it is."""
_ID, _REPLY = "id", "reply"

_dumps = json.JSONEncoder(separators=(",", ":")).encode


def encode_line(message: Message, *, request_id: int = 0, reply: bool = False) -> bytes:
    """One line without the line feed."""
    name = message.message_type()
    whole = {name: _writer(name)(message)}
    if request_id:
        whole[_ID] = request_id
    if reply:
        whole[_REPLY] = True
    return _dumps(whole).encode("ascii")


def decode_line(line: bytes) -> Message:
    """The message of one line; DecodeError for anything that no `encode_line` writes but spacing."""
    entry, frame = _read(line)
    if entry is None:
        raise DecodeError("message-unknown", f"{line[:_HEAD_SIZE]!r}")
    return entry.cls.decode(frame.payload)


class LineReader:
    """Bytes in, messages out, as `FrameReader` does it for frames.

    `limit_for` gives the longest payload of a type. It is asked when the line has
    said what it is, before more of the line is kept; a line may be `EXPANSION` times
    as long.

    FrameError: "line-start", "line-too-long"; DecodeError for what stands in the line.
    After an error nothing more is read.
    """

    def __init__(self, limit_for: Callable[[int], int]) -> None:
        self._limit_for = limit_for
        self._buffer = bytearray()
        self._limit: int | None = None
        """Of the line under way, once it has said what it is."""
        self._broken = False
        self.size = 0
        """Bytes that the message given last took on the link, the line feed included."""

    @property
    def buffered(self) -> int:
        """Bytes kept for a line that is not complete."""
        return len(self._buffer)

    def frames(self, data: bytes) -> Iterator[Frame]:
        """The messages that `data` completes, in order.

        The iterator must be exhausted before the next call, or the reader given up.
        """
        at = 0
        while not self._broken:
            end = data.find(b"\n", at)
            self._broken = True
            if end < 0:
                self._keep(data[at:] if at else data)
                self._broken = False
                return
            piece = data[at:end]
            self._check(piece, complete=True)
            line = bytes(self._buffer) + piece if self._buffer else piece
            self._buffer.clear()
            self._limit = None
            self.size = len(line) + 1
            frame = _read(line)[1]
            self._broken = False
            at = end + 1
            yield frame

    def feed(self, data: bytes) -> list[Frame]:
        """The messages that `data` completes, in order."""
        return list(self.frames(data))

    def _keep(self, piece: bytes) -> None:
        self._check(piece, complete=False)
        self._buffer += piece

    def _check(self, piece: bytes, *, complete: bool) -> None:
        """The line may be longer by `piece`."""
        size = len(self._buffer) + len(piece)
        if self._limit is None:
            if size < _HEAD_SIZE and not complete:
                return
            self._limit = self._limit_of(bytes(self._buffer[:_HEAD_SIZE]) + piece[:_HEAD_SIZE])
        if size > self._limit:
            raise FrameError("line-too-long", f"{size} bytes, at most {self._limit}")

    def _limit_of(self, head: bytes) -> int:
        match = _HEAD.match(head)
        if match is None:
            raise FrameError("line-start", repr(head[:_HEAD_SIZE]))
        entry = BY_NAME.get(match[1].decode("ascii"))
        return _longest(self._limit_for(UNKNOWN_NUMBER if entry is None else entry.number))


def _longest(payload: int) -> int:
    """Characters of the longest line for a payload of so many bytes."""
    return EXPANSION * payload + MAX_OVERHEAD


def _read(line: bytes) -> tuple[MessageType | None, Frame]:
    """The type and the frame of a line; of an unknown message the frame is empty."""
    whole = _parsed(line)
    name, *more = whole
    flags, request_id = _addressed(whole, more)
    entry = BY_NAME.get(name)
    if entry is None:
        return None, Frame(UNKNOWN_NUMBER, flags, request_id, b"")
    if len(line) > _longest(entry.max_size):
        raise DecodeError("message-too-long", f"{name}: {len(line)} bytes")
    try:
        payload = _reader(name)(whole[name]).encode()
    except (ValueError, TypeError, EncodeError) as error:
        raise DecodeError("json-field", f"{name}: {error}") from None
    if len(payload) > entry.max_size:
        raise DecodeError("message-too-long", f"{name}: {len(payload)} bytes")
    return entry, Frame(entry.number, flags, request_id, payload)


def _parsed(line: bytes) -> dict[str, Any]:
    if len(line) > _longest(MAX_MESSAGE_BYTES):
        raise DecodeError("message-too-long", f"{len(line)} bytes")
    try:
        whole = json.loads(
            str(line, "utf-8"),
            object_pairs_hook=_object,
            parse_float=_no_number,
            parse_constant=_no_number,
            # A function in Python for every byte of a hash would be most of the work.
            parse_int=_natural if b"-" in line else None,
        )
    except (ValueError, RecursionError):
        raise DecodeError("json-syntax", f"{len(line)} bytes") from None
    if not isinstance(whole, dict) or not whole:
        raise DecodeError("json-message", "not an object of one message")
    return whole


def _addressed(whole: dict[str, Any], keys: list[str]) -> tuple[int, int]:
    """(flags, request id) of what stands behind the message."""
    if keys not in ([], [_ID], [_ID, _REPLY]):
        raise DecodeError("json-message", "not an object of one message")
    request_id = whole.get(_ID, 1)
    if type(request_id) is not int or not 0 < request_id <= MAX_U32 or whole.get(_REPLY, True) is not True:
        raise DecodeError("json-message", "id or reply")
    return int(Flags.REPLY) if _REPLY in whole else 0, request_id if keys else 0


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key twice")
    return found


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no integer")


def _natural(text: str) -> int:
    if text.startswith("-"):
        raise ValueError("nothing is negative, not even -0")
    return int(text)


# From declarations to functions, one for each message, made when it is first needed.


@cache
def _writer(name: str) -> Converter:
    return writer_of(BY_NAME[name].layout)


@cache
def _reader(name: str) -> Converter:
    return _reader_of(BY_NAME[name].layout)


def writer_of(layout: Any) -> Converter:
    """From a value to what `json` writes."""
    if isinstance(layout, Record):
        fields = [(key, writer_of(sub)) for key, sub in layout.fields]
        return lambda value: {key: write(getattr(value, key)) for key, write in fields}
    if isinstance(layout, Array):
        item = writer_of(layout.item)
        return lambda value: [item(each) for each in value]
    if isinstance(layout, Maybe):
        some = writer_of(layout.item)
        return lambda value: None if value is None else some(value)
    if isinstance(layout, (cs.Bytes, PrefixedBytes)) and not isinstance(layout, Text):
        return list
    return lambda value: value


def _reader_of(layout: Any) -> Converter:
    """From what `json` read to a value: types and keys; ranges and lengths are left to the encoding."""
    if isinstance(layout, Record):
        return _record(layout)
    if isinstance(layout, Array):
        item = _reader_of(layout.item)
        return lambda value: tuple([item(each) for each in _typed(value, list)])
    if isinstance(layout, Maybe):
        some = _reader_of(layout.item)
        return lambda value: None if value is None else some(value)
    if isinstance(layout, Text):
        return lambda value: _typed(value, str)
    if isinstance(layout, (cs.Bytes, PrefixedBytes)):
        return _octets
    if isinstance(layout, Flag):
        return lambda value: _typed(value, bool)
    if isinstance(layout, (cs.FormatField, Choice)):
        return lambda value: _typed(value, int)
    raise LocalError(f"{layout!r} is not a layout of this project.")


def _record(layout: Record) -> Converter:
    cls = class_of(layout)
    fields = [(key, _reader_of(sub)) for key, sub in layout.fields]
    names = {key for key, _ in fields}

    def read(value: Any) -> Any:
        if _typed(value, dict).keys() != names:
            raise ValueError(f"the fields of {layout.title}")
        return cls(**{key: convert(value[key]) for key, convert in fields})

    return read


def _octets(value: Any) -> bytes:
    if not {*map(type, _typed(value, list))} <= {int}:
        raise TypeError("not all of them are integers")
    return bytes(value)


def _typed(value: Any, wanted: type) -> Any:
    if type(value) is not wanted:
        raise TypeError(f"{type(value).__name__} in the place of {wanted.__name__}")
    return value
