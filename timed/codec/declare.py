"""The vocabulary of layouts: construct declarations with a bound on everything.

Each helper returns a construct that parses and builds by interpretation, strictly:
that is the oracle. `timed.codec.generate` walks the same objects and emits the code
the node runs.
"""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO
from itertools import pairwise
from typing import Any

import construct as cs

u8 = cs.Int8ul
u16 = cs.Int16ul
u32 = cs.Int32ul
u64 = cs.Int64ul

MAX_DEPTH = 12
"""Layouts may not nest deeper than this; there are no recursive ones."""


class LayoutError(cs.ConstructError):  # type: ignore[misc]
    """The interpreted parser or builder refuses what the declaration does not allow."""


class PrefixedBytes(cs.Construct):  # type: ignore[misc]
    """A length and that many bytes.

    Beside a usual count (see `Array`) the `usual` length is taken for granted first;
    the encoding does not depend on it.
    """

    def __init__(self, prefix: Any, minimum: int, maximum: int, usual: int | None = None) -> None:
        super().__init__()
        if usual is not None and not minimum <= usual <= maximum:
            raise LayoutError(f"the usual length of {usual} is not allowed")
        self.prefix, self.minimum, self.maximum, self.usual = prefix, minimum, maximum, usual

    def check(self, length: int, path: str) -> None:
        """LayoutError when `length` is out of bounds."""
        if not self.minimum <= length <= self.maximum:
            raise LayoutError(f"{length} bytes, allowed are {self.minimum} to {self.maximum}", path)

    def _parse(self, stream: Any, context: Any, path: str) -> Any:
        length = self.prefix._parsereport(stream, context, path)
        self.check(length, path)
        return cs.stream_read(stream, length, path)

    def _build(self, obj: Any, stream: Any, context: Any, path: str) -> Any:
        self.check(len(obj), path)
        self.prefix._build(len(obj), stream, context, path)
        cs.stream_write(stream, obj, len(obj), path)
        return obj


class Text(PrefixedBytes):
    """A length in bytes and strict UTF-8."""

    def _parse(self, stream: Any, context: Any, path: str) -> str:
        try:
            return str(super()._parse(stream, context, path), "utf-8")
        except UnicodeDecodeError as error:
            raise LayoutError(str(error), path) from None

    def _build(self, obj: Any, stream: Any, context: Any, path: str) -> Any:
        try:
            data = obj.encode("utf-8")
        except UnicodeEncodeError as error:
            raise LayoutError(str(error), path) from None
        super()._build(data, stream, context, path)
        return obj


class Array(cs.Construct):  # type: ignore[misc]
    """A count and that many items; `ascending` names the key that must rise strictly.

    `ascending` is "" for the item itself, a field's name for an array of records.
    Counts from 1 to `usual` get code of their own; the encoding does not depend on it.
    """

    def __init__(
        self, prefix: Any, item: Any, minimum: int, maximum: int, ascending: str | None, usual: int = 0
    ) -> None:
        super().__init__()
        if minimum_size(item) == 0:
            raise LayoutError("an array of items without width has no bound")
        if usual and not minimum <= 1 <= usual <= maximum:
            raise LayoutError(f"usual counts from 1 to {usual} are not all allowed")
        if usual and not (isinstance(item, Record) and is_usually_fixed(item)):
            raise LayoutError("usual counts are those of records whose width is usually the same")
        self.prefix, self.item = prefix, item
        self.minimum, self.maximum, self.ascending, self.usual = minimum, maximum, ascending, usual

    def check(self, items: list[Any], path: str) -> None:
        """LayoutError when the count or the order is not allowed."""
        if not self.minimum <= len(items) <= self.maximum:
            raise LayoutError(f"{len(items)} items, allowed are {self.minimum} to {self.maximum}", path)
        if self.ascending is not None:
            keys = [item[self.ascending] if self.ascending else item for item in items]
            if any(one >= other for one, other in pairwise(keys)):
                raise LayoutError("items are not strictly ascending", path)

    def _parse(self, stream: Any, context: Any, path: str) -> list[Any]:
        count = self.prefix._parsereport(stream, context, path)
        if not self.minimum <= count <= self.maximum:
            raise LayoutError(f"{count} items, allowed are {self.minimum} to {self.maximum}", path)
        items = [self.item._parsereport(stream, context, path) for _ in range(count)]
        self.check(items, path)
        return items

    def _build(self, obj: Any, stream: Any, context: Any, path: str) -> Any:
        self.check(list(obj), path)
        self.prefix._build(len(obj), stream, context, path)
        for item in obj:
            self.item._build(item, stream, context, path)
        return obj


class Choice(cs.Construct):  # type: ignore[misc]
    """An integer that must be one of a few."""

    def __init__(self, subcon: Any, allowed: tuple[int, ...]) -> None:
        super().__init__()
        self.subcon, self.allowed = subcon, allowed

    def _parse(self, stream: Any, context: Any, path: str) -> int:
        number: int = self.subcon._parsereport(stream, context, path)
        if number not in self.allowed:
            raise LayoutError(f"{number} is not one of {self.allowed}", path)
        return number

    def _build(self, obj: Any, stream: Any, context: Any, path: str) -> Any:
        if obj not in self.allowed:
            raise LayoutError(f"{obj} is not one of {self.allowed}", path)
        self.subcon._build(int(obj), stream, context, path)
        return obj


