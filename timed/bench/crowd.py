"""One real node and a crowd of light clients: quiet, with payments, and with some who misbehave.

The node is a member of a network of real processes that makes blocks and finalises
payments. The clients are its followers: sessions of the production code in another
process, each from a loopback address of its own. The node does not trust loopback.
In the end one client in ten floods, one reads nothing more and one sends a byte a
second, while the others and the payments go on as before.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from typing import Any

import attrs

from timed.bench.cluster import Cluster, cluster
from timed.bench.finality import last_of
from timed.bench.idle import memory_of_imports
from timed.bench.load import Load, Payment, sign_payments
from timed.bench.loop import Child, sleep
from timed.bench.loop import run as run_loop
from timed.bench.measure import MS_PER_NS, percentile
from timed.bench.misconduct import DRIP, STALL
from timed.bench.processes import anonymous_mb, cpu_s, descriptors
from timed.bench.report import Goal, Outcome, short
from timed.bench.verdicts import Judged, judge
from timed.errors import LocalError
from timed.testnet.report import info_lines
from timed.testnet.rpc import call
from timed.wire.catalogue import MESSAGES

INTERVAL_S = 10
SETTLE_S = 3.0
PING_S = 5.0
"""How often each client pings while payments are made."""
DRAIN_S = 30.0
POLL_S = 0.5
DEAREST = 8
SETTINGS = "[p2p]\nmax_inbound = 1000\ntrust_loopback = no\n"
PLAIN = "plain = yes\n"
GOAL_CPU = 3.0
GOAL_CPU_PEERS = 200
"""The most CPU, in percent of a core, and for how many quiet peers."""
GOAL_MB = 50.0
GOAL_KB_PER_PEER = 64.0
GOAL_RATIO = 2.0
GOAL_GARBAGE_CPU = 50.0
GOAL_GAIN_MB = 16.0
GOAL_DESCRIPTORS = 5
GOAL_LAG_P99_MS, GOAL_LAG_MAX_MS = 20.0, 200.0
US_PER_MS = 1000.0


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--peers", type=int, default=200, help="clients (default 200)")
    parser.add_argument(
        "--seconds", type=float, default=600.0, help="quiet and with payments, half each (default 600)"
    )
    parser.add_argument(
        "--attack-seconds", type=float, default=150.0, help="with some who misbehave (default 150)"
    )
    parser.add_argument("--transport", choices=("tls", "plain"), default="tls", help="(default tls)")
    parser.add_argument("--members", type=int, default=1, help="nodes of the network (default 1)")
    parser.add_argument("--rate", type=float, default=1.0, help="payments per second (default 1)")


@attrs.frozen
class Stretch:
    """A part of the run, as the node and its clients saw it. Times in milliseconds, CPU in percent of a core."""

    name: str
    seconds: float
    cpu_percent: float
    lags: list[float]
    final: list[float]
    missing: int
    """Payments that did not become final."""
    pings: int
    unanswered: int
    round_trips: list[float]
    seen: list[dict[str, Any]]
    """`follower.Seen`, of each process of clients."""
    anonymous_mb: float
    descriptors: int
    log_lines: int
    cpu_of: dict[str, float]
    """CPU seconds of the node's thread by type of message, as it says itself."""
    txids: tuple[str, ...]
    certified: tuple[str, ...]
    """Those of them that became final before they were in a block, so that there is a certificate."""

    def row(self) -> list[object]:
        return [
            self.name, self.seconds, self.cpu_percent, percentile(self.lags, 99), max(self.lags, default=0.0),
            percentile(self.round_trips, 50), percentile(self.round_trips, 99), len(self.final),
            percentile(self.final, 50), percentile(self.final, 99), self.anonymous_mb, self.descriptors,
        ]  # fmt: skip

    def untold(self, clients: int) -> int:
        """Certificates that a client lacks, over all clients and payments of this stretch."""
        told = sum(int(seen["final"].get(txid, 0)) for seen in self.seen for txid in self.certified)
        return clients * len(self.certified) - told

    def lost(self) -> int:
        """Sessions that ended."""
        return sum(sum(seen["closed"].values()) for seen in self.seen)

    def figures(self, clients: int) -> dict[str, Any]:
        return {
            "seconds": round(self.seconds, 1),
            "cpu_percent": round(self.cpu_percent, 2),
            "lag_p99_ms": round(percentile(self.lags, 99), 2),
            "lag_max_ms": round(max(self.lags, default=0.0), 2),
            "pings": self.pings,
            "pings_unanswered": self.unanswered,
            "ping_p50_ms": round(percentile(self.round_trips, 50), 2),
            "ping_p99_ms": round(percentile(self.round_trips, 99), 2),
            "payments": len(self.txids),
            "payments_missing": self.missing,
            "final_p50_ms": round(percentile(self.final, 50), 1),
            "final_p99_ms": round(percentile(self.final, 99), 1),
            "anonymous_mb": round(self.anonymous_mb, 1),
            "descriptors": self.descriptors,
            "log_lines": self.log_lines,
            "cpu_seconds": {name: round(spent, 3) for name, spent in self.cpu_of.items()},
            "connections_lost": self.lost(),
            "certificates_untold": self.untold(clients),
            "repeated": sum(int(seen["repeated"]) for seen in self.seen),
        }


