"""Between the node and the event log: what waits to be written, and what was.

What comes while one step is under way becomes the next one: one fsync for all of it,
and at most one every `GATHER_S`. Nothing is shown to anybody before its step is durable.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence

import attrs
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from timed.errors import LocalError, StoreError
from timed.feed.event import GAP, Draft
from timed.feed.feed import Feed
from timed.feed.records import Position
from timed.feed.telling import MAX_KNOWN, Teller
from timed.feed.writer import MAX_BATCH, FeedWriter, Item, Place, UpTo, Written
from timed.interfaces import IEventSink
from timed.loops import Steps

GATHER_S = 0.02
"""Between the first event and the step that writes it: what comes meanwhile goes with it."""
MAX_WAITING = 50_000
"""Events that wait to be written; more are lost, counted, and a gap says so. Blocks never are."""
RETRY_S = 10.0
"""After a failure; a disk may have room again."""
REST_SHARE = 1.0
"""Seconds of rest for each second of writing while the log is behind the chain."""


@attrs.define
class ScribeCounters:
    """Since the start of the process."""

    written: int = 0
    steps: int = 0
    repeated: int = 0
    """Known already, after a restart mostly."""
    lost: int = 0
    """For want of room in the queue."""
    failures: int = 0
    """Steps that the disk refused, or whose thread did not answer."""


@implementer(IEventSink)
class Scribe:
    """Hands events to the writer's thread and what was written to the readers."""

    name = "feed"
    _log = Logger()

    def __init__(
        self,
        writer: FeedWriter,
        feed: Feed,
        teller: Teller,
        reactor: IReactorTime,
        monotonic: Callable[[], float],
        in_thread: Callable[[Callable[[], Written]], Deferred[Written]],
    ) -> None:
        """`in_thread` calls a function on the one thread that writes."""
        self._writer = writer
        self._feed = feed
        self._teller = teller
        self.hears = teller.hears
        self._monotonic = monotonic
        self.steps = Steps(reactor, in_thread, self._begin)
        self.counters = ScribeCounters()
        self.failed: str | None = None
        self._waiting: deque[Item] = deque()
        self._lost = 0
        """Lost since the last gap that said so."""
        self._saving: dict[Place, Deferred[None]] = {}
        """Places of sinks that are not durable yet: one for each sink at most."""
        self._stopped: Deferred[None] | None = None

    @property
    def waiting(self) -> int:
        """Events that are not durable yet."""
        return len(self._waiting)

    def published(self, event: object, now_us: int) -> None:
        """`IEventSink.published`."""
        for item in self._teller.told(event, now_us):
            self.put(item)

    def put(self, item: Item) -> None:
        """Have one more event written, or every block up to a height."""
        if self._stopped is not None:
            return
        waiting = self._waiting
        if isinstance(item, UpTo):
            earlier = waiting[-1] if waiting else None
            if isinstance(earlier, UpTo):
                waiting.pop()
                both = {**earlier.touches, **item.touches}
                # While nothing can be written blocks go on for days; what is not kept is found in the store.
                item = attrs.evolve(item, touches=both if len(both) <= MAX_KNOWN else earlier.touches)
        elif isinstance(item, Draft) and len(waiting) >= MAX_WAITING:
            self.counters.lost += 1
            self._lost += 1
            return
        elif isinstance(item, Draft) and self._lost:
            waiting.append(Draft.of(GAP, item.time_us, reason="queue-full", events=self._lost))
            self._lost = 0
        waiting.append(item)
        if self.failed is None:
            self.steps.after(GATHER_S)

    def save(self, sink: str, position: Position) -> Deferred[None]:
        """Fires once the position of a sink is durable; a sink asks for one after the other.

        What could not be written is tried again; LocalError only at the end.
        """
        if self._stopped is not None:
            return fail(LocalError("no more is written to the event log."))
        place = Place(sink, position)
        saved = self._saving[place] = Deferred()
        self.put(place)
        return saved

    @property
    def owes(self) -> bool:
        """There is something to write, or being written."""
        return self.steps.busy or bool(self._waiting)

    def stop(self) -> Deferred[None]:
        """Fires when what was told is durable, unless the disk fails, and the log is closed.

        Blocks that are not told yet are told at the next start.
        """
        stopped: Deferred[None] = Deferred()
        self._stopped = stopped
        stopped.addCallback(lambda _: self._writer.close())
        self.steps.stop()
        if not self.steps.busy:
            self._finish()
        return stopped

    def _begin(self) -> None:
        """One step, of what has come so far."""
        items = [self._waiting.popleft() for _ in range(min(MAX_BATCH, len(self._waiting)))]
        if not items:
            return
        begun = self._monotonic()
        step = self.steps.run(lambda: self._writer.step(items))
        step.addCallbacks(self._written, self._not_written, (begun,), errbackArgs=(items,))
        step.addErrback(self._bug)

    def _written(self, written: Written, begun: float) -> None:
        if written.replaced is not None:
            self._log.warn("a new event log begins: {reason}", reason=written.replaced)
        if self.failed is not None:
            self.failed = None
            self._log.info("the event log goes on")
        counters = self.counters
        counters.steps += 1
        counters.written += len(written.added)
        counters.repeated += written.repeated
        self._put_back(written.left)
        if written.state != self._feed.window.state:
            self._feed.added(written.added, written.state)
        self._saved(written)
        self._go_on((self._monotonic() - begun) * REST_SHARE if written.left else GATHER_S)

    def _not_written(self, failure: Failure, items: Sequence[Item]) -> None:
        """The disk, damage, or a bug of ours: nothing is shown, and all of it is tried again."""
        self.counters.failures += 1
        self._put_back(items)
        known = isinstance(failure.value, StoreError)
        reason = str(failure.value) if known else f"internal error ({failure.getErrorMessage()})."
        if not known:
            self._log.failure("writing events raised", failure)
        elif reason != self.failed:
            self._log.error("the event log does not go on: {reason}", reason=reason)
        self.failed = reason
        self._writer.close()
        if self._stopped is not None:
            self._give_up_saving()
            self._stopped.callback(None)
        else:
            self.steps.after(RETRY_S)

    def _bug(self, failure: Failure) -> None:
        self._log.failure("telling of written events raised", failure)
        self._go_on(RETRY_S)

    def _saved(self, written: Written) -> None:
        for place in written.places:
            saved = self._saving.pop(place, None)
            if saved is not None:
                saved.callback(None)

    def _give_up_saving(self) -> None:
        saving, self._saving = self._saving, {}
        for saved in saving.values():
            saved.errback(LocalError("no more is written to the event log."))

    def _put_back(self, items: Iterable[Item]) -> None:
        self._waiting.extendleft(reversed(tuple(items)))

    def _go_on(self, seconds: float) -> None:
        if self._stopped is not None:
            self._finish()
        elif self._waiting:
            self.steps.after(seconds)

    def _finish(self) -> None:
        """Write what waits, here and now: the reactor may not turn any more."""
        told: list[Item] = [item for item in self._waiting if not isinstance(item, UpTo)]
        self._waiting.clear()
        while told and self.failed is None:
            items, told = told[:MAX_BATCH], told[MAX_BATCH:]
            try:
                written = self._writer.step(items)
            except StoreError as error:
                self.failed = str(error)
                self._log.error("events are lost at the end: {reason}", reason=self.failed)
            else:
                self.counters.written += len(written.added)
                self._saved(written)
                told = [*(item for item in written.left if not isinstance(item, UpTo)), *told]
        self._give_up_saving()
        if self._stopped is not None:
            self._stopped.callback(None)
