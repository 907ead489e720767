"""Sets of roster positions: bit i of the map, counted from the lowest bit of byte 0."""

from __future__ import annotations

from collections.abc import Iterable

from timed.errors import InvalidCertificate, LocalError


def bitmap_of(indices: Iterable[int], count: int) -> bytes:
    """The map of `count` bits with these positions set; LocalError outside 0..count-1."""
    bits = 0
    for index in indices:
        if not 0 <= index < count:
            raise LocalError(f"position {index} is outside a roster of {count}.")
        bits |= 1 << index
    return bits.to_bytes((count + 7) // 8, "little")


def indices_of(bitmap: bytes, count: int) -> tuple[int, ...]:
    """The positions set, ascending.

    InvalidCertificate("bitmap") when the map has not exactly the bytes `count` bits
    need, or sets a bit at or above `count`.
    """
    if len(bitmap) != (count + 7) // 8:
        raise InvalidCertificate("bitmap", f"{len(bitmap)} bytes for {count} members")
    bits = int.from_bytes(bitmap, "little")
    if bits >> count:
        raise InvalidCertificate("bitmap", f"a bit above {count} members")
    return tuple([index for index, digit in enumerate(reversed(f"{bits:b}")) if digit == "1"])
