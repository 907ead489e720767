"""A block is the same whatever of it was worked out before (protocol §4: one computation)."""

from __future__ import annotations

from unittest import mock

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.builders import WALLET, ChainBuilder, genesis, outpoint, outputs_of, transfer, wallet_key
from timed.errors import InvalidBlock
from timed.ledger import content
from timed.ledger import prepared as module
from timed.primitives.block import Block
from timed.primitives.transaction import Transaction, Witness


def payments(chain: ChainBuilder) -> list[Transaction]:
    """Eight from the allocation, two children of one of them, and a grandchild."""
    first = [transfer([chain.allocation(index)], [10**9]) for index in range(8)]
    one, other = outputs_of(first[0])[:2]
    children = [transfer([one], [10**8]), transfer([other], [10**8])]
    return [*first, *children, transfer(outputs_of(children[0])[:1])]


class PreparedTests(SynchronousTestCase):
    @settings(deadline=None, max_examples=40)
    @given(
        shard_bits=st.sampled_from([0, 3]),
        worked_out=st.lists(st.integers(0, 10), unique=True),
        in_block=st.sets(st.integers(0, 10)),
    )
    def test_the_block_does_not_depend_on_what_was_worked_out(
        self, shard_bits: int, worked_out: list[int], in_block: set[int]
    ) -> None:
        """In any order, too few, too many, and children without their parents."""
        for child, parent in ((8, 0), (9, 0), (10, 8)):
            if child in in_block:
                in_block = in_block | {parent, 0}
        start = genesis(shard_bits=shard_bits)
        plain, ready = ChainBuilder(start), ChainBuilder(start)
        made = payments(plain)
        for index in worked_out:
            ready.ledger.prepare(made[index])
        chosen = [made[index] for index in sorted(in_block)]
        self.assertEqual(plain.make(chosen), ready.make(chosen))
        self.assertEqual(plain.extend(chosen), ready.extend(chosen))
        self.assertEqual(plain.extend(), ready.extend())

    def test_what_was_worked_out_is_not_worked_out_again(self) -> None:
        chain = ChainBuilder()
        made = payments(chain)
        for one in made:
            chain.ledger.prepare(one)
        with (
            mock.patch.object(content, "transfer") as checked,
            mock.patch.object(module, "transfer", checked),
            mock.patch.object(module, "apply_digests", wraps=module.apply_digests) as applied,
        ):
            block, _ = chain.make(made)
            chain.ledger.evaluate(Block.decode(block.encode()))
        self.assertEqual(checked.call_count, 0)
        for call in applied.call_args_list:
            _, created, spent = call.args
            self.assertEqual((len(created), len(spent)), (len(block.transactions[0].outputs), 0))

    def test_another_body_of_the_same_txid_is_checked_for_itself(self) -> None:
        chain = ChainBuilder()
        good = transfer([chain.allocation(0)])
        stranger = wallet_key(7)
        assert stranger is not WALLET
        forged = good.with_witnesses((Witness(stranger.public, bytes(64)),))
        self.assertEqual(forged.txid, good.txid)
        chain.ledger.prepare(good)
        with self.assertRaises(InvalidBlock) as caught:
            chain.make([forged])
        self.assertEqual(caught.exception.rule, "witness-missing")

    def test_a_block_of_other_bodies_leaves_the_same_coins_whatever_was_worked_out(self) -> None:
        """Whoever signs twice has two bodies of one txid; a chain of them must not keep a node from a fetched block."""
        start = genesis()
        plain = ChainBuilder(start)
        made = payments(plain)
        parent, child = made[0], made[8]
        second = [one.with_witnesses((Witness(WALLET.public, bytes(64)),)) for one in (parent, child)]
        for chosen in ([second[0]], second, [second[0], child], [parent, second[1]]):
            ready = ChainBuilder(start)
            for one in (parent, child):
                ready.ledger.prepare(one)
            block, effects = plain.make(chosen)
            self.assertEqual((block, effects), ready.make(chosen))
            self.assertEqual(ready.ledger.evaluate(Block.decode(block.encode())).digests, effects.digests)

    def test_of_two_rivals_the_first_is_worked_out_and_either_makes_a_block(self) -> None:
        start = genesis()
        for first in (0, 1):
            plain, ready = ChainBuilder(start), ChainBuilder(start)
            rivals = [transfer([plain.allocation(0)], [amount]) for amount in (10**8, 10**9)]
            ready.ledger.prepare(rivals[first])
            ready.ledger.prepare(rivals[1 - first])
            for chosen in ([rivals[0]], [rivals[1]], []):
                self.assertEqual(plain.make(chosen), ready.make(chosen))
            with self.assertRaises(InvalidBlock) as caught:
                ready.make(rivals)
            self.assertEqual(caught.exception.rule, "double-spend")

    def test_what_lacks_an_input_is_not_worked_out_though_the_others_would_pay_for_all(self) -> None:
        plain, ready = ChainBuilder(), ChainBuilder()
        known = plain.allocation(0)
        fee = 2 * known[1].output.value - 10**8
        half = transfer([known, (outpoint(), known[1])], [10**8], fee=fee)
        ready.ledger.prepare(half)
        self.assertEqual(plain.make(), ready.make())
        with self.assertRaises(InvalidBlock) as caught:
            ready.make([half])
        self.assertEqual(caught.exception.rule, "input-missing")

    def test_what_breaks_a_rule_is_found_by_the_block(self) -> None:
        chain = ChainBuilder()
        cheap = transfer([chain.allocation(0)], fee=1)
        chain.ledger.prepare(cheap)
        with self.assertRaises(InvalidBlock) as caught:
            chain.make([cheap])
        self.assertEqual(caught.exception.rule, "fee-low")

    def test_a_new_tip_begins_anew(self) -> None:
        chain = ChainBuilder()
        paid = transfer([chain.allocation(0)])
        chain.ledger.prepare(paid)
        chain.extend([paid])
        with self.assertRaises(InvalidBlock) as caught:
            chain.make([paid])
        self.assertEqual(caught.exception.rule, "input-missing")

    def test_it_is_bounded(self) -> None:
        chain = ChainBuilder()
        params = attrs.evolve(chain.genesis.params, epoch_transactions=3)
        ready = module.Prepared(1, 0, params)
        for one in payments(chain):
            ready.add(one, chain.ledger.coin)
        self.assertEqual(len(ready), 3)
