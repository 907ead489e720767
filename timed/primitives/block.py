"""Blocks: a complete header, and the body it commits to (protocol §1)."""

from __future__ import annotations

from collections.abc import Sequence

from timed.codec.value import Retained, Value, retain_hash
from timed.primitives import merkle
from timed.primitives.certificate import BlockCertificate
from timed.primitives.hashing import tagged_hash
from timed.primitives.transaction import Transaction

BLOCK_VERSION = 1


class BlockHeader(Retained, Value, frozen=True, gc=False):
    """Everything a light client needs of a block. `time` is in unix seconds."""

    version: int
    chain_id: int
    height: int
    time: int
    previous: bytes
    tx_root: bytes
    utxo_root: bytes
    filter_root: bytes
    roster: bytes
    next_roster: bytes
    attendance_root: bytes
    evidence_root: bytes
    reward: int
    proposer: bytes
    round: int

    @property
    def hash(self) -> bytes:
        """The block's name, taken from the received slice."""
        try:
            return self._hash
        except AttributeError:
            digest = tagged_hash("block", self.raw)
            retain_hash(self, digest)
            return digest


class ReportReference(Value, frozen=True, gc=False, order=True):
    """The hash of one member's epoch report."""

    member: int
    report: bytes


class Evidence(Value, frozen=True, gc=False):
    """Two conflicting signed votes of one member, each as encoded on the wire."""

    first: bytes
    second: bytes


class Block(Value, frozen=True, gc=False):
    """A header and its body; the first transaction is the coinbase.

    The genesis block's coinbase holds the allocation. `parent_certificate` is None
    at heights 0 and 1 only.
    """

    header: BlockHeader
    transactions: tuple[Transaction, ...]
    attendance: bytes
    evidence: tuple[Evidence, ...]
    parent_certificate: BlockCertificate | None
    reports: tuple[ReportReference, ...]

    @property
    def hash(self) -> bytes:
        """The header's hash."""
        return self.header.hash


def tx_root(transactions: Sequence[Transaction]) -> bytes:
    """Merkle root over the transaction ids, in the block's order."""
    return txid_root([transaction.txid for transaction in transactions])


def txid_root(txids: Sequence[bytes]) -> bytes:
    """`tx_root` of the transactions with these ids."""
    return merkle.root(txids)


def attendance_root(bitmap: bytes) -> bytes:
    """What a header's `attendance_root` is for this bitmap."""
    return tagged_hash("attendance", bitmap)


def evidence_root(evidence: Sequence[Evidence]) -> bytes:
    """Merkle root over the encoded evidence, in the block's order."""
    return merkle.root([item.encode() for item in evidence])


from timed.primitives import _block_codec as _block_codec  # noqa: E402 (binds the codec)
