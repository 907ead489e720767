"""What is done to a running network on purpose: each returns when the network is left to itself again."""

from __future__ import annotations

import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from random import Random

from timed.bench.cluster import Cluster
from timed.rpc.tables.common import DEFAULT_LEVEL
from timed.testnet.layout import HOST, NodePlan, Plan
from timed.testnet.process import stop_all
from timed.testnet.rpc import ClientError, call, connect

Perturbation = Callable[[Cluster, NodePlan, Random], None]
"""Done to one node; the source of chance is the run's."""

DOWN_S = 5.0
PAUSE_S = 10.0
APART_S = 15
FLOOD_S = 10.0
STRANGERS = 200
GARBAGE_BYTES = 4_096


def kill(cluster: Cluster, victim: NodePlan, entropy: Random) -> None:
    """kill -9, and start again after a while."""
    process = cluster.network.processes[victim.number]
    process.kill()
    time.sleep(DOWN_S)
    cluster.network.start(victim)
    cluster.network.wait_answering([victim])


def restart(cluster: Cluster, victim: NodePlan, entropy: Random) -> None:
    """An orderly stop, and start again at once."""
    stop_all([cluster.network.processes[victim.number]])
    cluster.network.start(victim)
    cluster.network.wait_answering([victim])


def pause(cluster: Cluster, victim: NodePlan, entropy: Random) -> None:
    """SIGSTOP, and SIGCONT after ten seconds."""
    process = cluster.network.processes[victim.number]
    process.signal(signal.SIGSTOP)
    time.sleep(PAUSE_S)
    process.signal(signal.SIGCONT)


def lose_the_disk(cluster: Cluster, victim: NodePlan, entropy: Random) -> None:
    """A node that does not vote loses its chain and fetches it again; the first time it joins."""
    process = cluster.network.processes.get(victim.number)
    if process is not None:
        process.kill()
        shutil.rmtree(victim.datadir / "chain", ignore_errors=True)
    cluster.network.start(victim)
    cluster.network.wait_answering([victim])


def disconnect(cluster: Cluster, victim: NodePlan, entropy: Random) -> None:
    """The operator ends all sessions of a node."""
    for peer in call(victim, "getpeerinfo"):
        with suppress(ClientError):
            call(victim, "disconnectnode", peer["nodeid"])


def ban(cluster: Cluster, victim: NodePlan, entropy: Random) -> None:
    """One node bans another for a while."""
    others = [node for node in cluster.plan.members if node.number not in (1, victim.number)]
    call(victim, "setban", entropy.choice(others).node_id.hex(), "add", APART_S)
    time.sleep(APART_S)


def debug(cluster: Cluster, victim: NodePlan, entropy: Random) -> None:
    """Every line of the peer room is written for a while."""
    call(victim, "logging", "peer", "debug")
    time.sleep(FLOOD_S)
    call(victim, "logging", "peer", DEFAULT_LEVEL)


def strangers(cluster: Cluster, victim: NodePlan, entropy: Random) -> None:
    """Connections that send garbage, to the steady node."""
    port = cluster.plan.nodes[0].p2p_port
    for _ in range(STRANGERS):
        with suppress(OSError), socket.create_connection((HOST, port), timeout=5) as line:
            line.sendall(entropy.randbytes(GARBAGE_BYTES))


def flood(cluster: Cluster, victim: NodePlan, entropy: Random) -> None:
    """Large batches without end, to the steady node."""
    node, end = cluster.plan.nodes[0], time.monotonic() + FLOOD_S

    def ask() -> None:
        with connect(node) as client:
            while time.monotonic() < end:
                with suppress(ClientError):
                    client.batch([("getblockchaininfo", [])] * 200)

    threads = [threading.Thread(target=ask, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def heavy(cluster: Cluster, victim: NodePlan, entropy: Random) -> None:
    """Calls that read the whole set of coins and all blocks, to the steady node."""
    node = cluster.plan.nodes[0]
    call(node, "gettxoutsetinfo")
    for height in range(call(node, "getblockcount") + 1):
        call(node, "getblock", call(node, "getblockhash", height), 2)


PERTURBATIONS: dict[str, Perturbation] = {
    "kill -9": kill,
    "garbage": strangers,
    "pause": pause,
    "rpc flood": flood,
    "restart": restart,
    "heavy calls": heavy,
    "empty disk": lose_the_disk,
    "disconnect": disconnect,
    "debug log": debug,
    "ban": ban,
}
"""In this order, again and again."""


def victim_of(name: str, plan: Plan, number: int) -> NodePlan:
    """Whom the perturbation of this number is done to: each member but the first in turn, or the one that does not vote."""
    voters = plan.members[1:]
    return plan.late if PERTURBATIONS[name] is lose_the_disk else voters[number % len(voters)]


def described(name: str) -> str:
    """The first sentence about a perturbation."""
    return (PERTURBATIONS[name].__doc__ or "").strip()
