"""What `timed-cli` does without a node: configurations, keys, addresses, backups, offline signatures."""

from __future__ import annotations

import io
import os
import stat
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.builders import wallet_key
from tests.wallet_world import PASSPHRASE, encrypt, seeded
from timed.app.config import load, mistakes_in
from timed.app.schema import keys, sections
from timed.cli.commands import COMMANDS
from timed.cli.configfile import READERS
from timed.cli.main import main
from timed.client.testing import PASSWORD, USER, FakeNode
from timed.crypto.keys import load_key_file
from timed.params import REGTEST
from timed.primitives.address import encode_address, key_hash
from timed.primitives.transaction import Lock, OutPoint, Output, Transaction
from timed.wallet.exchange import Exported, decode_export, encode_export
from timed.wallet.keystore import RECEIVE
from timed.wallet.offline import hints_for
from timed.wallet.walletfile import WalletFile

SEED = "11" * 32


class CommandCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.base = Path(self.mktemp()).absolute()
        self.base.mkdir()
        self.datadir = self.base / "node"

    def run_cli(self, *words: str, stdin: str = "") -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        for name, stream in (("stdout", out), ("stderr", err), ("stdin", io.StringIO(stdin))):
            self.patch(sys, name, stream)
        try:
            number = main(words)
        except SystemExit as leaving:
            number = int(leaving.code or 0)
        return number, out.getvalue(), err.getvalue()

    def init(self, *words: str) -> Path:
        number, _, err = self.run_cli("init", "--network", "regtest", "--datadir", str(self.datadir), *words)
        self.assertEqual((number, err), (0, ""))
        return self.datadir / "node.ini"


class Init(CommandCase):
    def test_writes_every_key_with_its_meaning_and_a_node_can_read_it(self) -> None:
        file = self.init("--set", "p2p.port=7005")
        text = file.read_text()
        for key in keys():
            self.assertIn(f"{key.name} =", text)
        config = load(str(file))
        self.assertEqual((config.params, config.datadir, config.p2p_port), (REGTEST, self.datadir, 7005))
        self.assertEqual(stat.S_IMODE(file.stat().st_mode), 0o600)
        self.assertEqual(self.run_cli("config", "check", str(file))[0], 0)

    def test_makes_nothing_secret_unless_asked(self) -> None:
        self.init()
        self.assertEqual(os.listdir(self.datadir), ["node.ini"])
        self.datadir = self.base / "other"
        self.init("--keys", "--set", "node.member=yes")
        self.assertEqual(sorted(os.listdir(self.datadir)), ["node.ini", "node.key", "operator.key"])

    def test_overwrites_nothing(self) -> None:
        file = self.init()
        before = file.read_bytes()
        number, out, err = self.run_cli("init", "--datadir", str(self.datadir))
        self.assertEqual((number, out), (1, ""))
        self.assertIn("exists already", err)
        self.assertEqual(file.read_bytes(), before)

    def test_a_value_that_cannot_be_leaves_no_file(self) -> None:
        for words in (("--set", "p2p.prot=1"), ("--set", "p2p.port=x"), ("--set", "nonsense")):
            self.assertEqual(self.run_cli("init", "--datadir", str(self.datadir), *words)[0], 2)
        self.assertFalse(self.datadir.exists())

    def test_the_command_line_finds_port_and_cookie_in_it(self) -> None:
        with FakeNode({"getblockcount": 7}) as node:
            file = self.init("--keys", "--set", f"rpc.port={node.location.port}")
            (self.datadir / ".cookie").write_text(f"{USER}:{PASSWORD}")
            self.assertEqual(self.run_cli("--datadir", str(self.datadir), "getblockcount"), (0, "7\n", ""))
            self.assertEqual(self.run_cli("--config", str(file), "getblockcount"), (0, "7\n", ""))


