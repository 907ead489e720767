"""Heavy calls in slices.

A heavy computation is a generator that yields between two small pieces of work and
returns its result. On the reactor it is run in slices, with a turn between them; in
a thread or a process of its own it is simply run to its end.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import Any, TypeVar

import attrs

from timed.rpc.errors import CLIENT_BUSY, MISC, RpcError

SLICE_S = 0.005
"""Seconds of one slice."""
STEPS_PER_SLICE = 64
"""Pieces of work in one slice at most."""
MAX_AT_ONCE = 16
"""Computations between their slices at one time: each may hold a whole block, or a snapshot."""

T = TypeVar("T")
Work = Generator[None, None, T]


@attrs.define
class Slicer:
    """Runs computations in slices; `pause` and `monotonic` (seconds) are the host's."""

    running: int = 0
    refused: int = 0
    stopped: bool = False

    async def run(
        self, work: Work[T], pause: Callable[[], Awaitable[object]], monotonic: Callable[[], float]
    ) -> T:
        """The result of `work`; RpcError -9 while MAX_AT_ONCE others are under way."""
        if self.running >= MAX_AT_ONCE:
            self.refused += 1
            raise RpcError(
                CLIENT_BUSY,
                f"{MAX_AT_ONCE} long computations are under way",
                rule="heavy-full",
                hint="Try again in a moment, and ask for less at once.",
            )

        async def pause_unless_stopped() -> None:
            await pause()
            if self.stopped:
                raise RpcError(MISC, "The node stops", rule="stopping", hint="Ask again when it runs.")

        self.running += 1
        try:
            return await sliced(work, pause_unless_stopped, monotonic)
        finally:
            work.close()
            self.running -= 1

    async def stop(self, pause: Callable[[], Awaitable[object]]) -> None:
        """End what is under way at its next slice, and wait for that."""
        self.stopped = True
        while self.running:
            await pause()


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
