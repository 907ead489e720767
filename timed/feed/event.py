"""What an event is: the table of types, how one is shown, and which ones a reader wants."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import attrs
import msgspec

from timed.errors import LocalError
from timed.feed.cursor import cursor_text
from timed.feed.records import LockTouch, StoredEvent
from timed.params import NetworkParams
from timed.primitives.address import encode_address
from timed.primitives.amounts import format_amount
from timed.primitives.transaction import LOCK_KEY_HASH, Lock

BLOCK = "block"
ACCEPTED, FINAL, CONFIRMED = "transaction.accepted", "transaction.final", "transaction.confirmed"
RELEASED, DROPPED = "transaction.released", "transaction.dropped"
PAYMENT_RELEASED = "payment.released"
JOINED, LEFT = "masternode.joined", "masternode.left"
MISSED, RETURNED = "masternode.missed", "masternode.returned"
CONNECTED, LOST, BANNED = "peer.connected", "peer.lost", "peer.banned"
RAISED, CLEARED = "alert.raised", "alert.cleared"
GAP = "gap"

TYPES: dict[str, tuple[str, str]] = {
    BLOCK: ("hash", "A block is certified and durable; its transactions follow as confirmed."),
    ACCEPTED: ("txid", "The mempool has taken a transaction."),
    FINAL: ("txid", "A transaction is final: once for each, at the latest with its block (`by`)."),
    CONFIRMED: ("txid", "A block holds the transaction, at `position`."),
    RELEASED: ("txid", "An epoch closed without it; it is voted on afresh."),
    DROPPED: ("txid", "It left the mempool without a block; `rule` says why."),
    PAYMENT_RELEASED: (
        "txid",
        "A payment of the wallet will never be final; its coins are free. `rule` says why. For who may use the wallet.",
    ),
    JOINED: ("operator", "A masternode is on the roster from `height` on."),
    LEFT: ("operator", "A masternode is not on the roster any more from `height` on."),
    MISSED: (
        "operator",
        "Six certificates in a row, the last of block `height`, lack its signature; one alone is only a late vote.",
    ),
    RETURNED: ("operator", "It was missed, and the certificate of block `height` has its signature."),
    CONNECTED: ("node_id", "A session with a peer is open."),
    LOST: ("node_id", "A session ended; `unwanted`: although both ends wanted it."),
    BANNED: ("node_id", "This node keeps a peer out for `seconds`."),
    RAISED: ("", "An alert is raised."),
    CLEARED: ("", "An alert is over."),
    GAP: ("", "Events are missing here; `reason` and its figures say which. Every reader receives it."),
}
"""By type: the name of the subject, empty where there is none, and what it means."""

OF_THE_WALLET = frozenset({PAYMENT_RELEASED})
"""Types that tell what this node's wallet did."""

FAMILIES = tuple(dict.fromkeys(name.partition(".")[0] for name in TYPES))
"""A family stands for all its types."""

CACHED_ADDRESSES = 65_536

_encoder = msgspec.json.Encoder()


@attrs.frozen
class Draft:
    """An event that has no sequence number yet."""

    type: str
    time_us: int
    subject: bytes = b""
    data: bytes = b"{}"
    touches: tuple[LockTouch, ...] = ()

    @classmethod
    def of(
        cls,
        kind: str,
        time_us: int,
        subject: bytes = b"",
        touches: tuple[LockTouch, ...] = (),
        **data: object,
    ) -> Draft:
        """`data` are the event's own members."""
        return cls(kind, time_us, subject, _encoder.encode(data), touches)

    def stored(self) -> StoredEvent:
        return StoredEvent(self.type, self.time_us, self.subject, self.data, self.touches)


class Event:
    """An event of the log. Its text is made when somebody wants it, and once for all of them."""

    __slots__ = ("_presenter", "_shown", "record", "sequence")

    def __init__(self, sequence: int, record: StoredEvent, presenter: Presenter) -> None:
        self.sequence = sequence
        self.record = record
        self._presenter = presenter
        self._shown: Shown | None = None

    @property
    def shown(self) -> Shown:
        if self._shown is None:
            self._shown = self._presenter.show(self)
        return self._shown


@attrs.define
class Shown:
    """The encodings of one event that all readers share."""

    cursor: str
    text: bytes
    """One JSON object in UTF-8, without a line feed."""
    stream: bytes
    """The same as a server-sent event."""


@attrs.frozen
class Filter:
    """Which events are wanted: of these types, and about these locks; empty sets want all.

    With locks only transactions come, namely those that give to or take from one of them.
    What is `hidden` from the reader never comes.
    """

    types: frozenset[str] = frozenset()
    locks: frozenset[Lock] = frozenset()
    hidden: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls, names: Iterable[str], locks: Iterable[Lock] = (), hidden: frozenset[str] = frozenset()
    ) -> Filter:
        """From types and families; LocalError for a name that is neither."""
        wanted: set[str] = set()
        for name in names:
            found = [each for each in TYPES if name in (each, each.partition(".")[0])]
            if not found:
                raise LocalError(
                    f"there is no type of event called {name[:64]!r}.", f"There are: {', '.join(TYPES)}."
                )
            wanted.update(found)
        return cls(frozenset(wanted), frozenset(locks), hidden)

    def wants(self, event: Event) -> bool:
        record = event.record
        if record.type == GAP:
            return True
        if record.type in self.hidden or (self.types and record.type not in self.types):
            return False
        return not self.locks or any(touch.lock in self.locks for touch in record.touches)


class Presenter:
    """Shows the events of one log on one network."""

    def __init__(self, params: NetworkParams) -> None:
        self.log_id = ""
        self.encoded = 0
        """Events that were encoded."""
        self._address = lru_cache(CACHED_ADDRESSES)(lambda lock: address_text(params, lock))

    def event(self, sequence: int, record: StoredEvent) -> Event:
        return Event(sequence, record, self)

    def show(self, event: Event) -> Shown:
        """Made anew; `Event.shown` keeps it."""
        self.encoded += 1
        cursor = cursor_text(self.log_id, event.sequence)
        text = self._text(event, cursor)
        stream = b"id: %s\nevent: %s\ndata: %s\n\n" % (
            cursor.encode("ascii"), event.record.type.encode("ascii"), text,
        )  # fmt: skip
        return Shown(cursor, text, stream)

    def _text(self, event: Event, cursor: str) -> bytes:
        record = event.record
        members = [record.data[1:-1]] if record.data != b"{}" else []
        subject = TYPES[record.type][0] if record.type in TYPES else ""
        if subject:
            members.insert(0, b'"%s":"%s"' % (subject.encode("ascii"), record.subject.hex().encode("ascii")))
        if record.touches:
            members.append(b'"addresses":[%s]' % b",".join(map(self._touch, record.touches)))
        return b'{"cursor":"%s","sequence":%d,"type":"%s","time_ms":%d,"data":{%s}}' % (
            cursor.encode("ascii"),
            event.sequence,
            record.type.encode("ascii"),
            record.time_us // 1_000,
            b",".join(members),
        )

    def _touch(self, touch: LockTouch) -> bytes:
        return b'{"address":"%s","received":%s,"spent":%s}' % (
            self._address(touch.lock).encode("ascii"),
            format_amount(touch.received).encode("ascii"),
            format_amount(touch.spent).encode("ascii"),
        )


def address_text(params: NetworkParams, lock: Lock) -> str:
    """The address of a lock; its encoding in hexadecimal where it has none."""
    if lock.kind == LOCK_KEY_HASH and len(lock.data) == 20:
        return encode_address(params, lock)
    return lock.encode().hex()
