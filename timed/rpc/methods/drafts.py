"""Transactions made by hand, without this node's wallet, and what a payment costs."""

from __future__ import annotations

from typing import Any

from timed.ledger.rules import fee_for
from timed.params import UNITS_PER_TIME
from timed.primitives.amounts import checked_sum
from timed.primitives.transaction import OutPoint, Output, Transaction
from timed.rpc.environment import Environment, decode_transaction, spent_outputs
from timed.rpc.errors import DESERIALIZATION, RpcError
from timed.rpc.jsontext import amount
from timed.rpc.placing import anywhere
from timed.rpc.present import Object, transaction_object
from timed.rpc.schema import bad_value
from timed.wallet.exchange import Exported, InvalidExport, combine

SHOWN = (1, 100, 1_000, 10_000, 1_000_000)
"""TIME; amounts for which getfeeschedule shows the fee."""
NEXT_BLOCK = 1
"""Blocks until a payment is in one, whatever it pays."""


@anywhere
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


@anywhere
def decoderawtransaction(env: Environment, hexstring: bytes) -> Object:
    return transaction_object(decode_transaction(hexstring), env.params)


def combinerawtransaction(env: Environment, txs: tuple[bytes, ...]) -> str:
    if not txs:
        raise bad_value("txs", "is empty", "Give what each signer made of one transaction.")
    parts = [decode_transaction(raw) for raw in txs]
    spent = spent_outputs(env, parts[0])
    try:
        combined = combine([Exported(part, spent) for part in parts], env.params)
    except InvalidExport as error:
        raise RpcError(
            DESERIALIZATION,
            f"They are not one transaction: {error}",
            rule=error.rule,
            hint="Give what the signers made of the same transaction.",
            param="txs",
        ) from error
    return combined.transaction.encode().hex()


@anywhere
def estimatesmartfee(env: Environment, conf_target: int, paid: int) -> Object:
    return {
        "fee": amount(fee_for(paid, env.params)),
        "paid": amount(paid),
        "blocks": NEXT_BLOCK,
        "fixed": True,
    }


@anywhere
def getfeeschedule(env: Environment) -> Object:
    params = env.params
    return {
        "minimum": amount(params.minimum_fee),
        "divisor": params.fee_divisor,
        "largest_minimum": amount(params.maximum_fee_floor),
        "dust": amount(params.dust),
        "by": "sum of the outputs",
        "examples": [
            {"amount": amount(whole * UNITS_PER_TIME), "fee": amount(fee_for(whole * UNITS_PER_TIME, params))}
            for whole in SHOWN
        ],
    }


HANDLERS = {
    handler.__name__: handler
    for handler in (
        createrawtransaction,
        decoderawtransaction,
        combinerawtransaction,
        estimatesmartfee,
        getfeeschedule,
    )
}
