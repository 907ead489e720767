"""The wallet in a running process: its file, its thread, its scan, and sending again.

Writing happens on one thread; what is asked for while a write is under way shares
the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from timed.errors import LocalError, StoreError, WalletFull
from timed.events import BlockCertified, TransactionAccepted, TransactionDropped, TransactionFinal
from timed.interfaces import Coin, IEventSink
from timed.loops import Cause
from timed.params import SECOND
from timed.primitives.transaction import OutPoint
from timed.rpc.backend import ChainBackend
from timed.rpc.chronicle import Chronicle
from timed.rpc.custody import Custody
from timed.rpc.worker import ThreadWorker, Worker
from timed.wallet.derivation import account_path
from timed.wallet.historybook import HistoryBook
from timed.wallet.phrase import ENTROPY_BYTES
from timed.wallet.pursuit import Pursuit
from timed.wallet.wallet import Doom, Payment, Wallet
from timed.wallet.walletfile import WalletFile
from timed.wallet.walletkey import WalletSeed

if TYPE_CHECKING:
    from timed.app.watchdog import Watchdog

T = TypeVar("T")

SCAN_STEP = 2_000
"""Coins looked at in one turn of the reactor."""
MIN_SHRUNK = 1_000
"""Records that may be done with before the file is written anew at a start."""
FIRST_RETRY_S = 1.0
LONGEST_RETRY_S = 60.0
"""A scan that the store refuses is begun again after this long, then after twice as long, up to the second."""


WRITE_S, HISTORY_S, SCAN_S, PURSUIT_S = 60.0, 120.0, 60.0, 60.0
"""A write, a step of the history or of a scan, or a payment that is due, and takes longer: stuck."""


@implementer(IEventSink)
class WalletHost:
    """Owns the wallet of one node while the RPC service runs."""

    name = "wallet"
    hears = frozenset({TransactionAccepted, TransactionFinal, TransactionDropped, BlockCertified})
    """As its wallet, chronicle and pursuit; what is doomed or has to be written follows from these."""
    _log = Logger()

    def __init__(
        self,
        path: str,
        chain: ChainBackend,
        reactor: Any,
        entropy: Callable[[int], bytes],
        worker: Worker | None = None,
    ) -> None:
        self.wallet = Wallet(chain, entropy)
        self._file = WalletFile(path, chain.params.name)
        self._chain = chain
        self._entropy = entropy
        self._reactor = reactor
        self.custody = Custody(self, reactor, entropy)
        book = HistoryBook(f"{path}.history", chain.genesis.hash)
        self.chronicle = Chronicle(book, self.wallet, chain, reactor, self._in_thread, self.write)
        self.pursuit = Pursuit(self.wallet, chain, self._doomed)
        self._pursuit_call: IDelayedCall | None = None
        self._pursuit_due: int | None = None
        self._worker: Worker = ThreadWorker(reactor, "timed-wallet") if worker is None else worker
        self._running = False
        self._waiting: list[Deferred[None]] = []
        self._busy = False
        self._shrinking = False
        """The file is being written anew, because its journal has grown."""
        self._idle: list[Deferred[None]] = []
        self._scan: Iterator[tuple[OutPoint, Coin]] | None = None
        self._scan_call: IDelayedCall | None = None
        self._scanned: list[Deferred[None]] = []
        """Who waits for the end of a scan."""
        self._retry_s = FIRST_RETRY_S
        self.scans = self.writes = self.pursuits = 0
        """Steps of a scan, writes of the file and turns of the pursuit that came to their end."""

    def start(self, seed: bytes | None) -> None:
        """Load the file and begin the scan; LocalError when the wallet cannot be used.

        `seed` is a key that a new wallet begins with.
        """
        keys = self.wallet.keys
        records = self._file.load()
        self.wallet.restore(records)
        newborn = not len(keys) and seed is None
        if not len(keys):
            keys.plant(WalletSeed.of(self._entropy(ENTROPY_BYTES), "", account_path(self._chain.params)))
        if seed is not None and not keys.locked:
            keys.adopt(seed, "regtest")
        keys.refill()
        self._file.append(self.wallet.take_outbox())
        self._running = True
        self._chain.subscribe(self)
        self.chronicle.start(newborn)
        self.chronicle.compared.addCallback(self._begin_pursuit)
        self.chronicle.caught_up().addCallbacks(
            self._shrink, self._not_caught_up, callbackArgs=(len(records),)
        )
        self._scan = self._chain.coins()
        self._step()

    def published(self, event: object, now_us: int) -> None:
        """`IEventSink.published`."""
        if not self._running:
            return
        self.wallet.published(event)
        self.chronicle.published(event, now_us)
        self.pursuit.published(event, now_us)
        if isinstance(event, BlockCertified):
            self.chronicle.wake()
        self._pursue()
        if self.wallet.outbox:
            # A coin has come to an address that was not handed out here.
            self._keep()

    def write(self) -> Deferred[None]:
        """Fires when everything now in the wallet's outbox is durable; LocalError otherwise."""
        done: Deferred[None] = Deferred()
        self._waiting.append(done)
        if not self._busy:
            self._write()
        return done

    def replace(self, *, wipe: bool = False) -> Deferred[None]:
        """Put what the wallet holds now into a new file instead of the old one and its journal; WalletFull
        when it would be too long."""
        records, pending = self.wallet.records(), self.wallet.take_outbox()
        waiting, self._waiting = self._waiting, []

        def work(file: WalletFile) -> WalletFull | None:
            try:
                file.compact(records, wipe=wipe)
            except WalletFull as full:
                file.append(pending)
                return full
            return None

        def worked(result: WalletFull | Failure | None) -> Failure | None:
            # What those who wait wanted written was in the outbox, and may be durable where the new file is not.
            _tell(waiting, result)
            return Failure(result) if isinstance(result, WalletFull) else result

        # Whoever leaves ends its own wait: the others' writes are as far as the file is.
        replaced: Deferred[None] = Deferred()
        self.on_disk(work).addBoth(worked).addBoth(self._replaced, replaced)
        return replaced

    def _replaced(self, result: Failure | None, told: Deferred[None]) -> None:
        if not told.called:
            told.callback(result)
        elif result is not None:
            self._not_written(result)

    def on_disk(self, work: Callable[[WalletFile], T]) -> Deferred[T]:
        """Do `work` on the wallet's thread: after what was begun before, before what comes later."""
        if not self._running:
            return fail(LocalError("the wallet is closed."))
        return self._worker.run(lambda: work(self._file))

    def rescan(self) -> Deferred[None]:
        """Read the set of coins again; fires when every coin of today's keys is known."""
        done: Deferred[None] = Deferred()
        self._scanned.append(done)
        self.wallet.begin_scan()
        self._scan = self._chain.coins()
        if self._scan_call is None:
            self._step()
        return done

    def rescan_blocks(self, first: int, last: int | None) -> Deferred[None]:
        """Read these blocks again for the history, None: up to the newest; fires when that is durably begun."""
        return self.chronicle.rescan(first, last)

    def watch(self, loops: Watchdog) -> list[Callable[[], None]]:
        """Enter the loops of the wallet; what is returned ends that.

        The file is never begun again: whether what its thread was given is on the disk is not known then.
        """
        look = "Look at the disk (dmesg, iostat -x 1), then restart the node: open payments are sent again."

        def cause() -> Cause:
            return Cause.THREAD if self._worker.inside else Cause.WAITS

        history = self.chronicle.steps
        return [
            loops.add("wallet-file", lambda: self.writes, WRITE_S, look, owes=lambda: self._busy, cause=cause),
            loops.add(
                "wallet-history", lambda: history.answered, HISTORY_S, look, restart=history.restart,
                owes=lambda: self.chronicle.owes,
                cause=lambda: Cause.THREAD if self._worker.inside else history.cause,
            ),
            loops.add(
                "wallet-scan", lambda: self.scans, SCAN_S, "Restart the node: it reads its coins again.",
                restart=self.restart_scan, owes=self._scan_owes, cause=lambda: Cause.DIED,
            ),
            loops.add(
                "wallet-pursuit", lambda: self.pursuits, PURSUIT_S, "Restart the node: open payments are sent again.",
                restart=self.restart_pursuit, owes=self._pursuit_owes, cause=lambda: Cause.DIED,
            ),
        ]  # fmt: skip

    def _scan_owes(self) -> bool:
        """A scan is under way; one that waits to be tried again owes nothing."""
        retry_set = self._scan_call is not None and self._scan_call.active()
        return self._scan is not None or (self.wallet.trouble is not None and not retry_set)

    def _pursuit_owes(self) -> bool:
        due = self.pursuit.next_wake() if self._running and self.wallet.ready else None
        return due is not None and due < self._chain.now()

    def stop(self) -> Deferred[None]:
        """Write what is left and release file and thread."""
        if not self._running:
            return succeed(None)
        if self._scan_call is not None and self._scan_call.active():
            self._scan_call.cancel()
        self._scan = None
        self._cancel_pursuit()
        self.chronicle.stop()
        self.custody.close()
        self._tell_scanned(Failure(LocalError("the wallet is closed.", "The node stops.")))
        finished: Deferred[None] = Deferred()
        self._idle.append(finished)
        if not self._busy:
            self._write()
        finished.addBoth(self._release)
        return finished

    def let_go(self) -> None:
        """What the end of a process does: nothing more is written, the files are closed."""
        self._running = False
        self.chronicle.book.close()
        self._file.close()

    def _release(self, result: None) -> None:
        self._worker.stop()
        self.let_go()

    def _write(self) -> None:
        waiting, self._waiting = self._waiting, []
        records = self.wallet.take_outbox()
        if not waiting and not records:
            idle, self._idle = self._idle, []
            for done in idle:
                done.callback(None)
            return
        if not self._running:
            for done in waiting:
                done.errback(Failure(LocalError("the wallet is closed.")))
            return
        self._busy = True
        writing = self._worker.run(lambda: self._file.append(records))
        writing.addBoth(self._written, waiting)

    def _written(self, result: object, waiting: list[Deferred[None]]) -> None:
        self._busy = False
        self.writes += 1
        if isinstance(result, Failure) and not waiting:
            self._log.error("the wallet could not be written: {reason}", reason=result.getErrorMessage())
        _tell(waiting, result)
        if not self._busy and (self._waiting or self._idle):
            self._write()
        if not isinstance(result, Failure):
            self._shrink_grown()

    def _step(self) -> None:
        self._scan_call = None
        if self._scan is None:
            return
        try:
            entries = list(islice(self._scan, SCAN_STEP))
        except StoreError as error:
            self.scans += 1
            self._scan_failed(error)
            return
        if entries:
            self.wallet.scan(entries)
            self.scans += 1
            self._scan_call = self._reactor.callLater(0, self._step)
            return
        self._scan = None
        self._retry_s = FIRST_RETRY_S
        self.wallet.scanned()
        self._begin_pursuit()
        self._tell_scanned(None)

    def _begin_pursuit(self, compared: None = None) -> None:
        """Once the coins are known, and what the history has released: that is not sent again."""
        if self.wallet.ready and self.chronicle.compared.called and self._running:
            self.pursuit.begin(self._chain.now())
            self._pursue()

    def _scan_failed(self, error: StoreError) -> None:
        """Say so, and begin again from the start after a while: what was read may be of an older block."""
        self._log.error("the wallet could not read the set of coins: {reason}", reason=str(error))
        self.wallet.scan_failed(error)
        self._scan = None
        self._tell_scanned(Failure(error))
        self._scan_call = self._reactor.callLater(self._retry_s, self._scan_again)
        self._retry_s = min(LONGEST_RETRY_S, 2 * self._retry_s)

    def restart_scan(self) -> None:
        """Read the coins from the start again, whatever became of the scan."""
        if self._scan_call is not None and self._scan_call.active():
            self._scan_call.cancel()
        self._scan_call = None
        self._scan_again()

    def _scan_again(self) -> None:
        self.wallet.begin_scan()
        self._scan = self._chain.coins()
        self._step()

    def _tell_scanned(self, result: Failure | None) -> None:
        waiting, self._scanned = self._scanned, []
        for done in waiting:
            done.callback(result)

    def _pursue(self) -> None:
        """Send again what is due, and come back when more is."""
        if not self._running or not self.wallet.ready:
            return
        self.pursuit.wake(self._chain.now())
        self.pursuits += 1
        due = self.pursuit.next_wake()
        if due == self._pursuit_due:
            return
        self._cancel_pursuit()
        if due is not None:
            wait = max(0, due - self._chain.now()) / SECOND
            self._pursuit_due, self._pursuit_call = due, self._reactor.callLater(wait, self._woken)

    def _woken(self) -> None:
        self._pursuit_due = self._pursuit_call = None
        self._pursue()

    def restart_pursuit(self) -> None:
        """Set its timer anew, whatever became of the last one."""
        self._cancel_pursuit()
        self._pursue()

    def _cancel_pursuit(self) -> None:
        if self._pursuit_call is not None and self._pursuit_call.active():
            self._pursuit_call.cancel()
        self._pursuit_due = self._pursuit_call = None

    def _doomed(self, payment: Payment, doom: Doom) -> None:
        self.chronicle.release(payment.txid, doom.rule).addErrback(self._not_released, payment.txid)

    def _not_released(self, failure: Failure, txid: bytes) -> None:
        self._log.warn(
            "the payment {txid} can never be final, and cannot be released yet: {reason}",
            txid=txid.hex(),
            reason=failure.getErrorMessage(),
        )

    def _in_thread(self, work: Callable[[], T]) -> Deferred[T]:
        return self.on_disk(lambda file: work())

    def _keep(self) -> None:
        self.write().addErrback(self._not_written)

    def _shrink(self, result: None, loaded: int) -> None:
        """The file held `loaded` records: when most of them are done with, write it anew."""
        if loaded > MIN_SHRUNK + 2 * len(self.wallet.records()):
            self.replace().addErrback(self._not_written)

    def _shrink_grown(self) -> None:
        """Bound the journal of a process that runs for long, also while it writes without a pause."""
        if self._running and self._file.grown and not self._shrinking and not self.wallet.outbox:
            self._shrinking = True
            self.replace().addErrback(self._not_written).addBoth(self._shrunk)

    def _shrunk(self, result: None) -> None:
        self._shrinking = False

    def _not_caught_up(self, failure: Failure) -> None:
        """The chronicle has said why; the file stays as long as it is."""
        failure.trap(LocalError)

    def _not_written(self, failure: Failure) -> None:
        self._log.error("the wallet could not be written: {reason}", reason=failure.getErrorMessage())


def _tell(waiting: list[Deferred[None]], result: object) -> None:
    """What they waited for is durable, or failed."""
    for done in waiting:
        if isinstance(result, Failure):
            done.errback(Failure(result.value))
        else:
            done.callback(None)
