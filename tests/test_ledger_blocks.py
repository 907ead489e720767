"""What a block must fulfil: one test for each rule id, and the arithmetic behind them."""

from __future__ import annotations

from typing import Any

import attrs
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from tests.builders import (
    WALLET,
    ChainBuilder,
    block_certificate,
    coin,
    genesis,
    lock_of,
    matches,
    outpoint,
    outputs_of,
    report_references,
    roster,
    transfer,
    wallet_key,
)
from timed.crypto.rule import verify
from timed.errors import InvalidBlock, LocalError, RemoteError, StoreError
from timed.interfaces import Coin
from timed.ledger import ledger as ledger_module
from timed.ledger.content import HEADER_SIZE
from timed.ledger.digest import apply_digests, empty_digests, shard_of, utxo_root
from timed.ledger.filters import block_filter, filter_item
from timed.ledger.ledger import MAX_UNSETTLED, Ledger
from timed.ledger.rewards import base_reward
from timed.params import NULL_HASH
from timed.primitives.block import Block, Evidence, attendance_root, tx_root
from timed.primitives.certificate import BlockCertificate, bitmap_of
from timed.primitives.filters import filter_key, filter_root
from timed.primitives.transaction import COINBASE, OutPoint, Transaction
from timed.store.memory import MemoryStore

GENESIS = genesis()


class BlockCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.chain = ChainBuilder(GENESIS)

    def payment(self, index: int = 0, **fields: Any) -> Transaction:
        return transfer([self.chain.allocation(index)], [10**9], **fields)

    def assert_refused(self, rule: str, block: Block) -> None:
        """Through the wire and back, as a peer would send it; the tip stays."""
        tip = self.chain.ledger.tip
        received = Block.decode(block.encode())
        self.assertEqual(self.assertRaises(InvalidBlock, self.chain.ledger.evaluate, received).rule, rule)
        self.assertEqual(self.chain.ledger.tip, tip)

    def assert_unmakeable(self, rule: str, *transactions: Transaction, **fields: Any) -> None:
        error = self.assertRaises(InvalidBlock, self.chain.make, transactions, **fields)
        self.assertEqual(error.rule, rule)

    def forged(self, block: Block | None = None, **header: Any) -> Block:
        """A block whose header says something else."""
        block = self.chain.make([self.payment()])[0] if block is None else block
        return replace(block, header=replace(block.header, **header))

    def with_transactions(self, *transactions: Transaction) -> Block:
        """A block with these transactions after its coinbase, in this order, and their tx_root."""
        block, _ = self.chain.make()
        body = (block.transactions[0], *transactions)
        return replace(block, transactions=body, header=replace(block.header, tx_root=tx_root(body)))


