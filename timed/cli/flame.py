"""A flame graph out of folded stacks: one self-contained SVG with zoom and search.

Each function is a bar, below the one that called it and as wide as its share of the
samples. Every text is escaped: names of functions come from the node.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files

import attrs

WIDTH = 1200
ROW = 19
TOP = 34
"""Pixels above the first row, for the line that says what is under the pointer."""
LETTER = 6.6
"""Width of a character, about."""
LEAST = 0.0004
"""The share under which a bar is not drawn."""
MAX_BARS = 20_000
SCRIPT = "flame.js"


@attrs.define
class Bar:
    """A function in its place: samples with what it called, samples of itself alone, and what it called."""

    name: str
    total: int = 0
    own: int = 0
    inner: dict[str, Bar] = attrs.field(factory=dict)

    def add(self, names: Iterable[str], samples: int) -> None:
        """A stack, from the outermost function inwards."""
        bar = self
        bar.total += samples
        for name in names:
            inner = bar.inner.get(name)
            if inner is None:
                inner = bar.inner[name] = Bar(name)
            bar = inner
            bar.total += samples
        bar.own += samples


@attrs.frozen
class Placed:
    """A bar where it is drawn; `left` and `width` are shares of the whole."""

    bar: Bar
    depth: int
    left: float
    width: float


def tree(stacks: Sequence[tuple[str, Sequence[str], int]]) -> Bar:
    """Of (thread, functions from the outermost inwards, samples); without the way that all stacks of a thread share."""
    shared: dict[str, Sequence[str]] = {}
    for thread, names, _ in stacks:
        shared[thread] = _common(shared.get(thread, _foreign(names)), names)
    root = Bar("all threads")
    for thread, names, samples in stacks:
        # The last of them stays: a bar says where the rest was called from.
        root.add([thread, *names[max(0, len(shared[thread]) - 1) :]], samples)
    return root


def _foreign(names: Sequence[str]) -> Sequence[str]:
    """The functions before the first of ours."""
    ours = next((place for place, name in enumerate(names) if kind_of(name) == "ours"), len(names))
    return names[:ours]


def _common(first: Sequence[str], second: Sequence[str]) -> Sequence[str]:
    """The beginning that both have."""
    length = next((place for place, pair in enumerate(zip(first, second)) if pair[0] != pair[1]), None)  # noqa: B905
    return first[: min(len(first), len(second)) if length is None else length]


def place(root: Bar) -> tuple[list[Placed], int]:
    """The bars that are drawn, outermost first, the widest of siblings left; and how many are too narrow."""
    placed: list[Placed] = []
    narrow = 0
    waiting = [Placed(root, 0, 0.0, 1.0)] if root.total else []
    while waiting:
        each = waiting.pop()
        if len(placed) >= MAX_BARS or each.width < LEAST:
            narrow += 1
            continue
        placed.append(each)
        left = each.left
        for inner in sorted(each.bar.inner.values(), key=lambda bar: (-bar.total, bar.name)):
            width = inner.total / root.total
            waiting.append(Placed(inner, each.depth + 1, left, width))
            left += width
    return sorted(placed, key=lambda each: (each.depth, each.left)), narrow


def kind_of(name: str) -> str:
    """Whose a function is: `ours`, a `library`'s or `python`'s own; `thread` for what is none."""
    _, bracket, where = name.rpartition(" (")
    if not bracket or not where.endswith(")"):
        return "thread"
    if where.startswith("timed/"):
        return "ours"
    return "python" if where.startswith(("python3", "<", "concurrent/", "json/", "encodings/")) else "library"


def svg(root: Bar, title: str) -> str:
    """The drawing; a page may take it as it is."""
    placed, narrow = place(root)
    deepest = max((each.depth for each in placed), default=0)
    height = TOP + (deepest + 1) * ROW + 6
    begin = (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="flame" viewBox="0 0 {WIDTH} {height}" '
        f'width="100%" role="img" aria-label="{escape(title)}" data-samples="{root.total}">'
    )
    lines = [
        begin,
        f"<style>{STYLE}</style>",
        f'<rect class="ground" width="{WIDTH}" height="{height}"/>',
        f'<text class="said" x="4" y="21">{escape(_head(title, narrow))}</text>',
        f'<text class="button" data-does="search" x="{WIDTH - 64}" y="21" tabindex="0" role="button">search</text>',
        f'<text class="button" data-does="reset" x="{WIDTH - 124}" y="21" tabindex="0" role="button">whole</text>',
    ]
    lines += [_drawn(each, root.total) for each in placed]
    lines.append(f"<script>//<![CDATA[\n{script()}\n//]]></script>\n</svg>")
    return "\n".join(lines)


def _head(title: str, narrow: int) -> str:
    return title if not narrow else f"{title}; {narrow} bars are too narrow to be drawn"


def _drawn(each: Placed, samples: int) -> str:
    name, x, width = each.bar.name, each.left * WIDTH, each.width * WIDTH
    y = TOP + each.depth * ROW
    shade = sum(name.encode("utf-8", "replace")) % 3
    share = each.bar.total / samples
    tip = f"{name}: {each.bar.total} samples, {share:.1%}; itself {each.bar.own / samples:.1%}"
    return (
        f'<g class="bar {kind_of(name)} s{shade}" data-l="{each.left:.6f}" data-w="{each.width:.6f}" '
        f'data-d="{each.depth}" data-name="{escape(name)}"><title>{escape(tip)}</title>'
        f'<rect x="{x:.2f}" y="{y}" width="{max(width - 0.6, 0.2):.2f}" height="{ROW - 1}"/>'
        f'<text x="{x + 4:.2f}" y="{y + 13}">{escape(fitting(name, width))}</text></g>'
    )


def fitting(name: str, width: float) -> str:
    """As much of a name as has room; nothing where that would be no name."""
    room = int((width - 6) / LETTER)
    if room >= len(name):
        return name
    short = name.rpartition(" (")[0] or name
    if room >= len(short):
        return short
    return f"{short[: room - 1]}…" if room >= 4 else ""


def script() -> str:
    return files("timed.cli").joinpath(SCRIPT).read_text(encoding="utf-8")


STYLE = """
.flame{font:12px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;display:block}
.flame .ground{fill:#fff}.flame .said,.flame .button{font:13px system-ui,sans-serif;fill:#333}
.flame .button{fill:#06c;cursor:pointer;text-decoration:underline}
.flame .bar{cursor:pointer}.flame .bar text{fill:#1a1208;pointer-events:none;font-size:11px}
.flame .bar:hover rect{stroke:#222;stroke-width:1}
.ours.s0 rect{fill:#f2a65a}.ours.s1 rect{fill:#f0b26f}.ours.s2 rect{fill:#eb9a48}
.library.s0 rect{fill:#8fb8de}.library.s1 rect{fill:#9dc2e3}.library.s2 rect{fill:#82aed8}
.python.s0 rect{fill:#c5cbd3}.python.s1 rect{fill:#ccd1d8}.python.s2 rect{fill:#bcc3cc}
.thread rect{fill:#d9d2c5}.flame .out rect{opacity:.35}.flame .hit rect{fill:#e05adf!important}
@media(prefers-color-scheme:dark){.flame .ground{fill:#14171c}.flame .said{fill:#ddd}.flame .button{fill:#7ab8ff}}
"""
