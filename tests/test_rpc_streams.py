"""Events over HTTP on loopback: server-sent events and WebSockets, their refusals, and their ends."""

from __future__ import annotations

import base64
import ipaddress
import json
import socket
import ssl
from pathlib import Path
from typing import Any

from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredQueue
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.ssl import Certificate, optionsForClientTLS
from twisted.internet.task import deferLater

from tests.feed_world import LoopFeed, draft
from tests.rpc_service import DEADLINE_S, ServiceTestCase
from tests.test_client_tls import certificate
from timed.client.blocking import Client
from timed.client.location import Location
from timed.client.message import authorization
from timed.feed import hub as hubs
from timed.feed.event import Draft
from timed.feed.hub import DISMISSED, REFUSED, SLOW, STALLED, STOPPED, Limits, Subscription
from timed.feed.log import Bounds
from timed.feed.records import LockTouch
from timed.params import REGTEST
from timed.primitives.address import encode_address
from timed.primitives.transaction import Lock
from timed.rpc import websocket
from timed.rpc.credentials import make
from timed.rpc.method import ADMIN, READ

PAYEE = Lock.key_hash(b"\5" * 32)


class Stream:
    """A client of server-sent events that reads when it is told to; used in threads."""

    def __init__(self, port: int, path: str, headers: dict[str, str], receive_bytes: int = 0) -> None:
        self.socket = socket.socket()
        self.socket.settimeout(DEADLINE_S)
        if receive_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.connect(("127.0.0.1", port))
        lines = [f"GET {path} HTTP/1.1", "Host: x", *(f"{name}: {value}" for name, value in headers.items())]
        self.socket.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        self.file = self.socket.makefile("rb")
        self.status = int(self.file.readline().split()[1])
        self.headers: dict[str, str] = {}
        while line := self.file.readline().strip():
            name, _, value = line.decode().partition(":")
            self.headers[name.lower()] = value.strip()
        self._rest = b""

    def body(self) -> Any:
        return json.loads(self.file.read(int(self.headers["content-length"])))

    def event(self) -> dict[str, str]:
        """The next block of fields that is an event; {} at the end of the stream."""
        while True:
            while b"\n\n" not in self._rest:
                size = int(self.file.readline() or b"0", 16)
                if not size:
                    return {}
                self._rest += self.file.read(size)
                self.file.readline()
            block, self._rest = self._rest.split(b"\n\n", 1)
            fields = dict(line.split(": ", 1) for line in block.decode().split("\n"))
            if "data" in fields:
                return fields

    def events(self, count: int) -> list[dict[str, str]]:
        return [self.event() for _ in range(count)]

    def close(self) -> None:
        self.file.close()
        self.socket.close()


class Socket(WebSocketClientProtocol):
    """Messages as they come; None when it is over."""

    def __init__(self) -> None:
        super().__init__()
        self.opened: Deferred[Socket] = Deferred()
        self.messages: DeferredQueue[Any] = DeferredQueue()
        self.closed: Deferred[tuple[int, str]] = Deferred()

    def onOpen(self) -> None:
        self.opened.callback(self)

    def onMessage(self, payload: bytes, is_binary: bool) -> None:
        self.messages.put(json.loads(payload))

    def onClose(self, was_clean: bool, code: int, reason: str) -> None:
        if not self.opened.called:
            self.opened.errback(ConnectionError(f"{code} {reason}"))
        self.closed.callback((code, reason))

    def say(self, **message: Any) -> Deferred[Any]:
        self.sendMessage(json.dumps(message).encode())
        return self.messages.get()