class GoodBlockTests(BlockCase):
    def test_what_the_proposer_makes_the_validator_accepts(self) -> None:
        """[11] The same computation on both sides, to the byte."""
        block, made = self.chain.make([self.payment(0), self.payment(1)])
        seen = self.chain.ledger.evaluate(Block.decode(block.encode()))
        self.assertEqual(attrs.evolve(seen, block=block), made)
        self.assertEqual(seen.block.hash, block.hash)

    def test_the_order_given_does_not_matter(self) -> None:
        payments = [self.payment(index) for index in range(5)]
        self.assertEqual(self.chain.make(payments)[0], self.chain.make(payments[::-1])[0])

    def test_payments_may_be_chained_within_a_block(self) -> None:
        first = self.payment()
        second = transfer(outputs_of(first)[:1])
        commit = self.chain.extend([second, first])
        self.assertEqual(commit.txids[1:], (first.txid, second.txid))
        self.assertIsNone(self.chain.ledger.coin(outputs_of(first)[0][0]))
        self.assertIsNotNone(self.chain.ledger.coin(outputs_of(second)[0][0]))

    def test_the_signatures_to_check_are_those_of_the_transactions(self) -> None:
        first = self.payment()
        _, effects = self.chain.make([first, transfer(outputs_of(first)[:1]), self.payment(1)])
        self.assertEqual([verify(*item) for item in effects.signature_items()], [True] * 3)

    def test_signatures_that_were_checked_before_are_those_of_the_very_body(self) -> None:
        """[5] A body of the same txid with other witnesses was never checked."""
        block, effects = self.chain.make([self.payment(0), self.payment(1)])
        _, first, second = block.transactions
        whole = effects.signature_items()
        other = first.with_witnesses(second.witnesses)
        for known, left in (({}, 2), ({first.txid: first}, 1), ({first.txid: other}, 2)):
            items = effects.signature_items(known.get)
            self.assertEqual(len(items), left)
            self.assertEqual(items, whole[2 - left :])

    def test_a_parent_certificate_by_other_signers_has_its_signatures_listed(self) -> None:
        """Only the certificate the ledger holds was checked before."""
        self.chain.extend()
        tip = self.chain.ledger.tip
        _, known = self.chain.make()
        self.assertEqual(known.certificate_items, ())
        other = block_certificate(GENESIS.members, tip.height, tip.hash, signers=(0, 2))
        _, effects = self.chain.make(parent_certificate=other)
        self.assertEqual([verify(*item) for item in effects.certificate_items], [True, True])

    def test_attendance_is_who_signed_the_parents_certificate(self) -> None:
        """[11] n counts the signers of the certificate that stands in the block."""
        block, _ = self.chain.make()
        commit = self.chain.ledger.evaluate(block).commit(self.chain.certify(block, signers=(0, 2)))
        self.chain.store.commit(commit)
        self.chain.ledger.advance(commit)
        block, _ = self.chain.make()
        self.assertEqual(block.attendance, bitmap_of((0, 2), 3))
        self.assertEqual(block.header.reward, base_reward(2))
        paid = [output.lock for output in block.transactions[0].outputs]
        self.assertEqual(paid, [GENESIS.members.members[index].reward for index in (0, 2)])

    def test_height_one_counts_the_whole_roster(self) -> None:
        """[11] Nobody has signed anything yet."""
        block, _ = self.chain.make()
        self.assertEqual(block.attendance, bitmap_of(range(3), 3))
        self.assertEqual(block.header.reward, base_reward(3))

    def test_fees_go_to_the_attending_members(self) -> None:
        """[11] The header's reward is R plus fees, and the coinbase pays exactly that."""
        block, effects = self.chain.make([self.payment(0, fee=112_345_678), self.payment(1, fee=100_000_000)])
        self.assertEqual(effects.fees, 212_345_678)
        self.assertEqual(block.header.reward, base_reward(3) + effects.fees)
        self.assertEqual(sum(output.value for output in block.transactions[0].outputs), block.header.reward)

    def test_a_coinbase_output_can_be_spent_in_the_next_block(self) -> None:
        commit = self.chain.extend()
        earned, made = commit.created[0]
        owner = next(key for key in map(wallet_key, (1, 2, 3)) if lock_of(key) == made.output.lock)
        spend = transfer([(earned, made)], signers=(owner,))
        self.chain.extend([spend])
        self.assertEqual(self.chain.ledger.locate(spend.txid), (2, 1))

    def test_the_filter_finds_payer_and_payee_and_nobody_else(self) -> None:
        block, effects = self.chain.make([self.payment(to=wallet_key(9))])
        root = block.header.tx_root
        encoded = block_filter(root, block.transactions, effects.spent)
        self.assertEqual(filter_root(encoded), block.header.filter_root)
        hits = [
            matches(encoded, filter_key(root), [filter_item(lock_of(wallet_key(number)))])
            for number in (1, 9, 77)
        ]
        self.assertEqual(hits, [True, True, False])


