"""The log budget: a line for what an operator acts on, nothing per message, floods summed up."""

from __future__ import annotations

import io
import re
from collections import Counter

from twisted.logger import Logger, LogPublisher
from twisted.trial.unittest import SynchronousTestCase

from tests.peer_harness import Host, Stranger, Wire, key
from tests.process_world import ProcessCase, until
from tests.test_peer_sessions import open_stranger
from timed.app.logging import LineObserver
from timed.app.schema import LogSection
from timed.events import NodeEvent, PeerClosed, PeerOpened, PeerRefused
from timed.monitor.eventlog import EventLog
from timed.params import SECOND
from timed.peer import limits
from timed.sim.host import Process
from timed.sim.world import Scenario, World
from timed.wire.messages import GetPeers

BURST, WINDOW = LogSection().burst, LogSection().window
MORE = re.compile(r": (\d+) more lines in \d+ s like: ")


class Log:
    """The lines of one node with the settings of a new installation; the tests' clock."""

    def __init__(self) -> None:
        self.now = 1_700_000_000 * SECOND
        self.out = io.StringIO()
        self.observer = LineObserver(self.out, lambda: self.now / SECOND, burst=BURST, window=WINDOW)
        self._sink = EventLog(Logger("timed.node", observer=LogPublisher(self.observer)))
        self.events: Counter[type] = Counter()

    def published(self, event: object, now: int) -> None:
        self.now = now
        self.events[type(event)] += 1
        self._sink.published(event, now)

    def lines(self) -> list[str]:
        return self.out.getvalue().splitlines()

    def told_of(self, pattern: str) -> int:
        """Events that lines tell of which hold this text, one by one or in a sum."""
        found = [line for line in self.lines() if pattern in line]
        return sum(int(more.group(1)) if (more := MORE.search(line)) else 1 for line in found)


class Logged(World):
    """A simulated network whose first machine keeps a log."""

    def __init__(self, scenario: Scenario) -> None:
        super().__init__(scenario)
        self.log = Log()

    def published(self, process: Process, event: NodeEvent) -> None:
        if process.host.index == 0:
            self.log.published(event, self.clock.now)
        super().published(process, event)


