"""Heavy calls in slices.

A heavy computation is a generator that yields between two small pieces of work and
returns its result. On the reactor it is run in slices, with a turn between them; in
a thread or a process of its own it is simply run to its end.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import Any, TypeVar

SLICE_S = 0.005
"""Seconds of one slice."""
STEPS_PER_SLICE = 64
"""Pieces of work in one slice at most."""

T = TypeVar("T")
Work = Generator[None, None, T]


async def sliced(work: Work[T], pause: Callable[[], Awaitable[object]], monotonic: Callable[[], float]) -> T:
    """The result of `work`, with a pause after each slice."""
    while True:
        end = monotonic() + SLICE_S
        for _ in range(STEPS_PER_SLICE):
            try:
                next(work)
            except StopIteration as finished:
                result: T = finished.value
                return result
            if monotonic() >= end:
                break
        await pause()


def at_once(work: Work[T]) -> T:
    """The result of `work`, for whoever holds up nobody."""
    try:
        while True:
            next(work)
    except StopIteration as finished:
        result: Any = finished.value
        return result  # type: ignore[no-any-return]
