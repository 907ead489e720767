"""The rows of the metric table about the log of events and who follows it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from timed.feed.delivery import Delivery
from timed.feed.feed import Feed
from timed.monitor.row import COUNTER, GAUGE, Row, Sample, Source, by, one
from timed.monitor.view import View
from timed.params import SECOND


def _feed(read: Callable[[Feed], float | None]) -> Source:
    return lambda view: one(None if view.context.feed is None else read(view.context.feed))


def _written(field: str) -> Source:
    return _feed(lambda feed: getattr(feed.scribe.counters, field) if feed.scribe is not None else None)


def _sinks(read: Callable[[Delivery], float | None]) -> Source:
    """By the name of the sink; none of one whose figure is not known."""

    def source(view: View) -> list[Sample]:
        feed = view.context.feed
        found = [(each.sink.name, read(each)) for each in (feed.sinks if feed is not None else ())]
        return by([(name, value) for name, value in found if value is not None])

    return source


def _not_taken(view: View) -> list[Sample]:
    feed = view.context.feed
    return [
        ((each.sink.name, rule), float(count))
        for each in (feed.sinks if feed is not None else ())
        for rule, count in each.counters.failures.items()
    ]


def _late(view: View) -> Iterable[Sample]:
    return _sinks(lambda each: each.late_us(view.now()) / SECOND)(view)


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
    Row(
        "timed_events_from_disk", COUNTER, (), "Pages of events for followers that were not in memory any more.",
        _feed(lambda feed: feed.window.from_disk),
    ),
    Row("timed_subscriptions", GAUGE, (), "Who follows the events.", _feed(lambda feed: len(feed.hub))),
    Row("timed_subscriptions_ended", COUNTER, ("reason",), "Subscriptions that this side ended.", _ended),
    Row("timed_subscriptions_refused", COUNTER, ("rule",), "Subscriptions for which there was no room.", _refused),
    Row(
        "timed_sink_events", COUNTER, ("sink",), "Events that a sink has taken.",
        _sinks(lambda each: each.counters.events),
    ),
    Row(
        "timed_sink_batches", COUNTER, ("sink",), "Batches that a sink has taken.",
        _sinks(lambda each: each.counters.batches),
    ),
    Row(
        "timed_sink_failures", COUNTER, ("sink", "rule"), "Attempts after which a sink had not taken its batch.",
        _not_taken,
    ),
    Row(
        "timed_sink_lost", COUNTER, ("sink",), "Events that had left the log before a sink came to them.",
        _sinks(lambda each: each.counters.lost),
    ),
    Row(
        "timed_sink_behind", GAUGE, ("sink",), "Events in the log that a sink has not come to.",
        _sinks(lambda each: each.behind),
    ),
    Row(
        "timed_sink_late_seconds", GAUGE, ("sink",), "Age of the oldest event that a sink has not taken.", _late,
    ),
)  # fmt: skip
