"""How late the reactors of the nodes turn under the load of the throughput benchmark."""

from __future__ import annotations

import argparse

from timed.bench import throughput
from timed.bench.measure import percentile
from timed.bench.report import Goal, Outcome

GOAL_P99_MS, GOAL_MAX_MS = 20.0, 200.0


def options(parser: argparse.ArgumentParser) -> None:
    throughput.options(parser, seconds=30.0)


def run(options: argparse.Namespace) -> Outcome:
    found = throughput.measure(options)
    p99, worst = percentile(found.lags, 99), max(found.lags, default=0.0)
    return Outcome(
        f"lag: reactors of {found.members} members under {options.rate:g} payments per second",
        ["ticks", "p50 ms", "p99 ms", "max ms", "final tx/s", "cores used"],
        rows=[[len(found.lags), percentile(found.lags, 50), p99, worst, found.tx_per_s, sum(found.cpu)]],
        notes=[
            "A tick every 10 ms in each node; how much later than due each was answered. The nodes share the cores."
        ],
        goals=[
            Goal("reactor late, p99", p99, GOAL_P99_MS, unit=" ms"),
            Goal("reactor late, at most", worst, GOAL_MAX_MS, unit=" ms"),
        ],
        figures={
            "p50_ms": round(percentile(found.lags, 50), 2),
            "p99_ms": round(p99, 2),
            "max_ms": round(worst, 2),
            "tx_per_s": round(found.tx_per_s, 1),
            "calls": len(found.lags),
        },
    )
