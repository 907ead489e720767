"""A chain, its event log and its readers on virtual time; writing is done before it is asked, or when told."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.defer import Deferred, execute, fail
from twisted.internet.task import Clock

from tests.index_world import GENESIS, RandomChain
from timed.feed.event import Draft, Presenter
from timed.feed.feed import Feed
from timed.feed.hub import Hub, Limits
from timed.feed.log import Bounds, FeedLog
from timed.feed.records import StoredEvent
from timed.feed.scribe import Scribe
from timed.feed.telling import Teller
from timed.feed.window import Page, Window
from timed.feed.writer import FeedWriter, UpTo, Written
from timed.params import REGTEST, SECOND
from timed.primitives.transaction import OutPoint, Output, Transaction
from timed.rpc.eventing import NEW_EVENT

ROOMY = Bounds(1_000_000, 1 << 30, 0)
LIMITS = Limits(100, 20, 100_000)


@attrs.define
class Pool:
    """The node's pending transactions, as far as the teller asks."""

    chain: RandomChain
    transactions: dict[bytes, Transaction] = attrs.field(factory=dict)

    def pending(self, txid: bytes) -> Transaction | None:
        return self.transactions.get(txid)

    def output(self, outpoint: OutPoint) -> Output | None:
        coin = self.chain.store.coin(outpoint)
        return None if coin is None else coin.output


class FeedWorld:
    """One process that writes; `crash` begins another one over the same files."""

    def __init__(
        self,
        directory: str,
        chain: RandomChain | None = None,
        bounds: Bounds = ROOMY,
        clock: Clock | None = None,
    ) -> None:
        self.directory = os.path.join(os.path.abspath(directory), "events")
        os.makedirs(os.path.dirname(self.directory), exist_ok=True)
        self.chain = RandomChain() if chain is None else chain
        self.bounds = bounds
        self.entropy = random.Random(5)
        self.pool = Pool(self.chain)
        self.clock = Clock() if clock is None else clock
        self.failing: Exception | None = None
        self.held: list[tuple[Deferred[Written], Callable[[], Written]]] | None = None
        self.limits = LIMITS
        self.begin()

    def begin(self) -> None:
        """A new process."""
        self.writer = FeedWriter(self.open_log, self.chain.store, GENESIS)
        self.window = Window(Presenter(REGTEST), lambda: self.writer.log)
        self.hub = Hub(self.window, self.limits, self.clock.callLater, self.clock.seconds)
        self.feed = Feed(self.window, self.hub)
        self.teller = Teller(self.pool)
        self.scribe = Scribe(
            self.writer, self.feed, self.teller, self.clock, self.clock.seconds, self.in_thread
        )
        self.feed.tell = self.scribe.put
        self.replaced = self.writer.open()
        assert self.writer.log is not None
        self.feed.added((), self.writer.log.state())

    def open_log(self) -> FeedLog:
        return FeedLog(self.directory, GENESIS.hash, self.bounds, self.entropy.randbytes, map_size=1 << 32)

    def crash(self) -> None:
        """Nothing that waited is written; what was told of pending transactions is told again."""
        self.close()
        self.begin()
        self.scribe.put(UpTo(self.chain.height, self.now()))
        for transaction in self.pool.transactions.values():
            for draft in self.teller.standing(transaction, True, self.chain.height + 1, self.now()):
                self.scribe.put(draft)

    def close(self) -> None:
        self.hub.stop()
        for call in self.clock.getDelayedCalls():
            call.cancel()
        self.writer.close()

    def now(self) -> int:
        return 1_790_000_000 * SECOND + int(self.clock.seconds() * SECOND)

    def in_thread(self, step: Callable[[], Written]) -> Deferred[Written]:
        if self.held is not None:
            waiting: Deferred[Written] = Deferred()
            self.held.append((waiting, step))
            return waiting
        if self.failing is not None:
            return fail(self.failing)
        return execute(step)

    def tell(self, *drafts: Draft) -> None:
        for draft in drafts:
            self.scribe.put(draft)

    def settle(self, seconds: float = 0.1) -> None:
        """Let what waits be written and handed out."""
        for _ in range(max(1, int(seconds / 0.02))):
            self.clock.advance(0.02)

    def stored(self) -> list[tuple[int, StoredEvent]]:
        """Everything in the log."""
        assert self.writer.log is not None
        return self.writer.log.after(self.writer.log.state().first - 1, 1 << 30, 1 << 40)

    def kinds(self) -> list[str]:
        return [record.type for _, record in self.stored()]

    def data(self) -> list[dict[str, Any]]:
        return [json.loads(record.data) for _, record in self.stored()]

    def cursor(self, sequence: int) -> str:
        return self.window.ends.cursor(sequence)


