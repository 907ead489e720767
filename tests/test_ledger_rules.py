"""The rules of a transaction: one test for each rule id."""

from __future__ import annotations

import attrs
import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.builders import (
    WALLET,
    coin,
    lock_of,
    outpoint,
    signed,
    transfer,
    wallet_key,
)
from timed.crypto.rule import verify
from timed.errors import InvalidTransaction
from timed.interfaces import Coin
from timed.ledger import rules
from timed.params import MAX_MONEY, REGTEST, UNITS_PER_TIME
from timed.primitives.transaction import (
    KEY_HASH_SIZE,
    WITNESS_SIZE,
    Lock,
    Output,
    Transaction,
    TransactionKind,
    Witness,
    key_hash,
)

COIN = coin(100 * UNITS_PER_TIME)
SPENT = ((outpoint(), COIN),)


class RuleCase(SynchronousTestCase):
    def assert_breaks(self, rule: str, transaction: Transaction) -> None:
        error = self.assertRaises(InvalidTransaction, rules.check_form, transaction, REGTEST)
        self.assertEqual(error.rule, rule)

    def assert_spend_breaks(self, rule: str, transaction: Transaction, *coins: Coin, height: int = 1) -> None:
        error = self.assertRaises(
            InvalidTransaction, rules.check_spend, transaction, coins or (COIN,), height, REGTEST
        )
        self.assertEqual(error.rule, rule)


