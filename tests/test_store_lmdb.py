"""The default store: whose directory it is, and what crashes and damage leave."""

from __future__ import annotations

import errno
import os
import resource
import shutil
from collections.abc import Callable
from typing import Any

import lmdb
from twisted.trial.unittest import SynchronousTestCase

from tests.builders import ChainBuilder, genesis, transfer
from timed.errors import StoreError
from timed.store import database
from timed.store.database import Database
from timed.store.environment import explained
from timed.store.files import LOW_WATER, Files
from timed.store.lmdb import LmdbStore
from timed.store.records import Identity

GENESIS = genesis()


class Crashed(Exception):
    """The process ended here."""


class CountingFiles(Files):
    """Real files; operation number `crash_at` ends the process, `fail_at` raises `code`."""

    def __init__(self, crash_at: int = -1, fail_at: int = -1, code: int = errno.EIO) -> None:
        self.operations = 0
        self.crash_at, self.fail_at, self.code = crash_at, fail_at, code
        self.space = 2**40
        self.synced_directories: list[str] = []

    def _operation(self) -> None:
        number, self.operations = self.operations, self.operations + 1
        if number == self.crash_at:
            raise Crashed
        if number == self.fail_at:
            raise OSError(self.code, os.strerror(self.code))

    def create(self, path: str) -> int:
        self._operation()
        return super().create(path)

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        self._operation()
        return super().write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        self._operation()
        super().sync(descriptor)

    def rename(self, path: str, new: str) -> None:
        self._operation()
        super().rename(path, new)

    def remove(self, path: str) -> None:
        self._operation()
        super().remove(path)

    def sync_directory(self, path: str) -> None:
        self._operation()
        super().sync_directory(path)
        self.synced_directories.append(os.path.abspath(path))

    def free(self, directory: str) -> int:
        return self.space


class LmdbCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = os.path.join(self.mktemp(), "chain")
        self.commits = [GENESIS.commit()]
        self.chain = ChainBuilder(GENESIS)
        self.commits.append(self.chain.extend([transfer([self.chain.allocation(0)], [10**9])]))
        self.commits.append(self.chain.extend())

    def open(
        self,
        directory: str | None = None,
        network: str = "regtest",
        genesis_hash: bytes = GENESIS.hash,
        files: Files | None = None,
    ) -> LmdbStore:
        store = LmdbStore(directory or self.directory, network, genesis_hash, files)
        self.addCleanup(store.close)
        return store

    def refused(self, *arguments: object, **keywords: object) -> StoreError:
        """The error of opening: one sentence that ends, and one hint."""
        error = self.assertRaises(StoreError, self.open, *arguments, **keywords)
        self.assertTrue(error.message.endswith(".") and error.hint.endswith("."), str(error))
        return error


