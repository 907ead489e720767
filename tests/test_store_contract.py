"""What every store promises, whatever it keeps its data in."""

from __future__ import annotations

import os
from typing import Any

import attrs
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.builders import ChainBuilder, genesis, outputs_of, transfer, wallet_key
from timed.codec.declare import maximum_size
from timed.errors import StoreError
from timed.interfaces import BlockCommit, IStore, IStoreBackend
from timed.ledger.content import HEADER_SIZE
from timed.primitives.block import Block
from timed.primitives.layouts import BLOCK_HEADER
from timed.store.lmdb import LmdbBackend, LmdbStore
from timed.store.memory import MemoryBackend, MemoryStore

GENESIS = genesis()


def chain_of_three() -> tuple[ChainBuilder, list[BlockCommit]]:
    """A chain with a payment, and a payment that is spent in its own block."""
    chain = ChainBuilder(GENESIS)
    first = transfer([chain.allocation(0)], [10**9], to=wallet_key(2))
    commits = [GENESIS.commit(), chain.extend([first])]
    second = transfer([chain.allocation(1)], [10**9])
    third = transfer(outputs_of(second)[:1])
    return chain, [*commits, chain.extend([second, third]), chain.extend()]


class Contract:
    """The tests; a subclass says how to open a store."""

    def open(self) -> Any:
        raise NotImplementedError

    def filled(self) -> tuple[Any, ChainBuilder, list[BlockCommit]]:
        store = self.open()
        chain, commits = chain_of_three()
        for commit in commits:
            store.commit(commit)
        return store, chain, commits

    def test_it_provides_the_interface(self: Any) -> None:
        self.assertTrue(verifyObject(IStore, self.open()))
        self.assertTrue(verifyObject(IStoreBackend, self.backend))

    def test_an_empty_store_has_no_tip(self: Any) -> None:
        store = self.open()
        self.assertIsNone(store.tip())
        self.assertEqual(
            [store.block(0), store.header(0), store.certificate(0), store.height_of(bytes(32))], [None] * 4
        )
        self.assertEqual((list(store.coins()), list(store.replay()), store.doubtful), ([], [], False))

    def test_blocks_are_found_by_height_hash_and_txid(self: Any) -> None:
        store, _, commits = self.filled()
        for commit in commits:
            self.assertEqual(store.block(commit.height), commit.block)
            self.assertEqual(store.header(commit.height), Block.decode(commit.block).header.encode())
            self.assertEqual(store.certificate(commit.height), commit.certificate)
            self.assertEqual(store.height_of(commit.block_hash), commit.height)
            for position, txid in enumerate(commit.txids):
                self.assertEqual(store.locate(txid), (commit.height, position))
        self.assertEqual((store.block(4), store.block(-1), store.locate(bytes(32))), (None, None, None))

    def test_the_tip_says_what_the_coins_are(self: Any) -> None:
        """[15] Supply and count are those of the unspent outputs, and of what was emitted."""
        store, _, commits = self.filled()
        tip, coins = store.tip(), list(store.coins())
        self.assertEqual(
            (tip.height, tip.block_hash, tip.digests), (3, commits[-1].block_hash, commits[-1].digests)
        )
        self.assertEqual(tip.coins, len(coins))
        self.assertEqual(tip.supply, sum(coin.output.value for _, coin in coins))
        blocks = [Block.decode(commit.block) for commit in commits]
        emitted = blocks[0].header.reward + 3 * (blocks[3].header.reward)
        self.assertEqual(tip.supply, emitted)

    def test_coins_come_in_key_order_and_one_by_one(self: Any) -> None:
        store, chain, _ = self.filled()
        coins = list(store.coins())
        self.assertEqual([o.key for o, _ in coins], sorted(o.key for o, _ in coins))
        for outpoint, coin in coins:
            self.assertEqual(store.coin(outpoint), coin)
        self.assertIsNone(store.coin(chain.allocation(0)[0]))

    def test_a_coin_made_and_spent_in_one_block_is_gone(self: Any) -> None:
        store, _, commits = self.filled()
        made = {outpoint for outpoint, _ in commits[2].created}
        brief = [outpoint for outpoint, _ in commits[2].spent if outpoint in made]
        self.assertEqual([store.coin(outpoint) for outpoint in brief], [None])

    def test_a_commit_must_follow_the_tip(self: Any) -> None:
        store, _, commits = self.filled()
        for wrong in (commits[0], commits[2], commits[3]):
            self.assertRaises(StoreError, store.commit, wrong)
        self.assertEqual(store.tip().height, 3)

    def test_an_impossible_commit_changes_nothing(self: Any) -> None:
        """[15] No coin is made twice or spent twice, even by our own mistake."""
        _, commits = chain_of_three()
        twice_made = BlockCommit(
            1, b"h" * 32, commits[1].block, b"", (b"t" * 32,), commits[1].created + commits[0].created[:1],
            (), commits[1].digests,
        )  # fmt: skip
        twice_spent = BlockCommit(
            1,
            b"h" * 32,
            commits[1].block,
            b"",
            (b"t" * 32,),
            (),
            commits[0].created[:1] * 2,
            commits[1].digests,
        )
        store = self.open()
        store.commit(commits[0])
        before = (store.tip(), list(store.coins()))
        for impossible in (twice_made, twice_spent):
            self.assertRaises(StoreError, store.commit, impossible)
            self.assertEqual((store.tip(), list(store.coins())), before)
            self.assertEqual((store.block(1), store.locate(b"t" * 32)), (None, None))
        store.commit(commits[1])

    def test_the_log_comes_back_in_order_and_ends_with_the_block(self: Any) -> None:
        """[16] Records live until the block that closes their epoch is durable."""
        _, commits = chain_of_three()
        store = self.open()
        store.commit(commits[0])
        store.append([b"one", b"two"])
        store.append([b"three"])
        self.assertEqual(list(store.replay()), [b"one", b"two", b"three"])
        store.commit(commits[1])
        self.assertEqual(list(store.replay()), [])
        store.append([b"four"])
        self.assertEqual(list(store.replay()), [b"four"])

    def test_what_a_block_carries_over_begins_the_next_log(self: Any) -> None:
        """In the same step: there is no moment at which it is in neither."""
        _, commits = chain_of_three()
        store = self.open()
        store.commit(commits[0])
        store.append([b"old"])
        store.commit(attrs.evolve(commits[1], carried=(b"kept", b"too")))
        self.assertEqual(list(store.replay()), [b"kept", b"too"])
        store.append([b"new"])
        self.assertEqual(list(store.replay()), [b"kept", b"too", b"new"])
        store.commit(commits[2])
        self.assertEqual(list(store.replay()), [])

    def test_many_blocks_in_one_step(self: Any) -> None:
        _, commits = chain_of_three()
        store = self.open()
        store.commit_many(commits)
        store.commit_many(())
        other, _, _ = self.filled()
        self.assertEqual(store.tip(), other.tip())
        self.assertEqual(list(store.coins()), list(other.coins()))


class MemoryStoreTests(Contract, SynchronousTestCase):
    backend = MemoryBackend()

    def open(self) -> MemoryStore:
        return MemoryBackend().open("", "regtest", GENESIS.hash)


class LmdbStoreTests(Contract, SynchronousTestCase):
    backend = LmdbBackend()

    def open(self) -> LmdbStore:
        directory = os.path.join(self.mktemp(), "chain")
        store = LmdbBackend().open(directory, "regtest", GENESIS.hash)
        self.addCleanup(store.close)
        return store


class HeaderSizeTests(SynchronousTestCase):
    def test_a_header_has_always_the_same_size(self) -> None:
        self.assertEqual(HEADER_SIZE, maximum_size(BLOCK_HEADER))
        self.assertEqual(HEADER_SIZE, len(GENESIS.block().header.encode()))
