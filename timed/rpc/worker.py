"""Where blocking work of the wallet is done: one thing after the other, beside the reactor."""

from __future__ import annotations

from collections.abc import Callable
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


class ThreadWorker:
    """A thread that lives while there is work."""

    def __init__(self, reactor: Any, name: str) -> None:
        self._reactor = reactor
        self._pool = ThreadPool(minthreads=0, maxthreads=1, name=name)

    def start(self) -> None:
        self._pool.start()

    def run(self, work: Callable[[], T]) -> Deferred[T]:
        return deferToThreadPool(self._reactor, self._pool, work)

    def stop(self) -> None:
        self._pool.stop()
