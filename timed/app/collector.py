"""How often Python looks for garbage in cycles.

Decoded values are in no cycle and go when nobody refers to them any more. Looking
through those that live costs what matters here: with Python's own thresholds a tenth
of the time in which blocks are decoded, and milliseconds at once where the list of a
block's transactions is young.

What is in a cycle is little, a session or a connection that failed, but it
waits for the next look and keeps megabytes meanwhile: a quiet node would not look at
it for ten minutes. What was looked at twice while it lived, as a session, waits until
the old are a quarter more, for hours. So all are looked at by the clock as well.
"""

from __future__ import annotations

import gc
from collections.abc import Callable

YOUNG = 20_000
"""Containers made, and not gone, between two looks at the youngest; Python's own is 700."""
RECENT = 1
"""The generation of what has been looked at once, and is looked at with the youngest."""
OLDER = 20
"""Looks at one generation between two looks at the next; Python's own is 10."""
PACE = 5_000
"""After a look at all generations none follows for so many times as long as it took."""


def settle_collector() -> None:
    """What was made so far lives as long as the process: never look at it again, at the rest more rarely.

    It takes a tenth of a second for what a node imports, and next to nothing a second time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, OLDER, OLDER)


class Sweep:
    """Looks for garbage by the clock: at everything, but no oftener than `PACE` allows; else at the young."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        """`monotonic` gives seconds."""
        self._monotonic = monotonic
        self._not_before = monotonic()

    def collect(self) -> None:
        """All generations take 1.5 ms of a node with 7,000 containers, the young ones half of it."""
        began = self._monotonic()
        if began < self._not_before:
            gc.collect(RECENT)
            return
        gc.collect()
        ended = self._monotonic()
        self._not_before = ended + PACE * (ended - began)
