"""Payments per second that become final on every node, offered at a fixed rate for a while.

Four members as processes on this machine, with their stores, fed by an open loop through
JSON-RPC. The ceiling is what signature checks alone allow here: every node checks every
payment once.
"""

from __future__ import annotations

import argparse
import threading
import time
from typing import Any

import attrs

from timed.bench.cluster import Cluster, cluster
from timed.bench.finality import last_of
from timed.bench.load import Load, Submitted, sign_payments
from timed.bench.measure import MS_PER_NS, percentile, robust_slope
from timed.bench.processes import anonymous_mb, cpu_s, rss_mb
from timed.bench.report import Goal, Outcome, short
from timed.bench.verifying import verify_per_s

DRAIN_S = 20.0
SETTLE_SHARE = 0.2
"""The first part of the load, in which rates and memory still rise."""
GOAL_TX_PER_S = 500.0


def options(parser: argparse.ArgumentParser, seconds: float = 60.0) -> None:
    parser.add_argument("--rate", type=float, default=600.0, help="payments offered per second (default 600)")
    parser.add_argument("--seconds", type=float, default=seconds, help=f"of load (default {seconds:g})")
    parser.add_argument("--members", type=int, default=4, help="(default 4)")
    parser.add_argument("--interval", type=int, default=5, help="seconds between blocks (default 5)")
    parser.add_argument("--connections", type=int, default=4, help="RPC connections to each node (default 4)")


@attrs.define
class Memory:
    """Memory of each process, once a second: resident with the mapped store, and anonymous."""

    resident: dict[int, list[tuple[float, float]]] = attrs.Factory(dict)
    anonymous: dict[int, list[tuple[float, float]]] = attrs.Factory(dict)

    def look(self, pids: list[int]) -> None:
        now = time.monotonic()
        for pid in pids:
            self.resident.setdefault(pid, []).append((now, rss_mb(pid)))
            self.anonymous.setdefault(pid, []).append((now, anonymous_mb(pid)))


def growth_mb_per_h(samples: dict[int, list[tuple[float, float]]]) -> float:
    """Of the process that grows the fastest, over the later part of the load."""
    return max((robust_slope(points[int(len(points) * 0.4) :]) for points in samples.values()), default=0.0)


@attrs.frozen
class Run:
    """One load and what came of it."""

    members: int
    submitted: Submitted
    begin: int
    """The monotonic nanosecond from which the steady part counts."""
    end: int
    missing: int
    final_at: list[int]
    """When each payment was final on the last node."""
    latencies: list[float]
    """Milliseconds from due to final on the last node, of the steady part."""
    lags: list[float]
    """Milliseconds by which reactors were late during the load, all nodes together."""
    cpu: list[float]
    """CPU seconds per second of each node during the load."""
    cpu_ms_per_payment: float
    """CPU milliseconds of one node for one payment, until the last one was final."""
    memory: Memory
    anonymous: float
    """MB of the largest process at the end."""
    blocks: int
    early: int
    verify: float

    @property
    def seconds(self) -> float:
        return (self.end - self.begin) / 1e9

    @property
    def tx_per_s(self) -> float:
        """Payments that became final everywhere within the steady part, per second."""
        return sum(self.begin <= at < self.end for at in self.final_at) / self.seconds

    @property
    def ceiling(self) -> float:
        return self.verify / self.members


def run(options: argparse.Namespace) -> Outcome:
    found = measure(options)
    outcome = Outcome(
        f"throughput: {found.members} members, {options.rate:g} payments offered per second",
        ["", "value"],
        figures=figures(found),
    )
    submitted = found.submitted
    outcome.rows = [
        ["final on every node, tx/s", found.tx_per_s],
        ["ceiling by signature checks, tx/s", found.ceiling],
        ["share of the ceiling", f"{100 * found.tx_per_s / found.ceiling:.1f} %"],
        ["to final p50 / p99 ms", f"{short(percentile(found.latencies, 50))} / {short(percentile(found.latencies, 99))}"],
        ["to the RPC's answer p50 / p99 ms", milliseconds(submitted.answered_ns)],
        ["handed over late p50 / p99 ms", milliseconds(submitted.late_ns)],
        ["reactor late p99 / max ms", f"{short(percentile(found.lags, 99))} / {short(max(found.lags, default=0.0))}"],
        ["CPU of each node, cores", ", ".join(short(round(each, 2)) for each in found.cpu)],
        ["CPU per payment and node, ms", found.cpu_ms_per_payment],
        ["anonymous memory of the largest node, MB", found.anonymous],
        ["growth, resident MB/h", growth_mb_per_h(found.memory.resident)],
        ["growth, anonymous MB/h", growth_mb_per_h(found.memory.anonymous)],
        ["submitted / refused / not final", f"{len(submitted.due)} / {len(submitted.refused)} / {found.missing}"],
        ["blocks", found.blocks],
    ]  # fmt: skip
    outcome.notes = [
        f"Counted over {found.seconds:.0f} s after the first {100 * SETTLE_SHARE:.0f} % of the load; the load generator",
        "shares the machine. The ceiling: checks per second on both cores, divided by the nodes that each check all.",
        *sorted({f"refused: {text}" for text in submitted.refused})[:5],
    ]
    outcome.goals = [
        Goal("payments per second", found.tx_per_s, GOAL_TX_PER_S, at_least=True),
        Goal("payments not final", float(found.missing), 0.0),
    ]
    return outcome


