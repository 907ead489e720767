"""How the frame reads a picture, and how its figures are written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

from timed.cli import cells

NONE = "-"
BARS = " ▁▂▃▄▅▆▇█"

Picture = dict[str, Any]


def series(picture: Picture, metric: str, **labels: str) -> list[Picture]:
    """The series of a metric that carry these labels."""
    return [
        each
        for each in picture["metrics"].get(metric, ())
        if all(each["labels"].get(name) == value for name, value in labels.items())
    ]


def _total(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def value(picture: Picture, metric: str, **labels: str) -> float | None:
    """The sum of the values, None without any."""
    return _total(each["value"] for each in series(picture, metric, **labels))


def rate(picture: Picture, metric: str, **labels: str) -> float | None:
    """The sum of the rates per second, None without any."""
    return _total(each.get("rate") for each in series(picture, metric, **labels))


def spread(picture: Picture, metric: str, **labels: str) -> Picture | None:
    """One distribution of the last minutes."""
    for each in picture["spreads"].get(metric, ()):
        if all(each["labels"].get(name) == value for name, value in labels.items()):
            found: Picture = each
            return found
    return None


def count(number: float | None) -> str:
    return NONE if number is None else f"{number:,.0f}"


def per_second(number: float | None) -> str:
    if number is None:
        return NONE
    return f"{number:,.0f}/s" if number >= 100 or number == int(number) else f"{number:.2g}/s"


def percent(share: float | None) -> str:
    return NONE if share is None else f"{100 * share:.0f}%" if share >= 0.1 else f"{100 * share:.1f}%"


def span(seconds: float | None) -> str:
    return NONE if seconds is None else cells.span(Decimal(repr(seconds)))


def size(number: float | None) -> str:
    return NONE if number is None else cells.size(int(number))


def byte_rate(number: float | None) -> str:
    return NONE if number is None else f"{cells.size(int(number))}/s"


def percentile(found: Picture | None, name: str) -> str:
    """The bound of the bucket in which it lies."""
    if found is None or not any(found["counts"]):
        return NONE
    bound = found[name]
    return f">{_bound(found['bounds'][-1])}" if bound is None else f"≤{_bound(bound)}"


def _bound(seconds: float) -> str:
    """Exactly: bounds are round numbers."""
    return f"{1000 * seconds:g}ms" if seconds < 1 else f"{seconds:g}s"


def bars(values: Sequence[float | None], top: float = 0.0) -> str:
    """One character for each value; the highest, or `top`, fills it. What is not known is a blank."""
    most = max([top, *(each for each in values if each is not None)], default=0.0)
    if most <= 0:
        return " " * len(values)
    steps = len(BARS) - 1
    return "".join(" " if each is None else BARS[_step(each / most, steps)] for each in values)


def _step(share: float, steps: int) -> int:
    """Whatever is more than nothing is seen."""
    return 0 if share <= 0 else max(1, min(steps, round(share * steps)))
