"""The wallet's history on disk: what blocks and released payments did to its addresses.

An LMDB environment beside the wallet file. It follows the blocks: what a block adds
and how far the history is then become durable in one transaction, so that a crash
loses nothing and nothing stands in it twice. What can be read from the blocks comes
back when the directory is lost; comments and reasons of releases do not.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack

import attrs
from msgspec.structs import replace

from timed.errors import LocalError, StoreError
from timed.index.builder import SPARE_SPACE
from timed.index.database import META, IndexDatabase, Records
from timed.index.records import IndexIdentity, Progress
from timed.index.tables import owner_key, place_key
from timed.interfaces import IReads
from timed.params import SECOND
from timed.primitives.block import Block
from timed.primitives.transaction import Lock, OutPoint, Output, Transaction
from timed.store.blocks import block_at
from timed.store.environment import height_key
from timed.store.files import Files, disk_error, require_space
from timed.wallet.history import Made, judge
from timed.wallet.records import HistoryEntry, Owners, Receipt, RescanMark

SCHEMA = 1
NAME = "wallet-history"
TABLES = ("entries", "order", "outputs", "received")
MAX_STEP_BLOCKS = 256
MAX_STEP_BYTES = 512 * 1024
"""A step ends with the block that fills it: payments wait for the same thread."""
RELEASED_POSITION = 2**32 - 1
"""A released payment stands behind everything of the block at its height."""
MAX_REASON = 60
"""Characters."""
MAP_SIZE = 1 << 36
"""Address space asked for, in bytes: a hundred million entries."""

_ORDER = b"\0"
_RESCAN = b"rescan"
_OWNERS = b"owners"


@attrs.frozen
class Step:
    """What one step did. Heights are -1 before the first block."""

    height: int
    """All blocks up to it are in the history."""
    target: int
    """The newest durable block."""
    rescan: RescanMark | None
    """What is left to be read again."""
    txids: tuple[bytes, ...] = ()
    """What the step has put into the history."""
    locks: tuple[Lock, ...] = ()
    """The wallet's addresses to which something came."""

    @property
    def caught_up(self) -> bool:
        return self.height >= self.target

    @property
    def done(self) -> bool:
        return self.caught_up and self.rescan is None


@attrs.frozen
class Received:
    """What came to an address, in units; the newest transactions first."""

    value: int
    transactions: int
    height: int
    """Of the newest; -1 without one."""
    txids: tuple[bytes, ...]


