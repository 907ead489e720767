"""The one way of a payment: planned, signed, written, handed to the node.

From the moment its record waits for the disk a payment goes its way to the end, whether
or not somebody still waits for the answer: what may be on the disk can not be unsaid.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

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
from timed.wallet.pursuit import BODY_RULES
from timed.wallet.wallet import Doom, Prepared, Wallet

_log = Logger()

KEPT = "The payment is in the wallet and goes its way: do not pay twice, ask gettransaction for it."
MERGE = "mergeutxos 2 256"
"""The call that makes one coin of as many as one payment can spend."""
TROUBLES: dict[str, tuple[int, str, str]] = {
    "input-duplicate": (INVALID_PARAMETER, "is named twice", "Name every coin once."),
    "input-missing": (NOT_FOUND, "is unknown or spent already", "listunspent shows the coins there are."),
    "input-pending": (
        INVALID_PARAMETER,
        "is not final yet",
        "It counts once its transaction is final: see gettransaction.",
    ),
    "input-foreign": (
        INVALID_PARAMETER,
        "is not this wallet's own",
        "walletcreatefundedtransaction takes it; have it signed where the key is.",
    ),
    "input-held": (
        INVALID_PARAMETER,
        "is spent by a payment that is under way",
        "Choose another one: listunspent shows them.",
    ),
    "input-locked": (
        INVALID_PARAMETER,
        "is locked: this node has voted for a transaction that spends it",
        "explaintransaction and gettxout show what stands in the way.",
    ),
    "input-unconfirmed": (
        INVALID_PARAMETER,
        "stands in no block yet",
        "Wait for the next block, or leave minconf out: a final coin is as good.",
    ),
    "coinbase-immature": (
        INVALID_PARAMETER,
        "is a reward that is too young",
        "A reward may be spent from the block after the one that paid it.",
    ),
}
"""What may be wrong with a coin that is named, by rule: code, problem, what to do."""


async def pay(
    env: Environment, wish: Wish, comment: str = "", comment_to: str = "", *, in_blocks: bool = False
) -> Prepared:
    """The payment once this node has accepted it; RpcError says why not.

    One that lacks only the change of payments under way waits for it (`timed.rpc.patience`).
    A refused one is given up and its coins are free. One that was not decided in time
    stays in the wallet; `data.txid` names it.
    """

    def attempt() -> Prepared:
        return env.wallet.pay(wish, comment, comment_to, env.chain.now(), in_blocks=in_blocks)

    with wallet_errors():
        prepared = await env.patience.find(env, attempt)
    await _kept(env, prepared)
    return prepared


@contextmanager
def wallet_errors() -> Iterator[None]:
    """The wallet's errors of planning, as a caller is to see them."""
    try:
        yield
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


def named_coins(
    env: Environment, outpoints: Iterable[OutPoint], param: str, *, in_blocks: bool = False
) -> tuple[OwnCoin, ...]:
    """The wallet's coins at these outpoints, each free to be spent; RpcError names the one that is not."""
    return check_named(
        env, outpoints, param, lambda outpoint: own_coin(env, outpoint, param), in_blocks=in_blocks
    )


def check_named(
    env: Environment,
    outpoints: Iterable[OutPoint],
    param: str,
    find: Callable[[OutPoint], OwnCoin],
    *,
    in_blocks: bool = False,
) -> tuple[OwnCoin, ...]:
    """What `find` gives for each outpoint; RpcError for one that is named twice or may not be spent now.

    With `in_blocks` each must stand in a block.
    """
    coins: dict[OutPoint, OwnCoin] = {}
    for outpoint in outpoints:
        if outpoint in coins:
            raise bad_coin(outpoint, param, "input-duplicate")
        coin = find(outpoint)
        rule = env.wallet.available.hindrance(coin)
        if not rule and in_blocks and coin.height is None:
            rule = "input-unconfirmed"
        if rule:
            raise bad_coin(outpoint, param, rule)
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
        raise bad_coin(outpoint, param, "input-missing")
    pending = coin is None and env.wallet.keys.owns(output.lock)
    raise bad_coin(outpoint, param, "input-pending" if pending else "input-foreign")


