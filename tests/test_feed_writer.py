"""What the log tells of the chain: each block and each final transaction once, whenever a process is killed."""

from __future__ import annotations

import json
import random
from collections import Counter
from typing import Any

import attrs
import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.builders import ChainBuilder, genesis, roster, well_known_key
from tests.feed_world import FeedWorld, draft
from tests.index_world import LOCKS, RandomChain
from timed.events import (
    BlockCertified,
    PeerBanned,
    PeerClosed,
    PeerOpened,
    TransactionAccepted,
    TransactionDropped,
    TransactionFinal,
    TransactionReleased,
)
from timed.feed import writer
from timed.feed.attendance import MISSED_IN_A_ROW, absent_from, absent_of
from timed.feed.blocks import drafts_of
from timed.feed.cursor import BadCursor
from timed.feed.event import (
    ACCEPTED,
    BLOCK,
    CONFIRMED,
    FAMILIES,
    FINAL,
    GAP,
    JOINED,
    LEFT,
    MISSED,
    RETURNED,
    TYPES,
)
from timed.feed.log import Bounds
from timed.feed.telling import PEER_EVENTS, PEER_WINDOW_US
from timed.feed.touching import touches_of
from timed.feed.writer import UpTo
from timed.primitives.block import Block
from timed.primitives.certificate import bitmap_of
from timed.primitives.roster import Roster, Tier
from timed.store.memory import MemoryStore


class Chain(FeedWorld):
    """A node as the feed sees it: payments are pending, then final, then in a block."""

    def pay(self, coin: int, owner: int) -> bytes:
        """A payment that waits for the next block."""
        spent = self.chain.coins.pop(coin % len(self.chain.coins))
        made = self.chain._pay([spent], LOCKS[owner % len(LOCKS)], 1)
        assert made is not None
        self.pool.transactions[made.txid] = made
        self.scribe.published(TransactionAccepted(made.txid), self.now())
        return made.txid

    def final(self, txid: bytes) -> None:
        self.scribe.published(TransactionFinal(txid, self.chain.height + 1), self.now())

    def block(self, publish: bool = True) -> BlockCertified:
        commit = self.chain.extend(list(self.pool.transactions.values()))
        self.chain.coins += list(commit.created)
        self.pool.transactions.clear()
        told = BlockCertified(commit.height, commit.block_hash, 0, commit.txids, True)
        if publish:
            self.scribe.published(told, self.now())
        return told

    def check(self, test: SynchronousTestCase) -> None:
        """The log and the chain agree."""
        told: Counter[tuple[str, bytes]] = Counter()
        place: dict[tuple[str, bytes], int] = {}
        for sequence, record in self.stored():
            told[record.type, record.subject] += 1
            place[record.type, record.subject] = sequence
        for height in range(1, self.chain.height + 1):
            block = Block.decode(self.chain.store.block(height) or b"")
            test.assertEqual(told[BLOCK, block.hash], 1)
            for transaction in block.transactions:
                txid = transaction.txid
                test.assertEqual([told[FINAL, txid], told[CONFIRMED, txid]], [1, 1])
                test.assertLess(place[FINAL, txid], place[CONFIRMED, txid])
                test.assertLess(place[BLOCK, block.hash], place[CONFIRMED, txid])
        test.assertEqual(max(told.values()), 1)


class WriterCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = Chain(self.mktemp())
        self.addCleanup(self.world.close)


