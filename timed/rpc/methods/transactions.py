"""Methods around transactions: what they hold, their way to finality, sending them."""

from __future__ import annotations

from functools import partial
from typing import Any

import attrs

from timed import events
from timed.primitives.transaction import Output, Transaction
from timed.rpc.backend import ChainBackend
from timed.rpc.caller import Caller
from timed.rpc.environment import Environment, decode_transaction
from timed.rpc.errors import RpcError, not_found
from timed.rpc.jsontext import amount
from timed.rpc.methods.history import wallet_part
from timed.rpc.present import Object, output_object, status_object, transaction_object
from timed.rpc.slices import Work
from timed.rpc.snapshot import Snapshot
from timed.rpc.submission import submit
from timed.rpc.table import METHODS
from timed.rpc.waiting import is_settled


@attrs.frozen
class Found:
    """A transaction, and what it spent where that is known and was asked for."""

    transaction: Transaction
    spent: tuple[Output, ...] | None = None


async def getrawtransaction(env: Environment, txid: bytes, verbose: int) -> Any:
    found = await _find(env, txid, prevouts=verbose > 1)
    transaction, spent = found.transaction, found.spent
    if not verbose:
        return transaction.raw.hex()
    shown = transaction_object(transaction, env.chain.params)
    shown["hex"] = transaction.raw.hex()
    for each, output in zip(shown["vin"], spent or (), strict=False):
        each["prevout"] = output_object(each["vout"], output, env.params)
    if spent:
        shown["fee"] = amount(_fee(transaction, spent))
    return shown | _status(env.chain, txid)


async def gettransaction(env: Environment, txid: bytes, caller: Caller) -> Object:
    chain = env.chain
    wallet = await wallet_part(env, txid) if caller.may_call(METHODS["getwallettransaction"]) else None
    payment = env.own_wallet.payment(txid) if wallet is not None and env.own_wallet is not None else None
    try:
        found = await _find(env, txid, prevouts=True)
    except RpcError:
        if wallet is None:
            raise
        # A payment that the node does not have, or that was released: the wallet knows of it.
        shown = {
            "txid": txid.hex(),
            "state": wallet["state"],
            "final": False,
            "height": None,
            "confirmations": 0,
        }
        if payment is not None:
            shown |= transaction_object(payment.transaction, chain.params)
            shown["hex"] = payment.transaction.raw.hex()
        return shown | _of_wallet(wallet)
    transaction, spent = found.transaction, found.spent
    entry = chain.mempool.entry(txid)
    shown = _status(chain, txid) | transaction_object(transaction, chain.params)
    # A coinbase spends nothing, and without the index of transactions nobody knows what was spent.
    fee = entry.fee if entry is not None else _fee(transaction, spent) if spent else None
    shown["fee"] = amount(fee) if fee is not None else None
    shown["hex"] = transaction.raw.hex()
    return shown if wallet is None else shown | _of_wallet(wallet)


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


def _fee(transaction: Transaction, spent: tuple[Output, ...]) -> int:
    return sum(output.value for output in spent) - sum(output.value for output in transaction.outputs)


def _of_wallet(wallet: Object) -> Object:
    """Under the names that Bitcoin's clients look for; `fee` stays what the transaction pays."""
    return {"wallet": wallet, **{name: wallet[name] for name in ("amount", "details", "comment", "time")}}


async def _find(env: Environment, txid: bytes, *, prevouts: bool) -> Found:
    """From the mempool at once, from a block on the reader's thread."""
    pending = env.chain.body(txid)
    if pending is not None:
        return Found(pending)
    found: Found | None = await env.read(partial(_in_a_block, txid=txid, prevouts=prevouts))
    if found is None:
        raise not_found(
            "Transaction",
            txid.hex(),
            "It is neither in the mempool nor in a block; it may not have arrived yet.",
        )
    return found


def _in_a_block(snapshot: Snapshot, txid: bytes, prevouts: bool) -> Work[Found | None]:
    place = snapshot.store.locate(txid)
    if place is None:
        return None
    height, position = place
    block = yield from snapshot.opened(height)
    return Found(block.transactions[position], snapshot.prevouts(block, position) if prevouts else None)


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
