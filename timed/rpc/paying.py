"""The one way of a payment: planned, signed, written, handed to the node.

From the moment its record waits for the disk a payment goes its way to the end, whether
or not somebody still waits for the answer: what may be on the disk can not be unsaid.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from timed.errors import LocalError
from timed.primitives.amounts import format_amount
from timed.primitives.transaction import OutPoint
from timed.rpc.environment import Environment
from timed.rpc.errors import (
    INSUFFICIENT_FUNDS,
    INVALID_PARAMETER,
    MISC,
    NOT_FOUND,
    REJECTED,
    WALLET_ERROR,
    RpcError,
)
from timed.rpc.submission import submit
from timed.wallet.coins import OwnCoin
from timed.wallet.funds import Funds
from timed.wallet.planning import FeeAboveAmount, InsufficientFunds, Wish
from timed.wallet.wallet import Prepared

T = TypeVar("T")
_log = Logger()

KEPT = "The payment is in the wallet and goes its way: do not pay twice, ask gettransaction for it."
HINDRANCES = {
    "input-held": ("is spent by a payment that is under way", "Choose another one: listunspent shows them."),
    "input-locked": (
        "is locked: this node has voted for a transaction that spends it",
        "explaintransaction and gettxout show what stands in the way.",
    ),
    "coinbase-immature": (
        "is a reward that is too young",
        "A reward may be spent from the block after the one that paid it.",
    ),
}
"""By rule: what is wrong with a named coin of the wallet, and what to do."""


async def pay(
    env: Environment, wish: Wish, comment: str = "", comment_to: str = "", *, in_blocks: bool = False
) -> Prepared:
    """The payment once this node has accepted it; RpcError says why not.

    A refused one is given up and its coins are free. One that was not decided in time
    stays in the wallet; `data.txid` names it.
    """
    now = env.chain.now()
    wallet = env.wallet
    prepared = planned(lambda: wallet.pay(wish, comment, comment_to, now, in_blocks=in_blocks))
    await _kept(env, prepared)
    return prepared


def planned(work: Callable[[], T]) -> T:
    """What `work` plans, with the wallet's errors as a caller is to see them."""
    try:
        return work()
    except InsufficientFunds as error:
        raise _short(error) from error
    except FeeAboveAmount as error:
        raise RpcError(
            INVALID_PARAMETER,
            f"The amount is too small to bear the fee: {error}",
            rule="fee-above-amount",
            hint="Pay more, or let the fee come on top.",
            amount=format_amount(error.amount),
            fee=format_amount(error.share),
        ) from error


def named_coins(env: Environment, outpoints: Iterable[OutPoint], param: str) -> tuple[OwnCoin, ...]:
    """The wallet's coins at these outpoints, each free to be spent or set aside.

    RpcError for one that is named twice, unknown, somebody else's or being spent.
    """
    coins: dict[OutPoint, OwnCoin] = {}
    for outpoint in outpoints:
        if outpoint in coins:
            raise _bad_coin(outpoint, param, "input-duplicate", "is named twice", "Name every coin once.")
        coin = own_coin(env, outpoint, param)
        rule = env.wallet.available.hindrance(coin)
        if rule:
            raise _bad_coin(outpoint, param, rule, *HINDRANCES[rule])
        coins[outpoint] = coin
    return tuple(coins.values())


def own_coin(env: Environment, outpoint: OutPoint, param: str, *, watched: bool = False) -> OwnCoin:
    """The unspent coin of the wallet at `outpoint`, with `watched` also one that it only looks after."""
    coins = env.wallet.coins
    coin = coins.get(outpoint)
    if coin is not None and (watched or coins.shelf_of(coin) is coins.own):
        return coin
    output = env.chain.output(outpoint)
    if output is None:
        hint = "listunspent shows the coins there are."
        raise _bad_coin(outpoint, param, "input-missing", "is unknown or spent already", hint, NOT_FOUND)
    if coin is None and env.wallet.keys.owns(output.lock):
        hint = "It counts once its transaction is final: see gettransaction."
        raise _bad_coin(outpoint, param, "input-pending", "is not final yet", hint)
    raise _bad_coin(
        outpoint,
        param,
        "input-foreign",
        "is not this wallet's own",
        "Make the payment with createrawtransaction, and have it signed where the key is.",
    )


