"""Why a payment is where it is: who has signed for it, and what stands in its way. Read-only, as `views`."""

from __future__ import annotations

import attrs

from timed.consensus.tally import Count, Tally
from timed.node.chain import Chain
from timed.node.views import ORDER, Views
from timed.params import NULL_HASH
from timed.primitives.certificate import BundleCertificate, CertificateKind
from timed.primitives.roster import Roster, quorum_weight
from timed.primitives.transaction import OutPoint, Transaction


@attrs.frozen
class Voice:
    """One member's signature; `heard` in microseconds of unix time, None for one from before a restart."""

    member: int
    weight: int
    heard: int | None


@attrs.frozen
class Ballots:
    """Votes, or acknowledgements. `quorum_at` is when the last one that was needed was heard."""

    voices: tuple[Voice, ...] = ()
    weight: int = 0
    quorum_at: int | None = None
    certificate: BundleCertificate | None = None


@attrs.frozen
class Rival:
    """Another transaction that spends `outpoint`; `locked` when this node has voted for it, or it is certified."""

    txid: bytes
    outpoint: OutPoint
    state: str
    locked: bool
    voices: tuple[Voice, ...]


@attrs.frozen
class VotingState:
    """One transaction in the current epoch, as this node may show it."""

    epoch: int
    roster: Roster
    needed: int
    votes: Ballots
    acknowledgements: Ballots
    rivals: tuple[Rival, ...] = ()
    parents: tuple[bytes, ...] = ()
    """Transactions whose outputs it spends and that are not certified, or not known."""
    not_before: int | None = None
    """The block height it is locked until, when that lies ahead."""
    frozen: str | None = None
    """Why this node signs nothing."""


class Voting:
    """Derived from the machines and from what `views` shows."""

    def __init__(self, chain: Chain, views: Views) -> None:
        self._chain = chain
        self._views = views

    def of(self, txid: bytes, transaction: Transaction | None) -> VotingState:
        """What is known of `txid`, whose body is `transaction` if it is here and in no block."""
        path = self._chain.fastpath
        tally = path.tallies.get(txid)
        needed = quorum_weight(path.roster.total_weight)
        state = self._views.transaction(txid).state
        lock = transaction.lock_height if transaction is not None else 0
        return VotingState(
            epoch=self._chain.epoch,
            roster=path.roster,
            needed=needed,
            votes=self._ballots(tally, CertificateKind.VOTE, needed, shown=state in ORDER[1:]),
            acknowledgements=self._ballots(
                tally, CertificateKind.ACKNOWLEDGEMENT, needed, shown=state == ORDER[-1]
            ),
            rivals=self._rivals(txid, transaction) if transaction is not None else (),
            parents=self._parents(transaction) if transaction is not None else (),
            not_before=lock if lock > self._chain.epoch else None,
            frozen=self._chain.frozen,
        )

    def _ballots(self, tally: Tally | None, kind: CertificateKind, needed: int, *, shown: bool) -> Ballots:
        """A certificate is `shown` once it is durable."""
        if tally is None:
            return Ballots()
        count = tally.count(kind)
        voices = _voices(count, tally.roster)
        return Ballots(
            voices, count.weight, _quorum_at(voices, needed), tally.certificate(kind) if shown else None
        )

    def _rivals(self, txid: bytes, transaction: Transaction) -> tuple[Rival, ...]:
        path, mempool = self._chain.fastpath, self._chain.mempool
        found = []
        for outpoint in transaction.inputs:
            holder = self._views.outpoint(outpoint).txid
            others = dict.fromkeys(mempool.spenders(outpoint))
            if holder != NULL_HASH:
                others[holder] = None
            others.pop(txid, None)
            for other in others:
                tally = path.tallies.get(other)
                voices = _voices(tally.votes, tally.roster) if tally is not None else ()
                state = self._views.transaction(other).state
                found.append(Rival(other, outpoint, state, other == holder, voices))
        return tuple(found)

    def _parents(self, transaction: Transaction) -> tuple[bytes, ...]:
        path, ledger = self._chain.fastpath, self._chain.ledger
        lacking = (
            outpoint.txid
            for outpoint in transaction.inputs
            if outpoint not in path.created and ledger.coin(outpoint) is None
        )
        return tuple(dict.fromkeys(lacking))


def _voices(count: Count, roster: Roster) -> tuple[Voice, ...]:
    """In the order they were heard; those from before a restart first."""
    members = roster.members
    voices = [
        Voice(member, members[member].weight, ballot.heard or None)
        for member, ballot in count.signers.items()
    ]
    return tuple(sorted(voices, key=lambda voice: (voice.heard or 0, voice.member)))


def _quorum_at(voices: tuple[Voice, ...], needed: int) -> int | None:
    weight = 0
    for voice in voices:
        weight += voice.weight
        if weight >= needed:
            return voice.heard
    return None
