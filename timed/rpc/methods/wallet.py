"""Methods that use the wallet's keys or coins."""

from __future__ import annotations

from typing import Any

from timed.primitives.address import InvalidAddress, decode_address
from timed.primitives.transaction import Lock, Transaction
from timed.rpc.environment import Environment, decode_transaction
from timed.rpc.errors import NOT_FOUND, RpcError
from timed.rpc.jsontext import amount
from timed.rpc.paying import write
from timed.rpc.present import Object, address_of
from timed.wallet.coins import OwnCoin
from timed.wallet.signing import sign, unsigned_inputs


def getbalance(env: Environment, address: str | None) -> Any:
    wallet = env.wallet
    return amount(wallet.balance(None if address is None else _own_lock(env, address)))


def listunspent(env: Environment, minconf: int, maxconf: int, addresses: tuple[str, ...]) -> list[Object]:
    wallet, chain = env.wallet, env.chain
    locks = [_own_lock(env, address) for address in addresses]
    shown = []
    for coin in sorted(wallet.unspent(), key=lambda coin: coin.order, reverse=True):
        confirmations = 0 if coin.height is None else chain.tip().height - coin.height + 1
        if minconf <= confirmations <= maxconf and (not locks or coin.output.lock in locks):
            shown.append(_coin_object(env, coin, confirmations, wallet.available.is_free(coin)))
    return shown


async def getnewaddress(env: Environment, label: str) -> str:
    key = env.wallet.new_key(label)
    await write(env)
    return str(address_of(key.lock, env.params))


def validateaddress(env: Environment, address: str) -> Object:
    try:
        lock = decode_address(env.params, address)
    except InvalidAddress as error:
        return {"isvalid": False, "address": address, "scriptPubKey": "", "error": str(error)}
    wallet = env.own_wallet
    return {
        "isvalid": True,
        "address": address,
        "scriptPubKey": lock.encode().hex(),
        "ismine": wallet is not None and wallet.keys.owns(lock),
        "iswatchonly": wallet is not None and lock in wallet.keys.watched,
        "isscript": False,
        "iswitness": False,
        "label": wallet.keys.label_of(lock.data) if wallet is not None else "",
    }


def signrawtransactionwithwallet(env: Environment, hexstring: bytes) -> Object:
    wallet, chain = env.wallet, env.chain
    transaction = decode_transaction(hexstring)
    spent = []
    for outpoint in transaction.inputs:
        coin = chain.coin(outpoint)
        output = coin.output if coin is not None else chain.mempool.output(outpoint)
        if output is None:
            return _signed(
                transaction,
                [
                    {
                        "txid": outpoint.txid.hex(),
                        "vout": outpoint.index,
                        "error": "Input not found or already spent",
                    }
                ],
            )
        spent.append(output)
    signed = sign(transaction, spent, chain.params.chain_id, wallet.keys)
    errors = [
        {
            "txid": signed.inputs[index].txid.hex(),
            "vout": signed.inputs[index].index,
            "error": "This wallet has no key for it",
        }
        for index in unsigned_inputs(signed, spent)
    ]
    return _signed(signed, errors)


def _signed(transaction: Transaction, errors: list[Object]) -> Object:
    return {"hex": transaction.encode().hex(), "complete": not errors, "errors": errors}


def _own_lock(env: Environment, address: str) -> Lock:
    lock = env.lock_of(address)
    if not env.wallet.keys.owns(lock):
        raise RpcError(
            NOT_FOUND,
            "The address is not one of this wallet",
            rule="address-foreign",
            hint="This wallet knows the coins of its own addresses only.",
            param="address",
        )
    return lock


def _coin_object(env: Environment, coin: OwnCoin, confirmations: int, free: bool) -> Object:
    return {
        "txid": coin.outpoint.txid.hex(),
        "vout": coin.outpoint.index,
        "address": address_of(coin.output.lock, env.params),
        "label": env.wallet.keys.label_of(coin.output.lock.data),
        "amount": amount(coin.value),
        "confirmations": confirmations,
        "state": "Confirmed" if coin.height is not None else "SpentFinalized",
        "coinbase": coin.coinbase,
        "spendable": free,
        "solvable": True,
        "safe": True,
    }


HANDLERS = {
    handler.__name__: handler
    for handler in (
        getbalance,
        listunspent,
        getnewaddress,
        validateaddress,
        signrawtransactionwithwallet,
    )
}
