"""Where blocking work is done: one thing after the other, beside the reactor."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread
from typing import Any, Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

T = TypeVar("T")


class Worker(Protocol):
    """Does pieces of work in the order they were handed in, each after the one before it."""

    def start(self) -> None: ...
    def run(self, work: Callable[[], T]) -> Deferred[T]:
        """Fires on the reactor's side with what `work` returned or raised."""

    def stop(self) -> None:
        """Do what was handed in, then nothing more."""

    @property
    def inside(self) -> bool:
        """A piece of work is being done now."""


class _DaemonThread(Thread):
    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, daemon=True, **named)


class ThreadWorker:
    """A thread that lives while there is work, and keeps no process alive that ends without `stop`."""

    def __init__(self, reactor: Any, name: str) -> None:
        self._reactor = reactor
        self._pool = ThreadPool(minthreads=0, maxthreads=1, name=name)
        self._pool.threadFactory = _DaemonThread
        self._inside = False

    def start(self) -> None:
        self._pool.start()

    def run(self, work: Callable[[], T]) -> Deferred[T]:
        return deferToThreadPool(self._reactor, self._pool, self._do, work)

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
        self._pool.stop()