class Configurations(CommandCase):
    def write(self, text: str) -> str:
        path = self.base / "node.ini"
        path.write_text(text)
        return str(path)

    def test_check_names_every_mistake_with_its_line(self) -> None:
        path = self.write(
            "[node]\nnetwork = tesnet\n[p2pp]\nprot = 1\nport = 1\n[rpc]\nhost\nport = x\nport = 5\n[nonsense\na = b\n"
        )
        number, out, err = self.run_cli("config", "check", path)
        self.assertEqual((number, out), (2, ""))
        lines = err.splitlines()
        self.assertEqual(
            [line.removeprefix(f"{path}:").split(":")[0] for line in lines[:-1]],
            [*"245789", "10", "11"],
        )
        for text in ("mainnet, testnet, regtest", "nearest is [p2p]", "The nearest is p2p.port.", "'host' is not",
                     "rpc.port must be", "already given", "closing bracket", "There is no section [nonsense]"):  # fmt: skip
            self.assertIn(text, err)
        self.assertEqual(lines[-1], f"8 mistakes in {path}")

    def test_check_sees_what_keys_do_to_each_other(self) -> None:
        path = self.write("[p2p]\nplain = yes\nport = 5000\n[rpc]\nport = 5000\n")
        self.assertEqual(len(mistakes_in(path)), 2)
        self.assertIn("p2p.port and rpc.port are both 5000", self.run_cli("config", "check", path)[2])
        path = self.write("[services]\nenabled = chian, p2p\n")
        self.assertIn("no service called 'chian'", self.run_cli("config", "check", path)[2])

    def test_show_marks_what_differs(self) -> None:
        path = self.write("[node]\nnetwork = regtest\n[p2p]\nport = 7005\n")
        number, out, _ = self.run_cli("config", "show", "--config", path)
        self.assertEqual(number, 0)
        self.assertIn("port = 7005   # default: auto", out)
        self.assertIn("rpc 8005", out)
        self.assertEqual(out.count(" ="), len(list(keys())))
        out = self.run_cli("config", "show", "--changed", "--config", path)[1]
        self.assertEqual(
            [line for line in out.splitlines() if " = " in line], ["network = regtest", "port = 7005"]
        )

    def test_a_data_directory_nobody_may_look_into_is_one_sentence(self) -> None:
        """Of whatever command: as of a node that another user runs, here with a name that no file can have."""
        directory = str(self.base / ("x" * 300))
        for words in (
            ["config", "show"],
            ["keys", "show"],
            ["backup", "copy"],
            ["check-data"],
            ["debug-bundle"],
        ):
            number, _, err = self.run_cli("--datadir", directory, *words)
            self.assertEqual(number, 2, words)
            self.assertEqual(
                err,
                f"timed-cli: cannot read {directory}/node.ini: File name too long. "
                "Run this as the user of the node.\n",
            )
        number, out, _ = self.run_cli("--datadir", directory, "doctor")
        self.assertEqual(number, 6)
        self.assertIn("Run this as the user of the node.", out)

    def test_a_file_nobody_may_look_at_is_one_sentence(self) -> None:
        """As in the directory of another user, here with a name that no file can have."""
        path = str(self.base / f"{'x' * 300}.svg")
        for words in (
            ["backup", path], ["debug-bundle", "--output", path], ["profile", "--output", path], ["init", path],
        ):  # fmt: skip
            number, _, err = self.run_cli("--datadir", str(self.datadir), *words)
            self.assertEqual(
                (number, err), (1, f"timed-cli: cannot use {path}: File name too long.\n"), words
            )

    def test_explain_says_meaning_kind_default_and_reader(self) -> None:
        out = self.run_cli("config", "explain", "p2p.max_inbound")[1]
        for text in ("Inbound sessions at most.", "0 to 10000", "125", "the p2p service"):
            self.assertIn(text, out)
        self.assertEqual(self.run_cli("config", "explain", "max_inbound")[1], out)
        self.assertIn("125, from the default", out)
        self.assertIn("Inbound sessions at most.", self.run_cli("config", "explain", "p2p")[1])
        file = self.init("--set", "rpc.budget_per_s=2000")
        place = ("--datadir", str(self.datadir))
        line = file.read_text().splitlines().index("budget_per_s = 2000") + 1
        out = self.run_cli("config", "explain", *place, "budget_per_s")[1]
        self.assertIn(f"2000, from {file}:{line}", out)
        self.assertIn("while the node runs", out)
        overrides = self.datadir / "overrides.ini"
        overrides.write_text("[rpc]\nbudget_per_s = 5000\n")
        out = self.run_cli("config", "explain", *place, "budget_per_s")[1]
        self.assertIn(f"5000, from {overrides}:2", out)
        for word, hint in (
            ("p2p.max_inbuond", "p2p.max_inbound"),
            ("maxinbound", "p2p.max_inbound"),
            ("port", "several sections"),
        ):
            number, _, err = self.run_cli("config", "explain", word)
            self.assertEqual(number, 2)
            self.assertIn(hint, err)
        self.assertLessEqual(set(READERS), {name for name, _ in sections()})


