"""Threads that take calls in the order in which they were handed in.

As a pool of Twisted's, for those who hand in hundreds a second: a call there makes four
objects in a circle, which only the collector of garbage finds, and its stops are the reactor's.
"""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread

from twisted.logger import Logger

Call = tuple[Callable[..., object], tuple[object, ...]]


class Crew:
    """At most `size` threads, which begin with the first calls. Whoever hands in bounds how many calls wait."""

    _log = Logger()

    def __init__(self, name: str, size: int) -> None:
        self._name = name
        self._size = size
        self._calls: SimpleQueue[Call | None] = SimpleQueue()
        self._threads: list[Thread] = []

    @property
    def threads(self) -> int:
        """Those that have begun."""
        return len(self._threads)

    def callInThread(self, func: Callable[..., object], *args: object) -> None:  # noqa: N802 - as a ThreadPool's
        """`func(*args)` on one of the threads; what it raises is a bug and goes to the log.

        RuntimeError, and the call was not taken, when the system has no room for the first thread.
        """
        if len(self._threads) < self._size:
            self._grow()
        self._calls.put((func, args))

    def _grow(self) -> None:
        thread = Thread(target=self._work, name=f"{self._name}-{len(self._threads)}", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            if not self._threads:
                raise
        else:
            self._threads.append(thread)

    def stop(self) -> None:
        """Over when everything handed in is done and the threads are gone."""
        for _ in self._threads:
            self._calls.put(None)
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def _next(self) -> Call | None:
        """Where a thread without work waits: a profile does not count it."""
        return self._calls.get()

    def _work(self) -> None:
        while (call := self._next()) is not None:
            func, args = call
            try:
                func(*args)
            except Exception:  # noqa: BLE001 - the thread is needed for the next call
                self._log.failure("{what} raised on a thread of {name}", what=repr(func), name=self._name)
            del call, func, args