class HistoryBook:
    """The history in the directory `path`, which it owns; StoreError when the disk does not do its part.

    Used on one thread for writing; reading may be done from any.
    """

    def __init__(self, path: str, genesis_hash: bytes, files: Files | None = None) -> None:
        self.path = path
        self._identity = IndexIdentity(SCHEMA, NAME, genesis_hash)
        self._files = Files() if files is None else files
        self._database: IndexDatabase | None = None

    def open(self, newborn: int | None) -> None:
        """Open or make it. A new history begins behind block `newborn`; with None every block is read.

        StoreError for the history of another chain or version: it may hold what no block tells.
        """
        with ExitStack() as closing:
            try:
                self._files.make_directory(self.path)
                database = IndexDatabase(self.path, TABLES, map_size=MAP_SIZE)
                # LMDB opens no environment twice: what fails after this is tried again.
                closing.callback(database.close)
                self._files.sync_directory(os.path.dirname(os.path.abspath(self.path)))
            except OSError as error:
                raise disk_error("use", self.path, error) from error
            self._begin(database, newborn)
            closing.pop_all()
        self._database = database

    def _begin(self, database: IndexDatabase, newborn: int | None) -> None:
        with database.reading() as records:
            identity = records.identity()
        if identity is None:
            with database.writing() as records:
                records.begin_anew(self._identity)
                if newborn is not None:
                    records.set_progress(Progress(newborn, bytes(32)))
        elif identity != self._identity:
            raise StoreError(
                f"{self.path} is the history of another chain, or of another version.",
                "Move it away: it is made again from the blocks, without comments.",
            )

    def close(self) -> None:
        database, self._database = self._database, None
        if database is not None:
            database.close()

    @property
    def opened(self) -> bool:
        return self._database is not None

    # Following the blocks

    def belong(self, names: frozenset[str]) -> bool:
        """The wallet has these seeds now. True when blocks were read without one of them: another wallet's
        file was put in place, say; then they are read again."""
        with self._opened().reading() as records:
            before, progress = records.get(META, _OWNERS, Owners.decode), records.progress()
        known = frozenset(before.names) if before is not None else names
        fresh = bool(names - known) and progress is not None
        if before is None or names - known:
            with self._opened().writing() as records:
                records.put(META, _OWNERS, Owners(tuple(sorted(names | known))).encode())
                if fresh and progress is not None:
                    _mark(records, RescanMark(0, 0, progress.height))
        return fresh

    def step(
        self, chain: IReads, watches: Callable[[Lock], bool], made: Callable[[bytes], Made | None]
    ) -> Step:
        """Take in the next few blocks: new ones first, then what is to be read again."""
        database, tip = self._opened(), chain.tip()
        target = -1 if tip is None else tip.height
        with database.reading() as records:
            progress, rescan = records.progress(), _rescan(records)
        height = -1 if progress is None else progress.height
        if height < target:
            blocks = list(_blocks(chain, height + 1, target))
            after, left = blocks[-1], rescan
        elif rescan is not None:
            last = min(rescan.last, height, target)
            blocks = list(_blocks(chain, rescan.following, last))
            after, left = None, _rest(rescan, blocks, last)
        else:
            return Step(height, target, None)
        require_space(self._files, self.path, SPARE_SPACE)
        walk = _Walk(watches, made)
        with database.writing() as records:
            for block in blocks:
                walk.take(records, block)
            if after is not None:
                height = after.header.height
                records.set_progress(Progress(height, after.hash))
            if left != rescan:
                _mark(records, left)
        return Step(height, target, left, tuple(walk.txids), tuple(walk.locks))

    def rescan(self, first: int, last: int) -> RescanMark:
        """Read the blocks from `first` to `last` again; what was to be read again before stays so."""
        with self._opened().writing() as records:
            before = _rescan(records)
            if before is not None:
                first, last = min(first, before.following), max(last, before.last)
            mark = RescanMark(first, first, last)
            _mark(records, mark)
        return mark

    def abort_rescan(self) -> bool:
        """End it where it is; False when there is none."""
        with self._opened().writing() as records:
            found = _rescan(records) is not None
            _mark(records, None)
        return found

    def release(self, entry: HistoryEntry, *, height: int, time: int, reason: str) -> None:
        """Keep a payment that will never be; one that is in a block stays as it is. `time` in microseconds."""
        released = replace(
            entry,
            released=True,
            height=height,
            position=RELEASED_POSITION,
            time=time,
            reason=reason[:MAX_REASON],
        )
        with self._opened().writing() as records:
            before = records.get("entries", entry.txid, HistoryEntry.decode)
            if before is None or before.released:
                _put(records, released, before)

    # Reading

    def entry(self, txid: bytes) -> HistoryEntry | None:
        with self._opened().reading() as records:
            return records.get("entries", txid, HistoryEntry.decode)

    def output(self, outpoint: OutPoint) -> Output | None:
        """An output in a block that the wallet looks after, spent or not."""
        with self._opened().reading() as records:
            return records.get("outputs", outpoint.key, Output.decode)

    def page(self, count: int, after: bytes | None = None) -> tuple[list[HistoryEntry], bytes | None]:
        """The `count` entries before place `after`, the newest first, and where the next page goes on."""
        return self._page(count, after, backwards=True)

    def since(
        self, height: int, count: int, after: bytes | None = None
    ) -> tuple[list[HistoryEntry], bytes | None]:
        """The `count` oldest entries above block `height`, or behind place `after`."""
        return self._page(count, after or height_key(height + 1), backwards=False)

    def _page(
        self, count: int, after: bytes | None, *, backwards: bool
    ) -> tuple[list[HistoryEntry], bytes | None]:
        found: list[HistoryEntry] = []
        with self._opened().reading() as records:
            place = None
            for key, _ in records.under("order", _ORDER, bytes, after=after, backwards=backwards):
                if len(found) == count:
                    return found, place
                entry = records.get("entries", key[-32:], HistoryEntry.decode)
                if entry is None:
                    raise StoreError(
                        f"{self.path} is damaged: the entry {key[-32:].hex()} lacks.",
                        "Move it away: it is made again from the blocks, without comments.",
                    )
                found.append(entry)
                place = key
        return found, None

    def received(self, lock: Lock, highest: int, most: int) -> Received:
        """What blocks up to `highest` brought to `lock`, with the ids of at most `most` transactions."""
        value = transactions = 0
        newest, last, txids = -1, b"", list[bytes]()
        with self._opened().reading() as records:
            for key, receipt in records.under("received", owner_key(lock), Receipt.decode, backwards=True):
                height = int.from_bytes(key[:8], "big")
                if height > highest:
                    continue
                value += receipt.value
                newest = max(newest, height)
                # The outputs of one transaction stand side by side.
                txid = key[8:40]
                if txid != last:
                    last = txid
                    transactions += 1
                    if len(txids) < most:
                        txids.append(txid)
        return Received(value, transactions, newest, tuple(txids))

    def _opened(self) -> IndexDatabase:
        if self._database is None:
            raise LocalError("the wallet's history is closed.", "Start the node again.")
        return self._database


