"""Payments that lack nothing but the change of payments under way: they wait for it, in a queue.

Change may be spent once its transaction is final, a fraction of a second later. A wallet
of few coins so makes any number of payments one after the other, and nobody is told of
insufficient funds that are back before he reads it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from twisted.internet.defer import DeferredLock

from timed.params import SECOND
from timed.rpc.waiting import NEW_BLOCK, is_settled
from timed.wallet.planning import InsufficientFunds

if TYPE_CHECKING:
    from timed.rpc.environment import Environment

T = TypeVar("T")

LONGEST_S = 10
"""How long a payment waits; then it is refused as if it had not."""
STEP_US = SECOND // 4
"""The longest time between two attempts."""
MAX_WAITING = 200
"""Payments that wait at one time; one more is refused at once."""


class Patience:
    """The queue of one wallet. `waited` counts the payments that got their coins late, `gave_up` the others."""

    def __init__(self) -> None:
        self._turn = DeferredLock()
        self.waiting = 0
        self.waited = 0
        self.gave_up = 0
        self.refused = 0
        """How often the queue was full."""

    async def find(self, env: Environment, attempt: Callable[[], T]) -> T:
        """What `attempt` gives, as soon as it does; its InsufficientFunds when waiting does not help.

        Only the first one in the queue tries again; whoever is not short of coins passes by.
        """
        try:
            return attempt()
        except InsufficientFunds as error:
            if not _comes_back(error):
                raise
            if self.waiting >= MAX_WAITING:
                self.refused += 1
                raise
        end = env.monotonic() + LONGEST_S
        self.waiting += 1
        try:
            await self._turn.acquire()
            try:
                found = await self._persist(env, attempt, end)
            finally:
                self._turn.release()
        except InsufficientFunds:
            self.gave_up += 1
            raise
        finally:
            self.waiting -= 1
        self.waited += 1
        return found

    async def _persist(self, env: Environment, attempt: Callable[[], T], end: float) -> T:
        while True:
            try:
                return attempt()
            except InsufficientFunds as error:
                left_us = int((end - env.monotonic()) * SECOND)
                if left_us <= 0 or not _comes_back(error):
                    raise
            await env.waiters.wait(_next_to_settle(env), is_settled, min(left_us, STEP_US))
            # The wallet hears of it in the same turn, perhaps after us.
            await env.pause()


def _comes_back(error: InsufficientFunds) -> bool:
    """True when payments under way hold what is missing."""
    return 0 < error.missing <= error.funds.in_payments


def _next_to_settle(env: Environment) -> bytes:
    """The oldest payment of the wallet that is not final, else the next block."""
    for payment in env.wallet.payments:
        status = env.chain.status(payment.txid)
        if status is None or not status.final:
            return payment.txid
    return NEW_BLOCK
