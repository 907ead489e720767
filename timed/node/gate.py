"""Durable before visible: what rests on a write waits here for it (protocol §3, §4 [13], [16])."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from timed.events import Action, CommitBlock, Persist, Verify
from timed.interfaces import BlockCommit
from timed.wire.catalogue import encode_record
from timed.wire.message import Message

Then = Callable[[int], None]
"""Called with the time when a write is durable."""

Items = Sequence[tuple[bytes, bytes, bytes]]


class Gate:
    """Writes under way, and what each lets through once it is durable.

    What is to be logged in one turn leaves as one write. The store executes writes
    first in, first out. After a failure nothing that waited is ever let through: the
    promise it rested on was not kept.
    """

    def __init__(self, emit: Callable[[Action], None]) -> None:
        self._emit = emit
        self._token = 0
        self._waiting: dict[int, tuple[Then, ...]] = {}
        self._records: list[bytes] = []
        self._group: list[Then] = []
        self.failure: str | None = None
        self.writes = 0

    def __len__(self) -> int:
        return len(self._waiting) + bool(self._group)

    def persist(self, messages: Sequence[Message], then: Then) -> None:
        """Log `messages`, then call `then`; they leave with `close`."""
        self._records += map(encode_record, messages)
        self._group.append(then)

    def commit(self, commit: BlockCommit, then: Then) -> None:
        """Write a block behind everything asked for so far, then call `then`."""
        self.close()
        self._emit(CommitBlock(self._wait((then,)), commit))

    def close(self) -> None:
        """Hand over what has gathered as one write: the end of a turn."""
        if self._group:
            self._emit(Persist(self._wait(tuple(self._group)), tuple(self._records)))
            self._records.clear()
            self._group.clear()

    def persisted(self, token: int, now: int) -> None:
        for then in self._waiting.pop(token, ()):
            if self.failure is None:
                then(now)

    def failed(self, token: int, reason: str) -> None:
        """The disk refused: nothing that rests on this or a later write becomes visible."""
        self.failure = reason
        self._waiting.clear()

    def _wait(self, group: tuple[Then, ...]) -> int:
        self._token += 1
        self.writes += 1
        self._waiting[self._token] = group
        return self._token


class Checks:
    """Signature checks under way; the verdict comes back as an event."""

    def __init__(self, emit: Callable[[Action], None], now: Callable[[], int]) -> None:
        self._emit = emit
        self._now = now
        self._token = 0
        self._waiting: dict[int, Callable[[bool, int], None]] = {}
        self.signatures = 0
        self.refused = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def check(self, items: Items, then: Callable[[bool, int], None]) -> None:
        """Call `then(all good, time)`; at once when there is nothing to check."""
        if not items:
            then(True, self._now())
            return
        self._token += 1
        self.signatures += len(items)
        self._waiting[self._token] = then
        self._emit(Verify(self._token, tuple(items)))

    def verified(self, token: int, verdicts: Sequence[bool], now: int) -> None:
        then = self._waiting.pop(token, None)
        if then is None:
            return
        good = all(verdicts)
        self.refused += not good
        then(good, now)
