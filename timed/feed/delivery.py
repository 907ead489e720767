"""One sink's way through the log: what it is given, when it is asked again, and how far it is.

A sink is a place in the log and never a queue: beside the batch that is under way nothing
is kept for it. Its place becomes durable after it has taken a batch, and the next batch is
sent after that: each event comes at least once, and again only after an end in between.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Callable

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from timed.errors import RemoteError, StoreError
from timed.feed.cursor import cursor_text
from timed.feed.event import Event
from timed.feed.hub import Later, Timer
from timed.feed.log import CursorLost
from timed.feed.records import Position
from timed.feed.window import PAGE_EVENTS, Window
from timed.interfaces import ISink

FIRST_S, MOST_S = 1.0, 300.0
"""Pauses after a batch that was not taken: doubled from the first to the last, each cut by chance."""
REFUSED_FIRST_S, REFUSED_MOST_S = 60.0, 3_600.0
"""The same after a refusal that time alone hardly mends."""
MOST_ASKED_S = 3_600.0
"""A receiver that asks for more patience is asked again after this."""
DISK_S = 10.0
"""Between two tries to read the log."""
SAVE_S = 60.0
"""Events that a sink does not want move its durable place at most so often."""
BATCH_BYTES = 1 << 20
"""Text of the events in a batch, unless one of them alone is longer."""
INTERNAL = "internal-error"
LOG_BOUNDS, NEW_LOG = "log-bounds", "new-log"
"""Why events are missing."""


class State(enum.Enum):
    """What a sink is doing; the values are shown."""

    OPENING = "waits for the log"
    CURRENT = "has everything"
    READING = "reads the log"
    SENDING = "sends"
    RETRYING = "was not taken, sent again soon"
    REFUSED = "was refused, sent again slowly"
    SAVING = "taken, its place is being written"
    STOPPED = "stopped"


class NotTaken(RemoteError):
    """A batch that its receiver does not have for good.

    `retry_after_s` is what the receiver asked for. `refused`: the same again will hardly
    do better. `too_large`: fewer events may do better.
    """

    def __init__(
        self,
        rule: str,
        detail: str = "",
        *,
        retry_after_s: float = 0.0,
        refused: bool = False,
        too_large: bool = False,
    ) -> None:
        super().__init__(rule, detail)
        self.retry_after_s = retry_after_s
        self.refused = refused
        self.too_large = too_large


@attrs.frozen
class Gap:
    """Events that a sink can not be given any more.

    `reason` is `log-bounds` (the numbers `first` to `last` had to make room) or `new-log`
    (the log after `cursor` was replaced by another one, which is told from its beginning).
    """

    reason: str
    cursor: str
    first: int = 0
    last: int = 0


@attrs.frozen
class Batch:
    """What a sink is given: perhaps a gap, then events in their order. `cursor` is the place after it."""

    events: tuple[Event, ...]
    gap: Gap | None
    position: Position
    cursor: str
    attempt: int = 1


@attrs.define
class DeliveryCounters:
    """Since the start of the process."""

    events: int = 0
    """Taken by the receiver."""
    batches: int = 0
    failures: Counter[str] = attrs.field(factory=Counter)
    """Batches that were not taken, by rule; each attempt counts."""
    lost: int = 0
    """Numbers of events that had left the log before the sink came to them."""


Save = Callable[[str, Position], Deferred[None]]
"""Makes the position of a sink durable."""


class Delivery:
    """Hands the log to one sink. `window`'s owner calls `woken` when the log has grown.

    After `stop` has fired no call and no request is left.
    """

    _log = Logger()

    def __init__(
        self,
        sink: ISink,
        window: Window,
        known: Callable[[str], Position | None],
        save: Save,
        later: Later,
        now: Callable[[], float],
        random: Callable[[], float],
    ) -> None:
        """`known` reads the durable position of a sink, None for a new one; `random` gives [0, 1)."""
        self.sink = sink
        self.counters = DeliveryCounters()
        self.state = State.OPENING
        self.failure: str | None = None
        """Why the batch that is under way was not taken yet, or why the log cannot be read."""
        self.attempt = 0
        """Of the batch that is under way; 0 when there is none."""
        self.next_try: float | None = None
        """When it is sent again, in seconds of `now`."""
        self.oldest_us: int | None = None
        """Unix time in microseconds of the oldest event that is not taken, as far as it was read."""
        self.position: Position | None = None
        """After the last event that was taken or not wanted; what is durable may be behind it."""
        self._window = window
        self._known = known
        self._save_position = save
        self._later = later
        self._now = now
        self._random = random
        self._most = sink.batch_events
        self._gap: Gap | None = None
        self._saved: Position | None = None
        self._saved_at = 0.0
        self._rest: Deferred[None] | None = None
        self._pausing: Deferred[None] | None = None
        self._idle = False
        self._stopping = False
        self._work: Deferred[None] | None = None
        self.turns = 0
        """Steps and attempts that were begun."""

    @property
    def behind(self) -> int:
        """Events in the log after its place, wanted or not."""
        return 0 if self.position is None else max(0, self._window.newest - self.position.sequence)

    @property
    def cursor(self) -> str | None:
        return None if self.position is None else cursor_of(self.position)

    def late_us(self, now_us: int) -> int:
        """Microseconds since the oldest event that it wants and has not taken; 0 when there is none."""
        return 0 if self.oldest_us is None else max(0, now_us - self.oldest_us)

    @property
    def owes(self) -> bool:
        """It has something to do, and neither rests on purpose nor waits for the log to be written."""
        if self._stopping or self._pausing is not None or self.state is State.SAVING:
            return False
        return not self._idle or (self.behind > 0 and self.position is not None)

    def start(self) -> None:
        work = self._work = Deferred.fromCoroutine(self._run())
        work.addErrback(self._ended, work)

    def restart(self) -> None:
        """Give up the batch that is under way, whether or not it was taken, and begin again at the durable place."""
        work, self._work = self._work, None
        if work is not None:
            work.cancel()
        if not self._stopping:
            self.position, self.attempt = self._saved, 0
            self.start()

    def stop(self) -> Deferred[None]:
        """Give up what is under way: it comes again at the next start."""
        self._stopping = True
        work, self._work = self._work, None
        if work is not None:
            work.cancel()
        return Deferred.fromCoroutine(self._close(work))

    async def _close(self, work: Deferred[None] | None) -> None:
        if work is not None:
            await work
        await self.sink.close()

    def woken(self, newest: int) -> None:
        """The log has grown."""
        if self._idle and self._rest is not None:
            self._rest.callback(None)

    def hurry(self) -> None:
        """Whoever waits for a next try has it now."""
        if self._pausing is not None:
            self._pausing.cancel()

    async def _run(self) -> None:
        while not self._stopping:
            try:
                await self._step()
            except StoreError as error:
                if self.failure != str(error):
                    self._log.error("{sink} waits: {reason}", sink=self.sink.title, reason=str(error))
                self.failure = str(error)
                await self._pause(DISK_S)

    async def _step(self) -> None:
        """Open, or deliver one batch, or pass over what is not wanted, or wait for more."""
        self.turns += 1
        if self.position is None:
            await self._open()
            return
        batch = self._next()
        if batch is not None:
            await self._save(await self._deliver(batch))
        elif self.behind:
            await self._save_now_and_then()
            await self._pause(0)
        else:
            await self._save_now_and_then()
            self.state, self.failure = State.CURRENT, None
            await self._wait()

    async def _open(self) -> None:
        """Find the place; a new sink begins with what comes next."""
        if self._window.state is None:
            await self._wait()
            return
        known = self._known(self.sink.name)
        if known is None:
            await self._save(Position(self._window.state.log_id, self._window.newest))
        else:
            self.position = self._saved = known

    def _next(self) -> Batch | None:
        """What comes next, None when nothing is wanted of it; StoreError."""
        self.state = State.READING
        place, state = self.position, self._window.state
        if place is None or state is None:
            raise StoreError("the event log is not open yet.")
        if place.log_id != state.log_id:
            self._lose(Gap(NEW_LOG, cursor_of(place)), Position(state.log_id, state.first - 1))
        place = self.position or place
        try:
            events = self._window.after(place.sequence, PAGE_EVENTS)
        except CursorLost as error:
            self.counters.lost += error.last - error.first + 1
            place = Position(state.log_id, error.last)
            self._lose(Gap(LOG_BOUNDS, cursor_of(place), error.first, error.last), place)
            events = self._window.after(place.sequence, PAGE_EVENTS)
        chosen: list[Event] = []
        end, size = place.sequence, 0
        for event in events:
            if self.sink.wanted.wants(event):
                size += len(event.shown.text)
                if len(chosen) == self._most or (chosen and size > BATCH_BYTES):
                    break
                chosen.append(event)
            end = event.sequence
        place = Position(place.log_id, end)
        self.oldest_us = chosen[0].record.time_us if chosen else None
        if not chosen and self._gap is None:
            self.position = place
            return None
        return Batch(tuple(chosen), self._gap, place, cursor_of(place))

    def _lose(self, gap: Gap, place: Position) -> None:
        """The receiver is told with the next batch."""
        self._gap, self.position = gap, place
        text = "{sink} was at {cursor} of a log that was replaced; it is given the new one"
        if gap.reason == LOG_BOUNDS:
            text = "{sink} came too late for the events {first} to {last}, which had left the log"
        self._log.warn(text, sink=self.sink.title, cursor=gap.cursor, first=gap.first, last=gap.last)

    async def _deliver(self, batch: Batch) -> Position:
        """Until it is taken, or as much of it as the receiver takes at once; the place after that."""
        full = 0.0
        while True:
            self.state, self.attempt, self.next_try = State.SENDING, batch.attempt, None
            self.turns += 1
            try:
                await self.sink.deliver(batch)
            except CancelledError:
                raise
            except NotTaken as error:
                refusal = error
            except Exception as error:  # noqa: BLE001 - a sink's bug must not end it
                self._log.failure("{sink} raised", sink=self.sink.title)
                refusal = NotTaken(INTERNAL, str(error)[:200])
            else:
                self._taken(batch)
                return batch.position
            self._not_taken(refusal)
            first, most = (REFUSED_FIRST_S, REFUSED_MOST_S) if refusal.refused else (FIRST_S, MOST_S)
            full = min(max(first, 2 * full), most)
            if refusal.too_large and len(batch.events) > 1:
                self._most = len(batch.events) // 2
                batch = self._shortened(batch, self._most)
                full = FIRST_S
            await self._pause(self._pause_for(full, refusal))
            batch = attrs.evolve(batch, attempt=batch.attempt + 1)

    def _pause_for(self, full: float, refusal: NotTaken) -> float:
        """Between half and all of the full pause; never less than the receiver asked for."""
        return max(min(refusal.retry_after_s, MOST_ASKED_S), full * (1 - self._random() / 2))

    @staticmethod
    def _shortened(batch: Batch, most: int) -> Batch:
        """Its first events; the others come with the next one."""
        events = batch.events[:most]
        place = Position(batch.position.log_id, events[-1].sequence)
        return Batch(events, batch.gap, place, cursor_of(place), batch.attempt)

    def _not_taken(self, refusal: NotTaken) -> None:
        self.counters.failures[refusal.rule] += 1
        self.state = State.REFUSED if refusal.refused else State.RETRYING
        if self.failure != str(refusal):
            self._log.warn("{sink} does not take events: {reason}", sink=self.sink.title, reason=str(refusal))
        self.failure = str(refusal)

    def _taken(self, batch: Batch) -> None:
        if self.failure is not None:
            self._log.info("{sink} takes events again", sink=self.sink.title)
        self.counters.batches += 1
        self.counters.events += len(batch.events)
        self._most = min(2 * self._most, self.sink.batch_events)
        self.failure, self.attempt, self._gap = None, 0, None

    async def _save(self, position: Position) -> None:
        self.state = State.SAVING
        await self._rested(self._save_position(self.sink.name, position))
        self._saved, self._saved_at = position, self._now()
        self.position, self.oldest_us = position, None

    async def _save_now_and_then(self) -> None:
        place = self.position
        if place is not None and place != self._saved and self._now() - self._saved_at >= SAVE_S:
            await self._save(place)

    async def _wait(self) -> None:
        """Until the log has grown."""
        self._idle = True
        try:
            await self._rested(Deferred())
        finally:
            self._idle = False

    async def _pause(self, seconds: float) -> None:
        """Cut short by `hurry`."""
        timer: Timer

        def give_up(_: Deferred[None]) -> None:
            timer.cancel()

        pause = self._pausing = Deferred(give_up)
        self.next_try = self._now() + seconds
        timer = self._later(seconds, lambda: pause.callback(None))
        try:
            await self._rested(pause)
        except CancelledError:
            if self._stopping:
                raise
        finally:
            self._pausing = self.next_try = None

    async def _rested(self, rest: Deferred[None]) -> None:
        self._rest = rest
        try:
            await rest
        finally:
            self._rest = None

    def _ended(self, failure: Failure, work: Deferred[None]) -> None:
        """Cancelled by `stop`, or a bug of ours; what `restart` has given up is nobody's any more."""
        if self._work is not work and not self._stopping:
            return
        self.state = State.STOPPED
        if not self._stopping:
            self.failure = INTERNAL
            self._log.failure("{sink} has ended", failure=failure, sink=self.sink.title)


def cursor_of(position: Position) -> str:
    """As readers of the log keep it."""
    return cursor_text(position.log_id.hex(), position.sequence)
