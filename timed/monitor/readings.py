"""The table of metrics over time: the last readings, and what follows from them.

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

Labels = tuple[tuple[str, str], ...]
Series = tuple[Mapping[str, str], Any]

EVERY_S = 10
"""Seconds between two readings."""
KEEP_S = 3600
MAX_READINGS = KEEP_S // EVERY_S + 1


@attrs.frozen
class Reading:
    """The values of some metrics at one time (microseconds); a distribution's are its counts per bucket."""

    time_us: int
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
                found = tuple(row.source(view))
                if found:
                    spreads[row.name] = tuple(
                        (dict(zip(row.labels, labels, strict=True)), tuple(map(float, histogram.counts)))
                        for labels, histogram in found
                    )
                    bounds[row.name] = found[0][1].bounds
            else:
                values[row.name] = tuple(
                    (dict(zip(row.labels, labels, strict=True)), value) for labels, value in row.source(view)
                )
    return Reading(view.now(), values, spreads, bounds)


class Readings:
    """The last hour."""

    def __init__(self) -> None:
        self._kept: deque[Reading] = deque(maxlen=MAX_READINGS)

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, reading: Reading) -> None:
        """Readings of a clock that was set back are dropped: spans would be negative."""
        while self._kept and self._kept[-1].time_us > reading.time_us:
            self._kept.pop()
        self._kept.append(reading if self.last is None else _sharing(reading, self.last))

    @property
    def last(self) -> Reading | None:
        return self._kept[-1] if self._kept else None

    def within(self, window_s: int) -> list[Reading]:
        """The readings of the last `window_s` seconds, oldest first."""
        if not self._kept:
            return []
        begin = self._kept[-1].time_us - window_s * 1_000_000
        return [reading for reading in self._kept if reading.time_us >= begin]


def _sharing(reading: Reading, before: Reading) -> Reading:
    """The same reading, made of the parts of the one before that say the same: most do, and 361 are kept."""
    return Reading(
        reading.time_us,
        {name: _shared(series, before.values.get(name, ())) for name, series in reading.values.items()},
        {name: _shared(series, before.spreads.get(name, ())) for name, series in reading.spreads.items()},
        before.bounds if before.bounds == reading.bounds else reading.bounds,
    )


def _shared(series: tuple[Series, ...], before: tuple[Series, ...]) -> tuple[Series, ...]:
    if series == before:
        return before
    olds = (*before, *series[len(before) :])
    return tuple([_part(one, old) for one, old in zip(series, olds, strict=False)])


def _part(one: Series, old: Series) -> Series:
    if one == old:
        return old
    return (old[0], one[1]) if one[0] == old[0] else one


@attrs.frozen
class Value:
    """A metric now."""

    metric: str
    labels: Labels = ()

    @property
    def metrics(self) -> tuple[str, ...]:
        return (self.metric,)

    def of(self, readings: Readings) -> float | None:
        return None if readings.last is None else readings.last.total(self.metric, self.labels)

    @property
    def promql(self) -> str:
        return f"sum({self.metric}{_selector(self.labels)})"


@attrs.frozen
class Count:
    """How many series a metric has now; 0 without any."""

    metric: str

    @property
    def metrics(self) -> tuple[str, ...]:
        return (self.metric,)

    def of(self, readings: Readings) -> float | None:
        return None if readings.last is None else float(len(readings.last.values.get(self.metric, ())))

    @property
    def promql(self) -> str:
        return f"count({self.metric})"


@attrs.frozen
class Size:
    """A metric now, whatever its sign."""

    metric: str

    @property
    def metrics(self) -> tuple[str, ...]:
        return (self.metric,)

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

    @property
    def metrics(self) -> tuple[str, ...]:
        return (self.metric,)

    def of(self, readings: Readings) -> float | None:
        totals = [
            total
            for reading in readings.within(self.window_s)
            if (total := reading.total(self.metric, self.labels)) is not None
        ]
        if not totals:
            return None
        return sum(max(0.0, later - earlier) for earlier, later in pairwise(totals))

    @property
    def promql(self) -> str:
        return f"sum(increase({self.metric}_total{_selector(self.labels)}[{self.window_s}s]))"


@attrs.frozen
class Rate:
    """How fast a counter grows, per second of a window that has to be full."""

    metric: str
    window_s: int

    @property
    def metrics(self) -> tuple[str, ...]:
        return (self.metric,)

    def of(self, readings: Readings) -> float | None:
        kept = readings.within(self.window_s)
        if _span_s(kept) < self.window_s - EVERY_S:
            return None
        grown = Increase(self.metric, self.window_s).of(readings)
        return None if grown is None else grown / _span_s(kept)

    @property
    def promql(self) -> str:
        return f"rate({self.metric}_total[{self.window_s}s])"


@attrs.frozen
class Slope:
    """How fast a gauge grows, per hour, by least squares over a window that has to be full."""

    metric: str
    window_s: int
    labels: Labels = ()

    @property
    def metrics(self) -> tuple[str, ...]:
        return (self.metric,)

    def of(self, readings: Readings) -> float | None:
        kept = readings.within(self.window_s)
        if _span_s(kept) < self.window_s - EVERY_S:
            return None
        points = [
            ((reading.time_us - kept[0].time_us) / 3_600_000_000, total)
            for reading in kept
            if (total := reading.total(self.metric, self.labels)) is not None
        ]
        return _slope(points)

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

    @property
    def metrics(self) -> tuple[str, ...]:
        return (self.metric,)

    def of(self, readings: Readings) -> float | None:
        kept = [
            (reading.bounds[self.metric], counts)
            for reading in readings.within(self.window_s)
            if (counts := reading.spread(self.metric, self.labels)) is not None
        ]
        if len(kept) < 2:
            return None
        (_, first), (bounds, last) = kept[0], kept[-1]
        grown = [max(0.0, later - earlier) for earlier, later in zip(first, last, strict=True)]
        found = quantile(bounds, grown, self.share)
        return 0.0 if found is None else found

    @property
    def promql(self) -> str:
        chosen = f"{self.metric}_bucket{_selector(self.labels)}"
        buckets = f"sum by (le) (increase({chosen}[{self.window_s}s]))"
        return f"histogram_quantile({self.share}, {buckets})"


Figure = Value | Count | Size | Increase | Rate | Slope | Quantile


def _span_s(kept: list[Reading]) -> float:
    return (kept[-1].time_us - kept[0].time_us) / 1_000_000 if kept else 0.0


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
