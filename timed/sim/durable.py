"""What is on each disk at this moment, known to the checker and to nobody else."""

from __future__ import annotations

import attrs

from timed.errors import DecodeError
from timed.primitives.certificate import BundleCertificate, CertificateKind
from timed.primitives.roster import Roster
from timed.wire.catalogue import decode_record
from timed.wire.messages import (
    TransactionBroadcast,
    TransactionCertified,
    TransactionFinalized,
    TransactionVote,
)

Signers = dict[tuple[int, bytes], dict[int, None]]
"""(kind, txid) -> the members whose bundles name it."""


@attrs.define
class DurableLog:
    """The synced records of one machine since its last committed block, indexed.

    `ever` remembers the records of all epochs: a signature that was durable when
    it was made stays allowed after its epoch's log was dropped.
    """

    roster: Roster
    height: int = -1
    """Height of the last committed block; the log belongs to the epoch after it."""
    ever: dict[bytes, None] = attrs.Factory(dict)
    bodies: dict[bytes, None] = attrs.Factory(dict)
    certified: dict[bytes, None] = attrs.Factory(dict)
    """By a certificate, or by bundles of quorum weight."""
    final: dict[bytes, None] = attrs.Factory(dict)
    signers: Signers = attrs.Factory(dict)
    votes: list[TransactionVote] = attrs.Factory(list)

    def committed(self, height: int) -> None:
        """A block was committed: the log starts anew."""
        self.height = height
        for index in (self.bodies, self.certified, self.final, self.signers, self.votes):
            index.clear()

    def add(self, record: bytes) -> object:
        """Index a synced record and return the message it holds; None when it holds something else."""
        self.ever[record] = None
        try:
            message = decode_record(record)
        except DecodeError:
            return None
        if isinstance(message, TransactionBroadcast):
            self.bodies[message.transaction.txid] = None
        elif isinstance(message, (TransactionCertified, TransactionFinalized)):
            self._prove(message.certificate)
        elif isinstance(message, TransactionVote):
            self.votes.append(message)
            self._count(message)
        return message

    def _prove(self, certificate: BundleCertificate) -> None:
        if certificate.epoch == self.height + 1:
            held = self.certified if certificate.kind == CertificateKind.VOTE else self.final
            held[certificate.target] = None

    def _count(self, bundle: TransactionVote) -> None:
        """A quorum of bundles on the disk is a certificate."""
        if bundle.epoch != self.height + 1:
            return
        held = self.certified if bundle.kind == CertificateKind.VOTE else self.final
        members = self.roster.members
        total = sum(member.weight for member in members)
        for txid in bundle.entries:
            signers = self.signers.setdefault((bundle.kind, txid), {})
            signers[bundle.member] = None
            if 3 * sum(members[one].weight for one in signers) >= 2 * total:
                held[txid] = None
