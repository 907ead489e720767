"""Payments through the RPC: one, many, everything, with named coins, and all that refuses them."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.task import deferLater

from tests.builders import wallet_key
from tests.rpc_world import FRIEND, RpcTestCase, World, address_of, parsed
from timed.errors import InvalidTransaction, LocalError
from timed.primitives.transaction import Lock, OutPoint
from timed.rpc import patience, paying, sweeping
from timed.rpc.dispatch import Dispatcher
from timed.rpc.errors import MISC, RpcError
from timed.rpc.handlers import HANDLERS
from timed.rpc.patience import LONGEST_S
from timed.rpc.toll import Toll
from timed.wallet import reservations
from timed.wallet.keystore import CHANGE
from timed.wallet.planning import Payee, Wish
from timed.wallet.watching import Watched

COIN = Decimal(10_000)
"""One coin of the allocation; the wallet has a hundred."""
OTHER = wallet_key(8)


class PaymentsCase(RpcTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.friend = address_of(FRIEND, self.world)
        self.other = address_of(OTHER, self.world)

    def shown(self, txid: str) -> dict[str, Any]:
        shown: dict[str, Any] = self.world.result("gettransaction", txid)
        return shown

    def outputs(self, txid: str) -> dict[str, Decimal]:
        return {each["scriptPubKey"]["address"]: each["value"] for each in self.shown(txid)["vout"]}

    def coins(self, count: int) -> list[dict[str, Any]]:
        return [
            {"txid": coin["txid"], "vout": coin["vout"]} for coin in self.world.result("listunspent")[:count]
        ]

    def refused(self, method: str, *params: Any) -> tuple[int, str]:
        error = self.world.error(method, *params)
        self.assertTrue(error["data"]["hint"], error)
        return error["code"], error["data"]["rule"]

    def exchange(self, method: str, **params: Any) -> dict[str, Any]:
        return self.world.exchange(method, params)


class One(PaymentsCase):
    def test_the_receiver_bears_the_fee(self) -> None:
        txid = self.exchange(
            "sendtoaddress", address=self.friend, amount=5, subtractfeefromamount=True, comment_to="Ann"
        )["result"]
        fee = self.shown(txid)["fee"]
        self.assertEqual(self.outputs(txid)[self.friend], 5 - fee)
        self.assertEqual(sum(self.outputs(txid).values()), COIN - fee)
        [record] = [each["payment"] for group in self.world.written for each in group if "payment" in each]
        self.assertEqual(record["comment_to"], "Ann")

    def test_named_coins_are_spent_all_and_change_goes_where_it_is_wanted(self) -> None:
        coins = self.coins(3)
        change = self.world.result("getnewaddress")
        txid = self.exchange(
            "sendtoaddress", address=self.friend, amount=1, inputs=coins, change_address=change
        )["result"]
        self.assertEqual({(each["txid"], each["vout"]) for each in self.shown(txid)["vin"]},
                         {(each["txid"], each["vout"]) for each in coins})  # fmt: skip
        self.assertEqual(self.outputs(txid)[change], 3 * COIN - 1 - self.shown(txid)["fee"])

    def test_a_named_coin_must_be_there_free_and_ones_own(self) -> None:
        def send(*inputs: dict[str, Any]) -> tuple[int, str]:
            error = self.exchange("sendtoaddress", address=self.friend, amount=1, inputs=list(inputs))[
                "error"
            ]
            self.assertEqual(error["data"]["param"], "inputs")
            return error["code"], error["data"]["rule"]

        [coin] = self.coins(1)
        self.assertEqual(send(coin, coin), (-8, "input-duplicate"))
        self.assertEqual(send({"txid": "00" * 32, "vout": 0}), (-5, "input-missing"))
        spending = self.exchange("sendtoaddress", address=self.friend, amount=1, inputs=[coin])["result"]
        self.assertEqual(send(coin), (-8, "input-held"))
        vout = self.shown(spending)["vout"]
        theirs, mine = sorted(vout, key=lambda each: each["scriptPubKey"]["address"] != self.friend)
        self.world.advance(1)
        self.assertEqual(send({"txid": spending, "vout": theirs["n"]}), (-8, "input-foreign"))
        self.assertEqual(send({"txid": spending, "vout": 9}), (-5, "input-missing"))
        again = self.exchange(
            "sendtoaddress", address=self.friend, amount=1, inputs=[{"txid": spending, "vout": mine["n"]}]
        )
        self.assertIn("result", again)
        locked = self.coins(1)[0]
        outpoint = OutPoint(bytes.fromhex(locked["txid"]), locked["vout"])
        self.patch(self.world.backend, "is_locked", lambda asked: asked == outpoint)
        self.assertEqual(send(locked), (-8, "input-locked"))

    def test_a_coin_that_is_not_final_yet_is_told_from_a_foreign_one(self) -> None:
        world = World(members=3)
        txid = world.result("sendtoaddress", address_of(FRIEND, world), 1)
        for each in world.result("gettransaction", txid)["vout"]:
            mine = each["scriptPubKey"]["address"] != address_of(FRIEND, world)
            inputs = [{"txid": txid, "vout": each["n"]}]
            error = world.exchange("sendtoaddress", {"address": self.friend, "amount": 1, "inputs": inputs})
            self.assertEqual(error["error"]["data"]["rule"], "input-pending" if mine else "input-foreign")

    def test_change_never_goes_to_a_stranger(self) -> None:
        error = self.exchange("sendtoaddress", address=self.friend, amount=1, change_address=self.other)[
            "error"
        ]
        self.assertEqual((error["code"], error["data"]["rule"]), (-5, "address-foreign"))
        self.assertEqual(error["data"]["param"], "change_address")

    def test_only_coins_in_blocks_when_asked_for(self) -> None:
        everything = self.world.result("sendall", [self.world.result("getnewaddress")])["amount"]
        self.world.advance(1)
        error = self.exchange("sendtoaddress", address=self.friend, amount=1, minconf=1)["error"]
        self.assertEqual(error["data"]["rule"], "insufficient-funds")
        self.assertEqual(Decimal(error["data"]["unconfirmed"]), everything)
        self.assertIn("next block", error["data"]["hint"])
        [coin] = self.coins(1)
        named = {"address": self.friend, "amount": 1, "inputs": [coin], "minconf": 1}
        error = self.exchange("sendtoaddress", **named)["error"]
        self.assertEqual((error["code"], error["data"]["rule"]), (-8, "input-unconfirmed"))
        self.world.block()
        self.assertIn("result", self.exchange("sendtoaddress", **named))


class Many(PaymentsCase):
    def test_one_transaction_pays_several(self) -> None:
        txid = self.world.result("sendmany", {self.friend: "1.5", self.other: "2.00000001"}, "wages")
        paid = self.outputs(txid)
        self.assertEqual(paid.pop(self.friend), Decimal("1.5"))
        self.assertEqual(paid.pop(self.other), Decimal("2.00000001"))
        [(_, change)] = paid.items()
        self.assertEqual(change, COIN - Decimal("3.50000001") - self.shown(txid)["fee"])
        self.assertEqual(self.world.wallet.payment(bytes.fromhex(txid)).comment, "wages")

    def test_some_of_them_bear_the_fee(self) -> None:
        txid = self.world.result("sendmany", {self.friend: 3, self.other: 4}, "", [self.other])
        fee = self.shown(txid)["fee"]
        self.assertEqual(self.outputs(txid)[self.friend], 3)
        self.assertEqual(self.outputs(txid)[self.other], 4 - fee)

    def test_what_is_wrong_is_named(self) -> None:
        amounts = {self.friend: 3}
        self.assertEqual(self.refused("sendmany", {}), (-8, "param-value"))
        self.assertEqual(self.refused("sendmany", {"nobody": 1})[0], -5)
        self.assertEqual(self.refused("sendmany", amounts, "", [self.other]), (-8, "param-value"))
        self.assertEqual(self.refused("sendmany", amounts, "", [self.friend] * 2), (-8, "param-value"))
        self.assertEqual(self.refused("sendmany", {self.friend: "0.00000999"}), (-26, "output-dust"))
        self.assertEqual(
            self.refused("sendmany", {self.friend: "0.5"}, "", [self.friend]), (-8, "fee-above-amount")
        )
        self.assertEqual(len(self.world.backend.mempool), 0)
        self.assertEqual(len(self.world.wallet.reservations), 0)


class Everything(PaymentsCase):
    def test_all_goes_and_nothing_comes_back(self) -> None:
        made = self.world.result("sendall", [self.friend])
        self.assertEqual((made["coins"], made["complete"]), (100, True))
        self.assertEqual(made["amount"] + made["fee"], 100 * COIN)
        self.assertEqual(self.outputs(made["txid"]), {self.friend: made["amount"]})
        self.world.advance(1)
        self.assertEqual(self.world.result("getbalance"), 0)
        self.assertEqual(self.refused("sendall", [self.friend]), (-6, "insufficient-funds"))

    def test_some_are_paid_first_and_the_rest_is_split(self) -> None:
        own = self.world.result("getnewaddress")
        made = self.world.exchange(
            "sendall", {"recipients": [self.other, own], "amounts": {self.friend: 7}, "inputs": self.coins(2)}
        )["result"]
        paid = self.outputs(made["txid"])
        self.assertEqual((made["coins"], paid[self.friend]), (2, 7))
        self.assertIn(paid[self.other] - paid[own], (0, Decimal("0.00000001")))
        self.assertEqual(self.refused("sendall", []), (-8, "param-value"))


class Short(PaymentsCase):
    """Insufficient funds say how much is missing, what stands in the way, and what to do."""

    def short(self, amount: Any) -> dict[str, Any]:
        error = self.world.error("sendtoaddress", self.friend, amount)
        self.assertEqual(error["code"], -6)
        self.message = error["message"]
        data: dict[str, Any] = error["data"]
        return data

    def test_plainly_too_much(self) -> None:
        data = self.short(1_000_000)
        self.assertEqual((data["rule"], data["needed"], data["missing"], data["available"]),
                         ("insufficient-funds", "1000001.00000000", "1.00000000", "1000000.00000000"))  # fmt: skip
        self.assertIn("subtractfeefromamount", data["hint"])
        self.assertIn("1.00000000 TIME is missing", self.message)
        self.assertNotIn("beside", self.message)

    def test_what_payments_under_way_use_comes_back(self) -> None:
        """Where nobody makes them final, it is waited for, and then said."""
        self.world = World(members=3)
        self.world.result("sendtoaddress", self.friend, 1)
        began = self.world.clock.seconds()
        data = self.short(995_000)
        self.assertAlmostEqual(self.world.clock.seconds() - began, LONGEST_S, delta=1)
        self.assertEqual(
            (self.world.environment.patience.gave_up, self.world.environment.patience.waiting), (1, 0)
        )
        self.assertEqual((data["available"], data["in_payments"]), ("990000.00000000", "10000.00000000"))
        self.assertIn("change once it is final", data["hint"])
        self.assertTrue(
            self.message.endswith("; beside that 10000.00000000 in payments under way"), self.message
        )

    def test_what_is_only_watched(self) -> None:
        self.world.result("sendtoaddress", self.friend, 500)
        self.world.advance(1)
        self.world.wallet.keys.watch(Watched(Lock.key_hash(FRIEND.public), "cold"))
        self.world.wallet.begin_scan()
        self.world.wallet.scan(self.world.backend.coins())
        self.world.wallet.scanned()
        data = self.short("999600")
        self.assertEqual(data["watched"], "500.00000000")
        self.assertIn("where their key is", data["hint"])

    def test_coins_that_are_too_many_are_to_be_merged(self) -> None:
        """The call that the hint names does it, as it stands there."""
        many_coins(self)
        data = self.short(270)
        self.assertEqual((data["rule"], data["missing"]), ("inputs-count", "0.00000000"))
        self.world.block()
        method, *params = data["hint"].rsplit(": ", 1)[1].split()
        merged = self.world.result(method, *map(int, params))
        self.assertEqual(merged["merged_count"], 256)
        self.world.advance(1)
        txid = self.world.result("sendtoaddress", self.friend, 270)
        self.assertEqual(self.outputs(txid)[self.friend], 270)


def many_coins(case: PaymentsCase, count: int = 140) -> None:
    """The wallet has 280 coins of 1 TIME, and nothing else."""
    mine = [wallet_key(number) for number in range(60, 60 + count)]
    for key in mine:
        case.world.wallet.keys.adopt(key.seed, "")
    addresses = [address_of(key, case.world) for key in mine]
    for _ in range(2):
        case.world.result("sendmany", dict.fromkeys(addresses, 1))
    case.world.advance(1)
    unspent = case.world.result("listunspent")
    case.assertEqual(len([coin for coin in unspent if coin["amount"] == 1]), 2 * count)
    big = [{"txid": coin["txid"], "vout": coin["vout"]} for coin in unspent if coin["amount"] > 1]
    case.exchange("sendall", recipients=[case.other], inputs=big)
    case.world.advance(1)


class EverythingOfMany(PaymentsCase):
    """More coins than one transaction may spend."""

    def test_all_of_them_go_in_several_payments(self) -> None:
        many_coins(self)
        made = self.world.result("sendall", [self.friend])
        self.assertEqual((made["coins"], made["complete"], made["coins_left"]), (280, True, 0))
        self.assertEqual([len(self.shown(txid)["vin"]) for txid in made["txids"]], [140, 140])
        self.assertEqual(made["txid"], made["txids"][0])
        self.assertEqual(made["amount"] + made["fee"], 280)
        self.assertEqual(sum(self.outputs(txid)[self.friend] for txid in made["txids"]), made["amount"])
        self.world.advance(1)
        self.assertEqual(self.world.result("listunspent"), [])

    def test_the_first_one_pays_the_amounts(self) -> None:
        many_coins(self)
        made = self.exchange("sendall", recipients=[self.other], amounts={self.friend: 200})["result"]
        outputs = [self.outputs(txid) for txid in made["txids"]]
        self.assertEqual([self.friend in each for each in outputs], [True, False])
        self.assertEqual(outputs[0][self.friend], 200)
        self.assertEqual([len(self.shown(txid)["vin"]) for txid in made["txids"]], [256, 24])

    def test_amounts_that_no_single_payment_can_bear_are_refused_whole(self) -> None:
        many_coins(self)
        error = self.exchange("sendall", recipients=[self.other], amounts={self.friend: 270})["error"]
        self.assertEqual((error["code"], error["data"]["rule"]), (-6, "inputs-count"))
        self.assertEqual(len(self.world.result("listunspent")), 280)

    def test_one_that_is_not_decided_is_named_and_its_coins_are_not_left(self) -> None:
        many_coins(self)
        submit, handed = paying.submit, []

        async def undecided_then(env: Any, transaction: Any) -> Any:
            handed.append(transaction.txid)
            if len(handed) == 2:
                raise RpcError(MISC, "Not decided in time", rule="undecided", hint="Wait.")
            return await submit(env, transaction)

        self.patch(paying, "submit", undecided_then)
        made = self.world.result("sendall", [self.friend])
        self.assertEqual((made["coins"], made["complete"], made["coins_left"]), (140, False, 0))
        self.assertEqual((made["txids"], made["undecided"]), ([handed[0].hex()], handed[1].hex()))
        self.assertIsNotNone(self.world.wallet.payment(handed[1]))

    def test_one_that_fails_leaves_the_others_sent_and_says_so(self) -> None:
        many_coins(self)
        submit, handed = self.world.backend.submit, []

        def full_then(raw: bytes) -> bytes:
            handed.append(raw)
            if len(handed) == 2:
                raise InvalidTransaction("mempool-full")
            return submit(raw)

        self.patch(self.world.backend, "submit", full_then)
        made = self.world.result("sendall", [self.friend])
        self.assertEqual((made["coins"], made["complete"], made["coins_left"]), (140, False, 140))
        self.assertIn("mempool is full", made["reason"])
        self.world.advance(1)
        again = self.world.result("sendall", [self.friend])
        self.assertEqual((again["coins"], again["complete"]), (140, True))

    def test_coins_that_another_payment_takes_meanwhile_are_not_left(self) -> None:
        many_coins(self)
        submit, handed = paying.submit, []

        async def another_first(env: Any, transaction: Any) -> Any:
            handed.append(transaction.txid)
            if len(handed) == 1:
                await Deferred.fromCoroutine(self.rival(env))
            return await submit(env, transaction)

        self.patch(paying, "submit", another_first)
        made = self.world.result("sendall", [self.friend])
        self.assertEqual((made["coins"], made["complete"], made["coins_left"]), (277, True, 0))
        self.assertEqual(self.world.result("listunspent"), [])

    async def rival(self, env: Any) -> None:
        """Another payment of the same wallet, with three of its free coins."""
        free = [each for each in env.wallet.coins if env.wallet.available.is_free(each)][:3]
        wish = Wish((Payee(env.lock_of(self.other), None),), inputs=tuple(free))
        await paying.pay(env, wish, "")

    def test_one_call_sends_so_many_and_the_next_one_goes_on(self) -> None:
        self.patch(sweeping, "MOST_PAYMENTS", 1)
        many_coins(self)
        made = [self.world.result("sendall", [self.friend]) for _ in range(2)]
        self.assertEqual([each["coins_left"] for each in made], [24, 0])
        self.assertEqual([each["complete"] for each in made], [False, True])


class Concurrent(PaymentsCase):
    def test_a_hundred_sends_never_share_a_coin(self) -> None:
        """Writes and submissions end in any order, long after further sends have begun."""
        choice = random.Random(7)
        world = self.world
        write, submit = world.write_wallet, world.backend.submit

        def slow_write() -> Deferred[None]:
            write()
            done: Deferred[None] = Deferred()
            world.clock.callLater(choice.uniform(0, 90), done.callback, None)
            return done

        def slow_submit(raw: bytes) -> bytes:
            world.clock.callLater(choice.uniform(0, 5), submit, raw)
            return b""

        self.patch(world.environment, "write_wallet", slow_write)
        self.patch(world.backend, "submit", slow_submit)
        waiting = []
        for _ in range(100):
            amount = f"{choice.uniform(0.01, 900):.8f}"
            waiting.append(world.begin("sendtoaddress", [self.friend, amount]))
            world.clock.advance(choice.choice((0, 0.3)))
        txids = [parsed(world.finish(each))["result"] for each in waiting]
        self.assertEqual(len(set(txids)), 100)
        spent = [outpoint for txid in txids for outpoint in self.inputs(txid)]
        self.assertEqual(len(spent), len(set(spent)))
        world.block()
        world.block()
        self.assertEqual({self.shown(txid)["state"] for txid in txids}, {"confirmed"})
        self.assertEqual(len(world.wallet.reservations), 0)

    def inputs(self, txid: str) -> list[tuple[str, int]]:
        return [(each["txid"], each["vout"]) for each in self.shown(txid)["vin"]]

    def only_one_coin(self) -> None:
        for coin in list(self.world.wallet.coins)[1:]:
            self.world.wallet.coins._drop(coin.outpoint)

    def test_many_sends_from_one_coin_go_one_after_the_other(self) -> None:
        self.only_one_coin()
        self.patch(self.world.environment, "pause", lambda: deferLater(self.world.clock, 0))
        waiting = [self.world.begin("sendtoaddress", [self.friend, "0.5"]) for _ in range(40)]
        txids = [parsed(self.world.finish(each))["result"] for each in waiting]
        spent = [outpoint for txid in txids for outpoint in self.inputs(txid)]
        self.assertEqual((len(set(txids)), len(set(spent))), (40, 40))
        queue = self.world.environment.patience
        self.assertEqual((queue.waited, queue.waiting, queue.gave_up), (39, 0, 0))
        self.world.block()
        self.assertEqual(len(self.world.wallet.reservations), 0)

    def test_what_no_change_can_pay_is_refused_at_once(self) -> None:
        self.only_one_coin()
        self.world.begin("sendtoaddress", [self.friend, "0.5"])
        began = self.world.clock.seconds()
        self.assertEqual(self.refused("sendtoaddress", self.friend, 20_000), (-6, "insufficient-funds"))
        self.assertLess(self.world.clock.seconds() - began, 0.2)

    def test_the_queue_is_bounded_and_a_small_payment_passes_by(self) -> None:
        self.patch(patience, "MAX_WAITING", 1)
        self.only_one_coin()
        self.world.begin("sendtoaddress", [self.friend, "0.5"])
        second = self.world.begin("sendtoaddress", [self.friend, 2])
        self.assertEqual(self.world.environment.patience.waiting, 1)
        self.assertEqual(self.refused("sendtoaddress", self.friend, 3), (-6, "insufficient-funds"))
        self.assertEqual(self.world.environment.patience.refused, 1)
        self.assertIn("result", parsed(self.world.finish(second)))

    def test_a_payment_that_waits_can_be_ended(self) -> None:
        world = World(members=3)
        for coin in list(world.wallet.coins)[1:]:
            world.wallet.coins._drop(coin.outpoint)
        world.result("sendtoaddress", self.friend, 1)
        first, second = (world.begin("sendtoaddress", [self.friend, 2]) for _ in range(2))
        for each in (second, first):
            each.addErrback(lambda failure: None)
            each.cancel()
        self.assertEqual(world.environment.patience.waiting, 0)
        self.assertEqual(len(world.waiters), 0)
        self.assertEqual(len(world.wallet.payments), 1)

    def test_a_caller_that_is_sent_away_does_not_free_what_may_be_on_the_disk(self) -> None:
        """The deadline of a call ends the waiting, not the payment."""
        world = self.world
        toll = Toll(world.clock, 10**9, 5)
        world.dispatcher = Dispatcher(
            HANDLERS,
            world.environment,
            pause=world.dispatcher._pause,
            failed=world.dispatcher._failed,
            within=toll.within,
        )
        disk: list[Deferred[None]] = []
        self.patch(world.environment, "write_wallet", lambda: disk.append(Deferred()) or disk[-1])
        error = world.error("sendtoaddress", self.friend, 1)
        self.assertEqual((error["code"], error["data"]["rule"]), (-1, "payment-kept"))
        txid = error["data"]["txid"]
        [held] = list(world.wallet.reservations.outpoints)
        self.assertNotIn(held, [coin.outpoint for coin in world.wallet.spendable()])
        disk[0].callback(None)
        world.advance(1)
        self.assertEqual(self.shown(txid)["state"], "final")
        self.assertEqual(len(world.wallet.reservations), 0)

    def test_a_payment_that_cannot_be_written_frees_its_coins(self) -> None:
        self.patch(self.world.environment, "write_wallet", lambda: fail(LocalError("no room.", "Make room.")))
        self.assertEqual(self.refused("sendtoaddress", self.friend, 1), (-4, "wallet-file"))
        self.assertEqual(len(self.world.wallet.reservations), 0)
        self.assertEqual(len(list(self.world.wallet.spendable())), 100)

    def test_no_decision_in_time_names_the_payment_that_is_kept(self) -> None:
        self.patch(self.world.backend, "submit", lambda raw: b"")
        error = self.world.error("sendtoaddress", self.friend, 1)
        self.assertEqual((error["code"], error["data"]["rule"]), (-1, "submit-timeout"))
        self.assertIn("do not pay twice", error["data"]["hint"])
        self.assertIsNotNone(self.world.wallet.payment(bytes.fromhex(error["data"]["txid"])))

    def test_when_there_is_no_room_for_another_payment_it_says_so(self) -> None:
        self.patch(reservations, "MAX_RESERVED", 2)
        disk: list[Deferred[None]] = []
        slow_disk = self.patch(
            self.world.environment, "write_wallet", lambda: disk.append(Deferred()) or disk[-1]
        )
        waiting = [self.world.begin("sendtoaddress", [self.friend, 1]) for _ in range(2)]
        self.assertEqual(self.refused("sendtoaddress", self.friend, 1), (-4, "wallet-full"))
        self.assertEqual(self.world.wallet.reservations.refused, 1)
        for done in disk:
            done.callback(None)
        for each in waiting:
            self.assertIn("result", parsed(self.world.finish(each)))
        slow_disk.restore()
        self.world.result("sendtoaddress", self.friend, 1)

    def test_change_keys_are_fresh_for_every_payment(self) -> None:
        for _ in range(3):
            self.world.result("sendtoaddress", self.friend, 1)
        used = [key for key in self.world.wallet.keys if key.role == CHANGE]
        self.assertEqual(len(used), 3)
