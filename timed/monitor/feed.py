"""The rows of the metric table about the log of events and who follows it."""

from __future__ import annotations

from collections.abc import Callable

from timed.feed.feed import Feed
from timed.monitor.row import COUNTER, GAUGE, Row, Sample, Source, by, one
from timed.monitor.view import View


def _feed(read: Callable[[Feed], float | None]) -> Source:
    return lambda view: one(None if view.context.feed is None else read(view.context.feed))


def _written(field: str) -> Source:
    return _feed(lambda feed: getattr(feed.scribe.counters, field) if feed.scribe is not None else None)


def _ended(view: View) -> list[Sample]:
    return [] if view.context.feed is None else by(view.context.feed.hub.ended.items())


def _refused(view: View) -> list[Sample]:
    return [] if view.context.feed is None else by(view.context.feed.hub.refused.items())


FEED_METRICS: tuple[Row, ...] = (
    Row("timed_events", COUNTER, (), "Events written to the log since the start.", _written("written")),
    Row("timed_events_steps", COUNTER, (), "Durable steps of the log, one fsync each.", _written("steps")),
    Row(
        "timed_events_repeated", COUNTER, (), "Events that were in the log already, after a restart mostly.",
        _written("repeated"),
    ),
    Row("timed_events_lost", COUNTER, (), "Events lost for want of room before the disk.", _written("lost")),
    Row("timed_events_failures", COUNTER, (), "Steps that the disk refused.", _written("failures")),
    Row(
        "timed_events_waiting", GAUGE, (), "Events that wait for the disk.",
        _feed(lambda feed: feed.scribe.waiting if feed.scribe is not None else None),
    ),
    Row(
        "timed_events_dropped", COUNTER, (), "Events that made room for newer ones, in the life of the log.",
        _feed(lambda feed: feed.window.state.dropped if feed.window.state is not None else None),
    ),
    Row(
        "timed_events_bytes", GAUGE, (), "Bytes of the events in the log.",
        _feed(lambda feed: feed.window.state.size if feed.window.state is not None else None),
    ),
    Row("timed_subscriptions", GAUGE, (), "Who follows the events.", _feed(lambda feed: len(feed.hub))),
    Row("timed_subscriptions_ended", COUNTER, ("reason",), "Subscriptions that this side ended.", _ended),
    Row("timed_subscriptions_refused", COUNTER, ("rule",), "Subscriptions for which there was no room.", _refused),
)  # fmt: skip
