"""From messages to parcels: everything that leaves is encoded here, once."""

from __future__ import annotations

from functools import cached_property

import attrs

from timed.peer.outbox import Parcel
from timed.peer.retention import reference
from timed.wire.catalogue import BY_NUMBER, encode_message
from timed.wire.framing import frames_of
from timed.wire.message import Message, MessageType, Priority, Relay


@attrs.define(slots=False)
class Encoded:
    """A message that was encoded once, and its parcels for the two kinds of link."""

    kind: MessageType
    payload: bytes
    request_id: int
    reply: bool
    parcels: dict[bool, Parcel]

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
        return Encoded(message.entry(), payload, request_id, reply, {})

    def again(self, number: int, payload: bytes) -> Encoded:
        """A message that was encoded before."""
        return Encoded(BY_NUMBER[number], payload, 0, False, {})

    def parcel(self, encoded: Encoded, checksum: bool) -> Parcel:
        """The frames for links with or without a checksum, cut once for each of the two."""
        parcel = encoded.parcels.get(checksum)
        if parcel is None:
            kind = encoded.kind
            frames = frames_of(
                self._magic, kind.number, encoded.payload,
                request_id=encoded.request_id, reply=encoded.reply, checksum=checksum,
            )  # fmt: skip
            parcel = Parcel(kind.name, kind.priority, frames, is_gossip(kind) and not encoded.reply)
            encoded.parcels[checksum] = parcel
        return parcel


def is_gossip(kind: MessageType) -> bool:
    """True for what others relay, too, and what nobody asked for: the first thing to be dropped."""
    return kind.relay is not Relay.NEVER and kind.priority > Priority.CONSENSUS
