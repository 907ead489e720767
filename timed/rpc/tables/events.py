"""The methods about the log of events."""

from __future__ import annotations

from timed.rpc.method import ADMIN, Method, Param
from timed.rpc.schema import Array, Integer, Seconds, Text
from timed.rpc.tables.common import ADDRESS

MAX_EVENTS = 1_000
"""Events in one answer."""
MAX_WAIT_S = 600

AFTER = Text(32)
TYPES = Param(
    "types", Array(Text(32), 32), "Types and families, as transaction.final or block; none for all.", ()
)
ADDRESSES = Param(
    "addresses", Array(ADDRESS, 1_000), "Only transactions that give to or take from one of these.", ()
)

METHODS = (
    Method(
        "getevents",
        "events",
        "The events after a cursor, in their order; with wait_s it waits for one. See docs/events.rst.",
        "object: events (cursor, sequence, type, time_ms, data), cursor (to go on with), more (ask again at once)",
        (
            Param("after", AFTER, "A cursor, or oldest or newest.", "oldest"),
            TYPES,
            ADDRESSES,
            Param("limit", Integer(1, MAX_EVENTS), "Events at most.", 100),
            Param("wait_s", Seconds(MAX_WAIT_S), "Longest wait in seconds when there is none yet.", 0),
        ),
        example="""oldest '["block","transaction.final"]' '[]' 20""",
        more=("newest '[]' '[]' 100 0.1",),
        told_caller=True,
        cost=20,
        patient=True,
    ),
    Method(
        "geteventcursor",
        "events",
        "Where the log of events begins and ends. With after and wait_s it waits until there is something newer.",
        "object: cursor (of the newest event), oldest (to go on from for all there is), count, dropped, bytes, "
        "subscriptions, failure",
        (
            Param("after", AFTER, "A cursor.", "oldest"),
            Param("wait_s", Seconds(MAX_WAIT_S), "Longest wait in seconds.", 0),
        ),
        example="",
        more=("newest 0.1",),
        patient=True,
    ),
    Method(
        "getsubscriptions",
        "events",
        "Who follows the events over server-sent events and WebSockets at this process, and what it hands them to.",
        "object: subscriptions (id, kind, user, address, types, addresses, cursor, behind, acknowledged, paused, "
        "waiting_bytes, sent, since_s), ended and refused (counts by reason), sinks (name, kind, title, types, addresses, "
        "cursor, behind, state, failure, attempt, next_try_s, sent, batches, failures, lost)",
        permission=ADMIN,
    ),
)
