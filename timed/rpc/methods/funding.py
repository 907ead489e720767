"""Methods that complete a draft with the wallet's coins; who holds the keys signs it afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from timed.primitives.transaction import OutPoint, Transaction, TransactionKind
from timed.rpc.environment import Environment, decode_transaction
from timed.rpc.errors import INVALID_PARAMETER, RpcError
from timed.rpc.jsontext import amount
from timed.rpc.methods.payments import change_lock
from timed.rpc.paying import bad_coin, check_named, wallet_errors, write
from timed.rpc.present import Object
from timed.rpc.schema import bad_value
from timed.wallet.coins import OwnCoin
from timed.wallet.planning import Payee, Wish
from timed.wallet.wallet import Drafted

NO_CHANGE = -1


async def walletcreatefundedtransaction(
    env: Environment,
    inputs: tuple[dict[str, Any], ...],
    outputs: tuple[tuple[str, int], ...],
    lock_height: int,
    options: dict[str, Any],
) -> Object:
    payees = tuple(Payee(env.lock_of(address), units) for address, units in outputs)
    given = [OutPoint(each["txid"], each["vout"]) for each in inputs]
    options = {"add_inputs": not given, **options}
    return await _fund(env, given, "inputs", payees, lock_height, options)


async def fundrawtransaction(env: Environment, hexstring: bytes, options: dict[str, Any]) -> Object:
    draft = decode_transaction(hexstring)
    _check_draft(draft)
    payees = tuple(Payee(output.lock, output.value) for output in draft.outputs)
    options = {"add_inputs": True, **options}
    return await _fund(env, draft.inputs, "hexstring", payees, draft.lock_height, options)


async def _fund(
    env: Environment,
    given: Sequence[OutPoint],
    param: str,
    payees: tuple[Payee, ...],
    lock_height: int,
    options: dict[str, Any],
) -> Object:
    if not payees:
        raise bad_value("outputs" if param == "inputs" else param, "pays nobody", "Give it an output.")
    wallet = env.wallet
    in_blocks, watched = options.get("minconf", 0) > 0, options.get("include_watched", False)
    wish = Wish(
        payees,
        bearers=_bearers(options.get("subtract_fee_from_outputs", ()), len(payees)),
        inputs=check_named(
            env, given, param, lambda outpoint: _any_coin(env, outpoint, param), in_blocks=in_blocks
        ),
        more=options["add_inputs"],
        change=change_lock(env, options.get("change_address")),
    )
    with wallet_errors():
        made = wallet.plan(wish, in_blocks=in_blocks, watched=watched)
    if options.get("lock_unspents", False):
        wallet.set_aside.add(
            (coin.outpoint for coin in made.coins if coin.outpoint in wallet.coins), keep=False
        )
    drafted: Drafted = wallet.draft(wish, made, lock_height)
    # A fresh change address is on the disk before anybody sees it.
    await write(env)
    return {
        "hex": drafted.transaction.encode().hex(),
        "fee": amount(made.fee),
        "changepos": NO_CHANGE if drafted.change is None else drafted.change,
    }


def _any_coin(env: Environment, outpoint: OutPoint, param: str) -> OwnCoin:
    """The coin at `outpoint`, whoever has its key."""
    own = env.wallet.coins.get(outpoint)
    if own is not None:
        return own
    coin = env.chain.coin(outpoint)
    if coin is None:
        output = env.chain.mempool.output(outpoint)
        status = env.chain.status(outpoint.txid)
        if output is None or status is None or not status.final:
            raise bad_coin(outpoint, param, "input-missing")
        return OwnCoin(outpoint, output, None, coinbase=False)
    return OwnCoin(outpoint, coin.output, coin.height, coin.coinbase)


def _check_draft(draft: Transaction) -> None:
    """RpcError -8 for what is no draft of a payment."""
    if draft.kind != TransactionKind.TRANSFER:
        raise bad_value("hexstring", "is no payment", "Make one with createrawtransaction.")
    if draft.witnesses:
        raise RpcError(
            INVALID_PARAMETER,
            "The transaction is signed: another input or output would make the signatures worthless",
            rule="draft-signed",
            hint="Complete it first, then sign it.",
            param="hexstring",
        )


def _bearers(numbers: tuple[int, ...], payees: int) -> tuple[int, ...]:
    if len(set(numbers)) != len(numbers) or any(number >= payees for number in numbers):
        raise bad_value(
            "options.subtract_fee_from_outputs",
            "names an output twice, or one that is not there",
            "Count the outputs from 0, in the order in which they are given.",
        )
    return numbers


HANDLERS = {handler.__name__: handler for handler in (walletcreatefundedtransaction, fundrawtransaction)}
