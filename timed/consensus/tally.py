"""The votes and acknowledgements for one transaction in one epoch (protocol §3).

There are thousands of these, and none of them stands in a cycle: the collector is
spared looking at them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import attrs
import msgspec

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
from timed.wire.messages import TransactionCertified, TransactionFinalized, TransactionVote


@attrs.define
class FastPathCounters:
    """What happened since the start of the process."""

    votes_counted: int = 0
    votes_ignored: int = 0
    votes_over_budget: int = 0
    own_votes_over_budget: int = 0
    certified: int = 0
    final: int = 0
    double_spends: int = 0


class Ballot(msgspec.Struct, gc=False):
    """A counted bundle, with its tree hashed once however many certificates take a branch of it."""

    bundle: TransactionVote
    recorded: bool
    """The log has it, or will have it in front of whatever comes next."""
    heard: int = 0
    """When it was counted, in microseconds of unix time; 0 for one of the log."""
    _branches: tuple[tuple[bytes, ...], ...] = ()

    def signer(self, txid: bytes) -> BundleSigner:
        """The proof that the bundle names `txid`."""
        if not self._branches:
            _, branches = merkle.branches([bundle_leaf(entry) for entry in self.bundle.entries])
            self._branches = tuple(branches)
        position = self.bundle.entries.index(txid)
        return BundleSigner(self.bundle.signature, self.bundle.tick, position, self._branches[position])


class Count(msgspec.Struct, gc=False):
    """Who has signed for one target, and whether that is proven."""

    signers: dict[int, Ballot] = {}
    """By member index; each names the target."""
    weight: int = 0
    complete: bool = False
    """What a certificate says has been proven here, and is in the log."""
    certificate: BundleCertificate | None = None
    """One that came from a peer, or was assembled because somebody asked."""

    def add(self, ballot: Ballot, weight: int) -> bool:
        """Count one member once; False when it had already been counted."""
        member = ballot.bundle.member
        if member in self.signers:
            return False
        self.signers[member] = ballot
        self.weight += weight
        return True

    def settle(self, certificate: BundleCertificate | None) -> None:
        """The quorum is proven, by this certificate or by what is counted."""
        self.complete = True
        self.certificate = certificate

    def proof(
        self, message: type[TransactionCertified] | type[TransactionFinalized]
    ) -> tuple[TransactionCertified | TransactionFinalized | TransactionVote, ...]:
        """What the log needs to show the quorum again: the certificate that came, or the bundles that it
        does not hold yet. From now on they count as recorded."""
        if self.certificate is not None:
            return (message(certificate=self.certificate),)
        bundles = []
        for ballot in self.signers.values():
            if not ballot.recorded:
                ballot.recorded = True
                bundles.append(ballot.bundle)
        return tuple(bundles)


class Tally(msgspec.Struct, gc=False):
    """What is known of one transaction in the current epoch."""

    txid: bytes
    roster: Roster
    transaction: Transaction | None = None
    votes: Count = msgspec.field(default_factory=Count)
    acknowledgements: Count = msgspec.field(default_factory=Count)
    voted: bool = False
    acknowledged: bool = False
    available: bool = False
    conflict_told: bool = False

    @property
    def certified(self) -> bool:
        """The vote certificate is held, be it as the bundles it is made of."""
        return self.votes.complete

    @property
    def final(self) -> bool:
        """The acknowledgement certificate is held, be it as the bundles it is made of."""
        return self.acknowledgements.complete

    @property
    def signed_for(self) -> bool:
        """A member has voted for it or acknowledged it, this one included, or a certificate says so."""
        counts = (self.votes, self.acknowledgements)
        return self.voted or any(count.complete or count.signers for count in counts)

    def count(self, kind: int) -> Count:
        return self.votes if kind == CertificateKind.VOTE else self.acknowledgements

    def certificate(self, kind: int) -> BundleCertificate | None:
        """The certificate of this kind if it is held; it is assembled when it is asked for first."""
        count = self.count(kind)
        if count.complete and count.certificate is None:
            count.certificate = assemble(count, kind, self.txid, self.roster)
        return count.certificate if count.complete else None


def adds_something(tallies: Mapping[bytes, Tally], bundle: TransactionVote) -> bool:
    """The bundle has an entry that its author has not been counted for."""
    return any(
        (tally := tallies.get(txid)) is None or bundle.member not in tally.count(bundle.kind).signers
        for txid in bundle.entries
    )


def by_signers(tallies: Iterable[Tally]) -> dict[tuple[int, ...], list[bytes]]:
    """The txids by who has signed for them: one question for all that the same members can answer, so
    that made-up ids do not cost one each."""
    groups: dict[tuple[int, ...], list[bytes]] = {}
    for tally in tallies:
        signers = tally.votes.signers or tally.acknowledgements.signers
        groups.setdefault(tuple(sorted(signers)), []).append(tally.txid)
    return groups


def assemble(count: Count, kind: int, txid: bytes, roster: Roster) -> BundleCertificate:
    """The certificate that `count` proves, with as few signers as make a quorum.

    The caller has checked that the counted weight is a quorum of `roster`.
    """
    chosen = _smallest_quorum(count.signers, roster)
    first = count.signers[chosen[0]].bundle
    signers = tuple([count.signers[member].signer(txid) for member in chosen])
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
