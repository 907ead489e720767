"""Whose call is computed next: an administrator's at once, the others in their order, a slice per turn.

A thousand connections may bring a call each in one turn of the reactor. Without
slices an administrator's call that comes last would wait for all of them.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from functools import partial

from twisted.internet.defer import Deferred

from timed.rpc.caller import Client

COST_PER_TURN = 50
"""Price units of ordinary calls that one turn computes, about 5 ms; one call is always let through."""
MAX_QUEUED = 2_000
"""Calls that wait for a turn; one more is refused."""
MAX_QUEUED_EACH = 500
"""Of one client, so that it leaves room for the others."""


class Full(Exception):
    """As many calls wait as may."""


class Lanes:
    """`enter` before each ordinary call. `later` runs its argument in the next turn."""

    def __init__(self, later: Callable[[Callable[[], None]], object]) -> None:
        self._later = later
        self._queued: deque[tuple[Client, int, Deferred[None]]] = deque()
        self._of_client: Counter[Client] = Counter()
        self._spent = 0
        self._armed = False
        self._asked = 0
        """Turns that were asked for; only the last of them comes."""
        self.turns = 0
        self.waited = 0
        self.refused = 0

    def __len__(self) -> int:
        return len(self._queued)

    def enter(self, client: Client, cost: int) -> Deferred[None] | None:
        """None when the call may be computed now, else what fires when it may; Full when too many wait."""
        if not self._queued and self._has_room():
            self._spend(cost)
            return None
        if len(self._queued) >= MAX_QUEUED or self._of_client[client] >= MAX_QUEUED_EACH:
            self.refused += 1
            raise Full
        turn: Deferred[None] = Deferred()
        self._queued.append((client, cost, turn))
        self._of_client[client] += 1
        self.waited += 1
        return turn

    def _has_room(self) -> bool:
        return self._spent < COST_PER_TURN

    def _spend(self, cost: int) -> None:
        self._spent += cost
        if not self._armed:
            self.ask()

    def ask(self) -> None:
        """Ask for the next turn, whatever became of one that was asked for before."""
        self._armed = True
        self._asked += 1
        self._later(partial(self._next_turn, self._asked))

    def _next_turn(self, number: int) -> None:
        if number != self._asked:
            return
        self.turns += 1
        self._armed = False
        self._spent = 0
        while self._queued and self._has_room():
            client, cost, turn = self._queued.popleft()
            self._of_client[client] -= 1
            if not self._of_client[client]:
                del self._of_client[client]
            self._spend(cost)
            turn.callback(None)
