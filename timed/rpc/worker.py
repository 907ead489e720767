"""Where blocking work is done: one thing after the other, beside the reactor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from twisted.internet.defer import Deferred

from timed.crew import Crew

T = TypeVar("T")


class Worker(Protocol):
    """Does pieces of work in the order they were handed in, each after the one before it."""

    def run(self, work: Callable[[], T]) -> Deferred[T]:
        """Fires on the reactor's side with what `work` returned or raised."""

    def stop(self) -> None:
        """Do what was handed in, then nothing more."""

    @property
    def inside(self) -> bool:
        """A piece of work is being done now."""


class ThreadWorker:
    """A thread that begins with the first piece of work, and keeps no process alive that ends without `stop`."""

    def __init__(self, reactor: Any, name: str) -> None:
        self._reactor = reactor
        self._crew = Crew(name, 1)
        self._inside = False

    def run(self, work: Callable[[], T]) -> Deferred[T]:
        return self._crew.defer_to_thread(self._reactor, self._do, work)

    @property
    def inside(self) -> bool:
        return self._inside

    def _do(self, work: Callable[[], T]) -> T:
        """On the thread."""
        self._inside = True
        try:
            return work()
        finally:
            self._inside = False

    def stop(self) -> None:
        self._crew.stop()
