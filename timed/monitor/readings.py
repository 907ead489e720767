"""The table of metrics over time: the last reading, and of those before what somebody looks at.

A `Figure` is one number out of these readings. It says the same in Prometheus's
language, so that a rule written once judges here and there alike.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

import attrs

from timed.monitor.histogram import quantile
from timed.monitor.row import Durations, Row
from timed.monitor.view import View
from timed.params import SECOND

Labels = tuple[tuple[str, str], ...]

EVERY_S = 10
"""Seconds between two readings."""
SPARE = 2
"""Of a window, more is kept than it has readings: its first one, and one that came early."""


@attrs.frozen
class Reading:
    """The values of some metrics at one time; a distribution's are its counts per bucket."""

    at_us: int
    """Microseconds of a clock that nobody sets, so that spans are what they were."""
    values: Mapping[str, tuple[tuple[Mapping[str, str], float], ...]]
    spreads: Mapping[str, tuple[tuple[Mapping[str, str], tuple[float, ...]], ...]] = attrs.field(factory=dict)
    bounds: Mapping[str, tuple[float, ...]] = attrs.field(factory=dict)

    def total(self, metric: str, labels: Labels) -> float | None:
        """The sum of all series of a metric that carry these labels; None without any."""
        found = [value for known, value in self.values.get(metric, ()) if _matches(known, labels)]
        return sum(found) if found else None

    def spread(self, metric: str, labels: Labels) -> tuple[float, ...] | None:
        """The same of a distribution, bucket by bucket."""
        found = [counts for known, counts in self.spreads.get(metric, ()) if _matches(known, labels)]
        return tuple(map(sum, zip(*found, strict=True))) if found else None


def read(rows: Iterable[Row | Durations], view: View) -> Reading:
    """The values of `rows` now."""
    values, spreads, bounds = {}, {}, {}
    with view.moment():
        for row in rows:
            if isinstance(row, Durations):
                found = row.read(view)
                if found:
                    spreads[row.name] = tuple(
                        (dict(zip(row.labels, labels, strict=True)), tuple(map(float, histogram.counts)))
                        for labels, histogram in found
                    )
                    bounds[row.name] = found[0][1].bounds
            else:
                values[row.name] = tuple(
                    (dict(zip(row.labels, labels, strict=True)), value) for labels, value in row.read(view)
                )
    return Reading(int(view.uptime_s * SECOND), values, spreads, bounds)


