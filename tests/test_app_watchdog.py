"""The watchdog: each way a loop can die is seen, said once, mended where that is safe, and over afterwards."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogEvent, LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from timed.app import watchdog as watching
from timed.app.watchdog import FIRST_PAUSE_S, LATE_S, LONGEST_PAUSE_S, LOOK_S, SHOWN_S, Watchdog
from timed.errors import LocalError
from timed.loops import Cause, Ticker
from timed.monitor.metrics import METRICS


class ReactorLosingCalls(Clock):
    """A clock that refuses to take the next calls, as one with a bug would."""

    def __init__(self) -> None:
        super().__init__()
        self.refused = 0

    def callLater(self, when: float, what: Any, *args: Any, **named: Any) -> Any:
        if self.refused:
            self.refused -= 1
            raise OverflowError("no such time")
        return super().callLater(when, what, *args, **named)


class WatchdogCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = ReactorLosingCalls()
        self.jumped = 0.0
        self.loops = Watchdog(self.clock, lambda: self.clock.seconds() + self.jumped)
        self.loops.startService()
        self.raised: list[Exception] = []
        self.lines: list[tuple[str, str]] = []
        globalLogPublisher.addObserver(self._line)
        self.addCleanup(globalLogPublisher.removeObserver, self._line)

    def _line(self, event: LogEvent) -> None:
        if event["log_namespace"].endswith("Watchdog"):
            self.lines.append((event["log_level"].name, event["log_format"].format(**event)))

    def now_us(self) -> int:
        return int(self.clock.seconds() * 1_000_000)

    def pass_time(self, seconds: float, step_s: float = 1.0) -> None:
        """What raises in a turn is what a reactor would log; here it is kept."""
        end = self.clock.seconds() + seconds
        while self.clock.seconds() < end:
            try:
                self.clock.advance(step_s)
            except (ZeroDivisionError, OverflowError) as error:
                self.raised.append(error)

    def troubles(self) -> dict[str, str]:
        return {each.name: each.reason for each in self.loops.troubles()}

    def count(self, name: str) -> int:
        return self.loops.restarts()[name]

    def levels(self) -> list[str]:
        return [level for level, _ in self.lines]


class Deaths(WatchdogCase):
    def test_a_timer_that_was_lost_is_set_again(self) -> None:
        done: list[float] = []
        ticker = Ticker(self.clock, 2.0, lambda: done.append(self.clock.seconds()))
        ticker.start()
        self.loops.add_ticker("sweeper", ticker, "Restart.")
        self.pass_time(11)
        self.assertEqual((len(done), self.troubles()), (6, {}))
        self.clock.refused = 1
        self.pass_time(2)
        self.assertFalse(ticker.alive)
        self.pass_time(40)
        self.assertEqual((self.count("sweeper"), len(self.raised)), (1, 1))
        self.assertGreater(len(done), 10)
        self.assertIn("goes on again", self.troubles()["sweeper"])
        self.assertIn(Cause.DIED.value, self.troubles()["sweeper"])
        self.pass_time(SHOWN_S)
        self.assertEqual(self.troubles(), {})
        self.assertEqual(self.levels(), ["error", "warn", "info"])

    def test_one_that_raises_in_every_turn_is_shown_until_it_does_not(self) -> None:
        broken = True

        def work() -> None:
            if broken:
                raise ZeroDivisionError

        ticker = Ticker(self.clock, 2.0, work)
        ticker.start(at_once=False)
        self.loops.add_ticker("sweeper", ticker, "Restart.")
        self.pass_time(30)
        self.assertTrue(ticker.alive)
        self.assertIn(Cause.FAILS.value, self.troubles()["sweeper"])
        broken = False
        self.pass_time(LOOK_S + 2)
        self.assertIn("goes on again", self.troubles()["sweeper"])

    def test_what_waits_for_an_answer_that_never_comes_is_begun_again(self) -> None:
        asked: list[Deferred[None]] = []
        answered: list[int] = []

        def ask() -> None:
            asked.append(Deferred())
            asked[-1].addCallback(lambda _: answered.append(1))

        ask()
        self.loops.add("asker", lambda: len(answered), 10.0, "Mend it.", restart=ask)
        self.pass_time(10 + 2 * LOOK_S)
        self.assertEqual(len(asked), 2)
        asked[-1].callback(None)
        self.pass_time(LOOK_S)
        self.assertIn("goes on again", self.troubles()["asker"])

    def test_a_thread_that_does_not_come_back_is_shown_and_never_doubled(self) -> None:
        begun: list[int] = []
        self.loops.add(
            "writer", lambda: 0, 10.0, "Look at the disk.", restart=lambda: begun.append(1),
            cause=lambda: Cause.THREAD,
        )  # fmt: skip
        self.pass_time(3_600)
        self.assertEqual((begun, self.count("writer")), ([], 0))
        [trouble] = self.loops.troubles()
        self.assertEqual(trouble.remedy, "Look at the disk.")
        self.assertIn(Cause.THREAD.value, trouble.reason)
        self.assertEqual(self.levels(), ["error"])

    def test_what_is_unsafe_to_begin_again_is_only_shown(self) -> None:
        hangs = True
        self.loops.add("rounds", lambda: 0 if hangs else self.now_us(), 10.0, "Report it.")
        self.pass_time(100)
        self.assertEqual((self.count("rounds"), set(self.troubles())), (0, {"rounds"}))
        hangs = False
        self.pass_time(LOOK_S)
        self.pass_time(SHOWN_S)
        self.assertEqual(self.troubles(), {})


class Judgement(WatchdogCase):
    def test_who_owes_nothing_is_never_stuck(self) -> None:
        owes = False
        self.loops.add("queue", lambda: 0, 10.0, "Mend it.", owes=lambda: owes)
        self.pass_time(1_000)
        self.assertEqual(self.troubles(), {})
        owes = True
        self.pass_time(10)
        self.assertEqual(self.troubles(), {}, "silence counts from when something is owed")
        self.pass_time(10 + LOOK_S)
        self.assertEqual(set(self.troubles()), {"queue"})

    def test_what_does_not_help_is_tried_more_and_more_rarely(self) -> None:
        tried: list[float] = []
        self.loops.add(
            "asker", lambda: 0, 10.0, "Mend it.", restart=lambda: tried.append(self.clock.seconds())
        )
        self.pass_time(20_000, step_s=LOOK_S)
        pauses = [later - earlier for earlier, later in pairwise(tried)]
        self.assertEqual(pauses[:4], [FIRST_PAUSE_S * 2**power for power in range(4)])
        self.assertLessEqual(max(pauses), LONGEST_PAUSE_S + LOOK_S)
        self.assertEqual(self.levels().count("error"), 1)

    def test_a_process_that_was_stopped_blames_no_loop(self) -> None:
        """SIGSTOP, a suspended machine, a reactor that hung: everything was silent at once."""
        progress = [0]
        self.loops.add("ticker", lambda: progress[0], 20.0, "Mend it.", restart=lambda: None)
        self.pass_time(LOOK_S)
        self.jumped += 3_600
        self.pass_time(LOOK_S)
        self.assertEqual(self.troubles(), {})
        progress[0] += 1
        self.pass_time(20)
        self.assertEqual((self.troubles(), self.count("ticker")), ({}, 0))

    def test_a_bug_in_one_loop_keeps_none_of_the_others_from_being_looked_at(self) -> None:
        found = [0]

        def progress() -> int:
            if self.clock.seconds():
                raise ZeroDivisionError
            return 0

        self.loops.add("broken", progress, 10.0, "Mend it.")
        self.loops.add("other", lambda: 0, 10.0, "Mend it.", restart=lambda: found.append(1))
        self.pass_time(30)
        self.assertEqual(set(self.troubles()), {"other"})
        self.assertGreater(len(found), 1)
        self.assertEqual(self.loops.failures, len(self.flushLoggedErrors(ZeroDivisionError)))

    def test_a_restart_that_raises_is_counted_and_tried_again(self) -> None:
        tries: list[float] = []

        def restart() -> None:
            tries.append(self.clock.seconds())
            raise ZeroDivisionError

        self.loops.add("asker", lambda: 0, 10.0, "Mend it.", restart=restart)
        self.pass_time(60)
        self.assertGreater(len(tries), 1)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), self.loops.failures)

    def test_a_loop_that_ended_is_looked_at_no_more_and_its_restarts_stay_counted(self) -> None:
        end = self.loops.add("asker", lambda: 0, 10.0, "Mend it.", restart=lambda: None)
        self.pass_time(10 + 2 * LOOK_S)
        before = self.count("asker")
        self.assertGreater(before, 0)
        end()
        self.pass_time(1_000)
        self.assertEqual((self.troubles(), self.count("asker")), ({}, before))
        self.loops.add("asker", lambda: 0, 10.0, "Mend it.")
        self.assertEqual(self.count("asker"), before)

    def test_what_is_kept_of_loops_that_ended_has_a_bound(self) -> None:
        def enter(name: str, restart: Any) -> Any:
            return self.loops.add(name, lambda: 0, LOOK_S, "Restart.", restart=restart)

        end = enter("sink first", lambda: None)
        self.pass_time(4 * LOOK_S)
        restarts = self.count("sink first")
        self.assertGreater(restarts, 0)
        end()
        for number in range(watching.MAX_LOOPS):
            enter(f"sink {number}", None)()
        found = self.loops.restarts()
        self.assertEqual(len(self.loops.ended), watching.MAX_LOOPS)
        self.assertNotIn("sink first", found)
        self.assertEqual(found[watching.FORGOTTEN], restarts)
        [row] = [row for row in METRICS if row.name == "timed_loop_restarts"]
        self.assertIn(f"the loop {watching.FORGOTTEN} stands for", row.help)

    def test_only_the_restarts_of_this_time_are_said(self) -> None:
        """Not those of an earlier time; and who came back alone was not begun again."""
        restarts = [0]

        def restart() -> None:
            restarts[0] += 1

        progress = [0]
        self.loops.add(
            "asker", lambda: progress[0], 10.0, "Mend it.", restart=restart,
            cause=lambda: Cause.THREAD if alone else Cause.WAITS,
        )  # fmt: skip
        alone = False
        self.pass_time(30)
        progress[0] += 1
        self.pass_time(LOOK_S)
        self.assertEqual(restarts, [2])
        self.assertIn("goes on again after 2 restarts (", self.troubles()["asker"])
        alone = True
        self.pass_time(30)
        progress[0] += 1
        self.pass_time(LOOK_S)
        self.assertEqual(restarts, [2])
        self.assertIn("goes on again by itself (", self.troubles()["asker"])

    def test_the_list_has_a_bound_and_each_name_is_there_once(self) -> None:
        self.patch(watching, "MAX_LOOPS", 2)
        self.loops.add("one", lambda: 0, 10.0, "Mend it.")
        self.assertRaises(LocalError, self.loops.add, "one", lambda: 0, 10.0, "Mend it.")
        self.loops.add("two", lambda: 0, 10.0, "Mend it.")
        self.assertRaises(LocalError, self.loops.add, "three", lambda: 0, 10.0, "Mend it.")


class Itself(WatchdogCase):
    def test_it_says_when_it_is_late_and_can_be_begun_again(self) -> None:
        self.assertIsNone(self.loops.late_s())
        self.clock.refused = 1
        self.pass_time(LOOK_S)
        self.assertEqual(len(self.raised), 1)
        self.pass_time(LATE_S + 1)
        self.assertGreater(self.loops.late_s() or 0, LATE_S)
        self.loops.restart()
        self.pass_time(1)
        self.assertIsNone(self.loops.late_s())

    def test_nothing_is_left_when_it_has_stopped(self) -> None:
        self.loops.add("asker", lambda: 0, 10.0, "Mend it.", restart=lambda: None)
        self.loops.stopService()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.pass_time(1_000)
        self.assertEqual((self.count("asker"), self.loops.late_s()), (0, None))
        self.loops.restart()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_each_line_names_loop_reason_and_remedy(self) -> None:
        self.loops.add("asker", lambda: 0, 10.0, "Mend it.", restart=lambda: None)
        self.pass_time(20)
        level, text = self.lines[0]
        self.assertEqual(level, LogLevel.error.name)
        for part in ("asker", Cause.WAITS.value, "Mend it."):
            self.assertIn(part, text)
