"""Who is connected to whom: one session a pair, a bounded number of dials, no working session ended.

Everything is seen from outside: which process acknowledged which handshake on
which link, what it told its users, and what it dialled.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from timed import events
from timed.params import SECOND, NetworkParams
from timed.peer import limits
from timed.peer.dialing import backoff_cap
from timed.sim.violation import Violation
from timed.wire.messages import Ack, Handshake

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from timed.events import NodeEvent
    from timed.sim.host import Process
    from timed.sim.links import Connection
    from timed.sim.network import Network

WINDOW = 60 * SECOND
"""Dials of one node to another are counted over this time."""
HANDOVER = limits.HANDSHAKE_DEADLINE + 2 * SECOND
"""How long two connections of one pair may both be up at both ends, where nothing is in the way."""
QUIET = 10 * SECOND
"""A pair that was disturbed counts as well again when it was joined for this long."""

Pair = tuple[int, int]


def dials_allowed(params: NetworkParams, episodes: int) -> int:
    """The most dials to one address in `WINDOW`, of which `episodes` began with a success.

    Every episode begins with the pauses below the longest base, each twice the one
    before; after that no pause is shorter than that base.
    """
    base = backoff_cap(params) * 2 // 3
    quick = 1
    while limits.BACKOFF_FIRST << (quick - 1) < base:
        quick += 1
    return (1 + episodes) * quick + WINDOW // base


class MeshRules:
    """Checks sessions and dials between the nodes of one network; raises Violation."""

    def __init__(
        self,
        network: Network,
        node_ids: Sequence[bytes],
        params: NetworkParams,
        sessions: list[dict[bytes, None]],
    ) -> None:
        self._network = network
        self._ids = node_ids
        self._index = {node_id: index for index, node_id in enumerate(node_ids)}
        self._params = params
        self._sessions = sessions
        self._accepted: dict[Pair, list[tuple[Connection, int]]] = {}
        """By node and peer: the links on which the node acknowledged the peer's handshake."""
        self._touched: dict[Pair, None] = {}
        self._dials: dict[Pair, deque[int]] = {}
        self._successes: dict[Pair, deque[int]] = {}
        self._unsettled: dict[Pair, int | None] = {}
        """Pairs that were disturbed, and since when they are joined again; None while they are not."""
        self._doubled: dict[Pair, int] = {}
        self.watching = False
        """Whether sessions of pairs that nothing disturbed must stay, and dials be few."""
        self.most_dials = 0
        """Of one node to one other in `WINDOW`."""
        self.dials = 0
        self.handovers = 0
        """Open sessions that gave way to a second one of the same pair."""
        self.ended = 0
        """Open sessions that ended, counted at each side."""

    # What processes do

    def sent(self, process: Process, link: int, message: object) -> None:
        """`process` hands a message to the transport of `link`."""
        if not isinstance(message, Ack) or message.number != _HANDSHAKE:
            return
        place = self._network.place_of(link)
        if place is None:
            return
        connection, position = place
        other = connection.sides[1 - position].machine.index
        if other < len(self._ids):
            pair = (process.host.index, other)
            self._accepted.setdefault(pair, []).append(place)
            self._touched[pair] = None

    def dialled(self, process: Process, host: str) -> None:
        """`process` begins a dial."""
        target = self._network.machine_of(host)
        if target is None or not self.watching:
            return
        now, pair = self._network.clock.now, (process.host.index, target)
        dials = self._dials.setdefault(pair, deque())
        dials.append(now)
        self.dials += 1
        _drop_before(dials, now - WINDOW)
        self.most_dials = max(self.most_dials, len(dials))
        successes = self._successes.setdefault(pair, deque())
        _drop_before(successes, now - WINDOW)
        allowed = dials_allowed(self._params, len(successes))
        if len(dials) > allowed:
            raise Violation(
                "redial-rate",
                f"{process.name} dialled {target} {len(dials)} times in a minute, not {allowed}",
            )

    def published(self, process: Process, event: NodeEvent) -> None:
        """`process` tells its users of `event`."""
        if isinstance(event, events.PeerOpened):
            self._success(process.host.index, event.node_id)
        elif isinstance(event, events.PeerClosed):
            self._closed(process, event)

    def booted(self, index: int) -> None:
        """A new process has no sessions yet, and knows nothing of earlier failures."""
        self.disturb_node(index)
        for other in range(len(self._ids)):
            if other != index:
                self._success(index, self._ids[other])

    def _success(self, index: int, node_id: bytes) -> None:
        other = self._index.get(node_id)
        if other is not None:
            self._successes.setdefault((index, other), deque()).append(self._network.clock.now)

    def _closed(self, process: Process, event: events.PeerClosed) -> None:
        other = self._index.get(event.node_id)
        if other is None:
            return
        self.ended += 1
        self.handovers += event.reason == "duplicate"
        pair = _pair(process.host.index, other)
        if self.watching and pair not in self._unsettled:
            raise Violation(
                "healthy-session",
                f"{process.name} lost its session with {other}, which worked: {event.reason}",
            )
        self._unsettled[pair] = None

    # What must hold

    def check(self) -> None:
        """After every event: no node has acknowledged two live links of one peer."""
        if not self._touched:
            return
        touched, self._touched = self._touched, {}
        for pair in touched:
            live = self._live(pair)
            if len(live) > 1:
                raise Violation("one-session", f"{pair[0]} has two sessions with {pair[1]}")

    def disturb(self, pairs: Iterable[Pair]) -> None:
        """Something happens to what is between these machines, or to one of them."""
        for a, b in pairs:
            if max(a, b) < len(self._ids):
                self._unsettled[_pair(a, b)] = None

    def disturb_node(self, index: int) -> None:
        """A process or its machine is about to fail."""
        self.disturb((index, other) for other in range(len(self._ids)) if other != index)

    def look(self) -> None:
        """Once a second: which pairs are well again; two connections live for a handover at most."""
        now = self._network.clock.now
        for pair, since in list(self._unsettled.items()):
            if self.obstructed(pair):
                self._unsettled[pair] = None
                self._doubled.pop(pair, None)
                continue
            self._doubled_for(pair, now)
            if not self.joined(pair):
                self._unsettled[pair] = None
            elif since is None:
                self._unsettled[pair] = now
            elif now - since >= QUIET:
                del self._unsettled[pair]

    def _doubled_for(self, pair: Pair, now: int) -> None:
        live = [c for c in self._network.between(*pair) if c.sides[0].open and c.sides[1].open]
        if len(live) < 2:
            self._doubled.pop(pair, None)
        elif now - self._doubled.setdefault(pair, now) > HANDOVER:
            raise Violation(
                "one-session", f"{len(live)} connections between {pair} for {HANDOVER // SECOND} s"
            )

    def joined(self, pair: Pair) -> bool:
        """One connection, acknowledged and known to be open at both ends."""
        a, b = pair
        mine, theirs = self._live((a, b)), self._live((b, a))
        known = self._ids[b] in self._sessions[a] and self._ids[a] in self._sessions[b]
        return (
            known
            and len(mine) == len(theirs) == len(self._network.between(a, b)) == 1
            and mine[0] is theirs[0]
        )

    def unjoined(self) -> list[Pair]:
        """The pairs that have no session, or more than that."""
        count = len(self._ids)
        return [(a, b) for a in range(count) for b in range(a + 1, count) if not self.joined((a, b))]

    @property
    def settled(self) -> bool:
        """True when no pair is disturbed."""
        return not self._unsettled

    def obstructed(self, pair: Pair) -> bool:
        """True while something between the two, or a machine, is out of order."""
        a, b = pair
        network = self._network
        return (
            network.paths[(a, b)].blocked
            or network.paths[(b, a)].blocked
            or network.listener(a) is None
            or network.listener(b) is None
        )

    def _live(self, pair: Pair) -> list[Connection]:
        held = self._accepted.get(pair)
        if not held:
            return []
        live = [(connection, position) for connection, position in held if connection.sides[position].open]
        self._accepted[pair] = live
        return [connection for connection, _ in live]


_HANDSHAKE = Handshake.entry().number


def _pair(a: int, b: int) -> Pair:
    return (a, b) if a < b else (b, a)


def _drop_before(times: deque[int], when: int) -> None:
    while times and times[0] < when:
        times.popleft()
