"""`ChainCheck`: a chain on disk that is whole, and one thing after the other that is not."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.builders import block_certificate
from tests.index_world import GENESIS, RandomChain
from timed.errors import StoreError
from timed.primitives.block import Block
from timed.primitives.certificate import BlockCertificate
from timed.store import checking, past
from timed.store.checking import ChainCheck, Flaw, Progress
from timed.store.database import Database
from timed.store.environment import height_key, sealed
from timed.store.lmdb import LmdbStore
from timed.store.past import PastStore
from timed.store.recent import RecentBlocks
from timed.store.records import CoinRecord, HeightRecord, Location, TipRecord
from timed.wire.catalogue import encode_record
from timed.wire.messages import Ping

BLOCKS = 24
VICTIM = 11
"""The block that something happens to."""


class CheckCase(SynchronousTestCase):
    """One chain is made once; each test damages a copy of it."""

    original = ""

    def setUp(self) -> None:
        if not CheckCase.original:
            CheckCase.original = os.path.abspath(self.mktemp())
            self.make(CheckCase.original)
        self.directory = os.path.abspath(self.mktemp())
        shutil.copytree(CheckCase.original, self.directory)

    def make(self, directory: str) -> None:
        chance = random.Random(5)
        store = LmdbStore(directory, "regtest", GENESIS.hash)
        chain = RandomChain(store)
        for _ in range(BLOCKS):
            chain.grow([(chance.randrange(99), chance.randrange(99)) for _ in range(4)])
        for number in range(3):
            store.append([encode_record(Ping(number, number)), encode_record(Ping(7, number))])
        store.close()

    def check(self, *, deep: bool = True) -> list[Flaw]:
        self.checked = ChainCheck(self.directory, "regtest", GENESIS, deep=deep)
        found = list(self.checked.run())
        self.progress = [each for each in found if isinstance(each, Progress)]
        return [each for each in found if isinstance(each, Flaw)]

    def the_flaw(self, where: str, what: str, *, deep: bool = True) -> Flaw:
        """The only one there is."""
        [flaw] = self.check(deep=deep)
        self.assertIn(where, flaw.where)
        self.assertIn(what, flaw.what)
        self.assertTrue(flaw.remedy)
        return flaw

    # Damage

    def change(self, act: Callable[[Database, Any], None]) -> None:
        """Write into the tables behind the store's back."""
        database = Database(os.path.join(self.directory, "db"))
        try:
            with database._environment.begin(write=True) as transaction:
                act(database, transaction)
        finally:
            database.close()

    def put(self, table: str, key: bytes, data: bytes | None, *, seal: bool = True) -> None:
        def act(database: Database, transaction: Any) -> None:
            place = database._tables[table]
            if data is None:
                transaction.delete(key, db=place)
            else:
                transaction.put(key, sealed(data) if seal else data, db=place)

        self.change(act)

    def get(self, table: str, key: bytes) -> bytes:
        found: list[bytes] = []
        self.change(
            lambda database, transaction: found.append(transaction.get(key, db=database._tables[table]))
        )
        return found[0][:-4]

    def block(self, height: int = VICTIM) -> Block:
        return Block.decode(self.get("blocks", height_key(height)))

    def put_block(self, block: Block, height: int = VICTIM) -> None:
        """With the seal, header and certificate that belong to it."""
        key = height_key(height)
        self.put("blocks", key, block.encode())
        self.put("headers", key, block.header.encode())
        certificate = block_certificate(GENESIS.roster_at(height), height, block.hash)
        self.put("certificates", key, certificate.encode())


