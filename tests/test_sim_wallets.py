"""The wallet chaos test, small: every payment ends final or released, whatever dies meanwhile."""

from __future__ import annotations

import contextlib
import io
import json
from typing import Any

from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from timed.sim import main
from timed.sim.teller import Teller
from timed.sim.wallets import WalletResult, run_wallets
from timed.wallet.historybook import HistoryBook
from timed.wallet.wallet import Wallet


class Chaos(SynchronousTestCase):
    def test_every_payment_ends_and_every_balance_is_right(self) -> None:
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            status = main.main(["wallet", "--payments", "200", "--seed", "6", "--json"])
        *shown, last = output.getvalue().splitlines()
        result: dict[str, Any] = json.loads(last)
        self.assertEqual((status, result["violation"], result["detail"]), (0, "", ""))
        self.assertEqual(result["payments"], 200)
        self.assertEqual(result["confirmed"] + sum(result["released"].values()), 200)
        # Worth its name: chains, many calls at once, double spends, and what struck meanwhile.
        self.assertGreaterEqual(result["dependent"], 3)
        self.assertGreaterEqual(result["most_calls"], 40)
        self.assertGreaterEqual(result["released"]["input-spent"], 5)
        self.assertGreater(result["lives"], 4)
        self.assertGreaterEqual(sum(result["faults"].values()), 4)
        self.assertIn("200 payments", shown[0])

    def test_a_seed_fixes_every_event(self) -> None:
        first, second = run_wallets(2, 30), run_wallets(2, 30)
        self.assertEqual((first.violation, second.violation), ("", ""))
        self.assertEqual((first.trace_hash, first.events), (second.trace_hash, second.events))
        self.assertNotEqual(run_wallets(3, 30).trace_hash, first.trace_hash)


class Mistakes(SynchronousTestCase):
    """What the run is there to find."""

    def caught(self, *names: str) -> WalletResult:
        result = run_wallets(1, 60)
        self.assertIn(result.violation, names, result.detail)
        self.assertGreater(len(result.tail), 0)
        return result

    def test_an_exception_that_only_the_log_is_told_of(self) -> None:
        start = Teller.start

        def starts(teller: Teller) -> None:
            start(teller)
            Logger().failure("nobody waits for this", Failure(ValueError("lost")))

        self.patch(Teller, "start", starts)
        self.assertIn("ValueError", self.caught("no-traceback").detail)
        self.assertGreater(len(self.flushLoggedErrors(ValueError)), 0)

    def test_payments_forgotten_at_a_restart(self) -> None:
        self.patch(Wallet, "_restore_payment", lambda self, record: None)
        self.caught("wallet-release")

    def test_a_release_nobody_can_see(self) -> None:
        self.patch(HistoryBook, "release", lambda self, entry, **named: None)
        self.caught("wallet-release")

    def test_a_coin_that_is_held_for_ever(self) -> None:
        self.patch(Wallet, "release", lambda self, prepared: None)
        self.caught("wallet-balance")
