"""Nodes with a monitor each, on virtual time: real nodes, drivers, stores, log and monitor, and a wire in between.

What a test breaks is what lies outside of them: the wire, the disk under a store, the
clock, a thread, the machine. `fires` and `clears` look where an operator would look.
"""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from tests.app_world import Threads
from tests.rpc_service import FakeContext, make_context
from timed.app.context import Running
from timed.app.driver import Hands, NodeDriver
from timed.app.logging import LineObserver
from timed.app.nodeloops import watch_driver
from timed.app.watchdog import Watchdog
from timed.crypto.batch import verify_batch
from timed.crypto.keys import SigningKey
from timed.ledger.genesis import Genesis
from timed.ledger.regtest import builtin_regtest, well_known_key
from timed.monitor.alerts import Alert
from timed.monitor.rules import CHECK, RULES
from timed.monitor.service import MonitorService
from timed.node.config import NodeConfig
from timed.node.node import Node
from timed.params import REGTEST, SECOND
from timed.store.lmdb import LmdbStore
from timed.store.memory import MemoryStore
from timed.wire.catalogue import decode_message, limit_for
from timed.wire.compression import Packing
from timed.wire.framing import FrameReader, frames_of
from timed.wire.message import Message

STEP_S = 0.05
COARSE_S = 0.5
"""Of long waits in which nothing depends on how late a timer is."""


class Disk:
    """The store of a node; `append` and `commit` take `slow_s` and fail with `broken`."""

    def __init__(self, store: Any, seconds: Callable[[], float]) -> None:
        self._store = store
        self._seconds = seconds
        self._spent = 0.0
        self.slow_s = 0.0
        self.broken: Exception | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def monotonic(self) -> float:
        """The clock of whoever measures it."""
        return self._seconds() + self._spent

    def append(self, records: Any) -> None:
        self._work()
        self._store.append(records)

    def commit(self, block: Any) -> None:
        self._work()
        self._store.commit(block)

    def _work(self) -> None:
        self._spent += self.slow_s
        if self.broken is not None:
            raise self.broken


