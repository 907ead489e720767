"""Values and damage for every declared layout, derived from the declarations alone."""

from __future__ import annotations

import hashlib
from typing import Any

import construct as cs
from hypothesis import strategies as st

from timed.codec.declare import Array, Choice, Flag, Maybe, PrefixedBytes, Record, Text

FEW = 3
"""Repeated parts are drawn up to this count, or to the declared minimum if that is more."""


def bytes_of(length: int) -> st.SearchStrategy[bytes]:
    """Byte strings of one length, cheap to draw."""
    return st.binary(min_size=length, max_size=length) if length <= 4 else st.builds(
        lambda seed: hashlib.shake_256(seed).digest(length), st.binary(max_size=4)
    )  # fmt: skip


def plain(layout: Any) -> st.SearchStrategy[Any]:
    """Plain values that fit the layout, bounds included."""
    if isinstance(layout, Record):
        return st.fixed_dictionaries({key: plain(sub) for key, sub in layout.fields})
    if isinstance(layout, cs.FormatField):
        return st.integers(0, (1 << (8 * layout.length)) - 1)
    if isinstance(layout, cs.Bytes):
        return bytes_of(layout.length)
    if isinstance(layout, Choice):
        return st.sampled_from(layout.allowed)
    if isinstance(layout, Flag):
        return st.booleans()
    if isinstance(layout, Text):
        return st.text(max_size=layout.maximum // 4)
    if isinstance(layout, PrefixedBytes):
        top = min(layout.maximum, layout.minimum + 40)
        return st.integers(layout.minimum, top).flatmap(bytes_of) | bytes_of(min(layout.maximum, 400))
    if isinstance(layout, Maybe):
        return st.none() | plain(layout.item)
    if isinstance(layout, Array):
        return _array(layout)
    raise TypeError(layout)


def _array(layout: Array) -> st.SearchStrategy[list[Any]]:
    top = min(layout.maximum, max(layout.minimum, FEW))
    items = st.lists(plain(layout.item), min_size=layout.minimum, max_size=top)
    if layout.ascending is None:
        return items
    key = (lambda item: item[layout.ascending]) if layout.ascending else (lambda item: item)
    return items.map(lambda drawn: _strictly_rising(drawn, key))


def _strictly_rising(drawn: list[Any], key: Any) -> list[Any]:
    return [item for _, item in sorted({key(item): item for item in drawn}.items())]


def sample(layout: Any, seed: str, few: int = 2) -> Any:
    """One fixed plain value: the same for the same seed, whatever the Python version."""
    if isinstance(layout, Record):
        return {key: sample(sub, f"{seed}.{key}", few) for key, sub in layout.fields}
    if isinstance(layout, cs.FormatField):
        return int.from_bytes(_noise(seed, layout.length), "little")
    if isinstance(layout, cs.Bytes):
        return _noise(seed, layout.length)
    if isinstance(layout, Choice):
        return layout.allowed[_noise(seed, 1)[0] % len(layout.allowed)]
    if isinstance(layout, Flag):
        return bool(_noise(seed, 1)[0] & 1)
    if isinstance(layout, Text):
        return _noise(seed, 4).hex()
    if isinstance(layout, PrefixedBytes):
        return _noise(seed, min(layout.maximum, 20))
    if isinstance(layout, Maybe):
        return sample(layout.item, seed, few)
    if isinstance(layout, Array):
        count = min(layout.maximum, max(layout.minimum, few))
        items = [sample(layout.item, f"{seed}[{index}]", few) for index in range(count)]
        if layout.ascending is None:
            return items
        key = (lambda item: item[layout.ascending]) if layout.ascending else (lambda item: item)
        return _strictly_rising(items, key)
    raise TypeError(layout)


def _noise(seed: str, length: int) -> bytes:
    return hashlib.shake_256(seed.encode()).digest(length)
