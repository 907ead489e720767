"""Methods around transactions: the mempool, their way to finality, making and sending them."""

from __future__ import annotations

from typing import Any

from timed import events
from timed.ledger.mempool import MAX_BYTES, MAX_COUNT
from timed.primitives.amounts import checked_sum
from timed.primitives.transaction import OutPoint, Output, Transaction
from timed.rpc.backend import ChainBackend
from timed.rpc.environment import Environment, decode_transaction
from timed.rpc.errors import not_found
from timed.rpc.jsontext import amount
from timed.rpc.present import Object, output_object, status_object, transaction_object
from timed.rpc.submission import submit
from timed.rpc.waiting import is_settled


def getmempoolinfo(env: Environment) -> Object:
    mempool = env.chain.mempool
    least = amount(env.chain.params.minimum_fee)
    return {
        "loaded": True,
        "size": len(mempool),
        "bytes": mempool.bytes,
        "usage": mempool.bytes,
        "maxmempool": MAX_BYTES,
        "maxcount": MAX_COUNT,
        "waiting": len(mempool.waiting),
        "mempoolminfee": least,
        "minrelaytxfee": least,
        "counters": env.chain.mempool_counters(),
    }


def getrawmempool(env: Environment, verbose: bool) -> Any:
    chain = env.chain
    if not verbose:
        return [txid.hex() for txid in chain.mempool.txids()]
    return {txid.hex(): _entry_object(chain, txid) for txid in chain.mempool.txids()}


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


def createrawtransaction(
    env: Environment,
    inputs: tuple[dict[str, Any], ...],
    outputs: tuple[tuple[str, int], ...],
    lock_height: int,
) -> str:
    made = [Output(value=units, lock=env.lock_of(address)) for address, units in outputs]
    checked_sum(output.value for output in made)
    transaction = Transaction.make(
        inputs=[OutPoint(each["txid"], each["vout"]) for each in inputs],
        outputs=made,
        lock_height=lock_height,
    )
    return transaction.encode().hex()


def decoderawtransaction(env: Environment, hexstring: bytes) -> Object:
    return transaction_object(decode_transaction(hexstring), env.params)


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


def _entry_object(chain: ChainBackend, txid: bytes) -> Object:
    entry = chain.mempool.entry(txid)
    if entry is None:
        return {}
    status = chain.status(txid)
    return {
        "size": entry.transaction.size,
        "fee": amount(entry.fee),
        "height": entry.height,
        "state": status.state if status is not None else None,
        "depends": [
            outpoint.txid.hex() for outpoint in entry.transaction.inputs if outpoint.txid in chain.mempool
        ],
        "spentby": [child.hex() for child in chain.mempool.children(txid)],
    }


HANDLERS = {
    handler.__name__: handler
    for handler in (
        getmempoolinfo,
        getrawmempool,
        getrawtransaction,
        gettransaction,
        waittransactionfinality,
        sendrawtransaction,
        createrawtransaction,
        decoderawtransaction,
    )
}
