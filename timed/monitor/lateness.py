"""How late the reactor is: what an operator feels as a slow node."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReactorTime

from timed.loops import Ticker
from timed.monitor.histogram import Histogram
from timed.monitor.turns import SlowTurns

TICK_S = 0.05


class Lateness:
    """Asks to be called every `TICK_S` seconds and counts how late the call came."""

    def __init__(
        self, reactor: IReactorTime, monotonic: Callable[[], float], turns: SlowTurns | None = None
    ) -> None:
        """`turns` is told when each call is due and when it came."""
        self.late = Histogram()
        self._turns = turns
        self._monotonic = monotonic
        self._due = 0.0
        self.ticker = Ticker(reactor, TICK_S, self._tick)

    def start(self) -> None:
        self._due = self._monotonic() + TICK_S
        if self._turns is not None:
            self._turns.wait_for(self._due)
        self.ticker.start(at_once=False)

    def stop(self) -> None:
        self.ticker.stop()

    def _tick(self) -> None:
        now = self._monotonic()
        late_s = max(0.0, now - self._due)
        self.late.observe(late_s)
        self._due = now + TICK_S
        if self._turns is not None:
            self._turns.came(late_s)
            self._turns.wait_for(self._due)


class Pauses:
    """How long the cycle collector stops everything, by generation."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self.by_generation = {generation: Histogram() for generation in range(3)}
        self._monotonic = monotonic
        self._begun = 0.0

    def start(self) -> None:
        gc.callbacks.append(self._watch)

    def stop(self) -> None:
        if self._watch in gc.callbacks:
            gc.callbacks.remove(self._watch)

    def _watch(self, phase: str, info: dict[str, Any]) -> None:
        if phase == "start":
            self._begun = self._monotonic()
        else:
            self.by_generation[info["generation"]].observe(self._monotonic() - self._begun)
