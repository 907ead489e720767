"""`timed-cli debug-bundle`: everything that explains, nothing that is secret, never too long."""

from __future__ import annotations

import io
import json
import os
import random
import stat
import sys
import tarfile
from pathlib import Path
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase

from tests.test_app_services import ServicesCase
from timed.app.config import load, override
from timed.app.datadir import NODE_KEY
from timed.cli import bundle as bundling
from timed.cli.bundle import CALLS, MAX_PART, Bundle, journal, tail
from timed.cli.main import main
from timed.cli.redact import REMOVED, Redactor, redactor_for
from timed.errors import LocalError
from timed.ledger.regtest import well_known_seed
from timed.rpc.credentials import make
from timed.rpc.table import METHODS
from timed.testnet.freeports import free_ports
from timed.wallet.phrase import phrase_of

PASSWORD = "correct-horse"


def opened(path: Path) -> dict[str, bytes]:
    """The members by name, without the folder."""
    with tarfile.open(path) as tar:
        found = {}
        for entry in tar.getmembers():
            member = tar.extractfile(entry)
            found[entry.name.partition("/")[2]] = b"" if member is None else member.read()
    return found


class OfALivingNode(ServicesCase):
    def test_it_explains_and_holds_no_secret(self) -> Deferred[None]:
        """Every secret of the data directory, planted in the log as well, is looked for in every byte."""

        async def scenario() -> None:
            account = make("alice", PASSWORD, lambda size: bytes(range(size)))
            application = self.compose(f"rpc.auth={account.line}", "node.member=yes")
            application.startService()
            try:
                secrets = self.secrets(account.line)
                log = self.directory / "timed.log"
                log.write_text("".join(f"2026 info rpc: somebody wrote {each} here\n" for each in secrets))
                target = self.directory.parent / "bundle.tar.gz"
                await deferToThread(self.run_cli, account.line, target)
            finally:
                await application.stopService()
            parts = opened(target)
            self.assertEqual(stat.S_IMODE(target.stat().st_mode), 0o600)
            for name in ("doctor.txt", "config.ini", "versions.txt", "machine.txt", "files.txt", "MANIFEST.txt",
                         "monitor/metrics.txt", "monitor/health.json", "monitor/alerts.json", "monitor/log.json", "log/0-timed.log",
                         "process/limits.txt", *(f"rpc/{name}.json" for name in CALLS)):  # fmt: skip
                self.assertIn(name, parts)
                self.assertTrue(parts[name], name)
            raw = b"\n".join(parts.values())
            for secret in secrets:
                self.assertNotIn(secret.encode(), raw)
            self.assertEqual(parts["log/0-timed.log"].count(REMOVED.encode()), len(secrets))
            self.assertIn("auth = alice:…".encode(), parts["config.ini"])
            self.assertIn(b"timed_height 0.0", parts["monitor/metrics.txt"])
            self.assertEqual(json.loads(parts["rpc/getblockchaininfo.json"])["blocks"], 0)
            self.assertIn(b"node.key", parts["files.txt"])
            self.assertNotIn(b"not there", parts["MANIFEST.txt"])

        return Deferred.fromCoroutine(scenario())

    def secrets(self, account: str) -> list[str]:
        """What nobody else may see, each as it stands on disk."""
        wallet = [
            json.loads(line) for line in (self.directory / "wallet.json.journal").read_text().splitlines()
        ]
        [seed] = [record["seed"] for record in wallet if "seed" in record]
        found = [
            (self.directory / ".cookie").read_text().strip(),
            (self.directory / ".cookie").read_text().strip().partition(":")[2],
            (self.directory / "node.key").read_text().split()[-1],
            (self.directory / "operator.key").read_text().split()[-1],
            account,
            account.rpartition("$")[2],
            *(value for value in seed.values() if isinstance(value, str) and len(value) >= 16),
            phrase_of(bytes(range(32))),
            "https://user:hunter22@seeds.example/".partition("//")[2].partition("@")[0],
        ]
        self.assertGreater(len(found), 8)
        found[-1] = "://" + found[-1] + "@"
        return found

    def run_cli(self, account: str, target: Path) -> None:
        config = self.directory.parent / "node.ini"
        config.write_text(
            f"[node]\nnetwork = regtest\ndatadir = {self.directory}\n[p2p]\nport = {self.p2p}\n"
            f"[rpc]\nport = {self.rpc}\nauth = {account}\n[monitor]\nport = {self.monitor}\n"
        )
        with mock.patch.object(sys, "stdout", io.StringIO()) as out:
            number = main(["--config", str(config), "debug-bundle", "--output", str(target)])
        self.assertEqual(number, 0, out.getvalue())
        self.assertIn(str(target), out.getvalue())


