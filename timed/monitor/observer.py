"""Counts what the node publishes; the metrics and the health checks read it."""

from __future__ import annotations

from collections import Counter

from zope.interface import implementer

from timed import events
from timed.interfaces import IEventSink

MAX_RULES = 256
"""Different rules counted apart; what is beyond shares one count."""
OTHER = "other"

_TRANSACTION_STEPS: dict[type, str] = {
    events.TransactionAccepted: "accepted",
    events.TransactionLocked: "locked",
    events.TransactionCertified: "certified",
    events.TransactionFinal: "final",
    events.TransactionReleased: "released",
    events.TransactionDropped: "dropped",
}


@implementer(IEventSink)
class EventCounts:
    """Counters since the start of the process."""

    name = "metrics"
    hears: frozenset[type] = frozenset(
        {
            *_TRANSACTION_STEPS, events.BlockCertified, events.PeerOpened, events.PeerClosed, events.PeerRefused,
            events.DoubleSpend, events.Equivocation,
        }
    )  # fmt: skip

    def __init__(self) -> None:
        self.blocks: Counter[str] = Counter()
        """Certified blocks: live, or fetched while catching up."""
        self.sessions: Counter[str] = Counter()
        """Sessions opened, closed, and closed although both ends wanted them."""
        self.transactions: Counter[str] = Counter()
        """Steps of transactions."""
        self.refused: Counter[tuple[str, str]] = Counter()
        """(what was refused, rule)."""
        self.double_spends = 0
        self.equivocations = 0
        self.equivocators: set[bytes] = set()
        """Operator keys of members that signed two conflicting things; at most `MAX_RULES`."""

    def published(self, event: object, now_us: int) -> None:
        """`IEventSink.published`."""
        step = _TRANSACTION_STEPS.get(type(event))
        if step is not None:
            self.transactions[step] += 1
        if isinstance(event, events.BlockCertified):
            self.blocks["live" if event.live else "fetched"] += 1
            self.transactions["confirmed"] += max(0, len(event.txids) - 1)
        elif isinstance(event, events.PeerOpened):
            self.sessions["opened"] += 1
        elif isinstance(event, events.PeerClosed):
            self.sessions["closed"] += 1
            self.sessions["reconnects"] += event.unwanted
        elif isinstance(event, events.PeerRefused):
            self._refuse("session", event.rule)
        elif isinstance(event, events.TransactionDropped):
            self._refuse("transaction", event.rule)
        elif isinstance(event, events.DoubleSpend):
            self.double_spends += 1
        elif isinstance(event, events.Equivocation):
            self.equivocations += 1
            if len(self.equivocators) < MAX_RULES:
                self.equivocators.add(event.member)

    def _refuse(self, what: str, rule: str) -> None:
        key = (what, rule)
        if key not in self.refused and len(self.refused) >= MAX_RULES:
            key = (what, OTHER)
        self.refused[key] += 1
