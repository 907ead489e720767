"""The wallet's files: private, durable, whole after any crash."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from timed.errors import LocalError, WalletFull
from timed.wallet import walletfile
from timed.wallet.walletfile import WalletFile


class Files(SynchronousTestCase):
    def setUp(self) -> None:
        directory = Path(self.mktemp())
        directory.mkdir()
        self.path = str(directory / "wallet.json")
        self.journal = f"{self.path}.journal"
        self.opened: list[WalletFile] = []

    def tearDown(self) -> None:
        for file in self.opened:
            file.close()

    def open(self, network: str = "regtest") -> WalletFile:
        for file in self.opened:
            file.close()
        file = WalletFile(self.path, network)
        self.opened.append(file)
        return file

    def records(self) -> list[dict[str, Any]]:
        file = self.open()
        records = file.load()
        file.close()
        return records

    def refused(self, network: str = "regtest") -> str:
        with self.assertRaises(LocalError) as caught:
            self.open(network).load()
        self.assertTrue(caught.exception.hint)
        return str(caught.exception)

    def test_a_new_wallet_is_empty_and_private(self) -> None:
        self.assertEqual(self.records(), [])
        for path in (self.path, self.journal):
            self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)

    def test_records_come_back_in_their_order(self) -> None:
        file = self.open()
        file.load()
        file.append([{"n": 1}, {"n": 2}])
        file.append([{"n": 3}])
        self.assertEqual(self.records(), [{"n": 1}, {"n": 2}, {"n": 3}])
        self.assertEqual(self.records(), [{"n": 1}, {"n": 2}, {"n": 3}])
        self.assertEqual(len(json.loads(Path(self.path).read_text())["records"]), 3)

    def test_a_write_is_synced_before_append_returns(self) -> None:
        file = self.open()
        file.load()
        synced: list[int] = []
        fsync = os.fsync
        self.patch(walletfile.os, "fsync", lambda fd: (synced.append(fd), fsync(fd))[1])
        file.append([{"n": 1}])
        self.assertEqual(len(synced), 1)

    def test_an_unfinished_last_line_is_dropped(self) -> None:
        file = self.open()
        file.load()
        file.append([{"n": 1}])
        with open(self.journal, "ab") as journal:
            journal.write(b'{"n": 2')
        self.assertEqual(self.records(), [{"n": 1}])

    def test_every_cut_of_the_journal_keeps_the_lines_before_it(self) -> None:
        file = self.open()
        file.load()
        for number in range(3):
            file.append([{"n": number}])
        file.close()
        snapshot, whole = Path(self.path).read_bytes(), Path(self.journal).read_bytes()
        for size in range(len(whole) + 1):
            Path(self.path).write_bytes(snapshot)
            Path(self.journal).write_bytes(whole[:size])
            complete = max(0, whole[:size].count(b"\n") - 1)
            self.assertEqual(self.records(), [{"n": number} for number in range(complete)])

    def test_a_crash_between_snapshot_and_journal_loses_and_doubles_nothing(self) -> None:
        file = self.open()
        file.load()
        file.append([{"n": 1}])
        file.close()
        old_journal = Path(self.journal).read_bytes()
        self.assertEqual(self.records(), [{"n": 1}])
        Path(self.journal).write_bytes(old_journal)
        self.assertEqual(self.records(), [{"n": 1}])

    def test_damage_inside_the_journal_is_named_with_its_line(self) -> None:
        file = self.open()
        file.load()
        file.append([{"n": 1}])
        file.close()
        whole = Path(self.journal).read_bytes()
        for rubbish in (b"rubbish", b"5", b"[]"):
            Path(self.journal).write_bytes(whole + rubbish + b'\n{"n": 2}\n')
            self.assertIn("line 3", self.refused())

    def test_a_file_that_is_too_long_is_refused_whole(self) -> None:
        file = self.open()
        file.load()
        file.append([{"n": 1}])
        file.compact([{"n": 1}])
        file.append([{"n": number} for number in range(20)])
        file.close()
        sizes = {path: os.path.getsize(path) for path in (self.path, self.journal)}
        for bound in sizes.values():
            self.patch(walletfile, "MAX_FILE_BYTES", bound - 1)
            self.assertIn("is longer than", self.refused())
        self.patch(walletfile, "MAX_FILE_BYTES", max(sizes.values()))
        self.assertEqual(len(self.records()), 21)

    def test_nothing_is_written_that_could_not_be_read_again(self) -> None:
        """A wallet that has grown over its bound keeps what it has, and says so before it pays."""
        file = self.open()
        file.load()
        kept = [{"n": number} for number in range(20)]
        file.append(kept)
        self.patch(walletfile, "MAX_FILE_BYTES", os.path.getsize(self.journal) + 8)
        with self.assertRaises(WalletFull):
            file.append([{"n": 20}])
        with self.assertRaises(WalletFull):
            file.compact([*kept, {"n": 20}])
        with open(self.journal, "ab") as journal:
            journal.write(b'{"n": 20')
        for _ in range(2):
            self.assertEqual(self.records(), kept)
        file = self.open()
        file.load()
        file.compact([{"n": 1}])
        file.append([{"n": 2}])
        self.assertEqual(self.records(), [{"n": 1}, {"n": 2}])

    def test_a_long_journal_has_grown_until_the_file_is_written_anew(self) -> None:
        self.patch(walletfile, "GROWN_BYTES", 100)
        file = self.open()
        file.load()
        self.assertFalse(file.grown)
        file.append([{"n": number} for number in range(20)])
        self.assertTrue(file.grown)
        file.compact([{"n": number} for number in range(80)])
        file.append([{"n": number} for number in range(10)])
        self.assertFalse(file.grown, "a quarter of the snapshot is longer")

    def test_a_damaged_snapshot_is_refused_and_kept(self) -> None:
        self.records()
        for text in ("", "{}", "[]", '{"format": 1}', "\x00"):
            Path(self.path).write_text(text)
            self.assertIn("damaged", self.refused())
            self.assertEqual(Path(self.path).read_text(), text)

    def test_a_wallet_of_another_network_or_format_is_refused(self) -> None:
        self.records()
        self.assertIn("is for regtest", self.refused("testnet"))
        content = json.loads(Path(self.path).read_text())
        content["version"] = 3
        Path(self.path).write_text(json.dumps(content))
        self.assertIn("timed-wallet 3", self.refused())

    def test_an_older_format_is_written_anew_at_the_first_start(self) -> None:
        self.records()
        content = json.loads(Path(self.path).read_text()) | {"version": 1, "records": [{"n": 1}]}
        Path(self.path).write_text(json.dumps(content))
        Path(self.journal).write_text(f'{{"generation":{content["generation"]}}}\n')
        self.assertEqual(self.records(), [{"n": 1}])
        self.assertEqual(json.loads(Path(self.path).read_text())["version"], walletfile.VERSION)

    def test_a_wallet_others_can_read_is_refused(self) -> None:
        self.records()
        os.chmod(self.path, 0o640)
        self.assertIn("chmod 600", self.refused())

    def test_two_processes_never_use_one_wallet(self) -> None:
        first = WalletFile(self.path, "regtest")
        self.opened.append(first)
        first.load()
        second = WalletFile(self.path, "regtest")
        self.opened.append(second)
        with self.assertRaises(LocalError) as caught:
            second.load()
        self.assertIn("another process", str(caught.exception))

    def test_a_wiped_file_and_journal_are_overwritten_before_they_are_let_go(self) -> None:
        file = self.open()
        file.load()
        file.append([{"secret": "seed"}])
        file.compact([{"secret": "seed"}])
        file.append([{"secret": "late"}])
        cut: list[bytes] = []
        truncate = os.ftruncate
        self.patch(
            walletfile.os,
            "ftruncate",
            lambda fd, size: (cut.append(Path(self.journal).read_bytes()), truncate(fd, size))[1],
        )
        with open(self.path, "rb") as old:
            file.compact([{"sealed": "x"}], wipe=True)
            self.assertEqual(old.read().strip(b"\0"), b"")
        self.assertEqual([data.rstrip(b"\0") for data in cut], [b'{"generation":2}\n'])
        self.assertEqual(self.records(), [{"sealed": "x"}])

    def test_after_a_failed_write_nothing_more_is_written_and_nothing_half_is_left(self) -> None:
        file = self.open()
        file.load()
        file.append([{"n": 1}])
        fsync = os.fsync
        fails = [True]

        def failing(descriptor: int) -> None:
            if fails and fails.pop():
                raise OSError(28, "No space left on device")
            fsync(descriptor)

        self.patch(walletfile.os, "fsync", failing)
        for record in ({"n": 2}, {"n": 3}):
            with self.assertRaises(LocalError):
                file.append([record])
        self.assertEqual(self.records(), [{"n": 1}])

    def test_a_missing_directory_is_one_sentence(self) -> None:
        self.path = os.path.join(self.mktemp(), "wallet.json")
        self.assertIn("cannot be used", self.refused())
