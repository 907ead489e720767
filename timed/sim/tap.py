"""Reads what processes hand to their transports, with the production framing and codecs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from timed.sim.violation import Violation
from timed.wire.catalogue import BY_NUMBER, decode_message, limit_for
from timed.wire.compression import Packing
from timed.wire.framing import FrameReader
from timed.wire.jsonlines import LineReader
from timed.wire.message import Message
from timed.wire.messages import Ack

if TYPE_CHECKING:
    from timed.params import NetworkParams

REMEMBERED = 64
"""Payloads whose decoded message is kept: a broadcast is the same bytes on every link."""


class Tap:
    """One reader a link; decoded messages are shared between equal payloads.

    What a link speaks behind its first Ack is told by the next byte: no network's
    magic begins as a JSON object does.
    """

    def __init__(self, params: NetworkParams, *, checksum: bool) -> None:
        self._params = params
        self._checksum = checksum
        self._readers: dict[int, FrameReader | LineReader] = {}
        self._greeted: set[int] = set()
        """Links that have carried an Ack."""
        self._packing = Packing()
        self._decoded: dict[tuple[int, bytes], Message] = {}

    def read(self, link: int, data: bytes) -> list[Message]:
        """The messages that `data` completes on this link, in order."""
        messages: list[Message] = []
        if link not in self._readers:
            lines = link in self._greeted and data.startswith(b"{")
            self._readers[link] = LineReader(limit_for) if lines else self._frame_reader()
        reader = self._readers[link]
        for frame in reader.frames(data):
            if frame.number not in BY_NUMBER:
                raise Violation("no-traceback", f"a node sent a frame of the unknown type {frame.number}")
            messages.append(self._decode(frame.number, bytes(frame.payload)))
            if (
                isinstance(reader, FrameReader)
                and link not in self._greeted
                and isinstance(messages[-1], Ack)
            ):
                self._greeted.add(link)
                del self._readers[link]
                reader.leave()
        if isinstance(reader, FrameReader) and reader.rest:
            messages += self.read(link, reader.rest)
        return messages

    def _frame_reader(self) -> FrameReader:
        return FrameReader(
            self._params.magic, limit_for=limit_for, checksum=self._checksum, unpack=self._packing.unpack
        )

    def closed(self, link: int) -> None:
        """The link is gone."""
        self._readers.pop(link, None)
        self._greeted.discard(link)

    def _decode(self, number: int, payload: bytes) -> Message:
        key = (number, payload)
        message = self._decoded.get(key)
        if message is None:
            message = decode_message(number, payload)
            if len(self._decoded) >= REMEMBERED:
                del self._decoded[next(iter(self._decoded))]
            self._decoded[key] = message
        return message
