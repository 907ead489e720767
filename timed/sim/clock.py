"""Virtual time: one queue of events in the order (time, sequence).

The clock knows nothing of networks. Everything random in a simulation is drawn
from generators derived from the seed, everything that happens is an event here,
and the hash over all executed events is the run's identity: equal seeds, equal
hashes, in every process.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import deque
from collections.abc import Callable

TAIL_LINES = 400
"""Trace lines kept for the report of a violation; older ones fall out."""


class Timer:
    """One scheduled event. `cancel` makes it a no-op that leaves no trace."""

    __slots__ = ("call", "label", "when")

    def __init__(self, when: int, label: str, call: Callable[[], None]) -> None:
        self.when = when
        self.label = label
        self.call: Callable[[], None] | None = call

    def cancel(self) -> None:
        self.call = None


class Clock:
    """The event queue. `now` is the true time in microseconds of unix time."""

    def __init__(self, start: int) -> None:
        self.start = start
        self.now = start
        self.events = 0
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self.watchers: list[Callable[[], None]] = []
        """Called after every executed event, in order."""
        self._queue: list[tuple[int, int, Timer]] = []
        self._sequence = 0
        self._hash = hashlib.blake2b(digest_size=16)

    def at(self, when: int, label: str, call: Callable[[], None]) -> Timer:
        """Run `call` at `when`, or now if that is past; ties run in the order they were asked for."""
        timer = Timer(max(when, self.now), label, call)
        self._sequence += 1
        heapq.heappush(self._queue, (timer.when, self._sequence, timer))
        return timer

    def after(self, delay: int, label: str, call: Callable[[], None]) -> Timer:
        """Run `call` in `delay` microseconds."""
        return self.at(self.now + delay, label, call)

    def note(self, text: str) -> None:
        """Add a line to the trace, and so to its hash."""
        line = f"{self.now - self.start} {text}"
        self.tail.append(line)
        self._hash.update(line.encode())
        self._hash.update(b"\n")

    def step(self) -> bool:
        """Execute the next event; False when there is none."""
        queue = self._queue
        while queue:
            _when, _sequence, timer = heapq.heappop(queue)
            call = timer.call
            if call is None:
                continue
            timer.call = None
            self.now = timer.when
            self.events += 1
            self.note(timer.label)
            call()
            for watcher in self.watchers:
                watcher()
            return True
        return False

    def run_until(self, when: int) -> None:
        """Execute everything due up to and including `when`; then it is `when`."""
        queue = self._queue
        while queue and queue[0][0] <= when:
            if queue[0][2].call is None:
                heapq.heappop(queue)
                continue
            self.step()
        self.now = max(self.now, when)

    @property
    def trace_hash(self) -> str:
        """The hash over every event executed so far, in hexadecimal."""
        return self._hash.copy().hexdigest()
