"""What the monitor counts by itself while it runs; the table of metrics reads it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.logger import Logger

from timed.interfaces import IEventSink
from timed.monitor.blocks import RecentBlocks
from timed.monitor.lateness import Lateness, Pauses
from timed.monitor.observer import EventCounts
from timed.monitor.stages import StageTimes
from timed.monitor.turns import SlowTurns


class Watch:
    """The counters of one node, from `start` to `stop`."""

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        monotonic: Callable[[], float],
        clock: Callable[[], int] = lambda: 0,
        doing: Callable[[], str] = lambda: "",
    ) -> None:
        """`clock` gives microseconds of unix time; `doing` is for `SlowTurns`."""
        self.counts = EventCounts()
        self.stages = StageTimes()
        self.blocks = RecentBlocks()
        self.turns = SlowTurns(monotonic, clock, doing)
        self.lateness = Lateness(reactor, monotonic, self.turns)
        self.pauses = Pauses(monotonic)

    @property
    def sinks(self) -> tuple[IEventSink, ...]:
        """Those who want to hear the node's events."""
        return (self.counts, self.stages, self.blocks)

    def raised(self, what: str) -> None:
        """Whoever looks at all metrics or checks goes on after one that raised; the log has its traceback."""
        self._log.failure("{what} raised", what=what)

    def start(self) -> None:
        self.turns.start()
        self.lateness.start()
        self.pauses.start()

    def stop(self) -> None:
        self.lateness.stop()
        self.turns.stop()
        self.pauses.stop()