class Payments(WriterCase):
    def test_a_payment_goes_through_its_states_once_each(self) -> None:
        txid = self.world.pay(0, 1)
        for _ in range(2):
            self.world.scribe.published(TransactionAccepted(txid), self.world.now())
            self.world.final(txid)
        self.world.settle()
        self.world.block()
        self.world.final(txid)
        self.world.settle()
        of_it = [record.type for _, record in self.world.stored() if record.subject == txid]
        self.assertEqual(of_it, [ACCEPTED, FINAL, CONFIRMED])
        self.assertEqual(self.world.scribe.counters.repeated, 4)

    def test_what_a_block_brings_is_final_even_if_nobody_had_told(self) -> None:
        txid = self.world.pay(0, 1)
        self.world.block()
        self.world.settle()
        finals = [json.loads(r.data) for _, r in self.world.stored() if (r.type, r.subject) == (FINAL, txid)]
        self.assertEqual(finals, [{"epoch": 1, "by": "block"}])

    def test_every_lock_is_named_with_what_it_gets_and_gives(self) -> None:
        """Known while it was pending, or found in the store: the same."""
        txid = self.world.pay(0, 3)
        transaction = self.world.pool.transactions[txid]
        spent = [self.world.chain.store.coin(each).output for each in transaction.inputs]  # type: ignore[union-attr]
        wanted = touches_of(transaction, spent)
        self.assertEqual({touch.lock for touch in wanted}, {LOCKS[3], spent[0].lock})
        self.assertEqual(sum(t.spent for t in wanted), sum(each.value for each in spent))
        told = self.world.block(publish=False)
        self.world.scribe.put(UpTo(told.height, 5))
        self.world.settle()
        found = {r.type: r.touches for _, r in self.world.stored() if r.subject == txid}
        self.assertEqual(found, {ACCEPTED: wanted, FINAL: wanted, CONFIRMED: wanted})

    def test_no_outputs_are_kept_of_a_block_whose_payments_were_pending_here(self) -> None:
        kept = self.world.writer._outputs._recent
        for number in range(3):
            self.world.pay(number, 1)
            self.world.block()
            self.world.settle()
        self.assertEqual(len(kept), 0)
        heights = []
        for number in range(2):
            self.world.pay(number, 2)
            heights.append(self.world.block(publish=False).height)
        self.world.scribe.put(UpTo(heights[-1], 5))
        self.world.settle()
        self.assertLessEqual(set(heights), set(kept._kept))

    def test_a_payment_that_was_dropped_may_be_accepted_again(self) -> None:
        txid = self.world.pay(0, 1)
        transaction = self.world.pool.transactions.pop(txid)
        self.world.scribe.published(TransactionDropped(txid, "mempool-full"), self.world.now())
        self.world.pool.transactions[txid] = transaction
        self.world.scribe.published(TransactionAccepted(txid), self.world.now())
        self.world.scribe.published(TransactionReleased(txid, 1), self.world.now())
        self.world.settle()
        self.assertEqual(
            self.world.kinds(),
            ["transaction.accepted", "transaction.dropped", "transaction.accepted", "transaction.released"],
        )
        self.assertEqual([each.get("rule") for each in self.world.data()], [None, "mempool-full", None, None])
        self.assertTrue(all(record.touches for _, record in self.world.stored()))


class Once(WriterCase):
    def of(self, txid: bytes) -> list[str]:
        return [record.type for _, record in self.world.stored() if record.subject == txid]

    def test_a_final_payment_that_is_handed_in_again_is_not_final_twice(self) -> None:
        """The second one is refused, and the first has not left the mempool."""
        txid = self.world.pay(0, 1)
        self.world.final(txid)
        self.world.scribe.published(TransactionDropped(txid, "mempool-duplicate"), self.world.now())
        self.world.block()
        self.world.settle()
        self.assertEqual(self.of(txid), [ACCEPTED, FINAL, CONFIRMED])

    def test_not_even_if_it_is_refused_once_the_block_has_it(self) -> None:
        txid = self.world.pay(0, 1)
        self.world.final(txid)
        self.world.block(publish=False)
        self.world.scribe.published(TransactionDropped(txid, "already-confirmed"), self.world.now())
        self.world.scribe.put(UpTo(1, 1))
        self.world.settle()
        self.assertEqual(self.of(txid), [ACCEPTED, FINAL, "transaction.dropped", CONFIRMED])

    def test_a_log_too_small_for_an_epoch_does_not_tell_a_final_payment_twice(self) -> None:
        self.world.bounds = Bounds(4, 1 << 30, 0)
        self.world.crash()
        txid = self.world.pay(0, 1)
        self.world.final(txid)
        self.world.tell(*[draft() for _ in range(10)])
        self.world.settle()
        self.assertEqual(self.of(txid), [])
        self.world.block()
        self.world.settle()
        self.assertEqual(self.of(txid), [CONFIRMED])


