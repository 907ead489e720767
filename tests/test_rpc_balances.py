"""What the wallet has: sums, listings, and coins that are set aside."""

from __future__ import annotations

import json
import os
import random
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import succeed
from twisted.trial.unittest import SynchronousTestCase

from tests.builders import outpoint, wallet_key
from tests.rpc_world import FRIEND, World, address_of
from tests.wallet_world import KeysWorld
from timed.interfaces import Coin
from timed.monitor.metrics import ROWS
from timed.primitives.transaction import Lock, OutPoint, Output, Transaction
from timed.rpc.consolidation import Consolidation
from timed.rpc.methods import balances
from timed.wallet import setaside
from timed.wallet.coins import CoinIndex
from timed.wallet.reservations import MAX_RESERVED
from timed.wallet.wallet import Wallet

COIN = Decimal(10_000)
FRIEND_LOCK = Lock.key_hash(FRIEND.public)


class BalancesCase(SynchronousTestCase):
    def setUp(self) -> None:
        directory = os.path.abspath(self.mktemp())
        os.mkdir(directory)
        self.world = KeysWorld(os.path.join(directory, "wallet.json"))
        self.addCleanup(self.world.close)
        self.addCleanup(lambda: self.assertEqual(self.world.failures, []))
        self.friend = address_of(FRIEND, self.world)

    def result(self, method: str, *params: Any) -> Any:
        return self.world.result(method, *params)

    def refused(self, method: str, *params: Any) -> tuple[int, str]:
        error = self.world.error(method, *params)
        self.assertTrue(error["data"]["hint"], error)
        return error["code"], error["data"]["rule"]

    def watch(self) -> None:
        self.result("importaddress", self.friend, "cold")

    def named(self, *coins: dict[str, Any]) -> list[dict[str, Any]]:
        return [{"txid": coin["txid"], "vout": coin["vout"]} for coin in coins]


class Balances(BalancesCase):
    def mine(self) -> dict[str, Decimal]:
        shown: dict[str, Decimal] = self.result("getbalances")["mine"]
        return shown

    def check(self) -> None:
        """Every way to ask agrees."""
        mine, listed = self.mine(), self.result("listunspent")
        self.assertEqual(mine["trusted"], self.result("getbalance"))
        self.assertEqual(mine["trusted"], sum(coin["amount"] for coin in listed))
        self.assertEqual(mine["spendable"], sum(coin["amount"] for coin in listed if coin["spendable"]))
        self.assertEqual(mine["set_aside"], sum(coin["amount"] for coin in listed if coin["set_aside"]))
        parts = ("spendable", "set_aside", "reserved", "locked")
        self.assertEqual(sum(mine[part] for part in parts), mine["trusted"])

    def test_money_on_its_way_is_pending_until_it_is_final(self) -> None:
        prepared = self.world.wallet.prepare(FRIEND_LOCK, 40 * 10**8, "", self.world.now())
        self.world.wallet.stored(prepared)
        change = COIN - 40 - Decimal(prepared.fee).scaleb(-8)
        for _ in ("before the node has it", "while nobody has voted"):
            self.assertEqual(self.mine()["trusted"], 99 * COIN)
            self.assertEqual(self.mine()["untrusted_pending"], change)
            self.check()
            self.world.backend.submit(prepared.payment.transaction.raw)
        self.world.advance(1)
        self.assertEqual(self.mine()["trusted"], 99 * COIN + change)
        self.assertEqual(self.mine()["untrusted_pending"], 0)
        self.check()

    def test_parts_of_a_balance(self) -> None:
        self.check()
        self.result("sendtoaddress", self.friend, 40)
        self.check()
        self.world.advance(1)
        self.assertEqual(self.mine()["untrusted_pending"], 0)
        self.check()
        self.result("lockunspent", False, self.named(*self.result("listunspent")[:3]))
        self.assertGreaterEqual(self.mine()["set_aside"], 2 * COIN)
        self.check()
        prepared = self.world.wallet.prepare(FRIEND_LOCK, 10**8, "", self.world.now())
        self.assertGreaterEqual(self.mine()["reserved"], 90)
        self.check()
        self.world.wallet.release(prepared)
        self.world.block()
        self.check()
        tip = self.world.backend.tip()
        self.assertEqual(self.result("getbalances")["lastprocessedblock"],
                         {"hash": tip.hash.hex(), "height": tip.height})  # fmt: skip

    def test_a_coin_the_node_has_voted_away_is_locked(self) -> None:
        [first, *_] = list(self.world.wallet.coins)
        self.world.node.chain.fastpath.locks[first.outpoint] = bytes(32)
        self.assertEqual(self.mine()["locked"], COIN)
        self.check()
        del self.world.node.chain.fastpath.locks[first.outpoint]

    def test_what_is_watched_stands_apart(self) -> None:
        self.watch()
        self.result("sendtoaddress", self.friend, 40)
        shown = self.result("getbalances")["watchonly"]
        self.assertEqual((shown["trusted"], shown["untrusted_pending"]), (0, 40))
        self.world.advance(1)
        shown = self.result("getbalances")["watchonly"]
        self.assertEqual((shown["trusted"], shown["untrusted_pending"]), (40, 0))
        both = self.result("getbalance", "*", 0, True)
        self.assertEqual(both, self.result("getbalance") + 40)
        self.assertEqual(self.result("getbalance", self.friend, 0, True), 40)
        self.assertEqual(self.refused("getbalance", self.friend), (-5, "address-foreign"))

    def test_in_blocks_only(self) -> None:
        address = self.result("getnewaddress")
        self.result("sendtoaddress", address, 40)
        self.world.advance(1)
        self.assertEqual(self.result("getbalance", address), 40)
        self.assertEqual(self.result("getbalance", address, 1), 0)
        self.assertEqual(self.result("getbalance", "*", 1), 99 * COIN)
        self.world.block()
        self.assertEqual(self.result("getbalance", address, 1), 40)
        self.check()

    def test_a_young_reward_is_immature(self) -> None:
        """Maturity is one block today: the rule is asked all the same."""
        lock = next(iter(self.world.wallet.keys)).lock
        young = [(outpoint(5), Coin(Output(7, lock), 9, True))]
        index = CoinIndex(lambda lock: True, lambda lock: True)
        index.scan(young)
        self.assertEqual([coin.value for coin in index.immature(9)], [7])
        self.assertEqual(index.immature(10), ())
        self.world.wallet.scan([(outpoint(5), Coin(Output(7, lock), 1_000, True))])
        self.assertEqual(self.mine()["immature"], Decimal("0.00000007"))
        self.assertEqual(self.mine()["trusted"], 100 * COIN)