async def write(env: Environment) -> None:
    """Make the wallet's outbox durable; RpcError -4 otherwise."""
    try:
        await env.write_wallet()
    except LocalError as error:
        raise RpcError(WALLET_ERROR, error.message, rule="wallet-file", hint=error.hint) from error


async def _kept(env: Environment, prepared: Prepared) -> None:
    """Store and submit it; the work goes on when whoever waits is sent away."""
    txid = prepared.payment.txid.hex()
    told: Deferred[None] = Deferred()

    def tell(result: object) -> None:
        if not told.called:
            told.callback(result)  # type: ignore[arg-type]
        elif isinstance(result, Failure):
            _log.warn("the payment {txid}: {reason}", txid=txid, reason=result.getErrorMessage())

    Deferred.fromCoroutine(_send(env, prepared)).addBoth(tell)
    try:
        await told
    except CancelledError:
        raise RpcError(
            MISC, "The call was ended before the answer was there", rule="payment-kept", hint=KEPT, txid=txid
        ) from None


async def _send(env: Environment, prepared: Prepared) -> None:
    """Durable before visible: the payment is in the wallet's file before the node sees it."""
    wallet, transaction = env.wallet, prepared.payment.transaction
    try:
        await write(env)
    except RpcError:
        wallet.release(prepared)
        raise
    wallet.stored(prepared)
    try:
        await submit(env, transaction)
    except RpcError as error:
        if error.code == REJECTED:
            wallet.abandon(transaction.txid)
            await write(env)
            raise
        raise RpcError(
            error.code, error.message, rule=error.data["rule"], hint=KEPT, txid=transaction.txid.hex()
        ) from error


def _short(error: InsufficientFunds) -> RpcError:
    """Insufficient funds, with what is missing, what stands in the way, and what to do."""
    funds = error.funds
    rule = "insufficient-funds" if error.missing else "inputs-count"
    return RpcError(
        INSUFFICIENT_FUNDS,
        f"Insufficient funds: {error}",
        rule=rule,
        hint=_advice(error),
        needed=format_amount(error.needed),
        missing=format_amount(error.missing),
        available=format_amount(funds.free),
        in_payments=format_amount(funds.in_payments),
        locked=format_amount(funds.locked),
        set_aside=format_amount(funds.set_aside),
        immature=format_amount(funds.immature),
        unconfirmed=format_amount(funds.unconfirmed),
        watched=format_amount(funds.watched),
    )


def _advice(error: InsufficientFunds) -> str:
    """What would help first."""
    funds: Funds = error.funds
    if not error.missing:
        return "One payment has no room for that many coins: make fewer of them with mergeutxos."
    if funds.unconfirmed >= error.missing:
        return "Wait for the next block, or leave minconf out: final coins are as good."
    if funds.set_aside >= error.missing:
        return "Free coins that you have set aside: listlockunspent, lockunspent true."
    if funds.in_payments + funds.locked + funds.immature >= error.missing:
        return "Coins that a payment under way uses come back as change once it is final: wait a moment."
    if funds.watched >= error.missing:
        return "Watched coins are spent where their key is: see walletcreatefundedtransaction."
    return "Receive more first, or pay less; with subtractfeefromamount the receiver bears the fee."


def _bad_coin(
    outpoint: OutPoint, param: str, rule: str, problem: str, hint: str, code: int = INVALID_PARAMETER
) -> RpcError:
    name = f"{outpoint.txid.hex()}:{outpoint.index}"
    return RpcError(code, f"The coin {name} {problem}", rule=rule, hint=hint, param=param)
