"""Who makes room on a site: newcomers before clients, the idle before the rest, and nobody who waits for an answer."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase

from tests.rpc_service import DEADLINE_S, ServiceTestCase
from timed.rpc import site
from timed.rpc.places import NEWCOMERS_SHARE, Places

POLL_S = 0.02
COUNT = b'{"jsonrpc":"2.0","id":1,"method":"getblockcount"}'


class Holder:
    def __init__(self, name: str, busy: bool = False) -> None:
        self.name = name
        self.busy = busy


class Order(SynchronousTestCase):
    def places(self, newcomers: str = "", known: str = "") -> Places[Holder]:
        """Idle connections, one a letter."""
        made: Places[Holder] = Places()
        for name in newcomers + known:
            holder = Holder(name)
            made.take(holder)
            if name in known:
                made.used(holder, True)
        return made

    def drawn(self, places: Places[Holder], count: int) -> str:
        """Who goes, one after the other."""
        gone = ""
        for _ in range(len(places)):
            first = places.first_to_go(count)
            assert first is not None
            gone += first.name
            self.assertTrue(places.leave(first))
        self.assertIsNone(places.first_to_go(count))
        return gone

    def test_newcomers_go_before_clients_and_the_oldest_first(self) -> None:
        self.assertEqual(self.drawn(self.places("ab", "yz"), 8), "abyz")

    def test_an_eighth_of_the_places_is_the_newcomers(self) -> None:
        """Of 16 places two: of three newcomers one goes, then clients do."""
        places = self.places("abc", "wxyz")
        self.assertEqual(16 // NEWCOMERS_SHARE, 2)
        self.assertEqual(self.drawn(places, 16), "abwxyzc")

    def test_whoever_was_used_last_goes_last(self) -> None:
        places = self.places("", "xyz")
        places.used(next(each for each in places if each.name == "x"), True)
        self.assertEqual(self.drawn(places, 8), "yzx")

    def test_credentials_that_are_not_good_any_more_make_a_newcomer(self) -> None:
        places = self.places("", "xyz")
        places.used(next(each for each in places if each.name == "z"), False)
        self.assertEqual(self.drawn(places, 8), "zxy")

    def test_the_busy_stay(self) -> None:
        places = self.places("ab", "yz")
        for each in places:
            each.busy = each.name != "z"
        first = places.first_to_go(8)
        assert first is not None
        self.assertEqual(first.name, "z")
        first.busy = True
        self.assertIsNone(places.first_to_go(8))

    def test_who_has_no_place_gets_none_by_use(self) -> None:
        places = self.places("a")
        places.used(Holder("b"), True)
        self.assertEqual(len(places), 1)
        self.assertFalse(places.leave(Holder("b")))

    @given(st.lists(st.tuples(st.sampled_from("tuvl"), st.integers(0, 5)), max_size=60), st.integers(1, 6))
    def test_nobody_has_two_places_and_the_bound_holds(
        self, steps: list[tuple[str, int]], count: int
    ) -> None:
        """As a site uses it: take, used by a client or not, leave."""
        places: Places[Holder] = Places()
        holders = [Holder(str(number)) for number in range(6)]
        for step, number in steps:
            holder = holders[number]
            if step == "t" and holder not in places:
                if len(places) >= count:
                    first = places.first_to_go(count)
                    assert first is not None and places.leave(first)
                places.take(holder)
            elif step == "l":
                places.leave(holder)
            elif step in "uv":
                places.used(holder, step == "u")
            names = [each.name for each in places]
            self.assertEqual(len(names), len(set(names)))
            self.assertLessEqual(len(names), count)


class OnTheWire(ServiceTestCase):
    """Real connections to a real service."""

    def post(self) -> bytes:
        head = f"POST / HTTP/1.1\r\nHost: x\r\nAuthorization: {self.authorization()['Authorization']}\r\n"
        return head.encode() + b"Content-Length: %d\r\n\r\n" % len(COUNT) + COUNT

    def prepare(self) -> None:
        self.sent: list[int] = []
        real, test = site.send_now, self

        def counted(transport: Any, data: bytes) -> bytes:
            rest = real(transport, data)
            test.sent.append(len(data) - len(rest))
            return rest

        self.patch(site, "send_now", counted)

    @staticmethod
    def answer(raw: socket.socket) -> Any:
        raw.settimeout(DEADLINE_S)
        received = b""
        while b'"id":1}' not in received:
            data = raw.recv(65_536)
            if not data:
                raise ConnectionResetError
            received += data
        return json.loads(received.partition(b"\r\n\r\n")[2])

    async def until(self, fact: Callable[[], bool]) -> None:
        for _ in range(round(DEADLINE_S / POLL_S)):
            if fact():
                return
            await deferLater(reactor, POLL_S)
        self.fail("it did not happen in time")

    async def test_each_answer_leaves_at_once_and_in_one_piece(self) -> None:
        def talk() -> list[Any]:
            with socket.create_connection(("127.0.0.1", self.rpc_port), DEADLINE_S) as raw:
                found = []
                for _ in range(3):
                    raw.sendall(self.post())
                    found.append(self.answer(raw)["result"])
                return found

        self.assertEqual(await self.in_thread(talk), [0, 0, 0])
        self.assertEqual(len(self.sent), 3)
        self.assertGreater(min(self.sent), 100)

    async def test_a_client_keeps_its_connection_while_strangers_come_in_hundreds(self) -> None:
        self.rpc.site.max_connections = 16

        def come() -> list[socket.socket]:
            client = socket.create_connection(("127.0.0.1", self.rpc_port), DEADLINE_S)
            client.sendall(self.post())
            self.answer(client)
            return [client] + [
                socket.create_connection(("127.0.0.1", self.rpc_port), DEADLINE_S) for _ in range(200)
            ]

        def ask() -> Any:
            client.sendall(self.post())
            return self.answer(client)["result"]

        client, *strangers = await self.in_thread(come)
        await self.until(lambda: self.rpc.site is not None and self.rpc.site.counters["full"] == 201 - 16)
        self.assertEqual(await self.in_thread(ask), 0)
        for each in (client, *strangers):
            each.close()

    async def test_a_call_that_comes_with_its_connection_is_read_before_others_take_the_place(self) -> None:
        """One place, and all are accepted in one turn: every newcomer sends the one before it away."""
        self.rpc.site.max_connections = 1
        port: Any = self.rpc.port
        port.stopReading()

        def come() -> list[socket.socket]:
            made = [socket.create_connection(("127.0.0.1", self.rpc_port), DEADLINE_S)]
            made[0].sendall(self.post())
            return made + [
                socket.create_connection(("127.0.0.1", self.rpc_port), DEADLINE_S) for _ in range(5)
            ]

        caller, *others = await self.in_thread(come)
        port.startReading()
        self.assertEqual((await self.in_thread(self.answer, caller))["result"], 0)
        for each in (caller, *others):
            each.close()
