"""Methods about the time of this process: what takes it, and which turns were slow."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import attrs

from timed.errors import LocalError
from timed.monitor.histogram import Histogram
from timed.monitor.lateness import Pauses
from timed.monitor.profiler import Sampled, Stopped
from timed.monitor.stacks import StackCounts
from timed.monitor.turns import MAX_TURNS, SLOW_S
from timed.monitor.watch import Watch
from timed.peer.costs import NS_PER_S
from timed.rpc.dispatch import Handler
from timed.rpc.environment import Environment
from timed.rpc.errors import Busy, no_monitor, stopping
from timed.rpc.placing import anywhere
from timed.rpc.present import Object

RETRY_AFTER_S = 1
Counts = Mapping[str, int]


@attrs.frozen
class Counters:
    """What the counters of this process show: CPU time in nanoseconds, and how often."""

    process_s: float
    messages: Counts
    received: Counts
    calls: Counts
    methods: Counts
    asked: Counts

    @classmethod
    def read(cls, env: Environment) -> Counters:
        """At this moment."""
        peering, backend = env.peering, env.backend
        meter = None if backend is None else backend.driver.meter
        return cls(
            time.process_time(),
            {} if peering is None else dict(peering.table.costs.spent),
            {} if peering is None else peering.traffic().received,
            {} if meter is None else dict(meter.spent),
            dict(env.parts.activity.cpu),
            dict(env.parts.activity.calls),
        )

    def since(self, before: Counters) -> Counters:
        """What has come to them since then."""
        return Counters(
            self.process_s - before.process_s,
            _grown(self.messages, before.messages),
            _grown(self.received, before.received),
            _grown(self.calls, before.calls),
            _grown(self.methods, before.methods),
            _grown(self.asked, before.asked),
        )


def _grown(now: Counts, before: Counts) -> Counts:
    """What is more than before, and by how much."""
    return {name: more for name, count in now.items() if (more := count - before.get(name, 0))}


@anywhere
async def getprofile(env: Environment, seconds: int, hz: int) -> Object:
    before, begun_us = Counters.read(env), _now_us(env)
    try:
        sampled = await env.parts.profiler.take(seconds, hz)
    except Stopped as error:
        raise stopping() from error
    except LocalError as error:
        raise Busy(503, RETRY_AFTER_S, error.message, rule="profile-running", hint=error.hint) from error
    spent = Counters.read(env).since(before)
    return {
        "process": "rpc" if env.backend is None else "node",
        "seconds": round(sampled.seconds, 3),
        "hz": sampled.hz,
        "looks": sampled.looks,
        "missed": sampled.missed,
        "cost": round(sampled.cost_s, 6),
        "cpu": round(spent.process_s, 6),
        "threads": _threads(sampled),
        **_stacks(sampled.stacks),
        "beyond": sampled.stacks.beyond.total(),
        "messages": _rows("type", spent.messages, spent.received),
        "calls": _rows("call", spent.calls),
        "methods": _rows("method", spent.methods, spent.asked),
        "pauses": _pauses(sampled.pauses),
        "slow": _slow(env.watch(), begun_us),
    }


def _now_us(env: Environment) -> int:
    """Only turns that end later are of this profile."""
    watch = env.watch()
    return 0 if watch is None else watch.turns.now()


def _threads(sampled: Sampled) -> list[Object]:
    stacks = sampled.stacks
    return [
        {
            "name": name,
            "samples": count,
            "waiting": stacks.waiting[name],
            "cpu": sampled.cpu_s.get(name),
        }
        for name, count in sorted(
            stacks.samples.items(), key=lambda each: (stacks.waiting[each[0]] - each[1], each[0])
        )
    ]


def _stacks(stacks: StackCounts) -> Object:
    """Each function once in `frames`; a stack is their numbers, from the outermost inwards."""
    numbers: dict[str, int] = {}
    shown = [
        {
            "thread": thread,
            "frames": [numbers.setdefault(name, len(numbers)) for name in names],
            "samples": count,
        }
        for thread, names, count in stacks.folded()
    ]
    return {"frames": list(numbers), "stacks": shown}


def _rows(title: str, cpu: Counts, counts: Counts | None = None) -> list[Object]:
    """Most CPU first; of what is counted also how often."""
    found: list[Object] = []
    for name in cpu.keys() | (counts or {}).keys():
        row: Object = {title: name, "cpu": cpu.get(name, 0) / NS_PER_S}
        if counts is not None:
            row["count"] = counts.get(name, 0)
        found.append(row)
    return sorted(found, key=lambda row: (-row["cpu"], row[title]))


def _pauses(pauses: Pauses) -> list[Object]:
    return [
        {"generation": generation, "count": each.count, "seconds": round(each.sum, 6)}
        for generation, each in pauses.by_generation.items()
    ]


def _slow(watch: Watch | None, since_us: int = -1) -> list[Object] | None:
    """The slow turns, newest first; None where nobody looks at them."""
    if watch is None:
        return None
    return [
        {**turn.as_object(), "stack": list(turn.stack)}
        for turn in reversed(watch.turns.kept)
        if turn.ended_us > since_us
    ]


@anywhere
def getreactorinfo(env: Environment) -> Object:
    watch = env.watch()
    if watch is None:
        raise no_monitor("Nothing watches the reactor here")
    return {
        "late": _spread(watch.lateness.late),
        "pauses": [
            {"generation": generation, **_spread(each)}
            for generation, each in watch.pauses.by_generation.items()
        ],
        "slow": _slow(watch),
        "slow_counts": dict(sorted(watch.turns.counts.items())),
        "slow_seconds": SLOW_S,
        "most": MAX_TURNS,
    }


def _spread(found: Histogram) -> Object:
    """Percentiles are bounds of buckets; null without values, or above the last bound."""
    shares: dict[str, Any] = {}
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        bound = found.quantile(share)
        shares[name] = None if bound in (None, float("inf")) else bound
    return {"count": found.count, "seconds": round(found.sum, 6), **shares}


HANDLERS: dict[str, Handler] = {"getprofile": getprofile, "getreactorinfo": getreactorinfo}
