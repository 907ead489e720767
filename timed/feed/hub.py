"""Who follows the events: places, turns, heartbeats, and the end of whoever does not read.

A subscription is a place in the log, never a queue: while its transport takes nothing
more, nothing is kept for it but where it is. For one thread; time is a parameter.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator
from typing import Protocol

import attrs
from twisted.logger import Logger

from timed.errors import LocalError, StoreError
from timed.feed.cursor import Ends
from timed.feed.event import Filter
from timed.feed.log import CursorLost
from timed.feed.window import Page, Window

PAGES_PER_TURN = 32
"""Pages that one turn of the reactor hands out."""
HEARTBEAT_S = 15.0
"""A subscription that had nothing for this long is told that it lives, and where it is."""
LOOK_S = 1.0
"""Between two looks at who had nothing for long."""
STALL_S = 60.0
"""Whoever took or acknowledged nothing for this long, though something waits for it, is cut."""

SLOW, STALLED, LOST, STOPPED, FAILED = "slow", "stalled", "cursor-lost", "stopping", "failed"
DISMISSED, REFUSED = "dismissed", "refused"
"""Why a subscription ends; the client's own end is none of them."""


class SubscribersFull(LocalError):
    """There are as many subscriptions as may be; `rule` says of whom."""

    def __init__(self, rule: str, most: int, whose: str) -> None:
        super().__init__(
            f"{whose} {most} subscriptions already.",
            "End one first, or raise the bound in the section [feed].",
        )
        self.rule = rule


class Timer(Protocol):
    """A call that was asked for and has not been made."""

    def cancel(self) -> object: ...


Later = Callable[[float, Callable[[], None]], Timer]
"""Makes a call on this thread after so many seconds."""


class Reader(Protocol):
    """The transport of one subscription."""

    kind: str
    """How it is shown: sse, websocket."""

    def send(self, page: Page) -> None:
        """Hand the page's events over to be written. May call `Subscription.pause` before it returns."""

    def beat(self, cursor: str) -> None:
        """Say that the subscription lives; everything wanted up to `cursor` was sent."""

    def end(self, reason: str, cursor: str, detail: str) -> None:
        """Say why it is over and close soon, also when nobody reads. The subscription is gone already."""


Client = tuple[str, str]
"""Account and address."""


@attrs.frozen
class Limits:
    """Bounds of a hub: subscriptions in all and of one client, and bytes that may wait for one."""

    total: int
    each: int
    waiting_bytes: int

    def check(self, client: Client, total: int, each: int) -> None:
        """SubscribersFull when `total` of all clients, or `each` of this one, leave no room for one more."""
        if total >= self.total:
            raise SubscribersFull("subscribers-full", self.total, "This node has")
        if each >= self.each:
            raise SubscribersFull("client-full", self.each, f"{client[0]!r} from {client[1]} has")


