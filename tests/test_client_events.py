"""The iterators over a node's events: nothing lost and nothing twice when connections and nodes come and go."""

from __future__ import annotations

import random
import sys
from collections import Counter
from typing import Any
from unittest import mock

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.error import DNSLookupError
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock, deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import Agent, HTTPConnectionPool, ResponseNeverReceived

from tests.feed_world import LoopFeed, draft
from tests.rpc_service import DEADLINE_S, ServiceTestCase
from timed.client import stream
from timed.client.asynchronous import AsyncClient
from timed.client.blocking import Client
from timed.client.errors import BadResponse, Busy, ConnectionLost, InvalidArguments, Unauthorized
from timed.client.following import Events
from timed.client.location import Location
from timed.client.stream import FIRST_PAUSE_S, LAST_PAUSE_S, Blocks, CursorLost, Place
from timed.feed.hub import FAILED
from timed.feed.log import Bounds


def no_pause(seconds: float) -> None:
    """Tests do not wait."""


class EventsCase(ServiceTestCase):
    def prepare(self) -> None:
        self.feed = LoopFeed(self.context, bounds=Bounds(200, 1 << 30, 0))
        self.patch(stream, "FIRST_PAUSE_S", 0.01)
        self.patch(stream, "LAST_PAUSE_S", 0.02)

    async def tearDown(self) -> None:
        await super().tearDown()
        await self.feed.close()

    def write(self, count: int) -> None:
        self.feed.write(*[draft() for _ in range(count)])

    def cut(self) -> None:
        """Every subscription ends."""
        for each in self.feed.hub:
            self.feed.hub.end(each, FAILED, "a test says so")


class Blocking(EventsCase):
    def test_an_iterator_goes_on_where_its_connection_was_lost(self) -> Deferred[None]:
        async def scenario() -> None:
            with Client(self.location, sleep=no_pause) as client, client.events(cursor="oldest") as events:
                seen = []
                for _ in range(4):
                    self.write(10)
                    for _ in range(10):
                        seen.append(await self.in_thread(next, events))
                    self.cut()
                self.assertEqual([each["sequence"] for each in seen], list(range(1, 41)))
                self.assertEqual(events.cursor, self.feed.hub.ends.cursor(40))

        return Deferred.fromCoroutine(scenario())

    def test_what_came_and_was_not_taken_comes_again(self) -> Deferred[None]:
        async def scenario() -> None:
            with Client(self.location, sleep=no_pause) as client, client.events(cursor="oldest") as events:
                self.write(20)
                first = [await self.in_thread(next, events) for _ in range(3)]
            with Client(self.location) as client, client.events(cursor=events.cursor) as again:
                rest = [await self.in_thread(next, again) for _ in range(17)]
            self.assertEqual([each["sequence"] for each in (*first, *rest)], list(range(1, 21)))

        return Deferred.fromCoroutine(scenario())

    def test_what_asking_again_cannot_mend_is_raised(self) -> Deferred[None]:
        async def scenario() -> None:
            self.write(10)
            old = self.feed.hub.ends.cursor(1)
            self.write(250)
            with Client(self.location, sleep=no_pause) as client:
                lost = await self.assertFailure(self.in_thread(next, client.events(cursor=old)), CursorLost)
                self.assertEqual((lost.data["lost_from"], lost.data["lost_to"]), (2, 60))
                wrong = client.events(types=["blocks"])
                await self.assertFailure(self.in_thread(next, wrong), InvalidArguments)
            stranger = Client(Location("127.0.0.1", self.rpc_port, "nobody", "x"), sleep=no_pause)
            await self.assertFailure(self.in_thread(next, stranger.events()), Unauthorized)

        return Deferred.fromCoroutine(scenario())


class FromAnotherThread(EventsCase):
    def test_whoever_waits_for_an_event_is_let_go_by_a_close(self) -> Deferred[None]:
        async def scenario() -> None:
            with Client(self.location, sleep=no_pause) as client:
                for _ in range(5):
                    events = client.events()
                    waiting = self.in_thread(list, events)
                    while not len(self.feed.hub):
                        await self.in_thread(no_pause, 0)
                    self.write(1)
                    events.close()
                    self.assertLessEqual(len(await waiting), 1)
                    while len(self.feed.hub):
                        await self.in_thread(no_pause, 0)

        return Deferred.fromCoroutine(scenario())