class Whole(CheckCase):
    def test_all_of_it_is_looked_at(self) -> None:
        self.assertEqual(self.check(), [])
        store = LmdbStore(self.directory, "regtest", GENESIS.hash)
        tip = store.tip()
        store.close()
        assert tip is not None
        counts = self.checked.counts
        self.assertEqual(
            (counts["blocks"], counts["executed"], counts["coins"]), (BLOCKS + 1, BLOCKS, tip.coins)
        )
        self.assertEqual(counts["records"], 6)
        self.assertGreater(counts["signatures"], 3 * BLOCKS)
        self.assertEqual({each.part for each in self.progress}, {"blocks", "executed", "coins"})
        for each in self.progress:
            self.assertLessEqual(each.done, each.total)

    def test_the_newest_blocks_are_looked_at_when_not_all_are(self) -> None:
        self.patch(checking, "RECENT", 10)
        self.put("certificates", height_key(3), None)
        self.assertEqual(self.check(deep=False), [])
        self.assertEqual((self.checked.counts["blocks"], self.checked.counts["executed"]), (10, 0))
        self.put("certificates", height_key(BLOCKS - 3), None)
        self.the_flaw(f"block {BLOCKS - 3}", "its certificate is missing", deep=False)

    def test_nothing_is_changed(self) -> None:
        def files() -> dict[str, bytes]:
            found = {}
            for folder, _, names in os.walk(self.directory):
                for name in names:
                    # LMDB's table of readers is written by whoever reads.
                    if name != "lock.mdb":
                        with open(os.path.join(folder, name), "rb") as file:
                            found[os.path.join(folder, name)] = file.read()
            return found

        before = files()
        self.check()
        self.assertEqual(files(), before)

    def test_what_is_kept_at_hand_is_bounded(self) -> None:
        """Coins are looked up in their blocks, of which few are kept; with one at a time all is found as well."""
        self.patch(past, "RecentBlocks", lambda: RecentBlocks(most=1, least_blocks=1))
        kept: list[int] = []
        usual = PastStore.coin

        def counted(store: PastStore, outpoint: Any) -> Any:
            found = usual(store, outpoint)
            kept.append(len(store._recent))
            return found

        self.patch(PastStore, "coin", counted)
        self.assertEqual(self.check(), [])
        self.assertGreater(len(kept), BLOCKS)
        self.assertEqual(max(kept), 1)

    def test_small_batches_and_many_reports_change_nothing(self) -> None:
        for name in ("BATCH", "STEP", "COINS_STEP"):
            self.patch(checking, name, 1)
        self.assertEqual(self.check(), [])
        self.assertGreater(len(self.progress), 2 * BLOCKS)


class NotToBeLookedAt(CheckCase):
    def test_a_directory_that_a_node_has(self) -> None:
        store = LmdbStore(self.directory, "regtest", GENESIS.hash)
        self.addCleanup(store.close)
        self.assertIn("another process uses", str(self.assertRaises(StoreError, self.check)))

    def test_no_chain(self) -> None:
        self.directory = os.path.abspath(self.mktemp())
        self.assertIn("holds no chain", str(self.assertRaises(StoreError, self.check)))

    def test_another_network(self) -> None:
        [flaw] = [
            each
            for each in ChainCheck(self.directory, "testnet", GENESIS, deep=True).run()
            if isinstance(each, Flaw)
        ]
        self.assertIn("belongs to regtest, not to testnet", flaw.what)


