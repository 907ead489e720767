"""Emits the functions that encode: fused packs and one join, nothing padded or cut."""

from __future__ import annotations

from typing import Any

import construct as cs

from timed.codec.declare import Array, Choice, Flag, Maybe, PrefixedBytes, Record, Text, is_usually_fixed
from timed.codec.plan import (
    INDENT,
    Lines,
    Names,
    code_of,
    function,
    is_fixed,
    is_inline,
    out_of_bounds,
    quoted,
    snake,
)

ABSENT_PRESENT = ('b"\\x00"', 'b"\\x01"')
"""The flag before an optional item, as literals."""


class Writer(Lines):
    """The body of one encoding function.

    Fixed-width fields wait in `pending` until something of variable width follows;
    then one struct call packs them all. `parts` are the expressions of the pieces.
    """

    def __init__(self, names: Names) -> None:
        super().__init__(names)
        self.pending: list[tuple[str, str]] = []
        self.parts: list[str] = []
        self.supposed: list[str] | None = None

    def flush(self) -> None:
        """Make one piece of what is pending."""
        if self.pending:
            codes = "".join(code for code, _ in self.pending)
            values = ", ".join(value for _, value in self.pending)
            self.parts.append(f"{self.names.struct(codes, 'pack')}({values})")
            self.pending = []

    def keep(self, expression: str, name: str) -> str:
        """A variable that holds `expression`."""
        var = self.fresh(name)
        self.add(f"{var} = {expression}")
        return var

    def unfit(self, condition: str, path: str, what: str) -> None:
        """Refuse a field that does not fit."""
        self.refuse(condition, f"{self.names.help('unfit')}({quoted(path)}, {what})")

    def write(self, layout: Any, expression: str, path: str, name: str) -> None:
        """Emit code for the value of `expression`."""
        if isinstance(layout, Record):
            self.write_record(layout, expression, path, name)
        elif isinstance(layout, PrefixedBytes):
            self.write_bytes(layout, expression, path, name)
        elif isinstance(layout, Array):
            self.write_array(layout, expression, path, name)
        elif isinstance(layout, Maybe):
            self.write_maybe(layout, expression, path, name)
        elif isinstance(layout, Flag):
            self.pending.append(("?", expression))
        else:
            if isinstance(layout, cs.Bytes):
                expression = self.keep(expression, name)
                self.unfit(f"len({expression}) != {layout.length}", path, expression)
            elif isinstance(layout, Choice):
                expression = self.keep(expression, name)
                self.unfit(f"{expression} not in {layout.allowed}", path, expression)
            self.pending.append((code_of(layout), expression))

    def write_record(self, record: Record, expression: str, path: str, name: str) -> None:
        """Inline the fields, or ask the value for its encoding."""
        if not is_inline(record):
            self.flush()
            self.parts.append(f"{expression}.encode()")
            return
        if not expression.isidentifier():
            expression = self.keep(expression, name)
        for key, sub in record.fields:
            self.write(sub, f"{expression}.{key}", f"{path}.{key}", f"{name}_{key}" if name else key)

    def write_bytes(self, layout: PrefixedBytes, expression: str, path: str, name: str) -> None:
        """A length, then the bytes."""
        if isinstance(layout, Text):
            expression = f"{self.names.help('from_text')}({expression}, {quoted(path)})"
        var = self.keep(expression, name)
        if self.supposed is not None:
            self.supposed.append(f"len({var}) == {layout.usual}")
            self.pending += [(code_of(layout.prefix), str(layout.usual)), (f"{layout.usual}s", var)]
            return
        condition = out_of_bounds(f"len({var})", layout)
        if condition:
            self.unfit(condition, path, var)
        self.pending.append((code_of(layout.prefix), f"len({var})"))
        self.flush()
        self.parts.append(var)

    def write_array(self, layout: Array, expression: str, path: str, name: str) -> None:
        """A count, then the items."""
        var = self.keep(expression, name)
        condition = out_of_bounds(f"len({var})", layout)
        if condition:
            self.unfit(condition, path, f"len({var})")
        if layout.ascending is not None:
            call = (
                f"{self.names.help('is_ascending_by')}({quoted(layout.ascending)}, {var})"
                if layout.ascending
                else f"{self.names.help('is_ascending')}({var})"
            )
            self.unfit(f"not {call}", path, '"order"')
        if layout.usual:
            self.write_usual(layout, var, path)
            return
        self.pending.append((code_of(layout.prefix), f"len({var})"))
        self.flush()
        item = layout.item
        if isinstance(item, cs.Bytes):
            width = self.names.width(item.length)
            self.unfit(f"not {width}.issuperset(map(len, {var}))", path, var)
            self.parts.append(f"*{var}")
        elif isinstance(item, Record) and not is_inline(item):
            self.parts.append(f"*[item.encode() for item in {var}]")
        else:
            pieces = self.fresh(f"{var}_pieces")
            self.add(f"{pieces}: list[bytes] = []")
            self.write_items(item, var, pieces, path)
            self.parts.append(f"*{pieces}")

    def write_usual(self, layout: Array, var: str, path: str) -> None:
        """A branch for each usual count and one for the rest; all make one piece.

        What is pending goes into the branches, to be packed together with the items.
        """
        before, outer = self.pending, self.parts
        item, prefix = layout.item, code_of(layout.prefix)
        count = self.keep(f"len({var})", f"{var}_count")
        piece = self.fresh(f"{var}_piece")
        taken = set(self.taken)
        for number in range(1, layout.usual + 1):
            self.add(f"{'if' if number == 1 else 'elif'} {count} == {number}:")
            self.level += 1
            self.taken = set(taken)
            names = [self.fresh(f"{var}_{place}") for place in range(number)]
            self.add(f"{', '.join(names) if number > 1 else f'({names[0]},)'} = {var}")
            head = [*before, (prefix, str(number))]
            self.write_supposed(head, [(item, name, path, name) for name in names], f"{piece} = ")
            self.level -= 1
        self.add("else:")
        self.level += 1
        self.pending, self.parts = [*before, (prefix, count)], []
        self.flush()
        pieces = self.fresh(f"{var}_pieces")
        self.add(f"{pieces} = [{self.parts[0]}]")
        self.write_items(item, var, pieces, path)
        self.add(f'{piece} = b"".join({pieces})')
        self.level -= 1
        self.pending, self.parts = [], [*outer, piece]

    def write_supposed(
        self, head: list[tuple[str, str]], parts: list[tuple[Any, str, str, str]], begin: str
    ) -> None:
        """A line that begins so and ends with what one struct call packs when all lengths are usual.

        Where they are not, it ends with the pieces joined.
        """
        taken = set(self.taken)
        self.pending, self.parts, self.supposed = [*head], [], []
        for part in parts:
            self.write(*part)
        packed, lengths = self.joined(), self.supposed
        self.supposed = None
        if not lengths:
            self.add(begin + packed)
            return
        self.add(f"if {' and '.join(lengths)}:")
        self.add(f"{INDENT}{begin}{packed}")
        self.add("else:")
        self.level += 1
        self.pending, self.parts, self.taken = [*head], [], taken
        for part in parts:
            self.write(*part)
        self.add(begin + self.joined())
        self.level -= 1

    def write_items(self, item: Any, var: str, pieces: str, path: str) -> None:
        """A loop that adds the items' pieces to a list."""
        each = self.fresh(f"{var}_item")
        self.add(f"for {each} in {var}:")
        self.level += 1
        outer, self.parts = self.parts, []
        self.write(item, each, path, each)
        self.flush()
        if len(self.parts) == 1:
            self.add(f"{pieces}.append({self.parts[0]})")
        else:
            self.add(f"{pieces} += ({', '.join(self.parts)})")
        self.parts = outer
        self.level -= 1

    def write_maybe(self, layout: Maybe, expression: str, path: str, name: str) -> None:
        """A flag, then the item or nothing."""
        self.flush()
        each = self.keep(expression, name)
        pieces = self.fresh(f"{name}_pieces")
        self.add(f"{pieces}: tuple[bytes, ...] = ({ABSENT_PRESENT[0]},)")
        self.add(f"if {each} is not None:")
        self.level += 1
        outer, self.parts = self.parts, []
        self.write(layout.item, each, path, each)
        self.flush()
        self.add(f"{pieces} = ({ABSENT_PRESENT[1]}, {', '.join(self.parts)})")
        self.parts = outer
        self.level -= 1
        self.parts.append(f"*{pieces}")

    def joined(self) -> str:
        """The expression of all parts in one."""
        self.flush()
        if not self.parts:
            return 'b""'
        if len(self.parts) == 1:
            only = self.parts[0]
            return f'b"".join({only[1:]})' if only.startswith("*") else only
        return f'b"".join(({", ".join(self.parts)}))'


def encoder(record: Record, names: Names) -> list[str]:
    """`pack_x(value) -> bytes`."""
    title = names.class_of(record)
    writer = Writer(names)
    writer.add("try:")
    writer.level += 1
    parts = [(sub, f"value.{key}", f"{title}.{key}", key) for key, sub in record.fields]
    if is_usually_fixed(record) and not is_fixed(record):
        writer.write_supposed([], parts, "return ")
    else:
        for part in parts:
            writer.write(*part)
        writer.add(f"return {writer.joined()}")
    writer.level -= 1
    writer.add("except struct.error as error:")
    writer.add(f"{INDENT}raise {names.help('unfit')}({quoted(title)}, str(error)) from None")
    if not record.fields:
        writer.lines = [f'{INDENT}return b""']
    head = f"def pack_{snake(title)}(value: {title}) -> bytes:"
    return function(head, "The encoding of the fields.", writer.lines)
