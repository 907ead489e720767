"""The reader: computations over the durable chain, on a thread of their own, each over one snapshot.

The reactor thread only hands them over and gets their results. They take turns in
slices, so that a short one never waits for the end of a long one, and the thread
rests between slices, since it shares the interpreter with the reactor.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from inspect import isgenerator
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from timed.loops import Cause
from timed.rpc.errors import MISC, Busy, RpcError, cancelled, stopping

if TYPE_CHECKING:
    from timed.app.watchdog import Watchdog
    from timed.rpc.activity import Activity, Call
    from timed.rpc.snapshot import Snapshot

SLICE_S = 0.005
"""Seconds of one slice."""
STEPS_PER_SLICE = 64
"""Pieces of work in one slice at most."""
REST_SHARE = 1.0
"""Seconds of rest for each second of work, in a process that runs a node."""
MAX_AT_ONCE = 16
"""Computations between their slices: each may hold a whole block, and each holds a snapshot."""
MAX_WAITING = 256
"""Computations that have not begun; one more is refused."""
RETRY_AFTER_S = 1
THREAD_S = 120.0
"""A slice that takes longer is stuck: it is meant to take milliseconds."""
DEADLINE_S = 30.0
"""The age at which a computation is ended: its snapshot keeps the database from using space again."""

Read = Callable[["Snapshot"], Any]
"""A question to a snapshot: its answer, or `Work` that returns it."""
Source = Callable[[], AbstractContextManager["Snapshot"]]
"""Opens a snapshot of what is durable now. Called on the reader's thread."""


_MORE = object()
"""A reading that goes on in another slice."""


def pause(seconds: float) -> None:
    """The rest of the reader's thread; a function of its own, so that a profile knows it from work."""
    time.sleep(seconds)


class Threads(Protocol):
    def callInThread(self, func: Callable[..., object], *args: object) -> object: ...  # noqa: N802


@attrs.define
class ReaderCounters:
    """What became of the computations."""

    begun: int = 0
    slices: int = 0
    refused: int = 0
    """For want of room."""
    late: int = 0
    """Ended at their deadline."""
    dropped: int = 0
    """Ended because nobody waited any more."""


@attrs.define(eq=False)
class _Reading:
    read: Read
    deadline: float
    done: Deferred[Any]
    call: Call | None = None
    """At whose expense it is; None when that is not measured."""
    spent_ns: int = 0
    unwanted: bool = False
    work: Any = None
    held: ExitStack = attrs.field(factory=ExitStack)


