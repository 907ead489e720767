"""The append-only log: what survives a crash, and what is said about damage."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence

import msgspec
from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.faultfiles import Crashed, MemoryFiles
from timed.errors import StoreError
from timed.ledger import mempool
from timed.store.files import LOW_WATER, Files
from timed.store.layouts import MAX_BATCH_RECORDS
from timed.store.log import Log
from timed.store.segment import SEGMENT_HEADER_SIZE, frame, read_segment_header, scan, sealed

GENESIS = b"g" * 32
BATCHES = ((b"first", b"second"), (b"third",), (b"", b"x" * 40, b"last"))


def records(batches: Sequence[Sequence[bytes]]) -> list[bytes]:
    return [record for batch in batches for record in batch]


class CountingFiles(Files):
    """Counts the files of which the whole content was asked for, and how many were in memory at one time."""

    def __init__(self) -> None:
        self.whole = self.held = self.most = 0

    def read(self, path: str, size: int = -1) -> bytes:
        data = super().read(path, size)
        return data if size >= 0 else Content(data, self)


class Content(bytes):
    """What stands in a file; it says when it is let go."""

    files: CountingFiles

    def __new__(cls, data: bytes, files: CountingFiles) -> Content:
        content = super().__new__(cls, data)
        content.files = files
        files.whole += 1
        files.held += 1
        files.most = max(files.most, files.held)
        return content

    def __del__(self) -> None:
        self.files.held -= 1


class RealLogCase(SynchronousTestCase):
    """Logs in a directory of the real file system."""

    def setUp(self) -> None:
        self.directory = self.mktemp()
        os.makedirs(self.directory)

    def log(self, epoch: int = 7, genesis: bytes = GENESIS, segment_size: int = 1 << 20) -> Log:
        log = Log(self.directory, genesis, epoch, Files(), segment_size)
        self.addCleanup(log.close)
        return log

    def written(self, batches: Sequence[Sequence[bytes]] = BATCHES) -> tuple[str, bytes, list[int]]:
        """A closed log's path and bytes, and the size after the header and after each batch."""
        log = self.log()
        ends = []
        for batch in batches:
            log.append(batch)
            path = os.path.join(self.directory, os.listdir(self.directory)[0])
            ends.append(os.path.getsize(path))
        log.close()
        with open(path, "rb") as file:
            return path, file.read(), [SEGMENT_HEADER_SIZE, *ends]

    def rewrite(self, path: str, data: bytes) -> None:
        for name in os.listdir(self.directory):
            os.unlink(os.path.join(self.directory, name))
        with open(path, "wb") as file:
            file.write(data)


class ReopenTests(RealLogCase):
    def test_records_come_back_in_order(self) -> None:
        log = self.log()
        for batch in BATCHES:
            log.append(batch)
        self.assertEqual(list(log.replay()), records(BATCHES))
        log.close()
        again = self.log()
        self.assertEqual(list(again.replay()), records(BATCHES))
        self.assertFalse(again.doubtful)
        again.append((b"more",))
        again.close()
        self.assertEqual(list(self.log().replay()), [*records(BATCHES), b"more"])

    def test_an_epoch_without_records_leaves_no_file(self) -> None:
        self.log().append(())
        self.assertEqual(os.listdir(self.directory), [])

    def test_a_log_grows_over_several_files(self) -> None:
        log = self.log(segment_size=200)
        batches = [(bytes([number]) * 60,) for number in range(12)]
        for batch in batches:
            log.append(batch)
        log.close()
        self.assertGreater(len(os.listdir(self.directory)), 2)
        self.assertEqual(list(self.log(segment_size=200).replay()), records(batches))

    def test_the_files_are_read_one_at_a_time(self) -> None:
        """An epoch may have many of them, of 64 MiB each: opening needs the memory of one."""
        log = self.log(segment_size=200)
        batches = [(bytes([number]) * 60,) for number in range(12)]
        for batch in batches:
            log.append(batch)
        log.close()
        files = CountingFiles()
        again = Log(self.directory, GENESIS, 7, files, 200)
        self.addCleanup(again.close)
        self.assertEqual(list(again.replay()), records(batches))
        self.assertEqual((files.whole, files.most), (2 * len(os.listdir(self.directory)), 1))

    def test_rolling_forgets_the_epoch(self) -> None:
        log = self.log()
        log.append((b"old",))
        log.roll(8)
        self.assertEqual(list(log.replay()), [])
        log.append((b"new",))
        log.close()
        self.assertEqual(list(self.log(epoch=8).replay()), [b"new"])

    def test_rolling_forgets_every_file_of_the_epoch(self) -> None:
        log = self.log(segment_size=100)
        for number in range(3):
            log.append((bytes([number]) * 60,))
        log.roll(8)
        self.assertEqual((list(log.replay()), os.listdir(self.directory)), ([], []))

    def test_a_closed_log_takes_nothing_and_says_why(self) -> None:
        log = self.log()
        log.close()
        error = self.assertRaises(StoreError, log.append, (b"late",))
        self.assertIn("it is closed", str(error))

    def test_files_of_a_closed_epoch_are_removed_when_opening(self) -> None:
        self.written()
        self.assertEqual(list(self.log(epoch=8).replay()), [])
        self.assertEqual(os.listdir(self.directory), [])