class DirectoryTests(LmdbCase):
    """[16] A node never signs with somebody else's memory."""

    def test_it_opens_again_at_its_tip(self) -> None:
        store = self.open()
        store.commit_many(self.commits)
        store.append([b"vote"])
        before = (store.tip(), list(store.coins()), list(store.replay()))
        store.close()
        store.close()
        again = self.open()
        self.assertEqual((again.tip(), list(again.coins()), list(again.replay())), before)
        self.assertEqual((again.doubtful, again.notes), (False, ()))

    def test_its_own_name_is_durable_before_anything_is_signed(self) -> None:
        """[16] After a power cut the key must not be there without what it has signed."""
        files = CountingFiles()
        self.open(files=files)
        self.assertIn(os.path.dirname(os.path.abspath(self.directory)), files.synced_directories)

    def test_tables_that_nobody_has_finished_making(self) -> None:
        """The files stay usable, also as long as somebody holds the error."""
        directory = self.mktemp()
        os.makedirs(directory)
        lmdb.open(directory, max_dbs=1).close()
        try:
            Database(directory, readonly=True)
        except StoreError as error:
            found = error
        self.assertIn("lacks tables", found.message)
        Database(directory).close()

    def test_two_processes_at_once(self) -> None:
        self.open()
        self.assertIn("another process uses", self.refused().message)

    def test_a_closed_store_can_be_opened_by_the_next(self) -> None:
        self.open().close()
        self.assertIsNone(self.open().tip())

    def test_another_network(self) -> None:
        self.open().close()
        self.assertIn("belongs to regtest, not to testnet", self.refused(network="testnet").message)

    def test_another_genesis(self) -> None:
        self.open().close()
        error = self.refused(genesis_hash=bytes(32))
        self.assertIn(f"genesis {GENESIS.hash.hex()}", error.message)

    def test_another_schema(self) -> None:
        for schema, words in ((2, "newer timed"), (0, "older timed")):
            directory = os.path.join(self.mktemp(), "chain")
            self.open(directory).close()
            database = Database(os.path.join(directory, "db"))
            with database._environment.begin(write=True) as transaction:
                record = Identity(schema, "regtest", GENESIS.hash).encode()
                database._put(transaction, "meta", b"identity", record)
            database.close()
            self.assertIn(words, self.refused(directory).message)

    def test_somebody_elses_directory(self) -> None:
        os.makedirs(self.directory)
        with open(os.path.join(self.directory, "thesis.tex"), "w", encoding="ascii") as file:
            file.write("years of work")
        self.assertIn("such as thesis.tex", self.refused().message)
        self.assertEqual(os.listdir(self.directory), ["thesis.tex"])

    def test_a_file_where_the_directory_should_be(self) -> None:
        os.makedirs(os.path.dirname(self.directory))
        with open(self.directory, "w", encoding="ascii") as file:
            file.write("")
        self.assertIn("cannot use", self.refused().message)

    def test_an_unwritable_directory(self) -> None:
        class ReadOnly(Files):
            def lock(self, path: str) -> int | None:
                raise OSError(errno.EACCES, os.strerror(errno.EACCES))

        error = self.refused(files=ReadOnly())
        self.assertIn("Permission denied", error.message)
        self.assertIn("right to write", error.hint)

    def test_a_database_that_is_none(self) -> None:
        self.open().close()
        with open(os.path.join(self.directory, "db", "data.mdb"), "r+b") as file:
            file.write(b"?" * 8192)
        self.assertIn("damaged or not a chain database", self.refused().message)

    def test_a_database_that_was_cut_short(self) -> None:
        store = self.open()
        store.commit_many(self.commits)
        store.close()
        with open(os.path.join(self.directory, "db", "data.mdb"), "r+b") as file:
            file.truncate(8 * 4096)
        self.assertIn("was cut short", self.refused().message)

    def test_a_refusal_leaves_nothing_open(self) -> None:
        self.open().close()
        self.refused(network="testnet")
        for operation in range(3):
            self.refused(files=CountingFiles(fail_at=operation))
        self.open()

    def test_a_reader_shares_the_database_of_the_writer(self) -> None:
        store = self.open()
        store.commit_many(self.commits)
        store.close()
        reader = Database(os.path.join(self.directory, "db"), readonly=True)
        self.addCleanup(reader.close)
        reader.check_identity("regtest", GENESIS.hash)
        tip = reader.tip()
        self.assertEqual(None if tip is None else tip.height, 2)
        self.assertRaises(StoreError, reader.write, self.commits[:1])


class CrashTests(LmdbCase):
    """The process ends at every operation on files; a new one opens a copy of the directory."""

    def scenario(self, store: LmdbStore, reached: Callable[[str], None]) -> None:
        """Three blocks with records between them."""
        for number, commit in enumerate(self.commits):
            store.commit(commit)
            reached(f"block {number}")
            store.append([b"record %d" % number])
            reached(f"record {number}")

    def expectations(self) -> dict[str, tuple[int, tuple[bytes, ...]]]:
        """Milestone -> (height, records) of a store that stopped right there."""
        expected: dict[str, tuple[int, tuple[bytes, ...]]] = {"": (-1, ())}
        for number in range(len(self.commits)):
            expected[f"block {number}"] = (number, ())
            expected[f"record {number}"] = (number, (b"record %d" % number,))
        return expected

    def survives(self, files: CountingFiles) -> tuple[str, tuple[int, tuple[bytes, ...]]]:
        """Run until the crash; the last milestone reached, and what a new process finds."""
        directory = os.path.join(self.mktemp(), "chain")
        milestones = [""]
        try:
            self.scenario(self.open(directory, files=files), milestones.append)
        except Crashed:
            copy = os.path.join(self.mktemp(), "chain")
            shutil.copytree(directory, copy)
            directory = copy
        else:
            self.fail("nothing crashed")
        store = self.open(directory)
        tip = store.tip()
        found = (-1 if tip is None else tip.height, tuple(store.replay()))
        if tip is not None:
            self.assertEqual(tip.digests, self.commits[tip.height].digests)
            self.assertEqual(tip.supply, sum(coin.output.value for _, coin in store.coins()))
        self.assertFalse(store.doubtful)
        store.commit(self.commits[found[0] + 1]) if found[0] < 2 else store.append([b"goes on"])
        store.close()
        return milestones[-1], found

    def test_before_or_after_but_nothing_between(self) -> None:
        """[16] At every operation the store is as before the step or as after it."""
        whole = CountingFiles()
        store = self.open(files=whole)
        self.scenario(store, lambda milestone: None)
        expected = self.expectations()
        order = list(expected)
        for at in range(whole.operations):
            milestone, found = self.survives(CountingFiles(crash_at=at))
            following = order[order.index(milestone) + 1] if milestone != order[-1] else milestone
            self.assertIn(found, (expected[milestone], expected[following]), at)

    def test_a_transaction_that_did_not_end_left_nothing(self) -> None:
        store = self.open()
        store.commit(self.commits[0])
        store.append([b"lock"])

        commit = self.commits[1]
        coins = list(store.coins())
        accounting = self.patch(database, "next_tip", _crash_after(database.next_tip, steps=1))
        self.assertRaises(Crashed, store.commit_many, self.commits[1:])
        accounting.restore()
        tip = store.tip()
        self.assertEqual(None if tip is None else tip.height, 0)
        self.assertEqual((list(store.coins()), list(store.replay())), (coins, [b"lock"]))
        self.assertIsNone(store.block(1))
        store.commit(commit)


