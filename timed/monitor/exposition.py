"""The text that Prometheus reads, out of the table of metrics.

What stays the same from one scrape to the next is written once: the lines about each
metric, which come from prometheus_client, and the name and labels of each series.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.utils import floatToGoString

from timed.monitor.histogram import Histogram
from timed.monitor.metrics import METRICS
from timed.monitor.row import COUNTER, GAUGE, HISTOGRAM, Durations, Row
from timed.monitor.view import View

MAX_SERIES = 10_000
"""Names of series that are kept; with one more all are made anew, since most of them are of what is gone."""
FAMILIES = {COUNTER: CounterMetricFamily, GAUGE: GaugeMetricFamily, HISTOGRAM: HistogramMetricFamily}


class _Empty:
    """A metric without a sample, for prometheus_client to describe."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric

    def collect(self) -> Sequence[Metric]:
        return [self._metric]


def head(row: Row | Durations) -> str:
    """The HELP and TYPE lines of a metric."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Empty(FAMILIES[row.type](row.name, row.help, labels=row.labels)))
    return generate_latest(registry).decode("utf-8")


def label(name: str, value: str) -> str:
    """One label as it stands between the braces."""
    escaped = value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
    return f'{name}="{escaped}"'


class Exposition:
    """Writes the table as text, again and again."""

    def __init__(self, rows: Sequence[Row | Durations] = METRICS) -> None:
        self._rows = [(row, head(row)) for row in rows]
        self._series: dict[tuple[str, tuple[str, ...]], str] = {}
        self._buckets: dict[tuple[str, tuple[str, ...]], list[str]] = {}
        self.renewed = 0
        """Times that the kept names were made anew."""

    def __len__(self) -> int:
        """Names that are kept."""
        return len(self._series) + len(self._buckets)

    def text(self, view: View) -> bytes:
        """The whole table now."""
        lines: list[str] = []
        with view.moment():
            for row, about in self._rows:
                lines.append(about)
                if isinstance(row, Durations):
                    for labels, histogram in row.read(view):
                        lines += self._spread(row, tuple(labels), histogram)
                    continue
                for labels, value in row.read(view):
                    key = (row.name, tuple(labels))
                    name = self._series.get(key) or self._named(row, key)
                    lines.append(f"{name} {floatToGoString(value)}\n")
        return "".join(lines).encode("utf-8")

    def _named(self, row: Row, key: tuple[str, tuple[str, ...]]) -> str:
        self._room()
        suffix = "_total" if row.type == COUNTER else ""
        name = self._series[key] = f"{row.name}{suffix}{_braced(row.labels, key[1])}"
        return name

    def _spread(self, row: Durations, labels: tuple[str, ...], histogram: Histogram) -> list[str]:
        """Buckets summed up from below, then how many and their sum."""
        key = (row.name, labels)
        names = self._buckets.get(key)
        if names is None or len(names) != len(histogram.bounds) + 3:
            self._room()
            names = self._buckets[key] = _names(row, labels, histogram)
        sums = [*accumulate(histogram.counts)]
        values = (*sums, sums[-1], histogram.sum)
        return [f"{name} {floatToGoString(value)}\n" for name, value in zip(names, values, strict=True)]

    def _room(self) -> None:
        if len(self) >= MAX_SERIES:
            self._series.clear()
            self._buckets.clear()
            self.renewed += 1


def _braced(names: Sequence[str], values: Sequence[str], *more: str) -> str:
    """Labels in the order of their names; nothing without any."""
    found = sorted([*(label(name, value) for name, value in zip(names, values, strict=True)), *more])
    return f"{{{','.join(found)}}}" if found else ""


def _names(row: Durations, labels: tuple[str, ...], histogram: Histogram) -> list[str]:
    bounds = [floatToGoString(bound) for bound in (*histogram.bounds, float("inf"))]
    found = [f"{row.name}_bucket{_braced(row.labels, labels, label('le', bound))}" for bound in bounds]
    braced = _braced(row.labels, labels)
    return [*found, f"{row.name}_count{braced}", f"{row.name}_sum{braced}"]
