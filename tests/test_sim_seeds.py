"""A hundred seeds with every fault: the invariants of protocol §3 in four-node networks."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from timed.sim.nemesis import FAULTS
from timed.sim.run import MIN_BLOCKS, MIN_FINAL, run_seeds
from timed.sim.world import Scenario

SEEDS = 100
MIN_FAULTS = 10


class SeedTests(SynchronousTestCase):
    timeout = 1_200

    def test_no_invariant_is_violated(self) -> None:
        """[13] [15] [16] under crashes, partitions, bad weather, lying clocks and a lying peer."""
        scenarios = [Scenario(seed, faults=tuple(FAULTS), followers=seed % 2) for seed in range(SEEDS)]
        results = list(run_seeds(scenarios, jobs=2))
        broken = [f"seed {one.seed}: {one.violation} {one.detail}" for one in results if one.violation]
        self.assertEqual(broken, [])
        self.assertGreaterEqual(min(one.blocks for one in results), MIN_BLOCKS)
        self.assertGreaterEqual(min(one.transactions_final for one in results), MIN_FINAL)
        self.assertGreaterEqual(min(one.faults for one in results), MIN_FAULTS)
        self.assertGreaterEqual(min(one.lossy_crashes for one in results), 1)
