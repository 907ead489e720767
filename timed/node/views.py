"""What a node answers about a payment, an output or its consensus: read-only, and only what is durable."""

from __future__ import annotations

from collections.abc import Collection

import attrs

from timed.consensus.roundstate import Step
from timed.events import CERTIFIED, CONFIRMED, FINAL, LOCKED, PENDING, UNKNOWN, WAITING
from timed.node.chain import Chain
from timed.node.gate import Gate
from timed.node.serving import Serving
from timed.params import NULL_HASH
from timed.primitives.roster import quorum_weight
from timed.primitives.transaction import OutPoint
from timed.wire.messages import UTXOStateKind

ORDER = (LOCKED, CERTIFIED, FINAL)
"""How far a payment can get within an epoch."""

_KINDS = {
    LOCKED: UTXOStateKind.LOCKED,
    CERTIFIED: UTXOStateKind.SPENT_PENDING,
    FINAL: UTXOStateKind.SPENT_FINALIZED,
}


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
    without_report: tuple[bytes, ...]
    """Operator keys of the voting members whose report has not come, in the order of the roster; none before
    the first has."""
    transactions: int
    """Transactions heard of in this epoch."""
    certified: int
    final: int


class Views:
    """Derived from the machines; `show` is told what has become durable in this epoch."""

    def __init__(self, chain: Chain, serving: Serving, gate: Gate) -> None:
        self._chain = chain
        self._serving = serving
        self._gate = gate
        self._shown: dict[bytes, str] = {}

    def clear(self) -> None:
        """A new epoch."""
        self._shown.clear()

    def show(self, txid: bytes, state: str) -> None:
        """`state` (of ORDER) is durable; a payment never falls back within an epoch."""
        self._shown[txid] = max(self._shown.get(txid, ORDER[0]), state, key=ORDER.index)

    @property
    def shown(self) -> Collection[bytes]:
        """The payments of this epoch that are locked, certified or final."""
        return self._shown.keys()

    def restore(self) -> None:
        """What the log holds was durable, and may be shown again."""
        for txid, tally in self._chain.fastpath.tallies.items():
            if tally.final:
                self.show(txid, FINAL)
            elif tally.certified:
                self.show(txid, CERTIFIED)
            elif tally.voted:
                self.show(txid, LOCKED)

    def transaction(self, txid: bytes) -> TransactionState:
        """What this node may say of a transaction."""
        ledger, mempool, path = self._chain.ledger, self._chain.mempool, self._chain.fastpath
        place = ledger.locate(txid)
        if place is not None:
            height, position = place
            return TransactionState(
                txid,
                CONFIRMED,
                height,
                height=height,
                position=position,
                confirmations=ledger.tip.height - height + 1,
            )
        transaction = self._serving.transaction(txid) or mempool.waiting.get(txid)
        tally = path.tallies.get(txid)
        state = self._shown.get(txid)
        if state is None:
            state = PENDING if txid in mempool else WAITING if transaction is not None else UNKNOWN
        return TransactionState(
            txid,
            state,
            self._chain.epoch,
            votes=tally.votes.weight if tally is not None else 0,
            acknowledgements=tally.acknowledgements.weight if tally is not None else 0,
            total_weight=path.roster.total_weight,
            conflicts=mempool.conflicts(transaction) if transaction is not None else (),
        )

    def outpoint(self, outpoint: OutPoint) -> OutpointState:
        """Unspent, locked, spent and how surely ([14]: derived from votes and blocks, never set)."""
        ledger, path = self._chain.ledger, self._chain.fastpath
        # What a certified payment makes is there once its certificate is durable.
        maker = path.created.get(outpoint)
        made = maker is not None and self._shown.get(maker) in ORDER[1:]
        if ledger.coin(outpoint) is None and not made:
            spent = ledger.locate(outpoint.txid) is not None
            return OutpointState(UTXOStateKind.CONFIRMED if spent else UTXOStateKind.UNKNOWN, NULL_HASH)
        spender = path.lock_of(outpoint)
        for txid in path.rivals.spenders(outpoint):
            if self._shown.get(txid) in ORDER[1:]:
                spender = txid
        shown = self._shown.get(spender) if spender is not None else None
        if spender is None or shown is None:
            return OutpointState(UTXOStateKind.UNSPENT, NULL_HASH)
        return OutpointState(_KINDS[shown], spender)

    def consensus(self) -> ConsensusState:
        chain = self._chain
        path, rounds = chain.fastpath, chain.rounds
        total = path.roster.total_weight
        started = rounds.step is not Step.WAITING
        proposer = path.roster.members[rounds.proposer(rounds.round)].operator_key if started else None
        tallies = path.tallies.values()
        reports = chain.closing.reports
        return ConsensusState(
            height=chain.ledger.tip.height,
            epoch=chain.epoch,
            round=rounds.round,
            step=rounds.step.name.lower(),
            members=len(path.roster.members),
            total_weight=total,
            quorum_weight=quorum_weight(total),
            member=path.me,
            signing=path.may_sign and chain.frozen is None and self._gate.failure is None,
            frozen=chain.frozen,
            slot_us=chain.slot_us,
            proposer=proposer,
            reports=len(reports),
            without_report=tuple(
                member.operator_key
                for index, member in enumerate(path.roster.members)
                if reports and member.weight and index not in reports
            ),
            transactions=len(tallies),
            certified=sum(1 for tally in tallies if tally.certified),
            final=sum(1 for tally in tallies if tally.final),
        )