class StreamsCase(ServiceTestCase):
    bounds = Bounds(1_000_000, 1 << 30, 0)
    limits = Limits(20, 10, 1 << 30)

    def prepare(self) -> None:
        self.feed = LoopFeed(self.context, self.limits, self.bounds)

    async def tearDown(self) -> None:
        await super().tearDown()
        await self.feed.close()

    def stream(self, query: str = "", headers: dict[str, str] | None = None, **options: int) -> Deferred[Any]:
        given = self.authorization() if headers is None else headers

        def connect() -> Stream:
            made = Stream(self.rpc_port, f"/events{query}", given, **options)
            self.addCleanup(made.close)
            return made

        return self.in_thread(connect)

    def socket(self, headers: dict[str, str] | None = None) -> Deferred[Socket]:
        factory = self.factory(self.authorization() if headers is None else headers)
        endpoint = HostnameEndpoint(reactor, "127.0.0.1", self.rpc_port)
        made: Deferred[Socket] = endpoint.connect(factory).addCallback(lambda client: client.opened)
        return made

    def factory(self, headers: dict[str, str]) -> WebSocketClientFactory:
        factory = WebSocketClientFactory(
            f"ws://127.0.0.1:{self.rpc_port}/events", headers=headers, reactor=reactor
        )
        factory.noisy = False
        factory.setProtocolOptions(
            openHandshakeTimeout=0, closeHandshakeTimeout=0, serverConnectionDropTimeout=0
        )
        factory.protocol = Socket
        return factory

    def served(self) -> Any:
        """The node's end of the one WebSocket."""
        streams = self.rpc._streams
        assert streams is not None and streams._sockets is not None
        [served] = streams._sockets._open
        return served

    def write(self, count: int, size: int = 0) -> None:
        self.feed.write(*[draft(size=size) for _ in range(count)])


class ServerSentEvents(StreamsCase):
    def test_what_was_and_what_comes_with_ids_and_types(self) -> Deferred[None]:
        async def scenario() -> None:
            self.write(2)
            stream = await self.stream("?cursor=oldest")
            self.assertEqual(
                (stream.status, stream.headers["content-type"]), (200, "text/event-stream; charset=utf-8")
            )
            events = await self.in_thread(stream.events, 2)
            self.write(1)
            events += await self.in_thread(stream.events, 1)
            self.assertEqual(
                [each["id"] for each in events], [self.feed.hub.ends.cursor(n) for n in (1, 2, 3)]
            )
            self.assertEqual({each["event"] for each in events}, {"peer.connected"})
            self.assertEqual([json.loads(each["data"])["sequence"] for each in events], [1, 2, 3])

        return Deferred.fromCoroutine(scenario())

    def test_a_client_comes_back_with_its_last_event_id(self) -> Deferred[None]:
        async def scenario() -> None:
            self.write(5)
            cursor = self.feed.hub.ends.cursor(3)
            stream = await self.stream("?cursor=oldest", {**self.authorization(), "Last-Event-ID": cursor})
            events = await self.in_thread(stream.events, 2)
            self.assertEqual([json.loads(each["data"])["sequence"] for each in events], [4, 5])

        return Deferred.fromCoroutine(scenario())

    def test_types_and_addresses_choose(self) -> Deferred[None]:
        async def scenario() -> None:
            payee = encode_address(REGTEST, PAYEE)
            stream = await self.stream(f"?types=transaction.final,block&addresses={payee}&cursor=oldest")
            touch = (LockTouch(PAYEE, 5, 0),)
            self.feed.write(
                draft("block"), Draft.of("transaction.final", 1, b"\1" * 32),
                Draft.of("transaction.accepted", 1, b"\2" * 32, touch),
                Draft.of("transaction.final", 1, b"\2" * 32, touch),
            )  # fmt: skip
            event = await self.in_thread(stream.event)
            self.assertEqual(json.loads(event["data"])["data"]["addresses"][0]["address"], payee)
            self.assertEqual(event["id"], self.feed.hub.ends.cursor(4))

        return Deferred.fromCoroutine(scenario())

    def test_a_client_that_goes_away_leaves_its_place(self) -> Deferred[None]:
        async def scenario() -> None:
            stream = await self.stream()
            self.assertEqual(len(self.feed.hub), 1)
            await self.in_thread(stream.close)
            while len(self.feed.hub):
                self.write(1)
                await self.in_thread(lambda: None)
            self.assertEqual(len(self.feed.hub), 0)

        return Deferred.fromCoroutine(scenario())

    def test_a_stop_ends_the_stream_with_the_cursor(self) -> Deferred[None]:
        async def scenario() -> None:
            self.write(1)
            stream = await self.stream()
            stopped = self.rpc.disownServiceParent()
            event = await self.in_thread(stream.event)
            told = json.loads(event["data"])
            self.assertEqual((event["event"], told["reason"]), ("end", STOPPED))
            self.assertEqual((event["id"], told["cursor"]), (self.feed.hub.ends.cursor(1),) * 2)
            self.assertEqual(await self.in_thread(stream.event), {})
            await stopped

        return Deferred.fromCoroutine(scenario())


