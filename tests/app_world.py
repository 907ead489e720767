"""Two real nodes with real drivers and LMDB stores on virtual time, joined by a plain wire.

The store threads run when a test says so, and every message that a node hands to
its transport is kept.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from pathlib import Path

from twisted.internet.task import Clock

from timed.app.driver import Hands, NodeDriver
from timed.crypto.batch import verify_batch
from timed.ledger.genesis import Genesis
from timed.ledger.regtest import builtin_regtest, well_known_key
from timed.node.config import NodeConfig
from timed.node.node import Node
from timed.params import REGTEST, SECOND
from timed.store.lmdb import LmdbStore
from timed.wire.catalogue import decode_message, limit_for
from timed.wire.compression import Packing
from timed.wire.framing import FrameReader
from timed.wire.message import Message
from timed.wire.messages import BlockProposal, BlockVote, EpochReport, TransactionVote

STEP_S = 0.01
LINK = 1


class ThreadsOnClock(Clock):
    """A reactor of virtual time; what a thread hands back comes in the next turn."""

    def callFromThread(self, function: Callable[..., object], *args: object) -> None:
        self.callLater(0, function, *args)


class Threads:
    """A pool whose thread runs by itself, or when it is released."""

    def __init__(self, clock: Clock) -> None:
        self.held = False
        self._clock = clock
        self._calls: deque[Callable[[], object]] = deque()

    def callInThread(self, func: Callable[..., object], *args: object) -> None:
        self._calls.append(lambda: func(*args))
        self._clock.callLater(0, self.run)

    def run(self) -> None:
        """Do what was asked for, unless it is held back."""
        while self._calls and not self.held:
            self._calls.popleft()()

    def release(self) -> None:
        self.held = False
        self.run()


class Host:
    """One node, its driver and its store; `sent` holds what it gave to the transport."""

    def __init__(
        self, number: int, genesis: Genesis, clock: Clock, now: Callable[[], int], path: Path
    ) -> None:
        self.node_key = well_known_key("node", number)
        self.store = LmdbStore(str(path), REGTEST.name, genesis.hash)
        self.store_threads = Threads(clock)
        self.sent: list[Message] = []
        self.closed: list[str] = []
        self.events: list[object] = []
        self.peer: Host | None = None
        self._clock = clock
        self._reader = FrameReader(REGTEST.magic, limit_for=limit_for, unpack=Packing().unpack)
        operator = well_known_key("operator", number)
        self.operator = operator.public
        self.genesis = genesis
        config = NodeConfig(genesis, self.node_key, operator, boot=number)
        self.driver = NodeDriver(
            Node(config, self.store, random.Random(number)),
            self.store,
            clock,
            now,
            Hands(
                store=self.store_threads,
                verifier=Threads(clock),
                verifier_workers=2,
                from_thread=lambda function, *args: clock.callLater(0, function, *args),
                verify_batch=verify_batch,
            ),
            max_store_bytes=1 << 24,
            max_verify_items=1 << 16,
        )
        self.driver.attach(self)
        self.driver.add_sink(self)

    # timed.app.driver.Transport

    def write(self, link: int, data: bytes) -> None:
        self.sent += [decode_message(frame.number, frame.payload) for frame in self._reader.feed(data)]
        self._clock.callLater(0, self._deliver, data)

    def close(self, link: int, reason: str, abort: bool) -> None:
        self.closed.append(reason)

    def pause(self, link: int) -> None:
        raise AssertionError("nobody sends that much here")

    def resume(self, link: int) -> None:
        raise AssertionError("nobody sends that much here")

    def dial(self, host: str, port: int, expected_id: bytes | None) -> None:
        """There is one link, and it is up."""

    # timed.interfaces.IEventSink

    def published(self, event: object, now_us: int) -> None:
        self.events.append(event)

    def _deliver(self, data: bytes) -> None:
        if self.peer is not None:
            self.peer.driver.received(LINK, data)
            self.driver.drained(LINK)

    def signed(self) -> list[Message]:
        """What this member itself signed of what it handed to the transport; it relays others', too."""
        return [message for message in self.sent if self._signer(message) == self.operator]

    def _signer(self, message: Message) -> bytes | None:
        if isinstance(message, BlockProposal):
            return message.header.proposer
        if isinstance(message, TransactionVote | EpochReport | BlockVote):
            return self.genesis.members.members[message.member].operator_key
        return None


class Pair:
    """Two members; both are needed for a quorum."""

    def __init__(self, path: Path, interval: int = 5) -> None:
        self.clock = Clock()
        self.genesis = builtin_regtest((1, 2), interval=interval)
        self._start_us = (self.genesis.time + 1) * SECOND
        self.hosts = [
            Host(number, self.genesis, self.clock, self.now, path / str(number)) for number in (1, 2)
        ]
        one, two = self.hosts
        one.peer, two.peer = two, one
        for host in self.hosts:
            host.driver.start()
        one.driver.connected(LINK, True, two.node_key.public, "127.0.0.1", 7001)
        two.driver.connected(LINK, False, one.node_key.public, "127.0.0.1", 50_000)

    def now(self) -> int:
        return self._start_us + round(self.clock.seconds() * SECOND)

    def advance(self, seconds: float) -> None:
        self.clock.pump([STEP_S] * round(seconds / STEP_S))

    def until(self, done: Callable[[], bool], seconds: float = 60) -> None:
        """Let time pass until `done`; AssertionError when it takes too long."""
        for _ in range(round(seconds / STEP_S)):
            if done():
                return
            self.clock.advance(STEP_S)
        raise AssertionError("it did not happen in time")

    def close(self) -> None:
        for host in self.hosts:
            host.driver.say_goodbye()
            host.store.close()