class HeaderRuleTests(BlockCase):
    def test_another_version(self) -> None:
        self.assert_refused("version", self.forged(version=2))

    def test_another_chain(self) -> None:
        self.assert_refused("chain-id", self.forged(chain_id=1))

    def test_another_height(self) -> None:
        for height in (0, 2, 2**64 - 1):
            self.assert_refused("height", self.forged(height=height))

    def test_another_parent(self) -> None:
        self.assert_refused("previous", self.forged(previous=NULL_HASH))

    def test_a_time_that_is_not_later_than_the_parents(self) -> None:
        """[6] Time goes forward."""
        self.assert_refused("time-parent", self.forged(time=GENESIS.time))
        self.assert_refused("time-parent", self.forged(time=GENESIS.time - GENESIS.interval))

    def test_a_time_off_the_grid(self) -> None:
        """[6] Time is genesis time plus a whole number of intervals."""
        self.assert_refused("time-grid", self.forged(time=GENESIS.time + GENESIS.interval + 1))

    def test_slots_may_stay_empty(self) -> None:
        """[6] An empty slot mints nothing: the next block pays one reward."""
        block, _ = self.chain.make(time=GENESIS.time + 1_000 * GENESIS.interval)
        self.assertEqual(self.chain.ledger.evaluate(block).block.header.reward, base_reward(3))

    def test_a_proposer_from_outside_the_roster(self) -> None:
        self.assert_refused("proposer", self.forged(proposer=WALLET.public))

    def test_another_roster(self) -> None:
        """[7] Rosters come from the chain."""
        self.assert_refused("roster", self.forged(roster=roster(1, 2).hash))
        self.assert_refused("next-roster", self.forged(next_roster=roster(1, 2).hash))

    def test_another_reward(self) -> None:
        """[11] Not one unit more or less."""
        reward = self.chain.make([self.payment()])[0].header.reward
        for wrong in (reward - 1, reward + 1):
            self.assert_refused("reward", self.forged(reward=wrong))

    def test_roots_of_something_else(self) -> None:
        for field, rule in (
            ("attendance_root", "attendance-root"),
            ("evidence_root", "evidence-root"),
            ("tx_root", "tx-root"),
            ("filter_root", "filter-root"),
            ("utxo_root", "utxo-root"),
        ):
            self.assert_refused(rule, self.forged(**{field: NULL_HASH}))


class BodyRuleTests(BlockCase):
    def test_too_many_bytes(self) -> None:
        block, _ = self.chain.make([self.payment()])
        tight = attrs.evolve(GENESIS.params, max_block_bytes=len(block.encode()) - 1)
        genesis = attrs.evolve(GENESIS)
        # A genesis itself refuses a bound that its roster alone would pass.
        object.__setattr__(genesis, "params", tight)
        self.patch(self.chain.ledger, "genesis", genesis)
        self.assert_refused("block-bytes", block)
        self.assert_unmakeable("block-bytes", self.payment())

    def test_too_many_transactions(self) -> None:
        tight = attrs.evolve(GENESIS.params, max_block_transactions=2)
        self.patch(self.chain.ledger, "genesis", attrs.evolve(GENESIS, params=tight))
        self.assert_unmakeable("block-transactions", self.payment(0), self.payment(1))
        self.chain.make([self.payment(0)])

    def test_no_coinbase(self) -> None:
        block, _ = self.chain.make([self.payment()])
        for body in ((), block.transactions[1:]):
            self.assert_refused("coinbase-missing", replace(block, transactions=body))

    def test_a_coinbase_that_pays_somebody_else(self) -> None:
        """[11] Only the attending members, only what they earned."""
        block, _ = self.chain.make()
        coinbase = block.transactions[0]
        stolen = tuple(replace(output, lock=lock_of(wallet_key(66))) for output in coinbase.outputs)
        for wrong in (
            replace(coinbase, outputs=stolen),
            replace(coinbase, outputs=coinbase.outputs[::-1]),
            replace(coinbase, outputs=coinbase.outputs[1:]),
            replace(coinbase, payload=(2).to_bytes(8, "little")),
            replace(coinbase, lock_height=1),
        ):
            forged = replace(block, transactions=(wrong,))
            self.assert_refused("coinbase", self.forged(forged, tx_root=tx_root((wrong,))))

    def test_a_second_coinbase(self) -> None:
        """[11] Nothing else mints."""
        block, _ = self.chain.make()
        self.assert_refused(
            "kind-coinbase", self.with_transactions(replace(block.transactions[0], lock_height=9))
        )

    def test_transactions_out_of_order(self) -> None:
        first, second = sorted((self.payment(0), self.payment(1)), key=lambda each: each.txid)
        self.assert_refused("transaction-order", self.with_transactions(second, first))
        parent = self.payment(2)
        child = transfer(outputs_of(parent)[:1])
        self.assert_refused("transaction-order", self.with_transactions(child, parent))

    def test_a_transaction_twice(self) -> None:
        self.assert_refused("transaction-duplicate", self.with_transactions(self.payment(), self.payment()))

    def test_two_spends_of_one_coin(self) -> None:
        """[15] Each output is spent once."""
        self.assert_unmakeable("double-spend", self.payment(), self.payment(fee=2 * 10**8))

    def test_a_spend_of_a_coin_that_is_not_there(self) -> None:
        nowhere = transfer([(outpoint(), self.chain.allocation()[1])])
        self.assert_unmakeable("input-missing", nowhere)

    def test_a_coin_spent_in_an_earlier_block(self) -> None:
        self.chain.extend([self.payment()])
        self.assert_unmakeable("input-missing", self.payment(fee=2 * 10**8))

    def test_the_blocks_own_coinbase_cannot_be_spent_in_it(self) -> None:
        block, _ = self.chain.make()
        coinbase = block.transactions[0]
        self.assertEqual(coinbase.kind, COINBASE)
        self.assert_unmakeable("input-missing", transfer(outputs_of(coinbase)[:1], fee=10**8))

    def test_rules_of_a_transaction_are_rules_of_the_block(self) -> None:
        self.assert_unmakeable("fee-low", self.payment(fee=1))
        self.assert_unmakeable("lock-height", self.payment(lock_height=2))
        self.assert_unmakeable("witness-missing", self.payment(signers=(wallet_key(5),)))

    def test_another_attendance(self) -> None:
        """[10] The bitmap is that of the parent's certificate."""
        block, _ = self.chain.make()
        for bitmap in (b"", b"\x03", b"\x0f", b"\x07\x00"):
            forged = replace(block, attendance=bitmap)
            self.assert_refused("attendance", self.forged(forged, attendance_root=attendance_root(bitmap)))

    def test_evidence_is_not_active(self) -> None:
        self.assert_unmakeable("evidence-not-active", evidence=(Evidence(b"one", b"other"),))


