"""Own payments after they were sent: handed to the node again until final, released when that can never be.

A signed payment that has left this node can be voted for at any later time, by
whoever still has it. Its coins are therefore free again only when no vote can make
it final any more: a final transaction spends one of them, or a rule that does not
depend on time forbids it. Waiting for long is no proof.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Protocol

import attrs

from timed import events
from timed.errors import InvalidTransaction
from timed.params import SECOND
from timed.wallet.wallet import Doom, Payment, Wallet, WalletChain

FIRST_US = 30 * SECOND
LONGEST_US = 1_800 * SECOND
"""From the first to the longest pause between two attempts; each is twice the one before."""
MAX_AT_ONCE = 100
"""Payments handed to the node in one turn."""
AGAIN_US = SECOND
"""When there are more of them than that, the rest goes on after this."""

REPEATED = (events.PENDING, events.WAITING, events.LOCKED)
"""States in which no quorum is known to have a payment."""

DEAD_RULES = frozenset(
    {
        "conflict-confirmed", "input-spent", "input-index", "input-duplicate", "inputs-count", "inputs-empty", "outputs-count",
        "outputs-empty", "output-dust", "lock-form", "transaction-bytes", "value-created", "fee-low",
        "signature", "witness-missing", "witness-excess", "witness-unused", "witness-order",
    }
)  # fmt: skip
"""Refusals that no time mends: they follow from the payment and from coins in blocks alone."""


BODY_RULES = frozenset({"signature", "witness-missing", "witness-excess", "witness-unused", "witness-order"})
"""Refusals of one body. An event names a txid, which witnesses are no part of: anybody who submits the
payment with other witnesses is told this, and it says nothing about the payment."""


class Standing(Protocol):
    """`timed.rpc.backend.TransactionStatus`."""

    @property
    def state(self) -> str: ...
    @property
    def final(self) -> bool: ...


class PursuitChain(WalletChain, Protocol):
    """The node, which is handed payments."""

    def submit(self, raw: bytes) -> bytes:
        """InvalidTransaction for what can be said at once; `TransactionDropped` may follow."""

    def status(self, txid: bytes) -> Standing | None:
        """None when the node knows nothing of it."""


@attrs.define
class Try:
    """The attempts for one payment; `at` is when the next is due, in microseconds."""

    at: int
    pause: int = FIRST_US
    attempts: int = 0
    refusal: str = ""
    """The rule of the last refusal, empty when the node has it."""
    may_have_left: bool = True
    """False while the node has refused it every time since it was made: then nobody else has it."""


class Pursuit:
    """Every open payment of one wallet, by txid. Time comes as `now`, in microseconds."""

    def __init__(
        self, wallet: Wallet, chain: PursuitChain, doomed: Callable[[Payment, Doom], object]
    ) -> None:
        """`doomed` is told, once in a while, of a payment that can never be final, until it is released."""
        self._wallet = wallet
        self._chain = chain
        self._doomed = doomed
        self._tries: dict[bytes, Try] = {}
        self._queue: list[tuple[int, bytes]] = []
        self.resent = 0
        self.refused: Counter[str] = Counter()
        """Attempts that the node refused, by rule."""
        wallet.took = self._took

    def __len__(self) -> int:
        return len(self._tries)

    def attempt(self, txid: bytes) -> Try | None:
        """How it stands with a payment, None when it is not pursued."""
        return self._tries.get(txid)

    def begin(self, now: int) -> None:
        """The wallet is ready: what an earlier process left open is due now."""
        for payment in self._wallet.payments:
            self._due(payment.txid, now)

    def published(self, event: object, now: int) -> None:
        """An event of the node, after the wallet has heard it. `wake` does what is due."""
        if isinstance(event, events.TransactionAccepted | events.TransactionFinal):
            attempt = self._tries.get(event.txid)
            if attempt is not None:
                attempt.may_have_left, attempt.refusal = True, ""
        elif isinstance(event, events.TransactionDropped):
            self._dropped(event.txid, event.rule, now)
        elif isinstance(event, events.BlockCertified) and event.live:
            for payment in self._wallet.unsent():
                self._due(payment.txid, now)
            self._clock_set_back(now)
        for txid in self._wallet.take_doomed():
            self._due(txid, now)

    def next_wake(self) -> int | None:
        """When `wake` has something to do; None while nothing is open."""
        while self._queue and not self._is_current(self._queue[0]):
            heappop(self._queue)
        return self._queue[0][0] if self._queue else None

    def wake(self, now: int) -> None:
        """Do what is due, MAX_AT_ONCE payments at the most."""
        for count in range(MAX_AT_ONCE + 1):
            at = self.next_wake()
            if at is None or at > now:
                return
            if count == MAX_AT_ONCE:
                self._postpone(now + AGAIN_US)
                return
            self._pursue(heappop(self._queue)[1], now)

    def may_release(self, txid: bytes) -> bool:
        """True for a payment that nobody but this node can have: it never left."""
        attempt = self._tries.get(txid)
        return (
            attempt is not None
            and not attempt.may_have_left
            and bool(attempt.refusal)
            and self._chain.status(txid) is None
        )

    def _took(self, payment: Payment) -> None:
        """A payment was stored and is about to be handed to the node."""
        self._schedule(payment.txid, Try(payment.created + FIRST_US, may_have_left=False))

    def _dropped(self, txid: bytes, rule: str, now: int) -> None:
        attempt, payment = self._tries.get(txid), self._wallet.payment(txid)
        if attempt is None or payment is None or rule in BODY_RULES:
            return
        attempt.refusal = rule
        self.refused[rule] += 1
        if rule in DEAD_RULES:
            self._wallet.doom(txid, Doom(rule))
            self._due(txid, now)

    def _pursue(self, txid: bytes, now: int) -> None:
        payment, attempt = self._wallet.payment(txid), self._tries[txid]
        if payment is None:
            del self._tries[txid]
            return
        attempt.attempts += 1
        attempt.at = now + attempt.pause
        attempt.pause = min(LONGEST_US, 2 * attempt.pause)
        # Before the attempt is made: one that raises must not be the last.
        heappush(self._queue, (attempt.at, txid))
        doom = self._wallet.doomed.get(txid)
        if doom is None:
            doom = self._send(payment, attempt)
        if self._wallet.payment(txid) is None:
            del self._tries[txid]
            return
        if doom is not None:
            self._wallet.doom(txid, doom)
            self._doomed(payment, doom)

    def _send(self, payment: Payment, attempt: Try) -> Doom | None:
        """Hand it over, also while the node has it and nobody has voted: others may have dropped it.

        The proof that it is dead, if there is one.
        """
        standing = self._chain.status(payment.txid)
        if standing is not None and standing.state not in REPEATED:
            if standing.state == events.CONFIRMED:
                self._wallet.settle(payment.txid)
            return None
        try:
            self._chain.submit(payment.transaction.raw)
        except InvalidTransaction as error:
            attempt.refusal = error.rule
            self.refused[error.rule] += 1
            return Doom(error.rule) if error.rule in DEAD_RULES else None
        self.resent += 1
        attempt.refusal = ""
        return None

    # The queue

    def _schedule(self, txid: bytes, attempt: Try) -> None:
        self._tries[txid] = attempt
        heappush(self._queue, (attempt.at, txid))
        if len(self._queue) > 2 * len(self._tries) + 64:
            self._queue = [(one.at, txid) for txid, one in self._tries.items()]
            heapify(self._queue)

    def _due(self, txid: bytes, now: int) -> None:
        attempt = self._tries.get(txid)
        if attempt is None:
            self._schedule(txid, Try(now))
        elif attempt.at > now:
            attempt.at = now
            self._schedule(txid, attempt)

    def _clock_set_back(self, now: int) -> None:
        """What was planned while the clock was ahead would wait for ever."""
        for txid in [txid for txid, one in self._tries.items() if one.at > now + LONGEST_US]:
            self._due(txid, now)

    def _postpone(self, at: int) -> None:
        """Nothing is due before `at`."""
        for attempt in self._tries.values():
            attempt.at = max(attempt.at, at)
        self._queue = [(one.at, txid) for txid, one in self._tries.items()]
        heapify(self._queue)

    def _is_current(self, item: tuple[int, bytes]) -> bool:
        attempt = self._tries.get(item[1])
        return attempt is not None and attempt.at == item[0]
