"""Putting a member's signature under a message."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from timed.consensus.effects import OwnMessage
from timed.crypto.keys import SigningKey

Message = TypeVar("Message", bound=OwnMessage)


def signed(message: Message, key: SigningKey) -> Message:
    """`message` with the signature of `key` over its signed part."""
    return msgspec.structs.replace(message, signature=key.sign(message.signed_message()))
