"""`timed-cli`: exit codes, sentences, names and arguments."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.rpc_service import DEADLINE_S, ServiceTestCase
from timed.cli import main as cli
from timed.cli.options import UsageError, split
from timed.cli.place import locate
from timed.cli.words import arguments, method_name
from timed.rpc.credentials import make
from timed.rpc.method import READ
from timed.rpc.table import METHODS
from timed.testnet.freeports import free_ports
from timed.wallet.walletcopy import read_wallet

ROOT = str(Path(__file__).parent.parent)


def run(*words: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "timed.cli.main", *words],
        capture_output=True, text=True, timeout=DEADLINE_S, check=False, env={**os.environ, "PYTHONPATH": ROOT},
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


class AgainstANode(ServiceTestCase):
    def cli(self, *words: str) -> Any:
        return self.in_thread(run, "--datadir", self.directory, "--rpcport", str(self.rpc_port), *words)

    async def test_a_result_is_printed_and_the_exit_status_is_0(self) -> None:
        genesis = self.context.chosen_genesis.hash.hex()
        self.assertEqual(await self.cli("getblockhash", "0"), (0, genesis + "\n", ""))
        status, out, _ = await self.cli("get-block-header", genesis)
        self.assertEqual((status, json.loads(out)["height"]), (0, 0))
        self.assertIn('"reward": 1000000.00000000', out)
        self.assertEqual((await self.cli("getbalance"))[1], "1000000.00000000\n")
        self.assertEqual(await self.cli("gettxout", "00" * 32, "0"), (0, "", ""))

    async def test_named_arguments(self) -> None:
        status, out, _ = await self.cli("-named", "getblock", "verbosity=2", "block=0")
        self.assertEqual((status, json.loads(out)["tx"][0]["kind"]), (0, "coinbase"))

    async def test_a_payment_end_to_end(self) -> None:
        _, address, _ = await self.cli("getnewaddress", "shop")
        status, txid, _ = await self.cli("send-to-address", address.strip(), "0.10000001")
        self.assertEqual(status, 0)
        _, out, _ = await self.cli("waittransactionfinality", txid.strip(), "10")
        self.assertTrue(json.loads(out)["final"])

    async def test_screens_and_tables_of_a_real_node(self) -> None:
        status, out, _ = await self.cli("-getinfo")
        self.assertEqual((status, out.count("\n(")), (0, 0), out)
        self.assertIn("1000000.00000000 TIME", out)
        self.assertEqual((await self.cli("-netinfo"))[0], 0)
        _, out, _ = await self.cli("--human", "listunspent")
        self.assertEqual(out.split()[0], "amount")

    async def test_a_backup_of_a_running_node_is_made_by_it(self) -> None:
        Path(self.directory, "node.ini").write_text(
            f"[node]\nnetwork = regtest\n[rpc]\nport = {self.rpc_port}\n"
        )
        Path(self.directory, "node.key").write_text("a key")
        copy = Path(self.directory).absolute() / "copy"
        status, out, err = await self.in_thread(run, "--datadir", self.directory, "backup", str(copy))
        self.assertEqual((status, err), (0, ""))
        self.assertIn("by the running node", out)
        self.assertEqual(sorted(os.listdir(copy)), ["node.ini", "node.key", "wallet.json"])
        self.assertTrue(await self.in_thread(read_wallet, str(copy / "wallet.json"), "regtest"))

    async def test_an_error_of_the_node_is_status_1_with_its_hint(self) -> None:
        status, out, err = await self.cli("getblockhash", "999999")
        self.assertEqual((status, out), (1, ""))
        self.assertIn("Block height out of range (-8)", err)
        self.assertIn("The newest block is", err)

    async def test_wrong_credentials_are_status_4(self) -> None:
        url = f"http://someone:else@127.0.0.1:{self.rpc_port}"
        status, _, err = await self.in_thread(run, "--rpc-url", url, "uptime")
        self.assertEqual(status, 4)
        self.assertIn("cookie", err)


class AsAReader(ServiceTestCase):
    def rpc_settings(self) -> dict[str, Any]:
        return {"auth": (make("reader", "secret", bytes),), "roles": {"reader": READ}}

    async def test_a_screen_shows_what_the_account_may_see_and_why_not_the_rest(self) -> None:
        url = f"http://reader:secret@127.0.0.1:{self.rpc_port}"
        status, out, err = await self.in_thread(run, "--rpc-url", url, "-getinfo")
        self.assertEqual((status, err), (0, ""))
        self.assertIn("Height      0 of 0", out)
        self.assertIn("(getwalletinfo: Method getwalletinfo needs the permission 'wallet' (-32600))", out)


class Words(SynchronousTestCase):
    def call(self, *words: str) -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        self.patch(cli.sys, "stdout", out)
        self.patch(cli.sys, "stderr", err)
        return cli.main(words), out.getvalue(), err.getvalue()

    def test_nobody_there_is_status_3_and_says_how_to_mend_it(self) -> None:
        [port] = free_ports(1)
        status, _, err = self.call("--rpc-url", f"http://u:p@127.0.0.1:{port}", "uptime")
        self.assertEqual(status, 3)
        self.assertIn("Start it", err)
        status, _, err = self.call("--datadir", self.mktemp(), "uptime")
        self.assertEqual(status, 3)
        self.assertIn("--datadir", err)

    def test_usage_errors_are_status_2(self) -> None:
        for words in (
            (), ("--nonsense", "uptime"), ("--rpcport", "x", "uptime"), ("--rpcport",), ("getblokc",), ("getblock",),
            ("getblock", "1", "1", "1"), ("getblockhash", "x"), ("gettxout", "00", "[")
            , ("-named", "getblock", "1"), ("-named", "getblock", "nosuch=1"), ("-named", "getblock", "verbosity=1"),
            ("--network", "nosuch", "uptime"),
        ):  # fmt: skip
            status, out, err = self.call(*words)
            self.assertEqual((status, out), (2, ""), words)
            self.assertTrue(err)

    def test_a_misspelt_method_names_the_nearest(self) -> None:
        self.assertIn("did you mean getblock ", self.call("getblokc")[2])

    def test_a_method_that_is_absent_on_purpose_says_why_and_what_to_use(self) -> None:
        for words in (("getdifficulty",), ("get-difficulty", "1"), ("help", "getdifficulty")):
            number, out, err = self.call(*words)
            self.assertEqual((number, out), (2, ""), words)
            self.assertIn("without work", err)
            self.assertIn("getconsensusinfo", err)

    def test_help_and_version(self) -> None:
        status, out, _ = self.call("--help")
        self.assertEqual(status, 0)
        for method in METHODS:
            self.assertIn(method, out)
        self.assertTrue(self.call("--version")[1].startswith("timed-cli "))

    def test_both_spellings_of_a_name(self) -> None:
        self.assertEqual(method_name("get-block-count"), method_name("getblockcount"))

    def test_options_take_their_value_either_way(self) -> None:
        self.assertEqual(split(["--rpcport=5", "-datadir", "x", "uptime", "-y"])[0].rpcport, 5)
        self.assertEqual(split(["--rpcport=5", "-datadir", "x", "uptime", "-y"])[1], ["uptime", "-y"])
        with self.assertRaises(UsageError):
            split(["--help=1"])

    def test_arguments_become_json_by_the_table(self) -> None:
        for name, words, values in (
            ("getblock", ["5"], [5]),
            ("getblock", ["ab" * 32, "2"], ["ab" * 32, 2]),
            ("sendtoaddress", ["TIMER1", "0.1", "7"], ["TIMER1", "0.1", "7"]),
            ("getrawmempool", ["true"], [True]),
            ("createrawtransaction", ["[]", '{"a": 1.5}'], [[], {"a": "1.5"}]),
            ("waittransactionfinality", ["00", "2.5"], ["00", 2.5]),
            ("getnewaddress", ["5"], ["5"]),
        ):  # fmt: skip
            self.assertEqual(arguments(name, words, False), values)

    def test_every_example_of_the_documentation_can_be_typed(self) -> None:
        import shlex

        for method in METHODS.values():
            words = shlex.split(method.example)
            self.assertEqual(len(arguments(method.name, words, False)), len(words), method.name)

    def test_results_are_shown_as_the_node_wrote_them(self) -> None:
        from timed.client.message import exact, load

        text = '{\n  "a": 0.00000001,\n  "b": [\n    1,\n    null\n  ],\n  "c": {},\n  "d": "ü"\n}'
        self.assertEqual(exact(load(text.encode())), text)
        self.assertEqual(exact(load(text.encode()), None), '{"a":0.00000001,"b":[1,null],"c":{},"d":"ü"}')

    def test_a_start_imports_neither_twisted_nor_treq(self) -> None:
        """What a start costs is what it imports: the HTTP client only for a call, tables only when shown.

        A configuration file is read with the checks of a node, but without its messages.
        """
        directory = Path(self.mktemp())
        directory.mkdir()
        (directory / "node.ini").write_text("[rpc]\nport = 1\n", encoding="utf-8")
        heavy = (
            "attr", "attrs", "dataclasses", "inspect", "timed.params", "timed.primitives",
            "twisted", "treq", "asyncio", "nacl", "OpenSSL", "cryptography", "msgspec", "construct", "argparse",
            "difflib", "http.client", "ssl", "getpass", "timed.app", "timed.cli.human", "timed.cli.helping",
            "timed.rpc.documentation", "timed.wire", "timed.peer",
        )  # fmt: skip
        code = (
            "import sys, timed.cli.main as m; m.main(%r);"
            f"print([name for name in {heavy!r} if name in sys.modules], file=sys.stderr)"
        )
        for words, loaded in (
            (["--version"], []),
            (["help", "getblock"], ["timed.cli.helping", "timed.rpc.documentation"]),
            (["--datadir", "/nowhere", "uptime"], ["http.client", "ssl"]),
            (
                ["--datadir", str(directory.absolute()), "uptime"],
                ["attr", "attrs", "inspect", "timed.params", "http.client", "ssl", "timed.app", "timed.peer"],
            ),
        ):
            done = subprocess.run(
                [sys.executable, "-c", code % words], capture_output=True, text=True, timeout=DEADLINE_S, check=True,
                env={**os.environ, "PYTHONPATH": ROOT},
            )  # fmt: skip
            self.assertEqual(done.stderr.splitlines()[-1], str(loaded), words)

    def test_the_ports_of_a_numbered_node(self) -> None:
        place = locate(split(["--node-id", "2", "uptime"])[0])
        self.assertEqual(place.port, 8001)
        self.assertTrue(place.cookie_file.endswith("timed-2/.cookie"))
