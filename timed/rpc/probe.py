"""Whether an RPC process can read its snapshot: asked now and then, the way every call asks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from timed.errors import LocalError
from timed.loops import Ticker
from timed.rpc.errors import RpcError
from timed.rpc.reader import Reader

EVERY_S = 5.0
"""Between two questions."""
STALE_S = 60.0
"""So long after the last answer the reader counts as stuck."""


class SnapshotProbe:
    """Asks for the newest height, one question at a time. After `stop` none is left."""

    def __init__(self, reader: Reader, reactor: Any, monotonic: Callable[[], float]) -> None:
        self._reader = reader
        self._monotonic = monotonic
        self.ticker = Ticker(reactor, EVERY_S, self.ask)
        self._asked: Deferred[Any] | None = None
        self._answered: float | None = None
        self.height: int | None = None
        """Of the newest snapshot; None before the first."""
        self.error: LocalError | None = None
        """Why the last question had no answer."""
        self.failures = 0

    def start(self) -> None:
        """Ask at once, and every `EVERY_S`."""
        self.ticker.start()

    def ask(self) -> None:
        """Ask, unless the last question is still open: then its age shows."""
        if self._asked is not None:
            return
        try:
            asked = self._reader.read(lambda snapshot: snapshot.tip().height)
        except RpcError as error:
            self._failed(Failure(error))
            return
        self._asked = asked
        asked.addCallbacks(self._is_at, self._failed).addBoth(self._over)

    def stop(self) -> None:
        self.ticker.stop()
        if self._asked is not None:
            self._asked.cancel()

    @property
    def age_s(self) -> float | None:
        """Seconds since the last good answer; None before it."""
        return None if self._answered is None else self._monotonic() - self._answered

    def _is_at(self, height: int) -> None:
        self.height, self.error = height, None
        self._answered = self._monotonic()

    def _failed(self, failure: Failure) -> None:
        """Whatever it is, its sentence is shown; that nobody answered in time shows by the age."""
        self.failures += 1
        if isinstance(failure.value, LocalError):
            self.error = failure.value

    def _over(self, result: None) -> None:
        self._asked = None
