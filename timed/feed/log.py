"""The event log on disk: one LMDB environment beside the chain.

What a batch adds, what it drops for its room, the marks of transactions and how far the
chain is told become durable in one transaction. One thread writes; reading may be done
from any thread and from other processes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

import attrs

from timed.errors import LocalError, StoreError
from timed.feed.event import ACCEPTED, Draft
from timed.feed.layouts import LOG_ID_SIZE
from timed.feed.records import LogState, Mark, Position, StoredEvent
from timed.index.database import INDEX_SCHEMA, IndexDatabase, Records
from timed.index.records import IndexIdentity, Progress
from timed.params import SECOND
from timed.store.environment import MAP_SIZE
from timed.store.files import Files, disk_error

NAME = "events"
EVENTS, MARKS, SINKS, STATE = "events", "marks", "sinks", "state"
TABLES = (EVENTS, MARKS, SINKS, STATE)
_STATE = b"log"
KEY_SIZE = 8
MAX_POSITIONS = 64
"""Sinks whose places are remembered, those that are not configured any more among them."""
MOST_DROPPED = 4
"""Events that one new event may push out: a lowered bound is reached in steps."""


@attrs.frozen
class Bounds:
    """What the log keeps: events, bytes of their records, seconds of age (0 for no limit)."""

    max_events: int
    max_bytes: int
    max_age_s: int


class CursorLost(LocalError):
    """Events after a cursor are not in the log any more: `first` to `last` are lost."""

    def __init__(self, first: int, last: int) -> None:
        super().__init__(
            f"the events {first} to {last} are not in the log any more.",
            "Read what you need of the blocks, then go on from the oldest event.",
        )
        self.first = first
        self.last = last


def key_of(sequence: int) -> bytes:
    return sequence.to_bytes(KEY_SIZE, "big")


class Change:
    """One durable step of the log, while it is made."""

    def __init__(self, records: Records, state: LogState, bounds: Bounds) -> None:
        self._records = records
        self.bounds = bounds
        self.state = state
        self.added: list[tuple[int, StoredEvent]] = []
        self._oldest_us: int | None = None

    def add(self, draft: Draft) -> int:
        """Append one event and drop what it pushes out; its sequence number."""
        record, state = draft.stored(), self.state
        data = record.encode()
        sequence = state.next
        self._records.put(EVENTS, key_of(sequence), data)
        self.added.append((sequence, record))
        self.state = LogState(state.log_id, state.first, sequence + 1, state.size + len(data), state.dropped)
        for _ in range(MOST_DROPPED):
            if not self._is_over(draft.time_us):
                break
            self._drop_oldest()
        return sequence

    def mark(self, txid: bytes) -> Mark:
        return self._records.get(MARKS, txid, Mark.decode) or Mark(0, 0)

    def set_mark(self, txid: bytes, mark: Mark) -> None:
        self._records.put(MARKS, txid, mark.encode())

    def forget(self, txid: bytes) -> None:
        """Nothing more is remembered of a transaction that has ended."""
        self._records.delete(MARKS, txid)

    def set_position(self, sink: str, position: Position) -> None:
        """How far a sink is."""
        self._records.put(SINKS, sink.encode(), position.encode())

    def progress(self) -> Progress | None:
        return self._records.progress()

    def set_progress(self, progress: Progress) -> None:
        self._records.set_progress(progress)

    def _is_over(self, now_us: int) -> bool:
        state, bounds = self.state, self.bounds
        if state.count <= 1:
            return False
        if state.count > bounds.max_events or state.size > bounds.max_bytes:
            return True
        if not bounds.max_age_s:
            return False
        if self._oldest_us is None:
            self._oldest_us = self._oldest().time_us
        return self._oldest_us + bounds.max_age_s * SECOND < now_us

    def _oldest(self) -> StoredEvent:
        record = self._records.get(EVENTS, key_of(self.state.first), StoredEvent.decode)
        if record is None:
            raise StoreError(
                f"the event log lacks its event {self.state.first}.",
                "Move the directory of the events away and start again.",
            )
        return record

    def _drop_oldest(self) -> None:
        record, state = self._oldest(), self.state
        if record.type == ACCEPTED and self.mark(record.subject) == Mark(state.first, 0):
            # That it is final stays known until its block, which it is certain to get; that it was accepted
            # once more as long as that event is here.
            self.forget(record.subject)
        self._records.delete(EVENTS, key_of(state.first))
        self._oldest_us = None
        size = state.size - len(record.encode())
        self.state = LogState(state.log_id, state.first + 1, state.next, size, state.dropped + 1)


class FeedLog:
    """The log in the directory `path`; StoreError when it cannot be used."""

    def __init__(
        self,
        path: str,
        genesis_hash: bytes,
        bounds: Bounds,
        entropy: Callable[[int], bytes] | None = None,
        files: Files | None = None,
        *,
        map_size: int = MAP_SIZE,
    ) -> None:
        """Without `entropy` it is another process's, and read only."""
        self.path = path
        self.bounds = bounds
        self._identity = IndexIdentity(INDEX_SCHEMA, NAME, genesis_hash)
        self._entropy = entropy
        if entropy is not None:
            self._make_directory(Files() if files is None else files)
        self._database = IndexDatabase(path, TABLES, readonly=entropy is None, map_size=map_size)
        try:
            self.begun_anew = self._check_identity()
        except BaseException:
            self._database.close()
            raise

    def close(self) -> None:
        self._database.close()

    def state(self) -> LogState:
        """What is durable now."""
        with self._database.reading() as records:
            return _state(records, self.path)

    def progress(self) -> Progress | None:
        return self._database.progress()

    def after(self, sequence: int, limit: int, max_bytes: int) -> list[tuple[int, StoredEvent]]:
        """The next events in their order, up to `limit` of them and about `max_bytes` of records.

        CursorLost when one of them is not there any more.
        """
        with self._database.reading() as records:
            first = _state(records, self.path).first
            if sequence + 1 < first:
                raise CursorLost(sequence + 1, first - 1)
            found: list[tuple[int, StoredEvent]] = []
            for key, record in records.under(EVENTS, b"", StoredEvent.decode, after=key_of(sequence)):
                found.append((int.from_bytes(key, "big"), record))
                max_bytes -= len(record.data) + 64 * len(record.touches)
                if len(found) >= limit or max_bytes <= 0:
                    break
            return found

    @contextmanager
    def changing(self) -> Iterator[Change]:
        """One step, durable when the block ends and void when it raises."""
        with self._database.writing() as records:
            change = Change(records, _state(records, self.path), self.bounds)
            yield change
            records.put(STATE, _STATE, change.state.encode())

    def begin_anew(self, progress: Progress | None) -> None:
        """Another log with another name, empty, that tells the blocks after `progress`.

        Sinks keep their positions in the old one, so that they can be told.
        """
        if self._entropy is None:
            raise LocalError("an event log that is only read cannot begin anew.")
        log_id = self._entropy(LOG_ID_SIZE)
        with self._database.writing() as records:
            records.begin_anew(self._identity, spared=SINKS)
            records.put(STATE, _STATE, LogState(log_id, 1, 1, 0, 0).encode())
            if progress is not None:
                records.set_progress(progress)

    def position(self, sink: str) -> Position | None:
        """How far a sink is, None for one that is new."""
        with self._database.reading() as records:
            return records.get(SINKS, sink.encode(), Position.decode)

    def forget_positions(self, kept: Collection[str]) -> int:
        """Of sinks that are not in `kept`, remember those that are farthest, `MAX_POSITIONS` with the kept ones.

        Returns how many were forgotten.
        """
        with self._database.reading() as records:
            known = {key.decode(): place for key, place in records.under(SINKS, b"", Position.decode)}
        strangers = sorted(known.keys() - set(kept), key=lambda sink: (known[sink].sequence, sink))
        gone = strangers[: max(0, len(known) - MAX_POSITIONS)]
        if gone:
            with self._database.writing() as records:
                for sink in gone:
                    records.delete(SINKS, sink.encode())
        return len(gone)

    def size(self) -> int:
        """Bytes of the file."""
        return self._database.size()

    def _make_directory(self, files: Files) -> None:
        """Not the one above it: a data directory that was removed under the node stays gone, for all to see."""
        above = os.path.dirname(os.path.abspath(self.path))
        try:
            files.sync_directory(above)
            files.make_directory(self.path)
            files.sync_directory(above)
        except OSError as error:
            raise disk_error("use", self.path, error) from error

    def _check_identity(self) -> str | None:
        """Why what was there was thrown away; None when it is ours or nothing was there."""
        with self._database.reading() as records:
            identity = records.identity()
        if identity == self._identity:
            return None
        if self._entropy is None:
            raise StoreError(f"{self.path} is not the event log of this chain and this timed.")
        self.begin_anew(None)
        if identity is None:
            return None
        if identity.schema != INDEX_SCHEMA:
            return f"it was written by another timed (schema {identity.schema}, this one has {INDEX_SCHEMA})"
        return f"it belongs to the chain with genesis {identity.genesis.hex()}"


def _state(records: Records, path: str) -> LogState:
    state = records.get(STATE, _STATE, LogState.decode)
    if state is None:
        raise StoreError(f"the event log {path} lacks its state.", "Move the directory away and start again.")
    return state
