"""The grid of block times: genesis time plus a whole number of intervals (protocol §1).

Grid points are unix seconds, `genesis_time` and `interval` as well; every name
that ends in `_us` is microseconds. Proposer, voter and validator all ask here.
"""

from __future__ import annotations

from timed.params import SECOND

MAX_TOLERANCE_US = 5 * SECOND
"""How far two honest clocks may differ; on short intervals a quarter of the interval."""


def is_grid_point(genesis_time: int, interval: int, time: int) -> bool:
    """True when `time` is genesis or a whole number of intervals later."""
    return time >= genesis_time and (time - genesis_time) % interval == 0


def newest_slot(genesis_time: int, interval: int, now_us: int) -> int:
    """The last grid point that is not later than `now_us`; genesis when all are."""
    elapsed = max(0, now_us - genesis_time * SECOND)
    return genesis_time + elapsed // (interval * SECOND) * interval


def slot_after(genesis_time: int, interval: int, t_us: int) -> int:
    """The first grid point strictly later than `t_us`."""
    elapsed = t_us - genesis_time * SECOND
    if elapsed < 0:
        return genesis_time
    return genesis_time + (elapsed // (interval * SECOND) + 1) * interval


def first_slot_for(genesis_time: int, interval: int, parent_time: int, certified_at_us: int) -> int:
    """The grid point a block is proposed for, given when its parent was certified.

    It is the first one at least a tenth of the interval after that moment and
    later than the parent's, so that no epoch has length zero `[6]`.
    """
    earliest_us = certified_at_us + interval * SECOND // 10
    return max(slot_after(genesis_time, interval, earliest_us - 1), parent_time + interval)


def tolerance_us(interval: int) -> int:
    """The smaller of 5 s and a quarter of the interval."""
    return min(MAX_TOLERANCE_US, interval * SECOND // 4)


def acceptable_fresh(genesis_time: int, interval: int, time: int, now_us: int) -> bool:
    """True when `time` is the newest grid point on some clock within the tolerance of `now_us`."""
    slack = tolerance_us(interval)
    newest = newest_slot(genesis_time, interval, now_us + slack)
    oldest = newest_slot(genesis_time, interval, now_us - slack)
    return is_grid_point(genesis_time, interval, time) and oldest <= time <= newest
