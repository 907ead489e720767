"""What a run of a test network saw, for people and as one JSON object."""

from __future__ import annotations

import json
import re
import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
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
    memory_mb: float = 0.0
    """Anonymous memory of the process, as of the last look."""


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
            "memory_mb_max": largest([figures.memory_mb for figures in self.figures]),
            "seconds": round(self.seconds, 1),
        }
        if self.error:
            fields["error"] = self.error.splitlines()[0]
        return json.dumps(fields)

    def table(self) -> list[str]:
        """Lines of a table, one per node, and a summary."""
        rows = [[title for title, _ in COLUMNS]]
        rows += [[cell(figures) for _, cell in COLUMNS] for figures in self.figures]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        certified = shown(median(self.to_certified))
        lines.append(
            f"{self.payments} payments, certified after {certified} at the payer; "
            f"{self.blocks} blocks; {self.reconnects} reconnects"
        )
        return lines


def median(values: Sequence[float]) -> float | None:
    return round(statistics.median(values), 1) if values else None


def largest(values: Sequence[float]) -> float | None:
    return round(max(values), 1) if values else None


def shown(milliseconds: float | None) -> str:
    return "-" if milliseconds is None else f"{milliseconds:.0f} ms"


COLUMNS: tuple[tuple[str, Callable[[NodeFigures], str]], ...] = (
    ("node", lambda figures: figures.plan.name),
    ("role", lambda figures: "member" if figures.plan.member else "follower"),
    ("peers", lambda figures: str(figures.peers)),
    ("height", lambda figures: str(figures.height)),
    ("final p50", lambda figures: shown(median(figures.to_final))),
    ("final max", lambda figures: shown(largest(figures.to_final))),
    ("confirmed", lambda figures: shown(median(figures.to_confirmed))),
    ("lost", lambda figures: str(figures.lost)),
    ("info", lambda figures: str(figures.info_lines)),
    ("memory", lambda figures: f"{figures.memory_mb:.0f} MB"),
    ("rpc", lambda figures: figures.plan.rpc_url),
    ("monitor", lambda figures: figures.plan.monitor_url),
)


def info_lines(process: NodeProcess) -> int:
    """Lines of level info in the log of one node."""
    return len(INFO_LINE.findall(process.log_text()))


def log_lines(process: NodeProcess) -> int:
    """Lines of any level in the log of one node."""
    return process.log_text().count("\n")


def lost_sessions(process: NodeProcess) -> Counter[str]:
    """By the peer's node id: sessions of one node that ended although both ends wanted them."""
    return Counter(match["peer"] for match in LOST_LINE.finditer(process.log_text()))


def ended_sessions(lost: Mapping[str, Mapping[str, int]]) -> int:
    """How many sessions the nodes' `lost_sessions` tell of: both ends of one may have noticed."""
    pairs = {tuple(sorted((node, peer))) for node, peers in lost.items() for peer in peers}
    return sum(max(lost.get(one, {}).get(two, 0), lost.get(two, {}).get(one, 0)) for one, two in pairs)