class Kills(SynchronousTestCase):
    @given(st.lists(st.integers(0, 6), max_size=40), st.integers(0, 99))
    @settings(max_examples=12, deadline=None)
    def test_wherever_it_is_killed_no_block_and_no_final_payment_is_lost_or_told_twice(
        self, script: list[int], seed: int
    ) -> None:
        chance = random.Random(seed)
        world = Chain(self.mktemp())
        try:
            for step in script:
                if step < 3:
                    txid = world.pay(chance.randrange(99), chance.randrange(9))
                    if step:
                        world.final(txid)
                elif step == 3:
                    world.block()
                elif step == 4:
                    world.block(publish=False)
                elif step == 5:
                    world.settle()
                else:
                    world.crash()
            world.crash()
            world.settle(0.5)
            if world.chain.height:
                world.check(self)
        finally:
            world.close()

    def test_a_step_that_dies_in_the_middle_is_done_again_from_its_beginning(self) -> None:
        world = Chain(self.mktemp())
        self.addCleanup(world.close)
        for number in range(3):
            world.final(world.pay(number, number))
            world.block()
        lost = self.patch(world.writer, "_confirm", _raise_at(world.writer._confirm, 5))
        world.settle()
        self.assertEqual(world.window.newest, 0)
        assert world.scribe.failed is not None
        self.flushLoggedErrors(ZeroDivisionError)
        lost.restore()
        world.crash()
        world.settle()
        world.check(self)


def _raise_at(real: Any, number: int) -> Any:
    left = [number]

    def confirm(*args: Any) -> None:
        left[0] -= 1
        if not left[0]:
            raise ZeroDivisionError("killed here")
        real(*args)

    return confirm


class Chains(WriterCase):
    def test_a_new_log_begins_at_the_tip_it_finds(self) -> None:
        chain = RandomChain()
        for _ in range(3):
            chain.grow([(0, 1)])
        world = FeedWorld(self.mktemp(), chain)
        self.addCleanup(world.close)
        world.scribe.put(UpTo(3, 1))
        world.settle()
        self.assertEqual(world.stored(), [])
        chain.grow([])
        world.scribe.put(UpTo(4, 1))
        world.settle()
        self.assertEqual(world.kinds(), [BLOCK, FINAL, CONFIRMED])

    def test_a_chain_that_is_not_the_logs_begins_a_new_log_and_its_cursors_say_so(self) -> None:
        self.world.block()
        self.world.settle()
        cursor = self.world.cursor(1)
        self.world.close()
        other = FeedWorld(self.world.directory.removesuffix("/events"), RandomChain(MemoryStore()))
        self.addCleanup(other.close)
        self.assertIn("perhaps from an older copy", str(other.replaced))
        self.assertRaises(BadCursor, other.window.ends.sequence_of, cursor)

    def test_blocks_that_the_log_could_not_keep_are_left_out_and_named(self) -> None:
        self.world.bounds = Bounds(4, 1 << 30, 0)
        self.world.crash()
        for _ in range(10):
            self.world.block(publish=False)
        self.world.scribe.put(UpTo(10, 1))
        self.world.settle()
        assert self.world.writer.log is not None
        self.assertEqual(self.world.writer.log.progress().height, 10)  # type: ignore[union-attr]
        self.assertEqual(self.world.scribe.counters.written, 1 + 4 * 3)

    def test_many_blocks_are_told_in_several_steps(self) -> None:
        self.patch(writer, "MAX_BATCH", 7)
        for _ in range(10):
            self.world.block(publish=False)
        self.world.tell(draft())
        self.world.scribe.put(UpTo(10, 1))
        self.world.tell(draft())
        self.world.settle(1)
        kinds = self.world.kinds()
        self.assertEqual((kinds[0], kinds[-1], kinds.count(BLOCK)), ("peer.connected", "peer.connected", 10))
        self.assertGreater(self.world.scribe.counters.steps, 3)


