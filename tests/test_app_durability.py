"""Durable before visible, through the real driver and LMDB.

A process that is killed keeps what the kernel's page cache holds, so killing one
proves nothing about fsync. Here the store's thread stands still: whatever the
node signs must not reach the transport before the write it rests on returned.
"""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.app_world import Host, Pair
from timed.errors import StoreError
from timed.events import BlockCertified
from timed.interfaces import BlockCommit as StoredBlock
from timed.ledger.regtest import well_known_key
from timed.primitives.transaction import Lock, Output, Transaction, Witness, signing_hash
from timed.wire.messages import BlockVote, EpochReport, TransactionVote


class DurabilityCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.pair = Pair(Path(self.mktemp()).absolute())
        self.addCleanup(self.pair.close)
        self.one, self.two = self.pair.hosts
        self.pair.until(lambda: self.height(self.one) >= 1 and self.height(self.two) >= 1)

    def height(self, host: Host) -> int:
        return host.driver.node.ledger.tip.height

    def payment(self, number: int = 0) -> Transaction:
        """One coin of the allocation to somebody else, signed."""
        key = well_known_key("wallet", 1)
        coins = [
            entry for entry in self.one.store.coins() if entry[1].output.lock == Lock.key_hash(key.public)
        ]
        outpoint, coin = sorted(coins, key=lambda entry: entry[0].key)[number]
        fee = self.pair.genesis.params.maximum_fee_floor
        output = Output(value=coin.output.value - fee, lock=Lock.key_hash(well_known_key("wallet", 2).public))
        unsigned = Transaction.make(inputs=[outpoint], outputs=[output])
        message = signing_hash(self.pair.genesis.params.chain_id, unsigned.txid, [coin.output])
        return unsigned.with_witnesses([Witness(key.public, key.sign(message))])


class DurableBeforeVisible(DurabilityCase):
    def test_no_vote_reaches_the_transport_before_its_lock_is_durable(self) -> None:
        """`lock[outpoint, epoch] = txid` is set durably before the vote leaves `[13]`."""
        self.one.store_threads.held = True
        self.one.sent.clear()
        self.one.driver.submit(self.payment().encode())
        self.pair.advance(0.5)
        self.assertEqual(self.one.signed(), [])
        self.assertGreater(self.one.driver.store_queue.counters.waiting_jobs, 0)
        self.one.store_threads.release()
        self.pair.advance(0.5)
        self.assertIn(TransactionVote, map(type, self.one.signed()))

    def test_no_report_proposal_or_block_vote_reaches_the_transport_before_the_log_is_durable(self) -> None:
        """The log is fsynced before any signature leaves the process `[16]`."""
        self.one.store_threads.held = True
        self.one.sent.clear()
        self.pair.advance(3 * self.pair.genesis.interval)
        self.assertEqual(self.one.signed(), [])
        height = self.height(self.two)
        self.one.store_threads.release()
        self.pair.until(lambda: self.height(self.two) > height and self.height(self.one) > height)
        self.assertIn(EpochReport, map(type, self.one.signed()))
        self.assertIn(BlockVote, map(type, self.one.signed()))

    def test_a_block_is_the_tip_only_when_it_is_committed(self) -> None:
        """While the commit is under way, no query and no event speaks of the block."""
        seen: list[tuple[int, int, bool]] = []
        commit = self.one.store.commit

        def watched(block: StoredBlock) -> None:
            told = any(
                isinstance(event, BlockCertified) and event.height == block.height
                for event in self.one.events
            )
            seen.append((block.height, self.height(self.one), told))
            commit(block)

        self.patch(self.one.store, "commit", watched)
        height = self.height(self.one)
        self.pair.until(lambda: self.height(self.one) >= height + 3)
        self.assertEqual(seen, [(height + step, height + step - 1, False) for step in (1, 2, 3)])


class DiskFails(DurabilityCase):
    def test_a_node_whose_disk_fails_stops_signing_and_stays_up(self) -> None:
        def refuse(records: object) -> None:
            raise StoreError("no space left on device.")

        self.patch(self.one.store, "append", refuse)
        self.one.driver.submit(self.payment().encode())
        self.pair.advance(1)
        self.one.sent.clear()
        self.pair.advance(3 * self.pair.genesis.interval)
        self.assertEqual(self.one.signed(), [])
        self.assertEqual(self.one.driver.node.gate.failure, "no space left on device.")
        self.assertEqual(self.one.driver.counters.faults, 0)
        self.assertEqual((len(self.one.driver.node.peers.peers()), self.one.closed), (1, []))
