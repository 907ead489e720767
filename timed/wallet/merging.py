"""Taking the keys of one wallet into another: nothing of either is lost."""

from __future__ import annotations

from timed.wallet.keystore import POOL, Keystore
from timed.wallet.walletkey import BRANCHES, ROLES, WalletSeed


def merge(into: Keystore, other: Keystore) -> int:
    """Give `into` the seeds, single keys, names and watched locks of `other`; how many keys are new.

    Both must be open. New keys come from `other`'s seed afterwards when it has one.
    """
    before = len(into)
    seeds = [seed for seed in other.seeds if seed is not other.seed]
    if other.seed is not None:
        seeds.append(other.seed)
    for seed in seeds:
        into.plant(WalletSeed(seed.id, seed.account, seed.secret).opened())
        for role in BRANCHES:
            _follow(into, other, seed.id, role)
    for key in other:
        if key.place is None:
            into.adopt(other.signing_key(key).seed, key.label)
    for watched in other.watched:
        if not into.owns(watched.lock):
            into.watch(watched)
    return len(into) - before


def _follow(into: Keystore, other: Keystore, seed: str, role: str) -> None:
    """What `other` has handed out of a branch counts as handed out, under the same names."""
    places = {
        key.place.index: key
        for key in other
        if key.place is not None and key.place.seed == seed and ROLES[key.place.branch] == role
    }
    missing = max(places, default=-1) + 1 - into.end_of(role)
    if missing > 0:
        into.derive(role, missing)
    for key in places.values():
        if key.role != POOL:
            into.saw(key.lock)
            if key.label:
                into.label(key.lock, key.label)
