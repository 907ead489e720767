"""A mesh of many nodes that all dial at once, restart together, flap for hours, and are whole again.

After that one payment is made and a block, and every message of both is counted.
"""

from __future__ import annotations

import time
import traceback
from typing import TYPE_CHECKING

import attrs

from timed.params import SECOND
from timed.sim.census import Census
from timed.sim.flapping import Flapping
from timed.sim.violation import Violation
from timed.sim.world import Scenario, World

if TYPE_CHECKING:
    from collections.abc import Callable

INTERVAL = 600
"""Seconds between grid points: blocks are rare, the mesh is what is looked at."""
WHOLE_WITHIN = 10 * SECOND
"""From the moment nothing is in the way until every pair has its session."""
CALM = 60 * SECOND
"""How long a whole mesh is watched to stay as it is."""
FINAL_WITHIN = 5 * SECOND
BLOCK_WITHIN = 2 * INTERVAL * SECOND
"""After the payment, and after the slot time: a block that came late takes the next slot for its child."""


@attrs.frozen
class MeshResult:
    """What one run did, and what broke. Durations are virtual seconds."""

    seed: int
    nodes: int
    followers: int
    hours: float
    events: int
    dialled_s: float
    """From the first dial of all pairs until the mesh was full."""
    restarted_s: float
    """The same after all were restarted together."""
    healed_s: float
    """The same after the flapping."""
    mishaps: dict[str, int]
    sessions_ended: int
    """Counted at each side; so are handovers."""
    handovers: int
    """Sessions that gave way to a second one of the same pair."""
    dials: int
    most_dials: int
    """Of one node to one other in a minute."""
    payment: dict[str, int]
    """Messages of one payment by kind, on all links together."""
    payment_most: dict[str, int]
    """The most of each kind on one link in one direction."""
    payment_bytes: int
    block: dict[str, int]
    """Messages of one block by kind, on all links together."""
    block_most: dict[str, int]
    block_bytes: int
    trace_hash: str
    cpu_s: float
    violation: str = ""
    detail: str = ""
    tail: tuple[str, ...] = ()


