"""Completion, by the shells themselves: each script is sourced and asked."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.rpc_service import DEADLINE_S
from timed.cli.completion import bash, fish, names, zsh
from timed.rpc.table import METHODS

LINES: tuple[tuple[tuple[str, ...], set[str]], ...] = (
    (("getblockco",), {"getblockcount"}),
    (("--network", ""), {"mainnet", "testnet", "regtest"}),
    (("--netw",), {"--network"}),
    (("--network", "regtest", "addnode", "x", ""), {"add", "remove", "onetry"}),
    (("set-ban", "x", "a"), {"add"}),
    (("getrawmempool", ""), {"true", "false"}),
    (("completion", "z"), {"zsh"}),
    (("help", "getblockco"), {"getblockcount"}),
    (("--watch", "getblockco"), {"getblockcount"}),
)


class Shell(SynchronousTestCase):
    program = ""

    def ask(self, script: str, program: str) -> list[str]:
        if shutil.which(program) is None:
            raise SkipTest(f"there is no {program} here")
        path = Path(self.mktemp())
        path.write_text(script)
        done = subprocess.run(
            [program, str(path)], capture_output=True, text=True, timeout=DEADLINE_S, check=True
        )
        self.assertEqual(done.stderr, "")
        return done.stdout.split("\n")[:-1]

    def assert_offered(
        self, found: list[str], expected: set[str], begun: str, words: tuple[str, ...]
    ) -> None:
        self.assertEqual({word for word in found if word.startswith(begun)}, expected, words)


class Bash(Shell):
    def complete(self, *words: str) -> list[str]:
        line = " ".join(f"'{word}'" for word in ("timed-cli", *words))
        tail = f"COMP_WORDS=({line}); COMP_CWORD={len(words)}; _timed_cli; printf '%s\\n' \"${{COMPREPLY[@]}}\"\n"
        return self.ask(f"set -u\n{bash()}{tail}", "bash")

    def test_offers_what_may_come(self) -> None:
        for words, expected in LINES:
            self.assert_offered(self.complete(*words), expected, words[-1], words)

    def test_an_empty_word_is_every_method_and_command(self) -> None:
        self.assertEqual(set(self.complete("")), set(names()))
        self.assertLessEqual(set(METHODS), set(names()))

    def test_names_of_arguments(self) -> None:
        self.assertEqual(self.complete("--named", "getblock", ""), ["block=", "verbosity="])

    def test_an_option_with_an_equals_sign(self) -> None:
        """Bash breaks words at `=`."""
        self.assertEqual(self.complete("--network", "=", "r"), ["regtest"])
        self.assertEqual(self.complete("--network", "="), ["mainnet", "testnet", "regtest"])
        self.assertEqual(self.complete("--network", "=", "regtest", "getblockco"), ["getblockcount"])


class Zsh(Shell):
    def test_offers_what_may_come(self) -> None:
        stubs = 'compadd() { shift; print -l -- "$@" }\n_files() { print files }\n'
        for words, expected in LINES:
            line = " ".join(f"'{word}'" for word in ("timed-cli", *words))
            tail = f"words=({line}); CURRENT={len(words) + 1}; _timed_cli\n"
            self.assert_offered(self.ask(stubs + zsh() + tail, "zsh"), expected, words[-1], words)


class Fish(Shell):
    def test_offers_what_may_come(self) -> None:
        for words, expected in LINES:
            line = " ".join(("timed-cli", *words))
            found = [each.split("\t")[0] for each in self.ask(f"{fish()}complete -C '{line}'\n", "fish")]
            self.assert_offered(found, expected, words[-1], words)
