"""Long computations as generators that yield between two small pieces of work and return their result.

So whoever runs them can stop after each piece: `timed.rpc.reader` does, in its thread.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeVar

T = TypeVar("T")
Work = Generator[None, None, T]


def at_once(work: Work[T]) -> T:
    """The result of `work`, for whoever holds up nobody."""
    try:
        while True:
            next(work)
    except StopIteration as finished:
        result: Any = finished.value
        return result  # type: ignore[no-any-return]
