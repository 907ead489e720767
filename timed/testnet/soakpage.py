"""What `timed-testnet soak` found, as one HTML page: goals, memory over time, what was done and how it was taken."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from timed.bench.measure import MAX_POINTS, percentile
from timed.bench.report import Goal, short
from timed.testnet.page import STYLE, document, measured_on
from timed.testnet.perturb import PERTURBATIONS, described
from timed.testnet.soak import Soak

WIDTH, HEIGHT, LEFT, BOTTOM = 860, 260, 60, 24
COLOURS = ("#2f7d5b", "#3f6fb5", "#b5803f", "#8a4fa3", "#5b6673")
MAX_WARNINGS = 200

MORE_STYLE = """
.mark { stroke: #b3372f; stroke-dasharray: 2 3; } .axis { stroke: currentColor; opacity: .4; }
.series { fill: none; stroke-width: 1.5; } pre { overflow-x: auto; } .warm { fill: currentColor; opacity: .08; }
"""


def page(found: Soak, machine: Mapping[str, object]) -> str:
    """The whole document."""
    verdict = "Everything held." if found.held else "Not everything held."
    return document(
        f"{found.minutes:g} minutes under load",
        f"{found.minutes:g} minutes under load, something every minute",
        (
            f"<p><strong>{verdict}</strong> {found.submitted} payments at {found.rate:g} a second were handed to "
            f"{found.steady}, which is never touched itself and whose figures are judged. The others were "
            f"killed, paused, cut off and flooded, {len(found.perturbations)} times. Seed {found.seed}. "
            f"{measured_on(machine)}.</p>"
        ),
        "<h2>What was to hold</h2>",
        _goals(found),
        _circumstances(found),
        "<h2>Anonymous memory</h2>",
        _chart(found),
        "<h2>What was done</h2>",
        _table(found),
        "<h2>Payments</h2>",
        _payments(found),
        "<h2>Warnings that nothing explains</h2>",
        _warnings(found),
        style=STYLE + MORE_STYLE,
    )


def _goals(found: Soak) -> str:
    head = "<tr><th></th><th>found</th><th>to be</th><th></th></tr>"
    rows = "".join(_goal(goal) for goal in found.goals())
    return f"<table>{head}{rows}</table>"


def _goal(goal: Goal) -> str:
    bound = f"at {'least' if goal.at_least else 'most'} {short(goal.bound)}{goal.unit}"
    word = "reached" if goal.reached else "missed"
    cells = (escape(goal.what), f"{short(goal.value)}{escape(goal.unit)}", escape(bound))
    return f'<tr>{"".join(f"<td>{cell}</td>" for cell in cells)}<td class="{word}">{word}</td></tr>'


def _circumstances(found: Soak) -> str:
    """What the figures above are taken from."""
    began, most, end = found.memory_mb()
    return (
        f"<p>Memory and descriptors are judged from minute {found.warm_s / 60:g} on, where the chart is not shaded: until "
        "then connections open, caches fill and everything happens several times. Memory is what the "
        "process alone has, without the pages of the database's files; its growth is the median of the slopes "
        f"between all pairs of the least of each minute. It had {began:.1f} MB then, {most:.1f} MB at most and {end:.1f} MB in the "
        f"end, and took {found.cpu_percent:.1f} % of a core.</p>"
    )


def _chart(found: Soak) -> str:
    """Megabytes of each process over minutes, with a mark for each perturbation."""
    most = max((one.memory_mb for samples in found.samples.values() for one in samples), default=1.0) * 1.1
    longest = max(found.minutes * 60, 1.0)

    def x(at: float) -> float:
        return LEFT + (WIDTH - LEFT) * at / longest

    def y(value: float) -> float:
        return (HEIGHT - BOTTOM) * (1 - value / most)

    parts = [
        f'<rect class="warm" x="{LEFT}" y="0" width="{x(found.warm_s) - LEFT:.1f}" height="{HEIGHT - BOTTOM}"/>'
    ]
    for one in found.perturbations:
        parts.append(
            f'<line class="mark" x1="{x(one.began):.1f}" x2="{x(one.began):.1f}" y1="0" y2="{HEIGHT - BOTTOM}">'
            f"<title>{escape(one.name)}, {escape(one.node)}</title></line>"
        )
    for value in (0.0, most / 2, most):
        parts.append(f'<text x="0" y="{max(12.0, y(value)):.0f}">{value:.0f} MB</text>')
        parts.append(f'<line class="axis" x1="{LEFT}" x2="{WIDTH}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>')
    legend = []
    for place, (name, samples) in enumerate(sorted(found.samples.items())):
        colour = COLOURS[place % len(COLOURS)]
        shown = samples[:: -(-len(samples) // MAX_POINTS) or 1]
        points = " ".join(f"{x(one.at):.1f},{y(one.memory_mb):.1f}" for one in shown)
        parts.append(f'<polyline class="series" stroke="{colour}" points="{points}"/>')
        legend.append(f'<span style="color:{colour}">■</span> {escape(name)}')
    parts.append(f'<text x="{LEFT}" y="{HEIGHT - 4}">0</text>')
    parts.append(f'<text x="{WIDTH - 60}" y="{HEIGHT - 4}">{found.minutes:g} min</text>')
    size = f'viewBox="0 0 {WIDTH} {HEIGHT}"'
    return f'<svg {size} role="img" aria-label="memory over time">{"".join(parts)}</svg><p>{" ".join(legend)}</p>'


def _table(found: Soak) -> str:
    rows = "".join(
        f"<tr><td>{_minute(one.began)} {escape(one.name)}</td><td>{escape(one.node)}</td>"
        f"<td>{one.ended - one.began:.0f} s</td>"
        + (
            '<td class="missed">not whole in time</td>'
            if one.healed is None
            else f"<td>{one.healed:.1f} s</td>"
        )
        + "</tr>"
        for one in found.perturbations
    )
    words = "".join(
        f"<li><strong>{escape(name)}</strong>: {escape(described(name))}</li>"
        for name in PERTURBATIONS
        if any(one.name == name for one in found.perturbations)
    )
    head = "<tr><th></th><th>node</th><th>took</th><th>whole again after</th></tr>"
    return f"<table>{head}{rows}</table><ul>{words}</ul>"


def _payments(found: Soak) -> str:
    return (
        f"<p>{found.submitted} submitted, {len(found.refused)} refused, {found.missing} not final everywhere in the "
        f"end. Final at {found.steady} after {percentile(found.finality_ms, 50):.0f} ms in the middle, "
        f"{percentile(found.finality_ms, 99):.0f} ms at the 99th percentile, perturbations included.</p>"
    )


def _warnings(found: Soak) -> str:
    if not found.unexplained:
        return "<p>None.</p>"
    shown = "\n".join(escape(line) for line in found.unexplained[:MAX_WARNINGS])
    return f"<pre>{shown}</pre>"


def _minute(seconds: float) -> str:
    return f"{int(seconds // 60)}:{int(seconds % 60):02d}"
