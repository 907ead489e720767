"""Watches the loops of the process: one that gets nowhere is begun again, not the node.

A loop enters itself with what its progress is, how long it may show none while it owes
some, and how it is begun again. The watchdog looks every `LOOK_S`. A loop whose thread
does not come back is never begun again: two threads must not write one file; nor is one
without `restart`, where more than comfort is at stake. They are shown until they move.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import attrs
from twisted.application.service import Service
from twisted.logger import Logger

from timed.errors import LocalError
from timed.loops import Cause, Ticker

LOOK_S = 5.0
"""Between two looks at all loops."""
LATE_S = 4 * LOOK_S
"""The watchdog itself is late when it has not looked for this long."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 10.0, 600.0
"""After a restart that did not help: doubled from the first to the last."""
SHOWN_S = 60.0
"""A loop that goes on again is shown for so long, so that whoever looks now and then sees it."""
MAX_LOOPS = 256
"""More is a bug of ours: a loop is entered once by its owner. Also the ended loops whose restarts stay counted."""

FORGOTTEN = "others"
"""The name under which restarts of loops that ended long ago are counted together."""


def always() -> bool:
    """The default of `Loop.owes`: a loop that always has something to do."""
    return True


@attrs.frozen
class Loop:
    """One loop of the process. Seconds are those in which the reactor turned."""

    name: str
    progress: Callable[[], int]
    """Changes whenever the loop gets on."""
    longest_s: Callable[[], float]
    """The longest silence that is normal while it owes something."""
    remedy: str
    """What an operator does when it stays stuck."""
    restart: Callable[[], object] | None = None
    """Begins it again; None where that would be unsafe."""
    owes: Callable[[], bool] = always
    """It has something to do and is not resting on purpose."""
    cause: Callable[[], Cause] = lambda: Cause.WAITS


@attrs.define
class Standing:
    """What is known of one loop."""

    loop: Loop
    value: int
    since_s: float
    """Of the last progress, in awake seconds."""
    owes: bool = False
    stuck: bool = False
    cause: Cause = Cause.WAITS
    restarts: int = 0
    restarts_before: int = 0
    """Of them, those of earlier times that it was stuck."""
    pause_s: float = FIRST_PAUSE_S
    next_try_s: float = 0.0
    shown_until_s: float = 0.0

    def age_s(self, awake_s: float) -> float:
        """Seconds of silence; 0 while nothing is owed."""
        return awake_s - self.since_s if self.owes else 0.0


@attrs.frozen
class Trouble:
    """One loop that is stuck, or was until a moment ago."""

    name: str
    reason: str
    remedy: str


