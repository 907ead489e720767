"""Light calls to a real node over HTTP, beside what twisted.web itself can do.

The node is the only member of its network and makes blocks as usual. Clients in another
process post light calls with an ordinary account, and the same number of them posts to
twisted.web's own Site, which answers a constant of the same size without looking at
anything. Both are measured by turns, and only what lies between two turns counts.
Then a second node catches up with a long chain and answers meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

from timed.bench import longchain, rpccrowd
from timed.bench.cluster import configure, endow, running
from timed.bench.load import sign_payments
from timed.bench.loop import PATIENCE_S, Child
from timed.bench.loop import run as run_loop
from timed.bench.measure import figure, percentile
from timed.bench.processes import cpu_s
from timed.bench.report import Goal, Outcome, short
from timed.client import message
from timed.errors import LocalError
from timed.primitives.transaction import Transaction
from timed.rpc.credentials import make
from timed.testnet.layout import NodePlan, make_network
from timed.testnet.network import Network
from timed.testnet.rpc import call, connect

USER, PASSWORD = "bench", "loopback"
INTERVAL_S = 5
CLIENTS = (1, 20, 200)
SYNC_CLIENTS = 20
BATCH = 20
CALLS: tuple[tuple[str, list[Any]], ...] = (
    ("getblockcount", []),
    ("getbestblockhash", []),
    ("getblockhash", [1]),
    ("getblockheader", [1]),
    ("getconnectioncount", []),
    ("getmempoolinfo", []),
    ("getfeeschedule", []),
    ("uptime", []),
)
"""Light calls: the chain, a block by its height, the mempool, the node."""
NODE, BARE = "node", "bare"
US_PER_MS = 1e3
GOAL_SHARE = 0.6
GOAL_P99_200_MS = 60.0
GOAL_P99_SYNCING_MS = 50.0


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=1.0, help="of one turn of full load (default 1)")
    parser.add_argument("--paced-seconds", type=float, default=5.0, help="at half the rate (default 5)")
    parser.add_argument("--runs", type=int, default=5, help="turns of each (default 5)")
    parser.add_argument(
        "--blocks", type=int, default=8000, help="with a payment each, to catch up with (default 8000)"
    )
    rpccrowd.options(parser)


@attrs.frozen
class Side:
    """One server under full load, then at half of that. Milliseconds, and CPU microseconds of a request."""

    per_s: list[float]
    """Of each turn."""
    cpu_us: float
    p50: float
    p99: float
    paced: int
    """Requests at half the rate."""

    @property
    def rate(self) -> float:
        return statistics.median(self.per_s)


@attrs.frozen
class Beside:
    """Node and bare server with one number of clients."""

    name: str
    node: Side
    bare: Side

    @property
    def share(self) -> float:
        """Of the bare server's rate: the median over pairs of turns."""
        return statistics.median(self._shares())

    @property
    def spread(self) -> float:
        return figure(self._shares()).spread

    def _shares(self) -> list[float]:
        return [node / bare for node, bare in zip(self.node.per_s, self.bare.per_s, strict=True)]

    def row(self) -> list[object]:
        node, bare = self.node, self.bare
        return [
            self.name, node.rate, bare.rate, self.share, node.cpu_us, bare.cpu_us,
            node.p50, node.p99, bare.p99,
        ]  # fmt: skip

    def figures(self) -> dict[str, Any]:
        return {
            "req_per_s": round(self.node.rate),
            "bare_req_per_s": round(self.bare.rate),
            "share_of_bare": round(self.share, 3),
            "cpu_us": round(self.node.cpu_us),
            "bare_cpu_us": round(self.bare.cpu_us),
            "p50_ms": round(self.node.p50, 2),
            "p99_ms": round(self.node.p99, 2),
            "bare_p99_ms": round(self.bare.p99, 2),
            "paced": self.node.paced,
        }


COLUMNS = (
    "clients", "requests/s", "bare", "share", "CPU µs", "bare", "p50 ms", "p99 ms", "bare p99",
)  # fmt: skip


