"""etc/grafana/timed.json: a dashboard for Grafana out of the table of metrics.

`python -m timed.monitor` writes it; a test compares. A panel names metrics of the
table only: one that is not there, or has another type or label, raises.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import attrs

from timed.monitor.metrics import ROWS
from timed.monitor.row import COUNTER, GAUGE, HISTOGRAM

WIDTH, HEIGHT = 8, 7
"""A panel's size; the grid is 24 wide."""
STAT_HEIGHT = 4
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
HERE = 'instance=~"$instance"'
WINDOW = "$__rate_interval"
SCHEMA = 39
"""Grafana's version of the file's layout, of Grafana 10 and later."""


@attrs.frozen
class Query:
    """One line of a panel: PromQL, and how its series are called."""

    expr: str
    legend: str


def _check(name: str, kind: str, labels: Sequence[str]) -> None:
    row = ROWS[name]
    if row.type != kind or not set(labels) <= set(row.labels):
        raise KeyError(f"{name} is a {row.type} with labels {row.labels}, not a {kind} with {tuple(labels)}")


def gauge(name: str, *labels: str) -> Query:
    """A gauge of each node, summed over its other labels."""
    _check(name, GAUGE, labels)
    return _by(f"{name}{{{HERE}}}", labels)


def rate(name: str, *labels: str) -> Query:
    """What a counter grows by in a second."""
    _check(name, COUNTER, labels)
    return _by(f"rate({name}_total{{{HERE}}}[{WINDOW}])", labels)


def quantile(name: str, share: float, *labels: str) -> Query:
    """The bound under which a share of the durations of the last minutes lie."""
    _check(name, HISTOGRAM, labels)
    by = ", ".join(("instance", "le", *labels))
    legend = " ".join(f"{{{{{label}}}}}" for label in ("instance", *labels))
    inner = f"sum by ({by}) (rate({name}_bucket{{{HERE}}}[{WINDOW}]))"
    return Query(f"histogram_quantile({share}, {inner})", f"{legend} {share:.0%}")


def _by(inner: str, labels: Sequence[str]) -> Query:
    legend = " ".join(f"{{{{{label}}}}}" for label in ("instance", *labels))
    return Query(f"sum by ({', '.join(('instance', *labels))}) ({inner})", legend)


@attrs.frozen
class Panel:
    """`unit` is one of Grafana's names; a stat shows its last value large."""

    title: str
    queries: tuple[Query, ...]
    unit: str = "short"
    about: str = ""
    stat: bool = False


def _worst() -> Query:
    _check("timed_check_state", GAUGE, ("check",))
    return Query(f"max by (instance) (timed_check_state{{{HERE}}})", "{{instance}}")


def _late_blocks() -> Query:
    _check("timed_tip_time_seconds", GAUGE, ())
    return Query(f"time() - timed_tip_time_seconds{{{HERE}}}", "{{instance}}")


