"""When a node that finds too few peers asks which source of addresses (protocol §5.8).

The sources stand in an order: fixed addresses, names in the DNS, signed lists. A
later kind is asked when every source of the kinds before it was asked and had a
moment to be of use; one that failed holds nobody up, nor does one that does not
answer. Each is asked again after a pause of its own that grows, with jitter.
Times are steady microseconds.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import attrs

from timed.peer import limits

if TYPE_CHECKING:
    import random

ANSWERED = "answered"


class SeedKind(enum.IntEnum):
    """Where addresses come from; the lower one goes first."""

    FIXED = 0
    """An address from the configuration: it is dialled."""
    DNS = 1
    LIST = 2


@attrs.define(eq=False)
class Seed:
    """One source. `name` is what the operator wrote."""

    kind: SeedKind
    name: str
    asking: bool = False
    asked_at: int | None = None
    not_before: int = 0
    pauses: int = 0
    """Pauses since the node last had enough peers; each is longer than the one before."""
    outcome: str = ""
    """Of the last time: `ANSWERED` or the name of a failure."""
    addresses: int = 0
    """In the last answer."""


class Seeding:
    """The sources of one node."""

    def __init__(self, seeds: Sequence[Seed], entropy: random.Random) -> None:
        self.outcomes: Counter[tuple[str, str]] = Counter()
        """How often a kind of source had which outcome."""
        self._seeds = tuple(seeds)
        self._entropy = entropy

    def __iter__(self) -> Iterator[Seed]:
        return iter(self._seeds)

    def due(self, now: int) -> list[Seed]:
        """The sources to ask now, while the node seeks; each is to be told of its outcome."""
        chosen: list[Seed] = []
        for kind in SeedKind:
            group = [seed for seed in self if seed.kind is kind]
            for seed in group:
                if not seed.asking and now >= seed.not_before:
                    seed.asking, seed.asked_at = True, now
                    chosen.append(seed)
            if any(self._hold_up(seed, now) for seed in group):
                break
        return chosen

    def answered(self, seed: Seed, addresses: int, now: int) -> None:
        """The source gave so many addresses; they may be of use now."""
        seed.addresses = addresses
        self._ended(seed, ANSWERED, limits.SEED_PAUSE_ANSWERED, now)

    def failed(self, seed: Seed, outcome: str, now: int) -> bool:
        """The source gave nothing; True when that is another outcome than the last time."""
        changed = seed.outcome != outcome
        self._ended(seed, outcome, limits.SEED_PAUSE_FAILED, now)
        return changed

    def content(self) -> None:
        """The node has enough peers: what comes next is another episode, with pauses from the start."""
        for seed in self:
            seed.pauses = 0

    @staticmethod
    def _hold_up(seed: Seed, now: int) -> bool:
        """True while the kinds after this one are not to be asked yet."""
        if seed.asked_at is None or now >= seed.asked_at + limits.SEED_TURN:
            return False
        return seed.asking or seed.outcome == ANSWERED

    def _ended(self, seed: Seed, outcome: str, first: int, now: int) -> None:
        self.outcomes[seed.kind.name.lower(), outcome] += 1
        pause = min(first << min(seed.pauses, 16), limits.SEED_PAUSE_MAX)
        seed.asking, seed.outcome = False, outcome
        seed.pauses += 1
        seed.not_before = now + pause + self._entropy.randrange(pause // 2)
