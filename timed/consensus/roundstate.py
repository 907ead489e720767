"""What a round is made of: its steps, the values proposed, and what is counted."""

from __future__ import annotations

from enum import IntEnum

import attrs

from timed.params import SECOND
from timed.wire.messages import BlockProposal

TIMEOUT_STEP_US = SECOND // 2
MAX_TIMEOUT_US = 10 * SECOND


class Step(IntEnum):
    WAITING = 0
    """Before the slot time."""
    PROPOSE = 1
    PREVOTE = 2
    PRECOMMIT = 3
    DECIDED = 4


class Value:
    """A block somebody proposed: one of its bodies and what we think of it.

    `valid` is None until a body proved good, or every body seen proved bad.
    """

    __slots__ = ("pending", "proposal", "valid")

    def __init__(self, proposal: BlockProposal) -> None:
        self.proposal = proposal
        self.valid: bool | None = None
        self.pending = 0


@attrs.define
class RoundCounters:
    rounds: int = 0
    proposals: int = 0
    votes_signed: int = 0
    votes_ignored: int = 0
    proposals_ignored: int = 0
    proposals_forgotten: int = 0
    votes_forgotten: int = 0


def timeout_us(base: int, round_: int) -> int:
    """How long a member of `round_` waits in one step, where `base` is the time of round 0."""
    return min(base + round_ * TIMEOUT_STEP_US, max(MAX_TIMEOUT_US, base))