class ReportRuleTests(BlockCase):
    def test_reports_out_of_order_or_twice(self) -> None:
        references = report_references(GENESIS.members)
        for wrong in (references[::-1], (references[0], *references)):
            self.assert_unmakeable("report-order", reports=wrong)

    def test_a_report_from_outside_the_roster(self) -> None:
        self.assert_unmakeable("report-member", reports=report_references(GENESIS.members, (0, 1, 3)))

    def test_reports_of_less_than_a_quorum(self) -> None:
        """[9] Two of three are a quorum, one is not."""
        self.assert_unmakeable("report-quorum", reports=report_references(GENESIS.members, (1,)))
        self.assert_unmakeable("report-quorum", reports=())
        self.chain.make(reports=report_references(GENESIS.members, (0, 2)))


class ParentCertificateRuleTests(BlockCase):
    def setUp(self) -> None:
        super().setUp()
        self.chain.extend()
        tip = self.chain.ledger.tip
        self.good = block_certificate(GENESIS.members, tip.height, tip.hash)

    def assert_certificate_refused(self, rule: str, **fields: Any) -> None:
        self.assert_unmakeable(rule, parent_certificate=replace(self.good, **fields))

    def test_genesis_has_none(self) -> None:
        self.chain = ChainBuilder(GENESIS)
        self.assert_unmakeable("parent-certificate-unexpected", parent_certificate=self.good)

    def test_every_other_block_has_one(self) -> None:
        self.assert_unmakeable("parent-certificate-missing", parent_certificate=None)

    def test_it_certifies_the_parent_and_nothing_else(self) -> None:
        self.assert_certificate_refused("parent-certificate-target", target=NULL_HASH)
        self.assert_certificate_refused("parent-certificate-target", height=2)
        self.assert_certificate_refused("parent-certificate-target", chain_id=1)

    def test_it_carries_a_quorum_of_the_parents_roster(self) -> None:
        """[9] The whole roster's weight counts, never the weight heard from."""
        tip = self.chain.ledger.tip
        weak = block_certificate(GENESIS.members, tip.height, tip.hash, signers=(1,))
        self.assert_unmakeable("parent-certificate", parent_certificate=weak)
        foreign = block_certificate(roster(4, 5, 6), tip.height, tip.hash)
        self.assert_unmakeable("parent-certificate", parent_certificate=foreign)
        self.assert_certificate_refused("parent-certificate", bitmap=b"\x0f")
        self.assert_certificate_refused("parent-certificate", signatures=self.good.signatures[:2])


