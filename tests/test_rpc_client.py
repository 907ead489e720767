"""The project's own clients: exact amounts, typed errors, one connection."""

from __future__ import annotations

import os
import socket
from decimal import Decimal
from threading import Thread
from typing import Any

from twisted.internet import reactor
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import Agent, HTTPConnectionPool

from tests.rpc_service import DEADLINE_S, ServiceTestCase
from timed.client import answers, errors, message
from timed.client.asynchronous import AsyncClient
from timed.client.blocking import Client
from timed.client.location import Location, from_datadir, from_url
from timed.rpc.dispatch import MAX_REPLY_BYTES
from timed.testnet.freeports import free_ports


class Blocking(ServiceTestCase):
    def use(self, work: Any) -> Any:
        def run() -> Any:
            with Client(self.location, DEADLINE_S) as client:
                return work(client)

        return self.in_thread(run)

    async def test_calls_by_position_and_by_name(self) -> None:
        genesis = self.context.chosen_genesis.hash.hex()
        self.assertEqual(await self.use(lambda client: client.getblockhash(0)), genesis)
        self.assertEqual(await self.use(lambda client: client.call("getblockhash", height=0)), genesis)

    async def test_amounts_are_decimal_both_ways(self) -> None:
        def pay(client: Client) -> Any:
            address = client.getnewaddress("mine")
            txid = client.sendtoaddress(address, Decimal("0.10000001"))
            client.waittransactionfinality(txid, 10)
            return client.getbalance(address)

        self.assertEqual(await self.use(pay), Decimal("0.10000001"))

    async def test_a_batch_keeps_its_order_and_carries_errors(self) -> None:
        results = await self.use(
            lambda client: client.batch(
                [("getblockcount", []), ("nosuch", []), ("getblockhash", {"height": 0})]
            )
        )
        self.assertIsInstance(results[0], int)
        self.assertIsInstance(results[1], errors.MethodNotFound)
        self.assertEqual(results[2], self.context.chosen_genesis.hash.hex())

    async def test_errors_are_types(self) -> None:
        for call, kind in (
            (lambda client: client.nosuch(), errors.MethodNotFound),
            (lambda client: client.getblock(), errors.InvalidArguments),
            (lambda client: client.getblock([]), errors.InvalidArguments),
            (lambda client: client.gettransaction("00" * 32), errors.NotFound),
            (lambda client: client.sendtoaddress(client.getnewaddress(), 10**9), errors.InsufficientFunds),
        ):
            with self.assertRaises(kind) as caught:
                await self.use(call)
            self.assertTrue(caught.exception.rule)
            self.assertTrue(caught.exception.hint)

    async def test_one_connection_serves_many_calls_and_a_closed_one_is_noticed(self) -> None:
        def calls(client: Client) -> int:
            for _ in range(5):
                client.uptime()
            return int(self.rpc.site.connections)

        self.assertEqual(await self.use(calls), 1)
        client = Client(self.location, DEADLINE_S)
        self.assertEqual(await self.in_thread(client.uptime), 0)
        await self.rpc.site.close()
        self.assertEqual(await self.in_thread(client.getconnectioncount), 0)
        client.close()

    async def test_wrong_credentials(self) -> None:
        wrong = Client(Location("127.0.0.1", self.rpc_port, "someone", "else"))
        with self.assertRaises(errors.Unauthorized) as caught:
            await self.in_thread(wrong.uptime)
        self.assertIn("cookie", caught.exception.hint)
        wrong.close()

    async def test_async(self) -> None:
        pool = HTTPConnectionPool(reactor, persistent=False)
        client = AsyncClient(self.location, reactor, Agent(reactor, pool=pool), DEADLINE_S)
        self.assertEqual(await client.call("getblockhash", 0), self.context.chosen_genesis.hash.hex())
        self.assertEqual(await client.call("getbalance"), Decimal(1_000_000))
        with self.assertRaises(errors.InvalidArguments):
            await client.call("getblock")
        results = await client.batch([("getconnectioncount", []), ("nosuch", [])])
        self.assertEqual(results[0], 0)
        self.assertIsInstance(results[1], errors.MethodNotFound)
        await pool.closeCachedConnections()

    async def test_async_nobody_there(self) -> None:
        [port] = free_ports(1)
        client = AsyncClient(Location("127.0.0.1", port, "u", "p"), reactor, Agent(reactor), DEADLINE_S)
        with self.assertRaises(errors.CannotConnect):
            await client.call("uptime")


def take_request(connection: socket.socket) -> None:
    """All of it: to close a socket with bytes unread resets the connection, and may take the answer along."""
    with connection.makefile("rb") as stream:
        length = 0
        while (line := stream.readline()) not in (b"\r\n", b""):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        stream.read(length)


