"""How a node finds others: it asks everybody for addresses, and keeps some sessions of its own.

Configured peers come first and do not depend on any of this. Below the target
of outbound sessions the address book is dialled, one session per group of
addresses where the network is public. Now and then a feeler, a dial that only
looks whether somebody is there, keeps the book honest.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING

from timed.params import SECOND
from timed.peer import limits
from timed.peer.addressbook import DAY, AddressBook, Record, group_of
from timed.peer.dialing import Dialing, Origin, Phase
from timed.peer.values import PeerAddress as Place
from timed.wire.messages import PeerAddress, PeersResponse

if TYPE_CHECKING:
    import random

LOOK_AGAIN = SECOND
LOOK_AGAIN_IDLE = 10 * SECOND
"""Between two looks at the book while there is something to dial, and while there is not."""
FEELER_INTERVAL = 120 * SECOND
SEEN_BY_OTHERS = DAY
"""How long ago an address that a seed told of counts as seen."""
TOLD_FOR = 600 * SECOND
"""How long one choice of addresses answers everybody who asks, while the book stays as it is."""
ANCHORS = 2
"""Outbound peers that a restarted node dials first."""

_COMING = (Origin.BOOK, Origin.SEED)
"""Dials of these become outbound sessions."""


class Discovery:
    """Feeds `Dialing` from the address book. Times of the book are unix microseconds."""

    def __init__(self, dialing: Dialing, entropy: random.Random, *, public: bool) -> None:
        self.book = AddressBook(entropy.randbytes(32), entropy, public=public)
        self._dialing = dialing
        self._entropy = entropy
        self._feeler_at: int | None = None
        self._told: PeersResponse | None = None
        self._told_changes = self._told_until = 0
        """The book's count of changes when that was drawn, and until when it will do."""
        self._too_few = False
        self._lonely_since: int | None = None
        self._nobody_to_dial = False

    def seeking(self, time: int) -> bool:
        """True when the sources of addresses are to be asked, as the last look saw it.

        There are too few outbound sessions, and the book has nobody to dial, or
        has been of little use for a while.
        """
        lonely = self._lonely_since
        useless = lonely is not None and time - lonely >= limits.SEED_PATIENCE
        return self._too_few and (self._nobody_to_dial or useless)

    def seeded(self, places: Iterable[Place], source: str, own: bytes, now: int) -> int:
        """Addresses that a source outside the network told of; how many the book knows now."""
        known = 0
        for place in places:
            if place.node_id != own:
                kept = self.book.add(place.host, place.port, place.node_id, now - SEEN_BY_OTHERS, source, now)
                known += kept is not None
        return known

    def heard(self, message: PeersResponse, source: str, own: bytes, now: int) -> None:
        """Addresses that a peer told of; our own among them are no news."""
        for peer in message.peers:
            if peer.node_id != own:
                self.book.add(peer.host, peer.port, peer.node_id, peer.last_seen, source, now)

    def answer(self, now: int) -> PeersResponse:
        """Some of the addresses with a known node: what a GetPeers is answered with.

        Drawn anew when the book has changed, or after a while: a question is
        cheaper to ask than a thousand addresses are to choose.
        """
        changes = self.book.changes
        if self._told is None or self._told_changes != changes or now >= self._told_until:
            self._told, self._told_changes, self._told_until = self._draw(now), changes, now + TOLD_FOR
        return self._told

    def _draw(self, now: int) -> PeersResponse:
        known = [record for record in self.book.sample(limits.ADDRESSES_PER_RESPONSE, now) if record.node_id]
        return PeersResponse(
            peers=tuple(
                PeerAddress(node_id=record.node_id or b"", host=record.host, port=record.port, last_seen=record.last_seen)
                for record in known
            )
        )  # fmt: skip

    def look(
        self,
        now: int,
        time: int,
        outbound: Collection[str],
        there: Mapping[bytes, str],
        kept_out: Callable[[bytes | None, str], bool] = lambda node_id, host: False,
    ) -> int:
        """Want what is missing; the steady time of the next look.

        `outbound` are the hosts of outbound sessions, `there` the linked node ids
        with the hosts of their sessions; `kept_out` says whom this node would
        refuse. What others say of who is where keeps nobody from being dialled:
        else a liar could give all addresses the id of a node that is linked.
        """
        self._count(len(outbound), time)
        coming = [t.host for t in self._dialing if t.origin in _COMING and t.phase is not Phase.LINKED]
        outbound = [*outbound, *coming]
        taken = {group_of(host) for host in outbound} if self.book.public else frozenset()

        def excluded(record: Record) -> bool:
            believed = self._believed(record)
            return (
                (believed is not None and believed in there)
                or (record.node_id is not None and there.get(record.node_id) == record.host)
                or self._dialing.at(record.host, record.port) is not None
                or (bool(taken) and group_of(record.host) in taken)
                or kept_out(believed, record.host)
            )

        if self._feeler_at is None:
            self._feeler_at = time + FEELER_INTERVAL
        elif time >= self._feeler_at:
            self._feeler_at = time + FEELER_INTERVAL // 2 + self._entropy.randrange(FEELER_INTERVAL)
            tested = self._to_test(there, now)
            self._want(tested or self.book.choose(now, excluded, untried=True), Origin.FEELER, now)
        if len(outbound) >= limits.OUTBOUND_TARGET:
            return time + LOOK_AGAIN_IDLE
        chosen = self.book.choose(now, excluded)
        self._nobody_to_dial = chosen is None
        self._want(chosen, Origin.BOOK, now)
        return time + (LOOK_AGAIN_IDLE if chosen is None else LOOK_AGAIN // 4)

    def _to_test(self, there: Mapping[bytes, str], now: int) -> Record | None:
        """A tried address that another one wants the place of; one whose node is linked has passed."""
        tested = self.book.to_test()
        while tested is not None and tested.node_id is not None and tested.node_id in there:
            self.book.succeeded(tested.host, tested.port, tested.node_id, now)
            tested = self.book.to_test()
        return tested

    def _count(self, sessions: int, time: int) -> None:
        """Whether there are too few outbound sessions, and since when hardly any."""
        self._too_few = sessions < limits.OUTBOUND_TARGET
        if sessions >= limits.SEED_ENOUGH:
            self._lonely_since = None
        elif self._lonely_since is None:
            self._lonely_since = time

    def _want(self, record: Record | None, origin: Origin, now: int) -> None:
        if record is not None:
            self.book.attempted(record.host, record.port, now)
            self._dialing.try_once(record.host, record.port, self._believed(record), origin)

    def _believed(self, record: Record) -> bytes | None:
        """Who answers there, as far as this node knows itself."""
        return record.node_id if self.book.proved(record) else None
