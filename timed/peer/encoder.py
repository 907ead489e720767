"""From messages to parcels: everything that leaves is encoded here, once."""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import attrs

from timed.peer.outbox import Parcel
from timed.peer.retention import reference
from timed.wire.catalogue import BY_NUMBER, encode_message
from timed.wire.framing import MAX_FRAME, frames_of
from timed.wire.jsonlines import encode_line
from timed.wire.message import Message, MessageType, Priority, Relay


class Form(NamedTuple):
    """How a link carries messages."""

    checksum: bool
    """Frames with a trailer: a plain link."""
    lines: bool = False
    """Lines of JSON instead of frames."""


@attrs.define(slots=False)
class Encoded:
    """A message that was encoded once, and its parcels for each form of link."""

    kind: MessageType
    payload: bytes
    request_id: int
    reply: bool
    parcels: dict[Form, Parcel]
    message: Message | None = None
    """None when it was encoded before."""

    @cached_property
    def reference(self) -> bytes:
        """What an Ack names the message by."""
        return reference(self.payload)


class Encoder:
    """Encodes for one network; `encodes` counts what it did."""

    def __init__(self, magic: bytes) -> None:
        self._magic = magic
        self.encodes = 0

    def encode(self, message: Message, *, request_id: int = 0, reply: bool = False) -> Encoded:
        """Encode a message; EncodeError when our own code built a wrong one."""
        self.encodes += 1
        _, payload = encode_message(message)
        return Encoded(message.entry(), payload, request_id, reply, {}, message)

    def again(self, number: int, payload: bytes) -> Encoded:
        """A message that was encoded before."""
        return Encoded(BY_NUMBER[number], payload, 0, False, {})

    def parcel(self, encoded: Encoded, form: Form) -> Parcel:
        """The pieces that such links take, cut once for each form."""
        parcel = encoded.parcels.get(form)
        if parcel is None:
            kind = encoded.kind
            frames = _line_of(encoded) if form.lines else self._frames(encoded, form)
            gossip = is_gossip(kind) and not encoded.reply
            parcel = Parcel(kind.name, kind.priority, frames, gossip, whole=form.lines)
            encoded.parcels[form] = parcel
        return parcel

    def _frames(self, encoded: Encoded, form: Form) -> list[bytes]:
        return frames_of(
            self._magic, encoded.kind.number, encoded.payload,
            request_id=encoded.request_id, reply=encoded.reply, checksum=form.checksum,
        )  # fmt: skip


def _line_of(encoded: Encoded) -> list[bytes]:
    """The message as a line, in pieces no longer than a frame."""
    message = encoded.message or encoded.kind.cls.decode(encoded.payload)
    line = encode_line(message, request_id=encoded.request_id, reply=encoded.reply) + b"\n"
    return [line[at : at + MAX_FRAME] for at in range(0, len(line), MAX_FRAME)]


def is_gossip(kind: MessageType) -> bool:
    """True for what others relay, too, and what nobody asked for: the first thing to be dropped."""
    return kind.relay is not Relay.NEVER and kind.priority > Priority.CONSENSUS
