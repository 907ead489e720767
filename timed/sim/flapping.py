"""Links and processes that come and go: the mishaps of a mesh, all from the seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from timed.params import SECOND
from timed.sim.cuts import Cuts

if TYPE_CHECKING:
    import random

    from timed.sim.mesh_rules import Pair
    from timed.sim.world import World

PACE = 5 * SECOND
"""Mean time between two mishaps."""


class Flapping:
    """Mishaps by name. `counts` says how often each has struck."""

    def __init__(self, world: World, entropy: random.Random) -> None:
        self._world = world
        self._entropy = entropy
        self._nodes = len(world.hosts)
        self._active = False
        self._cuts = Cuts(world.network, world.mesh.disturb)
        self.counts: dict[str, int] = dict.fromkeys((name for name, _ in _MISHAPS), 0)

    def begin(self) -> None:
        """Let things go wrong from now on."""
        self._active = True
        self._next()

    def heal(self) -> None:
        """End every mishap: all paths carry, all processes run."""
        self._active = False
        world = self._world
        self._cuts.heal()
        for host in world.hosts:
            if host.process is None:
                world.boot(host.index)

    def crash_all(self) -> None:
        """Every process ends at once: by a signal, by a kill or with its machine."""
        for host in self._world.hosts:
            self._crash(host.index, power=host.index % 3 == 0)

    def _next(self) -> None:
        delay = 1 + int(self._entropy.expovariate(1.0) * PACE)
        self._world.clock.after(delay, "mishap", self._strike)

    def _strike(self) -> None:
        if not self._active:
            return
        names = [name for name, _ in _MISHAPS]
        name = self._entropy.choices(names, [weight for _, (weight, _) in _MISHAPS])[0]
        self.counts[name] += 1
        self._world.clock.note(f"MISHAP {name}")
        dict(_MISHAPS)[name][1](self)
        self._next()

    def _seconds(self, least: float, most: float) -> int:
        return int(self._entropy.uniform(least, most) * SECOND)

    def _node(self) -> int:
        return self._entropy.randrange(self._nodes)

    def _some_pairs(self, most: int) -> list[Pair]:
        count = self._entropy.randrange(1, most + 1)
        return [self._pair() for _ in range(count)]

    def _pair(self) -> Pair:
        a, b = self._entropy.sample(range(self._nodes), 2)
        return a, b

    # Links

    def _reset(self) -> None:
        """Something in between cuts connections; both ends are told."""
        alive = [connection for connection in self._world.network.connections if connection.open]
        count = min(len(alive), self._entropy.randrange(1, 41))
        for connection in self._entropy.sample(alive, count):
            a, b = (side.machine.index for side in connection.sides)
            self._world.mesh.disturb([(a, b)])
            self._world.network.sever(connection)

    def _swallow(self) -> None:
        """Some paths carry nothing, one way or both, and nobody is told; requests for connections vanish, too."""
        pairs = self._some_pairs(40)
        if self._entropy.random() < 0.5:
            pairs += [(b, a) for a, b in pairs]
        self._block(pairs, self._seconds(1, 150))

    def _isolate(self) -> None:
        """One machine hears nobody and is not heard."""
        victim = self._node()
        self._block([pair for pair in self._world.network.paths if victim in pair], self._seconds(1, 150))

    def _part(self) -> None:
        """Two groups that do not hear each other."""
        side = [self._entropy.random() < 0.5 for _ in range(self._nodes)]
        nodes = range(self._nodes)
        parted = [(a, b) for a in nodes for b in nodes if a != b and side[a] != side[b]]
        self._block(parted, self._seconds(1, 110))

    def _block(self, pairs: list[Pair], duration: int) -> None:
        world = self._world
        pairs = [pair for pair in dict.fromkeys(pairs) if pair in world.network.paths]
        world.mesh.disturb(pairs)
        self._cuts.cut(pairs, duration)

    # Processes

    def _restart(self) -> None:
        """Some processes end, and are back soon or later."""
        for _ in range(self._entropy.randrange(1, 4)):
            self._down(self._node(), self._seconds(0.05, 40))

    def _waver(self) -> None:
        """One process starts again and again, and ends each time before it has settled."""
        victim, when = self._node(), 0
        for _ in range(self._entropy.randrange(3, 9)):
            self._world.clock.after(
                when, f"waver {victim}", lambda: self._down(victim, self._seconds(0.05, 2))
            )
            when += self._seconds(2.5, 8)

    def _down(self, victim: int, pause: int) -> None:
        world = self._world
        if not self._active or world.hosts[victim].process is None:
            return
        self._crash(victim, power=self._entropy.random() < 0.5)
        world.clock.after(pause, f"boot {victim}", lambda: world.boot(victim))

    def _crash(self, victim: int, *, power: bool) -> None:
        self._world.mesh.disturb_node(victim)
        self._world.hosts[victim].crash(power=power, lose_all=self._entropy.random() < 0.5)


_MISHAPS: tuple[tuple[str, tuple[int, Callable[[Flapping], None]]], ...] = (
    ("reset", (30, Flapping._reset)),
    ("swallow", (30, Flapping._swallow)),
    ("restart", (20, Flapping._restart)),
    ("isolate", (10, Flapping._isolate)),
    ("waver", (7, Flapping._waver)),
    ("part", (3, Flapping._part)),
)
"""Name, how often compared with the others, and what is done."""
