"""Emits the functions that decode: fused unpacks, bounds first, no interpretation left."""

from __future__ import annotations

from typing import Any

import construct as cs

from timed.codec.declare import Array, Choice, Flag, Maybe, PrefixedBytes, Record, Text, minimum_size
from timed.codec.plan import (
    INDENT,
    Lines,
    Names,
    code_of,
    function,
    has_constant,
    is_fixed,
    is_flat,
    is_inline,
    out_of_bounds,
    outside,
    quoted,
    snake,
)


class Reader(Lines):
    """The body of one decoding function.

    Fixed-width fields wait in `pending` until something of variable width needs the
    offset; then one struct call reads them all. While the offset is a constant it is
    written as one (`known`).
    """

    def __init__(self, names: Names, known: int | None) -> None:
        super().__init__(names)
        self.known = known
        self.pending: list[tuple[str, str]] = []
        self.checks: list[tuple[str, str]] = []

    def flush(self) -> None:
        """Read what is pending, then check it."""
        if self.pending:
            codes = "".join(code for code, _ in self.pending)
            width = cs.struct.calcsize("<" + codes)
            targets = ", ".join(var for _, var in self.pending)
            if len(self.pending) == 1:
                targets = f"({targets},)"
            self.add(f"{targets} = {self.names.struct(codes, 'unpack_from')}(data, {self.offset})")
            self.advance(width)
        for condition, error in self.checks:
            self.refuse(condition, error)
        self.pending, self.checks = [], []

    @property
    def offset(self) -> str:
        """The expression of the current offset."""
        return "at" if self.known is None else str(self.known)

    def advance(self, width: int) -> None:
        """Move the offset past `width` bytes."""
        if self.known is None:
            self.add(f"at += {width}")
        else:
            self.known += width

    def settle(self) -> None:
        """Put the offset into `at`, where loops and calls expect it."""
        if self.known is not None:
            self.add(f"at = {self.known}")
            self.known = None

    def slice_end(self, length: str, path: str) -> None:
        """Set `end`, refusing to pass the end of the data."""
        self.add(f"end = {self.offset} + {length}")
        self.refuse("end > size", f"{self.names.help('truncated')}({quoted(path)})")

    def read(self, layout: Any, path: str, name: str) -> str:
        """Emit code for `layout`; the expression of its value, good after `flush`."""
        if isinstance(layout, Record):
            return self.read_record(layout, path, name)
        if isinstance(layout, PrefixedBytes):
            return self.read_bytes(layout, path, name)
        if isinstance(layout, Array):
            return self.read_array(layout, path, name)
        if isinstance(layout, Maybe):
            return self.read_maybe(layout, path, name)
        var = self.fresh(name)
        self.pending.append((code_of(layout), var))
        if isinstance(layout, Choice):
            self.check_choice(outside(var, layout.allowed), path, var)
        if isinstance(layout, Flag):
            self.check_choice(f"{var} > 1", path, var)
            return f"{var} == 1"
        return var

    def check_choice(self, condition: str, path: str, var: str) -> None:
        """Refuse a number that is no choice, once it is read."""
        self.checks.append((condition, f"{self.names.help('not_a_choice')}({quoted(path)}, {var})"))

    def read_record(self, record: Record, path: str, name: str) -> str:
        """Inline the fields, or call the record's own function."""
        if is_inline(record):
            return self.construct(record, [self.read(sub, f"{path}.{key}", f"{name}_{key}")
                                           for key, sub in record.fields])  # fmt: skip
        self.flush()
        self.settle()
        var = self.fresh(name)
        self.add(f"{var}, at = {reader_name(record)}(data, at, size)")
        return var

    def construct(self, record: Record, values: list[str]) -> str:
        """The constructor call."""
        if has_constant(record):
            values = [f"{key}={value}" for (key, _), value in zip(record.fields, values, strict=True)]
        return f"{self.names.class_of(record)}({', '.join(values)})"

    def read_bytes(self, layout: PrefixedBytes, path: str, name: str) -> str:
        """A length, then a slice."""
        length, var = self.fresh(f"{name}_length"), self.fresh(name)
        self.pending.append((code_of(layout.prefix), length))
        condition = out_of_bounds(length, layout)
        if condition:
            self.checks.append(
                (condition, f"{self.names.help('length_out_of_bounds')}({quoted(path)}, {length})")
            )
        self.flush()
        self.slice_end(length, path)
        piece = f"data[{self.offset}:end]"
        if isinstance(layout, Text):
            piece = f"{self.names.help('to_text')}({piece}, {quoted(path)})"
        self.add(f"{var} = {piece}")
        self.add("at = end")
        self.known = None
        return var

    def read_array(self, layout: Array, path: str, name: str) -> str:
        """A count, checked against its bounds and the bytes left, then the items."""
        count, var = self.fresh(f"{name}_count"), self.fresh(name)
        self.pending.append((code_of(layout.prefix), count))
        condition = out_of_bounds(count, layout)
        if condition:
            self.checks.append(
                (condition, f"{self.names.help('count_out_of_bounds')}({quoted(path)}, {count})")
            )
        self.flush()
        item = layout.item
        if isinstance(item, cs.Bytes) or (isinstance(item, Record) and is_flat(item)):
            self.read_repeated(item, path, count, var)
        else:
            self.read_items(item, path, count, var)
        if layout.ascending is not None:
            call = (
                f"{self.names.help('is_ascending_by')}({quoted(layout.ascending)}, {var})"
                if layout.ascending
                else f"{self.names.help('is_ascending')}({var})"
            )
            self.refuse(f"not {call}", f"{self.names.help('not_ascending')}({quoted(path)})")
        return var

    def read_repeated(self, item: Any, path: str, count: str, var: str) -> None:
        """Items of one fixed shape: one call for all of them."""
        self.slice_end(f"{minimum_size(item)} * {count}", path)
        fields = [sub for _, sub in item.fields] if isinstance(item, Record) else [item]
        unpack = self.names.struct("".join(map(code_of, fields)), "iter_unpack")
        rows = f"{unpack}(data[{self.offset}:end])"
        if isinstance(item, Record):
            self.names.standard.add("starmap")
            self.add(f"{var} = tuple(starmap({self.names.class_of(item)}, {rows}))")
        else:
            self.names.standard.add("chain")
            self.add(f"{var} = tuple(chain.from_iterable({rows}))")
        self.add("at = end")
        self.known = None

    def read_items(self, item: Any, path: str, count: str, var: str) -> None:
        """Items of variable width: a loop."""
        self.settle()
        self.refuse(
            f"{minimum_size(item)} * {count} > size - at", f"{self.names.help('truncated')}({quoted(path)})"
        )
        items = self.fresh(f"{var}_items")
        self.add(f"{items} = []")
        self.add(f"for _ in range({count}):")
        self.level += 1
        value = self.read(item, path, f"{var}_item")
        self.flush()
        self.add(f"{items}.append({value})")
        self.level -= 1
        self.add(f"{var} = tuple({items})")

    def read_maybe(self, layout: Maybe, path: str, name: str) -> str:
        """A flag, then the item or None."""
        present, var = self.fresh(f"{name}_present"), self.fresh(name)
        self.pending.append(("B", present))
        self.check_choice(f"{present} > 1", path, present)
        self.flush()
        self.settle()
        self.add(f"{var}{self.option_type(layout)} = None")
        self.add(f"if {present}:")
        self.level += 1
        value = self.read(layout.item, path, f"{name}_item")
        self.flush()
        self.add(f"{var} = {value}")
        self.level -= 1
        return var

    def option_type(self, layout: Maybe) -> str:
        """The annotation of a variable that may hold the item."""
        item = layout.item
        return f": {self.names.class_of(item)} | None" if isinstance(item, Record) else ""


