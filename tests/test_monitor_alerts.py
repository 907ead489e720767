"""Alert rules: figures out of the metric table, hysteresis, and the same rules in Prometheus's words."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from unittest import SkipTest

import attrs
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.rpc_service import make_context
from timed.monitor.__main__ import FILES
from timed.monitor.alerts import MAX_HISTORY, Alarms, Alert
from timed.monitor.histogram import Histogram
from timed.monitor.metrics import METRICS, ROWS
from timed.monitor.readings import (
    EVERY_S,
    SPARE,
    Count,
    Figure,
    Increase,
    Quantile,
    Rate,
    Reading,
    Readings,
    Size,
    Slope,
    Value,
    read,
)
from timed.monitor.row import COUNTER, GAUGE, HISTOGRAM, Durations
from timed.monitor.rules import RULES, WATCHED, Rule
from timed.monitor.view import View
from timed.monitor.watch import Watch
from timed.params import SECOND

ROOT = Path(__file__).parent.parent
TYPES: dict[type, str] = {
    Value: GAUGE, Count: GAUGE, Size: GAUGE, Slope: GAUGE, Increase: COUNTER, Rate: COUNTER, Quantile: HISTOGRAM
}  # fmt: skip


def series(*values: float) -> list[Reading]:
    """One metric without labels, read every `EVERY_S` seconds."""
    return [Reading(number * EVERY_S * SECOND, {"m": (({}, value),)}) for number, value in enumerate(values)]


class Stub:
    """A figure that says what it is told."""

    def __init__(self) -> None:
        self.value: float | None = 0.0
        self.metric = ""
        self.promql = ""

    def of(self, readings: Readings) -> float | None:
        return self.value


class Figures(SynchronousTestCase):
    def read(self, figure: Figure, given: Iterable[Reading]) -> Readings:
        readings = Readings([figure])
        for reading in given:
            readings.add(reading)
        return readings

    def check(self, figure: Figure, given: Iterable[Reading], expected: float | None) -> None:
        found = figure.of(self.read(figure, given))
        if expected in (None, float("inf")):
            self.assertEqual(found, expected)
        else:
            self.assertAlmostEqual(found, expected, places=6)

    def test_nothing_read_tells_nothing(self) -> None:
        for figure in (Value("m"), Count("m"), Size("m"), Increase("m", 60), Rate("m", 60), Slope("m", 60), Quantile("m", 0.5, 60)):  # fmt: skip
            self.check(figure, [], None)
            self.check(figure, [Reading(0, {})], 0.0 if isinstance(figure, Count) else None)

    def test_a_value_is_the_newest_sum_of_the_series_with_its_labels(self) -> None:
        readings = [Reading(0, {"m": (({"a": "x"}, 1.0), ({"a": "y"}, 2.0))})]
        self.check(Value("m"), readings, 3.0)
        self.check(Value("m", (("a", "y"),)), readings, 2.0)
        self.check(Value("m", (("a", "z"),)), readings, None)
        self.check(Value("m", (("a", "z"),), absent=7.0), readings, 7.0)
        self.check(Value("m", (("a", "y"),), absent=7.0), readings, 2.0)
        self.check(Value("m", absent=7.0), [], None)
        self.check(Count("m"), readings, 2.0)
        self.check(Count("none"), readings, 0.0)

    def test_a_size_has_no_sign(self) -> None:
        self.check(Size("m"), series(-3.0), 3.0)

    def test_an_increase_counts_only_its_window(self) -> None:
        readings = series(0, 100, 101, 103)
        self.check(Increase("m", 20), readings, 3.0)
        self.check(Increase("m", 30), readings, 103.0)

    def test_a_counter_that_begins_anew_loses_nothing(self) -> None:
        self.check(Increase("m", 60), series(5, 9, 1, 2), 5.0)

    def test_a_rate_wants_a_full_window(self) -> None:
        self.check(Rate("m", 60), series(0, 5, 10), None)
        self.check(Rate("m", 60), series(*range(5)), None)
        self.check(Rate("m", 60), series(*range(6)), 0.1)
        self.check(Rate("m", 60), series(*(9 * number for number in range(7))), 0.9)

    def test_a_slope_is_per_hour_and_wants_a_full_window(self) -> None:
        self.check(Slope("m", 60), series(1, 2), None)
        self.check(Slope("m", 60), series(*(100 + 2 * number for number in range(7))), 720.0)
        self.check(Slope("m", 60), series(*[7] * 7), 0.0)

    def test_a_quantile_looks_at_what_was_added(self) -> None:
        histogram = Histogram((0.1, 1.0))
        readings = []
        for number in range(3):
            counts = tuple(map(float, histogram.counts))
            slow = tuple(float(number * (place == 2)) for place in range(3))
            spread = (({"stage": "final"}, counts), ({"stage": "slow"}, slow))
            readings.append(Reading(number * 10 * SECOND, {}, {"m": spread}, {"m": histogram.bounds}))
            for value in [0.05] * 9 + [0.5]:
                histogram.observe(value)
        labels = (("stage", "final"),)
        self.check(Quantile("m", 0.5, 60, labels), readings, 0.1)
        self.check(Quantile("m", 0.99, 60, labels), readings, 1.0)
        self.check(Quantile("m", 0.99, 60), readings, float("inf"))
        self.check(Quantile("m", 0.99, 0, labels), readings, None)

    def test_a_quantile_of_a_node_that_began_anew_counts_no_bucket_below_nothing(self) -> None:
        readings = [
            Reading(number * 10 * SECOND, {}, {"m": (({}, counts),)}, {"m": (0.1, 1.0)})
            for number, counts in enumerate([(50.0, 0.0, 0.0), (0.0, 4.0, 0.0)])
        ]
        self.check(Quantile("m", 0.99, 60), readings, 1.0)

    def test_a_quantile_of_nothing_new_is_nothing(self) -> None:
        """As in PromQL: without a value nothing is slow, and what was raised is over."""
        readings = [
            Reading(number * 10 * SECOND, {}, {"m": (({}, (0.0, 5.0)),)}, {"m": (1.0,)})
            for number in range(3)
        ]
        self.check(Quantile("m", 0.99, 60), readings, 0.0)

    def test_only_the_window_is_kept_and_nothing_that_no_figure_looks_at(self) -> None:
        figure = Increase("m", 60)
        readings = self.read(figure, series(*range(50)))
        self.assertEqual(
            readings.within(figure), [(number * EVERY_S * SECOND, number) for number in range(43, 50)]
        )
        self.assertEqual(readings.last, series(*range(50))[-1])
        readings = self.read(figure, [Reading(number, {"other": (({}, 1.0),)}) for number in range(50)])
        self.assertEqual(readings.within(figure), [])

    def test_what_is_kept_is_bounded_whatever_the_clock_says(self) -> None:
        figure = Increase("m", 60)
        readings = self.read(figure, [Reading(7, {"m": (({}, 1.0),)})] * 50)
        self.assertLessEqual(len(readings.within(figure)), 60 // EVERY_S + SPARE)

    def test_two_readings_of_one_moment_are_both_kept(self) -> None:
        """A counter's growth between them is not lost."""
        readings = [Reading(0, {"m": (({}, value),)}) for value in (0.0, 4.0)]
        self.check(Increase("m", 60), [*readings, Reading(10 * SECOND, {"m": (({}, 5.0),)})], 5.0)

    @given(st.lists(st.integers(0, 100_000).map(lambda number: number / 1000), max_size=40))
    def test_a_quantile_is_a_bound_that_covers_the_share(self, values: list[float]) -> None:
        histogram = Histogram()
        for value in values:
            histogram.observe(value)
        for share in (0.01, 0.5, 0.99, 1.0):
            bound = histogram.quantile(share)
            if not values:
                self.assertIsNone(bound)
                continue
            self.assertGreaterEqual(sum(value <= bound for value in values), share * len(values))
        self.assertEqual(histogram.count, len(values))