class Reader:
    """Runs readings one slice after the other on the one thread behind `threads`."""

    def __init__(
        self,
        source: Source,
        threads: Threads,
        from_thread: Callable[..., object],
        monotonic: Callable[[], float],
        *,
        rest: Callable[[float], object] = pause,
        rest_share: float = REST_SHARE,
        deadline_s: float = DEADLINE_S,
        activity: Activity | None = None,
        cpu: Callable[[], int] = time.thread_time_ns,
    ) -> None:
        """`activity` is charged for what a call has read, once it is over; `cpu` is that of the thread that asks."""
        self._source = source
        self._threads = threads
        self._from_thread = from_thread
        self._monotonic = monotonic
        self._rest = rest
        self._rest_share = rest_share
        self._deadline_s = deadline_s
        self._activity = activity
        self._cpu = cpu
        self._lock = Lock()
        self._waiting: deque[_Reading] = deque()
        self._under_way: deque[_Reading] = deque()
        self._busy = False
        self._stopped = False
        self._idle: list[Deferred[None]] = []
        self.counters = ReaderCounters()

    # On the reactor's thread.

    @property
    def waiting(self) -> int:
        """Readings that have not begun."""
        return len(self._waiting)

    @property
    def busy(self) -> bool:
        """The thread has something to do, or was asked to."""
        return self._busy

    @property
    def under_way(self) -> int:
        """Readings that have begun and not ended, but for the one whose slice it is."""
        return len(self._under_way)

    def read(self, read: Read) -> Deferred[Any]:
        """Fires with the answer, or with what it raised; to cancel it ends the reading at its next slice.

        Busy when too many wait, or the system has no thread for it.
        """
        if self._stopped:
            raise stopping()
        if len(self._waiting) >= MAX_WAITING:
            self.counters.refused += 1
            raise _full(f"{MAX_WAITING} questions to the chain are waiting")
        reading: _Reading

        def cancel(done: Deferred[Any]) -> None:
            reading.unwanted = True
            done.errback(cancelled())

        reading = _Reading(read, self._monotonic() + self._deadline_s, Deferred(cancel), self._whose())
        with self._lock:
            self._waiting.append(reading)
            begin, self._busy = not self._busy, True
        if begin:
            self._begin()
        return reading.done

    def _begin(self) -> None:
        """Have the thread run; Busy, and the one reading that waits is none, where the system has no room for it."""
        try:
            self._threads.callInThread(self._run)
        except RuntimeError as error:
            with self._lock:
                self._waiting.clear()
                self._busy = False
            self.counters.refused += 1
            raise _full(f"There is no thread to read on ({error})") from error

    def _whose(self) -> Call | None:
        call = None if self._activity is None else self._activity.running
        return call if call is not None and call.weight else None

    def stop(self) -> Deferred[None]:
        """End everything at its next slice; fires when the thread has nothing left."""
        with self._lock:
            self._stopped = True
            if not self._busy:
                return succeed(None)
            idle: Deferred[None] = Deferred()
            self._idle.append(idle)
            return idle

    def _fire(self, reading: _Reading, result: Any) -> None:
        if self._activity is not None and reading.call is not None:
            self._activity.charge(reading.call, reading.spent_ns)
        if not reading.done.called:
            reading.done.callback(result)

    def _rested(self, idle: list[Deferred[None]]) -> None:
        for each in idle:
            each.callback(None)

    # On the reader's thread.

    def _run(self) -> None:
        owed = 0.0
        while self._take():
            begun = self._monotonic()
            reading = self._under_way.popleft()
            if self._slice(reading):
                self._under_way.append(reading)
            owed += (self._monotonic() - begun) * self._rest_share
            if owed >= SLICE_S:
                self._rest(owed)
                owed = 0.0

    def _take(self) -> bool:
        """Take one that waits, if there is room; False when nothing is left to do."""
        with self._lock:
            if self._waiting and len(self._under_way) < MAX_AT_ONCE:
                self.counters.begun += 1
                # A new one goes first: most are over with their first slice.
                self._under_way.appendleft(self._waiting.popleft())
            if self._under_way:
                return True
            self._busy = False
            idle, self._idle = self._idle, []
        if idle:
            self._from_thread(self._rested, idle)
        return False

    def _slice(self, reading: _Reading) -> bool:
        """One slice, measured for the call that pays it; True when there is more to do."""
        self.counters.slices += 1
        begun = 0 if reading.call is None else self._cpu()
        result = self._advance(reading)
        if reading.call is not None:
            reading.spent_ns += self._cpu() - begun
        if result is not _MORE:
            self._end(reading, result)
        return result is _MORE

    def _advance(self, reading: _Reading) -> Any:
        """Work for the length of a slice: `_MORE`, or what the reading ends with."""
        try:
            self._check(reading)
            if reading.work is None:
                result = reading.read(reading.held.enter_context(self._source()))
                if not isgenerator(result):
                    return result
                reading.work = result
            end = self._monotonic() + SLICE_S
            for _ in range(STEPS_PER_SLICE):
                next(reading.work)
                if self._monotonic() >= end:
                    break
        except StopIteration as finished:
            return finished.value
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller is to hear of it
            return Failure(error)
        return _MORE

    def _check(self, reading: _Reading) -> None:
        """RpcError when the reading is not to go on."""
        if self._stopped:
            raise stopping()
        if reading.unwanted:
            self.counters.dropped += 1
            raise cancelled()
        if self._monotonic() >= reading.deadline:
            self.counters.late += 1
            raise RpcError(
                MISC,
                f"The answer was not ready after {self._deadline_s:g} s",
                rule="deadline",
                hint="Ask for less at once, or again when the node has less to do.",
            )

    def _end(self, reading: _Reading, result: Any) -> None:
        """Let go of what the reading holds, then tell."""
        try:
            with reading.held:
                if reading.work is not None:
                    reading.work.close()
        except Exception as error:  # noqa: BLE001 - as above
            result = Failure(error)
        self._from_thread(self._fire, reading, result)


def _full(message: str) -> Busy:
    return Busy(
        503,
        RETRY_AFTER_S,
        message,
        rule="reader-full",
        hint="Try again in a moment, and ask for less at once.",
    )


def watch_reader(loops: Watchdog, reader: Reader) -> Callable[[], None]:
    """Enter the reader's thread; what is returned ends that. It is never doubled: its slices share what they hold."""
    return loops.add(
        "reader", lambda: reader.counters.slices, THREAD_S,
        "Look at the disk (dmesg, iostat -x 1), then restart the process; calls that read blocks end at their deadline.",
        owes=lambda: reader.busy, cause=lambda: Cause.THREAD,
    )  # fmt: skip
