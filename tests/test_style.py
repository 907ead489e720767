"""The house rules that no linter knows."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from timed.monitor.rules import RULES

ROOT = Path(__file__).resolve().parent.parent
MAX_MODULE_LINES = 500
MAX_FUNCTION_LINES = 70
GENERATED = ("_codec.py",)
EXACT = ("ledger", "consensus", "primitives")
"""Rooms in which every number is an integer."""


def modules(*rooms: str) -> Iterator[tuple[str, ast.Module, int]]:
    """(name, syntax tree, lines) of every module written by hand."""
    folders = [ROOT / "timed" / room for room in rooms] if rooms else [ROOT / "timed"]
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            if not path.name.endswith(GENERATED):
                text = path.read_text(encoding="utf-8")
                yield str(path.relative_to(ROOT)), ast.parse(text), text.count("\n")


def is_division(node: ast.AST) -> bool:
    """`a / b` of numbers: construct's `"name" / field` and `Decimal(...) / n` are something else."""
    if not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.Div):
        return False
    left = node.left
    declares = isinstance(left, ast.Constant) and isinstance(left.value, str)
    return not declares and not ast.unparse(left).startswith("Decimal(")


class HouseRules(SynchronousTestCase):
    def test_modules_stay_short(self) -> None:
        self.assertEqual([name for name, _, lines in modules() if lines > MAX_MODULE_LINES], [])

    def test_functions_stay_short(self) -> None:
        found = [
            f"{name}:{node.lineno} {node.name}"
            for name, tree, _ in modules()
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and (node.end_lineno or node.lineno) - node.lineno >= MAX_FUNCTION_LINES
        ]
        self.assertEqual(found, [])

    def test_every_module_says_what_it_is(self) -> None:
        self.assertEqual(
            [name for name, tree, _ in modules() if tree.body and not ast.get_docstring(tree)], []
        )

    def test_packages_hold_no_logic(self) -> None:
        allowed = (ast.Expr, ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign)
        found = [
            name
            for name, tree, _ in modules()
            if name.endswith("__init__.py") and not all(isinstance(node, allowed) for node in tree.body)
        ]
        self.assertEqual(found, [])

    def test_no_exception_is_swallowed_or_caught_blindly(self) -> None:
        found = [
            f"{name}:{node.lineno}"
            for name, tree, _ in modules()
            for node in ast.walk(tree)
            if isinstance(node, ast.ExceptHandler)
            and (node.type is None or (len(node.body) == 1 and isinstance(node.body[0], ast.Pass)))
        ]
        self.assertEqual(found, [])

    def test_consensus_knows_no_floating_point(self) -> None:
        """No floating point anywhere in consensus `[1]`."""
        found = [
            f"{name}:{node.lineno}"
            for name, tree, _ in modules(*EXACT)
            for node in ast.walk(tree)
            if (isinstance(node, ast.Constant) and isinstance(node.value, float)) or is_division(node)
        ]
        self.assertEqual(found, [])

    def test_a_directory_is_synced_in_one_place(self) -> None:
        found = [
            name
            for name, tree, _ in modules()
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef)
            and {"os.fsync", "os.O_RDONLY"}
            <= {ast.unparse(one) for one in ast.walk(node) if isinstance(one, ast.Attribute)}
        ]
        self.assertEqual(found, ["timed/fsync.py"])

    def test_what_a_rule_advises_stands_in_the_table_of_rules_alone(self) -> None:
        remedies = {rule.remedy for rule in RULES}
        found = {
            name
            for name, tree, _ in modules()
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and node.value in remedies
        }
        self.assertEqual(found, {"timed/monitor/rules.py"})
