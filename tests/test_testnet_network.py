"""Networks of real processes on loopback: what `timed-testnet` promises, held to it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import select
import selectors
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from timed.testnet.layout import State, ini_of, make_network
from timed.testnet.network import Network
from timed.testnet.process import tied
from timed.testnet.registry import living_nodes
from timed.testnet.waiting import Reporter

ROOT = Path(__file__).resolve().parent.parent
DEADLINE_S = 240


class NetworkCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir(parents=True)
        self.environment = dict(os.environ, PYTHONPATH=str(ROOT), XDG_RUNTIME_DIR=str(self.directory))
        self.output = self.directory / "output"

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """`timed-testnet` with `words`, its output in a file."""
        with open(self.output, "wb") as output:
            process = subprocess.Popen(
                tied([sys.executable, "-m", "timed.testnet.main", *words]),
                cwd=self.directory,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.addCleanup(self.end, process)
        return process

    def end(self, process: subprocess.Popen[bytes]) -> None:
        if process.poll() is None:
            process.terminate()
        process.wait(DEADLINE_S)

    def run_to_end(self, *words: str) -> int:
        return self.start(*words).wait(DEADLINE_S)

    def text(self) -> str:
        return self.output.read_text(encoding="utf-8", errors="replace")

    def wait_for_line(self, words: str, process: subprocess.Popen[bytes]) -> None:
        """Until the output says `words`; fails when the command ends first."""
        ended = threading.Event()
        waiter = threading.Timer(DEADLINE_S, ended.set)
        waiter.start()
        try:
            while words not in self.text():
                if ended.wait(0.1) or process.poll() is not None:
                    self.fail(f"{words!r} did not come:\n{self.text()}")
        finally:
            waiter.cancel()

    def states(self) -> list[State]:
        found = [State.read(path) for path in (self.directory / "timed-testnet").glob("*.json")]
        return [state for state in found if state is not None]

    def no_process_is_left(self) -> bool:
        return (
            subprocess.run(["pgrep", "-f", str(self.directory)], check=False, capture_output=True).returncode
            == 1
        )


class Checking(NetworkCase):
    def test_a_network_pays_loses_a_node_and_gains_one(self) -> None:
        """The whole promise: finality, blocks, recovery after SIGKILL, a late joiner, equal roots."""
        status = self.run_to_end("up", "--nodes", "3", "--interval", "1", "--check", "--json")
        report = json.loads(self.text().splitlines()[-1])
        self.assertEqual(status, 0, self.text())
        self.assertTrue(report["held"])
        for key in (
            "final_everywhere",
            "confirmed_everywhere",
            "killed_node_recovered",
            "late_joiner_synced",
            "roots_equal",
        ):
            self.assertIs(report[key], True, key)
        self.assertEqual(report["reconnects"], 0)
        shown = [int(size) for size in re.findall(r"(\d+) MB", (ROOT / "README.rst").read_text())]
        self.assertLess(abs(report["memory_mb_max"] / max(shown) - 1), 0.4, "README.rst shows another size")
        self.assertLess(report["log_lines_info"], report["seconds"] * (report["nodes"] + 1) + 40)
        self.assertTrue(self.no_process_is_left())


class Stopping(NetworkCase):
    def test_down_stops_a_network_that_status_shows(self) -> None:
        process = self.start(
            "up", "--nodes", "2", "--members", "1", "--interval", "1", "--payments", "1", "--json"
        )
        self.wait_for_line("runs until you press Ctrl-C", process)
        self.output = self.directory / "status"
        self.assertEqual(self.run_to_end("status"), 0)
        self.assertEqual(self.text().count("running, rpc http://127.0.0.1:"), 2)
        self.output = self.directory / "down"
        self.assertEqual(self.run_to_end("down"), 0)
        self.assertIn("stopped", self.text())
        self.assertEqual(process.wait(DEADLINE_S), 0)
        self.assertTrue(json.loads((self.directory / "output").read_text().splitlines()[-1])["held"])
        self.assertEqual(self.states(), [])
        self.assertTrue(self.no_process_is_left())

    def test_a_killed_runner_takes_its_nodes_along_and_is_forgotten(self) -> None:
        process = self.start("up", "--nodes", "1", "--interval", "1", "--payments", "1", "--keep", "kept")
        self.wait_for_line("runs until you press Ctrl-C", process)
        [pid] = living_nodes(self.states()[0]).values()
        node = os.pidfd_open(pid)
        self.addCleanup(os.close, node)
        process.kill()
        process.wait(DEADLINE_S)
        self.assertEqual(select.select([node], [], [], DEADLINE_S)[0], [node])
        self.assertTrue(self.no_process_is_left())
        self.assertEqual(self.run_to_end("status"), 1)
        self.assertEqual(self.states(), [])

    def test_a_node_that_ends_fails_the_run_and_is_named(self) -> None:
        process = self.start(
            "up", "--nodes", "2", "--interval", "1", "--payments", "1", "--keep", "kept", "--json"
        )
        self.wait_for_line("runs until you press Ctrl-C", process)
        [state] = self.states()
        os.kill(state.nodes["node-2"], signal.SIGKILL)
        self.assertEqual(process.wait(DEADLINE_S), 1)
        self.assertIn("node-2 ended with status -9", self.text())
        self.assertIn("node-2 ended with status -9", json.loads(self.text().splitlines()[-1])["error"])
        self.assertTrue(self.no_process_is_left())

    def test_a_directory_with_something_in_it_is_refused(self) -> None:
        self.assertEqual(self.run_to_end("up", "--keep", str(self.directory)), 1)
        self.assertIn("is not an empty directory", self.text())


class Wire:
    """A TCP forwarder that can be cut: both ends live, the connection does not."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._selector = selectors.DefaultSelector()
        self._waker, self._wake = socket.socketpair()
        self._orders: list[str] = []
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._waker, selectors.EVENT_READ)
        self._thread.start()

    def order(self, word: str) -> None:
        """`cut` every connection, or `stop` for good."""
        self._orders.append(word)
        self._wake.send(b"x")
        if word == "stop":
            self._thread.join()

    def _serve(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._waker:
                    self._waker.recv(1)
                    self._cut()
                    if self._orders.pop(0) == "stop":
                        self._listener.close()
                        return
                elif key.fileobj is self._listener:
                    self._accept()
                else:
                    self._forward(key)

    def _accept(self) -> None:
        inbound, _ = self._listener.accept()
        try:
            outbound = socket.create_connection(("127.0.0.1", self._target))
        except OSError:
            inbound.close()
            return
        self._pairs.append((inbound, outbound))
        self._selector.register(inbound, selectors.EVENT_READ, outbound)
        self._selector.register(outbound, selectors.EVENT_READ, inbound)

    def _forward(self, key: selectors.SelectorKey) -> None:
        try:
            data = key.fileobj.recv(65536)  # type: ignore[union-attr]
            key.data.sendall(data)
        except OSError:
            data = b""
        if not data:
            for end in (key.fileobj, key.data):
                with contextlib.suppress(KeyError, ValueError):
                    self._selector.unregister(end)
                end.close()  # type: ignore[union-attr]

    def _cut(self) -> None:
        for pair in self._pairs:
            for end in pair:
                with contextlib.suppress(KeyError, ValueError):
                    self._selector.unregister(end)
                end.close()
        self._pairs.clear()


class Reconnecting(NetworkCase):
    @contextlib.contextmanager
    def network(self) -> Iterator[tuple[Network, Wire]]:
        """Two nodes whose only connection goes through a wire."""
        plan = make_network(self.directory / "net", 2, 2, 1)
        one, two = plan.nodes
        wire = Wire(one.p2p_port)
        one.ini.write_text(ini_of(one, ()))
        two.ini.write_text(two.ini.read_text().replace(f":{one.p2p_port}", f":{wire.port}"))
        network = Network(plan, Reporter(io.StringIO()), self.directory / "state.json")
        try:
            network.start(one, two)
            network.wait_answering(plan.nodes)
            yield network, wire
        finally:
            network.stop()
            wire.order("stop")

    def test_a_session_that_is_cut_is_one_reconnect(self) -> None:
        """`reconnects` is 0 while nothing happens, and 1 after one session was cut between two living nodes."""
        with self.network() as (network, wire):
            network.wait_connected()
            self.assertEqual(network.collect().reconnects, 0)
            wire.order("cut")
            network.wait("the cut is noticed", lambda: (network.collect().reconnects > 0, ""), 30)
            network.wait_connected()
            self.assertEqual(network.collect().reconnects, 1)

    def test_a_deliberate_kill_is_no_reconnect(self) -> None:
        with self.network() as (network, _):
            network.wait_connected()
            network.kill(network.plan.nodes[1])
            network.wait("the end is noticed", lambda: (not network.peer_ids(network.plan.nodes[0]), ""), 30)
            self.assertEqual(network.collect().reconnects, 0)
