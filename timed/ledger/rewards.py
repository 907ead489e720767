"""What a block mints and who receives it (protocol §2).

All arithmetic is on integers: the logarithm is a fixed-point series whose
truncation is far below one unit, so every node computes the same amounts `[1]`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from timed.params import UNITS_PER_TIME
from timed.primitives.transaction import Output

if TYPE_CHECKING:
    from timed.primitives.roster import Member

FRACTION_BITS = 128
"""Binary places of the fixed-point logarithm."""

BASE_REWARD = 100 * UNITS_PER_TIME
"""R for one attending member, in units."""

REWARD_SHARES = (100, 1_000, 10_000, 100_000)
"""The share of a tier: free, bronze, silver, gold."""

_ONE = 1 << FRACTION_BITS


def _twice_artanh(numerator: int, denominator: int) -> int:
    """2·artanh(numerator / denominator) for a quotient in [0, 1/3], scaled by 2^128.

    The terms fall by a factor of nine at least, so 128 places take some forty.
    """
    power = (numerator << FRACTION_BITS) // denominator
    square_numerator, square_denominator = numerator * numerator, denominator * denominator
    total, divisor = 0, 1
    while power:
        total += power // divisor
        power = power * square_numerator // square_denominator
        divisor += 2
    return 2 * total


_LN2 = _twice_artanh(1, 3)


def ln_fixed(n: int) -> int:
    """The natural logarithm of a positive integer, scaled by 2^128 and truncated.

    n = 2^k · m with 1 <= m < 2, and ln m = 2·artanh((m - 1) / (m + 1)).
    """
    if n < 1:
        raise ValueError("the logarithm is defined for positive integers")
    k = n.bit_length() - 1
    return k * _LN2 + _twice_artanh(n - (1 << k), n + (1 << k))


def base_reward(attending: int) -> int:
    """R = 100 · (1 + ln n) TIME for n attending members, in units, rounded down `[11]`."""
    return BASE_REWARD * (_ONE + ln_fixed(attending)) >> FRACTION_BITS


def split(reward: int, fees: int, members: Sequence[Member]) -> tuple[Output, ...]:
    """The coinbase outputs for the attending `members`, given in roster order `[11]`.

    `reward` + `fees` is split pro rata by tier share; what integer division
    leaves goes to the first member.
    """
    total = reward + fees
    shares = [REWARD_SHARES[member.tier] for member in members]
    whole = sum(shares)
    amounts = [total * share // whole for share in shares]
    amounts[0] += total - sum(amounts)
    return tuple(
        Output(value=amount, lock=member.reward) for amount, member in zip(amounts, members, strict=True)
    )
