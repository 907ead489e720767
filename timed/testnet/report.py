"""What a run of a test network saw, for people and as one JSON object."""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Sequence
from typing import Any

import attrs

from timed.testnet.layout import NodePlan
from timed.testnet.process import NodeProcess

INFO_LINE = re.compile(r"^\S+Z info ", re.MULTILINE)
LOST_LINE = re.compile(r"session with (?P<peer>[0-9a-f]{64}) at \S+ was lost: ")


@attrs.define
class NodeFigures:
    """What was measured at one node; times in milliseconds."""

    plan: NodePlan
    to_final: list[float] = attrs.field(factory=list)
    to_confirmed: list[float] = attrs.field(factory=list)
    peers: int = 0
    height: int = 0
    lost: int = 0
    info_lines: int = 0


@attrs.define
class Report:
    """The answer of `timed-testnet up`; None where a question was not asked."""

    nodes: int
    members: int
    interval: int
    connected: bool = False
    payments: int = 0
    final_everywhere: bool = False
    confirmed_everywhere: bool = False
    to_certified: list[float] = attrs.field(factory=list)
    killed_node_recovered: bool | None = None
    late_joiner_synced: bool | None = None
    roots_equal: bool | None = None
    reconnects: int = 0
    blocks: int = 0
    seconds: float = 0.0
    error: str = ""
    figures: list[NodeFigures] = attrs.field(factory=list)

    @property
    def held(self) -> bool:
        """Whether everything that was asked was answered with yes."""
        asked = (self.killed_node_recovered, self.late_joiner_synced, self.roots_equal)
        done = self.connected and self.final_everywhere and self.confirmed_everywhere
        return (
            done and not self.error and self.reconnects == 0 and all(answer is not False for answer in asked)
        )

    def last_line(self) -> str:
        """The JSON object; latencies in milliseconds."""
        finals = [time for figures in self.figures for time in figures.to_final]
        confirmed = [time for figures in self.figures for time in figures.to_confirmed]
        fields: dict[str, Any] = {
            "nodes": self.nodes,
            "members": self.members,
            "interval": self.interval,
            "held": self.held,
            "connected": self.connected,
            "payments": self.payments,
            "final_everywhere": self.final_everywhere,
            "confirmed_everywhere": self.confirmed_everywhere,
            "ms_to_certified_p50": median(self.to_certified),
            "ms_to_final_p50": median(finals),
            "ms_to_final_max": largest(finals),
            "ms_to_confirmed_p50": median(confirmed),
            "killed_node_recovered": self.killed_node_recovered,
            "late_joiner_synced": self.late_joiner_synced,
            "roots_equal": self.roots_equal,
            "reconnects": self.reconnects,
            "blocks": self.blocks,
            "log_lines_info": sum(figures.info_lines for figures in self.figures),
            "seconds": round(self.seconds, 1),
        }
        if self.error:
            fields["error"] = self.error.splitlines()[0]
        return json.dumps(fields)

    def table(self) -> list[str]:
        """Lines of a table, one per node, and a summary."""
        head = (
            "node",
            "role",
            "peers",
            "height",
            "final p50",
            "final max",
            "confirmed",
            "lost",
            "info",
            "rpc",
            "monitor",
        )
        rows = [head]
        for figures in self.figures:
            plan = figures.plan
            rows.append(
                (
                    plan.name,
                    "member" if plan.member else "follower",
                    str(figures.peers),
                    str(figures.height),
                    shown(median(figures.to_final), "ms"),
                    shown(largest(figures.to_final), "ms"),
                    shown(median(figures.to_confirmed), "ms"),
                    str(figures.lost),
                    str(figures.info_lines),
                    plan.rpc_url,
                    plan.monitor_url,
                )
            )
        widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        certified = shown(median(self.to_certified), "ms")
        lines.append(
            f"{self.payments} payments, certified after {certified} at the payer; "
            f"{self.blocks} blocks; {self.reconnects} reconnects"
        )
        return lines


def median(values: Sequence[float]) -> float | None:
    return round(statistics.median(values), 1) if values else None


def largest(values: Sequence[float]) -> float | None:
    return round(max(values), 1) if values else None


def shown(value: float | None, unit: str) -> str:
    return "-" if value is None else f"{value:.0f} {unit}"


def info_lines(process: NodeProcess) -> int:
    """Lines of level info in the log of one node."""
    return len(INFO_LINE.findall(process.log_text()))


def lost_sessions(process: NodeProcess) -> list[str]:
    """Node id of the peer of every session that ended although both ends wanted it."""
    return [match["peer"] for match in LOST_LINE.finditer(process.log_text())]
