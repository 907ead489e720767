"""A real node among forty light clients, of whom six turn bad: the others notice nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any, ClassVar

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
    """One run for all of them."""

    timeout = DEADLINE_S + 30
    _found: ClassVar[dict[str, Any]] = {}

    def setUp(self) -> None:
        if not self._found:
            self._found.update(crowd())
        self.bad = self._found["misconduct"]

    def each(self, name: str) -> list[int]:
        return [self._found[stretch][name] for stretch in STRETCHES]

    def test_no_session_of_an_honest_client_ends(self) -> None:
        self.assertEqual(self.each("connections_lost"), [0, 0, 0])

    def test_every_ping_of_an_honest_client_is_answered(self) -> None:
        self.assertEqual(self.each("pings_unanswered"), [0, 0, 0])
        self.assertGreater(self.bad["pings"], 0)

    def test_every_payment_becomes_final_and_every_honest_client_is_told_once(self) -> None:
        self.assertEqual(self.each("payments_missing"), [0, 0, 0])
        self.assertEqual(self.each("payments"), [0, QUIET_S, 2 * MISCONDUCT_S])
        self.assertEqual(self.each("certificates_untold"), [0, 0, 0])
        self.assertEqual(self.each("repeated"), [0, 0, 0])

    def test_offenders_alone_are_limited(self) -> None:
        """[21] Who floods is, whatever it floods; each can be asked why."""
        self.assertEqual(self.bad["honest_limited"], [])
        floods = [each for each in self.bad["offenders"] if each["does"][0] not in (STALL, DRIP)]
        self.assertEqual(len(floods), PEERS // 10)
        self.assertEqual(self.bad["offenders_unlimited"], [])
        # On a busy machine one may never have come to exceed what it is allowed.
        self.assertTrue(any(each["limited"] for each in floods), floods)

    def test_no_descriptor_is_left_behind(self) -> None:
        self.assertLessEqual(abs(self.bad["descriptors_left_behind"]), DESCRIPTORS)
