"""Many small coins become one: on request, and by itself after a block."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed

from tests.builders import wallet_key
from tests.rpc_world import FRIEND, RpcTestCase, Sink, address_of
from tests.wallet_world import encrypt
from timed.app.config import load
from timed.app.inifile import Entry
from timed.errors import LocalError
from timed.params import UNITS_PER_TIME
from timed.primitives.transaction import Lock
from timed.rpc import consolidation
from timed.rpc.consolidation import Consolidation

SMALL = 10 * UNITS_PER_TIME
KEYS = [wallet_key(number) for number in range(60, 90)]


class Case(RpcTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.friend = address_of(FRIEND, self.world)

    def scatter(self, count: int = 12) -> None:
        """Coins of 1, 1.01, 1.02, ... TIME in a block."""
        for key in KEYS[:count]:
            self.world.wallet.keys.adopt(key.seed, "")
        amounts = {address_of(key, self.world): f"1.{number:02}" for number, key in enumerate(KEYS[:count])}
        self.world.result("sendmany", amounts)
        self.world.block()

    def pay(self, address: str, amount: str) -> None:
        """With a large coin, so that the small ones stay."""
        large = self.world.result("listunspent")[0]
        inputs = [{"txid": large["txid"], "vout": large["vout"]}]
        reply = self.world.exchange("sendtoaddress", {"address": address, "amount": amount, "inputs": inputs})
        self.assertIn("result", reply)

    def small(self) -> list[Decimal]:
        options = {"maximumAmount": "9.99"}
        return [coin["amount"] for coin in self.world.result("listunspent", 0, 9999, [], True, options)]

    def refused(self, method: str, *params: Any) -> tuple[int, str]:
        error = self.world.error(method, *params)
        self.assertTrue(error["data"]["hint"], error)
        return error["code"], error["data"]["rule"]


class Asked(Case):
    def test_the_smallest_become_one(self) -> None:
        self.scatter()
        made = self.world.result("mergeutxos", 2, 5)
        self.assertEqual((made["merged_count"], made["total_value"]), (5, Decimal("5.10")))
        self.assertEqual(made["final_value"], made["total_value"] - made["fee"])
        self.assertEqual(made["fee"], self.world.result("gettransaction", made["txid"])["fee"])
        self.world.block()
        left = self.small()
        self.assertEqual(len(left), 8)
        self.assertEqual(left[0], made["final_value"])

    def test_a_rehearsal_says_what_it_would_cost_and_does_nothing(self) -> None:
        self.scatter()
        before = self.world.result("getbalance")
        made = self.world.result("mergeutxos", 2, 100, None, "9", True)
        self.assertEqual((made["txid"], made["merged_count"]), (None, 12))
        self.assertEqual(self.world.result("getbalance"), before)
        self.assertEqual(len(self.world.wallet.reservations), 0)
        again = self.world.result("mergeutxos", 2, 100, None, "9")
        self.assertEqual((again["fee"], again["final_value"]), (made["fee"], made["final_value"]))

    def test_coins_of_one_address_stay_there(self) -> None:
        self.scatter(4)
        address = address_of(KEYS[0], self.world)
        for amount in ("0.5", "0.6"):
            self.pay(address, amount)
        self.world.block()
        made = self.world.result("mergeutxos", 3, 9, address)
        self.assertEqual(made["merged_count"], 3)
        self.world.block()
        self.assertEqual(self.world.result("getbalance", address), made["final_value"])

    def test_what_is_set_aside_or_final_only_stays_out(self) -> None:
        self.scatter(3)
        coins = self.world.result("listunspent", 0, 9999, [], True, {"maximumAmount": 9})
        self.world.result("lockunspent", False, [{"txid": coins[0]["txid"], "vout": coins[0]["vout"]}])
        self.pay(self.world.result("getnewaddress"), "0.5")
        self.world.advance(1)
        made = self.world.result("mergeutxos", 2, 100, None, "9")
        self.assertEqual((made["merged_count"], made["total_value"]), (2, Decimal("2.01")))

    def test_too_few_coins_or_too_small_ones_are_named(self) -> None:
        self.scatter(3)
        error = self.world.error("mergeutxos", 4, 100, None, "9")
        self.assertEqual((error["code"], error["data"]["rule"], error["data"]["count"]), (-8, "coins-few", 3))
        self.assertEqual(self.refused("mergeutxos", 9, 3), (-8, "param-value"))
        self.assertEqual(self.refused("mergeutxos", 2, 3, self.friend), (-5, "address-foreign"))
        self.world.result("sendmany", {address_of(key, self.world): "0.00001" for key in KEYS[:3]})
        self.world.block()
        self.assertEqual(self.refused("mergeutxos", 2, 3, None, "0.001"), (-6, "insufficient-funds"))
        self.assertEqual(len(self.world.wallet.reservations), 0)

    def test_a_coin_that_is_taken_meanwhile_is_left_out(self) -> None:
        """Looking through many coins takes turns of the reactor."""
        self.scatter(6)
        self.patch(consolidation, "STEP", 2)
        took: list[Any] = []

        def pause() -> Deferred[None]:
            if not took:
                took.append(self.world.wallet.prepare(Lock.key_hash(FRIEND.public), 9 * 10**7, "", 0))
            return succeed(None)

        self.patch(self.world.environment, "pause", pause)
        made = self.world.result("mergeutxos", 2, 100, None, "9")
        [taken] = took[0].payment.transaction.inputs
        spent = self.world.result("gettransaction", made["txid"])["vin"]
        self.assertEqual(len(spent), 5)
        self.assertNotIn({"txid": taken.txid.hex(), "vout": taken.index}, spent)


class ByItself(Case):
    def setUp(self) -> None:
        super().setUp()
        self.scatter(12)
        self.automatic = Consolidation(self.world.environment, self.world.clock, 8, SMALL)
        self.addCleanup(self.automatic.stop)
        self.patch(consolidation, "MERGED_AT_ONCE", 3)
        self.world.driver.add_sink(Sink(lambda event: self.automatic.published(event, 0)))

    def counted(self) -> dict[str, int]:
        return {name: count for name, count in self.automatic.counters.items() if count and name != "fees"}

    def test_one_merge_a_block_until_there_are_few_enough(self) -> None:
        """12 become 10, and 10 become 8: no more than the bound."""
        for number, left in ((1, 10), (2, 8), (2, 8)):
            self.world.block()
            self.world.advance(1)
            self.assertEqual(self.counted(), {"merges": number, "coins": 3 * number})
            self.assertEqual(len(self.small()), left)
        lost = sum(Decimal(f"1.{number:02}") for number in range(12)) - sum(self.small())
        self.assertEqual(Decimal(self.automatic.counters["fees"]).scaleb(-8), lost)

    def test_never_while_a_payment_is_not_final(self) -> None:
        submit = self.world.backend.submit
        held: list[bytes] = []
        self.patch(self.world.backend, "submit", lambda raw: held.append(raw) or b"")
        waiting = self.world.begin("sendtoaddress", [self.friend, 1])
        self.world.block()
        self.world.advance(1)
        self.assertEqual(self.counted(), {"busy": 1})
        submit(held[0])
        self.patch(self.world.backend, "submit", submit)
        self.world.finish(waiting)
        self.world.block()
        self.world.advance(1)
        self.assertEqual(self.counted(), {"busy": 1, "merges": 1, "coins": 3})

    def test_never_while_the_wallet_is_locked(self) -> None:
        encrypt(self.world.wallet.keys)
        self.world.block()
        self.world.advance(1)
        self.assertEqual(self.counted(), {"locked": 1})

    def test_never_with_zero_nor_after_the_stop(self) -> None:
        for stop in (lambda: setattr(self.automatic, "above", 0), self.automatic.stop):
            stop()
            self.world.block()
            self.world.advance(1)
            self.assertEqual(self.counted(), {})
            self.automatic.above = 8

    def test_a_failure_is_counted_and_a_later_block_tries_again(self) -> None:
        full = fail(LocalError("no room.", "Make room."))
        full_disk = self.patch(self.world.environment, "write_wallet", lambda: full)
        self.world.block()
        self.world.advance(1)
        self.assertEqual(self.counted(), {"failed": 1})
        full_disk.restore()
        self.world.block()
        self.world.advance(1)
        self.assertEqual(self.counted(), {"failed": 1, "merges": 1, "coins": 3})

    def test_the_configuration_rules_it(self) -> None:
        entries = [
            Entry("node", "network", "regtest", "test"),
            Entry("wallet", "consolidate_above", "11", "test"),
            Entry("wallet", "consolidate_below", "2", "test"),
        ]
        self.automatic.follow(load(None, entries))
        self.assertEqual((self.automatic.above, self.automatic.below), (11, 2 * UNITS_PER_TIME))
        self.assertEqual(self.automatic.small, 12)
        self.automatic.follow(load(None, entries[:1]))
        self.assertEqual(self.automatic.above, 0)
