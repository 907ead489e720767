"""Signature checks off the reactor thread, in batches.

A thread per signature is slower than none; batches of 16 to 64 keep two cores
busy. A large request is cut, small ones travel together.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice

import attrs
from twisted.logger import Logger

from timed.app.storequeue import Threads
from timed.events import Verify

Item = tuple[bytes, bytes, bytes]
VerifyBatch = Callable[[Sequence[Item]], Sequence[bool]]

BATCH_MIN = 16
BATCH_MAX = 64


@attrs.define
class VerifierCounters:
    """Counted on the reactor thread; `waiting_items` is a gauge."""

    items: int = 0
    batches: int = 0
    inline: int = 0
    answered: int = 0
    """Batches whose verdicts are known."""
    taken_back: int = 0
    """Batches that a thread did not answer in time and that were checked on the reactor thread."""
    waiting_items: int = 0


@attrs.define
class _Request:
    """One Verify action and the verdicts that have come in so far."""

    token: int
    verdicts: list[bool]
    missing: int


@attrs.frozen
class _Slot:
    """One item of one request."""

    request: _Request
    position: int
    item: Item


class Verifier:
    """Answers `Verify` actions: `done(token, verdicts)` on the reactor thread.

    With more than `max_items` waiting, a request is checked at once on the
    caller's thread: the reactor then reads less from the peers that cause it.
    """

    _log = Logger()

    def __init__(
        self,
        verify_batch: VerifyBatch,
        threads: Threads,
        from_thread: Callable[..., object],
        done: Callable[[int, tuple[bool, ...]], None],
        *,
        workers: int,
        max_items: int,
    ) -> None:
        self.counters = VerifierCounters()
        self._verify_batch = verify_batch
        self._threads = threads
        self._from_thread = from_thread
        self._done = done
        self._idle_workers = workers
        self.max_items = max_items
        self._under_way: dict[int, tuple[_Slot, ...]] = {}
        """Batches that threads work on, by number."""
        self._here = False
        """A batch is going to be checked on the reactor thread, since no thread answers."""
        self._slots: deque[_Slot] = deque()

    def put(self, action: Verify) -> None:
        """Queue the items of one action; the answer never comes before this returns."""
        count = len(action.items)
        self.counters.items += count
        if count == 0 or self.counters.waiting_items + count > self.max_items:
            self.counters.inline += count
            verdicts = self._verdicts(action.items) if count else ()
            self._from_thread(self._done, action.token, tuple(verdicts))
            return
        request = _Request(action.token, [False] * count, count)
        self._slots.extend(_Slot(request, index, item) for index, item in enumerate(action.items))
        self.counters.waiting_items += count

    def dispatch(self) -> None:
        """Hand batches to idle threads; called once at the end of a turn."""
        while self._idle_workers and self._slots:
            share = -(-len(self._slots) // self._idle_workers)
            size = min(max(share, BATCH_MIN), BATCH_MAX, len(self._slots))
            batch = tuple(islice(self._slots, size))
            for _ in batch:
                self._slots.popleft()
            self._idle_workers -= 1
            self.counters.batches += 1
            self._under_way[self.counters.batches] = batch
            self._begin(self.counters.batches, batch)
        if self._slots and not self._under_way and not self._here:
            self._here = True
            self._from_thread(self._check_here)

    def _begin(self, number: int, batch: tuple[_Slot, ...]) -> None:
        try:
            self._threads.callInThread(self._check, number, batch)
        except RuntimeError as error:
            self._log.warn("signatures are checked on the reactor's thread: {reason}", reason=str(error))
            self.counters.inline += len(batch)
            self._check(number, batch)

    def stop(self) -> None:
        """Begin no further batch: nobody waits for verdicts any more, and the threads end."""
        self.counters.waiting_items -= len(self._slots)
        self._slots.clear()

    def take_back(self) -> None:
        """Check what threads have not answered on this one; a thread that answers after all works again.

        Nothing is lost by it: a check has no effect but its verdict.
        """
        for number in tuple(self._under_way):
            batch = self._under_way.pop(number)
            self.counters.taken_back += 1
            self._settle(batch, self._verdicts_of(batch))
        self.dispatch()

    def _check_here(self) -> None:
        """One batch a turn, while no thread works."""
        self._here = False
        if not self._slots:
            return
        batch = tuple(self._slots.popleft() for _ in range(min(BATCH_MAX, len(self._slots))))
        self._settle(batch, self._verdicts_of(batch))
        self.dispatch()

    def _check(self, number: int, batch: tuple[_Slot, ...]) -> None:
        """On a verifier thread, or where there is none."""
        self._from_thread(self._checked, number, self._verdicts_of(batch))

    def _verdicts_of(self, batch: tuple[_Slot, ...]) -> Sequence[bool]:
        return self._verdicts([slot.item for slot in batch])

    def _verdicts(self, items: Sequence[Item]) -> Sequence[bool]:
        try:
            return self._verify_batch(items)
        except Exception:  # noqa: BLE001 - what could not be checked is not accepted
            self._log.failure("the batch verifier raised what it should not")
            return [False] * len(items)

    def _checked(self, number: int, verdicts: Sequence[bool]) -> None:
        self._idle_workers += 1
        batch = self._under_way.pop(number, None)
        if batch is not None:
            self._settle(batch, verdicts)
        self.dispatch()

    def _settle(self, batch: tuple[_Slot, ...], verdicts: Sequence[bool]) -> None:
        self.counters.answered += 1
        self.counters.waiting_items -= len(batch)
        for slot, verdict in zip(batch, verdicts, strict=True):
            request = slot.request
            request.verdicts[slot.position] = bool(verdict)
            request.missing -= 1
            if request.missing == 0:
                self._done(request.token, tuple(request.verdicts))