class DamageTests(RealLogCase):
    def test_a_log_cut_at_any_byte_keeps_the_batches_before(self) -> None:
        """[16] A torn tail was never acknowledged: it is left out without a doubt."""
        path, data, ends = self.written()
        for size in range(SEGMENT_HEADER_SIZE, len(data)):
            self.rewrite(path, data[:size])
            log = self.log()
            whole = sum(1 for end in ends[1:] if end <= size)
            self.assertEqual(list(log.replay()), records(BATCHES[:whole]), size)
            self.assertFalse(log.doubtful, size)
            self.assertEqual(len(log.notes), 0 if size in ends else 1)
            log.append((b"after",))
            log.close()
            self.assertEqual(list(self.log().replay()), [*records(BATCHES[:whole]), b"after"])

    def test_any_flipped_byte_is_named_or_makes_the_epoch_doubtful(self) -> None:
        """[16] Damage behind which valid frames stand is refused, with file and offset."""
        path, data, ends = self.written()
        for position in range(len(data)):
            damaged = bytearray(data)
            damaged[position] ^= 0x41
            self.rewrite(path, bytes(damaged))
            if position < ends[-2]:
                error = self.assertRaises(StoreError, self.log)
                start = max((end for end in ends if end <= position), default=0)
                self.assertIn(f"{path} is damaged at byte {start}", str(error))
            else:
                log = self.log()
                self.assertEqual(list(log.replay()), records(BATCHES[:-1]))
                self.assertTrue(log.doubtful, position)
                log.close()

    def test_zeros_behind_the_end_are_a_doubt(self) -> None:
        path, data, _ = self.written()
        self.rewrite(path, data + bytes(100))
        log = self.log()
        self.assertEqual(list(log.replay()), records(BATCHES))
        self.assertTrue(log.doubtful)

    def test_a_doubt_is_not_forgotten_by_restarting(self) -> None:
        """[16] A node that may have lost a signature abstains until the epoch is over."""
        path, data, _ = self.written()
        self.rewrite(path, data[:-1] + b"?")
        for _ in range(3):
            log = self.log()
            self.assertTrue(log.doubtful)
            log.append((b"later",))
            log.close()
        log = self.log()
        self.assertEqual(list(log.replay()), [*records(BATCHES[:-1]), b"later", b"later", b"later"])
        log.roll(8)
        self.assertFalse(log.doubtful)

    def test_a_doubt_outlives_a_write_that_never_ended(self) -> None:
        """[16] The second crash was harmless; what the first one may have lost is still lost."""
        path, data, _ = self.written()
        self.rewrite(path, data[:-1] + b"?")
        log = self.log()
        log.append((b"later",))
        log.close()
        second = os.path.join(self.directory, max(os.listdir(self.directory)))
        with open(second, "ab") as file:
            file.write(b"torn")
        log = self.log()
        self.assertEqual((list(log.replay())[-1], log.doubtful), (b"later", True))

    def test_a_peers_record_cannot_pass_for_a_frame(self) -> None:
        """A record that looks like a later frame does not turn a torn tail into damage."""
        other, elsewhere, _ = self.written()
        os.unlink(other)
        path, data, ends = self.written(((b"a",), (elsewhere,)))
        self.rewrite(path, data[: ends[1]] + bytes(8) + data[ends[1] + 8 :])
        log = self.log()
        self.assertEqual(list(log.replay()), [b"a"])
        self.assertTrue(log.doubtful)

    def test_a_frame_of_another_file_is_not_taken(self) -> None:
        other, elsewhere, _ = self.written(((b"a",), (b"forged",)))
        os.unlink(other)
        path, data, ends = self.written(((b"a",), (b"signed",)))
        self.rewrite(path, data[: ends[1]] + elsewhere[ends[1] :])
        log = self.log()
        self.assertEqual((list(log.replay()), log.doubtful), ([b"a"], True))

    def test_a_frame_that_stands_there_again_is_not_taken(self) -> None:
        """[16] Frames are numbered: what was said once does not count twice, and its number proves nothing later."""
        path, data, ends = self.written()
        self.rewrite(path, data + 2 * data[ends[1] : ends[2]])
        log = self.log()
        self.assertEqual((list(log.replay()), log.doubtful), (records(BATCHES), True))

    def test_a_log_of_another_version_is_refused(self) -> None:
        path, data, _ = self.written()
        for changes in ({"version": 2}, {"magic": b"otherlog"}):
            header = msgspec.structs.replace(read_segment_header(path, data), **changes)  # type: ignore[arg-type]
            self.rewrite(path, sealed(header) + data[SEGMENT_HEADER_SIZE:])
            self.assertIn("another version of timed", str(self.assertRaises(StoreError, self.log)))

    def oldest_of_several(self) -> tuple[str, bytes]:
        """The first of the files that a log has left, and what is in it."""
        log = self.log(segment_size=200)
        for number in range(12):
            log.append((bytes([number]) * 60,))
        log.close()
        first = os.path.join(self.directory, min(os.listdir(self.directory)))
        with open(first, "rb") as file:
            data = file.read()
        return first, data

    def test_a_damaged_older_file_is_refused(self) -> None:
        first, data = self.oldest_of_several()
        with open(first, "wb") as file:
            file.write(data[:-1])
        error = self.assertRaises(StoreError, self.log)
        self.assertIn(first, str(error))

    def test_an_older_file_without_its_last_frame_is_refused(self) -> None:
        """[16] It ends cleanly, but the file behind it says that more was durable."""
        first, data = self.oldest_of_several()
        frames = scan(data, read_segment_header(first, data))
        self.assertGreater(len(frames.batches), 1)
        last = len(frame(bytes(8), 0, frames.batches[-1].records))
        with open(first, "wb") as file:
            file.write(data[:-last])
        error = self.assertRaises(StoreError, self.log)
        self.assertIn(
            f"{first} is damaged at byte {len(data) - last}: frames that were durable are missing", str(error)
        )

    def test_a_file_in_the_place_of_another_is_refused(self) -> None:
        """[16] Its name is not what counts."""
        log = self.log(segment_size=100)
        for number in range(3):
            log.append((bytes([number]) * 60,))
        log.close()
        first, second, _ = (os.path.join(self.directory, name) for name in sorted(os.listdir(self.directory)))
        with open(second, "rb") as file:
            data = file.read()
        for path, header, words in (
            (first, {}, "its header names another place"),
            (second, {"epoch": 6}, "its header names another place"),
            (second, {"first_batch": 2}, "it begins with batch 2 where 1 is due"),
        ):
            with open(path, "rb") as file:
                before = file.read()
            changed = msgspec.structs.replace(read_segment_header(second, data), **header)  # type: ignore[arg-type]
            with open(path, "wb") as file:
                file.write(sealed(changed) + data[SEGMENT_HEADER_SIZE:])
            error = self.assertRaises(StoreError, self.log)
            self.assertIn(f"{path} is damaged at byte 0: {words}", str(error))
            with open(path, "wb") as file:
                file.write(before)
        self.assertEqual(len(list(self.log().replay())), 3, "they are whole")

    def test_what_is_no_file_of_a_log_is_left_alone(self) -> None:
        self.written()
        strange = os.path.join(self.directory, "notes.log")
        with open(strange, "w", encoding="ascii") as file:
            file.write("mine")
        self.assertEqual(list(self.log().replay()), records(BATCHES))
        self.log(epoch=8)
        self.assertEqual(os.listdir(self.directory), ["notes.log"])

    def test_a_missing_file_is_refused(self) -> None:
        log = self.log(segment_size=100)
        for number in range(4):
            log.append((bytes([number]) * 60,))
        log.close()
        os.unlink(os.path.join(self.directory, min(os.listdir(self.directory))))
        self.assertIn("is missing", str(self.assertRaises(StoreError, self.log)))

    def test_a_log_ahead_of_the_chain_is_refused(self) -> None:
        self.written()
        error = self.assertRaises(StoreError, self.log, epoch=6)
        self.assertIn("belongs to block 7, but block 6 is due", str(error))

    def test_a_log_of_another_network_is_refused(self) -> None:
        self.written()
        error = self.assertRaises(StoreError, self.log, genesis=b"h" * 32)
        self.assertIn("another network", str(error))