class Machine:
    """One node with its monitor; `skew_us` is how wrong its clock is."""

    def __init__(self, world: World, number: int, operator: SigningKey | None) -> None:
        self.world = world
        self.number = number
        self.skew_us = 0
        self.node_key = well_known_key("node", number)
        self.operator = operator
        self.path = world.path / str(number)
        self.links: dict[int, tuple[Machine, int]] = {}
        """Link here to the machine at the other end, and the link there."""
        self.withheld: tuple[type[Message], ...] = ()
        """Messages of these kinds are lost on their way to this machine."""
        self.output = io.StringIO()
        self.observer = LineObserver(self.output, lambda: self.now() / SECOND, burst=1_000)
        self.services = MultiService()
        self.store: Any = None
        self.monitor: MonitorService
        self.context: FakeContext = make_context(str(self.path), chain=False, wallet=False)
        self.start()

    def now(self) -> int:
        return self.world.now() + self.skew_us

    def start(self) -> None:
        """A process over the files that are there."""
        world, context, clock = self.world, self.context, self.world.clock
        if world.on_disk or self.store is None:
            self.store = world.new_store(self.path / "chain")
        self.disk = Disk(self.store, clock.seconds)
        self.threads = Threads(clock)
        config = NodeConfig(world.genesis, self.node_key, self.operator, boot=world.boots())
        self.driver = driver = NodeDriver(
            Node(config, self.disk, random.Random(self.number)),  # type: ignore[arg-type]
            self.disk, clock, self.now,  # type: ignore[arg-type]
            Hands(
                store=self.threads, verifier=Threads(clock), verifier_workers=2,
                from_thread=lambda function, *args: clock.callLater(0, function, *args), verify_batch=verify_batch,
            ),
            max_store_bytes=1 << 24, max_verify_items=1 << 16, monotonic=self.disk.monotonic,
        )  # fmt: skip
        driver.attach(self)
        context.reactor, context.clock, context.monotonic = clock, self.now, clock.seconds
        context.node_key, context.operator_key, context.chosen_genesis = (
            self.node_key,
            self.operator,
            world.genesis,
        )
        context.log_counters, context.log_tail = self.observer.counters, self.observer.tail
        context.started_at = self.now()
        context.loops = Watchdog(clock, clock.seconds)
        context.running = Running(driver.node, driver, self.store)  # type: ignore[arg-type]
        driver.start()
        self.services = MultiService()
        context.loops.setServiceParent(self.services)
        watch_driver(context.loops, driver, self.now)
        self.monitor = MonitorService(context)  # type: ignore[arg-type]
        self.monitor.setServiceParent(self.services)
        self.services.startService()

    def stop(self) -> None:
        """As a killed process: nothing is said to anybody."""
        for link, (other, its_link) in list(self.links.items()):
            self.world.cut(self, link, other, its_link)
        self.services.stopService()
        self.driver.say_goodbye()
        if self.world.on_disk:
            self.store.close()

    # timed.app.driver.Transport

    def write(self, link: int, data: bytes) -> None:
        self.world.clock.callLater(0, self.driver.drained, link)
        if link in self.links:
            other, its_link = self.links[link]
            self.world.clock.callLater(self.world.delay_s, other.receive, its_link, data)

    def close(self, link: int, reason: str, abort: bool) -> None:
        if link in self.links:
            other, its_link = self.links[link]
            self.world.clock.callLater(0, self.world.cut, self, link, other, its_link)

    def pause(self, link: int) -> None:
        """Nobody sends that much here."""

    def resume(self, link: int) -> None:
        """Nothing was paused."""

    def dial(self, host: str, port: int, expected_id: bytes | None) -> None:
        """Links are made by the test."""

    def receive(self, link: int, data: bytes) -> None:
        if link not in self.links:
            return
        if self.withheld:
            reader = self.world.readers.setdefault(
                (self.number, link), FrameReader(REGTEST.magic, limit_for=limit_for, unpack=Packing().unpack)
            )
            data = b"".join(
                bytes(piece)
                for frame in reader.feed(data)
                if not isinstance(decode_message(frame.number, frame.payload), self.withheld)
                for piece in frames_of(
                    REGTEST.magic, frame.number, frame.payload,
                    request_id=frame.request_id, reply=frame.is_reply,
                )
            )  # fmt: skip
        if data:
            self.driver.received(link, data)

    # What an operator looks at.

    def active(self) -> dict[str, Alert]:
        return {alert.rule.name: alert for alert in self.monitor.alarms.active()}

    def health(self) -> dict[str, Any]:
        return self.monitor.health()[1]

    def picture(self, *, private: bool) -> dict[str, Any]:
        """What the dashboard is sent."""
        found: dict[str, Any] = json.loads(self.monitor._snapshots.newest().picture(private=private))
        return found

    def log(self) -> str:
        return self.output.getvalue()


class World:
    """The machines and the wire; `delay_s` is the way of a message."""

    def __init__(
        self, path: Path, interval: int = 5, *, on_disk: bool = False, members: tuple[int, ...] = (1, 2)
    ) -> None:
        """Stores are LMDB `on_disk`, else in memory, where they outlive a node that is started again."""
        self.path = path
        self.on_disk = on_disk
        self.clock = MemoryReactorClock()
        self.genesis: Genesis = builtin_regtest(members, interval=interval)
        self._start_us = (self.genesis.time + 1) * SECOND
        self.delay_s = 0.0
        self.machines: list[Machine] = []
        self.readers: dict[tuple[int, int], FrameReader] = {}
        self._link = 0
        self._boots = 0

    def now(self) -> int:
        return self._start_us + round(self.clock.seconds() * SECOND)

    def new_store(self, path: Path) -> Any:
        return LmdbStore(str(path), REGTEST.name, self.genesis.hash) if self.on_disk else MemoryStore()

    def boots(self) -> int:
        self._boots += 1
        return self._boots

    def machine(self, number: int, *, member: bool = True) -> Machine:
        made = Machine(self, number, well_known_key("operator", number) if member else None)
        self.machines.append(made)
        return made

    def connect(self, one: Machine, two: Machine) -> None:
        self._link += 1
        link = self._link
        one.links[link], two.links[link] = (two, link), (one, link)
        one.driver.connected(link, True, two.node_key.public, "127.0.0.1", 7000 + two.number)
        two.driver.connected(link, False, one.node_key.public, "127.0.0.1", 50_000 + link)

    def cut(self, one: Machine, link: int, two: Machine, its_link: int) -> None:
        """The cable is pulled: neither end was told."""
        for machine, here in ((one, link), (two, its_link)):
            if machine.links.pop(here, None) is not None:
                machine.driver.disconnected(here, "connection-lost")

    def separate(self, one: Machine, two: Machine) -> None:
        for link, (other, its_link) in list(one.links.items()):
            if other is two:
                self.cut(one, link, two, its_link)

    def close(self) -> None:
        for machine in self.machines:
            machine.stop()


