"""The local socket between the process that runs the node and the RPC processes beside it."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import tempfile
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock, deferLater
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.builders import genesis
from timed.errors import ConfigError
from timed.rpc import chainlink, jsontext, localfront
from timed.rpc.caller import Caller
from timed.rpc.chainlink import ChainLink
from timed.rpc.dispatch import CALLS_PER_TURN, Reply
from timed.rpc.errors import Busy, RpcError
from timed.rpc.linkwire import Behalf, Hello, Line, Lines, LinkError, decode, encode, request
from timed.rpc.localfront import MAX_PATH_BYTES, LocalFront, check_path, remove_stale

HELLO = Hello.of(genesis(1))


class FakeDispatcher:
    """Answers with what it was asked, at once or when a test says so."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, frozenset[str]]] = []
        self.callers: list[tuple[str, str, bool]] = []
        self.held: list[Deferred[Reply]] = []
        self.ended = 0
        self.hold = False
        self.reply: bytes | None = None

    async def answer(self, body: bytes, caller: Caller) -> Reply:
        asked = jsontext.decode(body)
        self.asked.append((asked, caller.permissions))
        self.callers.append((caller.user, caller.address, caller.charged))
        if self.hold:
            self.held.append(Deferred(self._end))
            return await self.held[-1]
        if self.reply is not None:
            return Reply(200, self.reply)
        return Reply(200, b'{"jsonrpc":"2.0","result":%s,"id":0}' % bytes(request("x", asked["params"])))

    def _end(self, held: Deferred[Reply]) -> None:
        self.ended += 1
        held.callback(Reply(200, b'{"jsonrpc":"2.0","result":null,"id":0}'))


class LinkCase(TestCase):
    timeout = 120

    def setUp(self) -> None:
        self.directory = tempfile.mkdtemp(prefix="timed-")
        self.path = os.path.join(self.directory, "node.sock")
        self.dispatcher = FakeDispatcher()
        self.front = self.make_front()
        self.link = ChainLink(self.path, HELLO, reactor)
        self.patch(chainlink, "LAST_RETRY_S", 0.1)

    async def tearDown(self) -> None:
        await self.link.stop()
        await self.front.stop()
        self.assertFalse(os.path.exists(self.path))
        shutil.rmtree(self.directory)

    def make_front(self, hello: Hello = HELLO) -> LocalFront:
        dispatcher: Any = self.dispatcher
        return LocalFront(dispatcher, hello, reactor, self.path)

    async def connect(self) -> None:
        self.front.start()
        self.link.start()
        await self.until(lambda: self.link.up)

    async def until(self, fact: Callable[[], object]) -> None:
        while not fact():
            await deferLater(reactor, 0.01)

    def call(
        self, method: str = "getbalance", params: Any = None, permissions: Iterable[str] = ("read",)
    ) -> Any:
        return ensureDeferred(
            self.link.call(method, params, Caller("x", "192.0.2.1", frozenset(permissions)))
        )

    async def error(self, done: Any) -> RpcError:
        with self.assertRaises(RpcError) as caught:
            await done
        return caught.exception


class Calls(LinkCase):
    async def test_a_call_goes_whole_and_its_result_comes_back_as_it_was_written(self) -> None:
        await self.connect()
        params = {"amount": Decimal("0.10000001"), "many": 10**40, "text": "a\nb\u2028"}
        result = await self.call("sendtoaddress", params, ("wallet", "read"))
        self.assertEqual(jsontext.decode(bytes(result))["params"], params)
        self.assertIn(b"0.10000001", bytes(result))
        [(asked, permissions)] = self.dispatcher.asked
        self.assertEqual((asked["method"], asked["params"]), ("sendtoaddress", params))
        self.assertEqual(permissions, {"wallet", "read"})
        self.assertEqual(self.dispatcher.callers, [("x", "192.0.2.1", True)])

    async def test_an_error_comes_back_as_it_was_raised(self) -> None:
        await self.connect()
        self.dispatcher.reply = (
            b'{"jsonrpc":"2.0","error":{"code":-6,"message":"Too little",'
            b'"data":{"rule":"funds","hint":"Wait.","missing":0.10000000}},"id":0}'
        )
        error = await self.error(self.call())
        self.assertEqual((error.code, error.message, error.data["rule"]), (-6, "Too little", "funds"))
        self.assertIn(b'"missing":0.10000000', jsontext.encode(error.as_object()))

    async def test_replies_may_come_in_any_order(self) -> None:
        await self.connect()
        self.dispatcher.hold = True
        first, second = self.call(), self.call()
        await self.until(lambda: len(self.dispatcher.held) == 2)
        for number, held in reversed(list(enumerate(self.dispatcher.held))):
            held.callback(Reply(200, b'{"result":%d}' % number))
        self.assertEqual([bytes(await first), bytes(await second)], [b"0", b"1"])

    async def test_a_long_call_whose_client_leaves_ends_there_as_well(self) -> None:
        await self.connect()
        self.dispatcher.hold = True
        waiting = self.call("waitfornewblock", [60])
        await self.until(lambda: self.dispatcher.held)
        waiting.cancel()
        self.assertEqual((await self.error(waiting)).data["rule"], "cancelled")
        await self.until(lambda: self.dispatcher.ended == 1)
        self.assertEqual(self.link.under_way, 0)

    async def test_no_more_than_some_are_under_way(self) -> None:
        self.patch(chainlink, "MAX_CALLS", 2)
        await self.connect()
        self.dispatcher.hold = True
        waiting = [self.call(), self.call()]
        error = await self.error(self.call())
        self.assertEqual((error.code, error.data["rule"]), (-9, "forwards-full"))
        self.assertEqual(self.link.counters["full"], 1)
        for each in waiting:
            each.cancel()
            await self.error(each)

    async def test_what_has_no_room_there_has_none_here(self) -> None:
        await self.connect()
        self.dispatcher.reply = (
            b'{"error":{"code":-9,"message":"x","data":{"rule":"waiters-full","hint":"y","retry_after_s":5}}}'
        )
        error = await self.error(self.call())
        self.assertIsInstance(error, Busy)
        self.assertEqual((error.status, error.retry_after_s, error.data["rule"]), (503, 5, "waiters-full"))

    async def test_a_reply_that_is_too_long_is_an_error_and_the_connection_stays(self) -> None:
        self.patch(localfront, "MAX_REPLY_BYTES", 100)
        await self.connect()
        self.dispatcher.reply = b'{"result":"%s"}' % (b"x" * 100)
        self.assertEqual((await self.error(self.call())).data["rule"], "reply-size")
        self.assertTrue(self.link.up)


