"""Taking the keys of one wallet into another: nothing of either is lost."""

from __future__ import annotations

from collections.abc import Iterator

from timed.wallet.keystore import CHANGE, POOL, RECEIVE, Keystore
from timed.wallet.walletkey import BRANCHES, ROLES, WalletSeed

STEP = 200
"""Keys looked at between two pauses."""


def merge(into: Keystore, other: Keystore) -> Iterator[None]:
    """Give `into` the seeds, single keys, names and watched locks of `other`, with pauses.

    Both must be open. New keys come from `other`'s seed afterwards when it has one.
    """
    seeds = [seed for seed in other.seeds if seed is not other.seed]
    if other.seed is not None:
        seeds.append(other.seed)
    for seed in seeds:
        into.plant(WalletSeed(seed.id, seed.account, seed.secret).opened())
        for role in BRANCHES:
            yield from _follow(into, other, seed.id, role)
    for number, key in enumerate(other):
        if key.place is None:
            role = CHANGE if key.role == CHANGE else RECEIVE
            adopted = into.adopt(other.signing_key(key).seed, key.label, role)
            if key.label not in ("", adopted.label):
                into.label(key.lock, key.label)
        if number % STEP == 0:
            yield
    for watched in other.watched:
        if not into.owns(watched.lock):
            into.watch(watched)


def _follow(into: Keystore, other: Keystore, seed: str, role: str) -> Iterator[None]:
    """What `other` has handed out of a branch counts as handed out, under the same names."""
    places = {
        key.place.index: key
        for key in other
        if key.place is not None and key.place.seed == seed and ROLES[key.place.branch] == role
    }
    while (missing := max(places, default=-1) + 1 - into.end_of(role)) > 0:
        into.derive(role, min(STEP, missing))
        yield
    for key in places.values():
        if key.role != POOL:
            into.saw(key.lock)
            if key.label:
                into.label(key.lock, key.label)
