"""One row of the table of metrics, and what its values are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import attrs

from timed.monitor.view import View

COUNTER, GAUGE = "counter", "gauge"

Sample = tuple[tuple[str, ...], float]
Source = Callable[[View], Iterable[Sample]]


@attrs.frozen
class Row:
    """One metric; `source` gives (label values, value) pairs, none for what does not run."""

    name: str
    type: str
    labels: tuple[str, ...]
    help: str
    source: Source


def one(value: float | None) -> list[Sample]:
    """A metric without labels; none for None."""
    return [] if value is None else [((), float(value))]


def by(counts: Iterable[tuple[str, float]]) -> list[Sample]:
    """A metric with one label."""
    return [((name,), float(value)) for name, value in counts]
