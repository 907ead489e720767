"""Wallets of real nodes: a passphrase, a phrase and kill -9 at the worst moments."""

from __future__ import annotations

import threading
from decimal import Decimal
from typing import Any

from tests.process_world import WAIT_S, ProcessCase, until
from timed.testnet.rpc import ClientError

PASSPHRASE = "correct horse battery staple"


class WalletTests(ProcessCase):
    network = "wallet"

    def call(self, number: int, method: str, *params: Any) -> Any:
        return self.world.call(number, method, *params)

    def code(self, number: int, method: str, *params: Any) -> int:
        with self.assertRaises(ClientError) as caught:
            self.call(number, method, *params)
        return int(caught.exception.code)

    def restart(self, *numbers: int) -> None:
        self.world.restart(*numbers)
        self.world.wait_connected()
        for number in numbers:
            until("the wallet has read the coins", lambda n=number: not self.info(n)["scanning"])  # type: ignore[misc]

    def info(self, number: int) -> Any:
        return self.call(number, "getwalletinfo")

    def written(self, number: int) -> str:
        """The wallet's files, and everything the node has said."""
        node = self.world.node(number)
        paths = [*node.datadir.glob("wallet.json*"), *node.datadir.glob("wallet.json*/*")]
        files = [each.read_text("latin-1") for each in paths if each.is_file()]
        return "".join([*files, self.world.log(number)])

    def coins(self, number: int) -> set[tuple[str, int]]:
        return {(each["txid"], each["vout"]) for each in self.call(number, "listunspent")}

    def merge_by_itself(self, number: int) -> None:
        """Switched on while the node runs, after the next block."""
        if self.info(number)["encrypted"]:
            self.call(number, "walletpassphrase", PASSPHRASE, 600)
        before = self.coins(number)
        self.call(number, "setconfig", "wallet.consolidate_below", "1000000")
        self.call(number, "setconfig", "wallet.consolidate_above", "1")
        until("small coins became one", lambda: self.info(number)["consolidation"]["merges"] > 0)
        self.call(number, "setconfig", "wallet.consolidate_above", "0")
        # Rewards come meanwhile; a merge takes away at least two of those that were there.
        until("the coins that were merged are gone", lambda: len(before - self.coins(number)) > 1)

    def test_an_encrypted_wallet_is_locked_after_every_death_and_its_phrase_brings_it_back(self) -> None:
        phrase = self.call(1, "exportmnemonic")
        self.assertTrue(phrase["complete"])
        self.call(1, "encryptwallet", PASSPHRASE)
        self.world.kill(1)
        self.restart(1)
        self.assertTrue(self.info(1)["locked"])
        address = self.call(2, "getnewaddress")
        self.assertEqual(self.code(1, "sendtoaddress", address, Decimal("1.5")), -13)
        self.assertTrue(self.call(1, "getnewaddress").startswith("TIMER"))
        self.assertEqual(self.code(1, "walletpassphrase", "wrong", 60), -14)
        self.call(1, "walletpassphrase", PASSPHRASE, 600)
        self.world.wait_confirmed(self.call(1, "sendtoaddress", address, Decimal("1.5")))
        coin = self.call(1, "listunspent")[0]
        named = {"txid": coin["txid"], "vout": coin["vout"]}
        self.call(1, "lockunspent", False, [named], True)
        self.world.kill(1)
        self.restart(1)
        self.assertTrue(self.info(1)["locked"])
        [aside] = self.call(1, "listlockunspent")
        self.assertEqual({"txid": aside["txid"], "vout": aside["vout"]}, named)
        self.call(1, "lockunspent", True)
        self.merge_by_itself(2)
        balance = self.call(1, "getbalance")
        before = self.call(3, "getbalance")
        self.call(3, "restorewallet", phrase["mnemonic"], "", 200)
        until("node 3 has both", lambda: self.call(3, "getbalance") >= before + balance)
        self.assertEqual(self.info(3)["hdseedid"], phrase["seedid"])
        self.world.wait_final(self.call(3, "sendtoaddress", address, before + 1))
        text = self.written(1) + self.world.log(2) + self.world.log(3)
        secret = self.call(3, "dumpprivkey", self.call(3, "getnewaddress"))
        for each in (PASSPHRASE, phrase["mnemonic"], secret, "Traceback"):
            self.assertNotIn(each, text)
        self.assertTrue(self.call(3, "checkwallet")["ok"])

    def test_a_kill_while_it_is_encrypted_leaves_one_state_or_the_other(self) -> None:
        """Called first or second, wallet 2 has no passphrase yet; the kill falls in or behind Argon2id."""
        address = self.call(2, "getnewaddress", "kept")
        for delay_s in (0.1, 0.4):
            if self.info(2)["encrypted"]:
                break
            asked = threading.Thread(target=self.attempt, daemon=True)
            asked.start()
            asked.join(delay_s)
            self.world.kill(2)
            asked.join(WAIT_S)
            self.restart(2)
            self.assertTrue(self.call(2, "getaddressinfo", address)["ismine"])
        if self.info(2)["encrypted"]:
            self.call(2, "walletpassphrase", PASSPHRASE, 600)
        done = self.call(2, "checkwallet")
        self.assertEqual(done["secrets_checked"], done["keys"])

    def attempt(self) -> None:
        try:
            self.call(2, "encryptwallet", PASSPHRASE)
        except (ClientError, OSError) as error:
            self.said = str(error)
