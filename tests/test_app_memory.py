"""What the node remembers of its peers: on disk in one step, read once, never fatal."""

from __future__ import annotations

import errno
import os
import stat
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from tests.app_world import ThreadsOnClock
from tests.peer_harness import START, Wire, identity, key
from tests.test_app_services import ServicesCase
from timed.app import memory as room
from timed.app.memory import PERIOD_S, PeerMemory
from timed.crew import Crew
from timed.errors import LocalError
from timed.params import SECOND
from timed.peer.bans import parse_subject
from timed.peer.memory import Memory
from timed.peer.table import PeerTable
from timed.wallet.walletfile import replace_file


class HeldCrew(Crew):
    """Works when it is told to."""

    def __init__(self) -> None:
        super().__init__("held", 1)
        self.waiting: deque[Callable[[], object]] = deque()

    def callInThread(self, func: Callable[..., object], *args: object) -> None:
        self.waiting.append(partial(func, *args))

    def run(self) -> None:
        while self.waiting:
            self.waiting.popleft()()


class MemoryCase(SynchronousTestCase):
    def setUp(self) -> None:
        directory = Path(self.mktemp())
        directory.mkdir()
        self.path = directory / "peers.json"
        self.reactor = ThreadsOnClock()
        self.crew = HeldCrew()
        self.table = self.make_table()
        self.lines: list[LogEvent] = []
        globalLogPublisher.addObserver(self.lines.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.lines.append)

    def make_table(self) -> PeerTable:
        return Wire().host(1, discover=True).table

    def memory(self, table: PeerTable | None = None, **options: Any) -> PeerMemory:
        return PeerMemory(self.path, table or self.table, self.reactor, self.crew, **options)

    def pass_time(self, seconds: float) -> None:
        self.reactor.advance(seconds)
        self.crew.run()
        self.reactor.advance(0)

    def ban(self, number: int) -> None:
        self.table.ban(key(number).public, 0, "test", START)

    def warnings(self) -> list[str]:
        ours = [event for event in self.lines if event["log_namespace"].startswith(room.__name__)]
        return [str(event["log_level"].name) for event in ours]

    def stored(self) -> Memory:
        return Memory.from_json(self.path.read_text(encoding="utf-8"))


