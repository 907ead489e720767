"""The votes and acknowledgements for one transaction in one epoch (protocol §3)."""

from __future__ import annotations

from collections.abc import Mapping

from timed.primitives import merkle
from timed.primitives.certificate import (
    BundleCertificate,
    BundleSigner,
    CertificateKind,
    bitmap_of,
    bundle_leaf,
)
from timed.primitives.roster import Roster, is_quorum
from timed.primitives.transaction import Transaction
from timed.wire.messages import TransactionVote


class Ballot:
    """A counted bundle, with its tree hashed once however many certificates take a branch of it."""

    __slots__ = ("_branches", "bundle")

    def __init__(self, bundle: TransactionVote) -> None:
        self.bundle = bundle
        self._branches: list[tuple[bytes, ...]] | None = None

    def signer(self, position: int) -> BundleSigner:
        """The proof that the bundle names its entry at `position`."""
        if self._branches is None:
            leaves = [bundle_leaf(entry) for entry in self.bundle.entries]
            _, self._branches = merkle.branches(leaves)
        return BundleSigner(self.bundle.signature, self.bundle.tick, position, self._branches[position])


class Count:
    """Who has signed for one target: member index -> (ballot, position of the entry)."""

    __slots__ = ("signers", "weight")

    def __init__(self) -> None:
        self.signers: dict[int, tuple[Ballot, int]] = {}
        self.weight = 0

    def add(self, ballot: Ballot, position: int, weight: int) -> bool:
        """Count one member once; False when it had already been counted."""
        member = ballot.bundle.member
        if member in self.signers:
            return False
        self.signers[member] = (ballot, position)
        self.weight += weight
        return True


class Tally:
    """What is known of one transaction in the current epoch."""

    __slots__ = (
        "acknowledged",
        "acknowledgements",
        "available",
        "certificate",
        "conflict_told",
        "final",
        "transaction",
        "txid",
        "voted",
        "votes",
    )

    def __init__(self, txid: bytes) -> None:
        self.txid = txid
        self.transaction: Transaction | None = None
        self.votes = Count()
        self.acknowledgements = Count()
        self.certificate: BundleCertificate | None = None
        self.final: BundleCertificate | None = None
        self.voted = False
        self.acknowledged = False
        self.available = False
        self.conflict_told = False

    def count(self, kind: int) -> Count:
        return self.votes if kind == CertificateKind.VOTE else self.acknowledgements


def assemble(count: Count, kind: int, txid: bytes, roster: Roster) -> BundleCertificate:
    """The certificate that `count` proves, with as few signers as make a quorum.

    The caller has checked that the counted weight is a quorum of `roster`.
    """
    chosen = _smallest_quorum(count.signers, roster)
    first = count.signers[chosen[0]][0].bundle
    signers = tuple(ballot.signer(position) for ballot, position in map(count.signers.__getitem__, chosen))
    return BundleCertificate(
        kind=kind,
        chain_id=first.chain_id,
        epoch=first.epoch,
        round=0,
        target=txid,
        roster=roster.hash,
        bitmap=bitmap_of(chosen, len(roster.members)),
        signers=signers,
    )


def _smallest_quorum(signers: Mapping[int, object], roster: Roster) -> list[int]:
    """Indices of the heaviest signers that together are a quorum, in roster order."""
    weights = [member.weight for member in roster.members]
    chosen: list[int] = []
    weight = 0
    for member in sorted(signers, key=lambda index: (-weights[index], index)):
        chosen.append(member)
        weight += weights[member]
        if is_quorum(weight, roster.total_weight):
            break
    return sorted(chosen)
