"""A sampling profiler inside the process: a thread that looks where the others are, for a while.

What is counted is time on the clock, so that a thread that waits for the interpreter, a
lock or the disk shows where; the CPU time of each thread comes from the system.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater

from timed.errors import LocalError
from timed.monitor.lateness import Pauses
from timed.monitor.stacks import StackCounts

REACTOR = "reactor"
"""The name of the thread that runs the reactor, which is the first one."""
GOLDEN = 0.618_033_988_749_895
"""Its multiples, without what is before the point, are spread evenly: samples keep no rhythm with timers."""
TASKS = "/proc/self/task"


@attrs.frozen
class Thread:
    """A thread: its number for the interpreter, its name, and its number for the system."""

    ident: int
    name: str
    native: int | None = None


@attrs.frozen
class Sampled:
    """One profile. Times in seconds; `cpu` by the name of threads as far as the system tells it."""

    seconds: float
    hz: int
    looks: int
    missed: int
    """Looks that came so late that the next one was due: somebody kept the interpreter."""
    cost_s: float
    """CPU time of the thread that looked."""
    stacks: StackCounts
    cpu_s: Mapping[str, float]
    pauses: Pauses


def threads_now() -> list[Thread]:
    """The threads of this process."""
    first = threading.main_thread().ident
    return [
        Thread(each.ident, REACTOR if each.ident == first else _short(each.name), each.native_id)
        for each in threading.enumerate()
        if each.ident is not None
    ]


def _short(name: str) -> str:
    """Without what a pool of Twisted's puts before the names of its threads."""
    return name.removeprefix("PoolThread-")


def cpu_by_thread(threads: list[Thread]) -> dict[Thread, float]:
    """Seconds of CPU time since each began; nothing of one that has ended, or where the system does not tell."""
    tick = os.sysconf("SC_CLK_TCK")
    found: dict[Thread, float] = {}
    for thread in threads:
        try:
            stat = Path(f"{TASKS}/{thread.native}/stat").read_text(encoding="ascii", errors="replace")
            fields = stat.rpartition(")")[2].split()
            found[thread] = (int(fields[11]) + int(fields[12])) / tick
        except (OSError, ValueError, IndexError):
            continue
    return found


class Sampler:
    """Looks `hz` times a second on a thread of its own, from `start` to `stop`."""

    def __init__(
        self,
        hz: int,
        monotonic: Callable[[], float],
        *,
        frames: Callable[[], Mapping[int, FrameType]] = sys._current_frames,
        threads: Callable[[], list[Thread]] = threads_now,
        cpu: Callable[[list[Thread]], dict[Thread, float]] = cpu_by_thread,
        wait: Callable[[threading.Event, float], bool] = threading.Event.wait,
    ) -> None:
        """`wait` is true once the event is set."""
        self._hz = hz
        self._monotonic = monotonic
        self._frames = frames
        self._threads = threads
        self._cpu = cpu
        self._wait = wait
        self._end = threading.Event()
        self._thread = threading.Thread(target=self.run, name="timed-profiler", daemon=True)
        self._begun = monotonic()
        self._cpu_before: dict[Thread, float] = {}
        self._pauses = Pauses(monotonic)
        self._looks = 0
        self._missed = 0
        self._cost_s = 0.0
        self.stacks = StackCounts()

    def start(self) -> None:
        self._cpu_before = self._cpu(self._threads())
        self._begun = self._monotonic()
        self._thread.start()
        self._pauses.start()

    def stop(self) -> Sampled:
        """The thread has ended on return; it is never long under way."""
        self._end.set()
        self._thread.join()
        self._pauses.stop()
        grown: dict[str, float] = {}
        for thread, spent in self._cpu(self._threads()).items():
            grown[thread.name] = grown.get(thread.name, 0.0) + spent - self._cpu_before.get(thread, 0.0)
        return Sampled(
            self._monotonic() - self._begun,
            self._hz,
            self._looks,
            self._missed,
            self._cost_s,
            self.stacks,
            {name: round(spent, 3) for name, spent in grown.items()},
            self._pauses,
        )

    def run(self) -> None:
        """On the thread: look at each due time, but never twice for one that was missed."""
        begun, number = self._begun, 0
        while True:
            due = begun + (number + number * GOLDEN % 1.0) / self._hz
            if self._wait(self._end, max(0.0, due - self._monotonic())):
                break
            self.look()
            passed = int((self._monotonic() - begun) * self._hz)
            self._missed += max(0, passed - number - 1)
            number = max(number + 1, passed)
        self._cost_s = time.thread_time()

    def look(self) -> None:
        """See where every other thread is now."""
        self._looks += 1
        own, frames = threading.get_ident(), self._frames()
        for thread in self._threads():
            frame = frames.get(thread.ident)
            if frame is not None and thread.ident != own:
                self.stacks.add(thread.name, frame)


class Stopped(LocalError):
    """The profiler was closed, before or meanwhile."""


class Profiler:
    """Takes one profile at a time; after `close` none is under way and no thread is left."""

    def __init__(
        self,
        reactor: Any,
        monotonic: Callable[[], float],
        sampler: Callable[[int, Callable[[], float]], Sampler] = Sampler,
    ) -> None:
        self._reactor = reactor
        self._monotonic = monotonic
        self._sampler = sampler
        self._waiting: Deferred[None] | None = None
        self._closed = False
        self.counters: Counter[str] = Counter(taken=0, refused=0, ended=0, looks=0, beyond=0)
        """Profiles taken, refused because one was under way, and ended early; looks; samples without a place."""

    async def take(self, seconds: float, hz: int) -> Sampled:
        """A profile of so many seconds; LocalError while another is taken, Stopped once there is none any more."""
        if self._closed:
            raise Stopped("the node stops.")
        if self._waiting is not None:
            self.counters["refused"] += 1
            raise LocalError(
                "a profile is being taken.", "Only one is taken at a time; ask again in a minute."
            )
        sampler = self._sampler(hz, self._monotonic)
        sampler.start()
        self._waiting = deferLater(self._reactor, seconds)
        try:
            await self._waiting
        except CancelledError:
            self.counters["ended"] += 1
            if self._closed:
                raise Stopped("the node stops.") from None
            raise
        finally:
            self._waiting = None
            found = sampler.stop()
            self.counters["looks"] += found.looks
            self.counters["beyond"] += found.stacks.beyond.total()
        self.counters["taken"] += 1
        return found

    def close(self) -> None:
        """End the one that is under way; no other is begun."""
        self._closed = True
        if self._waiting is not None:
            self._waiting.cancel()
