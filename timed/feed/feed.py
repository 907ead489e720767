"""The events as the other parts of a process see them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from timed.feed.event import Draft, Presenter
from timed.feed.hub import Hub, Limits
from timed.feed.log import Bounds, FeedLog
from timed.feed.records import LogState, StoredEvent
from timed.feed.window import Window
from timed.params import NetworkParams

if TYPE_CHECKING:
    from timed.app.config import Config
    from timed.app.schema import FeedSection
    from timed.feed.delivery import Delivery

KEYS = ("feed.max_subscribers", "feed.max_per_client", "feed.waiting_bytes")
"""What a hub follows while it runs."""


def tells_nobody(draft: Draft) -> None:
    """Of a process that writes no events."""


@attrs.define
class Feed:
    """Reading, following and, where the log is written, telling."""

    window: Window
    hub: Hub
    tell: Callable[[Draft], object] = tells_nobody
    """Have one more event written."""
    sinks: Sequence[Delivery] = ()
    """Where the process that writes the log hands it to."""
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


def bounds_of(settings: FeedSection) -> Bounds:
    return Bounds(settings.max_events, settings.max_bytes, settings.max_age_s)


def limits_of(settings: FeedSection) -> Limits:
    return Limits(settings.max_subscribers, settings.max_per_client, settings.waiting_bytes)


def regulate(hub: Hub, config: Config) -> None:
    """For who subscribes from now on, and for what waits from now on; who has subscribed stays."""
    hub.limits = limits_of(config.settings.feed)


def make_feed(
    settings: FeedSection,
    params: NetworkParams,
    log: Callable[[], FeedLog | None],
    reactor: Any,
    monotonic: Callable[[], float],
) -> Feed:
    """What reads `log` in this process; `log` gives it while it is open."""
    window = Window(Presenter(params), log)
    return Feed(window, Hub(window, limits_of(settings), reactor.callLater, monotonic))
