"""What every service of one node shares."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import attrs
from twisted.internet.defer import Deferred, succeed

from timed.app.config import Config
from timed.app.datadir import DataDirectory
from timed.app.live import LiveConfig
from timed.app.logging import LogCounters, LogLevels, LogTail
from timed.app.memory import MemoryCounters
from timed.app.ports import Sockets
from timed.app.reload import Reloads
from timed.crypto.keys import SigningKey
from timed.errors import LocalError
from timed.ledger.genesis import Genesis
from timed.ledger.regtest import well_known_seed
from timed.params import NetworkParams

if TYPE_CHECKING:
    from timed.app.driver import NodeDriver
    from timed.app.recordings import Recordings
    from timed.app.seeds import Seeds
    from timed.app.watchdog import Watchdog
    from timed.feed.feed import Feed
    from timed.index.status import Indexes
    from timed.interfaces import IStore
    from timed.monitor.alerts import Alarms
    from timed.monitor.watch import Watch
    from timed.node.node import Node
    from timed.rpc.activity import Activity
    from timed.rpc.nodedesk import NodeDesk


@attrs.define
class Context:
    """Handed to `IServiceMaker.make`.

    `clock` gives microseconds of unix time, `monotonic` seconds. `running` is
    filled by the chain service when it starts and emptied when it stops.
    """

    live: LiveConfig
    """The configuration in force, and changing it."""
    chosen_genesis: Genesis | None
    """None on a network that has no genesis yet; the chain service does not run then."""
    datadir: DataDirectory
    own_node_key: SigningKey | None
    """None in a process without a node: it reads no key."""
    operator_key: SigningKey | None
    reactor: Any
    clock: Callable[[], int]
    monotonic: Callable[[], float]
    log_counters: LogCounters
    log_levels: LogLevels
    log_tail: LogTail
    started_at: int
    """Microseconds of unix time at which the process was composed."""
    loops: Watchdog
    """The loops of this process: whoever starts one enters it there."""
    shut_down: Callable[[], None]
    """Ask for an orderly stop of the whole application; returns at once."""
    sockets: Sockets = attrs.field(factory=dict)
    """What the service manager opened for us, by service; whoever listens on one closes it."""
    reloads: Reloads = attrs.field(factory=Reloads)
    """What is read again when the operator says so."""
    running: Running | None = None
    indexes: Indexes | None = None
    """While the index service runs."""
    feed: Feed | None = None
    """While the feed service runs, or the rpc service of a process of its own."""
    desk: NodeDesk | None = None
    """What answers calls, while the desk service runs."""
    alarms: Alarms | None = None
    """The alerts, while the monitor service runs."""
    calls: Activity | None = None
    """The calls that this process answers, while it does."""
    watch: Watch | None = None
    """What the monitor service measures, while it runs."""
    network: Any = None
    """`timed.net.Network` while the p2p service runs."""
    seeds: Seeds | None = None
    """The sources of addresses while the p2p service runs and there are any."""

    @property
    def config(self) -> Config:
        """What is in force now: ask again for what may change."""
        return self.live.config

    @property
    def params(self) -> NetworkParams:
        return self.config.params

    @property
    def node_key(self) -> SigningKey:
        if self.own_node_key is None:
            raise LocalError("this process has no node key.", "Put chain into services.enabled.")
        return self.own_node_key

    @property
    def genesis(self) -> Genesis:
        if self.chosen_genesis is None:
            raise LocalError(f"{self.params.name} has no genesis of its own yet.", "Set node.genesis.")
        return self.chosen_genesis

    @property
    def wallet_seed(self) -> bytes | None:
        """The well-known wallet seed of a built-in regtest member; a new wallet starts with it."""
        number = self.config.builtin_member
        return None if number is None else well_known_seed("wallet", number)

    @property
    def driver(self) -> NodeDriver:
        return self._chain().driver

    @property
    def node(self) -> Node:
        return self._chain().node

    @property
    def store(self) -> IStore:
        return self._chain().store

    def _chain(self) -> Running:
        if self.running is None:
            raise LocalError("the chain service is not running.", "Put chain into services.enabled.")
        return self.running


@attrs.frozen
class Running:
    """What exists while the chain service runs."""

    node: Node
    driver: NodeDriver
    store: IStore
    memory: MemoryCounters = attrs.field(factory=MemoryCounters)
    """What became of the file that remembers peers."""
    remember: Callable[[], Deferred[None]] = lambda: succeed(None)
    """Makes what is known of peers and bans durable, where there is a file for it."""
    recordings: Recordings | None = None
    """What writes down what the flight recorder holds; None without one."""
