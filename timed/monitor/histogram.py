"""Counted durations: plain integers at fixed bounds, read when somebody asks."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds that serve everything from a turn of the reactor to a lost quorum."""


class Histogram:
    """How many values fell under each bound; `observe` is a search in a short tuple."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float] = SECONDS) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        """Values per bucket, not yet summed up; the last holds what is above every bound."""
        self.sum = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    @property
    def count(self) -> int:
        return sum(self.counts)

    def quantile(self, share: float) -> float | None:
        """The upper bound under which `share` of the values lie; None without any."""
        return quantile(self.bounds, self.counts, share)


def quantile(bounds: Sequence[float], counts: Iterable[float], share: float) -> float | None:
    """The smallest bound that covers `share` of `counts`; infinity above the last one, None without any."""
    per_bucket = list(counts)
    wanted = share * sum(per_bucket)
    if not wanted:
        return None
    seen = 0.0
    for bound, count in zip(bounds, per_bucket, strict=False):
        seen += count
        if seen >= wanted:
            return bound
    return float("inf")
