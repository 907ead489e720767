"""How often Python looks for garbage in cycles.

Decoded values are in no cycle and go when nobody refers to them any more. Looking
through those that live costs what matters here: with Python's own thresholds a tenth
of the time in which blocks are decoded, and milliseconds at once where the list of a
block's transactions is young.
"""

from __future__ import annotations

import gc

YOUNG = 20_000
"""Containers made, and not gone, between two looks at the youngest; Python's own is 700."""
OLDER = 20
"""Looks at one generation between two looks at the next; Python's own is 10."""


def settle_collector() -> None:
    """What was made so far lives as long as the process: never look at it again, at the rest more rarely."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, OLDER, OLDER)