class OfADeadNode(SynchronousTestCase):
    def setUp(self) -> None:
        self.base = Path(self.mktemp()).absolute()
        self.base.mkdir()
        p2p, rpc, monitor = free_ports(3)
        (self.base / "node.ini").write_text(
            f"[node]\nnetwork = regtest\ndatadir = {self.base}\n[p2p]\nport = {p2p}\n"
            f"[rpc]\nport = {rpc}\n[monitor]\nport = {monitor}\n"
        )
        self.words = ["--config", str(self.base / "node.ini"), "debug-bundle"]
        self.target = self.base / "out.tar.gz"

    def run_cli(self, *words: str) -> tuple[int, str, str]:
        with (
            mock.patch.object(sys, "stdout", io.StringIO()) as out,
            mock.patch.object(sys, "stderr", io.StringIO()) as err,
        ):
            return main([*self.words, *words]), out.getvalue(), err.getvalue()

    def test_what_is_missing_is_named(self) -> None:
        number, out, _ = self.run_cli("--output", str(self.target), "--unit", "timed-that-nobody-runs")
        self.assertEqual(number, 0)
        parts = opened(self.target)
        self.assertIn(b"No node runs on", parts["doctor.txt"])
        for name in (
            "monitor/health.json: not there",
            "rpc: not there",
            "log/journal.txt: not there: no log file",
        ):
            self.assertIn(name, parts["MANIFEST.txt"].decode())
            self.assertIn(name, out)

    def test_nothing_is_overwritten(self) -> None:
        self.target.write_text("mine")
        number, _, err = self.run_cli("--output", str(self.target))
        self.assertEqual((number, self.target.read_text()), (1, "mine"))
        self.assertIn("exists already", err)

    def test_a_named_log_is_taken(self) -> None:
        log = self.base / "elsewhere.txt"
        log.write_text("the last words\n")
        self.run_cli("--output", str(self.target), "--log", str(log))
        self.assertEqual(opened(self.target)["log/0-elsewhere.txt"], b"the last words\n")

    def test_a_secret_that_cannot_be_read_stops_it(self) -> None:
        """It could not be looked for in the rest."""
        (self.base / NODE_KEY).mkdir()
        number, _, err = self.run_cli("--output", str(self.target))
        self.assertEqual(number, 1)
        self.assertIn("could not be kept out", err)
        self.assertFalse(self.target.exists())

    def test_the_journal_is_asked_where_there_is_one(self) -> None:
        tool = self.base / "journalctl"
        tool.write_text('#!/bin/sh\necho "asked for $1"\n')
        tool.chmod(0o755)
        with mock.patch.dict(os.environ, {"PATH": f"{self.base}:{os.environ['PATH']}"}):
            self.assertEqual(journal("timed"), "asked for --unit=timed\n")