class Keys(CommandCase):
    def keys(self, *words: str, stdin: str = "") -> tuple[int, str, str]:
        return self.run_cli("keys", words[0], "--datadir", str(self.datadir), *words[1:], stdin=stdin)

    def test_generate_show_and_never_overwrite(self) -> None:
        self.init()
        self.assertEqual(self.keys("show")[1], "node id  none\noperator none\n")
        number, public, _ = self.keys("generate", "operator")
        self.assertEqual(number, 0)
        self.assertEqual(self.keys("show")[1], f"node id  none\noperator {public}")
        self.assertEqual(self.keys("generate", "operator")[0], 1)
        self.assertEqual(load_key_file(str(self.datadir / "operator.key")).public.hex(), public.strip())

    def test_import_takes_the_seed_from_standard_input_and_shows_none(self) -> None:
        self.init()
        number, out, err = self.keys("import", "node", stdin=f"{SEED}\n")
        self.assertEqual(number, 0)
        self.assertNotIn(SEED, out + err)
        self.assertEqual(load_key_file(str(self.datadir / "node.key")).seed.hex(), SEED)
        for text in ("", "zz", SEED[2:]):
            number, _, err = self.keys("import", "operator", stdin=text)
            self.assertEqual(number, 1)
        self.assertFalse((self.datadir / "operator.key").exists())


class Addresses(CommandCase):
    def test_check_convert_and_of(self) -> None:
        self.init()
        public = self.run_cli("keys", "generate", "node", "--datadir", str(self.datadir))[1].strip()
        owner = key_hash(bytes.fromhex(public))
        address = encode_address(REGTEST, owner)
        for word in (public, str(self.datadir / "node.key")):
            self.assertEqual(self.run_cli("address", "of", word, "--network", "regtest")[1], f"{address}\n")
        self.assertEqual(
            self.run_cli("address", "check", address)[1], f"network  regtest\nkey hash {owner.hex()}\n"
        )
        other = self.run_cli("address", "convert", address, "--network", "testnet")[1].strip()
        self.assertTrue(other.startswith("TIME0"))
        self.assertEqual(
            self.run_cli("--network", "regtest", "address", "convert", other)[1].strip(), address
        )
        for wrong in (address[:-1] + ("1" if address[-1] != "1" else "2"), "nonsense", address[:-3], ""):
            number, out, err = self.run_cli("address", "check", wrong)
            self.assertEqual((number, out), (1, ""))
            self.assertIn("no address", err)


def backed_up(path: str) -> dict[str, object]:
    """What a node does when it is asked for `backupwallet`."""
    Path(path).write_text("a copy")
    return {"bytes": 6, "keys": 2}


class Backups(CommandCase):
    def test_of_a_stopped_node(self) -> None:
        self.init("--keys")
        (self.datadir / "safety-failure.txt").write_text("why it votes no more")
        number, out, _ = self.run_cli("backup", "--datadir", str(self.datadir), str(self.base / "copy"))
        self.assertEqual(number, 0)
        self.assertIn("no wallet", out)
        names = ["node.ini", "node.key", "safety-failure.txt"]
        self.assertEqual(sorted(os.listdir(self.base / "copy")), names)
        for name in names:
            self.assertEqual((self.base / "copy" / name).read_bytes(), (self.datadir / name).read_bytes())
            self.assertEqual(stat.S_IMODE((self.base / "copy" / name).stat().st_mode), 0o600)
        self.assertEqual(stat.S_IMODE((self.base / "copy").stat().st_mode), 0o700)

    def test_of_a_directory_without_a_key_is_none(self) -> None:
        """As when it was removed under a node, which makes a part of it again."""
        self.init("--keys")
        (self.datadir / "node.key").unlink()
        number, _, err = self.run_cli("backup", "--datadir", str(self.datadir), str(self.base / "copy"))
        self.assertEqual(number, 1)
        self.assertIn("there is no node.key", err)
        self.assertFalse((self.base / "copy").exists())

    def test_overwrites_nothing_and_leaves_nothing_half_done(self) -> None:
        self.init("--keys")
        (self.base / "copy").mkdir()
        self.assertEqual(
            self.run_cli("backup", "--datadir", str(self.datadir), str(self.base / "copy"))[0], 1
        )
        self.assertEqual(os.listdir(self.base / "copy"), [])
        (self.datadir / "wallet.json").write_text("damaged")
        self.assertEqual(self.run_cli("backup", "--datadir", str(self.datadir), str(self.base / "new"))[0], 1)
        self.assertEqual(sorted(os.listdir(self.base)), ["copy", "node"])

    def test_of_a_running_node_its_wallet_is_copied_by_the_node(self) -> None:
        with FakeNode({"backupwallet": backed_up}) as node:
            self.init("--keys", "--set", f"rpc.port={node.location.port}")
            (self.datadir / ".cookie").write_text(f"{USER}:{PASSWORD}")
            (self.datadir / "wallet.json").write_text("in use")
            number, out, _ = self.run_cli("backup", "--datadir", str(self.datadir), str(self.base / "copy"))
        self.assertEqual(number, 0)
        self.assertIn("2 keys, by the running node", out)
        self.assertEqual((self.base / "copy" / "wallet.json").read_text(), "a copy")

    def test_an_account_takes_the_place_of_the_cookie(self) -> None:
        with FakeNode({"backupwallet": backed_up}) as node:
            self.init("--keys", "--set", f"rpc.port={node.location.port}")
            (self.datadir / "wallet.json").write_text("in use")
            account = ("--rpcuser", USER, "--rpcpassword", "-")
            words = ("backup", "--datadir", str(self.datadir), str(self.base / "copy"))
            number, out, err = self.run_cli(*account, *words, stdin=f"{PASSWORD}\n")
        self.assertEqual((number, err), (0, ""))
        self.assertIn("2 keys, by the running node", out)

    def test_a_copy_that_was_written_on_another_machine_is_none(self) -> None:
        with FakeNode({"backupwallet": lambda path: {"bytes": 6, "keys": 2}}) as node:
            self.init("--keys", "--set", f"rpc.port={node.location.port}")
            (self.datadir / ".cookie").write_text(f"{USER}:{PASSWORD}")
            (self.datadir / "wallet.json").write_text("in use")
            number, _, err = self.run_cli("backup", "--datadir", str(self.datadir), str(self.base / "copy"))
        self.assertEqual(number, 1)
        self.assertIn("another machine", err)
        self.assertEqual(sorted(os.listdir(self.base)), ["node"])

    def test_a_node_that_does_not_take_the_cookie_is_not_gone_around(self) -> None:
        with FakeNode({}) as node:
            self.init("--keys", "--set", f"rpc.port={node.location.port}")
            (self.datadir / ".cookie").write_text(f"{USER}:old")
            (self.datadir / "wallet.json").write_text("in use")
            number, _, err = self.run_cli("backup", "--datadir", str(self.datadir), str(self.base / "copy"))
        self.assertEqual(number, 4)
        self.assertIn("credentials", err)


