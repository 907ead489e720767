"""Help and documentation come from the table."""

from __future__ import annotations

import io
import os
from pathlib import Path

from tests.rpc_world import RpcTestCase
from timed.rpc import __main__ as command
from timed.rpc.absent import ABSENT
from timed.rpc.documentation import pages
from timed.rpc.table import METHODS

DOCS = Path(__file__).parent.parent / "docs" / "rpc"
WRITTEN = {"conventions.rst", "errors.rst"}
"""By hand, with tables of docs/tables.py in them."""


class Documentation(RpcTestCase):
    def test_the_committed_pages_are_what_the_table_says(self) -> None:
        """Make them anew with `python -m timed.rpc --docs docs/rpc`."""
        for name, text in pages().items():
            self.assertEqual((DOCS / name).read_text(encoding="utf-8"), text, name)

    def test_no_page_is_left_over(self) -> None:
        self.assertEqual({path.name for path in DOCS.glob("*.rst")}, {*pages(), *WRITTEN})

    def test_the_command_writes_the_pages(self) -> None:
        folder = self.mktemp()
        os.mkdir(folder)
        self.assertEqual(command.main(["--docs", folder]), 0)
        self.assertEqual(set(os.listdir(folder)), set(pages()))

    def test_the_command_refuses_other_words(self) -> None:
        self.patch(command.sys, "stderr", io.StringIO())
        for words in (["--nonsense"], ["--docs"], ["--docs", "nowhere"]):
            self.assertEqual(command.main(words), 2)

    def test_help_lists_every_method(self) -> None:
        text = self.world.result("help")
        for method in METHODS.values():
            self.assertIn(method.usage, text)

    def test_help_of_a_method_names_every_argument_its_price_and_its_examples(self) -> None:
        for method in METHODS.values():
            text = self.world.result("help", method.name)
            self.assertTrue(text.startswith(method.usage))
            for param in method.params:
                self.assertIn(param.help, text)
            self.assertIn(f"Price: {method.cost}", text)
            for example in method.examples:
                self.assertIn(f"> timed-cli {method.name} {example}".rstrip(), text)

    def test_help_of_an_unknown_method_is_an_error(self) -> None:
        self.assertEqual(self.world.error("help", "nosuch")["code"], -32601)

    def test_help_of_a_method_of_other_nodes_says_why_it_is_not_here(self) -> None:
        error = self.world.error("help", "forceunlockall")
        self.assertEqual((error["code"], error["data"]["rule"]), (-32601, "method-meaningless"))
        self.assertIn(ABSENT["forceunlockall"].reason, error["message"])
