"""From what a node publishes to the events of the log."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Protocol

from timed import events
from timed.feed import event as types
from timed.feed.event import Draft
from timed.feed.records import LockTouch
from timed.feed.touching import touches_of
from timed.feed.writer import Touches, UpTo
from timed.params import SECOND
from timed.primitives.transaction import OutPoint, Output, Transaction

MAX_KNOWN = 20_000
"""Pending transactions whose locks are remembered; of more, a block's are found in the store."""
PEER_EVENTS = 600
"""Events about peers within `PEER_WINDOW_US`; peers cause them, so that more are only counted."""
PEER_WINDOW_US = 60 * SECOND


class Pending(Protocol):
    """What is asked of the node: `timed.rpc.backend.ChainBackend`."""

    def pending(self, txid: bytes) -> Transaction | None: ...
    def output(self, outpoint: OutPoint) -> Output | None: ...


class Teller:
    """Makes drafts of a node's events; for one thread."""

    def __init__(self, pending: Pending) -> None:
        self._pending = pending
        self._known: OrderedDict[bytes, tuple[LockTouch, ...]] = OrderedDict()
        self._peer_window_us = 0
        self._peer_events = 0
        self.skipped = 0
        """Events about peers that were only counted."""
        self._untold = 0
        self._tell: dict[type, Callable[..., Draft | UpTo | None]] = {
            events.TransactionAccepted: self._accepted,
            events.TransactionFinal: self._final,
            events.TransactionReleased: self._released,
            events.TransactionDropped: self._dropped,
            events.PaymentReleased: self._payment_released,
            events.BlockCertified: self._block,
            events.PeerOpened: self._opened,
            events.PeerClosed: self._closed,
            events.PeerBanned: self._banned,
        }

    @property
    def hears(self) -> frozenset[type]:
        """The events of which `told` may make something."""
        return frozenset(self._tell)

    def told(self, event: object, now_us: int) -> Iterator[Draft | UpTo]:
        """What the log is to hold of a published event; nothing for most kinds."""
        if self._untold and now_us - self._peer_window_us >= PEER_WINDOW_US:
            yield Draft.of(types.GAP, now_us, reason="peer-flood", events=self._untold)
            self._untold = 0
        make = self._tell.get(type(event))
        if make is not None:
            item = make(event, now_us)
            if item is not None:
                yield item

    def standing(self, transaction: Transaction, final: bool, epoch: int, now_us: int) -> Iterator[Draft]:
        """What must have been told of a pending transaction; the writer leaves out what was."""
        txid = transaction.txid
        yield Draft.of(types.ACCEPTED, now_us, txid, self._touches(txid))
        if final:
            yield Draft.of(types.FINAL, now_us, txid, self._touches(txid), epoch=epoch, by="votes")

    # Transactions and blocks

    def _accepted(self, event: events.TransactionAccepted, now_us: int) -> Draft:
        return Draft.of(types.ACCEPTED, now_us, event.txid, self._touches(event.txid))

    def _final(self, event: events.TransactionFinal, now_us: int) -> Draft:
        touches = self._touches(event.txid)
        return Draft.of(types.FINAL, now_us, event.txid, touches, epoch=event.epoch, by="votes")

    def _released(self, event: events.TransactionReleased, now_us: int) -> Draft:
        return Draft.of(types.RELEASED, now_us, event.txid, self._touches(event.txid), epoch=event.epoch)

    def _dropped(self, event: events.TransactionDropped, now_us: int) -> Draft | None:
        """A payment that was handed in a second time and refused has left nothing."""
        if self._pending.pending(event.txid) is not None:
            return None
        touches = self._known.pop(event.txid, ())
        return Draft.of(types.DROPPED, now_us, event.txid, touches, rule=event.rule)

    def _payment_released(self, event: events.PaymentReleased, now_us: int) -> Draft:
        return Draft.of(types.PAYMENT_RELEASED, now_us, event.txid, rule=event.rule)

    def _block(self, event: events.BlockCertified, now_us: int) -> UpTo:
        touches: Touches = {}
        for txid in event.txids:
            known = self._known.pop(txid, None)
            if known is not None:
                touches[txid] = known
        return UpTo(event.height, now_us, touches)

    def _touches(self, txid: bytes) -> tuple[LockTouch, ...]:
        """Of a transaction that waits for a block; nothing is kept of one that does not."""
        known = self._known.get(txid)
        if known is not None:
            return known
        transaction = self._pending.pending(txid)
        if transaction is None:
            return ()
        spent = [self._pending.output(outpoint) for outpoint in transaction.inputs]
        found = touches_of(transaction, [output for output in spent if output is not None])
        if None not in spent:
            self._known[txid] = found
            if len(self._known) > MAX_KNOWN:
                self._known.popitem(last=False)
        return found

    # Peers

    def _opened(self, event: events.PeerOpened, now_us: int) -> Draft | None:
        if not self._may_tell(now_us):
            return None
        return Draft.of(
            types.CONNECTED, now_us, event.node_id, address=event.address, outbound=event.outbound
        )

    def _closed(self, event: events.PeerClosed, now_us: int) -> Draft | None:
        if not self._may_tell(now_us):
            return None
        return Draft.of(
            types.LOST, now_us, event.node_id,
            address=event.address, reason=event.reason, unwanted=event.unwanted, ours=event.ours,
        )  # fmt: skip

    def _banned(self, event: events.PeerBanned, now_us: int) -> Draft | None:
        """A dry run bans nobody."""
        if not event.done or not self._may_tell(now_us):
            return None
        return Draft.of(
            types.BANNED, now_us, event.node_id,
            address=event.address, reason=event.reason, seconds=event.seconds,
        )  # fmt: skip

    def _may_tell(self, now_us: int) -> bool:
        if now_us - self._peer_window_us >= PEER_WINDOW_US or now_us < self._peer_window_us:
            self._peer_window_us, self._peer_events = now_us, 0
        self._peer_events += 1
        if self._peer_events > PEER_EVENTS:
            self.skipped += 1
            self._untold += 1
            return False
        return True
