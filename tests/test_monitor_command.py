"""The operator's program for alerts: bounded in number and time, killed with the service; and `getalerts`."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import attrs
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.rpc_service import ServiceTestCase, fetch, now_us
from tests.rpc_world import World
from timed.app.config import override, settings_from
from timed.errors import ConfigError
from timed.feed.event import CLEARED, RAISED
from timed.monitor.alerts import Alarms, Alert
from timed.monitor.command import LEADER, MAX_WAITING, MAX_WORDS, TIMEOUT_S, AlertCommand
from timed.monitor.readings import Reading, Readings, read
from timed.monitor.rules import RULES
from timed.params import SECOND

ALERT = {"name": "disk-space", "severity": "critical", "state": "raised"}


class FakeProcess:
    """The transport of one run."""

    def __init__(self, protocol: Any, words: tuple[str, ...]) -> None:
        self.protocol = protocol
        self.words = words
        self.stdin = b""
        self.signals: list[str] = []
        self.pid = 4_000_000

    def write(self, data: bytes) -> None:
        self.stdin += data

    def closeStdin(self) -> None:
        self.stdin += b"<end>"

    def signalProcess(self, name: str) -> None:
        self.signals.append(name)
        self.protocol.processExited(Failure(ProcessTerminated(None, 9)))

    def loseConnection(self) -> None:
        self.stdin += b"<lost>"

    def exit(self, status: int) -> None:
        reason = ProcessTerminated(status) if status else ProcessDone(0)
        self.protocol.processExited(Failure(reason))


class FakeReactor(Clock):
    """Virtual time, and processes that end when a test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[FakeProcess] = []
        self.refuses = False

    def spawnProcess(self, protocol: Any, executable: str, args: Any, env: Any) -> None:
        if self.refuses:
            raise OSError("no more processes")
        process = FakeProcess(protocol, tuple(args))
        self.runs.append(process)
        protocol.transport = process
        protocol.connectionMade()


