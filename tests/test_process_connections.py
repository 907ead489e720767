"""More connections than there is room for, against one of three real nodes: the places of others stay theirs."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections import deque
from typing import Any, ClassVar

from tests.process_world import CALL_S, ROOT, ProcessCase, ProcessWorld, until
from timed.bench.follower import address_of
from timed.bench.host import node_key
from timed.bench.processes import descriptors
from timed.peer.limits import RESERVED_INBOUND
from timed.testnet.layout import HOST

VICTIM = 1
MAX_INBOUND = 25
SETTINGS = f"[p2p]\nmax_inbound = {MAX_INBOUND}\ntrust_loopback = no\n"
CONNECTS = 10_000
HELD = 1_000
"""Connections that are open at one time."""
HONEST = 3
DIALS = 20
"""What an honest newcomer needs at most to get in: one who is crowded out before it has spoken comes again."""
CLIENTS = 500
IDLE = 20
KB_EACH = 64
DESCRIPTORS = 5
"""What is open at one moment and not at another: a connection of RPC, a log."""
SLACK_MB = 4.0
"""What a node's memory moves by without any of this."""


class Clients:
    """Light clients in a process of their own, each from an address of its own (`timed.bench.follower`)."""

    def __init__(self, world: ProcessWorld, first: int) -> None:
        node = world.node(VICTIM)
        genesis = world.call(VICTIM, "getblockchaininfo")["genesishash"]
        settings = {
            "port": node.p2p_port, "node_id": node.node_id.hex(), "genesis": genesis,
            "first": first, "own_addresses": True,
        }  # fmt: skip
        self._process = subprocess.Popen(
            [sys.executable, "-m", "timed.bench.follower", json.dumps(settings)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
            env=dict(os.environ, PYTHONPATH=str(ROOT)),
        )  # fmt: skip

    def say(self, order: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()

    def ask(self, order: dict[str, Any]) -> Any:
        self.say(order)
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def end(self) -> None:
        """Its sessions are gone with it; twice is the same as once."""
        self._process.kill()
        self._process.communicate()


class ConnectionCase(ProcessCase):
    network: ClassVar[str] = "connections"

    def prepare(self, world: ProcessWorld) -> None:
        ini = world.node(VICTIM).ini
        ini.write_text(ini.read_text(encoding="utf-8") + SETTINGS, encoding="utf-8")

    def setUp(self) -> None:
        super().setUp()
        self.pid = self.world.processes[VICTIM].pid or 0
        self.quiet = descriptors(self.pid)
        self.memory = self.world.memory_mb()[VICTIM]
        self.others = {self.world.node(number).node_id.hex() for number in self.world.numbers} - {
            self.world.node(VICTIM).node_id.hex()
        }

    def tearDown(self) -> None:
        """Nothing is left, and the members have noticed nothing."""
        until("descriptors are flat", lambda: descriptors(self.pid) <= self.quiet + DESCRIPTORS)
        self.world.wait_final(self.world.pay())
        self.assertLessEqual(self.others, self.world.peers(VICTIM))
        self.assertEqual(self.world.metric(VICTIM, "timed_faults"), 0)
        self.assertNotIn("Traceback", self.world.log(VICTIM))

    def clients(self, first: int) -> Clients:
        made = Clients(self.world, first)
        self.addCleanup(made.end)
        return made

    def gained_mb(self) -> float:
        return self.world.memory_mb()[VICTIM] - self.memory

    def accounted(self, before: int) -> int:
        """Connections that never became a link, since `before` of them."""
        refused = self.world.refused(VICTIM)
        return sum(count for (what, _), count in refused.items() if what == "connection") - before


class ConnectTests(ConnectionCase):
    def test_ten_thousand_connects_that_say_nothing(self) -> None:
        """Each is accounted for by a name; honest newcomers and payments get through meanwhile."""
        before = self.accounted(0)
        held: deque[socket.socket] = deque()
        honest = self.clients(7_000)
        paid = []
        most_mb = 0.0
        for number in range(CONNECTS):
            held.append(socket.create_connection(
                (HOST, self.world.node(VICTIM).p2p_port), CALL_S, (address_of(number % 4_000), 0)
            ))  # fmt: skip
            if len(held) > HELD:
                held.popleft().close()
            if number == CONNECTS // 2:
                honest.say({"peers": HONEST})
            if number % 2_500 == 0:
                paid.append(self.world.pay())
                most_mb = max(most_mb, self.gained_mb())
        for txid in paid:
            self.world.wait_final(txid)
        names = {node_key(7_000 + number + 1).public.hex() for number in range(HONEST)}
        until("honest newcomers have sessions", lambda: names <= self.world.peers(VICTIM))
        most_mb = max(most_mb, self.gained_mb())
        while held:
            held.popleft().close()
        until("all are accounted for", lambda: self.accounted(before) >= CONNECTS)
        self.assertLessEqual(self.accounted(before), CONNECTS + HONEST * DIALS)
        self.assertLess(most_mb, SLACK_MB + HELD * KB_EACH / 1000)
        self.assertLessEqual(self.others | names, self.world.peers(VICTIM))
        honest.end()

    def test_five_hundred_clients_against_a_limit_of_twenty_five(self) -> None:
        """Members keep their places, and one that was away gets its place back."""
        crowd = self.clients(1_000)
        crowd.say({"peers": CLIENTS})
        until("every place is taken", lambda: len(self.world.peers(VICTIM)) >= MAX_INBOUND)
        self.world.kill(2)
        self.world.restart(2)
        self.world.wait_connected()
        for _ in range(3):
            found = self.world.peers(VICTIM)
            self.assertLessEqual(self.others, found)
            self.assertLessEqual(len(found), MAX_INBOUND + RESERVED_INBOUND + len(self.others))
            self.world.wait_final(self.world.pay())
        until("newcomers were told", lambda: self.world.refused(VICTIM)["session", "full"] > 0)
        self.assertEqual(self.world.call(VICTIM, "listbanned"), [])
        crowd.end()
        until("its places are free", lambda: self.world.peers(VICTIM) == self.others)

    def test_idle_sessions_are_cheap(self) -> None:
        idle = self.clients(9_000)
        self.assertEqual(idle.ask({"peers": IDLE}), IDLE)
        until("the node has them", lambda: len(self.world.peers(VICTIM)) == IDLE + len(self.others))
        self.assertLess(self.gained_mb(), SLACK_MB + IDLE * KB_EACH / 1000)
        idle.end()
        until("they are gone", lambda: self.world.peers(VICTIM) == self.others)
