"""The parts around the node: data directory, genesis files, service manager, event log."""

from __future__ import annotations

import json
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import attrs
from twisted.internet.task import Clock
from twisted.logger import Logger, LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import directlyProvides

from timed import events
from timed.app import registry
from timed.app.datadir import prepare
from timed.app.genesis_file import read_genesis, write_genesis
from timed.app.registry import choose, find
from timed.app.systemd import MAX_STATUS, STATUS_S, SystemdService
from timed.errors import ConfigError
from timed.interfaces import IEventSink, IServiceMaker, ISignatureBackend, IStoreBackend
from timed.ledger.regtest import builtin_regtest, regtest_roster
from timed.monitor import eventlog
from timed.monitor.eventlog import LINES, EventLog
from timed.monitor.metrics import ROWS
from timed.monitor.view import View
from timed.params import SECOND
from timed.primitives.transaction import Lock


class DataDirectories(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp()).absolute() / "deep" / "data"

    def test_it_is_made_private(self) -> None:
        prepare(self.path)
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o700)

    def test_keys_are_made_once_and_private(self) -> None:
        made = prepare(self.path).node_key(os.urandom)
        self.assertEqual(stat.S_IMODE((self.path / "node.key").stat().st_mode), 0o600)
        self.assertEqual(prepare(self.path).node_key(os.urandom).public, made.public)

    def test_node_and_operator_key_are_two(self) -> None:
        directory = prepare(self.path)
        self.assertNotEqual(directory.node_key(os.urandom), directory.operator_key(os.urandom))


class GenesisFiles(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp())

    def refusal(self, **changes: object) -> str:
        write_genesis(self.path, builtin_regtest())
        fields = json.loads(self.path.read_text())
        self.path.write_text(json.dumps({**fields, **changes}))
        return str(self.assertRaises(ConfigError, read_genesis, self.path))

    def test_what_is_written_is_what_is_read(self) -> None:
        genesis = attrs.evolve(builtin_regtest(interval=7), roster_changes=((3, regtest_roster([1, 2])),))
        multisig = Lock.multisig(1, [b"a" * 20, b"b" * 20])
        genesis = attrs.evolve(genesis, allocation=(*genesis.allocation, (multisig, 5_000)))
        write_genesis(self.path, genesis)
        read = read_genesis(self.path)
        self.assertEqual(read, genesis)
        self.assertEqual(read.hash, genesis.hash)

    def test_what_is_no_genesis_is_one_sentence(self) -> None:
        cases: dict[str, dict[str, object]] = {
            "there is no network called 'moon'": {"network": "moon"},
            "'soon' is not a whole number": {"time": "soon"},
            "too short for regtest": {"interval": 0},
            "no weight profile 'flat'": {"profile": "flat"},
            "no voting weight": {"members": []},
            "there is no field 'operator_key'": {"members": [{}]},
            "is not a genesis file": {"allocation": [{"lock": "TIMER1", "amount": "1"}]},
        }
        for words, changes in cases.items():
            message = self.refusal(**changes)
            self.assertIn(words, message)
            self.assertIn(str(self.path), message)

    def test_text_that_is_no_json_is_refused(self) -> None:
        for text in ("", "[]", "[" * 100_000, "\x00"):
            self.path.write_text(text)
            self.assertRaises(ConfigError, read_genesis, self.path)


class Plugins(SynchronousTestCase):
    def test_what_comes_with_the_project_is_found(self) -> None:
        self.assertEqual(
            set(find(IServiceMaker)), {"chain", "feed", "index", "p2p", "desk", "rpc", "monitor"}
        )
        self.assertEqual(set(find(ISignatureBackend)), {"pynacl", "reference"})
        self.assertEqual(set(find(IStoreBackend)), {"lmdb", "memory"})
        self.assertIn("log", find(IEventSink))

    def test_a_missing_plugin_names_the_key_and_those_there_are(self) -> None:
        self.assertEqual(
            str(self.assertRaises(ConfigError, choose, IStoreBackend, "rocks", "store.backend")),
            "store.backend: there is no plugin called 'rocks'. There are: lmdb, memory.",
        )

    def test_an_entry_point_adds_a_plugin_and_a_broken_one_costs_nothing(self) -> None:
        class Sink:
            name = "elsewhere"

            def published(self, event: object, now_us: int) -> None:
                """Nothing to do."""

        class Point:
            def __init__(self, name: str, load: Callable[[], object]) -> None:
                self.name, self.load = name, load

        def broken() -> object:
            raise ImportError("no such module")

        sink = Sink()
        directlyProvides(sink, IEventSink)
        points = [Point("broken", broken), Point("elsewhere", lambda: sink)]
        self.patch(registry, "entry_points", lambda group: points if group == "timed.plugins" else [])
        self.assertIs(find(IEventSink)["elsewhere"], sink)
        self.assertEqual(len(self.flushLoggedErrors(ImportError)), 1)

    def test_two_plugins_of_one_name_are_refused(self) -> None:
        class Impostor:
            name = "log"

        impostor = Impostor()
        directlyProvides(impostor, IEventSink)
        point = SimpleNamespace(name="log", load=lambda: impostor)
        self.patch(registry, "entry_points", lambda group: [point])
        self.assertIn("two plugins are called 'log'", str(self.assertRaises(ConfigError, find, IEventSink)))


