"""From messages to parcels: everything that leaves is encoded here, once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple

import attrs

from timed.peer.dialect import Feature
from timed.peer.outbox import Parcel
from timed.peer.retention import reference
from timed.peer.traffic import Traffic
from timed.wire.catalogue import BY_NUMBER, encode_message
from timed.wire.compression import Packing
from timed.wire.framing import MAX_FRAME, frames_of
from timed.wire.jsonlines import encode_line
from timed.wire.message import Message, MessageType, Priority, Relay, Verbatim


class Form(NamedTuple):
    """How a link carries messages."""

    checksum: bool
    """Frames with a trailer: a plain link."""
    lines: bool = False
    """Lines of JSON instead of frames."""
    compressed: bool = False
    """Payloads that gain by it are compressed."""


def form_of(checksum: bool, features: int) -> Form:
    """What a session with these features sends behind its Ack."""
    lines = bool(features & Feature.JSON)
    return Form(checksum, lines, compressed=bool(features & Feature.ZSTD) and not lines)


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
    packed: bytes | None = None
    """The compressed payload, once it was found to be worth it."""

    @cached_property
    def reference(self) -> bytes:
        """What an Ack names the message by."""
        return reference(self.payload)


class Encoder:
    """Encodes for one network; `encodes` counts what it did."""

    def __init__(self, magic: bytes) -> None:
        self._magic = magic
        self._packing = Packing()
        self.encodes = 0

    def encode(
        self, message: Message | Verbatim[Any], *, request_id: int = 0, reply: bool = False
    ) -> Encoded:
        """Encode a message; EncodeError when our own code built a wrong one."""
        self.encodes += 1
        _, payload = encode_message(message)
        known = message if isinstance(message, Message) else None
        return Encoded(message.entry(), payload, request_id, reply, {}, known)

    def again(self, number: int, payload: bytes) -> Encoded:
        """A message that was encoded before."""
        return Encoded(BY_NUMBER[number], payload, 0, False, {})

    def parcel(self, encoded: Encoded, form: Form) -> Parcel:
        """The pieces that such links take, cut once for each form and compressed once for all."""
        parcel = encoded.parcels.get(form)
        if parcel is None:
            parcel = encoded.parcels[form] = self._cut(encoded, form)
        return parcel

    def _cut(self, encoded: Encoded, form: Form) -> Parcel:
        kind = encoded.kind
        gossip = is_gossip(kind) and not encoded.reply
        if form.lines:
            return Parcel(kind.name, kind.priority, _line_of(encoded), gossip, whole=True)
        if form.compressed and kind.compress and encoded.packed is None:
            encoded.packed = self._packing.pack(encoded.payload)
        packed = encoded.packed if form.compressed else None
        if form.compressed and packed is None:
            return self.parcel(encoded, _AS_IT_IS[form])
        frames = frames_of(
            self._magic, kind.number, encoded.payload if packed is None else packed,
            request_id=encoded.request_id, reply=encoded.reply, checksum=form.checksum,
            compressed=packed is not None,
        )  # fmt: skip
        if packed is None:
            return Parcel(kind.name, kind.priority, frames, gossip)
        return Parcel(kind.name, kind.priority, frames, gossip, packed=(len(encoded.payload), len(packed)))

    def unpacker(self, features: int, traffic: Traffic) -> Callable[[bytes, int], bytes] | None:
        """What expands the payloads of a session and counts them; None without the feature."""
        if not features & Feature.ZSTD:
            return None

        def unpack(packed: bytes, limit: int) -> bytes:
            payload = self._packing.unpack(packed, limit)
            traffic.count_unpacked(len(payload), len(packed))
            return payload

        return unpack


_AS_IT_IS = {Form(checksum, compressed=True): Form(checksum) for checksum in (False, True)}


def _line_of(encoded: Encoded) -> list[bytes]:
    """The message as a line, in pieces no longer than a frame."""
    message = encoded.message or encoded.kind.cls.decode(encoded.payload)
    line = encode_line(message, request_id=encoded.request_id, reply=encoded.reply) + b"\n"
    return [line[at : at + MAX_FRAME] for at in range(0, len(line), MAX_FRAME)]


def is_gossip(kind: MessageType) -> bool:
    """True for what others relay, too, and what nobody asked for: the first thing to be dropped."""
    return kind.relay is not Relay.NEVER and kind.priority > Priority.CONSENSUS
