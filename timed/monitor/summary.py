"""A node in one line: what /summary says, and what is believed of another node's answer."""

from __future__ import annotations

from typing import Any

import msgspec

MAX_BYTES = 256 * 1024
"""Of another node's summary."""
MAX_TEXT = 400
"""Characters of each text in it."""
MAX_LISTED = 600
"""Alerts, failing checks or links."""


class Link(msgspec.Struct):
    """A session: whom with, round trip in seconds, bytes per second each way."""

    node: str
    ping: float | None = None
    in_rate: float | None = None
    out_rate: float | None = None


class AlertLine(msgspec.Struct):
    """An alert that lasts, as `timed.monitor.alerts.Alert.as_object` has it; times are unix seconds."""

    name: str
    severity: str
    since: int
    summary: str
    remedy: str = ""
    runbook: str = ""


class Summary(msgspec.Struct, omit_defaults=False):
    """Figures are None while they are not known; times are seconds, rates per second."""

    node: str
    name: str
    version: str
    network: str
    state: str
    failing: list[str]
    alerts: list[AlertLine]
    uptime: float | None = None
    height: float | None = None
    behind: float | None = None
    sessions: float | None = None
    signing: float | None = None
    mempool: float | None = None
    final_rate: float | None = None
    certified_p50: float | None = None
    final_p50: float | None = None
    final_p99: float | None = None
    late_p99: float | None = None
    cpu: float | None = None
    memory: float | None = None
    log_rate: float | None = None
    links: list[Link] | msgspec.UnsetType = msgspec.UNSET
    """Left out where names are not shown."""

    def without_links(self) -> Summary:
        """What anybody may see."""
        return msgspec.structs.replace(self, links=msgspec.UNSET)


def parse(data: bytes) -> Summary:
    """Another node's summary; ValueError for anything else, or for more than a page can show."""
    try:
        summary = msgspec.json.decode(data, type=Summary)
    except RecursionError as error:
        raise ValueError("a summary that is too deep") from error
    links = [] if summary.links is msgspec.UNSET else summary.links
    texts = [summary.node, summary.name, summary.version, summary.network, summary.state, *summary.failing]
    for alert in summary.alerts:
        texts += [alert.name, alert.severity, alert.summary, alert.remedy, alert.runbook]
    if max(len(summary.failing), len(summary.alerts), len(links)) > MAX_LISTED or any(
        len(text) > MAX_TEXT for text in texts
    ):
        raise ValueError("a summary that is too long")
    return summary


def alert_lines(alerts: list[dict[str, Any]]) -> list[AlertLine]:
    """Out of the objects that /alerts shows."""
    return [msgspec.convert(alert, AlertLine) for alert in alerts]
