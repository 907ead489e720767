"""The page of field failures: every entry names tests, and every test it names is there."""

from __future__ import annotations

import importlib
import inspect
import re
import unittest

from twisted.trial.unittest import SynchronousTestCase

from tests.test_docs_protocol import ROOT

PAGE = ROOT / "docs" / "field-failures.rst"
ROW = re.compile(r"^   \* - (F\d\d)\n     - (.+(?:\n       .+)*)\n     - (.+(?:\n       .+)*)$", re.M)
"""Entry, sentence, tests; the two latter go on in lines that are further in."""
FIRST_SECTION = 15
"""Entries about connections and the mesh, the first of the catalogue."""


def entries() -> list[tuple[str, str, list[str]]]:
    """(entry, what is prevented, ids of tests) of every row of every table."""
    text = PAGE.read_text(encoding="utf-8")
    return [
        (entry, " ".join(sentence.split()), re.findall(r"\S+", tests)) for entry, sentence, tests in ROW.findall(text)
    ]  # fmt: skip


def found(name: str) -> bool:
    """True when `tests.module.Class.method` is a test that trial would run."""
    module, _, rest = name.rpartition(".")
    module, _, case = module.rpartition(".")
    try:
        holder = getattr(importlib.import_module(module), case, None)
    except ModuleNotFoundError:
        return False
    method = getattr(holder, rest, None)
    is_case = inspect.isclass(holder) and issubclass(holder, unittest.TestCase)
    return is_case and rest.startswith("test_") and callable(method)


class FieldFailures(SynchronousTestCase):
    def test_every_entry_has_its_row_in_order(self) -> None:
        numbers = [int(entry[1:]) for entry, _, _ in entries()]
        self.assertEqual(numbers, list(range(1, len(numbers) + 1)))
        self.assertGreaterEqual(len(numbers), FIRST_SECTION)
        rows = re.findall(r"^   \* - F", PAGE.read_text(encoding="utf-8"), re.M)
        self.assertEqual(len(rows), len(numbers), "a row is not entry, sentence, tests")

    def test_every_entry_says_what_is_prevented(self) -> None:
        for entry, sentence, _ in entries():
            self.assertRegex(sentence, r"^[A-Z].{20,}\.$", entry)

    def test_every_entry_names_tests_that_are_there(self) -> None:
        for entry, _, tests in entries():
            self.assertGreaterEqual(len(tests), 1, entry)
            self.assertEqual(len(tests), len(set(tests)), entry)
            for quoted in tests:
                self.assertRegex(quoted, r"^``tests(\.\w+){3}``$", entry)
                self.assertTrue(found(quoted.strip("`")), f"{entry}: there is no test {quoted}")

    def test_a_test_that_is_not_there_is_noticed(self) -> None:
        here = f"{__name__}.{type(self).__name__}"
        self.assertTrue(found(f"{here}.test_a_test_that_is_not_there_is_noticed"))
        for wrong in (f"{here}.test_gone", f"{here}.found", f"{__name__}.Gone.test_x", "tests.gone.A.test_x"):
            self.assertFalse(found(wrong), wrong)