class ServiceManager(SynchronousTestCase):
    def setUp(self) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.socket.close)
        # An abstract name: the path of a temporary directory may be too long for a socket.
        self.name = f"timed-test-{os.getpid()}-{id(self)}"
        self.socket.bind(f"\0{self.name}")
        self.socket.setblocking(False)
        self.clock = Clock()

    def told(self) -> list[str]:
        found = []
        while True:
            try:
                found.append(self.socket.recv(1000).decode())
            except BlockingIOError:
                return found

    def service(self, **environment: str) -> SystemdService:
        return SystemdService(self.clock, {"NOTIFY_SOCKET": f"@{self.name}", **environment})

    def test_ready_and_stopping_are_told(self) -> None:
        service = self.service()
        service.startService()
        self.assertEqual(self.told(), ["READY=1"])
        service.stopService()
        self.assertEqual(self.told(), ["STOPPING=1"])

    def test_the_status_is_told_when_it_changes(self) -> None:
        words = iter(["height 1, 2 peers: ok", "height 1, 2 peers: ok", "no\nquorum " + "x" * 500])
        service = SystemdService(self.clock, {"NOTIFY_SOCKET": f"@{self.name}"}, lambda: next(words))
        service.startService()
        self.clock.pump([STATUS_S] * 2)
        service.stopService()
        said = self.told()
        self.assertEqual([len(word) for word in said[2:3]], [len("STATUS=") + MAX_STATUS])
        self.assertEqual(said[:2] + said[3:], ["READY=1", "STATUS=height 1, 2 peers: ok", "STOPPING=1"])
        self.assertTrue(said[2].startswith("STATUS=no quorum xxx"))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_the_watchdog_is_fed_three_times_an_interval(self) -> None:
        service = self.service(WATCHDOG_USEC="6000000", WATCHDOG_PID=str(os.getpid()))
        service.startService()
        self.clock.pump([2.0] * 3)
        self.assertEqual(self.told().count("WATCHDOG=1"), 4)
        service.stopService()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_somebody_elses_watchdog_is_left_alone(self) -> None:
        service = self.service(WATCHDOG_USEC="6000000", WATCHDOG_PID="1")
        service.startService()
        self.clock.pump([2.0] * 6)
        self.assertEqual(self.told(), ["READY=1"])
        service.stopService()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_manager_that_is_gone_is_counted_and_not_fatal(self) -> None:
        service = SystemdService(self.clock, {"NOTIFY_SOCKET": "/nonexistent/socket"})
        service.startService()
        self.assertEqual(service.failures, 1)
        service.stopService()

    def test_what_it_did_not_take_is_told_again(self) -> None:
        self.socket.close()
        service = SystemdService(self.clock, {"NOTIFY_SOCKET": f"@{self.name}"}, lambda: "height 1: ok")
        service.startService()
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.socket.close)
        self.socket.bind(f"\0{self.name}")
        self.socket.setblocking(False)
        self.clock.pump([STATUS_S] * 2)
        service.stopService()
        self.assertEqual(self.told(), ["READY=1", "STATUS=height 1: ok", "STOPPING=1"])

    def test_a_manager_that_stays_away_is_one_line(self) -> None:
        service = SystemdService(self.clock, {"NOTIFY_SOCKET": "/nonexistent/socket"}, lambda: "height 1: ok")
        with capturedLogs() as lines:
            service.startService()
            self.clock.pump([STATUS_S] * 5)
            service.stopService()
        self.assertEqual([line["state"] for line in lines], ["READY=1"])

    def test_what_it_did_not_take_is_a_metric(self) -> None:
        service = SystemdService(self.clock, {"NOTIFY_SOCKET": "/nonexistent/socket"})
        service.startService()
        service.stopService()
        context: Any = SimpleNamespace(monotonic=lambda: 0.0)
        view = View(context, None, {"systemd": service}.get)  # type: ignore[arg-type]
        self.assertEqual(list(ROWS["timed_manager_untold"].source(view)), [((), float(service.failures))])  # type: ignore[union-attr]
        self.assertGreaterEqual(service.failures, 2)

    def test_without_a_manager_nothing_happens(self) -> None:
        service = SystemdService(self.clock, {})
        service.startService()
        service.stopService()
        self.assertEqual((self.told(), service.failures), ([], 0))