class RosterTests(SynchronousTestCase):
    """[7] A change takes effect two blocks after the block that carries it."""

    def setUp(self) -> None:
        self.later = roster(2, 3, 4, 5)
        self.genesis = attrs.evolve(genesis(), roster_changes=((2, self.later),))
        self.chain = ChainBuilder(self.genesis)

    def test_the_roster_of_each_height(self) -> None:
        """[7] Carried by block 2, in force from block 4 on."""
        rosters = [self.genesis.roster_at(height) for height in range(6)]
        self.assertEqual(rosters, [self.genesis.members] * 4 + [self.later] * 2)

    def test_headers_name_the_roster_and_the_next(self) -> None:
        """[7] Committed in headers before it votes."""
        headers = []
        for _ in range(5):
            self.chain.extend()
            headers.append(self.chain.ledger.tip.header)
        old, new = self.genesis.members.hash, self.later.hash
        self.assertEqual([header.roster for header in headers], [old, old, old, new, new])
        self.assertEqual([header.next_roster for header in headers], [old, old, new, new, new])

    def test_attendance_is_counted_on_the_parents_roster(self) -> None:
        """[11] Block 4 pays the signers of block 3, who are of the old roster; block 5 the new."""
        rewards, paid = [], []
        for _ in range(5):
            block = Block.decode(self.chain.extend().block)
            rewards.append(block.header.reward)
            paid.append([output.lock for output in block.transactions[0].outputs])
        self.assertEqual(rewards, [base_reward(3)] * 4 + [base_reward(4)])
        old, new = ([member.reward for member in one.members] for one in (self.genesis.members, self.later))
        self.assertEqual(paid, [old] * 4 + [new])

    def test_the_first_block_pays_the_roster_of_genesis_whatever_comes_after_it(self) -> None:
        """[11]"""
        chain = ChainBuilder(attrs.evolve(genesis(), roster_changes=((0, self.later),)))
        first = chain.genesis.block().header
        self.assertEqual((first.roster, first.next_roster), (roster().hash, roster().hash))
        block, _ = chain.make()
        self.assertEqual((block.header.roster, block.header.next_roster), (roster().hash, self.later.hash))
        self.assertEqual(block.attendance, bitmap_of(range(3), 3))
        paid = [output.lock for output in block.transactions[0].outputs]
        self.assertEqual(paid, [member.reward for member in roster().members])

    def test_it_is_known_two_blocks_ahead_and_no_further(self) -> None:
        """[7] What later blocks may change is not guessed."""
        for height in (0, 1, 2):
            self.assertEqual(self.chain.ledger.roster(height), self.genesis.members)
        self.assertRaises(LocalError, self.chain.ledger.roster, 3)
        self.assertRaises(LocalError, self.chain.ledger.roster, -1)


class DamagedBlockTests(SynchronousTestCase):
    """Whatever bytes a peer sends: a value or a RemoteError, nothing else."""

    chain = ChainBuilder(GENESIS)
    chain.extend()
    parent = transfer([chain.allocation(0)], [10**9])
    block, _ = chain.make([parent, transfer(outputs_of(parent)[:1]), transfer([chain.allocation(1)])])
    encoded = block.encode()

    @settings(deadline=None, max_examples=300)
    @given(position=st.integers(0, len(encoded) - 1), bit=st.integers(0, 7))
    @example(position=HEADER_SIZE - 4, bit=0)  # the round, which is the proposer's to choose
    def test_a_flipped_bit_changes_nothing_that_the_header_commits_to(self, position: int, bit: int) -> None:
        """[3] What is accepted differs at most in signatures, and those are listed for checking."""
        damaged = bytearray(self.encoded)
        damaged[position] ^= 1 << bit
        try:
            effects = self.chain.ledger.evaluate(Block.decode(bytes(damaged)))
        except RemoteError as error:
            self.assertTrue(error.rule)
            return
        received = effects.block
        self.assertEqual(received.transactions[0], self.block.transactions[0])
        self.assertEqual(effects.txids, tuple(each.txid for each in self.block.transactions))
        self.assertEqual(received.attendance, self.block.attendance)
        if received.header.hash != self.block.hash:
            self.assertIn(
                replace(received.header, time=0, round=0, proposer=NULL_HASH),
                [replace(self.block.header, time=0, round=0, proposer=NULL_HASH)],
            )

    @settings(deadline=None, max_examples=50)
    @given(size=st.integers(0, len(encoded) - 1))
    def test_a_block_cut_short_is_refused(self, size: int) -> None:
        """[3] Nothing but the canonical encoding."""
        self.assertRaises(RemoteError, Block.decode, self.encoded[:size])


