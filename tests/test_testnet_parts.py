"""The parts of `timed-testnet`: plans, waits, figures, the register of what runs."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import select
import socket
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from timed.app.config import load
from timed.app.genesis_file import read_genesis
from timed.errors import LocalError
from timed.events import PeerClosed
from timed.monitor.eventlog import LOST
from timed.testnet import main as testnet
from timed.testnet import registry
from timed.testnet.freeports import EPHEMERAL, HOST, STRETCH, FreePorts, free_ports, stretches
from timed.testnet.layout import NodePlan, Plan, State, make_network
from timed.testnet.main import arguments, check_options
from timed.testnet.process import NodeProcess, tied
from timed.testnet.registry import living_nodes, runner_alive
from timed.testnet.report import NodeFigures, Report, ended_sessions, info_lines, lost_sessions
from timed.testnet.waiting import Reporter, WaitFailed, wait_for

ROOT = Path(__file__).resolve().parent.parent
DEADLINE_S = 60
JSON_KEYS = {
    "nodes", "members", "final_everywhere", "confirmed_everywhere", "ms_to_final_p50", "ms_to_final_max",
    "killed_node_recovered", "late_joiner_synced", "roots_equal", "reconnects", "blocks", "log_lines_info", "seconds",
}  # fmt: skip


class PlanCase(SynchronousTestCase):
    def plan(self, nodes: int = 4, members: int = 3) -> Plan:
        return make_network(Path(self.mktemp()).absolute(), nodes, members, 2)

    def node(self) -> NodePlan:
        directory = Path(self.mktemp()).absolute()
        directory.mkdir()
        return NodePlan(1, True, b"\x01" * 32, 1, 2, 3, directory)


class Ports(SynchronousTestCase):
    def setUp(self) -> None:
        self.order = list(stretches())
        random.SystemRandom().shuffle(self.order)

    def ports(self) -> FreePorts:
        """As another process has it that looks in the same order."""
        made = FreePorts(self.order, lambda found: None)
        self.addCleanup(made.close)
        return made

    def test_none_is_given_twice_nor_to_an_outgoing_connection(self) -> None:
        ports = free_ports(40) + free_ports(STRETCH)
        self.assertEqual(len(set(ports)), len(ports))
        first = int(EPHEMERAL.read_text().split()[0])
        self.assertLess(max(ports), first, "an outgoing connection could be given it before a node listens")

    def test_no_other_process_is_given_one_that_nobody_listens_on_yet(self) -> None:
        mine, other = self.ports(), self.ports()
        given = [{port // STRETCH for port in each.take(20)} for each in (mine, other)]
        self.assertEqual([len(each) for each in given], [1, 1])
        self.assertNotEqual(*given)

    def test_one_that_somebody_else_has_is_left_out(self) -> None:
        ports = self.ports()
        [port] = ports.take(1)
        with socket.socket() as somebody:
            # Where this fails, it is somebody else's already.
            with contextlib.suppress(OSError):
                somebody.bind((HOST, port + 1))
            self.assertNotIn(port + 1, ports.take(5))

    def test_when_all_are_taken_it_says_so(self) -> None:
        self.order = self.order[:2]
        error = self.assertRaises(LocalError, self.ports().take, 2 * STRETCH)
        self.assertIn(f"no {2 * STRETCH} free ports", str(error))


class Planning(PlanCase):
    def test_every_configuration_can_be_loaded_and_names_its_peers(self) -> None:
        plan = self.plan()
        for node in (*plan.nodes, plan.late):
            config = load(str(node.ini))
            self.assertEqual(config.p2p_port, node.p2p_port)
            self.assertEqual(config.datadir, node.datadir)
            self.assertEqual(config.settings.node.member, node.member)
            wanted = {peer.node_id for peer in config.settings.p2p.peers}
            self.assertEqual(wanted, {peer.node_id for peer in plan.peers_of(node)})

    def test_members_are_connected_with_everybody_and_followers_with_members(self) -> None:
        plan = self.plan(nodes=4, members=2)
        numbers = {node.number: {peer.number for peer in plan.peers_of(node)} for node in plan.nodes}
        self.assertEqual(numbers, {1: {2, 3, 4}, 2: {1, 3, 4}, 3: {1, 2}, 4: {1, 2}})
        self.assertFalse(plan.late.member)

    def test_the_genesis_names_the_members_and_pays_their_wallets(self) -> None:
        plan = self.plan()
        genesis = read_genesis(plan.directory / "genesis.json")
        self.assertEqual(len(genesis.members.members), 3)
        self.assertEqual(len({lock for lock, _ in genesis.allocation}), 3)
        self.assertEqual(genesis.interval, 2)

    def test_nobody_but_the_owner_can_read_a_key(self) -> None:
        plan = self.plan()
        for node in plan.nodes:
            for path in node.datadir.iterdir():
                self.assertEqual(path.stat().st_mode & 0o077, 0, path)


class Waiting(PlanCase):
    def test_progress_is_written_when_it_changes(self) -> None:
        out = io.StringIO()
        answers = iter([(False, "1 of 2"), (False, "1 of 2"), (True, "2 of 2")])
        wait_for("nodes start", lambda: next(answers), 10, Reporter(out), [], poll=0)
        self.assertEqual(out.getvalue().count("1 of 2"), 1)
        self.assertIn("nodes start: 2 of 2", out.getvalue())

    def test_a_deadline_names_the_wait_and_how_far_it_came(self) -> None:
        error = self.assertRaises(
            WaitFailed,
            wait_for,
            "nodes connect",
            lambda: (False, "1 of 2"),
            0,
            Reporter(io.StringIO()),
            [],
            0,
        )
        self.assertIn("'nodes connect' did not happen within 0 s (1 of 2)", str(error))

    def test_a_node_that_ended_is_named_with_the_end_of_its_log(self) -> None:
        process = NodeProcess(self.node())
        process.plan.log.write_text("first\nthe reason\n")
        error = self.assertRaises(
            WaitFailed, wait_for, "x", lambda: (False, ""), 10, Reporter(io.StringIO()), [process], 0
        )
        self.assertIn("node-1 ended", str(error))
        self.assertIn("the reason", str(error))


class Tied(SynchronousTestCase):
    """What is started is never left behind (Linux)."""

    STARTER = (
        "import subprocess, sys\n"
        "from timed.testnet.process import tied\n"
        "sleeper = [sys.executable, '-c', 'import signal; print(1, flush=True); signal.pause()']\n"
        "child = subprocess.Popen(tied(sleeper), stdout=subprocess.PIPE, start_new_session=True)\n"
        "child.stdout.readline()\n"
        "print(child.pid, flush=True)\n"
        "child.wait()\n"
    )

    def test_a_killed_parent_takes_its_child_along(self) -> None:
        environment = dict(os.environ, PYTHONPATH=str(ROOT))
        parent = subprocess.Popen(
            [sys.executable, "-c", self.STARTER], stdout=subprocess.PIPE, env=environment
        )
        self.addCleanup(parent.kill)
        with parent:
            assert parent.stdout is not None
            child = os.pidfd_open(int(parent.stdout.readline()))
            self.addCleanup(os.close, child)
            self.assertEqual(select.select([child], [], [], 0)[0], [])
            parent.kill()
        self.assertEqual(select.select([child], [], [], DEADLINE_S)[0], [child])

    def test_a_child_whose_parent_has_ended_before_it_was_tied_ends_at_once(self) -> None:
        command = tied([sys.executable, "-c", "print('begun')"])
        whole = subprocess.run(command, capture_output=True, check=True, timeout=DEADLINE_S)
        self.assertEqual(whole.stdout, b"begun\n")
        orphan = [str(2**22 + 1) if word == str(os.getpid()) else word for word in command]
        done = subprocess.run(orphan, capture_output=True, check=False, timeout=DEADLINE_S)
        self.assertEqual((done.returncode, done.stdout), (1, b""))


class Figures(PlanCase):
    def process(self, log: str) -> NodeProcess:
        process = NodeProcess(self.node())
        process.plan.log.write_text(log)
        return process

    def test_lines_of_level_info_are_counted(self) -> None:
        log = (
            "2026-11-22T09:44:00.042Z info     node: block 5\n"
            "2026-11-22T09:44:00.650Z warn     node: slow\n    info of a traceback\n"
        )
        self.assertEqual(info_lines(self.process(log)), 1)

    def test_a_lost_session_is_found_in_the_line_the_event_log_writes(self) -> None:
        event = PeerClosed(b"\xab" * 32, "127.0.0.1:7000", "reset", unwanted=True, ours=False)
        line = LOST.text.format(node_id=event.node_id.hex(), address=event.address, reason=event.reason)
        self.assertEqual(lost_sessions(self.process(f"Z warn node: {line}\n")), {"ab" * 32: 1})

    def test_a_session_is_counted_once_though_both_ends_notice(self) -> None:
        self.assertEqual(ended_sessions({"a": {"b": 2}, "b": {"a": 1}, "c": {}}), 2)
        self.assertEqual(ended_sessions({"a": {"b": 1, "c": 1}, "b": {}, "c": {"a": 1}}), 2)

    def test_the_last_line_holds_what_was_promised(self) -> None:
        fields = json.loads(Report(3, 3, 5).last_line())
        self.assertEqual(JSON_KEYS - set(fields), set())

    def test_nothing_held_until_everything_did(self) -> None:
        report = Report(3, 3, 5, connected=True, final_everywhere=True, confirmed_everywhere=True)
        self.assertTrue(report.held)
        for change in (
            {"connected": False},
            {"final_everywhere": False},
            {"confirmed_everywhere": False},
            {"killed_node_recovered": False},
            {"late_joiner_synced": False},
            {"roots_equal": False},
            {"reconnects": 1},
            {"error": "a wait failed"},
        ):
            fields = {"connected": True, "final_everywhere": True, "confirmed_everywhere": True, **change}
            self.assertFalse(Report(3, 3, 5, **fields).held, change)

    def test_the_table_has_a_line_per_node(self) -> None:
        report = Report(1, 1, 5, figures=[NodeFigures(self.node(), to_final=[12.0, 30.0])])
        head, row, summary = report.table()
        self.assertIn("final max", head)
        self.assertIn("30 ms", row)
        self.assertIn("http://127.0.0.1:2", row)
        self.assertIn("0 reconnects", summary)

    def test_the_readme_shows_this_table(self) -> None:
        head = Report(1, 1, 5, figures=[NodeFigures(self.node())]).table()[0]
        lines = (Path(__file__).parent.parent / "README.rst").read_text().splitlines()
        [shown] = [line.split() for line in lines if line.startswith("    node  ")]
        self.assertEqual(shown, head.split())


class Register(PlanCase):
    def test_a_state_file_comes_back_as_it_was(self) -> None:
        path = Path(self.mktemp())
        state = State(1, "/somewhere", {"node-1": 2}, {"node-1": ["a", "b"]})
        state.write(path)
        self.assertEqual(State.read(path), state)

    def test_a_file_that_is_not_ours_is_no_state(self) -> None:
        path = Path(self.mktemp())
        for text in ("", "[]", '{"runner": 1, "other": 2}'):
            path.write_text(text)
            self.assertIsNone(State.read(path))

    def test_a_node_that_ends_by_itself_meanwhile_is_gone(self) -> None:
        path = Path(self.mktemp())
        state = State(runner=0, directory="/nowhere", nodes={"node-1": 2**22 + 1})
        living = [dict(state.nodes)]
        self.patch(registry, "living_nodes", lambda _: living.pop() if living else {})
        self.assertTrue(registry.bring_down(path, state))

    def test_a_process_id_that_is_somebody_elses_now_is_left_alone(self) -> None:
        state = State(1, "/somewhere", {"node-1": os.getpid()})
        self.assertEqual(living_nodes(state), {})
        self.assertFalse(runner_alive(state))

    def test_a_runner_is_known_by_its_program_not_by_what_it_reads(self) -> None:
        state = State(1, "/somewhere")
        for words, known in (
            (["/venv/bin/python3", "/venv/bin/timed-testnet", "up"], True),
            (["python", "-u", "-m", "timed.testnet.main", "soak"], True),
            (["/venv/bin/python3", "/venv/bin/timed-bench", "lag"], True),
            (["tail", "-f", "/tmp/timed-testnet-x/node-1.log"], False),
            (["vi", "timed/testnet/main.py"], False),
            ([], False),
        ):
            self.patch(registry, "command_line", lambda pid, words=words: words)
            self.assertEqual(runner_alive(state), known, words)


class Down(SynchronousTestCase):
    """Whose network `down` takes."""

    def noted(self, *states: State) -> None:
        noted = [(Path(f"{number}.json"), state) for number, state in enumerate(states)]
        self.patch(testnet, "networks", lambda: iter(noted))
        self.patch(testnet, "living_nodes", lambda state: state.nodes)
        self.patch(testnet, "runner_alive", lambda state: False)

    def taken(self, directory: str | None = None, everything: bool = False) -> list[str]:
        return [state.directory for _, state in testnet.chosen(directory, everything)]

    def state(self, directory: str, standing: bool, alive: bool = True) -> State:
        return State(1, directory, {"node-1": 2} if alive else {}, standing=standing)

    def test_a_benchmark_of_somebody_else_goes_on(self) -> None:
        self.noted(self.state("/bench", False), self.state("/mine", True), self.state("/dead", True, False))
        self.assertEqual(self.taken(), ["/mine"])
        self.assertEqual(self.taken("/bench"), ["/bench"])
        self.assertEqual(self.taken(everything=True), ["/bench", "/mine"])

    def test_none_that_up_started(self) -> None:
        self.noted(self.state("/bench", False))
        self.assertEqual(self.taken(), [])

    def test_of_several_one_is_to_be_named(self) -> None:
        self.noted(self.state("/one", True), self.state("/two", True))
        error = self.assertRaises(LocalError, self.taken)
        self.assertIn("/one, /two", str(error))
        self.assertEqual(self.taken("/two"), ["/two"])
        self.assertRaises(LocalError, self.taken, "/three")


class Arguments(SynchronousTestCase):
    def refused(self, *words: str) -> None:
        parser = arguments()
        self.patch(parser, "_print_message", lambda *args: None)
        error = self.assertRaises(
            SystemExit, lambda: check_options(parser, parser.parse_args(["up", *words]))
        )
        self.assertEqual(error.code, 2)

    def test_senseless_numbers_are_usage_errors(self) -> None:
        self.refused("--nodes", "0")
        self.refused("--nodes", "3", "--members", "4")
        self.refused("--interval", "0")
        self.refused("--payments", "-1")

    def test_everybody_is_a_member_unless_told_otherwise(self) -> None:
        parser = arguments()
        options = parser.parse_args(["up", "--nodes", "5"])
        check_options(parser, options)
        self.assertEqual(options.members, 5)
