"""How the C library keeps memory that was given back, and how much of it is in use.

By its own rules glibc raises the size from which a block is mapped, and so returned when
it is freed, to that of the largest block freed so far, and gives each thread an arena of
its own. A node makes a few large answers and copies a day: after each, what is left of
the heap is full of holes, and the process keeps for good what it needed once. Nor does
it give back holes by itself: one small block that stays behind 200 connections keeps the
eight megabytes before it, until somebody asks for a trim.
"""

from __future__ import annotations

import ctypes

MMAP_THRESHOLD = 128 * 1024
"""Bytes from which a block is mapped, and goes back to the system when it is freed."""
TRIM_THRESHOLD = 1024 * 1024
"""Free bytes at the end of the heap from which they go back to the system."""
ARENAS = 1
"""Heaps of all threads together: whoever asks for memory holds the interpreter's lock anyway."""

# Names and numbers of malloc.h.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8

_LIBRARY = ctypes.CDLL(None)


class _Mallinfo(ctypes.Structure):
    """struct mallinfo2 of malloc.h: bytes, but for the numbers of blocks."""

    _fields_ = [
        ("arena", ctypes.c_size_t),
        ("ordblks", ctypes.c_size_t),
        ("smblks", ctypes.c_size_t),
        ("hblks", ctypes.c_size_t),
        ("hblkhd", ctypes.c_size_t),
        ("usmblks", ctypes.c_size_t),
        ("fsmblks", ctypes.c_size_t),
        ("uordblks", ctypes.c_size_t),
        ("fordblks", ctypes.c_size_t),
        ("keepcost", ctypes.c_size_t),
    ]


if hasattr(_LIBRARY, "mallinfo2"):
    _LIBRARY.mallinfo2.restype = _Mallinfo


def settle_allocator() -> bool:
    """Set the bounds above, before the first thread; False where the C library has none to set."""
    mallopt = getattr(_LIBRARY, "mallopt", None)
    if mallopt is None:
        return False
    settings = {M_MMAP_THRESHOLD: MMAP_THRESHOLD, M_TRIM_THRESHOLD: TRIM_THRESHOLD, M_ARENA_MAX: ARENAS}
    refused = [name for name, value in settings.items() if mallopt(name, value) != 1]
    return not refused


def trim_heap() -> None:
    """Give the pages of all holes back to the system: some 0.1 ms a megabyte. Nothing where that is unknown."""
    trim = getattr(_LIBRARY, "malloc_trim", None)
    if trim is not None:
        trim(0)


def allocated_bytes() -> int | None:
    """Bytes that the C library has handed out and not got back; None where it does not tell.

    Python's own small blocks are not among them: `sys.getallocatedblocks` counts those.
    """
    if not hasattr(_LIBRARY, "mallinfo2"):
        return None
    found = _LIBRARY.mallinfo2()
    return int(found.uordblks + found.hblkhd)