def passing_on(response: Any, told: Deferred[None]) -> Any:
    """The response, once its head is here."""
    told.callback(None)
    return response


class Refusing(Protocol):
    """A server that begins to say why it refuses, and never ends."""

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(b"HTTP/1.1 503 Busy\r\nContent-Length: 99\r\n\r\nbusy")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.factory.gone.callback(None)


class Asynchronous(EventsCase):
    def test_an_iterator_goes_on_where_its_connection_was_lost(self) -> Deferred[None]:
        async def scenario() -> None:
            events = AsyncClient(self.location, reactor).events(["peer"], cursor="oldest")
            seen: list[dict[str, Any]] = []
            self.write(10)
            async for event in events:
                seen.append(event)
                if len(seen) in (10, 20, 30):
                    self.cut()
                    self.write(10)
                if len(seen) == 40:
                    events.close()
            self.assertEqual([each["sequence"] for each in seen], list(range(1, 41)))
            self.assertEqual(events.cursor, self.feed.hub.ends.cursor(40))
            await self.gone()

        return Deferred.fromCoroutine(scenario())

    def test_a_lost_cursor_is_raised(self) -> Deferred[None]:
        async def scenario() -> None:
            self.write(10)
            old = self.feed.hub.ends.cursor(1)
            self.write(250)
            events = AsyncClient(self.location, reactor).events(cursor=old)
            await self.assertFailure(Deferred.fromCoroutine(events.__anext__()), CursorLost)

        return Deferred.fromCoroutine(scenario())

    def test_who_closes_while_it_connects_leaves_no_connection(self) -> Deferred[None]:
        async def scenario() -> None:
            events = AsyncClient(self.location, reactor).events()
            coming = Deferred.fromCoroutine(events.__anext__()).addTimeout(30, reactor)
            events.close()
            await self.assertFailure(coming, StopAsyncIteration)
            await self.gone()

        return Deferred.fromCoroutine(scenario())

    def test_who_closes_while_it_rests_is_let_go_at_once(self) -> Deferred[None]:
        async def scenario() -> None:
            agent = mock.Mock(request=lambda *args: fail(DNSLookupError("no results")))
            clock = Clock()
            events = AsyncClient(self.location, clock, agent).events()
            coming = Deferred.fromCoroutine(events.__anext__())
            self.assertTrue(any(call.active() for call in clock.getDelayedCalls()))
            events.close()
            await self.assertFailure(coming, StopAsyncIteration)
            self.assertEqual(clock.getDelayedCalls(), [])

        return Deferred.fromCoroutine(scenario())

    def test_who_closes_while_a_refusal_comes_is_let_go_at_once(self) -> Deferred[None]:
        async def scenario() -> None:
            factory = Factory.forProtocol(Refusing)
            factory.gone, answered = Deferred(), Deferred()
            port = reactor.listenTCP(0, factory, interface="127.0.0.1")
            plain = Agent(reactor, pool=HTTPConnectionPool(reactor, persistent=False))
            agent = mock.Mock(request=lambda *args: plain.request(*args).addCallback(passing_on, answered))
            location = self.location._replace(port=port.getHost().port)
            events = AsyncClient(location, reactor, agent).events()
            coming = Deferred.fromCoroutine(events.__anext__()).addTimeout(DEADLINE_S, reactor)
            await answered
            await deferLater(reactor, 0)
            events.close()
            await self.assertFailure(coming, StopAsyncIteration)
            await factory.gone
            await port.stopListening()

        return Deferred.fromCoroutine(scenario())

    def test_who_lets_go_of_a_question_that_nobody_answers_is_let_go(self) -> Deferred[None]:
        async def scenario() -> None:
            clock = Clock()
            request: Deferred[None] = Deferred(
                lambda waiting: waiting.errback(ResponseNeverReceived([Failure(CancelledError())]))
            )
            agent = mock.Mock(request=lambda *args: request)
            coming = Deferred.fromCoroutine(AsyncClient(self.location, clock, agent).events().__anext__())
            coming.cancel()
            await self.assertFailure(coming, CancelledError)
            self.assertEqual(clock.getDelayedCalls(), [])

        return Deferred.fromCoroutine(scenario())

    async def gone(self) -> None:
        """Until the node has noticed that nobody follows."""
        deadline = reactor.seconds() + DEADLINE_S
        while len(self.feed.hub):
            self.assertLess(reactor.seconds(), deadline, "somebody still follows")
            await self.in_thread(lambda: None)


