"""The metrics of what answers RPC calls in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import attrs

from timed.monitor.row import COUNTER, GAUGE, Distribution, Durations, Row, Sample, Source, by, one
from timed.monitor.view import View
from timed.peer.costs import in_seconds

if TYPE_CHECKING:
    from timed.rpc.parts import Parts


def _of(source: Callable[[Parts], Iterable[Sample]]) -> Source:
    """What the parts tell; nothing while no rpc service runs here."""

    def read(view: View) -> Iterable[Sample]:
        parts = view.parts
        return [] if parts is None else source(parts)

    return read


def _waiting(parts: Parts) -> list[Sample]:
    found = {"turn": len(parts.toll.lanes), "event": len(parts.waiters)}
    if parts.reader is not None:
        found["reader"] = parts.reader.waiting
    if parts.link is not None:
        found["link"] = parts.link.under_way
    return by(found.items())


def _turned_away(parts: Parts) -> list[Sample]:
    found = {
        "budget": parts.toll.budgets.refused,
        "turn": parts.toll.lanes.refused,
        "event": parts.waiters.refused,
        "deadline": parts.toll.late,
    }
    if parts.authenticator is not None:
        found["password"] = parts.authenticator.refused
    return by(found.items())


def _readings(parts: Parts) -> list[Sample]:
    return [] if parts.reader is None else by(attrs.asdict(parts.reader.counters).items())


def _link(parts: Parts) -> list[Sample]:
    return [] if parts.link is None else by(sorted(parts.link.counters.items()))


def _durations(view: View) -> list[Distribution]:
    parts: Parts | None = getattr(view.rpc, "parts", None)
    return [] if parts is None else [((name,), each) for name, each in parts.activity.durations.items()]


def _reloads(view: View) -> list[Sample]:
    return [(key, float(count)) for key, count in sorted(view.context.reloads.counters.items())]


RPC_METRICS: tuple[Row | Durations, ...] = (
    Row("timed_rpc_calls", COUNTER, ("method",), "RPC calls by method.",
        _of(lambda parts: by(parts.activity.calls.items()))),
    Row("timed_rpc_errors", COUNTER, ("rule",), "RPC errors by rule.",
        _of(lambda parts: by(parts.activity.refused.items()))),
    Durations(
        "timed_rpc_seconds", ("method",), "Time from a call's beginning to its end, waiting included.", _durations
    ),
    Row("timed_rpc_cpu_seconds", COUNTER, ("method",),
        "CPU time of RPC calls by method, on the node's thread and the reader's; of light methods a sample, scaled.",
        _of(lambda parts: by(in_seconds(parts.activity.cpu).items()))),
    Row("timed_rpc_active", GAUGE, (), "RPC calls under way.", _of(lambda parts: one(len(parts.activity)))),
    Row("timed_rpc_waiting", GAUGE, ("what",),
        "RPC calls that wait: for their turn, an event, the reader's thread, or the chain process.", _of(_waiting)),
    Row("timed_rpc_turned_away", COUNTER, ("why",),
        "RPC calls that were not answered with a result for want of budget, room, time or a password.",
        _of(_turned_away)),
    Row("timed_rpc_connections", GAUGE, (), "Open HTTP connections of the RPC.",
        _of(lambda parts: one(None if parts.site is None else parts.site.connections))),
    Row("timed_rpc_connections_cut", COUNTER, ("why",), "HTTP connections and requests of the RPC that were cut.",
        _of(lambda parts: [] if parts.site is None else by(sorted(parts.site.counters.items())))),
    Row("timed_rpc_readings", COUNTER, ("step",), "Computations on the reader's thread, by what became of them.",
        _of(_readings)),
    Row("timed_rpc_snapshot_height", GAUGE, (), "The newest block that an RPC process can read.",
        _of(lambda parts: one(None if parts.probe is None else parts.probe.height))),
    Row("timed_rpc_link_up", GAUGE, (), "1 while an RPC process reaches its chain process.",
        _of(lambda parts: one(None if parts.link is None else int(parts.link.up)))),
    Row("timed_rpc_link", COUNTER, ("event",), "What happened on an RPC process's way to its chain process.",
        _of(_link)),
    Row("timed_profiles", COUNTER, ("event",),
        "Profiles taken, refused because one was under way, and ended early; looks; samples without a place.",
        _of(lambda parts: by(sorted(parts.profiler.counters.items())))),
    Row("timed_reloads", COUNTER, ("what", "outcome"), "Files read again with SIGHUP or reload.", _reloads),
    Row("timed_config_changes", COUNTER, ("what",), "Changes of the configuration while the node runs.",
        lambda view: by(view.context.live.counters.items())),
)  # fmt: skip
