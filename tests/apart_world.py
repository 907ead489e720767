"""One node, RPC processes beside it, and HAProxy in front of them: all of them real processes."""

from __future__ import annotations

import http.client
import os
import shutil
import subprocess
import tempfile
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs

from tests.process_world import CALL_S, ROOT, ProcessWorld, until
from timed.client.blocking import Client
from timed.client.location import Location
from timed.testnet.freeports import free_ports
from timed.testnet.layout import HOST
from timed.testnet.process import NodeProcess, tied

CHAIN = 1
HAPROXY = shutil.which("haproxy") or "/usr/sbin/haproxy"


class ApartWorld(ProcessWorld):
    """Node 1 is the chain process; `apart` are the RPC processes by number."""

    def __init__(self, directory: Path, apart: int, settings: tuple[str, ...] = ()) -> None:
        self.sockets = tempfile.mkdtemp(prefix="timed-")
        shared = (f"rpc.socket={self.sockets}/node.sock", *settings)
        super().__init__(directory, 1, settings={CHAIN: shared})
        self.apart: dict[int, NodeProcess] = {}
        ports = free_ports(2 * apart)
        for number, port, watched in zip(range(11, 11 + apart), ports[:apart], ports[apart:], strict=True):
            plan = attrs.evolve(self.node(CHAIN), number=number, rpc_port=port, monitor_port=watched)
            shutil.copy(self.node(CHAIN).ini, plan.ini)
            own = ("services.enabled=rpc monitor", f"rpc.port={port}", f"monitor.port={watched}")
            self.apart[number] = NodeProcess(plan, (*shared, *own))
        self.front: subprocess.Popen[bytes] | None = None
        self.front_port = free_ports(1)[0]

    def start_apart(self, *numbers: int) -> None:
        """Start these RPC processes, or all, and wait until each answers."""
        chosen = numbers or tuple(self.apart)
        self.processes.update({number: self.apart[number] for number in chosen})
        self.start(*chosen)
        for number in chosen:
            until(f"RPC process {number} answers", lambda n=number: self.ask(n, "getblockcount") >= 0)  # type: ignore[misc]

    def start_front(self) -> None:
        """HAProxy with the project's configuration, before the first two RPC processes."""
        ports = [process.plan.rpc_port for process in self.apart.values()]
        environment = dict(
            os.environ,
            TIMED_BIND=f"{HOST}:{self.front_port}",
            TIMED_RPC_1=f"{HOST}:{ports[0]}",
            TIMED_RPC_2=f"{HOST}:{ports[1]}",
        )
        self.front = subprocess.Popen(
            tied([HAPROXY, "-db", "-f", str(ROOT / "etc/haproxy.cfg")]),
            env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        until("HAProxy passes a call on", lambda: self.through("getblockcount") >= 0)

    def location(self, port: int) -> Location:
        return Location(HOST, port, cookie_file=str(self.node(CHAIN).cookie))

    def ask(self, number: int, method: str, *params: Any) -> Any:
        """Ask one process, with the chain process's cookie."""
        plan = self.processes[number].plan
        with Client(self.location(plan.rpc_port), CALL_S) as client:
            return client.call(method, *params)

    def watched(self, number: int, path: str) -> tuple[int, str]:
        """What the monitor of one process says: status and body."""
        line = http.client.HTTPConnection(HOST, self.processes[number].plan.monitor_port, timeout=CALL_S)
        try:
            line.request("GET", path)
            answer = line.getresponse()
            return answer.status, answer.read().decode()
        finally:
            line.close()

    def through(self, method: str, *params: Any) -> Any:
        """Ask through HAProxy."""
        with Client(self.location(self.front_port), CALL_S) as client:
            return client.call(method, *params)

    def stop(self) -> None:
        if self.front is not None:
            self.front.kill()
            self.front.wait()
        super().stop()
        shutil.rmtree(self.sockets, ignore_errors=True)


class Load:
    """Threads that ask again and again; what each answer was is counted."""

    def __init__(self, threads: int, ask: Callable[[int], str]) -> None:
        """`ask` gets the number of the question and returns what to count."""
        self._ask = ask
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._seen: Counter[str] = Counter()
        self._threads = [threading.Thread(target=self._run) for _ in range(threads)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *details: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def counted(self) -> Counter[str]:
        """What was seen up to one moment."""
        with self._lock:
            return self._seen.copy()

    def pass_by(self, count: int) -> None:
        """Until so many more questions are answered."""
        goal = self.counted().total() + count
        until("the load goes on", lambda: self.counted().total() >= goal)

    def _run(self) -> None:
        number = 0
        while not self._ended.is_set():
            number += 1
            found = self._ask(number)
            with self._lock:
                self._seen[found] += 1
            self._ended.wait(0.002)
