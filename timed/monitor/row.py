"""One row of the table of metrics, and what its values are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import attrs

from timed.monitor.histogram import Histogram
from timed.monitor.view import View

COUNTER, GAUGE, HISTOGRAM = "counter", "gauge", "histogram"
UNITS = ("seconds", "bytes", "time", "ratio")
"""What a name may end with; a metric without one of them counts things."""

T = TypeVar("T")

Sample = tuple[tuple[str, ...], float]
Source = Callable[[View], Iterable[Sample]]
Distribution = tuple[tuple[str, ...], Histogram]
Distributions = Callable[[View], Iterable[Distribution]]


@attrs.frozen
class Row:
    """One metric; `source` gives (label values, value) pairs, none for what does not run."""

    name: str
    type: str
    labels: tuple[str, ...]
    help: str
    source: Source

    def read(self, view: View) -> list[Sample]:
        """What `source` gives now; nothing when it raises."""
        return _read(self.name, self.source, view)

    @property
    def unit(self) -> str:
        """The last word of the name if it is a unit, else nothing."""
        word = self.name.rpartition("_")[2]
        return word if word in UNITS else ""


@attrs.frozen
class Durations:
    """A metric that shows how values are spread; `source` gives (label values, histogram) pairs."""

    name: str
    labels: tuple[str, ...]
    help: str
    source: Distributions
    type: str = HISTOGRAM
    unit: str = "seconds"

    def read(self, view: View) -> list[Distribution]:
        """What `source` gives now; nothing when it raises."""
        return _read(self.name, self.source, view)


def _read(name: str, source: Callable[[View], Iterable[T]], view: View) -> list[T]:
    """A bug, or a disk that cannot be read, must not hide what the other rows say."""
    try:
        return list(source(view))
    except Exception:  # noqa: BLE001 - see above
        view.watch.raised(f"the metric {name}")
        return []


def one(value: float | None) -> list[Sample]:
    """A metric without labels; none for None."""
    return [] if value is None else [((), float(value))]


def by(counts: Iterable[tuple[str, float]]) -> list[Sample]:
    """A metric with one label."""
    return [((name,), float(value)) for name, value in counts]
