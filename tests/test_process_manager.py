"""A node under a service manager (sd_notify(3)): what it is told, how it stops, and what a hang looks like."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from unittest import mock

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.process_world import WAIT_S, ProcessWorld, until
from timed.testnet.process import twistd

WATCHDOG_S = 1.5
SILENCE_S = 2 * WATCHDOG_S
"""A manager that hears nothing for this long would have killed the node."""

PLUGIN = '''
"""A service that hangs the reactor on SIGUSR1 until a pipe is opened, and never stops after SIGUSR2."""

import signal

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.plugin import IPlugin
from zope.interface import implementer

from timed.interfaces import IServiceMaker


class Stubborn(Service):
    def __init__(self, reactor):
        self.setName("stubborn")
        self.reactor = reactor
        self.never = False

    def startService(self):
        super().startService()
        signal.signal(signal.SIGUSR1, lambda *_: self.reactor.callFromThread(self.hang))
        signal.signal(signal.SIGUSR2, lambda *_: setattr(self, "never", True))

    def hang(self):
        with open({pipe!r}, "rb") as pipe:
            pipe.read()

    def stopService(self):
        super().stopService()
        return Deferred() if self.never else None


@implementer(IPlugin, IServiceMaker)
class Maker:
    name = "stubborn"
    order = 90

    def make(self, context):
        return Stubborn(context.reactor)


maker = Maker()
'''


class Manager:
    """The manager's end of the socket: messages in the order they came."""

    def __init__(self, path: Path) -> None:
        # The path of a temporary directory may be too long for a socket.
        self.name = f"timed-manager-{os.getpid()}-{id(path)}"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(f"\0{self.name}")
        self.heard: list[str] = []

    def environment(self) -> dict[str, str]:
        return {"NOTIFY_SOCKET": f"@{self.name}", "WATCHDOG_USEC": str(round(WATCHDOG_S * 1_000_000))}

    def listen(self, seconds: float) -> bool:
        """False when nothing comes for so long."""
        self.socket.settimeout(seconds)
        try:
            self.heard.append(self.socket.recv(1000).decode())
        except TimeoutError:
            return False
        return True

    def wait_for(self, start: str, seconds: float = WAIT_S) -> str:
        """The next message that begins so; what came before is kept in `heard`."""
        deadline = time.monotonic() + seconds
        while self.listen(max(0.01, deadline - time.monotonic())):
            if self.heard[-1].startswith(start):
                return self.heard[-1]
        raise AssertionError(f"no {start} within {seconds} s; heard {self.heard[-10:]}")

    def drain(self) -> None:
        while self.listen(0.01):
            if len(self.heard) > 10_000:
                raise AssertionError("it never ends")


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise SkipTest(f"{name} is not installed (apt-get install strace systemd)")
    return found


class TheSandbox(SynchronousTestCase):
    """What cannot be tried without systemd as process 1: the filter, against what a node really calls."""

    def allowed(self) -> set[str]:
        """The calls that `timed.service` leaves to a node, as systemd itself resolves their groups."""
        listed = subprocess.run(
            [tool("systemd-analyze"), "syscall-filter"], capture_output=True, text=True, check=True
        ).stdout
        groups: dict[str, set[str]] = {}
        for line in listed.splitlines():
            word = line.strip()
            if line.startswith("@"):
                inside = groups.setdefault(word, set())
            elif line.startswith("    ") and not word.startswith("#"):
                inside.add(word)

        def calls(name: str) -> set[str]:
            if not name.startswith("@"):
                return {name}
            return set().union(*(calls(each) for each in groups[name]))

        unit = Path(__file__).resolve().parent.parent / "etc" / "systemd" / "timed.service"
        first, *rest = re.findall("^SystemCallFilter=(.*)$", unit.read_text(), re.MULTILINE)
        found = set().union(*map(calls, first.split()))
        for line in rest:
            self.assertTrue(line.startswith("~"))
            found -= set().union(*map(calls, line[1:].split()))
        return found | calls("@default")

    def test_every_call_of_a_node_passes_the_filter(self) -> None:
        """Start, a payment to the last stage, a scrape, and an orderly stop."""
        allowed = self.allowed()
        directory = Path(self.mktemp()).absolute()
        if subprocess.run([tool("strace"), "true"], check=False, capture_output=True).returncode:
            raise SkipTest("strace may not trace here")
        world = ProcessWorld(directory, nodes=1)
        self.addCleanup(world.stop)
        counts = directory / "calls"
        tracer = [tool("strace"), "-f", "-c", "-qq", "-o", str(counts)]
        program = directory / "traced"
        program.write_text(f'#!/bin/sh\nexec {shlex.join([*tracer, twistd()])} "$@"\n')
        program.chmod(0o755)
        with mock.patch("timed.testnet.process.twistd", lambda: str(program)):
            world.start(1)
        until("the node answers", lambda: world.call(1, "getblockcount") >= 0)
        world.wait_final(world.pay(1, 1), 1)
        self.assertGreater(len(world.samples(1)), 100)
        world.call(1, "stop")
        self.assertTrue(world.processes[1].wait(WAIT_S))
        self.assertIn("stopped in good order", world.log(1))
        used = set(
            re.findall(r"^ *[\d.]+ +[\d.]+ +\d+ +\d+ +(?:\d+ +)?(\w+)$", counts.read_text(), re.MULTILINE)
        )
        self.assertGreater(len(used), 40)
        self.assertEqual(used - {"total"} - allowed, set())