class Unread(StreamsCase):
    limits = Limits(20, 10, 300_000)

    def test_whoever_does_not_read_is_cut_and_loses_nothing(self) -> Deferred[None]:
        async def scenario() -> None:
            stream = await self.stream("?cursor=oldest", receive_bytes=4_096)
            while not self.feed.hub.ended[SLOW]:
                self.write(20, size=10_000)
                await self.in_thread(lambda: None)
            newest = self.feed.hub.window.newest
            seen = []
            while event := await self.in_thread(stream.event):
                seen.append(event)
            end = json.loads(seen[-1]["data"])
            self.assertEqual((seen[-1]["event"], end["reason"]), ("end", SLOW))
            have = [json.loads(each["data"])["sequence"] for each in seen[:-1]]
            again = await self.stream(f"?cursor={end['cursor']}")
            rest = await self.in_thread(again.events, newest - have[-1])
            have += [json.loads(each["data"])["sequence"] for each in rest]
            self.assertEqual(have, list(range(1, newest + 1)))

        return Deferred.fromCoroutine(scenario())

    def test_a_websocket_that_is_not_read_is_cut_with_its_cursor_in_the_close(self) -> Deferred[None]:
        async def scenario() -> None:
            client = await self.socket()
            await client.say(op="subscribe", after="oldest")
            client.transport.pauseProducing()
            while not self.feed.hub.ended[SLOW]:
                self.write(20, size=10_000)
                await self.in_thread(lambda: None)
            client.transport.resumeProducing()
            code, reason = await client.closed
            last = 0
            while "op" not in (message := await client.messages.get()):
                last = message["sequence"]
            self.assertEqual((message["op"], message["cursor"]), ("end", self.feed.hub.ends.cursor(last)))
            self.assertEqual((code, reason), (4001, f"slow {message['cursor']}"))

        return Deferred.fromCoroutine(scenario())

    def test_one_that_answers_no_ping_is_counted_among_the_subscriptions_that_were_ended(
        self,
    ) -> Deferred[None]:
        async def scenario() -> None:
            client = await self.socket()
            await client.say(op="subscribe")
            client.transport.pauseProducing()
            served = self.served()
            while len(self.feed.hub):
                served._timer.reset(0)
                await deferLater(reactor, 0)
            client.transport.resumeProducing()
            await client.closed
            self.assertEqual(self.feed.hub.ended, {STALLED: 1})

        return Deferred.fromCoroutine(scenario())


