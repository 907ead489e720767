"""The load of `timed-bench rpc`, its long chain, and what is made of what it found."""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.builders import genesis as regtest_genesis
from timed.bench import bareweb, httpload, longchain, rpc, rpccrowd, visitors
from timed.bench.processes import environment
from timed.client import message
from timed.client.errors import RpcFailure
from timed.client.testing import PASSWORD, USER, FakeNode, Refusal
from timed.crypto.rule import verify
from timed.errors import LocalError
from timed.ledger.ledger import Ledger
from timed.ledger.regtest import well_known_key
from timed.primitives.block import Block
from timed.primitives.certificate import BlockCertificate
from timed.rpc.table import METHODS
from timed.store.memory import MemoryStore
from timed.testnet.freeports import free_ports
from timed.testnet.layout import make_network

DEADLINE_S = 120
AUTHORIZATION = message.authorization(USER, PASSWORD)


class LoadTests(SynchronousTestCase):
    """The clients beside a server that counts what it was asked."""

    def start(self, node: FakeNode, clients: int, methods: tuple[str, ...] = ("a", "b")) -> httpload.Orders:
        node.__enter__()
        self.addCleanup(node.__exit__, None, None, None)
        orders = httpload.Orders()
        asked = [json.dumps(message.request(number, name, [])) for number, name in enumerate(methods)]
        opened = orders.carry_out(
            {
                "open": "node", "port": node.location.port, "clients": clients,
                "authorization": AUTHORIZATION, "bodies": asked,
            }
        )  # fmt: skip
        self.assertEqual(opened, clients)
        self.addCleanup(orders.carry_out, {"shut": "node"})
        return orders

    def test_every_client_asks_again_until_the_time_is_over(self) -> None:
        node = FakeNode({"a": 1, "b": "x"})
        found = self.start(node, 3).carry_out({"closed": "node", "seconds": 1.0})
        self.assertEqual((found["wrong"], found["lost"]), (0, 0))
        self.assertGreaterEqual(len(found["delays"]), 1)
        # What was under way at the end was answered, and is not counted.
        under_way = len(node.calls) - len(found["delays"])
        self.assertTrue(0 <= under_way <= 3, under_way)
        self.assertEqual({name for name, _ in node.calls}, {"a", "b"})

    def test_a_paced_load_is_posted_whole_and_always_the_same(self) -> None:
        counts = []
        for _ in range(2):
            node = FakeNode({"a": 1, "b": 2})
            found = self.start(node, 2).carry_out({"paced": "node", "seconds": 0.2, "rate": 200})
            self.assertEqual((len(found["delays"]), found["wrong"], found["lost"]), (len(node.calls), 0, 0))
            counts.append(len(node.calls))
        self.assertEqual(counts[0], counts[1])
        self.assertGreater(counts[0], 20)

    def test_what_is_no_result_is_counted_as_wrong(self) -> None:
        node = FakeNode({"a": RpcFailure(-1, "no", {"rule": "x", "hint": "y"})})
        found = self.start(node, 1, ("a",)).carry_out({"paced": "node", "seconds": 0.1, "rate": 100})
        self.assertEqual((len(found["delays"]), found["wrong"]), (len(node.calls), len(node.calls)))
        node = FakeNode({"a": 1}, [Refusal(503)] * 2)
        found = self.start(node, 1, ("a",)).carry_out({"paced": "node", "seconds": 0.1, "rate": 100})
        self.assertEqual((found["wrong"], len(found["delays"]) - len(node.calls)), (2, 2))

    def test_a_connection_that_ends_is_counted_as_lost(self) -> None:
        """A server that takes a request and hangs up."""
        server = socket.create_server((httpload.HOST, 0))
        self.addCleanup(server.close)

        def hang_up() -> None:
            connection, _ = server.accept()
            connection.recv(1 << 16)
            connection.close()

        thread = threading.Thread(target=hang_up, daemon=True)
        thread.start()
        clients = httpload.Clients(server.getsockname()[1], 1, [httpload.post("{}", "")])
        found = clients.closed(30.0)
        thread.join()
        self.addCleanup(clients.shut)
        self.assertEqual((found.delays, found.lost, found.ended), ([], 1, 1))
        self.assertEqual(clients.closed(0.05).ended, 0)

    def test_answers_come_in_any_pieces(self) -> None:
        ours, theirs = socket.socketpair()
        self.addCleanup(theirs.close)
        self.addCleanup(ours.close)
        connection = httpload.Connection.__new__(httpload.Connection)
        connection.__dict__.update(
            socket=ours, _posts=[b"x"], _next=0, _received=b"", _size=0, due=0, good=False
        )
        answer = b'HTTP/1.1 200 OK\r\nContent-Type: x\r\nContent-LENGTH: 12\r\n\r\n{"result":1}'
        for at in range(len(answer) - 1):
            theirs.send(answer[at : at + 1])
            self.assertFalse(connection.receive())
        theirs.send(answer[-1:])
        self.assertTrue(connection.receive())
        self.assertTrue(connection.good)
        theirs.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        self.assertRaises(LocalError, connection.receive)

    def test_clients_may_come_from_many_addresses(self) -> None:
        self.assertEqual(len({httpload.host(number) for number in range(1000)}), 1000)
        server = socket.create_server(("0.0.0.0", 0))
        self.addCleanup(server.close)
        clients = httpload.Clients(server.getsockname()[1], 4, [b"x"], 3)
        self.addCleanup(clients.shut)
        accepted = [server.accept() for _ in range(4)]
        for connection, _ in accepted:
            connection.close()
        self.assertEqual(
            [address[0] for _, address in accepted], ["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.1"]
        )
        with self.assertRaises(LocalError):
            httpload.Clients(server.getsockname()[1], 1, [b"x"], httpload.MOST_HOSTS + 1)


