"""The base classes of every value that has a canonical encoding.

A generated module binds `decode` and `pack` to each value class when the module
that defines the class has run (see `timed.codec.generate`).
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, TypeVar

import msgspec

from timed.errors import LocalError

V = TypeVar("V", bound="Value")


class EncodeError(LocalError):
    """A value built by our own code does not fit its declaration."""


class Value(msgspec.Struct, frozen=True, gc=False):
    """An immutable value with exactly one encoding (protocol §1)."""

    @classmethod
    def decode(cls: type[V], data: bytes) -> V:
        """The value `data` encodes; DecodeError for anything but its canonical encoding."""
        raise LocalError(f"no codec is bound to {cls.__name__}.", "Run `python -m timed.codec`.")

    @classmethod
    def decode_in_steps(cls: type[V], data: bytes) -> Generator[int, None, V]:
        """`decode` with pauses: yields offsets, and returns the value; without a pause where nothing is long."""
        yield from ()
        return cls.decode(data)

    def pack(self) -> bytes:
        """Encode the fields; EncodeError when one of them does not fit its declaration."""
        raise LocalError(f"no codec is bound to {type(self).__name__}.", "Run `python -m timed.codec`.")

    def encode(self) -> bytes:
        """The canonical encoding."""
        return self.pack()


class Retained:
    """A mixin for values that keep the bytes they were decoded from.

    The bytes stand outside the fields: comparing, hashing, copying and
    `msgspec.structs.replace` see the fields only, and a replaced value encodes afresh.
    """

    __slots__ = ("_hash", "_raw")

    _raw: bytes
    _hash: bytes

    def pack(self) -> bytes:
        """Encode the fields; overridden by the generated codec."""
        raise LocalError(f"no codec is bound to {type(self).__name__}.", "Run `python -m timed.codec`.")

    @property
    def raw(self) -> bytes:
        """The received bytes, or the encoding of a value that was built here."""
        try:
            return self._raw
        except AttributeError:
            return self.encode()

    def encode(self) -> bytes:
        """The received bytes, or the encoding of a value that was built here."""
        raw: bytes | None = getattr(self, "_raw", None)
        if raw is None:
            # Not by way of an exception: that costs as much as a third of the encoding.
            raw = self.pack()
            retain(self, raw)
        return raw

    @property
    def size(self) -> int:
        """Length of the encoding in bytes."""
        return len(self.raw)


class Encoding:
    """Stands for a value of which only the encoding is at hand, as a part of one that is packed."""

    __slots__ = ("_data",)

    def __init__(self, data: bytes) -> None:
        self._data = data

    def encode(self) -> bytes:
        """The canonical encoding."""
        return self._data


retain: Callable[[Retained, bytes], None] = vars(Retained)["_raw"].__set__
"""retain(value, data): keep the slice a value was decoded from."""

retain_hash: Callable[[Retained, bytes], None] = vars(Retained)["_hash"].__set__
"""retain_hash(value, digest): keep a digest once it is computed."""


def bind(
    cls: type[V],
    decode: Callable[[bytes], V],
    pack: Callable[[V], bytes],
    steps: Callable[[bytes], Generator[int, None, V]] | None = None,
) -> None:
    """Give a value class its generated codec; called at the end of each generated module."""
    bound: dict[str, Any] = {"decode": staticmethod(decode), "pack": pack}
    if steps is not None:
        bound["decode_in_steps"] = staticmethod(steps)
    if not issubclass(cls, Retained):
        bound["encode"] = pack
    for name, function in bound.items():
        setattr(cls, name, function)
