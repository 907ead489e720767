"""Who may stay when there are more inbound sessions than places (protocol §5.6).

Some strangers are protected by what an attacker cannot have for the asking: a
group whose keyed number is low, a short round trip, transactions and blocks that
were news, and time. Of the others the youngest of the largest group must go. A
stranger takes a place only from a group with more sessions than its own would
have, so places change hands a bounded number of times and a house full of honest
peers changes nothing; a peer that this node prefers always takes one (F10).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import attrs

from timed.errors import Refused
from timed.peer import limits
from timed.peer.addressbook import group_of
from timed.peer.session import Session
from timed.primitives.hashing import tagged_hash


@attrs.frozen(eq=False)
class Seat:
    """What is said of one inbound session. Times are the host's, 0 for never."""

    session: Session
    preferred: bool
    """A member, trusted, or wanted by this node."""
    group: str
    number: bytes
    """Of the group, under a key that nobody else has."""
    round_trip: int | None
    transaction_at: int
    """When it delivered a transaction that was news, and a block."""
    block_at: int


class Seats:
    """The places of one node. `secret` keys the numbers of groups; without `public` a host is a group."""

    def __init__(self, secret: bytes, most: int, *, public: bool) -> None:
        self._secret = secret
        self.most = most
        """May be changed at any time."""
        self._public = public

    def give_way(
        self, inbound: Sequence[Session], newcomer: Session, preferred: Callable[[Session], bool]
    ) -> Session | None:
        """The session to close for a newcomer, None when there is room; Refused("full") otherwise.

        `inbound` are the sessions there are, oldest first.
        """
        if len(inbound) < self.most:
            return None
        taken = [self._seat(session, preferred(session)) for session in inbound]
        return self.loser(taken, self._seat(newcomer, preferred(newcomer)))

    def too_many(self, inbound: Sequence[Session], preferred: Callable[[Session], bool]) -> list[Session]:
        """Whom to close when there have become fewer places than `inbound`: strangers alone."""
        strangers = [
            seat for session in inbound if not (seat := self._seat(session, preferred(session))).preferred
        ]
        gone: list[Session] = []
        while strangers and len(inbound) - len(gone) > self.most:
            loser = _youngest_of_the_largest(_exposed(strangers))
            strangers.remove(loser)
            gone.append(loser.session)
        return gone

    def _seat(self, session: Session, preferred: bool) -> Seat:
        group = group_of(session.host) if self._public else session.host
        traffic = session.traffic
        return Seat(
            session, preferred, group, tagged_hash("seat", self._secret, group.encode("utf-8")),
            traffic.round_trip_least, traffic.last_transaction, traffic.last_block,
        )  # fmt: skip

    def loser(self, inbound: Sequence[Seat], newcomer: Seat) -> Session | None:
        """`give_way` in a full house."""
        strangers = [seat for seat in inbound if not seat.preferred]
        exposed = _exposed(strangers)
        if newcomer.preferred:
            if exposed:
                return _youngest_of_the_largest(exposed).session
            if len(inbound) < self.most + limits.RESERVED_INBOUND:
                return None
        elif exposed:
            loser = _youngest_of_the_largest(exposed)
            held = Counter(seat.group for seat in inbound)
            if held[loser.group] > held[newcomer.group] + 1:
                return loser.session
        raise Refused("full")


def _number(seat: Seat) -> tuple[bool, bytes]:
    return True, seat.number


def _round_trip(seat: Seat) -> tuple[bool, int]:
    return seat.round_trip is not None, seat.round_trip or 0


def _transactions(seat: Seat) -> tuple[bool, int]:
    return seat.transaction_at > 0, -seat.transaction_at


def _blocks(seat: Seat) -> tuple[bool, int]:
    return seat.block_at > 0, -seat.block_at


_MERITS: tuple[Callable[[Seat], tuple[bool, Any]], ...] = (_number, _round_trip, _transactions, _blocks)
"""Whether a seat has a merit of a kind, and its rank there, the lowest first. The oldest come last."""


def _exposed(strangers: Sequence[Seat]) -> list[Seat]:
    """Those that nothing protects, in their order: at least half of them."""
    kept = min(limits.PROTECTED_INBOUND, len(strangers) // (2 * len(_MERITS) + 2))
    left = list(strangers)
    for merit in _MERITS:
        ranked = sorted((seat for seat in left if merit(seat)[0]), key=merit)
        for seat in ranked[:kept]:
            left.remove(seat)
    return left[kept:]


def _youngest_of_the_largest(seats: Sequence[Seat]) -> Seat:
    """Of groups of one size that whose youngest is the youngest of all."""
    held = Counter(seat.group for seat in seats)
    largest = max(held.values())
    return next(seat for seat in reversed(seats) if held[seat.group] == largest)
