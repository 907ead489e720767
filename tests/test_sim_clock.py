"""Virtual time: the order of events and the identity of a run."""

from __future__ import annotations

import os
import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

import timed
from timed.sim.clock import Clock


class OrderTests(SynchronousTestCase):
    def test_events_run_by_time_then_by_the_order_they_were_asked_for(self) -> None:
        clock = Clock(1_000)
        ran: list[str] = []
        clock.after(5, "late", lambda: ran.append("late"))
        clock.after(1, "first", lambda: ran.append("first"))
        clock.after(1, "second", lambda: ran.append("second"))
        clock.run_until(1_010)
        self.assertEqual(ran, ["first", "second", "late"])
        self.assertEqual(clock.now, 1_010)

    def test_an_event_asked_for_in_the_past_runs_now(self) -> None:
        clock = Clock(1_000)
        seen: list[int] = []
        clock.at(10, "past", lambda: seen.append(clock.now))
        clock.step()
        self.assertEqual(seen, [1_000])

    def test_a_cancelled_event_leaves_no_trace(self) -> None:
        with_it, without = Clock(0), Clock(0)
        with_it.after(3, "gone", lambda: None).cancel()
        for clock in (with_it, without):
            clock.after(4, "kept", lambda: None)
            clock.run_until(10)
        self.assertEqual(with_it.trace_hash, without.trace_hash)
        self.assertEqual(with_it.events, 1)

    def test_run_until_leaves_later_events_in_the_queue(self) -> None:
        clock = Clock(0)
        clock.after(11, "later", lambda: None)
        clock.run_until(10)
        self.assertEqual(clock.events, 0)
        self.assertTrue(clock.step())
        self.assertFalse(clock.step())

    def test_watchers_run_after_every_event(self) -> None:
        clock = Clock(0)
        checked: list[int] = []
        clock.watchers.append(lambda: checked.append(clock.events))
        for delay in (1, 2, 3):
            clock.after(delay, "tick", lambda: None)
        clock.run_until(5)
        self.assertEqual(checked, [1, 2, 3])


class TraceTests(SynchronousTestCase):
    def test_the_hash_covers_label_and_time(self) -> None:
        hashes = set()
        for delay, label in ((1, "a"), (2, "a"), (1, "b")):
            clock = Clock(0)
            clock.after(delay, label, lambda: None)
            clock.step()
            hashes.add(clock.trace_hash)
        self.assertEqual(len(hashes), 3)

    def test_another_process_computes_the_same_hash(self) -> None:
        program = (
            "from timed.sim.clock import Clock\n"
            "c = Clock(0)\n"
            "for n in range(50): c.after(n % 7, f'event {n}', lambda: None)\n"
            "c.run_until(100)\n"
            "print(c.trace_hash)\n"
        )
        root = os.path.dirname(os.path.dirname(os.path.abspath(timed.__file__)))
        answers = {
            subprocess.run(
                [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True
            ).stdout
            for _ in range(2)
        }
        self.assertEqual(len(answers), 1)
