"""Damage that knows where in an encoding the counts, lengths, flags and choices stand.

`spots` walks a layout over bytes, as far as they follow it; `damaged` changes one of
the spots, or the bytes as such. Everything is drawn from the generator that is handed in.
"""

from __future__ import annotations

import random
import struct
from typing import Any

import attrs
import construct as cs

from timed.codec.declare import Array, Choice, Flag, Maybe, PrefixedBytes, Record
from timed.primitives.hashing import crc32c
from timed.wire.framing import HEADER_SIZE, TRAILER_SIZE, Flags

HEADER = struct.Struct("<4sHHLL")


@attrs.frozen
class Spot:
    """A number in an encoding that decides how the rest is read."""

    kind: str
    """"count", "length", "choice", "flag" or "number"."""
    at: int
    size: int
    telling: tuple[int, ...]
    """Values at which the verdict changes."""
    items: tuple[tuple[int, int], ...] = ()
    """Where the items of an array stand, for a count; the content, for a length."""


class _Short(Exception):
    """The bytes end before the layout does."""


def spots(layout: Any, data: bytes) -> tuple[list[Spot], int]:
    """The spots in order of their places, and how far the bytes follow the layout."""
    found: list[Spot] = []
    try:
        end = _walk(layout, data, 0, found)
    except _Short:
        end = len(data)
    return sorted(found, key=lambda spot: spot.at), end


def _number(data: bytes, at: int, size: int) -> int:
    if at + size > len(data):
        raise _Short
    return int.from_bytes(data[at : at + size], "little")


def _walk(layout: Any, data: bytes, at: int, found: list[Spot]) -> int:
    """The place after the value that begins at `at`."""
    if isinstance(layout, Record):
        for _, sub in layout.fields:
            at = _walk(sub, data, at, found)
        return at
    if isinstance(layout, (cs.FormatField, cs.Bytes)):
        _number(data, at, layout.length)
        if isinstance(layout, cs.FormatField):
            most = (1 << 8 * layout.length) - 1
            found.append(Spot("number", at, layout.length, (0, 1, most, most >> 1)))
        return at + layout.length
    if isinstance(layout, Choice):
        size = layout.subcon.length
        _number(data, at, size)
        found.append(Spot("choice", at, size, (*layout.allowed, 0, max(layout.allowed) + 1)))
        return at + size
    if isinstance(layout, Flag):
        _number(data, at, 1)
        found.append(Spot("flag", at, 1, (0, 1, 2, 255)))
        return at + 1
    if isinstance(layout, Maybe):
        found.append(Spot("flag", at, 1, (0, 1, 2, 255)))
        return _walk(layout.item, data, at + 1, found) if _number(data, at, 1) else at + 1
    return _walk_repeated(layout, data, at, found)


def _walk_repeated(layout: PrefixedBytes | Array, data: bytes, at: int, found: list[Spot]) -> int:
    size, low, high = layout.prefix.length, layout.minimum, layout.maximum
    count = _number(data, at, size)
    telling = (
        max(0, low - 1),
        low,
        low + 1,
        high,
        high + 1,
        count + 1,
        max(0, count - 1),
        (1 << 8 * size) - 1,
    )
    place, at = at, at + size
    if isinstance(layout, PrefixedBytes):
        end = min(at + count, len(data))
        found.append(Spot("length", place, size, telling, ((at, end),)))
        if at + count > len(data):
            raise _Short
        return end
    items = []
    try:
        for _ in range(count):
            end = _walk(layout.item, data, at, found)
            items.append((at, end))
            at = end
    finally:
        found.append(Spot("count", place, size, telling, tuple(items)))
    return at


def put(data: bytes, spot: Spot, number: int) -> bytes:
    """The bytes with another number at a spot."""
    number %= 1 << 8 * spot.size
    return data[: spot.at] + number.to_bytes(spot.size, "little") + data[spot.at + spot.size :]


def damaged(layout: Any, data: bytes, rng: random.Random, other: bytes = b"") -> bytes:
    """One change. `other` is an encoding to take pieces from."""
    places, end = spots(layout, data)
    kind = rng.randrange(10)
    if kind < 6 and places:
        spot = rng.choice(places)
        if spot.items and rng.randrange(3):
            return _consistent(data, spot, rng)
        return put(data, spot, rng.choice(spot.telling))
    if kind == 6:
        return data[: rng.randrange(len(data) + 1)]
    if kind == 7:
        return data + (other or rng.randbytes(rng.randint(1, 9)))[: rng.randint(1, 400)]
    if kind == 8 and other and places:
        spot = rng.choice(places)
        source = rng.randrange(len(other))
        return data[: spot.at] + other[source : source + rng.randint(1, 200)] + data[spot.at :]
    return scribbled(data[:end] if rng.randrange(8) == 0 else data, rng)


