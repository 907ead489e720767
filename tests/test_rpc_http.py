"""The HTTP side on real loopback: credentials, bounds, keep-alive, and foreign clients."""

from __future__ import annotations

import http.client
import json
import os
import socket
import stat
from decimal import Decimal
from pathlib import Path
from typing import Any

from bitcoinrpc.authproxy import AuthServiceProxy, JSONRPCException
from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from tests.builders import wallet_key
from tests.rpc_service import DEADLINE_S, ServiceTestCase, exchange_raw, fetch, head_of, make_context
from timed.errors import ConfigError, LocalError
from timed.params import REGTEST
from timed.primitives.address import encode_address
from timed.primitives.transaction import Lock
from timed.rpc import http as rpc_http
from timed.rpc import site
from timed.rpc.auth import Account, Authenticator, remove_cookie, write_cookie
from timed.rpc.jsontext import MAX_BODY_BYTES
from timed.rpc.service import RpcService

FRIEND_ADDRESS = encode_address(REGTEST, Lock.key_hash(wallet_key(9).public))
UPTIME = b'{"jsonrpc": "2.0", "id": 1, "method": "uptime"}'


class Http(ServiceTestCase):
    async def test_a_call_with_the_cookie_is_answered(self) -> None:
        status, headers, body = await self.in_thread(
            fetch, self.rpc_port, "POST", body=UPTIME, headers=self.authorization()
        )
        self.assertEqual((status, headers["content-type"]), (200, "application/json"))
        self.assertEqual(json.loads(body)["result"], 0)

    async def test_without_good_credentials_it_is_401(self) -> None:
        from timed.client.message import authorization

        for headers in (
            {}, {"Authorization": authorization("__cookie__", "wrong")}, {"Authorization": "Basic ???"},
            {"Authorization": authorization("", "")}, {"Authorization": "Bearer " + self.cookie()},
        ):  # fmt: skip
            status, answered, body = await self.in_thread(
                fetch, self.rpc_port, "POST", body=UPTIME, headers=headers
            )
            self.assertEqual(status, 401)
            self.assertIn("Basic", answered["www-authenticate"])
            self.assertNotIn(b"result", body)

    async def test_other_methods_are_405_and_other_paths_404(self) -> None:
        for method in ("GET", "PUT", "DELETE", "HEAD", "OPTIONS", "NONSENSE"):
            status, headers, _ = await self.in_thread(
                fetch, self.rpc_port, method, headers=self.authorization()
            )
            self.assertEqual((status, headers.get("allow")), (405, "POST"), method)
        status, _, _ = await self.in_thread(
            fetch, self.rpc_port, "POST", "/wallet", UPTIME, self.authorization()
        )
        self.assertEqual(status, 404)

    async def test_a_web_page_is_403(self) -> None:
        headers = {**self.authorization(), "Origin": "http://evil.example"}
        status, _, _ = await self.in_thread(fetch, self.rpc_port, "POST", body=UPTIME, headers=headers)
        self.assertEqual(status, 403)

    async def test_notifications_are_204_without_a_body(self) -> None:
        body = b'{"jsonrpc": "2.0", "method": "uptime"}'
        status, headers, answer = await self.in_thread(
            fetch, self.rpc_port, "POST", body=body, headers=self.authorization()
        )
        self.assertEqual((status, answer), (204, b""))
        self.assertNotIn("content-length", headers)

    async def test_one_connection_serves_many_calls(self) -> None:
        def calls() -> list[int]:
            connection = http.client.HTTPConnection("127.0.0.1", self.rpc_port, timeout=DEADLINE_S)
            statuses = []
            for _ in range(20):
                connection.request("POST", "/", UPTIME, self.authorization())
                response = connection.getresponse()
                response.read()
                statuses.append(response.status)
            self.assertEqual(self.rpc.site.connections, 1)
            connection.close()
            return statuses

        self.assertEqual(await self.in_thread(calls), [200] * 20)

    async def test_a_body_that_is_announced_too_long_is_413(self) -> None:
        head = "POST / HTTP/1.1\r\nHost: x\r\n{}\r\nContent-Length: {}\r\n\r\n"
        known = f"Authorization: {self.authorization()['Authorization']}"
        for line, length in (
            (known, MAX_BODY_BYTES + 1), (known, 100_000_000), (known, 10**11), ("X: y", 65_537),
            (known, "9" * 5_000), (known, "9" * 16_000),
        ):  # fmt: skip
            answer = await self.in_thread(
                head_of, self.rpc_port, head.format(line, length).encode(), b"x" * 1000
            )
            self.assertIn(answer.split(b" ")[1:2], ([b"413"], [b"400"]), length)
        self.assertGreaterEqual(self.rpc.site.counters["http-413"], 5)

    async def test_an_ordinary_client_reads_the_413(self) -> None:
        status, _, _ = await self.in_thread(
            fetch, self.rpc_port, "POST", body=b" " * (MAX_BODY_BYTES * 4), headers=self.authorization()
        )
        self.assertEqual(status, 413)

    async def test_a_body_in_chunks_is_counted(self) -> None:
        self.patch(site, "DRAIN_S", DEADLINE_S)
        head = (
            f"POST / HTTP/1.1\r\nHost: x\r\nAuthorization: {self.authorization()['Authorization']}\r\n"
            "Transfer-Encoding: chunked\r\n\r\n"
        ).encode()
        chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
        answer = await self.in_thread(head_of, self.rpc_port, head, *[chunk] * 5, b"0\r\n\r\n")
        self.assertTrue(answer.startswith(b"HTTP/1.1 413"), answer[:60])
        answer = await self.in_thread(
            exchange_raw,
            self.rpc_port,
            head.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),
            b"%x\r\n%s\r\n0\r\n\r\n" % (len(UPTIME), UPTIME),
        )
        self.assertTrue(answer.startswith(b"HTTP/1.1 200"), answer[:60])

    async def test_garbage_is_refused_and_others_are_served(self) -> None:
        for garbage in (
            b"\x00" * 100 + b"\r\n\r\n",
            b"GET\r\n\r\n",
            b"\xff\xfe\r\n\r\n",
            b"A" * 40_000 + b"\r\n",
        ):
            answer = await self.in_thread(exchange_raw, self.rpc_port, garbage, close=True)
            self.assertTrue(answer == b"" or answer.startswith(b"HTTP/1.1 400"), answer[:60])
        status, _, _ = await self.in_thread(
            fetch, self.rpc_port, "POST", body=UPTIME, headers=self.authorization()
        )
        self.assertEqual(status, 200)

    async def test_hostile_bodies_get_an_error_object(self) -> None:
        for body in (
            b"",
            b"{",
            b"[" * 100_000,
            b'{"a":' * 100_000,
            b"NaN",
            b"\xff",
            b'"\\ud800"',
            b"1" * 10_000,
        ):
            status, _, answer = await self.in_thread(
                fetch, self.rpc_port, "POST", body=body, headers=self.authorization()
            )
            self.assertEqual(status, 400)
            self.assertIn(json.loads(answer)["error"]["code"], (-32700, -32600))

    async def test_idle_connections_make_room(self) -> None:
        """Somebody who opens many connections, or drips a request, keeps nobody out."""
        self.rpc.site.max_connections = 8

        def crowd() -> int:
            idle = []
            for number in range(30):
                raw = socket.create_connection(("127.0.0.1", self.rpc_port), timeout=DEADLINE_S)
                if number % 2:
                    raw.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n")
                idle.append(raw)
            status, _, _ = fetch(self.rpc_port, "POST", body=UPTIME, headers=self.authorization())
            for raw in idle:
                raw.close()
            return status

        self.assertEqual(await self.in_thread(crowd), 200)
        self.assertGreaterEqual(self.rpc.site.counters["full"], 22)

    async def test_a_client_that_leaves_while_it_waits_costs_nothing(self) -> None:
        body = json.dumps({"id": 1, "method": "waittransactionfinality", "params": ["00" * 32, 60]}).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.rpc_port, timeout=DEADLINE_S)
        await self.in_thread(connection.request, "POST", "/", body, self.authorization())
        await self.until(lambda: len(self.rpc.waiters) == 1)
        connection.close()
        await self.until(lambda: len(self.rpc.waiters) == 0)
        self.assertEqual(len(self.rpc.dispatcher.activity), 0)

    async def test_a_client_that_leaves_takes_the_rest_of_its_batch_along(self) -> None:
        """Else a thousand waits go on one after the other for nobody, and hold the places of all others."""
        call = {"jsonrpc": "2.0", "id": 1, "method": "waittransactionfinality", "params": ["00" * 32, 60]}
        body = json.dumps([call] * 100).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.rpc_port, timeout=DEADLINE_S)
        await self.in_thread(connection.request, "POST", "/", body, self.authorization())
        await self.until(lambda: len(self.rpc.waiters) == 1)
        activity = self.rpc.dispatcher.activity
        connection.close()
        await self.until(lambda: len(self.rpc.waiters) == 0 or activity.calls[call["method"]] > 1)
        self.assertEqual((len(activity), activity.calls[call["method"]]), (0, 1))

    async def until(self, fact: Any) -> None:
        while not fact():
            await deferLater(reactor, 0.02)

    async def test_stopping_ends_waiting_calls_and_takes_the_cookie_away(self) -> None:
        body = json.dumps(
            {"jsonrpc": "2.0", "id": 1, "method": "waittransactionfinality", "params": ["00" * 32]}
        )
        waiting = self.in_thread(fetch, self.rpc_port, "POST", "/", body.encode(), self.authorization())
        await self.until(lambda: len(self.rpc.waiters) == 1)
        port = self.rpc_port
        await self.services.stopService()
        status, _, answer = await waiting
        self.assertEqual(status, 200)
        self.assertTrue(json.loads(answer)["result"]["timed_out"])
        self.assertFalse(os.path.exists(os.path.join(self.directory, ".cookie")))
        with self.assertRaises(ConnectionRefusedError):
            await self.in_thread(fetch, port, "POST", body=UPTIME)

    async def test_stop_asks_for_an_orderly_end(self) -> None:
        body = b'{"jsonrpc": "2.0", "id": 1, "method": "stop"}'
        status, _, answer = await self.in_thread(
            fetch, self.rpc_port, "POST", body=body, headers=self.authorization()
        )
        self.assertEqual((status, json.loads(answer)["result"]), (200, "TIME Coin server stopping"))
        self.assertEqual(self.context.stops, 1)


