"""SipHash-2-4, the keyed hash of compact filters.

PyNaCl's binding is used where it is installed; the function below it is the same
function, some thirty times slower, for environments that have none.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct

_MASK = (1 << 64) - 1
_KEY = Struct("<QQ")


def _rotate(word: int, bits: int) -> int:
    return (word << bits | word >> (64 - bits)) & _MASK


def _rounds(v0: int, v1: int, v2: int, v3: int, count: int) -> tuple[int, int, int, int]:
    for _ in range(count):
        v0 = (v0 + v1) & _MASK
        v1 = _rotate(v1, 13) ^ v0
        v0 = _rotate(v0, 32)
        v2 = (v2 + v3) & _MASK
        v3 = _rotate(v3, 16) ^ v2
        v0 = (v0 + v3) & _MASK
        v3 = _rotate(v3, 21) ^ v0
        v2 = (v2 + v1) & _MASK
        v1 = _rotate(v1, 17) ^ v2
        v2 = _rotate(v2, 32)
    return v0, v1, v2, v3


def siphash_reference(data: bytes, key: bytes) -> bytes:
    """The hash in plain Python: 8 bytes, little endian; `key` has 16 bytes."""
    k0, k1 = _KEY.unpack(key)
    v0, v1 = k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D
    v2, v3 = k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573
    tail = len(data) % 8
    padded = data + bytes(7 - tail) + bytes((len(data) & 0xFF,))
    for at in range(0, len(padded), 8):
        word = int.from_bytes(padded[at : at + 8], "little")
        v0, v1, v2, v3 = _rounds(v0, v1, v2, v3 ^ word, 2)
        v0 ^= word
    v0, v1, v2, v3 = _rounds(v0, v1, v2 ^ 0xFF, v3, 4)
    return (v0 ^ v1 ^ v2 ^ v3).to_bytes(8, "little")


try:
    from nacl.bindings import crypto_shorthash_siphash24 as _function
except ImportError:
    _function = siphash_reference

siphash: Callable[[bytes, bytes], bytes] = _function
"""siphash(data, key): 8 bytes, little endian; `key` has 16 bytes."""
