"""One frame: what the dashboard's page shows, for a terminal of any size."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import attrs
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from timed.cli.cells import plain
from timed.top import reading
from timed.top.reading import (
    NONE,
    Picture,
    bars,
    byte_rate,
    count,
    per_second,
    percent,
    percentile,
    size,
    span,
)

STALE_S = 3.0
AWAY_S = 3.0
KEPT = 60
"""Values of each line over time."""
MAX_LINES = 200
TONES = {"ok": "green", "degraded": "yellow", "failed": "red"}
LEVELS = {"warn": "yellow", "error": "red", "critical": "bold red", "debug": "dim"}

SORTS: tuple[tuple[str, Callable[[Picture], Any]], ...] = (
    ("address", lambda row: row["address"]),
    ("ping", lambda row: row["ping"]),
    ("in", lambda row: row["in_rate"]),
    ("out", lambda row: row["out_rate"]),
    ("score", lambda row: row["score"]),
)
"""By what peers can be sorted: the first upwards, figures downwards."""


@attrs.define
class State:
    """What the terminal remembers between frames; times are seconds of the monotonic clock."""

    picture: Picture | None = None
    heard_at: float = 0.0
    error: str = ""
    lines: deque[Picture] = attrs.Factory(lambda: deque(maxlen=MAX_LINES))
    history: dict[str, deque[float | None]] = attrs.Factory(dict)
    sort: int = 0

    def heard(self, picture: Picture, lines: Sequence[Picture], now: float) -> None:
        """A new picture, and the log lines that came with it."""
        self.picture, self.heard_at, self.error = picture, now, ""
        if lines and self.lines and lines[0]["number"] <= self.lines[-1]["number"]:
            # They are told from the first one on again: after a pause, or by another node or run.
            self.lines.clear()
        self.lines.extend(lines)
        for title, read, _ in OVER_TIME:
            self.history.setdefault(title, deque(maxlen=KEPT)).append(read(picture))


OVER_TIME: tuple[tuple[str, Callable[[Picture], float | None], Callable[[float | None], str]], ...] = (
    ("CPU", lambda picture: reading.rate(picture, "timed_cpu_seconds"), percent),
    ("memory", lambda picture: reading.value(picture, "timed_memory_bytes", kind="resident"), size),
    ("lag p99", lambda picture: (reading.spread(picture, "timed_reactor_late_seconds") or {}).get("p99"), span),
    ("received", lambda picture: reading.rate(picture, "timed_socket_bytes", direction="received"), byte_rate),
    ("sent", lambda picture: reading.rate(picture, "timed_socket_bytes", direction="sent"), byte_rate),
    ("messages", lambda picture: reading.rate(picture, "timed_messages"), per_second),
    ("calls", lambda picture: reading.rate(picture, "timed_rpc_calls"), per_second),
    ("mempool", lambda picture: reading.value(picture, "timed_mempool_transactions"), count),
    ("log lines", lambda picture: reading.rate(picture, "timed_log_lines"), per_second),
)  # fmt: skip


def frame(state: State, now: float, *, width: int, height: int | None) -> RenderableType:
    """Everything, one below the other; with a `height` peers and log share what is left of it."""
    picture = state.picture
    if picture is None:
        return Group(Text(f"timed-top: no data yet. {state.error}", style="red" if state.error else ""))
    parts: list[RenderableType] = [_title(state, picture, now), *_alerts(picture), _nodes(picture, width)]
    parts += [_chain(picture, width), _work(state, picture, width)]
    fixed = 8 + len(_alerts(picture)) + len(picture["nodes"]) + len(OVER_TIME)
    room = 24 if height is None else max(4, height - fixed)
    peers = picture["details"]["peers"] if picture["details"] is not None else None
    shown = min(len(peers["rows"]) if peers else 0, max(2, room // 2))
    if peers is None:
        parts.append(Text(picture["withheld"] or "This node follows no chain.", style="dim"))
    else:
        parts.append(_peers(peers, state.sort, shown, width))
    parts.append(_log(state.lines, max(1, room - shown), width))
    return Group(*parts)


def _title(state: State, picture: Picture, now: float) -> Text:
    own = picture["nodes"][0]["summary"]
    age = now - state.heard_at
    health = picture["health"]["state"]
    name = plain(own["name"]) or own["node"][:8]
    title = Text.assemble(
        ("timed ", "bold"), f"{plain(own['version'])} {plain(picture['network'])}  ", (name, "bold"), "  "
    )
    if age > STALE_S or state.error:
        title.append(f"no data for {age:.0f} s", "bold red")
        title.append(f"  {plain(state.error)}", "red")
    else:
        title.append(health, f"bold {TONES.get(health, 'red')}")
        title.append(time.strftime("  %H:%M:%S", time.localtime(picture["time"])), "dim")
    title.append("   q quit  s sort peers", "dim")
    return title


def _alerts(picture: Picture) -> list[Text]:
    shown = [("", alert) for alert in picture["alerts"]["active"]]
    for row in picture["nodes"][1:]:
        if row["summary"] is not None:
            shown += [(f"{_name(row)}: ", alert) for alert in row["summary"]["alerts"]]
    found = []
    for where, alert in shown:
        tone = "bold red" if alert["severity"] == "critical" else "bold yellow"
        found.append(
            Text.assemble(
                (plain(f"{where}{alert['name']}: "), tone), plain(f"{alert['summary']}. {alert['remedy']}")
            )
        )
    return found


def _name(row: Picture) -> str:
    summary = row["summary"]
    return plain((summary and summary["name"]) or row["address"] or (summary and summary["node"][:8]) or NONE)


def _nodes(picture: Picture, width: int) -> Table:
    table = _table(
        (
            "node",
            "state",
            "height",
            "peers",
            "final",
            "final p50",
            "p99",
            "mempool",
            "CPU",
            "memory",
            "lag p99",
            "log",
        ),
        left=2,
    )
    for row in picture["nodes"]:
        summary = row["summary"]
        text, tone = _state(row)
        figures = [NONE] * 10
        if summary is not None:
            figures = [
                count(summary["height"]), count(summary["sessions"]), per_second(summary["final_rate"]),
                span(summary["final_p50"]), span(summary["final_p99"]), count(summary["mempool"]),
                percent(summary["cpu"]), size(summary["memory"]), span(summary["late_p99"]),
                per_second(summary["log_rate"]),
            ]  # fmt: skip
        table.add_row(Text(_name(row), "bold" if row["own"] else ""), Text(text, tone), *map(Text, figures))
    return _narrowed(table, width)


def _state(row: Picture) -> tuple[str, str]:
    if row["error"] is not None:
        return plain(f"{row['error']}, for {span(round(row['age'], 1))}"), "red"
    if row["age"] > AWAY_S:
        return f"no data for {row['age']:.0f} s", "red"
    summary = row["summary"]
    if summary is None:
        return "not asked yet", "dim"
    wrong = dict.fromkeys(
        [*summary["failing"], *(each["name"].removeprefix("check-") for each in summary["alerts"])]
    )
    tone = "yellow" if wrong and summary["state"] == "ok" else TONES.get(summary["state"], "red")
    return plain(f"{summary['state']}: {', '.join(wrong)}" if wrong else summary["state"]), tone


def _chain(picture: Picture, width: int) -> RenderableType:
    details = picture["details"]
    stages = {
        stage: reading.spread(picture, "timed_finality_seconds", stage=stage)
        for stage in ("certified", "final")
    }
    margin = reading.value(picture, "timed_quorum_margin")
    figures = [
        ("height", count(reading.value(picture, "timed_height"))),
        ("next block", _next_block(picture)),
        ("certified", f"p50 {percentile(stages['certified'], 'p50')} p99 {percentile(stages['certified'], 'p99')}"),
        ("final", f"p50 {percentile(stages['final'], 'p50')} p99 {percentile(stages['final'], 'p99')}"),
        ("lacking", count(-margin)) if margin is not None and margin < 0 else ("may go", count(margin)),
        ("may lie", count(reading.value(picture, "timed_safety_margin"))),
        ("behind", count(reading.value(picture, "timed_blocks_behind"))),
    ]  # fmt: skip
    lines = [_figures(figures)]
    final = stages["final"]
    if final is not None and any(final["counts"]):
        drawn = bars(final["counts"])
        lines.append(Text.assemble(("to final  ", "dim"), ("1ms ", "dim"), (drawn, "green"), (" 30s", "dim")))
    blocks = details["blocks"] if details is not None else []
    if blocks:
        delays = bars([block["delay"] for block in blocks], top=0.1)
        last = blocks[-1]
        signers = ", ".join(map(str, last["signers"]))
        words = f" block {last['height']}: {span(last['delay'])} after its time, signed by {signers} of {last['members']}"
        lines.append(Text.assemble(("blocks    ", "dim"), (delays, "cyan"), words))
    away = [row for row in details["members"]["rows"] if not row["connected"]] if details is not None else []
    if away:
        names = ", ".join(f"{row['index']} {plain(row['name'])}" for row in away[:8])
        who = "1 member is" if len(away) == 1 else f"{len(away)} members are"
        lines.append(Text(f"{who} not connected: {names}", "red"))
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    return Group(*lines)


def _next_block(picture: Picture) -> str:
    if picture["details"] is None:
        return NONE
    left = picture["details"]["epoch"]["next_slot"] - picture["time"]
    return f"in {span(round(left, 1))}" if left >= 0 else f"{span(round(-left, 1))} late"


def _figures(figures: Sequence[tuple[str, str]]) -> Text:
    line = Text()
    for title, text in figures:
        line.append(f"{title} ", "dim")
        line.append(f"{text}  ", "bold")
    return line


def _work(state: State, picture: Picture, width: int) -> Table:
    """Lines over time to the left, methods and messages to the right."""
    grid = Table.grid(padding=(0, 2))
    over_time = Table.grid(padding=(0, 1))
    for title, _, write in OVER_TIME:
        values = list(state.history.get(title, ()))
        over_time.add_row(Text(title, "dim"), Text(write(values[-1] if values else None), "bold"),
                          Text(bars(values[-24:]), "green"))  # fmt: skip
    columns: list[RenderableType] = [over_time]
    if width >= 90:
        columns.append(_methods(picture))
    if width >= 130:
        columns.append(_costs(picture))
    grid.add_row(*columns)
    return grid


def _methods(picture: Picture) -> Table:
    table = _table(("RPC method", "calls", "a second", "p99"), left=1)
    rows = sorted(reading.series(picture, "timed_rpc_calls"), key=lambda each: -each["value"])
    for each in rows[: len(OVER_TIME) - 1]:
        name = each["labels"]["method"]
        p99 = percentile(reading.spread(picture, "timed_rpc_seconds", method=name), "p99")
        table.add_row(
            Text(plain(name)), Text(count(each["value"])), Text(per_second(each.get("rate"))), Text(p99)
        )
    return table


def _costs(picture: Picture) -> Table:
    table = _table(("message", "CPU", "a second"), left=1)
    rows = sorted(reading.series(picture, "timed_message_cpu_seconds"), key=lambda each: -each["value"])
    for each in rows[: len(OVER_TIME) - 1]:
        name = each["labels"]["type"]
        messages = per_second(reading.rate(picture, "timed_messages", type=name))
        table.add_row(Text(plain(name)), Text(percent(each.get("rate"))), Text(messages))
    return table


def _peers(peers: Picture, sort: int, shown: int, width: int) -> Table:
    title, by = SORTS[sort]
    heads = ("peer", "node", "way", "ping", "in", "out", "waiting", "clock", "score", "for", "software")
    table = _table(tuple(f"{head}*" if head == title or (head, title) == ("peer", "address") else head for head in heads),
                   left=3)  # fmt: skip
    known = [row for row in peers["rows"] if by(row) is not None]
    rows = sorted(known, key=by, reverse=sort > 0) + [row for row in peers["rows"] if by(row) is None]
    for row in rows[:shown]:
        table.add_row(
            *map(
                Text,
                (
                    plain(row["address"]), row["node"][:8], "out" if row["outbound"] else "in", span(row["ping"]),
                    byte_rate(row["in_rate"]), byte_rate(row["out_rate"]), size(row["queued"]), span(row["clock"]),
                    f"{row['score']:g}", span(round(row["age"])), plain(row["software"]),
                ),
            )
        )  # fmt: skip
    if peers["count"] > shown:
        table.add_row(Text(f"and {peers['count'] - shown} more", "dim"))
    return _narrowed(table, width)


def _log(lines: deque[Picture], count_: int, width: int) -> RenderableType:
    found = []
    for line in list(lines)[-count_:]:
        moment = time.strftime("%H:%M:%S", time.localtime(line["time"]))
        text = Text(
            plain(f"{moment} {line['level']:<8} {line['namespace']}: {line['text']}"),
            LEVELS.get(line["level"], ""),
        )
        text.truncate(width, overflow="ellipsis")
        found.append(text)
    return Group(*found)


def _table(heads: Sequence[str], *, left: int) -> Table:
    """Without lines; the first `left` columns to the left."""
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for place, head in enumerate(heads):
        table.add_column(head, justify="left" if place < left else "right", no_wrap=True, overflow="ellipsis")
    return table


def _narrowed(table: Table, width: int) -> Table:
    """Leave columns out, from the right, until the others have room."""
    while len(table.columns) > 3 and _natural(table) > width:
        table.columns.pop()
    return table


def _natural(table: Table) -> int:
    return sum(
        max(len(str(cell)) for cell in (column.header, *column._cells)) + 2 for column in table.columns
    )
