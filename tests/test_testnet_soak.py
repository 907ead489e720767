"""`timed-testnet soak`: what is judged, what explains a warning, and the page a person reads."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator
from random import Random
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

from twisted.trial.unittest import SynchronousTestCase

from timed.bench.measure import MAX_POINTS, robust_slope
from timed.testnet import soak
from timed.testnet.perturb import PERTURBATIONS, described, restart, victim_of
from timed.testnet.soak import EVERY_S, EXPLAINED_S, INTERVAL, SAMPLE_S, Done, Sample, Soak, _Run
from timed.testnet.soakpage import page
from timed.testnet.waiting import Reporter


def good() -> Soak:
    """A run in which all held."""
    found = Soak(70, 10.0, 7, steady="node-1")
    found.samples = {
        "node-1": [Sample(at, 60.0, 40) for at in range(0, 4200, 20)],
        "node-2": [Sample(at, 50.0 + at / 360, 40) for at in range(0, 4200, 20)],
    }
    found.perturbations = [Done("kill -9", "node-2", 30.0, 42.0, 1.5)]
    found.lags_ms = [0.5] * 100
    found.finality_ms = [40.0, 50.0]
    found.lines_per_s = {"node-1": 0.3}
    found.submitted = 36_000
    return found


class Judged(SynchronousTestCase):
    def test_a_good_run_holds(self) -> None:
        self.assertEqual([goal.what for goal in good().goals() if not goal.reached], [])

    def test_each_thing_alone_fails_it(self) -> None:
        def grown(found: Soak) -> None:
            found.samples["node-1"] = [Sample(at, 60.0 + at / 3600, 40) for at in range(0, 4200, 20)]

        def leaked(found: Soak) -> None:
            for sample in found.samples["node-1"][-45:]:
                sample.descriptors = 46

        cases: dict[str, Any] = {
            "memory grows": grown,
            "more descriptors": leaked,
            "reactor late, p99": lambda found: found.lags_ms.extend([30.0] * 10),
            "reactor late, at most": lambda found: found.lags_ms.append(201.0),
            "INFO lines of a node": lambda found: found.lines_per_s.update({"node-3": 1.1}),
            "warnings nothing explains": lambda found: found.unexplained.append("x"),
            "not healed in time": lambda found: found.perturbations.append(Done("ban", "node-3", 1, 2, None)),
            "payments not final": lambda found: setattr(found, "missing", 1),
        }
        self.assertEqual(set(cases), {goal.what for goal in good().goals()})
        for what, spoil in cases.items():
            found = good()
            spoil(found)
            missed = {goal.what for goal in found.goals() if not goal.reached}
            self.assertIn(what, missed)
            self.assertLessEqual(missed, {what, "reactor late, p99"})
            self.assertFalse(found.held)

    def test_only_the_steady_node_s_memory_counts(self) -> None:
        self.assertAlmostEqual(good().slope_mb_per_h, 0.0)

    def test_what_fills_until_everything_has_happened_four_times_is_no_growth(self) -> None:
        found = good()
        self.assertEqual(found.warm_s, 4 * len(PERTURBATIONS) * EVERY_S)
        for sample in found.samples["node-1"]:
            sample.memory_mb = 40 + min(sample.at, found.warm_s) / 60
        self.assertAlmostEqual(found.slope_mb_per_h, 0.0)
        self.assertEqual(found.memory_mb(), (80.0, 80.0, 80.0))

    def test_garbage_until_it_is_collected_is_no_growth_and_what_is_left_of_it_is(self) -> None:
        found = good()
        for sample in found.samples["node-1"]:
            sample.memory_mb += sample.at % 60 / 20
        self.assertAlmostEqual(found.slope_mb_per_h, 0.0)
        for sample in found.samples["node-1"]:
            sample.memory_mb += sample.at // 60 * 0.1
        self.assertAlmostEqual(found.slope_mb_per_h, 6.0)

    def test_of_a_short_run_three_sevenths_are_judged(self) -> None:
        self.assertAlmostEqual(Soak(7, 10.0, 7).warm_s, 240.0)

    def test_samples_are_spread_over_the_time_between_two_blocks(self) -> None:
        self.assertEqual(INTERVAL % SAMPLE_S, 1.0)

    def test_a_peak_that_goes_is_no_growth_and_a_slow_rise_below_it_is(self) -> None:
        found = good()
        for sample in found.samples["node-1"][-6:-3]:
            sample.memory_mb += 20
        self.assertAlmostEqual(found.slope_mb_per_h, 0.0)
        for sample in found.samples["node-1"]:
            sample.memory_mb += sample.at / 3600
        self.assertAlmostEqual(found.slope_mb_per_h, 1.0, places=1)
        self.assertEqual(found.memory_mb()[1], max(one.memory_mb for one in found.samples["node-1"]))

    def test_a_client_that_is_connected_at_the_end_is_no_leak_of_descriptors(self) -> None:
        found = good()
        found.samples["node-1"][-1].descriptors = 60
        self.assertEqual(found.more_descriptors, 0)

    def test_cpu_is_what_was_spent_while_it_was_judged(self) -> None:
        found = good()
        for sample in found.samples["node-1"]:
            sample.cpu_s = 100 + 0.05 * sample.at
        self.assertAlmostEqual(found.cpu_percent, 5.0)
        self.assertEqual(Soak(30, 10.0, 7).cpu_percent, 0.0)

    def test_slopes_are_the_median_of_all_pairs(self) -> None:
        self.assertEqual(robust_slope([(0.0, 100.0), (1.0, 101.0), (2.0, 90.0), (3.0, 103.0)]), 3600.0)
        self.assertEqual(robust_slope([(0.0, 100.0)]), 0.0)
        self.assertEqual(robust_slope([(5.0, 1.0), (5.0, 2.0)]), 0.0)
        many = [(float(at), 2.0 * at) for at in range(10 * MAX_POINTS)]
        self.assertAlmostEqual(robust_slope(many), 7200.0)

    def test_a_warning_is_explained_by_what_was_done_shortly_before(self) -> None:
        run: Any = SimpleNamespace(_found=good(), _wall=1_700_000_000.0)
        second = [0.0, 31.0, 43.5 + EXPLAINED_S, 44.0 + EXPLAINED_S]
        times = [f"2023-11-14T22:{13 + int(20 + at) // 60:02d}:{(20 + at) % 60:06.3f}Z" for at in second]
        log = "\n".join(f"{when} warn     peer: text {place}" for place, when in enumerate(times))
        log += f"\n{times[3]} info     node: block 5\nTraceback of something\n{times[0]} error    x: y"
        found = list(_Run._unexplained(run, log))
        self.assertEqual([re.sub(r"^\S+ ", "", line) for line in found],
                         ["warn peer: text 0", "warn peer: text 3", "error x: y"])  # fmt: skip

    def test_most_of_a_quiet_minute_explains_nothing(self) -> None:
        """Else no warning could ever count."""
        every = [Done("kill -9", "node-2", at, at + 6, 0.5) for at in (30.0, 90.0, 150.0)]
        explained = [at for at in range(60, 120) if any(one.explains(at) for one in every)]
        self.assertLess(len(explained), 20)


class Lost(SynchronousTestCase):
    def test_a_payment_that_was_refused_is_not_final_and_excuses_no_other(self) -> None:
        """A node that refuses everything has not held."""
        lost, refused, paid = (bytes([number]) * 32 for number in range(3))
        submitted = SimpleNamespace(due=dict.fromkeys((lost, refused, paid), 0), refused=["no"])
        load = SimpleNamespace(start=lambda: None, stop=lambda: None, wait=lambda: submitted)
        network = SimpleNamespace(
            plan=SimpleNamespace(nodes=[SimpleNamespace(number=1, name="node-1")]),
            genesis=None,
            wait_final=lambda txids, seconds: [txid for txid in txids if txid != paid],
            observed={1: SimpleNamespace(lag_ns=[], final={paid: 1})},
        )

        @contextlib.contextmanager
        def cluster(*arguments: object) -> Iterator[Any]:
            yield network

        self.patch(soak, "cluster", cluster)
        self.patch(soak, "sign_in_turn", lambda genesis, count: [])
        self.patch(soak, "Load", lambda nodes, payments, rate: load)
        self.patch(_Run, "perturb_until", lambda run, seconds: None)
        found = soak.soak(1, 1.0, 0, Reporter(io.StringIO()))
        self.assertEqual((found.submitted, len(found.refused), found.missing), (3, 1, 2))


class Doing(SynchronousTestCase):
    def test_a_node_that_does_not_stop_is_killed_before_it_starts_again(self) -> None:
        done: list[str] = []
        process = SimpleNamespace(
            signal=lambda number: done.append(number.name),
            wait=lambda seconds: False,
            kill=lambda: done.append("kill"),
        )
        network = SimpleNamespace(
            processes={2: process},
            start=lambda node: done.append("start"),
            wait_answering=lambda nodes: done.append("answers"),
        )
        cluster: Any = SimpleNamespace(network=network)
        victim: Any = SimpleNamespace(number=2)
        restart(cluster, victim, Random(1))
        self.assertEqual(done, ["SIGTERM", "kill", "start", "answers"])

    def test_the_judged_node_is_never_touched_and_a_disk_is_emptied_where_nobody_votes(self) -> None:
        first, *others = members = ["node-1", "node-2", "node-3"]
        plan: Any = SimpleNamespace(members=members, late="node-4")
        done = {name: {victim_of(name, plan, number) for number in range(20)} for name in PERTURBATIONS}
        self.assertEqual(done.pop("empty disk"), {"node-4"})
        self.assertEqual([sorted(each) for each in done.values()], [others] * len(done))
        self.assertNotIn(first, others)


class Page(SynchronousTestCase):
    def test_it_is_well_formed_and_says_what_was_found(self) -> None:
        found = good()
        found.unexplained = ["2026-01-01T00:00:00Z warn peer: <script>"]
        found.perturbations.append(Done("pause", "node-3", 90.0, 100.0, None))
        text = page(found, {"cpu": "A & B", "date": "2026-01-01"})
        body = text[text.index("<body>") : text.index("</html>")].replace("&nbsp;", " ")
        root = ElementTree.fromstring(body)
        words = "".join(root.itertext())
        for expected in ("Not everything held", "36000 payments", "kill -9", "1.5 s", "not whole in time",
                         "warn peer: <script>", "A & B", described("pause"),
                         "0 MB/h", "reached", "judged from minute 40"):  # fmt: skip
            self.assertIn(expected, words)
        self.assertEqual(len(root.findall(".//polyline")), 2)
        self.assertEqual(len(root.findall(".//line[@class='mark']")), 2)
        self.assertEqual(len(root.findall(".//rect[@class='warm']")), 1)
        self.assertEqual(len(root.findall(".//td[@class='reached']")), len(found.goals()) - 2)

    def test_every_perturbation_says_what_it_is(self) -> None:
        for name in PERTURBATIONS:
            self.assertGreater(len(described(name)), 20)
