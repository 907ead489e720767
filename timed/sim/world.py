"""One simulated network: machines, processes, payments, faults and the eye on all of them."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Protocol

import attrs

from timed.flight.recorder import Recorder
from timed.node.config import NodeConfig
from timed.node.node import Node
from timed.params import SECOND
from timed.peer.dialect import ORDINARY, Dialect
from timed.sim.cast import GENESIS_TIME, PORT, make_cast
from timed.sim.clock import Clock
from timed.sim.host import Host, Process
from timed.sim.invariants import Invariants
from timed.sim.mesh_rules import MeshRules
from timed.sim.nemesis import Nemesis
from timed.sim.network import Network
from timed.sim.tap import Tap
from timed.sim.violation import Violation
from timed.sim.workload import Workload

if TYPE_CHECKING:
    from collections.abc import Callable

    from timed.events import CommitBlock, NodeEvent, Persist
    from timed.primitives.transaction import Transaction


@attrs.frozen
class Scenario:
    """What to simulate; with `seed` it fixes every event."""

    seed: int
    nodes: int = 4
    minutes: float = 10
    interval: int = 15
    """Seconds between grid points."""
    faults: tuple[str, ...] = ()
    """Names of faults the nemesis may use."""
    followers: int = 0
    """Nodes that are no members; they join late, with an empty disk."""
    dialects: tuple[Dialect, ...] = ()
    """How each machine speaks; those behind the last one speak as nodes do today."""
    plain: bool = False
    """Links without TLS: nobody is authenticated before the handshake, frames carry a checksum."""
    record: int = 0
    """Bytes of each process's flight recorder; 0 for none."""
    recordings: str = ""
    """A directory for what the recorders of a violated run hold."""
    first_slot: int | None = None
    """Seconds from the start to the first grid point; half an interval if None."""


class Patron(Protocol):
    """A program that lives in every process beside its node."""

    def booted(self, process: Process) -> None:
        """A process has started; whatever ran in the one before it is gone."""

    def told(self, process: Process, event: NodeEvent) -> None:
        """The node told its users."""


