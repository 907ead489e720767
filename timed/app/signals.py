"""SIGTERM and SIGINT: the first one asks for an orderly stop, the second one ends the process at once.

A process that ends at once is one that was killed: what it has said is on disk, and
its log is read at the next start.
"""

from __future__ import annotations

import signal
from typing import Any

from twisted.logger import Logger

SIGNALS = (signal.SIGTERM, signal.SIGINT)

_log = Logger()


class Stopping:
    """Wraps what the reactor does about the signals; installed while the reactor starts."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._asked = False
        reactor.callWhenRunning(self._install)
        reactor.addSystemEventTrigger("before", "shutdown", self._stopping)

    def _install(self) -> None:
        for number in SIGNALS:
            self._wrap(number, signal.getsignal(number))

    def _wrap(self, number: signal.Signals, first: Any) -> None:
        def handle(signum: int, frame: Any) -> None:
            # The system's own default works also when the reactor hangs.
            for each in SIGNALS:
                signal.signal(each, signal.SIG_DFL)
            if not self._asked and callable(first):
                first(signum, frame)

        signal.signal(number, handle)

    def _stopping(self) -> None:
        """By a signal or by a caller: a signal that only says the same again is not the second one."""
        self._asked = True
        _log.info("stopping; after one signal a second one ends the process at once")
