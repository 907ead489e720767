"""Transactions that wait for a block: what is kept, what gives way, what is counted."""

from __future__ import annotations

from collections.abc import Sequence
from unittest import mock

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.trial.unittest import SynchronousTestCase

from tests.builders import coin, outpoint
from timed.errors import InvalidTransaction
from timed.ledger import mempool as module
from timed.ledger.mempool import MAX_AGE, MAX_CONFLICTS, MAX_GROUP, MAX_TRIES, Mempool
from timed.ledger.waiting import Waiting
from timed.primitives.transaction import OutPoint, Transaction, Witness

FEE = 100_000


def transaction(number: int, inputs: Sequence[OutPoint] = (), outputs: int = 2) -> Transaction:
    """Unsigned: signatures are checked before admission. Without inputs, of its own outpoint."""
    return Transaction.make(
        inputs=inputs or [outpoint(number)], outputs=[coin().output] * outputs, lock_height=number
    )


def child_of(parent: Transaction, number: int, index: int = 0) -> Transaction:
    return transaction(number, [OutPoint(parent.txid, index)])


SIZE = transaction(0).size


class MempoolCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.mempool = Mempool()

    def add(self, added: Transaction, fee: int = FEE, height: int = 1) -> Transaction:
        self.mempool.add(added, fee, height)
        return added

    def assert_refused(self, rule: str, refused: Transaction, fee: int = FEE) -> None:
        before = (self.mempool.txids(), self.mempool.bytes)
        self.assertEqual(self.assertRaises(InvalidTransaction, self.mempool.add, refused, fee, 1).rule, rule)
        self.assertEqual((self.mempool.txids(), self.mempool.bytes), before)


class LookupTests(MempoolCase):
    def test_they_come_in_the_order_of_arrival(self) -> None:
        added = [self.add(transaction(number), fee=FEE * (10 - number)) for number in range(5)]
        self.assertEqual(list(self.mempool), added)
        self.assertEqual(self.mempool.txids(), tuple(each.txid for each in added))
        self.assertEqual((len(self.mempool), self.mempool.bytes), (5, sum(each.size for each in added)))
        self.assertEqual(self.mempool.counters.admitted, 5)

    def test_a_transaction_its_outputs_and_its_spenders_are_found(self) -> None:
        parent = self.add(transaction(1))
        child = self.add(child_of(parent, 2))
        self.assertEqual(self.mempool.get(parent.txid), parent)
        self.assertIn(child.txid, self.mempool)
        self.assertEqual(self.mempool.output(OutPoint(parent.txid, 1)), parent.outputs[1])
        self.assertIsNone(self.mempool.output(OutPoint(parent.txid, 2)))
        self.assertIsNone(self.mempool.output(outpoint(1)))
        self.assertEqual(self.mempool.spenders(OutPoint(parent.txid, 0)), (child.txid,))
        self.assertEqual(self.mempool.children(parent.txid), (child.txid,))
        self.assertIsNone(self.mempool.get(bytes(32)))

    def test_descendants_of_every_generation(self) -> None:
        first = self.add(transaction(1))
        second = self.add(child_of(first, 2))
        third = self.add(transaction(3, [OutPoint(first.txid, 1), OutPoint(second.txid, 0)]))
        self.assertEqual(self.mempool.descendants(first.txid), (second.txid, third.txid))
        self.assertEqual(self.mempool.descendants(third.txid), ())

    def test_a_transaction_twice(self) -> None:
        self.assert_refused("mempool-duplicate", self.add(transaction(1)))


class ConflictTests(MempoolCase):
    def test_two_that_spend_one_output_are_both_kept(self) -> None:
        first = self.add(transaction(1, [outpoint(0)]))
        second = self.add(transaction(2, [outpoint(0), outpoint(9)]))
        self.assertEqual(self.mempool.spenders(outpoint(0)), (first.txid, second.txid))
        self.assertEqual(self.mempool.conflicts(first), (second.txid,))
        self.assertEqual(self.mempool.conflicts(transaction(3, [outpoint(9)])), (second.txid,))

    def test_a_third_is_refused_and_counted(self) -> None:
        for number in range(MAX_CONFLICTS):
            self.add(transaction(number, [outpoint(0)]))
        self.assert_refused("mempool-conflict", transaction(9, [outpoint(5), outpoint(0)]))
        self.assertEqual(self.mempool.counters.refused_conflict, 1)


