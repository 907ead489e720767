"""`timed-cli` before a node that answers what the test says: options, exit status, secrets, screens."""

from __future__ import annotations

import getpass
import io
import json
import os
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from tests.test_client_retry import LOST
from timed.cli import main as cli
from timed.cli import secrets, show, status
from timed.cli import words as conversion
from timed.cli.options import GROUPS, OPTIONS, Options, UsageError, split
from timed.cli.place import locate
from timed.cli.words import arguments
from timed.client.errors import RpcFailure
from timed.client.testing import PASSWORD, USER, FakeNode, Refusal
from timed.rpc.method import Method, Param
from timed.rpc.schema import Integer

NODE_ID = "ab" * 32
PEER = {
    "id": 1, "nodeid": NODE_ID, "addr": "192.0.2.7:24000", "inbound": False, "class": "member", "pingtime": Decimal("0.012"),
    "minping": Decimal("0.01"), "conntime": 1_790_000_000, "lastrecv": 1_790_000_100, "lastsend": 0, "bytesrecv": 2_500,
    "bytessent": 900, "queued_bytes": 0, "score": Decimal("0.0"), "subver": "/x\x1b[2J/",
}  # fmt: skip
NODE = {
    "getblockchaininfo": {"chain": "regtest", "blocks": 7, "headers": 9, "time": 1_790_000_000, "syncing": True,
                          "verificationprogress": Decimal("0.8"), "bestblockhash": "00" * 32, "warnings": "low disk"},
    "getnetworkinfo": {"subversion": "/timed/", "protocolversion": 2, "nodeid": NODE_ID, "connections": 1,
                       "connections_in": 0, "connections_out": 1, "warnings": ""},
    "getconsensusinfo": {"epoch": 8, "round": 0, "step": "waiting", "final": 1, "certified": 2, "transactions": 3,
                         "quorum": 2, "total_weight": 3},
    "masternodestatus": {"status": "not a masternode", "index": None},
    "getmempoolinfo": {"size": 3, "bytes": 633},
    "getwalletinfo": RpcFailure(-18, "There is no wallet", {"rule": "no-wallet"}),
    "uptime": 3_700,
    "getpeerinfo": [PEER],
    "getnettotals": {"totalbytesrecv": 2_500, "totalbytessent": 900},
}  # fmt: skip


class Terminal(io.StringIO):
    """What a person reads and types."""

    def isatty(self) -> bool:
        return True


class CliCase(SynchronousTestCase):
    terminal = False
    """A person sits at standard input and error."""

    def run_cli(self, *words: str, stdin: str | io.TextIOBase = "") -> tuple[int, str, str]:
        stream = Terminal if self.terminal else io.StringIO
        out, err = io.StringIO(), stream()
        for module in (cli, show, secrets):
            self.patch(module.sys, "stdout", out)
            self.patch(module.sys, "stderr", err)
            self.patch(module.sys, "stdin", stream(stdin) if isinstance(stdin, str) else stdin)
        return cli.main(words), out.getvalue(), err.getvalue()

    def node(self, answers: Any, *refusals: Refusal) -> FakeNode:
        node = FakeNode(answers, list(refusals))
        node.__enter__()
        self.addCleanup(node.__exit__)
        return node

    def call(self, node: FakeNode, *words: str, stdin: str = "") -> tuple[int, str, str]:
        return self.run_cli("--rpc-url", node.url, *words, stdin=stdin)