@attrs.define(eq=False)
class Subscription:
    """One reader: what it wants and the last event it was sent."""

    hub: Hub
    reader: Reader
    client: Client
    wanted: Filter
    sequence: int
    since: float
    window: int = 0
    """Events that may be unacknowledged; 0 when it need not acknowledge."""
    sent: int = 0
    acknowledged: int | None = None
    paused: bool = False
    """Its transport takes nothing more for now."""
    waiting_bytes: int = 0
    """What came for it since it was paused."""
    last_sent: float = 0.0
    number: int = 0
    paused_at: float = 0.0
    queued: bool = False
    _counted: int = 0
    _unacknowledged: deque[int] = attrs.field(factory=deque)

    @property
    def cursor(self) -> str:
        return self.hub.ends.cursor(self.sequence)

    def held(self) -> bool:
        """Nothing may be sent now."""
        return self.paused or bool(self.window and len(self._unacknowledged) >= self.window)

    def pause(self) -> None:
        """The transport is full."""
        if not self.paused:
            self.paused = True
            self._hold()

    def resume(self) -> None:
        """The transport takes more."""
        if self.paused:
            self.paused = False
            self._go_on()

    def acknowledge(self, sequence: int) -> None:
        """The client has everything up to this event."""
        was_held = self.held()
        while self._unacknowledged and self._unacknowledged[0] <= sequence:
            self._unacknowledged.popleft()
        self.acknowledged = max(sequence, self.acknowledged or 0)
        if was_held and not self.held():
            self._go_on()

    def leave(self) -> None:
        """The client has gone; a second time does nothing."""
        self.hub.remove(self)

    def look(self) -> bool:
        """Hand over one page; True when there may be more at once."""
        if self.held():
            self._count()
            return False
        page = self.hub.window.page(self.sequence, self.wanted)
        if page.end == self.sequence:
            return False
        if page.events:
            self.reader.send(page)
            self.sent += len(page.events)
            self.last_sent = self.hub.now()
            if self.window:
                self._unacknowledged.extend([event.sequence for event in page.events])
        self.sequence = page.end
        if self.held():
            self._hold()
        return self.sequence < self.hub.window.newest

    def _hold(self) -> None:
        self.paused_at = self.hub.now()
        self.waiting_bytes = 0
        self._counted = max(self.hub.window.newest, self.sequence)

    def _go_on(self) -> None:
        self.waiting_bytes = 0
        self.hub.ready(self)

    def _count(self) -> None:
        """How much waits; whoever lets too much wait is cut."""
        while self._counted < self.hub.window.newest:
            page = self.hub.window.page(self._counted, self.wanted)
            if page.end == self._counted:
                return
            self._counted = page.end
            self.waiting_bytes += page.size
            if self.waiting_bytes > self.hub.limits.waiting_bytes:
                self.hub.end(self, SLOW, f"more than {self.hub.limits.waiting_bytes} bytes waited to be read")
                return