class Impostors(SynchronousTestCase):
    """Whatever listens there: a typed error, never a traceback."""

    def answer(self, reply: bytes) -> Client:
        self.server = server = socket.socket()
        server.bind(("127.0.0.1", 0))
        server.listen(1)
        self.addCleanup(server.close)

        def serve() -> None:
            connection, _ = server.accept()
            take_request(connection)
            connection.sendall(reply)
            connection.close()

        thread = Thread(target=serve, daemon=True)
        thread.start()
        self.addCleanup(thread.join, 5)
        client = Client(Location("127.0.0.1", server.getsockname()[1], "u", "p"), 5)
        self.addCleanup(client.close)
        return client

    def http(self, body: bytes, kind: bytes = b"application/json") -> bytes:
        return b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s" % (
            kind,
            len(body),
            body,
        )

    def test_bad_answers(self) -> None:
        for body in (
            b"",
            b"{",
            b"[]",
            b"1",
            b'{"id": 1}',
            b'{"error": 5}',
            b'{"error": {"code": "x"}}',
            b"[" * 5000,
            b'{"id": 1, "result": 1E' + b"9" * 40 + b"}",
        ):
            with self.assertRaises(errors.BadResponse):
                self.answer(self.http(body)).uptime()
        with self.assertRaises(errors.BadResponse):
            self.answer(self.http(b"<html>", b"text/html")).uptime()

    def test_no_http_at_all(self) -> None:
        for reply in (b"", b"SSH-2.0-x\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"):
            with self.assertRaises(errors.CannotConnect):
                self.answer(reply).uptime()

    def test_an_answer_without_end(self) -> None:
        """Attack: whoever listens there sends until the caller's memory is full."""
        self.assertEqual(
            answers.MAX_ANSWER_BYTES, 2 * MAX_REPLY_BYTES, "the last call of a batch may go beyond it"
        )
        self.patch(answers, "MAX_ANSWER_BYTES", 100)
        fits = b'{"id": 1, "result": "%s"}' % (b"x" * 77)
        self.assertEqual(self.answer(self.http(fits)).uptime(), "x" * 77)
        long = fits.replace(b"x", b"xx", 1)
        head, body = self.http(long).split(b"\r\n\r\n")
        announced = head + b"\r\n\r\n"
        unannounced = head.partition(b"\r\nContent-Length")[0] + b"\r\n\r\n"
        chunked = unannounced.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n")
        for reply in (announced + body, announced, unannounced + body, chunked + b"65\r\n" + body):
            client = self.answer(reply)
            with self.assertRaises(errors.BadResponse) as caught:
                client.uptime()
            self.assertIn("more than 100 bytes", str(caught.exception))
            self.assertIsNone(client._connection)
        self.assertEqual(self.answer(unannounced + fits).uptime(), "x" * 77)

    def test_nothing_was_sent_to_who_closes_after_each_answer_and_is_gone(self) -> None:
        """So a payment may be sent again."""
        reply = self.http(b'{"id": 1, "result": 5}').replace(b"OK\r\n", b"OK\r\nConnection: close\r\n")
        client = self.answer(reply)
        self.assertEqual(client.uptime(), 5)
        self.server.close()
        with self.assertRaises(errors.CannotConnect) as caught:
            client.uptime()
        self.assertNotIsInstance(caught.exception, errors.ConnectionLost)

    def test_a_batch_that_is_not_answered_whole(self) -> None:
        with self.assertRaises(errors.BadResponse):
            self.answer(self.http(b'[{"id": 1, "result": 5}]')).batch([("uptime", []), ("uptime", [])])

    def test_a_batch_that_is_answered_like_one_call(self) -> None:
        with self.assertRaises(errors.BadResponse):
            self.answer(self.http(b'{"id": 1, "result": 5}')).batch([("uptime", []), ("uptime", [])])

    def test_a_batch_whose_ids_are_no_ids(self) -> None:
        for identifier in (b"[1]", b"{}", b"null", b'"1"'):
            body = b'[{"id": %s, "result": 5}, {"id": %s, "result": 5}]' % (identifier, identifier)
            with self.assertRaises(errors.BadResponse):
                self.answer(self.http(body)).batch([("uptime", []), ("uptime", [])])


class Locations(SynchronousTestCase):
    def test_the_network_decides_port_and_directory(self) -> None:
        place = from_datadir(name="regtest")
        self.assertEqual(place.port, 8000)
        self.assertTrue(place.cookie_file.endswith("/.timed/regtest/.cookie"))
        self.assertEqual(from_datadir("/x", "testnet", port=5).port, 5)
        self.assertEqual(from_datadir("/x").cookie_file, "/x/.cookie")

    def test_urls(self) -> None:
        place = from_url("http://us%40er:p%3Aw@10.0.0.1:8000/")
        self.assertEqual((place.host, place.port, *place.credentials()), ("10.0.0.1", 8000, "us@er", "p:w"))
        self.assertEqual(from_url("localhost:1").port, 1)
        self.assertNotIn("p:w", repr(place))
        for url in ("", "x", "ftp://a:1", "http://a", "http://a:x", "http://a:99999"):
            with self.assertRaises(errors.CannotConnect):
                from_url(url)
        for url in (
            "http://me:secret@a",
            "http://me:secret@a:x",
            "ftp://me:secret@a:1",
            "http://me:sec/ret@a:1",
        ):
            with self.assertRaises(errors.CannotConnect) as caught:
                from_url(url)
            self.assertNotIn("sec", str(caught.exception))

    def test_a_name_that_no_host_has(self) -> None:
        for host in ("a..b", ".", "x" * 64, "a b", "a\nb", "\udcff"):
            with self.assertRaises(errors.CannotConnect) as caught:
                Client(Location(host, 1)).uptime()
            self.assertIn("is not the name of a host", str(caught.exception))

    def test_a_missing_cookie_file_says_what_to_do(self) -> None:
        with self.assertRaises(errors.CannotConnect) as caught:
            from_datadir(self.mktemp()).credentials()
        self.assertIn("--datadir", caught.exception.hint)

    def test_a_cookie_file_that_cannot_be_read_is_named_once(self) -> None:
        base = self.mktemp()
        os.makedirs(os.path.join(base, ".cookie"))
        with self.assertRaises(errors.CannotConnect) as caught:
            from_datadir(base).credentials()
        self.assertEqual(
            caught.exception.message, f"cannot read the cookie file {base}/.cookie: Is a directory."
        )

    def test_amounts_are_sent_without_a_float(self) -> None:
        self.assertEqual(message.dump([Decimal("1E-8"), Decimal(5)]), b'["0.00000001", "5"]')
        with self.assertRaises(TypeError):
            message.dump([object()])
