"""The way in: a price for each ordinary call, then its place in the queue, then its time.

Administrators pass at once. See `budget` for the price, `lanes` for the queue.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from timed.loops import Cause
from timed.params import SECOND
from timed.rpc.budget import Budgets
from timed.rpc.caller import Caller, Client
from timed.rpc.errors import CANCELLED, MISC, Busy, RpcError, cancelled, stopping
from timed.rpc.lanes import Full, Lanes
from timed.rpc.method import Method

if TYPE_CHECKING:
    from timed.app.schema import RPCSection
    from timed.app.watchdog import Watchdog

FULL_RETRY_S = 1
LANES_S = 20.0
"""Ordinary calls that wait for a turn so long, while none is let through, wait in vain."""
KEYS = ("rpc.budget_per_s", "rpc.deadline_s")
"""What `regulate` follows."""


def watch_lanes(loops: Watchdog, lanes: Lanes) -> Callable[[], None]:
    """Enter the turns of ordinary calls; what is returned ends that."""
    return loops.add(
        "rpc-turns", lambda: lanes.turns, LANES_S, "An administrator's calls pass: timed-cli stop, then start.",
        restart=lanes.ask, owes=lambda: len(lanes) > 0, cause=lambda: Cause.DIED,
    )  # fmt: skip


class Toll:
    """`admit` and `within` of a dispatcher; after `close` nothing waits any more."""

    def __init__(self, reactor: Any, budget_per_s: int, deadline_s: int) -> None:
        self._reactor = reactor
        self.deadline_s = deadline_s
        """Longest time of a call that does not wait on purpose; may be changed at any time."""
        self.budgets = Budgets(budget_per_s)
        self.lanes = Lanes(lambda turn: reactor.callLater(0, turn))
        self.late = 0
        """Calls that were ended because they took too long."""
        self._slowed: dict[Deferred[None], None] = {}
        self._closed = False

    def regulate(self, settings: RPCSection) -> None:
        """Follow these settings from now on."""
        self.budgets.per_second, self.deadline_s = settings.budget_per_s, settings.deadline_s

    def admit(self, caller: Caller, method: Method) -> Awaitable[None] | None:
        """None to go on at once, else what to wait for; Busy when it is not worth waiting."""
        if caller.passes:
            return None
        client = caller.client
        wait = self.budgets.charge(client, method.cost, int(self._reactor.seconds() * SECOND))
        if wait < 0:
            raise Busy(
                429,
                -wait,
                f"The budget of {caller.user!r} is spent",
                rule="budget-spent",
                hint="Call less often or for less: x-cost in rpc.discover is the price of each method.",
            )
        if wait and self._closed:
            raise stopping()
        return self._slow(wait, client, method.cost) if wait else self._enter(client, method.cost)

    def within(self, method: Method, result: Awaitable[Any]) -> Awaitable[Any]:
        """The result, or RpcError once the call has taken longer than it may."""
        if method.patient:
            return result
        running: Deferred[Any]
        running = ensureDeferred(result) if inspect.iscoroutine(result) else result  # type: ignore[assignment]
        running.addTimeout(self.deadline_s, self._reactor, _too_late)
        return self._in_time(method, running)

    def close(self) -> None:
        """Send those home that wait for their budget."""
        self._closed = True
        for slowed in list(self._slowed):
            slowed.cancel()

    async def _in_time(self, method: Method, running: Deferred[Any]) -> Any:
        try:
            return await running
        except DeferredTimeout:
            self.late += 1
            raise RpcError(
                MISC,
                f"{method.name} took longer than {self.deadline_s} s",
                rule="deadline",
                hint="Ask for less at a time, or raise rpc.deadline_s.",
            ) from None

    def _enter(self, client: Client, cost: int) -> Awaitable[None] | None:
        try:
            return self.lanes.enter(client, cost)
        except Full:
            raise Busy(
                503,
                FULL_RETRY_S,
                "The node has too many calls to answer",
                rule="calls-full",
                hint="Send it again in a moment.",
            ) from None

    async def _slow(self, wait_us: int, client: Client, cost: int) -> None:
        slowed: Deferred[None] = deferLater(self._reactor, wait_us / SECOND)
        self._slowed[slowed] = None
        try:
            await slowed
        except CancelledError:
            raise (stopping() if self._closed else cancelled()) from None
        finally:
            del self._slowed[slowed]
        turn = self._enter(client, cost)
        if turn is not None:
            await turn


def _too_late(result: Any, seconds: float) -> Any:
    """DeferredTimeout for what ended because it was cancelled at its deadline; the rest is as it is."""
    if isinstance(result, Failure):
        error = result.value
        if isinstance(error, CancelledError) or (
            isinstance(error, RpcError) and error.data["rule"] == CANCELLED
        ):
            raise DeferredTimeout(seconds, "Deferred")
    return result