class Hysteresis(SynchronousTestCase):
    def setUp(self) -> None:
        self.figure = Stub()
        self.rule = Rule("r", "warning", self.figure, 10, "{value} too many", "do", for_s=30, clear_s=20)  # type: ignore[arg-type]
        self.heard: list[Alert] = []
        self.alarms = Alarms(self.heard.append, [self.rule])
        self.readings = Readings()
        self.seconds = 0
        self.clock_off = 0

    def step(self, value: float | None, times: int = 1) -> list[Alert]:
        self.figure.value = value
        for _ in range(times):
            self.readings.add(Reading(self.seconds * SECOND, {}))
            self.alarms.judge(self.readings, (self.seconds + self.clock_off) * SECOND)
            self.seconds += 10
        return self.alarms.active()

    def test_it_is_raised_once_the_figure_has_been_beyond_for_long_enough(self) -> None:
        self.assertEqual(self.step(11, 3), [])
        self.assertEqual([alert.text for alert in self.step(12)], ["12 too many"])
        self.assertEqual(self.heard[0].since_us, 0)
        self.step(50, 5)
        self.assertEqual(len(self.heard), 1)
        self.assertEqual(self.alarms.active()[0].value, 50)

    def test_a_moment_on_the_right_side_begins_the_wait_anew(self) -> None:
        self.step(11, 3)
        self.step(10)
        self.assertEqual(self.step(11, 3), [])
        self.assertEqual(len(self.step(11)), 1)

    def test_it_is_cleared_once_the_figure_has_been_right_for_long_enough(self) -> None:
        self.step(11, 4)
        self.assertEqual(len(self.step(1, 2)), 1)
        self.assertEqual(self.step(1), [])
        self.assertEqual(self.heard[1].until_us, 60 * SECOND)
        shown = self.alarms.as_object()
        self.assertEqual((shown["active"], shown["over"][0]["state"]), ([], "cleared"))

    def test_an_alert_that_flickers_stays_one_alert(self) -> None:
        self.step(11, 4)
        for _ in range(5):
            self.step(1)
            self.step(11)
        self.assertEqual(len(self.heard), 1)

    def test_a_figure_that_cannot_be_told_changes_nothing(self) -> None:
        self.step(11, 4)
        self.assertEqual(len(self.step(None, 10)), 1)

    def test_a_clock_that_is_set_neither_raises_nor_clears_earlier_or_later(self) -> None:
        for off in (-1000, 1000):
            self.step(11, 2)
            self.clock_off += off
            self.assertEqual(self.step(11), [])
            self.assertEqual(len(self.step(11)), 1)
            self.step(1)
            self.clock_off += off
            self.assertEqual(len(self.step(1)), 1)
            self.assertEqual(self.step(1), [])

    def test_since_when_an_alert_lasts_is_told_by_the_clock_as_it_is_then(self) -> None:
        self.step(11, 2)
        self.clock_off = 1000
        (alert,) = self.step(11, 2)
        self.assertEqual(alert.since_us, 1000 * SECOND)

    def test_what_is_over_is_told_newest_first(self) -> None:
        self.step(11, 4)
        self.step(1, 3)
        self.step(11, 4)
        self.step(1, 3)
        self.assertEqual([each["since"] for each in self.alarms.as_object()["over"]], [70, 0])

    def test_a_figure_above_every_bound_is_no_number_in_json_and_a_word_in_the_text(self) -> None:
        (alert,) = self.step(float("inf"), 4)
        self.assertEqual((alert.as_object()["value"], alert.text), (None, "30+ too many"))

    def test_what_is_over_is_bounded(self) -> None:
        for _ in range(MAX_HISTORY + 3):
            self.step(11, 4)
            self.step(1, 3)
        self.assertEqual(len(self.alarms.as_object()["over"]), MAX_HISTORY)
        self.assertEqual(self.alarms.raised, MAX_HISTORY + 3)

    def test_another_limit_counts_from_the_next_reading_on_and_can_be_taken_back(self) -> None:
        self.alarms.regulate({"r": 100})
        self.assertEqual(self.step(50, 10), [])
        self.alarms.regulate({})
        self.assertEqual(len(self.step(50, 4)), 1)
        self.alarms.regulate({"r": 100})
        self.assertEqual(self.step(50, 4), [])

    def test_a_lower_bound_is_broken_from_below(self) -> None:
        rule = attrs.evolve(self.rule, below=True)
        self.assertTrue(rule.broken_by(9))
        self.assertFalse(rule.broken_by(10))


