"""`BesideCheck`: indexes and the log of events, record by record."""

from __future__ import annotations

import os

from twisted.trial.unittest import SynchronousTestCase

from tests.index_world import GENESIS, RandomChain, builders_of, finish
from timed.feed.log import TABLES as EVENT_TABLES
from timed.feed.log import Bounds, FeedLog
from timed.index import checking
from timed.index.checking import BesideCheck
from timed.index.database import IndexDatabase
from timed.index.tables import INDEXES
from timed.store.checking import Flaw, Progress

AGAIN = "Build it again."
BLOCKS = 8


class Indexes(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = os.path.abspath(self.mktemp())
        chain = RandomChain()
        for number in range(BLOCKS):
            chain.grow([(number, number + 1), (number + 5, number)])
        builders = builders_of(self.directory, chain.store)
        for builder in builders.values():
            finish(builder)
            builder.close()

    def check(self, name: str, tip: int | None = BLOCKS, genesis: bytes = GENESIS.hash) -> list[Flaw]:
        self.checked = BesideCheck(
            os.path.join(self.directory, name), INDEXES[name].tables, genesis, tip, AGAIN
        )
        self.assertTrue(self.checked.exists)
        found = list(self.checked.run())
        self.progress = [each for each in found if isinstance(each, Progress)]
        return [each for each in found if isinstance(each, Flaw)]

    def test_whole_ones(self) -> None:
        for name in INDEXES:
            self.assertEqual(self.check(name), [])
            self.assertGreater(self.checked.records, 2)

    def test_progress_is_told(self) -> None:
        self.patch(checking, "STEP", 1)
        self.assertEqual(self.check("spent"), [])
        self.assertEqual(len(self.progress), self.checked.records)

    def test_a_record_that_is_damaged(self) -> None:
        """Of each table of each index; the others are looked at all the same."""
        for name, index in INDEXES.items():
            for table in index.tables:
                whole = self.check(name) == [] and self.checked.records
                database = IndexDatabase(os.path.join(self.directory, name), index.tables)
                with database._environment.begin(write=True) as transaction:
                    cursor = transaction.cursor(db=database._tables[table])
                    self.assertTrue(cursor.last(), table)
                    key, value = bytes(cursor.key()), bytes(cursor.value())
                    transaction.put(key, value[:-1] + bytes((value[-1] ^ 1,)), db=database._tables[table])
                database.close()
                [flaw] = self.check(name)
                self.assertIn(f"of table {table}", flaw.what)
                self.assertEqual(flaw.remedy, AGAIN)
                self.assertEqual(self.checked.records, int(whole) - 1)
                database = IndexDatabase(os.path.join(self.directory, name), index.tables)
                with database._environment.begin(write=True) as transaction:
                    transaction.put(key, value, db=database._tables[table])
                database.close()

    def test_one_of_another_chain(self) -> None:
        [flaw] = self.check("spent", genesis=bytes(32))
        self.assertIn("belongs to a chain with genesis", flaw.what)

    def test_one_that_is_ahead_mends_itself(self) -> None:
        [flaw] = self.check("spent", tip=BLOCKS - 2)
        self.assertIn(f"at block {BLOCKS}", flaw.what)
        self.assertFalse(flaw.serious)
        self.assertEqual(self.check("spent", tip=None), [])

    def test_a_file_that_was_cut_short(self) -> None:
        path = os.path.join(self.directory, "spent", "data.mdb")
        os.truncate(path, 4096)
        [flaw] = self.check("spent")
        self.assertEqual(flaw.remedy, AGAIN)

    def test_the_log_of_events(self) -> None:
        path = os.path.abspath(self.mktemp())
        FeedLog(path, GENESIS.hash, Bounds(100, 1 << 20, 0), os.urandom).close()
        checked = BesideCheck(path, EVENT_TABLES, GENESIS.hash, 0, AGAIN)
        self.assertEqual(list(checked.run()), [])
        self.assertGreater(checked.records, 0)
