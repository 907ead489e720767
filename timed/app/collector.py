"""How often Python looks for garbage in cycles.

Decoded values are in no cycle and go when nobody refers to them any more. Looking
through those that live costs what matters here: with Python's own thresholds a tenth
of the time in which blocks are decoded, and milliseconds at once where the list of a
block's transactions is young.

What is in a cycle is little, a call in a thread or a connection that failed, but it
waits for the next look and keeps megabytes meanwhile: a quiet node would not look at
it for ten minutes. So it is looked for by the clock as well.
"""

from __future__ import annotations

import gc

YOUNG = 20_000
"""Containers made, and not gone, between two looks at the youngest; Python's own is 700."""
RECENT = 1
"""The generation of what has been looked at once, and is looked at with the youngest."""
OLDER = 20
"""Looks at one generation between two looks at the next; Python's own is 10."""


def settle_collector() -> None:
    """What was made so far lives as long as the process: never look at it again, at the rest more rarely.

    It takes a tenth of a second for what a node imports, and next to nothing a second time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, OLDER, OLDER)


def collect_recent() -> None:
    """Look through what was made since the last looks: about a millisecond after a minute of 10 payments a second."""
    gc.collect(RECENT)
