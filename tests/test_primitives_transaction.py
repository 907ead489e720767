"""Transactions: ids, what a witness signs, the form of locks."""

from __future__ import annotations

from hashlib import sha256

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from timed.codec.value import EncodeError
from timed.errors import DecodeError, InvalidTransaction
from timed.primitives.transaction import (
    COINBASE,
    LOCK_KEY_HASH,
    LOCK_MULTISIG,
    TRANSFER,
    Lock,
    OutPoint,
    Output,
    Transaction,
    Witness,
    key_hash,
    signing_hash,
)

ALICE, BOB = b"\xa1" * 32, b"\xb0" * 32
COIN = OutPoint(b"\x11" * 32, 7)


def payment(**changes: object) -> Transaction:
    """One input, two outputs, one witness."""
    fields: dict[str, object] = {
        "inputs": [COIN],
        "outputs": [Output(5_000, Lock.key_hash(BOB)), Output(70_000, Lock.key_hash(ALICE))],
        "witnesses": [Witness(ALICE, b"\x51" * 64)],
    }
    return Transaction.make(**{**fields, **changes})  # type: ignore[arg-type]


class TransactionIds(SynchronousTestCase):
    """Rule [5]: the id covers everything but the witnesses."""

    def test_id_is_the_hash_of_the_encoding_without_witnesses(self) -> None:
        """[5] Tag and bytes, written out independently."""
        raw = payment().encode()
        self.assertEqual(payment().txid, sha256(b"TIME/transaction/v1" + raw[: -2 - 96]).digest())

    def test_witnesses_do_not_change_the_id(self) -> None:
        """[5] Another signature, two signatures or none: the same transaction."""
        for witnesses in (
            (),
            (Witness(BOB, bytes(64)),),
            (Witness(ALICE, bytes(64)), Witness(BOB, bytes(64))),
        ):
            other = payment().with_witnesses(witnesses)
            self.assertEqual(other.txid, payment().txid)
            self.assertEqual(Transaction.decode(other.encode()).txid, payment().txid)
            self.assertEqual(other.witnesses, witnesses)

    def test_every_other_field_changes_the_id(self) -> None:
        """[5] Nothing but the witnesses is outside the id."""
        ids = {
            payment(**change).txid
            for change in (
                {}, {"version": 2}, {"kind": COINBASE}, {"lock_height": 1}, {"payload": b"\0"},
                {"inputs": []}, {"inputs": [OutPoint(COIN.txid, 8)]}, {"inputs": [OutPoint(BOB, 7)]},
                {"outputs": []}, {"outputs": [Output(5_001, Lock.key_hash(BOB))]},
                {"outputs": [Output(5_000, Lock(9, key_hash(BOB)))]},
            )
        }  # fmt: skip
        self.assertEqual(len(ids), 11)

    def test_id_is_computed_once(self) -> None:
        """The digest is kept with the value."""
        transaction = payment()
        self.assertIs(transaction.txid, transaction.txid)

    def test_replaced_fields_give_a_fresh_id(self) -> None:
        """A copy with another field neither keeps the bytes nor the id of the original."""
        original = Transaction.decode(payment().encode())
        self.assertTrue(original.txid)
        changed = msgspec.structs.replace(original, lock_height=9)
        self.assertEqual(changed.txid, payment(lock_height=9).txid)
        self.assertNotEqual(changed.encode(), original.encode())

    def test_values_cannot_be_changed(self) -> None:
        """A value that has an id keeps it."""
        with self.assertRaises(AttributeError):
            payment().version = 3  # type: ignore[misc]

    def test_size_is_that_of_the_encoding(self) -> None:
        """`size` is what fees and bounds count."""
        self.assertEqual(payment().size, len(payment().encode()))
        self.assertEqual(payment().raw, payment().encode())

    def test_usual_values(self) -> None:
        """`make` fills in what a plain transfer has."""
        transaction = Transaction.make(inputs=[COIN])
        self.assertEqual((transaction.version, transaction.kind), (1, TRANSFER))
        self.assertEqual((transaction.lock_height, transaction.payload, transaction.witnesses), (0, b"", ()))


class SigningHash(SynchronousTestCase):
    """What a witness signs binds the chain, the transaction and every coin it spends."""

    def test_statement_is_laid_out_as_specified(self) -> None:
        """Tag, chain id, txid, then value and lock of each input in order."""
        spent = Output(0x0102030405060708, Lock(LOCK_KEY_HASH, bytes(20)))
        bytes_signed = (
            b"TIME/spend/v1"
            + bytes.fromhex("03000000") + b"\x22" * 32 + bytes.fromhex("0100")
            + bytes.fromhex("0807060504030201" "01" "1400") + bytes(20)
        )  # fmt: skip
        self.assertEqual(signing_hash(3, b"\x22" * 32, [spent]), sha256(bytes_signed).digest())

    def test_nothing_can_be_exchanged(self) -> None:
        """Chain, id, value, lock, order and number of the coins are all bound."""
        one, other = Output(1, Lock.key_hash(ALICE)), Output(2, Lock.key_hash(BOB))
        base = (1, b"\x01" * 32, [one, other])
        variants = [
            base, (2, base[1], base[2]), (1, b"\x02" * 32, base[2]), (1, base[1], [other, one]),
            (1, base[1], [one]), (1, base[1], [Output(3, one.lock), other]),
            (1, base[1], [Output(1, other.lock), other]), (1, base[1], [one, other, other]),
        ]  # fmt: skip
        self.assertEqual(len({signing_hash(*variant) for variant in variants}), len(variants))


