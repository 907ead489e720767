"""Stacks of threads, counted: what a sampling profiler keeps, within a bound.

Functions stand for themselves, without lines: a stack is the tuple of its code objects.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType

import timed

MAX_STACKS = 4_000
"""Different stacks that are counted; a sample of one more counts for its thread alone."""
MAX_DEPTH = 120
"""Innermost functions of a stack that are kept; those around them are one."""
ROOT = str(Path(timed.__file__).resolve().parent.parent)
"""The directory that the package is in."""
CUT = "(further out)"
"""Stands for the functions around the `MAX_DEPTH` that are kept."""
BEYOND = "(other stacks)"
"""Stands for the stacks of a thread that found no room."""

WAITING = frozenset(
    {
        ("threading.py", "wait"),
        ("threading.py", "_wait_for_tstate_lock"),
        ("epollreactor.py", "doPoll"),
        ("pollreactor.py", "doPoll"),
        ("selectreactor.py", "doSelect"),
        ("selectors.py", "select"),
        ("reader.py", "pause"),
        ("crew.py", "_next"),
    }
)
"""Files and innermost functions of a thread that has nothing to do."""

Stack = tuple[CodeType, ...]
"""From the innermost function outwards."""


def stack_of(frame: FrameType | None) -> tuple[Stack, bool]:
    """The functions that a frame is in, at most `MAX_DEPTH`; True when there are more."""
    found: list[CodeType] = []
    while frame is not None:
        if len(found) == MAX_DEPTH:
            return tuple(found), True
        found.append(frame.f_code)
        frame = frame.f_back
    return tuple(found), False


def is_waiting(code: CodeType) -> bool:
    """True for a function in which a thread waits for work."""
    return (code.co_filename.rpartition("/")[2], code.co_name) in WAITING


def label(code: CodeType) -> str:
    """`Node.received (timed/node/node.py:120)`; files of libraries go by package and name.

    The same text of one function, however many kept stacks it is in.
    """
    return sys.intern(f"{code.co_qualname} ({place(code.co_filename)}:{code.co_firstlineno})")


def place(file: str) -> str:
    """A file without what is the machine's own."""
    if file.startswith(f"{ROOT}/timed/"):
        return file[len(ROOT) + 1 :]
    parts = file.replace("\\", "/").split("/")
    for library in ("site-packages", "dist-packages"):
        if library in parts:
            return "/".join(parts[parts.index(library) + 1 :])
    return "/".join(parts[-2:]) if not file.startswith("<") else file


class StackCounts:
    """How often each thread was seen in each stack."""

    def __init__(self, most: int = MAX_STACKS) -> None:
        self._most = most
        self._counts: dict[tuple[str, Stack, bool], int] = {}
        self.samples: Counter[str] = Counter()
        """By thread, waiting included."""
        self.waiting: Counter[str] = Counter()
        self.beyond: Counter[str] = Counter()
        """Samples of stacks that found no room."""

    def __len__(self) -> int:
        return len(self._counts)

    def add(self, thread: str, frame: FrameType) -> None:
        """A thread was seen here."""
        self.samples[thread] += 1
        if is_waiting(frame.f_code):
            self.waiting[thread] += 1
            return
        stack, cut = stack_of(frame)
        key = (thread, stack, cut)
        count = self._counts.get(key)
        if count is None and len(self._counts) >= self._most:
            self.beyond[thread] += 1
            return
        self._counts[key] = (count or 0) + 1

    def folded(self) -> Iterator[tuple[str, list[str], int]]:
        """Thread, functions from the outermost inwards, and how often; in the order of their first meeting."""
        labels: dict[CodeType, str] = {}
        for (thread, stack, cut), count in self._counts.items():
            names = [labels.get(code) or labels.setdefault(code, label(code)) for code in reversed(stack)]
            yield thread, [CUT, *names] if cut else names, count
        for thread, count in self.beyond.items():
            yield thread, [BEYOND], count