class Away(LinkCase):
    async def test_a_call_while_nobody_is_there_says_so(self) -> None:
        self.link.start()
        error = await self.error(self.call())
        self.assertEqual((error.code, error.data["rule"]), (-28, "chain-away"))
        self.assertTrue(error.data["hint"])

    async def test_what_was_under_way_when_it_went_may_have_happened(self) -> None:
        await self.connect()
        self.dispatcher.hold = True
        waiting = self.call("sendtoaddress", ["x", 1])
        await self.until(lambda: self.dispatcher.held)
        self.patch(self.dispatcher, "_end", lambda held: None)
        await self.front.stop()
        self.assertEqual((await self.error(waiting)).data["rule"], "chain-lost")
        self.assertEqual((await self.error(self.call())).data["rule"], "chain-away")

    async def test_it_is_found_again(self) -> None:
        await self.connect()
        for _ in range(2):
            await self.front.stop()
            await self.until(lambda: not self.link.up)
            self.front = self.make_front()
            self.front.start()
            await self.until(lambda: self.link.up)
            await self.call()
        self.assertEqual(self.front.links, 1)

    async def test_another_version_is_refused_with_a_sentence(self) -> None:
        self.front = self.make_front(msgspec.structs.replace(HELLO, timed="9.9.9"))
        self.front.start()
        self.link.start()
        await self.until(lambda: self.link.counters["refused"])
        error = await self.error(self.call())
        self.assertEqual(error.data["rule"], "chain-version")
        self.assertIn("runs timed 9.9.9", error.message)
        self.assertEqual(self.dispatcher.asked, [])

    async def test_another_chain_is_refused_with_a_sentence(self) -> None:
        self.front = self.make_front(msgspec.structs.replace(HELLO, genesis="00" * 32))
        self.front.start()
        self.link.start()
        await self.until(lambda: self.link.counters["refused"])
        self.assertIn("follows the chain with genesis 0000", (await self.error(self.call())).message)


class SocketFile(LinkCase):
    async def test_only_the_node_s_user_may_connect(self) -> None:
        self.front.start()
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o600)

    async def test_the_file_of_a_process_that_was_killed_is_replaced(self) -> None:
        with socket.socket(socket.AF_UNIX) as killed:
            killed.bind(self.path)
        self.assertTrue(os.path.exists(self.path))
        await self.connect()
        await self.call()

    async def test_one_that_answers_is_left_alone(self) -> None:
        self.front.start()
        error = self.assertRaises(ConfigError, self.make_front().start)
        self.assertIn("another process answers", str(error))
        self.link.start()
        await self.until(lambda: self.link.up)

    async def test_a_file_that_somebody_took_away_does_not_stop_the_stop(self) -> None:
        await self.connect()
        os.unlink(self.path)
        await self.front.stop()
        self.assertEqual(self.front.links, 0)

    def test_what_is_no_socket_is_left_alone(self) -> None:
        with open(self.path, "w", encoding="ascii") as file:
            file.write("mine")
        self.assertRaises(ConfigError, remove_stale, self.path)
        with open(self.path, encoding="ascii") as file:
            self.assertEqual(file.read(), "mine")
        os.unlink(self.path)

    def test_a_path_that_the_kernel_does_not_take_names_the_key(self) -> None:
        check_path("/" + "x" * (MAX_PATH_BYTES - 1))
        error = self.assertRaises(ConfigError, check_path, "/" + "x" * MAX_PATH_BYTES)
        self.assertIn("108 bytes", str(error))
        self.assertIn("rpc.socket", str(error))