class Sizes(SynchronousTestCase):
    def test_however_much_there_is_it_fits(self) -> None:
        """Noise does not become shorter: the worst case for gzip. At a tenth of the sizes, headers included."""
        for name in ("MAX_BUNDLE", "MAX_PARTS", "MAX_LOG"):
            self.patch(bundling, name, getattr(bundling, name) // 10)
        noise = random.Random(1).randbytes(bundling.MAX_LOG).decode("latin-1")
        bundle = Bundle(lambda text: text)
        for number in range(8):
            bundle.add(f"log/{number}", lambda: noise, bundling.MAX_LOG, end=True)
        self.assertEqual(sum(map(len, bundle.parts.values())), bundling.MAX_PARTS)
        packed = bundle.packed("x", 0.0)
        self.assertLess(len(packed), bundling.MAX_BUNDLE)
        self.assertGreater(len(packed), bundling.MAX_PARTS // 2)
        self.assertEqual(sum("cut to" in note for note in bundle.notes), 8)

    def test_a_log_keeps_its_end_and_the_rest_its_beginning(self) -> None:
        bundle = Bundle(lambda text: text)
        bundle.add("a", lambda: "begin" + "x" * MAX_PART)
        bundle.add("b", lambda: "x" * MAX_PART + "end", end=True)
        self.assertTrue(bundle.parts["a"].startswith(b"begin"))
        self.assertTrue(bundle.parts["b"].endswith(b"end"))

    def test_a_long_file_is_read_from_a_line_s_beginning(self) -> None:
        path = Path(self.mktemp())
        path.write_text("first line\nsecond line\nthird\n")
        with mock.patch.object(bundling, "MAX_LOG", 10):
            self.assertEqual(tail(path), "third\n")
        self.assertEqual(tail(path), path.read_text())

    def test_a_long_journal_begins_with_a_line_too(self) -> None:
        """Half a secret would be none of those that are known."""
        tool = Path(self.mktemp()).absolute()
        tool.mkdir()
        (tool / "journalctl").write_text('#!/bin/sh\necho "a secret word"\necho "the end"\n')
        (tool / "journalctl").chmod(0o755)
        path = {"PATH": f"{tool}:{os.environ['PATH']}"}
        with mock.patch.object(bundling, "MAX_LOG", 12), mock.patch.dict(os.environ, path):
            self.assertEqual(journal("timed"), "the end\n")

    def test_the_methods_exist_and_none_is_the_wallet_s(self) -> None:
        for name in CALLS:
            self.assertNotEqual(METHODS[name].category, "wallet")


class Redaction(SynchronousTestCase):
    def test_shapes(self) -> None:
        clean = Redactor(()).clean
        for text, secret in (
            ("curl http://alice:pw-123@host:1/ now", "pw-123"),
            ("Authorization: Basic YWxpY2U6cHctMTIz", "YWxpY2U6cHctMTIz"),
            ('{"password": "opensesame"}', "opensesame"),
            ("rpcpassword=opensesame; passphrase: sesame-open", "open"),
            ("-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkq\n-----END PRIVATE KEY-----", "MIIEvQIBADANBgkq"),
            (f"words {phrase_of(bytes(16))} end", "abandon"),
            (
                f"words {phrase_of(well_known_seed('wallet', 1))} end",
                phrase_of(well_known_seed("wallet", 1))[:20],
            ),
        ):
            self.assertNotIn(secret, clean(text), text)
            self.assertIn(REMOVED, clean(text))

    def test_what_explains_is_left(self) -> None:
        text = (
            "2026-11-26T15:00:00.000Z info     peer: connected with 9c07802b938893afddba6c09 at 10.0.0.1:7000\n"
            "block 7 "
            + "ab" * 32
            + ", 0 payments, and some more of these words that make up one long sentence here\n"
        )
        self.assertEqual(Redactor(()).clean(text), text)

    def test_one_secret_inside_another(self) -> None:
        redactor = Redactor(["abcdefgh", "abcdefghijkl"])
        self.assertEqual(redactor.clean("x abcdefghijkl y abcdefgh z"), f"x {REMOVED} y {REMOVED} z")
        self.assertEqual(redactor.count, 2)

    @settings(max_examples=40)
    @given(
        st.text(st.characters(codec="ascii"), max_size=60), st.text(st.characters(codec="ascii"), max_size=60),
        st.text("0123456789abcdef", min_size=8, max_size=64),
    )  # fmt: skip
    def test_a_known_secret_is_never_left(self, before: str, after: str, secret: str) -> None:
        try:
            self.assertNotIn(secret, Redactor([secret]).clean(before + secret + after))
        except LocalError as error:
            self.assertIn("Nothing was written", str(error))

    def test_everything_secret_of_a_configuration_is_known(self) -> None:
        base = Path(self.mktemp()).absolute()
        base.mkdir()
        accounts = base / "accounts"
        account = make("bob", PASSWORD, bytes)
        accounts.write_text(f"# comment\n{account.line}\n")
        key = base / "tls.pem"
        key.write_text("-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0B\n-----END PRIVATE KEY-----\n")
        signer = base / "webhook.secret"
        signer.write_text("words that sign\nother words\n")
        values = (
            f"node.datadir={base}", f"rpc.auth_file={accounts}", f"rpc.tls_key={key}",
            f"webhook.secret_file={signer}", "webhook.urls=https://hooks.example/services/T1/B2?key=9, https://x.example/",
        )  # fmt: skip
        entries = [override(*value.split("=", 1), "here") for value in values]
        redactor = redactor_for(load(None, entries, node_id=4), PASSWORD)
        for secret in (account.salt, account.digest.hex(), "MIIEvQIBADANBgkqhkiG9w0B", PASSWORD,
                       "words that sign", "other words", "services/T1/B2?key=9"):  # fmt: skip
            self.assertEqual(redactor.clean(f"a {secret} b"), f"a {REMOVED} b")
        self.assertIn("MANIFEST", redactor.clean("MANIFEST"))

    def test_secret_files_are_found_where_the_configuration_means_them(self) -> None:
        """A relative path is one beside the configuration file, wherever the command is called."""
        base = Path(self.mktemp()).absolute()
        base.mkdir()
        account = make("bob", PASSWORD, bytes)
        (base / "accounts").write_text(f"{account.line}\n")
        (base / "tls.pem").write_text("-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0B\n")
        (base / "webhook.secret").write_text("# seven words that sign for a hook\nold-and-still-signing\n")
        path = base / "node.ini"
        path.write_text(
            f"[node]\ndatadir = {base}/data\n[rpc]\nauth_file = accounts\ntls_key = tls.pem\n"
            "[webhook]\nsecret_file = webhook.secret\n"
        )
        redactor = redactor_for(load(str(path), [], node_id=None))
        for secret in (account.digest.hex(), "MIIEvQIBADANBgkqhkiG9w0B", "# seven words that sign for a hook",
                       "old-and-still-signing"):  # fmt: skip
            self.assertEqual(redactor.clean(f"a {secret} b"), f"a {REMOVED} b")