class WritingTests(MemoryCase):
    def test_what_is_new_is_written_at_the_next_look_and_only_then(self) -> None:
        memory = self.memory()
        memory.load()
        memory.start()
        self.ban(7)
        self.pass_time(PERIOD_S - 1)
        self.assertFalse(self.path.exists())
        self.pass_time(1)
        self.assertEqual([ban.subject for ban in self.stored().bans], [key(7).public])
        written = os.stat(self.path).st_mtime_ns
        for _ in range(5):
            self.pass_time(PERIOD_S)
        self.assertEqual((os.stat(self.path).st_mtime_ns, memory.counters.writes), (written, 1))
        self.ban(8)
        self.pass_time(PERIOD_S)
        self.assertEqual((len(self.stored().bans), memory.counters.writes), (2, 2))

    def test_the_file_is_the_operators_alone_and_nothing_else_is_left(self) -> None:
        os.umask(os.umask(0))
        memory = self.memory()
        memory.start()
        self.pass_time(PERIOD_S)
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)
        self.assertEqual(os.listdir(self.path.parent), ["peers.json"])

    def test_a_crash_in_the_midst_of_writing_leaves_the_old_file(self) -> None:
        memory = self.memory()
        memory.start()
        self.pass_time(PERIOD_S)
        before = self.path.read_bytes()
        self.ban(7)
        self.patch(os, "replace", self.fail_with(errno.EIO))
        self.pass_time(PERIOD_S)
        self.assertEqual(self.path.read_bytes(), before)
        self.assertEqual(memory.counters.failures, 1)

    def test_a_disk_that_refuses_costs_one_line_until_it_works_again(self) -> None:
        refusing = [True]

        def replace(path: str, data: bytes) -> None:
            if refusing[0]:
                raise OSError(errno.ENOSPC, "No space left on device")
            replace_file(path, data)

        memory = self.memory(replace=replace)
        memory.start()
        for _ in range(4):
            self.pass_time(PERIOD_S)
        self.assertEqual((self.warnings(), memory.counters.failures), (["warn"], 4))
        refusing[0] = False
        self.pass_time(PERIOD_S)
        self.assertTrue(self.path.exists())
        refusing[0] = True
        self.ban(7)
        self.pass_time(PERIOD_S)
        self.assertEqual(self.warnings(), ["warn", "warn"])

    def test_a_slow_disk_is_not_asked_twice_at_a_time(self) -> None:
        memory = self.memory()
        memory.start()
        for _ in range(5):
            self.reactor.advance(PERIOD_S)
        self.assertEqual(len(self.crew.waiting), 1)
        stopped = memory.stop()
        self.assertNoResult(stopped)
        self.ban(9)
        self.pass_time(0)
        self.assertIsNone(self.successResultOf(stopped))
        self.assertEqual([ban.subject for ban in self.stored().bans], [key(9).public])

    def test_after_stop_no_call_is_left_and_the_last_state_is_on_disk(self) -> None:
        memory = self.memory()
        memory.start()
        self.ban(7)
        self.assertIsNone(self.successResultOf(memory.stop()))
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertEqual(len(self.stored().bans), 1)

    def test_stopping_does_not_fail_with_the_disk(self) -> None:
        memory = self.memory(replace=self.fail_with(errno.EROFS))
        memory.start()
        self.assertIsNone(self.successResultOf(memory.stop()))
        self.assertEqual(self.warnings(), ["warn"])

    def test_stopping_does_not_fail_with_a_bug_either(self) -> None:
        memory = self.memory()
        memory.start()
        self.patch(self.table, "remembered", lambda: 1 // 0)
        self.assertIsNone(self.successResultOf(memory.stop()))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_what_is_to_be_saved_is_on_disk_when_it_is_said_to_be(self) -> None:
        memory = self.memory()
        memory.start()
        self.ban(7)
        saved = memory.save()
        self.assertNoResult(saved)
        self.pass_time(0)
        self.assertIsNone(self.successResultOf(saved))
        self.assertEqual([ban.subject for ban in self.stored().bans], [key(7).public])

    def test_who_asks_during_a_write_is_served_by_the_next_one_together(self) -> None:
        memory = self.memory()
        memory.start()
        self.ban(1)
        first = memory.save()
        later = []
        for number in range(2, 7):
            self.ban(number)
            later.append(memory.save())
        self.pass_time(0)
        self.assertIsNone(self.successResultOf(first))
        self.assertEqual(len(self.stored().bans), 1)
        self.pass_time(0)
        self.assertEqual([self.successResultOf(saved) for saved in later], [None] * 5)
        self.assertEqual((len(self.stored().bans), memory.counters.writes), (6, 2))

    def test_who_asks_is_told_when_the_disk_fails_and_by_the_stop(self) -> None:
        memory = self.memory(replace=self.fail_with(errno.ENOSPC))
        memory.start()
        saved = memory.save()
        self.pass_time(0)
        self.failureResultOf(saved, LocalError)
        first, second = memory.save(), memory.save()
        stopped = memory.stop()
        self.pass_time(0)
        self.successResultOf(stopped)
        for saved in (first, second, memory.save()):
            self.failureResultOf(saved, LocalError)
        self.assertEqual(self.warnings(), ["warn"])

    def fail_with(self, number: int) -> Callable[..., Any]:
        def fail(*args: object) -> None:
            raise OSError(number, os.strerror(number))

        return fail


class ReadingTests(MemoryCase):
    def test_what_was_written_is_known_after_a_restart(self) -> None:
        wire = Wire()
        host = wire.host(1, wanted=[2], discover=True)
        wire.host(2)
        wire.run(SECOND)
        host.table.ban(parse_subject("10.9.0.0/16"), 0, "test", wire.now)
        before = self.memory(host.table)
        host.call(host.table.stop(wire.now))
        self.successResultOf(before.stop())
        reborn = wire.host(1, discover=True, identity=identity(1, boot=2))
        self.memory(reborn.table).load()
        wire.run(SECOND)
        self.assertEqual([peer.node_id for peer in reborn.table.peers()], [key(2).public])
        self.assertEqual(len(reborn.table.conduct.bans(wire.now)), 1)
        self.assertEqual(self.warnings(), [])

    def test_a_first_start_has_nothing_to_read(self) -> None:
        self.memory().load()
        self.assertEqual(self.warnings(), [])

    def test_a_malformed_file_is_set_aside_with_one_line(self) -> None:
        good = self.table.remembered().to_json()
        for number, data in enumerate(
            (b"", b"\xff\xfe", b"{}", b"[" * 200_000, good[:-3].encode(), good.replace("1", "9", 1).encode(), b"\0" * 100)
        ):  # fmt: skip
            self.path.write_bytes(data)
            table = self.make_table()
            self.memory(table).load()
            self.assertEqual(self.warnings(), ["warn"] * (number + 1), data[:20])
            self.assertFalse(self.path.exists())
            self.assertEqual(self.path.with_name("peers.json.broken").read_bytes(), data)
            self.assertEqual(table.remembered().bans, ())

    def test_a_file_too_long_to_be_ours_is_not_read_whole(self) -> None:
        self.patch(room, "MAX_BYTES", 100)
        self.path.write_bytes(b" " * 101)
        self.memory().load()
        self.assertEqual(self.warnings(), ["warn"])

    def test_what_is_no_file_at_all_stops_nothing(self) -> None:
        self.path.mkdir()
        self.memory().load()
        self.assertEqual(self.warnings(), ["warn"])

    def test_a_damaged_file_never_reaches_the_peers(self) -> None:
        """Whatever single byte of it is another: a memory that can be used, or none."""
        self.table.ban(parse_subject("10.9.0.0/16"), 0, "test", START)
        self.table.discovery.book.add("10.0.0.7", 7000, key(7).public, START, "10.0.0.9", START)
        good = bytearray(self.table.remembered().to_json().encode())
        for at in range(len(good)):
            damaged = good.copy()
            damaged[at] ^= 0x15
            self.path.write_bytes(damaged)
            table = self.make_table()
            self.memory(table).load()
            again = table.remembered()
            self.assertEqual(Memory.from_json(again.to_json()), again)
            table.discovery.answer(START).encode()


class ServiceTests(ServicesCase):
    def test_a_node_keeps_it_in_its_data_directory(self) -> Deferred[None]:
        async def scenario() -> None:
            path = self.directory / "peers.json"
            for expected in ("never", "banned"):
                application = self.compose()
                application.startService()
                context = application.getServiceNamed("chain")._context
                bans = context.node.peers.conduct.bans(context.clock())
                self.assertEqual([ban.reason for ban in bans], [] if expected == "never" else ["test"])
                context.node.peers.ban(parse_subject("192.0.2.0/24"), 0, "test", context.clock())
                await application.stopService()
                self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
            path.write_text("nonsense")
            application = self.compose()
            application.startService()
            self.assertEqual(await self.ask("getblockcount"), 0)
            await application.stopService()
            self.assertIn("peers.json.broken", self.out.getvalue())

        return Deferred.fromCoroutine(scenario())