@attrs.frozen
class Server:
    """Where requests go: its name among the clients, its process, and what it is asked."""

    name: str
    pid: int
    port: int
    authorization: str = ""
    bodies: tuple[str, ...] = ()

    def order(self, clients: int, hosts: int = 1) -> dict[str, Any]:
        return {
            "open": self.name, "port": self.port, "clients": clients, "hosts": hosts,
            "authorization": self.authorization, "bodies": list(self.bodies),
        }  # fmt: skip


class Bench:
    """The clients' process, and what they are told to do."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self._clients = Child("timed.bench.httpload")
        self._bare: list[Child] = []

    async def bare(self, like: Server, node: NodePlan) -> Server:
        """A server of twisted.web alone whose answers are as long as the node's."""
        child = Child("timed.bench.bareweb", str(answer_bytes(node, like.bodies)))
        self._bare.append(child)
        return Server(BARE, child.pid, await child.hear(), "", like.bodies)

    async def beside(self, name: str, clients: int, node: Server, bare: Server) -> Beside:
        """Both by turns under full load, then at half of what they took."""
        servers = (bare, node)
        for server in servers:
            await self._clients.ask(server.order(clients))
        loads: dict[str, list[dict[str, Any]]] = {server.name: [] for server in servers}
        spent = dict.fromkeys(loads, 0.0)
        for _ in range(self.options.runs):
            for server in servers:
                cpu = cpu_s(server.pid)
                loads[server.name].append(
                    await self._ask(server, {"seconds": self.options.seconds}, "closed")
                )
                spent[server.name] += cpu_s(server.pid) - cpu
        sides = {}
        for server in servers:
            sides[server.name] = await self._at_half(server, loads[server.name], spent[server.name])
        for server in servers:
            await self._clients.ask({"shut": server.name})
        return Beside(name, sides[node.name], sides[bare.name])

    async def _at_half(self, server: Server, loads: list[dict[str, Any]], cpu: float) -> Side:
        rates = [len(load["delays"]) / load["seconds"] for load in loads]
        half = {"seconds": self.options.paced_seconds, "rate": statistics.median(rates) / 2}
        paced = (await self._ask(server, half, "paced"))["delays"]
        answered = sum(len(load["delays"]) for load in loads)
        return Side(
            rates,
            cpu / answered * 1e6,
            percentile(paced, 50) / US_PER_MS,
            percentile(paced, 99) / US_PER_MS,
            len(paced),
        )

    async def _ask(self, server: Server, order: dict[str, Any], what: str) -> dict[str, Any]:
        patience = order["seconds"] + PATIENCE_S
        found: dict[str, Any] = await self._clients.ask({what: server.name, **order}, patience)
        if found["wrong"] or found["lost"] or not found["delays"]:
            raise LocalError(
                f"of {len(found['delays'])} answers of the {server.name} server {found['wrong']} were "
                f"no result, and {found['lost']} did not come."
            )
        return found

    async def end(self) -> None:
        for child in (*self._bare, self._clients):
            await child.end()


def bodies(batch: int = 1) -> tuple[str, ...]:
    """Requests with the light calls, one or `batch` calls each, every body another mix."""
    requests = [message.request(number, method, params) for number, (method, params) in enumerate(CALLS)]
    if batch == 1:
        return tuple(json.dumps(each) for each in requests)
    turned = [requests[first:] + requests[:first] for first in range(len(requests))]
    return tuple(json.dumps([each[at % len(each)] for at in range(batch)]) for each in turned)


def answer_bytes(node: NodePlan, asked: tuple[str, ...]) -> int:
    """The mean length of the node's answers."""
    with connect(node) as client:
        return round(statistics.mean(len(client.exchange(json.loads(body))) for body in asked))


def server_of(node: NodePlan, pid: int, asked: tuple[str, ...]) -> Server:
    return Server(NODE, pid, node.rpc_port, message.authorization(USER, PASSWORD), asked)


def account() -> str:
    """A section of the configuration: an ordinary account without a budget, which loopback would share."""
    return f"[rpc]\nauth = {make(USER, PASSWORD, os.urandom).line}\nroles = {USER}:read\nbudget_per_s = 0\n"


