"""`timed-cli doctor`: each finding by its cause, for nodes that run, hang or do not run."""

from __future__ import annotations

import io
import json
import os
import re
import socket
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.rpc_service import make_context
from tests.test_app_services import ServicesCase
from timed.app.config import load, override
from timed.cli import sight as seeing
from timed.cli import status
from timed.cli.doctor import as_text
from timed.cli.finding import NOTE, PROBLEM, Finding
from timed.cli.main import main
from timed.cli.sight import Metrics, Sight
from timed.cli.symptoms import FEW, SYMPTOMS, judged
from timed.crypto.keys import create_key_file
from timed.ledger.regtest import builtin_regtest
from timed.monitor.exposition import Exposition
from timed.monitor.health import CHECKS
from timed.monitor.metrics import ROWS
from timed.monitor.view import View
from timed.monitor.watch import Watch
from timed.store.lmdb import LmdbStore
from timed.testnet.freeports import free_ports


def told(findings: list[Finding]) -> dict[str, str]:
    """Severity by name."""
    return {finding.name: finding.severity for finding in findings}


class Living(SynchronousTestCase):
    """A sight of a node that is well, and what one changed figure makes of it."""

    def setUp(self) -> None:
        self.context = make_context(self.mktemp())
        self.watch = Watch(self.context.reactor, self.context.monotonic)
        self.view = View(self.context, self.watch, lambda name: None)
        checks = {check.name: {"state": "ok", "reason": "", "remedy": ""} for check in CHECKS}
        directory = Path(self.mktemp()).absolute()
        directory.mkdir(mode=0o700)
        config = load(None, [override("node.datadir", str(directory), "here")], node_id=4)
        self.sight = Sight(
            config,
            held=1,
            health={"state": "ok", "checks": checks},
            alerts={"active": [], "over": []},
            metrics=self.metrics(timed_sessions=3, timed_descriptors=50, timed_descriptors_limit=16384),
            calls={"logging": {"*": "info"}, "getconfig": [], "getaddednodeinfo": []},
            free_bytes=1 << 40,
            load=0.2,
        )

    def metrics(self, **values: float) -> Metrics:
        """What this process's table tells, with other values for some metrics that are in it."""
        text = Exposition().text(self.view).decode()
        for name, value in values.items():
            self.assertIn(name, ROWS)
            text = re.sub(rf"^{name}(\{{.*\}})? .*\n", "", text, flags=re.MULTILINE)
            text += f"{name} {value}\n"
        return Metrics(text)

    def judge(self, **changes: Any) -> dict[str, str]:
        findings, unseen = judged(attrs.evolve(self.sight, **changes))
        self.assertEqual(unseen, {})
        for finding in findings:
            self.assertRegex(finding.text, r"^[A-Z0-9].*[.:]", finding.name)
            self.assertTrue(finding.remedy, finding.name)
        return told(findings)

    def with_figures(self, **values: float) -> dict[str, str]:
        usual = {"timed_sessions": 3.0, "timed_descriptors": 50.0, "timed_descriptors_limit": 16384.0}
        return self.judge(metrics=self.metrics(**{**usual, **values}))

    def test_a_node_that_is_well(self) -> None:
        self.assertEqual(self.judge(), {})

    def test_one_peer_is_a_note(self) -> None:
        self.assertEqual(self.with_figures(timed_sessions=1), {"one-peer": NOTE})

    def test_no_peer_says_how_dialling_fails(self) -> None:
        health = self.unwell("peers", "no session with any peer")
        called = {
            **self.sight.calls,
            "getaddednodeinfo": [
                {"addednode": "10.0.0.1:7000", "connected": False, "last_failure": "connection-refused"}
            ],
        }
        sight = attrs.evolve(
            self.sight, health=health, calls=called,
            metrics=self.metrics(timed_sessions=0, timed_descriptors=50, timed_descriptors_limit=16384),
        )  # fmt: skip
        [finding] = judged(sight)[0]
        self.assertEqual((finding.name, finding.severity), ("no-peers", PROBLEM))
        self.assertIn("10.0.0.1:7000: connection-refused", finding.text)

    def test_a_member_that_is_a_quorum_by_itself_may_be_alone(self) -> None:
        self.assertEqual(self.with_figures(timed_sessions=0), {})

    def unwell(self, check: str, reason: str) -> dict[str, Any]:
        checks = dict((self.sight.health or {})["checks"])
        checks[check] = {"state": "degraded", "reason": reason, "remedy": "Do something."}
        return {"state": "degraded", "checks": checks}

    def test_a_clock_that_is_off(self) -> None:
        self.assertEqual(self.with_figures(timed_clock_offset_seconds=0.2), {})
        self.assertEqual(self.with_figures(timed_clock_offset_seconds=0.9), {"clock-off": NOTE})
        self.assertEqual(self.with_figures(timed_clock_offset_seconds=-3), {"clock-off": PROBLEM})

    def test_a_slow_disk(self) -> None:
        """Percentiles of what the node itself measured; a few slow writes at a start say nothing."""
        spent = self.context.driver.store_queue.counters.durations["log"]
        for _ in range(FEW - 1):
            spent.observe(0.4)
        self.assertEqual(self.with_figures(), {})
        spent.observe(0.4)
        self.assertEqual(self.with_figures(), {"disk-slow": PROBLEM})
        for _ in range(10 * FEW):
            spent.observe(0.002)
        self.assertEqual(self.with_figures(), {})
        for _ in range(FEW):
            spent.observe(4.0)
        self.assertEqual(self.with_figures(), {"disk-slow": PROBLEM})

    def test_a_late_event_loop(self) -> None:
        for _ in range(FEW):
            self.watch.lateness.late.observe(0.4)
        self.assertEqual(self.with_figures(), {"reactor-late": PROBLEM})

    def test_a_member_that_is_missed_is_named(self) -> None:
        """A slow member holds up nobody by itself, and no other figure of this node says who it is."""
        sight = attrs.evolve(self.sight, metrics=self.missing("0 10.0.0.7:24000"))
        [finding] = judged(sight)[0]
        self.assertEqual((finding.name, finding.severity), ("member-missed", NOTE))
        self.assertIn("0 10.0.0.7:24000", finding.text)
        self.assertIn("newest 30 certificates", finding.text)
        self.assertIn("votes come late", finding.text)
        away = attrs.evolve(self.sight, metrics=self.missing("0 10.0.0.7:24000", away=True))
        [finding] = judged(away)[0]
        self.assertIn("no session", finding.text)
        self.assertNotIn("late", finding.text)

    def missing(self, member: str, *, away: bool = False) -> Metrics:
        """Figures of a node that misses a member, connected or not."""
        text = Exposition().text(self.view).decode()
        text += f'timed_sessions 3\ntimed_members_missed{{member="{member}"}} 30\n'
        text += f'timed_members_missing{{member="{member}"}} 1\n' if away else ""
        return Metrics(text)

    def slow(self, **changes: Any) -> Finding:
        """What is said of slow payments."""
        alert = {
            "name": "finality-slow",
            "summary": "one payment in a hundred takes 5s",
            "remedy": "Compare.",
        }
        sight = attrs.evolve(self.sight, alerts={"active": [alert], "over": []}, **changes)
        [found] = [finding for finding in judged(sight)[0] if finding.name == "finality-slow"]
        self.assertEqual(found.severity, PROBLEM)
        return found

    def test_slow_payments_name_what_is_slow_here(self) -> None:
        calls = {
            **self.sight.calls,
            "logging": {"*": "debug"},
            "getconfig": [{"key": "crypto.backend", "value": "reference"}],
        }
        found = self.slow(calls=calls)
        self.assertIn("This node may be the cause: debug-logging, pure-python-signatures.", found.text)
        self.assertIn("member-missed", self.slow(metrics=self.missing("0 10.0.0.7:24000")).text)

    def test_slow_payments_that_are_not_of_this_node(self) -> None:
        found = self.slow()
        self.assertIn("Nothing that was seen here explains it", found.text)
        self.assertIn("explaintransaction", found.remedy)
        self.assertNotIn("timed_", found.text + found.remedy)

    def test_slow_payments_of_which_little_was_seen(self) -> None:
        """What could not be judged is no all-clear."""
        found = self.slow(calls={})
        self.assertIn("debug-logging could not be looked at", found.text)

    def test_no_quorum_and_no_blocks(self) -> None:
        self.assertEqual(self.with_figures(timed_quorum_margin=0), {})
        self.assertEqual(self.with_figures(timed_quorum_margin=-5), {"no-quorum": PROBLEM})
        late = self.unwell("blocks", "no block for 300 s")
        self.assertEqual(self.judge(health=late), {"no-quorum": PROBLEM})
        both, _ = judged(attrs.evolve(self.sight, health=late, metrics=self.metrics(timed_quorum_margin=-1)))
        (finding,) = [one for one in both if one.name == "no-quorum"]
        self.assertRegex(finding.text, r"lack a weight of 1 for a quorum.*No block for 300 s")

    def test_behind(self) -> None:
        self.assertEqual(self.with_figures(timed_blocks_behind=2), {})
        self.assertEqual(self.with_figures(timed_blocks_behind=200), {"behind": PROBLEM})

    def test_few_descriptors(self) -> None:
        self.assertEqual(self.with_figures(timed_descriptors_limit=1024), {"few-descriptors": NOTE})
        self.assertEqual(
            self.with_figures(timed_descriptors=900, timed_descriptors_limit=1024),
            {"few-descriptors": PROBLEM},
        )

    def test_the_limit_of_descriptors_is_this_process_s(self) -> None:
        import resource

        found = Metrics(Exposition().text(self.view).decode()).total("timed_descriptors_limit")
        self.assertEqual(found, resource.getrlimit(resource.RLIMIT_NOFILE)[0])

    def test_debug_lines(self) -> None:
        calls = {**self.sight.calls, "logging": {"*": "info", "peer": "debug"}}
        self.assertEqual(self.judge(calls=calls), {"debug-logging": PROBLEM})
        calls = {**self.sight.calls, "getconfig": [{"key": "log.messages", "value": "yes"}]}
        self.assertEqual(self.judge(calls=calls), {"debug-logging": PROBLEM})

    def test_signatures_in_pure_python(self) -> None:
        calls = {**self.sight.calls, "getconfig": [{"key": "crypto.backend", "value": "reference"}]}
        self.assertEqual(self.judge(calls=calls), {"pure-python-signatures": PROBLEM})

    def test_little_space(self) -> None:
        self.assertEqual(self.judge(free_bytes=500 << 20), {"disk-space": PROBLEM})
        self.assertEqual(self.judge(free_bytes=5 << 20), {"disk-space": PROBLEM})

    def test_a_busy_machine(self) -> None:
        self.assertEqual(self.judge(load=4.0), {"machine-busy": NOTE})

    def test_a_data_directory_that_was_removed_under_the_node(self) -> None:
        assert self.sight.config is not None
        self.sight.config.datadir.rmdir()
        gone = self.unwell("disk", "it is gone")
        findings, _ = judged(attrs.evolve(self.sight, health=gone))
        [found] = [each for each in findings if each.name == "data-directory"]
        self.assertIn("is gone, though the node runs", found.text)

    def test_a_node_whose_own_directory_is_well_is_another_one(self) -> None:
        """As after a wrong --datadir, or none: nobody is told to stop a node and to restore its wallet."""
        assert self.sight.config is not None
        self.sight.config.datadir.rmdir()
        [found], _ = judged(self.sight)
        self.assertEqual((found.name, found.severity), ("data-directory", PROBLEM))
        self.assertIn("the node that answers has another one", found.text)
        self.assertIn("--datadir", found.remedy)

    def test_another_version(self) -> None:
        text = Exposition().text(self.view).decode().replace('version="0.1.0"', 'version="0.0.9"')
        text += "timed_sessions 3\n"
        self.assertEqual(
            told(judged(attrs.evolve(self.sight, metrics=Metrics(text)))[0])["other-version"], NOTE
        )

    def test_every_other_check_and_alert_is_passed_on(self) -> None:
        self.assertEqual(
            self.judge(health=self.unwell("disk", "the store refuses writes")), {"check-disk": PROBLEM}
        )
        alert = {"name": "memory-grows", "summary": "memory grows", "remedy": "Note figures."}
        self.assertEqual(self.judge(alerts={"active": [alert], "over": []}), {"memory-grows": PROBLEM})
        doubled = [{**alert, "name": name} for name in ("check-disk", "disk-slow", "member-missed")]
        self.assertEqual(self.judge(alerts={"active": doubled, "over": []}), {})

    def test_a_check_with_a_symptom_of_its_own_is_told_once(self) -> None:
        calls = {**self.sight.calls, "getconfig": [{"key": "crypto.backend", "value": "reference"}]}
        slow = self.unwell("signatures", "signatures are checked in pure Python")
        self.assertEqual(self.judge(calls=calls, health=slow), {"pure-python-signatures": PROBLEM})

    def test_what_a_check_says_ends_with_one_full_stop(self) -> None:
        found, _ = judged(attrs.evolve(self.sight, health=self.unwell("disk", "it is gone.")))
        self.assertEqual([finding.text for finding in found], ["It is gone."])

    def test_what_was_not_seen_is_named_with_its_reason(self) -> None:
        findings, unseen = judged(
            attrs.evolve(
                self.sight, metrics=None, health=None, alerts=None, unseen={"monitor": "port 1: refused"}
            )
        )
        self.assertEqual(findings, [])
        self.assertEqual(len(unseen), 12)
        self.assertTrue(all("port 1: refused" in why for why in unseen.values()))


