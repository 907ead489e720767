"""JSON-RPC of a real node: a client that others wrote pays with it, and floods of every kind leave it standing."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar

from twisted.trial.unittest import SkipTest

from tests.process_world import CALL_S, HOST, WAIT_S, ProcessCase, until
from timed.rpc.table import METHODS

try:
    from bitcoinrpc.authproxy import AuthServiceProxy, JSONRPCException
except ImportError:
    AuthServiceProxy = None

VICTIM = 1
GROWTH_MB = 24.0
"""HTTP bodies of a few megabytes pass through; what an attacker leaves behind would be more."""
PLACES = 512
IDLE = 700
"""Connections that say nothing: more than the RPC has places."""


class RpcCase(ProcessCase):
    network = "rpc"
    settings: ClassVar[Mapping[int, Sequence[str]]] = {VICTIM: (f"rpc.max_connections={PLACES}",)}


class BitcoinRpcTests(RpcCase):
    """`python-bitcoinrpc` from PyPI, unchanged."""

    def setUp(self) -> None:
        if AuthServiceProxy is None:
            raise SkipTest("python-bitcoinrpc is not installed (it belongs to the test extras)")
        super().setUp()
        self.payer, self.payee = self.proxy(1), self.proxy(2)

    def proxy(self, number: int) -> Any:
        node = self.world.node(number)
        return AuthServiceProxy(f"http://{node.cookie.read_text()}@{HOST}:{node.rpc_port}", timeout=CALL_S)

    def received(self, txid: str, address: str) -> list[Decimal]:
        """What this transaction paid to an address of the payee, once its wallet has it."""

        def found() -> list[Decimal]:
            coins = self.payee.listunspent()
            return [c["amount"] for c in coins if (c["txid"], c["address"]) == (txid, address)]

        return until("the payee has it", found)

    def test_drives_a_payment(self) -> None:
        self.assertEqual(self.payer.getblockchaininfo()["chain"], "regtest")
        until("both peers", lambda: self.payer.getconnectioncount() == len(self.world.numbers) - 1)
        address = self.payee.getnewaddress()
        txid = self.payer.sendtoaddress(address, Decimal("12.5"))
        until("it is final", lambda: self.payee.waittransactionfinality(txid, 20)["final"])
        self.assertEqual(self.received(txid, address), [Decimal("12.5")])
        self.assertIn(self.payee.gettransaction(txid)["state"], ("final", "confirmed"))
        self.world.wait_confirmed(txid)
        found = self.payee.gettransaction(txid)
        block = self.payee.getblock(found["blockhash"])
        self.assertIn(txid, block["tx"])
        self.assertEqual(block["height"], found["height"])

    def test_builds_signs_and_sends_a_transaction(self) -> None:
        coin = self.payer.listunspent()[0]
        address = self.payee.getnewaddress()
        fee = coin["amount"] / 1000 + Decimal("0.002")
        raw = self.payer.createrawtransaction(
            [{"txid": coin["txid"], "vout": coin["vout"]}],
            {address: (coin["amount"] - fee).quantize(Decimal("0.00000001"))},
        )
        signed = self.payer.signrawtransactionwithwallet(raw)
        self.assertTrue(signed["complete"])
        txid = self.payer.sendrawtransaction(signed["hex"])
        self.assertEqual(self.payee.decoderawtransaction(signed["hex"])["txid"], txid)
        until("it is final", lambda: self.payee.waittransactionfinality(txid, 20)["final"])

    def test_gets_errors_as_exceptions_with_codes(self) -> None:
        for call, code in (
            (lambda: self.payer.getblockhash(10**9), -8),
            (lambda: self.payer.sendtoaddress("nonsense", 1), -5),
            (self.payer.nosuchmethod, -32601),
            (lambda: self.payer.sendtoaddress(self.payee.getnewaddress(), 10**9), -6),
        ):
            with self.assertRaises(JSONRPCException) as caught:
                call()
            self.assertEqual(caught.exception.error["code"], code)


class ProfileTests(RpcCase):
    """`timed-cli profile` on a node that pays meanwhile."""

    def test_a_flame_graph_and_tables_while_the_node_goes_on(self) -> None:
        target = self.directory() / "profile.html"
        command = [
            sys.executable, "-m", "timed.cli.main", "--config", str(self.world.node(1).ini),
            "profile", "--seconds", "2", "--output", str(target),
        ]  # fmt: skip
        running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            until("the profile begins", lambda: self.world.call(1, "getrpcinfo")["active"] > 1)
            self.world.wait_final(self.world.pay())
            while running.poll() is None:
                self.world.call(1, "getblockchaininfo")
            said, _ = running.communicate(timeout=120)
        finally:
            running.kill()
            running.wait()
        self.assertEqual(running.returncode, 0, said)
        self.assertIn("Functions by their own time", said)
        self.assertIn("CPU by type of message", said)
        page = target.read_text(encoding="utf-8")
        for part in ("reactor", "sendtoaddress", "(timed/rpc/", "timed-store-0", 'class="flame"'):
            self.assertIn(part, page)
        self.assertGreaterEqual(self.world.metric(1, "timed_profiles"), 1)


class CurlTests(RpcCase):
    """curl from Debian, as one types it."""

    CALL = '{"jsonrpc": "2.0", "id": %d, "method": "%s", "params": %s}'

    def setUp(self) -> None:
        if shutil.which("curl") is None:
            raise SkipTest("there is no curl here")
        super().setUp()
        self.node = self.world.node(1)

    def curl(self, body: str, *options: str, user: str = "") -> tuple[int, str, str]:
        """(status, headers, body) of one POST; the body goes through a pipe, as a script would write it."""
        account = user or self.node.cookie.read_text()
        done = subprocess.run(
            ["curl", "--silent", "--show-error", "--include", "--max-time", str(CALL_S), "--config", "-",
             "--data-binary", body, *options, f"http://{HOST}:{self.node.rpc_port}/"],
            input=f'user = "{account}"\n', capture_output=True, text=True, timeout=WAIT_S, check=True,
        )  # fmt: skip
        head, _, content = done.stdout.rpartition("\n\n")
        final = head.split("HTTP/1.1 ")[-1]
        return int(final.split()[0]), final.lower(), content

    def test_one_call_and_a_batch(self) -> None:
        status, head, body = self.curl(self.CALL % (1, "getblockcount", "[]"))
        self.assertEqual((status, json.loads(body)["id"]), (200, 1))
        self.assertIn("content-type: application/json", head)
        calls = ",".join(self.CALL % (n, "getblockhash", '{"height": 0}') for n in range(3))
        status, _, body = self.curl(f"[{calls}]")
        self.assertEqual([each["id"] for each in json.loads(body)], [0, 1, 2])
        self.assertEqual(len({each["result"] for each in json.loads(body)}), 1)

    def test_a_body_in_chunks_and_a_compressed_answer(self) -> None:
        for options in (
            ("--header", "Transfer-Encoding: chunked"),
            ("--compressed",),
            ("--header", "Expect: 100-continue"),
        ):
            status, _, body = self.curl(self.CALL % (1, "help", "[]"), *options)
            self.assertEqual(status, 200, options)
            self.assertIn("getblockcount", json.dumps(json.loads(body)["result"]), options)

    def test_two_calls_on_one_connection(self) -> None:
        place = f"http://{HOST}:{self.node.rpc_port}/"
        body = self.CALL % (1, "getconnectioncount", "[]")
        _, _, first = self.curl(body, "--write-out", "%{num_connects}", place)
        self.assertTrue(first.endswith("0"), first)

    def test_refusals_have_the_status_that_http_gives_them(self) -> None:
        body = self.CALL % (1, "getblockcount", "[]")
        self.assertEqual(self.curl(body, user="someone:else")[0], 401)
        self.assertEqual(self.curl(body, "--request", "PUT")[0], 405)
        self.assertEqual(self.curl(body, "--header", "Origin: http://shop.example")[0], 403)
        self.assertEqual(self.curl("{")[0], 400)


class HttpCase(RpcCase):
    def setUp(self) -> None:
        super().setUp()
        self.node = self.world.node(VICTIM)
        self.memory = self.world.memory_mb()
        user = self.node.cookie.read_bytes()
        self.authorization = b"Authorization: Basic " + base64.b64encode(user) + b"\r\n"

    def tearDown(self) -> None:
        self.assert_undisturbed()
        self.assert_flat(self.memory, GROWTH_MB)

    def connect(self) -> socket.socket:
        line = socket.create_connection((HOST, self.node.rpc_port), timeout=CALL_S)
        self.addCleanup(line.close)
        return line

    def post(self, body: bytes, *, known: bool = True, length: int | None = None) -> tuple[int, bytes]:
        """(status, body) of the answer to one POST."""
        line = self.connect()
        head = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n"
        line.sendall(head % (len(body) if length is None else length))
        line.sendall((self.authorization if known else b"") + b"\r\n" + body)
        return self.answer(line)

    @staticmethod
    def answer(line: socket.socket) -> tuple[int, bytes]:
        data = b""
        try:
            while piece := line.recv(65_536):
                data += piece
        except (ConnectionResetError, TimeoutError):
            pass
        head, _, body = data.partition(b"\r\n\r\n")
        return int(head.split(b" ")[1]) if head else 0, body


class BodyTests(HttpCase):
    """Bodies that no parser likes."""

    def test_json_that_is_none_or_too_much(self) -> None:
        call = b'{"jsonrpc":"2.0","id":1,"method":"help","params":%s}'
        for body, code in (
            (b"[" * 100_000, -32700),
            (b"[" * 100_000 + b"]" * 100_000, -32700),
            (b'{"a":' * 50_000 + b"1" + b"}" * 50_000, -32700),
            (call % b"[NaN]", -32700),
            (call % b"[-Infinity]", -32700),
            (call % (b"[" + b"9" * 100_000 + b"]"), -32600),
            (call % b"[1e999999999]", -3),
            (call % b'["\\ud800"]', -32700),
            (b'{"id":1,"id":2,"method":"help"}', -32600),
            (b"\xff\xfe", -32700),
            (b"", -32700),
            (b"[]", -32600),
            (b"[" + b",".join(1_001 * [b"1"]) + b"]", -32600),
            (b"{}", -32600),
        ):
            status, answer = self.post(body)
            self.assertIn(status, (200, 400), body[:60])
            self.assertEqual(json.loads(answer)["error"]["code"], code, body[:60])

    def test_a_batch_of_a_thousand_is_answered_whole(self) -> None:
        calls = [{"jsonrpc": "2.0", "id": n, "method": "getblockcount"} for n in range(1_000)]
        status, answer = self.post(json.dumps(calls).encode())
        self.assertEqual(status, 200)
        self.assertEqual([one["id"] for one in json.loads(answer)], list(range(1_000)))

    def test_a_body_of_a_hundred_megabytes_is_refused_at_its_header(self) -> None:
        for known in (True, False):
            status, _ = self.post(b"x" * 100_000, known=known, length=100_000_000)
            self.assertEqual(status, 413)
        status, _ = self.post(b"x" * 200_000, known=False)
        self.assertEqual(status, 413)

    def test_chunks_without_end_are_refused_as_well(self) -> None:
        line = self.connect()
        line.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            for _ in range(64):
                line.sendall(b"10000\r\n" + bytes(65_536) + b"\r\n")
        except (BrokenPipeError, ConnectionResetError):
            pass
        self.assertIn(self.answer(line)[0], (0, 413))

    def test_headers_that_are_none_or_too_long(self) -> None:
        for data in (
            b"\x00" * 1_000 + b"\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: " + b"9" * 5_000 + b"\r\n\r\n",
            b"POST / HTTP/1.1\r\n" + b"X: " + b"a" * 100_000 + b"\r\n\r\n",
            b"GET " + b"/" * 100_000 + b" HTTP/1.1\r\n\r\n",
            b"POST / HTTP/9.9\r\n\r\n",
        ):
            line = self.connect()
            try:
                line.sendall(data)
                line.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            status, _ = self.answer(line)
            self.assertNotIn(status // 100, (2, 5), data[:40])

    def test_nobody_without_the_cookie_gets_an_answer(self) -> None:
        self.assertEqual(self.post(b'{"id":1,"method":"getblockcount"}', known=False)[0], 401)


class MethodTests(HttpCase):
    """Issue 2, 4: every method with missing, wrong-typed and absurd arguments."""

    ABSURD: tuple[Any, ...] = (
        None, True, -1, 2**63, 10**30, 0.5, "", "x" * 300, "00" * 32, "é\u0000", [], {}, [[[]]], {"a": {}},
        [None] * 2_000, "TIMER" + "1" * 34, "-1", "1e400",
    )  # fmt: skip

    def test_gives_an_error_or_an_answer_but_never_an_internal_error(self) -> None:
        for method in sorted(METHODS):
            if method in ("stop", "waittransactionfinality", "waitforblockheight", "encryptwallet"):
                continue
            calls = [[], *([value] for value in self.ABSURD), *([value, value] for value in self.ABSURD)]
            calls += [[value] * 4 for value in self.ABSURD] + [{"nosuch": 1}, {"": None}]
            batch = [{"jsonrpc": "2.0", "id": n, "method": method, "params": p} for n, p in enumerate(calls)]
            status, answer = self.post(json.dumps(batch).encode())
            self.assertEqual(status, 200, method)
            for one in json.loads(answer):
                error = one.get("error")
                if error is not None:
                    self.assertNotEqual(error["code"], -32603, (method, calls[one["id"]], error))
                    self.assertTrue(error["message"])


class ConnectionTests(HttpCase):
    """Connections that take places and give nothing."""

    def test_more_idle_ones_than_there_are_places(self) -> None:
        idle = [self.connect() for _ in range(IDLE)]
        for line in idle[-100:]:
            line.sendall(b"POST / HTTP/1.1\r\nHost: x\r\n")
        others = len(self.world.numbers) - 1
        until("both peers", lambda: self.world.call(VICTIM, "getconnectioncount") == others)
        self.assertLessEqual(self.world.metric(VICTIM, "timed_rpc_connections"), PLACES)

    def test_a_body_that_never_ends_holds_up_nobody(self) -> None:
        line = self.connect()
        line.sendall(
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n" + self.authorization + b"\r\n["
        )
        for _ in range(20):
            self.world.call(VICTIM, "getblockcount")
            line.sendall(b" ")

    def test_payments_become_final_while_others_ask_without_end(self) -> None:
        stop = threading.Event()
        answered = []

        def flood() -> None:
            body = json.dumps(200 * [{"id": 1, "method": "getblockchaininfo"}]).encode()
            while not stop.is_set():
                answered.append(self.post(body)[0])

        threads = [threading.Thread(target=flood, daemon=True) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(3):
                self.world.wait_final(self.world.pay())
        finally:
            stop.set()
            for thread in threads:
                thread.join(WAIT_S)
        self.assertEqual(set(answered), {200})