class EventLines(SynchronousTestCase):
    def lines(self, event: object) -> list[tuple[LogLevel, str]]:
        found: list[tuple[LogLevel, str]] = []
        log = Logger(
            observer=lambda entry: found.append((entry["log_level"], entry["log_format"].format(**entry)))
        )
        EventLog(log).published(event, 0)
        return found

    def levels(self, *told: tuple[object, int]) -> list[str]:
        """Of the lines that several events make, one after the other; each with its time in seconds."""
        found: list[str] = []
        sink = EventLog(Logger(observer=lambda entry: found.append(entry["log_level"].name)))
        for event, seconds in told:
            sink.published(event, seconds * SECOND)
        return found

    def test_of_two_sessions_that_cross_the_one_that_stays_is_no_news(self) -> None:
        opened = events.PeerOpened(b"a", "192.0.2.1:7000", True)
        crossed = events.PeerClosed(b"a", "192.0.2.1:7000", "duplicate", False, True)
        lost = events.PeerClosed(b"a", "192.0.2.1:7000", "lost", True, False)
        other = events.PeerOpened(b"b", "192.0.2.2:7000", True)
        self.assertEqual(
            self.levels((opened, 1), (crossed, 1), (other, 1), (opened, 2), (opened, 3)),
            ["info", "debug", "info", "debug", "info"],
        )
        self.assertEqual(self.levels((crossed, 1), (opened, 12)), ["debug", "info"], "it took too long")
        self.assertEqual(self.levels((crossed, 1), (lost, 2), (opened, 3)), ["debug", "warn", "info"])

    def test_so_many_crossings_are_remembered(self) -> None:
        self.patch(eventlog, "MAX_REPLACED", 1)
        crossed = [events.PeerClosed(name, "", "duplicate", False, True) for name in (b"a", b"b")]
        opened = [events.PeerOpened(name, "", True) for name in (b"a", b"b")]
        told = self.levels(*((event, 1) for event in (*crossed, *opened)))
        self.assertEqual(told, ["debug", "debug", "info", "debug"])

    def test_every_kind_of_event_has_a_line(self) -> None:
        self.assertEqual(set(LINES), set(events.NodeEvent.__args__))

    def test_every_line_names_only_fields_its_event_has(self) -> None:
        for kind in LINES:
            event = kind(
                **{field.name: b"" if "bytes" in str(field.type) else 0 for field in attrs.fields(kind)}
            )
            self.assertEqual(len(self.lines(event)), 1)

    def test_bytes_are_shown_as_hexadecimal(self) -> None:
        [(level, text)] = self.lines(events.BlockCertified(7, b"\xab" * 32, 0, (b"t",), live=True))
        self.assertEqual(level, LogLevel.info)
        self.assertEqual(text, f"block 7 {'ab' * 32}, 0 payments")

    def test_who_refused_a_session_is_told(self) -> None:
        for ours, detail, text in (
            (True, "by the operator", "no session with a:1: banned: by the operator"),
            (False, "by the operator", "no session with a:1, ended there: banned: by the operator"),
            (False, "", "no session with a:1, ended there: banned"),
        ):
            self.assertEqual(
                self.lines(events.PeerRefused("a:1", "banned", detail, ours)), [(LogLevel.warn, text)]
            )

    def test_a_session_that_both_wanted_is_said_to_be_lost(self) -> None:
        wanted = self.lines(events.PeerClosed(b"\x01", "a:1", "reset", unwanted=True, ours=False))
        self.assertEqual(wanted, [(LogLevel.warn, "session with 01 at a:1 was lost: reset")])
        theirs = self.lines(events.PeerClosed(b"\x01", "a:1", "banned", unwanted=False, ours=False))
        self.assertEqual(theirs, [(LogLevel.info, "session with 01 at a:1 ended there: banned")])
        ended = self.lines(events.PeerClosed(b"\x01", "a:1", "goodbye", unwanted=False, ours=True))
        self.assertEqual(ended, [(LogLevel.info, "session with 01 at a:1 ended: goodbye")])

    def test_catching_up_is_not_a_line_per_block(self) -> None:
        levels = [
            self.lines(events.BlockCertified(height, b"", 0, (), live=False))[0][0]
            for height in range(1, 2001)
        ]
        self.assertEqual(levels.count(LogLevel.info), 2)