class Flooded(StreamsCase):
    limits = Limits(20, 10, 1 << 30)

    def test_a_websocket_that_asks_without_reading_is_not_read_on(self) -> Deferred[None]:
        """Else what answers its messages and pings would wait in memory, without a bound."""

        async def scenario() -> None:
            client = await self.socket()
            await client.say(op="cursor")
            served = self.served()
            reading: list[str] = []
            transport = served.transport
            self.patch(transport, "pauseProducing", lambda: reading.append("pause"))
            self.patch(transport, "resumeProducing", lambda: reading.append("resume"))
            served.pauseProducing()
            served._rested(None)
            self.assertEqual(reading, ["pause"])
            served.resumeProducing()
            self.assertEqual(reading, ["pause", "resume"])
            client.dropConnection(abort=True)

        return Deferred.fromCoroutine(scenario())

    async def full(self) -> tuple[Stream, Subscription]:
        """A stream whose client has left off reading."""
        stream = await self.stream(receive_bytes=4_096)
        [subscription] = self.feed.hub
        looks = 0
        while looks < 5:
            # The system takes some for it, too.
            looks = looks + 1 if subscription.paused else 0
            self.write(20, size=10_000)
            await deferLater(reactor, 0.02)
        return stream, subscription

    def test_a_stream_that_is_not_read_takes_nothing_in(self) -> Deferred[None]:
        """What its client sends meanwhile would wait for the stream's end, in memory."""

        def flood(raw: socket.socket) -> int:
            raw.settimeout(0.3)
            sent = 0
            try:
                while sent < 64 * 1024 * 1024:
                    sent += raw.send(bytes(65_536))
            except TimeoutError:
                pass
            return sent

        async def scenario() -> None:
            stream, _ = await self.full()
            self.assertLess(await self.in_thread(flood, stream.socket), 64 * 1024 * 1024)

        return Deferred.fromCoroutine(scenario())

    def test_a_client_that_reads_again_and_goes_is_missed_at_once(self) -> Deferred[None]:
        async def scenario() -> None:
            stream, subscription = await self.full()
            await self.in_thread(stream.events, self.feed.hub.window.newest)
            while subscription.paused:
                await deferLater(reactor, 0.01)
            await self.in_thread(stream.close)
            while len(self.feed.hub):
                await deferLater(reactor, 0.01)

        return Deferred.fromCoroutine(scenario())


