"""Makes bad things happen, by plan and at chosen moments, all from the seed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from timed import events
from timed.events import CommitBlock, NodeEvent, Persist
from timed.ledger import slots
from timed.params import SECOND
from timed.sim.ambush import EVENTS, FRAMES, Ambush, Blow, draw_blow, event_moment, moment_of, payment_in
from timed.sim.cuts import Cuts
from timed.sim.hostile import Stranger
from timed.sim.links import Path

if TYPE_CHECKING:
    import random

    from timed.sim.host import Process
    from timed.sim.world import World

PACE = 26 * SECOND
"""Mean time between two faults of the plan."""
MIN_FAULTS = 12
PROMPT = ("crash", "ambush-write", "reset", "weather")
BUNDLES_REMEMBERED = 400


class Nemesis:
    """Faults by name. `counts` says how often each has struck."""

    def __init__(self, world: World, entropy: random.Random, names: tuple[str, ...]) -> None:
        self._world = world
        self._entropy = entropy
        self.names = names
        self.counts: dict[str, int] = {}
        self.lossy_crashes = 0
        """Crashes after which nothing of what was not synced was left."""
        self.recorded: list[object] = []
        """Signed messages overheard on the links, for replays."""
        self._ambushes: list[Ambush] = []
        self._struck: list[Ambush] = []
        self._cuts = Cuts(world.network)
        self._day: dict[tuple[int, int], tuple[int, int]] = {}
        """Latency and jitter of every path when nothing is wrong."""
        self._isolating = 0
        self._stranger: Stranger | None = None
        self._strangers = 0
        self.active = False

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def plan(self, start: int, end: int) -> None:
        """Spread the enabled faults over the run, each about equally often."""
        self.active = bool(self.names)
        self._weather_of_the_day()
        if not self.names:
            return
        when = start
        queue: list[str] = []
        first = [name for name in ("ambush-write", "ambush-send") if name in self.names]
        while when < end:
            if not queue:
                queue = [name for name in self.names if name not in first]
                self._entropy.shuffle(queue)
                queue += first
                first = []
            name = queue.pop()
            self._world.clock.at(when, f"fault {name}", lambda name=name: self._begin(name))  # type: ignore[misc]
            when += int(PACE * (0.3 + 1.4 * self._entropy.random()))

    def enough(self) -> bool:
        """What was asked for has struck often enough, a crash that loses everything among it."""
        if not self.names:
            return True
        return self.total >= MIN_FAULTS and (self.lossy_crashes > 0 or "ambush-write" not in self.names)

    def more(self) -> None:
        """One more fault now, of the kinds that strike at once."""
        self._begin(self._entropy.choice([name for name in self.names if name in PROMPT] or list(self.names)))

    def storm(self) -> None:
        """The last faults: some nodes are cut off or dark until everything is healed, and fall behind."""
        if not self.names:
            return
        nodes = list(range(len(self._world.hosts)))
        self._entropy.shuffle(nodes)
        away = sorted(nodes[: self._entropy.randrange(1, max(2, len(nodes) // 2 + 1))])
        self._count("storm", str(away))
        for victim in away:
            if self._entropy.random() < 0.3:
                self._world.hosts[victim].crash(power=True, lose_all=True)
            else:
                self._cuts.cut([pair for pair in self._world.network.paths if victim in pair], None)

    def heal(self) -> None:
        """End every fault: the network must live again on its own."""
        self.active = False
        self._ambushes.clear()
        self._isolating = 0
        world = self._world
        if self._stranger is not None:
            self._stranger.leave()
            self._stranger = None
        self._cuts.heal()
        self._clear(self._day)
        for host in world.hosts:
            host.disk.stalled_until = 0
            if host.offset or host.drift_ppm:
                host.drift_ppm = 0
                host.step_clock(-host.offset)
            broken = bool(host.store.failing)
            host.store.failing = ""
            if host.process is not None and host.process.paused:
                host.process.go_on()
            if broken:
                host.crash(power=False, lose_all=False)
            if host.process is None:
                world.clock.after(1 + host.index, f"boot {host.index}", lambda i=host.index: world.boot(i))  # type: ignore[misc]

    # What processes do

    def before_send(self, process: Process, sending: Sequence[object]) -> bool:
        """False when the process died instead of sending."""
        for message in sending:
            moment = moment_of(message, self._member(process))
            for ambush in self._ambushes:
                if ambush.links == 0 and ambush.meets(process.host.index, moment):
                    ambush.txid = payment_in(message)
                    self._strike(ambush, process.host.index)
                    return False
        return True

    def sent(self, process: Process, sending: Sequence[object]) -> None:
        """The messages are about to be on a link."""
        for message in sending:
            moment = moment_of(message, self._member(process))
            if moment is None:
                continue
            if len(self.recorded) < BUNDLES_REMEMBERED:
                self.recorded.append(message)
            else:
                self.recorded[self._entropy.randrange(BUNDLES_REMEMBERED)] = message
            for ambush in self._ambushes:
                if ambush.links and ambush.meets(process.host.index, moment) and ambush.reached(message):
                    ambush.txid = payment_in(message)
                    self._struck.append(ambush)

    def after_send(self, process: Process) -> None:
        """They are on the link."""
        struck, self._struck = self._struck, []
        for ambush in struck:
            self._strike(ambush, process.host.index)

    def staged(self, process: Process, writes: tuple[Persist | CommitBlock, ...]) -> None:
        """Writes are with the operating system and not on the disk."""
        self._meet(process, "block write" if isinstance(writes[0], CommitBlock) else "log write", None)

    def synced(self, process: Process, writes: tuple[Persist | CommitBlock, ...]) -> None:
        """Writes are on the disk; the node has not been told."""
        self._meet(process, "block synced" if isinstance(writes[0], CommitBlock) else "log synced", None)

    def published(self, process: Process, event: NodeEvent) -> None:
        """The node told its users."""
        txid = getattr(event, "txid", None)
        if self._stranger is not None and isinstance(event, events.BlockCertified) and event.live:
            self._stranger.epoch_began()
        if self._isolating and isinstance(event, events.TransactionCertified):
            self._isolating -= 1
            self._isolate(process.host.index)
        self._meet(process, event_moment(event), txid)

    def _meet(self, process: Process, moment: str | None, txid: bytes | None) -> None:
        for ambush in list(self._ambushes):
            if ambush.meets(process.host.index, moment):
                ambush.txid = txid
                self._strike(ambush, process.host.index)
                return

    def _strike(self, ambush: Ambush, victim: int) -> None:
        if ambush not in self._ambushes:
            return
        self._ambushes.remove(ambush)
        self._count(ambush.fault, f"{ambush.moment} {victim} links={ambush.links}")
        if ambush.fault == "final-blackout":
            self._blackout(lose_all=True)
            return
        self._kill(victim, ambush.blow, ambush.txid if ambush.rival else None)

    # Faults

    def _begin(self, name: str) -> None:
        if self.active:
            FAULTS[name](self)

    def _count(self, name: str, detail: str) -> None:
        self.counts[name] = self.counts.get(name, 0) + 1
        self._world.clock.note(f"FAULT {name} {detail}")

    def _member(self, process: Process) -> int | None:
        return self._world.invariants.member_of[process.host.index]

    def _victim(self) -> int | None:
        running = self._world.running()
        return self._entropy.choice(running).host.index if running else None

    def _seconds(self, least: float, most: float) -> int:
        return int(self._entropy.uniform(least, most) * SECOND)

    def _later(self, delay: int, what: str, call: Callable[[], None]) -> None:
        self._world.clock.after(delay, what, call)

    def _kill(self, victim: int, blow: Blow, rival_for: bytes | None = None) -> None:
        world = self._world
        world.hosts[victim].crash(power=blow.power, lose_all=blow.lose_all)
        self.lossy_crashes += blow.lose_all
        first = world.workload.rival_of(rival_for) if rival_for is not None else None
        self._later(blow.pause_us, f"boot {victim}", lambda: world.boot(victim, first))

    def _until_slot(self, after: int) -> int:
        """Microseconds from now to `after` beyond the next slot time."""
        genesis = self._world.cast.genesis
        now = self._world.clock.now
        return slots.slot_after(genesis.time, genesis.interval, now) * SECOND + after - now

    def _blow(self) -> Blow:
        return draw_blow(self._entropy, self._world.cast.genesis.interval * SECOND)

    def crash(self) -> None:
        victim = self._victim()
        if victim is not None:
            self._count("crash", str(victim))
            self._kill(victim, self._blow())

    def blackout(self) -> None:
        self._count("blackout", "all")
        self._blackout(lose_all=self._entropy.random() < 0.7)

    def _blackout(self, *, lose_all: bool) -> None:
        """Power failure: all machines at once, back before or after the slot time."""
        late = self._until_slot(self._seconds(0.1, 3)) if self._entropy.random() < 0.5 else 0
        for host in self._world.hosts:
            blow = Blow(True, lose_all, late + self._seconds(0.2, 2))
            if host.process is not None:
                self._kill(host.index, blow)

    def ambush_send(self) -> None:
        links = self._entropy.choice((0, 1, 1, 2, len(self._world.hosts) - 1))
        self._ambushes.append(
            Ambush(
                "ambush-send",
                self._entropy.choice(FRAMES),
                self._maybe_victim(),
                self._blow(),
                links,
                rival=True,
            )
        )

    def ambush_write(self) -> None:
        moment = self._entropy.choice(("log write", "log write", "log synced", "block write", "block synced"))
        pause = self._entropy.choice((50_000, 1_000_000, 8_000_000))
        self._ambushes.append(Ambush("ambush-write", moment, self._maybe_victim(), Blow(True, True, pause)))

    def ambush_event(self) -> None:
        moment = self._entropy.choice(tuple(EVENTS))
        self._ambushes.append(
            Ambush(
                "ambush-event", moment, self._maybe_victim(), self._blow(), rival=self._entropy.random() < 0.5
            )
        )

    def final_blackout(self) -> None:
        self._ambushes.append(Ambush("final-blackout", "final", None, self._blow()))

    def _maybe_victim(self) -> int | None:
        return None if self._entropy.random() < 0.5 else self._entropy.randrange(len(self._world.hosts))

    def isolate(self) -> None:
        self._isolating += 1

    def _isolate(self, victim: int) -> None:
        """Cut the node that certified first off from the rest until the slot is past."""
        self._count("isolate", str(victim))
        outward = [pair for pair in self._world.network.paths if pair[0] == victim]
        inward = [pair for pair in self._world.network.paths if pair[1] == victim]
        pairs = self._entropy.choice((outward + inward, outward, outward + inward))
        self._cuts.cut(pairs, self._until_slot(self._seconds(0.5, 5)))

    def partition(self) -> None:
        """Two or three groups that do not hear each other, or two that share a bridge."""
        nodes = list(range(len(self._world.hosts)))
        if len(nodes) < 2:
            return
        self._entropy.shuffle(nodes)
        sides = {node: self._entropy.randrange(2 + (self._entropy.random() < 0.2)) for node in nodes}
        sides[nodes[0]], sides[nodes[1]] = 0, 1
        bridge = nodes[-1] if self._entropy.random() < 0.25 else None
        pairs = [
            (a, b)
            for a in sorted(nodes)
            for b in sorted(nodes)
            if a != b and sides[a] != sides[b] and bridge not in (a, b)
        ]
        self._count("partition", f"{sorted(sides.items())} bridge {bridge}")
        self._cuts.cut(pairs, self._seconds(1, 25))

    def absence(self) -> None:
        """One machine is unreachable for longer than a silent peer is kept."""
        victim = self._entropy.randrange(len(self._world.hosts))
        self._count("absence", str(victim))
        self._cuts.cut([pair for pair in self._world.network.paths if victim in pair], self._seconds(91, 140))

    def one_way(self) -> None:
        """Some directions carry nothing, their opposites do."""
        nodes = len(self._world.hosts)
        pairs = [(a, b) for a in range(nodes) for b in range(a + 1, nodes) if self._entropy.random() < 0.5]
        directed = [pair if self._entropy.random() < 0.5 else (pair[1], pair[0]) for pair in pairs]
        self._count("one-way", str(directed))
        self._cuts.cut(directed, self._seconds(2, 20))

    def _weather_of_the_day(self) -> None:
        """Every path gets its ordinary conditions."""
        for pair in self._world.network.paths:
            latency = self._entropy.choice((200, 500, 2_000, 15_000, 40_000))
            self._day[pair] = latency, latency // 4
        self._clear(self._day)

    def _clear(self, pairs: Iterable[tuple[int, int]]) -> None:
        """What the day brings, and when all is healed, nothing worse than latency."""
        ordinary = (0.01, 0.003, 0.005, 0.01) if self.active else (0.0, 0.0, 0.0, 0.0)
        for pair in pairs:
            path = self._world.network.paths[pair]
            path.latency, path.jitter = self._day[pair]
            path.tail, path.loss, path.duplicate, path.split = ordinary

    def weather(self) -> None:
        """Lag, loss, duplication, overtaking and byte-splitting on some paths."""
        paths = self._world.network.paths
        chosen = [pair for pair in paths if self._entropy.random() < 0.6]
        for pair in chosen:
            _spoil(paths[pair], self._entropy)
        self._count("weather", str(len(chosen)))
        self._later(self._seconds(5, 25), "weather clears", lambda: self._clear(chosen))

    def reset(self) -> None:
        """Connections are cut in between, with what was under way."""
        alive = [c for c in self._world.network.connections if c.open]
        chosen = [c for c in alive if self._entropy.random() < 0.5] or alive[:1]
        self._count("reset", str(len(chosen)))
        for connection in chosen:
            self._world.network.sever(connection)

    def stall(self) -> None:
        """An fsync takes its time."""
        victim = self._entropy.randrange(len(self._world.hosts))
        self._count("stall", str(victim))
        self._world.hosts[victim].disk.stalled_until = self._world.clock.now + self._seconds(0.3, 8)

    def disk(self) -> None:
        """A disk refuses; the operator mends it and restarts the node."""
        victim = self._victim()
        if victim is None:
            return
        host, life = self._world.hosts[victim], self._world.hosts[victim].lives
        self._count("disk", str(victim))
        host.store.failing = self._entropy.choice(("write: input/output error", "fsync: no space left"))

        def mend() -> None:
            host.store.failing = ""
            if host.process is not None and host.lives == life:
                self._kill(victim, Blow(False, False, self._seconds(0.1, 2)))

        self._later(self._seconds(1, 15), f"disk {victim} mended", mend)

    def drift(self) -> None:
        """Clocks differ within what the protocol tolerates."""
        genesis = self._world.cast.genesis
        most = slots.tolerance_us(genesis.interval) // 2 - 50_000
        self._count("drift", "all")
        for host in self._world.hosts:
            host.drift_ppm = self._entropy.randrange(-200, 201)
            host.step_clock(self._entropy.randrange(-most, most) - (host.local() - host.clock.now))

    def step(self) -> None:
        """One clock is set wrong by far, and set right again."""
        victim = self._entropy.randrange(len(self._world.hosts))
        delta = self._entropy.choice((-3600, -60, -8, 8, 60, 3600)) * SECOND
        host = self._world.hosts[victim]
        self._count("step", f"{victim} {delta}")
        host.step_clock(delta)
        self._later(self._seconds(1, 15), f"clock {victim} right", lambda: host.step_clock(-host.offset))

    def pause(self) -> None:
        """A process stands still and then finds what its kernel took meanwhile."""
        victim = self._victim()
        if victim is None:
            return
        process = self._world.hosts[victim].process
        if process is None or process.paused:
            return
        self._count("pause", str(victim))
        process.pause()
        self._later(
            self._seconds(1, 15) if self._entropy.random() < 0.8 else self._seconds(100, 125),
            f"go on {victim}",
            process.go_on,
        )

    def hostile(self) -> None:
        """A stranger with the production session code connects to everybody and lies."""
        if self._stranger is not None:
            return
        self._count("hostile", str(self._strangers))
        self._invite(self._seconds(10, 40), quiet=False)

    def _invite(self, duration: int, *, quiet: bool) -> None:
        self._strangers += 1
        stranger = Stranger(self._world, self._entropy, self._strangers, quiet=quiet)
        self._stranger = stranger
        stranger.arrive()

        def leave() -> None:
            if self._stranger is stranger:
                stranger.leave()
                self._stranger = None

        self._later(duration, "stranger leaves", leave)

    def lone(self) -> None:
        """One node alone certifies a payment that is then left out of the block, and the stranger
        replays what it signed as soon as the next epoch begins.

        A bare quorum gets the payment, the others a rival of it; the node that is cut off
        hears the rest of that quorum and is not heard itself until the slot is past.
        """
        world = self._world
        members = world.scenario.nodes
        if self._stranger is not None or len(world.voting()) < members:
            return
        duration = self._until_slot(self._seconds(3, 6))
        self._invite(duration + self._seconds(1, 5), quiet=True)

        def strike() -> None:
            running = world.voting()
            if len(running) < members:
                return
            self._entropy.shuffle(running)
            victim = running[0].host.index
            self._count("lone", str(victim))
            nodes = range(len(world.hosts))
            self._cuts.cut(
                [(victim, other) for other in nodes if other != victim], self._until_slot(self._seconds(1, 3))
            )
            world.workload.split(running, -(-2 * members // 3))

        self._later(max(1, duration - self._seconds(6, 7)), "lone strikes", strike)


def _spoil(path: Path, entropy: random.Random) -> None:
    path.latency = entropy.choice((1_000, 20_000, 100_000, 300_000))
    path.jitter = path.latency // 2
    path.tail = entropy.choice((0.0, 0.05, 0.2))
    path.loss = entropy.choice((0.0, 0.02, 0.2))
    path.duplicate = entropy.choice((0.0, 0.1))
    path.split = entropy.choice((0.0, 0.1, 0.5))


FAULTS: dict[str, Callable[[Nemesis], None]] = {
    "crash": Nemesis.crash,
    "blackout": Nemesis.blackout,
    "ambush-send": Nemesis.ambush_send,
    "ambush-write": Nemesis.ambush_write,
    "ambush-event": Nemesis.ambush_event,
    "final-blackout": Nemesis.final_blackout,
    "isolate": Nemesis.isolate,
    "partition": Nemesis.partition,
    "absence": Nemesis.absence,
    "one-way": Nemesis.one_way,
    "weather": Nemesis.weather,
    "reset": Nemesis.reset,
    "stall": Nemesis.stall,
    "disk": Nemesis.disk,
    "drift": Nemesis.drift,
    "step": Nemesis.step,
    "pause": Nemesis.pause,
    "hostile": Nemesis.hostile,
    "lone": Nemesis.lone,
}
