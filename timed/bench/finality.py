"""From the moment a payment is due until it is final on every node, in networks of real processes."""

from __future__ import annotations

import argparse
from typing import Any

import attrs

from timed.bench.cluster import Cluster, cluster
from timed.bench.load import Load, sign_payments
from timed.bench.measure import MS_PER_NS, percentile
from timed.bench.report import Goal, Outcome
from timed.bench.verifying import verify_per_s

DRAIN_S = 30.0
GOAL_P50_MS, GOAL_P99_MS = 80.0, 250.0


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--members", type=int, nargs="+", default=[4, 7, 10], help="(default 4 7 10)")
    parser.add_argument(
        "--rates", type=float, nargs="+", default=[1, 5, 20], help="per second (default 1 5 20)"
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="of each rate (default 5)")
    parser.add_argument("--interval", type=int, default=5, help="seconds between blocks (default 5)")


@attrs.frozen
class Times:
    """Milliseconds from due to certified and to final on the last node; how many never came."""

    certified: list[float]
    final: list[float]
    missing: int
    refused: int

    def row(self, members: int, rate: object, verify: float) -> list[object]:
        return [
            members, rate, len(self.final), percentile(self.certified, 50), percentile(self.final, 50),
            percentile(self.final, 99), max(self.final, default=0.0), self.missing, verify,
        ]  # fmt: skip


def run(options: argparse.Namespace) -> Outcome:
    outcome = Outcome(
        "finality: from submission to final on every node",
        [
            "members",
            "tx/s",
            "payments",
            "certified p50",
            "final p50 ms",
            "p99 ms",
            "max ms",
            "missing",
            "verify/s",
        ],
    )
    found: dict[str, dict[str, Any]] = {}
    for members in options.members:
        verify = verify_per_s()
        by_rate = measure(members, options)
        everything = merged(list(by_rate.values()))
        for rate, times in by_rate.items():
            outcome.rows.append(times.row(members, rate, verify))
        outcome.rows.append(everything.row(members, "all", verify))
        found[str(members)] = figures(everything, by_rate, verify)
    outcome.figures = {"members": found}
    outcome.notes = [
        "Latency counts from the moment a payment was due (open loop), HTTP, signature check and fsync included;",
        "blocks are made meanwhile, so some payments wait for an epoch to close. All processes share this machine.",
    ]
    if "4" in found:
        outcome.goals = [
            Goal("p50 at 4 members", found["4"]["p50_ms"], GOAL_P50_MS, unit=" ms"),
            Goal("p99 at 4 members", found["4"]["p99_ms"], GOAL_P99_MS, unit=" ms"),
        ]
    return outcome


def figures(everything: Times, by_rate: dict[float, Times], verify: float) -> dict[str, Any]:
    return {
        "p50_ms": round(percentile(everything.final, 50), 1),
        "p99_ms": round(percentile(everything.final, 99), 1),
        "certified_p50_ms": round(percentile(everything.certified, 50), 1),
        "verify_per_s": round(verify),
        "payments": len(everything.final),
        "missing": everything.missing,
        "refused": everything.refused,
        "rates": {
            f"{rate:g}": {
                "p50_ms": round(percentile(times.final, 50), 1),
                "p99_ms": round(percentile(times.final, 99), 1),
            }
            for rate, times in by_rate.items()
        },
    }


def measure(members: int, options: argparse.Namespace) -> dict[float, Times]:
    """One network, one rate after the other."""
    counts = {rate: max(1, round(rate * options.seconds)) for rate in options.rates}
    with cluster(members, sum(counts.values()), options.interval) as network:
        found = {}
        used = 0
        for rate, count in counts.items():
            found[rate] = pay(network, rate, count, used)
            used += count
        return found


def pay(network: Cluster, rate: float, count: int, skip: int) -> Times:
    """Submit `count` payments and wait until they are final everywhere."""
    payments = sign_payments(network.genesis, count, skip)
    load = Load(network.plan.nodes, payments, rate)
    load.start()
    submitted = load.wait()
    missing = network.wait_final(list(submitted.due), DRAIN_S)
    return times_of(network, submitted.due, len(missing), len(submitted.refused))


def times_of(network: Cluster, due: dict[bytes, int], missing: int, refused: int) -> Times:
    """Latencies of the payments that all nodes have final."""
    seen = list(network.observed.values())
    final = last_of([each.final for each in seen], due)
    certified = last_of([each.certified for each in seen], due)
    return Times(certified, final, missing, refused)


def last_of(seen: list[dict[bytes, int]], due: dict[bytes, int]) -> list[float]:
    """Milliseconds until the last node had it, of each transaction that every node has."""
    return [
        (max(each[txid] for each in seen) - at) * MS_PER_NS
        for txid, at in due.items()
        if all(txid in each for each in seen)
    ]


def merged(times: list[Times]) -> Times:
    return Times(
        [value for each in times for value in each.certified],
        [value for each in times for value in each.final],
        sum(each.missing for each in times),
        sum(each.refused for each in times),
    )
