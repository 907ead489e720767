"""The comparison of `timed-testnet verify` as one HTML page: a table and a chart, nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from timed.bench.report import short
from timed.testnet.comparison import ROWS, Comparison

BAR = 520
"""Width of the longest bar in pixels."""
LEAST = 2

INTRODUCTION = (
    "One network of three nodes under the same load, twice, until it had carried {messages} messages. "
    "Before: messages as JSON, each a write of its own in one queue, each with a line in the log. "
    "After: as it is shipped."
)

STYLE = """
:root { color-scheme: light dark; --before: #9aa4b2; --after: #2f7d5b; --text: #1c2430; --page: #ffffff; }
@media (prefers-color-scheme: dark) { :root { --text: #e6e9ee; --page: #14181f; --after: #4fb286; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--text); background: var(--page);
       max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: right; padding: .3rem .6rem; border-bottom: 1px solid color-mix(in srgb, var(--text) 20%, transparent); }
th:first-child, td:first-child { text-align: left; }
svg { max-width: 100%; height: auto; } text { fill: var(--text); font-size: 14px; }
.before { fill: var(--before); } .after { fill: var(--after); }
.missed { color: #b3372f; font-weight: 600; } .reached { color: var(--after); }
"""


def document(title: str, heading: str, *parts: str, style: str = STYLE) -> str:
    """A whole page, which needs nothing from elsewhere; `parts` are HTML."""
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>timed: {escape(title)}</title><style>{style}</style></head><body>",
            f"<h1>{escape(heading)}</h1>",
            *parts,
            "</body></html>",
            "",
        ]
    )


def measured_on(machine: Mapping[str, object]) -> str:
    """What `timed.bench.measure.machine` tells, as HTML."""
    known = (machine[name] for name in ("cpu", "system", "python", "date") if name in machine)
    return escape(", ".join(map(str, known)))


def page(comparison: Comparison, machine: Mapping[str, object]) -> str:
    """The whole document."""
    return document(
        "the old way and the new way",
        "The old way and the new way",
        f"<p>{INTRODUCTION.format(messages=comparison.messages)} {measured_on(machine)}.</p>",
        chart(comparison),
        figures(comparison),
        goals(comparison),
    )


def chart(comparison: Comparison) -> str:
    """Two bars for each figure, the longer one always of the same length."""
    pitch, height = 64, 18
    parts = []
    for place, row in enumerate(ROWS):
        before, after = comparison.values(row)
        longest = max(before, after) or 1.0
        top = place * pitch
        better = "more is better" if row.more_is_better else "less is better"
        parts.append(f'<text x="0" y="{top + 14}">{escape(row.title)} ({better})</text>')
        for offset, kind, value in ((20, "before", before), (40, "after", after)):
            width = max(LEAST, round(BAR * value / longest)) if value else LEAST
            parts.append(
                f'<rect class="{kind}" x="0" y="{top + offset}" width="{width}" height="{height}"/>'
                f'<text x="{width + 8}" y="{top + offset + 14}">{f"{kind} {short(value)} {row.unit}".rstrip()}</text>'
            )
    size = f'viewBox="0 0 {BAR + 240} {pitch * len(ROWS) + 4}"'
    return f'<svg {size} role="img" aria-label="before and after">{"".join(parts)}</svg>'


def figures(comparison: Comparison) -> str:
    """The numbers of the chart, and the sizes of single messages."""
    cells = "".join(
        f"<tr><td>{escape(title)}</td><td>{short(before)}</td><td>{short(after)}</td>"
        f"<td>{'-' if share is None else short(share)}</td></tr>"
        for title, before, after, share in comparison.rows()
    )
    return f"<table><tr><th></th><th>before</th><th>after</th><th>after / before</th></tr>{cells}</table>"


def goals(comparison: Comparison) -> str:
    """What was to be reached, and whether it was."""
    lines = "".join(
        f'<li class="{"reached" if goal.reached else "missed"}">{escape(goal.line().strip())}</li>'
        for goal in comparison.goals()
    )
    return f"<ul>{lines}</ul>"