class Records(CheckCase):
    """Damage to single records; bytes that were flipped break the seal, what was written anew has one."""

    def test_a_flipped_byte_of_every_table(self) -> None:
        """In the file itself, wherever the record's own bytes stand."""
        block = self.block()
        payment = block.transactions[1].txid
        coin = Location.decode(self.get("locations", payment))
        self.assertEqual(coin.height, VICTIM)
        for table, data in (
            ("blocks", block.encode()[400:460]),
            ("certificates", self.get("certificates", height_key(VICTIM))[:40]),
            ("headers", self.get("headers", height_key(VICTIM))),
        ):
            shutil.rmtree(self.directory)
            shutil.copytree(CheckCase.original, self.directory)
            path = os.path.join(self.directory, "db", "data.mdb")
            # Also where a page of an earlier transaction still holds it.
            with open(path, "rb") as file:
                content = file.read()
            self.assertIn(data, content)
            flipped = data[:20] + bytes((data[20] ^ 1,)) + data[21:]
            with open(path, "r+b") as file:
                file.write(content.replace(data, flipped))
            flaws = self.check()
            self.assertTrue(flaws, table)
            self.assertTrue(any("is damaged (store-seal)" in flaw.what for flaw in flaws), flaws)
            self.assertTrue(all("chain/" in flaw.remedy or "Check the disk" in flaw.remedy for flaw in flaws))

    def test_a_missing_block(self) -> None:
        self.put("blocks", height_key(VICTIM), None)
        flaws = self.check()
        self.assertEqual((flaws[0].where, flaws[0].what), (f"block {VICTIM}", "its block is missing"))
        self.assertIn("table blocks", [flaw.where for flaw in flaws])

    def test_another_header_beside_the_block(self) -> None:
        self.put("headers", height_key(VICTIM), self.get("headers", height_key(VICTIM - 1)))
        self.assertIn("another header", self.check()[0].what)

    def test_the_genesis_of_somebody_else(self) -> None:
        block = self.block(0)
        other = struct(block, header=struct(block.header, time=block.header.time + 1))
        self.put("blocks", height_key(0), other.encode())
        self.put("headers", height_key(0), other.header.encode())
        self.assertIn("not the genesis", self.check()[0].what)

    def test_a_block_that_follows_another(self) -> None:
        """Certified by the members' own keys: the link alone tells."""
        block = self.block()
        self.put_block(struct(block, header=struct(block.header, previous=bytes(32))))
        flaws = self.check()
        self.assertIn(f"it follows {bytes(32).hex()}", flaws[0].what)
        self.assertIn(f"block {VICTIM + 1}", [flaw.where for flaw in flaws])

    def test_payments_that_are_not_those_of_the_root(self) -> None:
        block = self.block()
        first, second, third, *rest = block.transactions
        self.put(
            "blocks", height_key(VICTIM), struct(block, transactions=(first, third, second, *rest)).encode()
        )
        self.the_flaw(f"block {VICTIM}", "not those of the Merkle root")

    def test_a_certificate_of_another_block(self) -> None:
        self.put("certificates", height_key(VICTIM), self.get("certificates", height_key(VICTIM - 1)))
        self.the_flaw(f"block {VICTIM}", "its certificate is that of another block")

    def test_a_certificate_without_a_quorum(self) -> None:
        data = self.get("certificates", height_key(VICTIM))
        certificate = BlockCertificate.decode(data)
        few = struct(certificate, bitmap=b"\x01", signatures=certificate.signatures[:1])
        self.put("certificates", height_key(VICTIM), few.encode())
        self.assertIn("quorum", self.check()[0].what)

    def test_a_wrong_signature_in_a_certificate(self) -> None:
        certificate = BlockCertificate.decode(self.get("certificates", height_key(VICTIM)))
        first, *rest = certificate.signatures
        bad = struct(certificate, signatures=(bytes((first[0] ^ 1,)) + first[1:], *rest))
        self.put("certificates", height_key(VICTIM), bad.encode())
        self.the_flaw(f"certificate of block {VICTIM}", "a signature is wrong")

    def test_a_hash_that_is_not_found(self) -> None:
        self.put("heights", self.block().hash, HeightRecord(VICTIM + 1).encode())
        self.the_flaw(f"block {VICTIM}", "the table of heights does not find it")

    def test_a_payment_that_is_not_found(self) -> None:
        txid = self.block().transactions[1].txid
        self.put("locations", txid, Location(VICTIM, 9).encode())
        self.the_flaw(f"block {VICTIM}", txid.hex())

    def test_records_of_blocks_that_are_not_there(self) -> None:
        self.put("headers", height_key(BLOCKS + 5), b"x")
        self.the_flaw("table headers", f"{BLOCKS + 2} records for {BLOCKS + 1} blocks")

    def test_the_place_of_a_payment_that_is_in_no_block(self) -> None:
        self.put("locations", bytes(32), Location(VICTIM, 1).encode())
        self.the_flaw("table locations", "records for")

    def test_a_newest_header_that_is_none(self) -> None:
        self.put("headers", height_key(BLOCKS), b"sealed, but no header")
        self.assertEqual(
            [flaw.what for flaw in self.check(deep=False)],
            [
                "it is not the newest block that was committed",
                "the table of headers holds another header than the block",
            ],
        )

    def test_after_enough_flaws_the_rest_is_left(self) -> None:
        self.patch(checking, "MAX_FLAWS", 3)
        for height in range(1, 10):
            self.put("certificates", height_key(height), None)
        flaws = self.check()
        self.assertEqual(len(flaws), 4)
        self.assertIn("3 things are wrong; the rest was not looked at", flaws[-1].what)


class Executed(CheckCase):
    """Damage that no root in a header speaks of, or that the members themselves signed."""

    def test_a_payment_whose_signature_is_wrong(self) -> None:
        """Witnesses are not in the txid: only the execution sees it."""
        block = self.block()
        coinbase, payment, *rest = block.transactions
        [witness, *others] = payment.witnesses
        bad = struct(witness, signature=bytes((witness.signature[0] ^ 1,)) + witness.signature[1:])
        changed = struct(payment, witnesses=(bad, *others))
        self.put(
            "blocks", height_key(VICTIM), struct(block, transactions=(coinbase, changed, *rest)).encode()
        )
        self.the_flaw(f"a payment in block {VICTIM}", "a signature is wrong")
        self.assertEqual(self.check(deep=False), [])

    def test_a_rule_that_certified_blocks_cannot_break(self) -> None:
        """The tip says more reward than there is; its own quorum signed it."""
        tip = self.block(BLOCKS)
        false = struct(tip, header=struct(tip.header, reward=tip.header.reward + 1))
        self.put_block(false, BLOCKS)
        self.put("heights", false.hash, HeightRecord(BLOCKS).encode())
        self.put("heights", tip.hash, None)
        record = TipRecord.decode(self.get("meta", b"tip"))
        self.put("meta", b"tip", struct(record, block_hash=false.hash).encode())
        self.the_flaw(f"block {BLOCKS}", "reward")


