"""What a benchmark found: a table for people, one JSON object for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, TextIO

import attrs


@attrs.frozen
class Goal:
    """One thing to reach. `at_least` says on which side of `bound` good lies."""

    what: str
    value: float
    bound: float
    at_least: bool = False
    unit: str = ""

    @property
    def reached(self) -> bool:
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    def line(self) -> str:
        sign = "at least" if self.at_least else "at most"
        verdict = "reached" if self.reached else "MISSED"
        return f"{verdict:>7}  {self.what}: {short(self.value)}{self.unit}, to be {sign} {short(self.bound)}{self.unit}"


@attrs.define
class Outcome:
    """The result of one benchmark."""

    title: str
    columns: Sequence[str]
    rows: list[Sequence[object]] = attrs.Factory(list)
    notes: list[str] = attrs.Factory(list)
    goals: list[Goal] = attrs.Factory(list)
    figures: dict[str, Any] = attrs.Factory(dict)
    """What the last line holds, by name."""
    runs: int = 1
    spread: float = 0.0
    """The largest spread among the figures that were run more than once."""


def short(value: object) -> str:
    """Three significant digits for numbers, everything else as it is."""
    if isinstance(value, bool) or not isinstance(value, float):
        return str(value)
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """Lines of text: the first column to the left, the others to the right."""
    cells = [list(columns), *[[short(cell) for cell in row] for row in rows]]
    widths = [max(len(row[index]) for row in cells) for index in range(len(columns))]
    lines = []
    for row in cells:
        first, *rest = (
            cell.ljust(width) if index == 0 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join([first, *rest]).rstrip())
    lines.insert(1, "  ".join("-" * width for width in widths))
    return lines


def write(outcome: Outcome, machine: dict[str, Any], seconds: float, out: TextIO, *, as_json: bool) -> None:
    """Everything a person reads, then, if asked for, the line a program reads."""
    where = f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}, {machine['python']}"
    how = f"{outcome.runs} runs, spread {100 * outcome.spread:.0f} %, {seconds:.0f} s"
    lines = [
        outcome.title,
        f"{where}, load {machine['load_1m']} before; {how}",
        "",
        *table(outcome.columns, outcome.rows),
        "",
        *outcome.notes,
        *(goal.line() for goal in outcome.goals),
    ]
    out.write("\n".join(lines) + "\n")
    if as_json:
        out.write(json.dumps(last_line(outcome, machine, seconds), separators=(",", ":")) + "\n")
    out.flush()


def last_line(outcome: Outcome, machine: dict[str, Any], seconds: float) -> dict[str, Any]:
    """The figures, and under what circumstances they came about."""
    goals = [
        {"what": goal.what, "value": goal.value, "bound": goal.bound, "reached": goal.reached}
        for goal in outcome.goals
    ]
    return {
        **outcome.figures,
        "machine": machine,
        "runs": outcome.runs,
        "spread": round(outcome.spread, 3),
        "seconds_taken": round(seconds, 1),
        "goals": goals,
    }