class Readings:
    """The last reading, and for each of `figures` what it takes from those of its window.

    Not all of every reading: an hour of the whole table is a megabyte.
    """

    def __init__(self, figures: Iterable[Figure] = ()) -> None:
        self.last: Reading | None = None
        self._kept: dict[Windowed, deque[tuple[int, Any]]] = {
            figure: deque(maxlen=figure.window_s // EVERY_S + SPARE)
            for figure in figures
            if isinstance(figure, Windowed)
        }

    def add(self, reading: Reading) -> None:
        """One more, later than all before."""
        self.last = reading
        for figure, kept in self._kept.items():
            found = figure.taken(reading)
            if found is not None:
                kept.append((reading.at_us, found))

    def within(self, figure: Windowed) -> list[tuple[int, Any]]:
        """What one of the figures took in its window, with the times, oldest first."""
        kept = self._kept[figure]
        begin = 0 if self.last is None else self.last.at_us - figure.window_s * SECOND
        return [(at_us, found) for at_us, found in kept if at_us >= begin]


@attrs.frozen
class Value:
    """A metric now; `absent` while it has no series, None where that means that it is not known."""

    metric: str
    labels: Labels = ()
    absent: float | None = None

    def of(self, readings: Readings) -> float | None:
        if readings.last is None:
            return None
        found = readings.last.total(self.metric, self.labels)
        return self.absent if found is None else found

    @property
    def promql(self) -> str:
        return f"sum({self.metric}{_selector(self.labels)})"


@attrs.frozen
class Count:
    """How many series a metric has now; 0 without any."""

    metric: str

    def of(self, readings: Readings) -> float | None:
        return None if readings.last is None else float(len(readings.last.values.get(self.metric, ())))

    @property
    def promql(self) -> str:
        return f"count({self.metric})"


@attrs.frozen
class Size:
    """A metric now, whatever its sign."""

    metric: str

    def of(self, readings: Readings) -> float | None:
        found = Value(self.metric).of(readings)
        return None if found is None else abs(found)

    @property
    def promql(self) -> str:
        return f"abs({self.metric})"


@attrs.frozen
class Increase:
    """How much a counter grew in a window; what it lost by a restart does not count."""

    metric: str
    window_s: int
    labels: Labels = ()

    def taken(self, reading: Reading) -> float | None:
        return reading.total(self.metric, self.labels)

    def of(self, readings: Readings) -> float | None:
        return _increase(readings.within(self))

    @property
    def promql(self) -> str:
        return f"sum(increase({self.metric}_total{_selector(self.labels)}[{self.window_s}s]))"


@attrs.frozen
class Rate:
    """How fast a counter grows, per second of a window that has to be full."""

    metric: str
    window_s: int

    def taken(self, reading: Reading) -> float | None:
        return reading.total(self.metric, ())

    def of(self, readings: Readings) -> float | None:
        kept = readings.within(self)
        grown = _increase(kept)
        return None if grown is None or not _fills(self.window_s, kept) else grown / _span_s(kept)

    @property
    def promql(self) -> str:
        return f"rate({self.metric}_total[{self.window_s}s])"


@attrs.frozen
class Slope:
    """How fast a gauge grows, per hour, by least squares over a window that has to be full."""

    metric: str
    window_s: int
    labels: Labels = ()

    def taken(self, reading: Reading) -> float | None:
        return reading.total(self.metric, self.labels)

    def of(self, readings: Readings) -> float | None:
        kept = readings.within(self)
        if not _fills(self.window_s, kept):
            return None
        return _slope([((at_us - kept[0][0]) / (3600 * SECOND), total) for at_us, total in kept])

    @property
    def promql(self) -> str:
        return f"3600 * sum(deriv({self.metric}{_selector(self.labels)}[{self.window_s}s]))"


@attrs.frozen
class Quantile:
    """The bound under which a share of the durations of a window lie; 0 when there were none."""

    metric: str
    share: float
    window_s: int
    labels: Labels = ()

    def taken(self, reading: Reading) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
        """The bounds of the buckets, and how much is in each."""
        counts = reading.spread(self.metric, self.labels)
        return None if counts is None else (reading.bounds[self.metric], counts)

    def of(self, readings: Readings) -> float | None:
        kept = readings.within(self)
        if len(kept) < 2:
            return None
        (_, (_, first)), (_, (bounds, last)) = kept[0], kept[-1]
        grown = [max(0.0, later - earlier) for earlier, later in zip(first, last, strict=True)]
        found = quantile(bounds, grown, self.share)
        return 0.0 if found is None else found

    @property
    def promql(self) -> str:
        chosen = f"{self.metric}_bucket{_selector(self.labels)}"
        buckets = f"sum by (le) (increase({chosen}[{self.window_s}s]))"
        return f"histogram_quantile({self.share}, {buckets})"


Windowed = Increase | Rate | Slope | Quantile
"""What looks back: from each reading of the last `window_s` seconds it needs what it takes, None for nothing."""
Figure = Value | Count | Size | Windowed

Totals = list[tuple[int, float]]


def _increase(kept: Totals) -> float | None:
    if not kept:
        return None
    return sum(max(0.0, later - earlier) for (_, earlier), (_, later) in pairwise(kept))


def _fills(window_s: int, kept: Totals) -> bool:
    return _span_s(kept) >= window_s - EVERY_S


def _span_s(kept: Totals) -> float:
    return (kept[-1][0] - kept[0][0]) / SECOND if kept else 0.0


def _slope(points: list[tuple[float, float]]) -> float | None:
    if len(points) < 2:
        return None
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    width = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / width if width else None


def _matches(known: Mapping[str, str], labels: Labels) -> bool:
    return all(known.get(name) == value for name, value in labels)


def _selector(labels: Labels) -> str:
    inside = ",".join(f'{name}="{value}"' for name, value in labels)
    return f"{{{inside}}}" if inside else ""
