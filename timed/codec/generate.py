"""Assembles the generated modules from the declarations."""

from __future__ import annotations

from pathlib import Path

import timed
from timed.codec.declare import MAX_DEPTH, LayoutError, Record, depth
from timed.codec.plan import Names, is_inline, nested_records, snake
from timed.codec.reading import decoder, nested_reader, reader_name
from timed.codec.targets import TARGETS, Target, all_records, codec_module_of, records_of
from timed.codec.writing import encoder

_HEADER = '''"""Generated from {layouts} by `python -m timed.codec`; not to be edited."""

# ruff: noqa: E501, I001

from __future__ import annotations
'''


def path_of(target: Target) -> Path:
    """The file of the generated module."""
    return Path(timed.__file__).parent.parent.joinpath(*target.module.split(".")).with_suffix(".py")


def nested_titles() -> set[str]:
    """Titles of the records that other values contain and that have a reader of their own."""
    return {
        nested.title
        for record in all_records()
        for nested in nested_records(record)
        if not is_inline(nested)
    }


def functions_of(record: Record, names: Names, nested: set[str]) -> list[list[str]]:
    """The functions of one record, as lists of lines."""
    if depth(record) > MAX_DEPTH:
        raise LayoutError(f"{record.title} nests deeper than {MAX_DEPTH}")
    functions = [nested_reader(record, names)] if record.title in nested else []
    return [*functions, decoder(record, names), encoder(record, names)]


def module_source(target: Target) -> str:
    """The text of one generated module."""
    names, nested = Names(), nested_titles()
    records = records_of(target)
    bodies = [body for record in records for body in functions_of(record, names, nested)]
    calls = _foreign_readers(target, records)
    out = [_HEADER.format(layouts=target.layouts)]
    out += _imports(target, names, calls)
    out += [""]
    for (codes, method), name in names.structs.items():
        out.append(f'{name} = Struct("<{codes}").{method}')
    out += [f"{name} = frozenset(({length},))" for length, name in sorted(names.widths.items())]
    for body in bodies:
        out += ["", "", *body]
    out += ["", ""]
    for record in records:
        title = record.title
        out.append(f"bind({title}, decode_{snake(title)}, pack_{snake(title)})")
    return "\n".join(out) + "\n"


def _foreign_readers(target: Target, records: tuple[Record, ...]) -> dict[str, set[str]]:
    """Readers that come from other generated modules: module -> names."""
    calls: dict[str, set[str]] = {}
    for record in records:
        for nested in nested_records(record):
            if not is_inline(nested) and nested.home != target.home:
                calls.setdefault(codec_module_of(nested.home), set()).add(reader_name(nested))
    return calls


def _imports(target: Target, names: Names, calls: dict[str, set[str]]) -> list[str]:
    lines = []
    tools = sorted(names.standard & {"chain", "starmap"})
    if tools:
        lines.append(f"from itertools import {', '.join(tools)}")
    if names.structs:
        lines.append("from struct import Struct")
    if "StructError" in names.standard:
        lines.append("from struct import error as StructError")
    lines += [""]
    runtime = sorted(names.runtime - {"retain"})
    lines += [f"from timed.codec.runtime import {name}" for name in runtime]
    lines += ["from timed.codec.value import bind"]
    if "retain" in names.runtime:
        lines += ["from timed.codec.value import retain"]
    for module, functions in sorted(calls.items()):
        lines += [f"from {module} import {name}" for name in sorted(functions)]
    for home, titles in sorted(names.classes.items()):
        lines += [f"from {home} import {title}" for title in sorted(titles)]
    return lines


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
