"""The wallet in a running process: its file, its thread, its scan, and sending again.

Writing happens on one thread; what is asked for while a write is under way shares
the next one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool
from zope.interface import implementer

from timed.errors import InvalidTransaction, LocalError, StoreError
from timed.events import BlockCertified
from timed.interfaces import Coin, IEventSink
from timed.primitives.transaction import OutPoint
from timed.rpc.backend import CONFIRMED, ChainBackend
from timed.rpc.chronicle import Chronicle
from timed.rpc.custody import Custody
from timed.wallet.derivation import account_path
from timed.wallet.historybook import HistoryBook
from timed.wallet.phrase import ENTROPY_BYTES
from timed.wallet.wallet import Payment, Wallet
from timed.wallet.walletfile import WalletFile
from timed.wallet.walletkey import WalletSeed

T = TypeVar("T")

SCAN_STEP = 2_000
"""Coins looked at in one turn of the reactor."""
MIN_SHRUNK = 1_000
"""Records that may be done with before the file is written anew at a start."""
MAX_RESENT = 100
"""Payments sent again after one block."""
MAX_ATTEMPTS = 144
"""Blocks after which a payment that stays refused is given up."""
TEMPORARY = frozenset(
    {"input-missing", "mempool-full", "mempool-conflict", "coinbase-immature", "lock-height"}
)
"""Refusals that may pass: the payment is kept and sent again after the next block."""


@implementer(IEventSink)
class WalletHost:
    """Owns the wallet of one node while the RPC service runs."""

    name = "wallet"
    _log = Logger()

    def __init__(self, path: str, chain: ChainBackend, reactor: Any, entropy: Callable[[int], bytes]) -> None:
        self.wallet = Wallet(chain, entropy)
        self._file = WalletFile(path, chain.params.name)
        self._chain = chain
        self._entropy = entropy
        self._reactor = reactor
        self.custody = Custody(self, reactor, entropy)
        book = HistoryBook(f"{path}.history", chain.genesis.hash)
        self.chronicle = Chronicle(book, self.wallet, chain, reactor, self._in_thread, self._keep)
        self._pool: ThreadPool | None = None
        self._waiting: list[Deferred[None]] = []
        self._busy = False
        self._idle: list[Deferred[None]] = []
        self._scan: Iterator[tuple[OutPoint, Coin]] | None = None
        self._scan_call: IDelayedCall | None = None
        self._scanned: list[Deferred[None]] = []
        """Who waits for the end of a scan."""
        self._attempts: Counter[bytes] = Counter()

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
        self._pool = ThreadPool(minthreads=0, maxthreads=1, name="timed-wallet")
        self._pool.start()
        self._chain.subscribe(self)
        self.chronicle.start(newborn)
        self.chronicle.caught_up().addCallbacks(
            self._shrink, self._not_caught_up, callbackArgs=(len(records),)
        )
        self._scan = self._chain.coins()
        self._step()

    def published(self, event: object, now_us: int) -> None:
        """`IEventSink.published`."""
        if self._pool is None:
            return
        self.wallet.published(event)
        self.chronicle.published(event, now_us)
        if isinstance(event, BlockCertified):
            self.chronicle.wake()
            if event.live and self.wallet.ready:
                self._send_again()
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
        """Put what the wallet holds now into a new file instead of the old one and its journal."""
        records = self.wallet.records()
        self.wallet.take_outbox()
        return self.on_disk(lambda file: file.compact(records, wipe=wipe))

    def on_disk(self, work: Callable[[WalletFile], T]) -> Deferred[T]:
        """Do `work` on the wallet's thread: after what was begun before, before what comes later."""
        if self._pool is None:
            return fail(LocalError("the wallet is closed."))
        return deferToThreadPool(self._reactor, self._pool, work, self._file)

    def rescan(self) -> Deferred[None]:
        """Read the set of coins again; fires when every coin of today's keys is known."""
        done: Deferred[None] = Deferred()
        self._scanned.append(done)
        self.wallet.begin_scan()
        self._scan = self._chain.coins()
        if self._scan_call is None:
            self._step()
        return done

    def stop(self) -> Deferred[None]:
        """Write what is left and release file and thread."""
        if self._pool is None:
            return succeed(None)
        if self._scan_call is not None and self._scan_call.active():
            self._scan_call.cancel()
        self._scan = None
        self.chronicle.stop()
        self.custody.close()
        self._tell_scanned(Failure(LocalError("the wallet is closed.", "The node stops.")))
        finished: Deferred[None] = Deferred()
        self._idle.append(finished)
        if not self._busy:
            self._write()
        finished.addBoth(self._release)
        return finished

    def _release(self, result: None) -> None:
        if self._pool is not None:
            self._pool.stop()
            self._pool = None
        self.chronicle.book.close()
        self._file.close()

    def _write(self) -> None:
        waiting, self._waiting = self._waiting, []
        records = self.wallet.take_outbox()
        if not waiting and not records:
            idle, self._idle = self._idle, []
            for done in idle:
                done.callback(None)
            return
        if self._pool is None:
            for done in waiting:
                done.errback(Failure(LocalError("the wallet is closed.")))
            return
        self._busy = True
        writing = deferToThreadPool(self._reactor, self._pool, self._file.append, records)
        writing.addBoth(self._written, waiting)

    def _written(self, result: object, waiting: list[Deferred[None]]) -> None:
        self._busy = False
        if isinstance(result, Failure) and not waiting:
            self._log.error("the wallet could not be written: {reason}", reason=result.getErrorMessage())
        for done in waiting:
            if isinstance(result, Failure):
                done.errback(Failure(result.value))
            else:
                done.callback(None)
        if not self._busy and (self._waiting or self._idle):
            self._write()

    def _step(self) -> None:
        self._scan_call = None
        if self._scan is None:
            return
        try:
            entries = list(islice(self._scan, SCAN_STEP))
        except StoreError as error:
            self._log.error("the wallet could not read the set of coins: {reason}", reason=str(error))
            self._tell_scanned(Failure(error))
            return
        if entries:
            self.wallet.scan(entries)
            self._scan_call = self._reactor.callLater(0, self._step)
            return
        self._scan = None
        self.wallet.scanned()
        self._send_again()
        self._tell_scanned(None)

    def _tell_scanned(self, result: Failure | None) -> None:
        waiting, self._scanned = self._scanned, []
        for done in waiting:
            done.callback(result)

    def _send_again(self) -> None:
        """Hand every stored payment that the node does not hold to it once more."""
        before = len(self.wallet.outbox)
        for payment in self.wallet.unsent()[:MAX_RESENT]:
            status = self._chain.status(payment.txid)
            if status is not None and status.state == CONFIRMED:
                self.wallet.settle(payment.txid)
                continue
            try:
                self._chain.submit(payment.transaction.raw)
            except InvalidTransaction as error:
                self._refused(payment, error)
        if len(self.wallet.outbox) > before:
            self._keep()

    def _refused(self, payment: Payment, error: InvalidTransaction) -> None:
        self._attempts[payment.txid] += 1
        if error.rule in TEMPORARY and self._attempts[payment.txid] < MAX_ATTEMPTS:
            return
        del self._attempts[payment.txid]
        self.wallet.abandon(payment.txid)
        self._log.warn(
            "the payment {txid} was given up, its coins are free again: {reason}",
            txid=payment.txid.hex(),
            reason=str(error),
        )

    def _in_thread(self, work: Callable[[], T]) -> Deferred[T]:
        return self.on_disk(lambda file: work())

    def _keep(self) -> None:
        self.write().addErrback(self._not_written)

    def _shrink(self, result: None, loaded: int) -> None:
        """The file held `loaded` records: when most of them are done with, write it anew."""
        if loaded > MIN_SHRUNK + 2 * len(self.wallet.records()):
            self.replace().addErrback(self._not_written)

    def _not_caught_up(self, failure: Failure) -> None:
        """The chronicle has said why; the file stays as long as it is."""
        failure.trap(LocalError)

    def _not_written(self, failure: Failure) -> None:
        self._log.error("the wallet could not be written: {reason}", reason=failure.getErrorMessage())