class Dead(SynchronousTestCase):
    """Through the command line, with files and ports as they are."""

    def setUp(self) -> None:
        self.base = Path(self.mktemp()).absolute()
        self.base.mkdir(mode=0o700)
        self.datadir = self.base / "data"
        self.datadir.mkdir(mode=0o700)
        self.ports = free_ports(3)
        self.config = self.base / "node.ini"
        self.write()

    def write(self, *lines: str) -> None:
        p2p, rpc, monitor = self.ports
        self.config.write_text(
            f"[node]\nnetwork = regtest\ndatadir = {self.datadir}\n{chr(10).join(lines)}\n"
            f"[p2p]\nhost = 127.0.0.1\nport = {p2p}\n[rpc]\nport = {rpc}\n[monitor]\nport = {monitor}\n"
        )

    def doctor(self, *words: str) -> tuple[int, dict[str, Any]]:
        out = io.StringIO()
        self.patch(sys, "stdout", out)
        number = main(["--config", str(self.config), "doctor", "--json", *words])
        report: dict[str, Any] = json.loads(out.getvalue())
        self.assertIn("PROBLEM", as_text(report))
        return number, report

    def found(self) -> dict[str, str]:
        number, report = self.doctor()
        self.assertEqual(number, status.FOUND)
        self.assertFalse(report["running"])
        return {each["name"]: each["text"] for each in report["findings"] if each["name"] != "machine-busy"}

    def test_a_node_that_does_not_run(self) -> None:
        found = self.found()
        self.assertEqual(set(found), {"not-running"})
        self.assertIn(f"No node runs on {self.datadir}", found["not-running"])

    def remedy(self) -> str:
        _, report = self.doctor()
        [remedy] = [each["remedy"] for each in report["findings"] if each["name"] == "not-running"]
        return str(remedy)

    def test_the_log_of_a_node_that_does_not_run(self) -> None:
        """A test network's node writes beside its data directory, a daemon into it; the newest file is meant."""
        self.assertIn("the terminal in which it was started", self.remedy())
        beside = self.base / "data.log"
        beside.write_text("the end\n")
        os.utime(beside, (100, 100))
        self.assertIn(f"tail -n 50 {beside})", self.remedy())
        (self.datadir / "timed.log").write_text("the end\n")
        self.assertIn(f"tail -n 50 {self.datadir / 'timed.log'})", self.remedy())

    def test_the_log_of_a_service_is_in_the_journal(self) -> None:
        self.config.write_text(self.config.read_text().replace("regtest", "testnet"))
        self.assertIn("journalctl -u timed", self.remedy())

    def test_a_data_directory_that_is_not_there(self) -> None:
        self.datadir.rmdir()
        self.assertEqual(set(self.found()), {"not-running", "data-directory"})

    def test_a_data_directory_that_others_may_read(self) -> None:
        self.datadir.chmod(0o755)
        self.assertIn("mode 0755", self.found()["data-directory"])

    def test_files_of_somebody_else(self) -> None:
        if os.getuid():
            raise SkipTest("only root can give a file to somebody else")
        (self.datadir / "peers.json").touch()
        os.chown(self.datadir / "peers.json", 12345, 12345)
        self.assertIn("peers.json", self.found()["data-directory"])

    def test_a_key_that_others_may_read(self) -> None:
        self.patch(sys, "stdout", io.StringIO())
        main(["--config", str(self.config), "keys", "generate", "node"])
        (self.datadir / "node.key").chmod(0o644)
        self.assertIn("open to others (mode 0644)", self.found()["keys"])

    def test_a_reader_that_has_seen_enough(self) -> None:
        """As `head` has: no traceback."""
        command = [sys.executable, "-m", "timed.cli.main", "--config", str(self.config), "doctor"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
            assert child.stdout is not None and child.stderr is not None
            child.stdout.close()
            said = child.stderr.read()
        self.assertEqual((child.returncode, said), (status.FOUND, b""))

    def test_a_port_of_another_program(self) -> None:
        with socket.create_server(("127.0.0.1", self.ports[0])):
            self.assertIn(f"port {self.ports[0]} on 127.0.0.1 is in use", self.found()["ports"])

    def test_a_configuration_that_cannot_be_used(self) -> None:
        self.write("netwrok = testnet")
        self.assertIn("there is no key node.netwrok", self.found()["configuration"])
        _, report = self.doctor()
        self.assertEqual(set(report["unseen"].values()), {"there is no usable configuration"})

    def test_a_configuration_that_is_not_there(self) -> None:
        self.config.unlink()
        _, report = self.doctor()
        [found] = [each for each in report["findings"] if each["name"] == "configuration"]
        self.assertIn("there is no such file", found["text"])
        self.assertNotIn("config check", found["remedy"])
        self.assertIn("timed-cli init", found["remedy"])

    def test_a_network_without_a_genesis_and_one_that_is_damaged(self) -> None:
        self.config.write_text(self.config.read_text().replace("regtest", "testnet"))
        self.assertIn("testnet has no genesis", self.found()["genesis"])
        (self.base / "genesis.json").write_text("{")
        self.write(f"genesis = {self.base / 'genesis.json'}")
        self.assertIn("genesis.json", self.found()["genesis"])

    def test_pure_python_signatures_to_come(self) -> None:
        self.config.write_text(self.config.read_text() + "[crypto]\nbackend = reference\n")
        self.assertIn("pure Python", self.found()["pure-python-signatures"])

    def test_a_process_that_holds_the_data_and_says_nothing(self) -> None:
        store = LmdbStore(str(self.datadir / "chain"), "regtest", builtin_regtest().hash)
        try:
            found = self.found()
        finally:
            store.close()
        self.assertEqual(set(found), {"not-running"})
        self.assertIn(f"Process {os.getpid()} uses {self.datadir / 'chain'}", found["not-running"])

    def test_a_monitor_that_hangs(self) -> None:
        """It accepts and never answers: said within the time limit, and not taken for a node."""
        self.patch(seeing, "TIMEOUT_S", 0.2)
        with socket.create_server(("127.0.0.1", self.ports[2])):
            number, report = self.doctor()
        self.assertIn("no answer from port", report["unseen"]["behind"])
        self.assertEqual(number, status.FOUND)

    def test_a_monitor_port_on_which_somebody_else_answers(self) -> None:
        """Not HTTP, or not ours: one line, no traceback."""
        for answer in (b"220 mail ready\r\n", b"HTTP/1.0 404 No\r\nContent-Length: 0\r\n\r\n"):
            with socket.create_server(("127.0.0.1", self.ports[2])) as server:

                def serve(server: socket.socket = server, answer: bytes = answer) -> None:
                    connection, _ = server.accept()
                    with connection:
                        connection.recv(1000)
                        connection.sendall(answer)

                thread = Thread(target=serve)
                thread.start()
                _, report = self.doctor()
                thread.join()
            self.assertIn("HTTP", report["unseen"]["behind"])

    def test_a_monitor_port_on_which_a_web_server_answers(self) -> None:
        """It has a page for everything."""

        class Pages(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"<!doctype html>\n<title>hello</title>\n")

            def log_message(self, *args: Any) -> None:
                """Nothing is written."""

        server = ThreadingHTTPServer(("127.0.0.1", self.ports[2]), Pages)
        thread = Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            _, report = self.doctor()
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
        self.assertIn("is no node", report["unseen"]["behind"])
        self.assertFalse(report["running"])


class Running(ServicesCase):
    """A composed node, asked over its own ports."""

    def doctor(self, directory: str = "") -> Deferred[dict[str, Any]]:
        out = io.StringIO()
        self.patch(sys, "stdout", out)
        config = self.directory.parent / "node.ini"
        config.write_text(
            f"[node]\nnetwork = regtest\ndatadir = {directory or self.directory}\n[p2p]\nport = {self.p2p}\n"
            f"[rpc]\nport = {self.rpc}\n[monitor]\nport = {self.monitor}\n"
        )

        def run() -> dict[str, Any]:
            main(["--config", str(config), "doctor", "--json"])
            found: dict[str, Any] = json.loads(out.getvalue())
            return found

        return deferToThread(run)

    def test_alone_and_loud(self) -> Deferred[None] | None:
        """Nobody else of the network runs, and debug lines are written."""

        async def scenario() -> None:
            application = self.compose("log.level=debug")
            application.startService()
            try:
                report = await self.doctor()
            finally:
                await application.stopService()
            found = {each["name"]: each["severity"] for each in report["findings"]}
            self.assertEqual(found["debug-logging"], PROBLEM)
            self.assertEqual(found["no-peers"], PROBLEM)
            self.assertTrue(report["running"])
            self.assertEqual(report["unseen"], {})
            self.assertIn("height 0, 0 peers", report["node"])
            self.assertEqual(len(report["looked_at"]), len(SYMPTOMS))

        return Deferred.fromCoroutine(scenario())

    def test_another_node_on_the_ports_of_one_that_does_not_run(self) -> Deferred[None]:
        """Two nodes with the same ports: what the one tells is not said of the other."""

        async def scenario() -> None:
            other = Path(self.mktemp()).absolute()
            other.mkdir(mode=0o700)
            create_key_file(str(other / "node.key"), os.urandom)
            application = self.compose()
            application.startService()
            try:
                report = await self.doctor(str(other))
            finally:
                await application.stopService()
            self.assertFalse(report["running"])
            found = {each["name"]: each["text"] for each in report["findings"]}
            self.assertIn("No node runs on", found["not-running"])
            self.assertIn(f"port {self.monitor} ", found["ports"])
            self.assertIn("another node answers on port", report["unseen"]["behind"])

        return Deferred.fromCoroutine(scenario())
