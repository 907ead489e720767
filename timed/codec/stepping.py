"""Emits decoding functions that pause: the same code as the others, as generators.

A long message is then decoded over several turns. Values and errors are those of the
function that decodes in one go.
"""

from __future__ import annotations

from typing import Any

from timed.codec.declare import Array, Maybe, Record
from timed.codec.decoding import decode_body, nested_body
from timed.codec.plan import INDENT, Names, called_records, function, is_inline, snake
from timed.codec.reading import Reader


def is_long(layout: Any) -> bool:
    """True when decoding pauses in the layout: it repeats something that has a function of its own."""
    if isinstance(layout, Record):
        return any(is_long(sub) for _, sub in layout.fields)
    if isinstance(layout, Array):
        return bool(called_records(layout))
    return isinstance(layout, Maybe) and is_long(layout.item)


def called_steppers(record: Record) -> list[Record]:
    """The records whose pausing functions the pausing function of `record` calls."""
    return [called for called in called_records(record) if is_long(called)] if is_long(record) else []


class StepReader(Reader):
    """A `Reader` whose loops pause when they have read `STRIDE` bytes."""

    def __init__(self, names: Names, moving: bool) -> None:
        super().__init__(names, moving)
        self.taken.add("pause")
        names.generators = True
        self._begun = f"{INDENT}pause = {'at + ' if moving else ''}{names.help('STRIDE')}"

    def read_loop(self, item: Any, path: str, count: str, items: str) -> None:
        """The loop of the base class ends with the offset in `at`; there it may pause."""
        super().read_loop(item, path, count, items)
        if self._begun not in self.lines:
            self.lines.insert(0, self._begun)
        self.level += 1
        self.add("if at >= pause:")
        self.add(f"{INDENT}yield at")
        self.add(f"{INDENT}pause = at + {self.names.help('STRIDE')}")
        self.level -= 1

    def read_record(self, record: Record, path: str, name: str) -> str:
        """Where the record is long, its function may pause, too."""
        if is_inline(record) or not is_long(record):
            return super().read_record(record, path, name)
        self.flush()
        self.settle()
        var = self.fresh(name)
        self.add(f"{var}, at = yield from {stepper_name(record)}(data, at, size)")
        self.unchecked = False
        return var


def stepper_name(record: Record) -> str:
    """The function that reads the record inside another value, with pauses."""
    return f"step_{snake(record.title)}"


def nested_stepper(record: Record, names: Names) -> list[str]:
    """`step_x(data, at, size)`, which yields offsets and returns what `read_x` does."""
    title = names.class_of(record)
    result = f"Generator[int, None, tuple[{title}, int]]"
    reader = StepReader(names, True)
    nested_body(record, reader)
    head = f"def {stepper_name(record)}(data: bytes, at: int, size: int) -> {result}:"
    return function(head, "Decode at `at`, with pauses: the value and the offset after it.", reader.lines)


def stepper(record: Record, names: Names) -> list[str]:
    """`decode_x_in_steps(data)`, which yields offsets and returns what `decode_x` does."""
    title = names.class_of(record)
    reader = StepReader(names, False)
    decode_body(record, reader)
    head = f"def {whole_stepper_name(record)}(data: bytes) -> Generator[int, None, {title}]:"
    return function(head, "Decode all of `data`, with pauses.", reader.lines)


def whole_stepper_name(record: Record) -> str:
    """The function that decodes all of some bytes, with pauses."""
    return f"decode_{snake(record.title)}_in_steps"
