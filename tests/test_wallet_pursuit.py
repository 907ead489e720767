"""Open payments: sent again until final, released only when they can never be."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.rpc_world import FRIEND, World, address_of
from tests.wallet_world import KeysWorld
from timed import events
from timed.errors import InvalidTransaction, StoreError
from timed.params import SECOND
from timed.primitives.transaction import Lock, Transaction
from timed.rpc.backend import TransactionStatus
from timed.wallet import pursuit as pursuits
from timed.wallet.pursuit import BODY_RULES, FIRST_US, LONGEST_US, Pursuit
from timed.wallet.wallet import Doom, Payment, Wallet

FRIEND_LOCK = Lock.key_hash(FRIEND.public)


class DeafChain:
    """A node that answers what a test wants and counts what it is handed; the rest is a real one's."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.handed: list[bytes] = []
        self.rule = "mempool-full"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._world.backend, name)

    def submit(self, raw: bytes) -> bytes:
        self.handed.append(raw)
        if self.rule:
            raise InvalidTransaction(self.rule)
        return Transaction.decode(raw).txid


class Pursued(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World()
        self.wallet = self.world.wallet
        self.chain = DeafChain(self.world)
        self.doomed: list[tuple[bytes, Doom]] = []
        self.pursuit = Pursuit(self.wallet, self.chain, self._doomed)

    def _doomed(self, payment: Payment, doom: Doom) -> None:
        self.doomed.append((payment.txid, doom))

    def stored(self, amount: int = 10**8) -> Payment:
        prepared = self.wallet.prepare(FRIEND_LOCK, amount, "", self.world.now())
        self.wallet.stored(prepared)
        return prepared.payment

    def run_until(self, end: int) -> list[int]:
        """Wake it whenever it asks for that; when it handed something over, in microseconds."""
        moments = []
        while (at := self.pursuit.next_wake()) is not None and at <= end:
            before = len(self.chain.handed)
            self.pursuit.wake(at)
            moments += [at] * (len(self.chain.handed) - before)
        return moments

    def test_an_attempt_that_raises_is_not_the_last_one(self) -> None:
        """A disk that fails, or a bug: whoever paid still waits."""
        payment, submit = self.stored(), self.chain.submit
        self.patch(self.chain, "submit", lambda raw: 1 // 0)
        at = self.pursuit.next_wake()
        assert at is not None
        self.assertRaises(ZeroDivisionError, self.pursuit.wake, at)
        self.chain.submit = submit  # type: ignore[method-assign]
        self.run_until(at + FIRST_US)
        self.assertEqual(self.chain.handed, [payment.transaction.raw])

    def test_attempts_come_at_intervals_that_grow_to_a_bound(self) -> None:
        start = self.world.now()
        payment = self.stored()
        moments = self.run_until(start + 6 * 3600 * SECOND)
        self.assertEqual(moments[0], start + FIRST_US)
        pauses = [later - earlier for earlier, later in pairwise(moments)]
        self.assertEqual(pauses[:4], [FIRST_US, 2 * FIRST_US, 4 * FIRST_US, 8 * FIRST_US])
        self.assertEqual(set(pauses[7:]), {LONGEST_US})
        self.assertEqual(set(self.chain.handed), {payment.transaction.raw})
        self.assertEqual(self.pursuit.refused["mempool-full"], len(moments))

    def test_a_refusal_that_may_pass_never_frees_coins_however_long_it_lasts(self) -> None:
        """Others may have the payment: if its coins were free, the receiver could be paid twice."""
        payment = self.stored()
        for rule in ("mempool-full", "mempool-conflict", "input-missing", "lock-height", "coinbase-immature"):
            self.chain.rule = rule
            self.run_until(self.world.now() + 90 * 86_400 * SECOND)
        self.assertEqual(self.doomed, [])
        self.assertEqual([each.txid for each in self.wallet.payments], [payment.txid])
        free = {coin.outpoint for coin in self.wallet.spendable()}
        self.assertTrue(free.isdisjoint(payment.transaction.inputs))

    def test_a_final_payment_is_not_handed_over_again_until_it_is_dropped(self) -> None:
        self.patch(self.world.backend, "status", self.world.backend.status)
        payment = self.stored()
        self.world.backend.submit(payment.transaction.raw)
        self.world.advance(1)
        self.pursuit.published(events.TransactionAccepted(payment.txid), self.world.now())
        self.run_until(self.world.now() + 3600 * SECOND)
        self.assertEqual(self.chain.handed, [])
        self.world.node.mempool.remove(payment.txid)
        self.patch(self.world.backend, "status", lambda txid: None)
        self.pursuit.published(events.TransactionDropped(payment.txid, "mempool-expired"), self.world.now())
        self.assertEqual(self.doomed, [])
        self.run_until(self.world.now() + 2 * 3600 * SECOND)
        self.assertGreater(len(self.chain.handed), 0)

    def test_what_no_quorum_has_is_repeated_and_what_one_has_is_not(self) -> None:
        """Other nodes may have dropped it, though this one has it still."""
        self.chain.rule = ""
        self.stored()
        states = {"pending": 1, "locked": 1, "certified": 0, "final": 0}
        for state, handed in states.items():
            standing = TransactionStatus(bytes(32), state)
            self.patch(self.world.backend, "status", lambda txid, standing=standing: standing)
            before = len(self.chain.handed)
            at = self.pursuit.next_wake()
            assert at is not None
            self.pursuit.wake(at)
            self.assertEqual(len(self.chain.handed) - before, handed, state)

    def test_a_clock_that_was_ahead_delays_nothing_for_long(self) -> None:
        self.chain.rule = ""
        self.stored()
        self.patch(self.world.backend, "status", lambda txid: TransactionStatus(txid, "pending"))
        self.patch(self.wallet, "unsent", tuple)
        now, ahead = self.world.now(), 10**6 * SECOND
        self.pursuit.wake(now + ahead)
        self.assertEqual(len(self.chain.handed), 1)
        self.assertGreater(self.pursuit.next_wake(), now + ahead)
        self.pursuit.published(events.BlockCertified(1, bytes(32), 0, (), True), now)
        self.assertEqual(self.pursuit.next_wake(), now)

    def test_after_a_restart_everything_open_is_due_at_once(self) -> None:
        payments = [self.stored() for _ in range(3)]
        again = Wallet(self.world.backend, random.Random(9).randbytes)
        again.restore(self.wallet.records())
        again.scan(self.world.backend.coins())
        again.scanned()
        fresh = Pursuit(again, self.chain, self._doomed)
        fresh.begin(self.world.now())
        fresh.wake(self.world.now())
        self.assertEqual(set(self.chain.handed), {payment.transaction.raw for payment in payments})
        self.assertEqual(fresh.refused["mempool-full"], 3)

    def test_a_live_block_makes_what_the_node_lacks_due(self) -> None:
        self.stored()
        block = events.BlockCertified(1, bytes(32), 0, (), True)
        late = events.BlockCertified(1, bytes(32), 0, (), False)
        self.pursuit.published(late, self.world.now())
        self.pursuit.wake(self.world.now())
        self.assertEqual(len(self.chain.handed), 0)
        self.pursuit.published(block, self.world.now())
        self.pursuit.wake(self.world.now())
        self.assertEqual(len(self.chain.handed), 1)

    def test_a_rule_that_time_does_not_mend_is_proof(self) -> None:
        """At once, or when the signatures have been checked."""
        first, second = self.stored(), self.stored()
        self.chain.rule = "fee-low"
        self.pursuit.wake(self.world.now() + FIRST_US)
        self.assertEqual([(txid, doom.rule) for txid, doom in self.doomed],
                         [(each.txid, "fee-low") for each in sorted((first, second), key=lambda one: one.txid)])  # fmt: skip
        third = self.stored()
        self.pursuit.published(events.TransactionDropped(third.txid, "value-created"), self.world.now())
        self.pursuit.wake(self.world.now())
        self.assertEqual(self.doomed[2], (third.txid, Doom("value-created")))
        # The payment keeps its coins until it was released, and is told again.
        self.assertEqual(len(self.wallet.payments), 3)
        self.run_until(self.world.now() + 3600 * SECOND)
        self.assertGreater(len([txid for txid, _ in self.doomed if txid == third.txid]), 1)
        self.wallet.abandon(third.txid, "value-created")
        told = len(self.doomed)
        self.pursuit.wake(self.world.now() + 7200 * SECOND)
        self.assertEqual([txid for txid, _ in self.doomed[told:] if txid == third.txid], [])

    def test_another_body_with_the_same_txid_proves_nothing_about_a_payment(self) -> None:
        """Whoever submits it with witnesses of his own makes the node drop that body under the payment's txid."""
        payment = self.stored()
        for rule in sorted(BODY_RULES):
            self.pursuit.published(events.TransactionDropped(payment.txid, rule), self.world.now())
        self.assertEqual(self.wallet.doomed, {})
        self.assertFalse(self.pursuit.may_release(payment.txid))

    def test_only_what_nobody_else_can_have_may_be_taken_back(self) -> None:
        refused, accepted, unknown = (self.stored() for _ in range(3))
        self.assertFalse(self.pursuit.may_release(refused.txid))
        self.pursuit.published(events.TransactionDropped(refused.txid, "mempool-full"), self.world.now())
        self.assertTrue(self.pursuit.may_release(refused.txid))
        self.pursuit.published(events.TransactionAccepted(accepted.txid), self.world.now())
        self.pursuit.published(events.TransactionDropped(accepted.txid, "mempool-full"), self.world.now())
        self.assertFalse(self.pursuit.may_release(accepted.txid))
        self.assertFalse(self.pursuit.may_release(unknown.txid))
        self.assertFalse(self.pursuit.may_release(bytes(32)))
        # A later process can not know what the one before it did.
        later = Pursuit(self.wallet, self.chain, self._doomed)
        later.begin(self.world.now())
        later.wake(self.world.now())
        self.assertFalse(later.may_release(refused.txid))

    def test_many_payments_take_turns_and_the_queue_is_bounded(self) -> None:
        self.patch(pursuits, "MAX_AT_ONCE", 5)
        payments = [self.stored() for _ in range(12)]
        now = self.world.now() + FIRST_US
        counts = []
        for turn in range(3):
            self.pursuit.wake(now + turn * SECOND)
            counts.append(len(self.chain.handed))
        self.assertEqual(counts, [5, 10, 12])
        self.assertEqual(set(self.chain.handed), {each.transaction.raw for each in payments})
        block = events.BlockCertified(1, bytes(32), 0, (), True)
        for number in range(200):
            self.pursuit.published(block, now + 10 * SECOND - number)
        self.assertLessEqual(len(self.pursuit._queue), 2 * len(payments) + 65)

    def test_an_open_payment_that_is_in_a_block_is_settled(self) -> None:
        payment = self.stored()
        self.world.backend.submit(payment.transaction.raw)
        self.world.driver._sinks.clear()
        self.world.block()
        self.assertEqual(len(self.wallet.payments), 1)
        self.pursuit.wake(self.world.now() + FIRST_US)
        self.assertEqual(self.wallet.payments, ())
        self.assertEqual((self.chain.handed, self.doomed), ([], []))


class Released(SynchronousTestCase):
    """With history and file, on a real node."""

    def setUp(self) -> None:
        directory = os.path.abspath(self.mktemp())
        os.mkdir(directory)
        self.world = KeysWorld(os.path.join(directory, "wallet.json"))
        self.addCleanup(self.world.close)
        self.addCleanup(lambda: self.assertEqual(self.world.failures, []))
        self.told: list[events.PaymentReleased] = []
        self.world.driver.add_sink(_Released(self.told))

    def rival(self) -> Transaction:
        """What another program with the same keys pays, out of the coin this wallet chooses next."""
        twin = World()
        return twin.wallet.prepare(FRIEND_LOCK, 3 * 10**8, "", twin.now()).payment.transaction

    def stored(self, comment: str = "") -> Payment:
        prepared = self.world.wallet.prepare(FRIEND_LOCK, 10**8, comment, self.world.now())
        self.successResultOf(self.world.host.write())
        self.world.wallet.stored(prepared)
        return prepared.payment

    def beaten(self) -> tuple[Payment, Transaction]:
        """A payment whose coin another one has spent for good."""
        payment, rival = self.stored("rent"), self.rival()
        self.assertEqual(payment.transaction.inputs, rival.inputs)
        self.world.backend.submit(rival.raw)
        self.world.advance(1)
        return payment, rival

    def test_a_payment_whose_coin_is_spent_for_good_is_released_and_shown(self) -> None:
        payment, rival = self.beaten()
        self.assertEqual(self.world.backend.status(rival.txid).state, "final")
        self.assertEqual(self.world.wallet.payments, ())
        self.assertEqual(self.told, [events.PaymentReleased(payment.txid, "input-spent")])
        [row] = [row for row in self.world.result("listtransactions", "*", 100)
                 if row["txid"] == payment.txid.hex()]  # fmt: skip
        self.assertEqual(
            (row["state"], row["reason"], row["abandoned"], row["comment"], row["confirmations"]),
            ("released", "input-spent", True, "rent", 0),
        )
        self.assertEqual(row["category"], "send")
        error = self.world.error("abandontransaction", payment.txid.hex())
        self.assertEqual((error["code"], error["data"]["rule"]), (-4, "payment-released"))
        self.world.block()
        self.assertEqual(self.world.result("getwallettransaction", payment.txid.hex())["state"], "released")

    def test_a_release_is_durable_before_it_is_told(self) -> None:
        payment, _ = self.beaten()
        again = Wallet(self.world.backend, random.Random(9).randbytes)
        again.restore(self.world.host.file.read_back())
        self.assertEqual(again.payments, ())
        kept = self.world.book.entry(payment.txid)
        assert kept is not None
        self.assertTrue(kept.released)
        self.assertIn(
            {"abandon": {"txid": payment.txid.hex(), "reason": "input-spent"}},
            self.world.host.file.read_back(),
        )

    def test_while_the_history_cannot_be_written_the_coins_stay_held(self) -> None:
        def failing(*args: Any, **named: Any) -> None:
            raise StoreError("the disk is full.", "Free some space.")

        patched = self.patch(self.world.book, "release", failing)
        payment, _ = self.beaten()
        self.assertEqual([each.txid for each in self.world.wallet.payments], [payment.txid])
        self.assertEqual(self.told, [])
        self.assertGreater(len(self.world.unreleased), 0)
        error = self.world.error("abandontransaction", payment.txid.hex())
        self.assertEqual(error["data"]["rule"], "release-later")
        patched.restore()
        self.world.result("abandontransaction", payment.txid.hex())
        self.assertEqual(self.world.wallet.payments, ())
        self.assertEqual(len(self.told), 1)

    def test_a_payment_that_others_may_have_is_not_taken_back(self) -> None:
        payment = self.stored()
        error = self.world.error("abandontransaction", payment.txid.hex())
        self.assertEqual((error["code"], error["data"]["rule"]), (-4, "payment-votable"))
        self.assertIn("twice", error["data"]["hint"])
        self.world.backend.submit(payment.transaction.raw)
        self.world.advance(1)
        rules = [self.world.error("abandontransaction", payment.txid.hex())["data"]["rule"]]
        self.world.block()
        rules.append(self.world.error("abandontransaction", payment.txid.hex())["data"]["rule"])
        self.assertEqual(rules, ["payment-final", "payment-final"])
        unknown = self.world.error("abandontransaction", "00" * 32)
        self.assertEqual((unknown["code"], unknown["data"]["rule"]), (-5, "payment-unknown"))

    def test_a_payment_that_never_left_is_taken_back(self) -> None:
        payment = self.stored()
        self.world.pursuit.published(
            events.TransactionDropped(payment.txid, "mempool-full"), self.world.now()
        )
        before = self.world.wallet.balance()
        self.world.result("abandontransaction", payment.txid.hex())
        self.assertGreater(self.world.wallet.balance(), before)
        shown = self.world.result("getwallettransaction", payment.txid.hex())
        self.assertEqual((shown["state"], shown["reason"]), ("released", "never-left-this-node"))

    def test_a_refused_call_stands_in_the_history_with_its_rule(self) -> None:
        def full(raw: bytes) -> bytes:
            raise InvalidTransaction("mempool-full")

        self.patch(self.world.backend, "submit", full)
        friend = address_of(FRIEND, self.world)
        self.assertEqual(self.world.error("sendtoaddress", friend, "2", "rent")["code"], -26)
        newest = self.world.result("listtransactions", "*", 1)[0]
        self.assertEqual(
            (newest["state"], newest["reason"], newest["comment"]), ("released", "mempool-full", "rent")
        )

    def test_what_is_being_taken_back_is_not_handed_to_the_node_meanwhile(self) -> None:
        """A block while the history is written must not send a payment whose coins are about to be free."""
        friend, submit, thread = address_of(FRIEND, self.world), self.world.backend.submit, self.host_thread()

        def full(raw: bytes) -> bytes:
            raise InvalidTransaction("mempool-full")

        refusing = self.patch(self.world.backend, "submit", full)
        call = self.world.begin("sendtoaddress", [friend, 2])
        refusing.restore()
        handed: list[bytes] = []
        self.patch(self.world.backend, "submit", lambda raw: (handed.append(raw), submit(raw))[1])
        [payment] = self.world.wallet.payments
        self.world.block()
        self.assertEqual(handed, [])
        thread()
        self.assertIn(b"mempool-full", self.successResultOf(call).body)
        self.assertEqual((self.world.wallet.payments, self.world.backend.status(payment.txid)), ((), None))

    def test_nor_what_its_owner_takes_back(self) -> None:
        payment, submit, thread = self.stored(), self.world.backend.submit, self.host_thread()
        dropped = events.TransactionDropped(payment.txid, "mempool-full")
        self.world.pursuit.published(dropped, self.world.now())
        call = self.world.begin("abandontransaction", [payment.txid.hex()])
        handed: list[bytes] = []
        self.patch(self.world.backend, "submit", lambda raw: (handed.append(raw), submit(raw))[1])
        self.world.block()
        self.assertEqual(handed, [])
        thread()
        self.assertIn(b'"result":null', self.successResultOf(call).body)
        self.assertEqual(self.world.wallet.payments, ())

    def full_disk(self, *, history: bool) -> None:
        """From now on nothing can be written that ends a payment: not to the wallet's file, nor to its history."""
        append = self.world.host.file.append

        def failing(*args: Any, **kwargs: Any) -> None:
            raise StoreError("the disk is full.", "Free some space.")

        def ends_nothing(records: list[dict[str, Any]]) -> None:
            return failing() if any("abandon" in record for record in records) else append(records)

        self.patch(self.world.host.file, "append", ends_nothing)
        if history:
            self.patch(self.world.book, "release", failing)

    def refusing(self) -> None:
        def full(raw: bytes) -> bytes:
            raise InvalidTransaction("mempool-full")

        self.patch(self.world.backend, "submit", full)

    def test_a_refused_payment_whose_end_cannot_be_written_keeps_its_coins(self) -> None:
        """The next start sends it: its owner hears that it exists, and its coins pay for nothing else."""
        self.refusing()
        self.full_disk(history=True)
        before = self.world.wallet.balance()
        error = self.world.error("sendtoaddress", address_of(FRIEND, self.world), "2")
        [payment] = self.world.wallet.payments
        self.assertEqual((error["code"], error["data"]["rule"]), (-4, "wallet-file"))
        self.assertEqual(error["data"]["txid"], payment.txid.hex())
        self.assertIn("mempool-full", error["message"])
        self.assertIn("Free some space. The payment is in the wallet", error["data"]["hint"])
        self.assertLess(self.world.wallet.balance(), before)
        self.assertIn(payment.txid, self.world.wallet.doomed)
        self.assertEqual(self.told, [])
        [record] = [
            each for each in self.world.host.file.read_back() if "payment" in each or "abandon" in each
        ]
        self.assertEqual(record["payment"]["hex"], payment.transaction.raw.hex())

    def test_a_refused_payment_is_taken_back_when_the_history_alone_holds_that(self) -> None:
        """The next start finds it there, and lets go of the payment in the file."""
        self.refusing()
        self.full_disk(history=False)
        error = self.world.error("sendtoaddress", address_of(FRIEND, self.world), "2")
        self.assertEqual((error["code"], error["data"]["rule"]), (-26, "mempool-full"))
        self.assertEqual(self.world.wallet.payments, ())
        self.assertEqual(len(self.told), 1)

    def test_who_asks_for_a_release_under_way_hears_of_it_when_it_is_durable(self) -> None:
        payment = self.stored()
        self.world.pursuit.published(
            events.TransactionDropped(payment.txid, "mempool-full"), self.world.now()
        )
        writing: Deferred[None] = Deferred()
        self.patch(self.world.chronicle, "_write", lambda: writing)
        before = self.world.wallet.balance()
        calls = [self.world.begin("abandontransaction", [payment.txid.hex()]) for _ in range(2)]
        self.assertEqual([call.called for call in calls], [False, False])
        self.assertEqual(self.world.wallet.balance(), before, "its coins are free when that is durable")
        writing.callback(None)
        for call in calls:
            self.assertIn(b'"result":null', self.successResultOf(call).body)
        self.assertEqual(len(self.told), 1)

    def test_both_hear_why_a_release_cannot_be(self) -> None:
        payment, thread = self.stored(), self.host_thread()
        self.world.pursuit.published(
            events.TransactionDropped(payment.txid, "mempool-full"), self.world.now()
        )
        self.full_disk(history=True)
        calls = [self.world.begin("abandontransaction", [payment.txid.hex()]) for _ in range(2)]
        thread()
        for call in calls:
            self.assertIn(b"release-later", self.successResultOf(call).body)
        self.assertEqual([each.txid for each in self.world.wallet.payments], [payment.txid])

    def host_thread(self) -> Callable[[], None]:
        """From now on the history's thread does nothing until what is returned is called."""
        work: list[Deferred[None]] = []

        def later(do: Callable[[], Any]) -> Deferred[Any]:
            waiting: Deferred[None] = Deferred()
            work.append(waiting)
            return waiting.addCallback(lambda _: do())

        patched = self.patch(self.world.chronicle, "_thread", later)

        def go_on() -> None:
            patched.restore()
            for each in work:
                each.callback(None)

        return go_on


class _Released:
    name = "released"

    def __init__(self, told: list[events.PaymentReleased]) -> None:
        self._told = told

    def published(self, event: object, now_us: int) -> None:
        if isinstance(event, events.PaymentReleased):
            self._told.append(event)
