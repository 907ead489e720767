"""The way from the RPC to the peer room: what it knows, and what the operator does to it.

Reads are of this moment on the reactor thread. What is done goes through the
driver, so that closes, goodbyes and dials leave at the end of the turn.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from timed.params import SECOND
from timed.peer.bans import Ban, Subject
from timed.peer.dialing import Origin, Target
from timed.peer.location import address_of

if TYPE_CHECKING:
    from timed.peer.addressbook import Record
    from timed.peer.seeding import Seed, Seeding
    from timed.peer.statistics import PeerStatistics
    from timed.peer.table import PeerTable
    from timed.peer.traffic import Traffic
    from timed.peer.values import PeerAddress, PeerHandle

OPERATOR = "operator"
"""The reason of a session's end that the operator asked for."""


class SocketCounters(Protocol):
    """`timed.net.limits.NetworkCounters`, as far as bytes go."""

    bytes_received: int
    bytes_sent: int


class Peering:
    """The peers of one running node.

    `sockets` gives the transports' counters, `seeding` the sources of addresses, None without any.
    """

    def __init__(
        self,
        driver: Any,
        sockets: Callable[[], SocketCounters | None],
        seeding: Callable[[], Seeding | None] = lambda: None,
    ) -> None:
        self._driver = driver
        self._sockets = sockets
        self._seeding = seeding

    def seeds(self) -> list[Seed]:
        """The configured sources of addresses."""
        seeding = self._seeding()
        return [] if seeding is None else list(seeding)

    @property
    def table(self) -> PeerTable:
        table: PeerTable = self._driver.node.peers
        return table

    def now(self) -> int:
        """Microseconds of unix time."""
        return int(self._driver.clock())

    # Who is there.

    def sessions(self) -> list[tuple[PeerHandle, PeerStatistics]]:
        """The open sessions with their numbers, by node id."""
        found = [(peer, self.table.statistics(peer.node_id)) for peer in self.table.peers()]
        return [(peer, known) for peer, known in found if known is not None]

    def find(self, text: str, number: int | None = None) -> list[PeerHandle]:
        """The open sessions with this node id, `host:port`, host or number of session."""
        return [
            peer
            for peer in self.table.peers()
            if number == peer.generation
            or text in (peer.node_id.hex(), peer.address)
            or (text and address_of(text) is not None and address_of(text) == address_of(host_of(peer)))
        ]

    def believed_at(self, address: PeerAddress) -> bytes | None:
        """The node that most likely answers where this node dials."""
        target = self.table.dialing.at(address.host, address.port)
        return None if target is None else target.believed

    def clock_offset(self) -> int | None:
        """How far the peers' clocks are ahead of ours, in microseconds."""
        return self.table.clock_offset()

    def traffic(self) -> Traffic:
        """What went through all sessions since the start."""
        return self.table.traffic()

    def socket_bytes(self) -> tuple[int, int]:
        """(received, sent) by the sockets, or by the sessions of a node without any."""
        sockets = self._sockets()
        if sockets is None:
            traffic = self.traffic()
            return traffic.bytes_received, traffic.bytes_sent
        return sockets.bytes_received, sockets.bytes_sent

    def disconnect(self, peer: PeerHandle) -> bool:
        """Say goodbye to a peer; False when it has gone already."""
        gone: bool = self._driver.operate(self.table.disconnect, peer.node_id, OPERATOR, self.now())
        return gone

    # Bans.

    def bans(self) -> tuple[Ban, ...]:
        return self.table.conduct.bans(self.now())

    def ban_of(self, subject: Subject) -> Ban | None:
        return self.table.conduct.ban_of(subject, self.now())

    def covering(self, host: str) -> tuple[Ban, ...]:
        """The bans of places in which a host is."""
        return self.table.conduct.covering(host, self.now())

    def ban(self, subject: Subject, seconds: int, reason: str) -> None:
        self._driver.operate(self.table.ban, subject, seconds, reason, self.now())

    def unban(self, subject: Subject) -> bool:
        lifted: bool = self._driver.operate(self.table.unban, subject, self.now())
        return lifted

    def clear_bans(self) -> None:
        self._driver.operate(self.table.clear_bans, self.now())

    def score(self, node_id: bytes) -> float:
        return self.table.conduct.score(node_id, self.now())

    # Whom this node dials.

    def added(self) -> list[Target]:
        """The addresses this node keeps connected, by host and port."""
        wanted = [target for target in self.table.dialing if target.origin is Origin.CONFIGURED]
        return sorted(wanted, key=lambda target: target.address)

    def dialled(self, node_id: bytes | None, host: str, port: int | None = None) -> list[Target]:
        """The addresses dialled for a node, and those at a host of which nobody else is known to answer.

        With a port only what is dialled there, if anything is.
        """
        found = [
            target
            for target in self.table.dialing
            if (node_id is not None and target.believed == node_id)
            or (host and target.host == host and (node_id is None or target.believed is None))
        ]
        return [target for target in found if target.port == port] or found

    def is_added(self, address: PeerAddress) -> bool:
        target = self.table.dialing.at(address.host, address.port)
        return target is not None and target.origin is Origin.CONFIGURED

    def kept_out(self, address: PeerAddress) -> bool:
        """True for an address that would be refused as banned."""
        return self.table.kept_out(address.node_id, address.host)

    def add(self, address: PeerAddress) -> bool:
        """Keep a session with this address; False when too many are wanted."""
        wanted: bool = self._driver.operate(self.table.want, address.host, address.port, address.node_id)
        return wanted

    def remove(self, address: PeerAddress) -> None:
        self._driver.operate(self.table.forget, address.host, address.port)

    def try_once(self, address: PeerAddress) -> bool:
        """Dial an address once; False when too many are dialled."""
        tried: bool = self._driver.operate(self.table.try_once, address.host, address.port, address.node_id)
        return tried

    def waits_for(self, target: Target) -> int:
        """Microseconds until a target may be dialled again."""
        return max(0, target.not_before - self.table.clock.time)

    def addresses(self, count: int, family: int | None) -> list[Record]:
        """Some of the addresses of the book, in no order; all of them for 0; of IPv4 or IPv6 alone."""
        book = self.table.discovery.book
        worth = book.sample(len(book), self.now())
        if family is not None:
            worth = [record for record in worth if _family(record.host) == family]
        return worth[:count] if count else worth

    def records_of(self, node_id: bytes | None, host: str) -> list[Record]:
        """The addresses of the book at which a node is said to be, and those of a host."""
        return [
            record
            for record in self.table.discovery.book
            if (node_id is not None and record.node_id == node_id) or (host and record.host == host)
        ]


def host_of(peer: PeerHandle) -> str:
    """The host of a session's address, without port and brackets."""
    return peer.address.rpartition(":")[0].strip("[]")


def _family(host: str) -> int | None:
    address = address_of(host)
    return None if address is None else address.version


def seconds(microseconds: int | None) -> float | None:
    """As JSON shows a span of time."""
    return None if microseconds is None else microseconds / SECOND
