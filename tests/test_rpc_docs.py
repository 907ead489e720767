"""Help and documentation come from the table."""

from __future__ import annotations

import io
from pathlib import Path

from tests.rpc_world import RpcTestCase
from timed.rpc import __main__ as command
from timed.rpc.documentation import reference
from timed.rpc.table import METHODS

DOCS = Path(__file__).parent.parent / "docs" / "rpc.rst"


class Documentation(RpcTestCase):
    def test_the_committed_page_is_what_the_table_says(self) -> None:
        """Make it anew with `python -m timed.rpc --docs > docs/rpc.rst`."""
        self.assertEqual(DOCS.read_text(encoding="utf-8"), reference())

    def test_the_command_writes_the_page(self) -> None:
        out = io.StringIO()
        self.patch(command.sys, "stdout", out)
        self.assertEqual(command.main(["--docs"]), 0)
        self.assertEqual(out.getvalue(), reference())

    def test_the_command_refuses_other_words(self) -> None:
        self.patch(command.sys, "stderr", io.StringIO())
        self.assertEqual(command.main(["--nonsense"]), 2)

    def test_help_lists_every_method(self) -> None:
        text = self.world.result("help")
        for method in METHODS.values():
            self.assertIn(method.usage, text)

    def test_help_of_a_method_names_every_argument(self) -> None:
        for method in METHODS.values():
            text = self.world.result("help", method.name)
            self.assertTrue(text.startswith(method.usage))
            for param in method.params:
                self.assertIn(param.help, text)

    def test_help_of_an_unknown_method_is_an_error(self) -> None:
        self.assertEqual(self.world.error("help", "nosuch")["code"], -32601)