class Listing(BalancesCase):
    def amounts(self, **options: Any) -> list[Decimal]:
        return [coin["amount"] for coin in self.result("listunspent", 0, 9_999_999, [], True, options)]

    def scatter(self) -> None:
        """Coins of 1, 2, ... 8 TIME beside the large ones."""
        addresses = [self.result("getnewaddress") for _ in range(8)]
        self.result("sendmany", {each: number + 1 for number, each in enumerate(addresses)})
        self.world.advance(1)

    def test_by_amount_number_and_sum(self) -> None:
        self.scatter()
        self.assertEqual(self.amounts(maximumAmount=8), [8, 7, 6, 5, 4, 3, 2, 1])
        self.assertEqual(self.amounts(maximumAmount=7, minimumAmount="2.5"), [7, 6, 5, 4, 3])
        self.assertEqual(self.amounts(maximumAmount=8, maximumCount=3), [8, 7, 6])
        self.assertEqual(self.amounts(maximumAmount=8, maximumCount=3, skip=6), [2, 1])
        self.assertEqual(self.amounts(maximumAmount=8, minimumSumAmount=15), [8, 7])
        self.assertEqual(self.amounts(maximumAmount="0.5"), [])
        self.assertEqual(self.refused("listunspent", 0, 9, [], True, {"nosuch": 1}), (-8, "param-value"))

    def test_pages_join_without_gap_or_repetition(self) -> None:
        self.scatter()
        everything = self.result("listunspent")
        pages = []
        for skip in range(0, 120, 7):
            pages += self.result("listunspent", 0, 9_999_999, [], True, {"skip": skip, "maximumCount": 7})
        self.assertEqual(pages, everything)

    def test_the_reactor_has_turns_in_between(self) -> None:
        self.patch(balances, "STEP", 10)
        turns: list[int] = []
        self.patch(self.world.environment, "pause", lambda: succeed(turns.append(1)))
        self.assertEqual(len(self.result("listunspent")), 100)
        self.assertEqual(len(turns), 10)
        turns.clear()
        self.assertEqual(len(self.amounts(maximumCount=5)), 5)
        self.assertEqual(turns, [])

    def test_watched_coins_only_when_asked_for(self) -> None:
        self.watch()
        self.result("sendtoaddress", self.friend, 40)
        self.world.advance(1)
        self.assertNotIn(40, self.amounts())
        [coin] = [each for each in self.result("listunspent", 0, 9, [], True, {"include_watched": True})
                  if each["amount"] == 40]  # fmt: skip
        self.assertEqual(
            (coin["spendable"], coin["solvable"], coin["ismine"], coin["label"]),
            (False, False, False, "cold"),
        )
        self.assertEqual(self.refused("listunspent", 0, 9, [self.friend]), (-5, "address-foreign"))
        self.result("importpubkey", FRIEND.public.hex(), "cold")
        [coin] = self.result("listunspent", 0, 9, [self.friend], True, {"include_watched": True})
        self.assertTrue(coin["solvable"])

    def test_a_key_that_comes_later_makes_watched_coins_ones_own(self) -> None:
        """Without reading the set of coins again."""
        self.watch()
        self.result("sendtoaddress", self.friend, 40)
        self.world.advance(1)
        before, rescans = self.result("getbalance"), self.world.host.rescans
        self.result("importprivkey", FRIEND.seed.hex(), "", False)
        self.assertEqual(self.world.host.rescans, rescans)
        self.assertEqual(self.result("getbalance"), before + 40)
        self.assertEqual(self.result("getbalances")["watchonly"]["trusted"], 0)
        self.assertEqual(self.amounts(maximumAmount=40)[0], 40)


