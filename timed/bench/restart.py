"""From the signal that ends a node until it is ready again: a year of blocks and many coins, or nothing yet.

The node is the only member of its network. Its chain is made, certified and stored
before it starts; the other network of the run has the genesis alone.
"""

from __future__ import annotations

import argparse
import http.client
import shutil
import signal
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs

from timed.bench import longchain
from timed.bench.cluster import COIN, configure, endow, running
from timed.bench.load import PAYEE, coins_of_payer, signed
from timed.bench.report import Goal, Outcome
from timed.errors import LocalError
from timed.ledger.genesis import Genesis
from timed.ledger.rules import fee_for
from timed.params import REGTEST
from timed.primitives.transaction import Output, Transaction
from timed.testnet.layout import HOST, NodePlan, make_network
from timed.testnet.process import NodeProcess

INTERVAL_S = 600
YEAR = 365 * 144
"""Blocks, one every ten minutes."""
FAN = REGTEST.max_outputs
"""Outputs of one transaction."""
GOAL_CLEAN_S, GOAL_KILLED_S = 2.0, 5.0
READY_S = 120.0
POLL_S = 0.005


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--blocks", type=int, default=YEAR, help="of the chain (default %(default)s, a year)")
    parser.add_argument("--coins", type=int, default=1_000_000, help="unspent outputs (default %(default)s)")
    parser.add_argument("--runs", type=int, default=5, help="restarts of each kind (default %(default)s)")


def run(options: argparse.Namespace) -> Outcome:
    with network(0, 0) as (node, process):
        empty = Restarts.of(node, process, options.runs)
    with network(options.blocks, options.coins) as (node, process):
        full = Restarts.of(node, process, options.runs)
    return Outcome(
        f"restart: {options.blocks} blocks and {options.coins} coins beside a chain of genesis alone",
        ["chain", "after", "runs", "p50 s", "max s", "of it ending s"],
        rows=[*empty.rows("empty"), *full.rows("full")],
        notes=["From the signal until /ready says 200. The process starts as soon as the old one is gone."],
        goals=[
            Goal("clean stop to ready", statistics.median(full.clean), GOAL_CLEAN_S, unit=" s"),
            Goal("kill -9 to ready", statistics.median(full.killed), GOAL_KILLED_S, unit=" s"),
        ],
        figures={
            "clean_s": round(statistics.median(full.clean), 3),
            "killed_s": round(statistics.median(full.killed), 3),
            "empty_clean_s": round(statistics.median(empty.clean), 3),
            "empty_killed_s": round(statistics.median(empty.killed), 3),
            "blocks": options.blocks,
            "coins": options.coins,
        },
    )


@attrs.define
class Restarts:
    """Seconds of each restart, and of its first part until the old process was gone."""

    clean: list[float] = attrs.Factory(list)
    killed: list[float] = attrs.Factory(list)
    clean_ending: list[float] = attrs.Factory(list)
    killed_ending: list[float] = attrs.Factory(list)

    @classmethod
    def of(cls, node: NodePlan, process: NodeProcess, runs: int) -> Restarts:
        """Restart a running node so often in each way, by turns."""
        found = cls()
        wait_ready(node, process)
        for _ in range(runs):
            for number, whole, ending in (
                (signal.SIGTERM, found.clean, found.clean_ending),
                (signal.SIGKILL, found.killed, found.killed_ending),
            ):
                begun = time.monotonic()
                process.signal(number)
                if not process.wait(READY_S):
                    raise LocalError(f"{node.name} does not end.")
                ending.append(time.monotonic() - begun)
                process.start()
                wait_ready(node, process)
                whole.append(time.monotonic() - begun)
        return found

    def rows(self, chain: str) -> list[list[object]]:
        """Of the report's table."""
        return [
            [chain, after, len(whole), statistics.median(whole), max(whole), statistics.median(ending)]
            for after, whole, ending in (
                ("SIGTERM", self.clean, self.clean_ending),
                ("kill -9", self.killed, self.killed_ending),
            )
        ]


@contextmanager
def network(blocks: int, coins: int) -> Iterator[tuple[NodePlan, NodeProcess]]:
    """One running member with so many blocks that hold so many coins."""
    directory = Path(tempfile.mkdtemp(prefix="timed-bench-"))
    plan = make_network(directory, 1, 1, INTERVAL_S)
    configure(plan, "")
    if blocks:
        endow(plan, -(-coins // FAN))
        genesis = longchain.backdate(plan, blocks)
        longchain.grow(plan, genesis, blocks, fans(genesis, coins))
    with running(plan) as started:
        (node,) = plan.nodes
        yield node, started.processes[node.number]
    shutil.rmtree(directory, ignore_errors=True)


def fans(genesis: Genesis, coins: int) -> list[Transaction]:
    """Transactions that make so many outputs of the coins that `endow` gave."""
    made: list[Transaction] = []
    for place, spent in coins_of_payer(genesis):
        count = min(FAN, coins - FAN * len(made))
        value = (spent.value - fee_for(COIN, genesis.params)) // count
        made.append(signed(genesis, place, spent, [Output(value, PAYEE)] * count))
    return made


def wait_ready(node: NodePlan, process: NodeProcess) -> None:
    """Until /ready says so; LocalError when the process ends or it takes too long."""
    deadline = time.monotonic() + READY_S
    while not is_ready(node):
        if not process.alive:
            raise LocalError(f"{node.name} has ended:\n{process.tail()}")
        if time.monotonic() > deadline:
            raise LocalError(f"{node.name} is not ready after {READY_S:g} s:\n{process.tail()}")
        time.sleep(POLL_S)


def is_ready(node: NodePlan) -> bool:
    """Whether the monitor answers /ready with 200."""
    connection = http.client.HTTPConnection(HOST, node.monitor_port, timeout=READY_S)
    try:
        connection.request("GET", "/ready")
        return connection.getresponse().status == http.client.OK
    except OSError:
        return False
    finally:
        connection.close()
