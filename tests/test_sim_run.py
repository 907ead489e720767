"""Whole runs: repeatable to the last event, and told in numbers."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

import timed
from timed.errors import LocalError, StoreError
from timed.params import SECOND
from timed.sim import main, run
from timed.sim.nemesis import FAULTS
from timed.sim.run import MIN_BLOCKS, MIN_FINAL, SeedResult, combined_hash, run_seed, run_seeds
from timed.sim.world import Scenario, World

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(timed.__file__)))
SHORT = 1.0
"""Minutes; a run goes on until it has seen its blocks and payments anyhow."""
LAST_LINE = {
    "seeds", "events", "transactions_final", "blocks", "faults", "violations", "trace_hash",
    "min_blocks", "min_final", "min_faults",
}  # fmt: skip


class Deadly:
    """Ends the process that it is handed to."""

    def __reduce__(self) -> Any:
        return os._exit, (1,)


def command(*arguments: str) -> tuple[int, str]:
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        status = main.main(arguments)
    return status, output.getvalue()


class RepeatTests(SynchronousTestCase):
    def test_two_processes_with_other_hash_seeds_execute_the_same_events(self) -> None:
        """The same seed gives the same trace hash: nothing depends on addresses or on hash order."""
        answers = set()
        for hash_seed in ("1", "2"):
            program = (
                "from timed.sim.run import run_seed; from timed.sim.world import Scenario; "
                "from timed.sim.nemesis import FAULTS; "
                f"r = run_seed(Scenario(3, minutes={SHORT}, faults=tuple(FAULTS))); "
                "print(r.violation or 'ok', r.events, r.trace_hash)"
            )
            done = subprocess.run(
                [sys.executable, "-c", program], cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": hash_seed},
                capture_output=True, text=True, check=True,
            )  # fmt: skip
            answers.add(done.stdout)
        self.assertEqual(len(answers), 1)
        self.assertTrue(answers.pop().startswith("ok "))

    def test_another_seed_is_another_run(self) -> None:
        first, second = (run_seed(Scenario(seed, nodes=1, minutes=SHORT)) for seed in (1, 2))
        self.assertEqual((first.violation, second.violation), ("", ""))
        self.assertNotEqual(first.trace_hash, second.trace_hash)


class CalmTests(SynchronousTestCase):
    def test_without_faults_everything_is_final_and_in_its_block(self) -> None:
        """[15] the invariants hold, and every payment that has no rival is confirmed."""
        result = run_seed(Scenario(1, minutes=SHORT))
        self.assertEqual(result.violation, "", result.detail)
        self.assertGreaterEqual(result.blocks, MIN_BLOCKS)
        self.assertGreaterEqual(result.transactions_final, MIN_FINAL)
        self.assertEqual(result.faults, 0)

    def test_no_session_ends_without_a_reason(self) -> None:
        """[20] a connection that is healthy is never cycled, that of a late follower included."""
        result = run_seed(Scenario(3, followers=1))
        self.assertEqual((result.violation, result.reconnects), ("", 0), result.detail)

    def test_the_workload_has_conflicts_and_chains(self) -> None:
        world = World(Scenario(1, nodes=1))
        world.boot(0)
        for job in (world.workload._conflict, world.workload._chain) * 12:
            job()
        kinds = [payment.kind for payment in world.workload.payments.values()]
        self.assertGreaterEqual(kinds.count("conflict"), 20)
        self.assertGreaterEqual(kinds.count("chain"), 20)
        children = [payment for payment in world.workload.payments.values() if payment.parent is not None]
        self.assertTrue(all(payment.parent in world.workload.payments for payment in children))

    def test_some_rivals_meet_in_the_second_input_of_one(self) -> None:
        world = World(Scenario(1, nodes=1))
        for _ in range(12):
            world.workload._conflict()
        made = [payment.transaction for payment in world.workload.payments.values() if payment.rivals]
        second = [transaction for transaction in made if len(transaction.inputs) == 2]
        self.assertGreaterEqual(len(second), 2)
        first = {transaction.inputs for transaction in made}
        self.assertTrue(all(transaction.inputs[1:] in first for transaction in second))


class FaultTests(SynchronousTestCase):
    def test_seven_nodes_survive_everything(self) -> None:
        result = run_seed(Scenario(2, nodes=7, minutes=SHORT, faults=tuple(FAULTS)))
        self.assertEqual(result.violation, "", result.detail)
        self.assertGreater(result.lossy_crashes, 0)

    def test_a_run_that_sees_too_little_says_so(self) -> None:
        """It would hold whatever is wrong."""
        self.patch(run, "MAX_MINUTES_MORE", 0)
        for name, many in (("MIN_BLOCKS", 1_000), ("MIN_FINAL", 10_000)):
            with self.subTest(name):
                before = getattr(run, name)
                self.patch(run, name, many)
                self.assertEqual(run_seed(Scenario(1, nodes=1, minutes=SHORT)).violation, "progress")
                self.patch(run, name, before)

    def test_a_traceback_is_a_violation_with_its_trace(self) -> None:
        result = run_seed(Scenario(2, nodes=3, minutes=SHORT, faults=("no such fault",)))
        self.assertEqual(result.violation, "no-traceback")
        self.assertIn("KeyError", result.detail)
        self.assertGreater(len(result.tail), 10)

    def test_a_write_that_is_refused_by_a_disk_that_works_is_a_traceback(self) -> None:
        """Not taken for a disk that fails, after which a node may be silent."""
        world = World(Scenario(1, nodes=1))
        world.boot(0)

        def refuse(records: object) -> None:
            raise StoreError("it does not fit the chain.")

        self.patch(world.hosts[0].store.disk, "append", refuse)
        self.assertRaises(StoreError, world.clock.run_until, world.clock.now + 60 * SECOND)

    def test_a_process_that_is_killed_ends_the_run(self) -> None:
        """Nobody waits for its seed for ever."""
        deadly: Any = [Deadly(), Deadly()]
        error = self.assertRaises(LocalError, list, run_seeds(deadly, 2))
        self.assertIn("has ended before the seed", str(error))


class CommandTests(SynchronousTestCase):
    def test_the_last_line_holds_the_figures(self) -> None:
        status, output = command("run", "--nodes", "1", "--seeds", "0..1", "--faults", "none", "--jobs", "1",
                                 "--minutes", "1", "--json")  # fmt: skip
        self.assertEqual(status, 0)
        figures = json.loads(output.splitlines()[-1])
        self.assertLessEqual(LAST_LINE, set(figures))
        self.assertEqual((figures["seeds"], figures["violations"]), (2, 0))
        self.assertIn("seed     1", output)

    def test_a_violation_is_told_with_seed_event_and_trace(self) -> None:
        result = SeedResult(
            seed=7, events=42, transactions_final=0, payments=1, confirmed=0, blocks=1, faults=2, kinds={},
            lossy_crashes=0, reconnects=0, healed_s=0.0, trace_hash="aa", cpu_s=0.1, violation="vote-once", detail="member 1", tail=("1 boot",),
        )  # fmt: skip
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            main._explain(result)
        self.assertIn("vote-once at event 42 of seed 7: member 1", output.getvalue())
        self.assertIn("1 boot", output.getvalue())

    def test_the_combined_hash_depends_on_every_seed(self) -> None:
        one = run_seed(Scenario(1, nodes=1, minutes=SHORT))
        two = run_seed(Scenario(2, nodes=1, minutes=SHORT))
        self.assertNotEqual(combined_hash([one, two]), combined_hash([two, one]))
        self.assertEqual(combined_hash([one]), combined_hash([one]))

    def test_what_cannot_be_begun_is_said_in_one_line(self) -> None:
        def refuse(options: object) -> int:
            raise LocalError("it does not fit.", "Mend it.")

        self.patch(main, "_COMMANDS", {"mutants": refuse})
        errors = io.StringIO()
        with contextlib.redirect_stderr(errors):
            self.assertEqual(main.main(["mutants"]), 1)
        self.assertEqual(errors.getvalue(), "timed-sim: it does not fit. Mend it.\n")

    def test_usage_errors_have_status_two(self) -> None:
        for arguments in (
            ["run", "--faults", "gremlins"], ["run", "--seeds", "9..1"], ["walk"], ["run", "--interval", "0"],
            ["run", "--minutes", "nan"], ["run", "--followers", "-1"], ["mesh", "--hours", "inf"],
            ["wallet", "--concurrent", "0"], ["mutants", "--jobs", "two"],
        ):  # fmt: skip
            with contextlib.redirect_stderr(io.StringIO()):
                error = self.assertRaises(SystemExit, main.main, arguments)
            self.assertEqual(error.code, 2)
