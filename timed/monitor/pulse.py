"""The whole table of metrics at one moment, and how fast it changes: what dashboard and terminal show.

Counters get a rate per second since the moment before, distributions what was added
in the last `WINDOW_S` seconds. Times are seconds of the monotonic clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

import attrs

from timed.monitor.histogram import quantile
from timed.monitor.row import COUNTER, Durations, Row
from timed.monitor.view import View

WINDOW_S = 300
"""What "now" means for a distribution."""
EVERY_S = 10
"""Seconds between two moments that are kept."""
MAX_PULSES = WINDOW_S // EVERY_S + 1
MAX_WHOLE = 2
"""The newest one may be too young to compare with."""
LEAST_S = 0.5
"""Rates over less than this say nothing."""

LabelValues = tuple[str, ...]


@attrs.frozen
class Spread:
    """A distribution: values per bucket, and their sum."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    sum: float

    def since(self, before: Spread | None) -> Spread:
        """What was added."""
        if before is None:
            return self
        counts = tuple(now - then for now, then in zip(self.counts, before.counts, strict=True))
        return Spread(self.bounds, counts, self.sum - before.sum)


@attrs.frozen
class Pulse:
    """Every series of the table at one moment."""

    at_s: float
    values: Mapping[str, Mapping[LabelValues, float]]
    spreads: Mapping[str, Mapping[LabelValues, Spread]]

    def total(self, metric: str, *labels: str) -> float | None:
        """The sum of a metric's series whose first label values are `labels`; None without any."""
        found = [
            value for known, value in self.values.get(metric, {}).items() if known[: len(labels)] == labels
        ]
        return sum(found) if found else None


def feel(rows: Iterable[Row | Durations], view: View, at_s: float) -> Pulse:
    """Read `rows` now."""
    values: dict[str, dict[LabelValues, float]] = {}
    spreads: dict[str, dict[LabelValues, Spread]] = {}
    with view.moment():
        for row in rows:
            if isinstance(row, Durations):
                spreads[row.name] = {
                    labels: Spread(histogram.bounds, tuple(histogram.counts), histogram.sum)
                    for labels, histogram in row.read(view)
                }
            else:
                values[row.name] = dict(row.read(view))
    return Pulse(at_s, values, spreads)


class Pulses:
    """One moment every `EVERY_S` seconds, for `WINDOW_S`; the oldest goes first.

    Rates are of the newest moments, so that only `MAX_WHOLE` keep their values, which are most of
    what one takes; the others keep their distributions.
    """

    def __init__(self) -> None:
        self._kept: deque[Pulse] = deque(maxlen=MAX_PULSES)

    def add(self, pulse: Pulse) -> None:
        self._kept.append(pulse)
        if len(self._kept) > MAX_WHOLE:
            self._kept[-1 - MAX_WHOLE] = attrs.evolve(self._kept[-1 - MAX_WHOLE], values={})

    def before(self, at_s: float) -> Pulse | None:
        """The newest moment that has its values and is at least `LEAST_S` older than `at_s`."""
        newest = islice(reversed(self._kept), MAX_WHOLE)
        return next((pulse for pulse in newest if at_s - pulse.at_s >= LEAST_S), None)

    def begin(self, at_s: float) -> Pulse | None:
        """The oldest moment of the window that ends at `at_s`."""
        return next((pulse for pulse in self._kept if at_s - pulse.at_s <= WINDOW_S), None)


def series(
    rows: Sequence[Row | Durations], now: Pulse, before: Pulse | None
) -> dict[str, list[dict[str, Any]]]:
    """By metric: labels, value, and of a counter the rate per second since `before`."""
    shown = {}
    for row in rows:
        if isinstance(row, Durations):
            continue
        past = before.values.get(row.name, {}) if before is not None and row.type == COUNTER else None
        shown[row.name] = [
            {
                "labels": dict(zip(row.labels, labels, strict=True)),
                "value": value,
                **({} if past is None else {"rate": rate(now, before, value, past.get(labels, 0.0))}),
            }
            for labels, value in now.values[row.name].items()
        ]
    return shown


def rate(now: Pulse, before: Pulse | None, value: float, past: float) -> float | None:
    """Per second; None while there is no moment to compare with."""
    if before is None or now.at_s - before.at_s < LEAST_S:
        return None
    return round(max(0.0, value - past) / (now.at_s - before.at_s), 6)


def spreads(
    rows: Sequence[Row | Durations], now: Pulse, begin: Pulse | None
) -> dict[str, list[dict[str, Any]]]:
    """By distribution: labels, and what was added since `begin` with its middle and its 99th percentile.

    A percentile is the bound of its bucket: None without values, and above the last bound.
    """
    shown = {}
    for row in rows:
        if not isinstance(row, Durations):
            continue
        past = {} if begin is None else begin.spreads.get(row.name, {})
        found = []
        for labels, spread in now.spreads[row.name].items():
            recent = spread.since(past.get(labels))
            found.append(
                {
                    "labels": dict(zip(row.labels, labels, strict=True)),
                    "bounds": recent.bounds,
                    "counts": recent.counts,
                    "sum": round(recent.sum, 6),
                    "total": sum(spread.counts),
                    "p50": percentile(recent, 0.5),
                    "p99": percentile(recent, 0.99),
                }
            )
        shown[row.name] = found
    return shown


def percentile(spread: Spread, share: float) -> float | None:
    """The bound under which `share` of the values lie; None without any, or above the last bound."""
    found = quantile(spread.bounds, spread.counts, share)
    return None if found == float("inf") else found