class OutPoints(SynchronousTestCase):
    """The key of a coin."""

    @settings(deadline=None, max_examples=50)
    @given(st.binary(min_size=32, max_size=32), st.integers(0, 0xFFFF))
    def test_key_is_the_encoding(self, txid: bytes, index: int) -> None:
        """34 bytes: txid, index in little endian; and back."""
        outpoint = OutPoint(txid, index)
        self.assertEqual(outpoint.key, txid + index.to_bytes(2, "little"))
        self.assertEqual(OutPoint.from_key(outpoint.key), outpoint)
        self.assertEqual(hash(OutPoint.from_key(outpoint.key)), hash(outpoint))

    def test_order_is_txid_then_index(self) -> None:
        """Outpoints sort by their fields."""
        low, middle, high = OutPoint(bytes(32), 9), OutPoint(ALICE, 1), OutPoint(ALICE, 2)
        self.assertEqual(sorted([high, low, middle]), [low, middle, high])

    def test_wrong_keys_are_refused(self) -> None:
        """A key is 34 bytes, a txid 32, an index a u16."""
        self.assertRaises(DecodeError, OutPoint.from_key, bytes(33))
        for wrong in (OutPoint(bytes(31), 0), OutPoint(bytes(32), 1 << 16), OutPoint(bytes(32), -1)):
            self.assertRaises(EncodeError, wrong.encode)


class LockForms(SynchronousTestCase):
    """Locks: one key, or m of n keys."""

    HASHES = [bytes([number]) * 20 for number in range(1, 18)]

    def assert_malformed(self, lock: Lock) -> None:
        """Decoding takes it, the check of its form does not."""
        self.assertEqual(Lock.decode(lock.encode()), lock)
        with self.assertRaises(InvalidTransaction) as caught:
            lock.check_form()
        self.assertEqual(caught.exception.rule, "lock-form")

    def test_lock_of_one_key(self) -> None:
        """Kind 1 holds the first 20 bytes of the key's SHA-256."""
        lock = Lock.key_hash(ALICE)
        lock.check_form()
        self.assertEqual((lock.kind, lock.data), (1, sha256(ALICE).digest()[:20]))
        self.assertEqual((lock.required, lock.hashes), (1, (lock.data,)))

    def test_lock_of_several_keys(self) -> None:
        """Kind 2 holds m, n and the sorted hashes, whatever order they were given in."""
        lock = Lock.multisig(2, reversed(self.HASHES[:3]))
        lock.check_form()
        self.assertEqual(lock.data, b"\x02\x03" + b"".join(self.HASHES[:3]))
        self.assertEqual((lock.required, lock.hashes), (2, tuple(self.HASHES[:3])))
        Lock.multisig(16, self.HASHES[:16]).check_form()

    def test_impossible_locks_cannot_be_made(self) -> None:
        """None of them, more than there are, seventeen keys, the same key twice, no key."""
        for required, hashes in (
            (0, self.HASHES[:2]), (3, self.HASHES[:2]), (1, self.HASHES), (1, []),
            (1, [self.HASHES[0]] * 2), (1, [b"short"]),
        ):  # fmt: skip
            self.assertRaises(InvalidTransaction, Lock.multisig, required, hashes)

    def test_malformed_locks(self) -> None:
        """Each way a lock can be out of form."""
        one, two = self.HASHES[:2]
        for lock in (
            Lock(0, one), Lock(3, one), Lock(LOCK_KEY_HASH, b""), Lock(LOCK_KEY_HASH, one + b"\0"),
            Lock(LOCK_MULTISIG, b""), Lock(LOCK_MULTISIG, b"\x01"), Lock(LOCK_MULTISIG, b"\x00\x01" + one),
            Lock(LOCK_MULTISIG, b"\x02\x01" + one), Lock(LOCK_MULTISIG, b"\x01\x02" + one),
            Lock(LOCK_MULTISIG, b"\x01\x02" + two + one), Lock(LOCK_MULTISIG, b"\x01\x02" + one + one),
            Lock(LOCK_MULTISIG, b"\x01\x00"), Lock(LOCK_MULTISIG, b"\x01\x01" + one + b"\0"),
        ):  # fmt: skip
            self.assert_malformed(lock)
