"""The page around a flame graph, and its tables as text. No outside host, every text escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import attrs

from timed.cli.cells import plain

STYLE = """
body{font:15px/1.4 system-ui,sans-serif;margin:1rem auto;max-width:1240px;padding:0 1rem;color:#222;background:#fff}
h1{font-size:1.25rem}h2{font-size:1rem;margin:1.4rem 0 .3rem}
table{border-collapse:collapse;font-size:13px}td,th{padding:.15rem .8rem .15rem 0;text-align:left;vertical-align:top}
th{border-bottom:1px solid #8888;font-weight:600}tr:nth-child(even) td{background:#8881}
td.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}th.n{text-align:right}
.columns{display:flex;flex-wrap:wrap;gap:0 3rem}.scroll{overflow-x:auto}.key i{display:inline-block;width:.9em;height:.9em;
margin:0 .3em 0 1em;vertical-align:-.1em}
@media(prefers-color-scheme:dark){body{color:#ddd;background:#14171c}}
"""
KEY = (
    '<p class="key">A bar is a function, below the one that called it and as wide as its share of the time. Click: zoom.'
    '<i style="background:#f2a65a"></i>this node\'s<i style="background:#8fb8de"></i>libraries'
    '<i style="background:#c5cbd3"></i>Python\'s own</p>'
)


@attrs.frozen
class Section:
    """One table; the cells are text."""

    title: str
    header: tuple[str, ...]
    rows: Sequence[Sequence[str]]


def is_number(cell: str) -> bool:
    """True for what stands to the right in its column."""
    return cell.replace(",", "").replace(".", "").removesuffix(" %").isdecimal() or cell == "?"


def page(title: str, graph: str, sections: Sequence[Section]) -> str:
    """One HTML document."""
    body = "".join(_table(section) for section in sections if section.rows)
    policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>"
        f"<h1>{escape(title)}</h1>\n{KEY}\n{graph}\n"
        f'<div class="columns">{body}</div></body></html>\n'
    )


def _table(section: Section) -> str:
    numeric = [all(is_number(row[place]) for row in section.rows) for place in range(len(section.header))]
    head = "".join(_cell("th", text, right) for text, right in zip(section.header, numeric, strict=True))
    rows = "".join(
        "<tr>" + "".join(_cell("td", text, right) for text, right in zip(row, numeric, strict=True)) + "</tr>"
        for row in section.rows
    )
    return (
        f'<div class="scroll"><h2>{escape(section.title)}</h2><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>\n"
    )


def _cell(tag: str, text: str, right: bool) -> str:
    side = ' class="n"' if right else ""
    return f"<{tag}{side}>{escape(text)}</{tag}>"


def aligned(section: Section) -> list[str]:
    """The same as lines of text; what is not printable is escaped."""
    table = [list(section.header), *([plain(cell) for cell in row] for row in section.rows)]
    widths = [max(len(row[place]) for row in table) for place in range(len(section.header))]
    numeric = [all(is_number(row[place]) for row in table[1:]) for place in range(len(widths))]
    return [
        "  " + "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        ).rstrip()
        for row in table
    ]  # fmt: skip
