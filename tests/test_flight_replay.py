"""The flight recorder under the simulator: whatever happened, it happens again, to the same state."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import lru_cache
from itertools import count, pairwise
from pathlib import Path
from typing import Any
from unittest import mock

import attrs
from twisted.trial.unittest import SynchronousTestCase

from tests.process_world import ROOT
from timed.cli import replay
from timed.errors import LocalError
from timed.events import Action
from timed.flight.recorder import EASY_PENDING, MAX_PENDING, Recorder, _Part
from timed.flight.replay import Diverged, Replay
from timed.flight.tape import CALLS, OPERATIONS, Entry, Tape, load, packed
from timed.monitor.process import memory_now
from timed.node.inbox import Inbox
from timed.node.node import Node
from timed.params import SECOND
from timed.sim.nemesis import FAULTS
from timed.sim.run import Run, run_seed
from timed.sim.violation import Violation
from timed.sim.world import Scenario

ROOM = 64 << 20
SMALL = 1 << 20
SEEDS = (6, 33)
MINUTES = 3


class Recorded:
    """One run of the simulator with the recorders of all its processes, the dead ones, too."""

    def __init__(self, scenario: Scenario) -> None:
        self.recorders: list[Recorder] = []
        self.run = Run(scenario)
        made = Recorder.__init__

        def init(recorder: Recorder, *arguments: object, **named: object) -> None:
            made(recorder, *arguments, **named)  # type: ignore[arg-type]
            self.recorders.append(recorder)

        with mock.patch.object(Recorder, "__init__", init):
            self.run.play()

    def tapes(self) -> Iterator[Tape]:
        for recorder in self.recorders:
            tape = recorder.tape("a test")
            if tape is not None:
                yield load(tape.dump())


def quiet(seed: int = 1, record: int = ROOM) -> Scenario:
    return Scenario(seed, minutes=1, record=record)


@lru_cache(maxsize=1)
def quiet_run() -> Recorded:
    return Recorded(quiet())


@lru_cache(maxsize=1)
def one_tape() -> Tape:
    return next(quiet_run().tapes())


class EveryFault(SynchronousTestCase):
    """Issue 5, shown by 5."""

    def test_every_process_does_again_what_it_did(self) -> None:
        for seed in SEEDS:
            found = Recorded(
                Scenario(seed, minutes=MINUTES, faults=tuple(FAULTS), followers=seed % 2, record=ROOM)
            )
            replayed = 0
            for tape in found.tapes():
                report = Replay(tape).run()
                self.assertTrue(report.whole)
                self.assertEqual(report.digest, tape.digest)
                self.assertEqual([line for line in report.raised if "InvalidTransaction" not in line], [])
                replayed += 1
            self.assertEqual(replayed, len(found.recorders))
            self.assertGreater(replayed, 4, "no process was killed: the seed says nothing")

    def test_a_recording_changes_nothing_of_the_run(self) -> None:
        run = Run(quiet(record=0))
        run.play()
        self.assertEqual(run.world.clock.trace_hash, quiet_run().run.world.clock.trace_hash)

    def test_a_full_ring_begins_with_a_later_state(self) -> None:
        found = Recorded(Scenario(4, minutes=MINUTES, record=SMALL // 2))
        counters = [recorder.counters for recorder in found.recorders]
        self.assertGreater(min(one.copies for one in counters), 1)
        self.assertGreater(sum(one.dropped for one in counters), 0)
        for recorder in found.recorders:
            self.assertLessEqual(recorder.size, SMALL // 2)
        tapes = list(found.tapes())
        self.assertTrue(tapes)
        for tape in tapes:
            self.assertEqual(Replay(tape).run().digest, tape.digest)


class AnIncident(SynchronousTestCase):
    def test_a_violated_run_is_executed_again_by_the_command(self) -> None:
        directory = Path(self.mktemp())
        directory.mkdir()
        scenario = Scenario(5, minutes=2, faults=tuple(FAULTS), record=ROOM, recordings=str(directory))

        def broken(run: Run) -> None:
            raise Violation("final-twice", "as if")

        with mock.patch.object(Run, "_live", broken):
            result = run_seed(scenario)
        self.assertEqual(result.violation, "final-twice")
        self.assertEqual(sorted(os.listdir(directory)), sorted(Path(path).name for path in result.recordings))
        self.assertTrue(result.recordings)
        for path in result.recordings:
            tape = load(Path(path).read_bytes())
            self.assertEqual(tape.why, "seed 5: final-twice")
            done = subprocess.run(
                [sys.executable, "-m", "timed.cli.replay", path, "--json"],
                capture_output=True, text=True, timeout=120, check=False,
                env={**os.environ, "PYTHONHASHSEED": str(random.Random(path).randrange(1 << 32))},
            )  # fmt: skip
            self.assertEqual(done.returncode, 0, done.stderr)
            told = json.loads(done.stdout)
            self.assertEqual((told["same"], told["whole"], told["state"]), (True, True, tape.digest.hex()))

    def test_an_exception_is_raised_again(self) -> None:
        deliver = Inbox.deliver

        def bug(inbox: Inbox, delivery: object, now: int) -> None:
            deliver(inbox, delivery, now)  # type: ignore[arg-type]
            if inbox._node.ledger.tip.height == 2:
                raise ZeroDivisionError("a bug")

        with mock.patch.object(Inbox, "deliver", bug):
            run = Run(quiet())
            self.assertRaises(ZeroDivisionError, run.play)
            tapes = [process.recorder.tape("") for process in run.world.running() if process.recorder]
            raised = [line for tape in tapes if tape is not None for line in Replay(tape).run().raised]
        self.assertEqual(len([line for line in raised if "ZeroDivisionError('a bug')" in line]), 1)
        for tape in tapes:
            if tape is not None and [Entry.RAISED, "ZeroDivisionError"] in list(tape):
                self.assertRaisesRegex(
                    Diverged, "raised ZeroDivisionError when it was recorded", Replay(tape).run
                )

    def test_a_turn_that_raises_is_a_step_and_raises_again(self) -> None:
        flush = Node.flush

        def bug(node: Node, now: int) -> list[Action]:
            actions = flush(node, now)
            if node.ledger.tip.height == 2:
                raise ZeroDivisionError("a bug")
            return actions

        with mock.patch.object(Node, "flush", bug):
            run = Run(quiet())
            self.assertRaises(ZeroDivisionError, run.play)
            recorders = [process.recorder for process in run.world.running() if process.recorder]
            broken = [
                each for each in recorders if [Entry.RAISED, "ZeroDivisionError"] in list(tape_of(each))
            ]
            self.assertEqual(len(broken), 1)
            report = Replay(tape_of(broken[0])).run()
        self.assertIn("(flush): ZeroDivisionError('a bug')", report.raised[-1])
        self.assertIsNone(broken[0].next_wake(), "it is not due at once again")
        self.assertRaisesRegex(
            Diverged,
            r"\(flush\) raised ZeroDivisionError when it was recorded",
            Replay(tape_of(broken[0])).run,
        )


def tape_of(recorder: Recorder) -> Tape:
    tape = recorder.tape("")
    assert tape is not None
    return tape


class Differences(SynchronousTestCase):
    """What is not as it was is found at its step."""

    def setUp(self) -> None:
        self.tape = one_tape()

    def edited(self, edit: dict[int, list[object] | None]) -> Tape:
        """The tape with some entries replaced, or left out."""
        entries = list(self.tape)
        kept = [edit.get(place, entry) for place, entry in enumerate(entries)]
        return attrs.evolve(self.tape, entries=b"".join(packed(entry) for entry in kept if entry is not None))

    def places(self, kind: Entry, *, call: str = "") -> list[int]:
        return [
            place
            for place, entry in enumerate(self.tape)
            if entry[0] == kind and (not call or CALLS[entry[1]] == call)
        ]

    def test_a_call_that_is_missing(self) -> None:
        for call in ("received", "persisted", "verified"):
            place = self.places(Entry.CALL, call=call)[-1]
            self.assertRaises(LocalError, Replay(self.edited({place: None})).run)

    def test_bytes_that_were_others(self) -> None:
        entries = list(self.tape)
        place = max(self.places(Entry.CALL, call="received"), key=lambda one: len(entries[one][3]))
        entry = list(entries[place])
        entry[3] = bytes([entry[3][0] ^ 1]) + entry[3][1:]
        self.assertRaisesRegex(LocalError, "step [0-9]+", Replay(self.edited({place: entry})).run)

    def test_a_turn_that_did_something_else(self) -> None:
        entries = list(self.tape)
        place = self.places(Entry.TURN)[40]
        kind, time, checked = entries[place]
        error = self.assertRaises(Diverged, Replay(self.edited({place: [kind, time, checked ^ 1]})).run)
        self.assertIn(f"the turn at {time} did something else", str(error))

    def test_a_signature_that_is_missing(self) -> None:
        place = self.places(Entry.SIGNATURE)[0]
        self.assertRaisesRegex(Diverged, "it signs .* not signed", Replay(self.edited({place: None})).run)

    def test_a_read_that_is_missing(self) -> None:
        questions = [(place, list(self.tape)[place][1:3]) for place in self.places(Entry.READ)]
        place = next(place for place, asked in questions if [one for _, one in questions].count(asked) == 1)
        self.assertRaisesRegex(Diverged, "it reads .* not read", Replay(self.edited({place: None})).run)

    def test_another_state_at_the_end(self) -> None:
        other = attrs.evolve(self.tape, digest=bytes(32))
        self.assertRaisesRegex(Diverged, "the state at the end is another one", Replay(other).run)

    def test_an_entry_of_an_unknown_kind(self) -> None:
        self.assertRaisesRegex(LocalError, "unknown kind 99", Replay(self.edited({0: [99]})).run)

    def test_entries_that_are_none(self) -> None:
        for bad in (
            [Entry.CALL, 99, 1],
            [Entry.CALL],
            [Entry.TURN],
            [Entry.OPERATION, 99, b""],
            [Entry.CALL, "x", 1],
        ):
            self.assertRaises(LocalError, Replay(self.edited({0: bad})).run)

    def test_a_time_that_no_calendar_has_is_shown_as_it_is(self) -> None:
        self.assertEqual(replay._time(1_790_000_000_000_000), "2026-09-21 14:13:20.000000")
        for number in (2**63, -(2**63), 2**200):
            self.assertEqual(replay._time(number), str(number))

    def test_half_a_replay_is_not_compared_to_the_end(self) -> None:
        report = Replay(self.tape).run(until=10)
        self.assertEqual((report.steps, report.whole), (10, False))


class WhatIsOnTheTape(SynchronousTestCase):
    def test_no_secret(self) -> None:
        found = quiet_run()
        cast = found.run.world.cast
        secrets = [key.seed for key in (*cast.node_keys, *cast.operator_keys)]
        for tape in found.tapes():
            for secret in secrets:
                for held in (tape.state, tape.entries):
                    self.assertNotIn(secret, held)
                    self.assertNotIn(secret.hex().encode(), held)

    def test_what_users_and_operators_do(self) -> None:
        run = Run(quiet(2))
        told: list[object] = []

        def act() -> None:
            process = run.world.running()[0]
            now = process.host.local()
            peers = process.node.peers
            first = next(one for one in run.world.workload.open_payments()).transaction
            process.turn(
                "operate", lambda _: process.operate(process.node.examine, first.raw, told.append, now)
            )
            process.turn("operate", lambda _: process.operate(peers.ban, b"x" * 32, 86_400, "a test", now))
            process.turn("operate", lambda _: process.operate(peers.want, "10.9.9.9", 1234, None))

        run.world.clock.after(30 * SECOND, "operator", act)
        run.play()
        self.assertTrue(told)
        recorder = run.world.hosts[0].process.recorder  # type: ignore[union-attr]
        tape = recorder.tape("")  # type: ignore[union-attr]
        assert tape is not None
        replay = Replay(tape)
        replay.run()
        self.assertEqual(len(told), 1, "a replay tells nobody")
        self.assertIsNotNone(replay.node.peers.conduct.ban_of(b"x" * 32, replay.node.now - 1))
        self.assertIsNotNone(replay.node.peers.dialing.at("10.9.9.9", 1234))


class Operations(SynchronousTestCase):
    def test_all_that_is_done_to_a_node_is_named(self) -> None:
        sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "timed").rglob("*.py"))
        done = set(re.findall(r"\.operate\(\s*([\w.]+),", sources)) - {"method"}
        self.assertGreater(len(done), 9)
        for method in done:
            owner, _, name = method.rpartition(".")
            self.assertIn(name if owner.endswith("node") else f"peers.{name}", OPERATIONS)

    def test_what_is_not_named_is_done_and_ends_the_recording(self) -> None:
        run = Run(quiet())

        def act() -> None:
            process = run.world.running()[0]
            table = process.node.peers
            deliveries = process.operate(table.tick, process.host.local())
            self.assertIsNotNone(deliveries)

        run.world.clock.after(30 * SECOND, "operator", act)
        run.play()
        recorders = [process.recorder for process in run.world.running()]
        self.assertEqual(
            [one.counters.failures for one in recorders if one], [1, *[0] * (len(recorders) - 1)]
        )
        self.assertIsNone(recorders[0].tape(""))  # type: ignore[union-attr]


class CopiesOfTheState(SynchronousTestCase):
    def test_none_while_too_much_is_pending(self) -> None:
        with mock.patch("timed.ledger.mempool.Mempool.__len__", lambda self: MAX_PENDING + 1):
            found = Recorded(quiet())
        for recorder in found.recorders:
            self.assertIsNone(recorder.tape(""))
            self.assertEqual(recorder.counters.copies, 0)
            self.assertGreater(recorder.counters.refused, 0)
            self.assertIn("pending", recorder.refusal)

    def test_room_that_is_not_used_takes_no_memory(self) -> None:
        """The limit is of the bytes the ring takes, and those are the ones it counts."""
        mebibyte = 1 << 20
        before = memory_now()["resident"]
        part = _Part.begun(0, b"state", 64 * mebibyte)
        self.assertLess(memory_now()["resident"] - before, 16 * mebibyte)
        part.add(b"\1" * (32 * mebibyte))
        part.add(b"\2" * (64 * mebibyte))
        self.assertGreater(memory_now()["resident"] - before, 64 * mebibyte)
        self.assertEqual((part.used, part.count), (96 * mebibyte + len(b"state"), 2))
        self.assertEqual((bytes(part.state), part.entries[0], part.entries[-1]), (b"state", 1, 2))

    def test_with_much_pending_a_copy_waits_for_the_turn_after_a_block_while_there_is_room(self) -> None:
        limit = SMALL // 4
        copy, flush = Recorder._copy, Recorder.flush
        heights: dict[Recorder, list[int]] = {}
        after_block = full = 0

        def flushed(recorder: Recorder, now: int) -> Any:
            heights.setdefault(recorder, [0, 0]).append(recorder.node.ledger.tip.height)
            return flush(recorder, now)

        def noted(recorder: Recorder, now: int) -> None:
            nonlocal after_block, full
            if recorder._parts:
                fresh = heights[recorder][-2] > heights[recorder][-3]
                crowded = len(recorder._parts[-1].entries) >= limit * 3 // 8
                after_block += fresh and not crowded
                full += crowded
                self.assertTrue(fresh or crowded)
            copy(recorder, now)

        with (
            mock.patch.object(Recorder, "flush", flushed),
            mock.patch.object(Recorder, "_copy", noted),
            mock.patch("timed.ledger.mempool.Mempool.__len__", lambda self: EASY_PENDING + 1),
        ):
            found = Recorded(Scenario(4, minutes=2, record=limit))
        self.assertGreater(after_block, 4)
        self.assertGreater(sum(one.counters.dropped for one in found.recorders), 0)
        self.assertLessEqual(max(one.size for one in found.recorders), limit)

    def test_the_limit_holds_while_no_copy_may_be_made(self) -> None:
        """Copies that take a second are made every ten seconds at most, whatever comes meanwhile."""
        ticks, made, flush = count(0, SECOND), Recorder.__init__, Recorder.flush
        sizes: list[int] = []

        def init(recorder: Recorder, *arguments: Any) -> None:
            made(recorder, *arguments, stopwatch=lambda: next(ticks))

        def measured(recorder: Recorder, now: int) -> Any:
            actions = flush(recorder, now)
            sizes.append(recorder.size)
            return actions

        with mock.patch.object(Recorder, "__init__", init), mock.patch.object(Recorder, "flush", measured):
            Recorded(Scenario(4, minutes=2, record=SMALL // 16))
        self.assertLessEqual(max(sizes), SMALL // 16)

    def test_a_bug_of_the_recorder_costs_the_recording_and_nothing_of_the_node(self) -> None:
        plain = Run(quiet(record=0))
        plain.play()
        for place in ("freeze", "packed", "checksum"):
            with mock.patch(f"timed.flight.recorder.{place}", side_effect=ZeroDivisionError("a bug")):
                found = Recorded(quiet())
            self.assertEqual(found.run.world.clock.trace_hash, plain.world.clock.trace_hash, place)
            for recorder in found.recorders:
                self.assertIsNone(recorder.tape(""))
                self.assertEqual(recorder.counters.failures, 1)
                self.assertIn("ZeroDivisionError('a bug')", recorder.refusal)

    def test_a_slow_copy_is_not_made_again_soon(self) -> None:
        """One that takes 90 ms is followed by 9 s without any; copies that take no time come after 6 s here."""
        ticks, made, copy = count(0, 90_000), Recorder.__init__, Recorder._copy
        times: dict[Recorder, list[int]] = {}

        def init(recorder: Recorder, *arguments: Any) -> None:
            made(recorder, *arguments, stopwatch=lambda: next(ticks))

        def noted(recorder: Recorder, now: int) -> None:
            times.setdefault(recorder, []).append(now)
            copy(recorder, now)

        with mock.patch.object(Recorder, "__init__", init), mock.patch.object(Recorder, "_copy", noted):
            Recorded(Scenario(4, minutes=2, record=SMALL // 8))
        gaps = [b - a for seen in times.values() for a, b in pairwise(seen)]
        self.assertGreater(len(gaps), 10)
        self.assertGreaterEqual(min(gaps), 9 * SECOND)
