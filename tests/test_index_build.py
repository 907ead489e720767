"""Indexes say what a walk over all blocks says, whatever happens while they are built."""

from __future__ import annotations

import os
import shutil
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.builders import ChainBuilder, genesis
from tests.index_world import (
    GENESIS,
    Naive,
    RandomChain,
    blocks_of,
    builders_of,
    differences,
    finish,
    reader_of,
)
from timed.errors import StoreError
from timed.index import builder as building
from timed.index.database import INDEX_SCHEMA, IndexDatabase, Records
from timed.index.reader import IndexReader
from timed.index.records import IndexIdentity, Progress
from timed.index.tables import ADDRESSES, INDEXES, NAMES, SPENT
from timed.primitives.transaction import OutPoint
from timed.store.files import Files
from timed.store.memory import MemoryStore

PAYMENTS = st.lists(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=4), max_size=5)
SOME = ([(0, 1), (3, 9)], [], [(4, 5), (0, 17), (2, 11)], [(1, 2)], [(5, 3), (6, 8)])


class Crashed(Exception):
    """The process ended here."""


class IndexCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = self.mktemp()
        self.chain = RandomChain()

    def grow(self, payments: Any = SOME) -> None:
        for block in payments:
            self.chain.grow(block)

    def builders(self, directory: str | None = None, store: Any = None) -> dict[str, Any]:
        made = builders_of(directory or self.directory, store or self.chain.store)
        for builder in made.values():
            self.addCleanup(builder.close)
        return made

    def assert_right(self, builders: dict[str, Any], store: Any = None) -> None:
        naive = Naive(blocks_of(store or self.chain.store))
        self.assertEqual(differences(reader_of(builders), naive), [])


class Contents(IndexCase):
    @settings(max_examples=12, deadline=None)
    @given(PAYMENTS)
    def test_every_answer_is_that_of_a_walk_over_the_blocks(self, payments: Any) -> None:
        self.chain, directory = RandomChain(), self.mktemp()
        self.grow(payments)
        builders = self.builders(directory)
        for builder in builders.values():
            finish(builder)
        self.assert_right(builders)
        for builder in builders.values():
            builder.close()

    def test_it_follows_a_chain_that_grows(self) -> None:
        builders = self.builders()
        for block in SOME:
            for builder in builders.values():
                finish(builder)
            self.chain.grow(block)
            self.assertEqual([builder.step().blocks for builder in builders.values()], [1] * len(NAMES))
            self.assert_right(builders)

    def test_a_batch_is_bounded(self) -> None:
        self.grow()
        self.patch(building, "MAX_BATCH_BLOCKS", 2)
        builder = self.builders()[ADDRESSES]
        self.assertEqual([builder.step().height for _ in range(3)], [1, 3, 5])
        self.patch(building, "MAX_BATCH_BYTES", 1)
        self.assertEqual(self.builders()[SPENT].step().height, 0)

    def test_a_step_with_nothing_to_do_writes_nothing(self) -> None:
        builder = self.builders()[SPENT]
        finish(builder)
        self.patch(IndexDatabase, "writing", None)
        self.assertEqual(builder.step().blocks, 0)


class Crashes(IndexCase):
    """The process ends at a write, or kills the one it was in: the next one goes on from there."""

    def crash_at(self, number: int) -> None:
        count = [0]

        def dying(call: Any) -> Any:
            def act(*arguments: Any) -> Any:
                count[0] += 1
                if count[0] > number:
                    raise Crashed
                return call(*arguments)

            return act

        for name in ("put", "delete", "pop", "set_progress"):
            self.patch(Records, name, dying(self.originals[name]))

    def setUp(self) -> None:
        super().setUp()
        self.originals = {name: getattr(Records, name) for name in ("put", "delete", "pop", "set_progress")}
        self.grow(SOME[:3])

    def test_at_every_write_nothing_is_lost_or_counted_twice(self) -> None:
        self.patch(building, "MAX_BATCH_BLOCKS", 2)
        points = 0
        for name in NAMES:
            for number in range(1_000):
                directory = self.mktemp()
                builder = builders_of(directory, self.chain.store)[name]
                self.crash_at(number)
                try:
                    finish(builder)
                    crashed = False
                except Crashed:
                    crashed = True
                builder.close()
                for each, call in self.originals.items():
                    setattr(Records, each, call)
                if not crashed:
                    break
                points += 1
                if number % 3 and name != SPENT:
                    continue
                builders = self.builders(directory)
                for other in builders.values():
                    finish(other)
                self.assert_right(builders)
                for other in builders.values():
                    other.close()
        self.assertGreater(points, 60)

    def test_a_copy_of_the_files_between_two_batches_is_a_good_start(self) -> None:
        self.patch(building, "MAX_BATCH_BLOCKS", 1)
        builders = self.builders()
        for builder in builders.values():
            builder.step()
            builder.step()
        copy = self.mktemp()
        shutil.copytree(self.directory, copy)
        again = self.builders(copy)
        for builder in again.values():
            self.assertEqual(builder.step().height, 2)
            finish(builder)
        self.assert_right(again)


