"""Real processes that are killed while they build indexes: the next one goes on, and nothing is wrong."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from decimal import Decimal
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.index_world import (
    GENESIS,
    Naive,
    RandomChain,
    blocks_of,
    builders_of,
    differences,
    finish,
    reader_of,
)
from tests.process_world import ROOT, ProcessWorld, until
from timed.index.reader import IndexReader
from timed.index.tables import ADDRESSES
from timed.params import REGTEST, UNITS_PER_TIME
from timed.primitives.address import decode_address
from timed.store.lmdb import LmdbStore
from timed.testnet.rpc import ClientError

KILLS = 8
BLOCKS = 40


class KilledBuilders(SynchronousTestCase):
    def test_a_builder_that_is_killed_again_and_again_under_load_ends_right(self) -> None:
        chance = random.Random(11)
        directory, indexes = os.path.abspath(self.mktemp()), os.path.abspath(self.mktemp())
        store = LmdbStore(directory, "regtest", GENESIS.hash)
        self.addCleanup(store.close)
        chain = RandomChain(store)

        def grow(count: int) -> None:
            for _ in range(count):
                chain.grow([(chance.randrange(99), chance.randrange(99)) for _ in range(4)])

        grow(BLOCKS)
        heights = []
        for _ in range(KILLS):
            child = self.child(os.path.join(directory, "db"), indexes)
            assert child.stdout is not None
            for _ in range(chance.randrange(1, 5)):
                heights.append(child.stdout.readline())
            load = threading.Thread(target=grow, args=(2,))
            load.start()
            child.kill()
            child.wait()
            child.stdout.close()
            load.join()
        self.assertNotIn("", heights)
        reached = [int(line.split()[0]) for line in heights]
        self.assertEqual(reached, sorted(reached))
        builders = builders_of(indexes, store)
        for builder in builders.values():
            self.addCleanup(builder.close)
            step = builder.step()
            self.assertIsNone(step.rebuilt)
            self.assertGreaterEqual(step.height, reached[-1])
            finish(builder)
        self.assertEqual(differences(reader_of(builders), Naive(blocks_of(store))), [])

    def test_a_reader_that_is_killed_keeps_no_page(self) -> None:
        directory = os.path.abspath(self.mktemp())
        store = LmdbStore(directory, "regtest", GENESIS.hash)
        self.addCleanup(store.close)
        chain = RandomChain(store)
        chain.grow([(0, 1)])
        code = "import sys; from timed.store.database import Database; s = Database(sys.argv[1], readonly=True); "
        code += "i = s.coins(); next(i); print('reading', flush=True); sys.stdin.read()"
        child = subprocess.Popen(
            [sys.executable, "-c", code, os.path.join(directory, "db")],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert child.stdout is not None
        self.assertEqual(child.stdout.readline(), "reading\n")
        environment = store._database._environment
        self.assertIn(f" {child.pid} ", environment.readers())
        child.kill()
        child.wait()
        child.stdout.close()
        chain.grow([])
        self.assertNotIn(f" {child.pid} ", environment.readers())

    def child(self, chain: str, indexes: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.index_child", chain, indexes],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip


class KilledNode(SynchronousTestCase):
    """A whole node with every index, killed while payments are made."""

    def setUp(self) -> None:
        settings = ("index.transactions=yes", "index.addresses=yes", "index.spent=yes")
        self.world = ProcessWorld(Path(self.mktemp()), 1, settings={1: settings})
        self.addCleanup(self.world.stop)
        self.world.restart(1)

    def call(self, method: str, *params: Any) -> Any:
        return self.world.call(1, method, *params)

    def synced(self) -> bool:
        shown = self.call("getindexinfo")
        return all(
            one["best_block_height"] == one["target_height"] and one["synced"] for one in shown.values()
        )

    def test_balances_and_spenders_are_right_after_a_kill(self) -> None:
        payee = self.call("getnewaddress")
        txids: list[str] = []
        for _ in range(2):
            for _ in range(5):
                txids.append(str(self.call("sendtoaddress", payee, Decimal("1.25"))))
            height = self.call("getblockcount")
            until("a block is made", lambda height=height: self.call("getblockcount") > height)  # type: ignore[misc]
            self.world.kill(1)
            self.world.restart(1)
        for txid in txids:
            self.world.wait_confirmed(txid)
        until("the indexes are complete", self.synced)
        shown = self.call("getaddressbalance", payee)
        self.assertEqual((shown["received"], shown["txcount"]), (Decimal("12.5"), len(txids)))
        history = self.call("getaddresshistory", payee)["transactions"]
        self.assertEqual({entry["txid"] for entry in history}, set(txids))
        for txid in txids[:3]:
            for number, spent in enumerate(self.call("getrawtransaction", txid, True)["vin"]):
                found = self.call("getspendingtransaction", spent["txid"], spent["vout"])
                self.assertEqual((found["spendingtxid"], found["input"]), (txid, number))
        counted, summed = self.world.at_one_height(
            1, lambda: (self.call("getsupply")["supply"], self.call("gettxoutsetinfo")["supply"])
        )
        self.assertEqual(counted, summed)
        counted = self.call("gettxoutsetinfo", "recount")
        self.assertEqual((counted["matches"], counted["differences"]), (True, []))
        scanned = self.call("scantxoutset", "start", [payee])
        self.assertEqual(scanned["total_amount"], shown["balance"])
        self.check_another_process(payee, shown["balance"])
        self.assertNotIn("is built again", self.world.log(1))
        self.assertRaises(ClientError, self.call, "getaddressbalance", "nonsense")

    def check_another_process(self, payee: str, balance: Decimal) -> None:
        """This process reads the index while the node builds it."""
        directory, genesis = self.world.node(1).datadir / "index", self.call("getblockhash", 0)
        reader = IndexReader(str(directory), bytes.fromhex(genesis), (ADDRESSES,))
        self.addCleanup(reader.close)
        assert reader.addresses is not None
        account = reader.addresses.account(decode_address(REGTEST, payee)).account
        assert account is not None
        self.assertEqual(Decimal(account.balance) / UNITS_PER_TIME, balance)