class Masternodes(SynchronousTestCase):
    def kinds_of(self, chain: ChainBuilder, height: int) -> list[tuple[str, bytes]]:
        roster_at = chain.genesis.roster_at

        def at(number: int) -> Block:
            return Block.decode(chain.store.block(number) or b"")

        def absent(number: int) -> frozenset[bytes]:
            return absent_of(at(number), roster_at)

        found = drafts_of(at(height), 1, at(height - 1), roster_at, lambda _: (), absent, 1)
        return [(each.type, each.subject) for each in found if each.type.startswith("masternode")]

    def test_who_is_on_the_next_roster_joins_and_who_is_not_leaves(self) -> None:
        start = attrs.evolve(genesis((1, 2, 3)), roster_changes=((2, roster(2, 3, 4)),))
        chain = ChainBuilder(start)
        for _ in range(5):
            chain.extend()
        told = {height: self.kinds_of(chain, height) for height in range(1, 6)}
        keys = {number: well_known_key("operator", number).public for number in (1, 4)}
        changed = [height for height, found in told.items() if found]
        self.assertEqual(len(changed), 1)
        self.assertEqual(set(told[changed[0]]), {(JOINED, keys[4]), (LEFT, keys[1])})

    def told_of(self, *signers: tuple[int, ...]) -> list[tuple[int, str, bytes]]:
        """(block, what, whom) of a chain of four members whose blocks were certified by these."""
        chain = ChainBuilder(genesis(4))
        for each in (*signers, (0, 1, 2, 3)):
            block, effects = chain.make()
            commit = effects.commit(chain.certify(block, signers=each))
            chain.store.commit(commit)
            chain.ledger.advance(commit)
        self.member = chain.genesis.roster_at(1).members[3].operator_key
        return [
            (height, kind, key)
            for height in range(1, len(signers) + 2)
            for kind, key in self.kinds_of(chain, height)
        ]

    def test_who_signs_no_certificate_for_long_is_missed_once_and_returns_once(self) -> None:
        everybody, three = (0, 1, 2, 3), (0, 1, 2)
        told = self.told_of(everybody, *[three] * (MISSED_IN_A_ROW + 2), everybody, everybody)
        missed = 1 + MISSED_IN_A_ROW + 1
        self.assertEqual(
            told,
            [(missed, MISSED, self.member), (1 + MISSED_IN_A_ROW + 2 + 2, RETURNED, self.member)],
        )

    def test_whose_votes_are_late_now_and_then_is_not_missed(self) -> None:
        """A certificate holds a quorum: it may lack anybody who is a moment later than the others."""
        everybody, three = (0, 1, 2, 3), (0, 1, 2)
        late = [*[three] * (MISSED_IN_A_ROW - 1), everybody]
        self.assertEqual(self.told_of(everybody, *late, *late, three, everybody, three), [])

    def test_a_process_that_begins_in_the_middle_says_the_same(self) -> None:
        """Who is missed follows from the blocks, not from what this process has seen."""
        everybody, three = (0, 1, 2, 3), (0, 1, 2)
        told = self.told_of(*[three] * (2 * MISSED_IN_A_ROW), everybody)
        self.assertEqual([kind for _, kind, _ in told], [MISSED, RETURNED])

    def test_a_member_without_weight_is_never_missed(self) -> None:
        """Protocol §2: free members have no weight, so they vote for nothing and no certificate can hold them."""
        weighty, free = roster(1, 2).members
        mixed = Roster(members=(weighty, msgspec.structs.replace(free, tier=Tier.FREE, weight=0)))
        self.assertEqual(absent_from(bitmap_of((0,), 2), mixed), frozenset())
        self.assertEqual(absent_from(bitmap_of((), 2), mixed), {weighty.operator_key})


class Peers(WriterCase):
    def test_sessions_come_and_go_and_a_dry_run_bans_nobody(self) -> None:
        node = b"\7" * 32
        for event in (
            PeerOpened(node, "10.0.0.1:1", True),
            PeerClosed(node, "10.0.0.1:1", "silent", True, True),
            PeerBanned(node, "10.0.0.1:1", "flood", 60, False),
            PeerBanned(node, "10.0.0.1:1", "flood", 60, True),
        ):
            self.world.scribe.published(event, 1)
        self.world.settle()
        self.assertEqual(self.world.kinds(), ["peer.connected", "peer.lost", "peer.banned"])
        self.assertEqual(self.world.data()[1]["reason"], "silent")

    def test_peers_that_come_and_go_too_fast_push_nothing_out_and_a_gap_counts_them(self) -> None:
        start = 5 * PEER_WINDOW_US
        for _ in range(PEER_EVENTS + 7):
            self.world.scribe.published(PeerOpened(b"\7" * 32, "10.0.0.1:1", False), start)
        self.world.scribe.published(PeerOpened(b"\7" * 32, "10.0.0.1:1", False), start + PEER_WINDOW_US)
        self.world.settle()
        kinds = self.world.kinds()
        self.assertEqual((len(kinds), kinds[-2:]), (PEER_EVENTS + 2, [GAP, "peer.connected"]))
        self.assertEqual(self.world.data()[-2], {"reason": "peer-flood", "events": 7})


class Table(SynchronousTestCase):
    def test_every_type_is_of_a_family_and_says_what_it_means(self) -> None:
        self.assertTrue(all(meaning.endswith(".") for _, meaning in TYPES.values()))
        self.assertEqual({name.partition(".")[0] for name in TYPES}, set(FAMILIES))
