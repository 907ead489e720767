"""A machine with its disk and its clock, and the processes that live on it.

A `Process` is what `timed.app.driver` is to Twisted: it calls one production
`Node`, executes the actions that come back in their order, and owns nothing else.
A crash ends it at once, between any two actions; the next one starts a fresh Node
from what the disk kept.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import attrs

from timed.crypto.batch import verify_batch
from timed.errors import StoreError
from timed.events import (
    Action,
    Close,
    CommitBlock,
    Dial,
    NodeEvent,
    Pause,
    Persist,
    Publish,
    Resume,
    Verify,
    Write,
)
from timed.flight.recorder import Recorder
from timed.sim.store import LossyStore

if TYPE_CHECKING:
    import random

    from timed.node.node import Node
    from timed.sim.clock import Clock, Timer
    from timed.sim.network import Network

T = TypeVar("T")

VERIFY_US = 80
"""Virtual time of one signature check."""
HAND_OVER_US = 40
"""Virtual time between another thread's answer and the reactor's turn."""


class Observer(Protocol):
    """Who watches processes: invariants, workload and nemesis, behind one face."""

    def turned(self, process: Process) -> None:
        """The process had a turn of its reactor."""

    def writing(self, process: Process, link: int, data: bytes) -> bool:
        """Called before `data` leaves; False when the process crashed instead."""

    def written(self, process: Process, link: int) -> None:
        """Called after the last write was handed to the network."""

    def ended(self, process: Process, link: int) -> None:
        """The process writes nothing more on this link."""

    def dialling(self, process: Process, host: str) -> None:
        """The process begins a dial."""

    def staged(self, process: Process, writes: tuple[Persist | CommitBlock, ...]) -> None:
        """The store thread handed writes to the operating system."""

    def synced(self, process: Process, writes: tuple[Persist | CommitBlock, ...]) -> None:
        """These writes are durable."""

    def published(self, process: Process, event: NodeEvent) -> None:
        """The node told the world."""

    def opened(self, process: Process, link: int) -> None:
        """The process was told of a connection."""

    def spares_silence(self, index: int) -> bool:
        """Whether the network can do without this machine's signatures for the rest of the epoch."""


@attrs.define
class Disk:
    """How the disk of a machine behaves. Times in microseconds."""

    sync_us: int = 600
    spread_us: int = 800
    tail: float = 0.01
    stalled_until: int = 0
    """True time before which no fsync returns."""

    def latency(self, entropy: random.Random) -> int:
        latency = self.sync_us + int(entropy.expovariate(1.0) * self.spread_us)
        if entropy.random() < self.tail:
            latency += entropy.randrange(20_000, 200_000)
        return latency


class Host:
    """One machine. `process` is None while nothing runs on it."""

    def __init__(
        self, index: int, clock: Clock, network: Network, entropy: random.Random, observer: Observer
    ) -> None:
        self.index = index
        self.clock = clock
        self.network = network
        self.entropy = entropy
        self.observer = observer
        self.disk = Disk()
        self.store = LossyStore()
        self.offset = 0
        """What the machine's clock shows more than the true time, in microseconds."""
        self.drift_ppm = 0
        self.process: Process | None = None
        self.lives = 0

    def local(self) -> int:
        """What the machine's clock shows now."""
        drift = (self.clock.now - self.clock.start) * self.drift_ppm // 1_000_000
        return self.clock.now + self.offset + drift

    def true(self, local: int) -> int:
        """The first true microsecond at which the clock shows at least `local`, unless it is stepped."""
        return self.clock.now + max(0, local - self.local()) * 1_000_000 // (1_000_000 + self.drift_ppm) + 1

    def start(self, made: Node | Recorder, node_id: bytes | None, port: int) -> Process:
        """Run the node that was made over `self.store` as this machine's process, recorded or not.

        `node_id` is what its transports prove to others; None without TLS.
        """
        self.lives += 1
        self.process = Process(self, made, node_id, port)
        self.network.power_on(self.index)
        self.network.listen(self.index, self.process)
        self.process.turn("start", made.start)
        return self.process

    def crash(self, *, power: bool, lose_all: bool) -> None:
        """End the process between two instructions; `power` takes the machine with it."""
        process = self.process
        if process is None:
            return
        process.die()
        self.process = None
        self.clock.note(
            f"crash {self.index} power={power} lose_all={lose_all} unsynced={self.store.unsynced}"
        )
        if power:
            self.network.power_cut(self.index)
        else:
            self.network.process_died(self.index, self.entropy.random() < 0.5)
        self.store = self.store.crash(
            self.entropy, lose_all=lose_all, may_doubt=self.observer.spares_silence(self.index)
        )

    def step_clock(self, delta: int) -> None:
        """The clock jumps by `delta` microseconds; a running process notices at its next turn."""
        self.offset += delta
        if self.process is not None:
            self.process.reschedule()


