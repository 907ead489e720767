"""Methods about old blocks, held against the blocks themselves."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import attrs

from tests.builders import genesis, matches, roster
from tests.index_world import Naive, blocks_of
from tests.rpc_world import FRIEND, RpcTestCase, address_of, parsed
from timed.ledger.rewards import base_reward
from timed.light.proof import TransactionProof
from timed.primitives.block import Block
from timed.primitives.certificate import BlockCertificate
from timed.primitives.filters import filter_root
from timed.primitives.transaction import Lock
from timed.rpc import blockstats, chainview, reader
from timed.rpc import supply as supply_module
from timed.rpc.blockstats import Spread
from timed.rpc.chainview import ChainView
from timed.rpc.methods import blocks as block_methods
from timed.rpc.methods import supply as supply_methods
from timed.rpc.moment import parse_moment
from timed.rpc.slices import T, Work
from timed.rpc.supply import scheduled

UNIT = Decimal(10**8)


def at_once(work: Work[T]) -> T:
    """The result of `work`, which nobody else waits for."""
    try:
        while True:
            next(work)
    except StopIteration as finished:
        result: T = finished.value
        return result


class BlocksCase(RpcTestCase):
    """A chain of four blocks, two of which hold payments."""

    def setUp(self) -> None:
        super().setUp()
        self.friend = address_of(FRIEND, self.world)
        self.txids = [self.pay("12.5"), self.pay("3")]
        self.world.block()
        self.world.block()
        self.txids.append(self.pay("1.25"))
        self.world.block()
        self.world.block()
        self.blocks = blocks_of(self.world.store)
        self.naive = Naive(self.blocks)

    def pay(self, amount: str) -> str:
        txid: str = self.world.result("sendtoaddress", self.friend, amount)
        self.world.result("waittransactionfinality", txid, 10)
        return txid

    def height_of(self, txid: str) -> int:
        height: int = self.world.result("gettransaction", txid)["height"]
        return height


class Dates(BlocksCase):
    def at(self, time: int) -> str:
        return datetime.fromtimestamp(time, UTC).isoformat()

    def test_the_block_before_and_after_every_moment(self) -> None:
        times = [block.header.time for block in self.blocks]
        for moment in range(times[0] - 2, times[-1] + 3):
            before = [height for height, time in enumerate(times) if time <= moment]
            after = [height for height, time in enumerate(times) if time >= moment]
            for side, wanted in (("before", before[-1:]), ("after", after[:1])):
                answer = self.world.exchange("findblockbydate", [moment, side])
                found = [answer["result"]["height"]] if "result" in answer else []
                self.assertEqual(found, wanted, (moment, side))

    def test_dates_and_numbers_mean_the_same(self) -> None:
        time = self.blocks[2].header.time
        number = self.world.result("findblockbydate", time)
        self.assertEqual(number["hash"], self.blocks[2].hash.hex())
        for text in (self.at(time), self.at(time).replace("+00:00", "Z"), f"@{time}"):
            self.assertEqual(self.world.result("findblockbydate", text), number)

    def test_a_block_by_date_is_the_one_by_height(self) -> None:
        for method in ("getblock", "getblockheader", "getblockstats"):
            moment = self.at(self.blocks[3].header.time + 1)
            self.assertEqual(self.world.result(method, moment), self.world.result(method, 3), method)
        self.assertEqual(self.world.error("getblock", "1999-01-01")["code"], -5)
        self.assertEqual(self.world.error("getblock", "1999-13-01")["code"], -8)

    def test_what_is_no_date(self) -> None:
        for text in (
            "",
            "@",
            "@-1",
            "@99999999999999999999",
            "1960-01-01",
            "today",
            "2026-11-26T25:00",
            "٣" * 4,
        ):
            self.assertRaises(ValueError, parse_moment, text)
        self.assertEqual(parse_moment("1970-01-02"), 86_400)
        self.assertEqual(parse_moment("1970-01-01T01:00:00+01:00"), 0)


class Headers(BlocksCase):
    def test_a_range_is_what_each_header_is(self) -> None:
        one_by_one = [self.world.result("getblockheader", height) for height in (1, 2, 3)]
        self.assertEqual(self.world.result("getblockheaders", 1, 3), one_by_one)
        encoded = [self.blocks[height].header.encode().hex() for height in (3, 4)]
        self.assertEqual(self.world.result("getblockheaders", 3, 100, False), encoded)

    def test_a_range_may_begin_at_a_hash_or_after_a_date(self) -> None:
        by_height = self.world.result("getblockheaders", 2, 2)
        self.assertEqual(self.world.result("getblockheaders", self.blocks[2].hash.hex(), 2), by_height)
        moment = f"@{self.blocks[1].header.time + 1}"
        self.assertEqual(self.world.result("getblockheaders", moment, 2), by_height)

    def test_ranges_are_bounded(self) -> None:
        self.assertEqual(self.world.error("getblockheaders", 0, 501)["code"], -8)
        self.assertEqual(self.world.error("getblockheaders", 99)["code"], -5)


class Filters(BlocksCase):
    def test_a_filter_is_the_one_the_header_commits_to_and_finds_payee_and_payer(self) -> None:
        height = self.height_of(self.txids[0])
        shown = self.world.result("getblockfilter", height)
        encoded, key = bytes.fromhex(shown["filter"]), bytes.fromhex(shown["key"])
        self.assertEqual(filter_root(encoded), self.blocks[height].header.filter_root)
        self.assertEqual(shown["filter_root"], self.blocks[height].header.filter_root.hex())
        wanted = Lock.key_hash(FRIEND.public)
        self.assertTrue(matches(encoded, key, [bytes((wanted.kind,)) + wanted.data]))
        self.assertFalse(matches(encoded, key, [b"\x01" + bytes(20)]))

    def test_every_block_has_one(self) -> None:
        for block in self.blocks:
            shown = self.world.result("getblockfilter", block.header.height)
            self.assertEqual(shown["blockhash"], block.hash.hex())

    def test_too_many_old_blocks_need_the_index(self) -> None:
        self.patch(chainview, "MAX_LOOKUPS", 0)
        error = self.world.error("getblockfilter", self.height_of(self.txids[0]))
        self.assertEqual((error["code"], error["data"]["rule"]), (-1, "index-needed"))
        self.assertIn("index.transactions = yes", error["data"]["hint"])


class Statistics(BlocksCase):
    def test_they_are_those_of_a_walk_over_the_block(self) -> None:
        for block in self.blocks:
            height = block.header.height
            shown = self.world.result("getblockstats", height)
            count, fees, _ = self.naive.totals(height)
            before = self.naive.totals(height - 1) if height else (0, 0, 0)
            self.assertEqual(shown["txs"], count - before[0])
            self.assertEqual(shown["totalfee"], Decimal(fees - before[1]) / UNIT)
            self.assertEqual(shown["subsidy"], shown["reward"] - shown["totalfee"])
            self.assertEqual(shown["ins"], len(self.naive.spent_outputs(height)))
            self.assertEqual(shown["total_size"], len(self.world.store.block(height)))
            self.assertEqual(shown["attending"], 1 if height else 0)

    def test_single_members_may_be_asked_for(self) -> None:
        height = self.height_of(self.txids[0])
        shown = self.world.result("getblockstats", height, ["txs", "minfee", "maxfee"])
        self.assertEqual(list(shown), ["txs", "minfee", "maxfee"])
        self.assertEqual(self.world.error("getblockstats", height, ["nosuch"])["code"], -8)

    def test_percentiles_weigh_by_bytes(self) -> None:
        self.assertEqual(blockstats._percentiles([(1, 50), (7, 50)]), (1, 1, 1, 7, 7))
        self.assertEqual(blockstats._percentiles([]), (0, 0, 0, 0, 0))

    def test_a_spread_of_even_and_odd_counts(self) -> None:
        self.assertEqual(Spread.of([3, 1, 2]), Spread(1, 2, 3, 2))
        self.assertEqual(Spread.of([1, 4]), Spread(1, 2, 4, 2))
        self.assertEqual(Spread.of([]), Spread(0, 0, 0, 0))

    def test_transactions_of_a_stretch_are_counted(self) -> None:
        shown = self.world.result("getchaintxstats", 2)
        self.assertEqual(shown["window_block_count"], 2)
        self.assertEqual(shown["window_tx_count"], sum(len(block.transactions) for block in self.blocks[3:]))
        self.assertEqual(shown["window_interval"], self.blocks[4].header.time - self.blocks[2].header.time)
        self.assertIsNone(shown["txcount"])
        self.assertEqual(self.world.result("getchaintxstats")["window_block_count"], 4)
        self.assertIsNone(self.world.result("getchaintxstats", 0)["txrate"])
        self.assertEqual(self.world.error("getchaintxstats", 5)["code"], -8)
        self.patch(block_methods, "MAX_COUNTED", 1)
        self.assertEqual(self.world.error("getchaintxstats", 2)["data"]["rule"], "index-needed")
        self.assertEqual(self.world.result("getchaintxstats")["window_block_count"], 1)


class Certificates(BlocksCase):
    def test_it_says_who_signed_and_checks_it(self) -> None:
        shown = self.world.result("getblockcertificate", 2)
        self.assertIs(shown["verified"], True)
        self.assertIsNone(shown["problem"])
        self.assertEqual((shown["weight"], shown["total_weight"], shown["quorum"]), (1, 1, 1))
        self.assertEqual([one["index"] for one in shown["signers"]], [0])
        self.assertEqual(shown["absent"], [])
        self.assertEqual(BlockCertificate.decode(bytes.fromhex(shown["hex"])).target, self.blocks[2].hash)

    def test_one_with_a_wrong_signature_is_shown_as_such(self) -> None:
        store: Any = self.world.store
        raw = bytearray(store._certificates[2])
        raw[-1] ^= 1
        store._certificates[2] = bytes(raw)
        shown = self.world.result("getblockcertificate", 2)
        self.assertIs(shown["verified"], False)
        self.assertIn("signature", shown["problem"])
        store._certificates[2] = store._certificates[3]
        self.assertIn("certificate-target", self.world.result("getblockcertificate", 2)["problem"])

    def test_genesis_has_none(self) -> None:
        self.assertEqual(self.world.error("getblockcertificate", 0)["data"]["rule"], "certificate-none")


class Supply(BlocksCase):
    def test_after_every_block_it_is_what_was_unspent(self) -> None:
        for height in range(5):
            shown = self.world.result("getsupply", height)
            self.assertEqual(shown["supply"], Decimal(self.naive.totals(height)[2]) / UNIT, height)
            self.assertEqual(shown["minted"], height * Decimal(base_reward(1)) / UNIT)
            self.assertEqual(shown["supply"], shown["allocation"] + shown["minted"])
            self.assertEqual(shown["scheduled_supply"], shown["supply"])
            self.assertIsNone(shown["fees_paid"])
        self.assertEqual(self.world.result("getsupply"), self.world.result("getsupply", 4))

    def test_far_below_the_tip_it_needs_the_index(self) -> None:
        self.patch(supply_module, "MAX_UNWOUND", 2)
        self.assertEqual(self.world.error("getsupply", 1)["data"]["rule"], "index-needed")
        self.world.result("getsupply", 0)
        self.world.result("getsupply", 2)

    def test_the_schedule_follows_the_rosters(self) -> None:
        """[7] A change carried by block 3 votes from height 5 on, and is rewarded from block 6 on."""
        start = attrs.evolve(genesis(1), roster_changes=((3, roster(1, 2)),))
        wanted = [0, *(base_reward(len(start.roster_at(height - 1).members)) for height in range(1, 12))]
        for height in range(12):
            self.assertEqual(scheduled(start, height), sum(wanted[: height + 1]), height)

    def test_who_received_what(self) -> None:
        shown = self.world.result("getrewardreport", 1)
        reward = sum(block.header.reward for block in self.blocks[1:])
        self.assertEqual((shown["begin"], shown["end"], shown["blocks"]), (1, 4, 4))
        self.assertEqual(shown["total"], Decimal(reward) / UNIT)
        self.assertEqual(shown["fees"], Decimal(self.naive.totals(4)[1]) / UNIT)
        self.assertEqual(shown["total"], shown["minted"] + shown["fees"])
        [member] = shown["masternodes"]
        self.assertEqual((member["reward"], member["attended"], member["missed"]), (shown["total"], 4, 0))
        self.assertEqual(self.world.result("getrewardreport", 1, 4, member["wallet_address"]), shown)
        self.assertEqual(self.world.result("getrewardreport", 1, 4, self.friend)["masternodes"], [])

    def test_a_range_of_dates(self) -> None:
        begin, end = (self.blocks[height].header.time for height in (2, 3))
        by_date = self.world.result("getrewardreport", f"@{begin}", f"@{end + 1}")
        self.assertEqual(by_date, self.world.result("getrewardreport", 2, 3))

    def test_ranges_are_bounded(self) -> None:
        self.assertEqual(self.world.error("getrewardreport", 3, 2)["code"], -8)
        self.patch(supply_methods, "MAX_REPORTED", 2)
        self.assertEqual(self.world.error("getrewardreport", 1, 3)["data"]["param"], "end")
        self.world.result("getrewardreport", 1, 2)


class Proofs(BlocksCase):
    def test_a_proof_of_some_transactions_of_a_block(self) -> None:
        height = self.height_of(self.txids[0])
        txids = [transaction.txid.hex() for transaction in self.blocks[height].transactions]
        for chosen in ([self.txids[0]], txids, txids[::-1]):
            proof = self.world.result("gettxoutproof", chosen)
            self.assertEqual(self.world.result("verifytxoutproof", proof), chosen)

    def test_genesis_is_proven_by_its_hash(self) -> None:
        txid = self.blocks[0].transactions[0].txid.hex()
        self.assertEqual(
            self.world.result("verifytxoutproof", self.world.result("gettxoutproof", [txid])), [txid]
        )

    def test_transactions_that_are_not_there(self) -> None:
        self.assertEqual(self.world.error("gettxoutproof", ["ab" * 32])["code"], -5)
        self.assertEqual(self.world.error("gettxoutproof", [self.txids[0], self.txids[2]])["code"], -5)
        self.assertEqual(self.world.error("gettxoutproof", [])["code"], -8)
        self.assertEqual(self.world.error("gettxoutproof", [self.txids[0]] * 2)["code"], -8)
        self.assertEqual(self.world.error("gettxoutproof", [self.txids[0]], 0)["code"], -5)

    def test_a_forged_proof_is_refused_with_its_rule(self) -> None:
        proof = TransactionProof.decode(bytes.fromhex(self.world.result("gettxoutproof", [self.txids[0]])))
        certificate = proof.certificate
        assert certificate is not None
        other = TransactionProof.decode(bytes.fromhex(self.world.result("gettxoutproof", [self.txids[2]])))
        wrong_signature = BlockCertificate(
            **{name: getattr(certificate, name) for name in certificate.__struct_fields__}
            | {"signatures": (bytes(64),)}
        )
        forged = {
            "branch": (proof.header, certificate, proof.count, other.transactions),
            "certificate-missing": (proof.header, None, proof.count, proof.transactions),
            "certificate-target": (proof.header, other.certificate, proof.count, proof.transactions),
            "signature": (proof.header, wrong_signature, proof.count, proof.transactions),
        }
        for rule, fields in forged.items():
            error = self.world.error("verifytxoutproof", TransactionProof(*fields).encode().hex())
            self.assertEqual((error["code"], error["data"]["rule"]), (-5, rule))

    def test_a_proof_of_a_foreign_block_or_none_at_all(self) -> None:
        proof = TransactionProof.decode(bytes.fromhex(self.world.result("gettxoutproof", [self.txids[0]])))
        foreign = genesis(2).block().header
        raw = TransactionProof(foreign, proof.certificate, proof.count, proof.transactions).encode().hex()
        self.assertEqual(self.world.error("verifytxoutproof", raw)["data"]["rule"], "block-unknown")
        self.assertEqual(self.world.error("verifytxoutproof", "00")["code"], -22)


class CoinSet(BlocksCase):
    def test_a_recount_agrees_with_what_is_kept(self) -> None:
        kept, counted = self.world.result("gettxoutsetinfo"), self.world.result("gettxoutsetinfo", "recount")
        self.assertEqual((counted["matches"], counted["differences"]), (True, []))
        for name in ("height", "bestblock", "txouts", "total_amount", "digests", "utxo_root"):
            self.assertEqual(counted[name], kept[name], name)
        self.assertEqual(counted["transactions"], len({o.txid for o, _ in self.world.store.coins()}))

    def test_a_coin_that_is_missing_is_found_by_it(self) -> None:
        store: Any = self.world.store
        store._coins.pop(next(iter(store._coins)))
        counted = self.world.result("gettxoutsetinfo", "recount")
        self.assertEqual(counted["matches"], False)
        self.assertEqual(counted["differences"], ["coins", "supply", "digests"])

    def test_a_scan_finds_the_coins_of_addresses(self) -> None:
        for text in (self.friend, f"addr({self.friend})"):
            shown = self.world.result("scantxoutset", "start", [text])
            self.assertEqual(shown["total_amount"], Decimal("16.75"))
            self.assertEqual({one["txid"] for one in shown["unspents"]}, set(self.txids))
            self.assertEqual(shown["txouts"], self.world.store.tip().coins)
        self.assertEqual(self.world.error("scantxoutset", "start")["code"], -8)
        self.assertEqual(self.world.error("scantxoutset", "start", ["x"])["code"], -5)

    def test_one_walk_at_a_time_that_can_be_watched_and_aborted(self) -> None:
        self.assertIsNone(self.world.result("scantxoutset", "status"))
        self.assertIs(self.world.result("scantxoutset", "abort"), False)
        scan = self.world.scan
        with self.world.snapshot() as snapshot:
            work = scan.find(snapshot, [Lock.key_hash(FRIEND.public)])
            next(work)
        status = self.world.result("scantxoutset", "status")
        self.assertEqual((status["scanned"], status["progress"]), (100, 100 * 100 // snapshot.tip().coins))
        for method, arguments in (
            ("scantxoutset", ["start", [self.friend]]),
            ("gettxoutsetinfo", ["recount"]),
        ):
            self.assertEqual(self.world.error(method, *arguments)["data"]["rule"], "scan-busy")
        self.assertIs(self.world.result("scantxoutset", "abort"), True)
        self.assertIsNone(at_once(work))
        self.assertFalse(scan.running)

    def test_a_walk_that_is_dropped_leaves_the_place_free(self) -> None:
        with self.world.snapshot() as snapshot:
            work = self.world.scan.recount(snapshot)
            next(work)
            work.close()
        self.assertFalse(self.world.scan.running)

    def test_a_block_that_comes_during_a_walk_is_not_in_it(self) -> None:
        with self.world.snapshot() as snapshot:
            work = self.world.scan.recount(snapshot)
            next(work)
            self.world.block()
            found = at_once(work)
        self.assertEqual((found.tip.height, found.differences), (4, ()))


class Slices(BlocksCase):
    """No long call holds up the others."""

    def test_every_long_call_is_made_in_slices(self) -> None:
        self.patch(reader, "STEPS_PER_SLICE", 1)
        proof = self.world.result("gettxoutproof", [self.txids[0]])
        for method, arguments in (
            ("getblock", [3, 2]), ("getblockheaders", [0]), ("getblockfilter", [3]), ("getblockstats", [3]),
            ("getblockcertificate", [3]), ("getchaintxstats", [3]), ("getsupply", [1]), ("getrewardreport", [1]),
            ("gettxoutsetinfo", ["recount"]), ("scantxoutset", ["start", [self.friend]]), ("verifytxoutproof", [proof]),
        ):  # fmt: skip
            before = self.world.reader.counters.slices
            self.world.result(method, *arguments)
            self.assertGreater(self.world.reader.counters.slices, before + 1, method)


class View(BlocksCase):
    def test_spent_outputs_without_an_index_are_those_of_a_walk(self) -> None:
        view = ChainView(self.world.store, self.world.genesis)
        for block in self.blocks:
            self.assertEqual(
                at_once(view.spent_outputs(block)), self.naive.spent_outputs(block.header.height)
            )

    def test_a_damaged_block_is_named_and_the_node_answers_on(self) -> None:
        store: Any = self.world.store
        store._blocks[2] = store._blocks[2][:-1] + b"\xff\xff"
        for method in ("getblock", "getblockstats", "getblockfilter"):
            error = self.world.error(method, 2)
            self.assertEqual((error["code"], error["data"]["rule"]), (-32603, "local"), method)
            self.assertIn("block 2 of the store is damaged", error["message"])
        self.assertEqual(self.world.result("getblockcount"), 4)

    def test_a_long_block_is_decoded_in_many_steps(self) -> None:
        self.patch(Block, "decode_in_steps", staticmethod(self.steps))
        view = ChainView(self.world.store, self.world.genesis)
        self.assertEqual(len(list(view.opened(2))), 3)
        self.assertEqual(at_once(view.opened(2)), self.blocks[2])

    def steps(self, data: bytes) -> Any:
        yield from (1, 2, 3)
        return Block.decode(data)


class Waiting(BlocksCase):
    def test_the_next_block_is_told_by_its_event(self) -> None:
        for method, arguments in (("waitfornewblock", [60]), ("waitforblockheight", [6, 60])):
            begun = self.world.begin(method, arguments)
            height = self.world.backend.tip().height
            shown = parsed(self.world.finish(begun))["result"]
            self.assertEqual((shown["height"], shown["timed_out"]), (height + 1, False))
            self.assertEqual(shown["hash"], self.world.result("getblockhash", height + 1))
        self.assertEqual(len(self.world.waiters), 0)

    def test_a_height_that_is_there_is_not_waited_for(self) -> None:
        before = self.world.clock.seconds()
        self.assertEqual(self.world.result("waitforblockheight", 4, 60)["height"], 4)
        self.assertLess(self.world.clock.seconds() - before, 0.2)

    def test_a_wait_ends_with_its_time(self) -> None:
        shown = self.world.result("waitforblockheight", 99, 1)
        self.assertEqual((shown["height"], shown["timed_out"]), (self.world.backend.tip().height, True))

    def test_there_is_one_tip(self) -> None:
        [tip] = self.world.result("getchaintips")
        self.assertEqual((tip["hash"], tip["status"]), (self.world.result("getbestblockhash"), "active"))
