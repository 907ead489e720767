"""Methods about this process: the calls it answers and the memory it holds."""

from __future__ import annotations

import gc
from collections.abc import Iterable
from itertools import chain, islice
from typing import Any

import attrs

from timed.errors import LocalError
from timed.monitor.process import memory_now
from timed.params import SECOND
from timed.rpc import chainlink, failures, lanes, reader, waiting
from timed.rpc.activity import Activity, Call
from timed.rpc.budget import MAX_CLIENTS
from timed.rpc.dispatch import Handler
from timed.rpc.environment import Environment
from timed.rpc.errors import MISC, RpcError
from timed.rpc.owners import Owner, owners_of_feed, owners_of_node, owners_of_recorder, owners_of_rpc
from timed.rpc.parts import Parts
from timed.rpc.placing import anywhere
from timed.rpc.present import Object

MAX_SHOWN = 500
"""Calls under way that are shown, the oldest; `active` counts all."""


@anywhere
def getrpcinfo(env: Environment) -> Object:
    parts = env.parts
    activity, toll = parts.activity, parts.toll
    return {
        "active_commands": [_call(call, activity) for call in islice(activity, MAX_SHOWN)],
        "active": len(activity),
        "calls": activity.calls.total(),
        "errors": dict(sorted(activity.refused.items())),
        "turns": {
            "waiting": len(toll.lanes),
            "most": lanes.MAX_QUEUED,
            "waited": toll.lanes.waited,
            "refused": toll.lanes.refused,
        },
        "budgets": {
            "per_second": toll.budgets.per_second,
            "clients": len(toll.budgets),
            "most": MAX_CLIENTS,
            "slowed": toll.budgets.slowed,
            "refused": toll.budgets.refused,
        },
        "deadline": {"seconds": toll.deadline_s, "late": toll.late},
        "waiters": {
            "waiting": len(parts.waiters),
            "most": waiting.MAX_WAITERS,
            "refused": parts.waiters.refused,
        },
        "reader": _reader(parts),
        "link": _link(parts),
        "local": None if parts.local is None else dict(sorted(parts.local.counters.items())),
        "http": _http(parts),
        "authentication": _authentication(parts),
    }


def _call(call: Call, activity: Activity) -> Object:
    return {
        "number": call.number,
        "method": call.method,
        "duration": activity.age_us(call),
        "since": activity.since(call),
        "user": call.caller.user,
        "address": call.caller.address,
        "lane": call.lane,
        "state": call.state,
    }


def _reader(parts: Parts) -> Object | None:
    found = parts.reader
    if found is None:
        return None
    return {
        "waiting": found.waiting,
        "most": reader.MAX_WAITING,
        "under_way": found.under_way,
        "most_under_way": reader.MAX_AT_ONCE,
        **attrs.asdict(found.counters),
    }


def _link(parts: Parts) -> Object | None:
    link = parts.link
    if link is None:
        return None
    counters = dict(sorted(link.counters.items()))
    return {"up": link.up, "under_way": link.under_way, "most": chainlink.MAX_CALLS, "counters": counters}


def _http(parts: Parts) -> Object | None:
    site = parts.site
    if site is None:
        return None
    return {
        "connections": site.connections,
        "most": site.max_connections,
        "counters": dict(sorted(site.counters.items())),
    }


def _authentication(parts: Parts) -> Object | None:
    authenticator = parts.authenticator
    if authenticator is None:
        return None
    return {
        "refused": authenticator.refused,
        "held": authenticator.failures.held,
        "most_held": failures.MAX_HELD,
        "turned_away": authenticator.failures.turned_away,
    }


@anywhere
async def getmemoryinfo(env: Environment) -> Object:
    """The store is asked last, on the reader's thread, since only it may open another process's files."""
    feed = env.feed()
    owners: Iterable[Owner] = chain(() if feed is None else owners_of_feed(feed), owners_of_rpc(env.parts))
    if env.backend is not None:
        driver = env.backend.driver
        owners = chain(owners_of_node(driver), owners_of_recorder(driver), owners)
    shown = [attrs.asdict(owner) for owner in owners]
    return {
        "process": memory_now(),
        "owners": shown,
        "gc": {
            "enabled": gc.isenabled(),
            "threshold": list(gc.get_threshold()),
            "count": list(gc.get_count()),
            "frozen": gc.get_freeze_count(),
            "generations": gc.get_stats(),
        },
        "store": await _store(env),
    }


async def _store(env: Environment) -> Any:
    """How much of its address space the database uses; None while there is none, or one without a file."""
    if env.reader is None:
        return None
    try:
        used = await env.read(lambda snapshot: snapshot.store.usage())
    except LocalError:
        # An RPC process whose chain process has not made a store yet.
        return None
    return None if used is None else attrs.asdict(used)


async def dumprecording(env: Environment, why: str) -> Object:
    try:
        saved = await env.record(why)
    except LocalError as error:
        raise RpcError(MISC, error.message, rule="no-recording", hint=error.hint) from error
    return {
        "path": str(saved.path),
        "bytes": saved.size,
        "from": saved.began / SECOND,
        "to": saved.ended / SECOND,
        "seconds": (saved.ended - saved.began) / SECOND,
    }


HANDLERS: dict[str, Handler] = {
    "getrpcinfo": getrpcinfo,
    "getmemoryinfo": getmemoryinfo,
    "dumprecording": dumprecording,
}
