"""Messages of the fast path: transactions, votes, certificates and epoch reports."""

from __future__ import annotations

from enum import IntEnum

from timed.codec.value import Retained, Value, retain_hash
from timed.primitives.certificate import BundleCertificate, bundle_message, bundle_root
from timed.primitives.hashing import tagged_hash
from timed.primitives.transaction import OutPoint, Transaction
from timed.wire.message import Message

_SIGNATURE_SIZE = 64


class UTXOStateKind(IntEnum):
    """What a node knows of an output (protocol §3)."""

    UNKNOWN = 0
    UNSPENT = 1
    LOCKED = 2
    SPENT_PENDING = 3
    SPENT_FINALIZED = 4
    CONFIRMED = 5


class TransactionBroadcast(Message, frozen=True, gc=False):
    """A transaction for the mempool."""

    transaction: Transaction


class TransactionVote(Message, frozen=True, gc=False):
    """A bundle: one signature over the Merkle root of many transaction ids.

    `kind` is CertificateKind.VOTE or ACKNOWLEDGEMENT, `tick` numbers the member's
    bundles of the epoch, `member` is its position on the roster.
    """

    kind: int
    chain_id: int
    epoch: int
    roster: bytes
    tick: int
    member: int
    entries: tuple[bytes, ...]
    signature: bytes

    def root(self) -> bytes:
        """The Merkle root over the entries."""
        return bundle_root(self.entries)

    def signed_message(self) -> bytes:
        """The 32 bytes `signature` is over."""
        return bundle_message(self.kind, self.chain_id, self.epoch, self.roster, self.tick, self.root())


class TransactionCertified(Message, frozen=True, gc=False):
    """A quorum of votes."""

    certificate: BundleCertificate


class TransactionFinalized(Message, frozen=True, gc=False):
    """A quorum of acknowledgements."""

    certificate: BundleCertificate


class TransactionRejected(Message, frozen=True, gc=False):
    """The sender does not take this transaction; `rule` names the reason."""

    txid: bytes
    rule: str
    detail: str = ""


class TransactionAnnouncement(Message, frozen=True, gc=False):
    """The sender has these transactions, which are too large to be sent unasked."""

    txids: tuple[bytes, ...]


class GetTransactions(Message, frozen=True, gc=False):
    """Asks for transactions by id."""

    txids: tuple[bytes, ...]


class TransactionsResponse(Message, frozen=True, gc=False):
    """Those of the transactions asked for that the sender has."""

    transactions: tuple[Transaction, ...]


class GetPendingTransactions(Message, frozen=True, gc=False):
    """Asks which transactions the mempool holds."""


class PendingTransactionsResponse(Message, frozen=True, gc=False):
    """Ids of the mempool's transactions."""

    epoch: int
    txids: tuple[bytes, ...]


class GetCertificates(Message, frozen=True, gc=False):
    """Asks for the vote certificates of these transactions in this epoch."""

    epoch: int
    txids: tuple[bytes, ...]


class CertifiedTransaction(Value, frozen=True, gc=False):
    """A transaction and the certificate for it."""

    transaction: Transaction
    certificate: BundleCertificate


class CertificatesResponse(Message, frozen=True, gc=False):
    """Those of the certificates asked for that the sender has, with their transactions."""

    entries: tuple[CertifiedTransaction, ...]


class EpochReport(Retained, Message, frozen=True, gc=False):
    """The ids of all certificates a member holds at the close of an epoch, ascending."""

    chain_id: int
    epoch: int
    roster: bytes
    member: int
    txids: tuple[bytes, ...]
    signature: bytes

    @property
    def hash(self) -> bytes:
        """What blocks refer to the report by: hash of everything but the signature."""
        try:
            return self._hash
        except AttributeError:
            digest = tagged_hash("report", self.raw[:-_SIGNATURE_SIZE])
            retain_hash(self, digest)
            return digest

    def signed_message(self) -> bytes:
        """The 32 bytes `signature` is over: the report's hash."""
        return self.hash


class UTXOStateQuery(Message, frozen=True, gc=False):
    """Asks for the state of these outputs."""

    outpoints: tuple[OutPoint, ...]


class UTXOState(Value, frozen=True, gc=False):
    """What the sender knows of one output; `txid` is its spender, or zeros.

    `state` is a UTXOStateKind.
    """

    outpoint: OutPoint
    state: int
    txid: bytes


class UTXOStateResponse(Message, frozen=True, gc=False):
    """The states of the outputs asked for, in the same order."""

    states: tuple[UTXOState, ...]


from timed.wire import _transaction_codec as _transaction_codec  # noqa: E402 (binds the codec)