class Watchdog(Service):
    """Owns the list of loops. After `stopService` no call is left, and nothing is begun again."""

    _log = Logger()

    def __init__(self, reactor: Any, monotonic: Callable[[], float]) -> None:
        self.setName("watchdog")
        self._monotonic = monotonic
        self._standings: dict[str, Standing] = {}
        self._ticker = Ticker(reactor, LOOK_S, self.look)
        self._last_s: float | None = None
        self._awake_s = 0.0
        self.ended: dict[str, int] = {}
        """Restarts of loops that are not entered any more, by name; the longest ended go first."""
        self.forgotten = 0
        """Restarts of those that went."""
        self.failures = 0
        """Looks at a loop that raised, and restarts that did: bugs."""

    def startService(self) -> None:
        super().startService()
        self._last_s = self._monotonic()
        self._ticker.start(at_once=False)

    def stopService(self) -> None:
        super().stopService()
        self._ticker.stop()

    def add(
        self,
        name: str,
        progress: Callable[[], int],
        longest_s: float | Callable[[], float],
        remedy: str,
        **others: Any,
    ) -> Callable[[], None]:
        """Watch a loop (the fields of `Loop`) until what is returned is called."""
        longest = longest_s if callable(longest_s) else lambda: longest_s
        if name in self._standings or len(self._standings) >= MAX_LOOPS:
            raise LocalError(f"the loop {name} cannot be watched, too.")
        loop = Loop(name, progress, longest, remedy, **others)
        self._standings[name] = Standing(loop, loop.progress(), self._awake_s)

        def end() -> None:
            gone = self._standings.pop(name)
            self.ended[name] = self.ended.pop(name, 0) + gone.restarts
            if len(self.ended) > MAX_LOOPS:
                self.forgotten += self.ended.pop(next(iter(self.ended)))

        return end

    def add_ticker(self, name: str, ticker: Ticker, remedy: str) -> Callable[[], None]:
        """Watch what is done every so many seconds: three turns that do not come are too many."""
        return self.add(
            name,
            lambda: ticker.turns,
            lambda: 3 * ticker.every_s() + LOOK_S,
            remedy,
            restart=ticker.restart,
            cause=lambda: Cause.FAILS if ticker.alive else Cause.DIED,
        )

    def __iter__(self) -> Iterator[tuple[Standing, float]]:
        """Every loop, with the seconds of its silence."""
        for standing in self._standings.values():
            yield standing, standing.age_s(self._awake_s)

    def restarts(self) -> dict[str, int]:
        """How often each loop was begun again since the start of the process; those forgotten are `FORGOTTEN`."""
        found = dict(self.ended)
        if self.forgotten:
            found[FORGOTTEN] = self.forgotten
        for name, standing in self._standings.items():
            found[name] = found.get(name, 0) + standing.restarts
        return found

    def troubles(self) -> list[Trouble]:
        """The loops that are stuck, then those that go on again since less than `SHOWN_S`."""
        found = [_trouble(each, age_s) for each, age_s in self if each.stuck]
        found += [
            _mended(each)
            for each in self._standings.values()
            if not each.stuck and each.shown_until_s > self._awake_s
        ]
        return found

    def late_s(self) -> float | None:
        """Seconds since the last look when that is too long, None while the watchdog itself is awake."""
        if not self.running or self._last_s is None:
            return None
        silent = self._monotonic() - self._last_s
        return silent if silent > LATE_S else None

    def restart(self) -> None:
        """Begin to look again: for whoever sees that it is late."""
        if self.running:
            self._ticker.restart()

    def look(self) -> None:
        """Look at every loop once; a bug in one keeps none of the others from being looked at."""
        now = self._monotonic()
        # A process that was stopped, or whose reactor hung, is silent as a whole: no loop's fault.
        self._awake_s += min(now - (now if self._last_s is None else self._last_s), 2 * LOOK_S)
        self._last_s = now
        for standing in list(self._standings.values()):
            try:
                self._judge(standing)
            except Exception:  # noqa: BLE001 - see above
                self.failures += 1
                self._log.failure("looking at the loop {name} raised", name=standing.loop.name)

    def _judge(self, standing: Standing) -> None:
        loop = standing.loop
        value, owes = loop.progress(), loop.owes()
        if value != standing.value or not owes or not standing.owes:
            standing.value, standing.owes, standing.since_s = value, owes, self._awake_s
            if standing.stuck:
                self._goes_on(standing)
            return
        if standing.age_s(self._awake_s) <= loop.longest_s():
            return
        cause = loop.cause()
        if not standing.stuck or cause is not standing.cause:
            self._found_stuck(standing, cause)
        if loop.restart is not None and cause is not Cause.THREAD and self._awake_s >= standing.next_try_s:
            self._begin_again(standing, loop.restart)

    def _found_stuck(self, standing: Standing, cause: Cause) -> None:
        if not standing.stuck:
            standing.stuck, standing.restarts_before = True, standing.restarts
            standing.pause_s, standing.next_try_s = FIRST_PAUSE_S, 0.0
        standing.cause = cause
        trouble = _trouble(standing, standing.age_s(self._awake_s))
        self._log.error("{reason}. {remedy}", reason=trouble.reason, remedy=trouble.remedy)

    def _begin_again(self, standing: Standing, restart: Callable[[], object]) -> None:
        standing.restarts += 1
        standing.next_try_s = self._awake_s + standing.pause_s
        standing.pause_s = min(2 * standing.pause_s, LONGEST_PAUSE_S)
        self._log.warn(
            "the loop {name} is begun again, for the {count}. time", name=standing.loop.name, count=standing.restarts
        )  # fmt: skip
        restart()

    def _goes_on(self, standing: Standing) -> None:
        standing.stuck = False
        standing.shown_until_s = self._awake_s + SHOWN_S
        self._log.info("the loop {name} goes on", name=standing.loop.name)


def _trouble(standing: Standing, age_s: float) -> Trouble:
    """Of a loop that is stuck."""
    loop = standing.loop
    if loop.restart is None or standing.cause is Cause.THREAD:
        remedy = loop.remedy
    else:
        remedy = f"It is begun again by itself; if that does not help: {loop.remedy}"
    return Trouble(
        loop.name, f"the loop {loop.name} has got nowhere for {age_s:.0f} s: {standing.cause.value}", remedy
    )


def _mended(standing: Standing) -> Trouble:
    """Of a loop that goes on again."""
    name, restarts = standing.loop.name, standing.restarts - standing.restarts_before
    how = f"after {restarts} restart{'s' if restarts > 1 else ''}" if restarts else "by itself"
    return Trouble(
        name,
        f"the loop {name} goes on again {how} ({standing.cause.value})",
        "Look for its line in the log; report it if it comes again.",
    )