def bad_coin(outpoint: OutPoint, param: str, rule: str) -> RpcError:
    """What is wrong with the coin, by a rule of `TROUBLES`."""
    code, problem, hint = TROUBLES[rule]
    name = f"{outpoint.txid.hex()}:{outpoint.index}"
    return RpcError(code, f"The coin {name} {problem}", rule=rule, hint=hint, param=param)


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
        rule = error.data["rule"]
        if error.code == REJECTED and rule not in BODY_RULES and env.chain.status(transaction.txid) is None:
            await _take_back(env, wallet, transaction.txid, rule)
            raise
        raise RpcError(
            error.code, error.message, rule=rule, hint=KEPT, txid=transaction.txid.hex()
        ) from error


async def _take_back(env: Environment, wallet: Wallet, txid: bytes, rule: str) -> None:
    """This node has refused it, so nobody else has it: its coins are free, and the history says why.

    Doomed first: until that is on the disk nothing may hand it to the node again. When the
    disk takes nothing the payment holds its coins, for the next start will send it: RpcError.
    """
    wallet.doom(txid, Doom(rule))
    if env.own_chronicle is not None:
        try:
            await env.own_chronicle.release(txid, rule)
            return
        except LocalError as error:
            _log.warn(
                "the history lacks the refused payment {txid}: {reason}", txid=txid.hex(), reason=str(error)
            )
    wallet.abandoning(txid, rule)
    try:
        await env.write_wallet()
    except LocalError as error:
        raise RpcError(
            WALLET_ERROR,
            f"The node has refused the payment ({rule}), but that could not be written: {error.message}",
            rule="wallet-file",
            hint=f"{error.hint} {KEPT}",
            txid=txid.hex(),
        ) from error
    wallet.abandoned(txid)


def _short(error: InsufficientFunds) -> RpcError:
    """Insufficient funds, with what is missing, what stands in the way, and what to do."""
    funds = error.funds
    message = f"Insufficient funds: {error}{_hindered(funds)}"
    sums = {
        "needed": error.needed,
        "missing": error.missing,
        "available": funds.free,
        "in_payments": funds.in_payments,
        "locked": funds.locked,
        "set_aside": funds.set_aside,
        "immature": funds.immature,
        "unconfirmed": funds.unconfirmed,
        "watched": funds.watched,
    }
    data = {name: format_amount(units) for name, units in sums.items()}
    if error.missing:
        return RpcError(
            INSUFFICIENT_FUNDS, message, rule="insufficient-funds", hint=_advice(error.missing, funds), **data
        )
    return RpcError(
        INSUFFICIENT_FUNDS,
        message,
        rule="inputs-count",
        hint=f"One payment has no room for that many coins. Once they stand in blocks, make fewer of them, as "
        f"often as it takes: {MERGE}",
        **data,
    )


def _hindered(funds: Funds) -> str:
    """What of the wallet's money can not be spent now, and why."""
    parts = [
        f"{format_amount(units)} {why}"
        for units, why in (
            (funds.in_payments, "in payments under way"),
            (funds.locked, "locked by this node's votes"),
            (funds.set_aside, "set aside"),
            (funds.immature, "in young rewards"),
            (funds.unconfirmed, "in no block yet"),
            (funds.watched, "only watched"),
        )
        if units
    ]
    return f"; beside that {', '.join(parts)}" if parts else ""


def _advice(missing: int, funds: Funds) -> str:
    """What would help first."""
    if funds.unconfirmed >= missing:
        return "Wait for the next block, or leave minconf out: final coins are as good."
    if funds.set_aside >= missing:
        return "Free coins that you have set aside: listlockunspent, lockunspent true."
    if funds.in_payments + funds.locked + funds.immature >= missing:
        return "Coins that a payment under way uses come back as change once it is final: wait a moment."
    if funds.watched >= missing:
        return "Watched coins are spent where their key is: see walletcreatefundedtransaction."
    return "Receive more first, or pay less; with subtractfeefromamount the receiver bears the fee."
