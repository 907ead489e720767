"""Attacks with witnesses: one transaction id, several bodies that are all valid."""

from __future__ import annotations

import attrs
from twisted.trial.unittest import SynchronousTestCase

from tests import builders
from tests.node_world import NodeWorld
from timed.ledger.rules import minimum_fee
from timed.params import REGTEST
from timed.primitives.transaction import Lock, OutPoint, Output, Transaction, key_hash
from timed.wire.messages import TransactionBroadcast

INPUTS = 20
PAYMENTS = 12
VALUE = 10**9
COMMON = builders.wallet_key(50)
"""Opens every lock; each lock has a second key of its own that opens it as well."""
OWN = [builders.wallet_key(51 + number) for number in range(INPUTS)]
TINY = attrs.evolve(REGTEST, epoch_bytes=10_000, max_block_bytes=24_000)


def lock(number: int) -> Lock:
    return Lock.multisig(1, [key_hash(COMMON.public), key_hash(OWN[number].public)])


class WitnessSizeTests(SynchronousTestCase):
    """Who may sign is a choice, so the bytes of a body are one, too; what fits into a block is not."""

    def setUp(self) -> None:
        allocation = tuple((lock(number), VALUE) for _ in range(PAYMENTS) for number in range(INPUTS))
        genesis = attrs.evolve(builders.genesis(4), params=TINY, allocation=allocation)
        self.coins = genesis.created()
        self.world = NodeWorld(genesis=genesis)

    def bodies(self, number: int) -> tuple[Transaction, Transaction]:
        """One payment, signed once for all inputs, and signed by another key for each of them."""
        spent = self.coins[number * INPUTS : (number + 1) * INPUTS]
        total = VALUE * INPUTS
        paid = Lock.key_hash(COMMON.public)
        fee = minimum_fee([Output(total, paid)], TINY)
        unsigned = Transaction.make(
            inputs=[outpoint for outpoint, _ in spent], outputs=(Output(total - fee, paid),)
        )
        coins = [coin for _, coin in spent]
        return builders.signed(unsigned, coins, [COMMON]), builders.signed(unsigned, coins, OWN)

    def test_both_bodies_are_the_same_transaction(self) -> None:
        small, large = self.bodies(0)
        self.assertEqual(small.txid, large.txid)
        self.assertGreater(large.size, 2 * small.size)
        for body in (small, large):
            world = NodeWorld(genesis=self.world.genesis)
            world.stranger().say(TransactionBroadcast(body))
            self.assertIn(body.txid, world.node.mempool)

    def test_votes_count_what_the_largest_body_takes_in_a_block(self) -> None:
        """Else members certify, by small bodies, what another member's large ones cannot put into a block."""
        stranger = self.world.stranger()
        bodies = [self.bodies(number) for number in range(PAYMENTS)]
        stranger.say(*(TransactionBroadcast(small) for small, _ in bodies))
        tallies = self.world.node.chain.fastpath.tallies
        largest = sum(large.size for _, large in bodies if tallies[large.txid].voted)
        self.assertGreater(largest, 0)
        self.assertLessEqual(largest, TINY.epoch_bytes)

    def test_a_restarted_member_remembers_the_same_count(self) -> None:
        stranger = self.world.stranger()
        bodies = [self.bodies(number) for number in range(PAYMENTS)]
        stranger.say(*(TransactionBroadcast(small) for small, _ in bodies))
        self.world.pass_time(10_000)
        voted = self.world.node.chain.fastpath.own_bundles[0].entries
        again = self.world.restarted()
        again.stranger().say(*(TransactionBroadcast(small) for small, _ in bodies))
        again.pass_time(10_000)
        mine = [txid for bundle in again.node.chain.fastpath.own_bundles for txid in bundle.entries]
        self.assertEqual(sorted(mine), sorted(voted))

    def test_an_output_of_this_epoch_counts_by_its_lock_as_well(self) -> None:
        """The parent's outputs are not in the ledger yet."""
        small, _ = self.bodies(0)
        stranger = self.world.others()[0]
        stranger.say(TransactionBroadcast(small))
        self.world.pass_time(10_000)
        stranger.say(*(self.world.bundle(member, small.txid) for member in (1, 2, 3)))
        child = builders.transfer(builders.outputs_of(small), signers=[COMMON])
        before = self.world.node.chain.fastpath.bytes_voted
        stranger.say(TransactionBroadcast(child))
        self.assertEqual(OutPoint(small.txid, 0), child.inputs[0])
        self.assertEqual(self.world.node.chain.fastpath.bytes_voted - before, child.size)
