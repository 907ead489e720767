"""Drafts that the wallet completes with its coins: what is added, what is refused, and who signs."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

from tests.rpc_world import FRIEND, RpcTestCase, address_of
from timed.primitives.transaction import Lock, Transaction
from timed.wallet.keystore import Keystore
from timed.wallet.signing import sign
from timed.wallet.watching import Watched

COIN = Decimal(10_000)


class FundingCase(RpcTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.friend = address_of(FRIEND, self.world)

    def funded(self, *params: Any) -> dict[str, Any]:
        made: dict[str, Any] = self.world.result("walletcreatefundedtransaction", *params)
        return made

    def shown(self, made: dict[str, Any]) -> dict[str, Any]:
        shown: dict[str, Any] = self.world.result("decoderawtransaction", made["hex"])
        return shown

    def refused(self, method: str, *params: Any) -> tuple[int, str]:
        error = self.world.error(method, *params)
        self.assertTrue(error["data"]["hint"], error)
        return error["code"], error["data"]["rule"]

    def send(self, made: dict[str, Any]) -> str:
        signed = self.world.result("signrawtransactionwithwallet", made["hex"])
        self.assertTrue(signed["complete"], signed)
        txid: str = self.world.result("sendrawtransaction", signed["hex"])
        self.assertTrue(self.world.result("waittransactionfinality", txid, 5)["final"])
        return txid

    def coin(self) -> dict[str, Any]:
        coin = self.world.result("listunspent")[0]
        return {"txid": coin["txid"], "vout": coin["vout"]}

    def friends_coin(self, amount: int = 500) -> dict[str, Any]:
        """A final coin of somebody else, whose address the wallet watches."""
        self.world.wallet.keys.watch(Watched(Lock.key_hash(FRIEND.public), "cold"))
        txid = self.world.result("sendtoaddress", self.friend, amount)
        self.world.advance(1)
        [vout] = [
            each["n"] for each in self.world.result("gettransaction", txid)["vout"] if each["value"] == amount
        ]
        return {"txid": txid, "vout": vout}

    def sign_as_friend(self, text: str) -> str:
        keys = Keystore(random.Random(3).randbytes, [])
        keys.adopt(FRIEND.seed, "")
        transaction = Transaction.decode(bytes.fromhex(text))
        spent = [self.world.backend.output(outpoint) for outpoint in transaction.inputs]
        signed = sign(transaction, spent, self.world.genesis.params.chain_id, keys)
        return signed.encode().hex()


class Creating(FundingCase):
    def test_coins_and_change_are_added_and_the_fee_is_the_rules(self) -> None:
        made = self.funded([], {self.friend: "12.5"}, 3)
        shown = self.shown(made)
        self.assertEqual((shown["witnesses"], shown["lock_height"], len(shown["vin"])), ([], 3, 1))
        change = shown["vout"][made["changepos"]]
        self.assertEqual(change["value"], COIN - Decimal("12.5") - made["fee"])
        self.assertEqual(made["fee"], self.world.result("estimatesmartfee", 1, COIN - 1)["fee"])
        self.assertEqual(len(self.world.wallet.reservations), 0)
        kept = [record for group in self.world.written for record in group if "issue" in record]
        self.assertEqual(len(kept), 1)

    def test_what_is_made_can_be_sent(self) -> None:
        own = self.world.result("getnewaddress")
        made = self.funded([self.coin()], {self.friend: 7}, 0, {"change_address": own})
        self.assertEqual(self.shown(made)["vout"][made["changepos"]]["scriptPubKey"]["address"], own)
        txid = self.send(made)
        self.assertEqual(self.world.result("gettransaction", txid)["fee"], made["fee"])

    def test_named_coins_must_reach_unless_more_may_be_added(self) -> None:
        coin = self.coin()
        error = self.world.error("walletcreatefundedtransaction", [coin], {self.friend: 10_500})
        self.assertEqual((error["code"], error["data"]["available"]), (-6, "10000.00000000"))
        made = self.funded([coin], {self.friend: 10_500}, 0, {"add_inputs": True})
        spent = self.shown(made)["vin"]
        self.assertEqual((len(spent), spent[0]), (2, coin))

    def test_outputs_bear_the_fee(self) -> None:
        other = self.world.result("getnewaddress")
        made = self.funded([], {self.friend: 3, other: 4}, 0, {"subtract_fee_from_outputs": [1]})
        paid = {each["scriptPubKey"]["address"]: each["value"] for each in self.shown(made)["vout"]}
        self.assertEqual((paid[self.friend], paid[other]), (3, 4 - made["fee"]))
        for numbers in ([2], [0, 0]):
            options = {"subtract_fee_from_outputs": numbers}
            self.assertEqual(
                self.refused("walletcreatefundedtransaction", [], {self.friend: 3, other: 4}, 0, options),
                (-8, "param-value"),
            )

    def test_all_of_a_coin_leaves_no_change(self) -> None:
        made = self.funded([self.coin()], {self.friend: COIN}, 0, {"subtract_fee_from_outputs": [0]})
        self.assertEqual((made["changepos"], made["fee"]), (-1, 1))
        self.assertEqual(len(self.shown(made)["vout"]), 1)

    def test_its_coins_can_be_set_aside(self) -> None:
        first = self.funded([], {self.friend: 3}, 0, {"lock_unspents": True})
        second = self.funded([], {self.friend: 3})
        [spent] = self.shown(first)["vin"]
        self.assertNotEqual(self.shown(second)["vin"], [spent])
        [aside] = self.world.result("listlockunspent")
        self.assertEqual(
            (aside["txid"], aside["vout"], aside["persistent"]), (spent["txid"], spent["vout"], False)
        )
        self.send(first)
        self.assertEqual(self.world.result("listlockunspent"), [])

    def test_what_pays_nobody_is_refused(self) -> None:
        self.assertEqual(self.refused("walletcreatefundedtransaction", [], {}), (-8, "param-value"))
        dust = self.refused("walletcreatefundedtransaction", [], {self.friend: "0.00000001"})
        self.assertEqual(dust, (-26, "output-dust"))


class Watching(FundingCase):
    def test_coins_whose_key_is_elsewhere_pay_for_a_draft_and_are_signed_there(self) -> None:
        self.friends_coin()
        everything = [
            {"txid": each["txid"], "vout": each["vout"]} for each in self.world.result("listunspent")
        ]
        self.world.result("lockunspent", False, everything)
        payee = self.world.result("getnewaddress")
        self.assertEqual(self.refused("walletcreatefundedtransaction", [], {payee: 400})[0], -6)
        options = {"include_watched": True, "change_address": self.friend}
        made = self.funded([], {payee: 400}, 0, options)
        self.assertFalse(self.world.result("signrawtransactionwithwallet", made["hex"])["complete"])
        txid = self.world.result("sendrawtransaction", self.sign_as_friend(made["hex"]))
        self.assertTrue(self.world.result("waittransactionfinality", txid, 5)["final"])
        self.assertEqual(self.world.result("getbalance", payee), 400)
        self.assertEqual(self.world.result("getbalance", self.friend, 0, True), 100 - made["fee"])

    def test_a_coin_of_several_keys(self) -> None:
        """The wallet holds one of two keys; the other holder signs what it has made."""
        mine = self.world.result("getaddressinfo", self.world.result("getnewaddress"))["pubkey"]
        shared = self.world.result("createmultisig", 2, [mine, FRIEND.public.hex()])["address"]
        self.world.wallet.keys.watch(Watched(self.world.environment.lock_of(shared), "both"))
        self.world.result("sendtoaddress", shared, 300)
        self.world.advance(1)
        [coin] = self.world.result("listunspent", 0, 9, [shared], True, {"include_watched": True})
        self.assertEqual((coin["address"], coin["amount"], coin["label"]), (shared, 300, "both"))
        named = [{"txid": coin["txid"], "vout": coin["vout"]}]
        made = self.funded(named, {self.friend: 100}, 0, {"change_address": shared})
        half = self.world.result("signrawtransactionwithwallet", made["hex"])
        self.assertFalse(half["complete"])
        txid = self.world.result("sendrawtransaction", self.sign_as_friend(half["hex"]))
        self.assertTrue(self.world.result("waittransactionfinality", txid, 5)["final"])
        self.assertEqual(self.world.result("getbalance", shared, 0, True), 200 - made["fee"])

    def test_coins_of_strangers_may_be_named(self) -> None:
        """Both pay: the other one signs his input, this wallet its own."""
        coin = self.friends_coin()
        self.world.block()
        made = self.funded([coin], {self.friend: 700}, 0, {"add_inputs": True})
        self.assertEqual(len(self.shown(made)["vin"]), 2)
        half = self.sign_as_friend(made["hex"])
        signed = self.world.result("signrawtransactionwithwallet", half)
        self.assertTrue(signed["complete"])
        txid = self.world.result("sendrawtransaction", signed["hex"])
        self.assertTrue(self.world.result("waittransactionfinality", txid, 5)["final"])

    def test_what_cannot_be_spent_is_named(self) -> None:
        def fund(*inputs: dict[str, Any]) -> tuple[int, str]:
            return self.refused("walletcreatefundedtransaction", list(inputs), {self.friend: 1})

        coin = self.coin()
        self.assertEqual(fund({"txid": "00" * 32, "vout": 0}), (-5, "input-missing"))
        self.assertEqual(fund(coin, coin), (-8, "input-duplicate"))
        params = {"address": self.friend, "amount": 1, "inputs": [coin]}
        txid = self.world.exchange("sendtoaddress", params)["result"]
        self.assertEqual(fund(coin), (-8, "input-held"))
        self.assertEqual(fund({"txid": txid, "vout": 0}), (-5, "input-missing"))


class Completing(FundingCase):
    def draft(self, inputs: list[dict[str, Any]], outputs: dict[str, Any], lock_height: int = 0) -> str:
        text: str = self.world.result("createrawtransaction", inputs, outputs, lock_height)
        return text

    def test_a_draft_without_inputs_gets_some(self) -> None:
        made = self.world.result("fundrawtransaction", self.draft([], {self.friend: 5}, 1))
        shown = self.shown(made)
        self.assertEqual((len(shown["vin"]), shown["lock_height"]), (1, 1))
        self.send(made)

    def test_the_inputs_of_the_draft_stay(self) -> None:
        coin = self.coin()
        made = self.world.result("fundrawtransaction", self.draft([coin], {self.friend: 10_001}))
        spent = self.shown(made)["vin"]
        self.assertEqual((len(spent), spent[0]), (2, coin))
        again = self.world.result("fundrawtransaction", made["hex"])
        self.assertEqual(again, made | {"changepos": -1})
        error = self.refused(
            "fundrawtransaction", self.draft([coin], {self.friend: 10_001}), {"add_inputs": False}
        )
        self.assertEqual(error, (-6, "insufficient-funds"))

    def test_a_signed_draft_or_none_is_refused(self) -> None:
        made = self.funded([], {self.friend: 5})
        signed = self.world.result("signrawtransactionwithwallet", made["hex"])["hex"]
        self.assertEqual(self.refused("fundrawtransaction", signed), (-8, "draft-signed"))
        self.assertEqual(self.refused("fundrawtransaction", "00")[0], -22)
        self.assertEqual(
            self.refused("fundrawtransaction", self.draft([self.coin()], {})), (-8, "param-value")
        )
