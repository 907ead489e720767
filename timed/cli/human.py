"""Results as tables and lines for people.

On a terminal what does not fit is cut and ids are shortened, never so far that two
look the same; in a pipe every value is whole, and each row is one line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from timed.cli.cells import CUT, cell, is_hash, plain, plain_lines, shortest
from timed.cli.columns import COLUMNS, HEADERS, Columns

GAP = "  "
MIN_COLUMN = 22
"""A text is not narrowed below this: an IPv4 address with its port is whole."""
DEPTH = 6
"""Deeper objects are written in one line."""


def human(method: str, value: Any, width: int | None) -> str:
    """The text for a result; `width` is the terminal's, None for a pipe."""
    columns = COLUMNS.get(method)
    if isinstance(value, str):
        return plain_lines(value)
    if not isinstance(value, list | dict):
        return cell(method, value)
    if not value:
        return "none"
    if isinstance(value, list):
        return (
            table(value, width, columns)
            if _records(value)
            else "\n".join(cell(method, each) for each in value)
        )
    if _is_table(value) and (columns is None or not columns.under):
        return table(_keyed(value), width, _with_key(columns))
    return "\n".join(_lines(value, width, columns, 0))


def _with_key(columns: Columns | None) -> Columns | None:
    return None if columns is None else Columns(("", *columns.names))


def _is_table(value: Mapping[str, Any]) -> bool:
    """Several objects with the same members stand under one header."""
    rows = list(value.values())
    return len(rows) > 1 and _records(rows) and len({tuple(row) for row in rows}) == 1


def _keyed(value: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [{"": key, **each} for key, each in value.items()]


def _records(values: Sequence[Any]) -> bool:
    return bool(values) and all(isinstance(each, dict) and each for each in values)


def _lines(value: Mapping[str, Any], width: int | None, columns: Columns | None, depth: int) -> list[str]:
    """Names and values, aligned; lists of objects as tables below their name."""
    indent = "  " * depth
    longest = max(len(plain(key)) for key in value)
    lines: list[str] = []
    for key, item in value.items():
        name = plain(key)
        if (isinstance(item, list) and _records(item)) or (isinstance(item, dict) and _is_table(item)):
            chosen = columns if columns is not None and columns.under == key else None
            rows = item if isinstance(item, list) else _keyed(item)
            inner = None if width is None else max(20, width - len(indent) - 2)
            lines += [
                "",
                f"{indent}{name}",
                *(f"{indent}  {row}" for row in table(rows, inner, chosen).split("\n")),
            ]
        elif isinstance(item, dict) and item and depth < DEPTH:
            lines += [f"{indent}{name}", *_lines(item, width, None, depth + 1)]
        else:
            lines.append(f"{indent}{name:<{longest}}{GAP}{cell(key, item)}".rstrip())
    return lines


def table(rows: Sequence[Mapping[str, Any]], width: int | None, columns: Columns | None = None) -> str:
    """A header and a line for each row; numbers stand to the right."""
    names = _names(rows, columns)
    if not names:
        return "\n".join(cell("", dict(row)) for row in rows)
    texts = {name: [_cell(name, row.get(name)) for row in rows] for name in names}
    if width is not None:
        for name in names:
            texts[name] = _shortened(texts[name])
    heads = {name: HEADERS.get(name, plain(name)) for name in names}
    widths = {name: max(len(heads[name]), *map(len, texts[name])) for name in names}
    right = {name for name in names if all(_is_number(row.get(name)) for row in rows)}
    if width is not None:
        firm = right | {name for name in names if any(text.endswith(CUT) for text in texts[name])}
        names = _fitting(names, widths, width, firm)
    lines = [heads, *({name: texts[name][at] for name in names} for at in range(len(rows)))]
    return "\n".join(
        GAP.join(_padded(line[name], widths[name], name in right) for name in names).rstrip()
        for line in lines
    )


def _names(rows: Sequence[Mapping[str, Any]], columns: Columns | None) -> list[str]:
    present = list(dict.fromkeys(name for row in rows for name in row))
    if columns is not None:
        return [name for name in columns.names if name in present]
    return [name for name in present if not any(isinstance(row.get(name), dict | list) for row in rows)]


def _cell(name: str, value: Any) -> str:
    if name == "inbound" and isinstance(value, bool):
        return "in" if value else "out"
    return cell(name, value)


def _shortened(texts: list[str]) -> list[str]:
    """Hashes cut to what tells them apart."""
    hashes = [text for text in texts if is_hash(text)]
    if not hashes:
        return texts
    digits = shortest(hashes)
    return [text[:digits] + CUT if is_hash(text) else text for text in texts]


def _fitting(names: list[str], widths: dict[str, int], width: int, firm: set[str]) -> list[str]:
    """The columns that fit: texts are narrowed first, then the last columns are left out.

    `firm` ones, numbers and shortened hashes, are never narrowed: half a number is a wrong one.
    """
    left = list(names)
    while len(left) > 1 and _total(left, widths) - width > _slack(left, widths, firm):
        left.pop()
    while (excess := _total(left, widths) - width) > 0 and _slack(left, widths, firm) > 0:
        widest = max((name for name in left if name not in firm), key=lambda name: widths[name])
        widths[widest] = max(MIN_COLUMN, widths[widest] - excess)
    return left


def _total(names: Sequence[str], widths: Mapping[str, int]) -> int:
    return sum(widths[name] for name in names) + len(GAP) * (len(names) - 1)


def _slack(names: Sequence[str], widths: Mapping[str, int], firm: set[str]) -> int:
    """Characters that narrowing may win."""
    return sum(max(0, widths[name] - MIN_COLUMN) for name in names if name not in firm)


def _padded(text: str, width: int, right: bool) -> str:
    if len(text) > width:
        text = text[: width - 1] + CUT
    return text.rjust(width) if right else text.ljust(width)


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | Decimal) and not isinstance(value, bool))