class LoadTests(SynchronousTestCase):
    def test_payments_make_no_lines_and_blocks_one_each(self) -> None:
        """Some thousand messages a minute among four members: a line for each peer and block."""
        world = Logged(Scenario(11, nodes=4))
        for index in range(4):
            world.boot(index)
        seconds = 60
        for number in range(150):
            world.clock.run_until(world.clock.now + seconds * SECOND // 150)
            payment = world.workload.spend([world.workload._coin()])
            world.workload.submit(payment, world.running()[number % 4])
        world.clock.run_until(world.clock.now + 20 * SECOND)
        traffic = world.running()[0].node.peers.traffic()
        messages = sum(traffic.received.values()) + sum(traffic.sent.values())
        lines = world.log.lines()
        self.assertGreater(messages, 2_000)
        peers = len(world.running()) - 1
        self.assertGreaterEqual(world.log.events[PeerOpened], peers)
        self.assertEqual(len(lines), peers + world.heights()[0])
        self.assertLessEqual(len(lines) * 1000 / messages, 10)
        self.assertLessEqual(len(lines), seconds)
        self.assertEqual(world.log.observer.counters.lines["warn"], 0)


class StormTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.wire = Wire()
        self.host = self.wire.host(1, max_inbound=5)
        self.log = Log()

    def listen(self) -> None:
        """Hand what the host published to its log."""
        for event in self.host.events:
            self.log.published(event, self.wire.now)
        self.host.events.clear()

    def end_of_window(self) -> None:
        self.wire.run(2 * WINDOW * SECOND)
        self.listen()
        self.log.now = self.wire.now + WINDOW * SECOND
        self.log.observer.sweep()

    def test_thousands_of_connects_and_ends_are_summed_up(self) -> None:
        sessions, minutes = 3_000, 5
        for number in range(sessions):
            stranger = open_stranger(self.host, 66, 100 + number)
            self.host.call(self.host.table.disconnected(stranger.link, "lost", self.wire.now))
            self.wire.now += minutes * 60 * SECOND // sessions
            self.listen()
        self.end_of_window()
        self.assertEqual((self.log.events[PeerOpened], self.log.events[PeerClosed]), (sessions, sessions))
        self.assertEqual(self.log.told_of("connected with"), sessions)
        self.assertEqual(self.log.told_of("was lost"), sessions)
        # Of each kind the burst and one sum a window, and the window that was under way at the start.
        self.assertLessEqual(len(self.log.lines()), (minutes + 1) * 2 * (BURST + 1))
        self.assertLessEqual(self.log.observer.counters.lines["info"], minutes * 60)

    def test_thousands_that_are_refused_are_summed_up(self) -> None:
        for number in range(5):
            open_stranger(self.host, 10 + number, 10 + number)
        self.listen()
        self.log.out.truncate(0)
        for number in range(2_000):
            Stranger(self.host, number=60, link=1_000 + number)
            self.listen()
        self.end_of_window()
        refused = self.log.events[PeerRefused]
        self.assertGreaterEqual(refused, 2_000)
        self.assertEqual(self.log.told_of("no session with"), refused)
        self.assertLessEqual(len(self.log.lines()), 3 * (BURST + 1))

    def test_flood_of_one_peer_gives_a_few_lines(self) -> None:
        """Messages by the thousand, far above every rate, and its return after the ban."""
        stranger = open_stranger(self.host)
        sent = 0
        for _ in range(80):
            for _ in range(250):
                stranger.send(GetPeers())
                sent += 1
            self.wire.run(SECOND)
        for number in range(1_000):
            Stranger(self.host, number=66, link=10_000 + number)
        self.listen()
        self.end_of_window()
        self.assertEqual(sent, 20_000)
        one_by_one = [line for line in self.log.lines() if not MORE.search(line)]
        self.assertLessEqual(len(one_by_one), 3 + BURST)
        self.assertEqual(self.log.told_of("no session with"), 1_000)
        self.assertEqual(self.log.told_of(f"banned {key(66).public.hex()}"), 1)

    def test_crossing_dials_and_feelers_are_no_news(self) -> None:
        hosts: list[Host] = [self.wire.host(n, wanted=[5 - n], discover=True) for n in (2, 3)]
        for host in hosts:
            host.table.discovery.book.add("10.0.0.1", 7000, None, self.wire.now, "10.0.0.9", self.wire.now)
        self.wire.run(3_600 * SECOND)
        rules = Counter(event.rule for event in self.host.events if isinstance(event, PeerRefused))
        self.listen()
        self.assertLessEqual(set(rules), {"feeler", "duplicate"})
        self.assertEqual(self.log.told_of("no session with"), 0)
        self.assertLessEqual(limits.OUTBOUND_TARGET, 8)


class RunningTests(ProcessCase):
    """Three real nodes."""

    network = "log budget"

    def test_levels_change_while_the_node_runs_and_payments_make_no_lines_otherwise(self) -> None:
        world = self.world
        quiet = [world.pay() for _ in range(10)]
        for txid in quiet:
            world.wait_confirmed(txid, 1)
        self.assertEqual(world.call(1, "logging", "node", "debug"), {"*": "info", "node": "debug"})
        loud = world.pay_acknowledged()
        world.wait_confirmed(loud, 1)
        until("the payment is in the log", lambda: f"transaction {loud} final" in world.log(1))
        self.assertEqual(world.call(1, "logging", "node", "default"), {"*": "info"})
        again = world.pay()
        world.wait_confirmed(again, 1)
        log = world.log(1)
        for txid in (*quiet, again):
            self.assertNotIn(txid, log)
        self.assertNotIn(f"transaction {loud}", world.log(2))

    def test_lines_of_a_minute_under_load_are_those_of_sessions_and_blocks(self) -> None:
        world = self.world
        # Every block whose line is counted comes between the two looks at the height.
        height, before = world.call(1, "getblockcount"), world.counted(1, "timed_log_lines")
        for txid in [world.pay(payer) for _ in range(10) for payer in (1, 2, 3)]:
            world.wait_confirmed(txid, 1)
        after, blocks = world.counted(1, "timed_log_lines"), world.call(1, "getblockcount") - height
        grown = {level: after[level] - before[level] for level in after}
        self.assertLessEqual(grown["info"], blocks + 1)
        self.assertEqual((grown["warn"], grown["error"], grown["critical"]), (0, 0, 0))