class World:
    """Composes production nodes with the virtual network and watches them.

    It is the Observer of every process: what a process does goes to the invariants
    first and to the nemesis afterwards, which may end the process on the spot.
    """

    def __init__(self, scenario: Scenario) -> None:
        seed, nodes = scenario.seed, scenario.nodes + scenario.followers
        self.scenario = scenario
        self.cast = make_cast(seed, scenario.nodes, scenario.interval, scenario.followers)
        lead = scenario.interval // 2 if scenario.first_slot is None else scenario.first_slot
        self.clock = Clock((GENESIS_TIME + scenario.interval - lead) * SECOND)
        self.network = Network(self.clock, self.entropy("network"), nodes + 1)
        self.workload = Workload(self, self.cast, self.entropy("workload"))
        self.invariants = Invariants(self.cast, self.workload.transactions.get)
        node_ids = tuple(key.public for key in self.cast.node_keys)
        self.mesh = MeshRules(self.network, node_ids, self.cast.genesis.params, self.invariants.sessions)
        self.listeners: list[Callable[[Process, int, object], None]] = []
        """Called with every message that a process hands to a link."""
        self.patrons: list[Patron] = []
        """Who uses the processes as programs beside the node do."""
        self.tap = Tap(self.cast.genesis.params, checksum=scenario.plain)
        self.hosts = [
            Host(index, self.clock, self.network, self.entropy(f"host {index}"), self)
            for index in range(nodes)
        ]
        self.nemesis = Nemesis(self, self.entropy("nemesis"), scenario.faults)
        self._turned: dict[Process, None] = {}
        """Processes that had a turn in this event."""
        self.clock.watchers.append(self._watch)
        for host in self.hosts:
            commit = self.cast.genesis.commit()
            host.store.commit(commit)
            self.invariants.begun(host.index, commit, host.store.tip())

    def entropy(self, purpose: str) -> random.Random:
        """A generator of its own for each purpose, so that one part's draws do not move another's."""
        return random.Random(f"timed {self.scenario.seed} {purpose}")

    # Processes

    def running(self) -> list[Process]:
        """The processes that live, by machine."""
        return [host.process for host in self.hosts if host.process is not None]

    def voting(self) -> list[Process]:
        """Those of members."""
        return [process for process in self.running() if process.host.index < self.scenario.nodes]

    def boot(self, index: int, first: Transaction | None = None) -> None:
        """Start a process on machine `index`; `first` is submitted before it hears anybody."""
        host = self.hosts[index]
        if host.process is not None:
            return
        self.invariants.survived(index, host.store)
        self.workload.follow(self.invariants.chain)
        self.invariants.started(index)
        entropy = self.entropy(f"node {index} life {host.lives}")
        config, record = self.config(index), self.scenario.record
        made: Node | Recorder = (
            Recorder(config, host.store, entropy, record, config.software)
            if record
            else Node(config, host.store, entropy)
        )
        self.clock.note(f"boot {index} life {host.lives + 1}")
        self.mesh.booted(index)
        node_id = None if self.scenario.plain else self.cast.node_keys[index].public
        process = host.start(made, node_id, PORT)
        for patron in self.patrons:
            patron.booted(process)
        if first is not None and process.alive:
            self.workload.submit(first, process)

    def config(self, index: int) -> NodeConfig:
        """What the next process on machine `index` is told."""
        return NodeConfig(
            genesis=self.cast.genesis,
            node_key=self.cast.node_keys[index],
            operator_key=self.cast.operator_keys[index] if index < self.scenario.nodes else None,
            wanted=tuple(
                (self.network.machines[peer].host, PORT, self.cast.node_keys[peer].public)
                for peer in range(len(self.hosts))
                if peer != index
            ),
            software="timed-sim",
            listen_port=PORT,
            boot=self.hosts[index].lives + 1,
            dialect=dict(enumerate(self.scenario.dialects)).get(index, ORDINARY),
        )

    def _watch(self) -> None:
        """After every event: what no message shows."""
        self.mesh.check()
        turned, self._turned = self._turned, {}
        for process in turned:
            self.invariants.conduct(process)

    # Observer

    def turned(self, process: Process) -> None:
        self._turned[process] = None

    def writing(self, process: Process, link: int, data: bytes) -> bool:
        messages = self.tap.read(link, data)
        if not self.nemesis.before_send(process, messages):
            return False
        for message in messages:
            self.invariants.sent(process, message)
            self.mesh.sent(process, link, message)
            for listener in self.listeners:
                listener(process, link, message)
        self.nemesis.sent(process, messages)
        return process.alive

    def written(self, process: Process, link: int) -> None:
        self.nemesis.after_send(process)

    def ended(self, process: Process, link: int) -> None:
        self.tap.closed(link)

    def dialling(self, process: Process, host: str) -> None:
        self.mesh.dialled(process, host)

    def staged(self, process: Process, writes: tuple[Persist | CommitBlock, ...]) -> None:
        self.nemesis.staged(process, writes)

    def synced(self, process: Process, writes: tuple[Persist | CommitBlock, ...]) -> None:
        self.invariants.synced(process, writes)
        self.workload.follow(self.invariants.chain)
        self.nemesis.synced(process, writes)

    def published(self, process: Process, event: NodeEvent) -> None:
        self.clock.note(f"told {process.name} {_words(event)}")
        self.invariants.published(process, event)
        self.mesh.published(process, event)
        self.nemesis.published(process, event)
        if process.alive:
            for patron in self.patrons:
                patron.told(process, event)

    def opened(self, process: Process, link: int) -> None:
        self.clock.note(f"link {process.name} #{link}")

    def spares_silence(self, index: int) -> bool:
        """A store in doubt keeps its member silent until the next block: too many would be silent for ever."""
        members = self.hosts[: self.scenario.nodes]
        doubtful = sum(1 for host in members if host.index != index and host.store.doubtful)
        return 3 * (len(members) - doubtful - 1) >= 2 * len(members)

    # The end

    def check_sessions(self) -> None:
        """When all is healed, every pair has exactly one connection and both know of it."""
        for index, host in enumerate(self.hosts):
            for other in range(index + 1, len(self.hosts)):
                links = [c for c in self.network.between(index, other) if c.sides[0].open and c.sides[1].open]
                a, b = self.cast.node_keys[index].public, self.cast.node_keys[other].public
                both = b in self.invariants.sessions[index] and a in self.invariants.sessions[other]
                if len(links) != 1 or not both or host.process is None:
                    raise Violation("live-sessions", f"{len(links)} connections between {index} and {other}, "
                                    f"sessions known to both: {both}")  # fmt: skip

    def heights(self) -> list[int]:
        """The height each machine's disk is at."""
        return [log.height for log in self.invariants.logs]


def _words(event: NodeEvent) -> str:
    """An event in one line of the trace."""
    values = [
        value.hex()[:12] if isinstance(value, bytes) else str(value)
        for value in (getattr(event, field.name) for field in attrs.fields(type(event)))
        if not isinstance(value, tuple)
    ]
    return f"{type(event).__name__} {' '.join(values)}"
