"""The wallet's history: every state of a payment, received and sent, found again after any crash."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.trial.unittest import SynchronousTestCase

from tests.builders import wallet_key
from tests.rpc_world import FRIEND, address_of, parsed
from tests.wallet_world import KeysWorld
from timed.errors import StoreError
from timed.ledger.regtest import well_known_seed
from timed.primitives.transaction import Lock, Output, Transaction
from timed.rpc import chronicle as chronicles
from timed.rpc.method import READ, WALLET
from timed.rpc.methods import history as methods
from timed.store.files import Files
from timed.wallet import historybook
from timed.wallet.historybook import HistoryBook, Step
from timed.wallet.keystore import POOL, RECEIVE, Keystore
from timed.wallet.signing import sign
from timed.wallet.wallet import Wallet

FRIEND_LOCK = Lock.key_hash(FRIEND.public)
Row = dict[str, Any]


class HistoryCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = os.path.abspath(self.mktemp())
        os.mkdir(self.directory)
        self.world = KeysWorld(os.path.join(self.directory, "wallet.json"))
        self.addCleanup(self.world.close)
        self.addCleanup(lambda: self.assertEqual(self.world.failures, []))
        self.friend = address_of(FRIEND, self.world)
        self.fund()

    def fund(self) -> None:
        """The friend has a coin of a thousand TIME, which came from the wallet of the allocation."""
        self.funding = self.send(self.friend, "1000")
        self.world.block()
        friend = Keystore(random.Random(3).randbytes, [])
        friend.adopt(FRIEND.seed, "")
        self.friends = friend

    def send(self, address: str, amount: str, comment: str = "") -> str:
        txid: str = self.world.result("sendtoaddress", address, amount, comment)
        return txid

    def friend_pays(self, lock: Lock, value: int) -> Transaction:
        """The friend pays all of a coin but the fee, `value` units of it to `lock`."""
        store = self.world.store
        held = [(outpoint, coin) for outpoint, coin in store.coins() if coin.output.lock == FRIEND_LOCK]
        outpoint, coin = max(held, key=lambda one: one[1].output.value)
        rest = coin.output.value - value - 10**8
        outputs = [Output(value, lock), Output(rest, FRIEND_LOCK)]
        unsigned = Transaction.make(inputs=[outpoint], outputs=outputs)
        paid = sign(unsigned, [coin.output], self.world.genesis.params.chain_id, self.friends)
        self.world.backend.submit(paid.raw)
        return paid

    def listed(self, *params: Any) -> list[Row]:
        rows: list[Row] = self.world.result("listtransactions", *(params or ("*", 1000)))
        return rows

    def of(self, txid: str, rows: Iterable[Row] | None = None) -> list[Row]:
        return [row for row in (self.listed() if rows is None else rows) if row["txid"] == txid]

    def lock_of(self, address: str) -> Lock:
        return self.world.environment.lock_of(address)


class Listing(HistoryCase):
    def test_a_payment_is_shown_from_the_first_moment_to_its_block(self) -> None:
        before = self.world.wallet.balance()
        txid = self.send(self.friend, "12.5", "rent")
        [row] = self.of(txid)
        self.assertEqual(
            (row["category"], row["amount"], row["comment"], row["confirmations"]),
            ("send", Decimal("-12.5"), "rent", 0),
        )
        self.assertEqual(row["address"], self.friend)
        states = [row["state"]]
        self.world.advance(1)
        states.append(self.of(txid)[0]["state"])
        after = self.world.wallet.balance()
        self.assertEqual(Decimal(after - before) / 10**8, row["amount"] + row["fee"])
        self.world.block()
        [row] = self.of(txid)
        states.append(row["state"])
        self.assertEqual(states, ["pending", "final", "confirmed"])
        self.assertEqual((row["confirmations"], row["blockheight"], row["comment"]), (1, 2, "rent"))
        self.assertFalse(row["abandoned"])

    def test_change_is_not_shown_and_what_goes_to_oneself_is_no_income(self) -> None:
        mine = self.world.result("getnewaddress", "savings")
        txid = self.send(mine, "5")
        for _ in range(2):
            [row] = self.of(txid)
            self.assertEqual((row["category"], row["label"], row["amount"]), ("self", "savings", 5))
            one = self.world.result("getwallettransaction", txid)
            self.assertEqual((one["amount"], one["fee"]), (0, row["fee"]))
            self.world.block()

    def test_income_is_shown_while_it_is_pending_and_in_its_block(self) -> None:
        mine = self.world.result("getnewaddress", "shop")
        paid = self.friend_pays(self.lock_of(mine), 7 * 10**8)
        self.world.clock.advance(0.05)
        for state in ("final", "confirmed"):
            self.world.advance(1)
            [row] = self.of(paid.txid.hex())
            self.assertEqual(
                (row["category"], row["amount"], row["label"], row["state"]), ("receive", 7, "shop", state)
            )
            self.assertNotIn("fee", row)
            self.world.block()
        self.assertEqual(self.listed("shop", 10), self.of(paid.txid.hex()))

    def test_rewards_are_generated(self) -> None:
        self.world.block()
        newest = self.listed()[-1]
        self.assertEqual(newest["category"], "generate")
        self.assertEqual(newest["amount"], 100)

    def test_all_lines_together_are_the_balance(self) -> None:
        """Reference F116: history and coins are two ways to one sum."""
        mine = self.world.result("getnewaddress")
        for amount in ("3", "0.5", "20"):
            self.send(self.friend, amount)
            self.send(mine, amount)
            self.world.block()
        self.friend_pays(self.lock_of(mine), 2 * 10**8)
        self.world.block()
        total = Decimal(0)
        fees = {}
        for row in self.listed():
            total += row["amount"] if row["category"] != "self" else 0
            fees[row["txid"]] = row.get("fee", Decimal(0))
        self.assertEqual(total + sum(fees.values()), self.world.result("getbalance"))

    def test_watched_addresses_are_shown_when_asked_for(self) -> None:
        self.world.result("importaddress", self.friend, "friend", False)
        txid = self.send(self.friend, "2")
        self.world.block()
        self.assertEqual([row["category"] for row in self.of(txid)], ["send"])
        [row] = self.of(txid, self.listed("*", 1000, 0, True))
        self.assertEqual((row["category"], row["label"], row["amount"]), ("self", "friend", 2))
        self.successResultOf(self.world.chronicle.rescan(0, 2))
        self.world.advance(1)
        self.friend_pays(Lock.key_hash(wallet_key(30).public), 10**8)
        self.world.block()
        self.assertEqual(self.listed("friend", 10), [])
        [spent, *_] = [row for row in self.listed("*", 9, 0, True) if row["category"] == "send"]
        self.assertTrue(spent["involvesWatchonly"])

    def test_pages_of_any_size_give_the_same_list(self) -> None:
        self.patch(methods, "PAGE", 3)
        self.patch(methods, "MIN_PAGE", 2)
        for number in range(6):
            self.send(self.friend, str(1 + number))
            if number % 2:
                self.world.block()
        whole = self.listed()
        for size in (1, 4, 7):
            pages: list[Row] = []
            for skip in range(0, len(whole), size):
                pages = self.listed("*", size, skip) + pages
            self.assertEqual(pages, whole)
        self.assertEqual(self.listed("*", 10, len(whole)), [])

    def test_what_gets_into_a_block_meanwhile_is_listed_once(self) -> None:
        txid = self.send(self.friend, "2")
        read = self.world.chronicle.read

        def slow(work: Callable[[HistoryBook], Any]) -> Deferred[Any]:
            restored.restore()
            self.world.block()
            return read(work)

        restored = self.patch(self.world.chronicle, "read", slow)
        self.assertEqual([row["state"] for row in self.listed() if row["txid"] == txid], ["confirmed"])

    def test_an_unknown_transaction_is_refused_with_what_to_do(self) -> None:
        error = self.world.error("getwallettransaction", "00" * 32)
        self.assertEqual((error["code"], error["data"]["rule"]), (-5, "transaction-unknown"))
        self.assertIn("rescanblockchain", error["data"]["hint"])


class OneTransaction(HistoryCase):
    def get(self, txid: str, *permissions: str) -> dict[str, Any]:
        request = {"jsonrpc": "2.0", "id": 1, "method": "gettransaction", "params": [txid]}
        reply = self.world.finish(self.world.answer(json.dumps(request), permissions))
        response: dict[str, Any] = parsed(reply)
        return response

    def test_gettransaction_tells_the_wallets_part_to_who_may_use_the_wallet(self) -> None:
        txid = self.send(self.friend, "12.5", "rent")
        self.world.block()
        whole = self.get(txid, READ, WALLET)["result"]
        self.assertEqual((whole["amount"], whole["comment"]), (Decimal("-12.5"), "rent"))
        self.assertEqual([row["category"] for row in whole["details"]], ["send"])
        self.assertEqual(whole["wallet"], self.world.result("getwallettransaction", txid))
        self.assertIsNone(whole["wallet"]["pursuit"])
        public = self.get(txid, READ)["result"]
        self.assertEqual(set(whole) - set(public), {"wallet", "amount", "details", "comment", "time"})
        self.assertNotIn("rent", str(public))

    def test_a_payment_the_node_lacks_is_known_to_its_wallet_alone(self) -> None:
        prepared = self.world.wallet.prepare(FRIEND_LOCK, 10**8, "note", self.world.now())
        self.world.wallet.stored(prepared)
        txid = prepared.payment.txid.hex()
        shown = self.get(txid, READ, WALLET)["result"]
        self.assertEqual((shown["state"], shown["final"], shown["comment"]), ("pending", False, "note"))
        self.assertEqual(shown["hex"], prepared.payment.transaction.raw.hex())
        attempt = shown["wallet"]["pursuit"]
        self.assertEqual((attempt["attempts"], attempt["refused"]), (0, None))
        self.assertEqual(attempt["next"], prepared.payment.created // 10**6 + 30)
        self.assertEqual(self.get(txid, READ)["error"]["data"]["rule"], "transaction-unknown")

    def test_what_others_do_is_noticed_by_the_coins_they_spend(self) -> None:
        """The key is used elsewhere, too: its payments give nothing to this wallet and are shown at once."""
        other = next(coin for coin in self.world.wallet.spendable() if coin.height == 0)
        keys = Keystore(random.Random(3).randbytes, [])
        keys.adopt(well_known_seed("wallet", 1), "")
        outputs = [Output(other.value - 10**9, FRIEND_LOCK)]
        unsigned = Transaction.make(inputs=[other.outpoint], outputs=outputs)
        paid = sign(unsigned, [other.output], self.world.genesis.params.chain_id, keys)
        self.world.backend.submit(paid.raw)
        self.world.clock.advance(0.05)
        [row] = self.of(paid.txid.hex())
        self.assertEqual(
            (row["category"], row["amount"], row["fee"]), ("send", Decimal("-9990"), Decimal("-10"))
        )
        self.world.block()
        self.assertEqual(self.of(paid.txid.hex())[0]["state"], "confirmed")

    def test_a_history_that_cannot_be_read_stops_no_event(self) -> None:
        def damaged(outpoint: object) -> None:
            raise StoreError("the history is damaged.", "Move it away.")

        self.patch(self.world.book, "output", damaged)
        txid = self.send(self.friend, "2")
        self.world.block()
        self.assertEqual(self.world.backend.status(bytes.fromhex(txid)).state, "confirmed")
        self.assertEqual(self.world.wallet.payments, ())


class Since(HistoryCase):
    def test_every_transaction_comes_once_with_the_block_that_holds_it(self) -> None:
        self.patch(methods, "PAGE", 4)
        self.patch(methods, "MAX_LISTED", 5)
        for number in range(9):
            self.send(self.friend, str(1 + number))
            if number % 3 == 2:
                self.world.block()
        got: list[Row] = []
        block, more = "", True
        calls = 0
        while more:
            answer = self.world.result("listsinceblock", block)
            got += answer["transactions"]
            block, more = answer["lastblock"], answer["more"]
            calls += 1
        self.assertGreater(calls, 1)
        self.assertEqual(sorted(map(str, got)), sorted(map(str, self.listed())))
        self.assertEqual(self.world.result("listsinceblock", block)["transactions"], [])
        txid = self.send(self.friend, "2")
        answer = self.world.result("listsinceblock", block)
        self.assertEqual([row["txid"] for row in answer["transactions"]], [txid])
        self.world.block()
        again = self.world.result("listsinceblock", answer["lastblock"])
        self.assertEqual([row["txid"] for row in again["transactions"] if row["category"] == "send"], [txid])

    def test_deeper_confirmations_are_asked_for_again(self) -> None:
        hashes = []
        for _ in range(3):
            self.world.block()
            hashes.append(self.world.backend.tip().hash.hex())
        self.assertEqual(self.world.result("listsinceblock", "", 3)["lastblock"], hashes[0])
        self.assertEqual(self.world.error("listsinceblock", "zz")["data"]["rule"], "block-unknown")


class ReceivedSums(HistoryCase):
    def test_sums_of_addresses_and_names(self) -> None:
        first, second = (self.world.result("getnewaddress", "shop") for _ in range(2))
        for address, value in ((first, 3), (first, 4), (second, 5)):
            self.friend_pays(self.lock_of(address), value * 10**8)
            self.world.block()
        call = self.world.result
        self.assertEqual(call("getreceivedbyaddress", first), 7)
        self.assertEqual(call("getreceivedbyaddress", first, 3), 3)
        self.assertEqual(call("getreceivedbylabel", "shop"), 12)
        self.friend_pays(self.lock_of(second), 10**8)
        self.world.advance(1)
        self.assertEqual(
            (call("getreceivedbylabel", "shop"), call("getreceivedbylabel", "shop", 0)), (12, 13)
        )
        listed = {row["address"]: row for row in call("listreceivedbyaddress")}
        self.assertEqual((listed[first]["amount"], listed[first]["txcount"]), (7, 2))
        self.assertEqual(listed[first]["confirmations"], 2)
        [only] = call("listreceivedbyaddress", 0, False, False, second)
        self.assertEqual((only["amount"], only["confirmations"], len(only["txids"])), (6, 0, 2))
        pages = [
            call("listreceivedbyaddress", 1, False, False, None, 1, skip) for skip in range(len(listed) + 1)
        ]
        self.assertEqual([row["address"] for page in pages for row in page], list(listed))
        # Spending does not change what was received.
        self.send(self.friend, "9000")
        self.world.block()
        self.assertEqual(call("getreceivedbylabel", "shop"), 13)

    def test_two_outputs_of_one_transaction_are_one(self) -> None:
        mine = self.world.result("getnewaddress", "shop")
        lock = self.lock_of(mine)
        held = [(point, coin) for point, coin in self.world.store.coins() if coin.output.lock == FRIEND_LOCK]
        outpoint, coin = held[0]
        outputs = [Output(10**8, lock), Output(2 * 10**8, lock)]
        unsigned = Transaction.make(inputs=[outpoint], outputs=outputs)
        paid = sign(unsigned, [coin.output], self.world.genesis.params.chain_id, self.friends)
        self.world.backend.submit(paid.raw)
        self.world.advance(1)
        for _ in range(2):
            [row] = self.world.result("listreceivedbyaddress", 0, False, False, mine)
            self.assertEqual((row["amount"], row["txcount"], row["txids"]), (3, 1, [paid.txid.hex()]))
            self.assertEqual(len(self.of(paid.txid.hex())), 2)
            self.world.block()

    def test_empty_addresses_are_shown_when_asked_for(self) -> None:
        mine = self.world.result("getnewaddress", "quiet")
        self.assertNotIn(mine, [row["address"] for row in self.world.result("listreceivedbyaddress")])
        rows = {row["address"]: row for row in self.world.result("listreceivedbyaddress", 1, True)}
        self.assertEqual((rows[mine]["amount"], rows[mine]["txids"]), (0, []))

    def test_unknown_names_and_addresses_are_refused(self) -> None:
        self.assertEqual(self.world.error("getreceivedbylabel", "nobody")["data"]["rule"], "label-unknown")
        foreign = address_of(wallet_key(31), self.world)
        self.assertEqual(self.world.error("getreceivedbyaddress", foreign)["data"]["rule"], "address-foreign")


class Durable(HistoryCase):
    def all_entries(self, book: HistoryBook) -> list[Any]:
        entries, after = book.page(1_000)
        self.assertIsNone(after)
        return entries

    def follow(self, book: HistoryBook, wallet: Wallet, steps: int = 1_000) -> None:
        for _ in range(steps):
            if book.step(self.world.store, wallet.keys.watches, wallet.made).done:
                return

    def test_the_history_equals_one_that_is_made_from_the_blocks(self) -> None:
        mine = self.world.result("getnewaddress")
        for _ in range(4):
            self.send(self.friend, "3")
            self.send(mine, "2")
            self.world.block()
        self.patch(historybook, "MAX_STEP_BLOCKS", 2)
        fresh = HistoryBook(os.path.join(self.directory, "fresh"), self.world.genesis.hash)
        fresh.open(None)
        self.addCleanup(fresh.close)
        self.follow(fresh, self.world.wallet)
        self.assertEqual(
            [_plain(entry) for entry in self.all_entries(fresh)],
            [_plain(entry) for entry in self.all_entries(self.world.book)],
        )

    def test_a_crash_at_any_block_loses_nothing_and_doubles_nothing(self) -> None:
        """Killed after every step: what a step did is there whole or not at all."""
        for number in range(5):
            self.send(self.friend, "3", f"note {number}")
            self.world.block()
        self.patch(historybook, "MAX_STEP_BLOCKS", 1)
        path = os.path.join(self.directory, "crashing")
        choice = random.Random(8)
        watches = self.world.wallet.keys.watches

        def dying(lock: Lock) -> bool:
            if choice.random() < 0.1:
                raise KeyboardInterrupt
            return watches(lock)

        for _ in range(40):
            book = HistoryBook(path, self.world.genesis.hash)
            book.open(None)
            if choice.random() < 0.5:
                # It dies while it writes: nothing of the step stays.
                try:
                    book.step(self.world.store, dying, self.world.wallet.made)
                except KeyboardInterrupt:
                    self.died = True
            else:
                book.step(self.world.store, watches, self.world.wallet.made)
            book.close()
        self.assertTrue(self.died)
        book = HistoryBook(path, self.world.genesis.hash)
        book.open(None)
        self.addCleanup(book.close)
        self.follow(book, self.world.wallet)
        self.assertEqual(
            [_plain(entry) for entry in self.all_entries(book)],
            [_plain(entry) for entry in self.all_entries(self.world.book)],
        )

    def test_comments_survive_a_crash_between_the_block_and_the_history(self) -> None:
        self.patch(self.world.chronicle, "wake", lambda: None)
        txid = self.send(self.friend, "3", "for the roof")
        self.world.block()
        self.world.book.close()
        # What the next process finds: the file with the payment, and a history without the block.
        again = Wallet(self.world.backend, random.Random(9).randbytes)
        again.restore(self.world.host.file.read_back())
        book = HistoryBook(self.world.book.path, self.world.genesis.hash)
        book.open(None)
        self.addCleanup(book.close)
        self.follow(book, again)
        found = book.entry(bytes.fromhex(txid))
        assert found is not None
        self.assertEqual((found.comment, found.height), ("for the roof", 2))
        self.assertGreater(found.created, 0)

    def test_a_new_wallet_reads_no_old_blocks(self) -> None:
        book = HistoryBook(os.path.join(self.directory, "newborn"), self.world.genesis.hash)
        book.open(1)
        self.addCleanup(book.close)
        step = book.step(self.world.store, self.world.wallet.keys.watches, self.world.wallet.made)
        self.assertEqual((step.done, step.height), (True, 1))
        self.world.block()
        step = book.step(self.world.store, self.world.wallet.keys.watches, self.world.wallet.made)
        self.assertEqual((step.height, len(self.all_entries(book))), (2, 1))

    def test_the_history_of_another_chain_is_refused_and_left_alone(self) -> None:
        other = HistoryBook(self.world.book.path + "2", bytes(32))
        other.open(None)
        other.close()
        mine = HistoryBook(other.path, self.world.genesis.hash)
        with self.assertRaises(StoreError):
            mine.open(None)
        other.open(None)
        other.close()

    def test_a_released_payment_stays_with_its_reason_until_a_block_says_otherwise(self) -> None:
        book = self.world.book
        txid = bytes.fromhex(self.send(self.friend, "3", "note"))
        entry = self.world.chronicle.underway.entry(txid)
        assert entry is not None
        book.release(entry, height=1, time=5, reason="input-spent")
        kept = book.entry(txid)
        assert kept is not None
        self.assertEqual((kept.released, kept.reason, kept.comment), (True, "input-spent", "note"))
        self.world.block()
        kept = book.entry(txid)
        assert kept is not None
        self.assertEqual((kept.released, kept.reason, kept.comment), (False, "", "note"))
        self.assertEqual([entry.txid for entry in self.all_entries(book)].count(txid), 1)


class Failing(HistoryCase):
    def test_a_full_disk_is_said_and_the_history_goes_on_by_itself(self) -> None:
        chronicle = self.world.chronicle
        full: list[bool] = [True]
        step = self.world.book.step

        def failing(*args: Any) -> Any:
            if full:
                raise StoreError("cannot write the history: the disk is full.", "Free some space.")
            return step(*args)

        self.patch(self.world.book, "step", failing)
        txid = self.send(self.friend, "3")
        self.world.block()
        error = self.world.error("listtransactions")
        self.assertEqual((error["code"], error["data"]["rule"]), (-4, "history-failed"))
        self.assertEqual(error["data"]["hint"], "Free some space.")
        full.clear()
        self.world.advance(70)
        self.assertIsNone(chronicle.failure)
        self.assertEqual(self.of(txid)[0]["state"], "confirmed")

    def test_a_history_far_behind_says_how_far_it_is(self) -> None:
        self.patch(methods, "MAX_BEHIND", 2)
        wake = self.patch(self.world.chronicle, "wake", lambda: None)
        for _ in range(3):
            self.world.block()
        error = self.world.error("listtransactions")
        self.assertEqual((error["code"], error["data"]["rule"]), (-28, "history-syncing"))
        self.assertIn("block 1 of 4", error["message"])
        scanning = self.world.result("getwalletinfo")["scanning"]
        self.assertEqual(
            (scanning["what"], scanning["next_height"], scanning["last_height"]), ("blocks", 2, 4)
        )
        wake.restore()
        self.world.chronicle.wake()
        self.assertEqual(len(self.listed("*", 3)), 3)

    def test_a_disk_that_refuses_once_is_tried_again(self) -> None:
        """What was opened is closed: LMDB opens no environment twice in one process."""

        class Flaky(Files):
            refusals = 1

            def sync_directory(self, path: str) -> None:
                if self.refusals:
                    self.refusals -= 1
                    raise OSError(5, "Input/output error")

        book = HistoryBook(os.path.join(self.directory, "flaky"), self.world.genesis.hash, Flaky())
        refusals: list[StoreError] = []
        try:
            book.open(None)
        except StoreError as error:
            refusals.append(error)
        book.open(None)
        self.assertEqual((book.opened, len(refusals)), (True, 1))
        book.close()

    def test_the_spare_space_is_for_the_chain(self) -> None:
        class Small(Files):
            def free(self, directory: str) -> int:
                return 0

        book = HistoryBook(os.path.join(self.directory, "small"), self.world.genesis.hash, Small())
        book.open(None)
        self.addCleanup(book.close)
        with self.assertRaises(StoreError):
            book.step(self.world.store, self.world.wallet.keys.watches, self.world.wallet.made)

    def test_calls_that_wait_are_bounded_and_end_with_the_service(self) -> None:
        chronicle = self.world.chronicle
        held: list[Deferred[Any]] = []

        def hold(work: Callable[[], Any]) -> Deferred[Any]:
            if not held:
                held.append(Deferred())
                return held[0].addCallback(lambda _: work())
            return maybeDeferred(work)

        self.patch(chronicle.steps, "_in_thread", hold)
        self.world.block()
        waiting = chronicle.caught_up()
        self.patch(chronicles, "MAX_WAITING", 1)
        self.assertIn("too many", str(self.failureResultOf(chronicle.caught_up()).value))
        self.assertEqual(chronicle.refused, 1)
        chronicle.stop()
        self.assertIn("closed", str(self.failureResultOf(waiting).value))
        held[0].callback(None)


def _plain(entry: Any) -> Any:
    """Without what only the wallet that paid knows."""
    return (entry.txid, entry.height, entry.position, entry.time, entry.inputs, entry.outputs, entry.foreign)


class Rescan(HistoryCase):
    def friends_history(self) -> list[Row]:
        return [
            row for row in self.listed() if row["address"] == self.friend and row["category"] == "receive"
        ]

    def import_friend(self, *, rescan: bool) -> None:
        self.world.result("importprivkey", FRIEND.seed.hex(), "friend", rescan)

    def test_a_key_that_comes_later_brings_its_history(self) -> None:
        self.friend_pays(Lock.key_hash(wallet_key(30).public), 10**8)
        self.world.block()
        self.import_friend(rescan=False)
        self.world.advance(1)
        self.assertEqual([row["category"] for row in self.of(self.funding)], ["self"])
        before = len(self.listed())
        self.assertEqual(self.world.result("rescanblockchain"), {"start_height": 0, "stop_height": 2})
        self.world.advance(1)
        self.assertEqual(len(self.listed()), before + 2)
        self.assertFalse(self.world.result("getwalletinfo")["scanning"])
        self.assertEqual(self.world.result("getreceivedbylabel", "friend") > 1000, True)

    def test_an_import_with_rescan_reads_the_blocks_by_itself(self) -> None:
        paid = self.friend_pays(Lock.key_hash(wallet_key(30).public), 10**8)
        self.world.block()
        self.import_friend(rescan=True)
        self.world.advance(1)
        self.assertEqual({row["category"] for row in self.of(paid.txid.hex())}, {"send", "self"})

    def test_progress_is_shown_and_a_restart_goes_on(self) -> None:
        for _ in range(6):
            self.world.block()
        paid = self.friend_pays(Lock.key_hash(wallet_key(30).public), 10**8)
        self.world.block()
        self.import_friend(rescan=False)
        chronicle = self.world.chronicle
        self.patch(historybook, "MAX_STEP_BLOCKS", 3)
        self.patch(chronicle, "wake", lambda: None)
        tip = self.world.backend.tip().height
        self.world.result("rescanblockchain")
        shown = []
        for _ in range(3):
            scanning = self.world.result("getwalletinfo")["scanning"]
            self.assertEqual((scanning["what"], scanning["failed"]), ("blocks", None))
            shown.append((scanning["next_height"], scanning["last_height"]))
            chronicle.status = self.world.book.step(
                self.world.store, self.world.wallet.keys.watches, self.world.wallet.made
            )
        self.assertEqual(shown, [(0, tip), (3, tip), (6, tip)])
        self.assertIsNone(chronicle.status.rescan)
        self.world.result("rescanblockchain", 1)
        self.world.book.close()
        again = HistoryBook(self.world.book.path, self.world.genesis.hash)
        again.open(None)
        self.addCleanup(again.close)
        steps = 0
        while not again.step(self.world.store, self.world.wallet.keys.watches, self.world.wallet.made).done:
            steps += 1
        self.assertEqual(steps, 2)
        self.assertIsNotNone(again.entry(paid.txid))

    def test_it_can_be_ended_and_ranges_are_joined(self) -> None:
        for _ in range(4):
            self.world.block()
        self.patch(self.world.chronicle, "wake", lambda: None)
        self.assertIs(self.world.result("abortrescan"), False)
        self.world.result("rescanblockchain", 3, 4)
        self.world.result("rescanblockchain", 1, 2)
        mark = self.world.chronicle.status.rescan
        assert mark is not None
        self.assertEqual((mark.first, mark.following, mark.last), (1, 1, 4))
        self.assertIs(self.world.result("abortrescan"), True)
        self.assertFalse(self.world.result("getwalletinfo")["scanning"])

    def test_blocks_that_are_not_there_are_refused(self) -> None:
        tip = self.world.backend.tip().height
        for first, last in ((5, 4), (0, tip + 1), (tip + 1, None)):
            error = self.world.error("rescanblockchain", first, last)
            self.assertEqual((error["code"], error["data"]["rule"]), (-8, "param-value"))

    def test_addresses_seen_in_old_blocks_are_not_handed_out_again(self) -> None:
        """The same phrase was in use elsewhere, and what came to its addresses is spent: no coin shows it."""
        keys = self.world.wallet.keys
        ahead = [key for key in keys if key.place is not None and key.place.branch == 0][7]
        self.assertEqual(ahead.role, POOL)
        self.world.chronicle._stepped(Step(1, 1, None, (), (ahead.lock,)))
        self.assertEqual(ahead.role, RECEIVE)
        self.assertEqual(keys.take(RECEIVE).place.index, 8)
        self.assertIn(b"issue", json.dumps(self.world.host.file.read_back()).encode())

    def test_reading_again_changes_nothing_that_was_right(self) -> None:
        for number in range(3):
            self.send(self.friend, "2", f"note {number}")
            self.world.block()
        before = self.listed()
        self.world.result("rescanblockchain")
        self.world.advance(1)
        self.assertEqual(self.listed(), before)
