"""The machines, the paths between them, and who is connected to whom."""

from __future__ import annotations

from typing import TYPE_CHECKING

from timed.sim.links import Connection, Endpoint, Machine, Path, Side

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable

    from timed.sim.clock import Clock

DIAL_TIMEOUT = 10_000_000
"""One deadline for TCP and TLS together, in microseconds (what `timed.net` allows)."""
SYN_RETRIES = (1_000_000, 3_000_000, 7_000_000)
"""When an unanswered connection request is repeated."""


class Network:
    """Executes dials, writes and closes of processes, and the faults of what is between them."""

    def __init__(self, clock: Clock, entropy: random.Random, machines: int) -> None:
        self.clock = clock
        self.entropy = entropy
        self.machines = [
            Machine(index, f"10.0.{index // 250}.{index % 250 + 1}") for index in range(machines)
        ]
        self.paths = {(a, b): Path() for a in range(machines) for b in range(machines) if a != b}
        self._index = {machine.host: machine.index for machine in self.machines}
        self._connections: list[dict[Connection, None]] = [{} for _ in range(machines)]
        """By machine, oldest first: those in which at least one side believes, or will."""
        self._between: dict[tuple[int, int], dict[Connection, None]] = {}
        """The same by pair, the lower machine first."""
        self._listeners: dict[str, Endpoint] = {}
        self._by_link: dict[int, tuple[Connection, int]] = {}
        self._next_link = 1

    def listen(self, machine: int, endpoint: Endpoint) -> None:
        """The process on `machine` accepts connections from now on."""
        self._listeners[self.machines[machine].host] = endpoint

    def unlisten(self, machine: int) -> None:
        self._listeners.pop(self.machines[machine].host, None)

    def machine_of(self, host: str) -> int | None:
        return self._index.get(host)

    def dial(self, machine: int, endpoint: Endpoint, host: str, port: int, expected: bytes | None) -> None:
        """Open a connection for the process; `opened` or `failed` is called later."""
        target = self.machine_of(host)
        if target is None or target == machine:
            self.clock.after(1_000, f"dial {machine}>{host} unreachable",
                             lambda: endpoint.failed(host, port, "unreachable"))  # fmt: skip
            return
        _Dial(self, machine, target, endpoint, port, expected)

    def write(self, link: int, data: bytes) -> None:
        """Hand `data` to the transport; a link that is gone swallows it."""
        found = self._by_link.get(link)
        if found is not None:
            found[0].write(found[1], data)

    def close(self, link: int, reason: str, abort: bool) -> None:
        found = self._by_link.get(link)
        if found is not None:
            (found[0].abort if abort else found[0].close)(found[1], reason)

    def pause(self, link: int) -> None:
        """The process does not read this link until `read_on`."""
        found = self._by_link.get(link)
        if found is not None:
            found[0].pause(found[1])

    def read_on(self, link: int) -> None:
        found = self._by_link.get(link)
        if found is not None:
            found[0].read_on(found[1])

    def place_of(self, link: int) -> tuple[Connection, int] | None:
        """The connection of a link and which of its sides the link is; None when it is over."""
        return self._by_link.get(link)

    def unsent(self, link: int) -> int:
        """Bytes the transport of `link` still holds."""
        found = self._by_link.get(link)
        return found[0].unsent(found[1]) if found is not None else 0

    @property
    def connections(self) -> list[Connection]:
        """All of them, oldest first."""
        found = {connection.sides[0].link: connection for held in self._connections for connection in held}
        return [found[link] for link in sorted(found)]

    def between(self, a: int, b: int) -> list[Connection]:
        """Connections between two machines in which at least one side believes."""
        return [c for c in self._between.get((a, b) if a < b else (b, a), ()) if c.open]

    def block(self, pairs: Iterable[tuple[int, int]]) -> None:
        """Nothing arrives any more on these directions, and nobody is told."""
        for pair in pairs:
            self.paths[pair].blocked = True

    def unblock(self, pairs: Iterable[tuple[int, int]]) -> None:
        """Heal these directions; what was held is retransmitted."""
        healed = [pair for pair in pairs if self.paths[pair].blocked]
        for pair in healed:
            self.paths[pair].blocked = False
        for a, b in healed:
            self._resume(self._between.get((a, b) if a < b else (b, a), ()))

    def sever(self, connection: Connection) -> None:
        """Something in between resets the connection; data under way is lost."""
        connection.sever("connection-reset")

    def process_died(self, machine: int, orderly: bool) -> None:
        """A process is gone, its machine lives: its connections end."""
        self.unlisten(machine)
        for connection in self._of(machine):
            connection.process_died(self._side(connection, machine), orderly)

    def power_cut(self, machine: int) -> None:
        """The machine goes dark; its peers learn nothing."""
        self.unlisten(machine)
        self.machines[machine].dark = True
        for connection in self._of(machine):
            connection.power_cut(self._side(connection, machine), self.entropy.random() < 0.5)

    def power_on(self, machine: int) -> None:
        """The machine boots: it answers segments of connections it forgot with resets."""
        self.machines[machine].dark = False
        self._resume(self._of(machine))

    def awake(self, machine: int) -> None:
        """The process there goes on: it finds what has arrived meanwhile."""
        for connection in self._of(machine):
            connection.awake(self._side(connection, machine))

    def joined(self, a: int, b: int, endpoints: tuple[Endpoint, Endpoint]) -> Connection:
        """A new connection between two machines, not yet told to either process."""
        sides = []
        for index, endpoint in zip((a, b), endpoints, strict=True):
            sides.append(Side(self.machines[index], endpoint, self._next_link))
            self._next_link += 1
        paths = (self.paths[(a, b)], self.paths[(b, a)])
        connection = Connection(self.clock, self.entropy, paths, (sides[0], sides[1]))
        for side, position in zip(sides, (0, 1), strict=True):
            self._by_link[side.link] = (connection, position)
            self._connections[side.machine.index][connection] = None
        self._between.setdefault((a, b) if a < b else (b, a), {})[connection] = None
        connection.on_over = lambda: self._forget(connection)
        return connection

    def listener(self, machine: int) -> Endpoint | None:
        return self._listeners.get(self.machines[machine].host)

    def _of(self, machine: int) -> list[Connection]:
        return list(self._connections[machine])

    def _forget(self, connection: Connection) -> None:
        """Neither side believes in it any more."""
        for side in connection.sides:
            self._connections[side.machine.index].pop(connection, None)
            self._by_link.pop(side.link, None)
        a, b = (side.machine.index for side in connection.sides)
        self._between[(a, b) if a < b else (b, a)].pop(connection, None)

    @staticmethod
    def _side(connection: Connection, machine: int) -> int:
        return 0 if connection.sides[0].machine.index == machine else 1

    @staticmethod
    def _resume(connections: Iterable[Connection]) -> None:
        for connection in list(connections):
            connection.resume()