class SettingAside(BalancesCase):
    def setUp(self) -> None:
        super().setUp()
        self.coins = self.result("listunspent")

    def test_no_payment_takes_what_is_set_aside(self) -> None:
        rest, kept = self.coins[:1], self.coins[1:]
        self.assertIs(self.result("lockunspent", False, self.named(*kept)), True)
        txid = self.result("sendtoaddress", self.friend, 1)
        [spent] = self.result("gettransaction", txid)["vin"]
        self.assertEqual([spent["txid"], spent["vout"]], [rest[0]["txid"], rest[0]["vout"]])
        error = self.world.error("sendtoaddress", self.friend, 20_000)
        self.assertEqual((error["code"], error["data"]["set_aside"]), (-6, "990000.00000000"))
        self.assertIn("listlockunspent", error["data"]["hint"])
        self.assertEqual(len(self.result("listlockunspent")), 99)
        self.assertTrue(self.result("lockunspent", True))
        self.assertEqual(self.result("listlockunspent"), [])
        self.result("sendtoaddress", self.friend, 20_000)

    def test_a_coin_that_is_named_is_spent_all_the_same_and_forgotten(self) -> None:
        [coin] = self.named(self.coins[0])
        self.result("lockunspent", False, [coin], True)
        params = {"address": self.friend, "amount": 1, "inputs": [coin]}
        self.assertIn("result", self.world.exchange("sendtoaddress", params))
        self.world.advance(1)
        self.assertEqual(self.result("listlockunspent"), [])
        self.assertEqual(len(self.world.wallet.set_aside), 0)

    def test_it_outlives_a_restart_when_asked_to(self) -> None:
        first, second, third = (self.named(coin) for coin in self.coins[:3])
        self.result("lockunspent", False, first + third, True)
        self.result("lockunspent", False, second)
        self.result("lockunspent", True, third)
        for records in (self.world.host.file.read_back(), self.world.wallet.records()):
            again = Wallet(self.world.backend, random.Random(9).randbytes)
            again.restore(json.loads(json.dumps(records)))
            kept = [{"txid": each.txid.hex(), "vout": each.index} for each in again.set_aside]
            self.assertEqual(kept, first)

    def test_setting_aside_again_may_make_it_last(self) -> None:
        coin = self.named(self.coins[0])
        self.result("lockunspent", False, coin)
        self.assertFalse(self.result("listlockunspent")[0]["persistent"])
        self.result("lockunspent", False, coin, True)
        self.result("lockunspent", False, coin)
        [shown] = self.result("listlockunspent")
        self.assertEqual((shown["persistent"], shown["amount"]), (True, COIN))

    def test_what_is_no_coin_of_the_wallet_is_refused(self) -> None:
        unknown = [{"txid": "00" * 32, "vout": 0}]
        self.assertEqual(self.refused("lockunspent", False, unknown), (-5, "input-missing"))
        self.assertEqual(self.refused("lockunspent", True, unknown), (-8, "coin-not-set-aside"))
        self.assertEqual(self.refused("lockunspent", False), (-8, "param-value"))
        txid = self.result("sendtoaddress", self.friend, 1)
        held = self.result("gettransaction", txid)["vin"]
        self.assertEqual(self.refused("lockunspent", False, self.named(*held)), (-8, "input-held"))
        self.world.advance(1)
        [foreign] = [each["n"] for each in self.result("gettransaction", txid)["vout"] if each["value"] == 1]
        self.assertEqual(
            self.refused("lockunspent", False, [{"txid": txid, "vout": foreign}]), (-8, "input-foreign")
        )

    def test_coins_that_are_no_more_make_room(self) -> None:
        """The chain was read anew, and nobody saw them spent."""
        self.patch(setaside, "MAX_SET_ASIDE", 3)
        gone = [outpoint(number) for number in (5, 6)]
        self.world.wallet.set_aside.add(gone, keep=True)
        self.assertEqual(self.result("listlockunspent"), [])
        self.result("lockunspent", False, self.named(*self.coins[:2]))
        self.assertEqual(len(self.world.wallet.set_aside), 2)
        again = Wallet(self.world.backend, random.Random(9).randbytes)
        again.restore(self.world.host.file.read_back())
        self.assertEqual(list(again.set_aside), [])

    def test_their_number_is_bounded(self) -> None:
        self.patch(setaside, "MAX_SET_ASIDE", 3)
        self.result("lockunspent", False, self.named(*self.coins[:3]))
        self.assertEqual(self.refused("lockunspent", False, self.named(self.coins[5])), (-4, "wallet-full"))
        self.assertEqual(len(self.result("listlockunspent")), 3)
        self.result("lockunspent", False, self.named(*self.coins[:3]))


