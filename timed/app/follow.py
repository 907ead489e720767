"""An RPC process takes over what the chain process has kept of `setconfig`: it writes nothing itself."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.application.service import Service
from twisted.logger import Logger

from timed.app.live import LiveConfig
from timed.app.reload import Reloads
from timed.app.watchdog import Watchdog
from timed.errors import LocalError
from timed.loops import Ticker

EVERY_S = 2.0
"""Between two looks at the file."""
FileState = tuple[int, int, int] | None


class OverridesFollower(Service):
    """Looks at the file now and then, and with every reload; one that cannot be used changes nothing."""

    _log = Logger()

    def __init__(self, live: LiveConfig, reloads: Reloads, reactor: Any, loops: Watchdog) -> None:
        self._live = live
        self._path: Path = live.config.overrides_file
        self._reloads = reloads
        self._loops = loops
        self._state: FileState = None
        self._ticker = Ticker(reactor, EVERY_S, self._look)
        self._ends: list[Callable[[], None]] = []

    def startService(self) -> None:
        super().startService()
        self._ticker.start()
        self._ends = [
            self._reloads.add("overrides", self._reload),
            self._loops.add_ticker("overrides", self._ticker, "timed-cli reload reads them once."),
        ]

    def stopService(self) -> None:
        super().stopService()
        self._ticker.stop()
        ends, self._ends = self._ends, []
        for end in ends:
            end()

    def _look(self) -> None:
        state = self._state_now()
        if state == self._state:
            return
        self._state = state
        try:
            changed = self._live.reread()
        except LocalError as error:
            self._log.error("what setconfig changed cannot be taken over: {reason}", reason=str(error))
            return
        if changed:
            self._log.info("taken over from the chain process: {names}", names=", ".join(changed))

    def _reload(self) -> str:
        changed = self._live.reread()
        return ", ".join(changed) if changed else "nothing new"

    def _state_now(self) -> FileState:
        try:
            found = os.stat(self._path)
        except OSError:
            # Not there: nothing was changed for good, or everything was taken back.
            return None
        return found.st_dev, found.st_ino, found.st_mtime_ns