class ExitStatus(CliCase):
    def test_each_failure_has_its_own(self) -> None:
        for refusal, number in (
            (Refusal(401), status.REFUSED), (Refusal(403), status.REFUSED), (Refusal(429, "7"), status.LATER),
            (Refusal(503), status.LATER), (Refusal(500), status.FAILED), (Refusal(0), status.UNREACHABLE),
        ):  # fmt: skip
            found, out, err = self.call(self.node({"uptime": 1}, refusal), "uptime")
            self.assertEqual((found, out), (number, ""), refusal)
            self.assertTrue(err.startswith("timed-cli: "), err)
        self.assertIn("7 s", self.call(self.node({}, Refusal(429, "7")), "uptime")[2])

    def test_errors_of_the_node(self) -> None:
        for code, rule, number in (
            (-5, "block-unknown", 1), (-28, "warming-up", 5), (-32600, "forbidden", 4), (-32603, "", 1),
        ):  # fmt: skip
            node = self.node({"uptime": RpcFailure(code, "no", {"rule": rule, "hint": "Mend it."})})
            found, out, err = self.call(node, "uptime")
            self.assertEqual((found, out, err), (number, "", f"error: no ({code})\nMend it.\n"))

    def test_a_wrong_argument_shows_how_the_method_is_called(self) -> None:
        node = self.node({"getblock": RpcFailure(-8, "Parameter 'block' is wrong")})
        self.assertIn("usage: timed-cli getblock block ( verbosity )", self.call(node, "getblock", "7")[2])

    def test_a_node_that_starts_is_waited_for_only_when_asked(self) -> None:
        for words, number in (((), 5), (("--wait", "20"), 0)):
            node = self.node({"uptime": 1}, Refusal(503))
            self.assertEqual(self.call(node, *words, "uptime")[0], number)

    def test_a_payment_that_may_have_left_is_not_repeated_by_wait(self) -> None:
        for refusal in (Refusal(0), Refusal(503, "1", LOST, "application/json")):
            node = self.node({"sendtoaddress": "id"}, refusal)
            found = self.call(node, "--wait", "20", "sendtoaddress", "a", "1")
            self.assertEqual((found[0], node.calls), (status.UNREACHABLE, []))

    def test_every_status_is_explained_in_the_help(self) -> None:
        text = self.run_cli("--help")[1]
        for number, meaning in status.MEANINGS.items():
            self.assertIn(f"  {number}", text)
            self.assertIn(meaning[:40], text)


