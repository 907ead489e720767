"""Runs one scenario to its end, and many of them beside each other."""

from __future__ import annotations

import gc
import hashlib
import multiprocessing
import os
import time
import traceback
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import attrs

from timed.errors import LocalError
from timed.params import SECOND
from timed.sim.violation import Violation
from timed.sim.world import Scenario, World

WARM_UP = 6 * SECOND
"""Virtual time before the first payment."""
MIN_BLOCKS = 22
MIN_FINAL = 50
MAX_MINUTES_MORE = 20
"""A run that has not seen enough blocks, final payments or faults goes on this long at the most; then it says so."""
HEAL = 5 * SECOND
"""How soon after healing all nodes must be at one height."""
MAX_EVENTS = 3_000_000
"""A run with more events is not making progress."""
SHORTEST = 60 * SECOND
"""Payments and faults are spread over no less than this."""
STORM_SLOTS = 3
"""How long some nodes are away before the end."""
SETTLE_SLOTS = 6
"""Slots within which every open payment must be confirmed after healing."""


@attrs.frozen
class SeedResult:
    """What one seed did, and what broke."""

    seed: int
    events: int
    transactions_final: int
    payments: int
    confirmed: int
    blocks: int
    faults: int
    kinds: dict[str, int]
    lossy_crashes: int
    reconnects: int
    """Sessions that ended although both sides wanted them."""
    healed_s: float
    """Seconds from the end of all faults until every node was at one height."""
    trace_hash: str
    cpu_s: float
    violation: str = ""
    detail: str = ""
    tail: tuple[str, ...] = ()
    recordings: tuple[str, ...] = ()
    """Files with what went into each node that was alive at the violation."""


