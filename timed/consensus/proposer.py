"""Who proposes: a pure function of roster, height and round (protocol §4)."""

from __future__ import annotations

from functools import lru_cache

from timed.primitives.hashing import tagged_hash
from timed.primitives.roster import Roster

MAX_CACHED_ORDERS = 64


@lru_cache(maxsize=MAX_CACHED_ORDERS)
def _order(roster_hash: bytes, weights: tuple[int, ...], height: int) -> tuple[int, ...]:
    """Members with weight, drawn by weight without replacement."""
    remaining = [index for index, weight in enumerate(weights) if weight]
    order = []
    for draw in range(len(remaining)):
        seed = tagged_hash("proposer", roster_hash, height.to_bytes(8, "little"), draw.to_bytes(4, "little"))
        total = sum(weights[index] for index in remaining)
        point = int.from_bytes(seed, "little") % total
        for place, index in enumerate(remaining):
            point -= weights[index]
            if point < 0:
                order.append(remaining.pop(place))
                break
    return tuple(order)


def proposer(roster: Roster, height: int, round_: int) -> int:
    """Index in `roster` of the member that proposes in (height, round).

    Each height draws its own order by weight without replacement and the rounds
    walk through it, so one dead member costs one round, not a run of bad luck.
    """
    order = _order(roster.hash, tuple(member.weight for member in roster.members), height)
    return order[round_ % len(order)]
