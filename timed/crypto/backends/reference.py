"""The signature rule in pure Python, on `ecdsa`'s curve arithmetic.

A second, readable statement of the rule: it gives libsodium's verdict on every
input. `ecdsa`'s own verify() does not (it takes keys and nonces of small order
and multiplies by the unreduced hash), so only its points are used here. Their
addition goes wrong for two points that differ by torsion; to bring that about
here, someone would have to choose the hash that he multiplies by.
"""

from __future__ import annotations

from hashlib import sha512
from typing import Any

from ecdsa.eddsa import PrivateKey, curve_ed25519, generator_ed25519
from ecdsa.ellipticcurve import INFINITY, PointEdwards
from ecdsa.errors import MalformedPointError
from zope.interface import implementer

from timed.crypto.sizes import PUBLIC_KEY_SIZE, SEED_SIZE, SIGNATURE_SIZE
from timed.errors import LocalError
from timed.interfaces import ISignatureBackend
from timed.params import PURE_PYTHON

FIELD_PRIME = 2**255 - 19
GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493
SIGN_BIT = 1 << 255


def decode_point(data: bytes) -> Any | None:
    """The curve point that `data` canonically encodes, None when there is none.

    x = 0 with the sign bit set is not looked for: those points have small order.
    """
    y = int.from_bytes(data, "little") & ~SIGN_BIT
    if y >= FIELD_PRIME:
        return None
    try:
        return PointEdwards.from_bytes(curve_ed25519, data)
    except MalformedPointError:
        return None


def has_small_order(point: Any) -> bool:
    """True when 8·point is the identity: the point lies in the torsion subgroup.

    `ecdsa` calls every point whose x·y is 0 INFINITY (it means the orders 1, 2 and
    4); for the order of a power of two three doublings give the right answer.
    """
    for _ in range(3):
        point = point.double()
        if point == INFINITY:
            return True
    return False


@implementer(ISignatureBackend)
class ReferenceBackend:
    """Verifies only: Python integers are not constant-time.

    `sign_with_test_keys` is for regtest, whose keys are well known: it lets the
    backend sign, so that a network can run without compiled code.
    """

    name = PURE_PYTHON
    constant_time = False

    def __init__(self, *, sign_with_test_keys: bool = False) -> None:
        self._signs = sign_with_test_keys

    def verify(self, public_key: bytes, message: bytes, signature: bytes) -> bool:
        if len(public_key) != PUBLIC_KEY_SIZE or len(signature) != SIGNATURE_SIZE:
            return False
        encoded_r = signature[:32]
        s = int.from_bytes(signature[32:], "little")
        if s >= GROUP_ORDER:
            return False
        a, r = decode_point(public_key), decode_point(encoded_r)
        if a is None or r is None or has_small_order(a) or has_small_order(r):
            return False
        # Reduced before use: with a key of mixed order k·A and (k mod L)·A differ.
        k = int.from_bytes(sha512(encoded_r + public_key + message).digest(), "little") % GROUP_ORDER
        return bool(generator_ed25519 * s == a * k + r)

    def with_test_keys(self) -> ReferenceBackend:
        return ReferenceBackend(sign_with_test_keys=True)

    def sign(self, seed: bytes, message: bytes) -> bytes:
        return bytes(self._private(seed).sign(bytes(message)))

    def public_key(self, seed: bytes) -> bytes:
        return bytes(self._private(seed).public_key().public_key())

    def _private(self, seed: bytes) -> Any:
        if not self._signs:
            raise LocalError(
                "the signature backend 'reference' only verifies: it is not constant-time.",
                "Use the backend 'pynacl' wherever a key signs.",
            )
        if len(seed) != SEED_SIZE:
            raise LocalError(f"a signing seed has {SEED_SIZE} bytes, not {len(seed)}.")
        return PrivateKey(generator_ed25519, seed)