class Run:
    """One world from the first boot to the last check."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.world = World(scenario)
        self.healed_s = 0.0

    def play(self) -> None:
        """Raises Violation, or whatever a node raised, at the event that showed it."""
        world, clock = self.world, self.world.clock
        end = clock.start + int(self.scenario.minutes * 60) * SECOND
        late = (end - clock.start) // 3
        for host in world.hosts:
            when = clock.start + 1 + host.index * 1_000 + late * (host.index >= self.scenario.nodes)
            clock.at(when, f"boot {host.index}", lambda index=host.index: world.boot(index))  # type: ignore[misc]
        calm = max(end - (3 + STORM_SLOTS) * self.scenario.interval * SECOND, clock.start + SHORTEST)
        world.workload.plan(clock.start + WARM_UP, calm)
        world.nemesis.plan(clock.start + WARM_UP, calm)
        self._until(calm)
        self._enough(calm)
        world.nemesis.storm()
        self._until(clock.now + STORM_SLOTS * self.scenario.interval * SECOND)
        world.nemesis.heal()
        self._live()

    def _until(self, when: int) -> None:
        """Execute events up to `when`, in steps, so that a run without progress is noticed."""
        clock = self.world.clock
        while clock.now < when:
            clock.run_until(min(when, clock.now + SECOND))
            if clock.events > MAX_EVENTS:
                raise Violation("progress", f"{clock.events} events and no end")

    def _enough(self, calm: int) -> None:
        """Go on until the run is worth its name: enough blocks, final payments and, where asked for, faults."""
        world = self.world
        chain = world.invariants.chain
        limit = calm + MAX_MINUTES_MORE * 60 * SECOND
        while True:
            faults = world.nemesis.enough()
            if faults and chain.height >= MIN_BLOCKS and len(chain.final) >= MIN_FINAL:
                return
            if world.clock.now >= limit:
                raise Violation("progress", f"{chain.height} blocks, {len(chain.final)} final payments and"
                                f" {world.nemesis.total} faults are too few to say anything")  # fmt: skip
            if not faults:
                world.nemesis.more()
            self._until(world.clock.now + 10 * SECOND)

    def _live(self) -> None:
        """All is healed: equal heights soon, every session there, every payment confirmed."""
        world, interval = self.world, self.scenario.interval * SECOND
        start = world.clock.now
        height = world.invariants.chain.height
        while len(set(world.heights())) > 1 or min(world.heights()) < height:
            if world.clock.now > start + HEAL:
                raise Violation("live-heights", f"heights {world.heights()} {HEAL // SECOND} s"
                                f" after healing at {height}")  # fmt: skip
            self._until(world.clock.now + SECOND // 5)
        self.healed_s = (world.clock.now - start) / SECOND
        while min(world.heights()) < height + 1:
            if world.clock.now > start + HEAL + 2 * interval:
                raise Violation("live-heights", f"no block in two slots after healing at {height}")
            self._until(world.clock.now + SECOND // 2)
        world.workload.repeat()
        for _ in range(SETTLE_SLOTS):
            self._until(world.clock.now + interval)
            if not world.workload.open_payments():
                break
            world.workload.repeat()
        waiting = world.workload.open_payments()
        if waiting:
            raise Violation("live-payments", f"{len(waiting)} payments are not confirmed, the first "
                            f"{waiting[0].transaction.txid.hex()[:12]} ({waiting[0].kind})")  # fmt: skip
        world.check_sessions()
        world.invariants.chain.check_coins()

    def result(self, started: float, violation: str = "", detail: str = "") -> SeedResult:
        world = self.world
        return SeedResult(
            seed=self.scenario.seed,
            events=world.clock.events,
            transactions_final=len(world.invariants.chain.final),
            payments=len(world.workload.payments),
            confirmed=sum(1 for p in world.workload.payments.values() if p.height is not None),
            blocks=world.invariants.chain.height,
            faults=world.nemesis.total,
            kinds=dict(world.nemesis.counts),
            lossy_crashes=world.nemesis.lossy_crashes,
            reconnects=world.invariants.unwanted,
            healed_s=self.healed_s,
            trace_hash=world.clock.trace_hash,
            cpu_s=time.process_time() - started,
            violation=violation,
            detail=detail,
            tail=tuple(world.clock.tail) if violation else (),
            recordings=self._write_recordings(violation) if violation else (),
        )

    def _write_recordings(self, violation: str) -> tuple[str, ...]:
        """What the recorders hold, one file for each process that is alive."""
        written = []
        for process in self.world.running():
            tape = (
                process.recorder.tape(f"seed {self.scenario.seed}: {violation}") if process.recorder else None
            )
            if tape is not None and self.scenario.recordings:
                name = f"seed-{self.scenario.seed}-node-{process.name}.flight"
                path = os.path.join(self.scenario.recordings, name)
                with open(path, "wb") as file:
                    file.write(tape.dump())
                written.append(path)
        return tuple(written)


def run_seed(scenario: Scenario) -> SeedResult:
    """Play one scenario; whatever a node raises is a violation, too."""
    started = time.process_time()
    run = Run(scenario)
    try:
        run.play()
    except Violation as violation:
        return run.result(started, violation.name, violation.detail)
    except Exception:  # noqa: BLE001 - a traceback out of a node is what is being looked for
        return run.result(started, "no-traceback", traceback.format_exc())
    finally:
        gc.collect()
    return run.result(started)


def run_seeds(scenarios: Iterable[Scenario], jobs: int) -> Iterator[SeedResult]:
    """Results in the order of the scenarios, from `jobs` processes; LocalError when one of these is killed."""
    work = list(scenarios)
    if jobs <= 1 or len(work) <= 1:
        yield from map(run_seed, work)
        return
    spawn = multiprocessing.get_context("spawn")
    # A Pool would wait for the seed of a killed process for ever.
    with ProcessPoolExecutor(jobs, spawn, initializer=gc.disable) as pool:
        try:
            yield from pool.map(run_seed, work)
        except BrokenProcessPool:
            raise LocalError(
                "a process with a seed has ended before the seed.",
                "See whether the system killed it for its memory.",
            ) from None


def combined_hash(results: Iterable[SeedResult]) -> str:
    """One hash over the trace hashes of all seeds, in their order."""
    digest = hashlib.blake2b(digest_size=16)
    for result in results:
        digest.update(f"{result.seed} {result.trace_hash}\n".encode())
    return digest.hexdigest()
