"""What a consensus machine asks of the node.

A machine collects effects while it handles one input; the node takes and
executes them in order. `Sign` and `Record` are the only two ways in which
anything becomes visible that must first be durable (protocol §3, [13], [16]).
"""

from __future__ import annotations

from typing import Union

import attrs

from timed.events import NodeEvent
from timed.primitives.certificate import BlockCertificate, CertificateKind
from timed.wire.message import Message
from timed.wire.messages import (
    BlockProposal,
    BlockVote,
    EpochReport,
    TransactionVote,
)

OwnMessage = Union[TransactionVote, EpochReport, BlockVote, BlockProposal]
"""What a member signs in this protocol, heartbeats apart."""


@attrs.frozen
class Sign:
    """Make `records` and then `message` durable; then send it to the voters and hand it back.

    The machine counts its own message only when it comes back (`own`), so no
    certificate can rest on a signature that a crash would forget.
    """

    message: OwnMessage
    records: tuple[Message, ...] = ()


@attrs.frozen
class Record:
    """Make `records` (wire messages) durable, then execute `then`."""

    records: tuple[Message, ...]
    then: tuple[Effect, ...]


@attrs.frozen
class Tell:
    """Publish `event`."""

    event: NodeEvent


@attrs.frozen
class Drop:
    """The transaction has left the mempool for ever, for the reason `rule`: tell it, as soon as no crash can undo that."""

    txid: bytes
    rule: str


@attrs.frozen
class ToVoters:
    """Send `message` to every connected member of the current roster."""

    message: Message


@attrs.frozen
class ToFollowers:
    """Send a certificate of the current epoch to every peer that does not vote in its roster and lacks it."""

    txid: bytes
    kind: CertificateKind


@attrs.frozen
class AskTransactions:
    """Fetch bodies; `members` (roster indices) are known to have them."""

    txids: tuple[bytes, ...]
    members: tuple[int, ...]


@attrs.frozen
class AskCertificates:
    """Fetch certificates with their transactions; `members` claim to hold them."""

    txids: tuple[bytes, ...]
    members: tuple[int, ...]


@attrs.frozen
class AskProposal:
    """Fetch the proposal of `round`; `members` have voted for it."""

    round: int
    members: tuple[int, ...]


@attrs.frozen
class Judge:
    """Validate the contents of a proposal, then call `Rounds.judged`."""

    proposal: BlockProposal


@attrs.frozen
class Forget:
    """The judged block is not needed any more."""

    block_hash: bytes


@attrs.frozen
class Decide:
    """The block is certified: apply it."""

    block_hash: bytes
    certificate: BlockCertificate


Effect = Union[
    Sign,
    Record,
    Tell,
    Drop,
    ToVoters,
    ToFollowers,
    AskTransactions,
    AskCertificates,
    AskProposal,
    Judge,
    Forget,
    Decide,
]


class Effects:
    """The ordered list of effects a machine has not handed over yet."""

    def __init__(self) -> None:
        self._effects: list[Effect] = []

    def add(self, effect: Effect) -> None:
        self._effects.append(effect)

    def take(self) -> list[Effect]:
        effects, self._effects = self._effects, []
        return effects