class UnderAManager(SynchronousTestCase):
    def setUp(self) -> None:
        directory = Path(self.mktemp()).absolute()
        self.world = ProcessWorld(
            directory, nodes=1, settings={1: ["services.enabled=chain p2p rpc monitor stubborn"]}
        )
        self.addCleanup(self.world.stop)
        self.manager = Manager(directory)
        self.addCleanup(self.manager.socket.close)
        plugins = directory / "extra" / "timed" / "plugins"
        plugins.mkdir(parents=True)
        self.pipe = directory / "pipe"
        os.mkfifo(self.pipe)
        (plugins / "timed_stubborn.py").write_text(PLUGIN.replace("{pipe!r}", repr(str(self.pipe))))
        self.extra = directory / "extra"

    def start(self) -> None:
        real = os.environ.get("PYTHONPATH", "")
        with mock.patch.dict(os.environ, self.manager.environment()):
            root = str(Path(__file__).resolve().parent.parent)
            with mock.patch("tests.process_world.ROOT", f"{root}:{self.extra}"):
                self.world.start(1)
        self.assertEqual(os.environ.get("PYTHONPATH", ""), real)

    def send(self, number: int) -> None:
        self.world.processes[1].signal(number)

    def hang(self) -> int:
        """The reactor reads from the pipe, without end; it goes on when the descriptor is closed."""
        self.send(signal.SIGUSR1)
        return until("the node hangs", self.writing)

    def writing(self) -> int:
        """OSError while nobody reads."""
        return os.open(self.pipe, os.O_WRONLY | os.O_NONBLOCK)

    def test_its_life_as_the_manager_sees_it(self) -> None:
        """Ready when it answers; a status; beats while it lives, none while it hangs; stops with all on disk."""
        world, manager = self.world, self.manager
        self.start()
        manager.wait_for("READY=1")
        self.assertGreaterEqual(world.call(1, "getblockcount"), 0)
        self.assertRegex(manager.wait_for("STATUS="), r"^STATUS=height \d+, 0 peers: ")
        for _ in range(3):
            manager.wait_for("WATCHDOG=1")

        held = self.hang()
        manager.drain()
        self.assertFalse(manager.listen(SILENCE_S))
        os.close(held)
        manager.wait_for("WATCHDOG=1")

        txid = world.pay(1, 1)
        world.wait_final(txid, 1)
        self.send(signal.SIGTERM)
        manager.wait_for("STOPPING=1")
        self.assertTrue(world.processes[1].wait(WAIT_S), world.log(1)[-2000:])
        # twistd ends by the signal itself once everything has stopped.
        self.assertEqual(world.processes[1].exit_status, -signal.SIGTERM)
        self.assertEqual(world.log(1).count("stopped in good order"), 1)
        manager.drain()
        self.assertEqual(manager.heard.count("READY=1"), 1)
        self.assertEqual(manager.heard[-1], "STOPPING=1")

        self.start()
        manager.wait_for("READY=1")
        self.assertIn(world.state(1, txid), ("final", "confirmed"))

    def test_a_second_signal_ends_what_does_not_stop(self) -> None:
        """A service that never stops, and then a reactor that hangs; nothing that was said is lost."""
        world, manager = self.world, self.manager
        self.start()
        manager.wait_for("READY=1")
        txid = world.pay(1, 1)
        world.wait_final(txid, 1)
        self.send(signal.SIGUSR2)
        self.send(signal.SIGTERM)
        manager.wait_for("STOPPING=1")
        self.assertTrue(world.processes[1].alive)
        self.send(signal.SIGTERM)
        self.assertTrue(world.processes[1].wait(WAIT_S))
        self.assertNotIn("stopped in good order", world.log(1))

        self.start()
        manager.wait_for("READY=1")
        self.assertIn(world.state(1, txid), ("final", "confirmed"))
        self.addCleanup(os.close, self.hang())
        manager.drain()
        self.send(signal.SIGTERM)
        self.assertFalse(manager.listen(SILENCE_S))
        self.assertTrue(world.processes[1].alive)
        self.send(signal.SIGTERM)
        self.assertTrue(world.processes[1].wait(WAIT_S))
        self.assertNotIn("stopped in good order", world.log(1))
