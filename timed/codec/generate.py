"""Assembles the generated modules from the declarations."""

from __future__ import annotations

from pathlib import Path

import timed
from timed.codec.declare import MAX_DEPTH, LayoutError, Record, depth
from timed.codec.decoding import decoder, nested_reader
from timed.codec.lines import wrapped
from timed.codec.plan import Names, called_records, snake
from timed.codec.reading import reader_name
from timed.codec.stepping import (
    called_steppers,
    is_long,
    nested_stepper,
    stepper,
    stepper_name,
    whole_stepper_name,
)
from timed.codec.targets import TARGETS, Target, all_records, codec_module_of, records_of
from timed.codec.writing import encoder

_HEADER = '''"""Generated from {layouts} by `python -m timed.codec`; not to be edited."""

from __future__ import annotations
'''


def path_of(target: Target) -> Path:
    """The file of the generated module."""
    return Path(timed.__file__).parent.parent.joinpath(*target.module.split(".")).with_suffix(".py")


def nested_titles() -> set[str]:
    """Titles of the records that have a reader of their own, for the values around them."""
    return {called.title for record in all_records() for called in called_records(record)}


def functions_of(record: Record, names: Names, nested: set[str]) -> list[list[str]]:
    """The functions of one record, as lists of lines."""
    if depth(record) > MAX_DEPTH:
        raise LayoutError(f"{record.title} nests deeper than {MAX_DEPTH}")
    functions = [nested_reader(record, names)] if record.title in nested else []
    functions.append(decoder(record, names))
    if is_long(record):
        functions += [nested_stepper(record, names)] if record.title in nested else []
        functions.append(stepper(record, names))
    return [*functions, encoder(record, names)]


def module_source(target: Target) -> str:
    """The text of one generated module."""
    names, nested = Names(), nested_titles()
    records = records_of(target)
    bodies = [body for record in records for body in functions_of(record, names, nested)]
    calls = _foreign_readers(target, records)
    out = _HEADER.format(layouts=target.layouts).split("\n")
    out += _imports(target, names, calls)
    out += [""]
    for (codes, method), name in names.structs.items():
        out.append(f'{name} = struct.Struct("<{codes}").{method}')
    out += [f"{name} = {maker}({width})" for (maker, width), name in sorted(names.readers.items())]
    out += [f"{name} = frozenset(({length},))" for length, name in sorted(names.widths.items())]
    for body in bodies:
        out += ["", "", *body]
    out += ["", ""]
    for record in records:
        title = record.title
        steps = f", {whole_stepper_name(record)}" if is_long(record) else ""
        out.append(f"bind({title}, decode_{snake(title)}, pack_{snake(title)}{steps})")
    return "\n".join(line for long in out for line in wrapped(long)) + "\n"


def _foreign_readers(target: Target, records: tuple[Record, ...]) -> dict[str, set[str]]:
    """Readers that come from other generated modules: module -> names."""
    calls: dict[str, set[str]] = {}
    for record in records:
        for called in called_records(record):
            if called.home != target.home:
                calls.setdefault(codec_module_of(called.home), set()).add(reader_name(called))
        for called in called_steppers(record):
            if called.home != target.home:
                calls.setdefault(codec_module_of(called.home), set()).add(stepper_name(called))
    return calls


def _imports(target: Target, names: Names, calls: dict[str, set[str]]) -> list[str]:
    lines = ["import struct"]
    if names.generators:
        lines.append("from collections.abc import Generator")
    if names.standard:
        lines.append(f"from itertools import {', '.join(sorted(names.standard))}")
    lines += [""]
    runtime = names.runtime - {"retain"}
    wanted = {
        "timed.codec.runtime": runtime,
        "timed.codec.value": {"bind"} | (names.runtime & {"retain"}),
        **calls,
        **names.classes,
    }
    for module, imported in sorted(wanted.items()):
        if imported:
            lines += [
                f"from {module} import (",
                *[f"    {name}," for name in sorted(imported, key=_import_order)],
                ")",
            ]
    return lines


def _import_order(name: str) -> tuple[bool, str]:
    """Classes first, then functions, each without regard to case: the linter's order."""
    return name[0].islower(), name.lower()


def sources() -> dict[Path, str]:
    """Every generated file and its text."""
    return {path_of(target): module_source(target) for target in TARGETS}


def stale() -> list[Path]:
    """The files whose text is not what the declarations give."""
    return [path for path, text in sources().items() if not path.exists() or path.read_text() != text]


def write() -> list[Path]:
    """Write the files that are stale; returns them."""
    changed = stale()
    texts = sources()
    for path in changed:
        path.write_text(texts[path])
    return changed


def show(title: str) -> str:
    """The generated functions of one value."""
    for record in all_records():
        if record.title == title:
            functions = functions_of(record, Names(), nested_titles())
            return "\n\n\n".join("\n".join(lines) for lines in functions) + "\n"
    known = ", ".join(record.title for record in all_records())
    raise KeyError(f"no value is called {title!r}; there are: {known}")
