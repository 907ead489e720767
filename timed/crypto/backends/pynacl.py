"""libsodium through PyNaCl: the default backend, and the rule's definition.

libsodium wants canonical S and A, rejects A and R of small order, and compares
the encoding of S·B - k·A with R byte by byte: no cofactor, and R is canonical.
"""

from __future__ import annotations

from nacl.bindings import crypto_sign, crypto_sign_open, crypto_sign_seed_keypair
from nacl.exceptions import BadSignatureError
from zope.interface import implementer

from timed.crypto.sizes import PUBLIC_KEY_SIZE, SEED_SIZE, SIGNATURE_SIZE
from timed.errors import LocalError
from timed.interfaces import ISignatureBackend


@implementer(ISignatureBackend)
class PyNaClBackend:
    """Signs and verifies in constant time; releases the GIL while it computes."""

    name = "pynacl"
    constant_time = True

    def verify(self, public_key: bytes, message: bytes, signature: bytes) -> bool:
        # PyNaCl hands the key to C without looking at its length.
        if len(public_key) != PUBLIC_KEY_SIZE or len(signature) != SIGNATURE_SIZE:
            return False
        try:
            crypto_sign_open(signature + message, public_key)
        except BadSignatureError:
            return False
        return True

    def with_test_keys(self) -> PyNaClBackend:
        return self

    def sign(self, seed: bytes, message: bytes) -> bytes:
        """64 bytes. The public half is derived anew each time: never a caller's word."""
        return crypto_sign(message, self._secret(seed))[:SIGNATURE_SIZE]

    def public_key(self, seed: bytes) -> bytes:
        return self._secret(seed)[SEED_SIZE:]

    def _secret(self, seed: bytes) -> bytes:
        if len(seed) != SEED_SIZE:
            raise LocalError(f"a signing seed has {SEED_SIZE} bytes, not {len(seed)}.")
        return crypto_sign_seed_keypair(seed)[1]
