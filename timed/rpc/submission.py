"""Handing a transaction to the node and hearing what became of it."""

from __future__ import annotations

from timed import events
from timed.errors import InvalidTransaction
from timed.params import SECOND
from timed.primitives.transaction import Transaction
from timed.rpc.environment import Environment
from timed.rpc.errors import MISC, RpcError, rejected
from timed.rpc.waiting import is_decided

DECISION_US = 10 * SECOND
"""How long a signature check may keep a caller waiting."""


async def submit(env: Environment, transaction: Transaction) -> bytes:
    """The txid once this node has accepted the transaction, which is durable then; at once if it shows it as locked or more.

    One that waits for its inputs is not accepted: nobody has checked its signatures. One that is pending may
    be a peer's, and on no disk here.
    RpcError -26 with the rule when it is refused, -1 when nothing was decided in time.
    """
    chain = env.chain
    txid = transaction.txid
    known = chain.status(txid)
    if known is not None and known.state not in (events.WAITING, events.PENDING):
        return txid
    decided = env.waiters.wait(txid, is_decided, DECISION_US)
    try:
        chain.submit(transaction.raw)
    except InvalidTransaction as error:
        env.waiters.forget(decided)
        raise rejected(error) from error
    event = await decided
    if isinstance(event, events.TransactionDropped):
        raise rejected(InvalidTransaction(event.rule))
    if event is None:
        raise RpcError(
            MISC,
            "The node has not decided on the transaction in time",
            rule="submit-timeout",
            hint="Ask gettransaction later, or send it again.",
        )
    return txid