def _consistent(data: bytes, spot: Spot, rng: random.Random) -> bytes:
    """An item more, less or in another place, with the count told rightly."""
    count = int.from_bytes(data[spot.at : spot.at + spot.size], "little")
    start, end = rng.choice(spot.items)
    if spot.kind == "length":
        grown = rng.choice((b"", data[start:end] * 2, data[start:end] + bytes((rng.randrange(256),))))
        return put(data[:start] + grown + data[end:], spot, len(grown))
    choice = rng.randrange(3)
    if choice == 0:
        times = rng.choice((1, 1, 1, 2, 50))
        return put(data[:end] + data[start:end] * times + data[end:], spot, count + times)
    if choice == 1:
        return put(data[:start] + data[end:], spot, count - 1)
    first, last = rng.choice(spot.items)
    if first < start:
        start, end, first, last = first, last, start, end
    return data[:start] + data[first:last] + data[end:first] + data[start:end] + data[last:]


def scribbled(data: bytes, rng: random.Random) -> bytes:
    """A byte or a run changed, whatever it means."""
    changed = bytearray(data)
    place = rng.randrange(len(data) + 1)
    kind = rng.randrange(4)
    if kind == 0 and data:
        changed[place % len(data)] ^= 1 << rng.randrange(8)
    elif kind == 1 and data:
        changed[place % len(data)] = rng.choice((0, 1, 0x7F, 0x80, 0xFF))
    elif kind == 2:
        del changed[place : place + rng.randint(1, 40)]
    else:
        changed[place:place] = rng.randbytes(rng.randint(1, 8))
    return bytes(changed)


def cut_frames(stream: bytes, trailer: int) -> list[bytes]:
    """The frames of a stream by their own lengths; the last piece may be anything."""
    frames, at = [], 0
    while at + HEADER_SIZE <= len(stream):
        end = at + HEADER_SIZE + HEADER.unpack_from(stream, at)[3] + trailer
        frames.append(stream[at:end])
        at = end
    return [*frames, stream[at:]] if at < len(stream) else frames


def damaged_stream(stream: bytes, rng: random.Random, *, checksum: bool) -> bytes:
    """Frames dropped, doubled, exchanged, interleaved, cut, or with one header field changed.

    Mostly the trailers are made right again: what lies behind the checksum is to be tried, too.
    """
    trailer = TRAILER_SIZE if checksum else 0
    frames = cut_frames(stream, trailer)
    if not frames:
        return scribbled(stream, rng)
    place, kind = rng.randrange(len(frames)), rng.randrange(8)
    frame = frames[place]
    if kind == 0:
        del frames[place]
    elif kind == 1:
        frames.insert(rng.randrange(len(frames) + 1), frame)
    elif kind == 2:
        other = rng.randrange(len(frames))
        frames[place], frames[other] = frames[other], frame
    elif kind == 3:
        frames[place] = frame[: rng.randrange(len(frame) + 1)]
    elif kind == 4 or len(frame) < HEADER_SIZE:
        frames[place] = scribbled(frame, rng)
    elif kind == 5:
        frames[place : place + 1] = _pieces(frame, rng, trailer)
    else:
        frames[place] = _field(frame, rng)
    if checksum and rng.randrange(8):
        frames = [_sealed(each) for each in frames]
    return b"".join(frames)


def _field(frame: bytes, rng: random.Random) -> bytes:
    """Type, flags, length or request id replaced."""
    fields = list(HEADER.unpack_from(frame))
    which = rng.randrange(1, 5)
    length = fields[3]
    fields[which] = rng.choice(
        (
            (),
            (1, 2, 3, 4, 5, 7, 16, 18, 32, 39, 41, 999, 0xFFFF),
            (*range(16), 16, 0x8000),
            (0, 1, max(0, length - 1), (length + 1) % 2**32, 4096, 4097, 16_368, 16_369, 2**31, 2**32 - 1),
            (0, 1, 2, 2**32 - 1),
        )[which]
    )
    return HEADER.pack(*fields) + frame[HEADER_SIZE:]


def _pieces(frame: bytes, rng: random.Random, trailer: int) -> list[bytes]:
    """One frame as two fragments; the first may come several times, or not say that more follow."""
    magic, number, flags, length, request = HEADER.unpack_from(frame)
    payload = frame[HEADER_SIZE : len(frame) - trailer]
    at = rng.randrange(len(payload) + 1)
    flags = (flags | Flags.FRAGMENT) & 0xFFFF
    more = flags | (Flags.MORE if rng.randrange(6) else 0)
    first = HEADER.pack(magic, number, more, at, request) + payload[:at] + bytes(trailer)
    return [
        *[first] * rng.choice((1, 1, 2, 9)),
        HEADER.pack(magic, number, flags, max(0, length - at), request) + payload[at:] + bytes(trailer),
    ]


def _sealed(frame: bytes) -> bytes:
    if len(frame) < HEADER_SIZE + TRAILER_SIZE:
        return frame
    body = frame[:-TRAILER_SIZE]
    return body + crc32c(body).to_bytes(TRAILER_SIZE, "little")