class AlarmCase(SynchronousTestCase):
    """Two members that need each other for a quorum; the first one's monitor is looked at."""

    interval = 5
    on_disk = False
    members = (1, 2)
    """Of the roster; the first two run."""

    def setUp(self) -> None:
        path = Path(self.mktemp()).absolute()
        path.mkdir()
        self.world = World(path, self.interval, on_disk=self.on_disk, members=self.members)
        self.addCleanup(self.world.close)
        self.one, self.two = self.world.machine(1), self.world.machine(2)
        self.watched = self.one
        globalLogPublisher.addObserver(self._line)
        self.addCleanup(globalLogPublisher.removeObserver, self._line)
        self.world.connect(self.one, self.two)
        self.until(lambda: self.height(self.one) >= 1 and self.height(self.two) >= 1, 60)
        self.assertEqual(self.watched.active(), {})

    def _line(self, event: Any) -> None:
        self.watched.observer(event)

    def height(self, machine: Machine) -> int:
        return machine.driver.node.ledger.tip.height

    def until(self, done: Callable[[], object], seconds: float, step_s: float = STEP_S) -> None:
        for _ in range(round(seconds / step_s)):
            if done():
                return
            self.world.clock.advance(step_s)
        raise AssertionError(f"not within {seconds} s; active: {list(self.watched.active())}")

    def pass_time(self, seconds: float, step_s: float = STEP_S) -> None:
        for _ in range(round(seconds / step_s)):
            self.world.clock.advance(step_s)

    def fires(self, *names: str, seconds: float = 900, step_s: float = STEP_S) -> None:
        """Until these alerts are raised; then each stands in /health, on the dashboard and in the log, with its remedy."""
        machine = self.watched
        self.until(lambda: set(names) <= set(machine.active()), seconds, step_s)
        health = machine.health()
        pictures = [machine.picture(private=private) for private in (True, False)]
        rules = {rule.name: rule for rule in RULES}
        for name in names:
            remedy = rules[name].remedy
            for shown in (health["alerts"], *(picture["alerts"]["active"] for picture in pictures)):
                self.assertEqual([each["remedy"] for each in shown if each["name"] == name], [remedy])
            lines = [line for line in machine.log().splitlines() if f"alert {name}: " in line]
            self.assertTrue(lines and remedy in lines[-1], f"{name} is not in the log with its remedy")
            if name.startswith(CHECK):
                for checks in (health["checks"], *(picture["health"]["checks"] for picture in pictures)):
                    check = checks[name.removeprefix(CHECK)]
                    self.assertTrue(check["state"] != "ok" and check["reason"] and check["remedy"], name)

    def clears(self, *names: str, seconds: float = 1_800, step_s: float = COARSE_S) -> None:
        """Until none of these alerts lasts; each is told as over."""
        machine = self.watched
        self.until(lambda: not set(names) & set(machine.active()), seconds, step_s)
        over = {each["name"] for each in machine.health()["alerts"]}
        self.assertEqual(set(names) & over, set())
        for name in names:
            self.assertIn(f"alert {name} is over", machine.log())