def _crash_after(function: Callable[..., Any], steps: int) -> Callable[..., Any]:
    """`function`, which works so many times and then ends the process."""
    calls = []

    def call(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) > steps:
            raise Crashed
        return function(*arguments)

    return call


class FailureTests(LmdbCase):
    """What errors of the disk leave behind."""

    def test_below_the_low_water_mark_nothing_is_written(self) -> None:
        files = CountingFiles()
        store = self.open(files=files)
        store.commit(self.commits[0])
        files.space = LOW_WATER - 1
        self.assertRaises(StoreError, store.commit, self.commits[1])
        self.assertRaises(StoreError, store.append, [b"vote"])
        files.space = LOW_WATER
        store.append([b"vote"])
        store.commit(self.commits[1])
        self.assertEqual(list(store.replay()), [])

    def test_files_that_may_not_grow(self) -> None:
        """The operating system itself refuses, in the middle of a transaction and of an append."""
        store = self.open()
        store.commit(self.commits[0])
        before = (store.tip(), list(store.coins()))
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        size = os.path.getsize(os.path.join(self.directory, "db", "data.mdb"))
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        try:
            self.assertRaises(StoreError, store.commit, self.commits[1])
            self.assertRaises(StoreError, store.append, [bytes(size)])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        store.append([b"room again"])
        self.assertEqual((store.tip(), list(store.coins())), before)
        store.close()
        again = self.open()
        self.assertEqual((again.tip(), list(again.replay())), (before[0], [b"room again"]))
        again.commit_many(self.commits[1:])
        self.assertEqual(getattr(again.tip(), "height", None), 2)

    def test_a_full_disk_is_named_and_costs_nothing(self) -> None:
        store = self.open(files=CountingFiles())
        store.commit(self.commits[0])
        transaction = self.patch(store, "_database", _Full(store._database))
        error = self.assertRaises(StoreError, store.commit, self.commits[1])
        self.assertIn("the disk is full", error.message)
        transaction.restore()
        store.commit(self.commits[1])
        self.assertEqual(getattr(store.tip(), "height", None), 1)

    def test_a_failed_sync_stops_appends_and_commits_until_reopened(self) -> None:
        """A node that cannot write its vote down does not vote, and says so."""
        files = CountingFiles()
        store = self.open(files=files)
        store.commit(self.commits[0])
        store.append([b"kept"])
        files.fail_at = files.operations + 1
        self.assertIn("cannot sync", str(self.assertRaises(StoreError, store.append, [b"unsure"])))
        for write in (lambda: store.append([b"no"]), lambda: store.commit(self.commits[1])):
            self.assertIn("Restart the node.", str(self.assertRaises(StoreError, write)))
        self.assertEqual(getattr(store.tip(), "height", None), 0)
        store.close()
        again = self.open()
        self.assertEqual(next(iter(again.replay())), b"kept")
        again.commit(self.commits[1])

    def test_old_logs_that_cannot_be_removed_do_not_fail_a_commit(self) -> None:
        files = CountingFiles()
        store = self.open(files=files)
        store.commit(self.commits[0])
        store.append([b"vote"])
        files.fail_at = files.operations
        store.commit(self.commits[1])
        store.close()
        again = self.open()
        self.assertEqual((getattr(again.tip(), "height", None), list(again.replay())), (1, []))


class DamageTests(LmdbCase):
    def test_a_damaged_record_is_named_and_never_used(self) -> None:
        """Table, key and file stand in the message; the other records stay readable."""
        store = self.open()
        store.commit_many(self.commits)
        table = store._database._tables["blocks"]
        with store._database._environment.begin(write=True, db=table) as transaction:
            key = (1).to_bytes(8, "big")
            value = bytearray(transaction.get(key))
            value[len(value) // 2] ^= 1
            transaction.put(key, bytes(value))
        error = self.assertRaises(StoreError, store.block, 1)
        self.assertIn(f"{key.hex()} of table blocks in {store._database.path} is damaged", error.message)
        self.assertEqual(store.header(1), self.commits[1].block[: len(store.header(0) or b"")])
        self.assertEqual(store.block(2), self.commits[2].block)


class _Full:
    """A database on a full disk."""

    def __init__(self, database: Database) -> None:
        self.path = database.path

    def write(self, commits: object) -> None:
        with explained(self.path, "write"):
            raise lmdb.DiskError("mdb_txn_commit: No space left on device")
