"""The wallet's history in a running process: it follows the blocks step by step, and is asked.

Reading blocks and writing happen on the wallet's thread, a bounded step at a time,
so that neither the reactor nor a payment waits for long. A step that the disk
refuses is tried again after a pause that grows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import attrs
from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from timed.errors import LocalError, StoreError
from timed.events import PaymentReleased
from timed.loops import Steps
from timed.primitives.transaction import OutPoint, Output
from timed.rpc.backend import ChainBackend
from timed.wallet.historybook import HistoryBook, Step
from timed.wallet.records import RescanMark
from timed.wallet.underway import Underway
from timed.wallet.wallet import Wallet

T = TypeVar("T")
Thread = Callable[[Callable[[], Any]], Deferred[Any]]
"""Does a piece of work on the wallet's thread, in the order it was asked for, and tells its result."""

FIRST_RETRY_S = 1.0
LONGEST_RETRY_S = 60.0
MAX_WAITING = 1_000
"""Calls that wait until the newest block is in the history; one more is refused."""


class Chronicle:
    """Owns the history of one wallet. After `stop` no call is left; the book is closed by whoever ends the thread."""

    _log = Logger()

    def __init__(
        self,
        book: HistoryBook,
        wallet: Wallet,
        chain: ChainBackend,
        reactor: Any,
        thread: Thread,
        write: Callable[[], Deferred[None]],
    ) -> None:
        """`write` makes the wallet's outbox durable."""
        self.book = book
        self.underway = Underway(wallet, chain, self._recorded)
        self.status = Step(-1, -1, None)
        """What the last step came to."""
        self.failure: LocalError | None = None
        """Why the history does not go on, None while it does."""
        self.refused = 0
        self.released = 0
        """Payments that were released since the start."""
        self._releasing: dict[bytes, list[Deferred[None]]] = {}
        """Who waits for the end of a payment, by txid."""
        self._wallet = wallet
        self._chain = chain
        self._thread = thread
        self._write = write
        self._newborn: int | None = None
        self._names: frozenset[str] | None = None
        """The wallet's seeds as the history knows them."""
        self.compared: Deferred[None] = Deferred()
        """Fires once the wallet's open payments were looked up in the history, or that was tried in vain."""
        self._compared = False
        self._released_before: list[tuple[bytes, str]] = []
        self.steps = Steps(reactor, thread, self._begin)
        self._stopped = False
        self._retry_s = FIRST_RETRY_S
        self._waiting: list[Deferred[None]] = []

    @property
    def waiting(self) -> int:
        """Calls that wait for the newest block."""
        return len(self._waiting)

    def start(self, newborn: bool) -> None:
        """Begin to follow. A `newborn` wallet has no past: its history begins with the next block."""
        tip = self._chain.stored_tip()
        self._newborn = tip.height if newborn and tip is not None else None
        self.underway.begin(self._chain.now())
        self.wake()

    def published(self, event: object, now: int) -> None:
        """An event of the node; call `wake` as well when it is a block."""
        self.underway.published(event, now)

    def wake(self) -> None:
        """Take in what is new, unless that is under way; does nothing while a retry is waited for."""
        self.steps.now()

    @property
    def owes(self) -> bool:
        """A step is under way or there is a newer block; one that waits for a retry owes nothing."""
        if self._stopped or self.steps.timer_set:
            return False
        return self.steps.busy or self.status.height < self._chain.tip().height

    def stop(self) -> None:
        """Begin no further step; whoever waits is told so."""
        self._stopped = True
        self.steps.stop()
        self._tell(Failure(LocalError("the wallet is closed.", "The node stops.")))

    def caught_up(self) -> Deferred[None]:
        """Fires when every block of now is in the history; LocalError while the disk refuses it."""
        if self.failure is not None:
            return fail(self.failure)
        if self._stopped or len(self._waiting) >= MAX_WAITING:
            self.refused += 1
            return fail(LocalError("too many calls wait for the wallet's history.", "Try again soon."))
        if not self.steps.busy and self.status.height >= self._chain.tip().height:
            return succeed(None)
        done: Deferred[None] = Deferred()
        self._waiting.append(done)
        self.wake()
        return done

    def read(self, work: Callable[[HistoryBook], T]) -> Deferred[T]:
        """What `work` finds, on the wallet's thread: after everything that was begun before."""
        return self._thread(lambda: work(self.book))

    def rescan(self, first: int, last: int | None) -> Deferred[None]:
        """Read the blocks from `first` to `last` again, None: the newest of now; fires when that is durably begun."""
        self.underway.begin(self._chain.now())
        newest = self._chain.tip().height
        begun = self._thread(lambda: self._begin_rescan(first, newest if last is None else last))
        begun.addCallback(self._rescan_begun)
        return begun

    def _begin_rescan(self, first: int, last: int) -> RescanMark:
        self._open()
        return self.book.rescan(first, last)

    def _rescan_begun(self, mark: RescanMark) -> None:
        self.status = attrs.evolve(self.status, rescan=mark)
        self.wake()

    def release(self, txid: bytes, rule: str) -> Deferred[None]:
        """Keep in the history that a payment will never be, then free its coins; both durable when it answers.

        Whoever asks while that is under way hears the same. A payment that is none any more is left alone.
        LocalError when it could not be done yet.
        """
        waiting = self._releasing.get(txid)
        if waiting is None and self._wallet.payment(txid) is None:
            return succeed(None)
        if waiting is not None and len(waiting) >= MAX_WAITING:
            self.refused += 1
            return fail(LocalError("too many calls wait for the end of this payment.", "Try again soon."))
        told: Deferred[None] = Deferred()
        if waiting is not None:
            waiting.append(told)
            return told
        self._releasing[txid] = [told]
        Deferred.fromCoroutine(self._release(txid, rule)).addBoth(self._tell_release, txid)
        return told

    def _tell_release(self, result: Failure | None, txid: bytes) -> None:
        for told in self._releasing.pop(txid):
            told.callback(Failure(result.value) if isinstance(result, Failure) else None)

    async def _release(self, txid: bytes, rule: str) -> None:
        recorded = await self._record_release(txid, rule)
        if self._wallet.payment(txid) is None:
            return
        self._wallet.abandoning(txid, rule)
        try:
            await self._write()
        except LocalError as error:
            if not recorded:
                raise
            # The next start finds it in the history, and lets go of it.
            self._log.error("the wallet could not be written: {reason}", reason=str(error))
        self._wallet.abandoned(txid)
        self.released += 1
        self._chain.tell(PaymentReleased(txid, rule))

    async def _record_release(self, txid: bytes, rule: str) -> bool:
        """False for a payment that moves nothing of this wallet's: the history has no place for it."""
        entry = self.underway.entry(txid)
        if entry is None or entry.foreign:
            if not self.status.done:
                raise LocalError(
                    "the payment's coins are not known yet: the history is being read.",
                    "getwalletinfo shows how far it is.",
                )
            if entry is None:
                return False
        found = entry
        height, time = self._chain.tip().height, self._chain.now()

        def keep() -> None:
            self._open()
            self.book.release(found, height=height, time=time, reason=rule)

        await self._thread(keep)
        return True

    def _not_written(self, failure: Failure) -> None:
        self._log.error("the wallet could not be written: {reason}", reason=failure.getErrorMessage())

    async def abort_rescan(self) -> bool:
        """False when nothing was being read again."""
        ended: bool = await self._thread(self.book.abort_rescan)
        if ended:
            self.status = attrs.evolve(self.status, rescan=None)
        return ended

    def _recorded(self, outpoint: OutPoint) -> Output | None:
        """From the event loop, too: a history that can not be read must not stop the events."""
        try:
            return self.book.output(outpoint) if self.book.opened else None
        except StoreError as error:
            self._say(error)
            return None

    def _say(self, error: LocalError) -> None:
        if self.failure is None:
            self._log.error("the wallet's history does not go on: {reason}", reason=str(error))
        self.failure = error

    def _begin(self) -> None:
        self.steps.run(self._work).addCallbacks(self._stepped, self._failed)

    def _work(self) -> Step:
        """On the wallet's thread; of the wallet it only looks things up."""
        self._open()
        known: tuple[bytes, ...] = ()
        names = self._wallet.keys.names()
        if names != self._names:
            if self.book.belong(names) and self._names is None:
                self._log.warn("the history was another wallet's: the blocks are read again")
            self._names = names
        if not self._compared:
            known = self._compare()
            self._compared = True
        with self._chain.store.snapshot() as chain:
            step = self.book.step(chain, self._wallet.keys.watches, self._wallet.made)
        return attrs.evolve(step, txids=known + step.txids)

    def _open(self) -> None:
        if not self.book.opened:
            self.book.open(self._newborn)

    def _compare(self) -> tuple[bytes, ...]:
        """Payments of the wallet file that the history holds already: a process has ended before it could let go
        of them, or the file is an older copy. Released ones must not be sent again."""
        held = [
            entry for txid in self._wallet.unrecorded_txids() if (entry := self.book.entry(txid)) is not None
        ]
        self._released_before = [(entry.txid, entry.reason) for entry in held if entry.released]
        return tuple(entry.txid for entry in held if not entry.released)

    def _stepped(self, step: Step) -> None:
        self._retry_s = FIRST_RETRY_S
        if self.failure is not None:
            self.failure = None
            self._log.info("the wallet's history goes on at block {height}", height=step.height)
        self.status = step
        self._wallet.recorded(step.txids)
        self._end_released()
        self._tell_compared()
        for lock in step.locks:
            self._wallet.keys.saw(lock)
        if self._wallet.outbox and not self._stopped:
            self._write().addErrback(self._not_written)
        if step.caught_up and step.height >= self._chain.tip().height:
            self._tell(None)
        if not (step.done and step.height >= self._chain.tip().height):
            self.steps.after(0)

    def _end_released(self) -> None:
        released, self._released_before = self._released_before, []
        for txid, reason in released:
            self._wallet.abandon(txid, reason)

    def _failed(self, failure: Failure) -> None:
        if self._stopped:
            return
        error = failure.value
        if not isinstance(error, LocalError):
            failure.raiseException()
        self._say(error)
        self._tell_compared()
        self._tell(Failure(error))
        self.steps.after(self._retry_s)
        self._retry_s = min(LONGEST_RETRY_S, 2 * self._retry_s)

    def _tell_compared(self) -> None:
        if not self.compared.called:
            self.compared.callback(None)

    def _tell(self, result: Failure | None) -> None:
        waiting, self._waiting = self._waiting, []
        for done in waiting:
            done.callback(result)