class VisitorTests(SynchronousTestCase):
    """The administrator's visits, and connections that only stand there."""

    def test_each_visit_is_a_connection_and_a_call(self) -> None:
        with FakeNode({"a": 1}) as node:
            order = {
                "visit": node.location.port, "authorization": AUTHORIZATION, "seconds": 0.1, "rate": 100,
                "body": json.dumps(message.request(1, "a", [])),
            }  # fmt: skip
            found = visitors.Visitors().carry_out(order)
            wrong = visitors.Visitors().carry_out({**order, "authorization": "Basic x"})
        self.assertEqual(
            (len(found["delays"]), found["wrong"], found["lost"], len(node.calls)), (10, 0, 0, 10)
        )
        self.assertEqual((len(wrong["delays"]), wrong["wrong"]), (10, 10))

    def test_a_visit_to_nobody_is_lost(self) -> None:
        [port] = free_ports(1)
        found = visitors.Visitors().visit(port, b"x", 0.02, 100)
        self.assertEqual((found.delays, found.lost), ([], 2))

    def test_idle_connections_are_counted_and_those_that_were_ended(self) -> None:
        server = socket.create_server((httpload.HOST, 0))
        self.addCleanup(server.close)
        idle = visitors.Visitors()
        port = server.getsockname()[1]
        self.assertEqual(idle.carry_out({"idle": port, "connections": 3}), 3)
        accepted = [server.accept()[0] for _ in range(3)]
        self.assertEqual(idle.carry_out({"ended": True}), 0)
        accepted[0].close()
        self.assertEqual(idle.carry_out({"ended": True}), 1)
        self.assertEqual(idle.carry_out({"idle": port, "connections": 1}), 4)
        self.assertEqual(idle.carry_out({"leave": True}), 3)
        self.assertEqual(idle.carry_out({"idle": port, "connections": 1}), 1)
        self.assertEqual(idle.carry_out({"leave": True}), 1)
        for each in accepted[1:]:
            each.close()


class BareServer(SynchronousTestCase):
    def test_the_constant_is_a_result_of_the_size_asked_for(self) -> None:
        for size in (41, 100, 5000):
            body = bareweb.body_of(size)
            self.assertEqual(len(body), size)
            self.assertEqual(set(json.loads(body)), {"jsonrpc", "result", "id"})
        self.assertEqual(json.loads(bareweb.body_of(1))["result"], "")


class LongChain(SynchronousTestCase):
    def test_the_blocks_are_certified_and_every_rule_holds(self) -> None:
        start = regtest_genesis(1)
        operator = well_known_key("operator", 1)
        store = MemoryStore()
        store.commit(start.commit())
        longchain.extend(store, start, operator, 5, ())
        other = MemoryStore()
        other.commit(start.commit())
        follower = Ledger(other, start)
        for height in range(1, 6):
            raw, certificate = store.block(height), store.certificate(height)
            assert raw is not None and certificate is not None
            block, proof = Block.decode(raw), BlockCertificate.decode(certificate)
            (item,) = proof.signature_items(follower.roster(height))
            self.assertTrue(verify(*item))
            commit = follower.evaluate(block).commit(proof)
            other.commit(commit)
            follower.advance(commit)
        self.assertEqual(follower.tip.height, 5)

    def test_the_genesis_is_as_old_as_the_chain(self) -> None:
        directory = Path(self.mktemp())
        plan = make_network(directory, 1, 1, 5)
        genesis = longchain.backdate(plan, 7)
        longchain.grow(plan, genesis, 7)
        with self.assertRaises(LocalError):
            longchain.grow(make_network(Path(self.mktemp()), 2, 2, 5), genesis, 1)
        self.assertTrue(os.path.isdir(plan.nodes[0].datadir / "chain"))


def side(per_s: list[float], p99: float = 1.0) -> rpc.Side:
    return rpc.Side(per_s, 100.0, 0.5, p99, 10)


