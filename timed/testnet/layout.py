"""The files of a network on one machine: genesis, keys and configurations.

::

    DIR/genesis.json
    DIR/node-1.ini         one per node
    DIR/node-1.log
    DIR/node-1/            its data directory
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

import attrs

from timed.app.datadir import NODE_KEY, OPERATOR_KEY
from timed.app.genesis_file import write_genesis
from timed.crypto.keys import SigningKey, create_key_file
from timed.ledger.genesis import Genesis
from timed.params import REGTEST, UNITS_PER_TIME
from timed.peer.values import PeerAddress
from timed.primitives.roster import Member, Roster, Tier, weights_for
from timed.primitives.transaction import Lock
from timed.testnet.freeports import HOST as HOST
from timed.testnet.freeports import free_ports
from timed.wallet.derivation import account_path
from timed.wallet.keystore import RECEIVE, Keystore
from timed.wallet.phrase import ENTROPY_BYTES
from timed.wallet.walletfile import Record, WalletFile
from timed.wallet.walletkey import WalletSeed

COINS_PER_MEMBER = 50
COIN = 10_000 * UNITS_PER_TIME
PORTS_PER_NODE = 3


@attrs.frozen
class NodePlan:
    """One node: where it listens, where it keeps what it has, whether it votes."""

    number: int
    member: bool
    node_id: bytes
    p2p_port: int
    rpc_port: int
    monitor_port: int
    directory: Path

    @property
    def name(self) -> str:
        return f"node-{self.number}"

    @property
    def datadir(self) -> Path:
        return self.directory / self.name

    @property
    def ini(self) -> Path:
        return self.directory / f"{self.name}.ini"

    @property
    def log(self) -> Path:
        return self.directory / f"{self.name}.log"

    @property
    def cookie(self) -> Path:
        return self.datadir / ".cookie"

    def joins(self, other: NodePlan) -> bool:
        """Whether the two must be connected: members all pairs, others with the members."""
        return other.number != self.number and (other.member or self.member)

    @property
    def peer_address(self) -> PeerAddress:
        return PeerAddress(HOST, self.p2p_port, self.node_id)

    @property
    def rpc_url(self) -> str:
        return f"http://{HOST}:{self.rpc_port}"

    @property
    def monitor_url(self) -> str:
        return f"http://{HOST}:{self.monitor_port}"


@attrs.frozen
class Plan:
    """The whole network; `late` is the node that `--check` adds later."""

    directory: Path
    interval: int
    nodes: tuple[NodePlan, ...]
    late: NodePlan

    @property
    def members(self) -> tuple[NodePlan, ...]:
        return tuple(node for node in self.nodes if node.member)

    def peers_of(self, node: NodePlan) -> tuple[NodePlan, ...]:
        """The nodes that `node` must be connected with."""
        return tuple(other for other in self.nodes if node.joins(other))


def make_network(directory: Path, nodes: int, members: int, interval: int) -> Plan:
    """Write everything for `nodes` nodes, of which the first `members` vote, and for a late one."""
    directory.mkdir(parents=True, exist_ok=True)
    ports = free_ports(PORTS_PER_NODE * (nodes + 1))
    plans, roster, allocation = [], [], []
    for number in range(1, nodes + 2):
        datadir = directory / f"node-{number}"
        datadir.mkdir(mode=0o700)
        member = number <= members
        p2p, rpc, monitor = ports[PORTS_PER_NODE * (number - 1) : PORTS_PER_NODE * number]
        node_key = create_key_file(str(datadir / NODE_KEY), os.urandom)
        plans.append(NodePlan(number, member, node_key.public, p2p, rpc, monitor, directory))
        if member:
            operator = create_key_file(str(datadir / OPERATOR_KEY), os.urandom)
            lock = make_wallet(datadir / "wallet.json")
            roster.append(member_of(operator, lock, p2p))
            allocation += [(lock, COIN)] * COINS_PER_MEMBER
    genesis = Genesis(
        params=REGTEST,
        time=int(time.time()) // interval * interval,
        interval=interval,
        profile="equal",
        shard_bits=0,
        allocation=tuple(allocation),
        members=Roster(tuple(sorted(roster, key=lambda member: member.operator_key))),
    )
    write_genesis(directory / "genesis.json", genesis)
    plan = Plan(directory, interval, tuple(plans[:-1]), plans[-1])
    for node in (*plan.nodes, plan.late):
        others = [other for other in plan.nodes if other is not node]
        node.ini.write_text(ini_of(node, plan.peers_of(node), others), encoding="utf-8")
    return plan


def member_of(operator: SigningKey, reward: Lock, p2p_port: int) -> Member:
    """A member of weight one whose owner and operator are the same key."""
    (weight,) = weights_for("equal", [Tier.FREE])
    return Member(
        operator_key=operator.public,
        owner_key=operator.public,
        reward=reward,
        tier=Tier.FREE,
        weight=weight,
        network_address=f"{HOST}:{p2p_port}".encode(),
    )


def make_wallet(path: Path) -> Lock:
    """A new wallet file with one key; the lock that pays to it."""
    outbox: list[Record] = []
    keys = Keystore(os.urandom, outbox)
    keys.plant(WalletSeed.of(os.urandom(ENTROPY_BYTES), "", account_path(REGTEST)))
    key = keys.take(RECEIVE, "genesis")
    file = WalletFile(str(path), REGTEST.name)
    try:
        file.load()
        file.append(outbox)
    finally:
        file.close()
    return key.lock


def ini_of(node: NodePlan, peers: Sequence[NodePlan], shown: Sequence[NodePlan] = ()) -> str:
    """The configuration of one node; `shown` stand beside it on its dashboard."""
    addresses = ",\n    ".join(str(peer.peer_address) for peer in peers)
    monitors = ",\n    ".join(f"{HOST}:{other.monitor_port}" for other in shown)
    return "\n".join(
        [
            "[node]",
            "network = regtest",
            f"datadir = {node.name}",
            "genesis = genesis.json",
            f"member = {'yes' if node.member else 'no'}",
            "[p2p]",
            f"host = {HOST}",
            f"port = {node.p2p_port}",
            f"peers = {addresses}",
            "[rpc]",
            f"port = {node.rpc_port}",
            "[monitor]",
            f"port = {node.monitor_port}",
            f"name = {node.name}",
            f"nodes = {monitors}",
            "",
        ]
    )


@attrs.frozen
class State:
    """What `status` and `down` need: the runner's process and its nodes'."""

    runner: int
    directory: str
    nodes: dict[str, int] = attrs.field(factory=dict)
    """Node name to process id."""
    urls: dict[str, list[str]] = attrs.field(factory=dict)
    """Node name to its RPC and monitor URL."""
    standing: bool = False
    """It runs until somebody brings it down; other networks end with the benchmark that started them."""

    def write(self, path: Path) -> None:
        """Replace the file in one step."""
        temporary = path.with_suffix(".new")
        temporary.write_text(json.dumps(attrs.asdict(self), indent=1), encoding="utf-8")
        temporary.replace(path)

    @classmethod
    def read(cls, path: Path) -> State | None:
        """None when there is no network, or the file is not one of ours."""
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))
            return cls(**fields)
        except (OSError, ValueError, TypeError):
            return None
