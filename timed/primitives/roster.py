"""The weighted members of one height, and the one rule of what a quorum is (protocol §2)."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

from timed.codec.value import Retained, Value, retain_hash
from timed.errors import LocalError
from timed.primitives.hashing import tagged_hash
from timed.primitives.transaction import Lock


class Tier(IntEnum):
    """How much collateral a member has locked."""

    FREE = 0
    BRONZE = 1
    SILVER = 2
    GOLD = 3


COLLATERAL_WEIGHTS = {Tier.FREE: 0, Tier.BRONZE: 1, Tier.SILVER: 10, Tier.GOLD: 100}
"""Voting weight in the `collateral` profile, before the cap."""

PROFILES = ("equal", "collateral")

CAP_MEMBERS = 10
"""From this many members with weight on, none keeps more than a tenth of the sum."""


class Member(Value, frozen=True, gc=False):
    """One masternode: its keys, where its reward goes, its tier and its voting weight."""

    operator_key: bytes
    owner_key: bytes
    reward: Lock
    tier: int
    weight: int
    network_address: bytes = b""


class Roster(Retained, Value, frozen=True, gc=False):
    """The members of one height, sorted by operator key, each key once."""

    members: tuple[Member, ...]

    @property
    def hash(self) -> bytes:
        """What headers, votes and certificates name the roster by."""
        try:
            return self._hash
        except AttributeError:
            digest = tagged_hash("roster", self.raw)
            retain_hash(self, digest)
            return digest

    @property
    def total_weight(self) -> int:
        """The weight of the whole roster."""
        return sum([member.weight for member in self.members])

    def index_of(self, operator_key: bytes) -> int | None:
        """The position of the member with this operator key, None when there is none."""
        low, high = 0, len(self.members)
        while low < high:
            middle = (low + high) // 2
            if self.members[middle].operator_key < operator_key:
                low = middle + 1
            else:
                high = middle
        if low < len(self.members) and self.members[low].operator_key == operator_key:
            return low
        return None

    def weight_of(self, indices: Sequence[int]) -> int:
        """The weight of the members at these positions."""
        members = self.members
        return sum([members[index].weight for index in indices])


def is_quorum(weight: int, total: int) -> bool:
    """True when `weight` is at least two thirds of `total`, the whole roster's weight.

    Integer arithmetic on purpose: two nodes must never round differently (protocol §2).
    A roster without weight has no quorum.
    """
    return weight > 0 and 3 * weight >= 2 * total


def quorum_weight(total: int) -> int:
    """The least weight that is a quorum of `total`; more than there is when the roster has none."""
    return max(1, -(-2 * total // 3))


def weights_for(profile: str, tiers: Sequence[int]) -> list[int]:
    """The voting weight of members with these tiers, in the same order (protocol §2).

    `equal`: 1 each. `collateral`: by tier, each weight cut to a tenth of the uncut sum
    (rounded down) where ten or more members have weight. LocalError for other profiles.
    """
    if profile == "equal":
        return [1] * len(tiers)
    if profile != "collateral":
        raise LocalError(f"there is no weight profile {profile!r}.", f"Use one of: {', '.join(PROFILES)}.")
    weights = [COLLATERAL_WEIGHTS[Tier(tier)] for tier in tiers]
    if sum(1 for weight in weights if weight) < CAP_MEMBERS:
        return weights
    cap = sum(weights) // 10
    return [min(weight, cap) for weight in weights]


from timed.primitives import _roster_codec as _roster_codec  # noqa: E402 (binds the codec)
