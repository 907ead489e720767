"""Keys, coins and payments, on a real node that finalises alone."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.builders import wallet_key
from tests.rpc_world import FRIEND, World
from timed.errors import InvalidTransaction, LocalError
from timed.primitives.transaction import Lock, OutPoint, Output, Transaction
from timed.wallet import keystore
from timed.wallet.keystore import CHANGE, POOL_SIZE, RECEIVE, Keystore
from timed.wallet.planning import InsufficientFunds
from timed.wallet.reservations import MAX_RESERVED, Reservations
from timed.wallet.signing import sign, unsigned_inputs
from timed.wallet.wallet import Prepared, Wallet

COIN = 10_000 * 10**8
"""One coin of the allocation."""


class Keys(SynchronousTestCase):
    def setUp(self) -> None:
        self.outbox: list[dict[str, Any]] = []
        self.keys = Keystore(random.Random(1).randbytes, self.outbox)

    def restored(self) -> Keystore:
        keys = Keystore(random.Random(2).randbytes, [])
        keys.restore(list(self.outbox))
        return keys

    def test_keys_are_written_before_they_are_handed_out(self) -> None:
        taken = self.keys.take(RECEIVE, "shop")
        kinds = [next(iter(record)) for record in self.outbox]
        self.assertEqual(kinds, ["key"] * POOL_SIZE + ["issue"])
        again = self.restored()
        self.assertEqual(again.label_of(taken.hash), "shop")
        self.assertTrue(again.owns(taken.lock))

    def test_no_key_is_handed_out_twice_not_even_after_a_restart(self) -> None:
        first = [self.keys.take(RECEIVE).hash for _ in range(130)]
        again = self.restored()
        later = [again.take(CHANGE).hash for _ in range(130)]
        self.assertEqual(len(set(first + later)), 260)

    def test_a_copy_of_the_file_knows_the_addresses_that_come_next(self) -> None:
        self.keys.refill()
        copy = self.restored()
        later = [self.keys.take(RECEIVE) for _ in range(keystore.REFILL_AT)]
        self.assertTrue(all(copy.owns(key.lock) for key in later))

    def test_a_snapshot_holds_what_the_records_held(self) -> None:
        self.keys.take(RECEIVE, "a")
        self.keys.adopt(wallet_key(3).seed, "mine")
        again = Keystore(random.Random(2).randbytes, [])
        again.restore(self.keys.records())
        self.assertEqual([(key.hash, key.role, key.label) for key in again],
                         [(key.hash, key.role, key.label) for key in self.keys])  # fmt: skip

    def test_seeds_stay_out_of_reprs(self) -> None:
        key = self.keys.take(RECEIVE)
        self.assertNotIn(key.secret.seed.hex(), repr(key))

    def test_damaged_records_are_one_sentence(self) -> None:
        for record in ({"key": {}}, {"key": {"seed": "zz"}}, {"issue": {"key": "00"}}, {"key": 5}):
            with self.assertRaises(LocalError):
                Keystore(random.Random(2).randbytes, []).restore([record])


class Payments(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World()
        self.wallet = self.world.wallet
        self.friend = Lock.key_hash(FRIEND.public)

    def test_a_snapshot_holds_a_payment_that_is_on_its_way_to_the_disk(self) -> None:
        """It takes the place of the journal: what the journal has, or is about to have, must be in it."""
        prepared = self.prepare()
        self.wallet.take_outbox()
        again = Wallet(self.world.backend, random.Random(9).randbytes)
        again.restore(self.wallet.records())
        self.assertEqual([each.txid for each in again.payments], [prepared.payment.txid])
        self.wallet.release(prepared)
        self.assertNotIn("payment", {next(iter(record)) for record in self.wallet.records()})

    def test_a_snapshot_holds_the_end_of_a_payment_that_is_on_its_way_to_the_disk(self) -> None:
        """Its journal is gone then: without it the next start would send what its owner was told is taken back."""
        payment = self.send()
        self.wallet.abandoning(payment.txid, "refused")
        again = Wallet(self.world.backend, random.Random(4).randbytes)
        again.restore(self.wallet.records())
        self.assertEqual(again.payments, ())
        self.wallet.abandoned(payment.txid)
        self.assertNotIn("abandon", {next(iter(record)) for record in self.wallet.records()})

    def prepare(self, amount: int = 10**8) -> Prepared:
        return self.wallet.prepare(self.friend, amount, "", self.world.now())

    def send(self, amount: int = 10**8) -> Transaction:
        prepared = self.prepare(amount)
        self.wallet.take_outbox()
        self.wallet.stored(prepared)
        self.world.backend.submit(prepared.payment.transaction.raw)
        return prepared.payment.transaction

    def test_a_payment_keeps_every_rule_of_the_validator(self) -> None:
        transaction = self.send(12_345_678_901)
        self.world.advance(1)
        self.assertEqual(self.world.backend.status(transaction.txid).state, "final")
        self.world.block()
        self.assertEqual(self.world.backend.status(transaction.txid).state, "confirmed")

    def test_the_balance_follows_finality_not_blocks(self) -> None:
        before = self.wallet.balance()
        prepared = self.prepare()
        self.wallet.stored(prepared)
        self.assertEqual(self.wallet.balance(), before - COIN)
        self.world.backend.submit(prepared.payment.transaction.raw)
        self.world.advance(1)
        after = before - 10**8 - prepared.fee
        self.assertEqual(self.wallet.balance(), after)
        self.world.block()
        reward = self.wallet.balance() - after
        self.assertEqual(reward, 100 * 10**8 + prepared.fee)

    def test_change_comes_back_to_a_fresh_own_key(self) -> None:
        first, second = self.send(), self.send()
        change = [
            output.lock for each in (first, second) for output in each.outputs if output.lock != self.friend
        ]
        self.assertEqual(len(set(change)), 2)
        for lock in change:
            self.assertTrue(self.wallet.keys.owns(lock))
            self.assertEqual(self.wallet.keys.get(lock.data).role, CHANGE)

    def test_payments_chain_on_final_change_before_any_block(self) -> None:
        """Everything is in one coin: the second payment can only spend the first one's change."""
        for coin in list(self.wallet.coins)[1:]:
            self.wallet.coins._drop(coin.outpoint)
        transactions = []
        for _ in range(5):
            transactions.append(self.send())
            self.world.advance(0.6)
        self.assertEqual(self.world.backend.tip().height, 0)
        for parent, child in pairwise(transactions):
            self.assertEqual([outpoint.txid for outpoint in child.inputs], [parent.txid])
        self.world.block()
        states = [self.world.backend.status(each.txid).state for each in transactions]
        self.assertEqual(states, ["confirmed"] * 5)

    def test_concurrent_sends_never_share_a_coin(self) -> None:
        prepared = [self.prepare() for _ in range(50)]
        spent = [outpoint for each in prepared for outpoint in each.payment.transaction.inputs]
        self.assertEqual(len(spent), len(set(spent)))

    def test_fifty_sends_with_failures_leave_no_coin_stuck(self) -> None:
        """Reference F118."""
        choice = random.Random(4)
        for _ in range(50):
            prepared = self.prepare(choice.randrange(10**6, 10**10))
            fate = choice.choice(("not written", "refused", "sent"))
            if fate == "not written":
                self.wallet.release(prepared)
                continue
            self.wallet.stored(prepared)
            if fate == "refused":
                self.wallet.abandon(prepared.payment.txid)
            else:
                self.world.backend.submit(prepared.payment.transaction.raw)
                self.world.advance(0.1)
        self.world.advance(1)
        self.world.block()
        spendable = sum(coin.value for coin in self.wallet.spendable())
        held = sum(
            coin.output.value
            for _, coin in self.world.store.coins()
            if self.wallet.keys.owns(coin.output.lock)
        )
        self.assertEqual(spendable, held)
        self.assertEqual(len(self.wallet.reservations), 0)

    def test_a_reservation_lasts_until_its_payment_is_stored_or_given_up(self) -> None:
        """A disk that takes minutes frees no coin: the payment may be on it already."""
        prepared = self.prepare()
        [held] = prepared.payment.transaction.inputs
        self.world.advance(120)
        self.assertNotIn(held, [coin.outpoint for coin in self.wallet.spendable()])
        self.wallet.release(prepared)
        self.assertIn(held, [coin.outpoint for coin in self.wallet.spendable()])

    def test_reservations_are_bounded(self) -> None:
        held = Reservations()
        held.reserve([OutPoint(bytes(32), 0)])
        many = [OutPoint(number.to_bytes(32, "big"), 1) for number in range(MAX_RESERVED)]
        with self.assertRaises(LocalError):
            held.reserve(many)
        self.assertEqual((len(held), held.refused), (1, 1))
        held.reserve(many[1:])
        held.release(many)
        self.assertEqual(list(held.outpoints), [OutPoint(bytes(32), 0)])

    def test_a_coin_the_node_has_locked_for_somebody_is_never_spent(self) -> None:
        """Another program with the same keys pays first; the wallet has not seen it in its coins yet."""
        coins = sorted(self.wallet.spendable(), key=lambda coin: coin.order)
        locked = coins[0].outpoint
        self.patch(self.world.backend, "is_locked", lambda outpoint: outpoint == locked)
        self.assertNotIn(locked, [coin.outpoint for coin in self.wallet.spendable()])
        self.assertNotIn(locked, self.prepare().payment.transaction.inputs)

    def test_a_coin_spent_by_a_pending_transaction_is_never_spent(self) -> None:
        other = World()
        twin = other.wallet.prepare(self.friend, 10**8, "", other.now()).payment.transaction
        self.world.backend.submit(twin.raw)
        self.world.clock.advance(0.01)
        self.assertTrue(set(twin.inputs).isdisjoint(self.prepare().payment.transaction.inputs))

    def test_too_much_is_insufficient_funds(self) -> None:
        with self.assertRaises(InsufficientFunds):
            self.prepare(100 * COIN)
        self.assertEqual(len(self.wallet.reservations), 0)

    def test_a_payment_that_breaks_a_rule_is_refused_before_anything_is_reserved(self) -> None:
        with self.assertRaises(InvalidTransaction) as caught:
            self.prepare(1)
        self.assertEqual(caught.exception.rule, "output-dust")
        self.assertEqual(len(self.wallet.reservations), 0)

    def test_a_restart_remembers_payments_and_their_coins(self) -> None:
        prepared = self.prepare()
        self.wallet.stored(prepared)
        records = self.wallet.take_outbox()
        again = Wallet(self.world.backend, random.Random(9).randbytes)
        again.restore(records)
        again.scan(self.world.backend.coins())
        again.scanned()
        self.assertEqual([each.txid for each in again.unsent()], [prepared.payment.txid])
        spendable = [coin.outpoint for coin in again.spendable()]
        self.assertTrue(set(prepared.payment.transaction.inputs).isdisjoint(spendable))
        again.abandon(prepared.payment.txid)
        later = Wallet(self.world.backend, random.Random(9).randbytes)
        later.restore(records + again.take_outbox())
        self.assertEqual(later.unsent(), ())

    def test_events_during_the_scan_are_not_lost(self) -> None:
        self.wallet.keys.refill()
        snapshot = list(self.world.backend.coins())
        late = Wallet(self.world.backend, random.Random(9).randbytes)
        late.restore(self.wallet.records())
        self.world.driver.add_sink(_Sink(late))
        late.scan(snapshot[:30])
        transaction = self.send()
        self.world.block()
        late.scan(snapshot[30:])
        self.assertFalse(late.ready)
        late.scanned()
        self.assertTrue(late.ready)
        self.assertEqual(late.balance(), self.wallet.balance())
        self.assertTrue(set(transaction.inputs).isdisjoint(coin.outpoint for coin in late.coins))

    def test_the_index_equals_a_scan_from_scratch(self) -> None:
        """Reference F116: a balance that does not depend on the way there."""
        for _ in range(6):
            self.send(3 * 10**8)
            self.world.advance(0.4)
        self.world.block()
        self.world.block()
        fresh = Wallet(self.world.backend, random.Random(9).randbytes)
        fresh.restore(self.wallet.records())
        fresh.scan(self.world.backend.coins())
        fresh.scanned()
        self.assertEqual(
            {coin.outpoint: coin for coin in fresh.coins}, {coin.outpoint: coin for coin in self.wallet.coins}
        )


