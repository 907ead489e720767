"""Which key is due when: a heap whose entries may be outdated."""

from __future__ import annotations

import heapq
from collections.abc import Hashable

_SPARE = 64


class Agenda:
    """One deadline per key. Setting is O(log n); nothing is searched."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Hashable]] = []
        self._due: dict[Hashable, int] = {}
        self._order = 0

    @property
    def size(self) -> int:
        """Entries held, outdated ones included."""
        return len(self._heap)

    def set(self, key: Hashable, when: int | None) -> None:
        """The deadline of `key` is `when` now; None removes it."""
        if when is None:
            self._due.pop(key, None)
        elif self._due.get(key) != when:
            self._due[key] = when
            self._order += 1
            heapq.heappush(self._heap, (when, self._order, key))
            if len(self._heap) > _SPARE + 4 * len(self._due):
                self._compact()

    def _compact(self) -> None:
        """Outdated entries go before they outnumber the others by far."""
        self._heap = [entry for entry in self._heap if self._due.get(entry[2]) == entry[0]]
        heapq.heapify(self._heap)

    def earlier(self, key: Hashable, when: int) -> None:
        """Make sure that `key` is due at `when` or before."""
        due = self._due.get(key)
        if due is None or when < due:
            self.set(key, when)

    def next(self) -> int | None:
        """The earliest deadline."""
        while self._heap:
            when, _, key = self._heap[0]
            if self._due.get(key) == when:
                return when
            heapq.heappop(self._heap)
        return None

    def take(self, now: int) -> list[Hashable]:
        """The keys that are due, each once, in order of their deadlines; they are removed."""
        keys: list[Hashable] = []
        while True:
            when = self.next()
            if when is None or when > now:
                return keys
            key = heapq.heappop(self._heap)[2]
            del self._due[key]
            keys.append(key)