COLUMNS = (
    "stretch", "seconds", "CPU %", "lag p99 ms", "max ms", "ping p50 ms", "p99 ms", "payments",
    "final p50 ms", "p99 ms", "anonymous MB", "descriptors",
)  # fmt: skip


class Crowd:
    """The node under test, and the processes of its clients."""

    def __init__(self, network: Cluster, options: argparse.Namespace) -> None:
        self.network = network
        self.options = options
        self.node = network.plan.nodes[0]
        self.process = network.network.processes[self.node.number]
        self.pid = self.process.pid or 0
        self.payments: list[Payment] = []

    def child(self, module: str, first: int) -> Child:
        """A process of clients, which are numbered from `first` on."""
        settings = {
            "port": self.node.p2p_port, "node_id": self.node.node_id.hex(),
            "genesis": self.network.genesis.hash.hex(), "plain": self.options.transport == "plain",
            "first": first, "own_addresses": True,
        }  # fmt: skip
        return Child(module, json.dumps(settings))

    def costs(self) -> dict[str, float]:
        """CPU seconds by type of message since the node was started."""
        return {name: float(spent) for name, spent in call(self.node, "getnettotals")["cpu"].items()}

    async def stretch(
        self, name: str, seconds: float, rate: float, children: list[Child], clients: int
    ) -> Stretch:
        """Watch for a while, with so many payments per second; `children` hold `clients` together."""
        observed = self.network.observed[self.node.number]
        self.network.look()
        for child in children:
            await child.ask({"figures": True})
        at = len(observed.lag_ns)
        costs = self.costs()
        lines, cpu, begun = info_lines(self.process), cpu_s(self.pid), time.monotonic()
        batch = [self.payments.pop() for _ in range(min(len(self.payments), round(rate * seconds)))]
        load = Load(self.network.plan.nodes, batch, rate) if batch else None
        if load is not None:
            load.start()
        await sleep(seconds)
        taken, used = time.monotonic() - begun, cpu_s(self.pid) - cpu
        cpu_of = {name: spent - costs.get(name, 0.0) for name, spent in self.costs().items()}
        due = load.wait().due if load is not None else {}
        missing = self.network.wait_final(list(due), DRAIN_S)
        self.network.look()
        # What was in a block before it was final is told with the block.
        certified = [txid.hex() for txid in due if txid not in observed.early]
        seen = await all_told(children, clients, certified)
        return Stretch(
            name=name,
            seconds=taken,
            cpu_percent=100 * used / taken,
            lags=[late * MS_PER_NS for late in observed.lag_ns[at:]],
            final=last_of([each.final for each in self.network.observed.values()], due),
            missing=len(missing),
            pings=sum(each["pings"] for each in seen),
            unanswered=sum(each["unanswered"] for each in seen),
            round_trips=[trip / US_PER_MS for each in seen for trip in each["round_trips_us"]],
            seen=seen,
            anonymous_mb=anonymous_mb(self.pid),
            descriptors=descriptors(self.pid),
            log_lines=info_lines(self.process) - lines,
            cpu_of=cpu_of,
            txids=tuple(txid.hex() for txid in due),
            certified=tuple(certified),
        )


