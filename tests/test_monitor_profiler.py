"""The profiler inside the process: stacks in a bounded table, looks at their times, one profile at a time."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping
from types import CodeType, FrameType, SimpleNamespace
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from timed.errors import LocalError
from timed.monitor.profiler import (
    REACTOR,
    Profiler,
    Sampled,
    Sampler,
    Stopped,
    Thread,
    cpu_by_thread,
    threads_now,
)
from timed.monitor.stacks import BEYOND, CUT, MAX_DEPTH, ROOT, StackCounts, is_waiting, label

FILE = f"{ROOT}/timed/node/node.py"


def code(name: str, file: str = FILE, line: int = 1) -> CodeType:
    return code_of.__code__.replace(co_name=name, co_qualname=name, co_filename=file, co_firstlineno=line)


def code_of() -> None:
    """Whose code the fakes are made of."""


def frame(*codes: CodeType) -> Any:
    """The innermost frame; functions from the outermost inwards."""
    found = None
    for each in codes:
        found = SimpleNamespace(f_code=each, f_back=found)
    return found


class Stacks(SynchronousTestCase):
    def test_the_same_stack_is_counted_and_told_from_the_outside(self) -> None:
        counts = StackCounts()
        outer, inner = code("outer", line=3), code("Node.inner", line=9)
        for _ in range(3):
            counts.add("reactor", frame(outer, inner))
        counts.add("reactor", frame(outer))
        names = ["outer (timed/node/node.py:3)", "Node.inner (timed/node/node.py:9)"]
        self.assertEqual(list(counts.folded()), [("reactor", names, 3), ("reactor", names[:1], 1)])

    def test_who_waits_for_work_is_counted_and_not_kept(self) -> None:
        counts = StackCounts()
        counts.add("store", frame(code("run"), code("wait", "/usr/lib/python3.11/threading.py")))
        counts.add("store", frame(code("run")))
        self.assertEqual((counts.samples["store"], counts.waiting["store"], len(counts)), (2, 1, 1))
        self.assertTrue(is_waiting(code("doPoll", "/x/site-packages/twisted/internet/epollreactor.py")))
        self.assertFalse(is_waiting(code("wait", FILE)))

    def test_a_stack_without_room_counts_for_its_thread_alone(self) -> None:
        counts = StackCounts(most=2)
        for name in ("a", "b", "c", "d", "a"):
            counts.add("reactor", frame(code(name)))
        self.assertEqual((len(counts), counts.beyond["reactor"]), (2, 2))
        self.assertEqual([count for _, _, count in counts.folded()], [2, 1, 2])
        self.assertEqual(list(counts.folded())[-1][1], [BEYOND])

    def test_of_a_deep_stack_the_inner_functions_are_kept(self) -> None:
        counts = StackCounts()
        counts.add("reactor", frame(*(code(f"f{number}") for number in range(MAX_DEPTH + 5))))
        [(_, names, _)] = counts.folded()
        self.assertEqual((names[0], len(names)), (CUT, MAX_DEPTH + 1))
        self.assertIn(f"f{MAX_DEPTH + 4}", names[-1])

    def test_files_go_without_what_is_the_machine_s_own(self) -> None:
        for file, shown in (
            (f"{ROOT}/timed/rpc/site.py", "f (timed/rpc/site.py:1)"),
            ("/home/me/.venv/lib/python3.11/site-packages/twisted/web/http.py", "f (twisted/web/http.py:1)"),
            ("/usr/lib/python3.11/json/encoder.py", "f (json/encoder.py:1)"),
            ("<frozen runpy>", "f (<frozen runpy>:1)"),
        ):
            self.assertEqual(label(code("f", file)), shown)

    def test_a_running_function_is_found_in_its_stack(self) -> None:
        counts = StackCounts()
        counts.add("here", sys._getframe())
        [(_, names, _)] = counts.folded()
        self.assertIn(
            "test_a_running_function_is_found_in_its_stack (tests/test_monitor_profiler.py", names[-1]
        )


class Looks(SynchronousTestCase):
    """`Sampler` on a clock of the test's, on the test's thread."""

    def sampler(self, hz: int, delays: list[float]) -> Sampler:
        """It looks until `delays` are used up: so much later than asked each look comes."""
        self.now = 0.0

        def wait(event: threading.Event, seconds: float) -> bool:
            if not delays:
                return True
            self.now += seconds + delays.pop(0)
            return False

        frames: Mapping[int, FrameType] = {
            7: frame(code("work")),
            threading.get_ident(): frame(code("look")),
        }
        return Sampler(
            hz,
            lambda: self.now,
            frames=lambda: frames,
            threads=lambda: [Thread(7, REACTOR), Thread(8, "gone"), Thread(threading.get_ident(), "self")],
            cpu=lambda threads: {},
            wait=wait,
        )

    def test_it_looks_as_often_as_asked_at_every_other_thread(self) -> None:
        sampler = self.sampler(100, [0.0] * 50)
        sampler.run()
        self.assertEqual(sampler.stacks.samples, {REACTOR: 50})
        self.assertLess(abs(self.now - 0.5), 0.02)

    def test_times_keep_no_rhythm(self) -> None:
        """Else timers that run as often as it looks would be seen always or never."""
        sampler = self.sampler(100, [0.0] * 40)
        moments = []
        look = sampler.look

        def noted() -> None:
            moments.append(self.now * 100 % 1.0)
            look()

        self.patch(sampler, "look", noted)
        sampler.run()
        for tenth in range(10):
            self.assertTrue(any(tenth / 10 <= moment < (tenth + 1) / 10 for moment in moments), tenth)

    def test_a_look_that_comes_late_is_not_made_up_for(self) -> None:
        sampler = self.sampler(100, [0.0, 0.0, 0.1, 0.0, 0.0])
        sampler.run()
        self.assertEqual(sampler._looks, 5)
        self.assertIn(sampler._missed, (9, 10))


class One(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.profiler = Profiler(self.clock, self.clock.seconds)

    def take(self, seconds: float) -> tuple[Deferred[Sampled], list[Any]]:
        heard: list[Any] = []
        done = ensureDeferred(self.profiler.take(seconds, 50))
        done.addBoth(heard.append)
        return done, heard

    def threads(self) -> list[str]:
        return [each.name for each in threading.enumerate() if each.name == "timed-profiler"]

    def test_it_takes_as_long_as_asked_and_leaves_nothing(self) -> None:
        _, heard = self.take(10)
        self.clock.advance(9.9)
        self.assertEqual((heard, len(self.threads())), ([], 1))
        self.clock.advance(0.1)
        self.assertEqual((heard[0].seconds, heard[0].hz, self.threads()), (10, 50, []))
        self.assertEqual(self.profiler.counters["taken"], 1)

    def test_there_is_one_at_a_time(self) -> None:
        _, first = self.take(10)
        _, second = self.take(1)
        self.assertEqual((second[0].type, first), (LocalError, []))
        self.clock.advance(10)
        self.assertEqual(len(first), 1)
        _, third = self.take(1)
        self.clock.advance(1)
        self.assertIsInstance(third[0], Sampled)
        self.assertEqual((self.profiler.counters["taken"], self.profiler.counters["refused"]), (2, 1))

    def test_whoever_goes_away_ends_it(self) -> None:
        ends: tuple[tuple[Callable[[Any], None], type[Exception]], ...] = (
            (lambda done: done.cancel(), CancelledError),
            (lambda done: self.profiler.close(), Stopped),
        )
        for end, reason in ends:
            done, heard = self.take(10)
            end(done)
            self.assertEqual((heard[0].type, self.threads()), (reason, []))
            self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.profiler.counters["ended"], 2)

    def test_once_it_is_closed_none_is_begun(self) -> None:
        self.profiler.close()
        _, heard = self.take(10)
        self.assertEqual((heard[0].type, self.threads()), (Stopped, []))

    def test_the_cpu_of_threads_of_one_name_is_summed_and_one_that_ended_takes_none_back(self) -> None:
        old, lasting, new = (Thread(number, "pool", number) for number in (1, 2, 3))
        readings = [{old: 5.0, lasting: 2.0}, {lasting: 2.5, new: 0.25}]
        sampler = Sampler(
            50, self.clock.seconds, cpu=lambda threads: readings.pop(0), wait=lambda event, s: True
        )
        sampler.start()
        self.assertEqual(sampler.stop().cpu_s, {"pool": 0.75})

    def test_the_threads_of_this_process_have_names_and_cpu_time(self) -> None:
        threads = threads_now()
        self.assertIn(REACTOR, [each.name for each in threads])
        ended = Thread(1, "ended", 2**22 + 1)
        spent = cpu_by_thread([*threads, ended])
        self.assertGreater(sum(each for thread, each in spent.items() if thread.name == REACTOR), 0)
        self.assertNotIn(ended, spent)
