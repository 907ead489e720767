"""An RPC process takes over what the chain process has kept of `setconfig`: it writes nothing itself."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.application.service import Service
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from timed.app.live import LiveConfig
from timed.app.reload import Reloads
from timed.errors import LocalError

EVERY_S = 2.0
"""Between two looks at the file."""
FileState = tuple[int, int, int] | None


class OverridesFollower(Service):
    """Looks at the file now and then, and with every reload; one that cannot be used changes nothing."""

    _log = Logger()

    def __init__(self, live: LiveConfig, reloads: Reloads, reactor: Any) -> None:
        self._live = live
        self._path: Path = live.config.overrides_file
        self._reloads = reloads
        self._reactor = reactor
        self._state: FileState = None
        self._call: IDelayedCall | None = None
        self._end: Callable[[], None] | None = None

    def startService(self) -> None:
        super().startService()
        self._end = self._reloads.add("overrides", self._reload)
        self._look()

    def stopService(self) -> None:
        super().stopService()
        if self._call is not None and self._call.active():
            self._call.cancel()
        if self._end is not None:
            self._end()
        self._call = self._end = None

    def _look(self) -> None:
        self._call = self._reactor.callLater(EVERY_S, self._look)
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