def run(options: argparse.Namespace) -> Outcome:
    if options.peers <= len(offenders_of(options.peers)):
        raise LocalError(
            f"{options.peers} clients are no crowd: three at least misbehave, and others are to notice nothing.",
            "Ask for more with --peers.",
        )
    coins = round(options.rate * (options.seconds / 2 + options.attack_seconds)) + 1
    settings = SETTINGS + (PLAIN if options.transport == "plain" else "")
    with cluster(options.members, coins, INTERVAL_S, settings) as network:
        crowd = Crowd(network, options)
        crowd.payments = sign_payments(network.genesis, coins)
        return run_loop(lambda: measure(crowd))


async def all_told(children: list[Child], clients: int, txids: list[str]) -> list[dict[str, Any]]:
    """What the clients saw, once every one was told of these payments or `DRAIN_S` are over."""
    deadline = time.monotonic() + DRAIN_S
    while True:
        seen = [await child.ask({"seen": True}) for child in children]
        told = sum(int(each["final"].get(txid, 0)) for each in seen for txid in txids)
        if told >= clients * len(txids) or time.monotonic() > deadline:
            return [await child.ask({"figures": True}) for child in children]
        await sleep(POLL_S)


@attrs.define
class Found:
    """The parts of one run, and what was counted between them."""

    peers: int
    imports_mb: float
    alone_mb: float
    quiet: Stretch
    paid: Stretch
    attacked: Stretch
    judged: Judged
    ended: dict[str, int]
    """Sessions of those who misbehaved, by the reason they heard."""
    left: int
    """Descriptors when these had gone."""

    @property
    def kb_per_peer(self) -> float:
        return 1000 * (self.quiet.anonymous_mb - self.alone_mb) / self.peers

    @property
    def above_imports_mb(self) -> float:
        return max(self.quiet.anonymous_mb, self.paid.anonymous_mb) - self.imports_mb

    @property
    def garbage_cpu(self) -> float:
        return self.attacked.cpu_percent - self.paid.cpu_percent

    @property
    def ratio(self) -> float:
        """The slowest payments, with misconduct to without."""
        return percentile(self.attacked.final, 99) / max(percentile(self.paid.final, 99), 0.001)

    @property
    def clients(self) -> int:
        return self.peers - len(self.judged.offenders)

    @property
    def left_behind(self) -> int:
        return self.left - (self.paid.descriptors - len(self.judged.offenders))

    def figures(self) -> dict[str, Any]:
        return {
            "peers": self.peers,
            "kb_per_peer": round(self.kb_per_peer, 1),
            "above_imports_mb": round(self.above_imports_mb, 1),
            "quiet": self.quiet.figures(self.peers),
            "payments": self.paid.figures(self.peers),
            "misconduct": {
                **self.attacked.figures(self.clients),
                "garbage_cpu_percent": round(self.garbage_cpu, 1),
                "final_p99_ratio": round(self.ratio, 2),
                "offenders": self.judged.offenders,
                "honest_limited": self.judged.honest_limited,
                "offenders_unlimited": self.judged.unlimited(),
                "sessions_of_offenders_ended": self.ended,
                "descriptors_left_behind": self.left_behind,
            },
        }

    def goals(self) -> list[Goal]:
        most = GOAL_CPU * max(1.0, self.peers / GOAL_CPU_PEERS)
        gained = self.attacked.anonymous_mb - self.paid.anonymous_mb
        return [
            Goal("CPU while quiet", self.quiet.cpu_percent, most, unit=" %"),
            Goal("memory of one peer", self.kb_per_peer, GOAL_KB_PER_PEER, unit=" kB"),
            Goal("memory above imports", self.above_imports_mb, GOAL_MB, unit=" MB"),
            *goals_of(self.quiet, self.peers),
            *goals_of(self.paid, self.peers),
            *goals_of(self.attacked, self.clients),
            Goal("finality p99 under misconduct, to that without", self.ratio, GOAL_RATIO),
            Goal("CPU for garbage", self.garbage_cpu, GOAL_GARBAGE_CPU, unit=" %"),
            Goal("memory gained under misconduct", gained, GOAL_GAIN_MB, unit=" MB"),
            Goal("honest clients that were limited", len(self.judged.honest_limited), 0),
            Goal("offenders that were not", len(self.judged.unlimited()), 0),
            Goal("descriptors left behind", self.left_behind, GOAL_DESCRIPTORS),
        ]


