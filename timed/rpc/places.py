"""Who has a place among a site's connections, and who makes room when all are taken.

Somebody who opens thousands of connections, or whom nobody knows, must not take a
client's away: whoever has never shown good credentials goes first, but for a share of
the places that is left to newcomers, since every client was one.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Generic, Protocol, TypeVar

NEWCOMERS_SHARE = 8
"""One part in so many of all places is the newcomers'."""


class Holder(Protocol):
    """A connection."""

    busy: bool
    """A request of it is being answered: it is never sent away."""


H = TypeVar("H", bound=Holder)


class Places(Generic[H]):
    """Connections, those used last standing last. A connection has at most one place."""

    def __init__(self) -> None:
        self._newcomers: dict[H, None] = {}
        self._known: dict[H, None] = {}

    def __len__(self) -> int:
        return len(self._newcomers) + len(self._known)

    def __iter__(self) -> Iterator[H]:
        """All of them; the dictionaries may be changed meanwhile."""
        return iter([*self._newcomers, *self._known])

    def take(self, holder: H) -> None:
        """A newcomer's place."""
        self._newcomers[holder] = None

    def used(self, holder: H, known: bool) -> None:
        """A request was answered; `known` when it had good credentials. Nothing for who has no place."""
        if self.leave(holder):
            (self._known if known else self._newcomers)[holder] = None

    def leave(self, holder: H) -> bool:
        """False when there was no place."""
        for places in (self._newcomers, self._known):
            if holder in places:
                del places[holder]
                return True
        return False

    def first_to_go(self, places: int) -> H | None:
        """Who makes room where there are so many places; None when everybody is busy."""
        crowded = len(self._newcomers) >= max(1, places // NEWCOMERS_SHARE)
        order = (self._newcomers, self._known) if crowded else (self._known, self._newcomers)
        return next((each for each in chain(*order) if not each.busy), None)
