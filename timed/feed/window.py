"""What readers read: the newest events in memory, the rest from the log on disk.

The process that writes the log adds what it wrote; a process that only reads it takes
what is new from the disk. For one thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs

from timed.errors import StoreError
from timed.feed.cursor import BadCursor, Ends
from timed.feed.event import Event, Filter, Presenter
from timed.feed.log import CursorLost, FeedLog
from timed.feed.records import LogState, StoredEvent

MAX_EVENTS = 8_192
"""Events kept in memory."""
MAX_BYTES = 8 * 1024 * 1024
"""What those of them take that are kept as the log writes them."""
FRESH_EVENTS = 512
"""The newest of them are kept as objects: all readers that are up to date take them from here."""
FRESH_TOUCHES = 20_000
"""Locks that these may name together; about 3 MiB."""
PAGE_EVENTS = 256
"""Events that one step of one reader looks at."""
PAGE_BYTES = 256 * 1024
MAX_PAGES = 1_024
"""Pages that are kept for other readers at the same place, until the log goes on."""
MAX_PAGE_EVENTS = 16_384
"""Events in all of these: of old ones each page has objects of its own."""


@attrs.define(eq=False)
class Page:
    """What one step gives a reader: the events it wants, and where it is then."""

    events: tuple[Event, ...]
    end: int
    frames: bytes | None = None
    """All of them as WebSocket frames, once a front has made them."""
    _stream: bytes | None = None

    @property
    def stream(self) -> bytes:
        """All of them as server-sent events, joined once."""
        if self._stream is None:
            self._stream = b"".join([event.shown.stream for event in self.events])
        return self._stream

    @property
    def size(self) -> int:
        """Bytes that a reader has to take."""
        return len(self.stream)


class Recent:
    """Events that follow one another, the newest as objects and those before them as the log writes them.

    What a node knows of one is some ten objects, which live for minutes among those that live for a moment, and keep the
    memory between them. Bytes are one, and half as large.
    """

    def __init__(self, presenter: Presenter) -> None:
        self._presenter = presenter
        self.clear()

    def clear(self) -> None:
        self.first = 0
        """The sequence number of the oldest, when there are any."""
        self._packed: list[bytes] = []
        self._bytes = 0
        self._fresh: list[Event] = []
        """What follows them."""
        self._touches = 0

    def __len__(self) -> int:
        return len(self._packed) + len(self._fresh)

    @property
    def last(self) -> int:
        """The newest, when there are any."""
        return self.first + len(self) - 1

    def add(self, sequence: int, record: StoredEvent) -> None:
        """It comes after `last`, or instead of all of them."""
        if self and self.last + 1 != sequence:
            self.clear()
        if not self:
            self.first = sequence
        self._fresh.append(self._presenter.event(sequence, record))
        self._touches += len(record.touches)

    def after(self, sequence: int, limit: int) -> list[Event]:
        """Up to `limit` events after this one, which is the one before `first` or a later one."""
        start = sequence + 1 - self.first
        found = [
            self._presenter.event(number, StoredEvent.decode(data))
            for number, data in enumerate(self._packed[start : start + limit], sequence + 1)
        ]
        start = max(0, start - len(self._packed))
        return found + self._fresh[start : start + limit - len(found)]

    def trim(self) -> None:
        """The oldest go, no more than must: what stays takes the same memory all the time."""
        self._pack()
        gone = 0
        while len(self) - gone > MAX_EVENTS or self._bytes > MAX_BYTES:
            self._bytes -= len(self._packed[gone])
            gone += 1
        del self._packed[:gone]
        self.first += gone

    def _pack(self) -> None:
        """All but the newest, of which one stays however many locks it names."""
        packed = 0
        while (fresh := len(self._fresh) - packed) > FRESH_EVENTS or (
            self._touches > FRESH_TOUCHES and fresh > 1
        ):
            record = self._fresh[packed].record
            self._packed.append(record.encode())
            self._bytes += len(self._packed[-1])
            self._touches -= len(record.touches)
            packed += 1
        del self._fresh[:packed]


class Window:
    """The durable events of one log, as `Event`."""

    def __init__(self, presenter: Presenter, log: Callable[[], FeedLog | None]) -> None:
        """`log` gives the log while it is open."""
        self._log = log
        self.presenter = presenter
        self.state: LogState | None = None
        self._recent = Recent(presenter)
        self._pages: dict[tuple[int, Filter], Page] = {}
        self._paged = 0
        """Events in them."""
        self.from_disk = 0
        """Pages that came from the disk."""

    @property
    def ends(self) -> Ends:
        """StoreError until the log has been opened once."""
        if self.state is None:
            raise StoreError("the event log is not open yet.", "Ask again in a moment.")
        return Ends.of(self.state)

    def sequence_of(self, cursor: str) -> int:
        """The last event that a reader with this cursor has; BadCursor, StoreError.

        Another process may have shown what is on disk already and has not come to this one.
        """
        try:
            return self.ends.sequence_of(cursor)
        except BadCursor:
            log = self._log()
            if log is None:
                raise
            return Ends.of(log.state()).sequence_of(cursor)

    @property
    def newest(self) -> int:
        """The sequence number of the newest event that may be shown."""
        return 0 if self.state is None else self.state.newest

    def add(self, added: Sequence[tuple[int, StoredEvent]], state: LogState) -> None:
        """What has become durable."""
        if self.state is None or self.state.log_id != state.log_id:
            self._recent.clear()
            self.presenter.log_id = state.log_id.hex()
        self.state = state
        self._forget_pages()
        for sequence, record in added:
            self._recent.add(sequence, record)
        if self._recent and self._recent.last != state.newest:
            # Not all that is new was handed over: what is in memory must reach up to the newest.
            self._recent.clear()
        self._recent.trim()

    def refresh(self) -> bool:
        """Look what another process has written; True when there is something new."""
        log = self._log()
        if log is None:
            raise StoreError("the event log is not open.", "Start the chain process of this data directory.")
        state = log.state()
        if state == self.state:
            return False
        known = self.newest if self.state is not None and self.state.log_id == state.log_id else 0
        start = max(known, state.first - 1, state.newest - PAGE_EVENTS)
        fresh = log.after(start, PAGE_EVENTS, PAGE_BYTES) if start < state.newest else []
        whole = not fresh or fresh[-1][0] >= state.newest
        self.add([each for each in fresh if each[0] <= state.newest] if whole else [], state)
        return True

    def page(self, after: int, wanted: Filter) -> Page:
        """The next step of a reader that has everything up to `after`; CursorLost, StoreError.

        Readers that stand at one place and want the same share one page.
        """
        page = self._pages.get((after, wanted))
        if page is None:
            events = self.after(after, PAGE_EVENTS)
            chosen = tuple([event for event in events if wanted.wants(event)])
            if len(self._pages) >= MAX_PAGES or self._paged + len(chosen) > MAX_PAGE_EVENTS:
                self._forget_pages()
            self._paged += len(chosen)
            page = self._pages[(after, wanted)] = Page(chosen, events[-1].sequence if events else after)
        return page

    def _forget_pages(self) -> None:
        self._pages.clear()
        self._paged = 0

    def after(self, sequence: int, limit: int) -> list[Event]:
        """Up to `limit` events after this one, in order; CursorLost when one is gone."""
        state = self.state
        if state is None or sequence >= state.newest:
            return []
        if sequence + 1 < state.first:
            raise CursorLost(sequence + 1, state.first - 1)
        if self._recent and self._recent.first <= sequence + 1:
            return self._recent.after(sequence, limit)
        log = self._log()
        if log is None:
            raise StoreError("the event log is not open.", "Ask again in a moment.")
        self.from_disk += 1
        found = log.after(sequence, limit, PAGE_BYTES)
        return [self.presenter.event(*each) for each in found if each[0] <= state.newest]