class Counted(BalancesCase):
    """What has a bound is shown with it, and counted where it refuses."""

    def metric(self, name: str) -> dict[str, float]:
        view: Any = SimpleNamespace(parts=self.world.parts)
        return {"".join(labels): value for labels, value in ROWS[name].source(view)}

    def test_metrics_and_owners(self) -> None:
        self.assertEqual(self.metric("timed_wallet_coins"), {})
        self.world.parts.wallet = self.world.wallet
        self.world.parts.consolidation = Consolidation(self.world.environment, self.world.clock, 3, 10**9)
        self.result("lockunspent", False, self.named(*self.result("listunspent")[:2]))
        prepared = self.world.wallet.prepare(FRIEND_LOCK, 10**8, "", self.world.now())
        self.patch(setaside, "MAX_SET_ASIDE", 2)
        self.world.error("lockunspent", False, self.named(*self.result("listunspent")[2:4]))
        coins = {"own": 100, "watched": 0, "reserved": 1, "set_aside": 2}
        self.assertEqual(self.metric("timed_wallet_coins"), coins)
        self.assertEqual(self.metric("timed_wallet_refused"), {"payment": 0, "set_aside": 1})
        self.assertEqual(self.metric("timed_wallet_payments"), {"": 0})
        self.world.wallet.stored(prepared)
        self.assertEqual(self.metric("timed_wallet_payments"), {"": 1})
        self.assertEqual(self.metric("timed_wallet_consolidation")["busy"], 0)
        self.world.parts.consolidation.counters["busy"] = 4
        self.assertEqual(self.metric("timed_wallet_consolidation")["busy"], 4)
        self.assertEqual(self.metric("timed_wallet_patience"), {})
        self.world.parts.patience = self.world.environment.patience
        self.world.environment.patience.waited = 2
        self.assertEqual(self.metric("timed_wallet_patience"), {"waited": 2, "gave_up": 0, "refused": 0})
        owners = {each["name"]: each for each in self.result("getmemoryinfo")["owners"]}
        self.assertEqual(owners["wallet-waiting"]["most_items"], 200)
        self.assertEqual(owners["wallet-coins"]["items"], 100)
        self.assertEqual(owners["wallet-set-aside"]["items"], 2)
        self.assertEqual(owners["wallet-reserved"]["most_items"], MAX_RESERVED)


