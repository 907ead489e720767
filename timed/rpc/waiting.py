"""Calls that wait for something to happen to a transaction, or for a block.

They wait for published events, never by asking again and again. Their number is
bounded; a wait ends by its event, by its time, or when the service stops.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer

from timed import events
from timed.interfaces import IEventSink
from timed.params import SECOND
from timed.rpc.errors import Busy, cancelled

MAX_WAITERS = 1_000
"""Waiting calls at one time; one more is refused with 503."""
RETRY_AFTER_S = 5

NEW_BLOCK = b"block"
"""What to wait for in place of a transaction; no transaction id is that short."""

Wanted = Callable[[object], bool]


class _Waiter:
    def __init__(self, txid: bytes, wanted: Wanted, forget: Callable[[Deferred[Any]], None]) -> None:
        self.txid = txid
        self.wanted = wanted
        self.done: Deferred[Any] = Deferred(forget)
        self.timer: IDelayedCall | None = None


@implementer(IEventSink)
class Waiters:
    """Deferreds that fire with the first wanted event about a transaction."""

    name = "rpc-waiters"
    hears: frozenset[type] = frozenset(
        {
            events.TransactionAccepted, events.TransactionKept, events.TransactionLocked, events.TransactionCertified,
            events.TransactionFinal, events.TransactionReleased, events.TransactionDropped, events.PaymentReleased,
            events.BlockCertified,
        }
    )  # fmt: skip

    def __init__(self, reactor: IReactorTime) -> None:
        self._reactor = reactor
        self._by_txid: dict[bytes, list[_Waiter]] = {}
        self._count = 0
        self._closed = False
        self.refused = 0

    def __len__(self) -> int:
        return self._count

    def wait(self, txid: bytes, wanted: Wanted, timeout_us: int) -> Deferred[Any]:
        """Fires with the event, or with None when the time is over; Busy when too many wait.

        To cancel it is to wait no longer.
        """
        if self._count >= MAX_WAITERS or self._closed:
            self.refused += 1
            raise Busy(
                503,
                RETRY_AFTER_S,
                "Too many calls are waiting",
                rule="waiters-full",
                hint="Wait for fewer transactions at once, or ask with gettransaction.",
            )
        waiter = _Waiter(txid, wanted, self._cancelled)
        waiter.timer = self._reactor.callLater(timeout_us / SECOND, self._end, waiter, None)
        self._by_txid.setdefault(txid, []).append(waiter)
        self._count += 1
        return waiter.done

    def forget(self, done: Deferred[Any]) -> None:
        """Nobody waits for `done` any more; it never fires."""
        for waiters in list(self._by_txid.values()):
            for waiter in list(waiters):
                if waiter.done is done:
                    self._remove(waiter)

    def _cancelled(self, done: Deferred[Any]) -> None:
        self.forget(done)
        done.errback(cancelled())

    def published(self, event: object, now_us: int) -> None:
        """`IEventSink.published`."""
        if not self._by_txid:
            return
        if isinstance(event, events.BlockCertified):
            for txid in (*event.txids, NEW_BLOCK):
                self._tell(txid, event)
        else:
            about: bytes | None = getattr(event, "txid", None)
            if about is not None:
                self._tell(about, event)

    def tell(self, subject: bytes, event: object) -> None:
        """End the waits for `event` about `subject`, which may be anything that two sides agree on."""
        self._tell(subject, event)

    def close(self) -> None:
        """End every wait as if its time were over; later ones are refused."""
        self._closed = True
        for waiters in list(self._by_txid.values()):
            for waiter in list(waiters):
                self._end(waiter, None)

    def _tell(self, txid: bytes, event: object) -> None:
        for waiter in list(self._by_txid.get(txid, ())):
            if waiter.wanted(event):
                self._end(waiter, event)

    def _end(self, waiter: _Waiter, event: object | None) -> None:
        if waiter in self._by_txid.get(waiter.txid, ()):
            self._remove(waiter)
            waiter.done.callback(event)

    def _remove(self, waiter: _Waiter) -> None:
        waiters = self._by_txid[waiter.txid]
        waiters.remove(waiter)
        if not waiters:
            del self._by_txid[waiter.txid]
        self._count -= 1
        if waiter.timer is not None and waiter.timer.active():
            waiter.timer.cancel()


def is_decided(event: object) -> bool:
    """True when the node has accepted or dropped the transaction, or more."""
    return isinstance(
        event,
        events.TransactionAccepted
        | events.TransactionKept
        | events.TransactionCertified
        | events.TransactionFinal
        | events.TransactionDropped
        | events.BlockCertified,
    )


def is_settled(event: object) -> bool:
    """True when the transaction is final, in a block, or dropped."""
    return isinstance(event, events.TransactionFinal | events.TransactionDropped | events.BlockCertified)
