"""The events as the other parts of a process see them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs

from timed.feed.event import Draft
from timed.feed.hub import Hub
from timed.feed.records import LogState, StoredEvent
from timed.feed.window import Window


def tells_nobody(draft: Draft) -> None:
    """Of a process that writes no events."""


@attrs.define
class Feed:
    """Reading, following and, where the log is written, telling."""

    window: Window
    hub: Hub
    tell: Callable[[Draft], object] = tells_nobody
    """Have one more event written."""
    failure: Callable[[], str | None] = lambda: None
    """Why no events are written or read at the moment."""
    scribe: Any = None
    """`timed.feed.scribe.Scribe` of the process that writes."""

    def added(self, added: Sequence[tuple[int, StoredEvent]], state: LogState) -> None:
        """These are durable: everybody may have them."""
        self.window.add(added, state)
        self.hub.woken()

    def refresh(self) -> None:
        """Look what another process has written."""
        if self.window.refresh():
            self.hub.woken()
