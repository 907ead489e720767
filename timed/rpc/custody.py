"""The wallet's secrets in a running process: passphrase, time of being unlocked, copies.

Argon2id runs on a thread, one guess at a time. The file is replaced as a whole
where a passphrase changes, so that a crash leaves the old state or the new one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure

from timed.errors import LocalError, WrongPassphrase
from timed.params import SECOND
from timed.rpc.errors import CLIENT_BUSY, WALLET_ERROR, WRONG_ENCRYPTION_STATE, WRONG_PASSPHRASE, RpcError
from timed.wallet.guesses import Guesses
from timed.wallet.keystore import CHANGE, POOL, RECEIVE, Keystore
from timed.wallet.merging import merge
from timed.wallet.sealing import DEFAULT_COST, Cost, Vault, new_vault, open_vault
from timed.wallet.wallet import Wallet
from timed.wallet.walletcopy import read_wallet, write_copy
from timed.wallet.walletfile import Record, WalletFile
from timed.wallet.walletkey import WalletSeed

T = TypeVar("T")
Thread = Callable[[Callable[[], Any]], Deferred[Any]]
"""Does a piece of work elsewhere and tells its result."""
DERIVE_STEP = 200
"""Keys made in one turn of the reactor."""


class Host(Protocol):
    """`timed.rpc.wallethost.WalletHost`."""

    wallet: Wallet

    def write(self) -> Deferred[None]: ...
    def replace(self, *, wipe: bool = False) -> Deferred[None]: ...
    def on_disk(self, work: Callable[[WalletFile], T]) -> Deferred[T]: ...
    def rescan(self) -> Deferred[None]: ...
    def rescan_blocks(self, first: int, last: int | None) -> Deferred[None]: ...


class Custody:
    """Changes what can be done with the keys of one wallet; every change is durable when it answers."""

    def __init__(
        self,
        host: Host,
        reactor: Any,
        entropy: Callable[[int], bytes],
        cost: Cost = DEFAULT_COST,
        thread: Thread | None = None,
    ) -> None:
        self._host = host
        self._reactor = reactor
        self.entropy = entropy
        self._cost = cost
        self._thread = thread if thread is not None else self._in_pool
        self._guesses = Guesses()
        self._busy = False
        self._restoring = False
        self._relock: IDelayedCall | None = None
        self._closed = False

    @property
    def wallet(self) -> Wallet:
        return self._host.wallet

    @property
    def _keys(self) -> Keystore:
        return self._host.wallet.keys

    @property
    def unlocked_for(self) -> int | None:
        """Microseconds until the wallet locks itself; None without a passphrase, 0 while locked."""
        if self._keys.vault is None:
            return None
        if self._relock is None or not self._relock.active():
            return 0
        return max(0, int((self._relock.getTime() - self._reactor.seconds()) * SECOND))

    # The passphrase.

    async def encrypt(self, passphrase: str) -> None:
        """Seal every secret, leave none of them on the disk, and lock the wallet."""
        if self._keys.vault is not None:
            raise _state("The wallet is encrypted already", "Use walletpassphrasechange.")
        vault, key = await self._stretched(lambda: new_vault(passphrase, self.entropy, self._cost))
        self._keys.protect(vault, key)
        self.lock()
        await self._host.replace(wipe=True)

    async def unlock(self, passphrase: str, timeout_us: int) -> None:
        """Open the secrets for so long; counted anew when they are open already."""
        vault = self._vault()
        key = await self._guessed(lambda: open_vault(vault, passphrase))
        if self._closed or self._keys.vault is not vault:
            key.clear()
            raise _state("The passphrase was changed meanwhile", "Unlock the wallet again.")
        self._keys.unlock(key)
        self._cancel()
        self._relock = self._reactor.callLater(timeout_us / SECOND, self.lock)
        await self.settle()

    async def change(self, old: str, new: str) -> None:
        """Another passphrase for the same secrets; what is open stays open."""
        vault = self._vault()

        def rewrap() -> Vault:
            opened = open_vault(vault, old)
            made, copy = new_vault(new, self.entropy, self._cost, opened)
            opened.clear()
            copy.clear()
            return made

        made = await self._guessed(rewrap)
        if self._closed or self._keys.vault is not vault:
            raise _state("The passphrase was changed meanwhile", "Try again.")
        self._keys.rewrap(made)
        await self._host.replace()

    def require_passphrase(self) -> None:
        """RpcError -15 when the wallet has none."""
        self._vault()

    def lock(self) -> None:
        """Forget the secrets at once."""
        self._cancel()
        self._keys.lock()

    def close(self) -> None:
        """The wallet's process ends."""
        self._closed = True
        self.lock()

    async def settle(self) -> None:
        """Make what was changed durable; RpcError -4 when the file can not be written."""
        try:
            await self._host.write()
        except LocalError as error:
            raise RpcError(WALLET_ERROR, error.message, rule="wallet-file", hint=error.hint) from error

    # Copies, and keys that come from elsewhere.

    async def backup(self, path: str) -> int:
        """Write the whole wallet to a new file; the bytes it takes."""
        records, network = self._host.wallet.records(), self._host.wallet.network
        return await self._host.on_disk(lambda file: write_copy(path, network, records))

    async def check(self) -> tuple[int, int, int]:
        """Read the files again and compare; records, keys, and keys whose secret was checked.

        LocalError names what is wrong. Secrets are checked while the wallet is open.
        """
        await self.settle()
        count, found = await self._host.on_disk(lambda file: self._loaded(file.read_back()))
        lost = [key for key in self._keys if key.hash not in found and key.role != POOL]
        if lost:
            raise LocalError(
                f"the wallet's file lacks {len(lost)} of its keys.", "Make a backup at once: backupwallet."
            )
        checked = 0
        if not self._keys.locked:
            for number, key in enumerate(list(self._keys)):
                if number % DERIVE_STEP == 0:
                    await self._turn()
                self._keys.signing_key(key)
                checked += 1
        return count, len(found), checked

    async def read(self, path: str) -> Keystore:
        """The keys in a backup, locked if it is encrypted."""
        network = self._host.wallet.network
        _, keys = await self._host.on_disk(lambda file: self._loaded(read_wallet(path, network)))
        return keys

    def _loaded(self, records: list[Record]) -> tuple[int, Keystore]:
        """How many records there are, and their keys; long lists take a while."""
        keys = Keystore(self.entropy, [])
        keys.restore(records)
        return len(records), keys

    async def rescan(self) -> None:
        """Find the coins of keys that are new here, then begin to look for their history in all blocks."""
        await self.settle()
        await self._host.rescan()
        await self._host.rescan_blocks(0, None)

    async def rescan_blocks(self, first: int, last: int) -> None:
        """Read blocks again for the history, from now on; StoreError when that could not be begun."""
        await self.settle()
        await self._host.rescan_blocks(first, last)

    async def merge(self, backup: Keystore, passphrase: str, gap: int) -> None:
        """Take in the keys of a backup, which `passphrase` opens if it has one, and find their coins."""
        if backup.vault is not None:
            if not passphrase:
                raise WrongPassphrase(
                    "the backup is encrypted and no passphrase was given.",
                    "Give the passphrase it was made with.",
                )
            vault = backup.vault
            backup.unlock(await self._guessed(lambda: open_vault(vault, passphrase)), grow=False)
        with self._alone():
            try:
                for _ in merge(self._keys, backup):
                    await self._turn()
            finally:
                backup.lock()
            await self._find(gap)

    async def plant(self, seed: WalletSeed, gap: int) -> None:
        """Take new keys from `seed`, and look for coins until `gap` keys in a row have none.

        Every branch is followed; what has a coin, and all before it, counts as handed out.
        """
        with self._alone():
            self._keys.plant(seed)
            await self._find(gap)

    async def _find(self, gap: int) -> None:
        """Read the set of coins until every branch ends in `gap` keys without a coin."""
        while True:
            for role in (RECEIVE, CHANGE):
                await self._extend(role, gap)
            await self.rescan()
            seed = self._keys.seed
            if seed is None or not seed.open:
                break
            if all(self._keys.unused(role) >= gap for role in (RECEIVE, CHANGE)):
                break
        await self.settle()

    async def _extend(self, role: str, gap: int) -> None:
        while (missing := gap - self._keys.unused(role)) > 0:
            if not self._keys.derive(role, min(DERIVE_STEP, missing)):
                return
            await self._turn()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One restoration at a time; RpcError -9 while another is under way."""
        if self._restoring:
            raise RpcError(
                CLIENT_BUSY,
                "The wallet is being restored",
                rule="restore-busy",
                hint="Wait for the other call.",
            )
        self._restoring = True
        try:
            yield
        finally:
            self._restoring = False

    def _turn(self) -> Deferred[None]:
        turn: Deferred[None] = Deferred()
        self._reactor.callLater(0, turn.callback, None)
        return turn

    # Guesses.

    def _vault(self) -> Vault:
        vault = self._keys.vault
        if vault is None:
            raise _state("The wallet has no passphrase", "Give it one with encryptwallet.")
        return vault

    async def _guessed(self, work: Callable[[], T]) -> T:
        """Do `work` unless there were too many wrong guesses before it."""
        wait = self._guesses.wait(self._now())
        if wait:
            raise RpcError(
                WRONG_PASSPHRASE,
                "Too many wrong passphrases",
                rule="passphrase-delay",
                hint=f"Try again in {-(-wait // SECOND)} s.",
            )
        return await self._stretched(work, self._judge)

    def _judge(self, result: object) -> None:
        if not isinstance(result, Failure):
            self._guesses.succeeded()
        elif result.check(WrongPassphrase):
            self._guesses.failed(self._now())

    async def _stretched(
        self, work: Callable[[], T], judge: Callable[[object], None] = lambda result: None
    ) -> T:
        """Do `work`, which takes much memory, on a thread; RpcError -9 while another is under way.

        It is under way until the thread has done it, and is judged then, whether or not somebody still waits.
        """
        if self._busy:
            raise RpcError(
                CLIENT_BUSY,
                "Another passphrase is being tried",
                rule="passphrase-busy",
                hint="Try again soon.",
            )
        told: Deferred[T] = Deferred()

        def done(result: T | Failure) -> None:
            self._busy = False
            judge(result)
            if not told.called:
                told.callback(result)

        working = self._thread(work)
        self._busy = True
        working.addBoth(done)
        return await told

    def _in_pool(self, work: Callable[[], Any]) -> Deferred[Any]:
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), work)

    def _now(self) -> int:
        return int(self._reactor.seconds() * SECOND)

    def _cancel(self) -> None:
        if self._relock is not None and self._relock.active():
            self._relock.cancel()
        self._relock = None


def _state(problem: str, hint: str) -> RpcError:
    return RpcError(WRONG_ENCRYPTION_STATE, problem, rule="wallet-encryption", hint=hint)