class DigestTests(BlockCase):
    """[15] Equal height means equal roots on every node."""

    def test_after_apply_and_undo_the_digest_is_the_one_before(self) -> None:
        before = self.chain.ledger.tip.digests
        first = self.payment()
        _, effects = self.chain.make([first, transfer(outputs_of(first)[:1])])
        self.assertNotEqual(effects.digests, before)
        self.assertEqual(apply_digests(effects.digests, effects.spent, effects.created), before)

    def test_a_coin_is_of_the_shard_that_the_first_bits_of_its_txid_name(self) -> None:
        """§8"""
        txid = b"\xb5" + bytes(31)
        self.assertEqual([shard_of(txid, bits) for bits in (0, 1, 2, 4, 8)], [0, 1, 2, 11, 0xB5])
        before = empty_digests(4)
        after = apply_digests(before, [(OutPoint(txid, 7), coin())], ())
        self.assertEqual([number for number in range(16) if after[number] != before[number]], [11])

    @settings(deadline=None, max_examples=25)
    @given(
        shard_bits=st.sampled_from([0, 1, 3, 8]), picks=st.lists(st.integers(0, 50), max_size=6, unique=True)
    )
    def test_incremental_equals_from_scratch(self, shard_bits: int, picks: list[int]) -> None:
        chain = ChainBuilder(genesis(shard_bits=shard_bits))
        payments = [transfer([chain.allocation(index)], [10**9]) for index in picks]
        chained = [transfer(outputs_of(payment)[:1]) for payment in payments[::2]]
        chain.extend(payments + chained)
        chain.extend()
        scratch = apply_digests(empty_digests(shard_bits), chain.store.coins(), ())
        self.assertEqual(chain.ledger.tip.digests, scratch)
        self.assertEqual(chain.ledger.tip.header.utxo_root, utxo_root(scratch))
        self.assertEqual(len(scratch), 1 << shard_bits)

    def test_the_root_does_not_depend_on_how_the_set_came_about(self) -> None:
        coins = list(self.chain.store.coins())
        forwards = apply_digests(empty_digests(2), coins, ())
        backwards = empty_digests(2)
        for entry in reversed(coins):
            backwards = apply_digests(backwards, (entry,), ())
        self.assertEqual(forwards, backwards)