class WebSockets(StreamsCase):
    def test_subscribe_ack_cursor_unsubscribe(self) -> Deferred[None]:
        async def scenario() -> None:
            self.write(3)
            cursor = self.feed.hub.ends.cursor
            client = await self.socket()
            answer = await client.say(op="subscribe", id=7, after="oldest", types=["peer"], window=2)
            self.assertEqual(answer, {"op": "subscribe", "id": 7, "cursor": cursor(0)})
            events = [await client.messages.get() for _ in range(3)]
            self.assertEqual([each["cursor"] for each in events], [cursor(1), cursor(2), cursor(3)])
            self.write(1)
            answer = await client.say(op="ack", cursor=cursor(3))
            self.assertEqual(answer, {"op": "ack", "cursor": cursor(3)})
            self.assertEqual((await client.messages.get())["cursor"], cursor(4))
            places = await client.say(op="cursor")
            self.assertEqual(
                places,
                {
                    "op": "cursor",
                    "cursor": cursor(4),
                    "oldest": cursor(0),
                    "sent": cursor(4),
                    "acknowledged": cursor(3),
                },
            )
            self.assertEqual(await client.say(op="unsubscribe"), {"op": "unsubscribe", "cursor": cursor(4)})
            self.write(1)
            self.assertEqual((await client.say(op="cursor"))["sent"], None)
            client.sendClose()
            await client.closed

        return Deferred.fromCoroutine(scenario())

    def test_another_filter_goes_on_from_the_same_place(self) -> Deferred[None]:
        async def scenario() -> None:
            client = await self.socket()
            await client.say(op="subscribe", types=["block"])
            self.write(2)
            answer = await client.say(op="subscribe", types=["peer"])
            self.assertEqual(answer["op"], "subscribe")
            self.write(1)
            seen = (await client.messages.get())["sequence"]
            self.assertEqual(seen, int(answer["cursor"].partition("-")[2]) + 1)
            self.assertEqual(len(self.feed.hub), 1)
            client.sendClose()
            await client.closed

        return Deferred.fromCoroutine(scenario())

    def test_nonsense_is_answered_and_the_socket_stays(self) -> Deferred[None]:
        async def scenario() -> None:
            client = await self.socket()
            for text, rule in (
                ("x", "json-parse"), ("[]", "request-form"), ('{"op": "fly"}', "request-form"), ("{}", "request-form"),
                ('{"op": "ack", "cursor": "1"}', "not-subscribed"),
                ('{"op": "cursor", "id": []}', "request-form"),
                ('{"op": "subscribe", "type": "block"}', "param-arity"),
                ('{"op": "subscribe", "types": ["blocks"]}', "param-value"),
                ('{"op": "subscribe", "types": "block"}', "param-type"),
                ('{"op": "subscribe", "after": "00000000-0"}', "cursor-foreign"),
            ):  # fmt: skip
                client.sendMessage(text.encode())
                answer = await client.messages.get()
                self.assertEqual((answer["op"], answer["error"]["data"]["rule"]), ("error", rule), text)
                self.assertTrue(answer["error"]["data"]["hint"])
            self.assertEqual((await client.say(op="cursor", id="x"))["id"], "x")
            client.sendMessage(b'{"op": "fly", "id": 7}')
            self.assertEqual((await client.messages.get())["id"], 7)
            client.sendMessage(b'{"op": "cursor", "id": 1.5}')
            self.assertEqual((await client.messages.get())["id"], 1.5)
            client.sendMessage(b'{"op": "' + b"x" * 200_000)
            code, _ = await client.closed
            self.assertEqual(code, 1009)

        return Deferred.fromCoroutine(scenario())

    def test_pings_are_answered_and_a_stop_says_where_one_was(self) -> Deferred[None]:
        async def scenario() -> None:
            self.write(4)
            quiet, client = await self.socket(), await self.socket()
            ponged: Deferred[bytes] = Deferred()
            client.onPong = ponged.callback
            client.sendPing(b"are you there")
            self.assertEqual(await ponged, b"are you there")
            await client.say(op="subscribe")
            stopped = self.rpc.disownServiceParent()
            end = await client.messages.get()
            cursor = self.feed.hub.ends.cursor(4)
            self.assertEqual((end["op"], end["reason"], end["cursor"]), ("end", STOPPED, cursor))
            self.assertEqual(await client.closed, (4005, f"stopping {cursor}"))
            self.assertEqual((await quiet.closed)[0], 4005)
            await stopped

        return Deferred.fromCoroutine(scenario())

    def test_readers_of_both_kinds_share_the_encoding(self) -> Deferred[None]:
        async def scenario() -> None:
            clients = [await self.socket() for _ in range(3)]
            for client in clients:
                await client.say(op="subscribe")
            stream = await self.stream()
            self.write(5)
            texts = [[await client.messages.get() for _ in range(5)] for client in clients]
            events = [json.loads(each["data"]) for each in await self.in_thread(stream.events, 5)]
            self.assertEqual(texts, [events] * 3)
            self.assertEqual(self.feed.feed.window.presenter.encoded, 5)
            for client in clients:
                client.sendClose()
                await client.closed

        return Deferred.fromCoroutine(scenario())


