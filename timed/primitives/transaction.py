"""Transactions and their parts (protocol §1)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import IntEnum
from hashlib import sha256
from itertools import pairwise

from timed.codec.value import Retained, Value, retain_hash
from timed.errors import InvalidTransaction
from timed.primitives.hashing import tag, tagged_hash


class TransactionKind(IntEnum):
    """What a transaction does."""

    TRANSFER = 1
    COINBASE = 2
    REGISTER = 3
    UPDATE = 4
    REVOKE = 5


TRANSFER = TransactionKind.TRANSFER
COINBASE = TransactionKind.COINBASE
REGISTER = TransactionKind.REGISTER
UPDATE = TransactionKind.UPDATE
REVOKE = TransactionKind.REVOKE

TRANSACTION_VERSION = 1

LOCK_KEY_HASH = 1
LOCK_MULTISIG = 2
KEY_HASH_SIZE = 20
MAX_MULTISIG_KEYS = 16

WITNESS_SIZE = 96
"""Bytes of one encoded witness."""
_TXID_TAG = tag("transaction")


def key_hash(public_key: bytes) -> bytes:
    """The first 20 bytes of SHA-256 of a public key: what a lock and an address name."""
    return sha256(public_key).digest()[:KEY_HASH_SIZE]


class OutPoint(Value, frozen=True, gc=False, order=True):
    """One output of one transaction."""

    txid: bytes
    index: int

    @property
    def key(self) -> bytes:
        """The 34 bytes of the encoding: txid, then the index in little endian."""
        return self.encode()

    @classmethod
    def from_key(cls, key: bytes) -> OutPoint:
        """The outpoint with this `key`; DecodeError when it is not 34 bytes."""
        return cls.decode(key)


class Lock(Value, frozen=True, gc=False, order=True):
    """Who may spend an output. Decoding takes any kind; `check_form` does not."""

    kind: int
    data: bytes

    @classmethod
    def key_hash(cls, public_key: bytes) -> Lock:
        """The lock that the owner of one key opens."""
        return cls(LOCK_KEY_HASH, key_hash(public_key))

    @classmethod
    def multisig(cls, required: int, hashes: Iterable[bytes]) -> Lock:
        """The lock that `required` of these key hashes open; InvalidTransaction if malformed."""
        ordered = sorted(hashes)
        if not 1 <= len(ordered) <= MAX_MULTISIG_KEYS or not 1 <= required <= len(ordered):
            raise InvalidTransaction("lock-form", f"{required} of {len(ordered)} keys")
        lock = cls(LOCK_MULTISIG, bytes((required, len(ordered))) + b"".join(ordered))
        lock.check_form()
        return lock

    @property
    def required(self) -> int:
        """How many keys must sign."""
        return self.data[0] if self.kind == LOCK_MULTISIG else 1

    @property
    def hashes(self) -> tuple[bytes, ...]:
        """The key hashes that may sign, in order."""
        if self.kind == LOCK_KEY_HASH:
            return (self.data,)
        data = self.data
        return tuple([data[at : at + KEY_HASH_SIZE] for at in range(2, len(data), KEY_HASH_SIZE)])

    def check_form(self) -> None:
        """InvalidTransaction("lock-form") unless the lock is of a known and well-formed kind."""
        data = self.data
        if self.kind == LOCK_KEY_HASH:
            if len(data) == KEY_HASH_SIZE:
                return
        elif self.kind == LOCK_MULTISIG and len(data) >= 2:
            required, count = data[0], data[1]
            if 1 <= required <= count <= MAX_MULTISIG_KEYS and len(data) == 2 + count * KEY_HASH_SIZE:
                hashes = self.hashes
                if all(one < other for one, other in pairwise(hashes)):
                    return
        raise InvalidTransaction("lock-form", f"kind {self.kind}, {len(data)} bytes")


class Output(Value, frozen=True, gc=False):
    """An amount in units and the lock on it."""

    value: int
    lock: Lock


class Witness(Value, frozen=True, gc=False):
    """A public key and its signature over the transaction's signing hash."""

    public_key: bytes
    signature: bytes


class Transaction(Retained, Value, frozen=True, gc=False):
    """Inputs, outputs and witnesses; identified by everything but the witnesses."""

    version: int
    kind: int
    inputs: tuple[OutPoint, ...]
    outputs: tuple[Output, ...]
    lock_height: int
    payload: bytes
    witnesses: tuple[Witness, ...]

    @classmethod
    def make(
        cls,
        *,
        inputs: Iterable[OutPoint] = (),
        outputs: Iterable[Output] = (),
        version: int = TRANSACTION_VERSION,
        kind: int = TRANSFER,
        lock_height: int = 0,
        payload: bytes = b"",
        witnesses: Iterable[Witness] = (),
    ) -> Transaction:
        """A transaction from its fields, with the usual values for those left out."""
        return cls(version, int(kind), tuple(inputs), tuple(outputs), lock_height, payload, tuple(witnesses))

    @property
    def txid(self) -> bytes:
        """Hash of the encoding without the witnesses, taken from the received slice."""
        try:
            return self._hash
        except AttributeError:
            raw = self.raw
            end = len(raw) - 2 - WITNESS_SIZE * len(self.witnesses)
            digest = sha256(_TXID_TAG + raw[:end]).digest()
            retain_hash(self, digest)
            return digest

    def with_witnesses(self, witnesses: Iterable[Witness]) -> Transaction:
        """The same transaction, with the same txid, carrying these witnesses."""
        return Transaction(
            self.version,
            self.kind,
            self.inputs,
            self.outputs,
            self.lock_height,
            self.payload,
            tuple(witnesses),
        )


class SpendStatement(Value, frozen=True, gc=False):
    """What the witnesses of a transaction sign."""

    chain_id: int
    txid: bytes
    spent: tuple[Output, ...]


class CoinEntry(Value, frozen=True, gc=False):
    """One unspent output as the set digest and snapshots encode it."""

    outpoint: OutPoint
    output: Output
    height: int
    coinbase: bool


def signing_hash(chain_id: int, txid: bytes, spent: Sequence[Output]) -> bytes:
    """The 32 bytes every witness signs: chain, txid, value and lock of each input in order."""
    return tagged_hash("spend", SpendStatement(chain_id, txid, tuple(spent)).encode())


from timed.primitives import _transaction_codec as _transaction_codec  # noqa: E402 (binds the codec)
