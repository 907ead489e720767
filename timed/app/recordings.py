"""Recordings of the flight recorder on disk: on request, and by itself when something broke."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from zope.interface import implementer

from timed.errors import LocalError
from timed.events import SafetyFailure
from timed.flight.recorder import Recorder
from timed.flight.tape import Tape
from timed.interfaces import IEventSink
from timed.params import SECOND
from timed.wallet.walletfile import replace_file

MAX_FILES = 8
"""Recordings in the directory; the oldest is removed for another one."""
EVERY = 600 * SECOND
"""A node whose bug shows in every turn writes a recording by itself this often."""
SUFFIX = ".flight"


@attrs.frozen
class Saved:
    """A recording that is on disk."""

    path: Path
    size: int
    began: int
    """Microseconds of unix time."""
    ended: int


@attrs.define
class RecordingCounters:
    written: int = 0
    failed: int = 0
    removed: int = 0


@implementer(IEventSink)
class Recordings:
    """The recordings in one directory. `in_thread(function, *arguments)` gives a Deferred of its result."""

    name = "recordings"
    hears = frozenset({SafetyFailure})
    _log = Logger()

    def __init__(
        self,
        recorder: Recorder,
        directory: Path,
        in_thread: Callable[..., Deferred[Any]],
        clock: Callable[[], int],
    ) -> None:
        self.recorder = recorder
        self.counters = RecordingCounters()
        self._directory = directory
        self._in_thread = in_thread
        self._clock = clock
        self._next = 0

    def save(self, why: str) -> Deferred[Saved]:
        """Write what the ring holds, durably. LocalError when it holds nothing or the disk refuses."""
        return Deferred.fromCoroutine(self._save(why))

    async def _save(self, why: str) -> Saved:
        tape = self.recorder.tape(why)
        if tape is None:
            raise LocalError(
                f"there is no recording yet: {self.recorder.refusal or 'the node has just started.'}",
                "Try again in a minute.",
            )
        stamp = datetime.fromtimestamp(self._clock() / SECOND, UTC).strftime("%Y%m%dT%H%M%S.%f")
        path = self._directory / f"{stamp}{SUFFIX}"
        try:
            size, removed = await self._in_thread(_write, path, tape)
        except OSError as error:
            self.counters.failed += 1
            raise LocalError(f"cannot write the recording {path}: {error.strerror}.") from error
        self.counters.written += 1
        self.counters.removed += removed
        return Saved(path, size, tape.began, tape.ended)

    # What happens by itself.

    def faulted(self, what: str) -> None:
        """The node raised an exception, which is a bug."""
        self._by_itself(f"{what} raised")

    def published(self, event: object, now_us: int) -> None:
        if isinstance(event, SafetyFailure):
            self._by_itself("safety failure")

    def _by_itself(self, why: str) -> None:
        now = self._clock()
        if 0 <= self._next - now <= EVERY:
            return
        self._next = now + EVERY

        def written(saved: Saved) -> None:
            self._log.error(
                "{why}: what led to it is in {path}; timed-replay executes it again",
                why=why, path=str(saved.path),
            )  # fmt: skip

        def failed(failure: Any) -> None:
            self._log.error("{why}: no recording of it: {error}", why=why, error=str(failure.value))

        self.save(why).addCallbacks(written, failed)


def _write(path: Path, tape: Tape) -> tuple[int, int]:
    """(size of the file, number of older ones that were removed)."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    data = tape.dump()
    try:
        replace_file(str(path), data)
    finally:
        for left in path.parent.glob(f"*{SUFFIX}.new"):
            # Of a disk that was full, or of a crash: each has a name of its own, so that no later one replaces it.
            left.unlink()
    # By their names, which a clock that was set back does not keep in order: never the one just written.
    others = sorted(name for name in os.listdir(path.parent) if name.endswith(SUFFIX) and name != path.name)
    old = others[: 1 - MAX_FILES]
    for name in old:
        (path.parent / name).unlink()
    return len(data), len(old)