class EmissionTests(SynchronousTestCase):
    @settings(deadline=None, max_examples=15)
    @given(data=st.data(), members=st.integers(1, 7))
    def test_the_coins_sum_to_what_was_emitted(self, data: st.DataObject, members: int) -> None:
        """[15] [11] Allocation plus R for every block; fees change owners, nothing else."""
        chain = ChainBuilder(genesis(members))
        emitted = GENESIS.block().header.reward
        spendable = [chain.allocation(index) for index in range(20)]
        for _ in range(data.draw(st.integers(1, 4))):
            payments = []
            for _ in range(data.draw(st.integers(0, 3))):
                spent = spendable.pop(data.draw(st.integers(0, len(spendable) - 1)))
                payment = transfer([spent], [10**8], fee=data.draw(st.integers(10**8, 2 * 10**8)))
                payments.append(payment)
                spendable.extend(outputs_of(payment)[1:])
            signers = tuple(range(members))[: data.draw(st.integers((2 * members + 2) // 3, members))]
            block, effects = chain.make(payments)
            commit = effects.commit(chain.certify(block, signers=signers))
            chain.store.commit(commit)
            chain.ledger.advance(commit)
            emitted += block.header.reward - effects.fees
        tip = chain.store.tip()
        assert tip is not None
        self.assertEqual(tip.supply, emitted)
        self.assertEqual(sum(coin.output.value for _, coin in chain.store.coins()), emitted)


class LedgerTests(SynchronousTestCase):
    def test_it_opens_where_the_store_stands(self) -> None:
        chain = ChainBuilder(GENESIS)
        for _ in range(3):
            chain.extend()
        self.assertEqual(Ledger(chain.store, GENESIS).tip, chain.ledger.tip)

    def test_an_empty_store_is_refused(self) -> None:
        self.assertIn("holds no chain", str(self.assertRaises(StoreError, Ledger, MemoryStore(), GENESIS)))

    def test_the_store_of_another_genesis_is_refused(self) -> None:
        store = ChainBuilder(GENESIS).store
        error = self.assertRaises(StoreError, Ledger, store, genesis(4))
        self.assertIn("another genesis", str(error))

    def test_blocks_headers_and_certificates_come_back(self) -> None:
        chain = ChainBuilder(GENESIS)
        commit = chain.extend([transfer([chain.allocation()])])
        chain.extend()
        ledger = Ledger(chain.store, GENESIS)
        block = Block.decode(commit.block)
        self.assertEqual((ledger.block(1), ledger.header(1)), (block, block.header))
        self.assertEqual(ledger.height_of(block.hash), 1)
        self.assertEqual(ledger.locate(commit.txids[1]), (1, 1))
        certificate = ledger.certificate(1)
        self.assertEqual(None if certificate is None else certificate.encode(), commit.certificate)
        self.assertEqual((ledger.certificate(0), ledger.block(3), ledger.header(3)), (None, None, None))

    def test_blocks_may_be_evaluated_before_the_store_has_their_parents(self) -> None:
        """Catching up: the coins of what is being written are known, spent ones are gone."""
        chain = ChainBuilder(GENESIS)
        payment = transfer([chain.allocation()], [10**9])
        commits = [chain.extend([payment]), chain.extend([transfer(outputs_of(payment)[:1])]), chain.extend()]
        store = MemoryStore()
        store.commit(GENESIS.commit())
        ahead = Ledger(store, GENESIS)
        for commit in commits:
            certificate = BlockCertificate.decode(commit.certificate)
            ahead.advance(ahead.evaluate(Block.decode(commit.block)).commit(certificate))
        self.assertEqual((ahead.tip, ahead.unsettled), (chain.ledger.tip, 3))
        self.assertIsNone(ahead.coin(chain.allocation()[0]))
        self.assertIsNone(ahead.coin(outputs_of(payment)[0][0]))
        self.assertEqual(ahead.coin(outputs_of(payment)[1][0]), outputs_of(payment)[1][1])
        for commit in commits:
            store.commit(commit)
        self.assertEqual(ahead.unsettled, 0)
        self.assertIsNone(ahead.coin(chain.allocation()[0]))

    def test_coins_that_were_read_are_kept_at_hand_up_to_a_bound(self) -> None:
        self.patch(ledger_module, "MAX_CACHED_COINS", 2)
        chain = ChainBuilder(GENESIS)
        read = []
        stored = chain.store.coin

        def noted(wanted: OutPoint) -> Coin | None:
            read.append(wanted)
            return stored(wanted)

        self.patch(chain.store, "coin", noted)
        one, two, three = (chain.allocation(index)[0] for index in range(3))
        for wanted in (one, two, one, two, outpoint(), outpoint(), three, three, one):
            chain.ledger.coin(wanted)
        self.assertEqual(read, [one, two, outpoint(), outpoint(), three, one], "a third lets go of all")

    def test_it_does_not_run_away_from_the_store(self) -> None:
        chain = ChainBuilder(genesis(1))
        store = MemoryStore()
        store.commit(chain.genesis.commit())
        ahead = Ledger(store, chain.genesis)
        for _ in range(MAX_UNSETTLED):
            ahead.advance(chain.extend())
        error = self.assertRaises(LocalError, ahead.advance, chain.extend())
        self.assertIn("behind", str(error))

    def test_only_the_next_block_can_be_adopted(self) -> None:
        chain = ChainBuilder(GENESIS)
        commit = chain.extend()
        self.assertRaises(LocalError, chain.ledger.advance, commit)