class Display(CliCase):
    def test_json_is_exact_and_the_same_on_a_terminal_or_in_a_pipe(self) -> None:
        node = self.node({"getmempoolinfo": {"fee": Decimal("0.00000001"), "size": 3}, "getblockhash": "ab"})
        self.assertEqual(self.call(node, "getmempoolinfo")[1], '{\n  "fee": 0.00000001,\n  "size": 3\n}\n')
        self.assertEqual(self.call(node, "--compact", "getmempoolinfo")[1], '{"fee":0.00000001,"size":3}\n')
        self.assertEqual(self.call(node, "getblockhash", "1")[1], "ab\n")
        self.assertEqual(self.call(node, "--json", "getblockhash", "1")[1], '"ab"\n')

    def test_getinfo_shows_what_it_can_and_why_not_the_rest(self) -> None:
        found, out, _ = self.call(self.node(NODE), "-getinfo")
        self.assertEqual(found, 0)
        for text in ("7 of 9", "catching up, 80.00 %", "up 1h01m", "low disk", "1 final, 2 certified of 3", "2 of 3",
                     "(getwalletinfo: There is no wallet (-18))", NODE_ID, "633B"):  # fmt: skip
            self.assertIn(text, out)

    def test_netinfo_shows_peers_and_nothing_a_terminal_obeys(self) -> None:
        out = self.call(self.node(NODE), "-netinfo")[1]
        for text in ("192.0.2.7:24000", "out", "member", "12ms", "2.5kB", NODE_ID, "\\x1b[2J"):
            self.assertIn(text, out)
        self.assertNotIn("\x1b", out)
        self.assertIn("no peers", self.call(self.node({**NODE, "getpeerinfo": []}), "-netinfo")[1])

    def test_a_screen_as_json_is_what_the_calls_gave(self) -> None:
        found = json.loads(self.call(self.node(NODE), "--json", "-getinfo")[1])
        self.assertEqual(found["uptime"], 3_700)
        self.assertEqual(found["getwalletinfo"]["code"], -18)

    def test_a_node_that_refuses_everything_is_an_error_of_the_screen(self) -> None:
        self.assertEqual(self.call(self.node({}), "-getinfo")[0], 1)

    def test_an_error_holds_nothing_a_terminal_obeys(self) -> None:
        hostile = RpcFailure(-5, "a\x1b[2Jb", {"hint": "c\x9bd"})
        err = self.call(self.node({"uptime": hostile}), "uptime")[2]
        self.assertEqual(err, "error: a\\x1b[2Jb (-5)\nc\\x9bd\n")
        err = self.call(self.node({}, Refusal(500, body="\x1b[2J")), "uptime")[2]
        self.assertIn("\\x1b[2J", err)

    def test_a_screen_of_which_a_part_was_handed_on_and_lost(self) -> None:
        lost = RpcFailure(-28, "It went away", {"rule": "chain-lost", "hint": "Look."})
        node = self.node({**NODE, "uptime": lost})
        found, out, _ = self.call(node, "-getinfo")
        self.assertEqual(found, 0)
        self.assertIn("(uptime: It went away. Look.)", out)
        self.assertEqual(json.loads(self.call(node, "--json", "-getinfo")[1])["uptime"]["code"], None)

    def test_watch_repeats_until_interrupted_and_survives_a_node_that_is_away(self) -> None:
        node = self.node({"getblockcount": 7}, Refusal(503))
        slept: list[float] = []

        def sleep(seconds: float) -> None:
            slept.append(seconds)
            if len(slept) == 3:
                raise KeyboardInterrupt

        self.patch(show.time, "sleep", sleep)
        self.patch(show.watch, "__defaults__", (sleep,))
        found, out, _ = self.call(node, "--watch", "5", "getblockcount")
        self.assertEqual((found, slept), (0, [5.0, 5.0, 5.0]))
        self.assertEqual(out.splitlines()[1:], ["7", "7"])
        self.assertNotIn("\x1b", out)

    def test_watch_ends_when_nobody_reads(self) -> None:
        shown = []

        def write(text: str) -> bool:
            shown.append(text)
            return len(shown) < 3

        self.patch(show, "write", write)
        self.assertEqual(show.watch(lambda: ("7", 0), 1.0, lambda seconds: None), 0)
        self.assertEqual(len(shown), 3)

    def test_json_shows_nothing_a_terminal_obeys_and_says_the_same(self) -> None:
        hostile = {"subver\x9b": "a\x1b[2J\x9b2J\u202eb\U000e0001"}
        out = self.call(self.node({"getnetworkinfo": hostile}), "getnetworkinfo")[1]
        self.assertTrue(all(line.isprintable() for line in out.splitlines()))
        self.assertEqual(json.loads(out), hostile)


