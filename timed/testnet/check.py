"""`--check`: a killed node comes back, a late one catches up, and all end equal."""

from __future__ import annotations

from timed.primitives.roster import is_quorum
from timed.testnet.layout import NodePlan
from timed.testnet.network import Network
from timed.testnet.payments import Payments

BLOCKS_APART = 2
"""Blocks that are made while the killed node is away, when the others can make any."""
APART_EXTRA_S = 60.0


def run_check(network: Network, payments: Payments) -> None:
    """Kill, restart, join late, compare; WaitFailed says which wait was too long."""
    report = network.report
    victim = victim_of(network)
    network.reporter.say(f"killing {victim.name} with SIGKILL")
    network.kill(victim)
    if quorum_without(network, victim):
        pass_blocks(network, BLOCKS_APART)
        payments.send(1)
    network.reporter.say(f"starting {victim.name} again")
    network.start(victim)
    network.wait_answering([victim])
    network.wait_connected()
    network.wait_equal(f"{victim.name} catches up", max(network.heights(), default=0))
    report.killed_node_recovered = True
    late = network.plan.late
    network.reporter.say(f"adding {late.name} with an empty data directory")
    network.start(late)
    network.wait_answering([late])
    network.wait_connected()
    network.wait_equal(f"{late.name} catches up", max(network.heights(), default=0))
    report.late_joiner_synced = True
    payments.send(1)
    payments.wait_confirmed()
    network.wait_equal("all end equal", max(network.heights(), default=0))
    report.roots_equal = True


def victim_of(network: Network) -> NodePlan:
    """The last member: its loss is the hardest to bear and its return the hardest to get right."""
    return network.plan.members[-1]


def quorum_without(network: Network, victim: NodePlan) -> bool:
    """Whether the network goes on without `victim` (every member has weight one)."""
    total = len(network.plan.members)
    return is_quorum(total - victim.member, total)


def pass_blocks(network: Network, count: int) -> None:
    """Wait until the running nodes have made `count` more blocks."""
    goal = max(network.heights(), default=0) + count

    def probe() -> tuple[bool, str]:
        heights = network.heights()
        return min(heights, default=0) >= goal, f"heights {heights}, waiting for {goal}"

    network.wait("blocks without the killed node", probe, 4 * count * network.plan.interval + APART_EXTRA_S)