class OtherChains(IndexCase):
    """Blocks are final, so an index that does not fit the store is of another one."""

    def setUp(self) -> None:
        super().setUp()
        self.grow()
        for builder in self.builders().values():
            finish(builder)
            builder.close()

    def rebuilt(self, store: Any) -> str:
        """Why the index by address was thrown away; it is right afterwards."""
        builders = self.builders(store=store)
        step = builders[ADDRESSES].step()
        for builder in builders.values():
            finish(builder)
        self.assert_right(builders, store)
        return str(step.rebuilt)

    def test_one_that_is_ahead_of_a_restored_copy_is_built_again(self) -> None:
        older = RandomChain()
        for block in SOME[:2]:
            older.grow(block)
        self.assertIn("at block 5 and the chain at 2", self.rebuilt(older.store))

    def test_one_of_other_blocks_is_built_again(self) -> None:
        other = RandomChain()
        for block in (*SOME[1:], [], []):
            other.grow(block)
        self.assertIn("is not of this chain", self.rebuilt(other.store))

    def test_one_of_another_genesis_is_built_again(self) -> None:
        other = ChainBuilder(genesis(2))
        builder = building.IndexBuilder(
            INDEXES[SPENT], other.store, os.path.join(self.directory, SPENT), other.genesis.hash
        )
        self.addCleanup(builder.close)
        self.assertIn(GENESIS.hash.hex(), str(builder.step().rebuilt))
        self.assertEqual(builder.step().height, 0)

    def test_one_of_another_schema_is_built_again(self) -> None:
        database = IndexDatabase(os.path.join(self.directory, ADDRESSES), INDEXES[ADDRESSES].tables)
        with database.writing() as records:
            records.put(
                "meta", b"identity", IndexIdentity(INDEX_SCHEMA + 1, ADDRESSES, GENESIS.hash).encode()
            )
        database.close()
        self.assertIn(f"schema {INDEX_SCHEMA + 1}", self.rebuilt(self.chain.store))

    def test_one_that_fits_is_kept(self) -> None:
        self.assertEqual(self.rebuilt(self.chain.store), "None")

    def test_a_store_without_a_block_leaves_it_empty(self) -> None:
        builder = self.builders(store=MemoryStore())[SPENT]
        step = builder.step()
        self.assertEqual((step.height, step.target, step.done), (-1, -1, True))
        self.assertIn("the chain at -1", str(step.rebuilt))


