"""What reading and writing share: how layouts map to code, and the lines of a function."""

from __future__ import annotations

import builtins
import re
from typing import Any

import construct as cs

from timed.codec.declare import Array, Choice, Flag, Maybe, PrefixedBytes, Record, maximum_size, minimum_size

INDENT = "    "
MAX_BRANCHES = 14
"""Functions with more branches are marked for the linter: they repeat, they do not tangle."""


def snake(title: str) -> str:
    """`UTXOStateQuery` -> `utxo_state_query`, `OutPoint` -> `out_point`."""
    split = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", title)
    return re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", split).lower()


def quoted(text: str) -> str:
    """A string literal of a text without quotes or backslashes."""
    return f'"{text}"'


def is_fixed(layout: Any) -> bool:
    """True when every value of this layout takes the same number of bytes."""
    if isinstance(layout, (Array, Maybe, PrefixedBytes)):
        return False
    if isinstance(layout, Record):
        return all(is_fixed(sub) for _, sub in layout.fields)
    return minimum_size(layout) == maximum_size(layout)


def is_inline(record: Record) -> bool:
    """True when code for the record stands inside that of the value around it.

    Values that keep their bytes have functions, and those that repeat more than bytes.
    """
    if record.retained:
        return False
    return not any(
        isinstance(sub, Maybe) or (isinstance(sub, Array) and not isinstance(sub.item, cs.Bytes))
        for _, sub in record.fields
    )


def is_flat(record: Record) -> bool:
    """True when all fields are plain fixed-width ones, without a check of their own."""
    return all(isinstance(sub, (cs.FormatField, cs.Bytes)) for _, sub in record.fields)


def is_plain(record: Record) -> bool:
    """True when the fields are what one struct call gives; some may have a few choices only."""
    return not has_constant(record) and all(
        isinstance(sub, (cs.FormatField, cs.Bytes, Choice)) for _, sub in record.fields
    )


def has_constant(record: Record) -> bool:
    """True when a field can have one value only: such classes take keywords."""
    return any(isinstance(sub, Choice) and len(sub.allowed) == 1 for _, sub in record.fields)


def called_records(layout: Any) -> list[Record]:
    """The records whose functions the code of this layout calls, in order."""
    if isinstance(layout, Record):
        return [found for _, sub in layout.fields for found in _called_or_within(sub)]
    if isinstance(layout, (Array, Maybe)):
        return _called_or_within(layout.item)
    return []


def _called_or_within(layout: Any) -> list[Record]:
    if isinstance(layout, Record) and not is_inline(layout):
        return [layout]
    return called_records(layout)


def code_of(field: Any) -> str:
    """The struct code of a fixed-width field."""
    if isinstance(field, cs.FormatField):
        return str(field.fmtstr[-1])
    if isinstance(field, cs.Bytes):
        return f"{field.length}s"
    if isinstance(field, Choice):
        return code_of(field.subcon)
    if isinstance(field, Flag):
        return "B"
    raise TypeError(field)


def codes_of(layout: Any) -> str:
    """The struct codes of a layout of fixed width."""
    if isinstance(layout, Record):
        return "".join(codes_of(sub) for _, sub in layout.fields)
    return code_of(layout)


def capacity(prefix: Any) -> int:
    """The largest number a length or count prefix can hold."""
    return int((1 << (8 * prefix.length)) - 1)


class Names:
    """Names a generated module needs: struct objects, runtime helpers, imports."""

    def __init__(self) -> None:
        self.structs: dict[tuple[str, str], str] = {}
        self.runtime: set[str] = set()
        self.standard: set[str] = set()
        self.classes: dict[str, set[str]] = {}
        self.widths: dict[int, str] = {}
        self.readers: dict[tuple[str, int], str] = {}
        self.generators = False

    def struct(self, codes: str, method: str) -> str:
        """The name of a bound method of `Struct("<" + codes)`."""
        key = (codes, method)
        if key not in self.structs:
            numbers = {known: name for (known, _), name in self.structs.items()}
            number = numbers[codes].rsplit("_", 1)[1] if codes in numbers else str(len(numbers))
            self.structs[key] = f"_{method}_{number}"
        return self.structs[key]

    def help(self, name: str) -> str:
        """A helper of `timed.codec.runtime`."""
        self.runtime.add(name)
        return name

    def class_of(self, record: Record) -> str:
        """The record's value class."""
        self.classes.setdefault(record.home, set()).add(record.title)
        return record.title

    def width(self, length: int) -> str:
        """A set that holds one length, to compare many lengths with at once."""
        return self.widths.setdefault(length, f"_WIDTH_{length}")

    def reader(self, maker: str, width: int) -> str:
        """What a function of `timed.codec.runtime` makes for strings of `width` bytes."""
        self.runtime.add(maker)
        return self.readers.setdefault((maker, width), f"_{maker}_{width}")


class Lines:
    """The lines of one function under construction."""

    def __init__(self, names: Names) -> None:
        self.names = names
        self.lines: list[str] = []
        self.level = 1
        self.taken: set[str] = {"data", "at", "begin", "end", "size", "start", "value", "fields", "struct"}

    def add(self, line: str) -> None:
        """Append one line at the current level."""
        self.lines.append(INDENT * self.level + line)

    def refuse(self, condition: str, error: str) -> None:
        """Append `if condition: raise error`."""
        self.add(f"if {condition}:")
        self.add(f"{INDENT}raise {error}")

    def fresh(self, wanted: str) -> str:
        """A variable name not used before in this function."""
        wanted = f"{wanted}_" if hasattr(builtins, wanted) else wanted
        name, number = wanted, 2
        while name in self.taken:
            name, number = f"{wanted}_{number}", number + 1
        self.taken.add(name)
        return name


def function(head: str, doc: str, lines: list[str]) -> list[str]:
    """A whole function from its first line, its docstring and its body."""
    branches = sum(line.lstrip().startswith(("if ", "elif ", "for ", "except ")) for line in lines)
    mark = "  # noqa: C901" if branches >= MAX_BRANCHES else ""
    return [f"{head}{mark}", f'{INDENT}"""{doc}"""', *lines]


def outside(var: str, allowed: tuple[int, ...]) -> str:
    """The condition that a number is not one of `allowed`."""
    low, high = min(allowed), max(allowed)
    if low == high:
        return f"{var} != {low}"
    if set(allowed) == set(range(low, high + 1)):
        return f"{var} > {high}" if low == 0 else f"not {low} <= {var} <= {high}"
    return f"{var} not in {tuple(sorted(allowed))}"


def out_of_bounds(var: str, layout: PrefixedBytes | Array) -> str | None:
    """The condition that a length or count breaks its bounds; None when it cannot."""
    if layout.minimum:
        return f"not {layout.minimum} <= {var} <= {layout.maximum}"
    return None if layout.maximum >= capacity(layout.prefix) else f"{var} > {layout.maximum}"
