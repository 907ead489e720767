"""Signed messages: somebody shows that an address is theirs.

What is signed is a hash with a tag of its own and the chain's number, so that it
is never a payment, nor a message of another network. A signature is the base64
of public key and signature: an address names only a hash of the key.
"""

from __future__ import annotations

import base64
import binascii

from timed.crypto import rule
from timed.crypto.keys import SigningKey
from timed.crypto.sizes import PUBLIC_KEY_SIZE, SIGNATURE_SIZE
from timed.errors import InvalidSignature
from timed.primitives.hashing import tagged_hash
from timed.primitives.transaction import LOCK_KEY_HASH, Lock, key_hash

SIGNED_TEXT = 128
"""Characters of a signature: 96 bytes in base64."""


def message_hash(chain_id: int, message: str) -> bytes:
    """The 32 bytes that are signed."""
    return tagged_hash("message", chain_id.to_bytes(4, "little"), message.encode("utf-8"))


def sign_message(key: SigningKey, chain_id: int, message: str) -> str:
    """The signature's text."""
    return base64.b64encode(key.public + key.sign(message_hash(chain_id, message))).decode("ascii")


def verify_message(lock: Lock, chain_id: int, message: str, signature: str) -> None:
    """InvalidSignature unless the owner of `lock` has signed `message` on this chain.

    "signature-form", "signature-address", or the rule of the signature itself.
    """
    try:
        data = base64.b64decode(signature, validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if len(signature) != SIGNED_TEXT or len(data) != PUBLIC_KEY_SIZE + SIGNATURE_SIZE:
        raise InvalidSignature("signature-form", f"a signature has {SIGNED_TEXT} characters of base64")
    public = data[:PUBLIC_KEY_SIZE]
    if lock.kind != LOCK_KEY_HASH or key_hash(public) != lock.data:
        raise InvalidSignature("signature-address", "another key has signed")
    rule.check(public, message_hash(chain_id, message), data[PUBLIC_KEY_SIZE:])
