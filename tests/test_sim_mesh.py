"""Fifty nodes that dial at once, restart together and flap, and what one payment costs them."""

from __future__ import annotations

import contextlib
import io
import json

from twisted.trial.unittest import SynchronousTestCase

from timed.params import REGTEST, SECOND
from timed.peer import limits
from timed.peer.dialing import backoff_cap
from timed.sim import main, mesh
from timed.sim.mesh import WHOLE_WITHIN, MeshResult, MeshRun, run_mesh
from timed.sim.mesh_rules import QUIET, WINDOW, dials_allowed
from timed.sim.violation import Violation
from timed.wire.messages import Ack, Handshake

NODES = 50
FOLLOWERS = 2
HOURS = 0.05
"""Virtual; `make long` takes two."""
ONCE = {"TransactionBroadcast", "vote bundle", "acknowledgement bundle"}
"""What a payment may cost on a link between members, once in each direction."""
PROOF = {"TransactionBroadcast", "TransactionCertified", "TransactionFinalized"}
"""What it may cost on a link that leads to a node that does not vote."""


class FiftyTests(SynchronousTestCase):
    timeout = 900

    def test_the_mesh_is_whole_after_every_trouble_and_a_payment_passes_each_link_once(self) -> None:
        """[20] [22] No session that works ends, dials are few, nobody is blamed; [18] nothing goes twice."""
        run = MeshRun(0, NODES, HOURS, FOLLOWERS)
        run.play()
        within = WHOLE_WITHIN / SECOND
        self.assertLessEqual(max(run.dialled_s, run.restarted_s, run.healed_s), within)
        self.assertGreater(sum(run.flapping.counts.values()), 20)
        self.assertLessEqual(run.world.mesh.most_dials, dials_allowed(REGTEST, 1 + 60 // 2))
        for (sender, receiver), counted in run.payment.links.items():
            votes = receiver < NODES
            self.assertLessEqual(set(counted), ONCE if votes else PROOF, (sender, receiver))
            self.assertEqual(set(counted.values()), {1}, (sender, receiver))
        signed = [counted for (sender, _), counted in run.payment.links.items() if sender >= NODES]
        self.assertFalse(any("bundle" in kind for counted in signed for kind in counted))
        self.assertEqual(run.payment.totals()["vote bundle"], NODES * (NODES - 1))
        self.assertEqual(run.payment.totals()["acknowledgement bundle"], NODES * (NODES - 1))


class SmallTests(SynchronousTestCase):
    def test_equal_seeds_give_equal_runs(self) -> None:
        first, second, other = (run_mesh(seed, 6, 0.05, 1) for seed in (1, 1, 2))
        self.assertEqual([first.violation, other.violation], ["", ""], first.detail + other.detail)
        self.assertEqual((first.trace_hash, first.dials), (second.trace_hash, second.dials))
        self.assertNotEqual(first.trace_hash, other.trace_hash)

    def test_hours_of_flapping_in_a_small_mesh(self) -> None:
        """Many more mishaps for each pair than fifty nodes see."""
        for seed in (3, 4):
            result: MeshResult = run_mesh(seed, 5, 0.6)
            self.assertEqual(result.violation, "", result.detail)
            self.assertTrue(all(result.mishaps.values()), result.mishaps)


class CommandTests(SynchronousTestCase):
    def test_the_last_line_holds_the_figures(self) -> None:
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            status = main.main(["mesh", "--nodes", "4", "--followers", "0", "--hours", "0.01", "--json"])
        figures = json.loads(output.getvalue().splitlines()[-1])
        self.assertEqual((status, figures["violations"], figures["violation"]), (0, 0, ""))
        self.assertEqual(figures["payment_most"], dict.fromkeys(sorted(ONCE), 1))

    def test_a_violation_has_status_one_and_its_trace(self) -> None:
        self.patch(mesh, "WHOLE_WITHIN", SECOND // 10)
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            status = main.main(["mesh", "--nodes", "4", "--hours", "0"])
        self.assertEqual(status, main.EXIT_VIOLATION)
        self.assertIn("live-sessions at event", output.getvalue())


class RuleTests(SynchronousTestCase):
    """The rules bite: each of these breaks one on purpose."""

    def setUp(self) -> None:
        self.run_ = MeshRun(1, 3, 0.0)
        self.run_.connect()
        self.world = self.run_.world
        self.mesh = self.world.mesh

    def broken(self, name: str, seconds: int) -> None:
        raised = self.assertRaises(Violation, self.run_._until, self.world.clock.now + seconds * SECOND)
        self.assertEqual(raised.name, name)

    def test_a_session_that_ends_without_a_cause(self) -> None:
        (connection,) = self.world.network.between(0, 1)
        self.world.network.sever(connection)
        self.broken("healthy-session", 2)

    def test_a_session_that_ends_with_a_cause(self) -> None:
        (connection,) = self.world.network.between(0, 1)
        self.mesh.disturb([(1, 0)])
        self.world.network.sever(connection)
        self.run_._until(self.world.clock.now + QUIET + 5 * SECOND)
        self.assertTrue(self.mesh.settled)
        self.assertEqual(self.mesh.ended, 2 + self.mesh.handovers)

    def test_a_pair_without_a_session_is_not_whole(self) -> None:
        self.mesh.disturb([(0, 1)])
        self.world.network.block([(0, 1), (1, 0)])
        self.run_._until(self.world.clock.now + limits.SILENCE_LIMIT + 30 * SECOND)
        self.assertEqual(self.mesh.unjoined(), [(0, 1)])
        self.assertRaises(Violation, self.run_._whole)

    def test_a_second_connection_that_is_acknowledged(self) -> None:
        processes = self.world.running()
        connection = self.world.network.joined(0, 1, (processes[0], processes[1]))
        connection.sides[0].open = True
        self.mesh.sent(processes[0], connection.sides[0].link, Ack(Handshake.entry().number, bytes(32)))
        self.assertEqual(self.assertRaises(Violation, self.mesh.check).name, "one-session")

    def test_two_connections_for_longer_than_a_handover(self) -> None:
        processes = self.world.running()
        connection = self.world.network.joined(0, 1, (processes[0], processes[1]))
        for side in connection.sides:
            side.open = True
            side.pending = False
        self.mesh.disturb([(0, 1)])
        self.broken("one-session", 20)

    def test_dials_without_a_pause(self) -> None:
        process = self.world.running()[0]
        host = self.world.network.machines[1].host
        allowed = dials_allowed(REGTEST, 2)
        with self.assertRaises(Violation) as raised:
            for _ in range(allowed + 1):
                self.mesh.dialled(process, host)
        self.assertEqual(raised.exception.name, "redial-rate")

    def test_the_bound_of_dials_is_that_of_the_backoff(self) -> None:
        """Pauses of 0.2, 0.4, 0.8 and 1.6 s, then of two seconds at least."""
        self.assertEqual(backoff_cap(REGTEST), 3 * SECOND)
        self.assertEqual(dials_allowed(REGTEST, 0), 5 + WINDOW // (2 * SECOND))
        self.assertEqual(dials_allowed(REGTEST, 3), 4 * 5 + 30)