def reader_name(record: Record) -> str:
    """The function that reads the record inside another value."""
    return f"read_{snake(record.title)}"


def nested_reader(record: Record, names: Names) -> list[str]:
    """`read_x(data, at, size) -> (value, offset after it)`, for use inside other values."""
    reader = Reader(names, None)
    if record.retained:
        reader.add("start = at")
    values = [reader.read(sub, f"{record.title}.{key}", key) for key, sub in record.fields]
    reader.flush()
    reader.add(f"value = {reader.construct(record, values)}")
    if record.retained:
        reader.add(f"{names.help('retain')}(value, data[start:at])")
    reader.add("return value, at")
    title = names.class_of(record)
    head = f"def {reader_name(record)}(data: bytes, at: int, size: int) -> tuple[{title}, int]:"
    return function(head, "Decode at `at`: the value and the offset after it.", reader.lines)


def decoder(record: Record, names: Names) -> list[str]:
    """`decode_x(data) -> value`, for a value that is all of `data`."""
    title = names.class_of(record)
    head, doc = f"def decode_{snake(title)}(data: bytes) -> {title}:", "Decode all of `data`."
    if not record.fields:
        reader = Reader(names, 0)
        reader.refuse("data", f"{names.help('trailing')}({quoted(title)}, len(data))")
        reader.add(f"return {title}()")
        return function(head, doc, reader.lines)
    reader = Reader(names, 0)
    reader.add("size = len(data)")
    if is_fixed(record):
        width = minimum_size(record)
        reader.refuse(f"size < {width}", f"{names.help('truncated')}({quoted(title)})")
        reader.refuse(f"size > {width}", f"{names.help('trailing')}({quoted(title)}, size - {width})")
    else:
        reader.add("try:")
        reader.level += 1
    values = [reader.read(sub, f"{title}.{key}", key) for key, sub in record.fields]
    reader.flush()
    if not is_fixed(record):
        reader.level -= 1
        reader.add("except struct.error:")
        reader.add(f"{INDENT}raise {names.help('truncated')}({quoted(title)}) from None")
        reader.refuse(f"{reader.offset} != size", f"{names.help('trailing')}({quoted(title)}, size - at)")
    if record.retained:
        reader.add(f"value = {reader.construct(record, values)}")
        reader.add(f"{names.help('retain')}(value, data)")
        reader.add("return value")
    else:
        reader.add(f"return {reader.construct(record, values)}")
    return function(head, doc, reader.lines)
