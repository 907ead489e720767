"""What a method that is computed from the snapshot receives: durable blocks, coins and indexes, and no node."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

import attrs

from timed.index.status import Indexes, IndexStatus
from timed.interfaces import IReads
from timed.ledger.genesis import Genesis
from timed.params import NetworkParams
from timed.primitives.block import BlockHeader
from timed.primitives.certificate import BlockCertificate
from timed.primitives.roster import Roster
from timed.primitives.transaction import Lock
from timed.rpc.chainview import ChainView
from timed.rpc.coinset import CoinScan
from timed.rpc.locks import lock_of
from timed.rpc.moment import Moment


class Blocks(Protocol):
    """The blocks as both a running node and a snapshot know them."""

    def newest(self) -> BlockHeader: ...
    def find_header(self, height: int) -> BlockHeader | None: ...
    def certificate(self, height: int) -> BlockCertificate | None: ...
    def roster(self, height: int) -> Roster: ...
    def height_meant(self, block: int | bytes | Moment) -> int: ...


@attrs.frozen(kw_only=True)
class Snapshot(ChainView):
    """The durable chain at one moment, for one thread."""

    scan: CoinScan = attrs.field(factory=CoinScan)
    """The walk over the coins that this process may have under way."""
    statuses: Callable[[], Sequence[IndexStatus]] = tuple
    """How far each index is."""

    @property
    def params(self) -> NetworkParams:
        return self.genesis.params

    def newest(self) -> BlockHeader:
        return self.header(self.tip().height)

    def find_header(self, height: int) -> BlockHeader | None:
        return None if self.store.header(height) is None else self.header(height)

    def height_meant(self, block: int | bytes | Moment) -> int:
        """As `height_of`."""
        return self.height_of(block)

    def roster(self, height: int) -> Roster:
        """Of any height up to two after the newest block."""
        return self.genesis.roster_at(height)

    def lock_of(self, address: str) -> Lock:
        """As `timed.rpc.locks.lock_of`, of this network."""
        return lock_of(self.params, address)


class Snapshots(Protocol):
    """A store, of this process or another one."""

    def snapshot(self) -> AbstractContextManager[IReads]: ...


@attrs.frozen
class SnapshotSource:
    """Opens snapshots of a store that this process has open."""

    store: Snapshots
    genesis: Genesis
    indexes: Callable[[], Indexes | None]
    scan: CoinScan

    @contextmanager
    def __call__(self) -> Iterator[Snapshot]:
        indexes = self.indexes()
        with self.store.snapshot() as reads:
            yield Snapshot(
                store=reads,
                genesis=self.genesis,
                indexes=None if indexes is None else indexes.reader,
                scan=self.scan,
                statuses=tuple if indexes is None else indexes.statuses,
            )
