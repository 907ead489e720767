"""What a node publishes, as log lines: one table, one line per event an operator would act on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
from twisted.logger import Logger, LogLevel
from zope.interface import implementer

from timed import events
from timed.interfaces import IEventSink
from timed.params import SECOND


@attrs.frozen
class Line:
    """How one kind of event is written; `text` names the event's fields."""

    level: LogLevel
    text: str


LINES: Mapping[type, Line] = {
    events.PeerOpened: Line(LogLevel.info, "connected with {node_id} at {address}"),
    events.PeerClosed: Line(LogLevel.info, "session with {node_id} at {address} ended: {reason}"),
    events.PeerUnreachable: Line(
        LogLevel.warn, "no answer from {address}, which is configured: {reason}; it is dialled again"
    ),
    events.PeerRefused: Line(LogLevel.warn, "no session with {address}: {why}"),
    events.PeerBanned: Line(LogLevel.warn, "banned {node_id} at {address} for {seconds} s: {reason}"),
    events.PeerMessage: Line(LogLevel.info, "{name} {direction} {node_id} at {address}, {size} bytes"),
    events.TransactionAccepted: Line(LogLevel.debug, "transaction {txid} accepted"),
    events.TransactionKept: Line(LogLevel.debug, "transaction {txid} kept for a user"),
    events.TransactionLocked: Line(LogLevel.debug, "transaction {txid} locked in epoch {epoch}"),
    events.TransactionCertified: Line(LogLevel.debug, "transaction {txid} certified in epoch {epoch}"),
    events.TransactionFinal: Line(LogLevel.debug, "transaction {txid} final in epoch {epoch}"),
    events.TransactionReleased: Line(LogLevel.debug, "transaction {txid} released after epoch {epoch}"),
    events.TransactionDropped: Line(LogLevel.debug, "transaction {txid} dropped: {rule}"),
    events.PaymentReleased: Line(
        LogLevel.info, "the payment {txid} of this wallet was released, its coins are free again: {rule}"
    ),
    events.DoubleSpend: Line(
        LogLevel.warn, "double spend in epoch {epoch}: {first} holds the lock, {second} came"
    ),
    events.EpochReported: Line(LogLevel.debug, "epoch {epoch} reported with {transactions} transactions"),
    events.BlockCertified: Line(LogLevel.info, "block {height} {block_hash}, {count} payments"),
    events.Equivocation: Line(
        LogLevel.error, "member {member} signed two conflicting {what} at height {height}"
    ),
    events.ClockOff: Line(
        LogLevel.error,
        "the clock is off by {offset_us} us against the members'; signing nothing until it is set",
    ),
    events.ClockRight: Line(LogLevel.info, "the clock is right again ({offset_us} us off); signing"),
    events.SafetyFailure: Line(LogLevel.critical, "this node has stopped voting: {what}"),
}

SPARED = Line(LogLevel.warn, "dry run: would have banned {node_id} at {address} for {seconds} s: {reason}")
LOST = Line(LogLevel.warn, "session with {node_id} at {address} was lost: {reason}")
"""A session that ended although both ends wanted it."""

CLOSED = Line(LogLevel.info, "session with {node_id} at {address} ended there: {reason}")
"""The other end said goodbye."""

REFUSED = Line(LogLevel.warn, "no session with {address}, ended there: {why}")
"""The other end refused, or was gone before the session opened."""

EVERYDAY = frozenset({"duplicate", "feeler"})
"""Two nodes that dial each other give up one of the two sessions, and an address is looked at now and
then without a session: that is how it should be."""

REPLACED_US = 10 * SECOND
"""So long after one of two sessions with a node was given up the other one is no news: it was told already that
the node is connected. As long as a handshake may take."""
MAX_REPLACED = 1_000
"""Nodes of which that is remembered; of more, the newest."""

SYNC_STRIDE = 1000
"""While catching up, one block in so many gets a line."""


@implementer(IEventSink)
class EventLog:
    """Writes each published event as `LINES` says; bytes are shown as hexadecimal."""

    name = "log"
    hears = frozenset(LINES)

    def __init__(self, log: Logger | None = None) -> None:
        self._log = log if log is not None else Logger(namespace="timed.node")
        self._replaced: dict[bytes, int] = {}
        """When a session was given up for the other one with the same node, by node id; oldest first."""

    def published(self, event: object, now_us: int) -> None:
        line = LINES.get(type(event))
        if isinstance(event, events.PeerClosed) and event.unwanted:
            line = LOST
        elif isinstance(event, events.PeerClosed) and not event.ours:
            line = CLOSED
        elif isinstance(event, events.PeerRefused) and not event.ours:
            line = REFUSED
        elif isinstance(event, events.PeerBanned) and not event.done:
            line = SPARED
        if line is None:
            return
        no_news = self._replaces(event, now_us) or _is_everyday(event)
        level = LogLevel.debug if no_news else line.level
        if isinstance(event, events.BlockCertified) and not event.live and event.height % SYNC_STRIDE:
            level = LogLevel.debug
        self._log.emit(level, line.text, **_shown(event))

    def _replaces(self, event: object, now_us: int) -> bool:
        """The session that stays of two that crossed, opened after the other one had been told of."""
        if isinstance(event, events.PeerClosed):
            self._replaced.pop(event.node_id, None)
            if event.reason == "duplicate":
                self._replaced[event.node_id] = now_us
                if len(self._replaced) > MAX_REPLACED:
                    del self._replaced[next(iter(self._replaced))]
        elif isinstance(event, events.PeerOpened):
            ended = self._replaced.pop(event.node_id, None)
            return ended is not None and 0 <= now_us - ended <= REPLACED_US
        return False


def _is_everyday(event: object) -> bool:
    if isinstance(event, events.PeerRefused):
        return event.rule in EVERYDAY
    return isinstance(event, events.PeerClosed) and event.reason in EVERYDAY


def _shown(event: Any) -> dict[str, object]:
    fields: dict[str, object] = {}
    for field in attrs.fields(type(event)):
        value = getattr(event, field.name)
        fields[field.name] = value.hex() if isinstance(value, bytes) else value
    if isinstance(event, events.BlockCertified):
        fields["count"] = len(event.txids) - 1
    elif isinstance(event, events.PeerRefused):
        fields["why"] = f"{event.rule}: {event.detail}" if event.detail else event.rule
    elif isinstance(event, events.PeerMessage):
        fields["direction"] = "to" if event.sent else "from"
    return fields
