"""A running network: its processes, and the questions one can ask all of them."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from timed.testnet.layout import NodePlan, Plan, State
from timed.testnet.process import NodeProcess, stop_all
from timed.testnet.report import NodeFigures, Report, ended_sessions, info_lines, lost_sessions
from timed.testnet.rpc import ClientError, call
from timed.testnet.waiting import Reporter, wait_for

START_S = 90.0
CONNECT_S = 60.0
EQUAL_S = 120.0


class Network:
    """Starts and stops the nodes of a plan. After `stop` no process is left."""

    def __init__(self, plan: Plan, reporter: Reporter, state_path: Path, standing: bool = False) -> None:
        self.plan = plan
        self.reporter = reporter
        self.report = Report(len(plan.nodes), len(plan.members), plan.interval)
        self.processes: dict[int, NodeProcess] = {}
        self.figures: dict[int, NodeFigures] = {}
        self.excused: dict[int, list[str]] = {}
        """Lost sessions that a deliberate kill explains, per node that noticed."""
        self._state_path = state_path
        self._standing = standing
        self._started = time.monotonic()

    def start(self, *nodes: NodePlan) -> None:
        """Start the processes of some nodes."""
        for node in nodes:
            process = self.processes.setdefault(node.number, NodeProcess(node))
            if node.number not in self.figures:
                self.figures[node.number] = NodeFigures(node)
            process.start()
        self._write_state()

    def stop(self) -> None:
        """Stop every process; twice is the same as once."""
        for process in stop_all(list(self.processes.values())):
            self.reporter.say(f"{process.plan.name} did not stop in time and was killed")
        self._state_path.unlink(missing_ok=True)

    def running(self) -> list[NodePlan]:
        return [process.plan for process in self.living()]

    def living(self) -> list[NodeProcess]:
        return [process for process in self.processes.values() if process.alive]

    def wait(self, what: str, probe: Callable[[], tuple[bool, str]], seconds: float) -> float:
        """`wait_for` with the processes that are alive now, all of which must stay so."""
        return wait_for(what, probe, seconds, self.reporter, self.living())

    def wait_answering(self, nodes: Sequence[NodePlan]) -> None:
        """Until the RPC of every node answers."""
        silent = list(nodes)

        def probe() -> tuple[bool, str]:
            for node in list(silent):
                try:
                    call(node, "getblockcount")
                except ClientError:
                    continue
                silent.remove(node)
            return not silent, f"{len(nodes) - len(silent)} of {len(nodes)} answer"

        self.wait("nodes start", probe, START_S)

    def wait_connected(self) -> None:
        """Until every pair of running nodes that should be connected is, seen from both ends."""

        def probe() -> tuple[bool, str]:
            wanted = have = 0
            for node in self.running():
                expected = {peer.node_id.hex() for peer in self._expected_peers(node)}
                wanted += len(expected)
                have += len(expected & self.peer_ids(node))
            return have == wanted, f"{have} of {wanted} ends of sessions are up"

        self.wait("nodes connect", probe, CONNECT_S)

    def peer_ids(self, node: NodePlan) -> set[str]:
        """Node ids of the open sessions of one node; empty when it does not answer."""
        try:
            return {str(peer["nodeid"]) for peer in call(node, "getpeerinfo")}
        except ClientError:
            return set()

    def wait_equal(self, what: str, least_height: int) -> None:
        """Until all running nodes have the same tip and the same digest of the coins."""

        def probe() -> tuple[bool, str]:
            tips = []
            for node in self.running():
                try:
                    info = call(node, "gettxoutsetinfo")
                except ClientError as error:
                    return False, str(error)
                tips.append((int(info["height"]), str(info["bestblock"]), str(info["utxo_root"])))
            heights = ", ".join(str(height) for height, _, _ in tips)
            return len(set(tips)) == 1 and tips[0][0] >= least_height, f"heights {heights}"

        self.wait(what, probe, EQUAL_S + 10 * self.plan.interval)

    def heights(self) -> list[int]:
        """The height of every running node that answers."""
        found = [self._height(node) for node in self.running()]
        return [height for height in found if height is not None]

    def kill(self, node: NodePlan) -> None:
        """SIGKILL one node; the sessions it had are excused from the reconnects."""
        with_session = [other for other in self.running() if node.node_id.hex() in self.peer_ids(other)]
        self.processes[node.number].kill()
        for other in with_session:
            self.excused.setdefault(other.number, []).append(node.node_id.hex())
        self._write_state()

    def collect(self) -> Report:
        """Bring the report up to date with what nodes and logs say now."""
        report = self.report
        report.figures = [self.figures[number] for number in sorted(self.figures)]
        lost: dict[str, Counter[str]] = {}
        for figures in report.figures:
            node, process = figures.plan, self.processes[figures.plan.number]
            noticed = lost_sessions(process)
            noticed.subtract(self.excused.get(node.number, ()))
            lost[node.node_id.hex()] = +noticed
            figures.lost = (+noticed).total()
            figures.info_lines = info_lines(process)
            if process.alive:
                figures.peers = len(self.peer_ids(node))
                figures.memory_mb = process.memory_mb()
                figures.height = self._height(node) or figures.height
        report.reconnects = ended_sessions(lost)
        report.blocks = max((figures.height for figures in report.figures), default=0)
        report.seconds = time.monotonic() - self._started
        return report

    @staticmethod
    def _height(node: NodePlan) -> int | None:
        try:
            return int(call(node, "getblockcount"))
        except ClientError:
            return None

    def _expected_peers(self, node: NodePlan) -> list[NodePlan]:
        return [other for other in self.running() if node.joins(other)]

    def _write_state(self) -> None:
        processes = {process.plan.name: process for process in self.processes.values()}
        State(
            runner=os.getpid(),
            directory=str(self.plan.directory),
            nodes={name: process.pid for name, process in processes.items() if process.pid is not None},
            urls={
                name: [process.plan.rpc_url, process.plan.monitor_url] for name, process in processes.items()
            },
            standing=self._standing,
        ).write(self._state_path)
