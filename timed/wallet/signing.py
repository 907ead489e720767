"""Witnesses for the inputs that a wallet's keys open."""

from __future__ import annotations

from collections.abc import Sequence

from timed.primitives.transaction import Lock, Output, Transaction, Witness, key_hash, signing_hash
from timed.wallet.keystore import Keystore


def sign(transaction: Transaction, spent: Sequence[Output], chain_id: int, keystore: Keystore) -> Transaction:
    """The transaction with every witness this wallet can add to those already there.

    One witness for each distinct key, sorted by key, never more than a lock asks
    for (protocol §1). WalletLocked when a key of this wallet is needed and can not be had.
    """
    message = signing_hash(chain_id, transaction.txid, spent)
    present = {key_hash(witness.public_key): witness for witness in transaction.witnesses}
    for lock in dict.fromkeys(output.lock for output in spent):
        for name in _missing(lock, present):
            owned = keystore.get(name)
            if owned is not None and len(_given(lock, present)) < lock.required:
                present[name] = Witness(owned.public, keystore.signing_key(owned).sign(message))
    return transaction.with_witnesses(sorted(present.values(), key=lambda witness: witness.public_key))


def unsigned_inputs(transaction: Transaction, spent: Sequence[Output]) -> tuple[int, ...]:
    """The numbers of the inputs whose locks still lack a witness."""
    present = {key_hash(witness.public_key): witness for witness in transaction.witnesses}
    return tuple(
        index
        for index, output in enumerate(spent)
        if len(_given(output.lock, present)) < output.lock.required
    )


def _given(lock: Lock, present: dict[bytes, Witness]) -> list[bytes]:
    return [name for name in lock.hashes if name in present]


def _missing(lock: Lock, present: dict[bytes, Witness]) -> list[bytes]:
    return [name for name in lock.hashes if name not in present]
