"""`timed-cli seedlist`: a list that an operator signs is one that a node reads."""

from __future__ import annotations

import contextlib
import io
import json
import stat
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.peer_harness import key
from tests.test_cli_main import run as run_process
from timed.app.genesis_file import write_genesis
from timed.cli.main import main
from timed.ledger.regtest import builtin_regtest
from timed.params import SECOND
from timed.peer import seedlist

ADDRESS = f"{key(1).public.hex()}@192.0.2.7:24100"


def run(*words: str) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = main(["seedlist", *words])
        except SystemExit as leaving:
            status = int(str(leaving.code))
    return status, out.getvalue(), err.getvalue()


class SeedListCommand(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.directory.mkdir()
        self.key = str(self.directory / "seed.key")
        self.file = self.directory / "list.json"
        status, out, _ = run("key", self.key)
        self.assertEqual(status, 0)
        self.public = out.strip()

    def sign(self, *words: str) -> tuple[int, str, str]:
        status, out, err = run("sign", "--key", self.key, *words)
        self.file.write_text(out)
        return status, out, err

    def test_key_is_made_once_and_kept_from_others(self) -> None:
        self.assertEqual(run("key", self.key), (0, self.public + "\n", ""))
        self.assertEqual(stat.S_IMODE(Path(self.key).stat().st_mode), 0o600)

    def test_signed_list_is_one_that_a_node_reads(self) -> None:
        status, out, _ = self.sign("--network", "regtest", ADDRESS)
        self.assertEqual(status, 0)
        listed = seedlist.read(
            out.encode(), "regtest", builtin_regtest().hash, [bytes.fromhex(self.public)],
            int(time.time()) * SECOND,
        )  # fmt: skip
        self.assertEqual([str(address) for address in listed.addresses], [ADDRESS])
        self.assertEqual(listed.expires - listed.issued, 30 * 86_400)
        status, out, _ = run("check", str(self.file), "--key", self.public)
        self.assertEqual(status, 0)
        self.assertIn("nodes    1\n", out)

    def test_genesis_may_be_a_file_or_a_hash(self) -> None:
        path = self.directory / "genesis.json"
        write_genesis(path, builtin_regtest())
        for text in (str(path), builtin_regtest().hash.hex()):
            status, out, _ = self.sign("--network", "regtest", "--genesis", text, ADDRESS)
            self.assertEqual((status, json.loads(out)["genesis"]), (0, builtin_regtest().hash.hex()))
        status, _, err = self.sign("--network", "testnet", "--genesis", str(path), ADDRESS)
        self.assertEqual(status, 1)
        self.assertIn("is a genesis of regtest", err)
        self.assertIn("Give --genesis", self.sign("--network", "testnet", ADDRESS)[2])

    def test_addresses_may_come_from_a_file(self) -> None:
        path = self.directory / "nodes.txt"
        path.write_text(f"# ours\n{ADDRESS}\n\n")
        status, out, _ = self.sign("--network", "regtest", "--from", str(path))
        self.assertEqual((status, json.loads(out)["addresses"]), (0, [ADDRESS]))

    def test_addresses_may_be_what_a_node_shows_of_those_it_has_met(self) -> None:
        path = self.directory / "shown.json"
        shown = [
            {"address": f"192.0.2.{number}", "port": 24100, "nodeid": node_id, "met": met}
            for number, (node_id, met) in enumerate(
                [(key(1).public.hex(), True), (key(2).public.hex(), False), (None, True)], 7
            )
        ]
        path.write_text(json.dumps(shown))
        status, out, _ = self.sign("--network", "regtest", "--from", str(path))
        self.assertEqual((status, json.loads(out)["addresses"]), (0, [ADDRESS]))
        for text in ("[", "[7]", '[{"address": "x"}]', "[null]"):
            path.write_text(text)
            self.assertEqual(self.sign("--network", "regtest", "--from", str(path))[0], 1, text)

    def test_file_too_long_to_be_one_is_refused(self) -> None:
        self.file.write_bytes(b" " * (seedlist.MAX_LIST_BYTES + 1))
        self.assertIn("has more than", run("check", str(self.file))[2])

    def test_mistakes_get_a_sentence(self) -> None:
        for words, sentence in (
            (("--network", "regtest", "192.0.2.7:24100"), "Give node-id@address:port"),
            (("--network", "regtest", "nonsense"), "which is not host:port"),
            (("--network", "regtest"), "between 1 and 1000 addresses"),
            (("--network", "regtest", "--days", "-1", ADDRESS), "must expire after"),
            (("--network", "regtest", "--days", "1e300", ADDRESS), "must expire after"),
            (("--network", "regtest", "--from", "/nowhere"), "cannot read /nowhere"),
        ):
            status, out, err = self.sign(*words)
            self.assertEqual((status, out), (1, ""))
            self.assertIn(sentence, err)
            self.assertEqual(err.count("\n"), 1)

    def test_days_are_a_number(self) -> None:
        for days in ("nan", "inf", "soon"):
            status, out, err = self.sign("--network", "regtest", "--days", days, ADDRESS)
            self.assertEqual((status, out), (2, ""), days)
            self.assertIn("--days", err)

    def test_check_tells_what_is_wrong(self) -> None:
        _, good, _ = self.sign("--network", "regtest", ADDRESS)
        self.file.write_text(good.replace("24100", "24101"))
        self.assertIn("seed-list-signature", run("check", str(self.file))[2])
        self.file.write_text(good)
        self.assertIn("seed-list-key", run("check", str(self.file), "--key", "12" * 32)[2])
        self.file.write_text("[]")
        self.assertIn("seed-list-malformed", run("check", str(self.file))[2])
        self.sign("--network", "regtest", "--days", "0.00002", ADDRESS)
        fields = json.loads(self.file.read_text())
        self.assertEqual(fields["expires"], fields["issued"] + 1)

    def test_usage_is_status_2(self) -> None:
        self.assertEqual(run()[0], 2)
        self.assertEqual(run("sign", "--key", self.key)[0], 2)

    def test_it_runs_as_a_command(self) -> None:
        status, out, err = run_process("seedlist", "key", self.key)
        self.assertEqual((status, out, err), (0, self.public + "\n", ""))
