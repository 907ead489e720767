"""Methods about the log of events."""

from __future__ import annotations

from typing import Any

from msgspec import Raw

from timed.errors import LocalError
from timed.feed.delivery import Delivery
from timed.feed.feed import Feed
from timed.feed.window import PAGE_EVENTS
from timed.params import SECOND
from timed.rpc.caller import Caller
from timed.rpc.environment import Environment
from timed.rpc.eventing import NEW_EVENT, explained, filter_of, no_feed
from timed.rpc.placing import anywhere
from timed.rpc.present import Object

MAX_LOOKED_AT = 20_000
"""Events that one call looks at; one whose filter passes few says `more`."""


@anywhere
async def getevents(
    env: Environment,
    after: str,
    types: tuple[str, ...],
    addresses: tuple[str, ...],
    limit: int,
    wait_s: int,
    caller: Caller,
) -> Object:
    """`wait_s` arrives in microseconds."""
    feed = feed_of(env)
    wanted = filter_of(env.params, types, addresses, caller)
    deadline = env.monotonic() + wait_s / SECOND
    try:
        sequence = feed.window.sequence_of(after)
        while True:
            found: list[Raw] = []
            looked_at = 0
            while len(found) < limit and looked_at < MAX_LOOKED_AT:
                events = feed.window.after(sequence, PAGE_EVENTS)
                if not events:
                    break
                for event in events:
                    sequence = event.sequence
                    looked_at += 1
                    if wanted.wants(event):
                        found.append(Raw(event.shown.text))
                        if len(found) == limit:
                            break
                await env.pause()
            more = sequence < feed.window.newest
            if found or more or not await _is_new(env, feed, sequence, deadline):
                return {"events": found, "cursor": feed.window.ends.cursor(sequence), "more": more}
    except LocalError as error:
        raise explained(error, feed) from error


@anywhere
async def geteventcursor(env: Environment, after: str, wait_s: int) -> Object:
    """`wait_s` arrives in microseconds."""
    feed = feed_of(env)
    try:
        sequence = feed.window.sequence_of(after)
        if wait_s:
            await _is_new(env, feed, sequence, env.monotonic() + wait_s / SECOND)
        ends, state = feed.window.ends, feed.window.state
    except LocalError as error:
        raise explained(error, feed) from error
    return {
        "cursor": ends.cursor(ends.newest),
        "oldest": ends.cursor(ends.first - 1),
        "count": ends.newest - ends.first + 1,
        "dropped": state.dropped if state is not None else 0,
        "bytes": state.size if state is not None else 0,
        "subscriptions": len(feed.hub),
        "failure": feed.failure(),
    }


@anywhere
def getsubscriptions(env: Environment) -> Object:
    feed = feed_of(env)
    now = env.monotonic()
    shown: list[Any] = [
        {
            "id": each.number,
            "kind": each.reader.kind,
            "user": each.client[0],
            "address": each.client[1],
            "types": sorted(each.wanted.types),
            "addresses": len(each.wanted.locks),
            "cursor": each.cursor,
            "behind": max(0, feed.window.newest - each.sequence),
            "acknowledged": each.acknowledged,
            "paused": each.held(),
            "waiting_bytes": each.waiting_bytes,
            "sent": each.sent,
            "since_s": int(now - each.since),
        }
        for each in feed.hub
    ]
    return {
        "subscriptions": shown,
        "ended": dict(feed.hub.ended),
        "refused": dict(feed.hub.refused),
        "sinks": [_sink(each, now) for each in feed.sinks],
    }


def _sink(delivery: Delivery, now: float) -> Object:
    sink, counters = delivery.sink, delivery.counters
    next_try = delivery.next_try
    return {
        "name": sink.name,
        "kind": sink.kind,
        "title": sink.title,
        "types": sorted(sink.wanted.types),
        "addresses": len(sink.wanted.locks),
        "cursor": delivery.cursor,
        "behind": delivery.behind,
        "state": delivery.state.value,
        "failure": delivery.failure,
        "attempt": delivery.attempt,
        "next_try_s": None if next_try is None else max(0, round(next_try - now)),
        "sent": counters.events,
        "batches": counters.batches,
        "failures": dict(counters.failures),
        "lost": counters.lost,
    }


def feed_of(env: Environment) -> Feed:
    """RpcError -28 where there are no events."""
    feed = env.feed()
    if feed is None:
        raise no_feed()
    return feed


async def _is_new(env: Environment, feed: Feed, sequence: int, deadline: float) -> bool:
    """Wait for an event after `sequence`; False when the time is over."""
    if feed.window.newest > sequence:
        return True
    left_us = int((deadline - env.monotonic()) * SECOND)
    if left_us <= 0:
        return False
    await env.waiters.wait(NEW_EVENT, lambda newest: True, left_us)
    return feed.window.newest > sequence


HANDLERS = {handler.__name__: handler for handler in (getevents, geteventcursor, getsubscriptions)}
