"""What the indexes answer over RPC, and what is said when they cannot."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.index_world import Naive, blocks_of
from tests.rpc_world import FRIEND, RpcTestCase, address_of
from timed.codec.declare import maximum_size
from timed.index import reader
from timed.index.builder import IndexBuilder
from timed.index.reader import IndexReader
from timed.index.status import ReadIndexes
from timed.index.tables import ADDRESSES, INDEXES, NAMES, SPENT, TRANSACTIONS
from timed.light import layouts as light
from timed.primitives.transaction import Lock, OutPoint
from timed.rpc import blockstats, chainview
from timed.rpc.method import READ
from timed.rpc.table import METHODS
from timed.rpc.tables import blocks as blocks_table
from timed.rpc.tables import indexes as indexes_table

UNIT = Decimal(10**8)


class IndexesCase(RpcTestCase):
    """A chain of three blocks with payments, and all indexes over it."""

    enabled: tuple[str, ...] = NAMES

    def setUp(self) -> None:
        super().setUp()
        self.friend = address_of(FRIEND, self.world)
        self.lock = Lock.key_hash(FRIEND.public)
        for amount in ("12.5", "3", "1.25"):
            txid = self.world.result("sendtoaddress", self.friend, amount)
            self.world.result("waittransactionfinality", txid, 10)
            self.world.block()
        directory, store = self.mktemp(), self.world.store
        self.builders = {
            name: IndexBuilder(INDEXES[name], store, f"{directory}/{name}", self.world.genesis.hash)
            for name in self.enabled
        }
        shared = {name: (lambda builder=builder: builder.database) for name, builder in self.builders.items()}
        shown = IndexReader(directory, self.world.genesis.hash, self.enabled, shared)
        self.indexes = ReadIndexes(directory, store, shown)
        self.world.environment.indexes = lambda: self.indexes
        self.follow()
        self.naive = Naive(blocks_of(store))

    def tearDown(self) -> None:
        for builder in self.builders.values():
            builder.close()
        super().tearDown()

    def follow(self) -> None:
        for builder in self.builders.values():
            while not builder.step().done:
                continue


class Addresses(IndexesCase):
    def test_the_balance_and_its_history(self) -> None:
        shown = self.world.result("getaddressbalance", self.friend)
        history = self.naive.history(self.lock)
        self.assertEqual(
            (shown["balance"], shown["received"], shown["spent"]), (Decimal("16.75"), Decimal("16.75"), 0)
        )
        self.assertEqual((shown["txcount"], shown["utxocount"], shown["height"]), (3, 3, 3))
        self.assertEqual((shown["first_height"], shown["last_height"]), (history[0][1], history[-1][1]))

    def test_an_address_that_no_block_knows(self) -> None:
        stranger = self.world.result("getnewaddress")
        shown = self.world.result("getaddressbalance", stranger)
        self.assertEqual((shown["balance"], shown["txcount"], shown["first_height"]), (0, 0, None))
        self.assertEqual(self.world.result("getaddresshistory", stranger)["transactions"], [])
        self.assertEqual(self.world.result("getaddressutxos", stranger)["utxos"], [])
        self.assertEqual(self.world.error("getaddressbalance", "nonsense")["code"], -5)

    def pages(self, method: str, member: str, *more: Any) -> list[Any]:
        entries, cursor = [], ""
        for _ in range(10):
            page = self.world.result(method, self.friend, 2, cursor, *more)
            entries += page[member]
            if page["cursor"] is None:
                return entries
            cursor = page["cursor"]
        raise AssertionError("the pages do not end")

    def test_a_history_comes_in_pages_either_way(self) -> None:
        entries = self.pages("getaddresshistory", "transactions")
        wanted = self.naive.history(self.lock)
        self.assertEqual([entry["txid"] for entry in entries], [txid.hex() for txid, *_ in wanted])
        self.assertEqual(
            [entry["received"] for entry in entries], [Decimal(each[3]) / UNIT for each in wanted]
        )
        self.assertEqual([entry["time"] for entry in entries], [
            self.world.result("getblockheader", each[1])["time"] for each in wanted
        ])  # fmt: skip
        self.assertEqual(self.pages("getaddresshistory", "transactions", True), entries[::-1])

    def test_coins_come_in_pages(self) -> None:
        coins = self.pages("getaddressutxos", "utxos")
        found = {OutPoint(bytes.fromhex(each["txid"]), each["vout"]): each["amount"] * UNIT for each in coins}
        self.assertEqual(found, self.naive.coins(self.lock))

    def test_cursors_that_are_none(self) -> None:
        for cursor in ("x", "1", "1:", ":1", "-1:0", "9" * 60 + ":0", "1:" + "9" * 30, "١:١", "a" * 81):
            self.assertEqual(
                self.world.error("getaddresshistory", self.friend, 5, cursor)["code"], -8, cursor
            )
        for cursor in ("x", "00:1", "ab" * 32, "ab" * 32 + ":65536", "ab" * 32 + ":-1", "zz" * 32 + ":0"):
            self.assertEqual(self.world.error("getaddressutxos", self.friend, 5, cursor)["code"], -8, cursor)

    def test_without_the_index_a_scan_gives_the_same_coins(self) -> None:
        scanned = self.world.result("scantxoutset", "start", [self.friend])
        self.assertEqual(
            scanned["total_amount"], self.world.result("getaddressbalance", self.friend)["balance"]
        )


class Spenders(IndexesCase):
    def test_who_spent_an_output(self) -> None:
        for outpoint, (txid, height, position, number) in self.naive.spends().items():
            shown = self.world.result("getspendingtransaction", outpoint.txid.hex(), outpoint.index)
            self.assertEqual(
                (shown["spendingtxid"], shown["height"], shown["position"], shown["input"]),
                (txid.hex(), height, position, number),
            )
            self.assertEqual(shown["confirmations"], 3 - height + 1)
        unspent = next(iter(self.naive.coins(self.lock)))
        shown = self.world.result("getspendingtransaction", unspent.txid.hex(), unspent.index)
        self.assertEqual((shown["spendingtxid"], shown["confirmations"]), (None, 0))

    def test_of_outputs_that_a_block_spent_gettxspendingprevout_says_so_too(self) -> None:
        spends = self.naive.spends()
        asked = [{"txid": each.txid.hex(), "vout": each.index} for each in spends]
        begun = self.world.reader.counters.begun
        shown = self.world.result("gettxspendingprevout", asked)
        self.assertEqual(self.world.reader.counters.begun, begun + 1)
        for each, (txid, height, _, _) in zip(shown, spends.values(), strict=True):
            self.assertEqual((each["spendingtxid"], each["height"]), (txid.hex(), height))
            self.assertEqual((each["confirmations"], each["indexed_height"]), (3 - height + 1, 3))

    def test_what_waits_in_the_mempool_comes_before_the_blocks(self) -> None:
        unspent = self.world.result("sendtoaddress", self.friend, "1")
        [spent] = self.world.result("gettransaction", unspent)["vin"]
        place = {"txid": spent["txid"], "vout": spent["vout"]}
        free = {"txid": unspent, "vout": 0}
        shown = self.world.result("gettxspendingprevout", [place, free])
        self.assertEqual(shown, [{**place, "spendingtxid": unspent}, {**free, "indexed_height": 3}])

    def test_a_damaged_index_of_spends_takes_nothing_away(self) -> None:
        database = self.builders[SPENT].database
        assert database is not None
        outpoint = next(iter(self.naive.spends()))
        with database.writing() as records:
            records._transaction.put(outpoint.key, b"nonsense", db=database._tables["spends"])
        place = {"txid": outpoint.txid.hex(), "vout": outpoint.index}
        self.assertEqual(self.world.result("gettxspendingprevout", [place]), [place])


class Sums(IndexesCase):
    """What the index of transactions makes cheap, it does not change."""

    def test_supply_and_counts_come_from_it(self) -> None:
        self.patch(chainview.ChainView, "block", lambda view, height: self.fail("a block was read"))
        for height in range(4):
            count, fees, supply = self.naive.totals(height)
            shown = self.world.result("getsupply", height)
            self.assertEqual((shown["supply"], shown["fees_paid"]), (supply / UNIT, fees / UNIT))
        shown = self.world.result("getchaintxstats", 3)
        self.assertEqual(shown["txcount"], count)
        self.assertEqual(shown["window_tx_count"], count - 1)

    def test_a_confirmed_payment_shows_its_fee(self) -> None:
        for transaction in self.naive.blocks[1].transactions:
            taken = sum(self.naive.outputs[each].value for each in transaction.inputs)
            paid = taken - sum(output.value for output in transaction.outputs)
            shown = self.world.result("gettransaction", transaction.txid.hex())
            self.assertEqual(shown["fee"], paid / UNIT if transaction.inputs else None)

    def test_a_confirmed_transaction_shows_what_it_spent(self) -> None:
        for transaction in self.naive.blocks[1].transactions:
            shown = self.world.result("getrawtransaction", transaction.txid.hex(), 2)
            spent = [self.naive.outputs[each].value for each in transaction.inputs]
            self.assertEqual([each["prevout"]["value"] * UNIT for each in shown["vin"]], spent)
            self.assertEqual(
                shown.get("fee"), self.world.result("gettransaction", transaction.txid.hex())["fee"]
            )
            self.assertNotIn("fee", self.world.result("getrawtransaction", transaction.txid.hex(), 1))

    def test_a_damaged_index_takes_nothing_away(self) -> None:
        database = self.builders[TRANSACTIONS].database
        assert database is not None
        with database.writing() as records:
            for key, _ in list(records._transaction.cursor(db=database._tables["totals"])):
                records._transaction.put(key, b"nonsense", db=database._tables["totals"])
        txid = self.naive.blocks[1].transactions[1].txid.hex()
        self.assertIsNone(self.world.result("gettransaction", txid)["fee"])
        self.assertIn("table totals", self.world.error("getsupply", 1)["message"])

    def test_filters_and_statistics_need_no_old_block(self) -> None:
        without: dict[str, Any] = {}
        for enabled in ((), self.enabled):
            self.indexes.reader.enabled = frozenset(enabled)
            for method in ("getblockfilter", "getblockstats"):
                for height in range(4):
                    shown = self.world.result(method, height)
                    self.assertEqual(without.setdefault(f"{method} {height}", shown), shown)
        self.patch(chainview, "MAX_LOOKUPS", 0)
        self.world.result("getblockstats", 3)


class Missing(IndexesCase):
    """An index that is off, behind or damaged says so, with the way out."""

    enabled = (ADDRESSES,)

    def test_one_that_is_off_names_its_key(self) -> None:
        error = self.world.error("getspendingtransaction", "ab" * 32, 0)
        self.assertEqual((error["code"], error["data"]["rule"]), (-1, "index-needed"))
        self.assertIn("index.spent = yes", error["data"]["hint"])
        self.indexes.reader.enabled = frozenset()
        self.assertIn(
            "index.addresses = yes", self.world.error("getaddressbalance", self.friend)["data"]["hint"]
        )
        self.world.environment.indexes = lambda: None
        self.assertEqual(self.world.error("getaddressbalance", self.friend)["data"]["rule"], "index-needed")

    def test_one_that_is_behind_says_how_far_it_is(self) -> None:
        self.world.block()
        self.world.block()
        self.world.result("getaddressbalance", self.friend)
        self.world.block()
        error = self.world.error("getaddressbalance", self.friend)
        self.assertEqual((error["code"], error["data"]["rule"]), (-28, "index-syncing"))
        self.assertIn("at block 3 of 6", error["message"])
        self.follow()
        self.assertEqual(self.world.result("getaddressbalance", self.friend)["height"], 6)

    def test_one_that_is_not_there_yet(self) -> None:
        self.builders[ADDRESSES].close()
        error = self.world.error("getaddressbalance", self.friend)
        self.assertIn("at block -1 of 3", error["message"])

    def test_one_that_does_not_go_on_says_why(self) -> None:
        self.builders[ADDRESSES].close()
        self.indexes._sharpen = lambda status: type(status)(
            status.name, status.gives, True, 1, 3, 0, None, "the disk is full."
        )
        error = self.world.error("getaddressbalance", self.friend)
        self.assertEqual(error["data"]["rule"], "index-failed")
        self.assertIn("the disk is full", error["message"])

    def test_damage_is_named_and_the_node_answers_on(self) -> None:
        database = self.builders[ADDRESSES].database
        assert database is not None
        with database.writing() as records:
            for key, _ in list(records._transaction.cursor(db=database._tables["accounts"])):
                records._transaction.put(key, b"nonsense", db=database._tables["accounts"])
        error = self.world.error("getaddressbalance", self.friend)
        self.assertEqual(error["data"]["rule"], "index-damaged")
        self.assertIn("table accounts", error["message"])
        self.assertEqual(self.world.result("getblockcount"), 3)


class Info(IndexesCase):
    enabled = (TRANSACTIONS, SPENT)

    def test_every_index_is_listed(self) -> None:
        shown = self.world.result("getindexinfo")
        self.assertEqual(set(shown), {"txindex", *NAMES})
        self.assertEqual({name: one["enabled"] for name, one in shown.items()}, {
            "txindex": True, TRANSACTIONS: True, ADDRESSES: False, SPENT: True
        })  # fmt: skip
        for name in ("txindex", *self.enabled):
            self.assertEqual((shown[name]["synced"], shown[name]["best_block_height"]), (True, 3))
            self.assertEqual(shown[name]["progress"], 1)
        self.assertGreater(shown[SPENT]["bytes"], 0)
        self.assertEqual((shown[ADDRESSES]["synced"], shown[ADDRESSES]["best_block_height"]), (False, -1))

    def test_one_may_be_asked_for(self) -> None:
        self.assertEqual(list(self.world.result("getindexinfo", SPENT)), [SPENT])
        self.assertEqual(self.world.error("getindexinfo", "nosuch")["code"], -8)

    def test_reading_needs_no_more_than_read(self) -> None:
        for name in ("getaddressbalance", "getindexinfo", "scantxoutset", "getrewardreport"):
            self.assertEqual(METHODS[name].permission, READ)


class Bounds(SynchronousTestCase):
    """The table imports no database, so its bounds are numbers of their own: they must agree."""

    def test_they_are_those_of_what_answers(self) -> None:
        self.assertEqual(indexes_table.MAX_PAGE, reader.MAX_PAGE)
        self.assertEqual(blocks_table.MAX_PROVEN, light.MAX_PROVEN)
        self.assertEqual(set(indexes_table.INDEX_NAMES), {"txindex", *NAMES})
        self.assertIn(f"more than {blockstats.MAX_COUNTED} need", METHODS["getchaintxstats"].params[0].help)
        self.assertLessEqual(maximum_size(light.PROVEN), blocks_table.MAX_PROOF_BYTES)
