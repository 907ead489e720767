"""What a commit does to the tip record, the same for every store."""

from __future__ import annotations

from timed.errors import StoreError
from timed.interfaces import BlockCommit, StoredTip


def next_tip(tip: StoredTip | None, commit: BlockCommit) -> StoredTip:
    """The tip after `commit`; StoreError when it does not follow `tip`."""
    height = 0 if tip is None else tip.height + 1
    if commit.height != height:
        raise StoreError(f"block {commit.height} cannot be stored where block {height} is due.")
    coins = 0 if tip is None else tip.coins
    supply = 0 if tip is None else tip.supply
    return StoredTip(
        height=height,
        block_hash=commit.block_hash,
        digests=tuple(commit.digests),
        coins=coins + len(commit.created) - len(commit.spent),
        supply=supply
        + sum(coin.output.value for _, coin in commit.created)
        - sum(coin.output.value for _, coin in commit.spent),
    )