class FailureTests(SynchronousTestCase):
    """What errors of the disk leave behind."""

    def setUp(self) -> None:
        self.files = MemoryFiles()
        self.log = self.reopen(self.files)
        self.log.append((b"before",))

    def reopen(self, files: MemoryFiles) -> Log:
        return Log("log", GENESIS, 1, files, 1 << 20)

    def fail_next(self, *codes: int) -> None:
        for distance, code in enumerate(codes):
            self.files.fail_at[self.files.operations + distance] = code

    def test_a_full_disk_takes_nothing_and_harms_nothing(self) -> None:
        self.fail_next(errno.ENOSPC)
        error = self.assertRaises(StoreError, self.log.append, (b"too much",))
        self.assertIn("the disk is full", str(error))
        self.log.append((b"after",))
        self.assertEqual(list(self.log.replay()), [b"before", b"after"])
        self.assertEqual(list(self.reopen(self.files).replay()), [b"before", b"after"])

    def test_a_write_that_cannot_be_taken_back_ends_the_log(self) -> None:
        self.fail_next(errno.EIO, errno.EIO)
        self.assertRaises(StoreError, self.log.append, (b"half",))
        error = self.assertRaises(StoreError, self.log.append, (b"after",))
        self.assertIn("Restart the node.", str(error))
        self.assertEqual(list(self.reopen(self.files).replay()), [b"before"])

    def test_what_was_taken_back_stays_away_after_a_power_cut(self) -> None:
        self.fail_next(errno.EIO)
        syncs = self.files.log.count("sync")
        self.assertRaises(StoreError, self.log.append, (b"half",))
        self.assertEqual(self.files.log.count("sync"), syncs + 1)

    def test_a_file_whose_name_may_be_lost_takes_nothing(self) -> None:
        """[16] Its directory could not be synced: a vote in it could be gone after a power cut."""
        files = MemoryFiles()
        log = self.reopen(files)
        operations = ["create", "write", "sync", "rename", "sync-directory"]
        files.fail_at[files.operations + operations.index("sync-directory")] = errno.EIO
        error = self.assertRaises(StoreError, log.append, (b"vote",))
        self.assertEqual(files.log[-5:], operations)
        self.assertIn("cannot begin a log file", str(error))
        error = self.assertRaises(StoreError, log.append, (b"vote",))
        self.assertIn("may be missing after a crash", str(error))

    def test_every_file_is_closed_once(self) -> None:
        for failing in (None, 0, 1, 2, 3, 4):
            files = MemoryFiles()
            log = Log("log", GENESIS, 1, files, 100)
            for number in range(3):
                log.append((bytes([number]) * 60,))
            log.roll(2)
            if failing is not None:
                files.fail_at[files.operations + failing] = errno.EIO
                self.assertRaises(StoreError, log.append, (b"new",))
            log.close()
            log = Log("log", GENESIS, 2, files, 100)
            log.append((b"more",))
            log.close()
            self.assertEqual(sorted(files.closed), sorted(files.descriptors), f"failing: {failing}")

    def test_a_failed_sync_is_never_tried_again(self) -> None:
        """After a failed fsync the kernel may drop the pages and report success next time."""
        self.files.fail_at[self.files.operations + 1] = errno.EIO
        self.assertIn("cannot sync", str(self.assertRaises(StoreError, self.log.append, (b"lost?",))))
        syncs = self.files.log.count("sync")
        self.assertRaises(StoreError, self.log.append, (b"after",))
        self.assertRaises(StoreError, self.log.require_usable)
        self.assertEqual(self.files.log.count("sync"), syncs)

    def test_short_writes_are_continued(self) -> None:
        self.files.short_writes = 7
        self.log.append((b"in many pieces" * 10,))
        self.assertEqual(list(self.reopen(self.files).replay()), [b"before", b"in many pieces" * 10])

    def test_one_sync_whatever_the_number_of_records(self) -> None:
        before = self.files.log.count("sync")
        self.log.append([b"record"] * 500)
        self.assertEqual(self.files.log.count("sync"), before + 1)

    def test_what_gathered_behind_a_slow_disk_is_more_than_one_batch(self) -> None:
        many = [b"%d" % number for number in range(MAX_BATCH_RECORDS + 5)]
        before = self.files.log.count("sync")
        self.log.append(many)
        self.assertEqual(self.files.log.count("sync"), before + 2)
        self.assertEqual(list(self.reopen(self.files).replay()), [b"before", *many])

    def test_what_users_handed_in_fits_behind_a_block(self) -> None:
        """It goes over to the next epoch as one batch; nothing cuts it."""
        self.assertLessEqual(mempool.MAX_COUNT, MAX_BATCH_RECORDS)

    def test_a_file_that_complains_when_it_is_closed_costs_nothing(self) -> None:
        def close(descriptor: int) -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        self.patch(self.files, "close", close)
        self.log.roll(2)
        self.log.append((b"new",))
        self.assertEqual(list(self.log.replay()), [b"new"])
        self.log.close()

    def test_nothing_is_written_below_the_low_water_mark(self) -> None:
        self.files.space = LOW_WATER - 1
        writes = self.files.log.count("write")
        self.assertIn("are free", str(self.assertRaises(StoreError, self.log.append, (b"x",))))
        self.assertEqual(self.files.log.count("write"), writes)
        self.files.space = LOW_WATER
        self.log.append((b"again",))
        self.assertEqual(list(self.log.replay()), [b"before", b"again"])

    def test_a_file_that_cannot_be_begun_can_be_begun_later(self) -> None:
        for distance in range(3):
            files = MemoryFiles()
            log = self.reopen(files)
            files.fail_at[files.operations + distance] = errno.ENOSPC
            self.assertRaises(StoreError, log.append, (b"early",))
            log.append((b"later",))
            self.assertEqual(list(self.reopen(files).replay()), [b"later"])

    def test_old_files_that_cannot_be_removed_do_no_harm(self) -> None:
        self.fail_next(errno.EIO)
        self.log.roll(2)
        self.assertEqual(self.log.leftovers, 1)
        self.log.append((b"new",))
        again = Log("log", GENESIS, 2, self.files, 1 << 20)
        self.assertEqual((list(again.replay()), again.leftovers), ([b"new"], 0))


