"""What HTTP allows a client to do: compression, pieces, several requests at once, old versions."""

from __future__ import annotations

import gzip
import json
import socket
from typing import Any

from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase

from tests.rpc_service import DEADLINE_S, ServiceTestCase, exchange_raw, fetch
from timed.rpc import waiting
from timed.rpc.http import PACK_FROM, takes_gzip
from timed.rpc.jsontext import MAX_BODY_BYTES

COUNT = b'{"jsonrpc":"2.0","id":1,"method":"getblockcount"}'
HELP = b'{"jsonrpc":"2.0","id":1,"method":"help"}'


class Transport(ServiceTestCase):
    async def post(self, body: bytes, **headers: str) -> tuple[int, dict[str, str], bytes]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer: tuple[int, dict[str, str], bytes] = await self.in_thread(
            fetch, self.rpc_port, "POST", body=body, headers={**self.authorization(), **named}
        )
        return answer

    def head(self, *lines: str, version: str = "1.1") -> bytes:
        lines = (
            f"POST / HTTP/{version}",
            "Host: x",
            f"Authorization: {self.authorization()['Authorization']}",
            *lines,
        )
        return "\r\n".join((*lines, "", "")).encode()

    async def test_a_long_answer_is_compressed_for_who_takes_it(self) -> None:
        _, _, plain = await self.post(HELP)
        status, headers, packed = await self.post(HELP, Accept_Encoding="br, gzip;q=0.5")
        self.assertEqual(
            (status, headers["content-encoding"], headers["vary"]), (200, "gzip", "Accept-Encoding")
        )
        self.assertEqual(gzip.decompress(packed), plain)
        self.assertLess(len(packed), len(plain))

    async def test_a_short_answer_and_who_does_not_take_it_get_it_plain(self) -> None:
        for body, accepted in ((COUNT, "gzip"), (HELP, "gzip;q=0"), (HELP, "br"), (HELP, "")):
            _, headers, answer = await self.post(body, Accept_Encoding=accepted)
            self.assertNotIn("content-encoding", headers)
            self.assertIn("result", json.loads(answer))

    async def test_a_compressed_request_is_read(self) -> None:
        status, _, answer = await self.post(gzip.compress(COUNT), Content_Encoding="gzip")
        self.assertEqual((status, json.loads(answer)["result"]), (200, 0))
        status, _, _ = await self.post(COUNT, Content_Encoding="identity")
        self.assertEqual(status, 200)

    async def test_a_bomb_is_413_and_broken_streams_are_400(self) -> None:
        bomb = gzip.compress(b" " * (MAX_BODY_BYTES + 1))
        whole = gzip.compress(COUNT)
        for body, expected in (
            (bomb, 413), (whole[:-3], 400), (whole + b"x", 400), (whole + whole, 400), (COUNT, 400), (b"", 400),
        ):  # fmt: skip
            status, _, _ = await self.post(body, Content_Encoding="gzip")
            self.assertEqual(status, expected, body[:20])

    async def test_another_encoding_is_415(self) -> None:
        for name in ("br", "deflate", "gzip, gzip", "x" * 200):
            status, _, _ = await self.post(COUNT, Content_Encoding=name)
            self.assertEqual(status, 415)

    async def test_requests_sent_ahead_are_answered_in_order(self) -> None:
        wire = b""
        for number in range(20):
            body = b'{"jsonrpc":"2.0","id":%d,"method":"getblockcount"}' % number
            last = ("Connection: close",) if number == 19 else ()
            wire += self.head(f"Content-Length: {len(body)}", *last) + body
        received = await self.in_thread(exchange_raw, self.rpc_port, wire)
        bodies = [
            json.loads(part.partition(b"\r\n\r\n")[2]) for part in received.split(b"HTTP/1.1 200 OK")[1:]
        ]
        self.assertEqual([body["id"] for body in bodies], list(range(20)))

    async def test_who_asks_to_go_on_is_told_to(self) -> None:
        head = self.head("Expect: 100-continue", f"Content-Length: {len(COUNT)}", "Connection: close")
        received = await self.in_thread(exchange_raw, self.rpc_port, head, COUNT)
        self.assertTrue(
            received.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"), received[:80]
        )

    async def test_what_is_sent_ahead_is_not_all_taken_in(self) -> None:
        """While a call waits, its connection is not read any further than Twisted's small buffer."""
        wait = b'{"jsonrpc":"2.0","id":0,"method":"waittransactionfinality","params":["%s",30]}' % (
            b"00" * 32
        )

        def flood() -> int:
            sent = 0
            with socket.create_connection(("127.0.0.1", self.rpc_port), timeout=DEADLINE_S) as raw:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
                raw.sendall(self.head(f"Content-Length: {len(wait)}") + wait)
                raw.settimeout(0.3)
                try:
                    while sent < 64 * 1024 * 1024:
                        sent += raw.send(b"POST / HTTP/1.1\r\nHost: x\r\n" * 4_000)
                except TimeoutError:
                    return sent
            return sent

        self.assertLess(await self.in_thread(flood), 64 * 1024 * 1024)

    async def test_answers_that_nobody_reads_hold_up_what_was_sent_ahead(self) -> None:
        """Else whoever asks and never reads fills the memory."""
        count, method = 150, "rpc.discover"
        wire = b""
        for number in range(count):
            body = b'{"jsonrpc":"2.0","id":%d,"method":"rpc.discover"}' % number
            last = ("Connection: close",) if number == count - 1 else ()
            wire += self.head(f"Content-Length: {len(body)}", *last) + body

        def ask() -> socket.socket:
            raw = socket.create_connection(("127.0.0.1", self.rpc_port), timeout=DEADLINE_S)
            raw.sendall(wire)
            return raw

        def read(raw: socket.socket) -> bytes:
            with raw, raw.makefile("rb") as file:
                return file.read()

        raw = await self.in_thread(ask)
        calls, begun = self.rpc.dispatcher.activity.calls, -1
        while begun != calls[method]:
            begun = calls[method]
            await deferLater(reactor, 0.3)
        self.assertLess(begun, count)
        parts = (await self.in_thread(read, raw)).split(b"HTTP/1.1 200 OK")[1:]
        self.assertEqual([int(part.rpartition(b'"id":')[2][:-1]) for part in parts], list(range(count)))

    async def test_no_room_for_a_call_is_503_with_a_time(self) -> None:
        self.patch(waiting, "MAX_WAITERS", 0)
        for version in ('"jsonrpc":"2.0",', ""):
            call = '"id":1,"method":"waittransactionfinality","params":["' + "00" * 32 + '"]}'
            status, headers, answer = await self.post(("{" + version + call).encode())
            self.assertEqual((status, headers["retry-after"]), (503, str(waiting.RETRY_AFTER_S)))
            error = json.loads(answer)["error"]
            self.assertEqual((error["code"], error["data"]["rule"]), (-9, "waiters-full"))
            self.assertEqual(error["data"]["retry_after_s"], waiting.RETRY_AFTER_S)

    async def test_no_room_for_one_call_of_a_batch_leaves_the_others(self) -> None:
        self.patch(waiting, "MAX_WAITERS", 0)
        wait = {"jsonrpc": "2.0", "id": 1, "method": "waittransactionfinality", "params": ["00" * 32]}
        silent = {key: value for key, value in wait.items() if key != "id"}
        status, headers, answer = await self.post(json.dumps([wait, silent, json.loads(COUNT)]).encode())
        self.assertEqual((status, headers.get("retry-after")), (200, None))
        first, second = json.loads(answer)
        self.assertEqual((first["error"]["code"], second["result"]), (-9, 0))

    async def test_head_and_options_have_no_body_to_wait_for(self) -> None:
        for method in ("HEAD", "OPTIONS"):
            head = self.head("Connection: close").replace(b"POST", method.encode(), 1)
            received = await self.in_thread(exchange_raw, self.rpc_port, head)
            self.assertTrue(received.startswith(b"HTTP/1.1 405 "), received[:60])
            self.assertIn(b"\r\nAllow: POST\r\n", received)
            if method == "HEAD":
                self.assertTrue(received.endswith(b"\r\n\r\n"), received)

    async def test_any_type_of_content_is_read(self) -> None:
        """curl says that JSON is a form; clients of Bitcoin say nothing, or text/plain."""
        for kind in ("application/json", "application/x-www-form-urlencoded", "text/plain", "nonsense"):
            status, _, answer = await self.post(COUNT, Content_Type=kind)
            self.assertEqual((status, json.loads(answer)["result"]), (200, 0), kind)

    async def test_http_1_0_is_answered_and_closed(self) -> None:
        head = self.head(f"Content-Length: {len(COUNT)}", version="1.0")
        received = await self.in_thread(exchange_raw, self.rpc_port, head + COUNT)
        self.assertIn(b" 200 OK\r\n", received)
        self.assertTrue(received.endswith(b'"result":0,"id":1}'), received)

    async def test_endless_headers_end_the_connection_only(self) -> None:
        for lines in (["X: " + "y" * 20_000], [f"X-{number}: y" for number in range(2_000)]):
            received = await self.in_thread(
                exchange_raw, self.rpc_port, self.head(*lines, f"Content-Length: {len(COUNT)}") + COUNT
            )
            self.assertTrue(
                received.startswith((b"HTTP/1.1 400", b"HTTP/1.1 431")) or not received, received[:80]
            )
        status, _, _ = await self.post(COUNT)
        self.assertEqual(status, 200)


class Accepted(SynchronousTestCase):
    def test_weights_are_heeded(self) -> None:
        cases: tuple[tuple[Any, bool], ...] = (
            (None, False), (b"", False), (b"gzip", True), (b"GZIP", True), (b"*", True), (b"gzip;q=0", False),
            (b"gzip; q=0.0", False), (b"gzip;q=0.1", True), (b"br;q=1, gzip", True), (b"identity", False),
        )  # fmt: skip
        for header, expected in cases:
            self.assertEqual(takes_gzip(header), expected, header)
        self.assertGreater(PACK_FROM, 0)
