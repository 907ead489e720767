"""The regtest network that needs no file: its keys are public, its coins are worth nothing.

Everybody can compute these seeds, so `timed --node-id 1` and its brothers form
a network and a test can spend the allocation.
"""

from __future__ import annotations

from collections.abc import Sequence

from timed.crypto.keys import SigningKey
from timed.ledger.genesis import Genesis
from timed.params import BUILTIN_MEMBERS, REGTEST, UNITS_PER_TIME
from timed.primitives.hashing import tagged_hash
from timed.primitives.roster import Member, Roster, Tier, weights_for
from timed.primitives.transaction import Lock

BUILTIN_TIME = 1_767_225_600
"""2026-01-01 00:00:00 UTC."""
ALLOCATION_COINS = 100
ALLOCATION_VALUE = 10_000 * UNITS_PER_TIME


def well_known_seed(role: str, number: int) -> bytes:
    """The public seed of a regtest key; roles are node, operator, owner and wallet."""
    return tagged_hash("regtest-seed", f"{role}/{number}".encode())


def well_known_key(role: str, number: int) -> SigningKey:
    """The key pair of `well_known_seed`."""
    return SigningKey.from_seed(well_known_seed(role, number))


def regtest_roster(numbers: Sequence[int] = BUILTIN_MEMBERS, base_port: int = REGTEST.p2p_port) -> Roster:
    """The roster of the well-known members with these numbers, each of weight 1.

    Member n listens on port `base_port` + n - 1 of the loopback address and is
    paid to wallet key n.
    """
    members = [
        Member(
            operator_key=well_known_key("operator", number).public,
            owner_key=well_known_key("owner", number).public,
            reward=Lock.key_hash(well_known_key("wallet", number).public),
            tier=Tier.FREE,
            weight=weight,
            network_address=f"127.0.0.1:{base_port + number - 1}".encode(),
        )
        for number, weight in zip(numbers, weights_for("equal", [Tier.FREE] * len(numbers)), strict=True)
    ]
    return Roster(tuple(sorted(members, key=lambda member: member.operator_key)))


def builtin_regtest(
    numbers: Sequence[int] = BUILTIN_MEMBERS,
    *,
    time: int = BUILTIN_TIME,
    interval: int = REGTEST.default_interval_s,
    shard_bits: int = 0,
    base_port: int = REGTEST.p2p_port,
) -> Genesis:
    """The built-in genesis: members 1 to 3, and an allocation to wallet key 1."""
    treasury = Lock.key_hash(well_known_key("wallet", 1).public)
    return Genesis(
        params=REGTEST,
        time=time,
        interval=interval,
        profile="equal",
        shard_bits=shard_bits,
        allocation=((treasury, ALLOCATION_VALUE),) * ALLOCATION_COINS,
        members=regtest_roster(numbers, base_port),
    )