class CrashTests(SynchronousTestCase):
    """The process ends at every single operation; the disk keeps more or less of it."""

    steps = st.lists(
        st.one_of(st.lists(st.binary(max_size=30), min_size=1, max_size=3).map(tuple), st.just("roll")),
        min_size=1,
        max_size=6,
    )

    def run_until_crash(
        self, files: MemoryFiles, steps: Sequence[object]
    ) -> tuple[int, list[bytes], list[bytes]]:
        """The epoch reached, the records acknowledged in it, and those under way."""
        epoch, acknowledged, under_way = 1, [], []  # type: ignore[var-annotated]
        try:
            log = Log("log", GENESIS, epoch, files, 150)
            for step in steps:
                if step == "roll":
                    epoch, acknowledged = epoch + 1, []
                    log.roll(epoch)
                    continue
                under_way = list(step)  # type: ignore[call-overload]
                log.append(under_way)
                acknowledged = acknowledged + under_way
                under_way = []
        except Crashed:
            return epoch, acknowledged, under_way
        return epoch, acknowledged, []

    def reopen(self, epoch: int, disk: MemoryFiles) -> Log:
        return Log("log", GENESIS, epoch, disk, 150)

    @settings(deadline=None, max_examples=25)
    @given(steps=steps)
    @example(steps=[(b"one", b"two"), (b"x" * 90,), (b"y" * 90,), "roll", (b"three",), (b"four",)])
    def test_acknowledged_records_survive_a_crash_anywhere(self, steps: list[object]) -> None:
        """[16] A batch that was acknowledged is there; the one under way is there whole or not at all."""
        whole = MemoryFiles()
        self.run_until_crash(whole, steps)
        for at in range(whole.operations):
            files = MemoryFiles()
            files.crash_at = at
            epoch, acknowledged, under_way = self.run_until_crash(files, steps)
            for kept in ("synced", "all", "zeros"):
                disk = files.after_crash(kept)
                log = self.reopen(epoch, disk)
                found = list(log.replay())
                self.assertIn(found, (acknowledged, acknowledged + under_way), (at, kept))
                if kept != "zeros":
                    self.assertFalse(log.doubtful)
                again = self.reopen(epoch, disk.after_crash("synced"))
                self.assertEqual((list(again.replay()), again.doubtful), (found, log.doubtful))
                again.append((b"goes on",))
                self.assertEqual(list(again.replay()), [*found, b"goes on"])