class Turns(SynchronousTestCase):
    """What one RPC process may do to the reactor of the chain process."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.dispatcher = FakeDispatcher()
        dispatcher: Any = self.dispatcher
        self.front = LocalFront(dispatcher, HELLO, self.clock, "")
        self.link: Any = self.front.buildProtocol(None)
        self.transport: Any = StringTransport()
        self.link.makeConnection(self.transport)
        self.link.dataReceived(encode(Line(hello=HELLO)))

    def send(self, count: int) -> None:
        lines = [
            encode(Line(id=number, caller=Behalf([], "bob", ""), body=request("x", [])))
            for number in range(count)
        ]
        self.link.dataReceived(b"".join(lines))

    def test_a_flood_of_calls_is_worked_off_a_few_per_turn(self) -> None:
        """However many are answered at once: they neither hold up the reactor nor stand on one another."""
        self.send(2_000)
        self.assertEqual(
            (len(self.dispatcher.asked), self.transport.producerState), (CALLS_PER_TURN, "paused")
        )
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(0)
        self.assertEqual((len(self.dispatcher.asked), self.transport.producerState), (2_000, "producing"))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_while_it_does_not_read_nothing_is_begun_for_it(self) -> None:
        self.link.pauseProducing()
        self.send(5)
        self.assertEqual((self.dispatcher.asked, self.transport.producerState), ([], "paused"))
        self.link.resumeProducing()
        self.assertEqual((len(self.dispatcher.asked), self.transport.producerState), (5, "producing"))

    def test_no_more_than_some_calls_are_under_way_for_it(self) -> None:
        self.patch(localfront, "MAX_CALLS", 3)
        self.dispatcher.hold = True
        self.send(5)
        self.assertEqual(len(self.dispatcher.held), 3)
        self.dispatcher.held[0].callback(Reply(200, b"1"))
        self.assertEqual(len(self.dispatcher.held), 4)

    def test_one_that_cannot_be_answered_makes_room_for_the_next(self) -> None:
        self.patch(localfront, "MAX_CALLS", 1)
        self.dispatcher.hold = True
        self.send(2)
        self.dispatcher.held[0].errback(RuntimeError())
        self.assertEqual(len(self.dispatcher.held), 2)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_a_call_before_the_hello_ends_the_connection(self) -> None:
        link: Any = self.front.buildProtocol(None)
        transport: Any = StringTransport()
        link.makeConnection(transport)
        link.dataReceived(encode(Line(id=1, caller=Behalf([], "bob", ""), body=request("x", []))))
        self.assertTrue(transport.disconnecting)
        self.assertIn("before the hello", decode(transport.value().splitlines()[-1]).bye or "")
        self.assertEqual(self.dispatcher.asked, [])

    def test_nonsense_ends_the_connection(self) -> None:
        for line in (b"\xff\n", b"[]\n", b'{"id":1}\n', b"[" * 100_000 + b"\n"):
            link: Any = self.front.buildProtocol(None)
            transport: Any = StringTransport()
            link.makeConnection(transport)
            link.dataReceived(encode(Line(hello=HELLO)) + line)
            self.assertTrue(transport.disconnecting, line[:9])

    def test_one_rpc_process_too_many_is_turned_away(self) -> None:
        self.patch(localfront, "MAX_LINKS", 1)
        link: Any = self.front.buildProtocol(None)
        transport: Any = StringTransport()
        link.makeConnection(transport)
        self.assertTrue(transport.disconnecting)
        self.assertEqual(self.front.links, 1)

    def test_what_is_under_way_ends_with_the_connection(self) -> None:
        self.dispatcher.hold = True
        self.send(2)
        self.link.connectionLost(Failure(ConnectionDone()))
        self.assertEqual((self.dispatcher.ended, self.front.links), (2, 0))


class Framing(SynchronousTestCase):
    @given(st.lists(st.binary(max_size=40)), st.data())
    def test_lines_are_the_same_however_they_are_cut(self, parts: list[bytes], data: Any) -> None:
        lines = [part.replace(b"\n", b"") for part in parts]
        text = b"".join(line + b"\n" for line in lines)
        reader, found, at = Lines(), [], 0
        while at < len(text):
            size = data.draw(st.integers(1, len(text) - at))
            found += reader.feed(text[at : at + size])
            at += size
        self.assertEqual(found, lines)

    def test_a_line_without_an_end_is_cut_off(self) -> None:
        reader = Lines(10)
        self.assertEqual(reader.feed(b"x" * 10), [])
        self.assertRaises(LinkError, reader.feed, b"x")
        self.assertRaises(LinkError, Lines(10).feed, b"x" * 11 + b"\n")
