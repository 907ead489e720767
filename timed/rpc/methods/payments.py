"""Methods that pay from the wallet; all of them go through `timed.rpc.paying`."""

from __future__ import annotations

from typing import Any

from timed.primitives.transaction import Lock, OutPoint
from timed.rpc.consolidation import merge_coins
from timed.rpc.environment import Environment
from timed.rpc.errors import INVALID_PARAMETER, NOT_FOUND, RpcError
from timed.rpc.jsontext import amount
from timed.rpc.ownership import own_lock
from timed.rpc.paying import named_coins, pay
from timed.rpc.present import Object
from timed.rpc.schema import bad_value
from timed.rpc.sweeping import sweep
from timed.wallet.coins import OwnCoin
from timed.wallet.planning import Payee, Wish

Coins = tuple[dict[str, Any], ...]


async def sendtoaddress(
    env: Environment,
    address: str,
    amount: int,
    comment: str,
    comment_to: str,
    subtractfeefromamount: bool,
    inputs: Coins,
    change_address: str | None,
    minconf: int,
) -> str:
    wish = Wish(
        (Payee(env.lock_of(address), amount),),
        bearers=(0,) if subtractfeefromamount else (),
        inputs=coins_of(env, inputs, minconf),
        more=not inputs,
        change=change_lock(env, change_address),
    )
    prepared = await pay(env, wish, comment, comment_to, in_blocks=minconf > 0)
    return prepared.payment.txid.hex()


async def sendmany(
    env: Environment,
    amounts: tuple[tuple[str, int], ...],
    comment: str,
    subtractfeefrom: tuple[str, ...],
    inputs: Coins,
    change_address: str | None,
    minconf: int,
) -> str:
    if not amounts:
        raise bad_value("amounts", "names nobody", 'Give {"<address>": amount, ...}.')
    payees = tuple(Payee(env.lock_of(address), units) for address, units in amounts)
    wish = Wish(
        payees,
        bearers=_bearers(env, payees, subtractfeefrom),
        inputs=coins_of(env, inputs, minconf),
        more=not inputs,
        change=change_lock(env, change_address),
    )
    prepared = await pay(env, wish, comment, in_blocks=minconf > 0)
    return prepared.payment.txid.hex()


async def sendall(
    env: Environment,
    recipients: tuple[str, ...],
    amounts: tuple[tuple[str, int], ...],
    comment: str,
    inputs: Coins,
    minconf: int,
) -> Object:
    if not recipients:
        raise bad_value("recipients", "names nobody", "Give at least one address that takes the rest.")
    payees = [Payee(env.lock_of(address), units) for address, units in amounts]
    payees += [Payee(env.lock_of(address), None) for address in recipients]
    swept = await sweep(env, tuple(payees), coins_of(env, inputs, minconf), comment, in_blocks=minconf > 0)
    transactions = [prepared.payment.transaction for prepared in swept.payments]
    answer = {
        "txid": transactions[0].txid.hex(),
        "txids": [transaction.txid.hex() for transaction in transactions],
        "coins": sum(len(transaction.inputs) for transaction in transactions),
        "amount": amount(sum(output.value for one in transactions for output in one.outputs)),
        "fee": amount(sum(prepared.fee for prepared in swept.payments)),
        "complete": swept.left == 0 and swept.kept is None,
        "coins_left": swept.left,
    }
    if swept.trouble is not None:
        answer["reason"] = f"{swept.trouble.message}. {swept.trouble.data['hint']}"
    if swept.kept is not None:
        answer["undecided"] = swept.kept
    return answer


async def mergeutxos(
    env: Environment, min_count: int, max_count: int, address: str | None, below: int | None, dry_run: bool
) -> Object:
    if min_count > max_count:
        raise bad_value("min_count", "is more than max_count", "Lower it, or raise max_count.")
    lock = None if address is None else own_lock(env, address)
    merged = await merge_coins(env, min_count, max_count, lock, below, rehearse=dry_run)
    verb = "would become" if dry_run else "became"
    return {
        "txid": None if merged.txid is None else merged.txid.hex(),
        "merged_count": merged.count,
        "total_value": amount(merged.total),
        "fee": amount(merged.fee),
        "final_value": amount(merged.value),
        "message": f"{merged.count} coins {verb} one.",
    }


def coins_of(env: Environment, inputs: Coins, minconf: int) -> tuple[OwnCoin, ...]:
    """The wallet's coins that a caller has named, each of them free."""
    outpoints = [OutPoint(each["txid"], each["vout"]) for each in inputs]
    return named_coins(env, outpoints, "inputs", in_blocks=minconf > 0)


def change_lock(env: Environment, address: str | None) -> Lock | None:
    """Where the caller wants change; RpcError -5 for what the wallet does not look after."""
    if address is None:
        return None
    lock = env.lock_of(address)
    if not env.wallet.keys.watches(lock):
        raise RpcError(
            NOT_FOUND,
            "Change would go to an address that this wallet does not know",
            rule="address-foreign",
            hint="Use an address of getnewaddress, or watch it with importaddress first.",
            param="change_address",
        )
    return lock


def _bearers(env: Environment, payees: tuple[Payee, ...], addresses: tuple[str, ...]) -> tuple[int, ...]:
    """The numbers of the payees behind these addresses."""
    places = {payee.lock: number for number, payee in enumerate(payees)}
    bearers: list[int] = []
    for address in addresses:
        number = places.get(env.lock_of(address))
        if number is None or number in bearers:
            problem = "is named twice" if number is not None else "is not paid"
            raise RpcError(
                INVALID_PARAMETER,
                f"The address {address} in subtractfeefrom {problem}",
                rule="param-value",
                hint="Name addresses of amounts, each once.",
                param="subtractfeefrom",
            )
        bearers.append(number)
    return tuple(bearers)


HANDLERS = {handler.__name__: handler for handler in (sendtoaddress, sendmany, sendall, mergeutxos)}
