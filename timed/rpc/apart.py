"""The desk of an RPC process: no node, only its data directory and a way to the process that runs it.

What is in the blocks is answered from a snapshot here; everything else goes whole to
the chain process. Nothing in the data directory is written, no key is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, fail
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from timed.errors import LocalError, StoreError
from timed.index.reader import IndexReader
from timed.index.status import ReadIndexes
from timed.monitor.profiler import Profiler
from timed.rpc.activity import Activity
from timed.rpc.calllog import call_log
from timed.rpc.chainlink import ChainLink, watch_link
from timed.rpc.coinset import CoinScan
from timed.rpc.desk import SOFTWARE
from timed.rpc.dispatch import Dispatcher, Forward
from timed.rpc.environment import Environment, Identity
from timed.rpc.eventing import NEW_EVENT
from timed.rpc.following import FeedFollower, follow
from timed.rpc.handlers import HANDLERS
from timed.rpc.linkwire import Hello
from timed.rpc.localfront import check_path
from timed.rpc.parts import Parts
from timed.rpc.placing import Place, place_of
from timed.rpc.probe import SnapshotProbe
from timed.rpc.reader import Reader, watch_reader
from timed.rpc.snapshot import Snapshot, SnapshotSource
from timed.rpc.toll import KEYS, Toll, watch_lanes
from timed.rpc.waiting import Waiters
from timed.store.shared import SharedStore

if TYPE_CHECKING:
    from timed.app.config import Config
    from timed.app.context import Context

REST_SHARE = 0.25
"""The reader's rest for each second of work: here it holds up light calls at most, no node."""
FORWARDED = frozenset(name for name, handler in HANDLERS.items() if place_of(handler) is Place.MEMORY)
"""The methods that only the process with the node can answer."""


class SharedSource:
    """Opens snapshots of store and indexes that another process writes; on the reader's thread alone."""

    def __init__(self, context: Context) -> None:
        self._genesis = genesis = context.genesis
        self.store = SharedStore(str(context.datadir.chain), context.params.name, genesis.hash)
        directory = str(context.datadir.index)
        self._reader = IndexReader(directory, genesis.hash, context.config.settings.index.names)
        self._indexes = ReadIndexes(directory, self.store, self._reader)
        self.scan = CoinScan()
        self._source = SnapshotSource(self.store, genesis, lambda: self._indexes, self.scan)
        self._openings = 0

    @contextmanager
    def __call__(self) -> Iterator[Snapshot]:
        with self._source() as snapshot:
            if self.store.openings != self._openings:
                # Other files than before: the indexes may have been replaced with them.
                self._openings = self.store.openings
                self._reader.close()
            yield snapshot

    def close(self) -> None:
        self._reader.close()
        self.store.close()


