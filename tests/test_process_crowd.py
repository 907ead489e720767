"""A real node among forty light clients, of whom six turn bad: the others notice nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.process_world import ROOT
from timed.bench.misconduct import DRIP, STALL

PEERS = 40
QUIET_S, MISCONDUCT_S = 12, 12
DEADLINE_S = 240
STRETCHES = ("quiet", "payments", "misconduct")
DESCRIPTORS = 5
"""A log, a cursor, a connection of RPC: what may be open at one moment and not at another."""


def crowd() -> dict[str, Any]:
    """The last line of the benchmark."""
    command = [
        sys.executable, "-m", "timed.bench.main", "crowd", "--json", f"--peers={PEERS}",
        f"--seconds={QUIET_S}", f"--attack-seconds={MISCONDUCT_S}", "--rate=2",
    ]  # fmt: skip
    environment = dict(os.environ, PYTHONPATH=str(ROOT))
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    if done.returncode:
        raise AssertionError(done.stderr[-4_000:])
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


class CrowdTests(SynchronousTestCase):
    """One test, since it takes one run: tests of a class may be divided among processes."""

    timeout = DEADLINE_S + 30

    def test_six_that_turn_bad_are_noticed_by_nobody_else(self) -> None:
        found = crowd()
        bad = found["misconduct"]

        def each(name: str) -> list[int]:
            return [found[stretch][name] for stretch in STRETCHES]

        # No session of an honest client ends, and every ping is answered.
        self.assertEqual(each("connections_lost"), [0, 0, 0])
        self.assertEqual(each("pings_unanswered"), [0, 0, 0])
        self.assertGreater(bad["pings"], 0)
        # Every payment becomes final, and every honest client is told once.
        self.assertEqual(each("payments_missing"), [0, 0, 0])
        self.assertEqual(each("payments"), [0, QUIET_S, 2 * MISCONDUCT_S])
        self.assertEqual(each("certificates_untold"), [0, 0, 0])
        self.assertEqual(each("repeated"), [0, 0, 0])
        # Offenders alone are limited ([21]): who floods is, whatever it floods; each can be asked why.
        self.assertEqual(bad["honest_limited"], [])
        floods = [one for one in bad["offenders"] if one["does"][0] not in (STALL, DRIP)]
        self.assertEqual(len(floods), PEERS // 10)
        self.assertEqual(bad["offenders_unlimited"], [])
        # On a busy machine one may never have come to exceed what it is allowed.
        self.assertTrue(any(one["limited"] for one in floods), floods)
        self.assertLessEqual(abs(bad["descriptors_left_behind"]), DESCRIPTORS)
