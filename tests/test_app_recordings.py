"""Recordings on disk: on request, by themselves after a bug, and never more than there is room for."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any, cast

import attrs
from twisted.internet.defer import maybeDeferred
from twisted.trial.unittest import SynchronousTestCase

from tests.test_app_driver import DriverCase
from timed.app.recordings import EVERY, MAX_FILES, Recordings
from timed.errors import LocalError
from timed.events import Publish, SafetyFailure, TransactionFinal
from timed.flight.recorder import Recorder, RecorderCounters
from timed.flight.tape import VERSION, Tape, load
from timed.params import SECOND

TAPE = Tape(VERSION, "timed/test", "regtest", bytes(32), bytes(32), "", 5, 9, bytes(32), {}, b"", b"")


class OneTape:
    """A recorder, as far as recordings go."""

    def __init__(self) -> None:
        self.counters = RecorderCounters()
        self.refusal = ""
        self.empty = False

    def tape(self, why: str) -> Tape | None:
        return None if self.empty else attrs.evolve(TAPE, why=why)


class RecordingCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.recorder = OneTape()
        self.now = 1_700_000_000 * SECOND
        self.recordings = Recordings(
            cast("Recorder", self.recorder), self.directory / "recordings", maybeDeferred, lambda: self.now
        )
        self.directory.mkdir()

    def files(self) -> list[str]:
        return sorted(path.name for path in self.directory.glob("recordings/*"))

    def save(self, why: str = "a test") -> Any:
        self.now += SECOND
        return self.successResultOf(self.recordings.save(why))

    def test_a_file_that_can_be_read_again(self) -> None:
        saved = self.save()
        self.assertEqual((saved.began, saved.ended), (5, 9))
        self.assertEqual(saved.path.stat().st_mode & 0o777, 0o600)
        self.assertEqual(load(saved.path.read_bytes()).why, "a test")
        self.assertEqual(saved.size, saved.path.stat().st_size)

    def test_the_oldest_gives_way(self) -> None:
        names = [self.save().path.name for _ in range(MAX_FILES + 3)]
        self.assertEqual(self.files(), names[3:])
        self.assertEqual(self.recordings.counters.removed, 3)

    def test_the_one_just_written_stays_though_the_clock_was_set_back(self) -> None:
        for _ in range(MAX_FILES):
            self.save()
        self.now -= 3600 * SECOND
        saved = self.save()
        self.assertTrue(saved.path.exists())
        self.assertEqual((len(self.files()), self.recordings.counters.removed), (MAX_FILES, 1))

    def test_nothing_is_left_of_one_for_which_there_was_no_room(self) -> None:
        self.save()
        (self.directory / "recordings" / "of-a-crash.flight.new").write_bytes(b"x")
        fsync = os.fsync

        def full(descriptor: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        self.patch(os, "fsync", full)
        self.failureResultOf(self.recordings.save(""), LocalError)
        self.patch(os, "fsync", fsync)
        self.assertEqual([Path(name).suffix for name in self.files()], [".flight"])

    def test_files_of_others_stay(self) -> None:
        self.save()
        other = self.directory / "recordings" / "notes.txt"
        other.write_text("mine")
        for _ in range(MAX_FILES + 1):
            self.save()
        self.assertTrue(other.exists())

    def test_nothing_to_write_yet(self) -> None:
        self.recorder.empty, self.recorder.refusal = True, "much is pending."
        error = self.failureResultOf(self.recordings.save(""), LocalError).value
        self.assertIn("there is no recording yet: much is pending.", str(error))

    def test_a_disk_that_refuses(self) -> None:
        (self.directory / "recordings").write_text("a file")
        self.failureResultOf(self.recordings.save(""), LocalError)
        self.assertEqual(self.recordings.counters.failed, 1)

    def test_after_a_bug_by_itself_and_not_in_every_turn(self) -> None:
        for _ in range(5):
            self.recordings.faulted("Node.received")
        self.assertEqual(len(self.files()), 1)
        self.assertEqual(
            load(next(self.directory.glob("recordings/*")).read_bytes()).why, "Node.received raised"
        )
        self.now += EVERY + 1
        self.recordings.faulted("Node.received")
        self.assertEqual(len(self.files()), 2)
        self.assertEqual(len(self.flushLoggedErrors()), 0)

    def test_a_clock_that_was_set_back_does_not_keep_them_away(self) -> None:
        self.recordings.faulted("one")
        self.now -= 10 * EVERY
        self.recordings.faulted("two")
        self.assertEqual(len(self.files()), 2)

    def test_when_the_protocol_s_promise_is_broken(self) -> None:
        self.recordings.published(TransactionFinal(bytes(32), 1), self.now)
        self.assertEqual(self.files(), [])
        self.recordings.published(SafetyFailure("two blocks"), self.now)
        self.assertEqual(len(self.files()), 1)


class OutOfTheDriver(DriverCase):
    def test_an_exception_is_told_by_the_name_of_its_place(self) -> None:
        told: list[str] = []
        self.driver.faulted = told.append
        self.sink.fail = True
        self.turn(Publish(SafetyFailure("x")))
        self.assertEqual(len(told), 1)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
