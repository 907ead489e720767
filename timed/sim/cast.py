"""Who takes part in a simulation: keys, roster and genesis, all derived from the seed."""

from __future__ import annotations

import hashlib

import attrs

from timed.crypto.keys import SigningKey
from timed.ledger.genesis import Genesis
from timed.params import REGTEST
from timed.primitives.address import key_hash
from timed.primitives.roster import Member, Roster
from timed.primitives.transaction import Lock

GENESIS_TIME = 1_700_000_000
PORT = 7000
PURSES = 12
"""Wallet keys that own the allocation."""
COINS_PER_PURSE = 16
COIN_VALUE = 1_000_000_000
"""Units in each coin of the allocation."""


def derived_seed(seed: int, role: str, index: int) -> bytes:
    """The secret of `role` number `index` in the simulation of `seed`."""
    return hashlib.sha256(f"timed sim {seed} {role} {index}".encode()).digest()


def derived_key(seed: int, role: str, index: int) -> SigningKey:
    """The key of `role` number `index` in the simulation of `seed`."""
    return SigningKey.from_seed(derived_seed(seed, role, index))


@attrs.frozen
class Cast:
    """The participants; index i of every tuple belongs to machine i. Followers come after the members."""

    genesis: Genesis
    node_keys: tuple[SigningKey, ...]
    operator_keys: tuple[SigningKey, ...]
    purses: tuple[SigningKey, ...]


def make_cast(seed: int, nodes: int, interval: int, followers: int = 0) -> Cast:
    """`nodes` members of equal weight, nodes that only follow, and wallets with money, on regtest rules."""
    node_keys = tuple(derived_key(seed, "node", index) for index in range(nodes + followers))
    operator_keys = tuple(derived_key(seed, "operator", index) for index in range(nodes))
    purses = tuple(derived_key(seed, "purse", index) for index in range(PURSES))
    members = []
    for index, key in enumerate(operator_keys):
        owner = derived_key(seed, "owner", index)
        members.append(
            Member(
                operator_key=key.public,
                owner_key=owner.public,
                reward=Lock.key_hash(owner.public),
                tier=0,
                weight=1,
                network_address=f"10.0.0.{index + 1}:{PORT}".encode(),
            )
        )
    roster = Roster(members=tuple(sorted(members, key=lambda member: member.operator_key)))
    locks = [Lock.key_hash(purse.public) for purse in purses for _ in range(COINS_PER_PURSE)]
    genesis = Genesis(
        params=REGTEST,
        time=GENESIS_TIME,
        interval=interval,
        profile="equal",
        shard_bits=0,
        allocation=tuple((lock, COIN_VALUE) for lock in locks),
        members=roster,
    )
    return Cast(genesis, node_keys, operator_keys, purses)


def purse_of(cast: Cast) -> dict[bytes, SigningKey]:
    """Key hash -> the wallet key it names."""
    return {key_hash(purse.public): purse for purse in cast.purses}