class RpcFeed:
    """The log of events of a `tests.rpc_world.World`, written at once."""

    def __init__(self, world: Any, directory: str, bounds: Bounds = ROOMY) -> None:
        def open_log() -> FeedLog:
            path = os.path.join(os.path.abspath(directory), "events")
            os.makedirs(os.path.dirname(path), exist_ok=True)
            return FeedLog(path, world.genesis.hash, bounds, random.Random(5).randbytes, map_size=1 << 32)

        self.writer = FeedWriter(open_log, world.store, world.genesis)
        window = Window(Presenter(world.genesis.params), lambda: self.writer.log)
        hub = Hub(window, LIMITS, world.clock.callLater, world.clock.seconds)
        self.feed = Feed(window, hub)
        hub.listeners.append(lambda newest: world.waiters.tell(NEW_EVENT, newest))
        self.scribe = Scribe(
            self.writer, self.feed, Teller(world.backend), world.clock, world.clock.seconds, execute
        )
        self.feed.tell, self.feed.scribe = self.scribe.put, self.scribe
        self.feed.failure = lambda: self.scribe.failed
        self.writer.open()
        assert self.writer.log is not None
        self.feed.added((), self.writer.log.state())
        world.driver.add_sink(self.scribe)
        world.environment.feed = lambda: self.feed

    def close(self) -> None:
        self.feed.hub.stop()
        self.writer.close()


class LoopFeed:
    """The log of events of a `tests.rpc_service` context, on the real reactor."""

    def __init__(self, context: Any, limits: Limits = LIMITS, bounds: Bounds = ROOMY) -> None:
        def open_log() -> FeedLog:
            path = os.path.join(os.path.abspath(context.config.datadir), "events")
            return FeedLog(path, context.genesis.hash, bounds, random.Random(5).randbytes, map_size=1 << 32)

        self.writer = FeedWriter(open_log, context.store, context.genesis)
        window = Window(Presenter(context.params), lambda: self.writer.log)
        self.hub = Hub(window, limits, context.reactor.callLater, context.monotonic)
        self.feed = Feed(window, self.hub)
        self.scribe = Scribe(
            self.writer, self.feed, Teller(Pool(RandomChain())), context.reactor, context.monotonic, execute
        )
        self.writer.open()
        assert self.writer.log is not None
        self.feed.added((), self.writer.log.state())
        context.feed = self.feed

    def write(self, *drafts: Draft) -> None:
        """Durable and shown when it returns."""
        assert self.writer.log is not None
        written = self.writer.step(drafts)
        self.feed.added(written.added, written.state)

    def close(self) -> Deferred[None]:
        self.hub.stop()
        return self.scribe.stop()


class Listener:
    """A reader that takes everything, or nothing while it is `deaf`."""

    kind = "test"

    def __init__(self) -> None:
        self.sequences: list[int] = []
        self.types: list[str] = []
        self.pages = 0
        self.beats: list[str] = []
        self.ended: tuple[str, str] | None = None
        self.deaf = False
        self.subscription: Any = None

    def send(self, page: Page) -> None:
        self.pages += 1
        self.sequences += [event.sequence for event in page.events]
        self.types += [event.record.type for event in page.events]
        if self.deaf:
            self.subscription.pause()

    def beat(self, cursor: str) -> None:
        self.beats.append(cursor)

    def end(self, reason: str, cursor: str, detail: str) -> None:
        self.ended = (reason, cursor)


def draft(kind: str = "peer.connected", number: int = 0, size: int = 0, time_us: int = 1) -> Draft:
    """An event about nothing in particular."""
    return Draft.of(kind, time_us, number.to_bytes(32, "big"), text="x" * size)