class ForeignClient(ServiceTestCase):
    """python-bitcoinrpc, which the project did not write, drives a payment."""

    interval = 1

    def proxy(self) -> Any:
        return AuthServiceProxy(f"http://{self.cookie()}@127.0.0.1:{self.rpc_port}", timeout=DEADLINE_S)

    async def test_a_payment_to_finality_and_into_a_block(self) -> None:
        def pay() -> None:
            node = self.proxy()
            before = node.getbalance()
            self.assertIsInstance(before, Decimal)
            txid = node.sendtoaddress(FRIEND_ADDRESS, Decimal("0.10000001"))
            state = node.waittransactionfinality(txid, 10)
            self.assertTrue(state["final"])
            self.assertIn(state["state"], ("final", "confirmed"))
            [paid] = [
                output["value"]
                for output in node.gettransaction(txid)["vout"]
                if output["scriptPubKey"]["address"] == FRIEND_ADDRESS
            ]
            self.assertEqual(paid, Decimal("0.10000001"))
            self.assertEqual(node.validateaddress(node.getnewaddress("x"))["ismine"], True)
            while node.gettransaction(txid)["confirmations"] == 0:
                node.waittransactionfinality("00" * 32, 0.1)
            self.assertIn(txid, node.getblock(node.gettransaction(txid)["height"])["tx"])

        await self.in_thread(pay)

    async def test_errors_arrive_with_their_code(self) -> None:
        def ask() -> list[int]:
            codes = []
            for call in (
                lambda node: node.getblockhash(10**9), lambda node: node.nosuchmethod(),
                lambda node: node.sendtoaddress("x", 1), lambda node: node.sendtoaddress(FRIEND_ADDRESS, 10**9),
                lambda node: node.getblock(), lambda node: node.gettransaction("00" * 32),
            ):  # fmt: skip
                with self.assertRaises(JSONRPCException) as caught:
                    call(self.proxy())
                codes.append(caught.exception.code)
            return codes

        self.assertEqual(await self.in_thread(ask), [-8, -32601, -5, -6, -32602, -5])