class MeshRun:
    """One mesh from the first dial to the block with the payment."""

    def __init__(self, seed: int, nodes: int, hours: float, followers: int = 0) -> None:
        length = int(hours * 3_600) + (3 * CALM + 2 * WHOLE_WITHIN) // SECOND
        first_slot = length % INTERVAL + 1
        scenario = Scenario(seed, nodes, hours * 60, INTERVAL, followers=followers, first_slot=first_slot)
        self.world = World(scenario)
        self.hours = hours
        self.flapping = Flapping(self.world, self.world.entropy("flapping"))
        self.payment = Census(self.world)
        self.block = Census(self.world)
        self.dialled_s = self.restarted_s = self.healed_s = 0.0
        entropy = self.world.entropy("paths")
        for pair in self.world.network.paths:
            path = self.world.network.paths[pair]
            path.latency = entropy.choice((500, 2_000, 15_000, 40_000))
            path.jitter = path.latency // 4
        self.world.mesh.watching = True

    def play(self) -> None:
        """Raises Violation, or whatever a node raised, at the event that showed it."""
        self.connect()
        self.restart()
        self.flap()
        self.pay()

    def connect(self) -> None:
        """All nodes start in the same instant and dial all others."""
        self._boot_all()
        self.dialled_s = self._whole()
        self._stays()

    def restart(self) -> None:
        """All processes end at once and start at once."""
        self.flapping.crash_all()
        self._until(self.world.clock.now + SECOND)
        self._boot_all()
        self.restarted_s = self._whole()
        self._stays()

    def flap(self) -> None:
        """Hours of mishaps; then all is healed."""
        clock = self.world.clock
        self.flapping.begin()
        self._until(clock.now + int(self.hours * 3_600) * SECOND)
        self.flapping.heal()
        self.healed_s = self._whole()
        self._stays()

    def pay(self) -> None:
        """One payment becomes final at every node, then a block is made of it."""
        world = self.world
        self._await(BLOCK_WITHIN, "live-heights", self._epoch_is_open)
        self.payment.begin()
        payment = world.workload.pay(None, world.voting()[0])
        self._await(
            FINAL_WITHIN, "live-payments", lambda: all(payment in log.final for log in world.invariants.logs)
        )
        self._until(world.clock.now + SECOND)
        self.payment.end()
        height = max(world.heights())
        genesis = world.cast.genesis
        passed = (world.clock.now // SECOND - genesis.time) // genesis.interval + 1
        self._until((genesis.time + passed * genesis.interval) * SECOND - SECOND)
        self.block.begin()
        self._await(SECOND + BLOCK_WITHIN, "live-heights", lambda: min(world.heights()) > height)
        self._until(world.clock.now + SECOND)
        self.block.end()
        if world.workload.payments[payment].height is None:
            raise Violation("live-payments", "the block lacks the payment")

    def _epoch_is_open(self) -> bool:
        """Everybody has the same chain, and some time for a payment before the next block."""
        states = [process.node.consensus_state() for process in self.world.running()]
        soonest = min(state.slot_us for state in states)
        return (
            len({state.height for state in states}) == 1 and soonest > self.world.clock.now + 2 * FINAL_WITHIN
        )

    def _boot_all(self) -> None:
        world = self.world
        for host in world.hosts:
            world.clock.at(world.clock.now, f"boot {host.index}", lambda index=host.index: world.boot(index))  # type: ignore[misc]

    def _whole(self) -> float:
        """Wait until every pair has its one session; how many seconds that took."""
        mesh = self.world.mesh
        start = self.world.clock.now
        self._await(WHOLE_WITHIN, "live-sessions", lambda: not mesh.unjoined())
        self.world.check_sessions()
        return (self.world.clock.now - start) / SECOND

    def _stays(self) -> None:
        """A whole mesh where nothing happens stays as it is, to the last session."""
        mesh, start = self.world.mesh, self.world.clock.now
        self._until(start + CALM // 2)
        if not mesh.settled:
            raise Violation("live-sessions", "some sessions do not last, although nothing happens")
        ended, dials = mesh.ended, mesh.dials
        self._until(start + CALM)
        if (mesh.ended, mesh.dials) != (ended, dials):
            raise Violation(
                "healthy-session", f"{mesh.ended - ended} sessions ended in a mesh that was whole"
            )

    def _await(self, within: int, name: str, done: Callable[[], bool]) -> None:
        limit = self.world.clock.now + within
        while not done():
            if self.world.clock.now >= limit:
                missing = self.world.mesh.unjoined()
                raise Violation(name, f"not after {within // SECOND} s; {len(missing)} pairs without a session: "
                                f"{missing[:5]}")  # fmt: skip
            self._until(self.world.clock.now + SECOND // 10)

    def _until(self, when: int) -> None:
        """Execute events up to `when`, and look at every pair once a second."""
        clock = self.world.clock
        while clock.now < when:
            second = clock.now - clock.now % SECOND + SECOND
            clock.run_until(min(when, second))
            if clock.now == second:
                self.world.mesh.look()

    def result(self, started: float, violation: str = "", detail: str = "") -> MeshResult:
        world, mesh = self.world, self.world.mesh
        return MeshResult(
            seed=world.scenario.seed, nodes=world.scenario.nodes, followers=world.scenario.followers,
            hours=self.hours, events=world.clock.events,
            dialled_s=self.dialled_s, restarted_s=self.restarted_s, healed_s=self.healed_s,
            mishaps=dict(self.flapping.counts), sessions_ended=mesh.ended, handovers=mesh.handovers,
            dials=mesh.dials, most_dials=mesh.most_dials,
            payment=self.payment.totals(), payment_most=self.payment.most(), payment_bytes=self.payment.bytes,
            block=self.block.totals(), block_most=self.block.most(), block_bytes=self.block.bytes,
            trace_hash=world.clock.trace_hash, cpu_s=time.process_time() - started,
            violation=violation, detail=detail, tail=tuple(world.clock.tail) if violation else (),
        )  # fmt: skip


def run_mesh(seed: int, nodes: int, hours: float, followers: int = 0) -> MeshResult:
    """Play one mesh; whatever a node raises is a violation, too."""
    started = time.process_time()
    run = MeshRun(seed, nodes, hours, followers)
    try:
        run.play()
    except Violation as violation:
        return run.result(started, violation.name, violation.detail)
    except Exception:  # noqa: BLE001 - a traceback out of a node is what is being looked for
        return run.result(started, "no-traceback", traceback.format_exc())
    return run.result(started)