class Damage(IndexCase):
    """Damage is named with its place; nothing wrong is answered."""

    def setUp(self) -> None:
        super().setUp()
        self.grow()
        self.finished = self.builders()
        for builder in self.finished.values():
            finish(builder)

    def test_a_flipped_bit_in_a_record(self) -> None:
        database = self.finished[SPENT].database
        outpoint = next(iter(Naive(blocks_of(self.chain.store)).spends()))
        with database.writing() as records:
            value = bytearray(records._transaction.get(outpoint.key, db=database._tables["spends"]))
            value[0] ^= 1
            records._transaction.put(outpoint.key, bytes(value), db=database._tables["spends"])
        reader = reader_of(self.finished)
        error = self.assertRaises(StoreError, reader.spent.spender, outpoint)
        self.assertIn("table spends", error.message)
        self.assertIn("store-seal", error.message)

    def test_a_file_that_is_cut_short_or_no_database(self) -> None:
        for name, damage in ((SPENT, None), (ADDRESSES, b"?" * 8192)):
            builder = self.finished[name]
            builder.close()
            with open(os.path.join(builder.path, "data.mdb"), "r+b") as file:
                if damage is None:
                    file.truncate(8192)
                else:
                    file.write(damage)
            error = self.assertRaises(StoreError, builder.step)
            self.assertTrue(error.hint, error)
            self.assertIn(builder.path, error.message)

    def test_a_coin_that_is_not_there_is_named(self) -> None:
        builder = self.finished[ADDRESSES]
        outpoint, _ = self.chain.coins[0]
        with builder.database.writing() as records:
            records.delete("coins", outpoint.key)
        self.chain.grow([(0, 0)])
        error = self.assertRaises(StoreError, builder.step)
        self.assertIn("which the index does not hold", error.message)
        self.assertEqual(builder.database.progress().height, 5)

    def test_a_full_disk_leaves_room_for_the_chain(self) -> None:
        class Full(Files):
            def free(self, directory: str) -> int:
                return building.SPARE_SPACE - 1

        builder = self.finished[SPENT]
        builder._files = Full()
        builder.step()
        self.chain.grow([])
        error = self.assertRaises(StoreError, builder.step)
        self.assertIn("are free", error.message)
        builder._files = Files()
        self.assertEqual(builder.step().height, 6)

    def test_blocks_of_the_store_that_do_not_follow(self) -> None:
        store: Any = self.chain.store
        builder = self.finished[SPENT]
        self.chain.grow([])
        store._blocks[6] = store._blocks[4]
        self.assertIn("does not follow", self.assertRaises(StoreError, builder.step).message)
        store._blocks[6] = b"nonsense"
        self.assertIn("damaged", self.assertRaises(StoreError, builder.step).message)


class ReadOnly(IndexCase):
    """Another process reads what this one builds."""

    def test_it_sees_what_is_durable(self) -> None:
        builders = self.builders()
        for builder in builders.values():
            finish(builder)
            builder.close()
        reader = IndexReader(self.directory, GENESIS.hash, NAMES)
        self.addCleanup(reader.close)
        self.assertEqual(differences(reader, Naive(blocks_of(self.chain.store))), [])

    def test_what_is_off_or_not_built_is_none(self) -> None:
        reader = IndexReader(self.directory, GENESIS.hash, (SPENT,))
        self.assertEqual((reader.spent, reader.addresses, reader.transactions), (None, None, None))

    def test_what_says_not_yet_whose_it_is_is_none(self) -> None:
        """Between the making of the file and its first record."""
        path = os.path.join(self.directory, SPENT)
        os.makedirs(path)
        IndexDatabase(path, INDEXES[SPENT].tables).close()
        reader = IndexReader(self.directory, GENESIS.hash, (SPENT,))
        self.addCleanup(reader.close)
        self.assertIsNone(reader.spent)
        builder = self.builders()[SPENT]
        finish(builder)
        builder.close()
        self.assertIsNotNone(reader.spent)

    def test_an_index_of_another_chain_is_refused(self) -> None:
        builder = self.builders()[SPENT]
        finish(builder)
        builder.close()
        reader = IndexReader(self.directory, bytes(32), (SPENT,))
        self.assertIn("another index", self.assertRaises(StoreError, lambda: reader.spent).message)

    def test_one_that_is_refused_stays_closed(self) -> None:
        """Also as long as somebody holds the error."""
        builder = self.builders()[SPENT]
        finish(builder)
        builder.close()
        damage = StoreError("the record is damaged.")

        def fail(records: Records) -> None:
            raise damage

        broken = self.patch(Records, "identity", fail)
        reader = IndexReader(self.directory, GENESIS.hash, (SPENT,))
        self.addCleanup(reader.close)
        self.assertIs(self.assertRaises(StoreError, lambda: reader.spent), damage)
        broken.restore()
        self.assertIsNotNone(reader.spent)

    def test_it_cannot_write(self) -> None:
        builder = self.builders()[SPENT]
        finish(builder)
        builder.close()
        database = IndexDatabase(builder.path, INDEXES[SPENT].tables, readonly=True)
        self.addCleanup(database.close)

        def write() -> None:
            with database.writing() as records:
                records.set_progress(Progress(9, bytes(32)))

        self.assertRaises(StoreError, write)
        with database.reading() as records:
            self.assertIsNone(records.get("spends", OutPoint(bytes(32), 0).key, Progress.decode))