class Refusals(StreamsCase):
    bounds = Bounds(5, 1 << 30, 0)
    limits = Limits(3, 2, 1 << 30)

    def rpc_settings(self) -> dict[str, Any]:
        secrets = tuple(
            make(user, "secret", lambda size: b"\1" * size) for user in ("reader", "caller", "watcher")
        )
        return {
            "auth": secrets,
            "roles": {"reader": READ, "caller": ADMIN, "watcher": READ},
            "whitelist": {"caller": ("getblockcount",), "watcher": ("getevents",)},
        }

    def as_user(self, user: str) -> dict[str, str]:
        return {"Authorization": "Basic " + base64.b64encode(f"{user}:secret".encode()).decode()}

    def test_who_may_not_follow_is_told_so_in_http(self) -> Deferred[None]:
        async def scenario() -> None:
            cases = (
                ({}, 401), (self.as_user("caller"), 403), (self.as_user("reader"), 200), (self.as_user("watcher"), 200),
                ({**self.authorization(), "Origin": "https://example.org"}, 403),
            )  # fmt: skip
            for headers, status in cases:
                stream = await self.stream(headers=headers)
                self.assertEqual(stream.status, status)
            upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
            upgrade["Sec-WebSocket-Key"] = base64.b64encode(bytes(16)).decode()
            for headers, status in (cases[0], cases[1], cases[4]):
                stream = await self.stream(headers={**headers, **upgrade})
                self.assertEqual(stream.status, status)

        return Deferred.fromCoroutine(scenario())

    def test_a_cursor_that_is_lost_and_parameters_that_are_wrong_are_named(self) -> Deferred[None]:
        async def scenario() -> None:
            self.write(12)
            ends = self.feed.hub.ends
            stream = await self.stream(f"?cursor={ends.cursor(3)}")
            error = (await self.in_thread(stream.body))["error"]
            self.assertEqual((stream.status, error["data"]["rule"]), (410, "cursor-lost"))
            self.assertEqual((error["data"]["lost_from"], error["data"]["lost_to"]), (4, 7))
            self.assertEqual(error["data"]["oldest"], ends.cursor(7))
            for query, status, rule in (
                ("?cursor=00000000-3", 410, "cursor-foreign"),
                ("?cursor=yesterday", 400, "cursor-form"),
                ("?types=blocks", 400, "param-value"),
                ("?addresses=nobody", 400, "address-prefix"),
                ("?type=block", 400, "param-arity"),
            ):
                stream = await self.stream(query)
                error = (await self.in_thread(stream.body))["error"]
                self.assertEqual((stream.status, error["data"]["rule"]), (status, rule))

        return Deferred.fromCoroutine(scenario())

    def test_places_are_bounded_for_each_client_and_in_all(self) -> Deferred[None]:
        async def scenario() -> None:
            for user, status, rule in (
                ("reader", 200, ""), ("reader", 200, ""), ("reader", 503, "client-full"), ("watcher", 200, ""),
                ("watcher", 503, "subscribers-full"),
            ):  # fmt: skip
                stream = await self.stream(headers=self.as_user(user))
                self.assertEqual(stream.status, status)
                if rule:
                    error = (await self.in_thread(stream.body))["error"]
                    self.assertEqual((error["data"]["rule"], stream.headers["retry-after"]), (rule, "5"))

        return Deferred.fromCoroutine(scenario())

    def test_websockets_are_bounded_before_they_subscribe(self) -> Deferred[None]:
        async def scenario() -> None:
            clients = [await self.socket() for _ in range(2)]
            await self.assertFailure(self.socket(), ConnectionError)
            for client in clients:
                client.sendClose()
                await client.closed
            again = await self.socket()
            again.sendClose()
            await again.closed

        return Deferred.fromCoroutine(scenario())

    def test_a_node_without_events_says_so(self) -> Deferred[None]:
        async def scenario() -> None:
            self.context.feed = None
            stream = await self.stream()
            error = (await self.in_thread(stream.body))["error"]
            self.assertEqual((stream.status, error["data"]["rule"]), (404, "no-feed"))

        return Deferred.fromCoroutine(scenario())


class Heartbeats(StreamsCase):
    def prepare(self) -> None:
        self.patch(hubs, "HEARTBEAT_S", 0.0)
        self.patch(hubs, "LOOK_S", 0.05)
        super().prepare()

    def test_a_quiet_stream_carries_its_cursor(self) -> Deferred[None]:
        async def scenario() -> None:
            stream = await self.stream("?types=block")
            self.write(2)
            cursor = self.feed.hub.ends.cursor(2)
            beat = f": alive\nid: {cursor}\n\n".encode()

            def read() -> bytes:
                found = b""
                while beat not in found:
                    found += stream.file.readline()
                return found

            self.assertIn(beat, await self.in_thread(read))

        return Deferred.fromCoroutine(scenario())