async def measure(crowd: Crowd) -> Outcome:
    options = crowd.options
    base = await memory_of_imports()
    await sleep(SETTLE_S)
    alone = anonymous_mb(crowd.pid)
    offenders = offenders_of(options.peers)
    clients = options.peers - len(offenders)
    honest = crowd.child("timed.bench.follower", 0)
    await honest.ask({"peers": clients})
    bad = crowd.child("timed.bench.misconduct", clients)
    await bad.ask({"peers": len(offenders)})
    await sleep(SETTLE_S)
    quiet = await crowd.stretch("quiet", options.seconds / 2, 0, [honest, bad], options.peers)
    for child in (honest, bad):
        await child.ask({"ping": PING_S})
    await sleep(SETTLE_S)
    paid = await crowd.stretch("payments", options.seconds / 2, options.rate, [honest, bad], options.peers)
    await bad.ask({"ping": 0})
    await bad.ask({"misbehave": {str(clients + index): names for index, names in enumerate(offenders)}})
    attacked = await crowd.stretch("misconduct", options.attack_seconds, options.rate, [honest], clients)
    misdeeds = await bad.ask({"misdeeds": True})
    ended = (await bad.ask({"figures": True}))["closed"]
    judged = judge(crowd.node, clients, offenders, misdeeds, attacked.seconds)
    await bad.end()
    left = await descriptors_left(crowd.pid, paid.descriptors - len(offenders))
    await honest.end()
    found = Found(options.peers, base, alone, quiet, paid, attacked, judged, ended, left)
    return Outcome(
        f"crowd: one node and {options.peers} clients over {options.transport}",
        COLUMNS,
        rows=[quiet.row(), paid.row(), attacked.row()],
        notes=[*notes(crowd, alone, base), *dearest(attacked), "", *judged.lines(), ""],
        figures=found.figures(),
        goals=found.goals(),
    )


async def descriptors_left(pid: int, expected: int) -> int:
    """When they are no more than expected, or after `DRAIN_S`: what a link held back is read before its end."""
    deadline = time.monotonic() + DRAIN_S
    while (left := descriptors(pid)) > expected and time.monotonic() < deadline:
        await sleep(POLL_S)
    return left


def offenders_of(peers: int) -> list[list[str]]:
    """What each client that misbehaves does; together they flood every type of the catalogue."""
    count = max(1, peers // 10)
    kinds = [kind.name for kind in MESSAGES]
    return [[STALL], [DRIP], *(kinds[index % len(kinds) :: count] for index in range(count))]


def notes(crowd: Crowd, alone: float, base: float) -> list[str]:
    """The circumstances."""
    members, rate = crowd.options.members, crowd.options.rate
    memory = f"memory without clients {alone:.1f} MB, of the imports {base:.1f} MB"
    load = short(os.getloadavg()[0])
    return [
        f"{members} member(s), a block every {INTERVAL_S} s, {rate:g} payments/s while they are made; {memory}.",
        f"Clients ping every {PING_S:g} s but while quiet; lag is of a call every 10 ms; load afterwards {load}.",
    ]


def dearest(stretch: Stretch) -> list[str]:
    """On what the node spent most."""
    spent = sorted(stretch.cpu_of.items(), key=lambda item: item[1], reverse=True)[:DEAREST]
    shown = ", ".join(f"{name} {100 * seconds / stretch.seconds:.1f} %" for name, seconds in spent)
    return [f"CPU of the node's thread under {stretch.name}: {shown}."]


def goals_of(stretch: Stretch, clients: int) -> list[Goal]:
    """What holds in every part of the run."""
    name = stretch.name
    return [
        Goal(f"reactor late, p99, {name}", percentile(stretch.lags, 99), GOAL_LAG_P99_MS, unit=" ms"),
        Goal(f"reactor late, at most, {name}", max(stretch.lags, default=0.0), GOAL_LAG_MAX_MS, unit=" ms"),
        Goal(f"connections lost, {name}", stretch.lost(), 0),
        Goal(f"payments that did not become final, {name}", stretch.missing, 0),
        Goal(f"certificates that a client was not given, {name}", stretch.untold(clients), 0),
        Goal(f"pings without a pong, {name}", stretch.unanswered, 0),
    ]
