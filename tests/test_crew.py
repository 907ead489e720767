"""Calls on other threads, many of them."""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
from queue import SimpleQueue

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.app_world import ThreadsOnClock
from timed import crew as crew_module
from timed.crew import Crew
from timed.monitor.stacks import is_waiting

DEADLINE_S = 60


class CrewTests(SynchronousTestCase):
    def crew(self, size: int) -> Crew:
        crew = Crew("a-crew", size)
        self.addCleanup(crew.stop)
        return crew

    def test_one_thread_does_what_it_was_handed_in_that_order(self) -> None:
        done: list[tuple[int, str]] = []
        crew = self.crew(1)
        for number in range(100):
            crew.callInThread(lambda one: done.append((one, threading.current_thread().name)), number)
        crew.stop()
        self.assertEqual(done, [(number, "a-crew-0") for number in range(100)])

    def test_no_more_threads_than_it_has_places_and_none_before_the_first_call(self) -> None:
        crew = self.crew(2)
        self.assertEqual(crew.threads, 0)
        together = threading.Barrier(3)
        for _ in range(2):
            crew.callInThread(together.wait, DEADLINE_S)
        together.wait(DEADLINE_S)
        for _ in range(20):
            crew.callInThread(int)
        self.assertEqual(crew.threads, 2)

    def test_after_a_stop_everything_is_done_and_no_thread_is_left(self) -> None:
        done: list[int] = []
        before = set(threading.enumerate())
        crew = self.crew(3)
        for number in range(300):
            crew.callInThread(done.append, number)
        crew.stop()
        self.assertEqual(sorted(done), list(range(300)))
        self.assertEqual(set(threading.enumerate()) - before, set())

    def test_a_system_without_room_for_a_thread_is_told_and_asked_again(self) -> None:
        """The call that raises was not taken: it is done by nobody, and stopping waits for no thread that never began."""
        refused: list[threading.Thread] = []

        class Refused(threading.Thread):
            def start(self) -> None:
                if len(refused) < 2:
                    refused.append(self)
                    raise RuntimeError("can't start new thread")
                super().start()

        self.patch(crew_module, "Thread", Refused)
        crew, done = self.crew(2), SimpleQueue[str]()
        self.assertRaises(RuntimeError, crew.callInThread, done.put, "lost")
        self.assertRaises(RuntimeError, crew.callInThread, done.put, "lost")
        crew.callInThread(done.put, "first")
        self.assertEqual((done.get(timeout=DEADLINE_S), crew.threads), ("first", 1))
        refused.clear()
        crew.callInThread(done.put, "second")
        self.assertEqual((done.get(timeout=DEADLINE_S), crew.threads), ("second", 1))
        crew.stop()
        self.assertTrue(done.empty())

    def test_what_a_call_raises_is_logged_and_the_next_one_is_done(self) -> None:
        done: list[int] = []
        crew = self.crew(1)
        crew.callInThread(lambda: 1 // 0)
        crew.callInThread(done.append, 1)
        crew.stop()
        self.assertEqual(done, [1])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_a_call_that_would_end_its_thread_ends_nothing(self) -> None:
        done: list[int] = []
        crew = self.crew(1)
        crew.callInThread(sys.exit, "a library that means well")
        crew.callInThread(done.append, 1)
        crew.stop()
        self.assertEqual(done, [1])
        self.assertEqual(len(self.flushLoggedErrors(SystemExit)), 1)

    def test_where_no_thread_can_begin_what_is_waited_for_is_done_by_whoever_asks(self) -> None:
        """A record of the wallet that nobody writes would be missing from its file for good."""

        class Refused(threading.Thread):
            def start(self) -> None:
                raise RuntimeError("can't start new thread")

        self.patch(crew_module, "Thread", Refused)
        clock, crew, done = ThreadsOnClock(), self.crew(1), list[int]()
        answer = crew.defer_to_thread(clock, done.append, 1)
        refusal = crew.defer_to_thread(clock, divmod, 7, 0)
        self.assertEqual((done, crew.threads), ([1], 0))
        self.assertNoResult(answer)
        clock.advance(0)
        self.assertIs(self.successResultOf(answer), None)
        self.failureResultOf(refusal, ZeroDivisionError)

    def test_after_a_stop_nothing_is_taken(self) -> None:
        done: list[int] = []
        crew = self.crew(1)
        crew.stop()
        self.assertRaises(RuntimeError, crew.callInThread, done.append, 1)
        self.failureResultOf(crew.defer_to_thread(Clock(), done.append, 1), RuntimeError)
        self.assertEqual((done, crew.threads), ([], 0))

    def test_an_answer_comes_on_the_side_of_the_reactor(self) -> None:
        clock, crew = ThreadsOnClock(), self.crew(1)
        answer = crew.defer_to_thread(clock, divmod, 7, 2)
        refusal = crew.defer_to_thread(clock, divmod, 7, 0)
        crew.stop()
        self.assertNoResult(answer)
        self.assertNoResult(refusal)
        clock.advance(0)
        self.assertEqual(self.successResultOf(answer), (3, 1))
        self.failureResultOf(refusal, ZeroDivisionError)

    def test_a_thread_without_work_is_one_that_waits(self) -> None:
        """For a profile, which tells the two apart by where a thread is."""
        idents: list[int] = []
        crew = self.crew(1)
        crew.callInThread(lambda: idents.append(threading.get_ident()))
        deadline = time.monotonic() + DEADLINE_S
        while not idents or not is_waiting(sys._current_frames()[idents[0]].f_code):
            self.assertLess(time.monotonic(), deadline)
            os.sched_yield()

    def test_calls_leave_nothing_for_the_collector(self) -> None:
        crew = self.crew(1)
        crew.callInThread(int)
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)
        clock = ThreadsOnClock()
        for _ in range(500):
            crew.callInThread(int, 1)
            crew.defer_to_thread(clock, int, 1)
        crew.stop()
        clock.advance(0)
        self.assertLess(gc.collect(), 50)