def milliseconds(values: list[int]) -> str:
    found = [value * MS_PER_NS for value in values]
    return f"{short(percentile(found, 50))} / {short(percentile(found, 99))}"


def figures(found: Run) -> dict[str, Any]:
    return {
        "tx_per_s": round(found.tx_per_s, 1),
        "seconds": round(found.seconds, 1),
        "ceiling_tx_per_s": round(found.ceiling, 1),
        "share_of_ceiling": round(found.tx_per_s / found.ceiling, 3),
        "p50_ms": round(percentile(found.latencies, 50), 1),
        "p99_ms": round(percentile(found.latencies, 99), 1),
        "rss_slope_mb_per_h": round(growth_mb_per_h(found.memory.resident), 1),
        "anonymous_slope_mb_per_h": round(growth_mb_per_h(found.memory.anonymous), 1),
        "verify_per_s": round(found.verify),
        "cpu_cores": [round(each, 3) for each in found.cpu],
        "cpu_ms_per_payment": round(found.cpu_ms_per_payment, 3),
        "lag_p99_ms": round(percentile(found.lags, 99), 1),
        "lag_max_ms": round(max(found.lags, default=0.0), 1),
        "refused": len(found.submitted.refused),
        "missing": found.missing,
        "in_block_before_final": found.early,
        "blocks": found.blocks,
    }


def measure(options: argparse.Namespace) -> Run:
    """Sign, start, submit, wait until everything is final."""
    verify = verify_per_s()
    count = round(options.rate * options.seconds)
    with cluster(options.members, count, options.interval) as network:
        payments = sign_payments(network.genesis, count)
        load = Load(network.plan.nodes, payments, options.rate, options.connections)
        memory = Memory()
        height = network.height()
        pids = [network.pid(node) for node in network.plan.nodes]
        before = {pid: cpu_s(pid) for pid in pids}
        start = load.start()
        watch(load, memory, pids, options.seconds)
        after = {pid: cpu_s(pid) for pid in pids}
        end = start + int(options.seconds * 1e9)
        cpu = [(after[pid] - before[pid]) / ((time.monotonic_ns() - start) / 1e9) for pid in pids]
        submitted = load.wait()
        missing = network.wait_final(list(submitted.due), DRAIN_S)
        spent = sum(cpu_s(pid) - before[pid] for pid in pids)
        return Run(
            members=options.members,
            submitted=submitted,
            missing=len(missing),
            cpu=cpu,
            cpu_ms_per_payment=1000 * spent / len(pids) / count,
            memory=memory,
            anonymous=max(anonymous_mb(pid) for pid in pids),
            blocks=network.height() - height,
            verify=verify,
            **seen(network, submitted, start, end),
        )


def watch(load: Load, memory: Memory, pids: list[int], seconds: float) -> None:
    """Sample memory while the load runs."""
    done = threading.Event()
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        memory.look(pids)
        done.wait(min(1.0, left))


def seen(network: Cluster, submitted: Submitted, start: int, end: int) -> dict[str, Any]:
    """What the probes say of a load between two monotonic nanoseconds."""
    begin = start + int((end - start) * SETTLE_SHARE)
    nodes = list(network.observed.values())
    final = [each.final for each in nodes]
    steady = {txid: due for txid, due in submitted.due.items() if due >= begin}
    return {
        "begin": begin,
        "end": end,
        "final_at": [
            max(each[txid] for each in final) for txid in submitted.due if all(txid in each for each in final)
        ],
        "latencies": last_of(final, steady),
        "lags": [
            late * MS_PER_NS
            for each in nodes
            for at, late in zip(each.lag_at, each.lag_ns, strict=True)
            if start <= at < end
        ],
        "early": sum(len(each.early) for each in nodes),
    }
