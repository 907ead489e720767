"""Compact block filters: Golomb-coded sets after BIP 158, keyed by the block's tx_root.

A filter says "perhaps" for every item it was built from and "no" for all others but
one in 784,931. The encoding is the number of items (u32) and the coded differences of
their sorted hashes; an item counts once. Only the count differs from BIP 158, which
writes it as a variable-length integer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from timed.errors import DecodeError
from timed.primitives.hashing import tagged_hash
from timed.primitives.siphash import siphash

REMAINDER_BITS = 19
"""BIP 158's P: the low bits of a difference, written as they are."""
FALSE_POSITIVE = 784_931
"""BIP 158's M: one foreign item in so many matches."""
KEY_SIZE = 16
COUNT_SIZE = 4


def filter_key(tx_root: bytes) -> bytes:
    """The key of a block's filter: the first 16 bytes of its tx_root."""
    return tx_root[:KEY_SIZE]


def filter_root(encoded: bytes) -> bytes:
    """What a header's `filter_root` is for this filter."""
    return tagged_hash("filter", encoded)


def _hashes(items: Iterable[bytes], key: bytes, span: int) -> list[int]:
    """The items' hashes in 0..span-1: SipHash scaled by the high half of a product."""
    return [int.from_bytes(siphash(item, key), "little") * span >> 64 for item in items]


def build(items: Iterable[bytes], key: bytes) -> bytes:
    """The filter of a set of items; the order and number of mentions do not matter."""
    distinct = sorted(set(items))
    out, pending, width = bytearray(len(distinct).to_bytes(COUNT_SIZE, "little")), 0, 0
    last = 0
    for value in sorted(_hashes(distinct, key, len(distinct) * FALSE_POSITIVE)):
        quotient, remainder = divmod(value - last, 1 << REMAINDER_BITS)
        last = value
        ones = (1 << quotient) - 1
        pending = (pending << quotient | ones) << (REMAINDER_BITS + 1) | remainder
        width += quotient + 1 + REMAINDER_BITS
        if width >= 512:
            whole = width // 8
            out += (pending >> (width - 8 * whole)).to_bytes(whole, "big")
            width -= 8 * whole
            pending &= (1 << width) - 1
    if width:
        out += (pending << (-width % 8)).to_bytes((width + 7) // 8, "big")
    return bytes(out)


def check_filter(encoded: bytes) -> int:
    """The number of items; DecodeError unless all of `encoded` is one canonical filter."""
    count, values = _open(encoded)
    for _ in values:
        continue
    return count


def _open(encoded: bytes) -> tuple[int, Iterator[int]]:
    """The number of items and their hashes, ascending."""
    if len(encoded) < COUNT_SIZE:
        raise DecodeError("decode-truncated", "filter")
    count = int.from_bytes(encoded[:COUNT_SIZE], "little")
    bits = 8 * (len(encoded) - COUNT_SIZE)
    if count * (REMAINDER_BITS + 1) > bits:
        raise DecodeError("decode-truncated", "filter")
    return count, _values(encoded, count)


def _values(encoded: bytes, count: int) -> Iterator[int]:
    """Decode the differences; DecodeError when the bits end early, late or not in zeros."""
    text = "".join([f"{byte:08b}" for byte in encoded[COUNT_SIZE:]])
    at, value = 0, 0
    for _ in range(count):
        stop = text.find("0", at)
        end = stop + 1 + REMAINDER_BITS
        if stop < 0 or end > len(text):
            raise DecodeError("decode-truncated", "filter")
        value += (stop - at) << REMAINDER_BITS | int(text[stop + 1 : end], 2)
        if value >= count * FALSE_POSITIVE:
            raise DecodeError("decode-choice", "filter: a hash out of range")
        yield value
        at = end
    if len(text) - at >= 8 or "1" in text[at:]:
        raise DecodeError("decode-trailing", "filter")