class WithoutChain(ServiceTestCase):
    chain = False

    async def test_what_needs_a_chain_says_so(self) -> None:
        for method in ("getblockcount", "getbalance", "getpeerinfo"):
            body = json.dumps({"id": 1, "method": method}).encode()
            _, _, answer = await self.in_thread(
                fetch, self.rpc_port, "POST", body=body, headers=self.authorization()
            )
            error = json.loads(answer)["error"]
            self.assertIn(error["data"]["rule"], ("no-chain", "no-wallet"))
            self.assertTrue(error["data"]["hint"])


class Start(TestCase):
    def setUp(self) -> None:
        self.directory = self.mktemp()
        os.mkdir(self.directory)

    async def test_a_busy_port_is_one_sentence(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen(1)
            port = taken.getsockname()[1]
            service = RpcService(make_context(self.directory, chain=False, port=port))
            with self.assertRaises(ConfigError) as caught:
                service.startService()
            self.assertIn(f"port {port}", str(caught.exception))
            self.assertIn("rpc.port", str(caught.exception))
            await service.stopService()

    async def test_an_unwritable_directory_is_one_sentence(self) -> None:
        context = make_context(os.path.join(self.directory, "nowhere"), chain=False)
        service = RpcService(context)
        with self.assertRaises(LocalError) as caught:
            service.startService()
        self.assertIn(".cookie", str(caught.exception))
        await service.stopService()


class Cookies(TestCase):
    def setUp(self) -> None:
        self.path = self.mktemp()

    def test_only_its_owner_may_read_it(self) -> None:
        os.umask(os.umask(0))
        write_cookie(self.path)
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o600)

    def test_every_start_makes_another_one(self) -> None:
        write_cookie(self.path)
        first = Path(self.path).read_text()
        account = write_cookie(self.path)
        self.assertNotEqual(Path(self.path).read_text(), first)
        self.assertTrue(first.startswith("__cookie__:"))
        self.assertNotIn(first.partition(":")[2], repr(account))

    def test_the_cookie_of_a_later_process_stays(self) -> None:
        account = write_cookie(self.path)
        write_cookie(self.path)
        remove_cookie(self.path, account)
        self.assertTrue(os.path.exists(self.path))

    def test_an_account_has_its_permissions_only(self) -> None:
        from timed.client.message import authorization

        known = Authenticator([Account.of("a", "pa"), Account.of("b", "pb", ["read"])])
        caller = known.caller(authorization("b", "pb").encode())
        assert caller is not None
        self.assertEqual((caller.user, caller.permissions), ("b", frozenset({"read"})))
        for user, password in (("a", "pb"), ("b", "pa"), ("a", ""), ("", "pa"), ("a", "pa ")):
            self.assertIsNone(known.caller(authorization(user, password).encode()))

    def test_comparison_takes_constant_time(self) -> None:
        """Every account is compared, by `hmac.compare_digest`, whatever came before."""
        compared = []

        def compare(one: bytes, other: bytes) -> bool:
            compared.append((one, other))
            return one == other

        from timed.rpc import auth

        self.patch(auth.hmac, "compare_digest", compare)
        known = Authenticator([Account.of("a", "pa"), Account.of("b", "pb")])
        for header in (None, b"", b"Basic !", rpc_http.JSON):
            compared.clear()
            self.assertIsNone(known.caller(header))
            self.assertEqual(len(compared), 4)