class Index(SynchronousTestCase):
    def test_the_coins_of_a_lock_share_it(self) -> None:
        """Each block pays a member's reward under a lock that is read anew."""
        index = CoinIndex(lambda lock: True, lambda lock: True)
        for number in range(3):
            output = Output(7, Lock.key_hash(FRIEND.public))
            index.block(number, [Transaction.make(inputs=[outpoint(number)], outputs=[output])])
        self.assertEqual(len({id(coin.output) for coin in index}), 1)
        other = Output(8, Lock.key_hash(FRIEND.public))
        index.block(3, [Transaction.make(inputs=[outpoint(3)], outputs=[other])])
        self.assertEqual(len({id(coin.output.lock) for coin in index}), 1)
        self.assertEqual(index.total_of(FRIEND_LOCK), 29)

    def test_sums_and_orders_follow_whatever_happens(self) -> None:
        """Against a plain list of what is there, through blocks, final payments, repetitions and new keys."""
        choice = random.Random(3)
        locks = [Lock.key_hash(wallet_key(number).public) for number in range(6)]
        mine = {locks[0], locks[1]}
        index = CoinIndex(lambda lock: lock in locks[:4], lambda lock: lock in mine)
        plain: dict[OutPoint, tuple[int, Lock, bool]] = {}
        for step in range(300):
            spends = choice.sample(sorted(plain), min(len(plain), choice.randrange(3)))
            outputs = [
                Output(choice.randrange(1, 9), choice.choice(locks)) for _ in range(choice.randrange(1, 4))
            ]
            transaction = Transaction.make(inputs=[*spends, outpoint(step)], outputs=outputs)
            confirmed = choice.random() < 0.5
            if confirmed:
                index.block(step, [transaction])
            else:
                index.final(transaction)
            for spent in spends:
                del plain[spent]
            for number, output in enumerate(outputs):
                if output.lock in locks[:4]:
                    plain[OutPoint(transaction.txid, number)] = (output.value, output.lock, confirmed)
            if choice.random() < 0.3:
                index.block(step, [transaction])
                for number in range(len(outputs)):
                    place = OutPoint(transaction.txid, number)
                    if place in plain:
                        plain[place] = (*plain[place][:2], True)
            if step == 150:
                mine.add(locks[2])
                index.claim(locks[2])
        self.assertEqual(set(index.outpoints), set(plain))
        for shelf, own in ((index.own, True), (index.watched, False)):
            for order, confirmed in ((shelf.confirmed, True), (shelf.final, False)):
                values = sorted(
                    value for value, lock, in_block in plain.values()
                    if (lock in mine) == own and in_block == confirmed
                )  # fmt: skip
                self.assertEqual([coin.value for coin in order.ascending()], values)
                self.assertEqual([coin.value for coin in order.descending()], values[::-1])
                self.assertEqual(order.total, sum(values))
        for lock in locks:
            total = sum(value for value, its, _ in plain.values() if its == lock)
            self.assertEqual(index.total_of(lock), total)


class World100k(SynchronousTestCase):
    def test_a_payment_from_a_hundred_thousand_coins_looks_at_few(self) -> None:
        """Reference F94. What counts is how often a coin is looked at, and nothing is ever sorted again."""
        world = World()
        lock = next(iter(world.wallet.keys)).lock
        choice = random.Random(5)
        world.wallet.begin_scan()
        world.wallet.scan(
            (
                OutPoint(number.to_bytes(32, "big"), 0),
                Coin(Output(choice.randrange(10**5, 10**9), lock), 0, False),
            )
            for number in range(100_000)
        )
        world.wallet.scanned()
        asked: list[OutPoint] = []
        spenders = world.backend.spenders
        self.patch(
            world.backend, "spenders", lambda outpoint: (asked.append(outpoint), spenders(outpoint))[1]
        )
        for units, most in ((10**6, 10), (10**9 - 10**6, 10), (10**11, 600)):
            asked.clear()
            prepared = world.wallet.prepare(FRIEND_LOCK, units, "", world.now())
            self.assertLessEqual(len(asked), most)
            world.wallet.release(prepared)
        asked.clear()
        balance = world.wallet.balance()
        funds = world.wallet.available.funds()
        self.assertLessEqual(len(asked), 300)
        self.assertEqual((balance, funds.coins), (funds.free, 100_100))
