"""How the C library keeps memory that was given back.

By its own rules glibc raises the size from which a block is mapped, and so returned when
it is freed, to that of the largest block freed so far, and gives each thread an arena of
its own. A node makes a few large answers and copies a day: after each, what is left of
the heap is full of holes, and the process keeps for good what it needed once.
"""

from __future__ import annotations

import ctypes

MMAP_THRESHOLD = 256 * 1024
"""Bytes from which a block is mapped, and goes back to the system when it is freed."""
TRIM_THRESHOLD = 1024 * 1024
"""Free bytes at the end of the heap from which they go back to the system."""
ARENAS = 1
"""Heaps of all threads together: whoever asks for memory holds the interpreter's lock anyway."""

# Names and numbers of malloc.h.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8


def settle_allocator() -> bool:
    """Set the bounds above, before the first thread; False where the C library has none to set."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    settings = {M_MMAP_THRESHOLD: MMAP_THRESHOLD, M_TRIM_THRESHOLD: TRIM_THRESHOLD, M_ARENA_MAX: ARENAS}
    refused = [name for name, value in settings.items() if mallopt(name, value) != 1]
    return not refused
