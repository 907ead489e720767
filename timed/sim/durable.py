"""What is on each disk at this moment, known to the checker and to nobody else."""

from __future__ import annotations

import attrs

from timed.errors import DecodeError
from timed.primitives.certificate import BundleCertificate, CertificateKind
from timed.wire.catalogue import decode_record
from timed.wire.messages import (
    EpochReport,
    TransactionBroadcast,
    TransactionCertified,
    TransactionFinalized,
    TransactionVote,
)


@attrs.define
class DurableLog:
    """The synced records of one machine since its last committed block, indexed.

    `ever` remembers the records of all epochs: a signature that was durable when
    it was made stays allowed after its epoch's log was dropped.
    """

    height: int = -1
    """Height of the last committed block; the log belongs to the epoch after it."""
    ever: dict[bytes, None] = attrs.Factory(dict)
    current: dict[bytes, None] = attrs.Factory(dict)
    bodies: dict[bytes, None] = attrs.Factory(dict)
    certified: dict[bytes, BundleCertificate] = attrs.Factory(dict)
    final: dict[bytes, BundleCertificate] = attrs.Factory(dict)
    votes: list[TransactionVote] = attrs.Factory(list)
    reports: list[EpochReport] = attrs.Factory(list)

    def committed(self, height: int) -> None:
        """A block was committed: the log starts anew."""
        self.height = height
        for index in (self.current, self.bodies, self.certified, self.final, self.votes, self.reports):
            index.clear()

    def add(self, record: bytes) -> object:
        """Index a synced record and return the message it holds; None when it holds something else."""
        self.ever[record] = None
        self.current[record] = None
        try:
            message = decode_record(record)
        except DecodeError:
            return None
        if isinstance(message, TransactionBroadcast):
            self.bodies[message.transaction.txid] = None
        elif isinstance(message, TransactionCertified):
            if message.certificate.kind == CertificateKind.VOTE:
                self.certified[message.certificate.target] = message.certificate
        elif isinstance(message, TransactionFinalized):
            self.final[message.certificate.target] = message.certificate
        elif isinstance(message, TransactionVote):
            self.votes.append(message)
        elif isinstance(message, EpochReport):
            self.reports.append(message)
        return message
