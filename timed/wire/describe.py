"""Documentation tables, written by the declarations themselves (RST)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import construct as cs

from timed.codec.declare import (
    Array,
    Choice,
    Flag,
    Maybe,
    PrefixedBytes,
    Record,
    Text,
    maximum_size,
    minimum_size,
)
from timed.codec.interpret import class_of
from timed.primitives import layouts as primitive_layouts
from timed.wire import layouts as wire_layouts
from timed.wire.catalogue import MESSAGES
from timed.wire.framing import Flags
from timed.wire.message import MessageType, Priority


def type_of(layout: Any) -> str:
    """The type of a field in words, with its bound."""
    if isinstance(layout, Record):
        return layout.title
    if isinstance(layout, cs.FormatField):
        return f"u{8 * layout.length}"
    if isinstance(layout, cs.Bytes):
        return f"{layout.length} bytes"
    if isinstance(layout, Flag):
        return "flag (u8: 0 or 1)"
    if isinstance(layout, Choice):
        return f"{type_of(layout.subcon)}: {_one_of(layout.allowed)}"
    if isinstance(layout, PrefixedBytes):
        what = "UTF-8" if isinstance(layout, Text) else "bytes"
        return f"{what}, length {type_of(layout.prefix)} {_bound(layout)}"
    if isinstance(layout, Maybe):
        return f"flag, then {type_of(layout.item)} if 1"
    if isinstance(layout, Array):
        order = "" if layout.ascending is None else f", ascending {layout.ascending}".rstrip()
        return f"{type_of(layout.item)} each, count {type_of(layout.prefix)} {_bound(layout)}{order}"
    raise TypeError(layout)


def _bound(layout: PrefixedBytes | Array) -> str:
    if layout.minimum:
        return f"from {layout.minimum:,} to {layout.maximum:,}"
    return f"up to {layout.maximum:,}"


def _one_of(allowed: Sequence[int]) -> str:
    return str(allowed[0]) if len(allowed) == 1 else " or ".join(map(str, allowed))


def summary_of(record: Record) -> str:
    """The first paragraph of the value class's docstring, on one line."""
    paragraph = (class_of(record).__doc__ or "").split("\n\n")[0]
    return " ".join(paragraph.split())


def size_of(record: Record) -> str:
    """How many bytes a value takes."""
    low, high = minimum_size(record), maximum_size(record)
    return f"{low:,} bytes" if low == high else f"{low:,} to {high:,} bytes"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """An RST list-table; empty cells are fine."""
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in (header, *rows):
        for position, cell in enumerate(row):
            bullet = "*" if position == 0 else " "
            lines.append(f"   {bullet} - {cell}".rstrip())
    return "\n".join(lines) + "\n"


def field_table(record: Record) -> str:
    """Field and type, in the order of the encoding."""
    return table(("field", "type"), [(f"``{key}``", type_of(sub)) for key, sub in record.fields])


def value_section(record: Record) -> str:
    """Title, meaning, size and fields of one value."""
    fields = field_table(record) if record.fields else "No fields.\n"
    return f"**{record.title}** ({size_of(record)}). {summary_of(record)}\n\n{fields}"


def values() -> str:
    """Every value of the primitives and those inside messages, in the order of their modules."""
    inside = [entry.layout for entry in MESSAGES]
    records = [*primitive_layouts.RECORDS, *(each for each in wire_layouts.RECORDS if each not in inside)]
    return "\n".join(value_section(record) for record in records)


def messages() -> str:
    """The fields of every message, in the order of their numbers."""
    return "\n".join(value_section(entry.layout) for entry in MESSAGES)


def catalogue() -> str:
    """The message catalogue as one table."""
    header = (
        "number",
        "name",
        "direction",
        "class",
        "largest payload",
        "rate bucket",
        "answered by",
        "since",
        "remarks",
    )
    return table(header, [_catalogue_row(entry) for entry in MESSAGES])


def _catalogue_row(entry: MessageType) -> tuple[str, ...]:
    remarks = [
        word
        for said, word in (
            (entry.requires_ack, "acknowledged"),
            (entry.is_response, "response"),
            (entry.relay.value == "new", "relayed"),
            (entry.compress, "compressed"),
        )
        if said
    ]
    return (
        str(entry.number),
        f"``{entry.name}``",
        entry.direction.value,
        entry.priority.name.lower(),
        f"{entry.max_size:,}",
        entry.bucket,
        f"``{entry.reply}``" if entry.reply else "",
        str(entry.since),
        ", ".join(remarks),
    )


def priorities() -> str:
    """The classes of priority and the messages in each."""
    rows = [
        (
            str(int(priority)),
            priority.name.lower(),
            ", ".join(f"``{entry.name}``" for entry in MESSAGES if entry.priority is priority),
        )
        for priority in Priority
    ]
    return table(("class", "name", "messages"), rows)


def frame_flags() -> str:
    """The bits of a frame's flags field."""
    return table(
        ("bit", "name"), [(str(int(flag)), flag.name.lower() if flag.name else "") for flag in Flags]
    )


def documentation() -> str:
    """All tables under their headings, for `docs/` to include."""
    parts = (
        ("Values", values()),
        ("Message catalogue", catalogue()),
        ("Priorities", priorities()),
        ("Frame flags", frame_flags()),
        ("Messages", messages()),
    )
    return "\n".join(f"{title}\n{'=' * len(title)}\n\n{text}" for title, text in parts)
