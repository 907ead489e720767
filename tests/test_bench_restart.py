"""`timed-bench restart`: the coins of its chain, and what counts as ready."""

from __future__ import annotations

import argparse
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from timed.bench import restart
from timed.bench.cluster import endow
from timed.bench.longchain import backdate, grow
from timed.bench.restart import FAN, fans
from timed.errors import LocalError
from timed.store.lmdb import LmdbBackend
from timed.testnet.layout import make_network


class Coins(SynchronousTestCase):
    def test_as_many_as_were_asked_for_are_in_the_store(self) -> None:
        wanted = 2 * FAN + 3
        plan = make_network(Path(self.mktemp()), 1, 1, 5)
        endow(plan, 3)
        genesis = backdate(plan, 4)
        before = len(genesis.created())
        grow(plan, genesis, 4, fans(genesis, wanted))
        store = LmdbBackend().open(str(plan.nodes[0].datadir / "chain"), genesis.params.name, genesis.hash)
        self.addCleanup(store.close)
        tip = store.tip()
        assert tip is not None
        rewards = 4
        self.assertEqual(tip.height, 4)
        self.assertEqual(tip.coins, before - 3 + wanted + rewards)


class Ready(SynchronousTestCase):
    def test_a_process_that_ended_is_not_waited_for(self) -> None:
        plan = make_network(Path(self.mktemp()), 1, 1, 5)
        plan.nodes[0].log.write_text("timed: a sentence about it\n")
        with self.assertRaisesRegex(LocalError, "a sentence about it"):
            restart.wait_ready(plan.nodes[0], restart.NodeProcess(plan.nodes[0]))

    def test_a_whole_run_with_a_short_chain(self) -> None:
        outcome = restart.run(argparse.Namespace(blocks=3, coins=FAN, runs=1))
        for key in ("clean_s", "killed_s", "empty_clean_s", "empty_killed_s"):
            self.assertGreater(outcome.figures[key], 0)
        self.assertEqual(outcome.figures["coins"], FAN)