class Secrets(CliCase):
    def test_stdin_takes_secrets_from_its_lines_and_the_rest_from_the_words(self) -> None:
        node = self.node({"walletpassphrase": None, "walletpassphrasechange": None, "restorewallet": {}})
        self.call(node, "--stdin", "walletpassphrase", "60", stdin="correct horse\n")
        self.call(node, "--stdin", "walletpassphrasechange", stdin="old\nnew\n")
        self.call(node, "--stdin", "--named", "restorewallet", "gap=20", stdin="legal winner\n")
        self.call(node, "--stdin", "restorewallet", "20", stdin="legal winner\n\n")
        self.assertEqual(node.calls, [
            ("walletpassphrase", ["correct horse", 60]),
            ("walletpassphrasechange", ["old", "new"]),
            ("restorewallet", {"gap": 20, "source": "legal winner"}),
            ("restorewallet", ["legal winner", None, 20]),
        ])  # fmt: skip
        found, _, err = self.call(node, "--stdin", "walletpassphrase", "60", stdin="")
        self.assertEqual(found, 2)
        self.assertIn("'passphrase'", err)

    def test_on_a_terminal_a_new_passphrase_is_typed_twice_and_unseen(self) -> None:
        node = self.node({"walletpassphrasechange": None, "walletpassphrase": None})
        typed, asked = iter(["old", "new", "new", "new", "old", "new", "knew"]), []
        self.patch(getpass, "getpass", lambda prompt: (asked.append(prompt), next(typed))[1])
        self.terminal = True
        self.assertEqual(self.call(node, "--stdin", "walletpassphrasechange")[0], 0)
        self.assertEqual(asked, ["oldpassphrase: ", "newpassphrase: ", "the same once more: "])
        self.assertEqual(self.call(node, "--stdin", "walletpassphrase", "60")[0], 0)
        found, _, err = self.call(node, "--stdin", "walletpassphrasechange")
        self.assertEqual(found, 2)
        self.assertIn("not the same", err)
        calls = [("walletpassphrasechange", ["old", "new"]), ("walletpassphrase", ["new", 60])]
        self.assertEqual(node.calls, calls)

    def test_a_secret_on_the_command_line_is_carried_out_and_a_person_is_warned(self) -> None:
        node = self.node({"walletpassphrase": None, "uptime": 5})
        self.assertEqual(self.call(node, "walletpassphrase", "horse", "60")[2], "", "scripts read no notes")
        self.terminal = True
        found, _, err = self.call(node, "walletpassphrase", "horse", "60")
        self.assertEqual(found, 0)
        self.assertIn("can read passphrase on the command line", err)
        self.assertNotIn("horse", err)
        named = self.call(node, "--named", "walletpassphrase", "timeout=60", "passphrase=horse")
        self.assertIn("passphrase", named[2])
        self.assertEqual(self.call(node, "uptime")[2], "")

    def test_a_wrong_secret_is_not_repeated_in_the_complaint(self) -> None:
        pin = Method(
            "unlock", "wallet", "Unlocks.", "null", (Param("pin", Integer(), "The pin.", secret=True),)
        )
        self.patch(conversion, "METHODS", {"unlock": pin})
        with self.assertRaises(UsageError) as caught:
            arguments("unlock", ["12e4"], False)
        self.assertIn("'pin'", str(caught.exception))
        self.assertNotIn("12e4", str(caught.exception))

    def test_a_dash_is_the_whole_of_standard_input(self) -> None:
        node = self.node({"sendrawtransaction": "id"})
        self.call(node, "sendrawtransaction", "-", stdin="00ff\n")
        self.assertEqual(node.calls, [("sendrawtransaction", ["00ff"])])

    def test_bytes_that_are_no_text_are_a_usage_error(self) -> None:
        for words in (
            ("sendrawtransaction", "-"), ("--stdin", "walletpassphrase", "60"), ("rpcauth", "alice", "-"),
        ):  # fmt: skip
            stdin = io.TextIOWrapper(io.BytesIO(b"\xff\n"), encoding="utf-8")
            found, out, err = self.run_cli("--rpc-url", "http://a:b@127.0.0.1:1", *words, stdin=stdin)
            self.assertEqual((found, out), (2, ""), words)
            self.assertIn("standard input", err)

    def test_the_password_comes_from_standard_input_or_the_environment(self) -> None:
        node = self.node({"uptime": 1})
        url = node.url.replace(f"{USER}:{PASSWORD}@", "")
        words = ("--rpc-url", url, "--rpcuser", USER)
        self.assertEqual(self.run_cli(*words, "--rpcpassword", "-", "uptime", stdin=f"{PASSWORD}\n")[0], 0)
        self.assertEqual(self.run_cli(*words, "--rpcpassword", "-", "uptime", stdin="wrong\n")[0], 4)
        options, _ = split(
            ["--rpcuser", "a"], {"TIMED_RPCPASSWORD": "b", "TIMED_RPCUSER": "c", "TIMED_DATADIR": "/d"}
        )
        self.assertEqual((options.rpcuser, options.rpcpassword, options.datadir), ("a", "b", "/d"))
        self.assertNotIn("b'", repr(options))

    def test_the_command_line_overrules_the_environment(self) -> None:
        environment = {"TIMED_RPCUSER": "c", "TIMED_DATADIR": "/d"}
        for words in (["--node-id", "1"], ["--config", "x"], ["--rpc-url", "http://u:p@h:1"]):
            self.assertEqual(split(words, environment)[0].datadir, "")
        for words in (["--rpccookiefile", "x"], ["--rpc-url", "http://u:p@h:1"]):
            self.assertEqual(split(words, environment)[0].rpcuser, "")

    def test_the_password_is_the_first_line(self) -> None:
        node = self.node({"walletpassphrase": None})
        url = node.url.replace(f"{USER}:{PASSWORD}@", "")
        words = (
            "--rpc-url",
            url,
            "--rpcuser",
            USER,
            "--rpcpassword",
            "-",
            "--stdin",
            "walletpassphrase",
            "60",
        )
        self.assertEqual(self.run_cli(*words, stdin=f"{PASSWORD}\nhorse\n")[0], 0)
        self.assertEqual(node.calls, [("walletpassphrase", ["horse", 60])])


