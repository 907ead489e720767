"""Methods about what leaves the node: payments to sign elsewhere, signed messages, payment URIs."""

from __future__ import annotations

from timed.errors import InvalidSignature, InvalidTransaction
from timed.ledger.rules import fee_for
from timed.primitives.amounts import checked_sum
from timed.primitives.transaction import Transaction
from timed.rpc.environment import Environment, decode_transaction, spent_outputs
from timed.rpc.errors import DESERIALIZATION, INVALID_PARAMETER, RpcError
from timed.rpc.jsontext import amount
from timed.rpc.ownership import key_at
from timed.rpc.present import Object, lock_object, transaction_object
from timed.wallet.derivation import format_path
from timed.wallet.exchange import Exported, InvalidExport, combine, decode_export, encode_export, finalize
from timed.wallet.messages import sign_message, verify_message
from timed.wallet.offline import hints_for, is_mine, sign_exported
from timed.wallet.uri import InvalidUri, PaymentUri, make_uri, parse_uri, qr_lines, qr_svg

HINTS = {
    "export-network": "Use a node or wallet of the network that made it.",
    "export-mismatch": "Combine what several signers made of one export.",
    "export-witness": "A spent output does not stand as the signer was shown: export it again.",
    "export-fee": "Set highfee when that is really wanted.",
    "export-incomplete": "analyzeexported says which signatures lack.",
}


def exporttransaction(env: Environment, hexstring: bytes) -> str:
    transaction = decode_transaction(hexstring)
    spent = spent_outputs(env, transaction)
    wallet = env.own_wallet
    locks = [output.lock for output in (*spent, *transaction.outputs)]
    hints = hints_for(wallet.keys, locks) if wallet is not None else ()
    text = encode_export(Exported(transaction, spent, hints), env.params)
    _decoded(env, text)
    return text


def signexported(env: Environment, payment: str, highfee: bool) -> Object:
    exported = _decoded(env, payment)
    try:
        signed = sign_exported(exported, env.wallet.keys, env.params, high_fee=highfee)
    except (InvalidExport, InvalidTransaction) as error:
        raise _refused(error) from error
    return {
        "payment": encode_export(signed.exported, env.params),
        "added": signed.added,
        "complete": signed.exported.complete,
    }


def combineexported(env: Environment, payments: tuple[str, ...]) -> str:
    if not payments:
        raise RpcError(
            INVALID_PARAMETER,
            "There is nothing to combine",
            rule="param-value",
            hint="Give two.",
            param="payments",
        )
    parts = [_decoded(env, text) for text in payments]
    try:
        return encode_export(combine(parts, env.params), env.params)
    except InvalidExport as error:
        raise _refused(error) from error


def finalizeexported(env: Environment, payment: str) -> Object:
    exported = _decoded(env, payment)
    try:
        transaction: Transaction = finalize(exported, env.params)
    except (InvalidExport, InvalidTransaction) as error:
        raise _refused(error) from error
    return {"hex": transaction.encode().hex(), "txid": transaction.txid.hex(), "complete": True}


def analyzeexported(env: Environment, payment: str) -> Object:
    exported = _decoded(env, payment)
    transaction = exported.transaction
    keys = env.own_wallet.keys if env.own_wallet is not None else None
    inputs = [
        {
            "txid": outpoint.txid.hex(),
            "vout": outpoint.index,
            "value": amount(output.value),
            "scriptPubKey": lock_object(output.lock, env.params),
            "signatures_missing": missing,
            "keys_here": 0 if keys is None else sum(name in keys for name in output.lock.hashes),
        }
        for outpoint, output, missing in zip(
            transaction.inputs, exported.spent, exported.lacking(), strict=True
        )
    ]
    shown = transaction_object(transaction, env.params)
    for output, each in zip(transaction.outputs, shown["vout"], strict=True):
        each["mine"] = is_mine(keys, output.lock) if keys is not None else ""
    return {
        "txid": transaction.txid.hex(),
        "inputs": inputs,
        "outputs": shown["vout"],
        "received": amount(exported.received),
        "paid": amount(exported.paid),
        "fee": amount(exported.fee),
        "least_fee": amount(fee_for(checked_sum(each.value for each in transaction.outputs), env.params)),
        "keys": [
            {"pubkey": hint.public.hex(), "hdseedid": hint.seed, "hdkeypath": format_path(hint.path)}
            for hint in exported.hints
        ],
        "complete": exported.complete,
        "next": "finalize" if exported.complete else "sign",
    }


def signmessage(env: Environment, address: str, message: str) -> str:
    key = key_at(env, address)
    return sign_message(env.wallet.keys.signing_key(key), env.params.chain_id, message)


def verifymessage(env: Environment, address: str, signature: str, message: str) -> bool:
    lock = env.lock_of(address)
    try:
        verify_message(lock, env.params.chain_id, message, signature)
    except InvalidSignature as error:
        if error.rule == "signature-form":
            raise RpcError(
                INVALID_PARAMETER,
                f"Malformed signature: {error.detail}",
                rule=error.rule,
                hint="Copy the whole text that signmessage answered.",
                param="signature",
            ) from error
        return False
    return True


def makepaymenturi(
    env: Environment, address: str, amount: int | None, label: str, message: str, qr: str
) -> Object:
    try:
        uri = make_uri(PaymentUri(address, amount, label, message), env.params)
    except InvalidUri as error:
        raise _bad_uri(error, "address") from error
    shown: Object = {"uri": uri}
    if qr != "none":
        shown["qr"] = qr_lines(uri) if qr == "text" else qr_svg(uri)
    return shown


def parsepaymenturi(env: Environment, uri: str) -> Object:
    try:
        payment = parse_uri(uri, env.params)
    except InvalidUri as error:
        raise _bad_uri(error, "uri") from error
    return {
        "address": payment.address,
        "amount": amount(payment.amount) if payment.amount is not None else None,
        "label": payment.label,
        "message": payment.message,
    }


def _bad_uri(error: InvalidUri, param: str) -> RpcError:
    return RpcError(
        INVALID_PARAMETER,
        f"Invalid payment URI: {error}",
        rule=error.rule,
        hint="It reads timecoin:ADDRESS?amount=1.5&label=NAME&message=TEXT.",
        param=param,
    )


def _decoded(env: Environment, text: str) -> Exported:
    try:
        return decode_export(text, env.params)
    except (InvalidExport, InvalidTransaction) as error:
        raise _refused(error) from error


def _refused(error: InvalidExport | InvalidTransaction) -> RpcError:
    return RpcError(
        DESERIALIZATION,
        f"Not an exported payment that can be used: {error}",
        rule=error.rule,
        hint=HINTS.get(error.rule, "Give the whole text of exporttransaction or signexported."),
        param="payment",
    )


HANDLERS = {
    handler.__name__: handler
    for handler in (
        exporttransaction,
        signexported,
        combineexported,
        finalizeexported,
        analyzeexported,
        signmessage,
        verifymessage,
        makepaymenturi,
        parsepaymenturi,
    )
}
