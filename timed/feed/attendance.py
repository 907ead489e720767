"""When a member counts as missed: the one rule for events, metric and dashboard.

A certificate needs a quorum only, so one without a member's signature says no more than
that its vote came late. A member is missed once `MISSED_IN_A_ROW` certificates in a row
lack it, and has returned with the first that does not.
"""

from __future__ import annotations

from collections.abc import Callable

from timed.primitives.block import Block
from timed.primitives.certificate import indices_of
from timed.primitives.roster import Roster

MISSED_IN_A_ROW = 6
"""An hour of blocks every ten minutes."""
FIRST_JUDGED = 2
"""Block 1 attests the whole first roster: nobody signed genesis."""

Absent = Callable[[int], frozenset[bytes]]
"""By the height of a block: who did not sign the certificate of the one before it (operator keys)."""


def absent_from(bitmap: bytes, roster: Roster) -> frozenset[bytes]:
    """Operator keys of the members whose signature a certificate lacks; those without weight never vote."""
    signed = set(indices_of(bitmap, len(roster.members)))
    return frozenset(
        member.operator_key
        for index, member in enumerate(roster.members)
        if member.weight and index not in signed
    )


def absent_of(block: Block, roster_at: Callable[[int], Roster]) -> frozenset[bytes]:
    """Who did not sign the certificate that `block` attests (protocol §4)."""
    return absent_from(block.attendance, roster_at(block.header.height - 1))


def missed_at(height: int, absent: Absent) -> frozenset[bytes]:
    """Who is missed when the block at `height` is looked at; depends on the blocks alone."""
    first = height - MISSED_IN_A_ROW + 1
    if first < FIRST_JUDGED:
        return frozenset()
    found = absent(height)
    for earlier in range(height - 1, first - 1, -1):
        if not found:
            break
        found &= absent(earlier)
    return found