class ApartDesk:
    """Answers calls in a process without a node. After `stop` no connection, thread or file is left."""

    _log = Logger()

    def __init__(self, context: Context) -> None:
        """ConfigError when the way to the chain process cannot be one."""
        self._context = context
        path = str(context.config.socket_file)
        check_path(path)
        self.waiters = Waiters(context.reactor)
        self._unsubscribe: Callable[[], None] | None = None
        self._follower: FeedFollower | None = None
        self.link = ChainLink(path, Hello.of(context.genesis), context.reactor)
        self._source = SharedSource(context)
        self._pool: ThreadPool | None = None
        self._unwatch: list[Callable[[], None]] = []
        activity = Activity(context.monotonic, context.clock, ended=call_log(context.log_levels))
        self.reader = Reader(
            self._source,
            self,
            context.reactor.callFromThread,
            context.monotonic,
            rest_share=REST_SHARE,
            activity=activity,
        )
        settings = context.config.settings.rpc
        self.toll = Toll(context.reactor, settings.budget_per_s, settings.deadline_s)
        self._profiler = Profiler(context.reactor, context.monotonic)
        self.parts = Parts(
            activity, self.toll, self.waiters, self._profiler, reader=self.reader, link=self.link
        )
        self.parts.probe = self._probe = SnapshotProbe(self.reader, context.reactor, context.monotonic)
        self.dispatcher = Dispatcher(
            HANDLERS,
            self._make_environment(),
            pause=self._pause,
            failed=self._failed,
            forward=Forward(FORWARDED, self.link.call),
            admit=self.toll.admit,
            within=self.toll.within,
            activity=self.parts.activity,
        )

    def start(self) -> None:
        """StoreError when the store there is another one's; one that is not there yet is waited for."""
        path = self._context.datadir.chain
        if path.is_dir():
            self._source.store.tip()
            self._source.close()
        else:
            self._log.warn("there is no chain in {path} yet: start the chain process", path=str(path))
        self._context.calls = self.parts.activity
        self._unsubscribe = self._context.live.subscribe(KEYS, self._regulate)
        self._pool = ThreadPool(minthreads=0, maxthreads=1, name="timed-reader")
        self._pool.start()
        self.link.start()
        self._probe.start()
        loops = self._context.loops
        self._unwatch = [
            watch_lanes(loops, self.toll.lanes),
            watch_link(loops, self.link),
            watch_reader(loops, self.reader),
        ]
        self._unwatch.append(
            loops.add_ticker("snapshot-probe", self._probe.ticker, "Restart this process; it holds nothing.")
        )
        self._follower = follow(self._context, self.link, self._new_event)
        if self._follower is not None:
            self._context.feed = self._follower.feed
            self._follower.start()
            self._unwatch.append(self._follower.watch(loops))

    def callInThread(self, func: Callable[..., object], *args: object) -> None:  # noqa: N802 - as a ThreadPool's
        """`timed.rpc.reader.Threads`."""
        if self._pool is None:
            raise LocalError("the desk is closed.")
        self._pool.callInThread(func, *args)

    def _new_event(self, newest: int) -> None:
        self.waiters.tell(NEW_EVENT, newest)

    async def end_calls(self) -> None:
        """Every call under way is answered soon; a second time does nothing more."""
        unwatch, self._unwatch = self._unwatch, []
        for end in unwatch:
            end()
        self._context.calls = None
        self.waiters.close()
        self.toll.close()
        self._profiler.close()
        self._probe.stop()
        self._context.feed = None
        if self._follower is not None:
            await self._follower.stop()
        await self.reader.stop()
        await self.link.stop()

    async def stop(self) -> None:
        """Once no front hands in calls any more."""
        await self.end_calls()
        unsubscribe, self._unsubscribe = self._unsubscribe, None
        if unsubscribe is not None:
            unsubscribe()
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.stop()
        self._source.close()

    def _make_environment(self) -> Environment:
        """Methods that need the node are never called with it: they are forwarded."""
        context = self._context
        return Environment(
            params=context.params,
            identity=Identity(
                node_id=b"", operator=None, software=SOFTWARE, p2p_port=context.config.p2p_port
            ),
            monotonic=context.monotonic,
            started=context.monotonic(),
            shut_down=context.shut_down,
            waiters=self.waiters,
            write_wallet=_not_here,
            remember=_not_here,
            log_levels=context.log_levels,
            feed=lambda: context.feed,
            scan=self._source.scan,
            reader=self.reader,
            configuration=context.live,
            reloads=context.reloads,
            watch=lambda: context.watch,
            parts=lambda: self.parts,
        )

    def _regulate(self, config: Config) -> None:
        self.toll.regulate(config.settings.rpc)

    def _pause(self) -> Deferred[None]:
        return deferLater(self._context.reactor, 0)

    def _failed(self, method: str, error: Exception) -> None:
        self._log.failure("the RPC method {method} raised", Failure(error), method=method)


def _not_here() -> Deferred[None]:
    return fail(StoreError("this process writes nothing.", "Ask the chain process."))
