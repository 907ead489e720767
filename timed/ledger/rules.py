"""What a transaction must fulfil, each rule under one name.

Wallet, mempool, voter and validator ask the same functions. `check_form` needs
the transaction alone, `check_spend` the coins it spends as well; signatures are
listed by `signature_items` and checked in batches elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from timed.errors import InvalidTransaction
from timed.params import NetworkParams
from timed.primitives.amounts import checked_sum
from timed.primitives.certificate import SignatureItem
from timed.primitives.transaction import (
    TRANSACTION_VERSION,
    WITNESS_SIZE,
    Lock,
    Output,
    Transaction,
    TransactionKind,
    Witness,
    key_hash,
    signing_hash,
)

if TYPE_CHECKING:
    from timed.interfaces import Coin

COINBASE_MATURITY = 1
"""A coinbase output may be spent this many blocks after the one that made it."""

_REGISTRY_KINDS = (TransactionKind.REGISTER, TransactionKind.UPDATE, TransactionKind.REVOKE)


def minimum_fee(outputs: Sequence[Output], params: NetworkParams) -> int:
    """The least fee, in units, for a transaction with these outputs (protocol §1)."""
    return fee_for(sum(output.value for output in outputs), params)


def fee_for(total: int, params: NetworkParams) -> int:
    """The least fee, in units, for outputs that sum to `total` units."""
    return min(max(params.minimum_fee, total // params.fee_divisor), params.maximum_fee_floor)


def largest_total(available: int, params: NetworkParams) -> int:
    """The exact inverse of the fee rule: the most that inputs of `available` units can pay out.

    It is the largest total with total + fee_for(total) <= available, 0 when
    there is none. The left side grows with the total, hence the bisection.
    """
    low, high = 0, max(0, available)
    while low < high:
        middle = (low + high + 1) // 2
        if middle + fee_for(middle, params) <= available:
            low = middle
        else:
            high = middle - 1
    return low


def largest_size(transaction: Transaction, locks: Iterable[Lock]) -> int:
    """Bytes of the transaction with as many witnesses as `locks`, those of its inputs, can ask for.

    One key may sign for several locks, so bodies of one txid differ in size. Every
    node computes the same from each of them, and none of them is larger.
    """
    most = sum(lock.required for lock in dict.fromkeys(locks))
    return transaction.size + WITNESS_SIZE * (most - len(transaction.witnesses))


def check_form(transaction: Transaction, params: NetworkParams) -> None:
    """Check all that the transaction alone decides; raise InvalidTransaction(rule)."""
    _check_kind(transaction)
    if transaction.size > params.max_transaction_bytes:
        raise InvalidTransaction("transaction-bytes", f"{transaction.size} bytes")
    _check_inputs(transaction, params)
    _check_outputs(transaction, params)
    _check_witness_order(transaction.witnesses)


def _check_kind(transaction: Transaction) -> None:
    if transaction.version != TRANSACTION_VERSION:
        raise InvalidTransaction("transaction-version", str(transaction.version))
    kind = transaction.kind
    if kind == TransactionKind.COINBASE:
        raise InvalidTransaction("kind-coinbase", "only a block brings its coinbase")
    if kind in _REGISTRY_KINDS:
        raise InvalidTransaction("kind-not-active", "masternode transactions are not active on this network")
    if kind != TransactionKind.TRANSFER:
        raise InvalidTransaction("kind-unknown", str(kind))


def _check_inputs(transaction: Transaction, params: NetworkParams) -> None:
    inputs = transaction.inputs
    if not inputs:
        raise InvalidTransaction("inputs-empty")
    if len(inputs) > params.max_inputs:
        raise InvalidTransaction("inputs-count", f"{len(inputs)} inputs")
    if len(set(inputs)) != len(inputs):
        raise InvalidTransaction("input-duplicate")


def _check_outputs(transaction: Transaction, params: NetworkParams) -> None:
    outputs = transaction.outputs
    if not outputs:
        raise InvalidTransaction("outputs-empty")
    if len(outputs) > params.max_outputs:
        raise InvalidTransaction("outputs-count", f"{len(outputs)} outputs")
    for output in outputs:
        if output.value < params.dust:
            raise InvalidTransaction("output-dust", f"{output.value} units")
        output.lock.check_form()
    checked_sum(output.value for output in outputs)


def _check_witness_order(witnesses: Sequence[Witness]) -> None:
    if not witnesses:
        raise InvalidTransaction("witness-missing", "no input is signed")
    keys = [witness.public_key for witness in witnesses]
    if any(first >= second for first, second in pairwise(keys)):
        raise InvalidTransaction("witness-order", "witnesses are sorted by key, one for each")


def is_mature(coin: Coin, height: int) -> bool:
    """False for a reward that the block at `height` comes too early to spend."""
    return not coin.coinbase or coin.height + COINBASE_MATURITY <= height


def check_spend(transaction: Transaction, coins: Sequence[Coin], height: int, params: NetworkParams) -> int:
    """Check the transaction against the coins of its inputs, in their order; return the fee.

    `height` is that of the block it would stand in. Raises InvalidTransaction(rule).
    """
    if transaction.lock_height > height:
        raise InvalidTransaction("lock-height", f"not before block {transaction.lock_height}")
    for coin in coins:
        if not is_mature(coin, height):
            raise InvalidTransaction("coinbase-immature", f"made in block {coin.height}")
    received = checked_sum(coin.output.value for coin in coins)
    paid = checked_sum(output.value for output in transaction.outputs)
    if paid > received:
        raise InvalidTransaction("value-created", f"{paid} units out of {received}")
    fee = received - paid
    least = fee_for(paid, params)
    if fee < least:
        raise InvalidTransaction("fee-low", f"{fee} units, at least {least}")
    _check_witnesses(transaction, [coin.output.lock for coin in coins])
    return fee


def _check_witnesses(transaction: Transaction, locks: Sequence[Lock]) -> None:
    """Each lock has exactly the signers it asks for, and no witness is for nothing `[5]`."""
    signers = {key_hash(witness.public_key) for witness in transaction.witnesses}
    needed: dict[bytes, None] = {}
    for lock in dict.fromkeys(locks):
        named = [name for name in lock.hashes if name in signers]
        if len(named) < lock.required:
            raise InvalidTransaction(
                "witness-missing", f"{len(named)} of {lock.required} signatures of a lock"
            )
        if len(named) > lock.required:
            raise InvalidTransaction(
                "witness-excess", f"{len(named)} signatures where a lock asks for {lock.required}"
            )
        needed.update(dict.fromkeys(named))
    if len(needed) != len(transaction.witnesses):
        raise InvalidTransaction("witness-unused", "a witness belongs to no input")


def signature_items(
    transaction: Transaction, coins: Sequence[Coin], chain_id: int
) -> tuple[SignatureItem, ...]:
    """What the batch verifier has to check before the transaction counts as signed."""
    message = signing_hash(chain_id, transaction.txid, [coin.output for coin in coins])
    return tuple((witness.public_key, message, witness.signature) for witness in transaction.witnesses)
