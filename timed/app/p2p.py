"""The p2p service: the transports under the node's sessions."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from timed.app.context import Context
from timed.app.schema import P2PSection
from timed.app.seedcache import SeedCache
from timed.app.seeds import FETCH_S, LOOKUP_S, Askers, Chain, Seeds, seeds_of
from timed.crew import Crew
from timed.net.fetch import fetch
from timed.net.limits import NetworkLimits
from timed.net.lookup import Lookup
from timed.net.network import Network
from timed.peer.limits import SEED_NAME_ADDRESSES
from timed.peer.seeding import Seeding
from timed.peer.seedlist import MAX_LIST_BYTES
from timed.peer.values import PeerAddress

KEYS = ("p2p.max_inbound", "p2p.trust_loopback")
"""What the transports follow while they run."""


class P2PService(Service):
    """Listens, and carries out the driver's Write, Close and Dial.

    After `stopService` has fired, every peer was told goodbye and no port or
    connection is left.
    """

    _log = Logger()

    def __init__(self, context: Context) -> None:
        self.setName("p2p")
        self._context = context
        self._seeds: Seeds | None = None
        self._unsubscribe: Callable[[], None] | None = None
        self._crew: Crew | None = None
        self._unwatch: Callable[[], None] | None = None

    def startService(self) -> None:
        """LocalError when the port cannot be had."""
        super().startService()
        context = self._context
        p2p = context.config.settings.p2p
        network = Network(
            context.reactor, context.node_key, plain=p2p.plain, host=context.driver, limits=limits_of(p2p),
            shut_out=self._shut_out,
        )  # fmt: skip
        context.network = network
        context.driver.attach(network)
        failures: list[Failure] = []
        # The answer has come when `listen` returns.
        network.listen(context.config.p2p_port, p2p.host, context.sockets.get("p2p")).addErrback(
            failures.append
        )
        for failure in failures:
            failure.raiseException()
        self._unsubscribe = context.live.subscribe(
            KEYS, lambda config: network.regulate(limits_of(config.settings.p2p))
        )
        self._start_seeds()

    def _start_seeds(self) -> None:
        """Ask the configured sources of addresses, if there are any."""
        context = self._context
        found = seeds_of(context.config.settings.p2p)
        if not found:
            return
        reactor = context.reactor
        lookup = Lookup(reactor, SEED_NAME_ADDRESSES, LOOKUP_S)
        self._crew = Crew("timed-seeds", 1)
        self._seeds = context.seeds = Seeds(
            Seeding(found, random.Random(os.urandom(32))),
            Chain(
                context.params.name, context.genesis.hash, context.config.settings.p2p.seed_keys,
                context.params.p2p_port,
            ),
            Askers(
                lookup.lookup, lambda url: fetch(reactor, url, most=MAX_LIST_BYTES, timeout_s=FETCH_S)
            ),
            SeedCache(context.datadir.seeds, [seed.name for seed in found]),
            _SeededNode(context),
            reactor,
            self._crew,
        )  # fmt: skip
        self._seeds.start()
        self._unwatch = context.loops.add_ticker(
            "seeds", self._seeds.ticker, "Name peers with addnode; sessions that are open stay."
        )

    def _shut_out(self, host: str) -> bool:
        running = self._context.running
        return running is not None and running.node.peers.conduct.shut_out(host, self._context.clock())

    def stopService(self) -> Deferred[None]:
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        network = self._context.network
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None
        if self._seeds is not None:
            await self._seeds.stop()
            self._seeds = self._context.seeds = None
        if self._crew is not None:
            self._crew.stop()
            self._crew = None
        if network is None:
            return
        if self._context.running is not None:
            self._context.running.driver.say_goodbye()
        await network.stop()
        self._context.network = None


def limits_of(p2p: P2PSection) -> NetworkLimits:
    """Above the sessions that the node wants, so that one too many is told so."""
    return NetworkLimits(max_inbound=2 * p2p.max_inbound + 16, loopback_is_a_group=not p2p.trust_loopback)


class _SeededNode:
    """The running node, to its sources of addresses."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def now(self) -> int:
        return self._context.clock()

    def seeking(self) -> bool:
        return self._context.node.peers.seeking(self.now())

    def seeded(self, places: Sequence[PeerAddress], source: str) -> int:
        peers = self._context.node.peers
        return self._context.driver.operate(peers.seeded, places, source, self.now())

    def try_seed(self, place: PeerAddress) -> None:
        peers = self._context.node.peers
        self._context.driver.operate(peers.try_seed, place, self.now())


def make_service(context: Context) -> P2PService:
    """`IServiceMaker.make` of the p2p service."""
    return P2PService(context)