class BlockTests(MempoolCase):
    def test_what_a_block_confirms_leaves_without_being_dropped(self) -> None:
        """[14] Confirmed is an outcome of its own."""
        parent = self.add(transaction(1))
        child = self.add(child_of(parent, 2))
        self.assertEqual(self.mempool.remove_confirmed([parent.txid], parent.inputs), ())
        self.assertEqual(self.mempool.txids(), (child.txid,))
        self.assertEqual(self.mempool.bytes, child.size)

    def test_what_a_block_makes_impossible_is_dropped_with_its_descendants(self) -> None:
        winner = self.add(transaction(1, [outpoint(0)]))
        loser = self.add(transaction(2, [outpoint(0)]))
        heir = self.add(child_of(loser, 3))
        stranger = self.add(transaction(4))
        self.assertEqual(self.mempool.remove_confirmed([winner.txid], winner.inputs), (loser.txid, heir.txid))
        self.assertEqual(self.mempool.txids(), (stranger.txid,))
        self.assertEqual(self.mempool.counters.conflicted, 2)

    def test_a_block_of_unknown_transactions_does_no_harm(self) -> None:
        kept = self.add(transaction(1))
        unknown = transaction(2)
        self.assertEqual(self.mempool.remove_confirmed([unknown.txid], unknown.inputs), ())
        self.assertEqual(self.mempool.txids(), (kept.txid,))

    def test_old_ones_expire_in_blocks_not_in_seconds(self) -> None:
        old = self.add(transaction(1), height=10)
        heir = self.add(child_of(old, 2), height=12)
        young = self.add(transaction(3), height=12)
        self.assertEqual(self.mempool.expire(9 + MAX_AGE), ())
        self.assertEqual(self.mempool.expire(10 + MAX_AGE), (old.txid, heir.txid))
        self.assertEqual((self.mempool.txids(), self.mempool.counters.expired), ((young.txid,), 2))

    def test_a_long_chain_expires_without_being_walked_from_every_link(self) -> None:
        """It costs its owner nothing while no epoch certifies its first link."""
        chain = [self.add(transaction(0))]
        for number in range(1, 50):
            chain.append(self.add(child_of(chain[-1], number)))
        with mock.patch.object(
            self.mempool, "_children", mock.MagicMock(wraps=self.mempool._children)
        ) as children:
            self.assertEqual(self.mempool.expire(1 + MAX_AGE), tuple(each.txid for each in chain))
        self.assertLessEqual(children.get.call_count, 2 * len(chain))

    def test_removing_one_takes_its_descendants(self) -> None:
        parent = self.add(transaction(1))
        child = self.add(child_of(parent, 2))
        self.assertEqual(self.mempool.remove(parent.txid), (parent.txid, child.txid))
        self.assertEqual(self.mempool.remove(parent.txid), ())
        self.assertEqual((len(self.mempool), self.mempool.bytes), (0, 0))


