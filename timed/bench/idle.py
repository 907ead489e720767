"""What quiet peers cost a node: CPU, memory, log lines.

One real node, a member on a network whose blocks are ten minutes apart, and light
protocol clients in one other process that keep a session over TLS and answer pings.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from timed.app.genesis_file import read_genesis
from timed.bench.cluster import configure, running
from timed.bench.loop import Child, sleep
from timed.bench.loop import run as run_loop
from timed.bench.processes import anonymous_mb, cpu_s, rss_mb
from timed.bench.report import Goal, Outcome
from timed.errors import LocalError
from timed.testnet.layout import NodePlan, make_network
from timed.testnet.process import NodeProcess
from timed.testnet.report import info_lines

INTERVAL_S = 600
SETTLE_S = 3.0
SETTINGS = "[p2p]\nmax_inbound = 1000\n"
GOAL_CPU = {10: 0.5, 50: 1.0, 200: 3.0}
GOAL_MB = {10: 25.0, 200: 50.0}
GOAL_KB_PER_PEER = 64.0
GOAL_LINES_PER_MIN = 60.0


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--peers", type=int, nargs="+", default=[10, 50, 200], help="(default 10 50 200)")
    parser.add_argument("--seconds", type=float, default=20.0, help="of quiet at each number (default 20)")


def run(options: argparse.Namespace) -> Outcome:
    directory = Path(tempfile.mkdtemp(prefix="timed-bench-"))
    plan = make_network(directory, 1, 1, INTERVAL_S)
    configure(plan, SETTINGS)
    with running(plan) as network:
        (node,) = plan.nodes
        genesis = read_genesis(directory / "genesis.json").hash
        process = network.processes[node.number]
        outcome = run_loop(lambda: measure(options, node, process, genesis))
    shutil.rmtree(directory, ignore_errors=True)
    return outcome


async def measure(
    options: argparse.Namespace, node: NodePlan, process: NodeProcess, genesis: bytes
) -> Outcome:
    base = await memory_of_imports()
    pid = process.pid or 0
    settings = {"port": node.p2p_port, "node_id": node.node_id.hex(), "genesis": genesis.hex()}
    child = Child("timed.bench.follower", json.dumps(settings))
    await sleep(SETTLE_S)
    alone = anonymous_mb(pid)
    outcome = Outcome(
        "idle: a node with quiet peers over TLS",
        ["peers", "CPU %", "memory MB", "anonymous MB", "above imports", "log lines/min"],
        rows=[[0, "", rss_mb(pid), alone, alone - base, ""]],
    )
    found: dict[int, dict[str, float]] = {}
    for count in sorted(options.peers):
        await child.ask({"peers": count})
        await sleep(SETTLE_S)
        found[count] = await quiet(process, options.seconds, base)
        figures = found[count]
        outcome.rows.append(
            [
                count, figures["cpu_percent"], figures["rss_mb"], figures["anonymous_mb"],
                figures["above_imports_mb"], figures["log_lines_per_min"],
            ]
        )  # fmt: skip
    closed = int(await child.ask({"closed": True}))
    if closed:
        raise LocalError(f"{closed} quiet sessions were closed.", f"See {node.log}.")
    await child.end()
    few, many = min(found), max(found)
    per_peer = kb_per_peer(found, alone)
    outcome.figures = {
        "peers": {str(count): figures for count, figures in found.items()},
        "kb_per_peer": round(per_peer, 1),
        "imports_mb": round(base, 1),
    }
    outcome.goals = goals(found, per_peer)
    outcome.notes = [
        f"'above imports': anonymous memory above the {base:.1f} MB of a process that only imported the modules.",
        f"{per_peer:.0f} kB for each peer, from {few if few != many else 0} to {many} of them.",
    ]
    return outcome


async def quiet(process: NodeProcess, seconds: float, base: float) -> dict[str, float]:
    """The node while nothing happens."""
    pid = process.pid or 0
    lines, cpu = info_lines(process), cpu_s(pid)
    await sleep(seconds)
    anonymous = anonymous_mb(pid)
    return {
        "cpu_percent": round(100 * (cpu_s(pid) - cpu) / seconds, 2),
        "rss_mb": round(rss_mb(pid), 1),
        "log_lines_per_min": round(60 * (info_lines(process) - lines) / seconds, 1),
        "anonymous_mb": round(anonymous, 1),
        "above_imports_mb": round(anonymous - base, 1),
    }


async def memory_of_imports() -> float:
    """Anonymous memory of a process that has imported the same modules, in MB."""
    child = Child("timed.bench.imported")
    await child.hear()
    found = anonymous_mb(child.pid)
    await child.end()
    return found


def kb_per_peer(found: dict[int, dict[str, float]], alone: float) -> float:
    """Memory between the fewest and the most peers, or between none and the only number."""
    few, many = min(found), max(found)
    start, less = (few, found[few]["anonymous_mb"]) if few != many else (0, alone)
    return 1000 * (found[many]["anonymous_mb"] - less) / (many - start)


def goals(found: dict[int, dict[str, float]], per_peer: float) -> list[Goal]:
    reached: list[Goal] = []
    for count, figures in found.items():
        if count in GOAL_CPU:
            reached.append(Goal(f"CPU at {count} peers", figures["cpu_percent"], GOAL_CPU[count], unit=" %"))
        if count in GOAL_MB:
            what = f"memory above imports at {count} peers"
            reached.append(Goal(what, figures["above_imports_mb"], GOAL_MB[count], unit=" MB"))
    lines: Any = max(figures["log_lines_per_min"] for figures in found.values())
    return [
        *reached,
        Goal("memory of one peer", per_peer, GOAL_KB_PER_PEER, unit=" kB"),
        Goal("INFO lines per minute", lines, GOAL_LINES_PER_MIN),
    ]
