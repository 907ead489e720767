"""What programs beside a node are given in a simulation: a reactor and a worker on virtual time.

Everything they do is a turn of their process: it waits while the process stands
still, and never happens when the process is dead.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from timed.params import SECOND

if TYPE_CHECKING:
    import random

    from timed.sim.clock import Timer
    from timed.sim.host import Process

T = TypeVar("T")


class Call:
    """Twisted's IDelayedCall, as far as it is used."""

    def __init__(self, timer: Timer) -> None:
        self._timer = timer

    def active(self) -> bool:
        return self._timer.call is not None

    def cancel(self) -> None:
        self._timer.cancel()

    def getTime(self) -> float:  # noqa: N802 - as Twisted's
        """Seconds."""
        return self._timer.when / SECOND


class ProcessReactor:
    """Twisted's IReactorTime for one process."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def seconds(self) -> float:
        return self._process.host.clock.now / SECOND

    def callLater(  # noqa: N802 - as Twisted's
        self, delay: float, call: Callable[..., object], *args: object
    ) -> Call:
        process = self._process
        label = f"timer {process.name}"
        timer = process.host.clock.after(
            int(delay * SECOND), label, lambda: process.turn(label, lambda now: call(*args))
        )
        return Call(timer)


class ProcessWorker:
    """`timed.rpc.worker.Worker`: each piece of work takes as long as a write of this machine's disk."""

    def __init__(self, process: Process, entropy: random.Random) -> None:
        self._process = process
        self._entropy = entropy
        self._pending: deque[tuple[Callable[[], Any], Deferred[Any]]] = deque()

    def run(self, work: Callable[[], T]) -> Deferred[T]:
        done: Deferred[T] = Deferred()
        self._pending.append((work, done))
        if len(self._pending) == 1:
            self._begin()
        return done

    def stop(self) -> None:
        """Do what was handed in; nobody hears of it."""
        while self._pending:
            self._pending.popleft()[0]()

    @property
    def inside(self) -> bool:
        return bool(self._pending)

    def died(self) -> None:
        """The process was killed: what it was writing may be on the disk, all of it or nothing."""
        if self._pending and self._entropy.random() < 0.5:
            self._pending[0][0]()
        self._pending.clear()

    def _begin(self) -> None:
        process = self._process
        host = process.host
        label = f"worker {process.name}"
        when = max(host.clock.now + host.disk.latency(self._entropy), host.disk.stalled_until)
        host.clock.at(when, label, lambda: process.turn(label, lambda now: self._end()))

    def _end(self) -> None:
        if not self._pending:
            return
        work, done = self._pending.popleft()
        if self._pending:
            self._begin()
        try:
            result = work()
        except Exception:  # noqa: BLE001 - whoever asked for the work judges what it raised
            done.errback(Failure())  # type: ignore[no-untyped-call]
            return
        done.callback(result)
