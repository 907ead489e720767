"""How much there is, how much there could be, and what was paid for being included."""

from __future__ import annotations

import attrs

from timed.ledger.genesis import ROSTER_DELAY, Genesis
from timed.ledger.rewards import base_reward
from timed.primitives.certificate import indices_of
from timed.rpc.chainview import ChainView, index_needed
from timed.rpc.slices import Work

MAX_UNWOUND = 2_000
"""Blocks below the tip for which the supply is worked out without the index."""


@attrs.frozen
class Supply:
    """Amounts in units, after the block at `height`.

    Nothing is burnt: fees go to the attending members with the reward, so that
    the supply is the allocation and what was minted.
    """

    height: int
    time: int
    supply: int
    allocation: int
    scheduled: int
    """What the supply were if every member of every roster had attended."""
    fees: int | None
    """Paid so far; None without the index."""

    @property
    def minted(self) -> int:
        return self.supply - self.allocation


def supply(view: ChainView, height: int) -> Work[Supply]:
    """The supply after the block at `height`: by the index, else from the tip's backwards."""
    header = view.header(height)
    allocation = view.header(0).reward
    totals = view.totals(height)
    if totals is not None:
        units = totals.supply
    else:
        units = yield from _unwound(view, height)
    return Supply(
        height=height,
        time=header.time,
        supply=units,
        allocation=allocation,
        scheduled=allocation + scheduled(view.genesis, height),
        fees=None if totals is None else totals.fees,
    )


def _unwound(view: ChainView, height: int) -> Work[int]:
    """The tip's supply without what the blocks above `height` minted."""
    tip = view.tip()
    if height == 0:
        return view.header(0).reward
    if tip.height - height > MAX_UNWOUND:
        raise index_needed(f"The supply {MAX_UNWOUND} blocks below the newest and deeper", "transactions")
    units = tip.supply
    for above in range(height + 1, tip.height + 1):
        count = len(view.genesis.roster_at(above - 1).members)
        block = yield from view.opened(above)
        units -= base_reward(len(indices_of(block.attendance, count)))
        yield
    return units


def scheduled(genesis: Genesis, height: int) -> int:
    """Units that blocks 1 to `height` had minted with every member of their rosters attending."""
    total, at = 0, 1
    ends = [carried_by + ROSTER_DELAY for carried_by, _ in genesis.roster_changes]
    for end in (*ends, height):
        last = min(end, height)
        if last >= at:
            total += (last - at + 1) * base_reward(len(genesis.roster_at(at - 1).members))
            at = last + 1
    return total
