"""Writing the event log: what the node told, and what the blocks say, in one order.

`step` makes one durable change and may be called from any one thread. What a block
gives comes from the store, never from what the node told: a process that is killed at
any moment goes on at the block after the last one in the log, and each has its events
once.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Union

import attrs

from timed.errors import StoreError
from timed.feed.attendance import MISSED_IN_A_ROW, absent_of
from timed.feed.blocks import drafts_of
from timed.feed.event import ACCEPTED, CONFIRMED, DROPPED, FINAL, GAP, Draft
from timed.feed.log import Change, FeedLog
from timed.feed.records import LockTouch, LogState, Mark, Position, StoredEvent
from timed.feed.touching import SpentOutputs, touches_of
from timed.index.records import Progress
from timed.interfaces import IStore
from timed.ledger.genesis import Genesis
from timed.primitives.block import Block
from timed.primitives.transaction import Transaction
from timed.store.blocks import block_at
from timed.store.files import Files, require_space

MAX_BATCH = 2_000
"""Events of one step; a block is never cut, so that one more block may go beyond."""
SPARE_SPACE = 256 * 1024 * 1024
"""Free bytes below which no event is written: what is left is for the chain."""

Touches = dict[bytes, tuple[LockTouch, ...]]


@attrs.frozen
class UpTo:
    """The store's tip at one moment: every block up to it is to be in the log before what follows.

    `touches` are those of its transactions that are known already.
    """

    height: int
    time_us: int
    touches: Touches = attrs.field(factory=dict, eq=False)


@attrs.frozen(eq=False)
class Place:
    """How far a sink is; durable with whatever else its step writes."""

    sink: str
    position: Position


Item = Union[Draft, UpTo, Place]


@attrs.frozen
class Written:
    """What one step did."""

    added: tuple[tuple[int, StoredEvent], ...]
    left: tuple[Item, ...]
    """What the step had no room for; it comes before all else in the next one."""
    state: LogState
    repeated: int = 0
    """Events that were in the log already, or that their block had overtaken."""
    places: tuple[Place, ...] = ()
    """Those among the items that are durable now."""
    replaced: str | None = None
    """Why a new log had to begin, one sentence for the operator."""


class FeedWriter:
    """Appends to the log of one chain; errors of the disk and damage are StoreError."""

    def __init__(
        self, open_log: Callable[[], FeedLog], store: IStore, genesis: Genesis, files: Files | None = None
    ) -> None:
        self._open_log = open_log
        self._store = store
        self._genesis = genesis
        self._files = Files() if files is None else files
        self._outputs = SpentOutputs(store, self._block)
        self._repeated = 0
        self._absent: OrderedDict[int, frozenset[bytes]] = OrderedDict()
        """By height, of the newest blocks that were looked at."""
        self.log: FeedLog | None = None

    def open(self) -> str | None:
        """Open the log if it is not; why a new one had to begin, None when none had to."""
        if self.log is not None:
            return None
        log = self._open_log()
        replaced = log.begun_anew
        try:
            foreign = self._foreign(log)
            if foreign is not None:
                log.begin_anew(None)
                replaced = foreign
            if log.progress() is None:
                log.begin_anew(self._tip())
        except BaseException:
            log.close()
            raise
        self.log = log
        return replaced

    def close(self) -> None:
        log, self.log = self.log, None
        if log is not None:
            log.close()

    def step(self, items: Sequence[Item]) -> Written:
        """Write the first items, durably; those that are left are to be handed in again, first."""
        replaced = self.open()
        log = self.log
        if log is None:
            raise StoreError("the event log is closed.")
        require_space(self._files, log.path, SPARE_SPACE)
        self._repeated = 0
        places: list[Place] = []
        with log.changing() as change:
            left: tuple[Item, ...] = ()
            for number, item in enumerate(items):
                if isinstance(item, Draft):
                    self._tell(change, item)
                elif isinstance(item, Place):
                    change.set_position(item.sink, item.position)
                    places.append(item)
                elif not self._tell_blocks(change, item):
                    left = tuple(items[number:])
                    break
                if len(change.added) >= MAX_BATCH:
                    left = tuple(items[number + 1 :])
                    break
        return Written(tuple(change.added), left, change.state, self._repeated, tuple(places), replaced)

    # What the node told

    def _tell(self, change: Change, draft: Draft) -> None:
        """Accepted and final once each, and never after the block; the others as they come."""
        txid = draft.subject
        if draft.type in (ACCEPTED, FINAL):
            mark = change.mark(txid)
            told = mark.accepted if draft.type == ACCEPTED else mark.final
            if told or self._is_told_by_block(change, txid):
                self._repeated += 1
                return
            sequence = change.add(draft)
            accepted, final = (sequence, mark.final) if draft.type == ACCEPTED else (mark.accepted, sequence)
            change.set_mark(txid, Mark(accepted, final))
            return
        if draft.type == DROPPED and not change.mark(txid).final:
            change.forget(txid)
        change.add(draft)

    def _is_told_by_block(self, change: Change, txid: bytes) -> bool:
        place, progress = self._store.locate(txid), change.progress()
        return place is not None and progress is not None and place[0] <= progress.height

    # What the blocks say

    def _tell_blocks(self, change: Change, until: UpTo) -> bool:
        """False when the step is full before all of them are told."""
        progress = change.progress()
        height = -1 if progress is None else progress.height
        most = change.bounds.max_events
        if until.height - height > most:
            skipped = until.height - most
            change.add(
                Draft.of(
                    GAP, until.time_us, reason="blocks-behind", from_height=height + 1, to_height=skipped
                )
            )
            height = skipped
        before = self._block(height) if 0 <= height < until.height else None
        while height < until.height:
            if len(change.added) >= MAX_BATCH:
                return False
            height += 1
            before = self._tell_block(change, height, before, until)
        return True

    def _tell_block(self, change: Change, height: int, before: Block | None, until: UpTo) -> Block:
        block, size = block_at(self._store, height, None if before is None else before.hash)
        if any(transaction.txid not in until.touches for transaction in block.transactions[1:]):
            # What its transactions spend must be looked up: they may spend each other's outputs, and the next
            # blocks theirs. Where all were pending here before, nobody asks.
            self._outputs.add(block)

        def touched(transaction: Transaction) -> tuple[LockTouch, ...]:
            known = until.touches.get(transaction.txid)
            return touches_of(transaction, self._outputs.of(transaction.inputs)) if known is None else known

        self._remember(block)
        roster_at = self._genesis.roster_at
        for draft in drafts_of(block, size, before, roster_at, touched, self._absent_at, until.time_us):
            if draft.type == CONFIRMED:
                self._confirm(change, draft, height)
            else:
                change.add(draft)
        change.set_progress(Progress(height, block.hash))
        return block

    def _confirm(self, change: Change, draft: Draft, height: int) -> None:
        """A transaction of a block is final, whether this node has heard it before or not."""
        if not change.mark(draft.subject).final:
            final = Draft.of(FINAL, draft.time_us, draft.subject, draft.touches, epoch=height, by="block")
            change.add(final)
        change.forget(draft.subject)
        change.add(draft)

    def _absent_at(self, height: int) -> frozenset[bytes]:
        """From the store when this process has not told the block."""
        if height not in self._absent:
            self._remember(self._block(height))
        return self._absent[height]

    def _remember(self, block: Block) -> None:
        self._absent[block.header.height] = absent_of(block, self._genesis.roster_at)
        while len(self._absent) > 2 * MISSED_IN_A_ROW:
            self._absent.popitem(last=False)

    def _block(self, height: int) -> Block:
        return block_at(self._store, height)[0]

    def _tip(self) -> Progress | None:
        tip = self._store.tip()
        return None if tip is None else Progress(tip.height, tip.block_hash)

    def _foreign(self, log: FeedLog) -> str | None:
        """Why the log cannot tell this chain; blocks are final, so none may change."""
        progress, tip = log.progress(), self._tip()
        if progress is None:
            return None
        height = -1 if tip is None else tip.height
        if height < progress.height:
            return f"it is at block {progress.height} and the chain at {height}, perhaps from an older copy"
        if self._store.height_of(progress.block_hash) != progress.height:
            return f"its block {progress.height} ({progress.block_hash.hex()}) is not of this chain"
        return None
