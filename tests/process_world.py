"""Real `timed` processes on loopback, and an intruder that speaks TLS and frames by hand.

Nothing here sleeps longer than a poll: every wait is for something that RPC,
metrics, a log or a socket shows, and has a deadline. `stop` leaves no process.
"""

from __future__ import annotations

import atexit
import errno
import os
import random
import re
import select
import socket
import ssl
import subprocess
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, TypeVar
from unittest import mock

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from twisted.trial.unittest import SynchronousTestCase

from timed.crypto.keys import SigningKey
from timed.events import Close, Write
from timed.net.identity import TlsIdentity
from timed.params import REGTEST
from timed.peer.table import PeerTable
from timed.peer.values import Closed, Identity, Incoming, Opened
from timed.testnet.layout import HOST, NodePlan, Plan, make_network
from timed.testnet.process import NodeProcess, twistd
from timed.testnet.rpc import ClientError, call
from timed.wire.catalogue import decode_message, encode_message
from timed.wire.compression import Packing
from timed.wire.framing import FrameReader, frames_of
from timed.wire.message import Message
from timed.wire.messages import Handshake

ROOT = Path(__file__).resolve().parent.parent
POLL_S = 0.05
START_S = 120.0
WAIT_S = 120.0
CALL_S = 60.0
"""What one call, scrape or connection gets: on a machine with other work none is given up early."""
INTERVAL_S = 1
AMOUNT = Decimal("1.25")

T = TypeVar("T")