@contextmanager
def network(blocks: int, settings: str) -> Iterator[Network]:
    """One member with a chain of so many blocks, running; a late node that has none of them."""
    directory = Path(tempfile.mkdtemp(prefix="timed-bench-"))
    plan = make_network(directory, 1, 1, INTERVAL_S)
    configure(plan, settings)
    if blocks:
        endow(plan, blocks)
        genesis = longchain.backdate(plan, blocks)
        signed = sign_payments(genesis, blocks)
        payments = [Transaction.decode(bytes.fromhex(each.text)) for each in signed]
        longchain.grow(plan, genesis, blocks, payments)
    with running(plan) as started:
        yield started
    shutil.rmtree(directory, ignore_errors=True)


def run(options: argparse.Namespace) -> Outcome:
    if options.crowd:
        with network(0, account() + rpccrowd.settings(options)) as started:
            (node,) = started.plan.nodes
            process = started.processes[node.number]
            started.wait_equal("first block", 1)
            busy = server_of(node, process.pid or 0, bodies()).order(options.busy, rpccrowd.HOSTS)
            return run_loop(lambda: rpccrowd.measure(options, node, process, busy))
    with network(options.blocks, account()) as started:
        return run_loop(lambda: measure(options, started))


async def measure(options: argparse.Namespace, started: Network) -> Outcome:
    (node,) = started.plan.nodes
    pid = started.processes[node.number].pid or 0
    bench = Bench(options)
    single, batched = server_of(node, pid, bodies()), server_of(node, pid, bodies(BATCH))
    bare, bare_batched = await bench.bare(single, node), await bench.bare(batched, node)
    found = [await bench.beside(str(clients), clients, single, bare) for clients in CLIENTS]
    batches = await bench.beside(f"{SYNC_CLIENTS}, batches of {BATCH}", SYNC_CLIENTS, batched, bare_batched)
    syncing, taken = await while_syncing(bench, started, bare)
    await bench.end()
    return outcome(options, found, batches, syncing, taken)


async def while_syncing(bench: Bench, started: Network, bare: Server) -> tuple[Beside, int]:
    """The same with a node that catches up; how many blocks it took in. LocalError when it was done before."""
    late = started.plan.late
    started.start(late)
    started.wait_answering([late])
    server = server_of(late, started.processes[late.number].pid or 0, bodies())
    first = int(call(late, "getblockcount"))
    found = await bench.beside(f"{SYNC_CLIENTS}, syncing", SYNC_CLIENTS, server, bare)
    last = int(call(late, "getblockcount"))
    if last >= bench.options.blocks:
        raise LocalError("the node had caught up before it was measured.", "Give it more with --blocks.")
    return found, last - first


def outcome(
    options: argparse.Namespace, found: list[Beside], batches: Beside, syncing: Beside, taken: int
) -> Outcome:
    """Table, figures and goals."""
    most = found[-1]
    share = min(each.share for each in found)
    by_clients = {int(each.name): each for each in found}
    everything = [*found, batches, syncing]
    return Outcome(
        "rpc: light calls to a node, and twisted.web with a constant",
        COLUMNS,
        rows=[each.row() for each in everything],
        notes=[
            f"Both by turns of {options.seconds:g} s; p50 and p99 at half the rate of full load, from when",
            f"a request was due. {taken} blocks were taken in meanwhile; load {short(os.getloadavg()[0])} after.",
            "",
        ],
        figures={
            "share_of_bare": round(share, 3),
            "req_per_s": round(most.node.rate),
            **{f"p99_ms_{count}": round(each.node.p99, 2) for count, each in by_clients.items()},
            f"p99_ms_{SYNC_CLIENTS}_syncing": round(syncing.node.p99, 2),
            "batch_calls_per_s": round(batches.node.rate * BATCH),
            "blocks_while_syncing": taken,
            "clients": {str(count): each.figures() for count, each in by_clients.items()},
            "batches": batches.figures(),
            "syncing": syncing.figures(),
        },
        goals=[
            Goal("share of the bare server, worst", share, GOAL_SHARE, at_least=True),
            Goal(f"p99, {CLIENTS[-1]} clients", most.node.p99, GOAL_P99_200_MS, unit=" ms"),
            Goal(f"p99, {SYNC_CLIENTS} clients, syncing", syncing.node.p99, GOAL_P99_SYNCING_MS, unit=" ms"),
        ],
        runs=options.runs,
        spread=max(each.spread for each in found),
    )
