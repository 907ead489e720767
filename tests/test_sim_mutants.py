"""The list of deliberate mistakes: it fits the code, and a mistake is caught by name."""

from __future__ import annotations

import ast
import os

from twisted.trial.unittest import SynchronousTestCase

from timed.errors import LocalError
from timed.sim.mutants import MUTANTS, Mutant, package_directory, patched, try_mutant

ASKED_FOR = {
    "quorum minus one",
    "quorum of votes received",
    "lock not durable",
    "certificate not durable",
    "report not durable",
    "lock released by a timer",
    "locks lapse at slot time",
    "acknowledgement after the report",
    "epoch left out of vote",
    "epoch left out of acknowledgement",
    "proposer omits a reported transaction",
    "child without its parent's certificate",
    "finality after one round",
    "no log replay",
}
MORE = {"only the first input locked", "precommit without a quorum of prevotes", "anybody proposes"}


def source_of(mutant: Mutant) -> str:
    with open(os.path.join(package_directory(), mutant.file), encoding="utf-8") as file:
        return file.read()


class ListTests(SynchronousTestCase):
    def test_the_fourteen_mistakes_are_there_and_more(self) -> None:
        self.assertEqual({mutant.name for mutant in MUTANTS}, ASKED_FOR | MORE)
        self.assertEqual(len(MUTANTS), len(ASKED_FOR | MORE))

    def test_each_patch_fits_exactly_once_and_leaves_valid_code(self) -> None:
        for mutant in MUTANTS:
            changed = patched(mutant, source_of(mutant))
            ast.parse(changed, mutant.file)
            self.assertNotEqual(changed, source_of(mutant), mutant.name)

    def test_mutants_break_the_protocol_and_not_the_simulator(self) -> None:
        for mutant in MUTANTS:
            self.assertFalse(mutant.file.startswith("sim/"), mutant.name)

    def test_a_patch_that_does_not_fit_says_so(self) -> None:
        stale = Mutant("stale", "params.py", "no such text", "")
        self.assertRaises(LocalError, patched, stale, source_of(stale))


class CatchTests(SynchronousTestCase):
    def test_a_vote_that_leaves_before_its_lock_is_durable_is_caught(self) -> None:
        mutant = next(one for one in MUTANTS if one.name == "lock not durable")
        verdict = try_mutant(mutant, 1)
        self.assertTrue(verdict.caught, verdict.detail)
        self.assertIn("durable", verdict.invariant)

    def test_a_lock_on_the_first_input_alone_is_caught(self) -> None:
        """Rivals meet in another input than the first, too."""
        mutant = next(one for one in MUTANTS if one.name == "only the first input locked")
        self.assertEqual(try_mutant(mutant, 3).invariant, "vote-once")

    def test_the_unpatched_copy_passes_the_same_seed(self) -> None:
        verdict = try_mutant(None, 1)
        self.assertEqual(verdict.invariant, "", verdict.detail)