class OfflineSignatures(CommandCase):
    def setUp(self) -> None:
        super().setUp()
        self.keys, outbox = seeded()
        lock = self.keys.take(RECEIVE).lock
        coin = Output(value=10 * 10**8, lock=lock)
        friend = Output(value=9 * 10**8, lock=Lock.key_hash(wallet_key(9).public))
        paid = Transaction.make(inputs=[OutPoint(bytes(32), 0)], outputs=[friend])
        exported = Exported(paid, (coin,), hints_for(self.keys, [lock]))
        self.payment = self.base / "payment.json"
        self.payment.write_text(encode_export(exported, REGTEST))
        self.wallet = str(self.base / "wallet.json")
        file = WalletFile(self.wallet, REGTEST.name)
        file.load()
        file.append(outbox)
        encrypt(self.keys)
        file.compact(self.keys.records(), wipe=True)
        file.close()

    def sign(self, *words: str, stdin: str = f"{PASSPHRASE}\n") -> tuple[int, str, str]:
        place = ("--network", "regtest", "--wallet", self.wallet, "--high-fee")
        return self.run_cli("sign-offline", str(self.payment), *place, *words, stdin=stdin)

    def test_shows_what_is_signed_and_gives_it_complete(self) -> None:
        number, out, err = self.sign("--yes")
        self.assertEqual(number, 0, err)
        self.assertTrue(decode_export(out.strip(), REGTEST).complete)
        self.assertIn("9.00000000", err)
        self.assertIn("1.00000000  fee", err)
        self.assertIn("complete", err)
        self.assertEqual(self.sign("--yes", "--out", str(self.base / "signed"))[0], 0)
        self.assertEqual((self.base / "signed").read_text(), out)
        self.assertEqual(self.sign("--yes", "--out", str(self.base / "signed"))[0], 1)
        (self.base / "taken").write_text("kept")
        self.assertEqual(self.sign("--yes", "--out", str(self.base / "taken"))[0], 1)
        self.assertEqual((self.base / "taken").read_text(), "kept")

    def test_another_network_is_told_with_the_option_that_names_it(self) -> None:
        number, out, err = self.sign("--yes", "--network", "testnet")
        self.assertEqual((number, out), (1, ""))
        self.assertIn("--network", err)

    def test_signs_nothing_unseen(self) -> None:
        number, out, err = self.sign()
        self.assertEqual((number, out), (2, ""))
        self.assertIn("--yes", err)

    def test_what_cannot_be_signed_is_one_sentence(self) -> None:
        for words, stdin in ((("--yes",), "wrong\n"), (("--yes", "--network", "testnet"), "")):
            number, out, err = self.sign(*words, stdin=stdin)
            self.assertEqual((number, out), (1, ""), words)
            self.assertNotIn("Traceback", err)
        self.payment.write_text("{")
        self.assertEqual(self.sign("--yes")[0], 1)


class Every(CommandCase):
    def test_command_has_its_help_and_names_the_words_that_follow(self) -> None:
        for name, command in COMMANDS.items():
            number, out, _ = self.run_cli("help", name)
            self.assertEqual(number, 0, name)
            for word in command.words:
                self.assertIn(word, out)