class Dismissed(StreamsCase):
    """What an account has open does not outlive a change of the account."""

    def rpc_settings(self) -> dict[str, Any]:
        secrets = tuple(make(user, "secret", lambda size: b"\1" * size) for user in ("alice", "bob"))
        return {"auth": secrets, "roles": {"alice": READ, "bob": READ}}

    def test_another_role_ends_what_is_open_with_the_cursor_and_nobody_else(self) -> Deferred[None]:
        async def scenario() -> None:
            self.write(3)
            alice, bob = ({"Authorization": authorization(user, "secret")} for user in ("alice", "bob"))
            stream, other = await self.stream("", alice), await self.stream("", bob)
            client, quiet = await self.socket(alice), await self.socket(alice)
            await client.say(op="subscribe")
            await self.context.live.change("rpc.roles", "alice:wallet, bob:read", 60)
            event = await self.in_thread(stream.event)
            cursor = self.feed.hub.ends.cursor(3)
            self.assertEqual((event["id"], json.loads(event["data"])["reason"]), (cursor, DISMISSED))
            self.assertEqual((await client.messages.get())["reason"], DISMISSED)
            self.assertEqual(await client.closed, (4006, f"dismissed {cursor}"))
            self.assertEqual((await quiet.closed)[0], 4006)
            self.assertEqual([each.client[0] for each in self.feed.hub], ["bob"])
            self.write(1)
            self.assertEqual((await self.in_thread(other.event))["event"], "peer.connected")

        return Deferred.fromCoroutine(scenario())


class Refused(StreamsCase):
    """What is open from an address that may not connect any more ends, and nothing else."""

    def rpc_settings(self) -> dict[str, Any]:
        return {"proxies": (ipaddress.ip_network("127.0.0.1/32"),)}

    def seen_from(self, address: str) -> dict[str, str]:
        return {**self.authorization(), "X-Forwarded-For": address}

    def test_a_narrower_allow_ends_what_is_open_with_the_cursor(self) -> Deferred[None]:
        async def scenario() -> None:
            self.write(3)
            gone, kept = self.seen_from("192.0.2.5"), self.seen_from("198.51.100.7")
            stream, other = await self.stream("", gone), await self.stream("", kept)
            client, quiet = await self.socket(gone), await self.socket(gone)
            await client.say(op="subscribe")
            await self.context.live.change("rpc.allow", "192.0.2.0/24, 198.51.100.0/24", 60)
            self.assertEqual(len(list(self.feed.hub)), 3)
            await self.context.live.change("rpc.allow", "198.51.100.0/24", 60)
            event = await self.in_thread(stream.event)
            cursor = self.feed.hub.ends.cursor(3)
            self.assertEqual((event["id"], json.loads(event["data"])["reason"]), (cursor, REFUSED))
            self.assertIn("rpc.allow", json.loads(event["data"])["detail"])
            self.assertEqual((await client.messages.get())["reason"], REFUSED)
            self.assertEqual(await client.closed, (4007, f"refused {cursor}"))
            self.assertEqual((await quiet.closed)[0], 4007)
            self.assertEqual(self.feed.hub.ended[REFUSED], 2)
            self.write(1)
            self.assertEqual((await self.in_thread(other.event))["event"], "peer.connected")
            self.assertEqual((await self.stream("", gone)).status, 403)

        return Deferred.fromCoroutine(scenario())

    def test_nor_does_one_begin_that_waits_for_its_turn(self) -> Deferred[None]:
        async def scenario() -> None:
            turn: Deferred[None] = Deferred()
            came: Deferred[None] = Deferred()

            def admit(caller: object, method: object) -> Deferred[None]:
                came.callback(None)
                return turn

            self.patch(self.rpc._streams, "admit", admit)
            asking = self.stream("", self.seen_from("192.0.2.5"))
            await came
            await deferLater(reactor, 0)  # the request is put down once it waits
            await self.context.live.change("rpc.allow", "198.51.100.0/24", 60)
            self.assertEqual((await asking).status, 403)
            self.assertEqual(list(self.feed.hub), [])

        return Deferred.fromCoroutine(scenario())