class TableOfRules(SynchronousTestCase):
    def setUp(self) -> None:
        self.context = make_context(self.mktemp())
        self.context.running.node.start(self.context.started_at)
        self.watch = Watch(Clock(), lambda: 0.0)
        self.view = View(self.context, self.watch, lambda name: None)  # type: ignore[arg-type]

    def test_every_figure_reads_a_metric_of_the_table_that_fits_it(self) -> None:
        for rule in RULES:
            row = ROWS[rule.figure.metric]
            self.assertEqual(row.type, TYPES[type(rule.figure)], rule.name)
            wanted = {label for label, _ in getattr(rule.figure, "labels", ())}
            self.assertLessEqual(wanted, set(row.labels), rule.name)

    def test_a_payment_that_waits_for_its_block_is_not_slow(self) -> None:
        """Blocks come every ten minutes: only the way to finality is fast, and that is what is promised."""
        alarms, readings = Alarms(lambda alert: None), Readings(rule.figure for rule in RULES)
        begun = self.context.monotonic()
        for number in range(60):
            self.context.monotonic = lambda: begun + number * EVERY_S  # noqa: B023
            self.watch.stages.since_accepted["final"].observe(0.05)
            self.watch.stages.since_accepted["confirmed"].observe(300.0)
            readings.add(read([ROWS[name] for name in WATCHED], self.view))
            alarms.judge(readings, self.view.now())
        self.assertEqual([alert.rule.name for alert in alarms.active() if "finality" in alert.rule.name], [])

    def test_who_is_no_member_any_more_lacks_no_quorum(self) -> None:
        """A follower has no margin at all: an alert that was raised before must not stay for ever."""
        rules = [rule for rule in RULES if rule.name == "quorum-thin"]
        alarms, readings = Alarms(lambda alert: None, rules), Readings()
        alarms.regulate({"quorum-thin": 10})
        names: list[list[str]] = []
        for number in range(60):
            values = {"timed_quorum_margin": (({}, -1.0),)} if number < 30 else {}
            readings.add(Reading(number * EVERY_S * SECOND, values))
            alarms.judge(readings, number * EVERY_S * SECOND)
            names.append([alert.rule.name for alert in alarms.active()])
        self.assertEqual((names[29], names[-1]), (["quorum-thin"], []))

    def test_names_are_unique_and_every_rule_says_what_to_do(self) -> None:
        self.assertEqual(len({rule.name for rule in RULES}), len(RULES))
        for rule in RULES:
            self.assertTrue(rule.remedy.endswith("."), rule.name)
            if not rule.name.startswith("check-"):
                self.assertIn("{value}", rule.summary, rule.name)

    def test_a_good_node_breaks_no_rule(self) -> None:
        alarms, readings = Alarms(lambda alert: None), Readings(rule.figure for rule in RULES)
        for _ in range(3):
            readings.add(read([ROWS[name] for name in WATCHED], self.view))
            alarms.judge(readings, self.view.now())
        self.assertEqual(alarms.active(), [])

    def test_each_check_of_the_health_has_its_alert(self) -> None:
        from timed.monitor.health import CHECKS

        alerts = {rule.name for rule in RULES}
        self.assertEqual({f"check-{check.name}" for check in CHECKS} - alerts, set())

    def test_the_runbook_has_a_page_for_every_alert(self) -> None:
        """Also for the one that Prometheus alone can raise."""
        lines = (ROOT / "docs/runbook.rst").read_text(encoding="utf-8").splitlines()
        titles = {above for above, below in pairwise(lines) if below and set(below) == {"-"}}
        pages = re.findall(r'runbook: "docs/runbook.rst#(.+)"$', FILES["etc/alerts.yml"](), re.MULTILINE)
        self.assertEqual(set(pages), {"node-down", *(rule.name for rule in RULES)})
        self.assertEqual({title for title in titles if title.islower()}, set(pages))
        self.assertEqual(FILES["etc/alerts.yml"]().count("- alert: "), len(pages))

    def test_every_metric_that_a_page_or_a_remedy_names_is_there(self) -> None:
        """By the name under which Prometheus knows it: that of a counter ends in `_total`."""
        texts = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").rglob("*.rst"))]
        named = set(re.findall(r"``(timed_[a-z_]+)[`{]", "".join(texts)))
        named |= set(re.findall(r"\btimed_[a-z_]+\b", "".join(rule.remedy for rule in RULES)))
        modules = {path.stem for path in (ROOT / "timed/plugins").glob("timed_*.py")}
        shown = {f"{row.name}_total" if row.type == COUNTER else row.name for row in METRICS}
        self.assertIn("timed_message_cpu_seconds_total", named)
        self.assertEqual(named - shown - modules, set())

    def test_every_metric_is_read_from_a_running_node_without_an_error(self) -> None:
        reading = read(METRICS, self.view)
        told = {row.name for row in METRICS if not isinstance(row, Durations) or list(row.source(self.view))}
        self.assertEqual(set(reading.values) | set(reading.spreads), told)
        self.assertEqual(set(ROWS) - told, {"timed_rpc_seconds"})

    def test_blocks_put_together_and_comments_lost_are_counted(self) -> None:
        wallet = SimpleNamespace(unrecorded=2)
        seen = SimpleNamespace(
            node=SimpleNamespace(catchup=SimpleNamespace(pieced=3)),
            parts=SimpleNamespace(wallet=wallet),
            context=SimpleNamespace(feed=SimpleNamespace(window=SimpleNamespace(from_disk=4))),
        )
        for name, count in (
            ("timed_blocks_pieced", 3),
            ("timed_wallet_unrecorded", 2),
            ("timed_events_from_disk", 4),
        ):
            self.assertEqual(list(ROWS[name].source(seen)), [((), float(count))])


class Files(SynchronousTestCase):
    def test_they_are_what_the_tables_say(self) -> None:
        for name, text in FILES.items():
            self.assertEqual(
                (ROOT / name).read_text(encoding="utf-8"), text(), f"{name}: run `python -m timed.monitor`."
            )

    def test_the_limits_of_the_rules_are_written_exactly(self) -> None:
        expressions = re.findall(r"expr: .* [<>] (\S+)$", FILES["etc/alerts.yml"](), re.MULTILINE)
        self.assertEqual([float(text) for text in expressions], [rule.limit for rule in RULES])

    def test_promtool_accepts_the_rules(self) -> None:
        promtool = shutil.which("promtool")
        if promtool is None:
            raise SkipTest("promtool is not installed (apt-get install prometheus)")
        done = subprocess.run(
            [promtool, "check", "rules", str(ROOT / "etc/alerts.yml")],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn(f"{len(RULES) + 1} rules found", done.stdout)
