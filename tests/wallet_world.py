"""Keystores and files for the tests of the wallet's keys."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.python.failure import Failure

from tests.rpc_world import Sink, World
from timed.events import BlockCertified
from timed.params import REGTEST
from timed.rpc.chronicle import Chronicle
from timed.rpc.custody import Custody
from timed.wallet.derivation import account_path
from timed.wallet.historybook import HistoryBook
from timed.wallet.keystore import Keystore
from timed.wallet.pursuit import Pursuit
from timed.wallet.sealing import Cost, new_vault
from timed.wallet.wallet import Doom, Payment
from timed.wallet.walletfile import WalletFile
from timed.wallet.walletkey import WalletSeed

VECTORS = Path(__file__).parent / "vectors"
CHEAP = Cost(passes=1, memory=8192)
"""What Argon2id takes at the least: a guess costs nothing, so for tests only."""
PASSPHRASE = "correct horse"
ACCOUNT = account_path(REGTEST)


def vectors(name: str) -> Any:
    return json.loads((VECTORS / name).read_text(encoding="utf-8"))


def seeded(number: int = 1) -> tuple[Keystore, list[dict[str, Any]]]:
    """A keystore with a seed phrase, and its outbox."""
    outbox: list[dict[str, Any]] = []
    source = random.Random(number).randbytes
    keys = Keystore(source, outbox)
    keys.plant(WalletSeed.of(source(32), "", ACCOUNT))
    return keys, outbox


def encrypt(keys: Keystore, passphrase: str = PASSPHRASE) -> None:
    """Protect the keystore and lock it."""
    vault, key = new_vault(passphrase, random.Random(77).randbytes, CHEAP)
    keys.protect(vault, key)
    keys.lock()


def reopened(records: list[dict[str, Any]], number: int = 99) -> Keystore:
    """What another process finds; records go through their text form."""
    keys = Keystore(random.Random(number).randbytes, [])
    keys.restore(json.loads(json.dumps(records)))
    return keys


class InlineHost:
    """`timed.rpc.wallethost.WalletHost` without threads, on a real file."""

    def __init__(self, world: World, path: str) -> None:
        self.world = world
        self.wallet = world.wallet
        self.file = WalletFile(path, "regtest")
        self.wallet.restore(self.file.load())
        self.rescans = 0
        self.chronicle: Chronicle

    def write(self) -> Deferred[None]:
        return maybeDeferred(self.file.append, self.wallet.take_outbox())

    def replace(self, *, wipe: bool = False) -> Deferred[None]:
        records = self.wallet.records()
        self.wallet.take_outbox()
        return maybeDeferred(self.file.compact, records, wipe=wipe)

    def on_disk(self, work: Callable[[WalletFile], Any]) -> Deferred[Any]:
        return maybeDeferred(work, self.file)

    def thread(self, work: Callable[[], Any]) -> Deferred[Any]:
        return maybeDeferred(work)

    def rescan(self) -> Deferred[None]:
        self.rescans += 1
        self.wallet.begin_scan()
        self.wallet.scan(self.world.backend.coins())
        self.wallet.scanned()
        return succeed(None)

    def rescan_blocks(self, first: int, last: int | None) -> Deferred[None]:
        return self.chronicle.rescan(first, last)


class KeysWorld(World):
    """A world whose wallet has a seed phrase, a file and a custodian."""

    def __init__(self, path: str, number: int = 1) -> None:
        super().__init__()
        self.guesses = 0
        self.unreleased: list[Failure] = []
        self.host = InlineHost(self, path)
        source = random.Random(number).randbytes
        if self.wallet.keys.seed is None:
            self.wallet.keys.plant(WalletSeed.of(source(32), "", ACCOUNT))
        self.custody = Custody(self.host, self.clock, source, CHEAP, self._thread)
        self.environment.own_custody = self.custody
        self.environment.write_wallet = self.host.write
        self.host.write()
        self.book = HistoryBook(f"{path}.history", self.genesis.hash)
        self.chronicle = Chronicle(
            self.book, self.wallet, self.backend, self.clock, self.host.thread, self.host.write
        )
        self.host.chronicle = self.environment.own_chronicle = self.chronicle
        self.doomed: list[Doom] = []
        self.pursuit = self.environment.own_pursuit = Pursuit(self.wallet, self.backend, self._doomed)
        self.pursuit.begin(self.now())
        self.driver.add_sink(Sink(self._tell))
        self.chronicle.start(newborn=False)
        self.clock.advance(0)

    def _tell(self, event: object) -> None:
        self.chronicle.published(event, self.now())
        self.pursuit.published(event, self.now())
        if isinstance(event, BlockCertified):
            self.chronicle.wake()
        self.pursuit.wake(self.now())

    def _doomed(self, payment: Payment, doom: Doom) -> None:
        self.doomed.append(doom)
        self.chronicle.release(payment.txid, doom.rule).addErrback(self.unreleased.append)

    def close(self) -> None:
        self.chronicle.stop()
        self.custody.close()
        self.book.close()
        self.host.file.close()

    def _thread(self, work: Callable[[], Any]) -> Deferred[Any]:
        self.guesses += 1
        return maybeDeferred(work)
