"""What a payment lacks, and what the mempool would say: over RPC, with members that are not there."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.rpc_world import FRIEND, RpcTestCase, World
from timed.node.admission import Offer
from timed.node.voting import Voting
from timed.primitives.certificate import BundleCertificate
from timed.primitives.transaction import Lock, OutPoint, Output, Transaction
from timed.rpc.waiting import Waiters
from timed.wire.messages import TransactionBroadcast

COIN = 10**8
FRIEND_LOCK = Lock.key_hash(FRIEND.public)


def payment(world: World, units: int = COIN) -> Transaction:
    """A signed payment of the world's wallet; two worlds of one kind spend the same outputs."""
    return world.wallet.prepare(FRIEND_LOCK, units, "", world.now()).payment.transaction


class Alone(SynchronousTestCase):
    """One of three members, without the others: nothing is certified."""

    def setUp(self) -> None:
        self.world = World(members=3)
        self.first = payment(self.world)
        self.second = payment(World(members=3), 2 * COIN)
        self.assertEqual(self.first.inputs, self.second.inputs)
        self.place = self.first.inputs[0]

    def tearDown(self) -> None:
        self.assertEqual(self.world.failures, [])

    def send(self, transaction: Transaction) -> str:
        txid: str = self.world.result("sendrawtransaction", transaction.raw.hex())
        self.world.advance(2)
        return txid

    def arrive(self, transaction: Transaction) -> str:
        """As a peer brings it: rivals are let in as proof of a double spend."""
        driver = self.world.driver
        driver.operate(self.world.node.admission.offer, Offer(transaction, b"p" * 32), driver.clock())
        driver.operate(self.world.node.wake, driver.clock())
        self.world.advance(2)
        return transaction.txid.hex()

    def test_what_a_peer_has_brought_is_kept_for_the_caller(self) -> None:
        """No block may end the only record that this node has of it."""
        node = self.world.node
        node.chain.fastpath.paused = True
        txid = self.arrive(self.first)
        self.assertEqual(self.world.result("gettransaction", txid)["state"], "pending")
        self.assertEqual(node.submissions.outliving(()), [])
        self.assertEqual(self.send(self.first), txid)
        self.assertEqual(node.submissions.outliving(()), [TransactionBroadcast(transaction=self.first)])

    def test_the_weight_that_lacks_and_the_members_that_are_silent(self) -> None:
        txid = self.send(self.first)
        shown = self.world.result("explaintransaction", txid)
        self.assertEqual((shown["state"], shown["final"], shown["certifiable"]), ("locked", False, True))
        self.assertEqual(
            (shown["weight"]["total"], shown["weight"]["needed"], shown["weight"]["votes_missing"]), (3, 2, 1)
        )
        [vote] = shown["votes"]
        own = self.world.environment.identity.operator
        self.assertEqual(vote["operator"], own.hex() if own else "")
        self.assertGreaterEqual(vote["time_ms"], self.world.start_us // 1000)
        self.assertEqual([each["connected"] for each in shown["not_voted"]], [False, False])
        self.assertIn("1 of 2 have come", shown["summary"])
        self.assertIn(
            "Not connected to this node, and without a vote: 2 members of weight 2.", shown["summary"]
        )
        self.assertEqual((shown["conflicts"], shown["parents"], shown["frozen"]), ([], [], None))

    def test_which_lock_stands_in_the_way(self) -> None:
        holder = self.send(self.first)
        txid = self.arrive(self.second)
        shown = self.world.result("explaintransaction", txid)
        [rival] = shown["conflicts"]
        self.assertEqual(rival["outpoint"], {"txid": self.place.txid.hex(), "vout": self.place.index})
        self.assertEqual((rival["txid"], rival["state"], rival["locked"]), (holder, "locked", True))
        self.assertEqual((rival["weight"], len(rival["voters"])), (1, 1))
        self.assertEqual(len(shown["not_voted"]), 3)
        [mine] = [each for each in shown["not_voted"] if each["is_self"]]
        self.assertEqual((mine["voted_for"], mine["connected"]), (holder, True))
        self.assertIn(
            f"{holder} holds the lock on {self.place.txid.hex()}:{self.place.index}", shown["summary"]
        )
        self.assertTrue(shown["certifiable"], "the other two are a quorum")
        other = self.world.result("explaintransaction", holder)
        self.assertEqual([(each["txid"], each["locked"]) for each in other["conflicts"]], [(txid, False)])

    def test_too_many_votes_for_another_make_it_impossible(self) -> None:
        """The others vote for the rival: what is left is no quorum."""
        txid, rival = self.send(self.second), self.first.txid
        self.arrive(self.first)
        count = self.world.node.chain.fastpath.tallies[rival].votes
        own = next(iter(self.world.node.chain.fastpath.tallies[self.second.txid].votes.signers.items()))
        count.signers.update({member: own[1] for member in range(3) if member != own[0]})
        count.weight = 2
        shown = self.world.result("explaintransaction", rival.hex())
        self.assertTrue(shown["certifiable"])
        lost = self.world.result("explaintransaction", txid)
        self.assertEqual((lost["certifiable"], lost["weight"]["votes"]), (False, 1))
        self.assertIn("cannot be certified before the next block", lost["summary"])

    def test_a_payment_with_an_unknown_parent_names_it(self) -> None:
        child = Transaction.make(
            inputs=[OutPoint(b"\x07" * 32, 0)],
            outputs=[Output(COIN, FRIEND_LOCK)],
            witnesses=self.first.witnesses,
        )
        txid = self.arrive(child)
        shown = self.world.result("explaintransaction", txid)
        self.assertEqual(shown["state"], "waiting")
        self.assertEqual(shown["parents"], [{"txid": "07" * 32, "state": "unknown"}])
        self.assertIn("07" * 32, shown["summary"])

    def test_an_unknown_transaction_is_said_to_be_unknown(self) -> None:
        for method in ("explaintransaction", "gettransactionfinality"):
            error = self.world.error(method, "00" * 32)
            self.assertEqual((error["code"], error["data"]["rule"]), (-5, "transaction-unknown"))

    def test_who_spends_an_output_and_what_else_does(self) -> None:
        first, second = self.send(self.first), self.arrive(self.second)
        place = {"txid": self.place.txid.hex(), "vout": self.place.index}
        [found] = self.world.result("gettxspendingprevout", [place])
        self.assertEqual(found, {**place, "spendingtxid": first, "conflicts": [second]})
        [free] = self.world.result("gettxspendingprevout", [{"txid": first, "vout": 0}])
        self.assertEqual(free, {"txid": first, "vout": 0})
        self.assertEqual(self.world.result("getmempoolentry", first)["conflicts"], [second])

    def test_a_member_without_the_others_is_warned(self) -> None:
        for method in ("getblockchaininfo", "getnetworkinfo"):
            self.assertIn("Members of weight 1 out of 3", self.world.result(method)["warnings"])


class Held:
    """Threads of a store whose disk is slow: `release` lets it write."""

    def __init__(self) -> None:
        self.work: list[Callable[[], object]] = []

    def callInThread(self, func: Callable[..., object], *args: object) -> None:
        self.work.append(lambda: func(*args))

    def release(self) -> None:
        work, self.work = self.work, []
        for each in work:
            each()


class Durability(SynchronousTestCase):
    """Nothing is said that a crash could undo."""

    def world(self, members: int) -> tuple[World, Held]:
        world, held = World(members=members), Held()
        self.patch(world.driver.store_queue, "_threads", held)
        return world, held

    def test_a_lock_is_not_shown_before_it_is_durable(self) -> None:
        world, held = self.world(3)
        first, second = payment(world), payment(World(members=3), 2 * COIN)
        world.driver.submit(first.raw)
        world.advance(2)
        place = first.inputs[0]
        self.assertEqual(world.node.chain.fastpath.lock_of(place), first.txid)
        voting = Voting(world.node.chain, world.node.views)
        self.assertEqual([rival.locked for rival in voting.of(second.txid, second).rivals], [False])
        self.assertEqual(voting.of(first.txid, first).votes.weight, 0)
        held.release()
        world.advance(1)
        self.assertEqual([rival.locked for rival in voting.of(second.txid, second).rivals], [True])
        self.assertEqual(voting.of(first.txid, first).votes.weight, 1)

    def test_a_certificate_is_not_shown_before_it_is_durable(self) -> None:
        world, held = self.world(1)
        sent = payment(world)
        world.driver.submit(sent.raw)
        tallies, waited = world.node.chain.fastpath.tallies, 0
        for _ in range(40):
            world.advance(0.1)
            tally, shown = tallies.get(sent.txid), world.backend.voting(sent.txid)
            state = world.backend.status(sent.txid)
            durable = state is not None and state.state in ("certified", "final")
            self.assertEqual(shown.votes.certificate is not None, durable)
            waited += tally is not None and tally.certified and not durable
            held.release()
        self.assertGreater(waited, 0)


class Finality(RpcTestCase):
    def pay(self, units: int = COIN) -> str:
        txid: str = self.world.result("sendrawtransaction", payment(self.world, units).raw.hex())
        self.world.result("waittransactionfinality", txid, 10)
        return txid

    def test_a_final_payment_has_its_proof(self) -> None:
        txid = self.pay()
        shown = self.world.result("gettransactionfinality", txid, True)
        self.assertTrue(shown["final"])
        roster = self.world.backend.roster(1)
        for kind in ("votes", "acknowledgements"):
            part = shown[kind]
            self.assertEqual((part["weight"], part["missing"], part["certificate"]), (1, 0, True))
            self.assertLessEqual(part["first_ms"], part["quorum_ms"])
            certificate = BundleCertificate.decode(bytes.fromhex(part["proof"]))
            self.assertEqual(certificate.target.hex(), txid)
            self.assertEqual(len(certificate.signature_items(roster)), 1)
        self.assertLess(shown["votes"]["quorum_ms"], shown["acknowledgements"]["quorum_ms"] + 1)
        self.assertNotIn("proof", self.world.result("gettransactionfinality", txid)["votes"])
        self.assertIn("It is final", self.world.result("explaintransaction", txid)["summary"])

    def test_in_a_block_the_block_s_certificate_is_the_proof(self) -> None:
        txid = self.pay()
        self.world.block()
        shown = self.world.result("gettransactionfinality", txid)
        self.assertEqual((shown["state"], shown["blockcertificate"]["signers"]), ("confirmed", [0]))
        told = self.world.result("explaintransaction", txid)
        self.assertIn("block 1", told["summary"])
        self.assertIn("1 block deep", told["summary"])

    def test_all_is_well_without_a_warning(self) -> None:
        self.assertEqual(self.world.result("getblockchaininfo")["warnings"], "")

    def test_a_full_disk_and_a_wrong_clock_are_warnings(self) -> None:
        self.patch(self.world.backend, "store_failure", lambda: "the disk is full")
        self.patch(self.world.environment.peering, "clock_offset", lambda: -6_000_000)
        shown = self.world.result("getnetworkinfo")["warnings"]
        self.assertEqual(
            shown, "Nothing is written any more: the disk is full. This machine's clock is off by 6.0 s."
        )


class Acceptance(RpcTestCase):
    def ask(self, *transactions: Transaction) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.world.result(
            "testmempoolaccept", [each.raw.hex() for each in transactions]
        )
        return found

    def test_what_would_be_taken_is_not_taken(self) -> None:
        good = payment(self.world)
        [shown] = self.ask(good)
        self.assertEqual((shown["txid"], shown["allowed"]), (good.txid.hex(), True))
        self.assertEqual(shown["fees"]["base"], Decimal(self.fee(good)) / COIN)
        self.assertEqual(len(self.world.backend.mempool), 0)
        self.assertIsNone(self.world.backend.status(good.txid))
        self.assertEqual(self.world.node.chain.fastpath.tallies, {})
        self.world.advance(2)
        self.assertEqual(len(self.world.backend.mempool), 0)
        self.assertEqual(self.world.result("sendrawtransaction", good.raw.hex()), good.txid.hex())

    def fee(self, transaction: Transaction) -> int:
        coins = [self.world.backend.coin(outpoint) for outpoint in transaction.inputs]
        received = sum(coin.output.value for coin in coins if coin is not None)
        return received - sum(output.value for output in transaction.outputs)

    def test_the_rule_is_the_one_that_sending_gives(self) -> None:
        """Whatever is refused when it is sent, is refused with the same rule when it is asked for."""
        good = payment(self.world)
        witness = good.witnesses[0]
        forged = good.with_witnesses([type(witness)(witness.public_key, bytes(64))])
        dust = Transaction.make(
            inputs=good.inputs, outputs=[Output(1, FRIEND_LOCK)], witnesses=good.witnesses
        )
        greedy = Transaction.make(
            inputs=good.inputs, outputs=[Output(2**60, FRIEND_LOCK)], witnesses=good.witnesses
        )
        early = Transaction.make(
            inputs=good.inputs, outputs=good.outputs, lock_height=99, witnesses=good.witnesses
        )
        lost = Transaction.make(
            inputs=[OutPoint(bytes(32), 1)], outputs=good.outputs, witnesses=good.witnesses
        )
        bare = good.with_witnesses([])
        for bad in (forged, dust, greedy, early, lost, bare):
            [shown] = self.ask(bad)
            error = self.world.error("sendrawtransaction", bad.raw.hex())
            self.assertEqual((shown["allowed"], shown["reject-reason"]), (False, error["data"]["rule"]))
            self.assertTrue(shown["reject-details"])

    def test_a_double_spend_and_what_is_here_already(self) -> None:
        first, second = payment(self.world), payment(World(), 2 * COIN)
        self.world.result("sendrawtransaction", first.raw.hex())
        again, rival = self.ask(first, second)
        self.assertEqual(again["reject-reason"], "mempool-duplicate")
        self.assertEqual(rival["reject-reason"], "mempool-conflict")
        self.world.result("waittransactionfinality", first.txid.hex(), 10)
        self.world.block()
        [late] = self.ask(first)
        self.assertEqual(late["reject-reason"], "already-confirmed")

    def test_what_waits_for_its_inputs_is_not_here_already(self) -> None:
        """Attack: a peer has sent the payment with a forged signature, before what it spends."""
        good = payment(self.world)
        witness = good.witnesses[0]
        forged = good.with_witnesses([type(witness)(witness.public_key, bytes(64))])
        self.world.node.mempool.waiting.add(forged, [bytes(32)], b"p" * 32)
        self.assertEqual(self.world.result("sendrawtransaction", good.raw.hex()), good.txid.hex())
        self.assertEqual(self.world.node.mempool.get(good.txid), good)

    def test_counters_of_refusals_do_not_move(self) -> None:
        before = self.world.result("getmempoolinfo")["counters"]
        self.world.backend.mempool.max_count = 0
        [full] = self.ask(payment(self.world))
        self.assertEqual(full["reject-reason"], "mempool-full")
        self.assertEqual(self.world.result("getmempoolinfo")["counters"], before)

    def test_what_is_no_transaction_is_an_error(self) -> None:
        error = self.world.error("testmempoolaccept", ["00"])
        self.assertEqual(error["code"], -22)

    def test_a_node_that_decides_nothing_says_so_in_time(self) -> None:
        self.patch(self.world.backend, "examine", lambda raw, told: None)
        error = self.world.error("testmempoolaccept", [payment(self.world).raw.hex()])
        self.assertEqual((error["code"], error["data"]["rule"]), (-1, "submit-timeout"))
        self.assertEqual(len(self.world.waiters), 0)

    def test_the_answer_comes_in_a_turn_of_its_own(self) -> None:
        """The verdict is told within a turn of the node, where nothing may be asked of it."""
        turns: list[bool] = []
        inside = [False]
        tell = Waiters.tell

        def told(waiters: Waiters, subject: bytes, event: object) -> None:
            inside[0] = True
            tell(waiters, subject, event)
            inside[0] = False

        self.patch(Waiters, "tell", told)
        pause = self.world.environment.pause

        async def paused() -> None:
            turns.append(inside[0])
            await pause()

        self.world.environment.pause = paused
        self.ask(payment(self.world))
        self.assertEqual(turns, [True])


class Family(RpcTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.world = World(members=3)
        self.chain: list[str] = []
        parent = payment(self.world)
        self.chain.append(self.world.result("sendrawtransaction", parent.raw.hex()))

    def test_one_alone(self) -> None:
        [txid] = self.chain
        entry = self.world.result("getmempoolentry", txid)
        self.assertEqual(
            (entry["ancestorcount"], entry["descendantcount"], entry["depends"], entry["spentby"]),
            (1, 1, [], []),
        )
        self.assertEqual((entry["ancestorsize"], entry["ancestorfees"]), (entry["size"], entry["fee"]))
        listed = self.world.result("getrawmempool", True)[txid]
        self.assertEqual(listed, {key: entry[key] for key in listed})

    def test_what_is_not_there(self) -> None:
        for method in ("getmempoolentry", "getmempoolancestors", "getmempooldescendants"):
            self.assertEqual(self.world.error(method, "11" * 32)["code"], -5)


class Chain(RpcTestCase):
    """Payments that spend one another before any block."""

    def setUp(self) -> None:
        super().setUp()
        self.mine = self.world.result("getnewaddress")
        self.txids = [self.world.result("sendtoaddress", self.mine, "3")]
        for value in ("2.9", "2.8"):
            self.txids.append(self.spend(self.txids[-1], value))

    def spend(self, txid: str, value: str) -> str:
        self.world.result("waittransactionfinality", txid, 10)
        paid = [
            each["n"]
            for each in self.world.result("gettransaction", txid)["vout"]
            if each["scriptPubKey"]["address"] == self.mine
        ]
        raw = self.world.result("createrawtransaction", [{"txid": txid, "vout": paid[0]}], {self.mine: value})
        signed = self.world.result("signrawtransactionwithwallet", raw)
        child: str = self.world.result("sendrawtransaction", signed["hex"])
        return child

    def test_ancestors_stand_in_front_and_descendants_behind(self) -> None:
        spent = {txid: self.world.result("getmempoolentry", txid)["depends"] for txid in self.txids}
        self.assertEqual([spent[txid] for txid in self.txids], [[], [self.txids[0]], [self.txids[1]]])
        first, second, third = self.txids
        self.assertEqual(self.world.result("getmempoolancestors", third), [first, second])
        self.assertEqual(self.world.result("getmempooldescendants", first), [second, third])
        self.assertEqual(self.world.result("getmempoolancestors", first), [])
        shown = self.world.result("getmempoolancestors", third, True)
        self.assertEqual([each["spentby"] for each in shown.values()], [[second], [third]])
        middle = self.world.result("getmempoolentry", second)
        self.assertEqual((middle["ancestorcount"], middle["descendantcount"]), (2, 2))
        fees = [self.world.result("getmempoolentry", txid)["fee"] for txid in self.txids]
        self.assertEqual((middle["ancestorfees"], middle["descendantfees"]), (sum(fees[:2]), sum(fees[1:])))


class Fees(RpcTestCase):
    def test_the_fee_is_the_rule_s(self) -> None:
        for paid, fee in (("0", "0.001"), ("1", "0.001"), ("2500", "1"), ("12.5", "0.0125"), ("100000", "1")):
            shown = self.world.result("estimatesmartfee", 1, paid)
            self.assertEqual((shown["fee"], shown["blocks"]), (Decimal(fee), 1), paid)

    def test_the_schedule_has_examples(self) -> None:
        shown = self.world.result("getfeeschedule")
        self.assertEqual(
            (shown["minimum"], shown["divisor"], shown["largest_minimum"]), (Decimal("0.001"), 1000, 1)
        )
        for each in shown["examples"]:
            told = self.world.result("estimatesmartfee", 6, str(each["amount"]))
            self.assertEqual(told["fee"], each["fee"])


class Combining(RpcTestCase):
    def test_signatures_of_several_come_together(self) -> None:
        whole = payment(self.world)
        bare = whole.with_witnesses([])
        combined = self.world.result("combinerawtransaction", [bare.raw.hex(), whole.raw.hex()])
        self.assertEqual(combined, whole.encode().hex())

    def test_what_does_not_belong_together_is_refused(self) -> None:
        first, other = payment(self.world), payment(World(), 2 * COIN)
        error = self.world.error("combinerawtransaction", [first.raw.hex(), other.raw.hex()])
        self.assertEqual((error["code"], error["data"]["rule"]), (-22, "export-mismatch"))
        self.assertEqual(self.world.error("combinerawtransaction", [])["code"], -8)
        lost = Transaction.make(inputs=[OutPoint(bytes(32), 1)], outputs=first.outputs)
        self.assertEqual(self.world.error("combinerawtransaction", [lost.encode().hex()])["code"], -5)


class Members(RpcTestCase):
    def test_a_member_by_each_of_its_names(self) -> None:
        self.world.block()
        [listed] = self.world.result("masternodelist")["masternodes"]
        for name in ("0", listed["operator"], listed["wallet_address"]):
            shown = self.world.result("getmasternode", name)
            self.assertEqual({key: shown[key] for key in listed}, listed)
        self.assertEqual(
            shown["attendance"],
            {
                "first": 1, "last": 1, "blocks": 1, "signed": 1, "last_signed": 1, "proposed": 1,
                "last_proposed": 1,
            },
        )  # fmt: skip
        self.assertEqual((listed["connected"], listed["is_self"]), (True, True))
        self.assertEqual(listed["nodeid"], self.world.environment.identity.node_id.hex())

    def test_nobody_by_that_name(self) -> None:
        for name in ("", "1", "x", "00" * 32, "9" * 300):
            self.assertIn(self.world.error("getmasternode", name)["code"], (-5, -8), name)

    def test_who_attended_a_block(self) -> None:
        self.world.block()
        self.world.block()
        shown = self.world.result("getblockattendance", 2)
        self.assertEqual((shown["parent"], shown["attended"], shown["absent"]), (1, 1, 0))
        self.assertEqual([each["attended"] for each in shown["masternodes"]], [True])
        self.assertEqual(self.world.result("getblockattendance")["height"], 2)
        self.assertEqual(self.world.result("getblockattendance", 0)["masternodes"], [])


class Peers(RpcTestCase):
    def test_this_node_s_own_id_is_said_to_be_its_own(self) -> None:
        shown = self.world.result("explainpeer", self.world.environment.identity.node_id.hex())
        self.assertEqual((shown["state"], shown["summary"]), ("self", "this is this node itself"))

    def test_a_ban_of_host_and_port_hints_at_the_address(self) -> None:
        for text, hint in (
            ("192.0.2.7:24000", "give 192.0.2.7."),
            ("[2001:db8::1]:24000", "give 2001:db8::1."),
            (f"{'ab' * 32}@192.0.2.7:24000", f"or its node id, {'ab' * 32}."),
            ("nonsense", "a subnet like"),
        ):
            error = self.world.error("setban", text, "add")
            self.assertEqual(error["code"], -30)
            self.assertIn(hint, error["data"]["hint"])

    def test_where_a_member_is_found_is_what_the_roster_says(self) -> None:
        [member] = self.world.result("masternodelist")["masternodes"]
        shown = [
            f"{each['address']}:{each['port']}"
            for each in self.world.result("getnetworkinfo")["localaddresses"]
        ]
        self.assertEqual(shown, [member["address"]] if member["address"] else [])