SECTIONS: tuple[tuple[str, tuple[Panel, ...]], ...] = (
    (
        "At a glance",
        (
            Panel("Worst check", (_worst(),), about="0 ok, 1 degraded, 2 failed.", stat=True),
            Panel("Height", (gauge("timed_height"),), stat=True),
            Panel("Peers", (gauge("timed_sessions"),), stat=True),
            Panel("Age of the newest block", (_late_blocks(),), "s", stat=True),
            Panel("Weight above a quorum", (gauge("timed_quorum_margin"),), stat=True,
                  about="Below 0 nothing can be certified."),
            Panel("Weight that may still lie", (gauge("timed_safety_margin"),), stat=True),
            Panel("Checks that are not ok", (gauge("timed_check_state", "check"),)),
            Panel("Blocks behind", (gauge("timed_blocks_behind"),)),
            Panel("Members away", (gauge("timed_members_missing", "member"),)),
            Panel("Members missed", (gauge("timed_members_missed", "member"),),
                  about="Certificates in a row without their signature: 6 or more."),
        ),
    ),
    (
        "Chain and finality",
        (
            Panel("Time to each stage, half of all payments", (quantile("timed_finality_seconds", 0.5, "stage"),), "s"),
            Panel("Time to each stage, 99 of 100", (quantile("timed_finality_seconds", 0.99, "stage"),), "s"),
            Panel("Payments by step", (rate("timed_transactions", "step"),), "ops"),
            Panel("Blocks", (rate("timed_blocks", "how"),), "ops"),
            Panel("Mempool", (gauge("timed_mempool_transactions"),)),
            Panel("Round of the current height", (gauge("timed_round"),)),
            Panel("Equivocations and double spends", (rate("timed_equivocations"), rate("timed_double_spends")), "ops"),
            Panel("Refused, by rule", (rate("timed_refused", "what", "rule"),), "ops"),
        ),
    ),
    (
        "Peers",
        (
            Panel("Sessions", (gauge("timed_sessions", "direction"),)),
            Panel("Traffic", (rate("timed_socket_bytes", "direction"),), "Bps"),
            Panel("Messages by type", (rate("timed_messages", "type", "direction"),), "ops"),
            Panel("CPU by type of message", (rate("timed_message_cpu_seconds", "type"),), "percentunit"),
            Panel("Waiting for peers", (gauge("timed_queue_bytes", "class"),), "bytes"),
            Panel("Sessions lost", (rate("timed_reconnects"), rate("timed_sessions_closed")), "ops"),
            Panel("Dials that failed", (rate("timed_dials_failed", "reason"),), "ops"),
            Panel("Verdicts of conduct", (rate("timed_conduct_verdicts", "verdict", "done"),), "ops"),
            Panel("Clock offset", (gauge("timed_clock_offset_seconds"),), "s"),
        ),
    ),
    (
        "Disk",
        (
            Panel("Durable steps, half of all", (quantile("timed_store_seconds", 0.5, "kind"),), "s"),
            Panel("Durable steps, 99 of 100", (quantile("timed_store_seconds", 0.99, "kind"),), "s"),
            Panel("Durable steps", (rate("timed_store_writes", "kind"),), "ops"),
            Panel("Waiting for the disk", (gauge("timed_store_waiting_bytes"),), "bytes"),
            Panel("Free where the data is", (gauge("timed_disk_free_bytes"),), "bytes"),
            Panel("Writes the disk refused", (rate("timed_store_failures"),), "ops"),
        ),
    ),
    (
        "Process",
        (
            Panel("CPU", (rate("timed_cpu_seconds"),), "percentunit"),
            Panel("Memory", (gauge("timed_memory_bytes", "kind"),), "bytes"),
            Panel("Event loop late, 99 of 100", (quantile("timed_reactor_late_seconds", 0.99),), "s"),
            Panel("Collector pauses, 99 of 100", (quantile("timed_gc_pause_seconds", 0.99, "generation"),), "s"),
            Panel("File descriptors", (gauge("timed_descriptors"), gauge("timed_descriptors_limit"))),
            Panel("Signatures checked", (rate("timed_verifier_items"),), "ops"),
            Panel("Log lines", (rate("timed_log_lines", "level"),), "ops"),
            Panel("Internal errors", (rate("timed_faults"),), "ops"),
            Panel("Loops that get nowhere", (gauge("timed_loop_age_seconds", "loop"),), "s"),
            Panel("Loops begun again", (rate("timed_loop_restarts", "loop"),), "ops"),
        ),
    ),
    (
        "RPC",
        (
            Panel("Calls", (rate("timed_rpc_calls", "method"),), "ops"),
            Panel("Time of a call, 99 of 100", (quantile("timed_rpc_seconds", 0.99, "method"),), "s"),
            Panel("Errors", (rate("timed_rpc_errors", "rule"),), "ops"),
            Panel("Connections", (gauge("timed_rpc_connections"),)),
        ),
    ),
)  # fmt: skip


def queries() -> list[str]:
    """Every PromQL expression, with Grafana's variables filled in: all nodes, five minutes."""
    found = [query.expr for _, panels in SECTIONS for panel in panels for query in panel.queries]
    return [text.replace("$instance", ".*").replace(WINDOW, "5m") for text in found]


def dashboard() -> str:
    """The text of etc/grafana/timed.json."""
    shown: list[dict[str, Any]] = []
    top = 0
    for title, panels in SECTIONS:
        shown.append(_row(len(shown) + 1, title, top))
        top += 1
        left = height = 0
        for panel in panels:
            width = WIDTH // 2 if panel.stat else WIDTH
            if left + width > 24 or (left and height != _height(panel)):
                top, left = top + height, 0
            height = _height(panel)
            place = {"x": left, "y": top, "w": width, "h": height}
            shown.append(_panel(len(shown) + 1, panel, place))
            left += width
        top += height
    return json.dumps(_page(shown), indent=1) + "\n"


def _height(panel: Panel) -> int:
    return STAT_HEIGHT if panel.stat else HEIGHT


def _row(number: int, title: str, top: int) -> dict[str, Any]:
    place = {"x": 0, "y": top, "w": 24, "h": 1}
    return {"id": number, "type": "row", "title": title, "gridPos": place, "collapsed": False, "panels": []}


def _panel(number: int, panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    targets = [
        {
            "refId": chr(ord("A") + index),
            "datasource": DATASOURCE,
            "expr": query.expr,
            "legendFormat": query.legend,
        }
        for index, query in enumerate(panel.queries)
    ]
    return {
        "id": number,
        "type": "stat" if panel.stat else "timeseries",
        "title": panel.title,
        "description": panel.about,
        "datasource": DATASOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
        "options": {"reduceOptions": {"calcs": ["lastNotNull"]}} if panel.stat else {},
        "targets": targets,
    }


def _page(panels: list[dict[str, Any]]) -> dict[str, Any]:
    variables = [
        {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"},
        {
            "name": "instance", "type": "query", "label": "Node", "datasource": DATASOURCE,
            "query": "label_values(timed_info, instance)", "refresh": 2, "multi": True, "includeAll": True,
            "allValue": ".*", "current": {"text": "All", "value": "$__all"},
        },
    ]  # fmt: skip
    return {
        "uid": "timed",
        "title": "TIME Coin nodes",
        "tags": ["timed"],
        "schemaVersion": SCHEMA,
        "editable": True,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": variables},
        "panels": panels,
    }