class Hub:
    """All subscriptions of a process. After `stop` none is left, and no call."""

    _log = Logger()

    def __init__(
        self,
        window: Window,
        limits: Limits,
        later: Later,
        now: Callable[[], float],
    ) -> None:
        self.window = window
        self.limits = limits
        self.now = now
        self.ended: Counter[str] = Counter()
        """Subscriptions that this side ended, by reason."""
        self.refused: Counter[str] = Counter()
        self.listeners: list[Callable[[int], None]] = []
        """Called with the newest sequence number whenever it has grown."""
        self._later = later
        self._subscriptions: dict[Subscription, None] = {}
        self._by_client: Counter[Client] = Counter()
        self._ready: deque[Subscription] = deque()
        self._turn_call: Timer | None = None
        self._look_call: Timer | None = None
        self._log_id = ""
        self._number = 0
        self._stopped = False
        self.looks = 0
        """Looks at all subscriptions that came to their end, one every `LOOK_S` while there are any."""

    def __len__(self) -> int:
        return len(self._subscriptions)

    def __iter__(self) -> Iterator[Subscription]:
        return iter(tuple(self._subscriptions))

    @property
    def ends(self) -> Ends:
        return self.window.ends

    def check_cursor(self, cursor: str) -> int:
        """The place of a cursor from which all that came after it can be had; BadCursor, CursorLost, StoreError."""
        ends = self.ends
        sequence = self.window.sequence_of(cursor)
        if sequence + 1 < ends.first:
            raise CursorLost(sequence + 1, ends.first - 1)
        return sequence

    def subscribe(
        self, reader: Reader, client: Client, wanted: Filter, cursor: str, window: int = 0
    ) -> Subscription:
        """Begin after `cursor`; BadCursor, CursorLost, SubscribersFull, StoreError."""
        sequence = self.check_cursor(cursor)
        self._check_room(client)
        now = self.now()
        self._number += 1
        made = Subscription(
            self, reader, client, wanted, sequence, now, window, last_sent=now, number=self._number
        )
        self._subscriptions[made] = None
        self._by_client[client] += 1
        self._log_id = self.ends.log_id
        self.ready(made)
        if self._look_call is None:
            self._look_call = self._later(LOOK_S, self._look_at_all)
        return made

    def woken(self) -> None:
        """The log has grown."""
        if self._subscriptions and self.ends.log_id != self._log_id:
            for each in tuple(self._subscriptions):
                self.end(each, LOST, "this node began a new event log")
        for each in self._subscriptions:
            self.ready(each)
        for listener in self.listeners:
            listener(self.window.newest)

    def ready(self, subscription: Subscription) -> None:
        """Give it a turn."""
        if not subscription.queued and subscription in self._subscriptions:
            subscription.queued = True
            self._ready.append(subscription)
            if self._turn_call is None:
                self._turn_call = self._later(0, self._turn)

    def end(self, subscription: Subscription, reason: str, detail: str) -> None:
        """End it from this side: it is told its cursor, with which it loses nothing when it comes back."""
        if subscription in self._subscriptions:
            self.ended[reason] += 1
            self.remove(subscription)
            subscription.reader.end(reason, subscription.cursor, detail)

    def remove(self, subscription: Subscription) -> None:
        if subscription in self._subscriptions:
            del self._subscriptions[subscription]
            self._by_client[subscription.client] -= 1
            if not self._by_client[subscription.client]:
                del self._by_client[subscription.client]

    def stop(self) -> None:
        """End all of them; later ones are refused."""
        self._stopped = True
        for each in tuple(self._subscriptions):
            self.end(each, STOPPED, "the node stops")
        for call in (self._turn_call, self._look_call):
            if call is not None:
                call.cancel()
        self._turn_call = self._look_call = None

    def restart(self) -> None:
        """Ask for both calls anew, whatever became of them."""
        if self._stopped:
            return
        for call in (self._turn_call, self._look_call):
            if call is not None:
                call.cancel()
        self._turn_call = self._later(0, self._turn)
        self._look_call = self._later(0, self._look_at_all)

    def _check_room(self, client: Client) -> None:
        if self._stopped:
            self.refused["stopping"] += 1
            raise SubscribersFull("stopping", 0, "The node stops; it takes no more than")
        try:
            self.limits.check(client, len(self._subscriptions), self._by_client[client])
        except SubscribersFull as error:
            self.refused[error.rule] += 1
            raise

    def _turn(self) -> None:
        self._turn_call = None
        for _ in range(min(PAGES_PER_TURN, len(self._ready))):
            one = self._ready.popleft()
            one.queued = False
            if one in self._subscriptions and self._look(one):
                self.ready(one)
        if self._ready and self._turn_call is None:
            self._turn_call = self._later(0, self._turn)

    def _look(self, one: Subscription) -> bool:
        try:
            return one.look()
        except CursorLost as error:
            self.end(one, LOST, str(error))
        except StoreError as error:
            self.end(one, FAILED, str(error))
        except Exception:  # noqa: BLE001 - a bug with one reader must not hold up the others
            self._log.failure("a subscription raised")
            self.end(one, FAILED, "internal error")
        return False

    def _look_at_all(self) -> None:
        """Heartbeats, and whoever has read nothing for long."""
        self._look_call = None
        now = self.now()
        for each in tuple(self._subscriptions):
            if each.held():
                if not each.paused and not each.waiting_bytes:
                    each.paused_at = now
                elif now - each.paused_at >= STALL_S:
                    self.end(each, STALLED, f"nothing was read for {STALL_S:g} s")
            elif now - each.last_sent >= HEARTBEAT_S and each.sequence >= self.window.newest:
                each.last_sent = now
                each.reader.beat(each.cursor)
        if self._subscriptions:
            self._look_call = self._later(LOOK_S, self._look_at_all)
        self.looks += 1
