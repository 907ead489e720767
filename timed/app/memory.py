"""What the node remembers of its peers from one run to the next: `peers.json` in the data directory.

Nothing rests on it. A file that cannot be read is set aside with one line in the
log, one that cannot be written costs no more than that.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import attrs
from twisted.internet.defer import Deferred, fail
from twisted.logger import Logger
from twisted.python.failure import Failure

from timed.crew import Crew
from timed.errors import LocalError
from timed.loops import Cause, Ticker
from timed.peer.memory import Memory
from timed.wallet.walletfile import replace_file

PERIOD_S = 60.0
"""Between two looks at whether something is new."""
MAX_BYTES = 32 * 1024 * 1024
"""A longer file is none of ours."""
ASIDE = ".broken"


class Remembering(Protocol):
    """`timed.peer.table.PeerTable`, as far as its memory goes."""

    def remembered(self) -> Memory: ...
    def remember(self, memory: Memory) -> None: ...


@attrs.define
class MemoryCounters:
    """What became of the file since the start."""

    writes: int = 0
    failures: int = 0


class PeerMemory:
    """Loads the file once, then writes it whenever a look finds something new, and at the end.

    The file is replaced in one step, off the reactor thread but for the last time.
    After `stop` has fired, it holds the last state and no call or thread is at work.
    """

    _log = Logger()

    def __init__(
        self,
        path: Path,
        peers: Remembering,
        reactor: Any,
        crew: Crew,
        replace: Callable[[str, bytes], None] = replace_file,
    ) -> None:
        self.counters = MemoryCounters()
        self._path = path
        self._peers = peers
        self._reactor = reactor
        self._crew = crew
        self._replace = replace
        self._written: Memory | None = None
        self._writing: Deferred[None] | None = None
        self._waiting: list[Deferred[None]] = []
        """Who wants to know when what is known now is on disk: the next write's."""
        self._served: list[Deferred[None]] = []
        """The same of the write under way."""
        self.ticker = Ticker(reactor, PERIOD_S, self._look)
        self.looks = 0
        """Looks that found no write under way: what a watchdog counts."""
        self._inside = False
        self._failing = False
        self._stopped = False

    def load(self) -> None:
        """Tell the peers what an earlier run knew; call it before the first event."""
        try:
            memory = self._read()
        except LocalError as error:
            self._set_aside(error.message)
        except OSError as error:
            self._set_aside(f"what is remembered of peers cannot be read ({error.strerror}).")
        else:
            if memory is not None:
                self._peers.remember(memory)
                self._written = memory

    def start(self) -> None:
        """Look every `PERIOD_S` from now on."""
        self.ticker.start(at_once=False)

    def save(self) -> Deferred[None]:
        """Write what is known now, with whoever else asks meanwhile; LocalError when it cannot be."""
        if self._stopped:
            return fail(LocalError("what is remembered of peers is written no more: the node stops."))
        done: Deferred[None] = Deferred()
        self._waiting.append(done)
        if self._writing is None:
            self._save()
        return done

    def stop(self) -> Deferred[None]:
        """Write what is new, once the write under way has ended. Never fails."""
        self.ticker.stop()
        self._stopped = True
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        if self._writing is not None:
            await self._writing
        self._served, self._waiting = self._waiting, []
        try:
            self._saved(self._write(self._peers.remembered()))
        except Exception:  # noqa: BLE001 - whatever it is, the store behind it must be closed
            self._failed(Failure())

    def _look(self) -> None:
        if self._writing is None:
            self.looks += 1
            self._save()

    def cause(self) -> Cause:
        """Why no look finds the file free."""
        if not self.ticker.alive:
            return Cause.DIED
        return Cause.THREAD if self._inside else Cause.WAITS

    def restart(self) -> None:
        """Give up an answer that does not come, and look again now. Not while the thread is inside a write."""
        if self._writing is not None:
            self._ended(Failure(OSError(errno.ETIMEDOUT, "its thread has not answered")), self._writing)
        self.ticker.restart()

    def _save(self) -> None:
        writing: Deferred[bool] = self._crew.defer_to_thread(
            self._reactor, self._write, self._peers.remembered()
        )
        done: Deferred[None] = Deferred()
        self._writing = done
        self._served, self._waiting = self._waiting, []
        writing.addBoth(self._ended, done)

    def _write(self, memory: Memory) -> bool:
        """In a thread: write what differs from what is written; True when it did."""
        self._inside = True
        try:
            if memory == self._written:
                return False
            self._replace(str(self._path), memory.to_json().encode("utf-8"))
            self._written = memory
            return True
        finally:
            self._inside = False

    def _saved(self, written: bool) -> None:
        self.counters.writes += written
        self._failing = False
        served, self._served = self._served, []
        for waiting in served:
            waiting.callback(None)

    def _failed(self, failure: Failure) -> None:
        """One line for the first of several failures: the next look tries again."""
        self.counters.failures += 1
        if failure.check(OSError) is None:
            self._log.failure("what is remembered of peers was not written", failure)
        elif not self._failing:
            self._log.warn(
                "cannot write {path}: {reason}; after a restart peers and bans may be those of before",
                path=str(self._path),
                reason=getattr(failure.value, "strerror", None) or str(failure.value),
            )
        self._failing = True
        served, self._served = self._served, []
        for waiting in served:
            waiting.errback(LocalError(f"{self._path} cannot be written.", "The log says why."))

    def _ended(self, result: bool | Failure, done: Deferred[None]) -> None:
        """What a write came to, unless it was given up: then that was said."""
        if self._writing is not done:
            return
        self._writing = None
        if isinstance(result, Failure):
            self._failed(result)
        else:
            self._saved(result)
        if self._waiting and not self._stopped:
            self._save()
        done.callback(None)

    def _read(self) -> Memory | None:
        try:
            with open(self._path, "rb") as file:
                data = file.read(MAX_BYTES + 1)
        except FileNotFoundError:
            return None
        if len(data) > MAX_BYTES:
            raise LocalError(f"what is remembered of peers has more than {MAX_BYTES} bytes.")
        try:
            return Memory.from_json(data.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise LocalError(f"what is remembered of peers cannot be read ({error.reason}).") from error

    def _set_aside(self, problem: str) -> None:
        aside = self._path.with_name(self._path.name + ASIDE)
        try:
            os.replace(self._path, aside)
            outcome = f"it is kept as {aside}, and the node finds its peers anew"
        except OSError as error:
            outcome = f"it could not be set aside ({error.strerror}), and the node finds its peers anew"
        self._log.warn("{path}: {problem} {outcome}", path=str(self._path), problem=problem, outcome=outcome)