class FullTests(MempoolCase):
    def setUp(self) -> None:
        self.mempool = Mempool(max_count=4)

    def test_a_better_payer_takes_the_place_of_the_cheapest(self) -> None:
        fees = [5 * FEE, 2 * FEE, 3 * FEE, 4 * FEE]
        added = [self.add(transaction(number), fee) for number, fee in enumerate(fees)]
        self.assertEqual(self.mempool.add(transaction(9), 3 * FEE, 1), (added[1].txid,))
        self.assertNotIn(added[1].txid, self.mempool)
        self.assertEqual((len(self.mempool), self.mempool.counters.evicted), (4, 1))

    def test_an_equal_payer_is_refused(self) -> None:
        """A flood of cheap transactions does not push out what came first."""
        for number in range(4):
            self.add(transaction(number))
        self.assert_refused("mempool-full", transaction(9))
        self.assertEqual(self.mempool.counters.refused_full, 1)

    def test_a_refusal_changes_nothing_for_those_who_come_next(self) -> None:
        added = [self.add(transaction(number)) for number in range(4)]
        for number in range(10, 20):
            self.assert_refused("mempool-full", transaction(number))
        self.assertEqual(
            self.mempool.add(transaction(9), FEE + 1, 1), (added[3].txid,), "one unit more is more"
        )

    def test_who_pays_less_for_each_byte_gives_way(self) -> None:
        large = self.add(transaction(1, outputs=40), 3 * FEE)
        for number in (2, 3, 4):
            self.add(transaction(number), 2 * FEE)
        self.assertEqual(self.mempool.add(transaction(9), FEE, 1), (large.txid,))

    def test_among_equals_the_newest_gives_way(self) -> None:
        added = [self.add(transaction(number)) for number in range(4)]
        self.assertEqual(self.mempool.add(transaction(9), 2 * FEE, 1), (added[3].txid,))

    def test_descendants_give_way_with_their_parent(self) -> None:
        parent = self.add(transaction(1))
        child = self.add(child_of(parent, 2), 5 * FEE)
        for number in (3, 4):
            self.add(transaction(number), 5 * FEE)
        self.assertEqual(self.mempool.add(transaction(9), 2 * FEE, 1), (parent.txid, child.txid))

    def test_bytes_count_as_well(self) -> None:
        self.mempool = Mempool(max_bytes=4 * SIZE)
        added = [self.add(transaction(number), (number + 1) * FEE) for number in range(4)]
        big = transaction(9, [outpoint(90), outpoint(91)], outputs=3)
        evicted = self.mempool.add(big, 100 * FEE, 1)
        self.assertEqual(evicted, (added[0].txid, added[1].txid))
        self.assertLessEqual(self.mempool.bytes, 4 * SIZE)

    def test_one_that_falls_with_its_parent_makes_room_once(self) -> None:
        """The child is the cheapest; its parent, with it, comes next."""
        self.mempool = Mempool(max_bytes=4 * SIZE)
        parent = self.add(transaction(1), 2 * FEE)
        child = self.add(child_of(parent, 2), FEE)
        others = [self.add(transaction(number), 3 * FEE) for number in (3, 4)]
        big = transaction(9, [outpoint(number) for number in range(90, 94)], outputs=4)
        self.assertTrue(2 * SIZE < big.size <= 3 * SIZE)
        self.assertEqual(self.mempool.add(big, 100 * FEE, 1), (child.txid, parent.txid, others[1].txid))
        self.assertLessEqual(self.mempool.bytes, 4 * SIZE)

    def test_one_that_can_never_fit_is_refused(self) -> None:
        self.mempool = Mempool(max_bytes=SIZE - 1)
        self.assert_refused("mempool-full", transaction(1))

    def test_what_this_node_voted_for_never_gives_way(self) -> None:
        """[13] A lock lasts to the end of the epoch, and so does the body behind it."""
        parent = self.add(transaction(1))
        child = self.add(child_of(parent, 2))
        self.mempool.pin(child.txid)
        others = [self.add(transaction(number), 2 * FEE) for number in (3, 4)]
        self.assertEqual(set(self.mempool.add(transaction(9), 3 * FEE, 1)), {others[1].txid})
        self.assertEqual(set(self.mempool.add(transaction(10), 3 * FEE, 1)), {others[0].txid})
        self.assert_refused("mempool-full", transaction(11), 3 * FEE)
        self.mempool.unpin_all()
        self.assertEqual(self.mempool.add(transaction(12), 3 * FEE, 1), (child.txid,))

    def test_a_child_does_not_push_out_its_own_parent(self) -> None:
        parent = self.add(transaction(1))
        others = [self.add(transaction(number), 2 * FEE) for number in (2, 3, 4)]
        child = child_of(parent, 9)
        self.assertEqual(self.mempool.add(child, 3 * FEE, 1), (others[2].txid,))
        self.assertIn(parent.txid, self.mempool)

    def test_nor_its_parent_with_a_brother(self) -> None:
        parent = self.add(transaction(1))
        self.add(child_of(parent, 2), 5 * FEE)
        others = [self.add(transaction(number), 2 * FEE) for number in (3, 4)]
        self.assertEqual(self.mempool.add(child_of(parent, 9, 1), 3 * FEE, 1), (others[1].txid,))
        self.assertIn(parent.txid, self.mempool)

    def test_the_search_for_room_ends_after_so_many_candidates(self) -> None:
        self.patch(module, "MAX_TRIES", 3)
        added = [self.add(transaction(number), number * FEE) for number in (1, 2, 3, 4)]
        family = transaction(9, [OutPoint(one.txid, 0) for one in added[:3]])
        self.assert_refused("mempool-full", family, 99 * FEE)
        smaller = transaction(10, [OutPoint(one.txid, 0) for one in added[:2]])
        self.assertEqual(self.mempool.add(smaller, 99 * FEE, 1), (added[2].txid,))

    def test_nothing_is_left_behind_those_who_came_and_went(self) -> None:
        for number in range(200):
            parent = self.add(transaction(2 * number))
            self.add(child_of(parent, 2 * number + 1))
            self.mempool.remove(parent.txid)
        left = (self.mempool._entries, self.mempool._spenders, self.mempool._children)
        self.assertEqual(left, ({}, {}, {}))
        self.assertLessEqual(len(self.mempool._cheapest), 64)

    def test_a_large_family_stays_and_the_search_ends(self) -> None:
        """Making room costs the same however the place was filled."""
        self.mempool = Mempool(max_count=MAX_GROUP + MAX_TRIES)
        parent = self.add(transaction(0, outputs=MAX_GROUP + MAX_TRIES), 0)
        for number in range(1, MAX_GROUP + MAX_TRIES):
            self.add(child_of(parent, number, number), 2 * FEE)
        self.assertEqual(len(self.mempool.add(transaction(999), 3 * FEE, 1)), 1)
        self.assertIn(parent.txid, self.mempool)


class WaitingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.parent, self.other = transaction(1), transaction(2)
        self.child = child_of(self.parent, 3)
        self.waiting = Waiting()

    def taken(self, parent: Transaction) -> list[Transaction]:
        return [waiter.transaction for waiter in self.waiting.take(parent.txid)]

    def test_a_child_waits_until_its_parent_is_known(self) -> None:
        self.waiting.add(self.child, [self.parent.txid])
        self.assertIn(self.child.txid, self.waiting)
        self.assertEqual(self.waiting.wanted(), (self.parent.txid,))
        self.assertEqual(self.waiting.take(self.other.txid), ())
        self.assertEqual(self.taken(self.parent), [self.child])
        self.assertEqual((len(self.waiting), self.waiting.bytes, self.waiting.wanted()), (0, 0, ()))

    def test_a_child_of_two_is_handed_out_once(self) -> None:
        both = transaction(4, [OutPoint(self.parent.txid, 0), OutPoint(self.other.txid, 0)])
        self.waiting.add(both, [self.parent.txid, self.other.txid, self.parent.txid])
        self.assertEqual(self.taken(self.other), [both])
        self.assertEqual(self.waiting.take(self.parent.txid), ())

    def test_the_same_one_twice_changes_nothing(self) -> None:
        for _ in range(2):
            self.waiting.add(self.child, [self.parent.txid])
        self.assertEqual((len(self.waiting), self.waiting.bytes), (1, self.child.size))

    def test_a_certificate_that_comes_later_counts(self) -> None:
        """The mempool's bounds do not apply to it when its parent is there."""
        for certified in (False, True, False):
            self.waiting.add(self.child, [self.parent.txid], certified=certified)
        (waiter,) = self.waiting.take(self.parent.txid)
        self.assertTrue(waiter.certified)
        self.assertEqual((len(self.waiting), self.waiting.bytes), (0, 0))

    def test_bodies_of_one_id_wait_side_by_side(self) -> None:
        other = self.child.with_witnesses([Witness(bytes(32), bytes(64))])
        self.assertEqual(other.txid, self.child.txid)
        for body, origin in ((other, b"a"), (self.child, b"b")):
            self.waiting.add(body, [self.parent.txid], origin)
        self.assertEqual(self.waiting.get(self.child.txid), other)
        taken = self.waiting.take(self.parent.txid)
        self.assertEqual(
            [(one.transaction, one.origin) for one in taken], [(other, b"a"), (self.child, b"b")]
        )
        self.assertNotIn(self.child.txid, self.waiting)

    def test_who_fills_the_pool_loses_its_own(self) -> None:
        self.waiting = Waiting(max_count=4)
        self.waiting.add(self.child, [self.parent.txid], b"honest")
        for number in range(20):
            self.waiting.add(child_of(self.parent, 10 + number), [self.parent.txid], b"flood")
        self.assertIn(self.child.txid, self.waiting)
        self.waiting = Waiting(max_bytes=4 * self.child.size)
        self.waiting.add(self.child, [self.parent.txid], b"honest")
        for number in range(20):
            self.waiting.add(child_of(self.parent, 10 + number), [self.parent.txid], b"flood")
        self.assertIn(self.child.txid, self.waiting)
        self.assertEqual((len(self.waiting), self.waiting.bytes), (4, 4 * self.child.size))

    def test_the_oldest_gives_way_and_is_counted(self) -> None:
        self.waiting = Waiting(max_count=3)
        children = [child_of(self.parent, 10 + number) for number in range(5)]
        for child in children:
            self.waiting.add(child, [self.parent.txid])
        self.assertEqual(self.taken(self.parent), children[2:])
        self.assertEqual(self.waiting.evicted, 2)

    def test_bytes_are_bounded(self) -> None:
        self.waiting = Waiting(max_bytes=2 * self.child.size)
        for number in range(5):
            self.waiting.add(child_of(self.parent, 10 + number), [self.parent.txid])
        self.assertEqual((len(self.waiting), self.waiting.bytes), (2, 2 * self.child.size))
        self.waiting.add(transaction(99, [outpoint(n) for n in range(20)]), [bytes(32)])
        self.assertNotIn(bytes(32), self.waiting.wanted())
        self.assertEqual(len(self.waiting), 2, "what could never fit displaces nobody")

    def test_who_has_the_most_of_what_ran_out_gives_way(self) -> None:
        big = transaction(9, [OutPoint(self.parent.txid, n) for n in range(20)])
        for bounds, stay in (
            ({"max_bytes": big.size + 3 * SIZE}, [b"many"] * 4),
            ({"max_count": 3}, [b"big", b"many", b"many"]),
        ):
            waiting = Waiting(**bounds)
            waiting.add(big, [self.parent.txid], b"big")
            for number in range(4):
                waiting.add(child_of(self.parent, 10 + number), [self.parent.txid], b"many")
            self.assertEqual([waiter.origin for waiter in waiting.take(self.parent.txid)], stay)
            self.assertEqual(waiting.evicted, 5 - len(stay))
            self.assertEqual((waiting._bodies, waiting._by_origin, dict(waiting._bytes_of)), ({}, {}, {}))


