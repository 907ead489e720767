"""What `timed-testnet verify` found: the same messages the old way and the new way."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import attrs

from timed.bench.report import Goal, table


@attrs.frozen
class Way:
    """One way of carrying the messages; all nodes together."""

    log_lines: int
    cpu: float
    """CPU seconds of the threads that run the reactors."""
    bytes: int
    broadcast_p50_ms: float
    """100 kB to 50 peers, until the last has it."""
    reconnects: int
    sync_blocks_per_s: float
    seconds: float
    """How long the network took for the messages."""
    hot_bytes: Mapping[str, int]
    """Mean bytes of a message on the wire, by type."""
    refused: int = 0
    """Payments that a node did not take."""
    missing: int = 0
    """Payments that never became final everywhere."""


@attrs.frozen
class Row:
    """One figure of the comparison; `key` is its attribute of `Way` and its name in the JSON object."""

    key: str
    title: str
    unit: str
    more_is_better: bool = False

    @property
    def heading(self) -> str:
        return f"{self.title}, {self.unit}" if self.unit else self.title


ROWS = (
    Row("log_lines", "log lines", ""),
    Row("cpu", "CPU of the network threads", "s"),
    Row("bytes", "bytes on the wire", ""),
    Row("broadcast_p50_ms", "broadcast of 100 kB to 50 peers, p50", "ms"),
    Row("reconnects", "reconnects", ""),
    Row("sync_blocks_per_s", "block sync", "blocks/s", more_is_better=True),
)


def ratio(before: float, after: float) -> float | None:
    """after / before; 1 when nothing was and nothing is, None when nothing was and something is."""
    if before:
        return after / before
    return None if after else 1.0


@attrs.frozen
class Comparison:
    """Both ways for the same number of messages."""

    messages: int
    before: Way
    after: Way

    def ratio(self, row: Row) -> float | None:
        return ratio(*self.values(row))

    def values(self, row: Row) -> tuple[float, float]:
        """Before and after."""
        return float(getattr(self.before, row.key)), float(getattr(self.after, row.key))

    def rows(self) -> list[tuple[str, float, float, float | None]]:
        """Each figure with its heading, before, after, and after / before; then the sizes of single messages."""
        sizes, ratios = (self.before.hot_bytes, self.after.hot_bytes), self.hot_ratios()
        return [
            *((row.heading, *self.values(row), self.ratio(row)) for row in ROWS),
            *(
                (f"bytes of a {name}", float(sizes[0][name]), float(sizes[1][name]), share)
                for name, share in ratios.items()
            ),
        ]

    def hot_ratios(self) -> dict[str, float]:
        """Bytes after / before of each type that both ways sent."""
        after = self.after.hot_bytes
        return {name: after[name] / size for name, size in self.before.hot_bytes.items() if name in after}

    def goals(self) -> list[Goal]:
        """What the new way has to reach."""
        before, after = self.before, self.after
        faster = before.broadcast_p50_ms / after.broadcast_p50_ms if after.broadcast_p50_ms else 0.0
        return [
            Goal("log lines after / before", _least(ratio(before.log_lines, after.log_lines)), 0.1),
            Goal("CPU after / before", _least(ratio(before.cpu, after.cpu)), 0.8),
            Goal("broadcast, times faster", faster, 50.0, at_least=True),
            Goal("bytes of a hot message after / before, worst", max(self.hot_ratios().values(), default=1.0), 0.5),
            Goal("reconnects", float(after.reconnects), 0.0),
            Goal("payments lost", float(after.missing + after.refused), 0.0),
        ]  # fmt: skip

    @property
    def held(self) -> bool:
        return all(goal.reached for goal in self.goals())

    def lines(self) -> list[str]:
        """A table for people."""
        rows: list[list[object]] = [
            [heading, before, after, "-" if share is None else share]
            for heading, before, after, share in self.rows()
        ]
        return [
            f"the same {self.messages} messages the old way and the new way",
            *table(["", "before", "after", "after/before"], rows),
            *(goal.line() for goal in self.goals()),
        ]

    def last_line(self) -> str:
        """The JSON object."""
        fields: dict[str, Any] = {
            "messages": self.messages,
            "before": attrs.asdict(self.before),
            "after": attrs.asdict(self.after),
            "ratios": {row.key: _rounded(self.ratio(row)) for row in ROWS},
            "hot_ratios": {name: _rounded(share) for name, share in self.hot_ratios().items()},
            "held": self.held,
        }
        return json.dumps(fields)


def _least(share: float | None) -> float:
    """The share of a goal that asks for little: what came out of nothing misses it."""
    return math.inf if share is None else share


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
