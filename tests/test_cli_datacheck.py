"""`timed-cli check-data`: the command around the check, with its child, on files of a node."""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import stat
import sys
from pathlib import Path
from typing import Any
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from tests.builders import ChainBuilder, transfer
from timed.cli import status
from timed.cli.datacheck import as_text
from timed.cli.main import main
from timed.crypto.keys import create_key_file
from timed.index.database import IndexDatabase
from timed.index.tables import INDEXES, SPENT
from timed.ledger.regtest import builtin_regtest
from timed.store.lmdb import LmdbStore
from timed.wallet.walletfile import snapshot_text

BLOCKS = 12
FLIPS = 3


class CheckData(SynchronousTestCase):
    """A data directory of regtest with its built-in genesis."""

    def setUp(self) -> None:
        self.base = Path(self.mktemp()).absolute()
        self.base.mkdir(mode=0o700)
        (self.base / "index" / SPENT).mkdir(parents=True)
        self.chain = self.base / "chain"
        genesis = builtin_regtest()
        store = LmdbStore(str(self.chain), "regtest", genesis.hash)
        builder = ChainBuilder(genesis, store)
        for number in range(BLOCKS):
            builder.extend([transfer([builder.allocation(number)])])
        store.close()
        create_key_file(str(self.base / "node.key"), os.urandom)

    def check_data(self, *words: str) -> tuple[int, str, str]:
        with (
            mock.patch.object(sys, "stdout", io.StringIO()) as out,
            mock.patch.object(sys, "stderr", io.StringIO()) as err,
        ):
            number = main(["--network", "regtest", "--datadir", str(self.base), "check-data", *words])
        return number, out.getvalue(), err.getvalue()

    def report(self, *words: str) -> dict[str, Any]:
        number, out, err = self.check_data("--deep", "--json", *words)
        self.assertEqual(err, "")
        report: dict[str, Any] = json.loads(out)
        serious = any(flaw["serious"] for flaw in report["flaws"])
        self.assertEqual(number, status.FOUND if serious else status.OK)
        return report

    def test_a_whole_directory(self) -> None:
        report = self.report()
        self.assertEqual(report["flaws"], [])
        self.assertEqual(
            (report["looked_at"]["blocks"], report["looked_at"]["executed"]), (BLOCKS + 1, BLOCKS)
        )
        self.assertIn("nothing is wrong", as_text(report))

    def test_damage_in_the_pages_never_ends_in_a_traceback(self) -> None:
        """Bytes flipped anywhere: found, or in no page that is in use, or the end of the child, which is told."""
        chance = random.Random(3)
        data = self.chain / "db" / "data.mdb"
        whole = data.read_bytes()
        found = 0
        for _ in range(FLIPS):
            changed = bytearray(whole)
            for _ in range(40):
                changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
            data.write_bytes(bytes(changed))
            found += bool(self.report()["flaws"])
        self.assertGreater(found, 0)

    def test_what_stands_beside_the_chain(self) -> None:
        """An index with a record that lost its seal; the others are not there, and nobody misses them."""
        spent = INDEXES[SPENT]
        database = IndexDatabase(str(self.base / "index" / SPENT), spent.tables)
        with database.writing() as records:
            records.put("spends", b"key", b"record")
        self.assertEqual(self.report()["looked_at"]["beside"], 1)
        with database._environment.begin(write=True) as transaction:
            transaction.put(b"key", b"rec0rd....", db=database._tables["spends"])
        database.close()
        [flaw] = self.report()["flaws"]
        self.assertEqual(flaw["where"], str(self.base / "index" / SPENT))
        self.assertIn("built again", flaw["remedy"])

    def test_a_child_that_dies_is_told(self) -> None:
        """What damaged pages may do to whoever reads them through a memory map."""
        program = self.base / "python"
        program.write_text("#!/bin/sh\nkill -BUS $$\n")
        program.chmod(0o700)
        with mock.patch.object(sys, "executable", str(program)):
            report = self.report()
        [flaw] = report["flaws"]
        self.assertEqual(flaw["where"], str(self.chain / "db"))
        self.assertIn("one thing is wrong", as_text(report))
        self.assertIn("SIGBUS", flaw["what"])
        self.assertIn("move chain/ away", flaw["remedy"])

    def test_a_child_that_fails_is_no_verdict(self) -> None:
        program = self.base / "python"
        program.write_text("#!/bin/sh\nexit 3\n")
        program.chmod(0o700)
        with mock.patch.object(sys, "executable", str(program)):
            number, out, err = self.check_data()
        self.assertEqual((number, out), (status.FAILED, ""))
        self.assertIn("status 3", err)

    def test_a_node_that_runs_is_left_alone(self) -> None:
        store = LmdbStore(str(self.chain), "regtest", builtin_regtest().hash)
        try:
            number, _, err = self.check_data()
        finally:
            store.close()
        self.assertEqual(number, status.FAILED)
        self.assertIn("another process uses", err)

    def test_no_chain(self) -> None:
        shutil.rmtree(self.chain)
        number, _, err = self.check_data()
        self.assertEqual(number, status.FAILED)
        self.assertIn("holds no chain", err)

    def test_keys_and_wallet(self) -> None:
        (self.base / "node.key").chmod(0o644)
        wallet = self.base / "wallet.json"
        wallet.write_bytes(snapshot_text("regtest", 1, [])[:-5])
        wallet.chmod(stat.S_IRUSR | stat.S_IWUSR)
        number, out, _ = self.check_data()
        self.assertEqual(number, status.FOUND)
        self.assertIn("open to others (mode 0644)", out)
        self.assertIn("chmod 600", out)
        self.assertIn("the wallet", out)
        self.assertIn("2 things are wrong", out)
        self.assertIn("--deep looks at every block", out)