class Pieces(SynchronousTestCase):
    def test_an_event_that_is_no_json_is_asked_for_again(self) -> None:
        paused: list[float] = []
        events = Events(Location("127.0.0.1", 1), cursor="a-0", sleep=paused.append)

        def read() -> None:
            events._ready.append({"id": "a-1", "data": "{}" if paused else "{"})

        with mock.patch.object(events, "_read", read):
            self.assertEqual(next(events), {})
        self.assertEqual((len(paused), events.cursor), (1, "a-1"))

    def test_blocks_come_out_whole_however_they_arrive(self) -> None:
        text = b"retry: 2000\nid: a-1\n\n: alive\nid: a-2\n\nid: a-3\nevent: block\ndata: {}\n\n"
        chance = random.Random(3)
        for _ in range(50):
            blocks, found, rest = Blocks(), [], text
            while rest:
                size = chance.randrange(1, 12)
                found += blocks.feed(rest[:size])
                rest = rest[size:]
            self.assertEqual([each["id"] for each in found], ["a-1", "a-2", "a-3"])
            self.assertEqual(found[2]["data"], "{}")

    def test_a_huge_event_is_put_together_once(self) -> None:
        pieces = [b"id: a-1\ndata: ", *[b"x" * 50] * 2_000, b"\n", b"\n"]
        calls: Counter[str] = Counter()

        def count(frame: object, event: str, what: Any) -> None:
            if event == "c_call":
                calls[what.__qualname__] += 1

        blocks, found = Blocks(), []
        sys.setprofile(count)
        try:
            for piece in pieces:
                found += blocks.feed(piece)
        finally:
            sys.setprofile(None)
        self.assertEqual([len(each["data"]) for each in found], [100_000])
        self.assertEqual((calls["bytes.join"], calls["bytes.split"]), (1, 1))

    def test_an_event_without_end_is_given_up(self) -> None:
        self.patch(stream, "MAX_BLOCK_BYTES", 1_000)
        blocks = Blocks()
        with self.assertRaises(BadResponse):
            for _ in range(20):
                list(blocks.feed(b"x" * 100))

    def test_pauses_grow_and_start_again_with_an_answer(self) -> None:
        place = Place((), (), "newest", lambda: 0.0)
        pauses = [place.pause_after(ConnectionLost("")) for _ in range(8)]
        self.assertEqual(pauses[:3], [FIRST_PAUSE_S, 2 * FIRST_PAUSE_S, 4 * FIRST_PAUSE_S])
        self.assertEqual(pauses[-1], LAST_PAUSE_S)
        self.assertEqual(place.pause_after(Busy("", 40)), 40)
        place.began()
        self.assertEqual(place.pause(), FIRST_PAUSE_S)

    def test_a_place_moves_with_heartbeats_and_ends_too(self) -> None:
        place = Place(("block",), (), "newest", lambda: 0.0)
        self.assertEqual(place.target(), "/events?types=block&cursor=newest")
        self.assertIsNone(place.taken({"": "alive", "id": "a-5"}))
        self.assertIsNone(place.taken({"id": "a-6", "event": "end", "data": "{}"}))
        self.assertEqual(place.taken({"id": "a-7", "event": "block", "data": '{"n": 1}'}), {"n": 1})
        self.assertEqual(place.target(), "/events?types=block&cursor=a-7")
