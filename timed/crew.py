"""Threads that take calls in the order in which they were handed in.

Instead of a pool of Twisted's: a call there makes eight objects in a circle, which only the collector
of garbage finds. Ten calls a second are most of what a node keeps for it.
"""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, fail
from twisted.logger import Logger
from twisted.python.failure import Failure

T = TypeVar("T")
Call = tuple[Callable[..., object], tuple[object, ...]]


class Crew:
    """At most `size` threads, which begin with the first calls. Whoever hands in bounds how many calls wait.

    The threads keep no process alive that ends without `stop`.
    """

    _log = Logger()

    def __init__(self, name: str, size: int) -> None:
        self._name = name
        self._size = size
        self._calls: SimpleQueue[Call | None] = SimpleQueue()
        self._threads: list[Thread] = []
        self._stopped = False

    @property
    def threads(self) -> int:
        """Those that have begun."""
        return len(self._threads)

    def callInThread(self, func: Callable[..., object], *args: object) -> None:  # noqa: N802 - as a ThreadPool's
        """`func(*args)` on one of the threads; what it raises is a bug and goes to the log.

        RuntimeError, and the call was not taken, after `stop` and when the system has no room for the first thread.
        """
        if self._stopped:
            raise RuntimeError(f"the threads of {self._name} have ended")
        if len(self._threads) < self._size:
            self._grow()
        self._calls.put((func, args))

    def defer_to_thread(self, reactor: Any, func: Callable[..., T], *args: object) -> Deferred[T]:
        """The same; fires on the reactor's thread with what `func` returned or raised, or RuntimeError after `stop`.

        Called on the reactor's thread. Where the system has no room for the first thread, that one does the
        work, here and now: not all of it is asked for again, and nothing is under way that it could overtake.
        """
        done: Deferred[T] = Deferred()
        try:
            self.callInThread(_answer, reactor, done, func, args)
        except RuntimeError as error:
            if self._stopped:
                return fail(error)
            self._log.warn(
                "{name} works on the reactor's thread: {reason}", name=self._name, reason=str(error)
            )
            _answer(reactor, done, func, args)
        return done

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
        self._stopped = True
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
            except BaseException:  # noqa: BLE001 - the thread is needed for the next call
                self._log.failure("{what} raised on a thread of {name}", what=repr(func), name=self._name)
            del call, func, args


def _answer(reactor: Any, done: Deferred[T], func: Callable[..., T], args: tuple[object, ...]) -> None:
    try:
        result = func(*args)
    except BaseException as error:  # noqa: BLE001 - whoever waits must hear of it
        reactor.callFromThread(done.errback, Failure(error))
    else:
        reactor.callFromThread(done.callback, result)
