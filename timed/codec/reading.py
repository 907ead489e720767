"""Emits the code that decodes: fused unpacks, no byte taken unchecked, no interpretation left."""

from __future__ import annotations

from typing import Any

import attrs
import construct as cs

from timed.codec.declare import (
    Array,
    Choice,
    Flag,
    Maybe,
    PrefixedBytes,
    Record,
    Text,
    is_usually_fixed,
    minimum_size,
)
from timed.codec.plan import (
    INDENT,
    Lines,
    Names,
    code_of,
    codes_of,
    has_constant,
    is_fixed,
    is_flat,
    is_inline,
    out_of_bounds,
    outside,
    quoted,
    snake,
)
from timed.codec.runtime import AT_ONCE

Position = tuple[bool, int, bool]


@attrs.frozen
class Case:
    """One struct call for what is usual: codes and width, targets, values, lengths supposed, checks."""

    codes: str
    targets: str
    width: int
    values: list[str]
    lengths: list[str]
    checks: list[tuple[str, str]]


class Reader(Lines):
    """The body of one decoding function.

    Fixed-width fields wait in `pending` until something of variable width needs the
    offset; then one struct call reads them all. The offset is `delta`, behind the
    variable `at` once there is one. A slice may pass the end of the data unnoticed
    (`unchecked`), as long as something is read behind it.
    """

    def __init__(self, names: Names, moving: bool) -> None:
        super().__init__(names)
        self.moving, self.delta = moving, 0
        self.unchecked = False
        self.pending: list[tuple[str, str]] = []
        self.checks: list[tuple[str, str]] = []
        self.supposed: list[str] | None = None
        self.following: tuple[tuple[str, Any], ...] = ()
        self.ready: dict[str, str] = {}

    def read_fields(self, record: Record) -> list[str]:
        """Emit code for the fields of the function's own record; the expressions of their values.

        Some may be `ready`, read together with the field before; of an array that is the count.
        """
        values = []
        for at, (key, sub) in enumerate(record.fields):
            if key in self.ready and not isinstance(sub, Array):
                values.append(self.ready[key])
                continue
            self.following = record.fields[at + 1 :]
            values.append(self.read(sub, f"{record.title}.{key}", key))
        self.flush()
        return values

    @property
    def position(self) -> Position:
        """Where the code is in the data, to begin a branch with."""
        return self.moving, self.delta, self.unchecked

    @position.setter
    def position(self, position: Position) -> None:
        self.moving, self.delta, self.unchecked = position

    def flush(self) -> None:
        """Read what is pending, then check it."""
        if self.pending:
            codes, targets = self.take_pending()
            self.add(f"{targets} = {self.names.struct(codes, 'unpack_from')}(data, {self.offset})")
            self.delta += cs.struct.calcsize("<" + codes)
            self.unchecked = False
        self.flush_checks()

    def take_pending(self) -> tuple[str, str]:
        """The struct codes of what is pending, and the variables as targets of an assignment."""
        codes = "".join(code for code, _ in self.pending)
        variables = [var for _, var in self.pending]
        self.pending = []
        return codes, ", ".join(variables) if len(variables) > 1 else f"({variables[0]},)"

    def flush_checks(self) -> None:
        """Check what has been read."""
        for condition, error in self.checks:
            self.refuse(condition, error)
        self.checks = []

    @property
    def offset(self) -> str:
        """The expression of the current offset."""
        return self.behind(0)

    def behind(self, width: int) -> str:
        """The expression of the offset `width` bytes from here."""
        if not self.moving:
            return str(self.delta + width)
        return f"at + {self.delta + width}" if self.delta + width else "at"

    @property
    def rest(self) -> str:
        """The slice from the current offset to `end`, spaced as the formatter wants it."""
        return f"data[{self.offset}{' : ' if ' ' in self.offset else ':'}end]"

    def settle(self) -> None:
        """Put the offset into `at`, where loops, branches and calls expect it."""
        if not self.moving:
            self.add(f"at = {self.delta}")
        elif self.delta:
            self.add(f"at += {self.delta}")
        self.moving, self.delta = True, 0

    def end_after(self, length: str, path: str) -> None:
        """Set `end`, refusing to pass the end of the data."""
        self.add(f"end = {self.offset} + {length}")
        self.refuse("end > size", f"{self.names.help('truncated')}({quoted(path)})")
        self.unchecked = False

    def continue_at_end(self) -> None:
        """The offset is `end` now."""
        self.add("at = end")
        self.moving, self.delta = True, 0

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
        self.unchecked = False
        return var

    def construct(self, record: Record, values: list[str]) -> str:
        """The constructor call."""
        if has_constant(record):
            values = [f"{key}={value}" for (key, _), value in zip(record.fields, values, strict=True)]
        return f"{self.names.class_of(record)}({', '.join(values)})"

    def construct_plain(self, record: Record, unpacked: str) -> str:
        """Emit the checks of a plain record; the constructor call from one struct call."""
        chosen = [(at, key, sub) for at, (key, sub) in enumerate(record.fields) if isinstance(sub, Choice)]
        if chosen and unpacked != "fields":
            self.add(f"fields = {unpacked}")
            unpacked = "fields"
        for at, key, sub in chosen:
            var = f"fields[{at}]"
            self.check_choice(outside(var, sub.allowed), f"{record.title}.{key}", var)
        return f"{self.names.class_of(record)}(*{unpacked})"

    def read_bytes(self, layout: PrefixedBytes, path: str, name: str) -> str:
        """A length, then a slice."""
        length, var = self.fresh(f"{name}_length"), self.fresh(name)
        self.pending.append((code_of(layout.prefix), length))
        if self.supposed is not None and layout.usual is not None:
            self.supposed.append(f"{length} == {layout.usual}")
            self.pending.append((f"{layout.usual}s", var))
            return var
        condition = out_of_bounds(length, layout)
        if condition:
            self.checks.append(
                (condition, f"{self.names.help('length_out_of_bounds')}({quoted(path)}, {length})")
            )
        self.flush()
        if isinstance(layout, Text):
            self.end_after(length, path)
            text = f"{self.names.help('to_text')}({self.rest}, {quoted(path)})"
            self.add(f"{var} = {text}")
            self.continue_at_end()
            return var
        self.cut(length, var)
        return var

    def cut(self, length: str, var: str) -> None:
        """The next `length` bytes; fewer when the data ends before, which the next read or the end notices."""
        if not self.moving:
            self.add(f"at = {self.delta} + {length}")
            self.add(f"{var} = data[{self.delta}:at]")
        elif self.delta:
            self.add(f"begin = at + {self.delta}")
            self.add(f"at = begin + {length}")
            self.add(f"{var} = data[begin:at]")
        else:
            self.add(f"end = at + {length}")
            self.add(f"{var} = data[at:end]")
            self.add("at = end")
        self.moving, self.delta, self.unchecked = True, 0, True

    def read_array(self, layout: Array, path: str, name: str) -> str:
        """A count, checked against its bounds and the bytes left, then the items."""
        count, var = self.ready.get(name) or self.fresh(f"{name}_count"), self.fresh(name)
        if name not in self.ready:
            self.pending.append((code_of(layout.prefix), count))
        condition = out_of_bounds(count, layout)
        if condition:
            self.checks.append(
                (condition, f"{self.names.help('count_out_of_bounds')}({quoted(path)}, {count})")
            )
        self.flush()
        if isinstance(layout.item, cs.Bytes):
            self.read_strings(layout, count, var)
        elif layout.usual:
            self.read_usual(layout, path, count, var)
        else:
            self.read_any(layout.item, path, count, var)
        if layout.ascending is not None:
            call = (
                f"{self.names.help('is_ascending_by')}({quoted(layout.ascending)}, {var})"
                if layout.ascending
                else f"{self.names.help('is_ascending')}({var})"
            )
            self.refuse(f"not {call}", f"{self.names.help('not_ascending')}({quoted(path)})")
        return var

    def read_strings(self, layout: Array, count: str, var: str) -> None:
        """Byte strings of one width: one call for all of them, as long as they are few."""
        width = layout.item.length
        few = f"{var} = {self.names.reader('few', width)}[{count}](data, {self.offset})"
        if layout.maximum <= AT_ONCE:
            self.add(few)
        else:
            self.add(f"if {count} <= {AT_ONCE}:")
            self.add(f"{INDENT}{few}")
            self.add("else:")
            self.add(f"{INDENT}{var} = {self.names.reader('many', width)}(data, {self.offset}, {count})")
        ends = "at +=" if self.offset == "at" else f"at = {self.offset} +"
        self.add(f"{ends} {width} * {count}")
        self.moving, self.delta, self.unchecked = True, 0, False

    def read_usual(self, layout: Array, path: str, count: str, var: str) -> None:
        """One struct call for all items of a usual count and for what follows them; else the general way.

        Lengths are supposed to be the usual ones. Where they are not, the general way
        begins again at the first item.
        """
        begun = self.position
        usual = [
            self.suppose([(layout.item, path, f"{var}_{place}") for place in range(number)], path)
            for number in range(1, layout.usual + 1)
        ]
        fit = self.fresh(f"{var}_fit") if usual[0].lengths else ""
        if fit:
            self.add(f"{fit} = False")
        for number, case in enumerate(usual, 1):
            room = f" and size >= {self.behind(case.width)}" if fit else ""
            self.add(f"{'if' if number == 1 else 'elif'} {count} == {number}{room}:")
            self.level += 1
            self.add(f"{case.targets} = {self.names.struct(case.codes, 'unpack_from')}(data, {self.offset})")
            if fit:
                self.add(f"{fit} = {' and '.join(case.lengths)}")
                self.add(f"if {fit}:")
                self.level += 1
            self.checks = case.checks
            self.flush_checks()
            note = f": tuple[{self.names.class_of(layout.item)}, ...]" if number == 1 else ""
            self.add(f"{var}{note} = ({', '.join(case.values)}{',' if number == 1 else ''})")
            self.delta += case.width
            self.settle()
            self.level -= 2 if fit else 1
            self.position = begun
        self.add(f"if not {fit}:" if fit else "else:")
        self.level += 1
        self.read_any(layout.item, path, count, var)
        self.ready |= self.read_following(path)
        self.flush()
        self.settle()
        self.level -= 1

    def suppose(self, parts: list[tuple[Any, str, str]], path: str = "") -> Case:
        """What one struct call reads of these layouts, when all lengths are usual.

        With the `path` of an array, the fields that follow it are read, too.
        """
        taken = set(self.taken)
        self.supposed = []
        values = [self.read(layout, where, name) for layout, where, name in parts]
        if path:
            self.read_following(path)
        lengths, checks = self.supposed, self.checks
        self.supposed, self.checks, self.taken = None, [], taken
        codes, targets = self.take_pending()
        return Case(codes, targets, cs.struct.calcsize("<" + codes), values, lengths, checks)

    def read_following(self, path: str) -> dict[str, str]:
        """Read the fields behind an array as far as their width is usual, and the count of the next array."""
        values = {}
        for key, sub in self.following:
            where = f"{path.rpartition('.')[0]}.{key}"
            if isinstance(sub, Array):
                values[key] = self.fresh(f"{key}_count")
                self.pending.append((code_of(sub.prefix), values[key]))
            if not is_usually_fixed(sub):
                break
            values[key] = self.read(sub, where, key)
        return values

    def read_any(self, item: Any, path: str, count: str, var: str) -> None:
        """Any number of items."""
        if isinstance(item, Record) and is_flat(item):
            self.end_after(f"{minimum_size(item)} * {count}", path)
            rows = f"{self.names.struct(codes_of(item), 'iter_unpack')}({self.rest})"
            self.names.standard.add("starmap")
            self.add(f"{var} = tuple(starmap({self.names.class_of(item)}, {rows}))")
            self.continue_at_end()
            return
        items = self.fresh(f"{var}_items")
        if is_fixed(item):
            self.read_rows(item, path, count, items)
        else:
            self.read_loop(item, path, count, items)
        self.add(f"{var} = tuple({items})")

    def read_rows(self, item: Any, path: str, count: str, items: str) -> None:
        """Items of fixed width with something to check: a loop over the rows of one call."""
        self.end_after(f"{minimum_size(item)} * {count}", path)
        self.add(f"{items} = []")
        value = self.read(item, path, f"{items}_item")
        codes, targets = self.take_pending()
        self.add(f"for {targets} in {self.names.struct(codes, 'iter_unpack')}({self.rest}):")
        self.level += 1
        self.flush_checks()
        self.add(f"{items}.append({value})")
        self.level -= 1
        self.continue_at_end()

    def read_loop(self, item: Any, path: str, count: str, items: str) -> None:
        """Items of variable width: a loop."""
        self.settle()
        self.refuse(
            f"{minimum_size(item)} * {count} > size - at", f"{self.names.help('truncated')}({quoted(path)})"
        )
        self.unchecked = False
        self.add(f"{items} = []")
        self.add(f"for _ in range({count}):")
        self.level += 1
        value = self.read(item, path, f"{items}_item")
        self.flush()
        self.add(f"{items}.append({value})")
        self.settle()
        self.level -= 1

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
        self.settle()
        self.level -= 1
        return var

    def option_type(self, layout: Maybe) -> str:
        """The annotation of a variable that may hold the item."""
        item = layout.item
        return f": {self.names.class_of(item)} | None" if isinstance(item, Record) else ""


def reader_name(record: Record) -> str:
    """The function that reads the record inside another value."""
    return f"read_{snake(record.title)}"
