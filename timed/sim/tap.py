"""Reads what processes hand to their transports, with the production framing and codecs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from timed.sim.violation import Violation
from timed.wire.catalogue import BY_NUMBER, decode_message, limit_for
from timed.wire.framing import FrameReader
from timed.wire.message import Message

if TYPE_CHECKING:
    from timed.params import NetworkParams

REMEMBERED = 64
"""Payloads whose decoded message is kept: a broadcast is the same bytes on every link."""


class Tap:
    """One reader a link; decoded messages are shared between equal payloads."""

    def __init__(self, params: NetworkParams, *, checksum: bool) -> None:
        self._params = params
        self._checksum = checksum
        self._readers: dict[int, FrameReader] = {}
        self._decoded: dict[tuple[int, bytes], Message] = {}
        self.frames = 0

    def read(self, link: int, data: bytes) -> list[Message]:
        """The messages that `data` completes on this link, in order."""
        reader = self._readers.get(link)
        if reader is None:
            reader = FrameReader(self._params.magic, limit_for=limit_for, checksum=self._checksum)
            self._readers[link] = reader
        messages = []
        for frame in reader.feed(data):
            self.frames += 1
            if frame.number not in BY_NUMBER:
                raise Violation("no-traceback", f"a node sent a frame of the unknown type {frame.number}")
            messages.append(self._decode(frame.number, bytes(frame.payload)))
        return messages

    def closed(self, link: int) -> None:
        """The link is gone."""
        self._readers.pop(link, None)

    def _decode(self, number: int, payload: bytes) -> Message:
        key = (number, payload)
        message = self._decoded.get(key)
        if message is None:
            message = decode_message(number, payload)
            if len(self._decoded) >= REMEMBERED:
                del self._decoded[next(iter(self._decoded))]
            self._decoded[key] = message
        return message