class OverTls(StreamsCase):
    def rpc_settings(self) -> dict[str, Any]:
        self.pem = certificate(Path(self.directory).absolute() / "node.pem", "127.0.0.1")
        return {"tls_certificate": self.pem, "tls_key": self.pem}

    def test_both_kinds_are_followed_over_tls(self) -> Deferred[None]:
        async def scenario() -> None:
            self.write(2)
            place = Location(
                "127.0.0.1", self.rpc_port, *self.cookie().split(":"), tls=True, ca_file=self.pem
            )
            with Client(place) as client, client.events(cursor="oldest") as events:
                seen = [await self.in_thread(next, events) for _ in range(2)]
            self.assertEqual([each["sequence"] for each in seen], [1, 2])
            factory = self.factory(self.authorization())
            options = optionsForClientTLS("127.0.0.1", Certificate.loadPEM(Path(self.pem).read_bytes()))
            endpoint = wrapClientTLS(options, HostnameEndpoint(reactor, "127.0.0.1", self.rpc_port))
            socket = await endpoint.connect(factory).addCallback(lambda client: client.opened)
            await socket.say(op="subscribe", after="oldest")
            self.assertEqual((await socket.messages.get())["sequence"], 1)
            self.write(1)
            self.assertEqual([(await socket.messages.get())["sequence"] for _ in range(2)], [2, 3])
            socket.sendClose()
            await socket.closed

        return Deferred.fromCoroutine(scenario())

    def test_an_upgrade_that_is_none_leaves_its_place_though_its_client_stays(self) -> Deferred[None]:
        """A close over TLS waits for the other side's."""
        self.patch(websocket, "CLOSE_S", 0.1)
        lines = ("GET /events HTTP/1.1", "Host: x", "Connection: Upgrade", "Upgrade: websocket")

        def ask() -> ssl.SSLSocket:
            context = ssl.create_default_context(cafile=self.pem)
            plain = socket.create_connection(("127.0.0.1", self.rpc_port), timeout=DEADLINE_S)
            raw = context.wrap_socket(plain, server_hostname="127.0.0.1")
            named = f"Authorization: {self.authorization()['Authorization']}"
            raw.sendall("\r\n".join((*lines, named, "", "")).encode())
            self.assertIn(b" 400 ", raw.recv(1_000))
            return raw

        async def scenario() -> None:
            raw = await self.in_thread(ask)
            self.addCleanup(raw.close)
            streams = self.rpc._streams
            assert streams is not None and streams._sockets is not None
            while len(streams._sockets):
                await deferLater(reactor, 0.01)

        return Deferred.fromCoroutine(scenario())


class BadUpgrades(StreamsCase):
    limits = Limits(4, 2, 1 << 30)

    def test_upgrades_that_are_none_are_answered_and_take_no_place(self) -> Deferred[None]:
        async def scenario() -> None:
            good = {"Connection": "Upgrade", "Sec-WebSocket-Version": "13", "Upgrade": "websocket"}
            good["Sec-WebSocket-Key"] = base64.b64encode(bytes(16)).decode()
            for name, value in (
                ("Sec-WebSocket-Key", "short"), ("Sec-WebSocket-Version", "99"), ("Connection", "close"),
                ("Sec-WebSocket-Version", "x"), ("Sec-WebSocket-Version", "8"),
            ):  # fmt: skip
                stream = await self.stream(headers={**self.authorization(), **good, name: value})
                self.assertEqual(stream.status, 400, (name, value))
                await self.in_thread(stream.close)
            stream = await self.stream(headers={**self.authorization(), **good})
            self.assertEqual(stream.status, 101)

        return Deferred.fromCoroutine(scenario())
