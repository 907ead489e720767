"""Faults that wait for a moment: a frame, a write, an event."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import attrs

from timed import events
from timed.primitives.certificate import CertificateKind
from timed.wire import messages

if TYPE_CHECKING:
    import random

    from timed.events import NodeEvent

FRAMES = ("vote", "acknowledgement", "report", "prevote", "precommit", "proposal")
"""Signed things a victim may be about to send."""
EVENTS: dict[str, type] = {
    "locked": events.TransactionLocked,
    "certified": events.TransactionCertified,
    "final": events.TransactionFinal,
    "reported": events.EpochReported,
    "block": events.BlockCertified,
}


@attrs.frozen
class Blow:
    """How a process ends and comes back."""

    power: bool
    lose_all: bool
    pause_us: int
    """Until it is started again."""


@attrs.define
class Ambush:
    """Strikes at most once; `victim` None takes the first that comes along."""

    fault: str
    moment: str
    victim: int | None
    blow: Blow
    links: int = 0
    """Frames only: strike before the frame leaves (0) or after this many links have it."""
    rival: bool = False
    """After the restart, hand a rival of the payment to the victim before it hears anybody."""
    passed: Counter[bytes] = attrs.Factory(Counter)
    """By signature, how many links have the frame."""
    txid: bytes | None = None
    """The payment at the moment of the blow."""

    def meets(self, victim: int, moment: str | None) -> bool:
        return moment == self.moment and self.victim in (None, victim)

    def reached(self, message: Any) -> bool:
        """One more link has this frame; True when it was the last one to have it."""
        self.passed[message.signature] += 1
        return self.passed[message.signature] == self.links


def moment_of(message: object, member: int | None) -> str | None:
    """The name under FRAMES of what `member` signed here, None for anything else."""
    if isinstance(message, messages.TransactionVote) and message.member == member:
        return "vote" if message.kind == CertificateKind.VOTE else "acknowledgement"
    if isinstance(message, messages.EpochReport) and message.member == member:
        return "report"
    if isinstance(message, messages.BlockVote) and message.member == member:
        return "prevote" if message.step == 1 else "precommit"
    if isinstance(message, messages.BlockProposal):
        return "proposal"
    return None


def payment_in(message: object) -> bytes | None:
    """A transaction the message is about."""
    if isinstance(message, (messages.TransactionVote, messages.EpochReport)):
        txids = message.entries if isinstance(message, messages.TransactionVote) else message.txids
        return txids[0] if txids else None
    return None


def event_moment(event: NodeEvent) -> str | None:
    """The name under EVENTS of this event."""
    return next((name for name, kind in EVENTS.items() if type(event) is kind), None)


def draw_blow(entropy: random.Random, interval_us: int) -> Blow:
    """Any way of dying; back at once, soon, or only in a later epoch."""
    pause = entropy.choice((30_000, 500_000, 3_000_000, interval_us + interval_us // 3))
    return Blow(entropy.random() < 0.5, entropy.random() < 0.6, int(pause * (0.5 + entropy.random())))