class Signing(SynchronousTestCase):
    def test_multisig_gets_no_more_witnesses_than_it_asks_for(self) -> None:
        keys = [wallet_key(number) for number in (1, 2, 3)]
        lock = Lock.multisig(2, [Lock.key_hash(key.public).data for key in keys])
        spent = [Output(10**9, lock)]
        unsigned = Transaction.make(inputs=[OutPoint(bytes(32), 0)], outputs=[Output(10**8, lock)])
        first = self.store(keys[:1])
        partly = sign(unsigned, spent, 3, first)
        self.assertEqual((len(partly.witnesses), unsigned_inputs(partly, spent)), (1, (0,)))
        whole = sign(partly, spent, 3, self.store(keys))
        self.assertEqual((len(whole.witnesses), unsigned_inputs(whole, spent)), (2, ()))
        self.assertEqual([each.public_key for each in whole.witnesses],
                         sorted(each.public_key for each in whole.witnesses))  # fmt: skip
        self.assertEqual(whole.txid, unsigned.txid)

    def store(self, keys: list[Any]) -> Keystore:
        made = Keystore(random.Random(1).randbytes, [])
        for key in keys:
            made.adopt(key.seed, "")
        return made


class _Sink:
    name = "late"

    def __init__(self, wallet: Wallet) -> None:
        self._wallet = wallet

    def published(self, event: object, now_us: int) -> None:
        self._wallet.published(event)
