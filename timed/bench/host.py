"""Real sessions without a node: `PeerTable` on `Network`, and bare links for comparison."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IListeningPort
from zope.interface import implementer

from timed.bench.loop import reactor
from timed.crypto.keys import SigningKey
from timed.events import Close, Dial, Pause, Resume, Write
from timed.net.interfaces import INetworkHost
from timed.net.limits import NetworkLimits
from timed.net.network import Network
from timed.params import REGTEST, SECOND
from timed.peer.dialect import ORDINARY, Dialect
from timed.peer.settings import PeerSettings
from timed.peer.table import PeerTable
from timed.peer.values import Delivery, Identity, PeerAddress
from timed.primitives.hashing import tagged_hash

HOST = "127.0.0.1"
GENESIS = tagged_hash("bench-genesis")
MANY = 4_096
LIMITS = NetworkLimits(max_inbound=MANY, max_outbound=MANY, max_half_open=MANY, deadline_s=30.0)


class _ReactorAt:
    """The reactor, but what it connects comes from one local address."""

    def __init__(self, host: str) -> None:
        self._host = host

    def __getattr__(self, name: str) -> Any:
        return getattr(reactor, name)

    def connectTCP(self, *arguments: Any, **named: Any) -> Any:  # noqa: N802 - Twisted's name
        return reactor.connectTCP(*arguments, **{**named, "bindAddress": (self._host, 0)})


def reactor_at(host: str) -> Any:
    """A reactor whose outgoing connections come from `host`."""
    return _ReactorAt(host)


def now_us() -> int:
    return time.time_ns() // 1000


def node_key(number: int) -> SigningKey:
    """The key of the node with this number; 0 is the one that is measured."""
    return SigningKey.from_seed(tagged_hash("bench-node", str(number).encode()))


def make_table(
    number: int,
    wanted: Sequence[PeerAddress] = (),
    genesis: bytes = GENESIS,
    dialect: Dialect = ORDINARY,
) -> PeerTable:
    """The peer table of a made-up node, which has the genesis block and no other."""
    identity = Identity(REGTEST, genesis, node_key(number), None, "timed-bench", 0, now_us(), dialect)
    return PeerTable(
        identity, random.Random(number), lambda: (0, genesis),
        wanted=wanted, settings=PeerSettings(max_inbound=MANY), discover=False,
    )  # fmt: skip


@implementer(INetworkHost)
class TableHost:
    """Turns like `timed.app.driver`: one flush at the end of each turn, one timer."""

    def __init__(
        self,
        table: PeerTable,
        plain: bool,
        delivered: Callable[[Delivery], None],
        clock: Any = reactor,
    ) -> None:
        self.table = table
        self.network = Network(clock, table.identity.node_key, plain, self, LIMITS)
        self.drained_hook: Callable[[], None] = lambda: None
        self._delivered = delivered
        self._flush_call: IDelayedCall | None = None
        self._wake_call: IDelayedCall | None = None

    def listen(self) -> int:
        """Accept sessions; the port."""
        return listen(self.network)

    def write(self, link: int, data: bytes) -> None:
        """What the session has to say leaves."""
        self.network.write(link, data)

    def turn(self) -> None:
        """Something was queued: write it when this turn ends."""
        if self._flush_call is None:
            self._flush_call = reactor.callLater(0, self._flush)

    async def stop(self) -> None:
        """Close everything."""
        self._tell(self.table.stop(now_us()))
        self._flush()
        await self.network.stop()
        for call in (self._flush_call, self._wake_call):
            if call is not None and call.active():
                call.cancel()

    def connected(self, link: int, outbound: bool, peer_id: bytes | None, host: str, port: int) -> None:
        self._tell(self.table.connected(link, outbound, peer_id, host, port, now_us()))

    def received(self, link: int, data: bytes) -> None:
        self._tell(self.table.received(link, data, now_us()))

    def disconnected(self, link: int, reason: str) -> None:
        self._tell(self.table.disconnected(link, reason, now_us()))

    def dial_failed(self, host: str, port: int, reason: str) -> None:
        self._tell(self.table.dial_failed(host, port, reason, now_us()))

    def drained(self, link: int) -> None:
        self.table.drained(link, now_us())
        self.drained_hook()
        self.turn()

    def _tell(self, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            self._delivered(delivery)
        self.turn()

    def _flush(self) -> None:
        if self._flush_call is not None and self._flush_call.active():
            self._flush_call.cancel()
        self._flush_call = None
        for action in self.table.drain(now_us()):
            if isinstance(action, Write):
                self.write(action.link, action.data)
            elif isinstance(action, Close):
                self.network.close(action.link, action.reason, action.abort)
            elif isinstance(action, Dial):
                self.network.dial(action.host, action.port, action.expected)
            elif isinstance(action, Pause):
                self.network.pause(action.link)
            elif isinstance(action, Resume):
                self.network.resume(action.link)
        self._arm()

    def _arm(self) -> None:
        if self._wake_call is not None and self._wake_call.active():
            self._wake_call.cancel()
        due = self.table.next_deadline()
        self._wake_call = None
        if due is not None:
            self._wake_call = reactor.callLater(max(0, due - now_us()) / SECOND, self.wake)

    def wake(self) -> None:
        """Do what is due."""
        self._tell(self.table.tick(now_us()))


def listen(network: Network) -> int:
    """Listen on a free port of the loopback address."""
    ports: list[IListeningPort] = []
    network.listen(0, HOST).addCallback(ports.append)
    address: Any = ports[0].getHost()
    return int(address.port)


@implementer(INetworkHost)
class BareLinks:
    """Links of a `Network` with nothing on them: no handshake, no frames, no queue."""

    def __init__(self, number: int, plain: bool, received: Callable[[int, bytes], None]) -> None:
        self.network = Network(reactor, node_key(number), plain, self, LIMITS)
        self.links: list[int] = []
        self._received = received
        self._wanted = 0
        self._ready: Deferred[None] = Deferred()

    def until(self, count: int) -> Deferred[None]:
        """Fires when there are so many links."""
        self._wanted = count
        if len(self.links) >= count and not self._ready.called:
            self._ready.callback(None)
        return self._ready

    def transports(self) -> list[Any]:
        """What a bare loop writes to."""
        return [self.network._links[link].transport for link in self.links]

    def connected(self, link: int, outbound: bool, peer_id: bytes | None, host: str, port: int) -> None:
        self.links.append(link)
        if len(self.links) == self._wanted and not self._ready.called:
            self._ready.callback(None)

    def received(self, link: int, data: bytes) -> None:
        self._received(link, data)

    def disconnected(self, link: int, reason: str) -> None:
        if link in self.links:
            self.links.remove(link)

    def dial_failed(self, host: str, port: int, reason: str) -> None:
        self.network.dial(host, port, None)

    def drained(self, link: int) -> None:
        """Nothing waits for room here."""
