"""The one hash function of the protocol, and the checksum of records and plain frames."""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256

from google_crc32c import extend as _extend


@lru_cache(maxsize=64)
def tag(kind: str) -> bytes:
    """The bytes hashed before everything else of this kind: `TIME/<kind>/v1` (protocol §1)."""
    return b"TIME/" + kind.encode("ascii") + b"/v1"


def tagged_hash(kind: str, *parts: bytes) -> bytes:
    """SHA-256 of the tag and the parts, one after the other (32 bytes).

    The caller sees to it that the parts cannot be cut differently: they are of fixed
    width, or one canonical encoding.
    """
    return sha256(tag(kind) + b"".join(parts)).digest()


def sha256d(data: bytes) -> bytes:
    """SHA-256 applied twice."""
    return sha256(sha256(data).digest()).digest()


def crc32c(data: bytes, start: int = 0) -> int:
    """CRC-32C of `data`; `start` is the value after the bytes before it."""
    return int(_extend(start, data))