class Process:
    """One life of a node: it executes actions and turns the world's answers into calls."""

    def __init__(self, host: Host, made: Node | Recorder, node_id: bytes | None, port: int) -> None:
        self.host = host
        self.recorder = made if isinstance(made, Recorder) else None
        self.node: Node = made.node if isinstance(made, Recorder) else made
        self.calls = made
        """What the host calls."""
        self.node_id = node_id
        self.port = port
        self.alive = True
        self.name = f"{host.index}.{host.lives}"
        self.paused = False
        self._asleep: list[tuple[str, Callable[[int], object]]] = []
        self._writes: deque[Persist | CommitBlock] = deque()
        self._syncing = False
        self._wake: Timer | None = None

    def turn(self, what: str, call: Callable[[int], object]) -> None:
        """One turn of the reactor: `call` with the local time, then every action, then the timer."""
        if not self.alive:
            return
        if self.paused:
            self._asleep.append((what, call))
            return
        now = self.host.local()
        call(now)
        self._execute(self.calls.flush(now))
        self.host.observer.turned(self)
        self.reschedule()

    def _execute(self, actions: Sequence[Action]) -> None:
        """In their order, until the process dies between two of them."""
        for action in actions:
            if not self.alive:
                return
            _EXECUTE[type(action)](self, action)

    def operate(self, method: Callable[..., T], *arguments: object) -> T:
        """Do something to the node for its user."""
        return method(*arguments) if self.recorder is None else self.recorder.operate(method, *arguments)

    def die(self) -> None:
        """Nothing is executed any more; what other threads held is gone."""
        self.alive = False
        if self._wake is not None:
            self._wake.cancel()

    def pause(self) -> None:
        """SIGSTOP: the world goes on without it. A sync that is under way ends; nothing is read or begun."""
        self.paused = True

    def go_on(self) -> None:
        """SIGCONT: what came meanwhile is handled now, in order; then what the kernel holds is read."""
        self.paused = False
        if not self._syncing:
            self._sync_next()
        asleep, self._asleep = self._asleep, []
        for what, call in asleep:
            self.turn(what, call)
        self.turn("go on", self.calls.wake)
        if self.alive:
            self.host.network.awake(self.host.index)

    def reschedule(self) -> None:
        """Let the one timer point at what the node asked for."""
        if not self.alive:
            return
        deadline = self.calls.next_wake()
        when = None if deadline is None else self.host.true(deadline)
        if self._wake is not None:
            if self._wake.when == when and self._wake.call is not None:
                return
            self._wake.cancel()
        if when is not None:
            self._wake = self.host.clock.at(
                when, f"wake {self.name}", lambda: self.turn("wake", self.calls.wake)
            )

    # The network's side

    def opened(self, link: int, outbound: bool, peer_id: bytes | None, host: str, port: int) -> None:
        self.host.observer.opened(self, link)
        self.turn("connected", lambda now: self.calls.connected(link, outbound, peer_id, host, port, now))

    def received(self, link: int, data: bytes) -> None:
        self.turn("received", lambda now: self.calls.received(link, data, now))

    def lost(self, link: int, reason: str) -> None:
        self.host.observer.ended(self, link)
        self.turn("disconnected", lambda now: self.calls.disconnected(link, reason, now))

    def failed(self, host: str, port: int, reason: str) -> None:
        self.turn("dial failed", lambda now: self.calls.dial_failed(host, port, reason, now))

    def drained(self, link: int) -> None:
        self.turn("drained", lambda now: self.calls.drained(link, now))

    # Actions

    def _write(self, action: Write) -> None:
        if self.host.observer.writing(self, action.link, action.data):
            self.host.network.write(action.link, action.data)
            self.host.observer.written(self, action.link)

    def _close(self, action: Close) -> None:
        self.host.network.close(action.link, action.reason, action.abort)
        self.host.observer.ended(self, action.link)

    def _pause(self, action: Pause) -> None:
        self.host.network.pause(action.link)

    def _resume(self, action: Resume) -> None:
        self.host.network.read_on(action.link)

    def _dial(self, action: Dial) -> None:
        self.host.observer.dialling(self, action.host)
        self.host.network.dial(self.host.index, self, action.host, action.port, action.expected)

    def _verify(self, action: Verify) -> None:
        host = self.host
        delay = HAND_OVER_US + VERIFY_US * len(action.items) + host.entropy.randrange(200)

        def answer() -> None:
            if self.alive:
                verdicts = verify_batch(action.items)
                self.turn("verified", lambda now: self.calls.verified(action.token, verdicts, now))

        host.clock.after(delay, f"verified {self.name} {action.token}", answer)

    def _publish(self, action: Publish) -> None:
        self.host.observer.published(self, action.event)

    def _store(self, action: Persist | CommitBlock) -> None:
        self._writes.append(action)
        if not self._syncing:
            self._sync_next()

    # The store thread

    def _sync_next(self) -> None:
        """Take the next write with all that may share its fsync, in the order they came."""
        if not self.alive or self.paused or not self._writes:
            self._syncing = False
            return
        self._syncing = True
        batch = [self._writes.popleft()]
        while self._writes and _share(batch[-1], self._writes[0]):
            batch.append(self._writes.popleft())
        host = self.host
        writes = tuple(batch)
        try:
            for write in writes:
                host.store.stage(write.records if isinstance(write, Persist) else write.commit)
        except StoreError as error:
            self._fail(writes, str(error))
            return
        host.observer.staged(self, writes)
        latency = host.disk.latency(host.entropy)
        when = max(host.clock.now + latency, host.disk.stalled_until)
        host.clock.at(when, f"synced {self.name} {writes[-1].token}", lambda: self._synced(writes))

    def _synced(self, writes: tuple[Persist | CommitBlock, ...]) -> None:
        host = self.host
        if not self.alive:
            return
        if host.clock.now < host.disk.stalled_until:
            label = f"synced {self.name} {writes[-1].token} late"
            host.clock.at(host.disk.stalled_until, label, lambda: self._synced(writes))
            return
        try:
            host.store.sync()
        except StoreError as error:
            if not host.store.failing:
                raise  # no disk is at fault: the node has asked for what cannot be
            self._fail(writes, str(error))
            return
        host.observer.synced(self, writes)
        for write in writes:
            self._answer(write.token)
        self._sync_next()

    def _answer(self, token: int) -> None:
        self.host.clock.after(
            HAND_OVER_US, f"persisted {self.name} {token}",
            lambda: self.turn("persisted", lambda now: self.calls.persisted(token, now)),
        )  # fmt: skip

    def _fail(self, writes: tuple[Persist | CommitBlock, ...], reason: str) -> None:
        for write in writes:
            self._refuse(write.token, reason)
        self.host.clock.after(HAND_OVER_US, f"store goes on {self.name}", self._sync_next)

    def _refuse(self, token: int, reason: str) -> None:
        self.host.clock.after(
            HAND_OVER_US, f"store failed {self.name} {token}",
            lambda: self.turn("store failed", lambda now: self.calls.store_failed(token, reason, now)),
        )  # fmt: skip


def _share(first: Persist | CommitBlock, second: Persist | CommitBlock) -> bool:
    """Only records share an fsync: a block starts a new log."""
    return isinstance(first, Persist) and isinstance(second, Persist)


_EXECUTE: dict[type, Callable[[Process, Any], None]] = {
    Write: Process._write,
    Close: Process._close,
    Pause: Process._pause,
    Resume: Process._resume,
    Dial: Process._dial,
    Verify: Process._verify,
    Publish: Process._publish,
    Persist: Process._store,
    CommitBlock: Process._store,
}
