"""What metrics and health checks read of a running application."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from timed.peer.outbox import Queue, merged
from timed.peer.traffic import Traffic

if TYPE_CHECKING:
    from timed.app.context import Context
    from timed.app.driver import NodeDriver
    from timed.monitor.observer import EventCounts
    from timed.monitor.watch import Watch
    from timed.node.node import Node
    from timed.node.views import ConsensusState
    from timed.rpc.parts import Parts
    from timed.sync.catchup import SyncState


T = TypeVar("T")

APART = "apart"
"""In place of a node's id: an RPC process has none."""


class View:
    """Reads of this moment; everything of a part that does not run is None."""

    def __init__(self, context: Context, watch: Watch, sibling: Callable[[str], Any | None]) -> None:
        self.context = context
        self.watch = watch
        self._sibling = sibling
        self._begun_s = context.monotonic()
        self._found: dict[str, Any] | None = None
        """What was found in the moment that lasts."""

    @contextmanager
    def moment(self) -> Iterator[None]:
        """Within it, what is a sum over all sessions or the whole epoch is found once: it is one turn of the reactor."""
        outer = self._found
        self._found = {} if outer is None else outer
        try:
            yield
        finally:
            self._found = outer

    def _once(self, name: str, find: Callable[[], T]) -> T:
        found = self._found
        if found is None:
            return find()
        if name not in found:
            found[name] = find()
        result: T = found[name]
        return result

    def now(self) -> int:
        """Microseconds of unix time."""
        return self.context.clock()

    @property
    def uptime_s(self) -> float:
        """Since the process was composed, whatever became of the clock."""
        return self.context.monotonic() - self._begun_s

    @property
    def node_id(self) -> str:
        """In hexadecimal; of a process without a node `APART`."""
        own = self.context.own_node_key
        return APART if own is None else own.public.hex()

    @property
    def counts(self) -> EventCounts:
        return self.watch.counts

    @property
    def driver(self) -> NodeDriver | None:
        running = self.context.running
        return running.driver if running is not None else None

    @property
    def node(self) -> Node | None:
        running = self.context.running
        return running.node if running is not None else None

    @property
    def consensus(self) -> ConsensusState | None:
        node = self.node
        return None if node is None else self._once("consensus", node.consensus_state)

    @property
    def sync(self) -> SyncState | None:
        node = self.node
        return None if node is None else self._once("sync", node.sync_state)

    @property
    def traffic(self) -> Traffic | None:
        """What went through all sessions."""
        node = self.node
        return None if node is None else self._once("traffic", node.peers.traffic)

    @property
    def queues(self) -> Sequence[Queue]:
        """What waits for all peers, by class; nothing while there is no node."""
        node = self.node
        return () if node is None else self._once("queues", lambda: merged(node.peers.queues()))

    @property
    def peers(self) -> int:
        return len(self.node.peers.peers()) if self.node is not None else 0

    @property
    def rpc(self) -> Any | None:
        """The rpc service, if it runs in this process."""
        return self._sibling("rpc")

    @property
    def parts(self) -> Parts | None:
        """What answers calls in this process."""
        parts: Parts | None = getattr(self.rpc, "parts", None)
        return parts

    @property
    def manager(self) -> Any | None:
        """What speaks to the service manager, once it is part of an application."""
        return self._sibling("systemd")

    @property
    def monitor(self) -> Any | None:
        """The monitor service itself, once it is part of an application."""
        return self._sibling("monitor")
