"""Starting `twistd timed`: what stops it is one sentence and an exit status, never a traceback."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from timed.testnet.freeports import free_ports

ROOT = Path(__file__).resolve().parent.parent
DEADLINE_S = 120


class StartCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir(parents=True)

    def run_timed(self, *options: str) -> subprocess.CompletedProcess[str]:
        """Run the daemon with `options` until it ends by itself."""
        environment = dict(os.environ, PYTHONPATH=str(ROOT))
        code = "from timed.cli.daemon import main; main()"
        return subprocess.run(
            [sys.executable, "-c", code, *options],
            cwd=self.directory,
            env=environment,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )

    def assert_refused(self, sentence: str, *options: str, status: int = 1) -> None:
        done = self.run_timed(*options)
        self.assertEqual(done.stderr, f"timed: {sentence}\n")
        self.assertEqual(done.returncode, status)
        self.assertNotIn("Traceback", done.stdout)


SET_BACK = """
import time
true_time, wrong_by = time.time, 0
time.time = lambda: true_time() - wrong_by
from timed.app import composition, tap
composition.compose = lambda *given, **named: None
options = tap.Options()
options.parseOptions(["--node-id", "1"])
tap.makeService(options)
from twisted.internet import reactor
def set_back():
    global wrong_by
    wrong_by = 3600
reactor.callWhenRunning(set_back)
reactor.callLater(0.1, reactor.stop)
reactor.run()
"""


class Timers(StartCase):
    def test_a_clock_that_is_set_back_holds_no_timer_up(self) -> None:
        """By an hour: without a steady reactor nothing is looked at, dialled or told to systemd for that hour."""
        done = subprocess.run(
            [sys.executable, "-c", SET_BACK],
            cwd=self.directory, env=dict(os.environ, PYTHONPATH=str(ROOT)), capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip
        self.assertEqual((done.stderr, done.returncode), ("", 0))


class Usage(StartCase):
    def test_an_unknown_option_is_status_2(self) -> None:
        self.assert_refused(
            "option --prot not recognized. Run 'twistd timed --help' for the options.",
            "--prot",
            "1",
            status=2,
        )

    def test_a_stray_argument_is_status_2(self) -> None:
        self.assert_refused(
            "there is no argument 'regtest' to give. Run 'twistd timed --help' for the options.",
            "regtest",
            status=2,
        )

    def test_a_malformed_assignment_is_status_2(self) -> None:
        self.assert_refused(
            "--set wants section.key=value, not 'p2p.port'. Run 'twistd timed --help' for the options.",
            "--set",
            "p2p.port",
            status=2,
        )

    def test_a_node_id_and_a_configuration_contradict_each_other(self) -> None:
        self.assert_refused(
            "--node-id stands for a whole configuration: it cannot go with --config. "
            "Run 'twistd timed --help' for the options.",
            "--node-id", "1", "--config", "node.ini",
            status=2,
        )  # fmt: skip


class Configuration(StartCase):
    def test_an_unknown_key_names_its_line(self) -> None:
        (self.directory / "node.ini").write_text("[node]\nnetwrok = regtest\n")
        self.assert_refused(
            f"{self.directory / 'node.ini'}:2: there is no key node.netwrok. The nearest is node.network.",
            "--config",
            str(self.directory / "node.ini"),
        )

    def test_a_bad_value_on_the_command_line_names_the_option(self) -> None:
        self.assert_refused(
            "--p2p-port: p2p.port must be a whole number, not 'many'.", "--node-id", "1", "--p2p-port", "many"
        )

    def test_an_unknown_plugin_names_those_there_are(self) -> None:
        done = self.run_timed("--node-id", "1", "--set", "services.enabled=chain wallet")
        self.assertEqual(
            done.stderr,
            "timed: services.enabled: there is no service called 'wallet'. "
            "There are: chain, index, monitor, p2p, rpc.\n",
        )
        self.assertEqual(done.returncode, 1)


class Surroundings(StartCase):
    def run_timed(self, *options: str) -> subprocess.CompletedProcess[str]:
        """On ports that no node of this machine's user has."""
        p2p, rpc, monitor = free_ports(3)
        ports = (f"--p2p-port={p2p}", f"--rpc-port={rpc}", f"--monitor-port={monitor}")
        return super().run_timed(*ports, *options)

    def test_a_busy_port_is_named_with_its_key(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            self.assert_refused(
                f"port {port} on 127.0.0.1 is in use by another program. "
                "This node may run already; else choose another with rpc.port.",
                "--node-id", "1", f"--rpc-port={port}",
            )  # fmt: skip

    def test_a_data_directory_that_is_a_file_is_refused(self) -> None:
        path = self.directory / "data"
        path.write_text("")
        self.assert_refused(
            f"the data directory {path} is a file. Set node.datadir.",
            "--node-id",
            "1",
            "--datadir",
            str(path),
        )

    def test_a_data_directory_that_cannot_be_made_is_refused(self) -> None:
        done = self.run_timed("--node-id", "1", "--datadir", "/proc/timed")
        self.assertTrue(
            done.stderr.startswith("timed: the data directory /proc/timed cannot be used: "), done.stderr
        )
        self.assertEqual((done.returncode, done.stderr.count("\n")), (1, 1))

    def test_a_data_directory_with_somebody_elses_files_is_refused(self) -> None:
        path = self.directory / "data"
        path.mkdir()
        (path / "thesis.tex").write_text("")
        self.assert_refused(
            f"the data directory {path} holds files that are not timed's. Name an empty or a new directory.",
            "--node-id", "1", "--datadir", str(path),
        )  # fmt: skip
        self.assertEqual(os.listdir(path), ["thesis.tex"])

    def test_a_key_file_that_others_can_read_is_refused(self) -> None:
        path = self.directory / "data"
        path.mkdir()
        (path / "node.key").write_text("00" * 32)
        os.chmod(path / "node.key", 0o644)
        self.assert_refused(
            f"the key file {path / 'node.key'} is open to others (mode 0644). Run: chmod 600 {path / 'node.key'}",
            "--node-id", "1", "--datadir", str(path),
        )  # fmt: skip
