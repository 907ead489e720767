"""A network of real processes as `timed-testnet` makes it, with coins to spend and a probe in each node."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import attrs

from timed.app.genesis_file import read_genesis, write_genesis
from timed.bench import probe
from timed.bench.processes import environment
from timed.crypto.keys import SigningKey
from timed.ledger.genesis import Genesis
from timed.params import UNITS_PER_TIME
from timed.primitives.hashing import tagged_hash
from timed.primitives.transaction import Lock
from timed.testnet.layout import NodePlan, Plan, make_network
from timed.testnet.network import Network
from timed.testnet.registry import state_path
from timed.testnet.waiting import Reporter

COIN = UNITS_PER_TIME
PAYER = SigningKey.from_seed(tagged_hash("bench-payer"))
PLUGIN = "from timed.bench.probe import service as bench_probe\n"
SETTINGS = f"[services]\nenabled = chain, index, p2p, rpc, monitor, {probe.NAME}\n"
POLL_S = 0.25


@attrs.define
class Observed:
    """What the probe of one node has written: transaction id to monotonic nanoseconds."""

    certified: dict[bytes, int] = attrs.Factory(dict)
    final: dict[bytes, int] = attrs.Factory(dict)
    """A transaction that was in a block before the node knew it final counts from the block on."""
    early: set[bytes] = attrs.Factory(set)
    """Which those were."""
    dropped: dict[bytes, int] = attrs.Factory(dict)
    blocks: dict[int, int] = attrs.Factory(dict)
    """Height to when the block was the tip."""
    lag_at: array[int] = attrs.Factory(lambda: array("Q"))
    """When ticks were answered, a hundred a second: a soak of a day has millions of them."""
    lag_ns: array[int] = attrs.Factory(lambda: array("Q"))
    """How late each of them was."""
    offset: int = 0

    def take(self, path: Path) -> None:
        """Read what is new."""
        records, self.offset = probe.read(path, self.offset)
        for kind, at, value in records:
            if kind == probe.LAG:
                self.lag_at.append(at)
                self.lag_ns.append(int.from_bytes(value, "little"))
            elif kind == probe.CERTIFIED:
                self.certified.setdefault(value, at)
            elif kind == probe.FINAL:
                self.final.setdefault(value, at)
            elif kind == probe.CONFIRMED and value not in self.final:
                self.final[value] = at
                self.early.add(value)
            elif kind == probe.DROPPED:
                self.dropped.setdefault(value, at)
            elif kind == probe.BLOCK:
                self.blocks.setdefault(int.from_bytes(value, "little"), at)


class Cluster:
    """Running members, all of which vote."""

    def __init__(self, network: Network, genesis: Genesis) -> None:
        self.network = network
        self.plan = network.plan
        self.genesis = genesis
        self.observed = {node.number: Observed() for node in self.plan.nodes}
        self.incomplete = False
        """Something never became final: the logs are worth a look."""

    def look(self) -> None:
        """Read what the probes have written since the last call."""
        for node in self.plan.nodes:
            self.observed[node.number].take(node.datadir / probe.FILE)

    def pid(self, node: NodePlan) -> int:
        return self.network.processes[node.number].pid or 0

    def wait_final(self, txids: Iterator[bytes] | list[bytes], seconds: float) -> list[bytes]:
        """Until every node has them final; those that are not after so long."""
        missing = list(txids)
        deadline = time.monotonic() + seconds
        while missing and time.monotonic() < deadline:
            time.sleep(POLL_S)
            self.look()
            missing = [
                txid for txid in missing if any(txid not in each.final for each in self.observed.values())
            ]
        self.incomplete = self.incomplete or bool(missing)
        return missing

    def height(self) -> int:
        return max(self.network.heights(), default=0)


@contextmanager
def cluster(members: int, coins: int, interval: int = 5, settings: str = "") -> Iterator[Cluster]:
    """Start a network with `coins` coins for `PAYER`, wait for its first block, stop it at the end.

    `settings` are sections of the configuration of every node, the late one included.

    WaitFailed when it does not come up. Its directory is kept when something failed or never became final.
    """
    directory = Path(tempfile.mkdtemp(prefix="timed-bench-"))
    plan = make_network(directory, members, members, interval)
    genesis = endow(plan, coins)
    configure(plan, SETTINGS + settings)
    with running(plan, install_probe(directory)) as network:
        network.wait_connected()
        network.wait_equal("first block", 1)
        made = Cluster(network, genesis)
        yield made
    if made.incomplete:
        network.reporter.say(f"Not everything became final; logs and data are kept in {directory}.")
    else:
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def running(plan: Plan, *directories: Path) -> Iterator[Network]:
    """The processes of a plan, from their first answer until the end of the block.

    Their Python looks into `directories`, too.
    """
    network = Network(plan, Reporter(sys.stderr), state_path())
    with python_path(*directories), terminable():
        try:
            network.start(*plan.nodes)
            network.wait_answering(plan.nodes)
            yield network
        finally:
            network.stop()


def configure(plan: Plan, settings: str) -> None:
    """Add sections to the configuration of every node."""
    for node in (*plan.nodes, plan.late):
        node.ini.write_text(node.ini.read_text(encoding="utf-8") + settings, encoding="utf-8")


def endow(plan: Plan, coins: int) -> Genesis:
    """Write the genesis again, with coins for `PAYER` and a time that suits a long preparation."""
    path = plan.directory / "genesis.json"
    genesis = read_genesis(path)
    lock = Lock.key_hash(PAYER.public)
    endowed = attrs.evolve(
        genesis,
        allocation=(*genesis.allocation, *[(lock, COIN)] * coins),
        time=int(time.time()) // plan.interval * plan.interval,
    )
    write_genesis(path, endowed)
    return endowed


def install_probe(directory: Path) -> Path:
    """A plugin directory with the probe, for the Python path of the nodes."""
    root = directory / "python"
    plugins = root / "timed" / "plugins"
    plugins.mkdir(parents=True)
    (plugins / "timed_bench_probe.py").write_text(PLUGIN, encoding="utf-8")
    return root


@contextmanager
def python_path(*directories: Path) -> Iterator[None]:
    """Processes started meanwhile look into `directories` and where `timed` is."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = environment(*map(str, directories))["PYTHONPATH"]
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


@contextmanager
def terminable() -> Iterator[None]:
    """SIGTERM ends the block as Ctrl-C does, so that no process is left behind."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