class _Dial:
    """One attempt: request, answer, TLS, until both processes are told or the deadline passes."""

    def __init__(
        self,
        network: Network,
        source: int,
        target: int,
        endpoint: Endpoint,
        port: int,
        expected: bytes | None,
    ) -> None:
        self.network = network
        self.source = source
        self.target = target
        self.endpoint = endpoint
        self.port = port
        self.expected = expected
        self.over = False
        self.answered = False
        self.label = f"dial {source}>{target}"
        clock = network.clock
        self.timers = [clock.after(pause, f"{self.label} again", self._request) for pause in SYN_RETRIES]
        self.timers.append(clock.after(DIAL_TIMEOUT, f"{self.label} deadline", lambda: self._fail("timeout")))
        self._request()

    def _request(self) -> None:
        if not self.over and not self.answered:
            self._travel(self.source, self.target, "request", self._requested)

    def _travel(self, a: int, b: int, what: str, then: object) -> None:
        network = self.network
        path = network.paths[(a, b)]

        def arrive() -> None:
            if not self.over and not path.blocked and not network.machines[b].dark and callable(then):
                then()

        network.clock.after(path.delay(network.entropy), f"{self.label} {what}", arrive)

    def _requested(self) -> None:
        listener = self.network.listener(self.target)
        if self.answered or (listener is not None and listener.paused):
            return
        self.answered = True
        if listener is None:
            self._travel(self.target, self.source, "refused", lambda: self._fail("connection-refused"))
        else:
            self._travel(self.target, self.source, "hello", self._hello)

    def _hello(self) -> None:
        listener = self.network.listener(self.target)
        if listener is None:
            self._fail("connection-refused")
        elif self.expected is not None and listener.node_id not in (self.expected, None):
            self._fail("wrong-key")
        elif not self.endpoint.alive:
            self._settle()
        else:
            self._settle()
            connection = self.network.joined(self.source, self.target, (self.endpoint, listener))
            path = self.network.paths[(self.source, self.target)]
            self.network.clock.after(
                path.delay(self.network.entropy), f"{self.label} finished", lambda: self._finished(connection)
            )
            connection.opened(0)

    def _finished(self, connection: Connection) -> None:
        """The listener learns of the dialler; a path that blocked meanwhile holds it back."""
        path = self.network.paths[(self.source, self.target)]
        if path.blocked or self.network.machines[self.target].dark:
            connection.held.append(lambda: self._finished(connection))
        elif connection.sides[1].pending:
            connection.opened(1)

    def _settle(self) -> None:
        self.over = True
        for timer in self.timers:
            timer.cancel()

    def _fail(self, reason: str) -> None:
        if not self.over:
            self._settle()
            self.endpoint.failed(self.network.machines[self.target].host, self.port, reason)
