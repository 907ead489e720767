"""Frames: the sixteen bytes before every payload, fragments, and the checksum of plain links.

::

    magic 4 · type u16 · flags u16 · payload length u32 · request id u32 · payload [· CRC-32C u32]

No frame is longer than 16 KiB. A longer message is cut into fragments of one type
and request id; frames of other priority classes may stand between them, so that a
vote never waits behind a block. The trailer covers header and payload; links under
TLS carry none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from enum import IntFlag
from struct import Struct
from typing import overload

import msgspec

from timed.errors import LocalError, RemoteError
from timed.primitives.hashing import crc32c
from timed.wire.catalogue import BY_NUMBER
from timed.wire.message import Priority

HEADER_SIZE = 16
TRAILER_SIZE = 4
MAX_FRAME = 16 * 1024
"""Header, payload and trailer together."""
MAX_U32 = 2**32 - 1
MAX_UNKNOWN_ASSEMBLIES = len(Priority)
"""Fragmented messages of unknown types under way on one link."""


class Flags(IntFlag):
    """The bits of the flags field."""

    COMPRESSED = 1
    FRAGMENT = 2
    """The payload is a piece of a message."""
    REPLY = 4
    """The request id is that of the request this answers."""
    MORE = 8
    """More pieces of the same message follow."""


_COMPRESSED, _FRAGMENT, _REPLY, _MORE = (int(flag) for flag in Flags)
_KNOWN = _COMPRESSED | _FRAGMENT | _REPLY | _MORE
_OF_MESSAGE = _COMPRESSED | _REPLY
"""What all pieces of a message have in common."""

_HEADER = Struct("<4sHHLL")
Header = tuple[bytes, int, int, int, int]
"""Magic, type, flags, payload length, request id."""
_TRAILER = Struct("<L")


class Frame(msgspec.Struct, frozen=True, gc=False):
    """One whole message as it arrived; fragments are already joined."""

    number: int
    flags: int
    request_id: int
    payload: bytes
    expanded: int = 0
    """Bytes of a payload that is still compressed, when it is not any more."""

    @property
    def is_reply(self) -> bool:
        """True when the request id names a request of ours."""
        return bool(self.flags & _REPLY)


class FrameError(RemoteError):
    """Bytes that are no frames of this link; the session cannot go on."""


def payload_room(checksum: bool) -> int:
    """The longest payload of one frame, in bytes."""
    return MAX_FRAME - HEADER_SIZE - (TRAILER_SIZE if checksum else 0)


def _frame(magic: bytes, number: int, flags: int, request_id: int, payload: bytes, checksum: bool) -> bytes:
    frame = _HEADER.pack(magic, number, flags, len(payload), request_id) + payload
    return frame + _TRAILER.pack(crc32c(frame)) if checksum else frame


def frames_of(
    magic: bytes,
    number: int,
    payload: bytes,
    *,
    request_id: int = 0,
    reply: bool = False,
    checksum: bool = False,
    compressed: bool = False,
) -> Sequence[bytes]:
    """The frames of one message, in order. LocalError when a header field is out of range.

    `compressed` says that `payload` is. The pieces of one message must stay in order, and no other fragmented message of
    the same priority class may start before the last of them. They are cut when they are taken (`Pieces`).
    """
    if len(magic) != 4 or not 0 <= number <= 0xFFFF or not 0 <= request_id <= MAX_U32:
        raise LocalError(f"no frame has magic {magic!r}, type {number} and request id {request_id}.")
    flags = (_REPLY if reply else 0) | (_COMPRESSED if compressed else 0)
    room = payload_room(checksum)
    if len(payload) <= room:
        return [_frame(magic, number, flags, request_id, payload, checksum)]
    return Pieces(magic, number, flags | _FRAGMENT, request_id, payload, checksum)


class Pieces(Sequence[bytes]):
    """The frames of a long message, each cut when it is asked for and kept by who asks; `lengths` are known before."""

    __slots__ = ("_checksum", "_flags", "_magic", "_number", "_payload", "_request_id", "_room", "lengths")

    def __init__(
        self, magic: bytes, number: int, flags: int, request_id: int, payload: bytes, checksum: bool
    ) -> None:
        self._magic, self._number, self._flags = magic, number, flags
        self._request_id, self._payload, self._checksum = request_id, payload, checksum
        self._room = payload_room(checksum)
        whole, rest = divmod(len(payload), self._room)
        extra = MAX_FRAME - self._room
        self.lengths: tuple[int, ...] = whole * (MAX_FRAME,) + ((rest + extra,) if rest else ())
        """Of the frames, in their order."""

    def __len__(self) -> int:
        return len(self.lengths)

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> list[bytes]: ...
    def __getitem__(self, index: int | slice) -> bytes | list[bytes]:
        places = range(len(self.lengths))[index]
        return self._cut(places) if isinstance(places, int) else [self._cut(each) for each in places]

    def _cut(self, place: int) -> bytes:
        at = place * self._room
        flags = self._flags | _MORE if at + self._room < len(self._payload) else self._flags
        piece = self._payload[at : at + self._room]
        return _frame(self._magic, self._number, flags, self._request_id, piece, self._checksum)


class _Assembly:
    """A fragmented message under way."""

    __slots__ = ("buffer", "flags", "number", "request_id", "size")

    def __init__(self, number: int, request_id: int, flags: int) -> None:
        self.number, self.request_id, self.flags = number, request_id, flags
        self.buffer = bytearray()
        self.size = 0
        """Bytes of its frames so far."""


class FrameReader:
    """Bytes in, messages out; linear in the bytes whatever way they are split.

    `limit_for` gives the longest payload of a type; it is asked when a header
    arrives, before a byte of the payload is kept, and may change between calls.
    At most one fragmented message per priority class is under way, and as many of
    unknown types, which a newer peer may send in classes of its own.

    FrameError: "frame-magic", "frame-flags", "compression-not-negotiated",
    "frame-too-long", "frame-fragment", "frame-checksum", and what `unpack` raises.
    After one every further call raises it again.
    """

    def __init__(
        self,
        magic: bytes,
        *,
        limit_for: Callable[[int], int],
        checksum: bool = False,
        unpack: Callable[[bytes, int], bytes] | None = None,
    ) -> None:
        self._magic = magic
        self._limit_for = limit_for
        self._trailer = TRAILER_SIZE if checksum else 0
        self._room = payload_room(checksum)
        self._buffer = bytearray()
        self._header: Header | None = None
        self._assemblies: dict[int, _Assembly] = {}
        self._error: FrameError | None = None
        self.unpack = unpack
        """Expands a compressed payload to at most so many bytes; None when who takes the frames does, or none may come."""
        self.judge: Callable[[bytes, int], int] | None = None
        """Tells from its beginning how long a compressed payload will be; for those that are expanded later."""
        self.size = 0
        """Bytes that the message given last took on the link: payload, headers and trailers."""
        self.rest = b""
        """What came behind the last message after `leave`."""
        self._left = False
        self.copied = 0
        """Bytes moved so far, for tests that hold the reader to linear work."""

    @property
    def buffered(self) -> int:
        """Bytes kept for messages that are not complete."""
        return len(self._buffer) + sum(len(each.buffer) for each in self._assemblies.values())

    def feed(self, data: bytes) -> list[Frame]:
        """The messages that `data` completes, in order."""
        return list(self.frames(data))

    def leave(self) -> None:
        """Read nothing behind the message given last: from there on the link carries no frames."""
        self._left = True

    def frames(self, data: bytes) -> Iterator[Frame]:
        """The same, one by one: `limit_for` sees what the caller did with the frame before.

        The iterator must be exhausted before the next call, or the reader given up.
        """
        if self._error is not None:
            raise self._error
        at, size, trailer = 0, len(data), self._trailer
        try:
            if self._buffer:
                at, frame = self._fill(data)
                if frame is not None:
                    yield frame
            while size - at >= HEADER_SIZE and not self._left:
                header = self._check_header(_HEADER.unpack_from(data, at))
                start = at + HEADER_SIZE
                end = start + header[3]
                if end + trailer > size:
                    self._header = header
                    break
                if trailer:
                    self._check_trailer(data[at:end], data[end : end + trailer])
                at = end + trailer
                frame = self._accept(header, data[start:end])
                if frame is not None:
                    yield frame
        except FrameError as error:
            self._error = error
            self._buffer.clear()
            self._assemblies.clear()
            raise
        if self._left:
            self.rest = data[at:]
        elif at < size:
            self._buffer += data[at:] if at else data
            self.copied += size - at

    def _fill(self, data: bytes) -> tuple[int, Frame | None]:
        """Complete the frame that the buffer holds the start of: the offset after it, the message.

        Only as many bytes as that frame needs are taken, so a frame is moved once.
        """
        buffer, at = self._buffer, 0
        if self._header is None:
            at = min(HEADER_SIZE - len(buffer), len(data))
            buffer += data[:at]
            self.copied += at
            if len(buffer) < HEADER_SIZE:
                return at, None
            self._header = self._check_header(_HEADER.unpack_from(buffer))
        header = self._header
        end = HEADER_SIZE + header[3]
        wanted = end + self._trailer - len(buffer)
        piece = data[at : at + wanted]
        buffer += piece
        self.copied += len(piece)
        at += len(piece)
        if len(piece) < wanted:
            return at, None
        frame = bytes(buffer)
        buffer.clear()
        self._header = None
        if self._trailer:
            self._check_trailer(frame[:end], frame[end:])
        return at, self._accept(header, frame[HEADER_SIZE:end])

    def _check_header(self, header: Header) -> Header:
        """The header, when this link may carry the frame."""
        magic, number, flags, length, request_id = header
        if magic != self._magic:
            raise FrameError("frame-magic", magic.hex())
        if flags & ~_KNOWN or flags & (_MORE | _FRAGMENT) == _MORE:
            raise FrameError("frame-flags", f"{flags:#06x}")
        if flags & _COMPRESSED and not self._may_be_compressed(number):
            raise FrameError("compression-not-negotiated")
        limit = self._limit_for(number)
        if length > limit or length > self._room:
            raise FrameError("frame-too-long", f"type {number}: {length} bytes")
        if flags & _FRAGMENT:
            self._check_fragment(number, flags, length, request_id, limit)
        return header

    def _may_be_compressed(self, number: int) -> bool:
        """True for the types that are, and for unknown ones, which are skipped unread."""
        entry = BY_NUMBER.get(number)
        expected = self.unpack is not None or self.judge is not None
        return expected and (entry is None or entry.compress)

    def _check_fragment(self, number: int, flags: int, length: int, request_id: int, limit: int) -> None:
        """The piece must go on with the class's message, and must not make it too long."""
        if not length:
            raise FrameError("frame-fragment", f"type {number}: an empty piece")
        stream = _stream_of(number)
        assembly = self._assemblies.get(stream)
        if assembly is None:
            if stream < 0 and sum(each < 0 for each in self._assemblies) >= MAX_UNKNOWN_ASSEMBLIES:
                raise FrameError("frame-fragment", f"type {number}: too many unknown types at once")
            return
        if (assembly.number, assembly.request_id, assembly.flags) != (
            number,
            request_id,
            flags & _OF_MESSAGE,
        ):
            raise FrameError("frame-fragment", f"type {number} amid type {assembly.number}")
        if len(assembly.buffer) + length > limit:
            raise FrameError("frame-too-long", f"type {number}: {len(assembly.buffer) + length} bytes")

    def _check_trailer(self, frame: bytes, trailer: bytes) -> None:
        if crc32c(frame) != _TRAILER.unpack(trailer)[0]:
            raise FrameError("frame-checksum")

    def _accept(self, header: Header, payload: bytes) -> Frame | None:
        """The message a whole frame completes."""
        _, number, flags, length, request_id = header
        self.size = HEADER_SIZE + length + self._trailer
        self.copied += length
        if flags & _FRAGMENT:
            stream = _stream_of(number)
            assembly = self._assemblies.get(stream)
            if assembly is None:
                assembly = self._assemblies[stream] = _Assembly(number, request_id, flags & _OF_MESSAGE)
            assembly.buffer += payload
            assembly.size += self.size
            self.copied += len(payload)
            if flags & _MORE:
                return None
            del self._assemblies[stream]
            payload = bytes(assembly.buffer)
            self.size = assembly.size
            self.copied += len(payload)
        packed = bool(flags & _COMPRESSED) and number in BY_NUMBER
        if packed and self.unpack is not None:
            payload = self.unpack(payload, self._limit_for(number))
        elif packed and self.judge is not None:
            return Frame(
                number, flags & _REPLY, request_id, payload, self.judge(payload, self._limit_for(number))
            )
        return Frame(number, flags & _REPLY, request_id, payload)


def _stream_of(number: int) -> int:
    """The priority class whose fragments these are; an unknown type is its own, below zero."""
    entry = BY_NUMBER.get(number)
    return -1 - number if entry is None else int(entry.priority)
