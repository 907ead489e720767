"""What a node answers about a payment, an output or its consensus: values, read-only."""

from __future__ import annotations

import attrs

from timed.wire.messages import UTXOStateKind


@attrs.frozen
class TransactionState:
    """A transaction as this node may show it: everything it says is durable here.

    `state` is one of unknown, waiting (inputs unknown), pending, locked,
    certified, final, confirmed. Weights are of the current epoch's roster.
    """

    txid: bytes
    state: str
    epoch: int
    votes: int = 0
    acknowledgements: int = 0
    total_weight: int = 0
    height: int | None = None
    position: int | None = None
    confirmations: int = 0
    conflicts: tuple[bytes, ...] = ()


@attrs.frozen
class OutpointState:
    """An output's state in the words of protocol §3; `txid` spends it, or is zeros."""

    state: UTXOStateKind
    txid: bytes


@attrs.frozen
class ConsensusState:
    """Where the current epoch stands."""

    height: int
    epoch: int
    round: int
    step: str
    members: int
    total_weight: int
    quorum_weight: int
    member: int | None
    """This node's roster index."""
    signing: bool
    frozen: str | None
    slot_us: int
    proposer: bytes | None
    """Operator key of the proposer of the current round."""
    reports: int
    transactions: int
    """Transactions heard of in this epoch."""
    certified: int
    final: int
