"""Other nodes on the dashboard: their summaries, asked for while somebody looks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import attrs
from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.logger import Logger
from twisted.python.failure import Failure

from timed.errors import RemoteError
from timed.monitor.summary import Summary, parse

TIMEOUT_S = 4.0
IDLE_S = 5.0
"""When nobody has looked for so long, what was known is not shown any more."""
MALFORMED = "malformed"
ANSWERED = "answered"
INTERNAL = "internal-error"


@attrs.define
class _Neighbour:
    """One node; times are seconds of the monotonic clock."""

    address: str
    heard_at: float
    """Its last answer, or the first time it was asked."""
    summary: Summary | None = None
    error: str | None = None


class Neighbours:
    """The nodes of `monitor.nodes`. After `stop` has fired nothing is under way."""

    _log = Logger()

    def __init__(
        self,
        addresses: Sequence[str],
        fetch: Callable[[str], Deferred[bytes]],
        monotonic: Callable[[], float],
    ) -> None:
        """`fetch` gives what a URL answers, or fails with RemoteError, and can be cancelled."""
        self._addresses = tuple(addresses)
        self._fetch = fetch
        self._monotonic = monotonic
        self._known: dict[str, _Neighbour] = {}
        self._asked_at: float | None = None
        self._under_way: dict[str, Deferred[None]] = {}
        self.outcomes: Counter[str] = Counter()
        """Answers, and why there was none."""

    def rows(self) -> list[dict[str, Any]]:
        """What is known of each, and a new question to those that owe no answer."""
        now = self._monotonic()
        if self._asked_at is None or now - self._asked_at > IDLE_S:
            self._known = {each: _Neighbour(each, now) for each in self._addresses}
        self._asked_at = now
        for address in self._addresses:
            if address not in self._under_way:
                self._ask(address)
        return [self._row(neighbour, now) for neighbour in self._known.values()]

    def stop(self) -> Deferred[None]:
        """Give up what is under way. Never fails."""
        waiting = list(self._under_way.values())
        for asked in waiting:
            asked.cancel()
        done: Deferred[None] = Deferred()
        DeferredList(waiting).addCallback(lambda _: done.callback(None))
        return done

    @staticmethod
    def _row(neighbour: _Neighbour, now: float) -> dict[str, Any]:
        return {
            "own": False,
            "address": neighbour.address,
            "age": round(now - neighbour.heard_at, 3),
            "error": neighbour.error,
            "summary": neighbour.summary,
        }

    def _ask(self, address: str) -> None:
        asked: Deferred[Any] = self._fetch(f"http://{address}/summary")
        self._under_way[address] = asked
        asked.addCallback(parse)
        asked.addBoth(self._answered, address)

    def _answered(self, result: Summary | Failure, address: str) -> None:
        self._under_way.pop(address, None)
        neighbour = self._known.get(address)
        outcome, error = ANSWERED, None
        if isinstance(result, Failure):
            if result.check(CancelledError):
                return
            outcome, error = self._failed(result, address)
        self.outcomes[outcome] += 1
        if neighbour is None:
            return
        neighbour.error = error
        if isinstance(result, Summary):
            neighbour.summary = result
            neighbour.heard_at = self._monotonic()

    def _failed(self, failure: Failure, address: str) -> tuple[str, str]:
        """(rule, what the page says)."""
        if isinstance(failure.value, RemoteError):
            return failure.value.rule, failure.value.rule.replace("-", " ")
        if isinstance(failure.value, ValueError):
            return MALFORMED, "answers with something that is no summary"
        self._log.failure("asking {address} failed", failure, address=address)
        return INTERNAL, "internal error"
