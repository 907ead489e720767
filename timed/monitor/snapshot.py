"""One picture of the node a second, computed once and shared by everybody who looks.

Two forms: the open one holds what /metrics, /health and /alerts tell anybody who
reaches the port; the private one adds names, addresses and links, for viewers on
the node's own machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import attrs
import msgspec

from timed.monitor.alerts import Alarms
from timed.monitor.details import Traffic, details, traffic_of
from timed.monitor.health import OK, Board
from timed.monitor.metrics import METRICS
from timed.monitor.pulse import EVERY_S, LEAST_S, Pulse, Pulses, feel, percentile, rate, series, spreads
from timed.monitor.summary import Link, Summary, alert_lines
from timed.monitor.view import View
from timed.params import SECOND

if TYPE_CHECKING:
    from timed.node.node import Node

FRESH_S = 0.9
"""A picture younger than this is not taken anew, however many ask."""
MAX_SLOW = 10
"""Slow turns of the reactor in a picture, the newest."""
WITHHELD = "Names, addresses and log lines are shown on the node's own machine only."

Object = dict[str, Any]


class Others(Protocol):
    """`timed.monitor.neighbours.Neighbours`."""

    def rows(self) -> list[Object]: ...


@attrs.frozen
class Snapshot:
    """What was read at one moment, as JSON; `at_s` is on the monotonic clock."""

    at_s: float
    picture_open: bytes
    picture_private: bytes
    summary_open: bytes
    summary_private: bytes

    def picture(self, *, private: bool) -> bytes:
        return self.picture_private if private else self.picture_open

    def summary(self, *, private: bool) -> bytes:
        """The node's line among others."""
        return self.summary_private if private else self.summary_open


@attrs.frozen
class _Moment:
    """A moment to compare with: the table, and what went through each session."""

    pulse: Pulse
    traffic: Traffic


class Snapshots:
    """Takes pictures of one node; while nobody looks, one reading of the table in `EVERY_S` seconds."""

    def __init__(self, view: View, board: Board, alarms: Alarms, others: Others | None = None) -> None:
        self._view = view
        self._board = board
        self._alarms = alarms
        self._others = others
        self._pulses = Pulses()
        self._last: _Moment | None = None
        self._newest: Snapshot | None = None
        self.taken = 0
        """Pictures since the start."""

    def keep(self) -> None:
        """Remember this moment, for what comes to be compared with."""
        self._pulses.add(feel(METRICS, self._view, self._view.context.monotonic()))

    def newest(self) -> Snapshot:
        """The last picture, or a new one when that is not fresh any more."""
        now = self._view.context.monotonic()
        if self._newest is None or now - self._newest.at_s >= FRESH_S:
            self._newest = self._take(now)
        return self._newest

    def _take(self, now: float) -> Snapshot:
        view, node = self._view, self._view.node
        last = self._last
        if last is not None and not LEAST_S <= now - last.pulse.at_s <= EVERY_S:
            last = None
        pulse = feel(METRICS, view, now)
        before = last.pulse if last is not None else self._pulses.before(now)
        begin = self._pulses.begin(now)
        past, seconds = (last.traffic, now - last.pulse.at_s) if last is not None else ({}, 0.0)
        detail, traffic = self._details(node, past, seconds) if node is not None else (None, {})
        self._last = _Moment(pulse, traffic)
        self.taken += 1
        common = {
            "number": self.taken,
            "time": view.now() / SECOND,
            "network": view.context.params.name,
            "health": self._board.health()[1],
            "alerts": self._alarms.as_object(),
            "metrics": series(METRICS, pulse, before),
            "spreads": spreads(METRICS, pulse, begin),
            "slow": [turn.as_object() for turn in view.watch.turns.newest(MAX_SLOW)],
        }
        bare = self._summary(pulse, before, begin)
        full = msgspec.structs.replace(bare, links=_links(detail))
        others = self._others.rows() if self._others is not None else []
        strangers = [{**row, "summary": _bare(row["summary"])} for row in others]
        encode = msgspec.json.encode
        return Snapshot(
            now,
            encode({**common, "nodes": [_own(bare), *strangers], "details": None, "withheld": WITHHELD}),
            encode({**common, "nodes": [_own(full), *others], "details": detail, "withheld": None}),
            encode(bare),
            encode(full),
        )

    def _details(self, node: Node, past: Traffic, seconds: float) -> tuple[Object | None, Traffic]:
        """Details, and the traffic now; none when something raises: the rest of the picture says why."""
        view = self._view
        try:
            detail = details(node, view.watch.blocks, view.context.node_key.public, past, seconds)
            return detail, traffic_of(node)
        except Exception:  # noqa: BLE001 - see above
            view.watch.raised("reading the details of a picture")
            return None, {}

    def _summary(self, pulse: Pulse, before: Pulse | None, begin: Pulse | None) -> Summary:
        """The node in one line: what stands beside the same of other nodes."""
        health = self._board.health()[1]
        ((version, network, node_id),) = pulse.values["timed_info"]

        def share_of(metric: str, share: float, *labels: str) -> float | None:
            spread = pulse.spreads[metric].get(labels)
            past = None if begin is None else begin.spreads[metric].get(labels)
            return None if spread is None else percentile(spread.since(past), share)

        return Summary(
            node=node_id,
            name=self._view.context.config.settings.monitor.name,
            version=version,
            network=network,
            state=health["state"],
            failing=[name for name, check in health["checks"].items() if check["state"] != OK],
            alerts=alert_lines([alert.as_object() for alert in self._alarms.active()]),
            uptime=pulse.total("timed_uptime_seconds"),
            height=pulse.total("timed_height"),
            behind=pulse.total("timed_blocks_behind"),
            sessions=pulse.total("timed_sessions"),
            signing=pulse.total("timed_signing"),
            mempool=pulse.total("timed_mempool_transactions"),
            final_rate=_rate(pulse, before, "timed_transactions", "final"),
            certified_p50=share_of("timed_finality_seconds", 0.5, "certified"),
            final_p50=share_of("timed_finality_seconds", 0.5, "final"),
            final_p99=share_of("timed_finality_seconds", 0.99, "final"),
            late_p99=share_of("timed_reactor_late_seconds", 0.99),
            cpu=_rate(pulse, before, "timed_cpu_seconds"),
            memory=pulse.total("timed_memory_bytes", "resident"),
            log_rate=_rate(pulse, before, "timed_log_lines"),
        )


def _own(summary: Summary) -> Object:
    return {"own": True, "address": None, "age": 0.0, "error": None, "summary": summary}


def _rate(now: Pulse, before: Pulse | None, metric: str, *labels: str) -> float | None:
    value = now.total(metric, *labels)
    if value is None or before is None:
        return None
    return rate(now, before, value, before.total(metric, *labels) or 0.0)


def _links(detail: Object | None) -> list[Link]:
    rows = detail["peers"]["rows"] if detail is not None else []
    return [Link(row["node"], row["ping"], row["in_rate"], row["out_rate"]) for row in rows]


def _bare(summary: Summary | None) -> Summary | None:
    return None if summary is None else summary.without_links()
