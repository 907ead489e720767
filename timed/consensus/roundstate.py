"""What a round is made of: its steps, the values proposed, and what is counted."""

from __future__ import annotations

from enum import IntEnum

import attrs

from timed.wire.messages import BlockProposal


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

    __slots__ = ("pending", "proposal", "recorded", "valid")

    def __init__(self, proposal: BlockProposal) -> None:
        self.proposal = proposal
        self.valid: bool | None = None
        self.pending = 0
        self.recorded = False


@attrs.define
class RoundCounters:
    rounds: int = 0
    proposals: int = 0
    votes_signed: int = 0
    votes_ignored: int = 0
    proposals_ignored: int = 0
    proposals_forgotten: int = 0
    votes_forgotten: int = 0
