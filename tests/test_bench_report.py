"""Tables, goals and the last line of a benchmark."""

from __future__ import annotations

import json
from io import StringIO

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from timed.bench import main, measure, report


class Numbers(SynchronousTestCase):
    def test_a_percentile_is_one_of_the_values(self) -> None:
        values = [float(number) for number in range(1, 101)]
        self.assertEqual(measure.percentile(values, 50), 50.0)
        self.assertEqual(measure.percentile(values, 99), 99.0)
        self.assertEqual(measure.percentile([7.0], 99), 7.0)
        self.assertEqual(measure.percentile([], 50), 0.0)

    def test_a_figure_knows_its_spread(self) -> None:
        figure = measure.figure([1.0, 2.0, 4.0])
        self.assertEqual((figure.median, figure.low, figure.high, figure.runs), (2.0, 1.0, 4.0, 3))
        self.assertEqual(figure.spread, 1.5)

    def test_preparing_is_not_counted(self) -> None:
        """Each argument takes 100 seconds to prepare and 2 to use."""
        clock = Clock()
        self.patch(measure.time, "thread_time", clock.seconds)

        def prepare(count: int) -> list[int]:
            clock.advance(100 * count)
            return [2] * count

        self.assertEqual(measure.cpu_seconds(prepare, clock.advance, 30.0), 2.0)
        self.assertGreaterEqual(clock.rightNow, 15 * 2)


class Report(SynchronousTestCase):
    def outcome(self) -> report.Outcome:
        return report.Outcome(
            "two things",
            ["what", "ms"],
            rows=[["one", 1.2345], ["two", 12_345.6]],
            goals=[
                report.Goal("speed", 21.0, 20.0, at_least=True),
                report.Goal("delay", 7.0, 5.0, unit=" ms"),
            ],
            figures={"p50_ms": 1.2},
            runs=3,
        )

    def test_the_last_line_is_one_object_with_figures_and_circumstances(self) -> None:
        out = StringIO()
        report.write(self.outcome(), measure.machine(), 1.5, out, as_json=True)
        last = json.loads(out.getvalue().splitlines()[-1])
        self.assertEqual(last["p50_ms"], 1.2)
        self.assertEqual(last["runs"], 3)
        self.assertEqual([goal["reached"] for goal in last["goals"]], [True, False])
        self.assertEqual(
            sorted(set(last["machine"]) & {"cpu", "cores", "python"}), ["cores", "cpu", "python"]
        )

    def test_people_get_a_table_and_the_verdicts(self) -> None:
        out = StringIO()
        report.write(self.outcome(), measure.machine(), 1.5, out, as_json=False)
        text = out.getvalue()
        self.assertIn("one     1.23", text)
        self.assertIn("12,346", text)
        self.assertIn("MISSED  delay: 7 ms, to be at most 5 ms", text)
        self.assertNotIn("{", text)


class Command(SynchronousTestCase):
    def test_every_name_is_a_module_with_options_and_a_run(self) -> None:
        for name in main.BENCHMARKS:
            module = main.benchmark(name)
            self.assertTrue(callable(module.options) and callable(module.run), name)

    def test_usage_errors_have_status_two(self) -> None:
        self.patch(main.sys, "stderr", StringIO())
        error = self.assertRaises(SystemExit, main.main, ["nothing"])
        self.assertEqual(error.code, 2)
