"""Every example of help and of docs/rpc, typed as it stands there: it succeeds, or ends in the error named here.

What stands for a value of the reader's own is filled in from a regtest chain with a wallet and all indexes.
The words go the way of the command line, so that its conversion of arguments is tested as well.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from decimal import Decimal
from typing import Any

from twisted.internet.defer import maybeDeferred
from twisted.trial.unittest import SynchronousTestCase

from tests.builders import wallet_key
from tests.feed_world import RpcFeed
from tests.rpc_world import FRIEND, address_of
from tests.wallet_world import PASSPHRASE, KeysWorld
from timed.app.config import load, override
from timed.app.live import LiveConfig
from timed.app.reload import Reloads
from timed.cli.words import arguments
from timed.index.builder import IndexBuilder
from timed.index.reader import IndexReader
from timed.index.status import ReadIndexes
from timed.index.tables import INDEXES, NAMES
from timed.monitor.alerts import Alarms
from timed.monitor.watch import Watch
from timed.rpc.documentation import pages
from timed.rpc.table import METHODS

ENCRYPTED = {"walletpassphrase", "walletpassphrasechange", "walletlock"}
"""These need a wallet with a passphrase."""
STATED = {
    "dumprecording": "no-recording",
    "disconnectnode": "not-connected",
    "abandontransaction": "payment-final",
    "confirmconfig": "config-pending",
}
"""Examples that end in an error, since there is no peer and no change before them: the rule."""
PLACEHOLDER = re.compile(r"<[a-z0-9]+>|TIMER1\.\.\.|/mnt/usb/")


class Example(KeysWorld):
    """A chain of two blocks, one payment in the mempool, and an index of everything."""

    def __init__(self, directory: str) -> None:
        super().__init__(os.path.join(directory, "wallet.json"))
        self.directory = directory
        self.friend = address_of(FRIEND, self)
        self.mine = self.result("getnewaddress", "shop")
        self.confirmed = self.pay("12.5")
        self.block()
        self.pay("2")
        self.block()
        self.pending = self.pay("1")
        self.builders = {
            name: IndexBuilder(INDEXES[name], self.store, f"{directory}/index/{name}", self.genesis.hash)
            for name in NAMES
        }
        for builder in self.builders.values():
            while not builder.step().done:
                continue
        shared = {name: (lambda builder=builder: builder.database) for name, builder in self.builders.items()}
        shown = IndexReader(f"{directory}/index", self.genesis.hash, NAMES, shared)
        indexes = ReadIndexes(f"{directory}/index", self.store, shown)
        self.environment.indexes = lambda: indexes
        place = override("node.datadir", directory, "--set")
        self.environment.configuration = LiveConfig(load(None, [place]), self.clock, maybeDeferred)
        self.environment.reloads = Reloads()
        alarms = Alarms(lambda alert: None)
        self.environment.alarms = lambda: alarms
        watch = Watch(self.clock, self.clock.seconds, self.now)
        self.environment.watch = lambda: watch
        self.events = RpcFeed(self, directory)

    def pay(self, amount: str) -> str:
        txid: str = self.result("sendtoaddress", self.friend, amount)
        self.result("waittransactionfinality", txid, 10)
        return txid

    def close(self) -> None:
        self.events.close()
        for builder in self.builders.values():
            builder.close()
        super().close()

    def raw(self, *, signed: bool = True) -> str:
        """A transaction that is not sent."""
        coin = max(self.result("listunspent"), key=lambda coin: Decimal(coin["amount"]))
        left = str(coin["amount"] - self.result("getfeeschedule")["largest_minimum"])
        raw: str = self.result(
            "createrawtransaction", [{"txid": coin["txid"], "vout": coin["vout"]}], {self.mine: left}
        )
        whole: str = self.result("signrawtransactionwithwallet", raw)["hex"]
        return whole if signed else raw

    def hex_for(self, name: str) -> str:
        if name == "verifytxoutproof":
            return str(self.result("gettxoutproof", [self.confirmed]))
        if name == "importprivkey":
            return wallet_key(40).seed.hex()
        if name in ("importpubkey", "createmultisig"):
            return wallet_key(41 + self.count()).public.hex()
        return self.raw(signed=name not in ("exporttransaction", "fundrawtransaction"))

    def count(self) -> int:
        self._counted = getattr(self, "_counted", 0) + 1
        return self._counted

    def payment_for(self, name: str) -> str:
        text: str = self.result("exporttransaction", self.raw(signed=name == "finalizeexported"))
        return text

    def value(self, method: str, placeholder: str) -> str:
        """What a reader would put there."""
        if placeholder == "<txid>":
            in_a_block = method in (
                "gettxoutproof",
                "getspendingtransaction",
                "createrawtransaction",
                "gettxout",
            )
            return self.confirmed if in_a_block else self.pending
        if placeholder == "<coin>":
            return str(next(coin["txid"] for coin in self.result("listunspent") if coin["vout"] == 0))
        if placeholder == "<hex>":
            return self.hex_for(method)
        if placeholder == "<payment>":
            return self.payment_for(method)
        if placeholder == "<base64>":
            return str(self.result("signmessage", self.mine, "I am it"))
        if placeholder == "/mnt/usb/":
            return f"{self.directory}/"
        fixed = {
            "<address>": self.friend,
            "TIMER1...": self.friend if method == "importaddress" else self.mine,
            "<passphrase>": PASSPHRASE,
            "<another>": "another horse",
        }
        return fixed[placeholder]

    def filled(self, method: str, word: str) -> str:
        def put(match: re.Match[str]) -> str:
            value = self.value(method, match[0])
            inside = word.startswith(("[", "{"))
            return json.dumps(value)[1:-1] if inside else value

        return PLACEHOLDER.sub(put, word)


class Examples(SynchronousTestCase):
    def world(self, name: str) -> Example:
        directory = os.path.abspath(self.mktemp())
        os.mkdir(directory)
        world = Example(directory)
        if name in ENCRYPTED:
            world.result("encryptwallet", PASSPHRASE)
        if name == "restorewallet":
            world.result("backupwallet", f"{directory}/wallet-backup.json")
        return world

    def call(self, name: str, example: str) -> dict[str, Any]:
        world = self.world(name)
        try:
            words = [world.filled(name, word) for word in shlex.split(example)]
            return world.exchange(name, arguments(name, words, named=False))
        finally:
            # At once: each has databases, and each of those asks for a lot of address space.
            world.close()
            self.assertEqual(world.failures, [])

    def check(self, category: str) -> None:
        for name, method in METHODS.items():
            for example in method.examples:
                if method.category != category:
                    continue
                response = self.call(name, example)
                if name in STATED:
                    self.assertEqual(
                        response.get("error", {}).get("data", {}).get("rule"), STATED[name], name
                    )
                else:
                    self.assertNotIn("error", response, (name, example, response.get("error")))

    def test_of_the_chain(self) -> None:
        self.check("chain")

    def test_of_transactions(self) -> None:
        self.check("transactions")

    def test_of_the_wallet(self) -> None:
        self.check("wallet")

    def test_of_the_network(self) -> None:
        self.check("network")

    def test_of_masternodes(self) -> None:
        self.check("masternodes")

    def test_of_events(self) -> None:
        self.check("events")

    def test_of_control(self) -> None:
        self.check("control")


class Coverage(SynchronousTestCase):
    def test_every_category_has_its_test(self) -> None:
        tested = {name.rsplit("_", 1)[1] for name in dir(Examples) if name.startswith("test_of_")}
        self.assertEqual({method.category for method in METHODS.values()}, tested)

    def test_every_method_stands_in_the_pages_with_its_example(self) -> None:
        text = "\n".join(pages().values())
        for name, method in METHODS.items():
            for example in method.examples:
                self.assertIn(f"    timed-cli {name} {example}".rstrip() + "\n", text)

    def test_a_method_with_needed_arguments_has_an_example_with_arguments(self) -> None:
        for name, method in METHODS.items():
            if any(param.required for param in method.params):
                self.assertTrue(method.example, name)