class FormTests(RuleCase):
    """What the transaction alone decides."""

    def good(self, **fields: object) -> Transaction:
        return transfer(SPENT, **fields)  # type: ignore[arg-type]

    def with_outputs(self, *outputs: Output) -> Transaction:
        made = Transaction.make(inputs=[outpoint()], outputs=outputs)
        return signed(made, [COIN], [WALLET])

    def test_a_plain_transfer_is_accepted(self) -> None:
        rules.check_form(self.good(), REGTEST)
        self.assertEqual(rules.check_spend(self.good(), [COIN], 1, REGTEST), UNITS_PER_TIME // 10)

    def test_a_memo_is_accepted(self) -> None:
        rules.check_form(self.good(payload=b"rent"), REGTEST)
        self.assertGreater(rules.check_spend(self.good(payload=b"rent"), [COIN], 1, REGTEST), 0)

    def test_another_version(self) -> None:
        self.assert_breaks("transaction-version", self.good(version=2))

    def test_a_coinbase_outside_its_place(self) -> None:
        """[11] Nobody mints but the block itself."""
        self.assert_breaks("kind-coinbase", self.good(kind=TransactionKind.COINBASE))

    def test_masternode_transactions_are_not_active(self) -> None:
        for kind in (TransactionKind.REGISTER, TransactionKind.UPDATE, TransactionKind.REVOKE):
            self.assert_breaks("kind-not-active", self.good(kind=kind))

    def test_an_unknown_kind(self) -> None:
        self.assert_breaks("kind-unknown", self.good(kind=99))

    def test_too_many_bytes(self) -> None:
        small = attrs.evolve(REGTEST, max_transaction_bytes=self.good().size - 1)
        error = self.assertRaises(InvalidTransaction, rules.check_form, self.good(), small)
        self.assertEqual(error.rule, "transaction-bytes")
        rules.check_form(self.good(), attrs.evolve(REGTEST, max_transaction_bytes=self.good().size))

    def test_no_inputs(self) -> None:
        self.assert_breaks("inputs-empty", signed(Transaction.make(outputs=[COIN.output]), [], [WALLET]))

    def test_too_many_inputs(self) -> None:
        spent = [(outpoint(number), COIN) for number in range(REGTEST.max_inputs + 1)]
        self.assert_breaks("inputs-count", transfer(spent))
        rules.check_form(transfer(spent[:-1]), REGTEST)

    def test_an_input_twice(self) -> None:
        self.assert_breaks("input-duplicate", transfer(SPENT * 2))

    def test_no_outputs(self) -> None:
        self.assert_breaks("outputs-empty", self.with_outputs())

    def test_too_many_outputs(self) -> None:
        outputs = [Output(REGTEST.dust, lock_of(WALLET))] * (REGTEST.max_outputs + 1)
        self.assert_breaks("outputs-count", self.with_outputs(*outputs))
        rules.check_form(self.with_outputs(*outputs[:-1]), REGTEST)

    def test_dust(self) -> None:
        self.assert_breaks("output-dust", self.with_outputs(Output(REGTEST.dust - 1, lock_of(WALLET))))
        rules.check_form(self.with_outputs(Output(REGTEST.dust, lock_of(WALLET))), REGTEST)

    def test_a_lock_nobody_can_open(self) -> None:
        for lock in (
            Lock(0, b""),
            Lock(1, bytes(KEY_HASH_SIZE - 1)),
            Lock(2, bytes((1, 2)) + bytes(2 * KEY_HASH_SIZE)),
            Lock(3, bytes(KEY_HASH_SIZE)),
            Lock(3, Lock.multisig(1, [bytes(KEY_HASH_SIZE)]).data),
        ):
            self.assert_breaks("lock-form", self.with_outputs(Output(REGTEST.dust, lock)))

    def test_amounts_that_do_not_add_up_in_range(self) -> None:
        """[1] Every sum is range-checked."""
        half = Output(MAX_MONEY // 2 + 1, lock_of(WALLET))
        self.assert_breaks("amount-range", self.with_outputs(half, half))

    def test_no_witness(self) -> None:
        self.assert_breaks("witness-missing", self.good().with_witnesses(()))

    def test_witnesses_out_of_order_or_twice(self) -> None:
        both = transfer(SPENT, signers=(WALLET, wallet_key(2))).witnesses
        for witnesses in (both[::-1], (both[0], both[0])):
            self.assert_breaks("witness-order", self.good().with_witnesses(witnesses))


class SpendTests(RuleCase):
    """What the coins decide."""

    def test_the_fee_is_what_is_left(self) -> None:
        transaction = transfer(SPENT, [10 * UNITS_PER_TIME], fee=12_345_678)
        self.assertEqual(rules.check_spend(transaction, [COIN], 1, REGTEST), 12_345_678)

    def test_before_its_lock_height(self) -> None:
        transaction = transfer(SPENT, lock_height=5)
        self.assert_spend_breaks("lock-height", transaction, height=4)
        self.assertGreater(rules.check_spend(transaction, [COIN], 5, REGTEST), 0)

    def test_a_coinbase_in_its_own_block(self) -> None:
        fresh = msgspec.structs.replace(COIN, coinbase=True, height=7)
        self.assert_spend_breaks("coinbase-immature", transfer(SPENT), fresh, height=7)
        self.assertGreater(rules.check_spend(transfer(SPENT), [fresh], 8, REGTEST), 0)

    def test_more_out_than_in(self) -> None:
        """[11] A transaction makes no coins."""
        transaction = transfer(SPENT, [COIN.output.value + 1])
        self.assert_spend_breaks("value-created", transaction)
        self.assert_spend_breaks("fee-low", transfer(SPENT, [COIN.output.value], fee=0))

    def test_inputs_beyond_all_money(self) -> None:
        """[1] Every sum is range-checked."""
        big = coin(MAX_MONEY)
        spent = [(outpoint(1), big), (outpoint(2), big)]
        self.assert_spend_breaks("amount-range", transfer(spent, [1_000], fee=0), big, big)

    def test_one_unit_too_little_fee(self) -> None:
        outputs = [Output(10 * UNITS_PER_TIME, lock_of(WALLET))]
        least = rules.minimum_fee(outputs, REGTEST)
        for fee, works in ((least, True), (least - 1, False)):
            exact = coin(10 * UNITS_PER_TIME + fee)
            transaction = transfer([(outpoint(), exact)], [10 * UNITS_PER_TIME], fee=fee)
            if works:
                self.assertEqual(rules.check_spend(transaction, [exact], 1, REGTEST), least)
            else:
                self.assert_spend_breaks("fee-low", transaction, exact)


class WitnessTests(RuleCase):
    """[5] One witness per key, none missing, none for nothing."""

    def test_somebody_elses_signature(self) -> None:
        self.assert_spend_breaks("witness-missing", transfer(SPENT, signers=(wallet_key(2),)))

    def test_a_witness_that_no_input_asks_for(self) -> None:
        self.assert_spend_breaks("witness-unused", transfer(SPENT, signers=(WALLET, wallet_key(2))))

    def test_one_witness_opens_all_inputs_of_its_key(self) -> None:
        spent = [(outpoint(number), COIN) for number in range(3)]
        self.assertGreater(rules.check_spend(transfer(spent), [COIN] * 3, 1, REGTEST), 0)

    def test_every_key_of_the_inputs_must_sign(self) -> None:
        other = coin(owner=wallet_key(2))
        spent = [(outpoint(1), COIN), (outpoint(2), other)]
        both = transfer(spent, signers=(WALLET, wallet_key(2)))
        self.assertGreater(rules.check_spend(both, [COIN, other], 1, REGTEST), 0)
        self.assert_spend_breaks("witness-missing", transfer(spent), COIN, other)

    def multisig(self, required: int, *signers: int) -> tuple[Transaction, Coin]:
        """A spend of a `required` of 3 lock by these wallet keys."""
        lock = Lock.multisig(required, [key_hash(wallet_key(number).public) for number in (1, 2, 3)])
        shared = coin(owner=lock)
        return transfer([(outpoint(), shared)], signers=[wallet_key(n) for n in signers]), shared

    def test_exactly_m_of_n(self) -> None:
        for signers in ((1, 2), (2, 3), (1, 3)):
            transaction, shared = self.multisig(2, *signers)
            self.assertGreater(rules.check_spend(transaction, [shared], 1, REGTEST), 0)

    def test_fewer_than_m(self) -> None:
        transaction, shared = self.multisig(2, 3)
        self.assert_spend_breaks("witness-missing", transaction, shared)

    def test_more_than_m(self) -> None:
        transaction, shared = self.multisig(2, 1, 2, 3)
        self.assert_spend_breaks("witness-excess", transaction, shared)


class SignatureTests(SynchronousTestCase):
    def test_the_items_of_a_signed_transaction_verify(self) -> None:
        transaction = transfer(SPENT)
        items = rules.signature_items(transaction, [COIN], REGTEST.chain_id)
        self.assertEqual([verify(*item) for item in items], [True])

    def test_the_message_binds_chain_value_and_lock(self) -> None:
        """[5] The witnesses sign chain id, txid and what every input holds."""
        transaction = transfer(SPENT)
        other_value = msgspec.structs.replace(COIN, output=Output(COIN.output.value + 1, COIN.output.lock))
        other_lock = coin(COIN.output.value, wallet_key(2))
        messages = {
            rules.signature_items(transaction, [spent], chain_id)[0][1]
            for spent, chain_id in ((COIN, 3), (COIN, 1), (other_value, 3), (other_lock, 3))
        }
        self.assertEqual(len(messages), 4)

    def test_the_txid_covers_everything_but_the_witnesses(self) -> None:
        """[5] A third party cannot change the id by changing a signature."""
        transaction = transfer(SPENT)
        forged = transaction.with_witnesses((Witness(WALLET.public, bytes(64)),))
        self.assertEqual(forged.txid, transaction.txid)
        self.assertNotEqual(forged.raw, transaction.raw)
        self.assertNotEqual(transfer(SPENT, lock_height=1).txid, transaction.txid)


class RoomTests(SynchronousTestCase):
    """What a transaction may take in a block, the same whichever of its bodies a node has."""

    def test_every_key_that_the_locks_can_ask_for_is_counted(self) -> None:
        shared = Lock.multisig(2, [key_hash(wallet_key(number).public) for number in (1, 2, 3)])
        own, other = lock_of(wallet_key(1)), lock_of(wallet_key(2))
        for locks, most in (([own], 1), ([own, own], 1), ([own, other], 2), ([shared, own, shared], 3)):
            unsigned = transfer(SPENT).with_witnesses(())
            self.assertEqual(rules.largest_size(unsigned, locks), unsigned.size + most * WITNESS_SIZE)

    def test_it_does_not_depend_on_who_signed(self) -> None:
        """Key 2 alone opens the second lock of the pair, and one of two keys the first."""
        locks = [
            Lock.multisig(1, [key_hash(wallet_key(number).public) for number in (1, 2)]),
            lock_of(wallet_key(2)),
        ]
        coins = [coin(owner=lock) for lock in locks]
        spent = [(outpoint(number), one) for number, one in enumerate(coins)]
        bodies = [transfer(spent, signers=[wallet_key(2)])]
        bodies.append(transfer(spent, signers=[wallet_key(1), wallet_key(2)]))
        self.assertEqual({one.txid for one in bodies}, {bodies[0].txid})
        sizes = [rules.largest_size(one, locks) for one in bodies]
        self.assertEqual(sizes, [bodies[1].size] * 2)


class FeeTests(SynchronousTestCase):
    def test_a_thousandth_between_floor_and_ceiling(self) -> None:
        cases = {
            0: 100_000,
            UNITS_PER_TIME: 100_000,
            2 * UNITS_PER_TIME: 200_000,
            2 * UNITS_PER_TIME + 999: 200_000,
            2 * UNITS_PER_TIME + 1_000: 200_001,
            1_000 * UNITS_PER_TIME: UNITS_PER_TIME,
            10**6 * UNITS_PER_TIME: UNITS_PER_TIME,
        }
        self.assertEqual({total: rules.fee_for(total, REGTEST) for total in cases}, cases)

    def test_it_counts_all_outputs(self) -> None:
        outputs = [Output(UNITS_PER_TIME, lock_of(WALLET))] * 5
        self.assertEqual(rules.minimum_fee(outputs, REGTEST), 500_000)

    def test_what_does_not_cover_the_least_fee_pays_nothing(self) -> None:
        least = REGTEST.minimum_fee
        paid = [rules.largest_total(available, REGTEST) for available in (-1, 0, 1, least, least + 1)]
        self.assertEqual(paid, [0, 0, 0, 0, 1])

    @settings(deadline=None, max_examples=100)
    @given(
        available=st.one_of(
            st.integers(0, 3 * UNITS_PER_TIME),
            st.integers(999 * UNITS_PER_TIME, 1_002 * UNITS_PER_TIME),
            st.integers(0, MAX_MONEY),
        )
    )
    def test_the_inverse_is_sufficient_and_minimal(self, available: int) -> None:
        """What a wallet can pay out of its coins, to the unit."""
        total = rules.largest_total(available, REGTEST)
        if total:
            self.assertLessEqual(total + rules.fee_for(total, REGTEST), available)
        self.assertGreater(total + 1 + rules.fee_for(total + 1, REGTEST), available)
