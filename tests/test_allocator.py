"""The C library gives back what a large answer took."""

from __future__ import annotations

import platform
import subprocess
import sys

from twisted.trial.unittest import SkipTest, SynchronousTestCase

PROGRAM = """
import sys
from pathlib import Path
from threading import Thread

def heap_mb():
    heap = Path("/proc/self/smaps").read_text().partition("[heap]")[2]
    return int(heap.partition("\\nRss:")[2].split()[0]) / 1024

from timed.allocator import allocated_bytes, settle_allocator, trim_heap
how = sys.argv[1]
if how != "as it is":
    assert settle_allocator()
if how in ("with holes", "trimmed"):
    before, held = heap_mb(), allocated_bytes()
    many = [bytearray(b"x" * 20_000) for _ in range(1_000)]
    behind = bytearray(b"x" * 19_000)
    del many
    assert allocated_bytes() - held < 1 << 20
    if how == "trimmed":
        trim_heap()
    print(round(heap_mb() - before))
    sys.exit()
bytearray(30 << 20)
before = heap_mb()
large = bytearray(20 << 20)
small = [bytearray(1_000) for _ in range(1_000)]
del large
print(round(heap_mb() - before))
"""


class AllocatorTests(SynchronousTestCase):
    def grown(self, how: str) -> int:
        """MB of the heap that stay after what was large, or many, and something small behind it."""
        found = subprocess.run(
            [sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True, timeout=60
        )
        return int(found.stdout)

    def setUp(self) -> None:
        if platform.libc_ver()[0] != "glibc":
            raise SkipTest("the C library is not glibc")

    def test_what_was_large_goes_back_whatever_was_freed_before(self) -> None:
        self.assertGreaterEqual(self.grown("as it is"), 20)
        self.assertLessEqual(self.grown("settled"), 3)

    def test_holes_go_back_when_they_are_trimmed(self) -> None:
        self.assertGreaterEqual(self.grown("with holes"), 15)
        self.assertLessEqual(self.grown("trimmed"), 3)
