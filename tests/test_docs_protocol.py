"""docs/protocol.rst says what the code does: its tables, its parameters, its rules and their tests."""

from __future__ import annotations

import ast
import importlib.util
import io
import re
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from types import ModuleType

import attrs
from twisted.trial.unittest import SynchronousTestCase

from timed.params import NetworkParams
from timed.primitives.roster import is_quorum
from timed.wire.catalogue import MESSAGES

ROOT = Path(__file__).resolve().parent.parent
PROTOCOL = ROOT / "docs" / "protocol.rst"
RULES = range(1, 23)
"""The numbers of the protocol's rules."""
RENEW = "Run `python docs/tables.py`."


def load_tables() -> ModuleType:
    """The script `docs/tables.py`, which is no part of any package."""
    spec = importlib.util.spec_from_file_location("docs_tables", ROOT / "docs" / "tables.py")
    if spec is None or spec.loader is None:
        raise ImportError("docs/tables.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tables = load_tables()


def text() -> str:
    return PROTOCOL.read_text(encoding="utf-8")


def table(name: str) -> str:
    """What stands between the markers of one table."""
    found = re.search(rf"^\.\. begin table {name}\n(.*?)^\.\. end table {name}\n", text(), re.M | re.S)
    return found[1].strip() if found else ""


def rows(name: str) -> list[list[str]]:
    """The cells of a list-table, row by row, the header first."""
    return [
        [cell.strip() for cell in re.split(r"^ +- ?", row, flags=re.M)]
        for row in re.split(r"^ +\* - ", table(name), flags=re.M)[1:]
    ]


class Tables(SynchronousTestCase):
    """What the declarations write is what stands in the page."""

    def test_values_and_messages_are_those_of_the_declarations(self) -> None:
        for name in ("values", "messages", "catalogue", "priorities", "flags"):
            self.assertEqual(table(name), tables.TABLES[name]().strip(), f"{name}. {RENEW}")

    def test_every_message_stands_in_the_catalogue(self) -> None:
        numbers = [int(row[0]) for row in rows("catalogue")[1:]]
        self.assertEqual(numbers, [entry.number for entry in MESSAGES])

    def test_parameters_are_those_of_the_networks(self) -> None:
        """Every field but the two names, with the value of each network."""
        self.assertEqual(table("parameters"), tables.parameters().strip(), RENEW)
        shown = {row[0].strip("`") for row in rows("parameters")[1:]}
        declared = {field.name for field in attrs.fields(NetworkParams)}
        self.assertEqual(shown, declared - {"name", "chain"})

    def test_the_fault_table_follows_from_the_quorum(self) -> None:
        """The least quorum; two quorums share more than the liars; the dead leave one."""
        self.assertEqual([int(row[0]) for row in rows("quorums")[1:]], [3, 4, 7, 10, 100])
        for row in rows("quorums")[1:]:
            members, quorum, liars, dead = map(int, row)
            self.assertTrue(is_quorum(quorum, members))
            self.assertFalse(is_quorum(quorum - 1, members))
            self.assertEqual(2 * quorum - members, liars + 1)
            self.assertTrue(is_quorum(members - dead, members))
            self.assertFalse(is_quorum(members - dead - 1, members))

    def test_a_page_that_differs_is_named_and_renewed(self) -> None:
        """`--check` says which page, the command mends it, and then there is nothing left to say."""
        page = Path(self.mktemp())
        page.mkdir()
        (page / "protocol.rst").write_text(
            "a\n\n.. begin table flags\n.. end table flags\n\nb\n", encoding="utf-8"
        )
        self.patch(tables, "DOCS", page)
        self.patch(tables, "ROOT", page)
        said = []
        for arguments in (["--check"], [], ["--check"], []):
            out = io.StringIO()
            with redirect_stdout(out):
                said.append((tables.main(arguments), out.getvalue()))
        self.assertEqual(
            said, [(1, "differs: protocol.rst\n"), (0, "wrote protocol.rst\n"), (0, ""), (0, "")]
        )
        renewed = (page / "protocol.rst").read_text(encoding="utf-8")
        self.assertIn("- compressed", renewed)
        self.assertTrue(renewed.startswith("a\n") and renewed.endswith("\nb\n"))

    def test_the_command_refuses_other_words(self) -> None:
        with redirect_stderr(io.StringIO()):
            self.assertEqual(tables.main(["--nonsense"]), 2)


def documented(name: str) -> list[str]:
    """The docstrings that speak for a test: its own, its class's, its module's."""
    module, *path = name.split(".")
    tree: ast.AST = ast.parse((ROOT / "tests" / f"{module}.py").read_text(encoding="utf-8"))
    found = [ast.get_docstring(tree) or ""]  # type: ignore[arg-type]
    for part in path:
        inside = [
            node
            for node in ast.iter_child_nodes(tree)
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == part
        ]
        if not inside:
            raise LookupError(name)
        tree = inside[0]
        found.append(ast.get_docstring(inside[0]) or "")
    return found


class Rules(SynchronousTestCase):
    """Every rule of the protocol is stated, and held by tests that bear its number."""

    def setUp(self) -> None:
        page = text()
        self.stated, _, rest = page.partition("\nRules and their tests\n")
        parts = re.split(r"^   \* - \[(\d+)\]\n", rest, flags=re.M)[1:]
        self.held = {
            int(number): re.findall(r"``((?:test|crypto)_[\w.]+)``", body)
            for number, body in zip(parts[::2], parts[1::2], strict=True)
        }

    def test_every_rule_is_stated_where_it_belongs(self) -> None:
        numbers = {int(number) for number in re.findall(r"``\[(\d+)\]``", self.stated)}
        self.assertEqual(numbers, set(RULES))

    def test_every_rule_names_its_tests(self) -> None:
        self.assertEqual(list(self.held), list(RULES))
        self.assertEqual([number for number, names in self.held.items() if not names], [])

    def test_the_tests_exist_and_bear_the_number(self) -> None:
        wrong = [
            f"[{number}] {name}"
            for number, names in self.held.items()
            for name in names
            if not any(f"[{number}]" in docstring for docstring in documented(name))
        ]
        self.assertEqual(wrong, [])
