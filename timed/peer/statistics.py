"""An open session in numbers, for whoever watches the node."""

from __future__ import annotations

import attrs

from timed.peer.clock import SteadyClock
from timed.peer.conduct import PeerClass
from timed.peer.outbox import Queue
from timed.peer.rates import Stock
from timed.peer.session import Session


@attrs.frozen
class PeerStatistics:
    """A session in numbers; times in microseconds, sizes in bytes."""

    node_id: bytes
    operator: bytes | None
    address: str
    outbound: bool
    kind: PeerClass
    opened_at: int
    """This and the next two in the host's time."""
    received_at: int
    sent_at: int
    bytes_received: int
    bytes_sent: int
    received: dict[str, int]
    """Messages per type."""
    sent: dict[str, int]
    received_bytes: dict[str, int]
    """Bytes per type, headers included, of messages that are complete."""
    sent_bytes: dict[str, int]
    unknown: int
    """Frames of types this version does not know."""
    over_rate: int
    """Messages that were left unread because they came too fast."""
    dropped: int
    """Messages of gossip that found no room."""
    withheld: int
    """Messages that the session's wire version does not have."""
    pauses: int
    """Times that its link was not read for a while."""
    sent_plain: int
    """Bytes of payloads that were sent compressed, before and after; then of those received."""
    sent_packed: int
    received_plain: int
    received_packed: int
    writes: dict[str, int]
    """Writes by the rule of batching that let them go."""
    frames: int
    largest_write: int
    last_transaction: int
    """When it delivered one that was news, in the host's time; 0 for never."""
    last_block: int
    round_trip: int | None
    round_trip_least: int | None
    clock_offset: int | None
    """How far the peer's clock is ahead of this node's."""
    queues: tuple[Queue, ...]
    """What waits, by class."""
    queued: int
    """Bytes that are not with the transport."""
    ahead: int
    """Bytes with the transport, not reported as drained."""
    unread: int
    """Messages that arrived and wait to be decoded."""
    unread_bytes: int
    paused: bool
    """Its link is not read at the moment."""
    requests: int
    """Waiting for an answer."""
    served: int
    """Requests of the peer that were not answered yet."""
    throttled_for: int
    """How much longer its requests and gossip are left unread."""
    rates: dict[str, Stock]
    """By rate bucket, what it may send."""
    score: float
    spent_ns: int
    """CPU time on its messages; 0 while nobody measures it."""


def statistics_of(
    session: Session, node_id: bytes, kind: PeerClass, score: float, clock: SteadyClock
) -> PeerStatistics:
    """The numbers of this moment."""
    outbox, now = session.outbox, clock.time
    return PeerStatistics(
        node_id=node_id,
        operator=session.operator,
        address=session.address,
        outbound=session.outbound,
        kind=kind,
        opened_at=session.opened_host_time,
        received_at=clock.host_time(session.life.heard_at),
        sent_at=clock.host_time(session.sent_at),
        **attrs.asdict(session.traffic),
        queues=outbox.queues(now),
        queued=outbox.queued,
        ahead=outbox.ahead,
        unread=session.lanes.messages,
        unread_bytes=session.lanes.bytes,
        paused=session.paused,
        requests=len(session.requests),
        served=len(session.served),
        throttled_for=max(0, session.allowance.throttled_until - now),
        rates=session.allowance.stocks(now),
        score=score,
        spent_ns=session.lanes.spent_ns,
    )
