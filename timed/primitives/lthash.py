"""LtHash: a digest of a set to which elements are added and from which they are removed.

1,024 lanes of 16 bits; an element is expanded with BLAKE3 to 2,048 bytes and added or
subtracted lane by lane (protocol §1). The order of changes does not matter.
"""

from __future__ import annotations

from hashlib import sha256

from blake3 import blake3

from timed.errors import LocalError
from timed.primitives.transaction import CoinEntry, OutPoint, Output

LANES = 1024
LANE_BITS = 16
STATE_SIZE = LANES * LANE_BITS // 8

_ONES = int.from_bytes(b"\x01\x00" * LANES, "little")
_HIGH = _ONES << (LANE_BITS - 1)
_LOW = _HIGH - _ONES
"""Every bit of a lane but the highest: 2**15 - 1 in each lane."""


def _expand(element: bytes) -> int:
    return int.from_bytes(blake3(element).digest(length=STATE_SIZE), "little")


class LtHash:
    """The digest of one set. Only what was added can be removed to good effect."""

    __slots__ = ("_lanes",)

    def __init__(self) -> None:
        self._lanes = 0

    @classmethod
    def from_state(cls, state: bytes) -> LtHash:
        """The digest whose `state()` this is; LocalError when it has not 2,048 bytes."""
        if len(state) != STATE_SIZE:
            raise LocalError(f"the state of a set digest has {STATE_SIZE} bytes, not {len(state)}.")
        digest = cls()
        digest._lanes = int.from_bytes(state, "little")
        return digest

    def copy(self) -> LtHash:
        """An independent digest of the same set."""
        digest = LtHash()
        digest._lanes = self._lanes
        return digest

    def add(self, element: bytes) -> None:
        """Put an element in."""
        self._plus(_expand(element))

    def remove(self, element: bytes) -> None:
        """Take an element out: `_plus` undone, with a bit set in each lane to borrow from."""
        one, other = self._lanes, _expand(element)
        self._lanes = ((one | _HIGH) - (other & _LOW)) ^ ((one ^ other ^ _HIGH) & _HIGH)

    def merge(self, other: LtHash) -> None:
        """Do everything that was done to `other`, an empty set's digest before, to this one."""
        self._plus(other._lanes)

    def _plus(self, other: int) -> None:
        """Add lane by lane.

        The low 15 bits of all lanes are added in one go, which cannot carry into the
        next lane; the highest bits are added without carry.
        """
        one = self._lanes
        self._lanes = ((one & _LOW) + (other & _LOW)) ^ ((one ^ other) & _HIGH)

    def state(self) -> bytes:
        """The lanes, 2,048 bytes."""
        return self._lanes.to_bytes(STATE_SIZE, "little")

    def digest(self) -> bytes:
        """SHA-256 of the lanes (32 bytes)."""
        return sha256(self.state()).digest()


def coin_element(outpoint: OutPoint, output: Output, height: int, coinbase: bool) -> bytes:
    """What an unspent output adds to the digest: the encoding of its CoinEntry."""
    return CoinEntry(outpoint, output, height, coinbase).encode()
