"""How long transactions take from one stage to the next, as this node sees it."""

from __future__ import annotations

from collections import OrderedDict

from zope.interface import implementer

from timed import events
from timed.interfaces import IEventSink
from timed.monitor.histogram import Histogram
from timed.params import SECOND

LOCKED, CERTIFIED, FINAL, CONFIRMED = "locked", "certified", "final", "confirmed"
STAGES = (LOCKED, CERTIFIED, FINAL, CONFIRMED)
MAX_FOLLOWED = 50_000
"""Transactions under way that are timed; the oldest is let go for one more."""

_STAGE_OF: dict[type, str] = {
    events.TransactionLocked: LOCKED,
    events.TransactionCertified: CERTIFIED,
    events.TransactionFinal: FINAL,
}


@implementer(IEventSink)
class StageTimes:
    """Seconds since this node accepted a transaction, by the stage it reached."""

    name = "stage-times"
    hears = frozenset(
        {events.TransactionAccepted, events.BlockCertified, events.TransactionDropped, *_STAGE_OF}
    )

    def __init__(self) -> None:
        self.since_accepted = {stage: Histogram() for stage in STAGES}
        self.let_go = 0
        """Transactions that were followed no longer because too many were under way."""
        self._accepted: OrderedDict[bytes, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._accepted)

    def published(self, event: object, now_us: int) -> None:
        """`IEventSink.published`."""
        if isinstance(event, events.TransactionAccepted):
            self._follow(event.txid, now_us)
        elif isinstance(event, events.BlockCertified):
            for txid in event.txids:
                self._reached(CONFIRMED, self._accepted.pop(txid, None), now_us)
        elif isinstance(event, events.TransactionDropped):
            self._accepted.pop(event.txid, None)
        elif type(event) in _STAGE_OF:
            accepted = self._accepted.get(event.txid)  # type: ignore[attr-defined]
            self._reached(_STAGE_OF[type(event)], accepted, now_us)

    def _follow(self, txid: bytes, now_us: int) -> None:
        if len(self._accepted) >= MAX_FOLLOWED:
            self._accepted.popitem(last=False)
            self.let_go += 1
        self._accepted.setdefault(txid, now_us)

    def _reached(self, stage: str, accepted_us: int | None, now_us: int) -> None:
        """A clock that was set back counts as no time."""
        if accepted_us is not None:
            self.since_accepted[stage].observe(max(0, now_us - accepted_us) / SECOND)