class _Walk:
    """The blocks of one step."""

    def __init__(self, watches: Callable[[Lock], bool], made: Callable[[bytes], Made | None]) -> None:
        self._watches = watches
        self._made = made
        self.txids: list[bytes] = []
        self.locks: dict[Lock, None] = {}

    def take(self, records: Records, block: Block) -> None:
        header = block.header
        for position, transaction in enumerate(block.transactions):
            entry = judge(
                transaction,
                [records.get("outputs", outpoint.key, Output.decode) for outpoint in transaction.inputs],
                self._watches,
                height=header.height,
                position=position,
                time=header.time * SECOND,
                made=self._made(transaction.txid),
            )
            if entry is not None:
                self._keep(records, entry, transaction)

    def _keep(self, records: Records, entry: HistoryEntry, transaction: Transaction) -> None:
        before = records.get("entries", entry.txid, HistoryEntry.decode)
        if before is not None and not entry.created:
            # Read again: what no block tells stays.
            entry = replace(
                entry, created=before.created, comment=before.comment, comment_to=before.comment_to
            )
        _put(records, entry, before)
        for index, output in enumerate(transaction.outputs):
            if self._watches(output.lock):
                outpoint = OutPoint(entry.txid, index).key
                records.put("outputs", outpoint, output.encode())
                place = owner_key(output.lock) + height_key(entry.height) + outpoint
                records.put("received", place, Receipt(output.value, entry.coinbase).encode())
                self.locks[output.lock] = None
        self.txids.append(entry.txid)


def _put(records: Records, entry: HistoryEntry, before: HistoryEntry | None) -> None:
    if before is not None:
        records.delete("order", _order_key(before))
    records.put("entries", entry.txid, entry.encode())
    records.put("order", _order_key(entry), b"")


def _order_key(entry: HistoryEntry) -> bytes:
    return _ORDER + place_key(entry.height, entry.position) + entry.txid


def _rescan(records: Records) -> RescanMark | None:
    return records.get(META, _RESCAN, RescanMark.decode)


def _mark(records: Records, mark: RescanMark | None) -> None:
    if mark is None:
        records.delete(META, _RESCAN)
    else:
        records.put(META, _RESCAN, mark.encode())


def _rest(mark: RescanMark, blocks: Sequence[Block], last: int) -> RescanMark | None:
    """What is left of a rescan up to `last` after `blocks`; None at its end."""
    if not blocks or blocks[-1].header.height >= last:
        return None
    return replace(mark, following=blocks[-1].header.height + 1)


def _blocks(chain: IReads, first: int, last: int) -> Iterator[Block]:
    size = 0
    for height in range(first, min(last, first + MAX_STEP_BLOCKS - 1) + 1):
        block, bytes_read = block_at(chain, height)
        yield block
        size += bytes_read
        if size >= MAX_STEP_BYTES:
            return
