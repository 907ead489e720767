"""Methods that use the wallet's keys or coins."""

from __future__ import annotations

from timed.primitives.address import InvalidAddress, decode_address
from timed.primitives.transaction import Transaction
from timed.rpc.environment import Environment, decode_transaction
from timed.rpc.paying import write
from timed.rpc.present import Object, address_of
from timed.wallet.signing import sign, unsigned_inputs


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
        output = chain.output(outpoint)
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


HANDLERS = {
    handler.__name__: handler
    for handler in (
        getnewaddress,
        validateaddress,
        signrawtransactionwithwallet,
    )
}