class Findings(SynchronousTestCase):
    def beside(self, name: str, node: list[float], bare: list[float], p99: float = 1.0) -> rpc.Beside:
        return rpc.Beside(name, side(node, p99), side(bare))

    def test_only_turns_beside_each_other_are_compared(self) -> None:
        """The machine slowed down to a tenth in between, and the share does not show it."""
        found = self.beside("1", [80.0, 8.0, 70.0], [100.0, 10.0, 100.0])
        self.assertAlmostEqual(found.share, 0.8)
        self.assertAlmostEqual(found.spread, 0.1 / 0.8)

    def test_a_turn_may_be_longer_than_an_answer_usually_takes(self) -> None:
        waited: list[float] = []

        class Clients:
            def __init__(self, module: str) -> None:
                """It answers at once."""

            async def ask(self, order: object, seconds: float = 0.0) -> dict[str, Any]:
                waited.append(seconds)
                return {"delays": [1], "wrong": 0, "lost": 0}

        self.patch(rpc, "Child", Clients)
        server = rpc.Server(rpc.NODE, 1, 1)
        asking = rpc.Bench(argparse.Namespace())._ask(server, {"seconds": 90.0}, "closed")
        self.successResultOf(Deferred.fromCoroutine(asking))
        self.assertGreater(waited[0], 90.0 + httpload.DRAIN_S)

    def test_the_keys_of_the_last_line(self) -> None:
        found = [self.beside(str(count), [70.0 + count], [100.0], 10.0 + count) for count in rpc.CLIENTS]
        options = argparse.Namespace(seconds=1.0, runs=1)
        made = rpc.outcome(
            options, found, self.beside("b", [5.0], [9.0]), self.beside("s", [3.0], [9.0], 51.0), 12
        )
        wanted = {
            "share_of_bare": 0.71, "req_per_s": 270, "p99_ms_1": 11.0, "p99_ms_20": 30.0, "p99_ms_200": 210.0,
            "p99_ms_20_syncing": 51.0, "batch_calls_per_s": 100, "blocks_while_syncing": 12,
        }  # fmt: skip
        self.assertEqual({name: made.figures[name] for name in wanted}, wanted)
        self.assertEqual([goal.reached for goal in made.goals], [True, False, False])

    def test_every_call_is_light_and_there(self) -> None:
        for name, params in rpc.CALLS:
            self.assertEqual((METHODS[name].cost, METHODS[name].permission), (1, "read"), name)
            self.assertLessEqual(len(params), len(METHODS[name].params))
        self.assertEqual([len(json.loads(body)) for body in rpc.bodies(20)], [20] * len(rpc.CALLS))

    def test_the_account_of_the_clients_is_an_ordinary_one(self) -> None:
        section: Any = rpc.account()
        self.assertIn(f"roles = {rpc.USER}:read\n", section)
        self.assertNotIn(rpc.PASSWORD, section)

    def test_the_crowd_is_judged_once_everybody_is_there(self) -> None:
        """What the administrator met while all of them came is shown, and no goal."""

        def stretch(name: str, p99: float, lost: int = 0) -> rpccrowd.Stretch:
            return rpccrowd.Stretch(name, [1.0, p99], lost, 5.0, 2, 10, 3, 4, 60.0)

        found = [
            stretch("alone", 1.0),
            stretch("busy", 90.0),
            stretch("idle", 101.0),
            stretch("arriving", 999.0, 1),
        ]
        made = rpccrowd.outcome(argparse.Namespace(busy=1, idle=10), found, 7, 0)
        self.assertEqual([goal.reached for goal in made.goals], [True, False, False, True])
        wanted = {
            "admin_p99_ms_busy": 90.0, "admin_p99_ms_idle": 101.0, "admin_p50_ms_arriving": 1.0,
            "admin_lost_arriving": 1, "idle_ended_idle": 3, "busy_ended_busy": 2, "connections_refused": 7,
        }  # fmt: skip
        self.assertEqual({name: made.figures[name] for name in wanted}, wanted)
        self.assertEqual({len(row) for row in made.rows}, {len(made.columns)})


class RealProcess(SynchronousTestCase):
    def test_a_small_crowd_around_a_real_node(self) -> None:
        words = [
            "rpc",
            "--crowd",
            "--busy",
            "6",
            "--idle",
            "40",
            "--connections",
            "16",
            "--stretch-seconds",
            "0.3",
        ]
        done = subprocess.run(
            [sys.executable, "-m", "timed.bench.main", *words, "--json"],
            capture_output=True, text=True, timeout=DEADLINE_S, check=False, env=environment(),
        )  # fmt: skip
        self.assertEqual(done.returncode, 0, done.stderr)
        found = json.loads(done.stdout.splitlines()[-1])
        for name in ("alone", "busy", "idle", "both"):
            self.assertEqual(found[f"admin_lost_{name}"], 0, name)
            self.assertGreater(found[f"admin_p99_ms_{name}"], 0, name)
        self.assertGreater(found["busy_per_s_busy"], 0)
        # Of forty that say nothing, those that stay have a place; each call of the administrator needs one, too.
        self.assertGreaterEqual(found["idle_ended_idle"], 40 - 16)
        self.assertLessEqual(found["connections_idle"], 16)
        self.assertGreaterEqual(found["connections_refused"], found["idle_ended_arriving"])
        self.assertLessEqual(found["descriptors_left"], rpccrowd.GOAL_DESCRIPTORS)