class CommandLine(CliCase):
    def test_the_table_of_options_is_the_options(self) -> None:
        self.assertEqual(set(OPTIONS), set(Options.__annotations__))
        self.assertEqual(sum(map(len, GROUPS.values())), len(OPTIONS))

    def test_mistakes_name_what_was_meant(self) -> None:
        for words, text in (
            (["--datdir", "x", "uptime"], "did you mean --datadir?"),
            (["--network", "tesnet", "uptime"], "mainnet, testnet, regtest"),
            (["--json", "--human", "uptime"], "do not go together"),
            (["--timeout", "-1", "uptime"], "out of range"),
            (["--timeout", "nan", "uptime"], "out of range"),
            (["--rpcport", "65536", "uptime"], "out of range"),
            (["getpeerinfo", "--human"], "stand before the method"),
            (["getblokcount"], "getblockcount"),
            (["balance"], "getbalance"),
            (["-getinfo", "uptime"], "stands nothing"),
            (["setban", "x", "ad"], "one of add, remove"),
            (["getblockhash", "1.5"], "'height' is not of type integer"),
            (["getrawmempool", "1"], "'verbose' is not of type boolean"),
            (["--named", "getblock", "blok=1"], "did you mean block?"),
            (["--named", "getblock", "block=1", "block=2"], "given twice"),
        ):  # fmt: skip
            found, out, err = self.run_cli(*words)
            self.assertEqual((found, out), (2, ""), words)
            self.assertIn(text, err)

    def test_watch_takes_a_number_or_none(self) -> None:
        for words, seconds in (
            (["--watch", "uptime"], 2.0),
            (["--watch", "0.5", "uptime"], 0.5),
            (["--watch=9", "uptime"], 9.0),
        ):
            options, rest = split(words, {})
            self.assertEqual((options.watch, rest), (seconds, ["uptime"]))
        with self.assertRaises(UsageError):
            split(["--watch", "0.01", "uptime"], {})

    def test_help_needs_no_node(self) -> None:
        found, out, _ = self.run_cli("help")
        self.assertEqual(found, 0)
        for text in ("Wallet methods:", "--rpccookiefile", "getblockcount", "seedlist", "Exit status:"):
            self.assertIn(text, out)
        self.assertEqual(self.run_cli("help", "getblokc")[0], 2)

    def test_the_place_of_a_node(self) -> None:
        def place(*words: str) -> Any:
            return locate(split([*words, "uptime"], {})[0])

        directory = Path(self.mktemp())
        directory.mkdir()
        self.assertEqual(place("--datadir", str(directory), "--network", "regtest").port, 8000)
        (directory / "node.ini").write_text(
            "[node]\nnetwork = regtest\n[rpc]\nport = 1234\nhost = 0.0.0.0\ncookie = c\n"
        )
        found = place("--datadir", str(directory))
        self.assertEqual((found.host, found.port), ("127.0.0.1", 1234))
        self.assertEqual(found.cookie_file, str(directory.absolute() / "c"))
        self.assertEqual(place("--config", str(directory / "node.ini")).port, 1234)
        with mock.patch.dict(os.environ, {"HOME": str(directory.parent.absolute())}):
            self.assertEqual(place("--datadir", f"~/{directory.name}"), found)
        self.assertEqual(place("--datadir", str(directory), "--rpcport", "5").port, 5)
        found = place(
            "--rpcconnect", "node.example", "--cacert", "/ca", "--rpccookiefile", "/k", "--datadir", "/x"
        )
        self.assertTrue(found.url.startswith("https://node.example:"))
        self.assertEqual((found.ca_file, found.cookie_file), ("/ca", "/k"))
