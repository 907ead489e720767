"""What the methods answer, held against the node itself (reference F111: no surface that lies)."""

from __future__ import annotations

from decimal import Decimal

from tests.builders import wallet_key
from tests.rpc_world import FRIEND, RpcTestCase, World, address_of
from timed.errors import InvalidTransaction
from timed.events import TransactionDropped
from timed.primitives.block import Block, BlockHeader
from timed.primitives.transaction import Lock, Transaction
from timed.rpc import waiting

MISSING = "ab" * 32


class Chain(RpcTestCase):
    def test_blockchain_info_is_the_ledger_s(self) -> None:
        self.world.block()
        info = self.world.result("getblockchaininfo")
        tip, stored = self.world.node.ledger.tip, self.world.store.tip()
        self.assertEqual(info["height"], 1)
        self.assertEqual(info["bestblockhash"], tip.hash.hex())
        self.assertEqual(info["genesishash"], self.world.genesis.hash.hex())
        self.assertEqual(info["chain"], "regtest")
        self.assertEqual(info["time"], tip.header.time)
        self.assertIs(info["syncing"], False)
        self.assertEqual(info["supply"], Decimal(stored.supply) / 10**8)
        self.assertEqual(info["coins"], stored.coins)
        self.assertEqual(self.world.result("getblockcount"), 1)
        self.assertEqual(self.world.result("getbestblockhash"), tip.hash.hex())
        self.assertEqual(self.world.result("getblockhash", 0), info["genesishash"])

    def test_a_block_by_height_and_by_hash_is_the_same(self) -> None:
        self.world.block()
        block = self.world.node.ledger.block(1)
        by_height = self.world.result("getblock", 1)
        self.assertEqual(by_height, self.world.result("getblock", block.hash.hex()))
        self.assertEqual(by_height["tx"], [each.txid.hex() for each in block.transactions])
        self.assertEqual(by_height["nTx"], len(block.transactions))
        self.assertEqual(by_height["masternode_rewards"], 1)
        self.assertEqual(by_height["block_reward"], block.header.reward)
        self.assertEqual(by_height["reward"], Decimal(100))
        self.assertEqual(by_height["confirmations"], 1)
        self.assertEqual(by_height["certificate"]["weight"], 1)
        raw = bytes.fromhex(self.world.result("getblock", 1, 0))
        self.assertEqual(Block.decode(raw).hash, block.hash)
        decoded = self.world.result("getblock", 1, 2)["tx"]
        self.assertEqual([each["txid"] for each in decoded], by_height["tx"])
        self.assertEqual(decoded[0]["kind"], "coinbase")

    def test_genesis_has_neither_parent_nor_certificate(self) -> None:
        shown = self.world.result("getblock", 0)
        self.assertIsNone(shown["previousblockhash"])
        self.assertIsNone(shown["certificate"])
        self.assertEqual(shown["masternode_rewards"], 0)

    def test_a_header_shows_every_root(self) -> None:
        self.world.block()
        self.world.block()
        header = self.world.node.ledger.header(1)
        shown = self.world.result("getblockheader", 1)
        for name in (
            "tx_root", "utxo_root", "filter_root", "roster", "next_roster", "attendance_root", "evidence_root", "proposer",
        ):  # fmt: skip
            self.assertEqual(shown[name], getattr(header, name).hex(), name)
        self.assertEqual(shown["previousblockhash"], self.world.genesis.hash.hex())
        self.assertEqual(shown["nextblockhash"], self.world.node.ledger.header(2).hash.hex())
        self.assertEqual(shown["confirmations"], 2)
        raw = bytes.fromhex(self.world.result("getblockheader", 1, False))
        self.assertEqual(BlockHeader.decode(raw).hash, header.hash)

    def test_blocks_that_are_not_there(self) -> None:
        for method in ("getblock", "getblockheader"):
            self.assertEqual(self.world.error(method, 99)["code"], -5)
            self.assertEqual(self.world.error(method, MISSING)["code"], -5)
        self.assertEqual(self.world.error("getblockhash", 99)["code"], -8)

    def test_the_set_of_coins_has_its_digest_and_sum(self) -> None:
        self.world.block()
        info = self.world.result("gettxoutsetinfo")
        coins = list(self.world.store.coins())
        self.assertEqual(info["txouts"], len(coins))
        self.assertEqual(info["total_amount"], Decimal(sum(coin.output.value for _, coin in coins)) / 10**8)
        self.assertEqual(info["supply"], info["total_amount"])
        self.assertEqual(info["utxo_root"], self.world.node.ledger.tip.header.utxo_root.hex())
        self.assertEqual(len(info["digests"]), 1)
        self.assertEqual(info["bestblock"], self.world.result("getbestblockhash"))


