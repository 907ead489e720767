"""The client for Twisted programs repeats what the blocking one repeats, and nothing else."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.error import DNSLookupError
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from twisted.web.client import Agent, HTTPConnectionPool

from timed.client import answers, errors
from timed.client.asynchronous import AsyncClient
from timed.client.location import Location
from timed.client.retry import Retry
from timed.client.testing import FakeNode, Refusal

PAYMENT = "sendtoaddress"


class Repetition(TestCase):
    def client(self, answers: dict[str, Any], *refusals: Refusal) -> AsyncClient:
        self.node = FakeNode(answers, list(refusals))
        self.node.__enter__()
        self.addCleanup(self.node.__exit__)
        agent = Agent(reactor, pool=HTTPConnectionPool(reactor, persistent=False))
        return AsyncClient(self.node.location, reactor, agent, 5, Retry(3, first_s=0.0))

    async def test_a_question_is_asked_again(self) -> None:
        for refusal in (Refusal(503), Refusal(429, "0"), Refusal(0)):
            client = self.client({"getblockcount": 7}, refusal)
            self.assertEqual(await client.call("getblockcount"), 7)
            client = self.client({"getblockcount": 7}, refusal)
            self.assertEqual(await client.batch([("getblockcount", [])]), [7])

    async def test_a_payment_is_never_sent_twice(self) -> None:
        for refusal in (Refusal(503), Refusal(429, "0"), Refusal(0)):
            client = self.client({PAYMENT: "id"}, refusal)
            with self.assertRaises(errors.ClientError):
                await client.call(PAYMENT, "a", 1)
            client = self.client({PAYMENT: "id", "uptime": 1}, refusal)
            with self.assertRaises(errors.ClientError):
                await client.batch([("uptime", []), (PAYMENT, ["a", 1])])
            self.assertEqual(self.node.calls, [])

    async def test_it_ends_with_the_error_of_the_last_time(self) -> None:
        client = self.client({}, *[Refusal(503, "0")] * 9)
        with self.assertRaises(errors.Busy):
            await client.call("uptime")
        self.assertEqual(len(self.node.refusals), 6)

    async def test_waits_until_a_payment_is_final(self) -> None:
        answers = [{"final": False, "rejected": None}, {"final": True, "rejected": None}]
        client = self.client({"waittransactionfinality": lambda txid, seconds: answers.pop(0)})
        self.assertTrue((await client.wait_final("ab"))["final"])
        client = self.client({"waittransactionfinality": {"final": False, "rejected": None}})
        with self.assertRaises(errors.TimedOut):
            await client.wait_final("ab", 0.5)


class Sluggish(Protocol):
    """A server that begins an answer and never ends it."""

    def dataReceived(self, data: bytes) -> None:
        if data.startswith(b"POST"):
            self.factory.asked += 1
            self.transport.write(self.factory.beginning)

    def connectionLost(self, reason: Failure) -> None:
        self.factory.gone.callback(None)


class Silence(TestCase):
    timeout = 30

    async def test_who_does_not_answer_in_time_is_let_go_wherever_he_stopped(self) -> None:
        """Whether the call was carried out is unknown, so it is not sent again."""
        header = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n"
        for beginning in (b"", header[:9], header, header + b'{"id"'):
            factory = Factory.forProtocol(Sluggish)
            factory.asked, factory.beginning, factory.gone = 0, beginning, Deferred()
            port = reactor.listenTCP(0, factory, interface="127.0.0.1")
            agent = Agent(reactor, pool=HTTPConnectionPool(reactor, persistent=False))
            client = AsyncClient(Location("127.0.0.1", port.getHost().port), reactor, agent, 0.1, Retry(3))
            with self.assertRaises(errors.TimedOut):
                await client.call("uptime")
            await factory.gone
            self.assertEqual(factory.asked, 1)
            await port.stopListening()

    async def test_an_answer_without_end_is_given_up(self) -> None:
        """Attack: whoever listens there sends until the caller's memory is full."""
        self.patch(answers, "MAX_ANSWER_BYTES", 100)
        header = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        announced = header + b"Content-Length: 101\r\n\r\n"
        for beginning in (announced + 101 * b" ", header + b"\r\n" + 101 * b" "):
            factory = Factory.forProtocol(Sluggish)
            factory.asked, factory.beginning, factory.gone = 0, beginning, Deferred()
            port = reactor.listenTCP(0, factory, interface="127.0.0.1")
            agent = Agent(reactor, pool=HTTPConnectionPool(reactor, persistent=False))
            client = AsyncClient(Location("127.0.0.1", port.getHost().port), reactor, agent, 20, Retry(3))
            with self.assertRaises(errors.BadResponse) as caught:
                await client.call("uptime")
            self.assertIn("more than 100 bytes", str(caught.exception))
            await factory.gone
            self.assertEqual(factory.asked, 1)
            await port.stopListening()

    async def test_a_call_that_is_cancelled_is_not_sent_again(self) -> None:
        factory = Factory.forProtocol(Sluggish)
        factory.asked, factory.beginning, factory.gone = 0, b"", Deferred()
        port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        agent = Agent(reactor, pool=HTTPConnectionPool(reactor, persistent=False))
        location = Location("127.0.0.1", port.getHost().port)
        client = AsyncClient(location, reactor, agent, 20, Retry(3, first_s=0.0))
        going = Deferred.fromCoroutine(client.call("uptime"))
        while not factory.asked:
            await deferLater(reactor, 0.01)
        going.cancel()
        await self.assertFailure(going, CancelledError)
        await factory.gone
        self.assertEqual(factory.asked, 1)
        await port.stopListening()

    async def test_a_host_that_nobody_knows_cannot_be_reached(self) -> None:
        class Nowhere:
            def request(self, *args: Any) -> Deferred[Any]:
                return fail(DNSLookupError("no results"))

        client = AsyncClient(Location("nowhere.invalid", 1), reactor, Nowhere())
        with self.assertRaises(errors.CannotConnect) as caught:
            await client.call("uptime")
        self.assertIn("nowhere.invalid:1", str(caught.exception))
