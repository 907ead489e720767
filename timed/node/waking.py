"""Which machine of a node is due when, and waking them: all together, or one by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from timed.deadlines import earliest

if TYPE_CHECKING:
    from timed.node.node import Node

CHAIN, SYNC, RELAY, PEERS = "chain", "sync", "relay", "peers"
MACHINES = (CHAIN, SYNC, RELAY, PEERS)
"""In the order in which they are woken."""


class Waking:
    """The deadlines of one node's machines; times are microseconds of the host's clock."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.due: dict[str, int | None] = dict.fromkeys(MACHINES)
        """As of the last `next`: to ask a machine lets go what nobody waits for any more, so others look here."""
        self.woken: dict[str, int] = dict.fromkeys(MACHINES, 0)
        """How often each did what was due and came back."""

    def next(self) -> int | None:
        """The earliest deadline, None when nothing is pending."""
        node = self._node
        self.due = {
            CHAIN: node.chain.next_deadline(),
            SYNC: node.catchup.next_deadline(),
            RELAY: node.relay.next_deadline(),
            PEERS: node.peers.next_deadline(),
        }
        return earliest(*self.due.values())

    def all(self, now: int) -> None:
        """Every machine does what is due."""
        for machine in MACHINES:
            self._wake(machine, now)

    def alone(self, machine: str, now: int) -> None:
        """One machine does what is due: for a host in which `all` has raised, so that the others live on."""
        self._node.now = now
        self._wake(machine, now)
        self._node.settle(now)

    def _wake(self, machine: str, now: int) -> None:
        _WAKES[machine](self._node, now)
        self.woken[machine] += 1


def _wake_chain(node: Node, now: int) -> None:
    node.chain.watch_clock(node.peers.clock_offset(), now)
    node.chain.wake(now)


def _wake_sync(node: Node, now: int) -> None:
    node.catchup.wake(now)


def _wake_relay(node: Node, now: int) -> None:
    node.relay.wake(now)


def _wake_peers(node: Node, now: int) -> None:
    node.deliver(node.peers.tick(now))


_WAKES: dict[str, Callable[[Node, int], None]] = {
    CHAIN: _wake_chain,
    SYNC: _wake_sync,
    RELAY: _wake_relay,
    PEERS: _wake_peers,
}