class Running(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = FakeReactor()
        self.groups = True
        self.own = True
        """The program runs as the node's user."""
        self.command = AlertCommand(self.reactor, ("/bin/page", "--loud"), self.kill_group)
        self.lines: list[Any] = []
        globalLogPublisher.addObserver(self.lines.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.lines.append)

    def kill_group(self, group: int, number: int) -> None:
        if not self.groups:
            raise ProcessLookupError
        if not self.own:
            raise PermissionError
        [run] = [run for run in self.reactor.runs if not run.signals][:1]
        self.assertEqual((group, number), (run.pid, signal.SIGKILL))
        run.signals.append("KILL GROUP")
        run.protocol.processExited(Failure(ProcessTerminated(None, 9)))

    def warnings(self) -> list[str]:
        return [
            line["end"]
            for line in self.lines
            if line["log_namespace"] == "timed.monitor.command.AlertCommand"
        ]

    def test_the_alert_is_on_standard_input_which_then_ends(self) -> None:
        self.command.tell(ALERT)
        (run,) = self.reactor.runs
        self.assertEqual(run.words, (*LEADER, "/bin/page", "--loud"))
        text, _, rest = run.stdin.partition(b"\n")
        self.assertEqual((json.loads(text), rest), (ALERT, b"<end>"))

    def test_one_runs_at_a_time_and_the_others_follow_in_order(self) -> None:
        for number in range(3):
            self.command.tell({"name": f"a{number}"})
        self.assertEqual((len(self.reactor.runs), len(self.command)), (1, 2))
        for number in range(3):
            self.assertIn(b'"a%d"' % number, self.reactor.runs[number].stdin)
            self.reactor.runs[number].exit(0)
        self.assertEqual(self.command.outcomes, {"done": 3})
        self.assertEqual((self.reactor.getDelayedCalls(), self.warnings()), ([], []))

    def test_a_program_that_became_another_user_is_not_killed_and_holds_up_no_stop(self) -> None:
        """As sudo does: the system refuses the signal."""
        self.own = False
        self.command.tell(ALERT)
        self.reactor.advance(TIMEOUT_S)
        self.assertEqual(
            self.warnings(), ["runs for more than 30 s and cannot be killed: it is another user's"]
        )
        (run,) = self.reactor.runs
        self.command.tell(ALERT)
        run.exit(0)
        self.assertEqual((len(self.reactor.runs), self.command.outcomes), (2, {"late": 1}))
        self.assertEqual(self.warnings()[1:], ["did not end within 30 s"])
        self.successResultOf(self.command.stop())
        self.reactor.runs[1].exit(0)
        self.assertEqual((self.reactor.getDelayedCalls(), self.command.outcomes["stopped"]), ([], 1))

    def test_what_finds_no_room_is_dropped_and_counted(self) -> None:
        for _ in range(MAX_WAITING + 5):
            self.command.tell(ALERT)
        self.assertEqual((len(self.command), self.command.outcomes["dropped"]), (MAX_WAITING, 4))

    def test_a_program_that_does_not_end_is_killed_and_the_next_one_runs(self) -> None:
        self.command.tell(ALERT)
        self.command.tell(ALERT)
        self.reactor.advance(TIMEOUT_S)
        self.assertEqual(self.reactor.runs[0].signals, ["KILL GROUP"])
        self.assertEqual((self.command.outcomes, len(self.reactor.runs)), ({"late": 1}, 2))
        self.assertIn("killed", self.warnings()[0])

    def test_one_that_is_killed_before_it_has_a_group_is_killed_by_itself(self) -> None:
        self.groups = False
        self.command.tell(ALERT)
        self.reactor.advance(TIMEOUT_S)
        self.assertEqual((self.reactor.runs[0].signals, self.command.outcomes), (["KILL"], {"late": 1}))

    def test_a_failure_is_one_line_with_the_end_of_what_it_wrote(self) -> None:
        self.command.tell(ALERT)
        self.reactor.runs[0].protocol.childDataReceived(2, b"x" * 10_000 + b"no route")
        self.reactor.runs[0].exit(3)
        self.assertEqual((self.command.outcomes, self.warnings()), ({"failed": 1}, ["ended with status 3"]))
        words = next(line["words"] for line in self.lines if "words" in line)
        self.assertTrue(words.endswith("no route"))
        self.assertEqual(len(words), MAX_WORDS)

    def test_a_system_without_room_for_processes_is_a_failure_like_others(self) -> None:
        self.reactor.refuses = True
        self.command.tell(ALERT)
        self.assertEqual(self.command.outcomes, {"failed": 1})
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_stopping_kills_what_runs_and_drops_what_waits(self) -> None:
        self.command.tell(ALERT)
        self.command.tell(ALERT)
        self.successResultOf(self.command.stop())
        self.assertEqual((len(self.reactor.runs), self.reactor.runs[0].signals), (1, ["KILL GROUP"]))
        self.command.tell(ALERT)
        self.assertEqual((len(self.command), self.reactor.getDelayedCalls()), (0, []))

    def test_without_a_command_nothing_happens(self) -> None:
        command = AlertCommand(self.reactor, ())
        command.tell(ALERT)
        self.successResultOf(command.stop())
        self.assertEqual((self.reactor.runs, command.outcomes), ([], {}))


def is_running(pid: int) -> bool:
    """True for a process that is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class RealProcess(TestCase):
    timeout = 60

    async def test_a_program_of_this_machine_gets_the_alert(self) -> None:
        from twisted.internet import reactor, task

        out = Path(self.mktemp()).absolute()
        code = "import sys; open(sys.argv[1], 'w').write(sys.stdin.read())"
        command = AlertCommand(reactor, (sys.executable, "-c", code, str(out)))
        command.tell(ALERT)
        while not command.outcomes:
            await task.deferLater(reactor, 0.02)
        self.assertEqual(command.outcomes, {"done": 1})
        self.assertEqual(json.loads(out.read_text()), ALERT)
        await command.stop()

    async def test_what_a_program_has_started_ends_with_it(self) -> None:
        from twisted.internet import reactor, task

        out = Path(self.mktemp()).absolute()
        code = (
            "import subprocess, sys, time\n"
            "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
            "open(sys.argv[1] + '.new', 'w').write(str(child.pid))\n"
            "import os; os.rename(sys.argv[1] + '.new', sys.argv[1])\n"
            "time.sleep(600)\n"
        )
        command = AlertCommand(reactor, (sys.executable, "-c", code, str(out)))
        command.tell(ALERT)
        while not out.exists():
            await task.deferLater(reactor, 0.02)
        child = int(out.read_text())
        self.assertTrue(is_running(child))
        await command.stop()
        while is_running(child):
            await task.deferLater(reactor, 0.02)
        self.assertEqual(command.outcomes, {"stopped": 1})

    async def test_a_program_that_is_not_there_is_a_failure(self) -> None:
        from twisted.internet import reactor, task

        command = AlertCommand(reactor, (os.path.join(self.mktemp(), "nothing"),))
        command.tell(ALERT)
        while not command.outcomes:
            await task.deferLater(reactor, 0.02)
        self.assertEqual(command.outcomes, {"failed": 1})
        await command.stop()


class Key(SynchronousTestCase):
    def value(self, text: str) -> tuple[str, ...]:
        return settings_from([override("monitor.alert_command", text, "test")]).monitor.alert_command

    def test_words_are_those_of_a_shell_without_one(self) -> None:
        self.assertEqual(
            self.value("/bin/page --to 'two words' $HOME"), ("/bin/page", "--to", "two words", "$HOME")
        )
        self.assertEqual(self.value(""), ())

    def test_a_program_without_its_path_and_an_open_quotation_are_mistakes(self) -> None:
        for text in ("page", "./page", "/bin/page 'x"):
            error = self.assertRaises(ConfigError, self.value, text)
            self.assertIn("monitor.alert_command", str(error))

    def test_it_cannot_be_changed_through_the_rpc(self) -> None:
        """Whoever may administrate a node's RPC is not thereby somebody who may run programs there."""
        from timed.app.schema import keys

        (row,) = [row for row in keys() if row.full_name == "monitor.alert_command"]
        self.assertFalse(row.live)


class GetAlerts(SynchronousTestCase):
    def test_it_shows_what_lasts_and_what_is_over(self) -> None:
        world = World()
        alarms = Alarms(lambda alert: None)
        world.environment.alarms = lambda: alarms
        readings = Readings(rule.figure for rule in RULES)
        for second, free in ((0, 1.0), (100, 1.0), (200, 1e12), (300, 1e12), (400, 1.0), (500, 1.0)):
            readings.add(Reading(second * SECOND, {"timed_disk_free_bytes": (({}, free),)}))
            alarms.judge(readings, second * SECOND)
        shown = world.result("getalerts")
        (active,) = shown["active"]
        self.assertEqual((active["name"], active["since"], active["state"]), ("disk-space", 400, "raised"))
        self.assertEqual([(each["since"], each["until"]) for each in shown["over"]], [(0, 300)])
        self.assertEqual(set(world.result("getalerts", False)), {"active"})

    def test_without_the_monitor_it_says_so(self) -> None:
        world = World()
        self.assertEqual(world.error("getalerts")["data"]["rule"], "no-monitor")


class Alerted(ServiceTestCase):
    async def test_a_process_without_a_node_key_tells_of_its_alerts_too(self) -> None:
        told: list[dict[str, Any]] = []
        self.patch(self.monitor.command, "tell", told.append)
        self.patch(type(self.context), "own_node_key", None)
        self.patch(self.context, "node_key", None)
        self.monitor._alerted(Alert(RULES[0], 5 * SECOND, 2.0))
        self.assertEqual((told[0]["node"], told[0]["since"]), ("apart", 5))

    async def test_an_alert_reaches_command_log_and_rpc(self) -> None:
        told: list[dict[str, Any]] = []
        self.patch(self.monitor.command, "tell", told.append)
        self.context.running.driver.counters.faults = 1
        self.monitor._readings.add(read(self.monitor._watched, self.monitor._view))
        self.monitor.alarms.judge(self.monitor._readings, now_us())
        (alert,) = told
        self.assertEqual(
            (alert["name"], alert["state"], alert["network"]), ("check-bugs", "raised", "regtest")
        )
        self.assertEqual(alert["node"], self.context.node_key.public.hex())
        self.assertTrue(alert["remedy"])
        body = b'{"id": 1, "method": "getalerts"}'
        _, _, answer = await self.in_thread(fetch, self.rpc_port, "POST", "/", body, self.authorization())
        self.assertEqual([each["name"] for each in json.loads(answer)["result"]["active"]], ["check-bugs"])
        await self.monitor.disownServiceParent()
        self.assertIsNone(self.context.alarms)

    async def test_the_log_has_critical_alerts_as_errors_and_the_feed_when_each_is_over(self) -> None:
        told: list[dict[str, Any]] = []
        drafts: list[Any] = []
        levels: list[str] = []
        self.patch(self.monitor.command, "tell", told.append)
        self.context.feed = SimpleNamespace(tell=drafts.append)
        self.addCleanup(setattr, self.context, "feed", None)
        observer = lambda event: levels.append(event["log_level"].name)  # noqa: E731
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        config = self.context.live.config
        changed = (override("monitor.name", "north", "--set"),)
        self.context.live.config = config.with_layers(attrs.evolve(config.layers, changed=changed))
        rules = {rule.severity: rule for rule in RULES}
        critical = Alert(rules["critical"], 5 * SECOND, 2.0)
        for alert in (
            critical,
            Alert(rules["warning"], 5 * SECOND, 2.0),
            attrs.evolve(critical, until_us=9 * SECOND),
        ):
            self.monitor._alerted(alert)
        self.assertEqual(levels, ["error", "warn", "info"])
        self.assertEqual([draft.type for draft in drafts], [RAISED, RAISED, CLEARED])
        self.assertEqual([each["until"] for each in told], [None, None, 9])
        self.assertEqual({each["called"] for each in told}, {"north"})

    async def test_it_looks_also_when_nobody_asks(self) -> None:
        """Every ten seconds: since when a check is not ok, what rates are compared with, and the watchdog."""
        restarts: list[None] = []
        self.patch(self.context.loops, "late_s", lambda: 30.0)
        self.patch(self.context.loops, "restart", lambda: restarts.append(None))
        node: Any = self.context.running.node
        node.gate.failure = "EIO"
        kept, now = len(self.monitor._snapshots._pulses._kept), self.context.clock()
        self.monitor._look()
        node.gate.failure = "EIO still"
        self.context.clock = lambda: now + 500 * SECOND
        self.assertLessEqual(self.monitor.board.look()["disk"]["since"], now // SECOND + 60)
        self.assertEqual((len(self.monitor._snapshots._pulses._kept), len(restarts)), (kept + 1, 1))
        self.assertIn("check-disk", [alert.rule.name for alert in self.monitor.alarms.active()])
        node.gate.failure = None
