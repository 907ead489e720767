"""`timed-testnet verify`: one load twice, the original node's way and this node's, for as many messages.

The old way is configuration of the same nodes: messages as JSON with arrays of
integers, each a write of its own in one queue, each with a line in the log. The new
way is the default. Everything is counted while the network carries the same number
of messages; what ran over is cut in proportion.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

import attrs

from timed.bench import broadcast
from timed.bench.cluster import Cluster, Observed, cluster
from timed.bench.load import Load, sign_payments
from timed.bench.loop import run as run_loop
from timed.bench.probe import FILE
from timed.bench.processes import thread_cpu_s
from timed.errors import LocalError
from timed.testnet.comparison import Comparison, Way
from timed.testnet.layout import NodePlan
from timed.testnet.report import log_lines
from timed.testnet.rpc import call
from timed.testnet.waiting import Reporter

NODES = 3
INTERVAL = 1
"""Seconds between blocks: the late node then has some to fetch."""
RATE = 50.0
"""Payments per second."""
PATIENCE_S = 240.0
"""The load ends after so long, whatever the number of messages."""
LOOK_S = 0.2
SYNC_S = 120.0
PEERS = 50
BROADCASTS = 20
BROADCAST_S = 20.0

OLD_WAY = """[p2p]
encoding = json
batching = no
priorities = no
[log]
messages = yes
burst = 100000
"""
NEW_WAY = ""

HOT = ("TransactionBroadcast", "TransactionVote", "TransactionCertified", "TransactionFinalized", "BlockVote")
"""What a payment costs on the wire; their mean size is compared."""


@attrs.frozen
class Sample:
    """Totals of all nodes since their start."""

    messages: int
    bytes: int
    hot: Mapping[str, tuple[int, int]]
    """Messages and bytes sent, by type."""
    cpu_s: float
    """Of the threads that run the reactors."""
    lines: int

    def since(self, before: Sample) -> Sample:
        hot = {
            name: (self.hot[name][0] - before.hot[name][0], self.hot[name][1] - before.hot[name][1])
            for name in self.hot
        }
        return Sample(
            self.messages - before.messages,
            self.bytes - before.bytes,
            hot,
            self.cpu_s - before.cpu_s,
            self.lines - before.lines,
        )


def verify(messages: int, reporter: Reporter) -> Comparison:
    """Both ways, one after the other, and the broadcast to many peers."""
    reporter.say(f"a broadcast of {broadcast.LARGE} bytes to {PEERS} peers, both ways")
    case = run_loop(lambda: broadcast.measure_peers(PEERS, True, BROADCASTS, BROADCAST_S))[broadcast.LARGE]
    reporter.say(f"{messages} messages the old way")
    before = run_way(OLD_WAY, messages, case.json.p50)
    reporter.say(f"{messages} messages the new way")
    after = run_way(NEW_WAY, messages, case.sessions.p50)
    return Comparison(messages, before, after)


def run_way(settings: str, messages: int, broadcast_p50_ms: float) -> Way:
    """One network under load, then one node more that catches up."""
    count = round(RATE * PATIENCE_S)
    with cluster(NODES, count, INTERVAL, settings) as network:
        load = Load(network.plan.nodes, sign_payments(network.genesis, count), RATE)
        load.start()
        begun = time.monotonic()
        first = sample(network)
        spent = first.since(first)
        try:
            while spent.messages < messages:
                time.sleep(LOOK_S)
                spent = sample(network).since(first)
                if time.monotonic() - begun > PATIENCE_S:
                    raise LocalError(
                        f"{spent.messages} of {messages} messages after {PATIENCE_S:.0f} s.",
                        "Ask for fewer with --messages.",
                    )
        finally:
            load.stop()
        seconds, ended = time.monotonic() - begun, time.monotonic_ns()
        submitted = load.wait()
        handed = [txid for txid, due in submitted.due.items() if due < ended]
        missing = network.wait_final(handed, SYNC_S)
        blocks_per_s = catch_up(network)
        reconnects = network.network.collect().reconnects
    share = messages / spent.messages
    return Way(
        log_lines=round(spent.lines * share),
        cpu=round(spent.cpu_s * share, 2),
        bytes=round(spent.bytes * share),
        broadcast_p50_ms=round(broadcast_p50_ms, 2),
        reconnects=reconnects,
        sync_blocks_per_s=round(blocks_per_s, 1),
        seconds=round(seconds * share, 1),
        hot_bytes={name: round(size / sent) for name, (sent, size) in spent.hot.items() if sent},
        refused=len(submitted.refused),
        missing=len(missing),
    )


def sample(network: Cluster) -> Sample:
    """What all nodes have done so far."""
    totals = [call(node, "getnettotals")["types"] for node in network.plan.nodes]
    hot = {
        name: (
            sum(int(types[name]["messages_sent"]) for types in totals if name in types),
            sum(int(types[name]["bytessent"]) for types in totals if name in types),
        )
        for name in HOT
    }
    rows = [row for types in totals for row in types.values()]
    return Sample(
        messages=sum(int(row["messages_sent"]) for row in rows),
        bytes=sum(int(row["bytessent"]) for row in rows),
        hot=hot,
        cpu_s=sum(thread_cpu_s(network.pid(node)) for node in network.plan.nodes),
        lines=sum(lines_of(network, node) for node in network.plan.nodes),
    )


def lines_of(network: Cluster, node: NodePlan) -> int:
    return log_lines(network.network.processes[node.number])


def catch_up(network: Cluster) -> float:
    """Blocks per second at which a node with an empty disk takes in the chain."""
    late, goal = network.plan.late, network.height()
    network.network.start(late)
    network.network.wait_answering([late])
    seen = Observed()

    def probe() -> tuple[bool, str]:
        seen.take(late.datadir / FILE)
        return goal in seen.blocks, f"{len(seen.blocks)} of {goal} blocks"

    network.network.wait(f"{late.name} catches up", probe, SYNC_S)
    first, last = seen.blocks[1], seen.blocks[goal]
    if goal < 2 or first >= last:
        raise LocalError(f"a chain of {goal} blocks is too short to tell a speed.")
    return (goal - 1) * 1e9 / (last - first)