class Flag(cs.Construct):  # type: ignore[misc]
    """One byte, 0 or 1 and nothing else."""

    def _parse(self, stream: Any, context: Any, path: str) -> bool:
        number: int = u8._parsereport(stream, context, path)
        if number > 1:
            raise LayoutError(f"{number} is neither 0 nor 1", path)
        return number == 1

    def _build(self, obj: Any, stream: Any, context: Any, path: str) -> Any:
        u8._build(1 if obj else 0, stream, context, path)
        return obj


class Maybe(cs.Construct):  # type: ignore[misc]
    """A flag byte, then the item when the flag is 1; None otherwise."""

    def __init__(self, item: Any) -> None:
        super().__init__()
        self.item = item

    def _parse(self, stream: Any, context: Any, path: str) -> Any:
        return self.item._parsereport(stream, context, path) if flag._parse(stream, context, path) else None

    def _build(self, obj: Any, stream: Any, context: Any, path: str) -> Any:
        flag._build(obj is not None, stream, context, path)
        if obj is not None:
            self.item._build(obj, stream, context, path)
        return obj


class Record(cs.Struct):  # type: ignore[misc]
    """The fields of one value class, in order.

    `home` is the module that defines the class; `retained` says that a decoded
    value keeps its bytes.
    """

    def __init__(self, title: str, home: str, retained: bool, fields: Iterable[Any]) -> None:
        super().__init__(*fields)
        self.title, self.home, self.retained = title, home, retained
        self.fields: tuple[tuple[str, Any], ...] = tuple((sub.name, sub.subcon) for sub in self.subcons)

    def parse_exact(self, data: bytes) -> Any:
        """Parse all of `data` by interpretation; ConstructError for anything else."""
        stream = BytesIO(data)
        parsed = self.parse_stream(stream)
        if stream.read(1):
            raise LayoutError("trailing bytes")
        return parsed


def bytes_fixed(length: int) -> Any:
    """Exactly `length` bytes."""
    return cs.Bytes(length)


def bytes_prefixed(prefix: Any, maximum: int, minimum: int = 0, usual: int | None = None) -> PrefixedBytes:
    """A length of type `prefix` and that many bytes, usually `usual`."""
    return PrefixedBytes(prefix, minimum, maximum, usual)


def text(prefix: Any, maximum: int) -> Text:
    """A length in bytes of type `prefix` and that much UTF-8."""
    return Text(prefix, 0, maximum)


def array(
    prefix: Any, item: Any, maximum: int, minimum: int = 0, ascending: str | None = None, usual: int = 0
) -> Array:
    """A count of type `prefix` and that many items, usually not more than `usual`."""
    return Array(prefix, item, minimum, maximum, ascending, usual)


def enum(subcon: Any, allowed: Iterable[int]) -> Choice:
    """An integer that must be one of `allowed`."""
    return Choice(subcon, tuple(int(number) for number in allowed))


def const(subcon: Any, number: int) -> Choice:
    """An integer that must be `number`."""
    return Choice(subcon, (number,))


def optional(item: Any) -> Maybe:
    """The item or None, told apart by a flag byte."""
    return Maybe(item)


flag = Flag()
hash32 = bytes_fixed(32)
key32 = bytes_fixed(32)
signature64 = bytes_fixed(64)


def is_usually_fixed(layout: Any) -> bool:
    """True when values of this layout have one width, as long as lengths are the usual ones."""
    if isinstance(layout, Record):
        return not layout.retained and all(is_usually_fixed(sub) for _, sub in layout.fields)
    if isinstance(layout, PrefixedBytes):
        return layout.usual is not None
    return not isinstance(layout, (Array, Maybe))


def minimum_size(layout: Any) -> int:
    """The fewest bytes a value of this layout takes."""
    return _size(layout, 0)


def maximum_size(layout: Any) -> int:
    """The most bytes a value of this layout takes."""
    return _size(layout, 1)


def depth(layout: Any) -> int:
    """How deep records, arrays and options nest in this layout."""
    if isinstance(layout, Record):
        return 1 + max((depth(sub) for _, sub in layout.fields), default=0)
    if isinstance(layout, (Array, Maybe)):
        return 1 + depth(layout.item)
    return 0


def _size(layout: Any, which: int) -> int:
    if isinstance(layout, (cs.FormatField, cs.Bytes)):
        return int(layout.length)
    if isinstance(layout, Flag):
        return 1
    if isinstance(layout, Choice):
        return int(layout.subcon.length)
    if isinstance(layout, PrefixedBytes):
        return int(layout.prefix.length) + (layout.minimum, layout.maximum)[which]
    if isinstance(layout, Array):
        count = (layout.minimum, layout.maximum)[which]
        return int(layout.prefix.length) + (count * _size(layout.item, which) if count else 0)
    if isinstance(layout, Maybe):
        return 1 + which * _size(layout.item, which)
    if isinstance(layout, Record):
        return sum(_size(sub, which) for _, sub in layout.fields)
    raise LayoutError(f"{layout!r} is not a layout of this project")
