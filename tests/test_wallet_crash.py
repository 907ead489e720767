"""The wallet's files after the process or the machine ended at any write: old state or new, never between."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.fault_os import FaultOs
from tests.faultfiles import Crashed
from tests.wallet_world import CHEAP, PASSPHRASE, seeded, vectors
from timed import fsync
from timed.errors import LocalError, WrongPassphrase
from timed.ledger.regtest import well_known_key
from timed.wallet import walletcopy, walletfile
from timed.wallet.keystore import CHANGE, RECEIVE, Keystore
from timed.wallet.sealing import new_vault, open_vault
from timed.wallet.walletcopy import read_wallet, write_copy
from timed.wallet.walletfile import WalletFile

SINGLE = well_known_key("wallet", 1)
OTHER = "another horse"


class Running:
    """A wallet in use; `known` are the keys that somebody was told of."""

    def __init__(self, path: str, files: list[WalletFile] | None = None) -> None:
        self.outbox: list[dict[str, Any]] = []
        self.file = WalletFile(path, "regtest")
        if files is not None:
            files.append(self.file)
        self.keys = Keystore(random.Random(5).randbytes, self.outbox)
        self.keys.restore(self.file.load())
        self.known: set[bytes] = set()
        self.passphrases: list[str] = []
        """Those that may open the wallet now: one, or two while it changes; none is plain."""

    def take(self, role: str) -> None:
        key = self.keys.take(role)
        self.file.append(self.outbox)
        self.outbox.clear()
        self.known.add(key.hash)

    def encrypt(self) -> None:
        self.passphrases = ["", PASSPHRASE]
        vault, key = new_vault(PASSPHRASE, random.Random(6).randbytes, CHEAP)
        self.keys.protect(vault, key)
        self.keys.lock()
        self.file.compact(self.keys.records(), wipe=True)
        self.passphrases = [PASSPHRASE]

    def change(self) -> None:
        self.passphrases = [PASSPHRASE, OTHER]
        key = open_vault(self.keys.vault, PASSPHRASE)
        self.keys.rewrap(new_vault(OTHER, random.Random(8).randbytes, CHEAP, key)[0])
        self.file.compact(self.keys.records())
        self.passphrases = [OTHER]


class Crashes(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = self.mktemp()
        self.template: Keystore | None = None

    def fresh(self, keys: Keystore | None = None) -> str:
        """A directory with a wallet in it."""
        shutil.rmtree(self.directory, ignore_errors=True)
        os.mkdir(self.directory)
        path = os.path.join(os.path.abspath(self.directory), "wallet.json")
        if keys is not None:
            file = WalletFile(path, "regtest")
            file.load()
            file.append(keys.records())
            file.close()
        return path

    def everywhere(
        self, prepare: Callable[[], str], work: Callable[[Running], None], passphrases: list[str]
    ) -> int:
        """Run `work` with a crash at each call, twice; how many calls there are."""
        number = 0
        while True:
            done = True
            for power_cut in (False, True):
                path = prepare()
                done = self.crash(path, work, number, power_cut, list(passphrases)) and done
            if done:
                return number
            number += 1

    def crash(
        self, path: str, work: Callable[[Running], None], number: int, power_cut: bool, passphrases: list[str]
    ) -> bool:
        faults = FaultOs(self.directory, number)
        for module in (walletfile, walletcopy, fsync):
            self.patch(module, "os", faults)
        running: Running | None = None
        files: list[WalletFile] = []
        done = False
        try:
            running = Running(path, files)
            running.passphrases = passphrases
            work(running)
            done = True
        except Crashed:
            self.assertGreater(faults.operations, number)
        finally:
            for module in (walletfile, walletcopy, fsync):
                self.patch(module, "os", os)
        files[0].close()
        faults.close_pins()
        if power_cut:
            faults.after_power_cut()
        self.check(path, running, passphrases, (number, power_cut))
        return done

    def check(self, path: str, running: Running | None, before: list[str], where: Any) -> None:
        """Opens with exactly one of the passphrases it may have, and then holds every key that was told."""
        again = Running(path)
        again.file.close()
        allowed = running.passphrases if running is not None else before
        if again.keys.vault is None:
            self.assertIn("", allowed, where)
        else:
            self.assertEqual(len(self.opening(again, allowed)), 1, where)
            text = "".join(each.read_text() for each in Path(self.directory).iterdir())
            for secret in (SINGLE.seed.hex(), random.Random(1).randbytes(32).hex()):
                self.assertNotIn(secret, text, where)
        self.assertTrue(again.keys.get(SINGLE_HASH), where)
        for key in list(again.keys)[::20]:
            self.assertEqual(again.keys.signing_key(key).public, key.public)
        for name in running.known if running is not None else ():
            self.assertIn(name, again.keys, where)
            self.assertNotEqual(again.keys.get(name).role, "pool", where)

    def opening(self, again: Running, allowed: list[str]) -> list[str]:
        found = []
        for passphrase in allowed:
            try:
                again.keys.unlock(open_vault(again.keys.vault, passphrase))
            except WrongPassphrase:
                continue
            found.append(passphrase)
        return found

    def plain(self) -> Keystore:
        if self.template is None:
            self.template, _ = seeded()
            self.template.adopt(SINGLE.seed, "regtest")
        return self.template

    def test_handing_out_keys(self) -> None:
        def work(running: Running) -> None:
            running.take(RECEIVE)
            running.take(CHANGE)
            running.take(RECEIVE)

        self.assertGreater(self.everywhere(lambda: self.fresh(self.plain()), work, [""]), 8)

    def test_encrypting(self) -> None:
        def work(running: Running) -> None:
            running.take(RECEIVE)
            running.encrypt()
            running.take(RECEIVE)

        self.assertGreater(self.everywhere(lambda: self.fresh(self.plain()), work, [""]), 14)

    def test_changing_the_passphrase(self) -> None:
        keys = self.plain()
        vault, key = new_vault(PASSPHRASE, random.Random(6).randbytes, CHEAP)
        keys.protect(vault, key)
        keys.lock()

        def work(running: Running) -> None:
            running.take(RECEIVE)
            running.change()
            running.take(CHANGE)

        self.assertGreater(self.everywhere(lambda: self.fresh(keys), work, [PASSPHRASE]), 10)

    def test_the_first_start_with_a_wallet_of_format_1(self) -> None:
        old = vectors("wallet_format_1.json")

        def prepare() -> str:
            path = self.fresh()
            for name, text in ((path, old["snapshot"]), (f"{path}.journal", old["journal"])):
                with open(os.open(name, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
                    file.write(text)
            return path

        def work(running: Running) -> None:
            running.take(RECEIVE)

        self.assertGreater(self.everywhere(prepare, work, [""]), 8)
        again = WalletFile(os.path.join(self.directory, "wallet.json"), "regtest")
        again.load()
        again.close()
        content = json.loads(Path(self.directory, "wallet.json").read_text())
        self.assertEqual(content["version"], walletfile.VERSION)

    def test_a_backup_is_whole_or_refused(self) -> None:
        copy = os.path.join(os.path.abspath(self.directory), "copy.json")

        def work(running: Running) -> None:
            running.take(RECEIVE)
            write_copy(copy, "regtest", running.keys.records())
            self.made = True

        number, whole = 0, 0
        while not whole:
            self.made = False
            self.crash(self.fresh(self.plain()), work, number, True, [""])
            if os.path.exists(copy):
                try:
                    found = Keystore(random.Random(5).randbytes, [])
                    found.restore(read_wallet(copy, "regtest"))
                    self.assertIn(SINGLE_HASH, found)
                except LocalError as error:
                    self.assertIn("damaged", str(error))
                    self.assertFalse(self.made)
            else:
                self.assertFalse(self.made)
            whole += self.made
            number += 1

    def test_what_a_crash_left_beside_the_wallet_is_removed(self) -> None:
        """A half snapshot of a plain wallet holds secrets."""
        path = self.fresh(self.plain())
        Running(path).file.close()
        Path(f"{path}.new").write_text("half of a snapshot")
        Running(path).file.close()
        self.assertFalse(os.path.exists(f"{path}.new"))

    def test_a_failed_replacement_stops_the_wallet(self) -> None:
        running = Running(self.fresh(self.plain()))
        self.addCleanup(running.file.close)

        def failing(path: str, new: str) -> None:
            raise OSError(5, "Input/output error")

        self.patch(walletfile.os, "replace", failing)
        with self.assertRaises(LocalError):
            running.encrypt()
        with self.assertRaises(LocalError):
            running.take(RECEIVE)


SINGLE_HASH = Keystore(random.Random(1).randbytes, []).adopt(SINGLE.seed, "").hash
