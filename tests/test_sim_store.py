"""The store that forgets: what is durable, and what a crash leaves."""

from __future__ import annotations

import random

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from timed.errors import StoreError
from timed.interfaces import IStore
from timed.sim.cast import make_cast
from timed.sim.store import LossyStore

GENESIS = make_cast(1, 4, 15).genesis


def opened() -> LossyStore:
    store = LossyStore()
    store.commit(GENESIS.commit())
    return store


class DurabilityTests(SynchronousTestCase):
    def test_provides_the_store_interface(self) -> None:
        self.assertTrue(verifyObject(IStore, LossyStore()))

    def test_staged_records_are_visible_to_nobody_until_synced(self) -> None:
        store = opened()
        store.stage((b"one", b"two"))
        self.assertEqual((tuple(store.replay()), store.unsynced), ((), 1))
        store.sync()
        self.assertEqual((tuple(store.replay()), store.unsynced), ((b"one", b"two"), 0))

    def test_append_and_commit_return_when_durable(self) -> None:
        store = opened()
        store.append((b"record",))
        after = store.crash(random.Random(1), lose_all=True)
        self.assertEqual(tuple(after.replay()), (b"record",))
        tip = after.tip()
        self.assertEqual(tip.height if tip is not None else None, 0)

    def test_a_staged_block_is_no_block_after_a_crash_that_loses_it(self) -> None:
        store = LossyStore()
        store.stage(GENESIS.commit())
        self.assertIsNone(store.crash(random.Random(1), lose_all=True).tip())

    def test_a_failing_disk_refuses_writes_and_keeps_what_it_has(self) -> None:
        store = opened()
        store.append((b"kept",))
        store.stage((b"lost",))
        store.failing = "input/output error"
        self.assertRaises(StoreError, store.sync)
        self.assertRaises(StoreError, store.stage, (b"refused",))
        store.failing = ""
        self.assertEqual(tuple(store.crash(random.Random(1), lose_all=True).replay()), (b"kept",))


class CrashTests(SynchronousTestCase):
    def test_a_crash_that_loses_all_keeps_only_what_was_synced(self) -> None:
        store = opened()
        store.append((b"synced",))
        store.stage((b"staged",))
        self.assertEqual(tuple(store.crash(random.Random(1), lose_all=True).replay()), (b"synced",))

    def test_what_survives_is_a_prefix_and_every_length_occurs(self) -> None:
        """A crash may come at any write boundary, and tear the last batch at any record."""
        writes = [(b"1", b"2"), (b"3",), (b"4", b"5", b"6")]
        flat = tuple(record for write in writes for record in write)
        lengths = set()
        for seed in range(200):
            store = opened()
            for write in writes:
                store.stage(write)
            after = store.crash(random.Random(seed), lose_all=False)
            survived = tuple(after.replay())
            self.assertEqual(survived, flat[: len(survived)])
            self.assertEqual(tuple(r for write in after.kept for r in write), survived)  # type: ignore[union-attr]
            lengths.add(len(survived))
        self.assertEqual(lengths, set(range(len(flat) + 1)))

    def test_doubt_about_a_torn_tail_lasts_until_a_block_is_committed(self) -> None:
        store = LossyStore()
        for seed in range(200):
            store.stage((b"a", b"b", b"c"))
            store = store.crash(random.Random(seed), lose_all=False)
            if store.doubtful:
                break
        self.assertTrue(store.doubtful)
        store = store.crash(random.Random(0), lose_all=True)
        self.assertTrue(store.doubtful)
        store.commit(GENESIS.commit())
        self.assertFalse(store.doubtful)
