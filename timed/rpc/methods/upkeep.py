"""Methods that end a payment, or read the blocks again for the wallet."""

from __future__ import annotations

from timed.errors import LocalError
from timed.rpc.environment import Environment
from timed.rpc.errors import INVALID_PARAMETER, NOT_FOUND, WALLET_ERROR, RpcError
from timed.rpc.present import Object
from timed.wallet.wallet import Doom

NEVER_LEFT = "never-left-this-node"
"""The reason of a payment that its owner took back."""


async def abandontransaction(env: Environment, txid: bytes) -> None:
    wallet = env.wallet
    if wallet.payment(txid) is None:
        raise await _no_payment(env, txid)
    doom = wallet.doomed.get(txid)
    if doom is None and not env.pursuit.may_release(txid):
        status = env.chain.status(txid)
        if status is not None and status.final:
            raise _refused(
                "payment-final",
                "The payment is final: nobody can take it back",
                "Ask the receiver to pay it back.",
            )
        raise _refused(
            "payment-votable",
            "Others may have this payment, and could still make it final",
            "It is sent again until it is final, or until another transaction has spent its coins. To pay the receiver "
            "once more now would risk paying twice; explaintransaction says what it waits for.",
        )
    if doom is None:
        # From here on nothing may hand it to the node again, however long the disk takes.
        doom = Doom(NEVER_LEFT)
        wallet.doom(txid, doom)
    try:
        await env.chronicle.release(txid, doom.rule)
    except LocalError as error:
        raise RpcError(
            WALLET_ERROR, f"The payment cannot be released yet: {error.message}", rule="release-later",
            hint=error.hint or "Try again soon.",
        ) from error  # fmt: skip


async def rescanblockchain(env: Environment, start_height: int, stop_height: int | None) -> Object:
    tip = env.chain.tip().height
    last = tip if stop_height is None else stop_height
    if start_height > last or last > tip:
        raise RpcError(
            INVALID_PARAMETER,
            f"There are no blocks from {start_height} to {last}: the newest is {tip}",
            rule="param-value",
            hint="start_height comes first, and neither lies above the newest block.",
            param="stop_height" if last > tip else "start_height",
        )
    await env.custody.rescan_blocks(start_height, last)
    return {"start_height": start_height, "stop_height": last}


async def abortrescan(env: Environment) -> bool:
    return await env.chronicle.abort_rescan()


async def _no_payment(env: Environment, txid: bytes) -> RpcError:
    chronicle = env.chronicle
    entry = None
    if chronicle.book.opened:
        entry = await chronicle.read(lambda book: book.entry(txid))
    if entry is not None and entry.released:
        return _refused(
            "payment-released", f"The payment was released already: {entry.reason}", "Its coins are free."
        )
    if entry is not None and entry.created:
        return _refused(
            "payment-final", f"The payment is in block {entry.height}", "Ask the receiver to pay it back."
        )
    return RpcError(
        NOT_FOUND,
        "This wallet has no open payment with that id",
        rule="payment-unknown",
        hint="listtransactions shows what the wallet has sent.",
        param="txid",
    )


def _refused(rule: str, message: str, hint: str) -> RpcError:
    return RpcError(WALLET_ERROR, message, rule=rule, hint=hint)


HANDLERS = {
    handler.__name__: handler
    for handler in (
        abandontransaction,
        rescanblockchain,
        abortrescan,
    )
}