class MempoolMachine(RuleBasedStateMachine):
    """Random admissions, pins, blocks and expiries against the plain statements of the bounds."""

    def __init__(self) -> None:
        super().__init__()
        self.mempool = Mempool(max_count=12, max_bytes=14 * SIZE)
        self.number = 0
        self.height = 1
        self.spent: dict[OutPoint, None] = {}

    def pick(self, data: st.DataObject) -> bytes:
        return data.draw(st.sampled_from(self.mempool.txids()))

    @rule(data=st.data(), fee=st.integers(1, 9))
    def admit(self, data: st.DataObject, fee: int) -> None:
        self.number += 1
        pool = [outpoint(number) for number in range(6)]
        pool += [OutPoint(txid, index) for txid in self.mempool.txids() for index in (0, 1)]
        unspent = [each for each in pool if each not in self.spent]
        inputs = data.draw(
            st.lists(
                st.sampled_from(unspent or [outpoint(self.number + 100)]), min_size=1, max_size=2, unique=True
            )
        )
        entries = {txid: self.mempool.entry(txid) for txid in self.mempool.txids()}
        pinned = {txid for txid, entry in entries.items() if entry is not None and entry.pinned}
        try:
            evicted = self.mempool.add(transaction(self.number, inputs), fee * FEE, self.height)
        except InvalidTransaction as error:
            if error.rule not in ("mempool-full", "mempool-conflict"):
                raise
        else:
            for txid in evicted:
                if txid in self.mempool or txid in pinned:
                    raise AssertionError("evicted, and still here or pinned")

    @precondition(lambda self: len(self.mempool))
    @rule(data=st.data())
    def vote(self, data: st.DataObject) -> None:
        txid = self.pick(data)
        self.mempool.pin(txid)

    @precondition(lambda self: len(self.mempool))
    @rule(data=st.data())
    def confirm(self, data: st.DataObject) -> None:
        chosen = self.mempool.get(self.pick(data))
        if chosen is None or any(each.txid in self.mempool for each in chosen.inputs):
            return
        self.spent.update(dict.fromkeys(chosen.inputs))
        self.mempool.remove_confirmed([chosen.txid], chosen.inputs)
        self.mempool.unpin_all()
        self.height += 1

    @rule(blocks=st.integers(1, MAX_AGE))
    def time_passes(self, blocks: int) -> None:
        self.height += blocks
        self.mempool.expire(self.height)

    @invariant()
    def bounds_hold_and_indexes_agree(self) -> None:
        pool = self.mempool
        transactions = list(pool)
        if len(transactions) > 12 or pool.bytes > 14 * SIZE:
            raise AssertionError("over the bounds")
        if pool.bytes != sum(each.size for each in transactions):
            raise AssertionError("bytes do not add up")
        spenders: dict[OutPoint, list[bytes]] = {}
        for each in transactions:
            for spent in each.inputs:
                if spent in self.spent:
                    raise AssertionError("it spends what a block has spent")
                spenders.setdefault(spent, []).append(each.txid)
        for spent, txids in spenders.items():
            if len(txids) > MAX_CONFLICTS or sorted(pool.spenders(spent)) != sorted(txids):
                raise AssertionError("spenders are not those there are")


class MempoolStateTests(SynchronousTestCase):
    def test_whatever_happens_the_bounds_hold(self) -> None:
        """Every queue has a bound, and its indexes never disagree with what is in it."""
        steps = settings(deadline=None, max_examples=25, stateful_step_count=40)
        self.assertIsNone(run_state_machine_as_test(MempoolMachine, settings=steps))
