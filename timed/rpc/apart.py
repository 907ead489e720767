"""The desk of an RPC process: no node, only its data directory and a way to the process that runs it.

What is in the blocks is answered from a snapshot here; everything else goes whole to
the chain process. Nothing in the data directory is written, no key is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from twisted.logger import Logger

from timed.errors import StoreUnmade
from timed.index.reader import IndexReader
from timed.index.status import ReadIndexes
from timed.rpc.chainlink import ChainLink, watch_link
from timed.rpc.coinset import CoinScan
from timed.rpc.desk import Desk
from timed.rpc.dispatch import Forward
from timed.rpc.following import FeedFollower, follow
from timed.rpc.handlers import HANDLERS
from timed.rpc.linkwire import Hello
from timed.rpc.localfront import check_path
from timed.rpc.placing import Place, place_of
from timed.rpc.probe import SnapshotProbe
from timed.rpc.snapshot import Snapshot, SnapshotSource
from timed.store.shared import SharedStore

if TYPE_CHECKING:
    from timed.app.context import Context

REST_SHARE = 0.25
"""The reader's rest for each second of work: here it holds up light calls at most, no node."""
FORWARDED = frozenset(name for name, handler in HANDLERS.items() if place_of(handler) is Place.MEMORY)
"""The methods that only the process with the node can answer."""


class SharedSource:
    """Opens snapshots of store and indexes that another process writes; on the reader's thread alone."""

    def __init__(self, context: Context) -> None:
        genesis = context.genesis
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


class ApartDesk(Desk):
    """Answers calls in a process without a node. After `stop` no connection is left either."""

    _log = Logger()

    def __init__(self, context: Context) -> None:
        """ConfigError when the way to the chain process cannot be one."""
        super().__init__(context)
        path = str(context.config.socket_file)
        check_path(path)
        self._follower: FeedFollower | None = None
        self.parts.link = self.link = ChainLink(path, Hello.of(context.genesis), context.reactor)
        self._source = SharedSource(context)
        reader = self._make_reader(self._source, REST_SHARE)
        self.parts.probe = self._probe = SnapshotProbe(reader, context.reactor, context.monotonic)
        # Methods that need the node are never called with it: they are forwarded.
        environment = self._make_environment()
        environment.scan = self._source.scan
        self.dispatcher = self._make_dispatcher(environment, Forward(FORWARDED, self.link.call))

    def start(self) -> None:
        """StoreError when the store there is another one's; one that is not there yet is waited for."""
        try:
            self._source.store.tip()
        except StoreUnmade as error:
            self._log.warn("there is no chain yet: {reason}", reason=str(error))
        finally:
            self._source.close()
        super().start()
        self.link.start()
        self._probe.start()
        loops = self._context.loops
        self._ends += [
            watch_link(loops, self.link),
            loops.add_ticker("snapshot-probe", self._probe.ticker, "Restart this process; it holds nothing."),
        ]
        self._follower = follow(self._context, self.link, self._new_event)
        if self._follower is not None:
            self._context.feed = self._follower.feed
            self._follower.start()
            self._ends.append(self._follower.watch(loops))

    async def end_calls(self) -> None:
        self._probe.stop()
        self._context.feed = None
        await super().end_calls()
        if self._follower is not None:
            await self._follower.stop()
        await self.link.stop()

    async def stop(self) -> None:
        await super().stop()
        self._source.close()