class Coins(CheckCase):
    def a_coin(self) -> tuple[bytes, CoinRecord]:
        found: list[tuple[bytes, bytes]] = []

        def act(database: Database, transaction: Any) -> None:
            for key, value in transaction.cursor(db=database._tables["coins"]):
                found.append((bytes(key), bytes(value)))
                return

        self.change(act)
        return found[0][0], CoinRecord.decode(found[0][1][:-4])

    def test_a_coin_of_another_height(self) -> None:
        key, record = self.a_coin()
        self.put("coins", key, struct(record, height=record.height + 1).encode())
        self.the_flaw("table coins", "the digest of the coins")

    def test_a_coin_of_another_value(self) -> None:
        key, record = self.a_coin()
        self.put(
            "coins", key, struct(record, output=struct(record.output, value=record.output.value + 1)).encode()
        )
        self.assertEqual(len(self.check()), 2)

    def test_a_coin_that_is_missing(self) -> None:
        key, _ = self.a_coin()
        self.put("coins", key, None)
        whats = " ".join(flaw.what for flaw in self.check())
        self.assertIn("are counted", whats)
        self.assertIn("digest", whats)

    def test_a_coin_with_a_broken_seal(self) -> None:
        key, record = self.a_coin()
        self.put("coins", key, record.encode() + b"\0\0\0\0", seal=False)
        self.the_flaw("table coins", "is damaged")

    def test_a_digest_beside_the_tip_that_is_wrong(self) -> None:
        record = TipRecord.decode(self.get("meta", b"tip"))
        first, *rest = record.digests
        self.put("meta", b"tip", struct(record, digests=(bytes((first[0] ^ 1,)) + first[1:], *rest)).encode())
        flaws = self.check()
        self.assertIn("the set digest beside it", flaws[0].what)
        self.assertEqual(len(self.check(deep=False)), 1)


class Logs(CheckCase):
    def log(self) -> str:
        [name] = os.listdir(os.path.join(self.directory, "log"))
        return os.path.join(self.directory, "log", name)

    def flip(self, place: int) -> None:
        with open(self.log(), "r+b") as file:
            file.seek(place, os.SEEK_END if place < 0 else os.SEEK_SET)
            [old] = file.read(1)
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes((old ^ 1,)))

    def test_damage_before_valid_frames(self) -> None:
        self.flip(120)
        flaw = self.the_flaw("log", "is damaged at byte")
        self.assertIn("what this node has signed", flaw.remedy)

    def test_a_damaged_header(self) -> None:
        self.flip(10)
        self.the_flaw("log", "is damaged at byte 0")

    def test_a_torn_end_is_no_fault(self) -> None:
        with open(self.log(), "ab") as file:
            file.write(b"torn")
        self.assertFalse(self.the_flaw("log", "4 bytes from byte").serious)

    def test_an_end_of_full_length_with_wrong_bytes_is_told_as_well(self) -> None:
        self.flip(-1)
        flaw = self.the_flaw("log", "a write of full length whose bytes are wrong")
        self.assertIn("abstains", flaw.remedy)

    def test_a_record_that_is_no_message(self) -> None:
        store = LmdbStore(self.directory, "regtest", GENESIS.hash)
        store.append([b"\xff\xff nonsense"])
        store.close()
        self.the_flaw("log file", "record 6 is no message")

    def test_a_log_of_another_time(self) -> None:
        os.rename(self.log(), self.log().replace(f"{BLOCKS + 1:020d}", f"{BLOCKS + 4:020d}"))
        self.the_flaw("log", f"belongs to block {BLOCKS + 4}")

    def test_what_a_closed_epoch_left_is_nobodys(self) -> None:
        os.rename(self.log(), self.log().replace(f"{BLOCKS + 1:020d}", f"{BLOCKS - 4:020d}"))
        self.assertEqual(self.check(), [])


class Files(CheckCase):
    def test_a_file_that_was_cut_short(self) -> None:
        path = os.path.join(self.directory, "db", "data.mdb")
        os.truncate(path, os.path.getsize(path) // 2)
        self.the_flaw("db", "was cut short")


def struct(old: Any, /, **changes: Any) -> Any:
    """A value with other fields, without what it remembers of its encoding."""
    fields = {name: getattr(old, name) for name in old.__struct_fields__}
    return type(old)(**{**fields, **changes})