class Payments(RpcTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.friend = address_of(FRIEND, self.world)

    def pay(self, amount: str = "12.5") -> str:
        txid: str = self.world.result("sendtoaddress", self.friend, amount)
        return txid

    def test_the_states_of_a_payment(self) -> None:
        txid = self.pay()
        seen = []
        for _ in range(200):
            shown = self.world.result("gettransaction", txid)
            if not seen or seen[-1] != shown["state"]:
                seen.append(shown["state"])
            self.world.clock.advance(0.05)
            if shown["state"] == "confirmed":
                break
        self.assertEqual(seen[-2:], ["final", "confirmed"])
        self.assertEqual(
            seen,
            [state for state in ("pending", "locked", "certified", "final", "confirmed") if state in seen],
        )
        self.assertEqual(shown["height"], 1)
        self.assertEqual(shown["confirmations"], 1)
        self.assertEqual(shown["blockhash"], self.world.result("getbestblockhash"))

    def test_a_final_payment_shows_the_weights_behind_it(self) -> None:
        shown = self.world.result("waittransactionfinality", self.pay(), 10)
        self.assertEqual((shown["state"], shown["final"], shown["timed_out"]), ("final", True, False))
        self.assertEqual((shown["votes"], shown["acknowledgements"], shown["total_weight"]), (1, 1, 1))
        self.assertEqual(shown["epoch"], 1)
        self.assertIsNone(shown["rejected"])

    def test_waiting_is_told_by_the_event_not_by_asking(self) -> None:
        txid = self.pay()
        asked = []
        status = self.world.backend.status
        self.patch(self.world.backend, "status", lambda txid: (asked.append(txid), status(txid))[1])
        shown = self.world.result("waittransactionfinality", txid, 10)
        self.assertTrue(shown["final"])
        self.assertEqual(len(asked), 2)

    def test_waiting_for_a_payment_that_comes_later(self) -> None:
        """The payment is made on a twin, so that its id is known before it is here."""
        transaction = World().wallet.prepare(wallet_lock(), 10**8, "", self.world.now()).payment.transaction
        begun = self.world.begin("waittransactionfinality", [transaction.txid.hex(), 5])
        self.world.result("sendrawtransaction", transaction.raw.hex())
        self.assertIn(b'"state":"final"', self.world.finish(begun).body)

    def test_a_wait_ends_with_its_time(self) -> None:
        before = self.world.clock.seconds()
        shown = self.world.result("waittransactionfinality", MISSING, 2)
        self.assertTrue(shown["timed_out"])
        self.assertIsNone(shown["state"])
        self.assertAlmostEqual(self.world.clock.seconds() - before, 2, delta=0.2)
        self.assertEqual(len(self.world.waiters), 0)

    def test_a_wait_ends_with_the_refusal(self) -> None:
        begun = self.world.begin("waittransactionfinality", [MISSING, 30])
        self.world.waiters.published(TransactionDropped(bytes.fromhex(MISSING), "signature"), 0)
        self.assertIn(b'"rejected":"signature"', self.world.finish(begun).body)

    def test_the_number_of_waiting_calls_is_bounded(self) -> None:
        self.patch(waiting, "MAX_WAITERS", 3)
        begun = [self.world.begin("waittransactionfinality", [MISSING, 1]) for _ in range(3)]
        self.assertEqual(self.world.error("waittransactionfinality", MISSING, 1)["code"], -9)
        self.assertEqual(self.world.waiters.refused, 1)
        for each in begun:
            self.world.finish(each)

    def test_mempool_methods_are_the_mempool_s(self) -> None:
        txid = self.pay()
        self.assertEqual(self.world.result("getrawmempool"), [txid])
        entry = self.world.result("getrawmempool", True)[txid]
        self.assertEqual(entry["fee"], Decimal("1.00000000"))
        info = self.world.result("getmempoolinfo")
        self.assertEqual((info["size"], info["bytes"]), (1, self.world.node.mempool.bytes))
        self.world.block()
        self.assertEqual(self.world.result("getmempoolinfo")["size"], 0)

    def test_raw_transactions_from_mempool_and_block(self) -> None:
        txid = self.pay()
        pending = self.world.result("getrawtransaction", txid)
        self.world.block()
        self.assertEqual(self.world.result("getrawtransaction", txid), pending)
        verbose = self.world.result("getrawtransaction", txid, True)
        self.assertEqual((verbose["hex"], verbose["txid"], verbose["confirmations"]), (pending, txid, 1))
        self.assertEqual(self.world.error("getrawtransaction", MISSING)["code"], -5)
        self.assertEqual(self.world.error("gettransaction", MISSING)["code"], -5)

    def test_gettxout_shows_outputs_until_they_are_spent(self) -> None:
        txid = self.pay()
        self.world.advance(1)
        for n in (0, 1):
            shown = self.world.result("gettxout", txid, n)
            self.assertEqual((shown["confirmations"], shown["state"]), (0, "Unspent"))
            self.assertIsNone(self.world.result("gettxout", txid, n, False))
        self.world.block()
        self.assertEqual(self.world.result("gettxout", txid, 0)["confirmations"], 1)
        [spent] = self.world.result("gettransaction", txid)["vin"]
        self.assertIsNone(self.world.result("gettxout", spent["txid"], spent["vout"]))
        self.assertIsNone(self.world.result("gettxout", txid, 7))
        self.assertIsNone(self.world.result("gettxout", MISSING, 0))

    def test_a_coin_that_is_being_spent_shows_its_spender(self) -> None:
        txid = self.pay()
        self.world.advance(1)
        [spent] = self.world.result("gettransaction", txid)["vin"]
        self.assertIsNone(self.world.result("gettxout", spent["txid"], spent["vout"]))
        shown = self.world.result("gettxout", spent["txid"], spent["vout"], False)
        self.assertEqual((shown["state"], shown["spender"]), ("SpentFinalized", txid))

    def test_a_raw_payment_by_hand(self) -> None:
        [coin, *_] = self.world.result("listunspent")
        raw = self.world.result(
            "createrawtransaction", [{"txid": coin["txid"], "vout": coin["vout"]}], {self.friend: "9999"}
        )
        self.assertEqual(self.world.result("decoderawtransaction", raw)["witnesses"], [])
        unsigned = self.world.error("sendrawtransaction", raw)
        self.assertEqual((unsigned["code"], unsigned["data"]["rule"]), (-26, "witness-missing"))
        signed = self.world.result("signrawtransactionwithwallet", raw)
        self.assertTrue(signed["complete"])
        txid = self.world.result("sendrawtransaction", signed["hex"])
        self.assertEqual(self.world.result("sendrawtransaction", signed["hex"]), txid)
        self.assertTrue(self.world.result("waittransactionfinality", txid, 5)["final"])
        self.world.block()
        self.assertEqual(self.world.result("sendrawtransaction", signed["hex"]), txid)

    def test_signing_what_this_wallet_has_no_key_for(self) -> None:
        txid = self.pay()
        self.world.block()
        outputs = self.world.result("gettransaction", txid)["vout"]
        [theirs] = [each["n"] for each in outputs if each["scriptPubKey"]["address"] == self.friend]
        raw = self.world.result("createrawtransaction", [{"txid": txid, "vout": theirs}], {self.friend: 1})
        signed = self.world.result("signrawtransactionwithwallet", raw)
        self.assertFalse(signed["complete"])
        self.assertEqual(signed["errors"][0]["vout"], theirs)
        raw = self.world.result("createrawtransaction", [{"txid": MISSING, "vout": 0}], {self.friend: 1})
        self.assertIn(
            "not found", self.world.result("signrawtransactionwithwallet", raw)["errors"][0]["error"]
        )

    def test_rejections_name_their_rule(self) -> None:
        good = World().wallet.prepare(wallet_lock(), 10**8, "", self.world.now()).payment.transaction
        witness = good.witnesses[0]
        forged = good.with_witnesses([type(witness)(witness.public_key, bytes(64))])
        for raw, code, rule in (
            (forged.encode().hex(), -26, "signature"),
            (good.raw.hex() + "00", -22, None),
            ("00", -22, None),
            (_with_other_input(self.world).hex(), -26, "input-missing"),
        ):
            error = self.world.error("sendrawtransaction", raw)
            self.assertEqual(error["code"], code)
            self.assertTrue(error["data"]["rule"])
            if rule is not None:
                self.assertEqual(error["data"]["rule"], rule)
        self.assertEqual(len(self.world.waiters), 0)

    def test_a_double_spend_is_refused_with_its_rule(self) -> None:
        first = self.world.wallet.prepare(wallet_lock(), 10**8, "", self.world.now())
        second = World().wallet.prepare(wallet_lock(), 2 * 10**8, "", self.world.now())
        self.assertEqual(first.payment.transaction.inputs, second.payment.transaction.inputs)
        self.world.result("sendrawtransaction", first.payment.transaction.raw.hex())
        error = self.world.error("sendrawtransaction", second.payment.transaction.raw.hex())
        self.assertEqual((error["code"], error["data"]["rule"]), (-26, "mempool-conflict"))
        self.assertTrue(error["data"]["hint"])


class WalletMethods(RpcTestCase):
    def test_the_payment_is_written_before_the_node_sees_it(self) -> None:
        order: list[str] = []
        submit, write = self.world.backend.submit, self.world.write_wallet
        self.patch(self.world.backend, "submit", lambda raw: (order.append("submit"), submit(raw))[1])
        self.patch(self.world.environment, "write_wallet", lambda: (order.append("write"), write())[1])
        txid = self.world.result("sendtoaddress", address_of(FRIEND, self.world), 1, "for tea")
        self.assertEqual(order, ["write", "submit"])
        payments = [
            record["payment"] for group in self.world.written for record in group if "payment" in record
        ]
        self.assertEqual(
            [Transaction.decode(bytes.fromhex(each["hex"])).txid.hex() for each in payments], [txid]
        )
        self.assertEqual(self.world.wallet.payment(bytes.fromhex(txid)).comment, "for tea")

    def test_balance_and_coins_agree(self) -> None:
        self.world.result("sendtoaddress", address_of(FRIEND, self.world), "3.00000001")
        self.world.advance(1)
        balance = self.world.result("getbalance")
        coins = self.world.result("listunspent")
        self.assertEqual(sum(each["amount"] for each in coins), balance)
        self.assertEqual({each["confirmations"] for each in coins}, {0, 1})
        self.assertTrue(all(each["spendable"] for each in coins))
        self.assertEqual(balance, Decimal(1_000_000) - Decimal("3.00000001") - 1)

    def test_coins_by_confirmations_and_address(self) -> None:
        self.assertEqual(len(self.world.result("listunspent", 1)), 100)
        self.assertEqual(self.world.result("listunspent", 2), [])
        self.assertEqual(self.world.result("listunspent", 0, 0), [])
        own = address_of(wallet_key(1), self.world)
        self.assertEqual(len(self.world.result("listunspent", 0, 9, [own])), 100)
        self.assertEqual(self.world.result("listunspent", 0, 9, [self.world.result("getnewaddress")]), [])
        self.assertEqual(self.world.result("getbalance", own), Decimal(1_000_000))
        foreign = self.world.error("getbalance", address_of(FRIEND, self.world))
        self.assertEqual((foreign["code"], foreign["data"]["rule"]), (-5, "address-foreign"))

    def test_new_addresses_are_new_and_their_payments_count(self) -> None:
        addresses = [self.world.result("getnewaddress", f"no {number}") for number in range(3)]
        self.assertEqual(len(set(addresses)), 3)
        self.world.result("sendtoaddress", addresses[0], 7)
        self.world.advance(1)
        self.assertEqual(self.world.result("getbalance", addresses[0]), Decimal(7))
        [coin] = self.world.result("listunspent", 0, 9, [addresses[0]])
        self.assertEqual(coin["label"], "no 0")

    def test_validateaddress(self) -> None:
        own = self.world.result("getnewaddress", "mine")
        shown = self.world.result("validateaddress", own)
        self.assertEqual((shown["isvalid"], shown["ismine"], shown["label"]), (True, True, "mine"))
        shown = self.world.result("validateaddress", address_of(FRIEND, self.world))
        self.assertEqual((shown["isvalid"], shown["ismine"]), (True, False))
        for text in ("", "x", own[:-1], own.replace("TIMER", "TIME1"), own + "1", "TIMER" + "0" * 33):
            shown = self.world.result("validateaddress", text)
            self.assertEqual((shown["isvalid"], shown["scriptPubKey"]), (False, ""))
            self.assertTrue(shown["error"])

    def test_insufficient_funds_say_how_much_is_there(self) -> None:
        error = self.world.error("sendtoaddress", address_of(FRIEND, self.world), 2_000_000)
        self.assertEqual(error["code"], -6)
        self.assertEqual(error["data"]["available"], "1000000.00000000")
        self.assertEqual(self.world.written, [])

    def test_a_refused_payment_is_abandoned_on_disk_and_its_coins_are_free(self) -> None:
        def refuse(raw: bytes) -> bytes:
            raise InvalidTransaction("mempool-full")

        self.patch(self.world.backend, "submit", refuse)
        error = self.world.error("sendtoaddress", address_of(FRIEND, self.world), 1)
        self.assertEqual((error["code"], error["data"]["rule"]), (-26, "mempool-full"))
        self.assertIn("abandon", self.world.written[-1][-1])
        self.assertEqual(self.world.result("getbalance"), Decimal(1_000_000))

    def test_without_a_wallet_its_methods_say_so(self) -> None:
        world = World(with_wallet=False)
        for method, params in (("getbalance", []), ("getnewaddress", []), ("listunspent", [])):
            self.assertEqual(world.error(method, *params)["data"]["rule"], "no-wallet")
        self.assertFalse(world.result("validateaddress", address_of(FRIEND, world))["ismine"])


class Masternodes(RpcTestCase):
    def test_the_roster_is_the_ledger_s(self) -> None:
        shown = self.world.result("masternodelist")
        [member] = self.world.genesis.members.members
        self.assertEqual(
            (shown["height"], shown["total"], shown["total_weight"], shown["quorum"]), (1, 1, 1, 1)
        )
        [listed] = shown["masternodes"]
        self.assertEqual(listed["operator"], member.operator_key.hex())
        self.assertEqual(listed["wallet_address"], address_of(wallet_key(1), self.world))
        self.assertEqual((listed["tier"], listed["is_self"], listed["connected"]), ("Free", True, True))

    def test_rosters_of_other_heights(self) -> None:
        self.assertEqual(self.world.result("masternodelist", 2)["height"], 2)
        self.assertEqual(self.world.error("masternodelist", 3)["code"], -8)

    def test_status_of_a_member_and_of_others(self) -> None:
        shown = self.world.result("masternodestatus")
        self.assertEqual((shown["status"], shown["index"], shown["voting"]), ("active", 0, True))
        self.assertEqual(World(member=False).result("masternodestatus")["status"], "silent")
        self.world.environment.identity.operator = None
        self.assertEqual(self.world.result("masternodestatus")["status"], "Not a masternode")

    def test_consensus_info(self) -> None:
        shown = self.world.result("getconsensusinfo")
        self.assertEqual((shown["type"], shown["masternodes"], shown["quorum"]), ("BFT", 1, 1))
        self.assertEqual((shown["height"], shown["epoch"], shown["voting"]), (0, 1, True))
        self.assertGreater(shown["next_slot"], self.world.genesis.time)


class Network(RpcTestCase):
    def test_alone_there_are_no_connections(self) -> None:
        self.assertEqual(self.world.result("getpeerinfo"), [])
        self.assertEqual(self.world.result("getconnectioncount"), 0)
        info = self.world.result("getnetworkinfo")
        self.assertEqual((info["connections"], info["version"]), (0, 100))
        self.assertEqual(info["nodeid"], self.world.environment.identity.node_id.hex())
        self.assertEqual(info["relayfee"], Decimal("0.001"))


class Control(RpcTestCase):
    def test_uptime_counts_seconds(self) -> None:
        self.world.clock.advance(65.5)
        self.assertEqual(self.world.result("uptime"), 65)


def wallet_lock() -> Lock:
    return Lock.key_hash(FRIEND.public)


def _with_other_input(world: World) -> bytes:
    """A good transaction with the first byte of its input's id changed."""
    raw = bytearray(World().wallet.prepare(wallet_lock(), 10**8, "", world.now()).payment.transaction.raw)
    raw[5] ^= 0xFF
    return bytes(raw)
