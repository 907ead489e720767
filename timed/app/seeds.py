"""Asks the sources of addresses while the node finds too few peers, and tells it what they answer.

Discovery is optional: configured peers and the stored address book come first and
wait for nothing here, a source that fails is named in one line and asked again
later, and its last good answer stands in for it (F13).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import attrs
from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.logger import Logger
from twisted.python.failure import Failure

from timed.app.kinds import show_host_port
from timed.app.schema import P2PSection
from timed.app.seedcache import KEPT, SeedCache
from timed.crew import Crew
from timed.errors import RemoteError
from timed.loops import Ticker
from timed.params import SECOND
from timed.peer import seedlist
from timed.peer.location import parse_peer
from timed.peer.seeding import ANSWERED, Seed, Seeding, SeedKind
from timed.peer.values import PeerAddress

LOOK_S = 1.0
LOOKUP_S = 10.0
"""What a name in the DNS has for its answer."""
FETCH_S = 20.0
"""What a list has, from its name to its last byte."""
INTERNAL = "internal-error"


class Seeded(Protocol):
    """The running node, as far as sources of addresses go. `now` is microseconds of unix time."""

    def now(self) -> int: ...
    def seeking(self) -> bool: ...
    def seeded(self, places: Sequence[PeerAddress], source: str) -> int: ...
    def try_seed(self, place: PeerAddress) -> None: ...


@attrs.frozen
class Chain:
    """Which lists are for this node: its network and genesis, and who may sign."""

    network: str
    genesis: bytes
    keys: tuple[bytes, ...]
    port: int
    """Of nodes that a name stands for, when none is written."""


@attrs.frozen
class Askers:
    """How names and lists are asked for; both may fail with RemoteError and be cancelled."""

    lookup: Callable[[str], Deferred[list[str]]]
    fetch: Callable[[str], Deferred[bytes]]


def seeds_of(p2p: P2PSection) -> list[Seed]:
    """The configured sources, each with its name."""
    seeds = [Seed(SeedKind.FIXED, str(peer)) for peer in p2p.seeds]
    seeds += [Seed(SeedKind.DNS, show_host_port(name)) for name in p2p.dns_seeds]
    return seeds + [Seed(SeedKind.LIST, url) for url in p2p.seed_urls]


class Seeds:
    """The sources of one node. After `stop` has fired no call, connection or thread is at work."""

    _log = Logger()

    def __init__(
        self,
        seeding: Seeding,
        chain: Chain,
        askers: Askers,
        cache: SeedCache,
        node: Seeded,
        reactor: Any,
        crew: Crew,
    ) -> None:
        self.seeding = seeding
        self._chain = chain
        self._askers = askers
        self._cache = cache
        self._node = node
        self._reactor = reactor
        self._crew = crew
        self.ticker = Ticker(reactor, LOOK_S, self._look)
        self._running = False
        self._waiting: dict[str, Deferred[Any]] = {}
        """Names and lists that are asked for; they can be cancelled."""
        self._asks: dict[str, Deferred[None]] = {}
        """The same to their very end."""

    def start(self) -> None:
        """Look every `LOOK_S` whether the node seeks."""
        trouble = self._cache.load()
        if trouble:
            self._log.warn("seeds.json cannot be read ({trouble}); it will be written anew", trouble=trouble)
        self._running = True
        self.ticker.start()

    def stop(self) -> Deferred[None]:
        """Give up what is asked for. Never fails."""
        self._running = False
        self.ticker.stop()
        for waiting in list(self._waiting.values()):
            waiting.cancel()
        done: Deferred[None] = Deferred()
        DeferredList(list(self._asks.values())).addCallback(lambda _: done.callback(None))
        return done

    def _now(self) -> int:
        return int(self._reactor.seconds() * SECOND)

    def _look(self) -> None:
        if not self._node.seeking():
            self.seeding.content()
            return
        for seed in self.seeding.due(self._now()):
            if seed.kind is SeedKind.FIXED:
                self._node.try_seed(parse_peer(seed.name))
                self.seeding.answered(seed, 1, self._now())
            else:
                asked = Deferred.fromCoroutine(self._ask(seed))
                self._asks[seed.name] = asked
                asked.addBoth(self._asked, seed)

    def _asked(self, result: object, seed: Seed) -> None:
        """An ask has ended; what it raised is a bug of ours, and no reason to stop."""
        self._asks.pop(seed.name, None)
        if isinstance(result, Failure):
            self._log.failure("asking {source} failed", result, source=seed.name)
            self.seeding.failed(seed, INTERNAL, self._now())

    async def _ask(self, seed: Seed) -> None:
        try:
            addresses, until = await (self._name(seed) if seed.kind is SeedKind.DNS else self._list(seed))
        except RemoteError as error:
            if self._running:
                self._failed(seed, error)
            return
        known = self._node.seeded(addresses, seed.name)
        news = (seed.outcome, seed.addresses) != (ANSWERED, len(addresses))
        self.seeding.answered(seed, len(addresses), self._now())
        if news:
            self._log.info(
                "{source} gave {count} addresses, {known} of them in the address book",
                source=seed.name, count=len(addresses), known=known,
            )  # fmt: skip
        await self._store(self._cache.put(seed.name, addresses, until))

    async def _name(self, seed: Seed) -> tuple[list[PeerAddress], int]:
        host, _, port = seed.name.partition(":")
        hosts: list[str] = await self._wait(seed, self._askers.lookup(host))
        places = [PeerAddress(each, int(port) if port else self._chain.port) for each in hosts]
        return places, self._node.now() + KEPT

    async def _list(self, seed: Seed) -> tuple[list[PeerAddress], int]:
        data: bytes = await self._wait(seed, self._askers.fetch(seed.name))
        chain = self._chain
        listed = seedlist.read(data, chain.network, chain.genesis, chain.keys, self._node.now())
        return list(listed.addresses), listed.expires * SECOND

    async def _wait(self, seed: Seed, waiting: Deferred[Any]) -> Any:
        self._waiting[seed.name] = waiting
        # A cancelled wait is the end of this service, not a bug.
        waiting.addErrback(_given_up)
        try:
            return await waiting
        finally:
            self._waiting.pop(seed.name, None)

    def _failed(self, seed: Seed, error: RemoteError) -> None:
        """One line when it is another failure than the last time; the last good answer stands in."""
        changed = self.seeding.failed(seed, error.rule, self._now())
        cached = self._cache.get(seed.name, self._node.now())
        if cached:
            self._node.seeded(cached, seed.name)
        if changed:
            self._log.warn(
                "{source} gave no addresses: {error}; {instead}, and it is asked again",
                source=seed.name, error=str(error),
                instead=f"its last {len(cached)} are used" if cached else "the node goes on without",
            )  # fmt: skip

    async def _store(self, data: bytes) -> None:
        try:
            await self._crew.defer_to_thread(self._reactor, self._cache.write, data)
        except OSError as error:
            self._log.warn("cannot write seeds.json: {reason}", reason=error.strerror or str(error))


def _given_up(failure: Failure) -> None:
    if failure.check(CancelledError):
        raise RemoteError("stopping")
    failure.raiseException()
