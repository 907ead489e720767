"""Every example of the JSON-RPC 2.0 specification, section 7, over real HTTP against the site of the RPC.

https://www.jsonrpc.org/specification, as of 2013-01-04. Texts are those of the specification; of an error only
its code and the beginning of its message are compared, since ours say more, and `data` is free.
"""

from __future__ import annotations

import json
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, succeed
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.rpc_service import fetch
from timed.client.message import authorization
from timed.rpc.auth import Account, Authenticator
from timed.rpc.dispatch import Dispatcher
from timed.rpc.http import RpcEndpoint
from timed.rpc.method import Method, Param
from timed.rpc.schema import Integer
from timed.rpc.site import BoundedSite

WHOLE = Integer(-(2**31), 2**31)
NUMBERS = tuple(Param(name, WHOLE, "", 0) for name in ("a", "b", "c", "d", "e"))
TABLE = {
    method.name: method
    for method in (
        Method("subtract", "", "", "", (Param("minuend", WHOLE, ""), Param("subtrahend", WHOLE, ""))),
        Method("sum", "", "", "", NUMBERS),
        Method("update", "", "", "", NUMBERS),
        Method("notify_hello", "", "", "", NUMBERS),
        Method("notify_sum", "", "", "", NUMBERS),
        Method("get_data", "", "", ""),
    )
}


class Specification(TestCase):
    """The methods of the examples, in place of the node's."""

    timeout = 60

    def setUp(self) -> None:
        self.notified: list[tuple[str, list[int]]] = []
        handlers: dict[str, Any] = {
            "subtract": lambda _, minuend, subtrahend: minuend - subtrahend,
            "sum": lambda _, **numbers: sum(numbers.values()),
            "get_data": lambda _: ["hello", 5],
        }
        for name in ("update", "notify_hello", "notify_sum"):
            handlers[name] = self.keeper(name)
        dispatcher = Dispatcher(
            handlers, None, pause=lambda: succeed(None), failed=self.fail_in_handler, methods=TABLE
        )
        endpoint = RpcEndpoint(dispatcher, Authenticator([Account.of("u", "p")]), reactor)
        self.site = BoundedSite(endpoint, reactor, limit=endpoint.limit, max_connections=64)
        self.port = reactor.listenTCP(0, self.site, interface="127.0.0.1")  # type: ignore[attr-defined]

    async def tearDown(self) -> None:
        await self.port.stopListening()
        await self.site.close()

    def keeper(self, name: str) -> Any:
        return lambda _, **numbers: self.notified.append((name, list(numbers.values())))

    def fail_in_handler(self, name: str, error: Exception) -> None:
        raise error

    def send(self, text: str) -> Deferred[tuple[int, dict[str, str], bytes]]:
        headers = {"Authorization": authorization("u", "p"), "Content-Type": "application/json"}
        return deferToThread(fetch, self.port.getHost().port, "POST", "/", text.encode(), headers)

    async def check(self, text: str, expected: Any) -> None:
        """The answer is the one of the specification; `None`: nothing is answered at all."""
        status, headers, body = await self.send(text)
        if expected is None:
            self.assertEqual((status, body), (204, b""))
            return
        self.assertEqual(headers["content-type"], "application/json")
        self.assertEqual(simplified(json.loads(body)), simplified(expected))

    async def test_positional_parameters(self) -> None:
        await self.check(
            '{"jsonrpc": "2.0", "method": "subtract", "params": [42, 23], "id": 1}',
            {"jsonrpc": "2.0", "result": 19, "id": 1},
        )
        await self.check(
            '{"jsonrpc": "2.0", "method": "subtract", "params": [23, 42], "id": 2}',
            {"jsonrpc": "2.0", "result": -19, "id": 2},
        )

    async def test_named_parameters(self) -> None:
        await self.check(
            '{"jsonrpc": "2.0", "method": "subtract", "params": {"subtrahend": 23, "minuend": 42}, "id": 3}',
            {"jsonrpc": "2.0", "result": 19, "id": 3},
        )
        await self.check(
            '{"jsonrpc": "2.0", "method": "subtract", "params": {"minuend": 42, "subtrahend": 23}, "id": 4}',
            {"jsonrpc": "2.0", "result": 19, "id": 4},
        )

    async def test_a_notification(self) -> None:
        await self.check('{"jsonrpc": "2.0", "method": "update", "params": [1,2,3,4,5]}', None)
        await self.check('{"jsonrpc": "2.0", "method": "foobar"}', None)
        self.assertEqual(self.notified, [("update", [1, 2, 3, 4, 5])])

    async def test_a_method_that_does_not_exist(self) -> None:
        await self.check('{"jsonrpc": "2.0", "method": "foobar", "id": "1"}', error(-32601, "1"))

    async def test_invalid_json(self) -> None:
        await self.check('{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]', error(-32700))

    async def test_an_invalid_request(self) -> None:
        await self.check('{"jsonrpc": "2.0", "method": 1, "params": "bar"}', error(-32600))

    async def test_a_batch_of_invalid_json(self) -> None:
        await self.check(
            """[
              {"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},
              {"jsonrpc": "2.0", "method"
            ]""",
            error(-32700),
        )

    async def test_an_empty_array(self) -> None:
        await self.check("[]", error(-32600))

    async def test_an_invalid_batch_that_is_not_empty(self) -> None:
        await self.check("[1]", [error(-32600)])

    async def test_an_invalid_batch(self) -> None:
        await self.check("[1,2,3]", [error(-32600)] * 3)

    async def test_a_batch(self) -> None:
        await self.check(
            """[
              {"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},
              {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]},
              {"jsonrpc": "2.0", "method": "subtract", "params": [42,23], "id": "2"},
              {"foo": "boo"},
              {"jsonrpc": "2.0", "method": "foo.get", "params": {"name": "myself"}, "id": "5"},
              {"jsonrpc": "2.0", "method": "get_data", "id": "9"}
            ]""",
            [
                {"jsonrpc": "2.0", "result": 7, "id": "1"},
                {"jsonrpc": "2.0", "result": 19, "id": "2"},
                error(-32600),
                error(-32601, "5"),
                {"jsonrpc": "2.0", "result": ["hello", 5], "id": "9"},
            ],
        )
        self.assertEqual([name for name, _ in self.notified], ["notify_hello"])

    async def test_a_batch_of_notifications(self) -> None:
        await self.check(
            """[
              {"jsonrpc": "2.0", "method": "notify_sum", "params": [1,2,4]},
              {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]}
            ]""",
            None,
        )
        self.assertEqual([name for name, _ in self.notified], ["notify_sum", "notify_hello"])


MESSAGES = {-32700: "Parse error", -32600: "Invalid Request", -32601: "Method not found"}


def error(code: int, identifier: Any = None) -> dict[str, Any]:
    """An error as the specification writes it."""
    return {"jsonrpc": "2.0", "error": {"code": code, "message": MESSAGES[code]}, "id": identifier}


def simplified(answer: Any) -> Any:
    """An answer whose errors carry nothing but the code and the specification's own words."""
    if isinstance(answer, list):
        return [simplified(each) for each in answer]
    if "error" not in answer:
        return answer
    said = answer["error"]
    words = MESSAGES[said["code"]]
    begins = said["message"][: len(words)]
    return {**answer, "error": {"code": said["code"], "message": begins}}
