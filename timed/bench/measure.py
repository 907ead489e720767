"""What every benchmark needs: the machine it ran on, medians, percentiles, CPU time."""

from __future__ import annotations

import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, TypeVar

import attrs

T = TypeVar("T")

MS_PER_NS = 1e-6


def machine() -> dict[str, Any]:
    """The machine and the interpreter, and how busy others keep it."""
    return {
        "cpu": cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_mb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "load_1m": round(os.getloadavg()[0], 2),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def cpu_model() -> str:
    """The processor's name as the kernel gives it."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.processor() or platform.machine() or sys.platform


@attrs.frozen
class Figure:
    """One number out of several runs."""

    median: float
    low: float
    high: float
    runs: int

    @property
    def spread(self) -> float:
        """The distance between the extremes as a share of the median."""
        return (self.high - self.low) / self.median if self.median else 0.0


def figure(values: Sequence[float]) -> Figure:
    """Median and extremes of at least one run."""
    return Figure(statistics.median(values), min(values), max(values), len(values))


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that `percent` of all do not exceed; 0 of none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    rank = -(-len(ordered) * percent // 100)
    return ordered[max(0, min(len(ordered), int(rank)) - 1)]


def least_of_each(seconds: float, points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Of points in the order of their times, the one with the least value in each span of `seconds`."""
    spans = groupby(points, key=lambda point: point[0] // seconds)
    return [min(span, key=lambda point: point[1]) for _, span in spans]


MAX_POINTS = 400
"""Samples between all pairs of which a slope is looked at; of more, every so many is taken."""


def robust_slope(points: Sequence[tuple[float, float]]) -> float:
    """Change per hour of a value sampled at these seconds, by Theil and Sen: the median of the slopes between all
    pairs, which a peak or a few wild samples do not move. 0 of fewer than two points.
    """
    some = points[:: -(-len(points) // MAX_POINTS) or 1]
    slopes = [
        (later[1] - one[1]) / (later[0] - one[0])
        for place, one in enumerate(some)
        for later in some[place + 1 :]
        if later[0] > one[0]
    ]
    return 3600 * statistics.median(slopes) if slopes else 0.0


def cpu_seconds(
    prepare: Callable[[int], Sequence[T]], action: Callable[[T], object], budget_s: float
) -> float:
    """CPU seconds of one `action`, over as many as fit into `budget_s`.

    `prepare(n)` makes the arguments of n actions; it is not counted. CPU time of
    this thread is used, because others on the machine do not add to it.
    """
    count, spent = 1, 0.0
    while True:
        arguments = prepare(count)
        begun = time.thread_time()
        for argument in arguments:
            action(argument)
        spent = time.thread_time() - begun
        del arguments
        if spent >= budget_s / 2 or count >= 1_000_000:
            return spent / count
        growth = budget_s / max(spent, 1e-6)
        count = max(count + 1, int(count * min(growth, 20)))
