"""The homomorphic digest of the set of unspent outputs, one state per shard.

A coin is added when it is made and subtracted when it is spent, so the digest
after a block costs only what the block touches, and undoing is the same
arithmetic with the two lists exchanged (protocol §1).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from timed.primitives import merkle
from timed.primitives.lthash import LtHash, coin_element

if TYPE_CHECKING:
    from timed.interfaces import Coin
    from timed.primitives.transaction import OutPoint

Entries = Iterable[tuple["OutPoint", "Coin"]]

MAX_SHARD_BITS = 8


def shard_of(txid: bytes, shard_bits: int) -> int:
    """The shard of every output of `txid`: its top bits (protocol §8, the only place that knows)."""
    return int.from_bytes(txid[:2], "big") >> (16 - shard_bits)


def empty_digests(shard_bits: int) -> tuple[bytes, ...]:
    """The states of an empty set: one per shard."""
    return (LtHash().state(),) * (1 << shard_bits)


def apply_digests(digests: Sequence[bytes], created: Entries, spent: Entries) -> tuple[bytes, ...]:
    """The states after `created` is added and `spent` taken away.

    No coin stands twice in either. One that stands in both, made and spent in the same block, cancels out.
    """
    added = dict(created)
    removed = {outpoint: coin for outpoint, coin in spent if added.pop(outpoint, None) is None}
    change: dict[int, LtHash] = {}
    change_digests(change, len(digests).bit_length() - 1, added.items(), removed.items())
    return merge_digests(digests, change)


def change_digests(change: dict[int, LtHash], shard_bits: int, created: Entries, spent: Entries) -> None:
    """Add what these coins do to the sum of changes, by shard; `merge_digests` carries it out."""
    for outpoint, coin in created:
        shard = change.setdefault(shard_of(outpoint.txid, shard_bits), LtHash())
        shard.add(coin_element(outpoint, coin.output, coin.height, coin.coinbase))
    for outpoint, coin in spent:
        shard = change.setdefault(shard_of(outpoint.txid, shard_bits), LtHash())
        shard.remove(coin_element(outpoint, coin.output, coin.height, coin.coinbase))


def merge_digests(digests: Sequence[bytes], change: Mapping[int, LtHash]) -> tuple[bytes, ...]:
    """The states after a sum of changes."""
    merged = list(digests)
    for index, one in change.items():
        shard = LtHash.from_state(digests[index])
        shard.merge(one)
        merged[index] = shard.state()
    return tuple(merged)


def utxo_root(digests: Sequence[bytes]) -> bytes:
    """What a header commits to: the Merkle root over the digests of the shards, in shard order."""
    return merkle.root([LtHash.from_state(state).digest() for state in digests])
