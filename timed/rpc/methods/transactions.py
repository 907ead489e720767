"""Methods around transactions: what they hold, their way to finality, sending them."""

from __future__ import annotations

from typing import Any

from timed import events
from timed.primitives.transaction import Output, Transaction
from timed.rpc.backend import ChainBackend
from timed.rpc.environment import Environment, decode_transaction
from timed.rpc.errors import not_found
from timed.rpc.jsontext import amount
from timed.rpc.present import Object, output_object, status_object, transaction_object
from timed.rpc.submission import submit
from timed.rpc.waiting import is_settled


def getrawtransaction(env: Environment, txid: bytes, verbose: int) -> Any:
    transaction = _find(env.chain, txid)
    if not verbose:
        return transaction.raw.hex()
    shown = transaction_object(transaction, env.chain.params)
    shown["hex"] = transaction.raw.hex()
    spent = _prevouts(env, txid) if verbose > 1 else None
    for each, output in zip(shown["vin"], spent or (), strict=False):
        each["prevout"] = output_object(each["vout"], output, env.params)
    if spent:
        shown["fee"] = amount(_fee(transaction, spent))
    return shown | _status(env.chain, txid)


def gettransaction(env: Environment, txid: bytes) -> Object:
    chain = env.chain
    transaction = _find(chain, txid)
    entry = chain.mempool.entry(txid)
    shown = _status(chain, txid) | transaction_object(transaction, chain.params)
    fee = entry.fee if entry is not None else _confirmed_fee(env, transaction)
    shown["fee"] = amount(fee) if fee is not None else None
    shown["hex"] = transaction.raw.hex()
    payment = env.own_wallet.payment(txid) if env.own_wallet is not None else None
    if payment is not None:
        shown["comment"] = payment.comment
    return shown


async def waittransactionfinality(env: Environment, txid: bytes, timeout_s: int) -> Object:
    """`timeout_s` arrives in microseconds."""
    chain = env.chain
    begun = env.monotonic()
    status = chain.status(txid)
    event: object = None
    if status is None or not status.final:
        event = await env.waiters.wait(txid, is_settled, timeout_s)
        status = chain.status(txid)
    rejected = event.rule if isinstance(event, events.TransactionDropped) else None
    if status is None:
        shown: Object = {"txid": txid.hex(), "state": None, "final": False}
    else:
        shown = status_object(status, chain)
    shown["waited_ms"] = int((env.monotonic() - begun) * 1000)
    shown["timed_out"] = event is None and not shown["final"]
    shown["rejected"] = rejected
    return shown


async def sendrawtransaction(env: Environment, hexstring: bytes) -> str:
    return (await submit(env, decode_transaction(hexstring))).hex()


def _confirmed_fee(env: Environment, transaction: Transaction) -> int | None:
    """What a transaction in a block paid; None for a coinbase, and without the index of transactions."""
    spent = _prevouts(env, transaction.txid)
    if not spent:
        return None
    return _fee(transaction, spent)


def _fee(transaction: Transaction, spent: tuple[Output, ...]) -> int:
    return sum(output.value for output in spent) - sum(output.value for output in transaction.outputs)


def _prevouts(env: Environment, txid: bytes) -> tuple[Output, ...] | None:
    place = env.chain.store.locate(txid)
    return None if place is None else env.view.prevouts(*place)


def _find(chain: ChainBackend, txid: bytes) -> Transaction:
    transaction = chain.body(txid)
    if transaction is not None:
        return transaction
    confirmed = chain.confirmed_transaction(txid)
    if confirmed is None:
        raise not_found(
            "Transaction",
            txid.hex(),
            "It is neither in the mempool nor in a block; it may not have arrived yet.",
        )
    return confirmed[0]


def _status(chain: ChainBackend, txid: bytes) -> Object:
    status = chain.status(txid)
    return status_object(status, chain) if status is not None else {}


HANDLERS = {
    handler.__name__: handler
    for handler in (
        getrawtransaction,
        gettransaction,
        waittransactionfinality,
        sendrawtransaction,
    )
}
