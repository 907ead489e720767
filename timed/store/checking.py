"""What is wrong with the chain of a data directory: nothing is changed, memory is bounded.

Nobody else may use the directory meanwhile. A finding says what, where and how to
mend it. Four parts: the records of each block, the same blocks executed once more,
the coins against the digest of their set, and the log of the current epoch.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import attrs

from timed.crypto.batch import verify_batch
from timed.errors import DecodeError, InvalidBlock, InvalidCertificate, StoreError
from timed.interfaces import StoredTip
from timed.ledger.content import HEADER_SIZE
from timed.ledger.digest import change_digests, empty_digests, merge_digests, utxo_root
from timed.ledger.genesis import Genesis
from timed.primitives.block import Block, BlockHeader, tx_root
from timed.primitives.certificate import BlockCertificate, SignatureItem
from timed.primitives.lthash import LtHash
from timed.store.database import Database
from timed.store.environment import DATA_FILE, explained
from timed.store.files import Files, disk_error
from timed.store.lmdb import DATABASE, LOCK, LOG
from timed.store.log import records_of, survey
from timed.store.past import Execution
from timed.wire.catalogue import decode_record

RECENT = 100
"""Blocks from the tip on that are looked at when not all are."""
BATCH = 512
"""Signatures that are collected before they are verified."""
MAX_FLAWS = 50
"""After so many the rest is not looked at: the disk is to be replaced, not described."""
STEP = 256
"""Blocks between two reports of progress."""
COINS_STEP = 10_000
"""Coins between two reports of progress."""

FETCH_AGAIN = (
    "Check the disk (dmesg, smartctl -a). Then move chain/ away and start the node: it fetches the chain again. "
    "A member reads docs/operating.rst, Backup, first."
)


@attrs.frozen
class Flaw:
    """One thing that is wrong: where, what, and how to mend it."""

    where: str
    what: str
    remedy: str = FETCH_AGAIN
    serious: bool = True
    """False for what the next start mends by itself."""


@attrs.frozen
class Progress:
    """`done` of `total` of a part are looked at."""

    part: str
    done: int
    total: int


Found = Flaw | Progress


class Enough(Exception):
    """MAX_FLAWS were found."""


class ChainCheck:
    """One check of `directory`, the `chain` of a data directory; `run` once."""

    def __init__(self, directory: str, network: str, genesis: Genesis, *, deep: bool) -> None:
        self._directory = directory
        self._network = network
        self._genesis = genesis
        self._deep = deep
        self._items: list[tuple[str, SignatureItem]] = []
        self._payments = 0
        """In the blocks that were read."""
        self.flaws = 0
        self.counts = {"blocks": 0, "executed": 0, "coins": 0, "records": 0, "signatures": 0}
        """What was looked at."""
        self.height: int | None = None
        """Of the newest block, once it was read."""

    def run(self) -> Iterator[Found]:
        """Findings and progress as they come. StoreError when a node has the directory, or there is none."""
        path = os.path.join(self._directory, DATABASE)
        if not os.path.exists(os.path.join(path, DATA_FILE)):
            raise StoreError(
                f"{self._directory} holds no chain.", "Start the node once, or name the right place."
            )
        with self._alone():
            try:
                yield from self._counted(self._all(path))
            except Enough:
                yield Flaw(self._directory, f"{MAX_FLAWS} things are wrong; the rest was not looked at")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        files, path = Files(), os.path.join(self._directory, LOCK)
        try:
            lock = files.lock(path)
        except OSError as error:
            raise disk_error("lock", path, error) from error
        if lock is None:
            raise StoreError(f"another process uses {self._directory}.", "Stop the node first.")
        try:
            yield
        finally:
            files.close(lock)

    def _counted(self, found: Iterator[Found]) -> Iterator[Found]:
        for each in found:
            self.flaws += isinstance(each, Flaw) and each.serious
            yield each
            if self.flaws >= MAX_FLAWS:
                raise Enough

    def _all(self, path: str) -> Iterator[Found]:
        try:
            database = Database(path, readonly=True)
        except StoreError as error:
            yield _flaw(path, error)
            return
        try:
            database.check_identity(self._network, self._genesis.hash)
            tip = database.tip()
            if tip is None:
                yield Flaw(path, "there is no newest block")
                return
            self.height = tip.height
            yield from self._tip(database, tip)
            with database.snapshot() as reads:
                yield from self._records(reads, tip)
                if self._deep and not self.flaws:
                    yield from self._execution(reads, tip)
                if self._deep:
                    yield from self._tables(database, tip)
                    yield from self._coins(reads, tip)
            yield from self._log(database, tip)
        except StoreError as error:
            yield _flaw(path, error)
        finally:
            database.close()

    # The newest block

    def _tip(self, database: Database, tip: StoredTip) -> Iterator[Found]:
        data = database.header(tip.height)
        try:
            header = BlockHeader.decode(data) if data is not None else None
        except DecodeError:
            header = None
        if header is None or header.hash != tip.block_hash:
            yield Flaw(f"block {tip.height}", "it is not the newest block that was committed")
        elif utxo_root(tip.digests) != header.utxo_root:
            yield Flaw(f"block {tip.height}", "the set digest beside it is not the one its header commits to")

    # The records of each block

    def _records(self, reads: Any, tip: StoredTip) -> Iterator[Found]:
        first = 0 if self._deep else max(0, tip.height - RECENT + 1)
        previous = self._hash_before(reads, first)
        total = tip.height + 1 - first
        for height in range(first, tip.height + 1):
            where = f"block {height}"
            try:
                with explained(self._directory, "read"):
                    header = self._record(reads, height, previous)
                previous = header.hash
            except (StoreError, DecodeError, InvalidBlock, InvalidCertificate) as error:
                yield _flaw(where, error)
                previous = self._hash_of(reads, height)
            self.counts["blocks"] += 1
            if len(self._items) >= BATCH:
                yield from self._verify()
            if (height - first) % STEP == 0:
                yield Progress("blocks", height - first + 1, total)
        yield from self._verify()
        yield Progress("blocks", total, total)

    def _hash_before(self, reads: Any, first: int) -> bytes | None:
        return self._hash_of(reads, first - 1) if first else bytes(32)

    @staticmethod
    def _hash_of(reads: Any, height: int) -> bytes | None:
        """None when the header cannot be read: then the next one's link cannot be judged."""
        try:
            data = reads.header(height)
            return None if data is None else BlockHeader.decode(data).hash
        except (StoreError, DecodeError):
            return None

    def _record(self, reads: Any, height: int, previous: bytes | None) -> BlockHeader:
        """The header of a block whose records fit together; raises for the first that does not."""
        data, own = reads.block(height), reads.header(height)
        if data is None or own is None:
            raise StoreError(f"its {'block' if data is None else 'header'} is missing.")
        block = Block.decode(data)
        header = block.header
        if own != data[:HEADER_SIZE]:
            raise StoreError("the table of headers holds another header than the block.")
        if height == 0 and header.hash != self._genesis.hash:
            raise StoreError(f"it is {header.hash.hex()}, not the genesis.")
        if header.height != height or header.chain_id != self._genesis.params.chain_id:
            raise StoreError(f"its header says height {header.height} of chain {header.chain_id}.")
        if previous is not None and height and header.previous != previous:
            raise StoreError(f"it follows {header.previous.hex()}, but {previous.hex()} stands before it.")
        if tx_root(block.transactions) != header.tx_root:
            raise StoreError("its payments are not those of the Merkle root in its header.")
        if reads.height_of(header.hash) != height:
            raise StoreError("the table of heights does not find it by its hash.")
        for position, transaction in enumerate(block.transactions):
            if reads.locate(transaction.txid) != (height, position):
                raise StoreError(
                    f"the table of locations does not find its payment {transaction.txid.hex()}."
                )
        self._payments += len(block.transactions)
        if height:
            self._certificate(reads, header)
        return header

    def _certificate(self, reads: Any, header: BlockHeader) -> None:
        data = reads.certificate(header.height)
        if not data:
            raise StoreError("its certificate is missing.")
        certificate = BlockCertificate.decode(data)
        place = certificate.chain_id, certificate.height, certificate.target
        if place != (header.chain_id, header.height, header.hash):
            raise StoreError("its certificate is that of another block.")
        items = certificate.signature_items(self._genesis.roster_at(header.height))
        self._items += ((f"certificate of block {header.height}", item) for item in items)

    def _verify(self) -> Iterator[Found]:
        """The collected signatures; each thing whose signatures are wrong is named once."""
        pending, self._items = self._items, []
        self.counts["signatures"] += len(pending)
        verdicts = verify_batch([item for _, item in pending])
        wrong = dict.fromkeys(where for (where, _), good in zip(pending, verdicts, strict=True) if not good)
        for where in wrong:
            yield Flaw(where, "a signature is wrong")

    # The blocks once more

    def _execution(self, reads: Any, tip: StoredTip) -> Iterator[Found]:
        execution = Execution(reads, self._genesis)
        for height in range(1, tip.height + 1):
            try:
                with explained(self._directory, "read"):
                    items = execution.execute(height)
            except (StoreError, DecodeError, InvalidBlock, InvalidCertificate) as error:
                # What follows rests on it.
                yield _flaw(f"block {height}", error)
                return
            self._items += ((f"a payment in block {height}", item) for item in items)
            self.counts["executed"] += 1
            if len(self._items) >= BATCH:
                yield from self._verify()
            if height % STEP == 0:
                yield Progress("executed", height, tip.height)
        yield from self._verify()
        if execution.digests != tip.digests:
            yield Flaw("the set digest", "it is not the one that the blocks lead to")
        yield Progress("executed", tip.height, tip.height)

    # Tables and coins

    def _tables(self, database: Database, tip: StoredTip) -> Iterator[Found]:
        """No table has more records than the blocks account for; fewer were named above."""
        for table in ("headers", "blocks", "certificates", "heights"):
            count = database.count(table)
            if count != tip.height + 1:
                yield Flaw(f"table {table}", f"{count} records for {tip.height + 1} blocks")
        if not self.flaws and database.count("locations") != self._payments:
            yield Flaw(
                "table locations", f"{database.count('locations')} records for {self._payments} payments"
            )
        if database.count("coins") != tip.coins:
            yield Flaw("table coins", f"{database.count('coins')} coins where {tip.coins} are counted")

    def _coins(self, reads: Any, tip: StoredTip) -> Iterator[Found]:
        """Every coin; their set digest and their sum against those beside the newest block."""
        bits = len(tip.digests).bit_length() - 1
        change: dict[int, LtHash] = {}
        supply = count = 0
        try:
            for outpoint, coin in reads.coins():
                change_digests(change, bits, ((outpoint, coin),), ())
                supply += coin.output.value
                count += 1
                if count % COINS_STEP == 0:
                    yield Progress("coins", count, tip.coins)
        except StoreError as error:
            yield _flaw("table coins", error)
            return
        self.counts["coins"] = count
        yield Progress("coins", count, tip.coins)
        if (count, supply) != (tip.coins, tip.supply):
            yield Flaw(
                "table coins",
                f"{count} coins of {supply} units where {tip.coins} of {tip.supply} are counted",
            )
        if merge_digests(empty_digests(bits), change) != tip.digests:
            yield Flaw("table coins", "the digest of the coins is not the one beside the newest block")

    # The log

    def _log(self, database: Database, tip: StoredTip) -> Iterator[Found]:
        """A torn end is no flaw: an opening leaves it out. A record that is no message is one."""
        directory = os.path.join(self._directory, LOG)
        try:
            surveyed = survey(directory, self._genesis.hash, tip.height + 1, Files())
        except StoreError as error:
            yield _flaw(directory, error)
            return
        except OSError as error:
            yield _flaw(directory, disk_error("read", directory, error))
            return
        yield from self._messages("the records carried over", database.carried())
        for each in surveyed:
            try:
                yield from self._messages(f"log file {each.path}", records_of(each.path, each.end, Files()))
            except StoreError as error:
                yield _flaw(each.path, error)
            if each.note:
                yield Flaw(
                    each.path, each.note,
                    "The next start leaves it out. A member that may have lost a signature abstains until the next block.",
                    serious=False,
                )  # fmt: skip

    def _messages(self, where: str, records: Iterable[bytes]) -> Iterator[Found]:
        for number, record in enumerate(records):
            self.counts["records"] += 1
            try:
                decode_record(record)
            except DecodeError as error:
                yield Flaw(where, f"record {number} is no message ({error})", "Report this with the version.")


def _flaw(where: str, error: Exception) -> Flaw:
    hint = getattr(error, "hint", "")
    message = getattr(error, "message", str(error))
    return Flaw(where, message.removesuffix("."), hint or FETCH_AGAIN)