_SAMPLE = re.compile(r"^(timed_\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


class TimedOut(AssertionError):
    """Something did not happen before its deadline."""


def until(what: str, probe: Callable[[], T], seconds: float = WAIT_S) -> T:
    """The first true answer of `probe`, which may raise ClientError or OSError meanwhile."""
    deadline = time.monotonic() + seconds
    last: object = None
    while True:
        try:
            found = probe()
            if found:
                return found
            last = found
        except (ClientError, OSError) as error:
            last = error
        if time.monotonic() > deadline:
            raise TimedOut(f"{what}: not within {seconds:.0f} s (last: {last!r})")
        time.sleep(POLL_S)


class ProcessWorld:
    """A network of processes; nodes go by their number, the first is 1."""

    def __init__(
        self,
        directory: Path,
        nodes: int = 3,
        interval: int = INTERVAL_S,
        settings: Mapping[int, Sequence[str]] = MappingProxyType({}),
    ) -> None:
        """`settings` holds section.key=value by node, for the command line."""
        self.plan: Plan = make_network(directory.absolute(), nodes, nodes, interval)
        self.processes = {
            node.number: NodeProcess(node, settings.get(node.number, ())) for node in self.plan.nodes
        }

    @property
    def numbers(self) -> tuple[int, ...]:
        return tuple(self.processes)

    def node(self, number: int) -> NodePlan:
        return self.plan.nodes[number - 1]

    # Processes

    def start(self, *numbers: int) -> None:
        """Start these nodes; they run this checkout's code."""
        with mock.patch.dict(os.environ, {"PYTHONPATH": str(ROOT)}):
            for number in numbers:
                self.processes[number].start()

    def restart(self, *numbers: int) -> None:
        """Start these nodes again and wait until they answer; TimedOut at once when one ends."""
        self.start(*numbers)
        for number in numbers:
            until(f"node {number} answers", lambda n=number: self.answers(n))  # type: ignore[misc]

    def answers(self, number: int) -> bool:
        if not self.processes[number].alive:
            raise TimedOut(f"node {number} has ended:\n{self.processes[number].tail()}")
        return int(self.call(number, "getblockcount")) >= 0

    def start_in_vain(self, ini: Path, *, daemon: bool = False) -> subprocess.CompletedProcess[str]:
        """Run a node with this configuration until it ends by itself; of a daemon, until the start is told of."""
        background = () if daemon else ("--nodaemon",)
        command = [twistd(), *background, "--pidfile=", "timed", "--config", str(ini)]
        environment = dict(os.environ, PYTHONPATH=str(ROOT))
        return subprocess.run(
            command, cwd=self.plan.directory, env=environment, capture_output=True, text=True,
            timeout=START_S, check=False,
        )  # fmt: skip

    def kill(self, *numbers: int) -> None:
        """SIGKILL, all of them before any is waited for."""
        for number in numbers:
            self.processes[number].signal(9)
        for number in numbers:
            self.processes[number].kill()

    def stop(self) -> None:
        """No process is left."""
        self.kill(*self.numbers)

    def wait_connected(self, *numbers: int, seconds: float = START_S) -> None:
        """Until these nodes (all without numbers) have sessions with each other."""
        chosen = numbers or self.numbers
        ids = {number: self.node(number).node_id.hex() for number in chosen}
        for number in chosen:
            others = {ids[other] for other in chosen if other != number}
            until(f"node {number} connects", lambda n=number, o=others: self.peers(n) >= o, seconds)  # type: ignore[misc]

    def log(self, number: int) -> str:
        return self.processes[number].log_text()

    # Questions

    def call(self, number: int, method: str, *params: Any) -> Any:
        return call(self.node(number), method, *params, timeout=CALL_S)

    def peers(self, number: int) -> set[str]:
        """Node ids of the open sessions."""
        return {str(peer["nodeid"]) for peer in self.call(number, "getpeerinfo")}

    def at_one_height(self, number: int, probe: Callable[[], T], seconds: float = WAIT_S) -> T:
        """What `probe` says of one state of a node: it is asked again when a block came meanwhile.

        Here a block comes every second: two calls are two states, and whatever a block changes differs in them.
        """

        def look() -> tuple[T] | None:
            before = self.call(number, "getbestblockhash")
            found = probe()
            return (found,) if self.call(number, "getbestblockhash") == before else None

        return until(f"no block comes to node {number} while it is asked", look, seconds)[0]

    def samples(self, number: int) -> list[tuple[str, dict[str, str], float]]:
        """(name, labels, value) of everything /metrics shows; counters without their suffix."""
        with urllib.request.urlopen(f"{self.node(number).monitor_url}/metrics", timeout=CALL_S) as answer:
            text = answer.read().decode("utf-8")
        return [
            (name.removesuffix("_total"), dict(_LABEL.findall(labels)), float(value))
            for name, labels, value in _SAMPLE.findall(text)
        ]

    def metric(self, number: int, name: str) -> float:
        """The sum over all labels of one metric, which must be there."""
        found = [value for each, _, value in self.samples(number) if each == name]
        if not found:
            raise AssertionError(f"node {number} shows no {name}")
        return sum(found)

    def counted(self, number: int, name: str) -> Counter[str]:
        """A metric with one label, by that."""
        found = self.samples(number)
        return Counter(
            {next(iter(labels.values())): int(value) for each, labels, value in found if each == name}
        )

    def refused(self, number: int) -> Counter[tuple[str, str]]:
        """(what, rule) to how often; not the one of two sessions that members give up where their dials crossed."""
        return Counter(
            {
                (labels["what"], labels["rule"]): int(value)
                for name, labels, value in self.samples(number)
                if name == "timed_refused" and labels["rule"] != "duplicate"
            }
        )

    def memory_mb(self) -> dict[int, float]:
        """Anonymous memory of each living process."""
        return {n: process.memory_mb() for n, process in self.processes.items() if process.alive}

    # Payments

    def pay(self, payer: int = 1, payee: int = 2) -> str:
        """A payment, not waited for; its txid."""
        return str(self.call(payer, "sendtoaddress", self.call(payee, "getnewaddress"), AMOUNT))

    def pay_acknowledged(self, payer: int = 1, payee: int = 2) -> str:
        """A payment that the payer knows as final before a block has it; one that a block overtakes is made again."""

        def attempt() -> str:
            cursor = self.call(payer, "geteventcursor")["cursor"]
            txid = self.pay(payer, payee)
            told = until("it is told that it is final", lambda: self.finals(payer, cursor).get(txid))
            return "" if told == "block" else txid

        return until("a payment is final before a block comes", attempt)

    def finals(self, number: int, cursor: str) -> dict[str, str]:
        """By what each payment became final, of those that the node has told of since a cursor."""
        found = self.call(number, "getevents", cursor, ["transaction.final"])["events"]
        return {each["data"]["txid"]: each["data"]["by"] for each in found}

    def state(self, number: int, txid: str) -> str:
        return str(self.call(number, "gettransaction", txid)["state"])

    def wait_final(self, txid: str, *numbers: int, seconds: float = WAIT_S) -> None:
        for number in numbers or self.numbers:
            until(
                f"{txid} final at node {number}",
                lambda n=number: self.state(n, txid) in ("final", "confirmed"),  # type: ignore[misc]
                seconds,
            )

    def wait_confirmed(self, txid: str, *numbers: int, seconds: float = WAIT_S) -> None:
        for number in numbers or self.numbers:
            until(
                f"{txid} in a block at {number}", lambda n=number: self.state(n, txid) == "confirmed", seconds
            )  # type: ignore[misc]

    def wait_equal(self, least: int = 0, seconds: float = WAIT_S) -> int:
        """Until all living nodes show the same tip and digest at `least` or above; that height."""

        def probe() -> int:
            found = [
                self.call(n, "gettxoutsetinfo") for n, process in self.processes.items() if process.alive
            ]
            tips = {(one["height"], one["bestblock"], one["utxo_root"]) for one in found}
            height = int(found[0]["height"])
            return height if len(tips) == 1 and height >= least else 0

        return until(f"equal roots at {least} or above", probe, seconds)


class ProcessCase(SynchronousTestCase):
    """Tests that name the same network share its connected nodes.

    They end with the last of its tests, or when a test of another network begins: of two workers that share
    the tests, neither knows which is its last, and nodes that idle take time from all others.
    """

    network: ClassVar[str] = "shared"
    nodes: ClassVar[int] = 3
    """How many there are; equal for all that share a network."""
    settings: ClassVar[Mapping[int, Sequence[str]]] = MappingProxyType({})
    """What the command line says, by node; equal for all that share a network."""
    _worlds: ClassVar[dict[str, ProcessWorld]] = {}
    _done: ClassVar[set[str]] = set()

    @property
    def world(self) -> ProcessWorld:
        return self._worlds[self.network]

    def setUp(self) -> None:
        if self.network not in self._worlds:
            while self._worlds:
                self._worlds.popitem()[1].stop()
            world = ProcessWorld(Path(self.mktemp()), self.nodes, settings=self.settings)
            atexit.register(world.stop)
            self.prepare(world)
            world.start(*world.numbers)
            world.wait_connected()
            # With the first payment a node loads and reserves what it needs: only then is its memory a figure to compare.
            world.wait_confirmed(world.pay())
            self._worlds[self.network] = world

    def prepare(self, world: ProcessWorld) -> None:
        """What a new network gets before its nodes start."""

    def run(self, result: Any) -> Any:
        try:
            return super().run(result)
        finally:
            self._done.add(self.id())
            if self._tests_of(self.network) <= self._done and self.network in self._worlds:
                self._worlds.pop(self.network).stop()

    @staticmethod
    def _tests_of(network: str) -> set[str]:
        """The ids of every test that is loaded and shares this network."""
        found = set()
        classes = [ProcessCase]
        for one in classes:
            classes.extend(one.__subclasses__())
            if one.network == network:
                names = [name for name in dir(one) if name.startswith("test")]
                found |= {f"{one.__module__}.{one.__qualname__}.{name}" for name in names}
        return found

    def directory(self) -> Path:
        """A new, empty directory."""
        path = Path(self.mktemp()).absolute()
        path.mkdir(parents=True)
        return path

    def assert_undisturbed(self) -> None:
        """A payment is final, no session between the nodes was ever lost, nothing raised."""
        self.world.wait_final(self.world.pay())
        for number in self.world.numbers:
            self.assertEqual(self.world.metric(number, "timed_reconnects"), 0, f"node {number}")
            self.assertEqual(self.world.metric(number, "timed_faults"), 0, f"node {number}")
            self.assertNotIn("Traceback", self.world.log(number))
        self.world.wait_connected()

    def assert_flat(self, before: dict[int, float], megabytes: float) -> None:
        """No process has grown by more than so many megabytes since `before`."""
        after = self.world.memory_mb()
        for number, size in after.items():
            self.assertLess(
                size - before[number], megabytes, f"node {number}: {before[number]:.1f} to {size:.1f} MB"
            )


class Intruder:
    """One connection to a node: TCP, TLS with any key or none, frames, or a whole session."""

    def __init__(self, plan: NodePlan) -> None:
        self.plan = plan
        self.socket: Any = socket.create_connection((HOST, plan.p2p_port), timeout=CALL_S)
        self.reader = FrameReader(
            REGTEST.magic, limit_for=lambda number: 8 * 1024 * 1024, unpack=Packing().unpack
        )
        self.heard: list[Message] = []
        self.gone = False

    def close(self) -> None:
        self.gone = True
        self.socket.close()

    def wrap(self, identity: Path | None) -> Intruder:
        """TLS with the certificate in this file, or with none."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if identity is not None:
            context.load_cert_chain(identity)
        self.socket = context.wrap_socket(self.socket)
        return self

    def send(self, data: bytes) -> None:
        """Write all of it; what the node does not want to hear any more is dropped."""
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
            self.gone = True

    def say(self, message: Message, magic: bytes = REGTEST.magic, **options: Any) -> None:
        number, payload = encode_message(message)
        self.send(b"".join(frames_of(magic, number, payload, **options)))

    def receive(self, seconds: float) -> bytes:
        """What is there within this time; empty when nothing is, or the end has come."""
        pending = self.socket.pending() if isinstance(self.socket, ssl.SSLSocket) else 0
        if not pending and not select.select([self.socket], [], [], seconds)[0]:
            return b""
        try:
            data: bytes = self.socket.recv(65_536)
        except (ConnectionResetError, ssl.SSLError) as error:
            if isinstance(error, ssl.SSLWantReadError):
                return b""
            data = b""
        except OSError as error:
            if error.errno not in (errno.ECONNABORTED, errno.EPIPE):
                raise
            data = b""
        self.gone = self.gone or not data
        return data

    def listen(self, kind: type[T], seconds: float = WAIT_S) -> T:
        """The next message of this class."""

        def probe() -> T | None:
            for message in self.heard:
                if isinstance(message, kind):
                    self.heard.remove(message)
                    return message
            for frame in self.reader.feed(self.receive(POLL_S)):
                self.heard.append(decode_message(frame.number, frame.payload))
            if self.gone and not self.heard:
                raise TimedOut(f"the node closed the connection before a {kind.__name__}")
            return None

        return until(f"a {kind.__name__}", probe, seconds)  # type: ignore[return-value]

    def wait_closed(self, seconds: float = WAIT_S) -> list[Message]:
        """Until the node has ended the connection; what it said before."""

        def probe() -> bool:
            for frame in self.reader.feed(self.receive(POLL_S)):
                self.heard.append(decode_message(frame.number, frame.payload))
            return self.gone

        until("the node closes", probe, seconds)
        return self.heard


def greeting_of(plan: NodePlan, identity: Path) -> Handshake:
    """What a node says first to whoever comes with this certificate."""
    intruder = Intruder(plan).wrap(identity)
    try:
        return intruder.listen(Handshake)
    finally:
        intruder.close()


class Session:
    """A peer of a node that runs the production sessions over a blocking socket."""

    def __init__(self, plan: NodePlan, key: SigningKey, directory: Path, genesis: bytes) -> None:
        self.plan = plan
        identity = Identity(
            params=REGTEST, genesis_hash=genesis, node_key=key, operator_key=None, software="intruder",
            listen_port=0, boot=1,
        )  # fmt: skip
        self.line = Intruder(plan).wrap(certificate_file(directory, key))
        self.table = PeerTable(identity, random.Random(1), lambda: (0, bytes(32)), discover=False)
        self.incoming: list[Incoming] = []
        self.reason = ""
        self.open = False
        self._run(self.table.connected(1, True, plan.node_id, HOST, plan.p2p_port, self._now()))
        until("the session opens", lambda: self.turn() and self.open)

    def turn(self, seconds: float = POLL_S) -> bool:
        """Write what is queued, read what is there; always true."""
        for action in self.table.drain(self._now()):
            if isinstance(action, Write):
                self.line.send(action.data)
                self.table.drained(1, self._now())
            elif isinstance(action, Close):
                self.line.close()
        if not self.line.gone and (data := self.line.receive(seconds)):
            self._run(self.table.received(1, data, self._now()))
        self._run(self.table.tick(self._now()))
        return True

    def say(self, *messages: Message) -> None:
        for message in messages:
            self.table.send_to_peer(self.plan.node_id, message)
        self.turn(0)

    def ask(self, message: Message, seconds: float = WAIT_S) -> Any:
        """The reply to a question."""
        number = self.table.request(self.plan.node_id, message, self._now())

        def answer() -> Any:
            self.turn()
            return next(
                (one.message for one in self.incoming if one.is_reply and one.request_id == number), None
            )

        return until(f"the answer to {message.message_type()}", answer, seconds)

    def leave(self) -> None:
        """Say Goodbye, so that the node counts no lost session.

        The node hangs up: closing here with something unread resets the connection, and a
        Goodbye that the node has not read yet is gone with it.
        """
        if not self.line.gone:
            self.table.stop(self._now())
            for action in self.table.drain(self._now()):
                if isinstance(action, Write):
                    self.line.send(action.data)
            until("the node hangs up", lambda: self.line.receive(POLL_S) is not None and self.line.gone)
        self.line.close()

    def _run(self, deliveries: Iterable[Any]) -> None:
        for one in deliveries:
            if isinstance(one, Incoming):
                self.incoming.append(one)
            elif isinstance(one, Opened):
                self.open = True
            elif isinstance(one, Closed):
                self.open, self.reason = False, one.reason

    @staticmethod
    def _now() -> int:
        return time.time_ns() // 1_000


def certificate_file(directory: Path, key: SigningKey) -> Path:
    """The PEM file of a node key, made once."""
    path = directory / f"{key.public.hex()[:16]}.pem"
    if not path.exists():
        identity = TlsIdentity.from_key(key)
        write_pem(path, identity.certificate, identity.private_key)
    return path


def write_pem(path: Path, certificate: x509.Certificate, private_key: Any) -> Path:
    """Certificate and private key in one file, as Python's ssl reads it."""
    plain = private_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(plain + certificate.public_bytes(serialization.Encoding.PEM))
    return path
